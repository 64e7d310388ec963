/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.h - one hash that strangers may choose the input of, and one that they may not.
 *
 * hash_keyed() is SipHash-2-4 (Aumasson and Bernstein, 2012): without the key nobody can make
 * names that collide. The keeper draws one key at start and every worker uses it, so that all
 * of them agree where a channel is at home. hash_mix() has no key and no such promise: it only
 * spreads the bits of a number that we made ourselves (an index, an id). */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include "base/bytes.h"

#define HASH_KEY_BYTES 16

/* SipHash-2-4, 64 bits; `data` may be empty. */
uint64_t hash_keyed(const uint8_t key[HASH_KEY_BYTES], struct bytes data);

/* A bijection of 64-bit numbers: no two inputs share an output. */
static inline uint64_t hash_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	x ^= x >> 31;
	return x;
}

/* Fair choice of one of n (n > 0) from a hash: multiply and shift, no division. */
static inline uint32_t hash_pick(uint64_t hash, uint32_t n)
{
	return (uint32_t)(((hash >> 32) * n) >> 32);
}

#endif
