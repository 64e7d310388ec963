/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/bytes.h"
#include "base/pool.h"
#include "base/random.h"

#define MIB ((size_t)1 << 20)

static struct pool_stats stats(const struct pool *p)
{
	struct pool_stats s;
	pool_stats(p, &s);
	return s;
}

TEST(pool, a_size_is_rounded_up_to_its_class)
{
	static const size_t sizes[][2] = {
		{1, 256},       {256, 256},      {257, 512},       {512, 512},
		{513, 1024},    {4096, 4096},    {4097, 8192},     {65535, 65536},
		{65536, 65536}, {65537, 131072}, {200000, 262144},
	};
	struct pool *p = pool_new(64 * MIB);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t h = pool_borrow(p, sizes[i][0]);
		assert_int_not_equal(h, POOL_NONE);
		assert_int_equal(pool_size(p, h), sizes[i][1]);
		assert_int_equal((uintptr_t)pool_ptr(p, h) % 256, 0);
		memset(pool_ptr(p, h), 0x5a, sizes[i][1]);
		assert_int_equal(stats(p).lent_bytes, sizes[i][1]);
		pool_return(p, h);
	}
	assert_int_equal(stats(p).lent_bytes, 0);
	pool_free(p);
}

TEST(pool, returning_nothing_is_harmless)
{
	struct pool *p = pool_new(MIB);

	pool_return(p, POOL_NONE);
	pool_trim(p);
	pool_free(p);
	pool_free(NULL);
}

TEST(pool, beyond_the_bound_it_refuses_and_counts)
{
	struct pool *p = pool_new(1024);
	uint32_t a = pool_borrow(p, 512), b = pool_borrow(p, 512);

	assert_true(a && b);
	assert_int_equal(pool_borrow(p, 1), POOL_NONE);
	assert_int_equal(stats(p).refused, 1);
	pool_return(p, b);
	assert_int_not_equal(pool_borrow(p, 1), POOL_NONE);
	assert_int_equal(pool_borrow(p, SIZE_MAX), POOL_NONE);
	assert_int_equal(stats(p).peak_bytes, 1024);
	pool_stats_reset_peak(p);
	assert_int_equal(stats(p).peak_bytes, 768);
	pool_set_bound(p, 0);
	assert_int_equal(pool_borrow(p, 1), POOL_NONE);
	pool_free(p);
}

TEST(pool, growing_keeps_the_content)
{
	struct pool *p = pool_new(64 * MIB);
	uint32_t h = pool_borrow(p, 100);

	memset(pool_ptr(p, h), 7, 256);
	for (size_t size = 256; size <= 16 * MIB; size *= 2) {
		size_t old = pool_size(p, h);
		h = pool_grow(p, h, size + 1);
		assert_int_not_equal(h, POOL_NONE);
		assert_true(pool_size(p, h) > size);
		assert_int_equal(stats(p).lent_bytes, pool_size(p, h));
		const uint8_t *b = pool_ptr(p, h);
		for (size_t i = 0; i < old; i += 97)
			assert_int_equal(b[i], 7);
		memset(pool_ptr(p, h), 7, pool_size(p, h));
	}
	assert_int_equal(pool_grow(p, h, 1), h); /* never shrinks */
	assert_int_equal(stats(p).lent_count, 1);
	pool_return(p, h);
	pool_free(p);
}

TEST(pool, a_refused_growth_leaves_the_buffer_as_it_was)
{
	struct pool *p = pool_new(1024);
	uint32_t h = pool_borrow(p, 512);

	memcpy(pool_ptr(p, h), "still here", 11);
	assert_int_equal(pool_grow(p, h, 2000), POOL_NONE);
	assert_string_equal(pool_ptr(p, h), "still here");
	pool_set_bound(p, 256 * 1024);
	h = pool_grow(p, h, 100000);
	assert_int_not_equal(h, POOL_NONE);
	assert_int_equal(pool_grow(p, h, 300000), POOL_NONE);
	assert_string_equal(pool_ptr(p, h), "still here");
	pool_free(p);
}

