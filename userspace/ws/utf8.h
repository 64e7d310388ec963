/* SPDX-License-Identifier: BSD-2-Clause */
/* utf8.h - is this UTF-8 (RFC 3629), told at the first byte that cannot be.
 *
 * The state is one byte and starts as 0. Text may be cut anywhere, also within
 * a character; after the last run the state must be UTF8_WHOLE. Overlong
 * forms, surrogates and everything above U+10FFFF are refused. */
#ifndef SLUICE_WS_UTF8_H
#define SLUICE_WS_UTF8_H

#include "base/bytes.h"

#define UTF8_WHOLE 0 /* between two characters */

/* False at the first byte that cannot belong there; the state is then of no
 * more use. */
bool utf8_check(uint8_t *state, struct bytes text);

/* A text that is all there. */
static inline bool utf8_valid(struct bytes text)
{
	uint8_t state = UTF8_WHOLE;
	return utf8_check(&state, text) && state == UTF8_WHOLE;
}

/* Length of the longest prefix of `text` that is at most max bytes and does not
 * end within a character; `text` must be valid. For truncating close reasons. */
size_t utf8_cut(struct bytes text, size_t max);

#endif
