/* SPDX-License-Identifier: BSD-2-Clause */
/* body.h - the body of a request as its head announced it: by length or chunked
 * (RFC 9112 6 and 7), incremental, strict and bounded.
 *
 * Nothing is copied or kept: runs of data are slices of what the caller fed, to
 * be collected, handed on or dropped. A length above the bound is refused
 * before the first byte, a chunk above it at its size line. Chunk extensions and
 * trailers are checked, ignored, and bounded over the whole body.
 *
 *	if (http_body_init(&b, &head, 1 << 20) == HTTP_BODY_BAD) ... 413
 *	for (;;) switch (http_body_next(&b, &in, &run)) {
 *	case HTTP_BODY_RUN:  use run, go on
 *	case HTTP_BODY_MORE: `in` is used up; come back with what follows
 *	case HTTP_BODY_END:  `in` is what follows the body (the next request)
 *	case HTTP_BODY_BAD:  answer http_bad_status(b.bad), close
 *	} */
#ifndef SLUICE_HTTP_BODY_H
#define SLUICE_HTTP_BODY_H

#include "http/head.h"

#define HTTP_CHUNK_EXTENSION_BYTES 256  /* in one body */
#define HTTP_TRAILER_BYTES         1024 /* in one body */

enum http_body_outcome {
	HTTP_BODY_RUN,
	HTTP_BODY_MORE,
	HTTP_BODY_END,
	HTTP_BODY_BAD, /* b->bad; stays so */
};

/* 32 bytes, no pointers: may lie wherever a connection's side state lies. */
struct http_body {
	uint64_t left; /* of the length, or of the chunk being read */
	uint64_t room; /* how much more data the bound allows */
	uint8_t bad;   /* enum http_bad */
	uint8_t _state;
	uint8_t _digits; /* of the chunk size so far */
	uint16_t _extra; /* bytes of extensions */
	uint16_t _trailer;
};

/* Takes the framing from a complete head. HTTP_BODY_MORE: there is a body,
 * HTTP_BODY_END: there is none (none announced, or length 0), HTTP_BODY_BAD: too long. */
enum http_body_outcome http_body_init(struct http_body *b, const struct http_head *h,
				      uint64_t max_bytes);

/* Takes bytes off the front of `in`. `run` is set for HTTP_BODY_RUN, is never
 * empty, and points into `in`. */
enum http_body_outcome http_body_next(struct http_body *b, struct bytes *in, struct bytes *run);

#endif
