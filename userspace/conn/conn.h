/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.h - what Sluice has to remember of a client that says nothing.
 *
 * There are millions, nearly all asleep, so the price is written down:
 *
 *     256 bytes here, in the worker's slab
 *   +   2 bytes per subscription in the hub's bitmaps (dense sets: less)
 *   +   0 bytes of buffers or timers while it is idle
 *   + 128 bytes of TLS secrets and the like, in a side table of the worker
 *   (+ 2.6 kB for the SSL object of a TLS 1.2 connection, which cannot do without)
 *
 * A conn's name is its index in the slab, which is what the bitmaps hold. Nothing
 * here points into process-private memory, so that a conn can outlive the process:
 * buffers are pool handles, the timer is a link of indexes, the SSL object hangs in
 * a side table of the worker (tls.h) and is flagged.
 *
 * Everything a worker's conn holds is touched by that worker alone.
 *
 * State, and who reads the bytes that arrive in it:
 *
 *    FREE ─► HANDSHAKE ─► HTTP ─► OPEN ─► CLOSING ─► HELD ─► FREE
 *              (tls)     │ (http)  (ws)    (ws: only   ▲ no fan-out may name
 *                        │                 a close)    │ the slot any more
 *                        └► LINGER (answered; the tail leaves, input is thrown away)
 */
#ifndef SLUICE_CONN_CONN_H
#define SLUICE_CONN_CONN_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/wheel.h"
#include "config/config.h"
#include "http/body.h"
#include "tls/key.h"
#include "ws/frame.h"

struct worker;

/* Bitmaps, mailboxes and cursors name conns by these. 27 bits of index leave
 * room for the encoding in one word of a small subscriber set. */
#define CONN_INDEX_BITS 27
#define CONN_MAX        (1u << CONN_INDEX_BITS)
#define CONN_NONE       UINT32_MAX

enum conn_state {
	CONN_FREE,
	CONN_HANDSHAKE, /* TLS handshake under way */
	CONN_HTTP,      /* reading a request head or throwing its body away */
	CONN_OPEN,      /* WebSocket */
	CONN_CLOSING,   /* our close frame is out, waiting for theirs */
	CONN_LINGER,    /* no more answers; the tail leaves, then the transport ends */
	CONN_HELD,      /* gone; the slot waits until no cursor can name it */
	CONN_STATES
};

enum conn_flag {
	CONN_F_TLS = 1 << 0,       /* the listener speaks TLS */
	CONN_F_SSL = 1 << 1,       /* an SSL object hangs in the worker's side table */
	CONN_F_TAIL_WAIT = 1 << 2, /* EPOLLOUT is armed */
	CONN_F_READ_STOP = 1 << 3, /* EPOLLIN is off: the mailbox is congested */
	CONN_F_PINGED = 1 << 4,    /* our heartbeat ping is unanswered */
	CONN_F_CLOSE_SENT = 1 << 5,
	CONN_F_CLOSE_SEEN = 1 << 6,
	CONN_F_EOF = 1 << 7,       /* the peer has finished sending */
	CONN_F_TOUCHED = 1 << 8,   /* stands in this turn's write batch */
	CONN_F_END_FLUSH = 1 << 9, /* end the transport as soon as the tail is out */
	CONN_F_SHUT = 1 << 10,     /* we have said that we send no more */
	CONN_F_HEAD = 1 << 11,     /* HTTP: `message` begins with a struct http_head */
	CONN_F_BODY = 1 << 12,     /* HTTP: a body is being thrown away */
	CONN_F_PARTIAL = 1 << 13,  /* stands in the worker's list of unfinished things */
	CONN_F_KTLS = 1 << 14,     /* the kernel seals what is sent (tls/offload.h) */
	CONN_F_DEFLATE = 1 << 15   /* permessage-deflate was agreed on (ws/deflate.h) */
};

enum close_reason {
#define CLOSE(name, word, code, points, text) CLOSE_##name,
#include "conn/close_reason.def"
#undef CLOSE
	CLOSE_REASONS
};

/* Subscriptions: four inline, more in a pool buffer of u32. Each word is the
 * number of the worker's channel in the low 26 bits and flags above (hub/subs.h). */
#define CONN_SUBS_INLINE 4

/* Who stands before and behind it at the door (door.h); indexes. */
struct conn_door {
	uint32_t before, after;
};

