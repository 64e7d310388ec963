/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.c - connections: all of them, or one by its client id. */
#include <string.h>

#include "tools/sluicectl/rows.h"

static void print_row(const json_t *c)
{
	printf("%-36s  w%llu/%-7llu %-10s %-24s %-10s %-8s %6s %6s %5llu %9s  %s\n",
	       ctl_str(c, "id"), ctl_u64(c, "worker"), ctl_u64(c, "index"), ctl_str(c, "state"),
	       ctl_str(c, "peer"), ctl_str(c, "endpoint"), ctl_str(c, "tls"),
	       ctl_span(ctl_u64(c, "age_s")), ctl_span(ctl_u64(c, "silent_ms") / 1000),
	       ctl_u64(c, "subscriptions"), ctl_bytes(ctl_u64(c, "queued_bytes")),
	       ctl_str(c, "user"));
}

static void print_head(void)
{
	printf("%-36s  %-10s %-10s %-24s %-10s %-8s %6s %6s %5s %9s  %s\n", "ID", "SLOT", "STATE",
	       "PEER", "ENDPOINT", "TLS", "AGE", "SILENT", "SUBS", "QUEUED", "USER");
}

/* The row of one client id, wherever it is. */
static int one(struct ctl *ctl, const char *ask, const char *id, json_t **row)
{
	int code = CTL_OK, n = ctl_workers(ctl, &code);
	*row = NULL;
	for (int i = 0; i < n && *row == NULL; i++) {
		json_t *a = ctl_ask(
			ctl, json_pack("{s:s,s:i,s:s}", "ask", ask, "member", i, "id", id), &code);
		if (a == NULL)
			return code;
		json_t *found = json_array_get(json_object_get(a, "answer"), 0);
		*row = found ? json_incref(found) : NULL;
		json_decref(a);
	}
	if (n >= 0 && *row == NULL)
		return ctl_fail(ctl, CTL_REFUSED, "no connection has the id %s", id);
	return code;
}

/* `to` and the words of its expression, wherever among the keywords they stand, become one argument. False
 * after ctl_fail(). */
static bool join_to(struct ctl *ctl, int *argc, char **argv)
{
	for (int i = 0; i + 1 < *argc; i += strchr(argv[i], '=') ? 1 : 2) {
		const char *word = argv[i] + (strncmp(argv[i], "--", 2) == 0 ? 2 : 0);
		if (!ctl_prefix(word, "to"))
			continue;
		int left = *argc - i - 1;
		char **rest = argv + i + 1;
		const char *text = ctl_expression(ctl, &left, &rest);
		if (text == NULL)
			return false;
		argv[i + 1] = (char *)text;
		memmove(argv + i + 2, rest, (size_t)left * sizeof(*argv));
		*argc = i + 2 + left;
		return true;
	}
	return true;
}

/* Of whom there are none is shown as nobody; a space that there is not is a mistake. */
static int check_meant(struct ctl *ctl, const struct rows *r)
{
	unsigned long long sum;
	int code = CTL_OK;
	if (r->space == NULL)
		return CTL_OK;
	if (r->to == NULL)
		return ctl_fail(ctl, CTL_USAGE, "`space` belongs to an expression: to EXPR");
	json_t *all = ctl_count_meant(ctl, r->to, r->space, &sum, &code);
	bool is_there = all != NULL;
	json_decref(all);
	return is_there ? CTL_OK : code;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *worker = NULL, *id = NULL, *limit = NULL;
	struct rows r = {.ctl = ctl, .print_head = print_head, .print_row = print_row};
	const struct keyword words[] = {{"worker", &worker},
					{"id", &id},
					{"limit", &limit},
					{"to", &r.to},
					{"space", &r.space}};
	long long only = -1;
	int code = CTL_OK;
	if (!join_to(ctl, &argc, argv) || !ctl_keywords(ctl, argc, argv, words, 5))
		return CTL_USAGE;
	if (id && r.to)
		return ctl_fail(ctl, CTL_USAGE, "either `id` or `to`");
	code = check_meant(ctl, &r);
	if (code != CTL_OK)
		return code;
	if (id) {
		json_t *row;
		code = one(ctl, "conn", id, &row);
		if (row == NULL)
			return code;
		rows_put(&r, row);
		json_decref(row);
		rows_end(&r);
		return CTL_OK;
	}
	if (worker && !ctl_number(worker, 1023, &only))
		return ctl_fail(ctl, CTL_USAGE, "worker must be a number, not '%s'",
				ctl_arg(worker));
	if (!rows_limit(&r, limit))
		return CTL_USAGE;
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	if (only >= n)
		return ctl_fail(ctl, CTL_REFUSED, "there is no worker %lld: they are 0 to %d", only,
				n - 1);
	ctl->parts = true;
	int last = CTL_OK;
	for (int i = only < 0 ? 0 : (int)only; i < (only < 0 ? n : (int)only + 1); i++) {
		code = rows_of_worker(&r, r.to ? "select" : "conns", i, NULL);
		last = code != CTL_OK ? code : last;
	}
	rows_end(&r);
	if (!ctl->json)
		printf("%s connection%s%s\n", ctl_count(r.shown), r.shown == 1 ? "" : "s",
		       r.left <= 0 ? " shown; `limit N` shows more" : "");
	return last;
}

static int close_(struct ctl *ctl, int argc, char **argv)
{
	const char *id = NULL;
	const struct keyword words[] = {{"id", &id}};
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (id == NULL)
		return ctl_fail(ctl, CTL_USAGE, "which one? sluicectl conn close id CLIENT-ID");
	json_t *row;
	int code = one(ctl, "close", id, &row);
	if (row == NULL)
		return code;
	if (ctl_print_json(ctl, row))
		return CTL_OK;
	printf("closed %s of %s\n", ctl_str(row, "id"), ctl_str(row, "peer"));
	json_decref(row);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "[worker N] [id CLIENT-ID] [to EXPR] [space NAME] [limit N]",
	 "connections, all or those that EXPR means, at most 1000 unless limit says more",
	 VIA_DAEMON},
	{"count", conn_count, "EXPR [space NAME]",
	 "how many EXPR means: a channel, user:ID, role:NAME, or sets of them: any(a,b) are "
	 "those in one of them, all(c) those who are in each of these as well, except(d) "
	 "leaves out; a name with blanks or parentheses stands in double quotes; in all "
	 "spaces unless one is named",
	 VIA_DAEMON},
	{"close", close_, "id CLIENT-ID",
	 "close one: its client sees 4000 \"Closed by the operator\"", VIA_DAEMON},
	{"kick", conn_kick, "EXPR [space NAME]", "close all that EXPR means, likewise", VIA_DAEMON},
	{0},
};
const struct object conn_object = {
	.name = "conn",
	.verbs = verbs,
	.help = "connections of clients",
	.examples = "  sluicectl conn show worker 0 limit 20\n"
		    "  sluicectl -j conn show | jq -r '.[] | select(.silent_ms > 20000) | .id'\n"
		    "  sluicectl conn count 'any(lobby,news) all(vip) except(muted)'\n"
		    "  sluicectl conn show to role:ops limit 20\n"
		    "  sluicectl conn close id 0b6f2f7e-6c0e-4a54-9d0b-2f6f5f6f7a11\n"
		    "  sluicectl conn kick 'any(user:mallory) except(role:ops)'\n",
};
