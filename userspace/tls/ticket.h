/* SPDX-License-Identifier: BSD-2-Clause */
/* ticket.h - the keys of session tickets: who comes back need not shake hands in full.
 *
 *    keeper: makes a key, and another every half session_lifetime ─► all workers, and each that begins
 *            or reads them from a file, which several edges share
 *
 * The first key seals; the others open what was sealed by it before. All workers have the same, so a client
 * may come back to any of them. A stolen key opens the handshakes of its time that were resumed
 * without new key shares; we never allow those (TLS 1.3: psk_dhe_ke only), so that in TLS 1.3
 * nobody reads old traffic with it.
 *
 * RFC 5077 4: AES-256-CBC, then HMAC-SHA256. */
#ifndef SLUICE_TLS_TICKET_H
#define SLUICE_TLS_TICKET_H

#include "base/bytes.h"

#define TLS_TICKET_KEYS 3

/* 80 bytes, in the order in which other servers' files have them. */
struct tls_ticket_key {
	uint8_t name[16], hmac[32], aes[32];
};

struct tls_tickets {
	uint32_t n; /* 0: sessions are not resumed */
	struct tls_ticket_key key[TLS_TICKET_KEYS];
};

/* A new first key; the oldest goes. */
void tls_tickets_rotate(struct tls_tickets *t);
/* A file's content: up to TLS_TICKET_KEYS keys of 80 bytes, raw and nothing else, or a line of
 * base64 each (# begins a comment). NULL, or what is wrong. */
const char *tls_tickets_parse(struct bytes text, struct tls_tickets *out);

#endif
