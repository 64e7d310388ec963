/* SPDX-License-Identifier: BSD-2-Clause */
/* mailbox.h - how one process hands messages to another.
 *
 * Every worker, and the admin worker, is a *member*. A member writes all that it has to say into
 * its own *outbox*, shared memory that it alone can write and the others can only read: towards
 * each peer a byte ring, how far it has read in each peer's ring towards itself, and an arena of
 * blocks for messages too large for a ring. So a member that was taken over can lie in its own
 * outbox and nowhere else; whoever reads one copies first and checks then, and a lie shuts that
 * peer's ring (on_bad), nothing more.
 *
 * Promises: messages of one pair arrive in order, each once and whole, or not at all when one of
 * the two dies or lies. Nothing is lost to a full ring: what does not fit waits in private memory,
 * which is bounded for those who may be told to come back later (MAILBOX_MAY_REFUSE).
 *
 * One loop turn of a member:
 *
 *	mailbox_drain(mb, fn, ctx, budget);      read what the others said
 *	... the rest of the turn, mailbox_send() wherever ...
 *	mailbox_flush(mb);                       queued messages into rings that have room again
 *	mailbox_kick_all(mb);                    wake those who sleep, once each
 *	if (!mailbox_sleep_begin(mb))            true: something came in meanwhile, do not wait
 *		wait for events, mailbox_event_fd() among them
 *	mailbox_sleep_end(mb);
 *
 * The generations and what happens when a member dies are drawn in mailbox.c. A mailbox
 * belongs to one thread; none of these functions blocks. */
#ifndef SLUICE_WORKER_MAILBOX_H
#define SLUICE_WORKER_MAILBOX_H

#include "base/bytes.h"

#define MAILBOX_MEMBERS_MAX  256u
#define MAILBOX_RING_MIN     (16u << 10)
#define MAILBOX_RING_MAX     (1u << 20)
#define MAILBOX_BUDGET_BYTES (64u << 20)  /* default for all rings together */
#define MAILBOX_ARENA_BYTES  (256u << 20) /* default, per member, sparse */
#define MAILBOX_QUEUE_BYTES  (64u << 20)  /* default bound of a member's private queues */
#define MAILBOX_STUCK_FACTOR 4u           /* times that bound for one peer: it is bad */

/* ---- for the keeper --------------------------------------------------------------------- */

/* The geometry of every outbox, the same in all processes. Read it, do not change it. */
struct mailbox_plan {
	uint32_t n_members;
	uint32_t ring_bytes;  /* a power of two */
	uint64_t arena_bytes; /* a multiple of the page; half of it is the largest message */
	uint64_t rings_at;    /* offsets in the memfd */
	uint64_t arena_at;
	uint64_t outbox_bytes; /* its size; memory is used only where something was written */
};

/* The descriptors of one member, all close-on-exec. */
struct mailbox_ends {
	int rw_fd;    /* the outbox, for the member and the keeper only */
	int ro_fd;    /* the same, opened so that no mapping of it can become writable */
	int event_fd; /* wakes the member; non-blocking */
};

/* 2 <= n_members <= MAILBOX_MEMBERS_MAX. 0; -EINVAL; -ENOTSUP where pages are not
 * 4 KiB; -ENOSPC when `budget_bytes` does not give each pair MAILBOX_RING_MIN (the default budget
 * is enough for 64 members). */
int mailbox_plan(struct mailbox_plan *plan, uint32_t n_members, uint64_t budget_bytes,
		 uint64_t arena_bytes);

/* Makes one member's shared memory and descriptors; the caller owns them. The size is sealed, so
 * that nobody can pull the memory away from under its readers. 0 or a negative errno. */
int mailbox_ends_open(const struct mailbox_plan *plan, struct mailbox_ends *ends);
void mailbox_ends_close(struct mailbox_ends *ends);

/* After the member has died and been reaped, before its successor starts and before the peers are
 * told: makes everything in its outbox void, without reading any of it, and gives the memory
 * back. Also right for a fresh one. 0 or a negative errno. */
int mailbox_outbox_reset(const struct mailbox_plan *plan, const struct mailbox_ends *ends);

/* ---- for a member ----------------------------------------------------------------------- */

struct mailbox; /* opaque; made by mailbox_attach() */

enum mailbox_class {
	MAILBOX_MUST,       /* answers, subscribes, deliveries: always taken; bounded elsewhere */
	MAILBOX_MAY_REFUSE, /* new publications of clients */
};

enum mailbox_result {
	MAILBOX_OK,         /* in the ring, or queued, or dropped because the peer is down */
	MAILBOX_OVERLOADED, /* MAY_REFUSE only: the queues are full; nothing went to anybody */
	MAILBOX_TOO_BIG,    /* larger than mailbox_message_max(); nothing went to anybody */
};

/* What the mailbox tells its owner. All may be NULL. They may be called from within any function
 * below that takes a mailbox which is not const, and must not call any such function. */
struct mailbox_events {
	/* `peer` wrote what no honest member writes, or reads so little that even what may not be
	 * refused piles up beyond all bounds: its messages are no longer read and what is sent to
	 * it is dropped, until mailbox_peer_restarted(). `why` is a constant string. Tell the
	 * keeper, who should end it. */
	void (*on_bad)(void *ctx, uint32_t peer, const char *why);
	/* Messages that had been taken and will never arrive, because the peer went down or bad.
	 * (More may be lost in its ring; only it knew how many it had read.) */
	void (*on_dropped)(void *ctx, uint32_t peer, uint64_t messages, uint64_t bytes);
	/* mailbox_congested() has changed. */
	void (*on_congestion)(void *ctx, bool congested);
	void *ctx;
};

