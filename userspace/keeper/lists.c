/* SPDX-License-Identifier: BSD-2-Clause */
/* lists.c - whole sets of the deny and allow lists: read, built, switched to.
 *
 *   sluicectl ───── sealed memfd ─────────────────────────┐
 *   shield.lists ─► reader (no rights; parses) ─► memfd ──┴► builder (CAP_BPF; checks) ─► maps ─► switch
 *
 * One set at a time, by two kinds of children, while the keeper serves: a million prefixes take
 * a second or two. What is added or deleted one by one meanwhile is done to the new list too
 * (shield_list_note_changes). A child that dies, lies or takes too long changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "keeper/descriptors.h"
#include "keeper/guard.h"
#include "keeper/internal.h"
#include "keeper/list_source.h"
#include "keeper/seccomp.h"
#include "shield/list_file.h"

#define JOB_MS 50000 /* a child that takes longer is killed; READ_TIMEOUT_S of admin/ is longer */

/* What a builder sends; three messages with a descriptor each follow if err is 0. */
struct build_result {
	int err;
	struct list_built built;
	char whom[GUARD_TEXT_MAX + SHIELD_PREFIX_TEXT_MAX]; /* it locks out; "": nobody */
};

static const char *const words[LISTS] = {[LIST_DENY] = "deny", [LIST_ALLOW] = "allow"};

static enum shield_list_id list_of(const struct config_list *c)
{
	return c->action == CONFIG_LIST_ALLOW ? LIST_ALLOW : LIST_DENY;
}

