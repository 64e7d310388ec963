/* SPDX-License-Identifier: BSD-2-Clause */
/* record.h - one protected TLS 1.3 record, made or opened (RFC 8446 5).
 *
 *     23 03 03 length │ content, type, zeros… encrypted │ tag
 *     └─ authenticated ─┘
 *
 * Pure: a key and bytes. Each call sets the cipher up from the key, which costs less than keeping
 * a set-up cipher of half a kilobyte for everybody who sleeps (tests/bench/bench_seal.c). */
#ifndef SLUICE_TLS_RECORD_H
#define SLUICE_TLS_RECORD_H

#include "base/bytes.h"
#include "tls/key.h"

#define TLS_HEAD        5
#define TLS_CONTENT_MAX 16384                    /* 5.1 */
#define TLS_SEALED_MAX  (TLS_CONTENT_MAX + 256)  /* 5.2: of the length field */
#define TLS_SEAL_EXTRA  (TLS_HEAD + 1 + TLS_TAG) /* a record is longer than its content */

enum tls_type { TLS_CHANGE_CIPHER_SPEC = 20, TLS_ALERT, TLS_HANDSHAKE, TLS_DATA };

/* RFC 8446 6: those that are sent or have a meaning of their own */
enum tls_alert {
	TLS_ALERT_CLOSE_NOTIFY = 0,
	TLS_ALERT_UNEXPECTED_MESSAGE = 10,
	TLS_ALERT_BAD_RECORD_MAC = 20,
	TLS_ALERT_RECORD_OVERFLOW = 22,
	TLS_ALERT_ILLEGAL_PARAMETER = 47,
	TLS_ALERT_DECODE_ERROR = 50,
	TLS_ALERT_INTERNAL_ERROR = 80,
	TLS_ALERT_USER_CANCELED = 90,
	TLS_NO_ALERT = 255
};

/* Seals n bytes, at most TLS_CONTENT_MAX, into out[0 .. n + TLS_SEAL_EXTRA). They may lie anywhere
 * else, or at out + TLS_HEAD already. False: the counter of this key is used up. */
bool tls_record_seal(enum tls_suite s, struct tls_key *k, enum tls_type type,
		     const uint8_t *content, size_t n, uint8_t *out);

/* Opens one whole record where it lies: *content is its content, in the record's own bytes, without
 * padding. Returns TLS_NO_ALERT, or what the peer deserves. */
enum tls_alert tls_record_open(enum tls_suite s, struct tls_key *k, uint8_t *record, size_t n,
			       enum tls_type *type, struct bytes *content);

#endif
