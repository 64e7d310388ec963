/* SPDX-License-Identifier: BSD-2-Clause */
/* test_doors.c - there is one check of rights, and every door asks it, with the space of its
 * endpoint and the resolved channel; what it answers is what the client is told.
 *
 * session/rights.c is played here, so that its verdicts can be had that nobody can provoke
 * before there are logins: session_may() below takes the place of the archive's. */
#include "test.h"

#include "doubles.h"

static enum session_verdict verdict;
static struct {
	unsigned n;
	enum session_right right;
	uint16_t space;
	char channel[CHANNEL_NAME_MAX + 1];
} asked;

bool session_channel_valid(struct bytes channel)
{
	return channel.n >= 1 && channel.n <= CHANNEL_NAME_MAX;
}

enum session_verdict session_may(const struct worker *w, const struct conn *c, enum session_right r,
				 uint16_t space, struct bytes channel)
{
	assert_ptr_equal(w, &world.w);
	assert_ptr_equal(c, world.c);
	asked.n++;
	asked.right = r;
	asked.space = space;
	snprintf(asked.channel, sizeof(asked.channel), "%.*s", BYTES_FMT(channel));
	return verdict;
}

#define REFUSED(message, code)                                                                     \
	"> {\"type\":\"error\",\"message\":\"" message "\",\"code\":\"" code "\"}\n"
static const struct {
	enum session_verdict verdict;
	const char *want;
} refusals[] = {
	{SESSION_NOT_AUTHENTICATED, REFUSED("Not authenticated", "not_authenticated")},
	{SESSION_FORBIDDEN, REFUSED("Insufficient permissions", "forbidden")},
	{SESSION_BAD_CHANNEL, REFUSED("Invalid channel", "invalid_channel")},
};

/* Asked once, for this; nothing but the refusal is heard, and the connection lives on. */
static void refused_as(const char *want, const char *door, enum session_right right,
		       const char *channel)
{
	const char *said = world_said();

	assert_msg(strcmp(said, want) == 0, "%s\n--- got\n%s--- want\n%s", door, said, want);
	assert_msg(asked.n == 1 && asked.right == right && asked.space == world.ep.space_id &&
			   strcmp(asked.channel, channel) == 0,
		   "%s: asked %u times, right %d in space %u on %s", door, asked.n, asked.right,
		   asked.space, asked.channel);
	assert_int_equal(world.c->state, CONN_OPEN);
	memset(&asked, 0, sizeof(asked));
}

TEST(doors, every_word_asks_and_tells_the_verdict)
{
	static const struct {
		const char *text;
		enum session_right right;
		const char *channel;
	} doors[] = {
		{"{\"type\":\"subscribe\",\"channel\":\"c\\u0061\"}", RIGHT_SUBSCRIBE, "ca"},
		{"{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}", RIGHT_PUBLISH, "a"},
		{"{\"type\":\"presence\",\"channel\":\"a\"}", RIGHT_PRESENCE, "a"},
		{"{\"type\":\"join_room\",\"room\":\"a\"}", RIGHT_SUBSCRIBE, "a"},
		{"{\"type\":\"broadcast_room\",\"room\":\"a\",\"content\":1}", RIGHT_PUBLISH, "a"},
		{"{\"type\":\"chat\",\"text\":\"hi\"}", RIGHT_PUBLISH, "lobby"},
		{"{\"type\":\"to\",\"where\":\"there\"}", RIGHT_PUBLISH, "there"},
		{"{\"type\":\"alarm\",\"text\":\"fire\"}", RIGHT_PUBLISH, "alarms"},
	};

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	for (size_t v = 0; v < ARRAY_SIZE(refusals); v++) {
		verdict = refusals[v].verdict;
		for (size_t i = 0; i < ARRAY_SIZE(doors); i++) {
			world_hear(doors[i].text, strlen(doors[i].text), false);
			refused_as(refusals[v].want, doors[i].text, doors[i].right,
				   doors[i].channel);
		}
		world_hear("\1\1ax", 4, true);
		refused_as(refusals[v].want, "a binary frame", RIGHT_PUBLISH, "a");
	}
}

TEST(doors, a_refusal_carries_the_requests_id)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	verdict = SESSION_NOT_AUTHENTICATED;
	assert_string_equal(
		world_answer("{\"type\":\"subscribe\",\"channels\":[\"a\",\"b\"],\"id\":7}"),
		"> {\"type\":\"error\",\"message\":\"Not authenticated\",\"code\":"
		"\"not_authenticated\",\"channel\":\"a\",\"id\":7}\n"
		"> {\"type\":\"error\",\"message\":\"Not authenticated\",\"code\":"
		"\"not_authenticated\",\"channel\":\"b\",\"id\":7}\n");
}

TEST(doors, relay_endpoints_ask_too)
{
	for (size_t v = 0; v < ARRAY_SIZE(refusals); v++) {
		world_begin(CONFIG_PROTOCOL_RELAY, 0);
		memset(&asked, 0, sizeof(asked));
		verdict = refusals[v].verdict;
		world_hear("hello", 5, false);
		refused_as(refusals[v].want, "relay", RIGHT_PUBLISH, "relay");
		proto_of(&world.w, world.c)->open(&world.w, world.c);
		assert_int_equal(asked.right, RIGHT_SUBSCRIBE);
		assert_null(strstr(world_said(), "subscribe"));
	}
}

TEST(doors, nobody_is_put_into_a_lobby_that_is_closed_to_it)
{
	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	memset(&asked, 0, sizeof(asked));
	verdict = SESSION_NOT_AUTHENTICATED;
	proto_of(&world.w, world.c)->open(&world.w, world.c);
	assert_null(strstr(world_said(), "subscribe chat"));
	assert_int_equal(asked.n, 1);
	assert_string_equal(asked.channel, "lobby");
}

TEST_MAIN()
