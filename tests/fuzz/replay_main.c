/* SPDX-License-Identifier: BSD-2-Clause */
/* replay_main.c - runs a fuzzer's target over the files it is given, once each.
 *
 * `make fuzz` links the same fuzz_NAME.c with libFuzzer; this main stands in for it
 * in `make test`, with any compiler and any sanitizer. Each argument is a file or a
 * folder of files. One line per input, so that a crash is seen to belong to the file
 * named last. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static bool replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	/* exactly as long as the input, so that a sanitizer sees a read past its end */
	uint8_t *whole = malloc(INPUT_MAX);
	size_t n = whole ? fread(whole, 1, INPUT_MAX, f) : 0;
	fclose(f);
	uint8_t *data = malloc(n ? n : 1);
	if (!whole || !data) {
		fprintf(stderr, "%s: out of memory\n", path);
		free(whole);
		free(data);
		return false;
	}
	memcpy(data, whole, n);
	free(whole);
	printf("[ RUN      ] %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, n);
	printf("[       OK ] %s\n", path);
	free(data);
	return true;
}

static bool replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return replay_file(path);
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	bool ok = n >= 0;
	for (int i = 0; i < n; i++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			ok &= replay_file(file);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return ok;
}

int main(int argc, char **argv)
{
	bool ok = true;
	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		ok &= replay(argv[i]);
	return ok ? 0 : 1;
}
