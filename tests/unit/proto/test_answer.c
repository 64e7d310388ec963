/* SPDX-License-Identifier: BSD-2-Clause */
/* test_answer.c - what the hub's answers look like on the wire. */
#include "test.h"

#include "doubles.h"

static const char *subscribed(struct hub_subscribe_args a, struct hub_position at)
{
	if (!a.channel.n)
		a.channel = BYTES_LIT("c");
	proto_subscribed(&world.w, world.c, &a, &at);
	return world_said();
}

static void begin(void)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
}

TEST(answer, subscribed_says_where_the_channel_stands)
{
	begin();
	assert_string_equal(subscribed((struct hub_subscribe_args){.encoding = ENC_CHANNEL},
				       (struct hub_position){.epoch = 0xbeef0123456789ab,
							     .offset = 17,
							     .count = 3}),
			    "> {\"type\":\"subscribed\",\"channel\":\"c\",\"timestamp\":" WORLD_MS_S
			    ",\"epoch\":\"beef0123456789ab\",\"offset\":17}\n");
}

TEST(answer, subscribed_carries_what_was_asked_for)
{
	begin();
	assert_string_equal(
		subscribed((struct hub_subscribe_args){.encoding = ENC_CHANNEL_EVENTS,
						       .flags = HUB_SUB_RECOVER | HUB_SUB_PRESENCE,
						       .channel = BYTES_LIT("a\"\\b"),
						       .ask = BYTES_LIT("\"x\"")},
			   (struct hub_position){.epoch = 1, .count = 3, .recovered = true}),
		"> {\"type\":\"subscribed\",\"id\":\"x\",\"channel\":\"a\\\"\\\\b\",\"timestamp\":" WORLD_MS_S
		",\"epoch\":\"1\",\"offset\":0,\"recovered\":true,\"onlineCount\":3}\n");
	assert_string_equal(subscribed((struct hub_subscribe_args){.encoding = ENC_CHANNEL,
								   .flags = HUB_SUB_RECOVER},
				       (struct hub_position){.epoch = 1, .offset = 2}),
			    "> {\"type\":\"subscribed\",\"channel\":\"c\",\"timestamp\":" WORLD_MS_S
			    ",\"epoch\":\"1\",\"offset\":2,\"recovered\":false}\n");
}

TEST(answer, a_channel_without_positions_shows_none)
{
	begin();
	assert_string_equal(subscribed((struct hub_subscribe_args){.encoding = ENC_CHANNEL},
				       (struct hub_position){.offset = 5}),
			    "> {\"type\":\"subscribed\",\"channel\":\"c\",\"timestamp\":" WORLD_MS_S
			    "}\n");
}

TEST(answer, rooms_answer_in_room_words)
{
	begin();
	assert_string_equal(
		subscribed((struct hub_subscribe_args){.encoding = ENC_ROOM,
						       .flags = HUB_SUB_PRESENCE,
						       .ask = BYTES_LIT("7")},
			   (struct hub_position){.epoch = 1, .offset = 2, .count = 4}),
		"> {\"type\":\"joined_room\",\"id\":7,\"room\":\"c\",\"onlineCount\":4}\n");
	proto_unsubscribed(&world.w, world.c, BYTES_LIT("c"), ENC_ROOM, BYTES(NULL, 0));
	assert_string_equal(world_said(), "> {\"type\":\"left_room\",\"room\":\"c\"}\n");
}

TEST(answer, the_quiet_hear_nothing)
{
	begin();
	assert_string_equal(subscribed((struct hub_subscribe_args){.encoding = ENC_CHAT,
								   .flags = HUB_SUB_QUIET},
				       (struct hub_position){.count = 4}),
			    "");
}

TEST(answer, published_is_told_to_those_who_asked)
{
	struct publication p = {.channel = BYTES_LIT("c"), .offset = 12};

	begin();
	proto_published(&world.w, world.c, &p, HUB_OK);
	assert_string_equal(world_said(), "");
	p.flags = PUB_F_ACK;
	p.ask = BYTES_LIT("1");
	proto_published(&world.w, world.c, &p, HUB_OK);
	assert_string_equal(
		world_said(),
		"> {\"type\":\"published\",\"id\":1,\"channel\":\"c\",\"offset\":12}\n");
	p.offset = 0;
	proto_published(&world.w, world.c, &p, HUB_OK);
	assert_string_equal(world_said(),
			    "> {\"type\":\"published\",\"id\":1,\"channel\":\"c\"}\n");
}

