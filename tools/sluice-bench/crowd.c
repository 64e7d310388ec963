/* SPDX-License-Identifier: BSD-2-Clause */
/* crowd.c - one process full of clients: connect a bounded number at a time, subscribe, then
 * listen and check. Some, if asked for, then stop reading and let the server see to it.
 *
 * Every message carries its publisher, its number and the time it was sent; each client
 * checks that the numbers come once, without a gap, in order, and folds the order of all
 * publishers into one hash: all clients of all processes must end with the same.
 *
 * With --asleep a client gives up its SSL object as soon as it may (nap.h) and is one struct client, no
 * buffer and nothing else: what comes is read into the one buffer of the process. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"
#include "tools/sluice-bench/nap.h"
#include "ws/deflate.h"
#include "ws/frame.h"

#define PER_SOURCE  10000 /* connections from one 127.x address */
#define BUFFER      (256u << 10)
#define HEADROOM    256u /* in front of it: the beginning of a frame, before its rest */
#define DEAF_BUFFER 4096 /* what the kernel may keep for one who does not read ... */
#define DEAF_SEGMENT                                                                               \
	1448 /* ... and Ethernet's segments: with loopback's the server's kernel takes 2.6 MB for him */

#define LONGEST (64u << 20) /* of a message */

#define CONNECTING_MS 20
#define RESTING_MS    200 /* that is also how late the parent may be heard */

enum { C_CONNECTING, C_TLS, C_HTTP, C_WAIT, C_READY, C_DEAF, C_DEAD };

/* There may be a million: 64 bits only where they are needed. */
struct client {
	int fd;
	uint8_t state;
	uint16_t want; /* epoll events now asked for */
	struct ws_rx rx;
	uint32_t kept_n, record_n, message_n;
	SSL *ssl;         /* NULL without TLS, and asleep */
	uint8_t *kept;    /* the beginning of a frame or head, rarely */
	uint8_t *record;  /* asleep: the beginning of a record, rarely */
	uint8_t *message; /* what there is of one that is longer than a record or a read */
	SSL_SESSION *session;
	uint64_t order;
	uint32_t next[PUBLISHERS_MAX];
	struct nap nap;
};
static_assert(sizeof(struct client) == 336, "all that there is of a client that is asleep");

struct crowd {
	const struct options *o;
	struct shared *sh;
	struct crowd_stats *s;
	SSL_CTX *ctx;
	int set;
	struct client *clients;
	uint32_t count, opened, under_way;
	uint32_t source; /* number of its first source address */
	uint64_t reset;  /* as shared memory has it, when we began anew */
	uint8_t *buf;    /* BUFFER bytes, HEADROOM before them */
	/* --deflate: the message unpacked last, and what it was. Who all hear the same unpack it once. */
	struct ws_deflate *deflate;
	uint8_t *packed, *text;
	size_t packed_n, text_n;
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
	c->want = (uint16_t)events;
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
	free(c->record);
	c->record = NULL;
	free(c->message);
	c->message = NULL;
	c->message_n = 0;
	close(c->fd);
	c->fd = -1;
}

/* Small writes on fresh connections: the socket takes them. */
static bool client_write(struct client *c, const void *p, size_t n)
{
	if (c->nap.suite != TLS_NO_SUITE)
		return nap_write(&c->nap, c->fd, p, n);
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
	int n = snprintf(req, sizeof(req), "GET %s HTTP/1.1\r\nHost: %s:%u\r\n%s%s%s%s%s\r\n",
			 u->path, u->host, u->port,
			 cr->o->get ? "" :
				      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
				      "Sec-WebSocket-Version: 13\r\n",
			 cr->o->deflate ?
				 "Sec-WebSocket-Extensions: permessage-deflate; "
				 "client_no_context_takeover; server_no_context_takeover\r\n" :
				 "",
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
	uint32_t source = cr->source + number / PER_SOURCE;
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
		else if (seq + 1 == c->next[pub])
			bump(&cr->s->doubled, 1);
		else if (seq < c->next[pub])
			bump(&cr->s->reordered, 1);
	}
	c->next[pub] = (uint32_t)seq + 1;
	c->order = (c->order ^ (pub << 56 | seq)) * 0x9e3779b97f4a7c15u;
}

