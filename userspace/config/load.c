/* SPDX-License-Identifier: BSD-2-Clause */
/* load.c - the doors: a file or a text in, a config or all its mistakes out.
 *
 * libconfig parses. It keeps quiet about two things that we do not let pass: a
 * number beyond 32 bits without its L wraps around (4294967297 would be 1), and
 * "\x00" ends a string early. raw_scan() reads the text itself for those. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>

#include "config/bundle.h"
#include "config/options.h"

#define MAX_FILE_BYTES (16u << 20)

/* ---- what libconfig does not tell ---- */

const char *config_skip_quiet(const char *p, bool *ends_early)
{
	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		const char *end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (*p != '"')
		return p;
	for (p++; *p && *p != '"'; p++) {
		if (strncmp(p, "\\x00", 4) == 0)
			*ends_early = true;
		if (*p == '\\' && p[1])
			p++;
	}
	return *p ? p + 1 : p;
}

/* Does the whole number at p fit what libconfig makes of it? *end behind it. */
static bool number_fits(const char *p, const char **end)
{
	bool hex = p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
	unsigned long long v;
	char *stop;

	errno = 0;
	v = strtoull(p, &stop, hex ? 16 : 10);
	*end = stop;
	if (*stop == '.' || *stop == 'e' || *stop == 'E') { /* a float: refused elsewhere */
		*end = stop + strspn(stop, "0123456789.eE+-");
		return true;
	}
	*end = stop + strspn(stop, "L");
	return errno == 0 && v <= (*stop == 'L' ? (unsigned long long)LLONG_MAX : INT_MAX);
}

static void raw_scan(struct load *l, const char *file, const char *text)
{
	config_setting_t here = {.line = 1, .file = file};
	const char *p = text;

	while (*p) {
		bool ends_early = false;
		const char *end = config_skip_quiet(p, &ends_early);

		if (ends_early)
			complain(l, &here, "\\x00 in a string: it would end there");
		if (end == p && isdigit((unsigned char)*p)) {
			if (!number_fits(p, &end))
				complain(l, &here,
					 "%.*s is too large for a plain number: write it with a "
					 "unit (\"8 GiB\") or with L at its end",
					 (int)MIN(end - p, 40), p);
		} else if (end == p && (isalpha((unsigned char)*p) || *p == '*' || *p == '_')) {
			/* a name may hold digits */
			while (isalnum((unsigned char)*end) || strchr("-_*", *end))
				if (!*end++)
					break;
		} else if (end == p) {
			end = p + 1;
		}
		for (; p < end && *p; p++)
			here.line += *p == '\n';
	}
}

