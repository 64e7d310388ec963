/* SPDX-License-Identifier: BSD-2-Clause */
/* session.h - who a connection is and what it may do.
 *
 * There is one check on the resolved channel for every door (PROTOCOL.md, Rights):
 * session_may(). Subscribe, join_room, relays, publish, binary frames and, later, SSE,
 * polling and POST all pass here, with the space of their endpoint, so that an open
 * endpoint never reaches the channels of a protected one. Until the auth issue everybody is
 * anonymous: identity 0, named by its client id. */
#ifndef SLUICE_SESSION_SESSION_H
#define SLUICE_SESSION_SESSION_H

#include "base/bytes.h"

struct worker;
struct conn;

enum session_right { RIGHT_SUBSCRIBE, RIGHT_PUBLISH, RIGHT_PRESENCE, RIGHT_HISTORY };

enum session_verdict {
	SESSION_OK,
	SESSION_BAD_CHANNEL,       /* name: 1 to 100 bytes UTF-8, no control characters */
	SESSION_FORBIDDEN,         /* "Insufficient permissions" */
	SESSION_NOT_AUTHENTICATED  /* a login would be needed: "Not authenticated" */
};

enum session_verdict session_may(const struct worker *w, const struct conn *c, enum session_right r,
				 uint16_t space, struct bytes channel);

/* Who speaks: the user id, or the client id's text. Good until the next call. */
struct session_name {
	struct bytes id;
	bool is_user;
	char _text[37];
};
void session_name(const struct worker *w, const struct conn *c, struct session_name *out);

/* One message arrived: takes a token of the endpoint's bucket. 0: go on; else the
 * milliseconds after which a retry makes sense. */
uint32_t session_rate_take(const struct worker *w, struct conn *c);
/* One offence against the message format; true: too many within a minute. */
bool session_offence(const struct worker *w, struct conn *c);

#endif
