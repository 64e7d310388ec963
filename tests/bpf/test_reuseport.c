/* SPDX-License-Identifier: BSD-2-Clause */
/* test_reuseport.c - which worker gets the connection: real sockets on loopback,
 * in a network namespace of their own. The "workers" are listening sockets. */
#include "test.h"

#include <bpf/bpf.h>

#include "net.h"
#include "shield/shield.h"

#define WORKERS_MAX 8
#define MANY        800

struct fleet {
	struct shield *shield;
	const char *ip;
	uint16_t port;
	unsigned n;
	int fd[WORKERS_MAX];
	unsigned got[WORKERS_MAX]; /* connections accepted by each since fleet_rush() began */
};

static bool run_may(void)
{
	return geteuid() == 0;
}

static struct shield *pick_only(struct net *n, enum shield_steer_want steer)
{
	static char pin_dir[128];
	struct shield_config cfg = {.pin_dir = pin_dir, .mode = SHIELD_WANT_OFF, .steer = steer};
	struct shield *s;

	snprintf(pin_dir, sizeof(pin_dir), "%s/bpf", n->dir);
	check(shield_open(&cfg, &s) == 0);
	return s;
}

static void fleet_listen(struct fleet *f, unsigned group, const char *ip, uint16_t port, unsigned n)
{
	f->ip = ip;
	f->port = port;
	f->n = n;
	for (unsigned i = 0; i < n; i++) {
		f->fd[i] = net_listen(ip, port);
		fcntl(f->fd[i], F_SETFL, O_NONBLOCK);
	}
	check(shield_group_attach(f->shield, group, f->fd, n) == 0);
}

static void fleet_up(struct fleet *f, const uint32_t *cpu)
{
	check(shield_workers_set(f->shield, cpu, f->n) == 0);
	for (unsigned i = 0; i < f->n; i++)
		check(shield_worker_mark(f->shield, i, SHIELD_WORKER_UP) == 0);
}

static void fleet_take(struct fleet *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		int c;

		while (f->fd[i] >= 0 && (c = accept4(f->fd[i], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
			f->got[i]++;
			close(c);
		}
	}
}

/* So many clients, one after the other; every one must be served by somebody. */
static void fleet_rush(struct fleet *f, unsigned clients)
{
	unsigned sum = 0;

	memset(f->got, 0, sizeof(f->got));
	for (unsigned i = 0; i < clients; i++) {
		int c = net_connect(f->ip, f->port, NET_PATIENCE_MS);

		check(c >= 0);
		if (i % 100 == 99)
			fleet_take(f);
		close(c);
	}
	for (unsigned tries = 0; sum < clients;
	     tries++) { /* the last one's ACK may be on its way */
		fleet_take(f);
		sum = 0;
		for (unsigned i = 0; i < f->n; i++)
			sum += f->got[i];
		check(tries < NET_PATIENCE_MS / 10);
		if (sum < clients)
			usleep(10000);
	}
	check(sum == clients);
}

static bool near(unsigned got, unsigned want)
{
	return got > want - want / 3 && got < want + want / 3; /* five deviations and more */
}

static void run_on(unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	check(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static bool has_two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) >= 2;
}

static struct pick_count picked(struct shield *s)
{
	struct shield_stats stats;

	check(shield_stats_read(s, &stats) == 0);
	return stats.picked;
}

NET_TEST(reuseport, connections_spread_evenly_by_hash, 1500)
{
	static const uint32_t cpu[] = {0, 1, 0, 1};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};

	fleet_listen(&f, 0, "127.0.0.1", 7000, 4);
	fleet_up(&f, cpu);
	fleet_rush(&f, MANY);
	for (unsigned i = 0; i < 4; i++)
		check(near(f.got[i], MANY / 4));
	check(picked(f.shield).by_core == MANY);
}

NET_TEST(reuseport, the_core_comes_first_and_then_its_workers, 1500)
{
	static const uint32_t cpu[] = {0, 1, 1, 1};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};

	if (!has_two_cpus())
		return;
	fleet_listen(&f, 0, "::1", 7000, 4);
	fleet_up(&f, cpu);
	fleet_rush(&f, MANY);
	check(near(f.got[0], MANY / 2));
	for (unsigned i = 1; i < 4; i++)
		check(near(f.got[i], MANY / 6));
}

NET_TEST(reuseport, a_full_worker_gets_nothing_until_it_has_room_again, 1500)
{
	static const uint32_t cpu[] = {0, 0, 0};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};

	fleet_listen(&f, 0, "127.0.0.1", 7000, 3);
	fleet_up(&f, cpu);
	check(shield_worker_mark(f.shield, 1, SHIELD_WORKER_FULL) == 0);
	fleet_rush(&f, 300);
	check(f.got[1] == 0 && near(f.got[0], 150) && near(f.got[2], 150));
	check(shield_worker_mark(f.shield, 1, SHIELD_WORKER_UP) == 0);
	fleet_rush(&f, 300);
	check(f.got[1] > 0);
}

NET_TEST(reuseport, a_core_whose_workers_are_all_down_gives_way_to_the_others, 1500)
{
	static const uint32_t cpu[] = {0, 0, 1};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_RSS)};

	if (!has_two_cpus())
		return;
	fleet_listen(&f, 0, "127.0.0.1", 7000, 3);
	fleet_up(&f, cpu);
	check(shield_worker_mark(f.shield, 0, SHIELD_WORKER_DOWN) == 0);
	check(shield_worker_mark(f.shield, 1, SHIELD_WORKER_FULL) == 0);
	run_on(0);
	fleet_rush(&f, 200);
	check(f.got[2] == 200 && picked(f.shield).elsewhere == 200);
}

