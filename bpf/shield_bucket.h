/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_bucket.h - rule 4: no source and no net sends more than its rate class allows.
 *
 *   source (/32, /64) ─hash─► cell ─┐ both within their limits ─► pass, and both are charged
 *   net    (/24, /48) ─hash─► cell ─┘ one is not ─► validated? its own buckets ─► pass or drop
 *
 * The cells are fixed, each core has its own, and strangers share them: a flood from forged sources
 * can fill cells, but not memory. Whoever falls because somebody else has filled his cell
 * appeals, if he is known to be real: his entry in `validated` holds buckets that nobody shares.
 * Only there is the LRU looked at, so a source that was never over its limit costs two cells.
 *
 * A bucket is one time: when it will be full again. Each token moves that by the time between
 * two, and the bucket is empty when it lies a whole burst ahead. Who is refused is not charged, so
 * that a limit is a rate and no penalty. The clock is the coarse one, a tick is no more than 10 ms.
 *
 * Limits hold per core: cores that compared notes for each packet would spend more on that than
 * on the packet. Collateral is bounded by arithmetic: a flood of forged sources spreads over all
 * cells, so nobody else is touched before it exceeds limit times cells. */
#ifndef SLUICE_BPF_SHIELD_BUCKET_H
#define SLUICE_BPF_SHIELD_BUCKET_H

#include "maps.h"
#include "parse.h"

/* Set by the daemon: as many as the map has of each kind, and what the hash is keyed by. */
const volatile __u32 cells = SHIELD_CELLS;
const volatile __u64 cell_seed = 0;

/* A source as an IPv6 /64, an IPv4 address in the low half of it: ::/32 is nobody's. In a register,
 * bytes in network order: building it in memory byte by byte stalls what reads it as a word. */
static __always_inline __u64 host_of(const struct packet *p)
{
	return p->family == 4 ? bpf_cpu_to_be64(bpf_ntohl(p->src.word[0])) : p->src.half[0];
}

static __always_inline __u64 net_of(const struct packet *p)
{
	__u64 host = host_of(p);

	return p->family == 4 ? host & bpf_cpu_to_be64(~0xffull) :
				host & bpf_cpu_to_be64(~0xffffull);
}

/* Multiply and fold, keyed, so that nobody can choose his neighbours. Each class of each bank has cells of
 * its own: times ahead mean nothing under another class's burst. */
static __always_inline struct shield_cell *cell_of(const struct packet *p, __u64 source,
						   enum shield_source_kind kind)
{
	__u32 class = p->bank * SHIELD_RATES_MAX + p->rate;
	__u64 h = (source ^ cell_seed) * 0x9e3779b97f4a7c15ull;
	struct shield_cells *page;
	__u32 at, nth;

	h = ((h ^ h >> 32) + class) * 0xbf58476d1ce4e5b9ull;
	at = h >> 32 & (cells - 1);
	if (kind == SOURCE_NET)
		at += cells;
	nth = at / CELLS_PER_PAGE;
	page = bpf_map_lookup_elem(&cell, &nth);
	return page ? &page->at[at % CELLS_PER_PAGE] : NULL;
}

/* All ones if a < b, which are both less than 2^63. Without a branch: each would double what the verifier has to
 * walk. */
static __always_inline __u64 less(__u64 a, __u64 b)
{
	return (__u64)((__s64)(a - b) >> 63);
}

static __always_inline __u32 tick(const struct shield_limit *l, __u64 now)
{
	return (__u32)(now >> (l->shift & 63));
}

/* By how much of the bucket's depth it will be full later than now; what lies further ahead than
 * anybody is ever charged is a time of long ago. */
static __always_inline __u64 ahead_of(const struct shield_limit *l, __u32 full, __u64 now)
{
	__u64 ahead = (__u32)(full - tick(l, now));

	return ahead & ~less((__u64)l->ahead + l->step, ahead);
}

/* 1: nothing left. */
static __always_inline __u64 is_empty(const struct shield_limit *l, __u32 full, __u64 now)
{
	return (less(l->ahead, ahead_of(l, full, now)) & 1) | l->never;
}

