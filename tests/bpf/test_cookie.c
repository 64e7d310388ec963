/* SPDX-License-Identifier: BSD-2-Clause */
/* test_cookie.c - rules 5 and 6 by prog run: SYNs and what answers them, cookies that come back.
 *
 * The process stands in a network namespace of its own, where 192.0.2.1 and 2001:db8::1 are at
 * home and somebody listens on port 443. synack.h reads SYN-ACKs and makes cookies a second time. */
#include "test.h"

#include "net.h"
#include "run.h"
#include "synack.h"

#define LINUX   "020405b40402080a00bc614e0000000001030307"
#define WINDOWS "020405b40103030801010402"
#define APPLE   "020405b4010303060101080a00bc614e0000000004020000"

static struct run run;
static int listeners[2] = {-1, -1};

static const struct cookie_keys keys = {
	.at = {{1, {0x1111, 0x2222}},
	       {2, {0x3333, 0x4444}},
	       {3, {0x5555, 0x6666}},
	       {4, {0x7777, 0x8888}}},
};

static void put(struct bpf_map *map, const void *value, size_t bytes)
{
	__u32 zero = 0;

	assert_int_equal(bpf_map__update_elem(map, &zero, sizeof(zero), value, bytes, BPF_ANY), 0);
}

static void cookies_are(enum shield_cookie_how how, __u32 offer)
{
	struct shield_cookie c = {.how = how, .offer = offer, .wscale = 9, .window = 65483};

	put(run.shield.xdp->maps.cookie, &c, sizeof(c));
}

/* Some were given out just now, for all the program knows. */
static void cookies_were_given(uint64_t ns)
{
	struct cookie_last last = {.ns = ns};

	put(run.shield.xdp->maps.cookie_last, &last, sizeof(last));
}

static struct shield_rules strict(void)
{
	struct shield_rules r = shield_rules_default();

	r.cookies = COOKIES_ALWAYS;
	r.synack_limit = 0;
	r.stale_limit = 0;
	return r;
}

static void policy(struct shield_rules rules)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.0/24"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::/32"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("fe80::/10"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.0/24"), .port = 8443, .proto = L4_TCP},
	};
	struct shield_plan plan = {.protect = list, .n_protect = ARRAY_SIZE(list), .rules = rules};

	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
}

static void begin(void)
{
	if (!run_may())
		test_skip("needs root to load BPF");
	if (listeners[0] < 0) {
		net_namespace();
		assert(net_sh("ip addr add 192.0.2.1/32 dev lo && "
			      "ip addr add 2001:db8::1/128 dev lo nodad") == 0);
		listeners[0] = net_listen("192.0.2.1", 443);
		listeners[1] = net_listen("2001:db8::1", 443);
	}
	run_open(&run);
	run_loopback(&run, false);
	put(run.shield.xdp->maps.cookie_key, &keys, sizeof(keys));
	cookies_are(COOKIE_OWN, OFFER_WSCALE | OFFER_SACK | OFFER_TIMESTAMPS | OFFER_ECN);
	cookies_were_given(coarse_ns());
	policy(strict());
}

/* Of the reply to `text`, if it is one; checks both checksums and that the way back is the way in. */
static bool answer(const char *text, struct synack *s)
{
	static uint8_t in[PACKET_MAX], out[PACKET_MAX];
	size_t n = packet_make(text, in), got;
	int action = run_reply(&run, in, n, out, &got);

	memset(s, 0, sizeof(*s));
	if (action != XDP_TX) {
		assert_int_equal(got, n);
		assert_memory_equal(in, out, n);
		return false;
	}
	synack_read(s, in, out, got);
	return true;
}

/* ---- a cookie, made again --------------------------------------------------------- */

struct made {
	const char *from, *to; /* addresses: his and ours */
	uint16_t sport, dport;
	uint32_t isn; /* his */
	uint32_t data;
	bool form; /* timestamps */
};

