/* SPDX-License-Identifier: BSD-2-Clause */
/* home.h - the channels that are at home in this worker: position, and how many subscribers
 * each worker has. A channel is here as long as anybody has it (history comes later);
 * its epoch is drawn when it comes into being and never comes again. */
#ifndef SLUICE_ENGINE_HOME_H
#define SLUICE_ENGINE_HOME_H

#include "hub/table.h"
#include "worker/mailbox.h"

struct home_count {
	uint16_t worker;
	uint16_t _zero;
	uint32_t n; /* not 0 */
};

struct home_channel {
	struct channel_key key;
	uint64_t epoch, offset;
	uint16_t n_counts, cap; /* cap 1: inline */
	uint32_t _zero;
	union {
		struct home_count one;
		struct home_count *many; /* owned, if cap > 1 */
	};
};
static_assert(sizeof(struct home_channel) == sizeof(struct channel_entry), "is one of the table's");

struct home {
	struct channel_table channels;
};

bool home_init(struct home *h);
void home_fini(struct home *h);

/* NULL: nobody has it. Good until the next home_add() or home_sub(). */
struct home_channel *home_find(struct home *h, uint32_t hash, uint16_t space, struct bytes name);
/* Adds n subscribers of a worker; the channel comes into being if need be. NULL: no memory. */
struct home_channel *home_add(struct home *h, uint32_t hash, uint16_t space, struct bytes name,
			      unsigned worker, uint32_t n);
/* Takes one away; the channel goes with its last. False: the worker had none. */
bool home_sub(struct home *h, struct home_channel *ch, unsigned worker);
/* All that this worker had. */
void home_forget(struct home *h, unsigned worker);

/* The first channel of number *cursor or more; *cursor then stands behind it. NULL: none. */
const struct home_channel *home_next(const struct home *h, uint32_t *cursor);

uint32_t home_of_worker(const struct home_channel *ch, unsigned worker);
/* All workers together, at most UINT32_MAX. */
uint32_t home_total(const struct home_channel *ch);

size_t home_memory(const struct home *h);

#endif
