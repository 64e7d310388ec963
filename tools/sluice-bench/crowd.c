/* SPDX-License-Identifier: BSD-2-Clause */
/* crowd.c - one process full of clients: connect a bounded number at a time, subscribe, then
 * listen and check. Some, if asked for, then stop reading and let the server see to it.
 *
 * Every message carries its publisher, its number and the time it was sent; each client
 * checks that the numbers come once, without a gap, in order, and folds the order of all
 * publishers into one hash: all clients of all processes must end with the same. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"
#include "ws/frame.h"

#define PER_SOURCE  10000 /* connections from one 127.x address */
#define BUFFER      (256u << 10)
#define DEAF_BUFFER 4096 /* what the kernel may keep for one who does not read ... */
#define DEAF_SEGMENT                                                                               \
	1448 /* ... and Ethernet's segments: with loopback's the server's kernel takes 2.6 MB for him */

enum { C_CONNECTING, C_TLS, C_HTTP, C_WAIT, C_READY, C_DEAF, C_DEAD };

struct client {
	int fd;
	uint8_t state;
	SSL *ssl;
	struct ws_rx rx;
	uint8_t *kept; /* the beginning of a frame or head, rarely */
	uint32_t kept_n;
	uint8_t *message; /* what there is of one that is longer than a record or a read */
	size_t message_n;
	uint32_t want; /* epoll events now asked for */
	uint64_t next[PUBLISHERS_MAX];
	uint64_t order;
	SSL_SESSION *session;
};

struct crowd {
	const struct options *o;
	struct crowd_stats *s;
	SSL_CTX *ctx;
	int set;
	struct client *clients;
	uint32_t count, opened, under_way, me;
	uint8_t *buf;
};

static void bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static void arm(struct crowd *cr, struct client *c, uint32_t events)
{
	if (c->want == events)
		return;
	struct epoll_event e = {.events = events, .data.ptr = c};
	epoll_ctl(cr->set, c->want ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
	c->want = events;
}

static void note_why(struct crowd *cr, enum why what, uint32_t number)
{
	cr->s->why = (uint64_t)what << 32 | number;
}

/* A step failed that is a system call without TLS; with it BoringSSL may know more. */
static void note_io(struct crowd *cr, const struct client *c, int err)
{
	uint32_t e = c->ssl ? ERR_peek_last_error() : 0;
	if (e != 0) {
		ERR_error_string_n(e, cr->s->tls_why, sizeof(cr->s->tls_why));
		note_why(cr, WHY_TLS, 0);
	} else if (err != 0 && err != EAGAIN) {
		note_why(cr, WHY_ERRNO, (uint32_t)err);
	} else {
		note_why(cr, WHY_CLOSED, 0);
	}
	ERR_clear_error();
}

static void client_end(struct crowd *cr, struct client *c, bool failed)
{
	if (c->state == C_DEAD)
		return;
	if (c->state < C_READY)
		cr->under_way--;
	bump(failed && c->state < C_READY ? &cr->s->failed : &cr->s->closed, 1);
	c->state = C_DEAD;
	SSL_free(c->ssl);
	c->ssl = NULL;
	free(c->kept);
	c->kept = NULL;
	free(c->message);
	c->message = NULL;
	c->message_n = 0;
	close(c->fd);
	c->fd = -1;
}

/* Small writes on fresh connections: the socket takes them. */
static bool client_write(struct client *c, const void *p, size_t n)
{
	if (c->ssl)
		return SSL_write(c->ssl, p, (int)n) == (int)n;
	return send(c->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool send_frame(struct client *c, unsigned opcode, const void *p, size_t n)
{
	uint8_t frame[4096], mask[4];
	RAND_bytes(mask, sizeof(mask));
	size_t len = ws_frame_write(frame, sizeof(frame), opcode | WS_FIN, BYTES(p, n), mask);
	return len && client_write(c, frame, len);
}

static bool send_upgrade(struct crowd *cr, struct client *c)
{
	char req[1024];
	const struct url *u = &cr->o->url;
	const char *protocol = cr->o->get ? NULL : cr->o->dialect->subprotocol;
	int n = snprintf(req, sizeof(req), "GET %s HTTP/1.1\r\nHost: %s:%u\r\n%s%s%s%s\r\n",
			 u->path, u->host, u->port,
			 cr->o->get ? "" :
				      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				      "Sec-WebSocket-Version: 13\r\n",
			 protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
			 protocol ? "\r\n" : "");
	return client_write(c, req, (size_t)n);
}

/* Spread evenly over all of this process. */
static bool is_deaf(const struct crowd *cr, const struct client *c)
{
	uint64_t number = (uint64_t)(c - cr->clients), share = cr->o->deaf;
	return (number + 1) * share / 100 != number * share / 100;
}

static void client_open(struct crowd *cr, struct client *c, uint32_t number)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->state = C_CONNECTING;
	cr->under_way++;
	if (c->fd < 0) {
		note_why(cr, WHY_ERRNO, (uint32_t)errno);
		bump(&cr->s->failed, 1);
		cr->under_way--;
		c->state = C_DEAD;
		return;
	}
	uint32_t source = number / PER_SOURCE + 1 + cr->me * 8;
	from.sin_addr.s_addr =
		htonl(0x7f000000u | (10u << 16) | (source / 250) << 8 | (source % 250 + 1));
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (is_deaf(cr, c)) {
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){DEAF_BUFFER}, sizeof(int));
		setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &(int){DEAF_SEGMENT}, sizeof(int));
	}
	bool loopback = ntohl(cr->o->url.addr.sin_addr.s_addr) >> 24 == 127;
	if (loopback && bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0) {
		note_why(cr, WHY_ERRNO, (uint32_t)errno);
		client_end(cr, c, true);
		return;
	}
	if (connect(c->fd, (const struct sockaddr *)&cr->o->url.addr, sizeof(from)) != 0 &&
	    errno != EINPROGRESS) {
		note_why(cr, WHY_ERRNO, (uint32_t)errno);
		client_end(cr, c, true);
		return;
	}
	arm(cr, c, EPOLLOUT);
}

