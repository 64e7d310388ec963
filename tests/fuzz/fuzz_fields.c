/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_fields.c - the small parsers behind a head: lists, hosts, origins, percent
 * encoding, queries, cookies, tricky paths. They get any bytes here, also such as
 * a head would have refused: slices must stay inside, results must be consistent. */
#include <assert.h>
#include <stdlib.h>

#include "http/origin.h"
#include "http/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct bytes part, struct bytes all)
{
	assert(part.n <= all.n);
	assert(part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n));
}

static void lists(struct bytes in)
{
	struct bytes rest = in, e;
	while (http_list_next(&rest, &e)) {
		inside(e, in);
		assert(e.n && e.p[0] != ' ' && e.p[e.n - 1] != ' ');
	}
}

static void hosts(struct bytes in)
{
	struct bytes host;
	uint32_t port;
	struct http_origin o;

	if (http_host_parse(in, &host, &port)) {
		inside(host, in);
		assert(host.n && port <= 65535);
		assert(host.n == in.n ? port == 0 : port > 0);
	}
	if (http_origin_parse(&o, in)) {
		inside(o.host, in);
		inside(o.scheme, in);
		assert(o.scheme.n ? o.host.n > 0 : bytes_eq(in, BYTES_LIT("null")));
	}
	/* a rule that can be added matches itself, unless it is one of the words */
	struct http_origin_list l;
	struct http_head h;
	http_origin_list_init(&l);
	if (http_origin_list_add(&l, in) == 0 && !memchr(in.p, '*', in.n) &&
	    memchr(in.p, ':', in.n)) {
		http_head_init(&h);
		memset(h.known, 0, sizeof(h.known));
		h.known[HTTP_ORIGIN] = in;
		assert(http_origin_check(&l, &h, true) == HTTP_ORIGIN_ALLOWED);
	}
	http_origin_list_fini(&l);
}

static void queries(struct bytes in)
{
	struct bytes rest = in, name, value;
	uint8_t out[32];
	size_t seen = 0;
	while (http_query_next(&rest, &name, &value)) {
		inside(name, in);
		if (value.p)
			inside(value, in);
		seen += name.n + value.n;
	}
	assert(seen <= in.n);
	assert(http_query_get(in, "token", out, sizeof(out)) <= (long)sizeof(out));

	uint8_t *decoded = malloc(in.n + 1);
	long n = http_percent_decode(decoded, in.n, in, true);
	assert(n <= (long)in.n);
	if (n > 0)
		assert(!memchr(decoded, 0, (size_t)n));
	free(decoded);
	if (memmem(in.p, in.n, "/../", 4))
		assert(http_path_is_tricky(in));
}

/* Behind a real head: the value must be usable there, else nothing to test. */
static void cookies(struct bytes in)
{
	static const char front[] = "GET / HTTP/1.1\r\nHost: a\r\nCookie: ";
	static struct http_head h;
	struct http_limits l = HTTP_LIMITS_DEFAULT;
	struct bytes v;
	size_t n = sizeof(front) - 1;
	uint8_t *text = malloc(n + in.n + 4);

	memcpy(text, front, n);
	memcpy(text + n, in.p, in.n);
	memcpy(text + n + in.n, "\r\n\r\n", 4);
	http_head_init(&h);
	if (http_head_parse(&h, BYTES(text, n + in.n + 4), &l) == HTTP_HEAD &&
	    http_cookie_get(&h, BYTES_LIT("t"), &v))
		inside(v, BYTES(text, n + in.n + 4));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct bytes in = BYTES(data, size);
	lists(in);
	hosts(in);
	queries(in);
	cookies(in);
	http_path_is_tricky(in);
	return 0;
}
