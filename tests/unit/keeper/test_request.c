/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <arpa/inet.h>

#include "base/bytes.h"
#include "bpf/abi.h"
#include "keeper/request.h"

#define SECOND 1000000000ull

static struct keeper_msg copy;
static const char *why;

static enum request_verdict judge(const struct keeper_msg *m, bool admin)
{
	why = NULL;
	enum request_verdict v = request_check(m, sizeof(*m), admin, &copy, &why);
	assert_int_equal(v == REQUEST_OK, why == NULL);
	return v;
}

static struct keeper_msg deny(const char *addr, uint8_t family, uint8_t bits)
{
	struct keeper_msg m = {.kind = KEEPER_DENY_ADD, .family = family, .bits = bits, .ask = 7};
	assert_int_equal(inet_pton(family, addr, m.addr), 1);
	return m;
}

TEST(request, any_worker_may_say_ready_and_full)
{
	struct keeper_msg ready = {.kind = KEEPER_READY};
	struct keeper_msg full = {.kind = KEEPER_FULL, .value = 1};
	assert_int_equal(judge(&ready, false), REQUEST_OK);
	assert_int_equal(judge(&full, false), REQUEST_OK);
	full.value = 0;
	assert_int_equal(judge(&full, true), REQUEST_OK);
	full.value = 2;
	assert_int_equal(judge(&full, false), REQUEST_LIE);
}

TEST(request, only_the_admin_worker_may_deny_or_ask_for_status)
{
	struct keeper_msg add = deny("192.0.2.0", AF_INET, 24), del = add;
	struct keeper_msg status = {.kind = KEEPER_STATUS};
	del.kind = KEEPER_DENY_DEL;
	assert_int_equal(judge(&add, false), REQUEST_LIE);
	assert_int_equal(judge(&del, false), REQUEST_LIE);
	assert_int_equal(judge(&status, false), REQUEST_LIE);
	assert_int_equal(judge(&add, true), REQUEST_OK);
	assert_int_equal(judge(&del, true), REQUEST_OK);
	assert_int_equal(judge(&status, true), REQUEST_OK);
}

TEST(request, any_member_may_accuse_a_life_of_another)
{
	struct keeper_msg m = {.kind = KEEPER_BAD_PEER, .member = 3, .incarnation = 2};
	assert_int_equal(judge(&m, false), REQUEST_OK);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.value = 1;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.value = 0;
	m.text[0] = 'x';
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.text[0] = 0;
	m.incarnation = 0; /* lives are counted from 1 */
	assert_int_equal(judge(&m, false), REQUEST_LIE);
}

TEST(request, a_policy_is_tried_for_a_second_to_a_day_by_the_admin_worker_alone)
{
	struct keeper_msg m = {
		.kind = KEEPER_POLICY_TRY, .value = 60, .ask = 7, .text = "next.conf"};
	assert_int_equal(judge(&m, true), REQUEST_OK);
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.value = 0;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m.value = KEEPER_TRY_MAX_S + 1;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m.value = KEEPER_TRY_MAX_S;
	memset(m.text, 'x', KEEPER_NOTE_MAX + 1);
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m.text[0] = '\n';
	m.text[1] = 0;
	assert_int_equal(judge(&m, true), REQUEST_LIE); /* bytes after the end */
}

TEST(request, a_worker_may_tell_of_one_source_and_some_points)
{
	struct keeper_msg m = deny("192.0.2.7", AF_INET, 32),
			  six = deny("2001:db8::1", AF_INET6, 128);
	m.kind = six.kind = KEEPER_OFFENCE;
	m.ask = six.ask = 0;
	m.value = six.value = 2;
	assert_int_equal(judge(&m, false), REQUEST_OK);
	assert_int_equal(judge(&six, false), REQUEST_OK);
	assert_int_equal(judge(&m, true), REQUEST_LIE); /* the admin worker has no clients */
	m.bits = 24;
	m.addr[3] = 0;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.bits = 32;
	m.value = 0;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.value = KEEPER_OFFENCE_MAX + 1;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.value = 1;
	m.family = 99;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
	m.family = AF_INET;
	m.addr[5] = 1;
	assert_int_equal(judge(&m, false), REQUEST_LIE);
}

