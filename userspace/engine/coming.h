/* SPDX-License-Identifier: BSD-2-Clause */
/* coming.h - who comes to big channels and leaves them, until that is told in one publication.
 *
 *   join a ┐
 *   join b ├─► counts of all, names of the first ── presence.interval ──► PUB_PRESENCE to everybody
 *   leave c┘
 *
 * One by one that would be members times members: each of 100,000 that come hears of all the
 * others. So the home of a channel with more than presence.coalesce_above of them keeps a small
 * object, which begins with the first that comes or goes, is told when the interval is over, and
 * is gone then. The list is in the order of beginning, and since the interval is one for all, of
 * being due.
 *
 * Who goes again before it was told that he came (or comes back) was never away as far as others
 * can tell: the pair cancels out, in the names and in the counts, as long as the name is among
 * those that are remembered. Behind those, both are counted. Either way the difference of the
 * counts is true. */
#ifndef SLUICE_ENGINE_COMING_H
#define SLUICE_ENGINE_COMING_H

#include "fanout/presence.h"

struct home_channel;

struct coming_name {
	uint8_t n;
	bool left, is_user;
	uint8_t text[IDENTITY_USER_MAX];
};

struct coming {
	struct coming *before, *after; /* in the list */
	struct home_channel *channel;  /* whose it is */
	uint64_t due_ns;
	uint32_t joined, left; /* not both 0 */
	uint8_t n, cap;
	struct coming_name *names; /* owned; in order of arrival */
};

/* All of a worker. Start from {0}. */
struct coming_list {
	struct coming *first, *last;
	uint32_t n;
};
#define COMING_MAX 4096u /* channels at once; beyond, the first is told early */

/* One that comes or goes. `name` is as others hear of it; at most `max` names are remembered of each
 * kind. False: no memory, and nothing is pending of this channel. */
bool coming_note(struct coming_list *l, struct home_channel *ch, const struct presence_name *name,
		 bool left, unsigned max, uint64_t due_ns);
/* What there is to tell, at most PRESENCE_MAX bytes into `data`; returns how many. It is gone then. */
size_t coming_take(struct coming_list *l, struct home_channel *ch, uint32_t online, uint8_t *data);
/* Nobody is left to be told. The channel may have nothing pending. */
void coming_drop(struct coming_list *l, struct home_channel *ch);

size_t coming_memory(const struct coming_list *l);

#endif
