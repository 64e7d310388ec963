/* SPDX-License-Identifier: BSD-2-Clause */
/* test_native.c - what each word makes of each message: tables of text in, lines out. */
#include "test.h"

#include "config/config.h"
#include "doubles.h"
#include "proto/native.c" /* its table of words */

struct row {
	const char *in, *want;
};

#define ERR(message, code)                                                                         \
	"> {\"type\":\"error\",\"message\":\"" message "\",\"code\":\"" code "\"}\n"
#define ERR_X(message, code, etc)                                                                  \
	"> {\"type\":\"error\",\"message\":\"" message "\",\"code\":\"" code "\"," etc "}\n"
#define MISSING(field)   ERR_X("Missing field: " field, "missing_field", "\"field\":\"" field "\"")
#define BAD_FIELD(field) ERR_X("Invalid field: " field, "invalid_format", "\"field\":\"" field "\"")
#define BAD_FORMAT       ERR_X("Invalid message format", "invalid_format", "\"timestamp\":" WORLD_MS_S)
#define UNKNOWN          ERR("Unknown message type", "unknown_type")
#define BAD_CHANNEL      ERR("Invalid channel", "invalid_channel")
#define FORBIDDEN        ERR("Insufficient permissions", "forbidden")

static void check(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *got = world_answer(rows[i].in);
		assert_msg(strcmp(got, rows[i].want) == 0, "%s\n--- got\n%s--- want\n%s",
			   rows[i].in, got, rows[i].want);
		assert_int_equal(world.c->state, CONN_OPEN);
	}
}
#define CHECK(...)                                                                                 \
	do {                                                                                       \
		static const struct row rows_[] = {__VA_ARGS__};                                   \
		check(rows_, ARRAY_SIZE(rows_));                                                   \
	} while (0)

TEST(native, greets_with_client_id_and_heartbeat)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, CONFIG_WORDS_CHANNELS);
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_string_equal(world_said(), "> {\"type\":\"connected\",\"clientId\":\"" WORLD_ID
					  "\",\"timestamp\":" WORLD_MS_S ",\"heartbeat\":25000}\n");
}

TEST(native, everybody_on_a_chat_endpoint_is_in_the_lobby_and_greeted_first)
{
	const char *said;

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	said = world_said();
	assert_memory_equal(said, "> {\"type\":\"connected\"", 21);
	assert_non_null(strstr(said, "}\nsubscribe chat lobby quiet\n"));
}

TEST(native, who_cannot_enter_the_lobby_is_asked_to_come_back)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, CONFIG_WORDS_CHAT);
	world.subscribe = HUB_UNAVAILABLE;
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_non_null(strstr(world_said(), "quiet\nclose overload\n"));
}

TEST(native, what_is_no_object_with_a_type_is_told_so)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"", BAD_FORMAT}, {"x", BAD_FORMAT}, {"[]", BAD_FORMAT}, {"\"ping\"", BAD_FORMAT},
	      {"{}", BAD_FORMAT}, {"{\"type\":1}", BAD_FORMAT}, {"{\"type\":null}", BAD_FORMAT},
	      {"{\"type\":[\"ping\"]}", BAD_FORMAT}, {"{\"type\":\"ping\"", BAD_FORMAT},
	      {"{\"type\":\"ping\"}}", BAD_FORMAT}, {"{\"type\":\"ping\",}", BAD_FORMAT},
	      {"{\"type\":\"ping\",\"type\":\"ping\"}", BAD_FORMAT},
	      {"{\"type\":\"publish\",\"ch\\u0061nnel\":\"a\",\"channel\":\"b\"}", BAD_FORMAT},
	      {"{\"id\":7}", ERR_X("Invalid message format", "invalid_format",
				   "\"id\":7,\"timestamp\":" WORLD_MS_S)});
}

TEST(native, ping_is_answered_with_the_time)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, 0);
	CHECK({"{\"type\":\"ping\"}", "> {\"type\":\"pong\",\"timestamp\":" WORLD_MS_S "}\n"},
	      {" { \"type\" : \"p\\u0069ng\" , \"more\" : [1,{}] } ",
	       "> {\"type\":\"pong\",\"timestamp\":" WORLD_MS_S "}\n"},
	      {"{\"id\":1e2,\"type\":\"ping\"}",
	       "> {\"type\":\"pong\",\"id\":1e2,\"timestamp\":" WORLD_MS_S "}\n"});
}

