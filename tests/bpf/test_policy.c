/* SPDX-License-Identifier: BSD-2-Clause */
/* test_policy.c - modes of rules, trials that end by themselves, the management door:
 * through the real program, by prog run. */
#include <time.h>

#include "base/clock.h"
#include "run.h"
#include "shield/policy.c" /* for the bank that it builds */
#include "test.h"

static struct run run;

static struct shield_protect web;

static struct shield_plan plan_of(struct shield_rules rules)
{
	return (struct shield_plan){.protect = &web, .n_protect = 1, .rules = rules};
}

static void begin(void)
{
	if (!run_may())
		skip();
	run_open(&run);
	run_loopback(&run, false);
	web = (struct shield_protect){.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	assert_int_equal(run_policy(&run, &web, 1), 0);
}

static void deny(const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);

	assert_int_equal(shield_deny_add(&run.shield, &p, 0, SHIELD_DENY_OPERATOR, ""), 0);
}

static uint64_t observed(enum drop_reason why)
{
	struct drop_count all[256];
	__u32 one = 1;
	uint64_t sum = 0;

	assert_int_equal(bpf_map__lookup_elem(run.shield.xdp->maps.drop_count, &one, sizeof(one),
					      all, run.shield.cpus * sizeof(all[0]), 0),
			 0);
	for (unsigned c = 0; c < run.shield.cpus; c++)
		sum += ((const __u64 *)&all[c])[why];
	return sum;
}

/* ---- modes -------------------------------------------------------------------- */

TEST(policy, a_rule_that_observes_counts_and_passes)
{
	struct shield_rules rules = run_rules();
	struct shield_plan plan;

	begin();
	deny("198.51.100.0/24");
	rules.malformed = rules.deny = RULE_OBSERVE;
	plan = plan_of(rules);
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	assert_int_equal(run_text(&run, "ip4 src=203.0.113.9 tcp -"), DROP_NONE);
	assert_int_equal(observed(DROP_BAD_TCP_FLAGS), 1);
	assert_int_equal(run_text(&run, "ip4 tcp S"), DROP_NONE);
	assert_int_equal(observed(DROP_DENIED), 1);
	assert_int_equal(observed(DROP_BAD_TCP_FLAGS), 1);
	run_close(&run);
}

TEST(policy, what_one_rule_lets_pass_the_next_still_judges)
{
	struct shield_rules rules = run_rules();
	struct shield_plan plan;

	begin();
	deny("198.51.100.0/24");
	rules.malformed = RULE_OBSERVE;
	plan = plan_of(rules);
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_DENIED);
	assert_int_equal(observed(DROP_BAD_TCP_FLAGS), 1);
	run_close(&run);
}

TEST(policy, a_rule_that_is_off_is_not_even_counted)
{
	struct shield_rules rules = run_rules();
	struct shield_plan plan;

	begin();
	deny("198.51.100.0/24");
	rules.malformed = rules.deny = RULE_OFF;
	plan = plan_of(rules);
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_NONE);
	assert_int_equal(observed(DROP_BAD_TCP_FLAGS), 0);
	assert_int_equal(observed(DROP_DENIED), 0);
	run_close(&run);
}

/* ---- trials ------------------------------------------------------------------- */

static void wait_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000l};

	nanosleep(&t, NULL);
}

static int try_without_malformed(uint64_t ms)
{
	struct shield_rules rules = run_rules();
	struct shield_plan plan;

	rules.malformed = RULE_OFF;
	plan = plan_of(rules);
	return shield_policy_set(&run.shield, &plan, ms);
}

TEST(policy, a_trial_ends_by_itself_with_nobody_there_to_end_it)
{
	begin();
	assert_int_equal(try_without_malformed(400), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_NONE);
	wait_ms(420);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(shield_policy_confirm(&run.shield), -ENOENT); /* too late */
	assert_int_equal(shield_policy_revert(&run.shield), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS);
	run_close(&run);
}

