/* SPDX-License-Identifier: BSD-2-Clause */
/* request.c - see request.h. */
#include "engine/request.h"

#include <stdlib.h>

#include "worker/msg.h"

static struct request *make(uint8_t type, size_t text_bytes)
{
	size_t bytes = sizeof(struct request) + text_bytes;
	struct request *r = malloc(bytes);
	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->type = type;
	r->bytes = (uint32_t)bytes;
	return r;
}

/* Copies b to *at and lets it point there. */
static void keep(struct bytes *b, uint8_t **at)
{
	if (b->n > 0)
		memcpy(*at, b->p, b->n);
	b->p = *at;
	*at += b->n;
}

struct request *request_new(uint8_t type, const struct engine_who *who,
			    const struct hub_subscribe_args *a)
{
	struct request *r = make(type, who->from.n + a->channel.n + a->ask.n);
	if (r == NULL)
		return NULL;
	uint8_t *at = r->text;
	r->who = *who;
	r->args = *a;
	keep(&r->who.from, &at);
	keep(&r->args.channel, &at);
	keep(&r->args.ask, &at);
	return r;
}

struct request *request_new_publish(const struct publication *p, bool data)
{
	size_t n = p->channel.n + p->relay.n + p->from.n + p->ask.n + p->id.n +
		   (data ? p->to.n + p->data.n : 0);
	struct request *r = make(MSG_PUBLISH, n);
	if (r == NULL)
		return NULL;
	uint8_t *at = r->text;
	r->pub = *p;
	r->has_data = data;
	if (!data)
		r->pub.to.n = r->pub.data.n = 0;
	keep(&r->pub.channel, &at);
	keep(&r->pub.relay, &at);
	keep(&r->pub.from, &at);
	keep(&r->pub.ask, &at);
	keep(&r->pub.id, &at);
	keep(&r->pub.to, &at);
	keep(&r->pub.data, &at);
	return r;
}

void request_free(struct request *r)
{
	free(r);
}

void request_append(struct request_queue *q, struct request *r)
{
	r->next = NULL;
	if (q->last != NULL)
		q->last->next = r;
	else
		q->first = r;
	q->last = r;
}

struct request *request_take(struct request_queue *q)
{
	struct request *r = q->first;
	if (r == NULL)
		return NULL;
	q->first = r->next;
	if (q->first == NULL)
		q->last = NULL;
	r->next = NULL;
	return r;
}
