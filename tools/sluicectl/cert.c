/* SPDX-License-Identifier: BSD-2-Clause */
/* cert.c - the certificates in use: whose, how long they last, and anew from their files. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/sluicectl/ctl.h"

#define DAY       86400
#define SOON_DAYS 14 /* who renews by himself has done so by then */
#define FRESH     4  /* of a response that quarter: it is fetched when half of it has gone */

static const char *date(unsigned long long seconds)
{
	static char text[8][32];
	static unsigned turn;
	char *out = text[turn++ % 8];
	time_t t = (time_t)seconds;
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(out, sizeof(text[0]), "%Y-%m-%d %H:%M UTC", &tm);
	return out;
}

/* "23 days left", "EXPIRED 2 days ago" */
static const char *left(unsigned long long until, long long soon)
{
	static char text[64];
	long long s = (long long)until - (long long)time(NULL);
	if (s < 0)
		snprintf(text, sizeof(text), "EXPIRED %s ago", ctl_span((unsigned long long)-s));
	else
		snprintf(text, sizeof(text), "%s left%s", ctl_span((unsigned long long)s),
			 s < soon ? ": renew it" : "");
	return text;
}

static void print_cert(const json_t *c)
{
	const json_t *name;
	size_t i;
	bool alone = json_is_true(json_object_get(c, "self_signed"));
	printf("%s: %s, %s, %s%s\n", ctl_str(c, "name"), ctl_str(c, "key"),
	       *ctl_str(c, "subject") ? ctl_str(c, "subject") : "no subject",
	       alone ? "self-signed" : "by ", alone ? "" : ctl_str(c, "issuer"));
	printf("  names       ");
	json_array_foreach(json_object_get(c, "names"), i, name)
		printf("%s%s", i ? ", " : "", ctl_clean(json_string_value(name)));
	printf("%s\n", json_array_size(json_object_get(c, "names")) ? "" : "none");
	printf("  valid       %s to %s, %s\n", date(ctl_u64(c, "not_before")),
	       date(ctl_u64(c, "not_after")), left(ctl_u64(c, "not_after"), SOON_DAYS * DAY));
	unsigned long long from = ctl_u64(c, "ocsp_this_update"),
			   until = ctl_u64(c, "ocsp_next_update");
	if (until)
		printf("  OCSP        %s, until %s, %s\n",
		       until > (unsigned long long)time(NULL) ? "stapled" : "not stapled",
		       date(until), left(until, ((long long)until - (long long)from) / FRESH));
	else
		printf("  OCSP        %s\n", from ? "stapled, without an end" : "none");
	printf("  handshakes  %s; read anew %s times since the start\n",
	       ctl_count(ctl_u64(c, "handshakes")), ctl_count(ctl_u64(c, "read_anew")));
	printf("  serial      %s\n  SHA-256     %s\n", ctl_str(c, "serial"), ctl_str(c, "sha256"));
	if (json_object_get(c, "reload_error"))
		printf("  last read   FAILED on %s: this one stays in use\n              %s\n",
		       date(ctl_u64(c, "reload_timestamp")), ctl_str(c, "reload_error"));
	if (json_is_true(json_object_get(c, "differs")))
		printf("  workers differ: ask again in a moment\n");
}

/* Adds a worker's row to the one that is there of the certificate. */
static void add(json_t *all, json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "name"));
	json_t *old;
	size_t i;
	json_object_del(row, "worker");
	json_array_foreach(all, i, old)
	{
		if (strcmp(ctl_str(old, "name"), ctl_clean(name ? name : "")) != 0)
			continue;
		json_object_set_new(old, "handshakes",
				    json_integer((json_int_t)(ctl_u64(old, "handshakes") +
							      ctl_u64(row, "handshakes"))));
		if (strcmp(ctl_str(old, "sha256"), ctl_str(row, "sha256")) != 0)
			json_object_set_new(old, "differs", json_true());
		return;
	}
	json_object_set_new(row, "differs", json_false());
	json_array_append(all, row);
}

