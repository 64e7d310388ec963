/* SPDX-License-Identifier: BSD-2-Clause */
/* census.c - see census.h.
 *
 * Members live in the hubs of all workers and nobody keeps a list of all, so the worker that is asked asks the
 * others. Each tells its count at no cost however large the channel is; members are told by one
 * worker at a time, never more than the page still has room for.
 *
 * That a channel's home could tell the count alone is left: it counts who is on his way as well,
 * knows nothing while it gathers, and then a count with members and one without would be two
 * different numbers. One way for both costs a small message per worker.
 *
 * A request has a place in a table and its number names the place, so that an answer finds it at
 * once, and one that comes too late finds nothing. */
#include "hub/census.h"

#include <stdlib.h>

#include "base/name.h"
#include "conn/identity.h"
#include "hub/members.h"
#include "hub/select.h"
#include "proto/proto.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

/* ── what workers write to each other ── */

/* MSG_CENSUS: head · channel, or a packed expression. One question for all, so that it is one message: whom it names
 * lists members as well. */
struct question {
	uint32_t number;
	uint32_t from;   /* index of the first member that is wanted */
	uint16_t lister; /* worker */
	uint16_t space;
	uint8_t max;       /* members wanted of the lister; 0: of nobody */
	uint8_t channel_n; /* 0: an expression */
	uint8_t _zero[2];
};
static_assert(sizeof(struct question) == 16, "no hidden bytes, and what follows is aligned");

/* MSG_COUNTED: head · n members, as census_next() reads them */
struct counted {
	uint32_t number, count;
	uint32_t
		next; /* index of the member behind the last one listed; CONN_NONE: there is none */
	uint8_t n;
	uint8_t cut; /* there was no room between us for a list: it would begin at `next` */
	uint8_t _zero[2];
};
static_assert(sizeof(struct counted) == 16, "no hidden bytes");

#define ID_N     CENSUS_ID_N
#define ITEM_MAX (ID_N + 1 + IDENTITY_USER_MAX)
static_assert(CENSUS_PAGE_MAX <= UINT8_MAX, "a byte counts them");

/* An answer with its list. */
struct listed {
	struct counted head;
	size_t bytes;
	uint8_t list[CENSUS_PAGE_MAX * ITEM_MAX];
};

/* *of is the channel or the expression. */
static bool question_unpack(struct bytes in, struct question *q, struct bytes *of)
{
	struct expression x;
	if (in.n < sizeof(*q))
		return false;
	memcpy(q, in.p, sizeof(*q));
	*of = BYTES(in.p + sizeof(*q), in.n - sizeof(*q));
	if (q->channel_n == 0 ? !expression_unpack(*of, &x) :
				of->n != q->channel_n || !name_valid(*of, CHANNEL_NAME_MAX))
		return false;
	return q->max <= CENSUS_PAGE_MAX && q->_zero[0] == 0 && q->_zero[1] == 0;
}

/* As many as it says, and nothing behind them. */
static bool list_good(struct bytes members, uint32_t n)
{
	struct census_member m;
	for (; n > 0; n--)
		if (!census_next(&members, &m) ||
		    (m.user.n > 0 && !name_valid(m.user, IDENTITY_USER_MAX)))
			return false;
	return members.n == 0;
}

static bool counted_unpack(struct bytes in, struct counted *m, struct bytes *members)
{
	if (in.n < sizeof(*m))
		return false;
	memcpy(m, in.p, sizeof(*m));
	*members = BYTES(in.p + sizeof(*m), in.n - sizeof(*m));
	return m->count <= CONN_MAX && m->n <= CENSUS_PAGE_MAX && m->n <= m->count &&
	       (m->next < CONN_MAX || m->next == CONN_NONE) && m->cut <= 1 && m->_zero[0] == 0 &&
	       m->_zero[1] == 0 && list_good(*members, m->n);
}

/* ── telling ── */

static size_t put_member(const struct worker *w, uint32_t index, uint8_t *at)
{
	const struct conn *c = conn_at(&w->slab, index);
	struct identity who;
	memcpy(at, c->client_id, ID_N);
	at[ID_N] = 0;
	if (identity_get(w, c, &who)) {
		at[ID_N] = (uint8_t)who.user.n;
		memcpy(at + ID_N + 1, who.user.p, who.user.n);
	}
	return ID_N + 1 + at[ID_N];
}

/* How many, and the indexes of at most max of them from q->from on, *n. */
static uint32_t look_channel(struct worker *w, const struct question *q, struct bytes channel,
			     uint32_t *index, uint32_t max, uint32_t *n)
{
	struct member m[CENSUS_PAGE_MAX + 1];
	uint32_t count = hub_members(w, q->space, channel, q->from, m, max, n);
	for (uint32_t i = 0; i < *n; i++)
		index[i] = m[i].index;
	return count;
}

