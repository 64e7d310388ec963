/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_inflate.c - any bytes as a compressed message, and any bytes compressed.
 *
 * The verdict and the message must be those of a plainer reading of RFC 7692: zlib fed one byte at a
 * time, without limit or growth, which knows where blocks end. And what we pack must come back, by
 * our own reader and by a window no larger than the one that clients are told of. */
#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

#include "ws/deflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLENTY (1u << 20) /* more than an input of 1 KiB can become: 1032 times as much */

struct reading {
	uint8_t *text;
	size_t n;
	bool broken, long_;
};

/* One byte at a time into `r`; false when it is over. */
static bool read_byte(z_stream *z, uint8_t byte, struct reading *r)
{
	uint8_t one[1] = {byte};
	z->next_in = one;
	z->avail_in = 1;
	z->next_out = r->text + r->n;
	z->avail_out = (uInt)(PLENTY - r->n);
	int e = inflate(z, Z_SYNC_FLUSH);
	r->n = PLENTY - z->avail_out;
	r->long_ = z->avail_out == 0;
	r->broken = e != Z_OK && e != Z_STREAM_END && e != Z_BUF_ERROR;
	if (e == Z_STREAM_END)
		assert(z->avail_in == 0 && inflateReset(z) == Z_OK);
	return !r->broken && !r->long_;
}

static struct reading read_plainly(const uint8_t *p, size_t n)
{
	static const uint8_t tail[] = {0, 0, 0xff, 0xff};
	struct reading r = {.text = malloc(PLENTY)};
	z_stream z = {0};
	bool going = true;
	assert(r.text && inflateInit2(&z, -15) == Z_OK);
	for (size_t i = 0; i < n && going; i++)
		going = read_byte(&z, p[i], &r);
	size_t message = r.n;
	for (size_t i = 0; n > 0 && i < sizeof(tail) && going; i++)
		going = read_byte(&z, tail[i], &r);
	if (going && n > 0)
		r.broken = r.n != message || z.data_type != 128;
	inflateEnd(&z);
	return r;
}

static void inflate_any(struct ws_deflate *d, const uint8_t *p, size_t n, uint32_t max)
{
	uint8_t *got = NULL;
	size_t got_n = 0;
	struct reading want = read_plainly(p, n);
	enum ws_bad bad = ws_inflate(d, BYTES(p, n), max, &got, &got_n);
	assert(bad != WS_BAD_NO_MEMORY);
	if (bad == WS_BAD_INFLATED_TOO_LONG)
		assert(want.n > max);
	else if (bad == WS_BAD_DEFLATE)
		assert(want.broken);
	else
		assert(!want.broken && !want.long_ && got_n == want.n && got_n <= max &&
		       memcmp(got, want.text, got_n) == 0);
	ws_inflate_end(d);
	free(want.text);
}

static void pack_any(struct ws_deflate *d, const uint8_t *p, size_t n)
{
	struct bytes packed = ws_deflate(d, BYTES(p, n));
	uint8_t *back;
	size_t back_n;
	if (packed.p == NULL)
		return;
	assert(packed.n < n);
	assert(ws_inflate(d, packed, (uint32_t)n, &back, &back_n) == WS_BAD_NONE);
	assert(back_n == n && memcmp(back, p, n) == 0);
	assert(ws_inflate(d, packed, (uint32_t)n - 1, &back, &back_n) == WS_BAD_INFLATED_TOO_LONG);
	ws_inflate_end(d);

	uint8_t *small = malloc(n + 1);
	z_stream z = {.next_in = (Bytef *)packed.p,
		      .avail_in = (uInt)packed.n,
		      .next_out = small,
		      .avail_out = (uInt)n + 1};
	assert(inflateInit2(&z, -WS_DEFLATE_BITS) == Z_OK);
	assert(inflate(&z, Z_SYNC_FLUSH) == Z_OK && z.total_out == n);
	assert(memcmp(small, p, n) == 0);
	inflateEnd(&z);
	free(small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t limits[] = {100 << 10, 100, 16 << 10, 1u << 19};
	static struct ws_deflate *d;
	if (size < 1)
		return 0;
	if (d == NULL)
		d = ws_deflate_new(); /* one for all: each message begins afresh, whatever was before */
	inflate_any(d, data + 1, MIN(size - 1, 1000), limits[data[0] & 3]);
	pack_any(d, data + 1, size - 1);
	if (data[0] & 0x80)
		ws_deflate_rest(d);
	return 0;
}
