/* SPDX-License-Identifier: BSD-2-Clause */
/* native.c - the native protocol (tools/doc/protocol.md): a message is one JSON object,
 * its `type` is a word, and a word has a row in the table below.
 *
 *   text ─► a token of the bucket ─► one scan, is it an object with a type? ─► id ─► word
 *             │ rate_limited           │ offence                               │
 *             ▼                        ▼                                       └► relay rule
 *          refused, at last closed   told, at last closed
 *
 * An endpoint speaks the sets of words that it is configured for: words of the other
 * sets are unknown there, as if they did not exist. Relay rules belong to the chat words
 * and never shadow a word of the protocol. */
#include "base/random.h"
#include "conn/identity.h"
#include "conn/io.h"
#include "proto/admit.h"
#include "proto/request.h"
#include "proto/stop.h"
#include "ws/serve.h"

#define TYPE_MAX CONFIG_MAX_FIELD_NAME

static void ping(struct request *r)
{
	uint8_t buf[128 + HUB_ASK_MAX];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	json_put_lit(&o, "{\"type\":\"pong\"");
	if (r->ask.n)
		json_key_json(&o, "id", r->ask);
	json_key_u64(&o, "timestamp", r->w->wall_ms);
	json_put_close(&o, '}');
	assert(!o.overflow);
	ws_send_text(r->w, r->c, json_out_bytes(&o));
}

static const struct word {
	struct bytes type;
	uint32_t set; /* enum config_words that brings it; 0: common */
	void (*handle)(struct request *r);
} words[] = {
#define WORD(type, set, handle)                                                                    \
	{                                                                                          \
		{(const uint8_t *)(type), sizeof(type) - 1}, set, handle                           \
	}
	WORD("ping", 0, ping),
	WORD("history", 0, proto_history),
	WORD("presence", 0, proto_presence),
	WORD("publish", CONFIG_WORDS_CHANNELS, proto_channel_publish),
	WORD("subscribe", CONFIG_WORDS_CHANNELS, proto_channel_subscribe),
	WORD("unsubscribe", CONFIG_WORDS_CHANNELS, proto_channel_unsubscribe),
	WORD("broadcast_room", CONFIG_WORDS_ROOMS, proto_room_broadcast),
	WORD("join_room", CONFIG_WORDS_ROOMS, proto_room_join),
	WORD("leave_room", CONFIG_WORDS_ROOMS, proto_room_leave),
#undef WORD
};

static void dispatch(struct request *r)
{
	uint8_t text[TYPE_MAX];
	struct bytes type = {.p = text};

	if (!json_string_unescape(r->f[FIELD_TYPE].value.raw, text, sizeof(text), &type.n)) {
		request_error(r, PROTO_UNKNOWN_TYPE);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct word *word = &words[i];
		if (bytes_eq(word->type, type) && (word->set & ~r->ep->words) == 0) {
			word->handle(r);
			return;
		}
	}
	if (!(r->ep->words & CONFIG_WORDS_CHAT) || !proto_relay_rule(r, type))
		request_error(r, PROTO_UNKNOWN_TYPE);
}

/* Binary frames are a channel word. */
static void binary_message(struct request *r)
{
	if (r->ep->words & CONFIG_WORDS_CHANNELS)
		proto_channel_publish_binary(r);
	else
		request_offence(r);
}

static void native_message(struct worker *w, struct conn *c, uint8_t *p, size_t n, bool binary)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH, .utf8_known = true};
	struct request r = {
		.w = w, .c = c, .ep = &w->cfg->endpoints[c->endpoint], .text = BYTES(p, n)};

	if (!proto_admit(w, c, binary ? BYTES(NULL, 0) : r.text))
		return;
	if (binary) {
		binary_message(&r);
		return;
	}
	for (size_t i = 0; i < FIELDS; i++)
		r.f[i].name = request_field_name(i);
	if (json_object_scan(r.text, &limits, r.f, FIELDS) != JSON_OK) {
		request_offence(&r);
		return;
	}
	if (!proto_ask(&r.f[FIELD_ID].value, &r.ask)) {
		request_error_field(&r, PROTO_INVALID_FIELD, BYTES_LIT("id"));
		return;
	}
	if (r.f[FIELD_TYPE].value.type == JSON_IS_STRING)
		dispatch(&r);
	else
		request_offence(&r);
}

static void say_connected(struct worker *w, struct conn *c, const struct config_endpoint *ep)
{
	uint8_t buf[256 + 2 * IDENTITY_USER_MAX]; /* a user id may be escaped */
	char id[RANDOM_UUID_LEN + 1];
	struct identity who;
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	random_uuid_print(c->client_id, id);
	json_put_lit(&o, "{\"type\":\"connected\"");
	json_key_str(&o, "clientId", BYTES(id, RANDOM_UUID_LEN));
	if (identity_get(w, c, &who))
		json_key_str(&o, "userId", who.user);
	json_key_u64(&o, "timestamp", w->wall_ms);
	json_key_u64(&o, "heartbeat", ep->heartbeat_ms);
	json_put_close(&o, '}');
	assert(!o.overflow);
	ws_send_text(w, c, json_out_bytes(&o));
}

/* Everybody is in the lobby from the start; who cannot be is sent away to try again, because a
 * chat client that hears nobody is worse than one that reconnects. */
static void enter_lobby(struct worker *w, struct conn *c, const struct config_endpoint *ep)
{
	struct hub_subscribe_args a = {.space = ep->space_id,
				       .encoding = proto_encoding(c, ENC_CHAT),
				       .flags = HUB_SUB_QUIET,
				       .channel = bytes_str(ep->lobby)};

	if (session_may(w, c, RIGHT_SUBSCRIBE, a.space, a.channel) != SESSION_OK)
		return;
	if (hub_subscribe(w, c, &a) != HUB_OK)
		conn_close(w, c, CLOSE_OVERLOAD);
}

static void native_open(struct worker *w, struct conn *c)
{
	const struct config_endpoint *ep = &w->cfg->endpoints[c->endpoint];

	session_open(w, c);
	say_connected(w, c, ep);
	if ((ep->words & CONFIG_WORDS_CHAT) && ep->lobby)
		enter_lobby(w, c, ep);
}

const struct proto_ops proto_native = {
	.name = "native",
	.open = native_open,
	.message = native_message,
	.close = proto_stop_gone,
};
