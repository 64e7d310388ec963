/* SPDX-License-Identifier: BSD-2-Clause */
/* Very many subscribers, a slice at a time: order, fairness, and that nobody hears what was said
 * to whoever had its slot before. */
#include "test.h"

#include "../hub/world.h"

static struct client **crowd(unsigned n, const char *channel)
{
	struct client **cl = malloc(n * sizeof(*cl));
	for (unsigned i = 0; i < n; i++) {
		cl[i] = client_open(0);
		if (channel != NULL)
			client_subscribe_as(cl[i], channel, ENC_CHANNEL, HUB_SUB_QUIET);
	}
	world_settle();
	return cl;
}

static void crowd_free(struct client **cl, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		client_free(cl[i]);
	free(cl);
}

TEST(slice, few_subscribers_are_served_at_once)
{
	world_open(1);
	struct client **cl = crowd(FANOUT_FEW, "x");
	client_publish(cl[0], "x", "1");
	assert_int_equal(fanout_memory(world.w[0].fanout), 0);
	batch_flush(&world.w[0]); /* no fanout_run */
	for (unsigned i = 0; i < FANOUT_FEW; i++)
		assert_int_equal(cl[i]->n, 1);
	crowd_free(cl, FANOUT_FEW);
	world_close();
}

TEST(slice, many_are_served_a_slice_at_a_time_each_exactly_once)
{
	enum { N = 3000 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	client_publish(cl[0], "x", "1");
	assert_true(fanout_memory(w->fanout) > 0);
	unsigned turns = 0, heard = 0;
	while (fanout_run(w, 0)) {
		turns++;
		batch_flush(w);
		heard = 0;
		for (unsigned i = 0; i < N; i++)
			heard += cl[i]->n;
		assert_true(heard <= turns * FANOUT_FEW);
	}
	batch_flush(w);
	assert_true(turns >= N / FANOUT_FEW - 1);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(cl[i]->n, 1);
	assert_int_equal(fanout_memory(w->fanout), 0);
	assert_int_equal(w->stats.deliveries, N);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, publications_to_one_channel_keep_their_order_and_share_writes)
{
	enum { N = 1000, M = 40 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	char text[16];
	for (unsigned m = 0; m < M; m++) {
		snprintf(text, sizeof(text), "%u", m);
		client_publish(cl[0], "x", text);
	}
	while (fanout_run(w, 0))
		;
	batch_flush(w);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(cl[i]->n, M);
		for (unsigned m = 0; m < M; m++) {
			snprintf(text, sizeof(text), "\"data\":%u,", m);
			assert_non_null(strstr(cl[i]->log[m], text));
		}
		assert_true(cl[i]->sends <= M / 8); /* 16 cursors are walked together */
	}
	crowd_free(cl, N);
	world_close();
}

TEST(slice, who_publishes_late_makes_no_slice_longer)
{
	enum { N = 3000, BEFORE = 20 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	client_publish(cl[0], "x", "1");
	for (unsigned i = 0; i < BEFORE; i++)
		assert_true(fanout_run(w, 0));
	for (unsigned m = 2; m <= 5; m++) {
		char text[16];
		snprintf(text, sizeof(text), "%u", m);
		client_publish(cl[0], "x", text);
	}
	uint64_t before = w->stats.deliveries;
	while (fanout_run(w, 0)) {
		assert_true(w->stats.deliveries - before <= 4 * FANOUT_FEW);
		before = w->stats.deliveries;
	}
	batch_flush(w);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(cl[i]->n, 5);
	assert_int_equal(w->stats.deliveries, 5 * N);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, order_holds_while_subscribers_change_their_words)
{
	enum { N = 400, M = 200 };
	world_open(1);
	world.cfg.compression_threshold = 200;
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	char text[400];
	srand(3);
	for (unsigned m = 0; m < M; m++) {
		snprintf(text, sizeof(text), "%u%*s", m, m % 2 ? 300 : 0, "");
		client_publish(cl[0], "x", text);
		for (unsigned k = 0; k < 20; k++)
			client_subscribe_as(cl[(unsigned)rand() % N], "x",
					    (enum encoding)(rand() % ENC_COUNT |
							    (rand() % 2 ? ENC_DEFLATED : 0)),
					    HUB_SUB_QUIET);
		if (rand() % 3 == 0)
			fanout_run(w, 0);
	}
	world_settle();
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(cl[i]->n, M);
		for (unsigned m = 0; m < M; m++) {
			unsigned got = 0;
			const char *data = strstr(cl[i]->log[m], "\"data\":");
			if (data == NULL)
				data = strstr(cl[i]->log[m], "\"content\":");
			if (data != NULL)
				got = (unsigned)strtoul(strchr(data, ':') + 1, NULL, 10);
			else
				got = (unsigned)strtoul(cl[i]->log[m], NULL, 10); /* raw */
			assert_int_equal(got, m);
		}
	}
	crowd_free(cl, N);
	world_close();
}

TEST(slice, a_busy_channel_does_not_starve_a_quiet_one)
{
	enum { N = 3000 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "busy");
	for (unsigned i = 0; i < 100; i++)
		client_subscribe_as(cl[i], "quiet", ENC_CHANNEL, HUB_SUB_QUIET);
	for (unsigned m = 0; m < 50; m++)
		client_publish(cl[0], "busy", "1");
	fanout_run(w, 0);
	client_publish(cl[0], "quiet", "2");
	for (unsigned i = 0; i < 6; i++)
		fanout_run(w, 0);
	batch_flush(w);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(client_heard(cl[i], "quiet"), 1);
	assert_true(fanout_run(w, 0)); /* while the busy one is far from done */
	crowd_free(cl, N);
	world_close();
}

TEST(slice, a_stranger_never_gets_the_message)
{
	enum { N = 1000 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	client_publish(cl[0], "x", "\"secret\"");
	fanout_run(w, 0); /* half-way */
	batch_flush(w);
	struct client *last = cl[N - 1];
	uint32_t slot = conn_index(&w->slab, last->c);
	assert_int_equal(last->n, 0);
	client_close(last); /* the cursor still names its slot */
	conn_slab_release(&w->slab, fanout_oldest(w->fanout));
	struct client *stranger = client_open(0);
	assert_int_not_equal(conn_index(&w->slab, stranger->c), slot);
	while (fanout_run(w, 0)) {
		batch_flush(w);
		conn_slab_release(&w->slab, fanout_oldest(w->fanout));
		if (fanout_oldest(w->fanout) <= fanout_newest(w->fanout)) /* it still lives */
			assert_int_equal(conn_at(&w->slab, slot)->state, CONN_HELD);
	}
	batch_flush(w);
	conn_slab_release(&w->slab, fanout_oldest(w->fanout));
	struct client *later = client_open(0); /* the cursor has passed: now it may be had */
	assert_int_equal(conn_index(&w->slab, later->c), slot);
	world_settle();
	assert_int_equal(last->n + stranger->n + later->n, 0);
	assert_int_equal(client_heard(cl[N - 2], "secret"), 1);
	client_free(stranger);
	client_free(later);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, the_oldest_cursor_of_all_channels_holds_slots_back)
{
	enum { N = 500 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "a");
	for (unsigned i = 0; i < N; i++)
		client_subscribe_as(cl[i], "b", ENC_CHANNEL, HUB_SUB_QUIET);
	uint64_t before = fanout_newest(w->fanout);
	assert_int_equal(fanout_oldest(w->fanout), before + 1);
	client_publish(cl[0], "a", "1");
	client_publish(cl[0], "b", "2");
	client_publish(cl[0], "a", "3");
	assert_int_equal(fanout_newest(w->fanout), before + 3);
	assert_int_equal(fanout_oldest(w->fanout), before + 1);
	uint64_t oldest = before + 1;
	while (fanout_run(w, 0)) {
		assert_true(fanout_oldest(w->fanout) >= oldest); /* never goes back */
		oldest = fanout_oldest(w->fanout);
	}
	assert_int_equal(fanout_oldest(w->fanout), fanout_newest(w->fanout) + 1);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, an_answer_does_not_overtake_what_was_published_before_it)
{
	enum { N = 1000 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	struct client *last = cl[N - 1];
	client_publish(cl[0], "x", "1");
	client_unsubscribe(last, "x");
	client_publish(cl[0], "x", "2");
	client_subscribe(last, "x");
	client_publish(cl[0], "x", "3");
	batch_flush(w);
	assert_int_equal(last->n, 0);
	world_settle();
	assert_int_equal(last->n, 4);
	assert_int_equal(client_line(last, "\"data\":1,"), 0);
	assert_int_equal(client_line(last, "unsubscribed"), 1);
	assert_int_equal(client_line(last, "\"data\":3,"), 3);
	assert_int_equal(client_heard(last, "\"data\":2,"), 0);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, few_do_not_overtake_what_many_were_told_before)
{
	enum { N = 200 };
	world_open(1);
	struct client **cl = crowd(N, "x");
	client_publish(cl[0], "x", "1");
	for (unsigned i = 10; i < N; i++)
		client_unsubscribe(cl[i], "x");
	client_publish(cl[0], "x", "2"); /* to ten */
	world_settle();
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(client_line(cl[i], "\"data\":1,"), 0);
		assert_int_equal(client_line(cl[i], "\"data\":2,"), 1);
	}
	for (unsigned i = 10; i < N; i++) {
		assert_int_equal(cl[i]->n, 2);
		assert_int_equal(client_line(cl[i], "unsubscribed"), 1);
	}
	crowd_free(cl, N);
	world_close();
}

static unsigned calls;

static void count_call(struct worker *w, struct conn *c, struct bytes arg)
{
	assert_true(bytes_eq(arg, BYTES_LIT("arg")));
	calls++;
}

TEST(slice, an_answer_for_a_conn_that_has_ended_is_not_made)
{
	enum { N = 200 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	uint32_t lane = hub_hash(w, 0, BYTES_LIT("x"));
	struct conn_ref stays = {.index = 4, .gen = cl[4]->c->gen};
	struct conn_ref goes = {.index = 5, .gen = cl[5]->c->gen};
	calls = 0;
	fanout_after(w, lane, &stays, count_call, BYTES_LIT("arg")); /* an empty lane: at once */
	assert_int_equal(calls, 1);
	client_publish(cl[0], "x", "1");
	fanout_after(w, lane, &stays, count_call, BYTES_LIT("arg"));
	fanout_after(w, lane, &goes, count_call, BYTES_LIT("arg"));
	assert_int_equal(calls, 1);
	client_close(cl[5]);
	world_settle();
	assert_int_equal(calls, 2);
	fanout_after(w, lane, &goes, count_call, BYTES_LIT("arg"));
	assert_int_equal(calls, 2);
	assert_int_equal(cl[5]->n, 0);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, words_of_several_kinds_share_frames_and_exclude_the_sender)
{
	enum { N = 500 };
	world_open(1);
	struct client **cl = crowd(N, NULL);
	for (unsigned i = 0; i < N; i++)
		client_subscribe_as(cl[i], "x", (enum encoding)(i % ENC_COUNT), HUB_SUB_QUIET);
	client_publish_as(cl[7], "x", "1", PUB_F_NO_ECHO);
	world_settle();
	for (unsigned i = 0; i < N; i++) {
		unsigned e = i % ENC_COUNT;
		assert_int_equal(cl[i]->n, i != 7);
		if (i == 7)
			continue;
		const char *want = e == ENC_ROOM ? "room_message" :
				   e == ENC_RAW  ? "1" :
						   "\"type\":\"message\"";
		assert_int_equal(client_heard(cl[i], want), 1);
	}
	crowd_free(cl, N);
	world_close();
}

/* JSON of n bytes and more that becomes shorter, and is different for each i. */
static const char *long_json(unsigned n, unsigned i)
{
	static char text[100000];
	unsigned k = (unsigned)snprintf(text, sizeof(text), "[%u", i);
	while (k < n)
		k += (unsigned)snprintf(text + k, sizeof(text) - k, ",{\"price\":%u}", k * 7919);
	snprintf(text + k, sizeof(text) - k, "]");
	return text;
}

TEST(slice, a_text_is_compressed_once_per_worker_whoever_hears_it)
{
	enum { N = 300 };
	world_open(2);
	struct client *cl[N];
	for (unsigned i = 0; i < N; i++) {
		cl[i] = client_open(i % 2);
		unsigned e = i % 4 == 3 ? ENC_CHANNEL : ENC_CHANNEL | ENC_DEFLATED;
		client_subscribe_as(cl[i], "x", (enum encoding)e, HUB_SUB_QUIET);
	}
	world_settle();
	for (unsigned i = 0; i < 5; i++) /* short and long ones by turns: order is kept */
		client_publish(cl[i], "x", long_json(i % 2 ? 4096 : 10, i));
	world_settle();
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(cl[i]->n, 5);
		assert_int_equal(cl[i]->deflated, i % 4 == 3 ? 0 : 2);
		for (unsigned k = 0; k < 5; k++)
			assert_string_equal(cl[i]->log[k], cl[0]->log[k]);
	}
	for (unsigned k = 0; k < 2; k++) {
		const struct worker_stats *s = &world.w[k].stats;
		assert_int_equal(s->deflated, 2);
		assert_true(s->deflated_from_bytes > 2 * 4096);
		assert_true(s->deflated_to_bytes < s->deflated_from_bytes / 2);
	}
	for (unsigned i = 0; i < N; i++)
		client_free(cl[i]);
	world_close();
}

TEST(slice, each_text_is_compressed_once_and_encodings_with_the_same_text_share_it)
{
	world_open(1);
	struct worker_stats *s = &world.w[0].stats;
	struct client **cl = crowd(ENC_SETS, NULL);
	for (unsigned i = 0; i < ENC_SETS; i++)
		client_subscribe_as(cl[i], "x",
				    (enum encoding)(i % ENC_COUNT |
						    (i < ENC_COUNT ? 0 : ENC_DEFLATED)),
				    HUB_SUB_QUIET);
	client_publish(cl[0], "x", long_json(2000, 0));
	world_settle();
	assert_int_equal(s->deflated, 3); /* message, room_message, raw */
	for (unsigned i = 0; i < ENC_SETS; i++) {
		assert_int_equal(cl[i]->n, 1);
		assert_int_equal(cl[i]->deflated, i >= ENC_COUNT);
		assert_string_equal(cl[i]->log[0], cl[i % ENC_COUNT]->log[0]);
	}
	crowd_free(cl, ENC_SETS);
	world_close();
}

TEST(slice, what_is_short_or_binary_or_dense_goes_out_as_it_is)
{
	world_open(1);
	struct worker_stats *s = &world.w[0].stats;
	struct client **cl = crowd(2, NULL);
	for (unsigned i = 0; i < 2; i++)
		client_subscribe_as(cl[i], "x", (enum encoding)(ENC_RAW | ENC_DEFLATED),
				    HUB_SUB_QUIET);
	static uint8_t data[70000];
	struct publication p = {.kind = PUB_TEXT, .channel = BYTES_LIT("x")};
	static const struct {
		uint8_t kind, of; /* 0: "aaa...", else so many different letters */
		unsigned n, tried, deflated;
	} rows[] = {
		{PUB_TEXT, 0, 1023, 0, 0},   {PUB_TEXT, 0, 1024, 1, 1},
		{PUB_BINARY, 0, 5000, 0, 0}, {PUB_TEXT, 95, 1024, 1, 1},
		{PUB_TEXT, 224, 1024, 1, 0}, {PUB_TEXT, 0, 70000, 1, 1},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t before = s->deflated;
		unsigned seen = cl[0]->deflated;
		for (unsigned k = 0; k < rows[i].n; k++)
			data[k] = rows[i].of ? (uint8_t)(32 + rand() % rows[i].of) : 'a';
		p.kind = rows[i].kind;
		p.data = BYTES(data, rows[i].n);
		hub_publish(&world.w[0], &p);
		world_settle();
		assert_int_equal(s->deflated - before, rows[i].tried);
		assert_int_equal(cl[0]->deflated - seen, rows[i].deflated);
		assert_int_equal(cl[0]->n, i + 1);
		assert_memory_equal(cl[1]->log[i], data, rows[i].n);
	}
	crowd_free(cl, 2);
	world_close();
}

TEST(slice, what_is_queued_is_counted_and_a_flood_is_refused)
{
	enum { N = 200 };
	world_open(1);
	struct worker *w = &world.w[0];
	world.cfg.memory.queue_bytes = 64 << 10;
	fanout_free(w->fanout);
	w->fanout = fanout_new(w);
	struct client **cl = crowd(N, "x");
	unsigned taken = 0, calm = 0;
	while (taken < 1000 && client_publish(cl[0], "x", "1") == HUB_OK) {
		taken++;
		calm += !fanout_congested(w);
	}
	assert_true(taken > 10 && taken < 200);
	assert_true(calm > taken / 4 && calm < taken * 3 / 4);
	assert_true(fanout_full(w));
	world_settle();
	assert_false(fanout_congested(w));
	assert_int_equal(client_publish(cl[0], "x", "1"), HUB_OK);
	world_settle();
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(cl[i]->n, taken + 1);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, a_backlog_is_bounded_in_deliveries_too)
{
	enum { N = 4000 };
	world_open(1);
	struct worker *w = &world.w[0];
	struct client **cl = crowd(N, "x");
	unsigned taken = 0, calm = 0;
	while (taken < 1000 && client_publish(cl[0], "x", "1") == HUB_OK) {
		taken++;
		calm += !fanout_congested(w);
	}
	/* 256 Ki deliveries, and twice that */
	assert_int_equal(calm, (256 << 10) / N);
	assert_int_equal(taken, 2 * (256 << 10) / N + 1);
	world_settle();
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(cl[i]->n, taken);
	crowd_free(cl, N);
	world_close();
}

TEST(slice, free_lets_go_of_what_was_never_served)
{
	world_open(1);
	struct client **cl = crowd(200, "x");
	client_publish(cl[0], "x", "1");
	client_unsubscribe(cl[0], "x");
	fanout_run(&world.w[0], 0);
	world_close();
	for (unsigned i = 0; i < 200; i++)
		client_free(cl[i]);
	free(cl);
}

TEST_MAIN()
