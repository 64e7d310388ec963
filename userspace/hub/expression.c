/* SPDX-License-Identifier: BSD-2-Clause */
/* expression.c - see expression.h. */
#include "hub/expression.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"
#include "base/name.h"
#include "conn/identity.h"
#include "fanout/publication.h"

static_assert(EXPRESSION_NAME_MAX == CHANNEL_NAME_MAX, "all channels can be named");
static_assert(sizeof("user:") - 1 + IDENTITY_USER_MAX <= EXPRESSION_NAME_MAX &&
		      sizeof("role:") - 1 + IDENTITY_ROLE_MAX <= EXPRESSION_NAME_MAX,
	      "a label is as long as a channel's name at most");

#define HEAD 4u /* bytes before the items */
static_assert(EXPRESSION_MAX % 8 == 0 &&
		      EXPRESSION_MAX >= HEAD + EXPRESSION_NAMES * (2 + EXPRESSION_NAME_MAX),
	      "room for all of them");
static_assert(EXPRESSION_MAX / 8 <= UINT8_MAX, "struct publication_head counts eighths");

/* What stands before a name in texts, and how long it may be. */
static const struct {
	struct bytes prefix;
	size_t max;
	const char *what;
} kinds[EXPRESSION_KINDS] = {
	[EXPRESSION_CHANNEL] = {{(const uint8_t *)"channel:", 8},
				CHANNEL_NAME_MAX,
				"a channel's name"},
	[EXPRESSION_USER] = {{(const uint8_t *)"user:", 5}, IDENTITY_USER_MAX, "a user id"},
	[EXPRESSION_ROLE] = {{(const uint8_t *)"role:", 5}, IDENTITY_ROLE_MAX, "a role"},
};

/* ── reading ── */

/* Lies in the expression from then on. There is room for it. */
static void add(struct expression *x, uint8_t list, uint8_t kind, struct bytes name)
{
	uint8_t *text = x->_text + x->_used;
	assert(x->n < EXPRESSION_NAMES && name.n <= EXPRESSION_NAME_MAX);
	memcpy(text, name.p, name.n);
	x->_used += name.n;
	x->item[x->n++] = (struct expression_name){list, kind, BYTES(text, name.n)};
}

/* Lists may have been named in any order, and more than once. */
static void sort(struct expression *x)
{
	for (uint32_t i = 1; i < x->n; i++) {
		struct expression_name it = x->item[i];
		uint32_t at = i;
		for (; at > 0 && x->item[at - 1].list > it.list; at--)
			x->item[at] = x->item[at - 1];
		x->item[at] = it;
	}
}

static bool has_positive(const struct expression *x)
{
	return x->n > 0 && x->item[0].list != EXPRESSION_EXCEPT;
}

/* ── text ── */

struct reader {
	const uint8_t *begin, *p, *end;
	struct expression *x;
	struct expression_error *e;
};

__attribute__((format(printf, 3, 4))) static bool wrong(const struct reader *r, const uint8_t *at,
							const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	r->e->at = (size_t)(at - r->begin);
	vsnprintf(r->e->why, sizeof(r->e->why), fmt, ap);
	va_end(ap);
	return false;
}

static void blanks(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t'))
		r->p++;
}

static bool is_bare(uint8_t c)
{
	return c != ' ' && c != '\t' && c != ',' && c != '(' && c != ')' && c != '"';
}

/* An item's words: `at` is where they begin. */
static bool add_item(struct reader *r, uint8_t list, const uint8_t *at, struct bytes words)
{
	uint8_t kind = EXPRESSION_CHANNEL;
	struct bytes name = words;
	for (unsigned k = 0; k < EXPRESSION_KINDS; k++) {
		struct bytes prefix = kinds[k].prefix;
		if (words.n < prefix.n || memcmp(words.p, prefix.p, prefix.n) != 0)
			continue;
		kind = (uint8_t)k;
		name = BYTES(words.p + prefix.n, words.n - prefix.n);
	}
	if (!name_valid(name, kinds[kind].max))
		return wrong(r, at, "%s is 1 to %zu bytes of UTF-8 without control characters",
			     kinds[kind].what, kinds[kind].max);
	if (r->x->n == EXPRESSION_NAMES)
		return wrong(r, at, "at most %d names in all", EXPRESSION_NAMES);
	add(r->x, list, kind, name);
	return true;
}

