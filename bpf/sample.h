/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* sample.h - what is dropped, shown to whoever asks: `sluicectl drop capture`.
 *
 *   drop ─► does somebody capture, and this? ─► AF_XDP: the frame itself, its story as metadata
 *                                           └► else a copy of its head into a ring buffer
 *
 * It ends by itself, by count and by clock, soon after the one who asked has died. Nobody
 * is woken up for it: under a flood that would cost more than the drop; he comes and looks. */
#ifndef SLUICE_BPF_SAMPLE_H
#define SLUICE_BPF_SAMPLE_H

#include "event.h"
#include "maps.h"
#include "parse.h"

static __always_inline void sample_lost(struct shield_sample *s)
{
	__sync_fetch_and_add(&s->lost, 1);
}

/* Who captures writes to a map and tells nobody; the log is to know of it all the same. */
static __always_inline void sample_tell(struct shield_sample *s, __s64 wanted)
{
	if (!s->told && !__sync_lock_test_and_set(&s->told, 1))
		event(EVENT_CAPTURE, wanted);
}

static __always_inline int sample_to_ring(struct xdp_md *ctx, struct shield_sample *s, __u32 why,
					  __u64 now)
{
	__u32 wire = bpf_xdp_get_buff_len(ctx);
	__u64 less = (wire < SAMPLE_BYTES_MAX ? wire : SAMPLE_BYTES_MAX) -
		     1ull; /* one less than is copied */
	struct shield_sampled *to;

	to = bpf_ringbuf_reserve(&samples, sizeof(*to), 0);
	if (!to) {
		sample_lost(s);
		return XDP_DROP;
	}
	/* Without the barrier clang proves the next line needless, and no verifier follows; and 6.1 learns
	 * nothing from `!= 0`, so that the one which keeps the length from being zero is added behind it. */
	barrier_var(less);
	if (less >= SAMPLE_BYTES_MAX || bpf_xdp_load_bytes(ctx, 0, to->frame, less + 1)) {
		bpf_ringbuf_discard(to, BPF_RB_NO_WAKEUP);
		return XDP_DROP;
	}
	to->mark = (struct shield_mark){SAMPLE_MARK, now, ctx->ingress_ifindex, why};
	to->wire = wire;
	to->here = less + 1;
	bpf_ringbuf_submit(to, BPF_RB_NO_WAKEUP);
	return XDP_DROP;
}

/* The frame goes to whoever has bound a socket to this queue; without one it is dropped. Its last
 * word here: no frame may be looked at any more. */
static __always_inline int sample_to_xsk(struct xdp_md *ctx, struct shield_sample *s, __u32 why,
					 __u32 slot, __u64 now)
{
	__u32 key = slot * SAMPLE_QUEUES + (ctx->rx_queue_index & (SAMPLE_QUEUES - 1));
	struct shield_mark *mark;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*mark)) == 0) {
		mark = (void *)(long)ctx->data_meta;
		if ((void *)(mark + 1) <= (void *)(long)ctx->data)
			*mark = (struct shield_mark){SAMPLE_MARK, now, ctx->ingress_ifindex, why};
	}
	return bpf_redirect_map(&sample_xsk, key, XDP_DROP);
}

__noinline int sample_take(struct xdp_md *ctx, __u32 why, __u32 slot)
{
	struct shield_sample *s;
	__u64 now = bpf_ktime_get_ns();
	__u32 zero = 0;
	__s64 left;

	if (!ctx)
		return XDP_DROP;
	s = bpf_map_lookup_elem(&sample, &zero);
	if (!s || s->until_ns <= now || !(s->reasons >> (why & 63) & 1))
		return XDP_DROP;
	if (s->one_in > 1 && bpf_get_prandom_u32() % s->one_in)
		return XDP_DROP;
	if (s->left <= 0)
		return XDP_DROP;
	left = __sync_fetch_and_add(&s->left, -1);
	if (left <= 0)
		return XDP_DROP;
	sample_tell(s, left);
	if (s->via == SAMPLE_XSK && slot < SHIELD_IFACES_MAX &&
	    bpf_xdp_get_buff_len(ctx) == ctx->data_end - ctx->data)
		return sample_to_xsk(ctx, s, why, slot, now);
	return sample_to_ring(ctx, s, why, now);
}

/* What becomes of a packet that falls: an enum xdp_action. */
static __always_inline int drop(struct xdp_md *ctx, const struct packet *p, enum drop_reason why)
{
	const struct shield_sample *s;
	__u32 zero = 0;

	s = bpf_map_lookup_elem(&sample, &zero);
	return s && s->until_ns ? sample_take(ctx, why, p->iface) : XDP_DROP;
}

#endif
