/* SPDX-License-Identifier: BSD-2-Clause */
/* test_lookup.c - listeners for whole prefixes, and listeners that are replaced. */
#include "test.h"

#include <bpf/bpf.h>
#include <netinet/tcp.h>

#include "net.h"
#include "run.h"

#define WORKERS 2

struct fleet {
	struct shield *shield;
	int fd[WORKERS];
	bool defer; /* its clients speak first */
};

static char pin_dir[128];

static struct shield *pick_only(struct net *n, bool serves)
{
	struct shield_config cfg = {.pin_dir = pin_dir,
				    .mode = SHIELD_WANT_OFF,
				    .steer = SHIELD_STEER_WANT_OFF,
				    .serves = serves};
	static const uint32_t cpu[WORKERS] = {0, 0};
	struct shield *s;

	snprintf(pin_dir, sizeof(pin_dir), "%s/bpf", n->dir);
	check(shield_open(&cfg, &s) == 0);
	check(shield_workers_set(s, cpu, WORKERS) == 0);
	return s;
}

/* New sockets in the slots of the group, and everybody ready. */
static void fleet_listen(struct fleet *f, const char *ip, uint16_t port, bool defer)
{
	int s = 30;

	f->defer = defer;
	for (unsigned i = 0; i < WORKERS; i++) {
		f->fd[i] = net_listen(ip, port);
		fcntl(f->fd[i], F_SETFL, O_NONBLOCK);
		if (defer)
			check(setsockopt(f->fd[i], IPPROTO_TCP, TCP_DEFER_ACCEPT, &s, sizeof(s)) ==
			      0);
	}
	check(shield_group_attach(f->shield, 0, f->fd, WORKERS) == 0);
	for (unsigned i = 0; i < WORKERS; i++)
		check(shield_worker_mark(f->shield, i, SHIELD_WORKER_UP) == 0);
}

static void fleet_close(struct fleet *f)
{
	for (unsigned i = 0; i < WORKERS; i++)
		close(f->fd[i]);
}

/* How many wait at its listeners; they are taken and answered. What a client said is read: a socket closed
 * over unread bytes resets the connection, and an answer that was lost on its way is never sent again. */
static unsigned fleet_take(struct fleet *f)
{
	unsigned n = 0;
	char said;

	for (unsigned i = 0; i < WORKERS; i++)
		for (int c; (c = accept4(f->fd[i], NULL, NULL, SOCK_CLOEXEC)) >= 0; n++) {
			check(!f->defer || (recv(c, &said, 1, 0) == 1 && said == 'x'));
			check(send(c, "y", 1, MSG_NOSIGNAL) == 1);
			close(c);
		}
	return n;
}

static bool answered(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c = 0;

	return poll(&p, 1, NET_PATIENCE_MS) == 1 && recv(fd, &c, 1, 0) == 1 && c == 'y';
}

static uint64_t migrated(struct shield *s)
{
	struct shield_stats stats;

	check(shield_stats_read(s, &stats) == 0);
	return stats.picked.migrated;
}

/* ---- replacement --------------------------------------------------------------------- */

static void replaced_with_a_full_queue(struct net *n, bool serves, bool defer)
{
	struct fleet old = {.shield = pick_only(n, serves)}, next = old;
	int client[100];

	fleet_listen(&old, "192.0.2.1", 7000, defer);
	net_enter(n->client);
	for (int i = 0; i < 100; i++)
		check((client[i] = net_connect("192.0.2.1", 7000, NET_PATIENCE_MS)) >= 0);
	net_enter(n->edge);
	fleet_listen(&next, "192.0.2.1", 7000, defer);
	check(fleet_take(&next) == 0);
	fleet_close(&old); /* with all hundred in its queues */
	for (int i = 0; i < 100 && defer; i++)
		check(send(client[i], "x", 1, MSG_NOSIGNAL) == 1);
	for (unsigned took = 0, tries = 0; took < 100; tries++) {
		took += fleet_take(&next);
		check(tries < NET_PATIENCE_MS / 10);
		usleep(10000);
	}
	for (int i = 0; i < 100; i++)
		check(answered(client[i]));
	check(migrated(old.shield) == 100);
	shield_close(old.shield, true);
}

