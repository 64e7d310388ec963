/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - what the files of the keeper share; nobody else includes it.
 *
 *    keeper.c     opens everything in order, closes it in reverse
 *    member.c     one process: start, death, what it is told
 *    child.c      what the new process does before it is a worker
 *    serve.c      what members ask
 *    policy.c     the shield's policy while it runs
 *    certs.c      certificates anew
 *    lists.c      whole sets of its deny and allow lists
 *    replace.c    one keeper takes over from another
 *    supervise.c  the loop: signals, channels, deadlines */
#ifndef SLUICE_KEEPER_INTERNAL_H
#define SLUICE_KEEPER_INTERNAL_H

#include <sys/types.h>

#include "base/bytes.h"
#include "config/config.h"
#include "keeper/accuse.h"
#include "keeper/backoff.h"
#include "keeper/channel.h"
#include "keeper/offence.h"
#include "keeper/plan.h"
#include "keeper/privilege.h"
#include "keeper/replace.h"
#include "keeper/request.h"
#include "keeper/runtime.h"
#include "shield/shield.h"
#include "tls/tls.h"
#include "worker/mailbox.h"

#define KEEPER_REAP_MS        5000  /* expired denials are looked for */
#define KEEPER_START_MS       15000 /* a new process says READY within this, or is killed */
#define KEEPER_GRACE_MS       2000  /* beyond shutdown_timeout, before stragglers are killed */
#define KEEPER_GONE_MS        1000  /* a channel has ended: its process follows, or is killed */
#define KEEPER_ECHO_MS        500   /* a second signal this soon after the first is the same one */
#define KEEPER_FIRST_FAILURES 5     /* of one member before the daemon was ever ready: give up */

struct member {
	/* for the member's whole time */
	int slab_fd;
	struct mailbox_ends ends;
	struct backoff backoff;
	struct request_bucket bucket;

	/* of this life */
	uint32_t incarnation; /* lives so far */
	pid_t pid;            /* 0: down */
	int channel;          /* -1: down, or the other side has closed it */
	enum keeper_member_state state;
	uint64_t started_ns;
	uint64_t started_wall_ms;
	uint64_t kill_at_ns; /* 0: no reason */
	const char *kill_why;
	struct accused accused;

	/* between lives */
	uint64_t start_at_ns; /* while down; UINT64_MAX: never again */
	uint64_t last_exit_wall_ms;
	int last_exit; /* as waitpid(2) has it */
};

enum policy_job_kind {
	POLICY_CHECK,
	POLICY_TRY,
	POLICY_RELOAD,  /* SIGHUP: nobody waits for an answer, the log has it */
	POLICY_COMPARE, /* after a confirmation: does the file in use say the same? */
};

struct policy_result;

/* A child reads a file. */
struct policy_job {
	pid_t pid; /* 0: none does; owned by policy.c */
	struct policy_result *shared;
	uint64_t kill_at_ns;
	enum policy_job_kind kind;
	uint32_t seconds;          /* of the trial */
	uint32_t ask, incarnation; /* of the admin worker who asked */
	char name[KEEPER_NOTE_MAX + 1];
};

struct policy {
	struct plan *in_force; /* what stays or comes back, if there is a trial */
	struct plan *trial;    /* NULL: none */
	uint64_t trial_ends_ns;
	char trial_name[KEEPER_NOTE_MAX + 1];
	struct policy_job job;
};

/* A set of a list is being loaded. */
struct lists_job {
	pid_t pid;   /* 0: none is; owned by lists.c */
	bool builds; /* the second child; the first one reads a file of sluice.conf's */
	int hand;    /* the set, a memfd; -1 */
	int sock;    /* whence what was built comes; -1 */
	uint64_t kill_at_ns;
	enum shield_list_id list;
	bool force;                /* whoever it hits */
	struct list_batch batch;   /* its name and source */
	uint32_t ask, incarnation; /* of the admin worker who asked; 0: nobody did */
};

struct lists {
	struct lists_job job;
	uint32_t next; /* of sluice.conf's */
	bool stale;    /* sets that it no longer names may be there */
};

struct certs_report;
struct keeper_piece_certs;

/* A child reads the certificates. */
struct certs_job {
	pid_t pid; /* 0: none does; owned by certs.c */
	int hand;  /* what it writes, a memfd; -1 */
	struct certs_report *report;
	uint64_t kill_at_ns;
	uint32_t ask, incarnation; /* of the admin worker who asked; 0: nobody did */
};

struct certs {
	struct certs_job job;
	uint64_t generation;        /* how often they were read anew */
	int watch;                  /* inotify; -1: none */
	uint64_t look_at_ns;        /* a directory has changed; 0: none has */
	struct tls_tickets tickets; /* made here; unused if a file has them */
	uint64_t rotate_at_ns;      /* UINT64_MAX: never */
	uint64_t read_wall_ms;      /* when they were last read, or were to be */
	char why[256];              /* that failed: the first mistake; "": it did not */
	uint64_t terms_at_ns;       /* when we look next what runs out */
	uint64_t seen;              /* what the files were when they were read */
	bool again;                 /* asked while they are being read */
};

struct keeper {
	const struct config *cfg;
	uint32_t n_workers, n_members; /* the admin worker is the last member */
	uint32_t *cpu;                 /* cores that we may use */
	uint32_t n_cpu;
	uint32_t slab_max;
	uint8_t hash_key[16];
	uint64_t started_wall_ms;

