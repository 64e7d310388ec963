/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c - what reaches standard error, read back through a pipe. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char said[1 << 16];
static int saved_stderr, pipe_in;

static void capture_start(void)
{
	int p[2];
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	saved_stderr = dup(2);
	dup2(p[1], 2);
	close(p[1]);
	pipe_in = p[0];
}

static const char *capture_end(void)
{
	dup2(saved_stderr, 2);
	close(saved_stderr);
	ssize_t n = read(pipe_in, said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(pipe_in);
	return said;
}

static unsigned lines_of(const char *s)
{
	unsigned n = 0;
	for (; *s; s++)
		n += *s == '\n';
	return n;
}

/* Two bursts must fall into one second, or two, as the test says. */
static void wait_for_new_second(void)
{
	time_t before = time(NULL);
	while (time(NULL) == before)
		usleep(1000);
}

TEST(log, line_names_time_level_process_and_message)
{
	log_init("worker 3", LOG_INFO, false);
	capture_start();
	log_warn("conn %d: %s", 17, "went away");
	const char *s = capture_end();
	assert_int_equal(s[4], '-');
	assert_int_equal(s[10], 'T');
	assert_string_equal(s + 23, "Z warn worker 3: conn 17: went away\n");
}

TEST(log, lines_below_the_level_are_dropped)
{
	log_init("w", LOG_WARN, false);
	capture_start();
	log_debug("one");
	log_info("two");
	log_error("three");
	const char *s = capture_end();
	assert_int_equal(lines_of(s), 1);
	assert_non_null(strstr(s, "error w: three\n"));
}

TEST(log, json_line_is_one_valid_object_whatever_a_peer_sent)
{
	log_init("w \"1\"", LOG_INFO, true);
	capture_start();
	log_info("%s", "quote \" slash \\ newline \n utf8 \xc3\xa4 broken \xc3 esc \x1b");
	const char *s = capture_end();
	assert_int_equal(lines_of(s), 1);
	json_t *o = json_loads(s, 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(o, "who")), "w \"1\"");
	assert_string_equal(json_string_value(json_object_get(o, "message")),
			    "quote \" slash \\ newline \n utf8 \xc3\xa4 broken \xc3\x83 esc \x1b");
	json_decref(o);
}

TEST(log, text_line_cannot_be_forged_by_a_newline)
{
	log_init("w", LOG_INFO, false);
	capture_start();
	log_info("%s", "path /a\r\n2026-01-01 error keeper: all is lost");
	const char *s = capture_end();
	assert_int_equal(lines_of(s), 1);
	assert_non_null(strstr(s, "/a\\x0d\\x0a2026"));
}

TEST(log, what_a_peer_sent_commands_no_terminal)
{
	log_init("w", LOG_INFO, false);
	capture_start();
	log_info("%s", "a\x1b[2Jb\xc2\x9b"
		       "31mc\xc3\xa4"); /* U+009B is ESC [ in one */
	const char *s = capture_end();
	assert_non_null(strstr(s, "a\\x1b[2Jb\\x9b31mc\xc3\xa4"));
}

static void say_from_one_place(int i)
{
	log_info("line %d", i);
}

TEST(log, burst_of_one_site_is_folded_and_counted)
{
	log_init("w", LOG_INFO, false);
	wait_for_new_second();
	capture_start();
	for (int i = 0; i < 35; i++)
		say_from_one_place(i);
	log_info("another site still speaks");
	wait_for_new_second();
	say_from_one_place(35);
	const char *s = capture_end();
	assert_int_equal(lines_of(s), LOG_BURST + 1 + 2);
	assert_non_null(strstr(s, "line 9\n"));
	assert_null(strstr(s, "line 10\n"));
	assert_non_null(strstr(s, "another site"));
	assert_non_null(strstr(s, "25 more lines like the next one were folded\n"));
	assert_non_null(strstr(s, "line 35\n"));
}

TEST(log, dropped_level_does_not_count_towards_the_burst)
{
	static struct log_site site;
	log_init("w", LOG_WARN, false);
	capture_start();
	for (int i = 0; i < 100; i++)
		log_write(&site, LOG_INFO, "quiet");
	log_init("w", LOG_INFO, false);
	log_write(&site, LOG_INFO, "loud");
	const char *s = capture_end();
	assert_non_null(strstr(s, "loud\n"));
	assert_null(strstr(s, "folded"));
}

TEST(log, long_line_is_cut_at_a_character_and_stays_one_line)
{
	char big[9000];
	for (size_t i = 0; i + 2 < sizeof(big); i += 2)
		memcpy(big + i, "\xc3\xa4", 2);
	big[sizeof(big) - 2] = big[sizeof(big) - 1] = '\0';
	for (int json = 0; json <= 1; json++) {
		log_init("w", LOG_INFO, json);
		capture_start();
		log_info("%s", big);
		const char *s = capture_end();
		assert_int_equal(lines_of(s), 1);
		assert_true(strlen(s) <= 4096);
		assert_non_null(strstr(s, "\xc3\xa4..."));
		if (json) {
			json_t *o = json_loads(s, 0, NULL);
			assert_non_null(o);
			json_decref(o);
		}
	}
}

TEST(log, long_line_of_controls_fits_when_escaped)
{
	char big[4000];
	memset(big, 1, sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_init("w", LOG_INFO, true);
	capture_start();
	log_info("%s", big);
	const char *s = capture_end();
	assert_int_equal(lines_of(s), 1);
	json_t *o = json_loads(s, 0, NULL);
	assert_non_null(o);
	json_decref(o);
}

TEST(log, errno_survives_a_line_and_is_there_for_percent_m)
{
	log_init("w", LOG_INFO, false);
	capture_start();
	errno = ENOENT;
	log_info("open: %m");
	int after = errno;
	const char *s = capture_end();
	assert_int_equal(after, ENOENT);
	assert_non_null(strstr(s, "open: No such file or directory\n"));
}

TEST_MAIN()
