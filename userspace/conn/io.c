/* SPDX-License-Identifier: BSD-2-Clause */
/* io.c - bytes in from the descriptor, bytes out to it.
 *
 *    read(2) ─► scratch_in ─┬─────────── plain ───────────┬─► step of c->state
 *                           └─ tls_open, where it lies ────┘
 *
 *    parts ─┬─── plain ────┬─┬─► sendmsg(2) ───────────┬─► what it did not take: the tail
 *           └─ tls_seal ───┘ └─► ring, if it is short ─┘
 *
 * One read per event: the set is level-triggered, so whoever sends much is asked again
 * after all the others. */
#include "conn/io.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "conn/buffer.h"
#include "conn/door.h"
#include "conn/identity.h"
#include "conn/list.h"
#include "conn/partial.h"
#include "conn/ring.h"
#include "conn/step.h"
#include "fanout/backlog.h"
#include "fanout/batch.h"
#include "tls/tls.h"
#include "worker/timer.h"
#include "worker/worker.h"

/* What a message may grow by when it becomes a frame: names and times around it. */
#define FRAME_EXTRA_BYTES 512
/* As much is sealed and written at once. */
#define SEND_BYTES        (128u << 10)
#define BACKLOG_PARTS     64u

static bool same_conn(const struct worker *w, uint32_t index, uint32_t gen)
{
	return conn_deref(&w->slab, index, gen) != NULL;
}

/* Hands plaintext to whoever reads it now. False: the conn has ended. */
static bool climb(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	while (n > 0) {
		const struct conn_step *step = w->steps[c->state];
		if (step == NULL) /* LINGER and the like: thrown away */
			return true;
		size_t used = step->bytes(w, c, p, n);
		if (!same_conn(w, index, gen))
			return false;
		assert(used <= n && (used == n || w->steps[c->state] != step));
		p += used;
		n -= used;
	}
	return true;
}

static void reset_idle(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_PARTIAL && c->record == 0 && c->message == 0 &&
	    (c->state == CONN_HTTP ? !(c->flags & CONN_F_BODY) : ws_frame_idle(&c->rx)))
		partial_end(w, c);
}

static bool put(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n);
static bool put_sealed(struct worker *w, struct conn *c);
static bool tail_append(struct worker *w, struct conn *c, struct bytes b);
static bool tail_send(struct worker *w, struct conn *c);

/* Ciphertext that TLS wants to say by itself: handshake, alerts, key updates. False: the
 * conn has ended. */
static bool flush_tls(struct worker *w, struct conn *c)
{
	return tls_output(w).n == 0 || put_sealed(w, c);
}

/* Corked: a tail that nobody waits for. A client's first request mostly comes with the end of its
 * handshake, and then our tickets and the answer are one write: the tickets wait for the end of the
 * turn, and only while there is an answer in the batch that will take them along. */
static bool is_corked(const struct conn *c)
{
	return c->tail != 0 && !(c->flags & CONN_F_TAIL_WAIT);
}

/* False: the conn has ended. */
static bool cork(struct worker *w, struct conn *c)
{
	struct bytes out = tls_output(w);
	tls_output_clear(w);
	if (c->tail != 0 || !tail_append(w, c, out)) {
		struct iovec v = {.iov_base = (void *)out.p, .iov_len = out.n};
		return out.n == 0 || put(w, c, &v, 1);
	}
	return true;
}

/* The turn of this conn is over. False: it has ended. */
static bool uncork(struct worker *w, struct conn *c)
{
	if (!is_corked(c) || c->flags & CONN_F_TOUCHED)
		return true;
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	if (!tail_send(w, c))
		return false;
	if (c->tail == 0 && c->flags & CONN_F_END_FLUSH)
		conn_flushed(w, c);
	return same_conn(w, index, gen);
}

/* A certificate that the client has shown says who it is. False: no memory. */
static bool identify(struct worker *w, struct conn *c)
{
	const struct tls_client *who = tls_client(w);
	struct identity id = {
		.user = BYTES(who->user, who->n),
		.certificate = who->sha256,
		.n_roles = who->n_roles,
	};
	for (uint32_t i = 0; i < who->n_roles; i++)
		id.role[i] = BYTES(who->role[i], who->role_n[i]);
	return who->n == 0 || identity_set(w, c, &id);
}

