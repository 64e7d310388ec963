/* SPDX-License-Identifier: BSD-2-Clause */
/* runtime.c - the lock, the files, the orphans.
 *
 * When a keeper is killed its workers see the end of their channel, close their clients with
 * 1001 and exit. A keeper that starts in these seconds would share its ports with them: they hold
 * sockets of the same SO_REUSEPORT group. So it waits for them, by the process ids that the dead
 * one wrote down; a pidfd together with the start time makes sure that it is them. */
#include "keeper/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"

#define LOCK_NAME    "keeper.lock"
#define PID_NAME     "sluiced.pid"
#define MEMBERS_NAME "members"
#define MEMBERS_MAX  1200 /* lines of it that are believed */
#define ORPHAN_MS    6000 /* workers promise 5 seconds */

/* Reads a small file whole. Length, or -1. */
static ssize_t read_small(int dir_fd, const char *name, char *buf, size_t cap)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, buf, cap - 1);
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

uint64_t runtime_start_time(pid_t pid)
{
	char path[32], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (read_small(AT_FDCWD, path, text, sizeof(text)) <= 0)
		return 0;
	/* the name, field 2, may hold blanks and brackets: count from its end */
	const char *p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* ---- the directory ---------------------------------------------------------------------------- */

static int open_dir(struct runtime *r, const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		int err = errno;
		log_error("runtime_dir: cannot make %s: %s%s", path, strerror(err),
			  err == ENOENT ? " (only its last part is made)" : "");
		return -err;
	}
	r->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0) {
		int err = errno;
		log_error("runtime_dir: cannot open %s: %s", path, strerror(err));
		return -err;
	}
	struct stat st;
	if (fstat(r->dir_fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid()) {
		log_error("runtime_dir: %s belongs to uid %u and not to us (uid %u): remove it "
			  "or name another",
			  path, st.st_uid, geteuid());
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("runtime_dir: others may write to %s: chmod 755 it", path);
		return -EPERM;
	}
	return 0;
}

/* Who holds it. */
static void sign_lock(struct runtime *r, const char *path)
{
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(r->lock_fd, 0) < 0 || pwrite(r->lock_fd, pid, (size_t)n, 0) != n)
		log_warn("cannot write to %s/" LOCK_NAME ": %s", path, strerror(errno));
}

static int take_lock(struct runtime *r, const char *path)
{
	r->lock_fd = openat(r->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (r->lock_fd < 0) {
		int err = errno;
		log_error("cannot open %s/" LOCK_NAME ": %s", path, strerror(err));
		return -err;
	}
	if (flock(r->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		int err = errno;
		char who[32] = "";
		ssize_t n = pread(r->lock_fd, who, sizeof(who) - 1, 0);
		who[n > 0 ? strcspn(who, "\n") : 0] = '\0';
		log_error("another sluiced (process %s) runs on %s: stop it, or give this one its "
			  "own runtime_dir",
			  *who ? who : "unknown", path);
		return err == EWOULDBLOCK ? -EBUSY : -err;
	}
	sign_lock(r, path);
	return 0;
}

/* ---- orphans --------------------------------------------------------------------------------- */

/* One process that `members` names: waits for its end until `until_ms`, then kills it. */
static void outlive(pid_t pid, uint64_t start_time, const char *name, uint64_t until_ms)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return;
	if (runtime_start_time(pid) == start_time) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = clock_mono_ms();
		if (poll(&p, 1, until_ms > now ? (int)(until_ms - now) : 0) == 0) {
			log_warn("%s of a predecessor (process %d) does not end: killed", name,
				 (int)pid);
			syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
			poll(&p, 1, 1000);
		}
	}
	close(fd);
}

static void outlive_orphans(struct runtime *r)
{
	static char text[MEMBERS_MAX * 48];
	if (read_small(r->dir_fd, MEMBERS_NAME, text, sizeof(text)) <= 0)
		return;
	log_info("a predecessor ended without cleaning up: waiting for its workers");
	uint64_t until_ms = clock_mono_ms() + ORPHAN_MS;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		char name[16];
		int pid;
		unsigned long long start;
		if (sscanf(line, "%15s %d %llu", name, &pid, &start) == 3 && pid > 1)
			outlive(pid, start, name, until_ms);
	}
}

