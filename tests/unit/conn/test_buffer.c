/* SPDX-License-Identifier: BSD-2-Clause */
/* A buffer behaves like a plain string that is appended to behind and eaten in front. */
#include "test.h"

#include <stdlib.h>

#include "conn/buffer.h"

static size_t lent(const struct pool *p)
{
	struct pool_stats st;
	pool_stats(p, &st);
	return st.lent_count;
}

TEST(buffer, the_empty_one_owns_nothing)
{
	struct pool *p = pool_new(1 << 20);
	uint32_t h = 0;

	assert_true(buffer_append(p, &h, BYTES_LIT(""), 10));
	assert_int_equal(h, 0);
	assert_int_equal(buffer_size(p, h), 0);
	assert_int_equal(buffer_bytes(p, h).n, 0);
	buffer_consume(p, &h, 0);
	buffer_free(p, &h);
	assert_true(buffer_append(p, &h, BYTES_LIT("abc"), 10));
	assert_int_equal(lent(p), 1);
	buffer_consume(p, &h, 3);
	assert_int_equal(h, 0);
	assert_int_equal(lent(p), 0);
	pool_free(p);
}

TEST(buffer, nothing_is_appended_beyond_the_bound)
{
	struct pool *p = pool_new(1 << 20);
	uint32_t h = 0;

	assert_false(buffer_append(p, &h, BYTES_LIT("abcd"), 3));
	assert_int_equal(h, 0);
	assert_true(buffer_append(p, &h, BYTES_LIT("abc"), 3));
	assert_false(buffer_append(p, &h, BYTES_LIT("d"), 3));
	assert_true(bytes_eq(buffer_bytes(p, h), BYTES_LIT("abc")));
	buffer_consume(p, &h, 1);
	assert_true(buffer_append(p, &h, BYTES_LIT("d"), 3));
	assert_true(bytes_eq(buffer_bytes(p, h), BYTES_LIT("bcd")));
	buffer_free(p, &h);
	pool_free(p);
}

TEST(buffer, a_pool_that_refuses_leaves_it_as_it_was)
{
	static uint8_t much[4000];
	struct pool *p = pool_new(1024);
	uint32_t h = 0;

	memset(much, 'x', sizeof(much));
	assert_true(buffer_append(p, &h, BYTES(much, 400), 1 << 20));
	buffer_consume(p, &h, 100);
	assert_false(buffer_append(p, &h, BYTES(much, sizeof(much)), 1 << 20));
	assert_int_equal(buffer_size(p, h), 300);
	assert_true(bytes_eq(buffer_bytes(p, h), BYTES(much, 300)));
	buffer_free(p, &h);
	pool_free(p);
}

TEST(buffer, grows_by_what_is_needed_when_doubling_is_too_much)
{
	static uint8_t much[300 << 10];
	struct pool *p = pool_new(1 << 20);
	uint32_t h = 0;

	memset(much, 'x', sizeof(much));
	assert_true(buffer_append(p, &h, BYTES(much, sizeof(much)), 8 << 20));
	assert_true(buffer_append(p, &h, BYTES(much, sizeof(much)), 8 << 20));
	assert_int_equal(buffer_size(p, h), 2 * sizeof(much));
	buffer_free(p, &h);
	assert_int_equal(lent(p), 0);
	pool_free(p);
}

TEST(buffer, random_use_against_a_plain_array)
{
	enum { BOUND = 200000 };
	static uint8_t model[BOUND], piece[70000];
	struct pool *p = pool_new(64 << 20);
	size_t n = 0;
	uint32_t h = 0;

	srand(5);
	for (unsigned step = 0; step < 20000; step++) {
		if (rand() % 2) {
			size_t more = (size_t)rand() % (rand() % 50 ? 300 : sizeof(piece));
			for (size_t i = 0; i < more; i++)
				piece[i] = (uint8_t)rand();
			bool fits = n + more <= BOUND;
			assert_int_equal(buffer_append(p, &h, BYTES(piece, more), BOUND), fits);
			if (fits) {
				memcpy(model + n, piece, more);
				n += more;
			}
		} else {
			size_t less = n ? (size_t)rand() % (n + 1) : 0;
			if (rand() % 4)
				less = MIN(less, 250u);
			buffer_consume(p, &h, less);
			memmove(model, model + less, n - less);
			n -= less;
		}
		assert_int_equal(buffer_size(p, h), n);
		assert_true((h == 0) == (n == 0));
		if (step % 16 == 0)
			assert_true(bytes_eq(buffer_bytes(p, h), BYTES(model, n)));
	}
	buffer_free(p, &h);
	assert_int_equal(lent(p), 0);
	pool_free(p);
}

TEST_MAIN()
