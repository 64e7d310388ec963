/* SPDX-License-Identifier: BSD-2-Clause */
/* Conns in an order of our own. */
#include "test.h"

#include "conn/conn.h"
#include "conn/list.h"

TEST(list, who_came_first_is_first_and_one_may_be_spared)
{
	struct conn_list *l = conn_list_new(100);
	assert_int_equal(conn_list_first(l, CONN_NONE), CONN_NONE);
	conn_list_append(l, 7);
	assert_int_equal(conn_list_first(l, CONN_NONE), 7);
	assert_int_equal(conn_list_first(l, 7), CONN_NONE);
	conn_list_append(l, 0);
	conn_list_append(l, 99);
	assert_int_equal(conn_list_first(l, 7), 0);
	assert_int_equal(conn_list_first(l, 0), 7);
	conn_list_remove(l, 7);
	conn_list_append(l, 7); /* now the last */
	assert_int_equal(conn_list_first(l, CONN_NONE), 0);
	conn_list_remove(l, 99); /* from the middle */
	assert_int_equal(conn_list_first(l, 0), 7);
	conn_list_remove(l, 0);
	conn_list_remove(l, 7);
	assert_int_equal(conn_list_count(l), 0);
	assert_int_equal(conn_list_first(l, CONN_NONE), CONN_NONE);
	conn_list_free(l);
}

/* Against the plain way of doing it. */
TEST(list, any_coming_and_going_keeps_the_order)
{
	enum { MAX = 50 };
	struct conn_list *l = conn_list_new(MAX);
	uint32_t order[MAX], n = 0, seed = 1;
	bool in[MAX] = {false};
	for (unsigned i = 0; i < 20000; i++) {
		seed = seed * 1664525 + 1013904223;
		uint32_t who = (seed >> 16) % MAX;
		if (in[who]) {
			uint32_t at = 0;
			while (order[at] != who)
				at++;
			memmove(&order[at], &order[at + 1], (--n - at) * sizeof(order[0]));
			conn_list_remove(l, who);
		} else {
			order[n++] = who;
			conn_list_append(l, who);
		}
		in[who] = !in[who];
		assert_int_equal(conn_list_count(l), n);
		assert_int_equal(conn_list_first(l, CONN_NONE), n ? order[0] : CONN_NONE);
		assert_int_equal(conn_list_first(l, order[0]), n > 1 ? order[1] : CONN_NONE);
	}
	conn_list_free(l);
}

TEST_MAIN()
