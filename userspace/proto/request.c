/* SPDX-License-Identifier: BSD-2-Clause */
/* request.c - what all native words have in common: reading fields, asking for rights,
 * publishing, and saying no. */
#include "proto/request.h"

#include <stdio.h>

#include "conn/io.h"

static const char *const field_names[FIELDS] = {
#define FIELD(id, name) [FIELD_##id] = name,
#include "proto/field.def"
#undef FIELD
};

struct bytes request_field_name(enum request_field f)
{
	assert(f < FIELDS);
	return bytes_str(field_names[f]);
}

void request_error(const struct request *r, enum proto_error e)
{
	proto_error(r->w, r->c, e, &(struct proto_about){.ask = r->ask});
}

void request_error_field(const struct request *r, enum proto_error e, struct bytes field)
{
	proto_error(r->w, r->c, e, &(struct proto_about){.ask = r->ask, .field = field});
}

void request_offence(struct request *r)
{
	request_error(r, PROTO_INVALID_FORMAT);
	if (session_offence(r->w, r->c))
		conn_close(r->w, r->c, CLOSE_POLICY_OFFENCES);
}

bool request_bool(const struct request *r, enum request_field f, bool *out)
{
	enum json_type t = r->f[f].value.type;

	if (t > JSON_IS_TRUE) {
		request_error_field(r, PROTO_INVALID_FIELD, request_field_name(f));
		return false;
	}
	*out = t == JSON_IS_TRUE;
	return true;
}

bool request_name(const struct request *r, const struct json_field *f, struct request_name *out)
{
	size_t n;

	if (f->value.type <= JSON_IS_NULL) {
		request_error_field(r, PROTO_MISSING_FIELD, f->name);
		return false;
	}
	if (f->value.type != JSON_IS_STRING ||
	    !json_string_unescape(f->value.raw, out->_text, sizeof(out->_text), &n) ||
	    !session_channel_valid(BYTES(out->_text, n))) {
		request_error(r, PROTO_INVALID_CHANNEL);
		return false;
	}
	out->s = BYTES(out->_text, n);
	return true;
}

bool request_may(const struct request *r, enum session_right right, struct bytes channel)
{
	enum session_verdict v = session_may(r->w, r->c, right, r->ep->space_id, channel);

	if (v != SESSION_OK)
		request_error(r, proto_error_of_verdict(v));
	return v == SESSION_OK;
}

static bool read_to(const struct request *r, struct request_target *t)
{
	const struct json_field *f = &r->f[FIELD_TO];
	const char *wrong = "to";

	if (request_has(r, FIELD_CHANNEL) || f->value.type != JSON_IS_OBJECT ||
	    !expression_from_json(f->value.raw, &t->x, &wrong)) {
		request_error_field(r, PROTO_INVALID_FIELD, bytes_str(wrong));
		return false;
	}
	t->channel = expression_lead(&t->x)->name; /* clients name channels only */
	if (!expression_is_channel(&t->x))
		t->to = expression_pack(&t->x, t->_packed);
	return true;
}

bool request_target(const struct request *r, struct request_target *t)
{
	t->to = BYTES(NULL, 0);
	if (request_has(r, FIELD_TO))
		return read_to(r, t);
	if (!request_name(r, &r->f[FIELD_CHANNEL], &t->_name))
		return false;
	t->channel = t->_name.s;
	return true;
}

bool request_may_reach(const struct request *r, enum session_right right,
		       const struct request_target *t)
{
	if (t->to.n == 0)
		return request_may(r, right, t->channel);
	for (uint32_t i = 0; i < t->x.n; i++) {
		enum session_verdict v =
			session_may(r->w, r->c, right, r->ep->space_id, t->x.item[i].name);
		if (v == SESSION_OK)
			continue;
		proto_error(r->w, r->c, proto_error_of_verdict(v),
			    &(struct proto_about){.ask = r->ask, .channel = t->x.item[i].name});
		return false;
	}
	return true;
}

/* An epoch as we print it: 1 to 16 digits of lower case hex. */
static bool parse_epoch(struct bytes raw, uint64_t *epoch)
{
	uint8_t text[16];
	size_t n;

	if (!json_string_unescape(raw, text, sizeof(text), &n) || n == 0)
		return false;
	*epoch = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t d = text[i];
		if ((d < '0' || d > '9') && (d < 'a' || d > 'f'))
			return false;
		*epoch = *epoch << 4 | (d <= '9' ? d - '0' : d - 'a' + 10);
	}
	return true;
}

bool request_position(const struct request *r, enum request_field which,
		      struct hub_subscribe_args *a)
{
	const struct json_field *position = &r->f[which];
	struct json_field f[] = {JSON_FIELD("epoch"), JSON_FIELD("offset")};
	int64_t offset = 0;
	const char *wrong = NULL;
	char name[32];

	if (json_object_scan(position->value.raw, NULL, f, ARRAY_SIZE(f)) != JSON_OK)
		wrong = "";
	else if (f[0].value.type != JSON_IS_STRING || !parse_epoch(f[0].value.raw, &a->epoch))
		wrong = ".epoch";
	else if (f[1].value.type != JSON_IS_NUMBER ||
		 !json_int64(f[1].value.raw, 0, INT64_MAX, &offset))
		wrong = ".offset";
	if (wrong) {
		snprintf(name, sizeof(name), "%.*s%s", BYTES_FMT(position->name), wrong);
		request_error_field(r, PROTO_INVALID_FIELD, bytes_str(name));
		return false;
	}
	a->offset = (uint64_t)offset;
	a->flags |= HUB_SUB_RECOVER;
	return true;
}

void request_publication(const struct request *r, struct bytes channel, struct session_name *who,
			 struct publication *p)
{
	session_name(r->w, r->c, who);
	*p = (struct publication){
		.space = r->ep->space_id,
		.flags = (who->is_user ? PUB_F_FROM_USER : 0) | (r->ask.n ? PUB_F_ACK : 0),
		.channel = channel,
		.from = who->id,
		.ask = r->ask,
		.sender = {.worker = (uint16_t)r->w->id,
			   .index = conn_index(&r->w->slab, r->c),
			   .gen = r->c->gen},
	};
}

bool request_publish(const struct request *r, const struct publication *p)
{
	enum hub_outcome outcome = hub_publish(r->w, p);

	if (outcome != HUB_OK)
		request_error(r, proto_error_of(outcome));
	return outcome == HUB_OK;
}
