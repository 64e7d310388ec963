/* SPDX-License-Identifier: BSD-2-Clause */
/* What is JSON, what is not, and that what passes is passed on untouched. The
 * tables follow RFC 8259 section by section; each row is also fed cut short at
 * every byte and from a buffer that ends where the text ends, so that a read
 * beyond it is caught by the sanitizers. */
#include "test.h"

#include <stdlib.h>

#include "base/json.h"

struct row {
	const char *text;
	size_t n;
	enum json_result want;
};
#define ROW(s, r)                                                                                  \
	{                                                                                          \
		s, sizeof(s) - 1, r                                                                \
	}

/* The text in a heap block of exactly its size. */
static enum json_result check_exact(const char *text, size_t n, const struct json_limits *lim)
{
	uint8_t *copy = malloc(n ? n : 1);
	enum json_result r;

	assert_non_null(copy);
	memcpy(copy, text, n);
	r = json_check(BYTES(copy, n), lim, NULL);
	free(copy);
	return r;
}

static void run_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum json_result r = check_exact(rows[i].text, rows[i].n, NULL);
		assert_msg(r == rows[i].want, "row %zu (%s): %s, want %s", i, rows[i].text,
			   json_result_str(r), json_result_str(rows[i].want));
	}
}

static const struct row good[] = {
	/* section 3: literals, and any value may stand alone */
	ROW("null", JSON_OK),
	ROW("true", JSON_OK),
	ROW("false", JSON_OK),
	ROW(" \t\r\n null \t\r\n ", JSON_OK),
	ROW("\"\"", JSON_OK),
	ROW("0", JSON_OK),
	/* section 4 and 5 */
	ROW("{}", JSON_OK),
	ROW("[]", JSON_OK),
	ROW("{ }", JSON_OK),
	ROW("[ ]", JSON_OK),
	ROW("[[],{},[{}],{\"\":[]}]", JSON_OK),
	ROW("{\"\":0}", JSON_OK),
	ROW("{\"a\":1,\"a\":2}", JSON_OK), /* names SHOULD be unique: not ours to judge */
	ROW("{\"a\" :\n1 , \"b\"\t:[ 1 , 2 ] }", JSON_OK),
	ROW("[1,[2,[3,[4,[5]]]]]", JSON_OK),
	/* section 6 */
	ROW("-0", JSON_OK),
	ROW("-1", JSON_OK),
	ROW("10", JSON_OK),
	ROW("0.0", JSON_OK),
	ROW("-0.5", JSON_OK),
	ROW("1e1", JSON_OK),
	ROW("1E+1", JSON_OK),
	ROW("1e-01", JSON_OK),
	ROW("0e0", JSON_OK),
	ROW("1.5E10", JSON_OK),
	ROW("123456789012345678901234567890123456789", JSON_OK),
	ROW("1e999999", JSON_OK),
	ROW("-1e-999999", JSON_OK),
	ROW("[0,-0,1]", JSON_OK),
	/* section 7 */
	ROW("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", JSON_OK),
	ROW("\"\\u0000\"", JSON_OK),
	ROW("\"\\uabCD\\uFFFF\"", JSON_OK),
	ROW("\"\\ud83d\\ude00\"", JSON_OK),
	ROW("\"\\ud83d\"", JSON_OK), /* a lone surrogate is grammatical */
	ROW("\"\\udc00\\ud800\"", JSON_OK),
	ROW("\"\x7f\"", JSON_OK),
	ROW("\"/\"", JSON_OK),
	ROW("\"\\\\\"", JSON_OK),
	ROW("\"\\\\\\\"\"", JSON_OK),
	ROW("\"0123456789abcdef\"", JSON_OK),
	ROW("\"0123456789abcdef0123456789abcde\"", JSON_OK),
	/* section 8.1 */
	ROW("\"\xc3\xa4\"", JSON_OK),
	ROW("\"\xe2\x82\xac\"", JSON_OK),
	ROW("\"\xf0\x9f\x98\x80\"", JSON_OK),
	ROW("\"\xc2\x80\"", JSON_OK),
	ROW("\"\xdf\xbf\"", JSON_OK),
	ROW("\"\xe0\xa0\x80\"", JSON_OK),
	ROW("\"\xed\x9f\xbf\"", JSON_OK),
	ROW("\"\xee\x80\x80\"", JSON_OK),
	ROW("\"\xef\xbf\xbf\"", JSON_OK), /* a noncharacter is a character */
	ROW("\"\xf0\x90\x80\x80\"", JSON_OK),
	ROW("\"\xf4\x8f\xbf\xbf\"", JSON_OK),
	ROW("\"\xe2\x80\xa8\"", JSON_OK), /* U+2028 */
	ROW("{\"\xc3\xa4\":\"\xc3\xb6\"}", JSON_OK),
};

