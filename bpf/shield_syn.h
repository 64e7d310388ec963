/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_syn.h - rule 6: who may begin a connection, and who answers him.
 *
 *   SYN ─► within the bound of its /24 or /48? ─► attack, or always? ─► a listener, and no
 *          │ no                            ▲      │ no                  connection yet? ─► our
 *          ▼                               │      └► the kernel's       SYN-ACK, by XDP_TX
 *          validated, and within his own? ─┤
 *                                          └► drop
 *
 * A SYN-ACK goes to whom the SYN names, who may never have sent it: the bound is what makes us
 * a poor mirror for somebody who wants to flood him, and holds whoever answers.
 *
 * Whoever forges a net's addresses uses up its bound. So those of it who have proved to be real have another
 * one, as large and for all cores together, of which each takes an eighth at most: to shut out a real
 * client one has to know his address and forge that very one, and the net still never
 * gets more than one bound on top of what each core gives.
 *
 * Attack is a rate that one core sees. Each decides for itself, in windows of an eighth of a
 * second, and gives up again after ten calm seconds; an answer by cookie is a full answer, so
 * that to decide wrongly costs nobody a thing.
 *
 * A veth refuses what XDP sends unless its other end, which we cannot see, has an XDP program too: there
 * only COOKIES_ALWAYS answers, because somebody has said so.
 *
 * Not answered here but passed up: two VLAN tags (the kernel could not take the cookie back on
 * this interface), headers that do not lie in the frame's linear part. A SYN's payload is
 * dropped, as RFC 9293 allows. */
#ifndef SLUICE_BPF_SHIELD_SYN_H
#define SLUICE_BPF_SHIELD_SYN_H

#include "event.h"
#include "maps.h"
#include "parse.h"
#include "shield_cookie.h"
#include "shield_flow.h"

#define SYN_WINDOWS_PER_S 8
#define SYN_WINDOW_NS     (1000000000ull / SYN_WINDOWS_PER_S)
#define FRAME_MIN         60
#define HOPS              64
#define MAC_BYTES         6

enum { SYN_PASS = 0, SYN_ANSWERED = -1 }; /* else a drop reason */

/* ---- bounds --------------------------------------------------------------------- */

/* Strangers share cells and cores do not: a bound, not an account. Counted beside what rule 4 has on
 * the same net, for each rate class: a cache line less to fetch. */
static __always_inline bool synack_within(const struct shield_rules *r, const struct packet *p,
					  __u64 now)
{
	struct shield_cell *net;

	if (!r->synack_limit || r->synack_limit >= SYNACKS_MAX || p->loopback)
		return true;
	net = cell_of(p, net_of(p), SOURCE_NET);
	return !net || synack_take(net, r->synack_limit, p, now) ||
	       shield_appeal(p, true, r->synack_limit, now);
}

/* Counts this SYN; is this core under attack? */
static __always_inline bool syn_attack(struct syn_state *here, const struct shield_rules *r,
				       __u64 now)
{
	if (now >= here->window_ends_ns) {
		__u64 late = (now - here->window_ends_ns) / SYN_WINDOW_NS;

		if (late == 0 && here->syns >= r->syn_calm / SYN_WINDOWS_PER_S)
			here->calm = 0;
		else
			here->calm += late > SYN_CALM_S * SYN_WINDOWS_PER_S ?
					      SYN_CALM_S * SYN_WINDOWS_PER_S :
					      1 + (__u32)late;
		if (here->attack && here->calm >= SYN_CALM_S * SYN_WINDOWS_PER_S) {
			here->attack = 0;
			event(EVENT_ATTACK_ENDS, here->answered);
		}
		here->syns = 0;
		here->window_ends_ns = now + SYN_WINDOW_NS;
	}
	here->syns++;
	if (!here->attack && here->syns > r->syn_attack / SYN_WINDOWS_PER_S) {
		here->attack = 1;
		here->calm = 0;
		here->since_ns = now;
		here->attacks++;
		event(EVENT_ATTACK_BEGINS, here->syns);
	}
	return here->attack;
}

/* ---- sums ------------------------------------------------------------------------- */

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

static __always_inline __u64 sum_addr(const union addr *a)
{
	return (__u64)a->word[0] + a->word[1] + a->word[2] + a->word[3];
}

static __always_inline __u64 sum_words(const union tcp_head *h)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < TCP_WORDS_MAX; i++)
		sum += h->word[i];
	return sum;
}

