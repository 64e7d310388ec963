/* SPDX-License-Identifier: BSD-2-Clause */
/* deflate.h - permessage-deflate (RFC 7692): whole messages, packed and unpacked.
 *
 * Without context takeover in either direction a message knows nothing of those before it. So
 * one compressor and one inflater serve all conns of a worker, and one compressed frame
 * all its subscribers. Both contexts are made when first used; a conn that
 * has agreed on compression costs one bit. */
#ifndef SLUICE_WS_DEFLATE_H
#define SLUICE_WS_DEFLATE_H

#include "ws/frame.h"

/* The window of what we send, for everybody, so that clients that ask for a smaller one than zlib's
 * largest (RFC 7692 7.1.2.1) can have the same frame. Of JSON rows up to 4 KiB become as short
 * as with 32 KiB, and 64 KiB of them one to three percent longer (tests/bench/bench_deflate.c). */
#define WS_DEFLATE_BITS 12

/* A longer text goes out as it is: compressing it would hold up the worker for milliseconds. */
#define WS_DEFLATE_MAX (256u << 10)

struct ws_deflate; /* of one worker */

/* NULL: no memory. */
struct ws_deflate *ws_deflate_new(void);
void ws_deflate_free(struct ws_deflate *d); /* may be NULL */
/* Gives all memory back but for the handle. */
void ws_deflate_rest(struct ws_deflate *d);

/* `text` as the payload of one frame with WS_RSV1, lent until the next call. p NULL: it would not
 * become shorter, is longer than WS_DEFLATE_MAX, or there is no memory: send it as it is. */
struct bytes ws_deflate(struct ws_deflate *d, struct bytes text);

/* The message that a peer has packed, at most `max` bytes of it, lent until ws_inflate_end().
 * Its text is not checked. WS_BAD_DEFLATE, WS_BAD_INFLATED_TOO_LONG or WS_BAD_NO_MEMORY
 * instead of WS_BAD_NONE: nothing is lent. */
enum ws_bad ws_inflate(struct ws_deflate *d, struct bytes packed, uint32_t max, uint8_t **message,
		       size_t *n);
void ws_inflate_end(struct ws_deflate *d);

#endif
