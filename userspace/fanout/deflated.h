/* SPDX-License-Identifier: BSD-2-Clause */
/* deflated.h - the frame of a deflated twin (fanout/encoding.h). */
#ifndef SLUICE_FANOUT_DEFLATED_H
#define SLUICE_FANOUT_DEFLATED_H

#include "fanout/frame_ref.h"

struct worker;

/* Made from the frame of the encoding itself, which frame_ref_new() has made; one reference is
 * the caller's. It is that very frame where compression is not worth its while: it is
 * binary, below compression_threshold, or would not become shorter. */
struct frame_ref *fanout_deflated(struct worker *w, struct frame_ref *plain);

#endif
