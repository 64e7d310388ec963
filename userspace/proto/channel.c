/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.c - channel words: subscribe, unsubscribe, publish, and binary publish.
 *
 * `to` in the place of `channel` publishes by an expression (hub/expression.h). Whoever does needs the right to
 * publish to every channel that is named, those that are left out too: else he could find out by an exclusion who
 * is in a channel that is none of his business.
 *
 * `channels` subscribes to several at once. The list is proved whole before anything is done, so
 * that a typing mistake in its middle does not leave half of it subscribed; what a channel's
 * rights or home refuse is told per channel, by `channel` in the error.
 *
 * Unsubscribing from what is not subscribed is answered like any other: the client is where
 * it wanted to be, and a client that cleans up twice should not have to tell two
 * kinds of success apart. */
#include "proto/request.h"
#include "proto/stop.h"

static void refuse(const struct request *r, enum proto_error e, struct bytes channel)
{
	bool several = request_has(r, FIELD_CHANNELS);

	proto_error(r->w, r->c, e,
		    &(struct proto_about){.ask = r->ask,
					  .channel = several ? channel : BYTES(NULL, 0)});
}

typedef void each_fn(struct request *r, void *ctx, struct bytes channel);

/* Every element is a good name, and there are not too many. */
static bool list_good(const struct request *r, struct bytes list)
{
	struct json_iter it = json_iter_array(list);
	struct json_field e = {.name = BYTES_LIT("channels")};
	struct request_name name;
	uint32_t n = 0;

	while (json_iter_next(&it, &e.value)) {
		if (n++ == r->ep->max_subscriptions) {
			request_error(r, PROTO_TOO_MANY_SUBSCRIPTIONS);
			return false;
		}
		if (e.value.type == JSON_IS_NULL) {
			request_error(r, PROTO_INVALID_CHANNEL);
			return false;
		}
		if (!request_name(r, &e, &name))
			return false;
	}
	if (n == 0) /* nothing would be answered, and silence helps nobody */
		request_error_field(r, PROTO_INVALID_FIELD, e.name);
	return n > 0;
}

static void each_of_list(struct request *r, each_fn *fn, void *ctx)
{
	const struct json_field *list = &r->f[FIELD_CHANNELS];
	struct json_iter it;
	struct json_field e = {.name = BYTES_LIT("channels")};
	struct request_name name;

	if (list->value.type != JSON_IS_ARRAY || request_has(r, FIELD_CHANNEL)) {
		request_error_field(r, PROTO_INVALID_FIELD, list->name);
		return;
	}
	if (!list_good(r, list->value.raw))
		return;
	it = json_iter_array(list->value.raw);
	while (r->c->state == CONN_OPEN && json_iter_next(&it, &e.value) &&
	       request_name(r, &e, &name))
		fn(r, ctx, name.s);
}

/* Calls fn for `channel`, or for each of `channels`. */
static void each_channel(struct request *r, each_fn *fn, void *ctx)
{
	struct request_name name;

	if (request_has(r, FIELD_CHANNELS))
		each_of_list(r, fn, ctx);
	else if (request_name(r, &r->f[FIELD_CHANNEL], &name))
		fn(r, ctx, name.s);
}

/* "recover":{"epoch":"…","offset":n}; one channel's position, so not for a list. */
static bool read_recover(const struct request *r, struct hub_subscribe_args *a)
{
	if (!request_has(r, FIELD_RECOVER))
		return true;
	if (request_has(r, FIELD_CHANNELS)) {
		request_error_field(r, PROTO_INVALID_FIELD, r->f[FIELD_RECOVER].name);
		return false;
	}
	return request_position(r, FIELD_RECOVER, a);
}

/* How many old messages the client would like. */
static bool read_history(const struct request *r, struct hub_subscribe_args *a)
{
	const struct json_value *v = &r->f[FIELD_HISTORY].value;
	int64_t wanted = 0;

	if (request_has(r, FIELD_HISTORY) &&
	    (v->type != JSON_IS_NUMBER || !json_int64(v->raw, 0, INT32_MAX, &wanted))) {
		request_error_field(r, PROTO_INVALID_FIELD, r->f[FIELD_HISTORY].name);
		return false;
	}
	a->history = (uint32_t)wanted;
	return true;
}

