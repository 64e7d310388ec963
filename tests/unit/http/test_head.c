/* SPDX-License-Identifier: BSD-2-Clause */
/* test_head.c - request heads, each in every segmentation.
 *
 * A case is a text and what must come of it. judge() parses it whole, from each
 * prefix anew, byte by byte, and cut in two at each place, every time from a
 * fresh buffer of exactly the bytes there are, so that a sanitizer sees a read
 * past the end and no slice can survive from an older buffer. */
#include "http/head.h"
#include "test.h"

static struct http_limits limits = {
	.line_bytes = 8192, .header_bytes = 8192, .head_bytes = 16384, .headers = HTTP_HEADERS_MAX};

/* A fingerprint of everything a caller may read. */
static uint64_t mix(uint64_t sum, struct bytes b)
{
	sum = (sum ^ (b.p ? b.n + 1 : 0)) * 0x100000001b3u;
	for (size_t i = 0; i < b.n; i++)
		sum = (sum ^ b.p[i]) * 0x100000001b3u;
	return sum;
}

static uint64_t fingerprint(const struct http_head *h)
{
	uint64_t sum = 1469598103934665603u;
	uint32_t numbers[] = {h->head_bytes, h->method, h->minor,     h->flags,
			      h->framing,    h->port,   h->headers_n, (uint32_t)h->content_length};
	sum = mix(sum, BYTES(numbers, sizeof(numbers)));
	sum = mix(sum, h->method_text);
	sum = mix(sum, h->target);
	sum = mix(sum, h->path);
	sum = mix(sum, h->query);
	sum = mix(sum, h->host);
	for (uint32_t i = 0; i < HTTP_KNOWN_COUNT; i++)
		sum = mix(sum, h->known[i]);
	for (uint32_t i = 0; i < h->headers_n; i++) {
		sum = mix(sum, http_head_name(h, i));
		sum = mix(sum, http_head_value(h, i));
		sum = (sum ^ h->headers[i].known) * 0x100000001b3u;
	}
	return sum;
}

struct verdict {
	enum http_outcome outcome;
	enum http_bad bad;
	uint64_t sum; /* of a good head */
};

static struct verdict verdict(enum http_outcome o, const struct http_head *h)
{
	return (struct verdict){o, o == HTTP_BAD ? h->bad : HTTP_BAD_NONE,
				o == HTTP_HEAD ? fingerprint(h) : 0};
}

static bool same(struct verdict a, struct verdict b)
{
	return a.outcome == b.outcome && a.bad == b.bad && a.sum == b.sum;
}

/* Feeds text[0..n) in a copy of its own; the copy before is freed. */
static struct verdict feed(struct http_head *h, const char *text, size_t n, uint8_t **copy)
{
	uint8_t *fresh = malloc(n ? n : 1);
	memcpy(fresh, text, n);
	struct verdict v = verdict(http_head_parse(h, BYTES(fresh, n), &limits), h);
	free(*copy);
	*copy = fresh;
	return v;
}

static struct verdict whole(const char *text, size_t n)
{
	struct http_head h;
	uint8_t *copy = NULL;
	http_head_init(&h);
	struct verdict v = feed(&h, text, n, &copy);
	free(copy);
	return v;
}

/* Returns how many bytes it took to refuse (0: it did not). */
static size_t judge(const char *name, const char *text, size_t n)
{
	struct verdict all = whole(text, n);
	struct http_head drip, two;
	uint8_t *drip_copy = NULL, *two_copy = NULL;
	size_t refused_at = 0;

	http_head_init(&drip);
	for (size_t i = 0; i <= n; i++) {
		struct verdict anew = whole(text, i);
		struct verdict on = feed(&drip, text, i, &drip_copy);
		assert_msg(same(anew, on), "%s: prefix of %zu anew %d %s, dripped %d %s", name, i,
			   anew.outcome, http_bad_word(anew.bad), on.outcome,
			   http_bad_word(on.bad));
		if (on.outcome != HTTP_MORE) {
			assert_msg(same(on, all), "%s: dripped %s at %zu, whole %s", name,
				   http_bad_word(on.bad), i, http_bad_word(all.bad));
			refused_at = on.outcome == HTTP_BAD ? i : 0;
			break;
		}
		assert_msg(i < n || all.outcome == HTTP_MORE, "%s: dripped says more", name);
	}
	for (size_t cut = 0; cut <= n; cut++) {
		http_head_init(&two);
		struct verdict v = feed(&two, text, cut, &two_copy);
		if (v.outcome == HTTP_MORE)
			v = feed(&two, text, n, &two_copy);
		assert_msg(same(v, all), "%s: cut at %zu: %d %s, whole %d %s", name, cut, v.outcome,
			   http_bad_word(v.bad), all.outcome, http_bad_word(all.bad));
	}
	free(drip_copy);
	free(two_copy);
	return refused_at;
}

#define H "Host: a\r\n"
#define G "GET / HTTP/1.1\r\n"

struct bad_case {
	const char *name;
	struct bytes text;
	enum http_bad bad;
	int early; /* refused with this many bytes before the end of the text; -1: whenever */
};

/* The text up to a '!'-marked place would be elegant; counting from the end is plainer:
 * early = 0 means that the last byte of the text is the one that shows it. */
#define BAD(name, text, why, early)                                                                \
	{                                                                                          \
		name, BYTES_LIT(text), HTTP_BAD_##why, early                                       \
	}

