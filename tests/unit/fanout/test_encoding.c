/* SPDX-License-Identifier: BSD-2-Clause */
/* One publication, several words: the texts of tools/doc/protocol.md, to the byte. */
#include "test.h"

#include <stdlib.h>

#include "base/json.h"
#include "fanout/encoding.h"
#include "fanout/presence.h"
#include "fanout/publication.h"
#include "ws/frame.h"

static char text[128 << 10];

/* What the encoding writes, checked against its bound; NULL: it shows nothing. */
static const char *shown(const struct publication *p, enum encoding e)
{
	e = encoding_table[e].same_as(p);
	if (e == ENC_COUNT)
		return NULL;
	size_t bound = encoding_bound(p);
	assert_true(bound < sizeof(text));
	struct json_out o = JSON_OUT(text, bound);
	uint8_t opcode = encoding_table[e].encode(p, &o);
	assert_false(o.overflow);
	text[o.n] = '\0';
	if (opcode == WS_TEXT && e != ENC_RAW)
		assert_int_equal(json_check(json_out_bytes(&o), NULL, NULL), JSON_OK);
	else if (e != ENC_RAW && e != ENC_CHANNEL_BINARY)
		fail_msg("opcode %u", opcode);
	return text;
}

static struct publication said(enum pub_kind kind, const char *data)
{
	return (struct publication){
		.kind = (uint8_t)kind,
		.flags = PUB_F_FROM_USER,
		.channel = BYTES_LIT("lobby"),
		.from = BYTES_LIT("u1"),
		.data = bytes_str(data),
		.timestamp_ms = 1700000000123,
		.offset = 42,
	};
}

TEST(encoding, a_message_in_all_words)
{
	struct publication p = said(PUB_MESSAGE, "{\"a\": [1e2,0.10]}");
	const char *channel = "{\"type\":\"message\",\"channel\":\"lobby\",\"data\":{\"a\": "
			      "[1e2,0.10]},\"userId\":\"u1\","
			      "\"timestamp\":1700000000123,\"offset\":42}";

	assert_string_equal(shown(&p, ENC_CHANNEL), channel);
	assert_string_equal(shown(&p, ENC_CHANNEL_EVENTS), channel);
	assert_string_equal(shown(&p, ENC_CHAT), channel);
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"room_message\",\"room\":\"lobby\",\"from\":\"u1\","
			    "\"content\":{\"a\": [1e2,0.10]},\"timestamp\":1700000000123,"
			    "\"offset\":42}");
	assert_string_equal(shown(&p, ENC_RAW), "{\"a\": [1e2,0.10]}");
}

TEST(encoding, an_anonymous_sender_is_a_client_and_the_server_is_nobody)
{
	struct publication p = said(PUB_MESSAGE, "1");
	p.flags = 0;
	p.offset = 0;
	assert_string_equal(shown(&p, ENC_CHANNEL),
			    "{\"type\":\"message\",\"channel\":\"lobby\",\"data\":1,"
			    "\"clientId\":\"u1\",\"timestamp\":1700000000123}");
	p.from.n = 0;
	assert_string_equal(shown(&p, ENC_CHANNEL),
			    "{\"type\":\"message\",\"channel\":\"lobby\",\"data\":1,"
			    "\"timestamp\":1700000000123}");
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"room_message\",\"room\":\"lobby\",\"content\":1,"
			    "\"timestamp\":1700000000123}");
}

TEST(encoding, a_relay_is_its_own_type_to_chat_words_and_a_message_to_others)
{
	struct publication p = said(PUB_RELAY, "{\"text\":\"hi\",\"n\":1}");
	p.relay = BYTES_LIT("chat");
	assert_string_equal(shown(&p, ENC_CHAT),
			    "{\"type\":\"chat\",\"from\":\"u1\",\"text\":\"hi\",\"n\":1,"
			    "\"timestamp\":1700000000123}");
	assert_string_equal(shown(&p, ENC_CHANNEL),
			    "{\"type\":\"message\",\"channel\":\"lobby\","
			    "\"data\":{\"text\":\"hi\",\"n\":1},\"userId\":\"u1\","
			    "\"timestamp\":1700000000123,\"offset\":42}");
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"room_message\",\"room\":\"lobby\",\"from\":\"u1\","
			    "\"content\":{\"text\":\"hi\",\"n\":1},\"timestamp\":1700000000123,"
			    "\"offset\":42}");
	p.relay = BYTES_LIT("typing");
	p.data = BYTES_LIT("{ \n}");
	assert_string_equal(shown(&p, ENC_CHAT),
			    "{\"type\":\"typing\",\"from\":\"u1\",\"timestamp\":1700000000123}");
	p.data = BYTES_LIT("{ \"a\" : {} \t}");
	assert_string_equal(shown(&p, ENC_CHAT), "{\"type\":\"typing\",\"from\":\"u1\",\"a\" : {},"
						 "\"timestamp\":1700000000123}");
}

