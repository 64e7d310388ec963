/* SPDX-License-Identifier: BSD-2-Clause */
/* Who says that he types, and no more, is said to have stopped: once, in time, and from him. */
#include "test.h"

#include "config/config.h"
#include "doubles.h"
#include "proto/stop.c" /* its bounds */

#define WRITING "{\"type\":\"writing\"}"
#define WRITTEN "publish relay written lobby {} no-echo ephemeral\n"

static const char *after(uint64_t ms)
{
	world.w.now_ns += ms * 1000000u;
	proto_stop_tick(&world.w);
	return world_said();
}

static const char *draw(const char *word, const char *room)
{
	char text[64];
	snprintf(text, sizeof(text), "{\"type\":\"%s\",\"room\":\"%s\"}", word, room);
	return world_answer(text);
}

static const char *ends(void)
{
	proto_of(&world.w, world.c)->close(&world.w, world.c);
	return world_said();
}

static uint32_t awaiting(void)
{
	return world.w.stops != NULL ? world.w.stops->n : 0;
}

TEST(stop, follows_a_silence)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	assert_string_equal(world_answer(WRITING),
			    "publish relay writing lobby {} no-echo ephemeral\n");
	assert_string_equal(after(2999), "");
	assert_string_equal(after(1), WRITTEN);
	assert_int_equal(awaiting(), 0);
	assert_string_equal(after(10000), "");
	assert_string_equal(ends(), "");
}

TEST(stop, is_put_off_by_a_repetition)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	for (unsigned i = 0; i < 5; i++) {
		world_answer(WRITING);
		assert_int_equal(awaiting(), 1);
		assert_string_equal(after(2000), "");
	}
	assert_string_equal(after(999), "");
	assert_string_equal(after(1), WRITTEN);
}

TEST(stop, is_not_said_for_who_says_it_himself)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_answer(WRITING);
	assert_string_equal(world_answer("{\"type\":\"written\"}"),
			    "publish relay written lobby {} no-echo\n");
	assert_int_equal(awaiting(), 0);
	assert_string_equal(after(10000), "");
	draw("drawing", "r1");
	draw("drawing", "r2");
	world_answer(WRITING);
	draw("drawn", "r1"); /* there, and of that */
	assert_int_equal(awaiting(), 2);
	assert_string_equal(after(500), "publish relay drawn r2 {}\n");
	assert_string_equal(after(2500), WRITTEN);
}

TEST(stop, is_said_at_once_for_who_ends)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_answer(WRITING);
	draw("drawing", "r1");
	assert_string_equal(ends(), "publish relay drawn r1 {} no-echo\n" WRITTEN);
	assert_int_equal(awaiting(), 0);
	assert_string_equal(after(10000), "");
}

TEST(stop, is_said_at_once_for_who_leaves_the_channel)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	draw("drawing", "r1");
	draw("drawing", "r2");
	draw("drawing", "r3");
	assert_string_equal(world_answer("{\"type\":\"unsubscribe\",\"channel\":\"r1\"}"),
			    "publish relay drawn r1 {}\nunsubscribe channel r1\n");
	assert_string_equal(world_answer("{\"type\":\"leave_room\",\"room\":\"r2\"}"),
			    "publish relay drawn r2 {}\nunsubscribe room r2\n");
	assert_string_equal(world_answer("{\"type\":\"leave_room\",\"room\":\"r9\"}"),
			    "unsubscribe room r9\n");
	assert_string_equal(after(500), "publish relay drawn r3 {}\n");
}

TEST(stop, of_a_conn_are_bounded_and_the_next_due_pays)
{
	char room[16], want[64];
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	for (unsigned i = 0; i < STOPS_OF_CONN; i++) {
		snprintf(room, sizeof(room), "r%u", i);
		draw("drawing", room);
		world.w.now_ns++;
	}
	draw("drawing", "r0"); /* is due last now */
	assert_int_equal(awaiting(), STOPS_OF_CONN);
	snprintf(want, sizeof(want), "publish relay drawing x {}\npublish relay drawn r1 {}\n");
	assert_string_equal(draw("drawing", "x"), want);
	assert_int_equal(awaiting(), STOPS_OF_CONN);
}

TEST(stop, of_all_are_bounded_and_the_next_due_pays)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_answer(WRITING); /* due after those that begin later */
	world.w.now_ns++;
	draw("drawing", "r1");
	world.w.now_ns++;
	draw("drawing", "r2");
	world.w.stops->max = 3;
	assert_string_equal(draw("drawing", "r3"),
			    "publish relay drawing r3 {}\npublish relay drawn r1 {}\n");
	assert_int_equal(awaiting(), 3);
	assert_string_equal(draw("drawing", "r2"), "publish relay drawing r2 {}\n");
	assert_int_equal(awaiting(), 3);
}

TEST(stop, that_is_refused_is_said_again_later)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_answer(WRITING);
	world.publish = HUB_OVERLOADED;
	assert_string_equal(after(3000), WRITTEN);
	assert_string_equal(after(2999), "");
	world.publish = HUB_OK;
	assert_string_equal(after(1), WRITTEN);
	assert_string_equal(after(10000), "");
}

TEST(stop, does_not_follow_what_was_refused)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.publish = HUB_OVERLOADED;
	world_answer(WRITING);
	world.publish = HUB_OK;
	assert_int_equal(awaiting(), 0);
	world_answer(WRITING);
	world.publish = HUB_OVERLOADED;
	world_answer("{\"type\":\"written\"}"); /* nobody has heard that */
	world.publish = HUB_OK;
	assert_string_equal(after(3000), "publish relay written lobby {} no-echo ephemeral\n");
}

TEST(stop, costs_nothing_where_no_rule_has_it)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_answer("{\"type\":\"typing\"}");
	world_answer("{\"type\":\"chat\",\"text\":\"x\"}");
	assert_null(world.w.stops);
	assert_string_equal(after(10000), "");
	assert_string_equal(ends(), "");
}

TEST_MAIN()