/* An empty bucket is not charged. */
static __always_inline void take(const struct shield_limit *l, __u32 *full, __u64 now)
{
	__u64 ahead = ahead_of(l, *full, now);

	*full = tick(l, now) + (__u32)ahead + (l->step & ~(__u32)less(l->ahead, ahead));
}

/* The limits that have nothing left: bit 0 to 5, in the order of their reasons. */
static __always_inline __u64 cells_refuse(const struct shield_rate *r,
					  const struct shield_cell *host,
					  const struct shield_cell *net, bool begins, __u64 now)
{
	__u64 why = is_empty(&r->packets, host->packets, now) |
		    is_empty(&r->net_packets, net->packets, now) << 3;

	if (begins)
		why |= is_empty(&r->syns, host->syns, now) << 1 |
		       is_empty(&r->connections, host->connections, now) << 2 |
		       is_empty(&r->net_syns, net->syns, now) << 4 |
		       is_empty(&r->net_connections, net->connections, now) << 5;
	return why;
}

static __always_inline void cells_charge(const struct shield_rate *r, struct shield_cell *host,
					 struct shield_cell *net, bool begins, __u64 now)
{
	take(&r->packets, &host->packets, now);
	take(&r->net_packets, &net->packets, now);
	if (!begins)
		return;
	take(&r->syns, &host->syns, now);
	take(&r->net_syns, &net->syns, now);
}

/* What another policy's class has charged to the buckets is no time in this one's ticks: they begin anew. Also
 * for somebody who only asks, since nobody can tell whether it was done now or by the next packet. */
static __always_inline struct shield_validated *validated_find(const struct packet *p,
							       const struct shield_rate *r,
							       __u64 source,
							       enum shield_source_kind kind)
{
	struct shield_source s = {.kind = kind, .class = p->rate};
	struct shield_validated *v;

	__builtin_memcpy(s.addr, &source, sizeof(s.addr));
	v = bpf_map_lookup_elem(&validated, &s);
	if (v && v->units != r->units) {
		__builtin_memset(&v->buckets, 0, sizeof(v->buckets));
		v->units = r->units;
	}
	return v;
}

/* The source is real: what it sent could only come from somebody who hears what is sent there.
 * The one place where a packet makes an entry. */
static __always_inline void validated_make(const struct packet *p, const struct shield_rate *r,
					   __u64 source, enum shield_source_kind kind, __u64 now)
{
	struct shield_source s = {.kind = kind, .class = p->rate};
	struct shield_validated fresh = {.since_s = (__u32)(now / 1000000000), .units = r->units};
	struct appeal_count *count;
	__u32 zero = 0;

	__builtin_memcpy(s.addr, &source, sizeof(s.addr));
	if (bpf_map_update_elem(&validated, &s, &fresh, BPF_NOEXIST))
		return; /* another core was faster, or memory is short */
	count = bpf_map_lookup_elem(&appeal_count, &zero);
	if (count)
		count->validated++;
}

/* One SYN more in this second, of so many? Beyond them it goes on counting. */
static __always_inline bool synack_take(struct shield_cell *c, __u32 limit, const struct packet *p,
					__u64 now)
{
	__u32 second = (__u32)(now >> 30) & (~0u / (SYNACKS_MAX + 1)), n = 0;

	if (c->synacks / (SYNACKS_MAX + 1) == second)
		n = c->synacks & SYNACKS_MAX;
	if (!p->asked && n < SYNACKS_MAX)
		c->synacks = second * (SYNACKS_MAX + 1) + n + 1;
	return n < limit;
}

static __always_inline const struct shield_rate *rate_of(const struct packet *p)
{
	__u32 class = p->bank * SHIELD_RATES_MAX + p->rate;

	return bpf_map_lookup_elem(&rates, &class);
}

/* This source, or net, is real, and `connection`: has one more. */
static __always_inline void validate_one(const struct packet *p, const struct shield_rate *r,
					 __u64 source, enum shield_source_kind kind,
					 const struct shield_limit *l, bool connection, __u64 now)
{
	struct shield_validated *v = validated_find(p, r, source, kind);
	struct shield_cell *c;

	if (!v)
		validated_make(p, r, source, kind, now);
	if (!connection)
		return;
	if (v)
		take(l, &v->buckets.connections, now);
	c = cell_of(p, source, kind);
	if (c)
		take(l, &c->connections, now);
}

