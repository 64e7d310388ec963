/* SPDX-License-Identifier: BSD-2-Clause */
/* Who gets which slot, when a slot may be had again, and that no reference ever means a
 * stranger. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conn/slab.h"

static int memfd_of(uint32_t max)
{
	int fd = memfd_create("slab", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)conn_slab_bytes(max)), 0);
	return fd;
}

static void slab_make(struct conn_slab *s, uint32_t max, uint32_t incarnation)
{
	int fd = memfd_of(max);
	assert_int_equal(conn_slab_init(s, fd, max, incarnation), 0);
	close(fd);
}

static struct conn *take(struct conn_slab *s)
{
	struct conn *c = conn_slab_alloc(s);
	assert_non_null(c);
	c->state = CONN_OPEN;
	return c;
}

TEST(slab, indexes_are_dense_and_the_lowest_free_one_comes_first)
{
	struct conn_slab s;
	struct conn *c[200];

	slab_make(&s, 200, 1);
	for (unsigned i = 0; i < 200; i++) {
		c[i] = take(&s);
		assert_int_equal(conn_index(&s, c[i]), i);
	}
	assert_null(conn_slab_alloc(&s));
	assert_int_equal(s.live, 200);
	static const unsigned leave[] = {150, 3, 64, 63, 127, 199};
	for (unsigned i = 0; i < ARRAY_SIZE(leave); i++)
		conn_slab_free(&s, c[leave[i]], 0);
	assert_int_equal(s.live, 194);
	conn_slab_release(&s, 1);
	static const unsigned back[] = {3, 63, 64, 127, 150, 199};
	for (unsigned i = 0; i < ARRAY_SIZE(back); i++)
		assert_int_equal(conn_index(&s, take(&s)), back[i]);
	assert_null(conn_slab_alloc(&s));
	conn_slab_fini(&s);
}

TEST(slab, a_freed_slot_is_held_until_its_stamp_has_passed)
{
	struct conn_slab s;

	slab_make(&s, 8, 1);
	struct conn *a = take(&s), *b = take(&s);
	conn_slab_free(&s, a, 5); /* cursors up to 5 may name it */
	conn_slab_free(&s, b, 7);
	assert_int_equal(a->state, CONN_HELD);
	conn_slab_release(&s, 5); /* cursor 5 still lives */
	assert_int_equal(conn_index(&s, take(&s)), 2);
	conn_slab_release(&s, 6);
	assert_int_equal(conn_index(&s, take(&s)), 0);
	assert_int_equal(conn_index(&s, take(&s)), 3);
	conn_slab_release(&s, 8);
	assert_int_equal(conn_index(&s, take(&s)), 1);
	conn_slab_fini(&s);
}

TEST(slab, a_freed_conn_is_wiped_keys_included)
{
	struct conn_slab s;
	struct conn zero;

	slab_make(&s, 8, 1);
	struct conn *c = take(&s);
	memset(&c->tx_key, 0xaa, sizeof(c->tx_key));
	memset(&c->rx_key, 0xbb, sizeof(c->rx_key));
	memset(c->client_id, 0xcc, sizeof(c->client_id));
	conn_slab_free(&s, c, 0);
	memset(&zero, 0, sizeof(zero));
	zero.state = CONN_HELD;
	assert_memory_equal(c, &zero, sizeof(zero));
	conn_slab_fini(&s);
}

TEST(slab, a_reference_never_means_who_took_the_slot_since)
{
	struct conn_slab s;

	slab_make(&s, 4, 1);
	struct conn *c = take(&s);
	uint32_t gen = c->gen;
	assert_true(gen != 0);
	assert_ptr_equal(conn_deref(&s, 0, gen), c);
	assert_null(conn_deref(&s, 0, gen + 1));
	assert_null(conn_deref(&s, 1, gen));
	assert_null(conn_deref(&s, UINT32_MAX, gen));
	conn_slab_free(&s, c, 0);
	assert_null(conn_deref(&s, 0, gen));
	assert_null(conn_deref(&s, 0, 0));
	conn_slab_release(&s, 1);
	assert_null(conn_deref(&s, 0, gen));
	assert_null(conn_deref(&s, 0, 0));
	c = take(&s);
	assert_int_equal(conn_index(&s, c), 0);
	assert_null(conn_deref(&s, 0, gen));
	assert_ptr_equal(conn_deref(&s, 0, c->gen), c);
	conn_slab_fini(&s);
}

