/* SPDX-License-Identifier: BSD-2-Clause */
/* ctl.h - what the objects of sluicectl share: options, the control socket, bpftool, output.
 *
 * Grammar, after bpftool: sluicectl [OPTIONS] OBJECT VERB [KEYWORD VALUE]…; any unambiguous
 * prefix will do; `help` at each level. One file per object, each with a table of verbs.
 *
 * Exit codes: 0 done, 1 the daemon or bpftool refused or has nothing by that name, 2 the
 * command line is wrong, 3 the daemon cannot be reached, 4 somebody else is at it and the same may
 * be taken a little later. */
#ifndef SLUICECTL_CTL_H
#define SLUICECTL_CTL_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CTL_OK, CTL_REFUSED, CTL_USAGE, CTL_UNREACHABLE, CTL_BUSY };

struct ctl {
	bool json, pretty, show_command;
	bool parts;          /* a JSON list has begun: errors of its parts go to stderr */
	const char *control; /* path of the control socket */
	const char *pin_dir; /* NULL: ask the daemon */
	const char *object;  /* the name of the one whose verb runs */
	bool reads_pins;     /* that verb could do without the daemon, by --pin-dir */
	const char *off;     /* why the shield judges nothing; NULL: it does, or nobody has asked */
	bool net_apart;      /* sluiced is in a network namespace that could not be entered */
};

struct verb {
	const char *name;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const char *usage; /* arguments, "" for none */
	const char *help;
	enum { VIA_DAEMON, VIA_BPFTOOL, VIA_KERNEL } via; /* --show-command shows the second */
};

struct object {
	const char *name;
	const struct verb *verbs; /* ends with a NULL name; the first is the default */
	const char *help;
	const char *examples;
};
extern const struct object status_object, worker_object, conn_object, channel_object, allow_object,
	deny_object, drop_object, policy_object, prog_object, rate_object, talker_object,
	event_object, cert_object, fingerprint_object, metrics_object;

/* Verbs that fill files of their own. */
int drop_explain(struct ctl *ctl, int argc, char **argv);
int drop_capture(struct ctl *ctl, int argc, char **argv);
/* The certificates of `n` workers, each once; NULL after ctl_fail(). */
json_t *cert_all(struct ctl *ctl, int n, int *code);
int fingerprint_deny(struct ctl *ctl, int argc, char **argv);
int conn_count(struct ctl *ctl, int argc, char **argv);
int conn_kick(struct ctl *ctl, int argc, char **argv);
int channel_publish(struct ctl *ctl, int argc, char **argv);
void ctl_reasons(FILE *out); /* the words of drop_reason.def, a line each */

