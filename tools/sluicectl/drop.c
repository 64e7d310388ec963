/* SPDX-License-Identifier: BSD-2-Clause */
/* drop.c - what the shield has dropped and why, out of the per-CPU counters. */
#include <ctype.h>
#include <net/if.h>
#include <string.h>

#include "tools/sluicectl/ctl.h"

static const struct {
	const char *field, *word, *rule, *text;
} reasons[] = {
#define REASON(name, word, rule, text) {#name, word, #rule, text},
#include "bpf/drop_reason.def"
#undef REASON
};
#define N_REASONS (sizeof(reasons) / sizeof(reasons[0]))

void ctl_reasons(FILE *out)
{
	for (size_t i = 0; i < N_REASONS; i++)
		fprintf(out, "%s\n", reasons[i].word);
}

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
		if (ctl_u64(ctl_formatted(entry), "key") == key)
			return json_object_get(ctl_formatted(entry), "values");
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

static const char *const rules[] = {"malformed", "allow", "deny", "rate", "flow", "syn"};
#define N_RULES (sizeof(rules) / sizeof(rules[0]))

/* What came to each interface, and which rule took what of it. */
static json_t *interfaces(const struct ctl *ctl, const json_t *dump)
{
	json_t *list = json_array();
	const json_t *entry;
	size_t i;
	json_array_foreach(dump, i, entry)
	{
		const json_t *values = json_object_get(ctl_formatted(entry), "values");
		const json_t *first = json_object_get(json_array_get(values, 0), "value");
		char name[IF_NAMESIZE], field[32];
		unsigned ifindex = (unsigned)ctl_u64(first, "ifindex");
		json_t *by = json_object();
		if (!ifindex) {
			json_decref(by);
			continue;
		}
		ctl_ifname(ctl, ifindex, name);
		for (size_t r = 0; r < N_RULES; r++) {
			snprintf(field, sizeof(field), "by_%s", rules[r]);
			json_object_set_new(by, rules[r],
					    json_integer((json_int_t)sum(values, field)));
		}
		json_array_append_new(list,
				      json_pack("{s:s,s:I,s:I,s:o}", "interface", name, "passed",
						(json_int_t)sum(values, "passed"), "dropped",
						(json_int_t)sum(values, "dropped"), "by_rule", by));
	}
	return list;
}

/* A row of what each rule dropped; the allow list drops nothing. */
static void print_by_rule(const char *name, unsigned long long passed, unsigned long long dropped,
			  const unsigned long long by[N_RULES])
{
	printf("%-15s %15s %15s", name, ctl_count(passed), ctl_count(dropped));
	for (size_t r = 0; r < N_RULES; r++)
		if (strcmp(rules[r], "allow") != 0)
			printf(" %12s", ctl_count(by[r]));
	putchar('\n');
}

/* And below them what all together have dropped; and those that are gone. */
static void print_interfaces(const json_t *list, const json_t *by_rule, unsigned long long passed,
			     unsigned long long dropped)
{
	unsigned long long by[N_RULES];
	const json_t *e;
	size_t i, r;
	printf("\n%-15s %15s %15s", "INTERFACE", "PASSED", "DROPPED");
	for (r = 0; r < N_RULES; r++)
		if (strcmp(rules[r], "allow") != 0)
			printf(" %12s", rules[r]);
	putchar('\n');
	json_array_foreach(list, i, e)
	{
		for (r = 0; r < N_RULES; r++)
			by[r] = ctl_u64(json_object_get(e, "by_rule"), rules[r]);
		print_by_rule(ctl_str(e, "interface"), ctl_u64(e, "passed"), ctl_u64(e, "dropped"),
			      by);
	}
	for (r = 0; r < N_RULES; r++)
		by[r] = ctl_u64(json_object_get(by_rule, rules[r]), "packets");
	print_by_rule("all", passed, dropped, by);
}

/* A row per reason; adds up what fell and what would have. */
static json_t *reason_rows(const json_t *counts, bool every, unsigned long long *dropped,
			   unsigned long long *observed, json_t *by_rule)
{
	const json_t *fell = per_cpu(counts, 0), *would = per_cpu(counts, 1);
	json_t *list = json_array();
	for (size_t i = 0; i < N_REASONS; i++) {
		unsigned long long n = sum(fell, reasons[i].field),
				   o = sum(would, reasons[i].field);
		const char *rule = lower(reasons[i].rule);
		json_t *r = json_object_get(by_rule, rule);
		*dropped += n;
		*observed += o;
		if (r == NULL) {
			r = json_pack("{s:i,s:i}", "packets", 0, "observed", 0);
			json_object_set_new(by_rule, rule, r);
		}
		json_object_set_new(r, "packets",
				    json_integer((json_int_t)(ctl_u64(r, "packets") + n)));
		json_object_set_new(r, "observed",
				    json_integer((json_int_t)(ctl_u64(r, "observed") + o)));
		if (n || o || every)
			json_array_append_new(
				list, json_pack("{s:s,s:s,s:I,s:I,s:s}", "reason", reasons[i].word,
						"rule", rule, "packets", (json_int_t)n, "observed",
						(json_int_t)o, "text", reasons[i].text));
	}
	return list;
}

