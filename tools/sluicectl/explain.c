/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.c - drop explain: the program in force is asked what it would do with a packet.
 *
 *   hex or capture file ─► frame ─► test run of pin_dir/xdp ─► rule, reason, mode
 *
 * Nothing is counted by it, and no token or entry comes of it. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shield/explain.h"
#include "shield/pcap.h"
#include "shield/shield.h"
#include "tools/sluicectl/ctl.h"
#include "tools/sluicectl/explain_hex.h"

#define PIPE_MAX    (256u << 20)
#define LIMIT       10000 /* packets, if nothing else is said */
#define LIMIT_MAX   1000000000
#define TELL_EVERY  256 /* packets */
#define ANSWERS_MAX 8   /* different ones of all cores */

struct list_maps {
	int entries, notes; /* -1: it never had an entry */
};

struct question {
	struct ctl *ctl;
	int program;
	unsigned ifindex;
	unsigned number; /* of the frame in its file; 0: it stands alone */
	long long limit; /* so many frames of a file */
	bool tells;      /* how far it is: the answers go elsewhere than to a terminal */
	json_t *list;    /* with -j */
	cpu_set_t cores; /* on which it is asked */
	struct list_maps deny, allow;
	int rates;
};

/* What some cores say. */
struct answer {
	struct shield_ask ask;
	cpu_set_t cores;
};

/* ── what the answer names ── */

/* The entry whose number the answer has; the deny list is the last that is looked at. */
static bool entry_read(const struct question *q, const struct shield_ask *a, struct list_entry *e,
		       struct list_note *note, const char **list)
{
	bool denied = a->reason == DROP_DENIED || a->observed >> DROP_DENIED & 1;
	const struct list_maps *maps = denied ? &q->deny : &q->allow;
	__u32 at = a->entry - 1;

	*note = (struct list_note){""};
	*list = denied ? "deny" : "allow";
	if (!a->entry || maps->entries < 0 || bpf_map_lookup_elem(maps->entries, &at, e) ||
	    (e->family != 4 && e->family != 6))
		return false;
	at = e->note;
	if (at && maps->notes >= 0 && bpf_map_lookup_elem(maps->notes, &at, note) == 0)
		note->text[sizeof(note->text) - 1] = '\0';
	return true;
}

static const char *entry_prefix(const struct list_entry *e, char buf[80])
{
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(e->family == 4 ? AF_INET : AF_INET6, e->addr, addr, sizeof(addr));
	snprintf(buf, 80, "%s/%u", addr, e->len);
	return buf;
}

/* The rate class that judged; "" before rule 4. */
static const char *class_name(const struct question *q, const struct shield_ask *a)
{
	static struct shield_rate r;
	__u32 at = (a->bank & 1) * SHIELD_RATES_MAX + a->rate;

	if (a->stage != SHIELD_STAGE_JUDGED || q->rates < 0 ||
	    bpf_map_lookup_elem(q->rates, &at, &r))
		return "";
	r.name[sizeof(r.name) - 1] = '\0';
	return ctl_clean(r.name);
}

/* "0-3,5" */
static const char *cores_str(const cpu_set_t *cores, char buf[256])
{
	size_t n = 0;

	buf[0] = '\0';
	for (int c = 0; c < CPU_SETSIZE && n < 240; c++) {
		int last = c;

		if (!CPU_ISSET((size_t)c, cores))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET((size_t)last + 1, cores))
			last++;
		n += (size_t)snprintf(buf + n, 256 - n, last > c ? "%s%d-%d" : "%s%d", n ? "," : "",
				      c, last);
		c = last;
	}
	return buf;
}

static const char *stage_text(enum shield_stage stage)
{
	switch (stage) {
	case SHIELD_STAGE_FOREIGN: return "neither TCP nor UDP over IP: no rule sees it";
	case SHIELD_STAGE_UNPROTECTED:
		return "not to a protected address and port: no rule sees it";
	case SHIELD_STAGE_MANAGES:
		return "from a management prefix to a management port: no rule sees it";
	case SHIELD_STAGE_JUDGED: break;
	}
	return "";
}

