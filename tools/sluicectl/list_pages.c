/* SPDX-License-Identifier: BSD-2-Clause */
/* list_pages.c - a list looked at where it lies: the keeper's maps, mapped into this process to be
 * read. A million entries are sixty megabytes of pages that are there anyway; bpftool's dump of
 * them would be half a gigabyte of JSON. Needs root, as bpftool does.
 *
 * The list may be changed meanwhile, or another one switched to: what is read then is of the moment
 * before (all of one building: the keeper stamps its maps with the number), and an entry that is taken away or renewed while it is copied may look like neither. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "shield/list_table.h"
#include "tools/sluicectl/ctl.h"
#include "tools/sluicectl/list.h"

#define BUSIEST 20

/* A switch of lists takes microseconds; so long is waited for one, and that often. */
#define SWITCH_US    20000
#define SWITCHES_MAX 25

struct pages {
	const struct shield_list *list;
	const struct shield_set *set;
	struct list_table table; /* heap NULL: it never had an entry */
	const struct list_note *note;
	uint32_t notes;
};

static const void *map_pinned(struct ctl *ctl, const char *name, size_t each, uint32_t *n,
			      int *code)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = ctl_pinned(ctl, name, code);
	if (fd < 0)
		return NULL;
	void *p = MAP_FAILED;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.value_size == each)
		p = mmap(NULL, (info.max_entries * each + page - 1) / page * page, PROT_READ,
			 MAP_SHARED, fd, 0);
	close(fd);
	*n = info.max_entries;
	if (p == MAP_FAILED) {
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", name,
				 info.value_size != each ? "of another version" : strerror(errno));
		return NULL;
	}
	return p;
}

static unsigned list_id(const struct ctl *ctl)
{
	return strcmp(ctl->object, "allow") == 0 ? LIST_ALLOW : LIST_DENY;
}

static const void *map_own(struct ctl *ctl, const char *what, size_t each, uint32_t *n, int *code)
{
	char name[32];
	snprintf(name, sizeof(name), "%s_%s", ctl->object, what);
	return map_pinned(ctl, name, each, n, code);
}

/* The maps of a list, and whether they are of one building: while the keeper switches, they are not.
 * Never unmapped: the process ends soon. */
static bool open_list(struct ctl *ctl, struct pages *p, bool *alike, int *code)
{
	uint32_t n, hots = 0;
	const void *top = map_own(ctl, "top", sizeof(*p->table.top), &n, code);
	const void *heap =
		top ? map_own(ctl, "heap", sizeof(*p->table.heap), &p->table.blocks, code) : NULL;
	const void *entry =
		heap ? map_own(ctl, "entry", sizeof(*p->table.entry), &p->table.entries, code) :
		       NULL;
	const void *hot = entry ? map_own(ctl, "hot", sizeof(struct list_hots), &hots, code) : NULL;
	p->note = hot ? map_own(ctl, "note", sizeof(*p->note), &p->notes, code) : NULL;
	if (p->note == NULL)
		return false;
	p->table.top = (void *)top;
	p->table.heap = (void *)heap;
	p->table.entry = (void *)entry;
	p->table.hot = (void *)hot;
	uint64_t build = p->table.top[0].build;
	*alike = p->table.blocks > LIST_POOL_BLOCK && p->table.entry[0].hits == build &&
		 hots >= p->table.entries / LIST_HOTS && p->table.hot[0].hits == build &&
		 p->table.heap[LIST_HEAD_BLOCK].w[7] == build;
	return true;
}

static bool open_pages(struct ctl *ctl, struct pages *p, int *code)
{
	uint32_t n;
	bool alike = false;
	memset(p, 0, sizeof(*p));
	p->list = map_pinned(ctl, "lists", sizeof(*p->list), &n, code);
	p->set = p->list ? map_pinned(ctl, "list_set", sizeof(*p->set), &n, code) : NULL;
	if (p->set == NULL)
		return false;
	p->list += list_id(ctl);
	p->set += (size_t)list_id(ctl) * LIST_SETS_MAX;
	if (p->list->build == 0)
		return true;
	for (int i = 0; i < SWITCHES_MAX && !alike; i++) {
		if (i)
			usleep(SWITCH_US);
		if (!open_list(ctl, p, &alike, code))
			return false;
	}
	if (!alike)
		*code = ctl_fail(ctl, CTL_REFUSED,
				 "the %s list is being switched all the time: ask again",
				 ctl->object);
	return alike;
}

