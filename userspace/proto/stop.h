/* SPDX-License-Identifier: BSD-2-Clause */
/* stop.h - auto_stop of a relay rule: who has said that he types, and no more, is said to have
 * stopped.
 *
 *   typing ─► awaited ─┬─ typing again ─────────────────────────────► awaited for longer
 *                      ├─ silence, leaving the channel, the conn's end ─► stopped_typing, from him
 *                      └─ he says stopped_typing himself ───────────────► nothing
 *
 * One table per worker, which comes into being when it is first needed. Conns that never type are
 * not in it. */
#ifndef SLUICE_PROTO_STOP_H
#define SLUICE_PROTO_STOP_H

#include "base/bytes.h"

struct worker;
struct conn;
struct config_relay;
struct stops;

/* A message of the rule (one of the configuration's) went to the channel. `c` may be closed
 * afterwards. */
void proto_stop_said(struct worker *w, struct conn *c, const struct config_relay *rule,
		     struct bytes channel);
/* It is about to leave the channel: others hear that it has stopped. Likewise. */
void proto_stop_left(struct worker *w, struct conn *c, struct bytes channel);
/* It ends. */
void proto_stop_gone(struct worker *w, struct conn *c);
/* Some times a second. */
void proto_stop_tick(struct worker *w);

/* May be NULL. */
void proto_stop_free(struct stops *t);

#endif
