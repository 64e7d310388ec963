/* SPDX-License-Identifier: BSD-2-Clause */
/* Who comes to a big channel and who leaves it: told together, and the counts are true. */
#include "test.h"

#include "../hub/world.h"
#include "engine/memory.h"
#include "fanout/presence.h"

#define MANY 6

static char name[32];

/* Two workers; channels of more than `above` are big, and their home is worker 0 unless said. */
static const char *open_world(uint32_t above, uint32_t names, unsigned home)
{
	world_open(2);
	world.cfg.presence.coalesce_above = above;
	world.cfg.presence.names = names;
	return channel_at_home(home, 0, name);
}

static struct client *enter(unsigned worker, const char *ch)
{
	struct client *cl = client_open(worker);
	client_subscribe_as(cl, ch, ENC_ROOM, HUB_SUB_EVENTS);
	return cl;
}

/* As its name stands among those who came or left. */
static bool named(const char *line, const char *list, const struct client *who)
{
	char from[32], id[32];
	snprintf(from, sizeof(from), "\"%s\":[", list);
	snprintf(id, sizeof(id), "\"c%u\"", who->c->born_ticks);
	const char *p = strstr(line, from);
	assert_non_null(p);
	const char *end = strchr(p, ']'), *at = strstr(p, id);
	return at != NULL && at < end;
}

/* The one update that it heard, which says so many. */
static const char *the_update(const struct client *cl, unsigned joined, unsigned left,
			      unsigned online)
{
	char text[128];
	snprintf(text, sizeof(text), "\"joinedCount\":%u,\"leftCount\":%u,\"onlineCount\":%u,",
		 joined, left, online);
	assert_int_equal(client_heard(cl, "room_update"), 1);
	const char *line = cl->log[client_line(cl, "room_update")];
	if (strstr(line, text) == NULL)
		fail_msg("%s", line);
	return line;
}

static size_t memory_of(unsigned k)
{
	return world.w[k].engine_ops->memory(world.w[k].engine);
}

static unsigned pending(unsigned k)
{
	return world.w[k].engine->home.coming.n;
}

static void free_all(struct client **cl, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		client_free(cl[i]);
}

TEST(coming, many_that_come_are_one_event_for_each_who_hears)
{
	const char *ch = open_world(2, 3, 0);
	struct client *cl[2 + MANY];
	for (unsigned i = 0; i < 2; i++)
		cl[i] = enter(i, ch);
	world_settle();
	assert_int_equal(client_heard(cl[0], "user_joined"), 1); /* it is small still */
	for (unsigned i = 2; i < 2 + MANY; i++)
		cl[i] = enter(i % 2, ch);
	world_settle();
	for (unsigned i = 0; i < 2 + MANY; i++)
		assert_int_equal(client_heard(cl[i], "room_update"), 0);
	assert_int_equal(client_heard(cl[0], "user_joined"), 1);
	world_wait(999);
	world_settle();
	assert_int_equal(client_heard(cl[0], "room_update"), 0);
	world_wait(1);
	world_settle();
	for (unsigned i = 0; i < 2 + MANY; i++) {
		const char *line = the_update(cl[i], MANY, 0, 2 + MANY);
		assert_true(named(line, "joined", cl[2]));
		assert_true(named(line, "joined", cl[4]));
		unsigned n = 0;
		for (unsigned k = 2; k < 2 + MANY; k++)
			n += named(line, "joined", cl[k]);
		assert_int_equal(n, 3); /* of six */
	}
	world_wait(5000);
	world_settle();
	assert_int_equal(client_heard(cl[0], "room_update"), 1); /* that was all */
	free_all(cl, 2 + MANY);
	world_close();
}

TEST(coming, channel_words_hear_who_is_a_client)
{
	const char *ch = open_world(0, 20, 1);
	struct client *a = client_open(0), *b = client_open(0), *quiet = client_open(0);
	client_subscribe_as(quiet, ch, ENC_CHANNEL, 0);
	client_subscribe_as(a, ch, ENC_CHANNEL_EVENTS, HUB_SUB_EVENTS);
	client_subscribe_as(b, ch, ENC_CHANNEL_EVENTS, HUB_SUB_EVENTS);
	world_settle();
	world_wait(1000);
	world_settle();
	char text[160];
	snprintf(text, sizeof(text),
		 "\"joined\":[{\"clientId\":\"c%u\"},{\"clientId\":\"c%u\"}],\"left\":[],"
		 "\"joinedCount\":2,\"leftCount\":0,\"onlineCount\":3,",
		 a->c->born_ticks, b->c->born_ticks);
	assert_int_equal(client_heard(a, text), 1);
	assert_int_equal(client_heard(b, text), 1);
	assert_int_equal(quiet->n, 1); /* `subscribed` */
	client_free(a);
	client_free(b);
	client_free(quiet);
	world_close();
}

