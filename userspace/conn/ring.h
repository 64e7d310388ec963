/* SPDX-License-Identifier: BSD-2-Clause */
/* ring.h - short writes to many sockets in one system call, by io_uring.
 *
 *   batch_flush() ─► conn_send() ─► ring_add() ── copy ──► memory of the ring
 *                                   ring_flush() ── one io_uring_enter(2) ──► all sockets
 *
 * What a delivery costs beside TCP itself is the way into the kernel and back: a ring takes it for
 * RING_WRITES conns at once. It pays for the short records of a fan-out (tests/bench/bench_floor.c);
 * whatever is longer goes its own way.
 *
 * Nothing is ever under way: a write is made within ring_flush(), as MSG_DONTWAIT would have it, and who
 * did not take all of it is told there. The kernel lets this ring send and nothing else
 * (IORING_REGISTER_RESTRICTIONS): io_uring knows no seccomp, and a worker that was taken over
 * must not open sockets by it.
 *
 * Not to be had (before Linux 6.1, kernel.io_uring_disabled, a container's rules): NULL, and all
 * is written one by one. */
#ifndef SLUICE_CONN_RING_H
#define SLUICE_CONN_RING_H

#include <sys/uio.h>

#include "base/bytes.h"

#define RING_WRITES    1024u /* at once */
#define RING_WRITE_MAX 2048u /* bytes of one */

struct ring;

/* By the process that will use it, while it may still ask for one. NULL: errno says why. */
struct ring *ring_open(void);
void ring_close(struct ring *r);

/* All take r NULL for one that is always empty. */
bool ring_is_empty(const struct ring *r);
/* Copies the parts. False: it is full, or they are more than RING_WRITE_MAX, or it may hold a write for `who`
 * already: one behind another that was cut short would leave a hole. `who` is the caller's, one for each
 * descriptor; its low bits had better differ. */
bool ring_add(struct ring *r, int fd, const struct iovec *parts, unsigned n, uint64_t who);
/* Writes all. Calls fn for each that was not taken whole: sent is how many bytes of it were, or
 * -errno. `rest` is good until the next ring_add(); fn adds nothing. */
typedef void ring_short_fn(void *ctx, uint64_t who, ssize_t sent, struct bytes rest);
void ring_flush(struct ring *r, ring_short_fn *fn, void *ctx);

#endif
