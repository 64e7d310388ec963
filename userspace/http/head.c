/* SPDX-License-Identifier: BSD-2-Clause */
/* head.c - one pass over the bytes of a request head, a state per place in it.
 *
 *   start ─► method ─► target ─► version ─► line end ─► name ─► value ─► end
 *              SP     path?query    CR         LF   ▲    ':'     CR LF │  CR LF
 *                     http://host/path?query        └─────────────────┘
 *
 * A step reads as far as it can in its state and leaves h->_at behind the last
 * good byte. All that is kept between calls are offsets, so that more input
 * continues where the last call stopped and the buffer may have moved.
 *
 * Every decision falls at a byte and depends only on the bytes before it, never
 * on where a segment ends. Limits obey the same rule: a run is scanned first,
 * then its length is judged before the byte that ended it; so a line that is too
 * long is too long even if its forbidden byte came in the same segment. */
#include <assert.h>

#include "http/chars.h"
#include "http/head.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum state {
	START,
	EMPTY_LF,
	METHOD,
	TARGET,
	STAR,
	SCHEME,
	AUTHORITY,
	PATH,
	QUERY,
	VERSION,
	LINE_LF,
	HEADER,
	NAME,
	BLANK,
	VALUE,
	VALUE_LF,
	END_LF,
	DONE,
	FAILED,
};

/* h->_said */
enum { SAID_CLOSE = 1, SAID_KEEP_ALIVE = 2, SAID_EMPTY_LINE = 4 };

#define METHOD_MAX 24 /* the longest registered one has 17 letters */

/* What a step answers: GO on with the next state, or as the whole parse. */
enum { GO = HTTP_BAD + 1 };

static const struct {
	const char *word, *help;
	unsigned status;
} reasons[] = {
	[HTTP_BAD_NONE] = {"none", "nothing was wrong", 200},
#define REASON(name, word, status, help) [HTTP_BAD_##name] = {word, help, status},
#include "http/bad_reason.def"
#undef REASON
};

const char *http_bad_word(enum http_bad b)
{
	assert(b < HTTP_BAD_COUNT);
	return reasons[b].word;
}

const char *http_bad_help(enum http_bad b)
{
	assert(b < HTTP_BAD_COUNT);
	return reasons[b].help;
}

unsigned http_bad_status(enum http_bad b)
{
	assert(b < HTTP_BAD_COUNT);
	return reasons[b].status;
}

static int bad(struct http_head *h, enum http_bad why)
{
	h->bad = why;
	h->_state = FAILED;
	return HTTP_BAD;
}

static int go(struct http_head *h, enum state next)
{
	h->_state = next;
	return GO;
}

/* The last byte a head may have is at head_bytes - 1. */
static uint32_t horizon(const struct http_head *h, const struct http_limits *l)
{
	return (uint32_t)MIN(h->_in.n, (size_t)l->head_bytes);
}

/* h->_at has reached the horizon: a limit, or just the end of what came? */
static int at_horizon(struct http_head *h, const struct http_limits *l)
{
	return h->_at >= l->head_bytes ? bad(h, HTTP_BAD_HEAD_TOO_LONG) : HTTP_MORE;
}

/* A byte that ends nothing and belongs nowhere; line ends have reasons of their own. */
static int bad_byte(struct http_head *h, uint8_t c, enum http_bad why)
{
	return bad(h, c == '\n' ? HTTP_BAD_BARE_LF : why);
}

/* Reads a run of `what`. GO: h->_at is at a byte that is something else. */
static int run(struct http_head *h, const struct http_limits *l, uint8_t what, uint32_t line_bytes,
	       enum http_bad too_long)
{
	uint32_t end = horizon(h, l);
	h->_at = chars_run(h->_in.p, h->_at, end, what);
	if (h->_at - h->_line > line_bytes)
		return bad(h, too_long);
	return h->_at == end ? at_horizon(h, l) : GO;
}

static int line_run(struct http_head *h, const struct http_limits *l, uint8_t what)
{
	return run(h, l, what, l->line_bytes, HTTP_BAD_LINE_TOO_LONG);
}

/* ---- the request line ---------------------------------------------------------------------- */

