/* SPDX-License-Identifier: BSD-2-Clause */
/* supervise.c - the keeper's loop: signals, what members say, and time.
 *
 * It sleeps nearly always: a few descriptors, a few deadlines, poll(2). It holds the
 * privileges, so it does little, and nothing that a stranger could make long. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "keeper/internal.h"
#include "keeper/notify.h"

int supervise_signals_open(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it: then none is told */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void kill_all(struct keeper *k, const char *why)
{
	for (uint32_t i = 0; i < k->n_members; i++)
		member_kill(k, i, why);
}

void keeper_shut_down(struct keeper *k)
{
	bool replaced = k->replace.state == REPLACE_IS_OLD;
	k->shutting_down = true;
	k->shutdown_end_ns =
		clock_mono_ns() + (k->cfg->shutdown_timeout_ms + KEEPER_GRACE_MS) * 1000000ull;
	if (!replace_hands_off(k)) /* the service goes on, with another process */
		notify_supervisor("STOPPING=1");
	/* Our copies would keep the ports open, and newcomers waiting, until the very end. */
	for (uint32_t i = 0; i < k->cfg->n_listeners * k->n_workers; i++) {
		if (k->listener_fds[i] >= 0)
			close(k->listener_fds[i]);
		k->listener_fds[i] = -1;
	}
	struct keeper_msg m = {.kind = KEEPER_SHUTDOWN,
			       .value = !replaced      ? KEEPER_SHUTDOWN_NOW :
					k->shield_used ? KEEPER_SHUTDOWN_REPLACED :
							 KEEPER_SHUTDOWN_ALONE};
	for (uint32_t i = 0; i < k->n_members; i++) {
		k->members[i].start_at_ns = UINT64_MAX;
		member_tell(k, i, &m);
	}
}

static void asked_to_stop(struct keeper *k, int sig)
{
	uint64_t now = clock_mono_ns();
	/* timeout(1) signals its child and then the child's group: that is one wish, not two. */
	bool echo = k->asked_ns && now - k->asked_ns < KEEPER_ECHO_MS * 1000000ull;
	if (!k->shutting_down) {
		k->asked_ns = now;
		log_info("SIG%s: closing every client, at most %u ms", sigabbrev_np(sig),
			 k->cfg->shutdown_timeout_ms);
		keeper_shut_down(k);
	} else if (!k->hurry && !echo) {
		log_warn("SIG%s again: ending at once", sigabbrev_np(sig));
		k->hurry = true;
		k->shutdown_end_ns = 0;
	}
}

static bool anybody_left(const struct keeper *k)
{
	for (uint32_t i = 0; i < k->n_members; i++)
		if (k->members[i].pid > 0)
			return true;
	return false;
}

/* ---- signals --------------------------------------------------------------------------------------- */

static void reap(struct keeper *k)
{
	int status;
	bool any = false;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		if (policy_reaped(k, pid, status) || lists_reaped(k, pid, status) ||
		    certs_reaped(k, pid, status))
			continue;
		for (uint32_t i = 0; i < k->n_members; i++) {
			if (k->members[i].pid == pid) {
				member_died(k, i, status);
				any = true;
				break;
			}
		}
	}
	if (any && !k->shutting_down)
		keeper_write_members(k);
}

/* SIGHUP */
static void hang_up(struct keeper *k)
{
	certs_reload(k);
	policy_reload(k);
	lists_load(k);
}

