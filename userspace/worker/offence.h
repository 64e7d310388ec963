/* SPDX-License-Identifier: BSD-2-Clause */
/* offence.h - what peers did wrong, told to the keeper, who may have them denied.
 *
 * A worker sees what a connection ended by; whether that is too much, over all workers and for how
 * long, the keeper judges (keeper/offence.h). Points of one source are added up here, and a
 * message goes out per tick at most: nobody can make a worker talk more than that. */
#ifndef SLUICE_WORKER_OFFENCE_H
#define SLUICE_WORKER_OFFENCE_H

#include "conn/conn.h"

struct worker;
struct offence_book; /* NULL where shield.offences is off */

/* NULL also if there is no memory: then nothing is told. Freed by free(3). */
struct offence_book *offence_open(const struct worker *w);
/* The conn begins to end for this reason, the first that there was; its descriptor is still open. */
void offence_note(struct worker *w, const struct conn *c, enum close_reason reason);
void offence_tick(struct worker *w);

#endif
