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

/* 0: the rule covers it. Of one piece and without a branch, all of it read before the loop: with a branch for
 * each word 6.1 walked a million instructions of 64 rules and gave up. */
struct asked {
	__u32 addr[4];
	__u32 family;
	__u64 port;
};

static __always_inline __u64 misses(const volatile struct serve_rule *r, const struct asked *q)
{
	__u64 bad = (r->family ^ q->family) | ((q->port - r->port) | (r->last - q->port)) >> 63;

	for (int i = 0; i < 4; i++)
		bad |= (q->addr[i] ^ r->addr[i]) & r->mask[i];
	barrier_var(bad); /* or clang branches after all */
	return bad;
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
	struct asked q;
	__u32 v4, v6;

	if (ctx->protocol != L4_TCP)
		return SK_PASS;
	q.family = ctx->family;
	q.port = ctx->local_port;
	v4 = ctx->local_ip4;
	v6 = ctx->local_ip6[0];
	barrier_var(v4); /* or clang computes with the context's address, which no verifier takes */
	barrier_var(v6);
	q.addr[0] = q.family == FAMILY_V4 ? v4 : v6;
	q.addr[1] = ctx->local_ip6[1]; /* zero for IPv4 */
	q.addr[2] = ctx->local_ip6[2];
	q.addr[3] = ctx->local_ip6[3];
	for (__u32 i = 0; i < SHIELD_SERVE_MAX && i < serves; i++)
		if (!misses(&serve[i], &q))
			return hand_to(ctx, serve[i].group);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