TEST(pool, memory_of_a_burst_goes_back)
{
	enum { MANY = 20000 };
	static uint32_t h[MANY];
	struct pool *p = pool_new(256 * MIB);

	for (int i = 0; i < MANY; i++) {
		h[i] = pool_borrow(p, 4096);
		*(char *)pool_ptr(p, h[i]) = 1;
	}
	size_t mapped = stats(p).mapped_bytes;
	assert_true(mapped >= (size_t)MANY * 4096);
	for (int i = 0; i < MANY; i++)
		pool_return(p, h[i]);
	assert_true(stats(p).mapped_bytes < mapped / 4);
	assert_int_equal(stats(p).peak_bytes, (size_t)MANY * 4096);
	pool_trim(p);
	assert_int_equal(stats(p).mapped_bytes, 0);
	pool_free(p);
}

TEST(pool, an_edge_load_does_not_map_and_unmap)
{
	enum { PER_CHUNK = 64 };
	uint32_t h[PER_CHUNK + 1];
	struct pool *p = pool_new(64 * MIB);

	for (int i = 0; i <= PER_CHUNK; i++)
		h[i] = pool_borrow(p, 4096);
	size_t mapped = stats(p).mapped_bytes;
	for (int i = 0; i < 100; i++) {
		pool_return(p, h[PER_CHUNK]);
		assert_int_equal(stats(p).mapped_bytes, mapped);
		h[PER_CHUNK] = pool_borrow(p, 4096);
	}
	pool_free(p);
}

/* Every lent buffer holds its own pattern; nobody else may write there. */
TEST(pool, random_use_never_mixes_buffers)
{
	enum { HELD = 600 };
	static struct {
		uint32_t h;
		uint8_t fill;
	} held[HELD];
	struct pool *p = pool_new(16 * MIB);
	size_t lent = 0;

	memset(held, 0, sizeof(held));
	for (int round = 0; round < 60000; round++) {
		uint32_t i = random_below(HELD);
		size_t size = 1 + random_below(1u << (6 + random_below(13)));
		if (!held[i].h) {
			held[i].h = pool_borrow(p, size);
			if (!held[i].h)
				continue;
			held[i].fill = (uint8_t)random_u32();
			lent += pool_size(p, held[i].h);
			memset(pool_ptr(p, held[i].h), held[i].fill, pool_size(p, held[i].h));
			continue;
		}
		size_t n = pool_size(p, held[i].h);
		const uint8_t *b = pool_ptr(p, held[i].h);
		for (size_t k = 0; k < n; k += 61)
			assert_int_equal(b[k], held[i].fill);
		assert_int_equal(b[n - 1], held[i].fill);
		if (random_below(3) == 0) {
			uint32_t bigger = pool_grow(p, held[i].h, size);
			if (!bigger)
				continue;
			held[i].h = bigger;
			b = pool_ptr(p, bigger);
			assert_int_equal(b[n - 1], held[i].fill);
			lent += pool_size(p, bigger) - n;
			memset(pool_ptr(p, bigger), held[i].fill, pool_size(p, bigger));
		} else {
			pool_return(p, held[i].h);
			held[i].h = 0;
			lent -= n;
		}
		if (round % 1000 == 0)
			pool_trim(p);
		assert_int_equal(stats(p).lent_bytes, lent);
		assert_true(stats(p).mapped_bytes >= lent && lent <= 16 * MIB);
	}
	for (int i = 0; i < HELD; i++)
		pool_return(p, held[i].h);
	pool_trim(p);
	assert_int_equal(stats(p).lent_count, 0);
	assert_int_equal(stats(p).mapped_bytes, 0);
	pool_free(p);
}

#ifdef SLUICE_SAN
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
TEST(pool, a_returned_buffer_cannot_be_written)
{
	struct pool *p = pool_new(MIB);
	uint32_t a = pool_borrow(p, 256), b = pool_borrow(p, 256);
	volatile char *was = pool_ptr(p, a);
	int status;

	pool_return(p, a);
	(void)b;
	pid_t pid = fork();
	if (pid == 0) {
		freopen("/dev/null", "w", stderr);
		*was = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_not_equal(status, 0);
	pool_free(p);
}
#endif
#endif
#endif

TEST_MAIN()
