/* SPDX-License-Identifier: BSD-2-Clause */
/* outbox.h - what lies in a member's shared memory, and how it is mapped.
 *
 *   ┌ header ┬ lane 0 ┬ lane 1 ┬ ... ║ ring →0 ║ ring →1 ║ ...  ║ arena of blocks (sparse) ┐
 *     naps     one per peer, 256 bytes   one per peer, a power of two
 *
 * Only worker/mailbox.c and its tests look in here. All words are atomic; whoever reads another
 * member's outbox must take every value for a possible lie. A ring is mapped twice in a row, so
 * that a message that runs over its end is still one stretch of memory: no marker for the wrap, no
 * copy in two pieces, and one bounds check. Around rings and arena lie pages without access. */
#ifndef SLUICE_WORKER_OUTBOX_H
#define SLUICE_WORKER_OUTBOX_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "worker/mailbox.h"

/* What a member says about one peer. */
struct lane {
	/* line 0: as the sender of the ring to that peer; changes when somebody restarts */
	alignas(64) _Atomic uint64_t session; /* sender's generation << 32 | receiver's; 0: void */
	_Atomic uint64_t start;               /* the receiver begins to read here */
	_Atomic uint32_t want_room;           /* kick me when you have read something */
	/* line 1: as the sender; changes with every message */
	alignas(64) _Atomic uint64_t head;
	/* line 2: as the receiver of that peer's ring: the session whose tail this is */
	alignas(64) _Atomic uint64_t in_session;
	/* line 3 */
	alignas(64) _Atomic uint64_t tail;
};
static_assert(sizeof(struct lane) == 256, "four lines: those of one writer and one tempo");
static_assert(offsetof(struct lane, tail) == 192, "head and tail never share a pair of lines");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock in shared memory would be a lie");

struct outbox {
	alignas(64) _Atomic uint64_t naps; /* odd: the member sleeps or is about to */
	struct lane lanes[];
};

/* A message in a ring: this word, then the payload, padded to 8 bytes. */
struct ring_entry {
	uint32_t length;
	uint16_t type;
	uint16_t flags; /* ENTRY_BLOCK, and the caller's */
};
static_assert(sizeof(struct ring_entry) == 8, "read and written as one word");
#define ENTRY_BLOCK 0x8000u /* the payload is a struct block_ref */

struct block_ref {
	uint64_t at, length; /* bytes, in the sender's arena */
};

struct outbox_map {
	struct outbox *box;
	uint8_t *arena;
	uint8_t *ring[MAILBOX_MEMBERS_MAX]; /* by receiver; NULL: not mapped */
};

#define OUTBOX_ALL_RINGS UINT32_MAX

/* Maps an outbox: with all its rings, or only the one towards `receiver`: what members say to
 * each other is not a third one's business. 0 or a negative errno. */
int outbox_map(const struct mailbox_plan *plan, int fd, bool writable, uint32_t receiver,
	       struct outbox_map *map);
void outbox_unmap(const struct mailbox_plan *plan, struct outbox_map *map);

#endif
