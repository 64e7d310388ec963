/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.h - what the keeper and its processes say to each other, over one
 * SOCK_SEQPACKET pair each: messages of one fixed size, every field checked by the
 * receiver. What a process cannot do itself it asks of the keeper here; there is no
 * other way. End of file means that the other side has died. */
#ifndef SLUICE_KEEPER_CHANNEL_H
#define SLUICE_KEEPER_CHANNEL_H

#include <assert.h>
#include <stdint.h>

enum keeper_msg_kind {
	/* keeper → process */
	KEEPER_PEER_DOWN = 1, /* member has died */
	KEEPER_PEER_UP,       /* member lives, with this incarnation */
	KEEPER_SHUTDOWN,      /* close every client with 1001 and exit 0 */
	KEEPER_REPLY,         /* to a request: `status` 0 or -errno, same `ask` */
	/* process → keeper */
	KEEPER_READY = 64,    /* the loop runs */
	KEEPER_FULL,          /* value 1: send me no new connections; 0: I have room again */
	KEEPER_OFFENCE,       /* addr misbehaved: value points (from any worker) */
	KEEPER_DENY_ADD,      /* admin worker only, from here on */
	KEEPER_DENY_DEL,
	KEEPER_STATUS         /* reply carries struct keeper_status pieces, see admin */
};

struct keeper_msg {
	uint16_t kind;   /* enum keeper_msg_kind */
	uint16_t member; /* of PEER_*; else 0 */
	uint32_t ask;    /* echoed in KEEPER_REPLY */
	int32_t status;
	uint32_t incarnation;
	uint64_t value;  /* FULL, OFFENCE: see above; DENY_ADD: seconds to live, 0 for ever */
	uint8_t addr[16];/* network order; IPv4 in the first four bytes */
	uint8_t bits;
	uint8_t family;  /* AF_INET or AF_INET6 */
	uint8_t _zero[6];
	char text[64];   /* reason of a denial; NUL-terminated. Replies: a message */
};
static_assert(sizeof(struct keeper_msg) == 112, "one size for all");

#endif
