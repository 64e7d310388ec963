/* SPDX-License-Identifier: BSD-2-Clause */
/* test_frame.c - frames from tables, on both sides, in every segmentation.
 *
 * A case is a stream as a server would send it (unmasked, in hexadecimal) and the
 * transcript of what must come out: messages and control frames, then how it
 * ends. Masked with a key it is the same stream as a client would send it. Both are
 * decoded whole, byte by byte, and cut in two at each place, the way a
 * connection does it: leftovers of WS_MORE stay in front of what comes next. */
#include "test.h"
#include "ws/frame.h"
#include "ws/mask.h"

static const uint8_t mask_key[4] = {0x37, 0xfa, 0x21, 0x3d};

struct stream {
	uint8_t p[2048];
	size_t n;
};

static void put(struct stream *s, const void *p, size_t n)
{
	assert_true(s->n + n <= sizeof(s->p));
	memcpy(s->p + s->n, p, n);
	s->n += n;
}

/* "81 05 48656c6c6f", and "x*126" for bytes of the letter x. */
static struct stream from_hex(const char *hex)
{
	struct stream s = {.n = 0};
	while (*hex) {
		if (*hex == ' ') {
			hex++;
		} else if (hex[1] == '*') {
			char c = *hex, *end;
			for (long times = strtol(hex + 2, &end, 10); times; times--)
				put(&s, &c, 1);
			hex = end;
		} else {
			unsigned v;
			assert_int_equal(sscanf(hex, "%2x", &v), 1);
			uint8_t b = (uint8_t)v;
			put(&s, &b, 1);
			hex += 2;
		}
	}
	return s;
}

/* The same frames from a client; what is cut off stays cut off. */
static struct stream masked(const struct stream *in)
{
	struct stream out = {.n = 0};
	size_t i = 0;
	while (i < in->n) {
		size_t left = in->n - i;
		put(&out, in->p + i, 1);
		if (left < 2)
			break;
		uint8_t second = in->p[i + 1] | 0x80, len7 = in->p[i + 1] & 0x7f;
		size_t head = len7 == 127 ? 10 : len7 == 126 ? 4 : 2;
		put(&out, &second, 1);
		if (left < head) {
			put(&out, in->p + i + 2, left - 2);
			break;
		}
		put(&out, in->p + i + 2, head - 2);
		put(&out, mask_key, 4);
		uint64_t len = len7 == 127 ? load_be64(in->p + i + 2) :
			       len7 == 126 ? load_be16(in->p + i + 2) :
					     len7;
		size_t n = (size_t)MIN(len, left - head);
		uint32_t key;
		memcpy(&key, mask_key, 4);
		put(&out, in->p + i + head, n);
		ws_mask(out.p + out.n - n, n, key);
		i += head + n;
	}
	return out;
}

/* ---- one connection ---- */

struct conn {
	struct ws_rx rx;
	uint8_t rest[WS_REST_MAX];
	size_t rest_n;
	uint8_t message[2048];
	size_t message_n;
	char transcript[8192];
	bool over;
};

static const struct ws_limits limits = {.message_bytes = 1000, .fragments = 5};

static void say(struct conn *c, const char *word, const uint8_t *p, size_t n)
{
	char *t = c->transcript + strlen(c->transcript);
	t += sprintf(t, "%s", word);
	for (size_t i = 0; i < n; i++) {
		size_t k = i + 1;
		while (k < n && p[k] == p[i])
			k++;
		if (k - i > 9) {
			t += sprintf(t, "%c*%zu", p[i], k - i);
			i = k - 1;
		} else {
			t += sprintf(t, p[i] >= ' ' && p[i] < 0x7f ? "%c" : "\\%02x", p[i]);
		}
	}
	sprintf(t - (t[-1] == ' ' && !n), "; ");
}

static const char *word_of(const struct ws_frame *f)
{
	switch (f->opcode) {
	case WS_TEXT: return f->deflated ? "text~" : "text ";
	case WS_BINARY: return f->deflated ? "binary~" : "binary ";
	case WS_PING: return "ping ";
	case WS_PONG: return "pong ";
	case WS_CLOSE: return "close ";
	}
	fail_msg("opcode %u came out", f->opcode);
	return "";
}

