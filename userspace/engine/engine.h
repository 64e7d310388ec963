/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.h - who gives epoch and offset, and thereby the one order that all
 * subscribers see. The memory engine does it in the channel's home worker (a hash of
 * its name); Redis and NATS will be further rows of the table.
 *
 * Contract, whatever the engine: for one channel, all hub_on_* calls on every worker come
 * in the same order; a SUBSCRIBED that says offset n is followed by exactly the publications
 * after n, and between the two by what its subscriber has missed, if that is kept. epoch changes when offsets cannot be continued. Nothing accepted is lost while
 * the processes that hold it live; what cannot be accepted is refused to its sender.
 *
 * A call may be answered before it returns, and any conn may be gone then. */
#ifndef SLUICE_ENGINE_ENGINE_H
#define SLUICE_ENGINE_ENGINE_H

#include "hub/hub.h"

struct engine;

/* Who comes or goes. `from` is lent for the call. */
struct engine_who {
	struct conn_ref conn;
	struct bytes from; /* as others hear of it, PUB_JOIN and PUB_LEAVE */
	bool from_user;
	bool events; /* others hear of it */
	bool again;  /* subscribe: has the channel already, changes its encoding only */
	bool answer; /* unsubscribe: hub_on_unsubscribed() is wanted */
};

struct engine_ops {
	const char *name;
	struct engine *(*new)(struct worker *w);
	void (*free)(struct engine *e);
	enum hub_outcome (*subscribe)(struct worker *w, const struct engine_who *who,
				      const struct hub_subscribe_args *a);
	/* Never refused. Without `answer` the conn has left the hub's sets already. */
	void (*unsubscribe)(struct worker *w, const struct engine_who *who, uint16_t space,
			    struct bytes channel, uint8_t encoding, struct bytes ask);
	enum hub_outcome (*recall)(struct worker *w, const struct engine_who *who,
				   const struct hub_subscribe_args *a);
	enum hub_outcome (*publish)(struct worker *w, const struct publication *p);
	/* A message from another worker; false: it was malformed, the peer lies. */
	bool (*message)(struct worker *w, unsigned from_worker, uint16_t type,
			struct bytes payload);
	/* After the mailbox was told. */
	void (*worker_down)(struct worker *w, unsigned worker);
	void (*worker_up)(struct worker *w, unsigned worker);
	/* Some times a second: what waits for others does not wait for ever. */
	void (*tick)(struct worker *w);
	/* What this worker is home to, for the CLI. */
	bool (*info)(struct worker *w, uint16_t space, struct bytes channel,
		     struct hub_position *at);
	/* One after the other, for the CLI: the next from *cursor on (0 is the start), which then
	 * stands behind it; false: there is none any more. What comes or goes between two calls may
	 * be missed or told twice. `name` is lent until the engine is called again. */
	bool (*next_home)(struct worker *w, uint32_t *cursor, uint16_t *space, struct bytes *name,
			  struct hub_position *at);
	/* Takes out of the history of a channel at home here what `from`, a user or client, has said;
	 * or everything, if that is empty. Returns how many messages that were. */
	uint32_t (*purge)(struct worker *w, uint16_t space, struct bytes channel,
			  struct bytes from);
	size_t (*memory)(const struct engine *e);
};
extern const struct engine_ops engine_memory;

#endif
