/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_malformed.h - rule 1: what no honest stack sends.
 *
 * It needs no memory and no map: a source can be forged, a contradiction
 * cannot. The yardstick is what real stacks do send, not what the RFCs wish:
 * a rule that is right and cuts off a telephone is wrong. */
#ifndef SLUICE_BPF_SHIELD_MALFORMED_H
#define SLUICE_BPF_SHIELD_MALFORMED_H

#include "parse.h"

/* The sets that netfilter's connection tracking accepts too. PSH, ECE and CWR say
 * nothing about the state of a connection and may stand anywhere: Windows pushes its
 * resets, ECN rides on SYNs. What remains refused: none at all, FIN without
 * ACK ("Xmas"), SYN with FIN or RST, RST with FIN or URG. */
static __always_inline bool tcp_flags_exist(__u8 flags)
{
	switch (flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) {
	case TCP_SYN:
	case TCP_SYN | TCP_URG:
	case TCP_SYN | TCP_ACK:
	case TCP_RST:
	case TCP_RST | TCP_ACK:
	case TCP_ACK:
	case TCP_ACK | TCP_URG:
	case TCP_FIN | TCP_ACK:
	case TCP_FIN | TCP_ACK | TCP_URG: return true;
	}
	return false;
}

/* 240/4 is not listed: some clouds hand it out. */
static __always_inline bool v4_source_is_bogus(const struct packet *p)
{
	__u8 net = p->src.byte[0];

	return net == 0 || (net == 127 && !p->loopback) || (net & 0xf0) == 224 ||
	       p->src.word[0] == 0xffffffff;
}

static __always_inline bool v6_source_is_bogus(const struct packet *p)
{
	if (p->src.byte[0] == 0xff)
		return true;
	if (p->src.half[0] != 0)
		return false;
	return p->src.half[1] == 0 ||                                  /* :: */
	       p->src.word[2] == bpf_htonl(0xffff) ||                  /* ::ffff:a.b.c.d */
	       (p->src.half[1] == bpf_cpu_to_be64(1) && !p->loopback); /* ::1 */
}

static __always_inline enum drop_reason shield_malformed(const struct packet *p)
{
	if (p->fault)
		return p->fault;
	if (p->family == 4 ? v4_source_is_bogus(p) : v6_source_is_bogus(p))
		return DROP_BOGUS_SOURCE;
	/* On loopback a host does speak to its own address, but never to the same socket. */
	if (p->src.half[0] == p->dst.half[0] && p->src.half[1] == p->dst.half[1] &&
	    (!p->loopback || (p->ports && p->src_port == p->dst_port)))
		return DROP_LAND;
	if (p->proto != L4_TCP)
		return DROP_NONE;
	if (p->src_port == 0)
		return DROP_PORT_ZERO;
	if (p->tcp_header < sizeof(struct tcphdr) || p->tcp_header > p->end - p->l4)
		return DROP_BAD_TCP_OFFSET;
	if (!tcp_flags_exist(p->tcp_flags))
		return DROP_BAD_TCP_FLAGS;
	return DROP_NONE;
}

#endif
