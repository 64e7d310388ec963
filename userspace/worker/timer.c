/* SPDX-License-Identifier: BSD-2-Clause */
/* timer.c - which deadline is next, and what happens when it has come.
 *
 *   HANDSHAKE, HTTP (first head)   born + handshake timeout, whatever it has begun
 *   HTTP between requests          heard + keep-alive timeout
 *   HTTP, unfinished head or body  begun + handshake timeout
 *   OPEN                           heard + heartbeat (jittered) ► ping
 *                                  heard + heartbeat + patience ► dead
 *                                  unfinished message begun + its timeout
 *                                  (none of these while we do not read it: conn_read_stop)
 *                                  tail moved + its timeout ► slow consumer: it may well talk
 *   CLOSING                        begun + goodbye timeout
 *   LINGER                         begun + patience with a slow reader of the last answer; once
 *                                  that is out: begun + linger timeout
 *
 * The jitter of a heartbeat is a quarter of the interval, drawn from the slot and its
 * generation: a million connections that came with one reconnect storm must not ping
 * in one tick. */
#include "worker/timer.h"

#include <sys/socket.h>

#include "base/hash.h"
#include "conn/io.h"
#include "http/serve.h"
#include "ws/serve.h"

#define CLOSING_TIMEOUT_MS 5000
#define FLUSH_TIMEOUT_MS   30000 /* of the last answer */
#define LINGER_TIMEOUT_MS  2000  /* for the peer to hang up */
#define TAIL_TIMEOUT_MS    30000 /* below the wrap of c->tail_moved */
#define TIMER_BUDGET       1024  /* entries per turn */

static uint32_t heartbeat_ticks(const struct worker *w, const struct conn *c)
{
	uint32_t ticks = worker_ticks(w->cfg->endpoints[c->endpoint].heartbeat_ms);
	uint64_t who = (uint64_t)c->gen << 32 | conn_index(&w->slab, c);
	uint32_t quarter = ticks / 4;
	return quarter ? ticks - hash_pick(hash_mix(who), quarter) : ticks;
}

/* Wrapping ticks: is a before b? */
static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static uint32_t http_deadline(const struct worker *w, const struct conn *c)
{
	if (c->requests == 0)
		return c->born_ticks + worker_ticks(w->cfg->http.handshake_timeout_ms);
	if (c->flags & CONN_F_PARTIAL)
		return c->partial_ticks + worker_ticks(w->cfg->http.handshake_timeout_ms);
	return c->heard_ticks + worker_ticks(w->cfg->http.keepalive_timeout_ms);
}

/* The socket has not taken anything of the tail since then; one byte of it is kept, and there is
 * always somebody who looks before it wraps. */
static uint32_t tail_deadline(const struct worker *w, const struct conn *c)
{
	uint32_t now = w->tick / TIMER_TAIL_UNIT;
	uint32_t moved = now - (uint8_t)(now - c->tail_moved);
	return moved * TIMER_TAIL_UNIT + worker_ticks(TAIL_TIMEOUT_MS);
}

/* Only while we read it: else its silence says nothing. */
static uint32_t heard_deadline(const struct worker *w, const struct conn *c)
{
	const struct config_endpoint *e = &w->cfg->endpoints[c->endpoint];
	uint32_t due = w->tick + INT32_MAX / 2;
	if (e->heartbeat_ms) {
		due = c->heard_ticks + heartbeat_ticks(w, c);
		if (c->flags & CONN_F_PINGED)
			due += worker_ticks(e->heartbeat_timeout_ms);
	}
	if (c->flags & CONN_F_PARTIAL) {
		uint32_t partial = c->partial_ticks + worker_ticks(e->partial_timeout_ms);
		if (before(partial, due))
			due = partial;
	}
	return due;
}

