/* SPDX-License-Identifier: BSD-2-Clause */
/* wheel.c - a hierarchy of four wheels, 256 slots each, covering 32 bits of ticks.
 *
 *   level 0: the next 256 ticks, a slot per tick     ▲ an entry moves down a level when
 *   level 1: the next 64 Ki ticks, a slot per 256    │ `now` enters the span of its slot
 *   level 2: the next 16 Mi                          │
 *   level 3: the rest, up to 2^31
 *
 * A slot is a doubly linked list of indexes. Index + 1 is stored, so that 0 can mean "none", and
 * the first link's _prev names the slot itself: taking any link out needs no search.
 *
 * Work is bounded per run, so `now` only advances to the next *event*: the next tick that has
 * something due, or at which a slot of a higher level must move down. A bitmap of used slots per
 * level finds it in a few instructions, which makes a clock that jumps an hour as cheap as one
 * that does not. On arrival the slots that must move down are renamed to the *transit* slots in
 * O(1); they are then emptied one link at a time, and only when they and the slot of `now` are
 * empty does `now` advance. What the budget cuts off is therefore still there on the next run,
 * and wheel_del() works on a link wherever it is.
 *
 * Invariants between calls:
 *   an armed link has 1 <= due - now < 2^31 (mod 2^32), or due == now while a run is unfinished;
 *   a link in level 0 has due - now < 256, so its slot is not ambiguous; a link in level L >= 1
 *   has 1 <= (due >> 8L) - (now >> 8L) <= 256, so a slot equal to now's own is a whole round off. */
#include "base/wheel.h"

#include <assert.h>
#include <string.h>

#define FROM_SLOT 0x80000000u
#define TRANSIT   (WHEEL_LEVELS * WHEEL_SLOTS)

static inline struct wheel_link *link_at(const struct wheel *w, uint32_t index)
{
	assert(index < w->_limit);
	return (struct wheel_link *)(w->_links + index * w->_stride);
}

static inline void slot_mark(struct wheel *w, uint32_t slot, bool used)
{
	if (slot >= TRANSIT)
		return;
	uint64_t *word = &w->_used[slot / WHEEL_SLOTS][slot % WHEEL_SLOTS / 64];
	uint64_t bit = (uint64_t)1 << slot % 64;
	*word = used ? *word | bit : *word & ~bit;
}

/* The slot for a due tick as seen from now; due is now or later. */
static inline uint32_t slot_for(const struct wheel *w, uint32_t due)
{
	uint32_t ahead = due - w->_now;
	unsigned level = ahead < 1u << 8 ? 0 : ahead < 1u << 16 ? 1 : ahead < 1u << 24 ? 2 : 3;
	return level * WHEEL_SLOTS + (due >> 8 * level) % WHEEL_SLOTS;
}

static inline void link_in(struct wheel *w, uint32_t index, uint32_t slot)
{
	struct wheel_link *l = link_at(w, index);
	uint32_t first = w->_slot[slot];

	l->_next = first;
	l->_prev = FROM_SLOT | slot;
	if (first)
		link_at(w, first - 1)->_prev = index + 1;
	else
		slot_mark(w, slot, true);
	w->_slot[slot] = index + 1;
}

static inline void link_out(struct wheel *w, struct wheel_link *l)
{
	if (l->_next)
		link_at(w, l->_next - 1)->_prev = l->_prev;
	if (l->_prev & FROM_SLOT) {
		uint32_t slot = l->_prev & ~FROM_SLOT;
		assert(slot < TRANSIT + WHEEL_LEVELS);
		w->_slot[slot] = l->_next;
		if (!l->_next)
			slot_mark(w, slot, false);
	} else {
		link_at(w, l->_prev - 1)->_next = l->_next;
	}
	l->_next = l->_prev = 0;
}

void wheel_init(struct wheel *w, void *slab, size_t stride, size_t offset, uint32_t limit,
		uint32_t now)
{
	assert(stride % 4 == 0 && offset % 4 == 0 && stride >= sizeof(struct wheel_link));
	assert(limit <= WHEEL_INDEX_MAX);
	memset(w, 0, sizeof(*w));
	w->_links = (uint8_t *)slab + offset;
	w->_stride = stride;
	w->_limit = limit;
	w->_now = now;
}

void wheel_add(struct wheel *w, uint32_t index, uint32_t due)
{
	struct wheel_link *l = link_at(w, index);
	uint32_t ahead = due - w->_now;

	assert(l->_prev == 0);
	if (ahead == 0 || ahead > INT32_MAX)
		due = w->_now + 1;
	l->due = due;
	link_in(w, index, slot_for(w, due));
	w->_armed++;
}

