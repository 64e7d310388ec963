/* SPDX-License-Identifier: BSD-2-Clause */
/* The wheel against the simplest thing that could be right: an array of deadlines. */
#include "test.h"

#include "base/bytes.h"
#include "base/random.h"
#include "base/wheel.h"

struct thing {
	uint64_t before;
	struct wheel_link link;
	uint32_t after;
};

#define N 512
static struct thing things[N];
static struct wheel w;
static uint32_t fired[4 * N], fired_n;

static void note(void *ctx, uint32_t index)
{
	assert_false(wheel_armed(&w, index));
	if (fired_n < ARRAY_SIZE(fired))
		fired[fired_n] = index;
	fired_n++;
}

static void fresh(uint32_t now)
{
	memset(things, 0, sizeof(things));
	fired_n = 0;
	wheel_init(&w, things, sizeof(things[0]), offsetof(struct thing, link), N, now);
}

TEST(wheel, fires_at_its_tick_and_not_before)
{
	static const uint32_t ahead[] = {1,        2,         255,       256,       257,
					 511,      512,       65535,     65536,     65537,
					 0xffffff, 0x1000000, 0x1000001, 0x7fffffff};
	static const uint32_t start[] = {0, 1, 255, 256, 0xffffffff, 0xffffff00, 0x7fffffff, 12345};

	for (size_t s = 0; s < ARRAY_SIZE(start); s++)
		for (size_t i = 0; i < ARRAY_SIZE(ahead); i++) {
			fresh(start[s]);
			wheel_add(&w, 7, start[s] + ahead[i]);
			assert_false(wheel_run(&w, start[s] + ahead[i] - 1, 100, note, NULL));
			assert_int_equal(fired_n, 0);
			assert_true(wheel_armed(&w, 7));
			assert_int_equal(wheel_next_ticks(&w), 1);
			assert_false(wheel_run(&w, start[s] + ahead[i], 100, note, NULL));
			assert_int_equal(fired_n, 1);
			assert_int_equal(fired[0], 7);
			assert_int_equal(wheel_armed_count(&w), 0);
			assert_int_equal(wheel_next_ticks(&w), UINT32_MAX);
		}
}

TEST(wheel, a_deadline_in_the_past_fires_at_the_next_tick)
{
	fresh(1000);
	wheel_add(&w, 0, 1000);
	wheel_add(&w, 1, 3);
	wheel_add(&w, 2, 999);
	assert_false(wheel_run(&w, 1000, 10, note, NULL));
	assert_int_equal(fired_n, 0);
	assert_false(wheel_run(&w, 1001, 10, note, NULL));
	assert_int_equal(fired_n, 3);
}

TEST(wheel, a_clock_that_steps_back_is_ignored)
{
	fresh(1000);
	wheel_add(&w, 0, 1010);
	assert_false(wheel_run(&w, 500, 10, note, NULL));
	assert_false(wheel_run(&w, 1009, 10, note, NULL));
	assert_int_equal(fired_n, 0);
	assert_false(wheel_run(&w, 1010, 10, note, NULL));
	assert_int_equal(fired_n, 1);
}

TEST(wheel, deleting_and_moving_leave_no_trace)
{
	fresh(0);
	wheel_del(&w, 3);
	for (uint32_t i = 0; i < 10; i++)
		wheel_add(&w, i, 20);
	wheel_del(&w, 0);
	wheel_del(&w, 9);
	wheel_del(&w, 5);
	wheel_del(&w, 5);
	wheel_move(&w, 4, 30);
	wheel_move(&w, 5, 30);
	assert_int_equal(wheel_armed_count(&w), 8);
	wheel_run(&w, 20, 100, note, NULL);
	assert_int_equal(fired_n, 6);
	wheel_run(&w, 30, 100, note, NULL);
	assert_int_equal(fired_n, 8);
}

TEST(wheel, budget_ends_a_run_and_the_next_goes_on)
{
	fresh(0);
	for (uint32_t i = 0; i < N; i++)
		wheel_add(&w, i, 70000 + i % 3);
	unsigned runs = 1;
	while (wheel_run(&w, 70001, 50, note, NULL))
		runs++;
	/* each entry moves down from level 2 to 1 to 0, and fires */
	assert_in_range(runs, N / 50, 3 * N / 50 + 2);
	assert_int_equal(fired_n, (N + 2) / 3 + (N + 1) / 3);
	assert_false(wheel_run(&w, 70002, N, note, NULL));
	assert_int_equal(fired_n, N);
}

TEST(wheel, a_run_that_just_used_its_budget_is_complete)
{
	fresh(0);
	wheel_add(&w, 0, 5);
	wheel_add(&w, 1, 100);
	assert_false(wheel_run(&w, 50, 1, note, NULL));
	assert_int_equal(fired_n, 1);
	assert_int_equal(wheel_next_ticks(&w), 50);
}

TEST(wheel, an_entry_waiting_for_budget_can_still_be_deleted)
{
	fresh(0);
	for (uint32_t i = 0; i < 20; i++)
		wheel_add(&w, i, 300);
	assert_true(wheel_run(&w, 300, 5, note, NULL)); /* some in transit, some below */
	for (uint32_t i = 0; i < 20; i++)
		wheel_del(&w, i);
	assert_false(wheel_run(&w, 300, 5, note, NULL));
	assert_int_equal(fired_n, 0);
	assert_int_equal(wheel_armed_count(&w), 0);
}

