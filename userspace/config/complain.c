/* SPDX-License-Identifier: BSD-2-Clause */
/* complain.c - what a load collects: memory that goes in one piece, and mistakes
 * that are told all at once, each with its file and line. */
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "config/options.h"

#define MAX_ERRORS 200

/* ---- memory: one chain of blocks per config ---- */

struct arena {
	struct arena *next;
};

void *load_alloc(struct load *l, size_t n)
{
	struct arena *a = calloc(1, sizeof(*a) + n);

	assert(a && "out of memory while reading the configuration");
	a->next = l->cfg->_arena;
	l->cfg->_arena = a;
	return a + 1;
}

char *load_strdup(struct load *l, const char *s, size_t n)
{
	return memcpy(load_alloc(l, n + 1), s, n);
}

char *load_printf(struct load *l, const char *fmt, ...)
{
	va_list ap;
	char *s, *copy;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	copy = load_strdup(l, s, (size_t)n);
	free(s);
	return copy;
}

void config_free(struct config *cfg)
{
	if (!cfg)
		return;
	for (struct arena *a = cfg->_arena, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	free(cfg);
}

/* ---- complaints ---- */

char *config_tame(char *text)
{
	for (unsigned char *c = (unsigned char *)text; c && *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F command too */
			c[0] = c[1] = '?';
	}
	return text;
}

static void add_error(struct config_errors *errs, const char *file, int line, char *text)
{
	struct config_error *e;

	if (errs->n >= MAX_ERRORS) {
		free(text);
		return;
	}
	errs->list = realloc(errs->list, (errs->n + 1) * sizeof(*errs->list));
	assert(errs->list);
	e = &errs->list[errs->n++];
	*e = (struct config_error){.file = file ? config_tame(strdup(file)) : NULL,
				   .line = line,
				   .text = config_tame(text)};
}

/* An included file's name comes from libconfig as it was written. */
const char *complain_file(struct load *l, const char *name)
{
	const char *slash;

	if (!name || strcmp(name, l->file) == 0)
		return l->file;
	slash = strrchr(l->file, '/');
	return slash ? load_printf(l, "%.*s/%s", (int)(slash - l->file), l->file, name) : name;
}

const char *complain_where(struct load *l, const config_setting_t *set, unsigned *line)
{
	const struct config_place *at = NULL;

	*line = set ? set->line : 0;
	for (uint32_t i = 0; i < l->n_places && l->places[i].flat <= *line; i++)
		at = &l->places[i];
	if (at) {
		*line = at->line + (*line - at->flat);
		return at->file;
	}
	return *line ? complain_file(l, config_setting_source_file(set)) : l->file;
}

void complain_bare(struct config_errors *errs, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	add_error(errs, file, line, text);
}

void complain(struct load *l, const config_setting_t *set, const char *fmt, ...)
{
	char *text, *full;
	const char *file;
	unsigned line;
	va_list ap;
	int n;

	assert(!l->builtin && "a default in options.c does not pass its own check");
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	n = asprintf(&full, "%s%s%s", l->where, *l->where ? ": " : "", text);
	assert(n >= 0);
	free(text);
	file = complain_where(l, set, &line);
	add_error(l->errs, file, (int)line, full);
}

static bool stands_before(const struct config_error *a, const struct config_error *b)
{
	int d = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	return d ? d < 0 : a->line < b->line;
}

/* By place, and those of one line in the order they were found. */
void complain_sort(struct config_errors *errs)
{
	for (uint32_t i = 1; i < errs->n; i++) {
		struct config_error e = errs->list[i];
		uint32_t k = i;
		for (; k > 0 && stands_before(&e, &errs->list[k - 1]); k--)
			errs->list[k] = errs->list[k - 1];
		errs->list[k] = e;
	}
}

void config_error_print(const struct config_errors *errs, FILE *out)
{
	for (uint32_t i = 0; i < errs->n; i++) {
		const struct config_error *e = &errs->list[i];
		if (e->file && e->line)
			fprintf(out, "%s:%d: %s\n", e->file, e->line, e->text);
		else if (e->file)
			fprintf(out, "%s: %s\n", e->file, e->text);
		else
			fprintf(out, "%s\n", e->text);
	}
	if (errs->n == MAX_ERRORS)
		fprintf(out, "(only the first %d mistakes are shown)\n", MAX_ERRORS);
}

void config_errors_fini(struct config_errors *errs)
{
	for (uint32_t i = 0; i < errs->n; i++) {
		free(errs->list[i].file);
		free(errs->list[i].text);
	}
	free(errs->list);
	*errs = (struct config_errors){0};
}

const config_setting_t *place(const config_setting_t *set, const char *name)
{
	const config_setting_t *m = set ? config_setting_get_member(set, name) : NULL;

	return m ? m : set;
}

bool given(const config_setting_t *set, const char *name)
{
	return set && config_setting_get_member(set, name);
}

bool left_empty(const config_setting_t *set, const char *name)
{
	const config_setting_t *m = set ? config_setting_get_member(set, name) : NULL;

	return !m || (config_setting_is_aggregate(m) && config_setting_length(m) == 0);
}
