/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_body.c - any bytes as a chunked body: against itself in other segments, and
 * against an oracle that has the whole text before it and walks it by lines. */
#include <assert.h>
#include <stdlib.h>

#include "http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	enum http_body_outcome outcome;
	enum http_bad bad;
	size_t used, n;
	uint8_t *data;
};

static struct result read_body(const uint8_t *p, size_t n, uint64_t max, uint32_t seed)
{
	struct http_head h;
	struct http_body b;
	struct bytes run;
	struct result r = {.data = malloc(n + 1)};

	http_head_init(&h);
	h.framing = HTTP_BODY_CHUNKED;
	r.outcome = http_body_init(&b, &h, max);
	while (r.used < n && r.outcome == HTTP_BODY_MORE) {
		seed = seed * 1664525u + 1013904223u;
		size_t k = seed ? 1 + (seed >> 16) % ((seed >> 8) % 4 ? 3 : 100) : n;
		struct bytes in = BYTES(p + r.used, MIN(k, n - r.used));
		k = in.n;
		while ((r.outcome = http_body_next(&b, &in, &run)) == HTTP_BODY_RUN) {
			assert(run.n);
			memcpy(r.data + r.n, run.p, run.n);
			r.n += run.n;
		}
		r.used += k - in.n;
	}
	assert(r.n <= max);
	r.bad = b.bad;
	return r;
}

/* The end of the line at p, which must end in CR LF and hold no other control but tab. */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p++) {
		if (*p == '\r')
			return p + 1 < end && p[1] == '\n' ? p : NULL;
		if ((*p < ' ' && *p != '\t') || *p == 0x7f)
			return NULL;
	}
	return NULL;
}

static bool token(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", p[i]))
			return false;
	return n > 0;
}

/* Good and complete: the bytes it takes, else 0. */
static size_t oracle(const uint8_t *p, size_t n, uint64_t max, size_t *data_n)
{
	const uint8_t *end = p + n, *at = p, *eol;
	size_t extra = 0, trailers = 0;
	*data_n = 0;
	for (;;) {
		uint64_t size = 0;
		size_t digits = 0;
		if (!(eol = line_end(at, end)))
			return 0;
		for (; at < eol && *at && strchr("0123456789abcdefABCDEF", *at); at++, digits++) {
			char one[2] = {(char)*at, 0};
			if (digits < 15)
				size = size * 16 + strtoul(one, NULL, 16);
		}
		if (digits < 1 || digits > 15 || (at < eol && *at != ';') || size > max - *data_n)
			return 0;
		extra += at < eol ? (size_t)(eol - at) - 1 : 0;
		if (extra > HTTP_CHUNK_EXTENSION_BYTES)
			return 0;
		at = eol + 2;
		if (size == 0)
			break;
		if ((uint64_t)(end - at) < size + 2 || memcmp(at + size, "\r\n", 2) != 0)
			return 0;
		at += size + 2;
		*data_n += size;
	}
	for (; (eol = line_end(at, end)) && eol != at; at = eol + 2) {
		const uint8_t *colon = memchr(at, ':', (size_t)(eol - at));
		trailers += (size_t)(eol - at) + 1;
		if (!colon || !token(at, (size_t)(colon - at)) || trailers > HTTP_TRAILER_BYTES)
			return 0;
	}
	return eol ? (size_t)(eol + 2 - p) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	uint64_t max = data[0] & 1 ? 20 : 1 << 20;
	size_t n = size - 2, data_n;
	struct result whole = read_body(data + 2, n, max, 0);
	struct result cut = read_body(data + 2, n, max, load_be16(data) | 1);

	assert(n == 0 || (whole.outcome == cut.outcome && whole.bad == cut.bad));
	if (whole.outcome != HTTP_BODY_BAD)
		assert(whole.used == cut.used && whole.n == cut.n);
	assert(memcmp(whole.data, cut.data, MIN(whole.n, cut.n)) == 0);

	size_t used = oracle(data + 2, n, max, &data_n);
	assert((used != 0) == (whole.outcome == HTTP_BODY_END));
	if (used)
		assert(used == whole.used && data_n == whole.n);
	free(whole.data);
	free(cut.data);
	return 0;
}
