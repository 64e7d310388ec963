/* SPDX-License-Identifier: BSD-2-Clause */
/* pool.c - buffers cut from chunks, named by number.
 *
 *   handle  ┌ 4 bits ┬──── 18 bits ────┬─ 10 bits ─┐
 *           │ class  │ chunk           │ slot      │      class 1: 256 bytes ... 9: 64 KiB
 *           ├────────┼─────────────────┴───────────┤
 *           │ BIG    │ index into the big table    │      each its own mapping
 *           └────────┴─────────────────────────────┘
 *
 * A chunk is 256 KiB of one class, with a bitmap of its free slots. Borrowing takes the lowest
 * free slot of the lowest chunk that has one: so after a burst the lent buffers gather at
 * the front and the chunks behind them become empty, and only an empty chunk can go back to the
 * kernel. Some empty ones are kept warm, so that a load that swings around a chunk's edge does
 * not map and unmap all the time. malloc was left: it cannot promise that the memory of a burst
 * goes back, nor say what is in use. */
#include "base/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif
#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CLASSES     9
#define CLASS_BIG   15u
#define CHUNK_BYTES (256u << 10)
#define CHUNKS_MAX  (1u << 18)
#define SLOTS_MAX   (CHUNK_BYTES / POOL_SIZE_MIN)
#define BIGS_MAX    (1u << 28)
#define BIG_ROUND   (64u << 10)

static_assert(POOL_SIZE_MIN << (CLASSES - 1) == POOL_CUT_MAX, "one class per power of two");
static_assert(SLOTS_MAX == 1024, "the slot has ten bits of the handle");

struct chunk {
	uint8_t *mem; /* owned; NULL: this number is not in use */
	uint32_t n_free;
	uint64_t free[SLOTS_MAX / 64];
};

struct class
{
	struct chunk *chunks; /* owned; numbers stay, the array may move */
	uint64_t *open;       /* owned; a bit per chunk: mapped and not all lent */
	uint32_t n_chunks, cap, n_mapped, n_empty;
};

struct big {
	uint8_t *mem; /* owned; NULL: free entry */
	size_t size;  /* of a free entry: the next free one + 1 */
};

struct pool {
	struct class classes[CLASSES];
	struct big *bigs; /* owned */
	uint32_t n_bigs, cap_bigs, free_big /* + 1 */;
	size_t bound;
	struct pool_stats stats;
};

static inline uint32_t class_size(unsigned class)
{
	return POOL_SIZE_MIN << class;
}

static inline uint32_t class_slots(unsigned class)
{
	return CHUNK_BYTES / class_size(class);
}

static inline unsigned class_of(size_t size)
{
	if (size <= POOL_SIZE_MIN)
		return 0;
	return 64u - (unsigned)__builtin_clzll((size - 1) / POOL_SIZE_MIN);
}

static inline void bit_set(uint64_t *map, uint32_t i, bool on)
{
	uint64_t bit = (uint64_t)1 << i % 64;
	map[i / 64] = on ? map[i / 64] | bit : map[i / 64] & ~bit;
}

static inline bool bit_get(const uint64_t *map, uint32_t i)
{
	return map[i / 64] >> i % 64 & 1;
}

struct pool *pool_new(size_t bound_bytes)
{
	struct pool *p = calloc(1, sizeof(*p));
	if (p)
		p->bound = bound_bytes;
	return p;
}

static uint8_t *map_bytes(struct pool *p, size_t n)
{
	void *mem = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return NULL;
	p->stats.mapped_bytes += n;
	return mem;
}

static void unmap_bytes(struct pool *p, uint8_t *mem, size_t n)
{
	UNPOISON(mem, n);
	munmap(mem, n);
	p->stats.mapped_bytes -= n;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	for (unsigned k = 0; k < CLASSES; k++) {
		struct class *c = &p->classes[k];
		for (uint32_t i = 0; i < c->n_chunks; i++)
			if (c->chunks[i].mem)
				unmap_bytes(p, c->chunks[i].mem, CHUNK_BYTES);
		free(c->chunks);
		free(c->open);
	}
	for (uint32_t i = 0; i < p->n_bigs; i++)
		if (p->bigs[i].mem)
			unmap_bytes(p, p->bigs[i].mem, p->bigs[i].size);
	free(p->bigs);
	free(p);
}

/* ---- the account ---------------------------------------------------------------------- */

static bool account_allows(struct pool *p, size_t more)
{
	if (more <= p->bound && p->stats.lent_bytes <= p->bound - more)
		return true;
	p->stats.refused++;
	return false;
}

static void account_lend(struct pool *p, size_t bytes)
{
	p->stats.lent_bytes += bytes;
	if (p->stats.lent_bytes > p->stats.peak_bytes)
		p->stats.peak_bytes = p->stats.lent_bytes;
}

/* ---- chunks --------------------------------------------------------------------------- */

