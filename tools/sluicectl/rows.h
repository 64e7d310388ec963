/* SPDX-License-Identifier: BSD-2-Clause */
/* rows.h - a list that may be long, printed as it comes: page by page, worker by worker, so that a
 * million rows cost neither this program nor the daemon more than a page at a time. */
#ifndef SLUICE_SLUICECTL_ROWS_H
#define SLUICE_SLUICECTL_ROWS_H

#include "tools/sluicectl/ctl.h"

struct rows {
	struct ctl *ctl;
	long long left; /* rows still wanted */
	void (*print_head)(void);
	void (*print_row)(const json_t *row);
	const char *to, *space; /* only whom this means, ctl_select(); NULL: all */
	unsigned long long shown;
};
#define ROWS_LIMIT 1000 /* unless the command line says more */

/* The keyword `limit`, which may be NULL, into rows->left. False after ctl_fail(). */
bool rows_limit(struct rows *r, const char *limit);
void rows_put(struct rows *r, json_t *row);
/* All that a worker tells of what is asked, as far as they are wanted; `name` may be NULL. The exit code. */
int rows_of_worker(struct rows *r, const char *ask, int worker, const char *name);
/* With -j and -p: the end of the list. */
void rows_end(const struct rows *r);

#endif
