/* SPDX-License-Identifier: BSD-2-Clause */
/* echo.c - random messages to a server that says them again, and every byte that returns compared.
 *
 * Content and length of a message follow from its number alone, so nothing is kept to compare with.
 * What is sent (ciphertext, with TLS) can be cut at random places: each piece is a write of its own. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"
#include "ws/frame.h"

#define READ_BYTES (64u << 10)
#define SOON_BYTES (64u << 10) /* so much waits to be written before more is made */

struct peer {
	int fd;
	bool writing;
	SSL *ssl; /* over memory, once its handshake is done */
	BIO *in, *out;
	uint64_t key;
	uint32_t share, sent, heard; /* messages */
	size_t heard_n;              /* bytes of the one that is coming */
	uint64_t *when;              /* `window` of them: when it was made */
	uint8_t *wait;               /* what is to be written */
	size_t wait_at, wait_n, wait_cap;
	struct ws_rx rx;
	uint8_t kept[WS_REST_MAX];
	size_t kept_n;
};

struct echo {
	const struct options *o;
	struct crowd_stats *s;
	int set;
	struct peer *peers;
	uint32_t count;
	uint64_t draw;
	uint8_t *message, *frame, *room;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t message_key(const struct peer *p, uint32_t number)
{
	return mix(p->key + number * 0x9e3779b97f4a7c15u);
}

static uint8_t byte_at(uint64_t key, size_t at)
{
	return (uint8_t)(mix(key + at / 8 * 0x9e3779b97f4a7c15u) >> at % 8 * 8);
}

static void fill(uint64_t key, uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += 8) {
		uint64_t word = mix(key + at / 8 * 0x9e3779b97f4a7c15u);
		memcpy(p + at, &word, n - at < 8 ? n - at : 8);
	}
}

/* From 1 to `most`, each power of two as often as the others. */
static size_t log_uniform(uint64_t random, uint32_t most)
{
	double u = (double)(random >> 11) / (double)(1ull << 53);
	size_t n = (size_t)exp2(u * log2((double)most + 1));
	return n < 1 ? 1 : n > most ? most : n;
}

static size_t message_size(const struct options *o, uint64_t key)
{
	return o->up_to ? log_uniform(mix(~key), o->up_to) : o->size;
}

static uint64_t draw(struct echo *e)
{
	return mix(e->draw += 0x9e3779b97f4a7c15u);
}

static void bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

/* ── out ── */

static void later(struct peer *p, const uint8_t *b, size_t n)
{
	if (p->wait_at == p->wait_n)
		p->wait_at = p->wait_n = 0;
	if (p->wait_n + n > p->wait_cap) {
		p->wait_cap = (p->wait_n + n) * 2;
		p->wait = realloc(p->wait, p->wait_cap);
		if (p->wait == NULL)
			abort();
	}
	if (n > 0)
		memcpy(p->wait + p->wait_n, b, n);
	p->wait_n += n;
}

static bool say(struct echo *e, struct peer *p, const uint8_t *b, size_t n)
{
	if (p->ssl == NULL) {
		later(p, b, n);
		return true;
	}
	if (SSL_write(p->ssl, b, (int)n) != (int)n)
		return false;
	for (int got; (got = BIO_read(p->out, e->room, READ_BYTES)) > 0;)
		later(p, e->room, (size_t)got);
	return true;
}

static bool say_frame(struct echo *e, struct peer *p, unsigned opcode, struct bytes payload)
{
	uint8_t mask[4];
	RAND_bytes(mask, sizeof(mask));
	size_t n =
		ws_frame_write(e->frame, payload.n + WS_HEAD_MAX, opcode | WS_FIN, payload, mask);
	return say(e, p, e->frame, n);
}

static bool make_messages(struct echo *e, struct peer *p)
{
	while (p->sent < p->share && p->sent - p->heard < e->o->window &&
	       p->wait_n - p->wait_at < SOON_BYTES) {
		uint64_t key = message_key(p, p->sent);
		size_t n = message_size(e->o, key);
		assert(e->message != NULL); /* whoever has a share has a peer, and so room */
		fill(key, e->message, n);
		p->when[p->sent++ % e->o->window] = now_ns();
		if (!say_frame(e, p, WS_BINARY, BYTES(e->message, n)))
			return false;
	}
	return true;
}

