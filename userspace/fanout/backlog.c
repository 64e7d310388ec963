/* SPDX-License-Identifier: BSD-2-Clause */
/* backlog.c - see backlog.h. A queue is an array of pointers with a beginning; what conflation takes out of its
 * middle leaves a hole, so that nothing moves. */
#include "fanout/backlog.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "worker/worker.h"

#define CAP_FIRST 16u
#define KEEP_MORE 4096u  /* beyond the bound: control frames and short answers */
#define LONG_MAX  65536u /* frames that one may have waiting, however small */

struct backlog {
	uint32_t first, end, cap; /* of[first .. end) */
	size_t bytes;
	struct frame_ref *of[]; /* one reference each; NULL: a hole */
};

struct backlogs {
	struct backlog **by_index; /* mmap: untouched pages cost nothing */
	uint32_t max;
	size_t memory;
};

struct backlogs *backlogs_new(struct worker *w)
{
	struct backlogs *b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->max = w->slab.max;
	b->by_index = mmap(NULL, (size_t)b->max * sizeof(*b->by_index), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->by_index == MAP_FAILED) {
		free(b);
		return NULL;
	}
	return b;
}

static struct backlog **slot(const struct worker *w, const struct conn *c)
{
	return &w->backlogs->by_index[conn_index(&w->slab, c)];
}

/* ── memory: a frame counts once, however many wait for it ── */

static void hold(struct backlogs *b, struct backlog *q, struct frame_ref *f)
{
	frame_ref_get(f);
	if (f->waits++ == 0)
		b->memory += sizeof(*f) + f->n;
	q->bytes += f->n;
}

static void let_go(struct backlogs *b, struct backlog *q, struct frame_ref **at)
{
	struct frame_ref *f = *at;
	*at = NULL;
	q->bytes -= f->n;
	if (--f->waits == 0)
		b->memory -= sizeof(*f) + f->n;
	frame_ref_put(f);
}

static size_t queue_bytes(uint32_t cap)
{
	return sizeof(struct backlog) + cap * sizeof(struct frame_ref *);
}

void backlog_forget(struct worker *w, struct conn *c)
{
	struct backlog **at = slot(w, c), *q = *at;
	if (q == NULL)
		return;
	for (uint32_t i = q->first; i < q->end; i++)
		if (q->of[i] != NULL)
			let_go(w->backlogs, q, &q->of[i]);
	w->backlogs->memory -= queue_bytes(q->cap);
	free(q);
	*at = NULL;
}

void backlogs_free(struct backlogs *b)
{
	if (b == NULL)
		return;
	assert(b->memory == 0); /* all conns have ended */
	munmap(b->by_index, (size_t)b->max * sizeof(*b->by_index));
	free(b);
}

/* Holes out, and what is there to the beginning. */
static void pack(struct backlog *q)
{
	uint32_t n = 0;
	for (uint32_t i = q->first; i < q->end; i++)
		if (q->of[i] != NULL)
			q->of[n++] = q->of[i];
	q->first = 0;
	q->end = n;
}

static void skip_holes(struct backlog *q)
{
	while (q->first < q->end && q->of[q->first] == NULL)
		q->first++;
}

/* Room for one more, in a queue that is made if need be. NULL: no memory. */
static struct backlog *room(struct backlogs *b, struct backlog **at)
{
	struct backlog *q = *at;
	if (q != NULL && q->end < q->cap)
		return q;
	if (q != NULL) {
		pack(q);
		if (q->end <= q->cap - q->cap / 4)
			return q;
	}
	uint32_t cap = q != NULL ? 2 * q->cap : CAP_FIRST;
	struct backlog *more = realloc(q, queue_bytes(cap));
	if (more == NULL)
		return NULL;
	if (q == NULL)
		*more = (struct backlog){0};
	else
		b->memory -= queue_bytes(more->cap);
	more->cap = cap;
	b->memory += queue_bytes(cap);
	*at = more;
	return more;
}

/* ── policy ── */

void backlog_skipped(struct worker *w, const struct frame_ref *f)
{
	if (f->policy == FRAME_KEEP)
		return;
	if (w->skipped == NULL)
		w->skipped = calloc(1, sizeof(*w->skipped));
	if (w->skipped != NULL)
		tally_add(w->skipped, f->channel, 1);
}

