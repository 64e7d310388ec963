/* SPDX-License-Identifier: BSD-2-Clause */
/* deny.c - who is dropped before anything else is spent on him. Adding and taking away
 * goes through the daemon (the maps are the keeper's alone to write); showing reads the pinned
 * maps through bpftool. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/sluicectl/ctl.h"

/* "203.0.113.0/24" → address and bits; a bare address is one host. */
static bool parse_prefix(const struct ctl *ctl, const char *text, char addr[64], int *bits)
{
	uint8_t raw[16];
	long long b;
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	if (n == 0 || n >= 64) {
		ctl_fail(ctl, CTL_USAGE, "'%s' is no address or prefix", text);
		return false;
	}
	memcpy(addr, text, n);
	addr[n] = 0;
	int max = inet_pton(AF_INET, addr, raw) == 1  ? 32 :
		  inet_pton(AF_INET6, addr, raw) == 1 ? 128 :
							0;
	if (max == 0) {
		ctl_fail(ctl, CTL_USAGE,
			 "'%s' is no address: 192.0.2.7, 203.0.113.0/24 or 2001:db8::/64", text);
		return false;
	}
	b = max;
	if (slash && !ctl_number(slash + 1, max, &b)) {
		ctl_fail(ctl, CTL_USAGE, "'%s': the prefix length is 0 to %d", text, max);
		return false;
	}
	*bits = (int)b;
	uint8_t net[16];
	memcpy(net, raw, sizeof(net));
	for (int i = *bits; i < max; i++)
		net[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	if (memcmp(net, raw, (size_t)max / 8) != 0) {
		char meant[INET6_ADDRSTRLEN];
		inet_ntop(max == 32 ? AF_INET : AF_INET6, net, meant, sizeof(meant));
		ctl_fail(ctl, CTL_USAGE, "'%s' has bits beyond its prefix: did you mean %s/%d?",
			 text, meant, *bits);
		return false;
	}
	return true;
}

static json_t *request(const char *ask, const char *addr, int bits)
{
	return json_pack("{s:s,s:s,s:i}", "ask", ask, "addr", addr, "bits", bits);
}

static int done(struct ctl *ctl, json_t *answer, int code, const char *text)
{
	if (answer == NULL)
		return code;
	if (!ctl->json)
		printf("%s\n", *ctl_str(answer, "text") ? ctl_str(answer, "text") : text);
	if (!ctl_print_json(ctl, answer))
		json_decref(answer);
	return CTL_OK;
}

static int add(struct ctl *ctl, int argc, char **argv)
{
	const char *span = NULL, *note = NULL, *force = NULL;
	const struct keyword words[] = {{"for", &span}, {"note", &note}, {"force", &force}};
	char addr[64];
	int bits, code = CTL_OK;
	long long seconds = 0;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "whom? sluicectl deny add PREFIX [for TIME]");
	if (!parse_prefix(ctl, argv[0], addr, &bits) ||
	    !ctl_keywords(ctl, argc - 1, argv + 1, words, 3))
		return CTL_USAGE;
	if (span && (!ctl_duration(span, &seconds) || seconds < 1 || seconds > 366LL * 86400))
		return ctl_fail(ctl, CTL_USAGE,
				"for: 30s, 10m (or 10min), 2h or 7d; a plain number is seconds; "
				"1s to 366d, not '%s'",
				span);
	if (force && strcmp(force, "yes") != 0)
		return ctl_fail(ctl, CTL_USAGE, "force: only `yes`, not '%s'", force);
	if (note && strlen(note) > 63)
		return ctl_fail(ctl, CTL_USAGE, "note: at most 63 bytes");
	json_t *q = request("deny-add", addr, bits);
	json_object_set_new(q, "seconds", json_integer(seconds));
	if (force)
		json_object_set_new(q, "force", json_true());
	if (note)
		json_object_set_new(q, "note", json_string(note));
	return done(ctl, ctl_ask(ctl, q, &code), code, "denied");
}

static int del(struct ctl *ctl, int argc, char **argv)
{
	char addr[64];
	int bits, code = CTL_OK;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "whom? sluicectl deny del PREFIX");
	if (!parse_prefix(ctl, argv[0], addr, &bits) ||
	    !ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	return done(ctl, ctl_ask(ctl, request("deny-del", addr, bits), &code), code, "taken away");
}

