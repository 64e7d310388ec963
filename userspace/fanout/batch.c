/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.c - what goes out this turn, chained per conn.
 *
 *   touched:  conn 7      conn 3       conn 9          (in the order of first touch)
 *               │           │
 *   entries:  [frame a]─►[bytes]    [frame a]─►[frame b]─►…      c->batch_first … batch_last
 *                           └► arena
 *
 * A conn that hears five messages in a turn gets one TLS record and one system call. The
 * batch is as large as a turn can send in a few milliseconds and flushes itself when it is
 * full, so that sealing and writing, the dear part of a fan-out, are done while the
 * fan-out watches the clock.
 *
 * Sending can end a conn, and ending one can put a few more bytes into the batch. So while
 * it is being flushed the batch grows instead of flushing itself, and the loop in
 * batch_flush() goes on until nothing is left. */
#include "fanout/batch.h"

#include <stdlib.h>

#include "conn/io.h"
#include "worker/worker.h"

#define ENTRIES     1024u        /* deliveries in one flush: about 3 ms of sealing and writing */
#define ARENA_BYTES (128u << 10) /* copied answers */
#define BIG_BYTES   (16u << 10)  /* an answer from here on gets a block of its own */
#define PARTS_MAX   1024u        /* IOV_MAX of Linux */

/* One run of bytes for one conn. */
struct entry {
	uint32_t next; /* of the same conn, CONN_NONE: the last */
	uint32_t n;    /* bytes in an arena; 0: a frame */
	union {
		const uint8_t *bytes;
		struct frame_ref *frame; /* one reference of it is ours; NULL once let go */
	};
};

struct arena {
	struct arena *before; /* full; NULL but while flushing */
	size_t n;
	uint8_t bytes[ARENA_BYTES];
};

struct batch {
	struct entry *entries; /* owned */
	uint32_t *touched;     /* owned; conn indexes, as many as entries at most */
	uint32_t n_entries, cap_entries, n_touched;
	struct arena *arena; /* owned */
	bool flushing;
	struct iovec parts[PARTS_MAX];
};

struct batch *batch_new(struct worker *w)
{
	struct batch *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->cap_entries = ENTRIES;
	b->entries = malloc(ENTRIES * sizeof(*b->entries));
	b->touched = malloc(ENTRIES * sizeof(*b->touched));
	b->arena = malloc(sizeof(*b->arena));
	if (b->entries == NULL || b->touched == NULL || b->arena == NULL) {
		batch_free(b);
		return NULL;
	}
	b->arena->before = NULL;
	b->arena->n = 0;
	return b;
}

static void entry_release(struct entry *e)
{
	if (e->n > 0 || e->frame == NULL)
		return;
	frame_ref_put(e->frame);
	e->frame = NULL;
}

static void chain_release(struct batch *b, uint32_t at)
{
	for (; at != CONN_NONE; at = b->entries[at].next)
		entry_release(&b->entries[at]);
}

void batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	for (uint32_t i = 0; i < b->n_entries; i++)
		entry_release(&b->entries[i]);
	free(b->entries);
	free(b->touched);
	free(b->arena);
	free(b);
}

bool batch_flushing(const struct batch *b)
{
	return b->flushing;
}

static bool grow_entries(struct batch *b)
{
	uint32_t cap = 2 * b->cap_entries;
	struct entry *entries = realloc(b->entries, cap * sizeof(*entries));
	if (entries == NULL)
		return false;
	b->entries = entries;
	uint32_t *touched = realloc(b->touched, cap * sizeof(*touched));
	if (touched == NULL)
		return false;
	b->touched = touched;
	b->cap_entries = cap;
	return true;
}

/* The full one stays where it is: it is being sent from. */
static bool grow_arena(struct batch *b)
{
	struct arena *a = malloc(sizeof(*a));
	if (a == NULL)
		return false;
	a->before = b->arena;
	a->n = 0;
	b->arena = a;
	return true;
}

/* Room for one more entry and n bytes of arena. False: the conn has ended meanwhile, or
 * there is no memory. */
static bool make_room(struct worker *w, struct conn *c, size_t n)
{
	struct batch *b = w->batch;
	bool fits = ARENA_BYTES - b->arena->n >= n;
	if (b->n_entries < b->cap_entries && fits)
		return true;
	if (!b->flushing) {
		uint32_t gen = c->gen;
		batch_flush(w); /* may end c; a wiped slot has generation 0 */
		return c->gen == gen;
	}
	return (b->n_entries < b->cap_entries || grow_entries(b)) && (fits || grow_arena(b));
}