static void on_heard(struct crowd *cr, struct client *c, enum heard what, struct bytes data)
{
	if (what == HEARD_PING)
		bump(&cr->s->pings, 1);
	else if (what == HEARD_WELCOME && c->state == C_WAIT)
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

/* A message as it came, packed or not. */
static void on_whole(struct crowd *cr, struct client *c, struct bytes m, bool packed)
{
	if (!packed) {
		on_message(cr, c, m);
		return;
	}
	bump(&cr->s->packed, 1);
	if (!bytes_eq(BYTES(cr->packed, cr->packed_n), m)) {
		uint8_t *text;
		size_t n;
		if (ws_inflate(cr->deflate, m, LONGEST, &text, &n) != WS_BAD_NONE) {
			client_end(cr, c, true);
			return;
		}
		cr->packed = realloc(cr->packed, m.n);
		cr->text = realloc(cr->text, n);
		memcpy(cr->packed, m.p, m.n);
		memcpy(cr->text, text, n);
		cr->packed_n = m.n;
		cr->text_n = n;
		ws_inflate_end(cr->deflate);
	}
	on_message(cr, c, BYTES(cr->text, cr->text_n));
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
	c->message_n += (uint32_t)f->n;
	if (!f->ends)
		return;
	on_whole(cr, c, BYTES(c->message, c->message_n), f->deflated);
	free(c->message);
	c->message = NULL;
	c->message_n = 0;
}

static void answer_ping(struct crowd *cr, struct client *c, const struct ws_frame *f)
{
	bump(&cr->s->pings, 1);
	if (!send_frame(c, WS_PONG, f->data, f->n))
		client_end(cr, c, false);
}

static void frames(struct crowd *cr, struct client *c, uint8_t *p, size_t n)
{
	static const struct ws_limits limits = {LONGEST, 1000};
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
			answer_ping(cr, c, &f);
		else if (o == WS_DATA)
			on_piece(cr, c, &f);
		else if (f.opcode != WS_PONG)
			on_whole(cr, c, BYTES(f.data, f.n), f.deflated);
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
	ws_frame_init(&c->rx, WS_RX_CLIENT | (cr->o->deflate ? WS_RX_DEFLATE : 0));
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

/* The object has said and heard all that it must: what is left of it lies in the client. */
static void fall_asleep(struct crowd *cr, struct client *c)
{
	if (!cr->o->asleep || c->ssl == NULL || c->state < C_WAIT || c->state == C_DEAD ||
	    !nap_begin(&c->nap, c->ssl))
		return;
	c->ssl = NULL;
	bump(&cr->s->asleep, 1);
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
			fall_asleep(cr, c);
			return;
		}
		if (c->state == C_HTTP)
			on_head(cr, c, p, kept + (size_t)n);
		else
			frames(cr, c, p, kept + (size_t)n);
		if (c->state == C_DEAF) /* nothing more is read: the object is of no use */
			fall_asleep(cr, c);
		if (c->state >= C_DEAF || c->ssl == NULL)
			return;
	}
}

/* ── asleep ── */

static void note_alert(struct crowd *cr, enum tls_heard heard, enum tls_alert why)
{
	if (heard == TLS_HEARD_CLOSE) {
		note_why(cr, WHY_CLOSED, 0);
		return;
	}
	snprintf(cr->s->tls_why, sizeof(cr->s->tls_why),
		 heard == TLS_HEARD_ALERT ? "the server's alert %u" :
					    "asleep: what came deserves alert %u",
		 (unsigned)why);
	note_why(cr, WHY_TLS, 0);
}

/* Behind what was kept of the last ones. What is opened lies where it came; the beginning of a frame that
 * was kept goes right before it, where bytes have been that are used up, or HEADROOM is. */
static void on_content(struct crowd *cr, struct client *c, struct bytes content)
{
	uint8_t *p = (uint8_t *)content.p - c->kept_n;
	size_t n = c->kept_n + content.n;
	assert(c->kept_n <= HEADROOM);
	if (c->kept_n > 0) {
		memcpy(p, c->kept, c->kept_n);
		free(c->kept);
		c->kept = NULL;
		c->kept_n = 0;
	}
	frames(cr, c, p, n);
}

static void keep_record(struct client *c, struct bytes rest)
{
	free(c->record);
	c->record = rest.n ? malloc(rest.n) : NULL;
	c->record_n = (uint32_t)rest.n;
	if (rest.n > 0)
		memcpy(c->record, rest.p, rest.n);
}