static const struct bad_case bad_cases[] = {
	/* before the request */
	BAD("bare LF first", "\n", BARE_LF, 0),
	BAD("two empty lines", "\r\n\r", EMPTY_LINES, 0),
	BAD("CR and no LF", "\rG", BARE_CR, 0),
	BAD("a TLS ClientHello", "\x16", TLS_ON_PLAIN, 0),
	BAD("SSL 2", "\x80", METHOD, 0),
	BAD("NUL", "\0", METHOD, 0),
	BAD("a space first", " ", METHOD, 0),
	BAD("HTTP/2 preface", "PRI ", HTTP2, 0),
	BAD("whole HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2, -1),
	/* method */
	BAD("lower-case method", "g", METHOD, 0),
	BAD("mixed method", "Ge", METHOD, 0),
	BAD("digit in method", "GET1", METHOD, 0),
	BAD("token character in method", "GE!", METHOD, 0),
	BAD("tab behind method", "GET\t", METHOD, 0),
	BAD("CR in method", "GE\r", METHOD, 0),
	BAD("LF in method", "GET\n", BARE_LF, 0),
	BAD("dash first", "-GET", METHOD, 3),
	BAD("24 letters and one more", "ABCDEFGHIJKLMNOPQRSTUVWXY", METHOD_UNKNOWN, 0),
	BAD("CONNECT", "CONNECT ", METHOD_UNKNOWN, 0),
	BAD("a response", "HTTP/1.1 200 OK\r\n", METHOD, -1),
	/* target */
	BAD("two spaces", "GET  ", TARGET, 0),
	BAD("no target", "GET \r", TARGET, 0),
	BAD("HTTP/0.9", "GET /\r", VERSION, 0),
	BAD("HTTP/0.9 with LF", "GET /\n", BARE_LF, 0),
	BAD("fragment", "GET /a#", TARGET_FRAGMENT, 0),
	BAD("fragment in query", "GET /a?b#", TARGET_FRAGMENT, 0),
	BAD("tab in target", "GET /\t", TARGET, 0),
	BAD("NUL in target", "GET /\0", TARGET, 0),
	BAD("DEL in target", "GET /\x7f", TARGET, 0),
	BAD("non-ASCII", "GET /\xc3", TARGET, 0),
	BAD("non-ASCII in query", "GET /?\xc3", TARGET, 0),
	BAD("quote", "GET /\"", TARGET, 0),
	BAD("less-than in query", "GET /?<", TARGET, 0),
	BAD("backslash in path", "GET /a\\", TARGET, 0),
	BAD("brace in path", "GET /{", TARGET, 0),
	BAD("percent and no digit", "GET /%g", TARGET_PERCENT, 0),
	BAD("percent and one digit", "GET /%4g", TARGET_PERCENT, 0),
	BAD("percent at the end", "GET /% ", TARGET_PERCENT, 0),
	BAD("percent and one digit at the end", "GET /?%4 ", TARGET_PERCENT, 0),
	BAD("percent and LF", "GET /%\n", BARE_LF, 0),
	BAD("relative target", "GET a", TARGET_FORM, 0),
	BAD("host and port as target", "GET example.com:80 HTTP/1.1\r\n", TARGET_FORM, -1),
	BAD("asterisk with GET", "GET *", TARGET_FORM, 0),
	BAD("asterisk and more", "OPTIONS *a", TARGET_FORM, 0),
	BAD("asterisk and query", "OPTIONS *?", TARGET_FORM, 0),
	BAD("asterisk and fragment", "OPTIONS *#", TARGET_FRAGMENT, 0),
	BAD("ftp", "GET ftp://a/ HTTP/1.1\r\n", TARGET_FORM, -1),
	BAD("ws scheme", "GET ws://a/ HTTP/1.1\r\n", TARGET_FORM, -1),
	BAD("htp", "GET htp", TARGET_FORM, 0),
	BAD("http and one slash", "GET http:/a", TARGET_FORM, 0),
	BAD("httpss", "GET httpss", TARGET_FORM, 0),
	BAD("https://user@host", "GET https://u@", TARGET, 0),
	BAD("absolute, other host", "GET http://b/ HTTP/1.1\r\n" H "\r\n", TARGET_HOST, 0),
	BAD("absolute, other port", "GET http://a:1/ HTTP/1.1\r\n" H "\r\n", TARGET_HOST, 0),
	BAD("absolute, empty authority", "GET http:/// HTTP/1.1\r\n" H "\r\n", TARGET_HOST, 0),
	BAD("absolute without Host", "GET http://a/ HTTP/1.1\r\n\r\n", HOST_MISSING, 0),
	BAD("absolute in 1.0, bad port", "GET http://a:b/ HTTP/1.0\r\n\r\n", TARGET_HOST, 0),
	/* version */
	BAD("lower-case version", "GET / h", VERSION, 0),
	BAD("HTPP", "GET / HTP", VERSION, 0),
	BAD("no slash", "GET / HTTP1", VERSION, 0),
	BAD("letters", "GET / HTTP/x", VERSION, 0),
	BAD("comma", "GET / HTTP/1,", VERSION, 0),
	BAD("minor letter", "GET / HTTP/1.x", VERSION, 0),
	BAD("two-digit minor", "GET / HTTP/1.10", VERSION, 0),
	BAD("HTTP/2", "GET / HTTP/2", VERSION_UNKNOWN, 0),
	BAD("HTTP/0", "GET / HTTP/0", VERSION_UNKNOWN, 0),
	BAD("HTTP/1.2", "GET / HTTP/1.2", VERSION_UNKNOWN, 0),
	BAD("space behind version", "GET / HTTP/1.1 ", VERSION, 0),
	BAD("LF behind version", "GET / HTTP/1.1\n", BARE_LF, 0),
	BAD("CR and no LF behind version", "GET / HTTP/1.1\rH", BARE_CR, 0),
	BAD("CR CR LF", "GET / HTTP/1.1\r\r", BARE_CR, 0),
	/* header lines */
	BAD("space before the first header", G " ", FOLDED, 0),
	BAD("tab before the first header", G "\t", FOLDED, 0),
	BAD("obs-fold", G H "A: b\r\n ", FOLDED, 0),
	BAD("obs-fold with tab", G H "A: b\r\n\t", FOLDED, 0),
	BAD("LF ends the head", G H "\n", BARE_LF, 0),
	BAD("CR and no LF at the end", G H "\rx", BARE_CR, 0),
	BAD("empty name", G ":", NAME, 0),
	BAD("space before colon", G "Host ", NAME_SPACE, 0),
	BAD("tab before colon", G "Host\t", NAME_SPACE, 0),
	BAD("space in name", G "A b", NAME_SPACE, 1),
	BAD("no colon", G "Host\r", NAME, 0),
	BAD("no colon and LF", G "Host\n", BARE_LF, 0),
	BAD("bracket in name", G "A[", NAME, 0),
	BAD("slash in name", G "A/", NAME, 0),
	BAD("NUL in name", G "A\0", NAME, 0),
	BAD("non-ASCII in name", G "A\xc3", NAME, 0),
	BAD("control in name", G "\x0b", NAME, 0),
	BAD("NUL in value", G "A: b\0", VALUE, 0),
	BAD("vertical tab in value", G "A: b\x0b", VALUE, 0),
	BAD("escape in value", G "A: \x1b", VALUE, 0),
	BAD("DEL in value", G "A: b\x7f", VALUE, 0),
	BAD("DEL deep in a value", G "A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x7f", VALUE, 0),
	BAD("LF ends a value", G "A: b\n", BARE_LF, 0),
	BAD("LF deep in a value", G "A: 0123456789abcdef0123\n", BARE_LF, 0),
	BAD("CR in value", G "A: b\rc", BARE_CR, 0),
	BAD("CR CR LF behind value", G "A: b\r\r", BARE_CR, 0),
	/* Host */
	BAD("no Host", G "\r\n", HOST_MISSING, 0),
	BAD("no Host but others", G "A: b\r\n\r\n", HOST_MISSING, 0),
	BAD("Host twice", G H H, DUPLICATE, 0),
	BAD("two Hosts", G H "hOST: b\r\n", DUPLICATE, 0),
	BAD("empty Host", G "Host:\r\n", HOST, 0),
	BAD("blank Host", G "Host:  \t\r\n", HOST, 0),
	BAD("Host with user", G "Host: u@a\r\n", HOST, 0),
	BAD("Host with path", G "Host: a/\r\n", HOST, 0),
	BAD("Host with space", G "Host: a b\r\n", HOST, 0),
	BAD("Host with comma", G "Host: a,b\r\n", HOST, 0),
	BAD("Host with percent", G "Host: a%41\r\n", HOST, 0),
	BAD("Host non-ASCII", G "Host: \xc3\xa4\r\n", HOST, 0),
	BAD("Host with empty label", G "Host: a..b\r\n", HOST, 0),
	BAD("Host begins with dot", G "Host: .a\r\n", HOST, 0),
	BAD("Host port empty", G "Host: a:\r\n", HOST, 0),
	BAD("Host port 0", G "Host: a:0\r\n", HOST, 0),
	BAD("Host port 65536", G "Host: a:65536\r\n", HOST, 0),
	BAD("Host port 6 digits", G "Host: a:000080\r\n", HOST, 0),
	BAD("Host port letters", G "Host: a:8o\r\n", HOST, 0),
	BAD("Host port signed", G "Host: a:+80\r\n", HOST, 0),
	BAD("Host two ports", G "Host: a:1:2\r\n", HOST, 0),
	BAD("Host IPv6 bare", G "Host: ::1\r\n", HOST, 0),
	BAD("Host IPv6 open", G "Host: [::1\r\n", HOST, 0),
	BAD("Host IPv6 zone", G "Host: [fe80::1%eth0]\r\n", HOST, 0),
	BAD("Host IPv6 and letters", G "Host: [::1]a\r\n", HOST, 0),
	BAD("Host no IPv6 in brackets", G "Host: [a.b]\r\n", HOST, 0),
	BAD("Host empty brackets", G "Host: []\r\n", HOST, 0),
	/* lengths and codings: what smuggling lives on */
	BAD("length empty", G "Content-Length:\r\n", LENGTH, 0),
	BAD("length signed", G "Content-Length: +5\r\n", LENGTH, 0),
	BAD("length negative", G "Content-Length: -5\r\n", LENGTH, 0),
	BAD("length hexadecimal", G "Content-Length: 0x5\r\n", LENGTH, 0),
	BAD("length list", G "Content-Length: 5, 5\r\n", LENGTH, 0),
	BAD("length with space", G "Content-Length: 5 5\r\n", LENGTH, 0),
	BAD("length with dot", G "Content-Length: 5.0\r\n", LENGTH, 0),
	BAD("length of 20 digits", G "Content-Length: 10000000000000000000\r\n", LENGTH, 0),
	BAD("length beyond 64 bits", G "Content-Length: 99999999999999999999\r\n", LENGTH, 0),
	BAD("length twice, equal", G "Content-Length: 5\r\nContent-Length: 5\r\n", DUPLICATE, 0),
	BAD("length twice", G "Content-Length: 5\r\ncontent-length: 6\r\n", DUPLICATE, 0),
	BAD("length then chunked", G "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
	    LENGTH_AND_CODING, 0),
	BAD("chunked then length", G "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
	    LENGTH_AND_CODING, 0),
	BAD("chunked twice", G "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
	    DUPLICATE, 0),
	BAD("chunked, chunked", G "Transfer-Encoding: chunked, chunked\r\n", CODING, 0),
	BAD("gzip, chunked", G "Transfer-Encoding: gzip, chunked\r\n", CODING, 0),
	BAD("identity", G "Transfer-Encoding: identity\r\n", CODING, 0),
	BAD("xchunked", G "Transfer-Encoding: xchunked\r\n", CODING, 0),
	BAD("chunked quoted", G "Transfer-Encoding: \"chunked\"\r\n", CODING, 0),
	BAD("chunked with a parameter", G "Transfer-Encoding: chunked;a=b\r\n", CODING, 0),
	BAD("chunked and vertical tab", G "Transfer-Encoding: \x0b", VALUE, 0),
	BAD("coding empty", G "Transfer-Encoding:\r\n", CODING, 0),
	BAD("coding in 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", CODING_IN_1_0, 0),
	/* other singles and lists */
	BAD("Origin twice", G "Origin: http://a\r\nOrigin: http://a\r\n", DUPLICATE, 0),
	BAD("Authorization twice", G "Authorization: a\r\nAuthorization: b\r\n", DUPLICATE, 0),
	BAD("key twice", G "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n", DUPLICATE, 0),
	BAD("version twice", G "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n",
	    DUPLICATE, 0),
	BAD("Connection no token", G "Connection: keep alive\r\n", CONNECTION, 0),
	BAD("Connection quoted", G "Connection: \"close\"\r\n", CONNECTION, 0),
	BAD("Upgrade no token", G "Upgrade: web socket\r\n", CONNECTION, 0),
	BAD("Upgrade half", G "Upgrade: h2c/\r\n", CONNECTION, 0),
	BAD("Expect unknown", G "Expect: 200-ok\r\n", EXPECT, 0),
};

TEST(head, refuses_what_it_must_at_the_byte_that_shows_it)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];
		struct verdict v = whole((const char *)c->text.p, c->text.n);
		assert_msg(v.outcome == HTTP_BAD, "%s: outcome %d", c->name, v.outcome);
		assert_msg(v.bad == c->bad, "%s: %s, not %s", c->name, http_bad_word(v.bad),
			   http_bad_word(c->bad));
		size_t at = judge(c->name, (const char *)c->text.p, c->text.n);
		if (c->early >= 0)
			assert_msg(at == c->text.n - (size_t)c->early, "%s: refused at %zu of %zu",
				   c->name, at, c->text.n);
	}
}

