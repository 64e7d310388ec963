/* SPDX-License-Identifier: BSD-2-Clause */
/* tls.h - the seam between ciphertext and everything else.
 *
 *    conn/io ─► tls_open() ─► plaintext ─► http or ws
 *    batch   ─► tls_seal() ─► ciphertext ─► send(2)
 *
 * Nobody above sees an SSL object. A connection has one for its handshake, in a side table of
 * the worker named by the conn's index (CONN_F_SSL). The handshake is fed exactly one record at a
 * time, so that nothing is left inside the object when it ends; then one of TLS 1.3 is freed, and
 * the connection sleeps on the keys in its conn (c->suite; asleep.h). One of TLS 1.2 keeps it.
 *
 * Input and output never touch a descriptor: bytes come in as a span and what is to be sent is
 * appended to an output span of the worker, so that a blocked socket is conn/io.c's
 * business alone. */
#ifndef SLUICE_TLS_TLS_H
#define SLUICE_TLS_TLS_H

#include <sys/uio.h>

#include "base/bytes.h"
#include "conn/identity.h"
#include "config/config.h"
#include "tls/fingerprint.h"
#include "tls/ticket.h"

struct worker;
struct conn;
struct tls;

/* How long something is good, in seconds since 1970; until 0: without an end. */
struct tls_term {
	int64_t from, until;
	uint64_t said; /* what of it has been logged: term.c */
};

/* What a worker makes its contexts of, as the keeper read it: bytes, not files. By the index of
 * config.certificates. */
struct tls_material {
	uint32_t n;
	struct tls_pem {
		struct bytes cert, key; /* PEM */
		struct bytes ocsp;      /* DER; {NULL, 0}: none */
		bool in_use;            /* the very same certificate: tls_material_compare() */
		struct tls_term valid, fresh; /* certificate and response, once they are checked */
	} * pem;
	/* What clients' certificates are believed by, as PEM; by index of config.listeners. */
	uint32_t n_trust;
	struct tls_trust {
		struct bytes ca, crl;                /* {NULL, 0}: none */
		bool in_use;                         /* likewise, the very same authorities */
		struct tls_term ca_valid, crl_fresh; /* likewise, of what runs out first */
	} * trust;
	struct tls_tickets tickets; /* of tls.ticket_key_file; n 0: there is none */
};
#define TLS_MATERIAL_MAX (64u << 20) /* packed */

/* Reads every certificate's files (makes the development certificate where asked). All
 * mistakes are logged with their file; NULL if there was one. Called by the keeper. */
struct tls_material *tls_material_load(const struct config *cfg);
/* Of tls.ticket_key_file, n 0 if there is none. False: logged. */
bool tls_tickets_load(const struct config *cfg, struct tls_tickets *out);
/* Wipes the keys. */
void tls_material_free(struct tls_material *m);
/* Marks what is to the byte what is in use: that it has expired is a warning then, not an error. */
void tls_material_compare(struct tls_material *m, const struct tls_material *in_use);
/* Checks chains, keys, dates and OCSP responses; logs what is wrong. */
bool tls_material_check(const struct config *cfg, struct tls_material *m);
/* Logs which certificates no handshake is ever served; needs no keys. tls_material_check() has done it. */
void tls_material_check_names(const struct config *cfg, const struct tls_material *m);
/* Logs, once each, what of it runs out soon and what has run out. Returns when there is something to say
 * next, INT64_MAX if never; both in seconds since 1970. */
int64_t tls_material_look(const struct config *cfg, struct tls_material *m, int64_t now);
/* All of it into one open file, to be handed to a worker; 0 or -errno. */
int tls_material_pack(const struct tls_material *m, int fd);
/* From a sealed memfd (base/handover.h); NULL: it is none, or not what was packed for as many
 * certificates and listeners as cfg has. */
struct tls_material *tls_material_unpack(int fd, const struct config *cfg);
/* The files that it is read from, for whoever watches them: each path once, `arg` as given. */
void tls_material_files(const struct config *cfg, void (*file)(const char *path, void *arg),
			void *arg);

/* Writes a self-signed P-256 certificate and key for localhost and friends. 0 or -errno. */
int tls_dev_certificate(const char *cert_file, const char *key_file);

/* `tickets`: those that the keeper makes; NULL: no session is resumed, unless the material has keys.
 * `ktls`: the kernel seals what is sent, where it takes a connection. */
struct tls *tls_new(struct worker *w, const struct tls_material *m,
		    const struct tls_tickets *tickets, bool ktls);
