/* SPDX-License-Identifier: BSD-2-Clause */
/* query.h - the two messages between the admin worker and the others.
 *
 * One query goes to one member and has one answer of at most QUERY_ANSWER_MAX bytes. What is
 * longer comes in pages: the answer says where the next one begins. So a look at a
 * million conns costs each worker a page per turn, never a stall. */
#ifndef SLUICE_ADMIN_QUERY_H
#define SLUICE_ADMIN_QUERY_H

#include <assert.h>

#include "base/bytes.h"

struct worker;

#define QUERY_ANSWER_MAX (48u << 10)
#define QUERY_LIMIT_MAX  1000u
#define QUERY_NAME_MAX   100u
#define QUERY_DATA_MAX   4096u
#define QUERY_KICK_MAX   500u /* connections closed for one answer */
#define QUERY_NO_NEXT    UINT32_MAX

enum query_kind {
	QUERY_WORKER = 1,   /* one object: its counters and memory */
	QUERY_CONNS,        /* a page of conns from slab index `cursor` on */
	QUERY_CONN,         /* the conn with this client id; none and a `next`: not among those */
	QUERY_CLOSE,        /* likewise, and close it */
	QUERY_CHANNELS,     /* a page of channels from `cursor` on; only `name` if it is set */
	QUERY_HOMES,        /* likewise of those that are at home there, with their position */
	QUERY_CERTS,        /* certificates in use, from index `cursor` of the configuration's on */
	QUERY_FINGERPRINTS, /* of ClientHellos, from the cursor on: first counted, then denied */
	QUERY_PURGE,        /* empties the history of the channel `name`, in all spaces */
	QUERY_PURGE_FROM,   /* takes what `name`, a user or client, has said out of all of them */
	QUERY_MEMBERS, /* who is in the channel `name` of whatever space, from conn index `cursor` on */
	/* These have an expression behind them, and `name` is the space; without it all of them. */
	QUERY_COUNT,   /* how many are meant in each space, from number `cursor` on */
	QUERY_SELECT,  /* a page of conns that are meant, from slab index `cursor` on */
	QUERY_KICK,    /* closes those of a page, and says how many */
	QUERY_PUBLISH, /* says `data`, which is JSON, to all that are meant in the space `name` */
	QUERY_KINDS
};

/* In front of the packed expression (hub/expression.h) and of the data, where there are any. */
struct query {
	uint32_t ask;
	uint32_t cursor;
	uint16_t limit;
	uint8_t kind; /* enum query_kind */
	uint8_t name_n;
	uint8_t id[16];
	uint8_t name[QUERY_NAME_MAX];
	uint16_t to_n, data_n; /* bytes behind this */
	uint32_t _zero;
};
static_assert(sizeof(struct query) == 136, "no hidden bytes");

static inline bool query_has_expression(const struct query *q)
{
	return q->kind >= QUERY_COUNT && q->kind <= QUERY_PUBLISH;
}

/* Followed by JSON text: an object for QUERY_WORKER, else an array. */
struct query_answer {
	uint32_t ask;
	uint32_t next; /* QUERY_NO_NEXT: that was all */
};

/* In a worker: checks the payload and answers. False: malformed. */
bool query_serve(struct worker *w, unsigned from, struct bytes payload);

#endif