static const struct row bad[] = {
	ROW("", JSON_BAD), ROW(" ", JSON_BAD), ROW("\0", JSON_BAD), ROW("nul", JSON_BAD),
	ROW("nulL", JSON_BAD), ROW("nullx", JSON_BAD), ROW("null null", JSON_BAD),
	ROW("True", JSON_BAD), ROW("TRUE", JSON_BAD), ROW("NaN", JSON_BAD),
	ROW("Infinity", JSON_BAD), ROW("-Infinity", JSON_BAD), ROW("undefined", JSON_BAD),
	ROW("'a'", JSON_BAD), ROW("a", JSON_BAD),
	ROW("\xef\xbb\xbf{}", JSON_BAD), /* byte order mark */
	ROW("\f{}", JSON_BAD), ROW("\v1", JSON_BAD),
	ROW("\xc2\xa0{}", JSON_BAD), /* no-break space */
	ROW("{}\0", JSON_BAD), ROW("1\0", JSON_BAD), ROW("// c\n1", JSON_BAD),
	ROW("/**/1", JSON_BAD), ROW("# c\n1", JSON_BAD),
	/* arrays */
	ROW("[", JSON_BAD), ROW("]", JSON_BAD), ROW("[1", JSON_BAD), ROW("[1,", JSON_BAD),
	ROW("[1,]", JSON_BAD), ROW("[,1]", JSON_BAD), ROW("[,]", JSON_BAD), ROW("[1,,2]", JSON_BAD),
	ROW("[1 2]", JSON_BAD), ROW("[1:2]", JSON_BAD), ROW("[1}", JSON_BAD), ROW("[1]]", JSON_BAD),
	ROW("[\"a\":1]", JSON_BAD), ROW("[[]", JSON_BAD),
	/* objects */
	ROW("{", JSON_BAD), ROW("}", JSON_BAD), ROW("{]", JSON_BAD), ROW("{\"a\"", JSON_BAD),
	ROW("{\"a\":", JSON_BAD), ROW("{\"a\":1", JSON_BAD), ROW("{\"a\":1,", JSON_BAD),
	ROW("{\"a\":1,}", JSON_BAD), ROW("{,\"a\":1}", JSON_BAD), ROW("{\"a\" 1}", JSON_BAD),
	ROW("{\"a\",1}", JSON_BAD), ROW("{\"a\"::1}", JSON_BAD), ROW("{\"a\":1:2}", JSON_BAD),
	ROW("{\"a\":}", JSON_BAD), ROW("{\"a\"}", JSON_BAD), ROW("{a:1}", JSON_BAD),
	ROW("{'a':1}", JSON_BAD), ROW("{1:1}", JSON_BAD), ROW("{null:1}", JSON_BAD),
	ROW("{[]:1}", JSON_BAD), ROW("{\"a\":1]", JSON_BAD), ROW("{\"a\":1 \"b\":2}", JSON_BAD),
	ROW("{\"a\":1}}", JSON_BAD), ROW("{\"a\":1}{\"a\":1}", JSON_BAD),
	ROW("{\"a\":[}", JSON_BAD), ROW("[{\"a\":1,]", JSON_BAD),
	/* numbers */
	ROW("-", JSON_BAD), ROW("+1", JSON_BAD), ROW("--1", JSON_BAD), ROW("01", JSON_BAD),
	ROW("-01", JSON_BAD), ROW("00", JSON_BAD), ROW("1.", JSON_BAD), ROW(".1", JSON_BAD),
	ROW("-.1", JSON_BAD), ROW("1.e1", JSON_BAD), ROW("1e", JSON_BAD), ROW("1e+", JSON_BAD),
	ROW("1ee1", JSON_BAD), ROW("1e1.5", JSON_BAD), ROW("1 .5", JSON_BAD), ROW("0x10", JSON_BAD),
	ROW("1_000", JSON_BAD), ROW("1a", JSON_BAD),
	ROW("\xef\xbc\x91", JSON_BAD), /* fullwidth digit one */
	/* strings */
	ROW("\"", JSON_BAD), ROW("\"a", JSON_BAD), ROW("\"\\\"", JSON_BAD), ROW("\"\\", JSON_BAD),
	ROW("\"\\x41\"", JSON_BAD), ROW("\"\\a\"", JSON_BAD), ROW("\"\\'\"", JSON_BAD),
	ROW("\"\\0\"", JSON_BAD), ROW("\"\\U0041\"", JSON_BAD), ROW("\"\\u\"", JSON_BAD),
	ROW("\"\\u004\"", JSON_BAD), ROW("\"\\u00g0\"", JSON_BAD), ROW("\"\\u+041\"", JSON_BAD),
	ROW("\"\\u 041\"", JSON_BAD), ROW("\"\n\"", JSON_BAD), ROW("\"\t\"", JSON_BAD),
	ROW("\"\x1f\"", JSON_BAD), ROW("\"a\0b\"", JSON_BAD),
	ROW("\"0123456789abcde\n\"", JSON_BAD), ROW("\"0123456789abcdef\n\"", JSON_BAD),
	ROW("\"a\"b\"", JSON_BAD), ROW("\"\\\xc3\xa4\"", JSON_BAD),
	/* UTF-8 */
	ROW("\"\x80\"", JSON_BAD_UTF8), ROW("\"\xbf\"", JSON_BAD_UTF8),
	ROW("\"\xc3\"", JSON_BAD_UTF8), ROW("\"\xc3", JSON_BAD_UTF8),
	ROW("\"\xc3\x28\"", JSON_BAD_UTF8), ROW("\"\xc0\xaf\"", JSON_BAD_UTF8), /* overlong '/' */
	ROW("\"\xc1\xbf\"", JSON_BAD_UTF8), ROW("\"\xe0\x80\xaf\"", JSON_BAD_UTF8),
	ROW("\"\xe0\x9f\xbf\"", JSON_BAD_UTF8),
	ROW("\"\xed\xa0\x80\"", JSON_BAD_UTF8), /* a surrogate */
	ROW("\"\xed\xbf\xbf\"", JSON_BAD_UTF8), ROW("\"\xe2\x82\"", JSON_BAD_UTF8),
	ROW("\"\xe2\x82", JSON_BAD_UTF8), ROW("\"\xf0\x80\x80\xaf\"", JSON_BAD_UTF8),
	ROW("\"\xf0\x8f\xbf\xbf\"", JSON_BAD_UTF8),
	ROW("\"\xf4\x90\x80\x80\"", JSON_BAD_UTF8), /* beyond U+10FFFF */
	ROW("\"\xf5\x80\x80\x80\"", JSON_BAD_UTF8), ROW("\"\xf8\x88\x80\x80\x80\"", JSON_BAD_UTF8),
	ROW("\"\xfe\"", JSON_BAD_UTF8), ROW("\"\xff\"", JSON_BAD_UTF8),
	ROW("\"0123456789abcdef\xff\"", JSON_BAD_UTF8), ROW("{\"\xff\":1}", JSON_BAD_UTF8),
	ROW("{\"a\":[\"\xe4\"]}", JSON_BAD_UTF8), /* Latin-1 */
};

