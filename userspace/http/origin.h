/* SPDX-License-Identifier: BSD-2-Clause */
/* origin.h - may this page talk to us? The Origin header (RFC 6454, and what
 * browsers really send) against the allow-list of an endpoint.
 *
 * Rules, as they stand in sluice.conf:
 *	*                         any origin, "null" too
 *	null                      the opaque origin of sandboxed frames and file: pages
 *	same-host                 the host that the request itself names in Host
 *	https://example.com       this scheme, host and port (default port if none)
 *	*.example.com over https  written as scheme, "://" and the star: any name below
 *	                          example.com, not itself; a port must match
 *
 * Scheme and host compare without regard to case, ports as numbers. Nothing is
 * matched by prefix or substring, which is how allow-lists are broken. */
#ifndef SLUICE_HTTP_ORIGIN_H
#define SLUICE_HTTP_ORIGIN_H

#include "http/head.h"

enum http_origin_verdict {
	HTTP_ORIGIN_ABSENT, /* no Origin: not a browser, or a same-origin GET; the caller decides */
	HTTP_ORIGIN_ALLOWED,
	HTTP_ORIGIN_REFUSED, /* well-formed, in no rule */
	HTTP_ORIGIN_BAD,     /* not an origin at all */
};

struct http_origin {
	struct bytes scheme; /* "https"; empty for the opaque origin "null" */
	struct bytes host;   /* [ ] kept */
	uint32_t port;       /* the scheme's default if none was written; 0: scheme unknown */
};

/* The list is configuration: built once, read-only afterwards. */
struct http_origin_list {
	struct http_origin_rule *_rules; /* owned */
	uint32_t _n;
};

/* "scheme://host[:port]" or "null". Slices point into `text`. False if it is
 * neither (a path, user@, a second origin behind a space, bad characters). */
bool http_origin_parse(struct http_origin *o, struct bytes text);

void http_origin_list_init(struct http_origin_list *l);
/* Copies `rule`. 0, -EINVAL if it is no rule, -ENOMEM. */
int http_origin_list_add(struct http_origin_list *l, struct bytes rule);
void http_origin_list_fini(struct http_origin_list *l);

/* `tls`: the request came over TLS; same-host then wants an https origin. An
 * empty list allows nothing. */
enum http_origin_verdict http_origin_check(const struct http_origin_list *l,
					   const struct http_head *h, bool tls);

#endif
