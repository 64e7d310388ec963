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

struct member_set {
	roaring_bitmap_t *set; /* owned, never empty */
	uint32_t n;
	uint8_t encoding;
	uint8_t restless; /* SETTLED: as small as it gets */
};
enum { SETTLED, QUIET, CHANGED };

/* Those in use, by encoding: nearly always one, so there is no array over all that there might be. */
struct member_sets {
	uint32_t n;
	struct member_set of[];
};

static uint32_t word_of(uint32_t index, uint8_t e)
{
	assert(index < CONN_MAX && encoding_valid(e));
	return index | (uint32_t)e << CONN_INDEX_BITS;
}

/* ── the sets ── */

static size_t sets_bytes(uint32_t n)
{
	return sizeof(struct member_sets) + n * sizeof(struct member_set);
}

static void sets_free(struct member_sets *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		roaring_bitmap_free(s->of[i].set);
	free(s);
}

static struct member_set *sets_find(struct member_sets *s, uint8_t e)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->of[i].encoding == e)
			return &s->of[i];
	return NULL;
}

/* An empty set of an encoding that has none. NULL: no memory, *at as it was. */
static struct member_set *sets_open(struct member_sets **at, uint8_t e)
{
	roaring_bitmap_t *set = roaring_bitmap_create_with_capacity(1);
	struct member_sets *s = set == NULL ? NULL : realloc(*at, sets_bytes((*at)->n + 1));
	if (s == NULL) {
		if (set != NULL)
			roaring_bitmap_free(set);
		return NULL;
	}
	roaring_bitmap_set_copy_on_write(set, true);
	uint32_t i = s->n++;
	for (; i > 0 && s->of[i - 1].encoding > e; i--)
		s->of[i] = s->of[i - 1];
	s->of[i] = (struct member_set){.set = set, .encoding = e};
	*at = s;
	return &s->of[i];
}

/* The list keeps its length: what is left over is little, and who changes its encoding comes back. */
static void sets_shut(struct member_sets *s, struct member_set *of)
{
	roaring_bitmap_free(of->set);
	s->n--;
	for (; of < s->of + s->n; of++)
		*of = of[1];
}

static bool sets_add(struct member_sets **at, uint32_t index, uint8_t e)
{
	struct member_set *of = sets_find(*at, e);
	if (of == NULL)
		of = sets_open(at, e);
	if (of == NULL)
		return false;
	of->n += roaring_bitmap_add_checked(of->set, index);
	of->restless = CHANGED;
	return true;
}

/* From whatever encoding it has, but for `keep` (or ENC_LIMIT). False: from none. */
static bool sets_remove(struct member_sets *s, uint32_t index, uint8_t keep)
{
	for (struct member_set *of = s->of; of < s->of + s->n; of++) {
		if (of->encoding == keep || !roaring_bitmap_remove_checked(of->set, index))
			continue;
		of->restless = CHANGED;
		if (--of->n == 0)
			sets_shut(s, of);
		return true;
	}
	return false;
}

