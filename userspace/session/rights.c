/* SPDX-License-Identifier: BSD-2-Clause */
/* rights.c - the one check that every door passes, on the resolved channel.
 *
 * What a namespace allows will come from the configuration and from tokens. One rule is
 * there from the first day, because clients must never have learnt otherwise: the channels
 * of `user:` belong to their users, and only the server side publishes there. */
#include "session/session.h"

#include "base/name.h"
#include "conn/conn.h"
#include "fanout/publication.h"
#include "worker/worker.h"

static_assert(sizeof("user:") - 1 + IDENTITY_USER_MAX == CHANNEL_NAME_MAX, "all users have one");

bool session_channel_valid(struct bytes channel)
{
	return name_valid(channel, CHANNEL_NAME_MAX);
}

/* The part before the first ':', or nothing. */
static struct bytes namespace_of(struct bytes channel)
{
	const uint8_t *colon = memchr(channel.p, ':', channel.n);

	return colon ? BYTES(channel.p, (size_t)(colon - channel.p)) : BYTES(NULL, 0);
}

enum session_verdict session_may(const struct worker *w, const struct conn *c, enum session_right r,
				 uint16_t space, struct bytes channel)
{
	if (!session_channel_valid(channel))
		return SESSION_BAD_CHANNEL;
	if (!bytes_eq(namespace_of(channel), BYTES_LIT("user")))
		return SESSION_OK;
	struct identity who;
	struct bytes owner = BYTES(channel.p + 5, channel.n - 5);
	bool is_his = identity_get(w, c, &who) && bytes_eq(who.user, owner);
	return is_his && r != RIGHT_PUBLISH ? SESSION_OK : SESSION_FORBIDDEN;
}
