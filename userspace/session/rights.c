/* SPDX-License-Identifier: BSD-2-Clause */
/* rights.c - the one check that every door passes, on the resolved channel.
 *
 * What a namespace allows will come from the configuration and from tokens. One rule is
 * there from the first day, because clients must never have learnt otherwise: the channels
 * of `user:` belong to their users, and only the server side publishes there. Nobody is logged
 * in yet, so nobody is that user. */
#include "session/session.h"

#include "conn/conn.h"
#include "fanout/publication.h"
#include "worker/worker.h"
#include "ws/utf8.h"

/* C0, DEL, and C1, which is 0xc2 0x80 ... 0xc2 0x9f in UTF-8. */
static bool has_control(struct bytes s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
		if (s.p[i] == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0)
			return true;
	}
	return false;
}

bool session_channel_valid(struct bytes channel)
{
	return channel.n >= 1 && channel.n <= CHANNEL_NAME_MAX && !has_control(channel) &&
	       utf8_valid(channel);
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
	if (bytes_eq(namespace_of(channel), BYTES_LIT("user")))
		return SESSION_FORBIDDEN;
	return SESSION_OK;
}
