/* SPDX-License-Identifier: BSD-2-Clause */
/* admin.h - the admin worker: an unprivileged process that speaks with the operator.
 *
 *   sluicectl ◄─ control socket ─► admin worker ─┬─ MSG_QUERY / MSG_ANSWER ─► workers
 *                                                └─ keeper_msg ─► keeper (what needs privilege)
 *
 * It is one more member of the mailbox and runs the same loop as a worker, without
 * listeners. Every worker answers queries about its own conns and channels, a bounded piece per
 * message, so that looking never stops the data path.
 *
 * The control protocol is described in admin/request.h. */
#ifndef SLUICE_ADMIN_ADMIN_H
#define SLUICE_ADMIN_ADMIN_H

#include "base/bytes.h"

struct worker;
struct admin;
struct keeper_msg;

/* In the admin worker: begins to accept on the control socket. NULL: no memory. */
struct admin *admin_start(struct worker *w, int control_fd);

/* MSG_QUERY in a worker, MSG_ANSWER in the admin worker. False: malformed. */
bool admin_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload);
/* KEEPER_REPLY and status pieces, in the admin worker. handed: what came beside it, the caller's;
 * -1: nothing did. */
void admin_keeper_message(struct worker *w, const struct keeper_msg *m, int handed);
/* A worker has died: answers it still owed are given up. */
void admin_member_down(struct worker *w, unsigned member);

#endif
