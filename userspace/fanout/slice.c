/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.c - one publication to very many subscribers, a bit at a time.
 *
 *   publication ──► recipients per encoding ──► cursor ─┐
 *                                                       ▼
 *   lane (one channel):   oldest cursor ─ cursor ─ cursor ─ call ─ cursor
 *                            │              │        │
 *   index ≤ limit:         frame a        frame b  frame c  ──► batch, conn by conn
 *
 * Sealing and writing are per connection and cannot be shared, so a million subscribers
 * in one go would make every heartbeat on this core late. fanout_run() takes one slice of
 * one lane after the other until the turn's share of time is used up; a full batch is sent
 * between two of them, so the clock sees the dear part too.
 *
 * A slice is a range of connection indexes, and it is walked for the oldest cursor first and
 * then, for the same range, for those behind it that stand where it stands. That keeps the order of every subscriber
 * (whatever encoding it hears each of them in) and gives a connection that is owed ten
 * messages ten in one record and one system call: the busier a channel, the
 * cheaper its deliveries. A call (an answer that must stay in order) ends the range's walk
 * and is made when it has become the lane's first.
 *
 * Who comes while others are on their way waits until they are through and then sets out with all who came
 * meanwhile. (When it still caught up with them in one slice, that slice was as long as they had come, tens
 * of milliseconds for 10,000 subscribers, and everybody else on this core waited.)
 *
 * A bitmap holds indexes, not conns. If a slot were given to a new client while a
 * cursor still walks, a stranger would read the message: conn_slab_free() holds
 * the slot back until every cursor that could name it has passed. So cursors are numbered
 * and stand in a second list, by age over all lanes, whose first is the oldest alive.
 *
 * Sets are copy-on-write (hub/members.c): a cursor's set costs a few bytes per 65,536 indexes
 * and not a copy of the members. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "fanout/batch.h"
#include "fanout/deflated.h"
#include "fanout/encoding.h"
#include "fanout/fanout.h"
#include "hub/hub.h"
#include "worker/worker.h"

#define LANES        4096u        /* buckets of lanes that hold something */
#define FOLLOWERS    15u          /* cursors walked along with the oldest; 16 * 64 fill a batch */
#define BACKLOG_MAX  (256u << 10) /* deliveries that may wait: some 100 ms of work ... */
#define CURSORS_MAX  (FOLLOWERS + 1u) /* ... but as many cursors as are walked together */
#define SPARE_PARTS  1024u            /* kept for the next cursors instead of going to malloc */
#define SCRATCH_KEEP (64u << 10)      /* of the text buffer, between publications */

/* One encoding's recipients, read from the set a few at a time. */
struct part {
	struct part *next;       /* of the same cursor, or of the spare list */
	struct frame_ref *frame; /* one reference is ours */
	roaring_bitmap_t *set;   /* owned; NULL: all are in buf */
	roaring_uint32_iterator_t it;
	uint32_t at, n; /* buf[at .. n) is still to be served */
	uint32_t buf[FANOUT_FEW];
};

/* What stands in a lane: a cursor, or a call. */
struct item {
	struct item *next;
	struct item *older, *newer; /* cursors only: by age, over all lanes */
	struct part *parts;         /* NULL: a call */
	uint64_t number;
	uint64_t recipients;
	size_t bytes;    /* what it counts for in fanout_memory() */
	uint32_t walked; /* cursors: all up to this index have been served */
	/* a call */
	struct conn_ref who;
	void (*fn)(struct worker *, struct conn *, struct bytes arg);
	uint32_t arg_n;
	uint8_t arg[];
};

struct lane {
	uint32_t number;
	struct lane *chain;        /* of the bucket */
	struct lane *turn;         /* the next in the turn list */
	struct item *first, *last; /* never empty */
};

struct fanout {
	struct lane *bucket[LANES];
	struct lane *turn_first, *turn_last;
	struct item *oldest, *newest;
	uint64_t newest_number;
	size_t memory, bound;
	uint64_t backlog; /* recipients of all cursors */
	uint32_t cursors;
	struct part *spare;
	unsigned n_spare;
	struct json_out text; /* scratch */
};

