/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection's own list. */
#include "test.h"

#include <stdlib.h>

#include "hub/subs.h"
#include "worker/worker.h"

TEST(subs, four_lie_in_the_conn_and_more_in_a_buffer_that_goes_back)
{
	static struct worker w;
	struct conn c = {0};
	struct pool_stats st;

	w.subs = pool_new(1 << 20);
	for (uint32_t i = 0; i < 300; i++) {
		assert_non_null(subs_add(&w, &c, i * 3));
		*subs_find(&w, &c, i * 3) |= SUB_EVENTS;
		pool_stats(w.subs, &st);
		assert_int_equal(st.lent_count, i >= 4);
	}
	for (uint32_t i = 0; i < 900; i++)
		assert_true((subs_find(&w, &c, i) != NULL) == (i % 3 == 0));
	for (uint32_t i = 0; i < 300; i++) {
		uint32_t ch = (i * 77 % 300) * 3;
		subs_remove(&w, &c, ch);
		assert_null(subs_find(&w, &c, ch));
		assert_int_equal(c.sub_count, 299 - i);
		for (uint32_t k = 0; k < c.sub_count; k++)
			assert_true(*subs_at(&w, &c, k) & SUB_EVENTS);
	}
	pool_stats(w.subs, &st);
	assert_int_equal(st.lent_count, 0);
	assert_int_equal(c.subs_more, 0);
	pool_free(w.subs);
}

TEST(subs, a_pool_that_refuses_leaves_the_list_as_it_was)
{
	static struct worker w;
	struct conn c = {0};

	w.subs = pool_new(100);
	for (uint32_t i = 0; i < 4; i++)
		assert_non_null(subs_add(&w, &c, i));
	assert_null(subs_add(&w, &c, 4));
	assert_int_equal(c.sub_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_non_null(subs_find(&w, &c, i));
	assert_null(subs_find(&w, &c, 4));
	pool_free(w.subs);
}

TEST_MAIN()