static void take(struct conn *c, enum ws_outcome o, const struct ws_frame *f)
{
	char word[32];
	if (o == WS_FRAME) {
		assert_true(f->begins && f->ends);
		snprintf(word, sizeof(word), "%s", word_of(f));
		if (f->opcode == WS_CLOSE)
			snprintf(word, sizeof(word), "close %u ", f->close_code);
		say(c, word, f->data, f->n);
		return;
	}
	assert_true(f->opcode == WS_TEXT || f->opcode == WS_BINARY);
	assert_int_equal(f->begins, c->message_n == SIZE_MAX);
	if (f->begins)
		c->message_n = 0;
	memcpy(c->message + c->message_n, f->data, f->n);
	c->message_n += f->n;
	assert_int_equal(f->left, c->rx.left);
	assert_true(c->message_n + f->left <= f->message);
	if (f->ends) {
		assert_int_equal(c->message_n, f->message);
		say(c, word_of(f), c->message, c->message_n);
		c->message_n = SIZE_MAX;
	}
}

static void open_conn(struct conn *c, unsigned flags)
{
	memset(c, 0, sizeof(*c));
	c->message_n = SIZE_MAX; /* none begun */
	ws_frame_init(&c->rx, flags);
}

/* What read(2) brought: from a buffer of exactly these bytes. */
static void receive(struct conn *c, const uint8_t *p, size_t n)
{
	if (c->over)
		return;
	size_t all = c->rest_n + n;
	uint8_t *buf = malloc(all ? all : 1);
	memcpy(buf, c->rest, c->rest_n);
	memcpy(buf + c->rest_n, p, n);
	c->rest_n = 0;
	for (size_t at = 0;;) {
		struct ws_frame f;
		enum ws_outcome o = ws_frame_next(&c->rx, &limits, buf + at, all - at, &f);
		assert_true(f.used <= all - at);
		if (o == WS_BAD) {
			assert_int_equal(f.close_code, ws_bad_close_code(f.bad));
			sprintf(c->transcript + strlen(c->transcript), "%u %s", f.close_code,
				ws_bad_word(f.bad));
			c->over = true;
			assert_int_equal(ws_frame_next(&c->rx, &limits, buf + at, all - at, &f),
					 WS_BAD);
			break;
		}
		at += f.used;
		if (o == WS_MORE) {
			c->rest_n = all - at;
			assert_true(c->rest_n <= WS_REST_MAX);
			memcpy(c->rest, buf + at, c->rest_n);
			break;
		}
		take(c, o, &f);
	}
	free(buf);
}

static const char *finish(struct conn *c)
{
	if (!c->over && (c->rest_n || !ws_frame_idle(&c->rx)))
		strcat(c->transcript, "more");
	size_t n = strlen(c->transcript);
	while (n && (c->transcript[n - 1] == ' ' || c->transcript[n - 1] == ';'))
		c->transcript[--n] = 0;
	return c->transcript;
}

static struct conn one;

static const char *decode(const struct stream *s, unsigned flags, size_t cut)
{
	open_conn(&one, flags);
	receive(&one, s->p, MIN(cut, s->n));
	if (cut < s->n)
		receive(&one, s->p + cut, s->n - cut);
	return finish(&one);
}

/* Byte by byte; *at is how many bytes it took to refuse, 0 if it did not. */
static const char *drip(const struct stream *s, unsigned flags, size_t *at)
{
	open_conn(&one, flags);
	*at = 0;
	for (size_t i = 0; i < s->n && !one.over; i++) {
		receive(&one, s->p + i, 1);
		*at = one.over ? i + 1 : 0;
	}
	return finish(&one);
}

