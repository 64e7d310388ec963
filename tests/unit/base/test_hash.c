/* SPDX-License-Identifier: BSD-2-Clause */
/* The vectors are those of the SipHash paper's reference code: key 00 01 .. 0f, message of n
 * bytes 00 01 .. n-1. */
#include "test.h"

#include "base/hash.h"

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

TEST(hash, siphash_gives_the_published_vectors)
{
	static const struct {
		unsigned n;
		uint64_t hash;
	} vectors[] = {
		{0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {2, 0x0d6c8009d9a94f5au},
		{3, 0x85676696d7fb7e2du}, {7, 0xab0200f58b01d137u},  {8, 0x93f5f5799a932462u},
		{9, 0x9e0082df0ba9e4b0u}, {15, 0xa129ca6149be45e5u},
	};
	uint8_t msg[16];

	for (unsigned i = 0; i < sizeof(msg); i++)
		msg[i] = (uint8_t)i;
	for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
		assert_int_equal(hash_keyed(key, BYTES(msg, vectors[i].n)), vectors[i].hash);
}

TEST(hash, another_key_gives_another_hash)
{
	uint8_t other[16] = {0};

	assert_int_not_equal(hash_keyed(key, BYTES_LIT("lobby")),
			     hash_keyed(other, BYTES_LIT("lobby")));
}

TEST(hash, an_empty_string_may_be_null)
{
	assert_int_equal(hash_keyed(key, BYTES(NULL, 0)), 0x726fdb47dd0e0e31u);
}

TEST(hash, mix_spreads_neighbours)
{
	unsigned bins[16] = {0};

	for (uint64_t i = 0; i < 16000; i++)
		bins[hash_mix(i) & 15]++;
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(bins[i], 800, 1200);
}

TEST(hash, pick_is_fair_and_in_range)
{
	unsigned bins[7] = {0};

	for (uint64_t i = 0; i < 70000; i++) {
		uint32_t n = hash_pick(hash_mix(i), 7);
		assert_in_range(n, 0, 6);
		bins[n]++;
	}
	for (unsigned i = 0; i < 7; i++)
		assert_in_range(bins[i], 9500, 10500);
	assert_int_equal(hash_pick(UINT64_MAX, 1), 0);
}

TEST_MAIN()
