/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* sluice_cookie - at the door of the stack: an ACK that brings our cookie back becomes a connection.
 *
 *   skb ─► any cookies out? ─► ACK? ─► its cookie? ─► no socket yet? ─► the listener's request
 *                                                                       socket, as if the kernel
 *                                                                       had answered the SYN
 *
 * XDP has judged the packet already and can make no sockets; tc can. The kernel then goes on as
 * with a cookie of its own, except that every option is the one that was agreed to.
 * sluice_reuseport still picks the worker.
 *
 * An object of its own, because kernels before 6.9 lack the function and would refuse
 * the whole. While no cookie is out, which is nearly always, a packet costs two loads and the clock. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAPS_COOKIE
#include "maps.h"
#include "parse.h"
#include "shield_cookie.h"
#include "tcp.h"

#define NEXT (-1) /* whoever else is attached; then the stack */

/* struct bpf_tcp_req_attrs: written out, because not every kernel's BTF has it */
struct req_attrs {
	__u32 rcv_tsval;
	__u32 rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale;
	__u8 snd_wscale;
	__u8 ecn_ok;
	__u8 wscale_ok;
	__u8 sack_ok;
	__u8 tstamp_ok;
	__u8 usec_ts_ok;
	__u8 reserved[3];
};
_Static_assert(sizeof(struct req_attrs) == 20, "bpf_tcp_req_attrs");

extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk, struct req_attrs *attrs,
				   int attrs__sz) __ksym;

struct ack {
	struct cookie_flow flow;
	union tcp_head head;
	__u32 bytes; /* of the TCP header */
	__u32 l4;    /* from the IP header on */
};

/* From the IP header on: behind generic XDP the packet begins there, else at the MAC header. */
static __always_inline long read(struct __sk_buff *skb, __u32 at, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes_relative(skb, at, to, bytes, BPF_HDR_START_NET);
}

static __always_inline __u32 ip_v4(struct __sk_buff *skb, struct ack *a)
{
	struct iphdr ip;

	if (read(skb, 0, &ip, sizeof(ip)))
		return 0;
	if (ip.protocol != L4_TCP || ip.frag_off & bpf_htons(0x3fff))
		return 0;
	a->flow.family = 4;
	a->flow.src.word[0] = ip.saddr;
	a->flow.dst.word[0] = ip.daddr;
	return (*(__u8 *)&ip & 15) << 2;
}

static __always_inline __u32 ip_v6(struct __sk_buff *skb, struct ack *a)
{
	struct ipv6hdr ip;
	struct ext_head ext;
	__u32 at = sizeof(ip);
	__u8 next;

	if (read(skb, 0, &ip, sizeof(ip)))
		return 0;
	next = ip.nexthdr;
	for (int i = 0; i < EXT_MAX && is_ext(next); i++) {
		if (read(skb, at, &ext, sizeof(ext)))
			return 0;
		if (next == NEXT_FRAGMENT) /* only the atomic kind goes on, and rarely */
			return 0;
		at += next == NEXT_AUTH ? (ext.len + 2) << 2 : (ext.len + 1) << 3;
		next = ext.next;
	}
	if (next != L4_TCP)
		return 0;
	a->flow.family = 6;
	__builtin_memcpy(&a->flow.src, &ip.saddr, 16);
	__builtin_memcpy(&a->flow.dst, &ip.daddr, 16);
	return at;
}

/* An ACK that could end a handshake, with all of its header. */
static __always_inline bool ack_read(struct __sk_buff *skb, struct ack *a)
{
	__u32 flags;
	__u64 less;

	__builtin_memset(a, 0, sizeof(*a));
	if (skb->protocol == bpf_htons(TYPE_IPV4))
		a->l4 = ip_v4(skb, a);
	else if (skb->protocol == bpf_htons(TYPE_IPV6))
		a->l4 = ip_v6(skb, a);
	if (!a->l4 || read(skb, a->l4, &a->head, sizeof(struct tcphdr)))
		return false;
	flags = a->head.byte[13];
	a->bytes = a->head.byte[12] >> 4 << 2;
	if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_ACK || a->bytes < sizeof(struct tcphdr))
		return false;
	/* one less than there is of options; with one added behind the barrier 6.12 knows as well that the
	 * length is not zero */
	less = a->bytes - sizeof(struct tcphdr) - 1;
	barrier_var(less);
	if (less < 40 && read(skb, a->l4 + sizeof(struct tcphdr), &a->head.word[5], less + 1))
		return false;
	a->flow.ports = bpf_ntohl(a->head.word[0]);
	a->flow.isn = bpf_ntohl(a->head.word[1]) - 1;
	return true;
}

static __always_inline struct bpf_sock *find(struct __sk_buff *skb, const struct ack *a)
{
	struct bpf_sock_tuple t = {};
	__be16 sport = bpf_htons(a->flow.ports >> 16), dport = bpf_htons(a->flow.ports & 0xffff);

	if (a->flow.family == 4) {
		t.ipv4.saddr = a->flow.src.word[0];
		t.ipv4.daddr = a->flow.dst.word[0];
		t.ipv4.sport = sport;
		t.ipv4.dport = dport;
		return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(t.ipv6.saddr, &a->flow.src, 16);
	__builtin_memcpy(t.ipv6.daddr, &a->flow.dst, 16);
	t.ipv6.sport = sport;
	t.ipv6.dport = dport;
	return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

static __always_inline void attrs_of(struct req_attrs *r, const struct cookie_terms *t,
				     const struct tcp_options *o, const struct shield_cookie *ours)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->mss = (__u16)t->mss;
	r->wscale_ok = t->wscale != WSCALE_NONE;
	if (r->wscale_ok) {
		r->snd_wscale = (__u8)t->wscale;
		r->rcv_wscale = (__u8)ours->wscale;
	}
	r->sack_ok = (__u8)t->sack;
	r->ecn_ok = (__u8)t->ecn;
	r->tstamp_ok = (__u8)t->timestamps;
	r->rcv_tsval = o->tsval;
	r->rcv_tsecr = o->tsecr;
}

SEC("tc")
int sluice_cookie(struct __sk_buff *skb)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	const struct shield_cookie *ours;
	struct cookie_terms terms;
	struct tcp_options said;
	struct req_attrs attrs;
	struct syn_state *here;
	struct tcp_sock *listener;
	struct bpf_sock *sk;
	struct ack a;
	__u32 zero = 0;
	int err = -1;

	if (!cookies_are_out(now) || !ack_read(skb, &a))
		return NEXT;
	ours = bpf_map_lookup_elem(&cookie, &zero);
	here = syn_state_here();
	if (!ours || ours->how != COOKIE_OWN || !here)
		return NEXT;
	tcp_ack_options(&a.head, a.bytes, &said);
	if (!cookie_check(&a.flow, bpf_ntohl(a.head.word[2]) - 1, &said, now, &terms))
		return NEXT;
	sk = find(skb, &a);
	if (!sk)
		return NEXT;
	if (sk->state == BPF_TCP_LISTEN) {
		attrs_of(&attrs, &terms, &said, ours);
		listener = bpf_skc_to_tcp_sock(sk);
		if (listener)
			err = bpf_sk_assign_tcp_reqsk(skb, (struct sock *)listener, &attrs,
						      sizeof(attrs));
		if (err)
			here->refused++;
		else
			here->made++;
	}
	bpf_sk_release(sk);
	return NEXT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
