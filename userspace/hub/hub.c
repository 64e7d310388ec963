/* SPDX-License-Identifier: BSD-2-Clause */
/* hub.c - subscribe, publish, leave; and what the engine answers.
 *
 *   hub_subscribe    word in the conn: wanted      ── engine ──►  home
 *   hub_on_subscribed   index into the set, answer ◄── in order ──┘
 *
 * The sets change only when the engine says so, in publication order; what a client wants
 * stands in its words meanwhile (subs.h). Answers go through the channel's lane of the
 * fan-out, behind what was published before them.
 *
 * A call into engine or fan-out may come back as answers to the protocol before it returns, and a
 * protocol may end its conn, which then leaves its channels: so everything here is finished
 * before such a call, and nothing is looked at after it. */
#include "hub/hub.h"

#include <stdlib.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "fanout/fanout.h"
#include "hub/members.h"
#include "hub/select.h"
#include "hub/subs.h"
#include "hub/table.h"
#include "proto/proto.h"
#include "session/session.h"
#include "worker/worker.h"

/* What a channel is to this worker, in one cache line. */
struct channel {
	struct channel_key key;
	struct members members;
	uint32_t refs; /* words of conns that name it: members, and those on the way */
	uint32_t _zero;
};
static_assert(sizeof(struct channel) == sizeof(struct channel_entry), "is one of the table's");

#define SCAN_MAX 65536u /* entries that hub_channels() looks at in one call */

#define REST_LOOKS 1024u /* entries looked at by one hub_rest() */
#define REST_WORKS 16u   /* ... and channels whose sets are made small */
#define REST_EVERY                                                                                 \
	16u /* ticks, some two seconds, from the beginning of one round to that of the next */

struct hub {
	struct channel_table channels;
	struct channel_table groups; /* likewise: of users and roles, without refs */
	uint32_t rest_at;    /* the next entry that hub_rest() looks at, groups behind channels */
	uint32_t rest_ticks; /* calls in this round */
};

struct hub *hub_new(struct worker *w)
{
	struct hub *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	if (channel_table_init(&h->channels) && channel_table_init(&h->groups))
		return h;
	channel_table_fini(&h->channels);
	free(h);
	return NULL;
}

static struct channel *channel_at(const struct hub *h, uint32_t number)
{
	return (struct channel *)channel_table_at(&h->channels, number);
}

static struct channel *group_at(const struct hub *h, uint32_t number)
{
	return (struct channel *)channel_table_at(&h->groups, number);
}

void hub_free(struct hub *h)
{
	if (h == NULL)
		return;
	for (uint32_t i = 0; i < h->channels.high; i++)
		if (channel_at(h, i)->key.n > 0)
			members_fini(&channel_at(h, i)->members);
	for (uint32_t i = 0; i < h->groups.high; i++)
		if (group_at(h, i)->key.n > 0)
			members_fini(&group_at(h, i)->members);
	channel_table_fini(&h->channels);
	channel_table_fini(&h->groups);
	free(h);
}

uint32_t hub_hash(const struct worker *w, uint16_t space, struct bytes name)
{
	uint8_t text[sizeof(space) + CHANNEL_NAME_MAX];
	assert(name.n <= CHANNEL_NAME_MAX);
	memcpy(text, &space, sizeof(space));
	memcpy(text + sizeof(space), name.p, name.n);
	return (uint32_t)(hash_keyed(w->hash_key, BYTES(text, sizeof(space) + name.n)) >> 32);
}

static uint32_t find(const struct worker *w, uint16_t space, struct bytes name)
{
	return channel_table_find(&w->hub->channels, hub_hash(w, space, name), space, name);
}

static uint32_t find_or_add(struct worker *w, uint16_t space, struct bytes name)
{
	uint32_t hash = hub_hash(w, space, name);
	uint32_t number = channel_table_find(&w->hub->channels, hash, space, name);
	return number != CHANNEL_NONE ? number :
					channel_table_add(&w->hub->channels, hash, space, name);
}

static void unref(struct hub *h, uint32_t number)
{
	struct channel *ch = channel_at(h, number);
	assert(ch->refs > 0);
	if (--ch->refs > 0)
		return;
	assert(ch->members.n == 0);
	channel_table_remove(&h->channels, number);
}