TEST(coming, who_comes_and_goes_meanwhile_was_never_there)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch), *b = enter(1, ch), *c;
	world_settle();
	world_wait(1000);
	world_settle();
	client_forget(a);
	size_t before = memory_of(0);
	client_unsubscribe(b, ch);
	world_settle();
	assert_true(memory_of(0) > before);
	client_subscribe_as(b, ch, ENC_ROOM, HUB_SUB_EVENTS);
	world_settle();
	assert_int_equal(memory_of(0), before); /* nothing is pending, nothing is held */
	c = enter(1, ch);
	world_settle();
	assert_int_equal(pending(0), 1);
	client_unsubscribe(c, ch);
	world_settle();
	assert_int_equal(pending(0), 0);
	world_wait(5000);
	world_settle();
	assert_int_equal(a->n, 0);
	/* a pair beside one who stays */
	client_unsubscribe(b, ch);
	client_subscribe_as(c, ch, ENC_ROOM, HUB_SUB_EVENTS);
	client_subscribe_as(b, ch, ENC_ROOM, HUB_SUB_EVENTS);
	world_settle();
	world_wait(1000);
	world_settle();
	const char *line = the_update(a, 1, 0, 3);
	assert_true(named(line, "joined", c));
	assert_false(named(line, "joined", b) || named(line, "left", b));
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(coming, who_is_not_remembered_is_counted_both_ways)
{
	const char *ch = open_world(0, 1, 0);
	struct client *cl[4];
	for (unsigned i = 0; i < 4; i++)
		cl[i] = enter(0, ch); /* the first is named */
	client_unsubscribe(cl[2], ch);
	client_unsubscribe(cl[0], ch); /* a pair */
	world_settle();
	world_wait(1000);
	world_settle();
	const char *line = the_update(cl[1], 3, 1, 2);
	assert_true(named(line, "left", cl[2]));
	assert_false(named(line, "joined", cl[0]));
	free_all(cl, 4);
	world_close();
}

TEST(coming, without_names_all_are_counted)
{
	const char *ch = open_world(0, 0, 0);
	struct client *a = enter(0, ch), *b = enter(1, ch);
	world_settle();
	client_unsubscribe(b, ch);
	world_settle();
	world_wait(1000);
	world_settle();
	assert_non_null(strstr(the_update(a, 2, 1, 1), "\"joined\":[],\"left\":[],"));
	client_free(a);
	client_free(b);
	world_close();
}

TEST(coming, a_channel_that_becomes_small_tells_what_is_pending_before_it_tells_one_by_one)
{
	const char *ch = open_world(3, 20, 0);
	struct client *cl[5], *last;
	for (unsigned i = 0; i < 5; i++)
		cl[i] = enter(i % 2, ch);
	world_settle();
	world_wait(1000);
	world_settle();
	client_forget(cl[0]);
	client_unsubscribe(cl[4], ch); /* four are left: big */
	world_settle();
	client_unsubscribe(cl[3], ch); /* small, but one is pending */
	client_unsubscribe(cl[2], ch);
	world_settle();
	assert_int_equal(cl[0]->n, 0);
	world_wait(1000);
	world_settle();
	the_update(cl[0], 0, 3, 2);
	client_unsubscribe(cl[1], ch);
	world_settle();
	assert_int_equal(client_heard(cl[0], "user_left"), 1);
	last = enter(1, ch);
	world_settle();
	assert_int_equal(client_heard(cl[0], "user_joined"), 1);
	assert_true(client_line(cl[0], "room_update") < client_line(cl[0], "user_left"));
	assert_true(client_line(cl[0], "user_left") < client_line(cl[0], "user_joined"));
	free_all(cl, 5);
	client_free(last);
	world_close();
}

TEST(coming, is_told_in_order_with_what_is_published)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch), *b = enter(1, ch);
	world_settle();
	client_publish(b, ch, "1");
	world_settle();
	world_wait(1000);
	client_publish(a, ch, "2");
	world_settle();
	for (unsigned i = 0; i < 2; i++) {
		struct client *cl = i == 0 ? a : b;
		assert_true(client_line(cl, "\"content\":1,") < client_line(cl, "room_update"));
		assert_true(client_line(cl, "room_update") < client_line(cl, "\"content\":2,"));
		/* it takes no offset */
		assert_int_equal(client_heard(cl, "\"content\":2,\"timestamp\":1700000000000,"
						  "\"offset\":2}"),
				 1);
	}
	client_free(a);
	client_free(b);
	world_close();
}

TEST(coming, is_not_kept_in_the_history)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch), *b = client_open(1);
	client_publish(a, ch, "1");
	world_settle();
	world_wait(1000);
	world_settle();
	struct hub_subscribe_args args = {
		.encoding = ENC_ROOM, .channel = bytes_str(ch), .history = 9};
	hub_subscribe(b->w, b->c, &args);
	world_settle();
	assert_int_equal(b->n, 2); /* `subscribed`, and 1 */
	assert_int_equal(client_heard(b, "\"content\":1,"), 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(coming, the_count_is_true_when_a_worker_has_died)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch), *b = enter(1, ch), *c = enter(1, ch);
	world_settle();
	world_crash(1);
	world_wait(1000);
	world_settle();
	the_update(a, 3, 0, 1); /* they came; that they are gone only the count knows */
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(coming, nothing_stays_of_a_channel_that_died_with_a_worker)
{
	const char *ch = open_world(0, 20, 0);
	world.other.history = 0;
	struct client *b = enter(1, ch);
	world_settle();
	assert_int_equal(pending(0), 1);
	world_crash(1);
	assert_int_equal(pending(0), 0);
	world_wait(1000);
	world_settle();
	client_free(b);
	world_close();
}

