/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* parse.h - from a frame to a `struct packet`: what the rules judge by.
 *
 *   Ethernet ─► VLAN, QinQ ─► IPv4 [options]                  ─► TCP │ UDP
 *                          └► IPv6 ─► extension headers, fragment ┘
 *
 * The parser looks, it does not judge. What contradicts itself is noted in
 * `fault`, first come first kept, and parsing goes on as long as the next
 * header can still be found: a packet is only ours to judge if it goes to a
 * protected port, so the port is worth finding even behind a lie. Where the
 * ports are not known (a fragment, a header cut short) `ports` is false and
 * the packet is judged by its address and protocol.
 *
 * Three lengths must not be mixed up:
 *   - the linear part, data..data_end: all that direct access can reach. Jumbo
 *     frames, header split and generic XDP on big segments leave the rest in
 *     fragments; cursor_read() fetches from there by helper, at leisure.
 *   - the whole frame. Only what lies beyond it is truncated. It takes a helper
 *     to learn its length, so that is asked only if the linear part is too short.
 *   - end: where the IP header says that the packet ends; what follows is
 *     padding. A segment of more than 65,535 bytes, which loopback and GRO do
 *     make, says 0 there and means the frame's own length. */
#ifndef SLUICE_BPF_PARSE_H
#define SLUICE_BPF_PARSE_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#ifndef offsetof
#define offsetof(type, member) __builtin_offsetof(type, member)
#endif

#define VLAN_TAGS_MAX 2 /* 802.1ad around 802.1Q */
#define VLAN_WALK_MAX 8 /* so far the parser follows; with more than the two it is a fault */
#define EXT_MAX       8 /* IPv6 extension headers; RFC 8200 knows no use for more than 7 */
#define OFFSET_MAX    0x3fff

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_QINQ_OLD = 0x9100, /* before 802.1ad; many switches still say so */
};

/* IPv6 next-header values (IANA), those that are headers and not payload */
enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTH = 51,
	NEXT_DEST_OPTIONS = 60,
};

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

union addr {
	__u8 byte[16]; /* IPv4: the first four, the rest 0 */
	__u32 word[4];
	__u64 half[2];
};

struct packet {
	union addr src;
	union addr dst;
	__u32 l3; /* offsets into the frame */
	__u32 l4; /* good only if `ports` */
	__u32 end;
	__u32 src_port; /* host byte order; 0 unless `ports` */
	__u32 dst_port;
	union {
		struct {
			__u8 fault;  /* enum drop_reason: the first contradiction; DROP_NONE */
			__u8 proto;  /* enum l4_proto; L4_ANY: hidden behind a fault */
			__u8 family; /* 4 or 6; 0: hidden behind more tags than we follow */
			__u8 iface;  /* its slot in the map iface; SHIELD_IFACES_MAX: none.
				      * sluice_xdp.bpf.c fills it */
		};
		__u32 known; /* what the verifier follows as constants; see forget_constants() */
	};
	__u8 fragment;
	__u8 ports;      /* the whole TCP or UDP header was there */
	__u8 tcp_flags;  /* with TCP ports only, as is the next */
	__u8 tcp_header; /* its length in bytes, as it says itself */
	__u8 loopback;   /* came in on a loopback interface; sluice_xdp.bpf.c fills it */
	__u8 deaf;       /* its interface is, see struct shield_iface */
	__u8 answered;   /* the frame is our answer now; shield_syn.h */
	__u32 mtu;       /* of the interface; 0: not ours. sluice_xdp.bpf.c */
	__u8 asked;      /* explain.h: look and touch nothing. No hit, token, count or entry */
	__u8 bank;       /* of the policy it is judged by */
	__u8 rate;       /* its class in rule 4; shield_protect.h */
	__u8 absent;     /* enum flow_absent */
	__u64 observed;  /* see struct shield_ask */
	__u32 entry;     /* of the list that holds it, and 1 */
	__u64 now;       /* CLOCK_MONOTONIC_COARSE; from rule 4 on */
};

struct vlan_tag {
	__be16 tci;
	__be16 type;
};

