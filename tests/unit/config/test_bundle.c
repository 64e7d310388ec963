/* SPDX-License-Identifier: BSD-2-Clause */
/* A file and its includes as one text: the same config, the same places of mistakes, no file opened. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "config/bundle.h"

static char dir[64];

static const char *path(const char *name)
{
	static char full[4][128];
	static unsigned turn;
	char *out = full[turn++ % 4];

	snprintf(out, sizeof(full[0]), "%s/%s", dir, name);
	return out;
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void begin(void)
{
	strcpy(dir, "/tmp/sluice-bundle-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static void end(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* Every mistake as text, with `dir/` cut out of it. */
static const char *said(const struct config_errors *errs)
{
	static char text[4096];
	char *all = NULL, *p, prefix[80];
	size_t n;
	FILE *f = open_memstream(&all, &n);

	config_error_print(errs, f);
	fclose(f);
	snprintf(prefix, sizeof(prefix), "%s/", dir);
	text[0] = '\0';
	for (p = all; *p;) {
		char *at = strstr(p, prefix);
		strncat(text, p, at ? (size_t)(at - p) : strlen(p));
		p = at ? at + strlen(prefix) : p + strlen(p);
	}
	free(all);
	return text;
}

static struct config *load(const char *name, struct config_errors *errs)
{
	char *text = config_bundle(path(name), 1 << 20, errs);
	struct config *cfg = text ? config_load_bundle(text, errs) : NULL;

	free(text);
	return cfg;
}

#define LISTEN "listeners = ( { address = \"127.0.0.1\"; port = 8080; } );\n"

TEST(bundle, includes_stand_where_they_were_named)
{
	struct config_errors errs = {0};
	struct config *cfg;

	begin();
	write_file("main.conf",
		   LISTEN "shield = {\n  @include \"shield.conf\"\n  mode = \"generic\";\n};\n"
			  "# @include \"nothing\"\n/* \n@include \"nothing\"\n*/\n");
	write_file("shield.conf", "deny = [\n@include \"deny.conf\"\n];");
	write_file("deny.conf", "\"192.0.2.0/24\",\n\"198.51.100.0/24\"");
	cfg = load("main.conf", &errs);
	assert_msg(cfg != NULL, "%s", said(&errs));
	assert_int_equal(cfg->shield.n_deny, 2);
	assert_int_equal(cfg->shield.mode, CONFIG_SHIELD_GENERIC);
	assert_int_equal(cfg->n_listeners, 1);
	config_free(cfg);
	end();
}

TEST(bundle, mistakes_have_the_place_that_the_operator_knows)
{
	struct config_errors errs = {0};

	begin();
	write_file("main.conf", "workers = 0;\n" LISTEN "shield = {\n  @include \"shield.conf\"\n"
				"  mode = \"fast\";\n};\nnonsense = 1;\n");
	write_file("shield.conf", "\n\ndeny = \"1.2.3\";\n");
	assert_null(load("main.conf", &errs));
	assert_int_equal(errs.n, 3);
	assert_non_null(strstr(said(&errs), "shield.conf:3: shield: deny: \"1.2.3\""));
	assert_non_null(strstr(said(&errs), "main.conf:5: shield: mode = \"fast\""));
	assert_non_null(strstr(said(&errs), "main.conf:7: unknown option 'nonsense'"));
	config_errors_fini(&errs);
	end();
}

TEST(bundle, a_mistake_of_syntax_has_its_place_too)
{
	struct config_errors errs = {0};

	begin();
	write_file("main.conf", "\n@include \"a.conf\"\nworkers = 1;\n");
	write_file("a.conf", "user = \"x\";\nworkers == 2;\n");
	assert_null(load("main.conf", &errs));
	assert_int_equal(errs.n, 1);
	assert_non_null(strstr(said(&errs), "a.conf:2: syntax error near: workers == 2;"));
	config_errors_fini(&errs);
	end();
}

TEST(bundle, what_is_there_twice_is_told_by_both_places)
{
	struct config_errors errs = {0};

	begin();
	write_file("main.conf",
		   LISTEN "endpoints = (\n{ path = \"/a\"; },\n@include \"a.conf\"\n);\n");
	write_file("a.conf", "{ path = \"/a\"; }\n");
	assert_null(load("main.conf", &errs));
	assert_non_null(strstr(said(&errs),
			       "a.conf:1: endpoint /a: path = \"/a\" is there already, in line 3"));
	config_errors_fini(&errs);
	end();
}

TEST(bundle, a_file_that_is_not_there_is_told_where_it_is_named)
{
	struct config_errors errs = {0};

	begin();
	write_file("main.conf", "\n@include \"none.conf\"\n");
	assert_null(load("main.conf", &errs));
	assert_string_equal(
		said(&errs),
		"main.conf:2: @include: none.conf cannot be read: No such file or directory\n");
	config_errors_fini(&errs);
	assert_null(load("other.conf", &errs));
	assert_string_equal(said(&errs),
			    "other.conf: other.conf cannot be read: No such file or directory\n");
	config_errors_fini(&errs);
	write_file("main.conf", "@include \"/etc/passwd\"\n");
	assert_null(load("main.conf", &errs));
	assert_non_null(strstr(said(&errs), "relative to the directory"));
	config_errors_fini(&errs);
	end();
}

TEST(bundle, files_that_include_themselves_and_those_that_are_too_long_end)
{
	struct config_errors errs = {0};
	char *text;

	begin();
	write_file("main.conf", "@include \"main.conf\"\n");
	assert_null(load("main.conf", &errs));
	assert_non_null(strstr(said(&errs), "too deep"));
	config_errors_fini(&errs);
	write_file("main.conf", "# a comment of some length, longer than what is allowed here\n");
	text = config_bundle(path("main.conf"), 20, &errs);
	assert_null(text);
	assert_non_null(strstr(said(&errs), "more than 20 bytes"));
	config_errors_fini(&errs);
	end();
}

TEST(bundle, files_that_it_names_are_not_opened)
{
	struct config_errors errs = {0};
	struct config *cfg;

	begin();
	write_file("main.conf", LISTEN
		   "user = \"nobody-of-that-name\";\n"
		   "certificates = ( { name = \"a\"; cert_file = \"a\"; key_file = \"b\"; } );\n"
		   "pages = ( { path = \"/\"; file = \"index.html\"; } );\n");
	cfg = load("main.conf", &errs);
	assert_msg(cfg != NULL, "%s", said(&errs));
	config_free(cfg);
	end();
}

/* Whatever a text holds, a bundle of one file is that text: the same mistakes in the same lines. */
TEST(bundle, one_file_is_judged_as_it_is_without)
{
	static const char *const texts[] = {
		LISTEN "workers = \"\n\n\"; x = 1;\n",
		LISTEN "x = \"a\\\"@include \\\"b\\\"\";\ny = 2",
		"/* \n\n */ workers = 5000;\n" LISTEN "// z\nuser = 5;",
		LISTEN "  \t\n\n# x\nworkers = 99999999999;\n",
		"",
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct config_errors plain = {0}, bundled = {0};
		char want[4096];

		write_file("main.conf", texts[i]);
		assert_null(config_load(path("main.conf"), &plain));
		snprintf(want, sizeof(want), "%s", said(&plain));
		assert_null(load("main.conf", &bundled));
		assert_string_equal(said(&bundled), want);
		config_errors_fini(&plain);
		config_errors_fini(&bundled);
	}
	end();
}

TEST_MAIN()
