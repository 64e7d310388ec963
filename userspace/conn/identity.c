/* SPDX-License-Identifier: BSD-2-Clause */
/* identity.c - see identity.h. In the buffer: the digest, then the user id. */
#include "conn/identity.h"

#include <assert.h>

#include "base/name.h"
#include "conn/buffer.h"
#include "conn/conn.h"
#include "worker/worker.h"

#define DIGEST 32

bool identity_set(struct worker *w, struct conn *c, const uint8_t certificate[32],
		  struct bytes user)
{
	uint8_t both[DIGEST + IDENTITY_USER_MAX];
	assert(c->identity == 0 && name_valid(user, IDENTITY_USER_MAX));
	memcpy(both, certificate, DIGEST);
	memcpy(both + DIGEST, user.p, user.n);
	return buffer_append(w->identities, &c->identity, BYTES(both, DIGEST + user.n),
			     sizeof(both));
}

bool identity_get(const struct worker *w, const struct conn *c, struct identity *out)
{
	if (c->identity == 0)
		return false;
	struct bytes both = buffer_bytes(w->identities, c->identity);
	out->certificate = both.p;
	out->user = BYTES(both.p + DIGEST, both.n - DIGEST);
	return true;
}

void identity_forget(struct worker *w, struct conn *c)
{
	buffer_free(w->identities, &c->identity);
}
