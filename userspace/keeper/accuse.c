/* SPDX-License-Identifier: BSD-2-Clause */
/* accuse.c - two witnesses, see accuse.h. Only the latest is remembered: an accuser that repeats
 * itself stays one. */
#include "keeper/accuse.h"

bool accuse(struct accused *a, uint32_t by, uint32_t n_members, uint64_t now_ns)
{
	bool second = a->at_ns && a->by != by && now_ns - a->at_ns <= KEEPER_ACCUSE_MS * 1000000ull;

	a->at_ns = now_ns;
	a->by = by;
	return second || n_members <= 2;
}
