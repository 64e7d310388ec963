/* SPDX-License-Identifier: BSD-2-Clause */
/* home.c - see home.h. */
#include "engine/home.h"

#include <stdlib.h>

#include "base/random.h"

bool home_init(struct home *h)
{
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

void home_fini(struct home *h)
{
	for (uint32_t i = 0; i < h->channels.high; i++)
		if (channel_at(h, i)->key.n > 0)
			free_counts(channel_at(h, i));
	channel_table_fini(&h->channels);
}

struct home_channel *home_find(struct home *h, uint32_t hash, uint16_t space, struct bytes name)
{
	uint32_t number = channel_table_find(&h->channels, hash, space, name);
	return number != CHANNEL_NONE ? channel_at(h, number) : NULL;
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

static void vanish(struct home *h, struct home_channel *ch)
{
	uint32_t number = channel_table_find(&h->channels, ch->key.hash, ch->key.space,
					     channel_name(&ch->key));
	free_counts(ch);
	channel_table_remove(&h->channels, number);
}

static struct home_channel *come(struct home *h, uint32_t hash, uint16_t space, struct bytes name)
{
	uint32_t number = channel_table_add(&h->channels, hash, space, name);
	if (number == CHANNEL_NONE)
		return NULL;
	struct home_channel *ch = channel_at(h, number);
	do
		ch->epoch = random_u64(); /* 0 would mean "no positions" */
	while (ch->epoch == 0);
	ch->cap = 1;
	return ch;
}

struct home_channel *home_add(struct home *h, uint32_t hash, uint16_t space, struct bytes name,
			      unsigned worker, uint32_t n)
{
	struct home_channel *ch = home_find(h, hash, space, name);
	if (ch == NULL)
		ch = come(h, hash, space, name);
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

/* The worker has nobody any more; the channel goes if nobody at all is left. */
static void drop_count(struct home *h, struct home_channel *ch, struct home_count *c)
{
	*c = counts(ch)[--ch->n_counts];
	if (ch->n_counts == 0)
		vanish(h, ch);
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
	size_t n = channel_table_memory(&h->channels);
	for (uint32_t i = 0; i < h->channels.high; i++) {
		const struct home_channel *ch = channel_at(h, i);
		if (ch->key.n > 0 && ch->cap > 1)
			n += ch->cap * sizeof(*ch->many);
	}
	return n;
}