static bool write_some(struct echo *e, struct peer *p)
{
	size_t n = p->wait_n - p->wait_at;
	if (n > 0 && e->o->cut) {
		size_t cut = log_uniform(draw(e), 32768);
		n = cut < n ? cut : n;
	}
	ssize_t sent = n ? send(p->fd, p->wait + p->wait_at, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	if (sent < 0 && errno != EAGAIN)
		return false;
	p->wait_at += sent > 0 ? (size_t)sent : 0;
	bool more = p->wait_at < p->wait_n;
	if (more != p->writing) {
		struct epoll_event ev = {.events = EPOLLIN | (more ? EPOLLOUT : 0), .data.ptr = p};
		epoll_ctl(e->set, EPOLL_CTL_MOD, p->fd, &ev);
		p->writing = more;
	}
	return true;
}

/* ── in ── */

static bool wrong(const struct peer *p, const char *what)
{
	fprintf(stderr, "message %u of a connection: %s at byte %zu\n", p->heard, what, p->heard_n);
	return false;
}

static bool compare(struct echo *e, struct peer *p, const uint8_t *b, size_t n, bool ends)
{
	if (p->heard == p->sent)
		return wrong(p, "it was never sent");
	uint64_t key = message_key(p, p->heard);
	size_t want = message_size(e->o, key);
	if (p->heard_n + n > want)
		return wrong(p, "longer than it was");
	for (size_t i = 0; i < n; i++, p->heard_n++)
		if (b[i] != byte_at(key, p->heard_n))
			return wrong(p, "another byte than was sent");
	bump(&e->s->bytes, n);
	if (!ends)
		return true;
	if (p->heard_n < want)
		return wrong(p, "it ends");
	hist_add(e->s, now_ns() - p->when[p->heard % e->o->window]);
	p->heard++;
	p->heard_n = 0;
	bump(&e->s->received, 1);
	return true;
}

/* `b` has room for a frame's beginning in front. */
static bool frames(struct echo *e, struct peer *p, uint8_t *b, size_t n)
{
	static const struct ws_limits limits = {1u << 30, UINT32_MAX};
	b -= p->kept_n;
	n += p->kept_n;
	memcpy(b, p->kept, p->kept_n);
	for (;;) {
		struct ws_frame f;
		enum ws_outcome o = ws_frame_next(&p->rx, &limits, b, n, &f);
		b += f.used;
		n -= f.used;
		if (o == WS_MORE)
			break;
		if (o == WS_BAD || f.opcode == WS_CLOSE)
			return wrong(p, "the server closes");
		if (f.opcode == WS_PING && !say_frame(e, p, WS_PONG, BYTES(f.data, f.n)))
			return false;
		if (f.opcode == WS_BINARY && !compare(e, p, f.data, f.n, f.ends))
			return false;
	}
	p->kept_n = n;
	memcpy(p->kept, b, n);
	return true;
}

static bool read_some(struct echo *e, struct peer *p)
{
	uint8_t room[WS_REST_MAX + READ_BYTES], *b = room + WS_REST_MAX;
	size_t most = e->o->cut ? log_uniform(draw(e), READ_BYTES) : READ_BYTES;
	ssize_t n = recv(p->fd, b, most, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return wrong(p, "the connection ends");
	if (p->ssl == NULL)
		return frames(e, p, b, (size_t)n);
	BIO_write(p->in, b, (int)n);
	int got;
	while ((got = SSL_read(p->ssl, b, READ_BYTES)) > 0)
		if (!frames(e, p, b, (size_t)got))
			return false;
	return SSL_get_error(p->ssl, got) == SSL_ERROR_WANT_READ ||
	       wrong(p, "TLS does not open it");
}

/* ── the process ── */

static bool shake_hands(struct peer *p, SSL_CTX *ctx)
{
	p->ssl = SSL_new(ctx);
	SSL_set_fd(p->ssl, p->fd);
	return SSL_connect(p->ssl) == 1;
}

static bool upgrade(const struct url *u, struct peer *p)
{
	char b[2048];
	size_t have = 0;
	int n = snprintf(b, sizeof(b),
			 "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			 "Sec-WebSocket-Version: 13\r\n\r\n",
			 u->path, u->host, u->port);
	if ((p->ssl ? SSL_write(p->ssl, b, n) : send(p->fd, b, (size_t)n, MSG_NOSIGNAL)) != n)
		return false;
	/* one byte at a time: what is behind the head is not ours yet */
	while (have < sizeof(b) - 1 && (have < 4 || memcmp(b + have - 4, "\r\n\r\n", 4) != 0)) {
		if ((p->ssl ? SSL_read(p->ssl, b + have, 1) : recv(p->fd, b + have, 1, 0)) != 1)
			return false;
		have++;
	}
	return strncmp(b, "HTTP/1.1 101", 12) == 0;
}

static bool peer_open(struct echo *e, struct peer *p, SSL_CTX *ctx, uint64_t key)
{
	const struct url *u = &e->o->url;
	int on = 1;
	p->key = key;
	p->when = calloc(e->o->window, sizeof(*p->when));
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)&u->addr, sizeof(u->addr)) != 0 ||
	    (u->tls && !shake_hands(p, ctx)) || !upgrade(u, p)) {
		fprintf(stderr, "cannot connect to %s:%u%s\n", u->host, u->port, u->path);
		return false;
	}
	if (p->ssl) {
		p->in = BIO_new(BIO_s_mem());
		p->out = BIO_new(BIO_s_mem());
		BIO_set_mem_eof_return(p->in, -1);
		SSL_set0_rbio(p->ssl, p->in);
		SSL_set0_wbio(p->ssl, p->out);
	}
	ws_frame_init(&p->rx, WS_RX_CLIENT);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
	bump(&e->s->connected, 1);
	return epoll_ctl(e->set, EPOLL_CTL_ADD, p->fd, &ev) == 0;
}

