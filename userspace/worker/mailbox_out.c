/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox_out.c - sending, and what becomes of a message that finds no room.
 *
 *   message ─► at most a quarter of the ring? ───yes──► the ring has room, and nobody waits? ─► ring
 *                 │ no                                      ▲                       │ no
 *                 ▼                                         │ a reference           ▼
 *              pages free in the arena? ──yes──► block ─────┘        the peer's queue, in private
 *                 │ no                                               memory, one copy for all peers
 *                 └─────────────────────────────────────────────────────────► │
 *                                       mailbox_out_flush(): the same way again, oldest first
 *
 * A *parcel* is a message that is in more than one place at once: in the queues of several
 * peers (`waits`), or as a block that several peers have still to read (`flights`). It counts both,
 * in private memory, and gives up the copy with the last wait and the pages with the last flight.
 *
 * Only what is in a ring holds pages, because rings are always read in the end. A block whose
 * reference waits in a queue behind a message without pages would never come free. And the first
 * who finds no pages has the next ones that do come free (`starving`): else small blocks would for
 * ever overtake a large one. */
#include "worker/mailbox_state.h"

#include <stdlib.h>

#define FIFO_KEEP 64u /* places; a longer array is freed when it is empty */

static void fifo_push(struct fifo *f, struct place place)
{
	if (f->n == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : FIFO_KEEP;
		struct place *v = malloc(cap * sizeof(*v));
		assert(v);
		for (uint32_t i = 0; i < f->n; i++)
			v[i] = f->v[(f->first + i) % f->cap];
		free(f->v);
		*f = (struct fifo){.v = v, .cap = cap, .n = f->n};
	}
	f->v[(f->first + f->n++) % f->cap] = place;
}

static struct place fifo_first(const struct fifo *f)
{
	return f->v[f->first];
}

static void fifo_pop(struct fifo *f)
{
	f->first = (f->first + 1) % f->cap;
	if (--f->n == 0 && f->cap > FIFO_KEEP) {
		free(f->v);
		*f = (struct fifo){0};
	}
}

/* What is counted against the bound: a place for each peer, and a private copy once. */
#define PLACE_BYTES   sizeof(struct place)
#define COPY_BYTES(n) (sizeof(struct parcel) + (n))

static void congestion_update(struct mailbox *mb)
{
	bool now = mb->congested ? mb->queue_bytes > mb->queue_bound / 64 :
				   mb->queue_bytes > mb->queue_bound / 16;

	if (now == mb->congested)
		return;
	mb->congested = now;
	if (mb->events.on_congestion)
		mb->events.on_congestion(mb->events.ctx, now);
}

static void parcel_free_unused(struct mailbox *mb, struct parcel *a)
{
	if (!a->waits && a->bytes) {
		mb->queue_bytes -= COPY_BYTES(a->length);
		free(a->bytes);
		a->bytes = NULL;
	}
	if (!a->flights && a->run.n) {
		arena_free(&mb->arena, a->run);
		a->run.n = 0;
	}
	if (!a->waits && !a->flights)
		free(a);
}

static void parcel_waits_less(struct mailbox *mb, struct parcel *a)
{
	assert(a->waits > 0);
	a->waits--;
	parcel_free_unused(mb, a);
}

static void gather(uint8_t *to, const struct bytes *parts, size_t n_parts)
{
	for (size_t i = 0; i < n_parts; i++) {
		if (parts[i].n)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n;
	}
}

/* Held by its maker (one of `waits`). `bytes` and `run` become the parcel's. */
static struct parcel *parcel_new(struct mailbox *mb, uint16_t type, uint16_t flags, uint64_t length,
				 uint8_t *bytes, struct arena_run run)
{
	struct parcel *a = malloc(sizeof(*a));

	assert(a);
	*a = (struct parcel){.waits = 1, .type = type, .flags = flags, .length = length};
	a->bytes = bytes;
	a->run = run;
	mb->queue_bytes += bytes ? COPY_BYTES(length) : 0;
	return a;
}

/* The peer has read its oldest block, or never will. */
static void flight_land(struct mailbox *mb, struct peer *p)
{
	struct parcel *a = fifo_first(&p->flight).parcel;

	assert(a->flights > 0);
	a->flights--;
	p->flight_pages -= a->run.n;
	fifo_pop(&p->flight);
	parcel_free_unused(mb, a);
}

/* True if it asks for room now and did not before. */
static bool want_room(struct peer *p, bool want)
{
	if (p->wants_room == want)
		return false;
	p->wants_room = want;
	atomic_store_explicit(&p->mine->want_room, want, memory_order_relaxed);
	return want;
}