struct ext_head {
	__u8 next;
	__u8 len;
	__u8 routing_type;
	__u8 segments_left;
};

struct fragment_head {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* 13 bits of offset, 2 reserved, more-fragments */
	__be32 id;
};

/* In so many words, because clang likes to compute the address of a field first, and the verifier
 * takes no context pointer that was computed with. */
static __always_inline void *frame_data(struct xdp_md *ctx)
{
	__u64 at;

	asm volatile("%[at] = *(u32 *)(%[ctx] + %[of])"
		     : [at] "=r"(at)
		     : [ctx] "r"(ctx), [of] "i"(offsetof(struct xdp_md, data)));
	return (void *)at;
}

static __always_inline void *frame_end(struct xdp_md *ctx)
{
	__u64 at;

	asm volatile("%[at] = *(u32 *)(%[ctx] + %[of])"
		     : [at] "=r"(at)
		     : [ctx] "r"(ctx), [of] "i"(offsetof(struct xdp_md, data_end)));
	return (void *)at;
}

struct cursor {
	struct xdp_md *ctx;
	void *data;
	void *data_end;
};

/* Copies `bytes` (a constant) from `offset` of the frame. False: the frame ends
 * before. The alignment is a promise to the compiler that nobody keeps: x86 and
 * arm64 load words from anywhere, and byte by byte it would be slow. */
static __always_inline bool cursor_read(struct cursor *c, __u32 offset, void *to, __u32 bytes)
{
	void *at;

	if (offset > OFFSET_MAX)
		return false;
	at = c->data + offset;
	if (at + bytes > c->data_end)
		return bpf_xdp_load_bytes(c->ctx, offset, to, bytes) == 0;
	__builtin_memcpy(to, __builtin_assume_aligned(at, 4), bytes);
	return true;
}

static __always_inline void fault(struct packet *p, enum drop_reason why)
{
	if (p->fault == DROP_NONE)
		p->fault = why;
}

/* How much the frame has from `offset` on: in its linear part, which may end
 * before, and in all. */
static __always_inline __s32 room_linear(struct cursor *c, __u32 offset)
{
	__u64 bytes = c->data_end - c->data;

	barrier_var(
		bytes); /* or clang cuts the pointers to 32 bits first, and no verifier takes that */
	return (__s32)bytes - (__s32)offset;
}

static __always_inline __s32 room_all(struct cursor *c, __u32 offset)
{
	return (__s32)bpf_xdp_get_buff_len(c->ctx) - (__s32)offset;
}

/* False: neither TCP nor UDP is visible; nobody's business here. */
static __always_inline bool parse_l4(struct cursor *c, struct packet *p, __u8 proto)
{
	if (proto == L4_TCP) {
		struct tcphdr tcp;

		p->proto = L4_TCP;
		if (p->fragment) {
			fault(p, DROP_TCP_FRAGMENT);
			return true;
		}
		if (p->l4 + sizeof(tcp) > p->end || !cursor_read(c, p->l4, &tcp, sizeof(tcp))) {
			fault(p, DROP_TRUNCATED);
			return true;
		}
		p->ports = true;
		p->src_port = bpf_ntohs(tcp.source);
		p->dst_port = bpf_ntohs(tcp.dest);
		p->tcp_header = ((__u8 *)&tcp)[12] >> 4 << 2;
		p->tcp_flags = ((__u8 *)&tcp)[13];
		return true;
	}
	if (proto == L4_UDP) {
		struct udphdr udp;
		__u32 said;

		p->proto = L4_UDP;
		if (p->fragment)
			return true;
		if (p->l4 + sizeof(udp) > p->end || !cursor_read(c, p->l4, &udp, sizeof(udp))) {
			fault(p, DROP_TRUNCATED);
			return true;
		}
		p->ports = true;
		p->src_port = bpf_ntohs(udp.source);
		p->dst_port = bpf_ntohs(udp.dest);
		said = bpf_ntohs(udp.len);
		/* 0 is a jumbogram's length (RFC 2675), in IPv6 alone */
		if (said > p->end - p->l4 || (said < sizeof(udp) && !(said == 0 && p->family == 6)))
			fault(p, DROP_BAD_LENGTH);
		return true;
	}
	return false;
}

