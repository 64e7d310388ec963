/* SPDX-License-Identifier: BSD-2-Clause */
/* state.h - what the files of shield/ share; nobody else includes it. */
#ifndef SLUICE_SHIELD_STATE_H
#define SLUICE_SHIELD_STATE_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "shield/list_table.h"
#include "shield/shield.h"

struct sluice_xdp_bpf;
struct sluice_reuseport_bpf;
struct sluice_cookie_bpf;

#define SHIELD_PIN_DIR  "/sys/fs/bpf/sluice"
#define SHIELD_PATH_MAX 256

/* The maps of a list in force. */
struct list {
	struct list_table table; /* heap NULL: it has never had an entry */
	struct list_note *note;
	uint32_t notes_max;
	int fd[LIST_MAPS];
	uint64_t next_expiry_ns; /* nothing expires before; UINT64_MAX: nothing at all */
};

/* What was added and deleted one by one while a list is being built elsewhere. */
struct list_op {
	struct shield_prefix p;
	uint64_t expires_ns;            /* 0: never */
	enum shield_deny_reason reason; /* 0: deleted */
	bool own;                       /* that, of set 0 alone */
	struct list_note note;
};

struct list_journal {
	bool on;
	struct list_op *ops;
	size_t n, cap;
};

/* rehearse.c: own cookies tried out, in a child, beside the start */
struct rehearsal {
	int pid_fd;        /* the child; -1 */
	int fd;            /* what it has to say; -1: nothing more will come */
	uint64_t waits_ns; /* so long a start waits for it */
	unsigned again;    /* so often it may be begun anew if it could not be tried */
	const struct shield_rehearsal *before; /* it is over already; NULL */
};

/* flows.c */
struct flows {
	struct flow_filter filter; /* what the map holds */
	struct flow_bits *bits;    /* the map flow_bits; NULL unless it is wanted */
	int fd;                    /* netlink, while the kernel lists its connections; -1 */
	int family;                /* that it lists */
	uint32_t asked;            /* the request's number */
	uint64_t listed;           /* connections, the last time */
	uint64_t set;              /* bits, when they were last counted */
	uint64_t sum, at_ns;       /* the pressure, and when it was that */
	uint64_t rate;             /* its growth a second */
	uint32_t calm;             /* ticks in a row */
	uint32_t since;            /* ticks since it was complete */
	bool told;                 /* that there is a flood */
	bool complained;
};

struct shield {
	char pin_dir[SHIELD_PATH_MAX];
	int lock_fd; /* the pin directory itself, flock'ed; -1 */
	char why_off[200];
	struct sluice_xdp_bpf *xdp;        /* NULL: off */
	struct sluice_reuseport_bpf *pick; /* only its maps; NULL: the kernel picks */
	struct bpf_map *policy;            /* of whichever object was loaded first */
	unsigned cpus;                     /* possible CPUs */

	enum shield_want want;
	enum shield_steer_want steer;
	bool coexist;
	struct shield_attachment iface[SHIELD_IFACES_MAX];
	int link_fd[SHIELD_IFACES_MAX];         /* -1: not attached, or beside */
	__u32 member_id[SHIELD_IFACES_MAX];     /* our program in a dispatcher; coexist.c */
	__u32 dispatcher_id[SHIELD_IFACES_MAX]; /* that it was last seen in */
	__u32 slot[SHIELD_IFACES_MAX];          /* in the map `iface` */
	bool lost[SHIELD_IFACES_MAX];           /* had the program, and has it no more */
	unsigned mtu[SHIELD_IFACES_MAX];        /* as slot `slot[i]` has it */
	size_t n_ifaces;

	struct shield_list *lists;    /* the map of that name; NULL: not looked at yet */
	struct shield_set *list_sets; /* likewise */
	struct list list[LISTS];
	struct list_journal journal[LISTS];

	/* cookie.c */
	struct shield_cookie cookies;     /* what the map `cookie` holds */
	struct sluice_cookie_bpf *cookie; /* NULL unless COOKIE_OWN */
	int tcx_fd[SHIELD_IFACES_MAX];    /* its links; -1 */
	char cookie_why[160];             /* why not COOKIE_OWN, or not tested; "" */
	char tcx_why[160];                /* own cookies are off while this is so; "" */
	enum shield_test cookie_test;
	struct rehearsal rehearsal; /* goes on behind the start; fd -1: none does */
	bool attacked;              /* when we last looked */
	uint64_t attack_answered;   /* syn_state.answered when it began */

	struct flows flows;

	struct ring_buffer *said; /* events of the program; NULL: none are heard */
	uint64_t events;          /* in event_log so far */

	/* what the map `worker` holds */
	struct shield_worker worker[SHIELD_WORKERS_MAX];
	size_t n_workers;
};

/* ---- pin.c ------------------------------------------------------------------- */

/* Makes s->pin_dir exist on a bpffs (mounting one if need be) and locks it. Logs. */
int pin_dir_open(struct shield *s);
void pin_dir_close(struct shield *s);

/* pin_dir/name into `path`; -ENAMETOOLONG cannot happen after pin_dir_open(). */
void pin_path(const struct shield *s, const char *name, char path[SHIELD_PATH_MAX]);

/* Before load: lets a map of `obj` be the pinned one, if it is of the same
 * shape. Sets *missing if any has to be made anew. */
