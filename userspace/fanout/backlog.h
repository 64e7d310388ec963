/* SPDX-License-Identifier: BSD-2-Clause */
/* backlog.h - what waits for those whose sockets are full, one queue of frames each.
 *
 *   batch ─► socket full? ─ no ─► seal, send
 *              └ yes ─► backlog: frame ─ frame ─ answer ─ …   ──► when the tail is out: seal, send
 *
 * Sealed records cannot be dropped (their numbers have no holes), so nothing is sealed for a socket that
 * takes nothing. What waits is shared with all others that it is for: a thousand slow readers
 * of one channel cost the messages once, and eight bytes a message each.
 *
 * Beyond `bound` the policy of the frame's namespace decides (config_slow_consumer). Answers and control frames
 * have none: they are never dropped, and who lets even those pile up is disconnected.
 *
 * A conn has a backlog only while it has a tail. */
#ifndef SLUICE_FANOUT_BACKLOG_H
#define SLUICE_FANOUT_BACKLOG_H

#include <sys/uio.h>

#include "fanout/frame_ref.h"

struct worker;
struct conn;
struct backlogs;

struct backlogs *backlogs_new(struct worker *w);
void backlogs_free(struct backlogs *b);

/* Queues a frame, with a reference of its own. False: by its policy, or for want of memory, this was too much. */
bool backlog_add(struct worker *w, struct conn *c, struct frame_ref *f, size_t bound);
/* What has waited longest, up to n parts and `bytes` bytes, but at least one; returns how many, *sum their
 * bytes. They stay until backlog_take(). */
unsigned backlog_peek(struct worker *w, const struct conn *c, struct iovec *parts, unsigned n,
		      size_t bytes, size_t *sum);
void backlog_take(struct worker *w, struct conn *c, unsigned n);
void backlog_forget(struct worker *w, struct conn *c);

/* A delivery of it was dropped, or ends its conn, because that was too slow: counted in w->skipped by channel,
 * until the engine has told the channel's home. */
void backlog_skipped(struct worker *w, const struct frame_ref *f);

/* Of its frames. */
size_t backlog_bytes(const struct worker *w, const struct conn *c);
/* Of all of them: each frame once, and the queues. */
size_t backlogs_memory(const struct backlogs *b);

#endif
