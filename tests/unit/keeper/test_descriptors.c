/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>

#include "child.h"
#include "keeper/descriptors.h"

static unsigned count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;
	while (d && readdir(d))
		n++;
	closedir(d);
	return n - 3; /* ".", ".." and the directory itself */
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int keep_some(void *ctx)
{
	int fd[40];
	for (int i = 0; i < 40; i++)
		CHECK((fd[i] = open("/dev/null", O_RDONLY)) >= 0);
	int high = fcntl(fd[0], F_DUPFD, 900);
	CHECK(high == 900);
	int keep[] = {high, fd[7], -1, 2, fd[8], fd[7], 0, fd[30], -1};
	CHECK(descriptors_close_except(keep, sizeof(keep) / sizeof(keep[0])) == 0);
	CHECK(is_open(0) && is_open(2) && is_open(fd[7]) && is_open(fd[8]) && is_open(fd[30]));
	CHECK(is_open(high));
	CHECK(count_open() == 6);
	return 0;
}

TEST(descriptors, those_of_the_list_stay_and_no_other)
{
	assert_int_equal(in_child(keep_some, NULL), 0);
}

static int keep_none(void *ctx)
{
	int none[] = {-1};
	CHECK(descriptors_close_except(none, 1) == 0);
	if (is_open(0) || is_open(1) || is_open(2))
		_exit(98);
	return 0;
}

TEST(descriptors, an_empty_list_closes_all)
{
	assert_int_equal(in_child(keep_none, NULL), 0);
}

TEST_MAIN()