void wheel_del(struct wheel *w, uint32_t index)
{
	struct wheel_link *l = link_at(w, index);

	if (l->_prev == 0)
		return;
	link_out(w, l);
	w->_armed--;
}

void wheel_move(struct wheel *w, uint32_t index, uint32_t due)
{
	wheel_del(w, index);
	wheel_add(w, index, due);
}

bool wheel_armed(const struct wheel *w, uint32_t index)
{
	return link_at(w, index)->_prev != 0;
}

uint32_t wheel_armed_count(const struct wheel *w)
{
	return w->_armed;
}

/* How far the first used slot of a level lies beyond `from`, going round: 1..256, 0 if none. */
static unsigned slots_ahead(const uint64_t used[WHEEL_SLOTS / 64], unsigned from)
{
	unsigned start = (from + 1) % WHEEL_SLOTS;

	for (unsigned i = 0; i <= WHEEL_SLOTS / 64; i++) {
		unsigned at = (start / 64 + i) % (WHEEL_SLOTS / 64);
		uint64_t word = used[at];
		if (i == 0)
			word &= ~(uint64_t)0 << start % 64;
		if (i == WHEEL_SLOTS / 64)
			word &= ~(~(uint64_t)0 << start % 64);
		if (word) {
			unsigned slot = at * 64 + (unsigned)__builtin_ctzll(word);
			return (slot - start) % WHEEL_SLOTS + 1;
		}
	}
	return 0;
}

/* Ticks from now to the next event, 0 if there is none: something due, or a move down. */
static uint32_t event_ahead(const struct wheel *w)
{
	uint32_t best = 0;

	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		uint32_t round = w->_now >> 8 * level;
		unsigned slots = slots_ahead(w->_used[level], round % WHEEL_SLOTS);
		if (!slots)
			continue;
		uint32_t ahead = ((round + slots) << 8 * level) - w->_now;
		if (!best || ahead < best)
			best = ahead;
	}
	return best;
}

/* `now` has entered a slot of the level: its links are to move down. */
static void slot_to_transit(struct wheel *w, unsigned level)
{
	uint32_t slot = level * WHEEL_SLOTS + (w->_now >> 8 * level) % WHEEL_SLOTS;
	uint32_t first = w->_slot[slot];

	assert(w->_slot[TRANSIT + level] == 0);
	if (!first)
		return;
	w->_slot[TRANSIT + level] = first;
	link_at(w, first - 1)->_prev = FROM_SLOT | (TRANSIT + level);
	w->_slot[slot] = 0;
	slot_mark(w, slot, false);
}

static void arrive(struct wheel *w, uint32_t now)
{
	w->_now = now;
	for (unsigned level = 1; level < WHEEL_LEVELS && now << (32 - 8 * level) == 0; level++)
		slot_to_transit(w, level);
}

static bool busy(const struct wheel *w)
{
	for (unsigned level = 1; level < WHEEL_LEVELS; level++)
		if (w->_slot[TRANSIT + level])
			return true;
	return w->_slot[w->_now % WHEEL_SLOTS] != 0;
}

/* Handles one link of the present tick, on its way down or due; there is one. */
static void step(struct wheel *w, wheel_fn *fn, void *ctx)
{
	for (unsigned level = WHEEL_LEVELS; level-- > 1;) {
		uint32_t first = w->_slot[TRANSIT + level];
		if (first) {
			struct wheel_link *l = link_at(w, first - 1);
			link_out(w, l);
			link_in(w, first - 1, slot_for(w, l->due));
			return;
		}
	}
	uint32_t first = w->_slot[w->_now % WHEEL_SLOTS];
	struct wheel_link *l = link_at(w, first - 1);
	assert(l->due == w->_now);
	link_out(w, l);
	w->_armed--;
	fn(ctx, first - 1);
}

bool wheel_run(struct wheel *w, uint32_t now, uint32_t budget, wheel_fn *fn, void *ctx)
{
	for (;;) {
		while (busy(w)) {
			if (budget == 0)
				return true;
			step(w, fn, ctx);
			budget--;
		}
		uint32_t left = now - w->_now;
		if (left == 0 || left > INT32_MAX)
			return false;
		uint32_t ahead = event_ahead(w);
		if (ahead == 0 || ahead > left) {
			w->_now = now;
			return false;
		}
		arrive(w, w->_now + ahead);
	}
}

uint32_t wheel_next_ticks(const struct wheel *w)
{
	if (busy(w))
		return 0;
	uint32_t ahead = event_ahead(w);
	return ahead ? ahead : UINT32_MAX;
}
