/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_xdp - nanoseconds per packet through the shield, rule by rule, by prog run.
 *
 *   generator ─► bare program             each packet from another source: what a flood costs
 *             └► sluice_xdp, xdp-filter   net: the one less the other
 *
 * All lines are taken in turn, on one CPU, in runs of a few milliseconds that nobody can interrupt, and
 * each is the least of its runs: what else the machine does can only add. The last columns say what
 * a rule adds to those before it, and what DESIGN.md allows it. "one frame" has every line of
 * every map in the first cache.
 *
 * xdp-filter is the program of xdp-tools, with 1000 addresses or one port to drop; its objects come with
 * Debian's libxdp1. */
#include <sched.h>
#include <time.h>

#include "base/hash.h"
#include "tests/bench/flood.h"
#include "tests/bpf/run.h"
/* after run.h: it wants its asserts */
#include "tests/bpf/net.h"

#define RUNS   15
#define REPEAT 1000000

static struct run run;
static int bare;

static double once(int prog, const uint8_t *frame, size_t n, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = repeat);

	if (bpf_prog_test_run_opts(prog, &opts)) {
		perror("prog run");
		exit(1);
	}
	return opts.duration;
}

static double best(int prog, const uint8_t *frame, size_t n)
{
	double least = 1e9;

	for (int i = 0; i < RUNS; i++) {
		double ns = once(prog, frame, n, REPEAT);

		least = MIN(least, ns);
	}
	return least;
}

static int prog_action(int prog, const uint8_t *frame, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = 1);

	return bpf_prog_test_run_opts(prog, &opts) ? -1 : (int)opts.retval;
}

static void same(const char *what, const char *text)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make(text, frame);
	int action = run_action(&run, frame, n);
	double base = best(bare, frame, n), ns = best(run.prog, frame, n);

	printf("  %-44s %-5s %6.0f %6.0f\n", what, action == XDP_DROP ? "drop" : "pass", ns,
	       ns - base);
}

static int bare_load(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS,
		    .expected_attach_type = BPF_XDP);
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_DROP},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", code, ARRAY_SIZE(code), &frags);
}

static void both_lists(const char *v4_net, const char *v6_net, unsigned n)
{
	struct shield_prefix v4 = run_prefix(v4_net), v6 = run_prefix(v6_net);

	for (unsigned i = 0; i < n; i++) {
		uint64_t h = hash_mix(i + 1);

		memcpy(v4.addr + 1, &h, 3);
		memcpy(v6.addr + 6, &h, 8);
		v6.bits = 64 + i % 2 * 64;
		for (int list = 0; list < LISTS; list++) {
			shield_list_add(&run.shield, list, &v4, 0, SHIELD_DENY_OPERATOR, "");
			shield_list_add(&run.shield, list, &v6, 0, SHIELD_DENY_OPERATOR, "");
		}
	}
}

static void chain(void)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP},
	};

	puts("one frame, rules 5 and 6 off");
	assert(run_policy(&run, list, ARRAY_SIZE(list)) == 0);
	same("ARP", "arp data=20");
	same("IPv4 ICMP", "ip4 icmp");
	same("IPv4 TCP to a port that is not protected", "ip4 tcp A dport=22");
	same("IPv4 TCP, judged, passed", "ip4 tcp S opts=5");
	same("IPv4 TCP in QinQ, judged, passed", "qinq vlan ip4 tcp S opts=5");
	same("IPv6 TCP, judged, passed", "ip6 tcp S opts=5");
	same("IPv6 TCP behind 3 extension headers", "ip6 hbh dopt rt tcp S opts=5");
	same("IPv4 bad flags", "ip4 tcp -");
	same("IPv4 fragment", "ip4 mf=1 tcp S data=8");
	same("IPv6 bad flags", "ip6 tcp -");
}

/* ---- rule by rule ------------------------------------------------------------------------ */

#define LINUX   "o=020405b40402080a00bc614e0000000001030307"
#define STAMPED "o=0101080a00bc614e00000001"
#define ROUNDS  40
#define PACKETS 10000 /* a few milliseconds, in which nobody has disturbed us, now and then */