static uint32_t look_expression(struct worker *w, const struct question *q, struct bytes packed,
				uint32_t *index, uint32_t max, uint32_t *n)
{
	roaring_bitmap_t *set = select_set(w, q->space, packed);
	uint32_t count = (uint32_t)roaring_bitmap_get_cardinality(set);
	roaring_uint32_iterator_t it;
	roaring_init_iterator(set, &it);
	*n = 0;
	if (max > 0 && roaring_move_uint32_iterator_equalorlarger(&it, q->from))
		*n = roaring_read_uint32_iterator(&it, index, max);
	roaring_bitmap_free(set);
	return count;
}

/* What this worker has to say; everything that is asked about the hub is asked here. */
static void look(struct worker *w, const struct question *q, struct bytes of, struct listed *out)
{
	uint32_t index[CENSUS_PAGE_MAX + 1];
	uint32_t max = q->lister == w->id ? q->max : 0, n;
	out->head = (struct counted){.number = q->number, .next = CONN_NONE};
	out->head.count = (q->channel_n > 0 ? look_channel : look_expression)(
		w, q, of, index, max > 0 ? max + 1 : 0, &n);
	if (n > max)
		out->head.next = index[max];
	out->head.n = (uint8_t)MIN(n, max);
	out->bytes = 0;
	for (uint32_t i = 0; i < out->head.n; i++)
		out->bytes += put_member(w, index[i], out->list + out->bytes);
}

/* A list may be refused by a crowded mailbox, a count never is. */
static void tell(struct worker *w, unsigned to, const struct question *q, struct listed *l)
{
	struct bytes parts[2] = {BYTES(&l->head, sizeof(l->head)), BYTES(l->list, l->bytes)};
	if (l->head.n > 0 && mailbox_send(w->mailbox, to, MSG_COUNTED, 0, parts, 2,
					  MAILBOX_MAY_REFUSE) == MAILBOX_OK)
		return;
	if (l->head.n > 0) {
		l->head.n = 0;
		l->head.cut = true;
		l->head.next = q->from;
	}
	mailbox_send(w->mailbox, to, MSG_COUNTED, 0, parts, 1, MAILBOX_MUST);
}

static bool on_census(struct worker *w, unsigned from, struct bytes payload)
{
	struct question q;
	struct bytes of;
	struct listed l;
	if (!question_unpack(payload, &q, &of))
		return false;
	look(w, &q, of, &l);
	tell(w, from, &q, &l);
	return true;
}

/* ── asking ── */

#define NOBODY UINT32_MAX

/* A worker, as a request sees it. */
struct part {
	uint32_t count;
	bool awaited; /* has not answered yet */
};

struct ask {
	uint32_t number;
	struct conn_ref who;
	uint64_t until_ns;
	uint16_t space;
	uint8_t channel_n, ask_n; /* channel_n 0: an expression */
	uint16_t of_n;            /* bytes of the one or the other */
	bool partial;
	bool over; /* the page ends before it is full */
	uint32_t limit;
	uint32_t n;             /* members there are, in `members` */
	struct census_place at; /* those behind them */
	uint32_t lister;        /* who was asked for them and has not answered; NOBODY */
	uint32_t awaited;       /* workers */
	uint8_t *members;       /* owned, as they came */
	size_t bytes;
	uint8_t *text; /* behind the parts: the channel or the expression, then the request's id */
	struct part part[];
};

struct census {
	uint32_t n;
	uint32_t last;                      /* number; its place is its remainder */
	struct ask *place[CENSUS_ASKS_MAX]; /* owned */
};

struct census *census_new(void)
{
	return calloc(1, sizeof(struct census));
}

static void ask_free(struct ask *a)
{
	free(a->members);
	free(a);
}

void census_free(struct census *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < CENSUS_ASKS_MAX; i++)
		if (s->place[i] != NULL)
			ask_free(s->place[i]);
	free(s);
}

static struct ask **place_of(struct census *s, uint32_t number)
{
	return &s->place[number % CENSUS_ASKS_MAX];
}

static bool of_conn(const struct ask *a, const struct conn_ref *who)
{
	return a != NULL && a->who.index == who->index && a->who.gen == who->gen;
}

static bool has_room(const struct census *s, const struct conn_ref *who)
{
	uint32_t n = 0;
	for (uint32_t i = 0; s->n > 0 && i < CENSUS_ASKS_MAX; i++)
		n += of_conn(s->place[i], who);
	return s->n < CENSUS_ASKS_MAX && n < CENSUS_OF_CONN;
}

static struct bytes what_of(const struct ask *a)
{
	return BYTES(a->text, a->of_n);
}

