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
 * bench_flood upload: 5 MB over a connection by cookie and over an ordinary one, in turn. */
#include <sched.h>

#include "base/clock.h"
#include "tests/bpf/run.h"
/* after run.h: it wants its asserts */
#include "tests/bpf/net.h"

#define RUNS    60
#define PACKETS 20000
#define BATCH   64

static struct net *net;
static struct shield *shield;

/* ---- the generator ------------------------------------------------------------------- */

struct code {
	struct bpf_insn at[256];
	unsigned n;
};

static void emit(struct code *c, __u8 op, __u8 dst, __u8 src, __s16 off, __s32 imm)
{
	assert(c->n < ARRAY_SIZE(c->at));
	c->at[c->n++] = (struct bpf_insn){
		.code = op, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm};
}

enum { MOV = BPF_ALU64 | BPF_MOV | BPF_X, MOVI = BPF_ALU64 | BPF_MOV | BPF_K };

/* r1 into two halves at `a` and `b`, the one the other's complement: their sum, and with it every
 * checksum of the frame, is what it was with 0 and 0xffff there. */
static void emit_halves(struct code *c, int a, int b)
{
	emit(c, BPF_STX | BPF_MEM | BPF_H, 7, 1, (__s16)a, 0);
	emit(c, BPF_ALU64 | BPF_XOR | BPF_K, 1, 0, 0, 0xffff);
	emit(c, BPF_STX | BPF_MEM | BPF_H, 7, 1, (__s16)b, 0);
}

/* Writes `frame` over whatever the recycled page holds, then source, port and sequence number. */
static int generator(const uint8_t *frame, size_t n, bool v6, unsigned ifindex)
{
	int l4 = v6 ? 54 : 34, src = v6 ? 26 : 26, fd;
	struct code c = {};
	unsigned hole;

	emit(&c, BPF_LDX | BPF_MEM | BPF_W, 7, 1, 0, 0);
	emit(&c, BPF_LDX | BPF_MEM | BPF_W, 8, 1, 4, 0);
	emit(&c, MOV, 1, 7, 0, 0);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, (__s32)n);
	hole = c.n;
	emit(&c, BPF_JMP | BPF_JGT | BPF_X, 1, 8, 0, 0);
	for (size_t i = 0; i + 4 <= n; i += 4) {
		__s32 word;

		memcpy(&word, frame + i, 4);
		emit(&c, BPF_ST | BPF_MEM | BPF_W, 7, 0, (__s16)i, word);
	}
	if (n % 4) {
		__u16 half;

		memcpy(&half, frame + n - 2, 2);
		emit(&c, BPF_ST | BPF_MEM | BPF_H, 7, 0, (__s16)(n - 2), half);
	}
	emit(&c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
	emit(&c, MOV, 9, 0, 0, 0);
	emit(&c, MOV, 1, 9, 0, 0);
	/* the first byte in 16..79: nobody's loopback or multicast */
	emit(&c, BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, v6 ? 0xffff : 0xff3f);
	emit(&c, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, v6 ? 0 : 0x10);
	emit_halves(&c, src, src + 2);
	emit(&c, MOV, 1, 9, 0, 0);
	emit(&c, BPF_ALU64 | BPF_RSH | BPF_K, 1, 0, 0, 16);
	emit_halves(&c, l4, l4 + 4);
	emit(&c, MOVI, 1, 0, 0, (__s32)ifindex);
	emit(&c, MOVI, 2, 0, 0, 0);
	emit(&c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect);
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	c.at[hole].off = (__s16)(c.n - hole - 1);
	emit(&c, MOVI, 0, 0, 0, XDP_ABORTED);
	emit(&c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "flood", "GPL", c.at, c.n, NULL);
	assert(fd >= 0);
	return fd;
}