void mailbox_out_forget(struct mailbox *mb, struct peer *p)
{
	uint64_t messages = p->queue.n, bytes = p->queue_bytes;

	while (p->queue.n) {
		parcel_waits_less(mb, fifo_first(&p->queue).parcel);
		mb->queue_bytes -= PLACE_BYTES;
		fifo_pop(&p->queue);
	}
	while (p->flight.n) {
		flight_land(mb, p);
	}
	p->queue_bytes = 0;
	p->in_adopted = false;
	mailbox_set_del(&mb->busy, peer_index(mb, p));
	if (mb->starving == peer_index(mb, p))
		mb->starving = NOBODY;
	atomic_store_explicit(&p->mine->session, 0, memory_order_release);
	want_room(p, false);
	mb->stats.dropped += messages;
	if (messages && mb->events.on_dropped)
		mb->events.on_dropped(mb->events.ctx, peer_index(mb, p), messages, bytes);
	congestion_update(mb);
}

/* ---- sending ----------------------------------------------------------------------------- */

void mailbox_out_refresh(struct mailbox *mb, struct peer *p)
{
	uint64_t session = session_out(mb, p);

	if (atomic_load_explicit(&p->theirs->in_session, memory_order_acquire) != session)
		return; /* it has not begun to read */
	uint64_t tail = atomic_load_explicit(&p->theirs->tail, memory_order_acquire);
	if (atomic_load_explicit(&p->theirs->in_session, memory_order_relaxed) != session)
		return;
	if (tail - p->tail > p->head - p->tail || tail % 8) {
		mailbox_peer_bad(mb, p, "its tail is outside of what was sent");
		return;
	}
	p->tail = tail;
	while (p->flight.n && (int64_t)(tail - fifo_first(&p->flight).end) >= 0) {
		flight_land(mb, p);
	}
	if (!p->queue.n && !p->flight.n) {
		mailbox_set_del(&mb->busy, peer_index(mb, p));
		want_room(p, false);
	}
}

static uint64_t entry_bytes(const struct mailbox *mb, uint64_t length)
{
	bool big = length > small_max(mb);
	return sizeof(struct ring_entry) + (big ? sizeof(struct block_ref) : pad8(length));
}

static uint32_t block_pages(uint64_t length)
{
	return (uint32_t)((length + ARENA_PAGE - 1) / ARENA_PAGE);
}

/* Room in the ring; and one peer's unread blocks take at most half of the arena, so that a single
 * peer that hangs does not stop the large messages to all the others. */
static bool has_room(const struct mailbox *mb, const struct peer *p, uint64_t length)
{
	if (length > small_max(mb) && p->flight_pages + block_pages(length) > mb->arena.n_pages / 2)
		return false;
	return mb->plan.ring_bytes - (p->head - p->tail) >= entry_bytes(mb, length);
}

/* Room for a message right now, nothing queued before it. May find the peer bad. */
static bool is_ready(struct mailbox *mb, struct peer *p, uint64_t length)
{
	if (p->queue.n)
		return false;
	if (!has_room(mb, p, length))
		mailbox_out_refresh(mb, p);
	return p->state == PEER_UP && has_room(mb, p, length);
}

static void put(struct mailbox *mb, struct peer *p, struct ring_entry entry,
		const struct bytes *parts, size_t n_parts)
{
	uint8_t *at = p->out + (p->head & (mb->plan.ring_bytes - 1));

	memcpy(at, &entry, sizeof(entry));
	gather(at + sizeof(entry), parts, n_parts);
	p->head += sizeof(entry) + pad8(entry.length);
	atomic_store_explicit(&p->mine->head, p->head, memory_order_release);
	mailbox_set_add(&mb->told, peer_index(mb, p));
	mb->stats.sent++;
}

static void put_block(struct mailbox *mb, struct peer *p, struct parcel *a)
{
	struct block_ref ref = {.at = (uint64_t)a->run.at * ARENA_PAGE, .length = a->length};
	struct ring_entry entry = {
		.length = sizeof(ref), .type = a->type, .flags = a->flags | ENTRY_BLOCK};

	put(mb, p, entry, &BYTES(&ref, sizeof(ref)), 1);
	a->flights++;
	p->flight_pages += a->run.n;
	fifo_push(&p->flight, (struct place){.parcel = a, .end = p->head});
	mailbox_set_add(&mb->busy, peer_index(mb, p));
	mb->stats.sent_bytes += a->length;
	mb->stats.blocks_ever++;
}

static void put_small(struct mailbox *mb, struct peer *p, uint16_t type, uint16_t flags,
		      uint64_t length, const struct bytes *parts, size_t n_parts)
{
	struct ring_entry entry = {.length = (uint32_t)length, .type = type, .flags = flags};

	put(mb, p, entry, parts, n_parts);
	mb->stats.sent_bytes += length;
}

