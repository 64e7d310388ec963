/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_seal - one record for each of many sleepers: is a set-up cipher worth its half kilobyte?
 *
 * Ours: 52 bytes of key a direction, the cipher set up for each record. Beside it a set-up cipher kept for each
 * connection. One connection again and again, and 65,536 in turn, where memory decides. */
#include <openssl/aead.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tls/record.h"

#define CROWD 65536u

static uint8_t out[TLS_CONTENT_MAX + TLS_SEAL_EXTRA], content[TLS_CONTENT_MAX];
static struct tls_key *keys;
static EVP_AEAD_CTX *kept;

static const EVP_AEAD *aead_of(enum tls_suite s)
{
	return s == TLS_SUITE_AES_128_GCM ? EVP_aead_aes_128_gcm() :
	       s == TLS_SUITE_AES_256_GCM ? EVP_aead_aes_256_gcm() :
					    EVP_aead_chacha20_poly1305();
}

static void seal_ours(enum tls_suite s, uint32_t i, size_t n)
{
	if (!tls_record_seal(s, &keys[i], TLS_DATA, content, n, out))
		abort();
}

/* The same record by a cipher that is there already. */
static void seal_kept(enum tls_suite s, uint32_t i, size_t n)
{
	struct tls_key *k = &keys[i];
	uint8_t nonce[12], last = TLS_DATA;
	size_t tag;
	out[0] = TLS_DATA;
	store_be16(out + 1, 0x0303);
	store_be16(out + 3, (uint16_t)(n + 1 + TLS_TAG));
	memcpy(nonce, k->iv, 4);
	store_be64(nonce + 4, load_be64(k->iv + 4) ^ k->seq++);
	if (!EVP_AEAD_CTX_seal_scatter(&kept[i], out + TLS_HEAD, out + TLS_HEAD + n, &tag,
				       1 + TLS_TAG, nonce, 12, content, n, &last, 1, out, TLS_HEAD))
		abort();
}

static double run(void (*seal)(enum tls_suite, uint32_t, size_t), enum tls_suite s, size_t n,
		  uint32_t crowd)
{
	uint32_t rounds = (uint32_t)(200000000 / (3000 + n * 2));
	double best = 1e9;
	for (int pass = 0; pass < 5; pass++) {
		uint64_t began = clock_mono_ns();
		for (uint32_t r = 0, i = 0; r < rounds; r++, i = (i + 40503) % crowd)
			seal(s, i, n);
		double ns = (double)(clock_mono_ns() - began) / rounds;
		best = ns < best ? ns : best;
	}
	return best;
}

int main(void)
{
	static const size_t sizes[] = {2, 32, 132, 1024, 16384};
	keys = calloc(CROWD, sizeof(*keys));
	kept = calloc(CROWD, sizeof(*kept));
	printf("a key is %zu bytes, a set-up cipher %zu; ns per record: ours / kept\n",
	       sizeof(*keys), sizeof(*kept));
	for (enum tls_suite s = TLS_SUITE_AES_128_GCM; s < TLS_SUITES; s++) {
		for (uint32_t i = 0; i < CROWD; i++) {
			memset(keys[i].key, (int)i, sizeof(keys[i].key));
			memcpy(keys[i].key, &i, sizeof(i));
			const EVP_AEAD *a = aead_of(s);
			if (!EVP_AEAD_CTX_init(&kept[i], a, keys[i].key, EVP_AEAD_key_length(a),
					       TLS_TAG, NULL))
				abort();
		}
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			size_t n = sizes[k];
			double a = run(seal_ours, s, n, 1), b = run(seal_kept, s, n, 1);
			double c = run(seal_ours, s, n, CROWD), d = run(seal_kept, s, n, CROWD);
			printf("%-28s %5zu bytes: one connection %6.0f / %6.0f (%.2f), %u in turn %6.0f / %6.0f (%.2f)\n",
			       tls_suite_name(s), n, a, b, a / b, CROWD, c, d, c / d);
		}
		for (uint32_t i = 0; i < CROWD; i++)
			EVP_AEAD_CTX_cleanup(&kept[i]);
	}
	free(keys);
	free(kept);
	return 0;
}
