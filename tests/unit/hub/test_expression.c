/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is meant: text, JSON and packed form, and what is wrong with them. */
#include "test.h"

#include "base/json.h"
#include "hub/expression.h"

#include <stdio.h>
#include <stdlib.h>

/* "any:c:lobby any:u:alice except:r:ops", as it is after reading. */
static const char *shown(const struct expression *x)
{
	static char text[4096];
	size_t n = 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < x->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c%c:%.*s", i ? " " : "",
				      "|&-"[x->item[i].list], "cur"[x->item[i].kind],
				      BYTES_FMT(x->item[i].name));
	return text;
}

/* Packed and read again it says the same. */
static void assert_packs(const struct expression *x)
{
	uint8_t packed[EXPRESSION_MAX], again[EXPRESSION_MAX];
	struct expression y;
	struct bytes b = expression_pack(x, packed);
	assert_int_equal(b.n % 8, 0);
	char *want = strdup(shown(x));
	assert_true(expression_unpack(b, &y));
	assert_string_equal(shown(&y), want);
	assert_true(bytes_eq(expression_pack(&y, again), b));
	free(want);
}

TEST(expression, texts_that_mean_somebody)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"lobby", "|c:lobby"},
		{"  lobby\t", "|c:lobby"},
		{"user:alice", "|u:alice"},
		{"role:ops", "|r:ops"},
		{"channel:user:alice", "|c:user:alice"},
		{"channel:channel:x", "|c:channel:x"},
		{"users:1", "|c:users:1"},
		{"any(lobby)", "|c:lobby"},
		{"to(lobby,news)", "|c:lobby |c:news"},
		{"any ( lobby , news ) ", "|c:lobby |c:news"},
		{"any(lobby)all(vip)except(muted)", "|c:lobby &c:vip -c:muted"},
		{"except(muted) all(vip, user:a:b) to(z) any(a)",
		 "|c:z |c:a &c:vip &u:a:b -c:muted"},
		{"all(vip)", "&c:vip"},
		{"all(a,b) except(role:x)", "&c:a &c:b -r:x"},
		{"\"my room, (main)\"", "|c:my room, (main)"},
		{"any(\"user:a,b\", \"x\\\"y\\u00e4\\\\\")", "|u:a,b |c:x\"y\xc3\xa4\\"},
		{"any", "|c:any"},
		{"any(any,except)", "|c:any |c:except"},
		{"caf\xc3\xa9", "|c:caf\xc3\xa9"},
		{"any(a,a) except(a)", "|c:a |c:a -c:a"},
		{"any(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15) except(16)",
		 "|c:1 |c:2 |c:3 |c:4 |c:5 |c:6 |c:7 |c:8 |c:9 |c:10 |c:11 |c:12 |c:13 |c:14 "
		 "|c:15 -c:16"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct expression x;
		struct expression_error e = {0};
		assert_msg(expression_from_text(bytes_str(rows[i].text), &x, &e), "%s: %zu: %s",
			   rows[i].text, e.at, e.why);
		assert_string_equal(shown(&x), rows[i].want);
		assert_packs(&x);
	}
}

