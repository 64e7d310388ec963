/* SPDX-License-Identifier: BSD-2-Clause */
/* select.c - whom an expression means (userspace/hub/expression.h): conn count, conn kick, channel publish, and
 * what they share with `conn show to`. Every worker evaluates for itself, here it is added up. */
#include <stdlib.h>
#include <string.h>

#include "hub/expression.h"
#include "tools/sluicectl/ctl.h"

#define PAGE 200

/* ── the words of an expression ── */

/* Is a parenthesis or a double quote open at its end? */
static bool is_open(const char *text)
{
	bool quoted = false;
	int depth = 0;
	for (; *text; text++) {
		if (quoted && *text == '\\' && text[1])
			text++;
		else if (*text == '"')
			quoted = !quoted;
		else if (!quoted)
			depth += (*text == '(') - (*text == ')');
	}
	return quoted || depth > 0;
}

/* The first word belongs to it; so do what stands within its parentheses, and any(…) and its like. */
static bool goes_on(const char *so_far, const char *word)
{
	return !*so_far || is_open(so_far) || strchr(word, '(') != NULL;
}

const char *ctl_expression(const struct ctl *ctl, int *argc, char ***argv)
{
	static char text[EXPRESSION_TEXT_MAX + 1];
	struct expression x;
	struct expression_error e;
	size_t n = 0;
	text[0] = '\0';
	while (*argc > 0 && goes_on(text, **argv)) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", **argv);
		if (n >= sizeof(text)) {
			ctl_fail(ctl, CTL_USAGE, "an expression has at most %d bytes",
				 EXPRESSION_TEXT_MAX);
			return NULL;
		}
		++*argv;
		--*argc;
	}
	if (expression_from_text(BYTES(text, n), &x, &e))
		return text;
	ctl_fail(ctl, CTL_USAGE, "%s%sbyte %zu: %s", n ? ctl_arg(text) : "whom?", n ? ": " : " ",
		 e.at + 1, e.why);
	return NULL;
}

void ctl_select(json_t *q, const char *to, const char *space)
{
	json_t *s = space ? json_string(space) : NULL;
	json_object_set_new(q, "to", json_string(to));
	if (space) /* also one that is no UTF-8: without it all spaces would be meant */
		json_object_set_new(q, "space", s ? s : json_string(ctl_clean(space)));
}

static json_t *question(const char *ask, int worker, const char *to, const char *space)
{
	json_t *q = json_pack("{s:s,s:i}", "ask", ask, "member", worker);
	ctl_select(q, to, space);
	return q;
}

/* ── counting ── */

static void add_count(json_t *all, const json_t *row)
{
	const char *space = json_string_value(json_object_get(row, "space"));
	if (space)
		json_object_set_new(all, space,
				    json_integer((json_int_t)(ctl_u64(all, space) +
							      ctl_u64(row, "connections"))));
}

static int count_worker(struct ctl *ctl, int worker, const char *to, const char *space, json_t *all)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	for (;;) {
		json_t *q = question("count", worker, to, space), *row;
		json_object_set_new(q, "cursor", json_integer(cursor));
		json_t *a = ctl_ask(ctl, q, &code);
		if (a == NULL)
			return code;
		size_t i;
		json_array_foreach(json_object_get(a, "answer"), i, row) add_count(all, row);
		const json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			return CTL_OK;
	}
}

json_t *ctl_count_meant(struct ctl *ctl, const char *to, const char *space, unsigned long long *sum,
			int *code)
{
	int n = ctl_workers(ctl, code);
	if (n < 0)
		return NULL;
	json_t *all = json_object(), *each;
	const char *name;
	bool parts = ctl->parts;
	ctl->parts = true;
	for (int i = 0; i < n; i++) {
		int one = count_worker(ctl, i, to, space, all);
		*code = one != CTL_OK ? one : *code;
	}
	ctl->parts = parts;
	*sum = 0;
	json_object_foreach(all, name, each) *sum += (unsigned long long)json_integer_value(each);
	if (json_object_size(all) > 0)
		return all;
	json_decref(all);
	if (*code == CTL_OK)
		*code = ctl_fail(ctl, CTL_REFUSED, "no endpoint has the space '%s'",
				 ctl_arg(space ? space : ""));
	return NULL;
}

static const char *plural(unsigned long long n)
{
	return n == 1 ? "connection" : "connections";
}

