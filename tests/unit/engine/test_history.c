/* SPDX-License-Identifier: BSD-2-Clause */
/* What a channel's home keeps, for how long, and what it gives back to whom. */
#include "test.h"

#include "../hub/world.h"
#include "engine/memory.h"

static char name[32];

static struct hub_position position(const char *ch)
{
	struct hub_position at = {0};
	for (unsigned k = 0; k < world.n; k++)
		if (world.up[k] && engine_memory.info(&world.w[k], 0, bytes_str(ch), &at))
			break;
	return at;
}

static void recover(struct client *c, const char *ch, uint64_t epoch, uint64_t offset)
{
	struct hub_subscribe_args a = {
		.encoding = ENC_CHANNEL,
		.flags = HUB_SUB_RECOVER,
		.channel = bytes_str(ch),
		.epoch = epoch,
		.offset = offset,
	};
	assert_int_equal(hub_subscribe(c->w, c->c, &a), HUB_OK);
	world_settle();
}

static void with_history(struct client *c, const char *ch, uint32_t n)
{
	struct hub_subscribe_args a = {
		.encoding = ENC_CHANNEL, .channel = bytes_str(ch), .history = n};
	assert_int_equal(hub_subscribe(c->w, c->c, &a), HUB_OK);
	world_settle();
}

static void publish(struct client *c, const char *ch, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++) {
		char data[16];
		snprintf(data, sizeof(data), "%u", i);
		assert_int_equal(client_publish(c, ch, data), HUB_OK);
	}
	world_settle();
}

/* It heard exactly these, in order, behind the answer. */
static void assert_heard(struct client *c, unsigned from, unsigned to)
{
	unsigned at = client_line(c, "subscribed ");
	assert_true(at != UINT32_MAX);
	assert_int_equal(c->n, at + 1 + (to + 1 - from));
	for (unsigned i = from; i <= to; i++) {
		char data[32];
		snprintf(data, sizeof(data), "\"data\":%u,", i);
		assert_msg(strstr(c->log[at + 1 + i - from], data), "%s is not %u",
			   c->log[at + 1 + i - from], i);
	}
}

/* ── recovery ── */

TEST(history, who_comes_back_hears_what_it_has_missed_and_then_what_is_new)
{
	for (unsigned home = 0; home < 2; home++) { /* at the client's own worker, and elsewhere */
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *p = client_open(0), *a = client_open(1);
		client_subscribe(a, ch);
		publish(p, ch, 1, 3);
		uint64_t epoch = position(ch).epoch;
		client_close(a);
		publish(p, ch, 4, 8);
		struct client *b = client_open(1);
		recover(b, ch, epoch, 3);
		publish(p, ch, 9, 9);
		assert_int_equal(client_heard(b, "offset 8 count 1 recovered"), 1);
		assert_heard(b, 4, 9);
		client_free(a);
		client_free(b);
		client_free(p);
		world_close();
	}
}