static __always_inline bool parse_v4(struct cursor *c, struct packet *p)
{
	__s32 room = room_linear(c, p->l3);
	__s32 header, total;
	struct iphdr ip;

	if (!cursor_read(c, p->l3, &ip, sizeof(ip)))
		return false; /* no destination: not ours, and the kernel drops it */
	p->family = 4;
	p->src.word[0] = ip.saddr;
	p->dst.word[0] = ip.daddr;
	header = (*(__u8 *)&ip & 0xf) << 2;
	total = bpf_ntohs(ip.tot_len);

	if (*(__u8 *)&ip >> 4 != 4 || header < (__s32)sizeof(ip)) {
		fault(p, DROP_BAD_IP_HEADER);
		p->end = p->l3; /* nothing behind can be believed */
	} else {
		if (total == 0 || total > room)
			room = room_all(c, p->l3);
		if (total == 0 && room > 0xffff)
			total = room;
		if (total < header || total > room) {
			fault(p, DROP_BAD_LENGTH);
			total = total < room ? total : room;
		}
		if (header > (__s32)sizeof(ip))
			fault(p, DROP_IPV4_OPTIONS);
		p->end = p->l3 + total;
	}
	p->l4 = p->l3 + header;
	p->fragment = (ip.frag_off & bpf_htons(0x3fff)) != 0; /* more to come, or not the first */
	return parse_l4(c, p, ip.protocol);
}

static __always_inline bool is_ext(__u8 next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT ||
	       next == NEXT_AUTH || next == NEXT_DEST_OPTIONS;
}

/* One extension header: moves p->l4 and *next behind it. False: nothing can be
 * found behind it; the fault is noted. */
static __always_inline bool parse_ext(struct cursor *c, struct packet *p, __u8 *next, bool first)
{
	union {
		struct ext_head ext;
		struct fragment_head frag;
	} h;
	__u32 bytes;

	/* each is at least 8 bytes long */
	if (p->l4 + sizeof(h) > p->end || !cursor_read(c, p->l4, &h, sizeof(h))) {
		fault(p, DROP_TRUNCATED);
		return false;
	}
	bytes = (h.ext.len + 1) << 3;
	switch (*next) {
	case NEXT_HOP_BY_HOP:
		if (!first)
			fault(p, DROP_IPV6_EXT);
		break;
	case NEXT_ROUTING:
		/* still on its way to somewhere else: source routing (RFC 5095) */
		if (h.ext.segments_left)
			fault(p, DROP_IPV6_EXT);
		break;
	case NEXT_AUTH: bytes = (h.ext.len + 2) << 2; break;
	case NEXT_FRAGMENT:
		bytes = sizeof(h.frag);
		/* an atomic fragment (RFC 6946) is whole, and treated so */
		if (h.frag.offset & bpf_htons(0xfff9))
			p->fragment = true;
		if (h.frag.offset & bpf_htons(0xfff8)) {
			/* A later piece: what follows is no header. If its own headers
			 * went with the first piece, TCP is what must be assumed. */
			*next = h.frag.next;
			if (is_ext(*next))
				fault(p, DROP_TCP_FRAGMENT);
			return false;
		}
		break;
	}
	if (p->l4 + bytes > p->end) {
		fault(p, DROP_TRUNCATED);
		return false;
	}
	p->l4 += bytes;
	*next = h.ext.next;
	return true;
}

/* Follows the chain from p->l4 to its end; returns the protocol found there, or
 * the extension header that it stopped at, with the fault noted. A function of
 * its own in the object, not inlined: the verifier then walks its loop once
 * instead of once for every path that leads here (a million steps otherwise). */
__noinline int parse_ext_chain(struct xdp_md *ctx, struct packet *p, __u32 first)
{
	struct cursor c;
	__u8 next = first;

	if (!ctx || !p)
		return NEXT_HOP_BY_HOP;
	c = (struct cursor){ctx, (void *)(long)ctx->data, (void *)(long)ctx->data_end};
	for (int i = 0; i < EXT_MAX && is_ext(next); i++)
		if (!parse_ext(&c, p, &next, i == 0))
			return next;
	if (is_ext(next))
		fault(p, DROP_IPV6_EXT);
	return next;
}

