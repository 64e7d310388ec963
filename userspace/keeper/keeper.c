/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper.c - opens everything, in the order in which one thing needs another, and closes it
 * in reverse.
 *
 *    runtime dir ─► secrets ─► ports, control socket ─► shield ─► shared memory
 *          ─► privileges go ─► fork ─► supervise ─► … ─► all back
 *
 * Privileges go before the first fork, so that the first worker and the thousandth successor
 * are made in the same way, by the same code, with the same rights. */
#include "keeper/keeper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "conn/slab.h"
#include "keeper/guard.h"
#include "keeper/internal.h"
#include "keeper/seccomp.h"
#include "listener/listener.h"
#include "tls/offload.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define AUTO_CONNECTIONS  (1u << 20) /* per worker, where nobody limits descriptors */
#define SPARE_DESCRIPTORS 512u       /* per worker: what are not connections */

/* ---- how much of everything ------------------------------------------------------------------- */

static int count_cores(struct keeper *k)
{
	for (uint32_t max = 1024; max <= 1u << 20; max *= 2) {
		cpu_set_t *set = CPU_ALLOC(max);
		size_t bytes = CPU_ALLOC_SIZE(max);
		if (!set)
			return -ENOMEM;
		if (sched_getaffinity(0, bytes, set) == 0) {
			k->n_cpu = (uint32_t)CPU_COUNT_S(bytes, set);
			k->cpu = calloc(k->n_cpu, sizeof(*k->cpu));
			for (uint32_t i = 0, n = 0; k->cpu && n < k->n_cpu; i++)
				if (CPU_ISSET_S(i, bytes, set))
					k->cpu[n++] = i;
			CPU_FREE(set);
			return k->cpu ? 0 : -ENOMEM;
		}
		int err = errno;
		CPU_FREE(set);
		if (err != EINVAL) /* the kernel knows more cores than this set has bits */
			return -err;
	}
	return -EINVAL;
}

static int count_workers(struct keeper *k)
{
	int err = count_cores(k);
	if (err) {
		log_error("cannot tell which cores may be used: %s", strerror(-err));
		return err;
	}
	k->n_workers = k->cfg->workers ? k->cfg->workers : MIN(k->n_cpu, MAILBOX_MEMBERS_MAX - 1);
	k->n_members = k->n_workers + 1;
	if (k->n_members > MAILBOX_MEMBERS_MAX) {
		log_error("workers: %u: at most %u workers can talk to each other", k->n_workers,
			  MAILBOX_MEMBERS_MAX - 1);
		return -EINVAL;
	}
	return 0;
}

/* Every pair of members needs a ring. */
static int plan_mailbox(struct keeper *k)
{
	uint64_t bytes = k->cfg->memory.mailbox_bytes;
	int err = mailbox_plan(&k->plan, k->n_members, bytes, MAILBOX_ARENA_BYTES);
	if (err)
		log_error(
			"memory.mailbox: %llu bytes do not give every pair of %u processes a ring of "
			"%u: make it larger, or have fewer workers",
			(unsigned long long)bytes, k->n_members, MAILBOX_RING_MIN);
	return err;
}

/* How many connections a worker may have follows from its descriptors. */
static int count_connections(struct keeper *k)
{
	uint64_t spare = MAX(SPARE_DESCRIPTORS, 64 + k->n_members + k->cfg->n_listeners);
	uint64_t want = k->cfg->max_connections;
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return -errno;
	if (want && r.rlim_max < want + spare) /* root may, elsewhere this fails */
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){want + spare, want + spare});
	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return -errno;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
		getrlimit(RLIMIT_NOFILE, &r);
	}
	if (r.rlim_cur <= spare) {
		log_error(
			"a process may open %llu files here, and %llu are needed beside the clients: "
			"raise the limit (ulimit -n, LimitNOFILE=)",
			(unsigned long long)r.rlim_cur, (unsigned long long)spare);
		return -EMFILE;
	}
	uint64_t most = MIN(r.rlim_cur - spare, (uint64_t)CONN_MAX - 1);
	k->slab_max = (uint32_t)(want ? MIN(want, most) : MIN(most, AUTO_CONNECTIONS));
	if (want > most)
		log_warn("max_connections: %llu per worker need %llu open files, the limit is "
			 "%llu: %u it is (ulimit -n, LimitNOFILE=, or more workers)",
			 (unsigned long long)want, (unsigned long long)(want + spare),
			 (unsigned long long)r.rlim_cur, k->slab_max);
	return 0;
}

/* ---- ports --------------------------------------------------------------------------------------- */