TEST(answer, a_lost_publication_is_told_to_everybody)
{
	struct publication p = {.channel = BYTES_LIT("c")};

	begin();
	proto_published(&world.w, world.c, &p, HUB_OVERLOADED);
	assert_string_equal(world_said(),
			    "> {\"type\":\"error\",\"message\":\"Overloaded, try again later\","
			    "\"code\":\"overloaded\",\"channel\":\"c\"}\n");
	p.ask = BYTES_LIT("\"q\"");
	p.flags = PUB_F_ACK;
	proto_published(&world.w, world.c, &p, HUB_UNAVAILABLE);
	assert_string_equal(
		world_said(),
		"> {\"type\":\"error\",\"message\":\"Channel unavailable, try again later\","
		"\"code\":\"unavailable\",\"channel\":\"c\",\"id\":\"q\"}\n");
}

TEST(answer, a_lost_subscription_is_told_with_its_id)
{
	begin();
	proto_subscription_lost(&world.w, world.c,
				&(struct hub_subscribe_args){.channel = BYTES_LIT("c"),
							     .ask = BYTES_LIT("7")});
	assert_string_equal(
		world_said(),
		"> {\"type\":\"error\",\"message\":\"Subscription lost, subscribe again\","
		"\"code\":\"subscription_lost\",\"channel\":\"c\",\"id\":7}\n");
}

/* It did not ask to be in the lobby and cannot ask again. */
TEST(answer, who_has_lost_the_lobby_is_asked_to_come_back)
{
	begin();
	proto_subscription_lost(&world.w, world.c,
				&(struct hub_subscribe_args){.channel = BYTES_LIT("lobby"),
							     .encoding = ENC_CHAT,
							     .flags = HUB_SUB_QUIET});
	assert_string_equal(world_said(), "close overload\n");
}

struct old {
	struct hub_old next;
	struct publication *p;
	unsigned n;
};

static bool next_old(struct hub_old *it, struct publication *p)
{
	struct old *old = (struct old *)it;
	if (old->n == 0)
		return false;
	*p = *old->p++;
	old->n--;
	return true;
}

TEST(answer, history_is_messages_as_a_subscriber_hears_them)
{
	struct publication p[] = {
		{.channel = BYTES_LIT("c"),
		 .data = BYTES_LIT("{\"a\":1}"),
		 .from = BYTES_LIT("u"),
		 .flags = PUB_F_FROM_USER,
		 .timestamp_ms = 5,
		 .offset = 8},
		{.channel = BYTES_LIT("c"), .kind = PUB_TEXT, .data = BYTES_LIT("x"), .offset = 9},
	};
	struct hub_subscribe_args a = {
		.channel = BYTES_LIT("c"), .ask = BYTES_LIT("7"), .max_bytes = 1000};
	struct hub_position at = {.epoch = 0xbeef, .offset = 9, .recovered = true};
	struct old all = {{next_old}, p, 2}, none = {{next_old}, p, 0}, tight = {{next_old}, p, 2};
#define HEAD "> {\"type\":\"history\",\"id\":7,\"channel\":\"c\""
#define FIRST                                                                                      \
	"{\"type\":\"message\",\"channel\":\"c\",\"data\":{\"a\":1},\"userId\":\"u\",\"timestamp\":5,\"offset\":8}"

	begin();
	proto_recalled(&world.w, world.c, &a, &at, HUB_OK, &all.next);
	assert_string_equal(world_said(),
			    HEAD ",\"epoch\":\"beef\",\"offset\":9,\"messages\":[" FIRST
				 ",{\"type\":\"message\",\"channel\":\"c\",\"data\":\"x\","
				 "\"timestamp\":0,\"offset\":9}]}\n");
	a.max_bytes = 1; /* one at least */
	a.flags = HUB_SUB_RECOVER;
	proto_recalled(&world.w, world.c, &a, &at, HUB_OK, &tight.next);
	assert_string_equal(world_said(),
			    HEAD ",\"epoch\":\"beef\",\"offset\":9,\"recovered\":true,"
				 "\"messages\":[" FIRST "]}\n");
	at = (struct hub_position){0};
	proto_recalled(&world.w, world.c, &a, &at, HUB_OK, &none.next);
	assert_string_equal(world_said(), HEAD ",\"recovered\":false,\"messages\":[]}\n");
	proto_recalled(&world.w, world.c, &a, &at, HUB_OVERLOADED, &none.next);
	assert_non_null(strstr(world_said(), "\"code\":\"overloaded\""));
}

