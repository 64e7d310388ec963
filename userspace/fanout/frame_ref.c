/* SPDX-License-Identifier: BSD-2-Clause */
/* frame_ref.c - see frame_ref.h. */
#include "fanout/frame_ref.h"

#include <assert.h>
#include <stdlib.h>

#include "ws/frame.h"

struct frame_ref *frame_ref_raw(struct bytes head, struct bytes body)
{
	size_t n = head.n + body.n;
	if (n > UINT32_MAX)
		return NULL;
	struct frame_ref *f = malloc(sizeof(*f) + n);
	if (f == NULL)
		return NULL;
	*f = (struct frame_ref){.refs = 1, .n = (uint32_t)n};
	if (head.n > 0)
		memcpy(f->bytes, head.p, head.n);
	if (body.n > 0)
		memcpy(f->bytes + head.n, body.p, body.n);
	return f;
}

struct frame_ref *frame_ref_new(uint8_t opcode, struct bytes payload)
{
	uint8_t head[WS_HEAD_MAX];
	size_t n = ws_frame_head(head, opcode | WS_FIN, payload.n, NULL);
	return frame_ref_raw(BYTES(head, n), payload);
}

void frame_ref_put(struct frame_ref *f)
{
	assert(f->refs > 0);
	if (--f->refs == 0)
		free(f);
}
