/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - options, then OBJECT VERB by one dispatch table. */
#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "tools/sluicectl/ctl.h"

static const struct object *const objects[] = {
	&status_object, &worker_object, &conn_object, &channel_object,     &allow_object,
	&deny_object,   &drop_object,   &rate_object, &talker_object,      &event_object,
	&policy_object, &prog_object,   &cert_object, &fingerprint_object, &metrics_object,
};
#define N_OBJECTS (sizeof(objects) / sizeof(objects[0]))

static void usage(FILE *out)
{
	fprintf(out, "Usage: sluicectl [OPTIONS] OBJECT { VERB | help } [KEYWORD VALUE]...\n\n"
		     "Objects:\n");
	for (size_t i = 0; i < N_OBJECTS; i++)
		fprintf(out, "  %-11s %s\n", objects[i]->name, objects[i]->help);
	fprintf(out,
		"\nOptions:\n"
		"  -j, --json            JSON on one line\n"
		"  -p, --pretty          JSON for people\n"
		"  -c, --control PATH    control socket (default $SLUICE_CONTROL, else\n"
		"                        /run/sluice/control.sock)\n"
		"      --pin-dir PATH    read the shield here (default: as the daemon says); works\n"
		"                        without a daemon\n"
		"      --show-command    print the bpftool command instead of running it (deny, drop,\n"
		"                        event, talker, policy and prog show)\n"
		"  -V, --version         print the version\n"
		"  -h, --help            this text; `sluicectl OBJECT help` for an object's verbs\n\n"
		"Objects, verbs and keywords may be cut short while they stay clear: sluicectl ch sh.\n"
		"A keyword may be written as an option, too: limit 5, --limit 5, --limit=5\n"
		"Exit codes: 0 done; 1 refused, or nothing by that name; 2 wrong command line;\n"
		"            3 the daemon cannot be reached; 4 somebody else is at it (a set is\n"
		"            being loaded, a capture runs): the same may be taken later\n\n"
		"Examples:\n"
		"  sluicectl status\n"
		"  sluicectl conn show worker 0\n"
		"  sluicectl deny add 203.0.113.0/24 for 10m note scanners\n"
		"  sluicectl -jp drop show\n");
}

/* In lines of at most 80 columns, a word at a time. */
static void wrapped(FILE *out, const char *text)
{
	int column = fprintf(out, "     ");
	while (*text) {
		int n = (int)strcspn(text, " ");
		if (column + 1 + n > 80)
			column = fprintf(out, "\n     ") - 1;
		column += fprintf(out, " %.*s", n, text);
		text += n + (text[n] == ' ');
	}
	fputc('\n', out);
}

/* Likewise, but brackets stay whole. */
static void usage_line(FILE *out, const struct object *o, const struct verb *v)
{
	int column = fprintf(out, "  sluicectl %s %s", o->name, v->name);
	for (const char *s = v->usage; *s;) {
		const char *next = strstr(s, " [");
		int n = (int)(next ? (size_t)(next - s) : strlen(s));
		if (column + 1 + n > 80)
			column = fprintf(out, "\n       ") - 1;
		column += fprintf(out, " %.*s", n, s);
		s += n + (next != NULL);
	}
	fputc('\n', out);
}

static void object_help(FILE *out, const struct object *o)
{
	fprintf(out, "sluicectl %s - %s\n\nUsage:\n", o->name, o->help);
	for (const struct verb *v = o->verbs; v->name; v++) {
		usage_line(out, o, v);
		wrapped(out, v->help);
	}
	fprintf(out, "  sluicectl %s help\n\nExamples:\n%s", o->name, o->examples);
}

/* ── sluicectl-OBJECT(8), or sluicectl(8) without an object: the manual comes from the same tables ── */

/* Text for troff, where a bare - and ' would come out as other characters than one can type. */
static void manual_text(const char *s)
{
	for (; *s; s++)
		if (*s == '-')
			fputs("\\-", stdout);
		else if (*s == '\'')
			fputs("\\(aq", stdout);
		else if (*s == '`')
			fputs("\\(ga", stdout);
		else if (*s == '\\')
			fputs("\\e", stdout);
		else
			putchar(*s);
}

static void manual_head(const char *name, const char *text)
{
	printf(".\\\" SPDX-License-Identifier: BSD-2-Clause\n"
	       ".\\\" Printed by sluicectl --man: do not edit.\n"
	       ".TH ");
	for (const char *p = name; *p; p++)
		putchar(toupper((unsigned char)*p));
	printf(" 8 \"\" \"sluice\" \"System administration\"\n.SH NAME\n");
	manual_text(name);
	printf(" \\- %s\n.SH SYNOPSIS\n", text);
}