int pin_maps_adopt(struct shield *s, struct bpf_object *obj, bool *missing);
/* After load: pins what was made anew over what may lie there. */
int pin_maps_store(struct shield *s, struct bpf_object *obj);
/* Replaces pin_dir/name by fd, in one step. */
int pin_store(struct shield *s, const char *name, int fd);
void pin_remove(struct shield *s, const char *name);
void pin_remove_maps(struct shield *s); /* every name of maps.h */
/* Calls `each` for every name in pin_dir that begins with `prefix`. */
void pin_each(struct shield *s, const char *prefix,
	      void (*each)(struct shield *s, const char *name));

/* ---- attach.c ------------------------------------------------------------------ */

/* Before the program is loaded, after its maps are known: looks up the
 * interfaces and gives each a slot, in the program's read-only data. */
void attach_prepare(struct shield *s);
/* Attaches to every interface of s->iface and lets go of links to others. */
void attach_all(struct shield *s);
/* Detaches everything that is pinned, ours or a dead keeper's. */
void detach_all(struct shield *s);

/* MTUs may have changed. */
void attach_look(struct shield *s);
void attach_refresh(struct shield *s);

/* ---- coexist.c ----------------------------------------------------------------- */

/* Interface i by libxdp's dispatcher. 0, with its mode and `why`; -EOPNOTSUPP: this kernel makes no
 * dispatcher; -ENOEXEC: it makes one that cannot carry our program; another error: it refused the
 * interface. Nothing is attached then. */
int coexist_attach(struct shield *s, size_t i);
/* Why our member of interface i runs no more; NULL: it does. */
const char *coexist_lost(struct shield *s, size_t i);
/* "member_IFINDEX" out of its dispatcher. Where that may not be done any more, it says so. */
void coexist_detach(struct shield *s, const char *pin);

/* ---- steer.c ----------------------------------------------------------------- */

bool steer_is_veth(const char *name);

/* With s->worker as it is now: decides how each interface is steered, fills the cpumap, tells the
 * program that picks workers. */
int steer_set(struct shield *s);
/* A worker has come or gone: its core's share of the flows, too. */
int steer_follow(struct shield *s);

/* ---- list.c --------------------------------------------------------------------- */

/* Maps what is in force, an earlier keeper's too; 0 if it is there already. */
int shield_lists_open(struct shield *s);
void shield_lists_close(struct shield *s);
/* Takes the pins of the inner maps away. */
void shield_lists_unpin(struct shield *s);
/* Room for one more entry and one more note, if need be by building anew. */
int list_make_room(struct shield *s, enum shield_list_id id);
/* Makes what was deleted and replaced usable again, unless a builder may still be reading it. */
void list_settle(struct shield *s, enum shield_list_id id);
/* The list's counters, after a change. */
void list_publish(struct shield *s, enum shield_list_id id);
/* The number of a note, made if need be; 0: none, or no room. */
uint32_t list_note_number(struct shield *s, enum shield_list_id id, const char *text);
const char *list_word(enum shield_list_id id); /* "deny", "allow" */

/* ---- deny.c ------------------------------------------------------------------ */

/* Host bits off, IPv4 in IPv6 clothes undressed. False: no prefix at all. */
bool shield_prefix_canonical(struct shield_prefix *p);
/* Takes a prefix out of set 0, and of no other. */
void list_del_own(struct shield *s, enum shield_list_id id, const struct shield_prefix *p);

/* ---- rehearse.c ------------------------------------------------------------------- */

void rehearsal_begin(struct rehearsal *r, const struct shield_rehearsal *before);
/* What it has found by until_ns, and why it has not passed; SHIELD_TEST_NONE: nothing yet. The child has
 * an end of its own, after which it is untested. */
enum shield_test rehearsal_hear(struct rehearsal *r, uint64_t until_ns, char *why, size_t cap);
/* Makes an end of the child, if there is one. Not for a fork of who began it. */
void rehearsal_end(struct rehearsal *r);

/* ---- cookie.c -------------------------------------------------------------------------- */

/* After attach_all(): chooses the kind of cookie, attaches what takes it back. Ends r. Logs. */
void cookies_open(struct shield *s, struct rehearsal *r);
/* Forgets; what is pinned stays. */
void cookies_close(struct shield *s);
/* Detaches everything that is pinned. */
void cookies_detach(struct shield *s);
/* Has an attack begun or ended, the rehearsal come to its end, a tc program been taken away? Says so then,
 * and does what is to be done. */
void cookies_look(struct shield *s);

/* The pieces of it, for the rehearsal. 0 or -errno. */
int cookie_keys_turn(const struct bpf_map *map);
int cookie_probe(struct shield_cookie *out); /* all but `how` */
struct sluice_cookie_bpf *cookie_load(const struct sluice_xdp_bpf *xdp, int *err);
int cookie_link(const struct sluice_cookie_bpf *c, unsigned ifindex);

/* ---- flows.c --------------------------------------------------------------------------- */

/* Whatever an earlier keeper left: the filter is off. */
void flows_open(struct shield *s);
void flows_close(struct shield *s); /* forgets; nothing changes for packets */
/* It is not believed from now on: packets may have passed, or will, that did not add what they belong to. */
void flows_off(struct shield *s);

/* ---- serve.c ----------------------------------------------------------------- */

/* No prefix is served from now on, ours or a dead keeper's. */
void serve_release(struct shield *s);

/* ---- event.c ------------------------------------------------------------------- */

/* Once the maps are there. */
int events_open(struct shield *s);
void events_close(struct shield *s);
/* Tells of a capture that has ended, and takes it away. */
void sample_look(struct shield *s);

/* ---- open.c ------------------------------------------------------------------ */

/* Read, change, write back the one entry of `policy`. */
int policy_read(const struct shield *s, struct shield_policy *out);
int policy_write(const struct shield *s, const struct shield_policy *now);

#endif