static const char *stage_word(enum shield_stage stage)
{
	static const char *const words[] = {"?", "foreign", "unprotected", "management", "judged"};

	return (unsigned)stage < sizeof(words) / sizeof(words[0]) ? words[stage] : "?";
}

static const char *verdict_word(const struct shield_ask *a)
{
	return a->action == XDP_DROP ? "drop" : a->action == XDP_TX ? "answer" : "pass";
}

/* ── the answer ── */

static json_t *observed_list(const struct shield_ask *a)
{
	json_t *list = json_array();

	for (unsigned i = 1; i < DROP_REASONS; i++)
		if (a->observed >> i & 1)
			json_array_append_new(list,
					      json_pack("{s:s,s:s}", "rule",
							shield_rule_word(shield_reason_rule(i)),
							"reason", shield_reason_word(i)));
	return list;
}

/* The verdict, and what it rests on, into `o`. */
static void put_verdict(const struct question *q, json_t *o, const struct shield_ask *a)
{
	char prefix[80];
	struct list_entry e;
	struct list_note note;
	const char *list;

	json_object_set_new(o, "verdict", json_string(verdict_word(a)));
	json_object_set_new(o, "stage", json_string(stage_word(a->stage)));
	json_object_set_new(o, "observed", observed_list(a));
	if (*class_name(q, a))
		json_object_set_new(o, "rate_class", json_string(class_name(q, a)));
	if (entry_read(q, a, &e, &note, &list))
		json_object_set_new(o, "entry",
				    json_pack("{s:s,s:s,s:s}", "list", list, "prefix",
					      entry_prefix(&e, prefix), "note",
					      ctl_clean(note.text)));
	if (a->reason != DROP_NONE) {
		json_object_set_new(o, "rule",
				    json_string(shield_rule_word(shield_reason_rule(a->reason))));
		json_object_set_new(o, "reason", json_string(shield_reason_word(a->reason)));
		json_object_set_new(o, "text", json_string(shield_reason_text(a->reason)));
		json_object_set_new(o, "mode", json_string("enforce"));
	} else if (a->stage != SHIELD_STAGE_JUDGED) {
		json_object_set_new(o, "text", json_string(stage_text(a->stage)));
	}
}

/* Where cores differ, the packet's own verdict is that of one that drops it. */
static json_t *as_json(const struct question *q, struct bytes frame, const struct answer *list,
		       unsigned n)
{
	char text[SHIELD_FRAME_TEXT_MAX], cores[256];
	const struct answer *first = list;
	json_t *o = json_pack("{s:i,s:s}", "bytes", (int)frame.n, "packet",
			      shield_frame_str(frame, text)),
	       *all = json_array();

	if (q->number)
		json_object_set_new(o, "number", json_integer(q->number));
	for (unsigned i = 0; i < n; i++) {
		json_t *one = json_pack("{s:s}", "cores", cores_str(&list[i].cores, cores));

		put_verdict(q, one, &list[i].ask);
		json_array_append_new(all, one);
		if (!first->ask.reason && list[i].ask.reason)
			first = &list[i];
	}
	put_verdict(q, o, &first->ask);
	if (n > 1)
		json_object_set(o, "by_core", all);
	json_decref(all);
	return o;
}

