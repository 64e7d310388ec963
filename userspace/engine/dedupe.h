/* SPDX-License-Identifier: BSD-2-Clause */
/* dedupe.h - the ids of publications that a home has taken lately, so that what a client sends
 * again because it had no answer is answered again, and not delivered again.
 *
 * An id is its sender's, within one channel. All are told apart by keyed hashes of 64 bits: what
 * stands here is 64 bytes whatever the names are. Each sender has at most so many, and all
 * together; the oldest are forgotten first, and each after the window.
 *
 *   by age, all     oldest ─ ▪ ─ ▪ ─ ▪ ─ ▪ ─ newest      one behind the other
 *   by sender       first  ─ ▪ ───── ▪ ─── last          the oldest of a sender goes first, so a
 *                                                        single link will do */
#ifndef SLUICE_ENGINE_DEDUPE_H
#define SLUICE_ENGINE_DEDUPE_H

#include "base/bytes.h"

struct dedupe_id {
	uint64_t hash;   /* of space, channel, sender and id */
	uint64_t sender; /* of the sender alone */
};

struct dedupe_place {
	uint64_t epoch, offset; /* that it got */
};

struct dedupe {
	uint32_t max, max_of_sender; /* from the configuration */
	uint64_t window_ns;
	struct dedupe_entry *entry;   /* owned; [1 .. max], NULL before the first is added */
	struct dedupe_sender *sender; /* owned; likewise */
	uint32_t *by_id, *by_sender;  /* owned; buckets */
	uint32_t mask;
	uint32_t oldest, newest, n;
	uint32_t free_entry, free_sender; /* lists of those used before ... */
	uint32_t high_entry, high_sender; /* ... behind these none was used */
};

void dedupe_init(struct dedupe *d, uint32_t max, uint32_t max_of_sender, uint64_t window_ns);
void dedupe_fini(struct dedupe *d);

/* NULL: not known, or too long ago. Good until the next call. */
const struct dedupe_place *dedupe_find(const struct dedupe *d, struct dedupe_id id,
				       uint64_t now_ns);
/* Not known yet. Without memory it is not remembered. */
void dedupe_add(struct dedupe *d, struct dedupe_id id, struct dedupe_place place, uint64_t now_ns);
/* Forgets a bounded number of those that are too old. */
void dedupe_sweep(struct dedupe *d, uint64_t now_ns);

size_t dedupe_memory(const struct dedupe *d);

#endif