static int step_start(struct http_head *h, const struct http_limits *l)
{
	uint8_t c = h->_in.p[h->_at];
	if (c == '\r') {
		if (h->_said & SAID_EMPTY_LINE)
			return bad(h, HTTP_BAD_EMPTY_LINES);
		h->_said |= SAID_EMPTY_LINE;
		h->_at++;
		return go(h, EMPTY_LF);
	}
	if (c == 0x16) /* a ClientHello: the commonest mistake on a plain port */
		return bad(h, HTTP_BAD_TLS_ON_PLAIN);
	if (!char_is(c, CHAR_METHOD) || c == '-')
		return bad_byte(h, c, HTTP_BAD_METHOD);
	h->_line = h->_at;
	return go(h, METHOD);
}

static enum http_method method_of(struct bytes m)
{
	static const struct {
		const char *text;
		enum http_method method;
	} known[] = {
		{"GET", HTTP_GET},     {"POST", HTTP_POST},       {"HEAD", HTTP_HEAD_METHOD},
		{"PUT", HTTP_PUT},     {"OPTIONS", HTTP_OPTIONS}, {"DELETE", HTTP_DELETE},
		{"PATCH", HTTP_PATCH}, {"TRACE", HTTP_TRACE},
	};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (bytes_eq(m, bytes_str(known[i].text)))
			return known[i].method;
	return HTTP_OTHER;
}

static int step_method(struct http_head *h, const struct http_limits *l)
{
	int r = run(h, l, CHAR_METHOD, METHOD_MAX, HTTP_BAD_METHOD_UNKNOWN);
	if (r != GO)
		return r;
	uint8_t c = h->_in.p[h->_at];
	if (c != ' ')
		return bad_byte(h, c, HTTP_BAD_METHOD);
	struct bytes m = BYTES(h->_in.p + h->_line, h->_at - h->_line);
	if (bytes_eq(m, BYTES_LIT("PRI")))
		return bad(h, HTTP_BAD_HTTP2);
	if (bytes_eq(m, BYTES_LIT("CONNECT"))) /* authority-form: we are no tunnel */
		return bad(h, HTTP_BAD_METHOD_UNKNOWN);
	h->method = method_of(m);
	h->_method_n = (uint16_t)m.n;
	h->_at++;
	h->_target_at = (uint16_t)h->_at;
	return go(h, TARGET);
}

static int step_target(struct http_head *h, const struct http_limits *l)
{
	uint8_t c = h->_in.p[h->_at];
	h->_matched = 0;
	if (c == '/') {
		h->_path_at = (uint16_t)h->_at;
		return go(h, PATH);
	}
	if (c == '*') {
		if (h->method != HTTP_OPTIONS)
			return bad(h, HTTP_BAD_TARGET_FORM);
		h->_path_at = (uint16_t)h->_at++;
		return go(h, STAR);
	}
	if (byte_lower(c) == 'h')
		return go(h, SCHEME);
	return bad_byte(h, c, char_is(c, CHAR_PATH) ? HTTP_BAD_TARGET_FORM : HTTP_BAD_TARGET);
}

static int target_end(struct http_head *h)
{
	h->_target_n = (uint16_t)(h->_at - h->_target_at);
	h->_at++; /* the space */
	h->_matched = 0;
	return go(h, VERSION);
}

/* Behind the last byte of the target: a space, or a reason. */
static int target_stop(struct http_head *h, uint8_t c)
{
	if (c == ' ')
		return target_end(h);
	if (c == '#')
		return bad(h, HTTP_BAD_TARGET_FRAGMENT);
	return bad_byte(h, c, c == '\r' ? HTTP_BAD_VERSION : HTTP_BAD_TARGET);
}

static int step_star(struct http_head *h, const struct http_limits *l)
{
	uint8_t c = h->_in.p[h->_at];
	if (char_is(c, CHAR_QUERY))
		return bad(h, HTTP_BAD_TARGET_FORM);
	return target_stop(h, c);
}

