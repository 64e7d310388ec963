/* SPDX-License-Identifier: BSD-2-Clause */
/* partial.h - who has something unfinished (record, head, frame, message, body), oldest first.
 *
 * Two promises hang on this list: an unfinished thing has a deadline that dripping bytes
 * do not extend (timer.c reads c->partial_ticks), and when the pool is full the *oldest*
 * is sacrificed, so that nobody holds memory by being slow. The list is w->partials. */
#ifndef SLUICE_CONN_PARTIAL_H
#define SLUICE_CONN_PARTIAL_H

#include "conn/conn.h"

struct worker;

/* Something is unfinished since now (no change if it was already). */
void partial_begin(struct worker *w, struct conn *c);
/* Everything is finished. */
void partial_end(struct worker *w, struct conn *c);
/* Ends the oldest with 1013, but never `spare`; false if there is no other. */
bool partial_sacrifice(struct worker *w, const struct conn *spare);

/* buffer_append() in the worker's pool for a conn's unfinished thing; when the pool is full the
 * oldest go first. False: even that did not help, or the bound; end the conn. */
bool partial_append(struct worker *w, struct conn *c, uint32_t *handle, struct bytes b,
		    size_t bound);

#endif
