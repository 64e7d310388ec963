/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.h - an HTTP/1.1 connection at work: heads in, then an upgrade, an answer of our
 * own (health, ready, pages) or a refusal. */
#ifndef SLUICE_HTTP_SERVE_H
#define SLUICE_HTTP_SERVE_H

#include "base/bytes.h"
#include "conn/conn.h"

struct worker;

/* Bytes from the peer in state HTTP; they may be changed. All are consumed or kept. */
void http_bytes(struct worker *w, struct conn *c, uint8_t *p, size_t n);
/* The head did not come in time: 408 where the client has begun one. */
void http_timeout(struct worker *w, struct conn *c);

#endif
