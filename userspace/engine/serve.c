/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - what this worker does for the channels that are at home here: counts, order, and the
 * handing on; asked by its own clients through plain calls, by other workers through the
 * mailbox. */
#include "engine/memory.h"

#include <stdlib.h>

#include "base/hash.h"
#include "fanout/fanout.h"

/* ── at home: our own channels ── */

/* Hands a publication to everybody. `joiner`: one subscriber of that worker is the one that comes
 * just now, and need not hear of itself; CONN_NONE: none. */
static enum hub_outcome home_publish(struct worker *w, struct publication *p, uint32_t joiner)
{
	struct home *h = &w->engine->home;
	uint32_t hash = hub_hash(w, p->space, p->channel);
	bool kept = publication_is_kept(p);
	struct home_channel *ch = kept ? home_find_to_keep(h, hash, p->space, p->channel) :
					 home_find(h, hash, p->space, p->channel);
	bool event = publication_is_event(p);
	p->timestamp_ms = w->wall_ms;
	p->offset = p->epoch = 0;
	if (ch == NULL)
		return HUB_OK; /* nobody has it: it was heard by all */
	if (ch->history != NULL) {
		p->epoch = ch->history->epoch;
		p->offset = kept ? ch->history->offset + 1 : 0;
	}
	struct mailbox_set to = {0};
	bool others = false, here = false;
	const struct home_count *c = ch->cap > 1 ? ch->many : &ch->one;
	for (unsigned i = 0; i < ch->n_counts; i++) {
		if (c[i].n == (c[i].worker == joiner ? 1u : 0u))
			continue;
		if (c[i].worker == w->id) {
			here = true;
		} else {
			mailbox_set_add(&to, c[i].worker);
			others = true;
		}
	}
	if (here && !event && fanout_full(w))
		return HUB_OVERLOADED;
	if (others) {
		struct publication_head head;
		struct bytes parts[PUBLICATION_PARTS];
		publication_pack(p, &head, parts);
		if (mailbox_send_many(w->mailbox, &to, MSG_DELIVER, 0, parts, PUBLICATION_PARTS,
				      event ? MAILBOX_MUST : MAILBOX_MAY_REFUSE) != MAILBOX_OK)
			return HUB_OVERLOADED;
	}
	if (p->offset > 0)
		home_keep(h, ch, p);
	if (here)
		hub_on_deliver(w, p);
	return HUB_OK;
}

/* What is pending of a channel, to everybody in it: those who came, too. */
static void tell_pending(struct worker *w, struct home_channel *ch)
{
	uint8_t name[CHANNEL_NAME_MAX], data[PRESENCE_MAX];
	struct bytes channel = channel_name(&ch->key);
	struct publication p = {
		.space = ch->key.space,
		.kind = PUB_PRESENCE,
		.channel = BYTES(name, channel.n),
		.data = BYTES(data, 0),
	};
	memcpy(name, channel.p, channel.n); /* the entry may go while it is heard */
	p.data.n = coming_take(&w->engine->home.coming, ch, home_total(ch), data);
	home_publish(w, &p, CONN_NONE);
}

void memory_tell_due(struct worker *w)
{
	const struct coming_list *l = &w->engine->home.coming;
	while (l->first != NULL && l->first->due_ns <= w->now_ns)
		tell_pending(w, l->first->channel);
}

/* The channel, if those who come and go are told together: there are too many in it for one by
 * one, or else something is pending still, which is not overtaken. */
static struct home_channel *crowded(struct worker *w, const struct publication *p)
{
	struct home_channel *ch = home_find(&w->engine->home, hub_hash(w, p->space, p->channel),
					    p->space, p->channel);
	bool together = ch != NULL &&
			(ch->coming != NULL || home_total(ch) > w->cfg->presence.coalesce_above);
	return together ? ch : NULL;
}