TEST(request, a_set_has_a_name_and_perhaps_a_file)
{
	static const struct {
		const char *text;
		enum request_verdict load, drop;
	} rows[] = {
		{"drop", REQUEST_OK, REQUEST_OK},
		{"a.b_c-9", REQUEST_OK, REQUEST_OK},
		{"drop /a/b c.txt", REQUEST_OK, REQUEST_REFUSED},
		{"drop ", REQUEST_OK, REQUEST_REFUSED},
		{"-", REQUEST_REFUSED, REQUEST_OK}, /* of an older one there may be such a set */
		{"- /a/b.txt", REQUEST_REFUSED, REQUEST_REFUSED},
		{"--", REQUEST_OK, REQUEST_OK},
		{"", REQUEST_REFUSED, REQUEST_REFUSED},
		{" drop", REQUEST_REFUSED, REQUEST_REFUSED},
		{"Drop", REQUEST_REFUSED, REQUEST_REFUSED},
		{"a/b", REQUEST_REFUSED, REQUEST_REFUSED},
		{"drop \033[2J", REQUEST_REFUSED, REQUEST_REFUSED},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", REQUEST_OK, REQUEST_OK},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", REQUEST_REFUSED, REQUEST_REFUSED},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct keeper_msg m = {.kind = KEEPER_LIST_LOAD, .ask = 3, .list = LIST_ALLOW};
		strcpy(m.text, rows[i].text);
		assert_msg(judge(&m, true) == rows[i].load, "load '%s'", rows[i].text);
		assert_int_equal(judge(&m, false), REQUEST_LIE);
		m.kind = KEEPER_LIST_DROP;
		assert_msg(judge(&m, true) == rows[i].drop, "drop '%s'", rows[i].text);
	}
	struct keeper_msg m = {.kind = KEEPER_LIST_LOAD, .text = "a", .value = 1};
	assert_int_equal(judge(&m, true), REQUEST_LIE);
	m.value = 0;
	m.bits = 8;
	assert_int_equal(judge(&m, true), REQUEST_LIE);
	m.bits = 0;
	m.list = LISTS;
	assert_int_equal(judge(&m, true), REQUEST_LIE);
}

TEST(request, force_goes_along_with_what_may_lock_out)
{
	struct keeper_msg add = deny("192.0.2.0", AF_INET, 24), del = add;
	struct keeper_msg load = {.kind = KEEPER_LIST_LOAD, .text = "a"}, drop = load;
	del.kind = KEEPER_DENY_DEL;
	drop.kind = KEEPER_LIST_DROP;
	add.force = del.force = load.force = drop.force = 1;
	assert_int_equal(judge(&add, true), REQUEST_OK);
	assert_int_equal(judge(&load, true), REQUEST_OK);
	assert_int_equal(judge(&del, true), REQUEST_LIE);
	assert_int_equal(judge(&drop, true), REQUEST_LIE);
	add.force = 2;
	assert_int_equal(judge(&add, true), REQUEST_LIE);
}

TEST(request, what_is_to_be_read_brings_a_descriptor_and_nothing_else)
{
	for (unsigned kind = 0; kind < 200; kind++)
		assert_int_equal(request_brings((uint16_t)kind),
				 kind == KEEPER_POLICY_CHECK || kind == KEEPER_POLICY_TRY ||
					 kind == KEEPER_LIST_LOAD);
}

TEST(request, a_wrong_size_is_a_lie)
{
	struct keeper_msg m[2] = {{.kind = KEEPER_READY}};
	for (size_t n = 0; n <= sizeof(m); n++)
		assert_int_equal(request_check(m, n, true, &copy, &why),
				 n == sizeof(copy) ? REQUEST_OK : REQUEST_LIE);
}

TEST(request, no_kind_but_the_requests_is_known)
{
	for (unsigned kind = 0; kind <= UINT16_MAX; kind++) {
		struct keeper_msg m = {.kind = (uint16_t)kind};
		if (kind < KEEPER_READY || kind > KEEPER_BAD_PEER)
			assert_int_equal(judge(&m, true), REQUEST_LIE);
	}
}

/* Every byte that a kind does not use, set: one lie each. */
TEST(request, unused_bytes_are_zero)
{
	const struct keeper_msg kinds[] = {
		{.kind = KEEPER_READY},
		{.kind = KEEPER_FULL},
		{.kind = KEEPER_STATUS},
		{.kind = KEEPER_POLICY_CHECK},
		{.kind = KEEPER_POLICY_CONFIRM},
		{.kind = KEEPER_POLICY_REVERT},
		{.kind = KEEPER_DENY_DEL, .family = AF_INET, .addr = {192, 0, 2}, .bits = 24},
	};
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (size_t i = 0; i < sizeof(copy); i++) {
			struct keeper_msg m = kinds[k];
			((uint8_t *)&m)[i] ^= 0x80;
			bool used = i < offsetof(struct keeper_msg, member) ||
				    (m.ask && m.kind >= KEEPER_DENY_ADD) ||
				    (m.kind == KEEPER_STATUS && m.value && m.value <= UINT16_MAX) ||
				    (m.kind == KEEPER_DENY_DEL &&
				     i >= offsetof(struct keeper_msg, addr) &&
				     i < offsetof(struct keeper_msg, addr) + 4) ||
				    (m.kind == KEEPER_DENY_DEL &&
				     (m.bits != 24 || m.family != AF_INET));
			if (!used)
				assert_msg(judge(&m, true) == REQUEST_LIE, "kind %u byte %zu: %s",
					   m.kind, i, why ? why : "accepted");
		}
	}
}

