/* SPDX-License-Identifier: BSD-2-Clause */
/* admit.c - the rate, before anything else is looked at.
 *
 * A refused message is parsed only as far as its `id`, so that a client that asked
 * something hears that this request has failed. */
#include "proto/admit.h"

#include "conn/io.h"
#include "proto/error.h"
#include "session/session.h"

bool proto_ask(const struct json_value *id, struct bytes *ask)
{
	*ask = BYTES(NULL, 0);
	if (id->type <= JSON_IS_NULL)
		return true;
	if ((id->type != JSON_IS_STRING && id->type != JSON_IS_NUMBER) || id->raw.n > HUB_ASK_MAX)
		return false;
	*ask = id->raw;
	return true;
}

static struct bytes ask_of(struct bytes text)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH, .utf8_known = true};
	struct json_field id = JSON_FIELD("id");
	struct bytes ask = {0};

	if (text.n && json_object_scan(text, &limits, &id, 1) == JSON_OK)
		proto_ask(&id.value, &ask);
	return ask;
}

bool proto_admit(struct worker *w, struct conn *c, struct bytes text)
{
	struct proto_about about = {0};
	enum session_rate rate = session_rate_take(w, c, &about.retry_ms);

	if (rate == SESSION_RATE_OK)
		return true;
	about.ask = ask_of(text);
	proto_error(w, c, PROTO_RATE_LIMITED, &about);
	if (rate == SESSION_RATE_END)
		conn_close(w, c, CLOSE_POLICY_RATE);
	return false;
}
