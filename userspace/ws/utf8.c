/* SPDX-License-Identifier: BSD-2-Clause */
/* utf8.c - three gears.
 *
 *   ASCII     sixteen bytes a look, which is most JSON
 *   vectors   where the machine has AVX2: 32 bytes of any script a look, by the
 *             nibble tables of Keiser and Lemire, "Validating UTF-8 In Less
 *             Than One Instruction Per Byte" (2021); written anew from the paper
 *   bytes     an automaton; for the edges of a run, where a character may be cut
 *
 * The automaton's state is what the next byte must be. Only the second byte of a
 * character has ranges that depend on the first: overlong forms, surrogates and
 * what lies above U+10FFFF all show there, so that the first wrong byte is seen
 * as it comes. */
#include "ws/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum state {
	WHOLE = UTF8_WHOLE,
	LAST,     /* one more, 80..BF */
	TWO,      /* two more, 80..BF each */
	THREE,    /* three more */
	AFTER_E0, /* A0..BF, else overlong */
	AFTER_ED, /* 80..9F, else a surrogate */
	AFTER_F0, /* 90..BF, else overlong */
	AFTER_F4, /* 80..8F, else above U+10FFFF */
	WRONG = 0xff,
};

static const struct {
	uint8_t low, high, next;
} wants[] = {
	[LAST] = {0x80, 0xbf, WHOLE},    [TWO] = {0x80, 0xbf, LAST},
	[THREE] = {0x80, 0xbf, TWO},     [AFTER_E0] = {0xa0, 0xbf, LAST},
	[AFTER_ED] = {0x80, 0x9f, LAST}, [AFTER_F0] = {0x90, 0xbf, TWO},
	[AFTER_F4] = {0x80, 0x8f, TWO},
};

static uint8_t first_byte(uint8_t c)
{
	if (c < 0x80)
		return WHOLE;
	if (c < 0xc2) /* a continuation, or the overlong C0 and C1 */
		return WRONG;
	if (c < 0xe0)
		return LAST;
	if (c < 0xf0)
		return c == 0xe0 ? AFTER_E0 : c == 0xed ? AFTER_ED : TWO;
	return c == 0xf0 ? AFTER_F0 : c < 0xf4 ? THREE : c == 0xf4 ? AFTER_F4 : WRONG;
}

static uint8_t step(uint8_t state, uint8_t c)
{
	if (state == WHOLE)
		return first_byte(c);
	return c >= wants[state].low && c <= wants[state].high ? wants[state].next : WRONG;
}

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		int m = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)p));
		if (m)
			return p + __builtin_ctz((unsigned)m);
	}
#else
	for (uint64_t v; end - p >= 8; p += 8) {
		memcpy(&v, p, 8);
		if (v & 0x8080808080808080u)
			break;
	}
#endif
	while (p < end && *p < 0x80)
		p++;
	return p;
}

#ifdef __x86_64__
#include <immintrin.h>

/* What can be wrong with two bytes in a row, one bit each. Three tables, by the
 * nibbles of the first byte and the high nibble of the second, say which errors
 * those nibbles allow; an error that all three allow is one. */
enum {
	TOO_SHORT = 1, /* a first byte that no continuation follows */
	TOO_LONG = 2,  /* ASCII, and a continuation */
	OVERLONG_3 = 4,
	TOO_LARGE = 8, /* F4 90..BF, F5..FF */
	SURROGATE = 16,
	OVERLONG_2 = 32,
	OVERLONG_4 = 64,                          /* F0 80..8F; with FX and 80..8F also: F5..FF */
	TWO_CONTS = 128,                          /* right only as byte 3 or 4 of a character */
	CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS, /* whatever the first byte's low nibble */
	ANY_CONT = TOO_LONG | OVERLONG_2 | TWO_CONTS, /* whichever continuation comes second */
};

static const uint8_t by_first_high[16] = {
	[0x0 ... 0x7] = TOO_LONG,
	[0x8 ... 0xb] = TWO_CONTS,
	[0xc] = TOO_SHORT | OVERLONG_2,
	[0xd] = TOO_SHORT,
	[0xe] = TOO_SHORT | OVERLONG_3 | SURROGATE,
	[0xf] = TOO_SHORT | TOO_LARGE | OVERLONG_4,
};

static const uint8_t by_first_low[16] = {
	[0x0] = CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4,
	[0x1] = CARRY | OVERLONG_2,
	[0x2 ... 0x3] = CARRY,
	[0x4] = CARRY | TOO_LARGE,
	[0x5 ... 0xc] = CARRY | TOO_LARGE | OVERLONG_4,
	[0xd] = CARRY | TOO_LARGE | OVERLONG_4 | SURROGATE,
	[0xe ... 0xf] = CARRY | TOO_LARGE | OVERLONG_4,
};