struct fanout *fanout_new(struct worker *w)
{
	struct fanout *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	/* frames that wait for their turn are unsent bytes like those in the tails */
	f->bound = w->cfg->memory.queue_bytes / 2;
	return f;
}

/* A publication that was accepted must not be lost on the last few metres, silently. Where a few
 * hundred bytes cannot be had nothing else works either: the worker dies, its clients
 * come back to its successor. */
static void *need(void *p)
{
	if (p == NULL) {
		log_error("fan-out: out of memory");
		abort();
	}
	return p;
}

/* ── parts and items ── */

static struct part *part_new(struct fanout *f)
{
	struct part *p = f->spare;
	if (p == NULL)
		return need(malloc(sizeof(*p)));
	f->spare = p->next;
	f->n_spare--;
	return p;
}

static void part_free(struct fanout *f, struct part *p)
{
	frame_ref_put(p->frame);
	if (p->set != NULL)
		roaring_bitmap_free(p->set);
	if (f->n_spare == SPARE_PARTS) {
		free(p);
		return;
	}
	p->next = f->spare;
	f->spare = p;
	f->n_spare++;
}

static void item_free(struct fanout *f, struct item *i)
{
	f->memory -= i->bytes;
	while (i->parts != NULL) {
		struct part *p = i->parts;
		i->parts = p->next;
		part_free(f, p);
	}
	free(i);
}

static void age_append(struct fanout *f, struct item *i)
{
	f->backlog += i->recipients;
	f->cursors++;
	i->number = ++f->newest_number;
	i->older = f->newest;
	i->newer = NULL;
	if (f->newest != NULL)
		f->newest->newer = i;
	else
		f->oldest = i;
	f->newest = i;
}

static void age_remove(struct fanout *f, struct item *i)
{
	f->backlog -= i->recipients;
	f->cursors--;
	if (i->older != NULL)
		i->older->newer = i->newer;
	else
		f->oldest = i->newer;
	if (i->newer != NULL)
		i->newer->older = i->older;
	else
		f->newest = i->older;
}

uint64_t fanout_newest(const struct fanout *f)
{
	return f->newest_number;
}

uint64_t fanout_oldest(const struct fanout *f)
{
	return f->oldest != NULL ? f->oldest->number : f->newest_number + 1;
}

size_t fanout_memory(const struct fanout *f)
{
	return f->memory;
}

/* A publication to a million is no congestion by itself, nor are as many as are walked
 * together: who only listens must not wait for it. */
static bool beyond(const struct fanout *f, unsigned times)
{
	return f->memory > times * (f->bound / 2) ||
	       (f->backlog > times * (uint64_t)BACKLOG_MAX && f->cursors > times * CURSORS_MAX);
}

bool fanout_congested(const struct worker *w)
{
	return beyond(w->fanout, 1);
}

bool fanout_full(const struct worker *w)
{
	return beyond(w->fanout, 2);
}

/* ── lanes ── */

static struct lane **lane_slot(struct fanout *f, uint32_t number)
{
	struct lane **l = &f->bucket[hash_mix(number) % LANES];
	while (*l != NULL && (*l)->number != number)
		l = &(*l)->chain;
	return l;
}

static bool lane_is_empty(struct fanout *f, uint32_t number)
{
	return *lane_slot(f, number) == NULL;
}

static void turn_append(struct fanout *f, struct lane *l)
{
	l->turn = NULL;
	if (f->turn_last != NULL)
		f->turn_last->turn = l;
	else
		f->turn_first = l;
	f->turn_last = l;
}

static struct lane *turn_take(struct fanout *f)
{
	struct lane *l = f->turn_first;
	f->turn_first = l->turn;
	if (f->turn_first == NULL)
		f->turn_last = NULL;
	return l;
}

static void lane_append(struct fanout *f, uint32_t number, struct item *i)
{
	struct lane **slot = lane_slot(f, number);
	i->next = NULL;
	if (*slot != NULL) {
		(*slot)->last->next = i;
		(*slot)->last = i;
		return;
	}
	struct lane *l = need(malloc(sizeof(*l)));
	*l = (struct lane){.number = number, .first = i, .last = i};
	*slot = l;
	turn_append(f, l);
}