/* ── messages ── */

static bool find_number(const uint8_t *p, size_t n, const char *key, uint64_t *value)
{
	size_t k = strlen(key);
	const uint8_t *at = memmem(p, n, key, k);
	if (at == NULL)
		return false;
	uint64_t v = 0;
	const uint8_t *end = p + n;
	for (at += k; at < end && *at >= '0' && *at <= '9'; at++)
		v = v * 10 + (*at - '0');
	*value = v;
	return true;
}

static void ready(struct crowd *cr, struct client *c)
{
	c->state = C_READY;
	cr->under_way--;
	if (is_deaf(cr, c)) { /* before it is ready: whoever counts those who listen subtracts */
		c->state = C_DEAF;
		arm(cr, c, EPOLLRDHUP);
		bump(&cr->s->deaf, 1);
	}
	bump(&cr->s->ready, 1);
}

/* The server has greeted us, or needs no greeting. */
static void subscribe(struct crowd *cr, struct client *c)
{
	uint8_t b[4000];
	size_t n = cr->o->dialect->subscribe(cr->o, b, sizeof(b));
	if (n > 0 && !send_frame(c, cr->o->dialect->opcode, b, n))
		client_end(cr, c, true);
	else if (!*cr->o->expect)
		ready(cr, c);
}

static void on_data(struct crowd *cr, struct client *c, const uint8_t *p, size_t n)
{
	uint64_t seq, pub, sent;
	if (!find_number(p, n, "\"n\":", &seq) || !find_number(p, n, "\"p\":", &pub) ||
	    !find_number(p, n, "\"t\":", &sent) || pub >= PUBLISHERS_MAX)
		return;
	if (c->state == C_WAIT) /* a server without acknowledgement */
		ready(cr, c);
	if (c->state == C_DEAF)
		return;
	bump(&cr->s->received, 1);
	bump(&cr->s->bytes, n);
	hist_add(cr->s, now_ns() - sent);
	if (c->next[pub] != 0) {
		if (seq > c->next[pub])
			bump(&cr->s->lost, seq - c->next[pub]);
		else if (seq == c->next[pub] - 1)
			bump(&cr->s->doubled, 1);
		else if (seq < c->next[pub])
			bump(&cr->s->reordered, 1);
	}
	c->next[pub] = seq + 1;
	c->order = (c->order ^ (pub << 56 | seq)) * 0x9e3779b97f4a7c15u;
}

