/* SPDX-License-Identifier: BSD-2-Clause */
/* Who hears what, between subscribed and unsubscribed, on one worker and across workers. */
#include "test.h"

#include "world.h"

static char name[32];

TEST(hub, a_subscriber_hears_what_is_published_until_it_leaves)
{
	for (unsigned home = 0; home < 2; home++) { /* at home here, and elsewhere */
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0), *b = client_open(0);
		client_publish(b, ch, "0");
		assert_int_equal(client_subscribe(a, ch), HUB_OK);
		client_publish(b, ch, "1");
		client_publish(b, ch, "2");
		world_settle();
		assert_int_equal(client_unsubscribe(a, ch), HUB_OK);
		client_publish(b, ch, "3");
		world_settle();
		client_publish(b, ch, "4");
		world_settle();
		assert_int_equal(a->n, 4);
		assert_int_equal(client_line(a, "subscribed"), 0);
		assert_int_equal(client_line(a, "\"data\":1,"), 1);
		assert_int_equal(client_line(a, "\"data\":2,"), 2);
		assert_int_equal(client_line(a, "unsubscribed"), 3);
		assert_int_equal(b->n, 0);
		client_free(a);
		client_free(b);
		world_close();
	}
}

TEST(hub, offsets_begin_at_one_after_the_position_of_subscribed)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0), *b = client_open(1);
	client_subscribe(a, ch);
	world_settle();
	assert_int_equal(client_heard(a, "offset 0 count 1"), 1);
	client_publish(a, ch, "1");
	world_settle();
	assert_int_equal(client_heard(a, "\"offset\":1}"), 1);
	client_subscribe(b, ch);
	world_settle();
	assert_int_equal(client_heard(b, "offset 1 count 2"), 1);
	client_publish(b, ch, "2");
	world_settle();
	assert_int_equal(client_heard(a, "\"offset\":2}"), 1);
	assert_int_equal(client_heard(b, "\"offset\":2}"), 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(hub, the_sender_hears_itself_unless_it_says_otherwise)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0), *b = client_open(0);
	client_subscribe(a, ch);
	client_subscribe(b, ch);
	client_publish(a, ch, "1");
	client_publish_as(a, ch, "2", PUB_F_NO_ECHO);
	world_settle();
	assert_int_equal(client_heard(a, "message"), 1);
	assert_int_equal(client_heard(a, "\"data\":1,"), 1);
	assert_int_equal(client_heard(b, "message"), 2);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(hub, ephemeral_publications_take_no_offset)
{
	world_open(1);
	struct client *a = client_open(0);
	client_subscribe(a, "x");
	client_publish_as(a, "x", "1", PUB_F_EPHEMERAL);
	client_publish(a, "x", "2");
	world_settle();
	assert_int_equal(client_heard(a, "\"data\":1,"), 1);
	assert_int_equal(client_heard(a, "offset\":1}"), 1);
	assert_int_equal(client_line(a, "offset\":1}"), client_line(a, "\"data\":2,"));
	client_free(a);
	world_close();
}

TEST(hub, a_publication_to_nobody_is_acknowledged_with_offset_zero)
{
	world_open(2);
	world.other.history = 0;
	struct hub_position at;
	for (unsigned home = 0; home < 2; home++) {
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0);
		client_publish_as(a, ch, "1", PUB_F_ACK);
		world_settle();
		assert_int_equal(client_heard(a, "offset 0 outcome 0 ask 9"), 1);
		assert_false(engine_memory.info(&world.w[home], 0, bytes_str(ch), &at));
		client_free(a);
	}
	world_close();
}

TEST(hub, an_acknowledgement_carries_the_offset)
{
	world_open(2);
	for (unsigned home = 0; home < 2; home++) {
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0);
		client_subscribe(a, ch);
		client_publish(a, ch, "1");
		client_publish_as(a, ch, "2", PUB_F_ACK);
		world_settle();
		assert_int_equal(client_heard(a, "published"), 1);
		assert_int_equal(client_heard(a, "offset 2 outcome 0 ask 9"), 1);
		client_free(a);
	}
	world_close();
}

