/* SPDX-License-Identifier: BSD-2-Clause */
/* step.h - how bytes climb: each state of a conn names the step that reads them.
 *
 * conn/io.c brings plaintext to w->steps[c->state]->bytes() and asks again after each
 * call, because a step may hand the conn on (HTTP upgrades to WebSocket) or end it. The
 * worker wires the table once (worker/loop.c), so no layer includes a higher one. */
#ifndef SLUICE_CONN_STEP_H
#define SLUICE_CONN_STEP_H

#include "conn/conn.h"

struct worker;

struct conn_step {
	const char *name;
	/* The conn has just entered the state. May be NULL. */
	void (*enter)(struct worker *w, struct conn *c);
	/* n > 0 bytes that may be changed, with WORKER_HEADROOM writable bytes in front. The
	 * return value is how many were used up: fewer only when the state was changed, and
	 * the rest is for the next step. What is unfinished was kept by the step. */
	size_t (*bytes)(struct worker *w, struct conn *c, uint8_t *p, size_t n);
	/* The conn ends; whatever the step holds for it goes. May be NULL. */
	void (*gone)(struct worker *w, struct conn *c);
};

#endif
