/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.c - what goes out this turn, chained per conn.
 *
 *   touched:  conn 7      conn 3       conn 9          (in the order of first touch)
 *               │           │
 *   entries:  [frame a]─►[bytes]    [frame a]─►[frame b]─►…      c->batch_first … batch_last
 *                           └► arena
 *
 * A conn that hears five messages in a turn gets one TLS record and one system call. The
 * batch is as large as a turn can send in a few milliseconds and is relieved when it is
 * full, so that sealing and writing, the dear part of a fan-out, are done while the
 * fan-out watches the clock.
 *
 * Sending can end a conn. When the batch still flushed itself from within an addition, each
 * place that answers had to expect that its own conn was gone after the first answer,
 * and the second killed the worker: so adding only adds.
 *
 * Ending a conn can put a few more bytes into the batch. So it grows while it is being
 * flushed, too, and the loop in batch_flush() goes on until nothing is left. */
#include "fanout/batch.h"

#include <stdlib.h>

#include "base/log.h"
#include "conn/io.h"
#include "fanout/backlog.h"
#include "worker/worker.h"

#define ENTRIES      1024u         /* full: deliveries of about 3 ms of sealing and writing */
#define ENTRIES_KEPT (8 * ENTRIES) /* a larger table goes back after the flush */
#define ARENA_BYTES  (128u << 10)  /* copied answers */
#define BIG_BYTES    (16u << 10)   /* an answer from here on gets a block of its own */
#define BLOCK_BYTES  (1u << 20)    /* full, too: in such blocks */
#define PARTS_MAX    1024u         /* IOV_MAX of Linux */

/* One run of bytes for one conn. */
struct entry {
	uint32_t next; /* of the same conn, CONN_NONE: the last */
	uint32_t n;    /* bytes in an arena, or lent; 0: a frame */
	union {
		const uint8_t *bytes;
		/* One reference of it is ours. NULL: there was no memory for what should stand
		 * here. A conn that waited for it would wait for ever: it ends instead. */
		struct frame_ref *frame;
	};
};

struct arena {
	struct arena *before; /* full */
	size_t n;
	uint8_t bytes[ARENA_BYTES];
};

struct batch {
	struct entry *entries; /* owned */
	uint32_t *touched;     /* owned; conn indexes, as many as entries at most */
	uint32_t n_entries, cap_entries, n_touched;
	size_t block_bytes;
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
	if (b->arena != NULL) {
		b->arena->before = NULL;
		b->arena->n = 0;
	}
	if (b->entries == NULL || b->touched == NULL || b->arena == NULL) {
		batch_free(b);
		return NULL;
	}
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
	while (b->arena != NULL) {
		struct arena *a = b->arena;
		b->arena = a->before;
		free(a);
	}
	free(b);
}

bool batch_flushing(const struct batch *b)
{
	return b->flushing;
}

/* Where a few kilobytes cannot be had nothing else works either: the worker dies, its
 * clients come back to its successor. */
static void *need(void *p)
{
	if (p == NULL) {
		log_error("batch: out of memory");
		abort();
	}
	return p;
}

static void entries_resize(struct batch *b, uint32_t cap)
{
	b->entries = need(realloc(b->entries, cap * sizeof(*b->entries)));
	b->touched = need(realloc(b->touched, cap * sizeof(*b->touched)));
	b->cap_entries = cap;
}

/* The full one stays where it is: others have bytes in it. */
static void arena_add(struct batch *b)
{
	struct arena *a = need(malloc(sizeof(*a)));
	a->before = b->arena;
	a->n = 0;
	b->arena = a;
}

static bool is_full(const struct batch *b)
{
	return b->n_entries >= ENTRIES || b->arena->before != NULL || b->block_bytes >= BLOCK_BYTES;
}

