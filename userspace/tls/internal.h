/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - shared by the files of tls/ only. */
#ifndef SLUICE_TLS_INTERNAL_H
#define SLUICE_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "tls/asleep.h"
#include "tls/tls.h"

/* One certificate, ready: a context, and the names it is picked by. */
struct tls_cert {
	SSL_CTX *ctx;
	char **names; /* lower case; "*.example.com" stands for one label */
	uint32_t n_names;
};

struct worker_stats;

struct tls {
	struct tls_cert *certs; /* by index of config.certificates */
	uint32_t n_certs;
	/* Side tables by conn index; mmap, untouched pages are free. */
	SSL **ssl;
	struct tls_cold *cold;
	uint32_t max;
	BIO *bio;              /* the one BIO of all SSL objects: it reads `in`, writes `out` */
	struct bytes in;       /* the record in hand */
	struct tls_out out;    /* ciphertext that waits for conn/io.c */
	uint8_t *gather;       /* TLS_PLAIN_MAX: several parts become one record */
	struct tls_cold *hand; /* of the conn whose handshake is being driven */
	struct worker_stats *stats;
};

/* What else is remembered of a TLS connection; two lines. */
struct tls_cold {
	struct tls_secrets secrets;
};

/* ── library.c: while there is an SSL object ── */

enum tls_outcome tls_library_open(struct worker *w, struct conn *c, struct bytes *in,
				  struct bytes *plain);
bool tls_library_seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n);
void tls_library_goodbye(struct worker *w, struct conn *c);
SSL *tls_ssl_of(const struct worker *w, const struct conn *c);
void tls_count_alerts(const SSL *ssl, int what, int value);

/* ── hibernate.c ── */

/* For SSL_CTX_set_keylog_callback(): catches the traffic secrets of the handshake in hand. */
void tls_catch_secrets(const SSL *ssl, const char *line);
/* The handshake is over and all that it has to say is in t->out: off with the SSL object, if it is one
 * of TLS 1.3. False: it cannot be, and the connection with it. */
bool tls_hibernate(struct worker *w, struct conn *c);

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
