/* SPDX-License-Identifier: BSD-2-Clause */
/* pem.c - certificates and keys out of PEM bytes, and the names a leaf answers to. */
#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "tls/internal.h"

const char *tls_error_text(void)
{
	static char text[256];
	uint32_t e = ERR_get_error();
	if (e == 0)
		return "no further detail";
	ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	return text;
}

/* Keys without a password only: a daemon has nobody to ask. */
static int no_password(char *buf, int size, int rw, void *arg)
{
	return 0;
}

STACK_OF(X509) * tls_pem_chain(struct bytes pem)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	BIO *bio = BIO_new_mem_buf(pem.p, pem.n > INT_MAX ? INT_MAX : (int)pem.n);
	X509 *x;
	while (chain && bio && (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		if (!sk_X509_push(chain, x)) {
			X509_free(x);
			break;
		}
	BIO_free(bio);
	if (chain && sk_X509_num(chain) == 0) {
		sk_X509_free(chain);
		return NULL;
	}
	ERR_clear_error(); /* "no more certificates" is how the list ends */
	return chain;
}

STACK_OF(X509_CRL) * tls_pem_crls(struct bytes pem)
{
	STACK_OF(X509_CRL) *all = sk_X509_CRL_new_null();
	BIO *bio = BIO_new_mem_buf(pem.p, pem.n > INT_MAX ? INT_MAX : (int)pem.n);
	X509_CRL *x;
	while (all && bio && (x = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL)))
		if (!sk_X509_CRL_push(all, x)) {
			X509_CRL_free(x);
			break;
		}
	BIO_free(bio);
	ERR_clear_error();
	if (all && sk_X509_CRL_num(all) > 0)
		return all;
	sk_X509_CRL_free(all);
	return NULL;
}

EVP_PKEY *tls_pem_key(struct bytes pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, pem.n > INT_MAX ? INT_MAX : (int)pem.n);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	BIO_free(bio);
	return key;
}

static char *lower(const uint8_t *p, size_t n)
{
	char *s = malloc(n + 1);
	if (s == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		s[i] = (char)byte_lower(p[i]);
	s[n] = 0;
	return s;
}

static int add_name(char ***names, uint32_t *n, const uint8_t *p, int len)
{
	if (len <= 0 || len > 253 || memchr(p, 0, (size_t)len))
		return 0; /* a name that no client can ask for */
	char **more = realloc(*names, (*n + 1) * sizeof(**names));
	if (more == NULL)
		return -ENOMEM;
	*names = more;
	more[*n] = lower(p, (size_t)len);
	if (more[*n] == NULL)
		return -ENOMEM;
	(*n)++;
	return 0;
}

int tls_cert_names(X509 *leaf, char ***names, uint32_t *n)
{
	int err = 0;
	*names = NULL;
	*n = 0;
	GENERAL_NAMES *san = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (size_t i = 0; san && i < sk_GENERAL_NAME_num(san) && !err; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(san, i);
		if (g->type == GEN_DNS)
			err = add_name(names, n, ASN1_STRING_get0_data(g->d.dNSName),
				       ASN1_STRING_length(g->d.dNSName));
	}
	GENERAL_NAMES_free(san);
	if (*n > 0 || err)
		return err;
	X509_NAME *subject = X509_get_subject_name(leaf);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at >= 0) {
		const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		err = add_name(names, n, ASN1_STRING_get0_data(cn), ASN1_STRING_length(cn));
	}
	return err;
}

int tls_served_names(const struct config_certificate *cc, X509 *leaf, char ***names, uint32_t *n)
{
	if (cc->n_server_names == 0)
		return tls_cert_names(leaf, names, n);
	int err = 0;
	*names = NULL;
	*n = 0;
	for (uint32_t k = 0; k < cc->n_server_names && !err; k++) {
		struct bytes name = bytes_str(cc->server_names[k]);
		err = add_name(names, n, name.p, (int)name.n);
	}
	return err;
}

bool tls_key_kind_of(const EVP_PKEY *key, enum tls_key_kind *kind)
{
	const EC_KEY *ec;
	switch (EVP_PKEY_id(key)) {
	case EVP_PKEY_RSA: *kind = TLS_KEY_RSA; return true;
	case EVP_PKEY_ED25519: *kind = TLS_KEY_ED25519; return true;
	case EVP_PKEY_EC:
		ec = EVP_PKEY_get0_EC_KEY(key);
		switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec))) {
		case NID_X9_62_prime256v1: *kind = TLS_KEY_P256; return true;
		case NID_secp384r1: *kind = TLS_KEY_P384; return true;
		case NID_secp521r1: *kind = TLS_KEY_P521; return true;
		}
	}
	return false;
}

bool tls_name_match(const char *pattern, const char *name)
{
	if (pattern[0] == '*' && pattern[1] == '.') {
		const char *dot = strchr(name, '.');
		return dot != NULL && dot != name && strcmp(pattern + 1, dot) == 0;
	}
	return strcmp(pattern, name) == 0;
}
