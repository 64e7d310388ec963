/* SPDX-License-Identifier: BSD-2-Clause */
/* test_limits.c - the token bucket, and offences per minute. */
#include "test.h"

#include "conn/conn.h"
#include "session/session.h"
#include "worker/worker.h"

#define MS 1000000ull

static struct config_endpoint ep;
static struct config cfg = {.endpoints = &ep, .n_endpoints = 1};
static struct worker w = {.cfg = &cfg};
static struct conn c;
static uint32_t retry_ms;

static void begin(uint32_t rate, uint32_t burst)
{
	ep = (struct config_endpoint){.rate_per_s = rate, .rate_burst = burst};
	w.now_ns = 7000000000000;
	memset(&c, 0, sizeof(c));
	session_open(&w, &c);
}

static enum session_rate take(void)
{
	bool left = session_rate_left(&w, &c);
	enum session_rate r = session_rate_take(&w, &c, &retry_ms);
	assert_int_equal(left, r == SESSION_RATE_OK);
	return r;
}

static unsigned take_all(unsigned tries)
{
	unsigned ok = 0;
	while (tries--)
		ok += take() == SESSION_RATE_OK;
	return ok;
}

TEST(limits, a_burst_passes_and_then_the_rate)
{
	begin(20, 100);
	assert_int_equal(take_all(120), 100);
	w.now_ns += 49 * MS;
	assert_int_equal(take_all(5), 0);
	w.now_ns += 1 * MS;
	assert_int_equal(take_all(5), 1);
	w.now_ns += 1000 * MS;
	assert_int_equal(take_all(50), 20);
}

TEST(limits, a_refusal_says_when_to_come_back)
{
	begin(20, 10);
	take_all(10);
	assert_int_equal(take(), SESSION_RATE_WAIT);
	assert_int_equal(retry_ms, 50);
	w.now_ns += 20 * MS + 1000;
	assert_int_equal(take(), SESSION_RATE_WAIT);
	assert_int_equal(retry_ms, 30);
	w.now_ns += retry_ms * MS;
	assert_int_equal(take(), SESSION_RATE_OK);
	assert_int_equal(retry_ms, 0);
}

TEST(limits, silence_fills_the_bucket_but_never_beyond_its_depth)
{
	begin(20, 100);
	take_all(100);
	w.now_ns += 3600 * 1000 * MS;
	assert_int_equal(take_all(200), 100);
}

TEST(limits, without_a_rate_everything_passes)
{
	begin(0, 0);
	assert_int_equal(take_all(100000), 100000);
}

TEST(limits, a_bucket_of_one_token_works)
{
	begin(1, 1);
	assert_int_equal(take(), SESSION_RATE_OK);
	assert_int_equal(take(), SESSION_RATE_WAIT);
	assert_int_equal(retry_ms, 1000);
	w.now_ns += 1000 * MS;
	assert_int_equal(take(), SESSION_RATE_OK);
}

TEST(limits, very_fast_and_very_deep_buckets_stay_exact)
{
	begin(1000000, 2000000);
	assert_int_equal(take_all(2000005), 2000000);
	w.now_ns += 1 * MS;
	assert_int_equal(take_all(2000), 1000);
	begin(UINT32_MAX, UINT32_MAX);
	assert_int_equal(take_all(1000), 1000);
	begin(1, UINT32_MAX);
	assert_int_equal(take_all(1000), 1000);
}

TEST(limits, who_goes_on_and_on_is_a_persistent_offender)
{
	begin(20, 10);
	take_all(10);
	for (int i = 1; i < 50; i++)
		assert_int_equal(take(), SESSION_RATE_WAIT);
	assert_int_equal(take(), SESSION_RATE_END);
}

/* 25 messages a second where 20 are allowed: never 50 refusals in one go, but no pause either. */
TEST(limits, a_little_too_fast_for_long_is_persistent_too)
{
	enum session_rate last = SESSION_RATE_OK;
	int seconds;

	begin(20, 10);
	for (seconds = 0; seconds < 60 && last != SESSION_RATE_END; seconds++)
		for (int i = 0; i < 25 && last != SESSION_RATE_END; i++) {
			last = take();
			w.now_ns += 40 * MS;
		}
	assert_int_equal(last, SESSION_RATE_END);
	assert_in_range(seconds, 8, 15);
}

TEST(limits, a_pause_that_half_fills_the_bucket_is_forgiven)
{
	begin(20, 10);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(take_all(10), round ? 5 : 10);
		for (int i = 0; i < 40; i++)
			assert_int_equal(take(), SESSION_RATE_WAIT);
		w.now_ns += 250 * MS;
	}
}

TEST(limits, offences_are_counted_by_the_minute)
{
	begin(0, 0);
	ep.bad_format_per_min = 3;
	w.now_ns = 60000 * MS * 10;
	assert_false(session_offence(&w, &c));
	assert_false(session_offence(&w, &c));
	w.now_ns += 60000 * MS;
	assert_false(session_offence(&w, &c));
	assert_false(session_offence(&w, &c));
	assert_true(session_offence(&w, &c));
}

TEST(limits, offences_without_a_bound_end_nothing)
{
	begin(0, 0);
	for (int i = 0; i < 100000; i++)
		assert_false(session_offence(&w, &c));
	ep.bad_format_per_min = 1;
	assert_true(session_offence(&w, &c));
}

TEST(limits, what_http_left_in_the_conn_does_not_count)
{
	begin(20, 1);
	ep.bad_format_per_min = 2;
	memset(&c.body, 0xff, sizeof(c.body));
	c.requests = 100;
	session_open(&w, &c);
	assert_false(session_offence(&w, &c));
	assert_int_equal(take(), SESSION_RATE_OK);
	assert_int_equal(take(), SESSION_RATE_WAIT);
}

TEST_MAIN()
