/* SPDX-License-Identifier: BSD-2-Clause */
/* descriptors.c - close_range(2) over the gaps between those that stay. */
#include "keeper/descriptors.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;
	return (x > y) - (x < y);
}

int descriptors_close_except(int *keep, size_t n)
{
	qsort(keep, n, sizeof(*keep), by_number);
	unsigned next = 0; /* all below have been judged */
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < 0 || (unsigned)keep[i] < next)
			continue; /* none, or the same one twice */
		if ((unsigned)keep[i] > next && close_range(next, (unsigned)keep[i] - 1, 0) < 0)
			return -errno;
		next = (unsigned)keep[i] + 1;
	}
	return close_range(next, UINT_MAX, 0) < 0 ? -errno : 0;
}
