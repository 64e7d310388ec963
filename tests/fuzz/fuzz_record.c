/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_record.c - TLS records that come in pieces, through one real worker.
 *
 * Byte 0 says which of three:
 *   a stream of anything is cut into records, whatever the pieces in which it comes;
 *   a conn that speaks TLS hears anything in place of a handshake;
 *   a client of its own TLS sends messages whose records are cut, torn and mixed with junk.
 * In each, no byte is lost and none comes twice, what waits is less than a record, and a neighbour
 * who has left half a record with the same worker finds it as it was. */
#include "../unit/conn/little.h"
#include "conn/buffer.h"

#include "tls/library.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SETTINGS                                                                                   \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; max_message = \"1 MiB\"; } );" LITTLE_LISTENERS
#define OPS_MAX     48
#define MESSAGE_MAX 20000u
#define WIRE_MAX    (OPS_MAX * (MESSAGE_MAX + 8192u))

static struct bytes input;

static uint8_t next(void)
{
	if (input.n == 0)
		return 0;
	input.n--;
	return *input.p++;
}

/* ── the cutting alone ── */

static bool is_record(const uint8_t *p)
{
	return p[0] >= 20 && p[0] <= 23 && TLS_HEAD + load_be16(p + 3) <= TLS_RECORD_MAX;
}

static void cut_stream(void)
{
	static uint8_t hand[TLS_RECORD_MAX + WORKER_SCRATCH];
	size_t held = 0, step = 1 + next() * 3u;
	const uint8_t *begin = input.p; /* of the record that is next */
	while (input.n > 0) {
		size_t n = MIN(step, input.n);
		memcpy(hand + held, input.p, n);
		input.p += n;
		input.n -= n;
		struct bytes in = BYTES(hand, held + n), record;
		while (take_record(&in, &record)) {
			assert(record.n > 0 && memcmp(begin, record.p, record.n) == 0);
			if (record.n < TLS_HEAD || !is_record(record.p)) {
				assert(in.n == 0 && record.n >= TLS_HEAD);
				return; /* all in hand, for the library to refuse */
			}
			assert(record.n == TLS_HEAD + load_be16(record.p + 3));
			begin += record.n;
		}
		assert(in.n < TLS_RECORD_MAX && begin + in.n == input.p);
		assert(in.n < TLS_HEAD ||
		       (is_record(in.p) && in.n < TLS_HEAD + load_be16(in.p + 3)));
		memmove(hand, in.p, in.n);
		held = in.n;
	}
}

/* ── a client's stream of records, and how far it has come ── */

struct stream {
	struct far far;
	uint8_t wire[WIRE_MAX]; /* all that its TLS has said since it was open */
	size_t n, at, begin;    /* at: has come so far; begin: of the record that is not whole */
	uint8_t expect[WIRE_MAX];
	size_t expect_n, heard;
	bool torn; /* what it sends is not what its TLS has said */
};

static struct stream honest, fuzzed;

static void collect(struct stream *s)
{
	int n;
	while ((n = BIO_read(s->far.out, s->wire + s->n, (int)(WIRE_MAX - s->n))) > 0)
		s->n += (size_t)n;
	assert(s->n < WIRE_MAX);
}

/* A binary message of n bytes in records of at most `most`, and the frame that is its echo. */
static void say(struct stream *s, size_t n, size_t most, uint8_t first)
{
	static uint8_t body[MESSAGE_MAX], frame[MESSAGE_MAX + WS_HEAD_MAX];
	static const uint8_t mask[4] = {9, 8, 7, 6};
	for (size_t i = 0; i < n; i++)
		body[i] = (uint8_t)(first + i % 101);
	size_t len = ws_frame_write(frame, sizeof(frame), WS_BINARY | WS_FIN, BYTES(body, n), mask);
	for (size_t at = 0; at < len; at += most) {
		int take = (int)MIN(most, len - at);
		assert(SSL_write(s->far.ssl, frame + at, take) == take);
	}
	s->expect_n += ws_frame_write(s->expect + s->expect_n, WIRE_MAX - s->expect_n,
				      WS_BINARY | WS_FIN, BYTES(body, n), NULL);
	collect(s);
}

static void hear(struct stream *s)
{
	static uint8_t got[70000];
	ssize_t r;
	while ((r = far_recv(&s->far, got, sizeof(got))) > 0) {
		assert((size_t)r <= s->expect_n - s->heard);
		assert(memcmp(got, s->expect + s->heard, (size_t)r) == 0);
		s->heard += (size_t)r;
		little_turn();
	}
}

/* What the worker keeps of it is what has come of a record that is not whole. */
static void check(const struct stream *s)
{
	const struct conn *c = far_conn(&s->far);
	assert(tls_output(little.w).n == 0 && little.w->tls->in.n == 0);
	assert(c != NULL || s->torn);
	if (c == NULL)
		return;
	struct bytes kept = buffer_bytes(little.w->pool, c->record);
	assert(kept.n < TLS_RECORD_MAX);
	if (s->torn)
		return;
	assert(c->state == CONN_OPEN);
	assert(kept.n == s->at - s->begin);
	assert(kept.n == 0 || memcmp(kept.p, s->wire + s->begin, kept.n) == 0);
}

