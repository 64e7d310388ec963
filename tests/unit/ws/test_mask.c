/* SPDX-License-Identifier: BSD-2-Clause */
/* test_mask.c - every length, alignment and cut against the formula of RFC 6455 5.3. */
#include "test.h"
#include "ws/mask.h"

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

static uint32_t key_word(void)
{
	uint32_t k;
	memcpy(&k, key, 4);
	return k;
}

TEST(mask, the_hello_of_the_rfc)
{
	uint8_t hello[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
	ws_mask(hello, 5, key_word());
	assert_memory_equal(hello, "Hello", 5);
}

TEST(mask, every_length_at_every_alignment)
{
	static uint8_t buf[700];
	for (size_t align = 0; align < 33; align++) {
		for (size_t n = 0; n < 600; n += n < 300 ? 1 : 7) {
			for (size_t i = 0; i < sizeof(buf); i++)
				buf[i] = (uint8_t)(i * 7);
			ws_mask(buf + align, n, key_word());
			for (size_t i = 0; i < sizeof(buf); i++) {
				bool in = i >= align && i < align + n;
				uint8_t want = (uint8_t)((uint8_t)(i * 7) ^
							 (in ? key[(i - align) % 4] : 0));
				if (buf[i] != want)
					fail_msg("align %zu, n %zu, byte %zu", align, n, i);
			}
		}
	}
}

TEST(mask, the_key_goes_on_where_a_run_ended)
{
	uint8_t whole[300], cut[300];
	for (size_t at = 0; at <= 300; at++) {
		for (size_t i = 0; i < 300; i++)
			whole[i] = cut[i] = (uint8_t)i;
		ws_mask(whole, 300, key_word());
		uint32_t k = ws_mask(cut, at, key_word());
		ws_mask(cut + at, 300 - at, k);
		assert_memory_equal(whole, cut, 300);
	}
}

TEST(mask, twice_is_nothing)
{
	uint8_t p[257] = {1, 2, 3};
	uint8_t was[257];
	memcpy(was, p, sizeof(p));
	ws_mask(p, sizeof(p), 0xdeadbeef);
	ws_mask(p, sizeof(p), 0xdeadbeef);
	assert_memory_equal(p, was, sizeof(p));
	assert_int_equal(ws_mask(NULL, 0, 5), 5);
}

TEST_MAIN()
