/* SPDX-License-Identifier: BSD-2-Clause */
/* identity.c - see identity.h. In the buffer: the digest, then the user id and the roles, each behind a byte that is
 * its length. */
#include "conn/identity.h"

#include <assert.h>

#include "base/name.h"
#include "conn/buffer.h"
#include "conn/conn.h"
#include "worker/worker.h"

#define DIGEST 32

#define ALL_MAX (DIGEST + 1 + IDENTITY_USER_MAX + IDENTITY_ROLES * (1 + IDENTITY_ROLE_MAX))

static uint8_t *put(uint8_t *at, struct bytes name)
{
	*at++ = (uint8_t)name.n;
	memcpy(at, name.p, name.n);
	return at + name.n;
}

bool identity_set(struct worker *w, struct conn *c, const struct identity *who)
{
	uint8_t all[ALL_MAX], *at = all + DIGEST;
	assert(c->identity == 0 && name_valid(who->user, IDENTITY_USER_MAX));
	assert(who->n_roles <= IDENTITY_ROLES);
	memcpy(all, who->certificate, DIGEST);
	at = put(at, who->user);
	for (uint32_t i = 0; i < who->n_roles; i++) {
		assert(name_valid(who->role[i], IDENTITY_ROLE_MAX));
		at = put(at, who->role[i]);
	}
	return buffer_append(w->identities, &c->identity, BYTES(all, (size_t)(at - all)), ALL_MAX);
}

static struct bytes take(struct bytes *rest)
{
	struct bytes name = BYTES(rest->p + 1, rest->p[0]);
	*rest = BYTES(name.p + name.n, rest->n - 1 - name.n);
	return name;
}

bool identity_get(const struct worker *w, const struct conn *c, struct identity *out)
{
	if (c->identity == 0)
		return false;
	struct bytes all = buffer_bytes(w->identities, c->identity);
	struct bytes rest = BYTES(all.p + DIGEST, all.n - DIGEST);
	out->certificate = all.p;
	out->user = take(&rest);
	for (out->n_roles = 0; rest.n > 0; out->n_roles++)
		out->role[out->n_roles] = take(&rest);
	return true;
}

void identity_forget(struct worker *w, struct conn *c)
{
	buffer_free(w->identities, &c->identity);
}