TEST(native, an_id_comes_back_as_it_was_written)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, 0);
	CHECK({"{\"type\":\"ping\",\"id\":\"a\\u00e4\\n\"}",
	       "> {\"type\":\"pong\",\"id\":\"a\\u00e4\\n\",\"timestamp\":" WORLD_MS_S "}\n"},
	      {"{\"type\":\"ping\",\"id\":9007199254740993}",
	       "> {\"type\":\"pong\",\"id\":9007199254740993,\"timestamp\":" WORLD_MS_S "}\n"},
	      {"{\"type\":\"ping\",\"id\":null}",
	       "> {\"type\":\"pong\",\"timestamp\":" WORLD_MS_S "}\n"},
	      {"{\"type\":\"nope\",\"id\":-0}",
	       ERR_X("Unknown message type", "unknown_type", "\"id\":-0")},
	      {"{\"type\":\"ping\",\"id\":true}", BAD_FIELD("id")},
	      {"{\"type\":\"ping\",\"id\":{}}", BAD_FIELD("id")},
	      {"{\"type\":\"ping\",\"id\":[1]}", BAD_FIELD("id")});
}

TEST(native, an_id_is_bounded)
{
	char text[256], want[256];

	world_begin(CONFIG_PROTOCOL_NATIVE, 0);
	snprintf(text, sizeof(text), "{\"type\":\"nope\",\"id\":\"%0*d\"}", HUB_ASK_MAX - 2, 0);
	snprintf(want, sizeof(want), ",\"id\":\"%0*d\"}\n", HUB_ASK_MAX - 2, 0);
	assert_non_null(strstr(world_answer(text), want));
	snprintf(text, sizeof(text), "{\"type\":\"nope\",\"id\":\"%0*d\"}", HUB_ASK_MAX - 1, 0);
	assert_string_equal(world_answer(text), BAD_FIELD("id"));
}

TEST(native, unknown_types_are_told_so)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"\"}", UNKNOWN}, {"{\"type\":\"Ping\"}", UNKNOWN},
	      {"{\"type\":\"pin\"}", UNKNOWN}, {"{\"type\":\"ping\\u0000\"}", UNKNOWN},
	      {"{\"type\":\"\\ud800\"}", UNKNOWN},
	      {"{\"type\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
	       UNKNOWN});
}

TEST(native, words_that_are_switched_off_do_not_exist)
{
	static const struct {
		const char *in;
		uint32_t set;
	} rows[] = {
		{"{\"type\":\"subscribe\",\"channel\":\"a\"}", CONFIG_WORDS_CHANNELS},
		{"{\"type\":\"unsubscribe\",\"channel\":\"a\"}", CONFIG_WORDS_CHANNELS},
		{"{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}", CONFIG_WORDS_CHANNELS},
		{"{\"type\":\"join_room\",\"room\":\"a\"}", CONFIG_WORDS_ROOMS},
		{"{\"type\":\"leave_room\",\"room\":\"a\"}", CONFIG_WORDS_ROOMS},
		{"{\"type\":\"broadcast_room\",\"room\":\"a\",\"content\":1}", CONFIG_WORDS_ROOMS},
		{"{\"type\":\"chat\",\"text\":\"a\"}", CONFIG_WORDS_CHAT},
		{"{\"type\":\"typing\"}", CONFIG_WORDS_CHAT},
	};

	for (uint32_t set = 0; set <= WORDS_ALL; set++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			bool unknown;
			world_begin(CONFIG_PROTOCOL_NATIVE, set);
			unknown = strcmp(world_answer(rows[i].in), UNKNOWN) == 0;
			assert_msg(unknown == !(set & rows[i].set), "%s with %x", rows[i].in, set);
		}
}

TEST(native, subscribe_asks_the_hub)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"subscribe\",\"channel\":\"news\"}", "subscribe channel news\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"n\\u0065ws\",\"id\":\"q\"}",
	       "subscribe channel news ask=\"q\"\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"presence\":true}",
	       "subscribe channel a presence\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"presence\":false,\"joinLeave\":true}",
	       "subscribe channel+events a events\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"presence\":null,\"joinLeave\":null,"
	       "\"recover\":null,\"history\":null,\"channels\":null}",
	       "subscribe channel a\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"history\":50}",
	       "subscribe channel a history=50\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"recover\":{\"epoch\":\"beef\","
	       "\"offset\":7}}",
	       "subscribe channel a recover=beef@7\n"},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"recover\":{\"x\":[],\"offset\":"
	       "9223372036854775807,\"epoch\":\"ffffffffffffffff\"}}",
	       "subscribe channel a recover=ffffffffffffffff@9223372036854775807\n"});
}

