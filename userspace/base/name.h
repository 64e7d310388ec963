/* SPDX-License-Identifier: BSD-2-Clause */
/* name.h - what may be a name that people read: UTF-8 without control characters (C0,
 * DEL, C1), so that it can be logged, shown in a terminal and sent back in JSON as it is. */
#ifndef SLUICE_BASE_NAME_H
#define SLUICE_BASE_NAME_H

#include "base/bytes.h"
#include "base/utf8.h"

static inline bool name_valid(struct bytes s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (const uint8_t *p = s.p, *end = s.p + s.n; p < end;) {
		size_t n = utf8_len(p, end);
		bool control = *p < 0x20 || *p == 0x7f || (*p == 0xc2 && n == 2 && p[1] < 0xa0);
		if (n == 0 || control)
			return false;
		p += n;
	}
	return true;
}

#endif
