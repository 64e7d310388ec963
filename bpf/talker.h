/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* talker.h - who sends the most: `sluicectl talker show`.
 *
 *   one packet in 32 ─► source ─► four rows of counters, the least of its four is what it sent at most
 *                                     └► more than the least of four in the list? then in his place
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

/* How many packets until the next one is heard: at random, because senders have a rhythm, too. */
static __always_inline __u32 talker_skips(void)
{
	return bpf_get_prandom_u32() % (2 * TALKER_ONE_IN - 1);
}

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

static __always_inline bool talker_is(const struct shield_talker *t, __u32 window, __u64 source)
{
	return t->window == window && *(const __u64 *)t->addr == source;
}

/* Where the source stands, from `at` on; else the place of whoever says least, which may be
 * nobody of this window. */
static __always_inline struct shield_talker *talker_place(__u32 at, __u32 window, __u64 source)
{
	struct shield_talker *t, *least = NULL;
	__u32 n, packets = ~0u;

	for (int i = 0; i < TALKER_WAYS; i++, at++) {
		t = bpf_map_lookup_elem(&talker, &at);
		if (!t || talker_is(t, window, source))
			return t;
		n = t->window == window ? t->packets : 0;
		if (n < packets) {
			packets = n;
			least = t;
		}
	}
	return least;
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
	at = (window & 1) * TALKERS + (h >> 52) % (TALKERS / TALKER_WAYS) * TALKER_WAYS;
	t = talker_place(at, window, source);
	if (!t)
		return 0;
	if (!talker_is(t, window, source)) {
		if (t->window == window && t->packets >= most)
			return 0;
		*(__u64 *)t->addr = source;
		t->window = window;
		t->dropped = 0;
	}
	t->packets = most;
	t->dropped += dropped;
	return 0;
}

#endif