TEST(json, what_the_rfc_allows_is_accepted)
{
	run_rows(good, ARRAY_SIZE(good));
}

TEST(json, what_the_rfc_forbids_is_refused)
{
	run_rows(bad, ARRAY_SIZE(bad));
}

/* Wherever a value may stand, it is judged the same. */
TEST(json, a_value_is_judged_alike_in_every_position)
{
	static const char *const around[][2] = {
		{"[", "]"}, {"{\"k\":", "}"}, {"[0,", ",1]"}, {"{\"a\":[", "]}"}, {" [ ", " ] "}};

	for (size_t k = 0; k < 2; k++) {
		const struct row *rows = k ? bad : good;
		size_t n = k ? ARRAY_SIZE(bad) : ARRAY_SIZE(good);
		for (size_t i = 0; i < n; i++)
			for (size_t a = 0; a < ARRAY_SIZE(around); a++) {
				char text[256];
				size_t before = strlen(around[a][0]), after = strlen(around[a][1]);
				enum json_result r;

				/* these find their other half in the wrapping */
				if (k && (rows[i].n == 0 || strspn(rows[i].text, " ") == rows[i].n))
					continue;
				memcpy(text, around[a][0], before);
				memcpy(text + before, rows[i].text, rows[i].n);
				memcpy(text + before + rows[i].n, around[a][1], after);
				r = check_exact(text, before + rows[i].n + after, NULL);
				assert_msg((r == JSON_OK) == (k == 0), "%.*s: %s",
					   (int)(before + rows[i].n + after), text,
					   json_result_str(r));
			}
	}
}

