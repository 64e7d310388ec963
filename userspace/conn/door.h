/* SPDX-License-Identifier: BSD-2-Clause */
/* door.h - TLS handshakes: who knocks is let in at a rate that those inside do not feel.
 *
 *   accept ─► door_open() ─► epoll set of the door ─► door_run(): some per turn ─► door_pass() ─► the set of all
 *                 │ full                                      │
 *                 └─ whoever has knocked longest ◄────────────┘ never got anywhere
 *
 * A handshake costs a hundred times what a message does, and strangers decide how many there are. So
 * they wait in an epoll set of their own, which gets DOOR_NS of a turn after everybody else has
 * had theirs; as long as nobody else has anything to do the turns follow one another, and the door has
 * the whole core.
 *
 * Connections in handshake are bounded (tls.handshakes), for each costs memory. When there are as many,
 * the one that came first makes room, if it had DOOR_PATIENCE_MS; if it had not, newcomers wait in the
 * kernel's queue, first come, first served. So a storm of honest clients is served in its order and at the
 * rate of the core, and clients that never finish cost others at most a short wait. */
#ifndef SLUICE_CONN_DOOR_H
#define SLUICE_CONN_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#define DOOR_NS          1000000u
#define DOOR_PATIENCE_MS 1000u

struct worker;
struct conn;
struct door;

/* NULL: no memory or no descriptor. */
struct door *door_new(struct worker *w);
void door_free(struct door *d); /* nobody stands there any more; may be NULL */

/* May one more be accepted? */
bool door_room(const struct worker *w);
/* The same. Ends whoever has knocked longest, if it is time and room is needed. */
bool door_admits(struct worker *w);
/* A conn in CONN_HANDSHAKE begins to knock. False: epoll refuses. */
bool door_open(struct worker *w, struct conn *c);
/* Its handshake is complete: it moves to the set of all. False: epoll refuses. */
bool door_pass(struct worker *w, struct conn *c);
/* It ends before. */
void door_leave(struct worker *w, struct conn *c);
/* The epoll set in which it is. */
int door_fd(const struct worker *w);
uint32_t door_count(const struct worker *w);

/* The door's share of this turn. True: somebody was served, and may have asked for something with the last bytes of
 * his handshake already; nothing of that has been sent, or fanned out, yet. */
bool door_run(struct worker *w);

#endif