static void manual_object(const struct object *o)
{
	char name[64];
	snprintf(name, sizeof(name), "sluicectl-%s", o->name);
	manual_head(name, o->help);
	for (const struct verb *v = o->verbs; v->name; v++) {
		printf("%s.B sluicectl %s %s\n", v == o->verbs ? "" : ".br\n", o->name, v->name);
		manual_text(v->usage);
		printf("%s", *v->usage ? "\n" : "");
	}
	printf(".SH VERBS\n");
	for (const struct verb *v = o->verbs; v->name; v++) {
		printf(".TP\n.B %s\n", v->name);
		manual_text(v->help);
		printf("\n");
	}
	printf(".SH EXAMPLES\n.nf\n");
	manual_text(o->examples);
	printf(".fi\n.SH SEE ALSO\n.BR sluicectl (8),\n.BR sluiced (8)\n");
}

static void manual(void)
{
	manual_head("sluicectl", "see and steer a running sluiced");
	printf(".B sluicectl\n[OPTIONS] OBJECT { VERB | help } [KEYWORD VALUE]...\n"
	       ".SH DESCRIPTION\nObjects and verbs may be cut short while they stay clear. What lies in "
	       "the daemon comes over its control socket, what lies in the kernel through\n"
	       ".BR bpftool (8)\nand its JSON. If sluiced runs in another network namespace, root's\n"
	       "sluicectl goes there before it looks, so that interfaces have their names and can be\n"
	       "captured from; with\n.B \\-\\-pin\\-dir\nit stays where it is.\n.SH OBJECTS\n");
	for (size_t i = 0; i < N_OBJECTS; i++)
		printf(".TP\n.BR sluicectl\\-%s (8)\n%s\n", objects[i]->name, objects[i]->help);
	printf(".SH OPTIONS AND EXIT CODES\n.nf\n");
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	if (f != NULL) {
		usage(f);
		fclose(f);
		manual_text(text);
		free(text);
	}
	printf(".fi\n.SH SEE ALSO\n.BR sluiced (8),\n.BR sluice.conf (5),\n.BR bpftool (8)\n");
}

/* ── what may stand next, a word a line: for the shell's completion ── */

/* "ring|xsk" → two lines; FILE stands for the names of files, WORD for reasons. */
static void complete_value(const char *value)
{
	char copy[64], *save = NULL;
	snprintf(copy, sizeof(copy), "%s", value);
	if (strcmp(copy, "WORD") == 0)
		ctl_reasons(stdout);
	for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
		if (islower((unsigned char)*w) || strcmp(w, "FILE") == 0)
			printf("%s\n", w);
}

static bool is_there(const char *word, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i] + (strncmp(argv[i], "--", 2) == 0 ? 2 : 0), word) == 0)
			return true;
	return false;
}

/* The next word of a usage and what it wants to stand behind it, "" if nothing: "[for TIME]" is
 * "for" and "TIME". False: no more. */
static bool usage_next(const char **usage, char word[64], char value[64])
{
	size_t n = strcspn(*usage, " ");
	bool open;
	if (n == 0)
		return false;
	open = (*usage)[0] == '[' && (*usage)[n - 1] != ']';
	snprintf(word, 64, "%.*s", (int)strcspn(*usage + (**usage == '['), "] "),
		 *usage + (**usage == '['));
	*value = 0;
	*usage += n + ((*usage)[n] == ' ');
	if (open || (islower((unsigned char)*word) && isupper((unsigned char)**usage))) {
		n = strcspn(*usage, " ");
		snprintf(value, 64, "%.*s", (int)strcspn(*usage, "[] "), *usage);
		*usage += n + ((*usage)[n] == ' ');
	}
	return true;
}

/* Of "PREFIX [for TIME] [note TEXT]": the keywords that are not there yet, or the value of the
 * one that stands last. */
static void complete_keywords(const char *usage, int argc, char **argv)
{
	char word[64], value[64];
	const char *at = usage;
	while (argc && usage_next(&at, word, value))
		if (*value && is_there(word, 1, argv + argc - 1)) {
			complete_value(value);
			return;
		}
	for (at = usage; usage_next(&at, word, value);)
		if (islower((unsigned char)*word) && !is_there(word, argc, argv))
			printf("%s\n", word);
		else if (!islower((unsigned char)*word) && argc == 0)
			complete_value(word); /* what stands first */
}

static void complete(int argc, char **argv)
{
	const struct object *o = NULL;
	for (size_t i = 0; i < N_OBJECTS; i++) {
		if (argc == 0)
			printf("%s\n", objects[i]->name);
		else if (strcmp(argv[0], objects[i]->name) == 0)
			o = objects[i];
	}
	for (const struct verb *v = o ? o->verbs : NULL; v && v->name; v++)
		if (argc == 1)
			printf("%s\n", v->name);
		else if (strcmp(argv[1], v->name) == 0)
			complete_keywords(v->usage, argc - 2, argv + 2);
}

/* The exact name, or the only one that begins so; -1 none, -2 several. */
static int pick(const char *word, const char *(*name)(const void *, size_t), const void *list,
		size_t n)
{
	int found = -1;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(word, name(list, i)) == 0)
			return (int)i;
		if (ctl_prefix(word, name(list, i)))
			found = found == -1 ? (int)i : -2;
	}
	return found;
}

/* "conn or channel": what `word` may mean. */
static const char *candidates(const char *word, const char *(*name)(const void *, size_t),
			      const void *list, size_t n)
{
	static char text[256];
	size_t len = 0;
	for (size_t i = 0; i < n && len < sizeof(text); i++)
		if (ctl_prefix(word, name(list, i)))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						len ? " or " : "", name(list, i));
	return text;
}

