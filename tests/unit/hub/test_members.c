/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of subscribers: `(⋃ sets) \ except`, few or many. */
#include "test.h"

#include <stdlib.h>

#include "fanout/publication.h"
#include "hub/members.c"

static const struct publication message = {.kind = PUB_MESSAGE};
static const struct publication join = {.kind = PUB_JOIN};

/* Encodings and their twins by turns. */
static uint8_t any_encoding(unsigned i)
{
	return (uint8_t)(i % ENC_COUNT | (i / ENC_COUNT % 2 ? ENC_DEFLATED : 0));
}

/* All indexes of the parts of one encoding, into out; frees sets. */
static uint32_t collect(const struct fanout_part *parts, unsigned n, uint8_t e, uint32_t *out)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i < n; i++) {
		if (parts[i].encoding != e)
			continue;
		if (parts[i].n > 0) {
			memcpy(out + sum, parts[i].few, parts[i].n * sizeof(*out));
			sum += parts[i].n;
		} else {
			roaring_bitmap_to_uint32_array(parts[i].set, out + sum);
			sum += (uint32_t)roaring_bitmap_get_cardinality(parts[i].set);
		}
	}
	return sum;
}

static void parts_free(const struct fanout_part *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (parts[i].n == 0)
			roaring_bitmap_free(parts[i].set);
}