/* `in` begins at a record. Keeps an unfinished one. */
static void open_records(struct worker *w, struct conn *c, struct bytes in)
{
	enum tls_outcome o;
	do {
		struct bytes plain;
		o = tls_open(w, c, &in, &plain);
		if (o == TLS_HANDSHAKEN ? !cork(w, c) : !flush_tls(w, c))
			return;
		if (o != TLS_RECORD && o != TLS_HANDSHAKEN && !uncork(w, c))
			return;
		switch (o) {
		case TLS_MORE: break;
		case TLS_RECORD:
			reset_idle(w, c); /* what is behind a record that is whole has begun now */
			if (plain.n > 0 && !climb(w, c, (uint8_t *)plain.p, plain.n))
				return;
			break;
		case TLS_HANDSHAKEN:
			w->stats.handshakes++;
			if (!door_pass(w, c)) {
				log_error("epoll_ctl: %s", strerror(errno));
				c->state = CONN_HTTP;
				conn_end(w, c, CLOSE_NO_MEMORY);
				return;
			}
			c->state = CONN_HTTP;
			if (!identify(w, c)) {
				conn_end(w, c, CLOSE_NO_MEMORY);
				return;
			}
			break;
		case TLS_CLOSED: conn_eof(w, c); return;
		case TLS_REFUSED: conn_end(w, c, CLOSE_TLS_ALERT); return;
		case TLS_DENIED_HELLO: conn_end(w, c, CLOSE_FINGERPRINT); return;
		case TLS_BAD:
			conn_end(w, c,
				 c->state == CONN_HANDSHAKE ? CLOSE_TLS_HANDSHAKE :
							      CLOSE_TLS_RECORD);
			return;
		}
		if (c->state == CONN_LINGER) { /* nobody reads the rest */
			uncork(w, c);
			return;
		}
	} while (o != TLS_MORE);
	assert(in.n < TLS_RECORD_MAX && c->record == 0);
	if (in.n > 0) {
		if (!partial_append(w, c, &c->record, in, TLS_RECORD_MAX)) {
			conn_end(w, c, CLOSE_NO_MEMORY);
			return;
		}
		partial_begin(w, c);
	}
	reset_idle(w, c);
}

/* The beginning of a record that came before, and behind it what has come now. */
static struct bytes with_record(struct worker *w, struct conn *c, struct bytes now)
{
	if (c->record == 0)
		return now;
	struct bytes head = buffer_bytes(w->pool, c->record);
	assert(head.n < TLS_RECORD_MAX && now.n <= WORKER_SCRATCH); /* scratch_record holds both */
	memcpy(w->scratch_record, head.p, head.n);
	memcpy(w->scratch_record + head.n, now.p, now.n);
	buffer_free(w->pool, &c->record);
	return BYTES(w->scratch_record, head.n + now.n);
}

void conn_readable(struct worker *w, struct conn *c)
{
	int fd = conn_fd(c);
	if (fd < 0)
		return;
	uint8_t *p = w->scratch_in;
	ssize_t n = recv(fd, p, WORKER_SCRATCH, MSG_DONTWAIT);
	if (n < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		conn_end(w, c, errno == ECONNRESET ? CLOSE_PEER_RESET : CLOSE_PEER);
		return;
	}
	if (n == 0) {
		conn_eof(w, c);
		return;
	}
	c->heard_ticks = w->tick;
	c->flags &= (uint16_t)~CONN_F_PINGED;
	w->stats.bytes_in += (uint64_t)n;
	if (c->state == CONN_LINGER)
		return;
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	if (c->flags & CONN_F_TLS) {
		open_records(w, c, with_record(w, c, BYTES(p, n)));
	} else if (climb(w, c, p, (size_t)n)) {
		reset_idle(w, c);
	}
	if (same_conn(w, index, gen))
		timer_update(w, c);
}

void conn_eof(struct worker *w, struct conn *c)
{
	c->flags |= CONN_F_EOF;
	/* An HTTP client may close its side right after the request: what it asked for
	 * still leaves, but nothing more is expected. */
	bool owed = c->tail != 0 || c->flags & CONN_F_TOUCHED;
	if (owed && !(c->flags & CONN_F_SHUT) &&
	    (c->state == CONN_LINGER || c->state == CONN_HTTP)) {
		conn_watch(w, c);
		conn_linger(w, c, CLOSE_PEER);
		return;
	}
	if (c->flags & CONN_F_TLS)
		tls_goodbye(w, c);
	conn_end(w, c, CLOSE_PEER);
}

/* ── out ── */

static size_t queue_bound(const struct worker *w, const struct conn *c)
{
	size_t bound = w->cfg->memory.connection_queue_bytes;
	/* A connection must be able to hear one message of the size it may send. */
	if (c->state == CONN_OPEN || c->state == CONN_CLOSING)
		bound = MAX(bound, w->cfg->endpoints[c->endpoint].max_message_bytes +
					   (size_t)FRAME_EXTRA_BYTES);
	return bound;
}

