/* SPDX-License-Identifier: BSD-2-Clause */
/* query.h - what hides in targets and cookies: percent-encoding, query fields,
 * cookie values, dot segments. Input is a slice of a head that http/head.h
 * found good; output goes to buffers of the caller, never longer than the input. */
#ifndef SLUICE_HTTP_QUERY_H
#define SLUICE_HTTP_QUERY_H

#include "http/head.h"

/* Decodes %XX (and '+' as a space if `plus`) from `in` into out[cap]. Returns the
 * length, or -1 if it does not fit, a percent sign is malformed, or a byte comes
 * out as NUL (no name or token of ours holds one). `out` may be `in` itself. */
long http_percent_decode(uint8_t *out, size_t cap, struct bytes in, bool plus);

/* Takes the next name=value pair off `query`, still encoded. A pair without '='
 * has an empty value with p NULL; empty pairs ("&&") are skipped. False at the end. */
bool http_query_next(struct bytes *query, struct bytes *name, struct bytes *value);

/* First field of that (decoded) name; -1 if absent or undecodable, else the
 * length of its decoded value in out[cap]. `name` is ours: plain ASCII. */
long http_query_get(struct bytes query, const char *name, uint8_t *out, size_t cap);

/* Value of a cookie by exact name over all Cookie headers (RFC 6265 4.2.1), as a
 * slice, a pair of enclosing quotes taken off. False if absent, and false if the
 * name comes twice with different values: then somebody else planted one. */
bool http_cookie_get(const struct http_head *h, struct bytes name, struct bytes *value);

/* Does a path hold a "." or ".." segment, plain or as %2e, or an encoded slash or
 * backslash? Clients resolve those before they send; a route must not guess. */
bool http_path_is_tricky(struct bytes path);

#endif
