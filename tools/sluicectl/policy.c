/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.c - what the shield protects and how it judges: looked at, checked, tried, kept.
 *
 * A file goes to the daemon as text, with its includes, in memory that nobody can change any more;
 * the keeper has it read by a child without rights. So who may use the control socket can try a
 * policy, and only files that he himself can read. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/handover.h"
#include "bpf/abi.h"
#include "config/bundle.h"
#include "keeper/channel.h"
#include "tools/sluicectl/ctl.h"

/* ── a file goes out ── */

/* Standard input or a FIFO can be read once and is opened by name more often: all of it becomes our
 * standard input, as memory. */
static const char *settled(const struct ctl *ctl, const char *path, int *code)
{
	struct stat st;
	size_t n = 0;
	int fd = ctl_open_in(ctl, path, code);
	if (fd < 0)
		return NULL;
	bool is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && strcmp(path, "-") != 0;
	uint8_t *text = is_file ? NULL : ctl_slurp(fd, KEEPER_BUNDLE_MAX, &n);
	int memory = text ? handover_memfd("sluice-policy", text, n) : -1;
	close(fd);
	free(text);
	if (is_file)
		return path;
	if (memory < 0 || dup2(memory, STDIN_FILENO) < 0) {
		*code = ctl_fail(ctl, CTL_REFUSED, "%s cannot be read: %s", ctl_arg(path),
				 memory < 0 && text ? strerror(-memory) : strerror(errno));
		return NULL;
	}
	close(memory);
	return "/dev/stdin";
}

/* Why there is no bundle: once, with its place; several are told one by one before. */
static int refuse_bundle(const struct ctl *ctl, const struct config_errors *errs)
{
	const struct config_error *e = &errs->list[0];
	if (errs->n > 1 && !ctl->json) {
		config_error_print(errs, stderr);
		return ctl_fail(ctl, CTL_REFUSED, "%u mistakes: nothing is changed", errs->n);
	}
	if (e->file && e->line)
		return ctl_fail(ctl, CTL_REFUSED, "%s:%d: %s", ctl_arg(e->file), e->line, e->text);
	return ctl_fail(ctl, CTL_REFUSED, "%s%s%s", e->file ? ctl_arg(e->file) : "",
			e->file ? ": " : "", e->text);
}

/* The bundle as a sealed memfd; -1 after saying every mistake. */
static int bundle(const struct ctl *ctl, const char *path, int *code)
{
	struct config_errors errs = {0};
	path = settled(ctl, path, code);
	if (path == NULL)
		return -1;
	char *text = config_bundle(path, KEEPER_BUNDLE_MAX, &errs);
	int fd = text ? handover_memfd("sluice-policy", text, strlen(text)) : -1;
	if (text == NULL)
		*code = refuse_bundle(ctl, &errs);
	else if (fd < 0)
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", ctl_arg(path), strerror(-fd));
	config_errors_fini(&errs);
	free(text);
	return fd < 0 ? -1 : fd;
}

static int check(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which file? sluicectl policy check FILE");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	int fd = bundle(ctl, argv[0], &code);
	if (fd < 0)
		return code;
	json_t *q = json_pack("{s:s}", "ask", "policy-check");
	return ctl_say_report(ctl, ctl_exchange(ctl, q, fd, &code), code);
}

/* The end of a long name says more than its begin; whole characters only. */
static const char *short_name(const char *path)
{
	size_t n = strlen(path);
	const char *p = n > KEEPER_NOTE_MAX ? path + n - KEEPER_NOTE_MAX : path;
	while (((unsigned char)*p & 0xc0) == 0x80)
		p++;
	return ctl_clean(p);
}

static int try(struct ctl *ctl, int argc, char **argv)
{
	const char *span = NULL;
	const struct keyword words[] = {{"for", &span}};
	long long seconds = 60;
	int code = CTL_OK;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which file? sluicectl policy try FILE [for TIME]");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, words, 1))
		return CTL_USAGE;
	if (span && (!ctl_duration(span, &seconds) || seconds < 1 || seconds > KEEPER_TRY_MAX_S))
		return ctl_fail(ctl, CTL_USAGE, "for: 30s, 10m or 1h, 1s to 24h, not '%s'",
				ctl_arg(span));
	int fd = bundle(ctl, argv[0], &code);
	if (fd < 0)
		return code;
	json_t *q = json_pack("{s:s,s:I,s:s}", "ask", "policy-try", "seconds", (json_int_t)seconds,
			      "note",
			      strcmp(argv[0], "-") == 0 ? "standard input" : short_name(argv[0]));
	return ctl_say_report(ctl, ctl_exchange(ctl, q, fd, &code), code);
}

static int end_trial(struct ctl *ctl, int argc, char **argv, const char *ask)
{
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	return ctl_say_report(ctl, ctl_exchange(ctl, json_pack("{s:s}", "ask", ask), -1, &code),
			      code);
}

static int confirm(struct ctl *ctl, int argc, char **argv)
{
	return end_trial(ctl, argc, argv, "policy-confirm");
}

static int revert(struct ctl *ctl, int argc, char **argv)
{
	return end_trial(ctl, argc, argv, "policy-revert");
}