/* "http://" or "https://", letter by letter. */
static int step_scheme(struct http_head *h, const struct http_limits *l)
{
	static const char want[] = "https://";
	uint8_t c = byte_lower(h->_in.p[h->_at]);
	if (h->_matched == 4 && c == ':')
		h->_matched++;
	if (c != (uint8_t)want[h->_matched])
		return bad_byte(h, c,
				char_is(c, CHAR_PATH) ? HTTP_BAD_TARGET_FORM : HTTP_BAD_TARGET);
	h->_at++;
	if (want[++h->_matched])
		return GO;
	h->_matched = 0;
	h->_authority_at = (uint16_t)h->_at;
	h->flags |= HTTP_F_ABSOLUTE;
	return go(h, AUTHORITY);
}

/* Only a first look: finish() compares it with Host, which is looked at closely. */
static int step_authority(struct http_head *h, const struct http_limits *l)
{
	uint32_t end = horizon(h, l);
	const uint8_t *p = h->_in.p;
	while (h->_at < end && (char_is(p[h->_at], CHAR_HOST) || p[h->_at] == ':' ||
				p[h->_at] == '[' || p[h->_at] == ']'))
		h->_at++;
	if (h->_at - h->_line > l->line_bytes)
		return bad(h, HTTP_BAD_LINE_TOO_LONG);
	if (h->_at == end)
		return at_horizon(h, l);
	h->_authority_n = (uint16_t)(h->_at - h->_authority_at);
	uint8_t c = p[h->_at];
	if (c == '/') {
		h->_path_at = (uint16_t)h->_at;
		return go(h, PATH);
	}
	if (c == '?') {
		h->_query_at = (uint16_t)h->_at++;
		return go(h, QUERY);
	}
	return target_stop(h, c);
}

/* The path, then the query: the same but for which characters they may hold. */
static int step_path(struct http_head *h, const struct http_limits *l)
{
	for (;;) {
		while (h->_matched) { /* digits of %XX still to come */
			if (h->_at - h->_line > l->line_bytes)
				return bad(h, HTTP_BAD_LINE_TOO_LONG);
			if (h->_at == horizon(h, l))
				return at_horizon(h, l);
			uint8_t digit = h->_in.p[h->_at];
			if (!char_is(digit, CHAR_HEX))
				return bad_byte(h, digit, HTTP_BAD_TARGET_PERCENT);
			h->_matched--;
			h->_at++;
		}
		int r = line_run(h, l, h->_state == PATH ? CHAR_PATH : CHAR_QUERY);
		if (r != GO)
			return r;
		uint8_t c = h->_in.p[h->_at];
		if (c == '%') {
			h->_matched = 2;
		} else if (c == '?') {
			h->_query_at = (uint16_t)h->_at;
			h->_state = QUERY;
		} else {
			return target_stop(h, c);
		}
		h->_at++;
	}
}

static int step_version(struct http_head *h, const struct http_limits *l)
{
	static const char want[] = "HTTP/1.";
	uint8_t c = h->_in.p[h->_at];
	uint8_t i = h->_matched;
	if (i == 8) {
		if (h->_at - h->_line > l->line_bytes)
			return bad(h, HTTP_BAD_LINE_TOO_LONG);
		if (c != '\r')
			return bad_byte(h, c, HTTP_BAD_VERSION);
		h->_at++;
		return go(h, LINE_LF);
	}
	bool digit = c >= '0' && c <= '9';
	if (i == 7 && digit && c <= '1')
		h->minor = c - '0';
	else if ((i == 5 && digit && c != '1') || (i == 7 && digit))
		return bad(h, HTTP_BAD_VERSION_UNKNOWN);
	else if (i == 7 || c != (uint8_t)want[i])
		return bad_byte(h, c, HTTP_BAD_VERSION);
	h->_matched++;
	h->_at++;
	return GO;
}

/* ---- header lines -------------------------------------------------------------------------- */

static int step_header(struct http_head *h, const struct http_limits *l)
{
	uint8_t c = h->_in.p[h->_at];
	if (c == '\r') {
		h->_at++;
		return go(h, END_LF);
	}
	if (char_is_blank(c))
		return bad(h, HTTP_BAD_FOLDED);
	if (!char_is(c, CHAR_TOKEN))
		return bad_byte(h, c, HTTP_BAD_NAME);
	if (h->headers_n >= l->headers)
		return bad(h, HTTP_BAD_HEADERS_TOO_MANY);
	h->_line = h->_at;
	return go(h, NAME);
}

