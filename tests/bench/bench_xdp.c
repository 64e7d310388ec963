/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_xdp - nanoseconds per packet through the shield, by prog run.
 *
 * Net of a program that only returns XDP_DROP, measured between the others. Each
 * line is the least of several runs, on one CPU: what else the machine does can
 * only add. "same" repeats one frame, so that every line of every map is in the
 * first cache; "spread" takes 4096 sources in turn, one call each, net of the
 * bare program called in the same way, which is noisier and nearer to a flood. */
#include <sched.h>

#include "base/hash.h"
#include "tests/bpf/run.h"

#define RUNS    15
#define REPEAT  1000000
#define SOURCES 4096

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

static void same(const char *what, const char *text)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make(text, frame);
	int action = run_action(&run, frame, n);
	double base = best(bare, frame, n), ns = best(run.prog, frame, n);

	printf("  %-44s %-5s %6.0f %6.0f\n", what, action == XDP_DROP ? "drop" : "pass", ns,
	       ns - base);
}

/* Rewrites the source for each call: random within 100.64/10 or 2001:db8:1::/48. */
static double spread_once(int prog, uint8_t *frame, size_t n, bool v6)
{
	double sum = 0;

	for (uint32_t i = 0; i < SOURCES; i++) {
		uint64_t h = hash_mix(i + 1);

		if (v6)
			memcpy(frame + 14 + 8 + 6, &h, 8);
		else
			memcpy(frame + 14 + 12 + 1, &h, 3);
		sum += once(prog, frame, n, 1);
	}
	return sum / SOURCES;
}

static void spread(const char *what, const char *text, bool v6)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make(text, frame);
	double base = 1e9, ns = 1e9;

	for (int i = 0; i < RUNS; i++) {
		double b = spread_once(bare, frame, n, v6), p = spread_once(run.prog, frame, n, v6);

		base = MIN(base, b);
		ns = MIN(ns, p);
	}
	printf("  %-44s %-5s %6.0f %6.0f\n", what,
	       run_action(&run, frame, n) == XDP_DROP ? "drop" : "pass", ns, ns - base);
}

static int bare_load(void)
{
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_DROP},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", code, ARRAY_SIZE(code), NULL);
}

static void deny_many(const char *v4_net, const char *v6_net, unsigned n)
{
	struct shield_prefix v4 = run_prefix(v4_net), v6 = run_prefix(v6_net);

	for (unsigned i = 0; i < n; i++) {
		uint64_t h = hash_mix(i + 1);

		memcpy(v4.addr + 1, &h, 3);
		memcpy(v6.addr + 6, &h, 8);
		v4.bits = 32;
		v6.bits = 64 + i % 2 * 64;
		shield_deny_add(&run.shield, &v4, 0, SHIELD_DENY_OPERATOR, "");
		shield_deny_add(&run.shield, &v6, 0, SHIELD_DENY_OPERATOR, "");
	}
}

static void chain(void)
{
	puts("one frame, repeated");
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

static void lists(void)
{
	printf("%u denied hosts per family\n", 1000);
	deny_many("100.64.0.0", "2001:db8:1::", 1000);
	same("IPv4 not on the list", "ip4 tcp S opts=5");
	same("IPv6 not on the list", "ip6 tcp S opts=5");
	spread("IPv4 random source in the denied net, spread", "ip4 src=100.64.0.0 tcp S opts=5",
	       false);
	spread("IPv6 random source in the denied net, spread", "ip6 tcp S opts=5", true);
	puts("and one prefix around them all");
	deny_many("100.64.0.0", "2001:db8:1::", 0);
	struct shield_prefix p4 = run_prefix("100.0.0.0/8"), p6 = run_prefix("2001:db8:1::/48");
	shield_deny_add(&run.shield, &p4, 0, SHIELD_DENY_OPERATOR, "");
	shield_deny_add(&run.shield, &p6, 0, SHIELD_DENY_OPERATOR, "");
	same("IPv4 denied", "ip4 src=100.1.2.3 tcp S opts=5");
	same("IPv6 denied", "ip6 tcp S opts=5");
	spread("IPv4 denied, spread", "ip4 src=100.64.0.0 tcp S opts=5", false);
	spread("IPv6 denied, spread", "ip6 tcp S opts=5", true);
	p4 = run_prefix("100.1.2.3");
	shield_deny_add(&run.shield, &p4, 3600, SHIELD_DENY_OPERATOR, "");
	same("IPv4 denied for an hour", "ip4 src=100.1.2.3 tcp S opts=5");
}

int main(void)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP},
	};
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
	if (bare < 0 || run_policy(&run, list, ARRAY_SIZE(list))) {
		perror("set-up");
		return 1;
	}
	printf("%-46s %-5s %6s %6s\n", "ns per packet", "", "all", "net");
	chain();
	lists();
	run_close(&run);
	return 0;
}
