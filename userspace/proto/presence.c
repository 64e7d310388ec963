/* SPDX-License-Identifier: BSD-2-Clause */
/* presence.c - the word presence: how many are in a channel, or meant by an expression, and who, page by page.
 *
 * The cursor says where the next page begins, as "w3.1234": a worker, and the index of a conn there.
 * To a client it is just a text that it sends back; it may be anything, so it is read strictly and
 * shows nobody who would not be on that page anyway. */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "hub/census.h"
#include "proto/request.h"
#include "ws/serve.h"

#define LIMIT_DEFAULT  50
#define CURSOR_MAX     24
#define HEAD_MAX       (256 + CURSOR_MAX + HUB_ASK_MAX + JSON_STR_MAX(CHANNEL_NAME_MAX))
/* Of the whole answer, from the bytes of its list: a member has 17 of them and its name there, and
 * what is written around a name is less than six times 17. */
#define TEXT_MAX(list) (HEAD_MAX + JSON_STR_MAX(list))

static bool read_limit(const struct request *r, uint32_t *limit)
{
	const struct json_field *f = &r->f[FIELD_LIMIT];
	int64_t n = LIMIT_DEFAULT;

	if (request_has(r, FIELD_LIMIT) && (f->value.type != JSON_IS_NUMBER ||
					    !json_int64(f->value.raw, 0, CENSUS_PAGE_MAX, &n))) {
		request_error_field(r, PROTO_INVALID_FIELD, f->name);
		return false;
	}
	*limit = (uint32_t)n;
	return true;
}

/* A number as we print it, below `end`; *at is behind it then. */
static bool parse_number(const char **at, uint32_t end, uint32_t *out)
{
	uint64_t v = 0;
	const char *p = *at;

	for (; *p >= '0' && *p <= '9' && v < end; p++)
		v = 10 * v + (uint64_t)(*p - '0');
	if (p == *at || (**at == '0' && p - *at > 1) || v >= end)
		return false;
	*at = p;
	*out = (uint32_t)v;
	return true;
}

static bool parse_cursor(struct bytes raw, uint32_t workers, struct census_place *from)
{
	char text[CURSOR_MAX + 1];
	const char *at = text + 1;
	size_t n;

	if (!json_string_unescape(raw, (uint8_t *)text, CURSOR_MAX, &n))
		return false;
	text[n] = '\0';
	return text[0] == 'w' && parse_number(&at, workers, &from->worker) && *at++ == '.' &&
	       parse_number(&at, CONN_MAX, &from->index) && at == text + n;
}

static bool read_cursor(const struct request *r, struct census_place *from)
{
	const struct json_field *f = &r->f[FIELD_CURSOR];

	if (!request_has(r, FIELD_CURSOR) ||
	    (f->value.type == JSON_IS_STRING && parse_cursor(f->value.raw, r->w->n_workers, from)))
		return true;
	request_error_field(r, PROTO_INVALID_FIELD, f->name);
	return false;
}

void proto_presence(struct request *r)
{
	struct census_args a = {.space = r->ep->space_id, .ask = r->ask};
	struct request_target of;
	enum hub_outcome outcome;

	if (!request_target(r, &of) || !read_limit(r, &a.limit) || !read_cursor(r, &a.from) ||
	    !request_may_reach(r, RIGHT_PRESENCE, &of))
		return;
	a.channel = of.channel;
	a.to = of.to;
	outcome = census_ask(r->w, r->c, &a);
	if (outcome != HUB_OK)
		request_error(r, proto_error_of(outcome));
}

static void put_members(struct json_out *o, struct bytes members)
{
	struct census_member m;
	char id[RANDOM_UUID_LEN + 1];

	json_key(o, "members");
	json_put_open(o, '[');
	while (census_next(&members, &m)) {
		random_uuid_print(m.client_id, id);
		json_put_open(o, '{');
		json_key_str(o, "clientId", BYTES(id, RANDOM_UUID_LEN));
		if (m.user.n)
			json_key_str(o, "userId", m.user);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
}

static void put_cursor(struct json_out *o, const struct census_place *next)
{
	char text[CURSOR_MAX];
	int n = snprintf(text, sizeof(text), "w%u.%u", next->worker, next->index);

	json_key_str(o, "cursor", BYTES(text, (size_t)n));
}

void proto_counted(struct worker *w, struct conn *c, const struct census_answer *a)
{
	size_t max = TEXT_MAX(a->members.n);
	struct json_out o = JSON_OUT(malloc(max), max);

	if (!o.p) {
		proto_error(w, c, PROTO_OVERLOADED,
			    &(struct proto_about){.ask = a->ask, .channel = a->channel});
		return;
	}
	json_put_open(&o, '{');
	json_key_str(&o, "type", BYTES_LIT("presence"));
	if (a->ask.n)
		json_key_json(&o, "id", a->ask);
	if (a->channel.n)
		json_key_str(&o, "channel", a->channel);
	json_key_u64(&o, "onlineCount", a->count);
	if (a->list)
		put_members(&o, a->members);
	if (a->more)
		put_cursor(&o, &a->next);
	if (a->partial)
		json_key_bool(&o, "partial", true);
	json_put_close(&o, '}');
	assert(!o.overflow);
	ws_send_text(w, c, json_out_bytes(&o));
	free(o.p);
}