/* Everything behind the first bad byte is as good as not there. */
TEST(head, what_follows_a_refusal_changes_nothing)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++) {
		const struct bad_case *c = &bad_cases[i];
		char text[512];
		memcpy(text, c->text.p, c->text.n);
		memcpy(text + c->text.n, " junk\r\n\r\n", 9);
		struct verdict v = whole(text, c->text.n + 9);
		assert_msg(v.bad == c->bad, "%s: %s", c->name, http_bad_word(v.bad));
	}
}

static const struct {
	const char *name;
	struct bytes text;
} good_cases[] = {
	{"plain", BYTES_LIT(G H "\r\n")},
	{"one empty line first", BYTES_LIT("\r\n" G H "\r\n")},
	{"1.0", BYTES_LIT("GET / HTTP/1.0\r\n\r\n")},
	{"1.0 absolute", BYTES_LIT("GET http://a:81/x HTTP/1.0\r\n\r\n")},
	{"absolute", BYTES_LIT("GET HTTPS://A.example:8443/x?y HTTP/1.1\r\n"
			       "host: a.EXAMPLE:8443\r\n\r\n")},
	{"absolute without path", BYTES_LIT("GET http://a HTTP/1.1\r\n" H "\r\n")},
	{"absolute, query only", BYTES_LIT("GET http://a?q=1 HTTP/1.1\r\n" H "\r\n")},
	{"asterisk", BYTES_LIT("OPTIONS * HTTP/1.1\r\n" H "\r\n")},
	{"what browsers leave raw", BYTES_LIT("GET /a|b^[c]?d={e}`\\?/ HTTP/1.1\r\n" H "\r\n")},
	{"percent", BYTES_LIT("GET /%41%ff?%00 HTTP/1.1\r\n" H "\r\n")},
	{"empty query", BYTES_LIT("GET /? HTTP/1.1\r\n" H "\r\n")},
	{"empty values", BYTES_LIT(G H "A:\r\nB: \t \r\nC:x\r\nD:\ty z\t\r\n\r\n")},
	{"obs-text", BYTES_LIT(G H "A: \xe4\xff\x80\r\n\r\n")},
	{"token characters in a name", BYTES_LIT(G H "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n")},
	{"unknown method", BYTES_LIT("M-SEARCH / HTTP/1.1\r\n" H "\r\n")},
	{"pipelined", BYTES_LIT(G H "\r\nGET /second HTTP/1.1\r\n")},
	{"garbage behind the head", BYTES_LIT("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n"
					      "\0\n\r")},
	{"the longest length", BYTES_LIT(G H "Content-Length: 9999999999999999999\r\n\r\n")},
	{"chunked", BYTES_LIT("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n")},
	{"Chromium", BYTES_LIT("GET /ws?token=a.b-c_d HTTP/1.1\r\nHost: localhost:8443\r\n"
			       "Connection: Upgrade\r\nPragma: no-cache\r\n"
			       "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11)\r\n"
			       "Upgrade: websocket\r\nOrigin: https://localhost:8443\r\n"
			       "Sec-WebSocket-Version: 13\r\n"
			       "Accept-Encoding: gzip, deflate, br\r\n"
			       "Accept-Language: en-US,en;q=0.9\r\nCookie: a=b; c=d\r\n"
			       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			       "Sec-WebSocket-Extensions: permessage-deflate; "
			       "client_max_window_bits\r\n\r\n")},
};

