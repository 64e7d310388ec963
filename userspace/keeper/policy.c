/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.c - the shield's policy while it runs: a file is read, tried, kept or left.
 *
 *    sluicectl ─► text of a file ─┐
 *    SIGHUP ────► our own file ───┼─► child without rights ─► plan or mistakes ─► the other bank
 *                                 │   (parses, nothing else)
 *      trial over by time (in the kernel, we only clear up) ── confirm ── revert
 *
 * The keeper parses nothing: a forked child gives up all that it could do before it looks at the text,
 * and what it writes into the memory that both share is checked before it is believed. One file is
 * read at a time, by the loop's clock, so that nobody waits for it.
 *
 * A trial ends by itself even if we die: the program knows its end, and denials that the file on
 * trial adds expire with it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "config/bundle.h"
#include "keeper/descriptors.h"
#include "keeper/guard.h"
#include "keeper/internal.h"
#include "keeper/seccomp.h"

#define READ_MS 10000 /* a child that reads longer is killed */

/* What the child writes, in memory shared with nobody else. */
struct policy_result {
	uint32_t done; /* 1: all of it is there */
	uint32_t n_mistakes;
	uint32_t report_n;
	char report[KEEPER_REPORT_MAX];
	struct plan plan; /* unless there are mistakes */
};

/* ---- the child --------------------------------------------------------------------------------- */