TEST(members, four_need_no_memory_and_five_need_sets)
{
	struct members m = {0};
	for (uint32_t i = 0; i < 4; i++)
		assert_true(members_put(&m, CONN_MAX - 1 - i, ENC_RAW));
	assert_int_equal(members_memory(&m), 0);
	assert_int_equal(members_count(&m, ENC_RAW), 4);
	assert_true(members_put(&m, 7, ENC_ROOM));
	assert_true(members_memory(&m) > 0);
	assert_int_equal(m.n, 5);
	assert_int_equal(members_count(&m, ENC_RAW), 4);
	assert_int_equal(members_count(&m, ENC_ROOM), 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(members_has(&m, CONN_MAX - 1 - i));
	assert_true(members_remove(&m, 7));
	assert_true(members_remove(&m, CONN_MAX - 1));
	assert_true(members_memory(&m) > 0); /* not yet: the next one would spread it again */
	assert_true(members_remove(&m, CONN_MAX - 2));
	assert_int_equal(members_memory(&m), 0);
	assert_true(members_has(&m, CONN_MAX - 3));
	assert_false(members_remove(&m, 7));
	members_fini(&m);
}

TEST(members, a_member_is_in_one_encoding_at_a_time)
{
	for (unsigned others = 0; others < 20; others += 19) {
		struct members m = {0};
		for (uint32_t i = 0; i < others; i++)
			members_put(&m, 100 + i, ENC_CHAT);
		for (unsigned i = 0; i < 30; i++) {
			uint8_t e = any_encoding(i);
			assert_true(members_put(&m, 7, e));
			assert_int_equal(m.n, others + 1);
			for (unsigned k = 0; k < ENC_SETS; k++)
				assert_int_equal(members_count(&m, any_encoding(k)),
						 (any_encoding(k) ==
						  e) + (any_encoding(k) == ENC_CHAT ? others : 0));
		}
		members_fini(&m);
	}
}

TEST(members, lists_of_few_are_sorted)
{
	struct members m = {0};
	struct fanout_part parts[ENC_SETS];
	uint32_t few[FANOUT_FEW];
	static const uint32_t index[] = {9, 3, 7, 1};
	for (unsigned i = 0; i < 4; i++)
		members_put(&m, index[i], i == 2 ? ENC_ROOM : ENC_CHANNEL);
	unsigned n = members_recipients(&m, &message, 3, parts, few);
	assert_int_equal(n, 2);
	assert_int_equal(parts[0].encoding, ENC_CHANNEL);
	assert_int_equal(parts[0].n, 2);
	assert_int_equal(parts[0].few[0], 1);
	assert_int_equal(parts[0].few[1], 9);
	assert_int_equal(parts[1].n, 1);
	assert_int_equal(parts[1].few[0], 7);
	members_fini(&m);
}

TEST(members, a_twin_is_a_part_of_its_own)
{
	for (unsigned many = 0; many < 2; many++) {
		struct members m = {0};
		struct fanout_part parts[ENC_SETS];
		uint32_t few[FANOUT_FEW], out[64];
		members_put(&m, CONN_MAX - 1, ENC_CHANNEL | ENC_DEFLATED);
		members_put(&m, 5, ENC_CHANNEL);
		members_put(&m, 4, ENC_ROOM | ENC_DEFLATED);
		members_put(&m, 3, ENC_CHANNEL | ENC_DEFLATED);
		for (uint32_t i = 0; i < many * 10; i++)
			members_put(&m, 100 + i, ENC_CHANNEL);
		unsigned n = members_recipients(&m, &message, CONN_NONE, parts, few);
		assert_int_equal(n, 3);
		assert_int_equal(parts[0].encoding, ENC_CHANNEL);
		assert_int_equal(parts[1].encoding, ENC_CHANNEL | ENC_DEFLATED);
		assert_int_equal(parts[2].encoding, ENC_ROOM | ENC_DEFLATED);
		assert_int_equal(collect(parts, n, ENC_CHANNEL | ENC_DEFLATED, out), 2);
		assert_int_equal(out[0], 3);
		assert_int_equal(out[1], CONN_MAX - 1);
		/* who shows nothing of it is not visited, twin or not */
		n = members_recipients(&m, &join, CONN_NONE, parts, few);
		assert_int_equal(n, 1);
		assert_int_equal(parts[0].encoding, ENC_ROOM | ENC_DEFLATED);
		members_fini(&m);
	}
}

/* What a channel with one encoding holds beside its bitmap. */
TEST(members, sets_that_nobody_uses_take_no_memory)
{
	struct members one = {0}, all = {0};
	for (uint32_t i = 0; i < 100; i++) {
		members_put(&one, i, ENC_CHANNEL);
		members_put(&all, i, any_encoding(i));
	}
	struct member_sets *s = one.sets;
	assert_int_equal(s->n, 1);
	assert_int_equal(members_memory(&one), heap(24) + set_memory(s->of[0].set));
	assert_int_equal(all.sets->n, ENC_SETS);
	for (uint32_t i = 0; i < 100; i++)
		members_put(&all, i, ENC_CHAT);
	assert_int_equal(all.sets->n, 1);
	assert_int_equal(members_count(&all, ENC_CHAT), 100);
	members_fini(&one);
	members_fini(&all);
}

TEST(members, whose_words_show_nothing_is_not_visited)
{
	struct members m = {0};
	struct fanout_part parts[ENC_SETS];
	uint32_t few[FANOUT_FEW];
	for (uint32_t i = 0; i < 1000; i++)
		members_put(&m, i, i == 500 ? ENC_ROOM : ENC_CHANNEL);
	unsigned n = members_recipients(&m, &join, CONN_NONE, parts, few);
	assert_int_equal(n, 1);
	assert_int_equal(parts[0].encoding, ENC_ROOM);
	assert_int_equal(parts[0].n, 1);
	assert_int_equal(members_recipients(&m, &join, 500, parts, few), 0);
	members_fini(&m);
}

TEST(members, a_set_with_only_the_sender_in_it_is_no_part)
{
	struct members m = {0};
	struct fanout_part parts[ENC_SETS];
	uint32_t few[FANOUT_FEW], out[200];
	for (uint32_t i = 0; i < 64; i++) /* these fill the list */
		members_put(&m, i, ENC_CHANNEL);
	members_put(&m, 64, ENC_ROOM);
	unsigned n = members_recipients(&m, &message, 64, parts, few);
	assert_int_equal(n, 1);
	assert_int_equal(collect(parts, n, ENC_CHANNEL, out), 64);
	parts_free(parts, n);
	n = members_recipients(&m, &message, CONN_NONE, parts, few);
	assert_int_equal(n, 2);
	assert_int_equal(collect(parts, n, ENC_ROOM, out), 1);
	parts_free(parts, n);
	members_fini(&m);
}

/* What has not changed between two looks shrinks; a cursor's copy of it says what it said. */
TEST(members, sets_at_rest_are_small)
{
	struct members m = {0};
	for (uint32_t i = 0; i < 100000; i++)
		assert_true(members_put(&m, i, ENC_CHANNEL));
	size_t before = members_memory(&m);
	struct fanout_part parts[ENC_SETS];
	uint32_t few[FANOUT_FEW];
	struct publication p = {.kind = PUB_MESSAGE, .data = BYTES_LIT("1")};
	assert_int_equal(members_recipients(&m, &p, CONN_NONE, parts, few), 1);
	roaring_uint32_iterator_t it;
	roaring_init_iterator(parts[0].set, &it);
	roaring_advance_uint32_iterator(&it);
	assert_false(members_rest(&m));
	assert_true(members_remove(&m, 77777)); /* it has changed: not yet */
	assert_false(members_rest(&m));
	assert_true(members_rest(&m));
	assert_false(members_rest(&m));
	assert_true(before > 16000);
	assert_true(members_memory(&m) < 400);
	uint32_t n = 1;
	for (; it.has_value; roaring_advance_uint32_iterator(&it))
		assert_int_equal(it.current_value, n++);
	assert_int_equal(n, 100000);
	roaring_bitmap_free(parts[0].set);
	for (uint32_t i = 0; i < 100000; i++) { /* and it goes on as ever */
		assert_int_equal(members_has(&m, i), i != 77777);
		assert_int_equal(members_remove(&m, i), i != 77777);
	}
	assert_int_equal(members_memory(&m), 0);
	members_fini(&m);
}

/* The list from there on is the model's; its member j has index j * step. */
static void check_list(const struct members *m, const int8_t *enc, uint32_t end, uint32_t step,
		       uint32_t from, uint32_t max)
{
	static struct member out[256];
	uint32_t n = members_list(m, from, out, max), at = 0;
	for (uint32_t j = (from + step - 1) / step; j < end && at < max; j++) {
		if (enc[j] < 0)
			continue;
		assert_true(at < n);
		assert_int_equal(out[at].index, j * step);
		assert_int_equal(out[at++].encoding, enc[j]);
	}
	assert_int_equal(at, n);
}

/* Containers of every kind: lists, bits and runs, and none at all. */
TEST(members, a_list_begins_at_any_index)
{
	enum { N = 400000 };
	int8_t *enc = malloc(N);
	struct members m = {0};
	srand(29);
	memset(enc, -1, N);
	for (uint32_t i = 0; i < N; i++) {
		bool in = i < 70000  ? rand() % 1000 == 0 :
			  i < 140000 ? rand() % 2 :
			  i < 230000 ? i % 5000 < 4000 :
				       i > 390000;
		uint8_t e = any_encoding(i < 230000 ? i / 1000 : (unsigned)rand());
		if (!in)
			continue;
		enc[i] = (int8_t)e;
		assert_true(members_put(&m, i, e));
	}
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned k = 0; k < 2000; k++)
			check_list(&m, enc, N, 1, (uint32_t)rand() % (N + 70000),
				   (uint32_t)rand() % 200);
		check_list(&m, enc, N, 1, 0, 0);
		check_list(&m, enc, N, 1, CONN_MAX - 1, 100);
		members_rest(&m); /* runs, from the second time on */
	}
	members_fini(&m);
	free(enc);
}