TEST(native, a_message_may_have_an_id)
{
#define PUB(more) "{\"type\":\"publish\",\"channel\":\"a\",\"data\":1," more "}"
	world_begin(CONFIG_PROTOCOL_NATIVE, CONFIG_WORDS_CHANNELS);
	CHECK({PUB("\"messageId\":\"m\\u0031\""), "publish message a 1 id=m1\n"},
	      {PUB("\"messageId\":null"), "publish message a 1\n"},
	      {PUB("\"messageId\":\"\""), BAD_FIELD("messageId")},
	      {PUB("\"messageId\":7"), BAD_FIELD("messageId")},
	      {PUB("\"messageId\":\"1234567890123456789012345678901234567890123456789012345678901234\""),
	       "publish message a 1 id=1234567890123456789012345678901234567890123456789012345678901234\n"},
	      {PUB("\"messageId\":\"12345678901234567890123456789012345678901234567890123456789012345\""),
	       BAD_FIELD("messageId")});
}

TEST(native, history_is_asked_for_where_it_is_kept)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, 0);
	CHECK({"{\"type\":\"history\",\"channel\":\"kept:1\",\"id\":7}",
	       "recall kept:1 limit=50 max=1048576 ask=7\n"},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"limit\":3,\"since\":{\"epoch\":\"be\","
	       "\"offset\":7}}",
	       "recall kept limit=3 max=1048576 since=be@7\n"},
	      {"{\"type\":\"history\",\"channel\":\"other\"}",
	       ERR("No history is kept here", "no_history")},
	      {"{\"type\":\"history\"}", MISSING("channel")},
	      {"{\"type\":\"history\",\"channel\":\"user:1\"}", FORBIDDEN},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"limit\":0}", BAD_FIELD("limit")},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"limit\":\"5\"}", BAD_FIELD("limit")},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"since\":7}", BAD_FIELD("since")},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"since\":{\"epoch\":\"x\",\"offset\":1}}",
	       BAD_FIELD("since.epoch")},
	      {"{\"type\":\"history\",\"channel\":\"kept\",\"since\":{\"epoch\":\"1\"}}",
	       BAD_FIELD("since.offset")});
}

TEST(native, presence_is_asked_for_page_by_page)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, 0);
#define ASK(more) "{\"type\":\"presence\",\"channel\":\"a\"," more "}"
#define AT(text)  ASK("\"cursor\":\"" text "\"")
	CHECK({ASK("\"id\":\"x\""), "census a limit=50 ask=\"x\"\n"},
	      {ASK("\"limit\":0"), "census a limit=0\n"},
	      {ASK("\"limit\":100,\"cursor\":\"w3.134217727\""),
	       "census a limit=100 from=3/134217727\n"},
	      {ASK("\"limit\":null,\"cursor\":null"), "census a limit=50\n"},
	      {AT("w0.0"), "census a limit=50\n"},
	      {AT("w1.\\u0037"), "census a limit=50 from=1/7\n"},
	      {ASK("\"limit\":101"), BAD_FIELD("limit")}, {ASK("\"limit\":-1"), BAD_FIELD("limit")},
	      {ASK("\"limit\":\"5\""), BAD_FIELD("limit")},
	      {ASK("\"limit\":5.0"), BAD_FIELD("limit")},
	      {ASK("\"cursor\":7"), BAD_FIELD("cursor")},
	      {ASK("\"cursor\":{}"), BAD_FIELD("cursor")}, {AT(""), BAD_FIELD("cursor")},
	      {AT("w"), BAD_FIELD("cursor")}, {AT("w1"), BAD_FIELD("cursor")},
	      {AT("w1."), BAD_FIELD("cursor")}, {AT("w.1"), BAD_FIELD("cursor")},
	      {AT("W1.1"), BAD_FIELD("cursor")}, {AT("w1.1 "), BAD_FIELD("cursor")},
	      {AT(" w1.1"), BAD_FIELD("cursor")}, {AT("w1.1\\u0000"), BAD_FIELD("cursor")},
	      {AT("w01.1"), BAD_FIELD("cursor")}, {AT("w1.01"), BAD_FIELD("cursor")},
	      {AT("w-1.1"), BAD_FIELD("cursor")}, {AT("w1.+1"), BAD_FIELD("cursor")},
	      {AT("w4.0"), BAD_FIELD("cursor")}, {AT("w1.134217728"), BAD_FIELD("cursor")},
	      {AT("w4294967297.0"), BAD_FIELD("cursor")},
	      {AT("w1.18446744073709551617"), BAD_FIELD("cursor")},
	      {AT("w1.1.1"), BAD_FIELD("cursor")}, {AT("\\ud800"), BAD_FIELD("cursor")},
	      {"{\"type\":\"presence\"}", MISSING("channel")},
	      {"{\"type\":\"presence\",\"channel\":\"\"}", BAD_CHANNEL},
	      {"{\"type\":\"presence\",\"channel\":\"user:1\"}", FORBIDDEN});
	world.publish = HUB_OVERLOADED;
	CHECK({ASK("\"id\":7"), "census a limit=50 ask=7\n" ERR_X("Overloaded, try again later",
								  "overloaded", "\"id\":7")});
