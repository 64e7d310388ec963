/* SPDX-License-Identifier: BSD-2-Clause */
/* Accept with few slots, few descriptors, and a keeper that is to know of it. */
#include "test.h"

#include <sys/resource.h>

#include "../conn/little.h"
#include "keeper/channel.h"

#define SLOTS    16
#define SETTINGS LITTLE_ECHO LITTLE_LISTENERS

static int dial(void)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (getsockname(little.listener_fds[LITTLE_PLAIN], (struct sockaddr *)&to, &len) != 0 ||
	    connect(fd, (struct sockaddr *)&to, len) != 0)
		little_die("dial");
	return fd;
}

static uint32_t live(void)
{
	return little.w->slab.live;
}

/* Turns in which the tick's event, which is the real clock's, is sure to have come. */
static void tick(void)
{
	listener_tick(little.w);
	little_settle();
}

/* What the keeper was told last: 0, 1, or -1 for nothing new. */
static int told(void)
{
	struct keeper_msg m;
	int last = -1;
	while (recv(little.keeper, &m, sizeof(m), MSG_DONTWAIT) > 0)
		if (m.kind == KEEPER_FULL)
			last = (int)m.value;
	return last;
}

static bool served(int fd)
{
	char buf[64] = "";
	static const char ask[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
	if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0)
		return false;
	for (int i = 0; i < 50; i++) {
		little_turn();
		if (recv(fd, buf, 12, MSG_DONTWAIT) > 0)
			break;
		usleep(1000);
	}
	return strncmp(buf, "HTTP/1.1 200", 12) == 0;
}

TEST(listener, who_finds_no_slot_waits_in_the_queue)
{
	int fd[SLOTS + 3];
	little_open_sized(SETTINGS, SLOTS);
	for (unsigned i = 0; i < SLOTS + 3; i++)
		fd[i] = dial();
	little_settle();
	assert_int_equal(live(), SLOTS);
	assert_int_equal(little.w->stats.refused, 0);
	assert_false(served(fd[SLOTS]));
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
	little_settle();
	tick();
	assert_int_equal(live(), SLOTS);
	for (unsigned i = SLOTS; i < SLOTS + 3; i++)
		assert_true(served(fd[i]));
	for (unsigned i = 3; i < SLOTS + 3; i++)
		close(fd[i]);
	little_settle();
	little_close();
}

/* A slot that a fan-out may still name is as good as taken. */
TEST(listener, slots_that_are_held_back_are_no_room)
{
	int fd[SLOTS + 1];
	little_open_sized(SETTINGS, SLOTS);
	for (unsigned i = 0; i < SLOTS + 1; i++)
		fd[i] = dial();
	little_settle();
	assert_int_equal(live(), SLOTS);
	conn_end(little.w, conn_at(&little.w->slab, 3), CLOSE_ADMIN);
	listener_tick(little.w);
	turn(little.w, true); /* without work(), which would give the slot back */
	assert_int_equal(little.w->stats.refused, 0);
	assert_int_equal(live(), SLOTS - 1);
	little_settle();
	tick();
	assert_int_equal(live(), SLOTS);
	assert_true(served(fd[SLOTS]));
	for (unsigned i = 0; i < SLOTS + 1; i++)
		close(fd[i]);
	little_settle();
	little_close();
}

TEST(listener, without_descriptors_newcomers_wait)
{
	struct rlimit was, few;
	little_open_sized(SETTINGS, SLOTS);
	int a = dial(), b = dial();
	if (getrlimit(RLIMIT_NOFILE, &was) != 0)
		little_die("rlimit");
	few = was;
	few.rlim_cur = (rlim_t)b + 1; /* the next would be the first beyond */
	setrlimit(RLIMIT_NOFILE, &few);
	little_settle();
	tick();
	assert_int_equal(live(), 0);
	assert_true(listener_full(little.w));
	setrlimit(RLIMIT_NOFILE, &was);
	tick();
	assert_int_equal(live(), 2);
	assert_false(listener_full(little.w));
	assert_true(served(a) && served(b));
	close(a);
	close(b);
	little_settle();
	little_close();
}

TEST(listener, the_keeper_hears_when_it_is_full_and_when_there_is_room)
{
	int fd[SLOTS];
	little_open_sized(SETTINGS, SLOTS);
	assert_int_equal(told(), -1);
	for (unsigned i = 0; i < SLOTS; i++) {
		fd[i] = dial();
		little_settle();
		if (i < SLOTS / 2)
			assert_int_equal(told(), -1);
	}
	assert_int_equal(told(), 1);
	for (unsigned i = 0; i < SLOTS; i++)
		close(fd[i]);
	little_settle();
	tick();
	assert_int_equal(told(), 0);
	little_close();
}

/* Its channel may be full just then: it is told later, and the last word is true. */
TEST(listener, the_keeper_hears_of_it_even_if_it_was_busy)
{
	int fd[SLOTS];
	little_open_sized(SETTINGS, SLOTS);
	struct keeper_msg junk = {.kind = KEEPER_READY};
	while (send(little.w->_keeper_fd, &junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	for (unsigned i = 0; i < SLOTS; i++)
		fd[i] = dial();
	little_settle();
	assert_int_equal(told(), -1);
	tick();
	assert_int_equal(told(), 1);
	while (send(little.w->_keeper_fd, &junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	for (unsigned i = 0; i < SLOTS; i++)
		close(fd[i]);
	little_settle();
	assert_int_equal(told(), -1);
	tick();
	assert_int_equal(told(), 0);
	little_close();
}

TEST_MAIN()