static void again(void *ctx, uint32_t index)
{
	note(ctx, index);
	wheel_add(&w, index, 0); /* always past: one tick later */
}

TEST(wheel, a_callback_that_rearms_for_the_past_cannot_hold_the_loop)
{
	fresh(10);
	wheel_add(&w, 0, 11);
	assert_false(wheel_run(&w, 14, 1000, again, NULL));
	assert_int_equal(fired_n, 4);
	assert_true(wheel_run(&w, 1000000, 100, again, NULL));
	assert_int_equal(fired_n, 104);
}

TEST(wheel, a_jump_of_years_costs_only_what_is_due)
{
	fresh(5);
	wheel_add(&w, 0, 5 + 0x70000000u);
	wheel_add(&w, 1, 5 + 0x20000000u);
	wheel_add(&w, 2, 5 + 0x7ffffff0u);
	/* at most a move per level and a firing for each */
	assert_false(wheel_run(&w, 5 + 0x70000000u, 4 * 3, note, NULL));
	assert_int_equal(fired_n, 2);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 0);
}

/* ---- the model ------------------------------------------------------------------------- */

struct model {
	bool armed[N];
	uint32_t due[N];
	uint32_t now;      /* as the wheel sees it: in a callback the tick being fired */
	uint32_t last_due; /* of this run: firing order never goes back in time */
	bool meddle;
};

static uint32_t random_due(uint32_t now)
{
	switch (random_below(8)) {
	case 0: return now - random_below(1000);
	case 1: return now + 1 + random_below(0x7fffffff);
	case 2: return now + random_below(1 << 25);
	case 3: return (now + random_below(1 << 17)) & ~255u;
	case 4: return now + random_below(1 << 17);
	default: return now + random_below(600);
	}
}

static void model_set(struct model *m, uint32_t i, uint32_t due)
{
	wheel_move(&w, i, due);
	m->armed[i] = true;
	m->due[i] = (int32_t)(due - m->now) <= 0 ? m->now + 1 : due;
	assert_int_equal(things[i].link.due, m->due[i]);
}

static void model_fire(void *ctx, uint32_t i)
{
	struct model *m = ctx;

	assert_true(m->armed[i]);
	assert_true((int32_t)(m->due[i] - m->last_due) >= 0);
	m->last_due = m->now = m->due[i];
	m->armed[i] = false;
	fired_n++;
	if (m->meddle && random_below(4) == 0) {
		uint32_t k = random_below(N);
		if (random_below(2)) {
			model_set(m, k, random_due(m->now));
		} else {
			wheel_del(&w, k);
			m->armed[k] = false;
		}
	}
}

static void model_check(const struct model *m, uint32_t now)
{
	uint32_t count = 0, soonest = UINT32_MAX;

	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(wheel_armed(&w, i), m->armed[i]);
		assert_int_equal(things[i].before, 0);
		assert_int_equal(things[i].after, 0);
		if (!m->armed[i])
			continue;
		count++;
		assert_true((int32_t)(m->due[i] - now) > 0); /* else it should have fired */
		if (m->due[i] - now < soonest)
			soonest = m->due[i] - now;
	}
	assert_int_equal(wheel_armed_count(&w), count);
	assert_true(wheel_next_ticks(&w) >= 1 && wheel_next_ticks(&w) <= soonest);
	assert_true(count || wheel_next_ticks(&w) == UINT32_MAX);
}

static void model_rounds(uint32_t start, unsigned rounds)
{
	static struct model m;

	memset(&m, 0, sizeof(m));
	fresh(start);
	m.now = start;
	for (unsigned r = 0; r < rounds; r++) {
		for (unsigned k = random_below(40); k; k--) {
			uint32_t i = random_below(N);
			if (random_below(3)) {
				model_set(&m, i, random_due(m.now));
			} else {
				wheel_del(&w, i);
				m.armed[i] = false;
			}
		}
		uint32_t now = m.now;
		switch (random_below(16)) {
		case 0: now += random_below(1 << 26); break;
		case 1: now += random_below(1 << 18); break;
		case 2: now = (now | 255) + 1; break;
		case 3: now += wheel_next_ticks(&w) == UINT32_MAX ? 1 : wheel_next_ticks(&w); break;
		default: now += random_below(300);
		}
		m.meddle = random_below(2);
		m.last_due = m.now;
		uint32_t budget = random_below(3) ? 1 + random_below(20) : UINT32_MAX;
		while (wheel_run(&w, now, budget, model_fire, &m)) {
			uint32_t k = random_below(N); /* wherever its link is just now */
			wheel_del(&w, k);
			m.armed[k] = false;
		}
		m.now = now;
		model_check(&m, now);
	}
	assert_true(fired_n > rounds);
}

TEST(wheel, agrees_with_a_plain_array_over_random_operations)
{
	model_rounds(0, 6000);
	model_rounds(0xfffff000u, 3000); /* the tick wraps soon */
	model_rounds(0x7ffffe00u, 3000);
	model_rounds(random_u32(), 3000);
}

TEST_MAIN()
