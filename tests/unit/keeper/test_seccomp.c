/* SPDX-License-Identifier: BSD-2-Clause */
/* Each call runs in a child of its own, behind the filter: it lives, it gets an errno, or it dies. */
#include "test.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

#include "child.h"
#include "keeper/seccomp.h"

static int listening; /* made before the filter */

static void confine(void)
{
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(seccomp_confine() == 0);
}

struct forbidden {
	const char *name;
	void (*call)(void);
	bool in_wide; /* forbidden in a sanitizer's build as well */
};

static void call_execve(void)
{
	char *const none[] = {NULL};
	execve("/bin/true", none, none);
}
static void call_fork(void)
{
	if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0)
		_exit(0);
}
/* clang-format off */
static void call_ptrace(void) { ptrace(PTRACE_TRACEME, 0, 0, 0); }
static void call_socket(void) { socket(AF_INET, SOCK_STREAM, 0); }
static void call_bind(void) { bind(listening, NULL, 0); }
static void call_connect(void) { connect(listening, NULL, 0); }
static void call_listen(void) { listen(listening, 1); }
static void call_bpf(void) { syscall(SYS_bpf, 0, NULL, 0); }
static void call_kill(void) { kill(getppid(), 0); }
static void call_tgkill(void) { syscall(SYS_tgkill, getppid(), getppid(), 0); }
static void call_mount(void) { syscall(SYS_mount, NULL, NULL, NULL, 0, NULL); }
static void call_unlink(void) { unlinkat(AT_FDCWD, "/nowhere", 0); }
static void call_io_uring(void) { syscall(SYS_io_uring_setup, 1, NULL); }
static void call_unshare(void) { syscall(SYS_unshare, 0); }
static void call_setuid(void) { syscall(SYS_setuid, 0); }
static void call_memfd(void) { syscall(SYS_memfd_create, "x", 0); }
static void call_userfaultfd(void) { syscall(SYS_userfaultfd, 0); }
static void call_process_vm(void) { syscall(SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0); }
/* clang-format on */
static void call_mmap_exec(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void *page; /* made before the filter */
static void call_mprotect_exec(void)
{
	mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static void call_reuseport_program(void)
{
	setsockopt(listening, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, NULL, 0);
}
static void call_reuseport_detach(void)
{
	setsockopt(listening, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, NULL, 0);
}
static void call_fcntl_owner(void)
{
	fcntl(listening, F_SETOWN, getppid());
}
static void call_x32(void)
{
	syscall(0x40000000 | 39);
}

static const struct forbidden forbidden[] = {
	{"execve", call_execve, false},
	{"fork", call_fork, false},
	{"ptrace", call_ptrace, false},
	{"socket", call_socket, true},
	{"bind", call_bind, true},
	{"connect", call_connect, true},
	{"listen", call_listen, true},
	{"bpf", call_bpf, true},
	{"kill", call_kill, false},
	{"tgkill of another process", call_tgkill, false},
	{"mount", call_mount, true},
	{"unlinkat", call_unlink, true},
	{"io_uring_setup", call_io_uring, true},
	{"unshare", call_unshare, true},
	{"setuid", call_setuid, false},
	{"memfd_create", call_memfd, false},
	{"userfaultfd", call_userfaultfd, true},
	{"process_vm_writev", call_process_vm, true},
	{"mmap of code", call_mmap_exec, false},
	{"mprotect to code", call_mprotect_exec, false},
	{"a reuseport program", call_reuseport_program, false},
	{"removing the reuseport program", call_reuseport_detach, false},
	{"fcntl of an owner", call_fcntl_owner, false},
#ifdef __x86_64__
	{"an x32 number", call_x32, true},
#endif
};

static int run_forbidden(void *ctx)
{
	const struct forbidden *f = ctx;
	confine();
	f->call();
	return 7; /* still alive */
}

TEST(seccomp, what_a_worker_never_does_ends_it)
{
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	listening = socket(AF_INET, SOCK_STREAM, 0);
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		if (seccomp_is_wide() && !forbidden[i].in_wide)
			continue;
		int st = in_child(run_forbidden, (void *)&forbidden[i]);
		assert_msg(WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS, "%s: status %#x",
			   forbidden[i].name, st);
	}
	munmap(page, 4096);
	close(listening);
}

static int try_files(void *ctx)
{
	struct stat st;
	struct statx sx;
	char buf[64];
	confine();
	CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	CHECK(open("/tmp/x", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	CHECK(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", NULL, 0) < 0 && errno == EACCES);
	CHECK(access("/", R_OK) < 0 && errno == EACCES);
	CHECK(stat("/", &st) < 0 && errno == EACCES);
	CHECK(statx(AT_FDCWD, "/", 0, 0, &sx) < 0 && errno == EACCES);
	CHECK(readlink("/proc/self/exe", buf, sizeof(buf)) < 0 && errno == EACCES);
	CHECK(prctl(PR_SET_DUMPABLE, 1) < 0 && errno == EPERM);
	CHECK(setrlimit(RLIMIT_CORE, &(struct rlimit){1, 1}) < 0 && errno == EPERM);
	CHECK(!isatty(0));
	return 0;
}

TEST(seccomp, files_are_out_of_reach_and_trying_is_no_death)
{
	if (seccomp_is_wide())
		skip();
	assert_int_equal(in_child(try_files, NULL), 0);
}

/* What a turn of a worker does, and what its libraries do around it. */
static int do_the_work(void *ctx)
{
	int pair[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	int lis = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(lis >= 0 && listen(lis, 5) == 0);
	confine();

	int ep = epoll_create1(EPOLL_CLOEXEC), ev = eventfd(0, EFD_NONBLOCK);
	int tm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), p[2];
	CHECK(ep >= 0 && ev >= 0 && tm >= 0 && pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	struct itimerspec its = {.it_value = {.tv_nsec = 1000}};
	CHECK(timerfd_settime(tm, 0, &its, NULL) == 0);
	struct epoll_event e = {.events = EPOLLIN};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, pair[1], &e) == 0);

	char buf[64];
	struct iovec iov[2] = {{"one", 3}, {"two", 3}};
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = 2};
	CHECK(send(pair[0], "x", 1, MSG_NOSIGNAL) == 1 && write(pair[0], "y", 1) == 1);
	CHECK(writev(pair[0], iov, 2) == 6 && sendmsg(pair[0], &mh, MSG_NOSIGNAL) == 6);
	CHECK(epoll_wait(ep, &e, 1, 100) == 1);
	CHECK(recv(pair[1], buf, sizeof(buf), 0) == 14);
	CHECK(recv(pair[1], buf, sizeof(buf), MSG_DONTWAIT) < 0 && errno == EAGAIN);
	struct pollfd pf = {.fd = pair[1], .events = POLLIN};
	CHECK(poll(&pf, 1, 0) == 0);

	int one = 1;
	socklen_t len = sizeof(one);
	CHECK(accept4(lis, NULL, NULL, SOCK_NONBLOCK) < 0 && errno == EAGAIN);
	CHECK(setsockopt(lis, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	CHECK(setsockopt(lis, SOL_SOCKET, SO_SNDBUF, &one, sizeof(one)) == 0);
	CHECK(getsockopt(lis, SOL_SOCKET, SO_ERROR, &one, &len) == 0);
	CHECK(fcntl(lis, F_SETFL, fcntl(lis, F_GETFL) | O_NONBLOCK) == 0);
	CHECK(ioctl(pair[1], FIONREAD, &one) == 0);
	struct sockaddr_storage ss;
	len = sizeof(ss);
	CHECK(getsockname(lis, (struct sockaddr *)&ss, &len) == 0);
	CHECK(shutdown(pair[0], SHUT_WR) == 0);

	void *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m != MAP_FAILED && madvise(m, 1 << 20, MADV_DONTNEED) == 0);
	CHECK(mprotect(m, 4096, PROT_NONE) == 0 && munmap(m, 1 << 20) == 0);
	char *grow = malloc(1 << 20);
	grow = realloc(grow, 8 << 20);
	CHECK(grow);
	free(grow);

	struct stat st;
	struct rlimit r;
	struct rusage ru;
	struct timespec ts;
	uint64_t chance;
	CHECK(fstat(ev, &st) == 0 && getrlimit(RLIMIT_NOFILE, &r) == 0);
	CHECK(getrusage(RUSAGE_SELF, &ru) == 0 && clock_gettime(CLOCK_REALTIME, &ts) == 0);
	CHECK(syscall(SYS_getrandom, &chance, sizeof(chance), 0) == sizeof(chance));
	CHECK(sysconf(_SC_PHYS_PAGES) > 0); /* qsort(3) asks */
	CHECK(close(pair[0]) == 0);
	return 0;
}

TEST(seccomp, the_work_of_a_worker_is_allowed)
{
	assert_int_equal(in_child(do_the_work, NULL), 0);
}

static int do_assert(void *ctx)
{
	confine();
	assert(!"an assertion of a worker");
	return 0;
}

TEST(seccomp, an_assertion_still_ends_in_sigabrt)
{
	int st = in_child(do_assert, NULL);
	assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT);
}

TEST_MAIN()
