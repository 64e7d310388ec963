/* SPDX-License-Identifier: BSD-2-Clause */
/* world.h - several workers in one process, with the real mailbox between them and clients that
 * write down what they hear.
 *
 * What stands above the hub (protocol, session) and below the batch (transport) is played
 * here: answers are short text frames ("subscribed lobby 3 ..."), and conn_send() takes the
 * frames apart and adds their payloads to the client's log. So a log shows answers and
 * messages in the order in which a peer would read them. Include it once per program. */
#ifndef SLUICE_TESTS_HUB_WORLD_H
#define SLUICE_TESTS_HUB_WORLD_H

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/pool.h"
#include "conn/identity.h"
#include "conn/io.h"
#include "engine/engine.h"
#include "fanout/batch.h"
#include "fanout/fanout.h"
#include "hub/census.h"
#include "hub/hub.h"
#include "proto/proto.h"
#include "session/session.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"
#include "ws/deflate.h"
#include "ws/frame.h"

#define WORLD_MAX 4
#ifndef WORLD_SLAB
#define WORLD_SLAB 4096
#endif
#ifndef WORLD_RINGS
#define WORLD_RINGS    (8u << 20) /* bytes, all together */
#define WORLD_OVERFLOW (4u << 20)
#endif

/* A client: the far end of a conn. Lives on when the conn has ended. */
struct client {
	struct worker *w;
	struct conn *c; /* NULL: ended */
	char **log;     /* payloads as strings, in the order heard */
	unsigned n, cap;
	bool deaf;         /* its transport fails at the next write */
	size_t sends;      /* calls of conn_send() */
	unsigned deflated; /* frames of its log that came compressed */
};

struct world {
	unsigned n;
	struct worker w[WORLD_MAX];
	bool up[WORLD_MAX];
	uint32_t generation[WORLD_MAX + 1];
	struct mailbox_plan plan;
	struct mailbox_ends ends[WORLD_MAX + 1];
	struct config cfg;
	struct config_endpoint endpoint;
	struct config_namespace other; /* of all channels */
	struct client *by_index[WORLD_MAX][WORLD_SLAB];
	bool mute; /* clients write nothing down: for benches */
	uint64_t sent_frames;
	struct ws_deflate *reader; /* the clients' */
};
static struct world world;

/* ── below: the transport ── */

static inline void client_note(struct client *cl, const uint8_t *p, size_t n)
{
	if (cl->n == cl->cap) {
		cl->cap = cl->cap ? 2 * cl->cap : 16;
		cl->log = realloc(cl->log, cl->cap * sizeof(*cl->log));
	}
	char *s = malloc(n + 1);
	memcpy(s, p, n);
	s[n] = '\0';
	cl->log[cl->n++] = s;
}

/* The frames of one write; frames never straddle two parts here, but need not be alone. */
static inline void world_read_frames(struct client *cl, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t head = 2, len = p[1] & 0x7f;
		if (len == 126) {
			head = 4;
			len = load_be16(p + 2);
		} else if (len == 127) {
			head = 10;
			len = (size_t)load_be64(p + 2);
		}
		if (n < head + len)
			abort();
		uint8_t *text = (uint8_t *)p + head;
		size_t text_n = len;
		if (p[0] & WS_RSV1) {
			if (ws_inflate(world.reader, BYTES(p + head, len), UINT32_MAX, &text,
				       &text_n) != WS_BAD_NONE)
				abort();
			cl->deflated++;
		}
		client_note(cl, text, text_n);
		ws_inflate_end(world.reader);
		p += head + len;
		n -= head + len;
	}
}

void conn_settle(struct worker *w)
{
}

bool conn_is_full(const struct conn *c)
{
	return false;
}

size_t conn_queue_room(const struct worker *w, const struct conn *c)
{
	return SIZE_MAX;
}

void conn_too_slow(struct worker *w, struct conn *c)
{
	abort(); /* nobody is full here */
}

bool conn_queues_bounded(struct worker *w, const struct conn *spare)
{
	return true;
}