static void answer(struct keeper *k, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void answer(struct keeper *k, int status, const char *fmt, ...)
{
	const struct lists_job *job = &k->lists.job;
	struct keeper_msg m = {.kind = KEEPER_REPLY, .ask = job->ask, .status = status};
	va_list args;

	va_start(args, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, args);
	va_end(args);
	if (status)
		log_error("%s list, set %s: %s", words[job->list], job->batch.name, m.text);
	else
		log_info("%s list, set %s: %s", words[job->list], job->batch.name, m.text);
	if (!job->incarnation || k->members[k->n_workers].incarnation != job->incarnation)
		return; /* nobody waits, or who asked has died */
	member_tell(k, k->n_workers, &m);
}

/* ---- children ------------------------------------------------------------------------------------- */

static void limit_time(void)
{
	setrlimit(RLIMIT_CPU, &(struct rlimit){JOB_MS / 1000, JOB_MS / 1000});
}

static void begin_child(struct keeper *k, const char *name)
{
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("lists", k->cfg->log_level, k->cfg->log_json);
	tls_material_free(k->tls);
	limit_time();
}

/* Opens the file with the keeper's rights and reads it without any. */
static _Noreturn void reader(struct keeper *k, const struct config_list *c, int to)
{
	struct list_file f = {.short_ones = true};
	int keep[] = {STDERR_FILENO, to}, err;
	char why[LIST_SOURCE_WHY_MAX];
	struct list_source source;

	begin_child(k, "sluice-lists");
	shield_close(k->shield, false);
	if (!list_source_open(&source, c, why)) {
		log_error("%s: %s", c->file, why);
		_exit(1);
	}
	if (descriptors_close_except(keep, ARRAY_SIZE(keep)) || privilege_drop_all(&k->user) ||
	    seccomp_confine())
		_exit(1);
	err = list_source_read(&source, &f);
	list_source_log(c, &f, err);
	if (err)
		_exit(1);
	err = list_file_write(&f, to);
	if (err)
		log_error("%s: %s", c->file, strerror(-err));
	_exit(err ? 1 : 0);
}

/* Does the set lock out somebody whom nobody means to? */
static void see_whom_it_hits(struct keeper *k, const struct lists_job *job, struct build_result *r)
{
	char who[GUARD_TEXT_MAX], prefix[SHIELD_PREFIX_TEXT_MAX];
	struct shield_prefix by;
	const struct guard *hit;
	struct guards g;

	if (job->list != LIST_DENY || job->force)
		return;
	guards_of(k->cfg, &g);
	guards_manage(&g, &k->policy.in_force->manage);
	hit = guards_hit_by_set(&g, &job->batch, &by);
	if (hit)
		snprintf(r->whom, sizeof(r->whom), "%s would lock out %s",
			 shield_prefix_str(&by, prefix), guard_str(hit, who));
	guards_free(&g);
}

/* Looks at the set and makes the maps. What sluice.conf names is loaded whoever it hits. */
static int build(struct keeper *k, struct lists_job *job, const struct list_hand *h,
		 struct build_result *r)
{
	job->batch.records = h->records;
	job->batch.n = h->n;
	job->batch.notes = h->notes;
	job->batch.n_notes = h->n_notes;
	/* a file never takes its set away: only what sluice.conf no longer names goes */
	if (!list_records_are_sound(&job->batch) || (job->batch.config && !h->n))
		return -EINVAL;
	see_whom_it_hits(k, job, r);
	if (*r->whom && !job->batch.config)
		return -EPERM;
	return shield_list_build(k->shield, job->list, &job->batch, &r->built);
}

static _Noreturn void builder(struct keeper *k, struct lists_job *job, int hand, int sock)
{
	struct build_result r = {.err = 0};
	struct list_hand h;
	int keep[] = {STDERR_FILENO, hand, sock, shield_list_types(k->shield)};

	begin_child(k, "sluice-build");
	if (descriptors_close_except(keep, ARRAY_SIZE(keep)) || privilege_keep_bpf())
		_exit(1);
	r.err = list_hand_open(hand, &h);
	if (!r.err)
		r.err = build(k, job, &h, &r);
	if (handover_send(sock, &r, sizeof(r), -1) != sizeof(r))
		_exit(1);
	for (int i = 0; !r.err && i < LIST_MAPS; i++)
		if (handover_send(sock, &i, sizeof(i), r.built.fd[i]) != sizeof(i))
			_exit(1);
	_exit(0);
}

/* ---- a job ---------------------------------------------------------------------------------------------- */

static void job_close(struct keeper *k)
{
	struct lists_job *job = &k->lists.job;

	if (job->hand >= 0)
		close(job->hand);
	if (job->sock >= 0)
		close(job->sock);
	if (k->shield)
		shield_list_note_changes(k->shield, job->list, false);
	*job = (struct lists_job){.hand = -1, .sock = -1};
}

static bool start_child(struct keeper *k)
{
	fflush(NULL);
	k->lists.job.pid = fork();
	k->lists.job.kill_at_ns = clock_mono_ns() + JOB_MS * 1000000ull;
	return k->lists.job.pid == 0;
}

static void start_building(struct keeper *k)
{
	struct lists_job *job = &k->lists.job;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		answer(k, -errno, "no channel: %s", strerror(errno));
		job_close(k);
		return;
	}
	job->sock = pair[0];
	job->builds = true;
	shield_list_note_changes(k->shield, job->list, true);
	if (start_child(k))
		builder(k, job, job->hand, pair[1]);
	close(pair[1]);
	if (job->pid < 0) {
		answer(k, -EAGAIN, "cannot fork");
		job_close(k);
	}
}

static void start_reading(struct keeper *k, const struct config_list *c)
{
	struct lists_job *job = &k->lists.job;

	*job = (struct lists_job){
		.hand = handover_memfd_open("sluice-list"),
		.sock = -1,
		.list = list_of(c),
		.batch.config = true,
	};
	snprintf(job->batch.name, sizeof(job->batch.name), "%s", c->name);
	snprintf(job->batch.source, sizeof(job->batch.source), "%s", c->file);
	if (job->hand < 0) {
		answer(k, job->hand, "no memory for it");
		job_close(k);
		return;
	}
	if (start_child(k))
		reader(k, c, job->hand);
	if (job->pid < 0) {
		answer(k, -EAGAIN, "cannot fork");
		job_close(k);
	}
}

static const char *why_not(int err)
{
	switch (-err) {
	case EINVAL: return "it is not in order, or no list";
	case E2BIG: return "more prefixes than a list takes";
	case ENOSPC: return "more sets or different notes than a list takes";
	case ENOMEM: return "no memory for it";
	case EPERM: return "the kernel makes no map for us";
	default: return strerror(-err);
	}
}

