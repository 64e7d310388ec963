/* SPDX-License-Identifier: BSD-2-Clause */
/* list.h - what the files of the objects deny and allow share. */
#ifndef SLUICE_SLUICECTL_LIST_H
#define SLUICE_SLUICECTL_LIST_H

#include "bpf/abi.h"
#include "tools/sluicectl/ctl.h"

#define LIST_SHORT 16384 /* room for so many: bpftool may dump it */

struct list_row {
	uint64_t hits, expires_ns, created_ns;
	uint8_t addr[16];
	unsigned family, len;
	const char *reason, *set, *note;
};

json_t *list_row_json(const struct list_row *row);
void list_rows_print(const json_t *rows);

/* list_pages.c */
int list_sets_show(struct ctl *ctl, int argc, char **argv);
int list_around_show(struct ctl *ctl, int argc, char **argv);
int list_long_show(struct ctl *ctl);
int list_export(struct ctl *ctl, int argc, char **argv);

/* list_caller.c: whoever sits at the other end of this terminal must not lock himself out. */
struct list_caller {
	unsigned family; /* 4 or 6; 0: nobody that we know of */
	uint8_t addr[16];
};
struct list_caller list_caller(void);
bool list_caller_in(const struct list_caller *c, unsigned family, const uint8_t addr[16],
		    unsigned len);
/* "198.51.100.7, where you have come from"; static */
const char *list_caller_str(const struct list_caller *c);

/* list_load.c */
int list_load(struct ctl *ctl, int argc, char **argv);

#endif
