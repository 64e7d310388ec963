/* SPDX-License-Identifier: BSD-2-Clause */
/* select.c - see select.h.
 *
 *   name 1 ─ sets by encoding ─►  ∩ all \ except               ─► parts
 *   name 2 ─ sets by encoding ─►  ∩ all \ except \ name 1      ─► parts
 *   name 3 ─ sets by encoding ─►  ∩ all \ except \ name 1 \ 2  ─► parts
 *
 * What stands on the right is one set that is kept while the names are walked: with `all` those who may still
 * hear it, which becomes smaller; without, those who may not, or not again, which grows. Who is in name 1 and
 * did not pass does not pass by name 2 either, so that all of name 1 can be taken away.
 *
 * A name with few members is served from a list, and each of them is looked up in the other
 * names: then no set is made at all, unless a name with many needs it. */
#include "hub/select.h"

#include <stdlib.h>

#include "hub/hub.h"
#include "hub/members.h"

#define SETS_MAX (EXPRESSION_NAMES * ENC_SETS + 1)

/* The names with their members, by what they are for; nobody is in a name that the hub does not have. */
struct names {
	struct expression x;
	struct members *of[EXPRESSION_NAMES]; /* NULL: nobody */
	/* any: [0, all); all: [all, except); except: [except, n). The first of `all` stands for any
	 * where there is none. */
	uint32_t all, except, n;
};

/* An accepted publication is not lost silently: see fanout/slice.c. All sets here are copy-on-write, as the hub's
 * are: CRoaring gives the result of two sets that way only if both are, may share containers with
 * the first all the same, and copies those wrongly from a set that says that it shares none. */
static roaring_bitmap_t *need(roaring_bitmap_t *set)
{
	if (set == NULL)
		abort();
	roaring_bitmap_set_copy_on_write(set, true);
	return set;
}

static void resolve(struct worker *w, uint16_t space, struct bytes packed, struct names *s)
{
	uint8_t label[EXPRESSION_NAME_MAX];
	uint32_t n[EXPRESSION_LISTS] = {0};
	if (!expression_unpack(packed, &s->x))
		abort(); /* whoever calls has taken or made it */
	for (uint32_t i = 0; i < s->x.n; i++) {
		const struct expression_name *it = &s->x.item[i];
		struct bytes name = expression_label(it, label);
		n[it->list]++;
		s->of[i] = it->kind == EXPRESSION_CHANNEL ? hub_channel(w, space, name) :
							    hub_group(w, space, name);
	}
	s->all = n[EXPRESSION_ANY] > 0 ? n[EXPRESSION_ANY] : 1;
	s->except = n[EXPRESSION_ANY] + n[EXPRESSION_ALL];
	s->n = s->x.n;
}

/* ── sets ── */

/* The union of the names [from, to). The caller's. */
static roaring_bitmap_t *union_of(const struct names *s, uint32_t from, uint32_t to)
{
	const roaring_bitmap_t *sets[SETS_MAX];
	size_t n = 0;
	roaring_bitmap_t *few = need(roaring_bitmap_create());
	for (uint32_t i = from; i < to; i++)
		if (s->of[i] != NULL)
			n += members_sets(s->of[i], sets + n, few);
	if (n == 0)
		return few;
	if (!roaring_bitmap_is_empty(few))
		sets[n++] = few;
	roaring_bitmap_t *all = need(roaring_bitmap_or_many(n, sets));
	roaring_bitmap_free(few);
	return all;
}

/* *set becomes what `op` makes of it and of the names [from, to). Not in place: a union of one set shares its
 * containers with the hub's, and they would be copied first. */
typedef roaring_bitmap_t *set_op(const roaring_bitmap_t *a, const roaring_bitmap_t *b);
static void apply(roaring_bitmap_t **set, set_op *op, const struct names *s, uint32_t from,
		  uint32_t to)
{
	roaring_bitmap_t *with = union_of(s, from, to), *made = need(op(*set, with));
	roaring_bitmap_free(with);
	roaring_bitmap_free(*set);
	*set = made;
}

/* ∩ all \ except; for where there is one of all. */
static roaring_bitmap_t *who_may(const struct names *s)
{
	roaring_bitmap_t *set = union_of(s, s->all, s->all + 1);
	for (uint32_t i = s->all + 1; i < s->except; i++)
		apply(&set, roaring_bitmap_and, s, i, i + 1);
	if (s->except < s->n)
		apply(&set, roaring_bitmap_andnot, s, s->except, s->n);
	return set;
}

/* ── recipients ── */

struct walk {
	struct names s;
	roaring_bitmap_t *filter; /* owned; NULL: not needed yet */
	uint32_t behind;          /* names before this one have been taken into it */
};