static uint32_t end_of(const struct pages *p)
{
	uint32_t end = p->table.heap ? list_table_end(&p->table) : 1;
	return end < p->table.entries ? end : p->table.entries;
}

static const char *reason_word(unsigned reason)
{
	static const char *const words[] = {"?", "CONFIG", "OPERATOR", "OFFENCE", "FILE"};
	return words[reason < sizeof(words) / sizeof(words[0]) ? reason : 0];
}

static uint64_t hits_of(const struct pages *p, const struct list_entry *e)
{
	return e->hits + p->table.hot[e - p->table.entry].hits;
}

static struct list_row row_of(const struct pages *p, const struct list_entry *e)
{
	struct list_row row = {
		.hits = hits_of(p, e),
		.expires_ns = e->expires_ns,
		.created_ns = e->created_ns,
		.family = e->family,
		.len = e->len,
		.reason = reason_word(e->reason),
		.set = ctl_clean(p->set[e->set % LIST_SETS_MAX].name),
		.note = e->note && e->note < p->notes ? ctl_clean(p->note[e->note].text) : "",
	};
	memcpy(row.addr, e->addr, sizeof(row.addr));
	return row;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *prefix_str(const struct list_row *row, char buf[64])
{
	char addr[INET6_ADDRSTRLEN];
	inet_ntop(row->family == 4 ? AF_INET : AF_INET6, row->addr, addr, sizeof(addr));
	snprintf(buf, 64, "%s/%u", addr, row->len);
	return buf;
}

/* ── rows ── */

/* Begun seconds count: 0 is only what is over, and waits for the keeper to take it away. */
static uint64_t left_s(const struct list_row *row, uint64_t now)
{
	return row->expires_ns > now ? (row->expires_ns - now + 999999999u) / 1000000000u : 0;
}

static const char *left_str(const json_t *row)
{
	if (json_is_null(json_object_get(row, "left_s")))
		return "until taken away";
	return ctl_u64(row, "left_s") ? ctl_span(ctl_u64(row, "left_s")) : "expired";
}

static json_t *row_json_at(const struct list_row *row, uint64_t now)
{
	char prefix[64];
	json_t *out = json_pack(
		"{s:s,s:s,s:I,s:I,s:s,s:s}", "prefix", prefix_str(row, prefix), "reason",
		row->reason, "hits", (json_int_t)row->hits, "age_s",
		(json_int_t)(now > row->created_ns ? (now - row->created_ns) / 1000000000u : 0),
		"set", row->set, "note", row->note);
	json_object_set_new(out, "left_s",
			    row->expires_ns == 0 ? json_null() :
						   json_integer((json_int_t)left_s(row, now)));
	return out;
}

json_t *list_row_json(const struct list_row *row)
{
	return row_json_at(row, now_ns());
}

void list_rows_print(const json_t *rows)
{
	const json_t *r;
	size_t i;
	printf("%-44s %-9s %-17s %12s  %-12s %s\n", "PREFIX", "REASON", "LEFT", "HITS", "SET",
	       "NOTE");
	json_array_foreach(rows, i, r)
		printf("%-44s %-9s %-17s %12s  %-12s %s\n", ctl_str(r, "prefix"),
		       ctl_str(r, "reason"), left_str(r), ctl_count(ctl_u64(r, "hits")),
		       *ctl_str(r, "set") ? ctl_str(r, "set") : "-", ctl_str(r, "note"));
}

/* ── sets ── */

static json_t *sets_json(const struct pages *p)
{
	json_t *rows = json_array();
	for (unsigned i = 0; i < LIST_SETS_MAX; i++) {
		const struct shield_set *s = &p->set[i];
		if (i && !s->name[0])
			continue;
		json_array_append_new(
			rows, json_pack("{s:s,s:I,s:I,s:I,s:s,s:b}", "set", ctl_clean(s->name),
					"ipv4", (json_int_t)s->v4, "ipv6", (json_int_t)s->v6,
					"loaded", (json_int_t)s->loaded_wall_s, "source",
					ctl_clean(s->source), "config", s->config == 1));
	}
	return rows;
}

static void sets_print(const json_t *rows)
{
	const json_t *r;
	size_t i;
	printf("%-32s %12s %12s  %-16s %s\n", "SET", "IPV4", "IPV6", "LOADED", "FROM");
	json_array_foreach(rows, i, r)
	{
		char when[32] = "";
		time_t t = (time_t)ctl_u64(r, "loaded");
		struct tm tm;
		if (t && localtime_r(&t, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
		printf("%-32s %12s %12s  %-16s %s\n",
		       *ctl_str(r, "set") ? ctl_str(r, "set") : "- (one by one)",
		       ctl_count(ctl_u64(r, "ipv4")), ctl_count(ctl_u64(r, "ipv6")), when,
		       ctl_str(r, "source"));
	}
}

/* There is no bpftool command that does what pages do. */
static bool refuse_shown(struct ctl *ctl, int *code)
{
	if (ctl->show_command)
		*code = ctl_fail(ctl, CTL_USAGE,
				 "--show-command: only `%s show` goes through bpftool",
				 ctl->object);
	return ctl->show_command;
}

int list_sets_show(struct ctl *ctl, int argc, char **argv)
{
	struct pages p;
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, NULL, 0))
		return CTL_USAGE;
	if (refuse_shown(ctl, &code) || !open_pages(ctl, &p, &code))
		return code;
	json_t *rows = sets_json(&p);
	if (ctl_print_json(ctl, rows))
		return CTL_OK;
	sets_print(rows);
	json_decref(rows);
	return CTL_OK;
}

/* ── one address ── */

int list_around_show(struct ctl *ctl, int argc, char **argv)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct pages p;
	int code = CTL_OK;
	uint8_t addr[16] = {0};
	bool v4 = inet_pton(AF_INET, argv[0], addr) == 1;
	if (!v4 && inet_pton(AF_INET6, argv[0], addr) != 1)
		return ctl_fail(ctl, CTL_USAGE, "'%s': show takes `sets` or an address",
				ctl_arg(argv[0]));
	if (!v4 && memcmp(addr, mapped, sizeof(mapped)) == 0) { /* IPv4 as programs write it */
		memmove(addr, addr + 12, 4);
		memset(addr + 4, 0, 12);
		v4 = true;
	}
	if (!ctl_keywords(ctl, argc - 1, argv + 1, NULL, 0))
		return CTL_USAGE;
	if (refuse_shown(ctl, &code) || !open_pages(ctl, &p, &code))
		return code;
	json_t *rows = json_array();
	uint32_t at = p.table.heap ? list_table_lookup(&p.table, v4 ? 4 : 6, addr) : 0;
	for (int i = 0; at && at < p.table.entries && i < 8192; i++) {
		struct list_row row = row_of(&p, &p.table.entry[at]);
		json_array_append_new(rows, list_row_json(&row));
		at = p.table.entry[at].parent;
	}
	if (json_array_size(rows) == 0) {
		json_decref(rows);
		return ctl_fail(ctl, CTL_REFUSED, "%s is not on the %s list", argv[0], ctl->object);
	}
	if (ctl_print_json(ctl, rows))
		return CTL_OK;
	list_rows_print(rows);
	json_decref(rows);
	return CTL_OK;
}