int conn_count(struct ctl *ctl, int argc, char **argv)
{
	const char *space = NULL, *name;
	const struct keyword words[] = {{"space", &space}};
	unsigned long long sum;
	int code = CTL_OK;
	const char *to = ctl_expression(ctl, &argc, &argv);
	if (to == NULL || !ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	json_t *all = ctl_count_meant(ctl, to, space, &sum, &code), *each;
	if (all == NULL)
		return code;
	if (ctl_print_json(ctl, json_pack("{s:s,s:I,s:O}", "to", to, "connections", (json_int_t)sum,
					  "spaces", all))) {
		json_decref(all);
		return code;
	}
	printf("%s %s\n", ctl_count(sum), plural(sum));
	json_object_foreach(all, name,
			    each) if (json_object_size(all) > 1 && json_integer_value(each) > 0)
		printf("  %12s  %s\n", ctl_count((unsigned long long)json_integer_value(each)),
		       ctl_clean(name));
	json_decref(all);
	return code;
}

/* ── kicking ── */

static int kick_worker(struct ctl *ctl, int worker, const char *to, const char *space,
		       unsigned long long *closed)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	for (;;) {
		json_t *q = question("kick", worker, to, space);
		json_object_set_new(q, "cursor", json_integer(cursor));
		json_object_set_new(q, "limit", json_integer(PAGE));
		json_t *a = ctl_ask(ctl, q, &code);
		if (a == NULL)
			return code;
		*closed += ctl_u64(json_array_get(json_object_get(a, "answer"), 0), "closed");
		const json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			return CTL_OK;
	}
}

int conn_kick(struct ctl *ctl, int argc, char **argv)
{
	const char *space = NULL;
	const struct keyword words[] = {{"space", &space}};
	unsigned long long sum, closed = 0;
	int code = CTL_OK;
	const char *to = ctl_expression(ctl, &argc, &argv);
	if (to == NULL || !ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (space) { /* one that there is not would close nobody, and look like success */
		json_t *all = ctl_count_meant(ctl, to, space, &sum, &code);
		if (all == NULL)
			return code;
		json_decref(all);
	}
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	ctl->parts = true;
	for (int i = 0; i < n; i++) {
		int one = kick_worker(ctl, i, to, space, &closed);
		code = one != CTL_OK ? one : code;
	}
	if (!ctl_print_json(ctl, json_pack("{s:s,s:I}", "to", to, "closed", (json_int_t)closed)))
		printf("closed %s %s\n", ctl_count(closed), plural(closed));
	return code;
}

/* ── publishing ── */

/* By the first worker that is there. */
static int publish_in(struct ctl *ctl, int n, const char *to, const char *space, const char *data)
{
	int code = CTL_REFUSED;
	bool up = false;
	for (int i = 0; i < n && !up; i++) {
		json_t *q = question("publish", i, to, space);
		json_object_set_new(q, "data", json_string(data));
		json_t *a = ctl_exchange(ctl, q, -1, &code);
		if (a == NULL)
			return code;
		up = json_is_true(json_object_get(a, "ok"));
		const json_t *row = json_array_get(json_object_get(a, "answer"), 0);
		code = up && json_is_true(json_object_get(row, "taken")) ? CTL_OK : CTL_BUSY;
		if (!up && i == n - 1)
			code = ctl_fail(ctl, CTL_REFUSED, "%s", ctl_str(a, "error"));
		json_decref(a);
	}
	if (up && code == CTL_BUSY)
		ctl_fail(ctl, code, "space '%s': overloaded, try again later", ctl_arg(space));
	return code;
}

static bool is_json(const char *data)
{
	json_error_t e;
	json_t *v = json_loads(data, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
	json_decref(v);
	return v != NULL;
}

/* Where there are several spaces and none is named: in those where somebody is meant. */
int channel_publish(struct ctl *ctl, int argc, char **argv)
{
	const char *space = NULL, *data = NULL, *name;
	const struct keyword words[] = {{"data", &data}, {"space", &space}};
	unsigned long long sum;
	int code = CTL_OK;
	const char *to = ctl_expression(ctl, &argc, &argv);
	if (to == NULL || !ctl_keywords(ctl, argc, argv, words, 2))
		return CTL_USAGE;
	if (data == NULL || !is_json(data) || strlen(data) > CTL_PUBLISH_MAX)
		return ctl_fail(
			ctl, CTL_USAGE,
			"data must be JSON of at most %d bytes: data '{\"text\":\"hello\"}', or "
			"data '\"hello\"'",
			CTL_PUBLISH_MAX);
	json_t *all = ctl_count_meant(ctl, to, space, &sum, &code), *each;
	if (all == NULL)
		return code;
	bool only = json_object_size(all) == 1;
	if (!only && sum == 0) {
		json_decref(all);
		return ctl_fail(
			ctl, CTL_REFUSED,
			"nobody is meant in any space: `space NAME` publishes all the same");
	}
	int n = ctl_workers(ctl, &code);
	json_object_foreach(all, name, each)
	{
		if (n < 0 || (!only && json_integer_value(each) == 0))
			continue;
		int one = publish_in(ctl, n, to, name, data);
		code = one != CTL_OK ? one : code;
	}
	if (n < 0 || code != CTL_OK) {
		json_decref(all);
		return code;
	}
	if (ctl_print_json(ctl, json_pack("{s:s,s:I,s:O}", "to", to, "connections", (json_int_t)sum,
					  "spaces", all))) {
		json_decref(all);
		return CTL_OK;
	}
	printf("published to %s %s\n", ctl_count(sum), plural(sum));
	json_decref(all);
	return CTL_OK;
}