static bool quoted(struct reader *r, uint8_t list)
{
	static const struct json_limits limits = {.max_depth = 1};
	/* as long as the longest word: channel: and a name; a longer one need not be read */
	uint8_t text[8 + EXPRESSION_NAME_MAX];
	const uint8_t *at = r->p++;
	struct json_value v;
	size_t n;
	while (r->p < r->end && *r->p != '"')
		r->p += *r->p == '\\' && r->p + 1 < r->end ? 2 : 1;
	if (r->p >= r->end)
		return wrong(r, at, "the double quote is not closed");
	r->p++;
	struct bytes raw = BYTES(at, (size_t)(r->p - at));
	if (json_check(raw, &limits, &v) != JSON_OK)
		return wrong(r, at, "within double quotes it is written as in JSON: \\\" and \\\\");
	if (!json_string_unescape(v.raw, text, sizeof(text), &n))
		return wrong(r, at, "a name has at most %d bytes", EXPRESSION_NAME_MAX);
	return add_item(r, list, at, BYTES(text, n));
}

static bool item(struct reader *r, uint8_t list)
{
	const uint8_t *at = r->p;
	if (r->p < r->end && *r->p == '"')
		return quoted(r, list);
	while (r->p < r->end && is_bare(*r->p))
		r->p++;
	if (r->p == at)
		return wrong(r, at, "a name is missing here");
	return add_item(r, list, at, BYTES(at, (size_t)(r->p - at)));
}

/* Behind the parenthesis, to the other one. */
static bool items(struct reader *r, uint8_t list, const uint8_t *open)
{
	do {
		r->p++; /* the parenthesis, or a comma */
		blanks(r);
		if (!item(r, list))
			return false;
		blanks(r);
	} while (r->p < r->end && *r->p == ',');
	if (r->p == r->end)
		return wrong(r, open, "this parenthesis is not closed");
	if (*r->p != ')')
		return wrong(r, r->p,
			     "a comma or ) is missing; a name with blanks or parentheses stands in "
			     "double quotes");
	r->p++;
	return true;
}

/* The list that a word names; EXPRESSION_LISTS: none. */
static uint8_t list_of(struct bytes word)
{
	static const struct {
		struct bytes word;
		uint8_t list;
	} words[] = {
		{{(const uint8_t *)"any", 3}, EXPRESSION_ANY},
		{{(const uint8_t *)"to", 2}, EXPRESSION_ANY},
		{{(const uint8_t *)"all", 3}, EXPRESSION_ALL},
		{{(const uint8_t *)"except", 6}, EXPRESSION_EXCEPT},
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (bytes_eq(word, words[i].word))
			return words[i].list;
	return EXPRESSION_LISTS;
}

/* word ( items ) */
static bool group(struct reader *r)
{
	const uint8_t *at = r->p;
	while (r->p < r->end && is_bare(*r->p))
		r->p++;
	uint8_t list = list_of(BYTES(at, (size_t)(r->p - at)));
	blanks(r);
	if (list == EXPRESSION_LISTS || r->p == r->end || *r->p != '(')
		return wrong(
			r, at,
			"any(…), to(…), all(…) or except(…) is wanted here; a name with blanks "
			"or parentheses stands in double quotes");
	return items(r, list, r->p);
}

static bool groups(struct reader *r)
{
	while (r->p < r->end) {
		if (!group(r))
			return false;
		blanks(r);
	}
	return true;
}

/* A name and nothing else. */
static bool alone(struct bytes text)
{
	size_t i = 0;
	while (i < text.n && is_bare(text.p[i]))
		i++;
	return text.n > 0 && (i == text.n || text.p[0] == '"');
}

bool expression_from_text(struct bytes text, struct expression *x, struct expression_error *e)
{
	struct reader r = {text.p, text.p, text.p + text.n, x, e};
	*x = (struct expression){0};
	blanks(&r);
	while (r.end > r.p && (r.end[-1] == ' ' || r.end[-1] == '\t'))
		r.end--;
	if (alone(BYTES(r.p, (size_t)(r.end - r.p)))) {
		if (!item(&r, EXPRESSION_ANY))
			return false;
		if (r.p < r.end)
			return wrong(&r, r.p,
				     "nothing may stand behind a name alone: any(…) takes "
				     "several");
		return true;
	}
	if (!groups(&r))
		return false;
	sort(x);
	return has_positive(x) ||
	       wrong(&r, r.begin, "it names nobody: a name, any(…) or all(…) must be there");
}

/* ── JSON ── */

static const struct {
	struct bytes name;
	const char *field;
} lists[EXPRESSION_LISTS] = {
	[EXPRESSION_ANY] = {{(const uint8_t *)"any", 3}, "to.any"},
	[EXPRESSION_ALL] = {{(const uint8_t *)"all", 3}, "to.all"},
	[EXPRESSION_EXCEPT] = {{(const uint8_t *)"except", 6}, "to.except"},
};

/* Absent, null, or an array of channels. */
static bool json_list(const struct json_value *v, uint8_t list, struct expression *x)
{
	uint8_t text[EXPRESSION_NAME_MAX];
	struct json_value e;
	size_t n;
	if (v->type <= JSON_IS_NULL)
		return true;
	if (v->type != JSON_IS_ARRAY)
		return false;
	for (struct json_iter it = json_iter_array(v->raw); json_iter_next(&it, &e);) {
		if (e.type != JSON_IS_STRING || x->n == EXPRESSION_NAMES ||
		    !json_string_unescape(e.raw, text, sizeof(text), &n) ||
		    !name_valid(BYTES(text, n), sizeof(text)))
			return false;
		add(x, list, EXPRESSION_CHANNEL, BYTES(text, n));
	}
	return true;
}

/* Nothing beside the three lists: who writes "exept" must not reach those he wanted to spare. */
static bool only_lists(struct bytes object)
{
	struct bytes name;
	struct json_value v;
	for (struct json_iter it = json_iter_object(object); json_iter_member(&it, &name, &v);) {
		uint8_t i = 0;
		while (i < EXPRESSION_LISTS && !json_string_eq(name, lists[i].name))
			i++;
		if (i == EXPRESSION_LISTS)
			return false;
	}
	return true;
}

bool expression_from_json(struct bytes raw, struct expression *x, const char **field)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH, .utf8_known = true};
	struct json_field f[EXPRESSION_LISTS];
	*x = (struct expression){0};
	*field = "to";
	for (unsigned i = 0; i < EXPRESSION_LISTS; i++)
		f[i] = (struct json_field){.name = lists[i].name};
	if (json_object_scan(raw, &limits, f, EXPRESSION_LISTS) != JSON_OK || !only_lists(raw))
		return false;
	for (unsigned i = 0; i < EXPRESSION_LISTS; i++) {
		*field = lists[i].field;
		if (!json_list(&f[i].value, (uint8_t)i, x))
			return false;
	}
	*field = "to";
	return has_positive(x);
}