TEST(head, a_good_head_is_the_same_in_every_segmentation)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_cases); i++) {
		const char *p = (const char *)good_cases[i].text.p;
		size_t n = good_cases[i].text.n;
		struct verdict v = whole(p, n);
		assert_msg(v.outcome == HTTP_HEAD, "%s: %d %s", good_cases[i].name, v.outcome,
			   http_bad_word(v.bad));
		judge(good_cases[i].name, p, n);
	}
}

/* Any byte in any place of a head either changes nothing but itself, or is refused;
 * never may one make the parser read past or disagree with itself. */
TEST(head, any_byte_anywhere_gives_one_verdict)
{
	static const char text[] =
		"POST /a?b HTTP/1.1\r\nHost: a\r\nA: b\r\nContent-Length: 1\r\n\r\n";
	char copy[sizeof(text)];
	size_t n = sizeof(text) - 1;
	for (size_t i = 0; i < n; i++) {
		for (unsigned c = 0; c < 256; c++) {
			memcpy(copy, text, n);
			copy[i] = (char)c;
			struct verdict v = whole(copy, n);
			if (c < ' ' && c != '\t' && c != (uint8_t)text[i])
				assert_msg(v.outcome == HTTP_BAD, "byte %u at %zu passed", c, i);
			if (c % 16 == 0)
				judge("any byte", copy, n);
		}
	}
}

