/* SPDX-License-Identifier: BSD-2-Clause */
/* Channels by name: every one is found, while the table grows and shrinks. */
#include "test.h"

#include <stdlib.h>

#include "base/hash.h"
#include "hub/table.h"

static uint32_t hash_of(struct bytes name)
{
	static const uint8_t key[16] = "0123456789abcdef";
	return (uint32_t)hash_keyed(key, name);
}

/* Short and long names by turns. */
static struct bytes name_of(unsigned i, char buf[100])
{
	int n = snprintf(buf, 100, i % 3 ? "r%u" : "a-name-that-does-not-fit-into-the-entry-%u", i);
	return BYTES(buf, (size_t)n);
}

static uint32_t add(struct channel_table *t, unsigned i)
{
	char buf[100];
	struct bytes name = name_of(i, buf);
	return channel_table_add(t, hash_of(name), (uint16_t)(i % 2), name);
}

static uint32_t find(const struct channel_table *t, unsigned i)
{
	char buf[100];
	struct bytes name = name_of(i, buf);
	return channel_table_find(t, hash_of(name), (uint16_t)(i % 2), name);
}

TEST(table, what_was_added_is_found_and_nothing_else)
{
	enum { N = 20000 };
	struct channel_table t;
	char buf[100];

	assert_true(channel_table_init(&t));
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(find(&t, i), CHANNEL_NONE);
		assert_int_equal(add(&t, i), i); /* numbers are dense */
	}
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(find(&t, i), i);
		struct bytes want = name_of(i, buf);
		assert_true(bytes_eq(channel_name(&channel_table_at(&t, i)->key), want));
	}
	assert_int_equal(channel_table_find(&t, hash_of(BYTES_LIT("r1")), 0, BYTES_LIT("r1")),
			 CHANNEL_NONE); /* r1 is in space 1 */
	for (unsigned i = 0; i < N; i++) {
		channel_table_remove(&t, i);
		assert_int_equal(find(&t, i), CHANNEL_NONE);
	}
	assert_int_equal(t.n, 0);
	assert_int_equal(t.far_bytes, 0);
	channel_table_fini(&t);
}

TEST(table, numbers_are_used_again_and_entries_begin_with_zeros)
{
	struct channel_table t;

	assert_true(channel_table_init(&t));
	for (unsigned i = 0; i < 10; i++)
		memset(channel_table_at(&t, add(&t, i))->user, 0xaa, 32);
	channel_table_remove(&t, 4);
	uint32_t again = add(&t, 99);
	assert_int_equal(again, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(channel_table_at(&t, again)->user[i], 0);
	assert_int_equal(t.high, 10);
	channel_table_fini(&t);
}

TEST(table, names_whose_hashes_agree_are_kept_apart)
{
	struct channel_table t;
	char buf[100];

	assert_true(channel_table_init(&t));
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(channel_table_add(&t, 7, 0, name_of(i, buf)), i);
	for (unsigned i = 0; i < 200; i += 2)
		channel_table_remove(&t, i);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(channel_table_find(&t, 7, 0, name_of(i, buf)),
				 i % 2 ? i : CHANNEL_NONE);
	channel_table_fini(&t);
}

TEST(table, random_life_against_a_model)
{
	enum { N = 5000, STEPS = 400000 };
	static uint32_t number[N]; /* + 1; 0: not there */
	struct channel_table t;
	uint32_t n = 0;

	srand(11);
	memset(number, 0, sizeof(number));
	assert_true(channel_table_init(&t));
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rand() % N;
		bool fill = step / 50000 % 2 == 0;
		if (number[i] == 0 && rand() % 100 < (fill ? 90 : 10)) {
			number[i] = add(&t, i) + 1;
			n++;
		} else if (number[i] != 0 && rand() % 100 < (fill ? 10 : 90)) {
			channel_table_remove(&t, number[i] - 1);
			number[i] = 0;
			n--;
		}
		unsigned k = (unsigned)rand() % N;
		assert_int_equal(find(&t, k), number[k] ? number[k] - 1 : CHANNEL_NONE);
		assert_int_equal(t.n, n);
	}
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(find(&t, i), number[i] ? number[i] - 1 : CHANNEL_NONE);
	channel_table_fini(&t);
}

TEST(table, slots_shrink_when_channels_have_gone)
{
	enum { N = 100000 };
	struct channel_table t;

	assert_true(channel_table_init(&t));
	for (unsigned i = 0; i < N; i++)
		add(&t, i);
	uint32_t full = t.now.mask;
	for (unsigned i = 0; i < N; i++)
		channel_table_remove(&t, i);
	assert_true(t.now.mask < full / 64);
	channel_table_fini(&t);
}

TEST_MAIN()
