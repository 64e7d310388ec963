/* SPDX-License-Identifier: BSD-2-Clause */
/* list_load.c - a file becomes a set: read and put in order here, with the rights of whoever asks, and
 * handed to the daemon as memory that nobody can change any more. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "keeper/channel.h"
#include "shield/list_file.h"
#include "shield/list_mmdb.h"
#include "tools/sluicectl/ctl.h"
#include "tools/sluicectl/list.h"

#define FILE_MAX     (1ll << 30)
#define WAIT_LOOK_US 200000
#define WAIT_MAX_S   3600

/* The set's name if nobody gives one: the file's, up to its dot. */
static void name_of(const char *path, char name[KEEPER_SET_MAX + 1])
{
	const char *p = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t n = 0;
	for (; *p && *p != '.' && n < KEEPER_SET_MAX; p++) {
		char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		name[n++] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ? c : '-';
	}
	name[n] = 0;
}

static bool read_file(const struct ctl *ctl, const char *path, struct bytes *text, int *code)
{
	struct stat st;
	int fd = ctl_open_in(ctl, path, code);
	*text = BYTES(NULL, 0);
	errno = 0;
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		size_t n;
		uint8_t *p = ctl_slurp(fd, (size_t)FILE_MAX, &n);
		*text = BYTES(p, n);
	} else if (st.st_size == 0) {
		*text = BYTES("", 0);
	} else {
		void *p = st.st_size > FILE_MAX ?
				  MAP_FAILED :
				  mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		*text = p == MAP_FAILED ? BYTES(NULL, 0) : BYTES(p, st.st_size);
	}
	close(fd);
	if (text->p == NULL)
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", ctl_arg(path),
				 errno && errno != EFBIG ? strerror(errno) :
							   "more than a gigabyte");
	return text->p != NULL;
}

static void progress(void *arg, size_t done, size_t of)
{
	const struct list_file *f = arg;
	fprintf(stderr, "\r%s prefixes, %d%% of the file", ctl_count(f->n),
		of ? (int)(done * 100.0 / (double)of) : 100);
}

/* "AQ,BV" → texts; the count, or -1. */
static int split(char *text, const char **out, int max)
{
	int n = 0;
	for (char *save, *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (n == max)
			return -1;
		out[n++] = p;
	}
	return n;
}

static bool wants(const struct ctl *ctl, const char *countries, const char *asns,
		  struct list_mmdb_want *w, int *code)
{
	static char cc[1024], numbers[16384];
	static const char *country[256], *number[1024];
	static uint32_t asn[1024];
	snprintf(cc, sizeof(cc), "%s", countries ? countries : "");
	snprintf(numbers, sizeof(numbers), "%s", asns ? asns : "");
	int n = split(cc, country, 256), m = split(numbers, number, 1024);
	for (int i = 0; i < n; i++)
		if (strlen(country[i]) != 2)
			n = -1;
	for (int i = 0; i < m; i++) {
		long long v;
		if (!ctl_number(number[i] + 2 * (strncmp(number[i], "AS", 2) == 0), UINT32_MAX,
				&v)) {
			m = -1;
			break;
		}
		asn[i] = (uint32_t)v;
	}
	if (n < 0 || m < 0) {
		*code = ctl_fail(
			ctl, CTL_USAGE,
			n < 0 ? "countries: codes of two letters with commas between, AQ,BV" :
				"asns: numbers with commas between, AS64500,64501");
		return false;
	}
	*w = (struct list_mmdb_want){country, (size_t)n, asn, (size_t)m};
	return true;
}

static int read_database(const char *path, const struct list_mmdb_want *w, struct list_file *f)
{
	struct list_mmdb *db = NULL;
	struct stat st;
	/* it is mapped: a FIFO would be waited for, a directory is nothing */
	bool other = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
	int err = other ? -EINVAL : list_mmdb_open(path, &db);
	if (!err)
		err = list_mmdb_read(db, w, f);
	else if (err == -EINVAL)
		list_file_error(f, 0, other ? "no file but something else" : "no MaxMind database");
	list_mmdb_close(db);
	return err;
}

