/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_head.c - any bytes as a request head.
 *
 * Two things are held against the parser: itself, fed in other segments, from
 * buffers that move; and an oracle that is written quite another way: it finds the
 * end first, splits at CR LF and asks regular expressions. Where a head ends, both
 * must agree on whether it is good, on its length and on every header. */
#include <arpa/inet.h>
#include <assert.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits wide = {.line_bytes = 65535,
					.header_bytes = 65535,
					.head_bytes = 65535,
					.headers = HTTP_HEADERS_MAX};
static const struct http_limits narrow = {
	.line_bytes = 24, .header_bytes = 20, .head_bytes = 90, .headers = 3};

/* ---- the parser against itself ---- */

static enum http_outcome in_segments(struct http_head *h, const uint8_t *p, size_t n, uint32_t seed,
				     const struct http_limits *l, uint8_t **buf)
{
	enum http_outcome o = HTTP_MORE;
	http_head_init(h);
	for (size_t at = 0; o == HTTP_MORE && at < n;) {
		seed = seed * 1664525u + 1013904223u;
		at += MIN(n - at, 1 + (seed >> 16) % ((seed >> 8) % 4 ? 5 : 200));
		free(*buf);
		*buf = malloc(at); /* exactly what has come, each time elsewhere */
		memcpy(*buf, p, at);
		o = http_head_parse(h, BYTES(*buf, at), l);
	}
	return o;
}

static void same_head(const struct http_head *a, const struct http_head *b)
{
	assert(a->head_bytes == b->head_bytes && a->method == b->method && a->minor == b->minor);
	assert(a->flags == b->flags && a->framing == b->framing && a->port == b->port);
	assert(a->content_length == b->content_length && a->headers_n == b->headers_n);
	assert(bytes_eq(a->path, b->path) && bytes_eq(a->query, b->query));
	assert(bytes_eq(a->target, b->target) && bytes_eq(a->host, b->host));
	assert(bytes_eq(a->method_text, b->method_text));
	assert(!a->query.p == !b->query.p && !a->host.p == !b->host.p);
	for (uint32_t i = 0; i < a->headers_n; i++) {
		assert(bytes_eq(http_head_name(a, i), http_head_name(b, i)));
		assert(bytes_eq(http_head_value(a, i), http_head_value(b, i)));
	}
	for (uint32_t i = 0; i < HTTP_KNOWN_COUNT; i++)
		assert(bytes_eq(a->known[i], b->known[i]) && !a->known[i].p == !b->known[i].p);
}

static void against_itself(const uint8_t *p, size_t n, uint32_t seed, const struct http_limits *l)
{
	static struct http_head whole, cut;
	uint8_t *buf = NULL;
	http_head_init(&whole);
	enum http_outcome o = http_head_parse(&whole, BYTES(p, n), l);
	enum http_outcome c = in_segments(&cut, p, n, seed, l, &buf);
	assert(n == 0 || o == c);
	assert(o != HTTP_MORE || n < l->head_bytes);
	if (o == HTTP_BAD)
		assert(whole.bad == cut.bad);
	if (o == HTTP_HEAD)
		same_head(&whole, &cut);
	free(buf);
}

/* ---- the oracle ---- */

#define PATH  "([]A-Za-z0-9._~!$&'()*+,;=:@/|^[-]|%[0-9A-Fa-f]{2})*"
#define QUERY "([]A-Za-z0-9._~!$&'()*+,;=:@/|^?\\`{}[-]|%[0-9A-Fa-f]{2})*"

static regex_t line_re, header_re, name_re, list_re, upgrade_re, length_re;

static void compile(regex_t *re, const char *text)
{
	assert(regcomp(re, text, REG_EXTENDED) == 0);
}

static void oracle_init(void)
{
	static bool done;
	if (done)
		return;
	done = true;
	compile(&line_re, "^([A-Z][A-Z-]{0,23}) "
			  "([*]|/" PATH "([?]" QUERY ")?|"
			  "[Hh][Tt][Tt][Pp][Ss]?://([][A-Za-z0-9._:-]*)(/" PATH ")?([?]" QUERY ")?)"
			  " HTTP/1[.]([01])$");
	compile(&header_re, "^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)$");
	compile(&name_re, "^(([A-Za-z0-9_-]+[.])*[A-Za-z0-9_-]+[.]?|[[][0-9A-Fa-f:.]+])"
			  "(:0*([1-9][0-9]*))?$");
	compile(&list_re, "^[, \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(,[, \t]*|$))*$");
	compile(&upgrade_re, "^[, \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?"
			     "[ \t]*(,[, \t]*|$))*$");
	compile(&length_re, "^[0-9]{1,19}$");
}

static bool is(const regex_t *re, const char *text)
{
	return regexec(re, text, 0, NULL, 0) == 0;
}

static bool host_good(const char *v)
{
	regmatch_t m[5];
	struct in6_addr a;
	char ip[64] = "";
	if (regexec(&name_re, v, 5, m, 0) != 0)
		return false;
	size_t n = (size_t)(m[1].rm_eo - m[1].rm_so);
	const char *colon = v + n;
	if (*colon && (strlen(colon + 1) > 5 || atol(colon + 1) > 65535))
		return false;
	if (v[0] != '[')
		return n <= 255;
	return n - 2 < sizeof(ip) && memcpy(ip, v + 1, n - 2) && inet_pton(AF_INET6, ip, &a) == 1;
}

