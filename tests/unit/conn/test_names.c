/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "conn/conn.h"

TEST(names, every_state_has_a_word_of_its_own)
{
	for (int i = 0; i < CONN_STATES; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(conn_state_str((enum conn_state)i),
						conn_state_str((enum conn_state)j));
}

TEST(names, flags_are_words_with_commas)
{
	char buf[256];
	assert_string_equal(conn_flags_str(0, buf, sizeof(buf)), "");
	assert_string_equal(conn_flags_str(CONN_F_TLS, buf, sizeof(buf)), "tls");
	assert_string_equal(conn_flags_str(CONN_F_TLS | CONN_F_EOF | CONN_F_TOUCHED, buf,
					   sizeof(buf)),
			    "tls,eof,touched");
}

TEST(names, every_flag_in_use_has_a_word)
{
	char buf[256];
	for (uint16_t bit = 1; bit <= CONN_F_PARTIAL; bit = (uint16_t)(bit << 1))
		assert_true(strlen(conn_flags_str(bit, buf, sizeof(buf))) > 0);
}

TEST(names, a_short_buffer_gets_whole_words_only)
{
	char buf[8];
	assert_string_equal(conn_flags_str(CONN_F_TLS | CONN_F_SSL, buf, sizeof(buf)), "tls,ssl");
	assert_string_equal(conn_flags_str(CONN_F_TLS | CONN_F_SSL, buf, 7), "tls");
	assert_string_equal(conn_flags_str(CONN_F_TLS, buf, 1), "");
}

TEST(names, reasons_come_from_the_one_list)
{
	assert_int_equal(close_reason_info(CLOSE_WS_BAD_UTF8)->ws_code, 1007);
	assert_string_equal(close_reason_info(CLOSE_SHUTDOWN)->text, "Server shutting down");
	for (int i = 0; i < CLOSE_REASONS; i++) {
		const struct close_reason_info *a = close_reason_info((enum close_reason)i);
		assert_true(strlen(a->word) > 0 && strlen(a->text) <= 123);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(a->word,
						close_reason_info((enum close_reason)j)->word);
	}
}

TEST_MAIN()