#undef ASK
#undef AT
}

TEST(native, subscribe_takes_a_list)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"subscribe\",\"channels\":[\"a\",\"b\",\"c\"],\"id\":1,"
	       "\"presence\":true}",
	       "subscribe channel a presence ask=1\nsubscribe channel b presence ask=1\n"
	       "subscribe channel c presence ask=1\n"},
	      {"{\"type\":\"unsubscribe\",\"channels\":[\"a\",\"b\"]}",
	       "unsubscribe channel a\nunsubscribe channel b\n"},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
	       ERR("Too many subscriptions", "too_many_subscriptions")},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\",\"\"]}", BAD_CHANNEL},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\",null]}", BAD_CHANNEL},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\",[\"b\"]]}", BAD_CHANNEL},
	      {"{\"type\":\"subscribe\",\"channels\":[]}", BAD_FIELD("channels")},
	      {"{\"type\":\"subscribe\",\"channels\":\"a\"}", BAD_FIELD("channels")},
	      {"{\"type\":\"subscribe\",\"channels\":{\"a\":1}}", BAD_FIELD("channels")},
	      {"{\"type\":\"subscribe\",\"channel\":\"a\",\"channels\":[\"b\"]}",
	       BAD_FIELD("channels")},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\"],\"recover\":{\"epoch\":\"1\","
	       "\"offset\":1}}",
	       BAD_FIELD("recover")},
	      {"{\"type\":\"subscribe\",\"channels\":[\"a\",\"user:1\",\"b\"],\"id\":2}",
	       "subscribe channel a ask=2\n" ERR_X(
		       "Insufficient permissions", "forbidden",
		       "\"channel\":\"user:1\",\"id\":2") "subscribe channel b ask=2\n"});
}

TEST(native, each_refusal_of_the_hub_has_its_code)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.subscribe = HUB_TOO_MANY;
	CHECK({"{\"type\":\"subscribe\",\"channel\":\"a\"}",
	       "subscribe channel a\n" ERR("Too many subscriptions", "too_many_subscriptions")},
	      {"{\"type\":\"join_room\",\"room\":\"a\",\"id\":5}",
	       "subscribe room a presence events ask=5\n" ERR_X(
		       "Too many subscriptions", "too_many_subscriptions", "\"id\":5")});
	world.subscribe = HUB_OVERLOADED;
	CHECK({"{\"type\":\"subscribe\",\"channels\":[\"a\",\"b\"]}",
	       "subscribe channel a\n" ERR_X(
		       "Overloaded, try again later", "overloaded",
		       "\"channel\":\"a\"") "subscribe channel b\n" ERR_X("Overloaded, try again later",
									  "overloaded",
									  "\"channel\":\"b\"")});
	world.publish = HUB_UNAVAILABLE;
	CHECK({"{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}",
	       "publish message a 1\n" ERR("Channel unavailable, try again later", "unavailable")},
	      {"{\"type\":\"typing\"}",
	       "publish relay typing lobby {} no-echo ephemeral\n" ERR(
		       "Channel unavailable, try again later", "unavailable")});
	world.unsubscribe = HUB_OVERLOADED;
	CHECK({"{\"type\":\"unsubscribe\",\"channel\":\"a\"}",
	       "unsubscribe channel a\n" ERR("Overloaded, try again later", "overloaded")},
	      {"{\"type\":\"leave_room\",\"room\":\"a\"}",
	       "unsubscribe room a\n" ERR("Overloaded, try again later", "overloaded")});
}