static void forget(struct worker *w, struct conn *c, uint32_t number)
{
	subs_remove(w, c, number);
	unref(w->hub, number);
}

static struct conn *deref(struct worker *w, const struct conn_ref *who)
{
	assert(who->worker == w->id);
	return conn_deref(&w->slab, who->index, who->gen);
}

static struct conn_ref ref_of(const struct worker *w, const struct conn *c)
{
	return (struct conn_ref){
		.worker = (uint16_t)w->id, .index = conn_index(&w->slab, c), .gen = c->gen};
}

/* ── groups ── */

struct members *hub_channel(const struct worker *w, uint16_t space, struct bytes channel)
{
	uint32_t number = find(w, space, channel);
	return number != CHANNEL_NONE ? &channel_at(w->hub, number)->members : NULL;
}

struct members *hub_group(const struct worker *w, uint16_t space, struct bytes name)
{
	uint32_t number =
		channel_table_find(&w->hub->groups, hub_hash(w, space, name), space, name);
	return number != CHANNEL_NONE ? &group_at(w->hub, number)->members : NULL;
}

static bool group_join(struct worker *w, uint16_t space, struct bytes name, uint32_t index,
		       uint8_t encoding)
{
	struct channel_table *t = &w->hub->groups;
	uint32_t hash = hub_hash(w, space, name);
	uint32_t number = channel_table_find(t, hash, space, name);
	if (number == CHANNEL_NONE)
		number = channel_table_add(t, hash, space, name);
	if (number == CHANNEL_NONE)
		return false;
	struct members *m = &group_at(w->hub, number)->members;
	if (members_put(m, index, encoding))
		return true;
	if (m->n == 0)
		channel_table_remove(t, number);
	return false;
}

/* A group goes with its last. */
static void group_leave(struct worker *w, uint16_t space, struct bytes name, uint32_t index)
{
	struct channel_table *t = &w->hub->groups;
	uint32_t number = channel_table_find(t, hub_hash(w, space, name), space, name);
	if (number == CHANNEL_NONE)
		return;
	struct members *m = &group_at(w->hub, number)->members;
	members_remove(m, index);
	if (m->n > 0)
		return;
	members_fini(m);
	channel_table_remove(t, number);
}

/* The i-th group of somebody: his user id, then his roles. */
static struct bytes group_name(const struct identity *who, uint32_t i, uint8_t text[])
{
	struct expression_name it = {
		.kind = i == 0 ? EXPRESSION_USER : EXPRESSION_ROLE,
		.name = i == 0 ? who->user : who->role[i - 1],
	};
	return expression_label(&it, text);
}

static void leave_groups(struct worker *w, const struct conn *c)
{
	uint8_t text[EXPRESSION_NAME_MAX];
	struct identity who;
	if (!identity_get(w, c, &who))
		return;
	for (uint32_t i = 0; i <= who.n_roles; i++)
		group_leave(w, w->cfg->endpoints[c->endpoint].space_id, group_name(&who, i, text),
			    conn_index(&w->slab, c));
}

bool hub_enter(struct worker *w, struct conn *c)
{
	uint8_t text[EXPRESSION_NAME_MAX];
	struct identity who;
	if (!identity_get(w, c, &who))
		return true;
	for (uint32_t i = 0; i <= who.n_roles; i++)
		if (!group_join(w, w->cfg->endpoints[c->endpoint].space_id,
				group_name(&who, i, text), conn_index(&w->slab, c),
				proto_own_encoding(w, c)))
			return false;
	return true;
}

/* ── from the protocol ── */

/* The conn's word for the channel, a fresh one if need be. */
static enum hub_outcome want(struct worker *w, struct conn *c, uint16_t space, struct bytes name,
			     uint32_t **word)
{
	uint32_t number = find(w, space, name);
	*word = number != CHANNEL_NONE ? subs_find(w, c, number) : NULL;
	if (*word != NULL)
		return **word >= SUB_ASKED_MAX ? HUB_OVERLOADED : HUB_OK;
	if (c->sub_count >= w->cfg->endpoints[c->endpoint].max_subscriptions)
		return HUB_TOO_MANY;
	number = find_or_add(w, space, name);
	if (number == CHANNEL_NONE)
		return HUB_OVERLOADED;
	channel_at(w->hub, number)->refs++;
	*word = subs_add(w, c, number);
	if (*word == NULL) {
		unref(w->hub, number);
		return HUB_OVERLOADED;
	}
	**word |= SUB_LEAVING; /* not wanted yet: the caller says so */
	return HUB_OK;
}

