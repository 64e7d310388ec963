/* SPDX-License-Identifier: BSD-2-Clause */
/* fanout.h - publications to very many subscribers, a slice at a time (fanout/slice.c).
 *
 * fanout_deliver() takes the recipients of each encoding (`(⋃ sets) \ except`, a set of
 * its own from then on), encodes once per encoding, compresses once what deflated twins hear,
 * and queues a cursor in the
 * channel's lane. fanout_run() walks lanes in turn, each oldest cursor first, until its
 * time is used up: a publication to a million never makes a heartbeat late,
 * and the order in each channel is the order of the calls here.
 *
 * fanout_after() queues a call behind what the lane already holds: an answer such as
 * `unsubscribed` must not overtake messages that were published before it.
 *
 * A subscriber that has gone since is passed over: a cursor visits conns that are OPEN. That the
 * index still means the same conn is what the slab's hold-back is for (conn/slab.h). */
#ifndef SLUICE_FANOUT_FANOUT_H
#define SLUICE_FANOUT_FANOUT_H

#include <roaring/roaring.h>

#include "fanout/publication.h"

struct worker;
struct fanout;

struct fanout *fanout_new(struct worker *w);
void fanout_free(struct fanout *f);

/* One encoding's recipients, at least one: few of them as a sorted list that is lent for the
 * call, or as a set that is given away. No conn stands in two parts. */
#define FANOUT_FEW 64
struct fanout_part {
	uint8_t encoding; /* enum encoding, or its twin */
	uint8_t n;        /* of `few`; 0: the set */
	const uint32_t *few;
	roaring_bitmap_t *set; /* not empty */
};
/* `lane` names the channel for good: its hub_hash(). (Not its number: that may be given to another
 * channel, and another to this one, while the lane still holds something. Two channels in
 * one lane wait for each other and are otherwise well.) p is borrowed for the call. Few recipients of
 * an empty lane are served within the call. */
void fanout_deliver(struct worker *w, uint32_t lane, const struct publication *p,
		    const struct fanout_part *parts, unsigned n);
/* Calls fn(w, conn, arg bytes) once everything now in the lane has been walked, at
 * once if it is empty; not at all if the conn is gone by then. */
void fanout_after(struct worker *w, uint32_t lane, const struct conn_ref *who,
		  void (*fn)(struct worker *, struct conn *, struct bytes arg), struct bytes arg);
/* Works until deadline_ns (monotonic). True: there is more to do. */
bool fanout_run(struct worker *w, uint64_t deadline_ns);
/* Would it have something to do? */
bool fanout_busy(const struct worker *w);

/* More is queued than soon will be gone, in bytes or in deliveries: leave what clients and other
 * workers send where it is for now (fan-out waits for nobody, so that this ends), and they
 * will slow down. */
bool fanout_congested(const struct worker *w);
/* Twice that: refuse new publications. */
bool fanout_full(const struct worker *w);

/* Stamps for conn_slab_free() and conn_slab_release(). */
uint64_t fanout_newest(const struct fanout *f);
uint64_t fanout_oldest(const struct fanout *f); /* newest + 1 when none lives */
size_t fanout_memory(const struct fanout *f);

#endif
