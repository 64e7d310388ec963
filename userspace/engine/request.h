/* SPDX-License-Identifier: BSD-2-Clause */
/* request.h - what this worker has asked of a channel's home, in order, until it is answered.
 *
 *   to home k:   [ SUBSCRIBE 7 ][ PUBLISH 8 ][ UNSUBSCRIBE 9 ] ¦ [ SUBSCRIBE ][ PUBLISH ]
 *                └──── sent, answers come in this order ────┘   └─ held: k is down ─┘
 *
 * Answers name only the number of the request; all else is looked up here. So a home that
 * was taken over cannot put a stranger into a channel, and when a home dies what it had
 * not answered is still there to be asked of its successor. */
#ifndef SLUICE_ENGINE_REQUEST_H
#define SLUICE_ENGINE_REQUEST_H

#include "engine/engine.h"

struct request {
	struct request *next;
	uint32_t seq; /* once sent; 0: no answer will come */
	uint8_t type; /* MSG_SUBSCRIBE, MSG_UNSUBSCRIBE, MSG_RECALL, MSG_PUBLISH */
	bool sent;
	bool has_data;  /* MSG_PUBLISH: pub.to and data are here, it can be sent (again) */
	uint32_t bytes; /* of memory */
	union {
		struct {
			struct engine_who who;
			struct hub_subscribe_args args; /* of UNSUBSCRIBE: space, channel,
							   encoding, ask */
		};
		struct publication pub;
	};
	uint8_t text[]; /* what the slices above borrow */
};

/* Start from {0}. */
struct request_queue {
	struct request *first, *last;
};

/* Copies everything. NULL: no memory. */
struct request *request_new(uint8_t type, const struct engine_who *who,
			    const struct hub_subscribe_args *a);
/* Without `data` it only waits for its answer. */
struct request *request_new_publish(const struct publication *p, bool data);
void request_free(struct request *r);

void request_append(struct request_queue *q, struct request *r);
/* The first, out of the queue; NULL: empty. */
struct request *request_take(struct request_queue *q);

#endif