static int open_listeners(struct keeper *k)
{
	size_t n = (size_t)k->cfg->n_listeners * k->n_workers;
	k->listener_fds = malloc((n + 1) * sizeof(int));
	if (!k->listener_fds)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		k->listener_fds[i] = -1;
	/* Whom we replace listens there, and is to go on until we are ready. */
	for (uint32_t l = 0; l < k->cfg->n_listeners && !replace_hands_off(k); l++) {
		int err = listener_check_free(&k->cfg->listeners[l]);
		if (err)
			return err;
	}
	for (uint32_t l = 0; l < k->cfg->n_listeners; l++) {
		int *group = &k->listener_fds[(size_t)l * k->n_workers];
		int err = listener_open_group(&k->cfg->listeners[l], group, k->n_workers);
		if (err) {
			for (uint32_t i = 0; i < k->n_workers; i++)
				group[i] = -1; /* those that it had opened it has closed */
			return err;
		}
	}
	return 0;
}

static void close_listeners(struct keeper *k)
{
	size_t n = k->listener_fds ? (size_t)k->cfg->n_listeners * k->n_workers : 0;
	for (size_t i = 0; i < n; i++)
		if (k->listener_fds[i] >= 0)
			close(k->listener_fds[i]);
	free(k->listener_fds);
	k->listener_fds = NULL;
}

/* ---- the shield ------------------------------------------------------------------------------------ */

/* The management door: prefixes, and ports one by one. */
static int manage_of(const struct config_manage *m, struct shield_config *out)
{
	struct shield_prefix *who = calloc(m->n_prefixes + 1, sizeof(*who));
	uint16_t *port = NULL;
	size_t n = 0;

	for (uint32_t i = 0; i < m->n_ports; i++)
		n += m->ports[i].last - m->ports[i].first + 1u;
	port = calloc(n + 1, sizeof(*port));
	if (!who || !port) {
		free(who);
		free(port);
		return -ENOMEM;
	}
	n = 0;
	for (uint32_t i = 0; i < m->n_prefixes; i++)
		who[i] = plan_prefix(&m->prefixes[i]);
	for (uint32_t i = 0; i < m->n_ports; i++)
		for (uint32_t p = m->ports[i].first; p <= m->ports[i].last; p++)
			port[n++] = (uint16_t)p;
	out->manage = who;
	out->n_manage = m->n_prefixes;
	out->manage_port = port;
	out->n_manage_ports = n;
	return 0;
}

static bool serves_any(const struct config *cfg)
{
	for (uint32_t l = 0; l < cfg->n_listeners; l++)
		if (cfg->listeners[l].n_serves)
			return true;
	return false;
}

static int open_shield_with(struct keeper *k, const struct plan *plan)
{
	static const enum shield_want want[] = {
		[CONFIG_SHIELD_AUTO] = SHIELD_WANT_AUTO,
		[CONFIG_SHIELD_NATIVE] = SHIELD_WANT_NATIVE,
		[CONFIG_SHIELD_GENERIC] = SHIELD_WANT_GENERIC,
		[CONFIG_SHIELD_OFF] = SHIELD_WANT_OFF,
	};
	const struct config *cfg = k->cfg;
	struct shield_config sc = {
		.pin_dir = cfg->pin_dir,
		.mode = want[cfg->shield.mode],
		.coexist = cfg->shield.coexist,
		.ifaces = cfg->shield.interfaces,
		.n_ifaces = cfg->shield.n_interfaces,
		.plan = plan_for_shield(plan),
		.deny = plan->deny,
		.n_deny = plan->n_deny,
		.steer = (enum shield_steer_want)cfg->shield.steer,
		.serves = serves_any(cfg),
		.pin_lock = k->replace.pin_lock,
		.rehearsed = &k->rehearsed,
	};
	int err = manage_of(&cfg->shield.manage, &sc);
	if (!err)
		err = shield_open(&sc, &k->shield);
	free((void *)sc.manage);
	free((void *)sc.manage_port);
	return err;
}

/* Each listen address gets our program, which spares the workers that are down or full.
 * Addresses beyond the shield's bound are spread by the kernel: that works too. */
static void open_groups(struct keeper *k)
{
	uint32_t *cpu = calloc(k->n_workers, sizeof(*cpu));
	if (!cpu)
		return;
	for (uint32_t i = 0; i < k->n_workers; i++)
		cpu[i] = keeper_cpu_of(k, i);
	bool can = shield_workers_set(k->shield, cpu, k->n_workers) == 0;
	for (uint32_t l = 0; can && l < k->cfg->n_listeners && l < SHIELD_GROUPS_MAX; l++)
		if (shield_group_attach(k->shield, l, &k->listener_fds[(size_t)l * k->n_workers],
					k->n_workers) == 0)
			k->shield_used = true;
	if (can && k->cfg->n_listeners > SHIELD_GROUPS_MAX)
		log_info(
			"%u listeners: the kernel spreads the connections of those after the first %d",
			k->cfg->n_listeners, SHIELD_GROUPS_MAX);
	free(cpu);
}

