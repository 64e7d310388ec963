/* SPDX-License-Identifier: BSD-2-Clause */
/* json_out.c - answers are written straight into the buffer they leave from.
 *
 * A writer that does not fit stops at the last whole piece and remembers it, so
 * callers write a whole message and ask once. Where a comma is due is read off
 * the last byte: after an opening bracket, a colon or at the very start none
 * is; after anything else a value has ended there. */
#include "base/json.h"
#include "base/json_text.h"

static bool room(struct json_out *o, size_t n)
{
	if (o->overflow || n > o->cap - o->n) {
		o->overflow = true;
		return false;
	}
	return true;
}

static bool comma_due(const struct json_out *o)
{
	uint8_t last = o->n ? o->p[o->n - 1] : '[';
	return last != '{' && last != '[' && last != ':' && last != ',';
}

static void append(struct json_out *o, const void *p, size_t n)
{
	if (n) /* an empty piece may come with a NULL pointer */
		memcpy(o->p + o->n, p, n);
	o->n += n;
}

void json_put_raw(struct json_out *o, struct bytes text)
{
	if (room(o, text.n))
		append(o, text.p, text.n);
}

void json_put_json(struct json_out *o, struct bytes text)
{
	bool comma = comma_due(o);

	if (!room(o, text.n + comma))
		return;
	if (comma)
		o->p[o->n++] = ',';
	append(o, text.p, text.n);
}

/* What is written for the byte at p that cannot stand as it is; *used is how
 * many bytes of the input that covers. */
static struct bytes escaped(const uint8_t *p, const uint8_t *end, uint8_t buf[6], size_t *used)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
	const char *short_one = *p ? strchr(from, *p) : NULL;
	uint32_t n;

	*used = 1;
	if (*p >= 0x80) {
		n = utf8_len(p, end);
		if (n == 0)
			return BYTES_LIT("\xef\xbf\xbd"); /* U+FFFD */
		*used = n;
		return BYTES(p, n);
	}
	if (short_one) {
		buf[0] = '\\';
		buf[1] = (uint8_t)to[short_one - from];
		return BYTES(buf, 2);
	}
	memcpy(buf, "\\u00", 4);
	buf[4] = (uint8_t)hex[*p >> 4];
	buf[5] = (uint8_t)hex[*p & 15];
	return BYTES(buf, 6);
}

void json_put_str(struct json_out *o, struct bytes plain)
{
	const uint8_t *p = plain.p, *end = plain.n ? plain.p + plain.n : p;
	size_t before = o->n;

	json_put_json(o, BYTES_LIT("\""));
	while (p < end && !o->overflow) {
		const uint8_t *stop = json_plain_run(p, end, true);
		uint8_t buf[6];
		size_t used;

		json_put_raw(o, BYTES(p, (size_t)(stop - p)));
		if (stop == end)
			break;
		json_put_raw(o, escaped(stop, end, buf, &used));
		p = stop + used;
	}
	json_put_raw(o, BYTES_LIT("\""));
	if (o->overflow)
		o->n = before;
}

void json_put_u64(struct json_out *o, uint64_t v)
{
	uint8_t buf[JSON_INT_MAX], *p = buf + sizeof(buf);

	do
		*--p = (uint8_t)('0' + v % 10);
	while (v /= 10);
	json_put_json(o, BYTES(p, (size_t)(buf + sizeof(buf) - p)));
}

void json_put_i64(struct json_out *o, int64_t v)
{
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	uint8_t buf[JSON_INT_MAX], *p = buf + sizeof(buf);

	do
		*--p = (uint8_t)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	json_put_json(o, BYTES(p, (size_t)(buf + sizeof(buf) - p)));
}

void json_put_bool(struct json_out *o, bool v)
{
	json_put_json(o, v ? BYTES_LIT("true") : BYTES_LIT("false"));
}

void json_put_null(struct json_out *o)
{
	json_put_json(o, BYTES_LIT("null"));
}

void json_put_open(struct json_out *o, char bracket)
{
	json_put_json(o, BYTES(&bracket, 1));
}

void json_put_close(struct json_out *o, char bracket)
{
	json_put_raw(o, BYTES(&bracket, 1));
}

void json_put_key(struct json_out *o, struct bytes key)
{
	bool comma = comma_due(o);

	if (!room(o, key.n + 3 + comma))
		return;
	if (comma)
		o->p[o->n++] = ',';
	o->p[o->n++] = '"';
	append(o, key.p, key.n);
	o->p[o->n++] = '"';
	o->p[o->n++] = ':';
}