NET_TEST(lookup, connections_that_wait_at_a_closing_listener_move_to_its_successor, 1500)
{
	replaced_with_a_full_queue(n, false, false);
}

NET_TEST(lookup, and_so_do_those_that_wait_for_their_first_byte, 1500)
{
	replaced_with_a_full_queue(n, false, true);
}

NET_TEST(lookup, and_those_at_listeners_that_serve_prefixes, 1500)
{
	replaced_with_a_full_queue(n, true, false);
}

NET_TEST(lookup, a_listener_goes_back_into_its_slot_whoever_stood_there_meanwhile, 1500)
{
	for (int serves = 0; serves < 2; serves++) {
		struct fleet old = {.shield = pick_only(n, serves)}, next = old;
		int c;

		fleet_listen(&old, "192.0.2.1", 7000, false);
		check(shield_group_attach(old.shield, 0, old.fd, WORKERS) == 0); /* nobody */
		fleet_listen(&next, "192.0.2.1", 7000, false);
		check(shield_group_attach(old.shield, 0, old.fd, WORKERS) == 0); /* one who lives */
		fleet_close(&next);
		fleet_listen(&next, "192.0.2.1", 7000, false);
		fleet_close(&next);
		check(shield_group_attach(old.shield, 0, old.fd, WORKERS) == 0); /* one who died */
		net_enter(n->client);
		c = net_connect("192.0.2.1", 7000, NET_PATIENCE_MS);
		net_enter(n->edge);
		check(c >= 0 && fleet_take(&old) == 1 && answered(c));
		close(c);
		fleet_close(&old);
		shield_close(old.shield, true);
	}
}

/* Clients that come all the time, in a process of their own: its exit code is how many failed. */
static pid_t storm(struct net *n, struct fleet *f, unsigned clients)
{
	pid_t pid = fork();
	unsigned failed = 0;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fleet_close(f); /* a copy here would keep a closed listener alive, and what waits at it */
	net_enter(n->client);
	for (unsigned i = 0; i < clients; i += 10) {
		int c[10];

		for (int k = 0; k < 10; k++)
			c[k] = net_connect("192.0.2.1", 7000, NET_PATIENCE_MS);
		for (int k = 0; k < 10; k++) {
			failed += c[k] < 0 || !answered(c[k]);
			close(c[k]);
		}
	}
	_exit(failed > 255 ? 255 : (int)failed);
}

NET_TEST(lookup, a_storm_of_connects_over_ten_replacements_loses_none, 1500)
{
	struct fleet now = {.shield = pick_only(n, false)};
	unsigned took = 0, replaced = 0;
	int status;
	pid_t pid;

	fleet_listen(&now, "192.0.2.1", 7000, false);
	pid = storm(n, &now, 1000);
	for (unsigned turn = 1; waitpid(pid, &status, WNOHANG) == 0; turn++) {
		took += fleet_take(&now);
		if (took / 90 > replaced && replaced < 10) {
			struct fleet next = now;

			usleep(5000);
			fleet_listen(&next, "192.0.2.1", 7000, false);
			usleep(5000);
			fleet_close(&now); /* with whoever has come meanwhile in its queues */
			now = next;
			replaced++;
		}
		usleep(200);
	}
	printf("%u connections, %u replacements, %llu moved, %d lost\n", took, replaced,
	       (unsigned long long)migrated(now.shield), WEXITSTATUS(status));
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0 && took == 1000 && replaced == 10);
	shield_close(now.shield, true);
}

/* ---- prefixes ------------------------------------------------------------------------ */