TEST(policy, a_trial_that_is_confirmed_stays)
{
	begin();
	assert_int_equal(try_without_malformed(300), 0);
	assert_int_equal(shield_policy_confirm(&run.shield), 0);
	wait_ms(320);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_NONE);
	assert_int_equal(shield_policy_confirm(&run.shield), -ENOENT);
	assert_int_equal(shield_policy_revert(&run.shield), -ENOENT);
	run_close(&run);
}

TEST(policy, a_trial_can_be_reverted_and_is_never_built_over)
{
	begin();
	assert_int_equal(try_without_malformed(60000), 0);
	assert_int_equal(try_without_malformed(60000), -EBUSY);
	assert_int_equal(run_policy(&run, &web, 1), -EBUSY);
	assert_int_equal(shield_policy_revert(&run.shield), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(try_without_malformed(0), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_NONE);
	run_close(&run);
}

/* ---- ranges of ports ------------------------------------------------------------ */

static unsigned runs_shown(void)
{
	struct protect_key key, *at = NULL;
	unsigned n = 0;

	while (bpf_map__get_next_key(run.shield.xdp->maps.protect_port, at, &key, sizeof(key)) ==
	       0) {
		at = &key;
		n++;
	}
	return n;
}

TEST(policy, a_range_of_ports_is_protected_from_its_first_to_its_last)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 8000, .last = 8099, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.1"), .port = 1, .last = 1, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.1"), .port = 65000, .last = 65535, .proto = L4_TCP},
	};

	begin();
	assert_int_equal(run_policy(&run, list, ARRAY_SIZE(list)), 0);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=7999"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=8000"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=8099"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=8100"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=1"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=65535"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(runs_shown(), 5); /* three, and the unions for TCP and for any */
	run_close(&run);
}

TEST(policy, ranges_that_overlap_add_up)
{
	struct shield_protect list[] = {
		{.to = run_prefix("192.0.2.1"), .port = 1, .last = 65535, .proto = L4_TCP},
		{.to = run_prefix("192.0.2.2"), .port = 100, .last = 200, .proto = L4_TCP},
	};

	begin();
	assert_int_equal(run_policy(&run, list, ARRAY_SIZE(list)), 0);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=150"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 dst=192.0.2.2 tcp - dport=150"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 tcp - dport=201"), DROP_BAD_TCP_FLAGS);
	assert_int_equal(run_text(&run, "ip4 dst=192.0.2.2 tcp - dport=201"), UNJUDGED);
	assert_int_equal(runs_shown(), 5);
	run_close(&run);
}

TEST(policy, what_people_are_shown_goes_back_with_the_trial)
{
	struct shield_protect list = {
		.to = run_prefix("192.0.2.1"), .port = 8000, .last = 8099, .proto = L4_TCP};
	struct shield_plan plan = {
		.protect = &list, .n_protect = 1, .rules = shield_rules_default()};
	struct protect_key key = {L4_TCP, 8000, 8099}, before = {L4_TCP, 443, 443};
	struct bpf_map *map;
	struct protect_class value;

	begin();
	map = run.shield.xdp->maps.protect_port;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 60000), 0);
	assert_int_equal(bpf_map__lookup_elem(map, &key, sizeof(key), &value, sizeof(value), 0), 0);
	assert_int_equal(shield_policy_revert(&run.shield), 0);
	assert_int_not_equal(bpf_map__lookup_elem(map, &key, sizeof(key), &value, sizeof(value), 0),
			     0);
	assert_int_equal(
		bpf_map__lookup_elem(map, &before, sizeof(before), &value, sizeof(value), 0), 0);
	assert_int_equal(runs_shown(), 3);
	run_close(&run);
}