static void only(struct shield_rules *r)
{
	r->allow = r->deny = r->rate = r->flow = r->syn = RULE_OFF;
}

static void with_lists(struct shield_rules *r)
{
	r->rate = r->flow = r->syn = RULE_OFF;
}

static void with_rates(struct shield_rules *r)
{
	r->flow = r->syn = RULE_OFF;
}

static void with_flow(struct shield_rules *r)
{
	r->syn = RULE_OFF;
}

static void with_syn(struct shield_rules *r)
{
	r->cookies = COOKIES_OFF;
}

static void with_answers(struct shield_rules *r)
{
	r->cookies = COOKIES_ALWAYS;
}

struct line {
	const char *what;
	const char *text; /* behind "ip4 " or "ip6 " */
	void (*set)(struct shield_rules *r);
	const char *object; /* of xdp-filter, instead */
	bool out;           /* a cookie has been given out just now */
	bool heart; /* a second into a flood: connections are known by heart (flow_filter.h) */
	int over;   /* the line, counted back, to which it adds; 0: to nothing */
	int budget; /* for what it adds */
};

static const struct line lines[] = {
	{"to a port that is not protected", "tcp S dport=22 " LINUX, only, .over = 0},
	{"rule 1", "tcp S " LINUX, only, .over = 0},
	{"rules 1 to 3, 1000 hosts on each list", "tcp S " LINUX, with_lists, .over = 1},
	{"rules 1 to 4", "tcp S " LINUX, with_rates, .budget = 120},
	{"rules 1 to 6: a SYN that the kernel answers", "tcp S " LINUX, with_syn, .over = 1},
	{"rules 1 to 6: a SYN answered by cookie", "tcp S " LINUX, with_answers, .over = 2,
	 .budget = 220},
	{"rules 1 to 6: the same, in a flood", "tcp S " LINUX, with_answers, .over = 3,
	 .budget = 220, .heart = true},
	{"rules 1 to 4, ACK", "tcp A " STAMPED, with_rates, .budget = 120},
	{"rules 1 to 5: nobody's ACK", "tcp A " STAMPED, with_flow, .over = 1, .budget = 70},
	{"rules 1 to 5: the same, in a flood", "tcp A " STAMPED, with_flow, .over = 2, .budget = 70,
	 .heart = true},
	{"rules 1 to 5: nobody's ACK, cookies are out", "tcp A " STAMPED, with_flow, .over = 3,
	 .out = true},
	{"rules 1 to 5: the same, in a flood", "tcp A " STAMPED, with_flow, .over = 4, .budget = 70,
	 .out = true, .heart = true},
	{"xdp-filter, one of 1000 addresses: pass", "tcp S " LINUX, .object = "ip"},
	{"xdp-filter, a port: pass", "tcp S dport=443 " LINUX, .object = "tcp"},
	{"xdp-filter, a port: drop", "tcp S dport=80 " LINUX, .object = "tcp"},
	{"xdp-filter, everything: pass", "tcp S dport=443 " LINUX, .object = "all"},
};

struct measured {
	int prog, gen, gen_bare;
	double ns, base;
	int action;
};

static void rules(const struct line *l)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP},
	};
	/* all the work of rule 4, and never a refusal */
	struct shield_rate wide = {.name = "default"};
	struct shield_limit none = shield_limit_of(0, 0);
	struct shield_plan plan = {.protect = list,
				   .n_protect = 2,
				   .rules = shield_rules_default(),
				   .rates = &wide,
				   .n_rates = 1};
	struct timespec t;
	struct cookie_last last = {};
	struct flow_filter filter = {
		.is = FILTER_ON, .shift = FLOW_SHIFT_MIN, .seed = {hash_mix(1), hash_mix(2)}};
	struct shield_policy now;
	__u32 zero = 0;

	wide.packets = wide.syns = wide.connections = none;
	wide.net_packets = wide.net_syns = wide.net_connections = none;
	plan.rules.synack_limit = 1u << 30;
	plan.rules.stale_limit = 0;
	l->set(&plan.rules);
	assert(shield_policy_set(&run.shield, &plan, 0) == 0);
	assert(policy_read(&run.shield, &now) == 0);
	filter.bank = now.bank;
	if (l->heart)
		assert(bpf_map__update_elem(run.shield.xdp->maps.flow_filter, &zero, sizeof(zero),
					    &filter, sizeof(filter), 0) == 0);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	if (l->out)
		last.ns = (__u64)t.tv_sec * 1000000000 + (__u64)t.tv_nsec;
	bpf_map__update_elem(run.shield.xdp->maps.cookie_last, &zero, sizeof(zero), &last,
			     sizeof(last), 0);
}

