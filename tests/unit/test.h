/* SPDX-License-Identifier: BSD-2-Clause */
/* test.h - a unit test is a sentence about behaviour:
 *
 *     #include "test.h"
 *     TEST(head, request_line_is_bounded) { assert_int_equal(...); }
 *     TEST_MAIN()
 *
 * TEST registers itself before main() runs, so there is no list to keep. The
 * program runs all its tests, or those whose "group/name" contains one of its
 * arguments; -l lists them. tests/run.py counts the line that cmocka prints for
 * each test. Assertions are cmocka's. What the machine lacks is said by
 * test_skip("needs root"), which ends the test. */
#ifndef SLUICE_TEST_H
#define SLUICE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEST_MAX 1024

static struct CMUnitTest test_list_[TEST_MAX];
static unsigned test_count_;

static inline void test_add_(const char *name, CMUnitTestFunction run)
{
	if (test_count_ == TEST_MAX) {
		fprintf(stderr, "more than %d tests in one file: split it\n", TEST_MAX);
		_Exit(2);
	}
	test_list_[test_count_++] = (struct CMUnitTest){.name = name, .test_func = run};
}

/* For a condition that does not speak for itself: say which case it was. */
#define assert_msg(cond, ...)                                                                      \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fail_msg(__VA_ARGS__);                                                     \
	} while (0)

#define test_skip(...)                                                                             \
	do {                                                                                       \
		print_message("skipped: " __VA_ARGS__);                                            \
		print_message("\n");                                                               \
		skip();                                                                            \
	} while (0)

#define TEST(group, name)                                                                          \
	static void test_##group##_##name(void **state);                                           \
	__attribute__((constructor)) static void test_add_##group##_##name(void)                   \
	{                                                                                          \
		test_add_(#group "/" #name, test_##group##_##name);                                \
	}                                                                                          \
	static void test_##group##_##name(void **state __attribute__((unused)))

static inline int test_main_(int argc, char **argv)
{
	unsigned kept = 0;
	if (argc > 1 && strcmp(argv[1], "-l") == 0) {
		for (unsigned i = 0; i < test_count_; i++)
			puts(test_list_[i].name);
		return 0;
	}
	for (unsigned i = 0; i < test_count_; i++) {
		bool wanted = argc == 1;
		for (int a = 1; a < argc; a++)
			wanted |= strstr(test_list_[i].name, argv[a]) != NULL;
		if (wanted)
			test_list_[kept++] = test_list_[i];
	}
	if (!kept) {
		fprintf(stderr, "no test of that name here; -l lists them\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0); /* a crash keeps what was said before it */
	return _cmocka_run_group_tests(argv[0], test_list_, kept, NULL, NULL) ? 1 : 0;
}

#define TEST_MAIN()                                                                                \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return test_main_(argc, argv);                                                     \
	}

#endif
