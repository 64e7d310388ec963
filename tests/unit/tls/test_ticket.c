/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of session tickets: made, and read from what people put into files. */
#include "test.h"

#include "tls/ticket.h"

#define LINE                                                                                       \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk8="

static const char *parse(const char *text, struct tls_tickets *t)
{
	return tls_tickets_parse(BYTES((const uint8_t *)text, strlen(text)), t);
}

TEST(ticket, the_newest_key_is_first_and_three_are_kept)
{
	struct tls_tickets t = {.n = 0};
	struct tls_ticket_key seen[5];
	for (int i = 0; i < 5; i++) {
		tls_tickets_rotate(&t);
		seen[i] = t.key[0];
		assert_int_equal(t.n, MIN(i + 1, TLS_TICKET_KEYS));
		for (int k = 0; k < (int)t.n; k++)
			assert_memory_equal(&t.key[k], &seen[i - k], sizeof(seen[0]));
	}
	assert_memory_not_equal(&seen[0], &seen[1], sizeof(seen[0]));
}

TEST(ticket, lines_of_base64_are_keys_and_comments_are_not)
{
	struct tls_tickets t;
	assert_null(parse("# ours\n\n  " LINE "  \r\n" LINE "\n# old\n" LINE, &t));
	assert_int_equal(t.n, 3);
	for (int i = 0; i < 80; i++)
		assert_int_equal(((const uint8_t *)&t.key[1])[i], i);
}

TEST(ticket, raw_keys_are_taken_as_they_are)
{
	uint8_t raw[160];
	struct tls_tickets t;
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i * 7 + 200);
	assert_null(tls_tickets_parse(BYTES(raw, 80), &t));
	assert_int_equal(t.n, 1);
	assert_null(tls_tickets_parse(BYTES(raw, 160), &t));
	assert_int_equal(t.n, 2);
	assert_memory_equal(&t.key[1], raw + 80, 80);
	assert_non_null(tls_tickets_parse(BYTES(raw, 79), &t));
	assert_non_null(tls_tickets_parse(BYTES(raw, 48), &t));
}

TEST(ticket, what_is_no_key_is_said)
{
	struct tls_tickets t;
	assert_non_null(strstr(parse("", &t), "no key in it"));
	assert_non_null(strstr(parse("# nothing\n", &t), "no key in it"));
	assert_non_null(strstr(parse("not base64!\n", &t), "base64"));
	assert_non_null(strstr(parse("AAAA\n", &t), "80 bytes"));
	assert_non_null(strstr(parse(LINE LINE "\n", &t), "80 bytes"));
	assert_non_null(strstr(parse(LINE "\n" LINE "\n" LINE "\n" LINE "\n", &t), "more than 3"));
}

TEST_MAIN()
