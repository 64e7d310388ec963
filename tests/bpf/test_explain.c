/* SPDX-License-Identifier: BSD-2-Clause */
/* test_explain.c - the program, asked what it would do: it says what it does, and leaves no
 * trace. run_frame() compares answer and deed for every packet of every table; here stands what
 * a table does not show. */
#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "run.h"
#include "test.h"

static struct run run;

static void begin(void)
{
	if (!run_may())
		skip();
	run_open(&run);
	run_loopback(&run, false);
	run_protect(&run, "192.0.2.1", 443, L4_TCP);
}

static struct shield_ask answer(const char *text)
{
	static uint8_t frame[PACKET_MAX];
	struct shield_ask a;

	assert_int_equal(shield_explain(run.prog, BYTES(frame, packet_make(text, frame)), 0, &a),
			 0);
	return a;
}

TEST(explain, says_how_far_a_packet_came)
{
	struct shield_prefix manager = run_prefix("198.51.100.0/24");
	uint16_t port = 22;
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.1"), .port = 22, .proto = L4_TCP},
	};

	begin();
	assert_int_equal(run_policy(&run, list, 2), 0);
	assert_int_equal(shield_manage_set(&run.shield, &manager, 1, &port, 1), 0);
	assert_int_equal(answer("arp").stage, SHIELD_STAGE_FOREIGN);
	assert_int_equal(answer("ip4 icmp").stage, SHIELD_STAGE_FOREIGN);
	assert_int_equal(answer("ip4 tcp S dport=80").stage, SHIELD_STAGE_UNPROTECTED);
	assert_int_equal(answer("ip4 tcp S dport=22").stage, SHIELD_STAGE_MANAGES);
	assert_int_equal(answer("ip4 tcp S").stage, SHIELD_STAGE_JUDGED);
	assert_int_equal(answer("ip4 tcp S").action, XDP_PASS);
	assert_int_equal(answer("ip4 tcp -").action, XDP_DROP);
	assert_int_equal(answer("ip4 tcp -").reason, DROP_BAD_TCP_FLAGS);
	run_close(&run);
}

TEST(explain, names_each_rule_that_only_observes_and_the_one_that_decides)
{
	struct shield_protect web = {.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	struct shield_plan plan = {
		.protect = &web, .n_protect = 1, .rules = shield_rules_default()};
	struct shield_prefix p = run_prefix("198.51.100.0/24");
	struct shield_ask a;

	begin();
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
	plan.rules.malformed = RULE_OBSERVE;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	a = answer("ip4 tcp -");
	assert_int_equal(a.observed, 1ull << DROP_BAD_TCP_FLAGS);
	assert_int_equal(a.reason, DROP_DENIED);
	plan.rules.deny = RULE_OBSERVE;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	a = answer("ip4 tcp -");
	assert_int_equal(a.observed, 1ull << DROP_BAD_TCP_FLAGS | 1ull << DROP_DENIED);
	assert_int_equal(a.reason, DROP_NONE);
	run_close(&run);
}

static bool zero_after(struct bpf_map *map, __u32 key, size_t bytes)
{
	uint8_t *all = calloc(run.shield.cpus, bytes);
	bool zero = true;

	assert_int_equal(
		bpf_map__lookup_elem(map, &key, sizeof(key), all, run.shield.cpus * bytes, 0), 0);
	for (size_t i = 0; i < run.shield.cpus * bytes; i++)
		zero = zero && !all[i];
	free(all);
	return zero;
}

TEST(explain, leaves_no_trace)
{
	struct shield_prefix p = run_prefix("198.51.100.7");
	struct list_entry entry;
	char note[sizeof(struct list_note)];

	begin();
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(answer("ip4 tcp S").reason, DROP_DENIED);
		assert_int_equal(answer("ip4 tcp -").reason, DROP_BAD_TCP_FLAGS);
		assert_int_equal(answer("ip4 src=198.51.100.8 tcp S").reason, DROP_NONE);
	}
	assert_true(zero_after(run.shield.xdp->maps.drop_count, 0, sizeof(struct drop_count)));
	assert_true(zero_after(run.shield.xdp->maps.drop_count, 1, sizeof(struct drop_count)));
	assert_int_equal(shield_list_get(&run.shield, LIST_DENY, &p, &entry, note), 0);
	assert_int_equal(entry.hits, 0);
	run_close(&run);
}