TEST(json, a_text_cut_short_anywhere_is_refused)
{
	static const char text[] =
		"{\"a\":[1.5e3,true,null,{\"b\\u00e4\":\"\xe2\x82\xac \\\" x\"}],\"c\":{}}";

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_msg(check_exact(text, n, NULL) != JSON_OK, "accepted at %zu", n);
	assert_int_equal(check_exact(text, sizeof(text) - 1, NULL), JSON_OK);
}

TEST(json, every_byte_value_in_a_string_is_judged)
{
	for (int at = 0; at < 40; at++)
		for (int c = 0; c < 256; c++) {
			char text[48];
			enum json_result want = c < 0x20 || c == '\\' ? JSON_BAD :
						c == '"'              ? JSON_BAD :
						c >= 0x80             ? JSON_BAD_UTF8 :
									JSON_OK;
			memset(text, 'a', sizeof(text));
			text[0] = text[44] = '"';
			text[1 + at] = (char)c;
			assert_msg(check_exact(text, 45, NULL) == want, "byte %02x at %d", c, at);
		}
}

TEST(json, depth_is_bounded_and_counts_arrays_and_objects)
{
	char text[1024];
	struct json_limits lim = {.max_depth = 5};

	assert_int_equal(check_exact("[[[[[]]]]]", 10, &lim), JSON_OK);
	assert_int_equal(check_exact("[[[[[[]]]]]]", 12, &lim), JSON_TOO_DEEP);
	assert_int_equal(check_exact("[[[[{\"a\":1}]]]]", 15, &lim), JSON_OK);
	assert_int_equal(check_exact("[[[[{\"a\":[]}]]]]", 16, &lim), JSON_TOO_DEEP);
	/* closing gives a level back */
	assert_int_equal(check_exact("[[[[[],[],{}]],[[{}]]]]", 23, &lim), JSON_OK);
	for (uint32_t d = 1; d <= JSON_MAX_DEPTH; d++) {
		for (uint32_t i = 0; i < d; i++) {
			text[i] = '[';
			text[2 * d - 1 - i] = ']';
		}
		lim.max_depth = d;
		assert_int_equal(check_exact(text, 2 * d, &lim), JSON_OK);
		if (d > 1) {
			lim.max_depth = d - 1;
			assert_int_equal(check_exact(text, 2 * d, &lim), JSON_TOO_DEEP);
		}
	}
	memset(text, '[', sizeof(text));
	assert_int_equal(check_exact(text, sizeof(text), NULL), JSON_TOO_DEEP);
}

TEST(json, mixed_nesting_closes_with_the_right_bracket)
{
	struct json_limits lim = {.max_depth = JSON_MAX_DEPTH};
	char text[JSON_MAX_DEPTH * 6], *p;

	for (uint32_t pattern = 0; pattern < 64; pattern++) {
		p = text;
		for (int i = 0; i < JSON_MAX_DEPTH; i++)
			p = stpcpy(p, pattern >> i % 6 & 1 ? "{\"\":" : "[");
		*p++ = '1';
		for (int i = JSON_MAX_DEPTH - 1; i >= 0; i--)
			*p++ = pattern >> i % 6 & 1 ? '}' : ']';
		assert_int_equal(check_exact(text, (size_t)(p - text), &lim), JSON_OK);
		p[-1] = p[-1] == '}' ? ']' : '}';
		assert_int_equal(check_exact(text, (size_t)(p - text), &lim), JSON_BAD);
	}
}

