/* SPDX-License-Identifier: BSD-2-Clause */
/* replace.h - a new sluiced takes over from the one that runs, and nobody who connects notices.
 *
 *    new                                    old
 *    ASK    ───────────────────────────►    may he? (same user, we are ready, nobody else asks)
 *           ◄─── GRANT, LOCKS + descriptors
 *    secrets, ports, memory, workers: all that can fail
 *    FLIP   ───────────────────────────►    touches neither maps nor files from here on
 *           ◄───────────────────── QUIET
 *    maps, programs, slots of the listeners, control socket
 *    TAKEN  ───────────────────────────►    closes its listeners: what waits at them moves over;
 *                                           1001 to its clients over shutdown_timeout; ends
 *
 * The locks of runtime_dir and pin_dir change hands without ever being free: they belong to an open
 * file, and its descriptor is handed over. Until FLIP the new one has touched nothing that the
 * old one needs: if it fails, its end of the socket closes, and that is all. Between FLIP and
 * TAKEN nothing is left that fails in a way it could know; if it is killed just there, the old one
 * puts its own listeners back into the slots.
 *
 * runtime_dir/keeper.sock (0600) is where the old one hears; whoever calls must be of its own user. */
#ifndef SLUICE_KEEPER_REPLACE_H
#define SLUICE_KEEPER_REPLACE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct keeper;

#define REPLACE_MAGIC     0x736c7263u /* "slrc" */
#define REPLACE_VERSION   1
#define REPLACE_ANSWER_MS 5000  /* an old one that does not answer is no old one */
#define REPLACE_DEATH_MS  500   /* from the end of its socket to its own */
#define REPLACE_MS        60000 /* from ASK to TAKEN, or the old one hangs up */

enum replace_kind {
	REPLACE_ASK = 1, /* new */
	REPLACE_GRANT, /* old; the descriptor that holds keeper.lock beside it; pin_dir, control */
	REPLACE_LOCKS, /* old; the descriptor that holds pin_dir beside it, or none if it has none */
	REPLACE_REFUSE, /* old; status, text */
	REPLACE_FLIP,   /* new */
	REPLACE_QUIET,  /* old */
	REPLACE_TAKEN,  /* new */
};

struct replace_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	int32_t status; /* REFUSE: -errno */
	int32_t pid;
	char pin_dir[256];
	char control[112]; /* where the old one's control socket is */
	char text[120];
};
static_assert(sizeof(struct replace_msg) == 504, "two builds understand each other");

enum replace_state {
	REPLACE_IDLE,
	/* the old one */
	REPLACE_GRANTED,
	REPLACE_IS_QUIET,
	REPLACE_IS_OLD, /* another keeper owns maps, files and sockets */
	/* the new one */
	REPLACE_IS_GUEST,
	REPLACE_ASKED_QUIET,
};

struct replace {
	enum replace_state state;
	int door;     /* keeper.sock; -1 */
	int peer;     /* the other keeper; -1 */
	int pin_lock; /* as a guest: what shield_open() is to hold; -1 */
	uint64_t until_ns;
	int32_t pid; /* of the peer */
};

/* As the new one, before anything is opened: asks the keeper of cfg->runtime_dir to give way. 0 with
 * k->replace.state REPLACE_IS_GUEST and *lock_fd (the caller's); -ENOENT: nobody runs there, an
 * ordinary start will do; else -errno after a line that says why not. */
int replace_ask(struct keeper *k, int *lock_fd);
/* As the new one, with all members ready: takes the rest. Called again when the peer has spoken. */
void replace_go_on(struct keeper *k);

/* Opens keeper.sock, while privileges are there; a guest's gets its name when all is his. What cannot be is said, and this keeper cannot be replaced then. */
void replace_open(struct keeper *k);
/* Somebody knocks at the door; the peer has spoken, or hung up. */
void replace_knock(struct keeper *k);
void replace_hear(struct keeper *k);
/* Does what is due; returns when it is next due. */
uint64_t replace_due(struct keeper *k, uint64_t now_ns);
void replace_close(struct keeper *k);

/* Not in charge of maps and files: not yet, or no longer. */
bool replace_hands_off(const struct keeper *k);

#endif
