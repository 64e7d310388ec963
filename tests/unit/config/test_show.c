/* SPDX-License-Identifier: BSD-2-Clause */
/* What config show prints is a configuration again, with the same meaning. */
#include "test.h"

#include <jansson.h>
#include <stdlib.h>

#include "config/config.h"

static char *shown(const struct config *cfg, void (*show)(const struct config *, FILE *))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	show(cfg, f);
	fclose(f);
	return text;
}

static const char full[] =
	"workers = 3; max_connections = 1000; log_level = \"debug\"; state_dir = \"/a \\\"b\\\" \\\\c\";"
	"memory = { queue = 1500001; mailbox = \"1 GiB\"; };"
	"certificates = ( { name = \"a\"; dev = true; server_names = \"x.com *.y.com\"; },"
	"                 { name = \"b\"; dev = true; } );"
	"endpoints = ( { path = \"/ws\"; words = \"rooms\"; heartbeat = 0; },"
	"              { path = \"/chat\"; lobby = \"L\\\"\xc3\xa4\"; space = \"/ws\"; },"
	"              { path = \"/echo\"; protocol = \"echo\"; max_message = 4097; },"
	"              { path = \"/relay\"; protocol = \"relay\"; partial_timeout = 1501; } );"
	"listeners = ( { address = \"::\"; port = 443; tls = true; certificates = \"b\"; },"
	"              { address = \"0.0.0.0\"; port = 80; name = \"plain\"; endpoints = \"/echo\";"
	"                trusted_proxies = \"10.0.0.0/8 ::1\"; } );"
	"relays = ( { name = \"m\"; channel = \"{b}\"; fields = (\"x\", { name = \"y\"; max = 7; }); },"
	"           { name = \"n\"; channel = \"fixed\"; echo = true; } );"
	"namespaces = ( { name = \"m\"; history = 3; history_bytes = 4097; history_age = 1501;"
	"                 slow_consumer = \"drop_oldest\"; } );"
	"shield = { interfaces = \"lo\"; mode = \"generic\"; deny = \"192.0.2.1 2001:db8::/32\";"
	" manage = { prefixes = \"10.0.0.0/8\"; ports = (22, \"8000-8099\"); };"
	" rules = { malformed = \"observe\"; rate = \"off\"; };"
	" protect = ( { prefix = \"::/0\"; port = \"1-9\"; } ); };"
	"admin = { control_mode = \"0600\"; health = false; };";

TEST(show, what_it_prints_loads_to_the_same)
{
	struct config_errors errs = {0};
	struct config *a = config_load_string(full, "/x", &errs), *b;
	char *first, *second;

	config_error_print(&errs, stderr);
	assert_non_null(a);
	first = shown(a, config_show);
	b = config_load_string(first, "/elsewhere", &errs);
	config_error_print(&errs, stderr);
	assert_non_null(b);
	second = shown(b, config_show);
	assert_string_equal(first, second);
	assert_string_equal(b->state_dir, "/a \"b\" \\c");
	assert_string_equal(b->endpoints[1].lobby, "L\"\xc3\xa4");
	assert_int_equal(b->memory.queue_bytes, 1500001);
	assert_int_equal(b->listeners[0].certificates[0], 1);
	assert_int_equal(b->endpoints[1].space_id, b->endpoints[0].space_id);
	free(first);
	free(second);
	config_free(a);
	config_free(b);
}

TEST(show, json_has_the_same_names_and_plain_numbers)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load_string(full, "/x", &errs);
	char *text = shown(cfg, config_show_json);
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *e;

	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "workers")), 3);
	assert_int_equal(json_integer_value(json_object_get(j, "shutdown_timeout")), 5000);
	e = json_object_get(json_object_get(j, "memory"), "mailbox");
	assert_int_equal(json_integer_value(e), 1 << 30);
	e = json_array_get(json_object_get(j, "endpoints"), 1);
	assert_string_equal(json_string_value(json_object_get(e, "lobby")), "L\"\xc3\xa4");
	e = json_object_get(json_array_get(json_object_get(j, "listeners"), 1), "trusted_proxies");
	assert_string_equal(json_string_value(json_array_get(e, 1)), "::1/128");
	e = json_array_get(json_object_get(j, "relays"), 0);
	assert_string_equal(json_string_value(json_object_get(e, "channel")), "{b}");
	assert_int_equal(json_array_size(json_object_get(j, "relays")), 4);
	json_decref(j);
	free(text);
	config_free(cfg);
}

/* What is derived is as good as what is written: the space of a long path. */
TEST(show, a_path_of_any_length_can_be_shown_and_loaded)
{
	struct config_errors errs = {0};
	struct config *cfg, *again;
	char text[400], path[256];

	memset(path, 'x', 255);
	path[0] = '/';
	path[255] = '\0';
	snprintf(text, sizeof(text), "endpoints = ( { path = \"%s\"; } );", path);
	cfg = config_load_string(text, "/", &errs);
	assert_non_null(cfg);
	char *first = shown(cfg, config_show);
	again = config_load_string(first, "/", &errs);
	config_error_print(&errs, stderr);
	assert_non_null(again);
	free(first);
	config_free(again);
	config_free(cfg);
}

TEST(show, the_defaults_can_be_shown_and_loaded)
{
	struct config_errors errs = {0};
	struct config *cfg = config_defaults(), *again;
	char *text = shown(cfg, config_show), *json = shown(cfg, config_show_json);
	json_t *j = json_loads(json, 0, NULL);

	again = config_load_string(text, "/", &errs);
	config_error_print(&errs, stderr);
	assert_non_null(again);
	assert_non_null(j);
	json_decref(j);
	free(text);
	free(json);
	config_free(again);
	config_free(cfg);
}

TEST_MAIN()
