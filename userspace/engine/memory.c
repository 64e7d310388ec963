/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.c - the engine without a server beside it: each channel has a home worker.
 *
 *   asking worker                       home = hash(space, name)
 *   hub_publish ── MSG_PUBLISH ───────► offset n+1, then to every worker that has subscribers:
 *   hub_on_deliver ◄── MSG_DELIVER ───┤
 *   hub_subscribe ─ MSG_SUBSCRIBE ────► count, position
 *   hub_on_subscribed ◄ MSG_SUBSCRIBED┘
 *
 * All that a home says to a worker goes through one ring, in order. So a SUBSCRIBED stands
 * exactly between the DELIVERs that it should, on every worker, and that is the whole of
 * the ordering. Who asks the home that it is itself gets the same by plain calls.
 *
 * Never lost, but refused in time: a home that cannot hand on a publication to *all* who need it
 * (their rings and its own queue are full) gives it to nobody and says so to its sender. Answers,
 * joins and leaves are always taken; what bounds them is that a congested worker
 * stops reading its clients.
 *
 * When home k dies: the counts go with it, and what it had not answered stays here in k's queue
 * with what is asked meanwhile (bounded; beyond: HUB_UNAVAILABLE). When its successor is up,
 * each worker first announces how many subscribers it has per channel, then sends that queue.
 * The successor listens to nothing else before all have announced (`gathering`), or a
 * publication that comes early would miss subscribers that it has not heard of. Publications
 * that were inside k are lost with it, and every channel at home there has a new epoch, which
 * tells so; those that asked for an answer are told HUB_UNAVAILABLE: delivered or not. Who was
 * connected to k and died with it leaves no `leave` behind: only its counts are known.
 *
 * When another worker j dies, its counts are subtracted here. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "engine/home.h"
#include "engine/request.h"
#include "engine/wire.h"
#include "fanout/fanout.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

#define GATHER_MS 2000u /* a peer that has not announced by then is stuck: go on without it */

/* Another worker; of ourselves, `up` says that our own channels are open for business. */
struct peer {
	bool up;
	bool awaited; /* must announce before we are open */
	uint32_t last_seq;
	struct request_queue asked; /* sent and unanswered; if not up, also what is held */
};

/* What came for our channels while we were gathering. */
struct early {
	struct early *next;
	uint16_t from, type;
	uint32_t n;
	uint8_t bytes[] __attribute__((aligned(8)));
};

struct engine {
	struct home home;
	uint64_t gather_until_ns;
	size_t held_bytes, held_max; /* requests for who is down, and early messages */
	struct early *early_first, *early_last;
	unsigned n_peers;
	struct peer peer[];
};

static struct engine *memory_new(struct worker *w)
{
	struct engine *e = calloc(1, sizeof(*e) + w->n_workers * sizeof(e->peer[0]));
	if (e == NULL)
		return NULL;
	if (!home_init(&e->home)) {
		free(e);
		return NULL;
	}
	e->n_peers = w->n_workers;
	e->held_max = w->cfg->memory.mailbox_overflow_bytes / 4;
	e->gather_until_ns = w->now_ns + GATHER_MS * 1000000ull;
	bool gathering = false;
	for (unsigned k = 0; k < w->n_workers; k++) {
		e->peer[k].up = k == w->id || w->member_up[k];
		/* in a first life there is nothing to announce */
		e->peer[k].awaited = k != w->id && w->member_up[k] && w->slab.incarnation > 1;
		gathering |= e->peer[k].awaited;
	}
	if (w->id < w->n_workers)
		e->peer[w->id].up = !gathering;
	return e;
}

static void memory_free(struct engine *e)
{
	if (e == NULL)
		return;
	for (unsigned k = 0; k < e->n_peers; k++)
		for (struct request *r; (r = request_take(&e->peer[k].asked)) != NULL;)
			request_free(r);
	while (e->early_first != NULL) {
		struct early *next = e->early_first->next;
		free(e->early_first);
		e->early_first = next;
	}
	home_fini(&e->home);
	free(e);
}

static unsigned home_worker(const struct worker *w, uint32_t hash)
{
	return hash_pick((uint64_t)hash << 32, w->n_workers);
}

