/* SPDX-License-Identifier: BSD-2-Clause */
/* members.c - see members.h.
 *
 * The bitmaps are copy-on-write: a cursor of the fan-out takes a copy of the set, which shares
 * the containers (each for 65,536 indexes) until one of the two changes one. So publishing to a
 * million costs sixteen counters, and a subscriber that comes or goes while cursors walk
 * costs one container, at most 8 KiB. */
#include "hub/members.h"

#include <roaring/roaring.h>
#include <stdlib.h>

#define INDEX_MASK (CONN_MAX - 1)

struct member_sets {
	roaring_bitmap_t *by[ENC_COUNT]; /* owned; NULL while nobody has the encoding */
	uint32_t n[ENC_COUNT];
};

static uint32_t word_of(uint32_t index, enum encoding e)
{
	assert(index < CONN_MAX && e < ENC_COUNT);
	return index | (uint32_t)e << CONN_INDEX_BITS;
}

/* ── the sets ── */

static void sets_free(struct member_sets *s)
{
	for (int e = 0; e < ENC_COUNT; e++)
		if (s->by[e] != NULL)
			roaring_bitmap_free(s->by[e]);
	free(s);
}

static bool sets_add(struct member_sets *s, uint32_t index, enum encoding e)
{
	if (s->by[e] == NULL) {
		s->by[e] = roaring_bitmap_create_with_capacity(1);
		if (s->by[e] == NULL)
			return false;
		roaring_bitmap_set_copy_on_write(s->by[e], true);
	}
	s->n[e] += roaring_bitmap_add_checked(s->by[e], index);
	return true;
}

/* From whatever encoding it has, but for `keep` (or ENC_COUNT). False: from none. */
static bool sets_remove(struct member_sets *s, uint32_t index, enum encoding keep)
{
	for (enum encoding e = 0; e < ENC_COUNT; e++) {
		if (e == keep || s->by[e] == NULL ||
		    !roaring_bitmap_remove_checked(s->by[e], index))
			continue;
		if (--s->n[e] == 0) {
			roaring_bitmap_free(s->by[e]);
			s->by[e] = NULL;
		}
		return true;
	}
	return false;
}

/* From words to sets. */
static bool spread(struct members *m)
{
	struct member_sets *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return false;
	for (uint32_t i = 0; i < m->n; i++)
		if (!sets_add(s, m->few[i] & INDEX_MASK, m->few[i] >> CONN_INDEX_BITS)) {
			sets_free(s);
			return false;
		}
	m->sets = s;
	m->is_sets = true;
	return true;
}

/* Back to words, once there are so few that the next one to come does not spread them again. */
static void gather(struct members *m)
{
	struct member_sets *s = m->sets;
	uint32_t few[MEMBERS_FEW], n = 0;
	for (enum encoding e = 0; e < ENC_COUNT; e++) {
		if (s->by[e] == NULL)
			continue;
		assert(n + s->n[e] <= MEMBERS_FEW);
		roaring_bitmap_to_uint32_array(s->by[e], few + n);
		for (uint32_t i = n; i < n + s->n[e]; i++)
			few[i] = word_of(few[i], e);
		n += s->n[e];
	}
	assert(n == m->n);
	sets_free(s);
	memcpy(m->few, few, sizeof(m->few[0]) * n);
	m->is_sets = false;
}

/* ── members ── */

void members_fini(struct members *m)
{
	if (m->is_sets)
		sets_free(m->sets);
	*m = (struct members){0};
}

static uint32_t few_find(const struct members *m, uint32_t index)
{
	uint32_t i = 0;
	while (i < m->n && (m->few[i] & INDEX_MASK) != index)
		i++;
	return i;
}

bool members_put(struct members *m, uint32_t index, enum encoding e)
{
	if (!m->is_sets) {
		uint32_t at = few_find(m, index);
		if (at < MEMBERS_FEW) {
			m->n += at == m->n;
			m->few[at] = word_of(index, e);
			return true;
		}
		if (!spread(m))
			return false;
	}
	if (!sets_add(m->sets, index, e))
		return false;
	sets_remove(m->sets, index, e); /* from any other */
	m->n = 0;
	for (int i = 0; i < ENC_COUNT; i++)
		m->n += m->sets->n[i];
	return true;
}

bool members_remove(struct members *m, uint32_t index)
{
	if (!m->is_sets) {
		uint32_t at = few_find(m, index);
		if (at == m->n)
			return false;
		m->few[at] = m->few[--m->n];
		return true;
	}
	if (!sets_remove(m->sets, index, ENC_COUNT))
		return false;
	if (--m->n <= MEMBERS_FEW / 2)
		gather(m);
	return true;
}

