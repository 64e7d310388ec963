/* SPDX-License-Identifier: BSD-2-Clause */
/* asleep.h - a TLS 1.3 connection after its handshake, without the library's object for it.
 *
 *   records ─► open ─► content                          RFC 8446
 *                └─► alerts, KeyUpdate, what is refused    4.6.3, 5, 6
 *   parts ─► seal ─► records, a KeyUpdate before them where one is due
 *
 * What a connection remembers of it lies where its owner wants it; a struct tls_asleep is a view of
 * it for the time of a call. Nothing here knows which side we are: the servers' hubs and the
 * clients of sluice-bench use the same. */
#ifndef SLUICE_TLS_ASLEEP_H
#define SLUICE_TLS_ASLEEP_H

#include <sys/uio.h>

#include "tls/record.h"

/* Read when a key is exchanged, and written by whoever says much and means little. */
struct tls_secrets {
	uint8_t rx[TLS_SECRET_MAX], tx[TLS_SECRET_MAX];
	uint8_t idle;      /* records in a row that brought no content */
	uint8_t message_n; /* a handshake message in pieces: all we take is a KeyUpdate */
	uint8_t message[5];
};

/* As many in a row: updates, empty records and the like. Whoever says more says nothing. */
#define TLS_IDLE_MAX    32
/* RFC 8446 5.5 allows 2^24.5 full records under a key of AES-GCM. */
#define TLS_KEY_RECORDS (1u << 23)

/* Where records are appended to. The caller frees p. */
struct tls_out {
	uint8_t *p;
	size_t n, cap;
};
/* Room for n more bytes behind out->n. False: no memory. */
bool tls_out_room(struct tls_out *out, size_t n);

struct tls_asleep {
	enum tls_suite suite;
	struct tls_key *rx, *tx;
	struct tls_secrets *secrets;
	bool owes;            /* a KeyUpdate, before our next content (4.6.3) */
	bool restless;        /* secrets->idle or message_n is not 0; else nobody need look */
	uint64_t key_records; /* our key is exchanged after so many records */
	unsigned updates;     /* keys that were exchanged, counted on */
	struct tls_out *out;
};

/* Derives the keys of both secrets. */
void tls_asleep_begin(struct tls_asleep *a);

enum tls_heard {
	TLS_HEARD_MORE,    /* no whole record */
	TLS_HEARD_CONTENT, /* one is used up, *content is what it brought, maybe nothing */
	TLS_HEARD_CLOSE,   /* close_notify: no more will come */
	TLS_HEARD_ALERT,   /* the peer gives up, for *why */
	TLS_HEARD_BAD      /* we do, for *why; an alert is in a->out */
};
/* Opens the first record of *in, which is advanced, where it lies. a->owes and
 * a->restless may have changed. */
enum tls_heard tls_asleep_open(struct tls_asleep *a, struct bytes *in, struct bytes *content,
			       enum tls_alert *why);

/* Appends the parts to a->out, in one record if they fit; longer ones begin with small records, so
 * that the peer can begin to open them. False: no memory, or the counter is used up. */
bool tls_asleep_seal(struct tls_asleep *a, const struct iovec *parts, unsigned n);
/* Appends an alert: a fatal one, or the close_notify behind which nothing may come. */
void tls_asleep_alert(struct tls_asleep *a, enum tls_alert what);
/* Appends a KeyUpdate and exchanges our key. False: as above. */
bool tls_asleep_update(struct tls_asleep *a, bool ask_for_theirs);

#endif