/* ── messages: to stderr in text mode, as {"error":…} on stdout with -j ── */
int ctl_fail(const struct ctl *ctl, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What somebody should know beside the answer: to stderr in every mode. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* An argument as a message repeats it: all of a short one, the begin and the length of a long one.
 * Static, four in turn. */
const char *ctl_arg(const char *arg);

/* ── files that the command line names, - for standard input or output ── */
/* A descriptor to read from, -1 after ctl_fail(). No directory; for whoever is to write into a FIFO
 * it waits, and says so. */
int ctl_open_in(const struct ctl *ctl, const char *path, int *code);
/* All that comes, at most `max` bytes; to be freed. NULL: errno. */
uint8_t *ctl_slurp(int fd, size_t max, size_t *n);
/* A file made empty, or standard output; NULL after ctl_fail(). A FIFO must have a reader. */
FILE *ctl_open_out(const struct ctl *ctl, const char *path, int *code);

/* ── keywords: pairs of name and value, in any order; `--name VALUE` and `--name=VALUE` mean the same ── */
struct keyword {
	const char *name;
	const char **value;
};
/* False after ctl_fail(): an unknown or ambiguous name, one twice, or a value missing. */
bool ctl_keywords(const struct ctl *ctl, int argc, char **argv, const struct keyword *words,
		  size_t n);
/* Does `name` begin with `word`, which is not empty? */
bool ctl_prefix(const char *word, const char *name);
/* "30s", "10m" or "10min", "2h", "7d", "90" (seconds) → seconds; false if it is none. */
bool ctl_duration(const char *text, long long *seconds);
bool ctl_number(const char *text, long long max, long long *value);

/* ── expressions (userspace/hub/expression.h) ── */
#define CTL_PUBLISH_MAX 4096 /* bytes of data: QUERY_DATA_MAX */
/* The words of one that stand first, out of argv, joined by blanks; static. NULL after ctl_fail(). */
const char *ctl_expression(const struct ctl *ctl, int *argc, char ***argv);
/* Adds "to" to a request, and "space" if that is not NULL. */
void ctl_select(json_t *request, const char *to, const char *space);
/* How many it means in all workers: {"SPACE":n,…} and their sum. NULL after ctl_fail(), also if there
 * is no such space; *code tells also if some worker did not answer. */
json_t *ctl_count_meant(struct ctl *ctl, const char *to, const char *space, unsigned long long *sum,
			int *code);

/* ── the daemon ── */
/* Takes `request`; the answer if it says ok, else NULL after ctl_fail() (*code is set). */
json_t *ctl_ask(const struct ctl *ctl, json_t *request, int *code);
/* The same with a descriptor beside it (-1: none), which it closes; the answer also if it says no. */
json_t *ctl_exchange(const struct ctl *ctl, json_t *request, int fd, int *code);
/* Prints an answer that has notes and mistakes beside its text; takes it. The exit code, which is `code` if
 * there is none. */
int ctl_say_report(struct ctl *ctl, json_t *answer, int code);
/* The pin directory: as given, or as the daemon says. NULL after ctl_fail(), also if the shield
 * is off and `wanted` (a map's name; "" the directory itself) is not there, or empty, for that reason. An
 * unattached shield has full maps: then ctl->off says why and a note stands on stderr. Moves this process
 * into the daemon's network namespace (net.c). */
const char *ctl_pin_dir(struct ctl *ctl, const char *wanted, int *code);
/* An interface of the shield by its number; "#7" if it is gone or in a namespace we are not in. */
const char *ctl_ifname(const struct ctl *ctl, unsigned ifindex, char buf[IF_NAMESIZE]);
/* A descriptor of what is pinned by that name, -1 after ctl_fail(). The caller closes it. */
int ctl_pinned(struct ctl *ctl, const char *name, int *code);
/* Number of workers, -1 after ctl_fail(). */
int ctl_workers(const struct ctl *ctl, int *code);

/* ── bpftool ── */
/* Runs `bpftool -j ARGS…` (NULL-terminated), or prints it for --show-command and returns an
 * empty array. NULL after ctl_fail(). */
json_t *ctl_bpftool(const struct ctl *ctl, const char *const *args, int *code);
/* The pinned map of that name as bpftool dumps it. Likewise. */
json_t *ctl_dump(struct ctl *ctl, const char *map, int *code);
/* The part of an entry of a dump that has names; what of older bpftools has no other. */
const json_t *ctl_formatted(const json_t *entry);
/* A text of at most `max` bytes within an entry's value, of its bytes as they are: bpftool's own
 * JSON has a line feed for each backslash and numbers for what is not ASCII. Cleaned. NULL: it gives no bytes. */
const char *ctl_raw_text(const json_t *entry, size_t at, size_t max);

/* ── output ── */
/* With -j or -p prints `value` and takes it; true: done. In text mode: false. An object tells by
 * "shield" if that is off. */
bool ctl_print_json(const struct ctl *ctl, json_t *value);
/* Safe for a terminal: control characters, what turns the direction of writing, and what is no
 * UTF-8 come out as '?'. Static, sixteen in turn. */
const char *ctl_clean(const char *s);
/* A clean text with spaces up to `width` characters (printf would count bytes). Likewise. */
const char *ctl_pad(const char *clean, unsigned width);
const char *ctl_count(unsigned long long n);      /* "12,345"; static, eight in turn */
const char *ctl_bytes(unsigned long long n);      /* "1.2 MiB" */
const char *ctl_span(unsigned long long seconds); /* "3h 12m" */
unsigned long long ctl_u64(const json_t *o, const char *key);
const char *ctl_str(const json_t *o, const char *key); /* cleaned; "" if absent */

#endif
