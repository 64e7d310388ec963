/* SPDX-License-Identifier: BSD-2-Clause */
/* member.c - the lives of one member, seen from the keeper.
 *
 *    DOWN ──start──► STARTING ──says READY──► READY ◄──► FULL
 *     ▲  back-off        │                      │
 *     └──────────────────┴──────── dies ────────┘
 *
 * The order at a death is what keeps rings and slabs honest: first the dead one is reaped (nobody
 * writes to its memory any more), then its outbox is made void and its slab emptied, then
 * the others hear that it is down. Before the next life begins they hear that it is
 * up, with its new incarnation: whatever they send from then on waits in the rings for the new
 * process, and whatever the new process writes is read by peers that know of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "conn/slab.h"
#include "keeper/internal.h"

const char *member_name(const struct keeper *k, uint32_t id)
{
	static char name[24];
	if (member_is_admin(k, id))
		return "admin worker";
	snprintf(name, sizeof(name), "worker %u", id);
	return name;
}

void member_kill(struct keeper *k, uint32_t id, const char *why)
{
	struct member *m = &k->members[id];
	m->kill_at_ns = 0;
	if (m->pid <= 0)
		return;
	log_warn("%s (process %d) is killed: %s", member_name(k, id), (int)m->pid, why);
	if (kill(m->pid, SIGKILL) < 0)
		log_error("cannot kill process %d: %s", (int)m->pid, strerror(errno));
}

void member_mark(struct keeper *k, uint32_t id, enum shield_worker_state state)
{
	if (k->shield_used && !member_is_admin(k, id) && !replace_hands_off(k))
		shield_worker_mark(k->shield, id, state);
}

enum shield_worker_state member_shield_state(const struct member *m)
{
	return m->pid == 0 || m->state < KEEPER_MEMBER_READY ? SHIELD_WORKER_DOWN :
	       m->state == KEEPER_MEMBER_FULL                ? SHIELD_WORKER_FULL :
							       SHIELD_WORKER_UP;
}

/* ---- what it is told -------------------------------------------------------------------------- */

void member_tell(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	member_hand(k, id, m, -1);
}

void member_hand(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd)
{
	struct member *to = &k->members[id];
	if (to->channel < 0)
		return;
	ssize_t n = handover_send(to->channel, m, sizeof(*m), fd);
	if (n == sizeof(*m) || errno == EPIPE || errno == ECONNRESET)
		return; /* it has it, or it is dying: that is seen elsewhere */
	/* What it misses cannot be made up for: its picture of the others would be wrong for good. */
	to->kill_at_ns = 1;
	to->kill_why = "it does not read its channel";
}

void member_tell_others(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	for (uint32_t i = 0; i < k->n_members; i++)
		if (i != id)
			member_tell(k, i, m);
}

void keeper_write_members(struct keeper *k)
{
	struct runtime_member *list = replace_hands_off(k) ? NULL :
							     calloc(k->n_members, sizeof(*list));
	if (!list)
		return;
	for (uint32_t i = 0; i < k->n_members; i++) {
		if (member_is_admin(k, i))
			snprintf(list[i].name, sizeof(list[i].name), "admin");
		else
			snprintf(list[i].name, sizeof(list[i].name), "worker-%u", i);
		list[i].pid = k->members[i].pid;
	}
	runtime_members_write(&k->runtime, list, k->n_members);
	free(list);
}

/* ---- a life begins ------------------------------------------------------------------------------ */

static void schedule(struct keeper *k, uint32_t id, uint64_t lived_ms)
{
	struct member *m = &k->members[id];
	uint32_t wait_ms = backoff_next_ms(&m->backoff, lived_ms);
	m->start_at_ns = clock_mono_ns() + (uint64_t)wait_ms * 1000000u;
	if (k->shutting_down)
		m->start_at_ns = UINT64_MAX;
	else if (wait_ms)
		log_info("%s: next start in %u ms", member_name(k, id), wait_ms);
}