TEST(native, fields_of_the_wrong_kind_are_named)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
#define SUB(etc) "{\"type\":\"subscribe\",\"channel\":\"a\"," etc "}"
	CHECK({SUB("\"presence\":1"), BAD_FIELD("presence")},
	      {SUB("\"joinLeave\":\"yes\""), BAD_FIELD("joinLeave")},
	      {SUB("\"history\":-1"), BAD_FIELD("history")},
	      {SUB("\"history\":1.5"), BAD_FIELD("history")},
	      {SUB("\"history\":true"), BAD_FIELD("history")},
	      {SUB("\"history\":99999999999"), BAD_FIELD("history")},
	      {SUB("\"recover\":true"), BAD_FIELD("recover")},
	      {SUB("\"recover\":[]"), BAD_FIELD("recover")},
	      {SUB("\"recover\":{}"), BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":\"1\",\"epoch\":\"1\",\"offset\":1}"),
	       BAD_FIELD("recover")},
	      {SUB("\"recover\":{\"epoch\":\"\",\"offset\":1}"), BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":1,\"offset\":1}"), BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":\"BEEF\",\"offset\":1}"), BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":\"0x1\",\"offset\":1}"), BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":\"11111111111111111\",\"offset\":1}"),
	       BAD_FIELD("recover.epoch")},
	      {SUB("\"recover\":{\"epoch\":\"1\"}"), BAD_FIELD("recover.offset")},
	      {SUB("\"recover\":{\"epoch\":\"1\",\"offset\":\"1\"}"), BAD_FIELD("recover.offset")},
	      {SUB("\"recover\":{\"epoch\":\"1\",\"offset\":-1}"), BAD_FIELD("recover.offset")},
	      {SUB("\"recover\":{\"epoch\":\"1\",\"offset\":1e1}"), BAD_FIELD("recover.offset")});
#undef SUB
}

TEST(native, every_door_checks_the_name)
{
	static const char *const doors[] = {
		"{\"type\":\"subscribe\",\"channel\":%s}",
		"{\"type\":\"subscribe\",\"channels\":[%s]}",
		"{\"type\":\"unsubscribe\",\"channel\":%s}",
		"{\"type\":\"publish\",\"channel\":%s,\"data\":1}",
		"{\"type\":\"join_room\",\"room\":%s}",
		"{\"type\":\"leave_room\",\"room\":%s}",
		"{\"type\":\"broadcast_room\",\"room\":%s,\"content\":1}",
		"{\"type\":\"move\",\"room\":%s,\"x\":1}",
		"{\"type\":\"to\",\"where\":%s}",
	};
	static const char *const names[] = {"\"\"",       "1",           "true",
					    "[\"a\"]",    "{\"a\":1}",   "\"\\u0000\"",
					    "\"a\\nb\"",  "\"\\u007f\"", "\"\\u0085\"",
					    "\"\\ud800\""};
	char text[256], longest[CHANNEL_NAME_MAX + 4];

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	memset(longest, 'n', sizeof(longest));
	longest[0] = longest[CHANNEL_NAME_MAX + 2] = '"';
	longest[CHANNEL_NAME_MAX + 3] = 0;
	for (size_t d = 0; d < ARRAY_SIZE(doors); d++) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			snprintf(text, sizeof(text), doors[d], names[i]);
			assert_msg(strcmp(world_answer(text), BAD_CHANNEL) == 0, "%s", text);
		}
		if (strstr(doors[d], "move")) /* this rule's own bound strikes first */
			continue;
		snprintf(text, sizeof(text), doors[d], longest);
		assert_msg(strcmp(world_answer(text), BAD_CHANNEL) == 0, "%s", text);
	}
}

