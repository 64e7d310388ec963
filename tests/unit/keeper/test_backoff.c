/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "keeper/backoff.h"

TEST(backoff, first_death_is_followed_by_a_life_at_once)
{
	struct backoff b = {0};
	assert_int_equal(backoff_next_ms(&b, 5), 0);
}

TEST(backoff, deaths_in_a_row_wait_100_ms_doubling_to_10_s)
{
	static const uint32_t want[] = {0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	struct backoff b = {0};
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(backoff_next_ms(&b, 10), want[i]);
}

TEST(backoff, stays_at_10_s_however_often)
{
	struct backoff b = {.failures = UINT32_MAX - 1};
	for (int i = 0; i < 5; i++)
		assert_int_equal(backoff_next_ms(&b, 0), BACKOFF_MAX_MS);
	assert_int_equal(b.failures, UINT32_MAX);
}

TEST(backoff, a_minute_of_life_is_forgiveness)
{
	struct backoff b = {0};
	for (int i = 0; i < 6; i++)
		backoff_next_ms(&b, 10);
	assert_int_not_equal(backoff_next_ms(&b, BACKOFF_FORGIVE_MS - 1), 0);
	assert_int_equal(backoff_next_ms(&b, BACKOFF_FORGIVE_MS), 0);
	assert_int_equal(backoff_next_ms(&b, 0), BACKOFF_FIRST_MS);
}

TEST_MAIN()