/* ── a long list ── */

static void keep_busy(const struct pages *p, uint32_t best[BUSIEST], uint32_t at)
{
	const struct list_entry *e = p->table.entry;
	uint64_t hits = hits_of(p, &e[at]);
	uint32_t i = BUSIEST;
	if (hits == 0)
		return;
	while (i > 0 && (!best[i - 1] || hits_of(p, &e[best[i - 1]]) < hits)) {
		if (i < BUSIEST)
			best[i] = best[i - 1];
		i--;
	}
	if (i < BUSIEST)
		best[i] = at;
}

int list_long_show(struct ctl *ctl)
{
	struct pages p;
	uint32_t best[BUSIEST] = {0};
	uint64_t hits = 0, hit = 0, timed = 0;
	int code = CTL_OK;
	if (refuse_shown(ctl, &code) || !open_pages(ctl, &p, &code))
		return code;
	for (uint32_t i = 1, end = end_of(&p); i < end; i++) {
		const struct list_entry *e = &p.table.entry[i];
		if (!e->family)
			continue;
		uint64_t its = hits_of(&p, e);
		hits += its;
		hit += its != 0;
		timed += e->expires_ns != 0;
		keep_busy(&p, best, i);
	}
	const struct shield_list *l = p.list;
	unsigned bank = l->bank & 1;
	json_t *busiest = json_array(), *sets = sets_json(&p);
	for (int i = 0; i < BUSIEST && best[i]; i++) {
		struct list_row row = row_of(&p, &p.table.entry[best[i]]);
		json_array_append_new(busiest, list_row_json(&row));
	}
	uint64_t bytes = list_table_bytes(&p.table) + (uint64_t)p.notes * sizeof(*p.note);
	if (ctl->json) {
		ctl_print_json(ctl,
			       json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "ipv4",
					 (json_int_t)l->n[bank].v4, "ipv6",
					 (json_int_t)l->n[bank].v6, "hits", (json_int_t)hits, "hit",
					 (json_int_t)hit, "with_end", (json_int_t)timed, "bytes",
					 (json_int_t)bytes, "sets", sets, "busiest", busiest));
		return CTL_OK;
	}
	printf("%s IPv4 and %s IPv6 prefixes in %s; %s of them were hit, %s times in all; %s end by "
	       "themselves\n(export writes them all)\n\n",
	       ctl_count(l->n[bank].v4), ctl_count(l->n[bank].v6), ctl_bytes(bytes), ctl_count(hit),
	       ctl_count(hits), ctl_count(timed));
	sets_print(sets);
	if (json_array_size(busiest)) {
		puts("\nThe busiest:");
		list_rows_print(busiest);
	}
	json_decref(sets);
	json_decref(busiest);
	return CTL_OK;
}