TEST(request, prefixes_are_checked_and_mistakes_are_not_lies)
{
	struct keeper_msg m = deny("192.0.2.0", AF_INET, 24);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.bits = 33;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	assert_int_equal(copy.ask, 7); /* so that it can be answered */
	m = deny("192.0.2.1", AF_INET, 24);
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m = deny("192.0.2.1", AF_INET, 32);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.addr[4] = 1;
	assert_int_equal(judge(&m, true), REQUEST_LIE);
	m = deny("2001:db8::", AF_INET6, 64);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.bits = 129;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m.bits = 128;
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.bits = 20;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m = deny("::", AF_INET6, 0);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m = deny("2001:db8::", AF_INET6, 64);
	m.family = AF_UNIX;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
}

TEST(request, host_bits_are_found_at_every_length)
{
	for (unsigned bits = 0; bits < 128; bits++) {
		struct keeper_msg m = {
			.kind = KEEPER_DENY_ADD, .family = AF_INET6, .bits = (uint8_t)bits};
		for (unsigned at = bits; at < 128; at++) {
			memset(m.addr, 0, sizeof(m.addr));
			m.addr[at / 8] = (uint8_t)(0x80 >> at % 8);
			assert_int_equal(judge(&m, true), REQUEST_REFUSED);
		}
		memset(m.addr, 0, sizeof(m.addr));
		for (unsigned at = 0; at < bits; at++)
			m.addr[at / 8] |= (uint8_t)(0x80 >> at % 8);
		assert_int_equal(judge(&m, true), REQUEST_OK);
	}
}

TEST(request, a_note_is_short_printable_and_ends)
{
	struct keeper_msg m = deny("192.0.2.0", AF_INET, 24);
	memset(m.text, 'a', KEEPER_NOTE_MAX);
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.text[KEEPER_NOTE_MAX] = 'a';
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	memset(m.text, 'a', sizeof(m.text));
	assert_int_equal(judge(&m, true), REQUEST_LIE);
	memset(m.text, 0, sizeof(m.text));
	strcpy(m.text, "by\033[2Jhand");
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	memset(m.text, 0, sizeof(m.text));
	strcpy(m.text, "von Hand: \xc3\xa4");
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.text[sizeof(m.text) - 1] = 1;
	assert_int_equal(judge(&m, true), REQUEST_LIE);
}

TEST(request, a_denial_has_an_end_or_none)
{
	struct keeper_msg m = deny("192.0.2.0", AF_INET, 24);
	m.value = KEEPER_DENY_MAX_S;
	assert_int_equal(judge(&m, true), REQUEST_OK);
	m.value++;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
	m.value = UINT64_MAX;
	assert_int_equal(judge(&m, true), REQUEST_REFUSED);
}

TEST(bucket, gives_a_burst_and_then_its_rate)
{
	struct request_bucket b;
	uint64_t now = 1000 * SECOND;
	request_bucket_init(&b, 10, 5);
	for (int i = 0; i < 5; i++)
		assert_true(request_bucket_take(&b, now));
	assert_false(request_bucket_take(&b, now));
	assert_int_equal(request_bucket_wait_ns(&b, now), SECOND / 10);
	assert_false(request_bucket_take(&b, now + SECOND / 10 - 1));
	assert_true(request_bucket_take(&b, now + SECOND / 10));
	assert_false(request_bucket_take(&b, now + SECOND / 10));
}

TEST(bucket, never_holds_more_than_its_burst)
{
	struct request_bucket b;
	uint64_t now = 1000 * SECOND;
	request_bucket_init(&b, 10, 5);
	assert_true(request_bucket_take(&b, now));
	now += 3600 * SECOND;
	unsigned got = 0;
	while (request_bucket_take(&b, now))
		got++;
	assert_int_equal(got, 5);
}

TEST_MAIN()
