/* SPDX-License-Identifier: BSD-2-Clause */
/* timer.h - every deadline of a conn in one wheel entry.
 *
 * A conn has one link in the wheel and several deadlines: handshake, heartbeat, dead
 * peer, an unfinished message, close handshake. timer_update() computes the earliest of them
 * from what the conn says of itself and moves the link only if that is *earlier* than
 * where it stands; a later one is found when the entry fires. So a byte that
 * arrives costs one store (heard_ticks), never a wheel operation. */
#ifndef SLUICE_WORKER_TIMER_H
#define SLUICE_WORKER_TIMER_H

#include "worker/worker.h"

#define TIMER_TAIL_UNIT 8u /* ticks: about a second, in which c->tail_moved counts */

void timer_update(struct worker *w, struct conn *c);
void timer_stop(struct worker *w, struct conn *c);
/* Fires what is due; bounded work per call. True: more is due. */
bool timer_run(struct worker *w);

#endif