static struct ask *ask_new(struct worker *w, const struct conn_ref *who,
			   const struct census_args *args)
{
	struct census *s = w->census;
	size_t parts = sizeof(struct ask) + w->n_workers * sizeof(struct part);
	struct bytes of = args->to.n > 0 ? args->to : args->channel;
	struct ask *a = calloc(1, parts + of.n + args->ask.n);
	if (a == NULL)
		return NULL;
	do
		s->last++;
	while (*place_of(s, s->last) != NULL);
	a->number = s->last;
	a->who = *who;
	a->until_ns = w->now_ns + CENSUS_WAIT_MS * 1000000ull;
	a->space = args->space;
	a->channel_n = args->to.n > 0 ? 0 : (uint8_t)of.n;
	a->of_n = (uint16_t)of.n;
	a->ask_n = (uint8_t)args->ask.n;
	a->text = (uint8_t *)a + parts;
	memcpy(a->text, of.p, of.n);
	if (args->ask.n > 0)
		memcpy(a->text + of.n, args->ask.p, args->ask.n);
	a->limit = args->limit;
	a->at = args->from;
	a->lister = NOBODY;
	*place_of(s, a->number) = a;
	s->n++;
	return a;
}

/* Out of the table, its number means nothing any more. */
static void forget(struct worker *w, struct ask *a)
{
	*place_of(w->census, a->number) = NULL;
	w->census->n--;
}

static struct question question_of(const struct ask *a)
{
	return (struct question){
		.number = a->number,
		.from = a->at.index,
		.lister = (uint16_t)a->at.worker,
		.space = a->space,
		.max = (uint8_t)(a->limit - a->n),
		.channel_n = a->channel_n,
	};
}

/* Nobody is there any more, as far as is known. */
static bool done_with(const struct ask *a, uint32_t k)
{
	return a->part[k].count == 0 && !a->part[k].awaited;
}

static void skip_empty(const struct worker *w, const struct ask *a, struct census_place *at)
{
	while (at->worker < w->n_workers && done_with(a, at->worker))
		*at = (struct census_place){.worker = at->worker + 1};
}

/* What there is, to whom it may concern. */
static void finish(struct worker *w, struct ask *a)
{
	struct conn *c = conn_deref(&w->slab, a->who.index, a->who.gen);
	struct census_answer answer = {
		.channel = BYTES(a->text, a->channel_n),
		.ask = BYTES(a->text + a->of_n, a->ask_n),
		.list = a->limit > 0,
		.members = BYTES(a->members, a->bytes),
		.next = a->at,
		.partial = a->partial,
	};
	for (uint32_t k = 0; k < w->n_workers; k++)
		answer.count += a->part[k].count;
	skip_empty(w, a, &answer.next);
	answer.more = answer.list && answer.next.worker < w->n_workers;
	forget(w, a);
	if (c != NULL && c->state == CONN_OPEN)
		proto_counted(w, c, &answer);
	ask_free(a);
}

static void append(struct ask *a, struct bytes members, uint32_t n)
{
	uint8_t *all = realloc(a->members, a->bytes + members.n);
	if (all == NULL)
		return;
	memcpy(all + a->bytes, members.p, members.n);
	a->members = all;
	a->bytes += members.n;
	a->n += n;
}

/* The list that follows what is there, or none: then the page ends here, and the next may begin here. */
static void take_list(struct ask *a, const struct counted *m, struct bytes members)
{
	uint32_t before = a->n;
	if (m->n > 0)
		append(a, members, m->n);
	if (m->cut || a->n != before + m->n)
		a->partial = a->over = true;
	else if (m->next == CONN_NONE)
		a->at = (struct census_place){.worker = a->at.worker + 1};
	else
		a->at.index = m->next;
}

/* Does it fit what was asked? Who was asked for a list and did not fill it has nobody left. */
static bool fits(const struct ask *a, const struct counted *m, uint32_t max)
{
	if (m->next == CONN_NONE)
		return m->n <= max && !m->cut;
	if (m->cut)
		return max > 0 && m->n == 0 && m->next == a->at.index;
	return max > 0 && m->n == max && m->next > a->at.index;
}

static bool take(struct ask *a, unsigned k, const struct counted *m, struct bytes members)
{
	bool lists = k == a->lister;
	if (!a->part[k].awaited || !fits(a, m, lists ? a->limit - a->n : 0))
		return false;
	a->part[k] = (struct part){.count = m->count};
	a->awaited--;
	if (lists) {
		a->lister = NOBODY;
		take_list(a, m, members);
	}
	return true;
}

static void await(struct ask *a, unsigned k)
{
	a->part[k].awaited = true;
	a->awaited++;
}

