/* SPDX-License-Identifier: BSD-2-Clause */
/* doubles.h - a worker with one endpoint and one conn, and the neighbours of proto/ written
 * as scribes: whatever the protocol asks of ws, hub and conn becomes a line of `said`.
 *
 *   > {"type":"pong",…}                    ws_send_text
 *   >b 01ff                                ws_send_binary, hex
 *   subscribe channel news [presence events quiet recover=beef@7 history=3] ask=7
 *   unsubscribe room r ask="a"
 *   publish message news|news|lobby&vip-muted …   the same with `to`
 *   publish message news from=… {"x":1} [no-echo ephemeral ack] ask=7
 *   close policy-rate
 *
 * The functions here take the place of hub/, ws/serve.c and conn/io.c in the archive: they
 * define all of what proto/ uses of them. */
#ifndef SLUICE_TEST_PROTO_DOUBLES_H
#define SLUICE_TEST_PROTO_DOUBLES_H

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"
#include "conn/io.h"
#include "hub/census.h"
#include "hub/hub.h"
#include "proto/error.h"
#include "proto/proto.h"
#include "proto/stop.h"
#include "worker/worker.h"
#include "ws/serve.h"

#define WORLD_ID   "00112233-4455-4677-8899-aabbccddeeff"
#define WORLD_MS   1700000000000
#define WORLD_MS_S "1700000000000"

static struct {
	struct config cfg;
	struct config_endpoint ep;
	struct worker w;
	struct conn conns[8];
	struct conn *c;
	char said[1 << 16];
	size_t n;
	bool muted; /* check, but do not write down: the fuzzer */
	uint64_t events;
	bool member; /* hub_is_subscribed() */
	enum hub_outcome subscribe, unsubscribe, publish;
} world;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	world.events++;
	if (world.muted)
		return;
	va_start(ap, fmt);
	n = vsnprintf(world.said + world.n, sizeof(world.said) - world.n, fmt, ap);
	va_end(ap);
	assert(n >= 0 && (size_t)n < sizeof(world.said) - world.n);
	world.n += (size_t)n;
}

static const struct config_relay_field world_text[] = {
	{.name = "text", .max_bytes = 64, .required = true},
};
static const struct config_relay_field world_move[] = {
	{.name = "x", .max_bytes = 8, .required = true},
	{.name = "room", .max_bytes = 64},
	{.name = "y", .max_bytes = 4096},
	{.name = "k\"\xc3\xa4", .max_bytes = 8},
};
static const struct config_relay world_relays[] = {
	{.name = "chat",
	 .channel_from = CONFIG_RELAY_LOBBY,
	 .fields = world_text,
	 .n_fields = 1,
	 .echo = true},
	{.name = "typing", .channel_from = CONFIG_RELAY_LOBBY, .ephemeral = true},
	{.name = "move",
	 .channel_from = CONFIG_RELAY_FIELD,
	 .channel = "room",
	 .fields = world_move,
	 .n_fields = ARRAY_SIZE(world_move),
	 .echo = true},
	{.name = "to", .channel_from = CONFIG_RELAY_FIELD, .channel = "where", .echo = true},
	{.name = "alarm",
	 .channel_from = CONFIG_RELAY_NAMED,
	 .channel = "alarms",
	 .fields = world_text,
	 .n_fields = 1,
	 .ephemeral = true},
	{.name = "secret", .channel_from = CONFIG_RELAY_NAMED, .channel = "user:1", .echo = true},
	{.name = "ping", .channel_from = CONFIG_RELAY_LOBBY, .echo = true},
	{.name = "writing",
	 .channel_from = CONFIG_RELAY_LOBBY,
	 .ephemeral = true,
	 .auto_stop = "written",
	 .auto_stop_ms = 3000},
	{.name = "written", .channel_from = CONFIG_RELAY_LOBBY},
	{.name = "drawing",
	 .channel_from = CONFIG_RELAY_FIELD,
	 .channel = "room",
	 .echo = true,
	 .auto_stop = "drawn",
	 .auto_stop_ms = 500},
	{.name = "drawn", .channel_from = CONFIG_RELAY_FIELD, .channel = "room"},
};

static const struct config_namespace world_namespaces[] = {{.name = "kept", .history = 9},
							   {.name = ""}};

