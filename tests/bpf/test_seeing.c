/* SPDX-License-Identifier: BSD-2-Clause */
/* test_seeing.c - what the program tells beside its verdicts: which rule dropped at which interface,
 * who sends the most, and what the keeper is woken up for. */
#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "run.h"
#include "test.h"

static struct run run;
static struct shield_said said[16];
static unsigned n_said;

static int hear(void *arg, void *data, size_t n)
{
	(void)arg;
	assert_int_equal(n, sizeof(said[0]));
	if (n_said < ARRAY_SIZE(said))
		memcpy(&said[n_said], data, sizeof(said[0]));
	n_said++;
	return 0;
}

static void listen_to_events(void)
{
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(run.shield.xdp->maps.events), hear, NULL, NULL);

	n_said = 0;
	assert_non_null(ring);
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
}

/* On one core: what is counted per core is then in one place. */
static void begin(void)
{
	cpu_set_t one;

	if (!run_may())
		skip();
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	run_open(&run);
	run_loopback(&run, false);
	run_protect(&run, "192.0.2.1", 443, L4_TCP);
}

/* ---- interfaces ---------------------------------------------------------------------------------- */

static struct shield_iface iface(void)
{
	struct shield_iface *all = calloc(run.shield.cpus, sizeof(*all)), sum;
	__u32 slot = 0;

	assert_int_equal(bpf_map__lookup_elem(run.shield.xdp->maps.iface, &slot, sizeof(slot), all,
					      run.shield.cpus * sizeof(*all), 0),
			 0);
	sum = all[sched_getcpu()];
	free(all);
	return sum;
}

TEST(seeing, an_interface_knows_what_each_rule_dropped_there)
{
	struct shield_prefix p = run_prefix("198.51.100.0/24");
	struct shield_iface now;

	begin();
	for (int i = 0; i < 3; i++)
		run_text(&run, "ip4 tcp -");
	run_text(&run, "ip4 tcp S");
	run_text(&run, "ip4 tcp S dport=22"); /* not protected: nobody counts it */
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
	for (int i = 0; i < 5; i++)
		run_text(&run, "ip4 tcp S");
	now = iface();
	assert_int_equal(now.passed, 1);
	assert_int_equal(now.dropped, 8);
	assert_int_equal(now.by_malformed, 3);
	assert_int_equal(now.by_deny, 5);
	assert_int_equal(now.by_allow + now.by_rate + now.by_flow + now.by_syn, 0);
	run_close(&run);
}

