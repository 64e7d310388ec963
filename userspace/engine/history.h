/* SPDX-License-Identifier: BSD-2-Clause */
/* history.h - the last publications of a channel, kept by its home.
 *
 *   offset   …  42   43   44   45         first 42, offset 45
 *             ┌────┬────┬────┬────┐
 *   ring      │ ▪  │ ▪  │    │ ▪  │       ▪ a packed publication, one allocation
 *             └────┴────┴────┴────┘         a hole: what was purged, or found no memory
 *
 * The ring has a place for every offset from its first on, so that what a client has missed is
 * found without a search, and a hole in it tells that it cannot be given back whole.
 *
 * What is kept is bounded by the count, bytes and age of the channel's namespace, and by the
 * bytes of the whole worker. For the latter all histories stand in one list by the time of
 * their last publication, and the oldest pay first; their position stays. In the list are
 * those that hold something, or that nobody has: only they can give anything back. */
#ifndef SLUICE_ENGINE_HISTORY_H
#define SLUICE_ENGINE_HISTORY_H

#include "config/config.h"
#include "fanout/publication.h"

struct home_channel;

/* From `n` on it is also how it crosses to another worker (engine/wire.h). */
struct history_entry {
	uint64_t at_ns; /* monotonic */
	uint32_t n;     /* bytes of `packed`, without the zeros that fill up the last eight */
	uint32_t _zero;
	uint8_t packed[];
};

struct history {
	struct history *older, *newer;     /* in the list; see history_store */
	struct home_channel *channel;      /* whose it is */
	const struct config_namespace *ns; /* the configuration's */
	uint64_t epoch, offset;            /* offset: of the last publication, kept or not */
	uint64_t used_ns;                  /* when that was, or when its last subscriber left */
	struct history_entry **ring;       /* owned; NULL if cap is 0 */
	uint32_t head, n, cap;             /* cap: 0, or a power of two */
	bool listed;
	uint32_t entries;
	uint64_t bytes; /* of them */
};

/* All histories of a worker. Start from {0} and set max. */
struct history_store {
	struct history *oldest, *newest;
	uint64_t bytes, max;
	uint32_t entries;
};

/* With a new epoch, not listed. NULL: no memory. */
struct history *history_new(const struct config_namespace *ns, struct home_channel *ch);
void history_free(struct history_store *s, struct history *h);

/* It becomes the newest of the list. */
void history_use(struct history_store *s, struct history *h, uint64_t now_ns);
void history_unlist(struct history_store *s, struct history *h);

/* Keeps p, whose offset is the next one, and drops what the namespace's bounds do not allow. */
void history_append(struct history_store *s, struct history *h, const struct publication *p,
		    uint64_t now_ns);
/* Drops what has become too old; all at once that is at most what one channel keeps. */
void history_age(struct history_store *s, struct history *h, uint64_t now_ns);
/* It is empty and was last used so long ago that nothing would be in it anyway. */
bool history_is_over(const struct history *h, uint64_t now_ns);
/* n > 0 */
void history_drop_oldest(struct history_store *s, struct history *h);

/* The offset of the first place; offset + 1 if nothing is kept. */
static inline uint64_t history_first(const struct history *h)
{
	return h->offset - h->n + 1;
}
/* Of an offset from history_first() to h->offset; NULL: a hole. */
struct history_entry *history_at(const struct history *h, uint64_t offset);
/* As it goes to another worker; lent. */
struct bytes history_item(const struct history_entry *e);
/* What it says; the slices lie in it. */
void history_read(const struct history_entry *e, struct publication *p);

/* Takes out what that user or client has said, or with an empty `from` everything; returns how many
 * messages that were. The offsets go on, and nobody recovers across what was taken out. */
uint32_t history_purge(struct history_store *s, struct history *h, struct bytes from);

/* A part of a history: the places of `n` offsets from `from` on. */
struct history_part {
	uint64_t from;
	uint32_t n;
};
/* All after `offset`. False: something of it is missing, or it would be more than `max` bytes for
 * the one who gets it. */
bool history_since(const struct history *h, uint64_t offset, uint64_t max,
		   struct history_part *part);
/* The last `n` messages, or fewer: as many as are there, and no more than `max` bytes. */
void history_last(const struct history *h, uint32_t n, uint64_t max, struct history_part *part);

/* At most `n` messages and `max` bytes, but one message at least, of those after `offset`; if they are
 * not there from that on, of all. False: then, or if something is missing between them. */
bool history_after(const struct history *h, uint64_t offset, uint32_t n, uint64_t max,
		   struct history_part *part);

/* About what the message will be in a client's queue. */
uint64_t history_cost(const struct history_entry *e);
size_t history_memory(const struct history *h);

#endif