static size_t every_way(const struct stream *s, unsigned flags, const char *want, const char *hex)
{
	size_t at;
	for (size_t cut = 0; cut <= s->n; cut++) {
		const char *got = decode(s, flags, cut);
		assert_msg(!strcmp(got, want), "%s cut at %zu: \"%s\", not \"%s\"", hex, cut, got,
			   want);
	}
	const char *got = drip(s, flags, &at);
	assert_msg(!strcmp(got, want), "%s dripped: \"%s\", not \"%s\"", hex, got, want);
	return at;
}

/* `last_byte_shows`: the stream ends in the byte that must be refused as it comes. */
static void expect(const char *hex, unsigned flags, const char *want, bool last_byte_shows)
{
	struct stream s = from_hex(hex), m = masked(&s);
	size_t at = every_way(&s, flags | WS_RX_CLIENT, want, hex);
	assert_msg(!last_byte_shows || at == s.n, "%s refused after %zu of %zu", hex, at, s.n);
	every_way(&m, flags, want, hex);
}

struct one_case {
	const char *hex, *want;
};

static void expect_all(const struct one_case *all, size_t n, bool last_byte_shows)
{
	for (size_t i = 0; i < n; i++)
		expect(all[i].hex, 0, all[i].want, last_byte_shows);
}

/* ---- the tables ---- */

TEST(frame, whole_frames_come_out_as_they_went_in)
{
	static const struct one_case all[] = {
		{"", ""},
		{"81 05 48656c6c6f", "text Hello"}, /* RFC 6455 5.7 */
		{"82 03 00ff80", "binary \\00\\ff\\80"},
		{"81 00", "text"},
		{"82 00", "binary"},
		{"89 05 48656c6c6f", "ping Hello"},
		{"8a 05 48656c6c6f", "pong Hello"},
		{"89 00", "ping"},
		{"8a 00", "pong"},
		{"81 01 61 82 01 62 89 01 63", "text a; binary b; ping c"},
		{"81 7d x*125", "text x*125"},
		{"81 7e007e x*126", "text x*126"},
		{"82 7e03e8 x*1000", "binary x*1000"},
		{"89 7d x*125", "ping x*125"},
		{"81 04 f09f9880", "text \\f0\\9f\\98\\80"},
	};
	expect_all(all, ARRAY_SIZE(all), false);
}

TEST(frame, fragments_become_one_message)
{
	static const struct one_case all[] = {
		{"01 03 48656c 80 02 6c6f", "text Hello"}, /* RFC 6455 5.7 */
		{"02 01 61 00 01 62 80 01 63", "binary abc"},
		{"01 00 80 00", "text"},
		{"02 00 00 00 80 00", "binary"},
		{"01 00 80 02 6869", "text hi"},
		{"01 02 6869 80 00", "text hi"},
		{"01 01 61 00 00 00 01 62 80 00", "text ab"},
		{"01 01 61 80 01 62 81 01 63", "text ab; text c"},
		{"01 01 61 89 01 70 80 01 62", "ping p; text ab"},
		{"01 01 61 89 00 8a 01 71 00 01 62 89 01 72 80 01 63",
		 "ping; pong q; ping r; text abc"},
		{"01 01 61 88 02 03e8", "close 1000; more"},
		{"01 01 c3 80 01 a4", "text \\c3\\a4"},
		{"01 02 f09f 00 01 98 80 01 80", "text \\f0\\9f\\98\\80"},
		{"01 01 e2 89 01 78 00 00 80 02 82ac", "ping x; text \\e2\\82\\ac"},
		{"01 7e01f4 x*500 80 7e01f4 x*500", "text x*1000"},
		{"01 01 61 00 01 62 00 01 63 00 01 64 80 01 65", "text abcde"},
	};
	expect_all(all, ARRAY_SIZE(all), false);
}

TEST(frame, what_is_not_all_there_wants_more)
{
	static const struct one_case all[] = {
		{"81", "more"},
		{"81 05", "more"},
		{"81 05 48", "more"},
		{"81 7e", "more"},
		{"81 7e00", "more"},
		{"81 7f 000000", "more"},
		{"89 05 48656c6c", "more"},
		{"01 01 61", "more"},
		{"01 01 61 80", "more"},
		{"88 02 03", "more"},
		{"01 01 61 80 01", "more"},
		{"81 01 61 81", "text a; more"},
		{"81 02 c3", "more"},
		{"01 01 c3 80 01", "more"},
	};
	expect_all(all, ARRAY_SIZE(all), false);
}