TEST(history, who_was_alone_finds_the_channel_as_it_left_it)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(1);
	client_subscribe(a, ch);
	publish(a, ch, 1, 2);
	uint64_t epoch = position(ch).epoch;
	client_close(a);
	world_settle();
	world_wait(59000); /* the last second of it */
	struct client *b = client_open(1);
	recover(b, ch, epoch, 1);
	assert_int_equal(client_heard(b, "recovered"), 1);
	assert_heard(b, 2, 2);
	client_close(b);
	world_settle();
	world_wait(60001);
	assert_int_equal(world.w[0].engine->home.channels.n, 0);
	assert_int_equal(world.w[0].engine->home.store.bytes, 0);
	assert_null(world.w[0].engine->home.store.oldest);
	struct client *c = client_open(1);
	recover(c, ch, epoch, 2);
	assert_int_equal(client_heard(c, "recovered"), 0); /* another epoch */
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(history, what_is_not_there_whole_is_not_given_at_all)
{
	world_open(2);
	world.other.history = 4;
	const char *ch = channel_at_home(0, 0, name);
	struct client *p = client_open(0), *a;
	publish(p, ch, 1, 10); /* to nobody: it is kept all the same */
	uint64_t epoch = position(ch).epoch;
	assert_int_equal(position(ch).offset, 10);
	static const struct {
		uint64_t epoch_off, offset;
		bool recovered;
	} row[] = {
		{0, 10, true},  {0, 6, true},  {0, 5, false},  {0, 0, false},
		{0, 11, false}, {1, 6, false}, {1, 10, false}, {0, UINT64_MAX, false},
	};
	for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
		for (unsigned k = 0; k < 2; k++) {
			a = client_open(k);
			recover(a, ch, epoch + row[i].epoch_off, row[i].offset);
			assert_int_equal(client_heard(a, "offset 10 "), 1);
			assert_int_equal(client_heard(a, "recovered"), row[i].recovered);
			assert_heard(a, row[i].recovered ? (unsigned)row[i].offset + 1 : 11, 10);
			client_close(a);
			client_free(a);
		}
	client_free(p);
	world_close();
}

TEST(history, more_than_a_connection_may_queue_is_not_given)
{
	world_open(2);
	world.cfg.memory.connection_queue_bytes = 16 << 10;
	const char *ch = channel_at_home(0, 0, name);
	char *big = malloc(4001);
	memset(big, '1', 4000);
	big[4000] = '\0';
	struct client *p = client_open(0), *a;
	client_publish(p, ch, big);
	client_publish(p, ch, big);
	world_settle();
	uint64_t epoch = position(ch).epoch;
	for (unsigned k = 0; k < 2; k++) {
		a = client_open(k);
		recover(a, ch, epoch, 0);
		assert_int_equal(client_heard(a, "recovered"), 0);
		assert_int_equal(a->n, 1);
		client_close(a);
		client_free(a);
		a = client_open(k);
		recover(a, ch, epoch, 1);
		assert_int_equal(client_heard(a, "recovered"), 1);
		assert_int_equal(a->n, 2);
		client_close(a);
		client_free(a);
	}
	client_free(p);
	free(big);
	world_close();
}

TEST(history, who_has_the_channel_hears_nothing_twice)
{
	for (unsigned home = 0; home < 2; home++) {
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(1);
		client_subscribe(a, ch);
		publish(a, ch, 1, 3);
		client_forget(a);
		uint64_t epoch = position(ch).epoch;
		recover(a, ch, epoch, 1);
		assert_int_equal(client_heard(a, "recovered"), 0);
		recover(a, ch, epoch, 3);
		assert_int_equal(client_heard(a, "recovered"), 1);
		with_history(a, ch, 2);
		assert_int_equal(a->n, 3);
		client_free(a);
		world_close();
	}
}

TEST(history, its_own_silent_words_do_not_come_back_to_a_conn)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(1), *b = client_open(1);
	client_publish_as(a, ch, "1", PUB_F_NO_ECHO);
	client_publish_as(b, ch, "2", PUB_F_NO_ECHO);
	world_settle();
	with_history(a, ch, 10);
	assert_heard(a, 2, 2);
	with_history(b, ch, 10);
	assert_heard(b, 1, 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(history, a_home_that_dies_has_answered_whole_or_is_asked_again)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *p = client_open(1), *a = client_open(1);
	publish(p, ch, 1, 5);
	uint64_t epoch = position(ch).epoch;
	struct hub_subscribe_args args = {
		.flags = HUB_SUB_RECOVER, .channel = bytes_str(ch), .epoch = epoch, .offset = 2};
	hub_subscribe(a->w, a->c, &args);
	mailbox_flush(world.w[1].mailbox);
	worker_turn(&world.w[0], true); /* it has answered, and nobody has read it */
	world_crash(0);
	world_revive(0);
	world_settle();
	assert_int_equal(client_heard(a, "subscribed"), 1);
	assert_int_equal(client_heard(a, "recovered"), 0);
	assert_int_equal(a->n, 1);
	client_free(a);
	client_free(p);
	world_close();
}

