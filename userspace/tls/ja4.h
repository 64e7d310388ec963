/* SPDX-License-Identifier: BSD-2-Clause */
/* ja4.h - the fingerprint of a ClientHello, by FoxIO's JA4 (its TLS client part is open, BSD-3).
 *
 *    t13d1516h2_8daaf6152771_e5627efa2ab1
 *    │├┘│├┘├┘├┘ └ sorted suites └ sorted extensions and signature algorithms, each the first 6 bytes of a SHA-256
 *    ││ ││ ││  └ first and last letter of the first ALPN
 *    ││ ││ │└ extensions, ││ suites: how many, without GREASE
 *    ││ │└ d: asks for a name, i: does not
 *    │└ the highest version that is offered
 *    └ TCP
 *
 * Pure. Who makes the same connection has the same fingerprint whatever his address: it tells one program
 * from another, not one person from another. */
#ifndef SLUICE_TLS_JA4_H
#define SLUICE_TLS_JA4_H

#include "base/bytes.h"

struct tls_ja4 {
	char head[10];
	uint8_t suites[6], rest[6];
};
#define TLS_JA4_TEXT 37 /* with the NUL */

/* Of the fields of a ClientHello as they stand in it; those of `suites` and `extensions` without their
 * own length in front. False: they are cut short, *out is not written. */
bool tls_ja4_of(uint16_t version, struct bytes suites, struct bytes extensions,
		struct tls_ja4 *out);
/* Returns buf. All zero (none was computed) is "". */
const char *tls_ja4_print(const struct tls_ja4 *j, char buf[TLS_JA4_TEXT]);
/* The whole text, as printed. */
bool tls_ja4_parse(struct bytes text, struct tls_ja4 *out);

#endif
