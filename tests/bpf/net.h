/* SPDX-License-Identifier: BSD-2-Clause */
/* net.h - two hosts and a wire, inside this process.
 *
 *   namespace "client"                       namespace "edge"
 *   cli0 198.51.100.9, 2001:db8:1::9  ─veth─  edge0 192.0.2.1, 2001:db8::1
 *
 * The namespaces have no names, only descriptors, and the bpffs is mounted in a
 * mount namespace of our own: however a test ends, nothing is left. The process
 * stands in "edge"; a socket belongs to the namespace it was opened in. Include
 * test.h first: tests are NET_TESTs, which check() instead of asserting. */
#ifndef SLUICE_TESTS_BPF_NET_H
#define SLUICE_TESTS_BPF_NET_H

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "packet.h"

struct net {
	int edge, client; /* namespaces */
	char dir[64];     /* where a bpffs is, or can be, mounted */
	int wire;         /* AF_PACKET on cli0; -1 until net_send() */
};

static inline int net_sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline int net_sh(const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return system(line);
}

static inline void net_enter(int ns)
{
	assert(setns(ns, CLONE_NEWNET) == 0);
}

static inline int net_namespace(void)
{
	int fd;

	assert(unshare(CLONE_NEWNET) == 0);
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert(fd >= 0);
	assert(net_sh("ip link set lo up") == 0);
	return fd;
}