/* Takes the lane's first item out of it, not out of its bucket: that is for the turn's end. */
static struct item *lane_pop(struct lane *l)
{
	struct item *i = l->first;
	l->first = i->next;
	if (l->first == NULL)
		l->last = NULL;
	return i;
}

void fanout_free(struct fanout *f)
{
	if (f == NULL)
		return;
	while (f->turn_first != NULL) {
		struct lane *l = turn_take(f);
		while (l->first != NULL)
			item_free(f, lane_pop(l));
		free(l);
	}
	while (f->spare != NULL) {
		struct part *p = f->spare;
		f->spare = p->next;
		free(p);
	}
	free(f->text.p);
	free(f);
}

/* ── encode ── */

/* The frame of p in this encoding, one reference the caller's. */
static struct frame_ref *encode(struct fanout *f, const struct publication *p, enum encoding e)
{
	size_t bound = encoding_bound(p);
	if (f->text.cap < bound) {
		free(f->text.p);
		f->text.p = need(malloc(bound));
		f->text.cap = bound;
	}
	f->text.n = 0;
	f->text.overflow = false;
	uint8_t opcode = encoding_table[e].encode(p, &f->text);
	assert(!f->text.overflow);
	struct frame_ref *frame = need(frame_ref_new(opcode, json_out_bytes(&f->text)));
	if (f->text.cap > SCRATCH_KEEP) {
		free(f->text.p);
		f->text = (struct json_out){0};
	}
	return frame;
}

/* Frames of one publication by encoding, made when first asked for. */
struct frames {
	struct frame_ref *of[ENC_COUNT], *deflated[ENC_COUNT];
};

/* How its namespace treats those who are slow. */
static enum frame_policy policy_of(const struct config *cfg, struct bytes channel)
{
	switch (cfg->namespaces[config_namespace_of(cfg, channel)].slow_consumer) {
	case CONFIG_SLOW_DISCONNECT: return FRAME_DISCONNECT;
	case CONFIG_SLOW_DROP_OLDEST: return FRAME_DROP_OLDEST;
	case CONFIG_SLOW_CONFLATE: return FRAME_CONFLATE;
	}
	return FRAME_DISCONNECT;
}

/* Who comes and goes is not overtaken by what is said. */
static void label(const struct worker *w, struct frame_ref *f, const struct publication *p)
{
	f->channel = hub_hash(w, p->space, p->channel);
	f->policy = (uint8_t)policy_of(w->cfg, p->channel);
	if (f->policy == FRAME_CONFLATE && publication_is_event(p))
		f->policy = FRAME_DROP_OLDEST;
}

/* Of the encoding or its twin. Lent; NULL: this encoding shows nothing of it. */
static struct frame_ref *frame_of(struct worker *w, struct frames *frames,
				  const struct publication *p, uint8_t encoding)
{
	enum encoding e = encoding_table[encoding_plain(encoding)].same_as(p);
	if (e == ENC_COUNT)
		return NULL;
	if (frames->of[e] == NULL) {
		frames->of[e] = encode(w->fanout, p, e);
		label(w, frames->of[e], p);
	}
	if (!(encoding & ENC_DEFLATED))
		return frames->of[e];
	if (frames->deflated[e] == NULL) {
		frames->deflated[e] = fanout_deflated(w, frames->of[e]);
		label(w, frames->deflated[e], p);
	}
	return frames->deflated[e];
}

static void frames_put(struct frames *frames)
{
	for (int e = 0; e < ENC_COUNT; e++) {
		if (frames->of[e] != NULL)
			frame_ref_put(frames->of[e]);
		if (frames->deflated[e] != NULL)
			frame_ref_put(frames->deflated[e]);
	}
}

/* ── serve ── */

