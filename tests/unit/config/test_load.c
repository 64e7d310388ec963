/* SPDX-License-Identifier: BSD-2-Clause */
/* What a configuration becomes, and what is said of a wrong one: each mistake
 * with its line, its value and what is allowed, and all of them at once. */
#include "test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

static struct config *good_in(const char *text, const char *dir)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load_string(text, dir, &errs);

	if (!cfg)
		config_error_print(&errs, stderr);
	assert_non_null(cfg);
	assert_int_equal(errs.n, 0);
	config_errors_fini(&errs);
	return cfg;
}

static struct config *good(const char *text)
{
	return good_in(text, "/nonexistent");
}

/* All complaints as one text; the caller frees it. */
static char *complaints(const char *text, const char *dir)
{
	struct config_errors errs = {0};
	char *all = NULL;
	size_t n;
	FILE *f = open_memstream(&all, &n);

	assert_null(config_load_string(text, dir, &errs));
	assert_true(errs.n > 0);
	config_error_print(&errs, f);
	fclose(f);
	config_errors_fini(&errs);
	return all;
}

/* Exactly one complaint, which contains `want`. */
static void refused(const char *text, const char *want)
{
	char *all = complaints(text, "/nonexistent");

	assert_msg(strstr(all, want), "no \"%s\" in:\n%s", want, all);
	assert_msg(strchr(all, '\n') == all + strlen(all) - 1, "more than one complaint:\n%s", all);
	free(all);
}

/* A mistake is told once: what follows from it is none of its own. */
static void refused_twice(const char *text, const char *one, const char *other)
{
	char *all = complaints(text, "/nonexistent");
	const char *end = strchr(all, '\n');

	assert_msg(strstr(all, one) && strstr(all, other), "no \"%s\" or \"%s\" in:\n%s", one,
		   other, all);
	assert_msg(end && strchr(end + 1, '\n') == all + strlen(all) - 1,
		   "other than two complaints:\n%s", all);
	free(all);
}

#define ENDPOINT(more) "endpoints = ( { path = \"/ws\"; " more " } );"
#define LISTENER(more) "listeners = ( { address = \"127.0.0.1\"; port = 8080; " more " } );"
#define CERTIFICATE    "certificates = ( { name = \"a\"; dev = true; } );"

TEST(config, what_follows_from_a_mistake_is_not_told_beside_it)
{
	refused_twice("shield = { rate_classes = ( { name = \"a\"; } ); protect = ("
		      " { prefix = \"192.0.2.1\"; port = \"x\"; rate = \"a\"; },"
		      " { prefix = \"192.0.2.2\"; port = \"y\"; } ); };",
		      "port = \"x\"", "port = \"y\"");
	refused("shield = { rate_classes = ( { name = \"a\"; } ); protect = ("
		" { prefix = \"192.0.2.1\"; port = 80; rate = \"b\"; },"
		" { prefix = \"192.0.2.2\"; port = 80; rate = \"a\"; } ); };",
		"no rate class \"b\"");
	refused_twice(LISTENER("tls = false; serves = ("
			       " { prefix = \"203.0.113.0/24\"; ports = \"x\"; },"
			       " { prefix = \"203.0.113.0/25\"; ports = \"y\"; } );"),
		      "ports = \"x\"", "ports = \"y\"");
}

TEST(config, nothing_of_a_file_commands_the_terminal_that_shows_a_mistake)
{
	refused("@include \"x\x1b[2Jy\"\n", "x?[2Jy");
	refused("foo = \xc2\x9b"
		"31m;\n",
		"??31m");
}

TEST(config, an_empty_file_gives_the_defaults)
{
	struct config *cfg = good("");

	assert_int_equal(cfg->workers, 0);
	assert_true(cfg->pin_cores);
	assert_string_equal(cfg->user, "nobody");
	assert_string_equal(cfg->runtime_dir, "/run/sluice");
	assert_string_equal(cfg->pin_dir, "/sys/fs/bpf/sluice");
	assert_string_equal(cfg->admin.control_socket, "/run/sluice/control.sock");
	assert_int_equal(cfg->admin.control_mode, 0660);
	assert_int_equal(cfg->log_level, LOG_INFO);
	assert_int_equal(cfg->shutdown_timeout_ms, 5000);
	assert_int_equal(cfg->memory.mailbox_bytes, 64 << 20);
	assert_int_equal(cfg->presence.coalesce_above, 100);
	assert_int_equal(cfg->presence.interval_ms, 1000);
	assert_int_equal(cfg->presence.names, 20);
	assert_int_equal(cfg->memory.connection_queue_bytes, 1 << 20);
	assert_int_equal(cfg->http.request_line_bytes, 8192);
	assert_int_equal(cfg->http.head_bytes, 16384);
	assert_int_equal(cfg->http.handshake_timeout_ms, 10000);
	assert_int_equal(cfg->tls.min_version, CONFIG_TLS_1_2);
	assert_int_equal(cfg->shield.mode, CONFIG_SHIELD_AUTO);
	assert_int_equal(cfg->n_listeners, 0);
	assert_int_equal(cfg->n_endpoints, 0);
	assert_int_equal(cfg->shield.n_protect, 0);
	config_free(cfg);
	cfg = config_defaults();
	assert_int_equal(cfg->n_relays, 2);
	assert_int_equal(cfg->n_namespaces, 1);
	assert_int_equal(cfg->namespaces[0].history, 0);
	config_free(cfg);
}

TEST(config, an_endpoint_has_the_limits_of_the_protocol_by_default)
{
	struct config *cfg = good(ENDPOINT(""));
	const struct config_endpoint *e = &cfg->endpoints[0];

	assert_int_equal(e->protocol, CONFIG_PROTOCOL_NATIVE);
	assert_int_equal(e->words, CONFIG_WORDS_CHANNELS | CONFIG_WORDS_ROOMS | CONFIG_WORDS_CHAT);
	assert_string_equal(e->space, "/ws");
	assert_string_equal(e->lobby, "lobby");
	assert_int_equal(e->n_origins, 1);
	assert_string_equal(e->origins[0], "*");
	assert_int_equal(e->n_subprotocols, 0);
	assert_int_equal(e->max_message_bytes, 100 << 10);
	assert_int_equal(e->heartbeat_ms, 25000);
	assert_int_equal(e->heartbeat_timeout_ms, 10000);
	assert_int_equal(e->partial_timeout_ms, 30000);
	assert_int_equal(e->rate_per_s, 20);
	assert_int_equal(e->rate_burst, 100);
	assert_int_equal(e->max_subscriptions, 128);
	config_free(cfg);
}

