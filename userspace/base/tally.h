/* SPDX-License-Identifier: BSD-2-Clause */
/* tally.h - counts by a 32-bit key, of a bounded number of keys: for what is told now and then and then
 * forgotten. No memory beyond the struct. */
#ifndef SLUICE_BASE_TALLY_H
#define SLUICE_BASE_TALLY_H

#include "base/bytes.h"

#define TALLY_SLOTS 1024u
#define TALLY_KEYS  (TALLY_SLOTS / 4 * 3) /* so that a search is short */

/* Zeros are the empty one. */
struct tally {
	uint32_t keys;
	struct tally_slot {
		uint32_t key, n; /* n 0: empty */
	} slot[TALLY_SLOTS];
};

/* Counts stop at UINT32_MAX. False: another key than those that are there, and they are TALLY_KEYS. */
bool tally_add(struct tally *t, uint32_t key, uint32_t n);
uint32_t tally_get(const struct tally *t, uint32_t key);
void tally_clear(struct tally *t);

#endif
