/* SPDX-License-Identifier: BSD-2-Clause */
/* census.h - who is in a channel, or meant by an expression, over all workers: how many, and a page of them.
 *
 *   census_ask ─► to all workers: how many?   to the one where the page begins: who?
 *                     MSG_COUNTED ──┬─► to the next that has any: who?  … the page is full
 *                                   ▼
 *   proto_counted
 *
 * A member is a connection: who has two of them is there twice. What comes and goes while a client
 * turns pages may be missed or seen twice, and one answer puts together what its workers said
 * moments apart. */
#ifndef SLUICE_HUB_CENSUS_H
#define SLUICE_HUB_CENSUS_H

#include "hub/hub.h"

#define CENSUS_PAGE_MAX 100u  /* members of one answer */
#define CENSUS_ASKS_MAX 1024u /* requests that wait here ... */
#define CENSUS_OF_CONN  8u    /* ... and of one conn */
#define CENSUS_WAIT_MS  2000u /* then the answer is what has come */

struct census;

/* NULL: no memory. */
struct census *census_new(void);
void census_free(struct census *s);

/* Members stand in the order of their workers, and there in that of their conn indexes. */
struct census_place {
	uint32_t worker, index;
};

struct census_args {
	uint16_t space;
	struct bytes channel;
	struct bytes to;          /* packed expression, in the place of the channel; or empty */
	struct bytes ask;         /* request id, raw JSON, or empty; at most HUB_ASK_MAX */
	struct census_place from; /* of a worker that there is */
	uint32_t limit;           /* members wanted, at most CENSUS_PAGE_MAX; 0: the count alone */
};

/* Rights and the name were checked by the caller. HUB_OK: the answer is proto_counted(), which may
 * come before this returns; HUB_OVERLOADED. */
enum hub_outcome census_ask(struct worker *w, struct conn *c, const struct census_args *a);

/* Slices are lent for the call. */
struct census_answer {
	struct bytes channel, ask; /* channel: empty for an expression */
	uint64_t count;
	bool list;            /* members were wanted */
	struct bytes members; /* census_next() takes them out */
	bool more;            /* they go on at `next` */
	struct census_place next;
	bool partial; /* a worker died or did not answer in time: there may be more than this */
};

#define CENSUS_ID_N 16u
struct census_member {
	const uint8_t *client_id;
	struct bytes user; /* empty: anonymous */
};

/* The next one of {16 bytes client id, u8 length, user id} times n, out of them. */
static inline bool census_next(struct bytes *members, struct census_member *m)
{
	const uint8_t *p = members->p;
	if (members->n <= CENSUS_ID_N || members->n - CENSUS_ID_N - 1 < p[CENSUS_ID_N])
		return false;
	m->client_id = p;
	m->user = BYTES(p + CENSUS_ID_N + 1, p[CENSUS_ID_N]);
	*members = BYTES(m->user.p + m->user.n, members->n - CENSUS_ID_N - 1 - m->user.n);
	return true;
}

/* MSG_CENSUS or MSG_COUNTED; false: it was malformed, the peer lies. */
bool census_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload);
/* After the mailbox was told. */
void census_worker_down(struct worker *w, unsigned k);
/* Some times a second. */
void census_tick(struct worker *w);

#endif