TEST(json, size_is_bounded)
{
	struct json_limits lim = {.max_bytes = 4};

	assert_int_equal(check_exact("[12]", 4, &lim), JSON_OK);
	assert_int_equal(check_exact("[12] ", 5, &lim), JSON_TOO_LONG);
}

TEST(json, known_utf8_is_not_checked_again)
{
	struct json_limits lim = {.utf8_known = true};

	assert_int_equal(check_exact("\"\xc3\xa4\"", 4, &lim), JSON_OK);
	assert_int_equal(check_exact("\"\xff\"", 3, &lim), JSON_OK);
	assert_int_equal(check_exact("\"\n\"", 3, &lim), JSON_BAD);
}

TEST(json, check_returns_the_value_without_the_space_around_it)
{
	struct json_value v;

	assert_int_equal(json_check(BYTES_LIT(" \n[1, 2]\t"), NULL, &v), JSON_OK);
	assert_int_equal(v.type, JSON_IS_ARRAY);
	assert_true(bytes_eq(v.raw, BYTES_LIT("[1, 2]")));
	assert_int_equal(json_check(BYTES_LIT("-1e5 "), NULL, &v), JSON_OK);
	assert_int_equal(v.type, JSON_IS_NUMBER);
	assert_true(bytes_eq(v.raw, BYTES_LIT("-1e5")));
}

static enum json_result scan(const char *text, struct json_field *f, size_t n)
{
	return json_object_scan(bytes_str(text), NULL, f, n);
}

TEST(json, wanted_fields_come_back_byte_for_byte)
{
	struct json_field f[] = {JSON_FIELD("type"), JSON_FIELD("channel"), JSON_FIELD("data"),
				 JSON_FIELD("id"), JSON_FIELD("absent")};
	const char *text =
		" {\"type\" : \"publish\",\"x\":{\"type\":\"inner\"},\"data\": "
		"{\"b\":1e2,\"a\" : 0.10,\"a\":9007199254740993,\"\\u0061\":\"\\ud83d\"} ,"
		"\"channel\":\"n\\u0065ws\",\"id\":-0}\n";

	assert_int_equal(scan(text, f, ARRAY_SIZE(f)), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_STRING);
	assert_true(bytes_eq(f[0].value.raw, BYTES_LIT("\"publish\"")));
	assert_int_equal(f[1].value.type, JSON_IS_STRING);
	assert_true(bytes_eq(f[1].value.raw, BYTES_LIT("\"n\\u0065ws\"")));
	assert_int_equal(f[2].value.type, JSON_IS_OBJECT);
	assert_true(
		bytes_eq(f[2].value.raw, BYTES_LIT("{\"b\":1e2,\"a\" : 0.10,\"a\":9007199254740993,"
						   "\"\\u0061\":\"\\ud83d\"}")));
	assert_int_equal(f[3].value.type, JSON_IS_NUMBER);
	assert_true(bytes_eq(f[3].value.raw, BYTES_LIT("-0")));
	assert_int_equal(f[4].value.type, JSON_IS_ABSENT);
}

TEST(json, each_type_is_named)
{
	struct json_field f[] = {JSON_FIELD("a"), JSON_FIELD("b"), JSON_FIELD("c"), JSON_FIELD("d"),
				 JSON_FIELD("e"), JSON_FIELD("f"), JSON_FIELD("g")};

	assert_int_equal(
		scan("{\"a\":null,\"b\":false,\"c\":true,\"d\":1,\"e\":\"\",\"f\":[],\"g\":{}}", f,
		     ARRAY_SIZE(f)),
		JSON_OK);
	for (int i = 0; i < 7; i++)
		assert_int_equal(f[i].value.type, JSON_IS_NULL + i);
}

TEST(json, an_escaped_name_is_the_same_name)
{
	struct json_field f[] = {JSON_FIELD("type")};

	assert_int_equal(scan("{\"ty\\u0070e\":\"x\"}", f, 1), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_STRING);
	assert_int_equal(scan("{\"\\u0074\\u0079\\u0070\\u0065\":1}", f, 1), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_NUMBER);
	assert_int_equal(
		scan("{\"type\\u0000\":1,\"typ\":2,\"types\":3,\"Type\":4,\"\\ud800type\":5}", f,
		     1),
		JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_ABSENT);
}

