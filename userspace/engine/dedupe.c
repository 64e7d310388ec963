/* SPDX-License-Identifier: BSD-2-Clause */
/* dedupe.c - see dedupe.h. Everything is named by its number in an array, 0 is nobody; the arrays
 * are made whole when the first id comes, and the kernel gives their pages as they are used. */
#include "engine/dedupe.h"

#include <assert.h>
#include <stdlib.h>

#define SWEEP 4096u

struct dedupe_entry {
	struct dedupe_id id;
	struct dedupe_place place;
	uint64_t at_ns;
	uint32_t chain;        /* of the bucket; of the free list */
	uint32_t older, newer; /* by age */
	uint32_t next;         /* of the same sender, younger */
	uint32_t sender;
	uint32_t _zero;
};
static_assert(sizeof(struct dedupe_entry) == 64, "one cache line");

struct dedupe_sender {
	uint64_t hash;
	uint32_t chain; /* of the bucket; of the free list */
	uint32_t n, first, last;
};

void dedupe_init(struct dedupe *d, uint32_t max, uint32_t max_of_sender, uint64_t window_ns)
{
	*d = (struct dedupe){.max = max, .max_of_sender = max_of_sender, .window_ns = window_ns};
	d->mask = 1;
	while (d->mask < max)
		d->mask *= 2;
	d->mask--;
}

void dedupe_fini(struct dedupe *d)
{
	free(d->entry);
	free(d->sender);
	free(d->by_id);
	free(d->by_sender);
	d->entry = NULL;
	d->sender = NULL;
	d->by_id = d->by_sender = NULL;
}

static bool arrays(struct dedupe *d)
{
	if (d->entry != NULL)
		return true;
	d->entry = calloc(d->max + 1u, sizeof(*d->entry));
	d->sender = calloc(d->max + 1u, sizeof(*d->sender));
	d->by_id = calloc(d->mask + 1u, sizeof(*d->by_id));
	d->by_sender = calloc(d->mask + 1u, sizeof(*d->by_sender));
	if (d->entry != NULL && d->sender != NULL && d->by_id != NULL && d->by_sender != NULL)
		return true;
	dedupe_fini(d);
	return false;
}

static uint32_t find(const struct dedupe *d, struct dedupe_id id)
{
	uint32_t i = d->entry != NULL ? d->by_id[id.hash & d->mask] : 0;
	while (i != 0 && (d->entry[i].id.hash != id.hash || d->entry[i].id.sender != id.sender))
		i = d->entry[i].chain;
	return i;
}

const struct dedupe_place *dedupe_find(const struct dedupe *d, struct dedupe_id id, uint64_t now_ns)
{
	uint32_t i = find(d, id);
	return i != 0 && now_ns - d->entry[i].at_ns <= d->window_ns ? &d->entry[i].place : NULL;
}

/* ── senders ── */

static uint32_t sender_of(struct dedupe *d, uint64_t hash)
{
	uint32_t *bucket = &d->by_sender[hash & d->mask], i = *bucket;
	while (i != 0 && d->sender[i].hash != hash)
		i = d->sender[i].chain;
	if (i != 0)
		return i;
	i = d->free_sender;
	if (i != 0)
		d->free_sender = d->sender[i].chain;
	else
		i = ++d->high_sender;
	d->sender[i] = (struct dedupe_sender){.hash = hash, .chain = *bucket};
	*bucket = i;
	return i;
}

static void free_sender(struct dedupe *d, uint32_t i)
{
	uint32_t *at = &d->by_sender[d->sender[i].hash & d->mask];
	while (*at != i)
		at = &d->sender[*at].chain;
	*at = d->sender[i].chain;
	d->sender[i].chain = d->free_sender;
	d->free_sender = i;
}

/* ── entries ── */

/* The oldest of its sender, which is what the oldest of all is as well. */
static void forget(struct dedupe *d, uint32_t i)
{
	struct dedupe_entry *e = &d->entry[i];
	struct dedupe_sender *s = &d->sender[e->sender];
	assert(s->first == i);
	s->first = e->next;
	if (--s->n == 0)
		free_sender(d, e->sender);
	*(e->older != 0 ? &d->entry[e->older].newer : &d->oldest) = e->newer;
	*(e->newer != 0 ? &d->entry[e->newer].older : &d->newest) = e->older;
	uint32_t *at = &d->by_id[e->id.hash & d->mask];
	while (*at != i)
		at = &d->entry[*at].chain;
	*at = e->chain;
	e->chain = d->free_entry;
	d->free_entry = i;
	d->n--;
}

static uint32_t take_entry(struct dedupe *d)
{
	uint32_t i = d->free_entry;
	if (i == 0)
		return ++d->high_entry;
	d->free_entry = d->entry[i].chain;
	return i;
}

void dedupe_add(struct dedupe *d, struct dedupe_id id, struct dedupe_place place, uint64_t now_ns)
{
	if (d->max == 0 || d->window_ns == 0 || !arrays(d))
		return;
	while (d->n > 0 && (d->n >= d->max || find(d, id) != 0)) /* one that is too old was there */
		forget(d, d->oldest);
	uint32_t sender = sender_of(d, id.sender);
	if (d->sender[sender].n >= d->max_of_sender) {
		forget(d, d->sender[sender].first);
		sender = sender_of(d, id.sender); /* it may have been its last */
	}
	uint32_t i = take_entry(d), *bucket = &d->by_id[id.hash & d->mask];
	d->entry[i] = (struct dedupe_entry){
		.id = id,
		.place = place,
		.at_ns = now_ns,
		.chain = *bucket,
		.older = d->newest,
		.sender = sender,
	};
	*bucket = i;
	*(d->newest != 0 ? &d->entry[d->newest].newer : &d->oldest) = i;
	d->newest = i;
	struct dedupe_sender *s = &d->sender[sender];
	*(s->n > 0 ? &d->entry[s->last].next : &s->first) = i;
	s->last = i;
	s->n++;
	d->n++;
}

void dedupe_sweep(struct dedupe *d, uint64_t now_ns)
{
	for (unsigned n = 0;
	     n < SWEEP && d->n > 0 && now_ns - d->entry[d->oldest].at_ns > d->window_ns; n++)
		forget(d, d->oldest);
}

size_t dedupe_memory(const struct dedupe *d)
{
	if (d->entry == NULL)
		return 0;
	return d->high_entry * sizeof(d->entry[0]) + d->high_sender * sizeof(d->sender[0]) +
	       2 * (d->mask + 1u) * sizeof(d->by_id[0]);
}