static void print_reasons(const json_t *list)
{
	const json_t *r;
	size_t i;
	if (json_array_size(list))
		printf("%15s %15s  %-10s %-20s %s\n", "DROPPED", "OBSERVED", "RULE", "REASON", "");
	json_array_foreach(list, i, r)
		printf("%15s %15s  %-10s %-20s %s\n", ctl_count(ctl_u64(r, "packets")),
		       ctl_count(ctl_u64(r, "observed")), ctl_str(r, "rule"), ctl_str(r, "reason"),
		       ctl_str(r, "text"));
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	int code = CTL_OK;
	bool all = argc > 0 && ctl_prefix(argv[0], "all");
	if (argc > 0 && !all && argv[0][0] != '-')
		return ctl_fail(ctl, CTL_USAGE, "'%s': only 'all' may stand here",
				ctl_arg(argv[0]));
	if (!ctl_keywords(ctl, argc - all, argv + all, NULL, 0))
		return CTL_USAGE;
	json_t *counts = ctl_dump(ctl, "drop_count", &code);
	json_t *ifaces = counts ? ctl_dump(ctl, "iface", &code) : NULL;
	if (ifaces == NULL || ctl->show_command) {
		json_decref(counts);
		json_decref(ifaces);
		return code;
	}
	unsigned long long passed = sum(per_cpu(counts, 0), "NONE"), dropped = 0, observed = 0;
	json_t *by_rule = json_object(), *at = interfaces(ctl, ifaces);
	json_t *list = reason_rows(counts, all || ctl->json, &dropped, &observed, by_rule);
	json_decref(counts);
	json_decref(ifaces);
	if (ctl->json) {
		ctl_print_json(ctl, json_pack("{s:I,s:I,s:I,s:o,s:o,s:o}", "passed",
					      (json_int_t)passed, "dropped", (json_int_t)dropped,
					      "observed", (json_int_t)observed, "reasons", list,
					      "rules", by_rule, "interfaces", at));
		return CTL_OK;
	}
	printf("judged %s packets to protected addresses and ports: %s passed, %s dropped\n",
	       ctl_count(passed + dropped), ctl_count(passed), ctl_count(dropped));
	if (observed)
		printf("rules in observe mode would have dropped %s, counted once per rule and "
		       "packet\n",
		       ctl_count(observed));
	print_reasons(list);
	if (json_array_size(at))
		print_interfaces(at, by_rule, passed, dropped);
	json_decref(list);
	json_decref(by_rule);
	json_decref(at);
	return CTL_OK;
}

static const struct verb verbs[] = {
	{"show", show, "[all]",
	 "packets per reason: dropped, and observed, which are those that a rule in observe mode would "
	 "have dropped, and what each interface passed and each rule dropped there; with all: also "
	 "the reasons that never occurred, which JSON always has",
	 VIA_BPFTOOL},
	{"explain", drop_explain, "HEX|FILE|- [interface NAME] [core N] [limit N]",
	 "what the program in force would do with these packets, and why: packets in hex from their "
	 "Ethernet header on, or a capture file (as tcpdump -w writes it), or either on standard "
	 "input. In hex an empty line parts packets; of lines without one between them each is a packet "
	 "if each begins with an Ethernet header of IP, ARP or VLAN, and all are one if only the first "
	 "does. Of a file the first 10000 packets, or N; with interface: as if they came in there. Rates and bounds are each core's own, so "
	 "all are asked, or the one named. Nothing is counted by asking",
	 VIA_KERNEL},
	{"capture", drop_capture,
	 "out FILE [reason WORD[,WORD]...] [count N] [for TIME] [one-in N] [via ring|xsk]",
	 "dropped packets into a capture file for tcpdump or Wireshark, `-` for standard output: up to "
	 "1000 within 60s if nothing else is said (a file that is there is replaced once the capture has "
	 "begun, a FIFO must have a reader); exit code 4 while another capture runs; of these reasons only; one of so many, at "
	 "random. They come by AF_XDP sockets, whole, where the interfaces' drivers have them, else by "
	 "a ring buffer, cut at 2016 bytes",
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
		    "  sluicectl drop capture --reason denied --count 100 --out denied.pcap\n"
		    "  sluicectl drop capture out - for 10s | tcpdump -nr -\n",
};
