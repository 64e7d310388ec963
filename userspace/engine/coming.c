/* SPDX-License-Identifier: BSD-2-Clause */
/* coming.c - see coming.h. */
#include "engine/coming.h"

#include <stdlib.h>

#include "engine/home.h"
#include "ws/utf8.h"

static void append(struct coming_list *l, struct coming *c)
{
	c->before = l->last;
	if (l->last != NULL)
		l->last->after = c;
	else
		l->first = c;
	l->last = c;
	l->n++;
}

void coming_drop(struct coming_list *l, struct home_channel *ch)
{
	struct coming *c = ch->coming;
	if (c == NULL)
		return;
	*(c->before != NULL ? &c->before->after : &l->first) = c->after;
	*(c->after != NULL ? &c->after->before : &l->last) = c->before;
	l->n--;
	ch->coming = NULL;
	free(c->names);
	free(c);
}

/* The other half of a pair; NULL: it is not remembered. */
static struct coming_name *opposite(const struct coming *c, const struct presence_name *name,
				    bool left)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct coming_name *it = &c->names[i];
		if (it->left != left && it->is_user == name->is_user &&
		    bytes_eq(BYTES(it->text, it->n), name->text))
			return it;
	}
	return NULL;
}

static void cancel(struct coming *c, struct coming_name *name)
{
	if (name->left)
		c->left--;
	else
		c->joined--;
	c->n--;
	memmove(name, name + 1, (size_t)(c->names + c->n - name) * sizeof(*name));
}

static unsigned remembered(const struct coming *c, bool left)
{
	unsigned n = 0;
	for (unsigned i = 0; i < c->n; i++)
		n += c->names[i].left == left;
	return n;
}

static bool room_for_one(struct coming *c)
{
	if (c->n < c->cap)
		return true;
	unsigned cap = c->cap > 0 ? 2u * c->cap : 4;
	struct coming_name *names = realloc(c->names, cap * sizeof(*names));
	if (names == NULL)
		return false;
	c->names = names;
	c->cap = (uint8_t)cap;
	return true;
}

/* Without memory it is one of those who are only counted; so is one whose worker gave it a name
 * that is no text, which no other worker would take from us. */
static void remember(struct coming *c, const struct presence_name *name, bool left, unsigned max)
{
	static_assert(2 * CONFIG_MAX_PRESENCE_NAMES <= 128, "n and cap hold them");
	if (remembered(c, left) >= max || !utf8_valid(name->text) || !room_for_one(c))
		return;
	struct coming_name *it = &c->names[c->n++];
	*it = (struct coming_name){
		.n = (uint8_t)name->text.n, .left = left, .is_user = name->is_user};
	memcpy(it->text, name->text.p, name->text.n);
}

bool coming_note(struct coming_list *l, struct home_channel *ch, const struct presence_name *name,
		 bool left, unsigned max, uint64_t due_ns)
{
	assert(max <= CONFIG_MAX_PRESENCE_NAMES);
	struct coming *c = ch->coming;
	if (c == NULL) {
		c = calloc(1, sizeof(*c));
		if (c == NULL)
			return false;
		c->channel = ch;
		c->due_ns = due_ns;
		ch->coming = c;
		append(l, c);
	}
	struct coming_name *other = opposite(c, name, left);
	if (other != NULL) {
		cancel(c, other);
		if (c->joined == 0 && c->left == 0)
			coming_drop(l, ch);
		return true;
	}
	if (left)
		c->left++;
	else
		c->joined++;
	remember(c, name, left, max);
	return true;
}

static uint8_t *put_names(const struct coming *c, bool left, uint8_t *at)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct coming_name *it = &c->names[i];
		struct presence_name name = {.text = BYTES(it->text, it->n),
					     .is_user = it->is_user};
		if (it->left == left)
			at = presence_put_name(at, &name);
	}
	return at;
}

size_t coming_take(struct coming_list *l, struct home_channel *ch, uint32_t online, uint8_t *data)
{
	const struct coming *c = ch->coming;
	struct presence_head head = {
		.joined = c->joined,
		.left = c->left,
		.online = online,
		.n_joined = (uint8_t)remembered(c, false),
		.n_left = (uint8_t)remembered(c, true),
	};
	uint8_t *at = presence_put_head(data, &head);
	at = put_names(c, false, at);
	at = put_names(c, true, at);
	coming_drop(l, ch);
	return (size_t)(at - data);
}

size_t coming_memory(const struct coming_list *l)
{
	size_t bytes = l->n * sizeof(struct coming);
	for (const struct coming *c = l->first; c != NULL; c = c->after)
		bytes += c->cap * sizeof(*c->names);
	return bytes;
}