TEST(seeing, a_rule_that_only_observes_drops_nothing_at_an_interface)
{
	struct shield_protect web = {.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	struct shield_plan plan = {.protect = &web, .n_protect = 1, .rules = run_rules()};
	struct shield_iface now;

	begin();
	plan.rules.malformed = RULE_OBSERVE;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	run_text(&run, "ip4 tcp S");
	assert_int_equal(run_text(&run, "ip4 tcp S") == DROP_NONE, 1);
	now = iface();
	assert_int_equal(now.passed, 2);
	assert_int_equal(now.dropped + now.by_malformed, 0);
	run_close(&run);
}

/* ---- talkers ------------------------------------------------------------------------------------- */

/* Far enough from the end of a window, which is where counting begins anew. */
static void wait_for_a_window(void)
{
	const uint64_t window = 1ull << TALKER_WINDOW_SHIFT;

	while ((clock_mono_ns() & (window - 1)) > window / 4)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

static void packet_of(uint32_t source, uint64_t times)
{
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 src=198.51.100.1 tcp A", frame);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = (int)times);

	store_be32(frame + 26, source); /* rule 1 does not look at IPv4 checksums */
	assert_int_equal(bpf_prog_test_run_opts(run.prog, &opts), 0);
	assert_int_equal(opts.retval, XDP_PASS);
}

/* What the lists of both windows say of him; 0: nothing. */
static struct shield_talker talker(uint32_t source)
{
	struct shield_talker *all = calloc(run.shield.cpus, sizeof(*all)), sum = {0};

	for (__u32 at = 0; at < 2 * TALKERS; at++) {
		const struct shield_talker *t = &all[sched_getcpu()];

		assert_int_equal(bpf_map__lookup_elem(run.shield.xdp->maps.talker, &at, sizeof(at),
						      all, run.shield.cpus * sizeof(*all), 0),
				 0);
		if (load_be32(t->addr) == 0 && load_be32(t->addr + 4) == source) {
			sum.packets += t->packets;
			sum.dropped += t->dropped;
		}
	}
	free(all);
	return sum;
}

TEST(seeing, who_sends_a_tenth_of_all_is_found_among_ten_thousand_strangers)
{
	struct shield_talker t;

	begin();
	wait_for_a_window();
	for (uint32_t i = 0; i < 10000; i++)
		packet_of(hash_mix(i) % 10 == 0 ? 0x0a000001 :
						  0x0b000000 | (hash_mix(i) >> 16 & 0xffffff),
			  1);
	t = talker(0x0a000001);
	/* a tenth of 10000 / 32 samples, and what the sketch adds of others */
	assert_in_range(t.packets, 15, 60);
	assert_int_equal(t.dropped, 0);
	run_close(&run);
}

TEST(seeing, two_who_take_turns_are_both_heard)
{
	begin();
	wait_for_a_window();
	for (int i = 0; i < 1600; i++) {
		packet_of(0x0a000001, 1);
		packet_of(0x0a000002, 1);
	}
	assert_in_range(talker(0x0a000001).packets, 20, 90);
	assert_in_range(talker(0x0a000002).packets, 20, 90);
	run_close(&run);
}

/* The first place in the list for a source: as talker_hears() of talker.h has it. */
static uint64_t place_of(uint32_t source)
{
	uint64_t h = (((uint64_t)htonl(source) << 32) ^ run.shield.xdp->rodata->cell_seed) *
		     0x9e3779b97f4a7c15ull;

	h = (h ^ h >> 32) * 0xbf58476d1ce4e5b9ull;
	return (h >> 52) % (TALKERS / TALKER_WAYS);
}

TEST(seeing, four_who_share_a_place_are_all_on_the_list_and_a_fifth_must_send_more)
{
	uint32_t who[5] = {0}, n = 0;

	begin();
	wait_for_a_window();
	for (uint32_t a = 0x0a000001; n < 5; a++)
		if (n == 0 || place_of(a) == place_of(who[0]))
			who[n++] = a;
	for (int round = 0; round < 4; round++)
		for (unsigned i = 0; i < 4; i++)
			packet_of(who[i], 32u * (10 + i));
	packet_of(who[4], 32 * 5);
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(talker(who[i]).packets, 4 * (10 + i) - 20, 4 * (10 + i) + 20);
	assert_int_equal(talker(who[4]).packets, 0);
	packet_of(who[4], 32 * 200);
	assert_in_range(talker(who[4]).packets, 150, 260);
	unsigned left = 0;
	for (unsigned i = 0; i < 4; i++)
		left += talker(who[i]).packets > 0;
	assert_int_equal(left, 3); /* who had the least has gone */
	run_close(&run);
}

TEST(seeing, a_talker_is_known_by_what_was_dropped_of_him)
{
	struct shield_prefix p = run_prefix("198.51.100.1");
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 src=198.51.100.1 tcp A", frame);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = 32 * 20);

	begin();
	wait_for_a_window();
	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
	assert_int_equal(bpf_prog_test_run_opts(run.prog, &opts), 0);
	assert_in_range(talker(0xc6336401).packets, 8, 40);
	assert_int_equal(talker(0xc6336401).dropped, talker(0xc6336401).packets);
	run_close(&run);
}

/* ---- events -------------------------------------------------------------------------------------- */

TEST(seeing, a_flood_of_syns_is_told_once)
{
	struct shield_protect web = {.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	struct shield_plan plan = {
		.protect = &web, .n_protect = 1, .rules = shield_rules_default()};
	static uint8_t frame[PACKET_MAX];
	size_t n = packet_make("ip4 tcp S", frame);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = 1000);

	begin();
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	run_text(&run, "ip4 tcp S");
	listen_to_events();
	assert_int_equal(n_said, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(bpf_prog_test_run_opts(run.prog, &opts), 0);
	listen_to_events();
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].kind, EVENT_ATTACK_BEGINS);
	assert_int_equal(said[0].cpu, sched_getcpu());
	assert_true(said[0].number > plan.rules.syn_attack / 8);
	run_close(&run);
}

TEST(seeing, a_capture_is_told_when_it_gets_its_first_packet_and_not_again)
{
	struct shield_sample wish = {.until_ns = UINT64_MAX,
				     .reasons = 1ull << DROP_BAD_TCP_FLAGS,
				     .left = 3,
				     .one_in = 1,
				     .via = SAMPLE_RING};
	__u32 zero = 0;

	begin();
	assert_int_equal(bpf_map__update_elem(run.shield.xdp->maps.sample, &zero, sizeof(zero),
					      &wish, sizeof(wish), BPF_ANY),
			 0);
	run_text(&run, "ip4 tcp S sport=0"); /* falls for another reason */
	listen_to_events();
	assert_int_equal(n_said, 0);
	for (int i = 0; i < 5; i++)
		run_text(&run, "ip4 tcp -");
	listen_to_events();
	assert_int_equal(n_said, 1);
	assert_int_equal(said[0].kind, EVENT_CAPTURE);
	assert_int_equal(said[0].number, 3);
	run_close(&run);
}

TEST_MAIN()
