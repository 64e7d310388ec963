/* SPDX-License-Identifier: BSD-2-Clause */
/* list.h - conns of one worker in an order of our own, first in, first out.
 *
 * A conn has no room for links of lists in which few ever stand, so these lie in a table beside the
 * slab: 8 bytes per slot, untouched pages for those who were never in it. Who is in the list
 * is written down by the caller, in a flag of the conn. */
#ifndef SLUICE_CONN_LIST_H
#define SLUICE_CONN_LIST_H

#include <stdint.h>

struct conn_list;

/* For indexes 0 .. max-1. NULL: no memory. */
struct conn_list *conn_list_new(uint32_t max);
void conn_list_free(struct conn_list *l);

/* Behind all others; it must not be in the list. */
void conn_list_append(struct conn_list *l, uint32_t index);
/* It must be in the list. */
void conn_list_remove(struct conn_list *l, uint32_t index);
/* Who stands longest, but for `spare` (CONN_NONE: nobody is spared). CONN_NONE: there is none. */
uint32_t conn_list_first(const struct conn_list *l, uint32_t spare);
uint32_t conn_list_count(const struct conn_list *l);

#endif
