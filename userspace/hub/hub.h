/* SPDX-License-Identifier: BSD-2-Clause */
/* hub.h - channels as Roaring sets: this worker's shard.
 *
 *   proto ─► hub_subscribe / hub_publish ─► engine (order) ─┐
 *                                                           ▼
 *   fanout ◄─ hub_on_deliver / hub_on_subscribed / … ◄──────┘
 *
 * Per channel and encoding the hub keeps the set of connection indexes that
 * subscribed with that encoding (hub/members.h: up to four inline, then Roaring
 * bitmaps). Nothing about order is decided here: the engine calls the hub_on_*
 * functions in publication order, and the hub changes its sets and hands
 * publications to the fan-out in just that order. So a subscriber hears exactly
 * what was published between its `subscribed` and its `unsubscribed`.
 *
 * All functions are for the worker's own thread. Slices lent to hub functions need
 * live only during the call. */
#ifndef SLUICE_HUB_HUB_H
#define SLUICE_HUB_HUB_H

#include "fanout/encoding.h"
#include "fanout/publication.h"

struct worker;
struct hub;
struct member;
struct members;

struct hub *hub_new(struct worker *w);
void hub_free(struct hub *h);

enum hub_outcome {
	HUB_OK,       /* under way: the answer comes by the engine */
	HUB_TOO_MANY, /* the connection's bound on subscriptions */
	HUB_NOT_SUBSCRIBED,
	HUB_OVERLOADED, /* a bound between workers was reached: try again later */
	HUB_UNAVAILABLE /* the channel's home is being restarted and its queue is full; of what was
			 * asked before that: it died with it, carried out or not */
};

enum hub_sub_flag {
	HUB_SUB_PRESENCE = 1 << 0, /* the answer carries onlineCount */
	HUB_SUB_EVENTS = 1 << 1,   /* its coming and going is told to others */
	HUB_SUB_QUIET = 1 << 2,    /* no answer at all (the lobby, on arrival) */
	HUB_SUB_RECOVER = 1 << 3   /* epoch and offset say what the client has; not `history` */
};

struct hub_subscribe_args {
	uint16_t space;
	uint8_t encoding; /* enum encoding, or its twin */
	uint8_t flags;    /* enum hub_sub_flag */
	struct bytes channel;
	struct bytes ask; /* request id, raw JSON, or empty; at most HUB_ASK_MAX */
	uint64_t epoch, offset;
	uint32_t history;   /* without HUB_SUB_RECOVER: so many of the last messages are wanted */
	uint32_t max_bytes; /* hub_recall() only */
};
#define HUB_ASK_MAX PUBLICATION_ASK_MAX

/* The conn has become OPEN. Who is known is from now on in the groups of his user id and of his roles: sets of this
 * worker alone, without home and order, that expressions name. False: no memory, it must not stay. */
bool hub_enter(struct worker *w, struct conn *c);

/* Rights, names and rates were checked by the caller (session.h). A channel that the
 * connection already has changes its encoding, keeps its place and counts once. */
enum hub_outcome hub_subscribe(struct worker *w, struct conn *c,
			       const struct hub_subscribe_args *a);
/* room words answer `left_room`, channel words `unsubscribed`: `encoding` says which. */
enum hub_outcome hub_unsubscribe(struct worker *w, struct conn *c, uint16_t space,
				 struct bytes channel, uint8_t encoding, struct bytes ask);
/* What is kept of the channel, whether the conn has it or not: the last a->history messages, or with
 * HUB_SUB_RECOVER the first so many after a->offset; about a->max_bytes at most, but one if there is
 * one. The answer is proto_recalled(). */
enum hub_outcome hub_recall(struct worker *w, struct conn *c, const struct hub_subscribe_args *a);
/* The publication gets its order from the engine. */
enum hub_outcome hub_publish(struct worker *w, const struct publication *p);
/* Leaves everything, groups too, tells the homes; the conn's list is empty afterwards. */
void hub_leave_all(struct worker *w, struct conn *c);
bool hub_is_subscribed(struct worker *w, const struct conn *c, uint16_t space,
		       struct bytes channel);

