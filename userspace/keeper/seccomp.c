/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp.c - the allow-list, as a classic BPF program.
 *
 *    architecture ─► always allowed ─► allowed by argument ─► refused politely ─► killed
 *
 * The always-allowed calls carry no argument check, so that the kernel (5.11 and later) keeps
 * them in a bitmap and never runs the program for them: the data path pays nothing.
 *
 * Refused politely (an errno) is what a library may try for its own comfort and do without: a file
 * to look at, a terminal to ask. Everything else that is not listed means that somebody
 * else is in control, and ends the process.
 *
 * Whatever needs a file (time zone, certificates, pages) must therefore be loaded before. */
#include "keeper/seccomp.h"

#include <assert.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#else
#error "seccomp.c: name this architecture"
#endif

struct program {
	struct sock_filter at[512];
	unsigned n;
};

static void emit(struct program *p, struct sock_filter insn)
{
	assert(p->n < ARRAY_SIZE(p->at));
	p->at[p->n++] = insn;
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void load_nr(struct program *p)
{
	load(p, offsetof(struct seccomp_data, nr));
}

static void answer(struct program *p, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* If the loaded word is `value`, answer with `action`; otherwise go on. */
static void equal(struct program *p, uint32_t value, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	answer(p, action);
}

#define ALLOW      SECCOMP_RET_ALLOW
#define KILL       SECCOMP_RET_KILL_PROCESS
#define REFUSE(no) (SECCOMP_RET_ERRNO | (no))

static void begin(struct program *p)
{
	load(p, offsetof(struct seccomp_data, arch));
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_HERE, 1, 0));
	answer(p, KILL);
	load_nr(p);
#ifdef __x86_64__
	/* x32: the same calls under other numbers */
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
	answer(p, KILL);
#endif
}

#ifndef SLUICE_SAN

/* The low half of an argument; the kernel takes ints of the calls below from it. */
static void load_arg(struct program *p, unsigned i)
{
	load(p, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t));
}

static void load_arg_high(struct program *p, unsigned i)
{
	load(p, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t) + 4);
}

static void any_bit(struct program *p, uint32_t bits, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
	answer(p, action);
}

/* What follows, up to block_end(), is for this call only and must answer in every case. */
static unsigned block_begin(struct program *p, uint32_t nr)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 0));
	return p->n - 1;
}

static void block_end(struct program *p, unsigned begin)
{
	assert(p->n - begin - 1 < 256);
	assert(BPF_CLASS(p->at[p->n - 1].code) == BPF_RET);
	p->at[begin].jf = (uint8_t)(p->n - begin - 1);
}

/* clang-format off */
static const uint16_t always[] = {
	/* every turn */
	SYS_recvfrom, SYS_sendto, SYS_sendmsg, SYS_recvmsg, SYS_read, SYS_write, SYS_readv,
	SYS_writev, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_epoll_ctl, SYS_accept4, SYS_close,
	SYS_shutdown, SYS_getsockopt, SYS_io_uring_enter, SYS_timerfd_settime, SYS_pread64,
#ifdef __x86_64__
	SYS_epoll_wait, SYS_poll,
#endif
	/* memory */
	SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_fallocate,
	/* beginning */
	SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create, SYS_pipe2, SYS_getsockname,
	SYS_getpeername, SYS_fstat, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_sigaltstack,
	/* time, chance, sleep */
	SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_clock_nanosleep, SYS_nanosleep,
	SYS_getrandom, SYS_futex, SYS_ppoll, SYS_sched_yield, SYS_restart_syscall,
	SYS_rt_sigreturn,
#ifdef __x86_64__
	SYS_time,
#endif
	/* who and where am I */
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
	SYS_getcpu, SYS_sched_getaffinity, SYS_getrusage, SYS_sysinfo, SYS_uname,
	/* the end */
	SYS_exit, SYS_exit_group,
};

/* Looked for, and done without. */
static const uint16_t files[] = {
	SYS_openat, SYS_openat2, SYS_faccessat, SYS_faccessat2, SYS_statx, SYS_readlinkat, SYS_getcwd,
#ifdef __x86_64__
	SYS_open, SYS_creat, SYS_access, SYS_stat, SYS_lstat, SYS_readlink,
#endif
};
/* clang-format on */

/* mmap and mprotect, but never code. */
static void memory_without_code(struct program *p)
{
	const uint16_t nr[] = {SYS_mmap, SYS_mprotect};
	for (size_t i = 0; i < ARRAY_SIZE(nr); i++) {
		unsigned b = block_begin(p, nr[i]);
		load_arg(p, 2);
		any_bit(p, PROT_EXEC, KILL);
		answer(p, ALLOW);
		block_end(p, b);
	}
}

