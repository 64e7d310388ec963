/* SPDX-License-Identifier: BSD-2-Clause */
/* skipped.c - what slow subscribers were not given, so that who publishes hears of it.
 *
 *   worker with the subscriber             home                         worker with the publisher
 *   backlog drops: w->skipped  ── tick ──► lately, before  ── ack ──►   "skipped": n
 *
 * It is known after the delivery and told after the next publication, about the channel and not about one message: that is
 * what a publisher needs who may be too fast. Nothing depends on it, so it may be lost on the way. */
#include "engine/memory.h"

#include <stdlib.h>

#define HALF_NS 500000000u

static void count(struct worker *w, uint32_t hash, uint32_t n)
{
	struct engine *e = w->engine;
	if (e->skipped[0] == NULL)
		e->skipped[0] = calloc(1, sizeof(struct tally));
	if (e->skipped[0] != NULL)
		tally_add(e->skipped[0], hash, n);
}

static void turn_over(struct worker *w)
{
	struct engine *e = w->engine;
	if (w->now_ns < e->skipped_turn_ns)
		return;
	struct tally *old = e->skipped[1];
	e->skipped_turn_ns = w->now_ns + HALF_NS;
	e->skipped[1] = e->skipped[0];
	e->skipped[0] = old;
	if (old != NULL)
		tally_clear(old);
}

static void tell(struct worker *w, unsigned home)
{
	struct wire_skipped m[TALLY_KEYS];
	size_t n = 0;
	for (const struct tally_slot *s = w->skipped->slot; s < w->skipped->slot + TALLY_SLOTS; s++)
		if (s->n > 0 && memory_home_of(w, s->key) == home)
			m[n++] = (struct wire_skipped){.hash = s->key, .n = s->n};
	if (n == 0)
		return;
	if (home != w->id) {
		mailbox_send(w->mailbox, home, MSG_SKIPPED, 0, &BYTES(m, n * sizeof(m[0])), 1,
			     MAILBOX_MAY_REFUSE);
		return;
	}
	for (size_t i = 0; i < n; i++)
		count(w, m[i].hash, m[i].n);
}

void memory_tell_skipped(struct worker *w)
{
	turn_over(w);
	if (w->skipped == NULL || w->skipped->keys == 0)
		return;
	for (unsigned k = 0; k < w->engine->n_peers; k++)
		if (k == w->id || w->engine->peer[k].up)
			tell(w, k);
	tally_clear(w->skipped);
}

bool memory_on_skipped(struct worker *w, struct bytes payload)
{
	const struct wire_skipped *m;
	size_t n = wire_skipped_unpack(payload, &m);
	for (size_t i = 0; i < n; i++)
		if (memory_home_of(w, m[i].hash) != w->id)
			return false;
	for (size_t i = 0; i < n; i++)
		count(w, m[i].hash, m[i].n);
	return n > 0;
}

uint32_t memory_skipped(const struct worker *w, uint32_t hash)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(w->engine->skipped); i++)
		if (w->engine->skipped[i] != NULL)
			n += tally_get(w->engine->skipped[i], hash);
	return (uint32_t)MIN(n, UINT32_MAX);
}

void memory_skipped_free(struct engine *e)
{
	free(e->skipped[0]);
	free(e->skipped[1]);
}