int runtime_open(struct runtime *r, const struct config *cfg)
{
	*r = (struct runtime){.dir_fd = -1, .lock_fd = -1};
	int err = open_dir(r, cfg->runtime_dir);
	if (!err)
		err = take_lock(r, cfg->runtime_dir);
	if (err) {
		/* whoever holds the lock owns the files: leave them alone */
		if (r->lock_fd >= 0)
			close(r->lock_fd);
		if (r->dir_fd >= 0)
			close(r->dir_fd);
		r->dir_fd = r->lock_fd = -1;
		return err;
	}
	outlive_orphans(r);
	unlinkat(r->dir_fd, MEMBERS_NAME, 0);
	unlinkat(r->dir_fd, PID_NAME, 0);
	return 0;
}

int runtime_share(struct runtime *r, const struct config *cfg, int lock_fd)
{
	struct stat mine, his;
	int err = open_dir(r, cfg->runtime_dir);
	r->lock_fd = lock_fd;
	r->guest = true;
	if (!err &&
	    (fstatat(r->dir_fd, LOCK_NAME, &mine, AT_SYMLINK_NOFOLLOW) < 0 ||
	     fstat(lock_fd, &his) < 0 || mine.st_dev != his.st_dev || mine.st_ino != his.st_ino)) {
		log_error("%s/" LOCK_NAME " is not what the running sluiced holds",
			  cfg->runtime_dir);
		err = -EPROTO;
	}
	if (err) {
		close(r->lock_fd);
		if (r->dir_fd >= 0)
			close(r->dir_fd);
		r->dir_fd = r->lock_fd = -1;
	}
	return err;
}

void runtime_settle(struct runtime *r, const struct config *cfg)
{
	r->guest = false;
	sign_lock(r, cfg->runtime_dir);
	if (!*r->control_beside)
		return;
	if (rename(r->control_beside, cfg->admin.control_socket) < 0) {
		log_error("admin.control_socket: cannot move %s to %s: %s", r->control_beside,
			  cfg->admin.control_socket, strerror(errno));
		snprintf(r->control_path, sizeof(r->control_path), "%.*s",
			 (int)sizeof(r->control_path) - 1, r->control_beside);
	} else {
		strcpy(r->control_path, cfg->admin.control_socket);
	}
	*r->control_beside = '\0';
}

/* ---- files ------------------------------------------------------------------------------------- */

/* Beside, then in place: a reader sees the old one or the new one. */
static int write_small(int dir_fd, const char *name, const char *text, size_t n)
{
	char beside[32];
	snprintf(beside, sizeof(beside), "%s.new", name);
	int fd =
		openat(dir_fd, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	ssize_t w = write(fd, text, n);
	int err = w == (ssize_t)n ? 0 : w < 0 ? -errno : -ENOSPC;
	close(fd);
	if (!err && renameat(dir_fd, beside, dir_fd, name) < 0)
		err = -errno;
	if (err)
		unlinkat(dir_fd, beside, 0);
	return err;
}

void runtime_members_write(struct runtime *r, const struct runtime_member *list, size_t n)
{
	char pid[16];
	int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	int err = write_small(r->dir_fd, PID_NAME, pid, (size_t)len);

	size_t cap = n * 48 + 1, used = 0;
	char *text = malloc(cap);
	if (text) {
		for (size_t i = 0; i < n; i++)
			if (list[i].pid > 0)
				used += (size_t)snprintf(
					text + used, cap - used, "%s %d %llu\n", list[i].name,
					(int)list[i].pid,
					(unsigned long long)runtime_start_time(list[i].pid));
		int err2 = write_small(r->dir_fd, MEMBERS_NAME, text, used);
		err = err ? err : err2;
		free(text);
	}
	if (err)
		log_warn(
			"cannot write to runtime_dir: %s: if this keeper is killed, the next one will not "
			"know its workers",
			strerror(-err));
}

/* ---- the control socket -------------------------------------------------------------------------- */

/* A path with nobody behind it goes; 0 if it may be bound now. */
static int clear_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		log_error("admin.control_socket: %s exists and is not a socket", sa->sun_path);
		return -EEXIST;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	bool alive = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
		     errno == EAGAIN || errno == EINPROGRESS;
	close(fd);
	if (alive) {
		log_error("admin.control_socket: another process answers on %s", sa->sun_path);
		return -EADDRINUSE;
	}
	if (unlink(sa->sun_path) < 0 && errno != ENOENT) {
		int err = errno;
		log_error("admin.control_socket: cannot remove the stale %s: %s", sa->sun_path,
			  strerror(err));
		return -err;
	}
	return 0;
}

