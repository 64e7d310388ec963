/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.c - the engine without a server beside it: each channel has a home worker.
 *
 *   asking worker                       home = hash(space, name)
 *   hub_publish ── MSG_PUBLISH ───────► offset n+1, then to every worker that has subscribers:
 *   hub_on_deliver ◄── MSG_DELIVER ───┤
 *   hub_subscribe ─ MSG_SUBSCRIBE ────► count, position
 *   hub_on_subscribed ◄ MSG_SUBSCRIBED┤
 *   hub_on_replay     ◄───── MSG_REPLAY┘ instead, where the channel keeps what was missed
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
#include "engine/memory.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"

#define GATHER_MS 2000u /* a peer that has not announced by then is stuck: go on without it */

static struct engine *memory_new(struct worker *w)
{
	struct engine *e = calloc(1, sizeof(*e) + w->n_workers * sizeof(e->peer[0]));
	if (e == NULL)
		return NULL;
	if (!home_init(&e->home, w)) {
		free(e);
		return NULL;
	}
	dedupe_init(&e->taken, w->cfg->memory.message_ids, w->cfg->memory.message_ids_of_sender,
		    w->cfg->dedupe_window_ms * 1000000ull);
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
	memory_skipped_free(e);
	home_fini(&e->home);
	dedupe_fini(&e->taken);
	free(e);
}

unsigned memory_home_of(const struct worker *w, uint32_t hash)
{
	return hash_pick((uint64_t)hash << 32, w->n_workers);
}

void memory_send(struct worker *w, unsigned to, uint16_t type, const struct bytes *parts, size_t n)
{
	enum mailbox_result r = mailbox_send(w->mailbox, to, type, 0, parts, n, MAILBOX_MUST);
	assert(r == MAILBOX_OK); /* small, or it went through the same door before */
	(void)r;
}

bool memory_is_ours(const struct worker *w, uint16_t space, struct bytes channel)
{
	return memory_home_of(w, hub_hash(w, space, channel)) == w->id;
}

void *memory_need(void *p)
{
	if (p == NULL) {
		log_error("engine: out of memory");
		abort();
	}
	return p;
}

static bool on_deliver(struct worker *w, unsigned from, struct bytes payload)
{
	struct publication p;
	if (!publication_unpack(payload, &p) ||
	    memory_home_of(w, hub_hash(w, p.space, p.channel)) != from)
		return false;
	hub_on_deliver(w, &p);
	return true;
}

bool memory_handle(struct worker *w, unsigned from, uint16_t type, struct bytes payload, bool open)
{
	switch (type) {
	case MSG_SUBSCRIBE:
	case MSG_UNSUBSCRIBE:
	case MSG_RECALL:
	case MSG_PUBLISH: return memory_on_request(w, from, type, payload, open);
	case MSG_SUBSCRIBED:
	case MSG_REPLAY:
	case MSG_UNSUBSCRIBED:
	case MSG_RECALLED:
	case MSG_PUBLISHED: return memory_on_answer(w, from, type, payload);
	case MSG_DELIVER: return on_deliver(w, from, payload);
	case MSG_SKIPPED: return memory_on_skipped(w, payload);
	default: return false;
	}
}

static bool memory_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	if (from >= w->n_workers || from == w->id)
		return false;
	if (type == MSG_ANNOUNCE)
		return memory_on_announce(w, from, payload);
	return memory_handle(w, from, type, payload, w->engine->peer[w->id].up);
}

static struct hub_position position_of(const struct home_channel *ch)
{
	const struct history *h = ch->history;
	struct hub_position at = {.count = home_total(ch)};
	if (h != NULL) {
		at.epoch = h->epoch;
		at.offset = h->offset;
		at.kept = h->entries;
		at.kept_bytes = h->bytes;
	}
	return at;
}

static bool memory_info(struct worker *w, uint16_t space, struct bytes channel,
			struct hub_position *at)
{
	uint32_t hash = hub_hash(w, space, channel);
	const struct home_channel *ch = home_find(&w->engine->home, hash, space, channel);
	if (ch == NULL)
		return false;
	*at = position_of(ch);
	return true;
}

static uint32_t memory_purge(struct worker *w, uint16_t space, struct bytes channel,
			     struct bytes from)
{
	struct home *h = &w->engine->home;
	struct home_channel *ch = home_find(h, hub_hash(w, space, channel), space, channel);
	return ch != NULL && ch->history != NULL ? history_purge(&h->store, ch->history, from) : 0;
}

static bool memory_next_home(struct worker *w, uint32_t *cursor, uint16_t *space,
			     struct bytes *name, struct hub_position *at)
{
	const struct home_channel *ch = home_next(&w->engine->home, cursor);
	if (ch == NULL)
		return false;
	*space = ch->key.space;
	*name = channel_name(&ch->key);
	*at = position_of(ch);
	return true;
}

static size_t memory_bytes(const struct engine *e)
{
	size_t n = sizeof(*e) + e->n_peers * sizeof(e->peer[0]) + home_memory(&e->home) +
		   dedupe_memory(&e->taken);
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
	.recall = memory_recall,
	.publish = memory_publish,
	.message = memory_message,
	.worker_down = memory_worker_down,
	.worker_up = memory_worker_up,
	.tick = memory_tick,
	.info = memory_info,
	.next_home = memory_next_home,
	.purge = memory_purge,
	.memory = memory_bytes,
};
