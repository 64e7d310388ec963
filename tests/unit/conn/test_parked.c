/* SPDX-License-Identifier: BSD-2-Clause */
/* test_parked.c - a conn whose descriptor is elsewhere (DESIGN.md 10): conn_fd() answers -1, and
 * whoever asks has an answer for that. Nothing parks conns yet; this keeps the seam open.
 *
 * A whole worker but for its loop and its peers; the conn is one end of a socket pair whose
 * descriptor is taken away and given back. */
#include "test.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "conn/io.h"
#include "conn/list.h"
#include "fanout/backlog.h"
#include "fanout/batch.h"
#include "fanout/fanout.h"
#include "worker/worker.h"
#include "ws/serve.h"

#define SLOTS 64

static struct worker w;
static struct config cfg;
static struct config_endpoint endpoint;
static struct config_listener listener;
static struct conn *c;
static int near_fd, far_fd;

static void setup(void)
{
	int pair[2];
	struct sockaddr_storage peer = {.ss_family = AF_INET};
	int fd = memfd_create("slab", MFD_CLOEXEC);

	memset(&w, 0, sizeof(w));
	endpoint = (struct config_endpoint){.max_message_bytes = 4096, .heartbeat_ms = 25000};
	cfg = (struct config){.endpoints = &endpoint, .n_endpoints = 1, .listeners = &listener};
	cfg.n_listeners = 1;
	cfg.memory.connection_queue_bytes = 64 << 10;
	cfg.memory.queue_bytes = 1 << 20;
	w.cfg = &cfg;
	w.now_ns = clock_mono_ns();
	w.tick = 1;
	assert_int_equal(ftruncate(fd, (off_t)conn_slab_bytes(SLOTS)), 0);
	assert_int_equal(conn_slab_init(&w.slab, fd, SLOTS, 1), 0);
	close(fd);
	wheel_init(&w.wheel, w.slab.conns, sizeof(struct conn), offsetof(struct conn, timer), SLOTS,
		   w.tick);
	w.set_fd = epoll_create1(EPOLL_CLOEXEC);
	w.pool = pool_new(1 << 20);
	w.tails = pool_new(1 << 20);
	w.partials = conn_list_new(SLOTS);
	w.waiting = conn_list_new(SLOTS);
	w.fanout = fanout_new(&w);
	w.batch = batch_new(&w);
	w.backlogs = backlogs_new(&w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	near_fd = pair[0];
	far_fd = pair[1];
	c = conn_open(&w, near_fd, 0, (const struct sockaddr *)&peer);
	assert_non_null(c);
	c->state = CONN_OPEN;
}

/* Sets it back whether or not the conn lives; returns what the far end has heard. */
static size_t teardown(char *heard, size_t cap)
{
	ssize_t n = recv(far_fd, heard, cap, MSG_DONTWAIT);
	close(far_fd);
	close(w.set_fd);
	batch_free(w.batch);
	backlogs_free(w.backlogs);
	fanout_free(w.fanout);
	conn_list_free(w.partials);
	conn_list_free(w.waiting);
	pool_free(w.tails);
	pool_free(w.pool);
	conn_slab_fini(&w.slab);
	return n > 0 ? (size_t)n : 0;
}

static void park(void)
{
	c->_fd = -1;
}

static void say(const char *text)
{
	batch_bytes(&w, c, bytes_str(text));
	batch_flush(&w);
}

TEST(parked, what_is_sent_waits_and_leaves_in_order_when_the_descriptor_is_back)
{
	char heard[64];

	setup();
	say("one");
	park();
	say("two");
	conn_writable(&w, c); /* nothing to write to */
	say("three");
	assert_int_equal(conn_queued(&w, c), 8);
	c->_fd = near_fd;
	conn_writable(&w, c);
	assert_int_equal(conn_queued(&w, c), 0);
	say("four");
	conn_end(&w, c, CLOSE_NORMAL);
	assert_int_equal(teardown(heard, sizeof(heard)), 15);
	assert_memory_equal(heard, "onetwothreefour", 15);
}

TEST(parked, reading_and_watching_do_nothing)
{
	char heard[64];

	setup();
	park();
	assert_int_equal(send(far_fd, "x", 1, 0), 1);
	conn_readable(&w, c);
	conn_watch(&w, c);
	assert_int_equal(c->state, CONN_OPEN);
	assert_int_equal(w.stats.bytes_in, 0);
	c->_fd = near_fd;
	conn_end(&w, c, CLOSE_NORMAL);
	teardown(heard, sizeof(heard));
}

TEST(parked, it_can_end_and_its_slot_is_freed)
{
	char heard[64];

	setup();
	park();
	say("never heard");
	conn_end(&w, c, CLOSE_DEAD_PEER);
	assert_int_equal(c->state, CONN_HELD);
	assert_int_equal(w.stats.closed[CLOSE_DEAD_PEER], 1);
	assert_int_equal(w.slab.live, 0);
	close(near_fd);
	assert_int_equal(teardown(heard, sizeof(heard)), 0);
}

TEST(parked, a_goodbye_waits_for_the_descriptor)
{
	char heard[64];

	setup();
	park();
	conn_close(&w, c, CLOSE_ADMIN);
	batch_flush(&w);
	assert_int_equal(c->state, CONN_CLOSING);
	assert_true(conn_queued(&w, c) > 4);
	c->_fd = near_fd;
	conn_writable(&w, c);
	conn_end(&w, c, CLOSE_NORMAL);
	assert_int_equal(w.stats.closed[CLOSE_ADMIN], 1); /* the first reason is the true one */
	assert_true(teardown(heard, sizeof(heard)) > 4);
	assert_int_equal((uint8_t)heard[0], 0x88);
	assert_int_equal((uint8_t)heard[2] << 8 | (uint8_t)heard[3], 4000);
}

TEST(parked, a_queue_beyond_its_bound_says_slow_consumer)
{
	static char much[8192];
	char heard[64];

	setup();
	park();
	memset(much, 'x', sizeof(much) - 1);
	for (int i = 0; i < 20 && c->state == CONN_OPEN; i++)
		say(much);
	assert_int_equal(c->state, CONN_CLOSING);
	assert_int_equal(c->close_reason, CLOSE_SLOW_CONSUMER);
	assert_true(conn_queued(&w, c) < 100 << 10);
	conn_end(&w, c, CLOSE_NORMAL);
	close(near_fd);
	assert_int_equal(teardown(heard, sizeof(heard)), 0);
}

TEST_MAIN()
