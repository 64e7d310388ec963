/* SPDX-License-Identifier: BSD-2-Clause */
/* request.h - a line of the control socket, taken apart.
 *
 *   {"ask":"keeper"}                                   → as admin/status.h has it
 *   {"ask":"worker","member":0}                        → "answer": counters and memory
 *   {"ask":"conns","member":0,"cursor":0,"limit":200}  → "answer": rows, "next": n or null
 *   {"ask":"conn","member":0,"id":"<client id>"}       → "answer": the row, or none
 *   {"ask":"close","member":0,"id":"<client id>"}      → likewise, and it is closed
 *   {"ask":"channels","member":0,"cursor":0,"limit":200,"name":"lobby"?} → like conns
 *   {"ask":"members",…,"name":"lobby"}                 → like conns: who of that worker is in it
 *   {"ask":"homes",…}                                  → likewise: those at home there
 *   {"ask":"purge","member":0,"cursor":0,"name":"lobby"} → of its history, how much went
 *   {"ask":"purge_from",…,"name":"<user or client id>"}  → likewise, of all channels
 *   {"ask":"count","member":0,"to":"any(lobby) except(muted)","space":"/ws"?} → how many it means
 *   {"ask":"select",…}                                   → rows of them, likewise in pages
 *   {"ask":"kick",…}                                     → they are closed, a page at a time; how many
 *   {"ask":"publish","member":0,"to":"…","space":"/ws","data":"{\"a\":1}"} → said to them; the data is
 *                                                        JSON as a string, to go through as it is
 *   {"ask":"deny-add","addr":"203.0.113.0","bits":24,"seconds":600,"note":"…",
 *    "force":true?}                                    → "text"; force: a very short prefix, and
 *                                                        one that locks out this host or who manages
 *   {"ask":"deny-del","addr":"203.0.113.0","bits":24}
 *   {"ask":"allow-add",…}, {"ask":"allow-del",…}      → likewise, of the allow list
 *   {"ask":"deny-load","set":"drop","note":"FILE"?,
 *    "force":true?}                                    → "text", when it is in force; a memfd as
 *                                                        shield/list_file.h makes it; allow-load
 *   {"ask":"deny-drop","set":"drop"}                   → "text": the set is gone; allow-drop
 *   {"ask":"policy-check"}                             → "text", "notes":["…"]; or, not ok, "error"
 *                                                        and "mistakes":["FILE:LINE: …"]
 *   {"ask":"policy-try","seconds":60,"note":"FILE"}    → likewise
 *   {"ask":"policy-confirm"}, {"ask":"policy-revert"}  → "text", "notes"
 *
 * Not ok with "busy":true beside "error" is an answer of the keeper that somebody else is at it, and the same
 * may be taken later.
 *
 * With policy-check, policy-try and the loads a sealed memfd (base/handover.h) comes beside the line, in the
 * same sendmsg(2): for a policy the file as config/bundle.h packs it.
 *
 * Nothing here asks anybody: it says whom to ask what, within the bounds that they check again. */
#ifndef SLUICE_ADMIN_REQUEST_H
#define SLUICE_ADMIN_REQUEST_H

#include "admin/query.h"
#include "hub/expression.h"
#include "keeper/channel.h"

struct admin_request {
	enum {
		ADMIN_ASK_STATUS, /* the keeper, for all pieces of KEEPER_STATUS */
		ADMIN_ASK_MEMBER, /* `member`, which need not exist, for `query` */
		ADMIN_ASK_KEEPER, /* the keeper, for `msg` */
	} whom;
	unsigned member;
	bool hands;            /* `msg` wants what came beside the line */
	struct query query;    /* all but its `ask` */
	struct bytes to, data; /* behind it; they lie in this, so that it is not copied */
	struct keeper_msg msg; /* likewise */
	const char *why;       /* what is wrong, for people; static, or in this */
	uint8_t _to[EXPRESSION_MAX];
	uint8_t _data[QUERY_DATA_MAX];
	char _why[256];
};

/* False: it is none, and only r->why is set. */
bool admin_request_parse(struct bytes line, struct admin_request *r);

#endif