static void deliver(struct stream *s, size_t n)
{
	n = MIN(n, s->n - s->at);
	if (n == 0)
		return;
	far_put(&s->far, s->wire + s->at, n);
	s->at += n;
	while (s->at - s->begin >= TLS_HEAD &&
	       s->at - s->begin >= TLS_HEAD + load_be16(s->wire + s->begin + 3))
		s->begin += TLS_HEAD + load_be16(s->wire + s->begin + 3);
	hear(s);
	check(s);
}

static void restart(struct stream *s)
{
	assert(s->at == s->n && s->begin == s->n && s->heard == s->expect_n);
	s->n = s->at = s->begin = s->heard = s->expect_n = 0;
}

/* ── one input ── */

static void tear(struct stream *s)
{
	uint8_t junk[16];
	size_t n = 1 + next() % sizeof(junk), left = s->n - s->at;
	s->torn = true;
	if (left > 0 && next() % 2) {
		s->wire[s->at + (next() << 8 | next()) % left] ^= (uint8_t)(1 + next() % 255);
		return;
	}
	for (size_t i = 0; i < n; i++)
		junk[i] = next();
	far_put(&s->far, junk, n);
}

static void step(struct stream *s)
{
	switch (next() % 8) {
	case 0:
	case 1: {
		size_t n = (next() << 8 | next()) % MESSAGE_MAX;
		size_t most = 1 + next() * 70u;
		say(s, n, MAX(n / 32, most), 1);
		break;
	}
	case 2:
	case 3: deliver(s, 1u + next()); break;
	case 4: deliver(s, 1u + (next() << 8 | next())); break;
	case 5: /* to just before or behind the end of a record */
		if (s->n - s->begin >= TLS_HEAD) {
			size_t end = s->begin + TLS_HEAD + load_be16(s->wire + s->begin + 3) +
				     next() % 12;
			deliver(s, end > s->at + 6 ? end - s->at - 6 : 1);
		}
		break;
	case 6:
		if (SSL_version(s->far.ssl) == TLS1_3_VERSION)
			SSL_key_update(s->far.ssl, next() % 2 ? SSL_KEY_UPDATE_REQUESTED :
								SSL_KEY_UPDATE_NOT_REQUESTED);
		break;
	case 7: tear(s); break;
	}
}

static bool open_stream(struct stream *s)
{
	static const char ask[] = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
				  "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
				  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	static char answer[2048];
	uint8_t how = next();
	s->far = far_open(LITTLE_TLS, 0);
	far_tls(&s->far, how & 1 ? TLS1_2_VERSION : TLS1_3_VERSION);
	assert(far_shake_cut(&s->far, how < 128 ? 0 : 40u + (how & 127u) * 8));
	far_send(&s->far, ask, sizeof(ask) - 1);
	far_recv_all(&s->far, answer, sizeof(answer), NULL);
	s->n = s->at = s->begin = s->heard = s->expect_n = 0;
	s->torn = false;
	return far_conn(&s->far) != NULL && far_conn(&s->far)->state == CONN_OPEN;
}

static void messages(void)
{
	assert(open_stream(&fuzzed));
	for (unsigned i = 0; i < OPS_MAX && input.n > 0 && far_conn(&fuzzed.far); i++)
		step(&fuzzed);
	if (!fuzzed.torn) {
		say(&fuzzed, 1, 100, 1);
		while (fuzzed.at < fuzzed.n)
			deliver(&fuzzed, 65536);
		little_settle();
		hear(&fuzzed);
		restart(&fuzzed);
	}
	far_close(&fuzzed.far);
}

static void anything(void)
{
	struct far f = far_open(LITTLE_TLS, 0);
	size_t step_bytes = 1 + next() * 2u;
	while (input.n > 0 && far_conn(&f)) {
		size_t n = MIN(step_bytes, input.n);
		far_put(&f, input.p, n);
		input.p += n;
		input.n -= n;
		const struct conn *c = far_conn(&f);
		assert(tls_output(little.w).n == 0 && little.w->tls->in.n == 0);
		assert(c == NULL || c->state == CONN_HANDSHAKE);
		assert(c == NULL || buffer_size(little.w->pool, c->record) < TLS_RECORD_MAX);
	}
	far_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	input = BYTES(data + 1, size - 1);
	if (data[0] % 3 == 0) {
		cut_stream();
		return 0;
	}
	if (little.w == NULL) {
		little_open(SETTINGS);
		struct bytes rest = input;
		input.n = 0;
		assert(open_stream(&honest));
		input = rest;
	}
	say(&honest, 50, 1000, 128);
	deliver(&honest, 1 + data[1] % (honest.n - 1));
	if (data[0] % 3 == 1)
		anything();
	else
		messages();
	little_settle();
	check(&honest);
	deliver(&honest, honest.n);
	little_settle();
	hear(&honest);
	restart(&honest);
	assert(little_is_clean() && little.w->slab.live == 1);
	return 0;
}