TEST(config, values_take_units_or_plain_numbers)
{
	struct config *cfg = good(
		"workers = 50; memory = { mailbox = 3000000000L; queue = \"8 GiB\"; };" ENDPOINT(
			"heartbeat = 30000; partial_timeout = \"1.5 s\"; max_message = \"64 MiB\"; rate = 0;"));

	assert_int_equal(cfg->workers, 50);
	assert_int_equal(cfg->memory.mailbox_bytes, 3000000000u);
	assert_int_equal(cfg->memory.queue_bytes, 8ull << 30);
	assert_int_equal(cfg->endpoints[0].heartbeat_ms, 30000);
	assert_int_equal(cfg->endpoints[0].partial_timeout_ms, 1500);
	assert_int_equal(cfg->endpoints[0].max_message_bytes, 64 << 20);
	assert_int_equal(cfg->endpoints[0].rate_per_s, 0);
	config_free(cfg);
}

TEST(config, lists_of_words_are_written_in_three_ways)
{
	static const char *const ways[] = {"\"rooms chat\"", "[\"rooms\", \"chat\"]",
					   "(\"rooms\", \"chat\")"};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		char text[200];
		struct config *cfg;
		snprintf(text, sizeof(text), ENDPOINT("words = %s; subprotocols = %s;"), ways[i],
			 ways[i]);
		cfg = good(text);
		assert_int_equal(cfg->endpoints[0].words, CONFIG_WORDS_ROOMS | CONFIG_WORDS_CHAT);
		assert_int_equal(cfg->endpoints[0].n_subprotocols, 2);
		assert_string_equal(cfg->endpoints[0].subprotocols[1], "chat");
		config_free(cfg);
	}
}

TEST(config, endpoints_that_name_one_space_share_it)
{
	struct config *cfg =
		good("endpoints = ( { path = \"/a\"; }, { path = \"/b\"; space = \"/a\"; },"
		     " { path = \"/c\"; space = \"x\"; }, { path = \"/d\"; space = \"x\"; } );");

	assert_int_equal(cfg->n_spaces, 2);
	assert_int_equal(cfg->endpoints[0].space_id, cfg->endpoints[1].space_id);
	assert_int_equal(cfg->endpoints[2].space_id, cfg->endpoints[3].space_id);
	assert_int_not_equal(cfg->endpoints[0].space_id, cfg->endpoints[2].space_id);
	assert_string_equal(cfg->spaces[cfg->endpoints[0].space_id], "/a");
	assert_string_equal(cfg->spaces[cfg->endpoints[3].space_id], "x");
	config_free(cfg);
}

TEST(config, echo_and_relay_have_neither_words_nor_lobby)
{
	struct config *cfg = good(ENDPOINT("protocol = \"echo\";"));

	assert_int_equal(cfg->endpoints[0].words, 0);
	assert_null(cfg->endpoints[0].lobby);
	config_free(cfg);
	refused(ENDPOINT("protocol = \"echo\"; words = \"rooms\";"),
		"words go with protocol = \"native\"");
	refused(ENDPOINT("protocol = \"relay\"; lobby = \"x\";"), "a lobby goes with protocol");
	refused(ENDPOINT("words = \"rooms\"; lobby = \"x\";"), "a lobby goes with the chat words");
}

TEST(config, a_listener_serves_all_there_is_unless_it_names_some)
{
	struct config *cfg = good(
		"certificates = ( { name = \"a\"; dev = true; }, { name = \"b\"; dev = true; } );"
		"endpoints = ( { path = \"/x\"; }, { path = \"/y\"; } );"
		"listeners = ( { address = \"0.0.0.0\"; port = 1; tls = true; },"
		"{ address = \"::\"; port = 1; tls = true; certificates = \"b\"; endpoints = \"/y /x\"; },"
		"{ address = \"127.0.0.1\"; port = 2; endpoints = []; } );");
	const struct config_listener *l = cfg->listeners;

	assert_int_equal(l[0].n_certificates, 2);
	assert_int_equal(l[0].n_endpoints, 2);
	assert_string_equal(l[0].name, "0.0.0.0:1");
	assert_int_equal(l[1].n_certificates, 1);
	assert_int_equal(l[1].certificates[0], 1);
	assert_int_equal(l[1].endpoints[0], 1);
	assert_int_equal(l[1].endpoints[1], 0);
	assert_string_equal(l[1].name, "[::]:1");
	assert_int_equal(l[1].addr.ss_family, AF_INET6);
	assert_int_equal(((const struct sockaddr_in6 *)&l[1].addr)->sin6_port, htons(1));
	assert_int_equal(l[2].n_endpoints, 0);
	assert_int_equal(l[2].n_certificates, 0);
	config_free(cfg);
}

TEST(config, rate_classes_are_named_by_what_is_protected)
{
	struct config *cfg = good(
		"shield = { rate_classes = ( { name = \"strict\"; syns = 50; packets = 0; burst = \"1 s\"; } );"
		"protect = ( { prefix = \"10.0.0.0/8\"; port = 443; rate = \"strict\"; },"
		"            { prefix = \"10.0.0.0/8\"; port = 80; } ); };");

	assert_int_equal(cfg->shield.n_rate_classes, 1);
	assert_int_equal(cfg->shield.rate_classes[0].syns, 50);
	assert_int_equal(cfg->shield.rate_classes[0].packets, 0);
	assert_int_equal(cfg->shield.rate_classes[0].connections, 1000);
	assert_int_equal(cfg->shield.rate_classes[0].burst_ms, 1000);
	assert_string_equal(cfg->shield.protect[0].rate, "strict");
	assert_string_equal(cfg->shield.protect[1].rate, "default");
	config_free(cfg);
	refused("shield = { protect = ( { prefix = \"10.0.0.0/8\"; port = 443; rate = \"lax\"; } ); };",
		"no rate class \"lax\" in rate_classes");
	refused("shield = { rate_classes = ( { name = \"a\"; }, { name = \"a\"; } ); };",
		"the rate class \"a\" is there twice");
	refused("shield = { rate_classes = ( { name = \"abcdefghijklmnop\"; } ); };",
		"at most 15 characters");
	refused("shield = { rate_classes = ( { name = \"a\"; } ); protect = ("
		" { prefix = \"10.0.0.0/8\"; port = \"440-450\"; rate = \"a\"; },"
		" { prefix = \"::/0\"; port = 443; } ); };",
		"port 443 has the rate classes");
}

