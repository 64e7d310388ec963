/* SPDX-License-Identifier: BSD-2-Clause */
/* deflated.c - see deflated.h. This is the one place where what is sent is compressed, so the
 * counters here prove it: a text is compressed once per worker, whoever hears it. */
#include "fanout/deflated.h"

#include "worker/worker.h"
#include "ws/deflate.h"

static struct bytes payload_of(const struct frame_ref *f)
{
	uint8_t len7 = f->bytes[1];
	size_t head = len7 < 126 ? 2 : len7 == 126 ? 4 : 10;
	return BYTES(f->bytes + head, f->n - head);
}

struct frame_ref *fanout_deflated(struct worker *w, struct frame_ref *plain)
{
	struct bytes text = payload_of(plain);
	if (plain->bytes[0] != (WS_TEXT | WS_FIN) || text.n < w->cfg->compression_threshold)
		return frame_ref_get(plain);
	struct bytes packed = ws_deflate(w->deflate, text);
	w->stats.deflated++;
	w->stats.deflated_from_bytes += text.n;
	w->stats.deflated_to_bytes += packed.p != NULL ? packed.n : text.n;
	struct frame_ref *f = packed.p != NULL ? frame_ref_new(WS_TEXT | WS_RSV1, packed) : NULL;
	return f != NULL ? f : frame_ref_get(plain);
}