/* Prefixes that listeners serve beside their own addresses. */
static void open_serves(struct keeper *k)
{
	struct shield_serve list[CONFIG_MAX_SERVES];
	size_t n = 0;
	int err;
	for (uint32_t l = 0; l < k->cfg->n_listeners; l++) {
		const struct config_listener *c = &k->cfg->listeners[l];
		for (uint32_t i = 0; i < c->n_serves && l < SHIELD_GROUPS_MAX; i++) {
			assert(n < ARRAY_SIZE(list)); /* the configuration says so */
			list[n++] = (struct shield_serve){
				.to = plan_prefix(&c->serves[i].prefix),
				.port = c->serves[i].ports.first,
				.last = c->serves[i].ports.last,
				.group = l,
			};
			listener_check_local(c, &c->serves[i]);
		}
	}
	err = shield_serve_set(k->shield, list, n);
	if (err == -EOPNOTSUPP && n)
		log_warn("serves: not without BPF: listeners serve their own addresses only");
}

int keeper_open_shield(struct keeper *k)
{
	struct plan *plan = malloc(sizeof(*plan));
	int err = -ENOMEM;
	if (plan) {
		plan_of_config(plan, k->cfg);
		err = open_shield_with(k, plan);
	}
	k->policy.in_force = plan;
	if (err)
		return err;
	k->shield_used = shield_is_on(k->shield);
	if (k->shield_used)
		guards_log(k->cfg);
	lists_load(k);
	open_groups(k);
	open_serves(k);
	const struct config_offences *o = &k->cfg->shield.offences;
	const struct offence_rules rules = {o->points, o->window_ms, o->first_ms, o->longest_ms};
	if (o->points && !(k->offences = offences_new(&rules, k->hash_key)))
		return -ENOMEM;
	return 0;
}

void keeper_reclaim(struct keeper *k)
{
	keeper_write_members(k);
	if (!k->shield_used)
		return;
	shield_lists_forget(k->shield);
	lists_load(k);
	open_groups(k);
	open_serves(k);
	for (uint32_t i = 0; i < k->n_workers; i++)
		member_mark(k, i, member_shield_state(&k->members[i]));
}

/* ---- shared memory ----------------------------------------------------------------------------------- */