/* Each packet from another source, and whole again, though the one before has become a SYN-ACK: the
 * generator runs before the program, and before the bare one that is taken off. */
static int generate_into(int prog, const uint8_t *frame, size_t n, bool v6)
{
	int progs = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "progs", 4, 4, 1, NULL), gen;
	__u32 zero = 0;

	gen = flood_prog(frame, n, v6, 0, progs);
	assert(bpf_map_update_elem(progs, &zero, &prog, BPF_ANY) == 0);
	return gen; /* it holds the array */
}

/* The program that xdp-tools ships, with rules against 1000 addresses and against port 80; -1: not
 * installed. */
static int filter_prog(const char *features)
{
	int cpus = libbpf_num_possible_cpus();
	struct shield_prefix p = run_prefix("16.0.0.0"), p6 = run_prefix("2001:db8::");
	__u64 *flags = calloc((size_t)cpus, sizeof(*flags)), tcp = 1 | 2 | 4; /* from, to, TCP */
	struct bpf_object *o;
	struct bpf_map *m;
	__u32 port = htons(80);
	char path[128];

	snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_%s.o", features);
	o = access(path, R_OK) ? NULL : bpf_object__open_file(path, NULL);
	if (!o)
		return -1;
	bpf_object__for_each_map(m, o) bpf_map__set_pin_path(m, NULL);
	bpf_program__set_flags(bpf_object__next_program(o, NULL), BPF_F_XDP_HAS_FRAGS);
	assert(bpf_object__load(o) == 0);
	for (int i = 0; i < cpus; i++)
		flags[i] = 1; /* as a source */
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t h = hash_mix(i + 1);

		memcpy(p.addr + 1, &h, 3);
		memcpy(p6.addr + 8, &h, 8);
		m = bpf_object__find_map_by_name(o, "filter_ipv4");
		if (m)
			assert(bpf_map_update_elem(bpf_map__fd(m), p.addr, flags, 0) == 0);
		m = bpf_object__find_map_by_name(o, "filter_ipv6");
		if (m)
			assert(bpf_map_update_elem(bpf_map__fd(m), p6.addr, flags, 0) == 0);
	}
	m = bpf_object__find_map_by_name(o, "filter_ports");
	for (int i = 0; i < cpus; i++)
		flags[i] = tcp;
	if (m)
		assert(bpf_map_update_elem(bpf_map__fd(m), &port, flags, 0) == 0);
	free(flags);
	return bpf_program__fd(bpf_object__next_program(o, NULL));
}

static void prepare(const struct line *l, struct measured *m, bool v6)
{
	static uint8_t frame[PACKET_MAX];
	char text[256];
	size_t n;

	*m = (struct measured){.ns = 1e9, .base = 1e9};
	m->prog = l->object ? filter_prog(l->object) : run.prog;
	if (m->prog < 0)
		return;
	snprintf(text, sizeof(text), "ip%d %s", v6 ? 6 : 4, l->text);
	if (!l->object)
		rules(l);
	n = packet_make(text, frame);
	m->action = prog_action(m->prog, frame, n);
	n = flood_frame(text, v6, frame);
	m->gen = generate_into(m->prog, frame, n, v6);
	m->gen_bare = generate_into(bare, frame, n, v6);
}

static double alone_once(int gen)
{
	static uint8_t room[128]; /* the generator writes the frame */
	double ns;

	flood_alone(true);
	ns = once(gen, room, 86 + 14, PACKETS);
	flood_alone(false);
	return ns;
}