/* The filter for name i, made now or brought up to it. */
static void filter_for(struct walk *k, uint32_t i, struct members_filter *f)
{
	const struct names *s = &k->s;
	bool may = s->all < s->except;
	if (!may && i == 0 && s->except == s->n)
		return; /* all of it */
	if (k->filter == NULL)
		k->filter = may ? who_may(s) : union_of(s, s->except, s->n);
	if (k->behind < i)
		apply(&k->filter, may ? roaring_bitmap_andnot : roaring_bitmap_or, s, k->behind, i);
	k->behind = i;
	f->in = may ? k->filter : NULL;
	f->out = may ? NULL : k->filter;
}

static bool is_in(const struct names *s, uint32_t name, uint32_t index)
{
	return s->of[name] != NULL && members_has(s->of[name], index);
}

/* By asking the other names, for a member of name i. */
static bool passes(const struct names *s, uint32_t i, uint32_t index)
{
	for (uint32_t k = 0; k < i; k++)
		if (is_in(s, k, index))
			return false;
	for (uint32_t k = s->all; k < s->except; k++)
		if (!is_in(s, k, index))
			return false;
	for (uint32_t k = s->except; k < s->n; k++)
		if (is_in(s, k, index))
			return false;
	return true;
}

/* Parts that are lists, of name i: those who do not pass go, and parts that become empty. */
static unsigned thin(const struct names *s, uint32_t i, struct fanout_part *parts, unsigned n,
		     uint32_t few[FANOUT_FEW])
{
	unsigned left = 0;
	uint32_t at = 0;
	for (unsigned k = 0; k < n; k++) {
		struct fanout_part part = {.encoding = parts[k].encoding, .few = few + at};
		for (uint32_t m = 0; m < parts[k].n; m++) {
			uint32_t index = parts[k].few[m];
			if (!passes(s, i, index))
				continue;
			few[at++] = index; /* never ahead of what is read */
			part.n++;
		}
		if (part.n > 0)
			parts[left++] = part;
	}
	return left;
}

static unsigned parts_of(struct walk *k, const struct publication *p, uint32_t i, uint32_t except,
			 struct fanout_part parts[ENC_SETS], uint32_t few[FANOUT_FEW])
{
	struct members *m = k->s.of[i];
	struct members_filter f = {.except = except};
	if (m->n <= FANOUT_FEW)
		return thin(&k->s, i, parts, members_recipients(m, p, except, parts, few), few);
	filter_for(k, i, &f);
	return members_filtered(m, p, &f, parts, few);
}

void select_recipients(struct worker *w, const struct publication *p, uint32_t except,
		       select_fn *fn, void *ctx)
{
	struct walk k = {0};
	resolve(w, p->space, p->to, &k.s);
	for (uint32_t i = 0; i < k.s.all; i++) {
		uint8_t label[EXPRESSION_NAME_MAX];
		struct fanout_part parts[ENC_SETS];
		uint32_t few[FANOUT_FEW];
		struct publication q = *p;
		if (k.s.of[i] == NULL)
			continue;
		unsigned n = parts_of(&k, p, i, except, parts, few);
		q.channel = expression_label(&k.s.x.item[i], label);
		q.to = BYTES(NULL, 0);
		if (n > 0)
			fn(ctx, &q, parts, n);
	}
	if (k.filter != NULL)
		roaring_bitmap_free(k.filter);
}

/* ── counting, paging ── */

roaring_bitmap_t *select_set(struct worker *w, uint16_t space, struct bytes packed)
{
	struct names s;
	resolve(w, space, packed, &s);
	roaring_bitmap_t *set = union_of(&s, 0, s.all);
	for (uint32_t i = s.all; i < s.except; i++)
		apply(&set, roaring_bitmap_and, &s, i, i + 1);
	if (s.except < s.n)
		apply(&set, roaring_bitmap_andnot, &s, s.except, s.n);
	return set;
}

uint32_t select_count(struct worker *w, uint16_t space, struct bytes packed)
{
	struct names s;
	resolve(w, space, packed, &s);
	if (s.n == 1)
		return s.of[0] != NULL ? s.of[0]->n : 0;
	roaring_bitmap_t *set = select_set(w, space, packed);
	uint64_t n = roaring_bitmap_get_cardinality(set);
	roaring_bitmap_free(set);
	return (uint32_t)n;
}

uint32_t select_next(struct worker *w, uint16_t space, struct bytes packed, uint32_t from,
		     uint32_t *out, uint32_t k)
{
	roaring_bitmap_t *set = select_set(w, space, packed);
	roaring_uint32_iterator_t it;
	uint32_t n = 0;
	roaring_init_iterator(set, &it);
	if (roaring_move_uint32_iterator_equalorlarger(&it, from))
		n = roaring_read_uint32_iterator(&it, out, k);
	roaring_bitmap_free(set);
	return n;
}
