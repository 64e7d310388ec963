/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - requests in, and where each goes:
 *
 *    head ─┬─ an endpoint's path ─┬─ upgrade ─► 101, the conn is OPEN
 *          │                      └─ anything else: 426
 *          ├─ health, ready, a page: answered here, keep-alive goes on
 *          └─ nothing of ours: 404
 *
 * A head that arrives whole is parsed where it was read. One that comes in pieces waits in
 * c->message, behind the parser's own state, so that no byte is looked at twice. */
#include "http/serve.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/log.h"
#include "conn/buffer.h"
#include "conn/io.h"
#include "conn/partial.h"
#include "fanout/batch.h"
#include "http/answer.h"
#include "http/body.h"
#include "http/head.h"
#include "http/origin.h"
#include "listener/listener.h"
#include "worker/timer.h"
#include "worker/worker.h"
#include "ws/serve.h"
#include "ws/upgrade.h"

struct http_site {
	struct http_limits limits;
	struct http_origin_list *origins; /* by endpoint */
	uint32_t n;
};

struct http_site *http_site_new(const struct config *cfg)
{
	struct http_site *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->limits = (struct http_limits){
		.line_bytes = cfg->http.request_line_bytes,
		.header_bytes = cfg->http.header_bytes,
		.head_bytes = MIN(cfg->http.head_bytes, HTTP_HEAD_BYTES_MAX),
		.headers = MIN(cfg->http.header_count, HTTP_HEADERS_MAX),
	};
	s->n = cfg->n_endpoints;
	s->origins = calloc(s->n ? s->n : 1, sizeof(*s->origins));
	for (uint32_t i = 0; s->origins && i < s->n; i++) {
		const struct config_endpoint *e = &cfg->endpoints[i];
		http_origin_list_init(&s->origins[i]);
		for (uint32_t k = 0; k < e->n_origins; k++)
			if (http_origin_list_add(&s->origins[i], bytes_str(e->origins[k])) != 0) {
				log_error("endpoint %s: origin \"%s\" cannot be used", e->path,
					  e->origins[k]);
				http_site_free(s);
				return NULL;
			}
	}
	if (s->origins != NULL)
		return s;
	http_site_free(s);
	return NULL;
}

void http_site_free(struct http_site *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; s->origins && i < s->n; i++)
		http_origin_list_fini(&s->origins[i]);
	free(s->origins);
	free(s);
}

/* ── answers ── */

static void refuse(struct worker *w, struct conn *c, unsigned status, const char *message)
{
	char buf[HTTP_ANSWER_BYTES];
	size_t n = http_answer_error(buf, sizeof(buf), status, message, w->wall_ms, 0);
	batch_bytes(w, c, BYTES(buf, n));
	conn_linger(w, c, status < 500 && status != 404 ? CLOSE_HTTP_BAD : CLOSE_HTTP_DONE);
}

/* After the answer: does the connection go on? Its body, if any, is thrown away first. */
static bool goes_on(const struct worker *w, const struct conn *c, const struct http_head *h)
{
	return h->flags & HTTP_F_KEEP_ALIVE && w->phase == WORKER_RUNNING &&
	       !(h->flags & HTTP_F_EXPECT_CONTINUE) &&
	       c->requests < MIN(w->cfg->http.keepalive_requests, UINT16_MAX);
}

struct reply {
	unsigned status;
	const char *type;
	struct bytes body;
	const char *allow; /* 405: what would be allowed */
	const char *upgrade;
	unsigned flags; /* HTTP_A_PAGE: the body is the configuration's */
};

static void answer(struct worker *w, struct conn *c, const struct http_head *h,
		   const struct reply *r)
{
	char buf[HTTP_ANSWER_BYTES];
	struct http_answer a;
	bool on = goes_on(w, c, h);
	unsigned flags = r->flags | (on ? HTTP_A_KEEP_ALIVE : 0) | (h->minor == 0 ? HTTP_A_OLD : 0);
	http_answer_start(&a, buf, sizeof(buf), r->status, w->wall_ms, flags);
	http_answer_field(&a, "Content-Type", bytes_str(r->type));
	http_answer_field(&a, "Cache-Control", BYTES_LIT("no-cache"));
	if (r->allow)
		http_answer_field(&a, "Allow", bytes_str(r->allow));
	if (r->upgrade) { /* RFC 9110 7.8, RFC 6455 4.4 */
		http_answer_field(&a, "Connection", BYTES_LIT("Upgrade"));
		http_answer_field(&a, "Upgrade", bytes_str(r->upgrade));
		http_answer_field(&a, "Sec-WebSocket-Version", BYTES_LIT("13"));
	}
	http_answer_number(&a, "Content-Length", r->body.n);
	size_t n = http_answer_end_head(&a);
	assert(n > 0);
	struct bytes body = h->method == HTTP_HEAD_METHOD ? BYTES(NULL, 0) : r->body;
	if (r->flags & HTTP_A_PAGE) {
		batch_bytes(w, c, BYTES(buf, n));
		batch_lent(w, c, body);
	} else {
		batch_bytes2(w, c, BYTES(buf, n), body);
	}
	if (!on)
		conn_linger(w, c, CLOSE_HTTP_DONE);
}

