/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_protect.h - is this packet ours to judge at all?
 *
 *   port ─► class (one byte) ─► any address? ─► else the class's prefixes
 *
 * Foreign traffic ends at the first arrow. What shows no port is looked up under
 * port 0, the union over all ports of its protocol; what shows no address either is ours
 * as soon as anything is. */
#ifndef SLUICE_BPF_SHIELD_PROTECT_H
#define SLUICE_BPF_SHIELD_PROTECT_H

#include "maps.h"
#include "parse.h"

/* 0: the prefix holds the address. Of one piece and without a branch: each branch in a loop over
 * prefixes is a path more that the verifier walks behind it. */
static __always_inline __u64 prefix_misses(const struct protect_prefix *at, const union addr *of,
					   __u8 family)
{
	union addr addr, mask;
	__u64 misses;

	__builtin_memcpy(&addr, at->addr, sizeof(addr));
	__builtin_memcpy(&mask, at->mask, sizeof(mask));
	misses = ((of->half[0] ^ addr.half[0]) & mask.half[0]) |
		 ((of->half[1] ^ addr.half[1]) & mask.half[1]) | (at->family ^ family);
	barrier_var(misses); /* or clang branches after all */
	return misses;
}

static __always_inline __u32 class_of(const struct packet *p, __u32 bank)
{
	const struct port_class *port;
	__u32 key = bank * 2 + (p->proto == L4_UDP);

	if (p->proto == L4_ANY)
		return CLASS_UNION;
	if (p->ports && p->dst_port == 0)
		return CLASS_NONE; /* a real port 0, which nobody can listen to */
	port = bpf_map_lookup_elem(&port_class, &key);
	return port ? port->of[p->dst_port & 0xffff] : CLASS_NONE;
}

/* The bank that this packet is judged by. */
static __always_inline __u32 shield_bank(void)
{
	const struct shield_policy *now;
	__u32 zero = 0, bank;

	now = bpf_map_lookup_elem(&policy, &zero);
	if (!now)
		return 0;
	bank = now->bank & 1;
	if (now->trial_ends_ns && now->trial_ends_ns <= bpf_ktime_get_coarse_ns())
		bank ^= 1;
	return bank;
}

static __always_inline bool shield_protects(struct packet *p, __u32 bank)
{
	const struct protect_class *class;
	const struct protect_addr *addr;
	__u32 key;
	__u64 left;

	key = class_of(p, bank);
	if (key == CLASS_NONE)
		return false;
	key += bank * CLASSES_MAX;
	class = bpf_map_lookup_elem(&protect_class, &key);
	if (!class)
		return false;
	p->rate = class->rate & (SHIELD_RATES_MAX - 1);
	if (!p->family)
		return class->any_v4 | class->any_v6 | (class->prefixes != 0);
	if (p->family == 4 ? class->any_v4 : class->any_v6)
		return true;

	addr = bpf_map_lookup_elem(&protect_addr, &bank);
	if (!addr)
		return false;
	left = class->prefixes;
	for (int i = 0; i < SHIELD_PROTECT_MAX && left; i++, left >>= 1)
		if (!(prefix_misses(&addr->at[i], &p->dst, p->family) | (~left & 1)))
			return true;
	return false;
}

#endif
