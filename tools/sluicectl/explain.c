/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.c - drop explain: the program in force is asked what it would do with a packet.
 *
 *   hex or capture file ─► frame ─► test run of pin_dir/xdp ─► rule, reason, mode
 *
 * Nothing is counted by it, and no token or entry comes of it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shield/explain.h"
#include "shield/pcap.h"
#include "shield/shield.h"
#include "tools/sluicectl/ctl.h"

#define FILE_MAX (256u << 20)

struct question {
	struct ctl *ctl;
	int program;
	unsigned ifindex;
	unsigned number; /* of the frame in its file; 0: it stands alone */
	json_t *list;    /* with -j */
};

/* ── the answer ── */

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

static json_t *as_json(const struct question *q, struct bytes frame, const struct shield_ask *a)
{
	char text[SHIELD_FRAME_TEXT_MAX];
	json_t *o = json_pack("{s:i,s:s,s:s,s:s,s:o}", "bytes", (int)frame.n, "packet",
			      shield_frame_str(frame, text), "verdict", verdict_word(a), "stage",
			      stage_word(a->stage), "observed", observed_list(a));

	if (q->number)
		json_object_set_new(o, "number", json_integer(q->number));
	if (a->reason != DROP_NONE) {
		json_object_set_new(o, "rule",
				    json_string(shield_rule_word(shield_reason_rule(a->reason))));
		json_object_set_new(o, "reason", json_string(shield_reason_word(a->reason)));
		json_object_set_new(o, "text", json_string(shield_reason_text(a->reason)));
		json_object_set_new(o, "mode", json_string("enforce"));
	} else if (a->stage != SHIELD_STAGE_JUDGED) {
		json_object_set_new(o, "text", json_string(stage_text(a->stage)));
	}
	return o;
}

static void as_text(const struct question *q, struct bytes frame, const struct shield_ask *a)
{
	char text[SHIELD_FRAME_TEXT_MAX];

	if (q->number)
		printf("%u: ", q->number);
	printf("%s, %zu bytes\n", shield_frame_str(frame, text), frame.n);
	if (a->reason != DROP_NONE)
		printf("    dropped by rule %u, %s (enforce): %s: %s\n",
		       shield_reason_rule(a->reason) + 1u,
		       shield_rule_word(shield_reason_rule(a->reason)),
		       shield_reason_word(a->reason), shield_reason_text(a->reason));
	else if (a->stage != SHIELD_STAGE_JUDGED)
		printf("    passes: %s\n", stage_text(a->stage));
	else if (a->action == XDP_TX)
		printf("    answered with a SYN cookie\n");
	else
		printf("    passes every rule\n");
	for (unsigned i = 1; i < DROP_REASONS; i++)
		if (a->observed >> i & 1)
			printf("    would be dropped by rule %u, %s, which only observes: %s: %s\n",
			       shield_reason_rule(i) + 1u, shield_rule_word(shield_reason_rule(i)),
			       shield_reason_word(i), shield_reason_text(i));
}

static int ask(struct question *q, struct bytes frame)
{
	struct shield_ask a = {0};
	char name[IF_NAMESIZE] = "that interface", number[24] = "";
	int err = shield_explain(q->program, frame, q->ifindex, &a);

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
			number, if_indextoname(q->ifindex, name) ? name : "there");
	if (err)
		return ctl_fail(q->ctl, CTL_REFUSED, "%sthe kernel does not take it: %s%s", number,
				strerror(-err), err == -EPERM ? " (asking needs root)" : "");
	if (q->ctl->json)
		json_array_append_new(q->list, as_json(q, frame, &a));
	else
		as_text(q, frame, &a);
	return CTL_OK;
}

/* ── the question ── */

static int nibble(char c)
{
	return isdigit((unsigned char)c)  ? c - '0' :
	       isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 :
					    -1;
}

/* Digits in pairs, with blanks, colons, dots or dashes between the bytes as people write them.
 * The number of bytes, -1 if it is none. */
static ssize_t parse_hex(const char *s, uint8_t *out)
{
	size_t n = 0;

	for (; *s; s++) {
		if (strchr(" \t\n:.-", *s))
			continue;
		if (nibble(s[0]) < 0 || nibble(s[1]) < 0)
			return -1;
		out[n++] = (uint8_t)(nibble(s[0]) << 4 | nibble(s[1]));
		s++;
	}
	return (ssize_t)n;
}