static void answer_error(struct worker *w, struct conn *c, const struct http_head *h,
			 struct reply r, const char *message)
{
	char body[512];
	r.type = "application/json";
	r.body = BYTES(body, http_error_json(body, sizeof(body), message));
	answer(w, c, h, &r);
}

/* ── who is it really ── */

static bool trusted(const struct config_listener *l, const struct addr *a)
{
	for (uint32_t i = 0; i < l->n_trusted_proxies; i++)
		if (config_prefix_has(&l->trusted_proxies[i], a))
			return true;
	return false;
}

/* Behind a proxy that we trust, the client is the last address of X-Forwarded-For that is not
 * itself such a proxy: everything to the left of that was written by the client. */
static void real_peer(struct worker *w, struct conn *c, const struct http_head *h)
{
	const struct config_listener *l = &w->cfg->listeners[c->listener];
	struct addr a = {.port = c->peer_port};
	memcpy(a.ip, c->peer_ip, 16);
	if (l->n_trusted_proxies == 0 || !trusted(l, &a))
		return;
	struct addr found = a, next;
	struct bytes line, element, hops[16];
	uint32_t n = 0, at = 0;
	/* All its lines are one list, in their order: a proxy may append a line of its own. */
	while (http_head_next(h, HTTP_FORWARDED_FOR, &at, &line))
		while (http_list_next(&line, &element))
			hops[n++ % ARRAY_SIZE(hops)] = element;
	uint32_t kept = MIN(n, (uint32_t)ARRAY_SIZE(hops));
	for (uint32_t i = 1; i <= kept; i++) {
		if (addr_parse(hops[(n - i) % ARRAY_SIZE(hops)], &next) != 0)
			break;
		found = next;
		if (!trusted(l, &found))
			break;
	}
	if (n == 0 && h->known[HTTP_REAL_IP].p && addr_parse(h->known[HTTP_REAL_IP], &next) == 0)
		found = next;
	memcpy(c->peer_ip, found.ip, 16);
	c->peer_port = found.port;
}

/* ── routes ── */

static bool is_path(const struct http_head *h, const char *path)
{
	return bytes_eq(h->path, bytes_str(path));
}

static int endpoint_at(const struct worker *w, const struct conn *c, const struct http_head *h)
{
	const struct config_listener *l = &w->cfg->listeners[c->listener];
	for (uint32_t i = 0; i < l->n_endpoints; i++)
		if (is_path(h, w->cfg->endpoints[l->endpoints[i]].path))
			return l->endpoints[i];
	return -1;
}

/* The name to answer Sec-WebSocket-Protocol with: ours first. */
static const char *subprotocol(const struct config_endpoint *e, const struct ws_upgrade *u)
{
	for (uint32_t i = 0; i < e->n_subprotocols; i++) {
		const char *one[2] = {e->subprotocols[i], NULL};
		if (ws_upgrade_protocol(u, one) != NULL)
			return e->subprotocols[i];
	}
	return NULL;
}

