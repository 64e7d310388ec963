/* SPDX-License-Identifier: BSD-2-Clause */
/* deflate.c - see deflate.h. zlib does the work; here are its contexts, and the ends of
 * messages (RFC 7692 7.2.1):
 *
 *     text ──deflate──► blocks · an empty stored block: 00 00 ff ff ──► cut off, sent
 *     got  ──► 00 00 ff ff put behind ──inflate──► text
 *
 * What a peer packs is bounded by what came and by `max`: each call of inflate() eats at least
 * one byte or fills the buffer, which grows with what is in it, so that a small bomb
 * costs as much as the largest message, and no more. */
#include "ws/deflate.h"

#include <stdlib.h>
#include <zlib.h>

#define FLUSHED   4            /* octets that end a flush and are not sent */
#define ROOM      (16u << 10)  /* that inflating begins with */
#define ROOM_KEEP (256u << 10) /* and that is kept between two messages */
#define AT_BLOCK  128          /* z_stream.data_type: between two blocks, no bit left over */

struct ws_deflate {
	z_stream out, in;
	bool out_made, in_made;
	uint8_t *packed, *message; /* owned */
	size_t packed_cap, message_cap, message_n;
};

struct ws_deflate *ws_deflate_new(void)
{
	return calloc(1, sizeof(struct ws_deflate));
}

void ws_deflate_rest(struct ws_deflate *d)
{
	if (d->out_made)
		deflateEnd(&d->out);
	if (d->in_made)
		inflateEnd(&d->in);
	free(d->packed);
	free(d->message);
	*d = (struct ws_deflate){0};
}

void ws_deflate_free(struct ws_deflate *d)
{
	if (d == NULL)
		return;
	ws_deflate_rest(d);
	free(d);
}

/* ---- out ----------------------------------------------------------------------------------- */

static bool begin_out(struct ws_deflate *d, size_t cap)
{
	if (d->packed_cap < cap) {
		free(d->packed);
		d->packed = malloc(cap);
		d->packed_cap = d->packed != NULL ? cap : 0;
	}
	if (d->out_made)
		deflateReset(&d->out);
	else
		d->out_made = deflateInit2(&d->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
					   -WS_DEFLATE_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	return d->packed != NULL && d->out_made;
}

struct bytes ws_deflate(struct ws_deflate *d, struct bytes text)
{
	/* If there is room left behind a flush, it has come to its end, and is shorter. */
	size_t cap = text.n + FLUSHED;
	if (text.n == 0 || text.n > WS_DEFLATE_MAX || !begin_out(d, cap))
		return BYTES(NULL, 0);
	d->out.next_in = (Bytef *)text.p;
	d->out.avail_in = (uInt)text.n;
	d->out.next_out = d->packed;
	d->out.avail_out = (uInt)cap;
	int r = deflate(&d->out, Z_SYNC_FLUSH);
	assert(r == Z_OK);
	if (d->out.avail_out == 0)
		return BYTES(NULL, 0);
	return BYTES(d->packed, cap - d->out.avail_out - FLUSHED);
}

/* ---- in ------------------------------------------------------------------------------------ */

static bool begin_in(struct ws_deflate *d)
{
	d->message_n = 0;
	if (d->in_made)
		return inflateReset(&d->in) == Z_OK;
	/* 15: clients are not asked for a smaller window, so any may come */
	d->in_made = inflateInit2(&d->in, -15) == Z_OK;
	return d->in_made;
}

/* Room for one byte at least, but for no more than one that is too many. */
static bool make_room(struct ws_deflate *d, size_t max)
{
	if (d->message_n < d->message_cap)
		return true;
	size_t cap = MIN(MAX(2 * d->message_cap, ROOM), max + 1);
	uint8_t *p = realloc(d->message, cap);
	if (p == NULL)
		return false;
	d->message = p;
	d->message_cap = cap;
	return true;
}

/* A block may be the last of its stream (BFINAL) and not of its message (RFC 7692 7.2.1): then
 * another stream follows at the next byte. Nothing in it refers to the one that has ended. */
static enum ws_bad feed(struct ws_deflate *d, const uint8_t *p, size_t n, size_t max)
{
	z_stream *z = &d->in;
	z->next_in = (Bytef *)p;
	z->avail_in = (uInt)n;
	do {
		if (!make_room(d, max))
			return WS_BAD_NO_MEMORY;
		size_t room = MIN(d->message_cap, max + 1) - d->message_n;
		z->next_out = d->message + d->message_n;
		z->avail_out = (uInt)room;
		int r = inflate(z, Z_SYNC_FLUSH);
		d->message_n += room - z->avail_out;
		if (d->message_n > max)
			return WS_BAD_INFLATED_TOO_LONG;
		if (r == Z_STREAM_END)
			inflateReset(z);
		else if (r == Z_MEM_ERROR)
			return WS_BAD_NO_MEMORY;
		else if (r != Z_OK && r != Z_BUF_ERROR)
			return WS_BAD_DEFLATE;
	} while (z->avail_in > 0 || z->avail_out == 0);
	return WS_BAD_NONE;
}

static enum ws_bad unpack(struct ws_deflate *d, struct bytes packed, size_t max)
{
	static const uint8_t flushed[FLUSHED] = {0x00, 0x00, 0xff, 0xff};
	if (!begin_in(d) || !make_room(d, max))
		return WS_BAD_NO_MEMORY;
	if (packed.n ==
	    0) /* not even a flush: some send the empty message so, and it can be no other */
		return WS_BAD_NONE;
	enum ws_bad bad = feed(d, packed.p, packed.n, max);
	size_t n = d->message_n;
	if (bad == WS_BAD_NONE)
		bad = feed(d, flushed, sizeof(flushed), max);
	/* in the middle of a block, or behind the end of a stream, something is missing */
	if (bad == WS_BAD_NONE && (d->in.data_type != AT_BLOCK || d->message_n != n))
		bad = WS_BAD_DEFLATE;
	return bad;
}

enum ws_bad ws_inflate(struct ws_deflate *d, struct bytes packed, uint32_t max, uint8_t **message,
		       size_t *n)
{
	enum ws_bad bad = unpack(d, packed, max);
	if (bad != WS_BAD_NONE) {
		ws_inflate_end(d);
		return bad;
	}
	*message = d->message;
	*n = d->message_n;
	return WS_BAD_NONE;
}

void ws_inflate_end(struct ws_deflate *d)
{
	if (d->message_cap <= ROOM_KEEP)
		return;
	free(d->message);
	d->message = NULL;
	d->message_cap = 0;
}
