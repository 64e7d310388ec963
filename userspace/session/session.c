/* SPDX-License-Identifier: BSD-2-Clause */
/* session.c - who it is.
 *
 * The client id of a conn is random and given at the upgrade. Whoever is not logged
 * in goes by it, so that others can tell two anonymous people apart. */
#include "session/session.h"

#include "base/random.h"
#include "conn/conn.h"
#include "worker/worker.h"

static_assert(sizeof(((struct session_name *)0)->_text) > RANDOM_UUID_LEN, "room for a UUID");

void session_open(const struct worker *w, struct conn *c)
{
	/* HTTP has used these bytes for its own counters */
	c->offences = 0;
	c->offence_minute = 0;
	c->rate_refused = 0;
}

void session_name(const struct worker *w, const struct conn *c, struct session_name *out)
{
	struct identity who;
	out->is_user = identity_get(w, c, &who);
	if (out->is_user) {
		memcpy(out->_text, who.user.p, who.user.n);
		out->id = BYTES(out->_text, who.user.n);
		return;
	}
	random_uuid_print(c->client_id, out->_text);
	out->id = BYTES(out->_text, RANDOM_UUID_LEN);
}
