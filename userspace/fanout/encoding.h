/* SPDX-License-Identifier: BSD-2-Clause */
/* encoding.h - the words in which a subscriber hears a publication.
 *
 * An encoding belongs to a *subscription*, so the hub keeps one set per encoding and
 * a publication is encoded once for each that has anybody in it. An encoding may show
 * a publication as nothing at all (chat words know no joins): then nobody of
 * that set is visited.
 *
 * Each has a twin, ENC_DEFLATED beside its number: the same text for conns that have agreed on
 * permessage-deflate. It is a set of its own, so that a compressed frame goes by set
 * algebra to those who understand it, and nobody is asked while a set is walked.
 *
 * Room is left for Socket.IO and SSE: a new one is a row in the table of encoding.c
 * and a name here; the numbers, twins included, are below ENC_LIMIT (5 bits of a
 * small set's word). */
#ifndef SLUICE_FANOUT_ENCODING_H
#define SLUICE_FANOUT_ENCODING_H

#include "base/bytes.h"

struct publication;
struct json_out;

enum encoding {
	ENC_CHANNEL,        /* channel words: message */
	ENC_CHANNEL_EVENTS, /* channel words, with join and leave */
	ENC_CHANNEL_BINARY, /* the same two, for who takes bytes as binary frames */
	ENC_CHANNEL_EVENTS_BINARY,
	ENC_ROOM, /* room words: room_message, user_joined, user_left */
	ENC_CHAT, /* chat words: the relay's own type */
	ENC_RAW,  /* protocol = relay: the sender's bytes as they came, no joins */
	ENC_COUNT
};
#define ENC_DEFLATED 16u
#define ENC_LIMIT    32
#define ENC_SETS     (2 * ENC_COUNT) /* encodings and twins */

static inline bool encoding_valid(uint8_t e)
{
	return e < ENC_LIMIT && (e & ~ENC_DEFLATED) < ENC_COUNT;
}

/* Of a number that may be a twin's. */
static inline enum encoding encoding_plain(uint8_t e)
{
	return (enum encoding)(e & ~ENC_DEFLATED);
}

struct encoding_ops {
	const char *name; /* for the CLI */
	/* Writes the message and returns the opcode of its frame, WS_TEXT or WS_BINARY. */
	uint8_t (*encode)(const struct publication *p, struct json_out *out);
	/* Encodings with the same text share one frame: the number of the first such, which is
	 * the one whose encode() is called. ENC_COUNT: this encoding shows nothing of p. */
	enum encoding (*same_as)(const struct publication *p);
};
extern const struct encoding_ops encoding_table[ENC_COUNT];

/* A bound on the text of any encoding of p, in bytes: what json_out must hold. */
size_t encoding_bound(const struct publication *p);

#endif