/* A frame that carries the question on a wire is no test run: it must go nowhere. */
TEST(explain, a_frame_that_carries_the_question_is_never_passed_on)
{
	static uint8_t frame[PACKET_MAX];
	struct shield_ask ask = {.magic = SHIELD_ASK};
	struct xdp_md ctx = {.data = sizeof(ask)};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = 1, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));

	begin();
	memcpy(frame, &ask, sizeof(ask));
	opts.data_size_in = (__u32)(sizeof(ask) + packet_make("ip4 tcp S", frame + sizeof(ask)));
	ctx.data_end = opts.data_size_in;
	assert_int_equal(bpf_prog_test_run_opts(run.prog, &opts), 0);
	assert_int_equal(opts.retval, XDP_ABORTED);
	frame[0] ^= 1; /* other metadata is somebody else's affair */
	assert_int_equal(bpf_prog_test_run_opts(run.prog, &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
	run_close(&run);
}

TEST(explain, a_frame_without_an_ethernet_header_is_no_question)
{
	uint8_t frame[EXPLAIN_FRAME_MIN] = {0};
	struct shield_ask a;

	begin();
	assert_int_equal(shield_explain(run.prog, BYTES(frame, 13), 0, &a), -EINVAL);
	assert_int_equal(shield_explain(run.prog, BYTES(frame, 14), 0, &a), 0);
	assert_int_equal(a.stage, SHIELD_STAGE_FOREIGN);
	run_close(&run);
}

/* ---- a thousand packets that nobody chose ------------------------------------------------------ */

static uint64_t seed;

static unsigned below(unsigned n)
{
	return (unsigned)(hash_mix(++seed) % n);
}

/* Something that each rule and reason finds, beside what none of them does. Port 443 has no
 * limits; of 8001 to 8006 each has a class whose one limit gives nothing. */
static const char *const kinds[] = {
	"ip4 tcp S opts=5",
	"ip6 tcp A data=20",
	"qinq vlan ip4 tcp FA",
	"ip4 icmp",
	"ip4 udp data=9",
	"ip4 tcp S dport=22",
	"ip4 src=203.0.113.9 tcp S", /* on the allow list */
	"ip6 hbh dopt tcp S",
	"vlan vlan vlan ip4 tcp S",
	"ip4 ihl=3 tcp S",
	"ip6 ver=4 tcp S",
	"ip4 len=9000 tcp S",
	"ip6 rt left=1 tcp S",
	"ip4 tcp S cut=-5",
	"ip6 frag mf=1 tcp S",
	"ip4 mf=1 tcp S data=8",
	"ip4 opts=1 tcp S",
	"ip4 src=127.0.0.1 tcp S",
	"ip4 src=192.0.2.1 tcp S",
	"ip4 tcp S sport=0",
	"ip4 tcp S doff=3",
	"ip4 tcp SF",
	"ip4 src=198.18.0.1 tcp S", /* on the deny list */
	"ip6 src=2001:db8:bad::1 tcp A",
	"ip4 tcp S dport=8001",
	"ip4 tcp S dport=8002",
	"ip4 tcp S dport=8003",
	"ip4 tcp S dport=8004",
	"ip4 tcp S dport=8005",
	"ip6 tcp S dport=8006",
	"ip4 tcp R",
	"ip6 tcp FA",
	"ip4 src=100.64.1.2 tcp S", /* whose /24 has used up its SYNs */
};

/* Two in three of them have a few bytes changed. */
static size_t random_frame(uint8_t *frame)
{
	size_t n = packet_make(kinds[below(ARRAY_SIZE(kinds))], frame);

	if (below(3) == 0)
		return n;
	for (unsigned i = below(5); i > 0; i--)
		frame[12 + below((unsigned)n - 12)] = (uint8_t)below(256);
	if (below(6) == 0)
		n -= below((unsigned)n - 14);
	return n;
}

static struct shield_rate rate_without(int limit)
{
	struct shield_rate r = {.name = "open"};

	for (int i = 0; i < 6; i++)
		(&r.packets)[i] = (struct shield_limit){.ahead_ns = i == limit ? 1ull << 63 :
										 SHIELD_AHEAD_MAX};
	return r;
}

/* All rules, so that each answer depends on the packet and on no clock. */
static void every_rule(void)
{
	struct shield_protect list[9] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("0.0.0.0/0"), .port = 4433, .proto = L4_UDP},
	};
	struct shield_rate rates[7] = {rate_without(-1)};
	struct shield_plan plan = {.protect = list,
				   .n_protect = ARRAY_SIZE(list),
				   .rules = shield_rules_default(),
				   .rates = rates,
				   .n_rates = ARRAY_SIZE(rates)};
	struct shield_cookie own = {.how = COOKIE_OWN};
	__u32 zero = 0;

	for (uint8_t i = 0; i < 6; i++) {
		list[3 + i] =
			(struct shield_protect){.to = run_prefix(i < 5 ? "0.0.0.0/0" : "::/0"),
						.port = (uint16_t)(8001 + i),
						.rate = (uint8_t)(1 + i),
						.proto = L4_TCP};
		rates[1 + i] = rate_without(i);
	}
	plan.rules.cookies = COOKIES_ALWAYS;
	plan.rules.stale_limit = 0;
	plan.rules.synack_limit = 40;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.cookie, &zero, sizeof(zero),
					      &own, sizeof(own), BPF_ANY),
			 0);
}