static const uint8_t by_second_high[16] = {
	[0x0 ... 0x7] = TOO_SHORT,
	[0x8] = ANY_CONT | OVERLONG_3 | OVERLONG_4,
	[0x9] = ANY_CONT | OVERLONG_3 | TOO_LARGE,
	[0xa ... 0xb] = ANY_CONT | SURROGATE | TOO_LARGE,
	[0xc ... 0xf] = TOO_SHORT,
};

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i look_up(const uint8_t table[16], __m256i nibbles)
{
	__m128i t = _mm_loadu_si128((const __m128i *)table);
	return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), nibbles);
}

AVX2 static inline __m256i low_nibbles(__m256i v)
{
	return _mm256_and_si256(v, _mm256_set1_epi8(0x0f));
}

AVX2 static inline __m256i high_nibbles(__m256i v)
{
	return low_nibbles(_mm256_srli_epi16(v, 4));
}

/* v, shifted up by k bytes, with the last k of the block before in front. */
#define BEFORE(v, last, k) _mm256_alignr_epi8(v, _mm256_permute2x128_si256(last, v, 0x21), 16 - (k))

AVX2 static inline __m256i pair_errors(__m256i first, __m256i second)
{
	__m256i errors = look_up(by_first_high, high_nibbles(first));
	errors = _mm256_and_si256(errors, look_up(by_first_low, low_nibbles(first)));
	return _mm256_and_si256(errors, look_up(by_second_high, high_nibbles(second)));
}

/* Where a byte must be the third or fourth of its character, TWO_CONTS is right,
 * and missing it is the error: hence the exclusive or. */
AVX2 static inline __m256i block_errors(__m256i v, __m256i last)
{
	const __m256i below_third = _mm256_set1_epi8((char)(0xe0 - 0x80));
	const __m256i below_fourth = _mm256_set1_epi8((char)(0xf0 - 0x80));
	__m256i errors = pair_errors(BEFORE(v, last, 1), v);
	__m256i third = _mm256_subs_epu8(BEFORE(v, last, 2), below_third);
	__m256i fourth = _mm256_subs_epu8(BEFORE(v, last, 3), below_fourth);
	__m256i must = _mm256_or_si256(third, fourth);
	must = _mm256_and_si256(must, _mm256_set1_epi8((char)TWO_CONTS));
	return _mm256_xor_si256(must, errors);
}

/* How many bytes at the end of p[0..n) may be the beginning of a character. */
static size_t cut_character(const uint8_t *p, size_t n)
{
	for (size_t k = 1; k <= 3 && k <= n; k++) {
		uint8_t c = p[n - k];
		if (c < 0x80)
			return 0;
		if (c >= 0xc0) /* a first byte: of two, three or four */
			return k < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u) ? k : 0;
	}
	return 0;
}

/* p[0..n) begins between two characters. Returns how many bytes are good, all but
 * a character cut at the end, or -1. The last block is filled up with zeros, which
 * nothing in front of them can take amiss once the cut character is off. */
AVX2 static long check_blocks(const uint8_t *p, size_t n)
{
	__m256i last = _mm256_setzero_si256(), errors = last;
	uint8_t tail[32] = {0};
	size_t i = 0, whole = n - cut_character(p, n);
	for (; whole - i >= 32; i += 32) {
		__m256i v = _mm256_loadu_si256((const __m256i *)(p + i));
		errors = _mm256_or_si256(errors, block_errors(v, last));
		last = v;
	}
	memcpy(tail, p + i, whole - i);
	errors = _mm256_or_si256(errors,
				 block_errors(_mm256_loadu_si256((const __m256i *)tail), last));
	return _mm256_testz_si256(errors, errors) ? (long)whole : -1;
}

#define VECTOR_MIN 16 /* below, loading the tables costs more than they save */

static long check_vectors(const uint8_t *p, size_t n)
{
	return n >= VECTOR_MIN && __builtin_cpu_supports("avx2") ? check_blocks(p, n) : 0;
}
#else
static long check_vectors(const uint8_t *p, size_t n)
{
	return 0;
}
#endif

bool utf8_check(uint8_t *state, struct bytes text)
{
	if (text.n == 0)
		return true;
	const uint8_t *p = text.p, *end = text.p + text.n;
	uint8_t s = *state;
	while (p < end && s != WHOLE) {
		s = step(s, *p++);
		if (s == WRONG)
			return false;
	}
	p = skip_ascii(p, end);
	long good = check_vectors(p, (size_t)(end - p));
	if (good < 0)
		return false;
	for (p += good; p < end; p++) {
		s = step(s, *p);
		if (s == WRONG)
			return false;
	}
	*state = s;
	return true;
}

size_t utf8_cut(struct bytes text, size_t max)
{
	if (text.n <= max)
		return text.n;
	while (max && (text.p[max] & 0xc0) == 0x80)
		max--;
	return max;
}
