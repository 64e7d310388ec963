/* SPDX-License-Identifier: BSD-2-Clause */
/* utf8.h - one character of UTF-8 (RFC 3629) in a text that is all there.
 * Frames are checked while they arrive; that is ws/'s own. */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the sequence at p (p < end): 1..4, or 0 if there is no valid one
 * (shortest form only, no surrogate, at most U+10FFFF). */
static inline uint32_t utf8_len(const uint8_t *p, const uint8_t *end)
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

#endif
