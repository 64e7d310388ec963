/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* talker.h - who sends the most: `sluicectl talker show`.
 *
 *   one packet in 32 ─► source ─► four rows of counters, the least of its four is what it sent at most
 *                                     └► more than whoever holds its place in the list? then it does
 *
 * A count-min sketch and a list of heavy hitters, per core, new every eight and a half seconds; the
 * list before is kept whole. Forged sources cost nothing but their share of the counters' noise:
 * no entry is made, and one packet each never pushes out whoever sends many. */
#ifndef SLUICE_BPF_TALKER_H
#define SLUICE_BPF_TALKER_H

#include "maps.h"
#include "parse.h"
#include "shield_bucket.h"

#define TALKER_COUNT_MAX 0xffffffu

/* One counter of a row: its window above, its count below. What is of an older window is 0. */
static __always_inline __u32 talker_count(__u32 row, __u32 hash, __u32 window)
{
	struct talker_row *r = bpf_map_lookup_elem(&talker_row, &row);
	__u32 *at, n;

	if (!r)
		return 0;
	at = &r->at[hash % TALKER_COLUMNS];
	n = *at >> 24 == (window & 0xff) ? *at & TALKER_COUNT_MAX : 0;
	if (n < TALKER_COUNT_MAX)
		n++;
	*at = window << 24 | n;
	return n;
}

__noinline int talker_hears(const struct packet *p, bool dropped)
{
	struct shield_talker *t;
	__u64 now = bpf_ktime_get_coarse_ns(), source, h;
	__u32 window = now >> TALKER_WINDOW_SHIFT, most = ~0u, at;

	if (!p)
		return 0;
	source = host_of(p);
	h = (source ^ cell_seed) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 32) * 0xbf58476d1ce4e5b9ull;
	for (__u32 row = 0; row < TALKER_ROWS; row++) {
		__u32 n = talker_count(row, h >> (row * 13), window);

		most = n < most ? n : most;
	}
	at = (window & 1) * TALKERS + (h >> 52) % TALKERS;
	t = bpf_map_lookup_elem(&talker, &at);
	if (!t)
		return 0;
	if (t->window != window || (*(__u64 *)t->addr != source && most > t->packets)) {
		*(__u64 *)t->addr = source;
		t->window = window;
		t->dropped = 0;
	}
	if (*(__u64 *)t->addr == source) {
		t->packets = most;
		t->dropped += dropped;
	}
	return 0;
}

#endif
