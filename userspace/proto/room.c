/* SPDX-License-Identifier: BSD-2-Clause */
/* room.c - room words: join, leave, and saying something to the others.
 *
 * A room is a channel with manners: who is in it is told to everybody, one speaks from
 * within only, and one does not hear oneself. Where channel words would let a
 * stranger publish, `broadcast_room` is for members, because that is what people take a room
 * to be. Leaving a room that one is not in is answered `left_room`, as in channel.c. */
#include "proto/request.h"
#include "proto/stop.h"

void proto_room_join(struct request *r)
{
	struct hub_subscribe_args a = {.space = r->ep->space_id,
				       .encoding = proto_encoding(r->c, ENC_ROOM),
				       .flags = HUB_SUB_PRESENCE | HUB_SUB_EVENTS,
				       .ask = r->ask};
	struct request_name name;
	enum hub_outcome outcome;

	if (!request_name(r, &r->f[FIELD_ROOM], &name) || !request_may(r, RIGHT_SUBSCRIBE, name.s))
		return;
	a.channel = name.s;
	outcome = hub_subscribe(r->w, r->c, &a);
	if (outcome != HUB_OK)
		request_error(r, proto_error_of(outcome));
}

void proto_room_leave(struct request *r)
{
	struct request_name name;
	enum hub_outcome outcome;

	if (!request_name(r, &r->f[FIELD_ROOM], &name))
		return;
	proto_stop_left(r->w, r->c, name.s);
	if (r->c->state != CONN_OPEN)
		return;
	outcome = hub_unsubscribe(r->w, r->c, r->ep->space_id, name.s, ENC_ROOM, r->ask);
	if (outcome == HUB_NOT_SUBSCRIBED)
		proto_unsubscribed(r->w, r->c, name.s, ENC_ROOM, r->ask);
	else if (outcome != HUB_OK)
		request_error(r, proto_error_of(outcome));
}

void proto_room_broadcast(struct request *r)
{
	const struct json_field *content = &r->f[FIELD_CONTENT];
	struct request_name name;
	struct session_name who;
	struct publication p;

	if (!request_name(r, &r->f[FIELD_ROOM], &name))
		return;
	if (content->value.type == JSON_IS_ABSENT) {
		request_error_field(r, PROTO_MISSING_FIELD, content->name);
		return;
	}
	if (!request_may(r, RIGHT_PUBLISH, name.s))
		return;
	if (!hub_is_subscribed(r->w, r->c, r->ep->space_id, name.s)) {
		request_error(r, PROTO_NOT_SUBSCRIBED);
		return;
	}
	request_publication(r, name.s, &who, &p);
	p.kind = PUB_MESSAGE;
	p.flags |= PUB_F_NO_ECHO;
	p.data = content->value.raw;
	request_publish(r, &p);
}