TEST(config, the_shield_protects_what_is_listened_on)
{
	struct config *cfg =
		good("listeners = ( { address = \"0.0.0.0\"; port = 1; },"
		     "{ address = \"::1\"; port = 2; }, { address = \"127.0.0.1\"; port = 3; } );");
	char buf[CONFIG_PREFIX_STRLEN];

	assert_int_equal(cfg->shield.n_protect, 3);
	assert_string_equal(config_prefix_str(&cfg->shield.protect[0].prefix, buf), "0.0.0.0/0");
	assert_int_equal(cfg->shield.protect[0].port.first, 1);
	assert_string_equal(config_prefix_str(&cfg->shield.protect[1].prefix, buf), "::1/128");
	assert_string_equal(config_prefix_str(&cfg->shield.protect[2].prefix, buf), "127.0.0.1/32");
	config_free(cfg);
	cfg = good(
		LISTENER("") "shield = { interfaces = \"eth0 eth1\"; deny = \"192.0.2.0/24 ::/1\";"
			     "protect = ( { prefix = \"10.0.0.0/8\"; port = 443; } ); };");
	assert_int_equal(cfg->shield.n_protect, 1);
	assert_int_equal(cfg->shield.protect[0].port.first, 443);
	assert_int_equal(cfg->shield.protect[0].port.last, 443);
	assert_int_equal(cfg->shield.n_interfaces, 2);
	assert_int_equal(cfg->shield.n_deny, 2);
	assert_int_equal(cfg->shield.deny[1].family, AF_INET6);
	config_free(cfg);
}

TEST(config, every_rule_is_enforced_unless_the_file_says_otherwise)
{
	struct config *cfg = good("");

	assert_int_equal(cfg->shield.rules.malformed, CONFIG_RULE_ENFORCE);
	assert_int_equal(cfg->shield.rules.syn, CONFIG_RULE_ENFORCE);
	config_free(cfg);
	cfg = good("shield = { rules = { deny = \"observe\"; flow = \"off\"; }; };");
	assert_int_equal(cfg->shield.rules.malformed, CONFIG_RULE_ENFORCE);
	assert_int_equal(cfg->shield.rules.deny, CONFIG_RULE_OBSERVE);
	assert_int_equal(cfg->shield.rules.flow, CONFIG_RULE_OFF);
	config_free(cfg);
	refused("shield = { rules = { deny = \"maybe\"; }; };",
		"shield.rules: deny = \"maybe\": allowed is \"enforce\", \"observe\", \"off\"");
	refused("shield = { rules = { denyy = \"off\"; }; };",
		"unknown option 'denyy' in shield.rules: did you mean 'deny'?");
}

TEST(config, nobody_passes_to_management_ports_unless_he_is_named)
{
	struct config *cfg = good("");

	assert_int_equal(cfg->shield.manage.n_prefixes, 0);
	assert_int_equal(cfg->shield.manage.n_ports, 1);
	assert_int_equal(cfg->shield.manage.ports[0].first, 22);
	config_free(cfg);
	cfg = good("shield = { manage = { prefixes = \"192.0.2.0/28 2001:db8::/64\"; ports = (22, "
		   "\"8000-8099\"); }; };");
	assert_int_equal(cfg->shield.manage.n_prefixes, 2);
	assert_int_equal(cfg->shield.manage.n_ports, 2);
	assert_int_equal(cfg->shield.manage.ports[1].first, 8000);
	assert_int_equal(cfg->shield.manage.ports[1].last, 8099);
	config_free(cfg);
}

TEST(config, cookies_are_automatic_and_calm_lies_below_attack)
{
	struct config *cfg =
		good("shield = { cookies = { attack = 20000; calm = 100; answers = 0; }; };");

	assert_int_equal(cfg->shield.cookies.mode, CONFIG_COOKIES_AUTO);
	assert_int_equal(cfg->shield.cookies.attack, 20000);
	assert_int_equal(cfg->shield.cookies.answers, 0);
	assert_int_equal(cfg->shield.cookies.refusals, 100);
	config_free(cfg);
	refused("shield = { cookies = { attack = 100; }; };",
		"shield.cookies: calm = 500 is more than attack = 100");
}

TEST(config, nobody_is_denied_for_offences_unless_it_is_asked_for)
{
	struct config *cfg = good("");

	assert_int_equal(cfg->shield.offences.points, 0);
	assert_int_equal(cfg->shield.offences.first_ms, 60000);
	config_free(cfg);
	refused("shield = { offences = { points = 5; first = \"2 h\"; }; };",
		"shield.offences: first = 2 h is more than longest = 1 h");
}

TEST(config, lists_come_from_files_or_databases)
{
	struct config *cfg =
		good_in("shield = { lists = ( { name = \"drop\"; file = \"drop.txt\"; },"
			"{ name = \"cold\"; file = \"/geo.mmdb\"; countries = [\"AQ\", \"BV\"];"
			"  action = \"allow\"; asns = [\"AS64500\", \"64501\"]; } ); };",
			"/etc/sluice");

	assert_int_equal(cfg->shield.n_lists, 2);
	assert_string_equal(cfg->shield.lists[0].file, "/etc/sluice/drop.txt");
	assert_int_equal(cfg->shield.lists[0].action, CONFIG_LIST_DENY);
	assert_int_equal(cfg->shield.lists[1].action, CONFIG_LIST_ALLOW);
	assert_int_equal(cfg->shield.lists[1].n_countries, 2);
	assert_string_equal(cfg->shield.lists[1].asns[1], "64501");
	config_free(cfg);
	refused("shield = { lists = ( { name = \"a b\"; file = \"/x\"; } ); };",
		"1 to 31 of a-z 0-9");
	refused("shield = { lists = ( { name = \"-\"; file = \"/x\"; } ); };", "not - alone");
	refused("shield = { lists = ( { name = \"a\"; } ); };", "file");
	refused("shield = { lists = ( { name = \"a\"; file = \"/x\"; countries = [\"aq\"]; } ); };",
		"two capitals");
	refused("shield = { lists = ( { name = \"a\"; file = \"/x\"; asns = [\"AS4294967296\"]; } ); };",
		"autonomous system");
	refused("shield = { lists = (\n{ name = \"a\"; file = \"/x\"; },\n{ name = \"a\"; file = \"/y\"; } ); };",
		"is there already, in line 2");
}

