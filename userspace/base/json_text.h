/* SPDX-License-Identifier: BSD-2-Clause */
/* json_text.h - inside of json.c and json_out.c: what may stand in a string as
 * it is. Nobody else includes this. */
#ifndef SLUICE_BASE_JSON_TEXT_H
#define SLUICE_BASE_JSON_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/utf8.h"

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
