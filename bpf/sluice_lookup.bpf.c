/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* sluice_lookup - one set of listeners serves whole prefixes and ranges of ports.
 *
 *   no connection yet ─► in a served prefix and range? ─► that listen address ─► sluice_reuseport picks the worker
 *                                └► no: the kernel looks for a listener, as ever
 *
 * The kernel asks for each packet that belongs to no connection, whoever it is for, so the first look is
 * at the port. The rules are read-only data: other rules are another program, exchanged in the
 * link in one step.
 *
 * It fails closed. While no sluiced listens, what it serves is refused, and does not fall to another
 * program that listens on all addresses and never meant to be reached at these. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define MAPS_LOOKUP
#include "maps.h"

const volatile __u32 serves = 0;
const volatile struct serve_rule serve[SHIELD_SERVE_MAX] = {};

enum { FAMILY_V4 = 2 };

static __always_inline bool covers(const volatile struct serve_rule *r,
				   const struct bpf_sk_lookup *ctx)
{
	if (ctx->local_port < r->port || ctx->local_port > r->last || ctx->family != r->family)
		return false;
	if (r->family == FAMILY_V4)
		return !((ctx->local_ip4 ^ r->addr[0]) & r->mask[0]);
	return !((ctx->local_ip6[0] ^ r->addr[0]) & r->mask[0]) &&
	       !((ctx->local_ip6[1] ^ r->addr[1]) & r->mask[1]) &&
	       !((ctx->local_ip6[2] ^ r->addr[2]) & r->mask[2]) &&
	       !((ctx->local_ip6[3] ^ r->addr[3]) & r->mask[3]);
}

/* Any socket of the group will do: the kernel then asks the group's program for the worker. */
static __always_inline int hand_to(struct bpf_sk_lookup *ctx, __u32 group)
{
	__u32 slot = group * SHIELD_WORKERS_MAX;
	struct bpf_sock *sk = bpf_map_lookup_elem(&listener, &slot);
	long err;

	if (!sk)
		return SK_DROP;
	err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err ? SK_DROP : SK_PASS;
}

SEC("sk_lookup")
int sluice_lookup(struct bpf_sk_lookup *ctx)
{
	if (ctx->protocol != L4_TCP)
		return SK_PASS;
	for (__u32 i = 0; i < SHIELD_SERVE_MAX && i < serves; i++)
		if (covers(&serve[i], ctx))
			return hand_to(ctx, serve[i].group);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
