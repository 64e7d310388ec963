/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.h - inside of the memory engine, whose story is told in memory.c. Nobody else includes
 * this.
 *
 *   dedupe.c   ids of publications that were taken lately
 *   history.c  the last publications of each channel at home here
 *   coming.c   who comes to big ones of them and leaves
 *   home.c     the channels at home here
 *   memory.c   the table's row: begins, ends, sorts what arrives
 *   ask.c      what this worker asks of homes, and what they answer
 *   serve.c    what this worker does as a home
 *   skipped.c  deliveries that were dropped for who is slow, so that publishers hear of it
 *   lives.c    workers that die and come back */
#ifndef SLUICE_ENGINE_MEMORY_H
#define SLUICE_ENGINE_MEMORY_H

#include "engine/dedupe.h"
#include "engine/engine.h"
#include "engine/home.h"
#include "engine/request.h"
#include "engine/wire.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

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
	struct dedupe taken;
	uint64_t gather_until_ns;
	struct tally *skipped[2];    /* of our channels: lately, and before; NULL: none ever */
	uint64_t skipped_turn_ns;    /* "lately" becomes "before" */
	size_t held_bytes, held_max; /* requests for who is down, and early messages */
	struct early *early_first, *early_last;
	unsigned n_peers;
	struct peer peer[];
};

/* ── memory.c ── */

/* The worker where a channel with that hub_hash() is at home. */
unsigned memory_home_of(const struct worker *w, uint32_t hash);
bool memory_is_ours(const struct worker *w, uint16_t space, struct bytes channel);
/* What may not be refused. */
void memory_send(struct worker *w, unsigned to, uint16_t type, const struct bytes *parts, size_t n);
/* `p`, unless it is NULL: without memory a count would be wrong for ever, so the worker dies. */
void *memory_need(void *p);
/* A message but for MSG_ANNOUNCE; not `open`: our channels are not open for business. */
bool memory_handle(struct worker *w, unsigned from, uint16_t type, struct bytes payload, bool open);

/* ── ask.c ── */

enum hub_outcome memory_subscribe(struct worker *w, const struct engine_who *who,
				  const struct hub_subscribe_args *a);
void memory_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			struct bytes channel, uint8_t encoding, struct bytes ask);
enum hub_outcome memory_recall(struct worker *w, const struct engine_who *who,
			       const struct hub_subscribe_args *a);
enum hub_outcome memory_publish(struct worker *w, const struct publication *p);
/* MSG_SUBSCRIBED, MSG_REPLAY, MSG_UNSUBSCRIBED, MSG_RECALLED, MSG_PUBLISHED */
bool memory_on_answer(struct worker *w, unsigned from, uint16_t type, struct bytes payload);

uint32_t memory_next_seq(struct peer *k);
/* A publication to its home. `seq` 0: no answer is wanted. */
enum mailbox_result memory_send_publish(struct worker *w, unsigned to, const struct publication *p,
					uint32_t seq, enum mailbox_class class);
/* A SUBSCRIBE, UNSUBSCRIBE or RECALL to its home. */
void memory_send_ask(struct worker *w, unsigned to, const struct request *r);
/* "It has left", of who that was. */
struct publication memory_leave_of(const struct engine_who *who, uint16_t space,
				   struct bytes channel);

/* ── serve.c ── */

/* Our own clients at our own channels. */
enum hub_outcome memory_self_subscribe(struct worker *w, const struct engine_who *who,
				       const struct hub_subscribe_args *a);
void memory_self_unsubscribe(struct worker *w, const struct engine_who *who, uint16_t space,
			     struct bytes channel, uint8_t encoding, struct bytes ask);
void memory_self_recall(struct worker *w, const struct engine_who *who,
			const struct hub_subscribe_args *a);
enum hub_outcome memory_self_publish(struct worker *w, const struct publication *p);
/* Tells of those who came and went what is due. */
void memory_tell_due(struct worker *w);
/* MSG_SUBSCRIBE, MSG_UNSUBSCRIBE, MSG_RECALL, MSG_PUBLISH */
bool memory_on_request(struct worker *w, unsigned from, uint16_t type, struct bytes payload,
		       bool open);

/* ── skipped.c ── */

/* Tells the homes what was dropped here, and forgets what is a second old. */
void memory_tell_skipped(struct worker *w);
/* MSG_SKIPPED */
bool memory_on_skipped(struct worker *w, struct bytes payload);
/* Deliveries of a channel at home here that were dropped within about a second, in all workers. */
uint32_t memory_skipped(const struct worker *w, uint32_t hash);
void memory_skipped_free(struct engine *e);

/* ── lives.c ── */

void memory_worker_down(struct worker *w, unsigned k);
void memory_worker_up(struct worker *w, unsigned k);
void memory_tick(struct worker *w);
bool memory_on_announce(struct worker *w, unsigned from, struct bytes payload);
/* Keeps a request that came while we are gathering. */
void memory_keep_early(struct engine *e, unsigned from, uint16_t type, struct bytes payload);

#endif
