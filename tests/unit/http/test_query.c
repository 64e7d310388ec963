/* SPDX-License-Identifier: BSD-2-Clause */
/* test_query.c - percent-encoding, query fields, cookies, tricky paths. */
#include "http/query.h"
#include "test.h"

static const char *decode(const char *in, bool plus)
{
	static char out[64];
	long n = http_percent_decode((uint8_t *)out, sizeof(out) - 1, bytes_str(in), plus);
	if (n < 0)
		return "-";
	out[n] = 0;
	return out;
}

TEST(query, percent_encoding_is_decoded)
{
	assert_string_equal(decode("", true), "");
	assert_string_equal(decode("a%20b+c", false), "a b+c");
	assert_string_equal(decode("a%20b+c", true), "a b c");
	assert_string_equal(decode("%c3%A4%25", true), "\xc3\xa4%");
	assert_string_equal(decode("%2B", true), "+");
}

TEST(query, bad_percent_encoding_and_nul_are_refused)
{
	static const char *const bad[] = {"%",    "%4",  "a%",    "%4g", "%g4",
					  "%%41", "%00", "a%00b", "% 1"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_string_equal(decode(bad[i], false), "-");
}

TEST(query, decoding_never_overruns)
{
	uint8_t out[4] = {9, 9, 9, 9};
	assert_int_equal(http_percent_decode(out, 3, BYTES_LIT("abcd"), false), -1);
	assert_int_equal(out[3], 9);
	assert_int_equal(http_percent_decode(out, 3, BYTES_LIT("%61bc"), false), 3);
	assert_int_equal(http_percent_decode(out, 0, BYTES_LIT(""), false), 0);
}

TEST(query, decoding_in_place_works)
{
	char text[] = "%61%62c%64";
	assert_int_equal(http_percent_decode((uint8_t *)text, 10, bytes_str(text), false), 4);
	assert_memory_equal(text, "abcd", 4);
}

TEST(query, pairs_are_walked)
{
	struct bytes q = BYTES_LIT("a=1&b&&c=&=d&e=f=g&"), name, value;
	char out[128] = "";
	while (http_query_next(&q, &name, &value))
		sprintf(out + strlen(out), "[%.*s%s%.*s]", BYTES_FMT(name), value.p ? "=" : "",
			BYTES_FMT(value));
	assert_string_equal(out, "[a=1][b][c=][=d][e=f=g]");
	q = BYTES(NULL, 0);
	assert_false(http_query_next(&q, &name, &value));
}

TEST(query, first_field_of_a_name_is_got_decoded)
{
	struct bytes q = BYTES_LIT("x=0&tok%65n=a%2Eb&token=second&bad=%&flag");
	uint8_t out[8];
	assert_int_equal(http_query_get(q, "token", out, sizeof(out)), 3);
	assert_memory_equal(out, "a.b", 3);
	assert_int_equal(http_query_get(q, "flag", out, sizeof(out)), 0);
	assert_int_equal(http_query_get(q, "bad", out, sizeof(out)), -1);
	assert_int_equal(http_query_get(q, "none", out, sizeof(out)), -1);
	assert_int_equal(http_query_get(q, "token", out, 2), -1);
	assert_int_equal(http_query_get(BYTES(NULL, 0), "a", out, 8), -1);
}

static struct http_head head_of(const char *text)
{
	struct http_head h;
	struct http_limits l = HTTP_LIMITS_DEFAULT;
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, bytes_str(text), &l), HTTP_HEAD);
	return h;
}

TEST(query, cookies_are_found_by_exact_name)
{
	struct http_head h =
		head_of("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; token=x=y;b=\"q\"\r\n"
			"Cookie: Token=other; c=; d\r\n\r\n");
	struct bytes v;
	assert_true(http_cookie_get(&h, BYTES_LIT("token"), &v));
	assert_true(bytes_eq(v, BYTES_LIT("x=y")));
	assert_true(http_cookie_get(&h, BYTES_LIT("Token"), &v));
	assert_true(bytes_eq(v, BYTES_LIT("other")));
	assert_true(http_cookie_get(&h, BYTES_LIT("b"), &v));
	assert_true(bytes_eq(v, BYTES_LIT("q")));
	assert_true(http_cookie_get(&h, BYTES_LIT("c"), &v));
	assert_int_equal(v.n, 0);
	assert_false(http_cookie_get(&h, BYTES_LIT("d"), &v));
	assert_false(http_cookie_get(&h, BYTES_LIT("oken"), &v));
	assert_false(http_cookie_get(&h, BYTES_LIT(""), &v));
}

TEST(query, a_cookie_planted_twice_counts_as_none)
{
	struct http_head h = head_of("GET / HTTP/1.1\r\nHost: a\r\nCookie: t=1; t=1; s=1; s=2\r\n"
				     "Cookie: u=1\r\nCookie: u=2\r\n\r\n");
	struct bytes v;
	assert_true(http_cookie_get(&h, BYTES_LIT("t"), &v));
	assert_false(http_cookie_get(&h, BYTES_LIT("s"), &v));
	assert_false(http_cookie_get(&h, BYTES_LIT("u"), &v));
}

TEST(query, tricky_paths_are_seen)
{
	static const char *const tricky[] = {
		"/.",        "/..",    "/a/../b", "/a/./b", "/%2e", "/%2E%2e/", "/.%2e/x",
		"/a/%2e%2E", "/a%2fb", "/a%2Fb",  "/a%5cb", "/%5C", "..",       "/a/..",
	};
	static const char *const plain[] = {
		"/",      "/a", "/...",  "/..a", "/a..",  "/.a",        "/a.",
		"/a.b/c", "*",  "/%2ea", "/%41", "/a//b", "/%25%32%65", "",
	};
	for (size_t i = 0; i < ARRAY_SIZE(tricky); i++)
		assert_msg(http_path_is_tricky(bytes_str(tricky[i])), "%s", tricky[i]);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		assert_msg(!http_path_is_tricky(bytes_str(plain[i])), "%s", plain[i]);
}

TEST_MAIN()