static uint32_t isn_of(const struct made *m, uint64_t window)
{
	uint8_t from[16], to[16];
	struct cookie_made again = {.from = from,
				    .to = to,
				    .v6 = strchr(m->from, ':'),
				    .sport = m->sport,
				    .dport = m->dport,
				    .isn = m->isn,
				    .data = m->data,
				    .form = m->form};

	inet_pton(again.v6 ? AF_INET6 : AF_INET, m->from, from);
	inet_pton(again.v6 ? AF_INET6 : AF_INET, m->to, to);
	return cookie_again(&keys, &again, window);
}

/* The clock may step into the next window between there and here. */
static bool is_isn(uint32_t isn, const struct made *m)
{
	return isn == isn_of(m, window_now()) || isn == isn_of(m, window_now() - 1);
}

static const struct made v4 = {"198.51.100.7", "192.0.2.1", 40000, 443, 1000, 0, true};
static const struct made v6 = {"2001:db8:1::7", "2001:db8::1", 40000, 443, 1000, 0, true};

/* What the ACK of whoever got this cookie brings; `flags` and more in `tail`. */
static int ack(const struct made *m, uint32_t isn, const char *flags)
{
	char text[256], options[64] = "";

	if (m->form)
		sprintf(options, "o=0101080a00bc6150%08x", m->data);
	snprintf(text, sizeof(text), "%s src=%s dst=%s tcp %s sport=%u dport=%u seq=%u ack=%u %s",
		 strchr(m->from, ':') ? "ip6" : "ip4", m->from, m->to, flags, m->sport, m->dport,
		 m->isn + 1, isn + 1, options);
	return run_text(&run, text);
}

/* ---- SYN → SYN-ACK ------------------------------------------------------------------ */

TEST(cookie, a_syn_is_answered_with_what_it_offered)
{
	struct made m = v4;
	struct synack s;

	begin();
	assert_true(answer("ip4 tcp S o=" LINUX, &s));
	assert_int_equal(s.flags, 0x12);
	assert_int_equal(s.ack, 1001);
	assert_int_equal(s.mss, 1460);
	assert_true(s.has_wscale && s.wscale == 9);
	assert_true(s.sack && s.timestamps);
	assert_int_equal(s.tsecr, 0xbc614e);
	assert_int_equal(s.tsval & 0x3fffff, 1460 << 6 | 1 << 4 | 7);
	assert_int_equal(s.window, 65483 - 65483 % 1460);
	m.data = s.tsval;
	assert_true(is_isn(s.seq, &m));
	run_close(&run);
}

TEST(cookie, ipv6_is_answered_alike)
{
	struct made m = v6;
	struct synack s;

	begin();
	assert_true(answer("ip6 tcp S o=020405a00402080a00bc614e0000000001030307", &s));
	assert_true(s.v6);
	assert_int_equal(s.mss, 1440);
	assert_int_equal(s.tsval & 0x3fffff, 1440 << 6 | 1 << 4 | 7);
	m.data = s.tsval;
	assert_true(is_isn(s.seq, &m));
	run_close(&run);
}

TEST(cookie, without_timestamps_the_isn_carries_it)
{
	struct made m = v4;
	struct synack s;

	begin();
	assert_true(answer("ip4 tcp S o=" WINDOWS, &s));
	assert_false(s.timestamps);
	assert_true(s.sack && s.has_wscale && s.wscale == 9);
	m.form = false;
	m.data = 7 << 5 | 1 << 4 | 8; /* MSS 1460, SACK, wscale 8 */
	assert_true(is_isn(s.seq, &m));
	run_close(&run);
}