static void tell_down(struct keeper *k, uint32_t id)
{
	struct keeper_msg down = {.kind = KEEPER_PEER_DOWN,
				  .member = (uint16_t)id,
				  .incarnation = k->members[id].incarnation};
	member_tell_others(k, id, &down);
}

void member_start(struct keeper *k, uint32_t id)
{
	struct member *m = &k->members[id];
	assert(m->pid == 0 && m->channel < 0);
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		log_error("%s: no channel: %s", member_name(k, id), strerror(errno));
		schedule(k, id, 0);
		return;
	}

	m->incarnation++;
	struct keeper_msg up = {
		.kind = KEEPER_PEER_UP, .member = (uint16_t)id, .incarnation = m->incarnation};
	if (m->incarnation > 1) /* at the first start everybody takes everybody for alive */
		member_tell_others(k, id, &up);

	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		child_run(k, id, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		log_error("%s: cannot fork: %s", member_name(k, id), strerror(errno));
		close(pair[0]);
		tell_down(k, id);
		schedule(k, id, 0);
		return;
	}
	m->pid = pid;
	m->channel = pair[0];
	m->state = KEEPER_MEMBER_STARTING;
	m->accused = (struct accused){0};
	m->started_ns = clock_mono_ns();
	m->started_wall_ms = clock_wall_ms();
	m->kill_at_ns = m->started_ns + KEEPER_START_MS * 1000000ull;
	m->kill_why = "it did not become ready in time";
	request_bucket_init(&m->bucket, member_is_admin(k, id) ? 200 : 20,
			    member_is_admin(k, id) ? 400 : 40);
}

/* ---- and ends -------------------------------------------------------------------------------------- */

static void describe(int st, char *buf, size_t cap)
{
	if (WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS)
		snprintf(buf, cap,
			 "made a forbidden system call (the kernel's log has its number)");
	else if (WIFSIGNALED(st))
		snprintf(buf, cap, "was killed by signal %d (SIG%s)", WTERMSIG(st),
			 sigabbrev_np(WTERMSIG(st)) ? sigabbrev_np(WTERMSIG(st)) : "?");
	else
		snprintf(buf, cap, "exited with code %d", WEXITSTATUS(st));
}

/* Nothing of the dead one's memory is read: whatever took it over could have written anything. */
static void wipe(struct keeper *k, uint32_t id)
{
	struct member *m = &k->members[id];
	int err = mailbox_outbox_reset(&k->plan, &m->ends);
	if (err)
		log_error("%s: cannot reset its outbox: %s", member_name(k, id), strerror(-err));
	if (fallocate(m->slab_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)conn_slab_bytes(k->slab_max)) < 0)
		log_error("%s: cannot wipe its connections: %s", member_name(k, id),
			  strerror(errno));
}

void member_died(struct keeper *k, uint32_t id, int wait_status)
{
	struct member *m = &k->members[id];
	uint64_t lived_ms = (clock_mono_ns() - m->started_ns) / 1000000u;
	char how[96];
	describe(wait_status, how, sizeof(how));
	bool fine = k->shutting_down && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
	if (!fine)
		log_error("%s (process %d) %s after %llu.%03llu s", member_name(k, id), (int)m->pid,
			  how, (unsigned long long)lived_ms / 1000,
			  (unsigned long long)lived_ms % 1000);
	if (!fine && k->shutting_down && !k->hurry)
		k->exit_code = 1; /* some clients may not have heard 1001 */

	m->pid = 0;
	m->state = KEEPER_MEMBER_DOWN;
	m->kill_at_ns = 0;
	m->last_exit = wait_status;
	m->last_exit_wall_ms = clock_wall_ms();
	if (m->channel >= 0)
		close(m->channel);
	m->channel = -1;
	if (!k->shutting_down) {
		member_mark(k, id, SHIELD_WORKER_DOWN);
		wipe(k, id);
		tell_down(k, id);
	}
	schedule(k, id, lived_ms);
}
