/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_list.h - rules 2 and 3: is the source on the allow list, on the deny list?
 *
 *   any entry of its family? ─► bit of its /22 ─► dir[first 16 bits] ─► nodes ─► entry
 *            │                       │                                             │ not around it, or expired
 *            └───────────────────────┴─► no                                parent ◄┘
 *
 * Nearly every stranger ends at the bit: one cache line of half a megabyte (a word for each /16), and no
 * call on the way to it. What is behind depends on the number of prefixes around an address only as far as
 * memory is slow: of a million hosts and nets, most are two lines further (the refs of the /16 in full,
 * the entry). Where one entry alone lies below, its number stands in place of a node, so what is found
 * may not hold the address: the entry is asked. No trie of the kernel's, which takes a step for every bit
 * that differs.
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

/* Asks memory for a line, and waits for nothing: the core goes on while it comes. */
static __always_inline void list_ask(const void *line)
{
	__u64 unused;

	asm volatile("%[x] = *(u64 *)(%[p] + 0)" : [x] "=r"(unused) : [p] "r"(line));
}

/* What is told of the entries of a /16 lies together in the order of addresses, so that it can be guessed where that
 * of this one is: it comes at the same time as the node that says so, and not after it. `first`: of
 * this /16 and of the next. A function of its own, as the next one. */
#define LIST_GUESS_OFF 2 /* entries: how far it may well be from there */
__noinline int list_ask_ahead(__u32 slot, __u32 first, __u32 next, __u32 rest)
{
	void *pages = bpf_map_lookup_elem(&list_hot, &slot);
	__u32 n = next > first && next - first < 65536 ? next - first : LIST_HOTS, at;

	at = first + (n * (rest & 0xffff) >> 16) - LIST_GUESS_OFF;
	for (int i = 0; pages && i < 2; i++, at += 2 * LIST_GUESS_OFF) {
		__u32 page = at / LIST_HOTS;
		const struct list_hots *hots = bpf_map_lookup_elem(pages, &page);

		if (hots)
			list_ask(&hots->at[at % LIST_HOTS]);
	}
	return 0;
}

/* The ref that the node at `place` has for a byte. A function of its own, so that the verifier
 * walks it once and not for every step and byte: it finds the heap again. */
__noinline int list_node(__u32 slot, __u32 place, __u32 byte)
{
	void *heap = bpf_map_lookup_elem(&list_heap, &slot);
	__u32 word = byte >> 6 & 3, at = place >> 2, second;
	const struct list_block *b;
	__u64 nth;

	if (!heap)
		return 0;
	if (place & LIST_FULL) {
		at += byte >> 4 & 15;
		b = bpf_map_lookup_elem(heap, &at);
		return b ? ((const __u32 *)b)[byte & 15] : 0;
	}
	second = at + 1;
	b = bpf_map_lookup_elem(heap, &second);
	if (b)
		list_ask(b); /* most of its refs lie there, if it has one */
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

/* Behind a directory's ref: the number of the innermost entry that can hold the address. It is in host
 * order, from the highest bit of `hi` on. */
__noinline int list_walk(__u32 slot, __u32 ref, __u64 hi, __u64 lo)
{
	hi = hi << 16 | lo >> 48;
	lo <<= 16;
	for (int i = 0; i < LIST_STEPS_MAX && (ref & LIST_REF_KIND); i++) {
		__u32 place = ref & LIST_REF_PLACE;

		if (ref & LIST_REF_SKIP) {
			void *heap = bpf_map_lookup_elem(&list_heap, &slot);
			__u32 at = place >> 2, n;
			const struct list_block *b;
			__u64 bytes, next;

			if (!heap)
				return 0;
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
		ref = list_node(slot, place, hi >> 56);
		hi = hi << 8 | lo >> 56;
		lo <<= 8;
	}
	return ref & LIST_REF_KIND ? 0 : ref;
}

static __always_inline bool list_entry_holds(const struct list_entry *e, __u64 hi, __u64 lo)
{
	const __u64 *addr = (const __u64 *)e->addr;

	hi ^= bpf_be64_to_cpu(addr[0]);
	lo ^= bpf_be64_to_cpu(addr[1]);
	if (e->len <= 64)
		return !e->len || !(hi >> ((64 - e->len) & 63));
	return !hi && !(lo >> ((128 - e->len) & 63));
}

static __always_inline bool list_hot_holds(const struct list_hot *h, __u64 hi)
{
	__u32 len = h->meta >> LIST_HOT_LEN & 63;

	/* 64 bits, so that a length of 0 shifts all of them out */
	return !((hi >> 32 ^ h->key) >> ((32 - len) & 63));
}

/* The number of the innermost entry around the address that lives, its hit added, or 0. `at` is the
 * innermost that can be. A function of its own, so that the verifier walks its loop once and not for
 * every rule and family. */
__noinline int list_find(__u32 slot, __u32 at, __u64 hi, __u64 lo, __u32 asked)
{
	void *entries = bpf_map_lookup_elem(&list_entry, &slot);
	void *pages = bpf_map_lookup_elem(&list_hot, &slot);

	if (!entries || !pages)
		return 0;
	for (int i = 0; i < LIST_BESIDE_MAX + LIST_NESTED_MAX && at; i++) {
		__u32 page = at / LIST_HOTS;
		struct list_hots *hots = bpf_map_lookup_elem(pages, &page);
		struct list_hot *hot;
		bool holds;

		if (!hots)
			return 0;
		hot = &hots->at[at % LIST_HOTS];
		if (hot->meta & LIST_HOT_COLD) {
			const struct list_entry *entry = bpf_map_lookup_elem(entries, &at);

			holds = entry && list_entry_holds(entry, hi, lo) &&
				(!entry->expires_ns ||
				 entry->expires_ns > bpf_ktime_get_coarse_ns());
		} else {
			holds = list_hot_holds(hot, hi);
		}
		if (holds) {
			if (!asked)
				__sync_fetch_and_add(&hot->hits, 1);
			return at;
		}
		at = hot->meta & LIST_HOT_PARENT;
	}
	return 0;
}

static __always_inline bool shield_lists(enum shield_list_id id, struct packet *p)
{
	__u32 list = id, family = 0, bank, slot, at;
	const struct shield_list *now;
	const struct list_top *top;
	__u64 hi, lo = 0;
	void *tops;

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
		family = 1;
	}
	slot = id * 2 + bank;
	tops = bpf_map_lookup_elem(&list_top, &slot);
	if (!tops)
		return false;
	top = bpf_map_lookup_elem(tops, &family);
	if (!top || !(top->bits[hi >> 48] >> (hi >> 42 & 63) & 1))
		return false;
	at = top->first[hi >> 48];
	if (at)
		list_ask_ahead(slot, at, top->first[(hi >> 48) + 1], hi >> 32);
	at = top->dir[hi >> 48];
	if (at & LIST_REF_KIND)
		at = list_walk(slot, at, hi, lo);
	at = list_find(slot, at, hi, lo, p->asked);
	if (at)
		p->entry = at + 1;
	return at != 0;
}

#endif
