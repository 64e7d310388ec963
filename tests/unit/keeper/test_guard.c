/* SPDX-License-Identifier: BSD-2-Clause */
/* Who would be locked out by a prefix, and by a set of many. */
#include "test.h"

#include <arpa/inet.h>

#include "keeper/guard.h"

static struct shield_prefix prefix(const char *text)
{
	struct shield_prefix p = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	char addr[64];
	const char *slash = strchr(text, '/');

	p.bits = slash ? (uint8_t)strtoul(slash + 1, NULL, 10) : p.family == AF_INET ? 32 : 128;
	snprintf(addr, sizeof(addr), "%.*s", slash ? (int)(slash - text) : 63, text);
	assert_int_equal(inet_pton(p.family, addr, p.addr), 1);
	return p;
}

static struct guards some(void)
{
	static struct guard list[4];

	list[0] = (struct guard){prefix("127.0.0.0/8"), GUARD_LOOPBACK};
	list[1] = (struct guard){prefix("192.0.2.7"), GUARD_LOCAL};
	list[2] = (struct guard){prefix("10.9.0.0/16"), GUARD_MANAGE};
	list[3] = (struct guard){prefix("2001:db8:5::/48"), GUARD_PROXY};
	return (struct guards){list, 4};
}

static const struct {
	const char *prefix;
	int hits; /* -1: nobody */
} rows[] = {
	{"127.0.0.1", 0},          {"127.5.0.0/16", 0},
	{"0.0.0.0/0", 0},          {"126.0.0.0/8", -1},
	{"192.0.2.7", 1},          {"192.0.2.0/24", 1},
	{"192.0.2.6", -1},         {"192.0.2.8/29", -1},
	{"10.9.0.0/16", 2},        {"10.0.0.0/8", 2},
	{"10.9.1.0/24", -1},       {"10.8.0.0/16", -1},
	{"2001:db8:5::/48", 3},    {"2001:db8::/32", 3},
	{"2001:db8:5:1::/64", -1}, {"::/0", 3},
	{"2001:db8:4::/48", -1},   {"203.0.113.0/24", -1},
};

TEST(guard, a_denial_hits_whom_it_covers_and_loopback_even_in_part)
{
	struct guards g = some();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct shield_prefix p = prefix(rows[i].prefix);
		const struct guard *hit = guards_hit(&g, &p);

		assert_msg(hit == (rows[i].hits < 0 ? NULL : &g.list[rows[i].hits]), "%s",
			   rows[i].prefix);
	}
}

static char warned[4096];

static void say(void *arg, const char *line)
{
	strcat(strcat(warned, line), "\n");
}

static const char *warnings(const char *const *deny, uint32_t n)
{
	static struct config_prefix list[32];
	struct config cfg = {.shield = {.deny = list, .n_deny = n}};
	struct guards g = some();

	for (uint32_t i = 0; i < n; i++)
		assert_true(config_prefix_parse(deny[i], &list[i]));
	*warned = '\0';
	guards_warn(&g, &cfg, say, NULL);
	return warned;
}

TEST(guard, a_deny_of_the_file_that_hits_managers_or_this_host_is_told)
{
	static const char *const deny[] = {"203.0.113.0/24", "10.9.1.0/24", "192.0.2.0/24"};
	const char *many[12];

	assert_string_equal(warnings(deny, 1), "");
	assert_string_equal(
		warnings(deny, 3),
		"shield.deny: 10.9.1.0/24 hits 10.9.0.0/16, of shield.manage.prefixes: to "
		"shield.manage.ports they pass all the same, to all others they are denied\n"
		"shield.deny: 192.0.2.0/24 locks out 192.0.2.7, an address of this host\n");
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = "192.0.2.7";
	assert_msg(strstr(warnings(many, ARRAY_SIZE(many)), "and 2 more of this kind"), "%s",
		   warned);
	many[0] = "0.0.0.0/0"; /* each kind once */
	warnings(many, 1);
	assert_msg(strstr(warned, "127.0.0.0/8") && strstr(warned, "10.9.0.0/16") &&
			   strstr(warned, "192.0.2.7") && !strstr(warned, "2001"),
		   "%s", warned);
}