static void on_records(struct crowd *cr, struct client *c)
{
	if (c->record_n > 0)
		memcpy(cr->buf, c->record, c->record_n);
	ssize_t got = recv(c->fd, cr->buf + c->record_n, BUFFER - c->record_n, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		note_io(cr, c, got < 0 ? errno : 0);
		client_end(cr, c, true);
		return;
	}
	struct bytes in = BYTES(cr->buf, c->record_n + (size_t)got), content;
	enum tls_heard heard;
	enum tls_alert why;
	while ((heard = nap_open(&c->nap, &in, &content, &why)) == TLS_HEARD_CONTENT) {
		if (content.n > 0)
			on_content(cr, c, content);
		if (c->state >= C_DEAF)
			return;
	}
	if (heard == TLS_HEARD_MORE) {
		keep_record(c, in);
		return;
	}
	note_alert(cr, heard, why);
	client_end(cr, c, true);
}

/* ── events ── */

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
	else if (c->state != C_DEAD && c->nap.suite != TLS_NO_SUITE)
		on_records(cr, c);
	else if (c->state != C_DEAD)
		on_readable(cr, c);
}

/* ── the process ── */

static void on_key_line(const SSL *ssl, const char *line)
{
	struct client *c = SSL_get_app_data(ssl);
	nap_catch(&c->nap, line);
}

/* Counts in `s`. */
static void crowd_init(struct crowd *cr, const struct options *o, struct shared *sh,
		       struct crowd_stats *s, uint32_t me, uint32_t count)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would tell us to stop */
	memset(cr, 0, sizeof(*cr));
	cr->o = o;
	cr->sh = sh;
	cr->s = s;
	cr->count = count;
	cr->source = 1 + me * (o->count / o->procs / PER_SOURCE + 1);
	cr->set = epoll_create1(EPOLL_CLOEXEC);
	cr->clients = calloc(count ? count : 1, sizeof(*cr->clients));
	uint8_t *room = malloc(HEADROOM + BUFFER);
	cr->buf = room + HEADROOM;
	cr->ctx = SSL_CTX_new(TLS_method());
	SSL_CTX_set_mode(cr->ctx, SSL_MODE_RELEASE_BUFFERS);
	static const uint8_t alpn[] = "\x08http/1.1";
	SSL_CTX_set_alpn_protos(cr->ctx, alpn, sizeof(alpn) - 1);
	if (o->asleep)
		SSL_CTX_set_keylog_callback(cr->ctx, on_key_line);
	if (o->deflate)
		cr->deflate = ws_deflate_new();
}

/* Before anything that was sent after the parent said so. */
static void begin_anew(struct crowd *cr)
{
	if (cr->reset == cr->sh->reset)
		return;
	cr->reset = cr->sh->reset;
	hist_clear(cr->s);
}

static void events(struct crowd *cr, int timeout_ms)
{
	struct epoll_event e[256];
	int n = epoll_wait(cr->set, e, 256, timeout_ms);
	begin_anew(cr);
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

/* Looks at every client, which with many takes longer than to serve those that something came for: only when
 * asked. */
static void answer_parent(struct crowd *cr)
{
	uint64_t asked = cr->sh->asked;
	if (cr->s->answered == asked)
		return;
	fold_order(cr);
	note_cpu(cr);
	cr->s->answered = asked;
}

static bool open_some(struct crowd *cr)
{
	while (!cr->sh->enough && cr->opened < cr->count &&
	       cr->under_way < cr->o->handshakes_in_flight) {
		client_open(cr, &cr->clients[cr->opened], cr->opened);
		cr->s->opened = ++cr->opened;
	}
	return cr->under_way > 0;
}

void crowd_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count)
{
	struct crowd cr;
	bool connecting = true;
	crowd_init(&cr, o, sh, &sh->crowd[me], me, count);
	while (sh->phase != PHASE_STOP) {
		bool before = connecting;
		connecting = open_some(&cr);
		if (before && !connecting)
			malloc_trim(0); /* handshakes leave holes */
		/* many processes that look up often are a load of their own */
		events(&cr, connecting ? CONNECTING_MS : RESTING_MS);
		answer_parent(&cr);
		if (sh->deaf_leave)
			deaf_leave(&cr);
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
	crowd_init(&cr, o, sh, &sh->probe, o->procs, 1); /* its address is behind all of theirs */
	go_first();
	client_open(&cr, cr.clients, 0);
	struct publisher *p = publisher_open(o, 0);
	if (p == NULL)
		cr.s->failed = 1;
	while (sh->phase != PHASE_STOP) {
		events(&cr, 1);
		if (reset != cr.reset) {
			reset = cr.reset;
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
	crowd_init(&cr, &only, sh, &sh->crowd[me], me, n);
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
