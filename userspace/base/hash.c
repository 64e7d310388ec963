/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.c - SipHash-2-4, as its paper gives it: two rounds per 8 bytes, four at the end, and
 * the last word carries the length. */
#include "base/hash.h"

static inline uint64_t load_le64(const uint8_t *p)
{
	return __builtin_bswap64(load_be64(p));
}

static inline uint64_t rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
}

uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], struct bytes data)
{
	uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			 k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)data.n << 56;
	size_t i = 0;

	for (; i + 8 <= data.n; i += 8)
		sip_word(v, load_le64(data.p + i));
	for (unsigned shift = 0; i < data.n; i++, shift += 8)
		last |= (uint64_t)data.p[i] << shift;
	sip_word(v, last);
	v[2] ^= 0xff;
	for (int r = 0; r < 4; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