struct mailbox_stats {
	uint64_t sent, sent_bytes; /* per receiver, in rings or by block */
	uint64_t received, received_bytes;
	uint64_t queued_ever; /* messages that had to wait in private memory */
	uint64_t refused;     /* MAILBOX_OVERLOADED answers */
	uint64_t dropped;     /* for peers down or bad */
	uint64_t blocks_ever; /* messages that went by reference */
	uint64_t kicks;       /* eventfd writes */
	uint64_t queue_bytes; /* now */
	uint64_t arena_bytes; /* now in use, whole pages */
};

/* A set of members, for a message to several at once. */
struct mailbox_set {
	uint64_t w[MAILBOX_MEMBERS_MAX / 64];
};

static inline void mailbox_set_add(struct mailbox_set *s, uint32_t peer)
{
	s->w[peer / 64] |= (uint64_t)1 << (peer % 64);
}

static inline void mailbox_set_del(struct mailbox_set *s, uint32_t peer)
{
	s->w[peer / 64] &= ~((uint64_t)1 << (peer % 64));
}

static inline bool mailbox_set_has(const struct mailbox_set *s, uint32_t peer)
{
	return s->w[peer / 64] >> (peer % 64) & 1;
}

/* Joins as member `self`, whose outbox is fresh or reset. `generation[k]` counts the lives of
 * member k from 1; 0 for one that is down (not for self). `ends[k]` are all members' descriptors:
 * ends[self].rw_fd is used, of the others ro_fd, and every event_fd. Afterwards the memory
 * descriptors may and should be closed by the caller; the event_fds stay the caller's and must
 * stay open. `queue_bytes` bounds the private queues. NULL with errno set on failure. */
struct mailbox *mailbox_attach(const struct mailbox_plan *plan, uint32_t self,
			       const uint32_t generation[], const struct mailbox_ends ends[],
			       uint64_t queue_bytes);
/* Copied; before it is called nobody is told. */
void mailbox_set_events(struct mailbox *mb, const struct mailbox_events *events);
/* Unmaps and frees; what the peers have not read yet is lost. For a clean exit and for tests. */
void mailbox_detach(struct mailbox *mb);

uint32_t mailbox_self(const struct mailbox *mb);
uint32_t mailbox_members(const struct mailbox *mb);
size_t mailbox_message_max(const struct mailbox *mb);

/* Sends the parts, one after the other, as one message; they are copied before it returns. `type`
 * and `flags` are the caller's, but type 0 is reserved and so is the top bit of flags. `peer` is
 * not self. The receiver may hear of it only after mailbox_kick_all(). */
#define MAILBOX_FLAGS_MASK 0x7fffu
enum mailbox_result mailbox_send(struct mailbox *mb, uint32_t peer, uint16_t type, uint16_t flags,
				 const struct bytes *parts, size_t n_parts,
				 enum mailbox_class class);
/* The same message to every member of the set (self is not in it): to all, or refused to all. */
enum mailbox_result mailbox_send_many(struct mailbox *mb, const struct mailbox_set *peers,
				      uint16_t type, uint16_t flags, const struct bytes *parts,
				      size_t n_parts, enum mailbox_class class);

/* Called per message. `data` is private memory, good until the callback returns, 8-byte
 * aligned; its content is whatever the peer wrote: check every field. It may send. */
typedef void mailbox_fn(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data);

/* Delivers what has arrived, the peers taking turns, until nothing is left or `budget_bytes` have
 * been delivered (a message in hand is finished; headers count). Returns the number of
 * messages. Not from within a callback. */
size_t mailbox_drain(struct mailbox *mb, mailbox_fn *fn, void *ctx, size_t budget_bytes);

/* Moves queued messages on as far as the rings have room. */
void mailbox_flush(struct mailbox *mb);
/* At the end of a turn: wakes each peer that sleeps and has something new, or waits for room. */
void mailbox_kick_all(struct mailbox *mb);

/* Announces that this member is about to wait. True: there is something to do already, and the
 * announcement is withdrawn; do a turn instead. mailbox_sleep_end() after every wait, the sooner
 * the fewer needless kicks; mailbox_woken() implies it. */
bool mailbox_sleep_begin(struct mailbox *mb);
void mailbox_sleep_end(struct mailbox *mb);
/* Readable when a peer kicked. mailbox_woken() empties it: call it when it polls readable. A peer
 * that was taken over could empty it too, so never wait without a timeout. */
int mailbox_event_fd(const struct mailbox *mb);
void mailbox_woken(struct mailbox *mb);

/* More is queued than soon will be gone: stop reading from publishers until it is false again. */
bool mailbox_congested(const struct mailbox *mb);
/* Bytes waiting in private memory for one peer (a shared message counts for each). */
uint64_t mailbox_queued(const struct mailbox *mb, uint32_t peer);

/* The keeper said so: `peer` is gone for now (sends to it are dropped, and counted), or lives
 * again as `generation`, with nothing of what was sent to its earlier lives. A generation is
 * larger than all before it; hearing of the one that is up already changes nothing. Not from
 * within a callback. */
void mailbox_peer_down(struct mailbox *mb, uint32_t peer);
void mailbox_peer_restarted(struct mailbox *mb, uint32_t peer, uint32_t generation);
bool mailbox_peer_is_up(const struct mailbox *mb, uint32_t peer); /* neither down nor bad */
uint32_t mailbox_peer_generation(const struct mailbox *mb, uint32_t peer);

/* For a timer that finds the worker idle: unused arena pages and scratch memory go back. */
void mailbox_trim(struct mailbox *mb);
void mailbox_stats(const struct mailbox *mb, struct mailbox_stats *out);

#endif
