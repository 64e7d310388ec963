/* SPDX-License-Identifier: BSD-2-Clause */
/* drop.c - what the shield has dropped and why, out of the per-CPU counters. */
#include <ctype.h>
#include <string.h>

#include "tools/sluicectl/ctl.h"

static const struct {
	const char *field, *word, *rule, *text;
} reasons[] = {
#define REASON(name, word, rule, points, text) {#name, word, #rule, text},
#include "bpf/drop_reason.def"
#undef REASON
};
#define N_REASONS (sizeof(reasons) / sizeof(reasons[0]))

/* The sum of one field over all CPUs. */
static unsigned long long sum(const json_t *values, const char *field)
{
	unsigned long long n = 0;
	const json_t *v;
	size_t i;
	json_array_foreach(values, i, v) n += ctl_u64(json_object_get(v, "value"), field);
	return n;
}

/* Key 0 of drop_count is what fell, key 1 what rules in observe mode would have dropped. */
static const json_t *per_cpu(const json_t *dump, unsigned long long key)
{
	const json_t *entry;
	size_t i;
	json_array_foreach(dump, i, entry)
	{
		const json_t *f = json_object_get(entry, "formatted");
		if (ctl_u64(f ? f : entry, "key") == key)
			return json_object_get(f ? f : entry, "values");
	}
	return NULL;
}

static const char *lower(const char *s)
{
	static char buf[32];
	size_t n = 0;
	for (; *s && n + 1 < sizeof(buf); s++)
		buf[n++] = (char)tolower((unsigned char)*s);
	buf[n] = 0;
	return buf;
}

static json_t *dump(struct ctl *ctl, const char *name, int *code)
{
	char path[600];
	const char *dir = ctl_pin_dir(ctl, name, code);
	if (dir == NULL)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	const char *args[] = {"map", "dump", "pinned", path, NULL};
	return ctl_bpftool(ctl, args, code);
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	bool all = argc > 0 && ctl_prefix(argv[0], "all");
	if (argc > 0 && !all && argv[0][0] != '-')
		return ctl_fail(ctl, CTL_USAGE, "'%s': only 'all' may stand here", argv[0]);
	if (!ctl_keywords(ctl, argc - all, argv + all, NULL, 0))
		return CTL_USAGE;
	json_t *d = dump(ctl, "drop_count", &code);
	if (d == NULL || ctl->show_command) {
		json_decref(d);
		return code;
	}
	const json_t *fell = per_cpu(d, 0), *would = per_cpu(d, 1), *r;
	unsigned long long passed = sum(fell, "NONE"), dropped = 0, observed = 0;
	json_t *list = json_array();
	size_t i;
	for (i = 0; i < N_REASONS; i++) {
		unsigned long long n = sum(fell, reasons[i].field),
				   o = sum(would, reasons[i].field);
		dropped += n;
		observed += o;
		if (n || o || all || ctl->json)
			json_array_append_new(
				list,
				json_pack("{s:s,s:s,s:I,s:I,s:s}", "reason", reasons[i].word,
					  "rule", lower(reasons[i].rule), "packets", (json_int_t)n,
					  "observed", (json_int_t)o, "text", reasons[i].text));
	}
	json_decref(d);
	if (ctl->json) {
		ctl_print_json(ctl, json_pack("{s:I,s:I,s:I,s:o}", "passed", (json_int_t)passed,
					      "dropped", (json_int_t)dropped, "observed",
					      (json_int_t)observed, "reasons", list));
		return CTL_OK;
	}
	printf("judged %s packets to protected addresses and ports: %s passed, %s dropped\n",
	       ctl_count(passed + dropped), ctl_count(passed), ctl_count(dropped));
	if (observed)
		printf("rules in observe mode would have dropped %s, counted once per rule and "
		       "packet\n",
		       ctl_count(observed));
	if (json_array_size(list))
		printf("%15s %15s  %-10s %-20s %s\n", "DROPPED", "OBSERVED", "RULE", "REASON", "");
	json_array_foreach(list, i, r)
		printf("%15s %15s  %-10s %-20s %s\n", ctl_count(ctl_u64(r, "packets")),
		       ctl_count(ctl_u64(r, "observed")), ctl_str(r, "rule"), ctl_str(r, "reason"),
		       ctl_str(r, "text"));
	json_decref(list);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "[all]",
	 "packets per reason: dropped, and observed, which are those that a rule in observe mode would "
	 "have dropped; with all: also the reasons that never occurred, which JSON "
	 "always has",
	 VIA_BPFTOOL},
	{"explain", drop_explain, "HEX|FILE|- [interface NAME]",
	 "what the program in force would do with these packets, and why: a packet in hex from its "
	 "Ethernet header on, or a capture file (as tcpdump -w writes it), or either on standard "
	 "input; with interface: as if they came in there. Nothing is counted by asking",
	 VIA_KERNEL},
	{"capture", drop_capture, "out FILE [KEYWORD VALUE]...",
	 "dropped packets into a capture file for tcpdump or Wireshark, `-` for standard output: up to "
	 "1000 within 60s if nothing else is said. Keywords: reason WORD[,WORD]..., count N, for TIME, "
	 "via ring|xsk, and one-in N: one of so many, at random. They come by "
	 "AF_XDP sockets, whole, where the interfaces' drivers have them, else by a ring buffer, cut "
	 "at 2016 bytes",
	 VIA_KERNEL},
	{0},
};
const struct object drop_object = {
	.name = "drop",
	.verbs = verbs,
	.help = "what the shield dropped, by reason",
	.examples = "  sluicectl drop show\n  sluicectl -jp drop show\n"
		    "  sluicectl --show-command drop show\n"
		    "  sluicectl drop explain odd.pcap interface eth0\n"
		    "  sluicectl drop capture out denied.pcap reason denied count 100\n"
		    "  sluicectl drop capture out - for 10s | tcpdump -nr -\n",
};
