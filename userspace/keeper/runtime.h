/* SPDX-License-Identifier: BSD-2-Clause */
/* runtime.h - runtime_dir: who runs here, and what a dead predecessor left.
 *
 *    keeper.lock   held (flock) by the keeper that lives; its content names it
 *    sluiced.pid   the keeper's process id, for scripts
 *    members       one line per process: name, process id, its start time
 *    keeper.sock   where a successor asks the keeper to give way (replace.h)
 *    control.sock  where sluicectl knocks (unless sluice.conf puts it elsewhere)
 *
 * The lock ends with its holder however that ends, so a start needs no courage: who gets the
 * lock is alone, and may clear away the rest. keeper.lock itself stays for ever; it is only a name. */
#ifndef SLUICE_KEEPER_RUNTIME_H
#define SLUICE_KEEPER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"

#define RUNTIME_DOOR "keeper.sock"

struct runtime {
	int dir_fd; /* -1: not open */
	int lock_fd;
	char control_path[108]; /* as bound; "" if there is none of ours */
	uint64_t control_inode; /* so that a successor's of the same name is not removed */
	/* while another keeper runs on the directory, too */
	bool guest;               /* not ours yet: no file of it is touched */
	char old_control[112];    /* where his control socket is */
	char control_beside[112]; /* ours, until runtime_settle() puts it into that place; "" */
	bool given_away;          /* no longer ours */
};

/* One line of `members`. */
struct runtime_member {
	char name[16];
	pid_t pid;
};

/* Makes runtime_dir (its last component), checks that it is ours, takes the lock, waits for
 * the workers of a predecessor that was killed to finish (they do so by themselves within 5
 * seconds; stragglers are killed) and removes its files. 0, or -errno after a line that
 * says who or what is in the way and what to do. */
int runtime_open(struct runtime *r, const struct config *cfg);

/* Likewise beside another keeper, who has handed over the descriptor that holds his lock (it becomes ours)
 * and set r->old_control. Touches no file until runtime_settle(). */
int runtime_share(struct runtime *r, const struct config *cfg, int lock_fd);
/* From now on the directory is ours alone. */
void runtime_settle(struct runtime *r, const struct config *cfg);

/* The listening control socket, or -errno after a line. A socket that somebody still answers on
 * is not taken away from him. */
int runtime_control_open(struct runtime *r, const struct config *cfg);

/* Writes `members` and `sluiced.pid`. Failing is logged and survived: they serve the next start. */
void runtime_members_write(struct runtime *r, const struct runtime_member *list, size_t n);

/* Removes what is ours and lets go of the lock. Fine on one that failed to open. */
void runtime_close(struct runtime *r);

/* Start time of a process in clock ticks since boot (proc(5), field 22), which tells it
 * from a later one of the same number; 0: there is no such process. */
uint64_t runtime_start_time(pid_t pid);

#endif