TEST(frame, close_frames_are_read)
{
	static const struct one_case all[] = {
		{"88 00", "close 1005"},
		{"88 02 03e8", "close 1000"},
		{"88 05 03e9 627965", "close 1001 bye"},
		{"88 04 0fa1 c3a4", "close 4001 \\c3\\a4"},
		{"88 7d 03e8 x*123", "close 1000 x*123"},
		{"88 02 03e8 81 01 61 ff ff ff", "close 1000"}, /* what follows is ignored */
		{"88 00 88 00", "close 1005"},
		{"88 02 03f5", "close 1013"},
		{"88 02 03f6", "close 1014"},
		{"88 02 0bb8", "close 3000"},
		{"88 02 1387", "close 4999"},
	};
	expect_all(all, ARRAY_SIZE(all), false);
}

TEST(frame, bad_headers_are_refused_at_the_byte_that_shows_it)
{
	static const struct one_case all[] = {
		{"c1", "1002 rsv-bits"},
		{"a1", "1002 rsv-bits"},
		{"91", "1002 rsv-bits"},
		{"f1", "1002 rsv-bits"},
		{"c9", "1002 rsv-bits"},
		{"98", "1002 rsv-bits"},
		{"01 01 61 c0", "1002 rsv-bits"},
		{"41", "1002 rsv-bits"},
		{"83", "1002 reserved-opcode"},
		{"84", "1002 reserved-opcode"},
		{"85", "1002 reserved-opcode"},
		{"86", "1002 reserved-opcode"},
		{"87", "1002 reserved-opcode"},
		{"8b", "1002 reserved-opcode"},
		{"8c", "1002 reserved-opcode"},
		{"8d", "1002 reserved-opcode"},
		{"8e", "1002 reserved-opcode"},
		{"8f", "1002 reserved-opcode"},
		{"03", "1002 reserved-opcode"},
		{"0b", "1002 reserved-opcode"},
		{"01 01 61 83", "1002 reserved-opcode"},
		{"09", "1002 control-fragmented"},
		{"08", "1002 control-fragmented"},
		{"0a", "1002 control-fragmented"},
		{"01 01 61 09", "1002 control-fragmented"},
		{"89 7e", "1002 control-too-long"},
		{"8a 7f", "1002 control-too-long"},
		{"88 7e", "1002 control-too-long"},
		{"01 01 61 89 7e", "1002 control-too-long"},
		{"88 01", "1002 close-length"},
		{"80", "1002 nothing-to-continue"},
		{"00", "1002 nothing-to-continue"},
		{"81 01 61 80", "text a; 1002 nothing-to-continue"},
		{"01 01 61 80 01 62 80", "text ab; 1002 nothing-to-continue"},
		{"01 01 61 81", "1002 message-in-message"},
		{"01 01 61 01", "1002 message-in-message"},
		{"01 00 82", "1002 message-in-message"},
		{"02 01 61 00 00 02", "1002 message-in-message"},
		{"01 01 61 89 01 70 82", "ping p; 1002 message-in-message"},
		{"81 7e 0000", "1002 long-length"},
		{"81 7e 007d", "1002 long-length"},
		{"82 7f 0000000000000000", "1002 long-length"},
		{"82 7f 000000000000007d", "1002 long-length"},
		{"82 7f 000000000000ffff", "1002 long-length"},
		{"82 7f 80", "1002 length-sign"},
		{"82 7f ff", "1002 length-sign"},
	};
	expect_all(all, ARRAY_SIZE(all), true);
}