static void append(struct worker *w, struct conn *c, struct entry e)
{
	struct batch *b = w->batch;
	if (b->n_entries == b->cap_entries)
		entries_resize(b, 2 * b->cap_entries);
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

void batch_frame(struct worker *w, struct conn *c, struct frame_ref *f)
{
	append(w, c, (struct entry){.frame = frame_ref_get(f)});
}

void batch_bytes2(struct worker *w, struct conn *c, struct bytes head, struct bytes body)
{
	struct batch *b = w->batch;
	size_t n = head.n + body.n;
	if (n == 0)
		return;
	if (n >= BIG_BYTES) { /* copied once, into a block of its own */
		append(w, c, (struct entry){.frame = frame_ref_raw(head, body)});
		b->block_bytes += n;
		return;
	}
	if (ARENA_BYTES - b->arena->n < n)
		arena_add(b);
	uint8_t *at = b->arena->bytes + b->arena->n;
	if (head.n > 0)
		memcpy(at, head.p, head.n);
	if (body.n > 0)
		memcpy(at + head.n, body.p, body.n);
	b->arena->n += n;
	append(w, c, (struct entry){.n = (uint32_t)n, .bytes = at});
}

void batch_lent(struct worker *w, struct conn *c, struct bytes b)
{
	assert(b.n <= UINT32_MAX);
	if (b.n > 0)
		append(w, c, (struct entry){.n = (uint32_t)b.n, .bytes = b.p});
}

void batch_bytes(struct worker *w, struct conn *c, struct bytes b)
{
	batch_bytes2(w, c, b, BYTES(NULL, 0));
}

/* Collects up to PARTS_MAX entries from *at on; returns how many, *bytes their sum. Ends at an
 * entry that is not there. */
static unsigned gather(struct batch *b, uint32_t *at, size_t *bytes)
{
	unsigned n = 0;
	*bytes = 0;
	for (; *at != CONN_NONE && n < PARTS_MAX; *at = b->entries[*at].next) {
		const struct entry *e = &b->entries[*at];
		if (e->n == 0 && e->frame == NULL)
			break;
		struct iovec *v = &b->parts[n++];
		v->iov_base = e->n ? (void *)e->bytes : e->frame->bytes;
		v->iov_len = e->n ? e->n : e->frame->n;
		*bytes += v->iov_len;
	}
	return n;
}

/* Entries from `at` on wait until the socket takes more. The conn may end, or begin to close. */
static void keep(struct worker *w, struct conn *c, uint32_t at)
{
	struct batch *b = w->batch;
	size_t room = conn_queue_room(w, c);
	for (; at != CONN_NONE; at = b->entries[at].next) {
		const struct entry *e = &b->entries[at];
		struct frame_ref *f = e->n ? frame_ref_raw(BYTES(e->bytes, e->n), BYTES(NULL, 0)) :
				      e->frame != NULL ? frame_ref_get(e->frame) :
							 NULL;
		bool waits = f != NULL && backlog_add(w, c, f, room);
		if (f != NULL && !waits)
			backlog_skipped(w, f);
		if (f != NULL)
			frame_ref_put(f);
		if (!waits || !conn_queues_bounded(w, c)) {
			conn_too_slow(w, c);
			return;
		}
	}
}

/* Sends what it can of a chain's entries from `at` on, in one go; returns where the rest begins. */
static uint32_t send_some(struct worker *w, struct conn *c, uint32_t at)
{
	struct batch *b = w->batch;
	uint32_t from = at, gen = c->gen;
	size_t bytes;
	unsigned n = gather(b, &at, &bytes);
	if (n == 0) {
		conn_end(w, c, CLOSE_NO_MEMORY);
		return at;
	}
	/* "close when all is out" must not come true between two pieces */
	uint16_t later = at != CONN_NONE ? c->flags & CONN_F_END_FLUSH : 0;
	c->flags &= (uint16_t)~later;
	unsigned taken = conn_send(w, c, b->parts, n, bytes);
	if (c->gen == gen)
		c->flags |= later;
	if (taken == n)
		return at;
	for (; taken > 0; taken--)
		from = b->entries[from].next;
	return from;
}

/* c may have ended afterwards; its chain is let go either way. */
static void flush_conn(struct worker *w, struct conn *c)
{
	struct batch *b = w->batch;
	uint32_t first = c->batch_first, at = first, gen = c->gen;
	uint8_t state = c->state;
	c->flags &= (uint16_t)~CONN_F_TOUCHED;
	c->batch_first = c->batch_last = CONN_NONE;
	/* nor is anything said behind the close frame of one that was too slow */
	while (at != CONN_NONE && c->gen == gen && c->state == state) {
		if (conn_is_full(c)) {
			keep(w, c, at);
			break;
		}
		at = send_some(w, c, at);
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
	conn_settle(w);
	b->n_entries = b->n_touched = 0;
	b->block_bytes = 0;
	if (b->cap_entries > ENTRIES_KEPT)
		entries_resize(b, ENTRIES);
	while (b->arena->before != NULL) {
		struct arena *a = b->arena;
		b->arena = a->before;
		free(a);
	}
	b->arena->n = 0;
	b->flushing = false;
}

void batch_relieve(struct worker *w)
{
	if (is_full(w->batch))
		batch_flush(w);
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
