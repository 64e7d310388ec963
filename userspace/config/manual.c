/* SPDX-License-Identifier: BSD-2-Clause */
/* manual.c - the sample sluice.conf and sluice.conf(5), printed from the table.
 *
 * Both are in the tree (tools/conf, tools/man) so that one can read them there;
 * a test compares, and with SLUICE_UPDATE=1 in its environment writes them anew. */
#include <ctype.h>
#include <stdlib.h>

#include "config/options.h"

#define COLUMNS 90

/* ---- sentences, for both ---- */

static void put_choices(FILE *out, const struct option *o)
{
	for (const struct option_choice *c = o->choices; c->word; c++)
		fprintf(out, "%s\"%s\"", c == o->choices ? "" : c[1].word ? ", " : " or ", c->word);
}

/* "a time, 1 s to 24 h, or 0 (never)" */
static void put_kind(FILE *out, const struct option *o)
{
	char buf[160];

	switch (o->type) {
	case OPT_BOOL: fputs("true or false", out); break;
	case OPT_INT: fprintf(out, "a number, %s", value_bounds_str(o, buf)); break;
	case OPT_BYTES: fprintf(out, "a size, %s", value_bounds_str(o, buf)); break;
	case OPT_MS: fprintf(out, "a time, %s", value_bounds_str(o, buf)); break;
	case OPT_ENUM: put_choices(out, o); break;
	case OPT_FLAGS:
		fputs("a list of ", out);
		put_choices(out, o);
		break;
	case OPT_MODE: fputs("octal permission bits", out); break;
	case OPT_STRING: fputs("text", out); break;
	case OPT_PATH: fputs("the name of a file or directory", out); break;
	case OPT_STRINGS: fputs("a list of texts", out); break;
	case OPT_PREFIX: fputs("an address or prefix", out); break;
	case OPT_PREFIXES: fputs("a list of addresses and prefixes", out); break;
	case OPT_PORT: fputs("a port, or a range like \"8000-8099\"", out); break;
	case OPT_PORTS: fputs("a list of ports and ranges like \"8000-8099\"", out); break;
	case OPT_REFS:
		fprintf(out, "a list: the %s of each %s", o->group->key, o->group->name);
		break;
	case OPT_GROUP: fputs("a group", out); break;
	case OPT_GROUPS:
		fprintf(out, "a list of groups, at most %llu", (unsigned long long)o->max);
		break;
	}
}

static void put_default(FILE *out, const struct option *o)
{
	if (o->required)
		fputs("must be there", out);
	else if (o->unset)
		fprintf(out, "default: %s", o->unset);
	else
		fprintf(out, "default %s", o->def);
}

static bool is_list(const struct option *o)
{
	return o->type == OPT_GROUP || o->type == OPT_GROUPS;
}

/* "size … . What it is for. Price: …." as one text; the caller frees it. */
static char *paragraph(const struct option *o)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	fputs(o->help, f);
	for (const struct option_choice *c = o->choices; c && c->word; c++)
		if (c->help)
			fprintf(f, " \"%s\": %s.", c->word, c->help);
	if (o->type == OPT_GROUPS)
		fprintf(f, " %s", o->group->help);
	if (o->price)
		fprintf(f, " Price: %s.", o->price);
	if (o->reloadable)
		fputs(" A reload applies a change.", f);
	fclose(f);
	return text;
}

/* ---- sluice.conf ---- */

