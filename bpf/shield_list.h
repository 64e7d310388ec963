/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_list.h - rules 2 and 3: is the source on the allow list, on the deny list?
 *
 *   any entry of its family? ─► bit of its /24 ─► dir[first 16 bits] ─► nodes ─► entry
 *            │                       │                                             │ expired
 *            └───────────────────────┴─► no                                parent ◄┘
 *
 * Nearly every stranger ends at the bitmap: one cache line of two megabytes. What is behind
 * depends on the number of prefixes around an address only as far as memory is slow: three
 * steps for IPv4, one for each byte that matters for IPv6. No trie of the kernel's, which
 * takes a step for every bit that differs.
 *
 * Longer prefixes win, and each entry knows the one around it: an entry that has expired is
 * no entry from that moment on, and the one around it decides. Userspace sweeps the dead out
 * when it comes round.
 *
 * Hits are added atomically to the entry itself, where people look for them. A flood from one
 * prefix makes all cores share that one cache line. */
#ifndef SLUICE_BPF_SHIELD_LIST_H
#define SLUICE_BPF_SHIELD_LIST_H

#include "maps.h"
#include "parse.h"

/* the longest way: 14 bytes of an IPv6 address behind the directory */
#define LIST_STEPS_MAX 16

static __always_inline __u32 ones(__u64 w)
{
	w -= w >> 1 & 0x5555555555555555;
	w = (w & 0x3333333333333333) + (w >> 2 & 0x3333333333333333);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return w * 0x0101010101010101 >> 56;
}

/* The ref that the node in block `at` has for a byte. A function of its own, so that the verifier
 * walks it once and not for every step and byte: it finds the heap again. */
__noinline int list_node(__u32 slot, __u32 at, __u32 byte)
{
	void *heap = bpf_map_lookup_elem(&list_heap, &slot);
	const struct list_block *b;
	__u32 word = byte >> 6 & 3;
	__u64 nth;

	if (!heap)
		return 0;
	b = bpf_map_lookup_elem(heap, &at);
	if (!b)
		return 0;
	nth = (b->w[0] >> word * 8 & 0xff) + ones(b->w[1 + word] & ~0ull >> (63 - (byte & 63))) - 1;
	/* what is compared must be what is added, or no verifier before 6.18 sees the bound */
	barrier_var(nth);
	if (nth < LIST_NODE_REFS)
		return ((const __u32 *)b)[10 + nth];
	nth -= LIST_NODE_REFS;
	barrier_var(nth);
	at += 1 + (nth >> 4);
	b = bpf_map_lookup_elem(heap, &at);
	return b ? ((const __u32 *)b)[nth & 15] : 0;
}

/* The number of the innermost entry that lives, its hit added, or 0; a function of its own, so that the verifier
 * walks its loops once and not for every rule and family. The address is in host order, from
 * the highest bit of `hi` on. */
__noinline int list_find(__u32 slot, __u32 family, __u64 hi, __u64 lo, __u32 asked)
{
	__u32 at = family + LIST_BITMAP_BLOCKS + (hi >> 52), ref;
	struct list_entry *entry;
	struct list_block *b;
	void *heap, *entries;

	heap = bpf_map_lookup_elem(&list_heap, &slot);
	entries = bpf_map_lookup_elem(&list_entry, &slot);
	if (!heap || !entries)
		return 0;
	b = bpf_map_lookup_elem(heap, &at);
	if (!b)
		return 0;
	ref = ((const __u32 *)b)[hi >> 48 & 15];
	hi = hi << 16 | lo >> 48;
	lo <<= 16;

	for (int i = 0; i < LIST_STEPS_MAX && (ref & LIST_REF_KIND); i++) {
		__u32 place = ref & LIST_REF_PLACE;

		at = place >> 2;
		if (ref & LIST_REF_SKIP) {
			__u64 bytes, next;
			__u32 n;

			b = bpf_map_lookup_elem(heap, &at);
			if (!b)
				return 0;
			bytes = b->w[(place & 3) * 2];
			next = b->w[(place & 3) * 2 + 1];
			n = (bytes & 7) * 8;
			if ((bytes ^ hi) >> ((64 - n) & 63)) {
				ref = next >> 32;
				break;
			}
			ref = next;
			hi = hi << n | lo >> ((64 - n) & 63);
			lo <<= n;
			continue;
		}
		ref = list_node(slot, at, hi >> 56);
		hi = hi << 8 | lo >> 56;
		lo <<= 8;
	}

	for (int i = 0; i < LIST_NESTED_MAX && ref && !(ref & LIST_REF_KIND); i++) {
		entry = bpf_map_lookup_elem(entries, &ref);
		if (!entry)
			return 0;
		if (!entry->expires_ns || entry->expires_ns > bpf_ktime_get_coarse_ns()) {
			if (!asked)
				__sync_fetch_and_add(&entry->hits, 1);
			return ref;
		}
		ref = entry->parent;
	}
	return 0;
}

static __always_inline bool shield_lists(enum shield_list_id id, struct packet *p)
{
	__u32 list = id, family = 0, at, bank, slot, entry;
	const struct shield_list *now;
	const struct list_block *b;
	__u64 hi, lo = 0;
	void *heap;

	now = bpf_map_lookup_elem(&lists, &list);
	if (!now)
		return false;
	bank = now->bank & 1;
	if (!(p->family == 4 ? now->n[bank].v4 : now->n[bank].v6))
		return false;
	if (p->family == 4) {
		hi = (__u64)bpf_ntohl(p->src.word[0]) << 32;
	} else {
		hi = bpf_be64_to_cpu(p->src.half[0]);
		lo = bpf_be64_to_cpu(p->src.half[1]);
		family = LIST_FAMILY_BLOCKS;
	}
	slot = id * 2 + bank;
	heap = bpf_map_lookup_elem(&list_heap, &slot);
	if (!heap)
		return false;
	at = family + (hi >> 49);
	b = bpf_map_lookup_elem(heap, &at);
	if (!b || !(b->w[hi >> 46 & 7] >> (hi >> 40 & 63) & 1))
		return false;
	entry = list_find(slot, family, hi, lo, p->asked);
	if (entry)
		p->entry = entry + 1;
	return entry != 0;
}

#endif
