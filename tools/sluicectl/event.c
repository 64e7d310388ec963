/* SPDX-License-Identifier: BSD-2-Clause */
/* event.c - what happened to the shield lately, and what happens to it now. The keeper writes it to
 * a pinned map, which outlives it: shown through bpftool; followed by reading one place of
 * the map after the other, as they are filled. */
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bpf/abi.h"
#include "tools/sluicectl/ctl.h"

#define LOOK_US 200000

/* "EVENT_ATTACK_BEGINS" as "attack-begins" */
static const char *kind_word(const char *name)
{
	static char buf[32];
	size_t n = 0;
	if (strncmp(name, "EVENT_", 6) == 0)
		name += 6;
	for (; *name && n + 1 < sizeof(buf); name++)
		buf[n++] = *name == '_'                 ? '-' :
			   *name >= 'A' && *name <= 'Z' ? (char)(*name | 32) :
							  *name;
	buf[n] = 0;
	return buf;
}

static const char *kind_of(enum shield_event_kind kind)
{
	switch (kind) {
	case EVENT_ATTACK_BEGINS: return "attack-begins";
	case EVENT_ATTACK_ENDS: return "attack-ends";
	case EVENT_CAPTURE: return "capture";
	case EVENT_START: return "start";
	case EVENT_POLICY: return "policy";
	case EVENT_LIST: return "list";
	case EVENT_INTERFACE: return "interface";
	case EVENT_FLOOD_BEGINS: return "flood-begins";
	case EVENT_FLOOD_ENDS: return "flood-ends";
	case EVENT_NONE: break;
	}
	return "other";
}

static json_t *event(unsigned long long number, unsigned long long wall_ms, const char *kind,
		     const char *text)
{
	return json_pack("{s:I,s:I,s:s,s:s}", "number", (json_int_t)number, "wall_ms",
			 (json_int_t)wall_ms, "kind", kind, "text", text);
}

static void print(const json_t *e)
{
	time_t s = (time_t)(ctl_u64(e, "wall_ms") / 1000);
	char when[32];
	struct tm tm;
	localtime_r(&s, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s  %-14s %s\n", when, ctl_str(e, "kind"), ctl_str(e, "text"));
}

/* ── show ── */

static int by_number(const void *a, const void *b)
{
	unsigned long long x = ctl_u64(*(json_t *const *)a, "number"),
			   y = ctl_u64(*(json_t *const *)b, "number");
	return x < y ? -1 : x > y;
}

/* The events there are, the oldest first; at most `limit` of the youngest. */
static json_t *events_of(const json_t *dump, size_t limit)
{
	size_t n = 0, i;
	json_t **list = calloc(json_array_size(dump) + 1, sizeof(*list)), *out = json_array();
	const json_t *e;
	json_array_foreach(dump, i, e)
	{
		json_t *value = json_object_get(ctl_formatted(e), "value");
		const char *text = ctl_raw_text(e, offsetof(struct shield_event, text),
						sizeof(((struct shield_event *)0)->text));
		if (text)
			json_object_set_new(value, "text", json_string(text));
		if (list && ctl_u64(value, "number"))
			list[n++] = value;
	}
	if (list)
		qsort(list, n, sizeof(*list), by_number);
	for (i = n > limit ? n - limit : 0; i < n; i++)
		json_array_append_new(
			out, event(ctl_u64(list[i], "number"), ctl_u64(list[i], "wall_ms"),
				   kind_word(ctl_str(list[i], "kind")), ctl_str(list[i], "text")));
	free(list);
	return out;
}

static int show(struct ctl *ctl, int argc, char **argv)
{
	const char *limit = NULL;
	const struct keyword words[] = {{"limit", &limit}};
	long long n = 20;
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 1))
		return CTL_USAGE;
	if (limit && (!ctl_number(limit, 100000, &n) || n < 1))
		return ctl_fail(ctl, CTL_USAGE, "limit: a number from 1, not '%s'", ctl_arg(limit));
	json_t *dump = ctl_dump(ctl, "event_log", &code), *list, *e;
	if (dump == NULL || ctl->show_command) {
		json_decref(dump);
		return code;
	}
	list = events_of(dump, (size_t)n);
	json_decref(dump);
	if (ctl->json) {
		ctl_print_json(ctl, list);
		return CTL_OK;
	}
	size_t i;
	json_array_foreach(list, i, e) print(e);
	json_decref(list);
	return CTL_OK;
}

/* ── follow ── */

/* The number of the youngest event, 0: there is none. */
static unsigned long long youngest(int map)
{
	unsigned long long most = 0;
	struct shield_event e;
	for (__u32 at = 0; at < SHIELD_EVENTS; at++)
		if (bpf_map_lookup_elem(map, &at, &e) == 0 && e.number > most)
			most = e.number;
	return most;
}

/* Everything behind `after`; returns the last one's number. Who was away for longer than the map
 * remembers goes on with the oldest that it has. */
static unsigned long long tell(const struct ctl *ctl, int map, unsigned long long after)
{
	struct shield_event e;
	for (;;) {
		__u32 at = (__u32)((after + 1) % SHIELD_EVENTS);
		if (bpf_map_lookup_elem(map, &at, &e) || e.number <= after)
			return after;
		if (e.number != after + 1) { /* the places behind this one are older */
			after = e.number - SHIELD_EVENTS;
			continue;
		}
		e.text[sizeof(e.text) - 1] = 0;
		json_t *one = event(e.number, e.wall_ms, kind_of(e.kind), ctl_clean(e.text));
		if (!ctl->json)
			print(one);
		if (!ctl_print_json(ctl, one))
			json_decref(one);
		after = e.number;
	}
}

/* A sluiced that stops in good order takes the map away, and the next makes one anew: the path
 * is what we follow. */
static int follow(struct ctl *ctl, int argc, char **argv)
{
	struct stat now, before = {0};
	unsigned long long after;
	char path[600];
	int code = CTL_OK, map;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	map = ctl_pinned(ctl, "event_log", &code);
	if (map < 0)
		return code;
	snprintf(path, sizeof(path), "%s/event_log", ctl->pin_dir);
	stat(path, &before);
	after = youngest(map);
	while (fflush(stdout) == 0 && !ferror(stdout)) {
		after = tell(ctl, map, after);
		if (fflush(stdout) != 0)
			break;
		usleep(LOOK_US);
		if (stat(path, &now) == 0 && now.st_ino != before.st_ino) {
			int fresh = bpf_obj_get(path);
			if (fresh < 0)
				continue;
			tell(ctl, map, after);
			close(map);
			map = fresh;
			after = 0;
			before = now;
		}
	}
	close(map);
	return CTL_REFUSED;
}

static const struct verb verbs[] = {
	{"show", show, "[limit N]",
	 "the last 20 events, or N of the last 256: starts of sluiced, policies set, tried, confirmed and "
	 "taken back, sets of lists loaded, SYN attacks that begin and end, captures",
	 VIA_BPFTOOL},
	{"follow", follow, "",
	 "each event as it happens, until interrupted; a line of JSON each with -j. A sluiced that "
	 "stops and comes back is waited for",
	 VIA_KERNEL},
	{0},
};
const struct object event_object = {
	.name = "event",
	.verbs = verbs,
	.help = "what happened to the shield lately",
	.examples = "  sluicectl event show\n  sluicectl -j event show limit 256\n"
		    "  sluicectl -j event follow | logger -t sluice-shield\n",
};