TEST(native, every_door_checks_the_rights)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"subscribe\",\"channel\":\"user:1\"}", FORBIDDEN},
	      {"{\"type\":\"publish\",\"channel\":\"user:1\",\"data\":1}", FORBIDDEN},
	      {"{\"type\":\"join_room\",\"room\":\"user:1\"}", FORBIDDEN},
	      {"{\"type\":\"broadcast_room\",\"room\":\"us\\u0065r:1\",\"content\":1}", FORBIDDEN},
	      {"{\"type\":\"to\",\"where\":\"user:1\"}", FORBIDDEN},
	      {"{\"type\":\"secret\"}", FORBIDDEN});
	world_hear("\1\6user:1x", 9, true);
	assert_string_equal(world_said(), FORBIDDEN);
}

TEST(native, missing_fields_are_named)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"subscribe\"}", MISSING("channel")},
	      {"{\"type\":\"subscribe\",\"channel\":null}", MISSING("channel")},
	      {"{\"type\":\"unsubscribe\",\"room\":\"a\"}", MISSING("channel")},
	      {"{\"type\":\"publish\",\"data\":1}", MISSING("channel")},
	      {"{\"type\":\"publish\",\"channel\":\"a\"}", MISSING("data")},
	      {"{\"type\":\"join_room\",\"channel\":\"a\"}", MISSING("room")},
	      {"{\"type\":\"leave_room\"}", MISSING("room")},
	      {"{\"type\":\"broadcast_room\",\"content\":1}", MISSING("room")},
	      {"{\"type\":\"broadcast_room\",\"room\":\"a\"}", MISSING("content")},
	      {"{\"type\":\"chat\"}", MISSING("text")},
	      {"{\"type\":\"to\",\"id\":3}",
	       ERR_X("Missing field: where", "missing_field", "\"field\":\"where\",\"id\":3")});
}

TEST(native, publish_goes_to_whom_an_expression_means)
{
#define TO(to, more) "{\"type\":\"publish\",\"to\":" to ",\"data\":1" more "}"
	world_begin(CONFIG_PROTOCOL_NATIVE, CONFIG_WORDS_CHANNELS);
	CHECK({TO("{\"any\":[\"b\",\"a\"],\"all\":[\"v\"],\"except\":[\"m\"]}", ",\"id\":7"),
	       "publish message b|b|a&v-m 1 ask=7\n"},
	      {TO("{\"all\":[\"a\",\"b\"]}", ",\"messageId\":\"x\""),
	       "publish message a&a&b 1 id=x\n"},
	      /* only one channel: an ordinary publication, which is kept */
	      {TO("{\"any\":[\"a\"],\"except\":[]}", ""), "publish message a 1\n"},
	      {TO("null", ",\"channel\":\"a\""), "publish message a 1\n"},
	      {TO("{\"any\":[\"a\"]}", ",\"channel\":\"a\""), BAD_FIELD("to")},
	      {TO("[\"a\"]", ""), BAD_FIELD("to")}, {TO("\"a\"", ""), BAD_FIELD("to")},
	      {TO("{}", ""), BAD_FIELD("to")},
	      {TO("{\"any\":[\"a\"],\"exept\":[\"b\"]}", ""), BAD_FIELD("to")},
	      {TO("{\"any\":[\"a\",7]}", ""), BAD_FIELD("to.any")},
	      {TO("{\"any\":[\"a\"],\"except\":\"b\"}", ""), BAD_FIELD("to.except")},
	      {"{\"type\":\"publish\",\"to\":{\"any\":[\"a\"]}}", MISSING("data")});
	/* no name that the client may not publish to, least of all to find out who is there */
	CHECK({TO("{\"any\":[\"user:1\"]}", ""), FORBIDDEN},
	      {TO("{\"any\":[\"a\",\"user:1\"]}", ""),
	       ERR_X("Insufficient permissions", "forbidden", "\"channel\":\"user:1\"")},
	      {TO("{\"any\":[\"a\"],\"all\":[\"user:1\"]}", ""),
	       ERR_X("Insufficient permissions", "forbidden", "\"channel\":\"user:1\"")},
	      {TO("{\"any\":[\"a\"],\"except\":[\"user:1\"]}", ",\"id\":8"),
	       ERR_X("Insufficient permissions", "forbidden", "\"channel\":\"user:1\",\"id\":8")});
#undef TO
}

