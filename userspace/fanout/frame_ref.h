/* SPDX-License-Identifier: BSD-2-Clause */
/* frame_ref.h - one encoded WebSocket frame (header and payload, unmasked, as it goes
 * to every subscriber), counted, shared by all deliveries of this worker. */
#ifndef SLUICE_FANOUT_FRAME_REF_H
#define SLUICE_FANOUT_FRAME_REF_H

#include "base/bytes.h"

/* What may become of it where it waits for a socket that takes nothing (fanout/backlog.h). */
enum frame_policy {
	FRAME_KEEP, /* an answer, a control frame: it is waited for */
	FRAME_DISCONNECT,
	FRAME_DROP_OLDEST,
	FRAME_CONFLATE
};

struct frame_ref {
	uint32_t refs;
	uint32_t n;
	uint32_t waits;   /* backlogs that it stands in */
	uint32_t channel; /* its hub_hash(), but for FRAME_KEEP */
	uint8_t policy;   /* enum frame_policy */
	uint8_t bytes[];
};

/* opcode is WS_TEXT or WS_BINARY, with WS_RSV1 if the payload is compressed. The caller owns the one reference; NULL: no memory. */
struct frame_ref *frame_ref_new(uint8_t opcode, struct bytes payload);
/* The same of bytes that are a frame (or an HTTP answer) already, in two pieces. */
struct frame_ref *frame_ref_raw(struct bytes head, struct bytes body);
static inline struct frame_ref *frame_ref_get(struct frame_ref *f)
{
	f->refs++;
	return f;
}
void frame_ref_put(struct frame_ref *f);

#endif
