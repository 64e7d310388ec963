/* SPDX-License-Identifier: BSD-2-Clause */
/* lint.h - what `make lint` tells the analyzer before every file; no build includes it.
 *
 * Sluice returns `call() < 0 ? -errno : 0`. The analyzer does not know that errno is positive
 * after a call that failed, takes the negative for a possible 0, and then complains of all that
 * the call would have filled in. */
#ifndef SLUICE_LINT_H
#define SLUICE_LINT_H

#include <errno.h>

static inline int *lint_errno(void)
{
	int *e = __errno_location();
	if (*e <= 0)
		__builtin_unreachable();
	return e;
}
#undef errno
#define errno (*lint_errno())

#endif