TEST(frame, sizes_are_refused_at_the_header)
{
	static const struct one_case all[] = {
		/* limits: 1000 bytes, 5 fragments */
		{"82 7e 03e9", "1009 message-too-long"},
		{"81 7e ffff", "1009 message-too-long"},
		{"82 7f 0000000000010000", "1009 message-too-long"},
		{"82 7f 0000000100000000", "1009 message-too-long"},
		{"82 7f 7fffffffffffffff", "1009 message-too-long"},
		{"02 7e 03e9", "1009 message-too-long"},
		{"02 7e01f4 x*500 00 7e 01f5", "1009 message-too-long"},
		{"02 7e01f4 x*500 00 00 80 7e 01f5", "1009 message-too-long"},
		{"02 7e03e8 x*1000 80 01", "1009 message-too-long"},
		{"02 7e03e8 x*1000 89 01 70 80 01", "ping p; 1009 message-too-long"},
		{"01 00 80 7f 00000000ffffffff", "1009 message-too-long"},
		/* the fifth frame must be the last; empty ones count */
		{"01 00 00 00 00 00 00 00 00", "1009 too-many-fragments"},
		{"01 01 61 00 01 62 00 01 63 00 01 64 00", "1009 too-many-fragments"},
		{"81 01 61 01 00 00 00 00 00 00 00 00", "text a; 1009 too-many-fragments"},
	};
	expect_all(all, ARRAY_SIZE(all), true);
}

TEST(frame, text_is_refused_at_its_first_bad_byte)
{
	static const struct one_case all[] = {
		{"81 7d ff", "1007 bad-utf8"},
		{"81 7d 80", "1007 bad-utf8"},
		{"81 7d c0", "1007 bad-utf8"},
		{"81 7d 61 c3 28", "1007 bad-utf8"},
		{"81 7d eda0", "1007 bad-utf8"},
		{"81 7d e080", "1007 bad-utf8"},
		{"81 7d f08f", "1007 bad-utf8"},
		{"81 7d f490", "1007 bad-utf8"},
		{"81 7d f5", "1007 bad-utf8"},
		{"01 02 c3a4 00 7d ff", "1007 bad-utf8"},
		{"01 01 e2 89 01 78 00 01 82 80 01 28", "ping x; 1007 bad-utf8"},
		{"01 01 f4 80 01 90", "1007 bad-utf8"},
		{"01 01 ed 00 01 a0", "1007 bad-utf8"},
		/* cut characters at the end of the message */
		{"81 01 c3", "1007 bad-utf8"},
		{"81 03 f09f98", "1007 bad-utf8"},
		{"01 01 61 80 01 e2", "1007 bad-utf8"},
		{"81 01 61 81 7e00ff x*200 ff", "text a; 1007 bad-utf8"},
	};
	expect_all(all, ARRAY_SIZE(all), true);
	/* no byte shows these but the header of an empty last frame */
	expect("01 01 c3 80 00", 0, "1007 bad-utf8", true);
	expect("01 02 e282 00 00 80 00", 0, "1007 bad-utf8", true);
}

TEST(frame, binary_may_hold_anything)
{
	static const struct one_case all[] = {
		{"82 02 c328", "binary \\c3("},
		{"02 01 ff 80 01 80", "binary \\ff\\80"},
	};
	expect_all(all, ARRAY_SIZE(all), false);
}

TEST(frame, bad_closes_are_refused)
{
	static const unsigned bad[] = {0,    1,    999,  1004, 1005, 1006, 1015,
				       1016, 1100, 1999, 2000, 2999, 5000, 65535};
	static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
					1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
	char hex[64], want[64];
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(hex, sizeof(hex), "88 02 %04x", bad[i]);
		expect(hex, 0, "1002 close-code", true);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(hex, sizeof(hex), "88 02 %04x", good[i]);
		snprintf(want, sizeof(want), "close %u", good[i]);
		expect(hex, 0, want, false);
	}
	expect("88 03 03e8 ff", 0, "1007 close-utf8", true);
	expect("88 03 03e8 c3", 0, "1007 close-utf8", true);
	expect("88 05 03e8 eda080", 0, "1007 close-utf8", true);
	expect("81 01 61 88 04 03e8 c328", 0, "text a; 1007 close-utf8", true);
}