/* One who comes or goes. */
static enum hub_outcome home_event(struct worker *w, struct publication *p, uint32_t joiner)
{
	struct coming_list *l = &w->engine->home.coming;
	struct home_channel *ch = crowded(w, p);
	if (ch != NULL && ch->coming == NULL && l->n >= COMING_MAX) {
		tell_pending(w, l->first->channel);
		ch = crowded(w, p); /* whoever heard that may have ended, and left this one */
	}
	struct presence_name name = {.text = p->from, .is_user = p->flags & PUB_F_FROM_USER};
	uint64_t due_ns = w->now_ns + w->cfg->presence.interval_ms * 1000000ull;
	if (ch != NULL &&
	    coming_note(l, ch, &name, p->kind == PUB_LEAVE, w->cfg->presence.names, due_ns))
		return HUB_OK;
	return home_publish(w, p, joiner);
}

/* The same with an expression: any worker may have somebody whom it means, and each evaluates it for itself. */
static enum hub_outcome home_publish_to(struct worker *w, struct publication *p)
{
	const struct engine *e = w->engine;
	struct mailbox_set to = {0};
	struct publication_head head;
	struct bytes parts[PUBLICATION_PARTS];
	bool others = false;
	p->timestamp_ms = w->wall_ms;
	p->offset = p->epoch = 0;
	for (unsigned k = 0; k < e->n_peers; k++)
		if (k != w->id && e->peer[k].up) {
			mailbox_set_add(&to, k);
			others = true;
		}
	if (fanout_full(w))
		return HUB_OVERLOADED;
	publication_pack(p, &head, parts);
	if (others && mailbox_send_many(w->mailbox, &to, MSG_DELIVER, 0, parts, PUBLICATION_PARTS,
					MAILBOX_MAY_REFUSE) != MAILBOX_OK)
		return HUB_OVERLOADED;
	hub_on_deliver(w, p);
	return HUB_OK;
}

/* Of somebody who speaks. */
static enum hub_outcome home_say(struct worker *w, struct publication *p)
{
	return p->to.n > 0 ? home_publish_to(w, p) : home_publish(w, p, CONN_NONE);
}

static struct dedupe_id id_of(const struct worker *w, const struct publication *p)
{
	uint8_t text[sizeof(p->space) + 3 + CHANNEL_NAME_MAX + PUBLICATION_FROM_MAX +
		     PUBLICATION_ID_MAX];
	uint8_t *at = text;
	/* the sender first, then what makes it this message of its */
	*at++ = p->flags & PUB_F_FROM_USER;
	*at++ = (uint8_t)p->from.n;
	if (p->from.n > 0)
		memcpy(at, p->from.p, p->from.n);
	at += p->from.n;
	struct dedupe_id id = {.sender = hash_keyed(w->hash_key, BYTES(text, (size_t)(at - text)))};
	memcpy(at, &p->space, sizeof(p->space));
	at += sizeof(p->space);
	*at++ = (uint8_t)p->channel.n;
	memcpy(at, p->channel.p, p->channel.n);
	at += p->channel.n;
	memcpy(at, p->id.p, p->id.n);
	at += p->id.n;
	id.hash = hash_keyed(w->hash_key, BYTES(text, (size_t)(at - text)));
	return id;
}

/* A publication of a client. One that was taken before, and is sent again because its sender did not
 * hear of that, gets the same answer and goes no further. */
static enum hub_outcome take(struct worker *w, struct publication *p)
{
	if (publication_is_event(p)) /* who left while his home was down */
		return home_event(w, p, CONN_NONE);
	if (p->id.n == 0)
		return home_say(w, p);
	struct dedupe *d = &w->engine->taken;
	struct dedupe_id id = id_of(w, p);
	const struct dedupe_place *before = dedupe_find(d, id, w->now_ns);
	p->id = BYTES(NULL, 0); /* subscribers have no use for it */
	if (before != NULL) {
		p->epoch = before->epoch;
		p->offset = before->offset;
		return HUB_OK;
	}
	enum hub_outcome outcome = home_say(w, p);
	if (outcome == HUB_OK)
		dedupe_add(d, id, (struct dedupe_place){p->epoch, p->offset}, w->now_ns);
	return outcome;
}

static void home_tell(struct worker *w, enum pub_kind kind, const struct engine_who *who,
		      uint16_t space, struct bytes channel)
{
	struct publication p = {
		.space = space,
		.kind = (uint8_t)kind,
		.flags = (uint8_t)(PUB_F_NO_ECHO | (who->from_user ? PUB_F_FROM_USER : 0)),
		.channel = channel,
		.from = who->from,
		.sender = who->conn,
	};
	home_event(w, &p, kind == PUB_JOIN ? who->conn.worker : CONN_NONE);
}