static bool open_all(struct echo *e, uint32_t me, uint32_t messages)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	uint32_t most = e->o->up_to ? e->o->up_to : e->o->size;
	e->set = epoll_create1(EPOLL_CLOEXEC);
	e->peers = calloc(e->count, sizeof(*e->peers));
	e->message = malloc(most);
	e->frame = malloc(MAX(most, WS_CONTROL_MAX) + WS_HEAD_MAX);
	e->room = malloc(READ_BYTES);
	for (uint32_t i = 0; i < e->count; i++) {
		struct peer *p = &e->peers[i];
		p->share = messages / e->count + (i < messages % e->count);
		if (!peer_open(e, p, ctx, mix((uint64_t)me << 32 | i)))
			return false;
		bump(&e->s->ready, 1);
	}
	return true;
}

static bool turn(struct echo *e)
{
	struct epoll_event ev[64];
	int n = epoll_wait(e->set, ev, 64, 100);
	for (int i = 0; i < n; i++) {
		struct peer *p = ev[i].data.ptr;
		if ((ev[i].events & ~EPOLLOUT && !read_some(e, p)) || !make_messages(e, p) ||
		    !write_some(e, p))
			return false;
	}
	return true;
}

void echo_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count,
	      uint32_t messages)
{
	struct echo e = {.o = o, .s = &sh->crowd[me], .count = count, .draw = me};
	bool well = count == 0 || open_all(&e, me, messages);
	while (well && sh->phase == PHASE_CONNECT)
		usleep(1000);
	for (uint32_t i = 0; well && i < count; i++)
		well = make_messages(&e, &e.peers[i]) && write_some(&e, &e.peers[i]);
	while (well && e.s->received < messages && sh->phase == PHASE_RUN)
		well = turn(&e);
	if (!well)
		bump(&e.s->failed, 1);
	while (sh->phase != PHASE_STOP)
		usleep(1000);
	_exit(0);
}
