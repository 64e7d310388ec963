/* SPDX-License-Identifier: BSD-2-Clause */
/* The sample configuration and the man page in the tree are those that the table
 * of options gives. SLUICE_UPDATE=1 in the environment writes them anew:
 *     SLUICE_UPDATE=1 make test T=manual */
#include "test.h"

#include <stdlib.h>

#include "config/options.h"

static char *printed(void (*manual)(FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	manual(f);
	fclose(f);
	return text;
}

static char *slurp(const char *path)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(path, "r");

	assert_msg(f, "%s: not there; tests run from the top of the tree", path);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static void same(const char *path, void (*manual)(FILE *))
{
	char *want = printed(manual), *have;

	if (getenv("SLUICE_UPDATE")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(want, f);
		fclose(f);
	}
	have = slurp(path);
	assert_msg(strcmp(have, want) == 0,
		   "%s differs from the table of options: "
		   "SLUICE_UPDATE=1 make test T=manual",
		   path);
	free(want);
	free(have);
}

TEST(manual, the_sample_in_the_tree_is_the_tables)
{
	same("tools/conf/sluice.conf", config_manual_conf);
}

TEST(manual, the_man_page_in_the_tree_is_the_tables)
{
	same("tools/man/sluice.conf.5", config_manual_man);
}

static struct config *load(const char *path)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load(path, &errs);

	config_error_print(&errs, stderr);
	assert_non_null(cfg);
	return cfg;
}

TEST(manual, the_sample_loads_and_serves)
{
	struct config *cfg = load("tools/conf/sluice.conf");

	assert_int_equal(cfg->n_listeners, 1);
	assert_true(cfg->listeners[0].tls);
	assert_true(cfg->certificates[0].dev);
	assert_string_equal(cfg->endpoints[0].path, "/ws");
	config_free(cfg);
}

TEST(manual, the_smallest_sample_loads)
{
	struct config *cfg = load("tools/conf/minimal.conf");

	assert_int_equal(cfg->n_listeners, 1);
	assert_int_equal(cfg->n_endpoints, 1);
	config_free(cfg);
}

/* Every line that shows an option, uncommented one at a time, is a good value. */
static void all_documented(const struct option_group *g)
{
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];

		if (o->type == OPT_GROUP || o->type == OPT_GROUPS)
			all_documented(o->group);
		if (o->type == OPT_GROUP || (o->type == OPT_GROUPS && !o->help))
			continue;
		assert_msg(o->help && o->help[strlen(o->help) - 1] == '.', "%s: no sentence",
			   o->name);
		assert_msg(o->def || o->unset || o->required, "%s: neither default nor required",
			   o->name);
		assert_msg(o->def || o->sample, "%s: nothing to show in the sample", o->name);
		/* what keeper/plan.c takes out of the group shield, and no more */
		bool of_plan = strcmp(g->name, "rules") == 0 || strcmp(g->name, "cookies") == 0 ||
			       strcmp(g->name, "manage") == 0 || strcmp(o->name, "protect") == 0 ||
			       strcmp(o->name, "rate_classes") == 0 || strcmp(o->name, "deny") == 0;
		assert_msg(o->reloadable == of_plan, "%s.%s: reloaded or not?", g->name, o->name);
		assert_msg(!o->price || o->price[strlen(o->price) - 1] != '.', "%s: price",
			   o->name);
		if (o->type == OPT_INT || o->type == OPT_BYTES || o->type == OPT_MS) {
			uint64_t top = o->width == 8 ? UINT64_MAX : (1ull << 8 * o->width) - 1;
			assert_msg(o->min < o->max && o->max <= top, "%s: bounds", o->name);
		}
	}
}

TEST(manual, every_option_is_documented_and_bounded)
{
	all_documented(&option_root);
}

TEST_MAIN()