/* ── show: out of the pinned maps ── */

/* The value at key `key` of an array that bpftool has dumped. */
static const json_t *value_at(const json_t *map, unsigned long long key)
{
	const json_t *e;
	size_t i;
	json_array_foreach(map, i, e) if (ctl_u64(ctl_formatted(e), "key") ==
					  key) return json_object_get(ctl_formatted(e), "value");
	return NULL;
}

/* {"addr":[…],"family":4,"len":24} → "203.0.113.0/24" */
static json_t *prefix_of(const json_t *p)
{
	uint8_t raw[16] = {0};
	char addr[INET6_ADDRSTRLEN], text[80];
	const json_t *bytes = json_object_get(p, "addr");
	for (size_t i = 0; i < 16; i++)
		raw[i] = (uint8_t)json_integer_value(json_array_get(bytes, i));
	inet_ntop(ctl_u64(p, "family") == 4 ? AF_INET : AF_INET6, raw, addr, sizeof(addr));
	snprintf(text, sizeof(text), "%s/%llu", addr, ctl_u64(p, "len"));
	return json_string(text);
}

static json_t *ports_text(unsigned long long first, unsigned long long last)
{
	char text[32];
	snprintf(text, sizeof(text), last > first ? "%llu-%llu" : "%llu", first, last);
	return json_string(text);
}

/* One row per run of ports: [{"ports":"443","proto":"tcp","to":["203.0.113.0/24"]}] */
static json_t *protected_rows(const json_t *port, const json_t *at, const json_t *rates,
			      unsigned long long bank)
{
	json_t *rows = json_array();
	const json_t *e;
	size_t i;
	json_array_foreach(port, i, e)
	{
		const json_t *key = json_object_get(ctl_formatted(e), "key");
		const json_t *value = json_object_get(ctl_formatted(e), "value");
		unsigned long long bits = ctl_u64(value, "prefixes");
		const json_t *word = json_object_get(value, "prefixes");
		if (ctl_u64(key, "port") == 0)
			continue;
		if (json_is_integer(word)) /* bit 63 makes it negative */
			bits = (unsigned long long)json_integer_value(word);
		json_t *to = json_array();
		if (ctl_u64(value, "any_v4"))
			json_array_append_new(to, json_string("0.0.0.0/0"));
		if (ctl_u64(value, "any_v6"))
			json_array_append_new(to, json_string("::/0"));
		for (unsigned b = 0; b < 64; b++)
			if (bits >> b & 1)
				json_array_append_new(to, prefix_of(json_array_get(at, b)));
		json_t *row = json_object();
		json_object_set_new(row, "ports",
				    ports_text(ctl_u64(key, "port"), ctl_u64(key, "last")));
		json_object_set_new(row, "proto",
				    json_string(strcmp(ctl_str(key, "proto"), "L4_UDP") ? "tcp" :
											  "udp"));
		json_object_set_new(row, "to", to);
		json_object_set_new(
			row, "rate",
			json_string(ctl_str(
				value_at(rates, bank * SHIELD_RATES_MAX + ctl_u64(value, "rate")),
				"name")));
		json_array_append_new(rows, row);
	}
	return rows;
}

static int by_port(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int d = strcmp(ctl_str(x, "proto"), ctl_str(y, "proto"));
	long p = strtol(ctl_str(x, "ports"), NULL, 10), q = strtol(ctl_str(y, "ports"), NULL, 10);
	return d ? d : (p > q) - (p < q);
}

/* A hash has no order; takes `rows`. */
static json_t *sorted(json_t *rows)
{
	size_t n = json_array_size(rows);
	json_t *out = json_array(), **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++)
		list[i] = json_array_get(rows, i);
	if (list)
		qsort(list, n, sizeof(*list), by_port);
	for (size_t i = 0; list && i < n; i++)
		json_array_append(out, list[i]);
	free(list);
	json_decref(rows);
	return out;
}

static bool bit(const json_t *words, unsigned i)
{
	return (unsigned long long)json_integer_value(json_array_get(words, i / 64)) >> i % 64 & 1;
}

/* {"prefixes":["192.0.2.0/28"],"ports":["22"]} */
static json_t *door(const json_t *m)
{
	json_t *prefixes = json_array(), *ports = json_array();
	const json_t *words = json_object_get(m, "port");
	for (unsigned long long i = 0; i < ctl_u64(m, "n"); i++)
		json_array_append_new(prefixes,
				      prefix_of(json_array_get(json_object_get(m, "at"), i)));
	for (unsigned p = 0; p < 65536; p++) {
		unsigned last = p;
		if (!bit(words, p))
			continue;
		while (last < 65535 && bit(words, last + 1))
			last++;
		json_array_append_new(ports, ports_text(p, last));
		p = last;
	}
	return json_pack("{s:o,s:o}", "prefixes", prefixes, "ports", ports);
}