TEST(cookie, options_in_any_order_and_company_are_understood)
{
	static const struct {
		const char *options;
		unsigned mss, wscale; /* 15: none */
		bool sack, timestamps;
	} list[] = {
		{"", 536, 15, false, false},
		{"0204ffff", 0xffff, 15, false, false},
		{"02040010", 536, 15, false, false},
		{"020405b4", 1460, 15, false, false},
		{"0402", 536, 15, true, false},
		{"030307", 536, 7, false, false},
		{"03030f", 536, 14, false, false}, /* RFC 7323: more than 14 is 14 */
		{"0303ff", 536, 14, false, false},
		{"080a0000000100000000", 536, 15, false, true},
		{APPLE, 1460, 6, true, true},
		{"01010101020405b4", 1460, 15, false, false},
		{"030305020405b40402", 1460, 5, true, false},
		{"0402030305080a0000000100000000020405b4", 1460, 5, true, true},
		{"2204aabb020405b4", 1460, 15, false, false}, /* fast open's cookie */
		{"1e0c0001112233445566778802040578", 1400, 15, false, false}, /* MPTCP */
		{"020405b400030307", 1460, 15, false, false}, /* the list had ended */
		{"02ff05b4030307", 536, 15, false, false},    /* beyond the header */
		{"0201", 536, 15, false, false},
		{"0200", 536, 15, false, false},
		{"020505b4aa0402", 536, 15, true, false}, /* another length: not the MSS */
	};
	struct synack s;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		char text[256];
		uint32_t mss, wscale;

		snprintf(text, sizeof(text), "ip4 tcp S %s%s", *list[i].options ? "o=" : "",
			 list[i].options);
		assert_msg(answer(text, &s), "%s: no answer", text);
		assert_int_equal(s.mss, 1460);
		mss = s.timestamps ? s.tsval >> 6 & 0xffff : 0;
		wscale = s.timestamps ? s.tsval & 15 : s.seq >> 23 & 15;
		assert_msg(s.sack == list[i].sack && s.timestamps == list[i].timestamps &&
				   s.has_wscale == (list[i].wscale != 15) &&
				   wscale == list[i].wscale,
			   "%s: %s", text, s.options);
		assert_msg(!s.timestamps || mss == list[i].mss, "%s: MSS %u", text, mss);
	}
	run_close(&run);
}

TEST(cookie, what_sysctls_forbid_is_not_offered)
{
	struct synack s;

	begin();
	cookies_are(COOKIE_OWN, 0);
	assert_true(answer("ip4 tcp SEC o=" LINUX, &s));
	assert_string_equal(s.options, "020405b4");
	assert_int_equal(s.flags, 0x12);
	cookies_are(COOKIE_OWN, OFFER_WSCALE);
	assert_true(answer("ip4 tcp S o=" LINUX, &s));
	assert_string_equal(s.options, "020405b401030309");
	cookies_are(COOKIE_OWN, OFFER_SACK);
	assert_true(answer("ip6 tcp S o=" LINUX, &s));
	assert_string_equal(s.options, "020405a001010402");
	run_close(&run);
}

TEST(cookie, ecn_is_agreed_to_where_it_can_be_remembered)
{
	struct synack s;

	begin();
	assert_true(answer("ip4 tcp SEC o=" LINUX, &s));
	assert_int_equal(s.flags, 0x52);
	assert_int_equal(s.tsval >> 5 & 1, 1);
	assert_true(answer("ip4 tcp SE o=" LINUX, &s));
	assert_int_equal(s.flags, 0x12);
	assert_true(answer("ip4 tcp SEC o=" WINDOWS, &s));
	assert_int_equal(s.flags, 0x12);
	run_close(&run);
}

TEST(cookie, the_frame_around_it_comes_back_clean)
{
	static const char *const list[] = {
		"ip4 tcp S", /* grows by an option */
		"ip4 tcp S pad=6",
		"ip4 tcp S o=" LINUX " data=600", /* fast open: the payload goes */
		"vlan vid=100 ip4 tcp S o=" LINUX,
		"qinq vid=7 ip6 tcp S o=" LINUX, /* one tag of the outer kind */
		"vlan ip6 tcp S",
		"ip6 tcp S",
		"ip6 hbh dopt tcp S o=" LINUX, /* extension headers are not echoed */
		"ip6 dopt n=6 tcp S",
		"ip6 frag tcp S o=" WINDOWS, /* an atomic fragment is whole */
	};
	struct synack s;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		assert_msg(answer(list[i], &s), "%s: no answer", list[i]);
	run_close(&run);
}

