/* SPDX-License-Identifier: BSD-2-Clause */
/* test_utf8.c - against a plain decoder that builds code points and judges those. */
#include "test.h"
#include "ws/utf8.h"

/* The oracle: how many bytes from the front are good or may become good; `whole`
 * says whether that ends between two characters. Written from RFC 3629 4 by
 * values, not by byte ranges, so that it shares no idea with the code. */
static size_t good_prefix(const uint8_t *p, size_t n, bool *whole)
{
	size_t i = 0;
	*whole = true;
	while (i < n) {
		uint32_t len = p[i] < 0x80     ? 1 :
			       p[i] >> 5 == 6  ? 2 :
			       p[i] >> 4 == 14 ? 3 :
			       p[i] >> 3 == 30 ? 4 :
						 0;
		if (!len)
			return i;
		uint32_t low = len == 1 ? p[i] : p[i] & (0x7fu >> len), high = low;
		for (uint32_t k = 1; k <= len; k++) {
			/* which code points can still come of this beginning? */
			uint32_t shift = 6 * (len - k);
			uint32_t min = low << shift, max = ((high + 1) << shift) - 1;
			uint32_t floor = len == 1 ? 0 :
					 len == 2 ? 0x80 :
					 len == 3 ? 0x800 :
						    0x10000;
			if (max < floor || min > 0x10ffff || (min >= 0xd800 && max <= 0xdfff))
				return i + k - 1;
			if (k == len)
				break;
			if (i + k == n) {
				*whole = false;
				return n;
			}
			if (p[i + k] >> 6 != 2)
				return i + k;
			low = high = low << 6 | (p[i + k] & 0x3f);
		}
		i += len;
	}
	return n;
}

/* utf8_check() by runs of `step`; returns the bytes of the runs it took before it refused. */
static bool accepts(const uint8_t *p, size_t n, size_t step, uint8_t *st)
{
	*st = UTF8_WHOLE;
	for (size_t i = 0; i < n; i += step) {
		size_t k = MIN(step, n - i);
		uint8_t *copy = malloc(k);
		memcpy(copy, p + i, k);
		bool ok = utf8_check(st, BYTES(copy, k));
		free(copy);
		if (!ok)
			return false;
	}
	return true;
}

static void against_oracle(const uint8_t *p, size_t n)
{
	bool whole;
	uint8_t st;
	size_t good = good_prefix(p, n, &whole);
	static const size_t steps[] = {1, 2, 3, 5, 16, 31, 64, 100000};
	for (size_t s = 0; s < ARRAY_SIZE(steps); s++) {
		bool ok = accepts(p, n, steps[s], &st);
		assert_msg(ok == (good == n), "step %zu: good %zu of %zu", steps[s], good, n);
		if (ok)
			assert_int_equal(st == UTF8_WHOLE, whole);
	}
}

TEST(utf8, every_sequence_of_up_to_three_bytes)
{
	uint8_t b[3], st;
	bool whole;
	for (uint32_t v = 0; v < 1 << 24; v++) {
		b[0] = (uint8_t)(v >> 16), b[1] = (uint8_t)(v >> 8), b[2] = (uint8_t)v;
		size_t good = good_prefix(b, 3, &whole);
		st = UTF8_WHOLE;
		bool ok = utf8_check(&st, BYTES(b, 3));
		if (ok != (good == 3) || (ok && (st == UTF8_WHOLE) != whole))
			fail_msg("%02x %02x %02x", b[0], b[1], b[2]);
	}
}

TEST(utf8, every_code_point_and_nothing_beyond)
{
	for (uint32_t c = 0x80; c < 0x120000; c++) {
		uint8_t b[4];
		size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
		for (size_t i = n; i-- > 1;)
			b[i] = (uint8_t)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
		b[0] = (uint8_t)(lead[n] | c >> (6 * (n - 1)));
		bool want = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
		if (utf8_valid(BYTES(b, n)) != want)
			fail_msg("U+%04X", c);
	}
}