/* Every mistake that was kept, with its place; in JSON beside the error. */
static int mistakes(const struct ctl *ctl, const char *path, const struct list_file *f)
{
	json_t *lines = json_array();
	char line[256];
	for (size_t i = 0; i < f->n_errors && i < LIST_FILE_ERRORS; i++) {
		const struct list_file_error *e = &f->errors[i];
		if (e->line)
			snprintf(line, sizeof(line), "%.100s:%u: %s", path, e->line, e->text);
		else
			snprintf(line, sizeof(line), "%.100s: %s", path, e->text);
		json_array_append_new(lines, json_string(ctl_clean(line)));
		if (!ctl->json)
			fprintf(stderr, "%s\n", ctl_clean(line));
	}
	if (!ctl->json && f->n_errors > LIST_FILE_ERRORS)
		fprintf(stderr, "and %zu more\n", f->n_errors - LIST_FILE_ERRORS);
	if (f->skip) {
		json_decref(lines);
		return CTL_OK;
	}
	snprintf(line, sizeof(line),
		 "%zu mistake%s: nothing is changed (`skip yes` loads the rest)", f->n_errors,
		 f->n_errors == 1 ? "" : "s");
	if (!ctl_print_json(ctl, json_pack("{s:s,s:O}", "error", line, "mistakes", lines)))
		ctl_fail(ctl, CTL_REFUSED, "%s", line);
	json_decref(lines);
	return CTL_REFUSED;
}

/* Nobody needs to lock himself out with a list that he has not read. */
static bool hits_caller(const struct ctl *ctl, const struct list_file *f)
{
	struct list_caller who = list_caller();
	char addr[INET6_ADDRSTRLEN];
	if (strcmp(ctl->object, "deny") != 0 || !who.family)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		const struct list_record *r = &f->records[i];
		if (!list_caller_in(&who, r->family, r->addr, r->len))
			continue;
		inet_ntop(r->family == 4 ? AF_INET : AF_INET6, r->addr, addr, sizeof(addr));
		ctl_fail(ctl, CTL_REFUSED,
			 "not loaded: %s/%u would lock out %s; `force yes` if that is meant", addr,
			 r->len, list_caller_str(&who));
		return true;
	}
	return false;
}

/* The daemon's answer, also if it says no; asked again for so long as another set is being loaded. */
static json_t *ask_to_load(struct ctl *ctl, int fd, const char *path, const char *set, bool force,
			   long long wait_s, int *code)
{
	char ask[32];
	size_t n = strlen(path);
	uint64_t end = clock_mono_ns() + (uint64_t)wait_s * 1000000000u;
	bool said = false;
	snprintf(ask, sizeof(ask), "%s-load", ctl->object);
	for (;;) {
		json_t *q = json_pack("{s:s,s:s,s:s}", "ask", ask, "set", set, "note",
				      ctl_clean(n > KEEPER_NOTE_MAX ? path + n - KEEPER_NOTE_MAX :
								      path));
		if (force)
			json_object_set_new(q, "force", json_true());
		json_t *answer = ctl_exchange(ctl, q, fcntl(fd, F_DUPFD_CLOEXEC, 3), code);
		if (answer == NULL || !json_is_true(json_object_get(answer, "busy")) ||
		    clock_mono_ns() >= end)
			return answer;
		if (!said && isatty(STDERR_FILENO))
			ctl_note(ctl, "another set is being loaded: waiting");
		said = true;
		json_decref(answer);
		usleep(WAIT_LOOK_US);
	}
}

static int hand_over(struct ctl *ctl, struct list_file *f, const char *path, const char *set,
		     bool force, long long wait_s)
{
	int code = CTL_OK;
	size_t duplicates = f->n_duplicates, joined = f->n_joined, skipped = f->n_errors;
	int fd = list_file_hand(f);
	if (fd < 0)
		return ctl_fail(ctl, CTL_REFUSED, "no memory to hand it over: %s", strerror(-fd));
	json_t *answer = ask_to_load(ctl, fd, path, set, force, wait_s, &code);
	close(fd);
	if (answer == NULL)
		return code;
	if (!json_is_true(json_object_get(answer, "ok"))) {
		bool busy = json_is_true(json_object_get(answer, "busy"));
		code = ctl_fail(ctl, busy ? CTL_BUSY : CTL_REFUSED, "%s%s",
				ctl_str(answer, "error"), busy ? ", or `wait 1m`" : "");
		json_decref(answer);
		return code;
	}
	if (ctl->json) {
		json_object_set_new(answer, "set", json_string(set));
		json_object_set_new(answer, "duplicates", json_integer((json_int_t)duplicates));
		json_object_set_new(answer, "joined", json_integer((json_int_t)joined));
		json_object_set_new(answer, "skipped", json_integer((json_int_t)skipped));
		ctl_print_json(ctl, answer);
		return CTL_OK;
	}
	printf("set %s: %s", set, ctl_str(answer, "text"));
	if (duplicates)
		printf("; %s were there twice", ctl_count(duplicates));
	if (joined)
		printf("; %s joined with others", ctl_count(joined));
	if (skipped)
		printf("; %s skipped", ctl_count(skipped));
	putchar('\n');
	json_decref(answer);
	return CTL_OK;
}