static void tail_wait(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_TAIL_WAIT)
		return;
	c->flags |= CONN_F_TAIL_WAIT;
	conn_list_append(w->waiting, conn_index(&w->slab, c));
	c->tail_moved = (uint8_t)(w->tick / TIMER_TAIL_UNIT);
	timer_update(w, c);
	conn_watch(w, c);
}

void conn_tail_end(struct worker *w, struct conn *c)
{
	buffer_free(w->tails, &c->tail);
	if (!(c->flags & CONN_F_TAIL_WAIT))
		return;
	c->flags &= (uint16_t)~CONN_F_TAIL_WAIT;
	conn_list_remove(w->waiting, conn_index(&w->slab, c));
}

/* The socket has taken some of the tail: its turn to be sacrificed is after all others'. */
static void tail_moved(struct worker *w, struct conn *c)
{
	uint32_t index = conn_index(&w->slab, c);
	c->tail_moved = (uint8_t)(w->tick / TIMER_TAIL_UNIT);
	if (c->flags & CONN_F_TAIL_WAIT) {
		conn_list_remove(w->waiting, index);
		conn_list_append(w->waiting, index);
	}
}

/* The peer reads too slowly. A close frame goes behind what is queued (whoever reads on learns
 * why); a deadline ends the rest. */
void conn_too_slow(struct worker *w, struct conn *c)
{
	if (c->state != CONN_OPEN) {
		conn_end(w, c, CLOSE_SLOW_CONSUMER);
		return;
	}
	conn_close_slow(w, c);
}