/* ── packed ── */

struct bytes expression_pack(const struct expression *x, uint8_t out[EXPRESSION_MAX])
{
	size_t n = HEAD;
	assert(x->n <= EXPRESSION_NAMES);
	memset(out, 0, HEAD);
	for (uint32_t i = 0; i < x->n; i++) {
		const struct expression_name *it = &x->item[i];
		assert(i == 0 || x->item[i - 1].list <= it->list);
		out[it->list]++;
		out[n++] = it->kind;
		out[n++] = (uint8_t)it->name.n;
		memcpy(out + n, it->name.p, it->name.n);
		n += it->name.n;
	}
	for (; n % 8 != 0; n++)
		out[n] = 0;
	return BYTES(out, n);
}

/* One item of `in`, which is advanced. */
static bool unpack_item(struct bytes *in, struct expression_name *it)
{
	if (in->n < 2 || in->p[0] >= EXPRESSION_KINDS || in->p[1] > in->n - 2)
		return false;
	it->kind = in->p[0];
	it->name = BYTES(in->p + 2, in->p[1]);
	*in = BYTES(in->p + 2 + it->name.n, in->n - 2 - it->name.n);
	return name_valid(it->name, kinds[it->kind].max);
}

bool expression_unpack(struct bytes in, struct expression *x)
{
	x->n = 0;
	x->_used = 0;
	if (in.n < HEAD || in.n > EXPRESSION_MAX || in.n % 8 != 0 || in.p[3] != 0)
		return false;
	const uint8_t *n = in.p;
	if (n[EXPRESSION_ANY] + n[EXPRESSION_ALL] + n[EXPRESSION_EXCEPT] > EXPRESSION_NAMES)
		return false;
	struct bytes rest = BYTES(in.p + HEAD, in.n - HEAD);
	for (unsigned list = 0; list < EXPRESSION_LISTS; list++)
		for (unsigned i = 0; i < n[list]; i++) {
			struct expression_name *it = &x->item[x->n++];
			it->list = (uint8_t)list;
			if (!unpack_item(&rest, it))
				return false;
		}
	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] != 0 || rest.n >= 8)
			return false;
	return has_positive(x);
}

/* ── what it says ── */

const struct expression_name *expression_lead(const struct expression *x)
{
	assert(has_positive(x));
	return &x->item[0];
}

struct bytes expression_label(const struct expression_name *name, uint8_t buf[EXPRESSION_NAME_MAX])
{
	struct bytes prefix = kinds[name->kind].prefix;
	if (name->kind == EXPRESSION_CHANNEL)
		return name->name;
	memcpy(buf, prefix.p, prefix.n);
	memcpy(buf + prefix.n, name->name.p, name->name.n);
	return BYTES(buf, prefix.n + name->name.n);
}

bool expression_is_channel(const struct expression *x)
{
	return x->n == 1 && x->item[0].kind == EXPRESSION_CHANNEL;
}