/* From words to sets. */
static bool spread(struct members *m)
{
	struct member_sets *s = malloc(sets_bytes(1));
	if (s == NULL)
		return false;
	s->n = 0;
	for (uint32_t i = 0; i < m->n; i++)
		if (!sets_add(&s, m->few[i] & INDEX_MASK, m->few[i] >> CONN_INDEX_BITS)) {
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
	for (const struct member_set *of = s->of; of < s->of + s->n; of++) {
		assert(n + of->n <= MEMBERS_FEW);
		roaring_bitmap_to_uint32_array(of->set, few + n);
		for (uint32_t i = n; i < n + of->n; i++)
			few[i] = word_of(few[i], of->encoding);
		n += of->n;
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

bool members_put(struct members *m, uint32_t index, uint8_t e)
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
	if (!sets_add(&m->sets, index, e))
		return false;
	sets_remove(m->sets, index, e); /* from any other */
	m->n = 0;
	for (uint32_t i = 0; i < m->sets->n; i++)
		m->n += m->sets->of[i].n;
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
	if (!sets_remove(m->sets, index, ENC_LIMIT))
		return false;
	if (--m->n <= MEMBERS_FEW / 2)
		gather(m);
	return true;
}

bool members_has(const struct members *m, uint32_t index)
{
	if (!m->is_sets)
		return few_find(m, index) < m->n;
	for (uint32_t i = 0; i < m->sets->n; i++)
		if (roaring_bitmap_contains(m->sets->of[i].set, index))
			return true;
	return false;
}

uint32_t members_count(const struct members *m, uint8_t e)
{
	uint32_t n = 0;
	if (m->is_sets) {
		const struct member_set *of = sets_find(m->sets, e);
		return of != NULL ? of->n : 0;
	}
	for (uint32_t i = 0; i < m->n; i++)
		n += m->few[i] >> CONN_INDEX_BITS == e;
	return n;
}

/* ── a list ── */

/* The word with the smallest index from there on; NULL: there is none. */
static const uint32_t *few_next(const struct members *m, uint32_t from)
{
	const uint32_t *least = NULL;
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t index = m->few[i] & INDEX_MASK;
		if (index >= from && (least == NULL || index < (*least & INDEX_MASK)))
			least = &m->few[i];
	}
	return least;
}

static uint32_t list_few(const struct members *m, uint32_t from, struct member *out, uint32_t max)
{
	const uint32_t *word;
	uint32_t n = 0;
	for (; n < max && (word = few_next(m, from)) != NULL; n++) {
		out[n] = (struct member){.index = *word & INDEX_MASK,
					 .encoding = (uint8_t)(*word >> CONN_INDEX_BITS)};
		from = out[n].index + 1;
	}
	return n;
}

/* The sets merged: a look at the head of each for each that is listed. */
static uint32_t list_sets(const struct member_sets *s, uint32_t from, struct member *out,
			  uint32_t max)
{
	roaring_uint32_iterator_t it[ENC_SETS];
	uint32_t n = 0;
	for (uint32_t i = 0; i < s->n; i++) {
		roaring_init_iterator(s->of[i].set, &it[i]);
		roaring_move_uint32_iterator_equalorlarger(&it[i], from);
	}
	for (; n < max; n++) {
		uint32_t least = s->n;
		for (uint32_t i = 0; i < s->n; i++)
			if (it[i].has_value &&
			    (least == s->n || it[i].current_value < it[least].current_value))
				least = i;
		if (least == s->n)
			break;
		out[n] = (struct member){.index = it[least].current_value,
					 .encoding = s->of[least].encoding};
		roaring_advance_uint32_iterator(&it[least]);
	}
	return n;
}

uint32_t members_list(const struct members *m, uint32_t from, struct member *out, uint32_t max)
{
	return m->is_sets ? list_sets(m->sets, from, out, max) : list_few(m, from, out, max);
}

/* ── recipients ── */

static bool shows(const struct publication *p, uint8_t e)
{
	return encoding_table[encoding_plain(e)].same_as(p) != ENC_COUNT;
}

/* The words, sorted: by encoding, and by index within each. */
static void sorted(const struct members *m, uint32_t out[MEMBERS_FEW])
{
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t at = i;
		for (; at > 0 && out[at - 1] > m->few[i]; at--)
			out[at] = out[at - 1];
		out[at] = m->few[i];
	}
}

static bool passes(const struct members_filter *f, uint32_t index)
{
	return index != f->except && (f->in == NULL || roaring_bitmap_contains(f->in, index)) &&
	       (f->out == NULL || !roaring_bitmap_contains(f->out, index));
}

/* Runs of the same encoding become parts. */
static unsigned recipients_few(const struct members *m, const struct publication *p,
			       const struct members_filter *f, struct fanout_part *parts,
			       uint32_t *few)
{
	uint32_t words[MEMBERS_FEW], used = 0;
	unsigned n = 0;
	sorted(m, words);
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t index = words[i] & INDEX_MASK;
		uint8_t e = (uint8_t)(words[i] >> CONN_INDEX_BITS);
		if (!passes(f, index) || !shows(p, e))
			continue;
		if (n == 0 || parts[n - 1].encoding != e)
			parts[n++] = (struct fanout_part){.encoding = e, .few = few + used};
		parts[n - 1].n++;
		few[used++] = index;
	}
	return n;
}

