/* SPDX-License-Identifier: BSD-2-Clause */
/* io.h - a conn's life and its bytes: open, read, send, close.
 *
 * Reading: conn_readable() reads into the worker's scratch buffer and hands the bytes to
 * the layer that c->state names (tls opens records first). A layer consumes what
 * it can; the rest of an unfinished record goes to c->record, of a head or frame to c->message.
 *
 * Sending: conn_send() seals (tls) and writes; what the socket does not take becomes the
 * tail, counted and bounded. Only fanout/batch.c calls it. */
#ifndef SLUICE_CONN_IO_H
#define SLUICE_CONN_IO_H

#include <sys/uio.h>

#include "conn/conn.h"

struct worker;
struct sockaddr;

/* Takes fd over (closes it when it refuses). NULL: no slot or no memory. */
struct conn *conn_open(struct worker *w, int fd, uint16_t listener, const struct sockaddr *peer);
void conn_readable(struct worker *w, struct conn *c);
void conn_writable(struct worker *w, struct conn *c);
/* Seals and writes the parts, whole frames each, in as few records as they fit. What the socket does
 * not take is queued; where the bound is reached it ends between two frames (4008), but one frame,
 * however long, may always wait alone. May end the conn. */
/* Returns how many parts are on their way: once an open conn's socket takes no more, the others are left to
 * fanout/backlog.h, unsealed. */
unsigned conn_send(struct worker *w, struct conn *c, const struct iovec *parts, unsigned n,
		   size_t bytes);
/* An open conn with something that its socket has not taken: conn_send() would take nothing. */
bool conn_is_full(const struct conn *c);
/* More than may wait for it: a close frame, 4008, or its end. */
void conn_too_slow(struct worker *w, struct conn *c);
/* Bytes that may still wait for it. */
size_t conn_queue_room(const struct worker *w, const struct conn *c);
/* All that waits, for all conns, is beyond its bound: others that have taken nothing for longest end. False: this
 * one is left alone with it. */
bool conn_queues_bounded(struct worker *w, const struct conn *spare);

/* Ends a connection for `reason`, politely where the reason has a WebSocket code and the
 * conn is OPEN: a close frame goes out and the peer's answer is awaited for a bounded
 * time. Otherwise, and in every other state, at once: tail dropped, descriptor
 * closed, channels left, slot held. c may be gone afterwards. */
void conn_close(struct worker *w, struct conn *c, enum close_reason reason);
/* With a retry hint or a text of our own in place of the reason's (at most 123 bytes). */
void conn_close_text(struct worker *w, struct conn *c, enum close_reason reason, uint16_t code,
		     struct bytes text);
/* The peer does not read: a close frame (4008) behind what is sealed already, past the bound. What waits
 * unsealed is forgotten: sealing a megabyte for each of a thousand who do not read would cost more than
 * all that they share. */
void conn_close_slow(struct worker *w, struct conn *c);
/* At once, whatever the state. */
void conn_end(struct worker *w, struct conn *c, enum close_reason reason);
/* Flushes what is queued, then ends; input is ignored from here on. */
void conn_linger(struct worker *w, struct conn *c, enum close_reason reason);

/* Writes that conn_send() has gathered for many conns (conn/ring.h) leave. Some may end. For where no conn is
 * in hand. */
void conn_settle(struct worker *w);
/* They leave, and nobody ends: before a descriptor is written to by another way, or closed. */
void conn_depart(struct worker *w);

/* Everything queued is out and the conn wants to end: for conn/io.c. */
void conn_flushed(struct worker *w, struct conn *c);
/* The peer sends no more. */
void conn_eof(struct worker *w, struct conn *c);
/* Queues a few bytes behind the tail whatever its bound says. False: there is no room at all, and
 * nothing more can be said. */
bool conn_send_last(struct worker *w, struct conn *c, struct bytes words);

/* Not to be read for now, or again: what it has left unfinished and how long it has been silent
 * counts from the moment it is listened to. */
void conn_read_stop(struct worker *w, struct conn *c, bool stop);
/* Tells the epoll set what we wait for after flags changed. */
void conn_watch(struct worker *w, struct conn *c);

/* No tail any more: it is out, or nobody will read it. */
void conn_tail_end(struct worker *w, struct conn *c);
/* Bytes queued but not written. */
size_t conn_queued(const struct worker *w, const struct conn *c);

#endif