/* Handshakes that begin from now on use these; those under way end with what they began with, and
 * connections notice nothing. False: logged, and all stays as it is. */
bool tls_renew(struct worker *w, const struct tls_material *m);
/* Those that the keeper makes, where no file has them. */
void tls_set_tickets(struct worker *w, const struct tls_tickets *t);
void tls_free(struct tls *t);

/* Makes the connection's SSL. False: no memory. */
bool tls_begin(struct worker *w, struct conn *c);
/* Frees what TLS holds of the conn; keys in the conn are wiped with the slot. */
void tls_end(struct worker *w, struct conn *c);

enum tls_outcome {
	TLS_MORE,         /* *in holds no whole record: keep it, come back with more behind it */
	TLS_RECORD,       /* one record is used up and gave plaintext, maybe none */
	TLS_HANDSHAKEN,   /* likewise, and the handshake is complete with it */
	TLS_CLOSED,       /* close_notify */
	TLS_REFUSED,      /* the peer's fatal alert */
	TLS_DENIED_HELLO, /* its fingerprint is denied: end it without a word */
	TLS_BAD           /* an alert is in the output; end the connection */
};
/* Opens the first record of `*in`, which is advanced. *plain is what it brought, good until the next
 * call: in the record's own memory, which is written to, or in the worker's scratch_plain.
 * What must be answered (handshake, alerts) is appended to tls_output(). */
enum tls_outcome tls_open(struct worker *w, struct conn *c, struct bytes *in, struct bytes *plain);
#define TLS_PLAIN_MAX  16384
#define TLS_RECORD_MAX (5 + TLS_PLAIN_MAX + 2048) /* with TLS 1.2's generous overhead */

/* Does the kernel seal (tls.ktls)? Then the parts go to the socket, or into the tail, as they
 * are. Asked once for each time that content is sent; *ok false: the connection is broken. */
bool tls_plain(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n, bool *ok);
/* Seals the parts into tls_output(). False: the connection is broken. */
bool tls_seal(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n);
/* close_notify, written at once if the socket takes it: best effort. */
void tls_goodbye(struct worker *w, struct conn *c);
/* Ciphertext that waits to be written for the conn in hand. The caller writes it and
 * empties it (tls_output_clear) before it turns to another conn. */
struct bytes tls_output(struct worker *w);
void tls_output_clear(struct worker *w);

/* Whose certificate the client of the handshake that has just ended (TLS_HANDSHAKEN, and until the
 * next call of tls_open) has shown, and proved to be his. */
struct tls_client {
	uint8_t sha256[32];
	uint8_t user[IDENTITY_USER_MAX];
	size_t n; /* of user; 0: he has shown none */
	uint32_t n_roles;
	uint8_t role[IDENTITY_ROLES][IDENTITY_ROLE_MAX];
	uint8_t role_n[IDENTITY_ROLES]; /* bytes of each */
};
const struct tls_client *tls_client(const struct worker *w);

/* For the CLI: what a certificate in use is, by index of config.certificates. */
struct tls_cert_info {
	char subject[128],
		issuer[128];         /* common name, or organisation; UTF-8, "" if there is none */
	char serial[64], sha256[65]; /* hexadecimal */
	char key[24];                /* "RSA 2048", "ECDSA P-256" */
	const char *const *names;
	uint32_t n_names;
	int64_t not_before, not_after; /* seconds since 1970 */
	int64_t ocsp_this, ocsp_next;  /* likewise; 0: none is stapled, or no next one is named */
	bool self_signed;
	uint64_t picked; /* handshakes that it was picked for */
};
const struct tls_cert_info *tls_cert_info(const struct worker *w, uint32_t i);

/* For the CLI: "TLSv1.3", "TLS_AES_128_GCM_SHA256"; "" for plain ones. */
const char *tls_version(const struct worker *w, const struct conn *c);
const char *tls_cipher(const struct worker *w, const struct conn *c);
/* For debugging: secrets are written there as SSLKEYLOGFILE has them; -1: nowhere. */
void tls_log_keys(struct worker *w, int fd);
/* What the operator denies: all at the start, then one by one; until_ns 0: no more. */
void tls_deny_all(struct worker *w, const struct tls_denied *d);
void tls_deny(struct worker *w, const struct tls_ja4 *j, uint64_t until_ns);
/* For the CLI. */
const struct tls_counted *tls_fingerprints(const struct worker *w);
const struct tls_denied *tls_denials(const struct worker *w);
/* The JA4 of its ClientHello (ja4.h) in buf; "" before that has come. */
const char *tls_fingerprint(const struct worker *w, const struct conn *c, char *buf);

#endif
