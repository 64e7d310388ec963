/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.h - what the memory engine's workers write to each other (worker/msg.h names the
 * kinds): fixed heads in the machine's byte order, and behind them the texts whose lengths
 * they give. Unpacking checks every field; slices lie in the payload, which is 8-byte aligned.
 *
 * Requests carry a number (`seq`) and answers come in the order of the requests, so an
 * answer needs to say little: who asked stands in the asker's own list (engine/request.h). */
#ifndef SLUICE_ENGINE_WIRE_H
#define SLUICE_ENGINE_WIRE_H

#include "base/tally.h"
#include "engine/engine.h"
#include "engine/request.h"

/* MSG_SUBSCRIBE, MSG_UNSUBSCRIBE and MSG_RECALL: head · channel · from */
struct wire_ask {
	uint64_t epoch, offset; /* WIRE_RECOVER: what the client has */
	uint32_t history;       /* SUBSCRIBE, RECALL: messages it would like ... */
	uint32_t max_bytes;     /* RECALL: ... and no more than this */
	uint32_t seq;           /* 0: no answer is wanted */
	uint32_t index, gen;    /* the conn, of the sending worker */
	uint16_t space;
	uint8_t channel_n, from_n;
	uint8_t flags; /* enum wire_flag */
	uint8_t _zero[7];
};
static_assert(sizeof(struct wire_ask) == 48, "no hidden bytes");

enum wire_flag {
	WIRE_FROM_USER = 1 << 0,
	WIRE_EVENTS = 1 << 1,
	WIRE_AGAIN = 1 << 2,
	WIRE_RECOVER = 1 << 3,
};

/* MSG_SUBSCRIBED */
struct wire_subscribed {
	uint64_t epoch, offset;
	uint32_t seq, count;
	uint8_t outcome; /* HUB_OK or HUB_OVERLOADED: no memory at home */
	uint8_t recovered;
	uint8_t _zero[6];
};
static_assert(sizeof(struct wire_subscribed) == 32, "no hidden bytes");

/* MSG_REPLAY and MSG_RECALLED: head · n times {u32 bytes, u32 zero, packed publication, zeros up to the next eighth
 * byte}, oldest first. It is one message with the answer in it, so that a home that dies has
 * either answered whole, or has to be asked again. */
struct wire_replay {
	struct wire_subscribed answer;
	uint32_t n; /* REPLAY: not 0 */
	uint32_t _zero;
};
static_assert(sizeof(struct wire_replay) == 40, "no hidden bytes, and all behind it aligned");

/* MSG_UNSUBSCRIBED */
struct wire_unsubscribed {
	uint32_t seq;
};

/* MSG_PUBLISH: this and a packed publication. MSG_DELIVER is the packed publication alone. */
struct wire_publish {
	uint32_t seq; /* PUB_F_ACK; else 0: only a refusal is told */
	uint32_t _zero;
};

/* MSG_SKIPPED: n times this, at most TALLY_KEYS */
struct wire_skipped {
	uint32_t hash, n; /* n > 0 */
};

/* MSG_PUBLISHED: head · channel. With seq 0 a refusal of something not numbered, and then
 * the conn and the channel tell whose. */
struct wire_published {
	uint64_t epoch, offset;
	uint32_t seq;
	uint32_t index, gen;
	uint16_t space;
	uint8_t outcome; /* enum hub_outcome */
	uint8_t channel_n;
	uint32_t skipped; /* HUB_OK: deliveries of the channel that were dropped of late */
	uint32_t _zero;
};
static_assert(sizeof(struct wire_published) == 40, "no hidden bytes");

/* MSG_ANNOUNCE: head · n times {u32 count, u16 space, u8 length, channel} */
struct wire_announce {
	uint32_t n;
	uint8_t last; /* the sender has said all */
	uint8_t _zero[3];
};
#define WIRE_ANNOUNCE_MAX (32u << 10)

/* ── pack; parts borrow from the arguments ── */

/* From a SUBSCRIBE or UNSUBSCRIBE. Returns the number of parts. */
#define WIRE_ASK_PARTS 3
size_t wire_ask_pack(const struct request *r, struct wire_ask *head,
		     struct bytes parts[WIRE_ASK_PARTS]);

/* One message of a list of channels; call it for each, send when it says false (does not fit)
 * and begin again, send what remains with `last`. */
struct wire_announcing {
	size_t n;
	uint8_t bytes[WIRE_ANNOUNCE_MAX] __attribute__((aligned(8)));
};
void wire_announce_begin(struct wire_announcing *a);
bool wire_announce_add(struct wire_announcing *a, uint32_t count, uint16_t space,
		       struct bytes channel);
struct bytes wire_announce_end(struct wire_announcing *a, bool last);

/* ── unpack; false: no honest worker wrote that ── */

/* What a home is asked: the fields of a request that cross. */
struct wire_request {
	uint32_t seq;
	struct engine_who who;
	struct hub_subscribe_args a; /* space, channel, flags (HUB_SUB_RECOVER), epoch, offset,
					history, max_bytes */
};
bool wire_ask_unpack(struct bytes in, unsigned from, struct wire_request *r);
bool wire_subscribed_unpack(struct bytes in, struct wire_subscribed *m);
bool wire_unsubscribed_unpack(struct bytes in, struct wire_unsubscribed *m);
/* *m lies in `in`, which is 8-byte aligned; returns how many there are, 0: malformed. */
size_t wire_skipped_unpack(struct bytes in, const struct wire_skipped **m);
bool wire_published_unpack(struct bytes in, struct wire_published *m, struct bytes *channel);
bool wire_publish_unpack(struct bytes in, unsigned from, uint32_t *seq, struct publication *p);

/* The publications of a MSG_REPLAY or MSG_RECALLED: for (wire_replay_unpack(…, &it);
 * wire_old_next(&it, &p);); `bad` afterwards. They are of the given channel, have offsets up to
 * `last`, and each has a larger one than that before. */
struct wire_old {
	struct bytes rest;
	uint32_t n;
	bool bad;
	uint16_t space;
	struct bytes channel;
	uint64_t after, last;
};
bool wire_old_next(struct wire_old *it, struct publication *p);
/* *m, and `it` but for space and channel, which are the caller's. */
bool wire_replay_unpack(struct bytes in, struct wire_subscribed *m, struct wire_old *it);

/* for (struct wire_announced it = …; wire_announced_next(&it, …);); `bad` afterwards. */
struct wire_announced {
	struct bytes rest;
	uint32_t n;
	bool last, bad;
};
void wire_announced_begin(struct wire_announced *it, struct bytes in);
bool wire_announced_next(struct wire_announced *it, uint32_t *count, uint16_t *space,
			 struct bytes *channel);

#endif