TEST(utf8, first_bad_byte_is_enough)
{
	static const struct {
		struct bytes text;
		size_t good;
	} all[] = {
		{BYTES_LIT("\x80"), 0},
		{BYTES_LIT("\xbf"), 0},
		{BYTES_LIT("\xc0"), 0},
		{BYTES_LIT("\xc1"), 0},
		{BYTES_LIT("\xf5"), 0},
		{BYTES_LIT("\xff"), 0},
		{BYTES_LIT("\xe0\x80"), 1},
		{BYTES_LIT("\xe0\x9f"), 1},
		{BYTES_LIT("\xed\xa0"), 1},
		{BYTES_LIT("\xf0\x80"), 1},
		{BYTES_LIT("\xf0\x8f"), 1},
		{BYTES_LIT("\xf4\x90"), 1},
		{BYTES_LIT("\xc3("), 1},
		{BYTES_LIT("\xe2\x82("), 2},
		{BYTES_LIT("\xf0\x9f\x98("), 3},
		{BYTES_LIT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90"), 12},
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		for (size_t n = 1; n <= all[i].text.n; n++) {
			uint8_t st = UTF8_WHOLE;
			assert_int_equal(utf8_check(&st, BYTES(all[i].text.p, n)),
					 n <= all[i].good);
			assert_int_equal(accepts(all[i].text.p, n, 1, &st), n <= all[i].good);
		}
	}
}

static uint32_t seed = 1;
static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static size_t random_text(uint8_t *p, size_t max)
{
	size_t n = 0;
	while (n + 4 <= max) {
		uint32_t kind = rnd(5), c = kind == 0 ? 0x80 + rnd(0x780) :
					    kind == 1 ? 0x800 + rnd(0xd000) :
					    kind == 2 ? 0x10000 + rnd(0x100000) :
							0;
		if (kind >= 3) {
			for (uint32_t k = rnd(20); k && n + 4 <= max; k--)
				p[n++] = (uint8_t)rnd(128);
		} else if (c < 0x800) {
			p[n++] = (uint8_t)(0xc0 | c >> 6), p[n++] = (uint8_t)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			p[n++] = (uint8_t)(0xe0 | c >> 12),
			p[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
			p[n++] = (uint8_t)(0x80 | (c & 63));
		} else {
			p[n++] = (uint8_t)(0xf0 | c >> 18),
			p[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
			p[n++] = (uint8_t)(0x80 | (c >> 6 & 63)),
			p[n++] = (uint8_t)(0x80 | (c & 63));
		}
	}
	return n;
}

TEST(utf8, long_texts_with_and_without_one_wrong_byte)
{
	uint8_t text[400];
	for (int round = 0; round < 3000; round++) {
		size_t n = random_text(text, 8 + rnd(392));
		against_oracle(text, n);
		if (n == 0)
			continue;
		text[rnd((uint32_t)n)] = (uint8_t)rnd(256);
		against_oracle(text, n);
		against_oracle(text, rnd((uint32_t)n + 1));
	}
}

/* The vectors look at 32 bytes: put each short wrong sequence at each place of several. */
TEST(utf8, a_wrong_character_is_seen_in_every_place_of_a_block)
{
	static const struct bytes wrong[] = {
		BYTES_LIT("\x80"),
		BYTES_LIT("\xc0\x80"),
		BYTES_LIT("\xc1\xbf"),
		BYTES_LIT("\xe0\x9f\xbf"),
		BYTES_LIT("\xed\xa0\x80"),
		BYTES_LIT("\xf0\x8f\xbf\xbf"),
		BYTES_LIT("\xf4\x90\x80\x80"),
		BYTES_LIT("\xf5\x80\x80\x80"),
		BYTES_LIT("\xff"),
		BYTES_LIT("\xc3\xa4\xa4"),
		BYTES_LIT("\xe2\x82"),
		BYTES_LIT("\xf0\x9f\x98"),
		BYTES_LIT("\xf0\x9f\x98\x80\x80"),
		BYTES_LIT("\xf8\x88\x80\x80\x80"),
		BYTES_LIT("\xc3"),
	};
	uint8_t text[160];
	for (size_t w = 0; w < ARRAY_SIZE(wrong); w++) {
		for (size_t at = 0; at + wrong[w].n < sizeof(text); at++) {
			for (int fill = 0; fill < 2; fill++) {
				for (size_t i = 0; i < sizeof(text); i++)
					text[i] = fill ? "\xc3\xa4"[(i + at) & 1] : 'a';
				if (fill && at & 1)
					text[0] = 'a';
				memcpy(text + at, wrong[w].p, wrong[w].n);
				against_oracle(text, sizeof(text));
			}
		}
	}
}

TEST(utf8, state_lets_text_be_cut_anywhere)
{
	static const char text[] = "\xce\xba\xe1\xbd\xb9\xf0\x9f\x98\x80 plain \xe2\x82\xac end";
	size_t n = sizeof(text) - 1;
	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t st = UTF8_WHOLE;
		assert_true(utf8_check(&st, BYTES(text, cut)));
		assert_int_equal(st == UTF8_WHOLE, cut == n || ((uint8_t)text[cut] & 0xc0) != 0x80);
		assert_true(utf8_check(&st, BYTES(text + cut, n - cut)));
		assert_int_equal(st, UTF8_WHOLE);
	}
}

TEST(utf8, nothing_is_valid)
{
	assert_true(utf8_valid(BYTES(NULL, 0)));
}

TEST(utf8, cutting_keeps_characters_whole)
{
	struct bytes t = BYTES_LIT("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	static const size_t want[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
	for (size_t max = 0; max < ARRAY_SIZE(want); max++)
		assert_int_equal(utf8_cut(t, max), want[max]);
}

TEST_MAIN()
