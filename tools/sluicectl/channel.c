/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.c - channels: every worker tells its share, and here they are added up. */
#include <string.h>

#include "tools/sluicectl/rows.h"

#define PAGE 200

static json_t *entry_of(const json_t *all, const json_t *row, char key[512])
{
	snprintf(key, 512, "%s %s", json_string_value(json_object_get(row, "space")),
		 json_string_value(json_object_get(row, "name")));
	return json_object_get(all, key);
}

static json_t *entry_new(json_t *all, const json_t *row, const char *key)
{
	json_t *e = json_pack("{s:O,s:O,s:i,s:i,s:{}}", "name", json_object_get(row, "name"),
			      "space", json_object_get(row, "space"), "subscribers", 0, "set_bytes",
			      0, "members");
	json_object_set_new(all, key, e);
	return e;
}

/* The home alone knows position and history; it need not have a subscriber of its own. Where nobody
 * has told us of any, they have just come or gone, or it is kept for who comes back. */
static void add_home(json_t *all, const json_t *row)
{
	char key[512];
	json_t *e = entry_of(all, row, key);
	const json_t *home = json_object_get(row, "home");
	if (e == NULL && ctl_u64(home, "messages") == 0)
		return;
	if (e == NULL)
		e = entry_new(all, row, key);
	json_object_set(e, "home", json_object_get(row, "worker"));
	json_object_set(e, "offset", json_object_get(home, "offset"));
	json_object_set(e, "messages", json_object_get(home, "messages"));
	json_object_set(e, "history_bytes", json_object_get(home, "history_bytes"));
}

/* Adds a worker's row to the channel's entry. */
static void add_members(json_t *all, const json_t *row)
{
	char key[512];
	json_t *e = entry_of(all, row, key);
	if (e == NULL)
		e = entry_new(all, row, key);
	json_t *members = json_object_get(e, "members"), *n;
	const char *encoding;
	unsigned long long sum = ctl_u64(e, "subscribers");
	json_object_foreach(json_object_get(row, "members"), encoding, n)
	{
		json_object_set_new(members, encoding,
				    json_integer((json_int_t)ctl_u64(members, encoding) +
						 json_integer_value(n)));
		sum += (unsigned long long)json_integer_value(n);
	}
	json_object_set_new(e, "subscribers", json_integer((json_int_t)sum));
	json_object_set_new(
		e, "set_bytes",
		json_integer((json_int_t)(ctl_u64(e, "set_bytes") + ctl_u64(row, "set_bytes"))));
}

static int collect(struct ctl *ctl, const char *ask, int worker, const char *name, json_t *all,
		   void (*add)(json_t *all, const json_t *row))
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	for (;;) {
		json_t *q = json_pack("{s:s,s:i,s:I,s:i}", "ask", ask, "member", worker, "cursor",
				      cursor, "limit", PAGE);
		if (name)
			json_object_set_new(q, "name", json_string(name));
		json_t *a = ctl_ask(ctl, q, &code), *row;
		if (a == NULL)
			return code;
		size_t i;
		json_array_foreach(json_object_get(a, "answer"), i, row) add(all, row);
		const json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			return CTL_OK;
	}
}

/* "channel purge" and its sum over all workers. */
static void add_purged(json_t *all, const json_t *row)
{
	json_array_append(all, (json_t *)row);
}

