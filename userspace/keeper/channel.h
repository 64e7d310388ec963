/* SPDX-License-Identifier: BSD-2-Clause */
/* channel.h - what the keeper and its processes say to each other, over one
 * SOCK_SEQPACKET pair each: messages of one fixed size, every field checked by the
 * receiver. What a process cannot do itself it asks of the keeper here; there is no
 * other way. End of file means that the other side has died.
 *
 * Fields that a kind does not use are zero. Whoever sends something that no honest build
 * sends (a wrong size, a kind that it may not send, bytes where zeros belong) is killed and
 * restarted. A sender that asks too fast is not read until it has waited: its own send(2) then
 * says EAGAIN. A process that does not read its channel is killed once the channel is full.
 *
 * KEEPER_STATUS: `value` is the number of the first piece wanted, from 0. The answer is up to
 * KEEPER_STATUS_PIECES messages KEEPER_PIECE_*, in order, then a KEEPER_REPLY whose
 * `value` is the number to ask for next, or 0 if that was the last. Piece 0 is the keeper,
 * then come the members, then the shield's interfaces, its gauges and its lists, then what became
 * of the certificates. */
#ifndef SLUICE_KEEPER_CHANNEL_H
#define SLUICE_KEEPER_CHANNEL_H

#include <assert.h>
#include <stdint.h>

#include "tls/ja4.h"
#include "tls/ticket.h"

enum keeper_msg_kind {
	/* keeper → process */
	KEEPER_PEER_DOWN = 1, /* member has died */
	KEEPER_PEER_UP,       /* member lives, with this incarnation; its rings may be used */
	KEEPER_SHUTDOWN,      /* close every client with 1001 and exit 0; value: which, see below */
	KEEPER_REPLY,      /* to a request: `status` 0 or -errno, `ask` as asked, `text` says why */
	KEEPER_PIECE_SELF, /* of the answer to KEEPER_STATUS: `self` */
	KEEPER_PIECE_MEMBER,   /* `life` of `member`, in its life `incarnation` */
	KEEPER_PIECE_SHIELD,   /* `shield`: one interface */
	KEEPER_PIECE_PRESSURE, /* `pressure`, if the shield is on */
	KEEPER_TLS, /* workers: certificates anew, beside it a sealed memfd: tls_material_unpack();
		     * value: how often they were read anew, from 1 */
	KEEPER_DENY_HELLO,  /* workers: `hello`; until_ns 0: no more */
	KEEPER_TICKETS,     /* workers: `tickets`, from now on */
	KEEPER_PIECE_LIST,  /* `gauge`: deny, then allow, if the shield is on */
	KEEPER_PIECE_CERTS, /* `certs`, if sluice.conf names certificates */
	/* process → keeper */
	KEEPER_READY = 64, /* the loop runs */
	KEEPER_FULL,       /* value 1: send me no new connections; 0: I have room again */
	KEEPER_DENY_ADD,   /* admin worker only, from here on: list, a prefix, value, text, force */
	KEEPER_DENY_DEL,   /* list, a prefix (addr, bits, family) */
	KEEPER_STATUS,     /* value: first piece */
	KEEPER_POLICY_CHECK, /* beside it a sealed memfd: config/bundle.h. REPLY: text, and a report */
	KEEPER_POLICY_TRY, /* likewise; value: seconds; text: what people call the file, may be "" */
	KEEPER_POLICY_CONFIRM, /* REPLY: likewise */
	KEEPER_POLICY_REVERT,
	KEEPER_LIST_LOAD, /* beside it a sealed memfd: list_hand_open(); `list`; text: the set's name, a
			   * blank and what people call the file. REPLY when it is in force */
	KEEPER_LIST_DROP,       /* `list`, text: the set's name */
	KEEPER_FINGERPRINT_ADD, /* text: a JA4; value: seconds, 0: no end */
	KEEPER_FINGERPRINT_DEL, /* text: a JA4 */
	KEEPER_CERT_RELOAD,     /* REPLY when all workers were told: text, and a report */
	KEEPER_OFFENCE,  /* workers: addr, bits (all of them), family; value: points. No reply */
	KEEPER_BAD_PEER, /* anybody: `member`, in its life `incarnation`, writes or does in the
			  * mailbox what no honest one does; the keeper judges (accuse.h) */
};

/* The one descriptor that may go along with a request is a sealed memfd (base/handover.h), and goes
 * along with those kinds that say so; a report comes back in the same way. */
#define KEEPER_BUNDLE_MAX (4u << 20) /* bytes of a policy's file and what it includes */
#define KEEPER_REPORT_MAX                                                                          \
	(64u << 10)               /* bytes of a report: lines of text, each with a letter
						* before it, 'E' a mistake, 'N' a remark */
#define KEEPER_OFFENCE_MAX 1000u  /* points of one message */
#define KEEPER_TRY_MAX_S   86400u /* longest trial of a policy */
/* How clients go at KEEPER_SHUTDOWN. */
enum keeper_shutdown {
	KEEPER_SHUTDOWN_NOW,      /* all at once: nobody else serves them */
	KEEPER_SHUTDOWN_REPLACED, /* one after the other: they come back to a successor */
	KEEPER_SHUTDOWN_ALONE,    /* likewise; and what waits at our listeners would be lost */
};

