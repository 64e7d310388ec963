/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox.c - rings between processes that do not trust each other and die now and then.
 *
 * One ring, from i to j. Everything left of the bar only i can write, everything right of it
 * only j; each reads the other's words and believes none of them.
 *
 *          outbox of i, lane j                  │        outbox of j, lane i
 *                                               │
 *   session  {gen i, gen j}, void: 0            │   in_session  whose tail this is
 *   start    where this session begins          │
 *   head     bytes written, ever growing  ──────┼─►  read up to here
 *   ring     ░░░░▓▓▓▓▓▓▓▓▓▓░░░░                 │
 *            may be written again up to  ◄──────┼──  tail  bytes read, ever growing
 *   want_room                                   │   naps   odd: j sleeps
 *
 * Messages. A message lies whole in the ring, or, above a quarter of the ring, in a block of i's
 * arena, and only a reference lies in the ring: the same block for all receivers. The block is free
 * again once each receiver's tail has passed its reference; who still holds one is written
 * down in private memory (`flight`), so that nobody can spoil a count. What finds no room waits
 * in `queue`, in order: once something waits for a peer, everything for that peer does.
 *
 * Sleeping. Two pairs of (store, full fence, load) against each other, as in Dekker's mutex:
 *
 *      i: head = ...; fence; naps of j odd? ─► kick       j: naps odd; fence; heads moved? ─► stay
 *      j: tail = ...; fence; want_room and naps of i odd? ─► kick
 *                                          i: want_room; naps odd; fence; tails moved? ─► stay
 *
 * One of the two always sees the other. Nobody pays for the fence per message: the sender's is in
 * mailbox_kick_all(), once per turn. naps counts, so that a sender kicks once per nap, however
 * many turns it has until the sleeper gets the CPU.
 *
 * Dying. The keeper alone knows who lives. k's generation g is dead:
 *
 *   keeper                       peer j                            successor of k
 *     │ reap: no more stores       │ reads, writes on, finds          │
 *     │ reset outbox of k:         │ sessions void, and waits:        │
 *     │   1. sessions := 0         │ no reading, no tail              │
 *     │   2. the rest := 0, holes  │                                  │
 *     ├─ "k is down" ─────────────►│ peer_down: drops queue, blocks;  │
 *     │                            │ lane k: session := 0             │
 *     ├─ fork, with all generations ────────────────────────────────► attach: lane j: start :=
 *     │                            │                                  │ head := 0, session :=
 *     │                            │                                  │ {g+1, gen j}
 *     ├─ "k lives as g+1" ────────►│ peer_restarted: lane k: start    │
 *     │                            │ := head, then session :=         │
 *     │                            │ {gen j, g+1}; expects            │
 *     │                            │ {g+1, gen j} from k              │
 *     │                            │                                  │
 *     │       reader of either ring: session as expected? tail := start, then in_session :=
 *     │       session, read on.  Sender of either: in_session as expected? then tail counts,
 *     │       else nothing has been read yet.
 *
 * A generation never comes back, so a session names one pair of lives. Every look at a word of
 * another member is session, word, session again: words of an earlier life, or half reset, go with
 * another session. A message is copied before the second look, so that even memory that became a
 * hole in mid-copy is thrown away and not delivered. So neither can a message of a dead life be
 * read by a successor, nor can a tail of a dead life free what was not read.
 *
 * Left aside: descriptors per pair instead of per member (2,600 for fifty workers; mapping
 * only the own ring gives most of the privacy), a pipe instead of the eventfd (a bad peer could
 * not steal wake-ups, but each kick costs more; the wait has a timeout anyway). */
#include "worker/mailbox_state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a peer that lies, dies and lives again ---------------------------------------------- */

void mailbox_peer_bad(struct mailbox *mb, struct peer *p, const char *why)
{
	p->state = PEER_BAD;
	mailbox_out_forget(mb, p);
	if (mb->events.on_bad)
		mb->events.on_bad(mb->events.ctx, peer_index(mb, p), why);
}

