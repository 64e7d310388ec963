/* SPDX-License-Identifier: BSD-2-Clause */
/* backoff.h - when a member that died may live again.
 *
 * At once the first time, so that its clients find a successor; then 100 ms, doubling to
 * 10 s, so that a worker that cannot live does not eat the core of those that can (and a guesser
 * of addresses gets few guesses). A life of a minute makes it the first time again. */
#ifndef SLUICE_KEEPER_BACKOFF_H
#define SLUICE_KEEPER_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS   100u
#define BACKOFF_MAX_MS     10000u
#define BACKOFF_FORGIVE_MS 60000u

struct backoff {
	uint32_t failures; /* in a row, since a life that was long enough */
};

/* The member has died after lived_ms: how long to wait, in ms. */
uint32_t backoff_next_ms(struct backoff *b, uint64_t lived_ms);

#endif