static bool class_make_room(struct class *c)
{
	if (c->n_chunks < c->cap)
		return true;
	uint32_t cap = c->cap ? c->cap * 2 : 64; /* whole words of the bitmap */
	if (cap > CHUNKS_MAX)
		return false;
	struct chunk *chunks = realloc(c->chunks, cap * sizeof(*chunks));
	if (!chunks)
		return false;
	c->chunks = chunks;
	uint64_t *open = realloc(c->open, cap / 64 * sizeof(*open));
	if (!open)
		return false;
	c->open = open;
	memset(open + c->cap / 64, 0, (cap - c->cap) / 64 * sizeof(*open));
	c->cap = cap;
	return true;
}

/* Maps one more chunk under the lowest unused number. Returns the number, or UINT32_MAX. */
static uint32_t chunk_add(struct pool *p, unsigned class)
{
	struct class *c = &p->classes[class];
	uint32_t i = 0;

	while (i < c->n_chunks && c->chunks[i].mem)
		i++;
	if (i == c->n_chunks && !class_make_room(c))
		return UINT32_MAX;
	uint8_t *mem = map_bytes(p, CHUNK_BYTES);
	if (!mem)
		return UINT32_MAX;
	POISON(mem, CHUNK_BYTES);
	if (i == c->n_chunks)
		c->n_chunks++;

	struct chunk *k = &c->chunks[i];
	*k = (struct chunk){.mem = mem, .n_free = class_slots(class)};
	for (uint32_t s = 0; s < k->n_free; s++)
		bit_set(k->free, s, true);
	bit_set(c->open, i, true);
	c->n_mapped++;
	c->n_empty++;
	return i;
}

static void chunk_drop(struct pool *p, struct class *c, uint32_t i)
{
	unmap_bytes(p, c->chunks[i].mem, CHUNK_BYTES);
	c->chunks[i].mem = NULL;
	bit_set(c->open, i, false);
	c->n_mapped--;
	c->n_empty--;
	while (c->n_chunks && !c->chunks[c->n_chunks - 1].mem)
		c->n_chunks--;
}

static uint32_t cut_borrow(struct pool *p, unsigned class)
{
	struct class *c = &p->classes[class];
	uint32_t i = UINT32_MAX;

	for (uint32_t w = 0; w < (c->n_chunks + 63) / 64; w++)
		if (c->open[w]) {
			i = w * 64 + (uint32_t)__builtin_ctzll(c->open[w]);
			break;
		}
	if (i == UINT32_MAX && (i = chunk_add(p, class)) == UINT32_MAX)
		return POOL_NONE;

	struct chunk *k = &c->chunks[i];
	uint32_t slot = 0;
	while (!k->free[slot / 64])
		slot += 64;
	slot += (uint32_t)__builtin_ctzll(k->free[slot / 64]);
	bit_set(k->free, slot, false);
	if (k->n_free == class_slots(class))
		c->n_empty--;
	if (--k->n_free == 0)
		bit_set(c->open, i, false);
	UNPOISON(k->mem + (size_t)slot * class_size(class), class_size(class));
	return (class + 1) << 28 | i << 10 | slot;
}

static void cut_return(struct pool *p, unsigned class, uint32_t i, uint32_t slot)
{
	struct class *c = &p->classes[class];
	struct chunk *k = &c->chunks[i];

	POISON(k->mem + (size_t)slot * class_size(class), class_size(class));
	bit_set(k->free, slot, true);
	bit_set(c->open, i, true);
	if (++k->n_free < class_slots(class))
		return;
	c->n_empty++;
	if (c->n_empty > 1 + c->n_mapped / 8)
		chunk_drop(p, c, i);
}

/* ---- big ones ------------------------------------------------------------------------- */

static size_t big_round(size_t size)
{
	return (size + BIG_ROUND - 1) / BIG_ROUND * BIG_ROUND;
}

static uint32_t big_entry(struct pool *p)
{
	if (p->free_big) {
		uint32_t i = p->free_big - 1;
		p->free_big = (uint32_t)p->bigs[i].size;
		return i;
	}
	if (p->n_bigs == p->cap_bigs) {
		uint32_t cap = p->cap_bigs ? p->cap_bigs * 2 : 16;
		struct big *bigs = cap <= BIGS_MAX ? realloc(p->bigs, cap * sizeof(*bigs)) : NULL;
		if (!bigs)
			return UINT32_MAX;
		p->bigs = bigs;
		p->cap_bigs = cap;
	}
	return p->n_bigs++;
}

static void big_entry_free(struct pool *p, uint32_t i)
{
	p->bigs[i] = (struct big){.mem = NULL, .size = p->free_big};
	p->free_big = i + 1;
}

