/* SPDX-License-Identifier: BSD-2-Clause */
/* list.c - who is dropped before anything else is spent on him, and who is not: the objects deny and
 * allow, which are alike. Changing a list goes through the daemon (the maps are the keeper's alone to
 * write). A short list is shown through bpftool; a long one is looked at where it lies
 * (list_pages.c), a dump of it would be a gigabyte of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "tools/sluicectl/ctl.h"
#include "tools/sluicectl/list.h"

/* ::ffff:192.0.2.7 is how programs write an IPv4 address where they want IPv6; on the wire it is IPv4,
 * and as that it is meant here, as in files. False: it is wider than all of IPv4. */
static bool unmap(uint8_t raw[16], char addr[64], int *max, long long *bits)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (*max != 128 || memcmp(raw, mapped, sizeof(mapped)) != 0)
		return true;
	memmove(raw, raw + 12, 4);
	inet_ntop(AF_INET, raw, addr, 64);
	*max = 32;
	*bits -= 96;
	return *bits >= 0;
}

/* "203.0.113.0/24" → address and bits; a bare address is one host. */
static bool parse_prefix(const struct ctl *ctl, const char *text, char addr[64], int *bits)
{
	uint8_t raw[16];
	long long b;
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	if (n == 0 || n >= 64) {
		ctl_fail(ctl, CTL_USAGE, "'%s' is no address or prefix", ctl_arg(text));
		return false;
	}
	memcpy(addr, text, n);
	addr[n] = 0;
	int max = inet_pton(AF_INET, addr, raw) == 1  ? 32 :
		  inet_pton(AF_INET6, addr, raw) == 1 ? 128 :
							0;
	if (max == 0) {
		ctl_fail(ctl, CTL_USAGE,
			 "'%s' is no address: 192.0.2.7, 203.0.113.0/24 or 2001:db8::/64",
			 ctl_arg(text));
		return false;
	}
	b = max;
	if (slash && !ctl_number(slash + 1, max, &b)) {
		ctl_fail(ctl, CTL_USAGE, "'%s': the prefix length is 0 to %d", ctl_arg(text), max);
		return false;
	}
	if (!unmap(raw, addr, &max, &b)) {
		ctl_fail(ctl, CTL_USAGE, "'%s': of IPv4 written as IPv6 the length is 96 to 128",
			 ctl_arg(text));
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

/* "deny-add", "allow-del" … */
static const char *ask_of(const struct ctl *ctl, const char *what)
{
	static char ask[32];
	snprintf(ask, sizeof(ask), "%s-%s", ctl->object, what);
	return ask;
}

/* A denial that would end the connection over which it is typed. */
static bool hits_caller(struct ctl *ctl, const char *addr, int bits)
{
	struct list_caller who = list_caller();
	uint8_t raw[16] = {0};
	unsigned family = inet_pton(AF_INET, addr, raw) == 1 ? 4 : 6;
	if (strcmp(ctl->object, "deny") != 0)
		return false;
	if (family == 6)
		inet_pton(AF_INET6, addr, raw);
	if (!list_caller_in(&who, family, raw, (unsigned)bits))
		return false;
	ctl_fail(ctl, CTL_REFUSED, "%s/%d would lock out %s; `force yes` if that is meant", addr,
		 bits, list_caller_str(&who));
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
		return ctl_fail(ctl, CTL_USAGE, "whom? sluicectl %s add PREFIX [for TIME]",
				ctl->object);
	if (!parse_prefix(ctl, argv[0], addr, &bits) ||
	    !ctl_keywords(ctl, argc - 1, argv + 1, words, 3))
		return CTL_USAGE;
	if (span && (!ctl_duration(span, &seconds) || seconds < 1 || seconds > 366LL * 86400))
		return ctl_fail(ctl, CTL_USAGE,
				"for: 30s, 10m (or 10min), 2h or 7d; a plain number is seconds; "
				"1s to 366d, not '%s'",
				ctl_arg(span));
	if (force && strcmp(force, "yes") != 0)
		return ctl_fail(ctl, CTL_USAGE, "force: only `yes`, not '%s'", ctl_arg(force));
	if (note && strlen(note) > 63)
		return ctl_fail(ctl, CTL_USAGE, "note: at most 63 bytes");
	if (!force && hits_caller(ctl, addr, bits))
		return CTL_REFUSED;
	json_t *q = request(ask_of(ctl, "add"), addr, bits);
	json_object_set_new(q, "seconds", json_integer(seconds));
	if (force)
		json_object_set_new(q, "force", json_true());
	if (note)
		json_object_set_new(q, "note", json_string(note));
	return done(ctl, ctl_ask(ctl, q, &code), code, "done");
}

static int del(struct ctl *ctl, int argc, char **argv)
{
	char addr[64];
	int bits, code = CTL_OK;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "whom? sluicectl %s del PREFIX", ctl->object);
	if (!parse_prefix(ctl, argv[0], addr, &bits) ||
	    !ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	return done(ctl, ctl_ask(ctl, request(ask_of(ctl, "del"), addr, bits), &code), code,
		    "taken away");
}

static int unload(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which set? sluicectl %s unload SET", ctl->object);
	if (!ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	json_t *q = json_pack("{s:s,s:s}", "ask", ask_of(ctl, "drop"), "set", argv[0]);
	json_t *answer = ctl_exchange(ctl, q, -1, &code);
	if (answer && !json_is_true(json_object_get(answer, "ok"))) {
		bool busy = json_is_true(json_object_get(answer, "busy"));
		code = ctl_fail(ctl, busy ? CTL_BUSY : CTL_REFUSED, "%s", ctl_str(answer, "error"));
		json_decref(answer);
		return code;
	}
	return done(ctl, answer, code, "taken away");
}

/* ── show: through bpftool ── */

static json_t *value_of(const json_t *entry)
{
	const json_t *f = json_object_get(entry, "formatted");
	return json_object_get(f ? f : entry, "value");
}

static json_t *dump(struct ctl *ctl, const char *dir, const char *name, int *code)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	const char *args[] = {"map", "dump", "pinned", path, NULL};
	return ctl_bpftool(ctl, args, code);
}

static json_t *dump_own(struct ctl *ctl, const char *dir, const char *what, int *code)
{
	char name[32];
	snprintf(name, sizeof(name), "%s_%s", ctl->object, what);
	return dump(ctl, dir, name, code);
}

static unsigned list_id(const struct ctl *ctl)
{
	return strcmp(ctl->object, "allow") == 0 ? LIST_ALLOW : LIST_DENY;
}

static const char *set_name(const struct ctl *ctl, const json_t *sets, unsigned long long set)
{
	return ctl_str(value_of(json_array_get(sets, list_id(ctl) * LIST_SETS_MAX + set)), "name");
}

static const char *note_of(const json_t *entry)
{
	const char *raw = ctl_raw_text(entry, offsetof(struct list_note, text),
				       sizeof(((struct list_note *)0)->text));
	return raw ? raw : ctl_str(value_of(entry), "text");
}

/* One entry as people read it: prefix, reason, time left, hits, note. NULL: a free one. */
static json_t *row_of(const struct ctl *ctl, const json_t *entry, unsigned long long since_build,
		      const json_t *notes, const json_t *sets)
{
	const json_t *value = value_of(entry), *bytes = json_object_get(value, "addr");
	unsigned long long family = ctl_u64(value, "family"), note = ctl_u64(value, "note");
	struct list_row row = {
		.hits = ctl_u64(value, "hits") + since_build,
		.expires_ns = ctl_u64(value, "expires_ns"),
		.created_ns = ctl_u64(value, "created_ns"),
		.family = (unsigned)family,
		.len = (unsigned)ctl_u64(value, "len"),
		.set = set_name(ctl, sets, ctl_u64(value, "set")),
		.note = note ? note_of(json_array_get(notes, note)) : "",
	};
	const char *reason = ctl_str(value, "reason");
	if (family != 4 && family != 6)
		return NULL;
	for (size_t i = 0; i < 16; i++)
		row.addr[i] = (uint8_t)json_integer_value(json_array_get(bytes, i));
	row.reason = strncmp(reason, "SHIELD_DENY_", 12) == 0 ? reason + 12 : reason;
	return list_row_json(&row);
}

/* Of entry `number`, in pages of the map of that. */
static unsigned long long hits_since_build(const json_t *hots, size_t number)
{
	const json_t *page = value_of(json_array_get(hots, number / LIST_HOTS));
	return ctl_u64(json_array_get(json_object_get(page, "at"), number % LIST_HOTS), "hits");
}

static int show_short(struct ctl *ctl, const char *dir)
{
	int code = CTL_OK;
	char path[600];
	json_t *notes = NULL, *entries = NULL, *hots = NULL, *sets = NULL, *rows = json_array(), *e;
	size_t i;
	snprintf(path, sizeof(path), "%s/%s_entry", dir, ctl->object);
	bool never = !ctl->show_command && access(path, F_OK) != 0 && errno == ENOENT;
	if (!never) /* it has had an entry */
		sets = dump(ctl, dir, "list_set", &code);
	if (sets)
		notes = dump_own(ctl, dir, "note", &code);
	if (notes)
		hots = dump_own(ctl, dir, "hot", &code);
	if (hots)
		entries = dump_own(ctl, dir, "entry", &code);
	json_array_foreach(entries, i, e)
	{
		json_t *row = row_of(ctl, e, hits_since_build(hots, i), notes, sets);
		if (row)
			json_array_append_new(rows, row);
	}
	json_decref(sets);
	json_decref(notes);
	json_decref(hots);
	json_decref(entries);
	if (code == CTL_OK && !ctl->show_command) {
		if (!ctl_print_json(ctl, json_incref(rows)))
			list_rows_print(rows);
		else
			rows = NULL;
	}
	if (rows)
		json_decref(rows);
	return code;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (argc >= 1 && ctl_prefix(argv[0], "sets") && !strchr(argv[0], '.'))
		return list_sets_show(ctl, argc - 1, argv + 1);
	if (argc >= 1)
		return list_around_show(ctl, argc, argv);
	const char *dir = ctl_pin_dir(ctl, "lists", &code);
	json_t *lists = dir ? dump(ctl, dir, "lists", &code) : NULL;
	if (lists == NULL)
		return code;
	const json_t *now = value_of(json_array_get(lists, list_id(ctl)));
	bool is_long = ctl_u64(now, "entries_max") > LIST_SHORT;
	json_decref(lists);
	return is_long ? list_long_show(ctl) : show_short(ctl, dir);
}

#define SHOW_HELP                                                                                  \
	"every entry with its reason, time left, packets it decided, set and note; of a list "     \
	"with more than some ten thousand: how many there are and the busiest. sets: the sets, "   \
	"what file each came from and when. ADDRESS: the entries around it, the innermost first"
#define DEL_HELP                                                                                   \
	"take exactly this prefix away, from every set that has it (a set that is loaded again "   \
	"brings its prefixes back)"
#define LOAD_HELP                                                                                  \
	"make a set be what a file says, at once, as a whole; FILE is text with a prefix a line "  \
	"(`for TIME` and `note TEXT` may follow it, # and ; begin comments), JSON (an array of "   \
	"strings or of {\"prefix\", \"for\", \"note\"}, or what export writes), - for standard "   \
	"input, or with countries or asns a MaxMind database. The set is called like the file "    \
	"unless NAME says otherwise. join: leave out what other prefixes of the file cover for "   \
	"at least as long with the same note, and make wholes of halves. skip: load the rest of "  \
	"a file that has mistakes. as: load what export -j wrote of the other list, which it "     \
	"says in it. wait: if another set is being loaded, so long for that to end, else exit "    \
	"code 4. Packets are judged by the old set until the new one is there"
#define EXPORT_HELP                                                                                \
	"every entry as text, or as JSON with -j, in a form that load takes; set -: those that "   \
	"are in no set"
#define ADD_HELP                                                                                                                      \
	"; ::ffff:192.0.2.7 means the IPv4 address; without `for`: until taken away; TIME is 30s, 10m, 2h, 7d, or a plain number of " \
	"seconds. What is added one by one lives on when another sluiced takes over or workers "                                      \
	"die, and ends when sluiced is stopped: what is to stay belongs in a file that "                                              \
	"sluice.conf names. "
#define VERBS(me, add_help, more_force)                                                            \
	{"show", show, "[sets | ADDRESS]", SHOW_HELP, VIA_BPFTOOL},                                \
		{"add", add, "PREFIX [for TIME] [note TEXT] [force yes]", add_help, VIA_DAEMON},   \
		{"del", del, "PREFIX", DEL_HELP, VIA_DAEMON},                                      \
		{"load", list_load,                                                                \
		 "FILE [set NAME] [countries CC,CC] [asns N,N] [join yes] [skip yes] [force yes] " \
		 "[as " me "] [wait TIME]",                                                        \
		 LOAD_HELP more_force, VIA_DAEMON},                                                \
		{"unload", unload, "SET", "take a whole set away", VIA_DAEMON},                    \
	{                                                                                          \
		"export", list_export, "[to FILE] [set NAME]", EXPORT_HELP, VIA_KERNEL             \
	}

static const struct verb deny_verbs[] = {
	VERBS("deny",
	      "drop packets from there to what is protected" ADD_HELP
	      "Prefixes shorter than /8 (IPv4) or /16 (IPv6), and those that lock out this host, "
	      "shield.manage.prefixes, trusted_proxies or the address that you come from by ssh, "
	      "want `force yes`",
	      ". What needs `force yes` to be added needs it here, too"),
	{"fingerprint", fingerprint_deny, "JA4 [for TIME]",
	 "let no program in whose ClientHello has this fingerprint: see sluicectl-fingerprint(8)",
	 VIA_DAEMON},
	{0},
};
const struct object deny_object = {
	.name = "deny",
	.verbs = deny_verbs,
	.help = "sources that XDP drops",
	.examples = "  sluicectl deny add 203.0.113.0/24 for 10m note scanners\n"
		    "  sluicectl deny add 2001:db8:bad::/48\n"
		    "  sluicectl deny del 203.0.113.0/24\n"
		    "  sluicectl deny load drop.txt\n"
		    "  sluicectl deny load GeoLite2-Country.mmdb countries AQ,BV set cold\n"
		    "  sluicectl -jp deny export set drop\n"
		    "  sluicectl --show-command deny show\n",
};

static const struct verb allow_verbs[] = {
	VERBS("allow",
	      "pass packets from there by the rules deny and rate, and by no other" ADD_HELP
	      "Prefixes shorter than /8 (IPv4) or /16 (IPv6) would open them to nearly everybody "
	      "and want `force yes`",
	      ". Short prefixes need `force yes` here, too"),
	{0},
};
const struct object allow_object = {
	.name = "allow",
	.verbs = allow_verbs,
	.help = "sources that the deny list and the rates do not touch",
	.examples = "  sluicectl allow add 198.51.100.7 note monitoring\n"
		    "  sluicectl allow load partners.json set partners\n"
		    "  sluicectl allow show 198.51.100.7\n",
};