static void report(struct policy_result *r, char kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void report(struct policy_result *r, char kind, const char *fmt, ...)
{
	size_t room = sizeof(r->report) - r->report_n;
	char line[1024];
	va_list args;
	int n;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	n = snprintf(r->report + r->report_n, room, "%c%s\n", kind, line);
	if (n > 0 && (size_t)n < room)
		r->report_n += (uint32_t)n;
}

static void report_mistakes(struct policy_result *r, const struct config_errors *errs)
{
	r->n_mistakes = errs->n;
	for (uint32_t i = 0; i < errs->n; i++) {
		const struct config_error *e = &errs->list[i];

		if (e->line)
			report(r, 'E', "%s:%d: %s", e->file ? e->file : "", e->line, e->text);
		else
			report(r, 'E', "%s%s%s", e->file ? e->file : "", e->file ? ": " : "",
			       e->text);
	}
}

static bool same_words(const char *const *a, uint32_t n_a, const char *const *b, uint32_t n_b)
{
	bool same = n_a == n_b;

	for (uint32_t i = 0; same && i < n_a; i++)
		same = strcmp(a[i], b[i]) == 0;
	return same;
}

static bool same_lists(const struct config *a, const struct config *b)
{
	bool same = a->shield.n_lists == b->shield.n_lists;

	for (uint32_t i = 0; same && i < a->shield.n_lists; i++) {
		const struct config_list *x = &a->shield.lists[i], *y = &b->shield.lists[i];

		same = strcmp(x->name, y->name) == 0 && strcmp(x->file, y->file) == 0 &&
		       x->action == y->action &&
		       same_words(x->countries, x->n_countries, y->countries, y->n_countries) &&
		       same_words(x->asns, x->n_asns, y->asns, y->n_asns);
	}
	return same;
}

static bool same_interfaces(const struct config *a, const struct config *b)
{
	bool same = a->shield.n_interfaces == b->shield.n_interfaces;

	for (uint32_t i = 0; same && i < a->shield.n_interfaces; i++)
		same = strcmp(a->shield.interfaces[i], b->shield.interfaces[i]) == 0;
	return same;
}

/* The door stands beside every policy: who tries one must not lose it by that. */
static void report_manage(struct policy_result *r, const struct keeper *k)
{
	const struct plan_manage *now = &k->policy.in_force->manage;

	if (k->policy.job.kind != POLICY_RELOAD && !plan_manage_equal(&r->plan.manage, now))
		report(r, 'N',
		       "shield.manage differs from what runs: no trial touches it, SIGHUP with that file in "
		       "use does");
}

/* What a running shield cannot change, if it is other there. */
static void report_fixed(struct policy_result *r, const struct config *now,
			 const struct config *file)
{
	static const char needs[] = "differs from what runs, and takes a restart: left as it is";

	if (!same_interfaces(now, file))
		report(r, 'N', "shield.interfaces %s", needs);
	if (now->shield.coexist != file->shield.coexist)
		report(r, 'N', "shield.coexist %s", needs);
	if (now->shield.mode != file->shield.mode)
		report(r, 'N', "shield.mode %s", needs);
	if (now->shield.steer != file->shield.steer)
		report(r, 'N', "shield.steer %s", needs);
	if (memcmp(&now->shield.offences, &file->shield.offences, sizeof(now->shield.offences)) !=
	    0)
		report(r, 'N', "shield.offences %s", needs);
	if (!same_lists(now, file))
		report(r, 'N', "shield.lists %s (what their files hold is read anew at SIGHUP)",
		       needs);
	if (strcmp(now->pin_dir, file->pin_dir) != 0)
		report(r, 'N', "pin_dir %s", needs);
}

/* fd: a bundle that somebody sent; -1: the file that we run by, which only we may be able to open. */
static char *take_text(struct keeper *k, int fd, struct config_errors *errs)
{
	ssize_t n = fd < 0 ? 0 : handover_sealed(fd, KEEPER_BUNDLE_MAX);
	char *text;

	if (fd < 0)
		return config_bundle(k->cfg->file, KEEPER_BUNDLE_MAX, errs);
	text = n < 0 ? NULL : malloc((size_t)n + 1);
	if (!text || handover_read(fd, text, (size_t)n)) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static int give_up_all(struct keeper *k)
{
	int keep[] = {STDERR_FILENO};
	int err = descriptors_close_except(keep, ARRAY_SIZE(keep));

	if (!err && setrlimit(RLIMIT_CPU, &(struct rlimit){READ_MS / 1000, READ_MS / 1000}) < 0)
		err = -errno;
	if (!err)
		err = privilege_drop_all(&k->user);
	return err ? err : seccomp_confine();
}

static void say_note(void *result, const char *line)
{
	report(result, 'N', "%s", line);
}

static _Noreturn void child(struct keeper *k, int fd, struct policy_result *r)
{
	struct guards guards;
	struct config_errors errs = {0};
	struct config *cfg;
	char *text;

	prctl(PR_SET_NAME, "sluice-policy");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("policy", k->cfg->log_level, k->cfg->log_json);
	tls_material_free(k->tls);
	shield_close(k->shield, false);
	text = take_text(k, fd, &errs);
	if (!text && errs.n == 0)
		_exit(1);
	guards_of(k->cfg, &guards); /* while the kernel may be asked for our addresses */
	if (give_up_all(k))
		_exit(1);
	cfg = text ? config_load_bundle(text, &errs) : NULL;
	report_mistakes(r, &errs);
	if (cfg) {
		bool reload = k->policy.job.kind == POLICY_RELOAD;

		plan_of_config(&r->plan, cfg);
		report_fixed(r, k->cfg, cfg);
		report_manage(r, k);
		guards_manage(&guards, reload ? &r->plan.manage : &k->policy.in_force->manage);
		guards_warn(&guards, cfg, say_note, r);
	}
	r->done = 1;
	_exit(0);
}

/* ---- its begin and its end -------------------------------------------------------------------------- */

static void answer(struct keeper *k, int status, const struct policy_result *r, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));
static void answer(struct keeper *k, int status, const struct policy_result *r, const char *fmt,
		   ...)
{
	const struct policy_job *job = &k->policy.job;
	struct keeper_msg m = {.kind = KEEPER_REPLY, .ask = job->ask, .status = status};
	const struct member *admin = &k->members[k->n_workers];
	int fd = -1;
	va_list args;

	va_start(args, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, args);
	va_end(args);
	if (job->kind == POLICY_RELOAD) {
		if (status)
			log_error("policy: %s", m.text);
		else
			log_info("policy: %s", m.text);
		return;
	}
	if (admin->incarnation != job->incarnation)
		return; /* who asked has died */
	if (r && r->report_n)
		fd = handover_memfd("sluice-report", r->report, r->report_n);
	member_hand(k, k->n_workers, &m, fd);
	if (fd >= 0)
		close(fd);
}

static void job_start(struct keeper *k, int fd)
{
	struct policy_job *job = &k->policy.job;

	job->shared = mmap(NULL, sizeof(*job->shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (job->shared == MAP_FAILED) {
		answer(k, -ENOMEM, NULL, "no memory to read the file");
		return;
	}
	fflush(NULL);
	job->pid = fork();
	if (job->pid == 0)
		child(k, fd, job->shared);
	if (job->pid < 0) {
		answer(k, -errno, NULL, "cannot fork: %s", strerror(errno));
		munmap(job->shared, sizeof(*job->shared));
		job->pid = 0;
		return;
	}
	job->kill_at_ns = clock_mono_ns() + READ_MS * 1000000ull;
}

/* A copy that nobody else can write to any more; NULL: it is not what an honest child writes. */
static struct policy_result *take_result(const struct policy_result *shared)
{
	struct policy_result *r = malloc(sizeof(*r));

	if (!r)
		return NULL;
	memcpy(r, shared, sizeof(*r));
	if (r->done == 1 && r->report_n <= sizeof(r->report) &&
	    (r->n_mistakes || plan_is_sound(&r->plan)))
		return r;
	free(r);
	return NULL;
}

/* ---- what is done with a plan ------------------------------------------------------------------------- */

static struct plan *copy_of(const struct plan *p)
{
	struct plan *out = malloc(sizeof(*out));

	if (out)
		memcpy(out, p, sizeof(*out));
	return out;
}

static int deny_as(struct keeper *k, const struct plan *p, uint32_t seconds)
{
	return shield_deny_config(k->shield, p->deny, p->n_deny, seconds);
}

static void trial_over(struct keeper *k)
{
	free(k->policy.trial);
	k->policy.trial = NULL;
	k->policy.trial_ends_ns = 0;
}

/* Back to what is in force, denials included. */
static int go_back(struct keeper *k)
{
	int err = shield_policy_revert(k->shield);
	int err2 = deny_as(k, k->policy.in_force, 0);

	trial_over(k);
	if (err == -ENOENT)
		err = 0; /* the maps are new since; what is in them is what is in force */
	return err ? err : err2;
}

/* Denials first: they end with the trial or before it, never after. */
static void try_plan(struct keeper *k, const struct policy_result *r)
{
	struct policy *p = &k->policy;
	struct shield_plan plan = plan_for_shield(&r->plan);
	int err;

	if (p->trial) {
		answer(k, -EBUSY, r, "another policy is on trial: confirm or revert it first");
		return;
	}
	p->trial = copy_of(&r->plan);
	if (p->trial)
		p->trial->manage = p->in_force->manage; /* it is none of a trial's business */
	err = p->trial ? deny_as(k, &r->plan, p->job.seconds) : -ENOMEM;
	if (!err)
		err = shield_policy_set(k->shield, &plan, p->job.seconds * 1000ull);
	if (err) {
		if (p->trial)
			deny_as(k, p->in_force, 0);
		trial_over(k);
		answer(k, err, r, "the policy cannot be had: %s (see the log)", strerror(-err));
		return;
	}
	/* not before the program's own end of it: we only clear up */
	p->trial_ends_ns = clock_mono_ns() + p->job.seconds * 1000000000ull;
	snprintf(p->trial_name, sizeof(p->trial_name), "%s", p->job.name);
	log_warn(
		"policy: %s is on trial for %u s; then the one before comes back unless it is confirmed",
		*p->trial_name ? p->trial_name : "a file", p->job.seconds);
	answer(k, 0, r, "on trial for %u s; `sluicectl policy confirm` keeps it", p->job.seconds);
}

static void check_plan(struct keeper *k, const struct policy_result *r)
{
	const struct policy *p = &k->policy;

	answer(k, 0, r, "sound: %u protected, %u denied; %s", r->plan.n_protect, r->plan.n_deny,
	       plan_equal(&r->plan, p->in_force) ? "the policy that is in force" :
						   "not the policy that is in force");
}

/* The door first: who is let in by it anew is let in whatever the policy does. */
static int reload_all(struct keeper *k, const struct plan *next)
{
	struct shield_plan plan = plan_for_shield(next);
	const struct plan *before = k->policy.in_force;
	bool door = !plan_manage_equal(&next->manage, &before->manage);
	int err = door ? plan_manage_set(k->shield, &next->manage) : 0;

	if (!err)
		err = shield_policy_set(k->shield, &plan, 0);
	if (!err)
		err = deny_as(k, next, 0);
	if (err && door)
		plan_manage_set(k->shield, &before->manage);
	else if (door)
		log_warn("policy: shield.manage: %u prefix%s pass%s to its ports now",
			 next->manage.n_who, next->manage.n_who == 1 ? "" : "es",
			 next->manage.n_who == 1 ? "es" : "");
	return err;
}

static void reload_plan(struct keeper *k, const struct policy_result *r)
{
	struct policy *p = &k->policy;
	struct plan *next;
	int err;

	if (p->trial) {
		answer(k, -EBUSY, r, "a policy is on trial: confirm or revert it, then reload");
		return;
	}
	if (plan_equal(&r->plan, p->in_force)) {
		answer(k, 0, r, "%s says what is in force already", k->cfg->file);
		return;
	}
	next = copy_of(&r->plan);
	err = next ? reload_all(k, next) : -ENOMEM;
	if (err) {
		free(next);
		answer(k, err, r, "the policy of %s cannot be had: %s", k->cfg->file,
		       strerror(-err));
		return;
	}
	free(p->in_force);
	p->in_force = next;
	answer(k, 0, r, "that of %s is in force now", k->cfg->file);
}

/* After a confirmation: will the next start do what now is done? */
static void compare_plan(struct keeper *k, const struct policy_result *r)
{
	if (plan_equal(&r->plan, k->policy.in_force))
		answer(k, 0, NULL, "in force, as %s has it", k->cfg->file);
	else
		answer(k, 0, NULL,
		       "in force; %.80s says otherwise: the next restart or SIGHUP goes by that file",
		       k->cfg->file);
}

static void log_report(const struct policy_result *r)
{
	const char *p = r->report, *end = p + r->report_n;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		int n = (int)((eol ? eol : end) - p) - 1;

		if (n > 0 && *p == 'E')
			log_error("policy: %.*s", n, p + 1);
		else if (n > 0)
			log_warn("policy: %.*s", n, p + 1);
		p = eol ? eol + 1 : end;
	}
}

static void job_done(struct keeper *k, const struct policy_result *r)
{
	if (k->policy.job.kind == POLICY_RELOAD)
		log_report(r);
	if (r->n_mistakes && k->policy.job.kind == POLICY_COMPARE) {
		answer(k, 0, NULL, "in force; %.80s has mistakes: mend it before the next restart",
		       k->cfg->file);
		return;
	}
	if (r->n_mistakes) {
		answer(k, -EINVAL, r, "%u mistake%s: nothing is changed", r->n_mistakes,
		       r->n_mistakes == 1 ? "" : "s");
		return;
	}
	switch (k->policy.job.kind) {
	case POLICY_CHECK: check_plan(k, r); break;
	case POLICY_TRY: try_plan(k, r); break;
	case POLICY_RELOAD: reload_plan(k, r); break;
	case POLICY_COMPARE: compare_plan(k, r); break;
	}
}

bool policy_reaped(struct keeper *k, pid_t pid, int status)
{
	struct policy_job *job = &k->policy.job;
	struct policy_result *r;

	if (job->pid != pid)
		return false;
	job->pid = 0;
	r = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? take_result(job->shared) : NULL;
	munmap(job->shared, sizeof(*job->shared));
	if (r && !k->shutting_down)
		job_done(k, r);
	else if (!k->shutting_down)
		answer(k, -EIO, NULL, "the file could not be read (%s)",
		       WIFSIGNALED(status) ? "its reader was killed" : "its reader failed");
	free(r);
	return true;
}

/* ---- what is asked -------------------------------------------------------------------------------- */

static void say(struct keeper *k, uint32_t id, const struct keeper_msg *asked, int status,
		const char *text)
{
	struct keeper_msg m = {.kind = KEEPER_REPLY, .ask = asked->ask, .status = status};

	snprintf(m.text, sizeof(m.text), "%s", text);
	member_tell(k, id, &m);
}

static void confirm(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	struct policy *p = &k->policy;
	int err = p->trial ? shield_policy_confirm(k->shield) : -ENOENT;

	if (err) {
		say(k, id, m, err, err == -ENOENT ? "no policy is on trial" : strerror(-err));
		return;
	}
	if (deny_as(k, p->trial, 0))
		log_error("policy: some denials of it could not be kept");
	free(p->in_force);
	p->in_force = p->trial;
	p->trial = NULL;
	trial_over(k);
	log_info("policy: %s is confirmed", *p->trial_name ? p->trial_name : "the one on trial");
	p->job = (struct policy_job){
		.kind = POLICY_COMPARE, .ask = m->ask, .incarnation = k->members[id].incarnation};
	job_start(k, -1);
}

static void revert(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	int err = k->policy.trial ? go_back(k) : -ENOENT;

	if (!err)
		log_info("policy: the trial is ended, the one before is back");
	say(k, id, m, err,
	    !err           ? "the policy before is back" :
	    err == -ENOENT ? "no policy is on trial" :
			     strerror(-err));
}

void policy_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd)
{
	struct policy *p = &k->policy;
	bool tries = m->kind == KEEPER_POLICY_TRY;

	if (m->kind == KEEPER_POLICY_REVERT) {
		revert(k, id, m);
		return;
	}
	if (p->job.pid) {
		say(k, id, m, -EBUSY, "another file is being read: ask again");
		return;
	}
	if (m->kind == KEEPER_POLICY_CONFIRM) {
		confirm(k, id, m);
		return;
	}
	if (tries && !shield_is_on(k->shield)) {
		char text[160];
		snprintf(text, sizeof(text), "the shield is off: %.140s",
			 shield_why_off(k->shield));
		say(k, id, m, -EOPNOTSUPP, text);
		return;
	}
	p->job = (struct policy_job){.kind = tries ? POLICY_TRY : POLICY_CHECK,
				     .ask = m->ask,
				     .incarnation = k->members[id].incarnation,
				     .seconds = (uint32_t)m->value};
	snprintf(p->job.name, sizeof(p->job.name), "%s", m->text);
	job_start(k, fd);
}

void policy_reload(struct keeper *k)
{
	struct policy *p = &k->policy;

	if (!shield_is_on(k->shield)) {
		log_warn("SIGHUP: certificates are read anew; the shield is off, so that there is "
			 "no policy to change: all else takes a restart");
		return;
	}
	if (p->job.pid) {
		log_warn("SIGHUP: a file is being read already: send it again");
		return;
	}
	log_info("SIGHUP: reading the shield's policy from %s, the files of its lists and the "
		 "certificates; all else takes a restart",
		 k->cfg->file);
	p->job = (struct policy_job){.kind = POLICY_RELOAD};
	job_start(k, -1);
}

uint64_t policy_due(struct keeper *k, uint64_t now)
{
	struct policy *p = &k->policy;
	uint64_t next = UINT64_MAX;

	if (p->job.pid && now >= p->job.kill_at_ns) {
		kill(p->job.pid, SIGKILL);
		p->job.kill_at_ns = UINT64_MAX;
	}
	if (p->job.pid)
		next = p->job.kill_at_ns;
	if (p->trial && now >= p->trial_ends_ns) {
		int err = go_back(k);

		if (err)
			log_error(
				"policy: the trial is over, but not all of it could be undone: %s",
				strerror(-err));
		else
			log_warn("policy: nobody confirmed %s in time: the one before is back",
				 *p->trial_name ? p->trial_name : "the one on trial");
	}
	return p->trial ? MIN(next, p->trial_ends_ns) : next;
}

void policy_describe(const struct keeper *k, struct keeper_piece_self *out)
{
	const struct policy *p = &k->policy;
	const enum shield_rule_mode *mode = &(p->trial ? p->trial : p->in_force)->rules.malformed;
	uint64_t now = clock_mono_ns();

	static_assert(sizeof(out->rule) == RULES, "a mode per rule");
	for (unsigned i = 0; i < RULES; i++)
		out->rule[i] = (uint8_t)mode[i];
	if (!p->trial || now >= p->trial_ends_ns)
		return;
	out->trial_left_ms = (uint32_t)((p->trial_ends_ns - now) / 1000000u);
	snprintf(out->trial_name, sizeof(out->trial_name), "%s", p->trial_name);
}

void policy_close(struct keeper *k)
{
	struct policy *p = &k->policy;

	if (p->job.pid) {
		kill(p->job.pid, SIGKILL);
		waitpid(p->job.pid, NULL, 0);
	}
	free(p->in_force);
	free(p->trial);
	*p = (struct policy){0};
}
