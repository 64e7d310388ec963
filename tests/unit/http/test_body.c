/* SPDX-License-Identifier: BSD-2-Clause */
/* test_body.c - bodies by length and in chunks, in every segmentation. */
#include "http/body.h"
#include "test.h"

static struct http_head framed(enum http_framing framing, uint64_t length)
{
	struct http_head h;
	http_head_init(&h);
	h.framing = framing;
	h.content_length = length;
	return h;
}

struct result {
	enum http_body_outcome outcome;
	enum http_bad bad;
	size_t used; /* bytes of input taken, good for END */
	size_t n;
	uint8_t data[512];
};

/* Feeds `text` in segments of `step` bytes, the first of `first`. */
static struct result read_body(struct bytes text, uint64_t max, size_t first, size_t step)
{
	struct http_head h = framed(HTTP_BODY_CHUNKED, 0);
	struct http_body b;
	struct result r = {.outcome = http_body_init(&b, &h, max)};
	struct bytes run;
	size_t at = 0, n = MIN(first, text.n);

	for (;;) {
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, text.p + at, n);
		struct bytes in = BYTES(copy, n);
		while ((r.outcome = http_body_next(&b, &in, &run)) == HTTP_BODY_RUN) {
			assert_true(run.n > 0 && r.n + run.n <= sizeof(r.data));
			memcpy(r.data + r.n, run.p, run.n);
			r.n += run.n;
		}
		free(copy);
		at += n - in.n;
		if (r.outcome != HTTP_BODY_MORE || at == text.n)
			break;
		assert_int_equal(in.n, 0);
		n = MIN(step, text.n - at);
	}
	r.bad = b.bad;
	r.used = r.outcome == HTTP_BODY_END ? at : 0;
	return r;
}

static struct result in_every_segmentation(const char *name, struct bytes text, uint64_t max)
{
	struct result all = read_body(text, max, text.n, text.n);
	for (size_t cut = 0; cut <= text.n + 1; cut++) {
		/* cut == n + 1: byte by byte */
		struct result r = cut > text.n ? read_body(text, max, 1, 1) :
						 read_body(text, max, cut, text.n);
		assert_msg(r.outcome == all.outcome && r.bad == all.bad && r.used == all.used &&
				   (r.outcome == HTTP_BODY_BAD || r.n == all.n) &&
				   !memcmp(r.data, all.data, MIN(r.n, all.n)),
			   "%s, cut at %zu: %d %s, whole %d %s", name, cut, r.outcome,
			   http_bad_word(r.bad), all.outcome, http_bad_word(all.bad));
	}
	return all;
}