/* Somebody else writes to a map, or the kernel does not keep what it took: the bank is not switched to. */
TEST(policy, every_map_of_a_bank_is_read_back)
{
	static struct bank b;
	struct shield_rules rules = run_rules(), other_rules = rules;
	struct shield_plan plan;
	struct sluice_xdp_bpf *xdp;
	struct protect_class class;
	static struct port_class ports;
	static struct protect_addr addr;
	__u32 at;

	begin();
	plan = plan_of(rules);
	xdp = run.shield.xdp;
	memset(&b, 0, sizeof(b));
	b.number = 1;
	assert_int_equal(bank_build(&run.shield, &b, &plan), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), 0);

	at = b.number;
	other_rules.syn_attack++;
	assert_int_equal(put(xdp->maps.rules, &at, sizeof(at), &other_rules, sizeof(rules)), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), -EIO);
	assert_int_equal(put(xdp->maps.rules, &at, sizeof(at), &rules, sizeof(rules)), 0);

	addr = b.addr;
	addr.at[0].len--;
	assert_int_equal(put(xdp->maps.protect_addr, &at, sizeof(at), &addr, sizeof(addr)), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), -EIO);
	assert_int_equal(put(xdp->maps.protect_addr, &at, sizeof(at), &b.addr, sizeof(addr)), 0);

	at = b.number * CLASSES_MAX + CLASSES_MAX - 1; /* one that nothing uses, too */
	class = b.class[CLASSES_MAX - 1];
	class.prefixes ^= 1;
	assert_int_equal(put(xdp->maps.protect_class, &at, sizeof(at), &class, sizeof(class)), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), -EIO);
	class.prefixes ^= 1;
	assert_int_equal(put(xdp->maps.protect_class, &at, sizeof(at), &class, sizeof(class)), 0);

	at = b.number * 2 + 1; /* UDP */
	ports = b.port_class[1];
	ports.of[65535] ^= 1;
	assert_int_equal(put(xdp->maps.port_class, &at, sizeof(at), &ports, sizeof(ports)), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), -EIO);
	ports.of[65535] ^= 1;
	assert_int_equal(put(xdp->maps.port_class, &at, sizeof(at), &ports, sizeof(ports)), 0);
	assert_int_equal(bank_verify(&run.shield, &b, &rules), 0);
	run_close(&run);
}

TEST(policy, a_range_that_runs_backwards_is_refused)
{
	struct shield_protect list = {
		.to = run_prefix("192.0.2.1"), .port = 9, .last = 8, .proto = L4_TCP};

	begin();
	assert_int_equal(run_policy(&run, &list, 1), -EINVAL);
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS); /* as before */
	run_close(&run);
}

/* ---- the management door ------------------------------------------------------- */

static void manage(const char *v4, const char *v6, uint16_t port)
{
	struct shield_prefix who[] = {run_prefix(v4), run_prefix(v6)};

	assert_int_equal(shield_manage_set(&run.shield, who, 2, &port, 1), 0);
}

TEST(policy, a_manager_passes_to_his_port_through_any_denial)
{
	struct shield_protect list[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("0.0.0.0/0"), .port = 22, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 22, .proto = L4_TCP},
	};

	begin();
	manage("198.51.100.0/28", "2001:db8:1::/64", 22);
	assert_int_equal(run_policy(&run, list, ARRAY_SIZE(list)), 0);
	deny("0.0.0.0/0");
	deny("::/0");
	assert_int_equal(run_text(&run, "ip4 tcp A dport=22"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.15 tcp S dport=22"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip6 tcp A dport=22"), UNJUDGED);
	assert_int_equal(run_text(&run, "ip4 src=198.51.100.16 tcp A dport=22"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip6 src=2001:db8:2::1 tcp A dport=22"), DROP_DENIED);
	assert_int_equal(run_text(&run, "ip4 tcp A dport=443"), DROP_DENIED); /* to his port only */
	run_close(&run);
}

/* They show no port. */
TEST(policy, a_manager_may_come_in_pieces)
{
	static const struct {
		const char *packet;
		int why; /* if somebody else had sent it */
	} list[] = {
		{"ip4 src=%s mf=1 tcp S dport=22", DROP_TCP_FRAGMENT},
		{"ip4 src=%s frag=100 mf=1 proto=6 data=800", DROP_TCP_FRAGMENT},
		{"ip4 src=%s frag=200 proto=6 data=8", DROP_TCP_FRAGMENT},
		{"ip4 src=%s mf=1 udp data=800", DROP_DENIED},
		{"vlan ip4 src=%s frag=9 proto=6 data=8", DROP_TCP_FRAGMENT},
		{"ip6 src=%s frag mf=1 tcp S dport=22", DROP_TCP_FRAGMENT},
		{"ip6 src=%s frag off=100 next=6 data=80", DROP_TCP_FRAGMENT},
		{"ip6 src=%s hbh frag off=9 next=60 data=80", DROP_TCP_FRAGMENT},
		{"ip6 src=%s frag mf=1 udp data=800", DROP_DENIED},
	};
	struct shield_protect protect[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 22, .proto = L4_TCP},
		{.to = run_prefix("0.0.0.0/0"), .port = 4433, .proto = L4_UDP},
		{.to = run_prefix("::/0"), .port = 22, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 4433, .proto = L4_UDP},
	};
	char text[128];

	begin();
	manage("198.51.100.0/28", "2001:db8:1::/64", 22);
	assert_int_equal(run_policy(&run, protect, ARRAY_SIZE(protect)), 0);
	deny("0.0.0.0/0");
	deny("::/0");
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		bool v6 = strstr(list[i].packet, "ip6");

		snprintf(text, sizeof(text), list[i].packet, v6 ? "2001:db8:1::9" : "198.51.100.9");
		assert_msg(run_text(&run, text) == UNJUDGED, "%s: judged", text);
		snprintf(text, sizeof(text), list[i].packet,
			 v6 ? "2001:db8:2::9" : "198.51.100.16");
		assert_msg(run_text(&run, text) == list[i].why, "%s: not %s", text,
			   run_word(list[i].why));
	}
	/* cut short is no fragment */
	assert_int_equal(run_text(&run, "ip4 len=24 tcp S dport=22"), DROP_TRUNCATED);
	run_close(&run);
}

