/* SPDX-License-Identifier: BSD-2-Clause */
/* home.c - see home.h. */
#include "engine/home.h"

#include <stdlib.h>

#include "worker/worker.h"

#define SWEEP_CHANNELS 4096u  /* of one home_sweep() ... */
#define SWEEP_ENTRIES  16384u /* ... or after so many entries that went */

bool home_init(struct home *h, const struct worker *w)
{
	*h = (struct home){.w = w};
	h->store.max = w->cfg->memory.history_bytes;
	return channel_table_init(&h->channels);
}

static struct home_channel *channel_at(const struct home *h, uint32_t number)
{
	return (struct home_channel *)channel_table_at(&h->channels, number);
}

static struct home_count *counts(const struct home_channel *ch)
{
	return ch->cap > 1 ? ch->many : (struct home_count *)&ch->one;
}

static void free_counts(struct home_channel *ch)
{
	if (ch->cap > 1)
		free(ch->many);
}

static void free_all(struct home *h, struct home_channel *ch)
{
	free_counts(ch);
	coming_drop(&h->coming, ch);
	if (ch->history != NULL)
		history_free(&h->store, ch->history);
}

void home_fini(struct home *h)
{
	for (uint32_t i = 0; i < h->channels.high; i++)
		if (channel_at(h, i)->key.n > 0)
			free_all(h, channel_at(h, i));
	channel_table_fini(&h->channels);
}

static struct home_channel *find(const struct home *h, uint32_t hash, uint16_t space,
				 struct bytes name)
{
	uint32_t number = channel_table_find(&h->channels, hash, space, name);
	return number != CHANNEL_NONE ? channel_at(h, number) : NULL;
}

static void vanish(struct home *h, struct home_channel *ch)
{
	uint32_t number = channel_table_find(&h->channels, ch->key.hash, ch->key.space,
					     channel_name(&ch->key));
	free_all(h, ch);
	channel_table_remove(&h->channels, number);
}

/* What is too old goes, and with it the channel, if it was here for that alone. */
static bool age(struct home *h, struct home_channel *ch)
{
	if (ch->history == NULL)
		return true;
	history_age(&h->store, ch->history, h->w->now_ns);
	if (ch->n_counts > 0) {
		if (ch->history->n == 0)
			history_unlist(&h->store, ch->history);
		return true;
	}
	if (!history_is_over(ch->history, h->w->now_ns))
		return true;
	vanish(h, ch);
	return false;
}

struct home_channel *home_find(struct home *h, uint32_t hash, uint16_t space, struct bytes name)
{
	struct home_channel *ch = find(h, hash, space, name);
	return ch != NULL && age(h, ch) ? ch : NULL;
}

static struct home_count *count_of(const struct home_channel *ch, unsigned worker)
{
	struct home_count *c = counts(ch);
	for (unsigned i = 0; i < ch->n_counts; i++)
		if (c[i].worker == worker)
			return &c[i];
	return NULL;
}

static bool room_for_one(struct home_channel *ch)
{
	if (ch->n_counts < ch->cap)
		return true;
	unsigned cap = ch->cap * 4u;
	struct home_count *many = malloc(cap * sizeof(*many));
	if (many == NULL)
		return false;
	memcpy(many, counts(ch), ch->n_counts * sizeof(*many));
	free_counts(ch);
	ch->many = many;
	ch->cap = (uint16_t)cap;
	return true;
}

/* NULL: it keeps none. */
static const struct config_namespace *keeping(const struct home *h, struct bytes name)
{
	const struct config *cfg = h->w->cfg;
	const struct config_namespace *ns = &cfg->namespaces[config_namespace_of(cfg, name)];
	return ns->history > 0 ? ns : NULL;
}

static struct home_channel *come(struct home *h, uint32_t hash, uint16_t space, struct bytes name,
				 const struct config_namespace *ns)
{
	uint32_t number = channel_table_add(&h->channels, hash, space, name);
	if (number == CHANNEL_NONE)
		return NULL;
	struct home_channel *ch = channel_at(h, number);
	ch->cap = 1;
	if (ns == NULL)
		return ch;
	ch->history = history_new(ns, ch);
	if (ch->history != NULL)
		return ch;
	channel_table_remove(&h->channels, number);
	return NULL;
}

