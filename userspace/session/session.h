/* SPDX-License-Identifier: BSD-2-Clause */
/* session.h - who a connection is and what it may do.
 *
 * There is one check on the resolved channel for every door (tools/doc/protocol.md):
 * session_may(). Subscribe, join_room, relays, publish, binary frames and, later, SSE,
 * polling and POST all pass here, with the space of their endpoint, so that an open
 * endpoint never reaches the channels of a protected one. Who has shown no certificate is
 * anonymous, named by its client id. */
#ifndef SLUICE_SESSION_SESSION_H
#define SLUICE_SESSION_SESSION_H

#include "base/bytes.h"
#include "conn/identity.h"

struct worker;
struct conn;

/* The conn has become OPEN and c->endpoint stands: its counters begin. */
void session_open(const struct worker *w, struct conn *c);

/* Is this a channel name at all: 1 to CHANNEL_NAME_MAX bytes of UTF-8 without control
 * characters (C0, DEL, C1)? */
bool session_channel_valid(struct bytes channel);

enum session_right { RIGHT_SUBSCRIBE, RIGHT_PUBLISH, RIGHT_PRESENCE, RIGHT_HISTORY };

enum session_verdict {
	SESSION_OK,
	SESSION_BAD_CHANNEL,      /* !session_channel_valid() */
	SESSION_FORBIDDEN,        /* "Insufficient permissions" */
	SESSION_NOT_AUTHENTICATED /* a login would be needed: "Not authenticated" */
};

enum session_verdict session_may(const struct worker *w, const struct conn *c, enum session_right r,
				 uint16_t space, struct bytes channel);

/* Who speaks: the user id, or the client id's text. `id` lies in `out`: it is good as
 * long as that stands where it is. */
struct session_name {
	struct bytes id;
	bool is_user;
	char _text[IDENTITY_USER_MAX];
};
void session_name(const struct worker *w, const struct conn *c, struct session_name *out);

/* One message has arrived: takes a token of the endpoint's bucket. Refused messages cost
 * nothing, but are counted: 5 times the burst of them, without a pause in which the
 * bucket became half full, is what we call a persistent offender. */
enum session_rate {
	SESSION_RATE_OK,
	SESSION_RATE_WAIT, /* refuse it: *retry_ms from now there will be a token */
	SESSION_RATE_END   /* likewise, and it has been told often enough */
};
#define SESSION_RATE_PATIENCE 5 /* bursts */
/* Would it be let through, if it were taken in this turn? */
bool session_rate_left(const struct worker *w, const struct conn *c);
enum session_rate session_rate_take(const struct worker *w, struct conn *c, uint32_t *retry_ms);

/* One offence against the message format; true: the endpoint's bound for one minute is
 * reached. Minutes are those of the monotonic clock, not counted from the first offence. */
bool session_offence(const struct worker *w, struct conn *c);

#endif
