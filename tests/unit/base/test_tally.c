/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/tally.h"
#include "tests/unit/test.h"

TEST(tally, counts_are_kept_by_key)
{
	static struct tally t;
	assert_int_equal(tally_get(&t, 0), 0);
	assert_true(tally_add(&t, 0, 3));
	assert_true(tally_add(&t, UINT32_MAX, 1));
	assert_true(tally_add(&t, 0, 2));
	assert_true(tally_add(&t, 7, 0)); /* nothing is no key */
	assert_int_equal(tally_get(&t, 0), 5);
	assert_int_equal(tally_get(&t, UINT32_MAX), 1);
	assert_int_equal(tally_get(&t, 7), 0);
	assert_int_equal(t.keys, 2);
	tally_clear(&t);
	assert_int_equal(tally_get(&t, 0), 0);
	assert_int_equal(t.keys, 0);
}

TEST(tally, a_count_stops_at_the_end)
{
	static struct tally t;
	tally_add(&t, 1, UINT32_MAX - 1);
	tally_add(&t, 1, 5);
	assert_int_equal(tally_get(&t, 1), UINT32_MAX);
	tally_clear(&t);
}

TEST(tally, so_many_keys_and_no_more)
{
	static struct tally t;
	for (uint32_t k = 0; k < TALLY_KEYS; k++)
		assert_true(tally_add(&t, k * 2654435761u, k + 1));
	assert_false(tally_add(&t, 12345, 1));
	assert_true(tally_add(&t, 0, 1)); /* who is there goes on */
	for (uint32_t k = 1; k < TALLY_KEYS; k++)
		assert_int_equal(tally_get(&t, k * 2654435761u), k + 1);
	assert_int_equal(tally_get(&t, 12345), 0);
}

TEST_MAIN()