/* The request went nowhere: the word becomes what it was, or goes. */
static void take_back(struct worker *w, struct conn *c, uint32_t before)
{
	uint32_t number = sub_channel(before);
	if (before & SUB_LEAVING && before < SUB_ASKED)
		forget(w, c, number);
	else
		*subs_find(w, c, number) = before;
}

enum hub_outcome hub_subscribe(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	assert(a->channel.n >= 1 && a->channel.n <= CHANNEL_NAME_MAX);
	assert(encoding_valid(a->encoding) && a->ask.n <= HUB_ASK_MAX);
	uint32_t *word;
	enum hub_outcome outcome = want(w, c, a->space, a->channel, &word);
	if (outcome != HUB_OK)
		return outcome;
	uint32_t before = *word;
	bool again = !(before & SUB_LEAVING);
	bool known = again && before & SUB_EVENTS; /* that it is here */
	bool events = a->flags & HUB_SUB_EVENTS;
	*word &= ~(SUB_LEAVING | (again ? 0 : SUB_EVENTS));
	*word = (*word | (events ? SUB_EVENTS : 0)) + SUB_ASKED;
	struct session_name name;
	session_name(w, c, &name);
	struct engine_who who = {
		.conn = ref_of(w, c),
		.from = name.id,
		.from_user = name.is_user,
		.events = events && !known,
		.again = again,
	};
	outcome = w->engine_ops->subscribe(w, &who, a);
	if (outcome != HUB_OK)
		take_back(w, c, before);
	return outcome;
}

enum hub_outcome hub_unsubscribe(struct worker *w, struct conn *c, uint16_t space,
				 struct bytes channel, uint8_t encoding, struct bytes ask)
{
	uint32_t number = find(w, space, channel);
	uint32_t *word = number != CHANNEL_NONE ? subs_find(w, c, number) : NULL;
	if (word == NULL || *word & SUB_LEAVING)
		return HUB_NOT_SUBSCRIBED;
	if (*word >= SUB_ASKED_MAX)
		return HUB_OVERLOADED;
	struct session_name name;
	session_name(w, c, &name);
	struct engine_who who = {
		.conn = ref_of(w, c),
		.from = name.id,
		.from_user = name.is_user,
		.events = *word & SUB_EVENTS,
		.answer = true,
	};
	*word = ((*word | SUB_LEAVING) & ~SUB_EVENTS) + SUB_ASKED;
	w->engine_ops->unsubscribe(w, &who, space, channel, encoding, ask);
	return HUB_OK;
}

enum hub_outcome hub_recall(struct worker *w, struct conn *c, const struct hub_subscribe_args *a)
{
	struct engine_who who = {.conn = ref_of(w, c), .answer = true};
	return w->engine_ops->recall(w, &who, a);
}

enum hub_outcome hub_publish(struct worker *w, const struct publication *p)
{
	enum hub_outcome outcome = w->engine_ops->publish(w, p);
	if (outcome == HUB_OK)
		w->stats.publications++;
	else
		w->stats.overloaded++;
	return outcome;
}

/* Leaves the channel of one word, at once and without an answer. */
static void leave(struct worker *w, struct conn *c, const struct session_name *name, uint32_t word)
{
	struct channel *ch = channel_at(w->hub, sub_channel(word));
	uint8_t text[CHANNEL_NAME_MAX];
	struct bytes channel = channel_name(&ch->key);
	uint16_t space = ch->key.space;
	memcpy(text, channel.p, channel.n); /* the entry may go */
	channel.p = text;
	struct engine_who who = {
		.conn = ref_of(w, c),
		.from = name->id,
		.from_user = name->is_user,
		.events = word & SUB_EVENTS,
	};
	members_remove(&ch->members, who.conn.index);
	forget(w, c, sub_channel(word));
	if (!(word & SUB_LEAVING)) /* else it has been said */
		w->engine_ops->unsubscribe(w, &who, space, channel, 0, BYTES(NULL, 0));
}

