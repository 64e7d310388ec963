/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.h - an HTTP/1.1 connection at work: heads in, then an upgrade, an answer of our
 * own (health, ready, pages) or a refusal. */
#ifndef SLUICE_HTTP_SERVE_H
#define SLUICE_HTTP_SERVE_H

#include "base/bytes.h"
#include "conn/step.h"

struct worker;

/* Reads in the state HTTP. */
extern const struct conn_step http_step;

/* What the configuration says of endpoints, origins and pages, made ready. NULL: no memory. */
struct http_site *http_site_new(const struct config *cfg);
void http_site_free(struct http_site *s);

/* The head did not come in time: 408 where the client has begun one. */
void http_timeout(struct worker *w, struct conn *c);
/* The worker stops: 503 where a head has begun, else the end. */
void http_drain(struct worker *w, struct conn *c);

#endif
