/* SPDX-License-Identifier: BSD-2-Clause */
/* members.h - who of this worker hears a channel, and in which encoding.
 *
 * Up to four members lie in the entry itself, one word each: index | encoding << 27. More are
 * one Roaring bitmap per encoding in use. A member is in one encoding at a time; its deflated
 * twin is another one. */
#ifndef SLUICE_HUB_MEMBERS_H
#define SLUICE_HUB_MEMBERS_H

#include "conn/conn.h"
#include "fanout/encoding.h"
#include "fanout/fanout.h"

#define MEMBERS_FEW 4

struct member_sets;

/* Zeros are the empty one. */
struct members {
	uint32_t n;
	uint32_t is_sets;
	union {
		uint32_t few[MEMBERS_FEW];
		struct member_sets *sets; /* owned */
	};
};
static_assert(sizeof(struct members) == 24, "fits the channel's line");

void members_fini(struct members *m);

/* Adds, or changes the encoding. False: no memory, nothing changed. */
bool members_put(struct members *m, uint32_t index, uint8_t e);
/* False: was no member. */
bool members_remove(struct members *m, uint32_t index);
bool members_has(const struct members *m, uint32_t index);
uint32_t members_count(const struct members *m, uint8_t e);

/* One of them, and how it hears. */
struct member {
	uint32_t index;
	uint8_t encoding;
};
/* Those from index `from` on, whatever their encodings, in rising order and at most `max`: so a
 * list that is told in pages goes on behind the last index of the page before. Costs what it
 * lists, not what it passes over. Returns how many. */
uint32_t members_list(const struct members *m, uint32_t from, struct member *out, uint32_t max);

/* The recipients of p: `(⋃ sets) \ except`, as parts for fanout_deliver(), without encodings that
 * show nothing of p. `except` is an index or CONN_NONE. Lists lie in `few`. Returns how many
 * parts there are. */
unsigned members_recipients(struct members *m, const struct publication *p, uint32_t except,
			    struct fanout_part parts[ENC_SETS], uint32_t few[FANOUT_FEW]);

/* Who of them is meant, as far as sets say so; CRoaring's, lent. */
struct members_filter {
	const roaring_bitmap_t *in;  /* only these; NULL: all */
	const roaring_bitmap_t *out; /* not these; NULL: nobody is left out. Not beside `in` */
	uint32_t except;             /* as above */
};
unsigned members_filtered(struct members *m, const struct publication *p,
			  const struct members_filter *f, struct fanout_part parts[ENC_SETS],
			  uint32_t few[FANOUT_FEW]);

/* The sets of them, lent until they change, behind what is in `sets`; few members have none and are added to
 * `few` instead. Returns how many were put there. */
unsigned members_sets(const struct members *m, const roaring_bitmap_t *sets[ENC_SETS],
		      roaring_bitmap_t *few);

/* Called now and then: sets that have not changed since the call before become as small as they get (runs for
 * dense ones, no room for more). True: that was work, microseconds for each 65,536 indexes. */
bool members_rest(struct members *m);

/* Heap memory. */
size_t members_memory(const struct members *m);

#endif