TEST(encoding, coming_and_going_is_told_to_rooms_and_to_those_who_asked)
{
	struct publication p = said(PUB_JOIN, "");
	p.offset = 0;
	assert_string_equal(shown(&p, ENC_CHANNEL_EVENTS),
			    "{\"type\":\"join\",\"channel\":\"lobby\",\"userId\":\"u1\"}");
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"user_joined\",\"room\":\"lobby\",\"userId\":\"u1\"}");
	assert_null(shown(&p, ENC_CHANNEL));
	assert_null(shown(&p, ENC_CHAT));
	assert_null(shown(&p, ENC_RAW));
	p.kind = PUB_LEAVE;
	p.flags = 0;
	assert_string_equal(shown(&p, ENC_CHANNEL_EVENTS),
			    "{\"type\":\"leave\",\"channel\":\"lobby\",\"clientId\":\"u1\"}");
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"user_left\",\"room\":\"lobby\",\"userId\":\"u1\"}");
}

/* `n` of each, all called `name`. */
static struct publication of_several(uint8_t *data, uint8_t n, struct bytes name)
{
	struct presence_head head = {
		.joined = 1000, .left = 1000, .online = 5000, .n_joined = n, .n_left = n};
	uint8_t *at = presence_put_head(data, &head);
	for (unsigned i = 0; i < 2u * n; i++)
		at = presence_put_name(at, &(struct presence_name){.text = name, .is_user = i & 1});
	struct publication p = said(PUB_PRESENCE, "");
	p.flags = 0;
	p.from.n = 0;
	p.offset = 0;
	p.data = BYTES(data, (size_t)(at - data));
	return p;
}

TEST(encoding, coming_and_going_of_many_is_counted_and_some_are_named)
{
	uint8_t data[PRESENCE_MAX];
	struct publication p = of_several(data, 1, BYTES_LIT("u\"1"));
	assert_string_equal(
		shown(&p, ENC_CHANNEL_EVENTS),
		"{\"type\":\"presence_update\",\"channel\":\"lobby\","
		"\"joined\":[{\"clientId\":\"u\\\"1\"}],\"left\":[{\"userId\":\"u\\\"1\"}],"
		"\"joinedCount\":1000,\"leftCount\":1000,\"onlineCount\":5000,"
		"\"timestamp\":1700000000123}");
	assert_string_equal(shown(&p, ENC_ROOM),
			    "{\"type\":\"room_update\",\"room\":\"lobby\",\"joined\":[\"u\\\"1\"],"
			    "\"left\":[\"u\\\"1\"],\"joinedCount\":1000,\"leftCount\":1000,"
			    "\"onlineCount\":5000,\"timestamp\":1700000000123}");
	assert_null(shown(&p, ENC_CHANNEL));
	assert_null(shown(&p, ENC_CHAT));
	assert_null(shown(&p, ENC_RAW));
	p = of_several(data, 0, BYTES(NULL, 0));
	assert_non_null(strstr(shown(&p, ENC_ROOM), "\"joined\":[],\"left\":[],"));
}

TEST(encoding, binary_is_base64_in_text_words)
{
	static const struct {
		const char *plain, *base64;
	} rows[] = {{"", ""},
		    {"f", "Zg=="},
		    {"fo", "Zm8="},
		    {"foo", "Zm9v"},
		    {"foob", "Zm9vYg=="},
		    {"fooba", "Zm9vYmE="},
		    {"foobar", "Zm9vYmFy"}}; /* RFC 4648 section 10 */
	char want[64];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct publication p = said(PUB_BINARY, rows[i].plain);
		snprintf(want, sizeof(want), "\"data\":{\"base64\":\"%s\"},", rows[i].base64);
		assert_non_null(strstr(shown(&p, ENC_CHANNEL), want));
		assert_string_equal(shown(&p, ENC_RAW), rows[i].plain);
		struct json_out o = JSON_OUT(text, sizeof(text));
		assert_int_equal(encoding_table[ENC_RAW].encode(&p, &o), WS_BINARY);
	}
	struct publication p = said(PUB_BINARY, "");
	p.data = BYTES("\xff\xfe\xfd\xfb", 4);
	assert_non_null(strstr(shown(&p, ENC_CHANNEL), "{\"base64\":\"//79+w==\"}"));
}

