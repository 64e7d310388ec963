/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - frames in become messages, messages out become frames.
 *
 *    bytes ─► ws_frame_next ─┬─ a whole small frame: straight to the protocol, in place
 *                            ├─ pieces of a message: gathered in c->message
 *                            ├─ the beginning of a frame: its few bytes wait behind
 *                            │  the message in the same buffer (c->rest says how many)
 *                            └─ ping, pong, close: here
 *
 * A message that is compressed is unpacked once it is whole. */
#include "ws/serve.h"

#include "base/log.h"
#include "conn/buffer.h"
#include "conn/io.h"
#include "conn/partial.h"
#include "fanout/batch.h"
#include "hub/hub.h"
#include "proto/proto.h"
#include "session/session.h"
#include "worker/timer.h"
#include "worker/worker.h"
#include "ws/deflate.h"
#include "ws/utf8.h"

static_assert(WS_REST_MAX <= UINT8_MAX && WS_REST_MAX <= WORKER_HEADROOM, "fits c->rest");

static const struct config_endpoint *endpoint_of(const struct worker *w, const struct conn *c)
{
	return &w->cfg->endpoints[c->endpoint];
}

static void send_frame(struct worker *w, struct conn *c, unsigned opcode, struct bytes payload)
{
	uint8_t head[WS_HEAD_MAX];
	size_t n = ws_frame_head(head, opcode | WS_FIN, payload.n, NULL);
	batch_bytes2(w, c, BYTES(head, n), payload);
}

void ws_send_text(struct worker *w, struct conn *c, struct bytes text)
{
	if (c->state == CONN_OPEN)
		send_frame(w, c, WS_TEXT, text);
}

void ws_send_binary(struct worker *w, struct conn *c, struct bytes b)
{
	if (c->state == CONN_OPEN)
		send_frame(w, c, WS_BINARY, b);
}

void ws_send_ping(struct worker *w, struct conn *c)
{
	if (c->state == CONN_OPEN)
		send_frame(w, c, WS_PING, BYTES(NULL, 0));
}

void ws_send_close(struct worker *w, struct conn *c, uint16_t code, struct bytes text)
{
	uint8_t payload[WS_CONTROL_MAX];
	size_t n = ws_frame_close(payload, code, text);
	send_frame(w, c, WS_CLOSE, BYTES(payload, n));
}

/* ── in ── */

static enum close_reason reason_of(enum ws_bad why)
{
	if (why == WS_BAD_DEFLATE)
		return CLOSE_WS_BAD_DEFLATE;
	switch (ws_bad_close_code(why)) {
	case WS_CLOSE_BAD_DATA: return CLOSE_WS_BAD_UTF8;
	case WS_CLOSE_TOO_BIG: return CLOSE_WS_TOO_BIG;
	case WS_CLOSE_TRY_LATER: return CLOSE_OVERLOAD;
	default: return CLOSE_WS_PROTOCOL;
	}
}

static void bad(struct worker *w, struct conn *c, enum ws_bad why)
{
	log_debug("conn %u: bad frame: %s", conn_index(&w->slab, c), ws_bad_word(why));
	if (c->state == CONN_CLOSING)
		conn_linger(w, c, c->close_reason);
	else
		conn_close(w, c, reason_of(why));
}

/* The peer's close frame: answered with its own code, then the transport ends. We close
 * first (RFC 6455 7.1.1), so that TIME_WAIT is ours, where it costs least. */
static void closed(struct worker *w, struct conn *c, const struct ws_frame *f)
{
	c->flags |= CONN_F_CLOSE_SEEN;
	if (c->state == CONN_OPEN) {
		ws_send_close(w, c, f->close_code, BYTES(NULL, 0));
		c->flags |= CONN_F_CLOSE_SENT;
	}
	conn_linger(w, c, CLOSE_PEER_WS);
}

static void control(struct worker *w, struct conn *c, const struct ws_frame *f)
{
	if (f->opcode == WS_PING && c->state == CONN_OPEN)
		send_frame(w, c, WS_PONG, BYTES(f->data, f->n));
	else if (f->opcode == WS_CLOSE)
		closed(w, c, f);
	/* A pong has done its work by being a byte: the peer lives. */
}

/* Into the worker's one buffer. A message that the rate will refuse is not unpacked only to find the
 * id of its request: a burst of small bombs costs what the endpoint's rate allows. */
static void inflated(struct worker *w, struct conn *c, struct bytes packed, bool binary)
{
	uint8_t nothing = 0, *p = &nothing;
	size_t n = 0;
	if (session_rate_left(w, c)) {
		enum ws_bad why = ws_inflate(w->deflate, packed,
					     endpoint_of(w, c)->max_message_bytes, &p, &n);
		if (why == WS_BAD_NONE && !binary && !utf8_valid(BYTES(p, n)))
			why = WS_BAD_UTF8;
		if (why != WS_BAD_NONE) {
			w->stats.inflations_refused++;
			c->rx.bad = (uint8_t)why; /* the end, as of any other bad frame */
			bad(w, c, why);
			return;
		}
		w->stats.inflated++;
	}
	proto_of(w, c)->message(w, c, p, n, binary);
	ws_inflate_end(w->deflate);
}