static void send_must(struct worker *w, unsigned to, uint16_t type, const struct bytes *parts,
		      size_t n)
{
	enum mailbox_result r = mailbox_send(w->mailbox, to, type, 0, parts, n, MAILBOX_MUST);
	assert(r == MAILBOX_OK); /* small, or it went through the same door before */
	(void)r;
}

/* ── at home: our own channels ── */

/* Hands a publication to everybody. `joiner`: one subscriber of that worker is the one that comes
 * just now, and need not hear of itself; CONN_NONE: none. */
static enum hub_outcome home_publish(struct worker *w, struct publication *p, uint32_t joiner)
{
	struct home *h = &w->engine->home;
	uint32_t hash = hub_hash(w, p->space, p->channel);
	struct home_channel *ch = home_find(h, hash, p->space, p->channel);
	bool event = p->kind == PUB_JOIN || p->kind == PUB_LEAVE;
	p->timestamp_ms = w->wall_ms;
	p->offset = p->epoch = 0;
	if (ch == NULL)
		return HUB_OK; /* nobody has it: it was heard by all */
	p->epoch = ch->epoch;
	if (publication_is_kept(p))
		p->offset = ch->offset + 1;
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
	if (here && !event && fanout_congested(w))
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
		ch->offset = p->offset;
	if (here)
		hub_on_deliver(w, p);
	return HUB_OK;
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
	home_publish(w, &p, kind == PUB_JOIN ? who->conn.worker : CONN_NONE);
}

/* Counts one more and gives the position. False: no memory. */
static bool home_subscribe(struct worker *w, const struct engine_who *who,
			   const struct hub_subscribe_args *a, struct hub_position *at)
{
	struct home *h = &w->engine->home;
	uint32_t hash = hub_hash(w, a->space, a->channel);
	unsigned from = who->conn.worker;
	struct home_channel *ch = home_find(h, hash, a->space, a->channel);
	if (ch == NULL || !who->again || home_of_worker(ch, from) == 0)
		ch = home_add(h, hash, a->space, a->channel, from, 1);
	if (ch == NULL)
		return false;
	*at = (struct hub_position){
		.epoch = ch->epoch,
		.offset = ch->offset,
		.count = home_total(ch),
		.recovered = a->flags & HUB_SUB_RECOVER && a->epoch == ch->epoch &&
			     a->offset == ch->offset,
	};
	return true;
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

static enum hub_outcome self_subscribe(struct worker *w, const struct engine_who *who,
				       const struct hub_subscribe_args *a)
{
	struct hub_position at;
	if (!home_subscribe(w, who, a, &at))
		return HUB_OVERLOADED;
	hub_on_subscribed(w, &who->conn, a, &at);
	/* the answer may have ended it, and then it has left already */
	const struct conn *c = conn_deref(&w->slab, who->conn.index, who->conn.gen);
	if (who->events && c != NULL && hub_is_subscribed(w, c, a->space, a->channel))
		home_tell(w, PUB_JOIN, who, a->space, a->channel);
	return HUB_OK;
}

static void self_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			     struct bytes channel, uint8_t encoding, struct bytes ask)
{
	home_unsubscribe(w, who, space, channel);
	if (who->answer)
		hub_on_unsubscribed(w, &who->conn, space, channel, encoding, ask);
	if (who->events)
		home_tell(w, PUB_LEAVE, who, space, channel);
}

static enum hub_outcome self_publish(struct worker *w, const struct publication *asked)
{
	struct publication p = *asked;
	enum hub_outcome outcome = home_publish(w, &p, CONN_NONE);
	if (outcome == HUB_OK && p.flags & PUB_F_ACK)
		hub_on_published(w, &p, HUB_OK);
	return outcome;
}

/* ── asking ── */

static uint32_t next_seq(struct peer *k)
{
	if (++k->last_seq == 0)
		k->last_seq = 1;
	return k->last_seq;
}

/* A publication to its home. `seq` 0: no answer is wanted. */
static enum mailbox_result send_publish(struct worker *w, unsigned to, const struct publication *p,
					uint32_t seq, enum mailbox_class class)
{
	struct wire_publish head = {.seq = seq};
	struct publication_head packed;
	struct bytes parts[1 + PUBLICATION_PARTS];
	parts[0] = BYTES(&head, sizeof(head));
	publication_pack(p, &packed, parts + 1);
	return mailbox_send(w->mailbox, to, MSG_PUBLISH, 0, parts, ARRAY_SIZE(parts), class);
}

