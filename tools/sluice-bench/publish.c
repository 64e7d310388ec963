/* SPDX-License-Identifier: BSD-2-Clause */
/* publish.c - who speaks to the crowd: over a WebSocket, or by POST as nchan wants it. */
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

struct publisher {
	const struct options *o;
	const struct url *url;
	uint32_t number;
	int fd;
	SSL *ssl;
	bool http;
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

static bool upgrade(struct publisher *p)
{
	char buf[2048];
	int n = snprintf(buf, sizeof(buf),
			 "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			 "Sec-WebSocket-Version: 13\r\n\r\n",
			 p->url->path, p->url->host, p->url->port);
	if (!put(p, buf, (size_t)n))
		return false;
	size_t have = 0;
	while (have < sizeof(buf) - 1) {
		ssize_t r = get(p, buf + have, sizeof(buf) - 1 - have);
		if (r <= 0)
			return false;
		have += (size_t)r;
		buf[have] = 0;
		if (strstr(buf, "\r\n\r\n"))
			return strncmp(buf, "HTTP/1.1 101", 12) == 0;
	}
	return false;
}

void publisher_close(struct publisher *p)
{
	SSL_free(p->ssl);
	if (p->fd >= 0)
		close(p->fd);
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
	return p;
}

static bool send_http(struct publisher *p, const char *data, int n)
{
	char buf[66000], answer[1024];
	int len = snprintf(buf, sizeof(buf),
			   "POST %s HTTP/1.1\r\nHost: %s:%u\r\nContent-Type: application/json\r\n"
			   "Content-Length: %d\r\n\r\n%s",
			   p->url->path, p->url->host, p->url->port, n, data);
	return put(p, buf, (size_t)len) && get(p, answer, sizeof(answer)) > 0;
}

bool publisher_send(struct publisher *p, uint64_t seq)
{
	static char data[65000], text[66000];
	static uint8_t frame[67000];
	char pad[60001];
	int n = snprintf(data, sizeof(data), "{\"p\":%u,\"n\":%llu,\"t\":%llu,\"pad\":\"\"}",
			 p->number, (unsigned long long)seq, (unsigned long long)now_ns());
	uint32_t more = p->o->size > (uint32_t)n ? p->o->size - (uint32_t)n : 0;
	memset(pad, 'x', more);
	pad[more] = 0;
	n = snprintf(data, sizeof(data), "{\"p\":%u,\"n\":%llu,\"t\":%llu,\"pad\":\"%s\"}",
		     p->number, (unsigned long long)seq, (unsigned long long)now_ns(), pad);
	if (p->http)
		return send_http(p, data, n);
	const char *at = strstr(p->o->publish, "%s");
	n = snprintf(text, sizeof(text), "%.*s%s%s", at ? (int)(at - p->o->publish) : 0,
		     p->o->publish, data, at ? at + 2 : "");
	if ((size_t)n >= sizeof(text)) {
		fprintf(stderr, "publisher: the message is longer than %zu bytes\n",
			sizeof(text) - 1);
		return false;
	}
	uint8_t mask[4];
	RAND_bytes(mask, sizeof(mask));
	size_t len = ws_frame_write(frame, sizeof(frame), WS_TEXT | WS_FIN, BYTES(text, (size_t)n),
				    mask);
	return len && put(p, frame, len);
}

/* Pings are answered by talking: a publisher that is idle for long is closed, which is
 * fine for a bench. What comes is dropped. */
void publisher_read(struct publisher *p)
{
	uint8_t buf[65536];
	if (p->ssl == NULL) {
		while (recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			;
		return;
	}
	uint8_t probe;
	while (SSL_pending(p->ssl) > 0 || recv(p->fd, &probe, 1, MSG_DONTWAIT | MSG_PEEK) > 0)
		if (SSL_read(p->ssl, buf, sizeof(buf)) <= 0)
			return;
}
