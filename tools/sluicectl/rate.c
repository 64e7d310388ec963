/* SPDX-License-Identifier: BSD-2-Clause */
/* rate.c - rule 4: the limits in force, and how hard they are pressed. The maps of cells
 * are too many entries for bpftool's JSON, so they are read as they are. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shield/rate.h"
#include "tools/sluicectl/ctl.h"

/* Tokens a second; 0: no limit. */
static unsigned long long per_s(const struct shield_limit *l)
{
	return l->interval_ns ? 1000000000u / l->interval_ns : 0;
}

static json_t *class_of(const struct shield_rate *r)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "name", r->name, "packets",
			 (json_int_t)per_s(&r->packets), "syns", (json_int_t)per_s(&r->syns),
			 "connections", (json_int_t)per_s(&r->connections), "net_packets",
			 (json_int_t)per_s(&r->net_packets), "net_syns",
			 (json_int_t)per_s(&r->net_syns), "net_connections",
			 (json_int_t)per_s(&r->net_connections), "burst_ms",
			 (json_int_t)((r->packets.interval_ns + r->packets.ahead_ns) / 1000000u));
}

/* The classes of the policy in force: of the other bank once a trial is over. */
static json_t *classes(int policy, int rates)
{
	struct shield_policy now;
	struct shield_rate r;
	__u32 zero = 0;
	json_t *list = json_array();
	if (bpf_map_lookup_elem(policy, &zero, &now))
		return list;
	__u32 bank = now.bank & 1;
	if (now.trial_ends_ns && now.trial_ends_ns <= clock_mono_ns())
		bank ^= 1;
	for (__u32 i = 0; i < SHIELD_RATES_MAX; i++) {
		__u32 at = bank * SHIELD_RATES_MAX + i;
		if (bpf_map_lookup_elem(rates, &at, &r) == 0 && *r.name) {
			r.name[sizeof(r.name) - 1] = 0;
			json_array_append_new(list, class_of(&r));
		}
	}
	return list;
}

static const char *limit_str(const json_t *class, const char *name)
{
	unsigned long long n = ctl_u64(class, name);
	return n ? ctl_count(n) : "-";
}

static void print(const json_t *list, const struct shield_rate_gauges *g)
{
	const json_t *c;
	size_t i;
	printf("%-16s %12s %9s %9s %12s %9s %9s %8s\n", "CLASS", "PACKETS/S", "SYNS/S", "CONNS/S",
	       "NET PKTS/S", "SYNS/S", "CONNS/S", "BURST");
	json_array_foreach(list, i, c)
		printf("%-16s %12s %9s %9s %12s %9s %9s %6.1f s\n", ctl_str(c, "name"),
		       limit_str(c, "packets"), limit_str(c, "syns"), limit_str(c, "connections"),
		       limit_str(c, "net_packets"), limit_str(c, "net_syns"),
		       limit_str(c, "net_connections"), (double)ctl_u64(c, "burst_ms") / 1000);
	printf("each core counts for itself\n\n");
	printf("%-24s %s of %s refused somebody within the last second\n", "cells",
	       ctl_count(g->cells_full), ctl_count(g->cells));
	printf("%-24s %s of %s; %s made so far, %s of them evicted\n", "known to be real",
	       ctl_count(g->validated), ctl_count(g->validated_max), ctl_count(g->made),
	       ctl_count(g->evicted));
	printf("%-24s %s granted, %s refused, %s packets of strangers\n", "appeals",
	       ctl_count(g->granted), ctl_count(g->refused), ctl_count(g->strangers));
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	static const char *const names[] = {"policy", "rates", "cell", "validated", "appeal_count"};
	int fd[5] = {-1, -1, -1, -1, -1}, code = CTL_OK, err;
	struct shield_rate_gauges g;
	json_t *list;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	for (int i = 0; i < 5 && code == CTL_OK; i++)
		fd[i] = ctl_pinned(ctl, names[i], &code);
	if (code == CTL_OK) {
		list = classes(fd[0], fd[1]);
		err = shield_rate_gauges(fd[2], fd[3], fd[4], &g);
		if (err)
			code = ctl_fail(ctl, CTL_REFUSED, "the maps cannot be read: %s",
					strerror(-err));
		else if (ctl->json)
			ctl_print_json(ctl, json_pack("{s:O,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
						      "classes", list, "cells", (json_int_t)g.cells,
						      "cells_full", (json_int_t)g.cells_full,
						      "validated", (json_int_t)g.validated,
						      "validated_max", (json_int_t)g.validated_max,
						      "made", (json_int_t)g.made, "evicted",
						      (json_int_t)g.evicted, "granted",
						      (json_int_t)g.granted, "refused",
						      (json_int_t)g.refused, "strangers",
						      (json_int_t)g.strangers));
		else
			print(list, &g);
		json_decref(list);
	}
	for (int i = 0; i < 5; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return code;
}

static const struct verb verbs[] = {
	{"show", show, "",
	 "the rate classes in force, per second and core, for a source and for its /24 or /48; how many "
	 "cells are full, how many sources and nets are known to be real and how many were "
	 "evicted, and what became of packets that found their cell full",
	 VIA_KERNEL},
	{0},
};
const struct object rate_object = {
	.name = "rate",
	.verbs = verbs,
	.help = "the limits of rule 4, and how hard they are pressed",
	.examples = "  sluicectl rate show\n  sluicectl -jp rate show\n",
};