struct facts {
	char *name[HTTP_HEADERS_MAX + 1], *value[HTTP_HEADERS_MAX + 1];
	size_t n;
};

static const char *only(const struct facts *f, const char *name, size_t *count)
{
	const char *v = NULL;
	*count = 0;
	for (size_t i = 0; i < f->n; i++) {
		if (strcasecmp(f->name[i], name) == 0) {
			v = f->value[i];
			++*count;
		}
	}
	return v;
}

static bool repeats(const struct facts *f)
{
	static const char *const once[] = {
#define ONE                                1
#define MANY                               0
#define KNOWN(id, text, first, last, many) many ? text : "",
#include "http/known_header.def"
#undef KNOWN
	};
	size_t n;
	for (size_t i = 0; i < ARRAY_SIZE(once); i++) {
		only(f, once[i], &n);
		if (once[i][0] && n > 1)
			return true;
	}
	return false;
}

static bool headers_good(const struct facts *f, bool old, const char *authority)
{
	size_t hosts, lengths, codings, expects;
	const char *host = only(f, "Host", &hosts), *length = only(f, "Content-Length", &lengths);
	const char *coding = only(f, "Transfer-Encoding", &codings);
	const char *expect = only(f, "Expect", &expects);

	if (repeats(f) || (!hosts && !old) || (hosts && !host_good(host)))
		return false;
	if (authority && (hosts ? strcasecmp(authority, host) != 0 : !host_good(authority)))
		return false;
	if (lengths + codings > 1 || (lengths && !is(&length_re, length)))
		return false;
	if (codings && (old || strcasecmp(coding, "chunked") != 0))
		return false;
	if (expects && strcasecmp(expect, "100-continue") != 0)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		if (!strcasecmp(f->name[i], "Connection") && !is(&list_re, f->value[i]))
			return false;
		if (!strcasecmp(f->name[i], "Upgrade") && !is(&upgrade_re, f->value[i]))
			return false;
	}
	return true;
}

static bool line_good(char *line, bool *old, char **authority)
{
	regmatch_t m[12];
	if (regexec(&line_re, line, 12, m, 0) != 0 || !strncmp(line, "PRI ", 4) ||
	    !strncmp(line, "CONNECT ", 8))
		return false;
	char *target = strchr(line, ' ') + 1;
	if (*target == '*' && strncmp(line, "OPTIONS ", 8) != 0)
		return false;
	*old = line[strlen(line) - 1] == '0';
	*authority = NULL;
	if (*target != '*' && *target != '/') {
		*authority = strstr(target, "://") + 3;
		(*authority)[strcspn(*authority, "/? ")] = 0;
	}
	return true;
}

static bool header_line_good(struct facts *f, char *line)
{
	regmatch_t m[3];
	if (f->n > HTTP_HEADERS_MAX || regexec(&header_re, line, 3, m, 0) != 0)
		return false;
	for (const char *p = line; *p; p++)
		if ((*p > 0 && *p < ' ' && *p != '\t') || *p == 0x7f)
			return false;
	line[m[1].rm_eo] = 0;
	f->name[f->n] = line;
	f->value[f->n] = line + m[2].rm_so;
	size_t k = strlen(f->value[f->n]);
	while (k && strchr(" \t", f->value[f->n][k - 1]))
		f->value[f->n][--k] = 0;
	f->n++;
	return true;
}

/* `text` is everything up to and with the empty line, without NUL; it is cut up. */
static bool oracle(char *text, struct facts *f)
{
	char *authority, *line = text, *end;
	bool old, first = true;
	f->n = 0;
	for (;; line = end + 2, first = false) {
		end = strstr(line, "\r\n");
		assert(end);
		*end = 0;
		if (end == line)
			return !first && headers_good(f, old, authority);
		if (!(first ? line_good(line, &old, &authority) : header_line_good(f, line)))
			return false;
	}
}

static void against_oracle(const uint8_t *p, size_t n)
{
	static struct http_head h;
	static struct facts facts;
	size_t skip = n >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
	const uint8_t *end = n > skip ? memmem(p + skip, n - skip, "\r\n\r\n", 4) : NULL;

	http_head_init(&h);
	enum http_outcome o = http_head_parse(&h, BYTES(p, n), &wide);
	if (!end) {
		assert(o != HTTP_HEAD);
		return;
	}
	size_t head = (size_t)(end - p) + 4 - skip;
	if (head + skip > wide.head_bytes)
		return;
	char *text = malloc(head + 1);
	memcpy(text, p + skip, head);
	text[head] = 0;
	bool good = !memchr(text, 0, head) && oracle(text, &facts) && facts.n <= HTTP_HEADERS_MAX;
	if (good != (o == HTTP_HEAD))
		fprintf(stderr, "oracle %d, parser %d %s\n", good, o,
			o == HTTP_BAD ? http_bad_word(h.bad) : "");
	assert(good == (o == HTTP_HEAD));
	if (good) {
		assert(h.head_bytes == head + skip && h.headers_n == facts.n);
		for (uint32_t i = 0; i < facts.n; i++) {
			assert(bytes_eq(http_head_name(&h, i), bytes_str(facts.name[i])));
			assert(bytes_eq(http_head_value(&h, i), bytes_str(facts.value[i])));
		}
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	oracle_init();
	uint32_t seed = load_be16(data);
	against_itself(data + 2, size - 2, seed, &wide);
	against_itself(data + 2, size - 2, seed, &narrow);
	against_oracle(data + 2, size - 2);
	return 0;
}
