/* SPDX-License-Identifier: BSD-2-Clause */
/* backoff.c - the schedule that backoff.h draws. */
#include "keeper/backoff.h"

uint32_t backoff_next_ms(struct backoff *b, uint64_t lived_ms)
{
	if (lived_ms >= BACKOFF_FORGIVE_MS)
		b->failures = 0;
	uint32_t before = b->failures;
	if (b->failures < UINT32_MAX)
		b->failures++;
	if (before == 0)
		return 0;
	if (before > 7) /* 100 << 7 is beyond the maximum already */
		return BACKOFF_MAX_MS;
	uint32_t ms = BACKOFF_FIRST_MS << (before - 1);
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}