/* The newest of a channel takes the place of the one before, behind what came meanwhile. */
static void conflate(struct worker *w, struct backlog *q, const struct frame_ref *f)
{
	for (uint32_t i = q->end; i-- > q->first;) {
		const struct frame_ref *old = q->of[i];
		if (old == NULL || old->policy != FRAME_CONFLATE || old->channel != f->channel)
			continue;
		backlog_skipped(w, old);
		let_go(w->backlogs, q, &q->of[i]);
		w->stats.conflated++;
		return;
	}
}

/* Drops the oldest of those that may be, until there is room for n more bytes. */
static bool drop_oldest(struct worker *w, struct backlog *q, size_t n, size_t bound)
{
	for (uint32_t i = q->first; i < q->end && q->bytes + n > bound; i++) {
		const struct frame_ref *f = q->of[i];
		if (f == NULL || (f->policy != FRAME_DROP_OLDEST && f->policy != FRAME_CONFLATE))
			continue;
		backlog_skipped(w, f);
		let_go(w->backlogs, q, &q->of[i]);
		w->stats.dropped++;
	}
	skip_holes(q);
	return q->bytes + n <= bound;
}

/* False: it must not wait. *skip: it is left out, and that is that. */
static bool make_room(struct worker *w, struct backlog *q, const struct frame_ref *f, size_t bound,
		      bool *skip)
{
	*skip = false;
	if (q->end - q->first >= LONG_MAX)
		pack(q);
	bool is_long = q->end - q->first >= LONG_MAX;
	if (f->policy == FRAME_CONFLATE)
		conflate(w, q, f);
	if (q->bytes + f->n <= bound && !is_long)
		return true;
	switch ((enum frame_policy)f->policy) {
	case FRAME_DISCONNECT: return false;
	case FRAME_KEEP: return drop_oldest(w, q, f->n, bound + KEEP_MORE) && !is_long;
	case FRAME_DROP_OLDEST:
	case FRAME_CONFLATE: break;
	}
	if (!drop_oldest(w, q, f->n, is_long ? 0 : bound)) {
		backlog_skipped(w, f);
		w->stats.dropped++;
		*skip = true;
	}
	return true;
}

bool backlog_add(struct worker *w, struct conn *c, struct frame_ref *f, size_t bound)
{
	struct backlogs *b = w->backlogs;
	struct backlog **at = slot(w, c), *q = room(b, at);
	bool skip;
	if (q == NULL || !make_room(w, q, f, bound, &skip))
		return false;
	if (skip) {
		if (q->first == q->end)
			backlog_forget(w, c);
		return true;
	}
	q->of[q->end++] = f;
	hold(b, q, f);
	return true;
}

/* ── out ── */

unsigned backlog_peek(struct worker *w, const struct conn *c, struct iovec *parts, unsigned n,
		      size_t bytes, size_t *sum)
{
	const struct backlog *q = *slot(w, c);
	unsigned k = 0;
	*sum = 0;
	if (q == NULL)
		return 0;
	for (uint32_t i = q->first; i < q->end && k < n; i++) {
		struct frame_ref *f = q->of[i];
		if (f == NULL)
			continue;
		if (k > 0 && *sum + f->n > bytes)
			break;
		parts[k++] = (struct iovec){.iov_base = f->bytes, .iov_len = f->n};
		*sum += f->n;
	}
	return k;
}

void backlog_take(struct worker *w, struct conn *c, unsigned n)
{
	struct backlog *q = *slot(w, c);
	for (; n > 0; q->first++) {
		if (q->of[q->first] == NULL)
			continue;
		let_go(w->backlogs, q, &q->of[q->first]);
		n--;
	}
	skip_holes(q);
	if (q->first == q->end)
		backlog_forget(w, c);
}

size_t backlog_bytes(const struct worker *w, const struct conn *c)
{
	const struct backlog *q = *slot(w, c);
	return q != NULL ? q->bytes : 0;
}

size_t backlogs_memory(const struct backlogs *b)
{
	return b->memory;
}
