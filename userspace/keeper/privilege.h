/* SPDX-License-Identifier: BSD-2-Clause */
/* privilege.h - what the keeper gives up once everything is open, and what its children give up.
 *
 * tools/doc/privileges.md has the table: which capability is held when, and why. All of this is final; there is
 * no way back in the same process. */
#ifndef SLUICE_KEEPER_PRIVILEGE_H
#define SLUICE_KEEPER_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

/* Who the workers are. */
struct privilege_user {
	bool change; /* false: they stay who the keeper is */
	bool cannot; /* they should have become `name`, but we may not do that */
	uid_t uid;
	gid_t gid;
	char name[64]; /* for the log */
};

/* Looks up `user` and `group`. An unprivileged keeper cannot change users: its workers
 * stay who it is. 0, or -errno after a line that says what to do. */
int privilege_find_user(const char *user, const char *group, struct privilege_user *out);
/* A line if the workers are somebody whom the operator may not expect. */
void privilege_say_user(const struct privilege_user *user);

/* Effective right now? */
bool privilege_has(int capability);

/* The keeper, before it forks: keeps of what it has what supervising needs (and, with `shield`,
 * what deny lists and attachments need) and drops the rest, the whole bounding set with it.
 * Sets no_new_privs; forbids core dumps and ptrace. 0 or -errno. */
int privilege_reduce(bool shield, bool change_user);

/* A child that builds maps: of what the keeper has, CAP_BPF alone is left. 0 or -errno. */
int privilege_keep_bpf(void);

/* A child: becomes the user, without any capability or supplementary group, for good. Reads
 * back what it has become. 0 or -errno. */
int privilege_drop_all(const struct privilege_user *user);

#endif