static void on_heard(struct crowd *cr, struct client *c, enum heard what, struct bytes data)
{
	if (what == HEARD_WELCOME && c->state == C_WAIT)
		subscribe(cr, c);
	else if (what == HEARD_SUBSCRIBED && c->state == C_WAIT)
		ready(cr, c);
	else if (what == HEARD_DATA || what == HEARD_SUBSCRIBED)
		on_data(cr, c, data.p, data.n);
	if (what == HEARD_REFUSED) {
		note_why(cr, WHY_REFUSED, 0);
		client_end(cr, c, true);
	}
}

static void on_message(struct crowd *cr, struct client *c, struct bytes m)
{
	do {
		struct bytes data = BYTES("", 0);
		struct answer a = {0};
		enum heard what = cr->o->dialect->hear(cr->o, &m, &data, &a);
		if (a.n > 0 && !send_frame(c, cr->o->dialect->opcode, a.b, a.n))
			client_end(cr, c, true);
		else
			on_heard(cr, c, what, data);
	} while (m.n > 0 && c->state < C_DEAF);
}

/* ── bytes ── */

static void on_piece(struct crowd *cr, struct client *c, const struct ws_frame *f)
{
	uint8_t *p = realloc(c->message, c->message_n + f->n + 1);
	if (p == NULL) {
		client_end(cr, c, true);
		return;
	}
	memcpy(p + c->message_n, f->data, f->n);
	c->message = p;
	c->message_n += f->n;
	if (!f->ends)
		return;
	on_message(cr, c, BYTES(c->message, c->message_n));
	free(c->message);
	c->message = NULL;
	c->message_n = 0;
}

static void frames(struct crowd *cr, struct client *c, uint8_t *p, size_t n)
{
	static const struct ws_limits limits = {64u << 20, 1000};
	for (;;) {
		struct ws_frame f;
		enum ws_outcome o = ws_frame_next(&c->rx, &limits, p, n, &f);
		p += f.used;
		n -= f.used;
		if (o == WS_MORE)
			break;
		if (o == WS_BAD || f.opcode == WS_CLOSE) {
			note_why(cr, WHY_CLOSED, 0);
			client_end(cr, c, true);
			return;
		}
		if (f.opcode == WS_PING)
			send_frame(c, WS_PONG, f.data, f.n);
		else if (o == WS_DATA)
			on_piece(cr, c, &f);
		else if (f.opcode != WS_PONG)
			on_message(cr, c, BYTES(f.data, f.n));
		if (c->state >= C_DEAF)
			return;
	}
	if (n > 0) {
		c->kept = malloc(n);
		memcpy(c->kept, p, n);
		c->kept_n = (uint32_t)n;
	}
}

/* The first words, where it is for the client to say them. */
static void greet(struct crowd *cr, struct client *c)
{
	struct answer a = {0};
	enum heard what = cr->o->dialect->greet(&a);
	if (a.n > 0 && !send_frame(c, cr->o->dialect->opcode, a.b, a.n))
		client_end(cr, c, true);
	else
		on_heard(cr, c, what, BYTES("", 0));
}

static void on_head(struct crowd *cr, struct client *c, uint8_t *p, size_t n)
{
	uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
	if (end == NULL) {
		c->kept = malloc(n);
		memcpy(c->kept, p, n);
		c->kept_n = (uint32_t)n;
		return;
	}
	if (n < 12 || memcmp(p, cr->o->get ? "HTTP/1.1 200" : "HTTP/1.1 101", 12) != 0) {
		char status[4] = "";
		if (n >= 12)
			memcpy(status, p + 9, 3);
		note_why(cr, WHY_HTTP, (uint32_t)strtoul(status, NULL, 10));
		client_end(cr, c, true);
		return;
	}
	bump(&cr->s->connected, 1);
	bump(&cr->s->handshakes, 1);
	if (c->ssl != NULL && SSL_session_reused(c->ssl))
		bump(&cr->s->resumed, 1);
	ws_frame_init(&c->rx, WS_RX_CLIENT);
	c->state = C_WAIT;
	if (cr->o->get)
		return; /* it ends with the head: the body is short */
	greet(cr, c);
	end += 4;
	if (end < p + n && c->state < C_DEAF)
		frames(cr, c, end, (size_t)(p + n - end));
}