static void show(const struct line *l, const struct measured *m)
{
	double net = m->ns - m->base;

	if (m->prog < 0) {
		printf("  %-46s is not installed here\n", l->what);
		return;
	}
	printf("  %-46s %-5s %6.0f %6.0f", l->what,
	       m->action == XDP_TX   ? "tx" :
	       m->action == XDP_DROP ? "drop" :
				       "pass",
	       m->ns, net);
	if (l->over)
		net -= (m - l->over)->ns - (m - l->over)->base;
	printf(l->over ? " %+6.0f" : "       ", net);
	if (l->budget)
		printf("  of %d%s", l->budget, net > l->budget ? " OVER" : "");
	putchar('\n');
}

static void rule_by_rule(bool v6)
{
	struct measured m[ARRAY_SIZE(lines)];

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		prepare(&lines[i], &m[i], v6);
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
			double ns, base;

			if (m[i].prog < 0)
				continue;
			if (!lines[i].object)
				rules(&lines[i]);
			base = alone_once(m[i].gen_bare);
			ns = alone_once(m[i].gen);
			m[i].base = MIN(m[i].base, base);
			m[i].ns = MIN(m[i].ns, ns);
		}
	printf("IPv%d, %s\n", v6 ? 6 : 4,
	       flood_still ? "always the same source" : "another source each time");
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		show(&lines[i], &m[i]);
}

/* Of a connection that lives: one, again and again. */
static void established(void)
{
	static const struct line off = {.set = with_rates}, on = {.set = with_flow};
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	char text[128];
	int fd;

	run_loopback(&run, true);
	fd = net_connect("192.0.2.1", 443, 1000);
	assert(fd >= 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0);
	snprintf(text, sizeof(text), "ip4 src=192.0.2.1 tcp A " STAMPED " sport=%u",
		 ntohs(at.sin_port));
	puts("one connection");
	rules(&off);
	same("rules 1 to 4, ACK", text);
	rules(&on);
	same("rules 1 to 5", text);
	close(fd);
}

static void connections(void)
{
	struct shield_cookie c = {.how = COOKIE_OWN, .offer = 15, .wscale = 7, .window = 65483};
	__u32 zero = 0;

	net_namespace();
	assert(net_sh("ip addr add 192.0.2.1/32 dev lo && ip addr add 2001:db8::1/128 dev lo nodad") ==
	       0);
	net_listen("192.0.2.1", 443);
	net_listen("2001:db8::1", 443);
	assert(cookie_keys_turn(run.shield.xdp->maps.cookie_key) == 0);
	bpf_map__update_elem(run.shield.xdp->maps.cookie, &zero, sizeof(zero), &c, sizeof(c), 0);
	both_lists("100.64.0.0", "2001:db8:1::", 1000);
	rule_by_rule(false);
	rule_by_rule(true);
	flood_still = true;
	rule_by_rule(false);
	rule_by_rule(true);
	established();
}

int main(int argc, char **argv)
{
	cpu_set_t one;

	if (!run_may()) {
		puts("skipped: needs root to load BPF");
		return 0;
	}
	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	run_open(&run);
	/* limits that are looked at like any other, and that no test run reaches */
	run.rate = (struct shield_rate){.name = "none",
					.packets.ahead_ns = SHIELD_AHEAD_MAX,
					.syns.ahead_ns = SHIELD_AHEAD_MAX,
					.connections.ahead_ns = SHIELD_AHEAD_MAX,
					.net_packets.ahead_ns = SHIELD_AHEAD_MAX,
					.net_syns.ahead_ns = SHIELD_AHEAD_MAX,
					.net_connections.ahead_ns = SHIELD_AHEAD_MAX};
	run_loopback(&run, false);
	bare = bare_load();
	if (bare < 0) {
		perror("set-up");
		return 1;
	}
	printf("%-48s %-5s %6s %6s %6s\n", "ns per packet", "", "all", "net", "adds");
	connections();
	if (argc < 2)
		chain();
	run_close(&run);
	return 0;
}