/* The set of that name as it is now; false: there is none. */
static bool find_set(struct keeper *k, enum shield_list_id list, const char *name,
		     struct shield_set *set)
{
	for (unsigned i = 1; i < LIST_SETS_MAX; i++)
		if (shield_list_set_info(k->shield, list, i, set) == 0 &&
		    strcmp(set->name, name) == 0)
			return true;
	return false;
}

/* It comes to nothing: what of sluice.conf's is in force instead? */
static void fail(struct keeper *k, int err, const char *why)
{
	const struct lists_job *job = &k->lists.job;
	struct shield_set set;

	if (!job->batch.config)
		answer(k, err, "not loaded: %s", why);
	else if (find_set(k, job->list, job->batch.name, &set))
		answer(k, err, "not loaded: %s; its %u prefix%s in force stay%s", why,
		       set.v4 + set.v6, set.v4 + set.v6 == 1 ? "" : "es",
		       set.v4 + set.v6 == 1 ? "s" : "");
	else
		answer(k, err, "not loaded: %s; nothing of it is in force", why);
	if (job->batch.config)
		shield_event(k->shield, EVENT_LIST, "%s list: set %.31s: not loaded, see the log",
			     words[job->list], job->batch.name);
}

static bool take_built(int sock, struct build_result *r)
{
	int ignored, fd = -1;

	if (handover_recv(sock, r, sizeof(*r), &fd) != sizeof(*r)) {
		memset(r, 0, sizeof(*r));
		r->err = -EIO;
		memset(r->built.fd, -1, sizeof(r->built.fd));
		return false;
	}
	if (fd >= 0)
		close(fd);
	r->whom[sizeof(r->whom) - 1] = '\0';
	memset(r->built.fd, -1, sizeof(r->built.fd));
	for (int i = 0; !r->err && i < LIST_MAPS; i++)
		if (handover_recv(sock, &ignored, sizeof(ignored), &r->built.fd[i]) !=
			    sizeof(ignored) ||
		    r->built.fd[i] < 0)
			r->err = -EIO;
	return r->err == 0;
}

static void built(struct keeper *k)
{
	struct lists_job *job = &k->lists.job;
	struct build_result r;
	int err;

	if (!take_built(job->sock, &r)) {
		shield_list_discard(&r.built);
		if (*r.whom)
			answer(k, r.err, "not loaded: %s; `force yes` if that is meant", r.whom);
		else
			fail(k, r.err, why_not(r.err));
		return;
	}
	if (*r.whom)
		log_warn("deny list, set %s: %s", job->batch.name, r.whom);
	job->batch.n = (size_t)r.built.v4 + r.built.v6; /* nothing else of it is used any more */
	err = shield_list_switch(k->shield, job->list, &job->batch, &r.built);
	if (err)
		fail(k, err, strerror(-err));
	else if (job->batch.n)
		answer(k, 0, "%u IPv4 and %u IPv6 prefixes, built in %u ms", r.built.v4, r.built.v6,
		       r.built.build_ms);
	else
		answer(k, 0, "taken away");
}

bool lists_reaped(struct keeper *k, pid_t pid, int status)
{
	struct lists_job *job = &k->lists.job;
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	if (!job->pid || job->pid != pid)
		return false;
	job->pid = 0;
	if (replace_hands_off(k) && !k->shutting_down) {
		answer(k, -EAGAIN, "not loaded: another sluiced is taking over: ask once more");
		job_close(k);
		return true;
	}
	if (good && !job->builds && !k->shutting_down && !handover_memfd_seal(job->hand)) {
		start_building(k);
		return true;
	}
	if (good && job->builds && !k->shutting_down)
		built(k);
	else if (!k->shutting_down)
		fail(k, -EIO,
		     WIFSIGNALED(status) ? "its child was killed" :
		     job->builds         ? "it could not be built" :
					   "see above");
	job_close(k);
	return true;
}

/* ---- what is asked ---------------------------------------------------------------------------------------- */

static void refuse(struct keeper *k, uint32_t id, const struct keeper_msg *m, int err,
		   const char *text)
{
	struct keeper_msg r = {.kind = KEEPER_REPLY, .ask = m->ask, .status = err};

	snprintf(r.text, sizeof(r.text), "%.150s", text);
	member_tell(k, id, &r);
}