TEST(json, a_wanted_name_outside_ascii_is_found)
{
	struct json_field f[] = {JSON_FIELD("\xf0\x9f\x98\x80")};

	assert_int_equal(scan("{\"\\ud83d\\ude00\":1}", f, 1), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_NUMBER);
	assert_int_equal(scan("{\"\xf0\x9f\x98\x80\":true}", f, 1), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_TRUE);
}

TEST(json, a_wanted_name_twice_is_refused_however_it_is_spelled)
{
	struct json_field f[] = {JSON_FIELD("type"), JSON_FIELD("channel")};

	assert_int_equal(scan("{\"type\":1,\"type\":1}", f, 2), JSON_DUPLICATE);
	assert_int_equal(scan("{\"type\":1,\"channel\":\"a\",\"t\\u0079pe\":1}", f, 2),
			 JSON_DUPLICATE);
	assert_int_equal(scan("{\"type\":null,\"type\":null}", f, 2), JSON_DUPLICATE);
	assert_int_equal(scan("{\"x\":1,\"x\":1,\"type\":{\"type\":1,\"type\":2}}", f, 2), JSON_OK);
}

TEST(json, only_an_object_has_fields)
{
	struct json_field f[] = {JSON_FIELD("type")};

	assert_int_equal(scan("[]", f, 1), JSON_NOT_OBJECT);
	assert_int_equal(scan(" \"type\" ", f, 1), JSON_NOT_OBJECT);
	assert_int_equal(scan("12", f, 1), JSON_NOT_OBJECT);
	assert_int_equal(scan("[1,]", f, 1), JSON_BAD);
	assert_int_equal(scan("", f, 1), JSON_BAD);
	assert_int_equal(scan("{}", f, 1), JSON_OK);
	assert_int_equal(f[0].value.type, JSON_IS_ABSENT);
	assert_int_equal(scan("{}x", f, 1), JSON_BAD);
	assert_int_equal(scan("{\"a\":1}x", f, 1), JSON_BAD);
	assert_int_equal(json_object_scan(BYTES(NULL, 0), NULL, f, 1), JSON_BAD);
}

/* The walker of the top level and the one below it must agree. */
TEST(json, object_scan_accepts_exactly_what_check_accepts)
{
	struct json_field f[] = {JSON_FIELD("nobody has this")};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct bytes in = BYTES(good[i].text, good[i].n);
		enum json_result r = json_object_scan(in, NULL, f, 1);
		assert_true(r == JSON_OK || r == JSON_NOT_OBJECT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bytes in = BYTES(bad[i].text, bad[i].n);
		assert_int_equal(json_object_scan(in, NULL, f, 1), bad[i].want);
	}
}

TEST(json, scan_counts_the_object_itself_as_a_level)
{
	struct json_field f[] = {JSON_FIELD("a")};
	struct json_limits lim = {.max_depth = 2};

	assert_int_equal(json_object_scan(BYTES_LIT("{\"a\":[1]}"), &lim, f, 1), JSON_OK);
	assert_int_equal(json_object_scan(BYTES_LIT("{\"a\":[[]]}"), &lim, f, 1), JSON_TOO_DEEP);
	lim.max_depth = 1;
	assert_int_equal(json_object_scan(BYTES_LIT("{\"a\":1}"), &lim, f, 1), JSON_OK);
	assert_int_equal(json_object_scan(BYTES_LIT("{\"a\":{}}"), &lim, f, 1), JSON_TOO_DEEP);
}

static void unescapes_to(struct bytes raw, struct bytes want)
{
	uint8_t out[64];
	size_t n = 99;

	assert_int_equal(json_check(raw, NULL, NULL), JSON_OK);
	assert_true(json_string_unescape(raw, out, sizeof(out), &n));
	assert_msg(bytes_eq(BYTES(out, n), want), "%.*s", BYTES_FMT(raw));
	assert_true(json_string_eq(raw, want));
	/* exactly enough room, and one byte less */
	assert_true(json_string_unescape(raw, out, want.n, &n));
	if (want.n)
		assert_false(json_string_unescape(raw, out, want.n - 1, &n));
}

