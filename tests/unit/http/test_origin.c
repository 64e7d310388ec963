/* SPDX-License-Identifier: BSD-2-Clause */
/* test_origin.c - which pages may talk to us. */
#include <errno.h>

#include "http/origin.h"
#include "test.h"

static enum http_origin_verdict check(const char *rule, const char *origin, const char *host,
				      bool tls)
{
	struct http_origin_list l;
	struct http_head h;
	struct http_limits lim = HTTP_LIMITS_DEFAULT;
	char text[512];

	http_origin_list_init(&l);
	if (rule)
		assert_int_equal(http_origin_list_add(&l, bytes_str(rule)), 0);
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", host,
		 origin ? "Origin: " : "", origin ? origin : "", origin ? "\r\n" : "");
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, bytes_str(text), &lim), HTTP_HEAD);
	enum http_origin_verdict v = http_origin_check(&l, &h, tls);
	http_origin_list_fini(&l);
	return v;
}

TEST(origin, rules_match_what_they_say)
{
	enum { YES = HTTP_ORIGIN_ALLOWED, NO = HTTP_ORIGIN_REFUSED, BAD = HTTP_ORIGIN_BAD };
	static const struct {
		const char *rule, *origin;
		int verdict;
	} all[] = {
		{"*", "https://a", YES},
		{"*", "null", YES},
		{"*", "file://", YES},
		{"*", "chrome-extension://abcdef", YES},
		{"null", "null", YES},
		{"null", "https://a", NO},
		{"https://a", "null", NO},
		{"https://*.a", "null", NO},
		{"same-host", "null", NO},
		/* exact */
		{"https://a.b", "https://a.b", YES},
		{"https://a.b", "HTTPS://A.B", YES},
		{"https://a.b", "https://a.b:443", YES},
		{"https://a.b:443", "https://a.b", YES},
		{"http://a.b:80", "http://a.b", YES},
		{"http://a.b", "http://a.b:8080", NO},
		{"https://a.b", "http://a.b", NO},
		{"https://a.b", "https://a.b:444", NO},
		{"https://a.b", "https://a.b.c", NO},
		{"https://a.b", "https://xa.b", NO},
		{"https://a.b", "https://x.a.b", NO},
		{"https://a.b", "https://a.b.", NO},
		{"https://[::1]:8443", "https://[::1]:8443", YES},
		{"moz-extension://1-2", "moz-extension://1-2", YES},
		{"capacitor://localhost", "capacitor://localhost", YES},
		{"capacitor://localhost", "ionic://localhost", NO},
		/* wildcard */
		{"https://*.a.b", "https://x.a.b", YES},
		{"https://*.a.b", "https://y.x.a.b", YES},
		{"https://*.a.b", "https://X.A.B", YES},
		{"https://*.a.b", "https://a.b", NO},
		{"https://*.a.b", "https://xa.b", NO},
		{"https://*.a.b", "https://x.a.b.c", NO},
		{"https://*.a.b", "http://x.a.b", NO},
		{"https://*.a.b", "https://x.a.b:8443", NO},
		{"https://*.a.b:8443", "https://x.a.b:8443", YES},
		{"https://*.a.b", "https://x.a.b:443", YES},
		/* not an origin */
		{"https://a", "", BAD},
		{"https://a", "a", BAD},
		{"https://a", "https:", BAD},
		{"https://a", "https://", BAD},
		{"https://a", "https://a/", BAD},
		{"https://a", "https://a https://b", BAD},
		{"https://a", "https://u@a", BAD},
		{"https://a", "https://a:", BAD},
		{"https://a", "https://a:0", BAD},
		{"https://a", "https://a?x", BAD},
		{"https://a", "://a", BAD},
		{"https://a", "1x://a", BAD},
		{"https://a", "h_s://a", BAD},
		{"https://a", "https://*.a", BAD},
		{"null", "NULL", BAD},
		{"https://a", "https:/a", BAD},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		int v = check(all[i].rule, all[i].origin, "h", true);
		assert_msg(v == all[i].verdict, "%s against %s: %d", all[i].origin, all[i].rule, v);
	}
}

TEST(origin, same_host_compares_name_and_port)
{
	static const struct {
		const char *origin, *host;
		bool tls, allowed;
	} all[] = {
		{"https://a", "a", true, true},
		{"https://A", "a", true, true},
		{"https://a", "a:443", true, true},
		{"https://a:443", "a", true, true},
		{"https://a:8443", "a:8443", true, true},
		{"https://a:8443", "a", true, false},
		{"https://a", "a:8443", true, false},
		{"https://b", "a", true, false},
		{"https://a.b", "a", true, false},
		{"https://b.a", "a", true, false},
		/* a page in the clear must not use a TLS listener */
		{"http://a", "a", true, false},
		{"http://a", "a", false, true},
		{"http://a:8080", "a:8080", false, true},
		{"http://a", "a:80", false, true},
		{"http://a", "a:443", false, false},
		{"https://a", "a", false, true}, /* behind somebody's TLS terminator */
		{"https://a", "a:80", false, false},
		{"ftp://a", "a", false, false},
		{"https://[::1]:1", "[::1]:1", true, true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		bool v = check("same-host", all[i].origin, all[i].host, all[i].tls) ==
			 HTTP_ORIGIN_ALLOWED;
		assert_msg(v == all[i].allowed, "%s at %s, tls %d", all[i].origin, all[i].host,
			   all[i].tls);
	}
}

TEST(origin, missing_header_is_for_the_caller_to_judge)
{
	assert_int_equal(check("*", NULL, "a", true), HTTP_ORIGIN_ABSENT);
	assert_int_equal(check(NULL, NULL, "a", true), HTTP_ORIGIN_ABSENT);
}

TEST(origin, empty_list_allows_nothing)
{
	assert_int_equal(check(NULL, "https://a", "a", true), HTTP_ORIGIN_REFUSED);
}

TEST(origin, any_of_several_rules_is_enough)
{
	struct http_origin_list l;
	struct http_head h;
	struct http_limits lim = HTTP_LIMITS_DEFAULT;
	http_origin_list_init(&l);
	assert_int_equal(http_origin_list_add(&l, BYTES_LIT("https://a")), 0);
	assert_int_equal(http_origin_list_add(&l, BYTES_LIT("same-host")), 0);
	assert_int_equal(http_origin_list_add(&l, BYTES_LIT("https://*.b")), 0);
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h,
					 BYTES_LIT("GET / HTTP/1.1\r\nHost: c\r\n"
						   "Origin: https://x.b\r\n\r\n"),
					 &lim),
			 HTTP_HEAD);
	assert_int_equal(http_origin_check(&l, &h, true), HTTP_ORIGIN_ALLOWED);
	http_origin_list_fini(&l);
}

TEST(origin, nonsense_is_no_rule)
{
	static const char *const bad[] = {
		"",
		"a",
		"a.b",
		"https://",
		"https://*",
		"https://*.",
		"https://a.*",
		"https://x.*.a",
		"https://**.a",
		"https://a/",
		"https://a/*",
		"*.a",
		"https://*a",
		"samehost",
		"https://*.[::1]",
		"https://*.a:0",
		"https://a, https://b",
		"https://*..a",
	};
	struct http_origin_list l;
	http_origin_list_init(&l);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_msg(http_origin_list_add(&l, bytes_str(bad[i])) == -EINVAL, "%s", bad[i]);
	http_origin_list_fini(&l);
}

TEST_MAIN()