unsigned conn_send(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n,
		   size_t bytes)
{
	size_t sum = 0;
	if (world.mute) {
		c->tx_key.seq += bytes; /* as sealing would touch it */
		world.sent_frames += n;
		return n;
	}
	struct client *cl = world.by_index[w->id][conn_index(&w->slab, c)];
	cl->sends++;
	if (cl->deaf) {
		conn_end(w, c, CLOSE_PEER_RESET);
		return 0;
	}
	for (unsigned i = 0; i < n; i++) {
		world_read_frames(cl, parts[i].iov_base, parts[i].iov_len);
		sum += parts[i].iov_len;
	}
	if (sum != bytes)
		abort();
	return n;
}

void conn_end(struct worker *w, struct conn *c, enum close_reason reason)
{
	struct client *cl = world.by_index[w->id][conn_index(&w->slab, c)];
	hub_leave_all(w, c);
	batch_drop(w, c);
	identity_forget(w, c);
	cl->c = NULL;
	conn_slab_free(&w->slab, c, fanout_newest(w->fanout));
}

void conn_close(struct worker *w, struct conn *c, enum close_reason reason)
{
	conn_end(w, c, reason);
}

/* ── above: the protocol ── */

static inline void world_say(struct worker *w, struct conn *c, const char *text)
{
	uint8_t head[WS_HEAD_MAX];
	size_t n = ws_frame_head(head, WS_TEXT | WS_FIN, strlen(text), NULL);
	batch_bytes2(w, c, BYTES(head, n), bytes_str(text));
}

void proto_subscribed(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		      const struct hub_position *at)
{
	char text[512];
	if (a->flags & HUB_SUB_QUIET)
		return;
	snprintf(text, sizeof(text), "subscribed %.*s epoch %llx offset %llu count %u%s ask %.*s",
		 BYTES_FMT(a->channel), (unsigned long long)at->epoch,
		 (unsigned long long)at->offset, at->count, at->recovered ? " recovered" : "",
		 BYTES_FMT(a->ask));
	world_say(w, c, text);
}

void proto_unsubscribed(struct worker *w, struct conn *c, struct bytes channel, uint8_t encoding,
			struct bytes ask)
{
	char text[512];
	snprintf(text, sizeof(text), "unsubscribed %.*s ask %.*s", BYTES_FMT(channel),
		 BYTES_FMT(ask));
	world_say(w, c, text);
}

void proto_published(struct worker *w, struct conn *c, const struct publication *p,
		     enum hub_outcome outcome)
{
	char text[512];
	snprintf(text, sizeof(text), "published %.*s offset %llu outcome %d ask %.*s",
		 BYTES_FMT(p->channel), (unsigned long long)p->offset, outcome, BYTES_FMT(p->ask));
	world_say(w, c, text);
}

void proto_subscription_lost(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	char text[512];
	snprintf(text, sizeof(text), "lost %.*s flags %u ask %.*s", BYTES_FMT(a->channel), a->flags,
		 BYTES_FMT(a->ask));
	world_say(w, c, text);
}

void proto_recalled(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		    const struct hub_position *at, enum hub_outcome outcome, struct hub_old *old)
{
	char text[4096];
	struct publication p;
	int n = snprintf(text, sizeof(text),
			 "recalled %.*s offset %llu outcome %d%s:", BYTES_FMT(a->channel),
			 (unsigned long long)at->offset, outcome,
			 at->recovered ? " recovered" : "");
	while (old->next(old, &p))
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %llu=%.*s",
			      (unsigned long long)p.offset, BYTES_FMT(p.data));
	world_say(w, c, text);
}

/* "counted lobby 3: c1 c2=alice next w1.7 partial ask 7"; clients by their names. */
void proto_counted(struct worker *w, struct conn *c, const struct census_answer *a)
{
	char text[CENSUS_PAGE_MAX * (IDENTITY_USER_MAX + 16) + 512];
	struct bytes members = a->members;
	struct census_member m;
	int n = snprintf(text, sizeof(text), "counted %.*s %llu:", BYTES_FMT(a->channel),
			 (unsigned long long)a->count);
	while (census_next(&members, &m)) {
		uint32_t name;
		memcpy(&name, m.client_id, sizeof(name));
		n += snprintf(text + n, sizeof(text) - (size_t)n, " c%u%s%.*s", name,
			      m.user.n ? "=" : "", BYTES_FMT(m.user));
	}
	if (a->more)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " next w%u.%u", a->next.worker,
			      a->next.index);
	snprintf(text + n, sizeof(text) - (size_t)n, "%s ask %.*s", a->partial ? " partial" : "",
		 BYTES_FMT(a->ask));
	world_say(w, c, text);
}