static void serve(struct worker *w, struct frame_ref *frame, const uint32_t *index, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (i + 8 < n) {
			const struct conn *ahead = &w->slab.conns[index[i + 8]];
			__builtin_prefetch(ahead, 1);
			__builtin_prefetch(&ahead->batch_first, 1);
		}
		struct conn *c = conn_at(&w->slab, index[i]);
		if (c->state != CONN_OPEN)
			continue;
		w->stats.deliveries++;
		batch_frame(w, c, frame);
	}
}

/* Makes sure that something is in buf if anything is left. */
static bool part_fill(struct part *p)
{
	if (p->at < p->n)
		return true;
	if (p->set == NULL || !p->it.has_value)
		return false;
	p->at = 0;
	p->n = roaring_read_uint32_iterator(&p->it, p->buf, FANOUT_FEW);
	return p->n > 0;
}

static bool part_has_more(const struct part *p)
{
	return p->set != NULL && p->it.has_value;
}

/* Serves all up to and including `limit`. */
static void part_serve(struct worker *w, struct part *p, uint32_t limit)
{
	while (part_fill(p)) {
		uint32_t end = p->at;
		while (end < p->n && p->buf[end] <= limit)
			end++;
		uint32_t from = p->at;
		bool rest = end < p->n;
		p->at = end;
		serve(w, p->frame, p->buf + from, end - from);
		if (rest)
			return;
	}
}

/* How far one cursor has read ahead. */
static uint32_t cursor_limit(struct item *cursor)
{
	uint32_t limit = UINT32_MAX;
	for (struct part *p = cursor->parts; p != NULL; p = p->next)
		if (part_fill(p) && part_has_more(p))
			limit = MIN(limit, p->buf[p->n - 1]);
	return limit;
}

/* Those that walk together: the lane's first and who stands where it stands. */
static unsigned together(const struct lane *l, struct item *of[FOLLOWERS + 1])
{
	unsigned n = 0;
	for (struct item *i = l->first; i != NULL && i->parts != NULL && n <= FOLLOWERS;
	     i = i->next) {
		if (i->walked != l->first->walked)
			break;
		of[n++] = i;
	}
	return n;
}

static void cursor_serve(struct worker *w, struct item *cursor, uint32_t limit)
{
	for (struct part *p = cursor->parts; p != NULL; p = p->next)
		part_serve(w, p, limit);
}

static bool cursor_done(struct item *cursor)
{
	for (struct part *p = cursor->parts; p != NULL; p = p->next)
		if (part_fill(p))
			return false;
	return true;
}

static void call(struct worker *w, const struct item *i)
{
	struct conn *c = conn_deref(&w->slab, i->who.index, i->who.gen);
	if (c != NULL)
		i->fn(w, c, BYTES(i->arg, i->arg_n));
}

/* One range of the lane's oldest cursor and its followers, as far as all of them have read ahead; or one call. What runs here may append
 * to the lane, so that its first stays in it while it runs. */
static void slice(struct worker *w, struct lane *l)
{
	struct fanout *f = w->fanout;
	if (l->first->parts == NULL) {
		struct item *i = l->first;
		call(w, i);
		lane_pop(l);
		item_free(f, i);
		return;
	}
	struct item *of[FOLLOWERS + 1];
	unsigned n = together(l, of);
	uint32_t limit = UINT32_MAX;
	for (unsigned i = 0; i < n; i++)
		limit = MIN(limit, cursor_limit(of[i]));
	for (unsigned i = 0; i < n; i++) {
		cursor_serve(w, of[i], limit);
		of[i]->walked = limit;
	}
	while (l->first != NULL && l->first->parts != NULL && cursor_done(l->first)) {
		struct item *i = lane_pop(l);
		age_remove(f, i);
		item_free(f, i);
	}
}

bool fanout_run(struct worker *w, uint64_t deadline_ns)
{
	struct fanout *f = w->fanout;
	while (f->turn_first != NULL) {
		struct lane *l = f->turn_first;
		slice(w, l);
		turn_take(f);
		if (l->first != NULL) {
			turn_append(f, l);
		} else {
			struct lane **slot = lane_slot(f, l->number);
			*slot = l->chain;
			free(l);
		}
		batch_relieve(w);
		if (clock_mono_ns() >= deadline_ns)
			break;
	}
	return f->turn_first != NULL;
}

