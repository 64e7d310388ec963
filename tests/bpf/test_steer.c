/* SPDX-License-Identifier: BSD-2-Clause */
/* test_steer.c - flows come to the core of their worker: the table by test runs, the cpumap and its
 * traps on a wire with one receive queue. */
#include <sched.h>

#include "test.h"

#include "net.h"
#include "run.h"

/* ---- by test run ------------------------------------------------------------------- */

static void run_on(unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static bool has_two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) >= 2;
}

static void table_set(struct run *r, const struct steer_table *t)
{
	__u32 zero = 0;

	assert(bpf_map__update_elem(r->shield.xdp->maps.steer_to, &zero, sizeof(zero), t,
				    sizeof(*t), BPF_ANY) == 0);
}

static void entry_set(struct run *r, __u32 cpu, bool there)
{
	struct bpf_cpumap_val v = {.qsize = 64};
	int fd = bpf_map__fd(r->shield.xdp->maps.steer_cpu);

	if (there)
		assert(bpf_map_update_elem(fd, &cpu, &v, BPF_ANY) == 0);
	else
		assert(bpf_map_delete_elem(fd, &cpu) == 0);
}

static int action(struct run *r, const char *text)
{
	static uint8_t frame[PACKET_MAX];

	return run_action(r, frame, packet_make(text, frame));
}

/* The prefix "0.0.0.0/0" and "::/0", every port: a flow and its way back are both ours. */
static void protect_all(struct run *r)
{
	struct shield_protect all[2] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 1, .last = 65535, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 1, .last = 65535, .proto = L4_TCP},
	};

	assert(run_policy(r, all, 2) == 0);
}

TEST(steer, only_what_passes_and_belongs_elsewhere_is_moved)
{
	struct steer_table t = {.seed = 1, .ifaces = 1};
	struct run r;

	if (!run_may() || !has_two_cpus())
		test_skip("needs root and two CPUs");
	run_open(&r);
	run_protect(&r, "192.0.2.1", 443, L4_TCP);
	entry_set(&r, 0, true);
	entry_set(&r, 1, true);
	run_on(0);
	for (unsigned i = 0; i < STEER_SLOTS; i++)
		t.cpu[i] = 1;
	table_set(&r, &t);
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_REDIRECT);
	assert_int_equal(action(&r, "ip4 tcp A data=100"), XDP_REDIRECT);
	assert_int_equal(action(&r, "qinq vlan ip4 tcp S"), XDP_REDIRECT);
	assert_int_equal(action(&r, "ip4 tcp SF"), XDP_DROP);
	assert_int_equal(action(&r, "ip4 mf=1 tcp S"), XDP_DROP);
	assert_int_equal(action(&r, "ip4 tcp dport=22 S"), XDP_PASS); /* not ours */
	assert_int_equal(action(&r, "ip4 udp dport=443"), XDP_PASS);
	assert_int_equal(action(&r, "arp"), XDP_PASS);
	run_on(1); /* it is there already */
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_PASS);
	run_on(0);
	entry_set(&r, 1, false); /* a core without a queue: it passes where it is */
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_PASS);
	entry_set(&r, 1, true);
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_REDIRECT);
	t.ifaces = 2; /* another interface's business */
	table_set(&r, &t);
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_PASS);
	t.ifaces = 1;
	for (unsigned i = 0; i < STEER_SLOTS; i++)
		t.cpu[i] = STEER_HERE; /* no worker lives */
	table_set(&r, &t);
	assert_int_equal(action(&r, "ip4 tcp S"), XDP_PASS);
	run_close(&r);
}

/* Flow i of many, there or back. */
static const char *flow(unsigned i, bool v6, bool back)
{
	static char text[256];
	unsigned port = 1024 + i * 7919 % 60000;
	char there[64], here[64];

	snprintf(there, sizeof(there), v6 ? "2001:db8:1::%x:%x" : "198.51.%u.%u",
		 v6 ? 1 + i % 65535 : i / 256 % 256, v6 ? 1 + i % 251 : 1 + i % 251);
	snprintf(here, sizeof(here), "%s", v6 ? "2001:db8::1" : "192.0.2.1");
	snprintf(text, sizeof(text), "%s src=%s dst=%s tcp sport=%u dport=%u A", v6 ? "ip6" : "ip4",
		 back ? here : there, back ? there : here, back ? 443 : port, back ? port : 443);
	return text;
}