uint8_t proto_own_encoding(const struct worker *w, const struct conn *c)
{
	return ENC_ROOM; /* not what clients subscribe with here */
}

void session_name(const struct worker *w, const struct conn *c, struct session_name *out)
{
	int n = snprintf(out->_text, sizeof(out->_text), "c%u",
			 c->born_ticks); /* see client_open() */
	out->id = BYTES(out->_text, (size_t)n);
	out->is_user = false;
}

/* ── the workers ── */

static inline void world_die(const char *what)
{
	perror(what);
	abort();
}

static inline void worker_start(unsigned id)
{
	struct worker *w = &world.w[id];
	memset(w, 0, sizeof(*w));
	w->id = id;
	w->n_workers = world.n;
	w->cfg = &world.cfg;
	w->now_ns = clock_mono_ns();
	w->wall_ms = 1700000000000u;
	memcpy(w->hash_key, "0123456789abcdef", 16);
	for (unsigned k = 0; k < world.n; k++)
		w->member_up[k] = world.generation[k] > 0 && (k == id || world.up[k]);
	int fd = memfd_create("slab", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)conn_slab_bytes(WORLD_SLAB)) != 0 ||
	    conn_slab_init(&w->slab, fd, WORLD_SLAB, world.generation[id]) != 0)
		world_die("slab");
	close(fd);
	uint32_t generation[WORLD_MAX + 1];
	for (unsigned k = 0; k <= world.n; k++)
		generation[k] = k == id || k == world.n || world.up[k] ? world.generation[k] : 0;
	w->mailbox = mailbox_attach(&world.plan, id, generation, world.ends,
				    world.cfg.memory.mailbox_overflow_bytes);
	if (w->mailbox == NULL)
		world_die("mailbox");
	w->subs = pool_new(16 << 20);
	w->identities = pool_new(1 << 20);
	w->fanout = fanout_new(w);
	w->batch = batch_new(w);
	w->deflate = ws_deflate_new();
	w->hub = hub_new(w);
	w->engine_ops = &engine_memory;
	w->engine = w->engine_ops->new (w);
	w->census = census_new();
	world.up[id] = true;
}

/* As the death of the process does: nothing is said to anybody. */
static inline void worker_drop(unsigned id)
{
	struct worker *w = &world.w[id];
	for (unsigned i = 0; i < WORLD_SLAB; i++)
		if (world.by_index[id][i] != NULL)
			world.by_index[id][i]->c = NULL;
	memset(world.by_index[id], 0, sizeof(world.by_index[id]));
	w->engine_ops->free(w->engine);
	census_free(w->census);
	hub_free(w->hub);
	batch_free(w->batch);
	fanout_free(w->fanout);
	ws_deflate_free(w->deflate);
	pool_free(w->subs);
	pool_free(w->identities);
	conn_slab_fini(&w->slab);
	mailbox_detach(w->mailbox);
	world.up[id] = false;
}

static inline void world_open(unsigned n)
{
	memset(&world, 0, sizeof(world));
	world.n = n;
	world.endpoint.max_subscriptions = 128;
	world.cfg.endpoints = &world.endpoint;
	world.cfg.n_endpoints = 1;
	world.cfg.compression_threshold = 1024;
	world.other = (struct config_namespace){
		.name = "", .history = 64, .history_bytes = 64 << 10, .history_age_ms = 60000};
	world.cfg.namespaces = &world.other;
	world.cfg.n_namespaces = 1;
	world.cfg.memory.history_bytes = 16 << 20;
	world.cfg.memory.message_ids = 1000;
	world.cfg.memory.message_ids_of_sender = 10;
	world.cfg.dedupe_window_ms = 60000;
	world.cfg.presence.coalesce_above = 100;
	world.cfg.presence.interval_ms = 1000;
	world.cfg.presence.names = 20;
	world.cfg.memory.connection_queue_bytes = 1 << 20;
	world.reader = ws_deflate_new();
	world.cfg.memory.queue_bytes = 64 << 20;
	world.cfg.memory.mailbox_overflow_bytes = WORLD_OVERFLOW;
	if (mailbox_plan(&world.plan, n + 1, WORLD_RINGS, 16 << 20) != 0)
		world_die("plan");
	for (unsigned k = 0; k <= n; k++) {
		if (mailbox_ends_open(&world.plan, &world.ends[k]) != 0 ||
		    mailbox_outbox_reset(&world.plan, &world.ends[k]) != 0)
			world_die("ends");
		world.generation[k] = 1;
	}
	for (unsigned k = 0; k < n; k++)
		world.up[k] = true;
	for (unsigned k = 0; k < n; k++)
		worker_start(k);
}