TEST(members, random_life_against_a_model)
{
	enum { N = 3000, STEPS = 120000, SNAPS = 8 };
	static int8_t enc[N]; /* -1: not in */
	static uint32_t out[N];
	struct members m = {0};
	uint32_t few[FANOUT_FEW], total = 0;
	struct {
		struct fanout_part parts[ENC_SETS];
		unsigned n;
		uint32_t few[FANOUT_FEW], except;
		int8_t enc[N];
	} *snap = calloc(SNAPS, sizeof(*snap));

	srand(13);
	memset(enc, -1, sizeof(enc));
	for (unsigned step = 0; step < STEPS; step++) {
		if (rand() % 64 == 0)
			members_rest(&m);
		uint32_t i = (uint32_t)rand() % (step / 30000 % 2 ? N : 12);
		if (rand() % 100 < (step / 15000 % 2 ? 70 : 40)) {
			int8_t e = (int8_t)any_encoding((unsigned)rand());
			assert_true(members_put(&m, i * 37, (uint8_t)e));
			total += enc[i] < 0;
			enc[i] = e;
		} else {
			assert_int_equal(members_remove(&m, i * 37), enc[i] >= 0);
			total -= enc[i] >= 0;
			enc[i] = -1;
		}
		assert_int_equal(m.n, total);
		assert_int_equal(members_has(&m, i * 37), enc[i] >= 0);
		if (step % 50)
			continue;
		check_list(&m, enc, N, 37, (uint32_t)rand() % (N * 37), (uint32_t)rand() % 100);
		check_list(&m, enc, N, 37, (uint32_t)rand() % (12 * 37), 100);
		/* an older copy has not changed with the sets */
		unsigned k = (unsigned)rand() % SNAPS;
		for (unsigned s = 0; s < ENC_SETS; s++) {
			int8_t e = (int8_t)any_encoding(s);
			uint32_t n = collect(snap[k].parts, snap[k].n, (uint8_t)e, out), at = 0;
			for (uint32_t j = 0; snap[k].n > 0 && j < N; j++)
				if (snap[k].enc[j] == e && j * 37 != snap[k].except)
					assert_int_equal(out[at++], j * 37);
			assert_int_equal(at, n);
		}
		parts_free(snap[k].parts, snap[k].n);
		snap[k].except = rand() % 2 ? i * 37 : CONN_NONE;
		snap[k].n = members_recipients(&m, &message, snap[k].except, snap[k].parts, few);
		memcpy(snap[k].few, few, sizeof(few));
		for (unsigned j = 0; j < snap[k].n; j++)
			if (snap[k].parts[j].n > 0)
				snap[k].parts[j].few = snap[k].few + (snap[k].parts[j].few - few);
		memcpy(snap[k].enc, enc, sizeof(enc));
	}
	for (unsigned k = 0; k < SNAPS; k++)
		parts_free(snap[k].parts, snap[k].n);
	free(snap);
	members_fini(&m);
}

TEST_MAIN()
