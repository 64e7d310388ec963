/* SPDX-License-Identifier: BSD-2-Clause */
/* test_plain.c - the endpoints without words: echo and relay. */
#include "test.h"

#include "doubles.h"

#define LIMITED                                                                                    \
	"> {\"type\":\"error\",\"message\":\"Rate limit exceeded\",\"code\":\"rate_limited\","     \
	"\"retryAfter\":1000}\n"

TEST(echo, says_nothing_by_itself_and_repeats_what_it_hears)
{
	world_begin(CONFIG_PROTOCOL_ECHO, 0);
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_string_equal(world_said(), "");
	assert_string_equal(world_answer("not { json"), "> not { json\n");
	assert_string_equal(world_answer(""), "> \n");
	world_hear("\0\xff\1", 3, true);
	assert_string_equal(world_said(), ">b 00ff01\n");
	proto_of(&world.w, world.c)->close(&world.w, world.c);
}

TEST(echo, keeps_the_rate)
{
	world_begin(CONFIG_PROTOCOL_ECHO, 0);
	world.ep.rate_per_s = 1;
	world.ep.rate_burst = 1;
	assert_string_equal(world_answer("a"), "> a\n");
	assert_string_equal(world_answer("b"), LIMITED);
}

TEST(relay, everybody_is_in_one_channel)
{
	world_begin(CONFIG_PROTOCOL_RELAY, 0);
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_string_equal(world_said(), "subscribe raw relay quiet\n");
	assert_int_equal(world.c->state, CONN_OPEN);
}

TEST(relay, who_would_hear_nobody_is_asked_to_come_back)
{
	world_begin(CONFIG_PROTOCOL_RELAY, 0);
	world.subscribe = HUB_OVERLOADED;
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_string_equal(world_said(), "subscribe raw relay quiet\nclose overload\n");
}

TEST(relay, passes_on_whatever_it_hears_to_the_others)
{
	world_begin(CONFIG_PROTOCOL_RELAY, 0);
	assert_string_equal(world_answer("{\"any\":1"),
			    "publish text relay {\"any\":1 no-echo ephemeral\n");
	assert_string_equal(world_answer("{\"type\":\"ping\",\"id\":1}"),
			    "publish text relay {\"type\":\"ping\",\"id\":1} no-echo ephemeral\n");
	world_hear("\1\1ax", 4, true);
	assert_string_equal(world_said(), "publish binary relay \1\1ax no-echo ephemeral\n");
}

TEST(relay, says_so_when_it_cannot)
{
	world_begin(CONFIG_PROTOCOL_RELAY, 0);
	world.publish = HUB_OVERLOADED;
	assert_string_equal(world_answer("a"),
			    "publish text relay a no-echo ephemeral\n"
			    "> {\"type\":\"error\",\"message\":\"Overloaded, try again later\","
			    "\"code\":\"overloaded\"}\n");
	world.ep.rate_per_s = 1;
	world.ep.rate_burst = 1;
	world.publish = HUB_OK;
	world_answer("a");
	assert_string_equal(world_answer("b"), LIMITED);
}

TEST_MAIN()
