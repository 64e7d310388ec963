/* SPDX-License-Identifier: BSD-2-Clause */
/* select.h - whom an expression means, of this worker (hub/expression.h has its forms).
 *
 * Every worker evaluates for itself, over the hub's sets: unions, intersections and differences of Roaring
 * bitmaps, some microseconds however many members there are. No conn is asked. Its arguments
 * are a space and a packed expression that expression_unpack() has taken, or expression_pack() made. */
#ifndef SLUICE_HUB_SELECT_H
#define SLUICE_HUB_SELECT_H

#include "fanout/fanout.h"
#include "hub/expression.h"

struct worker;

/* Recipients of p, which has `to`: calls fn for each positive name that has any, in the order of the
 * expression, with those who are in it and in none before it, in the encoding that they have there. So
 * each conn is named once, by the first of the names that it is in. q is p as it is to be
 * shown to them: labelled by that name, without `to`. Parts are as in fanout_deliver(); sets are
 * given away. `except` is an index or CONN_NONE. fn must not change the hub. */
typedef void select_fn(void *ctx, const struct publication *q, const struct fanout_part *parts,
		       unsigned n);
void select_recipients(struct worker *w, const struct publication *p, uint32_t except,
		       select_fn *fn, void *ctx);

/* How many conns of this worker. */
uint32_t select_count(struct worker *w, uint16_t space, struct bytes packed);
/* Their indexes from `from` on, sorted, at most k of them. Returns how many; fewer than k: that was all. Who
 * pages asks again from the last one + 1: what comes and goes meanwhile is missed or not, nobody is
 * told twice. */
uint32_t select_next(struct worker *w, uint16_t space, struct bytes packed, uint32_t from,
		     uint32_t *out, uint32_t k);
/* All of them as a set, the caller's. */
roaring_bitmap_t *select_set(struct worker *w, uint16_t space, struct bytes packed);

#endif