bool members_has(const struct members *m, uint32_t index)
{
	if (!m->is_sets)
		return few_find(m, index) < m->n;
	for (int e = 0; e < ENC_COUNT; e++)
		if (m->sets->by[e] != NULL && roaring_bitmap_contains(m->sets->by[e], index))
			return true;
	return false;
}

uint32_t members_count(const struct members *m, enum encoding e)
{
	if (m->is_sets)
		return m->sets->n[e];
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n; i++)
		n += m->few[i] >> CONN_INDEX_BITS == e;
	return n;
}

/* ── recipients ── */

static bool shows(const struct publication *p, enum encoding e)
{
	return encoding_table[e].same_as(p) != ENC_COUNT;
}

/* The words of one encoding, sorted, without `except`. */
static uint32_t few_of(const struct members *m, enum encoding e, uint32_t except, uint32_t *out)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t index = m->few[i] & INDEX_MASK;
		if (m->few[i] >> CONN_INDEX_BITS != e || index == except)
			continue;
		uint32_t at = n++;
		for (; at > 0 && out[at - 1] > index; at--)
			out[at] = out[at - 1];
		out[at] = index;
	}
	return n;
}

/* A set as a list; it has at most FANOUT_FEW. */
static uint32_t list_of(const roaring_bitmap_t *set, uint32_t n, uint32_t except, uint32_t *out)
{
	roaring_bitmap_to_uint32_array(set, out);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++)
		if (out[i] != except)
			out[kept++] = out[i];
	return kept;
}

/* False: nobody is left. */
static bool set_part(const struct member_sets *s, enum encoding e, uint32_t except,
		     struct fanout_part *part)
{
	roaring_bitmap_t *set = roaring_bitmap_copy(s->by[e]);
	if (set == NULL)
		abort(); /* see fanout/slice.c: an accepted publication is not lost silently */
	if (except != CONN_NONE)
		roaring_bitmap_remove(set, except);
	if (roaring_bitmap_is_empty(set)) {
		roaring_bitmap_free(set);
		return false;
	}
	*part = (struct fanout_part){.encoding = (uint8_t)e, .set = set};
	return true;
}

unsigned members_recipients(struct members *m, const struct publication *p, uint32_t except,
			    struct fanout_part parts[ENC_COUNT], uint32_t few[FANOUT_FEW])
{
	unsigned n = 0;
	uint32_t used = 0;
	for (enum encoding e = 0; e < ENC_COUNT; e++) {
		uint32_t all = m->is_sets ? m->sets->n[e] : m->n, listed = 0;
		if (all == 0 || !shows(p, e))
			continue;
		if (all > FANOUT_FEW - used) {
			n += set_part(m->sets, e, except, &parts[n]);
			continue;
		}
		if (m->is_sets)
			listed = list_of(m->sets->by[e], all, except, few + used);
		else
			listed = few_of(m, e, except, few + used);
		if (listed == 0)
			continue;
		parts[n++] = (struct fanout_part){
			.encoding = (uint8_t)e, .n = (uint8_t)listed, .few = few + used};
		used += listed;
	}
	return n;
}

/* ── memory ── */

/* What malloc takes for n bytes on 64-bit glibc. */
static size_t heap(size_t n)
{
	return n == 0 ? 0 : MAX((n + 8 + 15) / 16 * 16, 32);
}

static size_t container_memory(const void *c, uint8_t type)
{
	size_t n = type == SHARED_CONTAINER_TYPE_CODE ? heap(sizeof(shared_container_t)) : 0;
	c = container_unwrap_shared(c, &type);
	if (type == BITSET_CONTAINER_TYPE_CODE)
		return n + heap(sizeof(bitset_container_t)) +
		       BITSET_CONTAINER_SIZE_IN_WORDS * sizeof(uint64_t) + 32;
	if (type == ARRAY_CONTAINER_TYPE_CODE)
		return n + heap(sizeof(array_container_t)) +
		       heap((size_t)((const array_container_t *)c)->capacity * sizeof(uint16_t));
	return n + heap(sizeof(run_container_t)) +
	       heap((size_t)((const run_container_t *)c)->capacity * sizeof(rle16_t));
}

static size_t set_memory(const roaring_bitmap_t *set)
{
	const roaring_array_t *ra = &set->high_low_container;
	size_t n = heap(sizeof(*set)) + heap((size_t)ra->allocation_size *
					     (sizeof(void *) + sizeof(uint16_t) + sizeof(uint8_t)));
	for (int32_t i = 0; i < ra->size; i++)
		n += container_memory(ra->containers[i], ra->typecodes[i]);
	return n;
}

size_t members_memory(const struct members *m)
{
	if (!m->is_sets)
		return 0;
	size_t n = heap(sizeof(*m->sets));
	for (int e = 0; e < ENC_COUNT; e++)
		if (m->sets->by[e] != NULL)
			n += set_memory(m->sets->by[e]);
	return n;
}
