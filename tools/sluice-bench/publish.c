/* SPDX-License-Identifier: BSD-2-Clause */
/* publish.c - who speaks to the crowd: over a WebSocket, or by POST as nchan wants it. */
#include <assert.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"
#include "ws/frame.h"

#define HTTP_HEAD_MAX 1024 /* of a POST: the path is the longest part of it */

struct publisher {
	const struct options *o;
	const struct url *url;
	uint32_t number;
	uint64_t seq; /* of its last message */
	int fd;
	SSL *ssl;
	bool http, welcome;
	struct ws_rx rx;
	size_t in_n; /* of a frame that is not all there */
	uint8_t *data, *text,
		*out; /* a publication, in the server's words, the frames of a burst */
	size_t data_cap, text_cap, out_cap;
	uint8_t in[WS_REST_MAX + 65536];
};

static bool put(struct publisher *p, const void *b, size_t n)
{
	if (p->ssl)
		return SSL_write(p->ssl, b, (int)n) == (int)n;
	return send(p->fd, b, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static ssize_t get(struct publisher *p, void *b, size_t n)
{
	return p->ssl ? SSL_read(p->ssl, b, (int)n) : recv(p->fd, b, n, 0);
}

/* ── what it hears ── */

static bool send_frame(struct publisher *p, struct bytes payload)
{
	uint8_t frame[sizeof(((struct answer *)0)->b) + WS_HEAD_MAX], mask[4];
	RAND_bytes(mask, sizeof(mask));
	size_t n =
		ws_frame_write(frame, sizeof(frame), p->o->dialect->opcode | WS_FIN, payload, mask);
	return n && put(p, frame, n);
}

/* Channels are of no interest here: what comes in them is dropped. */
static bool on_message(struct publisher *p, struct bytes m)
{
	while (m.n > 0) {
		struct bytes ignored;
		struct answer a = {0};
		enum heard what = p->o->dialect->hear(p->o, &m, &ignored, &a);
		if (what == HEARD_REFUSED || (a.n > 0 && !send_frame(p, BYTES(a.b, a.n))))
			return false;
		p->welcome |= what == HEARD_WELCOME;
	}
	return true;
}

/* `n` more bytes are in p->in. A server says nothing long to a publisher: pieces of what does not
 * come at once are dropped. Its pings are answered by talking: a publisher that is idle for long is
 * closed, which is fine for a bench. */
static bool on_bytes(struct publisher *p, size_t n)
{
	static const struct ws_limits limits = {64u << 20, 1000};
	uint8_t *b = p->in;
	n += p->in_n;
	for (;;) {
		struct ws_frame f;
		enum ws_outcome o = ws_frame_next(&p->rx, &limits, b, n, &f);
		b += f.used;
		n -= f.used;
		if (o == WS_MORE)
			break;
		if (o == WS_BAD || f.opcode == WS_CLOSE)
			return false;
		if (o == WS_FRAME && f.opcode <= WS_BINARY && !on_message(p, BYTES(f.data, f.n)))
			return false;
	}
	memmove(p->in, b, n);
	p->in_n = n;
	return true;
}

static bool hear(struct publisher *p)
{
	ssize_t n = get(p, p->in + p->in_n, sizeof(p->in) - p->in_n);
	return n > 0 && on_bytes(p, (size_t)n);
}

/* ── opening ── */

static bool upgrade(struct publisher *p)
{
	const char *protocol = p->o->dialect->subprotocol;
	char *buf = (char *)p->in;
	int n = snprintf(buf, sizeof(p->in),
			 "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			 "Sec-WebSocket-Version: 13\r\n%s%s%s\r\n",
			 p->url->path, p->url->host, p->url->port,
			 protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
			 protocol ? "\r\n" : "");
	if (!put(p, buf, (size_t)n))
		return false;
	size_t have = 0;
	while (have < sizeof(p->in)) {
		ssize_t r = get(p, buf + have, sizeof(p->in) - have);
		if (r <= 0)
			return false;
		have += (size_t)r;
		char *end = memmem(buf, have, "\r\n\r\n", 4);
		if (end == NULL)
			continue;
		if (strncmp(buf, "HTTP/1.1 101", 12) != 0)
			return false;
		have -= (size_t)(end + 4 - buf);
		memmove(buf, end + 4, have);
		ws_frame_init(&p->rx, WS_RX_CLIENT);
		return on_bytes(p, have);
	}
	return false;
}

/* Until it may publish. */
static bool greet(struct publisher *p)
{
	struct answer a = {0};
	p->welcome |= p->o->dialect->greet(&a) == HEARD_WELCOME;
	if (a.n > 0 && !send_frame(p, BYTES(a.b, a.n)))
		return false;
	while (!p->welcome)
		if (!hear(p))
			return false;
	return true;
}

void publisher_close(struct publisher *p)
{
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
	free(p->data);
	free(p->text);
	free(p->out);
	free(p);
}

static struct publisher *give_up(struct publisher *p)
{
	publisher_close(p);
	return NULL;
}

struct publisher *publisher_open(const struct options *o, uint32_t number)
{
	struct publisher *p = calloc(1, sizeof(*p));
	p->o = o;
	p->number = number;
	p->http = o->publish_url.port != 0;
	p->url = p->http ? &o->publish_url : &o->url;
	p->data_cap = o->size + 128;
	p->data = malloc(p->data_cap);
	p->text_cap = p->data_cap + dialect_around(o);
	p->text = malloc(p->text_cap);
	p->out_cap = o->burst * (p->text_cap + WS_HEAD_MAX) + HTTP_HEAD_MAX;
	p->out = malloc(p->out_cap);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(p->fd, (const struct sockaddr *)&p->url->addr, sizeof(p->url->addr)) != 0) {
		fprintf(stderr, "publisher: cannot connect to %s:%u\n", p->url->host, p->url->port);
		return give_up(p);
	}
	if (p->url->tls) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_method());
		p->ssl = SSL_new(ctx);
		SSL_CTX_free(ctx); /* the SSL holds on to it */
		SSL_set_fd(p->ssl, p->fd);
		if (SSL_connect(p->ssl) != 1) {
			fprintf(stderr, "publisher: the TLS handshake failed\n");
			return give_up(p);
		}
	}
	if (!p->http && !upgrade(p)) {
		fprintf(stderr, "publisher: no WebSocket at %s\n", p->url->path);
		return give_up(p);
	}
	if (!p->http && !greet(p)) {
		fprintf(stderr, "publisher: no greeting in the dialect %s\n", p->o->dialect->name);
		return give_up(p);
	}
	return p;
}

