/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.h - a WebSocket connection at work: frames in become messages for the protocol,
 * messages of the protocol become frames in the write batch, and heartbeats. */
#ifndef SLUICE_WS_SERVE_H
#define SLUICE_WS_SERVE_H

#include "base/bytes.h"
#include "conn/conn.h"

struct worker;

/* After the 101 was queued: the conn is OPEN, the protocol is told. */
void ws_opened(struct worker *w, struct conn *c);
/* Bytes from the peer; they may be changed. All are consumed or kept. */
void ws_bytes(struct worker *w, struct conn *c, uint8_t *p, size_t n);

/* Into this turn's batch. Nothing happens unless the conn is OPEN. */
void ws_send_text(struct worker *w, struct conn *c, struct bytes text);
void ws_send_binary(struct worker *w, struct conn *c, struct bytes b);
/* Our close frame; the state becomes CLOSING. code 0: an empty close frame. */
void ws_send_close(struct worker *w, struct conn *c, uint16_t code, struct bytes text);
void ws_send_ping(struct worker *w, struct conn *c);

#endif
