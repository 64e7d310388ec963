/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_flow.h - rule 5: whoever does not begin a connection must have one.
 *
 *   socket of this connection? ─► pass
 *   a cookie of ours?          ─► pass: sluice_cookie makes the connection of it
 *   else                       ─► drop; now and then pass, for the kernel's RST
 *
 * That last grace is for honest peers of a connection that died here (a restart, a lost FIN): a
 * refusal ends their wait at once. It is counted out per core and second, and a flood uses it
 * up in its first microseconds.
 *
 * The socket is looked for in the network namespace of the interface. What is protected must
 * therefore end on this host: a router's or a container's connections have no socket here. */
#ifndef SLUICE_BPF_SHIELD_FLOW_H
#define SLUICE_BPF_SHIELD_FLOW_H

#include "flow_filter.h"
#include "maps.h"
#include "parse.h"
#include "shield_bucket.h"
#include "shield_cookie.h"

static __always_inline bool tcp_begins(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* Link-local addresses are an interface's own; behind a VLAN tag it is one that we do not
 * know, and sockets bound to it would not be found. */
static __always_inline bool flow_can_be_told(const struct packet *p)
{
	bool tagged = p->l3 > sizeof(struct ethhdr);
	bool link_local = p->family == 6 && p->dst.byte[0] == 0xfe &&
			  (p->dst.byte[1] & 0xc0) == 0x80;

	return p->proto == L4_TCP && p->ports && p->tcp_header >= sizeof(struct tcphdr) &&
	       p->tcp_header <= p->end - p->l4 && !(tagged && link_local);
}

/* The socket that the kernel would take, or NULL; to be released. `anybody`: there is no connection, and only
 * the listener is wanted. With a source of zeros the kernel looks for it behind one and the same line of its table
 * of connections, which a core's cache holds. */
static __always_inline struct bpf_sock *flow_find(struct xdp_md *ctx, const struct packet *p,
						  bool anybody)
{
	struct bpf_sock_tuple t = {};

	if (p->family == 4) {
		t.ipv4.saddr = anybody ? 0 : p->src.word[0];
		t.ipv4.daddr = p->dst.word[0];
		t.ipv4.sport = anybody ? 0 : bpf_htons(p->src_port);
		t.ipv4.dport = bpf_htons(p->dst_port);
		return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	if (!anybody)
		__builtin_memcpy(t.ipv6.saddr, &p->src, sizeof(t.ipv6.saddr));
	__builtin_memcpy(t.ipv6.daddr, &p->dst, sizeof(t.ipv6.daddr));
	t.ipv6.sport = anybody ? 0 : bpf_htons(p->src_port);
	t.ipv6.dport = bpf_htons(p->dst_port);
	return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

enum { HEAD_SYN = 10, HEAD_ACK = 8 }; /* words of the usual ones */

/* The header with its options, from the linear part; zeros behind them. A function of its own
 * for the verifier's sake. Returns 0 if it is not all there. */
__noinline int head_read_any(struct xdp_md *ctx, const struct packet *p, union tcp_head *h)
{
	__u32 *at, words, l4;
	void *end;

	if (!ctx || !p || !h)
		return 0;
	words = p->tcp_header >> 2;
	l4 = p->l4;
	barrier_var(l4); /* read once, or the bound holds for another reading */
	if (l4 > OFFSET_MAX)
		return 0;
	at = frame_data(ctx) + l4;
	end = frame_end(ctx);
#pragma unroll
	for (__u32 i = 0; i < TCP_WORDS_MAX; i++) {
		h->word[i] = 0;
		if (i >= words)
			continue;
		if ((void *)(at + i + 1) > end)
			return 0;
		h->word[i] = at[i];
	}
	h->word[TCP_WORDS_MAX] = 0;
	return 1;
}

/* Of nearly every SYN the options are five words, of nearly every ACK three: with one look at the frame's
 * end, and without a call. */
static __always_inline bool head_read(struct xdp_md *ctx, const struct packet *p, union tcp_head *h,
				      __u32 words)
{
	__u32 *at, l4 = p->l4;

	if (p->tcp_header != words * 4)
		return head_read_any(ctx, p, h);
	barrier_var(l4);
	if (l4 > OFFSET_MAX)
		return false;
	at = frame_data(ctx) + l4;
	if ((void *)(at + words) > frame_end(ctx))
		return false;
#pragma unroll
	for (__u32 i = 0; i <= TCP_WORDS_MAX; i++)
		h->word[i] = i < words ? at[i] : 0;
	return true;
}

static __always_inline void flow_of(struct cookie_flow *f, const struct packet *p,
				    const union tcp_head *h)
{
	f->src = p->src;
	f->dst = p->dst;
	f->ports = p->src_port << 16 | p->dst_port;
	f->family = p->family;
	f->isn = bpf_ntohl(h->word[1]);
}

static __always_inline struct syn_scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&syn_scratch, &zero);
}

/* Of the IP header the kernel's helpers want version and addresses, wherever the real one is. */
static __always_inline __u32 ip_for_helper(struct syn_scratch *s, const struct packet *p)
{
	if (p->family == 4) {
		__builtin_memset(&s->ip.v4, 0, sizeof(s->ip.v4));
		*(__u8 *)&s->ip.v4 = 0x45;
		s->ip.v4.saddr = p->src.word[0];
		s->ip.v4.daddr = p->dst.word[0];
		return sizeof(s->ip.v4);
	}
	__builtin_memset(&s->ip.v6, 0, sizeof(s->ip.v6));
	*(__u8 *)&s->ip.v6 = 0x60;
	__builtin_memcpy(&s->ip.v6.saddr, &p->src, sizeof(s->ip.v6.saddr));
	__builtin_memcpy(&s->ip.v6.daddr, &p->dst, sizeof(s->ip.v6.daddr));
	return sizeof(s->ip.v6);
}

/* The ACK that ends a handshake, or what came instead of it, brings back what our SYN-ACK said. */
static __always_inline bool flow_has_cookie(const struct packet *p, struct syn_scratch *s,
					    __u64 now)
{
	flow_of(&s->flow, p, &s->head);
	s->flow.isn--;
	tcp_ack_options(&s->head, p->tcp_header, &s->said);
	return cookie_check(&s->flow, bpf_ntohl(s->head.word[2]) - 1, &s->said, now, &s->terms);
}

/* The ACK that our kernel's own SYN-ACK waits for: it proves the source as a cookie would. */
static __always_inline bool flow_ends_handshake(struct xdp_md *ctx, const struct packet *p,
						struct bpf_sock *sk, struct syn_scratch *s)
{
	const struct tcp_request_sock *asked;

	if (sk->state != BPF_TCP_NEW_SYN_RECV ||
	    (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_ACK ||
	    !head_read(ctx, p, &s->head, HEAD_ACK))
		return false;
	asked = bpf_skc_to_tcp_request_sock(sk);
	return asked && asked->snt_isn + 1 == bpf_ntohl(s->head.word[2]);
}

/* One packet in so many of an established connection says that its source is still real. */
#define FLOW_REMIND 64

enum flow {
	FLOW_UNKNOWN,
	FLOW_KNOWN,
	FLOW_REMINDS, /* known, and its source is to be remembered as real */
	FLOW_ENDS,    /* known since this packet: it ends the kernel's handshake */
	FLOW_COOKIE,  /* to be known: it brings a cookie */
};

/* ---- without asking for the socket: flow_filter.h ---- */

static __always_inline const struct flow_filter *flow_filter_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&flow_filter, &zero);
}