TEST(history, who_leaves_while_the_answer_is_under_way_hears_it_and_no_more)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *p = client_open(1), *a = client_open(1), *b = client_open(1);
	publish(p, ch, 1, 5);
	struct hub_subscribe_args args = {.channel = bytes_str(ch), .history = 2};
	hub_subscribe(a->w, a->c, &args);
	client_unsubscribe(a, ch);
	hub_subscribe(b->w, b->c, &args);
	client_close(b);
	publish(p, ch, 6, 6);
	assert_int_equal(a->n, 4); /* subscribed, 4, 5, unsubscribed */
	assert_int_equal(client_line(a, "\"data\":4,"), 1);
	assert_int_equal(client_line(a, "\"data\":5,"), 2);
	assert_int_equal(client_line(a, "unsubscribed"), 3);
	assert_int_equal(b->n, 0);
	client_free(a);
	client_free(b);
	client_free(p);
	world_close();
}

/* ── history: the last so many ── */

TEST(history, the_last_messages_come_behind_subscribed)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *p = client_open(0);
	publish(p, ch, 1, 70); /* 64 are kept */
	for (unsigned k = 0; k < 2; k++) {
		static const struct {
			uint32_t asked;
			unsigned from;
		} row[] = {{1, 70}, {3, 68}, {64, 7}, {65, 7}, {UINT32_MAX, 7}};
		for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
			struct client *a = client_open(k);
			with_history(a, ch, row[i].asked);
			assert_heard(a, row[i].from, 70);
			client_close(a);
			client_free(a);
		}
	}
	client_free(p);
	world_close();
}

TEST(history, what_is_ephemeral_comes_or_goes_is_not_kept)
{
	world_open(1);
	struct client *a = client_open(0), *b = client_open(0);
	client_subscribe_as(a, "x", ENC_ROOM, HUB_SUB_EVENTS);
	client_publish_as(a, "x", "1", PUB_F_EPHEMERAL);
	publish(a, "x", 2, 2);
	with_history(b, "x", 10);
	assert_heard(b, 2, 2);
	assert_int_equal(client_heard(b, "offset 1 "), 1);
	client_free(a);
	client_free(b);
	world_close();
}

/* ── recall: what is kept, in one answer ── */

static const char *recall(struct client *c, const char *ch, struct hub_subscribe_args a)
{
	a.channel = bytes_str(ch);
	if (a.max_bytes == 0)
		a.max_bytes = 1 << 20;
	client_forget(c);
	assert_int_equal(hub_recall(c->w, c->c, &a), HUB_OK);
	world_settle();
	assert_int_equal(c->n, 1);
	return strchr(c->log[0], ':') ? strstr(c->log[0], "offset") : "";
}

