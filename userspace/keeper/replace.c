/* SPDX-License-Identifier: BSD-2-Clause */
/* replace.c - both sides of a takeover; replace.h has the conversation. */
#include "keeper/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "keeper/internal.h"
#include "keeper/notify.h"

/* ---- words ------------------------------------------------------------------------------------- */

static struct replace_msg words(uint16_t kind)
{
	return (struct replace_msg){
		.magic = REPLACE_MAGIC, .version = REPLACE_VERSION, .kind = kind, .pid = getpid()};
}

static int tell(int sock, const struct replace_msg *m, int fd)
{
	return handover_send(sock, m, sizeof(*m), fd) == sizeof(*m) ? 0 : -EPIPE;
}

static bool same_user(int sock)
{
	struct ucred who;
	socklen_t n = sizeof(who);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 && who.uid == geteuid();
}

/* One message into *m, with *fd what came beside it. 0; -EAGAIN; -EPIPE for an end or for nonsense. */
static int hear(int sock, struct replace_msg *m, int *fd)
{
	ssize_t n = handover_recv(sock, m, sizeof(*m), fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n == (ssize_t)sizeof(*m) && m->magic == REPLACE_MAGIC) {
		m->pin_dir[sizeof(m->pin_dir) - 1] = '\0';
		m->control[sizeof(m->control) - 1] = '\0';
		m->text[sizeof(m->text) - 1] = '\0';
		return 0;
	}
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EPIPE;
}

static void hang_up(struct replace *r)
{
	if (r->peer >= 0)
		close(r->peer);
	r->peer = -1;
}

bool replace_hands_off(const struct keeper *k)
{
	return k->replace.state >= REPLACE_IS_QUIET;
}

/* ---- the new one: asking ----------------------------------------------------------------------- */

/* A Unix socket's name is short, a directory's need not be: the descriptor stands for it. */
static void door_name(int dir_fd, const char *name, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
}

static int call(const char *dir)
{
	int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd, err = 0;
	struct sockaddr_un sa;

	if (dir_fd < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	door_name(dir_fd, RUNTIME_DOOR, &sa);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		err = -errno;
	close(dir_fd);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

/* The next message, within REPLACE_ANSWER_MS. */
static int wait_for(int sock, struct replace_msg *m, int *fd)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	*fd = -1;
	if (poll(&p, 1, REPLACE_ANSWER_MS) != 1)
		return -ETIMEDOUT;
	return hear(sock, m, fd);
}

static int understand(const struct config *cfg, const struct replace_msg *m)
{
	if (m->version != REPLACE_VERSION) {
		log_error(
			"the running sluiced (process %d) speaks another version of taking over: stop "
			"it and start this one",
			m->pid);
		return -EPROTO;
	}
	if (m->kind == REPLACE_REFUSE) {
		log_error("the running sluiced (process %d) does not give way: %s", m->pid,
			  m->text);
		return m->status < 0 ? m->status : -EBUSY;
	}
	if (m->kind != REPLACE_GRANT)
		return -EPROTO;
	if (strcmp(m->pin_dir, cfg->pin_dir) != 0) {
		log_error(
			"pin_dir: the running sluiced has its shield in %s, this one is to have it in %s: "
			"that takes a stop and a start",
			m->pin_dir, cfg->pin_dir);
		return -EXDEV;
	}
	return 0;
}

static int be_granted(struct keeper *k, int *lock_fd)
{
	struct replace *r = &k->replace;
	struct replace_msg m = words(REPLACE_ASK);
	int err = same_user(r->peer) ? tell(r->peer, &m, -1) : -EPERM;

	if (!err)
		err = wait_for(r->peer, &m, lock_fd);
	if (!err)
		err = understand(k->cfg, &m);
	if (!err && *lock_fd < 0)
		err = -EPROTO;
	if (err)
		return err;
	r->pid = m.pid;
	snprintf(k->runtime.old_control, sizeof(k->runtime.old_control), "%s", m.control);
	err = wait_for(r->peer, &m, &r->pin_lock);
	return !err && m.kind != REPLACE_LOCKS ? -EPROTO : err;
}

int replace_ask(struct keeper *k, int *lock_fd)
{
	struct replace *r = &k->replace;
	int err;

	*lock_fd = -1;
	r->peer = call(k->cfg->runtime_dir);
	if (r->peer < 0) {
		err = r->peer;
		r->peer = -1;
		return err == -ECONNREFUSED || err == -ENOENT ? -ENOENT : err;
	}
	err = be_granted(k, lock_fd);
	if (err) {
		if (err == -ETIMEDOUT || err == -EPIPE || err == -EPROTO || err == -EAGAIN)
			log_error("%s/" RUNTIME_DOOR
				  ": no sluiced that can be replaced answers there",
				  k->cfg->runtime_dir);
		if (*lock_fd >= 0)
			close(*lock_fd);
		*lock_fd = -1;
		hang_up(r);
		return err;
	}
	fcntl(r->peer, F_SETFL, O_NONBLOCK);
	r->state = REPLACE_IS_GUEST;
	log_info("taking over from process %d", r->pid);
	return 0;
}

/* ---- the door ---------------------------------------------------------------------------------- */

/* Where it hangs until we are in charge. */
#define DOOR_BESIDE RUNTIME_DOOR ".new"

static void put_up_door(struct keeper *k)
{
	if (k->replace.door >= 0 &&
	    renameat(k->runtime.dir_fd, DOOR_BESIDE, k->runtime.dir_fd, RUNTIME_DOOR) < 0)
		log_warn("cannot rename " DOOR_BESIDE
			 ": %s: this sluiced cannot be replaced while it runs",
			 strerror(errno));
}

/* ---- the new one: taking ------------------------------------------------------------------------- */

/* The other one goes on, and this one ends. */
static void give_up(struct keeper *k)
{
	k->replace.state = REPLACE_IS_GUEST;
	hang_up(&k->replace);
	k->exit_code = 1;
	keeper_shut_down(k);
}

/* The old one is quiet, or dead: nobody else writes to the maps. */
static void take(struct keeper *k)
{
	struct replace *r = &k->replace;
	struct replace_msg m = words(REPLACE_TAKEN);

	if (keeper_open_shield(k)) {
		give_up(k);
		return;
	}
	r->state = REPLACE_IDLE; /* in charge */
	for (uint32_t i = 0; i < k->n_workers; i++)
		member_mark(k, i, member_shield_state(&k->members[i]));
	if (r->peer >= 0 && tell(r->peer, &m, -1) == 0)
		log_info("process %d has been replaced and lets its clients go", r->pid);
	else
		log_warn("process %d ended while it was being replaced: its clients were cut off",
			 r->pid);
	runtime_settle(&k->runtime, k->cfg);
	keeper_write_members(k);
	hang_up(r);
	if (r->pin_lock >= 0)
		close(r->pin_lock);
	r->pin_lock = -1;
	if (privilege_reduce(k->shield_used, k->user.change))
		log_warn("capabilities that only the start needed are still held");
	put_up_door(k);
	keeper_announce(k);
}

void replace_go_on(struct keeper *k)
{
	struct replace *r = &k->replace;
	struct replace_msg m = words(REPLACE_FLIP);

	if (r->state == REPLACE_IS_GUEST) {
		r->state = REPLACE_ASKED_QUIET;
		r->until_ns = clock_mono_ns() + REPLACE_ANSWER_MS * 1000000ull;
		if (r->peer < 0 || tell(r->peer, &m, -1) != 0)
			take(k);
	}
}

/* Its end of the conversation is closed: by its death? The socket of a dying process closes a moment
 * before it is dead to others, and one that nobody has waited for still has a number. */
static bool has_died(pid_t pid)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	bool dead;

	if (p.fd < 0)
		return errno == ESRCH;
	dead = poll(&p, 1, REPLACE_DEATH_MS) == 1;
	close(p.fd);
	return dead;
}

