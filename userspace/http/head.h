/* SPDX-License-Identifier: BSD-2-Clause */
/* head.h - the head of an HTTP/1.1 request (RFC 9110, RFC 9112), read strictly.
 *
 * The buffer that holds the head is the caller's; the parser copies nothing and
 * allocates nothing. It may be called with an incomplete head: it answers
 * HTTP_MORE, and a call with the same bytes and more behind them goes on where
 * it stopped, so that a head dripping in byte by byte costs one pass in all.
 * Between two calls the buffer may move: what is remembered are offsets.
 *
 * What is refused is refused at its first bad byte, however the bytes were cut
 * into segments; which reason comes out does not depend on the cutting either.
 *
 *	http_head_init(&h);
 *	switch (http_head_parse(&h, BYTES(buf, n), &limits)) {
 *	case HTTP_HEAD: ... h.head_bytes are used up, the body follows
 *	case HTTP_MORE: ... read more behind buf + n (a full buffer is never
 *	                    answered HTTP_MORE if it holds limits.head_bytes)
 *	case HTTP_BAD:  ... answer http_bad_status(h.bad), close
 *	}
 *
 * Stricter than the RFC demands, on purpose: only HTTP/1.0 and HTTP/1.1; methods
 * are capital letters and '-'; a second Content-Length is refused even if equal;
 * absolute-form must agree with Host. Tolerated: one empty line before the
 * request (RFC 9112 2.2), and in targets the characters that browsers leave
 * unescaped though RFC 3986 would have them escaped: | ^ [ ] in paths, and
 * \ ` { } as well in queries. */
#ifndef SLUICE_HTTP_HEAD_H
#define SLUICE_HTTP_HEAD_H

#include "base/bytes.h"
#include "http/field.h"

#define HTTP_HEADERS_MAX    96    /* the array below */
#define HTTP_HEAD_BYTES_MAX 65535 /* offsets are 16 bits wide */

enum http_outcome {
	HTTP_HEAD, /* complete and good */
	HTTP_MORE, /* good so far */
	HTTP_BAD,  /* h->bad says why */
};

enum http_bad {
	HTTP_BAD_NONE,
#define REASON(name, word, status, help) HTTP_BAD_##name,
#include "http/bad_reason.def"
#undef REASON
	HTTP_BAD_COUNT
};

/* "bare-lf", 400, "a line feed without ..."; the strings are static. */
const char *http_bad_word(enum http_bad b);
const char *http_bad_help(enum http_bad b);
unsigned http_bad_status(enum http_bad b);

/* All in bytes, none counts the CR LF; head_bytes counts everything. */
struct http_limits {
	uint32_t line_bytes;   /* request line: 414 beyond */
	uint32_t header_bytes; /* one header line: 431 beyond */
	uint32_t head_bytes;   /* whole head, <= HTTP_HEAD_BYTES_MAX: 431 beyond */
	uint32_t headers;      /* number, <= HTTP_HEADERS_MAX: 431 beyond */
};

#define HTTP_LIMITS_DEFAULT                                                                        \
	((struct http_limits){.line_bytes = 8192,                                                  \
			      .header_bytes = 8192,                                                \
			      .head_bytes = 16384,                                                 \
			      .headers = HTTP_HEADERS_MAX})

enum http_method {
	HTTP_OTHER, /* well-formed but none of these: route it or answer 501 */
	HTTP_GET,
	HTTP_HEAD_METHOD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_TRACE,
};

enum http_known {
#define KNOWN(name, text, first, last, many) HTTP_##name,
#include "http/known_header.def"
#undef KNOWN
	HTTP_KNOWN_COUNT,
	HTTP_UNKNOWN = HTTP_KNOWN_COUNT
};

enum http_framing {
	HTTP_NO_BODY,
	HTTP_BODY_LENGTH,  /* content_length bytes follow; may be 0 */
	HTTP_BODY_CHUNKED, /* http/body.h reads both */
};

/* h->flags */
enum {
	HTTP_F_KEEP_ALIVE = 1,      /* after the answer the connection may go on */
	HTTP_F_UPGRADE = 2,         /* Connection names upgrade; never in HTTP/1.0 */
	HTTP_F_UPGRADE_WS = 4,      /* Upgrade names websocket; never in HTTP/1.0 */
	HTTP_F_EXPECT_CONTINUE = 8, /* answer 100 before reading the body, or a final status */
	HTTP_F_ABSOLUTE = 16,       /* the target came in absolute-form */
};

/* Offsets into the head; http_head_name() and http_head_value() make bytes of them. */
struct http_header {
	uint16_t name_at, name_n;
	uint16_t value_at, value_n;
	uint16_t known; /* enum http_known */
};

/* The names without `_` are good after HTTP_HEAD only (bad: after HTTP_BAD only),
 * and every slice as long as the buffer of the last call stays where it was. */
struct http_head {
	enum http_bad bad;
	uint32_t head_bytes; /* length of the head with its last CR LF */
	enum http_method method;
	uint8_t minor; /* 1 or 0, of HTTP/1.x */
	uint8_t flags; /* HTTP_F_* */
	enum http_framing framing;
	uint64_t content_length; /* HTTP_BODY_LENGTH only */
	struct bytes method_text;
	struct bytes target; /* as it came */
	struct bytes path;   /* still percent-encoded; begins with '/', or is "*" */
	struct bytes query;  /* behind '?', without it; p is NULL if there was no '?' */
	struct bytes host;   /* without port, [ ] kept; p is NULL if HTTP/1.0 sent none */
	uint32_t port;       /* of Host, 0 if none was named */
	uint32_t headers_n;
	/* Value of each known header, p is NULL if absent (present and empty: n is 0). */
	struct bytes known[HTTP_KNOWN_COUNT];

	struct bytes _in; /* the buffer of the last call */
	uint32_t _at;     /* everything before was read and is good */
	uint32_t _line;   /* where the line being read begins */
	uint32_t _mark;   /* where the word being read begins */
	uint16_t _method_n;
	uint16_t _target_at, _target_n;
	uint16_t _authority_at, _authority_n; /* of an absolute-form target */
	uint16_t _path_at;                    /* 0: absolute-form without a path */
	uint16_t _query_at;                   /* at its '?'; 0: none */
	uint8_t _state;
	uint8_t _matched;                 /* bytes of a fixed word that were right; of %XX */
	uint8_t _said;                    /* what Connection said */
	uint8_t _first[HTTP_KNOWN_COUNT]; /* header number + 1; 0: has not come */
	struct http_header headers[HTTP_HEADERS_MAX]; /* headers_n of them */
};

/* Forgets everything; before the first parse of each request. */
void http_head_init(struct http_head *h);

/* `in` begins at the first byte of the request and may end anywhere, or go on
 * behind the head; its first bytes must be those of the call before. */
enum http_outcome http_head_parse(struct http_head *h, struct bytes in,
				  const struct http_limits *l);

static inline struct bytes http_head_name(const struct http_head *h, uint32_t i)
{
	return BYTES(h->_in.p + h->headers[i].name_at, h->headers[i].name_n);
}

static inline struct bytes http_head_value(const struct http_head *h, uint32_t i)
{
	return BYTES(h->_in.p + h->headers[i].value_at, h->headers[i].value_n);
}

/* Walks the headers of one known name: *i = 0 before the first call. False at the end. */
bool http_head_next(const struct http_head *h, enum http_known id, uint32_t *i,
		    struct bytes *value);

/* Any header by name (case of letters does not matter); the first of several.
 * p is NULL if there is none. Known ones are quicker found in h->known[]. */
struct bytes http_head_find(const struct http_head *h, struct bytes name);

#endif