/* Gives back until what is kept is within the worker's bound. */
static void make_room(struct home *h)
{
	struct history_store *s = &h->store;
	while (s->bytes > s->max && s->oldest != NULL) {
		struct history *old = s->oldest;
		if (old->n > 0)
			history_drop_oldest(s, old);
		else if (old->channel->n_counts > 0)
			history_unlist(s, old);
		else
			vanish(h, old->channel);
	}
}

struct home_channel *home_find_to_keep(struct home *h, uint32_t hash, uint16_t space,
				       struct bytes name)
{
	struct home_channel *ch = home_find(h, hash, space, name);
	if (ch != NULL)
		return ch;
	const struct config_namespace *ns = keeping(h, name);
	ch = ns != NULL ? come(h, hash, space, name, ns) : NULL;
	if (ch != NULL)
		history_use(&h->store, ch->history, h->w->now_ns);
	return ch;
}

void home_keep(struct home *h, struct home_channel *ch, const struct publication *p)
{
	history_append(&h->store, ch->history, p, h->w->now_ns);
	make_room(h);
}

void home_sweep(struct home *h)
{
	uint32_t before = h->store.entries;
	for (uint32_t n = 0; n < SWEEP_CHANNELS && n < h->channels.high; n++) {
		if (h->swept >= h->channels.high)
			h->swept = 0;
		struct home_channel *ch = channel_at(h, h->swept++);
		if (ch->key.n > 0)
			age(h, ch);
		if (before - h->store.entries > SWEEP_ENTRIES)
			return;
	}
}

struct home_channel *home_add(struct home *h, uint32_t hash, uint16_t space, struct bytes name,
			      unsigned worker, uint32_t n)
{
	struct home_channel *ch = home_find(h, hash, space, name);
	if (ch == NULL)
		ch = come(h, hash, space, name, keeping(h, name));
	if (ch == NULL)
		return NULL;
	struct home_count *c = count_of(ch, worker);
	if (c == NULL) {
		if (!room_for_one(ch))
			return NULL; /* it has others, else there would be room */
		c = &counts(ch)[ch->n_counts++];
		*c = (struct home_count){.worker = (uint16_t)worker};
	}
	c->n = n > UINT32_MAX - c->n ? UINT32_MAX : c->n + n;
	return ch;
}

/* The worker has nobody any more. If nobody at all is left the channel goes, or waits for who may
 * come back. */
static void drop_count(struct home *h, struct home_channel *ch, struct home_count *c)
{
	*c = counts(ch)[--ch->n_counts];
	if (ch->n_counts > 0)
		return;
	if (ch->history == NULL) {
		vanish(h, ch);
		return;
	}
	history_use(&h->store, ch->history, h->w->now_ns);
	make_room(h);
}

bool home_sub(struct home *h, struct home_channel *ch, unsigned worker)
{
	struct home_count *c = count_of(ch, worker);
	if (c == NULL)
		return false;
	if (--c->n == 0)
		drop_count(h, ch, c);
	return true;
}

void home_forget(struct home *h, unsigned worker)
{
	for (uint32_t i = 0; i < h->channels.high; i++) {
		struct home_channel *ch = channel_at(h, i);
		struct home_count *c = ch->key.n > 0 ? count_of(ch, worker) : NULL;
		if (c != NULL)
			drop_count(h, ch, c);
	}
}

const struct home_channel *home_next(const struct home *h, uint32_t *cursor)
{
	while (*cursor < h->channels.high) {
		const struct home_channel *ch = channel_at(h, (*cursor)++);
		if (ch->key.n > 0)
			return ch;
	}
	return NULL;
}

uint32_t home_of_worker(const struct home_channel *ch, unsigned worker)
{
	const struct home_count *c = count_of(ch, worker);
	return c != NULL ? c->n : 0;
}

uint32_t home_total(const struct home_channel *ch)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < ch->n_counts; i++)
		n += counts(ch)[i].n;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

size_t home_memory(const struct home *h)
{
	size_t n = channel_table_memory(&h->channels) + coming_memory(&h->coming);
	for (uint32_t i = 0; i < h->channels.high; i++) {
		const struct home_channel *ch = channel_at(h, i);
		if (ch->key.n == 0)
			continue;
		if (ch->cap > 1)
			n += ch->cap * sizeof(*ch->many);
		if (ch->history != NULL)
			n += history_memory(ch->history);
	}
	return n;
}
