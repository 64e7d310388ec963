/* SPDX-License-Identifier: BSD-2-Clause */
/* rate.h - rule 4 from the user's side: classes, and the gauges of its pressure. */
#ifndef SLUICE_SHIELD_RATE_H
#define SLUICE_SHIELD_RATE_H

#include <stdint.h>

#include "bpf/abi.h"

struct shield;
struct shield_plan;

struct shield_rate_gauges {
	uint64_t cells;      /* of all cores, for sources */
	uint64_t cells_full; /* that cost somebody a packet within the last second */
	uint64_t validated;  /* sources and nets that are known to be real, now */
	uint64_t validated_max;
	uint64_t made;                        /* entries for them, so far */
	uint64_t evicted;                     /* of those, to make room */
	uint64_t granted, refused, strangers; /* packets, as in struct appeal_count */
};

/* Descriptors of the three maps. Walks them all: some milliseconds, with many cores a tenth of a
 * second for the cells; cell -1 leaves those out. 0, or -errno. */
int shield_rate_gauges(int cell, int validated, int appeal_count, struct shield_rate_gauges *out);
/* Without the cells; of the running shield. */
int shield_rate_read(const struct shield *s, struct shield_rate_gauges *out);

/* For shield/ alone. Before the program is loaded: how many cells, and their secret. */
void rate_prepare(struct shield *s);
/* The plan's classes into a bank, read back. */
int rate_store(struct shield *s, __u32 bank, const struct shield_plan *plan);

#endif