static uint32_t big_borrow(struct pool *p, size_t size)
{
	uint32_t i = big_entry(p);

	if (i == UINT32_MAX)
		return POOL_NONE;
	p->bigs[i] = (struct big){.mem = map_bytes(p, size), .size = size};
	if (!p->bigs[i].mem) {
		big_entry_free(p, i);
		return POOL_NONE;
	}
	return CLASS_BIG << 28 | i;
}

/* ---- handles -------------------------------------------------------------------------- */

struct place {
	bool big;
	unsigned class;
	uint32_t chunk, slot; /* of a big one: chunk is its index */
	uint8_t *mem;
	size_t size;
};

static struct place place_of(const struct pool *p, uint32_t handle)
{
	struct place at = {.class = handle >> 28};

	assert(handle != POOL_NONE);
	if (at.class == CLASS_BIG) {
		at.big = true;
		at.chunk = handle & (BIGS_MAX - 1);
		assert(at.chunk < p->n_bigs && p->bigs[at.chunk].mem);
		at.mem = p->bigs[at.chunk].mem;
		at.size = p->bigs[at.chunk].size;
		return at;
	}
	assert(at.class >= 1 && at.class <= CLASSES);
	at.class --;
	at.chunk = handle >> 10 & (CHUNKS_MAX - 1);
	at.slot = handle & (SLOTS_MAX - 1);
	const struct class *c = &p->classes[at.class];
	assert(at.chunk < c->n_chunks && c->chunks[at.chunk].mem);
	assert(at.slot < class_slots(at.class) && !bit_get(c->chunks[at.chunk].free, at.slot));
	at.size = class_size(at.class);
	at.mem = c->chunks[at.chunk].mem + at.slot * at.size;
	return at;
}

uint32_t pool_borrow(struct pool *p, size_t size)
{
	assert(size > 0);
	if (size > POOL_SIZE_MAX) {
		p->stats.refused++;
		return POOL_NONE;
	}
	bool big = size > POOL_CUT_MAX;
	unsigned class = big ? 0 : class_of(size);
	size_t bytes = big ? big_round(size) : class_size(class);

	if (!account_allows(p, bytes))
		return POOL_NONE;
	uint32_t handle = big ? big_borrow(p, bytes) : cut_borrow(p, class);
	if (handle == POOL_NONE) {
		p->stats.refused++;
		return POOL_NONE;
	}
	account_lend(p, bytes);
	p->stats.lent_count++;
	return handle;
}

void pool_return(struct pool *p, uint32_t handle)
{
	if (handle == POOL_NONE)
		return;
	struct place at = place_of(p, handle);
	p->stats.lent_bytes -= at.size;
	p->stats.lent_count--;
	if (at.big) {
		unmap_bytes(p, at.mem, at.size);
		big_entry_free(p, at.chunk);
	} else {
		cut_return(p, at.class, at.chunk, at.slot);
	}
}

void *pool_ptr(const struct pool *p, uint32_t handle)
{
	return place_of(p, handle).mem;
}

size_t pool_size(const struct pool *p, uint32_t handle)
{
	return place_of(p, handle).size;
}

static uint32_t big_grow(struct pool *p, uint32_t handle, struct place at, size_t size)
{
	size_t bytes = big_round(size);

	if (!account_allows(p, bytes - at.size))
		return POOL_NONE;
	void *mem = mremap(at.mem, at.size, bytes, MREMAP_MAYMOVE);
	if (mem == MAP_FAILED) {
		p->stats.refused++;
		return POOL_NONE;
	}
	p->bigs[at.chunk] = (struct big){.mem = mem, .size = bytes};
	p->stats.mapped_bytes += bytes - at.size;
	account_lend(p, bytes - at.size);
	return handle;
}

uint32_t pool_grow(struct pool *p, uint32_t handle, size_t size)
{
	struct place at = place_of(p, handle);

	if (size <= at.size)
		return handle;
	if (at.big && size <= POOL_SIZE_MAX)
		return big_grow(p, handle, at, size);
	/* while it is copied both are lent, and both count */
	uint32_t bigger = pool_borrow(p, size);
	if (bigger == POOL_NONE)
		return POOL_NONE;
	memcpy(pool_ptr(p, bigger), at.mem, at.size);
	pool_return(p, handle);
	return bigger;
}

void pool_trim(struct pool *p)
{
	for (unsigned k = 0; k < CLASSES; k++) {
		struct class *c = &p->classes[k];
		for (uint32_t i = c->n_chunks; i-- > 0 && c->n_empty;)
			if (c->chunks[i].mem && c->chunks[i].n_free == class_slots(k))
				chunk_drop(p, c, i);
	}
}

void pool_stats(const struct pool *p, struct pool_stats *out)
{
	*out = p->stats;
}

void pool_stats_reset_peak(struct pool *p)
{
	p->stats.peak_bytes = p->stats.lent_bytes;
}

void pool_set_bound(struct pool *p, size_t bound_bytes)
{
	p->bound = bound_bytes;
}
