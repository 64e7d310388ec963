/* SPDX-License-Identifier: BSD-2-Clause */
/* json_text.h - inside of json.c and json_out.c: what may stand in a string as
 * it is, and how long a UTF-8 sequence is. Nobody else includes this. */
#ifndef SLUICE_BASE_JSON_TEXT_H
#define SLUICE_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The length of the UTF-8 sequence at p (RFC 3629: shortest form, no surrogate,
 * at most U+10FFFF), 0 if there is none. */
static inline uint32_t json_utf8_len(const uint8_t *p, const uint8_t *end)
{
	uint8_t c = p[0];
	uint32_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
	if (n < 2)
		return n;
	if ((size_t)(end - p) < n)
		return 0;
	/* only the second byte's range depends on the first: overlong forms,
	 * surrogates and what lies beyond U+10FFFF all show there */
	uint8_t lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	uint8_t hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (uint32_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Past the bytes that mean themselves: anything but quote, backslash, control
 * character and, with `ascii`, what is not ASCII. */
static inline const uint8_t *json_plain_run(const uint8_t *p, const uint8_t *end, bool ascii)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i ctrl = _mm_set1_epi8(0x1f);
	const int high = ascii ? 0xffff : 0;
	while (end - p >= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)p);
		__m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
		stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(x, ctrl), x));
		int m = _mm_movemask_epi8(stop) | (_mm_movemask_epi8(x) & high);
		if (m)
			return p + __builtin_ctz((unsigned)m);
		p += 16;
	}
#endif
	while (p < end && *p != '"' && *p != '\\' && *p > 0x1f && !(ascii && *p >= 0x80))
		p++;
	return p;
}

#endif