TEST(slab, generations_of_another_life_are_other_generations)
{
	enum { LIVES = 40, EACH = 2000 };
	uint32_t *seen = malloc(sizeof(*seen) * LIVES * EACH);
	size_t n = 0;

	assert_non_null(seen);
	for (uint32_t life = 1; life <= LIVES; life++) {
		struct conn_slab s;
		slab_make(&s, 2, life);
		for (unsigned i = 0; i < EACH; i++) {
			struct conn *c = take(&s);
			seen[n++] = c->gen;
			conn_slab_free(&s, c, i);
			conn_slab_release(&s, i + 1);
		}
		conn_slab_fini(&s);
	}
	for (size_t i = 0; i < n; i += EACH) /* runs: compare where they begin and end */
		for (size_t j = 0; j < n; j += EACH)
			if (i != j)
				assert_true(seen[j] - seen[i] >= EACH);
	free(seen);
}

TEST(slab, generation_zero_is_never_given)
{
	struct conn_slab s;

	slab_make(&s, 2, 1);
	s._gen = UINT32_MAX;
	assert_int_equal(take(&s)->gen, 1);
	conn_slab_fini(&s);
}

static uint64_t pages_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

TEST(slab, pages_of_a_worker_that_was_full_go_back_from_the_top)
{
	enum { MAX = 100000 };
	struct conn_slab s;
	int fd = memfd_of(MAX);

	assert_int_equal(conn_slab_init(&s, fd, MAX, 1), 0);
	for (unsigned i = 0; i < MAX; i++)
		take(&s);
	assert_true(pages_of(fd) >= MAX * sizeof(struct conn));
	for (unsigned i = 10; i < MAX; i++)
		conn_slab_free(&s, conn_at(&s, i), 0);
	conn_slab_release(&s, 1);
	assert_int_equal(s.high, 10);
	assert_true(pages_of(fd) <= (6u << 20)); /* what is kept warm, and huge pages' edges */
	for (unsigned i = 10; i < MAX; i++) {    /* and all of it can be had again */
		struct conn *c = take(&s);
		assert_int_equal(conn_index(&s, c), i);
	}
	assert_null(conn_slab_alloc(&s));
	conn_slab_fini(&s);
	close(fd);
}

TEST(slab, random_life_against_a_model)
{
	enum { MAX = 1000, STEPS = 200000 };
	struct conn_slab s;
	static uint8_t slot[MAX]; /* 0 free, 1 live, 2 held */
	static uint64_t stamp[MAX];
	uint64_t newest = 1, oldest = 1;
	uint32_t live = 0;

	srand(7);
	memset(slot, 0, sizeof(slot));
	slab_make(&s, MAX, 3);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned dice = (unsigned)rand() % 100;
		bool fill = step / 20000 % 2 == 0;
		if (dice < (fill ? 55u : 35u)) {
			uint32_t want = 0;
			while (want < MAX && slot[want] != 0)
				want++;
			struct conn *c = conn_slab_alloc(&s);
			if (want == MAX) {
				assert_null(c);
				continue;
			}
			assert_non_null(c);
			assert_int_equal(conn_index(&s, c), want);
			c->state = CONN_OPEN;
			slot[want] = 1;
			live++;
		} else if (dice < 90) {
			uint32_t at = (uint32_t)rand() % MAX;
			if (slot[at] != 1)
				continue;
			stamp[at] = newest;
			conn_slab_free(&s, conn_at(&s, at), newest);
			slot[at] = 2;
			live--;
		} else if (dice < 95) {
			newest++;
		} else {
			oldest += (uint64_t)rand() % (newest + 2 - oldest);
			conn_slab_release(&s, oldest);
			for (uint32_t i = 0; i < MAX; i++)
				if (slot[i] == 2 && stamp[i] < oldest)
					slot[i] = 0;
		}
		assert_int_equal(s.live, live);
	}
	conn_slab_fini(&s);
}

TEST(slab, a_descriptor_that_cannot_be_mapped_is_an_error)
{
	struct conn_slab s;
	assert_int_equal(conn_slab_init(&s, -1, 16, 1), -EBADF);
	conn_slab_fini(&s);
}

TEST_MAIN()