/* Which bytes may stand where, spelled out; every other of the 256 is refused. */
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

static void only_these(const char *place, const char *before, const char *after,
		       const char *allowed, bool high)
{
	for (unsigned c = 0; c < 256; c++) {
		char text[128];
		size_t n = strlen(before), k = strlen(after);
		memcpy(text, before, n);
		text[n] = (char)c;
		memcpy(text + n + 1, after, k);
		bool want = (c && strchr(allowed, (int)c)) || (high && c >= 0x80);
		bool got = whole(text, n + 1 + k).outcome == HTTP_HEAD;
		assert_msg(got == want, "%s: byte %02x", place, c);
	}
}

TEST(head, each_place_has_its_characters)
{
	only_these("method", "GE", "T / HTTP/1.1\r\n" H "\r\n", "ABCDEFGHIJKLMNOPQRSTUVWXYZ-",
		   false);
	only_these("name", G H "a", "b: c\r\n\r\n", LETTERS DIGITS "!#$%&'*+-.^_`|~:", false);
	only_these("first of a name", G H, "b: c\r\n\r\n", LETTERS DIGITS "!#$%&'*+-.^_`|~", false);
	only_these("value", G H "a: b", "c\r\n\r\n",
		   LETTERS DIGITS " \t!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true);
	only_these("path", "GET /a", "b HTTP/1.1\r\n" H "\r\n",
		   LETTERS DIGITS "-._~!$&'()*+,;=:@/|^[]?", false);
	only_these("query", "GET /?a", "b HTTP/1.1\r\n" H "\r\n",
		   LETTERS DIGITS "-._~!$&'()*+,;=:@/|^[]?\\`{}", false);
	only_these("host", G "Host: a", "b\r\n\r\n", LETTERS DIGITS "-._", false);
	only_these("escape", "GET /%4", " HTTP/1.1\r\n" H "\r\n", DIGITS "abcdefABCDEF", false);
	only_these("length", "GET / HTTP/1.1\r\n" H "Content-Length: 1", "1\r\n\r\n", DIGITS,
		   false);
}

/* ---- what a head says ---- */

static struct http_head head_of(const char *text)
{
	struct http_head h;
	http_head_init(&h);
	enum http_outcome o = http_head_parse(&h, bytes_str(text), &limits);
	assert_msg(o == HTTP_HEAD, "%s: %s", text, o == HTTP_BAD ? http_bad_word(h.bad) : "more");
	return h;
}

#define assert_bytes(b, text) assert_true(bytes_eq(b, BYTES_LIT(text)))

TEST(head, target_is_cut_into_path_and_query)
{
	struct http_head h = head_of("GET /a/b?c=d?e HTTP/1.1\r\n" H "\r\n");
	assert_int_equal(h.method, HTTP_GET);
	assert_bytes(h.method_text, "GET");
	assert_bytes(h.target, "/a/b?c=d?e");
	assert_bytes(h.path, "/a/b");
	assert_bytes(h.query, "c=d?e");
	h = head_of("GET /a HTTP/1.1\r\n" H "\r\n");
	assert_null(h.query.p);
	h = head_of("GET /a? HTTP/1.1\r\n" H "\r\n");
	assert_non_null(h.query.p);
	assert_int_equal(h.query.n, 0);
}

TEST(head, absolute_target_gives_path_and_host)
{
	struct http_head h = head_of("GET http://A:81?x HTTP/1.1\r\nHost: a:81\r\n\r\n");
	assert_bytes(h.path, "/");
	assert_bytes(h.query, "x");
	assert_bytes(h.host, "A");
	assert_int_equal(h.port, 81);
	assert_true(h.flags & HTTP_F_ABSOLUTE);
	h = head_of("GET http://a/b HTTP/1.0\r\n\r\n");
	assert_bytes(h.host, "a");
	assert_bytes(h.path, "/b");
	h = head_of("OPTIONS * HTTP/1.1\r\n" H "\r\n");
	assert_bytes(h.path, "*");
}

TEST(head, empty_line_in_front_moves_everything)
{
	struct http_head h = head_of("\r\nPUT /x?y HTTP/1.1\r\n" H "\r\nrest");
	assert_bytes(h.method_text, "PUT");
	assert_bytes(h.path, "/x");
	assert_bytes(h.query, "y");
	assert_int_equal(h.head_bytes, 2 + strlen("PUT /x?y HTTP/1.1\r\n" H "\r\n"));
}

TEST(head, methods_are_told_apart)
{
	static const struct {
		const char *text;
		enum http_method m;
	} all[] = {
		{"GET", HTTP_GET},     {"HEAD", HTTP_HEAD_METHOD}, {"POST", HTTP_POST},
		{"PUT", HTTP_PUT},     {"DELETE", HTTP_DELETE},    {"OPTIONS", HTTP_OPTIONS},
		{"PATCH", HTTP_PATCH}, {"TRACE", HTTP_TRACE},      {"PURGE", HTTP_OTHER},
		{"GETS", HTTP_OTHER},  {"GE", HTTP_OTHER},         {"VERSION-CONTROL", HTTP_OTHER},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char text[64];
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" H "\r\n", all[i].text);
		assert_int_equal(head_of(text).method, all[i].m);
	}
}

TEST(head, hosts_are_cut_into_name_and_port)
{
	static const struct {
		const char *text, *host;
		uint32_t port;
	} all[] = {
		{"a", "a", 0},
		{"a.b:8443", "a.b", 8443},
		{"127.0.0.1:1", "127.0.0.1", 1},
		{"[::1]", "[::1]", 0},
		{"[2001:db8::1]:65535", "[2001:db8::1]", 65535},
		{"under_score.x-y", "under_score.x-y", 0},
		{"root.", "root.", 0},
		{"a:00080", "a", 80},
		{"[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]", 5},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct bytes host;
		uint32_t port;
		assert_true(http_host_parse(bytes_str(all[i].text), &host, &port));
		assert_true(bytes_eq(host, bytes_str(all[i].host)));
		assert_int_equal(port, all[i].port);
	}
	char long_name[257];
	memset(long_name, 'a', 256);
	long_name[256] = 0;
	struct bytes host;
	uint32_t port;
	assert_false(http_host_parse(bytes_str(long_name), &host, &port));
	assert_true(http_host_parse(bytes_str(long_name + 1), &host, &port));
}

TEST(head, headers_are_found_by_name_whatever_their_case)
{
	struct http_head h =
		head_of(G H "X-One:  1 \r\nCOOKIE: a=b\r\nx-two:\r\ncookie: c=d\r\n\r\n");
	assert_int_equal(h.headers_n, 5);
	assert_bytes(http_head_find(&h, BYTES_LIT("x-one")), "1");
	assert_bytes(http_head_find(&h, BYTES_LIT("X-TWO")), "");
	assert_non_null(http_head_find(&h, BYTES_LIT("X-Two")).p);
	assert_null(http_head_find(&h, BYTES_LIT("X-Three")).p);
	assert_bytes(h.known[HTTP_COOKIE], "a=b");
	assert_null(h.known[HTTP_ORIGIN].p);

	uint32_t i = 0;
	struct bytes v;
	assert_true(http_head_next(&h, HTTP_COOKIE, &i, &v));
	assert_bytes(v, "a=b");
	assert_true(http_head_next(&h, HTTP_COOKIE, &i, &v));
	assert_bytes(v, "c=d");
	assert_false(http_head_next(&h, HTTP_COOKIE, &i, &v));
	assert_false(http_head_next(&h, HTTP_COOKIE, &i, &v));
	i = 0;
	assert_false(http_head_next(&h, HTTP_ORIGIN, &i, &v));
}

TEST(head, every_known_header_is_recognised)
{
	static const char *const names[] = {
#define KNOWN(id, text, first, last, many) [HTTP_##id] = text,
#include "http/known_header.def"
#undef KNOWN
	};
	for (uint32_t k = 0; k < HTTP_KNOWN_COUNT; k++) {
		static const char *const values[HTTP_KNOWN_COUNT] = {
			[HTTP_CONTENT_LENGTH] = "1",
			[HTTP_TRANSFER_ENCODING] = "chunked",
			[HTTP_EXPECT] = "100-continue",
		};
		char text[256];
		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s%s: %s\r\n\r\n",
			 k == HTTP_HOST ? "" : H, names[k], values[k] ? values[k] : "x");
		for (char *p = text + 16; *p && *p != ':'; p++)
			if (p[-1] == '-' && *p >= 'a' && *p <= 'z')
				*p -= 32;
		struct http_head h = head_of(text);
		assert_int_equal(h.headers[h.headers_n - 1].known, k);
		assert_true(bytes_eq(h.known[k], bytes_str(values[k] ? values[k] : "x")));
	}
	/* same length and ends, other name */
	struct http_head h = head_of(G H "orixin: x\r\nhont: y\r\n\r\n");
	assert_int_equal(h.headers[1].known, HTTP_UNKNOWN);
	assert_null(h.known[HTTP_ORIGIN].p);
}

