/* SPDX-License-Identifier: BSD-2-Clause */
/* test_bucket.c - rule 4: who is within his rate, who is not, and who may appeal.
 *
 * Limits of one token an hour stand for rates: what comes second is one too many, however slow
 * the machine is. "Shut" is a limit that never gives one. Everything runs on one CPU, because
 * each has its own cells. */
#include <sched.h>
#include <time.h>

#include "test.h"

#include "base/clock.h"
#include "net.h"
#include "run.h"

#define HOUR 3600000000000ull

static const struct shield_limit one_an_hour = {.interval_ns = HOUR};
static const struct shield_limit shut = {.interval_ns = HOUR, .ahead_ns = 1ull << 63};
static const struct shield_limit open_wide = {.ahead_ns = SHIELD_AHEAD_MAX};

static struct run run;

static struct shield_rate wide(const char *name)
{
	struct shield_rate r = {.packets = open_wide,
				.syns = open_wide,
				.connections = open_wide,
				.net_packets = open_wide,
				.net_syns = open_wide,
				.net_connections = open_wide};

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

/* Web is of class 0, the alternative of class 1, QUIC of class 2. */
static int policy(const struct shield_rate *rates, size_t n, enum shield_rule_mode mode)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.1"), .port = 8443, .proto = L4_TCP, .rate = n > 1},
		{.to = run_prefix("192.0.2.0/28"),
		 .port = 4433,
		 .proto = L4_UDP,
		 .rate = n > 2 ? 2 : 0},
	};
	struct shield_plan plan = {.protect = list,
				   .n_protect = ARRAY_SIZE(list),
				   .rules = shield_rules_default(),
				   .rates = rates,
				   .n_rates = n};

	plan.rules.flow = plan.rules.syn = RULE_OFF;
	plan.rules.rate = mode;
	return shield_policy_set(&run.shield, &plan, 0);
}

static void begin(const struct shield_rate *rates, size_t n)
{
	cpu_set_t one;

	if (!run_may())
		skip();
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	run_open(&run);
	run_loopback(&run, false);
	assert_int_equal(policy(rates, n, RULE_ENFORCE), 0);
}

static struct shield_source source(const char *text, enum shield_source_kind kind)
{
	struct shield_prefix p = run_prefix(text);
	struct shield_source s = {.kind = kind};

	if (p.family == AF_INET)
		memcpy(s.addr + 4, p.addr, 4);
	else
		memcpy(s.addr, p.addr, 8);
	return s;
}

static void validate(const char *host, const char *net)
{
	struct shield_source s[] = {source(host, SOURCE_HOST), source(net, SOURCE_NET)};
	struct shield_validated fresh = {.since_s = 1};

	for (int i = 0; i < 2; i++)
		assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.validated, &s[i],
						      sizeof(s[i]), &fresh, sizeof(fresh), BPF_ANY),
				 0);
}

static struct shield_rate_gauges gauges(void)
{
	struct shield_rate_gauges g;

	assert_int_equal(shield_rate_gauges(bpf_map__fd(run.shield.xdp->maps.cell),
					    bpf_map__fd(run.shield.xdp->maps.validated),
					    bpf_map__fd(run.shield.xdp->maps.appeal_count), &g),
			 0);
	return g;
}

/* ---- which limit -------------------------------------------------------------------------------- */

