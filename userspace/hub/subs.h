/* SPDX-License-Identifier: BSD-2-Clause */
/* subs.h - what one connection has subscribed to: words in the conn, the fifth and further
 * ones in a pool buffer.
 *
 *   ┌ 4 bits: asked ┬ LEAVING ┬ EVENTS ┬ 26 bits: number of the channel ┐
 *
 * The word says what the client *wants*; whether it is in the channel's sets says what the
 * channel's home has confirmed. `asked` counts requests for this channel whose answers are on
 * the way: a word that is LEAVING goes with the last of them. So a client that subscribes and
 * unsubscribes in one breath gets every answer, and is in the sets exactly between
 * them. */
#ifndef SLUICE_HUB_SUBS_H
#define SLUICE_HUB_SUBS_H

#include "hub/table.h"

struct worker;
struct conn;

#define SUB_EVENTS    (1u << 26) /* others have been told, or will be, that it came */
#define SUB_LEAVING   (1u << 27) /* the last thing it asked was to leave */
#define SUB_ASKED     (1u << 28) /* one request under way */
#define SUB_ASKED_MAX (15u << 28)

static inline uint32_t sub_channel(uint32_t word)
{
	return word & (CHANNEL_MAX - 1);
}

/* The words of a conn by position, 0 .. c->sub_count-1. A pointer is good until the next
 * subs_add() or subs_remove() of that conn. */
uint32_t *subs_at(struct worker *w, const struct conn *c, uint32_t i);
/* The conn's word for the channel, or NULL. */
uint32_t *subs_find(struct worker *w, const struct conn *c, uint32_t channel);
/* A word without flags; the channel has none yet. NULL: no memory. */
uint32_t *subs_add(struct worker *w, struct conn *c, uint32_t channel);
/* The last word takes its place. */
void subs_remove(struct worker *w, struct conn *c, uint32_t channel);

#endif