TEST(frame, each_side_insists_on_its_mask_rule)
{
	struct stream s = from_hex("81 05"), m = from_hex("81 85");
	size_t at;
	assert_string_equal(drip(&s, WS_RX_SERVER, &at), "1002 not-masked");
	assert_int_equal(at, 2);
	assert_string_equal(drip(&m, WS_RX_CLIENT, &at), "1002 masked");
	assert_int_equal(at, 2);
	s = from_hex("88 00");
	assert_string_equal(decode(&s, WS_RX_SERVER, 2), "1002 not-masked");
	s = from_hex("81 85 00000000 48656c6c6f"); /* the key may be zero */
	every_way(&s, WS_RX_SERVER, "text Hello", "zero key");
	s = from_hex("81 85 37fa213d 7f9f4d5158"); /* RFC 6455 5.7 */
	every_way(&s, WS_RX_SERVER, "text Hello", "hello of the RFC");
}

TEST(frame, compressed_messages_are_marked_and_not_checked)
{
	unsigned d = WS_RX_DEFLATE;
	expect("c1 02 ff80", d, "text~\\ff\\80", false);
	expect("41 01 ff 80 01 80", d, "text~\\ff\\80", false);
	expect("c2 01 00", d, "binary~\\00", false);
	expect("c1 01 61 81 01 62", d, "text~a; text b", false);
	expect("41 01 ff 89 00 80 00 81 01 ff", d, "ping; text~\\ff; 1007 bad-utf8", true);
	expect("41 01 61 c0", d, "1002 rsv-bits", true);
	expect("c9", d, "1002 rsv-bits", true);
	expect("a1", d, "1002 rsv-bits", true);
	expect("e1", d, "1002 rsv-bits", true);
}

/* ---- by hand ---- */

TEST(frame, a_small_frame_is_one_call_in_place)
{
	uint8_t buf[64];
	struct ws_rx rx;
	struct ws_frame f;
	size_t n = ws_frame_write(buf, sizeof(buf), WS_TEXT | WS_FIN, BYTES_LIT("Hello"), mask_key);
	assert_int_equal(n, 11);
	ws_frame_init(&rx, WS_RX_SERVER);
	assert_int_equal(ws_frame_next(&rx, &limits, buf, n, &f), WS_FRAME);
	assert_ptr_equal(f.data, buf + 6);
	assert_int_equal(f.n, 5);
	assert_int_equal(f.used, 11);
	assert_memory_equal(f.data, "Hello", 5);
	assert_true(ws_frame_idle(&rx));
}

TEST(frame, a_header_alone_announces_its_message)
{
	uint8_t buf[] = {0x82, 0x7e, 0x03, 0x00};
	struct ws_rx rx;
	struct ws_frame f;
	ws_frame_init(&rx, WS_RX_CLIENT);
	assert_int_equal(ws_frame_next(&rx, &limits, buf, 4, &f), WS_DATA);
	assert_true(f.begins);
	assert_false(f.ends);
	assert_int_equal(f.used, 4);
	assert_int_equal(f.n, 0);
	assert_int_equal(f.left, 0x300);
	assert_int_equal(f.message, 0x300);
	assert_int_equal(ws_frame_next(&rx, &limits, buf, 0, &f), WS_MORE);
	assert_false(ws_frame_idle(&rx));
}

TEST(frame, nothing_but_the_payload_is_touched)
{
	uint8_t buf[300], was[300];
	struct ws_rx rx;
	struct ws_frame f;
	memset(buf, 0xee, sizeof(buf));
	size_t n = ws_frame_write(buf, sizeof(buf), WS_PING | WS_FIN, BYTES_LIT("0123456789"),
				  mask_key);
	memcpy(was, buf, sizeof(buf));
	ws_frame_init(&rx, WS_RX_SERVER);
	for (size_t k = 0; k < n; k++) /* incomplete: must stay as it came */
		assert_int_equal(ws_frame_next(&rx, &limits, buf, k, &f), WS_MORE);
	assert_memory_equal(buf, was, sizeof(buf));
	assert_int_equal(ws_frame_next(&rx, &limits, buf, sizeof(buf), &f), WS_FRAME);
	assert_memory_equal(buf, was, 6);
	assert_memory_equal(buf + n, was + n, sizeof(buf) - n);
}

