/* SPDX-License-Identifier: BSD-2-Clause */
/* synack.h - what the shield's SYN-ACKs say, and its cookies made a second time.
 *
 * Written from the description in bpf/shield_cookie.h and the RFCs, and sharing nothing with the
 * program: test_cookie.c compares the two. */
#ifndef SLUICE_TESTS_BPF_SYNACK_H
#define SLUICE_TESTS_BPF_SYNACK_H

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "base/hash.h"
#include "bpf/abi.h"
#include "packet.h"

static inline uint64_t coarse_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t window_now(void)
{
	return coarse_ns() >> COOKIE_WINDOW_SHIFT;
}

/* ---- a SYN-ACK, read ------------------------------------------------------------- */

struct synack {
	size_t l3, l4, bytes; /* of the frame */
	bool v6;
	uint32_t seq, ack, window, flags;
	uint32_t mss, wscale, tsval, tsecr;
	bool has_wscale, sack, timestamps;
	char options[81]; /* in hex */
};

static inline void synack_options(struct synack *s, const uint8_t *o, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sprintf(s->options + 2 * i, "%02x", o[i]);
	for (size_t i = 0; i < n && o[i];) {
		if (o[i] == 1) {
			i++;
			continue;
		}
		assert(i + 1 < n && o[i + 1] >= 2 && i + o[i + 1] <= n);
		if (o[i] == 2)
			s->mss = load_be16(o + i + 2);
		else if (o[i] == 3)
			s->has_wscale = true, s->wscale = o[i + 2];
		else if (o[i] == 4)
			s->sack = true;
		else if (o[i] == 8)
			s->timestamps = true, s->tsval = load_be32(o + i + 2),
			s->tsecr = load_be32(o + i + 6);
		else
			assert(!"an option that nobody asked for");
		i += o[i + 1];
	}
}

/* The frame `out` is the answer to the SYN `in`, untagged or behind one tag; asserts that both checksums hold and
 * that the way back is the way in. */
static inline void synack_read(struct synack *s, const uint8_t *in, const uint8_t *out, size_t got)
{
	unsigned type = load_be16(in + 12);
	size_t ip, bytes;
	const uint8_t *h;

	memset(s, 0, sizeof(*s));
	assert(memcmp(out, in + 6, 6) == 0);
	assert(memcmp(out + 6, in, 6) == 0);
	s->l3 = type == 0x8100 || type == 0x88a8 || type == 0x9100 ? 18 : 14;
	assert(memcmp(out + 12, in + 12, s->l3 - 12) == 0);
	h = out + s->l3;
	s->v6 = h[0] >> 4 == 6;
	ip = s->v6 ? 40 : 20;
	s->l4 = s->l3 + ip;
	bytes = s->v6 ? load_be16(h + 4) : (size_t)load_be16(h + 2) - 20;
	s->bytes = s->l4 + bytes;
	assert(got == s->bytes || (got == 60 && s->bytes < 60));
	for (size_t i = s->bytes; i < got; i++)
		assert(out[i] == 0);
	if (s->v6) {
		assert(h[6] == 6);
		assert(memcmp(h + 8, in + s->l3 + 24, 16) == 0);
		assert(memcmp(h + 24, in + s->l3 + 8, 16) == 0);
	} else {
		assert(h[0] == 0x45);
		assert(h[9] == 6);
		assert(packet_fold(packet_sum(0, h, 20)) == 0);
		assert(memcmp(h + 12, in + s->l3 + 16, 4) == 0);
		assert(memcmp(h + 16, in + s->l3 + 12, 4) == 0);
	}
	assert(packet_fold(packet_sum(packet_sum((uint32_t)bytes + 6, h + (s->v6 ? 8 : 12),
						 s->v6 ? 32 : 8),
				      out + s->l4, bytes)) == 0);
	h = out + s->l4;
	s->seq = load_be32(h + 4);
	s->ack = load_be32(h + 8);
	s->flags = h[13];
	s->window = load_be16(h + 14);
	assert(h[12] == (uint8_t)(bytes << 2));
	assert(load_be16(h) == 443);
	synack_options(s, h + 20, bytes - 20);
}

/* ---- a cookie, made again --------------------------------------------------------- */

struct cookie_made {
	const uint8_t *from, *to; /* addresses: his and ours */
	bool v6;
	uint16_t sport, dport;
	uint32_t isn; /* his */
	uint32_t data;
	bool form; /* timestamps */
};

static inline uint32_t cookie_again(const struct cookie_keys *keys, const struct cookie_made *m,
				    uint64_t window)
{
	uint32_t last = (uint32_t)((window & 0x7fffff) << 1 | m->form);
	uint32_t parity = (uint32_t)(window & 1) << 31, mac;
	uint8_t msg[48] = {}, key[16], *at = msg;
	size_t n = m->v6 ? 16 : 4;

	memcpy(at, m->from, n);
	memcpy(at + n, m->to, n);
	at += 2 * n;
	memcpy(at, &(uint32_t){(uint32_t)m->sport << 16 | m->dport}, 4);
	memcpy(at + 4, &m->isn, 4);
	memcpy(at + 8, &last, 3);
	memcpy(at + 11, &m->data, 4);
	memcpy(key, keys->at[window % COOKIE_KEYS].key, 16);
	mac = (uint32_t)hash_keyed(key, (struct bytes){msg, 2 * n + 15});
	return m->form ? parity | (mac & 0x7fffffff) : parity | m->data << 23 | (mac & 0x7fffff);
}

#endif
