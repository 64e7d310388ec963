/* SPDX-License-Identifier: BSD-2-Clause */
/* request.h - one message of a native client, taken apart, and what all words do with it.
 *
 * native.c scans the message once for every field that any word knows, and calls the
 * word's handler with this. All slices lie in the message and live as long as the call.
 * A reader below that answers false has sent the error already. */
#ifndef SLUICE_PROTO_REQUEST_H
#define SLUICE_PROTO_REQUEST_H

#include "base/json.h"
#include "conn/conn.h"
#include "hub/expression.h"
#include "proto/error.h"
#include "proto/proto.h"
#include "session/session.h"
#include "worker/worker.h"

enum request_field {
#define FIELD(id, name) FIELD_##id,
#include "proto/field.def"
#undef FIELD
	FIELDS
};
struct bytes request_field_name(enum request_field f);

struct request {
	struct worker *w;
	struct conn *c;
	const struct config_endpoint *ep;
	struct bytes text; /* the whole message */
	struct bytes ask;  /* its id as written, or empty */
	struct json_field f[FIELDS];
};

/* All but a relay's own fields. `c` may be closed afterwards. */
void request_offence(struct request *r);
void request_error(const struct request *r, enum proto_error e);
void request_error_field(const struct request *r, enum proto_error e, struct bytes field);

/* A field that is absent, or null: many clients write null for "none". */
static inline bool request_has(const struct request *r, enum request_field f)
{
	return r->f[f].value.type > JSON_IS_NULL;
}
/* false if absent. Not called for a field of another type than true or false: error. */
bool request_bool(const struct request *r, enum request_field f, bool *out);

/* A channel's name, unescaped and checked. */
struct request_name {
	struct bytes s; /* lies in _text */
	uint8_t _text[CHANNEL_NAME_MAX];
};
bool request_name(const struct request *r, const struct json_field *f, struct request_name *out);
bool request_may(const struct request *r, enum session_right right, struct bytes channel);

/* Whom a word means: `channel`, or an expression over channels in its place (`to`). */
struct request_target {
	struct bytes channel, to; /* as in struct publication */
	struct expression x;      /* of `to`, if that is not empty */
	struct request_name _name;
	uint8_t _packed[EXPRESSION_MAX];
};
bool request_target(const struct request *r, struct request_target *t);
/* The right is needed for every channel that is named, those that are left out too: else an
 * exclusion would tell who is in a channel that is none of one's business. */
bool request_may_reach(const struct request *r, enum session_right right,
		       const struct request_target *t);

/* {"epoch":"…","offset":n} into a->epoch and a->offset, and HUB_SUB_RECOVER. */
bool request_position(const struct request *r, enum request_field which,
		      struct hub_subscribe_args *a);

/* Who publishes what where; kind, data and further flags are the caller's. `who` must stand
 * as long as `p`. */
void request_publication(const struct request *r, struct bytes channel, struct session_name *who,
			 struct publication *p);
/* The ack comes by proto_published(); a refusal is told here: false. */
bool request_publish(const struct request *r, const struct publication *p);

/* "epoch":"…" */
void proto_key_epoch(struct json_out *o, uint64_t epoch);

/* The words; each in the file of its set. */
void proto_history(struct request *r);
void proto_presence(struct request *r);
void proto_channel_subscribe(struct request *r);
void proto_channel_unsubscribe(struct request *r);
void proto_channel_publish(struct request *r);
void proto_channel_publish_binary(struct request *r);
void proto_room_join(struct request *r);
void proto_room_leave(struct request *r);
void proto_room_broadcast(struct request *r);
/* The configured relay of that type; false: there is none. */
bool proto_relay_rule(struct request *r, struct bytes type);

#endif