/* A set as a list; it has at most FANOUT_FEW. */
static uint32_t list_of(const roaring_bitmap_t *set, uint32_t n, const struct members_filter *f,
			uint32_t *out)
{
	roaring_bitmap_to_uint32_array(set, out);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++)
		if (passes(f, out[i]))
			out[kept++] = out[i];
	return kept;
}

static roaring_bitmap_t *those(const roaring_bitmap_t *set, const struct members_filter *f)
{
	assert(f->in == NULL || f->out == NULL);
	return f->in != NULL  ? roaring_bitmap_and(set, f->in) :
	       f->out != NULL ? roaring_bitmap_andnot(set, f->out) :
				roaring_bitmap_copy(set);
}

/* False: nobody is left. */
static bool set_part(const struct member_set *of, const struct members_filter *f,
		     struct fanout_part *part)
{
	roaring_bitmap_t *set = those(of->set, f);
	if (set == NULL)
		abort(); /* see fanout/slice.c: an accepted publication is not lost silently */
	if (f->except != CONN_NONE)
		roaring_bitmap_remove(set, f->except);
	if (roaring_bitmap_is_empty(set)) {
		roaring_bitmap_free(set);
		return false;
	}
	*part = (struct fanout_part){.encoding = of->encoding, .set = set};
	return true;
}

unsigned members_recipients(struct members *m, const struct publication *p, uint32_t except,
			    struct fanout_part parts[ENC_SETS], uint32_t few[FANOUT_FEW])
{
	return members_filtered(m, p, &(struct members_filter){.except = except}, parts, few);
}

unsigned members_filtered(struct members *m, const struct publication *p,
			  const struct members_filter *f, struct fanout_part parts[ENC_SETS],
			  uint32_t few[FANOUT_FEW])
{
	unsigned n = 0;
	uint32_t used = 0;
	if (!m->is_sets)
		return recipients_few(m, p, f, parts, few);
	for (uint32_t i = 0; i < m->sets->n; i++) {
		const struct member_set *of = &m->sets->of[i];
		if (!shows(p, of->encoding))
			continue;
		if (of->n > FANOUT_FEW - used) {
			n += set_part(of, f, &parts[n]);
			continue;
		}
		uint32_t listed = list_of(of->set, of->n, f, few + used);
		if (listed == 0)
			continue;
		parts[n++] = (struct fanout_part){
			.encoding = of->encoding, .n = (uint8_t)listed, .few = few + used};
		used += listed;
	}
	return n;
}

unsigned members_sets(const struct members *m, const roaring_bitmap_t *sets[ENC_SETS],
		      roaring_bitmap_t *few)
{
	if (!m->is_sets) {
		for (uint32_t i = 0; i < m->n; i++)
			roaring_bitmap_add(few, m->few[i] & INDEX_MASK);
		return 0;
	}
	for (uint32_t i = 0; i < m->sets->n; i++)
		sets[i] = m->sets->of[i].set;
	return m->sets->n;
}

/* ── rest ── */

bool members_rest(struct members *m)
{
	bool worked = false;
	if (!m->is_sets)
		return false;
	for (struct member_set *of = m->sets->of; of < m->sets->of + m->sets->n; of++) {
		if (of->restless == SETTLED || --of->restless != SETTLED)
			continue;
		/* What a cursor walks is not touched: containers that are shared are copied first. */
		roaring_bitmap_run_optimize(of->set);
		roaring_bitmap_shrink_to_fit(of->set);
		worked = true;
	}
	return worked;
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
	size_t n = heap(sets_bytes(m->sets->n));
	for (uint32_t i = 0; i < m->sets->n; i++)
		n += set_memory(m->sets->of[i].set);
	return n;
}