	struct runtime runtime;
	struct privilege_user user;
	struct tls_material *tls;
	bool ktls; /* tls.ktls, and the kernel has it */
	struct shield *shield;
	bool shield_used;          /* something of it is loaded: its capabilities are kept */
	struct offences *offences; /* NULL: nobody is denied by them */
	struct policy policy;
	struct replace replace;
	struct shield_rehearsal rehearsed; /* as a guest */
	struct lists lists;
	struct certs certs;
	struct tls_denied denied; /* fingerprints */
	int keylog_fd;            /* tls.debug_keylog_file; -1: none */
	struct mailbox_plan plan;
	int *listener_fds; /* [listener * n_workers + worker]; -1: not open */
	int control_fd;
	int null_fd;
	int signal_fd;
	struct member *members;

	int ready_fd;   /* a byte goes here when all is ready; -1: nobody waits for it */
	bool announced; /* every member was ready at once: the outside has been told */
	bool shutting_down;
	bool hurry; /* asked twice: no more patience */
	int exit_code;
	uint64_t asked_ns; /* the first signal to end; 0: none yet */
	uint64_t shutdown_end_ns;
	uint64_t reap_at_ns, flows_at_ns;
};

static inline bool member_is_admin(const struct keeper *k, uint32_t id)
{
	return id == k->n_workers;
}

static inline uint32_t keeper_cpu_of(const struct keeper *k, uint32_t id)
{
	return k->cpu[id % k->n_cpu];
}

/* "worker 3", "admin worker": for the log. */
const char *member_name(const struct keeper *k, uint32_t id);

/* Forks the member's next life. If that fails it counts as one that died at once. */
void member_start(struct keeper *k, uint32_t id);
/* It has been reaped: cleans up behind it, tells the others, and decides when it lives again. */
void member_died(struct keeper *k, uint32_t id, int wait_status);
/* One message. A member that does not read its channel is to be killed. */
void member_tell(struct keeper *k, uint32_t id, const struct keeper_msg *m);
void member_tell_others(struct keeper *k, uint32_t id, const struct keeper_msg *m);
/* SIGKILL, now; `why` for the log. Its death is seen by SIGCHLD like any other. */
void member_kill(struct keeper *k, uint32_t id, const char *why);
void member_mark(struct keeper *k, uint32_t id, enum shield_worker_state state);
void keeper_write_members(struct keeper *k);

/* The same with a descriptor beside it, which stays ours; -1: none. */
void member_hand(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd);

/* KEEPER_POLICY_*; fd: what came beside it, the caller's. */
void policy_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd);
/* SIGHUP: the policy of the file that we run by. */
void policy_reload(struct keeper *k);
/* Does what is due; returns when it is next due. */
uint64_t policy_due(struct keeper *k, uint64_t now);
/* rule, trial_left_ms and trial_name */
void policy_describe(const struct keeper *k, struct keeper_piece_self *out);
/* A process that has been reaped: was it ours? */
bool policy_reaped(struct keeper *k, pid_t pid, int wait_status);
void policy_close(struct keeper *k);

/* What the shield is to think of it now. */
enum shield_worker_state member_shield_state(const struct member *m);

/* Loads the shield, puts our listeners into its slots. 0 or -errno, logged. */
int keeper_open_shield(struct keeper *k);
/* Somebody else may have written to the maps and is gone: makes them ours again, and tells in
 * runtime_dir what has happened meanwhile. */
void keeper_reclaim(struct keeper *k);
/* All are ready, and in charge: tells the outside. */
void keeper_announce(struct keeper *k);
/* Closes the ports and has everybody end; supervise() returns when they have. */
void keeper_shut_down(struct keeper *k);

/* Watches the files that k->tls was read from, if sluice.conf says so. */
void certs_open(struct keeper *k);
void certs_close(struct keeper *k);
/* Reads them anew, as soon as it can. */
void certs_reload(struct keeper *k);
void certs_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m);
void certs_hear(struct keeper *k);
uint64_t certs_due(struct keeper *k, uint64_t now);
bool certs_reaped(struct keeper *k, pid_t pid, int wait_status);
void certs_describe(const struct keeper *k, struct keeper_piece_certs *out);

/* lists.c: whole sets, of sluice.conf and by request. */
void lists_close(struct keeper *k);
/* Loads those of sluice.conf, anew, as lists_due() gets round to it. */
void lists_load(struct keeper *k);
void lists_serve(struct keeper *k, uint32_t id, const struct keeper_msg *m, int fd);
/* The name of the set that is being loaded; "": none is. */
const char *lists_loading(const struct keeper *k, enum shield_list_id list);
uint64_t lists_due(struct keeper *k, uint64_t now);
bool lists_reaped(struct keeper *k, pid_t pid, int wait_status);

/* Reads what the member has asked, as far as its bucket goes, and answers. */
void serve_member(struct keeper *k, uint32_t id, uint64_t now_ns);

/* Until everybody is gone; returns the exit code. */
int supervise(struct keeper *k);
/* The signals that the loop hears; blocked in the keeper, given back by every child. */
int supervise_signals_open(void);

/* In the forked child: becomes the member and runs it. */
_Noreturn void child_run(struct keeper *k, uint32_t id, int channel);

#endif