/* clang-format off */
static const struct row {
	const char *shut; /* this limit */
	int why;          /* then this becomes of */
	const char *packet;
} rows[] = {
	{"packets", DROP_RATE_PACKETS, "ip4 tcp S"},
	{"packets", DROP_RATE_PACKETS, "ip4 tcp A"},
	{"packets", DROP_RATE_PACKETS, "ip4 tcp R"},
	{"packets", DROP_RATE_PACKETS, "ip6 tcp A data=100"},
	{"packets", DROP_RATE_PACKETS, "ip4 udp"},
	{"packets", DROP_RATE_PACKETS, "qinq vlan ip4 tcp S"},
	{"packets", DROP_RATE_PACKETS, "ip6 hbh dopt tcp S"},
	{"packets", DROP_RATE_PACKETS, "ip4 mf=1 udp data=8"},   /* no port, and still counted */
	{"packets", DROP_BAD_TCP_FLAGS, "ip4 tcp -"},            /* rule 1 comes first */
	{"packets", UNJUDGED, "ip4 tcp S dport=22"},
	{"packets", UNJUDGED, "ip4 icmp"},
	{"syns", DROP_RATE_SYNS, "ip4 tcp S"},
	{"syns", DROP_RATE_SYNS, "ip4 tcp S opts=10"},
	{"syns", DROP_RATE_SYNS, "ip4 tcp SEC"},
	{"syns", DROP_RATE_SYNS, "ip6 tcp S"},
	{"syns", DROP_NONE, "ip4 tcp A"},
	{"syns", DROP_NONE, "ip4 tcp SA"},
	{"syns", DROP_NONE, "ip4 tcp FA"},
	{"syns", DROP_NONE, "ip4 tcp R"},
	{"syns", DROP_NONE, "ip4 udp"},
	{"syns", DROP_NONE, "ip6 tcp PA data=5"},
	{"connections", DROP_RATE_CONNECTIONS, "ip4 tcp S"},
	{"connections", DROP_RATE_CONNECTIONS, "ip6 tcp S"},
	{"connections", DROP_NONE, "ip4 tcp A"},
	{"net_packets", DROP_NET_PACKETS, "ip4 tcp S"},
	{"net_packets", DROP_NET_PACKETS, "ip6 tcp A"},
	{"net_packets", DROP_NET_PACKETS, "ip4 udp data=1"},
	{"net_syns", DROP_NET_SYNS, "ip4 tcp S"},
	{"net_syns", DROP_NET_SYNS, "ip6 tcp S"},
	{"net_syns", DROP_NONE, "ip4 tcp A"},
	{"net_connections", DROP_NET_CONNECTIONS, "ip4 tcp S"},
	{"net_connections", DROP_NET_CONNECTIONS, "ip6 tcp S"},
	{"net_connections", DROP_NONE, "ip6 tcp A"},
	{"", DROP_NONE, "ip4 tcp S"},
	{"", DROP_NONE, "ip6 tcp S"},
	{"", DROP_NONE, "ip4 udp"},
};
/* clang-format on */

static struct shield_limit *limit(struct shield_rate *r, const char *name)
{
	static const char *const names[] = {"packets",     "syns",     "connections",
					    "net_packets", "net_syns", "net_connections"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0)
			return &r->packets + i;
	return NULL;
}

TEST(bucket, each_limit_refuses_what_it_is_for_and_nothing_else)
{
	struct shield_rate r = wide("test");

	begin(&r, 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int got;

		r = wide("test");
		if (*rows[i].shut)
			*limit(&r, rows[i].shut) = shut;
		assert_int_equal(policy(&r, 1, RULE_ENFORCE), 0);
		got = run_text(&run, rows[i].packet);
		assert_msg(got == rows[i].why, "%s shut, \"%s\": %s, not %s", rows[i].shut,
			   rows[i].packet, run_word(got), run_word(rows[i].why));
	}
	run_close(&run);
}

/* ---- how much ------------------------------------------------------------------------------------ */

TEST(bucket, a_burst_passes_and_the_next_falls_until_time_has_passed)
{
	struct shield_rate r = wide("test");
	struct timespec wait = {.tv_nsec = 330000000};

	begin(&r, 1);
	r.packets = shield_limit_of(10, 500); /* five at once, then one in 100 ms */
	assert_int_equal(policy(&r, 1, RULE_ENFORCE), 0);
	unsigned passed = 0;
	for (int i = 0; i < 20; i++)
		passed += run_text(&run, "ip4 tcp A") == DROP_NONE;
	assert_in_range(passed, 5, 7); /* a slow machine may see a token come */
	nanosleep(&wait, NULL);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	run_close(&run);
}

TEST(bucket, sources_do_not_share_but_their_nets_do)
{
	struct shield_rate r = wide("test");

	r.packets = one_an_hour;
	begin(&r, 1);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_RATE_PACKETS);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::7 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::8 tcp A"), DROP_RATE_PACKETS);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:1::7 tcp A"), DROP_NONE);
	run_close(&run);

	r = wide("test");
	r.net_packets = one_an_hour;
	begin(&r, 1);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp A"), DROP_NET_PACKETS);
	assert_int_equal(run_text(&run, "ip4 src=198.51.101.8 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1::7 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:9::8 tcp A"), DROP_NET_PACKETS);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:2::8 tcp A"), DROP_NONE);
	run_close(&run);
}