static void hear_signals(struct keeper *k)
{
	struct signalfd_siginfo s;
	while (read(k->signal_fd, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			reap(k);
		else if (s.ssi_signo == SIGHUP && replace_hands_off(k))
			log_warn("SIGHUP: another sluiced is taking over: send it to that one");
		else if (s.ssi_signo == SIGHUP && !k->shutting_down)
			hang_up(k);
		else if (s.ssi_signo != SIGHUP)
			asked_to_stop(k, (int)s.ssi_signo);
	}
}

/* ---- time -------------------------------------------------------------------------------------------- */

/* Does what is due for one member; returns when it is next due. */
static uint64_t member_due(struct keeper *k, uint32_t id, uint64_t now)
{
	struct member *m = &k->members[id];
	if (m->pid == 0 && now >= m->start_at_ns) {
		member_start(k, id);
		keeper_write_members(k);
	}
	if (m->pid > 0 && m->kill_at_ns && now >= m->kill_at_ns)
		member_kill(k, id, m->kill_why);
	if (m->pid == 0)
		return m->start_at_ns;
	uint64_t due = m->kill_at_ns ? m->kill_at_ns : UINT64_MAX;
	uint64_t wait = m->channel >= 0 ? request_bucket_wait_ns(&m->bucket, now) : 0;
	return wait ? MIN(due, now + wait) : due;
}

/* A member that dies again and again before everybody was ready once: the machine or the
 * configuration is at fault, and whoever started us should hear of it. */
static void give_up_if_hopeless(struct keeper *k)
{
	for (uint32_t i = 0; i < k->n_members && !k->announced && !k->shutting_down; i++) {
		if (k->members[i].backoff.failures < KEEPER_FIRST_FAILURES)
			continue;
		log_error("%s cannot start, see above: giving up", member_name(k, i));
		k->exit_code = 1;
		keeper_shut_down(k);
	}
}

static uint64_t shutdown_due(struct keeper *k, uint64_t now)
{
	if (now < k->shutdown_end_ns)
		return k->shutdown_end_ns;
	kill_all(k, k->hurry ? "asked twice to end" : "it did not end in time");
	k->shutdown_end_ns = now + KEEPER_GRACE_MS * 1000000ull;
	return k->shutdown_end_ns;
}

static uint64_t do_what_is_due(struct keeper *k)
{
	uint64_t now = clock_mono_ns(), next = UINT64_MAX;
	give_up_if_hopeless(k);
	for (uint32_t i = 0; i < k->n_members; i++) {
		uint64_t due = member_due(k, i, now);
		next = MIN(next, due);
	}
	if (k->shutting_down) {
		uint64_t due = shutdown_due(k, now);
		next = MIN(next, due);
	}
	uint64_t policy = policy_due(k, now), lists = lists_due(k, now);
	next = MIN(next, MIN(policy, lists));
	uint64_t certs = certs_due(k, now);
	next = MIN(next, certs);
	uint64_t replace = replace_due(k, now);
	next = MIN(next, replace);
	if (k->shield_used && !replace_hands_off(k)) {
		if (now >= k->reap_at_ns) {
			shield_reap(k->shield);
			shield_tick(k->shield);
			k->reap_at_ns = now + KEEPER_REAP_MS * 1000000ull;
		}
		if (now >= k->flows_at_ns) {
			shield_flows_tick(k->shield, now);
			k->flows_at_ns = now + SHIELD_FLOWS_NS;
		}
		next = MIN(next, MIN(k->reap_at_ns, k->flows_at_ns));
	}
	return next;
}

static int timeout_ms(uint64_t due_ns)
{
	uint64_t now = clock_mono_ns();
	if (due_ns <= now)
		return 0;
	uint64_t ms = (due_ns - now) / 1000000u + 1;
	return ms > 60000 ? 60000 : (int)ms;
}

int supervise(struct keeper *k)
{
	enum { SIGNALS, DOOR, PEER, SHIELD, FLOWS, CERTS, FIRST };
	struct pollfd *p = calloc(FIRST + k->n_members, sizeof(*p));
	if (!p)
		return 1;
	while (!k->shutting_down || anybody_left(k)) {
		uint64_t due = do_what_is_due(k), now = clock_mono_ns();
		p[SIGNALS] = (struct pollfd){.fd = k->signal_fd, .events = POLLIN};
		p[DOOR] = (struct pollfd){.fd = k->replace.door, .events = POLLIN};
		p[PEER] = (struct pollfd){.fd = k->replace.peer, .events = POLLIN};
		for (uint32_t i = 0; i < k->n_members; i++) {
			struct member *m = &k->members[i];
			bool heard = m->channel >= 0 && !request_bucket_wait_ns(&m->bucket, now);
			p[FIRST + i] =
				(struct pollfd){.fd = heard ? m->channel : -1, .events = POLLIN};
		}
		p[SHIELD] = (struct pollfd){.fd = shield_events_fd(k->shield), .events = POLLIN};
		p[FLOWS] = (struct pollfd){.fd = shield_flows_fd(k->shield), .events = POLLIN};
		p[CERTS] = (struct pollfd){.fd = k->certs.watch, .events = POLLIN};
		if (poll(p, FIRST + k->n_members, timeout_ms(due)) < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			break;
		}
		now = clock_mono_ns();
		for (uint32_t i = 0; i < k->n_members; i++)
			if (p[FIRST + i].fd >= 0 && p[FIRST + i].revents)
				serve_member(k, i, now);
		if (p[PEER].fd >= 0 && p[PEER].revents && k->replace.peer >= 0)
			replace_hear(k);
		if (p[DOOR].fd >= 0 && p[DOOR].revents)
			replace_knock(k);
		shield_events_hear(k->shield);
		if (!replace_hands_off(k))
			shield_flows_hear(k->shield);
		certs_hear(k);
		hear_signals(k);
	}
	free(p);
	return k->exit_code;
}