/* A record is one part, and send(2) has less to read than sendmsg(2): 0.1 us of a delivery's 3. */
static ssize_t to_socket(int fd, const struct iovec *parts, unsigned n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)parts, .msg_iovlen = n};
	if (n == 1)
		return send(fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* What the socket takes at once; the number, or -1: the conn has ended. */
static ssize_t send_now(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	int fd = conn_fd(c);
	if (fd < 0)
		return 0;
	conn_depart(w);
	ssize_t sent = to_socket(fd, parts, n);
	w->stats.writes++;
	if (sent >= 0) {
		w->stats.bytes_out += (uint64_t)sent;
		return sent;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		return 0;
	conn_end(w, c, errno == ECONNRESET || errno == EPIPE ? CLOSE_PEER_RESET : CLOSE_PEER);
	return -1;
}

/* All tails together are at their bound: whose socket has taken nothing for longest goes, or a few
 * who never read would take the place from everybody who is slow for a moment. Without a word:
 * there is somebody else's ciphertext in hand, and its socket is full anyway. */
static bool tail_sacrifice(struct worker *w, const struct conn *spare)
{
	uint32_t stillest = conn_list_first(w->waiting, conn_index(&w->slab, spare));
	if (stillest == CONN_NONE)
		return false;
	conn_end(w, conn_at(&w->slab, stillest), CLOSE_SLOW_CONSUMER);
	return true;
}

/* Behind the tail, whatever its own bound says: that was asked before. False: all tails of the
 * worker together are at theirs, and it asks for too much of them to take it from others. */
static bool tail_append(struct worker *w, struct conn *c, struct bytes b)
{
	size_t all = conn_queued(w, c) + b.n, bound = MAX(queue_bound(w, c), all);
	while (!buffer_append(w->tails, &c->tail, b, bound))
		if (all > w->cfg->memory.queue_bytes / 2 || !tail_sacrifice(w, c))
			return false;
	return true;
}

/* Sends of the tail what the socket takes. False: the conn has ended. */
static bool tail_send(struct worker *w, struct conn *c)
{
	struct bytes tail = buffer_bytes(w->tails, c->tail);
	struct iovec v = {.iov_base = (void *)tail.p, .iov_len = tail.n};
	ssize_t sent = send_now(w, c, &v, 1);
	if (sent < 0)
		return false;
	/* Its kernel takes what we send: it lives, even if our ping waits behind the tail. */
	if (sent > 0) {
		c->heard_ticks = w->tick;
		tail_moved(w, c);
	}
	buffer_consume(w->tails, &c->tail, (size_t)sent);
	if (c->tail != 0) {
		tail_wait(w, c);
	} else if (c->flags & CONN_F_TAIL_WAIT) {
		conn_tail_end(w, c);
		conn_watch(w, c);
	}
	return true;
}

/* The socket has not taken all of what the ring had for it: the rest becomes the tail, as it does in
 * put(). Nobody ends here, for somebody may have the conn in hand: an error comes again from the
 * socket, and who has no room for a tail ends at the flush's end. */
static void ring_short(void *ctx, uint64_t who, ssize_t sent, struct bytes rest)
{
	struct worker *w = ctx;
	struct conn *c = conn_deref(&w->slab, (uint32_t)who, (uint32_t)(who >> 32));
	assert(c != NULL && c->tail == 0);
	w->stats.bytes_out -= rest.n;
	if (tail_append(w, c, rest)) {
		tail_wait(w, c);
		return;
	}
	shutdown(conn_fd(c), SHUT_RDWR); /* nothing follows a hole */
	if (w->n_cut < RING_WRITES)      /* else its socket tells */
		w->cut[w->n_cut++] = who;
}

void conn_depart(struct worker *w)
{
	if (!ring_is_empty(w->ring))
		ring_flush(w->ring, ring_short, w);
}

void conn_settle(struct worker *w)
{
	conn_depart(w);
	while (w->n_cut > 0) {
		uint64_t who = w->cut[--w->n_cut];
		struct conn *c = conn_deref(&w->slab, (uint32_t)who, (uint32_t)(who >> 32));
		if (c != NULL)
			conn_end(w, c, CLOSE_SLOW_CONSUMER);
	}
}

/* True: it will be sent with others. Whoever writes to a socket directly, or closes it, settles first. */
static bool put_by_ring(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	int fd = conn_fd(c);
	if (w->ring == NULL || fd < 0 || c->tail != 0 || c->flags & CONN_F_END_FLUSH ||
	    c->state != CONN_OPEN || !batch_flushing(w->batch))
		return false;
	uint64_t who = (uint64_t)c->gen << 32 | conn_index(&w->slab, c);
	if (!ring_add(w->ring, fd, parts, n, who)) {
		conn_depart(w);
		if (c->tail != 0 || !ring_add(w->ring, fd, parts, n, who))
			return false;
	}
	w->stats.writes++;
	for (unsigned i = 0; i < n; i++)
		w->stats.bytes_out += parts[i].iov_len;
	return true;
}

/* Sends or queues. False: the conn has ended. */
static bool put(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	bool corked = is_corked(c);
	size_t skip = 0;
	if (put_by_ring(w, c, parts, n))
		return true;
	if (c->tail == 0) {
		ssize_t sent = send_now(w, c, parts, n);
		if (sent < 0)
			return false;
		skip = (size_t)sent;
	}
	for (unsigned i = 0; i < n; i++) {
		if (skip >= parts[i].iov_len) {
			skip -= parts[i].iov_len;
			continue;
		}
		struct bytes rest =
			BYTES((uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip);
		skip = 0;
		if (!tail_append(w, c, rest)) { /* nor is there room for saying why */
			conn_end(w, c, CLOSE_SLOW_CONSUMER);
			return false;
		}
	}
	if (corked)
		return tail_send(w, c);
	if (c->tail != 0)
		tail_wait(w, c);
	return true;
}

/* What waits in tls_output(). False: the conn has ended. */
static bool put_sealed(struct worker *w, struct conn *c)
{
	struct bytes out = tls_output(w);
	struct iovec v = {.iov_base = (void *)out.p, .iov_len = out.n};
	/* Emptied first: put() may end the conn, and its goodbye is sealed into the same
	 * memory, but only after these bytes are in the socket or in the tail. */
	tls_output_clear(w);
	return put(w, c, &v, 1);
}

static bool seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	bool ok;
	if (tls_plain(w, c, parts, n, &ok) && ok)
		return put(w, c, parts, n);
	if (ok && tls_seal(w, c, parts, n))
		return put_sealed(w, c);
	tls_output_clear(w);
	conn_end(w, c, CLOSE_TLS_RECORD);
	return false;
}

/* Whole frames; a long one is sealed piece by piece, so that there is never a second copy of
 * all of it. False: the conn has ended. */
static bool put_frames(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n)
{
	if (!(c->flags & CONN_F_TLS))
		return put(w, c, parts, n);
	if (n > 1)
		return seal(w, c, parts, n);
	for (size_t at = 0; at < parts[0].iov_len; at += SEND_BYTES) {
		struct iovec piece = {.iov_base = (uint8_t *)parts[0].iov_base + at,
				      .iov_len = MIN(parts[0].iov_len - at, SEND_BYTES)};
		if (!seal(w, c, &piece, 1))
			return false;
	}
	return true;
}

/* How many of the parts go together, up to `bound` bytes, but at least one; *bytes is their sum. */
static unsigned some_frames(const struct iovec *parts, unsigned n, size_t bound, size_t *bytes)
{
	unsigned k = 1;
	*bytes = parts[0].iov_len;
	while (k < n && *bytes + parts[k].iov_len <= bound)
		*bytes += parts[k++].iov_len;
	return k;
}

bool conn_is_full(const struct conn *c)
{
	return c->flags & CONN_F_TAIL_WAIT && (c->state == CONN_OPEN || c->state == CONN_CLOSING);
}

size_t conn_queue_room(const struct worker *w, const struct conn *c)
{
	size_t bound = queue_bound(w, c);
	return bound - MIN(bound, c->tail ? buffer_size(w->tails, c->tail) : 0);
}

bool conn_queues_bounded(struct worker *w, const struct conn *spare)
{
	while (backlogs_memory(w->backlogs) > w->cfg->memory.queue_bytes)
		if (!tail_sacrifice(w, spare))
			return false;
	return true;
}

unsigned conn_send(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n,
		   size_t bytes)
{
	size_t some;
	unsigned taken = 0;
	for (unsigned k; n > 0 && !conn_is_full(c); parts += k, n -= k, taken += k) {
		size_t queued = is_corked(c) ? 0 : conn_queued(w, c);
		/* who owes nothing is nearly everybody, and whose bound it is stands on another cache line */
		size_t bound = queued > 0 ? queue_bound(w, c) :
					    w->cfg->memory.connection_queue_bytes;
		k = some_frames(parts, n, MIN(bound - MIN(bound, queued), SEND_BYTES), &some);
		if (queued > 0 && queued + some > bound) {
			conn_too_slow(w, c);
			return taken;
		}
		if (!put_frames(w, c, parts, k))
			return taken;
	}
	if (c->tail == 0 && c->flags & CONN_F_END_FLUSH)
		conn_flushed(w, c);
	return taken;
}

bool conn_send_last(struct worker *w, struct conn *c, struct bytes words)
{
	struct iovec v = {.iov_base = (void *)words.p, .iov_len = words.n};
	struct bytes out = words;
	conn_depart(w);
	if (c->flags & CONN_F_TLS && !(c->flags & CONN_F_KTLS)) {
		bool sealed = tls_seal(w, c, &v, 1);
		out = tls_output(w);
		tls_output_clear(w);
		if (!sealed)
			return false;
	}
	if (!tail_append(w, c, out))
		return false;
	tail_wait(w, c);
	return true;
}

/* Some of what waits is sealed. False: the conn has ended. *n: how much it was, 0: there was none. */
static bool send_waiting(struct worker *w, struct conn *c, unsigned *n)
{
	struct iovec parts[BACKLOG_PARTS];
	size_t bytes;
	*n = backlog_peek(w, c, parts, BACKLOG_PARTS, SEND_BYTES, &bytes);
	if (*n == 0)
		return true;
	if (!put_frames(w, c, parts, *n))
		return false;
	backlog_take(w, c, *n);
	return true;
}

void conn_writable(struct worker *w, struct conn *c)
{
	if (c->tail == 0)
		return;
	if (!tail_send(w, c) || c->tail != 0)
		return;
	for (unsigned n = 1; n > 0 && c->tail == 0;)
		if (!send_waiting(w, c, &n))
			return;
	if (c->tail != 0)
		return;
	if (c->flags & CONN_F_END_FLUSH)
		conn_flushed(w, c);
}

size_t conn_queued(const struct worker *w, const struct conn *c)
{
	return c->tail ? buffer_size(w->tails, c->tail) + backlog_bytes(w, c) : 0;
}

void conn_read_stop(struct worker *w, struct conn *c, bool stop)
{
	if (stop == !!(c->flags & CONN_F_READ_STOP))
		return;
	c->flags ^= CONN_F_READ_STOP;
	w->n_read_stopped += stop ? 1u : -1u;
	conn_watch(w, c);
	if (stop)
		return;
	c->heard_ticks = w->tick;
	if (c->flags & CONN_F_PARTIAL)
		c->partial_ticks = w->tick;
	timer_update(w, c);
}

void conn_watch(struct worker *w, struct conn *c)
{
	int fd = conn_fd(c);
	if (fd < 0)
		return;
	struct epoll_event e = {
		.data.u64 = (uint64_t)c->gen << 32 | conn_index(&w->slab, c),
		.events = (c->flags & (CONN_F_READ_STOP | CONN_F_EOF) ? 0 : EPOLLIN) |
			  (c->flags & CONN_F_TAIL_WAIT ? EPOLLOUT : 0),
	};
	int set = c->state == CONN_HANDSHAKE ? door_fd(w) : w->set_fd;
	if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) != 0)
		log_error("conn %u: epoll_ctl: %s", conn_index(&w->slab, c), strerror(errno));
}
