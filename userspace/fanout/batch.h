/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.h - all that goes out in one turn of the loop, per connection in order.
 *
 * Nobody writes to a connection's transport directly: frames of the fan-out (shared, by
 * reference) and answers (copied) are chained per conn, and batch_flush() at the end of
 * the turn makes of each chain one TLS record and one system call. The batch takes a conn
 * and bytes and decides by itself how they travel (DESIGN.md 10); today:
 * conn_send() in conn/io.c.
 *
 * Bounded: a full batch flushes itself. */
#ifndef SLUICE_FANOUT_BATCH_H
#define SLUICE_FANOUT_BATCH_H

#include "fanout/frame_ref.h"

struct worker;
struct conn;
struct batch;

struct batch *batch_new(struct worker *w);
void batch_free(struct batch *b);
/* Takes a reference of its own. */
void batch_frame(struct worker *w, struct conn *c, struct frame_ref *f);
/* Copies bytes that already are what the peer's next layer reads (a WebSocket
 * frame, an HTTP answer). */
void batch_bytes(struct worker *w, struct conn *c, struct bytes b);
/* The same for a header and what belongs behind it. */
void batch_bytes2(struct worker *w, struct conn *c, struct bytes head, struct bytes body);
void batch_flush(struct worker *w);
/* Within batch_flush(): whoever would add for many conns now had better do it later. */
bool batch_flushing(const struct batch *b);
/* Forget what was queued for a conn that is being freed. */
void batch_drop(struct worker *w, struct conn *c);

#endif
