/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* sluice_reuseport - steer's twin at accept time: which worker gets this SYN?
 *
 *   new flow ─► core ─► one of its workers that is ready ─► that worker's listener
 *                 └────► none? anyone who is ready ─► none? as the kernel likes
 *
 * The core is the CPU that this very code runs on when RSS or the cpumap has
 * already put the flow where it should be; then packet, socket and event loop
 * share a cache. Otherwise it comes from the flow hash.
 *
 * When a listener closes, the connections that wait at it are not lost: the kernel asks once more,
 * and they move to whoever stands in the slots now (a replacement's workers, or other ones).
 *
 * A connection is never refused here: as long as any listener of the group is
 * open, the kernel has a choice of its own, by hash over all of them.
 *
 * One copy of the program is loaded for each listen address, with `group` set in
 * its read-only data: a program may pick only from sockets of the very group
 * that it is attached to, and nothing in its context names that group. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#define MAPS_REUSEPORT
#include "maps.h"

const volatile __u32 group = 0; /* which listen address */
const volatile __u32 cpus = 1;  /* the last index of core_worker */

#define TRIES 2 /* a worker may die between our look and our pick */

/* Two independent numbers below n from one hash: its upper half for the core,
 * a mixed copy for the worker, so that one does not decide the other. */
static __always_inline __u32 below(__u32 hash, __u32 n)
{
	return (__u64)hash * n >> 32;
}

static __always_inline __u32 mix(__u32 hash)
{
	return (hash ^ hash >> 16) * 0x9e3779b1u;
}

static __always_inline bool pick_from(struct sk_reuseport_md *ctx, __u32 core, __u32 hash)
{
	struct core_worker *from = bpf_map_lookup_elem(&core_worker, &core);
	__u32 n, i, slot;

	if (!from)
		return false;
	n = from->n; /* userspace may be writing: whatever we read, stay inside */
	if (n == 0 || n > SHIELD_WORKERS_MAX)
		return false;
	for (int try = 0; try < TRIES; try++) {
		i = below(hash, n);
		barrier_var(i); /* the compiler knows that i < n and drops the mask; 6.1 does not */
		i &= SHIELD_WORKERS_MAX - 1;
		slot = group * SHIELD_WORKERS_MAX + from->worker[i];
		if (bpf_sk_select_reuseport(ctx, &listener, &slot, 0) == 0)
			return true;
		hash = mix(hash + 1);
	}
	return false;
}

static __always_inline __u32 wanted_core(const struct sk_reuseport_md *ctx)
{
	const struct shield_policy *now;
	__u32 zero = 0, nth;
	const __u32 *core;

	now = bpf_map_lookup_elem(&policy, &zero);
	if (now && now->steer == SHIELD_STEER_BY_CPU)
		return bpf_get_smp_processor_id();
	nth = now ? below(ctx->hash, now->cores) : 0;
	core = bpf_map_lookup_elem(&core_nth, &nth);
	return core ? *core : 0;
}

/* Also asked for a connection that waits at a listener which is being closed: a successor's listener
 * stands in the slot by then. Its worker closes it on its own core, so "this CPU" is
 * still the flow's. */
SEC("sk_reuseport/migrate")
int sluice_reuseport(struct sk_reuseport_md *ctx)
{
	struct pick_count *count;
	__u32 hash = mix(ctx->hash);
	__u32 zero = 0;

	count = bpf_map_lookup_elem(&pick_count, &zero);
	if (!count)
		return SK_PASS;
	if (ctx->migrating_sk)
		count->migrated++;
	if (pick_from(ctx, wanted_core(ctx), hash))
		count->by_core++;
	else if (pick_from(ctx, cpus, hash))
		count->elsewhere++;
	else
		count->by_kernel++;
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