static void upgrade(struct worker *w, struct conn *c, const struct http_head *h, int endpoint,
		    const struct ws_upgrade *u)
{
	const struct config_endpoint *e = &w->cfg->endpoints[endpoint];
	enum http_origin_verdict o =
		http_origin_check(&w->site->origins[endpoint], h, (c->flags & CONN_F_TLS) != 0);
	if (o == HTTP_ORIGIN_REFUSED || o == HTTP_ORIGIN_BAD) {
		refuse(w, c, 403, "this Origin is not allowed here");
		return;
	}
	if (w->phase >= WORKER_DRAINING) {
		refuse(w, c, 503, "shutting down");
		return;
	}
	char buf[WS_UPGRADE_ANSWER_BYTES];
	const char *deflate = e->compression ? ws_upgrade_deflate(u) : NULL;
	size_t n = ws_upgrade_answer(buf, sizeof(buf), u, subprotocol(e, u), deflate, w->wall_ms);
	assert(n > 0);
	if (deflate != NULL)
		c->flags |= CONN_F_DEFLATE;
	real_peer(w, c, h);
	batch_bytes(w, c, BYTES(buf, n));
	c->endpoint = (uint8_t)endpoint;
	c->state = CONN_OPEN;
	w->steps[CONN_OPEN]->enter(w, c);
}

static void at_endpoint(struct worker *w, struct conn *c, const struct http_head *h, int endpoint)
{
	struct ws_upgrade u;
	char buf[WS_UPGRADE_ANSWER_BYTES];
	switch (ws_upgrade_check(&u, h)) {
	case WS_UPGRADE_YES: upgrade(w, c, h, endpoint, &u); break;
	case WS_UPGRADE_BAD:
		batch_bytes(w, c,
			    BYTES(buf, ws_upgrade_refuse(buf, sizeof(buf), u.bad, w->wall_ms)));
		conn_linger(w, c, CLOSE_HTTP_BAD);
		break;
	case WS_UPGRADE_NO:
		answer_error(w, c, h, (struct reply){.status = 426, .upgrade = "websocket"},
			     "this is a WebSocket endpoint: upgrade");
		break;
	}
}

static void health(struct worker *w, struct conn *c, const struct http_head *h, bool ready)
{
	bool going = w->phase != WORKER_RUNNING;
	bool ok = !ready || (!going && !listener_full(w));
	char body[96];
	int n = snprintf(body, sizeof(body), "{\"status\":\"%s\",\"connections\":%u}\n",
			 ok    ? "ok" :
			 going ? "draining" :
				 "full",
			 w->slab.live);
	answer(w, c, h,
	       &(struct reply){.status = ok ? 200 : 503,
			       .type = "application/json",
			       .body = BYTES(body, (size_t)n)});
}

static const struct config_page *page_at(const struct worker *w, const struct http_head *h)
{
	for (uint32_t i = 0; i < w->cfg->n_pages; i++)
		if (is_path(h, w->cfg->pages[i].path))
			return &w->cfg->pages[i];
	return NULL;
}

static void route(struct worker *w, struct conn *c, const struct http_head *h)
{
	const struct config *cfg = w->cfg;
	int endpoint = endpoint_at(w, c, h);
	if (endpoint >= 0) {
		at_endpoint(w, c, h, endpoint);
		return;
	}
	bool live = cfg->admin.health && is_path(h, cfg->admin.health_path);
	bool ready = cfg->admin.health && is_path(h, cfg->admin.ready_path);
	const struct config_page *page = page_at(w, h);
	if (!live && !ready && page == NULL)
		answer_error(w, c, h, (struct reply){.status = 404}, "nothing is served here");
	else if (h->method != HTTP_GET && h->method != HTTP_HEAD_METHOD)
		answer_error(w, c, h, (struct reply){.status = 405, .allow = "GET, HEAD"},
			     "only GET and HEAD are allowed here");
	else if (page == NULL)
		health(w, c, h, ready);
	else
		answer(w, c, h,
		       &(struct reply){.status = 200,
				       .type = page->type,
				       .body = page->body,
				       .flags = HTTP_A_PAGE});
}

/* A complete head. The conn may have another state afterwards, or be gone. */
static void request(struct worker *w, struct conn *c, const struct http_head *h)
{
	w->stats.http_requests++;
	if (c->requests < UINT16_MAX)
		c->requests++;
	switch (http_body_init(&c->body, h, w->cfg->http.body_bytes)) {
	case HTTP_BODY_BAD:
		refuse(w, c, http_bad_status(c->body.bad), http_bad_help(c->body.bad));
		return;
	case HTTP_BODY_END: break;
	default: c->flags |= CONN_F_BODY; partial_begin(w, c);
	}
	route(w, c, h);
}

/* ── bytes ── */

static void bad_head(struct worker *w, struct conn *c, enum http_bad b)
{
	log_debug("conn %u: bad request: %s", conn_index(&w->slab, c), http_bad_word(b));
	refuse(w, c, http_bad_status(b), http_bad_help(b));
}