/* Our own share, by a plain call. */
static void take_own(struct worker *w, struct ask *a)
{
	struct question q = question_of(a);
	struct listed l;
	look(w, &q, what_of(a), &l);
	await(a, w->id);
	bool good = take(a, w->id, &l.head, BYTES(l.list, l.bytes));
	assert(good);
	(void)good;
}

/* Of the worker where the page stands. */
static void ask_for_list(struct worker *w, struct ask *a)
{
	struct question q = question_of(a);
	struct bytes parts[2] = {BYTES(&q, sizeof(q)), what_of(a)};
	a->lister = a->at.worker;
	if (a->lister == w->id) {
		take_own(w, a);
		return;
	}
	if (mailbox_send(w->mailbox, a->lister, MSG_CENSUS, 0, parts, 2, MAILBOX_MAY_REFUSE) ==
	    MAILBOX_OK) {
		await(a, a->lister);
		return;
	}
	a->lister = NOBODY;
	a->partial = a->over = true;
}

/* Nothing is under way any more: the next list, or the answer. */
static void go_on(struct worker *w, struct ask *a)
{
	while (a->awaited == 0) {
		skip_empty(w, a, &a->at);
		if (a->over || a->n == a->limit || a->at.worker >= w->n_workers) {
			finish(w, a);
			return;
		}
		ask_for_list(w, a);
	}
}

/* All that live are asked how many, and who stands where the page begins for the list too. */
static bool ask_all(struct worker *w, struct ask *a)
{
	struct question q = question_of(a);
	struct bytes parts[2] = {BYTES(&q, sizeof(q)), what_of(a)};
	struct mailbox_set to = {0};
	for (unsigned k = 0; k < w->n_workers; k++) {
		if (k == w->id || !w->member_up[k])
			continue;
		mailbox_set_add(&to, k);
		await(a, k);
	}
	if (a->awaited > 0 && mailbox_send_many(w->mailbox, &to, MSG_CENSUS, 0, parts, 2,
						MAILBOX_MAY_REFUSE) != MAILBOX_OK)
		return false;
	if (a->limit > 0 && (a->at.worker == w->id || w->member_up[a->at.worker]))
		a->lister = a->at.worker;
	take_own(w, a);
	return true;
}

enum hub_outcome census_ask(struct worker *w, struct conn *c, const struct census_args *args)
{
	struct conn_ref who = {
		.worker = (uint16_t)w->id, .index = conn_index(&w->slab, c), .gen = c->gen};
	assert(args->channel.n <= CHANNEL_NAME_MAX && args->to.n <= EXPRESSION_MAX);
	assert(args->ask.n <= HUB_ASK_MAX);
	assert(args->limit <= CENSUS_PAGE_MAX && args->from.worker < w->n_workers);
	struct ask *a = has_room(w->census, &who) ? ask_new(w, &who, args) : NULL;
	if (a == NULL)
		return HUB_OVERLOADED;
	if (!ask_all(w, a)) {
		forget(w, a);
		ask_free(a);
		return HUB_OVERLOADED;
	}
	go_on(w, a);
	return HUB_OK;
}

static bool on_counted(struct worker *w, unsigned from, struct bytes payload)
{
	struct counted m;
	struct bytes members;
	if (!counted_unpack(payload, &m, &members))
		return false;
	struct ask *a = *place_of(w->census, m.number);
	if (a == NULL || a->number != m.number)
		return true; /* too late */
	if (!take(a, from, &m, members))
		return false;
	go_on(w, a);
	return true;
}

bool census_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	if (from >= w->n_workers || from == w->id)
		return false;
	return type == MSG_CENSUS ? on_census(w, from, payload) : on_counted(w, from, payload);
}

/* Its members have gone with it, and whatever it would have said. */
static void part_gone(struct worker *w, struct ask *a, unsigned k)
{
	struct part *p = &a->part[k];
	if (done_with(a, k))
		return;
	a->partial = true;
	a->awaited -= p->awaited;
	*p = (struct part){0};
	if (a->lister == k)
		a->lister = NOBODY;
	go_on(w, a);
}

void census_worker_down(struct worker *w, unsigned k)
{
	for (uint32_t i = 0; w->census->n > 0 && i < CENSUS_ASKS_MAX; i++)
		if (w->census->place[i] != NULL)
			part_gone(w, w->census->place[i], k);
}

void census_tick(struct worker *w)
{
	struct census *s = w->census;
	for (uint32_t i = 0; s->n > 0 && i < CENSUS_ASKS_MAX; i++) {
		struct ask *a = s->place[i];
		if (a == NULL || w->now_ns < a->until_ns)
			continue;
		a->partial = true;
		finish(w, a);
	}
}
