/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_config.c - whatever stands in a configuration: it is refused with a reason,
 * or it loads, and then what is shown of it loads to the same again.
 *
 * The configuration is the operator's, so this guards against mistakes rather
 * than attacks. Includes are left out: the files of the host are not input. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* libconfig 1.5 forgets the piece it holds when a text ends within a string, and
 * every such find costs a search of the heap. Our own leaks show in the unit tests. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static char *shown(const struct config *cfg, void (*show)(const struct config *, FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	show(cfg, f);
	fclose(f);
	return text;
}

static void loads_again(const struct config *cfg)
{
	struct config_errors errs = {0};
	char *first = shown(cfg, config_show), *second;
	struct config *again = config_load_string(first, "/nonexistent", &errs);

	if (!again)
		config_error_print(&errs, stderr);
	assert(again);
	second = shown(again, config_show);
	assert(strcmp(first, second) == 0);
	free(first);
	free(second);
	config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors errs = {0};
	char *text = malloc(size + 1);
	struct config *cfg;

	memcpy(text, data, size);
	text[size] = '\0';
	if (!strstr(text, "@include")) {
		cfg = config_load_string(text, "/nonexistent", &errs);
		assert((cfg != NULL) == (errs.n == 0));
		for (uint32_t i = 0; i < errs.n; i++)
			assert(errs.list[i].text[0]);
		if (cfg) {
			free(shown(cfg, config_show_json));
			loads_again(cfg);
		}
		config_free(cfg);
		config_errors_fini(&errs);
	}
	free(text);
	return 0;
}