static int step_name(struct http_head *h, const struct http_limits *l)
{
	int r = run(h, l, CHAR_TOKEN, l->header_bytes, HTTP_BAD_HEADER_TOO_LONG);
	if (r != GO)
		return r;
	uint8_t c = h->_in.p[h->_at];
	if (char_is_blank(c))
		return bad(h, HTTP_BAD_NAME_SPACE);
	if (c != ':')
		return bad_byte(h, c, HTTP_BAD_NAME);
	struct http_header *header = &h->headers[h->headers_n];
	header->name_at = (uint16_t)h->_line;
	header->name_n = (uint16_t)(h->_at - h->_line);
	h->_at++;
	return go(h, BLANK);
}

static int step_blank(struct http_head *h, const struct http_limits *l)
{
	if (char_is_blank(h->_in.p[h->_at])) {
		h->_at++;
		if (h->_at - h->_line > l->header_bytes)
			return bad(h, HTTP_BAD_HEADER_TOO_LONG);
		return GO;
	}
	h->_mark = h->_at;
	return go(h, VALUE);
}

/* Values are most of a head: sixteen bytes at a time where the machine can. */
static uint32_t value_run(const uint8_t *p, uint32_t at, uint32_t end)
{
#ifdef __SSE2__
	const __m128i ctrl = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t');
	const __m128i del = _mm_set1_epi8(0x7f);
	while (end - at >= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(p + at));
		__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, ctrl), x);
		__m128i stop = _mm_andnot_si128(_mm_cmpeq_epi8(x, tab), low);
		int m = _mm_movemask_epi8(_mm_or_si128(stop, _mm_cmpeq_epi8(x, del)));
		if (m)
			return at + (uint32_t)__builtin_ctz((unsigned)m);
		at += 16;
	}
#endif
	return chars_run(p, at, end, CHAR_VALUE);
}

static int step_value(struct http_head *h, const struct http_limits *l)
{
	uint32_t end = horizon(h, l);
	const uint8_t *p = h->_in.p;
	h->_at = value_run(p, h->_at, end);
	if (h->_at - h->_line > l->header_bytes)
		return bad(h, HTTP_BAD_HEADER_TOO_LONG);
	if (h->_at == end)
		return at_horizon(h, l);
	if (p[h->_at] != '\r')
		return bad_byte(h, p[h->_at], HTTP_BAD_VALUE);
	uint32_t last = h->_at;
	while (last > h->_mark && char_is_blank(p[last - 1]))
		last--;
	struct http_header *header = &h->headers[h->headers_n];
	header->value_at = (uint16_t)h->_mark;
	header->value_n = (uint16_t)(last - h->_mark);
	h->_at++;
	return go(h, VALUE_LF);
}

/* ---- what the headers say ------------------------------------------------------------------ */

#define KEY(n, first, last) ((uint32_t)(n) << 16 | (uint32_t)(first) << 8 | (uint32_t)(last))

/* Length, first and last letter choose the only candidate; then it is compared. */
static enum http_known known_of(struct bytes name)
{
	switch (KEY(name.n, byte_lower(name.p[0]), byte_lower(name.p[name.n - 1]))) {
#define KNOWN(id, text, first, last, many)                                                         \
	case KEY(sizeof(text) - 1, first, last):                                                   \
		return bytes_ieq(name, BYTES_LIT(text)) ? HTTP_##id : HTTP_UNKNOWN;
#include "http/known_header.def"
#undef KNOWN
	}
	return HTTP_UNKNOWN;
}

enum { ONE, MANY };
static const uint8_t may_repeat[] = {
#define KNOWN(id, text, first, last, many) [HTTP_##id] = many,
#include "http/known_header.def"
#undef KNOWN
};

static enum http_bad read_length(struct http_head *h, struct bytes v)
{
	if (v.n == 0 || v.n > 19) /* 10^19 - 1 fits 64 bits */
		return HTTP_BAD_LENGTH;
	h->content_length = 0;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return HTTP_BAD_LENGTH;
		h->content_length = h->content_length * 10 + (v.p[i] - '0');
	}
	h->framing = HTTP_BODY_LENGTH;
	return h->_first[HTTP_TRANSFER_ENCODING] ? HTTP_BAD_LENGTH_AND_CODING : HTTP_BAD_NONE;
}

