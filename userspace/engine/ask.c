/* SPDX-License-Identifier: BSD-2-Clause */
/* ask.c - what this worker asks of homes (engine/request.h draws the queue), and what they answer. */
#include "engine/memory.h"

/* ── asking ── */

uint32_t memory_next_seq(struct peer *k)
{
	if (++k->last_seq == 0)
		k->last_seq = 1;
	return k->last_seq;
}

enum mailbox_result memory_send_publish(struct worker *w, unsigned to, const struct publication *p,
					uint32_t seq, enum mailbox_class class)
{
	struct wire_publish head = {.seq = seq};
	struct publication_head packed;
	struct bytes parts[1 + PUBLICATION_PARTS];
	parts[0] = BYTES(&head, sizeof(head));
	publication_pack(p, &packed, parts + 1);
	return mailbox_send(w->mailbox, to, MSG_PUBLISH, 0, parts, ARRAY_SIZE(parts), class);
}

void memory_send_ask(struct worker *w, unsigned to, const struct request *r)
{
	struct wire_ask head;
	struct bytes parts[WIRE_ASK_PARTS];
	size_t n = wire_ask_pack(r, &head, parts);
	memory_send(w, to, r->type, parts, n);
}

/* Keeps it until its home is up. */
static void hold(struct engine *e, unsigned to, struct request *r)
{
	e->held_bytes += r->bytes;
	request_append(&e->peer[to].asked, r);
}

/* A SUBSCRIBE or RECALL to a home that is not open for business here. */
static enum hub_outcome ask(struct worker *w, unsigned to, uint8_t type,
			    const struct engine_who *who, const struct hub_subscribe_args *a)
{
	struct engine *e = w->engine;
	struct peer *k = &e->peer[to];
	if (!k->up && e->held_bytes > e->held_max)
		return HUB_UNAVAILABLE;
	struct request *r = request_new(type, who, a);
	if (r == NULL)
		return HUB_OVERLOADED;
	if (!k->up) {
		hold(e, to, r);
		return HUB_OK;
	}
	r->seq = memory_next_seq(k);
	r->sent = true;
	request_append(&k->asked, r);
	memory_send_ask(w, to, r);
	return HUB_OK;
}

enum hub_outcome memory_subscribe(struct worker *w, const struct engine_who *who,
				  const struct hub_subscribe_args *a)
{
	unsigned to = memory_home_of(w, hub_hash(w, a->space, a->channel));
	if (to == w->id && w->engine->peer[to].up)
		return memory_self_subscribe(w, who, a);
	return ask(w, to, MSG_SUBSCRIBE, who, a);
}

enum hub_outcome memory_recall(struct worker *w, const struct engine_who *who,
			       const struct hub_subscribe_args *a)
{
	unsigned to = memory_home_of(w, hub_hash(w, a->space, a->channel));
	if (to != w->id || !w->engine->peer[to].up)
		return ask(w, to, MSG_RECALL, who, a);
	memory_self_recall(w, who, a);
	return HUB_OK;
}

struct publication memory_leave_of(const struct engine_who *who, uint16_t space,
				   struct bytes channel)
{
	return (struct publication){
		.space = space,
		.kind = PUB_LEAVE,
		.flags = (uint8_t)(PUB_F_NO_ECHO | (who->from_user ? PUB_F_FROM_USER : 0)),
		.channel = channel,
		.from = who->from,
		.sender = who->conn,
	};
}

/* Others hear that it left, even if its home is down: when it is up again. */
static void hold_leave(struct engine *e, unsigned to, const struct engine_who *who, uint16_t space,
		       struct bytes channel)
{
	struct publication p = memory_leave_of(who, space, channel);
	struct request *r = request_new_publish(&p, true);
	if (r != NULL) /* else they do not: a nicety, no promise */
		hold(e, to, r);
}

void memory_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			struct bytes channel, uint8_t encoding, struct bytes ask)
{
	struct engine *e = w->engine;
	unsigned to = memory_home_of(w, hub_hash(w, space, channel));
	struct peer *k = &e->peer[to];
	if (to == w->id && k->up) {
		memory_self_unsubscribe(w, who, space, channel, encoding, ask);
		return;
	}
	/* A conn that ends while the home is down is not announced to its successor, nor is
	 * anything sent on for it: there is nothing to subtract. (Our own queue is replayed as it
	 * is, without an announcement.) */
	if (!k->up && !who->answer && to != w->id) {
		if (who->events)
			hold_leave(e, to, who, space, channel);
		return;
	}
	struct hub_subscribe_args a = {
		.space = space, .encoding = encoding, .channel = channel, .ask = ask};
	struct request *r = memory_need(request_new(MSG_UNSUBSCRIBE, who, &a));
	if (!k->up) {
		hold(e, to, r);
		return;
	}
	r->seq = who->answer ? memory_next_seq(k) : 0;
	r->sent = true;
	memory_send_ask(w, to, r);
	if (r->seq != 0)
		request_append(&k->asked, r);
	else
		request_free(r);
}

static enum hub_outcome hold_publish(struct worker *w, unsigned to, const struct publication *p)
{
	struct engine *e = w->engine;
	if (e->held_bytes + publication_packed_bytes(p) > e->held_max)
		return HUB_UNAVAILABLE;
	if (publication_packed_bytes(p) + sizeof(struct wire_publish) >
	    mailbox_message_max(w->mailbox))
		return HUB_OVERLOADED;
	struct request *r = request_new_publish(p, true);
	if (r == NULL)
		return HUB_OVERLOADED;
	hold(e, to, r);
	return HUB_OK;
}

