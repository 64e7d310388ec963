/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "keeper/accuse.h"

#define SECOND 1000000000ull

TEST(accuse, one_of_many_is_not_believed_however_often)
{
	struct accused a = {0};
	for (uint64_t i = 1; i < 100; i++)
		assert_false(accuse(&a, 3, 5, i * SECOND));
}

TEST(accuse, two_within_ten_seconds_are_believed)
{
	struct accused a = {0};
	assert_false(accuse(&a, 0, 3, SECOND));
	assert_true(accuse(&a, 2, 3, 11 * SECOND));
}

TEST(accuse, two_that_are_far_apart_are_not)
{
	struct accused a = {0};
	assert_false(accuse(&a, 0, 3, SECOND));
	assert_false(accuse(&a, 2, 3, 11 * SECOND + 1));
	assert_true(accuse(&a, 0, 3, 12 * SECOND));
}

TEST(accuse, the_only_one_who_could_is_believed)
{
	struct accused a = {0};
	assert_true(accuse(&a, 1, 2, SECOND));
}

TEST_MAIN()
