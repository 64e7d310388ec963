/* SPDX-License-Identifier: BSD-2-Clause */
/* life.c - a conn begins and ends.
 *
 * There are three ways out, and all lead through conn_end():
 *
 *   conn_close   says goodbye with a close frame, CLOSING, waits for the answer
 *   conn_linger  what is queued leaves, then "no more from us" (shutdown), then a short
 *                while of reading and throwing away: a reset by unread bytes would
 *                take our last answer away from the peer
 *   conn_end     at once */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/random.h"
#include "conn/buffer.h"
#include "conn/door.h"
#include "conn/identity.h"
#include "conn/io.h"
#include "conn/partial.h"
#include "conn/step.h"
#include "fanout/backlog.h"
#include "fanout/batch.h"
#include "fanout/fanout.h"
#include "listener/listener.h"
#include "tls/tls.h"
#include "worker/offence.h"
#include "worker/timer.h"
#include "worker/worker.h"
#include "ws/serve.h"

struct conn *conn_open(struct worker *w, int fd, uint16_t listener, const struct sockaddr *peer)
{
	struct conn *c = conn_slab_alloc(&w->slab);
	if (c == NULL) {
		close(fd);
		w->stats.refused++;
		return NULL;
	}
	const struct config_listener *l = &w->cfg->listeners[listener];
	c->_fd = fd;
	c->listener = (uint8_t)listener;
	c->state = l->tls ? CONN_HANDSHAKE : CONN_HTTP;
	c->flags = l->tls ? CONN_F_TLS : 0;
	c->batch_first = c->batch_last = CONN_NONE;
	c->heard_ticks = c->born_ticks = w->tick;
	struct addr a;
	if (addr_from_sockaddr(peer, sizeof(struct sockaddr_in6), &a) == 0) {
		memcpy(c->peer_ip, a.ip, 16);
		c->peer_port = a.port;
	}
	random_uuid(c->client_id);
	struct epoll_event e = {
		.data.u64 = (uint64_t)c->gen << 32 | conn_index(&w->slab, c),
		.events = EPOLLIN,
	};
	if (l->tls ? !door_open(w, c) : epoll_ctl(w->set_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
		log_error("epoll_ctl: %s", strerror(errno));
		w->stats.refused++;
		conn_end(w, c, CLOSE_NO_MEMORY);
		return NULL;
	}
	if (l->tls && !tls_begin(w, c)) {
		w->stats.refused++;
		conn_end(w, c, CLOSE_NO_MEMORY);
		return NULL;
	}
	w->stats.accepted++;
	timer_update(w, c);
	return c;
}

/* The step that reads the conn forgets it; one that is closing has been forgotten before. */
static void upper_gone(struct worker *w, struct conn *c)
{
	const struct conn_step *step = w->steps[c->state];
	if (step != NULL && step->gone != NULL && c->state != CONN_CLOSING)
		step->gone(w, c);
}

void conn_end(struct worker *w, struct conn *c, enum close_reason reason)
{
	assert(c->state != CONN_FREE && c->state != CONN_HELD);
	conn_depart(w); /* the ring names it by its descriptor */
	/* The first reason is the true one: a linger that ends has been closed before. */
	if (c->close_reason != CLOSE_NONE)
		reason = c->close_reason;
	else
		offence_note(w, c, reason);
	w->stats.closed[reason]++;
	log_debug("conn %u: ended: %s", conn_index(&w->slab, c), close_reason_info(reason)->word);
	if (c->state == CONN_HANDSHAKE)
		door_leave(w, c);
	upper_gone(w, c);
	batch_drop(w, c);
	w->n_read_stopped -= c->flags & CONN_F_READ_STOP ? 1 : 0;
	timer_stop(w, c);
	partial_end(w, c);
	if (c->flags & CONN_F_TLS)
		tls_end(w, c);
	buffer_free(w->pool, &c->record);
	buffer_free(w->pool, &c->message);
	if (c->tail != 0)
		backlog_forget(w, c);
	conn_tail_end(w, c);
	identity_forget(w, c);
	if (conn_fd(c) >= 0) {
		close(conn_fd(c)); /* leaves the epoll set by itself: nobody else holds it */
		listener_room(w);
	}
	conn_slab_free(&w->slab, c, fanout_newest(w->fanout));
}

/* The upper layers are done with it: it leaves its channels now, not when the peer has
 * answered. Only then does the state change, since the step belongs to the state. */
static void leave(struct worker *w, struct conn *c, enum conn_state state, enum close_reason reason)
{
	upper_gone(w, c);
	if (c->close_reason == CLOSE_NONE) {
		c->close_reason = (uint8_t)reason;
		offence_note(w, c, reason); /* while the kernel still knows whose it is */
	}
	c->state = (uint8_t)state;
	/* From here on partial_ticks is when the goodbye began: its own deadline. */
	partial_end(w, c);
	buffer_free(w->pool, &c->message);
	c->rest = 0;
	if (state == CONN_LINGER)
		buffer_free(w->pool, &c->record);
	c->partial_ticks = w->tick;
	conn_read_stop(w, c, false); /* it cannot publish any more, but say goodbye */
	timer_update(w, c);
}

void conn_close_text(struct worker *w, struct conn *c, enum close_reason reason, uint16_t code,
		     struct bytes text)
{
	if (c->state != CONN_OPEN || code == 0) {
		if (c->state != CONN_CLOSING && c->state != CONN_LINGER)
			conn_end(w, c, reason);
		return;
	}
	ws_send_close(w, c, code, text);
	c->flags |= CONN_F_CLOSE_SENT;
	if (c->rx.bad != 0) { /* nothing it still says can be understood: do not wait for it */
		conn_linger(w, c, reason);
		return;
	}
	leave(w, c, CONN_CLOSING, reason);
}

void conn_close(struct worker *w, struct conn *c, enum close_reason reason)
{
	const struct close_reason_info *info = close_reason_info(reason);
	conn_close_text(w, c, reason, info->ws_code, bytes_str(info->text));
}

void conn_close_slow(struct worker *w, struct conn *c)
{
	const struct close_reason_info *info = close_reason_info(CLOSE_SLOW_CONSUMER);
	uint8_t payload[WS_CONTROL_MAX], frame[WS_CONTROL_MAX + WS_HEAD_MAX];
	size_t n = ws_frame_close(payload, info->ws_code, bytes_str(info->text));
	n = ws_frame_write(frame, sizeof(frame), WS_CLOSE | WS_FIN, BYTES(payload, n), NULL);
	leave(w, c, CONN_CLOSING, CLOSE_SLOW_CONSUMER);
	c->flags |= CONN_F_CLOSE_SENT;
	batch_drop(w, c);
	backlog_forget(w, c);
	if (!conn_send_last(w, c, BYTES(frame, n)))
		conn_end(w, c, CLOSE_SLOW_CONSUMER);
}

void conn_linger(struct worker *w, struct conn *c, enum close_reason reason)
{
	if (c->state == CONN_LINGER)
		return;
	leave(w, c, CONN_LINGER, reason);
	c->flags |= CONN_F_END_FLUSH;
	if (!(c->flags & CONN_F_TOUCHED) && c->tail == 0)
		conn_flushed(w, c);
}

void conn_flushed(struct worker *w, struct conn *c)
{
	c->flags &= (uint16_t)~CONN_F_END_FLUSH;
	conn_depart(w);
	/* After a complete close handshake, or when the peer has finished, nothing can be
	 * lost any more by closing. */
	if (c->flags & (CONN_F_EOF | CONN_F_CLOSE_SEEN) || conn_fd(c) < 0) {
		if (c->flags & CONN_F_TLS)
			tls_goodbye(w, c);
		conn_end(w, c, CLOSE_NORMAL);
		return;
	}
	if (c->flags & CONN_F_TLS)
		tls_goodbye(w, c);
	c->flags |= CONN_F_SHUT;
	c->partial_ticks = w->tick;
	timer_update(w, c);
	if (shutdown(conn_fd(c), SHUT_WR) != 0)
		conn_end(w, c, CLOSE_PEER);
}
