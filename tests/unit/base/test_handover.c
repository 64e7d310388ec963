/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors over sockets, and memory that nobody changes any more. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/handover.h"

static int pair[2];

static void open_pair(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

TEST(handover, bytes_come_with_the_descriptor_that_went_along)
{
	char buf[16];
	int fd = handover_memfd("x", "some text", 9), got;

	assert_true(fd >= 0);
	open_pair();
	assert_int_equal(handover_send(pair[0], "hello", 5, fd), 5);
	close(fd);
	assert_int_equal(handover_recv(pair[1], buf, sizeof(buf), &got), 5);
	assert_true(got >= 0);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(handover_sealed(got, 9), 9);
	assert_int_equal(handover_read(got, buf, 9), 0);
	assert_memory_equal(buf, "some text", 9);
	assert_int_equal(handover_read(got, buf, 10), -EIO);
	close(got);
	close_pair();
}

TEST(handover, bytes_alone_come_alone_and_nobody_waits)
{
	char buf[16];
	int got = 7;

	open_pair();
	assert_int_equal(handover_recv(pair[1], buf, sizeof(buf), &got), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(got, -1);
	assert_int_equal(handover_send(pair[0], "hello", 5, -1), 5);
	assert_int_equal(handover_recv(pair[1], buf, sizeof(buf), &got), 5);
	assert_int_equal(got, -1);
	close_pair();
}

TEST(handover, of_two_descriptors_none_is_left_behind_unseen)
{
	char buf[16], room[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec part = {(void *)"hello", 5};
	struct msghdr m = {.msg_iov = &part,
			   .msg_iovlen = 1,
			   .msg_control = room,
			   .msg_controllen = sizeof(room)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int two[2], probe, got;

	open_pair();
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(two));
	two[0] = two[1] = STDERR_FILENO;
	memcpy(CMSG_DATA(h), two, sizeof(two));
	assert_int_equal(sendmsg(pair[0], &m, 0), 5);
	probe = dup(STDERR_FILENO);
	close(probe);
	assert_int_equal(handover_recv(pair[1], buf, sizeof(buf), &got), 5);
	if (got >= 0)
		close(got);
	two[0] = dup(STDERR_FILENO);
	assert_int_equal(two[0], probe); /* the lowest free number is what it was */
	close(two[0]);
	close_pair();
}

TEST(handover, what_can_still_change_is_not_taken)
{
	int plain = memfd_create("x", MFD_CLOEXEC), half = memfd_create("x", MFD_ALLOW_SEALING);
	int sealed = handover_memfd("x", "abc", 3), null = open("/dev/null", O_RDWR);

	assert_int_equal(handover_sealed(plain, 100), -EINVAL);
	assert_int_equal(fcntl(half, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(handover_sealed(half, 100), -EINVAL);
	assert_int_equal(handover_sealed(null, 100), -EINVAL);
	assert_int_equal(handover_sealed(-1, 100), -EINVAL);
	assert_int_equal(handover_sealed(sealed, 2), -EFBIG);
	assert_int_equal(handover_sealed(sealed, 3), 3);
	assert_int_equal(write(sealed, "x", 1), -1);
	close(plain);
	close(half);
	close(sealed);
	close(null);
}

TEST_MAIN()