TEST(body, good_chunks_are_joined)
{
	static const struct {
		const char *name, *data;
		struct bytes text;
		size_t left;
	} all[] = {
		{"empty", "", BYTES_LIT("0\r\n\r\n"), 0},
		{"one", "hello", BYTES_LIT("5\r\nhello\r\n0\r\n\r\n"), 0},
		{"two", "hello you", BYTES_LIT("6\r\nhello \r\n3\r\nyou\r\n0\r\n\r\n"), 0},
		{"hexadecimal, both cases", "0123456789abcdefghijklmnop",
		 BYTES_LIT("a\r\n0123456789\r\n0010\r\nabcdefghijklmnop\r\n000\r\n\r\n"), 0},
		{"line ends are data", "\r\n\r\n0\r\n",
		 BYTES_LIT("7\r\n\r\n\r\n0\r\n\r\n0\r\n\r\n"), 0},
		{"extensions", "x", BYTES_LIT("1;a=b;c=\"d;\t e\"\r\nx\r\n0;z\r\n\r\n"), 0},
		{"trailers", "x",
		 BYTES_LIT("1\r\nx\r\n0\r\nA: b\r\nContent-Length: 9\r\nC:\r\n\r\n"), 0},
		{"the next request follows", "x", BYTES_LIT("1\r\nx\r\n0\r\n\r\nGET /"), 5},
		{"15 digits", "x", BYTES_LIT("000000000000001\r\nx\r\n0\r\n\r\n"), 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct result r = in_every_segmentation(all[i].name, all[i].text, 100);
		assert_msg(r.outcome == HTTP_BODY_END, "%s: %s", all[i].name, http_bad_word(r.bad));
		assert_int_equal(r.used, all[i].text.n - all[i].left);
		assert_true(bytes_eq(BYTES(r.data, r.n), bytes_str(all[i].data)));
	}
}

TEST(body, bad_chunks_are_refused)
{
#define B(text, why)                                                                               \
	{                                                                                          \
		text, BYTES_LIT(text), HTTP_BAD_##why                                              \
	}
	static const struct {
		const char *name;
		struct bytes text;
		enum http_bad bad;
	} all[] = {
		B("g", CHUNK_SIZE),
		B("\r", CHUNK_SIZE),
		B(";", CHUNK_SIZE),
		B(" 1", CHUNK_SIZE),
		B("1 \r\n", CHUNK_SIZE),
		B("1\t;a\r\n", CHUNK_SIZE),
		B("0x1\r\n", CHUNK_SIZE),
		B("-1\r\n", CHUNK_SIZE),
		B("+1\r\n", CHUNK_SIZE),
		B("1_0\r\n", CHUNK_SIZE),
		B("0000000000000001", CHUNK_SIZE),
		B("1\n", BARE_LF),
		B("\n", BARE_LF),
		B("1\rx", BARE_CR),
		B("1\r\r", BARE_CR),
		B("1;a\n", BARE_LF),
		B("1;a\rb", BARE_CR),
		B("1;\x01", CHUNK_EXTENSION),
		B("1;\x7f", CHUNK_EXTENSION),
		B("1\r\nxy", CHUNK_END),
		B("1\r\nx\n", CHUNK_END),
		B("1\r\nx\rx", CHUNK_END),
		B("1\r\nx0\r\n\r\n", CHUNK_END),
		B("0\r\n\n", BARE_LF),
		B("0\r\n\rx", BARE_CR),
		B("0\r\n :", TRAILER),
		B("0\r\n:", TRAILER),
		B("0\r\nA b", TRAILER),
		B("0\r\nA \r\n", TRAILER),
		B("0\r\nA\r\n", TRAILER),
		B("0\r\nA: b\n", BARE_LF),
		B("0\r\nA: \x01", TRAILER),
		B("0\r\nA: b\rc", BARE_CR),
		B("0\r\nA: b\r\n c", TRAILER),
		B("65\r\n", BODY_TOO_LONG),
		B("64", NONE),
		B("ffffffff", BODY_TOO_LONG),
		B("fffffffffffffff", BODY_TOO_LONG),
		B("1\r\nx\r\n64", BODY_TOO_LONG),
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct result r = in_every_segmentation(all[i].name, all[i].text, 100);
		assert_msg(r.bad == all[i].bad, "%s: %s", all[i].name, http_bad_word(r.bad));
		assert_int_equal(r.outcome, r.bad ? HTTP_BODY_BAD : HTTP_BODY_MORE);
	}
}

TEST(body, every_proper_prefix_wants_more)
{
	static const char text[] = "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n";
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(read_body(BYTES(text, n), 100, n, n).outcome, HTTP_BODY_MORE);
}

TEST(body, extensions_and_trailers_are_bounded_over_the_body)
{
	char text[4096];
	int n = sprintf(text, "1;%0250d\r\nx\r\n1;%04d\r\nx\r\n", 0, 0);
	assert_int_equal(read_body(BYTES(text, n), 9, 1, 1).outcome, HTTP_BODY_MORE);
	n = sprintf(text, "1;%0250d\r\nx\r\n1;%07d\r\nx\r\n", 0, 0);
	assert_int_equal(read_body(BYTES(text, n), 9, 1, 1).bad, HTTP_BAD_CHUNK_EXTENSION);
	n = sprintf(text, "0\r\nA:%0500d\r\nB:%0517d\r\n\r\n", 0, 0);
	assert_int_equal(read_body(BYTES(text, n), 9, 1, 1).outcome, HTTP_BODY_END);
	n = sprintf(text, "0\r\nA:%0500d\r\nB:%0519d\r\n\r\n", 0, 0);
	assert_int_equal(read_body(BYTES(text, n), 9, 1, 1).bad, HTTP_BAD_TRAILER);
}

TEST(body, sum_of_chunks_is_bounded)
{
	struct bytes text = BYTES_LIT("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n");
	assert_int_equal(in_every_segmentation("ten", text, 10).outcome, HTTP_BODY_END);
	assert_int_equal(in_every_segmentation("nine", text, 9).bad, HTTP_BAD_BODY_TOO_LONG);
}

TEST(body, length_takes_exactly_its_bytes)
{
	struct http_head h = framed(HTTP_BODY_LENGTH, 5);
	struct http_body b;
	struct bytes run, in = BYTES_LIT("hel");
	assert_int_equal(http_body_init(&b, &h, 5), HTTP_BODY_MORE);
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_RUN);
	assert_int_equal(run.n, 3);
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_MORE);
	in = BYTES_LIT("loGET");
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_RUN);
	assert_true(bytes_eq(run, BYTES_LIT("lo")));
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_END);
	assert_true(bytes_eq(in, BYTES_LIT("GET")));
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_END);
}

TEST(body, length_is_refused_before_its_first_byte)
{
	struct http_head h = framed(HTTP_BODY_LENGTH, 6);
	struct http_body b;
	struct bytes run, in = BYTES_LIT("x");
	assert_int_equal(http_body_init(&b, &h, 5), HTTP_BODY_BAD);
	assert_int_equal(http_bad_status(b.bad), 413);
	assert_int_equal(http_body_next(&b, &in, &run), HTTP_BODY_BAD);
}

TEST(body, nothing_announced_is_no_body)
{
	struct http_body b;
	struct http_head h = framed(HTTP_NO_BODY, 0);
	assert_int_equal(http_body_init(&b, &h, 0), HTTP_BODY_END);
	h = framed(HTTP_BODY_LENGTH, 0);
	assert_int_equal(http_body_init(&b, &h, 0), HTTP_BODY_END);
}

TEST_MAIN()
