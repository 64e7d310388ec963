/* SPDX-License-Identifier: BSD-2-Clause */
/* identity.h - whose connection it is, once something has proved that.
 *
 * Behind c->identity, a buffer of a pool of its own (what is known of people must not take the room of what is
 * unfinished): who is anonymous costs nothing, who is known 256 bytes, or 512 with many or long roles. What a user may do is session.h's business. */
#ifndef SLUICE_CONN_IDENTITY_H
#define SLUICE_CONN_IDENTITY_H

#include "base/bytes.h"

struct worker;
struct conn;

/* Bytes of a user id, which is valid by base/name.h. Behind "user:" it is the name of a channel, whose bound
 * is 100; publications and messages between workers have room for as many. */
#define IDENTITY_USER_MAX 95

/* Roles, valid by base/name.h likewise: what groups of users have in common. */
#define IDENTITY_ROLES    4
#define IDENTITY_ROLE_MAX 64

struct identity {
	struct bytes user;          /* good until the next change of any identity of this worker */
	const uint8_t *certificate; /* SHA-256 of what proved it, 32 bytes */
	uint32_t n_roles;
	struct bytes role[IDENTITY_ROLES]; /* likewise */
};

/* Of somebody anonymous; copies what `who` names. False: no memory, and it is as anonymous as before. */
bool identity_set(struct worker *w, struct conn *c, const struct identity *who);
/* False: anonymous. */
bool identity_get(const struct worker *w, const struct conn *c, struct identity *out);
void identity_forget(struct worker *w, struct conn *c);

#endif