TEST(encoding, bytes_are_a_binary_frame_for_who_takes_them)
{
	static const uint8_t frame[] = "\1\5lobby\0\0\0\0\1\2\3\4\xff\0\xfe";
	struct publication p = said(PUB_BINARY, "");
	p.data = BYTES("\xff\0\xfe", 3);
	p.offset = 0x01020304;
	assert_non_null(shown(&p, ENC_CHANNEL_BINARY));
	assert_memory_equal(text, frame, sizeof(frame)); /* shown() ends it with a zero */
	assert_non_null(shown(&p, ENC_CHANNEL_EVENTS_BINARY));
	assert_memory_equal(text, frame, sizeof(frame));
	struct json_out o = JSON_OUT(text, sizeof(text));
	assert_int_equal(encoding_table[ENC_CHANNEL_BINARY].encode(&p, &o), WS_BINARY);
	/* all else is as for the others, and the same frame */
	p = said(PUB_MESSAGE, "1");
	assert_int_equal(encoding_table[ENC_CHANNEL_BINARY].same_as(&p), ENC_CHANNEL);
	assert_int_equal(encoding_table[ENC_CHANNEL_EVENTS_BINARY].same_as(&p), ENC_CHANNEL);
	p = said(PUB_JOIN, "");
	assert_int_equal(encoding_table[ENC_CHANNEL_BINARY].same_as(&p), ENC_COUNT);
	assert_int_equal(encoding_table[ENC_CHANNEL_EVENTS_BINARY].same_as(&p), ENC_CHANNEL_EVENTS);
}

TEST(encoding, bare_text_is_a_string_in_text_words)
{
	struct publication p = said(PUB_TEXT, "not \"json\"\n\x01");
	assert_non_null(strstr(shown(&p, ENC_CHANNEL), "\"data\":\"not \\\"json\\\"\\n\\u0001\","));
	assert_string_equal(shown(&p, ENC_RAW), "not \"json\"\n\x01");
	struct json_out o = JSON_OUT(text, sizeof(text));
	assert_int_equal(encoding_table[ENC_RAW].encode(&p, &o), WS_TEXT);
}

TEST(encoding, the_bound_holds_for_the_worst_of_names)
{
	uint8_t worst[100];
	struct publication p = said(PUB_TEXT, "");
	memset(worst, 1, sizeof(worst));
	p.channel = BYTES(worst, 100);
	p.from = BYTES(worst, 64);
	p.data = BYTES(worst, 100);
	p.timestamp_ms = p.offset = UINT64_MAX;
	for (enum encoding e = 0; e < ENC_COUNT; e++)
		assert_non_null(shown(&p, e));
	p.kind = PUB_RELAY;
	p.relay = BYTES(worst, 64);
	p.data = BYTES_LIT("{}");
	for (enum encoding e = 0; e < ENC_COUNT; e++)
		assert_non_null(shown(&p, e));
	p.kind = PUB_JOIN;
	p.data.n = 0;
	assert_non_null(shown(&p, ENC_ROOM));
	uint8_t data[PRESENCE_MAX];
	p = of_several(data, CONFIG_MAX_PRESENCE_NAMES, BYTES(worst, IDENTITY_USER_MAX));
	assert_int_equal(p.data.n, PRESENCE_MAX);
	p.channel = BYTES(worst, 100);
	p.timestamp_ms = UINT64_MAX;
	assert_non_null(shown(&p, ENC_ROOM));
	assert_non_null(shown(&p, ENC_CHANNEL_EVENTS));
	p = of_several(data, CONFIG_MAX_PRESENCE_NAMES, BYTES_LIT("a"));
	assert_non_null(shown(&p, ENC_CHANNEL_EVENTS));
}

TEST(encoding, what_shares_a_frame_is_told_by_its_first)
{
	struct publication p = said(PUB_MESSAGE, "1");
	for (enum encoding e = 0; e < ENC_COUNT; e++) {
		enum encoding first = encoding_table[e].same_as(&p);
		assert_true(first <= e);
		assert_int_equal(encoding_table[first].same_as(&p), first);
	}
	assert_int_equal(encoding_table[ENC_CHAT].same_as(&p), ENC_CHANNEL);
	p.kind = PUB_RELAY;
	assert_int_equal(encoding_table[ENC_CHAT].same_as(&p), ENC_CHAT);
}

TEST_MAIN()