static inline void world_close(void)
{
	for (unsigned k = 0; k < world.n; k++)
		if (world.up[k])
			worker_drop(k);
	for (unsigned k = 0; k <= world.n; k++)
		mailbox_ends_close(&world.ends[k]);
	ws_deflate_free(world.reader);
}

/* Worker k has died, and the others are told. */
static inline void world_crash(unsigned k)
{
	worker_drop(k);
	for (unsigned j = 0; j < world.n; j++) {
		struct worker *w = &world.w[j];
		if (!world.up[j])
			continue;
		w->member_up[k] = false;
		mailbox_peer_down(w->mailbox, k);
		w->engine_ops->worker_down(w, k);
		census_worker_down(w, k);
	}
	if (mailbox_outbox_reset(&world.plan, &world.ends[k]) != 0)
		world_die("reset");
}

static inline void world_tell_up(unsigned j, unsigned k)
{
	struct worker *w = &world.w[j];
	mailbox_peer_restarted(w->mailbox, k, world.generation[k]);
	w->member_up[k] = true;
	w->engine_ops->worker_up(w, k);
}

/* Its successor runs; the others have not heard of it yet (world_tell_up). */
static inline void world_start_again(unsigned k)
{
	world.generation[k]++;
	worker_start(k);
}

static inline void world_revive(unsigned k)
{
	world_start_again(k);
	for (unsigned j = 0; j < world.n; j++)
		if (j != k && world.up[j])
			world_tell_up(j, k);
}

static inline void world_message(void *ctx, uint32_t from, uint16_t type, uint16_t flags,
				 struct bytes data)
{
	struct worker *w = ctx;
	bool is_census = type == MSG_CENSUS || type == MSG_COUNTED;
	if (is_census ? !census_message(w, from, type, data) :
			!w->engine_ops->message(w, from, type, data)) {
		fprintf(stderr, "worker %u: message %u from %u is malformed\n", w->id, type, from);
		abort();
	}
}

/* One turn of one worker; `slices`: fan-out may work to its end, else one slice. Returns what
 * there was to do. */
static inline size_t worker_turn(struct worker *w, bool slices)
{
	size_t did = 0;
	if (!fanout_congested(w))
		did = mailbox_drain(w->mailbox, world_message, w, 64 << 10);
	did += fanout_run(w, slices ? UINT64_MAX : 0);
	batch_flush(w);
	conn_slab_release(&w->slab, fanout_oldest(w->fanout));
	mailbox_flush(w->mailbox);
	return did;
}

/* Turns until nobody has anything to do. */
static inline void world_settle(void)
{
	for (unsigned idle = 0; idle < 3;) {
		size_t did = 0;
		for (unsigned k = 0; k < world.n; k++)
			if (world.up[k])
				did += worker_turn(&world.w[k], true);
		idle = did ? 0 : idle + 1;
	}
}

/* Time passes for all, and they look for what has become too old. */
static inline void world_wait(uint64_t ms)
{
	for (unsigned k = 0; k < world.n; k++) {
		if (!world.up[k])
			continue;
		world.w[k].now_ns += ms * 1000000u;
		world.w[k].engine_ops->tick(&world.w[k]);
		census_tick(&world.w[k]);
	}
}

/* ── clients ── */

static inline struct client *client_open(unsigned worker)
{
	static uint32_t name;
	struct worker *w = &world.w[worker];
	struct client *cl = calloc(1, sizeof(*cl));
	struct conn *c = conn_slab_alloc(&w->slab);
	if (cl == NULL || c == NULL)
		world_die("client");
	c->state = CONN_OPEN;
	c->batch_first = c->batch_last = CONN_NONE;
	c->born_ticks = ++name;
	memcpy(c->client_id, &name, sizeof(name));
	cl->w = w;
	cl->c = c;
	world.by_index[worker][conn_index(&w->slab, c)] = cl;
	return cl;
}