TEST(head, keep_alive_follows_version_and_connection)
{
	static const struct {
		const char *text;
		bool keep;
	} all[] = {
		{G H "\r\n", true},
		{G H "Connection: close\r\n\r\n", false},
		{G H "Connection: Foo, CLOSE\r\n\r\n", false},
		{G H "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
		{G H "Connection: ,, keep-alive ,\r\n\r\n", true},
		{G H "Connection:\r\n\r\n", true},
		{"GET / HTTP/1.0\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_int_equal(!!(head_of(all[i].text).flags & HTTP_F_KEEP_ALIVE), all[i].keep);
}

TEST(head, upgrade_words_are_read_but_not_in_1_0)
{
	unsigned both = HTTP_F_UPGRADE | HTTP_F_UPGRADE_WS;
	struct http_head h = head_of(G H "Connection: keep-alive, Upgrade\r\n"
					 "Upgrade: h2c/1, WebSocket\r\n\r\n");
	assert_int_equal(h.flags & both, both);
	h = head_of(G H "Connection: Upgrade\r\nUpgrade: websocket/13\r\n\r\n");
	assert_int_equal(h.flags & both, HTTP_F_UPGRADE);
	h = head_of("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	assert_int_equal(h.flags & both, 0);
}

TEST(head, framing_is_told)
{
	struct http_head h = head_of(G H "\r\n");
	assert_int_equal(h.framing, HTTP_NO_BODY);
	h = head_of(G H "content-length: 0017\r\n\r\n");
	assert_int_equal(h.framing, HTTP_BODY_LENGTH);
	assert_int_equal(h.content_length, 17);
	h = head_of(G H "transfer-encoding: CHUNKED \r\nExpect: 100-Continue\r\n\r\n");
	assert_int_equal(h.framing, HTTP_BODY_CHUNKED);
	assert_true(h.flags & HTTP_F_EXPECT_CONTINUE);
	h = head_of("POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
	assert_false(h.flags & HTTP_F_EXPECT_CONTINUE);
}

TEST(head, slices_follow_a_buffer_that_moves)
{
	static const char text[] = "GET /p?q HTTP/1.1\r\nHost: h:1\r\nOrigin: http://o\r\n\r\n";
	size_t n = sizeof(text) - 1;
	struct http_head h;
	uint8_t *a = malloc(20), *b = malloc(n);
	memcpy(a, text, 20);
	memcpy(b, text, n);
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, BYTES(a, 20), &limits), HTTP_MORE);
	memset(a, 'x', 20);
	free(a);
	assert_int_equal(http_head_parse(&h, BYTES(b, n), &limits), HTTP_HEAD);
	assert_bytes(h.path, "/p");
	assert_bytes(h.host, "h");
	assert_bytes(h.known[HTTP_ORIGIN], "http://o");
	free(b);
}

/* ---- limits ---- */

static struct verdict with_limits(struct http_limits l, const char *text, size_t n)
{
	struct http_limits saved = limits;
	limits = l;
	judge("limits", text, n);
	struct verdict v = whole(text, n);
	limits = saved;
	return v;
}

TEST(head, request_line_is_bounded)
{
	struct http_limits l = {
		.line_bytes = 20, .header_bytes = 20, .head_bytes = 200, .headers = 4};
	char text[128];
	for (int extra = 0; extra < 12; extra++) {
		int n = snprintf(text, sizeof(text), "GET /%.*s HTTP/1.1\r\n" H "\r\n", extra,
				 "aaaaaaaaaaaaaaaa");
		struct verdict v = with_limits(l, text, (size_t)n);
		if (14 + extra <= 20)
			assert_int_equal(v.outcome, HTTP_HEAD);
		else
			assert_int_equal(v.bad, HTTP_BAD_LINE_TOO_LONG);
		if (v.bad)
			assert_int_equal(http_bad_status(v.bad), 414);
	}
	/* also in a query, in an escape, in an authority */
	assert_int_equal(with_limits(l, "GET /?aaaaaaaaaaaaaaa", 21).bad, HTTP_BAD_LINE_TOO_LONG);
	assert_int_equal(with_limits(l, "GET /aaaaaaaaaaaaaa%41%41", 25).bad,
			 HTTP_BAD_LINE_TOO_LONG);
	assert_int_equal(with_limits(l, "GET http://aaaaaaaaaa/ HTTP/1.1\r\n", 33).bad,
			 HTTP_BAD_LINE_TOO_LONG);
}

TEST(head, header_line_is_bounded)
{
	struct http_limits l = {
		.line_bytes = 20, .header_bytes = 20, .head_bytes = 200, .headers = 4};
	static const char *const fits[] = {
		G H "A: 01234567890123456\r\n\r\n",
		G H "A:                  \r\n\r\n",
		G H "abcdefghijklmnopqrs:\r\n\r\n",
	};
	static const char *const not [] = {
		G H "A: 012345678901234567\r\n\r\n",
		G H "A:                   \r\n\r\n",
		G H "abcdefghijklmnopqrst:\r\n\r\n",
		G H "abcdefghijklmnopqrstu",
	};
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++)
		assert_int_equal(with_limits(l, fits[i], strlen(fits[i])).outcome, HTTP_HEAD);
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++)
		assert_int_equal(with_limits(l, not [i], strlen(not [i])).bad,
				 HTTP_BAD_HEADER_TOO_LONG);
}

TEST(head, number_of_headers_is_bounded)
{
	struct http_limits l = {
		.line_bytes = 20, .header_bytes = 20, .head_bytes = 200, .headers = 3};
	static const char ok[] = G H "A: b\r\nC: d\r\n\r\n",
			  more[] = G H "A: b\r\nC: d\r\nE: f\r\n\r\n";
	assert_int_equal(with_limits(l, ok, sizeof(ok) - 1).outcome, HTTP_HEAD);
	assert_int_equal(with_limits(l, more, sizeof(more) - 1).bad, HTTP_BAD_HEADERS_TOO_MANY);
}

TEST(head, whole_head_is_bounded_and_a_full_buffer_never_wants_more)
{
	static const char text[] = G H "A: b\r\n\r\n";
	size_t n = sizeof(text) - 1;
	for (uint32_t max = 1; max <= n + 1; max++) {
		struct http_limits l = {
			.line_bytes = 100, .header_bytes = 100, .head_bytes = max, .headers = 4};
		struct verdict v = with_limits(l, text, n);
		assert_int_equal(v.outcome, max >= n ? HTTP_HEAD : HTTP_BAD);
		struct http_limits saved = limits;
		limits = l;
		assert_int_not_equal(whole(text, MIN(max, n)).outcome, HTTP_MORE);
		limits = saved;
	}
}

TEST(head, the_largest_head_of_all_is_read)
{
	struct http_limits l = {.line_bytes = 65535,
				.header_bytes = 65535,
				.head_bytes = 65535,
				.headers = HTTP_HEADERS_MAX};
	char *text = malloc(65600);
	int n = sprintf(text, G H "A: ");
	memset(text + n, 'v', 65535u - 4 - (size_t)n);
	memcpy(text + 65531, "\r\n\r\n", 4);
	struct http_head h;
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, BYTES(text, 65535), &l), HTTP_HEAD);
	assert_int_equal(h.head_bytes, 65535);
	assert_int_equal(http_head_value(&h, 1).n, 65531 - n);
	http_head_init(&h);
	memcpy(text + 65531, "vvvvv\r\n\r\n", 9);
	assert_int_equal(http_head_parse(&h, BYTES(text, 65540), &l), HTTP_BAD);
	assert_int_equal(h.bad, HTTP_BAD_HEAD_TOO_LONG);
	free(text);
}