static __always_inline __u64 sum_pseudo(const struct packet *p, __u32 bytes)
{
	return sum_addr(&p->src) + sum_addr(&p->dst) + bpf_htonl(L4_TCP) + bpf_htonl(bytes);
}

/* Of a SYN without payload. A local peer leaves only the pseudo-header's sum there, for hardware
 * that does not exist, to be finished: that is as good. */
static __always_inline bool tcp_sum_holds(const struct packet *p, const union tcp_head *h)
{
	__u64 pseudo = sum_pseudo(p, p->tcp_header);

	return fold(pseudo + sum_words(h)) == 0xffff || (h->word[4] & 0xffff) == fold(pseudo);
}

static __always_inline bool ip_sum_holds(void *data, void *data_end, const struct packet *p)
{
	__u32 l3 = p->l3, *w;
	__u64 sum = 0;

	if (p->family != 4)
		return true;
	barrier_var(l3);
	w = data + l3;
	if (l3 > OFFSET_MAX || (void *)(w + 5) > data_end)
		return false;
	for (int i = 0; i < 5; i++)
		sum += w[i];
	return fold(sum) == 0xffff;
}

/* ---- the answer --------------------------------------------------------------------- */

/* What an ordinary SYN-ACK would agree to. */
static __always_inline void syn_agree(struct syn_scratch *s, const struct packet *p,
				      const struct shield_cookie *ours)
{
	struct cookie_terms *t = &s->terms;
	__u32 least = p->family == 4 ? MSS_MIN_V4 : MSS_MIN_V6;

	t->mss = s->said.mss < least ? least : s->said.mss & 0xffff;
	t->wscale = WSCALE_NONE;
	if (s->said.has_wscale && ours->offer & OFFER_WSCALE)
		t->wscale = s->said.wscale > WSCALE_MAX ? WSCALE_MAX : s->said.wscale;
	t->sack = s->said.sack && ours->offer & OFFER_SACK;
	t->timestamps = s->said.timestamps && ours->offer & OFFER_TIMESTAMPS;
	t->ecn = t->timestamps && ours->offer & OFFER_ECN &&
		 (p->tcp_flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
}

/* The kernel's cookie carries an MSS and nothing else that we could rely on: timestamps would, if
 * the offset that it adds to them were known. */
static __always_inline void syn_agree_least(struct syn_scratch *s)
{
	s->terms.wscale = WSCALE_NONE;
	s->terms.sack = s->terms.timestamps = s->terms.ecn = 0;
}

/* Whole multiples of the MSS, as the kernel's own first window is. */
static __always_inline __u32 syn_window(const struct shield_cookie *ours, __u32 mss)
{
	__u32 w = ours->window & 0xffff;

	return mss && w > mss ? w - w % mss : w;
}

/* Over what was the SYN's header; the words behind it are 0 and stay so. */
static __always_inline void syn_reply_tcp(struct syn_scratch *s, const struct packet *p,
					  const struct shield_cookie *ours)
{
	__u32 mss = p->mtu > 0xffff && p->family == 4 ? 0xffff : p->mtu;
	const struct cookie_terms *t = &s->terms;
	union tcp_head *h = &s->head;
	__u32 ack = bpf_ntohl(h->word[1]) + 1, n = 6, flags = TCP_SYN | TCP_ACK;

	mss -= p->family == 4 ? 40 : 60;
	if (mss > 0xffff)
		mss = 0xffff;
	__builtin_memset(h, 0, sizeof(*h));
	h->word[0] = bpf_htonl(p->dst_port << 16 | p->src_port);
	h->word[1] = bpf_htonl(s->isn);
	h->word[2] = bpf_htonl(ack);
	h->word[5] = bpf_htonl(OPT_MSS << 24 | 4 << 16 | mss);
	if (t->timestamps) {
		h->word[6] = t->sack ? WORD(OPT_SACK_OK, 2, OPT_TIMESTAMPS, 10) :
				       WORD(OPT_NOP, OPT_NOP, OPT_TIMESTAMPS, 10);
		h->word[7] = bpf_htonl(s->tsval);
		h->word[8] = bpf_htonl(s->said.tsval);
		n = 9;
	} else if (t->sack) {
		h->word[6] = WORD(OPT_NOP, OPT_NOP, OPT_SACK_OK, 2);
		n = 7;
	}
	if (t->wscale != WSCALE_NONE) {
		__u32 w = bpf_htonl(OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | ours->wscale);

		if (n == 9)
			h->word[9] = w;
		else if (n == 7)
			h->word[7] = w;
		else
			h->word[6] = w;
		n++;
	}
	if (t->ecn)
		flags |= TCP_ECE;
	h->word[3] = bpf_htonl(n << 28 | flags << 16 | syn_window(ours, t->mss));
	s->words = n;
	h->word[4] = (__u16)~fold(sum_pseudo(p, n * 4) + sum_words(h));
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[MAC_BYTES];

	__builtin_memcpy(mac, eth->h_dest, MAC_BYTES);
	__builtin_memcpy(eth->h_dest, eth->h_source, MAC_BYTES);
	__builtin_memcpy(eth->h_source, mac, MAC_BYTES);
}

static __always_inline void reply_v4(struct iphdr *ip, const struct packet *p, __u32 bytes)
{
	__u32 *w = (void *)ip;

	w[0] = bpf_htonl(0x45000000 | (20 + bytes));
	w[1] = bpf_htonl(0x4000); /* don't fragment; such packets need no id */
	w[2] = bpf_htonl(HOPS << 24 | L4_TCP << 16);
	w[3] = p->dst.word[0];
	w[4] = p->src.word[0];
	ip->check = ~fold((__u64)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static __always_inline void reply_v6(struct ipv6hdr *ip, const struct packet *p, __u32 bytes)
{
	__u32 *w = (void *)ip;

	w[0] = bpf_htonl(0x60000000);
	w[1] = bpf_htonl(bytes << 16 | L4_TCP << 8 | HOPS);
	__builtin_memcpy(&ip->saddr, &p->dst, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &p->src, sizeof(ip->daddr));
}

/* Makes the frame of the SYN that of the SYN-ACK: extension headers and payload go, one VLAN
 * tag stays, and what is left of a padding is blank. */
static __always_inline bool syn_write(struct xdp_md *ctx, const struct packet *p,
				      const struct syn_scratch *s)
{
	__u32 ip = p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 l3 = p->l3, want = l3 + ip + s->words * 4;
	__u32 have = (__u32)(frame_end(ctx) - frame_data(ctx)), shown = want;
	void *data, *end, *at;
	__u32 *w;

	if (want < FRAME_MIN && have > want)
		shown = have < FRAME_MIN ? have : FRAME_MIN;
	if (have != shown && bpf_xdp_adjust_tail(ctx, (int)shown - (int)have))
		return false;
	data = frame_data(ctx);
	end = frame_end(ctx);
	barrier_var(l3);
	at = data + l3;
	if (l3 > 18 || data + sizeof(struct ethhdr) > end || at + sizeof(struct ipv6hdr) > end)
		return false;
	swap_macs(data);
	if (p->family == 4)
		reply_v4(at, p, s->words * 4);
	else
		reply_v6(at, p, s->words * 4);
	w = at + ip;
#pragma unroll
	for (int i = 0; i < 10; i++) {
		if ((void *)(w + i + 1) > end)
			break;
		w[i] = s->head.word[i];
	}
	if (shown == want + 2 && (void *)(w + 6) + 2 <= end) /* untagged IPv4 with an MSS alone */
		*(__u16 *)(w + 6) = 0;
	return true;
}

static __always_inline struct syn_listens *listens_at(struct syn_scratch *s, const struct packet *p)
{
	__u32 at = p->dst_port ^ p->dst.word[0] >> 24 ^ p->dst.word[3] >> 24;

	return &s->listens[at % LISTENS];
}

static __always_inline bool listens_is(const struct syn_listens *l, const struct packet *p,
				       __u64 now)
{
	return (__s64)(l->until_ns - now) > 0 && l->port == p->dst_port && l->family == p->family &&
	       l->dst.half[1] == p->dst.half[1] && l->dst.half[0] == p->dst.half[0];
}

/* Who was there an eighth of a second ago still is, as far as a flood is concerned; should he have gone,
 * the kernel refuses the ACK as it would have refused the SYN. */
static __always_inline void listens_keep(struct syn_listens *l, const struct packet *p, __u64 now)
{
	l->dst = p->dst;
	l->port = p->dst_port;
	l->family = p->family;
	l->until_ns = now + LISTENS_LAST;
}

/* Does the SYN go to a listener of ours, and to nothing else? For the kernel's kind of cookie
 * the listener is asked for it, too; it has none while its queue is not full. */
static __always_inline bool syn_for_listener(struct xdp_md *ctx, const struct packet *p,
					     struct syn_scratch *s, bool ask, __u64 now)
{
	bool anybody = p->absent && !ask;
	struct syn_listens *l = listens_at(s, p);
	struct bpf_sock *sk;
	__s64 cookie = -1;
	bool ours;

	if (anybody && listens_is(l, p, now))
		return true;
	sk = flow_find(ctx, p, anybody);
	if (!sk)
		return false;
	ours = sk->state == BPF_TCP_LISTEN;
	if (ours && anybody && !p->asked)
		listens_keep(l, p, now);
	if (ours && ask) {
		__u32 ip = ip_for_helper(s, p);
		__u64 bytes = p->tcp_header;

		/* Joined to one comparison of bytes - 20, the bounds would not reach bytes itself
		 * in verifiers before 6.18. */
		barrier_var(bytes);
		if (bytes > 60)
			bytes = 60;
		barrier_var(bytes);
		if (bytes >= sizeof(struct tcphdr))
			cookie = ip == sizeof(s->ip.v4) ?
					 bpf_tcp_gen_syncookie(sk, &s->ip, sizeof(s->ip.v4),
							       (void *)&s->head, bytes) :
					 bpf_tcp_gen_syncookie(sk, &s->ip, sizeof(s->ip.v6),
							       (void *)&s->head, bytes);
		ours = cookie >= 0;
		s->isn = (__u32)cookie;
	}
	bpf_sk_release(sk);
	return ours;
}

static __always_inline void cookie_was_given(__u64 now)
{
	struct cookie_last *last;
	__u32 zero = 0;

	last = bpf_map_lookup_elem(&cookie_last, &zero);
	if (last && now - last->ns > 1000000000)
		last->ns = now;
}

/* SYN_ANSWERED: the frame is the SYN-ACK now. */
__noinline int syn_answer(struct xdp_md *ctx, const struct packet *p, __u64 now)
{
	const struct shield_cookie *ours;
	struct syn_scratch *s = scratch();
	__u32 zero = 0;

	if (!ctx || !p || !s)
		return SYN_PASS;
	ours = bpf_map_lookup_elem(&cookie, &zero);
	if (!ours || ours->how == COOKIE_NONE || p->mtu < 576 ||
	    p->l3 > sizeof(struct ethhdr) + sizeof(struct vlan_tag) ||
	    p->end > frame_end(ctx) - frame_data(ctx))
		return SYN_PASS;
	if (!head_read(ctx, p, &s->head, HEAD_SYN))
		return SYN_PASS;
	if (!ip_sum_holds(frame_data(ctx), frame_end(ctx), p) ||
	    (p->end - p->l4 == p->tcp_header && !tcp_sum_holds(p, &s->head)))
		return DROP_BAD_CHECKSUM;
	s->isn = s->tsval = 0;
	if (!syn_for_listener(ctx, p, s, ours->how == COOKIE_KERNEL, now))
		return SYN_PASS;
	tcp_syn_options(&s->head, p->tcp_header, &s->said);
	syn_agree(s, p, ours);
	if (ours->how == COOKIE_OWN) {
		flow_of(&s->flow, p, &s->head);
		s->isn = cookie_make(&s->flow, &s->terms, now, &s->tsval);
	} else {
		syn_agree_least(s);
	}
	if (p->asked)
		return SYN_ANSWERED;
	syn_reply_tcp(s, p, ours);
	if (!syn_write(ctx, p, s))
		return SYN_PASS;
	cookie_was_given(now);
	return SYN_ANSWERED;
}

/* May answer: p->answered then. */
static __always_inline enum drop_reason shield_syn(struct xdp_md *ctx, const struct shield_rules *r,
						   struct packet *p)
{
	struct syn_state *here;
	bool attack;
	__u64 now;
	int did;

	if (!flow_can_be_told(p) || !tcp_begins(p))
		return DROP_NONE;
	here = syn_state_here();
	if (!here)
		return DROP_NONE;
	now = p->now;
	attack = p->asked ? here->attack : syn_attack(here, r, now);
	if (!synack_within(r, p, now))
		return DROP_SYN_LIMIT;
	if (r->syn != RULE_ENFORCE || r->cookies == COOKIES_OFF ||
	    (r->cookies == COOKIES_AUTO && (!attack || p->deaf)))
		return DROP_NONE;
	did = syn_answer(ctx, p, now);
	if (did != SYN_ANSWERED)
		return did;
	if (!p->asked)
		here->answered++;
	p->answered = true;
	return DROP_NONE;
}

#endif