TEST(frame, sixty_four_mebibytes_pass_through_a_small_buffer)
{
	struct ws_limits big = {.message_bytes = 64u << 20, .fragments = 1};
	static uint8_t buf[65536];
	uint8_t head[WS_HEAD_MAX];
	struct ws_rx rx;
	struct ws_frame f;
	uint64_t seen = 0;
	size_t n = ws_frame_head(head, WS_TEXT | WS_FIN, big.message_bytes, mask_key);
	ws_frame_init(&rx, WS_RX_SERVER);
	assert_int_equal(ws_frame_next(&rx, &big, head, n, &f), WS_DATA);
	while (!f.ends) {
		size_t k = 65536 - seen % 3; /* odd runs turn the key */
		for (size_t i = 0; i < k; i++)
			buf[i] = 'x' ^ mask_key[(seen + i) % 4];
		k = MIN(k, f.left);
		assert_int_equal(ws_frame_next(&rx, &big, buf, k, &f), WS_DATA);
		assert_int_equal(f.used, k);
		assert_true(f.data[0] == 'x' && f.data[k - 1] == 'x');
		seen += k;
	}
	assert_int_equal(seen, 64u << 20);
	big.message_bytes--;
	ws_frame_init(&rx, WS_RX_SERVER);
	assert_int_equal(ws_frame_next(&rx, &big, head, n, &f), WS_BAD);
	assert_int_equal(f.close_code, 1009);
}

