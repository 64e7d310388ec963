/* SPDX-License-Identifier: BSD-2-Clause */
/* listener.h - accept: this worker's own socket of each SO_REUSEPORT group.
 *
 * listener_open_group() runs in the keeper: one socket per worker and listener, bound
 * before privileges go. The keeper keeps the descriptors, so that a worker's successor
 * gets the same ones and queued connections wait for it. */
#ifndef SLUICE_LISTENER_LISTENER_H
#define SLUICE_LISTENER_LISTENER_H

#include "config/config.h"

struct worker;
struct listener;

/* 0 if nobody listens there, or -errno, with the same log line as below. The group's own
 * sockets share the port with whoever of our user shares it too: another sluiced's clients
 * and ours would be dealt out among both, and neither would know. To be asked before the
 * first group is open, for a listener on all addresses takes the port of all others. */
int listener_check_free(const struct config_listener *l);

/* Opens n listening sockets for one config listener, non-blocking, close-on-exec. 0 or
 * -errno, with a log line that names the address and what to do. */
int listener_open_group(const struct config_listener *l, int *fds, unsigned n);

/* Says so if this host does not take the prefix as its own: then no packet to it comes this far. */
void listener_check_local(const struct config_listener *l, const struct config_serve *s);

/* Begins to accept on this worker's descriptors. NULL: no memory. */
struct listener *listener_start(struct worker *w, const int *fds);
/* Accepts what waits, as far as there is room: before listener_stop(), where nobody else gets it. */
void listener_take(struct worker *w);
/* Stops accepting; descriptors are closed. */
void listener_stop(struct worker *w);
/* Newcomers are better off at another worker: a few slots are left, or it is stopping. */
bool listener_full(const struct worker *w);
/* A connection has ended: there is room for another. */
void listener_room(struct worker *w);
/* TLS listeners that were shut because the door was full accept again if it is not. Called each turn. */
void listener_door(struct worker *w);
/* No slot or no descriptor: pause until some are free again. Called each tick. */
void listener_tick(struct worker *w);

#endif
