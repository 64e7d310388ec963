/* SPDX-License-Identifier: BSD-2-Clause */
/* publication.h - one thing that happened in a channel: {space, channel, kind, from,
 * data, timestamp, offset} (DESIGN.md 6). How each encoding shows it to a client
 * is fanout/encoding.c's business.
 *
 * The slices are borrowed. publication_pack() makes the bytes that cross workers;
 * publication_unpack() checks every length and every bound and gives slices into
 * those bytes. */
#ifndef SLUICE_FANOUT_PUBLICATION_H
#define SLUICE_FANOUT_PUBLICATION_H

#include "base/bytes.h"
#include "conn/conn.h"

#define CHANNEL_NAME_MAX 100

enum pub_kind {
	PUB_MESSAGE, /* data is any JSON value */
	PUB_RELAY,   /* `relay` names the client's type; data is a JSON object of its fields */
	PUB_BINARY,  /* data is bytes */
	PUB_JOIN,    /* from joined; no data, no offset */
	PUB_LEAVE,
	PUB_KINDS
};

enum pub_flag {
	PUB_F_FROM_USER = 1 << 0, /* `from` is a user id, else a client id */
	PUB_F_NO_ECHO = 1 << 1,   /* the sender's own operation: it does not hear itself */
	PUB_F_EPHEMERAL = 1 << 2, /* no history, no offset */
	PUB_F_ACK = 1 << 3        /* the sender wants to know (publish with an id) */
};

struct publication {
	uint16_t space;
	uint8_t kind;  /* enum pub_kind */
	uint8_t flags; /* enum pub_flag */
	struct bytes channel;
	struct bytes relay;     /* PUB_RELAY only */
	struct bytes from;      /* may be empty: the server itself */
	struct bytes data;
	struct bytes ask;       /* the sender's request id as it wrote it (raw JSON), or empty */
	struct conn_ref sender; /* worker is meaningless when gen is 0 */
	uint64_t timestamp_ms;  /* given by the engine */
	uint64_t offset;        /* given by the engine; 0: none */
	uint64_t epoch;         /* of the offset */
};

#endif