/* Something waits for pages of the arena, and whoever holds blocks can give them. */
static void want_arena(struct mailbox *mb)
{
	FOR_EACH_MEMBER(k, &mb->busy)
	if (mb->peers[k].flight.n)
		want_room(&mb->peers[k], true);
}

static void enqueue(struct mailbox *mb, struct peer *p, struct parcel *a)
{
	a->waits++;
	fifo_push(&p->queue, (struct place){.parcel = a});
	p->queue_bytes += a->length;
	mb->queue_bytes += PLACE_BYTES;
	mb->stats.queued_ever++;
	mailbox_set_add(&mb->busy, peer_index(mb, p));
	want_room(p, true);
	if (p->queue_bytes > MAILBOX_STUCK_FACTOR * mb->queue_bound)
		mailbox_peer_bad(mb, p, "it does not read what it is sent");
}

/* Pages for a new message, unless somebody waits for pages already. Blocks that have been read are
 * looked for only when none are free. */
static bool block_alloc(struct mailbox *mb, uint64_t length, struct arena_run *run)
{
	if (mb->starving != NOBODY)
		return false;
	if (arena_alloc(&mb->arena, length, run))
		return true;
	FOR_EACH_MEMBER(k, &mb->busy)
	if (mb->peers[k].flight.n)
		mailbox_out_refresh(mb, &mb->peers[k]);
	if (arena_alloc(&mb->arena, length, run))
		return true;
	want_arena(mb);
	return false;
}

/* The slow way, for blocks and for what must wait: one copy, shared by all who get it, and one block
 * for those in `ready`, whose rings have room. What waits never holds pages: they would be held by
 * a message behind one that needs pages, and neither would ever move. */
static enum mailbox_result send_parcel(struct mailbox *mb, const struct mailbox_set *peers,
				       const struct mailbox_set *ready, uint16_t type,
				       uint16_t flags, const struct bytes *parts, size_t n_parts,
				       uint64_t length, enum mailbox_class class)
{
	bool big = length > small_max(mb);
	struct arena_run run = {0, 0};
	uint8_t *bytes = NULL;
	uint64_t waits = 0;

	bool in_arena = big && block_alloc(mb, length, &run);
	bool may_go = in_arena || !big;
	FOR_EACH_MEMBER(k, peers)
	if (mb->peers[k].state == PEER_UP)
		waits += !may_go || !mailbox_set_has(ready, k);
	if (waits) {
		bytes = malloc(length ? length : 1);
		assert(bytes || class == MAILBOX_MAY_REFUSE);
	}
	uint64_t cost = waits * PLACE_BYTES + COPY_BYTES(length);
	if (waits && class == MAILBOX_MAY_REFUSE &&
	    (!bytes || mb->queue_bytes + cost > mb->queue_bound)) {
		free(bytes);
		if (in_arena)
			arena_free(&mb->arena, run);
		mb->stats.refused++;
		return MAILBOX_OVERLOADED;
	}

	if (in_arena)
		gather(arena_ptr(&mb->arena, run), parts, n_parts);
	if (bytes)
		gather(bytes, parts, n_parts);
	struct parcel *a = parcel_new(mb, type, flags, length, bytes, run);
	FOR_EACH_MEMBER(k, peers)
	{
		struct peer *p = &mb->peers[k];
		if (p->state != PEER_UP)
			mb->stats.dropped++;
		else if (!may_go || !mailbox_set_has(ready, k))
			enqueue(mb, p, a);
		else if (in_arena)
			put_block(mb, p, a);
		else
			put_small(mb, p, type, flags, length, parts, n_parts);
	}
	parcel_waits_less(mb, a);
	congestion_update(mb);
	return MAILBOX_OK;
}

static uint64_t length_of(const struct bytes *parts, size_t n_parts)
{
	uint64_t length = 0;

	for (size_t i = 0; i < n_parts; i++) {
		assert(parts[i].n <= SIZE_MAX / 2 && length <= SIZE_MAX / 2);
		length += parts[i].n;
	}
	return length;
}

enum mailbox_result mailbox_send_many(struct mailbox *mb, const struct mailbox_set *peers,
				      uint16_t type, uint16_t flags, const struct bytes *parts,
				      size_t n_parts, enum mailbox_class class)
{
	uint64_t length = length_of(parts, n_parts);
	struct mailbox_set ready = {{0}};
	bool all_ready = true;

	assert(type != 0 && !(flags & ~MAILBOX_FLAGS_MASK));
	if (length > mailbox_message_max(mb))
		return MAILBOX_TOO_BIG;
	FOR_EACH_MEMBER(k, peers)
	{
		struct peer *p = mailbox_peer(mb, k);
		if (p->state != PEER_UP)
			continue;
		if (is_ready(mb, p, length))
			mailbox_set_add(&ready, k);
		else
			all_ready = false;
	}
	if (!all_ready || length > small_max(mb))
		return send_parcel(mb, peers, &ready, type, flags, parts, n_parts, length, class);
	FOR_EACH_MEMBER(k, peers)
	{
		if (mailbox_set_has(&ready, k))
			put_small(mb, &mb->peers[k], type, flags, length, parts, n_parts);
		else
			mb->stats.dropped++;
	}
	return MAILBOX_OK;
}