/* Who it is; it does as if it had been known when it came. */
static inline void client_login(struct client *cl, const char *user, const char *role)
{
	static const uint8_t certificate[32];
	struct identity who = {.user = bytes_str(user), .certificate = certificate};
	if (role != NULL)
		who.role[who.n_roles++] = bytes_str(role);
	if (!identity_set(cl->w, cl->c, &who) || !hub_enter(cl->w, cl->c))
		world_die("login");
}

static inline void client_close(struct client *cl)
{
	if (cl->c != NULL)
		conn_end(cl->w, cl->c, CLOSE_PEER);
}

static inline void client_forget(struct client *cl)
{
	for (unsigned i = 0; i < cl->n; i++)
		free(cl->log[i]);
	cl->n = 0;
}

static inline void client_free(struct client *cl)
{
	for (unsigned k = 0; k < world.n; k++)
		for (unsigned i = 0; i < WORLD_SLAB; i++)
			if (world.by_index[k][i] == cl)
				world.by_index[k][i] = NULL;
	client_forget(cl);
	free(cl->log);
	free(cl);
}

static inline enum hub_outcome client_subscribe_as(struct client *cl, const char *channel,
						   enum encoding e, uint8_t flags)
{
	struct hub_subscribe_args a = {
		.encoding = (uint8_t)e,
		.flags = flags,
		.channel = bytes_str(channel),
		.ask = BYTES_LIT("7"),
	};
	return hub_subscribe(cl->w, cl->c, &a);
}

static inline enum hub_outcome client_subscribe(struct client *cl, const char *channel)
{
	return client_subscribe_as(cl, channel, ENC_CHANNEL, 0);
}

static inline enum hub_outcome client_unsubscribe(struct client *cl, const char *channel)
{
	return hub_unsubscribe(cl->w, cl->c, 0, bytes_str(channel), ENC_CHANNEL, BYTES_LIT("8"));
}

static inline enum hub_outcome client_publish_as(struct client *cl, const char *channel,
						 const char *json, uint8_t flags)
{
	struct session_name name;
	session_name(cl->w, cl->c, &name);
	struct publication p = {
		.kind = PUB_MESSAGE,
		.flags = flags,
		.channel = bytes_str(channel),
		.from = name.id,
		.data = bytes_str(json),
		.ask = flags & PUB_F_ACK ? BYTES_LIT("9") : BYTES(NULL, 0),
		.sender = {.worker = (uint16_t)cl->w->id,
			   .index = conn_index(&cl->w->slab, cl->c),
			   .gen = cl->c->gen},
	};
	return hub_publish(cl->w, &p);
}

static inline enum hub_outcome client_publish(struct client *cl, const char *channel,
					      const char *json)
{
	return client_publish_as(cl, channel, json, 0);
}

/* As the server itself does, of whoever `text` means. */
static inline enum hub_outcome world_publish_to(unsigned worker, const char *text, const char *json)
{
	struct expression x;
	struct expression_error e;
	uint8_t packed[EXPRESSION_MAX], label[EXPRESSION_NAME_MAX];
	if (!expression_from_text(bytes_str(text), &x, &e))
		abort();
	struct publication p = {
		.kind = PUB_MESSAGE,
		.channel = expression_label(expression_lead(&x), label),
		.to = expression_pack(&x, packed),
		.data = bytes_str(json),
	};
	return hub_publish(&world.w[worker], &p);
}

/* How many of the log's lines contain the text. */
static inline unsigned client_heard(const struct client *cl, const char *text)
{
	unsigned n = 0;
	for (unsigned i = 0; i < cl->n; i++)
		n += strstr(cl->log[i], text) != NULL;
	return n;
}

/* Where the first line with the text is, or UINT_MAX. */
static inline unsigned client_line(const struct client *cl, const char *text)
{
	for (unsigned i = 0; i < cl->n; i++)
		if (strstr(cl->log[i], text) != NULL)
			return i;
	return UINT32_MAX;
}

/* A channel name that is at home in that worker: "c0", "c1" ... `nth` of them. */
static inline const char *channel_at_home(unsigned worker, unsigned nth, char buf[32])
{
	for (unsigned i = 0;; i++) {
		snprintf(buf, 32, "c%u", i);
		uint32_t hash = hub_hash(&world.w[worker], 0, bytes_str(buf));
		if (hash_pick((uint64_t)hash << 32, world.n) == worker && nth-- == 0)
			return buf;
	}
}

#endif
