/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_cookie.h - our own SYN cookie: what a SYN said, carried by whoever sent it.
 *
 *   SYN ─► answer: ISN, TSval ─► (nothing is kept here) ─► ACK: the same, as ack - 1 and TSecr
 *
 * With timestamps, which nearly everybody but Windows sends, the whole of the TSval is ours:
 *
 *     TSval   clock:10 | mss:16 | ecn:1 | sack:1 | wscale:4      exact, nothing rounded
 *     ISN     window's parity:1 | MAC:31
 *
 * Later TSvals of the connection go on from there: the kernel is told the offset. Without:
 *
 *     ISN     window's parity:1 | mss class:3, sack:1, wscale:4 | MAC:23
 *
 * The MAC is SipHash-2-4 over addresses, ports, the client's ISN, the window and that data, under
 * the window's key. A forger needs 2^23 packets for one connection, and then hears none of
 * what we say on it. */
#ifndef SLUICE_BPF_SHIELD_COOKIE_H
#define SLUICE_BPF_SHIELD_COOKIE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"
#include "tcp.h"

#define WSCALE_NONE 15
#define WSCALE_MAX  14
#define MSS_MIN_V4  536 /* the kernel takes no request socket with less */
#define MSS_MIN_V6  1220

/* ---- the MAC ------------------------------------------------------------------ */

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotl(__u64 x, int by)
{
	return x << by | x >> (64 - by);
}

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 m)
{
	s->v3 ^= m;
	sip_round(s);
	sip_round(s);
	s->v0 ^= m;
}

/* A message of 23 bytes for IPv4 and 47 for IPv6, so that its length rides in the last word.
 * `form`: 1 if `data` is a TSval, 0 if it is the ISN's. */
static __always_inline __u32 cookie_mac(const struct cookie_flow *f, __u64 window, __u32 data,
					__u32 form)
{
	const struct cookie_keys *keys;
	__u32 zero = 0;
	struct sip s;
	__u64 k0, k1, last;

	keys = bpf_map_lookup_elem(&cookie_key, &zero);
	if (!keys)
		return 0;
	k0 = keys->at[window % COOKIE_KEYS].key[0];
	k1 = keys->at[window % COOKIE_KEYS].key[1];
	s.v0 = k0 ^ 0x736f6d6570736575ull;
	s.v1 = k1 ^ 0x646f72616e646f6dull;
	s.v2 = k0 ^ 0x6c7967656e657261ull;
	s.v3 = k1 ^ 0x7465646279746573ull;
	last = (window & 0x7fffff) << 1 | (form & 1) | (__u64)data << 24;
	if (f->family == 4) {
		sip_word(&s, f->src.word[0] | (__u64)f->dst.word[0] << 32);
		last |= 23ull << 56;
	} else {
		sip_word(&s, f->src.half[0]);
		sip_word(&s, f->src.half[1]);
		sip_word(&s, f->dst.half[0]);
		sip_word(&s, f->dst.half[1]);
		last |= 47ull << 56;
	}
	sip_word(&s, f->ports | (__u64)f->isn << 32);
	sip_word(&s, last);
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return (__u32)(s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}

/* ---- terms ⇄ data ----------------------------------------------------------------- */

/* Of clients without timestamps: what links and stacks do use. The greatest that is not
 * more than theirs is taken. Not static: clang leaves no BTF offset for those. */
const __u16 mss_class_v4[8] = {536, 1200, 1300, 1360, 1400, 1440, 1452, 1460};
const __u16 mss_class_v6[8] = {1220, 1280, 1340, 1360, 1380, 1400, 1432, 1440};

static __always_inline __u32 class_mss(__u32 family, __u32 class)
{
	return family == 4 ? mss_class_v4[class & 7] : mss_class_v6[class & 7];
}

static __always_inline __u32 class_of_mss(__u32 family, __u32 mss)
{
	__u32 class = 0;

#pragma unroll
	for (__u32 i = 1; i < 8; i++)
		if (class_mss(family, i) <= mss)
			class = i;
	return class;
}

static __always_inline __u32 terms_in_tsval(const struct cookie_terms *t, __u64 now)
{
	return (__u32)(now >> 20 & 0x3ff) << 22 | t->mss << 6 | t->ecn << 5 | t->sack << 4 |
	       t->wscale;
}

static __always_inline __u32 terms_in_isn(const struct cookie_terms *t, __u32 family)
{
	return class_of_mss(family, t->mss) << 5 | t->sack << 4 | t->wscale;
}

static __always_inline void terms_of(struct cookie_terms *t, __u32 family, __u32 data, __u32 form)
{
	t->wscale = data & 15;
	t->sack = data >> 4 & 1;
	t->ecn = form ? data >> 5 & 1 : 0;
	t->mss = form ? data >> 6 & 0xffff : class_mss(family, data >> 5);
	t->timestamps = form;
}

/* ---- give and take ------------------------------------------------------------------ */

/* Returns our ISN; *tsval is what to send with it, if the terms have timestamps. */
static __always_inline __u32 cookie_make(const struct cookie_flow *f, const struct cookie_terms *t,
					 __u64 now, __u32 *tsval)
{
	__u64 window = now >> COOKIE_WINDOW_SHIFT;
	__u32 parity = (__u32)(window & 1) << 31;
	__u32 data;

	if (t->timestamps) {
		data = terms_in_tsval(t, now);
		*tsval = data;
		return parity | (cookie_mac(f, window, data, 1) & 0x7fffffff);
	}
	data = terms_in_isn(t, f->family);
	return parity | data << 23 | (cookie_mac(f, window, data, 0) & 0x7fffff);
}

/* Is `ours` an ISN that we gave to this flow, in this window or the one before? */
static __always_inline bool cookie_check(const struct cookie_flow *f, __u32 ours,
					 const struct tcp_options *o, __u64 now,
					 struct cookie_terms *out)
{
	__u64 window = now >> COOKIE_WINDOW_SHIFT;
	__u32 mask, data;

	if ((window & 1) != ours >> 31)
		window--;
	mask = o->timestamps ? 0x7fffffff : 0x7fffff;
	data = o->timestamps ? o->tsecr : ours >> 23 & 0xff;
	if ((cookie_mac(f, window, data, o->timestamps) ^ ours) & mask)
		return false;
	terms_of(out, f->family, data, o->timestamps);
	return true;
}

/* Can there be any that has not expired? */
static __always_inline bool cookies_are_out(__u64 now)
{
	const struct cookie_last *last;
	__u32 zero = 0;

	last = bpf_map_lookup_elem(&cookie_last, &zero);
	/* signed: another core's clock may be a tick ahead of this packet's */
	return last && last->ns && (__s64)(now - last->ns) < 2ll << COOKIE_WINDOW_SHIFT;
}

static __always_inline struct syn_state *syn_state_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&syn_state, &zero);
}

#endif