static void hear_old(struct keeper *k)
{
	struct replace *r = &k->replace;
	struct replace_msg m;
	int fd = -1, err = hear(r->peer, &m, &fd);

	if (err == -EAGAIN)
		return;
	if (fd >= 0)
		close(fd);
	if (!err && m.kind == REPLACE_QUIET && r->state == REPLACE_ASKED_QUIET) {
		take(k);
		return;
	}
	hang_up(r);
	/* Dead, and its locks are ours: go on. A living one that hangs up does not want us. */
	if (has_died(r->pid)) {
		log_warn("process %d has died while it was being replaced", r->pid);
		if (r->state == REPLACE_ASKED_QUIET)
			take(k);
		return;
	}
	log_error("process %d does not want to be replaced any more: giving up", r->pid);
	give_up(k);
}

/* ---- the old one ----------------------------------------------------------------------------------- */

static void no_door(struct replace *r, int err)
{
	log_warn("no " RUNTIME_DOOR
		 " in runtime_dir: %s: this sluiced cannot be replaced while it runs",
		 strerror(err));
	if (r->door >= 0)
		close(r->door);
	r->door = -1;
}

void replace_open(struct keeper *k)
{
	struct replace *r = &k->replace;
	struct sockaddr_un sa;
	mode_t old = umask(0177);
	int err = 0;

	unlinkat(k->runtime.dir_fd, DOOR_BESIDE, 0);
	door_name(k->runtime.dir_fd, DOOR_BESIDE, &sa);
	r->door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (r->door < 0 || bind(r->door, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(r->door, 4) < 0)
		err = errno;
	umask(old);
	if (err)
		no_door(r, err);
	else if (!replace_hands_off(k))
		put_up_door(k);
}

/* NULL, or why nobody may replace us now. */
static const char *objection(const struct keeper *k)
{
	if (k->shutting_down)
		return "it is shutting down";
	if (!k->announced)
		return "it is still starting, or being replaced itself";
	if (k->policy.trial)
		return "a policy is on trial: confirm it or revert it first";
	return NULL;
}

/* His question is read first: a socket that is closed with something unread takes back what it
 * has said. It comes right behind the connect(2); he is of our own user. */
static void refuse(int sock, const char *why)
{
	struct replace_msg m;
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int fd = -1;

	if (poll(&p, 1, 100) == 1)
		hear(sock, &m, &fd);
	if (fd >= 0)
		close(fd);
	m = words(REPLACE_REFUSE);
	m.status = -EBUSY;
	snprintf(m.text, sizeof(m.text), "%s", why);
	tell(sock, &m, -1);
	close(sock);
}

void replace_knock(struct keeper *k)
{
	struct replace *r = &k->replace;
	int fd = accept4(r->door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!same_user(fd))
		close(fd);
	else if (r->peer >= 0)
		refuse(fd, "another one is taking over already");
	else if (objection(k))
		refuse(fd, objection(k));
	else {
		r->peer = fd;
		r->until_ns = clock_mono_ns() + REPLACE_MS * 1000000ull;
	}
}

static int grant(struct keeper *k, const struct replace_msg *asked)
{
	struct replace *r = &k->replace;
	struct replace_msg m = words(REPLACE_GRANT), locks = words(REPLACE_LOCKS);
	int err;

	r->pid = asked->pid;
	snprintf(m.pin_dir, sizeof(m.pin_dir), "%s", k->cfg->pin_dir);
	snprintf(m.control, sizeof(m.control), "%s", k->runtime.control_path);
	err = tell(r->peer, &m, k->runtime.lock_fd);
	if (!err)
		err = tell(r->peer, &locks, shield_lock_fd(k->shield));
	if (!err) {
		r->state = REPLACE_GRANTED;
		log_info("process %d prepares to replace us", r->pid);
	}
	return err;
}

/* He has failed. What he may have written to the maps is put right, if it came to that. */
static void go_on_alone(struct keeper *k, const char *why)
{
	struct replace *r = &k->replace;
	bool was_quiet = r->state == REPLACE_IS_QUIET;

	hang_up(r);
	if (r->state == REPLACE_IDLE)
		return;
	r->state = REPLACE_IDLE;
	log_warn("process %d has not replaced us (%s): all goes on as before", r->pid, why);
	if (was_quiet)
		keeper_reclaim(k);
}

static void hear_new(struct keeper *k)
{
	struct replace *r = &k->replace;
	struct replace_msg m, quiet = words(REPLACE_QUIET);
	int fd = -1, err = hear(r->peer, &m, &fd);

	if (err == -EAGAIN)
		return;
	if (fd >= 0)
		close(fd);
	if (!err && m.version != REPLACE_VERSION) {
		int sock = r->peer;

		r->peer = -1;
		refuse(sock, "it speaks another version of taking over");
	} else if (!err && m.kind == REPLACE_ASK && r->state == REPLACE_IDLE) {
		err = grant(k, &m);
	} else if (!err && m.kind == REPLACE_FLIP && r->state == REPLACE_GRANTED) {
		r->state = REPLACE_IS_QUIET;
		err = tell(r->peer, &quiet, -1);
	} else if (!err && m.kind == REPLACE_TAKEN && r->state == REPLACE_IS_QUIET) {
		hang_up(r);
		r->state = REPLACE_IS_OLD;
		k->runtime.given_away = true;
		log_info("replaced by process %d: letting clients go, at most %u ms", r->pid,
			 k->cfg->shutdown_timeout_ms);
		keeper_shut_down(k);
		return;
	} else if (!err) {
		err = -EPROTO;
	}
	if (err)
		go_on_alone(k, "it has ended");
}

void replace_hear(struct keeper *k)
{
	if (k->replace.state == REPLACE_IS_GUEST || k->replace.state == REPLACE_ASKED_QUIET)
		hear_old(k);
	else
		hear_new(k);
}

uint64_t replace_due(struct keeper *k, uint64_t now_ns)
{
	struct replace *r = &k->replace;

	if (r->peer < 0 || r->state == REPLACE_IS_GUEST)
		return UINT64_MAX;
	if (now_ns < r->until_ns)
		return r->until_ns;
	if (r->state == REPLACE_ASKED_QUIET) {
		log_error("process %d does not answer: giving up", r->pid);
		give_up(k);
	} else {
		go_on_alone(k, "it took too long");
	}
	return UINT64_MAX;
}

void replace_close(struct keeper *k)
{
	struct replace *r = &k->replace;

	hang_up(r);
	if (r->door >= 0) {
		close(r->door);
		if (k->runtime.guest)
			unlinkat(k->runtime.dir_fd, DOOR_BESIDE, 0);
		else if (!k->runtime.given_away)
			unlinkat(k->runtime.dir_fd, RUNTIME_DOOR, 0);
	}
	if (r->pin_lock >= 0)
		close(r->pin_lock);
	r->door = r->pin_lock = -1;
}
