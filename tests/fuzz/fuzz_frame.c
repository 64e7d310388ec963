/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_frame.c - any bytes as a stream of frames, on either side.
 *
 * Against itself in other segments; against an oracle that has the whole stream
 * before it, counts in 64 bits and judges text by code points when a message is
 * complete; and the encoder against the decoder. What came out is compared as a
 * running sum over messages and control frames. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "ws/frame.h"
#include "ws/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
	uint64_t sum;
	unsigned events;
};

static void event(struct sum *s, unsigned kind, const uint8_t *p, size_t n)
{
	s->sum = (s->sum ^ kind ^ (uint64_t)n << 16) * 0x100000001b3u;
	for (size_t i = 0; i < n; i++)
		s->sum = (s->sum ^ p[i]) * 0x100000001b3u;
	s->events++;
}

/* ---- the decoder, the way a connection uses it ---- */

struct conn {
	struct ws_rx rx;
	struct sum out;
	uint8_t rest[WS_REST_MAX];
	size_t rest_n;
	uint8_t *message;
	size_t message_n;
	uint16_t bad_code;
	bool closed;
};

static void take(struct conn *c, enum ws_outcome o, const struct ws_frame *f)
{
	if (o == WS_FRAME) {
		assert(f->begins && f->ends);
		event(&c->out, f->opcode | f->close_code << 4, f->data, f->n);
		c->closed |= f->opcode == WS_CLOSE;
		return;
	}
	if (f->begins)
		c->message_n = 0;
	if (f->n)
		memcpy(c->message + c->message_n, f->data, f->n);
	c->message_n += f->n;
	if (f->ends) {
		assert(c->message_n == f->message);
		event(&c->out, f->opcode, c->message, c->message_n);
	}
}

static void receive(struct conn *c, const struct ws_limits *l, const uint8_t *p, size_t n)
{
	size_t all = c->rest_n + n, at = 0;
	uint8_t *buf = malloc(all);
	struct ws_frame f;
	enum ws_outcome o;

	memcpy(buf, c->rest, c->rest_n);
	memcpy(buf + c->rest_n, p, n);
	while ((o = ws_frame_next(&c->rx, l, buf + at, all - at, &f)) == WS_FRAME || o == WS_DATA) {
		assert(f.used <= all - at && f.used > 0);
		at += f.used;
		take(c, o, &f);
	}
	if (o == WS_BAD)
		c->bad_code = f.close_code;
	at += f.used;
	c->rest_n = o == WS_MORE ? all - at : 0;
	assert(c->rest_n <= WS_REST_MAX);
	memcpy(c->rest, buf + at, c->rest_n);
	free(buf);
}

static struct conn decode(const uint8_t *p, size_t n, unsigned flags, const struct ws_limits *l,
			  uint32_t seed)
{
	struct conn c = {.message = malloc(n + 1)};
	ws_frame_init(&c.rx, flags);
	for (size_t at = 0; at < n && !c.bad_code;) {
		size_t k = n; /* seed 0: all at once */
		if (seed) {
			seed = seed * 1664525u + 1013904223u;
			k = 1 + (seed >> 16) % ((seed >> 8) % 4 ? 4 : 200);
		}
		k = MIN(k, n - at);
		receive(&c, l, p + at, k);
		at += k;
	}
	free(c.message);
	return c;
}

/* ---- the oracle ---- */

static bool text_good(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint32_t c = p[i], k = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		static const uint32_t floors[] = {0, 0x80, 0x800, 0x10000};
		if ((c >= 0x80 && c < 0xc0) || c >= 0xf8 || n - i <= k)
			return false;
		c = k ? c & (0x3fu >> k) : c;
		for (uint32_t j = 1; j <= k; j++) {
			if (p[i + j] >> 6 != 2)
				return false;
			c = c << 6 | (p[i + j] & 0x3f);
		}
		if (c < floors[k] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
		i += k + 1;
	}
	return true;
}