static void lists(void)
{
	static const char *const denied[] = {"198.18.0.0/15", "2001:db8:bad::/48",
					     "203.0.113.0/24"};
	struct shield_prefix p;

	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		p = run_prefix(denied[i]);
		assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
	}
	p = run_prefix("203.0.113.9");
	assert_int_equal(shield_list_add(&run.shield, LIST_ALLOW, &p, 0, SHIELD_DENY_OPERATOR, ""),
			 0);
}

/* At the begin of one of the seconds that SYNs are counted in. */
static void wait_for_a_second(void)
{
	const uint64_t second = 1u << 30;

	while ((clock_mono_ns() & (second - 1)) > second / 2)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* the coarse clock is late */
}

/* So that from 100.64.1.0/24 no more come. */
static void flood_one_net(void)
{
	wait_for_a_second();
	for (int i = 0; i < 40; i++)
		run_text(&run, "ip4 src=100.64.1.77 tcp S");
}

TEST(explain, agrees_with_the_counters_on_a_thousand_random_packets)
{
	static uint8_t frame[PACKET_MAX];
	uint64_t want[DROP_REASONS] = {0}, start[DROP_REASONS], after[DROP_REASONS];
	unsigned unjudged = 0, sure = 0;
	cpu_set_t one;

	begin();
	CPU_ZERO(&one); /* each core has its own cells and seconds */
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	seed = 20260101;
	every_rule();
	lists();
	for (unsigned i = 0; i < 1000; i++) {
		int why;

		if (i % 100 == 0) {
			flood_one_net();
			run_counts(&run, start);
			assert_int_equal(run_text(&run, "ip4 src=100.64.1.2 tcp S"),
					 DROP_SYN_LIMIT);
		}
		why = run_frame(&run, frame, random_frame(frame)); /* asks, runs, compares */
		if (why == UNJUDGED)
			unjudged++;
		else
			want[why]++;
		if (i % 100 != 99)
			continue;
		run_counts(&run, after);
		for (unsigned r = 0; r < DROP_REASONS; r++)
			sure += (unsigned)(after[r] - start[r]);
		sure--; /* the one that showed that the flood was enough */
	}
	assert_int_equal(sure + unjudged, 1000);
	for (unsigned r = 0; r < DROP_REASONS; r++)
		assert_msg(want[r] > 0, "no packet of reason %s", shield_reason_word(r));
	print_message("1000 packets, %u not judged, every reason there is\n", unjudged);
	run_close(&run);
}

TEST_MAIN()
