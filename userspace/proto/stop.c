/* SPDX-License-Identifier: BSD-2-Clause */
/* stop.c - see stop.h.
 *
 *   bucket of the conn    s ─► s ─► s          all that is awaited of it, of its neighbours too
 *   list of the rule      s ◄─► s ◄─► s        next due first, since what a rule waits is one time
 *
 * Both bounds, of a conn and of the table, are kept by telling the one that is due next at once:
 * too early is better than never.
 *
 * What is published here was allowed when the message before it was. A call into the hub may end
 * any conn, and that may take anything out of the table: so what is told is taken out first, and
 * nothing is remembered across. */
#include "proto/stop.h"

#include <stdlib.h>

#include "base/hash.h"
#include "hub/hub.h"
#include "session/session.h"
#include "worker/worker.h"

#define STOPS_MAX     65536u /* of a worker; some 70 bytes each, while somebody types */
#define STOPS_OF_CONN 16u    /* so that a bucket stays short */
#define STOP_BUCKETS  16384u

struct stop {
	struct stop *next;           /* in the bucket */
	struct stop *before, *after; /* in the rule's list */
	uint64_t due_ns;
	uint32_t index, gen; /* the conn */
	uint16_t rule;       /* index in the configuration's relays */
	uint8_t channel_n;
	uint8_t channel[];
};
static_assert(CONFIG_MAX_RELAYS <= UINT16_MAX, "two bytes name them");

struct stops {
	uint32_t n, max;
	struct stop *bucket[STOP_BUCKETS];
	struct {
		struct stop *first, *last;
	} of[]; /* by rule */
};

static struct stops *stops_new(const struct config *cfg)
{
	struct stops *t = calloc(1, sizeof(*t) + cfg->n_relays * sizeof(t->of[0]));
	if (t != NULL)
		t->max = STOPS_MAX;
	return t;
}

void proto_stop_free(struct stops *t)
{
	if (t == NULL)
		return;
	for (unsigned i = 0; i < STOP_BUCKETS; i++)
		for (struct stop *s = t->bucket[i], *next; s != NULL; s = next) {
			next = s->next;
			free(s);
		}
	free(t);
}

static struct stop **bucket_of(struct stops *t, uint32_t index)
{
	return &t->bucket[hash_pick(hash_mix(index), STOP_BUCKETS)];
}

static bool is_of(const struct worker *w, const struct stop *s, const struct conn *c)
{
	return s->index == conn_index(&w->slab, c) && s->gen == c->gen;
}

static struct bytes channel_of(const struct stop *s)
{
	return BYTES(s->channel, s->channel_n);
}

static const struct config_relay *rule_of(const struct worker *w, const struct stop *s)
{
	return &w->cfg->relays[s->rule];
}

/* ---- in and out of bucket and list ---- */

static void await(struct worker *w, struct stop *s)
{
	struct stops *t = w->stops;
	struct stop **bucket = bucket_of(t, s->index);
	s->due_ns = w->now_ns + rule_of(w, s)->auto_stop_ms * 1000000ull;
	s->next = *bucket;
	*bucket = s;
	s->after = NULL;
	s->before = t->of[s->rule].last;
	*(s->before != NULL ? &s->before->after : &t->of[s->rule].first) = s;
	t->of[s->rule].last = s;
	t->n++;
}

static void take_out(struct stops *t, struct stop *s)
{
	struct stop **at = bucket_of(t, s->index);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	*(s->before != NULL ? &s->before->after : &t->of[s->rule].first) = s->after;
	*(s->after != NULL ? &s->after->before : &t->of[s->rule].last) = s->before;
	t->n--;
}

/* ---- telling ---- */

/* flags: PUB_F_NO_ECHO, or 0 */
static enum hub_outcome tell(struct worker *w, const struct conn *c,
			     const struct config_relay *rule, struct bytes channel, uint8_t flags)
{
	struct session_name who;
	session_name(w, c, &who);
	struct publication p = {
		.space = w->cfg->endpoints[c->endpoint].space_id,
		.kind = PUB_RELAY,
		.flags = (uint8_t)(flags | (who.is_user ? PUB_F_FROM_USER : 0) |
				   (rule->echo ? 0 : PUB_F_NO_ECHO) |
				   (rule->ephemeral ? PUB_F_EPHEMERAL : 0)),
		.channel = channel,
		.relay = bytes_str(rule->auto_stop),
		.from = who.id,
		.data = BYTES_LIT("{}"),
		.sender = {.worker = (uint16_t)w->id,
			   .index = conn_index(&w->slab, c),
			   .gen = c->gen},
	};
	return hub_publish(w, &p);
}

/* Once and for all: if it is refused, nobody is left who could say it again. */
static void tell_last(struct worker *w, struct stop *s, uint8_t flags)
{
	const struct conn *c = conn_deref(&w->slab, s->index, s->gen);
	assert(c != NULL); /* proto_stop_gone() comes first */
	take_out(w->stops, s);
	tell(w, c, rule_of(w, s), channel_of(s), flags);
	free(s);
}

static struct stop *take_due(struct worker *w, uint32_t rule)
{
	struct stop *s = w->stops->of[rule].first;
	if (s == NULL || s->due_ns > w->now_ns)
		return NULL;
	take_out(w->stops, s);
	return s;
}

