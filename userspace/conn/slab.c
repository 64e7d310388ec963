/* SPDX-License-Identifier: BSD-2-Clause */
/* slab.c - an array of conns, the lowest free one first.
 *
 *   0                                    high            _paged          max
 *   ├─ live ─ free ─ live ─ held ─ live ───┼─ free, ours ──┼─ untouched ────┤
 *
 * Free slots below `high` have a bit in a map, and each word of the map that is
 * not empty a bit in a summary, so that the lowest free slot of a million is found
 * by looking at a few words. A free slot just below `high` lowers it instead, and
 * once two MiB above it are idle, their pages are punched out of the memfd.
 *
 * A freed slot goes through a ring first: stamps only grow, so those whose cursors
 * have passed are always at its front. Generations are counted over all slots, not per slot:
 * so nothing is lost with a page that is given back, and a busy slot 0 does not
 * run through its numbers faster than the others. */
#include "conn/slab.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE        4096u
#define GIVE_BACK   ((2u << 20) / (uint32_t)sizeof(struct conn)) /* slots, before pages go */
/* An odd number of 2^32 / phi: the beginnings of any lives lie far apart (Knuth 6.4). */
#define LIFE_STRIDE 2654435769u

static size_t map_words(uint32_t max)
{
	return ((size_t)max + 63) / 64;
}

size_t conn_slab_bytes(uint32_t max)
{
	return ((size_t)max * sizeof(struct conn) + PAGE - 1) / PAGE * PAGE;
}

int conn_slab_init(struct conn_slab *s, int memfd, uint32_t max, uint32_t incarnation)
{
	assert(max > 0 && max <= CONN_MAX);
	size_t bytes = conn_slab_bytes(max);
	int err;

	memset(s, 0, sizeof(*s));
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	madvise(mem, bytes, MADV_HUGEPAGE); /* where they can be had */
	madvise(mem, bytes, MADV_DONTDUMP); /* keys do not belong into a core file */
	err = -ENOMEM;
	/* calloc of this size comes as untouched pages */
	s->_free_map = calloc(map_words(max), sizeof(uint64_t));
	if (s->_free_map == NULL)
		goto fail_map;
	s->_free_sum = calloc((map_words(max) + 63) / 64, sizeof(uint64_t));
	if (s->_free_sum == NULL)
		goto fail_sum;
	s->_held = calloc(max, sizeof(*s->_held));
	if (s->_held == NULL)
		goto fail_held;
	s->conns = mem;
	s->max = max;
	s->incarnation = incarnation;
	s->_gen = incarnation * LIFE_STRIDE;
	return 0;

fail_held:
	free(s->_free_sum);
fail_sum:
	free(s->_free_map);
fail_map:
	munmap(mem, bytes);
	memset(s, 0, sizeof(*s));
	return err;
}

void conn_slab_fini(struct conn_slab *s)
{
	if (s->conns == NULL)
		return;
	munmap(s->conns, conn_slab_bytes(s->max));
	free(s->_free_map);
	free(s->_free_sum);
	free(s->_held);
	memset(s, 0, sizeof(*s));
}

static void mark_free(struct conn_slab *s, uint32_t index)
{
	uint32_t word = index / 64;
	s->_free_map[word] |= (uint64_t)1 << (index % 64);
	s->_free_sum[word / 64] |= (uint64_t)1 << (word % 64);
	if (word / 64 < s->_hint)
		s->_hint = word / 64;
}

static void mark_used(struct conn_slab *s, uint32_t index)
{
	uint32_t word = index / 64;
	s->_free_map[word] &= ~((uint64_t)1 << (index % 64));
	if (s->_free_map[word] == 0)
		s->_free_sum[word / 64] &= ~((uint64_t)1 << (word % 64));
}

static bool is_free(const struct conn_slab *s, uint32_t index)
{
	return s->_free_map[index / 64] >> (index % 64) & 1;
}

/* The lowest free slot below high, or CONN_NONE. */
static uint32_t lowest_free(struct conn_slab *s)
{
	uint32_t words = (uint32_t)map_words(s->high);
	for (; s->_hint * 64 < words; s->_hint++) {
		uint64_t sum = s->_free_sum[s->_hint];
		if (sum == 0)
			continue;
		uint32_t word = s->_hint * 64 + (uint32_t)__builtin_ctzll(sum);
		return word * 64 + (uint32_t)__builtin_ctzll(s->_free_map[word]);
	}
	return CONN_NONE;
}

struct conn *conn_slab_alloc(struct conn_slab *s)
{
	uint32_t index = lowest_free(s);
	if (index != CONN_NONE) {
		mark_used(s, index);
	} else {
		if (s->high == s->max)
			return NULL;
		index = s->high++;
		s->_paged = MAX(s->_paged, s->high);
	}
	struct conn *c = &s->conns[index];
	assert(c->state == CONN_FREE);
	memset(c, 0, sizeof(*c));
	if (++s->_gen == 0)
		s->_gen = 1;
	c->gen = s->_gen;
	s->live++;
	return c;
}

void conn_slab_free(struct conn_slab *s, struct conn *c, uint64_t stamp)
{
	uint32_t index = conn_index(s, c);
	assert(index < s->high && c->state != CONN_HELD && s->live > 0 && s->_held_n < s->max);
	explicit_bzero(c, sizeof(*c));
	c->state = CONN_HELD;
	uint32_t last = (uint32_t)(((uint64_t)s->_held_head + s->_held_n + s->max - 1) % s->max);
	assert(s->_held_n == 0 || s->_held[last].stamp <= stamp);
	uint32_t at = (uint32_t)(((uint64_t)s->_held_head + s->_held_n) % s->max);
	s->_held[at] = (struct conn_held){.index = index, .stamp = stamp};
	s->_held_n++;
	s->live--;
}

/* Free slots at the top are not free but untouched. */
static void lower(struct conn_slab *s)
{
	while (s->high > 0 && is_free(s, s->high - 1))
		mark_used(s, --s->high);
	if (s->_paged - s->high < 2 * GIVE_BACK)
		return;
	/* keep some warm: a load that swings around this edge should not fault each time */
	size_t from = ((size_t)s->high + GIVE_BACK) * sizeof(struct conn);
	from = (from + PAGE - 1) / PAGE * PAGE;
	size_t to = ((size_t)s->_paged * sizeof(struct conn) + PAGE - 1) / PAGE * PAGE;
	if (from >= to)
		return;
	/* if the kernel cannot, the pages stay: they hold zeros either way */
	madvise((uint8_t *)s->conns + from, to - from, MADV_REMOVE);
	s->_paged = s->high + GIVE_BACK;
}

void conn_slab_release(struct conn_slab *s, uint64_t oldest)
{
	bool any = false;
	while (s->_held_n > 0 && s->_held[s->_held_head].stamp < oldest) {
		uint32_t index = s->_held[s->_held_head].index;
		s->conns[index].state = CONN_FREE;
		mark_free(s, index);
		s->_held_head = (s->_held_head + 1) % s->max;
		s->_held_n--;
		any = true;
	}
	if (s->_held_n == 0)
		s->_held_head = 0; /* stay in the ring's first pages */
	if (any)
		lower(s);
}
