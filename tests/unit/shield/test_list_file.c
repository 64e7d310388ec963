/* SPDX-License-Identifier: BSD-2-Clause */
#include "shield/list_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "base/handover.h"
#include "test.h"

static struct list_file f;

static int read_text(const char *text)
{
	return list_file_read(&f, bytes_str(text));
}

static void again(void)
{
	list_file_free(&f);
	memset(&f, 0, sizeof(f));
}

/* All records, "PREFIX/LEN[ for S][ note]" separated by commas. */
static const char *all(void)
{
	static char buf[4096];
	size_t n = 0;

	buf[0] = 0;
	for (size_t i = 0; i < f.n; i++) {
		char addr[INET6_ADDRSTRLEN];
		const struct list_record *r = &f.records[i];

		inet_ntop(r->family == 4 ? AF_INET : AF_INET6, r->addr, addr, sizeof(addr));
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s/%u", i ? ", " : "", addr,
				      r->len);
		if (r->ttl_s)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, " for %u", r->ttl_s);
		if (r->note)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, " (%s)",
					      f.notes[r->note].text);
	}
	return buf;
}

TEST(list_file, a_line_has_a_prefix_and_perhaps_a_time_a_note_and_a_comment)
{
	assert_int_equal(read_text("# a list\n"
				   "192.0.2.1\n"
				   "  198.51.100.0/24 for 10m   # for a while\r\n"
				   "\n"
				   "2001:db8::/32 note seen twice ; and more\n"
				   "203.0.113.0/24 ; SBL1\n"
				   "203.0.113.7;SBL2\n"
				   "10.0.0.0/8 note \"a # b ; \\\"c\\\"\" for 7d\n"
				   "::ffff:9.9.9.9 for 90"),
			 0);
	list_file_finish(&f);
	assert_string_equal(all(), "9.9.9.9/32 for 90, 10.0.0.0/8 for 604800 (a # b ; \"c\"), "
				   "192.0.2.1/32, 198.51.100.0/24 for 600, 203.0.113.0/24, "
				   "203.0.113.7/32, 2001:db8::/32 (seen twice)");
	again();
}

TEST(list_file, every_mistake_has_its_line)
{
	assert_int_equal(read_text("192.0.2.1\nhello\n10.1.2.3/8\n\n0.0.0.0/0\n1.2.3.4 for ever\n"
				   "1.2.3.4 since 3\n1.2.3.4 note \"x\n1.2.3.4/33\n"),
			 -EINVAL);
	static const struct {
		uint32_t line;
		const char *text;
	} want[] = {{2, "'hello' is no prefix"},
		    {3, "10.0.0.0/8?"},
		    {5, "force"},
		    {6, "for: "},
		    {7, "'since'"},
		    {8, "quotes"},
		    {9, "no prefix"}};
	assert_int_equal(f.n_errors, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_int_equal(f.errors[i].line, want[i].line);
		assert_msg(strstr(f.errors[i].text, want[i].text), "%s", f.errors[i].text);
	}
	again();
}

TEST(list_file, errors_can_be_skipped_and_are_counted_beyond_those_told)
{
	f.skip = true;
	f.short_ones = true;
	for (int i = 0; i < 10; i++)
		assert_int_equal(read_text("0.0.0.0/1\nx\ny\nz 2\n192.0.2.1\n"), 0);
	assert_int_equal(f.n_errors, 30);
	list_file_finish(&f);
	assert_string_equal(all(), "0.0.0.0/1, 192.0.2.1/32");
	assert_int_equal(f.n_duplicates, 18);
	again();
}

TEST(list_file, json_is_an_array_of_strings_or_objects_or_what_an_export_says)
{
	assert_int_equal(
		read_text("[\"192.0.2.0/24\", {\"prefix\": \"2001:db8::1\", \"for\": \"2h\",\n"
			  "\"note\": \"it\\u0027s\", \"reason\": [1, {\"x\": \"]\"}]},\n"
			  "{\"prefix\":\"10.0.0.0/8\",\"for\":60}]\n"),
		0);
	assert_int_equal(
		read_text(
			"{\"list\":\"deny\",\"entries\":[{\"prefix\":"
			"\"1.1.1.1/32\",\"left_s\":null},{\"left_s\":5,\"prefix\":\"1.1.1.2\"}]}"),
		0);
	assert_int_equal(read_text(" [ ] "), 0);
	list_file_finish(&f);
	assert_string_equal(all(), "1.1.1.1/32, 1.1.1.2/32 for 5, 10.0.0.0/8 for 60, 192.0.2.0/24, "
				   "2001:db8::1/128 for 7200 (it's)");
	again();
}

