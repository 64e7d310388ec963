/* SPDX-License-Identifier: BSD-2-Clause */
/* worker.h - one process per core, and all that it owns.
 *
 *        ┌─ libevent: listeners · mailbox eventfd · keeper channel · tick timer ─┐
 *        │                      └► the epoll set: all conns behind one event      │
 *        ▼                                                                       │
 *    conns speak ─► mailbox drained ─► fan-out slices ─► write batch out ─► kick ─┘
 *
 * That is one turn (loop.c). A conn costs no struct event: its descriptor sits in a raw
 * epoll set that libevent watches as one descriptor.
 *
 * The state below is touched by this process only; what others may see goes
 * through the mailbox. Modules above conn take `struct worker *` first and reach
 * their own part through it.
 *
 * Members of the mailbox: workers are 0 … n_workers-1, the admin worker is n_workers.
 * It runs the same loop without listeners. */
#ifndef SLUICE_WORKER_WORKER_H
#define SLUICE_WORKER_WORKER_H

#include <event2/event.h>

#include "base/pool.h"
#include "base/tally.h"
#include "base/wheel.h"
#include "config/config.h"
#include "conn/conn.h"
#include "conn/ring.h"
#include "conn/slab.h"

struct admin;
struct backlogs;
struct batch;
struct census;
struct conn_list;
struct door;
struct engine;
struct engine_ops;
struct fanout;
struct hub;
struct listener;
struct mailbox;
struct stops;
struct tls;
struct tls_denied;
struct tls_tickets;
struct ws_deflate;

#define WORKER_TICK_MS  128         /* of the timer wheel */
#define WORKER_SCRATCH  (64u << 10) /* one read(2), one opened record run */
#define WORKER_HEADROOM 256u
#define WORKER_TURN_NS  2000000u /* what fan-out may use of a turn */

/* Counters of this life of the worker; read by the admin worker's query. */
struct worker_stats {
	uint64_t accepted, refused;
	uint64_t closed[CLOSE_REASONS];
	uint64_t handshakes, handshakes_failed, handshakes_resumed;
	uint64_t client_certificates_refused; /* why is in the log */
	uint64_t key_updates;                 /* asleep: of both directions */
	uint64_t alerts_in, alerts_out;       /* but for close_notify */
	uint64_t http_requests;
	uint64_t upgrades;
	uint64_t frames_in, messages_in, bytes_in;
	uint64_t deliveries, writes, bytes_out;
	uint64_t dropped, conflated; /* deliveries that slow readers did without */
	uint64_t deflated, deflated_from_bytes,
		deflated_to_bytes; /* each once for all who hear it */
	uint64_t inflated, inflations_refused;
	uint64_t publications, overloaded;
	uint64_t turns;
};

/* What the keeper hands to a new process; see keeper/keeper.h. */
struct worker_start {
	unsigned id, n_workers;
	uint32_t incarnation;     /* lives of this member so far, from 1 */
	const struct config *cfg; /* inherited by the fork */
	int slab_fd;
	uint32_t slab_max;
	int keeper_fd;                  /* SOCK_SEQPACKET, messages of keeper/channel.h */
	const int *listener_fds;        /* one per config listener, this worker's own */
	struct mailbox *mailbox;        /* attached already */
	int control_fd;                 /* admin worker: the listening control socket, else -1 */
	uint8_t hash_key[16];           /* of channel names; the same in all workers */
	const struct tls_material *tls; /* keys and certificates as bytes, read by the keeper */
	const struct tls_tickets *tickets;
	bool ktls; /* it is wanted, and the kernel has it */
	const struct tls_denied *denied;
	int keylog_fd;           /* debugging: secrets of sessions go there; -1: nowhere */
	uint64_t tls_generation; /* how often they were read anew */
	struct ring *ring;       /* NULL: there is none */
	const bool *member_up;   /* n_workers + 1 */
};

struct worker {
	unsigned id, n_workers;
	bool is_admin;
	const struct config *cfg; /* the keeper's, by fork; read-only */
	struct event_base *base;
	int set_fd; /* the epoll set of all conns */

	uint64_t now_ns;  /* monotonic, of this turn */
	uint64_t wall_ms; /* of this turn: what clients read as timestamp */
	uint32_t tick;    /* WORKER_TICK_MS since the worker began, from 1 */

