/* SPDX-License-Identifier: BSD-2-Clause */
/* encoding.c - how each set of words shows a publication (tools/doc/protocol.md: one publication,
 * several words).
 *
 *                 message, binary, text      relay "chat"          join, leave, presence
 *   channel       message, data              message, data         –
 *   channel+ev.   the same frame             the same frame        join, leave, presence_update
 *   …+binary      the same frames, but for bytes, which come as u8 1 · u8 length · channel · u64be offset · bytes
 *   room          room_message, content      room_message, content user_joined, user_left,
 *                                                                  room_update
 *   chat          as channel                 chat, its fields      –
 *   raw           the bytes as they came     its object            –
 *
 * What clients wrote is passed on byte for byte; only names and what is not JSON is quoted
 * here. Who speaks is left out where nobody does: the server's own publications. */
#include "fanout/encoding.h"

#include <endian.h>

#include "base/json.h"
#include "fanout/presence.h"
#include "fanout/publication.h"
#include "ws/frame.h"

static void put_base64(struct json_out *o, struct bytes b)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = (b.n + 2) / 3 * 4;
	if (o->overflow || o->cap - o->n < n) {
		o->overflow = true;
		return;
	}
	uint8_t *q = o->p + o->n;
	for (size_t i = 0; i < b.n; i += 3) {
		size_t left = b.n - i;
		uint32_t v = (uint32_t)b.p[i] << 16 | (left > 1 ? (uint32_t)b.p[i + 1] << 8 : 0) |
			     (left > 2 ? b.p[i + 2] : 0);
		*q++ = (uint8_t)digit[v >> 18];
		*q++ = (uint8_t)digit[v >> 12 & 63];
		*q++ = left > 1 ? (uint8_t)digit[v >> 6 & 63] : '=';
		*q++ = left > 2 ? (uint8_t)digit[v & 63] : '=';
	}
	o->n += n;
}

/* The publication's data as a JSON value. */
static void put_data(struct json_out *o, const struct publication *p)
{
	switch ((enum pub_kind)p->kind) {
	case PUB_MESSAGE:
	case PUB_RELAY: json_put_json(o, p->data); break;
	case PUB_TEXT: json_put_str(o, p->data); break;
	case PUB_BINARY:
		json_put_lit(o, "{\"base64\":\"");
		put_base64(o, p->data);
		json_put_lit(o, "\"}");
		break;
	case PUB_JOIN:
	case PUB_LEAVE:
	case PUB_PRESENCE:
	case PUB_KINDS: assert(!"has no data");
	}
}

static void put_name(struct json_out *o, struct bytes name, bool is_user)
{
	json_put_key(o, is_user ? BYTES_LIT("userId") : BYTES_LIT("clientId"));
	json_put_str(o, name);
}

static void put_user(struct json_out *o, const struct publication *p)
{
	if (p->from.n > 0)
		put_name(o, p->from, p->flags & PUB_F_FROM_USER);
}

static void put_time(struct json_out *o, const struct publication *p)
{
	json_key_u64(o, "timestamp", p->timestamp_ms);
	if (p->offset > 0)
		json_key_u64(o, "offset", p->offset);
}

