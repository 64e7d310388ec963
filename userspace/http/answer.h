/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.h - answers of our own: status line, fields, body, into a buffer of the caller.
 *
 * A builder that never overruns and never lets a value smuggle in another line:
 * if something did not fit or held a control character, the answer is void and
 * http_answer_end() says 0. What we send ourselves fits HTTP_ANSWER_BYTES.
 *
 *	http_answer_start(&a, buf, sizeof(buf), 200, clock_wall_ms(), HTTP_A_KEEP_ALIVE);
 *	http_answer_field(&a, "Content-Type", BYTES_LIT("text/plain"));
 *	n = http_answer_end(&a, body);
 */
#ifndef SLUICE_HTTP_ANSWER_H
#define SLUICE_HTTP_ANSWER_H

#include "base/bytes.h"

#define HTTP_ANSWER_BYTES 1024 /* enough for any http_answer_error() */
#define HTTP_DATE_BYTES   29   /* "Sun, 06 Nov 1994 08:49:37 GMT", no NUL */

enum {
	HTTP_A_KEEP_ALIVE = 1, /* else: Connection: close */
	HTTP_A_NO_BODY = 2,    /* the request was HEAD: length as it would be, no body */
	HTTP_A_OLD = 4,        /* the request was HTTP/1.0: keep-alive must be said aloud */
	HTTP_A_PAGE = 8,       /* HTML of ours: leave out the CSP that forbids everything */
};

struct http_answer {
	uint8_t *_p; /* the caller's buffer */
	size_t _n, _cap;
	uint16_t _status;
	uint8_t _flags;
	bool _void;
};

/* "Not Found"; "Unknown" for a status that is not in the table. Static. */
const char *http_status_phrase(unsigned status);

/* RFC 9110 5.6.7, as every answer carries it. Years 1970 to 9999. */
void http_date(char out[HTTP_DATE_BYTES], uint64_t wall_ms);

/* Status line, date, connection and the security headers (nosniff, no referrer,
 * and a content security policy unless HTTP_A_PAGE). 101 gets neither
 * connection nor security headers: its caller writes upgrade and connection.
 * Status 100 to 599. */
void http_answer_start(struct http_answer *a, void *buf, size_t cap, unsigned status,
		       uint64_t wall_ms, unsigned flags);

/* One more field. `name` is ours; `value` is checked. */
void http_answer_field(struct http_answer *a, const char *name, struct bytes value);
void http_answer_number(struct http_answer *a, const char *name, uint64_t value);

/* Ends the head and appends the body, with Content-Length (none for 1xx, 204
 * and 304, which have no body). Returns the bytes written, 0 if the answer is void. */
size_t http_answer_end(struct http_answer *a, struct bytes body);

/* Ends the head only, without Content-Length: for streams that live until the
 * connection closes (server-sent events) and for 101. */
size_t http_answer_end_head(struct http_answer *a);

/* A whole error answer with the body {"error":"message"}; `message` is escaped,
 * and NULL means the phrase of the status. 405 and 426 want a field: use the
 * parts above and http_error_json(). Returns bytes written, 0 if cap is too small. */
size_t http_answer_error(void *buf, size_t cap, unsigned status, const char *message,
			 uint64_t wall_ms, unsigned flags);

/* {"error":"message"} into `out`; quotes, backslashes and control characters are
 * escaped. Returns its length, 0 if it did not fit. */
size_t http_error_json(char *out, size_t cap, const char *message);

#endif