TEST(history, is_recalled_from_either_end)
{
	world_open(2);
	world.other.history = 8;
	const char *ch = channel_at_home(0, 0, name);
	struct client *p = client_open(0);
	publish(p, ch, 1, 10);
	uint64_t epoch = position(ch).epoch;
	for (unsigned k = 0; k < 2; k++) {
		struct client *a = client_open(k);
		assert_string_equal(recall(a, ch, (struct hub_subscribe_args){.history = 3}),
				    "offset 10 outcome 0: 8=8 9=9 10=10");
		assert_string_equal(recall(a, ch, (struct hub_subscribe_args){.history = 100}),
				    "offset 10 outcome 0: 3=3 4=4 5=5 6=6 7=7 8=8 9=9 10=10");
		/* a page at a time */
		struct hub_subscribe_args since = {
			.flags = HUB_SUB_RECOVER, .history = 3, .epoch = epoch, .offset = 2};
		assert_string_equal(recall(a, ch, since),
				    "offset 10 outcome 0 recovered: 3=3 4=4 5=5");
		since.offset = 8;
		assert_string_equal(recall(a, ch, since),
				    "offset 10 outcome 0 recovered: 9=9 10=10");
		since.offset = 10;
		assert_string_equal(recall(a, ch, since), "offset 10 outcome 0 recovered:");
		/* what was before is not there any more */
		since.offset = 1;
		assert_string_equal(recall(a, ch, since), "offset 10 outcome 0: 3=3 4=4 5=5");
		since.offset = 11;
		assert_string_equal(recall(a, ch, since), "offset 10 outcome 0: 3=3 4=4 5=5");
		since = (struct hub_subscribe_args){
			.flags = HUB_SUB_RECOVER, .history = 1, .epoch = epoch + 1, .offset = 9};
		assert_string_equal(recall(a, ch, since), "offset 10 outcome 0: 3=3");
		/* in bytes, but one at least */
		assert_string_equal(
			recall(a, ch, (struct hub_subscribe_args){.history = 3, .max_bytes = 1}),
			"offset 10 outcome 0: 10=10");
		assert_string_equal(
			recall(a, ch, (struct hub_subscribe_args){.history = 3, .max_bytes = 400}),
			"offset 10 outcome 0: 9=9 10=10");
		assert_string_equal(recall(a, "nobody", (struct hub_subscribe_args){.history = 3}),
				    "offset 0 outcome 0:");
		client_free(a);
	}
	client_free(p);
	world_close();
}

TEST(history, is_recalled_from_the_successor_of_a_home_that_died)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(1), *b = client_open(1);
	struct hub_subscribe_args args = {.channel = bytes_str(ch), .history = 3};
	publish(a, ch, 1, 2);
	assert_int_equal(hub_recall(a->w, a->c, &args), HUB_OK);
	mailbox_flush(world.w[1].mailbox);
	world_crash(0);
	assert_int_equal(hub_recall(b->w, b->c, &args), HUB_OK);
	assert_int_equal(hub_recall(a->w, a->c, &args), HUB_OK);
	client_close(b);
	world_start_again(0);
	struct client *own = client_open(0);
	assert_int_equal(hub_recall(own->w, own->c, &args), HUB_OK);
	world_tell_up(1, 0);
	world_settle();
	assert_int_equal(client_heard(a, "recalled"), 2);
	assert_int_equal(client_heard(own, "recalled"), 1);
	assert_int_equal(b->n, 0);
	client_free(a);
	client_free(b);
	client_free(own);
	world_close();
}

/* ── purge ── */

TEST(history, nobody_recovers_across_what_was_purged)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0), *b = client_open(0), *c;
	char who[16];
	publish(a, "x", 1, 3);
	publish(b, "x", 4, 5);
	publish(a, "x", 6, 7);
	uint64_t epoch = position("x").epoch;
	snprintf(who, sizeof(who), "c%u", b->c->born_ticks);
	assert_int_equal(engine_memory.purge(w, 0, BYTES_LIT("x"), bytes_str(who)), 2);
	assert_int_equal(engine_memory.purge(w, 0, BYTES_LIT("x"), bytes_str(who)), 0);
	assert_int_equal(engine_memory.purge(w, 0, BYTES_LIT("y"), bytes_str(who)), 0);
	assert_int_equal(position("x").kept, 5);
	for (unsigned offset = 0; offset <= 7; offset++) {
		c = client_open(0);
		recover(c, "x", epoch, offset);
		assert_int_equal(client_heard(c, "recovered"), offset >= 5);
		assert_int_equal(c->n, offset >= 5 ? 1 + 7 - offset : 1);
		client_close(c);
		client_free(c);
	}
	c = client_open(0);
	with_history(c, "x", 4);
	assert_int_equal(c->n, 5); /* 2, 3, 6, 7 */
	assert_int_equal(client_line(c, "\"data\":3,"), 2);
	assert_int_equal(client_line(c, "\"data\":6,"), 3);
	assert_string_equal(recall(b, "x",
				   (struct hub_subscribe_args){.flags = HUB_SUB_RECOVER,
							       .history = 10,
							       .epoch = epoch,
							       .offset = 2}),
			    "offset 7 outcome 0: 3=3 6=6 7=7");
	assert_int_equal(engine_memory.purge(w, 0, BYTES_LIT("x"), BYTES(NULL, 0)), 5);
	assert_true(position("x").kept == 0 && position("x").offset == 7);
	client_forget(c);
	publish(a, "x", 8, 8);
	assert_int_equal(client_heard(c, "\"offset\":8"), 1);
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

