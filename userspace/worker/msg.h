/* SPDX-License-Identifier: BSD-2-Clause */
/* msg.h - what one worker may say to another through the mailbox: one number per
 * kind, so that a reader sees the whole vocabulary. The payloads are described
 * where they are packed and checked (engine/memory.c, hub/census.c, admin/query.c); receivers
 * validate every field: a worker trusts no other worker. */
#ifndef SLUICE_WORKER_MSG_H
#define SLUICE_WORKER_MSG_H

enum worker_msg {
	MSG_NONE,
	/* a channel's home and the workers that have its subscribers */
	MSG_SUBSCRIBE,    /* → home: this conn wants in */
	MSG_SUBSCRIBED,   /* ← home: position and count, in publication order */
	MSG_UNSUBSCRIBE,  /* → home */
	MSG_UNSUBSCRIBED, /* ← home, in publication order */
	MSG_ANNOUNCE,     /* → new home after a restart: I have that many subscribers */
	MSG_PUBLISH,      /* → home */
	MSG_PUBLISHED,    /* ← home: offset, or refused */
	MSG_DELIVER,      /* ← home: a publication with its offset */
	MSG_REPLAY,       /* ← home: SUBSCRIBED, and the publications that this conn alone gets */
	MSG_SKIPPED,      /* → home: so many of your channels' deliveries were dropped here */
	MSG_RECALL,       /* → home: what is kept of the channel? */
	MSG_RECALLED,     /* ← home: some of it */
	/* everybody and everybody */
	MSG_CENSUS,  /* who of yours is in this channel? */
	MSG_COUNTED, /* so many, and some of them */
	/* the admin worker and everybody */
	MSG_QUERY,  /* admin → worker */
	MSG_ANSWER, /* worker → admin: a piece of the answer, or its end */
	MSG_KINDS
};

#endif