TEST(hub, joining_is_heard_by_the_others_and_leaving_too)
{
	for (unsigned home = 0; home < 2; home++) {
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0), *b = client_open(1), *c = client_open(0);
		client_subscribe_as(a, ch, ENC_ROOM, HUB_SUB_EVENTS);
		world_settle();
		client_subscribe_as(b, ch, ENC_CHANNEL_EVENTS, HUB_SUB_EVENTS);
		world_settle();
		client_subscribe_as(c, ch, ENC_CHANNEL, 0); /* without manners: nobody hears */
		world_settle();
		assert_int_equal(client_heard(a, "user_joined"), 1);
		assert_int_equal(client_line(a, "subscribed"), 0); /* not of itself, not before */
		assert_int_equal(client_heard(b, "join"), 0);
		assert_int_equal(client_heard(c, "join"), 0);
		client_close(a); /* by disconnect */
		world_settle();
		assert_int_equal(client_heard(b, "{\"type\":\"leave\""), 1);
		assert_int_equal(client_heard(c, "leave"), 0);
		client_unsubscribe(b, ch);
		world_settle();
		assert_int_equal(client_heard(b, "leave"), 1); /* a's, not its own */
		client_free(a);
		client_free(b);
		client_free(c);
		world_close();
	}
}

TEST(hub, subscribing_again_changes_the_words_and_counts_once)
{
	for (unsigned home = 0; home < 2; home++) {
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0), *b = client_open(0);
		struct hub_position at;
		client_subscribe_as(b, ch, ENC_ROOM, HUB_SUB_EVENTS);
		client_subscribe(a, ch);
		client_subscribe_as(a, ch, ENC_ROOM, HUB_SUB_EVENTS);
		client_subscribe_as(a, ch, ENC_ROOM, HUB_SUB_EVENTS);
		world_settle();
		assert_int_equal(client_heard(a, "subscribed"), 3);
		assert_int_equal(client_heard(a, "count 2"), 3);
		assert_int_equal(client_heard(b, "user_joined"), 1);
		client_publish(b, ch, "1");
		world_settle();
		assert_int_equal(client_heard(a, "room_message"), 1);
		assert_int_equal(client_heard(a, "\"message\""), 0);
		client_unsubscribe(a, ch);
		world_settle();
		assert_true(engine_memory.info(&world.w[home], 0, bytes_str(ch), &at));
		assert_int_equal(at.count, 1);
		assert_int_equal(client_heard(b, "user_left"), 1);
		assert_int_equal(a->c->sub_count, 0);
		client_free(a);
		client_free(b);
		world_close();
	}
}

TEST(hub, whoever_asks_in_one_breath_gets_every_answer_in_order)
{
	for (unsigned home = 0; home < 2; home++) {
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0), *b = client_open(1);
		client_subscribe(b, ch);
		world_settle();
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(client_subscribe(a, ch), HUB_OK);
			assert_int_equal(client_unsubscribe(a, ch), HUB_OK);
		}
		assert_int_equal(client_unsubscribe(a, ch), HUB_NOT_SUBSCRIBED);
		world_settle();
		assert_int_equal(a->n, 6);
		for (unsigned i = 0; i < 6; i++)
			assert_memory_equal(a->log[i], i % 2 ? "unsub" : "subsc", 5);
		assert_int_equal(a->c->sub_count, 0);
		assert_int_equal(hub_channel_count(world.w[0].hub), 0);
		client_publish(b, ch, "1");
		world_settle();
		assert_int_equal(a->n, 6);
		client_free(a);
		client_free(b);
		world_close();
	}
}

TEST(hub, too_many_requests_under_way_for_one_channel_are_refused)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0);
	unsigned ok = 0;
	for (unsigned i = 0; i < 40; i++)
		ok += client_subscribe(a, ch) == HUB_OK;
	assert_int_equal(ok, 15);
	assert_int_equal(client_unsubscribe(a, ch), HUB_OVERLOADED);
	world_settle();
	assert_int_equal(client_heard(a, "subscribed"), 15);
	assert_int_equal(client_unsubscribe(a, ch), HUB_OK);
	world_settle();
	assert_int_equal(hub_channel_count(world.w[0].hub), 0);
	client_free(a);
	world_close();
}

TEST(hub, subscriptions_of_a_connection_are_bounded)
{
	world_open(1);
	world.endpoint.max_subscriptions = 100;
	struct client *a = client_open(0);
	char text[32];
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "r%u", i);
		assert_int_equal(client_subscribe(a, text), HUB_OK);
	}
	assert_int_equal(client_subscribe(a, "more"), HUB_TOO_MANY);
	assert_int_equal(client_subscribe(a, "r5"), HUB_OK); /* has it already */
	assert_int_equal(client_unsubscribe(a, "r7"), HUB_OK);
	assert_int_equal(client_subscribe(a, "more"), HUB_OK);
	client_publish(a, "r99", "1");
	client_publish(a, "more", "2");
	client_publish(a, "r7", "3");
	world_settle();
	assert_int_equal(client_heard(a, "message"), 2);
	assert_true(hub_is_subscribed(a->w, a->c, 0, BYTES_LIT("more")));
	assert_false(hub_is_subscribed(a->w, a->c, 0, BYTES_LIT("r7")));
	client_close(a);
	assert_int_equal(hub_channel_count(world.w[0].hub), 0);
	struct pool_stats st;
	pool_stats(world.w[0].subs, &st);
	assert_int_equal(st.lent_count, 0);
	client_free(a);
	world_close();
}