static struct shield_serve serve(const char *prefix, uint16_t port, uint16_t last)
{
	return (struct shield_serve){
		.to = run_prefix(prefix), .port = port, .last = last, .group = 0};
}

/* The edge takes them as its own. ARP is answered for all of them, neighbour discovery for none:
 * IPv6 needs a route by way of the edge's address. */
static void routes(struct net *n)
{
	check(net_sh("ip route add local 203.0.113.0/24 dev lo && "
		     "ip -6 route add local 2001:db8:5::/48 dev lo") == 0);
	net_enter(n->client);
	check(net_sh("ip -6 route add 2001:db8:5::/48 via 2001:db8::1 dev cli0 onlink") == 0);
	net_enter(n->edge);
}

/* Connects from the other host; is it served, at the very address that it dialled? */
static bool served(struct net *n, struct fleet *f, const char *ip, uint16_t port)
{
	struct sockaddr_storage at, want;
	socklen_t len = sizeof(at);
	struct pollfd p[WORKERS];
	int c, s = -1;

	net_addr(&want, ip, port);
	net_enter(n->client);
	c = net_connect(ip, port, NET_PATIENCE_MS);
	net_enter(n->edge);
	if (c < 0)
		return false;
	for (unsigned i = 0; i < WORKERS; i++)
		p[i] = (struct pollfd){.fd = f->fd[i], .events = POLLIN};
	check(poll(p, WORKERS, NET_PATIENCE_MS) == 1);
	for (unsigned i = 0; i < WORKERS && s < 0; i++)
		s = accept4(f->fd[i], NULL, NULL, SOCK_CLOEXEC);
	memset(&at, 0, sizeof(at));
	check(s >= 0 && getsockname(s, (struct sockaddr *)&at, &len) == 0);
	check(memcmp(&at, &want, len) == 0);
	check(net_hears(c, s) && net_hears(s, c));
	close(c);
	close(s);
	return true;
}

NET_TEST(lookup, thirty_connections_over_a_24_and_a_thousand_ports_reach_one_set_of_listeners, 1500)
{
	struct shield_serve list[] = {serve("203.0.113.0/24", 8000, 8999)};
	struct fleet f = {.shield = pick_only(n, true)};
	struct shield_stats stats;
	char ip[32];

	routes(n);
	fleet_listen(&f, "127.0.0.1", 7000, false);
	check(shield_serve_set(f.shield, list, 1) == 0);
	for (unsigned i = 0; i < 30; i++) {
		snprintf(ip, sizeof(ip), "203.0.113.%u", i * 37 % 256);
		check(served(n, &f, ip, (uint16_t)(8000 + i * 331 % 1000)));
	}
	check(served(n, &f, "203.0.113.0", 8000) && served(n, &f, "203.0.113.255", 8999));
	check(!served(n, &f, "203.0.113.7", 7999) && !served(n, &f, "203.0.113.7", 9000));
	check(!served(n, &f, "192.0.2.1", 8000));
	check(shield_stats_read(f.shield, &stats) == 0);
	check(stats.picked.by_core == 32); /* the workers were picked as ever */
	shield_close(f.shield, true);
	check(!served(n, &f, "203.0.113.7", 8001));
}

NET_TEST(lookup, ipv6_prefixes_are_served_alike, 1500)
{
	struct shield_serve list[] = {serve("2001:db8:5:8000::/49", 443, 443),
				      serve("2001:db8:5:1::7/128", 80, 81)};
	struct fleet f = {.shield = pick_only(n, true)};

	routes(n);
	fleet_listen(&f, "::1", 7000, false);
	check(shield_serve_set(f.shield, list, 2) == 0);
	check(served(n, &f, "2001:db8:5:8000::1", 443));
	check(served(n, &f, "2001:db8:5:ffff:1:2:3:4", 443));
	check(served(n, &f, "2001:db8:5:1::7", 81));
	check(!served(n, &f, "2001:db8:5:7fff::1", 443));
	check(!served(n, &f, "2001:db8:5:1::8", 81));
	shield_close(f.shield, true);
}