TEST(config, ports_are_numbers_or_ranges)
{
	static const struct {
		const char *text;
		uint32_t n;
		uint16_t first, last; /* of the last one */
	} good_ones[] = {
		{"22", 1, 22, 22},
		{"[22, 443]", 2, 443, 443},
		{"\"22 8000-8099\"", 2, 8000, 8099},
		{"[\"1-65535\"]", 1, 1, 65535},
		{"(22, \"80-80\")", 2, 80, 80},
		{"[]", 0, 0, 0},
	};
	static const char *const bad_ones[] = {"0",       "65536",      "\"22-\"",     "\"-22\"",
					       "\"9-8\"", "\"a\"",      "[22, 65536]", "true",
					       "\"022\"", "( ( 22 ) )", "\"1-2-3\"",   "22.5"};

	for (size_t i = 0; i < ARRAY_SIZE(good_ones); i++) {
		char text[200];
		struct config *cfg;
		snprintf(text, sizeof(text), "shield = { manage = { ports = %s; }; };",
			 good_ones[i].text);
		cfg = good(text);
		uint32_t n = cfg->shield.manage.n_ports;
		assert_int_equal(n, good_ones[i].n);
		if (n) {
			assert_int_equal(cfg->shield.manage.ports[n - 1].first, good_ones[i].first);
			assert_int_equal(cfg->shield.manage.ports[n - 1].last, good_ones[i].last);
		}
		config_free(cfg);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_ones); i++) {
		char text[200];
		snprintf(text, sizeof(text),
			 "shield = { protect = ( { prefix = \"::/0\"; port = %s; } ); };",
			 bad_ones[i]);
		refused(text, "allowed is a port, 1 to 65535, or a range");
	}
}

static const struct config_relay *relay(const struct config *cfg, const char *name)
{
	for (uint32_t i = 0; i < cfg->n_relays; i++)
		if (strcmp(cfg->relays[i].name, name) == 0)
			return &cfg->relays[i];
	return NULL;
}

TEST(config, chat_and_typing_are_built_in_and_may_be_replaced)
{
	struct config *cfg = good("");
	const struct config_relay *r = relay(cfg, "chat");

	assert_non_null(r);
	assert_int_equal(r->channel_from, CONFIG_RELAY_LOBBY);
	assert_true(r->echo);
	assert_int_equal(r->n_fields, 1);
	assert_string_equal(r->fields[0].name, "text");
	r = relay(cfg, "typing");
	assert_non_null(r);
	assert_true(r->ephemeral);
	assert_false(r->echo);
	assert_null(r->auto_stop);
	config_free(cfg);

	cfg = good("relays = ( { name = \"chat\"; fields = (\"text\", { name = \"color\"; max = 32;"
		   " required = false; }); }, { name = \"move\"; channel = \"{board}\"; },"
		   " { name = \"news\"; channel = \"news:all\"; fields = \"a b\"; } );");
	assert_int_equal(cfg->n_relays, 4);
	r = relay(cfg, "chat");
	assert_false(r->echo);
	assert_int_equal(r->n_fields, 2);
	assert_int_equal(r->fields[0].max_bytes, 10000);
	assert_true(r->fields[0].required);
	assert_int_equal(r->fields[1].max_bytes, 32);
	assert_false(r->fields[1].required);
	r = relay(cfg, "move");
	assert_int_equal(r->channel_from, CONFIG_RELAY_FIELD);
	assert_string_equal(r->channel, "board");
	r = relay(cfg, "news");
	assert_int_equal(r->channel_from, CONFIG_RELAY_NAMED);
	assert_string_equal(r->channel, "news:all");
	assert_int_equal(r->n_fields, 2);
	assert_string_equal(r->fields[1].name, "b");
	assert_int_equal(r->fields[1].max_bytes, 10000);
	config_free(cfg);
}

TEST(config, typing_may_stop_by_itself)
{
	struct config *cfg =
		good("relays = ( { name = \"typing\"; auto_stop = \"stopped_typing\"; },"
		     " { name = \"x\"; auto_stop = \"y\"; auto_stop_after = \"500ms\"; } );");
	const struct config_relay *r = relay(cfg, "typing");
	assert_string_equal(r->auto_stop, "stopped_typing");
	assert_int_equal(r->auto_stop_ms, 3000);
	assert_int_equal(relay(cfg, "x")->auto_stop_ms, 500);
	config_free(cfg);
}

TEST(config, a_channel_is_of_the_namespace_before_its_first_colon)
{
	struct config *cfg = good("namespaces = ( { name = \"chat\"; history = 100; },"
				  " { name = \"news\"; slow_consumer = \"conflate\"; } );");
	const struct config_namespace *ns = cfg->namespaces;
	assert_int_equal(cfg->n_namespaces, 3); /* and the one for all others */
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("chat:7")), 0);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("chat")), 0);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("chat:7:news")), 0);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("news:")), 1);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("chats:7")), 2);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT(":chat")), 2);
	assert_string_equal(ns[2].name, "");
	assert_int_equal(ns[0].history, 100);
	assert_int_equal(ns[0].history_bytes, 256 << 10);
	assert_int_equal(ns[0].history_age_ms, 300000);
	assert_int_equal(ns[0].slow_consumer, CONFIG_SLOW_DISCONNECT);
	assert_int_equal(ns[1].slow_consumer, CONFIG_SLOW_CONFLATE);
	assert_int_equal(ns[2].history, 0);
	config_free(cfg);

	cfg = good("namespaces = ( { name = \"\"; history = 10; }, { name = \"x\"; } );");
	assert_int_equal(cfg->n_namespaces, 2);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("chat:7")), 0);
	assert_int_equal(config_namespace_of(cfg, BYTES_LIT("x:7")), 1);
	config_free(cfg);
}