TEST(native, publish_passes_data_byte_for_byte)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.member = false; /* one need not be subscribed */
	CHECK({"{\"type\":\"publish\",\"channel\":\"a\",\"data\":{\"b\": 1e2,\"a\":0.10,\"a\":[ ]}}",
	       "publish message a {\"b\": 1e2,\"a\":0.10,\"a\":[ ]}\n"},
	      {"{\"type\":\"publish\",\"channel\":\"a\",\"data\":null,\"messageId\":\"m\"}",
	       "publish message a null id=m\n"},
	      {"{\"data\":\"\\ud83d\",\"id\":7,\"channel\":\"a\",\"type\":\"publish\"}",
	       "publish message a \"\\ud83d\" ask=7\n"});
}

TEST(native, rooms_are_entered_spoken_in_and_left)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"join_room\",\"room\":\"r\"}", "subscribe room r presence events\n"},
	      {"{\"type\":\"broadcast_room\",\"room\":\"r\",\"content\":\"hi\",\"id\":1}",
	       "publish message r \"hi\" no-echo ask=1\n"},
	      {"{\"type\":\"leave_room\",\"room\":\"r\",\"id\":2}", "unsubscribe room r ask=2\n"});
}

TEST(native, one_speaks_in_a_room_from_within)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.member = false;
	CHECK({"{\"type\":\"broadcast_room\",\"room\":\"r\",\"content\":1}",
	       ERR("Not in this room", "not_subscribed")});
}

TEST(native, leaving_what_one_is_not_in_is_answered_all_the_same)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.unsubscribe = HUB_NOT_SUBSCRIBED;
	CHECK({"{\"type\":\"leave_room\",\"room\":\"r\"}",
	       "unsubscribe room r\n> {\"type\":\"left_room\",\"room\":\"r\"}\n"},
	      {"{\"type\":\"unsubscribe\",\"channel\":\"c\",\"id\":4}",
	       "unsubscribe channel c ask=4\n> {\"type\":\"unsubscribed\",\"id\":4,\"channel\":\"c\","
	       "\"timestamp\":" WORLD_MS_S "}\n"});
}

TEST(native, relay_rules_pick_their_fields_in_their_order)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"chat\",\"text\":\"hi\",\"evil\":1,\"from\":\"me\"}",
	       "publish relay chat lobby {\"text\":\"hi\"}\n"},
	      {"{\"type\":\"chat\",\"text\":null,\"id\":1}",
	       "publish relay chat lobby {\"text\":null} ask=1\n"},
	      {"{\"type\":\"typing\",\"text\":1}",
	       "publish relay typing lobby {} no-echo ephemeral\n"},
	      {"{\"y\":[1, 2],\"room\":\"r1\",\"type\":\"move\",\"x\":1.50}",
	       "publish relay move r1 {\"x\":1.50,\"room\":\"r1\",\"y\":[1, 2]}\n"},
	      {"{\"k\\\"\\u00e4\":1,\"room\":\"r1\",\"type\":\"move\",\"x\":2}",
	       "publish relay move r1 {\"x\":2,\"room\":\"r1\",\"k\\\"\xc3\xa4\":1}\n"},
	      {"{\"type\":\"to\",\"where\":\"there\"}", "publish relay to there {}\n"},
	      {"{\"type\":\"alarm\",\"text\":\"fire\"}",
	       "publish relay alarm alarms {\"text\":\"fire\"} no-echo ephemeral\n"});
}

TEST(native, a_rule_never_takes_a_word_of_the_protocol)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"ping\"}", "> {\"type\":\"pong\",\"timestamp\":" WORLD_MS_S "}\n"});
}

/* config/ knows them by a list of its own, because it lies below: here both meet. */
TEST(native, no_relay_can_be_called_like_a_word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct config_errors errs = {0};
		char text[128];

		snprintf(text, sizeof(text), "relays = ( { name = \"%.*s\"; } );",
			 BYTES_FMT(words[i].type));
		assert_msg(config_load_string(text, "/", &errs) == NULL, "%s", text);
		assert_non_null(strstr(errs.list[0].text, "is a word of the protocol already"));
		config_errors_fini(&errs);
	}
}

