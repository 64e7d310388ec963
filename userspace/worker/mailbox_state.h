/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox_state.h - what a member remembers, in private memory. For mailbox.c (the story, who
 * lives, who sleeps), mailbox_out.c (sending) and mailbox_in.c (receiving) only, and their tests. */
#ifndef SLUICE_WORKER_MAILBOX_STATE_H
#define SLUICE_WORKER_MAILBOX_STATE_H

#include "worker/arena.h"
#include "worker/outbox.h"

/* A message that is in more than one place: a private copy for those in whose queue it waits, and
 * a block in the arena for those who have it in their ring and must still read it. */
struct parcel {
	uint32_t waits; /* places in queues, and one while it is being made */
	uint32_t flights;
	uint16_t type, flags;
	uint64_t length;
	uint8_t *bytes;       /* owned; while it waits somewhere */
	struct arena_run run; /* n > 0: while it is in flight somewhere */
};

struct place {
	struct parcel *parcel;
	uint64_t end; /* flight: free when the tail has come here */
};

struct fifo {
	struct place *v; /* owned */
	uint32_t cap, first, n;
};

enum peer_state { PEER_DOWN, PEER_UP, PEER_BAD };

struct peer {
	enum peer_state state;
	uint32_t generation;
	int event_fd;              /* not owned */
	uint64_t kicked;           /* the nap in which it was kicked last */
	struct lane *mine;         /* in my outbox, about it */
	const struct lane *theirs; /* in its outbox, about me */
	const struct outbox *box;  /* its outbox */
	/* the ring to it */
	uint8_t *out;
	uint64_t head, tail; /* tail: the last believable one */
	bool wants_room;     /* as mine->want_room says */
	struct fifo queue, flight;
	uint64_t queue_bytes; /* of the messages alone */
	uint32_t flight_pages;
	/* the ring from it */
	const uint8_t *in;
	const uint8_t *in_arena;
	uint64_t in_tail;
	bool in_adopted; /* in_tail belongs to this session */
};

#define NOBODY UINT32_MAX

struct mailbox {
	struct mailbox_plan plan;
	uint32_t self, generation;
	struct outbox *box; /* mine */
	struct arena arena;
	struct outbox_map *maps; /* owned, one per member; NULL: the mapping is not ours */
	struct mailbox_events events;
	struct mailbox_stats stats;
	uint64_t queue_bound, queue_bytes;
	bool congested, draining, asleep;
	int event_fd;
	struct mailbox_set told;  /* heads published since the last kicks */
	struct mailbox_set heard; /* tails published since the last kicks */
	struct mailbox_set busy;  /* queue or flight not empty */
	uint32_t starving;        /* whose queue waits for pages, and has the next free ones */
	uint32_t turn;            /* whose turn it is in the next drain */
	uint8_t *scratch;         /* owned, for a message of the ring */
	uint8_t *big;             /* owned, for a block */
	size_t big_bytes;
	struct peer peers[];
};

#define FOR_EACH_MEMBER(k, set)                                                                    \
	for (uint32_t w_ = 0; w_ < MAILBOX_MEMBERS_MAX / 64; w_++)                                 \
		for (uint64_t bits_ = (set)->w[w_]; bits_; bits_ &= bits_ - 1)                     \
			for (uint32_t k = w_ * 64 + (uint32_t)__builtin_ctzll(bits_), once_ = 1;   \
			     once_; once_ = 0)

static inline uint64_t pad8(uint64_t n)
{
	return (n + 7) & ~(uint64_t)7;
}

static inline uint64_t session_out(const struct mailbox *mb, const struct peer *p)
{
	return (uint64_t)mb->generation << 32 | p->generation;
}

static inline uint64_t session_in(const struct mailbox *mb, const struct peer *p)
{
	return (uint64_t)p->generation << 32 | mb->generation;
}

static inline uint32_t peer_index(const struct mailbox *mb, const struct peer *p)
{
	return (uint32_t)(p - mb->peers);
}

/* The largest message that goes into a ring itself. */
static inline uint64_t small_max(const struct mailbox *mb)
{
	return mb->plan.ring_bytes / 4 - sizeof(struct ring_entry);
}

static inline struct peer *mailbox_peer(struct mailbox *mb, uint32_t peer)
{
	assert(peer < mb->plan.n_members && peer != mb->self);
	return &mb->peers[peer];
}

/* mailbox.c */

/* maps[k]: of self with all rings and writable, of the others with the ring to self. The maps are
 * the caller's, unless it puts them into ->maps. */
struct mailbox *mailbox_new(const struct mailbox_plan *plan, uint32_t self,
			    const uint32_t generation[], const struct mailbox_ends ends[],
			    uint64_t queue_bytes, const struct outbox_map maps[]);
/* Shuts both rings of a peer that has written `why`. */
void mailbox_peer_bad(struct mailbox *mb, struct peer *p, const char *why);

/* mailbox_out.c */

/* Looks how far the peer has read, and frees the blocks that all have read. May find it bad. */
void mailbox_out_refresh(struct mailbox *mb, struct peer *p);
/* Moves what waits as far as there is room; true if something moved, or waits now for something
 * that it did not wait for before. */
bool mailbox_out_flush(struct mailbox *mb);
/* Drops what waits for a peer and takes back the blocks it might still have read. */
void mailbox_out_forget(struct mailbox *mb, struct peer *p);

/* mailbox_in.c */

/* True if there is something to read from the peer. May find it bad. */
bool mailbox_in_pending(struct mailbox *mb, struct peer *p);
/* Frees the scratch for blocks if it is larger than `keep`. */
void mailbox_in_trim(struct mailbox *mb, size_t keep);

#endif