TEST(policy, a_third_tag_falls_or_is_observed_or_passes_as_the_rule_says)
{
	struct shield_protect list = {.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	struct shield_plan plan = {.protect = &list, .n_protect = 1, .rules = run_rules()};
	static const char *const texts[] = {
		"vlan vlan vlan ip4 tcp S",
		"vlan vlan vlan vlan vlan vlan vlan vlan vlan ip4 tcp S"};
	static uint8_t frame[PACKET_MAX];
	struct shield_ask a;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t n = packet_make(texts[i], frame);

		plan.rules.malformed = RULE_ENFORCE;
		assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
		assert_int_equal(run_frame(&run, frame, n), DROP_VLAN_TAGS);
		plan.rules.malformed = RULE_OBSERVE;
		assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
		assert_int_equal(run_explain(&run, frame, n, &a), DROP_NONE);
		assert_int_equal(a.observed, 1ull << DROP_VLAN_TAGS);
		assert_int_equal(run_frame(&run, frame, n), DROP_NONE);
		plan.rules.malformed = RULE_OFF;
		assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
		assert_int_equal(run_explain(&run, frame, n, &a), DROP_NONE);
		assert_int_equal(a.observed, 0);
		assert_int_equal(run_frame(&run, frame, n), DROP_NONE);
	}
	plan.n_protect = 0;
	assert_int_equal(shield_policy_set(&run.shield, &plan, 0), 0);
	assert_int_equal(run_text(&run, texts[1]), UNJUDGED); /* nothing is protected: nobody's */
	run_close(&run);
}

TEST(policy, nobody_manages_by_default_and_seventeen_are_too_many)
{
	struct shield_prefix who[SHIELD_MANAGE_MAX + 1] = {};
	uint16_t port = 443;

	begin();
	assert_int_equal(run_text(&run, "ip4 tcp -"), DROP_BAD_TCP_FLAGS);
	for (size_t i = 0; i < ARRAY_SIZE(who); i++)
		who[i] = run_prefix("198.51.100.7/32");
	assert_int_equal(shield_manage_set(&run.shield, who, ARRAY_SIZE(who), &port, 1), -E2BIG);
	assert_int_equal(shield_manage_set(&run.shield, who, SHIELD_MANAGE_MAX, &port, 1), 0);
	assert_int_equal(run_text(&run, "ip4 tcp -"), UNJUDGED);
	run_close(&run);
}

TEST_MAIN()
