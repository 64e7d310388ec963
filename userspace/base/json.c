/* SPDX-License-Identifier: BSD-2-Clause */
/* json.c - one pass over a text: is it JSON, and where are the fields we want?
 *
 *   {"type":"publish","channel":"news","data":{"a":[1,2,{"b":null}]},"id":7}
 *    ╰─key─╯╰─value──╯ ...              ╰───────── value ────────╯
 *
 * json_object_scan() walks the top level itself, key by key, and lets value()
 * run over each value, however large. value() is a state machine, not a
 * recursion: what encloses the cursor is one bit per level (object or array) in
 * a word, so a text of brackets only costs 64 bits and never the stack.
 *
 * Nearly all bytes of real messages lie inside strings, so that is where the
 * speed is: json_plain_run() looks at 16 bytes at a time. Keys and numbers are
 * short and stay with plain loops. */
#include "base/json.h"

#include <assert.h>

#include "base/json_text.h"

struct scan {
	const uint8_t *end;
	uint32_t max_depth;
	bool ascii_only_plain; /* stop at what is not ASCII, to check its UTF-8 */
	bool escaped;          /* the last string had a backslash in it */
	enum json_result why;  /* set when a step returns NULL */
};

/* Steps take the cursor and return where they stopped; NULL ends the scan. */
static const uint8_t *fail(struct scan *s, enum json_result why)
{
	s->why = why;
	return NULL;
}