TEST(answer, presence_lists_connections_and_says_where_it_goes_on)
{
	static const uint8_t two[] = "0123456789abcdef\0"
				     "0123456789abcdef\5a\"\xc3\xa4z";
	struct census_answer a = {.channel = BYTES_LIT("c"), .ask = BYTES_LIT("7"), .count = 3};
#define ID "\"clientId\":\"30313233-3435-3637-3839-616263646566\""

	begin();
	proto_counted(&world.w, world.c, &a);
	assert_string_equal(
		world_said(),
		"> {\"type\":\"presence\",\"id\":7,\"channel\":\"c\",\"onlineCount\":3}\n");
	a.list = true;
	a.ask.n = 0;
	proto_counted(&world.w, world.c, &a);
	assert_string_equal(world_said(),
			    "> {\"type\":\"presence\",\"channel\":\"c\",\"onlineCount\":3,"
			    "\"members\":[]}\n");
	a.members = BYTES(two, sizeof(two) - 1);
	a.more = a.partial = true;
	a.next = (struct census_place){.worker = 3, .index = 1234};
	proto_counted(&world.w, world.c, &a);
	assert_string_equal(world_said(),
			    "> {\"type\":\"presence\",\"channel\":\"c\",\"onlineCount\":3,"
			    "\"members\":[{" ID "},{" ID ",\"userId\":\"a\\\"\xc3\xa4z\"}],"
			    "\"cursor\":\"w3.1234\",\"partial\":true}\n");
#undef ID
}

TEST(answer, the_longest_presence_fits)
{
	static uint8_t list[CENSUS_PAGE_MAX * (CENSUS_ID_N + 1 + IDENTITY_USER_MAX)];
	uint8_t name[CHANNEL_NAME_MAX], ask[HUB_ASK_MAX];
	struct census_answer a = {.channel = BYTES(name, sizeof(name)),
				  .ask = BYTES(ask, sizeof(ask)),
				  .count = UINT64_MAX,
				  .list = true,
				  .more = true,
				  .next = {UINT32_MAX, UINT32_MAX},
				  .partial = true};

	memset(name, 1, sizeof(name)); /* six bytes each when written */
	memset(ask, '9', sizeof(ask));
	memset(list, 1, sizeof(list));
	for (unsigned user_n = 0; user_n <= IDENTITY_USER_MAX; user_n++) {
		size_t n = CENSUS_ID_N + 1 + user_n;
		for (unsigned i = 0; i < CENSUS_PAGE_MAX; i++)
			list[i * n + CENSUS_ID_N] = (uint8_t)user_n;
		a.members = BYTES(list, CENSUS_PAGE_MAX * n);
		begin();
		world.muted = true;
		proto_counted(&world.w, world.c, &a); /* what does not fit is asserted */
		memset(list, 1, sizeof(list));
	}
}

TEST(answer, the_longest_answers_fit)
{
	char name[CHANNEL_NAME_MAX], ask[HUB_ASK_MAX], field[PROTO_FIELD_MAX];
	struct bytes worst_name = BYTES(name, sizeof(name)), worst_ask = BYTES(ask, sizeof(ask));
	struct publication p = {
		.channel = worst_name, .ask = worst_ask, .flags = PUB_F_ACK, .offset = UINT64_MAX};

	begin();
	memset(name, 1, sizeof(name)); /* six bytes each when written */
	memset(field, 1, sizeof(field));
	memset(ask, '9', sizeof(ask));
	world.w.wall_ms = UINT64_MAX;
	subscribed((struct hub_subscribe_args){.encoding = ENC_CHANNEL,
					       .flags = 0xf & ~HUB_SUB_QUIET,
					       .channel = worst_name,
					       .ask = worst_ask},
		   (struct hub_position){.epoch = UINT64_MAX,
					 .offset = UINT64_MAX,
					 .count = UINT32_MAX,
					 .recovered = true});
	proto_published(&world.w, world.c, &p, HUB_OK);
	proto_unsubscribed(&world.w, world.c, worst_name, ENC_CHANNEL, worst_ask);
	for (enum proto_error e = 0; e < PROTO_ERRORS; e++)
		proto_error(&world.w, world.c, e,
			    &(struct proto_about){worst_ask, BYTES(field, sizeof(field)),
						  worst_name, UINT32_MAX});
	assert_non_null(strstr(world_said(), "\"retryAfter\":4294967295"));
}

TEST(answer, codes_are_short_words)
{
	for (enum proto_error e = 0; e < PROTO_ERRORS; e++) {
		const struct proto_error_info *info = proto_error_info(e);
		assert_int_equal(strspn(info->code, "abcdefghijklmnopqrstuvwxyz_"),
				 strlen(info->code));
		assert_true(strlen(info->message) < 64);
	}
}

TEST_MAIN()
