/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - shared by the files of tls/ only. */
#ifndef SLUICE_TLS_INTERNAL_H
#define SLUICE_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "tls/asleep.h"
#include "tls/fingerprint.h"
#include "tls/ocsp.h"
#include "tls/tls.h"

/* What a client must be able to verify to be served a certificate. */
enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_P256, TLS_KEY_P384, TLS_KEY_P521, TLS_KEY_ED25519 };

/* One certificate, ready: a context, and the names it is picked by. */
struct tls_cert {
	SSL_CTX *ctx;
	enum tls_key_kind kind;
	struct tls_cert_info info;
	struct bytes ocsp; /* DER, its own; n 0: none. Stapled until info.ocsp_next: hello.c */
	char **names;      /* lower case; "*.example.com" stands for one label */
	uint32_t n_names;
};

/* All of them, made of one material. */
struct tls_certs {
	uint32_t n;
	struct tls_clients *clients; /* by index of config.listeners */
	struct tls_cert cert[];      /* by index of config.certificates */
};

struct worker_stats;

struct tls {
	const struct config *cfg;
	struct tls_certs *certs;
	struct tls_client client; /* of the handshake that has just ended */
	struct tls_tickets tickets;
	struct tls_counted counted;
	struct tls_denied denied;
	char refusal[256]; /* of the certificate of the client in hand: subject and why; "" */
	uint64_t refusals_second; /* that `refusals` is of */
	unsigned refusals;
	bool hand_denied; /* the handshake in hand is refused for its fingerprint */
	/* Side tables by conn index; mmap, untouched pages are free. */
	SSL **ssl;
	struct tls_cold *cold;
	uint32_t max;
	BIO *bio;              /* the one BIO of all SSL objects: it reads `in`, writes `out` */
	struct bytes in;       /* the record in hand */
	struct tls_out out;    /* ciphertext that waits for conn/io.c */
	uint8_t *gather;       /* TLS_PLAIN_MAX: several parts become one record */
	struct tls_cold *hand; /* of the conn whose handshake is being driven */
	bool offload;          /* tls.ktls, and the kernel has it */
	int keylog_fd;         /* -1: none */
	struct worker_stats *stats;
	const uint64_t *now_ns; /* the worker's clock */
};

/* What else is remembered of a TLS connection; two lines. */
struct tls_cold {
	struct tls_secrets secrets;
	struct tls_ja4 ja4;
};

/* ── library.c: while there is an SSL object ── */

enum tls_outcome tls_library_open(struct worker *w, struct conn *c, struct bytes *in,
				  struct bytes *plain);
bool tls_library_seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n);
void tls_library_goodbye(struct worker *w, struct conn *c);
SSL *tls_ssl_of(const struct worker *w, const struct conn *c);
void tls_count_alerts(const SSL *ssl, int what, int value);

/* ── hello.c ── */

/* For SSL_CTX_set_select_certificate_cb(): what the client asks for and offers decides. */
enum ssl_select_cert_result_t tls_hello(const SSL_CLIENT_HELLO *hello);

/* ── ticket.c ── */

int tls_ticket_crypt(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
		     int seal);

/* ── hibernate.c ── */

/* For SSL_CTX_set_keylog_callback(): catches the traffic secrets of the handshake in hand. */
void tls_catch_secrets(const SSL *ssl, const char *line);
/* The handshake is over and all that it has to say is in t->out: off with the SSL object, if it is one
 * of TLS 1.3. False: it cannot be, and the connection with it. */
bool tls_hibernate(struct worker *w, struct conn *c);

/* Names of the leaf: DNS entries of its SAN, else its common name. 0 or -errno. */
int tls_cert_names(X509 *leaf, char ***names, uint32_t *n);
/* Those that it is picked by: sluice.conf's, if it names any, else the leaf's own. Likewise. */
int tls_served_names(const struct config_certificate *cc, X509 *leaf, char ***names, uint32_t *n);
bool tls_name_match(const char *pattern, const char *name);
/* False: a kind of key that no client of TLS 1.2 or 1.3 takes from a server. */
bool tls_key_kind_of(const EVP_PKEY *key, enum tls_key_kind *kind);
/* Fills cert->info; `picked` and the names apart. */
void tls_cert_describe(struct tls_cert *cert, X509 *leaf, const EVP_PKEY *key, struct bytes ocsp);
/* The chain in a PEM text; NULL if there is none. The first is the leaf. */
STACK_OF(X509) * tls_pem_chain(struct bytes pem);
EVP_PKEY *tls_pem_key(struct bytes pem);
STACK_OF(X509_CRL) * tls_pem_crls(struct bytes pem);
/* Of what is being checked: that it is past has been said. */
struct tls_term tls_term_of(int64_t from, int64_t until, int64_t now);
int64_t tls_seconds_of(const ASN1_TIME *t);
/* Where certificate i lies: both PATH_MAX. False: the path is too long, logged. */
bool tls_material_names(const struct config *cfg, uint32_t i, char *cert_file, char *key_file);
/* The whole file; {NULL, 0} and a log line with `what` if it cannot be had. */
struct bytes tls_slurp(const char *file, const char *what);

/* The last error of the library as words; good until the next call. */
const char *tls_error_text(void);

BIO *tls_bio_new(struct tls *t);

#endif
