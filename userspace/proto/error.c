/* SPDX-License-Identifier: BSD-2-Clause */
/* error.c - writes the one shape that all error answers have. */
#include "proto/error.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "worker/worker.h"
#include "ws/serve.h"

/* Fixed text, a field twice (as part of the message, and by itself), a channel, an id. */
#define ERROR_MAX                                                                                  \
	(512 + 2 * JSON_STR_MAX(PROTO_FIELD_MAX) + JSON_STR_MAX(CHANNEL_NAME_MAX) + HUB_ASK_MAX)

static const struct proto_error_info table[PROTO_ERRORS] = {
#define ERROR(name, code, message) [PROTO_##name] = {code, message},
#include "proto/error.def"
#undef ERROR
};

const struct proto_error_info *proto_error_info(enum proto_error e)
{
	assert(e < PROTO_ERRORS);
	return &table[e];
}

/* "Missing field: data" */
static void put_message(struct json_out *o, const char *message, struct bytes field)
{
	char text[64 + PROTO_FIELD_MAX];
	int n = snprintf(text, sizeof(text), "%s%s%.*s", message, field.n ? ": " : "",
			 BYTES_FMT(field));

	assert(n > 0 && (size_t)n < sizeof(text));
	json_key_str(o, "message", BYTES(text, (size_t)n));
}

void proto_error(struct worker *w, struct conn *c, enum proto_error e,
		 const struct proto_about *about)
{
	static const struct proto_about nothing;
	const struct proto_about *a = about ? about : &nothing;
	const struct proto_error_info *info = proto_error_info(e);
	uint8_t buf[ERROR_MAX];
	struct json_out o = JSON_OUT(buf, sizeof(buf));

	assert(a->field.n <= PROTO_FIELD_MAX && a->ask.n <= HUB_ASK_MAX);
	json_put_lit(&o, "{\"type\":\"error\"");
	put_message(&o, info->message, a->field);
	json_key_str(&o, "code", bytes_str(info->code));
	if (a->field.n)
		json_key_str(&o, "field", a->field);
	if (a->channel.n)
		json_key_str(&o, "channel", a->channel);
	if (a->retry_ms)
		json_key_u64(&o, "retryAfter", a->retry_ms);
	if (a->ask.n)
		json_key_json(&o, "id", a->ask);
	if (e == PROTO_INVALID_FORMAT)
		json_key_u64(&o, "timestamp", w->wall_ms);
	json_put_close(&o, '}');
	assert(!o.overflow);
	ws_send_text(w, c, json_out_bytes(&o));
}

enum proto_error proto_error_of(enum hub_outcome outcome)
{
	switch (outcome) {
	case HUB_TOO_MANY: return PROTO_TOO_MANY_SUBSCRIPTIONS;
	case HUB_NOT_SUBSCRIBED: return PROTO_NOT_SUBSCRIBED;
	case HUB_OVERLOADED: return PROTO_OVERLOADED;
	case HUB_UNAVAILABLE: return PROTO_UNAVAILABLE;
	case HUB_OK: break;
	}
	assert(!"no error");
	abort();
}

enum proto_error proto_error_of_verdict(enum session_verdict v)
{
	switch (v) {
	case SESSION_BAD_CHANNEL: return PROTO_INVALID_CHANNEL;
	case SESSION_FORBIDDEN: return PROTO_FORBIDDEN;
	case SESSION_NOT_AUTHENTICATED: return PROTO_NOT_AUTHENTICATED;
	case SESSION_OK: break;
	}
	assert(!"allowed");
	abort();
}
