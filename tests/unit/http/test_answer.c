/* SPDX-License-Identifier: BSD-2-Clause */
/* test_answer.c - what we say, byte for byte. */
#include <time.h>

#include "http/answer.h"
#include "test.h"

#define NOON 784111777000u /* the example of RFC 9110 5.6.7 */

TEST(answer, date_is_the_one_of_the_rfc)
{
	char d[HTTP_DATE_BYTES];
	http_date(d, NOON);
	assert_memory_equal(d, "Sun, 06 Nov 1994 08:49:37 GMT", sizeof(d));
}

TEST(answer, dates_agree_with_the_c_library)
{
	uint64_t s = 0;
	for (int i = 0; i < 200000; i++) {
		char ours[HTTP_DATE_BYTES + 1] = "", theirs[64];
		time_t t = (time_t)s;
		struct tm tm;
		http_date(ours, s * 1000 + 999);
		strftime(theirs, sizeof(theirs), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
		assert_string_equal(ours, theirs);
		s += 86400 * 7 / 5 + (uint64_t)i; /* through 1970 to 2900 at odd hours */
	}
	char last[HTTP_DATE_BYTES];
	http_date(last, UINT64_MAX);
	assert_memory_equal(last, "Fri, 31 Dec 9999 23:59:59 GMT", sizeof(last));
}

static char buf[HTTP_ANSWER_BYTES + 1];

static const char *text(size_t n)
{
	assert_in_range(n, 1, HTTP_ANSWER_BYTES);
	buf[n] = 0;
	return buf;
}

#define SECURITY "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
#define CSP      "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
#define DATE     "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

TEST(answer, a_whole_answer)
{
	struct http_answer a;
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, HTTP_A_KEEP_ALIVE);
	http_answer_field(&a, "Content-Type", BYTES_LIT("text/plain"));
	assert_string_equal(text(http_answer_end(&a, BYTES_LIT("ok\n"))),
			    "HTTP/1.1 200 OK\r\n" DATE SECURITY CSP
			    "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n");
}

TEST(answer, an_error)
{
	size_t n = http_answer_error(buf, HTTP_ANSWER_BYTES, 404, NULL, NOON, 0);
	assert_string_equal(text(n),
			    "HTTP/1.1 404 Not Found\r\n" DATE "Connection: close\r\n" SECURITY CSP
			    "Content-Type: application/json\r\nCache-Control: no-store\r\n"
			    "Content-Length: 21\r\n\r\n{\"error\":\"Not Found\"}");
}

TEST(answer, connection_is_said_as_the_version_needs)
{
	struct http_answer a;
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, HTTP_A_KEEP_ALIVE | HTTP_A_OLD);
	assert_non_null(
		strstr(text(http_answer_end(&a, BYTES_LIT(""))), "\r\nConnection: keep-alive\r\n"));
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, HTTP_A_OLD);
	assert_non_null(
		strstr(text(http_answer_end(&a, BYTES_LIT(""))), "\r\nConnection: close\r\n"));
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, HTTP_A_KEEP_ALIVE | HTTP_A_PAGE);
	const char *page = text(http_answer_end(&a, BYTES_LIT("")));
	assert_null(strstr(page, "Connection"));
	assert_null(strstr(page, "Content-Security-Policy"));
}

TEST(answer, head_requests_get_the_length_and_no_body)
{
	struct http_answer a;
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, HTTP_A_NO_BODY);
	const char *t = text(http_answer_end(&a, BYTES_LIT("body")));
	assert_non_null(strstr(t, "Content-Length: 4\r\n\r\n"));
	assert_null(strstr(t, "body"));
}

TEST(answer, statuses_without_body_have_no_length)
{
	static const unsigned all[] = {204, 304};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct http_answer a;
		http_answer_start(&a, buf, HTTP_ANSWER_BYTES, all[i], NOON, 0);
		const char *t = text(http_answer_end(&a, BYTES_LIT("")));
		assert_null(strstr(t, "Content-Length"));
		assert_string_equal(t + strlen(t) - 4, "\r\n\r\n");
	}
	struct http_answer a;
	http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 100, NOON, 0);
	assert_string_equal(text(http_answer_end_head(&a)), "HTTP/1.1 100 Continue\r\n\r\n");
}

TEST(answer, too_small_a_buffer_gives_nothing_and_is_not_overrun)
{
	char small[300];
	for (size_t cap = 0; cap < sizeof(small); cap++) {
		struct http_answer a;
		memset(small, '#', sizeof(small));
		http_answer_start(&a, small, cap, 200, NOON, 0);
		http_answer_field(&a, "A", BYTES_LIT("b"));
		size_t n = http_answer_end(&a, BYTES_LIT("body"));
		assert_true(n <= cap);
		for (size_t i = cap; i < sizeof(small); i++)
			assert_int_equal(small[i], '#');
		if (n)
			assert_memory_equal(small + n - 4, "body", 4);
	}
}

TEST(answer, a_value_cannot_smuggle_a_line)
{
	static const char bad[] = {'\r', '\n', 0, 0x1b, 0x7f};
	for (size_t i = 0; i < sizeof(bad); i++) {
		struct http_answer a;
		http_answer_start(&a, buf, HTTP_ANSWER_BYTES, 200, NOON, 0);
		http_answer_field(&a, "A", BYTES(&bad[i], 1));
		assert_int_equal(http_answer_end(&a, BYTES_LIT("")), 0);
	}
}

TEST(answer, error_text_is_escaped)
{
	char out[64];
	size_t n = http_error_json(out, sizeof(out), "a\"b\\c\n\x7f\xc3\xa4");
	assert_int_equal(n, strlen("{\"error\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa4\"}"));
	assert_memory_equal(out, "{\"error\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa4\"}", n);
	for (size_t cap = 0; cap < 16; cap++)
		assert_int_equal(http_error_json(out, cap, "\x01"), 0);
}

TEST(answer, every_status_we_use_has_its_phrase)
{
	assert_string_equal(http_status_phrase(101), "Switching Protocols");
	assert_string_equal(http_status_phrase(431), "Request Header Fields Too Large");
	assert_string_equal(http_status_phrase(299), "Unknown");
}

TEST_MAIN()
