/* SPDX-License-Identifier: BSD-2-Clause */
/* describe.c - a certificate in words, for people who ask which one is in use and for how long. */
#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "tls/internal.h"
#include "worker/worker.h"

/* The common name; who has none is known by his organisation. */
static void name_of(X509_NAME *name, char *out, size_t cap)
{
	static const int nids[] = {NID_commonName, NID_organizationName};
	out[0] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(nids) && out[0] == 0; i++) {
		int at = X509_NAME_get_index_by_NID(name, nids[i], -1);
		uint8_t *text = NULL;
		if (at < 0)
			continue;
		int n = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
		if (n > 0)
			snprintf(out, cap, "%.*s", n, (const char *)text);
		OPENSSL_free(text);
	}
}

int64_t tls_seconds_of(const ASN1_TIME *t)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	if (epoch != NULL)
		ASN1_TIME_diff(&days, &seconds, epoch, t);
	ASN1_TIME_free(epoch);
	return (int64_t)days * 86400 + seconds;
}

static void hex_of(const uint8_t *p, size_t n, char *out, size_t cap)
{
	out[0] = 0;
	for (size_t i = 0; i < n && 2 * i + 2 < cap; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static void key_of(enum tls_key_kind kind, const EVP_PKEY *key, char *out, size_t cap)
{
	static const char *const words[] = {[TLS_KEY_P256] = "ECDSA P-256",
					    [TLS_KEY_P384] = "ECDSA P-384",
					    [TLS_KEY_P521] = "ECDSA P-521",
					    [TLS_KEY_ED25519] = "Ed25519"};
	if (kind == TLS_KEY_RSA)
		snprintf(out, cap, "RSA %d", EVP_PKEY_bits(key));
	else
		snprintf(out, cap, "%s", words[kind]);
}

void tls_cert_describe(struct tls_cert *cert, X509 *leaf, const EVP_PKEY *key, struct bytes ocsp)
{
	struct tls_cert_info *info = &cert->info;
	const ASN1_INTEGER *n = X509_get0_serialNumber(leaf);
	const uint8_t *serial = ASN1_STRING_get0_data(n);
	size_t serial_n = (size_t)ASN1_STRING_length(n);
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_n = 0;
	struct tls_ocsp o;
	name_of(X509_get_subject_name(leaf), info->subject, sizeof(info->subject));
	name_of(X509_get_issuer_name(leaf), info->issuer, sizeof(info->issuer));
	hex_of(serial, serial_n, info->serial, sizeof(info->serial));
	X509_digest(leaf, EVP_sha256(), digest, &digest_n);
	hex_of(digest, digest_n, info->sha256, sizeof(info->sha256));
	key_of(cert->kind, key, info->key, sizeof(info->key));
	info->names = (const char *const *)cert->names;
	info->n_names = cert->n_names;
	info->not_before = tls_seconds_of(X509_get0_notBefore(leaf));
	info->not_after = tls_seconds_of(X509_get0_notAfter(leaf));
	info->self_signed =
		X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0;
	if (ocsp.n > 0 && tls_ocsp_read(ocsp, BYTES(serial, serial_n), &o) == NULL) {
		info->ocsp_this = o.this_update;
		info->ocsp_next = o.next_update;
	}
}

const struct tls_cert_info *tls_cert_info(const struct worker *w, uint32_t i)
{
	return &w->tls->certs->cert[i].info;
}