/* RULE_ENFORCE → enforce */
static json_t *modes(const json_t *rules)
{
	static const struct {
		const char *abi, *word;
	} words[] = {{"RULE_ENFORCE", "enforce"}, {"RULE_OBSERVE", "observe"}, {"RULE_OFF", "off"}};
	json_t *out = json_object();
	const char *rule;
	const json_t *v;
	json_object_foreach((json_t *)rules, rule, v)
	{
		for (size_t i = 0; json_is_string(v) && i < sizeof(words) / sizeof(words[0]); i++)
			if (strcmp(json_string_value(v), words[i].abi) == 0)
				json_object_set_new(out, rule, json_string(words[i].word));
	}
	return out;
}

/* Milliseconds that the trial has left; -1: there is none. */
static long long trial_left(const json_t *policy)
{
	struct timespec now;
	unsigned long long ends = ctl_u64(policy, "trial_ends_ns"), t;
	clock_gettime(CLOCK_MONOTONIC, &now);
	t = (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
	return ends > t ? (long long)((ends - t) / 1000000u) : -1;
}

static void join(const json_t *list, const char *none)
{
	const json_t *s;
	size_t i;
	if (json_array_size(list) == 0)
		printf("%s", none);
	json_array_foreach(list, i, s)
		printf("%s%s", i ? ", " : "", ctl_clean(json_string_value(s)));
}

static void print_policy(const json_t *p)
{
	const json_t *v, *rules = json_object_get(p, "rules"), *m = json_object_get(p, "manage");
	const char *rule;
	size_t i;
	if (json_is_integer(json_object_get(p, "trial_left_ms")))
		printf("on trial: %s left, then the policy before comes back\n",
		       ctl_span((ctl_u64(p, "trial_left_ms") + 999) / 1000));
	json_object_foreach((json_t *)rules, rule, v)
		printf("rule %-10s %s\n", ctl_clean(rule), ctl_str(rules, rule));
	json_array_foreach(json_object_get(p, "protect"), i, v)
	{
		printf("protect %s port %s at ", ctl_str(v, "proto"), ctl_str(v, "ports"));
		join(json_object_get(v, "to"), "no address");
		if (strcmp(ctl_str(v, "rate"), "default") != 0)
			printf(", rate class %s", ctl_str(v, "rate"));
		putchar('\n');
	}
	printf("manage ");
	join(json_object_get(m, "prefixes"), "nobody");
	printf(" to port ");
	join(json_object_get(m, "ports"), "none");
	putchar('\n');
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	static const char *const names[] = {"policy",       "rules",  "protect_port",
					    "protect_addr", "manage", "rates"};
	enum { MAPS = sizeof(names) / sizeof(names[0]) };
	json_t *map[MAPS] = {NULL};
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	for (size_t i = 0; i < MAPS; i++)
		map[i] = code == CTL_OK ? ctl_dump(ctl, names[i], &code) : NULL;
	if (code == CTL_OK && !ctl->show_command) {
		const json_t *policy = value_at(map[0], 0);
		long long left = trial_left(policy);
		unsigned long long bank = ctl_u64(policy, "bank");
		if (ctl_u64(policy, "trial_ends_ns") && left < 0)
			bank = !bank; /* it is over: the program reads the other one */
		json_t *out = json_pack(
			"{s:o,s:o,s:o}", "rules", modes(value_at(map[1], bank)), "protect",
			sorted(protected_rows(map[2], json_object_get(value_at(map[3], bank), "at"),
					      map[5], bank)),
			"manage", door(value_at(map[4], 0)));
		if (left >= 0)
			json_object_set_new(out, "trial_left_ms", json_integer(left));
		if (!ctl->json)
			print_policy(out);
		if (!ctl_print_json(ctl, out))
			json_decref(out);
	}
	for (size_t i = 0; i < MAPS; i++)
		json_decref(map[i]);
	return code;
}

static const struct verb verbs[] = {
	{"show", show, "",
	 "what is protected and by which rate class, the mode of each rule, who manages; and how long a "
	 "trial still runs",
	 VIA_BPFTOOL},
	{"check", check, "FILE|-",
	 "is this sluice.conf right (- is standard input, called /dev/stdin in what is said of it, and includes nothing)? Every mistake with its line, and what of it would take a restart; "
	 "nothing is changed",
	 VIA_DAEMON},
	{"try", try, "FILE|- [for TIME]",
	 "the policy of this sluice.conf (see Changes in sluice.conf(5)) at once, for 60s or as long as TIME says "
	 "(1s to 24h). Then the policy before comes back by itself, though the daemon may have died, "
	 "unless `confirm` came first. Nothing else can be tried",
	 VIA_DAEMON},
	{"confirm", confirm, "",
	 "keep the policy on trial; says so if the file that the daemon was started with is another, "
	 "because the next start goes by that",
	 VIA_DAEMON},
	{"revert", revert, "", "end the trial now", VIA_DAEMON},
	{0},
};
const struct object policy_object = {
	.name = "policy",
	.verbs = verbs,
	.help = "what the shield protects, and how it judges",
	.examples = "  sluicectl policy show\n"
		    "  sluicectl policy check /etc/sluice/next.conf\n"
		    "  sluicectl policy try /etc/sluice/next.conf for 2m\n"
		    "  sluicectl policy confirm\n",
};