TEST(json, strings_unescape_to_utf8)
{
	unescapes_to(BYTES_LIT("\"\""), BYTES_LIT(""));
	unescapes_to(BYTES_LIT("\"plain\""), BYTES_LIT("plain"));
	unescapes_to(BYTES_LIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), BYTES_LIT("\"\\/\b\f\n\r\t"));
	unescapes_to(BYTES_LIT("\"a\\u0000b\""), BYTES_LIT("a\0b"));
	unescapes_to(BYTES_LIT("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""),
		     BYTES_LIT("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf"));
	unescapes_to(BYTES_LIT("\"\\ud83d\\uDE00\""), BYTES_LIT("\xf0\x9f\x98\x80"));
	unescapes_to(BYTES_LIT("\"\\ud800\\udc00\\udbff\\udfff\""),
		     BYTES_LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	unescapes_to(BYTES_LIT("\"\xe2\x82\xac\\u20ac\""), BYTES_LIT("\xe2\x82\xac\xe2\x82\xac"));
}

TEST(json, lone_surrogates_do_not_unescape)
{
	static const char *const lone[] = {"\"\\ud800\"",         "\"\\udc00\"",
					   "\"\\udfff\\ud800\"",  "\"\\ud800\\ud800\\udc00\"",
					   "\"\\ud800x\"",        "\"\\ud800\\n\"",
					   "\"a\\udbff\\u0041\"", "\"\\ud83d\\\\de00\""};
	uint8_t out[64];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(lone); i++) {
		struct bytes raw = bytes_str(lone[i]);
		assert_int_equal(json_check(raw, NULL, NULL), JSON_OK);
		assert_false(json_string_unescape(raw, out, sizeof(out), &n));
		assert_false(json_string_eq(raw, BYTES_LIT("\xed\xa0\x80")));
	}
}

TEST(json, strings_compare_without_a_copy)
{
	assert_true(json_string_eq(BYTES_LIT("\"lobby\""), BYTES_LIT("lobby")));
	assert_true(json_string_eq(BYTES_LIT("\"l\\u006fbby\""), BYTES_LIT("lobby")));
	assert_false(json_string_eq(BYTES_LIT("\"lobb\""), BYTES_LIT("lobby")));
	assert_false(json_string_eq(BYTES_LIT("\"lobbyy\""), BYTES_LIT("lobby")));
	assert_false(json_string_eq(BYTES_LIT("\"\""), BYTES_LIT("lobby")));
	assert_true(json_string_eq(BYTES_LIT("\"\""), BYTES_LIT("")));
}

TEST(json, integers_have_bounds)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t v;
	} rows[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"7", true, 7},
		{"-7", true, -7},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999999", false, 0},
		{"1.0", false, 0},
		{"1e3", false, 0},
		{"\"1\"", false, 0},
		{"true", false, 0},
		{"-", false, 0},
		{"", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t v = 42;
		bool ok = json_int64(bytes_str(rows[i].text), INT64_MIN, INT64_MAX, &v);
		assert_int_equal(ok, rows[i].ok);
		assert_true(v == (ok ? rows[i].v : 42));
	}
	int64_t v;
	assert_true(json_int64(BYTES_LIT("50"), 1, 50, &v));
	assert_false(json_int64(BYTES_LIT("51"), 1, 50, &v));
	assert_false(json_int64(BYTES_LIT("0"), 1, 50, &v));
}

TEST(json, arrays_are_walked_element_by_element)
{
	static const char *const want[] = {"1", "\"a,]\"", "[2, [3]]", "{\"x\":[]}", "null"};
	struct json_iter it =
		json_iter_array(BYTES_LIT("[ 1,\"a,]\" , [2, [3]],{\"x\":[]},\nnull ]"));
	struct json_value e;
	size_t n = 0;

	while (json_iter_next(&it, &e))
		assert_true(bytes_eq(e.raw, bytes_str(want[n++])));
	assert_int_equal(n, ARRAY_SIZE(want));
	it = json_iter_array(BYTES_LIT("[ ]"));
	assert_false(json_iter_next(&it, &e));
}