static int purge(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL, *from = NULL;
	const struct keyword words[] = {{"name", &name}, {"from", &from}};
	int code = CTL_OK, last = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 2))
		return CTL_USAGE;
	if (!name == !from)
		return ctl_fail(ctl, CTL_USAGE,
				"what? sluicectl channel purge name NAME, or from "
				"USER-OR-CLIENT-ID");
	const char *what = name ? name : from;
	if (strlen(what) > 100 || !*what)
		return ctl_fail(ctl, CTL_USAGE, "a name has 1 to 100 bytes");
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	ctl->parts = true;
	json_t *rows = json_array(), *row;
	for (int i = 0; i < n; i++) {
		code = collect(ctl, name ? "purge" : "purge_from", i, what, rows, add_purged);
		last = code != CTL_OK ? code : last;
	}
	size_t i;
	unsigned long long messages = 0;
	json_array_foreach(rows, i, row) messages += ctl_u64(row, "purged");
	if (ctl_print_json(ctl, rows))
		return last;
	printf("%s messages of %zu channels are gone\n", ctl_count(messages),
	       json_array_size(rows));
	json_decref(rows);
	return last;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL, *key;
	const struct keyword words[] = {{"name", &name}};
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (name && (strlen(name) > 100 || !*name))
		return ctl_fail(ctl, CTL_USAGE, "a channel's name has 1 to 100 bytes");
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	ctl->parts = true;
	json_t *all = json_object(), *e;
	int last = CTL_OK;
	for (int i = 0; i < n; i++) {
		code = collect(ctl, "channels", i, name, all, add_members);
		last = code != CTL_OK ? code : last;
	}
	for (int i = 0; i < n; i++) {
		code = collect(ctl, "homes", i, name, all, add_home);
		last = code != CTL_OK ? code : last;
	}
	if (name && last == CTL_OK && json_object_size(all) == 0) {
		json_decref(all);
		ctl->parts = false;
		return ctl_fail(ctl, CTL_REFUSED, "nobody is in a channel named '%s'",
				ctl_arg(name));
	}
	if (ctl->json) {
		json_t *list = json_array();
		json_object_foreach(all, key, e) json_array_append(list, e);
		json_decref(all);
		ctl_print_json(ctl, list);
		return last;
	}
	printf("%-32s %-16s %12s %10s %6s %10s %10s %10s\n", "CHANNEL", "SPACE", "SUBSCRIBERS",
	       "OFFSET", "HOME", "SETS", "MESSAGES", "HISTORY");
	json_object_foreach(all, key, e)
	{
		char home[16] = "?"; /* its home is down, or it came between two questions */
		bool known = json_object_get(e, "home") != NULL;
		if (known)
			snprintf(home, sizeof(home), "w%llu", ctl_u64(e, "home"));
		printf("%s %s %12s %10s %6s %10s %10s %10s\n", ctl_pad(ctl_str(e, "name"), 32),
		       ctl_pad(ctl_str(e, "space"), 16), ctl_count(ctl_u64(e, "subscribers")),
		       known ? ctl_count(ctl_u64(e, "offset")) : "?", home,
		       ctl_bytes(ctl_u64(e, "set_bytes")), ctl_count(ctl_u64(e, "messages")),
		       ctl_bytes(ctl_u64(e, "history_bytes")));
	}
	json_decref(all);
	return last;
}

static void print_member(const json_t *m)
{
	printf("%-36s  w%llu/%-7llu %-24s %s %s %s\n", ctl_str(m, "id"), ctl_u64(m, "worker"),
	       ctl_u64(m, "index"), ctl_str(m, "peer"), ctl_pad(ctl_str(m, "space"), 16),
	       ctl_pad(ctl_str(m, "encoding"), 22), ctl_str(m, "user"));
}

static void print_members_head(void)
{
	printf("%-36s  %-10s %-24s %-16s %-22s %s\n", "ID", "SLOT", "PEER", "SPACE", "ENCODING",
	       "USER");
}

static int members(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL, *limit = NULL;
	const struct keyword words[] = {{"name", &name}, {"limit", &limit}};
	struct rows r = {.ctl = ctl, .print_head = print_members_head, .print_row = print_member};
	int code = CTL_OK, last = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 2) || !rows_limit(&r, limit))
		return CTL_USAGE;
	if (!name)
		return ctl_fail(ctl, CTL_USAGE,
				"of which one? sluicectl channel members name NAME");
	if (strlen(name) > 100 || !*name)
		return ctl_fail(ctl, CTL_USAGE, "a channel's name has 1 to 100 bytes");
	int n = ctl_workers(ctl, &code);
	if (n < 0)
		return code;
	ctl->parts = true;
	for (int i = 0; i < n; i++) {
		code = rows_of_worker(&r, "members", i, name);
		last = code != CTL_OK ? code : last;
	}
	rows_end(&r);
	if (!ctl->json)
		printf("%s member%s%s\n", ctl_count(r.shown), r.shown == 1 ? "" : "s",
		       r.left <= 0 ? " shown; `limit N` shows more" : "");
	return last;
}

static const struct verb verbs[] = {
	{"show", show, "[name NAME]",
	 "subscribers, position, home worker, memory of the sets, what is kept", VIA_DAEMON},
	{"members", members, "name NAME [limit N]",
	 "who is in it, at most 1000 unless limit says more", VIA_DAEMON},
	{"publish", channel_publish, "EXPR data JSON [space NAME]",
	 "say JSON, as the server itself, to all connections that EXPR means (see "
	 "sluicectl-conn(8)), each once; to one channel alone it is an ordinary message of it, kept "
	 "where history is; where spaces are several, in those where somebody is meant",
	 VIA_DAEMON},
	{"purge", purge, "name NAME | from ID",
	 "empty a channel's history, or take out of all what a user or client has said",
	 VIA_DAEMON},
	{0},
};
const struct object channel_object = {
	.name = "channel",
	.verbs = verbs,
	.help = "channels and rooms with their subscribers",
	.examples =
		"  sluicectl channel show\n  sluicectl -p ch sh name lobby\n"
		"  sluicectl -j channel members name lobby limit 100000 | jq -r '.[].user // empty' | sort -u\n"
		"  sluicectl channel publish lobby data '\"hello\"'\n"
		"  sluicectl ch pub 'to(a,b) except(user:bob)' data '{\"text\":\"x\"}'\n",
};
