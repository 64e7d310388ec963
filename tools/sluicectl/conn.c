/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.c - connections: page by page, worker by worker, so that a million of them cost
 * neither this program nor the daemon more than a page at a time. */
#include <stdlib.h>
#include <string.h>

#include "tools/sluicectl/ctl.h"

#define PAGE 200

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

struct listing {
	struct ctl *ctl;
	long long left; /* rows still wanted */
	unsigned long long shown;
	bool first; /* of a JSON array */
};

/* An element of the list, as json_dumpf() of the whole would print it. */
static void put_json(const struct ctl *ctl, const json_t *c)
{
	if (!ctl->pretty) {
		json_dumpf(c, stdout, JSON_COMPACT);
		return;
	}
	char *text = json_dumps(c, JSON_INDENT(2));
	if (text == NULL)
		return;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;)
		printf("\n  %s", line);
	free(text);
}

static void put_row(struct listing *l, json_t *c)
{
	if (l->ctl->json) {
		printf("%s", l->first ? "[" : ",");
		put_json(l->ctl, c);
	} else {
		if (l->first)
			print_head();
		print_row(c);
	}
	l->first = false;
	l->shown++;
	l->left--;
}

static void end_list(const struct listing *l)
{
	if (l->ctl->json)
		printf("%s%s]\n", l->first ? "[" : "", l->ctl->pretty && !l->first ? "\n" : "");
}

static int list_worker(struct listing *l, int worker)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	while (l->left > 0) {
		json_t *a = ctl_ask(l->ctl,
				    json_pack("{s:s,s:i,s:I,s:i}", "ask", "conns", "member", worker,
					      "cursor", cursor, "limit",
					      (int)(l->left < PAGE ? l->left : PAGE)),
				    &code);
		if (a == NULL)
			return code;
		json_t *c;
		size_t i;
		json_array_foreach(json_object_get(a, "answer"), i, c) put_row(l, c);
		json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			break;
	}
	return CTL_OK;
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

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *worker = NULL, *id = NULL, *limit = NULL;
	const struct keyword words[] = {{"worker", &worker}, {"id", &id}, {"limit", &limit}};
	long long only = -1;
	struct listing l = {.ctl = ctl, .left = 1000, .first = true};
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 3))
		return CTL_USAGE;
	if (id) {
		json_t *row;
		code = one(ctl, "conn", id, &row);
		if (row == NULL)
			return code;
		put_row(&l, row);
		json_decref(row);
		end_list(&l);
		return CTL_OK;
	}
	if (worker && !ctl_number(worker, 1023, &only))
		return ctl_fail(ctl, CTL_USAGE, "worker must be a number, not '%s'",
				ctl_arg(worker));
	if (limit && (!ctl_number(limit, 100000000, &l.left) || l.left < 1))
		return ctl_fail(ctl, CTL_USAGE, "limit must be a number of at least 1, not '%s'",
				ctl_arg(limit));
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	if (only >= n)
		return ctl_fail(ctl, CTL_REFUSED, "there is no worker %lld: they are 0 to %d", only,
				n - 1);
	ctl->parts = true;
	int last = CTL_OK;
	for (int i = only < 0 ? 0 : (int)only; i < (only < 0 ? n : (int)only + 1); i++) {
		code = list_worker(&l, i);
		last = code != CTL_OK ? code : last;
	}
	if (ctl->json)
		end_list(&l);
	else
		printf("%s connection%s%s\n", ctl_count(l.shown), l.shown == 1 ? "" : "s",
		       l.left <= 0 ? " shown; `limit N` shows more" : "");
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
	{"show", show, "[worker N] [id CLIENT-ID] [limit N]",
	 "connections, at most 1000 unless limit says more", VIA_DAEMON},
	{"close", close_, "id CLIENT-ID",
	 "close one: its client sees 4000 \"Closed by the operator\"", VIA_DAEMON},
	{0},
};
const struct object conn_object = {
	.name = "conn",
	.verbs = verbs,
	.help = "connections of clients",
	.examples = "  sluicectl conn show worker 0 limit 20\n"
		    "  sluicectl -j conn show | jq -r '.[] | select(.silent_ms > 20000) | .id'\n"
		    "  sluicectl conn close id 0b6f2f7e-6c0e-4a54-9d0b-2f6f5f6f7a11\n",
};
