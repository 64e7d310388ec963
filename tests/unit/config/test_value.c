/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes, times and prefixes as people write them. */
#include "test.h"

#include <arpa/inet.h>

#include "config/options.h"

struct row {
	const char *text;
	bool ok;
	uint64_t v;
};

TEST(value, sizes_are_exact_or_refused)
{
	static const struct row rows[] = {
		{"0", true, 0},
		{"1", true, 1},
		{"1 B", true, 1},
		{"1KiB", true, 1024},
		{"1 kib", true, 1024},
		{"1.5 KiB", true, 1536},
		{"64 MiB", true, 64 << 20},
		{"2 GiB", true, 2ull << 30},
		{"1 kB", true, 1000},
		{"0.5 MB", true, 500000},
		{"1.0 B", true, 1},
		{"17179869183 GiB", true, 17179869183ull << 30},
		{"17179869184 GiB", false, 0},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"0.0001 KiB", false, 0},
		{"1.5 B", false, 0},
		{"-1", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", true, 1},
		{"1 K", false, 0},
		{"1 TiB", false, 0},
		{"1.", false, 0},
		{".5 KiB", false, 0},
		{"1.5.5 KiB", false, 0},
		{"KiB", false, 0},
		{"", false, 0},
		{"1 KiB x", false, 0},
		{"1 s", false, 0},
		{"0x10", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 0;
		bool ok = value_bytes(rows[i].text, &v);
		assert_msg(ok == rows[i].ok && v == rows[i].v, "\"%s\": %d %llu", rows[i].text, ok,
			   (unsigned long long)v);
	}
}

TEST(value, times_are_exact_or_refused)
{
	static const struct row rows[] = {
		{"25 s", true, 25000}, {"10ms", true, 10},     {"5 min", true, 300000},
		{"5 m", true, 300000}, {"1 h", true, 3600000}, {"1.5 s", true, 1500},
		{"250", true, 250},    {"0", true, 0},         {"0.5 ms", false, 0},
		{"1 d", false, 0},     {"1 KiB", false, 0},    {"ten s", false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t v = 0;
		bool ok = value_ms(rows[i].text, &v);
		assert_msg(ok == rows[i].ok && v == rows[i].v, "\"%s\": %d %llu", rows[i].text, ok,
			   (unsigned long long)v);
	}
}

TEST(value, what_is_printed_reads_back_the_same)
{
	static const uint64_t some[] = {0,       1,       999,        1000,      1023,
					1024,    1536,    10000,      60000,     65536,
					3600000, 1048577, 1ull << 40, UINT64_MAX};
	char buf[VALUE_STRLEN];
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		assert_true(value_bytes(value_bytes_str(some[i], buf), &v));
		assert_true(v == some[i]);
		assert_true(value_ms(value_ms_str(some[i], buf), &v));
		assert_true(v == some[i]);
	}
	assert_string_equal(value_bytes_str(65536, buf), "64 KiB");
	assert_string_equal(value_bytes_str(1500, buf), "1500 B");
	assert_string_equal(value_ms_str(1500, buf), "1500 ms");
	assert_string_equal(value_ms_str(120000, buf), "2 min");
}

TEST(value, a_prefix_has_no_host_bits)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"192.0.2.0/24", "192.0.2.0/24"},
		{"192.0.2.7", "192.0.2.7/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"128.0.0.0/1", "128.0.0.0/1"},
		{"::/0", "::/0"},
		{"::1", "::1/128"},
		{"2001:DB8::/32", "2001:db8::/32"},
		{"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
		{"192.0.2.1/24", NULL},
		{"::ffff:0:0/96", NULL},
		{"::ffff:192.0.2.0/120", NULL},
		{"64.0.0.0/1", NULL},
		{"2001:db8::1/64", NULL},
		{"192.0.2.0/33", NULL},
		{"::/129", NULL},
		{"192.0.2.0/", NULL},
		{"192.0.2.0/-1", NULL},
		{"192.0.2.0/024", NULL},
		{"192.0.2.0/24x", NULL},
		{"192.0.2/24", NULL},
		{"192.0.2.0.0/24", NULL},
		{"300.0.0.0/8", NULL},
		{"example.com", NULL},
		{"[::1]", NULL},
		{"fe80::1%lo", NULL},
		{"", NULL},
		{"/24", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char buf[CONFIG_PREFIX_STRLEN];
		struct config_prefix p = {.bits = 77};
		bool ok = config_prefix_parse(rows[i].text, &p);
		assert_msg(ok == (rows[i].shown != NULL), "\"%s\"", rows[i].text);
		if (ok)
			assert_string_equal(config_prefix_str(&p, buf), rows[i].shown);
		else
			assert_int_equal(p.bits, 77);
	}
}

TEST(value, modes_are_octal)
{
	uint32_t m = 0;

	assert_true(value_mode("0660", &m));
	assert_int_equal(m, 0660);
	assert_true(value_mode("600", &m));
	assert_int_equal(m, 0600);
	assert_false(value_mode("0888", &m));
	assert_false(value_mode("4755", &m));
	assert_false(value_mode("rw-", &m));
	assert_false(value_mode("", &m));
}

TEST(value, the_nearest_name_is_found_and_nothing_far)
{
	const struct option_group *endpoint = NULL;

	for (uint32_t i = 0; i < option_root.n_options; i++)
		if (strcmp(option_root.options[i].name, "endpoints") == 0)
			endpoint = option_root.options[i].group;
	assert_non_null(endpoint);
	assert_string_equal(value_nearest("heart_beat", endpoint), "heartbeat");
	assert_string_equal(value_nearest("heartbaet", endpoint), "heartbeat");
	assert_string_equal(value_nearest("heartbeat_ms", endpoint), "heartbeat");
	assert_string_equal(value_nearest("Path", endpoint), "path");
	assert_string_equal(value_nearest("protocoll", endpoint), "protocol");
	assert_string_equal(value_nearest("max_message_size", endpoint), "max_message");
	assert_string_equal(value_nearest("wrokers", &option_root), "workers");
	assert_null(value_nearest("colour", endpoint));
	assert_null(value_nearest("x", endpoint));
	assert_null(value_nearest(
		"a_name_that_goes_on_for_longer_than_any_option_could_ever_want_to_be", endpoint));
}

TEST_MAIN()