TEST(hub, a_channel_without_history_has_no_positions)
{
	world_open(2);
	world.other.history = 0;
	struct client *a = client_open(0);
	for (unsigned home = 0; home < 2; home++) {
		const char *ch = channel_at_home(home, 0, name);
		client_subscribe(a, ch);
		client_publish_as(a, ch, "1", PUB_F_ACK);
		world_settle();
		assert_int_equal(client_heard(a, "subscribed"), 1);
		assert_int_equal(client_heard(a, "epoch 0 offset 0 count 1"), 1);
		assert_int_equal(client_heard(a, "offset 0 outcome 0 ask 9"), 1);
		assert_int_equal(client_heard(a, "\"data\":1,"), 1);
		assert_int_equal(client_heard(a, "\"offset\""), 0);
		client_forget(a);
	}
	client_free(a);
	world_close();
}

TEST(hub, who_ends_leaves_everything_even_what_is_under_way)
{
	world_open(2);
	world.other.history = 0;
	struct client *a = client_open(0);
	struct hub_position at;
	char text[32];
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "r%u", i);
		client_subscribe(a, text);
		if (i % 3 == 0)
			client_unsubscribe(a, text);
		if (i == 10)
			world_settle();
	}
	client_close(a);
	world_settle();
	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(hub_channel_count(world.w[k].hub), 0);
		for (unsigned i = 0; i < 20; i++) {
			snprintf(text, sizeof(text), "r%u", i);
			assert_false(engine_memory.info(&world.w[k], 0, bytes_str(text), &at));
		}
	}
	client_free(a);
	world_close();
}

TEST(hub, channels_of_another_space_are_other_channels)
{
	world_open(1);
	struct client *a = client_open(0), *b = client_open(0);
	struct hub_subscribe_args args = {.space = 3, .channel = BYTES_LIT("x")};
	hub_subscribe(a->w, a->c, &args);
	client_subscribe(b, "x");
	client_publish(b, "x", "1");
	world_settle();
	assert_int_equal(client_heard(a, "message"), 0);
	assert_int_equal(client_heard(b, "message"), 1);
	assert_int_equal(hub_channel_count(world.w[0].hub), 2);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(hub, recovery_says_whether_anything_was_missed)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0), *b = client_open(1);
	struct hub_position at;
	client_subscribe(b, ch);
	client_publish(b, ch, "1");
	world_settle();
	assert_true(engine_memory.info(&world.w[1], 0, bytes_str(ch), &at));
	struct hub_subscribe_args args = {.channel = bytes_str(ch),
					  .flags = HUB_SUB_RECOVER,
					  .epoch = at.epoch,
					  .offset = at.offset};
	hub_subscribe(a->w, a->c, &args);
	world_settle();
	assert_int_equal(client_heard(a, "recovered"), 1);
	client_publish(b, ch, "2");
	hub_subscribe(a->w, a->c, &args); /* one message is missing now */
	args.offset = 2;
	hub_subscribe(a->w, a->c, &args);
	args.epoch++;
	hub_subscribe(a->w, a->c, &args);
	world_settle();
	assert_int_equal(client_heard(a, "subscribed"), 4);
	assert_int_equal(client_heard(a, "recovered"), 2);
	client_free(a);
	client_free(b);
	world_close();
}

static void note_channel(void *ctx, const struct hub_channel_info *info)
{
	uint32_t *sum = ctx;
	for (int e = 0; e < ENC_COUNT; e++)
		*sum += info->members[e];
	assert_true(info->set_bytes >= 64);
	assert_true(info->name.n > 0);
}

TEST(hub, the_list_of_channels_comes_in_pages)
{
	world_open(1);
	struct client *a = client_open(0), *b = client_open(0);
	char text[64];
	for (unsigned i = 0; i < 25; i++) {
		snprintf(text, sizeof(text), "a-channel-with-a-rather-long-name-%u", i);
		client_subscribe(a, text);
		client_subscribe_as(b, text, ENC_ROOM, 0);
	}
	uint32_t cursor = 0, sum = 0, pages = 1;
	while (hub_channels(world.w[0].hub, &cursor, 10, note_channel, &sum))
		pages++;
	assert_int_equal(pages, 3);
	assert_int_equal(sum, 50);
	assert_int_equal(hub_channel_count(world.w[0].hub), 25);
	assert_true(hub_memory(world.w[0].hub) > 25 * 64);
	client_free(a);
	client_free(b);
	world_close();
}

TEST_MAIN()
