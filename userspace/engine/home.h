/* SPDX-License-Identifier: BSD-2-Clause */
/* home.h - the channels that are at home in this worker: how many subscribers each worker has,
 * and, where the namespace keeps history, the position and the last publications
 * (engine/history.h). A channel is here as long as anybody has it; one with history, as long
 * as something could be in it. An epoch is drawn when it comes into being and
 * never comes again. */
#ifndef SLUICE_ENGINE_HOME_H
#define SLUICE_ENGINE_HOME_H

#include "engine/coming.h"
#include "engine/history.h"
#include "hub/table.h"
#include "worker/mailbox.h"

struct home_count {
	uint16_t worker;
	uint16_t _zero;
	uint32_t n; /* not 0 */
};

struct home_channel {
	struct channel_key key;
	struct history *history; /* owned; NULL: its namespace keeps none, there are no positions */
	struct coming *coming;   /* owned; NULL: all that came and went was told */
	uint16_t n_counts, cap;  /* cap 1: inline */
	uint32_t _zero2;
	union {
		struct home_count one;
		struct home_count *many; /* owned, if cap > 1 */
	};
};
static_assert(sizeof(struct home_channel) == sizeof(struct channel_entry), "is one of the table's");

struct home {
	struct channel_table channels;
	struct history_store store;
	struct coming_list coming;
	const struct worker *w; /* its clock and its configuration */
	uint32_t swept;         /* home_sweep(): where it goes on */
};

/* w->cfg stands. */
bool home_init(struct home *h, const struct worker *w);
void home_fini(struct home *h);

/* NULL: it is not here. Good until the next function that is not const. What has become too old
 * is not in it any more. */
struct home_channel *home_find(struct home *h, uint32_t hash, uint16_t space, struct bytes name);
/* The same for a publication that takes an offset: who comes later may want it. NULL: nobody has
 * it, and it keeps nothing; or no memory. */
struct home_channel *home_find_to_keep(struct home *h, uint32_t hash, uint16_t space,
				       struct bytes name);
/* Adds n subscribers of a worker; the channel comes into being if need be. NULL: no memory. */
struct home_channel *home_add(struct home *h, uint32_t hash, uint16_t space, struct bytes name,
			      unsigned worker, uint32_t n);
/* Takes one away; a channel without history goes with its last. False: the worker had none. */
bool home_sub(struct home *h, struct home_channel *ch, unsigned worker);
/* All that this worker had. */
void home_forget(struct home *h, unsigned worker);

/* p, which has the next offset, becomes the newest of its history. Others may lose theirs by it, and
 * channels that nobody has may go, this one too. */
void home_keep(struct home *h, struct home_channel *ch, const struct publication *p);
/* Looks at a bounded number of channels, further on each time, for what has become too old. */
void home_sweep(struct home *h);

/* The first channel of number *cursor or more; *cursor then stands behind it. NULL: none. */
const struct home_channel *home_next(const struct home *h, uint32_t *cursor);

uint32_t home_of_worker(const struct home_channel *ch, unsigned worker);
/* All workers together, at most UINT32_MAX. */
uint32_t home_total(const struct home_channel *ch);

size_t home_memory(const struct home *h);

#endif