TEST(native, relay_fields_are_bounded_as_they_were_written)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	CHECK({"{\"type\":\"move\",\"room\":\"r\",\"x\":12345678}",
	       "publish relay move r {\"x\":12345678,\"room\":\"r\"}\n"},
	      {"{\"type\":\"move\",\"room\":\"r\",\"x\":123456789}",
	       ERR_X("Message too long: x", "too_long", "\"field\":\"x\"")},
	      {"{\"type\":\"move\",\"room\":\"r\"}", MISSING("x")},
	      {"{\"type\":\"chat\",\"text\":1,\"text\":2}", BAD_FORMAT});
}

TEST(native, a_long_relay_field_fits_too)
{
	char text[4300], want[4300], y[4001];

	memset(y, '7', 4000);
	y[4000] = 0;
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	snprintf(text, sizeof(text), "{\"type\":\"move\",\"room\":\"r\",\"x\":1,\"y\":%s}", y);
	snprintf(want, sizeof(want), "publish relay move r {\"x\":1,\"room\":\"r\",\"y\":%s}\n", y);
	assert_string_equal(world_answer(text), want);
}

TEST(native, binary_frames_publish)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world_hear("\1\4newspayload", 13, true);
	assert_string_equal(world_said(), "publish binary news payload\n");
	world_hear("\1\1a", 3, true);
	assert_string_equal(world_said(), "publish binary a \n");
}

TEST(native, binary_frames_that_are_none_of_ours_are_told_so)
{
	static const struct bytes bad[] = {
		{(const uint8_t *)"", 0},
		{(const uint8_t *)"\1", 1},
		{(const uint8_t *)"\2\1ax", 4},
		{(const uint8_t *)"\0\1ax", 4},
		{(const uint8_t *)"\1\3ab", 4},
		{(const uint8_t *)"\1\xff"
				  "abc",
		 5},
		{(const uint8_t *)"{\"type\":1}", 10},
	};

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		world_hear(bad[i].p, bad[i].n, true);
		assert_string_equal(world_said(), BAD_FORMAT);
	}
	world_hear("\1\0x", 3, true);
	assert_string_equal(world_said(), BAD_CHANNEL);
	world_hear("\1\2\xc3\x28x", 5, true);
	assert_string_equal(world_said(), BAD_CHANNEL);
	world_begin(CONFIG_PROTOCOL_NATIVE, CONFIG_WORDS_ROOMS | CONFIG_WORDS_CHAT);
	world_hear("\1\1ax", 4, true);
	assert_string_equal(world_said(), BAD_FORMAT);
}

TEST(native, too_many_offences_in_a_minute_end_it)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.ep.bad_format_per_min = 3;
	for (int i = 0; i < 2; i++)
		assert_string_equal(world_answer("nonsense"), BAD_FORMAT);
	assert_string_equal(world_answer("nonsense"), BAD_FORMAT "close policy-offences\n");
}

TEST(native, mistakes_that_are_well_formed_are_no_offences)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.ep.bad_format_per_min = 1;
	CHECK({"{\"type\":\"nope\"}", UNKNOWN}, {"{\"type\":\"chat\"}", MISSING("text")},
	      {"{\"type\":\"subscribe\",\"channel\":\"\"}", BAD_CHANNEL},
	      {"{\"type\":\"ping\",\"id\":{}}", BAD_FIELD("id")});
}

TEST(native, beyond_the_rate_messages_are_refused_and_at_last_the_client)
{
	int refused = 0;

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.ep.rate_per_s = 20;
	world.ep.rate_burst = 2;
	world_answer("{\"type\":\"ping\"}");
	world_answer("{\"type\":\"ping\"}");
	assert_string_equal(world_answer("{\"type\":\"publish\",\"id\":\"x\"}"),
			    ERR_X("Rate limit exceeded", "rate_limited",
				  "\"retryAfter\":50,\"id\":\"x\""));
	assert_string_equal(world_answer("nonsense"),
			    ERR_X("Rate limit exceeded", "rate_limited", "\"retryAfter\":50"));
	world_hear("\1\1ax", 4, true);
	assert_string_equal(world_said(),
			    ERR_X("Rate limit exceeded", "rate_limited", "\"retryAfter\":50"));
	while (world.c->state == CONN_OPEN && refused++ < 100)
		world_answer("{\"type\":\"ping\"}");
	assert_int_equal(refused, 7);
	assert_int_equal(world.c->state, CONN_CLOSING);
}

TEST_MAIN()