/* Among many others, whichever side of it they lie. */
TEST(guard, a_set_hits_as_its_prefixes_do)
{
	static const char *const others[] = {"1.0.0.0/24",    "10.9.0.0/24",     "11.0.0.0/8",
					     "192.0.2.6/32",  "192.0.2.8/29",    "200.0.0.0/8",
					     "2001:db8::/64", "2001:db8:5::/64", "2001:db9::/32"};
	struct guards g = some();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct list_record r[ARRAY_SIZE(others) + 1];
		struct list_batch set = {.records = r, .n = ARRAY_SIZE(r)};
		struct shield_prefix by, p;
		size_t n = 0;
		bool in = false;

		for (size_t k = 0; k <= ARRAY_SIZE(others); k++) {
			struct shield_prefix row = prefix(rows[i].prefix), next = {0};

			if (k < ARRAY_SIZE(others))
				next = prefix(others[k]);
			int c = k == ARRAY_SIZE(others) ?
					-1 :
					(row.family > next.family) - (row.family < next.family);
			if (!c)
				c = memcmp(row.addr, next.addr, 16);
			if (!c)
				c = (row.bits > next.bits) - (row.bits < next.bits);
			if (!in && c < 0) {
				r[n] = (struct list_record){
					.len = row.bits, .family = row.family == AF_INET ? 4 : 6};
				memcpy(r[n++].addr, row.addr, 16);
				in = true;
			}
			if (k == ARRAY_SIZE(others))
				break;
			r[n] = (struct list_record){.len = next.bits,
						    .family = next.family == AF_INET ? 4 : 6};
			memcpy(r[n++].addr, next.addr, 16);
		}
		set.n = n;
		const struct guard *hit = guards_hit_by_set(&g, &set, &by);
		assert_msg(hit == (rows[i].hits < 0 ? NULL : &g.list[rows[i].hits]), "%s",
			   rows[i].prefix);
		p = prefix(rows[i].prefix);
		if (hit)
			assert_memory_equal(&by, &p, sizeof(p));
	}
}

TEST(guard, an_empty_set_hits_nobody)
{
	struct guards g = some();
	struct list_batch set = {0};
	struct shield_prefix by;

	assert_null(guards_hit_by_set(&g, &set, &by));
}

TEST(guard, this_host_managers_and_proxies_are_guarded)
{
	struct config_errors errs = {0};
	struct config *cfg = config_load_string(
		"shield = { manage = { prefixes = [\"203.0.113.0/28\"]; }; };"
		"listeners = ( { address = \"127.0.0.1\"; port = 1; trusted_proxies = [\"198.51.100.3\"]; } );",
		"/nonexistent", &errs);
	struct shield_prefix p;
	char text[GUARD_TEXT_MAX];
	struct guards g;

	assert_non_null(cfg);
	guards_of(cfg, &g);
	p = prefix("::1");
	assert_string_equal(guard_str(guards_hit(&g, &p), text), "::1, this host's own");
	p = prefix("127.0.0.0/16");
	assert_string_equal(guard_str(guards_hit(&g, &p), text), "127.0.0.0/8, this host's own");
	p = prefix("203.0.112.0/20");
	assert_string_equal(guard_str(guards_hit(&g, &p), text),
			    "203.0.113.0/28, of shield.manage.prefixes");
	p = prefix("198.51.100.3");
	assert_string_equal(guard_str(guards_hit(&g, &p), text),
			    "198.51.100.3, of trusted_proxies");
	p = prefix("198.51.100.4");
	assert_null(guards_hit(&g, &p));
	guards_free(&g);
	config_free(cfg);
}

TEST_MAIN()
