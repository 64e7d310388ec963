/* SPDX-License-Identifier: BSD-2-Clause */
/* accuse.h - when the keeper believes that a member writes what no honest one does.
 *
 * The keeper reads no member's memory, so it hears of a lying outbox only from those who read it;
 * and whoever has taken over a member could accuse all others. So it takes two accusers within
 * KEEPER_ACCUSE_MS, or one where there is but one who could. Pure: no calls out. */
#ifndef SLUICE_KEEPER_ACCUSE_H
#define SLUICE_KEEPER_ACCUSE_H

#include <stdbool.h>
#include <stdint.h>

#define KEEPER_ACCUSE_MS 10000u

/* Of one life of a member; zero at its begin. */
struct accused {
	uint64_t at_ns; /* the latest accusation; 0: none */
	uint32_t by;    /* whose it was */
};

/* Member `by` of n_members accuses the member that `a` belongs to. True: it is to be ended. */
bool accuse(struct accused *a, uint32_t by, uint32_t n_members, uint64_t now_ns);

#endif