enum mailbox_result mailbox_send(struct mailbox *mb, uint32_t peer, uint16_t type, uint16_t flags,
				 const struct bytes *parts, size_t n_parts,
				 enum mailbox_class class)
{
	struct peer *p = mailbox_peer(mb, peer);
	uint64_t length = length_of(parts, n_parts);

	if (p->state == PEER_UP && length <= small_max(mb) && is_ready(mb, p, length)) {
		assert(type != 0 && !(flags & ~MAILBOX_FLAGS_MASK));
		put_small(mb, p, type, flags, length, parts, n_parts);
		return MAILBOX_OK;
	}
	struct mailbox_set one = {{0}};
	mailbox_set_add(&one, peer);
	return mailbox_send_many(mb, &one, type, flags, parts, n_parts, class);
}

/* ---- what waits moves on ------------------------------------------------------------------- */

/* A block for a message that waited. Tails have been looked at just before, by mailbox_out_flush():
 * here nobody can turn out to be bad. */
static bool parcel_to_arena(struct mailbox *mb, struct peer *p, struct parcel *a)
{
	if (a->run.n)
		return true;
	if ((mb->starving != NOBODY && mb->starving != peer_index(mb, p)) ||
	    !arena_alloc(&mb->arena, a->length, &a->run)) {
		if (mb->starving == NOBODY)
			mb->starving = peer_index(mb, p);
		return false;
	}
	memcpy(arena_ptr(&mb->arena, a->run), a->bytes, a->length);
	mb->starving = NOBODY;
	return true;
}

enum step { STEP_MOVED, STEP_NO_ROOM, STEP_NO_PAGES };

/* Moves the first message of a queue into the ring, or says what it waits for. */
static enum step queue_step(struct mailbox *mb, struct peer *p)
{
	struct parcel *a = fifo_first(&p->queue).parcel;

	if (!has_room(mb, p, a->length))
		return STEP_NO_ROOM;
	if (a->length <= small_max(mb)) {
		put_small(mb, p, a->type, a->flags, a->length, &BYTES(a->bytes, a->length), 1);
	} else {
		if (!parcel_to_arena(mb, p, a))
			return STEP_NO_PAGES;
		put_block(mb, p, a);
	}
	fifo_pop(&p->queue);
	p->queue_bytes -= a->length;
	mb->queue_bytes -= PLACE_BYTES;
	parcel_waits_less(mb, a);
	return STEP_MOVED;
}

/* Moves what can be moved of one queue. True if anything did; *step is what stopped it. */
static bool queue_run(struct mailbox *mb, struct peer *p, enum step *step)
{
	bool moved = false;

	*step = STEP_MOVED;
	while (p->queue.n && (*step = queue_step(mb, p)) == STEP_MOVED)
		moved = true;
	return moved;
}

/* Who goes to sleep relies on what it asked for before its fence (mailbox_sleep_begin). So a wish
 * that stays is not withdrawn on the way, and a new one is reported as if something had moved. */
bool mailbox_out_flush(struct mailbox *mb)
{
	struct mailbox_set busy = mb->busy;
	bool moved = false, no_pages = false, wish = false;
	enum step step;

	FOR_EACH_MEMBER(k, &busy)
	mailbox_out_refresh(mb, &mb->peers[k]);
	busy = mb->busy;
	if (mb->starving != NOBODY)
		moved = queue_run(mb, &mb->peers[mb->starving], &step);
	FOR_EACH_MEMBER(k, &busy)
	{
		struct peer *p = &mb->peers[k];
		moved |= queue_run(mb, p, &step);
		no_pages |= step == STEP_NO_PAGES;
		if (step == STEP_NO_ROOM)
			wish |= want_room(p, true);
	}
	FOR_EACH_MEMBER(k, &busy)
	{
		struct peer *p = &mb->peers[k];
		if (!p->queue.n)
			wish |= want_room(p, no_pages && p->flight.n);
	}
	congestion_update(mb);
	return moved || wish;
}

void mailbox_flush(struct mailbox *mb)
{
	mailbox_out_flush(mb);
}

bool mailbox_congested(const struct mailbox *mb)
{
	return mb->congested;
}

uint64_t mailbox_queued(const struct mailbox *mb, uint32_t peer)
{
	return mb->peers[peer].queue_bytes;
}
