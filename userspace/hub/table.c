/* SPDX-License-Identifier: BSD-2-Clause */
/* table.c - see table.h.
 *
 * Entries lie in chunks that never move; a hash table of 8-byte slots (hash and number) finds
 * them, by linear probing, and looks at an entry only when all 32 bits of the hash agree.
 * A million channels must not stop the worker while the slots double: the former slots
 * stay beside the new ones and every change moves a few over. */
#include "hub/table.h"

#include <stdlib.h>

#define SLOTS_MIN 64u
#define MOVE_STEP 64u        /* slots looked at per change: done long before the next doubling */
#define GONE      UINT32_MAX /* number + 1 of a slot in `old` that was moved or removed */

static bool slots_init(struct channel_slots *s, uint32_t cap)
{
	s->slot = calloc(cap, sizeof(*s->slot));
	s->mask = cap - 1;
	s->used = 0;
	return s->slot != NULL;
}

static uint64_t slot_of(uint32_t hash, uint32_t number)
{
	return (uint64_t)hash << 32 | (number + 1);
}

static uint32_t slot_hash(uint64_t slot)
{
	return (uint32_t)(slot >> 32);
}

static void slots_put(struct channel_slots *s, uint64_t slot)
{
	uint32_t i = slot_hash(slot) & s->mask;
	while (s->slot[i] != 0)
		i = (i + 1) & s->mask;
	s->slot[i] = slot;
	s->used++;
}

bool channel_table_init(struct channel_table *t)
{
	memset(t, 0, sizeof(*t));
	t->free_head = CHANNEL_NONE;
	return slots_init(&t->now, SLOTS_MIN);
}

void channel_table_fini(struct channel_table *t)
{
	for (uint32_t i = 0; i < t->high; i++) {
		struct channel_key *k = &channel_table_at(t, i)->key;
		if (k->n > CHANNEL_NEAR_MAX)
			free(k->far);
	}
	for (uint32_t i = 0; i < t->n_chunks; i++)
		free(t->chunk[i]);
	free(t->chunk);
	free(t->now.slot);
	free(t->old.slot);
	memset(t, 0, sizeof(*t));
}

static bool is_named(const struct channel_table *t, uint32_t number, uint16_t space,
		     struct bytes name)
{
	const struct channel_key *k = &channel_table_at(t, number)->key;
	return k->space == space && bytes_eq(channel_name(k), name);
}

static uint32_t slots_find(const struct channel_table *t, const struct channel_slots *s,
			   uint32_t hash, uint16_t space, struct bytes name)
{
	if (s->slot == NULL)
		return CHANNEL_NONE;
	for (uint32_t i = hash & s->mask; s->slot[i] != 0; i = (i + 1) & s->mask) {
		uint32_t number = (uint32_t)s->slot[i];
		if (slot_hash(s->slot[i]) == hash && number != GONE &&
		    is_named(t, number - 1, space, name))
			return number - 1;
	}
	return CHANNEL_NONE;
}

uint32_t channel_table_find(const struct channel_table *t, uint32_t hash, uint16_t space,
			    struct bytes name)
{
	uint32_t number = slots_find(t, &t->now, hash, space, name);
	return number != CHANNEL_NONE ? number : slots_find(t, &t->old, hash, space, name);
}

/* Moves some of the old slots over. */
static void move_some(struct channel_table *t)
{
	if (t->old.slot == NULL)
		return;
	for (uint32_t i = 0; i < MOVE_STEP && t->old_at <= t->old.mask; i++, t->old_at++) {
		uint64_t *slot = &t->old.slot[t->old_at];
		if (*slot == 0 || (uint32_t)*slot == GONE)
			continue;
		slots_put(&t->now, *slot);
		*slot |= GONE; /* keeps the probes that run over it going */
	}
	if (t->old_at > t->old.mask) {
		free(t->old.slot);
		t->old = (struct channel_slots){0};
	}
}

/* Begins to move to `cap` slots. False: no memory, all stays as it was. */
static bool resize(struct channel_table *t, uint32_t cap)
{
	struct channel_slots fresh;
	if (!slots_init(&fresh, cap))
		return false;
	t->old = t->now;
	t->old_at = 0;
	t->now = fresh;
	return true;
}

