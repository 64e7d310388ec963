/* SPDX-License-Identifier: BSD-2-Clause */
/* key.c - see key.h. */
#include "tls/key.h"

#include <assert.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>
#include <string.h>

static const struct {
	uint16_t number;
	uint8_t key, secret;
	const char *name;
} suites[TLS_SUITES] = {
	[TLS_NO_SUITE] = {0, 0, 0, ""},
	[TLS_SUITE_AES_128_GCM] = {0x1301, 16, 32, "TLS_AES_128_GCM_SHA256"},
	[TLS_SUITE_AES_256_GCM] = {0x1302, 32, 48, "TLS_AES_256_GCM_SHA384"},
	[TLS_SUITE_CHACHA20] = {0x1303, 32, 32, "TLS_CHACHA20_POLY1305_SHA256"},
};

enum tls_suite tls_suite_of(uint16_t number)
{
	for (unsigned s = 1; s < TLS_SUITES; s++)
		if (suites[s].number == number)
			return s;
	return TLS_NO_SUITE;
}

const char *tls_suite_name(enum tls_suite s)
{
	return suites[s].name;
}

size_t tls_suite_secret_bytes(enum tls_suite s)
{
	return suites[s].secret;
}

/* HKDF-Expand-Label(secret, label, "", n), RFC 8446 7.1 */
static void expand(enum tls_suite s, const uint8_t *secret, const char *label, uint8_t *out,
		   size_t n)
{
	const EVP_MD *md = s == TLS_SUITE_AES_256_GCM ? EVP_sha384() : EVP_sha256();
	uint8_t info[2 + 1 + 6 + 16 + 1] = {0, (uint8_t)n};
	size_t len = strlen(label);
	assert(len <= 16 && n <= 255);
	info[2] = (uint8_t)(6 + len);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, len);
	int ok = HKDF_expand(out, n, md, secret, suites[s].secret, info, 10 + len);
	assert(ok); /* it fails for want of memory alone, which it does not ask for */
}

void tls_key_derive(enum tls_suite s, const uint8_t *secret, struct tls_key *out)
{
	assert(s != TLS_NO_SUITE);
	out->seq = 0;
	memset(out->key, 0, sizeof(out->key));
	expand(s, secret, "key", out->key, suites[s].key);
	expand(s, secret, "iv", out->iv, sizeof(out->iv));
}

void tls_key_update(enum tls_suite s, uint8_t *secret, struct tls_key *k)
{
	uint8_t next[TLS_SECRET_MAX];
	assert(s != TLS_NO_SUITE);
	expand(s, secret, "traffic upd", next, suites[s].secret);
	memcpy(secret, next, suites[s].secret);
	OPENSSL_cleanse(next, sizeof(next));
	tls_key_derive(s, secret, k);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool tls_secret_of_line(const char *line, const char *label, uint8_t secret[TLS_SECRET_MAX])
{
	size_t n = strlen(label);
	if (strncmp(line, label, n) != 0 || line[n] != ' ')
		return false;
	const char *at = strchr(line + n + 1, ' ');
	for (n = 0; at && n < TLS_SECRET_MAX && hex_digit(at[1]) >= 0; n++, at += 2)
		secret[n] = (uint8_t)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
	return true;
}
