/* SPDX-License-Identifier: BSD-2-Clause */
/* Points that fade, denials that grow, and a table that strangers cannot make grow. */
#include "test.h"

#include <arpa/inet.h>

#include "keeper/offence.h"

#define SECOND 1000000000ull

static const uint8_t key[16] = "sixteen bytes ok";
static const struct offence_rules rules = {
	.points = 10, .window_ms = 60000, .first_ms = 60000, .longest_ms = 600000};
static uint64_t now;

static struct shield_prefix of(const char *text)
{
	struct shield_prefix p = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	p.bits = p.family == AF_INET ? 32 : 128;
	assert_int_equal(inet_pton(p.family, text, p.addr), 1);
	return p;
}

static uint32_t add(struct offences *o, const char *who, uint32_t points)
{
	struct shield_prefix p = of(who);

	return offences_add(o, &p, points, now);
}

static struct offences *begin(void)
{
	struct offences *o = offences_new(&rules, key);

	assert_non_null(o);
	now = 1000 * SECOND;
	return o;
}

TEST(offence, too_many_points_at_once_are_a_denial)
{
	struct offences *o = begin();

	assert_int_equal(add(o, "192.0.2.1", 4), 0);
	assert_int_equal(add(o, "192.0.2.1", 5), 0);
	assert_int_equal(add(o, "192.0.2.2", 9), 0); /* somebody else */
	assert_int_equal(add(o, "192.0.2.1", 1), 60);
	free(o);
}

TEST(offence, points_fade_within_the_window)
{
	struct offences *o = begin();

	for (int i = 0; i < 100; i++) { /* one point in six seconds is what fades */
		assert_int_equal(add(o, "192.0.2.1", 1), 0);
		now += 6 * SECOND;
	}
	assert_int_equal(add(o, "192.0.2.1", 9), 0);
	now += 30 * SECOND; /* half of the window, half of the points */
	assert_int_equal(add(o, "192.0.2.1", 5), 0);
	assert_int_equal(add(o, "192.0.2.1", 1), 60);
	free(o);
}

TEST(offence, each_denial_is_twice_as_long_up_to_the_longest_and_quiet_forgets)
{
	static const uint32_t spans[] = {60, 120, 240, 480, 600, 600};
	struct offences *o = begin();

	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(add(o, "192.0.2.1", 10), spans[i]);
		now += spans[i] * SECOND;
	}
	now += 599 * SECOND;
	assert_int_equal(add(o, "192.0.2.1", 10), 600);
	now += 600 * SECOND + 601 * SECOND;
	assert_int_equal(add(o, "192.0.2.1", 10), 60);
	free(o);
}

TEST(offence, what_arrives_while_one_is_denied_does_not_count)
{
	struct offences *o = begin();

	assert_int_equal(add(o, "192.0.2.1", 10), 60);
	for (int i = 0; i < 50; i++)
		assert_int_equal(add(o, "192.0.2.1", 10), 0);
	now += 61 * SECOND;
	assert_int_equal(add(o, "192.0.2.1", 9), 0);
	free(o);
}

TEST(offence, a_report_of_countless_points_is_one_denial_of_the_first_span)
{
	struct offences *o = begin();

	assert_int_equal(add(o, "192.0.2.1", UINT32_MAX), 60);
	free(o);
}

TEST(offence, an_ipv6_source_is_its_64)
{
	struct offences *o = begin();

	assert_int_equal(add(o, "2001:db8:1:2::1", 5), 0);
	assert_int_equal(add(o, "2001:db8:1:3::1", 5), 0);
	assert_int_equal(add(o, "2001:db8:1:2:ffff::7", 5), 60);
	free(o);
}

TEST(offence, a_million_sources_take_no_more_memory_and_the_latest_is_remembered)
{
	struct offences *o = begin();

	for (uint32_t i = 0; i < 1000000; i++) {
		struct shield_prefix p = {.family = AF_INET, .bits = 32};
		uint32_t addr = htonl(0x0a000000 + i);
		memcpy(p.addr, &addr, 4);
		now += 1000;
		assert_int_equal(offences_add(o, &p, 6, now), 0);
		now++;
		if (i % 1000 == 0)
			assert_int_equal(offences_add(o, &p, 6, now), 60);
	}
	free(o);
}

TEST_MAIN()