char *config_slurp(const char *name)
{
	FILE *f = fopen(name, "re");
	char *text = NULL;
	size_t n = 0;

	if (!f)
		return NULL;
	do {
		text = realloc(text, n + 65537);
		assert(text);
		n += fread(text + n, 1, 65536, f);
	} while (!feof(f) && !ferror(f) && n < MAX_FILE_BYTES);
	text[n] = '\0';
	if (ferror(f) || n >= MAX_FILE_BYTES) {
		errno = ferror(f) ? errno : EFBIG;
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

/* libconfig says "syntax error" and a line; the line itself often tells more. */
static void complain_syntax(struct load *l, const config_t *conf, const char *text)
{
	config_setting_t here = {.line = (unsigned)config_error_line(conf),
				 .file = config_error_file(conf)};
	const char *what = config_error_text(conf), *line, *hint = "";
	const char *file = complain_file(l, here.file);
	char *included = NULL, *eq;
	char shown[80];

	if (strcmp(file, l->file) != 0)
		text = included = config_slurp(file);
	line = text ? text : "";
	for (unsigned i = 1; i < here.line && line; i++)
		if ((line = strchr(line, '\n')))
			line++;
	snprintf(shown, sizeof(shown), "%.*s", line ? (int)MIN(strcspn(line, "\r\n"), 70u) : 0,
		 line ? line : "");
	eq = strpbrk(shown, "=:");
	if (strstr(what, "include"))
		hint = " (names are relative to the directory of the main file)";
	else if (eq && isalpha((unsigned char)eq[1 + strspn(eq + 1, " ")]))
		hint = " (text goes in quotes; switches are true or false)";
	complain(l, &here, "%s %s%s%s", what, line && *line ? "near: " : "at the end of the file",
		 shown + strspn(shown, " \t"), hint);
	free(included);
}

static void scan_files(struct load *l, const config_t *conf, const char *text)
{
	raw_scan(l, l->file, text);
	for (unsigned i = 0; i < conf->num_filenames; i++) {
		const char *file = complain_file(l, conf->filenames[i]);
		char *more = strcmp(file, l->file) == 0 ? NULL : config_slurp(file);
		if (more)
			raw_scan(l, conf->filenames[i], more);
		free(more);
	}
}

/* ---- doors ---- */

static struct config *finish_load(struct load *l, bool ok)
{
	for (uint32_t i = 0; i < l->n_defaults; i++)
		config_destroy(&l->defaults[i].conf);
	if (ok && l->errs->n == 0)
		return l->cfg;
	config_free(l->cfg);
	complain_sort(l->errs);
	return NULL;
}

/* Asked of files only: a text in a program may be about one option. */
static void check_serves(struct load *l, const config_setting_t *root)
{
	if (left_empty(root, "listeners"))
		complain(l, place(root, "listeners"), "no listener: nothing would be served");
}

static struct config *load_text(struct load *l, const char *text, bool from_file)
{
	config_t conf;
	bool ok;

	config_init(&conf);
	config_set_include_dir(&conf, l->closed ? "/nonexistent" : l->dir);
	ok = from_file ? config_read_file(&conf, l->file) : config_read_string(&conf, text);
	if (ok) {
		scan_files(l, &conf, text);
		group_into(l, &option_root, config_root_setting(&conf), l->cfg);
		if (from_file || l->closed)
			check_serves(l, config_root_setting(&conf));
	} else {
		complain_syntax(l, &conf, text);
	}
	config_destroy(&conf);
	return finish_load(l, ok);
}

static void begin(struct load *l, struct config_errors *errs, const char *file)
{
	*l = (struct load){.errs = errs, .file = file, .where = "", .dir = "/"};
	l->cfg = calloc(1, sizeof(*l->cfg));
	assert(l->cfg);
	l->cfg->file = "";
}

struct config *config_load(const char *path_name, struct config_errors *errs)
{
	struct load l;
	struct config *cfg;
	char *text = config_slurp(path_name), *copy = strdup(path_name), full[PATH_MAX];
	int why = errno;

	begin(&l, errs, path_name);
	if (!text || !realpath(dirname(copy), full)) {
		complain(&l, NULL, "cannot be read: %s", strerror(text ? errno : why));
		free(copy);
		free(text);
		return finish_load(&l, false);
	}
	l.dir = load_strdup(&l, full, strlen(full));
	free(copy);
	copy = strdup(path_name);
	l.cfg->file = load_printf(&l, "%s/%s", strcmp(l.dir, "/") ? l.dir : "", basename(copy));
	free(copy);
	cfg = load_text(&l, text, true);
	free(text);
	return cfg;
}

struct config *config_load_string(const char *text, const char *dir, struct config_errors *errs)
{
	struct load l;

	begin(&l, errs, "<text>");
	l.dir = load_strdup(&l, dir, strlen(dir));
	return load_text(&l, text, false);
}

/* Where the pieces of a bundle come from. */
static void find_places(struct load *l, const char *text)
{
	struct config_place *list;
	uint32_t n = 0, flat = 1;

	for (const char *p = text; (p = strstr(p, CONFIG_PLACE)); p++)
		n++;
	list = load_alloc(l, (n + 1) * sizeof(*list));
	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL, flat++) {
		char *name;

		if (strncmp(p, CONFIG_PLACE, sizeof(CONFIG_PLACE) - 1) != 0)
			continue;
		list[l->n_places].flat = flat + 1;
		list[l->n_places].line = (uint32_t)strtoul(p + sizeof(CONFIG_PLACE) - 1, &name, 10);
		name += *name == ' ';
		list[l->n_places++].file = load_strdup(l, name, strcspn(name, "\n"));
	}
	l->places = list;
}

struct config *config_load_bundle(const char *text, struct config_errors *errs)
{
	struct load l;

	begin(&l, errs, "<bundle>");
	l.closed = true;
	find_places(&l, text);
	if (l.n_places)
		l.file = l.places[0].file;
	return load_text(&l, text, false);
}

struct config *config_defaults(void)
{
	struct config_errors none = {0};
	struct load l;

	begin(&l, &none, "");
	group_into(&l, &option_root, NULL, l.cfg);
	return finish_load(&l, true);
}

/* What is no mistake, and hardly meant: another host may have what this one lacks. */
static void print_doubts(const struct config *cfg, const char *path_name, FILE *out)
{
	if (!cfg->n_endpoints)
		fprintf(out, "%s: note: without endpoints no client can open a WebSocket\n",
			path_name);
	for (uint32_t i = 0; i < cfg->shield.n_interfaces; i++)
		if (!if_nametoindex(cfg->shield.interfaces[i]))
			fprintf(out,
				"%s: note: shield.interfaces: this host has no \"%s\" now: the "
				"shield would stay off there\n",
				path_name, cfg->shield.interfaces[i]);
}

int config_check(const char *path_name, FILE *out)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load(path_name, &errs);
	char *shown = config_tame(strdup(path_name));
	bool ok = cfg != NULL;

	assert(shown);
	if (ok) {
		print_doubts(cfg, shown, out);
		fprintf(out, "%s: the configuration is valid\n", shown);
	} else {
		config_error_print(&errs, out);
		fprintf(out, "%s: %u mistake%s\n", shown, errs.n, errs.n == 1 ? "" : "s");
	}
	free(shown);
	config_errors_fini(&errs);
	config_free(cfg);
	return ok ? 0 : 2;
}
