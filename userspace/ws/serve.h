/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.h - a WebSocket connection at work: frames in become messages for the protocol,
 * messages of the protocol become frames in the write batch, and heartbeats. */
#ifndef SLUICE_WS_SERVE_H
#define SLUICE_WS_SERVE_H

#include "base/bytes.h"
#include "conn/step.h"

struct worker;

/* Reads in the states OPEN and CLOSING. */
extern const struct conn_step ws_step;

/* Into this turn's batch. Nothing happens unless the conn is OPEN. */
void ws_send_text(struct worker *w, struct conn *c, struct bytes text);
void ws_send_binary(struct worker *w, struct conn *c, struct bytes b);
/* Our close frame; the state becomes CLOSING. code 0: an empty close frame. */
void ws_send_close(struct worker *w, struct conn *c, uint16_t code, struct bytes text);
void ws_send_ping(struct worker *w, struct conn *c);

#endif