TEST(steer, a_flow_and_its_way_back_go_to_one_core_and_many_flows_to_all)
{
	struct steer_table t = {.seed = 0x1234567890abcdef, .ifaces = 1};
	unsigned moved = 0, moved_by_another_seed = 0, same = 0, flows = 2000;
	static bool before[2000];
	struct run r;

	if (!run_may() || !has_two_cpus())
		test_skip("needs root and two CPUs");
	run_open(&r);
	protect_all(&r);
	entry_set(&r, 1, true);
	run_on(0);
	for (unsigned i = 0; i < STEER_SLOTS; i++)
		t.cpu[i] = i % 2;
	table_set(&r, &t);
	for (unsigned i = 0; i < flows; i++) {
		int there = action(&r, flow(i, i & 1, false));

		assert_int_equal(action(&r, flow(i, i & 1, true)), there);
		before[i] = there == XDP_REDIRECT;
		moved += before[i];
	}
	t.seed = 77; /* who does not know the key cannot choose the core */
	table_set(&r, &t);
	for (unsigned i = 0; i < flows; i++) {
		bool now = action(&r, flow(i, i & 1, false)) == XDP_REDIRECT;

		moved_by_another_seed += now;
		same += now == before[i];
	}
	/* half of 2000, give or take five deviations */
	assert_in_range(moved, 890, 1110);
	assert_in_range(moved_by_another_seed, 890, 1110);
	assert_in_range(same, 890, 1110);
	run_close(&r);
}

/* ---- on a wire --------------------------------------------------------------------- */

struct edge {
	struct shield *shield;
	int fd[2];
	unsigned got[2];
	unsigned astray; /* accepted by a worker of another core than the packets' */
};

static char pin_dir[128];

static struct shield *up(struct net *n, enum shield_want mode, enum shield_steer_want steer,
			 const char *iface)
{
	static struct shield_protect protect[2];
	struct shield_config cfg = {.pin_dir = pin_dir,
				    .mode = mode,
				    .ifaces = &iface,
				    .n_ifaces = 1,
				    .plan = {.protect = protect,
					     .n_protect = ARRAY_SIZE(protect),
					     .rules = shield_rules_default()},
				    .steer = steer};
	static const uint32_t cpu[] = {0, 1};
	struct shield *s;

	protect[0] = (struct shield_protect){
		.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	protect[1] = (struct shield_protect){
		.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP};
	snprintf(pin_dir, sizeof(pin_dir), "%s/bpf", n->dir);
	check(shield_open(&cfg, &s) == 0);
	check(shield_workers_set(s, cpu, 2) == 0);
	return s;
}

static void listen_both(struct edge *e, unsigned group, const char *ip)
{
	for (int i = 0; i < 2; i++) {
		e->fd[i] = net_listen(ip, 443);
		fcntl(e->fd[i], F_SETFL, O_NONBLOCK);
	}
	check(shield_group_attach(e->shield, group, e->fd, 2) == 0);
	for (unsigned i = 0; i < 2; i++)
		check(shield_worker_mark(e->shield, i, SHIELD_WORKER_UP) == 0);
}

static struct shield_attachment first(const struct shield *s)
{
	size_t n;
	const struct shield_attachment *a = shield_attachments(s, &n);

	check(n > 0);
	return a[0];
}

static bool is_steered(const struct shield *s, enum shield_steer_how how, const char *why)
{
	struct shield_attachment a = first(s);

	if (a.steer == how && strstr(a.steer_why, why))
		return true;
	fprintf(stderr, "steered by %s: %s\n", shield_steer_word(a.steer), a.steer_why);
	return false;
}

static struct pick_count picked(struct shield *s)
{
	struct shield_stats stats;

	check(shield_stats_read(s, &stats) == 0);
	return stats.picked;
}

static int incoming_cpu(int fd)
{
	int cpu = -1;
	socklen_t n = sizeof(cpu);

	check(getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &n) == 0);
	return cpu;
}

/* The connection from `client`, from whichever listener has it; its data must come in on the core
 * of that listener, like its handshake. */