/* A memfd with no prefix: the set goes away. */
static int nothing(void)
{
	struct list_file f = {};

	return list_file_hand(&f);
}

void lists_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd)
{
	struct lists_job *job = &k->lists.job;
	const char *space = strchr(m->text, ' ');
	size_t n = space ? (size_t)(space - m->text) : strlen(m->text);
	struct shield_set set;
	char text[160];

	if (!shield_is_on(k->shield)) {
		snprintf(text, sizeof(text), "the shield is off: %.120s",
			 shield_why_off(k->shield));
		refuse(k, id, m, -EOPNOTSUPP, text);
		return;
	}
	if (job->pid) {
		refuse(k, id, m, -EBUSY, "another set is being loaded: ask again");
		return;
	}
	*job = (struct lists_job){
		.hand = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : nothing(),
		.sock = -1,
		.list = m->list,
		.force = m->force,
		.ask = m->ask,
		.incarnation = k->members[id].incarnation,
	};
	memcpy(job->batch.name, m->text, MIN(n, sizeof(job->batch.name) - 1));
	if (space)
		snprintf(job->batch.source, sizeof(job->batch.source), "%s", space + 1);
	if (m->kind == KEEPER_LIST_DROP && !find_set(k, job->list, job->batch.name, &set)) {
		refuse(k, id, m, -ENOENT, "there is no such set");
		job_close(k);
		return;
	}
	if (job->hand < 0) {
		refuse(k, id, m, -ENOMEM, "no memory for it");
		job_close(k);
		return;
	}
	start_building(k);
}

/* ---- those of sluice.conf ------------------------------------------------------------------------------------ */

static bool is_configured(const struct keeper *k, enum shield_list_id list, const char *name)
{
	for (uint32_t i = 0; i < k->cfg->shield.n_lists; i++)
		if (list_of(&k->cfg->shield.lists[i]) == list &&
		    strcmp(k->cfg->shield.lists[i].name, name) == 0)
			return true;
	return false;
}

/* A set of an earlier sluice.conf that is no longer named: one at a time. */
static bool drop_stale(struct keeper *k)
{
	struct lists_job *job = &k->lists.job;
	struct shield_set set;

	for (int list = 0; list < LISTS; list++) {
		for (unsigned i = 1; i < LIST_SETS_MAX; i++) {
			if (shield_list_set_info(k->shield, list, i, &set) || !set.config ||
			    is_configured(k, list, set.name))
				continue;
			*job = (struct lists_job){.hand = nothing(), .sock = -1, .list = list};
			memcpy(job->batch.name, set.name, sizeof(job->batch.name));
			if (job->hand >= 0)
				start_building(k);
			return job->pid > 0;
		}
	}
	return false;
}

void lists_load(struct keeper *k)
{
	k->lists.next = 0;
	k->lists.stale = true;
}

uint64_t lists_due(struct keeper *k, uint64_t now)
{
	struct lists *l = &k->lists;

	if (l->job.pid && (now >= l->job.kill_at_ns || replace_hands_off(k))) {
		kill(l->job.pid, SIGKILL);
		l->job.kill_at_ns = UINT64_MAX;
	}
	if (l->job.pid)
		return l->job.kill_at_ns;
	if (replace_hands_off(k) || !shield_is_on(k->shield) || k->shutting_down)
		return UINT64_MAX;
	if (l->stale && !drop_stale(k))
		l->stale = false;
	while (!l->stale && !l->job.pid && l->next < k->cfg->shield.n_lists)
		start_reading(k, &k->cfg->shield.lists[l->next++]);
	return l->job.pid ? l->job.kill_at_ns : UINT64_MAX;
}

const char *lists_loading(const struct keeper *k, enum shield_list_id list)
{
	const struct lists_job *job = &k->lists.job;

	return job->pid && job->list == list ? job->batch.name : "";
}

void lists_close(struct keeper *k)
{
	if (k->lists.job.pid > 0) {
		kill(k->lists.job.pid, SIGKILL);
		waitpid(k->lists.job.pid, NULL, 0);
	}
	k->lists.job.pid = 0;
	job_close(k);
}
