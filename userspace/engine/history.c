/* SPDX-License-Identifier: BSD-2-Clause */
/* history.c - see history.h. */
#include "engine/history.h"

#include <stdlib.h>

#include "base/random.h"

#define FIRST_CAP    4u
/* What a channel costs as long as it is here for its history alone: this, and the table's line. */
#define OWN_BYTES    (sizeof(struct history) + 2 * 64)
#define MALLOC_BYTES 16u /* what an allocation costs beside its own size */

struct history *history_new(const struct config_namespace *ns, struct home_channel *ch)
{
	struct history *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->ns = ns;
	h->channel = ch;
	do
		h->epoch = random_u64(); /* 0 would mean "no positions" */
	while (h->epoch == 0);
	return h;
}

/* ── the list ── */

void history_unlist(struct history_store *s, struct history *h)
{
	if (!h->listed)
		return;
	if (h->older != NULL)
		h->older->newer = h->newer;
	else
		s->oldest = h->newer;
	if (h->newer != NULL)
		h->newer->older = h->older;
	else
		s->newest = h->older;
	h->listed = false;
	s->bytes -= OWN_BYTES;
}

void history_use(struct history_store *s, struct history *h, uint64_t now_ns)
{
	h->used_ns = now_ns;
	if (s->newest == h)
		return;
	history_unlist(s, h);
	h->older = s->newest;
	h->newer = NULL;
	if (s->newest != NULL)
		s->newest->newer = h;
	else
		s->oldest = h;
	s->newest = h;
	h->listed = true;
	s->bytes += OWN_BYTES;
}

/* ── the ring ── */

static struct history_entry **place(const struct history *h, uint32_t i)
{
	return &h->ring[(h->head + i) & (h->cap - 1)];
}

static uint32_t filled(uint32_t n)
{
	return (n + 7) & ~7u;
}

static uint64_t entry_bytes(const struct history_entry *e)
{
	return sizeof(*e) + filled(e->n);
}

static void count(struct history_store *s, struct history *h, const struct history_entry *e)
{
	h->entries++;
	h->bytes += entry_bytes(e);
	s->bytes += entry_bytes(e) + MALLOC_BYTES;
	s->entries++;
}

/* An entry goes and leaves its place as a hole. */
static void empty(struct history_store *s, struct history *h, struct history_entry **at)
{
	struct history_entry *e = *at;
	if (e == NULL)
		return;
	h->entries--;
	h->bytes -= entry_bytes(e);
	s->bytes -= entry_bytes(e) + MALLOC_BYTES;
	s->entries--;
	free(e);
	*at = NULL;
}

static void free_ring(struct history_store *s, struct history *h)
{
	s->bytes -= h->cap * sizeof(h->ring[0]);
	free(h->ring);
	h->ring = NULL;
	h->cap = h->head = 0;
}

/* Keeps the ring: something comes in its place. */
static void drop(struct history_store *s, struct history *h)
{
	empty(s, h, place(h, 0));
	h->head = (h->head + 1) & (h->cap - 1);
	h->n--;
}

void history_drop_oldest(struct history_store *s, struct history *h)
{
	assert(h->n > 0);
	drop(s, h);
	if (h->n == 0)
		free_ring(s, h);
}

void history_free(struct history_store *s, struct history *h)
{
	while (h->n > 0)
		history_drop_oldest(s, h);
	history_unlist(s, h);
	free(h);
}

static bool room_for_one(struct history_store *s, struct history *h)
{
	if (h->n < h->cap)
		return true;
	uint32_t cap = h->cap > 0 ? 2 * h->cap : FIRST_CAP;
	struct history_entry **ring = malloc(cap * sizeof(*ring));
	if (ring == NULL)
		return false;
	for (uint32_t i = 0; i < h->n; i++)
		ring[i] = *place(h, i);
	s->bytes += (cap - h->cap) * sizeof(*ring);
	free(h->ring);
	h->ring = ring;
	h->cap = cap;
	h->head = 0;
	return true;
}