/* Programs on sockets, and the one that spreads connections over all workers, are the
 * keeper's. Whoever could replace the latter would get everybody's connections. */
static void socket_options(struct program *p)
{
	unsigned b = block_begin(p, SYS_setsockopt);
	load_arg(p, 1);
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOL_SOCKET, 1, 0));
	answer(p, ALLOW);
	load_arg(p, 2);
	const uint32_t programs[] = {SO_ATTACH_FILTER,
				     SO_DETACH_FILTER,
				     SO_ATTACH_BPF,
				     SO_ATTACH_REUSEPORT_CBPF,
				     SO_ATTACH_REUSEPORT_EBPF,
				     SO_DETACH_REUSEPORT_BPF,
				     SO_LOCK_FILTER};
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		equal(p, programs[i], KILL);
	answer(p, ALLOW);
	block_end(p, b);
}

static void descriptor_flags(struct program *p)
{
	unsigned b = block_begin(p, SYS_fcntl);
	load_arg(p, 1);
	const uint32_t commands[] = {F_GETFL, F_SETFL,         F_GETFD,
				     F_SETFD, F_DUPFD_CLOEXEC, F_GET_SEALS};
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		equal(p, commands[i], ALLOW);
	answer(p, KILL);
	block_end(p, b);

	b = block_begin(p, SYS_ioctl);
	load_arg(p, 1);
	equal(p, FIONREAD, ALLOW);
	answer(p, REFUSE(ENOTTY)); /* isatty(3) asks */
	block_end(p, b);

	/* fstat(3) of newer libraries: this call without a path. (A filter cannot see that there is
	 * none: whoever takes over can ask for a file's size, and no more.) */
	b = block_begin(p, SYS_newfstatat);
	load_arg(p, 3);
	any_bit(p, AT_EMPTY_PATH, ALLOW);
	answer(p, REFUSE(EACCES));
	block_end(p, b);
}

/* abort(3) signals its own process; nobody signals another. */
static void own_process(struct program *p)
{
	unsigned b = block_begin(p, SYS_tgkill);
	load_arg(p, 0);
	equal(p, (uint32_t)getpid(), ALLOW);
	answer(p, KILL);
	block_end(p, b);

	b = block_begin(p, SYS_prlimit64); /* getrlimit(3): this process, and no new value */
	load_arg(p, 0);
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
	answer(p, REFUSE(EPERM));
	load_arg(p, 2);
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
	answer(p, REFUSE(EPERM));
	load_arg_high(p, 2);
	equal(p, 0, ALLOW);
	answer(p, REFUSE(EPERM));
	block_end(p, b);

	b = block_begin(p, SYS_prctl); /* names for mappings and the process */
	load_arg(p, 0);
	equal(p, PR_SET_NAME, ALLOW);
	equal(p, PR_SET_VMA, ALLOW);
	answer(p, REFUSE(EPERM));
	block_end(p, b);
}

static void build(struct program *p)
{
	begin(p);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		equal(p, always[i], ALLOW);
	memory_without_code(p);
	socket_options(p);
	descriptor_flags(p);
	own_process(p);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		equal(p, files[i], REFUSE(EACCES));
	answer(p, KILL);
}

#else /* SLUICE_SAN */

/* Sanitizers open files, start threads, trace and run a symbolizer: only what none of
 * them needs is forbidden. */
/* clang-format off */
static const uint16_t forbidden[] = {
	SYS_bpf, SYS_socket, SYS_bind, SYS_connect, SYS_listen, SYS_mount, SYS_umount2,
	SYS_pivot_root, SYS_chroot, SYS_setns, SYS_unshare, SYS_perf_event_open, SYS_keyctl,
	SYS_add_key, SYS_request_key, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_kexec_load, SYS_io_uring_setup, SYS_userfaultfd, SYS_reboot, SYS_settimeofday,
	SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_mknodat, SYS_process_vm_writev,
};
/* clang-format on */

static void build(struct program *p)
{
	begin(p);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
		equal(p, forbidden[i], KILL);
	answer(p, ALLOW);
}

#endif

_Bool seccomp_is_wide(void)
{
#ifdef SLUICE_SAN
	return 1;
#else
	return 0;
#endif
}

int seccomp_confine(void)
{
	struct program p = {.n = 0};
	build(&p);
	struct sock_fprog prog = {.len = (unsigned short)p.n, .filter = p.at};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}
