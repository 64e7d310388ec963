/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox_in.c - reading what others wrote, one look at every shared word.
 *
 * Whatever lies in a peer's outbox may change while we look at it. So a word is loaded once into
 * private memory, checked there and used from there; a payload is copied before anyone sees
 * it; and the session is looked at again after the copy, before the message counts. Sessions and
 * tails are explained in mailbox.c. */
#include "worker/mailbox_state.h"

#include <stdlib.h>

#define SCRATCH_KEEP (1u << 20) /* a larger one is freed after use */

/* One honest-looking stretch of a peer's ring: read from p->in_tail up to `head`. */
struct look {
	uint64_t session, head;
};

static bool same_session(const struct peer *p, uint64_t session)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&p->theirs->session, memory_order_relaxed) == session;
}

/* Where the peer's ring begins for us, once per session; then how far it goes. False: nothing
 * to read, or not the session we know of, or bad. */
static bool look_at(struct mailbox *mb, struct peer *p, struct look *l)
{
	l->session = session_in(mb, p);
	if (p->state != PEER_UP ||
	    atomic_load_explicit(&p->theirs->session, memory_order_acquire) != l->session)
		return false;
	uint64_t tail = p->in_adopted ?
				p->in_tail :
				atomic_load_explicit(&p->theirs->start, memory_order_relaxed);
	l->head = atomic_load_explicit(&p->theirs->head, memory_order_acquire);
	if (atomic_load_explicit(&p->theirs->session, memory_order_relaxed) != l->session)
		return false;
	if (l->head - tail > mb->plan.ring_bytes || l->head % 8 || tail % 8) {
		mailbox_peer_bad(mb, p, "its head is further ahead than the ring is long");
		return false;
	}
	if (!p->in_adopted) {
		p->in_tail = tail;
		p->in_adopted = true;
		atomic_store_explicit(&p->mine->tail, tail, memory_order_relaxed);
		atomic_store_explicit(&p->mine->in_session, l->session, memory_order_release);
	}
	return l->head != p->in_tail;
}

/* Private memory for a block; NULL: none to be had now. */
static uint8_t *big_scratch(struct mailbox *mb, size_t bytes)
{
	if (mb->big_bytes >= bytes)
		return mb->big;
	free(mb->big);
	mb->big = malloc(bytes);
	mb->big_bytes = mb->big ? bytes : 0;
	return mb->big;
}

void mailbox_in_trim(struct mailbox *mb, size_t keep)
{
	if (mb->big_bytes <= keep)
		return;
	free(mb->big);
	mb->big = NULL;
	mb->big_bytes = 0;
}

static uint64_t shared_word(const uint8_t *at)
{
	return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

enum take { TAKE_MESSAGE, TAKE_LATER, TAKE_LIE };

struct taken {
	struct ring_entry entry;
	struct bytes data;
};

/* Copies the entry at in_tail into private memory. Each shared word is read exactly once: what was
 * checked is what is used. */
static enum take take(struct mailbox *mb, struct peer *p, uint64_t avail, struct taken *t)
{
	const uint8_t *at = p->in + (p->in_tail & (mb->plan.ring_bytes - 1));
	uint64_t word = shared_word(at);

	memcpy(&t->entry, &word, sizeof(word));
	if (t->entry.type == 0 || t->entry.length > small_max(mb) ||
	    sizeof(t->entry) + pad8(t->entry.length) > avail)
		return TAKE_LIE;
	at += sizeof(t->entry);
	if (!(t->entry.flags & ENTRY_BLOCK)) {
		memcpy(mb->scratch, at, t->entry.length);
		t->data = BYTES(mb->scratch, t->entry.length);
		return TAKE_MESSAGE;
	}
	if (t->entry.length != sizeof(struct block_ref))
		return TAKE_LIE;
	struct block_ref ref = {.at = shared_word(at), .length = shared_word(at + 8)};
	if (ref.length <= small_max(mb) || ref.length > mailbox_message_max(mb) ||
	    ref.at > mb->plan.arena_bytes || ref.length > mb->plan.arena_bytes - ref.at)
		return TAKE_LIE;
	uint8_t *big = big_scratch(mb, ref.length);
	if (!big)
		return TAKE_LATER;
	memcpy(big, p->in_arena + ref.at, ref.length);
	t->data = BYTES(big, ref.length);
	t->entry.flags &= MAILBOX_FLAGS_MASK;
	return TAKE_MESSAGE;
}

/* Reads one peer's ring, at most about `budget` bytes. Returns the bytes delivered; *more tells
 * whether something is left. */
static size_t visit(struct mailbox *mb, struct peer *p, mailbox_fn *fn, void *ctx, size_t budget,
		    size_t *messages, bool *more)
{
	struct look l;
	struct taken t;
	size_t done = 0;
	enum take took = TAKE_MESSAGE;

	*more = false;
	if (!look_at(mb, p, &l))
		return 0;
	while (p->in_tail != l.head && done < budget) {
		took = take(mb, p, l.head - p->in_tail, &t);
		if (!same_session(p, l.session))
			return done; /* it died while we copied: nothing of this counts */
		if (took != TAKE_MESSAGE)
			break;
		p->in_tail += sizeof(t.entry) + pad8(t.entry.length);
		done += sizeof(t.entry) + t.data.n;
		++*messages;
		mb->stats.received++;
		mb->stats.received_bytes += t.data.n;
		fn(ctx, peer_index(mb, p), t.entry.type, t.entry.flags, t.data);
		if (p->state != PEER_UP)
			return done; /* sending to it has shown that it lies */
	}
	if (took == TAKE_LIE) {
		mailbox_peer_bad(mb, p, "its ring holds no message where one should begin");
		return done;
	}
	*more = took == TAKE_MESSAGE && p->in_tail != l.head;
	if (done) {
		atomic_store_explicit(&p->mine->tail, p->in_tail, memory_order_release);
		mailbox_set_add(&mb->heard, peer_index(mb, p));
	}
	return done;
}

size_t mailbox_drain(struct mailbox *mb, mailbox_fn *fn, void *ctx, size_t budget_bytes)
{
	struct mailbox_set left = {{0}};
	size_t messages = 0, done = 0, share = mb->plan.ring_bytes / 4;
	bool any = true;

	assert(!mb->draining);
	mb->draining = true;
	for (uint32_t k = 0; k < mb->plan.n_members; k++)
		if (k != mb->self)
			mailbox_set_add(&left, k);
	while (any && done < budget_bytes) {
		any = false;
		for (uint32_t i = 0; i < mb->plan.n_members && done < budget_bytes; i++) {
			uint32_t k = mb->turn;
			bool more;
			mb->turn = k + 1 < mb->plan.n_members ? k + 1 : 0;
			if (!mailbox_set_has(&left, k))
				continue;
			done += visit(mb, &mb->peers[k], fn, ctx, MIN(share, budget_bytes - done),
				      &messages, &more);
			if (!more)
				mailbox_set_del(&left, k);
			any |= more;
		}
	}
	mb->draining = false;
	mailbox_in_trim(mb, SCRATCH_KEEP);
	return messages;
}

bool mailbox_in_pending(struct mailbox *mb, struct peer *p)
{
	struct look l;
	return look_at(mb, p, &l);
}