	struct conn_slab slab;
	struct pool *pool;       /* unfinished things */
	struct pool *subs;       /* long subscription lists; max_subscriptions bounds each */
	struct pool *identities; /* who is a user: one buffer for each that is */
	struct pool *tails;      /* what sockets did not take; bounded on its own */
	struct wheel wheel;
	struct mailbox *mailbox;
	struct hub *hub;
	struct census *census; /* the admin worker has none */
	const struct engine_ops *engine_ops;
	struct engine *engine;
	struct fanout *fanout;
	struct batch *batch;
	struct backlogs *backlogs;
	struct ring *ring; /* NULL: all is written one by one */
	uint64_t cut
		[RING_WRITES]; /* gen << 32 | index of who lost bytes: ends once no conn is in hand */
	uint32_t n_cut;
	struct ws_deflate
		*deflate; /* of all conns with CONN_F_DEFLATE, and of all their messages */
	struct tls *tls;
	uint64_t tls_generation; /* certificates were read anew so often since the daemon began */
	struct tally *skipped;   /* fanout/backlog.h; NULL: nothing yet */
	struct stops *stops;     /* who types, by auto_stop; NULL: nobody has yet */
	struct door *door;       /* TLS handshakes; the admin worker has none */
	struct listener *listeners;
	struct admin *admin;           /* the admin worker only */
	struct offence_book *offences; /* NULL: nobody is told on */

	/* Each has WORKER_HEADROOM bytes in front, so that a layer can put the rest of
	 * last time before what has come now. */
	uint8_t *scratch_in;     /* WORKER_SCRATCH: what read(2) brought */
	uint8_t *scratch_plain;  /* WORKER_SCRATCH: what the TLS library has opened */
	uint8_t *scratch_record; /* a kept record's beginning and what came now */

	uint8_t hash_key[16];
	struct conn_list *partials; /* conns with something unfinished, oldest first */
	struct conn_list *waiting;  /* conns with a tail, first whose socket took nothing longest */
	struct http_site *site;     /* what the HTTP step knows of endpoints and pages */
	const struct conn_step *steps[CONN_STATES]; /* who reads bytes in which state */
	bool member_up[CONFIG_MAX_WORKERS + 1];
	bool read_stopped;       /* the mailbox is congested: publishers are not read */
	uint32_t n_read_stopped; /* conns with CONN_F_READ_STOP: those that spoke meanwhile */

	/* LEAVING: replaced by another sluiced; no listeners, and clients go one after the other */
	enum { WORKER_RUNNING, WORKER_LEAVING, WORKER_DRAINING, WORKER_DONE } phase;
	uint64_t shutdown_ns;         /* when draining must be over */
	uint64_t _leave_ns, _left_ns; /* when leaving began, when it is over and draining begins */
	enum close_reason shutdown_reason;

	struct worker_stats stats;
	struct event *_set_event, *_mailbox_event, *_keeper_event, *_tick_event;
	int _keeper_fd;
	uint64_t _busy_then; /* what had been done when the present quiet began */
	uint32_t _quiet_ticks;
	uint32_t _drain_at;  /* shutdown has told all conns below */
	uint32_t _resume_at; /* none below is stopped any more since the congestion ended */
	uint64_t _born_ns;
};

/* Runs until the keeper says stop or is gone; returns the process's exit code. */
int worker_main(const struct worker_start *start);

/* False: it went nowhere, the channel is full or gone. */
struct keeper_msg;
bool worker_tell_keeper(struct worker *w, const struct keeper_msg *m);
/* The same with a descriptor beside it, which stays the caller's. */
bool worker_hand_keeper(struct worker *w, const struct keeper_msg *m, int fd);

/* The same, gently: within three quarters of shutdown_timeout clients are told one after the other, and
 * handshakes and requests that have begun come to their end; then worker_drain(). */
void worker_leave(struct worker *w, enum close_reason reason);
/* Asks every client to go (close frame `reason`), stops listening, ends within
 * shutdown_timeout. */
void worker_drain(struct worker *w, enum close_reason reason);

static inline uint32_t worker_ticks(uint64_t ms)
{
	uint64_t t = (ms + WORKER_TICK_MS - 1) / WORKER_TICK_MS;
	return t ? (uint32_t)t : 1;
}

#endif