static enum encoding words_for(bool events, bool binary)
{
	if (binary)
		return events ? ENC_CHANNEL_EVENTS_BINARY : ENC_CHANNEL_BINARY;
	return events ? ENC_CHANNEL_EVENTS : ENC_CHANNEL;
}

static void subscribe_one(struct request *r, void *ctx, struct bytes channel)
{
	struct hub_subscribe_args a = *(struct hub_subscribe_args *)ctx;
	enum session_verdict v = session_may(r->w, r->c, RIGHT_SUBSCRIBE, a.space, channel);
	enum hub_outcome outcome;

	if (v != SESSION_OK) {
		refuse(r, proto_error_of_verdict(v), channel);
		return;
	}
	a.channel = channel;
	outcome = hub_subscribe(r->w, r->c, &a);
	if (outcome != HUB_OK)
		refuse(r, proto_error_of(outcome), channel);
}

void proto_channel_subscribe(struct request *r)
{
	struct hub_subscribe_args a = {.space = r->ep->space_id, .ask = r->ask};
	bool presence, events, binary;

	if (!request_bool(r, FIELD_PRESENCE, &presence) ||
	    !request_bool(r, FIELD_JOIN_LEAVE, &events) ||
	    !request_bool(r, FIELD_BINARY, &binary) || !read_history(r, &a) || !read_recover(r, &a))
		return;
	a.encoding = proto_encoding(r->c, words_for(events, binary));
	a.flags |= (presence ? HUB_SUB_PRESENCE : 0) | (events ? HUB_SUB_EVENTS : 0);
	each_channel(r, subscribe_one, &a);
}

static void unsubscribe_one(struct request *r, void *ctx, struct bytes channel)
{
	enum hub_outcome outcome;

	proto_stop_left(r->w, r->c, channel);
	if (r->c->state != CONN_OPEN)
		return;
	outcome = hub_unsubscribe(r->w, r->c, r->ep->space_id, channel, ENC_CHANNEL, r->ask);
	if (outcome == HUB_NOT_SUBSCRIBED)
		proto_unsubscribed(r->w, r->c, channel, ENC_CHANNEL, r->ask);
	else if (outcome != HUB_OK)
		refuse(r, proto_error_of(outcome), channel);
}

void proto_channel_unsubscribe(struct request *r)
{
	each_channel(r, unsubscribe_one, NULL);
}

/* "messageId": what the client calls it, 1 to 64 bytes; into `text`. */
static bool read_message_id(const struct request *r, uint8_t text[PUBLICATION_ID_MAX],
			    struct bytes *id)
{
	const struct json_field *f = &r->f[FIELD_MESSAGE_ID];

	*id = BYTES(text, 0);
	if (!request_has(r, FIELD_MESSAGE_ID) ||
	    (f->value.type == JSON_IS_STRING &&
	     json_string_unescape(f->value.raw, text, PUBLICATION_ID_MAX, &id->n) && id->n > 0))
		return true;
	request_error_field(r, PROTO_INVALID_FIELD, f->name);
	return false;
}

void proto_channel_publish(struct request *r)
{
	const struct json_field *data = &r->f[FIELD_DATA];
	struct request_target to;
	struct session_name who;
	struct publication p;
	uint8_t text[PUBLICATION_ID_MAX];
	struct bytes id;

	if (!request_target(r, &to) || !read_message_id(r, text, &id))
		return;
	if (data->value.type == JSON_IS_ABSENT) { /* null is something to say */
		request_error_field(r, PROTO_MISSING_FIELD, data->name);
		return;
	}
	if (!request_may_reach(r, RIGHT_PUBLISH, &to))
		return;
	request_publication(r, to.channel, &who, &p);
	p.kind = PUB_MESSAGE;
	p.data = data->value.raw;
	p.id = id;
	p.to = to.to;
	request_publish(r, &p);
}

/* u8 1 · u8 length of the name · name · payload */
void proto_channel_publish_binary(struct request *r)
{
	struct bytes in = r->text, name;
	struct session_name who;
	struct publication p;

	if (in.n < 2 || in.p[0] != 1 || in.n - 2 < in.p[1]) {
		request_offence(r);
		return;
	}
	name = BYTES(in.p + 2, in.p[1]);
	if (!request_may(r, RIGHT_PUBLISH, name))
		return;
	request_publication(r, name, &who, &p);
	p.kind = PUB_BINARY;
	p.data = BYTES(in.p + 2 + name.n, in.n - 2 - name.n);
	request_publish(r, &p);
}
