/* SPDX-License-Identifier: BSD-2-Clause */
/* clients.h - certificates that clients show: who must, whom we believe, and whose name it is.
 *
 * A listener has its own authorities, so the question is put to the handshake (hello.c), not to the
 * context of a certificate, which several listeners may share. A session is resumed only while the
 * authorities and the revocation list are the same to the byte (they are digested into its context); and
 * since certificates and lists run out by themselves, the chain that its ticket holds is judged anew. */
#ifndef SLUICE_TLS_CLIENTS_H
#define SLUICE_TLS_CLIENTS_H

#include <openssl/ssl.h>

#include "tls/tls.h"

struct config;

/* Of one listener, ready. */
struct tls_clients {
	X509_STORE *store; /* NULL: nobody is asked */
	STACK_OF(CRYPTO_BUFFER) * names;
	uint8_t context[32]; /* of sessions */
};

/* ── files to bytes; see tls_material_load() and its like ── */

bool tls_trust_load(const struct config *cfg, struct tls_material *m);
bool tls_trust_check(const struct config *cfg, struct tls_material *m);

/* ── in a worker ── */

/* By index of config.listeners; NULL: logged. Freed by tls_clients_free(). */
struct tls_clients *tls_clients_new(const struct config *cfg, const struct tls_material *m);
void tls_clients_free(struct tls_clients *all, uint32_t n);
/* The handshake asks for a certificate as its listener wants. False: no memory. */
bool tls_clients_ask(const struct tls_clients *k, const struct config_listener *l, SSL *ssl);
/* For SSL_CTX_set_cert_verify_callback(). */
int tls_clients_verify(X509_STORE_CTX *ctx, void *arg);
/* Logs why the handshake in hand was refused, if it was for the certificate. */
void tls_clients_tell(struct worker *w, const struct conn *c);
/* The handshake is over: who it was (who->n 0: nobody has said). False: a session's certificate is not
 * good any more, an alert is on its way. */
bool tls_clients_who(const struct tls_clients *k, SSL *ssl, struct tls_client *who);
/* Whose certificate it is: fills `who`, with the organisations of its subject as his roles (at most
 * IDENTITY_ROLES, each once; what could be no role is none). False: it has no name of that kind that could be a user id. */
bool tls_clients_name(X509 *leaf, enum config_client_identity how, struct tls_client *who);

#endif