enum hub_outcome memory_publish(struct worker *w, const struct publication *p)
{
	struct engine *e = w->engine;
	unsigned to = memory_home_of(w, hub_hash(w, p->space, p->channel));
	struct peer *k = &e->peer[to];
	assert(p->sender.gen == 0 || p->sender.worker == w->id);
	if (!k->up)
		return hold_publish(w, to, p);
	if (to == w->id)
		return memory_self_publish(w, p);
	struct request *r = NULL;
	if (p->flags & PUB_F_ACK) {
		r = request_new_publish(p, false);
		if (r == NULL)
			return HUB_OVERLOADED;
		r->seq = memory_next_seq(k);
		r->sent = true;
	}
	if (memory_send_publish(w, to, p, r ? r->seq : 0, MAILBOX_MAY_REFUSE) != MAILBOX_OK) {
		request_free(r);
		return HUB_OVERLOADED;
	}
	if (r != NULL)
		request_append(&k->asked, r);
	return HUB_OK;
}

/* ── what homes answer ── */

/* The request that this is the answer to, out of the queue; NULL: there is none such. */
static struct request *answered(struct worker *w, unsigned from, uint8_t type, uint32_t seq)
{
	struct request_queue *q = &w->engine->peer[from].asked;
	if (q->first == NULL || !q->first->sent || q->first->type != type || q->first->seq != seq)
		return NULL;
	return request_take(q);
}

static bool on_subscribed(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	struct wire_subscribed m;
	struct wire_old old = {0};
	struct request *r = NULL;
	struct publication p;
	if (type == MSG_REPLAY ? wire_replay_unpack(payload, &m, &old) && old.n > 0 :
				 wire_subscribed_unpack(payload, &m))
		r = answered(w, from, MSG_SUBSCRIBE, m.seq);
	if (r == NULL)
		return false;
	struct hub_position at = {
		.epoch = m.epoch,
		.offset = m.offset,
		.count = m.count,
		.recovered = m.recovered && r->args.flags & HUB_SUB_RECOVER,
	};
	if (m.outcome == HUB_OK)
		hub_on_subscribed(w, &r->who.conn, &r->args, &at);
	else
		hub_on_subscription_lost(w, &r->who.conn, &r->args);
	old.space = r->args.space;
	old.channel = r->args.channel;
	while (wire_old_next(&old, &p))
		hub_on_replay(w, &r->who.conn, &r->args, &p);
	request_free(r);
	return !old.bad;
}

struct recalled {
	struct hub_old old;
	struct wire_old it;
};

static bool next_recalled(struct hub_old *old, struct publication *p)
{
	return wire_old_next(&((struct recalled *)old)->it, p);
}

static bool on_recalled(struct worker *w, unsigned from, struct bytes payload)
{
	struct wire_subscribed m;
	struct recalled all = {.old.next = next_recalled};
	struct request *r = NULL;
	if (wire_replay_unpack(payload, &m, &all.it))
		r = answered(w, from, MSG_RECALL, m.seq);
	if (r == NULL)
		return false;
	struct hub_position at = {.epoch = m.epoch, .offset = m.offset, .recovered = m.recovered};
	all.it.space = r->args.space;
	all.it.channel = r->args.channel;
	hub_on_recalled(w, &r->who.conn, &r->args, &at, m.outcome, &all.old);
	request_free(r);
	return !all.it.bad;
}

static bool on_unsubscribed(struct worker *w, unsigned from, struct bytes payload)
{
	struct wire_unsubscribed m;
	struct request *r = NULL;
	if (wire_unsubscribed_unpack(payload, &m))
		r = answered(w, from, MSG_UNSUBSCRIBE, m.seq);
	if (r == NULL)
		return false;
	hub_on_unsubscribed(w, &r->who.conn, r->args.space, r->args.channel, r->args.encoding,
			    r->args.ask);
	request_free(r);
	return true;
}

static bool on_published(struct worker *w, unsigned from, struct bytes payload)
{
	struct wire_published m;
	struct bytes channel;
	if (!wire_published_unpack(payload, &m, &channel))
		return false;
	if (m.seq == 0) { /* refused, and nobody had asked */
		struct publication p = {
			.space = m.space,
			.channel = channel,
			.sender = {.worker = (uint16_t)w->id, .index = m.index, .gen = m.gen},
		};
		hub_on_published(w, &p, m.outcome);
		return true;
	}
	struct request *r = answered(w, from, MSG_PUBLISH, m.seq);
	if (r == NULL)
		return false;
	r->pub.epoch = m.epoch;
	r->pub.offset = m.offset;
	r->pub.skipped = m.skipped;
	hub_on_published(w, &r->pub, m.outcome);
	request_free(r);
	return true;
}

bool memory_on_answer(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	switch (type) {
	case MSG_SUBSCRIBED:
	case MSG_REPLAY: return on_subscribed(w, from, type, payload);
	case MSG_UNSUBSCRIBED: return on_unsubscribed(w, from, payload);
	case MSG_RECALLED: return on_recalled(w, from, payload);
	case MSG_PUBLISHED: return on_published(w, from, payload);
	default: return false;
	}
}
