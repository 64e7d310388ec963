/* SPDX-License-Identifier: BSD-2-Clause */
/* list_source.h - the file that sluice.conf names for a set of a list: opened with the keeper's rights,
 * read without any. What `sluiced -t` says of it is what a start or SIGHUP would. */
#ifndef SLUICE_KEEPER_LIST_SOURCE_H
#define SLUICE_KEEPER_LIST_SOURCE_H

#include "base/bytes.h"
#include "config/config.h"
#include "shield/list_file.h"
#include "shield/list_mmdb.h"

struct list_source {
	const struct config_list *list; /* the caller's */
	struct bytes text;              /* mapped */
	struct list_mmdb *db;           /* instead, where countries or asns are wanted */
};

#define LIST_SOURCE_WHY_MAX 120

/* Never waits: a FIFO or a directory is refused. False: *why has the reason, and there is nothing to
 * close. */
bool list_source_open(struct list_source *s, const struct config_list *c,
		      char why[LIST_SOURCE_WHY_MAX]);
/* Reads and finishes f. As list_file_read(); a file without a prefix is a mistake too, for whoever
 * empties a file hardly wants everything that it kept out back in, and so is one that says it is of
 * the other list. */
int list_source_read(struct list_source *s, struct list_file *f);
void list_source_close(struct list_source *s);

/* What is wrong with it, into the log, each mistake with file and line. */
void list_source_log(const struct config_list *c, const struct list_file *f, int err);
/* All of the above. */
bool list_source_check(const struct config_list *c);

#endif
