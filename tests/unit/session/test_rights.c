/* SPDX-License-Identifier: BSD-2-Clause */
/* test_rights.c - names, and who may touch what. */
#include "test.h"

#include "conn/conn.h"
#include "fanout/publication.h"
#include "session/session.h"
#include "worker/worker.h"

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

static void may_all(const struct worker *w, const struct conn *c, const char *name,
		    enum session_verdict want, enum session_verdict publish)
{
	for (enum session_right r = RIGHT_SUBSCRIBE; r <= RIGHT_HISTORY; r++)
		assert_msg(session_may(w, c, r, 0, bytes_str(name)) ==
				   (r == RIGHT_PUBLISH ? publish : want),
			   "%s, right %u", name, r);
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
	const struct conn c = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		may_all(NULL, &c, rows[i].name, rows[i].want, rows[i].want);
}

TEST(rights, a_user_hears_what_is_his_and_publishes_there_no_more_than_others)
{
	static const uint8_t certificate[32] = {1};
	struct worker w = {.identities = pool_new(1 << 20)};
	struct conn c = {0};

	assert_true(identity_set(&w, &c,
				 &(struct identity){.user = BYTES_LIT("alice"),
						    .certificate = certificate}));
	may_all(&w, &c, "user:alice", SESSION_OK, SESSION_FORBIDDEN);
	may_all(&w, &c, "user:alic", SESSION_FORBIDDEN, SESSION_FORBIDDEN);
	may_all(&w, &c, "user:alice2", SESSION_FORBIDDEN, SESSION_FORBIDDEN);
	may_all(&w, &c, "user:", SESSION_FORBIDDEN, SESSION_FORBIDDEN);
	may_all(&w, &c, "lobby", SESSION_OK, SESSION_OK);
	identity_forget(&w, &c);
	may_all(&w, &c, "user:alice", SESSION_FORBIDDEN, SESSION_FORBIDDEN);
	pool_free(w.identities);
}

TEST(rights, roles_are_kept_beside_the_user)
{
	static const uint8_t certificate[32] = {7};
	char longest[IDENTITY_USER_MAX];
	struct worker w = {.identities = pool_new(1 << 20)};
	struct conn c = {0};
	struct identity in = {.certificate = certificate, .user = BYTES(longest, sizeof(longest))};
	struct identity out;

	memset(longest, 'x', sizeof(longest));
	for (uint32_t i = 0; i < IDENTITY_ROLES; i++)
		in.role[in.n_roles++] = BYTES(longest + i, IDENTITY_ROLE_MAX - i);
	assert_true(identity_set(&w, &c, &in));
	assert_true(identity_get(&w, &c, &out));
	assert_memory_equal(out.certificate, certificate, 32);
	assert_true(bytes_eq(out.user, in.user));
	assert_int_equal(out.n_roles, IDENTITY_ROLES);
	for (uint32_t i = 0; i < IDENTITY_ROLES; i++)
		assert_true(bytes_eq(out.role[i], in.role[i]));
	identity_forget(&w, &c);
	pool_free(w.identities);
}

TEST_MAIN()
