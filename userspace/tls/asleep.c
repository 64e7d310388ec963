/* SPDX-License-Identifier: BSD-2-Clause */
/* asleep.c - see asleep.h.
 *
 * A KeyUpdate that we are asked for leaves with our next content and not at once: that is what
 * 4.6.3 demands, one answers for many, and nobody makes us fill a socket that he does not read. */
#include "tls/asleep.h"

#include <stdlib.h>

enum { HS_KEY_UPDATE = 24, KEY_UPDATE_BYTES = 5 };

#define FIRST_RECORD 4096
#define OUT_BYTES    32768

bool tls_out_room(struct tls_out *out, size_t n)
{
	if (out->n + n <= out->cap)
		return true;
	size_t cap = out->cap ? out->cap : OUT_BYTES;
	while (cap < out->n + n)
		cap *= 2;
	uint8_t *p = realloc(out->p, cap);
	if (p == NULL)
		return false;
	out->p = p;
	out->cap = cap;
	return true;
}

void tls_asleep_begin(struct tls_asleep *a)
{
	tls_key_derive(a->suite, a->secrets->rx, a->rx);
	tls_key_derive(a->suite, a->secrets->tx, a->tx);
}

/* ── out ── */

static bool put(struct tls_asleep *a, enum tls_type type, const uint8_t *content, size_t n)
{
	if (!tls_out_room(a->out, n + TLS_SEAL_EXTRA) ||
	    !tls_record_seal(a->suite, a->tx, type, content, n, a->out->p + a->out->n))
		return false;
	a->out->n += n + TLS_SEAL_EXTRA;
	return true;
}

bool tls_asleep_update(struct tls_asleep *a, bool ask_for_theirs)
{
	const uint8_t message[KEY_UPDATE_BYTES] = {HS_KEY_UPDATE, 0, 0, 1, ask_for_theirs};
	if (!put(a, TLS_HANDSHAKE, message, sizeof(message)))
		return false;
	tls_key_update(a->suite, a->secrets->tx, a->tx);
	a->updates++;
	a->owes = false;
	return true;
}

void tls_asleep_alert(struct tls_asleep *a, enum tls_alert what)
{
	const uint8_t warning = 1, fatal = 2;
	const uint8_t alert[2] = {what == TLS_ALERT_CLOSE_NOTIFY ? warning : fatal, (uint8_t)what};
	put(a, TLS_ALERT, alert, sizeof(alert)); /* if it cannot be said, the end says it */
}

/* Where in the parts the next byte is. */
struct reader {
	const struct iovec *part;
	size_t at;
};

/* The next n bytes: where they lie, or gathered at `room`. */
static const uint8_t *take(struct reader *r, size_t n, uint8_t *room)
{
	size_t got = 0;
	while (r->at == r->part->iov_len && n > 0) {
		r->part++;
		r->at = 0;
	}
	if (r->part->iov_len - r->at >= n) {
		r->at += n;
		return n ? (const uint8_t *)r->part->iov_base + r->at - n : room;
	}
	while (got < n) {
		size_t some = MIN(n - got, r->part->iov_len - r->at);
		if (some > 0)
			memcpy(room + got, (const uint8_t *)r->part->iov_base + r->at, some);
		got += some;
		r->at += some;
		if (got < n) {
			r->part++;
			r->at = 0;
		}
	}
	return room;
}

bool tls_asleep_seal(struct tls_asleep *a, const struct iovec *parts, unsigned n)
{
	struct reader r = {.part = parts};
	size_t left = 0, most;
	for (unsigned i = 0; i < n; i++)
		left += parts[i].iov_len;
	if (left == 0)
		return true;
	if ((a->owes || a->tx->seq >= a->key_records) &&
	    !tls_asleep_update(a, a->rx->seq >= a->key_records))
		return false;
	most = left <= TLS_CONTENT_MAX ? TLS_CONTENT_MAX : FIRST_RECORD;
	for (; left > 0; most = MIN(most * 2, TLS_CONTENT_MAX)) {
		size_t some = MIN(left, most);
		/* the room comes first: it may move what is there */
		if (!tls_out_room(a->out, some + TLS_SEAL_EXTRA))
			return false;
		if (!put(a, TLS_DATA, take(&r, some, a->out->p + a->out->n + TLS_HEAD), some))
			return false;
		left -= some;
	}
	return true;
}

/* ── in ── */

static enum tls_heard bad(struct tls_asleep *a, enum tls_alert what, enum tls_alert *why)
{
	*why = what;
	tls_asleep_alert(a, what);
	return TLS_HEARD_BAD;
}

