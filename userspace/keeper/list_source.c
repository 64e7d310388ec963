/* SPDX-License-Identifier: BSD-2-Clause */
/* list_source.c - see list_source.h. */
#include "keeper/list_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define FILE_MAX (1ll << 30)

static bool is_database(const struct config_list *c)
{
	return c->n_countries || c->n_asns;
}

/* A file, open; -1: *why. */
static int open_plain(const char *path, off_t *size, char why[LIST_SOURCE_WHY_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *what = NULL;
	struct stat st = {0};

	if (fd < 0 || fstat(fd, &st))
		what = strerror(errno);
	else if (S_ISDIR(st.st_mode))
		what = "a directory: a file of prefixes is wanted";
	else if (!S_ISREG(st.st_mode))
		what = "neither a file nor a link to one: a FIFO, a socket or a device is not read";
	else if (st.st_size > FILE_MAX)
		what = "more than a gigabyte";
	if (!what) {
		*size = st.st_size;
		return fd;
	}
	snprintf(why, LIST_SOURCE_WHY_MAX, "%s", what);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool map(struct list_source *s, int fd, off_t size, char why[LIST_SOURCE_WHY_MAX])
{
	void *p = size ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;

	if (p == MAP_FAILED) {
		snprintf(why, LIST_SOURCE_WHY_MAX, "%s", strerror(errno));
		return false;
	}
	s->text = BYTES(p, (size_t)size);
	return true;
}

bool list_source_open(struct list_source *s, const struct config_list *c,
		      char why[LIST_SOURCE_WHY_MAX])
{
	off_t size;
	int fd = open_plain(c->file, &size, why), err;
	bool ok = fd >= 0;

	*s = (struct list_source){.list = c};
	if (ok && !is_database(c)) {
		ok = map(s, fd, size, why);
	} else if (ok) {
		err = list_mmdb_open(c->file, &s->db);
		ok = !err;
		if (err)
			snprintf(why, LIST_SOURCE_WHY_MAX, "%s",
				 err == -EINVAL ?
					 "no MaxMind database, which countries and asns are of" :
					 strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

void list_source_close(struct list_source *s)
{
	if (s->text.n)
		munmap((void *)s->text.p, s->text.n);
	list_mmdb_close(s->db);
	*s = (struct list_source){0};
}

static int read_database(struct list_source *s, struct list_file *f)
{
	const struct config_list *c = s->list;
	uint32_t *asns = calloc(c->n_asns + 1, sizeof(*asns));
	int err;

	if (!asns)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n_asns; i++)
		asns[i] = (uint32_t)strtoul(c->asns[i] + 2 * (c->asns[i][0] == 'A'), NULL, 10);
	err = list_mmdb_read(
		s->db, &(struct list_mmdb_want){c->countries, c->n_countries, asns, c->n_asns}, f);
	free(asns);
	return err;
}

int list_source_read(struct list_source *s, struct list_file *f)
{
	const char *mine = s->list->action == CONFIG_LIST_ALLOW ? "allow" : "deny";
	int err = s->db ? read_database(s, f) : list_file_read(f, s->text);

	if (!err && *f->list && strcmp(f->list, mine) != 0) {
		list_file_error(f, 0, "it says that it is of the %s list, and action is \"%s\"",
				f->list, mine);
		err = -EINVAL;
	}
	list_file_finish(f);
	if (!err && f->n == 0) {
		list_file_error(f, 0, "no prefix in it%s",
				s->db ? " of these countries or asns" : "");
		err = -EINVAL;
	}
	return err;
}

void list_source_log(const struct config_list *c, const struct list_file *f, int err)
{
	for (size_t i = 0; i < MIN(f->n_errors, (size_t)LIST_FILE_ERRORS); i++) {
		const struct list_file_error *e = &f->errors[i];

		if (e->line)
			log_error("%s:%u: %s", c->file, e->line, e->text);
		else
			log_error("%s: %s", c->file, e->text);
	}
	if (f->n_errors > LIST_FILE_ERRORS)
		log_error("%s: and %zu more mistakes", c->file, f->n_errors - LIST_FILE_ERRORS);
	if (err && err != -EINVAL)
		log_error("%s: %s", c->file,
			  err == -E2BIG  ? "more prefixes than a list takes" :
			  err == -ENOSPC ? "more different notes than a list takes" :
					   strerror(-err));
}

bool list_source_check(const struct config_list *c)
{
	struct list_file f = {.short_ones = true};
	char why[LIST_SOURCE_WHY_MAX];
	struct list_source s;
	int err;

	if (!list_source_open(&s, c, why)) {
		log_error("%s: %s", c->file, why);
		return false;
	}
	err = list_source_read(&s, &f);
	list_source_log(c, &f, err);
	list_source_close(&s);
	list_file_free(&f);
	return !err;
}