/* Begins a session in which nothing has been sent yet. */
static void peer_begin(struct mailbox *mb, struct peer *p, uint32_t generation)
{
	p->state = PEER_UP;
	p->generation = generation;
	p->kicked = 0;
	p->tail = p->head;
	p->in_adopted = false;
	atomic_store_explicit(&p->mine->start, p->head, memory_order_relaxed);
	atomic_store_explicit(&p->mine->session, session_out(mb, p), memory_order_release);
}

void mailbox_peer_down(struct mailbox *mb, uint32_t peer)
{
	struct peer *p = mailbox_peer(mb, peer);

	assert(!mb->draining);
	p->state = PEER_DOWN;
	mailbox_out_forget(mb, p);
}

void mailbox_peer_restarted(struct mailbox *mb, uint32_t peer, uint32_t generation)
{
	struct peer *p = mailbox_peer(mb, peer);

	assert(!mb->draining && generation != 0);
	if (p->state != PEER_DOWN && p->generation == generation)
		return;
	assert(generation > p->generation);
	mailbox_out_forget(mb, p);
	peer_begin(mb, p, generation);
}

bool mailbox_peer_is_up(const struct mailbox *mb, uint32_t peer)
{
	return mb->peers[peer].state == PEER_UP;
}

uint32_t mailbox_peer_generation(const struct mailbox *mb, uint32_t peer)
{
	return mb->peers[peer].generation;
}

/* ---- waking and sleeping --------------------------------------------------------------------- */

void mailbox_kick_all(struct mailbox *mb)
{
	struct mailbox_set told = mb->told, either = told;
	uint64_t any = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(either.w); i++)
		any |= either.w[i] |= mb->heard.w[i];
	if (!any)
		return;
	mb->told = mb->heard = (struct mailbox_set){{0}};
	atomic_thread_fence(memory_order_seq_cst);
	FOR_EACH_MEMBER(k, &either)
	{
		struct peer *p = &mb->peers[k];
		if (p->state != PEER_UP)
			continue;
		uint64_t nap = atomic_load_explicit(&p->box->naps, memory_order_relaxed);
		if (nap % 2 == 0 || nap == p->kicked)
			continue;
		if (!mailbox_set_has(&told, k) &&
		    !atomic_load_explicit(&p->theirs->want_room, memory_order_relaxed))
			continue;
		p->kicked = nap;
		mb->stats.kicks++;
		(void)!write(p->event_fd, &(uint64_t){1}, sizeof(uint64_t));
	}
}

bool mailbox_sleep_begin(struct mailbox *mb)
{
	bool pending = false;

	mailbox_kick_all(mb);
	if (!mb->asleep) {
		mb->asleep = true;
		atomic_fetch_add(&mb->box->naps, 1);
	}
	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t k = 0; k < mb->plan.n_members && !pending; k++)
		pending = k != mb->self && mailbox_in_pending(mb, &mb->peers[k]);
	pending |= mailbox_out_flush(mb);
	if (pending)
		mailbox_sleep_end(mb);
	return pending;
}

void mailbox_sleep_end(struct mailbox *mb)
{
	if (!mb->asleep)
		return;
	mb->asleep = false;
	atomic_fetch_add(&mb->box->naps, 1);
}

int mailbox_event_fd(const struct mailbox *mb)
{
	return mb->event_fd;
}

void mailbox_woken(struct mailbox *mb)
{
	uint64_t count;

	mailbox_sleep_end(mb);
	(void)!read(mb->event_fd, &count, sizeof(count));
}

/* ---- coming and going ------------------------------------------------------------------------ */

uint32_t mailbox_self(const struct mailbox *mb)
{
	return mb->self;
}

uint32_t mailbox_members(const struct mailbox *mb)
{
	return mb->plan.n_members;
}

size_t mailbox_message_max(const struct mailbox *mb)
{
	return mb->plan.arena_bytes / 2;
}

void mailbox_set_events(struct mailbox *mb, const struct mailbox_events *events)
{
	mb->events = *events;
}

