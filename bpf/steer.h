/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* steer.h - a packet that has passed goes to the core of the worker that will read it.
 *
 *   flow ─► symmetric keyed hash ─► table of cores ─► this one? ─► up the stack, here
 *                                                  └► another ─► cpumap: up the stack, there
 *
 * Only for interfaces whose NIC does not spread flows over enough queues by itself; userspace/shield/steer.c decides
 * which. The table is what a NIC's indirection table is: a core that lost its last worker
 * gives up its slots and takes the very same ones back, and the flows of the others do not move.
 *
 * Hash and table know nothing of connections, so every packet of a flow goes the same way and
 * none overtakes another. The hash is keyed, or whoever chooses his ports could choose our core.
 *
 * A cpumap carries bare frames: what a driver knew of a checksum is forgotten (it is computed again)
 * and what a veth's peer left for a NIC to compute is wrong from then on. */
#ifndef SLUICE_BPF_STEER_H
#define SLUICE_BPF_STEER_H

#include "maps.h"
#include "parse.h"

/* One end of a flow. */
static __always_inline __u64 steer_end(const union addr *addr, __u32 port, __u64 seed)
{
	__u64 h = (addr->half[0] ^ seed) * 0x9e3779b97f4a7c15ull;

	h ^= h >> 32;
	h = (h ^ addr->half[1] ^ port) * 0xbf58476d1ce4e5b9ull;
	return h ^ h >> 29;
}

/* The sum does not care which end is which. */
static __always_inline __u32 steer_slot(const struct packet *p, __u64 seed)
{
	__u64 h = steer_end(&p->src, p->src_port, seed) + steer_end(&p->dst, p->dst_port, seed);

	h = (h ^ h >> 32) * 0x94d049bb133111ebull;
	return h >> 32 & (STEER_SLOTS - 1);
}

/* The verdict on a packet that may pass. What cannot be moved passes where it is. */
static __always_inline int steer(const struct packet *p)
{
	const struct steer_table *to;
	__u32 zero = 0, cpu;

	if (p->proto != L4_TCP || !p->ports)
		return XDP_PASS;
	to = bpf_map_lookup_elem(&steer_to, &zero);
	if (!to || p->iface >= SHIELD_IFACES_MAX || !(to->ifaces >> p->iface & 1))
		return XDP_PASS;
	cpu = to->cpu[steer_slot(p, to->seed)];
	if (cpu == STEER_HERE || cpu == bpf_get_smp_processor_id())
		return XDP_PASS;
	return bpf_redirect_map(&steer_cpu, cpu, XDP_PASS);
}

#endif
