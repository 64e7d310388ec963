/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* tcp.h - a TCP header on the stack, and the options in it.
 *
 * Three layouts are nearly all that is met, and are known by their words: Linux and Android,
 * Windows, Apple. Whatever else there is goes option by option. */
#ifndef SLUICE_BPF_TCP_H
#define SLUICE_BPF_TCP_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "parse.h"

#define TCP_WORDS_MAX 15
#define OPTIONS_MAX   24 /* that we look at; 40 bytes of no-ops are nobody's */

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACK_OK = 4,
	OPT_TIMESTAMPS = 8,
};

union tcp_head {
	__u32 word[16]; /* as on the wire; behind the header's own length 0 */
	__u8 byte[64];
};

struct tcp_options {
	__u32 mss; /* 0: none */
	__u32 wscale;
	__u32 tsval, tsecr;
	__u32 has_wscale, sack, timestamps; /* 0 or 1 */
	__u32 at; /* how far options_walk() is: in memory, where the verifier forgets it */
};

/* What a SYN offered and we agreed to. */
struct cookie_terms {
	__u32 mss;    /* theirs */
	__u32 wscale; /* theirs; WSCALE_NONE */
	__u32 sack, ecn, timestamps;
};

/* Whom a cookie is for. */
struct cookie_flow {
	union addr src, dst; /* the client's; ours */
	__u32 ports;         /* his above ours */
	__u32 isn;           /* his */
	__u32 family;        /* 4 or 6 */
};

/* What one packet of rules 5 and 6 is read into, and the SYN-ACK made in. */
/* Somebody listens there, as was found a moment ago; shield_syn.h. */
#define LISTENS      32 /* remembered, by address and port */
#define LISTENS_LAST (1ull << 27)
struct syn_listens {
	union addr dst;
	__u64 until_ns; /* CLOCK_MONOTONIC_COARSE */
	__u32 port;
	__u32 family;
};

struct syn_scratch {
	union tcp_head head;
	struct tcp_options said;
	struct cookie_terms terms;
	struct cookie_flow flow;
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	} ip;             /* just enough of it for the kernel's helpers */
	__u32 isn, tsval; /* ours */
	__u32 words;      /* of our header */
	__u32 known;      /* packets of established connections; shield_flow.h */
	struct syn_listens listens[LISTENS];
};

#define WORD(a, b, c, d) bpf_htonl((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

static __always_inline bool options_of_linux(const union tcp_head *h, struct tcp_options *o)
{
	if ((h->word[5] & WORD(255, 255, 0, 0)) != WORD(OPT_MSS, 4, 0, 0) ||
	    h->word[6] != WORD(OPT_SACK_OK, 2, OPT_TIMESTAMPS, 10) ||
	    (h->word[9] & WORD(255, 255, 255, 0)) != WORD(OPT_NOP, OPT_WSCALE, 3, 0))
		return false;
	o->mss = bpf_ntohl(h->word[5]) & 0xffff;
	o->sack = 1;
	o->timestamps = 1;
	o->tsval = bpf_ntohl(h->word[7]);
	o->tsecr = bpf_ntohl(h->word[8]);
	o->has_wscale = 1;
	o->wscale = bpf_ntohl(h->word[9]) & 0xff;
	return true;
}

static __always_inline bool options_of_windows_or_apple(const union tcp_head *h,
							struct tcp_options *o)
{
	if ((h->word[5] & WORD(255, 255, 0, 0)) != WORD(OPT_MSS, 4, 0, 0) ||
	    (h->word[6] & WORD(255, 255, 255, 0)) != WORD(OPT_NOP, OPT_WSCALE, 3, 0))
		return false;
	if (h->word[7] == WORD(OPT_NOP, OPT_NOP, OPT_TIMESTAMPS, 10) &&
	    h->word[10] == WORD(OPT_SACK_OK, 2, OPT_END, OPT_END)) {
		o->timestamps = 1;
		o->tsval = bpf_ntohl(h->word[8]);
		o->tsecr = bpf_ntohl(h->word[9]);
	} else if (h->word[7] != WORD(OPT_NOP, OPT_NOP, OPT_SACK_OK, 2) || h->word[8]) {
		return false;
	}
	o->sack = 1;
	o->mss = bpf_ntohl(h->word[5]) & 0xffff;
	o->has_wscale = 1;
	o->wscale = bpf_ntohl(h->word[6]) & 0xff;
	return true;
}

static __always_inline __u32 be32_at(const union tcp_head *h, __u32 at)
{
	return (__u32)h->byte[at & 63] << 24 | (__u32)h->byte[(at + 1) & 63] << 16 |
	       (__u32)h->byte[(at + 2) & 63] << 8 | h->byte[(at + 3) & 63];
}

/* Everybody else's. A wrong length ends the walk: what stood before it holds. The header
 * comes with zeros behind it, and a zero is the end of the list. */
__noinline int options_walk(const union tcp_head *h, struct tcp_options *o, __u32 bytes)
{
	volatile __u32 *next;

	if (!h || !o)
		return 0;
	next = &o->at;
	*next = 20;
	for (int i = 0; i < OPTIONS_MAX; i++) {
		__u32 at = *next & 63, kind, n;

		if (at + 1 >= bytes)
			break;
		kind = h->byte[at];
		n = h->byte[(at + 1) & 63];
		if (kind == OPT_END)
			break;
		if (kind == OPT_NOP) {
			*next = at + 1;
			continue;
		}
		if (n < 2 || at + n > bytes)
			break;
		if (kind == OPT_MSS && n == 4) {
			o->mss = be32_at(h, at) & 0xffff;
		} else if (kind == OPT_WSCALE && n == 3) {
			o->has_wscale = 1;
			o->wscale = h->byte[(at + 2) & 63];
		} else if (kind == OPT_SACK_OK && n == 2) {
			o->sack = 1;
		} else if (kind == OPT_TIMESTAMPS && n == 10) {
			o->timestamps = 1;
			o->tsval = be32_at(h, at + 2);
			o->tsecr = be32_at(h, at + 6);
		}
		*next = at + n;
	}
	return 0;
}

/* Those of a SYN. */
static __always_inline void tcp_syn_options(const union tcp_head *h, __u32 bytes,
					    struct tcp_options *o)
{
	__builtin_memset(o, 0, sizeof(*o));
	if (options_of_linux(h, o) || options_of_windows_or_apple(h, o))
		return;
	options_walk(h, o, bytes);
}

/* Those of an ACK: only its timestamps say anything. */
static __always_inline void tcp_ack_options(const union tcp_head *h, __u32 bytes,
					    struct tcp_options *o)
{
	__builtin_memset(o, 0, sizeof(*o));
	if (h->word[5] == WORD(OPT_NOP, OPT_NOP, OPT_TIMESTAMPS, 10)) {
		o->timestamps = 1;
		o->tsval = bpf_ntohl(h->word[6]);
		o->tsecr = bpf_ntohl(h->word[7]);
	} else if (h->word[5]) {
		options_walk(h, o, bytes);
	}
}

#endif
