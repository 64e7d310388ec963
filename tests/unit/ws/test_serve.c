/* SPDX-License-Identifier: BSD-2-Clause */
/* A WebSocket's end from both sides, and what still comes after it. */
#include "test.h"

#include "../conn/little.h"
#include "ws/deflate.c"

#define SETTINGS                                                                                   \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; max_message = 1000;"     \
	"                max_fragments = 3; } );" LITTLE_LISTENERS

static char text[100000];

/* Frames as they are written here: "t:hello", "T:frag", "c:ment", "C:end", "p:ping", "x:close". */
static size_t script(uint8_t *out, size_t cap, const char *const *lines)
{
	static const struct {
		char letter;
		uint8_t first;
	} kinds[] = {{'t', WS_TEXT | WS_FIN}, {'T', WS_TEXT},
		     {'c', WS_CONTINUATION},  {'C', 0x80},
		     {'p', WS_PING | WS_FIN}, {'o', WS_PONG | WS_FIN},
		     {'x', WS_CLOSE | WS_FIN}};
	size_t n = 0;
	for (; *lines; lines++)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (kinds[i].letter == (*lines)[0])
				n += far_frame(out + n, cap - n, kinds[i].first, *lines + 2);
	return n;
}

/* What the server answers, as "t:hello x:03e8 ", whatever the cut; and whether it is over. */
static const char *answers(struct far *f, bool *over)
{
	static char seen[1000];
	size_t n = far_recv_all(f, text, sizeof(text), over), at = 0, k = 0;
	while (at + 2 <= n) {
		uint8_t first = (uint8_t)text[at], len = (uint8_t)text[at + 1];
		const char *p = text + at + 2;
		assert_true(len < 126 && at + 2 + len <= n);
		if (first == 0x88)
			k += (size_t)snprintf(seen + k, sizeof(seen) - k, "x:%04x%.*s ",
					      len ? load_be16((const uint8_t *)p) : 0,
					      len > 2 ? len - 2 : 0, p + 2);
		else
			k += (size_t)snprintf(seen + k, sizeof(seen) - k, "%c:%.*s ",
					      first == 0x81 ? 't' :
					      first == 0x8a ? 'o' :
							      '?',
					      len, p);
		at += 2u + len;
	}
	seen[k] = '\0';
	assert_int_equal(at, n);
	return seen;
}

#define SCRIPT(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The script, cut once anywhere, is answered so, and ends it or does not. */
static void assert_heard(const char *const *lines, const char *want, bool ends)
{
	uint8_t bytes[2000];
	size_t n = script(bytes, sizeof(bytes), lines);
	for (unsigned listener = 0; listener < 2; listener++)
		for (size_t cut = 0; cut < n; cut += listener ? 7 : 1) {
			bool over;
			struct far f = far_upgrade(listener, "/echo", 0);
			far_send(&f, bytes, cut);
			if (far_conn(&f))
				far_send(&f, bytes + cut, n - cut);
			const char *seen = answers(&f, &over);
			assert_msg(strcmp(seen, want) == 0, "cut at %zu: %s", cut, seen);
			assert_int_equal(over, ends);
			far_close(&f);
			little_settle();
			assert_true(little_is_clean());
		}
}

TEST(serve, a_close_is_answered_with_its_code_and_nothing_after_it)
{
	little_open(SETTINGS);
	assert_heard(SCRIPT("t:a", "x:\x03\xe8 bye", "t:b", "p:c"), "t:a x:03e8 ", true);
	assert_heard(SCRIPT("x:"), "x:0000 ", true);
	assert_heard(SCRIPT("x:\x0f\xa1"), "x:0fa1 ", true);
	assert_heard(SCRIPT("T:a", "p:between", "x:\x03\xe9", "C:b"), "o:between x:03e9 ", true);
	little_close();
}

TEST(serve, what_is_wrong_is_closed_once_and_with_its_code)
{
	little_open(SETTINGS);
	assert_heard(SCRIPT("t:a", "t:\xff", "t:b"), "t:a x:03efInvalid UTF-8 ", true);
	assert_heard(SCRIPT("c:a", "t:b"), "x:03eaProtocol error ", true);
	assert_heard(SCRIPT("T:a", "t:b"), "x:03eaProtocol error ", true);
	assert_heard(SCRIPT("x:\x03\xed"), "x:03eaProtocol error ", true);
	assert_heard(SCRIPT("T:a", "c:b", "c:c", "C:d"), "x:03f1Message too big ", true);
	little_close();
}

/* After our close we wait for theirs, and only for that. */
TEST(serve, after_our_close_only_theirs_counts)
{
	const struct {
		const char *const *lines;
		bool over;
	} cases[] = {
		{SCRIPT("t:a", "p:b"), false},
		{SCRIPT("t:a", "T:b", "p:c", "x:\x03\xe8"), true},
		{SCRIPT("x:"), true},
		{SCRIPT("t:\xff"), true}, /* it cannot be understood any more */
	};
	uint8_t bytes[500];
	for (unsigned listener = 0; listener < 2; listener++)
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			bool over;
			little_open(SETTINGS);
			struct far f = far_upgrade(listener, "/echo", 0);
			conn_close(little.w, far_conn(&f), CLOSE_ADMIN);
			assert_string_equal(answers(&f, &over), "x:0fa0Closed by the operator ");
			assert_false(over);
			far_send(&f, bytes, script(bytes, sizeof(bytes), cases[i].lines));
			assert_string_equal(answers(&f, &over), "");
			assert_int_equal(over, cases[i].over);
			assert_int_equal(little.w->stats.messages_in, 0);
			little_wait(8000);
			assert_null(far_conn(&f));
			assert_int_equal(little.w->stats.closed[CLOSE_ADMIN], 1);
			far_close(&f);
			assert_true(little_is_clean());
			little_close();
		}
}