static void verdict_as_text(const struct question *q, const struct shield_ask *a, const char *cores)
{
	const char *class = class_name(q, a), *list;
	enum shield_rule rule = shield_reason_rule(a->reason);
	struct list_entry e;
	struct list_note note;
	char prefix[80];

	printf("    %s%s%s", *cores ? "core " : "", cores, *cores ? ": " : "");
	if (a->reason != DROP_NONE)
		printf("dropped by rule %u, %s (enforce): %s: %s\n", rule + 1u,
		       shield_rule_word(rule), shield_reason_word(a->reason),
		       shield_reason_text(a->reason));
	else if (a->stage != SHIELD_STAGE_JUDGED)
		printf("passes: %s\n", stage_text(a->stage));
	else if (a->action == XDP_TX)
		printf("answered with a SYN cookie\n");
	else
		printf("passes every rule\n");
	if (rule == RULE_RATE && *class)
		printf("    its rate class is %s: sluicectl rate show\n", class);
	if (entry_read(q, a, &e, &note, &list))
		printf("    by the entry %s of the %s list%s%s\n", entry_prefix(&e, prefix), list,
		       *note.text ? ": " : "", ctl_clean(note.text));
	for (unsigned i = 1; i < DROP_REASONS; i++)
		if (a->observed >> i & 1)
			printf("    would be dropped by rule %u, %s, which only observes: %s: %s\n",
			       shield_reason_rule(i) + 1u, shield_rule_word(shield_reason_rule(i)),
			       shield_reason_word(i), shield_reason_text(i));
}

static void as_text(const struct question *q, struct bytes frame, const struct answer *list,
		    unsigned n)
{
	char text[SHIELD_FRAME_TEXT_MAX], cores[256];

	if (q->number)
		printf("%u: ", q->number);
	printf("%s, %zu bytes\n", shield_frame_str(frame, text), frame.n);
	for (unsigned i = 0; i < n; i++)
		verdict_as_text(q, &list[i].ask, n > 1 ? cores_str(&list[i].cores, cores) : "");
}

static int cannot(const struct question *q, struct bytes frame, int err)
{
	char name[IF_NAMESIZE], number[24] = "";

	if (q->number)
		snprintf(number, sizeof(number), "packet %u: ", q->number);
	if (err == -ENOMSG)
		return ctl_fail(q->ctl, CTL_REFUSED,
				"the program in force is of another version and cannot be asked");
	if (err == -EINVAL && frame.n < EXPLAIN_FRAME_MIN)
		return ctl_fail(q->ctl, CTL_REFUSED,
				"%s%zu bytes are less than an Ethernet header of %d", number,
				frame.n, EXPLAIN_FRAME_MIN);
	if (err == -EINVAL && q->ifindex)
		return ctl_fail(
			q->ctl, CTL_REFUSED,
			"%sthe kernel does not take it from %s, which must be up and have the "
			"shield attached; leave `interface` out",
			number, ctl_ifname(q->ctl, q->ifindex, name));
	return ctl_fail(q->ctl, CTL_REFUSED, "%sthe kernel does not take it: %s%s", number,
			strerror(-err), err == -EPERM ? " (asking needs root)" : "");
}

/* Rates and the bounds on SYNs are each core's own; what comes before them is not. */
static bool asks_the_core(const struct shield_ask *a)
{
	return a->stage == SHIELD_STAGE_JUDGED &&
	       (a->reason == DROP_NONE || shield_reason_rule(a->reason) >= RULE_RATE);
}

static bool same_answer(const struct shield_ask *a, const struct shield_ask *b)
{
	return a->stage == b->stage && a->reason == b->reason && a->action == b->action &&
	       a->observed == b->observed;
}

static void join(struct answer *list, unsigned *n, size_t core, const struct shield_ask *a)
{
	unsigned i = 0;

	while (i < *n && !same_answer(&list[i].ask, a))
		i++;
	if (i == ANSWERS_MAX)
		return; /* so many ways to be dropped there are not */
	if (i == *n) {
		list[i].ask = *a;
		CPU_ZERO(&list[i].cores);
		*n += 1;
	}
	CPU_SET(core, &list[i].cores);
}