/* The text's frame, with the halves that vary as 0 and 0xffff when its sums are made. */
static size_t template(const char *text, bool v6, uint8_t *frame)
{
	size_t n = packet_make(text, frame), l4 = v6 ? 54 : 34;
	uint32_t sum;

	if (!v6) {
		store_be32(frame + 26, 0x0000ffff);
		store_be16(frame + 24, 0);
		store_be16(frame + 24, packet_fold(packet_sum(0, frame + 14, 20)));
	} else {
		store_be32(frame + 26, 0x0000ffff);
	}
	store_be16(frame + l4, 0);
	store_be16(frame + l4 + 4, 0xffff);
	store_be16(frame + l4 + 16, 0);
	sum = packet_sum((uint32_t)(n - l4) + 6, frame + (v6 ? 22 : 26), v6 ? 32 : 8);
	store_be16(frame + l4 + 16, packet_fold(packet_sum(sum, frame + l4, n - l4)));
	return n;
}

/* Nanoseconds for each of PACKETS, generator and receiver together. */
static double once(int prog, uint8_t *frame, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = PACKETS, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	uint64_t began = clock_mono_ns();
	int err = bpf_prog_test_run_opts(prog, &opts);

	if (err) {
		fprintf(stderr, "live frames: %s\n", strerror(-err));
		exit(1);
	}
	return (double)(clock_mono_ns() - began) / PACKETS;
}

static double flood(const char *text, bool v6)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = template(text, v6, frame);
	double least = 1e9;
	int prog;

	net_enter(net->client);
	prog = generator(frame, n, v6, if_nametoindex("cli0"));
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
		{.code = MOVI, .imm = action},
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

static void shield_up(void)
{
	struct shield_protect list[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP},
	};
	const char *edge0 = "edge0";
	char pin[128];
	struct shield_config cfg = {
		.mode = SHIELD_WANT_NATIVE,
		.ifaces = &edge0,
		.n_ifaces = 1,
		.plan = {.protect = list, .n_protect = 2, .rules = shield_rules_default()},
		.pin_dir = pin,
	};

	cfg.plan.rules.cookies = COOKIES_ALWAYS;
	cfg.plan.rules.rate = RULE_OFF; /* its price is bench_xdp's; here it would drop the flood */
	cfg.plan.rules.synack_limit = 1u << 30;
	cfg.plan.rules.stale_limit = 0;
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
	double syn_base, ack_base, kernel2, kernel1, reset, ours, ours_ack;
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
	assert(shield_cookies_read(shield, &before) == 0 && shield_stats_read(shield, &s0) == 0);
	ours = flood(syn, v6);
	assert(shield_cookies_read(shield, &after) == 0);
	ours_ack = flood(ack, v6);
	assert(shield_stats_read(shield, &s1) == 0);
	printf("%s: %.3f of the SYNs answered, %.3f of the ACKs dropped\n", families[f].name,
	       (double)(after.answered - before.answered) / (PACKETS * (RUNS + 1.0)),
	       (double)(s1.drop[DROP_NO_FLOW] - s0.drop[DROP_NO_FLOW]) / (PACKETS * (RUNS + 1.0)));
	shield_close(shield, true);

	line("SYN: generated, dropped by two instructions", syn_base, syn_base, 0);
	line("SYN: kernel, tcp_syncookies=2", kernel2, syn_base, 0);
	line("SYN: kernel, tcp_syncookies=1, queue full", kernel1, syn_base, 0);
	line("SYN: shield, against =2", ours, syn_base, kernel2);
	line("SYN: shield, against =1", ours, syn_base, kernel1);
	line("ACK: generated, dropped", ack_base, ack_base, 0);
	line("ACK: kernel answers with RST", reset, ack_base, 0);
	line("ACK: shield, against it", ours_ack, ack_base, reset);
}

/* ---- upload ------------------------------------------------------------------------------- */

static double upload(const char *ip, uint16_t port)
{
	struct pair p = net_pair(net, ip, port);
	uint64_t began = clock_mono_ns();

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
		ordinary[i] = upload(ip, 80);
		cookie[i] = upload(ip, 443);
	}
	qsort(ordinary, ARRAY_SIZE(ordinary), sizeof(double), by_size);
	qsort(cookie, ARRAY_SIZE(cookie), sizeof(double), by_size);
	printf("5 MB to %s: ordinary %.1f ms, by cookie %.1f ms (medians of %zu); least %.1f, %.1f\n",
	       ip, ordinary[20], cookie[20], ARRAY_SIZE(ordinary), ordinary[0], cookie[0]);
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
	want_upload = argc > 1 && strcmp(argv[1], "upload") == 0;
	return !net_fork(body, 1500);
}