static __always_inline __u64 *flow_word_of(const struct flow_filter *f, __u64 hash)
{
	struct flow_bits *bits;
	__u32 zero = 0, at = flow_word(f, hash);

	bits = bpf_map_lookup_elem(&flow_bits, &zero);
	barrier_var(at);
	return bits && at < FLOW_WORDS ? &bits->word[at] : NULL;
}

static __always_inline __u64 flow_hash_of(const struct flow_filter *f, const struct packet *p)
{
	__u32 ports = p->src_port << 16 | p->dst_port;

	/* an IPv4 address was stored as a word: read as a half it would wait for the store */
	return p->family == 4 ? flow_hash_v4(f, p->src.word[0], p->dst.word[0], ports) :
				flow_hash_v6(f, p->src.half, p->dst.half, ports);
}

/* From now on its packets are known. */
static __always_inline void flow_add(const struct packet *p)
{
	const struct flow_filter *f = flow_filter_here();
	__u64 hash, bits, *word;

	if (!f || f->is == FILTER_OFF || p->asked)
		return;
	hash = flow_hash_of(f, p);
	bits = flow_mask(hash);
	word = flow_word_of(f, hash);
	if (word && (*word & bits) != bits)
		__sync_fetch_and_or(word, bits);
}

enum flow_absent {
	FLOW_MAY_BE, /* nobody has said that it is not there */
	FLOW_ABSENT, /* it has no socket */
	FLOW_STALE,  /* nor anything else, and the kernel may refuse it */
};

