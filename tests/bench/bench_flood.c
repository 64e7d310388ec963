/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_flood - what a hostile packet costs, with the shield and without.
 *
 *   generator ─► cli0 ═veth═ edge0: XDP, or the kernel's stack ─► replies ─► cli0: dropped
 *
 * The generator is an XDP program that the kernel runs by itself (BPF_F_TEST_XDP_LIVE_FRAMES): it
 * writes a whole frame with another source each time and sends it. It shares a core with
 * what receives, so a packet's price is wall time by packets, net of the same with a
 * program that drops everything. Each line is the least of several runs: what else the machine does
 * can only add. Ratios are against the kernel's own path in the same run.
 *
 * bench_flood upload: 5 MB over a connection by cookie and over one that the kernel answered, in turn, to the same port.
 * bench_flood send IFACE PACKET: floods out of the interface as told on its standard input, for flood.py. */
#include <linux/if_link.h>
#include <sched.h>

#include "base/clock.h"
#include "tests/bench/flood.h"
#include "tests/bpf/run.h"
/* after run.h: it wants its asserts */
#include "tests/bpf/net.h"

#define RUNS    60
#define PACKETS 10000
#define BATCH   64

static struct net *net;
static struct shield *shield;

/* Nanoseconds for each of PACKETS, generator and receiver together. */
static double once(int prog, uint8_t *frame, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = PACKETS, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	int err;

	flood_alone(true);
	err = bpf_prog_test_run_opts(prog, &opts);
	flood_alone(false);
	if (err) {
		fprintf(stderr, "live frames: %s\n", strerror(-err));
		exit(1);
	}
	return opts.duration;
}

static double flood(const char *text, bool v6)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = flood_frame(text, v6, frame);
	double least = 1e9;
	int prog;

	net_enter(net->client);
	prog = flood_prog(frame, n, v6, if_nametoindex("cli0"), -1);
	once(prog, frame, n);
	for (int i = 0; i < RUNS; i++) {
		double ns = once(prog, frame, n);

		least = MIN(least, ns);
	}
	close(prog);
	net_enter(net->edge);
	return least;
}

/* ---- what stands in its way ------------------------------------------------------------ */

static int verdict_prog(int action)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = action},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "verdict", "GPL", code, ARRAY_SIZE(code), &frags);

	assert(fd >= 0);
	return fd;
}

/* A link that is let go of when its descriptor closes. */
static int attach(int ns, const char *iface, int action)
{
	int link;

	net_enter(ns);
	link = bpf_link_create(verdict_prog(action), (int)if_nametoindex(iface), BPF_XDP, NULL);
	net_enter(net->edge);
	assert(link >= 0);
	return link;
}

/* All rules, for HTTPS. */
static struct shield_plan plan_with(enum shield_cookies cookies)
{
	static struct shield_protect list[2];
	struct shield_plan plan = {
		.protect = list, .n_protect = 2, .rules = shield_rules_default()};

	list[0] = (struct shield_protect){
		.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP};
	list[1] = (struct shield_protect){.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP};
	plan.rules.cookies = cookies;
	plan.rules.synack_limit = 1u << 30;
	plan.rules.stale_limit = 0;
	return plan;
}

static void shield_up(void)
{
	const char *edge0 = "edge0";
	char pin[128];
	struct shield_config cfg = {
		.mode = SHIELD_WANT_NATIVE,
		.ifaces = &edge0,
		.n_ifaces = 1,
		.plan = plan_with(COOKIES_ALWAYS),
		.pin_dir = pin,
	};

	snprintf(pin, sizeof(pin), "%s/sluice", net->dir);
	assert(shield_open(&cfg, &shield) == 0 && shield_is_on(shield));
}

static void set(const char *name, const char *value)
{
	assert(net_sh("echo %s > /proc/sys/net/ipv4/%s", value, name) == 0);
}

