/* SPDX-License-Identifier: BSD-2-Clause */
/* test_session.c - who it is. */
#include "test.h"

#include "conn/conn.h"
#include "session/session.h"

TEST(session, the_anonymous_go_by_their_client_id)
{
	struct conn c = {.client_id = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef, 0x80, 1, 2,
				       3, 4, 5, 6, 7}};
	struct session_name name;

	session_name(NULL, &c, &name);
	assert_false(name.is_user);
	assert_true(bytes_eq(name.id, BYTES_LIT("12345678-9abc-4def-8001-020304050607")));
}

TEST_MAIN()