/* ── export ── */

static const struct list_entry *sorted_by;

static int by_prefix(const void *a, const void *b)
{
	return list_entry_compare(&sorted_by[*(const uint32_t *)a],
				  &sorted_by[*(const uint32_t *)b]);
}

static void put_text(FILE *out, const struct list_row *row, uint64_t now)
{
	char prefix[64];
	fputs(prefix_str(row, prefix), out);
	if (row->expires_ns)
		fprintf(out, " for %llu", (unsigned long long)left_s(row, now));
	if (*row->note) {
		fputs(" note \"", out);
		for (const char *c = row->note; *c; c++)
			fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
		putc('"', out);
	}
	putc('\n', out);
}

/* "-": those that are in none. */
static bool has_set(const struct pages *p, const char *set)
{
	bool found = strcmp(set, "-") == 0;
	for (unsigned i = 1; i < LIST_SETS_MAX && !found; i++)
		found = *p->set[i].name &&
			strncmp(p->set[i].name, set, sizeof(p->set[i].name)) == 0;
	return found;
}

static int put_all(struct ctl *ctl, const struct pages *p, const char *set, FILE *out)
{
	uint32_t end = end_of(p), *order = malloc(end * sizeof(*order)), n = 0;
	uint64_t now = now_ns();
	if (order == NULL)
		return ctl_fail(ctl, CTL_REFUSED, "no memory");
	for (uint32_t i = 1; i < end; i++) {
		const struct list_entry *e = &p->table.entry[i];
		const char *name = p->set[e->set % LIST_SETS_MAX].name;
		bool wanted = !set || strcmp(*name ? name : "-", set) == 0;
		if (e->family && wanted && (!e->expires_ns || e->expires_ns > now))
			order[n++] = i;
	}
	sorted_by = p->table.entry;
	qsort(order, n, sizeof(*order), by_prefix);
	if (ctl->json)
		fprintf(out, "{\"list\":\"%s\",\"entries\":[", ctl->object);
	for (uint32_t i = 0; i < n; i++) {
		struct list_row row = row_of(p, &p->table.entry[order[i]]);
		if (!ctl->json) {
			put_text(out, &row, now);
			continue;
		}
		json_t *j = row_json_at(&row, now);
		fputs(i ? ",\n" : "\n", out);
		json_dumpf(j, out, JSON_COMPACT);
		json_decref(j);
	}
	if (ctl->json)
		fputs("]}\n", out);
	free(order);
	return CTL_OK;
}

int list_export(struct ctl *ctl, int argc, char **argv)
{
	const char *to = NULL, *set = NULL;
	const struct keyword words[] = {{"to", &to}, {"set", &set}};
	struct pages p;
	int code = CTL_OK;
	if (!ctl_keywords(ctl, argc, argv, words, 2))
		return CTL_USAGE;
	if (!open_pages(ctl, &p, &code))
		return code;
	if (set && !has_set(&p, set))
		return ctl_fail(
			ctl, CTL_REFUSED,
			"there is no such set, '%s': see %s show sets (- are those in none)",
			ctl_arg(set), ctl->object);
	FILE *out = to ? ctl_open_out(ctl, to, &code) : stdout;
	if (out == NULL)
		return code;
	code = put_all(ctl, &p, set, out);
	bool bad = ferror(out) != 0;
	if (out != stdout && fclose(out) != 0)
		bad = true;
	if (bad)
		return ctl_fail(ctl, CTL_REFUSED, "%s: %s", to ? to : "standard output",
				strerror(errno));
	return code;
}
