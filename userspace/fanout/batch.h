/* SPDX-License-Identifier: BSD-2-Clause */
/* batch.h - all that goes out in one turn of the loop, per connection in order.
 *
 * Nobody writes to a connection's transport directly: frames of the fan-out (shared, by
 * reference) and answers (copied) are chained per conn, and batch_flush() at the end of
 * the turn makes of each chain one TLS record and one system call. The batch takes a conn
 * and bytes and decides by itself how they travel (DESIGN.md 10); today:
 * conn_send() in conn/io.c.
 *
 * Adding neither sends nor ends anything, whatever there is in the batch: the conn that somebody
 * has in hand is still there afterwards. (One for whose bytes there was no memory ends at the
 * flush.) A full batch grows, by what one event of one conn or one slice can add at
 * most: whoever runs these calls batch_relieve() between them. */
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
/* Not copied: the bytes outlive the turn (a page of the configuration). */
void batch_lent(struct worker *w, struct conn *c, struct bytes b);
/* Sends all. Any conn may be gone afterwards. */
void batch_flush(struct worker *w);
/* The same if the batch is full: for where no conn is in hand. */
void batch_relieve(struct worker *w);
/* Within batch_flush(): whoever would add for many conns now had better do it later. */
bool batch_flushing(const struct batch *b);
/* Forget what was queued for a conn that is being freed. */
void batch_drop(struct worker *w, struct conn *c);

#endif