static enum http_bad read_coding(struct http_head *h, struct bytes v)
{
	if (h->minor == 0)
		return HTTP_BAD_CODING_IN_1_0;
	if (h->_first[HTTP_CONTENT_LENGTH])
		return HTTP_BAD_LENGTH_AND_CODING;
	if (!bytes_ieq(v, BYTES_LIT("chunked")))
		return HTTP_BAD_CODING;
	h->framing = HTTP_BODY_CHUNKED;
	return HTTP_BAD_NONE;
}

static enum http_bad read_connection(struct http_head *h, struct bytes list)
{
	struct bytes word;
	while (http_list_next(&list, &word)) {
		if (!http_is_token(word))
			return HTTP_BAD_CONNECTION;
		if (bytes_ieq(word, BYTES_LIT("close")))
			h->_said |= SAID_CLOSE;
		else if (bytes_ieq(word, BYTES_LIT("keep-alive")))
			h->_said |= SAID_KEEP_ALIVE;
		else if (bytes_ieq(word, BYTES_LIT("upgrade")) && h->minor)
			h->flags |= HTTP_F_UPGRADE;
	}
	return HTTP_BAD_NONE;
}

/* Elements are protocol [ "/" version ]. */
static enum http_bad read_upgrade(struct http_head *h, struct bytes list)
{
	struct bytes word;
	while (http_list_next(&list, &word)) {
		const uint8_t *slash = memchr(word.p, '/', word.n);
		struct bytes name = slash ? BYTES(word.p, slash - word.p) : word;
		struct bytes version = slash ? BYTES(slash + 1, word.n - name.n - 1) : name;
		if (!http_is_token(name) || !http_is_token(version))
			return HTTP_BAD_CONNECTION;
		if (!slash && bytes_ieq(name, BYTES_LIT("websocket")) && h->minor)
			h->flags |= HTTP_F_UPGRADE_WS;
	}
	return HTTP_BAD_NONE;
}

static enum http_bad read_expect(struct http_head *h, struct bytes v)
{
	if (!bytes_ieq(v, BYTES_LIT("100-continue")))
		return HTTP_BAD_EXPECT;
	if (h->minor)
		h->flags |= HTTP_F_EXPECT_CONTINUE;
	return HTTP_BAD_NONE;
}

/* A header line is complete; everything that can be judged now is judged now. */
static enum http_bad read_header(struct http_head *h, enum http_known id, struct bytes v)
{
	struct bytes host;
	uint32_t port;

	if (h->_first[id] && !may_repeat[id])
		return HTTP_BAD_DUPLICATE;
	if (!h->_first[id])
		h->_first[id] = (uint8_t)(h->headers_n + 1);
	switch (id) {
	case HTTP_HOST: return http_host_parse(v, &host, &port) ? HTTP_BAD_NONE : HTTP_BAD_HOST;
	case HTTP_CONTENT_LENGTH: return read_length(h, v);
	case HTTP_TRANSFER_ENCODING: return read_coding(h, v);
	case HTTP_CONNECTION: return read_connection(h, v);
	case HTTP_UPGRADE: return read_upgrade(h, v);
	case HTTP_EXPECT: return read_expect(h, v);
	default: return HTTP_BAD_NONE;
	}
}