static int ask(struct question *q, struct bytes frame)
{
	struct answer list[ANSWERS_MAX];
	struct shield_ask a = {0};
	unsigned n = 0;
	bool more = true;

	for (size_t c = 0; c < CPU_SETSIZE && more; c++) {
		cpu_set_t one;
		int err;

		if (!CPU_ISSET(c, &q->cores))
			continue;
		CPU_ZERO(&one);
		CPU_SET(c, &one);
		if (sched_setaffinity(0, sizeof(one), &one))
			continue; /* it has gone offline */
		err = shield_explain(q->program, frame, q->ifindex, &a);
		if (err)
			return cannot(q, frame, err);
		join(list, &n, c, &a);
		more = asks_the_core(&a);
	}
	if (n == 0)
		return ctl_fail(q->ctl, CTL_REFUSED, "no core to ask on: %s", strerror(errno));
	if (q->ctl->json)
		json_array_append_new(q->list, as_json(q, frame, list, n));
	else
		as_text(q, frame, list, n);
	return CTL_OK;
}

/* ── the question ── */

/* Takes what next_frame() has told from the screen. */
static void told(const struct question *q)
{
	if (q->tells && q->number >= TELL_EVERY)
		fputs("\r\033[K", stderr);
}

/* False: not the next one. Where the answers go elsewhere somebody may wonder how far we are. */
static bool next_frame(struct question *q, const char *name)
{
	if (q->number == q->limit) {
		told(q);
		ctl_note(q->ctl, "%s: only the first %s packet%s: `limit N` asks for more",
			 ctl_arg(name), ctl_count((unsigned long long)q->limit),
			 q->limit == 1 ? "" : "s");
		return false;
	}
	q->number++;
	if (q->tells && q->number % TELL_EVERY == 0)
		fprintf(stderr, "\r%s packets", ctl_count(q->number));
	return true;
}

/* `what`: the name of the file, NULL: it is the argument itself. */
static int ask_hex(struct question *q, struct bytes text, const char *what)
{
	struct hex h = {0};
	int code = hex_read(q->ctl, text, what, &h);

	for (size_t i = 0; i < h.n && code == CTL_OK; i++) {
		if (h.n > 1 && !next_frame(q, what ? what : "HEX"))
			break;
		code = ask(q, BYTES(h.bytes + h.packets[i].at, h.packets[i].n));
	}
	told(q);
	hex_free(&h);
	return code;
}

static int ask_capture(struct question *q, struct bytes file, const char *name)
{
	struct pcap p;
	struct pcap_frame f;
	int code = CTL_OK;

	pcap_open(&p, file);
	while (code == CTL_OK && pcap_next(&p, &f) && next_frame(q, name))
		code = ask(q, f.frame);
	told(q);
	if (p.bad && q->number)
		return ctl_fail(q->ctl, CTL_REFUSED, "%s: after packet %u: %s", ctl_arg(name),
				q->number, p.bad);
	return p.bad ? ctl_fail(q->ctl, CTL_REFUSED, "%s: %s", ctl_arg(name), p.bad) : code;
}

