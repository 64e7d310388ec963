/* SPDX-License-Identifier: BSD-2-Clause */
/* test_upgrade.c - who becomes a WebSocket, and what the others are told. */
#include "test.h"
#include "ws/upgrade.h"

#define KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13   "Sec-WebSocket-Version: 13\r\n"
#define UP    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define GET   "GET /ws HTTP/1.1\r\nHost: a\r\n"
#define PROTO "Sec-WebSocket-Protocol: "
#define EXT   "Sec-WebSocket-Extensions: "

static struct http_head head;
static struct ws_upgrade up;

static enum ws_upgrade_outcome check(const char *text)
{
	struct http_limits l = HTTP_LIMITS_DEFAULT;
	http_head_init(&head);
	assert_int_equal(http_head_parse(&head, bytes_str(text), &l), HTTP_HEAD);
	return ws_upgrade_check(&up, &head);
}

TEST(upgrade, accept_value_of_the_rfc)
{
	char accept[WS_ACCEPT_BYTES];
	ws_accept(accept, BYTES_LIT("dGhlIHNhbXBsZSBub25jZQ=="));
	assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(accept));
}

TEST(upgrade, the_whole_answer)
{
	char buf[WS_UPGRADE_ANSWER_BYTES + 1];
	assert_int_equal(check(GET UP KEY V13 "\r\n"), WS_UPGRADE_YES);
	size_t n = ws_upgrade_answer(buf, WS_UPGRADE_ANSWER_BYTES, &up, NULL, NULL, 784111777000u);
	buf[n] = 0;
	assert_string_equal(buf, "HTTP/1.1 101 Switching Protocols\r\n"
				 "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
				 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	n = ws_upgrade_answer(buf, WS_UPGRADE_ANSWER_BYTES, &up, "chat", "permessage-deflate", 0);
	buf[n] = 0;
	assert_non_null(strstr(buf, "\r\nSec-WebSocket-Protocol: chat\r\n"
				    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
	assert_int_equal(ws_upgrade_answer(buf, n - 1, &up, "chat", "permessage-deflate", 0), 0);
}

TEST(upgrade, words_in_any_case_and_company)
{
	assert_int_equal(
		check(GET "connection: keep-alive, UPGRADE\r\nUPGRADE: h2c, WebSocket\r\n" KEY V13
			  "Content-Length: 0\r\n\r\n"),
		WS_UPGRADE_YES);
	assert_true(bytes_eq(up.key, BYTES_LIT("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_int_equal(check(GET "Connection: keep-alive\r\nConnection: upgrade\r\n"
				   "Upgrade: h2c\r\nUpgrade: websocket\r\n" KEY V13 "\r\n"),
			 WS_UPGRADE_YES);
}

TEST(upgrade, ordinary_requests_are_left_alone)
{
	assert_int_equal(check(GET "\r\n"), WS_UPGRADE_NO);
	assert_int_equal(check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
			 WS_UPGRADE_NO);
	assert_int_equal(check(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), WS_UPGRADE_NO);
	assert_int_equal(check("GET / HTTP/1.0\r\n" UP "\r\n"), WS_UPGRADE_NO);
}

TEST(upgrade, every_fault_has_its_reason)
{
#define F(text, why)                                                                               \
	{                                                                                          \
		text, WS_UPGRADE_BAD_##why                                                         \
	}
	static const struct {
		const char *text;
		enum ws_upgrade_bad bad;
	} all[] = {
		F("POST /ws HTTP/1.1\r\nHost: a\r\n" UP KEY V13 "\r\n", METHOD),
		F("HEAD /ws HTTP/1.1\r\nHost: a\r\n" UP KEY V13 "\r\n", METHOD),
		F("GET /ws HTTP/1.0\r\nHost: a\r\n" UP KEY V13 "\r\n", VERSION_1_0),
		F(GET "Upgrade: websocket\r\n" KEY V13 "\r\n", CONNECTION),
		F(GET "Connection: keep-alive\r\nUpgrade: websocket\r\n" KEY V13 "\r\n",
		  CONNECTION),
		F(GET "Connection: Upgrade\r\n" KEY V13 "\r\n", UPGRADE),
		F(GET "Connection: Upgrade\r\nUpgrade: websocket/13\r\n" KEY V13 "\r\n", UPGRADE),
		F(GET "Connection: Upgrade\r\nUpgrade: websockets\r\n" KEY V13 "\r\n", UPGRADE),
		F(GET UP KEY V13 "Content-Length: 1\r\n\r\n", BODY),
		F(GET UP KEY V13 "Transfer-Encoding: chunked\r\n\r\n", BODY),
		F(GET UP KEY "\r\n", VERSION),
		F(GET UP KEY "Sec-WebSocket-Version: 8\r\n\r\n", VERSION),
		F(GET UP KEY "Sec-WebSocket-Version: 013\r\n\r\n", VERSION),
		F(GET UP KEY "Sec-WebSocket-Version: 13, 8\r\n\r\n", VERSION),
		F(GET UP KEY "Sec-WebSocket-Version:\r\n\r\n", VERSION),
		F(GET UP V13 "\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key:\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ===\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=a\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhl-HNhbXBsZSBub25jZQ==\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhl_HNhbXBsZSBub25jZQ==\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhl HNhbXBsZSBub25jZQ==\r\n\r\n", KEY),
		F(GET UP V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXoK\r\n\r\n", KEY),
		F(GET UP KEY V13 PROTO "a b\r\n\r\n", PROTOCOL),
		F(GET UP KEY V13 PROTO "a, \"b\"\r\n\r\n", PROTOCOL),
		F(GET UP KEY V13 PROTO "a, b, a\r\n\r\n", PROTOCOL),
		F(GET UP KEY V13 PROTO "a\r\n" PROTO "a\r\n\r\n", PROTOCOL),
		F(GET UP KEY V13 PROTO "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h\r\n\r\n", PROTOCOL),
		F(GET UP KEY V13 EXT "a b\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a;\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT ";a\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a; b=\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a; =b\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a=b\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a; b=\"c d\"\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a; b=\"\"\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a; b=\"c\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g,h\r\n\r\n", EXTENSION),
		F(GET UP KEY V13 EXT "a;1;2;3;4;5;6;7;8;9;a;b;c;d;e;f;g;h\r\n\r\n", EXTENSION),
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char buf[WS_UPGRADE_ANSWER_BYTES + 1];
		assert_msg(check(all[i].text) == WS_UPGRADE_BAD && up.bad == all[i].bad, "%s: %s",
			   all[i].text, ws_upgrade_bad_word(up.bad));
		size_t n = ws_upgrade_refuse(buf, WS_UPGRADE_ANSWER_BYTES, up.bad, 0);
		assert_int_not_equal(n, 0);
		buf[n] = 0;
		assert_int_equal(atoi(buf + 9), ws_upgrade_bad_status(up.bad));
		assert_non_null(strstr(buf, "\r\nConnection: close\r\n"));
		if (ws_upgrade_bad_status(up.bad) == 426)
			assert_non_null(strstr(buf, "\r\nSec-WebSocket-Version: 13\r\n"));
		if (ws_upgrade_bad_status(up.bad) == 405)
			assert_non_null(strstr(buf, "\r\nAllow: GET\r\n"));
	}
}

TEST(upgrade, our_first_protocol_that_was_offered_wins)
{
	static const char *const ours[] = {"b", "a", NULL}, *const none[] = {NULL},
				 *const other[] = {"A", NULL};
	check(GET UP KEY V13 PROTO "a, c\r\n" PROTO "b\r\n\r\n");
	assert_int_equal(up.protocols_n, 3);
	assert_string_equal(ws_upgrade_protocol(&up, ours), "b");
	assert_null(ws_upgrade_protocol(&up, none));
	assert_null(ws_upgrade_protocol(&up, other));
	check(GET UP KEY V13 "\r\n");
	assert_null(ws_upgrade_protocol(&up, ours));
	assert_int_equal(check(GET UP KEY V13 PROTO "1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,g\r\n\r\n"),
			 WS_UPGRADE_YES);
	assert_int_equal(up.protocols_n, WS_PROTOCOLS_MAX);
}

TEST(upgrade, first_good_deflate_offer_is_noted)
{
#define PMD "permessage-deflate"
	static const struct {
		const char *list;
		struct ws_deflate_offer d;
	} all[] = {
		{PMD, {true, false, false, 0, 0}},
		{PMD "; client_max_window_bits", {true, false, false, 0, 1}},
		{PMD ";client_max_window_bits=8 ; server_max_window_bits = 12",
		 {true, false, false, 12, 8}},
		{PMD "; server_max_window_bits=\"15\"", {true, false, false, 15, 0}},
		{PMD "; server_max_window_bits=11", {0}}, /* good, but we send with 12 */
		{PMD "; server_max_window_bits=\"8\", " PMD "; server_max_window_bits=13",
		 {true, false, false, 13, 0}},
		{PMD "; server_max_window_bits=10; client_no_context_takeover, " PMD,
		 {true, false, false, 0, 0}},
		{"a;b=\"c\", " PMD "; client_max_window_bits=\"9\"\r\n" EXT PMD,
		 {true, false, false, 0, 9}},
		{PMD "; server_no_context_takeover; client_no_context_takeover",
		 {true, true, true, 0, 0}},
		{"x-webkit-deflate-frame, " PMD "; x=y, " PMD, {true, false, false, 0, 0}},
		{PMD "; server_max_window_bits=16, " PMD "; client_no_context_takeover",
		 {true, false, true, 0, 0}},
		{PMD "; server_max_window_bits=7", {0}},
		{PMD "; server_max_window_bits", {0}},
		{PMD "; server_max_window_bits=08", {0}},
		{PMD "; client_max_window_bits=1", {0}},
		{PMD "; server_max_window_bits=12; server_max_window_bits=12", {0}},
		{PMD "; server_no_context_takeover=1", {0}},
		{PMD "; server_no_context_takeover; server_no_context_takeover", {0}},
		{PMD "; client_max_window_bits; client_max_window_bits=9", {0}},
		{"Permessage-Deflate", {0}},
		{"mux", {0}},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char text[512];
		snprintf(text, sizeof(text), GET UP KEY V13 EXT "%s\r\n\r\n", all[i].list);
		assert_msg(check(text) == WS_UPGRADE_YES, "%s", all[i].list);
		struct ws_deflate_offer d = up.deflate, w = all[i].d;
		assert_msg(d.offered == w.offered && d.server_no_takeover == w.server_no_takeover &&
				   d.client_no_takeover == w.client_no_takeover &&
				   d.server_bits == w.server_bits && d.client_bits == w.client_bits,
			   "%s", all[i].list);
	}
}

TEST(upgrade, every_deflate_offer_that_we_take_gets_one_of_two_answers)
{
	static const char without[] =
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover";
	static const char *const all[][2] = {
		{PMD, ""},
		{PMD "; client_max_window_bits=9; client_no_context_takeover", ""},
		{PMD "; server_max_window_bits=15", "; server_max_window_bits=12"},
		{PMD "; server_max_window_bits=12; client_max_window_bits",
		 "; server_max_window_bits=12"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char text[512], want[200];
		snprintf(text, sizeof(text), GET UP KEY V13 EXT "%s\r\n\r\n", all[i][0]);
		snprintf(want, sizeof(want), "%s%s", without, all[i][1]);
		assert_int_equal(check(text), WS_UPGRADE_YES);
		assert_string_equal(ws_upgrade_deflate(&up), want);
	}
	check(GET UP KEY V13 EXT PMD "; server_max_window_bits=9\r\n\r\n");
	assert_null(ws_upgrade_deflate(&up));
}

TEST(upgrade, the_longest_answer_fits)
{
	char buf[WS_UPGRADE_ANSWER_BYTES], longest[65] = {0};
	memset(longest, 'x', 64);
	check(GET UP KEY V13 EXT PMD "; server_max_window_bits=12\r\n\r\n");
	assert_int_not_equal(ws_upgrade_answer(buf, sizeof(buf), &up, longest,
					       ws_upgrade_deflate(&up), 784111777000u),
			     0);
}

TEST_MAIN()