static __always_inline bool parse_v6(struct cursor *c, struct packet *p)
{
	__s32 room = room_linear(c, p->l3 + sizeof(struct ipv6hdr));
	struct ipv6hdr ip;
	__s32 payload;
	__u8 next;

	if (!cursor_read(c, p->l3, &ip, sizeof(ip)))
		return false;
	p->family = 6;
	__builtin_memcpy(&p->src, &ip.saddr, sizeof(p->src));
	__builtin_memcpy(&p->dst, &ip.daddr, sizeof(p->dst));
	payload = bpf_ntohs(ip.payload_len);
	next = ip.nexthdr;
	p->l4 = p->l3 + sizeof(ip);

	if (*(__u8 *)&ip >> 4 != 6) {
		fault(p, DROP_BAD_IP_HEADER);
		p->end = p->l3;
		return parse_l4(c, p, next) || is_ext(next);
	}
	if (payload == 0 || payload > room)
		room = room_all(c, p->l4);
	if (payload == 0 && room > 0xffff)
		payload = room;
	if (payload > room) {
		fault(p, DROP_BAD_LENGTH);
		payload = room;
	}
	p->end = p->l4 + payload;

	if (is_ext(next)) {
		next = parse_ext_chain(c->ctx, p, next);
		if (is_ext(next))
			return true; /* stopped inside the chain, and said why */
	}
	return parse_l4(c, p, next);
}

static __always_inline bool is_tag(__u32 type)
{
	return type == bpf_htons(TYPE_VLAN) || type == bpf_htons(TYPE_QINQ) ||
	       type == bpf_htons(TYPE_QINQ_OLD);
}

/* A third tag, and those behind it. The kernel takes off tags of VLAN 0 as many as there are, so that behind
 * three of them is the same packet as behind none; and an address has to be found before anything may
 * be judged. Returns the type behind the last, a tag's own if there is no end, 0 if the frame ends first.
 * A function of its own, so that the verifier takes the place of what follows for any number. */
__noinline int parse_more_tags(struct xdp_md *ctx, struct packet *p)
{
	struct cursor c;
	__u32 type = bpf_htons(TYPE_VLAN);

	if (!ctx || !p)
		return 0;
	fault(p, DROP_VLAN_TAGS);
	c = (struct cursor){ctx, (void *)(long)ctx->data, (void *)(long)ctx->data_end};
	for (int i = VLAN_TAGS_MAX; i < VLAN_WALK_MAX && is_tag(type); i++) {
		struct vlan_tag tag;

		if (!cursor_read(&c, p->l3, &tag, sizeof(tag)))
			return 0;
		p->l3 += sizeof(tag);
		type = tag.type;
	}
	return type;
}

/* Fills *p. False: not TCP or UDP over IP (ARP, ICMP, neighbour discovery and
 * all the rest), or too short to tell for whom it is: no rule may see it. */
static __always_inline bool parse_packet(struct xdp_md *ctx, struct packet *p)
{
	struct cursor c = {
		.ctx = ctx,
		.data = (void *)(long)ctx->data,
		.data_end = (void *)(long)ctx->data_end,
	};
	struct ethhdr eth;
	struct vlan_tag tag;
	__u32 type;

	__builtin_memset(p, 0, sizeof(*p));
	if (c.data + sizeof(eth) > c.data_end)
		return false;
	type = ((struct ethhdr *)c.data)->h_proto;
	p->l3 = sizeof(eth);
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (!is_tag(type))
			break;
		if (!cursor_read(&c, p->l3, &tag, sizeof(tag)))
			return false;
		p->l3 += sizeof(tag);
		type = tag.type;
	}
	if (is_tag(type))
		type = parse_more_tags(ctx, p);
	if (type == bpf_htons(TYPE_IPV4))
		return parse_v4(&c, p);
	if (type == bpf_htons(TYPE_IPV6))
		return parse_v6(&c, p);
	return is_tag(type); /* whose it is stays unknown: then it is everybody's */
}

#endif
