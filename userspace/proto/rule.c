/* SPDX-License-Identifier: BSD-2-Clause */
/* rule.c - chat words: relay rules turn a client's message type into a publication.
 *
 *   relay "chat" { channel = "lobby"; fields = "text"; echo = on }
 *
 *   {"text":"hi","type":"chat","mood":1} ─► PUB_RELAY chat, data {"text":"hi"}
 *
 * Nothing but the named fields travels, in the configured order, each value as the client
 * wrote it. The message is scanned a second time here, for the rule's own fields: rules are
 * few, fields are any, and other words should not pay for them. What becomes of those who
 * fall silent is proto/stop.c's business. */
#include <stdlib.h>

#include "proto/request.h"
#include "proto/stop.h"

#define DATA_STACK 2048 /* a chat line; longer ones are put together on the heap */

static const struct config_relay *rule_of(const struct config *cfg, struct bytes type)
{
	for (uint32_t i = 0; i < cfg->n_relays; i++)
		if (bytes_eq(bytes_str(cfg->relays[i].name), type))
			return &cfg->relays[i];
	return NULL;
}

/* The rule's fields in f[0..n_fields), and behind them the one that names the channel, unless
 * it is one of them; *channel is where it is. */
struct rule_fields {
	struct json_field f[CONFIG_MAX_RELAY_FIELDS + 1];
	uint32_t n, channel;
};

static bool scan_fields(const struct request *r, const struct config_relay *rule,
			struct rule_fields *out)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH, .utf8_known = true};
	struct bytes channel = bytes_str(rule->channel);

	assert(rule->n_fields <= CONFIG_MAX_RELAY_FIELDS);
	*out = (struct rule_fields){.n = rule->n_fields, .channel = rule->n_fields};
	for (uint32_t i = 0; i < rule->n_fields; i++) {
		out->f[i].name = bytes_str(rule->fields[i].name);
		if (bytes_eq(out->f[i].name, channel))
			out->channel = i;
	}
	if (rule->channel_from == CONFIG_RELAY_FIELD && out->channel == out->n)
		out->f[out->n++].name = channel;
	return json_object_scan(r->text, &limits, out->f, out->n) == JSON_OK;
}

static bool resolve(const struct request *r, const struct config_relay *rule,
		    const struct rule_fields *fields, struct request_name *out)
{
	switch (rule->channel_from) {
	case CONFIG_RELAY_FIELD: return request_name(r, &fields->f[fields->channel], out);
	case CONFIG_RELAY_NAMED: out->s = bytes_str(rule->channel); return true;
	case CONFIG_RELAY_LOBBY: out->s = bytes_str(r->ep->lobby); return true;
	}
	return false;
}

static bool fields_good(const struct request *r, const struct config_relay *rule,
			const struct rule_fields *fields)
{
	for (uint32_t i = 0; i < rule->n_fields; i++) {
		const struct json_field *f = &fields->f[i];

		if (f->value.type == JSON_IS_ABSENT && rule->fields[i].required) {
			request_error_field(r, PROTO_MISSING_FIELD, f->name);
			return false;
		}
		if (f->value.type != JSON_IS_ABSENT && f->value.raw.n > rule->fields[i].max_bytes) {
			request_error_field(r, PROTO_TOO_LONG, f->name);
			return false;
		}
	}
	return true;
}

static size_t data_bound(const struct config_relay *rule, const struct rule_fields *fields)
{
	size_t n = 2;

	for (uint32_t i = 0; i < rule->n_fields; i++)
		if (fields->f[i].value.type != JSON_IS_ABSENT)
			n += JSON_STR_MAX(fields->f[i].name.n) + 2 + fields->f[i].value.raw.n;
	return n;
}

static void put_data(const struct config_relay *rule, const struct rule_fields *fields,
		     struct json_out *o)
{
	json_put_open(o, '{');
	for (uint32_t i = 0; i < rule->n_fields; i++) {
		const struct json_field *f = &fields->f[i];

		if (f->value.type == JSON_IS_ABSENT)
			continue;
		json_put_str(o, f->name);
		json_put_lit(o, ":");
		json_put_json(o, f->value.raw);
	}
	json_put_close(o, '}');
	assert(!o->overflow);
}

static void publish(const struct request *r, const struct config_relay *rule, struct bytes channel,
		    struct bytes data)
{
	struct session_name who;
	struct publication p;

	request_publication(r, channel, &who, &p);
	p.kind = PUB_RELAY;
	p.flags |= (rule->echo ? 0 : PUB_F_NO_ECHO) | (rule->ephemeral ? PUB_F_EPHEMERAL : 0);
	p.relay = bytes_str(rule->name);
	p.data = data;
	if (request_publish(r, &p) && r->c->state == CONN_OPEN)
		proto_stop_said(r->w, r->c, rule, channel);
}

bool proto_relay_rule(struct request *r, struct bytes type)
{
	const struct config_relay *rule = rule_of(r->w->cfg, type);
	struct rule_fields fields;
	struct request_name channel;
	uint8_t stack[DATA_STACK], *heap = NULL;
	struct json_out o;

	if (!rule)
		return false;
	if (!scan_fields(r, rule, &fields)) {
		request_offence(r);
		return true;
	}
	if (!fields_good(r, rule, &fields) || !resolve(r, rule, &fields, &channel) ||
	    !request_may(r, RIGHT_PUBLISH, channel.s))
		return true;
	o = JSON_OUT(stack, data_bound(rule, &fields));
	if (o.cap > sizeof(stack))
		o.p = heap = malloc(o.cap);
	if (!o.p) {
		request_error(r, PROTO_OVERLOADED);
		return true;
	}
	put_data(rule, &fields, &o);
	publish(r, rule, channel.s, json_out_bytes(&o));
	free(heap);
	return true;
}