/* ── from the engine, in publication order per channel ── */
struct hub_position {
	uint64_t epoch, offset; /* epoch 0: the channel has no positions */
	uint32_t count;         /* subscribers in all workers, this one included */
	bool recovered; /* HUB_SUB_RECOVER was set, and with what follows nothing is missing */
	uint32_t kept;  /* for the CLI: messages of its history */
	uint64_t kept_bytes;
};
void hub_on_subscribed(struct worker *w, const struct conn_ref *who,
		       const struct hub_subscribe_args *a, const struct hub_position *at);
/* An old publication for that subscriber alone: right behind the above, with the same arguments,
 * oldest first, before anything else of the channel. Ends no conn. */
void hub_on_replay(struct worker *w, const struct conn_ref *who, const struct hub_subscribe_args *a,
		   const struct publication *p);
/* Old publications, oldest first: the next one; false: that was all. */
struct hub_old {
	bool (*next)(struct hub_old *it, struct publication *p);
};
/* at->recovered: nothing is missing between a->offset and the last of them. */
void hub_on_recalled(struct worker *w, const struct conn_ref *who,
		     const struct hub_subscribe_args *a, const struct hub_position *at,
		     enum hub_outcome outcome, struct hub_old *old);
/* It was refused or lost on the way; the client is told that it must subscribe again. */
void hub_on_subscription_lost(struct worker *w, const struct conn_ref *who,
			      const struct hub_subscribe_args *a);
void hub_on_unsubscribed(struct worker *w, const struct conn_ref *who, uint16_t space,
			 struct bytes channel, uint8_t encoding, struct bytes ask);
void hub_on_deliver(struct worker *w, const struct publication *p);
/* HUB_OK with p->offset, or why it was refused after hub_publish() had said HUB_OK; the latter
 * also without PUB_F_ACK. p has channel, space, ask, sender, flags. */
void hub_on_published(struct worker *w, const struct publication *p, enum hub_outcome outcome);

/* For an engine that must tell a channel's new home what there is: each channel with its
 * members here. fn must not change the hub. */
typedef void hub_each_fn(void *ctx, uint32_t hash, uint16_t space, struct bytes name,
			 uint32_t members);
void hub_each(struct hub *h, hub_each_fn *fn, void *ctx);

/* Does the conn still have to do with the channel: subscribed, or something under way? Not if it
 * has ended or left everything. */
bool hub_concerns(struct worker *w, const struct conn_ref *who, uint16_t space,
		  struct bytes channel);

/* Who of this worker is in a channel: returns how many, however many, and puts those from conn
 * index `from` on into `out`, in rising order and at most `max`: *n of them (hub/members.h). */
uint32_t hub_members(struct worker *w, uint16_t space, struct bytes channel, uint32_t from,
		     struct member *out, uint32_t max, uint32_t *n);

/* The set of those of this worker who have the channel, or are in the group "user:alice" or "role:ops" of conns whose
 * endpoint is of that space. NULL: nobody. Lent until anybody comes or goes. */
struct members *hub_channel(const struct worker *w, uint16_t space, struct bytes channel);
struct members *hub_group(const struct worker *w, uint16_t space, struct bytes name);

/* The hash that hub and engine name a channel by: keyed, the same in all workers. */
uint32_t hub_hash(const struct worker *w, uint16_t space, struct bytes name);

/* ── for the CLI ── */
struct hub_channel_info {
	uint16_t space;
	struct bytes name;
	uint32_t members[ENC_COUNT];  /* of this worker */
	uint32_t deflated[ENC_COUNT]; /* in their twins */
	size_t set_bytes;             /* memory of its sets */
};
/* Calls fn for each channel from *cursor on, at most n, and looks at a bounded number of
 * entries; false when done. */
bool hub_channels(struct hub *h, uint32_t *cursor, uint32_t n,
		  void (*fn)(void *ctx, const struct hub_channel_info *info), void *ctx);
/* Each tick: some of the sets that have not changed for a while are made as small as they get. */
void hub_rest(struct hub *h);
uint32_t hub_channel_count(const struct hub *h);
size_t hub_memory(const struct hub *h);

#endif
