/* SPDX-License-Identifier: BSD-2-Clause */
/* stats.c - counters out of per-CPU maps, and words for what they count. */
#include "shield/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "bpf/sluice_reuseport.skel.h"
#include "bpf/sluice_xdp.skel.h"

/* Sums a value of `words` 64-bit counters over the CPUs. */
static int sum(const struct shield *s, const struct bpf_map *map, __u32 key, size_t words,
	       uint64_t *out)
{
	uint64_t *all = calloc(s->cpus, words * sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	err = bpf_map__lookup_elem(map, &key, sizeof(key), all, s->cpus * words * sizeof(*all), 0);
	memset(out, 0, words * sizeof(*out));
	for (size_t i = 0; !err && i < s->cpus * words; i++)
		out[i % words] += all[i];
	free(all);
	return err;
}

static int iface_read(const struct shield *s, size_t i, struct shield_iface_stats *out)
{
	struct shield_iface *all = calloc(s->cpus, sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	memcpy(out->name, s->iface[i].name, sizeof(out->name));
	out->ifindex = s->iface[i].ifindex;
	out->mode = s->iface[i].mode;
	err = bpf_map__lookup_elem(s->xdp->maps.iface, &s->slot[i], sizeof(s->slot[i]), all,
				   s->cpus * sizeof(*all), 0);
	for (unsigned c = 0; !err && out->ifindex && c < s->cpus; c++) {
		out->passed += all[c].passed;
		out->dropped += all[c].dropped;
	}
	free(all);
	return err;
}

int shield_stats_read(struct shield *s, struct shield_stats *out)
{
	uint64_t picked[sizeof(out->picked) / sizeof(uint64_t)];
	int err;

	memset(out, 0, sizeof(*out));
	if (!s->pick)
		return -EOPNOTSUPP;
	err = sum(s, s->pick->maps.pick_count, 0, ARRAY_SIZE(picked), picked);
	memcpy(&out->picked, picked, sizeof(out->picked));
	if (err || !s->xdp)
		return err;
	err = sum(s, s->xdp->maps.drop_count, 0, DROP_REASONS, out->drop);
	if (!err)
		err = sum(s, s->xdp->maps.drop_count, 1, DROP_REASONS, out->observed);
	out->n_ifaces = s->n_ifaces;
	for (size_t i = 0; i < s->n_ifaces && !err; i++)
		err = iface_read(s, i, &out->iface[i]);
	return err;
}

static const struct reason {
	const char *word, *text;
	enum shield_rule rule;
} reasons[DROP_REASONS] = {
	[DROP_NONE] = {"none", "judged and passed", RULES},
#define REASON(name, word, rule, text) [DROP_##name] = {(word), (text), RULE_##rule},
#include "bpf/drop_reason.def"
#undef REASON
};

const char *shield_reason_word(enum drop_reason why)
{
	return (unsigned)why < DROP_REASONS ? reasons[why].word : "?";
}

const char *shield_reason_text(enum drop_reason why)
{
	return (unsigned)why < DROP_REASONS ? reasons[why].text : "?";
}

enum shield_rule shield_reason_rule(enum drop_reason why)
{
	return (unsigned)why < DROP_REASONS ? reasons[why].rule : RULES;
}

const char *shield_rule_word(enum shield_rule rule)
{
	static const char *const words[RULES] = {"malformed", "allow", "deny",
						 "rate",      "flow",  "syn"};

	return (unsigned)rule < RULES ? words[rule] : "?";
}

const char *shield_mode_word(enum shield_mode mode)
{
	switch (mode) {
	case SHIELD_NATIVE: return "native";
	case SHIELD_GENERIC: return "generic";
	case SHIELD_OFF: break;
	}
	return "off";
}

const char *shield_steer_word(enum shield_steer_how how)
{
	switch (how) {
	case STEER_CPUMAP: return "cpumap";
	case STEER_RSS: return "rss";
	case STEER_NOTHING: break;
	}
	return "off";
}
