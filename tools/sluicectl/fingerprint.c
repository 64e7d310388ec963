/* SPDX-License-Identifier: BSD-2-Clause */
/* fingerprint.c - which programs knock, by the JA4 of their ClientHellos, and which are not let in. */
#include <stdlib.h>
#include <string.h>

#include "keeper/channel.h"
#include "tools/sluicectl/ctl.h"

static json_t *entry_of(json_t *all, const char *ja4)
{
	json_t *e = json_object_get(all, ja4);
	if (e == NULL) {
		e = json_pack("{s:s,s:i,s:i,s:b,s:i}", "ja4", ja4, "handshakes", 0, "at_most_over",
			      0, "denied", 0, "refused", 0);
		json_object_set_new(all, ja4, e);
	}
	return e;
}

static void sum(json_t *to, const json_t *row, const char *key)
{
	json_object_set_new(to, key,
			    json_integer((json_int_t)(ctl_u64(to, key) + ctl_u64(row, key))));
}

static void add(json_t *all, const json_t *row)
{
	json_t *e = entry_of(all, ctl_str(row, "ja4"));
	sum(e, row, "handshakes");
	sum(e, row, "at_most_over");
	if (!json_is_true(json_object_get(row, "denied")))
		return;
	json_object_set_new(e, "denied", json_true());
	sum(e, row, "refused");
	if (json_object_get(row, "left_s"))
		json_object_set(e, "left_s", json_object_get(row, "left_s"));
}

static int of_worker(struct ctl *ctl, int worker, json_t *all)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	for (bool more = true; more;) {
		json_t *a = ctl_ask(ctl,
				    json_pack("{s:s,s:i,s:I}", "ask", "fingerprints", "member",
					      worker, "cursor", cursor),
				    &code);
		json_t *row;
		size_t i;
		if (a == NULL)
			return code;
		json_array_foreach(json_object_get(a, "answer"), i, row) add(all, row);
		more = json_is_integer(json_object_get(a, "next"));
		cursor = json_integer_value(json_object_get(a, "next"));
		json_decref(a);
	}
	return CTL_OK;
}

/* Denied ones first, then by count. */
static int by_weight(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int d = json_is_true(json_object_get(y, "denied")) -
		json_is_true(json_object_get(x, "denied"));
	unsigned long long n = ctl_u64(x, "handshakes"), m = ctl_u64(y, "handshakes");
	return d ? d : n < m ? 1 : n > m ? -1 : strcmp(ctl_str(x, "ja4"), ctl_str(y, "ja4"));
}

static json_t *sorted(json_t *all, long long limit)
{
	size_t n = json_object_size(all), k = 0;
	json_t **row = calloc(n + 1, sizeof(*row)), *value, *list = json_array();
	const char *key;
	json_object_foreach(all, key, value) row[k++] = value;
	qsort(row, n, sizeof(*row), by_weight);
	for (size_t i = 0; i < n && (long long)i < limit; i++)
		json_array_append(list, row[i]);
	free(row);
	json_decref(all);
	return list;
}

static void print(const json_t *e)
{
	printf("%-36s  %12s", ctl_str(e, "ja4"), ctl_count(ctl_u64(e, "handshakes")));
	if (ctl_u64(e, "at_most_over"))
		printf(" (%s may be others')", ctl_count(ctl_u64(e, "at_most_over")));
	if (json_is_true(json_object_get(e, "denied"))) {
		printf("  denied, %s refused", ctl_count(ctl_u64(e, "refused")));
		if (json_object_get(e, "left_s"))
			printf(", %s left", ctl_span(ctl_u64(e, "left_s")));
	}
	printf("\n");
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *limit = NULL;
	const struct keyword words[] = {{"limit", &limit}};
	long long most = 20;
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (limit && (!ctl_number(limit, 100000, &most) || most < 1))
		return ctl_fail(ctl, CTL_USAGE, "limit must be a number from 1, not '%s'", limit);
	int n = ctl_workers(ctl, &code);
	json_t *all = json_object();
	for (int i = 0; i < n && code == CTL_OK; i++)
		code = of_worker(ctl, i, all);
	if (n < 0 || code != CTL_OK) {
		json_decref(all);
		return code;
	}
	json_t *list = sorted(all, most), *e;
	size_t i;
	if (ctl_print_json(ctl, list))
		return CTL_OK;
	if (json_array_size(list) == 0)
		printf("no ClientHello has come yet\n");
	else
		printf("%-36s  %12s\n", "JA4", "handshakes");
	json_array_foreach(list, i, e) print(e);
	json_decref(list);
	return CTL_OK;
}

/* The keeper says what is wrong with the fingerprint. */
static int say(struct ctl *ctl, json_t *request)
{
	int code = CTL_OK;
	json_t *a = ctl_ask(ctl, request, &code);
	if (a == NULL)
		return code;
	if (ctl->json) {
		json_object_del(a, "ok");
		ctl_print_json(ctl, a);
		return CTL_OK;
	}
	printf("%s\n", ctl_str(a, "text"));
	json_decref(a);
	return CTL_OK;
}

int fingerprint_deny(struct ctl *ctl, int argc, char **argv)
{
	const char *span = NULL;
	const struct keyword words[] = {{"for", &span}};
	long long seconds = 0;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE,
				"which one? `sluicectl fingerprint show` counts them");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, words, 1))
		return CTL_USAGE;
	if (span && (!ctl_duration(span, &seconds) || seconds < 1 || seconds > KEEPER_DENY_MAX_S))
		return ctl_fail(ctl, CTL_USAGE, "for: 30s, 10m, 1h or 7d, at most 366d, not '%s'",
				span);
	return say(ctl, json_pack("{s:s,s:s,s:I}", "ask", "fingerprint-add", "name", argv[0],
				  "seconds", (json_int_t)seconds));
}

static int undeny(struct ctl *ctl, int argc, char **argv)
{
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE,
				"which one? `sluicectl fingerprint show` has those denied");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	return say(ctl, json_pack("{s:s,s:s}", "ask", "fingerprint-del", "name", argv[0]));
}

static const struct verb verbs[] = {
	{"show", show, "[limit N]",
	 "JA4 fingerprints of ClientHellos: those that are denied, then those that come most (20)",
	 VIA_DAEMON},
	{"deny", fingerprint_deny, "JA4 [for TIME]",
	 "handshakes with it end without a word; connections that are there stay", VIA_DAEMON},
	{"undeny", undeny, "JA4", "takes that away", VIA_DAEMON},
	{0},
};
const struct object fingerprint_object = {
	.name = "fingerprint",
	.verbs = verbs,
	.help = "programs that knock, by JA4, and those not let in",
	.examples = "  sluicectl fingerprint show limit 5\n"
		    "  sluicectl fingerprint deny t13d1516h2_8daaf6152771_e5627efa2ab1 for 1h\n"
		    "  sluicectl fingerprint undeny t13d1516h2_8daaf6152771_e5627efa2ab1\n",
};