/* ── bounds ── */

static const struct history *kept(const char *ch)
{
	struct worker *w = &world.w[0];
	const struct home_channel *c =
		home_find(&w->engine->home, hub_hash(w, 0, bytes_str(ch)), 0, bytes_str(ch));
	return c ? c->history : NULL;
}

TEST(history, is_bounded_by_count_bytes_and_age)
{
	world_open(1);
	struct client *a = client_open(0);
	world.other.history = 5;
	publish(a, "x", 1, 9);
	assert_int_equal(kept("x")->n, 5);
	assert_int_equal(history_first(kept("x")), 5);
	world_wait(30000);
	publish(a, "x", 10, 11);
	world_wait(30001);
	assert_int_equal(kept("x")->n, 2);
	world.other.history_bytes = 1024;
	world.other.history = 1000;
	publish(a, "x", 12, 50);
	assert_true(kept("x")->n > 3 && kept("x")->n < 16);
	assert_true(kept("x")->bytes <= 1024);
	assert_int_equal(kept("x")->offset, 50);
	char *big = malloc(2001);
	memset(big, '1', 2000);
	big[2000] = '\0';
	client_publish(a, "x", big); /* one that does not fit leaves nothing */
	assert_int_equal(kept("x")->n, 0);
	assert_int_equal(kept("x")->bytes, 0);
	assert_int_equal(kept("x")->offset, 51);
	publish(a, "x", 52, 52);
	assert_int_equal(kept("x")->n, 1);
	free(big);
	client_free(a);
	world_close();
}

TEST(history, of_all_channels_is_bounded_and_the_quiet_ones_pay_first)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct history_store *s = &w->engine->home.store;
	struct client *a = client_open(0);
	char ch[16];
	s->max = 100000;
	client_subscribe(a, "x0");
	uint64_t epoch = position("x0").epoch;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(ch, sizeof(ch), "x%u", i);
		publish(a, ch, 1, 3);
		assert_true(s->bytes <= s->max);
	}
	/* those that nobody has have vanished; who has subscribers has its position */
	assert_null(kept("x1"));
	assert_int_equal(kept("x0")->n, 0);
	assert_true(position("x0").epoch == epoch && position("x0").offset == 3);
	assert_int_equal(kept("x999")->n, 3);
	struct client *b = client_open(0);
	recover(b, "x0", epoch, 2);
	assert_int_equal(client_heard(b, "recovered"), 0);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(history, channels_that_are_only_looked_into_are_bounded_too)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0);
	char ch[16];
	w->engine->home.store.max = 100000;
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(ch, sizeof(ch), "x%u", i);
		client_subscribe(a, ch);
		client_unsubscribe(a, ch);
	}
	assert_true(w->engine->home.channels.n > 50 && w->engine->home.channels.n < 1000);
	client_free(a);
	world_close();
}

TEST(history, memory_is_counted)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0);
	publish(a, "y", 1, 1); /* the table's first lines are bought */
	size_t before = engine_memory.memory(w->engine);
	publish(a, "x", 1, 50);
	size_t during = engine_memory.memory(w->engine);
	assert_true(during > before + 50 * 64 && during < before + 50 * 200);
	world_wait(60001);
	assert_true(engine_memory.memory(w->engine) <= before);
	assert_int_equal(w->engine->home.store.entries, 0);
	client_free(a);
	world_close();
}

TEST_MAIN()