/* One next hop for everybody, whose address is known: nobody is asked for by ARP. */
static void routes(void)
{
	assert(net_sh("ip neigh replace 198.51.100.9 lladdr 02:00:00:00:00:02 dev edge0 nud permanent && "
		      "ip route replace default via 198.51.100.9 dev edge0 onlink && "
		      "ip -6 neigh replace 2001:db8::9 lladdr 02:00:00:00:00:02 dev edge0 nud permanent && "
		      "ip -6 route replace default via 2001:db8::9 dev edge0 onlink") == 0);
}

/* ---- connections known by heart, as a second into a flood ------------------------------------ */

static uint64_t now_ns;

static void second(void)
{
	struct pollfd p;

	now_ns += SHIELD_FLOWS_NS;
	shield_flows_tick(shield, now_ns);
	while ((p.fd = shield_flows_fd(shield)) >= 0) {
		p.events = POLLIN;
		assert(poll(&p, 1, 5000) == 1);
		shield_flows_hear(shield);
	}
}

static bool is_by_heart(void)
{
	struct shield_flow_stats f;

	assert(shield_flows_read(shield, &f) == 0);
	return f.is == FILTER_ON;
}

static void by_heart(const char *text, bool v6)
{
	if (!now_ns)
		now_ns = clock_mono_ns();
	second();
	for (int i = 0; i < 4 && !is_by_heart(); i++) {
		flood(text, v6);
		second();
	}
	assert(is_by_heart());
}

/* ---- the table --------------------------------------------------------------------------- */

#define LINUX "o=020405b40402080a00bc614e0000000001030307"

static const struct {
	const char *name, *syn, *ack;
	bool v6;
} families[] = {
	{"IPv4", "ip4 tcp S " LINUX, "ip4 tcp A o=0101080a00bc614e00000001", false},
	{"IPv6", "ip6 tcp S " LINUX, "ip6 tcp A o=0101080a00bc614e00000001", true},
};

static void line(const char *what, double ns, double base, double kernel)
{
	printf("  %-52s %7.0f %7.0f", what, ns, ns - base);
	if (kernel > 0)
		printf("   1/%.1f", (kernel - base) / (ns - base));
	putchar('\n');
	fflush(stdout);
}

static void measure(size_t f)
{
	const char *syn = families[f].syn, *ack = families[f].ack;
	bool v6 = families[f].v6;
	struct shield_cookie_stats before, after;
	double syn_base, ack_base, kernel2, kernel1, reset, syn_first, ack_first, ours, ours_ack,
		busy_ack;
	struct shield_stats s0, s1;
	int link;

	link = attach(net->edge, "edge0", XDP_DROP);
	syn_base = flood(syn, v6);
	ack_base = flood(ack, v6);
	close(link);
	link = attach(net->edge, "edge0", XDP_PASS);
	set("tcp_syncookies", "2");
	kernel2 = flood(syn, v6);
	set("tcp_syncookies", "1");
	kernel1 = flood(syn, v6);
	reset = flood(ack, v6);
	close(link);

	shield_up();
	ack_first = flood(ack, v6);
	by_heart(ack, v6);
	assert(shield_stats_read(shield, &s0) == 0);
	ours_ack = flood(ack, v6);
	assert(shield_cookies_read(shield, &before) == 0 && shield_stats_read(shield, &s1) == 0);
	ours = flood(syn, v6);
	assert(shield_cookies_read(shield, &after) == 0);
	busy_ack = flood(ack, v6);
	for (int i = 0; i < 12; i++)
		second();
	assert(!is_by_heart());
	syn_first = flood(syn, v6);
	printf("%s: %.3f of the SYNs answered, %.3f of the ACKs dropped\n", families[f].name,
	       (double)(after.answered - before.answered) / (PACKETS * (RUNS + 1.0)),
	       (double)(s1.drop[DROP_NO_FLOW] - s0.drop[DROP_NO_FLOW]) / (PACKETS * (RUNS + 1.0)));
	shield_close(shield, true);

	line("SYN: generated, dropped by two instructions", syn_base, syn_base, 0);
	line("SYN: kernel, tcp_syncookies=2", kernel2, syn_base, 0);
	line("SYN: kernel, tcp_syncookies=1, queue full", kernel1, syn_base, 0);
	line("SYN: shield, first second of a flood, against =2", syn_first, syn_base, kernel2);
	line("SYN: shield, against =2", ours, syn_base, kernel2);
	line("SYN: shield, against =1", ours, syn_base, kernel1);
	line("ACK: generated, dropped", ack_base, ack_base, 0);
	line("ACK: kernel answers with RST", reset, ack_base, 0);
	line("ACK: shield, first second of a flood", ack_first, ack_base, reset);
	line("ACK: shield, against it", ours_ack, ack_base, reset);
	line("ACK: shield, while cookies are out", busy_ack, ack_base, reset);
}

