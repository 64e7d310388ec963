/* SPDX-License-Identifier: BSD-2-Clause */
/* load KERNEL FOLDER ... - what the verifier of the running kernel says to the BPF objects that
 * lie in the folders, one folder for each compiler and named like it.
 *
 * Each program is loaded alone, so that one refusal hides no other, with the read-only settings
 * at their largest: what the verifier knows to be zero it does not walk. A program that calls a
 * kernel function which this kernel has not is skipped: userspace does without it there, too.
 * Nothing is attached. For each program one line for matrix.py, `insns KERNEL COMPILER OBJECT
 * PROGRAM COUNT`, and the lines of a cmocka test, which fails above INSNS_MAX. */
#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

#define INSNS_MAX 500000

/* Settings that userspace writes before it loads, at the value that gives the verifier most work. */
static const struct {
	const char *name;
	__u32 value;
} largest[] = {
	{"ifaces", SHIELD_IFACES_MAX}, /* how many interfaces */
	{"cpus", 255},                 /* the last CPU's number */
	{"serves", SHIELD_SERVE_MAX},  /* how many prefixes listeners serve */
};
/* ... and the prefixes themselves, of either family in turn and of one port each */
static const struct serve_rule served[2] = {
	{.mask = {~0u, ~0u, ~0u, ~0u}, .family = 10, .port = 8000, .last = 8000},
	{.mask = {0xffffff}, .family = 2, .port = 8001, .last = 8001, .group = 1},
};

static char said[4096];          /* the end of what libbpf said */
static char verifier[16u << 20]; /* its log, which old kernels want to fit in whole */
static size_t said_len;

#define LAST_WORDS 40 /* lines of the log that are shown of a program refused */

static int listen_to_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[1024];
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	n = vsnprintf(line, sizeof(line), fmt, args);
	if (n < 0)
		return 0;
	if ((size_t)n >= sizeof(line))
		n = sizeof(line) - 1;
	if (said_len + (size_t)n >= sizeof(said))
		said_len = 0;
	memcpy(said + said_len, line, (size_t)n + 1);
	said_len += (size_t)n;
	return 0;
}

static void settings(struct bpf_object *obj, bool lookup)
{
	const struct btf *btf = bpf_object__btf(obj);
	struct bpf_map *map;
	size_t bytes;

	bpf_object__for_each_map(map, obj)
	{
		const struct btf_type *sec;
		const struct btf_var_secinfo *at;
		const void *as_compiled = bpf_map__initial_value(map, &bytes);
		char *data;
		int id;

		/* where listeners serve prefixes userspace makes it one: no other holds what sk_lookup may take */
		if (lookup && strcmp(bpf_map__name(map), "listener") == 0)
			assert(bpf_map__set_type(map, BPF_MAP_TYPE_SOCKMAP) == 0);
		if (!as_compiled || !btf || !strstr(bpf_map__name(map), ".rodata"))
			continue;
		id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
		if (id < 0)
			continue;
		data = malloc(bytes);
		assert(data);
		memcpy(data, as_compiled, bytes);
		sec = btf__type_by_id(btf, (__u32)id);
		at = btf_var_secinfos(sec);
		for (int i = 0; i < btf_vlen(sec); i++, at++) {
			const struct btf_type *var = btf__type_by_id(btf, at->type);
			const char *name = btf__name_by_offset(btf, var->name_off);

			for (size_t k = 0; k < sizeof(largest) / sizeof(largest[0]); k++)
				if (strcmp(name, largest[k].name) == 0 &&
				    at->size == sizeof(__u32) && at->offset + at->size <= bytes)
					memcpy(data + at->offset, &largest[k].value, at->size);
			for (size_t k = 0; strcmp(name, "serve") == 0 && k < at->size;
			     k += sizeof(served))
				memcpy(data + at->offset + k, served, sizeof(served));
		}
		assert(bpf_map__set_initial_value(map, data, bytes) == 0);
		free(data);
	}
}

static const char *last_words(void)
{
	const char *at = verifier + strlen(verifier);

	for (int lines = 0; at > verifier; at--)
		if (at[-1] == '\n' && lines++ == LAST_WORDS)
			break;
	return at;
}

/* Loads the one program named; its instructions as the verifier walked them, or -errno. */
static long load_one(const char *path, const char *only)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct bpf_program *prog, *the = NULL;
	long result;

	if (!obj)
		return -errno;
	bpf_object__for_each_program(prog, obj)
	{
		bool is = strcmp(bpf_program__name(prog), only) == 0;

		bpf_program__set_autoload(prog, is);
		if (is)
			the = prog;
		bpf_program__set_log_buf(prog, verifier, sizeof(verifier));
	}
	assert(the);
	settings(obj, bpf_program__type(the) == BPF_PROG_TYPE_SK_LOOKUP);
	result = bpf_object__load(obj);
	if (result == 0)
		result = bpf_obj_get_info_by_fd(bpf_program__fd(the), &info, &len) ?
				 -errno :
				 (long)info.verified_insns;
	bpf_object__close(obj);
	return result;
}

/* true: as it should be */
static bool try_one(const char *kernel, const char *compiler, const char *path, const char *only)
{
	char object[256], test[512];
	long insns;

	snprintf(object, sizeof(object), "%s", strrchr(path, '/') + 1);
	*strstr(object, ".bpf.o") = '\0';
	snprintf(test, sizeof(test), "load/%s_%s_%s", compiler, object, only);
	said_len = 0;
	said[0] = verifier[0] = '\0';
	printf("[ RUN      ] %s\n", test);
	fflush(stdout);
	insns = load_one(path, only);
	if (insns < 0 && strstr(said, "extern (func ksym)")) {
		printf("insns %s %s %s %s absent\n", kernel, compiler, object, only);
		printf("skipped: %s calls what kernel %s has not\n", only, kernel);
		printf("[  SKIPPED ] %s\n", test);
		return true;
	}
	if (insns < 0) {
		printf("%s%s\ninsns %s %s %s %s refused\n", said, last_words(), kernel, compiler,
		       object, only);
		printf("%s: %s\n", path, strerror((int)-insns));
	} else {
		printf("insns %s %s %s %s %ld\n", kernel, compiler, object, only, insns);
	}
	printf("[ %s ] %s\n", insns > 0 && insns < INSNS_MAX ? "      OK" : " FAILED ", test);
	return insns > 0 && insns < INSNS_MAX;
}

int main(int argc, char **argv)
{
	bool good = argc > 2;

	if (argc < 3)
		fprintf(stderr, "usage: load KERNEL FOLDER ...\n");
	libbpf_set_print(listen_to_libbpf);
	for (int i = 2; i < argc; i++) {
		char pattern[512];
		glob_t found;

		snprintf(pattern, sizeof(pattern), "%s/*.bpf.o", argv[i]);
		if (glob(pattern, 0, NULL, &found)) {
			fprintf(stderr, "no objects in %s\n", argv[i]);
			good = false;
			continue;
		}
		for (size_t k = 0; k < found.gl_pathc; k++) {
			struct bpf_object *obj = bpf_object__open_file(found.gl_pathv[k], NULL);
			struct bpf_program *prog;

			if (!obj) {
				fprintf(stderr, "%s: %s\n", found.gl_pathv[k], strerror(errno));
				good = false;
				continue;
			}
			bpf_object__for_each_program(prog, obj)
				good &= try_one(argv[1], basename(argv[i]), found.gl_pathv[k],
						bpf_program__name(prog));
			bpf_object__close(obj);
		}
		globfree(&found);
	}
	return good ? 0 : 1;
}