TEST(list_file, an_export_says_of_which_list_it_is)
{
	static const struct {
		const char *text, *list;
	} cases[] = {
		{"{\"list\":\"deny\",\"entries\":[]}", "deny"},
		{"{\"entries\":[\"192.0.2.0/24\"], \"list\" : \"allow\" }", "allow"},
		{"{\"list\":\"all\\u006fw\",\"entries\":[]}", "allow"},
		{"{\"entries\":[{\"prefix\":\"192.0.2.1\",\"set\":\"list\"}]}", ""},
		{"[\"192.0.2.0/24\"]", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(read_text(cases[i].text), 0);
		assert_string_equal(f.list, cases[i].list);
		again();
	}
}

/* "fro" for "for" would be a denial without end. */
TEST(list_file, a_field_that_nobody_knows_is_a_mistake_in_its_line)
{
	static const struct {
		const char *text;
		uint32_t line;
		const char *what;
	} cases[] = {
		{"[{\"prefix\":\"192.0.2.1\",\n\"fro\":\"1h\"}]", 2, "\"fro\": no such field"},
		{"[{\"prefix\":\"192.0.2.1\",\"f\\u006fr\":\"1h\", \"x\" : [1, {\"for\":2}]}]", 1,
		 "\"x\""},
		{"{\"list\":\"deny\",\n\"entries\":[],\n\"enties\":[]}", 3,
		 "\"enties\": no such field"},
		{"{\"entries\":[],\n\"prefixes\":[\"192.0.2.1\"]}", 2, "a list already"},
		{"{\"list\":\"all the bad ones\",\"entries\":[]}", 1, "neither \"deny\" nor"},
		{"{\"entries\":[],\n\n\"list\":7}", 3, "neither \"deny\" nor"},
		{"{\"x\\u001b[31m\":1,\"entries\":[]}", 1, "no such field"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(read_text(cases[i].text), -EINVAL);
		assert_int_equal(f.n_errors, 1);
		assert_int_equal(f.errors[0].line, cases[i].line);
		assert_msg(strstr(f.errors[0].text, cases[i].what), "%s", f.errors[0].text);
		again();
	}
	f.skip = true;
	assert_int_equal(read_text("[{\"prefix\":\"192.0.2.1\",\"fro\":9},\"192.0.2.2\"]"), 0);
	assert_string_equal(all(), "192.0.2.2/32");
	again();
}

TEST(list_file, a_mistake_in_json_has_its_line_too)
{
	assert_int_equal(read_text(
				 "[\n\"1.2.3.4\",\n7,\n{\"prefix\":3},\n{\"prefix\":\"1.2.3.5\",\n"
				 "\"for\":\"x\"},\n{\"a\"},\n\"1.2.3\"\n,\"1.1.1.1\" \"2.2.2.2\"]"),
			 -EINVAL);
	assert_int_equal(f.n_errors, 6);
	assert_int_equal(f.errors[0].line, 3);
	assert_int_equal(f.errors[1].line, 4);
	assert_int_equal(f.errors[2].line, 5);
	assert_int_equal(f.errors[3].line, 7);
	assert_int_equal(f.errors[4].line, 8);
	assert_int_equal(f.errors[5].line, 9);
	again();
	static const char *const bad[] = {"[",
					  "[\"1.1.1.1\"",
					  "[\"1.1.1.1\",",
					  "[,]",
					  "[]]",
					  "{}",
					  "{\"entries\":3}",
					  "{\"entries\":[]",
					  "{\"entries\":[]}x",
					  "[\"1.1.1.1\"}",
					  "{\"entries\"",
					  "{"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_msg(read_text(bad[i]) == -EINVAL, "%s", bad[i]);
		again();
	}
}

TEST(list_file, of_equal_prefixes_the_one_that_lasts_longest_stays_with_a_note)
{
	assert_int_equal(read_text("192.0.2.1 for 5m\n192.0.2.1 for 10m note x\n192.0.2.1 for 1m\n"
				   "192.0.2.2 for 5m\n192.0.2.2\n"),
			 0);
	list_file_finish(&f);
	assert_string_equal(all(), "192.0.2.1/32 for 600 (x), 192.0.2.2/32");
	assert_int_equal(f.n_duplicates, 3);
	again();
}

TEST(list_file, joining_loses_nothing)
{
	f.join = true;
	assert_int_equal(read_text("10.0.0.0/25\n10.0.0.128/26\n10.0.0.192/26\n" /* a whole /24 */
				   "10.1.0.0/16 for 1h\n10.1.2.0/24\n"           /* lasts longer */
				   "10.1.3.0/24 for 30m\n"                       /* does not */
				   "10.2.0.0/16\n10.2.0.1 note who\n10.2.0.2\n"  /* a note */
				   "10.3.0.0/25 note a\n10.3.0.128/25 note b\n"
				   "2001:db8::/33\n2001:db8:8000::/33\n"),
			 0);
	list_file_finish(&f);
	assert_string_equal(all(), "10.0.0.0/24, 10.1.0.0/16 for 3600, 10.1.2.0/24, 10.2.0.0/16, "
				   "10.2.0.1/32 (who), 10.3.0.0/25 (a), 10.3.0.128/25 (b), "
				   "2001:db8::/32");
	assert_int_equal(f.n_joined, 5);
	again();
}

TEST(list_file, what_is_handed_over_is_what_was_read)
{
	struct list_hand h;

	assert_int_equal(read_text("192.0.2.1 note x\n2001:db8::/32\n"), 0);
	list_file_finish(&f);
	int fd = list_file_hand(&f);
	assert_true(fd >= 0);
	assert_int_equal(list_hand_open(fd, &h), 0);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.n_notes, 2);
	assert_string_equal(h.notes[h.records[0].note].text, "x");
	assert_int_equal(h.records[1].family, 6);
	list_hand_close(&h);
	close(fd);
	fd = handover_memfd(
		"x",
		"no list at all, but long enough to be looked at. And longer, and longer, and longer",
		96 - 12);
	assert_int_equal(list_hand_open(fd, &h), -EINVAL);
	close(fd);
	fd = handover_memfd_open("x");
	assert_int_equal(list_hand_open(fd, &h), -EINVAL); /* not sealed */
	close(fd);
	again();
}

TEST_MAIN()