static const char *object_name(const void *list, size_t i)
{
	return ((const struct object *const *)list)[i]->name;
}

static const char *verb_name(const void *list, size_t i)
{
	return ((const struct verb *)list)[i].name;
}

/* Who wants to see a command does not want it done: nothing happens where there is none. */
static int run_verb(struct ctl *ctl, const struct object *o, const struct verb *v, int argc,
		    char **argv)
{
	if (ctl->show_command && v->via != VIA_BPFTOOL)
		return ctl_fail(ctl, CTL_USAGE,
				"--show-command: '%s %s' %s, there is no bpftool command behind it",
				o->name, v->name,
				v->via == VIA_DAEMON ? "goes through the daemon" :
						       "asks the kernel itself");
	if (ctl->pin_dir && v->via == VIA_DAEMON)
		return ctl_fail(ctl, CTL_USAGE,
				"--pin-dir: '%s %s' goes through the daemon (-c), which has a "
				"pin_dir of its own",
				o->name, v->name);
	ctl->object = o->name;
	ctl->reads_pins = v->via != VIA_DAEMON;
	return v->run(ctl, argc, argv);
}

static bool asks_help(const char *word)
{
	return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 0) {
		usage(stderr);
		return CTL_USAGE;
	}
	bool help = strcmp(argv[0], "help") == 0;
	if (help && argc == 1) {
		usage(stdout);
		return CTL_OK;
	}
	argc -= help; /* `help conn` is `conn help` */
	argv += help;
	int i = pick(argv[0], object_name, objects, N_OBJECTS);
	if (i == -2)
		return ctl_fail(ctl, CTL_USAGE, "ambiguous object '%s': %s", ctl_arg(argv[0]),
				candidates(argv[0], object_name, objects, N_OBJECTS));
	if (i < 0)
		return ctl_fail(ctl, CTL_USAGE, "unknown object '%s': see 'sluicectl help'",
				ctl_arg(argv[0]));
	const struct object *o = objects[i];
	if (argc == 1 && !help)
		return run_verb(ctl, o, &o->verbs[0], 0, argv + 1);
	if (help || asks_help(argv[1]) || ctl_prefix(argv[1], "help")) {
		object_help(stdout, o);
		return CTL_OK;
	}
	size_t n = 0;
	while (o->verbs[n].name)
		n++;
	i = pick(argv[1], verb_name, o->verbs, n);
	if (i == -2)
		return ctl_fail(ctl, CTL_USAGE, "ambiguous verb '%s': %s", ctl_arg(argv[1]),
				candidates(argv[1], verb_name, o->verbs, n));
	if (i < 0)
		return ctl_fail(ctl, CTL_USAGE, "unknown verb '%s': see 'sluicectl %s help'%s",
				ctl_arg(argv[1]), o->name,
				argv[1][0] == '-' ? " (options stand before the object)" : "");
	if (argc == 3 && asks_help(argv[2])) {
		object_help(stdout, o);
		return CTL_OK;
	}
	return run_verb(ctl, o, &o->verbs[i], argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
	enum { OPT_PIN_DIR = 256, OPT_SHOW, OPT_MAN, OPT_COMPLETE };
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"pretty", no_argument, NULL, 'p'},
		{"control", required_argument, NULL, 'c'},
		{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
		{"show-command", no_argument, NULL, OPT_SHOW},
		{"man", optional_argument, NULL, OPT_MAN},     /* for the build: not in --help */
		{"complete", no_argument, NULL, OPT_COMPLETE}, /* for tools/completion */
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct ctl ctl = {.control = getenv("SLUICE_CONTROL")};
	if (ctl.control == NULL)
		ctl.control = "/run/sluice/control.sock";
	int opt;
	while ((opt = getopt_long(argc, argv, "+jpc:Vh", options, NULL)) != -1)
		switch (opt) {
		case 'p':
			ctl.pretty = true;
			/* fall through */
		case 'j': ctl.json = true; break;
		case 'c': ctl.control = optarg; break;
		case OPT_PIN_DIR: ctl.pin_dir = optarg; break;
		case OPT_SHOW: ctl.show_command = true; break;
		case OPT_MAN:
			for (size_t i = 0; optarg && i < N_OBJECTS; i++)
				if (strcmp(optarg, objects[i]->name) == 0)
					manual_object(objects[i]);
			if (!optarg)
				manual();
			return CTL_OK;
		case OPT_COMPLETE: complete(argc - optind, argv + optind); return CTL_OK;
		case 'V': printf("sluicectl %s\n", SLUICE_VERSION); return CTL_OK;
		case 'h': usage(stdout); return CTL_OK;
		default: fprintf(stderr, "See 'sluicectl --help'.\n"); return CTL_USAGE;
		}
	int code = run(&ctl, argc - optind, argv + optind);
	if (fflush(stdout) != 0 || ferror(stdout))
		return CTL_REFUSED;
	return code;
}