static ssize_t read_some(struct client *c, uint8_t *p, size_t cap)
{
	if (c->ssl == NULL) {
		ssize_t n = recv(c->fd, p, cap, MSG_DONTWAIT);
		return n < 0 && errno == EAGAIN ? 0 : n <= 0 ? -1 : n;
	}
	int n = SSL_read(c->ssl, p, (int)cap);
	if (n > 0)
		return n;
	return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static void on_readable(struct crowd *cr, struct client *c)
{
	for (;;) {
		uint8_t *p = cr->buf;
		size_t kept = c->kept_n;
		if (kept) {
			memcpy(p, c->kept, kept);
			free(c->kept);
			c->kept = NULL;
			c->kept_n = 0;
		}
		errno = 0;
		ssize_t n = read_some(c, p + kept, BUFFER - kept);
		if (n < 0) {
			note_io(cr, c, errno);
			client_end(cr, c, true);
			return;
		}
		if (n == 0) {
			if (kept) {
				c->kept = malloc(kept);
				memcpy(c->kept, p, kept);
				c->kept_n = (uint32_t)kept;
			}
			return;
		}
		if (c->state == C_HTTP)
			on_head(cr, c, p, kept + (size_t)n);
		else
			frames(cr, c, p, kept + (size_t)n);
		if (c->state >= C_DEAF || c->ssl == NULL)
			return;
	}
}

static void tls_step(struct crowd *cr, struct client *c)
{
	errno = 0;
	int r = SSL_do_handshake(c->ssl);
	int err = errno;
	if (r == 1) {
		c->state = C_HTTP;
		arm(cr, c, EPOLLIN);
		if (!send_upgrade(cr, c))
			client_end(cr, c, true);
		return;
	}
	int e = SSL_get_error(c->ssl, r);
	if (e == SSL_ERROR_WANT_READ) {
		arm(cr, c, EPOLLIN);
	} else if (e == SSL_ERROR_WANT_WRITE) {
		arm(cr, c, EPOLLOUT);
	} else {
		note_io(cr, c, err);
		client_end(cr, c, true);
	}
}

static void on_connected(struct crowd *cr, struct client *c)
{
	int err = 0;
	socklen_t len = sizeof(err);
	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		note_why(cr, WHY_ERRNO, (uint32_t)err);
		client_end(cr, c, true);
		return;
	}
	if (!cr->o->url.tls) {
		c->state = C_HTTP;
		arm(cr, c, EPOLLIN);
		if (!send_upgrade(cr, c))
			client_end(cr, c, true);
		return;
	}
	c->ssl = SSL_new(cr->ctx);
	SSL_set_fd(c->ssl, c->fd);
	SSL_set_connect_state(c->ssl);
	SSL_set_app_data(c->ssl, c); /* for keep_session() */
	SSL_set_shed_handshake_config(c->ssl, 1);
	if (c->session)
		SSL_set_session(c->ssl, c->session);
	c->state = C_TLS;
	tls_step(cr, c);
}

static void on_event(struct crowd *cr, struct client *c)
{
	if (c->state == C_CONNECTING)
		on_connected(cr, c);
	else if (c->state == C_TLS)
		tls_step(cr, c);
	else if (c->state == C_DEAF) /* reset: a mere close stands behind what he does not read */
		client_end(cr, c, false);
	else if (c->state != C_DEAD)
		on_readable(cr, c);
}

/* ── the process ── */

static void crowd_init(struct crowd *cr, const struct options *o, struct crowd_stats *s,
		       uint32_t me, uint32_t count)
{
	memset(cr, 0, sizeof(*cr));
	cr->o = o;
	cr->s = s;
	cr->me = me;
	cr->count = count;
	cr->set = epoll_create1(EPOLL_CLOEXEC);
	cr->clients = calloc(count ? count : 1, sizeof(*cr->clients));
	cr->buf = malloc(BUFFER);
	cr->ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_mode(cr->ctx, SSL_MODE_RELEASE_BUFFERS);
	static const uint8_t alpn[] = "\x08http/1.1";
	SSL_CTX_set_alpn_protos(cr->ctx, alpn, sizeof(alpn) - 1);
}

