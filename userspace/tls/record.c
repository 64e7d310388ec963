/* SPDX-License-Identifier: BSD-2-Clause */
/* record.c - see record.h. */
#include "tls/record.h"

#include <assert.h>
#include <openssl/aead.h>
#include <openssl/err.h>
#include <openssl/mem.h>

static const EVP_AEAD *aead_of(enum tls_suite s)
{
	switch (s) {
	case TLS_SUITE_AES_128_GCM: return EVP_aead_aes_128_gcm();
	case TLS_SUITE_AES_256_GCM: return EVP_aead_aes_256_gcm();
	default: assert(s == TLS_SUITE_CHACHA20); return EVP_aead_chacha20_poly1305();
	}
}

/* Neither of the three takes memory of its own: nothing can fail, and all is wiped at the end. */
static void cipher_init(EVP_AEAD_CTX *ctx, enum tls_suite s, const struct tls_key *k)
{
	const EVP_AEAD *aead = aead_of(s);
	int ok = EVP_AEAD_CTX_init(ctx, aead, k->key, EVP_AEAD_key_length(aead), TLS_TAG, NULL);
	assert(ok);
}

static void cipher_end(EVP_AEAD_CTX *ctx)
{
	EVP_AEAD_CTX_cleanup(ctx);
	OPENSSL_cleanse(ctx, sizeof(*ctx));
}

/* RFC 8446 5.3 */
static void nonce_of(const struct tls_key *k, uint8_t nonce[12])
{
	uint64_t low = load_be64(k->iv + 4) ^ k->seq;
	memcpy(nonce, k->iv, 4);
	store_be64(nonce + 4, low);
}

bool tls_record_seal(enum tls_suite s, struct tls_key *k, enum tls_type type,
		     const uint8_t *content, size_t n, uint8_t *out)
{
	uint8_t nonce[12], last = (uint8_t)type, *body = out + TLS_HEAD;
	EVP_AEAD_CTX ctx;
	size_t tag = 0;
	assert(n <= TLS_CONTENT_MAX);
	if (k->seq == UINT64_MAX) /* 5.3: it must not wrap */
		return false;
	out[0] = TLS_DATA;
	store_be16(out + 1, 0x0303);
	store_be16(out + 3, (uint16_t)(n + 1 + TLS_TAG));
	nonce_of(k, nonce);
	cipher_init(&ctx, s, k);
	int ok = EVP_AEAD_CTX_seal_scatter(&ctx, body, body + n, &tag, 1 + TLS_TAG, nonce,
					   sizeof(nonce), content, n, &last, 1, out, TLS_HEAD);
	assert(ok && tag == 1 + TLS_TAG);
	cipher_end(&ctx);
	k->seq++;
	return true;
}

enum tls_alert tls_record_open(enum tls_suite s, struct tls_key *k, uint8_t *record, size_t n,
			       enum tls_type *type, struct bytes *content)
{
	uint8_t nonce[12], *body = record + TLS_HEAD;
	EVP_AEAD_CTX ctx;
	size_t got = 0;
	assert(n >= TLS_HEAD && n == TLS_HEAD + (size_t)load_be16(record + 3));
	if (n - TLS_HEAD > TLS_SEALED_MAX)
		return TLS_ALERT_RECORD_OVERFLOW;
	/* What is not protected, and a change_cipher_spec with it, is over with the handshake (5). The
	 * version says nothing any more, but is authenticated as it came (5.1, 5.2). */
	if (record[0] != TLS_DATA)
		return TLS_ALERT_UNEXPECTED_MESSAGE;
	if (k->seq == UINT64_MAX)
		return TLS_ALERT_INTERNAL_ERROR;
	nonce_of(k, nonce);
	cipher_init(&ctx, s, k);
	int ok = EVP_AEAD_CTX_open(&ctx, body, &got, n - TLS_HEAD, nonce, sizeof(nonce), body,
				   n - TLS_HEAD, record, TLS_HEAD);
	cipher_end(&ctx);
	if (!ok) {
		ERR_clear_error();
		return TLS_ALERT_BAD_RECORD_MAC;
	}
	k->seq++;
	if (got > TLS_CONTENT_MAX + 1) /* 5.4: with the type and the padding */
		return TLS_ALERT_RECORD_OVERFLOW;
	while (got > 0 && body[got - 1] == 0)
		got--;
	if (got == 0)
		return TLS_ALERT_UNEXPECTED_MESSAGE; /* padding alone, 5.4 */
	*type = body[got - 1];
	*content = BYTES(body, got - 1);
	return TLS_NO_ALERT;
}