static void message(struct worker *w, struct conn *c, const struct ws_frame *f, uint8_t *p,
		    size_t n)
{
	bool binary = f->opcode == WS_BINARY;
	if (c->state != CONN_OPEN)
		return;
	w->stats.messages_in++;
	if (f->deflated)
		inflated(w, c, BYTES(p, n), binary);
	else
		proto_of(w, c)->message(w, c, p, n, binary);
}

/* A piece of a message that did not come in one frame, or not in one read. */
static void piece(struct worker *w, struct conn *c, const struct ws_frame *f)
{
	if (c->state != CONN_OPEN)
		return;
	if (f->begins && f->ends) {
		message(w, c, f, f->data, f->n);
		return;
	}
	partial_begin(w, c);
	if (!partial_append(w, c, &c->message, BYTES(f->data, f->n),
			    endpoint_of(w, c)->max_message_bytes)) {
		conn_close(w, c, CLOSE_OVERLOAD);
		return;
	}
	if (!f->ends)
		return;
	/* Taken off the conn first: the protocol may end the conn. */
	uint32_t whole = c->message;
	c->message = 0;
	partial_end(w, c);
	struct bytes b = whole ? buffer_bytes(w->pool, whole) : BYTES(NULL, 0);
	uint8_t nothing = 0;
	message(w, c, f, b.n ? (uint8_t *)b.p : &nothing, b.n);
	buffer_free(w->pool, &whole);
}

/* Last time's beginning of a frame goes in front, where the headroom is. */
static void take_rest(struct worker *w, struct conn *c, uint8_t **p, size_t *n)
{
	if (c->rest == 0)
		return;
	struct bytes kept = buffer_bytes(w->pool, c->message);
	assert(kept.n >= c->rest);
	*p -= c->rest;
	*n += c->rest;
	memcpy(*p, kept.p + kept.n - c->rest, c->rest);
	buffer_truncate(w->pool, &c->message, kept.n - c->rest);
	c->rest = 0;
}

static void keep_rest(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	assert(n <= WS_REST_MAX);
	if (n > 0) {
		partial_begin(w, c);
		if (!partial_append(w, c, &c->message, BYTES(p, n),
				    endpoint_of(w, c)->max_message_bytes + WS_REST_MAX)) {
			conn_end(w, c, CLOSE_NO_MEMORY);
			return;
		}
		c->rest = (uint8_t)n;
	} else if (c->message == 0 && ws_frame_idle(&c->rx)) {
		partial_end(w, c);
	} else if (c->state == CONN_OPEN) {
		partial_begin(w, c);
	}
}

static size_t ws_bytes(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	const struct config_endpoint *e = endpoint_of(w, c);
	const struct ws_limits limits = {e->max_message_bytes, e->max_fragments};
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	size_t all = n;
	take_rest(w, c, &p, &n);
	for (;;) {
		struct ws_frame f;
		enum ws_outcome o = ws_frame_next(&c->rx, &limits, p, n, &f);
		p += f.used;
		n -= f.used;
		if (o == WS_MORE) {
			keep_rest(w, c, p, n);
			return all;
		}
		w->stats.frames_in++;
		if (o == WS_BAD)
			bad(w, c, f.bad);
		else if (o == WS_FRAME && f.opcode >= WS_CLOSE)
			control(w, c, &f);
		else
			piece(w, c, &f);
		if (conn_deref(&w->slab, index, gen) == NULL || c->state == CONN_LINGER)
			return all;
		/* What is behind a message that is finished has begun now. */
		if (c->message == 0 && ws_frame_idle(&c->rx))
			partial_end(w, c);
	}
}

static void ws_enter(struct worker *w, struct conn *c)
{
	ws_frame_init(&c->rx, WS_RX_SERVER | (c->flags & CONN_F_DEFLATE ? WS_RX_DEFLATE : 0u));
	c->offences = 0;
	w->stats.upgrades++;
	if (!hub_enter(w, c)) {
		conn_close(w, c, CLOSE_OVERLOAD);
		return;
	}
	proto_of(w, c)->open(w, c);
	if (c->state != CONN_OPEN)
		return;
	conn_read_stop(w, c, w->read_stopped);
	timer_update(w, c);
}

static void ws_gone(struct worker *w, struct conn *c)
{
	proto_of(w, c)->close(w, c);
	hub_leave_all(w, c);
}

const struct conn_step ws_step = {
	.name = "ws",
	.enter = ws_enter,
	.bytes = ws_bytes,
	.gone = ws_gone,
};