static int set_owner(const char *path, const struct config *cfg)
{
	const char *group = cfg->admin.control_group;
	if (*group) {
		const struct group *g = getgrnam(group);
		if (!g) {
			log_error(
				"admin.control_group: there is no group \"%s\" here: create it or "
				"name another",
				group);
			return -ENOENT;
		}
		if (chown(path, (uid_t)-1, g->gr_gid) < 0) {
			int err = errno;
			log_error("admin.control_group: cannot give %s to \"%s\": %s", path, group,
				  strerror(err));
			return -err;
		}
	}
	return chmod(path, cfg->admin.control_mode & 0777) < 0 ? -errno : 0;
}

/* Nobody gets in before owner and mode are right. */
static int bind_closed(int fd, const struct sockaddr_un *sa)
{
	mode_t old = umask(0777);
	int err = bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 ? -errno : 0;
	umask(old);
	return err;
}

static uint64_t inode_of(const char *path)
{
	struct stat st;
	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}

/* The place is taken by the one whom we replace. */
static int name_beside(struct runtime *r, struct sockaddr_un *sa)
{
	size_t n = strlen(sa->sun_path);
	if (n + sizeof(".new") > sizeof(sa->sun_path)) {
		log_error(
			"admin.control_socket: %s is too long for a replacement, which needs four bytes "
			"more until it is ready",
			sa->sun_path);
		return -ENAMETOOLONG;
	}
	strcpy(sa->sun_path + n, ".new");
	unlink(sa->sun_path);
	return 0;
}

int runtime_control_open(struct runtime *r, const struct config *cfg)
{
	const char *path = cfg->admin.control_socket;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(sa.sun_path)) {
		log_error(
			"admin.control_socket: %s is longer than the %zu bytes that a socket's name "
			"may have",
			path, sizeof(sa.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	strcpy(sa.sun_path, path);
	bool beside = r->guest && strcmp(r->old_control, path) == 0;
	int err = beside ? name_beside(r, &sa) : clear_stale(&sa);
	if (err)
		return err;

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd < 0 ? -errno : bind_closed(fd, &sa);
	if (err) {
		log_error("admin.control_socket: cannot bind %s: %s", path, strerror(-err));
	} else {
		/* ours from here on: runtime_close() removes it */
		strcpy(beside ? r->control_beside : r->control_path, sa.sun_path);
		r->control_inode = inode_of(sa.sun_path);
		err = set_owner(sa.sun_path, cfg);
		if (!err && listen(fd, 64) < 0)
			err = -errno;
	}
	if (err) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	return fd;
}

void runtime_close(struct runtime *r)
{
	if (r->dir_fd < 0)
		return;
	if (*r->control_beside)
		unlink(r->control_beside);
	if (*r->control_path && inode_of(r->control_path) == r->control_inode &&
	    unlink(r->control_path) < 0 && errno != ENOENT)
		log_warn("cannot remove %s: %s", r->control_path, strerror(errno));
	if (!r->guest && !r->given_away) {
		unlinkat(r->dir_fd, MEMBERS_NAME, 0);
		unlinkat(r->dir_fd, PID_NAME, 0);
	}
	close(r->lock_fd);
	close(r->dir_fd);
	*r = (struct runtime){.dir_fd = -1, .lock_fd = -1};
}