NET_TEST(reuseport, nobody_ready_still_refuses_nobody, 1500)
{
	static const uint32_t cpu[] = {0, 0};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};

	fleet_listen(&f, 0, "127.0.0.1", 7000, 2);
	fleet_rush(&f, 200); /* before anybody is even listed */
	fleet_up(&f, cpu);
	check(shield_worker_mark(f.shield, 0, SHIELD_WORKER_FULL) == 0);
	check(shield_worker_mark(f.shield, 1, SHIELD_WORKER_DOWN) == 0);
	fleet_rush(&f, 200);
	check(f.got[0] > 0 && f.got[1] > 0);
	check(picked(f.shield).by_kernel == 400);
}

NET_TEST(reuseport, a_flow_stays_on_the_cpu_it_came_in_on, 1500)
{
	static const uint32_t cpu[] = {0, 1, 0, 1};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_RSS)};

	if (!has_two_cpus())
		return;
	fleet_listen(&f, 0, "::1", 7000, 4);
	fleet_up(&f, cpu);
	for (unsigned core = 0; core < 2; core++) {
		run_on(core); /* on loopback the sender's CPU does the receiver's work */
		fleet_rush(&f, 200);
		check(near(f.got[core], 100) && near(f.got[core + 2], 100));
		check(f.got[!core] == 0 && f.got[!core + 2] == 0);
	}
	check(picked(f.shield).by_core == 400);
}

NET_TEST(reuseport, listen_addresses_do_not_mix, 1500)
{
	static const uint32_t cpu[] = {0, 0};
	struct fleet a = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)}, b = {.shield = a.shield},
		     c = {.shield = a.shield};

	fleet_listen(&a, 0, "127.0.0.1", 7000, 2);
	fleet_listen(&b, 1, "127.0.0.1", 7001, 2);
	fleet_listen(&c, SHIELD_GROUPS_MAX - 1, "::1", 7000, 2);
	fleet_up(&a, cpu);
	fleet_rush(&a, 100);
	fleet_rush(&b, 100);
	fleet_rush(&c, 100);
	check(a.got[0] && a.got[1] && b.got[0] && b.got[1] && c.got[0] && c.got[1]);
	check(picked(a.shield).by_core == 300);
}

NET_TEST(reuseport, a_worker_that_vanished_unnoticed_costs_nobody_a_connection, 1500)
{
	static const uint32_t cpu[] = {0, 0, 0};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};

	fleet_listen(&f, 0, "127.0.0.1", 7000, 3);
	fleet_up(&f, cpu);
	close(f.fd[1]);
	f.fd[1] = -1;
	fleet_rush(&f, 300);
	check(f.got[0] + f.got[2] == 300);
}

NET_TEST(reuseport, the_next_keepers_sockets_take_over_from_the_last_ones, 1500)
{
	static const uint32_t cpu[] = {0, 0};
	struct fleet old = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)}, new = {};

	fleet_listen(&old, 0, "127.0.0.1", 7000, 2);
	fleet_up(&old, cpu);
	fleet_rush(&old, 100);
	shield_close(old.shield, false); /* killed; its workers still hold their sockets */

	new.shield = pick_only(n, SHIELD_STEER_WANT_OFF);
	fleet_listen(&new, 0, "127.0.0.1", 7000, 2);
	fleet_up(&new, cpu);
	fleet_rush(&new, 200); /* all 200 are accepted by the new sockets */
	check(new.got[0] && new.got[1]);
}

NET_TEST(reuseport, its_program_stays_under_half_of_the_verifiers_limit, 1500)
{
	static const uint32_t cpu[] = {0};
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF)};
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[128];
	int fd;

	fleet_listen(&f, 0, "127.0.0.1", 7000, 1);
	fleet_up(&f, cpu);
	snprintf(path, sizeof(path), "%s/bpf/reuseport_0", n->dir);
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0);
	printf("sluice_reuseport: %u verified instructions of 1000000\n", info.verified_insns);
	check(info.verified_insns > 0 && info.verified_insns < 500000);
}

NET_TEST(reuseport, as_many_workers_as_allowed_can_be_listed, 1500)
{
	static uint32_t cpu[SHIELD_WORKERS_MAX + 1];
	struct fleet f = {.shield = pick_only(n, SHIELD_STEER_WANT_OFF), .n = 0};
	int fd[SHIELD_WORKERS_MAX];

	check(shield_workers_set(f.shield, cpu, SHIELD_WORKERS_MAX + 1) == -E2BIG);
	check(shield_workers_set(f.shield, cpu, SHIELD_WORKERS_MAX) == 0);
	for (unsigned i = 0; i < SHIELD_WORKERS_MAX; i++) {
		fd[i] = -1;
		check(shield_worker_mark(f.shield, i, SHIELD_WORKER_UP) == 0);
	}
	check(shield_group_attach(f.shield, 0, fd, SHIELD_WORKERS_MAX) == -EINVAL);
	check(shield_group_attach(f.shield, SHIELD_GROUPS_MAX, fd, 1) == -E2BIG);
	/* only the last two have sockets: the others are found empty */
	f.fd[0] = fd[SHIELD_WORKERS_MAX - 2] = net_listen("127.0.0.1", 7000);
	f.fd[1] = fd[SHIELD_WORKERS_MAX - 1] = net_listen("127.0.0.1", 7000);
	fcntl(f.fd[0], F_SETFL, O_NONBLOCK);
	fcntl(f.fd[1], F_SETFL, O_NONBLOCK);
	check(shield_group_attach(f.shield, 3, fd, SHIELD_WORKERS_MAX) == 0);
	f.ip = "127.0.0.1";
	f.port = 7000;
	f.n = 2;
	fleet_rush(&f, 200);
}

TEST_MAIN()