bool fanout_busy(const struct worker *w)
{
	return w->fanout->turn_first != NULL;
}

/* ── what comes in ── */

static void serve_now(struct worker *w, struct frames *frames, const struct publication *p,
		      const struct fanout_part *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct frame_ref *frame = frame_of(w, frames, p, parts[i].encoding);
		if (frame != NULL)
			serve(w, frame, parts[i].few, parts[i].n);
	}
}

static struct part *part_of(struct fanout *f, const struct fanout_part *from,
			    struct frame_ref *frame)
{
	struct part *p = part_new(f);
	p->next = NULL;
	p->frame = frame_ref_get(frame);
	p->set = from->n > 0 ? NULL : from->set;
	p->at = 0;
	p->n = from->n;
	if (from->n > 0)
		memcpy(p->buf, from->few, from->n * sizeof(p->buf[0]));
	else
		roaring_init_iterator(p->set, &p->it);
	return p;
}

static size_t part_bytes(const struct part *p)
{
	size_t n = sizeof(*p) + sizeof(struct frame_ref) + p->frame->n / p->frame->refs;
	if (p->set != NULL) /* containers are shared: their headers, and the wrapper of each */
		n += sizeof(*p->set) + 64u * (size_t)p->set->high_low_container.size;
	return n;
}

static uint64_t part_count(const struct part *p)
{
	return p->set != NULL ? roaring_bitmap_get_cardinality(p->set) : p->n;
}

static struct item *cursor_of(struct worker *w, struct frames *frames, const struct publication *p,
			      const struct fanout_part *parts, unsigned n)
{
	struct fanout *f = w->fanout;
	struct item *i = need(calloc(1, sizeof(*i)));
	struct part **tail = &i->parts;
	i->bytes = sizeof(*i);
	for (unsigned k = 0; k < n; k++) {
		struct frame_ref *frame = frame_of(w, frames, p, parts[k].encoding);
		if (frame != NULL) {
			*tail = part_of(f, &parts[k], frame);
			i->bytes += part_bytes(*tail);
			i->recipients += part_count(*tail);
			tail = &(*tail)->next;
		} else if (parts[k].n == 0) {
			roaring_bitmap_free(parts[k].set);
		}
	}
	f->memory += i->bytes;
	return i;
}

void fanout_deliver(struct worker *w, uint32_t lane, const struct publication *p,
		    const struct fanout_part *parts, unsigned n)
{
	struct fanout *f = w->fanout;
	struct frames frames = {0};
	bool few = true;
	uint32_t total = 0;
	for (unsigned i = 0; i < n; i++) {
		assert(encoding_valid(parts[i].encoding) && parts[i].n <= FANOUT_FEW);
		few = few && parts[i].n > 0;
		total += parts[i].n;
	}
	if (few && total <= FANOUT_FEW && lane_is_empty(f, lane) && !batch_flushing(w->batch)) {
		serve_now(w, &frames, p, parts, n);
		frames_put(&frames);
		return;
	}
	struct item *i = cursor_of(w, &frames, p, parts, n);
	frames_put(&frames);
	if (i->parts == NULL) {
		item_free(f, i);
		return;
	}
	lane_append(f, lane, i);
	age_append(f, i);
}

void fanout_after(struct worker *w, uint32_t lane, const struct conn_ref *who,
		  void (*fn)(struct worker *, struct conn *, struct bytes arg), struct bytes arg)
{
	struct fanout *f = w->fanout;
	if (lane_is_empty(f, lane)) {
		struct conn *c = conn_deref(&w->slab, who->index, who->gen);
		if (c != NULL)
			fn(w, c, arg);
		return;
	}
	struct item *i = need(malloc(sizeof(*i) + arg.n));
	*i = (struct item){
		.bytes = sizeof(*i) + arg.n,
		.who = *who,
		.fn = fn,
		.arg_n = (uint32_t)arg.n,
	};
	if (arg.n > 0)
		memcpy(i->arg, arg.p, arg.n);
	f->memory += i->bytes;
	lane_append(f, lane, i);
}