/* ---- upload ------------------------------------------------------------------------------- */

static double upload(const char *ip, enum shield_cookies cookies)
{
	struct shield_plan plan = plan_with(cookies);
	struct shield_cookie_stats before, after;
	struct pair p;
	uint64_t began;

	assert(shield_policy_set(shield, &plan, 0) == 0);
	assert(shield_cookies_read(shield, &before) == 0);
	p = net_pair(net, ip, 443);
	assert(shield_cookies_read(shield, &after) == 0);
	assert((after.made > before.made) == (cookies == COOKIES_ALWAYS));
	began = clock_mono_ns();
	assert(net_bulk(p.client, p.server, 5000000));
	began = clock_mono_ns() - began;
	net_pair_close(&p);
	return (double)began / 1e6;
}

static int by_size(const void *a, const void *b)
{
	return *(const double *)a < *(const double *)b ? -1 : 1;
}

static void uploads(const char *ip)
{
	double ordinary[41], cookie[41];

	for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++) {
		ordinary[i] = upload(ip, COOKIES_OFF);
		cookie[i] = upload(ip, COOKIES_ALWAYS);
	}
	qsort(ordinary, ARRAY_SIZE(ordinary), sizeof(double), by_size);
	qsort(cookie, ARRAY_SIZE(cookie), sizeof(double), by_size);
	printf("5 MB to %s: ordinary %.1f ms, by cookie %.1f ms (medians of %zu); least %.1f, %.1f\n",
	       ip, ordinary[20], cookie[20], ARRAY_SIZE(ordinary), ordinary[0], cookie[0]);
}

/* ---- on behalf of flood.py ----------------------------------------------------------------- */

/* What comes back for the forged sources is nobody's; what is for the honest client's net, or is no
 * IPv4 or global IPv6 at all, passes. That there is a program also lets a veth's other end answer. */
static int answers_prog(void)
{
	enum { END_PASS = 18, END_DROP = 20 };
	const struct bpf_insn code[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = 0},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 3, .src_reg = 1, .off = 4},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 4, .src_reg = 2},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 4, .imm = 54},
		{.code = BPF_JMP | BPF_JGT | BPF_X,
		 .dst_reg = 4,
		 .src_reg = 3,
		 .off = END_PASS - 5},
		{.code = BPF_LDX | BPF_MEM | BPF_H, .dst_reg = 5, .src_reg = 2, .off = 12},
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 5, .imm = 0xdd86, .off = 5},
		{.code = BPF_JMP | BPF_JNE | BPF_K,
		 .dst_reg = 5,
		 .imm = 0x0008,
		 .off = END_PASS - 8},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 5, .src_reg = 2, .off = 30},
		{.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = 5, .imm = 0xffffff},
		{.code = BPF_JMP | BPF_JEQ | BPF_K,
		 .dst_reg = 5,
		 .imm = 0x6433c6,
		 .off = END_PASS - 11},
		{.code = BPF_JMP | BPF_JA, .off = END_DROP - 12},
		/* IPv6: 2000::/3 but for …:1::/64 */
		{.code = BPF_LDX | BPF_MEM | BPF_B, .dst_reg = 5, .src_reg = 2, .off = 38},
		{.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = 5, .imm = 0xe0},
		{.code = BPF_JMP | BPF_JNE | BPF_K,
		 .dst_reg = 5,
		 .imm = 0x20,
		 .off = END_PASS - 15},
		{.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 5, .src_reg = 2, .off = 42},
		{.code = BPF_JMP | BPF_JEQ | BPF_K,
		 .dst_reg = 5,
		 .imm = 0x100,
		 .off = END_PASS - 17},
		{.code = BPF_JMP | BPF_JA, .off = END_DROP - 18},
		[END_PASS] = {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
		[END_DROP] = {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_DROP},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS);

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "answers", "GPL", code, ARRAY_SIZE(code), &frags);
}