TEST(coming, who_left_while_his_home_was_down_is_told_with_the_others)
{
	const char *ch = open_world(0, 20, 1);
	struct client *a = enter(0, ch), *b = enter(0, ch);
	world_settle();
	world_crash(1);
	client_unsubscribe(b, ch);
	client_close(b);
	world_revive(1);
	world_settle();
	world_wait(1000);
	world_settle();
	assert_int_equal(client_heard(a, "user_left"), 0);
	the_update(a, 0, 1, 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(coming, no_more_channels_than_the_bound_wait_and_none_is_lost)
{
	char text[32];
	open_world(0, 20, 0);
	world.endpoint.max_subscriptions = COMING_MAX + 10;
	struct client *a = client_open(0);
	for (unsigned i = 0; i < COMING_MAX + 2; i++) {
		channel_at_home(0, i, text);
		client_subscribe_as(a, text, ENC_ROOM, HUB_SUB_EVENTS);
	}
	world_settle();
	assert_int_equal(client_heard(a, "room_update"), 2); /* the first two, early */
	world_wait(1000);
	world_settle();
	assert_int_equal(client_heard(a, "room_update"), COMING_MAX + 2);
	assert_int_equal(client_heard(a, "\"joinedCount\":1,\"leftCount\":0,\"onlineCount\":1,"),
			 COMING_MAX + 2);
	client_close(a);
	world_settle();
	client_free(a);
	world_close();
}

TEST(coming, who_ends_while_an_update_is_told_breaks_nothing)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch), *b = enter(0, ch);
	world_settle();
	b->deaf = true;
	world_wait(1000);
	world_settle(); /* b's end is the next thing to tell */
	client_forget(a);
	world_wait(1000);
	world_settle();
	the_update(a, 0, 1, 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(coming, only_a_home_says_it)
{
	const char *ch = open_world(0, 20, 0);
	uint8_t data[64], buf[512] __attribute__((aligned(8)));
	struct presence_head head = {.joined = 1, .online = 1};
	size_t n = (size_t)(presence_put_head(data, &head) - data);
	struct publication p = {
		.kind = PUB_PRESENCE, .channel = bytes_str(ch), .data = BYTES(data, n)};
	struct publication_head packed;
	struct bytes parts[PUBLICATION_PARTS];
	struct wire_publish first = {0};
	size_t at = sizeof(first);
	memcpy(buf, &first, sizeof(first));
	publication_pack(&p, &packed, parts);
	for (unsigned i = 0; i < PUBLICATION_PARTS; i++) {
		if (parts[i].n > 0)
			memcpy(buf + at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	const struct engine_ops *ops = world.w[0].engine_ops;
	assert_false(ops->message(&world.w[0], 1, MSG_PUBLISH, BYTES(buf, at)));
	/* nor of a channel of somebody else's */
	assert_false(ops->message(&world.w[0], 1, MSG_DELIVER,
				  BYTES(buf + sizeof(first), at - sizeof(first))));
	assert_true(ops->message(&world.w[1], 0, MSG_DELIVER,
				 BYTES(buf + sizeof(first), at - sizeof(first))));
	world_close();
}

TEST(coming, a_name_that_is_no_text_goes_no_further)
{
	const char *ch = open_world(0, 20, 0);
	struct client *a = enter(0, ch);
	world_settle();
	struct request r = {
		.type = MSG_SUBSCRIBE,
		.seq = 1,
		.who = {.conn = {.worker = 1, .index = 1, .gen = 1},
			.from = BYTES("\xff", 1),
			.events = true},
		.args = {.channel = bytes_str(ch)},
	};
	struct wire_ask head;
	struct bytes parts[WIRE_ASK_PARTS];
	uint8_t buf[256] __attribute__((aligned(8)));
	size_t at = 0, n = wire_ask_pack(&r, &head, parts);
	for (size_t i = 0; i < n; i++) {
		memcpy(buf + at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	assert_true(world.w[0].engine_ops->message(&world.w[0], 1, MSG_SUBSCRIBE, BYTES(buf, at)));
	world.w[0].now_ns += 1000 * 1000000u;
	world.w[0].engine_ops->tick(&world.w[0]);
	worker_turn(&world.w[0], true);
	const char *line = the_update(a, 2, 0, 2);
	char text[64];
	snprintf(text, sizeof(text), "\"joined\":[\"c%u\"],", a->c->born_ticks);
	assert_non_null(strstr(line, text));
	client_free(a);
	world_close();
}

TEST_MAIN()
