/* SPDX-License-Identifier: BSD-2-Clause */
/* certs.c - certificates and keys anew, while everybody stays connected.
 *
 *   SIGHUP ────────────────┐
 *   sluicectl cert reload ─┼─► child: opens with our rights, reads without any ─► sealed memfd ─► workers
 *   a file has changed ────┘                                   └► or what is wrong: all stays as it is
 *
 * The directories of the files are watched, not the files: whoever replaces one writes beside it and
 * renames, and whoever has a link there turns the link. A certificate and its key come one after the other,
 * so we wait until there is half a second of quiet, and read only if a file is really another.
 *
 * Which certificates there are is sluice.conf's, and takes a restart. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "keeper/descriptors.h"
#include "keeper/internal.h"
#include "keeper/seccomp.h"

#define READ_MS  20000 /* a child that takes longer is killed */
#define TERMS_S  3600  /* what runs out is looked at this often, should the clock be set */
#define QUIET_MS 500   /* after the last change of a directory */
#define WATCHED  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

/* What the child has to say, in memory shared with nobody else. */
struct certs_report {
	uint32_t n;
	char text[KEEPER_REPORT_MAX];
};

/* ---- the files ---------------------------------------------------------------------------------- */

static void fold(uint64_t *sum, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*sum = (*sum ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
}

/* What a file is now: another name, time or size is another file. */
static void look_at(const char *path, void *arg)
{
	struct stat st = {0};
	int err = stat(path, &st) < 0 ? errno : 0;
	fold(arg, &err, sizeof(err));
	fold(arg, &st.st_dev, sizeof(st.st_dev));
	fold(arg, &st.st_ino, sizeof(st.st_ino));
	fold(arg, &st.st_size, sizeof(st.st_size));
	fold(arg, &st.st_mtim, sizeof(st.st_mtim));
	fold(arg, &st.st_ctim, sizeof(st.st_ctim));
}

static uint64_t look(const struct keeper *k)
{
	uint64_t sum = 0xcbf29ce484222325u;
	tls_material_files(k->cfg, look_at, &sum);
	return sum;
}

static void watch_one(const char *path, void *arg)
{
	struct keeper *k = arg;
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", path);
	/* the same directory twice is one watch */
	if (inotify_add_watch(k->certs.watch, dirname(dir), WATCHED) < 0)
		log_warn("tls: %s cannot be watched (%s): tell us of changes by SIGHUP", dir,
			 strerror(errno));
}

/* Sealed for half a lifetime, and a ticket lives a whole one after: three keys are all that is needed. */
static void rotate(struct keeper *k, uint64_t now)
{
	uint32_t lifetime_ms = k->cfg->tls.session_lifetime_ms;
	k->certs.rotate_at_ns = UINT64_MAX;
	if (lifetime_ms == 0 || k->cfg->tls.ticket_key_file)
		return;
	k->certs.rotate_at_ns = now + lifetime_ms / 2 * 1000000ull;
	tls_tickets_rotate(&k->certs.tickets);
}

void certs_open(struct keeper *k)
{
	rotate(k, clock_mono_ns());
	for (uint32_t i = 0; i < k->cfg->tls.n_deny_fingerprints; i++) {
		struct tls_ja4 j;
		if (tls_ja4_parse(bytes_str(k->cfg->tls.deny_fingerprints[i]), &j))
			tls_denied_add(&k->denied, &j, UINT64_MAX, 0);
	}
	k->certs.seen = look(k);
	k->certs.read_wall_ms = clock_wall_ms();
	if (!k->cfg->tls.watch || k->cfg->n_certificates == 0)
		return;
	k->certs.watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (k->certs.watch < 0)
		log_warn("tls: certificates are not watched: %s", strerror(errno));
	else
		tls_material_files(k->cfg, watch_one, k);
}

void certs_hear(struct keeper *k)
{
	char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool any = false;
	while (k->certs.watch >= 0 && read(k->certs.watch, room, sizeof(room)) > 0)
		any = true;
	if (any)
		k->certs.look_at_ns = clock_mono_ns() + QUIET_MS * 1000000ull;
}

/* ---- the child ------------------------------------------------------------------------------------ */

static void tell(void *arg, enum log_level level, const char *text)
{
	struct certs_report *r = arg;
	char kind = level == LOG_ERROR ? 'E' : 'N';
	int n = snprintf(r->text + r->n, sizeof(r->text) - r->n, "%c%s\n", kind, text);
	if (n > 0 && (size_t)n < sizeof(r->text) - r->n)
		r->n += (uint32_t)n;
}

static bool give_up_all(struct keeper *k, int hand)
{
	int keep[] = {STDERR_FILENO, hand};
	return descriptors_close_except(keep, ARRAY_SIZE(keep)) == 0 &&
	       setrlimit(RLIMIT_CPU, &(struct rlimit){READ_MS / 1000, READ_MS / 1000}) == 0 &&
	       privilege_drop_all(&k->user) == 0 && seccomp_confine() == 0;
}

static _Noreturn void child(struct keeper *k)
{
	int hand = k->certs.job.hand;
	prctl(PR_SET_NAME, "sluice-certs");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("certs", k->cfg->log_level, k->cfg->log_json);
	log_also(tell, k->certs.job.report);
	shield_close(k->shield, false);
	struct tls_material *m = tls_material_load(k->cfg);
	if (m)
		tls_material_compare(m, k->tls);
	tls_material_free(k->tls);
	if (!give_up_all(k, hand)) {
		log_error("tls: the reader of certificates cannot give up its rights");
		_exit(1);
	}
	int err = m && tls_material_check(k->cfg, m) ? tls_material_pack(m, hand) : -EINVAL;
	if (err && err != -EINVAL)
		log_error("tls: no memory for the certificates: %s", strerror(-err));
	_exit(err ? 1 : 0);
}

/* ---- a job ------------------------------------------------------------------------------------------ */

/* For those who ask later: the first mistake that the child has told, else what we know ourselves. */
static void remember(struct keeper *k, int status, const char *text)
{
	const struct certs_report *r = k->certs.job.report;
	size_t n = r ? MIN(r->n, (uint32_t)sizeof(r->text)) : 0;
	struct bytes why = bytes_str(text);
	for (size_t at = 0, line; at < n; at += line + 1) {
		const char *end = memchr(r->text + at, '\n', n - at);
		line = end ? (size_t)(end - r->text) - at : n - at;
		if (line > 1 && r->text[at] == 'E') {
			why = BYTES(r->text + at + 1, line - 1);
			break;
		}
	}
	k->certs.read_wall_ms = clock_wall_ms();
	snprintf(k->certs.why, sizeof(k->certs.why), "%.*s", status ? (int)why.n : 0,
		 (const char *)why.p);
}

static void answer(struct keeper *k, int status, const char *text)
{
	struct certs_job *job = &k->certs.job;
	remember(k, status, text);
	struct keeper_msg m = {.kind = KEEPER_REPLY, .ask = job->ask, .status = status};
	if (status)
		log_error("tls: %s", text);
	else
		log_info("tls: %s", text);
	if (!job->incarnation || k->members[k->n_workers].incarnation != job->incarnation)
		return; /* nobody waits, or who asked has died */
	uint32_t n = job->report ? MIN(job->report->n, (uint32_t)sizeof(job->report->text)) : 0;
	int fd = n ? handover_memfd("sluice-report", job->report->text, n) : -1;
	snprintf(m.text, sizeof(m.text), "%s", text);
	member_hand(k, k->n_workers, &m, fd);
	if (fd >= 0)
		close(fd);
}

static void job_end(struct keeper *k)
{
	struct certs_job *job = &k->certs.job;
	if (job->hand >= 0)
		close(job->hand);
	if (job->report)
		munmap(job->report, sizeof(*job->report));
	*job = (struct certs_job){.hand = -1};
}

static void start(struct keeper *k, uint32_t ask, uint32_t incarnation)
{
	struct certs_job *job = &k->certs.job;
	void *report = mmap(NULL, sizeof(*job->report), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*job = (struct certs_job){
		.hand = handover_memfd_open("sluice-certs"),
		.report = report == MAP_FAILED ? NULL : report,
		.ask = ask,
		.incarnation = incarnation,
		.kill_at_ns = clock_mono_ns() + READ_MS * 1000000ull,
	};
	k->certs.seen = look(k); /* before they are read: what changes meanwhile is seen again */
	k->certs.look_at_ns = 0;
	fflush(NULL);
	if (job->hand >= 0 && job->report)
		job->pid = fork();
	else
		job->pid = -1;
	if (job->pid == 0)
		child(k);
	if (job->pid > 0)
		return;
	job->pid = 0;
	answer(k, -ENOMEM, "certificates cannot be read now: no memory, or no process");
	job_end(k);
}

/* What the child has read goes to all workers, and to those that begin from now on. */
static void take(struct keeper *k)
{
	struct certs_job *job = &k->certs.job;
	char text[96];
	int err = handover_memfd_seal(job->hand);
	struct tls_material *m = err ? NULL : tls_material_unpack(job->hand, k->cfg);
	if (m == NULL) {
		answer(k, -EIO, "the reader of certificates has left nothing in order");
		return;
	}
	tls_material_free(k->tls);
	k->tls = m;
	k->certs.terms_at_ns = 0;
	k->certs.generation++;
	struct keeper_msg msg = {.kind = KEEPER_TLS, .value = k->certs.generation};
	for (uint32_t i = 0; i < k->n_workers; i++)
		member_hand(k, i, &msg, job->hand);
	snprintf(text, sizeof(text), "%u certificate%s read anew and in use", m->n,
		 m->n == 1 ? "" : "s");
	answer(k, 0, text);
}

bool certs_reaped(struct keeper *k, pid_t pid, int status)
{
	struct certs_job *job = &k->certs.job;
	if (job->pid != pid)
		return false;
	job->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		take(k);
	else if (WIFEXITED(status))
		answer(k, -EINVAL, "certificates are not in order: those in use stay");
	else
		answer(k, -EIO, "the reader of certificates was killed: those in use stay");
	job_end(k);
	if (k->certs.again)
		certs_reload(k);
	return true;
}

void certs_reload(struct keeper *k)
{
	k->certs.again = k->certs.job.pid != 0;
	if (k->cfg->n_certificates && !k->certs.again)
		start(k, 0, 0);
}

void certs_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	struct keeper_msg no = {.kind = KEEPER_REPLY, .ask = m->ask, .status = -EBUSY};
	if (k->cfg->n_certificates && !k->certs.job.pid) {
		start(k, m->ask, k->members[id].incarnation);
		return;
	}
	no.status = k->cfg->n_certificates ? -EBUSY : -ENOENT;
	snprintf(no.text, sizeof(no.text), "%s",
		 k->cfg->n_certificates ? "they are being read already: ask again" :
					  "sluice.conf names no certificate");
	member_tell(k, id, &no);
}

static void look_at_terms(struct keeper *k, uint64_t now)
{
	int64_t wall = time(NULL), next = tls_material_look(k->cfg, k->tls, wall);
	k->certs.terms_at_ns = now + (uint64_t)MIN(next - wall, TERMS_S) * 1000000000ull;
}

uint64_t certs_due(struct keeper *k, uint64_t now)
{
	struct certs_job *job = &k->certs.job;
	if (now >= k->certs.rotate_at_ns) {
		rotate(k, now);
		struct keeper_msg m = {.kind = KEEPER_TICKETS, .tickets = k->certs.tickets};
		for (uint32_t i = 0; i < k->n_workers; i++)
			member_tell(k, i, &m);
		explicit_bzero(&m, sizeof(m));
	}
	if (job->pid && now >= job->kill_at_ns) {
		kill(job->pid, SIGKILL);
		job->kill_at_ns = UINT64_MAX;
	}
	if (now >= k->certs.terms_at_ns)
		look_at_terms(k, now);
	uint64_t next = MIN(k->certs.terms_at_ns, k->certs.rotate_at_ns);
	if (job->pid)
		return MIN(job->kill_at_ns, next);
	if (k->certs.look_at_ns && now >= k->certs.look_at_ns) {
		k->certs.look_at_ns = 0;
		if (look(k) != k->certs.seen) {
			log_info("tls: a file of a certificate has changed");
			certs_reload(k);
		}
	}
	return k->certs.look_at_ns ? MIN(k->certs.look_at_ns, next) : next;
}

void certs_describe(const struct keeper *k, struct keeper_piece_certs *out)
{
	*out = (struct keeper_piece_certs){.wall_ms = k->certs.read_wall_ms};
	snprintf(out->why, sizeof(out->why), "%s", k->certs.why);
}

void certs_close(struct keeper *k)
{
	struct certs_job *job = &k->certs.job;
	if (job->pid) {
		kill(job->pid, SIGKILL);
		waitpid(job->pid, NULL, 0);
	}
	job_end(k);
	if (k->certs.watch >= 0)
		close(k->certs.watch);
	k->certs.watch = -1;
	explicit_bzero(&k->certs.tickets, sizeof(k->certs.tickets));
}
