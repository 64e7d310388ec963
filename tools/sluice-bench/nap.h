/* SPDX-License-Identifier: BSD-2-Clause */
/* nap.h - a client of TLS 1.3 that has given up its SSL object: what sluiced does with its
 * connections (tls/asleep.h), seen from the other side, so that a million clients fit beside
 * the server that is measured.
 *
 *   handshake ─► nap_catch(): both traffic secrets
 *   101       ─► nap_begin(): the tickets have been read before it, and the object is freed
 *   then      ─► nap_open() in the process's one buffer, nap_write() */
#ifndef SLUICE_BENCH_NAP_H
#define SLUICE_BENCH_NAP_H

#include <openssl/ssl.h>

#include "tls/asleep.h"

struct nap {
	struct tls_key rx, tx;
	struct tls_secrets secrets; /* keys change: the server decides when */
	uint8_t suite;              /* enum tls_suite; TLS_NO_SUITE: it is awake */
	bool owes, restless;        /* struct tls_asleep has them */
};

/* For SSL_CTX_set_keylog_callback(). */
void nap_catch(struct nap *n, const char *line);
/* Frees the object. False: nothing has happened, for it is not one of TLS 1.3, or has a piece of a record
 * inside: try again when it has been read on. */
bool nap_begin(struct nap *n, SSL *ssl);
/* As tls_asleep_open(). */
enum tls_heard nap_open(struct nap *n, struct bytes *in, struct bytes *content,
			enum tls_alert *why);
/* Little enough for an empty socket to take it whole. False: it did not, or there is no memory. */
bool nap_write(struct nap *n, int fd, const void *p, size_t len);

#endif
