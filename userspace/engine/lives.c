/* SPDX-License-Identifier: BSD-2-Clause */
/* lives.c - workers that die and come back, others and ourselves (memory.c tells what is promised).
 *
 * A home k that is down gets nothing: its queue holds. Its successor gets, from each worker, in one
 * go: what channels it has (announce), then the queue again. What cannot be told from one
 * that was answered is not asked again: publications. Who has left meanwhile is neither
 * announced nor asked for.
 *
 * As a successor we keep what comes early, and our own clients' requests in the queue to
 * ourselves, until all have announced. */
#include "engine/memory.h"

#include <stdlib.h>

#include "base/log.h"

void memory_keep_early(struct engine *e, unsigned from, uint16_t type, struct bytes payload)
{
	struct early *m = memory_need(malloc(sizeof(*m) + payload.n));
	*m = (struct early){.from = (uint16_t)from, .type = type, .n = (uint32_t)payload.n};
	memcpy(m->bytes, payload.p, payload.n);
	if (e->early_last != NULL)
		e->early_last->next = m;
	else
		e->early_first = m;
	e->early_last = m;
	e->held_bytes += sizeof(*m) + payload.n;
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
	if (members == 0 || memory_home_of(a->w, hash) != a->to)
		return;
	if (wire_announce_add(&a->list, members, space, name))
		return;
	struct bytes all = wire_announce_end(&a->list, false);
	memory_send(a->w, a->to, MSG_ANNOUNCE, &all, 1);
	wire_announce_begin(&a->list);
	wire_announce_add(&a->list, members, space, name);
}

static void announce(struct worker *w, unsigned to)
{
	struct announcing a = {.w = w, .to = to};
	wire_announce_begin(&a.list);
	hub_each(w->hub, announce_one, &a);
	struct bytes all = wire_announce_end(&a.list, true);
	memory_send(w, to, MSG_ANNOUNCE, &all, 1);
}

/* Is there still somebody who waits for the answer? */
static bool concerns(struct worker *w, const struct request *r)
{
	const struct conn_ref *who = &r->who.conn;
	return r->type == MSG_RECALL ? conn_deref(&w->slab, who->index, who->gen) != NULL :
				       hub_concerns(w, who, r->args.space, r->args.channel);
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
			r->seq = memory_next_seq(k);
		/* it was taken, and measured then: it is not refused now */
		memory_send_publish(w, to, &r->pub, r->seq, MAILBOX_MUST);
	} else if (concerns(w, r)) {
		r->seq = memory_next_seq(k);
		memory_send_ask(w, to, r);
	} else if (r->type == MSG_UNSUBSCRIBE && r->who.events) {
		struct publication p = memory_leave_of(&r->who, r->args.space, r->args.channel);
		memory_send_publish(w, to, &p, 0, MAILBOX_MUST);
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
		if (memory_self_subscribe(w, &r->who, &r->args) != HUB_OK)
			hub_on_subscription_lost(w, &r->who.conn, &r->args);
	} else if (r->type == MSG_UNSUBSCRIBE) {
		memory_self_unsubscribe(w, &r->who, r->args.space, r->args.channel,
					r->args.encoding, r->args.ask);
	} else if (r->type == MSG_RECALL) {
		memory_self_recall(w, &r->who, &r->args);
	} else {
		enum hub_outcome outcome = memory_self_publish(w, &r->pub);
		if (outcome != HUB_OK)
			hub_on_published(w, &r->pub, outcome);
	}
	request_free(r);
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
		memory_handle(w, m->from, m->type, BYTES(m->bytes, m->n), true);
		free(m);
	}
	for (struct request *r; (r = request_take(&self->asked)) != NULL;) {
		e->held_bytes -= r->bytes;
		self_again(w, r);
	}
	self->up = true;
}

bool memory_on_announce(struct worker *w, unsigned from, struct bytes payload)
{
	struct engine *e = w->engine;
	struct wire_announced it;
	uint32_t count;
	uint16_t space;
	struct bytes channel;
	wire_announced_begin(&it, payload);
	while (wire_announced_next(&it, &count, &space, &channel)) {
		if (!memory_is_ours(w, space, channel))
			return false;
		uint32_t hash = hub_hash(w, space, channel);
		memory_need(home_add(&e->home, hash, space, channel, from, count));
	}
	if (it.bad)
		return false;
	if (it.last) {
		e->peer[from].awaited = false;
		open_if_gathered(w);
	}
	return true;
}

void memory_worker_down(struct worker *w, unsigned k)
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

void memory_worker_up(struct worker *w, unsigned k)
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

void memory_tick(struct worker *w)
{
	struct engine *e = w->engine;
	memory_tell_due(w);
	memory_tell_skipped(w);
	home_sweep(&e->home);
	dedupe_sweep(&e->taken, w->now_ns);
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