static bool yes(const struct ctl *ctl, const char *name, const char *value, bool *out, int *code)
{
	*out = value != NULL;
	if (value == NULL || strcmp(value, "yes") == 0)
		return true;
	*code = ctl_fail(ctl, CTL_USAGE, "%s: only `yes`, not '%s'", name, ctl_arg(value));
	return false;
}

/* Who exports the allow list and loads it as the deny list drops his friends. */
static bool is_of_the_other(const struct ctl *ctl, const char *path, const struct list_file *f)
{
	const char *other = strcmp(ctl->object, "deny") == 0 ? "allow" : "deny";
	if (strcmp(f->list, other) != 0)
		return false;
	ctl_fail(
		ctl, CTL_USAGE,
		"not loaded: %s says that it is of the %s list, and this is the %s list; `as %s` if "
		"that is meant",
		ctl_arg(path), other, ctl->object, ctl->object);
	return true;
}

int list_load(struct ctl *ctl, int argc, char **argv)
{
	const char *set = NULL, *countries = NULL, *asns = NULL, *join = NULL, *skip = NULL,
		   *force = NULL, *as = NULL, *span = NULL;
	const struct keyword words[] = {{"set", &set},   {"countries", &countries},
					{"asns", &asns}, {"join", &join},
					{"skip", &skip}, {"force", &force},
					{"as", &as},     {"wait", &span}};
	long long wait_s = 0;
	struct list_file f = {0};
	struct list_mmdb_want w = {0};
	struct bytes text;
	char name[KEEPER_SET_MAX + 1];
	int code = CTL_OK, err;
	if (argc < 1)
		return ctl_fail(ctl, CTL_USAGE, "which file? sluicectl %s load FILE", ctl->object);
	if (!ctl_keywords(ctl, argc - 1, argv + 1, words, 8) ||
	    !yes(ctl, "join", join, &f.join, &code) || !yes(ctl, "skip", skip, &f.skip, &code) ||
	    !yes(ctl, "force", force, &f.short_ones, &code) ||
	    !wants(ctl, countries, asns, &w, &code))
		return CTL_USAGE;
	if (span && (!ctl_duration(span, &wait_s) || wait_s > WAIT_MAX_S))
		return ctl_fail(ctl, CTL_USAGE, "wait: 30s, 10m; at most 1h, not '%s'",
				ctl_arg(span));
	if (as && strcmp(as, ctl->object) != 0)
		return ctl_fail(ctl, CTL_USAGE, "as: only `%s`, which list it is to be, not '%s'",
				ctl->object, ctl_arg(as));
	name_of(argv[0], name);
	if (set)
		snprintf(name, sizeof(name), "%s", set);
	if (!*name || (set && strlen(set) > KEEPER_SET_MAX) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(name))
		return ctl_fail(ctl, CTL_USAGE, "set: 1 to %u of a-z 0-9 . _ -", KEEPER_SET_MAX);
	if (strcmp(name, "-") == 0) /* which export takes for those in no set */
		return ctl_fail(ctl, CTL_USAGE,
				set ? "set: `-` means the prefixes in no set and is no name" :
				      "what is it to be called? Add: set NAME");
	if (!ctl->json && isatty(STDERR_FILENO)) {
		f.progress = progress;
		f.progress_arg = &f;
	}
	if (w.n_countries || w.n_asns) {
		f.short_ones = true; /* it knows what it says */
		err = read_database(argv[0], &w, &f);
	} else if (read_file(ctl, argv[0], &text, &code)) {
		err = list_file_read(&f, text);
	} else {
		return code;
	}
	if (f.progress && f.n >= 65536)
		fputs("\r\033[K", stderr);
	if (!as && is_of_the_other(ctl, argv[0], &f))
		return CTL_USAGE;
	if (f.n_errors && (code = mistakes(ctl, argv[0], &f)) != CTL_OK)
		return code;
	if (err && err != -EINVAL)
		return ctl_fail(ctl, CTL_REFUSED, "%s: %s", ctl_arg(argv[0]),
				err == -E2BIG  ? "more prefixes than a list takes" :
				err == -ENOSPC ? "more different notes than a list takes" :
						 strerror(-err));
	list_file_finish(&f);
	if (f.n == 0)
		return ctl_fail(ctl, CTL_REFUSED,
				"%s: no prefix in it: nothing is changed (unload takes a set away)",
				ctl_arg(argv[0]));
	if (!force && hits_caller(ctl, &f))
		return CTL_REFUSED;
	return hand_over(ctl, &f, argv[0], name, force != NULL, wait_s);
}
