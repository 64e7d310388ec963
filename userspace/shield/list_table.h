/* SPDX-License-Identifier: BSD-2-Clause */
/* list_table.h - prefixes and where an address finds the innermost one: the memory that
 * bpf/shield_list.h searches, written. abi.h has its layout.
 *
 * The memory is the caller's: that of two maps while packets read it, or ordinary memory
 * while a list is being built. One writer. Readers at the same time see each prefix as before
 * a change or as after it; `live` says that there are any. What a change of a live table has
 * replaced may still be read, and is not used again before list_table_settle(). */
#ifndef SLUICE_SHIELD_LIST_TABLE_H
#define SLUICE_SHIELD_LIST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct list_table {
	struct list_top *top; /* two: IPv4, IPv6 */
	struct list_block *heap;
	struct list_entry *entry;
	struct list_hot *hot; /* as many */
	uint32_t blocks;      /* of heap[]; more than LIST_POOL_BLOCK */
	uint32_t entries;     /* of entry[], with the unused entry 0 */
	bool live;
	uint32_t *_waiting; /* refs that packets may still read */
	size_t _n_waiting, _cap_waiting;
};

/* Blocks that one change may need at most. */
#define LIST_CHANGE_BLOCKS 320

/* Makes an empty table of memory that is all zero. */
void list_table_format(struct list_table *t);
/* Forgets what is private to this struct; the memory stays the caller's. */
void list_table_fini(struct list_table *t);

/* Room for one more entry? If not, build a larger one (or settle, if much was deleted). */
bool list_table_has_room(const struct list_table *t);
uint32_t list_table_count(const struct list_table *t, unsigned family); /* 4 or 6 */
uint32_t list_table_blocks(const struct list_table *t);                 /* ever used */
uint64_t list_table_bytes(const struct list_table *t);                  /* of the maps */
/* One more than the highest entry that was ever used: the bound of a walk. Free ones have
 * family 0. */
uint32_t list_table_end(const struct list_table *t);

/* The entry of exactly this prefix in this set; 0: there is none. Host bits must be 0, as
 * everywhere here. */
uint32_t list_table_find(const struct list_table *t, const struct list_entry *prefix);
/* Of that prefix in any set, the one of the highest number. */
uint32_t list_table_find_any(const struct list_table *t, const struct list_entry *prefix);
/* The innermost entry around an address, living or expired; 0: none. */
uint32_t list_table_lookup(const struct list_table *t, unsigned family, const uint8_t addr[16]);

/* Adds an entry; `e` has all but the parent. It must not be there yet and there must be room.
 * Returns its number. */
uint32_t list_table_add(struct list_table *t, const struct list_entry *e);
/* Takes it out; what was inside it belongs to the one around it. */
void list_table_del(struct list_table *t, uint32_t entry);

/* Its expiry is another one now: packets are to know. */
void list_table_renewed(struct list_table *t, uint32_t entry);

/* The same for a whole list, in the order of list_entry_compare(), into a table that is empty
 * and not live: each node is written once. list_fill_end() makes it searchable. `fill` is large;
 * begin with all zero but `table`. False: there is no room. */
struct list_fill {
	struct list_table *table;
	uint32_t _open; /* the deepest node that is being filled; 0: none */
	uint8_t _family, _path[16];
	uint32_t _last;
	uint32_t _v[16][256]; /* by depth */
};
bool list_fill_add(struct list_fill *fill, const struct list_entry *e);
void list_fill_end(struct list_fill *fill);

/* No packet reads any more what was there before: it may be used again. */
void list_table_settle(struct list_table *t);
bool list_table_is_settled(const struct list_table *t);

/* Order of what is inside what: by family, address, length, set; < 0, 0, > 0. */
int list_entry_compare(const struct list_entry *a, const struct list_entry *b);

#endif
