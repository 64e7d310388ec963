/* SPDX-License-Identifier: BSD-2-Clause */
/* bundle.c - one text of many files, see bundle.h.
 *
 * libconfig takes an @include only where a line begins with it, outside of comments and texts; so
 * does this, by the same walk that raw_scan() makes. The lines that say where the next one comes
 * from are comments to libconfig; a control character in them keeps them apart from what people
 * write. */
#include "config/bundle.h"

#include <assert.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>

#include "config/options.h"

#define DEPTH_MAX 10 /* as libconfig has it */

struct bundle {
	FILE *out;
	size_t n, max;
	const char *dir; /* of the main file: names in it are relative to it */
	unsigned depth;
	struct config_errors *errs;
};

static bool put(struct bundle *b, const char *text, size_t n)
{
	b->n += n;
	return b->n <= b->max && fwrite(text, 1, n, b->out) == n;
}

/* The next line is `line` of `file`. */
static bool put_place(struct bundle *b, const char *file, int line)
{
	char text[4200];
	int n = snprintf(text, sizeof(text), CONFIG_PLACE "%d %s\n", line, file);

	return n < (int)sizeof(text) && !strchr(file, '\n') && put(b, text, (size_t)n);
}

/* At the begin of a line: the name between the quotes, and its length; NULL: no include. */
static const char *include_at(const char *line, size_t *n)
{
	line += strspn(line, " \t");
	if (strncmp(line, "@include", 8) != 0)
		return NULL;
	line += 8;
	if (!strspn(line, " \t"))
		return NULL;
	line += strspn(line, " \t");
	if (*line++ != '"')
		return NULL;
	*n = strcspn(line, "\"\n");
	return line[*n] == '"' ? line : NULL;
}

static bool add_file(struct bundle *b, const char *path, const char *from, int from_line);

static bool add_include(struct bundle *b, const char *name, size_t n, const char *from, int line)
{
	char *path;
	bool ok;

	if (*name == '/') {
		complain_bare(b->errs, from, line,
			      "@include: names are relative to the directory of the main file");
		return false;
	}
	if (asprintf(&path, "%s/%.*s", b->dir, (int)n, name) < 0)
		return false;
	ok = add_file(b, path, from, line);
	free(path);
	return ok;
}

/* All of one file; false: it is over, and why is said. */
static bool add_text(struct bundle *b, const char *text, const char *file)
{
	const char *p = text, *said = text;
	bool begins = true; /* of a line */
	int line = 1;

	if (!put_place(b, file, 1))
		return false;
	while (*p) {
		size_t n;
		const char *name = begins ? include_at(p, &n) : NULL, *end;
		bool ends_early = false;

		if (name) {
			if (!put(b, said, (size_t)(p - said)) ||
			    !add_include(b, name, n, file, line))
				return false;
			p = name + n + 1 + strcspn(name + n + 1, "\n");
			said = p;
			/* the rest of this line, which is empty, and on with the next */
			if (!put_place(b, file, line))
				return false;
			continue;
		}
		end = config_skip_quiet(p, &ends_early);
		if (end == p)
			end++;
		begins = end[-1] == '\n';
		for (; p < end; p++)
			line += *p == '\n';
	}
	return put(b, said, strlen(said)) && (p == text || p[-1] == '\n' || put(b, "\n", 1));
}

static bool add_file(struct bundle *b, const char *path, const char *from, int from_line)
{
	char *text;
	bool ok;

	if (b->depth == DEPTH_MAX) {
		complain_bare(b->errs, from, from_line, "@include: files within files, too deep");
		return false;
	}
	text = config_slurp(path);
	if (!text) {
		complain_bare(b->errs, from, from_line, "%s%s cannot be read: %s",
			      from == path ? "" : "@include: ", path, strerror(errno));
		return false;
	}
	b->depth++;
	ok = add_text(b, text, path);
	b->depth--;
	free(text);
	return ok;
}

char *config_bundle(const char *path, size_t max, struct config_errors *errs)
{
	char *text = NULL, *copy = strdup(path);
	struct bundle b = {.max = max, .errs = errs};
	size_t n;
	bool ok;

	assert(copy);
	b.dir = dirname(copy);
	b.out = open_memstream(&text, &n);
	assert(b.out);
	ok = add_file(&b, path, path, 0);
	ok = fclose(b.out) == 0 && ok;
	free(copy);
	if (ok)
		return text;
	free(text);
	if (errs->n == 0)
		complain_bare(errs, path, 0, "more than %zu bytes with all that it includes", max);
	return NULL;
}