static void send_ask(struct worker *w, unsigned to, const struct request *r)
{
	struct wire_ask head;
	struct bytes parts[WIRE_ASK_PARTS];
	size_t n = wire_ask_pack(r, &head, parts);
	send_must(w, to, r->type, parts, n);
}

/* Keeps it until its home is up. */
static void hold(struct engine *e, unsigned to, struct request *r)
{
	e->held_bytes += r->bytes;
	request_append(&e->peer[to].asked, r);
}

static enum hub_outcome memory_subscribe(struct worker *w, const struct engine_who *who,
					 const struct hub_subscribe_args *a)
{
	struct engine *e = w->engine;
	unsigned to = home_worker(w, hub_hash(w, a->space, a->channel));
	struct peer *k = &e->peer[to];
	if (to == w->id && k->up)
		return self_subscribe(w, who, a);
	if (!k->up && e->held_bytes > e->held_max)
		return HUB_UNAVAILABLE;
	struct request *r = request_new(MSG_SUBSCRIBE, who, a);
	if (r == NULL)
		return HUB_OVERLOADED;
	if (!k->up) {
		hold(e, to, r);
		return HUB_OK;
	}
	r->seq = next_seq(k);
	r->sent = true;
	request_append(&k->asked, r);
	send_ask(w, to, r);
	return HUB_OK;
}

/* Others hear that it left, even if its home is down: when it is up again. */
static void hold_leave(struct engine *e, unsigned to, const struct engine_who *who, uint16_t space,
		       struct bytes channel)
{
	struct publication p = {
		.space = space,
		.kind = PUB_LEAVE,
		.flags = (uint8_t)(PUB_F_NO_ECHO | (who->from_user ? PUB_F_FROM_USER : 0)),
		.channel = channel,
		.from = who->from,
		.sender = who->conn,
	};
	struct request *r = request_new_publish(&p, true);
	if (r != NULL) /* else they do not: a nicety, no promise */
		hold(e, to, r);
}

/* Without memory a count would be wrong for ever. */
static struct request *must(struct request *r)
{
	if (r == NULL) {
		log_error("engine: out of memory");
		abort();
	}
	return r;
}