/* Has it surely none? What answers a SYN of ours may be older than the filter, which does not see those. */
static __always_inline bool flow_is_absent(const struct flow_filter *f, const struct packet *p)
{
	__u64 hash, bits, *word;

	if (!flow_can_be_told(p) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		return false;
	hash = flow_hash_of(f, p);
	bits = flow_mask(hash);
	word = flow_word_of(f, hash);
	return word && (*word & bits) != bits;
}

/* Rule 4 is to know whom it may trust. */
static __always_inline enum flow flow_known(struct xdp_md *ctx, const struct packet *p,
					    struct bpf_sock *sk, struct syn_scratch *s)
{
	if (flow_ends_handshake(ctx, p, sk, s))
		return FLOW_ENDS;
	if (sk->state == BPF_TCP_ESTABLISHED && !p->asked && s->known++ % FLOW_REMIND == 0)
		return FLOW_REMINDS;
	return FLOW_KNOWN;
}

/* A function of its own: its stack is not the judge's, and the verifier walks it once. */
__noinline int flow_find_out(struct xdp_md *ctx, const struct packet *p, __u64 now)
{
	const struct shield_cookie *cookies;
	struct syn_scratch *s = scratch();
	bool listener, can, good = false;
	enum flow found = FLOW_KNOWN;
	struct bpf_sock *sk;
	__u32 zero = 0;

	if (!ctx || !p)
		return FLOW_KNOWN;
	cookies = bpf_map_lookup_elem(&cookie, &zero);
	if (!cookies || !s)
		return FLOW_KNOWN;
	/* the kernel's cookies are asked of the listener */
	sk = p->absent && cookies->how != COOKIE_KERNEL ? NULL : flow_find(ctx, p, false);
	listener = !sk || sk->state == BPF_TCP_LISTEN;
	can = listener && (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK &&
	      cookies->how != COOKIE_NONE && cookies_are_out(now) &&
	      head_read(ctx, p, &s->head, HEAD_ACK);
	if (can && sk && cookies->how == COOKIE_KERNEL) {
		__u32 bytes = ip_for_helper(s, p);

		/* the length again, as a constant: the compiler joins the two */
		good = bytes == sizeof(s->ip.v4) ?
			       !bpf_tcp_check_syncookie(sk, &s->ip, sizeof(s->ip.v4),
							(void *)&s->head, sizeof(struct tcphdr)) :
			       !bpf_tcp_check_syncookie(sk, &s->ip, sizeof(s->ip.v6),
							(void *)&s->head, sizeof(struct tcphdr));
	}
	if (sk && !listener)
		found = flow_known(ctx, p, sk, s);
	if (sk)
		bpf_sk_release(sk);
	if (can && cookies->how == COOKIE_OWN)
		good = flow_has_cookie(p, s, now);
	return !listener ? found : good ? FLOW_COOKIE : FLOW_UNKNOWN;
}

/* One more whom the kernel may refuse? */
static __always_inline bool stale_within(struct syn_state *here, __u32 limit, __u64 now, bool asked)
{
	__u64 second = now >> 30;

	if (asked)
		return here->stale_second != second ? limit > 0 : here->stale < limit;
	if (here->stale_second != second) {
		here->stale_second = second;
		here->stale = 0;
	}
	if (here->stale >= limit)
		return false;
	here->stale++;
	return true;
}

/* Ahead of rules 2 and 3 while the filter is in force: what surely has no connection, nor can bring a cookie, need
 * not be looked for on any list. */
static __always_inline enum drop_reason flow_early(const struct shield_rules *r, struct packet *p)
{
	const struct shield_cookie *cookies;
	struct syn_state *here;
	__u32 zero = 0;

	cookies = bpf_map_lookup_elem(&cookie, &zero);
	if (!cookies || (cookies->how != COOKIE_NONE && cookies_are_out(p->now) &&
			 (p->tcp_flags & (TCP_ACK | TCP_RST)) == TCP_ACK))
		return DROP_NONE;
	here = syn_state_here();
	if (!here || !stale_within(here, r->stale_limit, p->now, p->asked))
		return DROP_NO_FLOW;
	p->absent = FLOW_STALE;
	return DROP_NONE;
}

static __always_inline enum drop_reason
shield_flow(struct xdp_md *ctx, const struct shield_rules *r, const struct packet *p)
{
	struct syn_state *here;
	__u64 now;
	int flow;

	if (!flow_can_be_told(p) || tcp_begins(p) || p->absent == FLOW_STALE)
		return DROP_NONE;
	now = p->now;
	flow = flow_find_out(ctx, p, now);
	if (flow != FLOW_UNKNOWN)
		flow_add(p);
	if (flow == FLOW_KNOWN)
		return DROP_NONE;
	here = syn_state_here();
	if (flow != FLOW_UNKNOWN) {
		if (here && !p->asked && flow == FLOW_COOKIE)
			here->returned++;
		shield_validate(p, flow != FLOW_REMINDS);
		return DROP_NONE;
	}
	return here && stale_within(here, r->stale_limit, now, p->asked) ? DROP_NONE : DROP_NO_FLOW;
}

#endif