static int step_lf(struct http_head *h, const struct http_limits *l)
{
	if (h->_in.p[h->_at] != '\n')
		return bad(h, HTTP_BAD_BARE_CR);
	h->_at++;
	if (h->_state == EMPTY_LF)
		return go(h, START);
	if (h->_state == LINE_LF)
		return go(h, HEADER);
	if (h->_state == END_LF)
		return go(h, DONE);

	struct http_header *header = &h->headers[h->headers_n];
	enum http_known id = known_of(http_head_name(h, h->headers_n));
	header->known = id;
	if (id != HTTP_UNKNOWN) {
		enum http_bad why = read_header(h, id, http_head_value(h, h->headers_n));
		if (why)
			return bad(h, why);
	}
	h->headers_n++;
	return go(h, HEADER);
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* RFC 9112 3.2: Host is a must in 1.1 and equals the authority of the target. */
static enum http_bad check_host(struct http_head *h)
{
	struct bytes field = h->known[HTTP_HOST];
	struct bytes authority = BYTES(h->_in.p + h->_authority_at, h->_authority_n);

	if (!field.p && h->minor)
		return HTTP_BAD_HOST_MISSING;
	if (h->flags & HTTP_F_ABSOLUTE) {
		if (field.p && !bytes_ieq(field, authority))
			return HTTP_BAD_TARGET_HOST;
		field = authority;
	}
	if (field.p && !http_host_parse(field, &h->host, &h->port))
		return HTTP_BAD_TARGET_HOST; /* Host itself was good: HTTP/1.0 without one */
	return HTTP_BAD_NONE;
}

static void slice_target(struct http_head *h)
{
	const uint8_t *p = h->_in.p;
	uint32_t end = (uint32_t)h->_target_at + h->_target_n;
	uint32_t path_end = h->_query_at ? h->_query_at : end;

	h->target = BYTES(p + h->_target_at, h->_target_n);
	h->path = h->_path_at ? BYTES(p + h->_path_at, path_end - h->_path_at) : BYTES_LIT("/");
	if (h->_query_at)
		h->query = BYTES(p + h->_query_at + 1, end - h->_query_at - 1);
}

static int finish(struct http_head *h)
{
	h->head_bytes = h->_at;
	h->method_text = BYTES(h->_in.p + h->_target_at - 1 - h->_method_n, h->_method_n);
	slice_target(h);
	for (uint32_t i = 0; i < HTTP_KNOWN_COUNT; i++)
		if (h->_first[i])
			h->known[i] = http_head_value(h, h->_first[i] - 1u);
	enum http_bad why = check_host(h);
	if (why)
		return bad(h, why);
	if (!(h->_said & SAID_CLOSE) && (h->minor || (h->_said & SAID_KEEP_ALIVE)))
		h->flags |= HTTP_F_KEEP_ALIVE;
	return HTTP_HEAD;
}

void http_head_init(struct http_head *h)
{
	memset(h, 0, offsetof(struct http_head, headers));
}

enum http_outcome http_head_parse(struct http_head *h, struct bytes in, const struct http_limits *l)
{
	static int (*const steps[])(struct http_head *, const struct http_limits *) = {
		[START] = step_start,         [EMPTY_LF] = step_lf, [METHOD] = step_method,
		[TARGET] = step_target,       [STAR] = step_star,   [SCHEME] = step_scheme,
		[AUTHORITY] = step_authority, [PATH] = step_path,   [QUERY] = step_path,
		[VERSION] = step_version,     [LINE_LF] = step_lf,  [HEADER] = step_header,
		[NAME] = step_name,           [BLANK] = step_blank, [VALUE] = step_value,
		[VALUE_LF] = step_lf,         [END_LF] = step_lf,
	};
	assert(l->head_bytes <= HTTP_HEAD_BYTES_MAX && l->headers <= HTTP_HEADERS_MAX);
	assert(in.n >= h->_at);
	if (h->_state == FAILED)
		return HTTP_BAD;

	h->_in = in;
	int r = GO;
	while (r == GO && h->_state != DONE)
		r = h->_at < horizon(h, l) ? steps[h->_state](h, l) : at_horizon(h, l);
	return (enum http_outcome)(r == GO ? finish(h) : r);
}

/* ---- looking things up --------------------------------------------------------------------- */

bool http_head_next(const struct http_head *h, enum http_known id, uint32_t *i, struct bytes *value)
{
	assert(id < HTTP_KNOWN_COUNT);
	if (!h->_first[id])
		return false;
	for (uint32_t k = MAX(*i, h->_first[id] - 1u); k < h->headers_n; k++) {
		if (h->headers[k].known == id) {
			*value = http_head_value(h, k);
			*i = k + 1;
			return true;
		}
	}
	*i = h->headers_n;
	return false;
}

struct bytes http_head_find(const struct http_head *h, struct bytes name)
{
	for (uint32_t i = 0; i < h->headers_n; i++)
		if (bytes_ieq(http_head_name(h, i), name))
			return http_head_value(h, i);
	return BYTES(NULL, 0);
}