TEST(frame, the_largest_limits_do_not_overflow)
{
	struct ws_limits max = {.message_bytes = WS_MESSAGE_MAX, .fragments = UINT32_MAX};
	uint8_t first[] = {0x02, 0x7f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, more[] = {0x80, 0x01};
	struct ws_rx rx;
	struct ws_frame f;
	ws_frame_init(&rx, WS_RX_CLIENT);
	assert_int_equal(ws_frame_next(&rx, &max, first, 10, &f), WS_DATA);
	assert_int_equal(f.left, UINT32_MAX);
	rx.left = 0; /* as if all had come */
	assert_int_equal(ws_frame_next(&rx, &max, more, 2, &f), WS_BAD);
	assert_int_equal(f.bad, WS_BAD_MESSAGE_TOO_LONG);

	uint8_t start[] = {0x02, 0}, empty[] = {0, 0}, last[] = {0x80, 0};
	ws_frame_init(&rx, WS_RX_CLIENT);
	assert_int_equal(ws_frame_next(&rx, &max, start, 2, &f), WS_DATA);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(ws_frame_next(&rx, &max, empty, 2, &f), WS_DATA);
	rx.fragments = UINT32_MAX - 1; /* as if so many had come */
	struct ws_rx copy = rx;
	assert_int_equal(ws_frame_next(&copy, &max, empty, 2, &f), WS_BAD);
	assert_int_equal(f.bad, WS_BAD_FRAGMENTS);
	assert_int_equal(ws_frame_next(&rx, &max, last, 2, &f), WS_DATA);
	assert_true(f.ends);
}

TEST(frame, one_fragment_means_none)
{
	struct ws_limits l = {.message_bytes = 10, .fragments = 1};
	uint8_t whole[] = {0x81, 0}, part[] = {0x01};
	struct ws_rx rx;
	struct ws_frame f;
	ws_frame_init(&rx, WS_RX_CLIENT);
	assert_int_equal(ws_frame_next(&rx, &l, whole, 2, &f), WS_FRAME);
	assert_int_equal(ws_frame_next(&rx, &l, part, 1, &f), WS_BAD);
	assert_int_equal(f.bad, WS_BAD_FRAGMENTS);
}

/* ---- writing ---- */

TEST(frame, headers_are_written_in_their_shortest_form)
{
	static const struct {
		unsigned first;
		uint64_t n;
		bool mask;
		struct bytes want;
	} all[] = {
		{WS_TEXT | WS_FIN, 0, false, BYTES_LIT("\x81\0")},
		{WS_TEXT | WS_FIN, 125, false, BYTES_LIT("\x81\x7d")},
		{WS_BINARY | WS_FIN, 126, false, BYTES_LIT("\x82\x7e\0\x7e")},
		{WS_BINARY, 65535, false, BYTES_LIT("\x02\x7e\xff\xff")},
		{WS_CONTINUATION, 65536, false, BYTES_LIT("\0\x7f\0\0\0\0\0\1\0\0")},
		{WS_CONTINUATION | WS_FIN, 5, true, BYTES_LIT("\x80\x85\x37\xfa\x21\x3d")},
		{WS_TEXT | WS_FIN | WS_RSV1, 126, true,
		 BYTES_LIT("\xc1\xfe\0\x7e\x37\xfa\x21\x3d")},
		{WS_PING | WS_FIN, 125, false, BYTES_LIT("\x89\x7d")},
		{WS_BINARY | WS_FIN, INT64_MAX, true,
		 BYTES_LIT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x37\xfa\x21\x3d")},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint8_t out[WS_HEAD_MAX];
		size_t n =
			ws_frame_head(out, all[i].first, all[i].n, all[i].mask ? mask_key : NULL);
		assert_true(bytes_eq(BYTES(out, n), all[i].want));
	}
}

TEST(frame, what_is_written_can_be_read_on_the_other_side)
{
	static uint8_t payload[70000], wire[70100];
	struct ws_limits l = {.message_bytes = 70000, .fragments = 1};
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 31 + (i >> 8));
	static const size_t sizes[] = {0,   1,   2,    3,     124,   125,  126,
				       127, 128, 1000, 65535, 65536, 70000};
	for (size_t i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
		bool client = i & 1;
		struct bytes p = BYTES(payload, sizes[i / 2]);
		struct ws_rx rx;
		struct ws_frame f;
		size_t n = ws_frame_write(wire, sizeof(wire), WS_BINARY | WS_FIN, p,
					  client ? mask_key : NULL);
		assert_int_equal(ws_frame_write(wire, n - 1, WS_BINARY | WS_FIN, p,
						client ? mask_key : NULL),
				 0);
		ws_frame_init(&rx, client ? WS_RX_SERVER : WS_RX_CLIENT);
		assert_int_equal(ws_frame_next(&rx, &l, wire, n, &f), WS_FRAME);
		assert_int_equal(f.used, n);
		assert_true(bytes_eq(BYTES(f.data, f.n), p));
	}
}

TEST(frame, close_payloads_fit_and_keep_characters_whole)
{
	uint8_t out[WS_CONTROL_MAX];
	char reason[200];
	assert_int_equal(ws_frame_close(out, WS_CLOSE_NO_CODE, BYTES_LIT("")), 0);
	assert_int_equal(ws_frame_close(out, 1001, BYTES_LIT("bye")), 5);
	assert_memory_equal(out,
			    "\x03\xe9"
			    "bye",
			    5);
	memset(reason, 'r', sizeof(reason));
	assert_int_equal(ws_frame_close(out, 1000, BYTES(reason, 200)), 125);
	memcpy(reason + 121, "\xe2\x82\xac", 3); /* would end at 124 */
	assert_int_equal(ws_frame_close(out, 1000, BYTES(reason, 200)), 123);
	assert_int_equal(ws_frame_close(out, 1000, BYTES(NULL, 0)), 2);
}

TEST(frame, reasons_and_codes_have_names)
{
	for (unsigned b = 1; b < WS_BAD_COUNT; b++) {
		assert_true(strlen(ws_bad_word(b)) > 3 && strlen(ws_bad_help(b)) > 10);
		assert_true(ws_close_valid(ws_bad_close_code(b)));
	}
	assert_string_equal(ws_close_name(1000), "normal");
	assert_string_equal(ws_close_name(4008), "slow-consumer");
	assert_string_equal(ws_close_name(3000), "registered");
	assert_string_equal(ws_close_name(4999), "private");
	assert_string_equal(ws_close_name(999), "invalid");
	assert_string_equal(ws_close_name(1016), "invalid");
}

TEST_MAIN()