/* One entry as people read it: prefix, reason, time left, hits, note. NULL: a free one. */
static json_t *row_of(const json_t *entry, const json_t *notes)
{
	const json_t *f = json_object_get(entry, "formatted");
	const json_t *value = json_object_get(f ? f : entry, "value");
	const json_t *bytes = json_object_get(value, "addr");
	unsigned long long family = ctl_u64(value, "family"), note = ctl_u64(value, "note");
	uint8_t raw[16] = {0};
	char addr[INET6_ADDRSTRLEN], prefix[80], key[24];
	if (family != 4 && family != 6)
		return NULL;
	for (size_t i = 0; i < 16; i++)
		raw[i] = (uint8_t)json_integer_value(json_array_get(bytes, i));
	inet_ntop(family == 4 ? AF_INET : AF_INET6, raw, addr, sizeof(addr));
	snprintf(prefix, sizeof(prefix), "%s/%llu", addr, ctl_u64(value, "len"));
	snprintf(key, sizeof(key), "%llu", note);
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	unsigned long long now_ns = (unsigned long long)now.tv_sec * 1000000000u;
	unsigned long long expires = ctl_u64(value, "expires_ns"),
			   created = ctl_u64(value, "created_ns");
	const char *reason = ctl_str(value, "reason");
	json_t *row =
		json_pack("{s:s,s:s,s:I,s:I,s:s}", "prefix", prefix, "reason",
			  strncmp(reason, "SHIELD_DENY_", 12) == 0 ? reason + 12 : reason, "hits",
			  (json_int_t)ctl_u64(value, "hits"), "age_s",
			  (json_int_t)(now_ns > created ? (now_ns - created) / 1000000000u : 0),
			  "note", note ? ctl_str(notes, key) : "");
	json_object_set_new(
		row, "left_s",
		expires == 0 ? json_null() :
			       json_integer(expires > now_ns ?
						    (json_int_t)((expires - now_ns) / 1000000000u) :
						    0));
	return row;
}

/* {"1":"scanners",…} by the number of the note */
static json_t *notes_of(const json_t *dump)
{
	json_t *notes = json_object();
	const json_t *e;
	size_t i;
	json_array_foreach(dump, i, e)
	{
		const json_t *f = json_object_get(e, "formatted");
		const char *text = ctl_str(json_object_get(f ? f : e, "value"), "text");
		char key[24];
		snprintf(key, sizeof(key), "%zu", i);
		if (i && *text)
			json_object_set_new(notes, key, json_string(text));
	}
	return notes;
}

static json_t *dump(struct ctl *ctl, const char *dir, const char *name, int *code)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	const char *args[] = {"map", "dump", "pinned", path, NULL};
	return ctl_bpftool(ctl, args, code);
}

static int read_list(struct ctl *ctl, const char *dir, json_t *rows)
{
	int code = CTL_OK;
	char path[600];
	snprintf(path, sizeof(path), "%s/deny_entry", dir);
	if (!ctl->show_command && access(path, F_OK) != 0 && errno == ENOENT)
		return CTL_OK; /* never had an entry */
	json_t *notes_dump = dump(ctl, dir, "deny_note", &code), *notes;
	json_t *entries = notes_dump ? dump(ctl, dir, "deny_entry", &code) : NULL, *e;
	size_t i;
	notes = notes_of(notes_dump);
	json_array_foreach(entries, i, e)
	{
		json_t *row = row_of(e, notes);
		if (row)
			json_array_append_new(rows, row);
	}
	json_decref(notes_dump);
	json_decref(entries);
	json_decref(notes);
	return code;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	const char *dir = ctl_pin_dir(ctl, "lists", &code);
	if (dir == NULL)
		return code;
	json_t *rows = json_array(), *r;
	size_t i;
	code = read_list(ctl, dir, rows);
	if (code != CTL_OK || ctl->show_command) {
		json_decref(rows);
		return code;
	}
	if (ctl_print_json(ctl, json_incref(rows))) {
		json_decref(rows);
		return CTL_OK;
	}
	json_decref(rows);
	printf("%-44s %-9s %-10s %12s  %s\n", "PREFIX", "REASON", "LEFT", "HITS", "NOTE");
	json_array_foreach(rows, i, r)
		printf("%-44s %-9s %-10s %12s  %s\n", ctl_str(r, "prefix"), ctl_str(r, "reason"),
		       json_is_null(json_object_get(r, "left_s")) ? "for ever" :
								    ctl_span(ctl_u64(r, "left_s")),
		       ctl_count(ctl_u64(r, "hits")), ctl_str(r, "note"));
	json_decref(rows);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "", "every entry with its reason, time left, packets dropped and note",
	 VIA_BPFTOOL},
	{"add", add, "PREFIX [for TIME] [note TEXT] [force yes]",
	 "drop packets from there to what is protected; without `for`: until taken away or sluiced "
	 "stops; TIME is 30s, 10m, 2h, 7d, or a plain number of seconds; prefixes shorter than /8 "
	 "(IPv4) or /16 (IPv6) would lock out nearly everybody and want `force yes`",
	 VIA_DAEMON},
	{"del", del, "PREFIX", "take exactly this prefix away", VIA_DAEMON},
	{0},
};
const struct object deny_object = {
	.name = "deny",
	.verbs = verbs,
	.help = "sources that XDP drops",
	.examples = "  sluicectl deny add 203.0.113.0/24 for 10m note scanners\n"
		    "  sluicectl deny add 2001:db8:bad::/48\n"
		    "  sluicectl deny del 203.0.113.0/24\n"
		    "  sluicectl --show-command deny show\n",
};