/* Is there anything that could follow and make it good? Tried out: what is left behind
 * the last good end, with up to three of the bytes at which the ranges begin and end. */
static bool text_hopeful(const uint8_t *p, size_t n)
{
	static const uint8_t follow[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf};
	size_t start = n;
	while (start && n - start < 3 && (p[start - 1] & 0xc0) == 0x80)
		start--;
	start -= start && p[start - 1] >= 0xc0;
	if (!text_good(p, start))
		return false;
	uint8_t t[8];
	size_t k = n - start;
	memcpy(t, p + start, k);
	for (unsigned i = 0; i < 216; i++) {
		t[k] = follow[i % 6];
		t[k + 1] = follow[i / 6 % 6];
		t[k + 2] = follow[i / 36];
		for (size_t more = 0; more <= 3; more++)
			if (text_good(t, k + more))
				return true;
	}
	return false;
}

enum end { GOOD, CUT, BAD };

struct oracle {
	const struct ws_limits *l;
	struct sum out;
	uint8_t *message;
	uint64_t message_n;
	unsigned opcode, frames;
	bool deflated, closed;
};

static enum end control(struct oracle *o, unsigned op, uint64_t len, const uint8_t *p)
{
	unsigned code = 0;
	if (op == 8) {
		code = 1005;
		if (len) {
			code = (unsigned)p[0] << 8 | p[1];
			if (code < 1000 || code > 4999 || (code > 1014 && code < 3000) ||
			    (code >= 1004 && code <= 1006) || !text_good(p + 2, len - 2))
				return BAD;
			p += 2;
			len -= 2;
		}
		o->closed = true;
	}
	event(&o->out, op | code << 4, p, len);
	return GOOD;
}

/* One frame at p[0..n), of which `*used` bytes. Needs all of it but to say BAD by the header. */
static enum end frame(struct oracle *o, const uint8_t *p, size_t n, unsigned flags, size_t *used)
{
	if (n < 2)
		return CUT;
	bool fin = p[0] >> 7, rsv1 = p[0] >> 6 & 1, mask = p[1] >> 7;
	unsigned op = p[0] & 15, len7 = p[1] & 127;
	size_t ext = len7 == 126 ? 2 : len7 == 127 ? 8 : 0, head = 2 + ext + (mask ? 4 : 0);
	uint64_t len = ext ? 0 : len7;
	bool starts = op == 1 || op == 2;

	if (p[0] & 0x30 || (rsv1 && !(starts && flags & WS_RX_DEFLATE)) ||
	    mask == ((flags & WS_RX_CLIENT) != 0))
		return BAD;
	if ((op > 2 && op < 8) || op > 10 || (op >= 8 && ext))
		return BAD;
	if (n < head)
		return CUT; /* only lengths are left to be wrong: never judged by the caller */
	for (size_t i = 0; i < ext; i++)
		len = len << 8 | p[2 + i];
	if (ext && (len < 126 || (ext == 8 && (len < 65536 || len >> 63))))
		return BAD;
	if (op < 8) {
		if (starts == (o->opcode != 0))
			return BAD;
		uint64_t before = starts ? 0 : o->message_n;
		o->frames = starts ? 1 : o->frames + 1;
		if (before + len > o->l->message_bytes || o->frames + !fin > o->l->fragments)
			return BAD;
		if (starts) {
			o->opcode = op;
			o->deflated = rsv1;
			o->message_n = 0;
		}
	}
	size_t have = (size_t)MIN(len, n - head);
	uint8_t *payload = malloc(have + 1);
	for (size_t i = 0; i < have; i++)
		payload[i] = p[head + i] ^ (mask ? p[head - 4 + i % 4] : 0);
	enum end e = have < len ? CUT : GOOD;
	if (op >= 8) {
		if (!fin || (op == 8 && len == 1))
			e = BAD;
		else if (e == GOOD)
			e = control(o, op, len, payload);
	} else {
		memcpy(o->message + o->message_n, payload, have);
		o->message_n += have;
		bool text = o->opcode == 1 && !o->deflated;
		if (e == GOOD && text && !text_hopeful(o->message, o->message_n))
			e = BAD;
		if (e == GOOD && fin && text && !text_good(o->message, o->message_n))
			e = BAD;
		if (e == GOOD && fin) {
			event(&o->out, o->opcode, o->message, o->message_n);
			o->opcode = 0;
		}
	}
	free(payload);
	*used = head + have;
	return e;
}