static void events(struct crowd *cr, int timeout_ms)
{
	struct epoll_event e[256];
	int n = epoll_wait(cr->set, e, 256, timeout_ms);
	for (int i = 0; i < n; i++)
		on_event(cr, e[i].data.ptr);
}

/* What all clients heard must be one order. */
static void fold_order(struct crowd *cr)
{
	uint64_t first = 0, differs = 0;
	for (uint32_t i = 0; i < cr->count; i++) {
		if (cr->clients[i].state != C_READY)
			continue;
		if (first == 0)
			first = cr->clients[i].order;
		differs += cr->clients[i].order != first;
	}
	cr->s->order_hash = first;
	cr->s->order_differs = differs;
}

static void note_cpu(struct crowd *cr)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	cr->s->cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000u +
			(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void deaf_leave(struct crowd *cr)
{
	for (uint32_t i = 0; i < cr->count; i++)
		if (cr->clients[i].state == C_DEAF)
			client_end(cr, &cr->clients[i], false);
}

void crowd_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count)
{
	struct crowd cr;
	crowd_init(&cr, o, &sh->crowd[me], me, count);
	uint64_t reset = 0;
	while (sh->phase != PHASE_STOP) {
		while (cr.opened < cr.count && cr.under_way < o->handshakes_in_flight) {
			client_open(&cr, &cr.clients[cr.opened], cr.opened);
			cr.opened++;
		}
		events(&cr, 20);
		if (reset != sh->reset) {
			reset = sh->reset;
			hist_clear(cr.s);
		}
		if (sh->deaf_leave)
			deaf_leave(&cr);
		fold_order(&cr);
		note_cpu(&cr);
	}
	_exit(0);
}

/* Its sends come when they are due and its clock is read when a message comes, not when the crowd has had
 * its turn: what a full client machine does to its own is not the server's. */
static void go_first(void)
{
	struct sched_param first = {.sched_priority = 1};
	if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
		fprintf(stderr,
			"probe: not before the crowd, which is for root: its latency holds theirs\n");
}

void crowd_probe(const struct options *o, struct shared *sh)
{
	struct crowd cr;
	uint64_t reset = 0, due = 0;
	crowd_init(&cr, o, &sh->probe, PROCS_MAX, 1);
	go_first();
	client_open(&cr, cr.clients, 0);
	struct publisher *p = publisher_open(o, 0);
	if (p == NULL)
		cr.s->failed = 1;
	while (sh->phase != PHASE_STOP) {
		events(&cr, 1);
		if (reset != sh->reset) {
			reset = sh->reset;
			hist_clear(cr.s);
			cr.s->sent = cr.s->received = 0;
		}
		if (!sh->probing || p == NULL || now_ns() < due)
			continue;
		due = MAX(due + PROBE_MS * 1000000u, now_ns());
		publisher_read(p);
		if (publisher_send(p, 1))
			bump(&cr.s->sent, 1);
	}
	_exit(0);
}

/* The client keeps the ticket of its last connection where resumption is asked for. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct client *c = SSL_get_app_data(ssl);
	if (c == NULL)
		return 0;
	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

void crowd_handshakes(const struct options *o, struct shared *sh, uint32_t me)
{
	struct crowd cr;
	uint32_t n = o->handshakes_in_flight;
	struct options only = *o; /* the 101 is the end: nothing is subscribed to */
	only.subscribe = only.expect = "";
	crowd_init(&cr, &only, &sh->crowd[me], me, n);
	if (o->resume) {
		SSL_CTX_set_session_cache_mode(cr.ctx, SSL_SESS_CACHE_CLIENT);
		SSL_CTX_sess_set_new_cb(cr.ctx, keep_session);
	}
	while (sh->phase != PHASE_STOP) {
		for (uint32_t i = 0; i < n; i++) {
			struct client *c = &cr.clients[i];
			if (c->state == C_READY || c->state == C_WAIT)
				client_end(&cr, c, false);
			if (c->state != C_DEAD && c->want != 0)
				continue;
			SSL_SESSION *session = c->session;
			memset(c, 0, sizeof(*c));
			c->session = session;
			client_open(&cr, c, cr.opened++ % PER_SOURCE);
		}
		events(&cr, 5);
		note_cpu(&cr);
	}
	_exit(0);
}