/* The packed copy: what its sender wanted answered is nobody else's business. NULL: no memory. */
static struct history_entry *entry_new(const struct publication *p, uint64_t now_ns)
{
	struct publication kept = *p;
	struct publication_head head;
	struct bytes parts[PUBLICATION_PARTS];
	kept.flags &= (uint8_t)~PUB_F_ACK;
	kept.ask = BYTES(NULL, 0);
	uint32_t n = (uint32_t)publication_packed_bytes(&kept);
	struct history_entry *e = malloc(sizeof(*e) + filled(n));
	if (e == NULL)
		return NULL;
	*e = (struct history_entry){.at_ns = now_ns, .n = n};
	publication_pack(&kept, &head, parts);
	uint8_t *at = e->packed;
	for (unsigned i = 0; i < PUBLICATION_PARTS; i++) {
		if (parts[i].n > 0)
			memcpy(at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	memset(at, 0, filled(n) - n);
	return e;
}

void history_append(struct history_store *s, struct history *h, const struct publication *p,
		    uint64_t now_ns)
{
	assert(p->offset == h->offset + 1);
	while (h->n >= h->ns->history)
		drop(s, h);
	bool room = room_for_one(s, h);
	while (!room && h->n > 0) /* then it begins anew, behind this one */
		history_drop_oldest(s, h);
	h->offset = p->offset;
	if (!room)
		return;
	struct history_entry *e = entry_new(p, now_ns);
	*place(h, h->n++) = e;
	if (e != NULL)
		count(s, h, e);
	while (h->n > 0 && h->bytes > h->ns->history_bytes)
		history_drop_oldest(s, h);
	history_use(s, h, now_ns);
}

static bool is_past(const struct history *h, uint64_t at_ns, uint64_t now_ns)
{
	return at_ns + h->ns->history_age_ms * 1000000ull < now_ns;
}

void history_age(struct history_store *s, struct history *h, uint64_t now_ns)
{
	while (h->n > 0 && (*place(h, 0) == NULL || is_past(h, (*place(h, 0))->at_ns, now_ns)))
		history_drop_oldest(s, h);
}

bool history_is_over(const struct history *h, uint64_t now_ns)
{
	return h->n == 0 && is_past(h, h->used_ns, now_ns);
}

uint32_t history_purge(struct history_store *s, struct history *h, struct bytes from)
{
	uint32_t before = s->entries;
	for (uint32_t i = 0; from.n > 0 && i < h->n; i++) {
		struct history_entry *e = *place(h, i);
		struct publication p;
		if (e == NULL)
			continue;
		history_read(e, &p);
		if (bytes_eq(p.from, from))
			empty(s, h, place(h, i));
	}
	while (h->n > 0 && (from.n == 0 || *place(h, 0) == NULL))
		history_drop_oldest(s, h);
	return before - s->entries;
}

/* ── reading ── */

struct history_entry *history_at(const struct history *h, uint64_t offset)
{
	assert(offset >= history_first(h) && offset <= h->offset);
	return *place(h, (uint32_t)(offset - history_first(h)));
}

struct bytes history_item(const struct history_entry *e)
{
	const size_t from = offsetof(struct history_entry, n);
	return BYTES((const uint8_t *)e + from, sizeof(*e) - from + filled(e->n));
}

void history_read(const struct history_entry *e, struct publication *p)
{
	publication_read(BYTES(e->packed, e->n), p);
}

uint64_t history_cost(const struct history_entry *e)
{
	struct publication p;
	history_read(e, &p);
	uint64_t n = 96 + e->n; /* keys, quotes, numbers; the head's bytes are part of that */
	if (p.kind == PUB_BINARY)
		n += p.data.n / 3;
	else if (p.kind == PUB_TEXT)
		n += p.data.n;
	return n;
}

bool history_since(const struct history *h, uint64_t offset, uint64_t max,
		   struct history_part *part)
{
	uint64_t cost = 0;
	*part = (struct history_part){.from = offset + 1};
	if (offset > h->offset || offset + 1 < history_first(h))
		return false;
	for (uint64_t o = offset + 1; o <= h->offset; o++) {
		const struct history_entry *e = history_at(h, o);
		if (e == NULL || (cost += history_cost(e)) > max)
			return false;
	}
	part->n = (uint32_t)(h->offset - offset);
	return true;
}

void history_last(const struct history *h, uint32_t n, uint64_t max, struct history_part *part)
{
	uint64_t cost = 0, from = h->offset + 1;
	while (n > 0 && from > history_first(h)) {
		const struct history_entry *e = history_at(h, from - 1);
		if (e != NULL && (cost += history_cost(e)) > max)
			break;
		n -= e != NULL;
		from--;
	}
	*part = (struct history_part){.from = from, .n = (uint32_t)(h->offset - from + 1)};
}

bool history_after(const struct history *h, uint64_t offset, uint32_t n, uint64_t max,
		   struct history_part *part)
{
	bool whole = offset <= h->offset && offset + 1 >= history_first(h);
	uint64_t from = whole ? offset + 1 : history_first(h), to = from, cost = 0;
	for (; to <= h->offset && n > 0; to++) {
		const struct history_entry *e = history_at(h, to);
		if (e == NULL) {
			whole = false;
			continue;
		}
		bool is_first = cost == 0;
		cost += history_cost(e);
		if (cost > max && !is_first)
			break;
		n--;
	}
	*part = (struct history_part){.from = from, .n = (uint32_t)(to - from)};
	return whole;
}

size_t history_memory(const struct history *h)
{
	return sizeof(*h) + h->cap * sizeof(h->ring[0]) + h->bytes;
}