static int ask_hex(struct question *q, const char *text)
{
	uint8_t *frame = malloc(strlen(text) / 2 + 1);
	ssize_t n = frame ? parse_hex(text, frame) : -1;
	int code = CTL_USAGE;

	if (n < 0)
		ctl_fail(q->ctl, CTL_USAGE,
			 "'%s' is no file, and no packet in hex (from the Ethernet header on)",
			 text);
	else
		code = ask(q, BYTES(frame, (size_t)n));
	free(frame);
	return code;
}

static int ask_capture(struct question *q, struct bytes file, const char *name)
{
	struct pcap p;
	struct pcap_frame f;
	int code = CTL_OK;

	pcap_open(&p, file);
	while (code == CTL_OK && pcap_next(&p, &f)) {
		q->number++;
		code = ask(q, f.frame);
	}
	if (p.bad && q->number)
		return ctl_fail(q->ctl, CTL_REFUSED, "%s: after packet %u: %s", name, q->number,
				p.bad);
	return p.bad ? ctl_fail(q->ctl, CTL_REFUSED, "%s: %s", name, p.bad) : code;
}

/* The whole file or pipe; *n bytes, to be freed. NULL: errno, EFBIG beyond FILE_MAX. */
static uint8_t *slurp(int fd, size_t *n)
{
	size_t cap = 65536;
	uint8_t *buf = malloc(cap);
	ssize_t r = 0;

	for (*n = 0; buf && (r = read(fd, buf + *n, cap - *n)) > 0;) {
		*n += (size_t)r;
		if (*n < cap)
			continue;
		uint8_t *more = cap < FILE_MAX ? realloc(buf, cap *= 2) : NULL;
		if (!more) {
			free(buf);
			errno = EFBIG;
			return NULL;
		}
		buf = more;
	}
	if (buf && r < 0) {
		free(buf);
		return NULL;
	}
	return buf;
}

static int ask_file(struct question *q, int fd, const char *name)
{
	size_t n;
	uint8_t *file = slurp(fd, &n);
	int code;

	if (!file)
		return ctl_fail(q->ctl, CTL_REFUSED, "%s: %s", name, strerror(errno));
	if (pcap_is_one(BYTES(file, n))) {
		code = ask_capture(q, BYTES(file, n), name);
	} else {
		char *text = memchr(file, '\0', n) ? NULL : strndup((char *)file, n);
		uint8_t *frame = malloc(n / 2 + 1);
		ssize_t bytes = text && frame ? parse_hex(text, frame) : -1;

		code = bytes < 0 ?
			       ctl_fail(q->ctl, CTL_REFUSED,
					"%s: neither a capture file nor a packet in hex", name) :
			       ask(q, BYTES(frame, (size_t)bytes));
		free(frame);
		free(text);
	}
	free(file);
	return code;
}

static int ask_what(struct question *q, const char *what)
{
	int fd, code;

	if (strcmp(what, "-") == 0)
		return ask_file(q, STDIN_FILENO, "standard input");
	fd = open(what, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENAMETOOLONG))
		return ask_hex(q, what);
	if (fd < 0)
		return ctl_fail(q->ctl, CTL_REFUSED, "%s: %s", what, strerror(errno));
	code = ask_file(q, fd, what);
	close(fd);
	return code;
}

int drop_explain(struct ctl *ctl, int argc, char **argv)
{
	const char *interface = NULL;
	const struct keyword words[] = {{"interface", &interface}};
	struct question q = {.ctl = ctl};
	int code = CTL_OK;

	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which packet? sluicectl drop explain HEX|FILE|-");
	if (!ctl_keywords(ctl, argc - 1, argv + 1, words, 1))
		return CTL_USAGE;
	if (interface && (q.ifindex = if_nametoindex(interface)) == 0)
		return ctl_fail(ctl, CTL_REFUSED, "interface %s: %s", interface, strerror(errno));
	q.program = ctl_pinned(ctl, "xdp", &code);
	if (q.program < 0)
		return code;
	q.list = ctl->json ? json_array() : NULL;
	code = ask_what(&q, argv[0]);
	close(q.program);
	if (code == CTL_OK && ctl->json)
		ctl_print_json(ctl, json_incref(q.list));
	json_decref(q.list);
	return code;
}
