/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.h - the buffers a worker lends to connections that need one for a while.
 *
 * An idle connection owns none. One with an incomplete frame or an unsent tail borrows a buffer,
 * and gives it back as soon as it can. A buffer is named by a 32-bit handle that fits into the
 * conn (which holds no pointers); 0 names none. Sizes are powers of two from 256 bytes to 64 KiB,
 * cut from chunks; bigger ones are mapped each on its own, rounded up to pages.
 *
 * All bytes lent count against one bound. A pool belongs to one thread. */
#ifndef SLUICE_BASE_POOL_H
#define SLUICE_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_NONE     0u
#define POOL_SIZE_MIN 256u
#define POOL_CUT_MAX  65536u        /* beyond it a buffer has its own mapping */
#define POOL_SIZE_MAX (1024u << 20) /* asking for more is refused */

struct pool;

struct pool_stats {
	size_t lent_bytes; /* capacity of all buffers lent now; this is what is bounded */
	size_t lent_count;
	size_t peak_bytes;   /* the most lent_bytes since pool_stats_reset_peak() */
	size_t mapped_bytes; /* address space held from the kernel for buffers, lent or free */
	uint64_t refused;    /* borrow and grow that the bound or the kernel refused */
};

/* The caller owns it. NULL when there is no memory. */
struct pool *pool_new(size_t bound_bytes);
/* Frees everything, lent buffers too. */
void pool_free(struct pool *p);

/* A buffer of at least `size` bytes (size > 0) with undefined content, or POOL_NONE beyond the
 * bound or without memory. */
uint32_t pool_borrow(struct pool *p, size_t size);
/* POOL_NONE is allowed. A handle that is not lent is asserted. */
void pool_return(struct pool *p, uint32_t handle);

/* Good until the buffer is grown or returned; aligned to 256 bytes. */
void *pool_ptr(const struct pool *p, uint32_t handle);
/* The whole capacity, all of it usable. */
size_t pool_size(const struct pool *p, uint32_t handle);

/* At least `size` bytes with the old content in front: the same handle, or a new one that takes
 * the old one's place (the old one is returned then); POOL_NONE when refused, and the old one
 * stays as it was. Never shrinks. */
uint32_t pool_grow(struct pool *p, uint32_t handle, size_t size);

/* After a burst chunks without a lent buffer go back by themselves, but for some kept warm; this
 * gives back those too. For a timer that finds the worker idle. */
void pool_trim(struct pool *p);

void pool_stats(const struct pool *p, struct pool_stats *out);
void pool_stats_reset_peak(struct pool *p);
/* A new bound; what is lent beyond it stays lent. */
void pool_set_bound(struct pool *p, size_t bound_bytes);

#endif