/* What of the history the subscriber gets, and whether that is all that it has missed. Who has the
 * channel already (`again`) has heard all that came since, and what is older cannot come
 * behind it any more. */
static bool recover(const struct worker *w, const struct history *h, bool again,
		    const struct hub_subscribe_args *a, struct history_part *old)
{
	uint64_t max = w->cfg->memory.connection_queue_bytes / 2; /* the rest is for what is new */
	if (a->flags & HUB_SUB_RECOVER && a->epoch != h->epoch)
		return false;
	if (a->flags & HUB_SUB_RECOVER)
		return again ? a->offset == h->offset : history_since(h, a->offset, max, old);
	if (a->history > 0 && !again)
		history_last(h, a->history, max, old);
	return false;
}

/* Counts one more and gives the position. False: no memory. */
static bool home_subscribe(struct worker *w, const struct engine_who *who,
			   const struct hub_subscribe_args *a, struct hub_position *at,
			   struct history_part *old)
{
	struct home *h = &w->engine->home;
	uint32_t hash = hub_hash(w, a->space, a->channel);
	unsigned from = who->conn.worker;
	struct home_channel *ch = home_find(h, hash, a->space, a->channel);
	bool again = ch != NULL && who->again && home_of_worker(ch, from) > 0;
	if (!again)
		ch = home_add(h, hash, a->space, a->channel, from, 1);
	if (ch == NULL)
		return false;
	*at = (struct hub_position){.count = home_total(ch)};
	*old = (struct history_part){0};
	if (ch->history != NULL) {
		at->epoch = ch->history->epoch;
		at->offset = ch->history->offset;
		at->recovered = recover(w, ch->history, again, a, old);
	}
	return true;
}

/* Of a channel that is there. */
static const struct history *home_history(struct worker *w, const struct hub_subscribe_args *a)
{
	struct home *h = &w->engine->home;
	const struct home_channel *ch =
		home_find(h, hub_hash(w, a->space, a->channel), a->space, a->channel);
	return ch != NULL ? ch->history : NULL;
}

/* What a RECALL gets; *at tells where the channel is, if anything is kept of it. */
static void home_recall(struct worker *w, const struct hub_subscribe_args *a,
			struct hub_position *at, struct history_part *old)
{
	const struct history *h = home_history(w, a);
	uint64_t max = MIN(a->max_bytes, w->cfg->memory.connection_queue_bytes / 2);
	*at = (struct hub_position){0};
	*old = (struct history_part){0};
	if (h == NULL)
		return;
	at->epoch = h->epoch;
	at->offset = h->offset;
	if (a->flags & HUB_SUB_RECOVER) {
		bool is_its = a->epoch == h->epoch;
		bool whole = history_after(h, is_its ? a->offset : 0, a->history, max, old);
		at->recovered = is_its && whole;
		return;
	}
	history_last(h, a->history, max, old);
	if (old->n == 0)
		history_last(h, MIN(a->history, 1), UINT64_MAX, old);
}

static void home_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			     struct bytes channel)
{
	struct home *h = &w->engine->home;
	struct home_channel *ch = home_find(h, hub_hash(w, space, channel), space, channel);
	if (ch != NULL)
		home_sub(h, ch, who->conn.worker);
}

/* ── our own clients at our own channels: plain calls ── */

/* The answer may have ended the conn, and that may have changed the history; what follows here
 * changes nothing. */
static void self_replay(struct worker *w, const struct engine_who *who,
			const struct hub_subscribe_args *a, const struct history_part *old)
{
	const struct history *h = home_history(w, a);
	if (h == NULL || old->from < history_first(h))
		return;
	for (uint32_t i = 0; i < old->n; i++) {
		const struct history_entry *e = history_at(h, old->from + i);
		struct publication p;
		if (e == NULL)
			continue;
		history_read(e, &p);
		hub_on_replay(w, &who->conn, a, &p);
	}
}