static void append(struct worker *w, struct conn *c, struct entry e)
{
	struct batch *b = w->batch;
	uint32_t at = b->n_entries++;
	e.next = CONN_NONE;
	b->entries[at] = e;
	if (c->flags & CONN_F_TOUCHED) {
		b->entries[c->batch_last].next = at;
	} else {
		c->flags |= CONN_F_TOUCHED;
		c->batch_first = at;
		b->touched[b->n_touched++] = conn_index(&w->slab, c);
	}
	c->batch_last = at;
}

/* Without memory for its answer a client would wait for something that never comes. */
static void no_memory(struct worker *w, struct conn *c, uint32_t gen)
{
	if (c->gen == gen)
		conn_end(w, c, CLOSE_NO_MEMORY);
}

void batch_frame(struct worker *w, struct conn *c, struct frame_ref *f)
{
	uint32_t gen = c->gen;
	if (!make_room(w, c, 0)) {
		no_memory(w, c, gen);
		return;
	}
	append(w, c, (struct entry){.frame = frame_ref_get(f)});
}

/* A big answer is copied once into a block of its own instead of through the arena. */
static void big_bytes(struct worker *w, struct conn *c, struct bytes head, struct bytes body)
{
	struct frame_ref *f = frame_ref_raw(head, body);
	if (f == NULL) {
		conn_end(w, c, CLOSE_NO_MEMORY);
		return;
	}
	batch_frame(w, c, f);
	frame_ref_put(f);
}

void batch_bytes2(struct worker *w, struct conn *c, struct bytes head, struct bytes body)
{
	struct batch *b = w->batch;
	size_t n = head.n + body.n;
	uint32_t gen = c->gen;
	if (n == 0)
		return;
	if (n >= BIG_BYTES) {
		big_bytes(w, c, head, body);
		return;
	}
	if (!make_room(w, c, n)) {
		no_memory(w, c, gen);
		return;
	}
	uint8_t *at = b->arena->bytes + b->arena->n;
	if (head.n > 0)
		memcpy(at, head.p, head.n);
	if (body.n > 0)
		memcpy(at + head.n, body.p, body.n);
	b->arena->n += n;
	append(w, c, (struct entry){.n = (uint32_t)n, .bytes = at});
}

void batch_bytes(struct worker *w, struct conn *c, struct bytes b)
{
	batch_bytes2(w, c, b, BYTES(NULL, 0));
}

/* Collects up to PARTS_MAX entries from *at on; returns how many, *bytes their sum. */
static unsigned gather(struct batch *b, uint32_t *at, size_t *bytes)
{
	unsigned n = 0;
	*bytes = 0;
	for (; *at != CONN_NONE && n < PARTS_MAX; *at = b->entries[*at].next) {
		const struct entry *e = &b->entries[*at];
		struct iovec *v = &b->parts[n++];
		v->iov_base = e->n ? (void *)e->bytes : e->frame->bytes;
		v->iov_len = e->n ? e->n : e->frame->n;
		*bytes += v->iov_len;
	}
	return n;
}

/* c may have ended afterwards; its chain is let go either way. */
static void flush_conn(struct worker *w, struct conn *c)
{
	struct batch *b = w->batch;
	uint32_t first = c->batch_first, at = first, gen = c->gen;
	c->flags &= (uint16_t)~CONN_F_TOUCHED;
	c->batch_first = c->batch_last = CONN_NONE;
	while (at != CONN_NONE && c->gen == gen) {
		size_t bytes;
		unsigned n = gather(b, &at, &bytes);
		/* "close when all is out" must not come true between two pieces */
		uint16_t later = at != CONN_NONE ? c->flags & CONN_F_END_FLUSH : 0;
		c->flags &= (uint16_t)~later;
		conn_send(w, c, b->parts, n, bytes);
		if (c->gen == gen)
			c->flags |= later;
	}
	chain_release(b, first);
}

void batch_flush(struct worker *w)
{
	struct batch *b = w->batch;
	if (b->flushing)
		return;
	b->flushing = true;
	for (uint32_t i = 0; i < b->n_touched; i++) {
		if (i + 4 < b->n_touched)
			__builtin_prefetch(conn_at(&w->slab, b->touched[i + 4]), 1);
		struct conn *c = conn_at(&w->slab, b->touched[i]);
		/* a conn that has ended is not touched any more */
		if (c->flags & CONN_F_TOUCHED)
			flush_conn(w, c);
	}
	b->n_entries = b->n_touched = 0;
	while (b->arena->before != NULL) {
		struct arena *a = b->arena;
		b->arena = a->before;
		free(a);
	}
	b->arena->n = 0;
	b->flushing = false;
}

void batch_drop(struct worker *w, struct conn *c)
{
	struct batch *b = w->batch;
	if (!(c->flags & CONN_F_TOUCHED))
		return;
	chain_release(b, c->batch_first);
	c->flags &= (uint16_t)~CONN_F_TOUCHED;
	c->batch_first = c->batch_last = CONN_NONE;
}