TEST(json, objects_are_walked_member_by_member)
{
	static const char *const want[][2] = {{"\"a\"", "1"},
					      {"\"b\\u0063,:}\"", "{\"x\":[2]}"},
					      {"\"a\"", "\":\""},
					      {"\"\"", "[]"}};
	struct json_iter it = json_iter_object(
		BYTES_LIT("{ \"a\" :1,\"b\\u0063,:}\": {\"x\":[2]} ,\n\"a\":\":\",\"\":[] }"));
	struct json_value e;
	struct bytes name;
	size_t n = 0;

	for (; json_iter_member(&it, &name, &e); n++) {
		assert_true(bytes_eq(name, bytes_str(want[n][0])));
		assert_true(bytes_eq(e.raw, bytes_str(want[n][1])));
	}
	assert_int_equal(n, ARRAY_SIZE(want));
	it = json_iter_object(BYTES_LIT("{ }"));
	assert_false(json_iter_member(&it, &name, &e));
}

TEST(json, answers_are_written_with_commas_where_they_belong)
{
	uint8_t buf[256];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	json_put_open(&o, '{');
	json_key_str(&o, "type", BYTES_LIT("subscribed"));
	json_key_json(&o, "id", BYTES_LIT("1e2"));
	json_key_u64(&o, "timestamp", 1700000000000);
	json_key(&o, "list");
	json_put_open(&o, '[');
	json_put_i64(&o, -5);
	json_put_bool(&o, true);
	json_put_null(&o);
	json_put_open(&o, '{');
	json_put_close(&o, '}');
	json_put_open(&o, '[');
	json_put_close(&o, ']');
	json_put_str(&o, BYTES_LIT("["));
	json_put_str(&o, BYTES_LIT("x"));
	json_put_close(&o, ']');
	json_key_bool(&o, "no", false);
	json_put_lit(&o, ",\"raw\":");
	json_put_i64(&o, INT64_MIN);
	json_put_close(&o, '}');
	assert_false(o.overflow);
	assert_true(bytes_eq(
		json_out_bytes(&o),
		BYTES_LIT("{\"type\":\"subscribed\",\"id\":1e2,\"timestamp\":1700000000000,"
			  "\"list\":[-5,true,null,{},[],\"[\",\"x\"],\"no\":false,"
			  "\"raw\":-9223372036854775808}")));
	assert_int_equal(json_check(json_out_bytes(&o), NULL, NULL), JSON_OK);
}

TEST(json, what_is_written_reads_back_as_it_was)
{
	uint8_t plain[256], buf[JSON_STR_MAX(256)], back[256];
	size_t n;

	for (size_t i = 0; i < 128; i++)
		plain[i] = (uint8_t)i;
	memcpy(plain + 128, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9);
	for (size_t from = 0; from < 137; from++) {
		struct json_out o = JSON_OUT(buf, sizeof(buf));
		struct bytes in;
		if ((plain[from] & 0xc0) == 0x80)
			continue; /* not the start of a character */
		in = BYTES(plain + from, 137 - from);
		json_put_str(&o, in);
		assert_false(o.overflow);
		assert_int_equal(json_check(json_out_bytes(&o), NULL, NULL), JSON_OK);
		assert_true(json_string_unescape(json_out_bytes(&o), back, sizeof(back), &n));
		assert_true(bytes_eq(BYTES(back, n), in));
	}
}

TEST(json, bytes_that_are_no_utf8_are_written_as_replacement_characters)
{
	uint8_t buf[64];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	json_put_str(&o, BYTES_LIT("a\xff\xc3"
				   "b\xe2\x82"));
	assert_true(bytes_eq(json_out_bytes(&o), BYTES_LIT("\"a\xef\xbf\xbd\xef\xbf\xbd"
							   "b\xef\xbf\xbd\xef\xbf\xbd\"")));
}

TEST(json, what_does_not_fit_is_left_out_whole)
{
	for (size_t cap = 0; cap < 40; cap++) {
		uint8_t *buf = malloc(cap ? cap : 1);
		struct json_out o = JSON_OUT(buf, cap);

		json_put_open(&o, '{');
		json_key_str(&o, "a", BYTES_LIT("x\n\xc3\xa4y"));
		json_key_u64(&o, "b", 18446744073709551615u);
		json_put_close(&o, '}');
		/* {"a":"x\näy","b":18446744073709551615} */
		assert_int_equal(o.overflow, cap < 39);
		assert_true(o.n <= cap);
		assert_true(cap < 39 ? o.n <= 38 : o.n == 39);
		free(buf);
	}
}

TEST_MAIN()