TEST(cookie, who_is_not_answered_is_passed_up_untouched)
{
	static const char *const list[] = {
		"qinq vlan ip4 tcp S",     /* the kernel could not take the cookie back here */
		"ip4 dst=192.0.2.2 tcp S", /* nobody listens there */
		"ip4 tcp S dport=8443",
		"vlan ip6 dst=fe80::1 tcp S",
	};
	struct synack s;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		assert_msg(!answer(list[i], &s), "%s: answered", list[i]);
		assert_int_equal(run_text(&run, list[i]), DROP_NONE);
	}
	run_loopback(&run, false);
	cookies_are(COOKIE_NONE, 15);
	assert_false(answer("ip4 tcp S", &s));
	run_close(&run);
}

TEST(cookie, a_syn_with_a_wrong_checksum_is_dropped)
{
	static const char *const texts[] = {"ip4 tcp S o=" LINUX, "ip6 tcp S o=" LINUX};
	static uint8_t frame[PACKET_MAX];
	struct synack s;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t n = packet_make(texts[i], frame), l4 = i ? 54 : 34;

		for (size_t at = l4; at < n; at++) {
			if (at == l4 + 2 || at == l4 + 3 || at == l4 + 12 || at == l4 + 13)
				continue; /* another port, length or flags: another rule's */
			frame[at] ^= 0x10;
			assert_msg(run_frame(&run, frame, n) == DROP_BAD_CHECKSUM, "byte %zu", at);
			frame[at] ^= 0x10;
		}
	}
	packet_make(texts[0], frame);
	frame[14 + 8]--; /* TTL, and the header's sum says otherwise */
	assert_int_equal(run_frame(&run, frame, 74), DROP_BAD_CHECKSUM);
	/* what a local peer leaves for its hardware: the sum of the pseudo-header */
	packet_make(texts[0], frame);
	store_be16(frame + 34 + 16, (uint16_t)~packet_fold(packet_sum(40 + 6, frame + 26, 8)));
	assert_int_equal(run_action(&run, frame, 74), XDP_TX);
	assert_true(answer(texts[0], &s));
	run_close(&run);
}

TEST(cookie, the_mtu_of_the_interface_says_how_much_we_take)
{
	static const struct {
		unsigned mtu, v4, v6;
	} list[] = {
		{1500, 1460, 1440}, {9000, 8960, 8940}, {1280, 1240, 1220}, {65536, 65495, 65476}};
	struct shield_iface *all = calloc(256, sizeof(*all));
	struct synack s;
	__u32 slot = 0;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		for (unsigned c = 0; c < run.shield.cpus; c++)
			all[c].mtu = list[i].mtu;
		assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.iface, &slot,
						      sizeof(slot), all,
						      run.shield.cpus * sizeof(*all), BPF_ANY),
				 0);
		assert_true(answer("ip4 tcp S o=" LINUX, &s));
		assert_int_equal(s.mss, list[i].v4);
		assert_true(answer("ip6 tcp S o=" LINUX, &s));
		assert_int_equal(s.mss, list[i].v6);
	}
	free(all);
	run_close(&run);
}

/* ---- cookies that come back --------------------------------------------------------- */