static int connect_err(struct net *n, const char *ip, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr(&sa, ip, port), size = sizeof(int);
	struct pollfd p = {.events = POLLOUT};
	int err = 0;

	net_enter(n->client);
	p.fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	connect(p.fd, (struct sockaddr *)&sa, len);
	if (poll(&p, 1, NET_PATIENCE_MS) != 1)
		err = ETIMEDOUT;
	else
		getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &err, &size);
	close(p.fd);
	net_enter(n->edge);
	return err;
}

NET_TEST(lookup, what_is_served_is_nobody_elses_when_the_listeners_are_gone, 1500)
{
	struct shield_serve list[] = {serve("203.0.113.0/24", 8000, 8999)};
	struct fleet f = {.shield = pick_only(n, true)}, next;
	int other = net_listen("0.0.0.0", 8080);

	routes(n);
	check(connect_err(n, "203.0.113.7", 8080) == 0); /* the other program's, so far */
	fleet_listen(&f, "127.0.0.1", 7000, false);
	check(shield_serve_set(f.shield, list, 1) == 0);
	check(served(n, &f, "203.0.113.7", 8080));
	check(connect_err(n, "192.0.2.1", 8080) == 0); /* beside it nothing changes */

	shield_close(f.shield, false); /* killed: its workers live on for a while */
	check(served(n, &f, "203.0.113.7", 8080));
	fleet_close(&f);
	check(connect_err(n, "203.0.113.7", 8080) == ECONNREFUSED); /* and not the other's */
	check(connect_err(n, "203.0.113.7", 7000) == ECONNREFUSED);

	next.shield = pick_only(n, true); /* the next keeper serves other ports */
	list[0] = serve("203.0.113.0/25", 8100, 8100);
	fleet_listen(&next, "127.0.0.1", 7000, false);
	check(shield_serve_set(next.shield, list, 1) == 0);
	check(served(n, &next, "203.0.113.7", 8100));
	check(connect_err(n, "203.0.113.7", 8080) == 0);
	check(shield_serve_set(next.shield, list, 0) == 0); /* and then none */
	check(connect_err(n, "203.0.113.7", 8100) == ECONNREFUSED);
	shield_close(next.shield, true);
	close(other);
}

NET_TEST(lookup, rules_have_a_bound_and_a_program_under_half_of_the_verifiers_limit, 1500)
{
	static struct shield_serve list[SHIELD_SERVE_MAX + 1];
	struct fleet f = {.shield = pick_only(n, true)};
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[160];
	int fd;

	routes(n);
	for (unsigned i = 0; i <= SHIELD_SERVE_MAX; i++)
		list[i] = serve("203.0.113.0/24", (uint16_t)(8000 + i), (uint16_t)(8000 + i));
	fleet_listen(&f, "127.0.0.1", 7000, false);
	check(shield_serve_set(f.shield, list, SHIELD_SERVE_MAX + 1) == -E2BIG);
	check(shield_serve_set(f.shield, list, SHIELD_SERVE_MAX) == 0);
	check(served(n, &f, "203.0.113.9", 8000 + SHIELD_SERVE_MAX - 1));
	check(!served(n, &f, "203.0.113.9", 8000 + SHIELD_SERVE_MAX));
	snprintf(path, sizeof(path), "%s/serve", pin_dir);
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0);
	printf("sluice_lookup: %u verified instructions of 1000000\n", info.verified_insns);
	check(info.verified_insns > 0 && info.verified_insns < 500000);
	shield_close(f.shield, true);

	f.shield = pick_only(n, false); /* nobody said that there would be any */
	check(shield_serve_set(f.shield, list, 1) == -EINVAL);
	shield_close(f.shield, true);
}

TEST_MAIN()