/* The common case: nothing has come before. Returns bytes used. */
static size_t whole_head(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	struct http_head h;
	http_head_init(&h);
	switch (http_head_parse(&h, BYTES(p, n), &w->site->limits)) {
	case HTTP_HEAD: request(w, c, &h); return h.head_bytes;
	case HTTP_BAD: bad_head(w, c, h.bad); return n;
	default: break;
	}
	size_t bound = sizeof(h) + w->site->limits.head_bytes + WORKER_SCRATCH;
	partial_begin(w, c);
	if (!partial_append(w, c, &c->message, BYTES(&h, sizeof(h)), bound) ||
	    !partial_append(w, c, &c->message, BYTES(p, n), bound))
		conn_end(w, c, CLOSE_NO_MEMORY);
	else
		c->flags |= CONN_F_HEAD;
	return n;
}

/* More of a head that waits. */
static size_t more_head(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	size_t bound = sizeof(struct http_head) + w->site->limits.head_bytes + WORKER_SCRATCH;
	if (!partial_append(w, c, &c->message, BYTES(p, n), bound)) {
		conn_end(w, c, CLOSE_NO_MEMORY);
		return n;
	}
	struct bytes kept = buffer_bytes(w->pool, c->message);
	struct http_head *h = (struct http_head *)kept.p;
	struct bytes in = BYTES(kept.p + sizeof(*h), kept.n - sizeof(*h));
	enum http_outcome o = http_head_parse(h, in, &w->site->limits);
	if (o == HTTP_MORE)
		return n;
	/* Off the conn before the request is served: that may end the conn. */
	uint32_t handle = c->message;
	c->message = 0;
	c->flags &= (uint16_t)~CONN_F_HEAD;
	partial_end(w, c);
	size_t used = n;
	if (o == HTTP_HEAD) {
		used = n - (in.n - h->head_bytes);
		request(w, c, h);
	} else {
		bad_head(w, c, h->bad);
	}
	buffer_free(w->pool, &handle);
	return used;
}

static size_t skip_body(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	struct bytes in = BYTES(p, n), run;
	for (;;) {
		switch (http_body_next(&c->body, &in, &run)) {
		case HTTP_BODY_RUN: continue;
		case HTTP_BODY_MORE: return n;
		case HTTP_BODY_END:
			c->flags &= (uint16_t)~CONN_F_BODY;
			partial_end(w, c);
			return n - in.n;
		case HTTP_BODY_BAD:
			/* Its request has been answered: nothing more can be said. */
			conn_linger(w, c, CLOSE_HTTP_BAD);
			return n;
		}
	}
}

static size_t http_bytes(struct worker *w, struct conn *c, uint8_t *p, size_t n)
{
	uint32_t index = conn_index(&w->slab, c), gen = c->gen;
	size_t all = n;
	while (n > 0 && c->state == CONN_HTTP) {
		size_t used = c->flags & CONN_F_BODY ? skip_body(w, c, p, n) :
			      c->flags & CONN_F_HEAD ? more_head(w, c, p, n) :
						       whole_head(w, c, p, n);
		if (conn_deref(&w->slab, index, gen) == NULL)
			return all;
		p += used;
		n -= used;
	}
	return all - n;
}

void http_drain(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_HEAD)
		refuse(w, c, 503, "shutting down");
	else if (c->tail != 0 || c->flags & CONN_F_TOUCHED)
		conn_linger(w, c, w->shutdown_reason); /* an answer is on its way */
	else
		conn_close(w, c, w->shutdown_reason);
}

void http_timeout(struct worker *w, struct conn *c)
{
	if (c->flags & (CONN_F_HEAD | CONN_F_BODY)) {
		char buf[HTTP_ANSWER_BYTES];
		size_t n = c->flags & CONN_F_BODY ?
				   0 /* answered already */
				   :
				   http_answer_error(buf, sizeof(buf), 408,
						     "the request took too long", w->wall_ms, 0);
		batch_bytes(w, c, BYTES(buf, n));
		conn_linger(w, c, CLOSE_HANDSHAKE_TIMEOUT);
	} else {
		conn_end(w, c, c->requests ? CLOSE_HTTP_IDLE : CLOSE_HANDSHAKE_TIMEOUT);
	}
}

const struct conn_step http_step = {
	.name = "http",
	.bytes = http_bytes,
};