/* Its time is over. What is refused waits once more as long. */
static void tell_due(struct worker *w, struct stop *s)
{
	const struct conn *c = conn_deref(&w->slab, s->index, s->gen);
	assert(c != NULL);
	enum hub_outcome outcome = tell(w, c, rule_of(w, s), channel_of(s), 0);
	if (outcome != HUB_OK && c->state == CONN_OPEN)
		await(w, s);
	else
		free(s);
}

void proto_stop_tick(struct worker *w)
{
	if (w->stops == NULL || w->stops->n == 0)
		return;
	for (uint32_t i = 0; i < w->cfg->n_relays; i++)
		for (struct stop *s; (s = take_due(w, i)) != NULL;)
			tell_due(w, s);
}

/* ---- what a conn does ---- */

/* From `s` on in its bucket, the first that is of the conn. */
static struct stop *first_of(const struct worker *w, struct stop *s, const struct conn *c)
{
	while (s != NULL && !is_of(w, s, c))
		s = s->next;
	return s;
}

static struct stop *all_of(struct worker *w, const struct conn *c)
{
	struct stops *t = w->stops;
	return t != NULL && t->n > 0 ? first_of(w, *bucket_of(t, conn_index(&w->slab, c)), c) :
				       NULL;
}

void proto_stop_gone(struct worker *w, struct conn *c)
{
	for (struct stop *s; (s = all_of(w, c)) != NULL;)
		tell_last(w, s, PUB_F_NO_ECHO); /* it hears nothing any more */
}

static struct stop *in_channel(struct worker *w, const struct conn *c, struct bytes channel)
{
	struct stop *s = all_of(w, c);
	while (s != NULL && !bytes_eq(channel_of(s), channel))
		s = first_of(w, s->next, c);
	return s;
}

void proto_stop_left(struct worker *w, struct conn *c, struct bytes channel)
{
	for (struct stop *s; c->state == CONN_OPEN && (s = in_channel(w, c, channel)) != NULL;)
		tell_last(w, s, 0);
}

/* It has said itself that it stopped. */
static void forget(struct worker *w, const struct conn *c, const struct config_relay *said,
		   struct bytes channel)
{
	struct stop *next;
	for (struct stop *s = all_of(w, c); s != NULL; s = next) {
		next = first_of(w, s->next, c);
		if (!bytes_eq(channel_of(s), channel) ||
		    strcmp(rule_of(w, s)->auto_stop, said->name) != 0)
			continue;
		take_out(w->stops, s);
		free(s);
	}
}

/* The next due of all. There is one. */
static struct stop *next_due(const struct worker *w)
{
	const struct stops *t = w->stops;
	struct stop *next = NULL;
	for (uint32_t i = 0; i < w->cfg->n_relays; i++) {
		struct stop *s = t->of[i].first;
		if (s != NULL && (next == NULL || s->due_ns < next->due_ns))
			next = s;
	}
	return next;
}

/* The next due of the conn, if it has as many as it may have. */
static struct stop *one_too_many(struct worker *w, const struct conn *c)
{
	struct stop *next = NULL;
	unsigned n = 0;
	for (struct stop *s = all_of(w, c); s != NULL; s = first_of(w, s->next, c), n++)
		if (next == NULL || s->due_ns < next->due_ns)
			next = s;
	return n >= STOPS_OF_CONN ? next : NULL;
}

static void make_room(struct worker *w, const struct conn *c)
{
	struct stop *s = one_too_many(w, c);
	if (s == NULL && w->stops->n >= w->stops->max)
		s = next_due(w);
	if (s != NULL)
		tell_last(w, s, 0);
}

static struct stop *fresh(const struct worker *w, const struct conn *c,
			  const struct config_relay *rule, struct bytes channel)
{
	struct stop *s = malloc(sizeof(*s) + channel.n);
	if (s == NULL)
		return NULL;
	*s = (struct stop){
		.index = conn_index(&w->slab, c),
		.gen = c->gen,
		.rule = (uint16_t)(rule - w->cfg->relays),
		.channel_n = (uint8_t)channel.n,
	};
	memcpy(s->channel, channel.p, channel.n);
	return s;
}

static struct stop *awaited(struct worker *w, const struct conn *c, const struct config_relay *rule,
			    struct bytes channel)
{
	for (struct stop *s = all_of(w, c); s != NULL; s = first_of(w, s->next, c))
		if (rule_of(w, s) == rule && bytes_eq(channel_of(s), channel))
			return s;
	return NULL;
}

static void begin(struct worker *w, struct conn *c, const struct config_relay *rule,
		  struct bytes channel)
{
	if (w->stops == NULL)
		w->stops = stops_new(w->cfg);
	if (w->stops != NULL)
		make_room(w, c);
	if (c->state != CONN_OPEN)
		return;
	struct stop *s = w->stops != NULL ? fresh(w, c, rule, channel) : NULL;
	if (s != NULL)
		await(w, s);
	else
		tell(w, c, rule, channel, 0); /* there is no memory to do it later */
}

void proto_stop_said(struct worker *w, struct conn *c, const struct config_relay *rule,
		     struct bytes channel)
{
	forget(w, c, rule, channel);
	if (rule->auto_stop == NULL)
		return;
	struct stop *s = awaited(w, c, rule, channel);
	if (s == NULL) {
		begin(w, c, rule, channel);
		return;
	}
	take_out(w->stops, s);
	await(w, s);
}