/* Both at once: neither waits for the other. */
TEST(serve, closes_that_cross_end_at_once)
{
	uint8_t bytes[100];
	bool over;
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	size_t n = script(bytes, sizeof(bytes), SCRIPT("x:\x03\xe8"));
	assert_int_equal(send(f.fd, bytes, n, 0), n);
	conn_close(little.w, far_conn(&f), CLOSE_ADMIN);
	assert_string_equal(answers(&f, &over), "x:0fa0Closed by the operator ");
	assert_true(over);
	assert_null(far_conn(&f));
	far_close(&f);
	little_close();
}

TEST(serve, nothing_is_sent_behind_our_close)
{
	bool over;
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	struct conn *c = far_conn(&f);
	ws_send_text(little.w, c, BYTES_LIT("before"));
	conn_close(little.w, c, CLOSE_ADMIN);
	ws_send_text(little.w, c, BYTES_LIT("behind"));
	ws_send_ping(little.w, c);
	conn_close(little.w, c, CLOSE_OVERLOAD);
	assert_string_equal(answers(&f, &over), "t:before x:0fa0Closed by the operator ");
	assert_int_equal(c->close_reason, CLOSE_ADMIN);
	far_close(&f);
	little_settle();
	little_close();
}

static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/* "Hello" in a compressed frame, n times in one piece. */
static size_t hellos(uint8_t *out, size_t cap, unsigned n)
{
	static const uint8_t packed[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, mask[4] = {9};
	size_t k = 0;
	while (n-- > 0)
		k += ws_frame_write(out + k, cap - k, WS_TEXT | WS_FIN | WS_RSV1,
				    BYTES(packed, sizeof(packed)), mask);
	return k;
}

TEST(serve, what_the_rate_refuses_is_not_inflated)
{
	uint8_t bytes[2000];
	bool over;
	little_open("endpoints = ( { path = \"/echo\"; protocol = \"echo\"; compression = true;"
		    "                rate = 1; rate_burst = 20; } );" LITTLE_LISTENERS);
	struct far f = far_upgrade_with(LITTLE_PLAIN, "/echo", offer, 0);
	assert_true(far_conn(&f)->flags & CONN_F_DEFLATE);
	far_send(&f, bytes, hellos(bytes, sizeof(bytes), 60));
	assert_int_equal(little.w->stats.messages_in, 60);
	assert_int_equal(little.w->stats.inflated, 20);
	assert_int_equal(little.w->stats.inflations_refused, 0);
	size_t n = far_recv_all(&f, text, sizeof(text), &over);
	assert_false(over);
	assert_memory_equal(text, "\x81\x05Hello\x81\x05Hello", 14);
	assert_non_null(memmem(text, n, "Rate limit exceeded", 19));
	far_close(&f);
	little_settle();
	little_close();
}

/* A burst's contexts and buffers are the worker's, and not for ever. */
TEST(serve, a_worker_at_rest_holds_nothing_for_compression)
{
	uint8_t bytes[100];
	static const struct ws_deflate nothing;
	little_open(
		"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; compression = true; } );" LITTLE_LISTENERS);
	struct far f = far_upgrade_with(LITTLE_TLS, "/echo", offer, 0);
	assert_memory_equal(little.w->deflate, &nothing, sizeof(nothing));
	for (unsigned i = 1; i <= 3; i++) {
		far_send(&f, bytes, hellos(bytes, sizeof(bytes), 1));
		assert_int_equal(little.w->stats.inflated, i);
		assert_true(little.w->deflate->in_made);
		assert_true(little_is_clean());
		far_recv_all(&f, text, sizeof(text), NULL);
		for (unsigned tick = 0; tick <= REST_TICKS; tick++)
			rest(little.w);
		assert_memory_equal(little.w->deflate, &nothing, sizeof(nothing));
	}
	far_close(&f);
	little_settle();
	little_close();
}

TEST(serve, a_message_that_cannot_be_inflated_is_counted_and_told_why)
{
	static const struct {
		struct bytes packed;
		const char *close;
	} rows[] = {{BYTES_LIT("\x07"), "\x03\xefInvalid compressed data"},
		    {BYTES_LIT("\xfa\xff\x0f\x00"), "\x03\xefInvalid UTF-8"}};
	uint8_t bytes[100];
	static const uint8_t mask[4] = {1};
	bool over;
	little_open("endpoints = ( { path = \"/echo\"; protocol = \"echo\"; compression = true;"
		    "                rate = 0; max_message = 1000; } );" LITTLE_LISTENERS);
	for (unsigned i = 0; i < 2; i++) {
		struct far f = far_upgrade_with(LITTLE_PLAIN, "/echo", offer, 0);
		size_t n = ws_frame_write(bytes, sizeof(bytes), WS_TEXT | WS_FIN | WS_RSV1,
					  rows[i].packed, mask);
		far_send(&f, bytes, n);
		n = far_recv_all(&f, text, sizeof(text), &over);
		assert_true(over);
		assert_memory_equal(text + 2, rows[i].close, n - 2);
		far_close(&f);
	}
	assert_int_equal(little.w->stats.inflations_refused, 2);
	assert_int_equal(little.w->stats.closed[CLOSE_WS_BAD_DEFLATE], 1);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

TEST_MAIN()