/* A slow sender must not make us read his bytes again and again. */
TEST(head, dripping_costs_one_pass)
{
	static char text[16000];
	int n = sprintf(text, G H "A: ");
	memset(text + n, 'v', sizeof(text) - (size_t)n);
	struct http_limits l = {
		.line_bytes = 8192, .header_bytes = 16384, .head_bytes = 16384, .headers = 4};
	struct http_head h;
	http_head_init(&h);
	for (size_t i = 1; i <= sizeof(text); i++) {
		assert_int_equal(http_head_parse(&h, BYTES(text, i), &l), HTTP_MORE);
		assert_int_equal(h._at, i);
	}
}

TEST(head, a_refusal_is_final)
{
	struct http_head h;
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, BYTES_LIT("G\n"), &limits), HTTP_BAD);
	assert_int_equal(http_head_parse(&h, BYTES_LIT("G\n" G H "\r\n"), &limits), HTTP_BAD);
	assert_int_equal(h.bad, HTTP_BAD_BARE_LF);
}

TEST(head, every_reason_has_word_status_and_help)
{
	for (unsigned b = 1; b < HTTP_BAD_COUNT; b++) {
		assert_true(strlen(http_bad_word(b)) > 3);
		assert_true(strlen(http_bad_help(b)) > 10);
		assert_in_range(http_bad_status(b), 400, 505);
		for (unsigned c = 1; c < b; c++)
			assert_string_not_equal(http_bad_word(b), http_bad_word(c));
	}
}

/* ---- lists ---- */

TEST(head, lists_are_walked)
{
	static const struct {
		const char *list, *joined;
	} all[] = {
		{"", ""},
		{",", ""},
		{" , ,\t", ""},
		{"a", "a|"},
		{" a ,b,, c ", "a|b|c|"},
		{"a;q=\"x,y\",b", "a;q=\"x,y\"|b|"},
		{"\"a\\\",b\",c", "\"a\\\",b\"|c|"},
		{"\"open,b", "\"open,b|"},
		{"a,\"\\", "a|\"\\|"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct bytes list = bytes_str(all[i].list), e;
		char out[64] = "";
		while (http_list_next(&list, &e))
			sprintf(out + strlen(out), "%.*s|", BYTES_FMT(e));
		assert_string_equal(out, all[i].joined);
	}
}

TEST_MAIN()
