/* SPDX-License-Identifier: BSD-2-Clause */
/* ocsp.h - what an OCSP response says (RFC 6960 4.2.1), as far as whoever staples it must know.
 *
 * It is held against the certificate's serial number, the clock and the issuer's key, as clients
 * do, so that nobody serves for weeks what every client refuses. Pure. */
#ifndef SLUICE_TLS_OCSP_H
#define SLUICE_TLS_OCSP_H

#include <openssl/x509.h>

#include "base/bytes.h"

struct tls_ocsp {
	enum { TLS_OCSP_GOOD, TLS_OCSP_REVOKED, TLS_OCSP_UNKNOWN } status;
	int64_t this_update,
		next_update; /* seconds since 1970; the latter 0: newer is always to be had */
};

/* Of the certificate with that serial number (the INTEGER's content). NULL, or why not. */
const char *tls_ocsp_read(struct bytes der, struct bytes serial, struct tls_ocsp *out);
/* Has the certificate's issuer signed it, or one whom he has made his responder by a certificate that
 * is in it (RFC 6960 4.2.2.2)? NULL, or why not. */
const char *tls_ocsp_verify(struct bytes der, X509 *issuer);

#endif