static uint32_t open_deadline(const struct worker *w, const struct conn *c)
{
	uint32_t due = w->tick + INT32_MAX / 2;
	if (!(c->flags & CONN_F_READ_STOP))
		due = heard_deadline(w, c);
	if (c->flags & CONN_F_TAIL_WAIT && before(tail_deadline(w, c), due))
		due = tail_deadline(w, c);
	return due;
}

static uint32_t deadline(const struct worker *w, const struct conn *c)
{
	switch (c->state) {
	case CONN_HANDSHAKE: return c->born_ticks + worker_ticks(w->cfg->http.handshake_timeout_ms);
	case CONN_HTTP: return http_deadline(w, c);
	case CONN_OPEN: return open_deadline(w, c);
	case CONN_CLOSING: return c->partial_ticks + worker_ticks(CLOSING_TIMEOUT_MS);
	default:
		return c->partial_ticks +
		       worker_ticks(c->flags & CONN_F_SHUT ? LINGER_TIMEOUT_MS : FLUSH_TIMEOUT_MS);
	}
}

void timer_update(struct worker *w, struct conn *c)
{
	uint32_t index = conn_index(&w->slab, c);
	uint32_t due = deadline(w, c);
	if (!wheel_armed(&w->wheel, index) || before(due, c->timer.due))
		wheel_move(&w->wheel, index, due);
}

void timer_stop(struct worker *w, struct conn *c)
{
	wheel_del(&w->wheel, conn_index(&w->slab, c));
}

/* If we were stopped for a while, what it has said lies unread. */
static bool has_spoken(const struct conn *c)
{
	uint8_t byte;
	int fd = conn_fd(c);
	return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The kernel speaks up only when much of its buffer is free, so a reader may be slow and still
 * be one: one byte that it takes now will do. */
static void fire_tail(struct worker *w, struct conn *c)
{
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	conn_writable(w, c);
	if (conn_deref(&w->slab, index, gen) == NULL)
		return;
	if (c->flags & CONN_F_TAIL_WAIT && !before(w->tick, tail_deadline(w, c)))
		conn_close_slow(w, c);
	else
		timer_update(w, c);
}

static void fire_open(struct worker *w, struct conn *c)
{
	const struct config_endpoint *e = &w->cfg->endpoints[c->endpoint];
	if (c->flags & CONN_F_TAIL_WAIT && !before(w->tick, tail_deadline(w, c))) {
		fire_tail(w, c);
	} else if (c->flags & CONN_F_PARTIAL &&
		   !before(w->tick, c->partial_ticks + worker_ticks(e->partial_timeout_ms))) {
		conn_close(w, c, CLOSE_PARTIAL_TIMEOUT);
	} else if (!(c->flags & CONN_F_PINGED)) {
		c->flags |= CONN_F_PINGED;
		ws_send_ping(w, c);
		timer_update(w, c);
	} else if (has_spoken(c)) {
		c->heard_ticks = w->tick;
		timer_update(w, c);
	} else {
		conn_end(w, c, CLOSE_DEAD_PEER);
	}
}

static void fire(void *ctx, uint32_t index)
{
	struct worker *w = ctx;
	struct conn *c = conn_at(&w->slab, index);
	if (before(w->tick, deadline(w, c))) { /* it moved away meanwhile */
		timer_update(w, c);
		return;
	}
	switch (c->state) {
	case CONN_HANDSHAKE: conn_end(w, c, CLOSE_HANDSHAKE_TIMEOUT); break;
	case CONN_HTTP: http_timeout(w, c); break;
	case CONN_OPEN: fire_open(w, c); break;
	case CONN_CLOSING: conn_end(w, c, CLOSE_CLOSE_TIMEOUT); break;
	case CONN_LINGER: conn_end(w, c, CLOSE_NORMAL); break;
	default: assert(!"a timer of a conn that is not there");
	}
}

bool timer_run(struct worker *w)
{
	return wheel_run(&w->wheel, w->tick, TIMER_BUDGET, fire, w);
}