/* CUT is all the same to the oracle: it does not know how early a refusal may come. */
static void against_oracle(const uint8_t *p, size_t n, unsigned flags, const struct ws_limits *l,
			   const struct conn *c)
{
	struct oracle o = {.l = l, .message = malloc(n + 1)};
	enum end e = GOOD;
	size_t at = 0, used = 0;
	while (e == GOOD && at < n && !o.closed) {
		e = frame(&o, p + at, n - at, flags, &used);
		at += e == GOOD ? used : 0;
	}
	if (e == BAD)
		assert(c->bad_code);
	if (e == GOOD)
		assert(!c->bad_code && c->rest_n == 0 && c->closed == o.closed);
	assert(c->out.sum == o.out.sum && c->out.events == o.out.events);
	free(o.message);
}

/* ---- the encoder ---- */

/* The input as one binary message, in fragments of its own bytes' choosing. */
static void round_trip(const uint8_t *p, size_t n, bool client)
{
	struct ws_limits l = {.message_bytes = (uint32_t)n, .fragments = UINT16_MAX};
	struct ws_rx rx;
	struct ws_frame f = {0};
	uint8_t *wire = malloc(n + 64), *back = malloc(n + 1);
	size_t at = 0, got = 0;

	ws_frame_init(&rx, client ? WS_RX_SERVER : WS_RX_CLIENT);
	do {
		size_t k = MIN(n - at, n && p[at % n] & 1 ? (size_t)p[at % n] * 4 : n);
		unsigned first = (at ? WS_CONTINUATION : WS_BINARY) | (at + k == n ? WS_FIN : 0u);
		size_t w = ws_frame_write(wire, n + 64, first, BYTES(p + at, k), client ? p : NULL);
		assert(w >= k + 2 &&
		       ws_frame_write(wire, w - 1, first, BYTES(p + at, k), NULL) <= w - 1);
		w = ws_frame_write(wire, w, first, BYTES(p + at, k), client ? p : NULL);
		enum ws_outcome o = ws_frame_next(&rx, &l, wire, w, &f);
		assert((o == WS_FRAME || o == WS_DATA) && f.used == w && f.n == k);
		assert(f.begins == (at == 0) && f.opcode == WS_BINARY);
		memcpy(back + got, f.data, k);
		got += k;
		at += k;
	} while (!f.ends);
	assert(got == n && memcmp(back, p, n) == 0 && ws_frame_idle(&rx));
	free(wire);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ws_limits limits[] = {
		{100000, 1000}, {200, 4}, {10, 1}, {UINT32_MAX, UINT32_MAX}};
	if (size < 6)
		return 0;
	unsigned flags = data[0] & (WS_RX_CLIENT | WS_RX_DEFLATE);
	const struct ws_limits *l = &limits[data[0] >> 2 & 3];
	const uint8_t *p = data + 2;
	size_t n = size - 2;

	struct conn whole = decode(p, n, flags, l, 0);
	struct conn drip = decode(p, n, flags, l, load_be16(data) | 1);
	assert(whole.rx.bad == drip.rx.bad && whole.bad_code == drip.bad_code);
	assert(whole.out.sum == drip.out.sum && whole.out.events == drip.out.events);
	if (!whole.bad_code)
		assert(whole.rest_n == drip.rest_n && whole.rx.left == drip.rx.left);
	against_oracle(p, n, flags, l, &whole);
	round_trip(p, n, data[0] & 0x40);
	return 0;
}