TEST(cookie, what_was_given_is_taken_back_for_two_windows)
{
	const struct made list[] = {v4, v6};

	begin();
	for (size_t i = 0; i < 4; i++) {
		struct made m = list[i % 2];
		uint64_t w = window_now();

		m.form = i < 2;
		m.data = m.form ? 1460 << 6 | 1 << 4 | 7 : 0xf8;
		assert_int_equal(ack(&m, isn_of(&m, w), "A"), DROP_NONE);
		assert_int_equal(ack(&m, isn_of(&m, w), "PA"), DROP_NONE);
		assert_int_equal(ack(&m, isn_of(&m, w), "FA"), DROP_NONE);
		assert_int_equal(ack(&m, isn_of(&m, w - 1), "A"), DROP_NONE);
		assert_int_equal(ack(&m, isn_of(&m, w - 2), "A"), DROP_NO_FLOW);
		assert_int_equal(ack(&m, isn_of(&m, w - 3), "A"), DROP_NO_FLOW);
		assert_int_equal(ack(&m, isn_of(&m, w - 4), "A"),
				 DROP_NO_FLOW); /* that key again */
		assert_int_equal(ack(&m, isn_of(&m, w + 1), "A"), DROP_NO_FLOW);
		assert_int_equal(ack(&m, isn_of(&m, w), "RA"), DROP_NO_FLOW);
		assert_int_equal(ack(&m, isn_of(&m, w), "R"), DROP_NO_FLOW);
		assert_int_equal(ack(&m, isn_of(&m, w), "SA"), DROP_NO_FLOW);
	}
	run_close(&run);
}

TEST(cookie, it_is_good_for_nobody_else)
{
	const struct made list[] = {v4, v6};

	begin();
	for (size_t i = 0; i < 4; i++) {
		struct made m = list[i % 2], other;
		bool six = i % 2;
		uint32_t isn;

		m.form = i < 2;
		m.data = m.form ? 1460 << 6 | 1 << 4 | 7 : 0xf8;
		isn = isn_of(&m, window_now());
		assert_int_equal(ack(&m, isn, "A"), DROP_NONE);
#define REFUSED(field, value)                                                                      \
	other = m;                                                                                 \
	other.field = value;                                                                       \
	assert_int_equal(ack(&other, isn, "A"), DROP_NO_FLOW)
		REFUSED(from, six ? "2001:db8:1::8" : "198.51.100.8");
		REFUSED(to, six ? "2001:db8::2" : "192.0.2.2");
		REFUSED(sport, 40001);
		REFUSED(isn, 1001);
		REFUSED(form, !m.form);
		if (m.form) { /* its terms cannot be bettered */
			REFUSED(data, m.data ^ 1);
			REFUSED(data, m.data ^ 1 << 4);
			REFUSED(data, m.data ^ 1 << 10);
			REFUSED(data, m.data ^ 1u << 31);
		}
		for (unsigned bit = 0; bit < 32; bit++)
			assert_int_equal(ack(&m, isn ^ 1u << bit, "A"), DROP_NO_FLOW);
	}
	run_close(&run);
}

TEST(cookie, while_none_is_out_none_is_taken)
{
	struct made m = v4;
	uint64_t now = coarse_ns();

	begin();
	m.data = 1460 << 6;
	cookies_were_given(0);
	assert_int_equal(ack(&m, isn_of(&m, window_now()), "A"), DROP_NO_FLOW);
	cookies_were_given(now - (2ull << COOKIE_WINDOW_SHIFT) - 1000);
	assert_int_equal(ack(&m, isn_of(&m, window_now()), "A"), DROP_NO_FLOW);
	cookies_were_given(now - (1ull << COOKIE_WINDOW_SHIFT));
	assert_int_equal(ack(&m, isn_of(&m, window_now()), "A"), DROP_NONE);
	run_close(&run);
}

TEST(cookie, an_answer_to_a_syn_is_taken_back)
{
	struct synack s;
	char text[256];

	begin();
	cookies_were_given(0);
	assert_true(answer("ip4 tcp S o=" LINUX, &s));
	snprintf(text, sizeof(text), "ip4 tcp A seq=1001 ack=%u o=0101080a00bc6150%08x", s.seq + 1,
		 s.tsval);
	assert_int_equal(run_text(&run, text), DROP_NONE);
	snprintf(text, sizeof(text), "ip4 tcp A seq=1001 ack=%u o=080a00bc6150%08x0101", s.seq + 1,
		 s.tsval); /* the other way to pad it */
	assert_int_equal(run_text(&run, text), DROP_NONE);
	run_close(&run);
}

