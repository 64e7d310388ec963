/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.h - runs of pages out of one fixed stretch of sparse shared memory.
 *
 * The blocks of a mailbox: which pages are free is known to the sender alone, in private memory;
 * the shared memory holds nothing but what was written into the blocks. Lowest first, so that
 * the pages which the kernel has given us already are used again and the rest stays sparse. */
#ifndef SLUICE_WORKER_ARENA_H
#define SLUICE_WORKER_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_PAGE 4096u

struct arena_run {
	uint32_t at, n; /* pages */
};

struct arena {
	uint8_t *mem; /* the mapping, not owned; shared and writable */
	uint32_t n_pages;
	uint32_t used_pages;
	uint32_t touched;    /* pages from here on are not backed by memory */
	uint32_t idle_pages; /* about as many were freed and are still backed */
	/* free runs, ordered, never adjacent; owned */
	struct arena_run *_free;
	uint32_t _n_free, _cap;
};

/* False without memory. */
bool arena_init(struct arena *a, void *mem, uint64_t bytes);
void arena_fini(struct arena *a);

/* A run that holds `bytes` (> 0); false when there is none. */
bool arena_alloc(struct arena *a, uint64_t bytes, struct arena_run *run);
/* Gives the memory of free pages back by itself when much of it lies idle. */
void arena_free(struct arena *a, struct arena_run run);
/* Gives back all of it. */
void arena_trim(struct arena *a);

static inline uint8_t *arena_ptr(const struct arena *a, struct arena_run run)
{
	return a->mem + (uint64_t)run.at * ARENA_PAGE;
}

#endif