TEST(bucket, each_port_has_its_class_and_its_own_cells)
{
	struct shield_rate r[] = {wide("web"), wide("alt"), wide("quic")};

	r[1].packets = one_an_hour;
	r[2].packets = shut;
	begin(r, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A dport=8443"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A dport=8443"), DROP_RATE_PACKETS);
	assert_int_equal(run_text(&run, "ip4 udp"), DROP_RATE_PACKETS);
	assert_int_equal(run_text(&run, "ip4 mf=1 udp data=8"), DROP_NONE); /* no port: the first */
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	run_close(&run);
}

TEST(bucket, a_port_of_two_classes_or_a_class_that_is_not_there_is_refused)
{
	struct shield_rate r[] = {wide("a"), wide("b")};
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.2"),
		 .port = 400,
		 .last = 450,
		 .proto = L4_TCP,
		 .rate = 1},
	};
	struct shield_plan plan = {.protect = list,
				   .n_protect = 2,
				   .rules = shield_rules_default(),
				   .rates = r,
				   .n_rates = 2};

	begin(r, 1);
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), -EINVAL);
	list[1].last = 410;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	list[1].rate = 2;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), -EINVAL);
	run_close(&run);
}

TEST(bucket, what_is_refused_is_not_charged_and_what_is_only_asked_is_neither)
{
	struct shield_rate r = wide("test");
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 tcp A", frame);

	r.packets = shield_limit_of(10, 1000);
	begin(&r, 1);
	for (int i = 0; i < 50; i++)
		assert_int_equal(run_explain(&run, frame, n, NULL), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	for (int i = 0; i < 2000; i++)
		run_action(&run, frame, n);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_RATE_PACKETS);
	nanosleep(&(struct timespec){.tv_nsec = 250000000}, NULL);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	run_close(&run);
}

TEST(bucket, a_rule_that_observes_counts_and_passes)
{
	struct shield_rate r = wide("test");
	struct shield_ask a;
	static uint8_t frame[PACKET_MAX];

	r.syns = shut;
	begin(&r, 1);
	assert_int_equal(policy(&r, 1, RULE_OBSERVE), 0);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	run_explain(&run, frame, packet_make("ip4 tcp S", frame), &a);
	assert_int_equal(a.observed, 1ull << DROP_RATE_SYNS);
	assert_int_equal(policy(&r, 1, RULE_OFF), 0);
	run_explain(&run, frame, packet_make("ip4 tcp S", frame), &a);
	assert_int_equal(a.observed, 0);
	run_close(&run);
}

/* ---- appeals -------------------------------------------------------------------------------------- */

TEST(bucket, who_is_known_to_be_real_has_buckets_that_nobody_else_empties)
{
	struct shield_rate r = wide("test");

	r.packets = one_an_hour;
	begin(&r, 1);
	validate("198.51.100.7", "198.51.100.0");
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_NONE); /* the cell */
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_NONE); /* his own */
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.7 tcp A"), DROP_RATE_PACKETS);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.8 tcp A"), DROP_RATE_PACKETS);
	assert_int_equal(gauges().granted, 1);
	assert_int_equal(gauges().refused, 1);
	assert_int_equal(gauges().strangers, 1);
	run_close(&run);
}

TEST(bucket, a_net_of_real_sources_still_has_the_limit_of_a_net)
{
	struct shield_rate r = wide("test");

	r.net_packets = one_an_hour;
	begin(&r, 1);
	validate("2001:db8:1:1::", "2001:db8:1::");
	validate("2001:db8:1:2::", "2001:db8:1::");
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:1::1 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:2::1 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:1::1 tcp A"), DROP_NET_PACKETS);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:1:2::1 tcp A"), DROP_NET_PACKETS);
	run_close(&run);
}

