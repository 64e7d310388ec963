/* SPDX-License-Identifier: BSD-2-Clause */
/* wheel.h - the one timer wheel of a worker.
 *
 * A million connections each have a deadline that is nearly always moved before it fires, so
 * arming and disarming must cost next to nothing and own no memory: the 12 bytes of a link lie
 * in the caller's slab entry, and name their neighbours by index, because a conn holds no
 * pointers. A link of zeros is "not armed", so a wiped slab needs no initialisation.
 *
 * Time is counted in ticks of the caller's choosing, 32 bits that may wrap. A deadline lies at
 * most 2^31 - 1 ticks ahead (at 128 ms: eight years); one that has passed already fires at the
 * next tick. Nothing fires early; late by the length of a run that was cut short. */
#ifndef SLUICE_BASE_WHEEL_H
#define SLUICE_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_LEVELS    4
#define WHEEL_SLOTS     256
#define WHEEL_INDEX_MAX 0x7ffffffeu /* an index of the slab is at most this */

struct wheel_link {
	uint32_t _next; /* index + 1; 0 ends the list */
	uint32_t _prev; /* index + 1, or the slot with the top bit; 0: not armed */
	uint32_t due;   /* tick; good while armed */
};

struct wheel {
	/* private */
	uint8_t *_links; /* the caller's slab, at the first link; not owned */
	size_t _stride;
	uint32_t _limit;
	uint32_t _now; /* all before it has fired; what is due at it may wait for budget */
	uint32_t _armed;
	uint64_t _used[WHEEL_LEVELS][WHEEL_SLOTS / 64];
	/* the last WHEEL_LEVELS slots hold what is on its way down a level */
	uint32_t _slot[WHEEL_LEVELS * WHEEL_SLOTS + WHEEL_LEVELS];
};

/* Called for an entry that is due; it is disarmed already and may be armed again. The callback
 * may arm and disarm any entry, and must not call wheel_run(). */
typedef void wheel_fn(void *ctx, uint32_t index);

/* `slab` is the first entry, `stride` the bytes from one to the next, `offset` where in each the
 * link lies (a multiple of 4); indexes 0 .. limit-1. The memory is the caller's and must hold
 * zeros in the links, and must outlive the wheel. `now` is the present tick. */
void wheel_init(struct wheel *w, void *slab, size_t stride, size_t offset, uint32_t limit,
		uint32_t now);

/* O(1) all. wheel_add(): not armed yet (asserted). wheel_del(): harmless when not armed.
 * wheel_move(): arms or moves. */
void wheel_add(struct wheel *w, uint32_t index, uint32_t due);
void wheel_del(struct wheel *w, uint32_t index);
void wheel_move(struct wheel *w, uint32_t index, uint32_t due);
bool wheel_armed(const struct wheel *w, uint32_t index);
uint32_t wheel_armed_count(const struct wheel *w);

/* Fires what is due at or before `now`, touching at most `budget` entries (fired, or moved down
 * a level). Returns true when the budget ended first: call again soon with the then present
 * tick, it goes on where it stopped. Time that seems to run backwards is ignored. A jump of any
 * length costs no more than the entries it makes due. */
bool wheel_run(struct wheel *w, uint32_t now, uint32_t budget, wheel_fn *fn, void *ctx);

/* For the loop's timeout: no entry fires within fewer ticks than this, counted from the tick of
 * the last wheel_run(); UINT32_MAX when nothing is armed. It may be earlier than the
 * first deadline (once per 256 ticks, for entries that far ahead), never later. */
uint32_t wheel_next_ticks(const struct wheel *w);

#endif