void hub_leave_all(struct worker *w, struct conn *c)
{
	leave_groups(w, c);
	if (c->sub_count == 0)
		return;
	struct session_name name;
	session_name(w, c, &name);
	while (c->sub_count > 0)
		leave(w, c, &name, *subs_at(w, c, c->sub_count - 1u));
}

bool hub_is_subscribed(struct worker *w, const struct conn *c, uint16_t space, struct bytes channel)
{
	uint32_t number = find(w, space, channel);
	uint32_t *word = number != CHANNEL_NONE ? subs_find(w, c, number) : NULL;
	return word != NULL && !(*word & SUB_LEAVING);
}

/* ── from the engine ── */

/* An answer on its way through the lane: this, the channel's name, the request's id. */
struct answer {
	uint64_t epoch, offset;
	uint32_t count;
	uint16_t space;
	uint8_t encoding, flags;
	uint8_t recovered;
	uint8_t channel_n, ask_n;
	uint8_t text[CHANNEL_NAME_MAX + HUB_ASK_MAX];
};

static struct bytes answer_bytes(struct answer *a, struct bytes channel, struct bytes ask)
{
	a->channel_n = (uint8_t)channel.n;
	a->ask_n = (uint8_t)ask.n;
	memcpy(a->text, channel.p, channel.n);
	if (ask.n > 0)
		memcpy(a->text + channel.n, ask.p, ask.n);
	return BYTES(a, offsetof(struct answer, text) + channel.n + ask.n);
}

/* `arg` lies anywhere. */
static void answer_read(struct bytes arg, struct answer *a, struct bytes *channel,
			struct bytes *ask)
{
	memcpy(a, arg.p, arg.n);
	*channel = BYTES(a->text, a->channel_n);
	*ask = BYTES(a->text + a->channel_n, a->ask_n);
}

static void say_subscribed(struct worker *w, struct conn *c, struct bytes arg)
{
	struct answer ans;
	struct hub_subscribe_args a = {0};
	answer_read(arg, &ans, &a.channel, &a.ask);
	a.space = ans.space;
	a.encoding = ans.encoding;
	a.flags = ans.flags;
	struct hub_position at = {
		.epoch = ans.epoch,
		.offset = ans.offset,
		.count = ans.count,
		.recovered = ans.recovered,
	};
	if (c->state == CONN_OPEN)
		proto_subscribed(w, c, &a, &at);
}

static void say_unsubscribed(struct worker *w, struct conn *c, struct bytes arg)
{
	struct answer ans;
	struct bytes channel, ask;
	answer_read(arg, &ans, &channel, &ask);
	if (c->state == CONN_OPEN)
		proto_unsubscribed(w, c, channel, ans.encoding, ask);
}

static void say_lost(struct worker *w, struct conn *c, struct bytes arg)
{
	struct answer ans;
	struct hub_subscribe_args a = {0};
	answer_read(arg, &ans, &a.channel, &a.ask);
	a.space = ans.space;
	a.encoding = ans.encoding;
	a.flags = ans.flags;
	if (c->state == CONN_OPEN)
		proto_subscription_lost(w, c, &a);
}

/* The conn, its word and the channel that an answer is for. NULL: it has left meanwhile. */
static struct conn *answered(struct worker *w, const struct conn_ref *who, uint16_t space,
			     struct bytes channel, struct channel **ch, uint32_t **word)
{
	struct conn *c = deref(w, who);
	uint32_t number = c != NULL ? find(w, space, channel) : CHANNEL_NONE;
	*word = number != CHANNEL_NONE ? subs_find(w, c, number) : NULL;
	if (*word == NULL)
		return NULL;
	assert(**word >= SUB_ASKED);
	**word -= SUB_ASKED;
	*ch = channel_at(w->hub, number);
	return c;
}