/* A file as it lies there, of any size: it is read as far as it is asked about. NULL: errno. */
static uint8_t *take_all(int fd, size_t *n, bool *mapped)
{
	struct stat st;
	void *p;

	*mapped = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
	if (!*mapped)
		return ctl_slurp(fd, PIPE_MAX, n);
	*n = (size_t)st.st_size;
	p = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static int ask_file(struct question *q, int fd, const char *name)
{
	size_t n;
	bool mapped;
	uint8_t *file = take_all(fd, &n, &mapped);
	int code;

	if (!file)
		return ctl_fail(q->ctl, CTL_REFUSED, "%s: %s", ctl_arg(name), strerror(errno));
	if (pcap_is_one(BYTES(file, n)))
		code = ask_capture(q, BYTES(file, n), name);
	else if (n > PIPE_MAX)
		code = ctl_fail(q->ctl, CTL_REFUSED, "%s: no capture file, and too long for hex",
				ctl_arg(name));
	else
		code = ask_hex(q, BYTES(file, n), name);
	if (mapped)
		munmap(file, n);
	else
		free(file);
	return code;
}

static int ask_what(struct question *q, const char *what)
{
	bool is_stdin = strcmp(what, "-") == 0;
	int fd, code = CTL_OK;

	if (!is_stdin && access(what, F_OK) != 0 && (errno == ENOENT || errno == ENAMETOOLONG))
		return ask_hex(q, bytes_str(what), NULL);
	fd = ctl_open_in(q->ctl, what, &code);
	if (fd < 0)
		return code;
	code = ask_file(q, fd, is_stdin ? "standard input" : what);
	close(fd);
	return code;
}

/* What need not be there; after ctl_pinned() has found the directory. */
static int pinned_quietly(const struct ctl *ctl, const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", ctl->pin_dir, name);
	return bpf_obj_get(path);
}

static void maps_open(struct question *q)
{
	q->deny.entries = pinned_quietly(q->ctl, "deny_entry");
	q->deny.notes = pinned_quietly(q->ctl, "deny_note");
	q->allow.entries = pinned_quietly(q->ctl, "allow_entry");
	q->allow.notes = pinned_quietly(q->ctl, "allow_note");
	q->rates = pinned_quietly(q->ctl, "rates");
}

static void maps_close(struct question *q)
{
	const int fd[] = {q->deny.entries, q->deny.notes, q->allow.entries, q->allow.notes,
			  q->rates};

	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

/* All that we may run on, or the one that was named. */
static bool cores_of(struct question *q, const char *core)
{
	long long n;

	if (sched_getaffinity(0, sizeof(q->cores), &q->cores))
		return false;
	if (!core)
		return true;
	if (!ctl_number(core, CPU_SETSIZE - 1, &n) || !CPU_ISSET((size_t)n, &q->cores))
		return false;
	CPU_ZERO(&q->cores);
	CPU_SET((size_t)n, &q->cores);
	return true;
}

int drop_explain(struct ctl *ctl, int argc, char **argv)
{
	const char *interface = NULL, *core = NULL, *limit = NULL;
	const struct keyword words[] = {
		{"interface", &interface}, {"core", &core}, {"limit", &limit}};
	struct question q = {.ctl = ctl,
			     .limit = LIMIT,
			     .tells = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO)};
	int code = CTL_OK;

	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which packet? sluicectl drop explain HEX|FILE|-");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, words, 3))
		return CTL_USAGE;
	if (!cores_of(&q, core))
		return ctl_fail(ctl, CTL_USAGE, "core: a number that this machine has, not '%s'",
				core ? ctl_arg(core) : "");
	if (limit && (!ctl_number(limit, LIMIT_MAX, &q.limit) || q.limit < 1))
		return ctl_fail(ctl, CTL_USAGE, "limit: a number from 1, not '%s'", ctl_arg(limit));
	q.program = ctl_pinned(ctl, "xdp", &code);
	if (q.program < 0)
		return code;
	/* now that we are where its interfaces are */
	if (interface && ctl->net_apart)
		code = ctl_fail(ctl, CTL_REFUSED,
				"interface %s: sluiced's network namespace cannot be entered",
				ctl_arg(interface));
	else if (interface && (q.ifindex = if_nametoindex(interface)) == 0)
		code = ctl_fail(ctl, CTL_REFUSED, "interface %s: %s", ctl_arg(interface),
				strerror(errno));
	if (code != CTL_OK) {
		close(q.program);
		return code;
	}
	q.list = ctl->json ? json_array() : NULL;
	maps_open(&q);
	code = ask_what(&q, argv[0]);
	close(q.program);
	maps_close(&q);
	if (code == CTL_OK && ctl->json)
		ctl_print_json(ctl, json_incref(q.list));
	json_decref(q.list);
	return code;
}