enum hub_outcome memory_self_subscribe(struct worker *w, const struct engine_who *who,
				       const struct hub_subscribe_args *a)
{
	struct hub_position at;
	struct history_part old;
	if (!home_subscribe(w, who, a, &at, &old))
		return HUB_OVERLOADED;
	if (old.n > 0 && fanout_full(w)) {
		old.n = 0;
		at.recovered = false;
	}
	hub_on_subscribed(w, &who->conn, a, &at);
	if (old.n > 0)
		self_replay(w, who, a, &old);
	/* the answer may have ended it, and then it has left already */
	const struct conn *c = conn_deref(&w->slab, who->conn.index, who->conn.gen);
	if (who->events && c != NULL && hub_is_subscribed(w, c, a->space, a->channel))
		home_tell(w, PUB_JOIN, who, a->space, a->channel);
	return HUB_OK;
}

struct own_old {
	struct hub_old old;
	const struct history *h;
	struct history_part rest;
};

static bool next_own(struct hub_old *old, struct publication *p)
{
	struct own_old *it = (struct own_old *)old;
	while (it->rest.n > 0) {
		const struct history_entry *e = history_at(it->h, it->rest.from++);
		it->rest.n--;
		if (e == NULL)
			continue;
		history_read(e, p);
		return true;
	}
	return false;
}

void memory_self_recall(struct worker *w, const struct engine_who *who,
			const struct hub_subscribe_args *a)
{
	struct own_old it = {.old.next = next_own};
	struct hub_position at;
	home_recall(w, a, &at, &it.rest);
	it.h = home_history(w, a);
	hub_on_recalled(w, &who->conn, a, &at, HUB_OK, &it.old);
}

void memory_self_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			     struct bytes channel, uint8_t encoding, struct bytes ask)
{
	home_unsubscribe(w, who, space, channel);
	if (who->answer)
		hub_on_unsubscribed(w, &who->conn, space, channel, encoding, ask);
	if (who->events)
		home_tell(w, PUB_LEAVE, who, space, channel);
}

enum hub_outcome memory_self_publish(struct worker *w, const struct publication *asked)
{
	struct publication p = *asked;
	enum hub_outcome outcome = take(w, &p);
	if (outcome != HUB_OK || !(p.flags & PUB_F_ACK))
		return outcome;
	p.skipped = memory_skipped(w, hub_hash(w, p.space, p.channel));
	hub_on_published(w, &p, HUB_OK);
	return outcome;
}

/* ── what other workers ask of us ── */

/* The answer with the old publications behind it. False: there is no room for them between us. */
static bool send_old(struct worker *w, unsigned to, uint16_t type,
		     const struct hub_subscribe_args *a, const struct wire_subscribed *answer,
		     const struct history_part *old)
{
	const struct history *h = home_history(w, a);
	struct wire_replay m = {.answer = *answer};
	struct bytes *parts = malloc((1 + (size_t)old->n) * sizeof(*parts));
	if (parts == NULL)
		return false;
	for (uint32_t i = 0; i < old->n; i++) {
		const struct history_entry *e = history_at(h, old->from + i);
		if (e != NULL)
			parts[1 + m.n++] = history_item(e);
	}
	parts[0] = BYTES(&m, sizeof(m));
	bool sent = (m.n > 0 || type != MSG_REPLAY) &&
		    mailbox_send(w->mailbox, to, type, 0, parts, 1 + (size_t)m.n,
				 MAILBOX_MAY_REFUSE) == MAILBOX_OK;
	free(parts);
	return sent;
}

static void answer_recall(struct worker *w, const struct wire_request *r)
{
	unsigned from = r->who.conn.worker;
	struct hub_position at;
	struct history_part old;
	home_recall(w, &r->a, &at, &old);
	struct wire_subscribed m = {
		.epoch = at.epoch,
		.offset = at.offset,
		.seq = r->seq,
		.outcome = HUB_OK,
		.recovered = at.recovered,
	};
	if (send_old(w, from, MSG_RECALLED, &r->a, &m, &old))
		return;
	struct wire_replay none = {.answer = {.seq = r->seq, .outcome = HUB_OVERLOADED}};
	memory_send(w, from, MSG_RECALLED, &BYTES(&none, sizeof(none)), 1);
}