static void take(struct edge *e, int client)
{
	struct pollfd p[2] = {{.fd = e->fd[0], .events = POLLIN},
			      {.fd = e->fd[1], .events = POLLIN}};
	int worker, c;

	check(poll(p, 2, NET_PATIENCE_MS) == 1);
	worker = p[1].revents != 0;
	c = accept4(e->fd[worker], NULL, NULL, SOCK_CLOEXEC);
	check(c >= 0 && net_hears(client, c) && net_hears(c, client) && net_hears(client, c));
	e->got[worker]++;
	e->astray += incoming_cpu(c) != worker;
	close(c);
}

static void storm(struct net *n, struct edge *e, const char *ip, unsigned clients)
{
	net_enter(n->client);
	for (unsigned i = 0; i < clients; i++) {
		int c = net_connect(ip, 443, NET_PATIENCE_MS);

		check(c >= 0);
		take(e, c);
		close(c);
	}
	net_enter(n->edge);
}

static void peer_checksums(struct net *n, bool by_itself)
{
	net_enter(n->client);
	check(net_sh("ethtool -K cli0 tx %s >/dev/null", by_itself ? "off" : "on") == 0);
	net_enter(n->edge);
}

NET_TEST(steer, each_of_200_connections_is_served_where_its_packets_are_steered, 1500)
{
	struct edge e = {}, v6 = {};

	if (!has_two_cpus())
		return;
	peer_checksums(n, true);
	e.shield = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_CPUMAP, "edge0");
	check(first(e.shield).mode == SHIELD_NATIVE);
	check(is_steered(e.shield, STEER_CPUMAP, "as configured"));
	listen_both(&e, 0, "192.0.2.1");
	run_on(0); /* the sender's CPU is where the one queue is served */
	storm(n, &e, "192.0.2.1", 200);
	printf("200 connections: %u and %u, %u astray\n", e.got[0], e.got[1], e.astray);
	check(e.astray == 0 && e.got[0] >= 60 && e.got[1] >= 60);
	check(picked(e.shield).by_core == 200);

	v6.shield = e.shield;
	listen_both(&v6, 1, "2001:db8::1");
	storm(n, &v6, "2001:db8::1", 100);
	check(v6.astray == 0 && v6.got[0] >= 25 && v6.got[1] >= 25);
	shield_close(e.shield, true);
}

NET_TEST(steer, bulk_over_a_cpumap_arrives_whole, 9000)
{
	struct shield *s;
	struct pair p;

	if (!has_two_cpus())
		return;
	peer_checksums(n, true);
	s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_CPUMAP, "edge0");
	for (unsigned i = 0; i < 2; i++)
		check(shield_worker_mark(s, i, SHIELD_WORKER_UP) == 0);
	for (int i = 0; i < 4; i++) { /* some of them move, some stay */
		p = net_pair(n, i & 1 ? "2001:db8::1" : "192.0.2.1", 443);
		check(net_bulk(p.client, p.server, 20 << 20));
		check(net_bulk(p.server, p.client, 20 << 20));
		net_pair_close(&p);
	}
	shield_close(s, true);
}

static unsigned long csum_errors(void)
{
	char line[1024];
	unsigned long n = 0;
	FILE *f = fopen("/proc/thread-self/net/snmp", "r");

	check(f != NULL);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, "Tcp: ", 5) == 0)
			n = strtoul(strrchr(line, ' '), NULL, 10); /* InCsumErrors is the last */
	fclose(f);
	return n;
}

/* Why "auto" never moves frames of a veth: what its peer has left for a NIC to compute stays
 * so on the other side of a cpumap. */
NET_TEST(steer, a_veth_peer_that_computes_no_checksums_is_refused_behind_a_cpumap, 1500)
{
	unsigned failed = 0;
	unsigned long before;
	struct edge e = {};

	if (!has_two_cpus())
		return;
	e.shield = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_CPUMAP, "edge0");
	check(is_steered(e.shield, STEER_CPUMAP, "tx off"));
	listen_both(&e, 0, "192.0.2.1");
	run_on(0);
	peer_checksums(n, false);
	before = csum_errors();
	net_enter(n->client);
	for (int i = 0; i < 12; i++) {
		int c = net_connect("192.0.2.1", 443, 150);

		failed += c < 0;
		if (c >= 0)
			close(c);
	}
	net_enter(n->edge);
	check(failed > 0 && csum_errors() > before);
	while (e.fd[0] >= 0) {
		int a = accept4(e.fd[0], NULL, NULL, 0), b = accept4(e.fd[1], NULL, NULL, 0);

		if (a < 0 && b < 0)
			break;
		close(a);
		close(b);
	}
	peer_checksums(n, true);
	storm(n, &e, "192.0.2.1", 40);
	check(e.astray == 0);
	shield_close(e.shield, true);
}

