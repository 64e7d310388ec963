/* SPDX-License-Identifier: BSD-2-Clause */
/* offence.h - who offends, how much, and for how long he is denied by it.
 *
 * Workers report the sources of connections that ended by a fault of theirs (conn/close_reason.def has
 * the points). Such a source has shaken hands, so it is not forged. Points fade evenly: a source
 * that collects `points` faster than they fade within `window` is denied, the first time for `first`,
 * then twice as long each time up to `longest`; after `longest` without offence all is forgotten.
 *
 * The table is of fixed size, hashed with a key of ours: who fills it pushes out others' points, never
 * their denials, which lie in the kernel. An IPv6 source is its /64. Pure: no clock, no calls out. */
#ifndef SLUICE_KEEPER_OFFENCE_H
#define SLUICE_KEEPER_OFFENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "shield/shield.h"

struct offences;

struct offence_rules {
	uint32_t points; /* that are too many; at least 1 */
	uint32_t window_ms;
	uint32_t first_ms, longest_ms; /* of a denial; first <= longest */
};

/* NULL: no memory. Freed by free(3). */
struct offences *offences_new(const struct offence_rules *rules, const uint8_t key[16]);

/* How many seconds the source is to be denied from now; 0: not (or not yet). */
uint32_t offences_add(struct offences *o, const struct shield_prefix *source, uint32_t points,
		      uint64_t now_ns);

#endif