/* The next n of them: as objects that say what each is, or as rooms know them. */
static void put_names(struct json_out *o, struct bytes *names, unsigned n, bool bare)
{
	json_put_open(o, '[');
	while (n-- > 0) {
		struct presence_name name = presence_next(names);
		if (bare) {
			json_put_str(o, name.text);
			continue;
		}
		json_put_open(o, '{');
		put_name(o, name.text, name.is_user);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

/* Behind type and channel. */
static void put_presence(struct json_out *o, const struct publication *p, bool bare)
{
	struct presence_head head;
	struct bytes names;
	bool good = presence_read(p->data, &head, &names);
	assert(good);
	(void)good;
	json_key(o, "joined");
	put_names(o, &names, head.n_joined, bare);
	json_key(o, "left");
	put_names(o, &names, head.n_left, bare);
	json_key_u64(o, "joinedCount", head.joined);
	json_key_u64(o, "leftCount", head.left);
	json_key_u64(o, "onlineCount", head.online);
	json_key_u64(o, "timestamp", p->timestamp_ms);
	json_put_close(o, '}');
}

static uint8_t encode_channel(const struct publication *p, struct json_out *o)
{
	json_put_lit(o, "{\"type\":\"message\"");
	json_key_str(o, "channel", p->channel);
	json_key(o, "data");
	put_data(o, p);
	put_user(o, p);
	put_time(o, p);
	json_put_close(o, '}');
	return WS_TEXT;
}

static uint8_t encode_channel_binary(const struct publication *p, struct json_out *o)
{
	if (p->kind != PUB_BINARY)
		return encode_channel(p, o);
	uint8_t head[2] = {1, (uint8_t)p->channel.n};
	uint64_t offset = htobe64(p->offset);
	json_put_raw(o, BYTES(head, sizeof(head)));
	json_put_raw(o, p->channel);
	json_put_raw(o, BYTES(&offset, sizeof(offset)));
	json_put_raw(o, p->data);
	return WS_BINARY;
}

static uint8_t encode_channel_presence(const struct publication *p, struct json_out *o)
{
	json_put_lit(o, "{\"type\":\"presence_update\"");
	json_key_str(o, "channel", p->channel);
	put_presence(o, p, false);
	return WS_TEXT;
}

static uint8_t encode_channel_events(const struct publication *p, struct json_out *o)
{
	if (!publication_is_event(p))
		return encode_channel(p, o);
	if (p->kind == PUB_PRESENCE)
		return encode_channel_presence(p, o);
	json_put_open(o, '{');
	json_key_str(o, "type", p->kind == PUB_JOIN ? BYTES_LIT("join") : BYTES_LIT("leave"));
	json_key_str(o, "channel", p->channel);
	put_user(o, p);
	json_put_close(o, '}');
	return WS_TEXT;
}

static uint8_t encode_room_event(const struct publication *p, struct json_out *o)
{
	json_put_open(o, '{');
	json_key_str(o, "type",
		     p->kind == PUB_JOIN ? BYTES_LIT("user_joined") : BYTES_LIT("user_left"));
	json_key_str(o, "room", p->channel);
	json_key_str(o, "userId", p->from); /* rooms know one name only, whichever it is */
	json_put_close(o, '}');
	return WS_TEXT;
}

static uint8_t encode_room_presence(const struct publication *p, struct json_out *o)
{
	json_put_lit(o, "{\"type\":\"room_update\"");
	json_key_str(o, "room", p->channel);
	put_presence(o, p, true);
	return WS_TEXT;
}

static uint8_t encode_room(const struct publication *p, struct json_out *o)
{
	if (p->kind == PUB_PRESENCE)
		return encode_room_presence(p, o);
	if (publication_is_event(p))
		return encode_room_event(p, o);
	json_put_lit(o, "{\"type\":\"room_message\"");
	json_key_str(o, "room", p->channel);
	if (p->from.n > 0)
		json_key_str(o, "from", p->from);
	json_key(o, "content");
	put_data(o, p);
	put_time(o, p);
	json_put_close(o, '}');
	return WS_TEXT;
}

/* An object's members, without its braces. */
static struct bytes members_of(struct bytes object)
{
	assert(object.n >= 2 && object.p[0] == '{' && object.p[object.n - 1] == '}');
	struct bytes b = BYTES(object.p + 1, object.n - 2);
	while (b.n > 0 && b.p[0] <= ' ')
		b = BYTES(b.p + 1, b.n - 1);
	while (b.n > 0 && b.p[b.n - 1] <= ' ')
		b.n--;
	return b;
}

static uint8_t encode_chat(const struct publication *p, struct json_out *o)
{
	if (p->kind != PUB_RELAY)
		return encode_channel(p, o);
	json_put_open(o, '{');
	json_key_str(o, "type", p->relay);
	if (p->from.n > 0)
		json_key_str(o, "from", p->from);
	struct bytes fields = members_of(p->data);
	if (fields.n > 0)
		json_put_json(o, fields);
	json_key_u64(o, "timestamp", p->timestamp_ms);
	json_put_close(o, '}');
	return WS_TEXT;
}

static uint8_t encode_raw(const struct publication *p, struct json_out *o)
{
	json_put_raw(o, p->data);
	return p->kind == PUB_BINARY ? WS_BINARY : WS_TEXT;
}

static enum encoding channel_same(const struct publication *p)
{
	return publication_is_event(p) ? ENC_COUNT : ENC_CHANNEL;
}

static enum encoding channel_events_same(const struct publication *p)
{
	return publication_is_event(p) ? ENC_CHANNEL_EVENTS : ENC_CHANNEL;
}

/* Bytes have one frame for both. */
static enum encoding channel_binary_same(const struct publication *p)
{
	return p->kind == PUB_BINARY ? ENC_CHANNEL_BINARY : channel_same(p);
}

static enum encoding channel_events_binary_same(const struct publication *p)
{
	return p->kind == PUB_BINARY ? ENC_CHANNEL_BINARY : channel_events_same(p);
}

static enum encoding room_same(const struct publication *p)
{
	return ENC_ROOM;
}

static enum encoding chat_same(const struct publication *p)
{
	return p->kind == PUB_RELAY ? ENC_CHAT : channel_same(p);
}

static enum encoding raw_same(const struct publication *p)
{
	return publication_is_event(p) ? ENC_COUNT : ENC_RAW;
}

const struct encoding_ops encoding_table[ENC_COUNT] = {
	[ENC_CHANNEL] = {"channel", encode_channel, channel_same},
	[ENC_CHANNEL_EVENTS] = {"channel+events", encode_channel_events, channel_events_same},
	[ENC_CHANNEL_BINARY] = {"channel+binary", encode_channel_binary, channel_binary_same},
	[ENC_CHANNEL_EVENTS_BINARY] = {"channel+events+binary", encode_channel_events,
				       channel_events_binary_same},
	[ENC_ROOM] = {"room", encode_room, room_same},
	[ENC_CHAT] = {"chat", encode_chat, chat_same},
	[ENC_RAW] = {"raw", encode_raw, raw_same},
};
static_assert(ENC_COUNT <= ENC_DEFLATED && 2 * ENC_DEFLATED == ENC_LIMIT, "a twin is one bit more");

size_t encoding_bound(const struct publication *p)
{
	size_t data = p->data.n;
	if (p->kind == PUB_TEXT)
		data = JSON_STR_MAX(data);
	else if (p->kind == PUB_BINARY)
		data = (data + 2) / 3 * 4;
	else if (p->kind == PUB_PRESENCE)
		data *= 8; /* {"clientId":"…"}, is 16 bytes around a name, where it had 2 */
	return 256 + data + JSON_STR_MAX(p->channel.n) + JSON_STR_MAX(p->from.n) +
	       JSON_STR_MAX(p->relay.n);
}