/* ---- flows ---------------------------------------------------------------------------- */

TEST(flow, who_has_no_connection_is_dropped)
{
	static const char *const list[] = {
		"ip4 tcp A",
		"ip4 tcp PA data=100",
		"ip4 tcp FA",
		"ip4 tcp R",
		"ip4 tcp RA",
		"ip4 tcp SA",
		"ip6 tcp A",
		"ip6 tcp R",
		"ip6 hbh tcp A",
		"vlan ip4 tcp A",
		"qinq vlan ip6 tcp A",
		"ip4 tcp A o=0101080a0000000100000001",
		"ip4 dst=192.0.2.2 tcp A",
		"ip4 tcp A dport=8443",
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		assert_msg(run_text(&run, list[i]) == DROP_NO_FLOW, "%s: passed", list[i]);
	assert_int_equal(run_text(&run, "ip4 tcp A dport=22"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 udp"), UNJUDGED);
	/* a link-local address behind a tag is an interface's that we cannot name */
	assert_int_equal(run_text(&run, "vlan ip6 dst=fe80::1 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 dst=fe80::1 tcp A"), DROP_NO_FLOW);
	run_close(&run);
}

TEST(flow, who_has_one_passes_whatever_he_says)
{
	static const char *const flags[] = {"A", "PA", "FA", "R", "RA", "SA", "S"};
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	char text[128];
	int fd;

	begin();
	fd = net_connect("192.0.2.1", 443, NET_PATIENCE_MS);
	assert_true(fd >= 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		snprintf(text, sizeof(text), "ip4 src=192.0.2.1 tcp %s sport=%u", flags[i],
			 ntohs(at.sin_port));
		run_loopback(&run, true); /* or it would be a LAND packet */
		assert_msg(run_text(&run, text) == DROP_NONE, "%s: dropped", text);
	}
	snprintf(text, sizeof(text), "ip4 src=192.0.2.1 tcp A sport=%u", ntohs(at.sin_port) ^ 1);
	assert_int_equal(run_text(&run, text), DROP_NO_FLOW);
	close(fd);
	run_close(&run);
}

TEST(flow, so_many_a_second_are_left_for_the_kernel_to_refuse)
{
	struct shield_rules r = strict();
	unsigned passed = 0;

	begin();
	r.stale_limit = 5;
	policy(r);
	for (int i = 0; i < 20; i++)
		passed += run_text(&run, "ip4 tcp A") == DROP_NONE;
	/* per core, and the second may have turned over */
	assert_true(passed >= 5 && passed <= 10 * run.shield.cpus);
	run_close(&run);
}

TEST(flow, observing_it_only_counts)
{
	struct shield_rules r = strict();

	begin();
	r.flow = RULE_OBSERVE;
	policy(r);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	r.flow = RULE_OFF;
	policy(r);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	run_close(&run);
}

/* ---- when ---------------------------------------------------------------------------- */

static void pin_to(unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static struct syn_state state_of(unsigned cpu)
{
	struct syn_state all[256];
	__u32 zero = 0;

	assert_int_equal(bpf_map__lookup_elem(run.shield.xdp->maps.syn_state, &zero, sizeof(zero),
					      all, run.shield.cpus * sizeof(all[0]), 0),
			 0);
	return all[cpu];
}

static void state_set(unsigned cpu, struct syn_state s)
{
	struct syn_state all[256] = {};

	all[cpu] = s;
	put(run.shield.xdp->maps.syn_state, all, run.shield.cpus * sizeof(all[0]));
}

TEST(syn, automatically_means_from_a_rate_on_until_it_has_been_calm)
{
	struct shield_rules r = strict();
	unsigned answered = 0;
	struct syn_state s;
	struct synack reply;

	begin();
	pin_to(0);
	r.cookies = COOKIES_AUTO;
	r.syn_attack = 80;
	r.syn_calm = 40;
	policy(r);
	for (int i = 0; i < 10; i++)
		answered += answer("ip4 tcp S o=" LINUX, &reply);
	assert_int_equal(answered, 0);
	for (int i = 0; i < 100; i++)
		answered += answer("ip4 tcp S o=" LINUX, &reply);
	assert_true(answered > 10);
	s = state_of(0);
	assert_int_equal(s.attack, 1);
	assert_int_equal(s.attacks, 1);
	assert_int_equal(s.answered, answered);
	assert_true(s.since_ns > 0);
	/* one more window and ten seconds are over: almost */
	s.syns = 1;
	s.calm = SYN_CALM_S * 8 - 2;
	s.window_ends_ns = coarse_ns();
	state_set(0, s);
	assert_true(answer("ip4 tcp S", &reply));
	/* a window that was not calm begins the count again */
	s.syns = 5;
	s.window_ends_ns = coarse_ns();
	state_set(0, s);
	assert_true(answer("ip4 tcp S", &reply));
	assert_int_equal(state_of(0).calm, 0);
	/* nobody came for a minute */
	s.window_ends_ns = coarse_ns() - 60000000000;
	state_set(0, s);
	assert_false(answer("ip4 tcp S", &reply));
	assert_int_equal(state_of(0).attack, 0);
	run_close(&run);
}

TEST(syn, on_a_veth_only_always_answers)
{
	struct shield_rules r = strict();
	struct shield_iface *all = calloc(256, sizeof(*all));
	struct synack s;
	__u32 slot = 0;

	begin();
	for (unsigned c = 0; c < run.shield.cpus; c++)
		all[c] = (struct shield_iface){.mtu = 1500, .deaf = 1};
	assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.iface, &slot, sizeof(slot), all,
					      run.shield.cpus * sizeof(*all), BPF_ANY),
			 0);
	free(all);
	assert_true(answer("ip4 tcp S", &s));
	r.cookies = COOKIES_AUTO;
	r.syn_attack = 0;
	policy(r);
	for (int i = 0; i < 3; i++)
		assert_false(answer("ip4 tcp S", &s));
	run_close(&run);
}

TEST(syn, off_and_observe_leave_every_syn_to_the_kernel)
{
	struct shield_rules r = strict();
	struct synack s;

	begin();
	r.cookies = COOKIES_OFF;
	policy(r);
	assert_false(answer("ip4 tcp S", &s));
	r = strict();
	r.syn = RULE_OBSERVE;
	policy(r);
	assert_false(answer("ip4 tcp S", &s));
	r.syn = RULE_OFF;
	policy(r);
	assert_false(answer("ip4 tcp S", &s));
	run_close(&run);
}

TEST(syn, a_prefix_gets_so_many_answers_and_its_neighbour_others)
{
	struct shield_rules r = strict();
	unsigned dropped = 0, six = 0;

	begin();
	pin_to(0);
	r.cookies = COOKIES_OFF;
	r.synack_limit = 10;
	policy(r);
	for (unsigned i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "ip4 src=203.0.113.%u tcp S", i + 1);
		dropped += run_text(&run, text) == DROP_SYN_LIMIT;
		snprintf(text, sizeof(text), "ip6 src=2001:db8:9:%x::1 tcp S", i);
		six += run_text(&run, text) == DROP_SYN_LIMIT;
	}
	assert_true(dropped >= 80 && dropped <= 90); /* the second may have turned over */
	assert_true(six >= 80 && six <= 90);
	assert_int_equal(run_text(&run, "ip4 src=203.0.112.1 tcp S"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:a::1 tcp S"), DROP_NONE);
	r.synack_limit = 0;
	policy(r);
	assert_int_equal(run_text(&run, "ip4 src=203.0.113.1 tcp S"), DROP_NONE);
	run_close(&run);
}

static void validate(const char *host, const char *net)
{
	const char *const text[] = {host, net};

	for (int i = 0; i < 2; i++) {
		struct shield_prefix p = run_prefix(text[i]);
		struct shield_source s = {.kind = i ? SOURCE_NET : SOURCE_HOST};
		struct shield_validated fresh = {.since_s = 1};

		memcpy(p.family == AF_INET ? s.addr + 4 : s.addr, p.addr,
		       p.family == AF_INET ? 4 : 8);
		assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.validated, &s, sizeof(s),
						      &fresh, sizeof(fresh), BPF_ANY),
				 0);
	}
}

/* Forged SYNs of a net use up its bound; who is real there has a share that they cannot take. */
TEST(syn, who_is_known_to_be_real_has_a_share_that_forged_syns_cannot_use_up)
{
	static const struct {
		const char *forged, *real, *second, *net;
	} list[] = {
		{"ip4 src=203.0.113.%u tcp S", "203.0.113.250", "203.0.113.251", "203.0.113.0"},
		{"ip6 src=2001:db8:9:%x::1 tcp S",
		 "2001:db8:9:fff0::", "2001:db8:9:fff1::", "2001:db8:9::"},
	};
	struct shield_rules r = strict();

	begin();
	pin_to(0);
	r.cookies = COOKIES_OFF;
	r.synack_limit = 16;
	policy(r);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		char text[64], real[64], second[64];
		unsigned strangers, first, other, again;
		uint64_t began;

		snprintf(real, sizeof(real), "%s src=%s tcp S", i ? "ip6" : "ip4", list[i].real);
		snprintf(second, sizeof(second), "%s src=%s tcp S", i ? "ip6" : "ip4",
			 list[i].second);
		validate(list[i].real, list[i].net);
		validate(list[i].second, list[i].net);
		do { /* again, should the second turn over */
			began = coarse_ns() >> 30;
			strangers = first = other = again = 0;
			for (unsigned k = 0; k < 24; k++) {
				snprintf(text, sizeof(text), list[i].forged, k + 1);
				strangers += run_text(&run, text) == DROP_NONE;
			}
			for (unsigned k = 0; k < 5; k++) {
				first += run_text(&run, real) == DROP_NONE;
				other += run_text(&run, second) == DROP_NONE;
			}
			snprintf(text, sizeof(text), list[i].forged, 1);
			again = run_text(&run, text) == DROP_NONE;
		} while (coarse_ns() >> 30 != began);
		assert_msg(strangers == 16, "%u forged ones passed", strangers);
		assert_msg(first == 3 && other == 3, "of the real ones %u and %u", first, other);
		assert_int_equal(again, 0);
	}
	run_close(&run);
}

/* It stays a bound: of a net there is never more than the cores' shares and one besides. */
TEST(syn, real_sources_together_get_no_more_than_their_net_may)
{
	struct shield_rules r = strict();
	unsigned passed;
	uint64_t began;

	begin();
	pin_to(0);
	r.cookies = COOKIES_OFF;
	r.synack_limit = 16;
	policy(r);
	for (unsigned host = 1; host <= 10; host++) {
		char text[64];

		snprintf(text, sizeof(text), "203.0.113.%u", host);
		validate(text, "203.0.113.0");
	}
	do {
		began = coarse_ns() >> 30;
		passed = 0;
		for (unsigned k = 0; k < 60; k++) {
			char text[64];

			snprintf(text, sizeof(text), "ip4 src=203.0.113.%u tcp S", k % 10 + 1);
			passed += run_text(&run, text) == DROP_NONE;
		}
	} while (coarse_ns() >> 30 != began);
	assert_int_equal(passed, 2 * 16);
	run_close(&run);
}

TEST_MAIN()
