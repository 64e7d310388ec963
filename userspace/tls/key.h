/* SPDX-License-Identifier: BSD-2-Clause */
/* key.h - what is left of TLS 1.3 when the handshake is over: for each direction a key, an IV, a
 * counter, and the secret that the next key comes from.
 *
 *     traffic secret ─┬─ "key" ─► key        RFC 8446 7.3
 *                     ├─ "iv"  ─► iv
 *                     └─ "traffic upd" ─► the next traffic secret        7.2
 *
 * Pure: no I/O, nothing of the library's in the header. The caller owns and wipes the memory. */
#ifndef SLUICE_TLS_KEY_H
#define SLUICE_TLS_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fits into two bits of a conn. */
enum tls_suite {
	TLS_NO_SUITE,
	TLS_SUITE_AES_128_GCM, /* 0x1301, SHA-256 */
	TLS_SUITE_AES_256_GCM, /* 0x1302, SHA-384 */
	TLS_SUITE_CHACHA20,    /* 0x1303, SHA-256 */
	TLS_SUITES
};

#define TLS_SECRET_MAX 48 /* of SHA-384 */
#define TLS_TAG        16 /* of all three */

/* One direction. Packed, for it lies on a conn's hot lines and leaves its neighbours the last
 * twelve bytes of them. */
struct tls_key {
	uint64_t seq;    /* number of the next record */
	uint8_t key[32]; /* AES-128 uses the first half */
	uint8_t iv[12];
} __attribute__((packed, aligned(4)));

/* By the number that the handshake agreed on; TLS_NO_SUITE: none of TLS 1.3's. */
enum tls_suite tls_suite_of(uint16_t number);
const char *tls_suite_name(enum tls_suite s); /* as RFC 8446 B.4 names it; "" for none */
size_t tls_suite_secret_bytes(enum tls_suite s);

/* Key and IV of a traffic secret; the count begins anew. */
void tls_key_derive(enum tls_suite s, const uint8_t *secret, struct tls_key *out);
/* KeyUpdate: replaces the secret by its successor, and the key with it. */
void tls_key_update(enum tls_suite s, uint8_t *secret, struct tls_key *k);

/* The secret of a line of SSLKEYLOGFILE, "LABEL 64-digits digits", which is how the library hands it
 * out. False: it is of another label. */
bool tls_secret_of_line(const char *line, const char *label, uint8_t secret[TLS_SECRET_MAX]);

#endif