#define SERVES(more, port, serves)                                                                 \
	"{ address = \"" more "\"; port = " port "; serves = ( " serves " ); }"

TEST(config, what_listeners_serve_is_protected_with_what_they_listen_on)
{
	struct config *cfg = good(
		"listeners = (" SERVES("127.0.0.1", "8080",
				       "{ prefix = \"203.0.113.0/24\"; ports = \"8000-8999\"; }, "
				       "{ prefix = \"192.0.2.7\"; ports = 443; }") ");");

	assert_int_equal(cfg->listeners[0].n_serves, 2);
	assert_int_equal(cfg->shield.n_protect, 3);
	assert_int_equal(cfg->shield.protect[1].prefix.bits, 24);
	assert_int_equal(cfg->shield.protect[1].port.last, 8999);
	assert_int_equal(cfg->shield.protect[2].port.first, 443);
	config_free(cfg);
}

TEST(config, what_is_served_is_of_one_family_and_of_one_listener)
{
	refused("listeners = (" SERVES("127.0.0.1", "8080",
				       "{ prefix = \"2001:db8::/32\"; ports = 443; }") ");",
		"is not of the family of address");
	refused("listeners = (" SERVES(
			"127.0.0.1", "8080",
			"{ prefix = \"203.0.113.0/24\"; ports = \"400-500\"; }") ", "
										 "{ address = \"203.0.113.9\"; port = 443; });",
		"some of it is listener 203.0.113.9:443's");
	refused("listeners = (" SERVES("127.0.0.1", "8080", "{ prefix = \"203.0.113.0/24\"; ports = \"400-500\"; }") ", " SERVES(
			"127.0.0.2", "8080", "{ prefix = \"203.0.112.0/22\"; ports = 443; }") ");",
		"some of it is listener 127.0.0.1:8080's");
	refused("listeners = (" SERVES(
			"127.0.0.1", "8080",
			"{ prefix = \"203.0.113.0/24\"; ports = 443; }, "
			"{ prefix = \"203.0.113.8/30\"; ports = \"443-444\"; }") ");",
		"some of it is listener 127.0.0.1:8080's");
}

TEST(config, neighbouring_prefixes_and_ports_may_be_served_by_different_listeners)
{
	config_free(good(
		"listeners = (" SERVES("127.0.0.1", "8080", "{ prefix = \"203.0.113.0/25\"; ports = \"400-500\"; }") ", " SERVES(
			"127.0.0.2", "8080",
			"{ prefix = \"203.0.113.128/25\"; ports = \"400-500\"; }, "
			"{ prefix = \"203.0.113.0/25\"; ports = 501; }") ", "
									 "{ address = \"0.0.0.0\"; port = 443; });"));
}

/* ---- mistakes ---- */

TEST(config, an_unknown_option_comes_with_the_nearest_known_one)
{
	refused("\n\n" ENDPOINT("heart_beat = 1;"),
		"<text>:3: unknown option 'heart_beat' in endpoint /ws: did you mean 'heartbeat'?");
	refused("wrokers = 1;", "<text>:1: unknown option 'wrokers': did you mean 'workers'?");
	refused("http = { heads = 1; };", "unknown option 'heads' in http: did you mean 'head'?");
	refused("heartbeat = 1;", "unknown option 'heartbeat': it belongs into each endpoint");
	refused(ENDPOINT("log_level = \"info\";"), "in endpoint /ws: it belongs to the top level");
	refused("certificates = ( { name = \"a\"; dev = true; key = \"k\"; } );",
		"unknown option 'key' in certificate a: did you mean 'key_file'?");
	refused("certificates = ( { name = \"a\"; dev = true; cert = \"c\"; } );",
		"unknown option 'cert' in certificate a: did you mean 'cert_file'?");
	refused("xyzzy = 1;", "unknown option 'xyzzy'; sluice.conf(5) lists them");
}