static void answer_subscribe(struct worker *w, const struct wire_request *r)
{
	unsigned from = r->who.conn.worker;
	struct hub_position at = {0};
	struct history_part old = {0};
	bool ok = home_subscribe(w, &r->who, &r->a, &at, &old);
	struct wire_subscribed m = {
		.epoch = at.epoch,
		.offset = at.offset,
		.seq = r->seq,
		.count = at.count,
		.outcome = ok ? HUB_OK : HUB_OVERLOADED,
		.recovered = at.recovered,
	};
	if (old.n == 0 || !send_old(w, from, MSG_REPLAY, &r->a, &m, &old)) {
		m.recovered = m.recovered && old.n == 0;
		memory_send(w, from, MSG_SUBSCRIBED, &BYTES(&m, sizeof(m)), 1);
	}
	if (ok && r->who.events)
		home_tell(w, PUB_JOIN, &r->who, r->a.space, r->a.channel);
}

static void answer_unsubscribe(struct worker *w, const struct wire_request *r)
{
	home_unsubscribe(w, &r->who, r->a.space, r->a.channel);
	struct wire_unsubscribed m = {.seq = r->seq};
	if (r->seq != 0)
		memory_send(w, r->who.conn.worker, MSG_UNSUBSCRIBED, &BYTES(&m, sizeof(m)), 1);
	if (r->who.events)
		home_tell(w, PUB_LEAVE, &r->who, r->a.space, r->a.channel);
}

static void answer_publish(struct worker *w, unsigned from, uint32_t seq,
			   const struct publication *p, enum hub_outcome outcome)
{
	if (seq == 0 && (outcome == HUB_OK || p->sender.gen == 0))
		return;
	struct wire_published m = {
		.epoch = outcome == HUB_OK ? p->epoch : 0,
		.offset = outcome == HUB_OK ? p->offset : 0,
		.seq = seq,
		.outcome = (uint8_t)outcome,
	};
	if (outcome == HUB_OK)
		m.skipped = memory_skipped(w, hub_hash(w, p->space, p->channel));
	struct bytes parts[2] = {BYTES(&m, sizeof(m)), BYTES(NULL, 0)};
	if (seq == 0) {
		m.index = p->sender.index;
		m.gen = p->sender.gen;
		m.space = p->space;
		m.channel_n = (uint8_t)p->channel.n;
		parts[1] = p->channel;
	}
	memory_send(w, from, MSG_PUBLISHED, parts, ARRAY_SIZE(parts));
}

/* SUBSCRIBE, UNSUBSCRIBE, RECALL */
static bool on_ask(struct worker *w, unsigned from, uint16_t type, struct bytes payload, bool open)
{
	struct wire_request r;
	if (!wire_ask_unpack(payload, from, &r) || !memory_is_ours(w, r.a.space, r.a.channel) ||
	    (type != MSG_UNSUBSCRIBE && r.seq == 0))
		return false;
	if (!open) {
		memory_keep_early(w->engine, from, type, payload);
	} else if (type == MSG_SUBSCRIBE) {
		answer_subscribe(w, &r);
	} else if (type == MSG_RECALL) {
		answer_recall(w, &r);
	} else {
		answer_unsubscribe(w, &r);
	}
	return true;
}

static bool on_publish(struct worker *w, unsigned from, struct bytes payload, bool open)
{
	struct engine *e = w->engine;
	struct publication p;
	uint32_t seq;
	if (!wire_publish_unpack(payload, from, &seq, &p) || !memory_is_ours(w, p.space, p.channel))
		return false;
	if (!open && e->held_bytes + payload.n <= e->held_max) {
		memory_keep_early(e, from, MSG_PUBLISH, payload);
		return true;
	}
	enum hub_outcome outcome = open ? take(w, &p) : HUB_UNAVAILABLE;
	answer_publish(w, from, seq, &p, outcome);
	return true;
}

bool memory_on_request(struct worker *w, unsigned from, uint16_t type, struct bytes payload,
		       bool open)
{
	return type == MSG_PUBLISH ? on_publish(w, from, payload, open) :
				     on_ask(w, from, type, payload, open);
}