void hub_on_subscribed(struct worker *w, const struct conn_ref *who,
		       const struct hub_subscribe_args *a, const struct hub_position *at)
{
	struct channel *ch;
	uint32_t *word;
	if (answered(w, who, a->space, a->channel, &ch, &word) == NULL)
		return;
	if (!members_put(&ch->members, who->index, a->encoding))
		abort(); /* no memory for a set: see fanout/slice.c */
	struct answer ans = {
		.epoch = at->epoch,
		.offset = at->offset,
		.count = at->count,
		.space = a->space,
		.encoding = a->encoding,
		.flags = a->flags,
		.recovered = at->recovered,
	};
	fanout_after(w, ch->key.hash, who, say_subscribed, answer_bytes(&ans, a->channel, a->ask));
}

void hub_on_replay(struct worker *w, const struct conn_ref *who, const struct hub_subscribe_args *a,
		   const struct publication *p)
{
	uint32_t number = deref(w, who) != NULL ? find(w, a->space, a->channel) : CHANNEL_NONE;
	if (number == CHANNEL_NONE)
		return;
	struct channel *ch = channel_at(w->hub, number);
	bool own = p->sender.worker == w->id && p->sender.index == who->index &&
		   p->sender.gen == who->gen;
	if (!members_has(&ch->members, who->index) || (own && p->flags & PUB_F_NO_ECHO))
		return;
	struct fanout_part part = {.encoding = a->encoding, .n = 1, .few = &who->index};
	fanout_deliver(w, ch->key.hash, p, &part, 1);
}

void hub_on_recalled(struct worker *w, const struct conn_ref *who,
		     const struct hub_subscribe_args *a, const struct hub_position *at,
		     enum hub_outcome outcome, struct hub_old *old)
{
	struct conn *c = deref(w, who);
	if (c != NULL && c->state == CONN_OPEN)
		proto_recalled(w, c, a, at, outcome, old);
}

/* The word goes with the last answer if the client wanted to leave. */
static void settle(struct worker *w, struct conn *c, uint32_t word)
{
	if (word & SUB_LEAVING && word < SUB_ASKED)
		forget(w, c, sub_channel(word));
}

void hub_on_subscription_lost(struct worker *w, const struct conn_ref *who,
			      const struct hub_subscribe_args *a)
{
	struct channel *ch;
	uint32_t *word;
	struct conn *c = answered(w, who, a->space, a->channel, &ch, &word);
	if (c == NULL)
		return;
	uint32_t lane = ch->key.hash;
	if (!members_has(&ch->members, who->index) && *word < SUB_ASKED)
		*word |= SUB_LEAVING;
	settle(w, c, *word);
	struct answer ans = {.space = a->space, .encoding = a->encoding, .flags = a->flags};
	fanout_after(w, lane, who, say_lost, answer_bytes(&ans, a->channel, a->ask));
}

void hub_on_unsubscribed(struct worker *w, const struct conn_ref *who, uint16_t space,
			 struct bytes channel, uint8_t encoding, struct bytes ask)
{
	struct channel *ch;
	uint32_t *word;
	struct conn *c = answered(w, who, space, channel, &ch, &word);
	if (c == NULL)
		return;
	uint32_t lane = ch->key.hash;
	members_remove(&ch->members, who->index);
	settle(w, c, *word);
	struct answer ans = {.space = space, .encoding = encoding};
	fanout_after(w, lane, who, say_unsubscribed, answer_bytes(&ans, channel, ask));
}

/* Who does not hear it: its sender, if it is of this worker. CONN_NONE: nobody is left out. */
static uint32_t unheard(const struct worker *w, const struct publication *p)
{
	bool own = p->flags & PUB_F_NO_ECHO && p->sender.gen != 0 && p->sender.worker == w->id &&
		   conn_deref(&w->slab, p->sender.index, p->sender.gen) != NULL;
	return own ? p->sender.index : CONN_NONE;
}

/* In the lane of the name that they hear it by: a channel's `unsubscribed` does not overtake it. This adds to
 * the batch or queues a cursor; it ends nobody. */
static void deliver_part(void *ctx, const struct publication *q, const struct fanout_part *parts,
			 unsigned n)
{
	struct worker *w = ctx;
	fanout_deliver(w, hub_hash(w, q->space, q->channel), q, parts, n);
}

