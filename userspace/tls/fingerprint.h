/* SPDX-License-Identifier: BSD-2-Clause */
/* fingerprint.h - which programs knock, and which are not let in.
 *
 * Two small tables of JA4 fingerprints (ja4.h). One counts, and keeps those that come most: when it is full the
 * one with the fewest makes room and hands its count on, so that a frequent one is never missing and no
 * count is too small (the Space-Saving algorithm of Metwally and others). The other is what the operator
 * denies; the keeper has it and tells each worker. Pure. */
#ifndef SLUICE_TLS_FINGERPRINT_H
#define SLUICE_TLS_FINGERPRINT_H

#include "tls/ja4.h"

#define TLS_COUNTED 256
#define TLS_DENIED  256

struct tls_counted {
	uint32_t n;
	struct tls_count {
		struct tls_ja4 ja4;
		uint64_t seen; /* at most this often ... */
		uint64_t over; /* ... and at least this less */
	} entry[TLS_COUNTED];
};

struct tls_denied {
	uint32_t n;
	struct tls_denial {
		struct tls_ja4 ja4;
		uint64_t until_ns; /* monotonic; UINT64_MAX: until it is taken away */
		uint64_t refused;  /* by this worker */
	} entry[TLS_DENIED];
};

void tls_counted_add(struct tls_counted *c, const struct tls_ja4 *j);

/* Adds, or sets another end. False: the table is full of living ones. */
bool tls_denied_add(struct tls_denied *d, const struct tls_ja4 *j, uint64_t until_ns,
		    uint64_t now_ns);
/* False: it is not there. */
bool tls_denied_del(struct tls_denied *d, const struct tls_ja4 *j);
/* The denial that is in force, or NULL. */
struct tls_denial *tls_denied_find(struct tls_denied *d, const struct tls_ja4 *j, uint64_t now_ns);

#endif
