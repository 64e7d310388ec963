/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* explain.h - an operator asks the live program: what would become of this packet?
 *
 *   test run: [ struct shield_ask | frame ] ─► the very same judgement, hands off ─► answered in place
 *
 * The program in force answers, not a copy of it that could be older or have other maps. The
 * metadata in front of a frame is a place that no peer can write to. */
#ifndef SLUICE_BPF_EXPLAIN_H
#define SLUICE_BPF_EXPLAIN_H

#include "parse.h"

static volatile __u64 no_magic; /* 0, which the verifier does not know */

/* Both ways lead to a number that the verifier knows nothing about, so that it walks what
 * follows once and not once for each. A function would do, and cost ten nanoseconds. */
static __always_inline __u64 is_asked(struct xdp_md *ctx)
{
	const struct shield_ask *ask = (void *)(long)ctx->data_meta;
	__u64 magic;

	if ((void *)(ask + 1) <= (void *)(long)ctx->data)
		magic = ask->magic;
	else
		magic = no_magic;
	magic ^= SHIELD_ASK;
	return ~(magic | -magic) >> 63;
}

static __always_inline int explain(struct xdp_md *ctx, const struct packet *p,
				   enum shield_stage stage, enum drop_reason why, int action)
{
	struct shield_ask *ask = (void *)(long)ctx->data_meta;

	if ((void *)(ask + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	ask->observed = p->observed;
	ask->entry = p->entry;
	ask->stage = stage;
	ask->reason = why;
	ask->action = action;
	ask->bank = p->bank;
	ask->rate = p->rate;
	return XDP_ABORTED;
}

#endif