static void memory_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			       struct bytes channel, uint8_t encoding, struct bytes ask)
{
	struct engine *e = w->engine;
	unsigned to = home_worker(w, hub_hash(w, space, channel));
	struct peer *k = &e->peer[to];
	if (to == w->id && k->up) {
		self_unsubscribe(w, who, space, channel, encoding, ask);
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
	struct request *r = must(request_new(MSG_UNSUBSCRIBE, who, &a));
	if (!k->up) {
		hold(e, to, r);
		return;
	}
	r->seq = who->answer ? next_seq(k) : 0;
	r->sent = true;
	send_ask(w, to, r);
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

static enum hub_outcome memory_publish(struct worker *w, const struct publication *p)
{
	struct engine *e = w->engine;
	unsigned to = home_worker(w, hub_hash(w, p->space, p->channel));
	struct peer *k = &e->peer[to];
	assert(p->sender.gen == 0 || p->sender.worker == w->id);
	if (!k->up)
		return hold_publish(w, to, p);
	if (to == w->id)
		return self_publish(w, p);
	struct request *r = NULL;
	if (p->flags & PUB_F_ACK) {
		r = request_new_publish(p, false);
		if (r == NULL)
			return HUB_OVERLOADED;
		r->seq = next_seq(k);
		r->sent = true;
	}
	if (send_publish(w, to, p, r ? r->seq : 0, MAILBOX_MAY_REFUSE) != MAILBOX_OK) {
		request_free(r);
		return HUB_OVERLOADED;
	}
	if (r != NULL)
		request_append(&k->asked, r);
	return HUB_OK;
}

/* ── what other workers ask of us ── */

static void answer_subscribe(struct worker *w, const struct wire_request *r)
{
	unsigned from = r->who.conn.worker;
	struct hub_position at = {0};
	bool ok = home_subscribe(w, &r->who, &r->a, &at);
	struct wire_subscribed m = {
		.epoch = at.epoch,
		.offset = at.offset,
		.seq = r->seq,
		.count = at.count,
		.outcome = ok ? HUB_OK : HUB_OVERLOADED,
		.recovered = at.recovered,
	};
	send_must(w, from, MSG_SUBSCRIBED, &BYTES(&m, sizeof(m)), 1);
	if (ok && r->who.events)
		home_tell(w, PUB_JOIN, &r->who, r->a.space, r->a.channel);
}

static void answer_unsubscribe(struct worker *w, const struct wire_request *r)
{
	home_unsubscribe(w, &r->who, r->a.space, r->a.channel);
	struct wire_unsubscribed m = {.seq = r->seq};
	if (r->seq != 0)
		send_must(w, r->who.conn.worker, MSG_UNSUBSCRIBED, &BYTES(&m, sizeof(m)), 1);
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
	struct bytes parts[2] = {BYTES(&m, sizeof(m)), BYTES(NULL, 0)};
	if (seq == 0) {
		m.index = p->sender.index;
		m.gen = p->sender.gen;
		m.space = p->space;
		m.channel_n = (uint8_t)p->channel.n;
		parts[1] = p->channel;
	}
	send_must(w, from, MSG_PUBLISHED, parts, ARRAY_SIZE(parts));
}

static bool is_ours(const struct worker *w, uint16_t space, struct bytes channel)
{
	return home_worker(w, hub_hash(w, space, channel)) == w->id;
}

/* Keeps a request that came while we are gathering. False: no room for it. */
static bool keep_early(struct engine *e, unsigned from, uint16_t type, struct bytes payload)
{
	struct early *m = malloc(sizeof(*m) + payload.n);
	if (m == NULL)
		return false;
	*m = (struct early){.from = (uint16_t)from, .type = type, .n = (uint32_t)payload.n};
	memcpy(m->bytes, payload.p, payload.n);
	if (e->early_last != NULL)
		e->early_last->next = m;
	else
		e->early_first = m;
	e->early_last = m;
	e->held_bytes += sizeof(*m) + payload.n;
	return true;
}

/* SUBSCRIBE, UNSUBSCRIBE */
static bool on_ask(struct worker *w, unsigned from, uint16_t type, struct bytes payload, bool open)
{
	struct wire_request r;
	if (!wire_ask_unpack(payload, from, &r) || !is_ours(w, r.a.space, r.a.channel) ||
	    (type == MSG_SUBSCRIBE && r.seq == 0))
		return false;
	if (!open) {
		if (!keep_early(w->engine, from, type, payload))
			must(NULL);
	} else if (type == MSG_SUBSCRIBE) {
		answer_subscribe(w, &r);
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
	if (!wire_publish_unpack(payload, from, &seq, &p) || !is_ours(w, p.space, p.channel))
		return false;
	enum hub_outcome outcome = HUB_UNAVAILABLE;
	if (open)
		outcome = home_publish(w, &p, CONN_NONE);
	else if (e->held_bytes + payload.n <= e->held_max &&
		 keep_early(e, from, MSG_PUBLISH, payload))
		return true;
	answer_publish(w, from, seq, &p, outcome);
	return true;
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

static bool on_subscribed(struct worker *w, unsigned from, struct bytes payload)
{
	struct wire_subscribed m;
	struct request *r = NULL;
	if (wire_subscribed_unpack(payload, &m))
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
	request_free(r);
	return true;
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
	hub_on_published(w, &r->pub, m.outcome);
	request_free(r);
	return true;
}

static bool on_deliver(struct worker *w, unsigned from, struct bytes payload)
{
	struct publication p;
	if (!publication_unpack(payload, &p) ||
	    home_worker(w, hub_hash(w, p.space, p.channel)) != from)
		return false;
	hub_on_deliver(w, &p);
	return true;
}

/* ── a new life: of a peer, or our own ── */

struct announcing {
	struct worker *w;
	unsigned to;
	struct wire_announcing list;
};

static void announce_one(void *ctx, uint32_t hash, uint16_t space, struct bytes name,
			 uint32_t members)
{
	struct announcing *a = ctx;
	if (members == 0 || home_worker(a->w, hash) != a->to)
		return;
	if (wire_announce_add(&a->list, members, space, name))
		return;
	struct bytes all = wire_announce_end(&a->list, false);
	send_must(a->w, a->to, MSG_ANNOUNCE, &all, 1);
	wire_announce_begin(&a->list);
	wire_announce_add(&a->list, members, space, name);
}

static void announce(struct worker *w, unsigned to)
{
	struct announcing a = {.w = w, .to = to};
	wire_announce_begin(&a.list);
	hub_each(w->hub, announce_one, &a);
	struct bytes all = wire_announce_end(&a.list, true);
	send_must(w, to, MSG_ANNOUNCE, &all, 1);
}

/* One request of a home's queue, to its successor, and back into the queue if it will be
 * answered. Who has left meanwhile was not announced either; only that it left is told. */
static void ask_again(struct worker *w, unsigned to, struct request *r, struct request_queue *kept)
{
	struct peer *k = &w->engine->peer[to];
	r->sent = true;
	r->seq = 0;
	if (r->type == MSG_PUBLISH) {
		if (r->pub.flags & PUB_F_ACK)
			r->seq = next_seq(k);
		/* it was taken, so it is not refused now; a block too large went nowhere before */
		send_publish(w, to, &r->pub, r->seq, MAILBOX_MUST);
	} else if (hub_concerns(w, &r->who.conn, r->args.space, r->args.channel)) {
		r->seq = next_seq(k);
		send_ask(w, to, r);
	} else if (r->type == MSG_UNSUBSCRIBE && r->who.events) {
		struct publication p = {
			.space = r->args.space,
			.kind = PUB_LEAVE,
			.flags =
				(uint8_t)(PUB_F_NO_ECHO | (r->who.from_user ? PUB_F_FROM_USER : 0)),
			.channel = r->args.channel,
			.from = r->who.from,
			.sender = r->who.conn,
		};
		send_publish(w, to, &p, 0, MAILBOX_MUST);
	}
	if (r->seq != 0)
		request_append(kept, r);
	else
		request_free(r);
}

/* All in the queue are held again, but for publications: whether those were delivered only the
 * dead could say. They come back as a queue of their own. */
static struct request_queue unsend(struct engine *e, struct peer *k)
{
	struct request_queue all = k->asked, lost = {0};
	k->asked = (struct request_queue){0};
	for (struct request *r; (r = request_take(&all)) != NULL;) {
		if (r->type == MSG_PUBLISH && r->sent) {
			request_append(&lost, r);
			continue;
		}
		if (r->sent)
			e->held_bytes += r->bytes;
		r->sent = false;
		request_append(&k->asked, r);
	}
	return lost;
}

static void early_from_forget(struct engine *e, unsigned from)
{
	struct early **at = &e->early_first;
	e->early_last = NULL;
	while (*at != NULL) {
		struct early *m = *at;
		if (m->from != from) {
			e->early_last = m;
			at = &m->next;
			continue;
		}
		*at = m->next;
		e->held_bytes -= sizeof(*m) + m->n;
		free(m);
	}
}

/* A request of our own clients to ourselves, late. */
static void self_again(struct worker *w, struct request *r)
{
	if (r->type == MSG_SUBSCRIBE) {
		if (self_subscribe(w, &r->who, &r->args) != HUB_OK)
			hub_on_subscription_lost(w, &r->who.conn, &r->args);
	} else if (r->type == MSG_UNSUBSCRIBE) {
		self_unsubscribe(w, &r->who, r->args.space, r->args.channel, r->args.encoding,
				 r->args.ask);
	} else {
		enum hub_outcome outcome = self_publish(w, &r->pub);
		if (outcome != HUB_OK)
			hub_on_published(w, &r->pub, outcome);
	}
	request_free(r);
}

static bool handle(struct worker *w, unsigned from, uint16_t type, struct bytes payload, bool open)
{
	switch (type) {
	case MSG_SUBSCRIBE:
	case MSG_UNSUBSCRIBE: return on_ask(w, from, type, payload, open);
	case MSG_PUBLISH: return on_publish(w, from, payload, open);
	case MSG_SUBSCRIBED: return on_subscribed(w, from, payload);
	case MSG_UNSUBSCRIBED: return on_unsubscribed(w, from, payload);
	case MSG_PUBLISHED: return on_published(w, from, payload);
	case MSG_DELIVER: return on_deliver(w, from, payload);
	default: return false;
	}
}

/* All have announced: first what others asked meanwhile, then our own clients. What is asked
 * while this goes on queues behind it: we are `up` only when nothing waits any more. */
static void open_if_gathered(struct worker *w)
{
	struct engine *e = w->engine;
	struct peer *self = &e->peer[w->id];
	if (self->up)
		return;
	for (unsigned k = 0; k < e->n_peers; k++)
		if (e->peer[k].awaited)
			return;
	while (e->early_first != NULL) {
		struct early *m = e->early_first;
		e->early_first = m->next;
		if (m->next == NULL)
			e->early_last = NULL;
		e->held_bytes -= sizeof(*m) + m->n;
		handle(w, m->from, m->type, BYTES(m->bytes, m->n), true);
		free(m);
	}
	for (struct request *r; (r = request_take(&self->asked)) != NULL;) {
		e->held_bytes -= r->bytes;
		self_again(w, r);
	}
	self->up = true;
}

static bool on_announce(struct worker *w, unsigned from, struct bytes payload)
{
	struct engine *e = w->engine;
	struct wire_announced it;
	uint32_t count;
	uint16_t space;
	struct bytes channel;
	wire_announced_begin(&it, payload);
	while (wire_announced_next(&it, &count, &space, &channel)) {
		if (!is_ours(w, space, channel))
			return false;
		uint32_t hash = hub_hash(w, space, channel);
		if (home_add(&e->home, hash, space, channel, from, count) == NULL)
			must(NULL);
	}
	if (it.bad)
		return false;
	if (it.last) {
		e->peer[from].awaited = false;
		open_if_gathered(w);
	}
	return true;
}

static bool memory_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	if (from >= w->n_workers || from == w->id)
		return false;
	if (type == MSG_ANNOUNCE)
		return on_announce(w, from, payload);
	return handle(w, from, type, payload, w->engine->peer[w->id].up);
}

static void memory_worker_down(struct worker *w, unsigned k)
{
	struct engine *e = w->engine;
	struct peer *p = &e->peer[k];
	if (k == w->id)
		return;
	home_forget(&e->home, k);
	early_from_forget(e, k);
	p->up = false;
	p->awaited = false;
	struct request_queue lost = unsend(e, p);
	for (struct request *r; (r = request_take(&lost)) != NULL;) {
		hub_on_published(w, &r->pub, HUB_UNAVAILABLE);
		request_free(r);
	}
	open_if_gathered(w);
}

static void memory_worker_up(struct worker *w, unsigned k)
{
	struct engine *e = w->engine;
	struct peer *p = &e->peer[k];
	if (k == w->id || p->up)
		return;
	announce(w, k);
	struct request_queue all = p->asked;
	p->asked = (struct request_queue){0};
	for (struct request *r; (r = request_take(&all)) != NULL;) {
		e->held_bytes -= r->bytes;
		ask_again(w, k, r, &p->asked);
	}
	p->up = true;
}

static void memory_tick(struct worker *w)
{
	struct engine *e = w->engine;
	if (e->peer[w->id].up || w->now_ns < e->gather_until_ns)
		return;
	for (unsigned k = 0; k < e->n_peers; k++) {
		if (e->peer[k].awaited)
			log_warn("worker %u: worker %u has not announced its channels: going on "
				 "without it",
				 w->id, k);
		e->peer[k].awaited = false;
	}
	open_if_gathered(w);
}

static bool memory_info(struct worker *w, uint16_t space, struct bytes channel,
			struct hub_position *at)
{
	uint32_t hash = hub_hash(w, space, channel);
	const struct home_channel *ch = home_find(&w->engine->home, hash, space, channel);
	if (ch == NULL)
		return false;
	*at = (struct hub_position){
		.epoch = ch->epoch, .offset = ch->offset, .count = home_total(ch)};
	return true;
}

static size_t memory_bytes(const struct engine *e)
{
	size_t n = sizeof(*e) + e->n_peers * sizeof(e->peer[0]) + home_memory(&e->home);
	for (const struct early *m = e->early_first; m != NULL; m = m->next)
		n += sizeof(*m) + m->n;
	for (unsigned k = 0; k < e->n_peers; k++)
		for (const struct request *r = e->peer[k].asked.first; r != NULL; r = r->next)
			n += r->bytes;
	return n;
}

const struct engine_ops engine_memory = {
	.name = "memory",
	.new = memory_new,
	.free = memory_free,
	.subscribe = memory_subscribe,
	.unsubscribe = memory_unsubscribe,
	.publish = memory_publish,
	.message = memory_message,
	.worker_down = memory_worker_down,
	.worker_up = memory_worker_up,
	.tick = memory_tick,
	.info = memory_info,
	.memory = memory_bytes,
};
