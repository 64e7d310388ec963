/* SPDX-License-Identifier: BSD-2-Clause */
/* test_explain.c - the program, asked what it would do: it says what it does, and leaves no
 * trace. run_frame() compares answer and deed for every packet of every table; here stands what
 * a table does not show. */
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

/* Half of them nearly right: a packet of the table's kind with a few bytes changed. */
static size_t random_frame(uint8_t *frame)
{
	static const char *const texts[] = {"ip4 tcp S opts=5",     "ip6 tcp A data=20",
					    "ip4 udp data=9",       "qinq vlan ip4 tcp FA",
					    "ip6 hbh dopt tcp S",   "ip6 frag mf=1 tcp S",
					    "ip4 mf=1 tcp S data=8"};
	size_t n = packet_make(texts[below(ARRAY_SIZE(texts))], frame);

	for (unsigned i = below(6); i > 0; i--)
		frame[12 + below((unsigned)n - 12)] = (uint8_t)below(256);
	if (below(4) == 0)
		n -= below((unsigned)n - 14);
	return n;
}

TEST(explain, agrees_with_the_counters_on_a_thousand_random_packets)
{
	static uint8_t frame[PACKET_MAX];
	uint64_t want[DROP_REASONS] = {0}, before[DROP_REASONS], after[DROP_REASONS];
	struct shield_protect list[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("0.0.0.0/0"), .port = 4433, .proto = L4_UDP},
	};
	struct shield_prefix deny = run_prefix("198.0.0.0/8");
	unsigned kinds = 0;

	begin();
	seed = 20260101;
	assert_int_equal(run_policy(&run, list, ARRAY_SIZE(list)), 0);
	assert_int_equal(shield_deny_add(&run.shield, &deny, 0, SHIELD_DENY_OPERATOR, ""), 0);
	run_counts(&run, before);
	for (int i = 0; i < 1000; i++) {
		size_t n = random_frame(frame);
		int why = run_explain(&run, frame, n, NULL);

		if (why != UNJUDGED)
			want[why]++;
		assert_int_equal(run_action(&run, frame, n),
				 why == UNJUDGED || why == DROP_NONE ? XDP_PASS : XDP_DROP);
	}
	run_counts(&run, after);
	for (unsigned i = 0; i < DROP_REASONS; i++) {
		assert_int_equal(after[i] - before[i], want[i]);
		kinds += want[i] > 0;
	}
	print_message("1000 packets, %u different reasons\n", kinds);
	assert_true(kinds > 6);
	run_close(&run);
}

TEST_MAIN()