static inline const uint8_t *space(const struct scan *s, const uint8_t *p)
{
	while (p < s->end && *p <= ' ' && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static int hex4(const uint8_t *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = byte_lower(p[i]);
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* p stands on a backslash. */
static const uint8_t *escape(struct scan *s, const uint8_t *p)
{
	s->escaped = true;
	if (s->end - p < 2)
		return fail(s, JSON_BAD);
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't': return p + 2;
	case 'u':
		if (s->end - p < 6 || hex4(p + 2) < 0)
			return fail(s, JSON_BAD);
		return p + 6;
	default: return fail(s, JSON_BAD);
	}
}

/* p stands behind the opening quote; the answer stands behind the closing one. */
static const uint8_t *string(struct scan *s, const uint8_t *p)
{
	s->escaped = false;
	for (;;) {
		p = json_plain_run(p, s->end, s->ascii_only_plain);
		if (p == s->end || *p < ' ')
			return fail(s, JSON_BAD);
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			if (!(p = escape(s, p)))
				return NULL;
			continue;
		}
		do { /* a run of one script: stay here until ASCII comes back */
			uint32_t n = utf8_len(p, s->end);
			if (n == 0)
				return fail(s, JSON_BAD_UTF8);
			p += n;
		} while (p < s->end && *p >= 0x80);
	}
}

static inline const uint8_t *digits(const struct scan *s, const uint8_t *p)
{
	while (p < s->end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static const uint8_t *number(struct scan *s, const uint8_t *p)
{
	const uint8_t *q;

	if (*p == '-')
		p++;
	q = digits(s, p);
	if (q == p || (*p == '0' && q - p > 1)) /* none, or a leading zero */
		return fail(s, JSON_BAD);
	p = q;
	if (p < s->end && *p == '.') {
		q = digits(s, ++p);
		if (q == p)
			return fail(s, JSON_BAD);
		p = q;
	}
	if (p < s->end && (*p | 0x20) == 'e') {
		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		q = digits(s, p);
		if (q == p)
			return fail(s, JSON_BAD);
		p = q;
	}
	return p;
}

static const uint8_t *literal(struct scan *s, const uint8_t *p, struct bytes word)
{
	if ((size_t)(s->end - p) < word.n || memcmp(p, word.p, word.n) != 0)
		return fail(s, JSON_BAD);
	return p + word.n;
}

/* A value that is no array and no object. */
static const uint8_t *scalar(struct scan *s, const uint8_t *p, enum json_type *type)
{
	switch (*p) {
	case '"': *type = JSON_IS_STRING; return string(s, p + 1);
	case 't': *type = JSON_IS_TRUE; return literal(s, p, BYTES_LIT("true"));
	case 'f': *type = JSON_IS_FALSE; return literal(s, p, BYTES_LIT("false"));
	case 'n': *type = JSON_IS_NULL; return literal(s, p, BYTES_LIT("null"));
	default: *type = JSON_IS_NUMBER; return number(s, p);
	}
}

/* A key and its colon; p stands where the quote must be. */
static const uint8_t *key(struct scan *s, const uint8_t *p, struct bytes *raw)
{
	const uint8_t *start = p;

	if (p == s->end || *p != '"')
		return fail(s, JSON_BAD);
	if (!(p = string(s, p + 1)))
		return NULL;
	*raw = BYTES(start, (size_t)(p - start));
	p = space(s, p);
	if (p == s->end || *p != ':')
		return fail(s, JSON_BAD);
	return p + 1;
}

/* One value with all that is in it; space before it is skipped. `above` is the
 * number of levels that enclose it. */
static const uint8_t *value(struct scan *s, const uint8_t *p, uint32_t above,
			    struct json_value *out)
{
	uint64_t is_object = 0; /* bit 0: the innermost level; older ones above it */
	uint32_t depth = above;
	struct bytes name;
	enum json_type type;

	p = space(s, p);
	out->raw.p = p;
	if (p < s->end && *p != '{' && *p != '[') {
		if (!(p = scalar(s, p, &out->type)))
			return NULL;
		goto out;
	}
	out->type = p < s->end && *p == '{' ? JSON_IS_OBJECT : JSON_IS_ARRAY;
	goto element;

next:
	/* a value inside something is complete */
	p = space(s, p);
	if (p == s->end)
		return fail(s, JSON_BAD);
	if (*p == ',') {
		p = space(s, p + 1);
		if (is_object & 1)
			goto member;
		goto element;
	}
	if (*p != (is_object & 1 ? '}' : ']'))
		return fail(s, JSON_BAD);
	p++;
	is_object >>= 1;
	if (--depth == above)
		goto out;
	goto next;

member:
	if (!(p = key(s, p, &name)))
		return NULL;
	p = space(s, p);
element:
	/* space is behind us */
	if (p == s->end)
		return fail(s, JSON_BAD);
	if (*p != '{' && *p != '[') {
		if (!(p = scalar(s, p, &type)))
			return NULL;
		goto next;
	}
	if (depth++ == s->max_depth)
		return fail(s, JSON_TOO_DEEP);
	is_object = is_object << 1 | (*p == '{');
	p = space(s, p + 1);
	if (p < s->end && *p == (is_object & 1 ? '}' : ']'))
		goto next; /* empty: next sees the bracket */
	if (is_object & 1)
		goto member;
	goto element;

out:
	out->raw.n = (size_t)(p - out->raw.p);
	return p;
}

static enum json_result start(struct scan *s, struct bytes in, const struct json_limits *lim)
{
	if (in.n == 0) /* in.p may be NULL: not even add to it */
		return JSON_BAD;
	*s = (struct scan){
		.end = in.p + in.n,
		.max_depth = lim && lim->max_depth ? lim->max_depth : 32,
		.ascii_only_plain = !lim || !lim->utf8_known,
	};
	assert(s->max_depth <= JSON_MAX_DEPTH);
	return lim && lim->max_bytes && in.n > lim->max_bytes ? JSON_TOO_LONG : JSON_OK;
}

enum json_result json_check(struct bytes in, const struct json_limits *lim, struct json_value *out)
{
	struct json_value v;
	struct scan s;
	enum json_result r = start(&s, in, lim);
	const uint8_t *p;

	if (r != JSON_OK)
		return r;
	if (!(p = value(&s, in.p, 0, &v)))
		return s.why;
	if (space(&s, p) != s.end)
		return JSON_BAD;
	if (out)
		*out = v;
	return JSON_OK;
}

/* The wanted field that this key names, or NULL. */
static struct json_field *wanted(const struct scan *s, struct bytes raw, struct json_field *f,
				 size_t n)
{
	struct bytes plain = BYTES(raw.p + 1, raw.n - 2);

	for (size_t i = 0; i < n; i++)
		if (s->escaped ? json_string_eq(raw, f[i].name) : bytes_eq(plain, f[i].name))
			return &f[i];
	return NULL;
}

enum json_result json_object_scan(struct bytes in, const struct json_limits *lim,
				  struct json_field *fields, size_t n)
{
	struct scan s;
	enum json_result r = start(&s, in, lim);
	const uint8_t *p;

	if (r != JSON_OK)
		return r;
	for (size_t i = 0; i < n; i++)
		fields[i].value = (struct json_value){.type = JSON_IS_ABSENT};

	p = space(&s, in.p);
	if (p == s.end || *p != '{') {
		r = json_check(in, lim, NULL);
		return r == JSON_OK ? JSON_NOT_OBJECT : r;
	}
	p = space(&s, p + 1);
	if (p < s.end && *p == '}')
		return space(&s, p + 1) == s.end ? JSON_OK : JSON_BAD;
	for (;;) {
		struct json_field *f;
		struct json_value v;
		struct bytes raw;

		if (!(p = key(&s, p, &raw)))
			return s.why;
		f = wanted(&s, raw, fields, n);
		if (f && f->value.type != JSON_IS_ABSENT)
			return JSON_DUPLICATE;
		if (!(p = value(&s, p, 1, &v)))
			return s.why;
		if (f)
			f->value = v;
		p = space(&s, p);
		if (p == s.end || (*p != ',' && *p != '}'))
			return JSON_BAD;
		if (*p == '}')
			return space(&s, p + 1) == s.end ? JSON_OK : JSON_BAD;
		p = space(&s, p + 1);
	}
}

const char *json_result_str(enum json_result r)
{
	switch (r) {
	case JSON_OK: return "valid";
	case JSON_BAD: return "not JSON";
	case JSON_BAD_UTF8: return "not UTF-8";
	case JSON_TOO_LONG: return "too long";
	case JSON_TOO_DEEP: return "nested too deep";
	case JSON_NOT_OBJECT: return "not an object";
	case JSON_DUPLICATE: return "a field is there twice";
	}
	return "?";
}

static uint32_t utf8_put(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* What the escape at *p (a backslash, known valid) stands for, as UTF-8, and *p
 * behind it. 0 for a surrogate without its other half. */
static uint32_t unescape(const uint8_t **p, const uint8_t *end, uint8_t out[4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	uint8_t c = (*p)[1];
	const char *short_one = strchr(from, c);
	int hi, lo;

	if (c != 'u') {
		out[0] = short_one ? (uint8_t)to[short_one - from] : c;
		*p += 2;
		return 1;
	}
	hi = hex4(*p + 2);
	*p += 6;
	if (hi < 0xd800 || hi > 0xdfff)
		return utf8_put((uint32_t)hi, out);
	if (hi > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return 0;
	lo = hex4(*p + 2);
	if (lo < 0xdc00 || lo > 0xdfff)
		return 0;
	*p += 6;
	return utf8_put(0x10000u + (((uint32_t)hi & 0x3ff) << 10 | ((uint32_t)lo & 0x3ff)), out);
}

static struct bytes unquoted(struct bytes raw)
{
	assert(raw.n >= 2 && raw.p[0] == '"' && raw.p[raw.n - 1] == '"');
	return BYTES(raw.p + 1, raw.n - 2);
}

bool json_string_unescape(struct bytes raw, uint8_t *out, size_t cap, size_t *n)
{
	struct bytes in = unquoted(raw);
	const uint8_t *p = in.p, *end = in.p + in.n;
	size_t used = 0;

	while (p < end) {
		const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((stop ? stop : end) - p);
		uint8_t one[4];
		uint32_t k;

		if (run > cap - used)
			return false;
		memcpy(out + used, p, run);
		used += run;
		p += run;
		if (!stop)
			break;
		k = unescape(&p, end, one);
		if (k == 0 || k > cap - used)
			return false;
		memcpy(out + used, one, k);
		used += k;
	}
	*n = used;
	return true;
}

bool json_string_eq(struct bytes raw, struct bytes plain)
{
	struct bytes in = unquoted(raw);
	const uint8_t *p = in.p, *end = in.p + in.n;
	size_t i = 0;

	while (p < end) {
		uint8_t one[4];
		uint32_t k = 1;

		one[0] = *p;
		if (*p == '\\')
			k = unescape(&p, end, one);
		else
			p++;
		if (k == 0 || k > plain.n - i || memcmp(one, plain.p + i, k) != 0)
			return false;
		i += k;
	}
	return i == plain.n;
}

bool json_int64(struct bytes raw, int64_t min, int64_t max, int64_t *out)
{
	size_t i = raw.n > 0 && raw.p[0] == '-';
	bool negative = i == 1;
	int64_t v = 0;

	if (i == raw.n)
		return false;
	for (; i < raw.n; i++) {
		int d = raw.p[i] - '0';
		if (d < 0 || d > 9)
			return false;
		/* counts down for negatives, so that INT64_MIN can be read */
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, negative ? -d : d, &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

struct json_iter json_iter_array(struct bytes raw)
{
	assert(raw.n >= 2 && raw.p[0] == '[');
	return (struct json_iter){{raw.p + 1, raw.n - 1}};
}

bool json_iter_next(struct json_iter *it, struct json_value *e)
{
	struct scan s = {.end = it->_rest.p + it->_rest.n, .max_depth = JSON_MAX_DEPTH};
	const uint8_t *p = space(&s, it->_rest.p);

	if (p == s.end || *p == ']')
		return false;
	p = value(&s, *p == ',' ? p + 1 : p, 0, e);
	assert(p && "json_iter_array() wants a value that a scan has returned");
	it->_rest = BYTES(p, (size_t)(s.end - p));
	return true;
}

struct json_iter json_iter_object(struct bytes raw)
{
	assert(raw.n >= 2 && raw.p[0] == '{');
	return (struct json_iter){{raw.p + 1, raw.n - 1}};
}

bool json_iter_member(struct json_iter *it, struct bytes *name, struct json_value *e)
{
	struct scan s = {.end = it->_rest.p + it->_rest.n, .max_depth = JSON_MAX_DEPTH};
	const uint8_t *p = space(&s, it->_rest.p);
	struct json_value key;

	if (p == s.end || *p == '}')
		return false;
	p = value(&s, *p == ',' ? p + 1 : p, 0, &key);
	p = p ? space(&s, p) : NULL;
	p = p ? value(&s, p + 1, 0, e) : NULL; /* behind the colon */
	assert(p && "json_iter_object() wants a value that a scan has returned");
	*name = key.raw;
	it->_rest = BYTES(p, (size_t)(s.end - p));
	return true;
}
