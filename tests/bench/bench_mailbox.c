/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_mailbox - messages from one process to another on the other core.
 *
 *   stream  one way as fast as it goes, turns of 32 messages (one kick at the most per turn)
 *   echo    there and back, both sleep in between: what a wake-up costs
 *
 * against a pipe and a socket pair in the same run: with one write per message, and for the stream
 * also with 32 messages in one write, which is the best that they can do. For each the time that
 * passed, and the CPU time of both processes together, which a busy machine disturbs less. */
#include "base/bytes.h"
#include "base/clock.h"
#include "worker/mailbox.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURN    32
#define WARM_UP 1000

static uint8_t buffer[TURN * 65536];

struct cost {
	double wall, cpu; /* ns per message */
};

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* one core only: still runs */
}

static double cpu_ns(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e9 +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e3;
}

/* The CPU time of this process and of its children that have ended. */
static double cpu_now(void)
{
	return cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN);
}

/* ---- the mailbox ----------------------------------------------------------------------- */

static struct mailbox_plan plan;
static struct mailbox_ends ends[2];
static size_t heard;

static void count(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	heard++;
}

static void wait_for_mail(struct mailbox *mb)
{
	struct pollfd p = {.fd = mailbox_event_fd(mb), .events = POLLIN};

	if (mailbox_sleep_begin(mb))
		return;
	if (poll(&p, 1, 1000) == 1)
		mailbox_woken(mb);
	mailbox_sleep_end(mb);
}

static void hear(struct mailbox *mb, size_t until)
{
	for (;;) {
		mailbox_drain(mb, count, NULL, 256 << 10);
		mailbox_flush(mb);
		mailbox_kick_all(mb);
		if (heard >= until)
			return;
		wait_for_mail(mb);
	}
}

static void tell(struct mailbox *mb, size_t size, size_t n)
{
	struct bytes b = BYTES(buffer, size);

	for (size_t i = 0; i < n; i++)
		mailbox_send(mb, 1 - mailbox_self(mb), 1, 0, &b, 1, MAILBOX_MUST);
	mailbox_flush(mb);
	mailbox_kick_all(mb);
	while (mailbox_congested(mb)) { /* as a worker does: stop reading from publishers */
		wait_for_mail(mb);
		mailbox_flush(mb);
	}
}

static struct mailbox *join(uint32_t self)
{
	static const uint32_t generation[2] = {1, 1};
	struct mailbox *mb = mailbox_attach(&plan, self, generation, ends, MAILBOX_QUEUE_BYTES);

	need(mb, "attach");
	pin((int)self);
	heard = 0;
	return mb;
}

static struct cost mailbox_run(bool echo, size_t size, size_t n)
{
	struct cost c;
	double cpu = cpu_now();

	for (int k = 0; k < 2; k++)
		need(mailbox_ends_open(&plan, &ends[k]) == 0, "ends");
	pid_t pid = fork();
	if (pid == 0) {
		struct mailbox *mb = join(1);
		for (size_t i = 1; echo && i <= n + WARM_UP; i++) {
			hear(mb, i);
			tell(mb, size, 1);
		}
		if (!echo) {
			hear(mb, n + WARM_UP);
			tell(mb, 8, 1);
		}
		_exit(0);
	}
	struct mailbox *mb = join(0);
	uint64_t t0 = 0;
	if (echo) {
		for (size_t i = 1; i <= n + WARM_UP; i++) {
			if (i == WARM_UP + 1)
				t0 = clock_mono_ns();
			tell(mb, size, 1);
			hear(mb, i);
		}
	} else {
		tell(mb, size, WARM_UP);
		t0 = clock_mono_ns();
		for (size_t sent = 0; sent < n; sent += TURN)
			tell(mb, size, MIN(TURN, n - sent));
		hear(mb, 1);
	}
	c.wall = (double)(clock_mono_ns() - t0) / (double)n;
	mailbox_detach(mb);
	waitpid(pid, NULL, 0);
	c.cpu = (cpu_now() - cpu) / (double)(n + WARM_UP);
	for (int k = 0; k < 2; k++)
		mailbox_ends_close(&ends[k]);
	return c;
}

/* ---- pipes and sockets ------------------------------------------------------------------ */

static void put(int fd, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, buffer + done, n - done);
		need(w > 0, "write");
		done += (size_t)w;
	}
}

static void take(int fd, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(fd, buffer, MIN(n - done, sizeof(buffer)));
		need(r > 0, "read");
		done += (size_t)r;
	}
}

/* As an event loop does it: it waits for all its descriptors at once, then reads. */
static void wait_and_take(int fd, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	need(poll(&p, 1, -1) == 1, "poll");
	take(fd, n);
}

/* Streaming, reading is never paid per message: the reader takes all there is. */
static struct cost descriptor_run(bool socket, bool echo, size_t size, size_t n, size_t turn)
{
	struct cost c;
	double cpu = cpu_now();
	int there[2], back[2];

	if (socket) {
		int pair[2];
		need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
		there[1] = back[0] = pair[0];
		there[0] = back[1] = pair[1];
	} else {
		need(pipe(there) == 0 && pipe(back) == 0, "pipe");
	}
	pid_t pid = fork();
	if (pid == 0) {
		pin(1);
		for (size_t i = 0; echo && i < n; i++) {
			wait_and_take(there[0], size);
			put(back[1], size);
		}
		if (!echo) {
			take(there[0], n * size);
			put(back[1], 1);
		}
		_exit(0);
	}
	pin(0);
	uint64_t t0 = clock_mono_ns();
	for (size_t i = 0; i < n; i += echo ? 1 : turn) {
		put(there[1], size * (echo ? 1 : MIN(turn, n - i)));
		if (echo)
			wait_and_take(back[0], size);
	}
	if (!echo)
		take(back[0], 1);
	c.wall = (double)(clock_mono_ns() - t0) / (double)n;
	waitpid(pid, NULL, 0);
	c.cpu = (cpu_now() - cpu) / (double)n;
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		if (!socket)
			close(back[i]);
	}
	return c;
}

static void show(struct cost c)
{
	printf(" %9.0f/%-7.0f", c.wall, c.cpu);
}

int main(void)
{
	static const size_t sizes[] = {64, 512, 4096, 65536};

	need(mailbox_plan(&plan, 2, MAILBOX_BUDGET_BYTES, MAILBOX_ARENA_BYTES) == 0, "plan");
	printf("ns per message, time/CPU   bytes  mailbox           pipe              socket"
	       "            pipe, %d at once  socket, %d at once\n",
	       TURN, TURN);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t s = sizes[i], n = s > 4096 ? 10000 : s > 512 ? 200000 : 1000000;
		printf("one way, streaming        %6zu", s);
		show(mailbox_run(false, s, n));
		show(descriptor_run(false, false, s, n, 1));
		show(descriptor_run(true, false, s, n, 1));
		show(descriptor_run(false, false, s, n, TURN));
		show(descriptor_run(true, false, s, n, TURN));
		printf("\n");
	}
	printf("there and back, sleeping  %6d", 64);
	show(mailbox_run(true, 64, 20000));
	show(descriptor_run(false, true, 64, 20000, 1));
	show(descriptor_run(true, true, 64, 20000, 1));
	printf("\n");
	return 0;
}