TEST(bucket, what_one_policy_has_charged_means_nothing_to_another)
{
	static const struct shield_limit other = {.interval_ns = HOUR / 6 * 5,
						  .ahead_ns = HOUR / 5};
	struct shield_rate r = wide("test");

	r.packets = one_an_hour;
	begin(&r, 1);
	validate("198.51.100.7", "198.51.100.0");
	for (int i = 0; i < 2; i++) /* the cell's, and his own */
		assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_RATE_PACKETS);
	/* the same rates once more: cells of the other bank, his own are as empty as they were */
	assert_int_equal(policy(&r, 1, RULE_ENFORCE), 0);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_RATE_PACKETS);
	/* other rates: an hour of theirs would lie far ahead in these */
	r.packets = other;
	assert_int_equal(policy(&r, 1, RULE_ENFORCE), 0);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_NONE);
	assert_int_equal(run_text(&run, "ip4 tcp A"), DROP_RATE_PACKETS);
	assert_int_equal(gauges().granted, 2);
	run_close(&run);
}

TEST(bucket, strangers_leave_no_entry)
{
	struct shield_rate r = wide("test");
	struct shield_rate_gauges g;
	char text[64];

	r.packets = shut;
	begin(&r, 1);
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "ip4 src=10.%d.%d.1 tcp S", i / 250, i % 250);
		assert_int_equal(run_text(&run, text), DROP_RATE_PACKETS);
	}
	g = gauges();
	assert_int_equal(g.validated, 0);
	assert_int_equal(g.strangers, 500);
	/* of sources, and some of nets; for a second, and an emulated CPU needs longer for all this */
	assert_in_range(g.cells_full, getenv("SLUICE_VM") ? 0 : 400, 1000);
	run_close(&run);
}

TEST(bucket, limits_are_tokens_a_second_and_a_burst_in_time)
{
	struct shield_limit l = shield_limit_of(1000, 2000);

	assert_int_equal(l.interval_ns, 1000000);
	assert_int_equal(l.ahead_ns, 1999000000); /* two thousand at once */
	l = shield_limit_of(0, 2000);
	assert_int_equal(l.interval_ns, 0);
	assert_int_equal(l.ahead_ns, SHIELD_AHEAD_MAX);
	l = shield_limit_of(1, 10);
	assert_int_equal(l.ahead_ns, 0); /* one always fits */
}

/* ---- who is real ------------------------------------------------------------------------------------ */

static bool known(const struct shield *s, const char *text, enum shield_source_kind kind)
{
	struct shield_source who = source(text, kind);
	struct shield_validated v;

	return bpf_map__lookup_elem(s->xdp->maps.validated, &who, sizeof(who), &v, sizeof(v), 0) ==
	       0;
}

NET_TEST(bucket, who_ends_a_handshake_is_known_to_be_real_and_who_begins_one_is_not, 1500)
{
	static const char *const edge0[] = {"edge0"};
	char pin_dir[128];
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("2001:db8::1"), .port = 443, .proto = L4_TCP},
	};
	struct shield_config cfg = {
		.pin_dir = pin_dir,
		.ifaces = edge0,
		.n_ifaces = 1,
		.plan = {.protect = list, .n_protect = 2, .rules = shield_rules_default()}};
	struct shield *s;
	struct pair p;

	snprintf(pin_dir, sizeof(pin_dir), "%s/bpf", n->dir);
	check(shield_open(&cfg, &s) == 0 && shield_is_on(s));
	p = net_pair(n, "192.0.2.1", 443);
	check(net_pair_lives(&p));
	check(known(s, "198.51.100.9", SOURCE_HOST) && known(s, "198.51.100.0", SOURCE_NET));
	net_send(n, "ip4 src=198.51.100.77 tcp S");
	net_send(n, "ip4 src=198.51.100.77 tcp A"); /* an ACK, but not of our number */
	check(net_pair_lives(&p));
	check(!known(s, "198.51.100.77", SOURCE_HOST));
	net_pair_close(&p);
	p = net_pair(n, "2001:db8::1", 443);
	check(net_pair_lives(&p));
	check(known(s, "2001:db8:1::9", SOURCE_HOST) && known(s, "2001:db8:1::", SOURCE_NET));
	net_pair_close(&p);
	shield_close(s, true);
}

TEST_MAIN()
