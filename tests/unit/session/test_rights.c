/* SPDX-License-Identifier: BSD-2-Clause */
/* test_rights.c - names, and who may touch what. */
#include "test.h"

#include "fanout/publication.h"
#include "session/session.h"

TEST(rights, a_channel_name_is_utf8_without_control_characters)
{
	static const struct {
		struct bytes name;
		bool ok;
	} rows[] = {
#define ROW(text, ok) {{(const uint8_t *)(text), sizeof(text) - 1}, ok}
		ROW("", false),
		ROW("a", true),
		ROW(" ", true),
		ROW("lobby:1 (main)", true),
		ROW("a\0b", false),
		ROW("a\nb", false),
		ROW("\x1f", false),
		ROW("a\x7f", false),
		ROW("caf\xc3\xa9", true),
		ROW("\xc2\x80", false),
		ROW("x\xc2\x9fy", false),
		ROW("\xc2\xa0", true),
		ROW("\xf0\x9f\x98\x80", true),
		ROW("\xc3", false),
		ROW("\xc2", false),
		ROW("\xff", false),
		ROW("\xed\xa0\x80", false),
		ROW("\xc0\xaf", false),
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_msg(session_channel_valid(rows[i].name) == rows[i].ok, "row %zu", i);
}

TEST(rights, a_channel_name_has_at_most_a_hundred_bytes)
{
	char name[CHANNEL_NAME_MAX + 1];

	memset(name, 'n', sizeof(name));
	assert_true(session_channel_valid(BYTES(name, CHANNEL_NAME_MAX)));
	assert_false(session_channel_valid(BYTES(name, CHANNEL_NAME_MAX + 1)));
}

TEST(rights, nobody_anonymous_touches_a_users_channel)
{
	static const struct {
		const char *name;
		enum session_verdict want;
	} rows[] = {
		{"user:1", SESSION_FORBIDDEN}, {"user:", SESSION_FORBIDDEN},
		{"user", SESSION_OK},          {"users:1", SESSION_OK},
		{"User:1", SESSION_OK},        {"room:user:1", SESSION_OK},
		{":user", SESSION_OK},         {"user:\n", SESSION_BAD_CHANNEL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (enum session_right r = RIGHT_SUBSCRIBE; r <= RIGHT_HISTORY; r++)
			assert_msg(session_may(NULL, NULL, r, 0, bytes_str(rows[i].name)) ==
					   rows[i].want,
				   "%s", rows[i].name);
}

TEST_MAIN()