struct mailbox *mailbox_new(const struct mailbox_plan *plan, uint32_t self,
			    const uint32_t generation[], const struct mailbox_ends ends[],
			    uint64_t queue_bytes, const struct outbox_map maps[])
{
	size_t size = sizeof(struct mailbox) + plan->n_members * sizeof(struct peer);
	struct mailbox *mb = calloc(1, size);

	if (!mb)
		return NULL;
	mb->plan = *plan;
	mb->self = self;
	mb->generation = generation[self];
	mb->box = maps[self].box;
	mb->event_fd = ends[self].event_fd;
	mb->queue_bound = queue_bytes;
	mb->starving = NOBODY;
	mb->scratch = aligned_alloc(64, plan->ring_bytes / 4);
	if (!mb->scratch || !arena_init(&mb->arena, maps[self].arena, plan->arena_bytes)) {
		free(mb->scratch);
		free(mb);
		return NULL;
	}
	for (uint32_t k = 0; k < plan->n_members; k++) {
		struct peer *p = &mb->peers[k];
		if (k == self)
			continue;
		p->event_fd = ends[k].event_fd;
		p->mine = &maps[self].box->lanes[k];
		p->theirs = &maps[k].box->lanes[self];
		p->box = maps[k].box;
		p->out = maps[self].ring[k];
		p->in = maps[k].ring[self];
		p->in_arena = maps[k].arena;
		if (generation[k])
			peer_begin(mb, p, generation[k]);
	}
	return mb;
}

static bool is_fresh(const struct outbox_map *map, uint32_t n_members)
{
	for (uint32_t k = 0; k < n_members; k++)
		if (map->box->lanes[k].session || map->box->lanes[k].head)
			return false;
	return true;
}

struct mailbox *mailbox_attach(const struct mailbox_plan *plan, uint32_t self,
			       const uint32_t generation[], const struct mailbox_ends ends[],
			       uint64_t queue_bytes)
{
	assert(self < plan->n_members && generation[self] != 0);
	struct outbox_map *maps = calloc(plan->n_members, sizeof(*maps));
	struct mailbox *mb = NULL;
	int err = maps ? 0 : -ENOMEM;

	for (uint32_t k = 0; k < plan->n_members && !err; k++)
		err = outbox_map(plan, k == self ? ends[k].rw_fd : ends[k].ro_fd, k == self,
				 k == self ? OUTBOX_ALL_RINGS : self, &maps[k]);
	if (!err && !is_fresh(&maps[self], plan->n_members))
		err = -EBUSY; /* the keeper resets it before it starts a successor */
	if (!err) {
		mb = mailbox_new(plan, self, generation, ends, queue_bytes, maps);
		err = mb ? 0 : -ENOMEM;
	}
	if (err) {
		for (uint32_t k = 0; maps && k < plan->n_members; k++)
			outbox_unmap(plan, &maps[k]);
		free(maps);
		errno = -err;
		return NULL;
	}
	mb->maps = maps;
	return mb;
}

void mailbox_detach(struct mailbox *mb)
{
	if (!mb)
		return;
	mb->events = (struct mailbox_events){0};
	for (uint32_t k = 0; k < mb->plan.n_members; k++) {
		struct peer *p = &mb->peers[k];
		if (k != mb->self)
			mailbox_out_forget(mb, p);
		free(p->queue.v);
		free(p->flight.v);
	}
	for (uint32_t k = 0; mb->maps && k < mb->plan.n_members; k++)
		outbox_unmap(&mb->plan, &mb->maps[k]);
	arena_fini(&mb->arena);
	free(mb->maps);
	free(mb->scratch);
	free(mb->big);
	free(mb);
}

void mailbox_trim(struct mailbox *mb)
{
	struct mailbox_set busy = mb->busy;

	FOR_EACH_MEMBER(k, &busy)
	mailbox_out_refresh(mb, &mb->peers[k]);
	arena_trim(&mb->arena);
	mailbox_in_trim(mb, 0);
}

void mailbox_stats(const struct mailbox *mb, struct mailbox_stats *out)
{
	*out = mb->stats;
	out->queue_bytes = mb->queue_bytes;
	out->arena_bytes = (uint64_t)mb->arena.used_pages * ARENA_PAGE;
}
