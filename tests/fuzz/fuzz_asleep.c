/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_asleep.c - the record layer between two ends that have each other's keys, so that whatever is
 * said gets past the tag.
 *
 * The input is a list of things to do: content, updates, any record of any type, junk, wrong bits,
 * pieces of any size, in both directions. What arrives is what was said, in order, as far as it
 * goes; an honest pair never breaks off; whoever does says why in an alert that the other can read. */
#include <assert.h>
#include <stdlib.h>

#include "tls/asleep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SAID_MAX (1u << 20)
#define OPS_MAX  400

struct end {
	struct tls_asleep a;
	struct tls_key rx, tx;
	struct tls_secrets secrets;
	struct tls_out out;  /* on its way to the other end */
	struct tls_out wire; /* has arrived there, and is no whole record yet */
	uint8_t said[SAID_MAX];
	size_t said_n, heard_n; /* of what this end has said, the other has heard so much */
	unsigned idle;          /* records in a row without content */
	bool honest;            /* all that it has sent is in order */
	bool deaf, mute;        /* it hears no more; it says no more */
};

static struct end ends[2];
static struct bytes input;

static uint8_t next(void)
{
	if (input.n == 0)
		return 0;
	input.n--;
	return *input.p++;
}

static void begin(unsigned which, enum tls_suite suite)
{
	struct end *e = &ends[which];
	struct tls_out out = e->out, wire = e->wire;
	memset(&e->secrets, 0, sizeof(e->secrets));
	memset(e->secrets.rx, which ? 1 : 2, TLS_SECRET_MAX);
	memset(e->secrets.tx, which ? 2 : 1, TLS_SECRET_MAX);
	out.n = wire.n = 0;
	e->out = out;
	e->wire = wire;
	e->said_n = e->heard_n = 0;
	e->idle = 0;
	e->honest = true;
	e->deaf = e->mute = false;
	e->a = (struct tls_asleep){.suite = suite,
				   .rx = &e->rx,
				   .tx = &e->tx,
				   .secrets = &e->secrets,
				   .key_records = 2 + next(),
				   .out = &e->out};
	tls_asleep_begin(&e->a);
}

static void say(struct end *e)
{
	size_t n = (size_t)next() << (next() % 9), at = e->said_n;
	if (at + n > SAID_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		e->said[at + i] = (uint8_t)(at + i * 3);
	size_t first = n ? next() * n / 256 : 0;
	struct iovec v[2] = {{e->said + at, first}, {e->said + at + first, n - first}};
	unsigned updates = e->a.updates;
	bool sealed = tls_asleep_seal(&e->a, v, 2);
	assert(sealed);
	e->said_n += n;
	if (e->a.updates != updates && e->idle + 1 > TLS_IDLE_MAX)
		e->honest = false; /* an update was due before it: one too many in a row */
	if (n)
		e->idle = 0;
}

static void update(struct end *e)
{
	bool done = tls_asleep_update(&e->a, next() & 1);
	assert(done);
	if (++e->idle > TLS_IDLE_MAX)
		e->honest = false;
}

static void any_record(struct end *e)
{
	uint8_t bytes[64], type = next();
	size_t n = next() % sizeof(bytes);
	type = type < 128 ? 20 + type % 5 : type;
	for (size_t i = 0; i < n; i++)
		bytes[i] = next();
	if (!tls_out_room(&e->out, n + TLS_SEAL_EXTRA))
		return;
	if (!tls_record_seal(e->a.suite, &e->tx, type, bytes, n, e->out.p + e->out.n))
		return;
	e->out.n += n + TLS_SEAL_EXTRA;
	e->honest = false;
	e->said_n = e->heard_n; /* from here on nobody knows what should arrive */
}

static void junk(struct end *e)
{
	size_t n = next();
	if (!tls_out_room(&e->out, n))
		return;
	while (n--)
		e->out.p[e->out.n++] = next();
	e->honest = false;
}

static void wrong_bit(struct end *e)
{
	size_t at = (size_t)next() << 8 | next();
	if (e->out.n == 0)
		return;
	e->out.p[at % e->out.n] ^= (uint8_t)(1 << next() % 8);
	e->honest = false;
}

static void hear(struct end *e, struct end *from)
{
	struct bytes in = BYTES(from->wire.p, from->wire.n), content;
	enum tls_heard h = TLS_HEARD_CONTENT;
	enum tls_alert why;
	while (!e->deaf && h == TLS_HEARD_CONTENT) {
		size_t out_n = e->out.n;
		h = tls_asleep_open(&e->a, &in, &content, &why);
		if (h == TLS_HEARD_CONTENT && content.n > 0 && from->honest) {
			assert(content.n <= from->said_n - from->heard_n);
			assert(memcmp(content.p, from->said + from->heard_n, content.n) == 0);
			from->heard_n += content.n;
		}
		assert(e->a.restless == (e->secrets.idle > 0 || e->secrets.message_n > 0) ||
		       h == TLS_HEARD_BAD);
		e->deaf = h != TLS_HEARD_CONTENT && h != TLS_HEARD_MORE;
		e->mute |= h == TLS_HEARD_BAD || h == TLS_HEARD_ALERT;
		assert(h != TLS_HEARD_BAD || !from->honest);
		assert((h == TLS_HEARD_BAD) == (e->out.n > out_n));
		assert(h != TLS_HEARD_ALERT || from->mute || !from->honest);
	}
	assert(e->deaf || in.n < TLS_HEAD + TLS_SEALED_MAX);
	if (in.n > 0)
		memmove(from->wire.p, in.p, in.n);
	from->wire.n = in.n;
}

/* The next piece of what is on its way. */
static void deliver(struct end *e, size_t most)
{
	struct end *to = &ends[e == &ends[0]];
	size_t n = MIN(most, e->out.n);
	if (n == 0 || !tls_out_room(&e->wire, n))
		return;
	memcpy(e->wire.p + e->wire.n, e->out.p, n);
	e->wire.n += n;
	memmove(e->out.p, e->out.p + n, e->out.n - n);
	e->out.n -= n;
	hear(to, e);
}

static void act(struct end *e)
{
	uint8_t what = next();
	if (what % 8 == 4) {
		deliver(e, (size_t)next() << (next() % 9));
		return;
	}
	if (e->mute)
		return;
	switch (what % 8) {
	case 0:
	case 1: say(e); break;
	case 2: update(e); break;
	case 3: any_record(e); break;
	case 5: junk(e); break;
	case 6: wrong_bit(e); break;
	default: deliver(e, SIZE_MAX); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	input = BYTES(data, size);
	enum tls_suite suite = 1 + next() % 3;
	begin(0, suite);
	begin(1, suite);
	for (unsigned i = 0; i < OPS_MAX && input.n > 0; i++)
		act(&ends[next() & 1]);
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &ends[i];
		if (!e->mute && e->honest)
			tls_asleep_alert(&e->a, TLS_ALERT_CLOSE_NOTIFY);
		deliver(e, SIZE_MAX);
		assert(!e->honest || e->mute || ends[!i].deaf);
		assert(!e->honest || e->mute || !ends[!i].honest || e->heard_n == e->said_n);
	}
	return 0;
}