#define KEEPER_STATUS_PIECES 16u
#define KEEPER_SET_MAX       31u             /* bytes of a set's name: a-z 0-9 . _ - */
#define KEEPER_NOTE_MAX      63u             /* bytes of a denial's note in `text` */
#define KEEPER_DENY_MAX_S    (366u * 86400u) /* longest denial that ends by itself */

enum keeper_member_state {
	KEEPER_MEMBER_DOWN,     /* waits for its next start */
	KEEPER_MEMBER_STARTING, /* forked, has not said READY yet */
	KEEPER_MEMBER_READY,
	KEEPER_MEMBER_FULL, /* ready, but wants no new connections */
};

struct keeper_piece_self {
	uint64_t started_wall_ms;
	int32_t pid;
	uint32_t n_members; /* the admin worker is the last of them */
	uint32_t n_interfaces;
	uint32_t trial_left_ms; /* of the policy on trial, 0: none is */
	uint8_t shield_on;      /* 1: attached to at least one interface */
	uint8_t shutting_down;
	uint8_t rule[6];     /* enum shield_rule_mode by enum shield_rule, as now in force */
	char trial_name[64]; /* what people call its file; NUL-terminated */
	char text[96];       /* of the shield as a whole: why it is off; NUL-terminated */
};

struct keeper_piece_member {
	uint64_t started_wall_ms;   /* of this life; 0 while down */
	uint64_t last_exit_wall_ms; /* of the life before; 0: there was none */
	int32_t pid;                /* 0 while down */
	int32_t last_exit;          /* as waitpid(2) has it; only if last_exit_wall_ms */
	uint32_t restarts;
	uint32_t next_start_ms; /* while down: from now */
	uint8_t state;          /* enum keeper_member_state */
};

struct keeper_piece_shield {
	uint32_t ifindex;
	char interface[16];
	char mode[12];    /* "native", "generic", "off" */
	char reason[160]; /* why that mode; "" if there is nothing to say */
	char steer[8];    /* "cpumap", "rss", "off" */
	char steer_reason[96];
};

struct keeper_piece_pressure {
	/* rule 4: struct shield_rate_gauges */
	uint64_t validated, validated_max, made, evicted;
	uint64_t granted, refused, strangers;
	/* rule 6: struct shield_cookie_stats */
	uint64_t attacks, answered, returned, connections, untaken;
	/* rule 5: struct shield_flow_stats */
	uint64_t flow_connections, flow_per_s, flow_bytes;
	uint32_t cores_under_attack;
	char flow_filter[8];   /* "off", "filling", "on" */
	char cookies[8];       /* "own", "kernel", "none" */
	char cookies_test[12]; /* "none", "passed", "failed", "untested" */
	char cookies_why[160]; /* why no better kind, or why untested; "" */
};

struct keeper_piece_list {
	uint64_t bytes;   /* of its maps */
	uint32_t v4, v6;  /* entries */
	uint32_t own;     /* of them: made one by one */
	uint32_t sets;    /* with a name */
	uint32_t room;    /* entries, without building anew */
	uint8_t id;       /* enum shield_list_id */
	char loading[32]; /* the set that is being loaded; NUL-terminated; "": none is */
};

/* How the last reading of the certificates went, the start's among them. */
struct keeper_piece_certs {
	uint64_t wall_ms;
	char why[256]; /* it failed: the first mistake; NUL-terminated; "": all was in order */
};

struct keeper_hello {
	struct tls_ja4 ja4;
	uint64_t until_ns; /* monotonic; 0: it is not denied any more */
};

struct keeper_msg {
	uint16_t kind;   /* enum keeper_msg_kind */
	uint16_t member; /* of PEER_*, PIECE_MEMBER and BAD_PEER; else 0 */
	uint32_t ask;    /* echoed in KEEPER_REPLY and KEEPER_PIECE_* */
	int32_t status;
	uint32_t incarnation; /* lives of `member` so far, from 1 */
	union {
		struct {
			uint64_t value; /* FULL, STATUS: see above; DENY_ADD: seconds, 0: no end */
			uint8_t addr[16]; /* network order; IPv4 in the first four bytes */
			uint8_t bits;
			uint8_t family; /* AF_INET or AF_INET6 */
			uint8_t list;   /* enum shield_list_id, of DENY_ and LIST_ */
			uint8_t force;  /* 1: of DENY_ADD and LIST_LOAD: whoever it hits */
			uint8_t _zero[4];
			char text[160]; /* DENY_ADD: the note, may be ""; REPLY: a message.
					   * NUL-terminated, and zero from there on */
		};
		struct keeper_piece_self self;
		struct keeper_piece_member life;
		struct keeper_piece_shield shield;
		struct keeper_piece_pressure pressure;
		struct keeper_piece_list gauge;
		struct keeper_piece_certs certs;
		struct tls_tickets tickets;
		struct keeper_hello hello;
	};
};
static_assert(sizeof(struct keeper_msg) == 328, "one size for all");

#endif
