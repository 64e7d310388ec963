/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_floor - what a delivery cannot cost less than: a bare loop that seals one record for each subscriber, with
 * his own key set up as we do it, and hands it to his socket.
 *
 *   this process, core 0: key i ─► seal ─► socket i      crowd, core 1: reads, opens the record, forgets
 *
 *     bench_floor [-n SUBSCRIBERS] [-s BYTES] [-m MESSAGES] [-j]      10000, 128, 20; -j: JSON, for fanout.py
 *
 * CPU of this process alone, by getrusage, by deliveries, from the first message to the last: the timers of TCP that fall
 * due meanwhile are counted, as they are in a server. Over loopback the receiver's share of TCP is done inside
 * the sender's system call, as it is in what this is compared with. The next message leaves when
 * the crowd has read the one before. Lines are taken in turn, and each is the median of its rounds. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "tls/record.h"

#define FRAME_MAX  4096u
#define DEPTH      1024u /* of the rings, as in conn/ring.h */
#define PER_SOURCE 5000u
#define ROUNDS     5

static unsigned n_conns = 10000, messages = 20, frame = 128;
static int *fds;
static struct tls_key *keys;
static uint8_t content[8 * FRAME_MAX];
static uint8_t (*out)[8 * FRAME_MAX + TLS_SEAL_EXTRA];
static volatile uint64_t *heard; /* bytes, by the crowd */
static uint64_t sent;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pin(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* ── the crowd ── */

/* Takes apart what came, as those do who hear a server: record by record. They come whole, since each leaves in one
 * write. */
static void open_all(unsigned who, uint8_t *at, size_t n)
{
	while (n >= TLS_HEAD) {
		enum tls_type type;
		struct bytes text;
		size_t whole = TLS_HEAD + ((size_t)at[3] << 8 | at[4]);
		if (n < whole || tls_record_open(TLS_SUITE_AES_128_GCM, &keys[who], at, whole,
						 &type, &text) != TLS_NO_ALERT)
			die("a record that is none");
		at += whole;
		n -= whole;
	}
}

static void crowd(const struct sockaddr_in *to)
{
	static uint8_t buf[65536];
	struct epoll_event events[512];
	int ep = epoll_create1(0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	for (unsigned i = 0; i < n_conns; i++) {
		struct sockaddr_in from = {.sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(0x7f000002 + i / PER_SOURCE)};
		int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
		    connect(fd, (const struct sockaddr *)to, sizeof(*to)))
			die("connect");
		struct epoll_event e = {.events = EPOLLIN,
					.data.u64 = (uint64_t)i << 32 | (unsigned)fd};
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	}
	for (;;) {
		int n = epoll_wait(ep, events, 512, -1);
		for (int i = 0; i < n; i++) {
			int fd = (int)(uint32_t)events[i].data.u64;
			ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
			if (got == 0)
				_exit(0);
			if (got < 0)
				continue;
			open_all((unsigned)(events[i].data.u64 >> 32), buf, (size_t)got);
			*heard += (uint64_t)got;
		}
	}
}

static void accept_all(int listener)
{
	for (unsigned i = 0; i < n_conns; i++) {
		int one = 1;
		fds[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fds[i] < 0)
			die("accept");
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

/* ── ways to send ── */

static size_t seal(unsigned i, uint8_t *to, size_t n)
{
	if (!tls_record_seal(TLS_SUITE_AES_128_GCM, &keys[i], TLS_DATA, content, n, to))
		abort();
	return n + TLS_SEAL_EXTRA;
}

static void by_nothing(unsigned at, size_t n)
{
	struct tls_key k = keys[at]; /* the crowd counts what it hears */
	seal(at, out[0], n);
	keys[at] = k;
}

static void by_send(unsigned at, size_t n)
{
	size_t bytes = seal(at, out[0], n);
	if (send(fds[at], out[0], bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes)
		die("send");
	sent += bytes;
}

static void by_sendmsg(unsigned at, size_t n)
{
	size_t bytes = seal(at, out[0], n);
	struct iovec v = {out[0], bytes};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	if (sendmsg(fds[at], &m, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes)
		die("sendmsg");
	sent += bytes;
}

static struct io_uring ring;
static unsigned queued;
static bool fixed_files, fixed_buffers;

/* Who succeeds says nothing. */
static void ring_flush(void)
{
	struct io_uring_cqe *cqe;
	int n = io_uring_submit_and_get_events(&ring);
	if (n != (int)queued)
		die("io_uring_submit");
	while (io_uring_peek_cqe(&ring, &cqe) == 0) {
		fprintf(stderr, "io_uring: %s\n", strerror(-cqe->res));
		exit(1);
	}
	queued = 0;
}

static void by_ring(unsigned at, size_t n)
{
	uint8_t *to = out[queued];
	size_t bytes = seal(at, to, n);
	struct io_uring_sqe *e = io_uring_get_sqe(&ring);
	int fd = fixed_files ? (int)at : fds[at];
	if (fixed_buffers)
		io_uring_prep_write_fixed(e, fd, to, (unsigned)bytes, 0, 0);
	else
		io_uring_prep_send(e, fd, to, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	e->flags |= (uint8_t)(IOSQE_CQE_SKIP_SUCCESS | (fixed_files ? IOSQE_FIXED_FILE : 0));
	sent += bytes;
	if (++queued == DEPTH)
		ring_flush();
}

static void ring_open(bool files, bool buffers)
{
	struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER |
					     IORING_SETUP_DEFER_TASKRUN};
	struct iovec all = {out, DEPTH * sizeof(*out)};
	if (io_uring_queue_init_params(DEPTH, &ring, &p))
		die("io_uring");
	if (files && io_uring_register_files(&ring, fds, n_conns))
		die("io_uring_register_files");
	if (buffers && io_uring_register_buffers(&ring, &all, 1))
		die("io_uring_register_buffers");
	fixed_files = files;
	fixed_buffers = buffers;
}

/* ── rounds ── */

static double cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void wait_for_crowd(void)
{
	while (*heard < sent)
		usleep(200);
}

struct way {
	const char *name, *key;
	void (*one)(unsigned at, size_t n);
	bool ring, files, buffers;
	unsigned frames; /* in one record */
	double us[ROUNDS];
};

static void round_of(struct way *w, unsigned r)
{
	size_t n = w->frames * frame;
	if (w->ring)
		ring_open(w->files, w->buffers);
	double began = cpu_us();
	for (unsigned m = 0; m < messages; m++) {
		for (unsigned i = 0; i < n_conns; i++)
			w->one(i, n);
		if (queued)
			ring_flush();
		wait_for_crowd();
	}
	w->us[r] = (cpu_us() - began) / ((double)messages * n_conns * w->frames);
	if (w->ring)
		io_uring_queue_exit(&ring);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(struct way *w)
{
	qsort(w->us, ROUNDS, sizeof(w->us[0]), by_size);
	return w->us[ROUNDS / 2];
}

static unsigned number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);
	if (*end || n < 1 || n > 1000000) {
		fprintf(stderr, "%s: not a number from 1 to a million\n", text);
		exit(2);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static struct way ways[] = {
		{"seal alone", "seal_us", by_nothing, .frames = 1},
		{"seal and send", "send_us", by_send, .frames = 1},
		{"seal and sendmsg", "sendmsg_us", by_sendmsg, .frames = 1},
		{"io_uring send", "uring_us", by_ring, .ring = true, .frames = 1},
		{"io_uring send, registered files", "uring_files_us", by_ring, .ring = true,
		 .files = true, .frames = 1},
		{"io_uring write, registered files and buffers", "uring_fixed_us", by_ring,
		 .ring = true, .files = true, .buffers = true, .frames = 1},
		{"seal and send, 8 frames a record", "send_8_us", by_send, .frames = 8},
		{"io_uring send, 8 frames a record", "uring_8_us", by_ring, .ring = true,
		 .frames = 8},
	};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	bool json = false;
	unsigned payload = 128;
	for (int c; (c = getopt(argc, argv, "n:s:m:j")) != -1;)
		switch (c) {
		case 'n': n_conns = number(optarg); break;
		case 's': payload = number(optarg); break;
		case 'm': messages = number(optarg); break;
		case 'j': json = true; break;
		default: return 2;
		}
	frame = payload + (payload < 126 ? 2 : 4); /* the header of a WebSocket frame */
	if (optind < argc || frame > FRAME_MAX)
		return 2;
	struct rlimit most;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	fds = calloc(n_conns, sizeof(*fds));
	keys = calloc(n_conns, sizeof(*keys));
	out = mmap(NULL, DEPTH * sizeof(*out), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	heard = mmap(NULL, sizeof(*heard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	random_bytes(keys, n_conns * sizeof(*keys));
	for (unsigned i = 0; i < n_conns; i++)
		keys[i].seq = 0;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(listener, 4096) || getsockname(listener, (struct sockaddr *)&at, &len))
		die("listen");
	pid_t pid = fork();
	if (pid == 0) {
		close(listener);
		crowd(&at);
	}
	pin(0);
	accept_all(listener);
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
			round_of(&ways[i], r);
	if (json)
		putchar('{');
	else
		printf("%u subscribers, %u bytes: CPU us per delivery\n", n_conns, payload);
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
		if (json)
			printf("%s\"%s\":%.3f", i ? "," : "", ways[i].key, median(&ways[i]));
		else
			printf("  %-52s %6.2f  %.2f\n", ways[i].name, median(&ways[i]),
			       median(&ways[i]) / median(&ways[1]));
	if (json)
		puts("}");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
