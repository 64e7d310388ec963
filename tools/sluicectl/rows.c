/* SPDX-License-Identifier: BSD-2-Clause */
/* rows.c - see rows.h. */
#include "tools/sluicectl/rows.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 200

bool rows_limit(struct rows *r, const char *limit)
{
	r->left = ROWS_LIMIT;
	if (limit == NULL || (ctl_number(limit, 100000000, &r->left) && r->left >= 1))
		return true;
	ctl_fail(r->ctl, CTL_USAGE, "limit must be a number of at least 1, not '%s'",
		 ctl_arg(limit));
	return false;
}

/* An element of the list, as json_dumpf() of the whole would print it. */
static void put_json(const struct ctl *ctl, const json_t *row)
{
	if (!ctl->pretty) {
		json_dumpf(row, stdout, JSON_COMPACT);
		return;
	}
	char *text = json_dumps(row, JSON_INDENT(2));
	if (text == NULL)
		return;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;)
		printf("\n  %s", line);
	free(text);
}

void rows_put(struct rows *r, json_t *row)
{
	bool first = r->shown == 0;
	if (r->ctl->json) {
		printf("%s", first ? "[" : ",");
		put_json(r->ctl, row);
	} else {
		if (first)
			r->print_head();
		r->print_row(row);
	}
	r->shown++;
	r->left--;
}

void rows_end(const struct rows *r)
{
	bool none = r->shown == 0;
	if (r->ctl->json)
		printf("%s%s]\n", none ? "[" : "", r->ctl->pretty && !none ? "\n" : "");
}

int rows_of_worker(struct rows *r, const char *ask, int worker, const char *name)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	while (r->left > 0) {
		json_t *q = json_pack("{s:s,s:i,s:I,s:i}", "ask", ask, "member", worker, "cursor",
				      cursor, "limit", (int)(r->left < PAGE ? r->left : PAGE));
		if (name)
			json_object_set_new(q, "name", json_string(name));
		if (r->to)
			ctl_select(q, r->to, r->space);
		json_t *a = ctl_ask(r->ctl, q, &code), *row;
		if (a == NULL)
			return code;
		size_t i;
		json_array_foreach(json_object_get(a, "answer"), i, row) rows_put(r, row);
		const json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			break;
	}
	return CTL_OK;
}