/* Before a change. False: there is no room for one more. */
static bool fit(struct channel_table *t)
{
	move_some(t);
	if (t->old.slot != NULL)
		return true; /* the new slots have room for all of the old ones and more */
	uint32_t cap = t->now.mask + 1;
	if (t->now.used >= cap / 4 * 3)
		return resize(t, 2 * cap) || t->now.used < cap - 1;
	if (cap > SLOTS_MIN && t->now.used < cap / 8)
		resize(t, cap / 2);
	return true;
}

static bool more_numbers(struct channel_table *t)
{
	if (t->high < t->n_chunks * CHANNEL_CHUNK)
		return true;
	if (t->high >= CHANNEL_MAX)
		return false;
	if (t->n_chunks == t->cap_chunks) {
		uint32_t cap = t->cap_chunks ? 2 * t->cap_chunks : 16;
		struct channel_entry **chunk = realloc(t->chunk, cap * sizeof(*chunk));
		if (chunk == NULL)
			return false;
		t->chunk = chunk;
		t->cap_chunks = cap;
	}
	struct channel_entry *e = aligned_alloc(64, CHANNEL_CHUNK * sizeof(*e));
	if (e == NULL)
		return false;
	t->chunk[t->n_chunks++] = e;
	return true;
}

uint32_t channel_table_add(struct channel_table *t, uint32_t hash, uint16_t space,
			   struct bytes name)
{
	assert(name.n >= 1 && name.n <= UINT8_MAX);
	if (!fit(t) || (t->free_head == CHANNEL_NONE && !more_numbers(t)))
		return CHANNEL_NONE;
	uint8_t *far = NULL;
	if (name.n > CHANNEL_NEAR_MAX && (far = malloc(name.n)) == NULL)
		return CHANNEL_NONE;
	uint32_t number = t->free_head;
	if (number != CHANNEL_NONE)
		t->free_head = channel_table_at(t, number)->key.next_free;
	else
		number = t->high++;
	struct channel_entry *e = channel_table_at(t, number);
	*e = (struct channel_entry){
		.key = {.hash = hash, .space = space, .n = (uint8_t)name.n},
	};
	memcpy(far != NULL ? far : e->key.near, name.p, name.n);
	if (far != NULL) {
		e->key.far = far;
		t->far_bytes += name.n;
	}
	slots_put(&t->now, slot_of(hash, number));
	t->n++;
	return number;
}

/* Where the slot is, or UINT32_MAX. */
static uint32_t slot_index(const struct channel_slots *s, uint64_t slot)
{
	if (s->slot == NULL)
		return UINT32_MAX;
	uint32_t i = slot_hash(slot) & s->mask;
	while (s->slot[i] != 0 && s->slot[i] != slot)
		i = (i + 1) & s->mask;
	return s->slot[i] == slot ? i : UINT32_MAX;
}

/* Closes the gap, so that no probe ends too early: whoever stands behind it and would rather
 * stand in it moves there. */
static void slots_remove(struct channel_slots *s, uint32_t gap)
{
	s->used--;
	for (uint32_t i = (gap + 1) & s->mask; s->slot[i] != 0; i = (i + 1) & s->mask) {
		uint32_t home = slot_hash(s->slot[i]) & s->mask;
		if (((i - home) & s->mask) < ((i - gap) & s->mask))
			continue;
		s->slot[gap] = s->slot[i];
		gap = i;
	}
	s->slot[gap] = 0;
}

void channel_table_remove(struct channel_table *t, uint32_t number)
{
	struct channel_key *k = &channel_table_at(t, number)->key;
	assert(k->n > 0);
	uint64_t slot = slot_of(k->hash, number);
	uint32_t i = slot_index(&t->now, slot);
	if (i != UINT32_MAX) {
		slots_remove(&t->now, i);
	} else {
		i = slot_index(&t->old, slot);
		assert(i != UINT32_MAX);
		t->old.slot[i] |= GONE;
	}
	if (k->n > CHANNEL_NEAR_MAX) {
		t->far_bytes -= k->n;
		free(k->far);
	}
	*k = (struct channel_key){.next_free = t->free_head};
	t->free_head = number;
	t->n--;
	fit(t);
}

size_t channel_table_memory(const struct channel_table *t)
{
	size_t slots = (size_t)t->now.mask + 1 + (t->old.slot ? (size_t)t->old.mask + 1 : 0);
	return slots * sizeof(uint64_t) + t->cap_chunks * sizeof(*t->chunk) +
	       (size_t)t->n_chunks * CHANNEL_CHUNK * sizeof(struct channel_entry) + t->far_bytes;
}