/* Words filled into lines of COLUMNS, each behind `lead`. */
static void wrap(FILE *out, const char *lead, const char *text)
{
	size_t tabs = strspn(lead, "\t"), width = COLUMNS - 8 * tabs - (strlen(lead) - tabs);
	size_t used = 0;

	while (*text) {
		size_t n = strcspn(text, " ");
		if (used && used + 1 + n > width) {
			fputc('\n', out);
			used = 0;
		}
		if (used)
			fputc(' ', out);
		else
			fputs(lead, out);
		used += n + (used > 0);
		fprintf(out, "%.*s", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

static void conf_option(FILE *out, const struct option *o, const char *indent, bool active)
{
	char lead[16], *text = paragraph(o), *head = NULL;
	size_t n;
	FILE *f;

	snprintf(lead, sizeof(lead), "%s# ", indent);
	f = open_memstream(&head, &n);
	fprintf(f, "%s: ", o->name);
	put_kind(f, o);
	fputs("; ", f);
	put_default(f, o);
	fputc('.', f);
	fclose(f);
	wrap(out, lead, head);
	wrap(out, lead, text);
	fprintf(out, "%s%s%s = %s;\n", indent, active && o->in_sample ? "" : "#", o->name,
		o->sample ? o->sample : o->def);
	free(head);
	free(text);
}

static void conf_options(FILE *out, const struct option_group *g, const char *indent, bool active)
{
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];
		char deeper[8], lead[16];

		if (i)
			fputc('\n', out);
		if (o->type != OPT_GROUP) {
			conf_option(out, o, indent, active);
			continue;
		}
		snprintf(deeper, sizeof(deeper), "%s\t", indent);
		snprintf(lead, sizeof(lead), "%s# ", indent);
		wrap(out, lead, o->group->help);
		fprintf(out, "%s%s = {\n", indent, o->name);
		conf_options(out, o->group, deeper, active);
		fprintf(out, "%s};\n", indent);
	}
}

static void conf_group(FILE *out, const struct option *o)
{
	fputc('\n', out);
	wrap(out, "# ", o->group->help);
	if (o->type == OPT_GROUP) {
		fprintf(out, "%s = {\n", o->name);
		conf_options(out, o->group, "\t", true);
		fputs("};\n", out);
		return;
	}
	/* a list that is not in the sample is commented out whole */
	const char *off = o->in_sample ? "" : "#";
	fprintf(out, "%s%s = (\n%s\t{\n", off, o->name, off);
	conf_options(out, o->group, "\t\t", o->in_sample);
	fprintf(out, "%s\t}\n%s);\n", off, off);
}

void config_manual_conf(FILE *out)
{
	fputs("# SPDX-License-Identifier: BSD-2-Clause\n"
	      "# sluice.conf - the sample, and the manual: every option with what it takes, its\n"
	      "# default and its price. sluiced reads the file at its start; sluice.conf(5) has a\n"
	      "# table, Changes, of what a running one takes over, by SIGHUP or `sluicectl policy`.\n"
	      "# Lines that begin with # are comments; an option in one shows its default or an\n"
	      "# example. As it stands this file serves wss://HOST:8443/ws with a development\n"
	      "# certificate. `sluiced -t -c FILE` checks a file, `sluiced -T` shows the values\n"
	      "# in effect. sluice.conf(5) says the same.\n"
	      "#\n"
	      "#   name = value;            an option           \"25 s\"  \"10 ms\"  \"5 min\"  \"1 h\"\n"
	      "#   name = { … };            a group             \"64 MiB\"  \"100 KiB\"  \"1 MB\"\n"
	      "#   name = ( { … }, { … } ); a list of groups    true  false  (no quotes)\n"
	      "#   @include \"more.conf\"     on a line of its own\n"
	      "#\n"
	      "# Plain numbers are milliseconds and bytes. File names are relative to the directory\n"
	      "# of this file. A list of texts is [\"a\", \"b\"] or \"a b\".\n\n",
	      out);
	wrap(out, "# ", option_root.help);
	for (uint32_t i = 0; i < option_root.n_options; i++) {
		const struct option *o = &option_root.options[i];
		if (is_list(o)) {
			conf_group(out, o);
			continue;
		}
		fputc('\n', out);
		conf_option(out, o, "", true);
	}
}

/* ---- sluice.conf(5) ---- */

/* Text for roff: nothing in it is a request or an escape. */
static void man_text(FILE *out, const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", out);
	for (; *s; s++)
		fputs(*s == '\\' ? "\\e" : *s == '-' ? "\\-" : (char[]){*s, '\0'}, out);
}

static void man_option(FILE *out, const struct option *o)
{
	char *text = paragraph(o), *kind = NULL;
	size_t n;
	FILE *f = open_memstream(&kind, &n);

	put_kind(f, o);
	fputs("; ", f);
	put_default(f, o);
	fputc('.', f);
	fclose(f);
	fputs(".TP\n.B ", out);
	man_text(out, o->name);
	fputs("\n", out);
	kind[0] = (char)toupper((unsigned char)kind[0]);
	man_text(out, kind);
	fputs("\n.br\n", out);
	man_text(out, text);
	fputs("\n", out);
	free(kind);
	free(text);
}

/* A group in a group stands where its option does; those of the top level are sections. */
static void man_options(FILE *out, const struct option_group *g)
{
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];
		if (o->type == OPT_GROUP && *g->name) {
			fputs(".TP\n.B ", out);
			man_text(out, o->name);
			fputs("\n", out);
			man_text(out, o->group->help);
			fputs("\n.RS\n", out);
			man_options(out, o->group);
			fputs(".RE\n", out);
		}
		if (o->type == OPT_GROUP || !o->help)
			continue;
		man_option(out, o);
		if (o->type != OPT_GROUPS)
			continue;
		fputs(".RS\n", out);
		man_options(out, o->group);
		fputs(".RE\n", out);
	}
}

static void man_section(FILE *out, const char *name, const struct option_group *g, bool list)
{
	fputs(".SS ", out);
	man_text(out, name);
	fputs(list ? " = ( { … }, … )\n" : *g->name ? " = { … }\n" : "\n", out);
	man_text(out, g->help);
	fputs("\n", out);
	man_options(out, g);
}