TEST(expression, mistakes_are_named_with_their_place)
{
	static const struct {
		const char *text;
		size_t at;
		const char *why; /* a part of it */
	} rows[] = {
		{"", 0, "names nobody"},
		{"   ", 0, "names nobody"},
		{"except(muted)", 0, "names nobody"},
		{"any()", 4, "a name is missing"},
		{"any(a,)", 6, "a name is missing"},
		{"any(,a)", 4, "a name is missing"},
		{"any(a", 3, "not closed"},
		{"any(a,", 6, "a name is missing"},
		{"any(a b)", 6, "comma"},
		{"any(a(b))", 5, "double quotes"},
		{"none(a)", 0, "any(…), to(…)"},
		{"any(a) none(b)", 7, "any(…), to(…)"},
		{"any(a) b", 7, "any(…), to(…)"},
		{"lobby news", 0, "any(…), to(…)"},
		{"any(a))", 6, "any(…), to(…)"},
		{"\"a\" b", 3, "nothing may stand behind"},
		{"any(\"a)", 4, "not closed"},
		{"any(\"a\\x\")", 4, "as in JSON"},
		{"any(\"\")", 4, "1 to 100 bytes"},
		{"any(a,user:)", 6, "a user id is 1 to 95 bytes"},
		{"role:", 0, "a role is 1 to 64 bytes"},
		{"any(\"a\\n\")", 4, "control characters"},
		{"any(a\x7f)", 4, "control characters"},
		{"any(\xff)", 4, "UTF-8"},
		{"any(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17)", 43, "at most 16"},
		{"role:1234567890123456789012345678901234567890123456789012345678901234x", 0, "64"},
		{"12345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "123456789012345678901",
		 0, "100"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct expression x;
		struct expression_error e = {.at = 999};
		assert_msg(!expression_from_text(bytes_str(rows[i].text), &x, &e), "%s",
			   rows[i].text);
		assert_msg(e.at == rows[i].at && strstr(e.why, rows[i].why), "%s: %zu: %s",
			   rows[i].text, e.at, e.why);
	}
}

TEST(expression, clients_name_channels)
{
	static const struct {
		const char *json, *want, *field; /* one of the two */
	} rows[] = {
		{"{\"any\":[\"lobby\",\"n\\u0065ws\"]}", "|c:lobby |c:news", NULL},
		{"{\"except\":[\"m\"],\"all\":[\"v\"],\"any\":[\"l\"]}", "|c:l &c:v -c:m", NULL},
		{"{\"any\":null,\"all\":[\"v\"],\"except\":[]}", "&c:v", NULL},
		{"{\"any\":[\"user:alice\",\"role:x\"]}", "|c:user:alice |c:role:x", NULL},
		{"{}", NULL, "to"},
		{"[]", NULL, "to"},
		{"{\"any\":[]}", NULL, "to"},
		{"{\"except\":[\"a\"]}", NULL, "to"},
		{"{\"any\":[\"a\"],\"exept\":[\"b\"]}", NULL, "to"},
		{"{\"any\":[\"a\"],\"any\":[\"b\"]}", NULL, "to"},
		{"{\"any\":\"a\"}", NULL, "to.any"},
		{"{\"any\":[1]}", NULL, "to.any"},
		{"{\"any\":[\"\"]}", NULL, "to.any"},
		{"{\"any\":[\"a\\n\"]}", NULL, "to.any"},
		{"{\"any\":[\"\\ud800\"]}", NULL, "to.any"},
		{"{\"any\":[\"a\"],\"all\":{}}", NULL, "to.all"},
		{"{\"any\":[\"a\"],\"except\":[null]}", NULL, "to.except"},
		{"{\"any\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"],\"except\":[\"1\",\"2\",\"3\","
		 "\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}",
		 NULL, "to.except"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct expression x;
		struct json_value v;
		const char *field;
		assert_int_equal(json_check(bytes_str(rows[i].json), NULL, &v), JSON_OK);
		bool ok = expression_from_json(v.raw, &x, &field);
		assert_msg(ok == (rows[i].want != NULL), "%s", rows[i].json);
		assert_string_equal(ok ? shown(&x) : field, ok ? rows[i].want : rows[i].field);
		if (ok)
			assert_packs(&x);
	}
}

/* What an honest worker does not write. */
TEST(expression, packed_forms_that_are_refused)
{
	static const struct {
		uint8_t bytes[24];
		size_t n;
	} rows[] = {
		{{0}, 0},
		{{1, 0, 0, 0}, 4},                 /* no eighth */
		{{0, 0, 0, 0, 0, 0, 0, 0}, 8},     /* nobody */
		{{0, 0, 1, 0, 0, 1, 'a', 0}, 8},   /* nobody but exceptions */
		{{1, 0, 0, 1, 0, 1, 'a', 0}, 8},   /* not zero */
		{{1, 0, 0, 0, 3, 1, 'a', 0}, 8},   /* no such kind */
		{{1, 0, 0, 0, 0, 0, 0, 0}, 8},     /* empty name */
		{{1, 0, 0, 0, 0, 9, 'a', 0}, 8},   /* longer than it is */
		{{1, 0, 0, 0, 0, 1, 'a', 'b'}, 8}, /* something behind */
		{{1, 0, 0, 0, 0, 1, '\n', 0}, 8},  /* no name */
		{{2, 0, 0, 0, 0, 1, 'a', 0}, 8},   /* one is missing */
		{{1, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0, 0}, 16}, /* too many zeros */
		{{17, 0, 0, 0, 0, 1, 'a', 0}, 8}, /* more than there may be */
		{{255, 255, 255, 0, 0, 1, 'a', 0}, 8},
	};
	static const uint8_t good[] = {1, 0, 0, 0, 0, 2, 'a', 'b'};
	struct expression x;
	assert_true(expression_unpack(BYTES(good, sizeof(good)), &x));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t *in = malloc(rows[i].n + 1); /* as long as it is, for the sanitizer */
		memcpy(in, rows[i].bytes, rows[i].n);
		assert_msg(!expression_unpack(BYTES(in, rows[i].n), &x), "row %zu", i);
		free(in);
	}
}

TEST(expression, a_publication_is_labelled_by_its_first_positive_name)
{
	static const struct {
		const char *text, *label;
		bool channel;
	} rows[] = {
		{"lobby", "lobby", true},
		{"user:alice", "user:alice", false},
		{"except(z) all(role:ops,b)", "role:ops", false},
		{"channel:user:x", "user:x", true},
		{"all(a)", "a", true},
		{"any(a,b)", "a", false},
		{"any(a) except(b)", "a", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct expression x;
		struct expression_error e;
		uint8_t buf[EXPRESSION_NAME_MAX];
		assert_true(expression_from_text(bytes_str(rows[i].text), &x, &e));
		assert_true(bytes_eq(expression_label(expression_lead(&x), buf),
				     bytes_str(rows[i].label)));
		assert_int_equal(expression_is_channel(&x), rows[i].channel);
	}
}

TEST_MAIN()
