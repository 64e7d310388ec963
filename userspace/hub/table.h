/* SPDX-License-Identifier: BSD-2-Clause */
/* table.h - channels by name: dense numbers and one cache line each.
 *
 * The hub keeps one of these for the channels that have subscribers here, the memory engine
 * one for the channels that are at home here. An entry is 64 bytes: its name (24 bytes
 * inline, longer ones on the heap) and 32 bytes of its user's. Numbers are dense and
 * used again; entries never move. */
#ifndef SLUICE_HUB_TABLE_H
#define SLUICE_HUB_TABLE_H

#include <assert.h>

#include "base/bytes.h"

#define CHANNEL_NONE     UINT32_MAX
#define CHANNEL_BITS     26 /* of a number: the rest of a subscription's word is flags */
#define CHANNEL_MAX      (1u << CHANNEL_BITS)
#define CHANNEL_NEAR_MAX 24

struct channel_key {
	uint32_t hash;
	uint16_t space;
	uint8_t n; /* bytes of the name; 0: the entry is free */
	uint8_t _zero;
	union {
		uint8_t near[CHANNEL_NEAR_MAX];
		uint8_t *far;       /* owned, if n > CHANNEL_NEAR_MAX */
		uint32_t next_free; /* if n is 0 */
	};
};

struct channel_entry {
	struct channel_key key;
	uint64_t user[4]; /* zeros when added */
};
static_assert(sizeof(struct channel_entry) == 64, "one cache line");

/* Open addressing; a slot is hash << 32 | number + 1, 0 if empty. */
struct channel_slots {
	uint64_t *slot; /* owned */
	uint32_t mask, used;
};

struct channel_table {
	struct channel_entry **chunk; /* owned */
	uint32_t n_chunks, cap_chunks;
	uint32_t high;      /* numbers ever used */
	uint32_t n;         /* channels */
	uint32_t free_head; /* number, CHANNEL_NONE: none */
	size_t far_bytes;
	struct channel_slots now;
	struct channel_slots old; /* while it grows or shrinks: the rest of the former */
	uint32_t old_at;
};

/* False: no memory. */
bool channel_table_init(struct channel_table *t);
void channel_table_fini(struct channel_table *t);

/* `hash` is hub_hash() of space and name. CHANNEL_NONE: not there. */
uint32_t channel_table_find(const struct channel_table *t, uint32_t hash, uint16_t space,
			    struct bytes name);
/* Not there yet; 1 to 255 bytes of name are copied. CHANNEL_NONE: no memory, or full. */
uint32_t channel_table_add(struct channel_table *t, uint32_t hash, uint16_t space,
			   struct bytes name);
void channel_table_remove(struct channel_table *t, uint32_t number);

#define CHANNEL_CHUNK 1024u
static inline struct channel_entry *channel_table_at(const struct channel_table *t, uint32_t number)
{
	assert(number < t->high);
	return &t->chunk[number / CHANNEL_CHUNK][number % CHANNEL_CHUNK];
}

/* Good until the channel is removed. */
static inline struct bytes channel_name(const struct channel_key *k)
{
	return BYTES(k->n > CHANNEL_NEAR_MAX ? k->far : k->near, k->n);
}

size_t channel_table_memory(const struct channel_table *t);

#endif