static const char man_head[] =
	".\\\" SPDX-License-Identifier: BSD-2-Clause\n"
	".\\\" Printed from the table of options, userspace/config/options.c: do not edit.\n"
	".TH SLUICE.CONF 5 \"\" \"sluice\" \"File formats\"\n"
	".SH NAME\n"
	"sluice.conf \\- configuration of sluiced\n"
	".SH DESCRIPTION\n"
	".BR sluiced (8)\n"
	"reads this file at start. It is checked whole: every mistake is reported with file and\n"
	"line, the value and what is allowed, and with any mistake the daemon does not start.\n"
	".B sluiced \\-t\n"
	"does only that;\n"
	".B sluiced \\-T\n"
	"prints all values in effect.\n"
	".SS Syntax\n"
	"The syntax is that of libconfig.\n"
	".PP\n"
	".nf\n"
	"name = value;              # an option; the semicolon may be left out\n"
	"name = { … };              # a group of options\n"
	"name = ( { … }, { … } );   # a list of groups\n"
	"// and /* … */ are comments too\n"
	"@include \"more.conf\"       # on a line of its own\n"
	".fi\n"
	".PP\n"
	"An unknown option is an error, and so is an option that is there twice. The name in an\n"
	"@include is relative to the directory of the main file and must not be absolute.\n"
	".SS Values\n"
	".TP\n"
	".B true or false\n"
	"Without quotes.\n"
	".TP\n"
	".B a number\n"
	"Beyond 2147483647 it needs an L at its end.\n"
	".TP\n"
	".B a time\n"
	"In quotes with a unit, \"25 s\", \"1.5 s\", \"10 ms\", \"5 min\", \"1 h\", or a plain number of\n"
	"milliseconds.\n"
	".TP\n"
	".B a size\n"
	"In quotes with a unit, \"100 KiB\", \"64 MiB\", \"2 GiB\", or decimal \"1 MB\", or a plain\n"
	"number of bytes.\n"
	".TP\n"
	".B a list of texts\n"
	"[\"a\", \"b\"], or \"a b\".\n"
	".TP\n"
	".B the name of a file or directory\n"
	"Relative to the directory of the main file.\n"
	".SS Changes\n"
	"The file is read at start. Of a change a running daemon takes over:\n"
	".TP\n"
	".B shield: protect, rate_classes, rules, cookies, deny, manage\n"
	"The policy; its options say so. SIGHUP applies it, and\n"
	".B sluicectl policy try\n"
	"for a time, manage excepted, which no trial touches;\n"
	".B sluicectl policy check\n"
	"says what they would do.\n"
	".TP\n"
	".B what the files of shield.lists hold\n"
	"SIGHUP reads them anew; which files they are takes a restart.\n"
	".TP\n"
	".B certificates: keys, chains, OCSP responses\n"
	"SIGHUP reads them anew,\n"
	".B sluicectl cert reload\n"
	"too, and the daemon by itself when a file changes.\n"
	".TP\n"
	".B everything else\n"
	"A restart, or\n"
	".BR \"sluiced \\-\\-replace\" .\n"
	"SIGHUP and the two above name what of the shield differs and was left as it is.\n"
	".SH OPTIONS\n";

static const char man_tail[] =
	".SH FILES\n"
	".TP\n"
	".I /etc/sluice/sluice.conf\n"
	"Where\n"
	".B sluiced\n"
	"looks if it is not told otherwise.\n"
	".SH EXAMPLES\n"
	"Plain WebSockets on loopback, behind another terminator:\n"
	".PP\n"
	".nf\n"
	"endpoints = ( { path = \"/ws\"; } );\n"
	"listeners = ( { address = \"127.0.0.1\"; port = 8080; } );\n"
	".fi\n"
	".PP\n"
	"Two endpoints that share their channels, one of them for browsers of one site only:\n"
	".PP\n"
	".nf\n"
	"certificates = ( { name = \"main\"; cert_file = \"cert.pem\"; key_file = \"key.pem\"; } );\n"
	"endpoints = (\n"
	"    { path = \"/ws\"; space = \"main\"; origins = \"https://app.example.com\"; },\n"
	"    { path = \"/internal\"; space = \"main\"; rate = 0; }\n"
	");\n"
	"listeners = (\n"
	"    { address = \"0.0.0.0\"; port = 443; tls = true; endpoints = \"/ws\"; },\n"
	"    { address = \"127.0.0.1\"; port = 8080; endpoints = \"/internal\"; }\n"
	");\n"
	"shield = { interfaces = \"eth0\"; };\n"
	".fi\n"
	".SH SEE ALSO\n"
	".BR sluiced (8),\n"
	".BR sluicectl (8)\n";

void config_manual_man(FILE *out)
{
	fputs(man_head, out);
	man_section(out, "Top level", &option_root, false);
	for (uint32_t i = 0; i < option_root.n_options; i++) {
		const struct option *o = &option_root.options[i];
		if (is_list(o))
			man_section(out, o->name, o->group, o->type == OPT_GROUPS);
	}
	fputs(man_tail, out);
}