/* ── publishing ── */

/* Words and numbers, so that compressing them is neither free nor in vain. */
static size_t pad(char *to, size_t n, uint64_t seed)
{
	static const char words[][9] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot"};
	char item[40];
	size_t at = 0;
	while (at < n) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		int len = snprintf(item, sizeof(item), "%s %04x %u.%02u,", words[(seed >> 60) % 6],
				   (unsigned)(seed >> 40) & 0xffff, (unsigned)(seed >> 30) % 1000,
				   (unsigned)(seed >> 20) % 100);
		size_t k = MIN((size_t)len, n - at);
		memcpy(to + at, item, k);
		at += k;
	}
	return n;
}

/* As many bytes as asked for, of JSON: who, which number, when, and padding. */
static struct bytes make_data(struct publisher *p)
{
	char *d = (char *)p->data;
	size_t n = (size_t)snprintf(d, p->data_cap, "{\"p\":%u,\"n\":%llu,\"t\":%llu,\"pad\":\"",
				    p->number, (unsigned long long)++p->seq,
				    (unsigned long long)now_ns());
	if (n + 2 < p->o->size)
		n += pad(d + n, p->o->size - 2 - n, p->seq);
	memcpy(d + n, "\"}", 2);
	return BYTES(d, n + 2);
}

static bool send_http(struct publisher *p)
{
	char answer[1024];
	struct bytes data = make_data(p);
	int n = snprintf((char *)p->out, p->out_cap,
			 "POST %s HTTP/1.1\r\nHost: %s:%u\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%.*s",
			 p->url->path, p->url->host, p->url->port, data.n, BYTES_FMT(data));
	return put(p, p->out, (size_t)n) && get(p, answer, sizeof(answer)) > 0;
}

static size_t make_frame(struct publisher *p, uint8_t *out, size_t cap)
{
	const struct dialect *d = p->o->dialect;
	uint8_t mask[4];
	size_t n = d->publish(p->o, make_data(p), p->text, p->text_cap);
	RAND_bytes(mask, sizeof(mask));
	return n ? ws_frame_write(out, cap, d->opcode | WS_FIN, BYTES(p->text, n), mask) : 0;
}

bool publisher_send(struct publisher *p, uint32_t n)
{
	size_t at = 0;
	if (p->http)
		return send_http(p);
	for (uint32_t i = 0; i < n; i++) {
		size_t len = make_frame(p, p->out + at, p->out_cap - at);
		assert(len > 0);
		at += len;
	}
	return put(p, p->out, at);
}

/* Without waiting for any. */
void publisher_read(struct publisher *p)
{
	uint8_t first;
	while ((p->ssl && SSL_pending(p->ssl) > 0) ||
	       recv(p->fd, &first, 1, MSG_DONTWAIT | MSG_PEEK) > 0)
		if (p->http || !hear(p))
			return;
}