/* It brought nothing. Many such in a row are an attack (or a mistake that costs as much). */
static enum tls_heard idle(struct tls_asleep *a, enum tls_alert *why)
{
	a->restless = true;
	if (++a->secrets->idle > TLS_IDLE_MAX)
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE, why);
	return TLS_HEARD_CONTENT;
}

static enum tls_heard hear_alert(struct tls_asleep *a, struct bytes alert, enum tls_alert *why)
{
	if (alert.n != 2)
		return bad(a, TLS_ALERT_DECODE_ERROR, why);
	*why = alert.p[1]; /* 6: whatever its level, which says nothing any more */
	switch (alert.p[1]) {
	case TLS_ALERT_CLOSE_NOTIFY: return TLS_HEARD_CLOSE;
	case TLS_ALERT_USER_CANCELED: return idle(a, why);
	default: return TLS_HEARD_ALERT;
	}
}

/* 4.6.3. The message may come in pieces; with the last one the record ends, for what follows has
 * another key (5.1). Every other message belongs into a handshake, or to the other side. */
static enum tls_heard hear_handshake(struct tls_asleep *a, struct bytes in, enum tls_alert *why)
{
	static const uint8_t head[4] = {HS_KEY_UPDATE, 0, 0, 1};
	struct tls_secrets *s = a->secrets;
	if (in.n == 0) /* 5.1 */
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE, why);
	for (; in.n > 0 && s->message_n < KEY_UPDATE_BYTES; in.p++, in.n--)
		s->message[s->message_n++] = *in.p;
	if (s->message[0] != HS_KEY_UPDATE)
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE, why);
	if (memcmp(s->message, head, MIN(s->message_n, sizeof(head))) != 0)
		return bad(a, TLS_ALERT_DECODE_ERROR, why);
	if (s->message_n < KEY_UPDATE_BYTES)
		return idle(a, why);
	if (in.n > 0)
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE, why);
	if (s->message[4] > 1)
		return bad(a, TLS_ALERT_ILLEGAL_PARAMETER, why);
	s->message_n = 0;
	a->owes |= s->message[4] == 1;
	tls_key_update(a->suite, s->rx, a->rx);
	a->updates++;
	return idle(a, why);
}

/* The first record, if it is whole; *why: it can be none. */
static bool take_record(struct bytes *in, struct bytes *record, enum tls_alert *why)
{
	*why = TLS_NO_ALERT;
	if (in->n > 0 && in->p[0] != TLS_DATA)
		*why = TLS_ALERT_UNEXPECTED_MESSAGE;
	else if (in->n >= TLS_HEAD && load_be16(in->p + 3) > TLS_SEALED_MAX)
		*why = TLS_ALERT_RECORD_OVERFLOW;
	if (*why != TLS_NO_ALERT || in->n < TLS_HEAD ||
	    in->n < TLS_HEAD + (size_t)load_be16(in->p + 3))
		return false;
	*record = BYTES(in->p, TLS_HEAD + load_be16(in->p + 3));
	in->p += record->n;
	in->n -= record->n;
	return true;
}

enum tls_heard tls_asleep_open(struct tls_asleep *a, struct bytes *in, struct bytes *content,
			       enum tls_alert *why)
{
	enum tls_type type = TLS_DATA;
	struct bytes record, inner;
	*content = BYTES(NULL, 0);
	if (!take_record(in, &record, why))
		return *why == TLS_NO_ALERT ? TLS_HEARD_MORE : bad(a, *why, why);
	*why = tls_record_open(a->suite, a->rx, (uint8_t *)record.p, record.n, &type, &inner);
	if (*why != TLS_NO_ALERT)
		return bad(a, *why, why);
	if (a->restless && a->secrets->message_n > 0 &&
	    type != TLS_HANDSHAKE) /* 5.1: nothing in between */
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE, why);
	switch (type) {
	case TLS_DATA:
		*content = inner;
		if (inner.n == 0)
			return idle(a, why);
		if (a->restless) {
			a->secrets->idle = 0;
			a->restless = false;
		}
		return TLS_HEARD_CONTENT;
	case TLS_ALERT: return hear_alert(a, inner, why);
	case TLS_HANDSHAKE: return hear_handshake(a, inner, why);
	default:
		return bad(a, TLS_ALERT_UNEXPECTED_MESSAGE,
			   why); /* 5: protected CCS, unknown types */
	}
}