struct conn {
	/* line 0: every fan-out that reaches this subscriber */
	struct tls_key tx_key; /* what we seal with, asleep */
	int32_t _fd;           /* -1 while parked: ask conn_fd(), and let it fail */
	uint32_t tail;         /* pool handle: the unsent tail; 0: all sent */
	uint8_t state : 4;     /* enum conn_state */
	uint8_t suite : 2;     /* enum tls_suite, asleep; 0: plain, or an SSL object */
	uint8_t owes : 1;      /* asleep: as in struct tls_asleep */
	uint8_t restless : 1;
	uint8_t close_reason; /* enum close_reason, once closing */
	uint16_t flags;       /* enum conn_flag; conn_flags_str() prints them */

	/* line 1: the client spoke */
	struct tls_key rx_key;
	uint32_t record;      /* pool handle: the beginning of a TLS record */
	uint32_t heard_ticks; /* worker tick of the last byte from the peer */
	uint8_t endpoint;     /* index in config.endpoints; valid from OPEN on */
	uint8_t listener;     /* index in config.listeners */
	uint8_t rest;         /* bytes at the end of `message` that no frame has claimed yet */
	uint8_t tail_moved;   /* when the socket last took of the tail: ticks / 8, the low byte */

	/* line 2: WebSocket, time, the write batch */
	union {
		struct {                       /* OPEN, CLOSING */
			struct ws_rx rx;       /* the frame decoder */
			uint16_t rate_refused; /* messages refused since the bucket was half full */
			uint16_t offence_minute; /* the running minute of `offences` */
		};
		struct http_body body; /* HTTP: the request body being thrown away */
	};
	struct wheel_link timer; /* 12 bytes: the one timer, see worker/timer.c */
	uint32_t gen;            /* generation of the slot; never 0 in use */
	uint32_t message;        /* pool handle: the message, or the head, being assembled */
	uint32_t partial_ticks;  /* when what is unfinished (CONN_F_PARTIAL) or the goodbye began */
	uint32_t batch_first;    /* entries of this turn's write batch, CONN_NONE: none */
	uint32_t batch_last;
	uint16_t rate_full_lo; /* token bucket: monotonic µs at which it is full again, */
	union {
		uint16_t offences; /* OPEN: invalid messages in the running minute */
		uint16_t requests; /* HTTP: answered on this connection */
	};
	uint32_t rate_full_hi; /* the 32 bits above; see session/limits.c */

	/* line 3: who, and what it hears; cold but for subscribe and disconnect */
	uint8_t peer_ip[16]; /* IPv4 as v4-mapped; the real client behind trusted proxies */
	uint16_t peer_port;
	uint16_t sub_count;
	uint32_t subs_more; /* handle of w->subs, 0: all inline */
	union {
		uint32_t subs[CONN_SUBS_INLINE];
		struct conn_door door; /* HANDSHAKE */
	};
	uint8_t client_id[16]; /* the UUID of `connected` */
	uint32_t born_ticks;   /* worker tick of the accept */
	uint32_t identity;     /* handle of who it is (session.h); 0: anonymous */
};
static_assert(offsetof(struct conn, rx_key) == 64, "fan-out touches line 0 only");
static_assert(CONN_STATES <= 16 && TLS_SUITES <= 4, "bits for them");
static_assert(offsetof(struct conn, rx) == 128, "the decoder begins line 2");
static_assert(CONFIG_MAX_ENDPOINTS <= 256 && CONFIG_MAX_LISTENERS <= 256, "one byte names them");
static_assert(offsetof(struct conn, peer_ip) == 192, "identity is cold");
static_assert(sizeof(struct conn) == 256, "four cache lines; if it grows, say what that buys");

/* A reference that crosses workers. Valid while the slot's generation is `gen`:
 * conn_deref() answers NULL for anybody who has taken the slot since. */
struct conn_ref {
	uint16_t worker;
	uint16_t _zero;
	uint32_t index;
	uint32_t gen;
};

/* The descriptor, or -1: a connection need not have one (DESIGN.md 10). Every
 * caller must have an answer for -1. */
static inline int conn_fd(const struct conn *c)
{
	return c->_fd;
}

const char *conn_state_str(enum conn_state s);
/* Writes the set flags as words, comma separated, into buf; returns buf. */
const char *conn_flags_str(uint16_t flags, char *buf, size_t cap);

struct close_reason_info {
	const char *word;
	uint16_t ws_code;
	uint8_t points;
	const char *text;
};
const struct close_reason_info *close_reason_info(enum close_reason r);

#endif