NET_TEST(steer, auto_moves_where_queues_are_few_and_says_why_it_does_not, 1500)
{
	struct shield *s;

	if (!has_two_cpus())
		return;
	s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_AUTO, "edge0");
	check(is_steered(s, STEER_NOTHING, "veth"));
	shield_close(s, true);
	s = up(n, SHIELD_WANT_GENERIC, SHIELD_STEER_WANT_AUTO, "edge0");
	check(is_steered(s, STEER_NOTHING, "RPS"));
	shield_close(s, true);
	s = up(n, SHIELD_WANT_GENERIC, SHIELD_STEER_WANT_CPUMAP, "edge0");
	check(is_steered(s, STEER_NOTHING, "RPS"));
	shield_close(s, true);

	if (net_sh("ip tuntap add tap0 mode tap 2>/dev/null && ip link set tap0 up") == 0) {
		s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_AUTO, "tap0");
		check(first(s).mode == SHIELD_OFF ||
		      is_steered(s, STEER_CPUMAP, "1 receive queue for 2 cores"));
		shield_close(s, true);
	}
	check(net_sh("ip link add v0 numrxqueues 2 numtxqueues 2 type veth peer name v1 "
		     "numrxqueues 2 numtxqueues 2 && ip link set v0 up && ip link set v1 up && "
		     "ethtool -L v0 rx 2 tx 2") == 0);
	s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_AUTO, "v0");
	check(is_steered(s, STEER_RSS, "2 receive queues for 2 cores"));
	shield_close(s, true);

	s = up(n, SHIELD_WANT_AUTO, SHIELD_STEER_WANT_AUTO, "lo");
	check(is_steered(s, STEER_NOTHING, "loopback"));
	shield_close(s, true);
	s = up(n, SHIELD_WANT_GENERIC, SHIELD_STEER_WANT_OFF, "edge0");
	check(is_steered(s, STEER_NOTHING, "as configured"));
	shield_close(s, true);
}

static struct steer_table pinned_table(void)
{
	struct steer_table t;
	char path[160];
	__u32 zero = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/steer_to", pin_dir);
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_map_lookup_elem(fd, &zero, &t) == 0);
	close(fd);
	return t;
}

static unsigned slots_of(unsigned cpu)
{
	struct steer_table t = pinned_table();
	unsigned n = 0;

	for (unsigned i = 0; i < STEER_SLOTS; i++)
		n += t.cpu[i] == cpu;
	return n;
}

NET_TEST(steer, a_core_without_a_worker_lends_its_flows_and_takes_the_same_ones_back, 1500)
{
	struct steer_table before, after;
	struct shield *s;

	if (!has_two_cpus())
		return;
	s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_CPUMAP, "edge0");
	check(slots_of(STEER_HERE) == STEER_SLOTS); /* nobody is ready yet */
	for (unsigned i = 0; i < 2; i++)
		check(shield_worker_mark(s, i, SHIELD_WORKER_UP) == 0);
	before = pinned_table();
	check(slots_of(0) == STEER_SLOTS / 2 && slots_of(1) == STEER_SLOTS / 2);
	check(shield_worker_mark(s, 1, SHIELD_WORKER_FULL) == 0); /* it has connections to serve */
	check(slots_of(1) == STEER_SLOTS / 2);
	check(shield_worker_mark(s, 1, SHIELD_WORKER_DOWN) == 0);
	check(slots_of(0) == STEER_SLOTS);
	check(shield_worker_mark(s, 1, SHIELD_WORKER_UP) == 0);
	after = pinned_table();
	check(memcmp(&before, &after, sizeof(before)) == 0);
	shield_close(s, false); /* killed */

	s = up(n, SHIELD_WANT_NATIVE, SHIELD_STEER_WANT_CPUMAP, "edge0");
	check(pinned_table().seed == before.seed); /* flows do not move with the next keeper */
	shield_close(s, true);
}

TEST_MAIN()