/* Of frames that are sent at once: what a veth's ring of 256 can hold. Not less, because each run takes one of the
 * kernel's 65,534 numbers for pools of pages, and gives it back seconds later. */
#define BUNCH 192

/* So many a second, in bunches; returns how many. */
static uint64_t pace(int prog, uint64_t per_s, uint64_t ms)
{
	static uint8_t room[128];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = room, .data_size_in = 100, .repeat = BUNCH,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	uint64_t began = clock_mono_ns(), sent = 0, now;

	flood_alone(true);
	while ((now = clock_mono_ns() - began) < ms * 1000000) {
		uint64_t due = sent * 1000000000 / per_s;

		if (now < due) {
			if (due - now > 60000) /* a timer is late by as much */
				usleep((useconds_t)((due - now) / 1000 - 50));
			continue;
		}
		if (now > due + 1000000) /* it cannot be done: what is late stays unsent */
			began += now - due - 1000000;
		int err = bpf_prog_test_run_opts(prog, &opts);

		if (err == -EINTR)
			continue;
		if (err) { /* a flood that ends early would look like one that was survived */
			fprintf(stderr, "live frames: %s after %lu\n", strerror(-err),
				(unsigned long)sent);
			exit(1);
		}
		sent += BUNCH;
	}
	flood_alone(false);
	return sent;
}

static int send_as_told(const char *iface, const char *text)
{
	static uint8_t frame[PACKET_MAX];
	bool v6 = text[2] == '6';
	unsigned ifindex = if_nametoindex(iface);
	unsigned long per_s, ms;
	int prog = flood_prog(frame, flood_frame(text, v6, frame), v6, ifindex, -1);
	int back = answers_prog();
	LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);

	if (back < 0 || bpf_link_create(back, (int)ifindex, BPF_XDP, NULL) < 0) {
		perror(iface);
		return 1;
	}
	/* a program that is attached nowhere costs twenty milliseconds a run */
	if (bpf_link_create(prog, 1, BPF_XDP, &generic) < 0)
		perror("lo");
	puts("ready");
	fflush(stdout);
	while (scanf("%lu %lu", &per_s, &ms) == 2) {
		uint64_t began = clock_mono_ns(), sent = per_s ? pace(prog, per_s, ms) : 0;

		began = clock_mono_ns() - began;
		printf("%.0f %.0f\n", (double)sent * 1e9 / (double)began, (double)began / 1e6);
		fflush(stdout);
	}
	return 0;
}

static bool want_upload;

static void body(struct net *n)
{
	cpu_set_t one;

	net = n;
	if (want_upload) {
		attach(net->client, "cli0", XDP_PASS);
		shield_up();
		uploads("192.0.2.1");
		uploads("2001:db8::1");
		shield_close(shield, true);
		return;
	}
	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	routes();
	net_listen("192.0.2.1", 443);
	net_listen("2001:db8::1", 443);
	attach(net->client, "cli0", XDP_DROP);
	printf("%-54s %7s %7s\n", "ns per packet, generator and receiver on one core", "all",
	       "net");
	for (size_t f = 0; f < ARRAY_SIZE(families); f++)
		measure(f);
}

int main(int argc, char **argv)
{
	if (!run_may()) {
		puts("skipped: needs root for namespaces and BPF");
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "send") == 0)
		return send_as_told(argv[2], argv[3]);
	want_upload = argc > 1 && strcmp(argv[1], "upload") == 0;
	return !net_fork(body, 1500);
}