static int of_worker(struct ctl *ctl, int worker, json_t *all)
{
	json_int_t cursor = 0;
	int code = CTL_OK;
	for (;;) {
		json_t *a = ctl_ask(ctl,
				    json_pack("{s:s,s:i,s:I}", "ask", "certs", "member", worker,
					      "cursor", cursor),
				    &code);
		json_t *row;
		size_t i;
		if (a == NULL)
			return code;
		json_array_foreach(json_object_get(a, "answer"), i, row) add(all, row);
		const json_t *next = json_object_get(a, "next");
		bool more = json_is_integer(next);
		cursor = json_integer_value(next);
		json_decref(a);
		if (!more)
			return CTL_OK;
	}
}

static json_t *only(json_t *all, const char *name)
{
	for (size_t i = json_array_size(all); i-- > 0;)
		if (strcmp(ctl_str(json_array_get(all, i), "name"), ctl_clean(name)) != 0)
			json_array_remove(all, i);
	return all;
}

/* How the last reading of their files went is one answer for all of them. */
static int add_reading(struct ctl *ctl, json_t *all)
{
	int code = CTL_OK;
	json_t *a = ctl_ask(ctl, json_pack("{s:s}", "ask", "keeper"), &code), *c;
	const json_t *last = json_object_get(a, "certificates");
	size_t i;
	json_array_foreach(all, i, c)
	{
		json_object_set_new(c, "reload_ok",
				    json_boolean(!json_is_false(json_object_get(last, "ok"))));
		json_object_set_new(c, "reload_timestamp",
				    json_integer((json_int_t)(ctl_u64(last, "read_ms") / 1000)));
		if (json_object_get(last, "why"))
			json_object_set(c, "reload_error", json_object_get(last, "why"));
	}
	json_decref(a);
	return code;
}

json_t *cert_all(struct ctl *ctl, int n, int *code)
{
	json_t *all = json_array();
	*code = CTL_OK;
	for (int i = 0; i < n && *code == CTL_OK; i++)
		*code = of_worker(ctl, i, all);
	if (*code == CTL_OK && json_array_size(all) > 0)
		*code = add_reading(ctl, all);
	if (*code == CTL_OK)
		return all;
	json_decref(all);
	return NULL;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL;
	const struct keyword words[] = {{"name", &name}};
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	int n = ctl_workers(ctl, &code);
	json_t *all = n < 0 ? NULL : cert_all(ctl, n, &code);
	if (all == NULL)
		return code;
	if (name && json_array_size(only(all, name)) == 0) {
		json_decref(all);
		return ctl_fail(ctl, CTL_REFUSED, "no certificate is called '%s'", ctl_arg(name));
	}
	if (ctl_print_json(ctl, all))
		return CTL_OK;
	json_t *c;
	size_t i;
	json_array_foreach(all, i, c) print_cert(c);
	if (json_array_size(all) == 0)
		printf("no certificate: no listener speaks TLS\n");
	json_decref(all);
	return CTL_OK;
}

static int reload(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	return ctl_say_report(
		ctl, ctl_exchange(ctl, json_pack("{s:s}", "ask", "cert-reload"), -1, &code), code);
}

static const struct verb verbs[] = {
	{"show", show, "[name NAME]", "what each certificate is, its days left, its handshakes",
	 VIA_DAEMON},
	{"reload", reload, "",
	 "reads certificates, keys and OCSP responses anew from their files; nobody is disconnected",
	 VIA_DAEMON},
	{0},
};
const struct object cert_object = {
	.name = "cert",
	.verbs = verbs,
	.help = "certificates in use, and anew from their files",
	.examples =
		"  sluicectl cert show\n"
		"  sluicectl -j cert show | jq '.[] | {name, days: ((.not_after - now) / 86400 | floor)}'\n"
		"  sluicectl cert reload\n",
};