/* One worker's conns. Nobody can change its size under the one who maps it. */
static int open_slab(const struct keeper *k, uint32_t id)
{
	char name[32];
	snprintf(name, sizeof(name), "sluice-slab-%u", id);
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	if (fd >= 0 && ftruncate(fd, (off_t)conn_slab_bytes(k->slab_max)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	int err = errno;
	if (fd >= 0)
		close(fd);
	return -err;
}

static int open_memory(struct keeper *k)
{
	int err = 0;
	for (uint32_t i = 0; i < k->n_members; i++) {
		struct member *m = &k->members[i];
		err = mailbox_ends_open(&k->plan, &m->ends);
		if (err) {
			m->ends = (struct mailbox_ends){-1, -1, -1};
		} else {
			m->slab_fd = open_slab(k, i);
			err = m->slab_fd < 0 ? m->slab_fd : 0;
		}
		if (err) {
			log_error("%s: cannot make its shared memory: %s", member_name(k, i),
				  strerror(-err));
			return err;
		}
	}
	return 0;
}

static int new_members(struct keeper *k)
{
	k->members = calloc(k->n_members, sizeof(*k->members));
	if (!k->members)
		return -ENOMEM;
	for (uint32_t i = 0; i < k->n_members; i++) {
		struct member *m = &k->members[i];
		m->slab_fd = m->channel = -1;
		m->ends = (struct mailbox_ends){-1, -1, -1};
	}
	return 0;
}

static void free_members(struct keeper *k)
{
	for (uint32_t i = 0; i < k->n_members; i++) {
		struct member *m = &k->members[i];
		if (m->channel >= 0)
			close(m->channel);
		if (m->slab_fd >= 0)
			close(m->slab_fd);
		if (m->ends.event_fd >= 0)
			mailbox_ends_close(&m->ends);
	}
	free(k->members);
}

/* ---- all of it -------------------------------------------------------------------------------------- */

static int start_and_supervise(struct keeper *k)
{
	/* whoever takes over loads his shield last of all */
	int err = privilege_reduce(k->shield_used || replace_hands_off(k), k->user.change);
	if (err) {
		log_error("cannot drop privileges: %s", strerror(-err));
		return 1;
	}
	if (seccomp_is_wide())
		log_warn(
			"a sanitizer's build: the workers' filter of system calls is wide, do not serve "
			"strangers with it");
	for (uint32_t i = 0; i < k->n_members; i++)
		member_start(k, i);
	keeper_write_members(k);
	return supervise(k);
}

/* For debugging: said each time, because everybody forgets it once. */
static int open_keylog(struct keeper *k)
{
	const char *file = k->cfg->tls.debug_keylog_file;
	if (!file)
		return 0;
	k->keylog_fd = open(
		file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (k->keylog_fd < 0) {
		log_error("tls.debug_keylog_file %s: %s", file, strerror(errno));
		return -errno;
	}
	log_warn("tls: the secrets of every session go to %s: whoever has it reads all traffic "
		 "(debug_keylog_file)",
		 file);
	return 0;
}

static int with_runtime(struct keeper *k)
{
	int code = 1;
	k->tls = tls_material_load(k->cfg);
	if (!k->tls || !tls_material_check(k->cfg, k->tls))
		goto no_secrets;
	if (open_keylog(k))
		goto no_secrets;
	certs_open(k);
	k->ktls = k->cfg->tls.ktls == CONFIG_KTLS_AUTO && tls_offload_there();
	if (k->cfg->tls.ktls == CONFIG_KTLS_AUTO)
		log_info("tls: ktls: %s", k->ktls ? "the kernel seals what is sent" :
						    "this kernel has none (module tls): we seal");
	k->signal_fd = supervise_signals_open(); /* from here on there is something to undo */
	if (k->signal_fd < 0)
		goto no_signals;
	k->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (k->null_fd < 0 || new_members(k))
		goto no_members;
	if (open_listeners(k))
		goto no_listeners;
	k->control_fd = runtime_control_open(&k->runtime, k->cfg);
	if (k->control_fd < 0)
		goto no_listeners;
	if (!replace_hands_off(k) && keeper_open_shield(k))
		goto no_shield;
	if (replace_hands_off(k) && k->cfg->shield.mode != CONFIG_SHIELD_OFF &&
	    k->cfg->shield.n_interfaces && privilege_has(CAP_SYS_ADMIN))
		shield_rehearse(&k->rehearsed);
	replace_open(k);
	if (!open_memory(k))
		code = start_and_supervise(k);
	lists_close(k);
	shield_close(k->shield, !replace_hands_off(k));
no_shield:
	replace_close(k);
	policy_close(k);
	free(k->offences);
	close(k->control_fd);
no_listeners:
	close_listeners(k);
	free_members(k);
no_members:
	if (k->null_fd >= 0)
		close(k->null_fd);
	close(k->signal_fd);
no_signals:
	certs_close(k);
no_secrets:
	if (k->keylog_fd >= 0)
		close(k->keylog_fd);
	tls_material_free(k->tls);
	return code;
}

bool keeper_check(const struct config *cfg)
{
	struct keeper k = {.cfg = cfg};
	bool ok = !count_workers(&k) && !plan_mailbox(&k) &&
		  !privilege_find_user(cfg->user, cfg->group, &k.user);
	free(k.cpu);
	return ok;
}

/* The directory is ours, or the one who has it gives way. */
static int enter(struct keeper *k, bool replace)
{
	int lock_fd, err = replace ? replace_ask(k, &lock_fd) : -ENOENT;
	if (replace && err == -ENOENT)
		log_info("nobody runs on %s: an ordinary start", k->cfg->runtime_dir);
	if (err == -ENOENT)
		return runtime_open(&k->runtime, k->cfg);
	if (!err)
		err = runtime_share(&k->runtime, k->cfg, lock_fd);
	if (err)
		replace_close(k);
	return err;
}

int keeper_run(const struct config *cfg, const struct keeper_how *how)
{
	struct keeper k = {.cfg = cfg,
			   .started_wall_ms = clock_wall_ms(),
			   .control_fd = -1,
			   .keylog_fd = -1,
			   .null_fd = -1,
			   .ready_fd = how->ready_fd,
			   .lists = {.job = {.hand = -1, .sock = -1}},
			   .certs = {.job = {.hand = -1}, .watch = -1},
			   .replace = {.door = -1, .peer = -1, .pin_lock = -1},
			   .runtime = {.dir_fd = -1, .lock_fd = -1}};
	log_init("keeper", cfg->log_level, cfg->log_json);
	random_bytes(k.hash_key, sizeof(k.hash_key));
	tzset();    /* workers cannot open the file that it reads */
	umask(022); /* who may enter runtime_dir and the control socket is said elsewhere */

	int code = 1;
	if (count_workers(&k) || plan_mailbox(&k) || count_connections(&k) ||
	    privilege_find_user(cfg->user, cfg->group, &k.user))
		goto no_runtime;
	privilege_say_user(&k.user);
	if (enter(&k, how->replace))
		goto no_runtime;
	code = with_runtime(&k);
	runtime_close(&k.runtime);
	if (code == 0)
		log_info("stopped");
no_runtime:
	free(k.cpu);
	return code;
}
