/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - shared by the files of tls/ only. */
#ifndef SLUICE_TLS_INTERNAL_H
#define SLUICE_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "tls/tls.h"

/* One certificate, ready: a context, and the names it is picked by. */
struct tls_cert {
	SSL_CTX *ctx;
	char **names; /* lower case; "*.example.com" stands for one label */
	uint32_t n_names;
};

struct tls {
	struct tls_cert *certs; /* by index of config.certificates */
	uint32_t n_certs;
	SSL **ssl; /* side table by conn index; mmap, untouched pages are free */
	uint32_t max;
	BIO *bio;        /* the one BIO of all SSL objects: it reads `in`, writes `out` */
	struct bytes in; /* the record in hand */
	uint8_t *out;    /* ciphertext that waits for conn/io.c */
	size_t out_n, out_cap;
	uint8_t *gather; /* TLS_PLAIN_MAX: several parts become one record */
};

/* Names of the leaf: DNS entries of its SAN, else its common name. 0 or -errno. */
int tls_cert_names(X509 *leaf, char ***names, uint32_t *n);
bool tls_name_match(const char *pattern, const char *name);
/* The chain in a PEM text; NULL if there is none. The first is the leaf. */
STACK_OF(X509) * tls_pem_chain(struct bytes pem);
EVP_PKEY *tls_pem_key(struct bytes pem);

/* The last error of the library as words; good until the next call. */
const char *tls_error_text(void);

BIO *tls_bio_new(struct tls *t);

#endif
