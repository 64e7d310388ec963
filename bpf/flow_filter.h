/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* flow_filter.h - who surely has no connection, without asking the kernel for one.
 *
 *   nobody's packets flood ─► keeper: empties the filter ─► XDP adds whoever begins or is found
 *                                      └► adds every socket that there is ─► in force
 *
 *   in force:   not in the filter ─► no connection       in it ─► the kernel is asked, as ever
 *
 * The kernel's table of connections is as large as memory allows, and a flood from forged sources waits for
 * a line of it with each packet: two thirds of what such a packet costs. This is a Bloom
 * filter with two bits for each connection in one word, no larger than the connections need, so that a core's
 * second-level cache holds it: 256 KiB cost 25 ns less than 1 MiB. It never says of a connection that it is not
 * there, because it is complete before it is believed:
 *
 *   - while it is filled, every SYN that passes and every packet whose connection is found adds it; and
 *     so it goes on while it is in force
 *   - what is older is in the kernel's list, which the keeper reads after that has begun
 *   - a policy under which packets passed unjudged makes it worthless: it holds for one bank only, and
 *     the keeper drops it before any change
 *
 * What could still be missing came in by another interface than ours with its first SYN, or changed its place in
 * the list while that was read. So the keeper reads it again every ten seconds, or as often as it can in a
 * hundredth of its time.
 *
 * Who forges can add bits by SYNs that pass, and makes the filter useless in the end, as if it were not
 * there; the keeper then fills it anew. The seeds are drawn each time, so that nobody knows what shares
 * a word with what. In peace it costs one look at a word that is always 0. */
#ifndef SLUICE_BPF_FLOW_FILTER_H
#define SLUICE_BPF_FLOW_FILTER_H

#include "abi.h"

#define FLOW_MUL_A 0x9e3779b97f4a7c15ull
#define FLOW_MUL_B 0xbf58476d1ce4e5b9ull

/* Addresses as they lie in a header, ports in host byte order: theirs in the high half, ours in the low one. */
static inline __u64 flow_hash_v4(const struct flow_filter *f, __u32 src, __u32 dst, __u32 ports)
{
	__u64 h = (((__u64)dst << 32 | src) ^ f->seed[0]) * FLOW_MUL_A;

	h = (h ^ h >> 32 ^ ports ^ f->seed[1]) * FLOW_MUL_B;
	return h ^ h >> 29;
}

static inline __u64 flow_hash_v6(const struct flow_filter *f, const __u64 src[2],
				 const __u64 dst[2], __u32 ports)
{
	__u64 h = (src[0] ^ f->seed[0]) * FLOW_MUL_A;

	h = (h ^ h >> 32 ^ src[1]) * FLOW_MUL_B;
	h = (h ^ h >> 32 ^ dst[0]) * FLOW_MUL_A;
	h = (h ^ h >> 32 ^ dst[1]) * FLOW_MUL_B;
	h = (h ^ h >> 32 ^ ports ^ f->seed[1]) * FLOW_MUL_A;
	return h ^ h >> 29;
}

static inline __u32 flow_word(const struct flow_filter *f, __u64 hash)
{
	return hash >> ((64 - f->shift) & 63);
}

static inline __u64 flow_mask(__u64 hash)
{
	return 1ull << (hash & 63) | 1ull << (hash >> 6 & 63);
}

#endif
