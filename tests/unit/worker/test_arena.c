/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of pages against a map of bytes that says who owns which page. */
#include "test.h"

#include "base/bytes.h"
#include "base/random.h"
#include "worker/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES 512

static uint8_t *shared(void)
{
	int fd = memfd_create("arena", 0);
	assert_int_equal(ftruncate(fd, PAGES * ARENA_PAGE), 0);
	uint8_t *mem = mmap(NULL, PAGES * ARENA_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	close(fd);
	return mem;
}

TEST(arena, gives_the_lowest_run_that_fits)
{
	struct arena a;
	struct arena_run r[4];

	assert_true(arena_init(&a, NULL, PAGES * ARENA_PAGE));
	assert_true(arena_alloc(&a, 1, &r[0]));
	assert_true(arena_alloc(&a, ARENA_PAGE, &r[1]));
	assert_true(arena_alloc(&a, ARENA_PAGE + 1, &r[2]));
	assert_int_equal(r[0].at, 0);
	assert_int_equal(r[1].at, 1);
	assert_int_equal(r[2].at, 2);
	assert_int_equal(r[2].n, 2);
	arena_free(&a, r[0]);
	assert_true(arena_alloc(&a, 2 * ARENA_PAGE, &r[3]));
	assert_int_equal(r[3].at, 4);
	assert_true(arena_alloc(&a, 5, &r[0]));
	assert_int_equal(r[0].at, 0);
	arena_fini(&a);
}

TEST(arena, the_whole_of_it_and_nothing_more)
{
	struct arena a;
	struct arena_run all, more;

	assert_true(arena_init(&a, NULL, PAGES * ARENA_PAGE));
	assert_false(arena_alloc(&a, PAGES * ARENA_PAGE + 1, &more));
	assert_true(arena_alloc(&a, PAGES * ARENA_PAGE, &all));
	assert_false(arena_alloc(&a, 1, &more));
	arena_free(&a, all);
	assert_int_equal(a.used_pages, 0);
	assert_true(arena_alloc(&a, PAGES * ARENA_PAGE, &all));
	arena_fini(&a);
}

TEST(arena, trimming_gives_memory_back_and_spares_what_is_used)
{
	struct arena a;
	struct arena_run keep, go;
	uint8_t *mem = shared();
	unsigned char resident[PAGES];

	assert_true(arena_init(&a, mem, PAGES * ARENA_PAGE));
	assert_true(arena_alloc(&a, 100 * ARENA_PAGE, &go));
	assert_true(arena_alloc(&a, 10 * ARENA_PAGE, &keep));
	memset(arena_ptr(&a, go), 1, 100 * ARENA_PAGE);
	memset(arena_ptr(&a, keep), 2, 10 * ARENA_PAGE);
	arena_free(&a, go);
	arena_trim(&a);
	assert_int_equal(mincore(mem, PAGES * ARENA_PAGE, resident), 0);
	for (int i = 0; i < PAGES; i++)
		assert_int_equal(resident[i] & 1, i >= 100 && i < 110);
	assert_int_equal(mem[105 * ARENA_PAGE], 2);
	arena_fini(&a);
	munmap(mem, PAGES * ARENA_PAGE);
}

TEST(arena, random_use_never_gives_a_page_twice)
{
	static struct arena_run held[200];
	static uint8_t owner[PAGES];
	struct arena a;
	uint32_t used = 0;
	uint8_t *mem = shared();

	memset(held, 0, sizeof(held));
	memset(owner, 0, sizeof(owner));
	assert_true(arena_init(&a, mem, PAGES * ARENA_PAGE));
	for (int round = 0; round < 40000; round++) {
		struct arena_run *h = &held[random_below(ARRAY_SIZE(held))];
		if (h->n) {
			for (uint32_t i = 0; i < h->n; i++)
				owner[h->at + i] = 0;
			used -= h->n;
			arena_free(&a, *h);
			h->n = 0;
		} else if (arena_alloc(&a, 1 + random_below(20 * ARENA_PAGE), h)) {
			assert_true(h->n && h->at + h->n <= PAGES);
			for (uint32_t i = 0; i < h->n; i++) {
				assert_int_equal(owner[h->at + i], 0);
				owner[h->at + i] = 1;
			}
			used += h->n;
		}
		if (round % 1000 == 0)
			arena_trim(&a);
		assert_int_equal(a.used_pages, used);
	}
	for (size_t i = 0; i < ARRAY_SIZE(held); i++)
		if (held[i].n)
			arena_free(&a, held[i]);
	assert_int_equal(a._n_free, 1);
	assert_int_equal(a._free[0].n, PAGES);
	arena_fini(&a);
	munmap(mem, PAGES * ARENA_PAGE);
}

TEST_MAIN()