void hub_on_deliver(struct worker *w, const struct publication *p)
{
	uint32_t except = unheard(w, p);
	if (p->to.n > 0) {
		select_recipients(w, p, except, deliver_part, w);
		return;
	}
	uint32_t number = find(w, p->space, p->channel);
	if (number == CHANNEL_NONE)
		return;
	struct channel *ch = channel_at(w->hub, number);
	struct fanout_part parts[ENC_SETS];
	uint32_t few[FANOUT_FEW];
	unsigned n = members_recipients(&ch->members, p, except, parts, few);
	if (n > 0)
		fanout_deliver(w, ch->key.hash, p, parts, n);
}

void hub_on_published(struct worker *w, const struct publication *p, enum hub_outcome outcome)
{
	if (outcome != HUB_OK)
		w->stats.overloaded++;
	struct conn *c = p->sender.gen != 0 ? deref(w, &p->sender) : NULL;
	if (c != NULL && c->state == CONN_OPEN)
		proto_published(w, c, p, outcome);
}

/* ── for engine and CLI ── */

bool hub_concerns(struct worker *w, const struct conn_ref *who, uint16_t space,
		  struct bytes channel)
{
	struct conn *c = deref(w, who);
	uint32_t number = c != NULL ? find(w, space, channel) : CHANNEL_NONE;
	return number != CHANNEL_NONE && subs_find(w, c, number) != NULL;
}

uint32_t hub_members(struct worker *w, uint16_t space, struct bytes channel, uint32_t from,
		     struct member *out, uint32_t max, uint32_t *n)
{
	uint32_t number = find(w, space, channel);
	*n = 0;
	if (number == CHANNEL_NONE)
		return 0;
	const struct members *m = &channel_at(w->hub, number)->members;
	*n = members_list(m, from, out, max);
	return m->n;
}

void hub_each(struct hub *h, hub_each_fn *fn, void *ctx)
{
	for (uint32_t i = 0; i < h->channels.high; i++) {
		const struct channel *ch = channel_at(h, i);
		if (ch->key.n > 0)
			fn(ctx, ch->key.hash, ch->key.space, channel_name(&ch->key), ch->members.n);
	}
}

bool hub_channels(struct hub *h, uint32_t *cursor, uint32_t n,
		  void (*fn)(void *ctx, const struct hub_channel_info *info), void *ctx)
{
	for (uint32_t seen = 0; *cursor < h->channels.high && n > 0 && seen < SCAN_MAX;
	     ++*cursor, seen++) {
		const struct channel *ch = channel_at(h, *cursor);
		if (ch->key.n == 0)
			continue;
		struct hub_channel_info info = {
			.space = ch->key.space,
			.name = channel_name(&ch->key),
			.set_bytes = sizeof(*ch) + members_memory(&ch->members),
		};
		for (unsigned e = 0; e < ENC_COUNT; e++) {
			info.members[e] = members_count(&ch->members, (uint8_t)e);
			info.deflated[e] = members_count(&ch->members, (uint8_t)(e | ENC_DEFLATED));
		}
		fn(ctx, &info);
		n--;
	}
	return *cursor < h->channels.high;
}

void hub_rest(struct hub *h)
{
	unsigned works = 0;
	h->rest_ticks++;
	for (uint32_t n = 0; n < REST_LOOKS && works < REST_WORKS; n++, h->rest_at++) {
		if (h->rest_at >= h->channels.high + h->groups.high) {
			if (h->rest_ticks < REST_EVERY)
				return;
			h->rest_at = h->rest_ticks = 0;
			if (h->channels.high + h->groups.high == 0)
				return;
		}
		struct channel *ch = h->rest_at < h->channels.high ?
					     channel_at(h, h->rest_at) :
					     group_at(h, h->rest_at - h->channels.high);
		if (ch->key.n > 0)
			works += members_rest(&ch->members);
	}
}

uint32_t hub_channel_count(const struct hub *h)
{
	return h->channels.n;
}

size_t hub_memory(const struct hub *h)
{
	size_t n =
		sizeof(*h) + channel_table_memory(&h->channels) + channel_table_memory(&h->groups);
	for (uint32_t i = 0; i < h->channels.high; i++)
		if (channel_at(h, i)->key.n > 0)
			n += members_memory(&channel_at(h, i)->members);
	for (uint32_t i = 0; i < h->groups.high; i++)
		if (group_at(h, i)->key.n > 0)
			n += members_memory(&group_at(h, i)->members);
	return n;
}
