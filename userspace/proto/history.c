/* SPDX-License-Identifier: BSD-2-Clause */
/* history.c - the word history: what is kept of a channel, in one answer.
 *
 * Messages look as they do to a subscriber by channel words. Without `since` they are the last
 * ones, with it the first after that position, so that who wants all of them asks again with the
 * last offset until nothing comes. */
#include <stdlib.h>

#include "fanout/encoding.h"
#include "proto/request.h"
#include "ws/serve.h"

#define LIMIT_DEFAULT 50
#define HEAD_MAX      (256 + HUB_ASK_MAX + JSON_STR_MAX(CHANNEL_NAME_MAX))

static bool read_limit(const struct request *r, uint32_t *limit)
{
	const struct json_field *f = &r->f[FIELD_LIMIT];
	int64_t n = LIMIT_DEFAULT;

	if (request_has(r, FIELD_LIMIT) &&
	    (f->value.type != JSON_IS_NUMBER || !json_int64(f->value.raw, 1, INT32_MAX, &n))) {
		request_error_field(r, PROTO_INVALID_FIELD, f->name);
		return false;
	}
	*limit = (uint32_t)n;
	return true;
}

static bool keeps(const struct config *cfg, struct bytes channel)
{
	return cfg->namespaces[config_namespace_of(cfg, channel)].history > 0;
}

void proto_history(struct request *r)
{
	struct hub_subscribe_args a = {
		.space = r->ep->space_id, .ask = r->ask, .max_bytes = r->ep->max_message_bytes};
	struct request_name name;
	enum hub_outcome outcome;

	if (!request_name(r, &r->f[FIELD_CHANNEL], &name) || !read_limit(r, &a.history) ||
	    (request_has(r, FIELD_SINCE) && !request_position(r, FIELD_SINCE, &a)) ||
	    !request_may(r, RIGHT_HISTORY, name.s))
		return;
	if (!keeps(r->w->cfg, name.s)) {
		request_error(r, PROTO_NO_HISTORY);
		return;
	}
	a.channel = name.s;
	outcome = hub_recall(r->w, r->c, &a);
	if (outcome != HUB_OK)
		request_error(r, proto_error_of(outcome));
}

static bool grow(struct json_out *o, size_t more)
{
	uint8_t *p;

	if (o->cap - o->n >= more)
		return true;
	p = realloc(o->p, 2 * (o->n + more));
	if (!p)
		return false;
	o->p = p;
	o->cap = 2 * (o->n + more);
	return true;
}

static void put_head(struct json_out *o, const struct hub_subscribe_args *a,
		     const struct hub_position *at)
{
	json_put_open(o, '{');
	json_key_str(o, "type", BYTES_LIT("history"));
	if (a->ask.n)
		json_key_json(o, "id", a->ask);
	json_key_str(o, "channel", a->channel);
	if (at->epoch) {
		proto_key_epoch(o, at->epoch);
		json_key_u64(o, "offset", at->offset);
	}
	if (a->flags & HUB_SUB_RECOVER)
		json_key_bool(o, "recovered", at->recovered);
	json_key(o, "messages");
	json_put_open(o, '[');
}

/* As many as fit, but one at least. False: no memory. */
static bool put_messages(struct json_out *o, uint32_t max, struct hub_old *old)
{
	struct publication p;

	for (bool first = true; old->next(old, &p); first = false) {
		size_t before = o->n;
		if (!grow(o, encoding_bound(&p) + 8))
			return false;
		if (!first)
			json_put_lit(o, ",");
		encoding_table[ENC_CHANNEL].encode(&p, o);
		if (!first && o->n > max) {
			o->n = before;
			break;
		}
	}
	return grow(o, 8);
}

void proto_recalled(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		    const struct hub_position *at, enum hub_outcome outcome, struct hub_old *old)
{
	struct json_out o = {0};

	if (outcome == HUB_OK && !grow(&o, HEAD_MAX))
		outcome = HUB_OVERLOADED;
	if (outcome == HUB_OK) {
		put_head(&o, a, at);
		if (!put_messages(&o, a->max_bytes, old))
			outcome = HUB_OVERLOADED;
	}
	if (outcome == HUB_OK) {
		json_put_close(&o, ']');
		json_put_close(&o, '}');
		assert(!o.overflow);
		ws_send_text(w, c, json_out_bytes(&o));
	} else {
		proto_error(w, c, proto_error_of(outcome),
			    &(struct proto_about){.ask = a->ask, .channel = a->channel});
	}
	free(o.p);
}
