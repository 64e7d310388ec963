/* SPDX-License-Identifier: BSD-2-Clause */
/* Worker 0, honest, with clients that come and go; workers 1 and 2 say whatever the input says,
 * partly raw and partly well-formed lies. Nothing they say may bring worker 0 down, make it
 * send anybody a broken message, or leave anything behind when its clients have gone. */
#include <stdio.h>

#include "../unit/hub/world.h"
#include "base/json.h"
#include "engine/wire.h"
#include "fanout/presence.h"
#include "worker/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 8

static struct client *cl[CLIENTS];
static uint32_t asked; /* who is in a channel: the number of the last such question */
static const char *const channels[] = {"c0", "c1", "c2", "c3", "c4", "c5", "lobby", "r"};
static const char *const values[] = {"1", "{}",       "{\"a\":[1]}", "\"x\"",
				     "[", "not json", " 1 ",         "{\"type\":1}"};

/* The rest of the input. */
struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t next(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

static void message(unsigned from, uint16_t type, const void *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	if (n > 0)
		memcpy(copy, p, n);
	if (type == MSG_CENSUS || type == MSG_COUNTED)
		census_message(&world.w[0], from, type, BYTES(copy, n));
	else
		world.w[0].engine_ops->message(&world.w[0], from, type, BYTES(copy, n));
	free(copy);
}

static void raw_message(struct input *in)
{
	unsigned from = next(in) % 4, type = next(in) % 16;
	size_t n = next(in) * 4u;
	n = MIN(n, in->n);
	message(from, (uint16_t)type, in->p, n);
	in->p += n;
	in->n -= n;
}

static size_t put(uint8_t *at, const char *s)
{
	memcpy(at, s, strlen(s));
	return strlen(s);
}

static void ask(struct input *in, unsigned from, uint16_t type)
{
	uint8_t buf[256] __attribute__((aligned(8)));
	const char *ch = channels[next(in) % ARRAY_SIZE(channels)];
	struct wire_ask m = {
		.epoch = next(in),
		.offset = next(in),
		.history = next(in),
		.max_bytes = next(in) * 64u,
		.seq = next(in),
		.index = next(in),
		.gen = next(in),
		.channel_n = (uint8_t)strlen(ch),
		.from_n = 2,
		.flags = next(in) & 15,
	};
	size_t n = sizeof(m);
	memcpy(buf, &m, n);
	n += put(buf + n, ch);
	n += put(buf + n, "u1");
	message(from, type, buf, n);
}

/* What a PUB_PRESENCE says, true or not. */
static struct bytes presence(struct input *in, uint8_t *at)
{
	struct presence_head head = {
		.joined = next(in), .left = next(in), .online = next(in), .n_joined = next(in) % 4};
	struct presence_name name = {.text = BYTES("u1\xff", 1 + next(in) % 3),
				     .is_user = next(in) & 1};
	uint8_t *end = presence_put_head(at, &head);
	for (unsigned i = 0; i < head.n_joined; i++)
		end = presence_put_name(end, &name);
	return BYTES(at, (size_t)(end - at));
}

/* A packed publication; returns its bytes. */
static size_t pack(struct input *in, uint8_t *at)
{
	uint8_t several[64];
	struct publication_head head;
	struct bytes parts[PUBLICATION_PARTS];
	struct publication p = {
		.kind = next(in) % PUB_KINDS,
		.flags = next(in) & PUB_FLAGS,
		.channel = bytes_str(channels[next(in) % ARRAY_SIZE(channels)]),
		.from = BYTES_LIT("u1"),
		.data = bytes_str(values[next(in) % ARRAY_SIZE(values)]),
		.sender = {.worker = next(in) % 3, .index = next(in), .gen = next(in)},
		.offset = next(in),
	};
	uint8_t id = next(in);
	p.id = BYTES("12345678", id % 9);
	struct expression x;
	struct expression_error e;
	uint8_t to[EXPRESSION_MAX];
	char text[128];
	if (id & 0x80) {
		snprintf(text, sizeof(text), "any(%.*s,role:r) except(b)", BYTES_FMT(p.channel));
		if (expression_from_text(bytes_str(text), &x, &e))
			p.to = expression_pack(&x, to);
	}
	if (p.kind == PUB_RELAY)
		p.relay = BYTES_LIT("chat");
	if (p.kind == PUB_JOIN || p.kind == PUB_LEAVE)
		p.data.n = 0;
	if (p.kind == PUB_PRESENCE) {
		p.data = presence(in, several);
		p.from.n = next(in) % 8 ? 0 : p.from.n;
	}
	publication_pack(&p, &head, parts);
	size_t n = 0;
	for (unsigned i = 0; i < PUBLICATION_PARTS; i++) {
		if (parts[i].n > 0)
			memcpy(at + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	return n;
}

static void publication(struct input *in, unsigned from, uint16_t type)
{
	uint8_t buf[512] __attribute__((aligned(8)));
	struct wire_publish first = {.seq = next(in)};
	size_t n = 0;
	if (type == MSG_PUBLISH) {
		memcpy(buf, &first, sizeof(first));
		n = sizeof(first);
	}
	n += pack(in, buf + n);
	message(from, type, buf, n);
}

static struct wire_subscribed subscribed(struct input *in)
{
	return (struct wire_subscribed){.epoch = next(in),
					.offset = next(in),
					.seq = next(in),
					.count = next(in),
					.outcome = next(in) & 3,
					.recovered = next(in) & 1};
}

/* Old publications, of one channel or of several, in order or not. */
static void replay(struct input *in, unsigned from, uint16_t type)
{
	uint8_t buf[4096] __attribute__((aligned(8))) = {0};
	unsigned count = next(in) % 8;
	struct wire_replay m = {.answer = subscribed(in), .n = next(in) % 8 ? count : next(in)};
	memcpy(buf, &m, sizeof(m));
	size_t n = sizeof(m);
	for (unsigned i = 0; i < count; i++) {
		uint32_t bytes = (uint32_t)pack(in, buf + n + 8);
		memcpy(buf + n, &bytes, sizeof(bytes));
		n += 8 + ((bytes + 7) & ~7u);
	}
	message(from, type, buf, n);
}

static void announcement(struct input *in, unsigned from)
{
	static struct wire_announcing a;
	wire_announce_begin(&a);
	for (unsigned i = next(in) % 8; i > 0; i--)
		wire_announce_add(&a, next(in), 0,
				  bytes_str(channels[next(in) % ARRAY_SIZE(channels)]));
	struct bytes all = wire_announce_end(&a, next(in) & 1);
	message(from, MSG_ANNOUNCE, all.p, all.n);
}

static void question(struct input *in, unsigned from)
{
	uint8_t buf[64] __attribute__((aligned(8)));
	const char *ch = channels[next(in) % ARRAY_SIZE(channels)];
	struct {
		uint32_t number, from;
		uint16_t lister, space;
		uint8_t max, channel_n, zero[2];
	} m = {.number = next(in),
	       .from = next(in),
	       .lister = next(in) % 4,
	       .max = next(in),
	       .channel_n = (uint8_t)strlen(ch)};
	memcpy(buf, &m, sizeof(m));
	message(from, MSG_CENSUS, buf, sizeof(m) + put(buf + sizeof(m), ch));
}

/* Often to the last thing that was asked, and sometimes as it was asked for. */
static void counted(struct input *in, unsigned from)
{
	struct {
		uint32_t number, count, next;
		uint8_t n, cut, zero[2];
		uint8_t list[1024];
	} m = {.number = asked - next(in) % 4, .count = next(in), .next = next(in)};
	size_t n = offsetof(typeof(m), list);
	m.n = next(in) % 8;
	m.cut = next(in) % 16 == 1;
	if (m.next % 2)
		m.next = CONN_NONE;
	for (unsigned i = 0; i < m.n; i++) {
		uint8_t *at = (uint8_t *)&m + n;
		at[16] = next(in) % 100;
		memset(at + 17, 'a' + next(in) % 32, at[16]);
		n += 17u + at[16];
	}
	message(from, MSG_COUNTED, &m, n);
}

static void lie(struct input *in)
{
	unsigned from = 1 + next(in) % 2, type = next(in) % MSG_KINDS;
	switch (type) {
	case MSG_SUBSCRIBE:
	case MSG_UNSUBSCRIBE:
	case MSG_RECALL: ask(in, from, (uint16_t)type); break;
	case MSG_PUBLISH:
	case MSG_DELIVER: publication(in, from, (uint16_t)type); break;
	case MSG_ANNOUNCE: announcement(in, from); break;
	case MSG_CENSUS: question(in, from); break;
	case MSG_COUNTED: counted(in, from); break;
	case MSG_SUBSCRIBED: {
		struct wire_subscribed m = subscribed(in);
		message(from, (uint16_t)type, &m, sizeof(m));
		break;
	}
	case MSG_REPLAY:
	case MSG_RECALLED: replay(in, from, (uint16_t)type); break;
	case MSG_UNSUBSCRIBED: {
		struct wire_unsubscribed m = {.seq = next(in)};
		message(from, (uint16_t)type, &m, sizeof(m));
		break;
	}
	case MSG_PUBLISHED: {
		struct {
			struct wire_published head;
			char text[2];
		} m = {.head = {.seq = next(in), .outcome = next(in) % 8, .channel_n = 2},
		       .text = {'c', '1'}};
		if (m.head.seq != 0) {
			m.head.channel_n = 0;
		} else {
			m.head.index = next(in);
			m.head.gen = next(in);
		}
		message(from, (uint16_t)type, &m, sizeof(m.head) + m.head.channel_n);
		break;
	}
	default: break;
	}
}

static void peer(unsigned k)
{
	struct worker *w = &world.w[0];
	w->member_up[k] = !w->member_up[k];
	if (w->member_up[k]) {
		w->engine_ops->worker_up(w, k);
	} else {
		w->engine_ops->worker_down(w, k);
		census_worker_down(w, k);
	}
}

static void act(struct input *in)
{
	struct client **c = &cl[next(in) % CLIENTS];
	const char *ch = channels[next(in) % ARRAY_SIZE(channels)];
	uint8_t how = next(in), arg = next(in);
	switch (how % 6) {
	case 0: client_subscribe_as(*c, ch, (enum encoding)(arg % ENC_RAW), how >> 4); break;
	case 1: client_unsubscribe(*c, ch); break;
	case 2:
		client_publish_as(*c, ch, "{\"a\":1}",
				  arg & (PUB_F_NO_ECHO | PUB_F_EPHEMERAL | PUB_F_ACK));
		break;
	case 3: {
		struct hub_subscribe_args a = {.channel = bytes_str(ch),
					       .flags = arg & HUB_SUB_RECOVER,
					       .offset = arg >> 4,
					       .history = how,
					       .max_bytes = 1000};
		hub_recall((*c)->w, (*c)->c, &a);
		break;
	}
	case 4:
		client_close(*c);
		client_free(*c);
		*c = client_open(0);
		break;
	case 5: {
		struct census_args a = {.channel = bytes_str(ch),
					.from = {.worker = how >> 4 & 1, .index = arg & 7},
					.limit = arg >> 3};
		asked += census_ask((*c)->w, (*c)->c, &a) == HUB_OK;
		break;
	}
	}
}

static void nothing(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
}

static void turn(void)
{
	worker_turn(&world.w[0], true);
	for (unsigned k = 1; k < 3; k++) {
		mailbox_drain(world.w[k].mailbox, nothing, NULL, SIZE_MAX);
		mailbox_flush(world.w[k].mailbox);
	}
}

static void check_log(const struct client *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->log[i][0] == '{' && json_check(bytes_str(c->log[i]), NULL, NULL) != JSON_OK)
			abort();
}

static void begin(uint8_t first)
{
	if (world.n == 0)
		world_open(3);
	/* a worker's private part anew for each input; in a first life or a later one */
	struct worker *w = &world.w[0];
	w->engine_ops->free(w->engine);
	hub_free(w->hub);
	w->hub = hub_new(w);
	w->slab.incarnation = 1 + (first & 1);
	w->member_up[1] = w->member_up[2] = true;
	w->now_ns = 0;
	world.cfg.presence.coalesce_above = first >> 1 & 3;
	world.cfg.presence.names = first >> 3 & 3;
	w->engine = w->engine_ops->new (w);
	census_free(w->census);
	w->census = census_new();
	asked = 0;
	for (unsigned i = 0; i < CLIENTS; i++)
		cl[i] = client_open(0);
}

static void end(void)
{
	struct worker *w = &world.w[0];
	for (unsigned i = 0; i < CLIENTS; i++) {
		client_close(cl[i]);
		client_free(cl[i]);
	}
	turn();
	if (hub_channel_count(w->hub) != 0 || fanout_memory(w->fanout) != 0 || w->slab.live != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	begin(next(&in));
	while (in.n > 0) {
		uint8_t what = next(&in);
		switch (what % 8) {
		case 0: raw_message(&in); break;
		case 1:
		case 2: lie(&in); break;
		case 3:
		case 4: act(&in); break;
		case 5: turn(); break;
		case 6: peer(1 + (what >> 3) % 2); break;
		case 7:
			world.w[0].now_ns += 1000000000;
			world.w[0].engine_ops->tick(&world.w[0]);
			census_tick(&world.w[0]);
			break;
		}
	}
	turn();
	for (unsigned i = 0; i < CLIENTS; i++)
		check_log(cl[i]);
	end();
	return 0;
}
