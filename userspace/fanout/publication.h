/* SPDX-License-Identifier: BSD-2-Clause */
/* publication.h - one thing that happened in a channel: {space, channel, kind, from,
 * data, timestamp, offset} (DESIGN.md 6). How each encoding shows it to a client
 * is fanout/encoding.c's business.
 *
 * With `to`, a packed expression, it goes to those whom that means (hub/select.h) instead of to a
 * channel's subscribers. `channel` is then the label of its first positive name, whose home gives it its place
 * in order; it is not kept and has no offset: history is what all subscribers of a channel have heard.
 *
 * The slices are borrowed. publication_pack() makes the bytes that cross workers;
 * publication_unpack() checks every length, every bound and that what will be spliced
 * into JSON is JSON, and gives slices into those bytes. */
#ifndef SLUICE_FANOUT_PUBLICATION_H
#define SLUICE_FANOUT_PUBLICATION_H

#include "base/bytes.h"
#include "config/config.h"
#include "conn/conn.h"
#include "conn/identity.h"
#include "hub/expression.h"

#define CHANNEL_NAME_MAX     100
#define PUBLICATION_FROM_MAX IDENTITY_USER_MAX /* a user id or the text of a client id */
#define PUBLICATION_TYPE_MAX 64                /* a relay's name */
#define PUBLICATION_ASK_MAX  128               /* a request's id, raw JSON */
#define PUBLICATION_ID_MAX   64                /* what its sender calls it */
#define PUBLICATION_DATA_MAX CONFIG_MAX_MESSAGE

enum pub_kind {
	PUB_MESSAGE, /* data is any JSON value */
	PUB_RELAY,   /* `relay` names the client's type; data is a JSON object of its fields */
	PUB_BINARY,  /* data is bytes */
	PUB_TEXT,    /* data is UTF-8 that need not be JSON (protocol = relay) */
	PUB_JOIN,    /* from joined; no data, no offset */
	PUB_LEAVE,
	PUB_PRESENCE, /* data is what fanout/presence.h reads: several joined or left; no from, no offset */
	PUB_KINDS
};

enum pub_flag {
	PUB_F_FROM_USER = 1 << 0, /* `from` is a user id, else a client id */
	PUB_F_NO_ECHO = 1 << 1,   /* the sender's own operation: it does not hear itself */
	PUB_F_EPHEMERAL = 1 << 2, /* no history, no offset */
	PUB_F_ACK = 1 << 3        /* the sender wants to know (publish with an id) */
};
#define PUB_FLAGS 0xf

struct publication {
	uint16_t space;
	uint8_t kind;  /* enum pub_kind */
	uint8_t flags; /* enum pub_flag */
	struct bytes channel;
	struct bytes relay; /* PUB_RELAY only */
	struct bytes from;  /* may be empty: the server itself */
	struct bytes data;
	struct bytes ask;       /* the sender's request id as it wrote it (raw JSON), or empty */
	struct bytes id;        /* its messageId, or empty; only on the way to its home */
	struct bytes to;        /* hub/expression.h, or empty: all subscribers of `channel` */
	struct conn_ref sender; /* worker is meaningless when gen is 0 */
	uint64_t timestamp_ms;  /* given by the engine */
	uint64_t offset;        /* given by the engine; 0: none */
	uint64_t epoch;         /* of the offset */
	uint32_t skipped;       /* of an ack: deliveries of the channel that were dropped of late */
};

/* Who comes and goes, one or several. */
static inline bool publication_is_event(const struct publication *p)
{
	return p->kind == PUB_JOIN || p->kind == PUB_LEAVE || p->kind == PUB_PRESENCE;
}

/* Those, what its sender called ephemeral, and what is not for all of the channel take no place in the order of
 * offsets. */
static inline bool publication_is_kept(const struct publication *p)
{
	return !publication_is_event(p) && !(p->flags & PUB_F_EPHEMERAL) && p->to.n == 0;
}

/* The fixed part of the packed form, in the machine's own byte order: it never leaves it. */
struct publication_head {
	uint64_t timestamp_ms, offset, epoch;
	uint32_t sender_index, sender_gen;
	uint32_t data_n;
	uint16_t sender_worker;
	uint16_t space;
	uint8_t kind, flags;
	uint8_t channel_n, relay_n, from_n, ask_n, id_n;
	uint8_t to_8; /* in eighths of bytes */
};
static_assert(sizeof(struct publication_head) == 48, "no hidden bytes");

#define PUBLICATION_PARTS 8
/* The packed form as parts to be sent one behind the other. *head is the caller's, and like the
 * slices of p must live until they are sent. */
void publication_pack(const struct publication *p, struct publication_head *head,
		      struct bytes parts[PUBLICATION_PARTS]);
size_t publication_packed_bytes(const struct publication *p);

/* The reverse; `in` is 8-byte aligned and whatever another worker wrote. False: no honest worker
 * wrote that. The slices of *p lie in `in`. */
bool publication_unpack(struct bytes in, struct publication *p);
/* The same of what this process has packed itself and nobody else could write to: believed. */
void publication_read(struct bytes in, struct publication *p);

#endif