/* For rules 5 and 6: this packet proves its source, by a cookie or an established socket.
 * `connection`: it begins one, which is charged. */
__noinline int shield_validate(const struct packet *p, bool connection)
{
	const struct shield_rate *r;
	__u64 now;

	if (!p || p->asked)
		return 0;
	r = rate_of(p);
	if (!r)
		return 0;
	now = p->now;
	validate_one(p, r, host_of(p), SOURCE_HOST, &r->connections, connection, now);
	validate_one(p, r, net_of(p), SOURCE_NET, &r->net_connections, connection, now);
	return 0;
}

/* Somebody has filled the cell. If the source is known to be real, its own buckets decide: rule 4's, or the
 * SYN-ACKs of rule 6 if `synacks` is not 0, which is how many its net may have. A function of its own, so that the
 * verifier walks it once for both rules. Returns 1 or 0. */
__noinline int shield_appeal(const struct packet *p, bool begins, __u32 synacks, __u64 now)
{
	struct shield_validated *host, *net;
	const struct shield_rate *r;
	struct appeal_count *count;
	__u32 zero = 0;
	bool good;

	if (!p)
		return 0;
	r = rate_of(p);
	count = bpf_map_lookup_elem(&appeal_count, &zero);
	if (!r || !count)
		return 0;
	host = validated_find(p, r, host_of(p), SOURCE_HOST);
	if (!host) {
		count->strangers += !p->asked;
		return 0;
	}
	net = validated_find(p, r, net_of(p), SOURCE_NET);
	if (!net && !p->asked) { /* evicted; the source is real, and so is its net */
		validated_make(p, r, net_of(p), SOURCE_NET, now);
		net = validated_find(p, r, net_of(p), SOURCE_NET);
	}
	if (!net)
		return 0;
	if (synacks)
		good = synack_take(&host->buckets, synacks / SYNACK_HOST_SHARE + 1, p, now) &&
		       synack_take(&net->buckets, synacks, p, now);
	else
		good = !cells_refuse(r, &host->buckets, &net->buckets, begins, now);
	if (p->asked)
		return good;
	count->granted += good;
	count->refused += !good;
	if (good && !synacks)
		cells_charge(r, &host->buckets, &net->buckets, begins, now);
	return good;
}

/* Some limit has nothing left, and the appeal is lost: an enum drop_reason. A function of its own, as the appeal
 * is: few packets come here, and a call costs ten nanoseconds where returns are guarded. Neither calls
 * the other: a whole chain of calls has 512 bytes of stack. */
__noinline int shield_refused(const struct packet *p, __u64 why, __u64 now)
{
	struct shield_cell *host;

	if (!p)
		return DROP_NONE;
	host = cell_of(p, host_of(p), SOURCE_HOST);
	if (host && !p->asked)
		host->refused = (__u32)(now >> 30);
	for (int i = 0; i < 6; i++)
		if (why >> i & 1)
			return DROP_RATE_PACKETS + i;
	return DROP_NONE;
}

static __always_inline enum drop_reason shield_bucket(const struct packet *p)
{
	const struct shield_rate *r = rate_of(p);
	struct shield_cell *host, *net;
	__u64 now, why;
	bool begins;

	host = cell_of(p, host_of(p), SOURCE_HOST);
	net = cell_of(p, net_of(p), SOURCE_NET);
	if (!r || !host || !net)
		return DROP_NONE;
	now = p->now;
	begins = p->proto == L4_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	why = cells_refuse(r, host, net, begins, now);
	if (why)
		return shield_appeal(p, begins, 0, now) ? DROP_NONE : shield_refused(p, why, now);
	if (!p->asked)
		cells_charge(r, host, net, begins, now);
	return DROP_NONE;
}

_Static_assert(DROP_NET_CONNECTIONS == DROP_RATE_PACKETS + 5, "reasons in the order of the bits");

#endif