/* `mtu` of both ends. Call once per test process; see net_fork(). */
static inline void net_open(struct net *n, int mtu)
{
	n->wire = -1;
	assert(unshare(CLONE_NEWNS) == 0);
	assert(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	/* a tmpfs of our own hides the system's bpffs, and takes ours with it */
	snprintf(n->dir, sizeof(n->dir), "/tmp/sluice-test-%d", getpid());
	assert(mkdir(n->dir, 0700) == 0);
	assert(mount("none", n->dir, "tmpfs", 0, NULL) == 0);

	n->client = net_namespace();
	n->edge = net_namespace();
	assert(net_sh("ip link add edge0 address 02:00:00:00:00:01 mtu %d type veth "
		      "peer name cli0 address 02:00:00:00:00:02 mtu %d",
		      mtu, mtu) == 0);
	/* ip(8) takes a pid or a name for a namespace: a child that only stands there */
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		net_enter(n->client);
		pause();
		_exit(0);
	}
	for (int i = 0; net_sh("ip link set cli0 netns %d 2>/dev/null", pid) && i < 100; i++)
		usleep(10000);
	net_enter(n->client);
	while (net_sh("ip link show cli0 >/dev/null 2>&1")) { /* the child was not there yet */
		net_enter(n->edge);
		usleep(10000);
		assert(net_sh("ip link set cli0 netns %d", pid) == 0);
		net_enter(n->client);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* one process each: under an emulated CPU (tests/vm) starting one takes a third of a second */
	assert(net_sh("ip -batch - <<END\n"
		      "addr add 198.51.100.9/24 dev cli0\naddr add 2001:db8:1::9/64 dev cli0 nodad\n"
		      "link set cli0 up\nroute add 0.0.0.0/0 dev cli0\nroute add ::/0 dev cli0\nEND") ==
	       0);
	net_enter(n->edge);
	assert(net_sh("ip -batch - <<END\n"
		      "addr add 192.0.2.1/32 dev edge0\naddr add 2001:db8::1/64 dev edge0 nodad\n"
		      "link set edge0 up\nroute add 0.0.0.0/0 dev edge0\nroute add ::/0 dev edge0\nEND") ==
	       0);
}

/* Runs `body` in a process of its own, for the sake of its namespaces; true if
 * it came to its end without a failed assertion. */
static inline bool net_fork(void (*body)(struct net *n), int mtu)
{
	struct net n;
	char dir[64];
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		net_open(&n, mtu);
		body(&n);
		fflush(NULL);
		_exit(0);
	}
	assert(waitpid(pid, &status, 0) == pid);
	snprintf(dir, sizeof(dir), "/tmp/sluice-test-%d", pid);
	rmdir(dir); /* the mount on it went with the process */
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define check(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			fflush(NULL);                                                              \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* A test's body runs in a process of its own: there check() stands for the asserts. */
#define NET_TEST(group, name, mtu)                                                                 \
	static void body_##group##_##name(struct net *n);                                          \
	TEST(group, name)                                                                          \
	{                                                                                          \
		if (!run_may())                                                                    \
			test_skip("needs root for namespaces and BPF");                            \
		assert_true(net_fork(body_##group##_##name, mtu));                                 \
	}                                                                                          \
	static void body_##group##_##name(struct net *n)

/* Puts a frame on the wire, from the client's side. */
static inline void net_send(struct net *n, const char *text)
{
	static uint8_t frame[PACKET_MAX];
	size_t bytes = packet_make(text, frame);

	if (n->wire < 0) {
		struct sockaddr_ll at = {.sll_family = AF_PACKET};

		net_enter(n->client);
		n->wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		at.sll_ifindex = (int)if_nametoindex("cli0");
		assert(n->wire >= 0 && bind(n->wire, (struct sockaddr *)&at, sizeof(at)) == 0);
		net_enter(n->edge);
	}
	assert(send(n->wire, frame, bytes, 0) == (ssize_t)bytes);
}

/* ---- connections ---------------------------------------------------------------- */

struct pair {
	int listener, client, server;
};

static inline socklen_t net_addr(struct sockaddr_storage *sa, const char *ip, uint16_t port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sa;
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;

	memset(sa, 0, sizeof(*sa));
	sa->ss_family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	if (sa->ss_family == AF_INET6) {
		assert(inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1);
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	assert(inet_pton(AF_INET, ip, &v4->sin_addr) == 1);
	v4->sin_port = htons(port);
	return sizeof(*v4);
}

static inline int net_listen(const char *ip, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr(&sa, ip, port);
	int one = 1, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	assert(bind(fd, (struct sockaddr *)&sa, len) == 0);
	assert(listen(fd, 512) == 0);
	return fd;
}

/* For what must happen, be it refusal or success: an emulated CPU on a busy host takes its time, and a
 * segment lost to its full backlog comes again after a second. */
#define NET_PATIENCE_MS 20000

/* Connects within `ms`; -1 if it cannot. In the namespace that we stand in. */
static inline int net_connect(const char *ip, uint16_t port, int ms)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr(&sa, ip, port);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;
	socklen_t n = sizeof(err);
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	assert(fd >= 0);
	if (connect(fd, (struct sockaddr *)&sa, len) && errno != EINPROGRESS)
		err = errno;
	else if (poll(&p, 1, ms) != 1)
		err = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err) {
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static inline struct pair net_pair(struct net *n, const char *ip, uint16_t port)
{
	struct pair p;

	p.listener = net_listen(ip, port);
	net_enter(n->client);
	p.client = net_connect(ip, port, NET_PATIENCE_MS);
	net_enter(n->edge);
	assert(p.client >= 0);
	p.server = accept4(p.listener, NULL, NULL, SOCK_CLOEXEC);
	assert(p.server >= 0);
	return p;
}

static inline bool net_hears(int from, int to)
{
	struct pollfd p = {.fd = to, .events = POLLIN};
	char c = 'x';

	return send(from, &c, 1, MSG_NOSIGNAL) == 1 && poll(&p, 1, NET_PATIENCE_MS) == 1 &&
	       recv(to, &c, 1, 0) == 1;
}

static inline bool net_pair_lives(const struct pair *p)
{
	return net_hears(p->client, p->server) && net_hears(p->server, p->client);
}

/* One echo request; is there an answer? In the namespace that we stand in. */
static inline bool net_ping(const char *ip)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr(&sa, ip, 0);
	bool v6 = sa.ss_family == AF_INET6;
	uint8_t echo[8] = {v6 ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1}, in[256];
	int fd = socket(sa.ss_family, SOCK_RAW | SOCK_CLOEXEC, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool heard = false;

	assert(fd >= 0);
	store_be16(echo + 2, v6 ? 0 : packet_fold(packet_sum(0, echo, sizeof(echo))));
	assert(sendto(fd, echo, sizeof(echo), 0, (struct sockaddr *)&sa, len) == sizeof(echo));
	while (!heard && poll(&p, 1, NET_PATIENCE_MS) == 1) {
		ssize_t n = recv(fd, in, sizeof(in), 0);
		const uint8_t *icmp = v6 ? in : in + 20;

		heard = n >= (v6 ? 8 : 28) && icmp[0] == (v6 ? 129 : 0) && icmp[4] == 0x12;
	}
	close(fd);
	return heard;
}

static inline void net_pair_close(struct pair *p)
{
	close(p->client);
	close(p->server);
	close(p->listener);
}

/* Moves `bytes` from one end to the other; true if all arrive within a minute. */
static inline bool net_bulk(int from, int to, size_t bytes)
{
	static char block[1 << 20];
	size_t sent = 0, got = 0;

	fcntl(from, F_SETFL, O_NONBLOCK);
	fcntl(to, F_SETFL, O_NONBLOCK);
	while (got < bytes) {
		struct pollfd p[2] = {{.fd = to, .events = POLLIN},
				      {.fd = sent < bytes ? from : -1, .events = POLLOUT}};
		ssize_t n;

		if (poll(p, 2, 60000) <= 0)
			return false;
		if (p[1].revents) {
			n = send(from, block, MIN(sizeof(block), bytes - sent), MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
		}
		n = recv(to, block, sizeof(block), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		got += n > 0 ? (size_t)n : 0;
	}
	return true;
}

#endif
