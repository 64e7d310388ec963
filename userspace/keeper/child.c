/* SPDX-License-Identifier: BSD-2-Clause */
/* child.c - from a copy of the keeper to a worker.
 *
 *    signals ─► name, core ─► mailbox ─► forget secrets that are not ours ─► descriptors
 *                                                    ─► user, capabilities ─► seccomp ─► loop
 *
 * Nothing from outside is read before the last arrow. A step that fails ends the process: a
 * worker that is less confined than it should be must not serve. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "conn/ring.h"
#include "keeper/descriptors.h"
#include "keeper/internal.h"
#include "keeper/seccomp.h"
#include "worker/worker.h"

/* The keeper decides when its workers end, over the channel. Ctrl-C and a service manager
 * signal the whole group, and would cut off clients that were about to hear 1001. */
static void set_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_name(struct keeper *k, uint32_t id)
{
	char name[16]; /* the kernel keeps 15 */
	if (member_is_admin(k, id))
		snprintf(name, sizeof(name), "sluice-admin");
	else
		snprintf(name, sizeof(name), "sluice-w%u", id);
	prctl(PR_SET_NAME, name);
	log_init(member_name(k, id), k->cfg->log_level, k->cfg->log_json);
}

static void set_core(struct keeper *k, uint32_t id)
{
	if (!k->cfg->pin_cores || member_is_admin(k, id))
		return;
	uint32_t cpu = keeper_cpu_of(k, id);
	cpu_set_t *set = CPU_ALLOC(cpu + 1);
	size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
	if (set) {
		CPU_ZERO_S(bytes, set);
		CPU_SET_S(cpu, bytes, set);
	}
	if (!set || sched_setaffinity(0, bytes, set) < 0)
		log_warn("cannot stay on core %u: %s", cpu, strerror(errno));
	if (set)
		CPU_FREE(set);
}

static struct mailbox *join_mailbox(struct keeper *k, uint32_t id, bool *up)
{
	uint32_t *generation = calloc(k->n_members, sizeof(*generation));
	struct mailbox_ends *ends = calloc(k->n_members, sizeof(*ends));
	struct mailbox *mb = NULL;
	if (generation && ends) {
		for (uint32_t i = 0; i < k->n_members; i++) {
			const struct member *m = &k->members[i];
			/* Those that are about to be started for the first time count as alive:
			 * what is sent to them waits in the ring. */
			bool first = m->incarnation == 0;
			up[i] = i == id || m->pid > 0 || first;
			generation[i] = first ? 1 : up[i] ? m->incarnation : 0;
			ends[i] = k->members[i].ends;
		}
		mb = mailbox_attach(&k->plan, id, generation, ends,
				    k->cfg->memory.mailbox_overflow_bytes);
	}
	free(generation);
	free(ends);
	return mb;
}

/* Standard error stays; every other descriptor that is not in the list goes. The mailbox keeps
 * its mappings, so only the eventfds of its members are needed. */
static int close_the_rest(struct keeper *k, const struct worker_start *s)
{
	uint32_t n = 0, n_listeners = s->listener_fds ? k->cfg->n_listeners : 0;
	int *keep = calloc(7 + k->n_members + n_listeners, sizeof(*keep));
	if (!keep)
		return -ENOMEM;
	if (dup2(k->null_fd, STDIN_FILENO) < 0 || dup2(k->null_fd, STDOUT_FILENO) < 0)
		return -errno;
	keep[n++] = STDIN_FILENO;
	keep[n++] = STDOUT_FILENO;
	keep[n++] = STDERR_FILENO;
	keep[n++] = s->keeper_fd;
	keep[n++] = s->slab_fd;
	keep[n++] = s->control_fd;
	keep[n++] = s->keylog_fd;
	for (uint32_t i = 0; i < k->n_members; i++)
		keep[n++] = k->members[i].ends.event_fd;
	for (uint32_t i = 0; i < n_listeners; i++)
		keep[n++] = s->listener_fds[i];
	int err = descriptors_close_except(keep, n);
	free(keep);
	return err;
}

/* While we may still ask for it. */
static struct ring *open_ring(const struct keeper *k, uint32_t id)
{
	struct ring *r = k->cfg->io_uring == CONFIG_URING_AUTO ? ring_open() : NULL;
	if (r == NULL && k->cfg->io_uring == CONFIG_URING_AUTO && id == 0) /* one says it for all */
		log_info("io_uring: %s: messages are written one by one", strerror(errno));
	return r;
}

static void need(int err, const char *what)
{
	if (!err)
		return;
	log_error("cannot %s: %s", what, strerror(-err));
	_exit(1);
}

void child_run(struct keeper *k, uint32_t id, int channel)
{
	struct tls_material nothing = {0};
	struct worker_start s = {
		.id = id,
		.n_workers = k->n_workers,
		.incarnation = k->members[id].incarnation,
		.cfg = k->cfg,
		.slab_fd = k->members[id].slab_fd,
		.slab_max = k->slab_max,
		.keeper_fd = channel,
		.control_fd = -1,
		.tls = k->tls,
		.tickets = &k->certs.tickets,
		.ktls = k->ktls,
		.denied = &k->denied,
		.keylog_fd = member_is_admin(k, id) ? -1 : k->keylog_fd,
		.tls_generation = k->certs.generation,
	};
	bool admin = member_is_admin(k, id);
	memcpy(s.hash_key, k->hash_key, sizeof(s.hash_key));

	set_signals();
	set_name(k, id);
	set_core(k, id);
	random_reseed();

	bool *up = calloc(k->n_members, sizeof(*up));
	int *fds = calloc(k->cfg->n_listeners + 1, sizeof(*fds));
	need(up && fds ? 0 : -ENOMEM, "start");
	s.member_up = up;
	s.mailbox = join_mailbox(k, id, up);
	need(s.mailbox ? 0 : -errno, "join the mailbox");

	if (admin) {
		tls_material_free(k->tls); /* it has no TLS to speak: it keeps no keys */
		explicit_bzero(&k->certs.tickets, sizeof(k->certs.tickets));
		s.tls = &nothing;
		s.control_fd = k->control_fd;
	} else {
		for (uint32_t i = 0; i < k->cfg->n_listeners; i++)
			fds[i] = k->listener_fds[i * k->n_workers + id];
		s.listener_fds = fds;
	}
	shield_close(k->shield, false);

	need(close_the_rest(k, &s), "close descriptors that are not ours");
	s.ring = admin ? NULL : open_ring(k, id);
	need(privilege_drop_all(&k->user), "drop privileges");
	need(seccomp_confine(), "confine system calls");
	exit(worker_main(&s));
}