static inline void world_begin(enum config_protocol protocol, uint32_t words)
{
	proto_stop_free(world.w.stops);
	memset(&world, 0, sizeof(world));
	world.ep = (struct config_endpoint){
		.path = "/ws",
		.protocol = protocol,
		.words = words,
		.space = "/ws",
		.space_id = 3,
		.lobby = words & CONFIG_WORDS_CHAT ? "lobby" : NULL,
		.heartbeat_ms = 25000,
		.max_subscriptions = 4,
		.max_message_bytes = 1 << 20,
	};
	world.cfg.endpoints = &world.ep;
	world.cfg.n_endpoints = 1;
	world.cfg.relays = world_relays;
	world.cfg.n_relays = ARRAY_SIZE(world_relays);
	world.cfg.namespaces = world_namespaces;
	world.cfg.n_namespaces = ARRAY_SIZE(world_namespaces);
	world.w.cfg = &world.cfg;
	world.w.id = 2;
	world.w.n_workers = 4;
	world.w.now_ns = 5000000000000;
	world.w.wall_ms = WORLD_MS;
	world.w.slab.conns = world.conns;
	world.w.slab.max = world.w.slab.high = ARRAY_SIZE(world.conns);
	world.c = &world.conns[5];
	world.c->state = CONN_OPEN;
	world.c->gen = 9;
	memcpy(world.c->client_id,
	       "\x00\x11\x22\x33\x44\x55\x46\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
	world.member = true;
}

#define WORDS_ALL (CONFIG_WORDS_CHANNELS | CONFIG_WORDS_ROOMS | CONFIG_WORDS_CHAT)

/* What was said since the last time, as one string. */
static inline const char *world_said(void)
{
	static char out[sizeof(world.said)];

	memcpy(out, world.said, world.n);
	out[world.n] = 0;
	world.n = 0;
	return out;
}

static inline void world_hear(const void *p, size_t n, bool binary)
{
	/* exactly as long as it is, so that a sanitizer sees a step beyond */
	uint8_t *copy = malloc(n ? n : 1);

	memcpy(copy, p, n);
	proto_of(&world.w, world.c)->message(&world.w, world.c, copy, n, binary);
	free(copy);
}

static inline const char *world_answer(const char *text)
{
	world_hear(text, strlen(text), false);
	return world_said();
}

/* ---- ws and conn ------------------------------------------------------------------------ */

void ws_send_text(struct worker *w, struct conn *c, struct bytes text)
{
	struct json_field type = JSON_FIELD("type");
	struct json_limits lim = {.max_depth = JSON_MAX_DEPTH};

	assert(w == &world.w && c == world.c);
	if (c->state != CONN_OPEN)
		return;
	if (world.ep.protocol == CONFIG_PROTOCOL_NATIVE) {
		assert(json_object_scan(text, &lim, &type, 1) == JSON_OK);
		assert(type.value.type == JSON_IS_STRING);
	}
	say("> %.*s\n", BYTES_FMT(text));
}

void ws_send_binary(struct worker *w, struct conn *c, struct bytes b)
{
	assert(w == &world.w && c == world.c);
	if (c->state != CONN_OPEN)
		return;
	say(">b ");
	for (size_t i = 0; i < b.n; i++)
		say("%02x", b.p[i]);
	say("\n");
}

void conn_close(struct worker *w, struct conn *c, enum close_reason reason)
{
	static const char *const word[] = {
#define CLOSE(name, word, code, points, text) word,
#include "conn/close_reason.def"
#undef CLOSE
	};

	assert(c->state == CONN_OPEN);
	c->state = CONN_CLOSING;
	say("close %s\n", word[reason]);
}

/* ---- hub -------------------------------------------------------------------------------- */

static const char *encoding_word(uint8_t e)
{
	static const char *const word[] = {[ENC_CHANNEL] = "channel",
					   [ENC_CHANNEL_EVENTS] = "channel+events",
					   [ENC_CHANNEL_BINARY] = "channel+binary",
					   [ENC_CHANNEL_EVENTS_BINARY] = "channel+events+binary",
					   [ENC_ROOM] = "room",
					   [ENC_CHAT] = "chat",
					   [ENC_RAW] = "raw"};
	assert(e < ENC_COUNT);
	return word[e];
}

static void check_name(uint16_t space, struct bytes channel, struct bytes ask)
{
	assert(space == 3);
	assert(channel.n >= 1 && channel.n <= CHANNEL_NAME_MAX);
	assert(ask.n <= HUB_ASK_MAX);
	if (ask.n)
		assert(json_check(ask, NULL, NULL) == JSON_OK);
}

static void say_ask(struct bytes ask)
{
	if (ask.n)
		say(" ask=%.*s", BYTES_FMT(ask));
	say("\n");
}

enum hub_outcome hub_subscribe(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	assert(c->state == CONN_OPEN);
	check_name(a->space, a->channel, a->ask);
	say("subscribe %s %.*s", encoding_word(a->encoding), BYTES_FMT(a->channel));
	if (a->flags & HUB_SUB_PRESENCE)
		say(" presence");
	if (a->flags & HUB_SUB_EVENTS)
		say(" events");
	if (a->flags & HUB_SUB_QUIET)
		say(" quiet");
	if (a->flags & HUB_SUB_RECOVER)
		say(" recover=%llx@%llu", (unsigned long long)a->epoch,
		    (unsigned long long)a->offset);
	if (a->history > 0)
		say(" history=%u", a->history);
	say_ask(a->ask);
	return world.subscribe;
}

enum hub_outcome hub_unsubscribe(struct worker *w, struct conn *c, uint16_t space,
				 struct bytes channel, uint8_t encoding, struct bytes ask)
{
	assert(c->state == CONN_OPEN);
	check_name(space, channel, ask);
	say("unsubscribe %s %.*s", encoding_word(encoding), BYTES_FMT(channel));
	say_ask(ask);
	return world.unsubscribe;
}

enum hub_outcome hub_recall(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	check_name(a->space, a->channel, a->ask);
	say("recall %.*s limit=%u max=%u", BYTES_FMT(a->channel), a->history, a->max_bytes);
	if (a->flags & HUB_SUB_RECOVER)
		say(" since=%llx@%llu", (unsigned long long)a->epoch,
		    (unsigned long long)a->offset);
	say_ask(a->ask);
	return world.publish;
}

enum hub_outcome census_ask(struct worker *w, struct conn *c, const struct census_args *a)
{
	assert(c->state == CONN_OPEN);
	check_name(a->space, a->channel, a->ask);
	assert(a->limit <= CENSUS_PAGE_MAX && a->from.worker < w->n_workers);
	assert(a->from.index < CONN_MAX);
	say("census %.*s limit=%u", BYTES_FMT(a->channel), a->limit);
	if (a->from.worker > 0 || a->from.index > 0)
		say(" from=%u/%u", a->from.worker, a->from.index);
	say_ask(a->ask);
	return world.publish;
}

enum hub_outcome hub_publish(struct worker *w, const struct publication *p)
{
	static const char *const kind[] = {[PUB_MESSAGE] = "message",
					   [PUB_RELAY] = "relay",
					   [PUB_BINARY] = "binary",
					   [PUB_TEXT] = "text"};

	check_name(p->space, p->channel, p->ask);
	assert(p->kind < ARRAY_SIZE(kind) && kind[p->kind]);
	assert(p->sender.worker == 2 && p->sender.index == 5 && p->sender.gen == 9);
	assert(bytes_eq(p->from, BYTES_LIT(WORLD_ID)) && !(p->flags & PUB_F_FROM_USER));
	assert(!(p->flags & PUB_F_ACK) == !p->ask.n && !p->relay.n == (p->kind != PUB_RELAY));
	if (p->kind == PUB_MESSAGE || p->kind == PUB_RELAY) {
		struct json_value v;
		struct json_limits lim = {.max_depth = JSON_MAX_DEPTH};
		assert(json_check(p->data, &lim, &v) == JSON_OK && bytes_eq(v.raw, p->data));
		assert(p->kind == PUB_MESSAGE || v.type == JSON_IS_OBJECT);
	}
	say("publish %s", kind[p->kind]);
	if (p->relay.n)
		say(" %.*s", BYTES_FMT(p->relay));
	say(" %.*s", BYTES_FMT(p->channel));
	if (p->to.n) {
		struct expression x;
		assert(expression_unpack(p->to, &x) && !expression_is_channel(&x));
		assert(bytes_eq(expression_lead(&x)->name, p->channel));
		for (uint32_t i = 0; i < x.n; i++) {
			assert(x.item[i].kind == EXPRESSION_CHANNEL);
			say("%c%.*s", "|&-"[x.item[i].list], BYTES_FMT(x.item[i].name));
		}
	}
	say(" %.*s", BYTES_FMT(p->data));
	if (p->flags & PUB_F_NO_ECHO)
		say(" no-echo");
	if (p->flags & PUB_F_EPHEMERAL)
		say(" ephemeral");
	if (p->id.n)
		say(" id=%.*s", BYTES_FMT(p->id));
	say_ask(p->ask);
	return world.publish;
}

bool hub_is_subscribed(struct worker *w, const struct conn *c, uint16_t space, struct bytes channel)
{
	check_name(space, channel, BYTES(NULL, 0));
	return world.member;
}

#endif