TEST(config, a_wrong_value_is_named_with_what_is_allowed)
{
	static const char *const rows[][2] = {
		{"workers = 1025;",
		 "<text>:1: workers = 1025: allowed is 1 to 255, or 0 (one per core)"},
		{"workers = -1;", "workers = -1: allowed is"},
		{"endpoints = ( { path = \"/a\"; lobby = \"user:7\"; } );",
		 "a channel outside user:, which belongs to users"},
		{"endpoints = ( { path = \"/a\"; lobby = \"a\\x07b\"; } );",
		 "text without control characters"},
		{"workers = \"4\";", "workers = \"4\": allowed is a whole number, 1 to 255"},
		{"workers = 1.5;", "workers = 1.5: allowed is a whole number"},
		{"workers = true;", "workers = true: allowed is a whole number"},
		{"workers = [1];", "workers = [ … ]: allowed is"},
		{"pin_cores = 1;", "pin_cores = 1: allowed is true or false, without quotes"},
		{"pin_cores = \"true\";", "allowed is true or false"},
		{"log_level = \"loud\";", "allowed is \"debug\", \"info\", \"warn\", \"error\""},
		{"log_level = 1;", "log_level = 1: allowed is \"debug\""},
		{"user = 1;", "user = 1: allowed is text in quotes"},
		{"user = \"a b\";", "user = \"a b\": allowed is a name"},
		{"runtime_dir = \"\";", "allowed is the name of a file"},
		{"runtime_dir = \"/a\\nb\";", "allowed is text without control characters"},
		{"runtime_dir = \"/\xff\";", "allowed is text in UTF-8"},
		{"shutdown_timeout = \"5 days\";", "allowed is a time like"},
		{"shutdown_timeout = \"1 ms\";", "\"1 ms\": allowed is 100 ms to 10 min"},
		{"memory = { queue = \"1 KiB\"; };",
		 "memory: queue = \"1 KiB\": allowed is 1 MiB to 1024 GiB"},
		{"memory = 1;", "memory = 1: allowed is a group: memory = { … };"},
		{"tls = { min_version = \"1.1\"; };", "allowed is \"1.2\", \"1.3\""},
		{"endpoints = { path = \"/\"; };", "allowed is a list of groups: endpoints = ("},
		{"endpoints = ( 1 );", "endpoint #1: endpoints = 1: allowed is a group"},
		{"endpoints = ( { words = \"rooms\"; } );", "endpoint #1: path is missing"},
		{"endpoints = ( { path = \"ws\"; } );",
		 "endpoint ws: path = \"ws\": allowed is a path"},
		{"endpoints = ( { path = \"/w?s\"; } );", "allowed is a path"},
		{ENDPOINT("words = \"rooms x\";"),
		 "endpoint /ws: words: \"x\": allowed is \"channels\""},
		{ENDPOINT("words = [1];"), "words = 1: allowed is a list of texts"},
		{ENDPOINT("protocol = \"socketio\";"),
		 "allowed is \"native\", \"echo\", \"relay\""},
		{ENDPOINT("origins = \"example.com\";"),
		 "origins: \"example.com\": allowed is \"*\""},
		{ENDPOINT("origins = \"https://a.b/\";"), "allowed is \"*\""},
		{ENDPOINT("origins = \"https://a.b:0\";"), "allowed is \"*\""},
		{ENDPOINT("origins = \"* *\";"), "allowed is each one once"},
		{ENDPOINT("subprotocols = \"a,b\";"), "allowed is a token"},
		{ENDPOINT("lobby = \"\";"), "allowed is a channel name"},
		{ENDPOINT("max_message = \"65 MiB\";"), "allowed is 128 B to 64 MiB"},
		{ENDPOINT("rate_burst = 0;"), "rate_burst = 0 would let no message pass"},
		{LISTENER("tls = true;"), "tls = true needs a certificate"},
		{LISTENER("trusted_proxies = \"10.0.0.1/8\";"), "prefix without host bits"},
		{LISTENER("endpoints = \"/nope\";"), "endpoints: there is no endpoint \"/nope\""},
		{"listeners = ( { address = \"localhost\"; port = 1; } );",
		 "allowed is an address in numbers"},
		{"listeners = ( { address = \"127.1\"; port = 1; } );",
		 "allowed is an address in numbers"},
		{"listeners = ( { address = \"127.0.0.1\"; } );", "port is missing"},
		{"listeners = ( { address = \"127.0.0.1\"; port = 65536; } );",
		 "allowed is 1 to 65535"},
		{CERTIFICATE LISTENER("certificates = \"a\";"), "of no use without tls = true"},
		{CERTIFICATE LISTENER("tls = true; certificates = \"b\";"),
		 "there is no certificate \"b\""},
		{"certificates = ( { name = \"a\"; } );",
		 "cert_file is missing: name a PEM file, or set dev"},
		{"certificates = ( { name = \"a\"; dev = true; server_names = \"A.com\"; } );",
		 "in lower case"},
		{"certificates = ( { name = \"a\"; dev = true; server_names = \"*.*.com\"; } );",
		 "a host name"},
		{"http = { head = \"4 KiB\"; header = \"4 KiB\"; };",
		 "http: request_line = 8 KiB is more than head = 4 KiB, which it is part of"},
		{"memory = { connection_queue = \"2 MiB\"; queue = \"1 MiB\"; };",
		 "memory: connection_queue = 2 MiB is more than queue = 1 MiB, which all"},
		{"memory = { partial = \"1 MiB\"; };" ENDPOINT("max_message = \"2 MiB\";"),
		 "max_message = 2 MiB is more than memory.partial = 1 MiB"},
		{"presence = { interval = \"50 ms\"; };", "allowed is 100 ms to 1 min"},
		{"presence = { names = 65; };", "names = 65: allowed is 0 to 64"},
		{"relays = ( { name = \"publish\"; } );",
		 "\"publish\" is a word of the protocol already"},
		{"relays = ( { name = \"x\"; channel = \"{a\"; } );", "a field's name in braces"},
		{"relays = ( { name = \"x\"; fields = 1; } );", "allowed is a list of groups"},
		{"relays = ( { name = \"x\"; fields = \"a b/c\"; } );",
		 "fields: \"b/c\": allowed is a name"},
		{"relays = ( { name = \"x\"; fields = [\"a\", \"a\"]; } );",
		 "field \"a\" is there twice"},
		{"relays = ( { name = \"x\"; fields = [\"from\"]; } );", "is one that Sluice sets"},
		{"relays = ( { name = \"x\"; auto_stop = \"publish\"; } );",
		 "relay x: auto_stop = \"publish\" is a word of the protocol already"},
		{"relays = ( { name = \"x\"; auto_stop = \"leave\"; } );",
		 "auto_stop = \"leave\" is a word of the protocol already"},
		{"relays = ( { name = \"x\"; auto_stop = \"x\"; } );", "is the relay's own name"},
		{"relays = ( { name = \"x\"; auto_stop = \"a b\"; } );",
		 "auto_stop = \"a b\": allowed is a name"},
		{"relays = ( { name = \"x\"; auto_stop_after = \"1 s\"; } );",
		 "auto_stop_after is of no use without auto_stop"},
		{"relays = ( { name = \"x\"; auto_stop = \"y\"; auto_stop_after = \"61 s\"; } );",
		 "allowed is 100 ms to 1 min"},
		{"relays = ( { name = \"x\"; auto_stop = \"y\"; auto_stop_after = \"99 ms\"; } );",
		 "allowed is 100 ms to 1 min"},
		{"relays = ( { name = \"x\"; role = \"admin\"; } );",
		 "unknown option 'role' in relay x"},
		{"namespaces = ( { name = \"a:b\"; } );", "before the first colon"},
		{"namespaces = ( { name = \"a\"; }, { name = \"a\"; } );", "is there already"},
		{"namespaces = ( { name = \"a\"; slow_consumer = \"wait\"; } );",
		 "allowed is \"disconnect\", \"drop_oldest\", \"conflate\""},
		{"shield = { mode = \"fast\"; };",
		 "allowed is \"auto\", \"native\", \"generic\", \"off\""},
		{"shield = { interfaces = \"sixteen_letters_\"; };", "at most 15 bytes"},
		{"shield = { deny = \"1.2.3\"; };", "deny: \"1.2.3\": allowed is an address"},
		{"shield = { protect = ( { prefix = \"10.0.0.0/8\"; } ); };", "port is missing"},
		{"admin = { control_mode = 660; };", "octal permission bits in quotes"},
		{"admin = { ready_path = \"/health\"; };",
		 "<text>:1: admin: ready_path = \"/health\" is health_path as well"},
		{"admin = { health_path = \"/ws\"; };" ENDPOINT(""),
		 "admin: health_path = \"/ws\" is an endpoint"},
		{"user = \"nobody-of-this-name\";", "there is no such account"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		refused(rows[i][0], rows[i][1]);
}

TEST(config, what_is_there_twice_is_told_with_the_first_ones_line)
{
	refused("endpoints = (\n{ path = \"/a\"; },\n{ path = \"/b\"; },\n{ path = \"/a\"; } );",
		"<text>:4: endpoint /a: path = \"/a\" is there already, in line 2");
	refused("listeners = (\n{ address = \"::1\"; port = 1; },\n{ address = \"0:0::1\"; port = 1; } );",
		"<text>:3: listener #2: 0:0::1 port 1 is listened on already, in line 2");
	refused("certificates = ( { name = \"a\"; dev = true; },\n{ name = \"a\"; dev = true; } );",
		"<text>:2: certificate a: name = \"a\" is there already, in line 1");
	refused("workers = 1;\nworkers = 1;",
		"<text>:2: duplicate setting name near: workers = 1;");
}

TEST(config, all_mistakes_are_told_at_once_and_in_order)
{
	char *all =
		complaints("workers = 9999;\nwrokers = 1;\n" ENDPOINT(
				   "heartbeat = 1;\nrate = -1;\nx = 1;") "\nlog_level = \"loud\";",
			   "/nonexistent");

	assert_string_equal(
		all,
		"<text>:1: workers = 9999: allowed is 1 to 255, or 0 (one per core)\n"
		"<text>:2: unknown option 'wrokers': did you mean 'workers'?\n"
		"<text>:3: endpoint /ws: heartbeat = 1: allowed is 1 s to 24 h, or 0 (never)\n"
		"<text>:4: endpoint /ws: rate = -1: allowed is 1 to 1000000, or 0 (no limit)\n"
		"<text>:5: unknown option 'x' in endpoint /ws; sluice.conf(5) lists them\n"
		"<text>:6: log_level = \"loud\": allowed is \"debug\", \"info\", \"warn\", \"error\"\n");
	free(all);
}

TEST(config, a_flood_of_mistakes_is_cut_off)
{
	char *text = malloc(400 * 12 + 1), *p = text, *all;

	for (int i = 0; i < 400; i++)
		p += sprintf(p, "z%d = 1;\n", i);
	all = complaints(text, "/nonexistent");
	assert_non_null(strstr(all, "(only the first 200 mistakes are shown)"));
	free(all);
	free(text);
}

TEST(config, a_syntax_error_shows_the_line_and_guesses)
{
	refused("workers = 1;\npin_cores = on;\n",
		"<text>:2: syntax error near: pin_cores = on; (text goes in quotes; switches are true or false)");
	refused("workers = ;", "<text>:1: syntax error near: workers = ;");
	refused("endpoints = ( { path = \"/ws\";\n", "syntax error at the end of the file");
	refused("a = [\"x\", 1];", "mismatched element type in array near: a = [");
}

TEST(config, a_number_that_libconfig_would_wrap_is_refused)
{
	char *all = complaints(
		"# 99999999999\n/* 99999999999 */ user = \"99999999999\"; // 9999999999\n"
		"memory = { queue = 4298964992; };",
		"/nonexistent");

	/* 4298964992 is 2^32 + 4 MiB: libconfig makes 4 MiB of it, which would pass */
	assert_non_null(strstr(all, "<text>:3: 4298964992 is too large for a plain number"));
	free(all);
	refused("memory = { queue = 0x100400000; };", "0x100400000 is too large");
	config_free(good("memory = { queue = 0x100400000L; mailbox = 2147483647; };"));
	config_free(
		good("listeners = ( { name = \"a99999999999\"; address = \"::1\"; port = 1; } );"));
}

TEST(config, a_string_that_libconfig_would_cut_is_refused)
{
	refused("state_dir = \"/a\\x00b\";", "\\x00 in a string: it would end there");
	config_free(good("state_dir = \"/a\\\\x00b\";"));
}

/* ---- files ---- */

static char dir[] = "/tmp/sluice-test-config-XXXXXX";
static bool made; /* (the name that it gets may end in an X as well) */

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	if (!made)
		assert_non_null(mkdtemp(dir));
	made = true;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *in_dir(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

__attribute__((destructor)) static void remove_dir(void)
{
	DIR *d;

	if (!made || !(d = opendir(dir)))
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(dir);
}

TEST(config, file_names_are_relative_to_the_file)
{
	struct config_errors errs = {0};
	struct config *cfg;
	char want[200];

	put("index.html", "<!doctype html>");
	put("cert.pem", "x");
	put("page.conf",
	    "certificates = ( { name = \"a\"; cert_file = \"cert.pem\"; key_file = \"cert.pem\"; } );"
	    "pages = ( { path = \"/\"; file = \"index.html\"; } ); runtime_dir = \"run\";" LISTENER(
		    ""));
	cfg = config_load(in_dir("page.conf"), &errs);
	config_error_print(&errs, stderr);
	assert_non_null(cfg);
	assert_string_equal(cfg->file, in_dir("page.conf"));
	assert_true(bytes_eq(cfg->pages[0].body, BYTES_LIT("<!doctype html>")));
	assert_string_equal(cfg->pages[0].type, "text/html; charset=utf-8");
	assert_string_equal(cfg->pages[0].file, in_dir("index.html"));
	assert_string_equal(cfg->certificates[0].cert_file, in_dir("cert.pem"));
	assert_string_equal(cfg->runtime_dir, in_dir("run"));
	snprintf(want, sizeof(want), "%s/control.sock", in_dir("run"));
	assert_string_equal(cfg->admin.control_socket, want);
	config_free(cfg);
}

TEST(config, files_that_cannot_be_read_are_told_with_the_reason)
{
	char *big = calloc(1, CONFIG_MAX_PAGE_BYTES + 2);
	char *all;

	memset(big, 'x', CONFIG_MAX_PAGE_BYTES + 1);
	put("big.txt", big);
	free(big);
	put("some.xyz", "");
	all = complaints(
		"certificates = ( { name = \"a\"; cert_file = \"no.pem\"; key_file = \"/tmp\"; } );\n"
		"pages = ( { path = \"/1\"; file = \"big.txt\"; },\n"
		"{ path = \"/2\"; file = \"/dev/zero\"; type = \"text/plain\"; },\n"
		"{ path = \"/3\"; file = \"some.xyz\"; } );",
		dir);
	assert_non_null(strstr(all, "<text>:1: certificate a: cert_file: "));
	assert_non_null(strstr(all, "/no.pem cannot be read: No such file or directory"));
	assert_non_null(strstr(all, "key_file: /tmp cannot be read: Is a directory"));
	assert_non_null(strstr(all, "<text>:2: page /1: file: "));
	assert_non_null(strstr(all, "is larger than 1 MiB"));
	assert_non_null(strstr(
		all, "<text>:3: page /2: file: /dev/zero cannot be read: not a regular file"));
	assert_non_null(strstr(all, "<text>:4: page /3: type is missing"));
	free(all);
}

TEST(config, a_mistake_in_an_included_file_is_told_with_that_file)
{
	struct config_errors errs = {0};

	put("more.conf", "\nmemory = { queue = 5; big = 99999999999; };\n");
	put("main.conf", "workers = 1;\n@include \"more.conf\"\nworkesr = 2;\n" LISTENER(""));
	assert_null(config_load(in_dir("main.conf"), &errs));
	assert_int_equal(errs.n, 4);
	assert_string_equal(errs.list[0].file, in_dir("main.conf"));
	assert_int_equal(errs.list[0].line, 3);
	for (int i = 1; i < 4; i++) {
		assert_string_equal(errs.list[i].file, in_dir("more.conf"));
		assert_int_equal(errs.list[i].line, 2);
	}
	config_errors_fini(&errs);

	put("main.conf", "workers = 1;\n@include \"none.conf\"\n");
	assert_null(config_load(in_dir("main.conf"), &errs));
	assert_int_equal(errs.n, 1);
	assert_int_equal(errs.list[0].line, 2);
	assert_non_null(
		strstr(errs.list[0].text, "cannot open include file near: @include \"none.conf\""));
	config_errors_fini(&errs);

	put("bad.conf", "\n\nworkers = = 1;\n");
	put("main.conf", "@include \"bad.conf\"\n");
	assert_null(config_load(in_dir("main.conf"), &errs));
	assert_string_equal(errs.list[0].file, in_dir("bad.conf"));
	assert_int_equal(errs.list[0].line, 3);
	assert_non_null(strstr(errs.list[0].text, "near: workers = = 1;"));
	config_errors_fini(&errs);
}

TEST(config, a_file_that_is_not_there_is_told_with_the_reason)
{
	struct config_errors errs = {0};

	assert_null(config_load("/nonexistent/sluice.conf", &errs));
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.list[0].file, "/nonexistent/sluice.conf");
	assert_string_equal(errs.list[0].text, "cannot be read: No such file or directory");
	config_errors_fini(&errs);
	assert_null(config_load("/tmp", &errs));
	assert_string_equal(errs.list[0].text, "cannot be read: Is a directory");
	config_errors_fini(&errs);
}

static void serves_nothing(const char *text)
{
	struct config_errors errs = {0};

	put("nothing.conf", text);
	assert_null(config_load(in_dir("nothing.conf"), &errs));
	assert_int_equal(errs.n, 1);
	assert_string_equal(errs.list[0].text, "no listener: nothing would be served");
	config_errors_fini(&errs);
}

TEST(config, a_file_without_listeners_is_a_mistake)
{
	serves_nothing("");
	serves_nothing(ENDPOINT(""));
	serves_nothing("listeners = ();");
}

TEST(config, a_refused_listener_is_told_once)
{
	struct config_errors errs = {0};

	put("bad.conf", "listeners = 1;");
	assert_null(config_load(in_dir("bad.conf"), &errs));
	assert_int_equal(errs.n, 1);
	config_errors_fini(&errs);
}

TEST(config, a_certificate_knows_its_place_in_the_file)
{
	struct config_errors errs = {0};
	struct config *cfg;

	put("more.conf", "\n\n" CERTIFICATE);
	put("main.conf", LISTENER("tls = true;") "\n@include \"more.conf\"\n");
	cfg = config_load(in_dir("main.conf"), &errs);
	assert_non_null(cfg);
	assert_string_equal(cfg->certificates[0].conf_file, in_dir("more.conf"));
	assert_int_equal(cfg->certificates[0].conf_line, 3);
	config_free(cfg);
}

TEST(config, check_returns_the_daemons_exit_code)
{
	FILE *f = fopen("/dev/null", "w");

	put("good.conf", "workers = 1;" LISTENER(""));
	put("bad.conf", "workers = 9999;");
	assert_int_equal(config_check(in_dir("good.conf"), f), 0);
	assert_int_equal(config_check(in_dir("bad.conf"), f), 2);
	fclose(f);
}

TEST(config, check_tells_what_is_valid_and_hardly_meant)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	put("bare.conf", LISTENER("") "shield = { interfaces = [\"lo\", \"nosuch0\"]; };");
	assert_int_equal(config_check(in_dir("bare.conf"), f), 0);
	fclose(f);
	assert_non_null(strstr(text, "without endpoints no client can open a WebSocket"));
	assert_non_null(strstr(text, "this host has no \"nosuch0\""));
	assert_null(strstr(text, "\"lo\""));
	free(text);
}

TEST(config, the_name_of_a_file_commands_no_terminal)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	put("x\x1b[2J.conf", "foo = 1;");
	assert_int_equal(config_check(in_dir("x\x1b[2J.conf"), f), 2);
	fclose(f);
	assert_non_null(strstr(text, "x?[2J.conf:1: "));
	assert_null(strchr(text, '\x1b'));
	free(text);
}

TEST_MAIN()
