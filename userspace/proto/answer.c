/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.c - what the hub's answers look like to the client.
 *
 * Which words a client subscribed with is in the encoding, so that is what the answer is
 * told by. The request's `id` follows the type. `epoch` is hex in a string, because it
 * is 64 bits wide and JavaScript's numbers are not; a channel whose epoch is 0 keeps
 * no positions, and then none are shown. */
#include <stdio.h>

#include "base/json.h"
#include "conn/io.h"
#include "proto/error.h"
#include "proto/proto.h"
#include "proto/request.h"
#include "worker/worker.h"
#include "ws/serve.h"

#define ANSWER_MAX (256 + HUB_ASK_MAX + JSON_STR_MAX(CHANNEL_NAME_MAX))

static void begin(struct json_out *o, struct bytes type, struct bytes ask)
{
	json_put_open(o, '{');
	json_key_str(o, "type", type);
	if (ask.n)
		json_key_json(o, "id", ask);
}

static void finish(struct worker *w, struct conn *c, struct json_out *o)
{
	json_put_close(o, '}');
	assert(!o->overflow);
	ws_send_text(w, c, json_out_bytes(o));
}

void proto_key_epoch(struct json_out *o, uint64_t epoch)
{
	char text[17];
	int n = snprintf(text, sizeof(text), "%llx", (unsigned long long)epoch);

	json_key_str(o, "epoch", BYTES(text, (size_t)n));
}

static void say_joined_room(struct json_out *o, const struct hub_subscribe_args *a,
			    const struct hub_position *at)
{
	begin(o, BYTES_LIT("joined_room"), a->ask);
	json_key_str(o, "room", a->channel);
	json_key_u64(o, "onlineCount", at->count);
}

static void say_subscribed(struct json_out *o, const struct hub_subscribe_args *a,
			   const struct hub_position *at, uint64_t wall_ms)
{
	begin(o, BYTES_LIT("subscribed"), a->ask);
	json_key_str(o, "channel", a->channel);
	json_key_u64(o, "timestamp", wall_ms);
	if (at->epoch) {
		proto_key_epoch(o, at->epoch);
		json_key_u64(o, "offset", at->offset);
	}
	if (a->flags & HUB_SUB_RECOVER)
		json_key_bool(o, "recovered", at->recovered);
	if (a->flags & HUB_SUB_PRESENCE)
		json_key_u64(o, "onlineCount", at->count);
}

void proto_subscribed(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		      const struct hub_position *at)
{
	uint8_t buf[ANSWER_MAX];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	if (a->flags & HUB_SUB_QUIET)
		return;
	if (encoding_plain(a->encoding) == ENC_ROOM)
		say_joined_room(&o, a, at);
	else
		say_subscribed(&o, a, at, w->wall_ms);
	finish(w, c, &o);
}

void proto_unsubscribed(struct worker *w, struct conn *c, struct bytes channel, uint8_t encoding,
			struct bytes ask)
{
	uint8_t buf[ANSWER_MAX];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	if (encoding == ENC_ROOM) {
		begin(&o, BYTES_LIT("left_room"), ask);
		json_key_str(&o, "room", channel);
	} else {
		begin(&o, BYTES_LIT("unsubscribed"), ask);
		json_key_str(&o, "channel", channel);
		json_key_u64(&o, "timestamp", w->wall_ms);
	}
	finish(w, c, &o);
}

void proto_published(struct worker *w, struct conn *c, const struct publication *p,
		     enum hub_outcome outcome)
{
	uint8_t buf[ANSWER_MAX];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	if (outcome != HUB_OK) {
		/* told even to those who did not ask: what they said has reached nobody */
		proto_error(w, c, proto_error_of(outcome),
			    &(struct proto_about){.ask = p->ask, .channel = p->channel});
		return;
	}
	if (!(p->flags & PUB_F_ACK))
		return;
	begin(&o, BYTES_LIT("published"), p->ask);
	json_key_str(&o, "channel", p->channel);
	if (p->offset)
		json_key_u64(&o, "offset", p->offset);
	if (p->skipped)
		json_key_u64(&o, "skipped", p->skipped);
	finish(w, c, &o);
}

void proto_subscription_lost(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	if (a->flags & HUB_SUB_QUIET) /* it would hear nobody and not know: native.c, relay.c */
		conn_close(w, c, CLOSE_OVERLOAD);
	else
		proto_error(w, c, PROTO_SUBSCRIPTION_LOST,
			    &(struct proto_about){.ask = a->ask, .channel = a->channel});
}
