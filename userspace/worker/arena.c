/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.c - first fit over an ordered array of free runs.
 *
 * Blocks are freed nearly in the order in which they were made, so the array stays a few entries
 * long; at the very worst (every second page free) an operation moves a quarter of a megabyte of
 * private memory, which is still less than what the blocks cost to fill. */
#include "worker/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IDLE_PAGES_MAX ((8u << 20) / ARENA_PAGE)

bool arena_init(struct arena *a, void *mem, uint64_t bytes)
{
	*a = (struct arena){.mem = mem, .n_pages = (uint32_t)(bytes / ARENA_PAGE), ._cap = 16};
	a->_free = malloc(a->_cap * sizeof(*a->_free));
	if (!a->_free)
		return false;
	a->_free[0] = (struct arena_run){.at = 0, .n = a->n_pages};
	a->_n_free = 1;
	return true;
}

void arena_fini(struct arena *a)
{
	free(a->_free);
	a->_free = NULL;
}

static void free_remove(struct arena *a, uint32_t i)
{
	memmove(&a->_free[i], &a->_free[i + 1], (a->_n_free - i - 1) * sizeof(*a->_free));
	a->_n_free--;
}

/* Without room for one more entry the pages could never be found again. */
static void free_insert(struct arena *a, uint32_t i, struct arena_run run)
{
	if (a->_n_free == a->_cap) {
		a->_cap = a->_cap ? a->_cap * 2 : 16;
		a->_free = realloc(a->_free, a->_cap * sizeof(*a->_free));
		assert(a->_free && i < a->_cap);
	}
	memmove(&a->_free[i + 1], &a->_free[i], (a->_n_free - i) * sizeof(*a->_free));
	a->_free[i] = run;
	a->_n_free++;
}

bool arena_alloc(struct arena *a, uint64_t bytes, struct arena_run *run)
{
	uint64_t pages = (bytes + ARENA_PAGE - 1) / ARENA_PAGE;

	assert(bytes > 0);
	for (uint32_t i = 0; i < a->_n_free; i++) {
		struct arena_run *f = &a->_free[i];
		if (f->n < pages)
			continue;
		*run = (struct arena_run){.at = f->at, .n = (uint32_t)pages};
		f->at += run->n;
		f->n -= run->n;
		if (f->n == 0)
			free_remove(a, i);
		a->used_pages += run->n;
		a->idle_pages -= run->n < a->idle_pages ? run->n : a->idle_pages;
		if (a->touched < run->at + run->n)
			a->touched = run->at + run->n;
		return true;
	}
	return false;
}

void arena_free(struct arena *a, struct arena_run run)
{
	uint32_t lo = 0, hi = a->_n_free;

	while (lo < hi) { /* the first free run behind it */
		uint32_t mid = (lo + hi) / 2;
		if (a->_free[mid].at < run.at)
			lo = mid + 1;
		else
			hi = mid;
	}
	struct arena_run *before = lo ? &a->_free[lo - 1] : NULL;
	struct arena_run *behind = lo < a->_n_free ? &a->_free[lo] : NULL;
	assert(run.n > 0 && run.n <= a->used_pages);
	assert(!before || before->at + before->n <= run.at);
	assert(!behind || run.at + run.n <= behind->at);
	a->used_pages -= run.n;
	a->idle_pages += run.n;

	bool joins_before = before && before->at + before->n == run.at;
	bool joins_behind = behind && run.at + run.n == behind->at;
	if (joins_before && joins_behind) {
		before->n += run.n + behind->n;
		free_remove(a, lo);
	} else if (joins_before) {
		before->n += run.n;
	} else if (joins_behind) {
		behind->at = run.at;
		behind->n += run.n;
	} else {
		free_insert(a, lo, run);
	}
	if (a->idle_pages > IDLE_PAGES_MAX + a->used_pages)
		arena_trim(a);
}

void arena_trim(struct arena *a)
{
	a->idle_pages = 0;
	for (uint32_t i = 0; i < a->_n_free; i++) {
		struct arena_run f = a->_free[i];
		if (f.at >= a->touched)
			break;
		if (f.at + f.n >= a->touched) { /* nothing in use behind it */
			f.n = a->touched - f.at;
			a->touched = f.at;
		}
		/* punches a hole in the shared memory; should the kernel refuse, we only keep it */
		(void)madvise(arena_ptr(a, f), (size_t)f.n * ARENA_PAGE, MADV_REMOVE);
	}
}
