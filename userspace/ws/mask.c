/* SPDX-License-Identifier: BSD-2-Clause */
/* mask.c - XOR with four bytes over and over, 32 at a time where the machine
 * can (AVX2, asked at run time), else 16 (SSE2, NEON: whatever the compiler
 * makes of two words), else 8.
 *
 * All strides are multiples of four, so the key need not turn before the tail.
 * Chat messages are shorter than one stride of AVX2: those never ask for it. */
#include <string.h>

#include "ws/mask.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the key is turned as little-endian machines need it"
#endif

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

static void store64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
}

/* Each takes a whole number of its strides off the front and says how many bytes. */
static size_t mask_words(uint8_t *p, size_t n, uint32_t key)
{
	uint64_t k = (uint64_t)key << 32 | key;
	size_t i = 0;
	for (; n - i >= 16; i += 16) {
		uint64_t a = load64(p + i) ^ k, b = load64(p + i + 8) ^ k;
		store64(p + i, a);
		store64(p + i + 8, b);
	}
	if (n - i >= 8) {
		store64(p + i, load64(p + i) ^ k);
		i += 8;
	}
	return i;
}

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx2"))) static size_t mask_avx2(uint8_t *p, size_t n, uint32_t key)
{
	const __m256i k = _mm256_set1_epi32((int)key);
	size_t i = 0;
	for (; n - i >= 128; i += 128) {
		__m256i *v = (__m256i *)(p + i);
		__m256i a = _mm256_loadu_si256(v), b = _mm256_loadu_si256(v + 1);
		__m256i c = _mm256_loadu_si256(v + 2), d = _mm256_loadu_si256(v + 3);
		_mm256_storeu_si256(v, _mm256_xor_si256(a, k));
		_mm256_storeu_si256(v + 1, _mm256_xor_si256(b, k));
		_mm256_storeu_si256(v + 2, _mm256_xor_si256(c, k));
		_mm256_storeu_si256(v + 3, _mm256_xor_si256(d, k));
	}
	for (; n - i >= 32; i += 32) {
		__m256i *v = (__m256i *)(p + i);
		_mm256_storeu_si256(v, _mm256_xor_si256(_mm256_loadu_si256(v), k));
	}
	return i;
}

static size_t mask_wide(uint8_t *p, size_t n, uint32_t key)
{
	return n >= 128 && __builtin_cpu_supports("avx2") ? mask_avx2(p, n, key) : 0;
}
#else
static size_t mask_wide(uint8_t *p, size_t n, uint32_t key)
{
	return 0;
}
#endif

uint32_t ws_mask(uint8_t *p, size_t n, uint32_t key)
{
	if (n == 0)
		return key;
	size_t i = mask_wide(p, n, key);
	i += mask_words(p + i, n - i, key);
	for (; i < n; i++) {
		p[i] ^= (uint8_t)key;
		key = key >> 8 | key << 24;
	}
	return key;
}
