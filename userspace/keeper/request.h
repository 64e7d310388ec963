/* SPDX-License-Identifier: BSD-2-Clause */
/* request.h - what a process asks of the keeper, checked before anything is done.
 *
 * The keeper is the one process with privileges and its workers read what strangers send, so a
 * message from a worker is judged as if a stranger had written it. Pure: no state, no calls out. */
#ifndef SLUICE_KEEPER_REQUEST_H
#define SLUICE_KEEPER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "keeper/channel.h"

enum request_verdict {
	REQUEST_OK,
	REQUEST_REFUSED, /* answer -EINVAL with `why`: somebody's mistake, nobody's lie */
	REQUEST_LIE,     /* no honest build sends this: the sender is to be killed */
};

/* Copies the n bytes of a datagram to *msg and judges the copy. `why` is a constant string, set
 * unless the verdict is REQUEST_OK. */
enum request_verdict request_check(const void *datagram, size_t n, bool from_admin,
				   struct keeper_msg *msg, const char **why);

/* Kinds that come with a descriptor; all others come without. */
bool request_brings(uint16_t kind);

/* A token bucket per sender. Start with request_bucket_init(). */
struct request_bucket {
	uint32_t per_s, burst;
	uint64_t _spent_until_ns; /* the time at which the bucket is full again */
};

void request_bucket_init(struct request_bucket *b, uint32_t per_s, uint32_t burst);
/* Takes a token. False: none left. */
bool request_bucket_take(struct request_bucket *b, uint64_t now_ns);
/* Nanoseconds until there is one; 0: now. */
uint64_t request_bucket_wait_ns(const struct request_bucket *b, uint64_t now_ns);

#endif
