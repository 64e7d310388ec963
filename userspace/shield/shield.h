/* SPDX-License-Identifier: BSD-2-Clause */
/* shield.h - the user half of bpf/: what the keeper asks of XDP and sk_reuseport.
 *
 *   config ─► shield_open ─► load, pin, attach ─► (frames judged in the kernel)
 *   keeper ─► shield_group_attach, shield_worker_mark ─► (workers picked in the kernel)
 *   admin  ─► keeper ─► shield_deny_add … ─► maps
 *
 * libbpf stays behind this header. One keeper at a time owns a pin directory (a
 * lock on it says so); everything here is called by that one process, from one
 * thread. Functions return 0 or a negative errno, and have then logged what the
 * operator can do about it, except where noted.
 *
 * **It runs without.** A kernel, container or user that may not load BPF makes
 * shield_open() succeed with the shield off, one log line that says which
 * capability is missing, and every other call answer -EOPNOTSUPP silently.
 *
 * **It outlives us.** Maps, programs and links are pinned. If the keeper dies
 * the shield goes on judging; the next shield_open() takes over the maps (deny
 * entries and counters stay) and swaps the program inside the pinned link, in
 * one step that no packet notices. Only shield_close(s, true) takes it down.
 *
 * **Capabilities.** shield_open() needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON
 * (without the last the verifier refuses packet code); CAP_SYS_ADMIN only to
 * mount a bpffs where none is mounted. The keeper keeps the three to the end.
 *
 * **What is pinned** in pin_dir, and how `bpftool -j map dump pinned PATH` shows
 * it: an array of entries, under "formatted" if the type carries BTF. abi.h has
 * the C structs. 64-bit numbers are plain JSON numbers.
 *   lists             the key is the list (0 deny, 1 allow); value {"bank":0,"build":1,"n":
 *                     [{"v4":2,"v6":0},…],"entries_max":1024,"blocks":…,"notes":1}; n counts
 *                     by bank, that of `bank` is in force
 *   deny_entry, allow_entry  the entries; {"key":7,"value":{"hits":7,"expires_ns":0,
 *                     "created_ns":1,"parent":0,"note":1,"addr":[203,0,113,0,…16],"len":24,
 *                     "family":4,"set":0,"_zero":0,"reason":"SHIELD_DENY_OPERATOR"}}; family 0: unused;
 *                     times are CLOCK_MONOTONIC, 0 is never. Long lists: read its pages
 *                     (mmap), not its dump
 *   deny_hot, allow_hot  the key is number / 16: {"key":0,"value":{"at":[{"key":3405803776,"meta":…,"hits":7},…16]}};
 *                     its hits and those of the entry together are all
 *   deny_note, allow_note  the key is an entry's `note`; value {"text":"by hand"}
 *   deny_heap, allow_heap  what packets search in: for no reader but the program
 *   list_set          the key is list * 64 + set; value {"name":"geo","v4":9,"v6":0,
 *                     "loaded_wall_s":…,"source":"/etc/…"}; set 0 has no name
 *   drop_count        {"key":0,"values":[{"cpu":0,"value":{"NONE":9,"BAD_IP_HEADER":0,
 *                     …,"DENIED":3}},…]}: a field per reason of drop_reason.def, NONE
 *                     for packets judged and passed; add up over the CPUs. Key 1: what
 *                     rules in observe mode would have dropped
 *   iface             {"key":0,"values":[{"cpu":0,"value":{"ifindex":2,
 *                     "mode":"SHIELD_NATIVE","loopback":0,"mtu":1500,"deaf":0,"unheard":7,"passed":9,
 *                     "dropped":3,"by_malformed":1,…,"by_syn":2}},…]}; the key is a slot, ifindex 0
 *                     an unused one;
 *                     packets to protected destinations only
 *   rates             the key is bank * 16 + class; value {"name":"default","packets":
 *                     {"interval_ns":5000,"ahead_ns":…},"syns":…,…}; name "": unused
 *   cell, validated   buckets of rule 4: `sluicectl rate show` has what is to be said of them
 *   appeal_count      {"key":0,"values":[{"cpu":0,"value":{"granted":0,"refused":0,"strangers":9,
 *                     "validated":2}},…]}
 *   talker            the key is a place, the first TALKERS are of even windows; per CPU
 *                     {"addr":[0,0,0,0,192,0,2,1],"window":…,"packets":7,"dropped":0,"_zero":0}; an IPv4
 *                     address or an IPv6 /64; talker_row: its counters
 *   event_log         the key is number % 256; value {"number":1,"wall_ms":…,"kind":"EVENT_START",
 *                     "_zero":0,"text":"…"}; number 0: none yet. events: a ring buffer for the keeper
 *   sample            {"key":0,"value":{"until_ns":0,…}}: is anybody capturing? samples (a ring
 *                     buffer) and sample_xsk (an XSKMAP) are for him
 *   policy            {"key":0,"value":{"abi":2,"bank":1,"trial_ends_ns":0,
 *                     "steer":"SHIELD_STEER_BY_HASH","cores":2}}
 *   rules             the key is the bank; value {"malformed":"RULE_ENFORCE",…}
 *   steer_to          {"key":0,"value":{"seed":1,"ifaces":1,"cpu":[0,1,…]}}: flows by hash;
 *                     65535: stays where it came in. Bit i of ifaces is slot i of iface
 *   steer_cpu         a CPUMAP: carries no BTF; key the CPU, value {queue size, program} as hex
 *   manage            {"key":0,"value":{"n":1,"_zero":0,"at":[as in protect_addr],
 *                     "port":[…1024 words of 64 bits, one per port]}}
 *   protect_port      {"key":{"proto":"L4_TCP","port":443,"last":443},"value":{"any_v4":1,
 *                     "any_v6":0,"prefixes":3}}; port 0 is the union over the ports, for packets that
 *                     show none. The program itself reads port_class (64 KiB of bytes
 *                     per bank and protocol: leave it) and protect_class
 *   protect_addr      the key is the bank (see policy.bank); value {"at":[{"addr":[…16],
 *                     "mask":[…16],"family":4,"len":8},…]}; bit i of "prefixes" is at[i]
 *   worker            {"key":0,"value":{"state":"SHIELD_WORKER_UP","cpu":0}}; the key is
 *                     the worker; all SHIELD_WORKERS_MAX are there, unused ones are DOWN
 *   core_worker       {"key":0,"value":{"n":1,"worker":[0,…]}}; the key is the CPU, the
 *                     last entry stands for all CPUs; the first n numbers count
 *   core_nth          {"key":0,"value":0}: CPUs with a ready worker, policy.cores of them
 *   pick_count        {"key":0,"values":[{"cpu":0,"value":{"by_core":5,"elsewhere":0,
 *                     "by_kernel":0,"migrated":0}},…]}
 *   listener          a REUSEPORT_SOCKARRAY, or a SOCKMAP if listeners serve prefixes: carries no
 *                     BTF; key group*1024+worker as hex bytes, value the socket's cookie
 *   cookie            {"key":0,"value":{"how":"COOKIE_OWN","offer":7,"wscale":7,"window":65483}}
 *   cookie_key        SYN cookies' keys: whoever reads them can forge connections
 *   cookie_last       when the last cookie was given out
 *   syn_state         {"key":0,"values":[{"cpu":0,"value":{"window_ends_ns":0,"syns":0,"calm":0,
 *                     "attack":0,…}},…]}; synack_cell, syn_scratch: the program's own
 *   flow_filter       {"key":0,"value":{"is":"FILTER_OFF","bank":0,"shift":0,"_zero":0,"seed":[0,0]}}; flow_bits: the
 *                     bits, without a type
 *   tcx_IFINDEX       the link of the tc program that takes cookies back
 *   xdp               the program;  link_IFINDEX  the link that attaches it;
 *   serve, serve_link the sk_lookup program and its link, if listeners serve prefixes
 *   member_IFINDEX    its copy in libxdp's dispatcher of that interface, instead of a link;
 *   reuseport_GROUP   the copy of the sk_reuseport program of that listen address */
#ifndef SLUICE_SHIELD_SHIELD_H
#define SLUICE_SHIELD_SHIELD_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/abi.h"

struct shield; /* opaque */

struct shield_prefix {
	uint8_t addr[16]; /* network order; IPv4 in the first four bytes */
	uint8_t bits;     /* 0..32 or 0..128; bits of addr beyond them are ignored */
	uint8_t family;   /* AF_INET or AF_INET6 */
};

/* One protected destination. 0.0.0.0/0 and ::/0 are every address of a family. */
struct shield_protect {
	struct shield_prefix to;
	uint16_t port; /* host order, 1..65535 */
	uint16_t last; /* port..last; 0: only `port` */
	uint8_t rate;  /* index into the plan's rates; 0 if there are none */
	uint8_t _zero; /* no holes: equal policies are equal bytes */
	enum l4_proto proto;
};

/* A whole policy: what is protected, and how. Borrowed during the call. */
struct shield_plan {
	const struct shield_protect *protect;
	size_t n_protect;
	struct shield_rules rules;
	/* Classes of rule 4. The first is for packets that show no port, and for what names no
	 * other; none at all: shield_rate_default() is the first. Ports are what classes go by: one
	 * port has one, -EINVAL if the plan says otherwise. */
	const struct shield_rate *rates;
	size_t n_rates; /* at most SHIELD_RATES_MAX */
};

enum shield_want {
	SHIELD_WANT_AUTO, /* native where the driver can, else generic */
	SHIELD_WANT_NATIVE,
	SHIELD_WANT_GENERIC,
	SHIELD_WANT_OFF, /* no XDP; workers are still picked by our program */
};

/* How the packets of a flow come to the core of its worker. */
enum shield_steer_want {
	SHIELD_STEER_WANT_AUTO,   /* by each interface's receive queues; steer.c has the table */
	SHIELD_STEER_WANT_CPUMAP, /* XDP moves them */
	SHIELD_STEER_WANT_RSS,    /* the NIC has done it */
	SHIELD_STEER_WANT_OFF,    /* not at all; workers are picked by flow hash */
};

/* What the start-up test of SYN cookies has found. */
enum shield_test {
	SHIELD_TEST_NONE, /* there was none, or it is not over yet */
	SHIELD_TEST_PASSED,
	SHIELD_TEST_FAILED,
	SHIELD_TEST_UNTESTED, /* it could not be tried, or did not end */
};

struct shield_rehearsal {
	enum shield_test is;
	char why[160]; /* why not passed; "" */
};

/* Borrowed during the call only. */
struct shield_config {
	const char *pin_dir; /* absolute; made if missing; NULL: /sys/fs/bpf/sluice */
	enum shield_want mode;
	bool coexist;              /* by libxdp's dispatcher, where the kernel has what it needs */
	const char *const *ifaces; /* names; none is the same as SHIELD_WANT_OFF */
	size_t n_ifaces;           /* at most SHIELD_IFACES_MAX */
	struct shield_plan plan;
	const struct shield_prefix *manage;
	size_t n_manage;
	const uint16_t *manage_port;
	size_t n_manage_ports;
	const struct shield_prefix *deny; /* sluice.conf's, without expiry */
	size_t n_deny;
	enum shield_steer_want steer;
	bool serves; /* shield_serve_set() will be called with prefixes */
	const struct shield_rehearsal *rehearsed; /* by shield_rehearse(); NULL: to be done */
	int pin_lock; /* pin_dir's lock, as shield_lock_fd() of another keeper; 0 or less: none */
};

/* What spreads the flows of an interface over the cores. */
enum shield_steer_how { STEER_NOTHING, STEER_RSS, STEER_CPUMAP };

/* How one interface fared. */
struct shield_attachment {
	char name[IFNAMSIZ];
	unsigned ifindex; /* 0: there is no such interface */
	enum shield_mode mode;
	bool taken_over; /* the link of an earlier keeper, updated in place */
	bool beside;     /* in libxdp's dispatcher */
	char why[160];   /* why generic, why off; "" if native */
	/* as shield_workers_set() found it */
	enum shield_steer_how steer;
	char steer_why[96];
};

/* ---- set up and take down -------------------------------------------------- */

/* 0 and *out, which is never NULL then, though the shield may be off; -EBUSY if
 * another keeper holds pin_dir; -EINVAL for a config that cannot be; -ENOMEM. */
int shield_open(const struct shield_config *cfg, struct shield **out);

/* clean: detach, unpin, remove the directory; established connections do not
 * notice. Not clean: only forget it, the kernel's side stays as it is (what a
 * forked worker does, too, before it closes its descriptors). NULL is fine. */
void shield_close(struct shield *s, bool clean);

/* The start-up test ahead of shield_open(), for who will have lost CAP_SYS_ADMIN by then, which a
 * network namespace takes. Five seconds at most, ten if it must be tried twice: another sluiced serves
 * meanwhile. */
void shield_rehearse(struct shield_rehearsal *out);

/* What holds the lock on pin_dir, for a keeper that takes over: it stays held until the last copy of
 * the descriptor is closed. -1: there is none. Stays the shield's. */
int shield_lock_fd(const struct shield *s);

/* Is XDP loaded? If not, why: one line, good until shield_close(), else "". */
bool shield_is_on(const struct shield *s);
const char *shield_why_off(const struct shield *s);

/* One entry per configured interface, in their order; good until shield_close(). */
const struct shield_attachment *shield_attachments(const struct shield *s, size_t *n);

/* ---- policy ------------------------------------------------------------------ */

/* Every rule enforced: what a sluice.conf without a word about rules means. */
struct shield_rules shield_rules_default(void);

/* Tokens per second, and how many seconds' worth may come at once; 0 a second: no limit. */
struct shield_limit shield_limit_of(uint64_t per_s, uint64_t burst_ms);
/* Far above what any honest host or net sends, and far below what hurts. */
struct shield_rate shield_rate_default(void);

/* Builds the plan beside the policy in force, reads it back, and switches to it in one
 * step. trial_ms 0: for good. Else the kernel itself goes back to the policy before when
 * the time is over, unless shield_policy_confirm() came first. -EBUSY: a trial is
 * running, or has ended and not been cleared by shield_policy_revert(). -E2BIG beyond
 * SHIELD_PROTECT_MAX distinct prefixes, SHIELD_PORTS_MAX runs of ports or some 60 different
 * combinations of prefixes. On any error the policy in force stays. */
int shield_policy_set(struct shield *s, const struct shield_plan *plan, uint64_t trial_ms);
/* Keeps the policy on trial; -ENOENT: there is none, or its time is over. */
int shield_policy_confirm(struct shield *s);
/* Ends the trial, or clears one that is over; -ENOENT: there is none. */
int shield_policy_revert(struct shield *s);

/* Who passes to which ports before any rule, whatever the policy: at most
 * SHIELD_MANAGE_MAX prefixes, else -E2BIG. */
int shield_manage_set(struct shield *s, const struct shield_prefix *who, size_t n,
		      const uint16_t *port, size_t n_ports);

/* ---- lists ------------------------------------------------------------------------
 *
 * Two lists, deny and allow, each of up to LIST_ENTRIES_MAX prefixes in up to LIST_SETS_MAX
 * sets. Set 0 holds what was added one by one; a set with a name came from a file and is
 * replaced whole. The same prefix may be in several sets. */

/* Adds or renews an entry of set 0. ttl_s 0: until deleted. Renewing keeps hits and creation time.
 * An IPv6 prefix longer than /64 is widened to it for SHIELD_DENY_OFFENCE: one
 * customer has them all; and an offence never changes a living entry of another
 * reason (0, nothing done). ::ffff:a.b.c.d/96+n is taken as IPv4. `note` may be NULL
 * and is cut to 63 bytes. -ENOSPC: LIST_OWN_MAX entries are there. */
int shield_list_add(struct shield *s, enum shield_list_id id, const struct shield_prefix *p,
		    uint64_t ttl_s, enum shield_deny_reason reason, const char *note);
/* Exactly this prefix, from every set that has it; -ENOENT, without a log line, if none has. */
int shield_list_del(struct shield *s, enum shield_list_id id, const struct shield_prefix *p);
/* The entry of exactly this prefix, of the highest set that has it; -ENOENT. */
int shield_list_get(struct shield *s, enum shield_list_id id, const struct shield_prefix *p,
		    struct list_entry *out, char note[sizeof(struct list_note)]);
/* What the map `lists` says, and the set of this number; -ENOENT: there is no such set. */
int shield_list_info(struct shield *s, enum shield_list_id id, struct shield_list *out);
int shield_list_set_info(struct shield *s, enum shield_list_id id, unsigned set,
			 struct shield_set *out);
/* What it holds and what that takes. */
struct shield_list_gauge {
	uint32_t v4, v6; /* entries */
	uint32_t own;    /* of them: made one by one */
	uint32_t sets;   /* with a name */
	uint32_t room;   /* entries, without building anew */
	uint64_t bytes;  /* of its maps */
};
int shield_list_gauge(struct shield *s, enum shield_list_id id, struct shield_list_gauge *out);
/* Another process may have switched a list: both are looked for anew when next asked for. */
void shield_lists_forget(struct shield *s);

int shield_deny_add(struct shield *s, const struct shield_prefix *p, uint64_t ttl_s,
		    enum shield_deny_reason reason, const char *note);
int shield_deny_del(struct shield *s, const struct shield_prefix *p);
/* Makes the entries of reason SHIELD_DENY_CONFIG be exactly these, without expiry. With ttl_s they are
 * a trial's: those that were not there before end by themselves after it, those that were stay.
 * A living entry of another reason is never touched. */
int shield_deny_config(struct shield *s, const struct shield_prefix *list, size_t n,
		       uint64_t ttl_s);
/* Removes what has expired (it has no effect already). Number removed, or an
 * error. Call it every few seconds; it costs nothing while nothing is due. */
ssize_t shield_reap(struct shield *s);

/* A set, to be built: sorted and each prefix once (list_file.h makes such). */
struct list_record {
	uint8_t addr[16]; /* as in struct list_entry */
	uint32_t ttl_s;   /* 0: until taken away */
	uint32_t note;    /* of notes[]; 0: none */
	uint8_t len, family;
	uint8_t _zero[6];
};
_Static_assert(sizeof(struct list_record) == 32, "list_record");

struct list_batch {
	char name[sizeof(((struct shield_set *)0)->name)];
	char source[sizeof(((struct shield_set *)0)->source)];
	bool config; /* sluice.conf names it */
	const struct list_record *records;
	size_t n;                      /* 0: the set goes away */
	const struct list_note *notes; /* [0] is not used */
	size_t n_notes;
};

/* The maps of a list, one after the other in what is handed on. */
enum list_map {
	LIST_MAP_TOP,
	LIST_MAP_HEAP,
	LIST_MAP_ENTRY,
	LIST_MAP_HOT,
	LIST_MAP_NOTE,
	LIST_MAPS,
};

/* A list built beside the one in force. It belongs to whoever built it, who may be another
 * process than the one that switches to it: the descriptors are all there is. */
struct list_built {
	int fd[LIST_MAPS];               /* -1: none */
	uint32_t blocks, entries, notes; /* their sizes */
	uint32_t set;                    /* the number that the batch's set has now */
	uint32_t v4, v6;                 /* of the batch */
	uint32_t build_ms;
};

/* Builds the list anew with the batch as the set of its name, every other set as it is; hits
 * and creation times of prefixes that stay in the set are kept. -EINVAL: not sorted or not
 * sound; -E2BIG, -ENOSPC: too many entries, sets or notes. Changes nothing that packets see. */
int shield_list_build(struct shield *s, enum shield_list_id id, const struct list_batch *batch,
		      struct list_built *out);
/* What another process needs to build: the descriptor that maps get their types from; -1: none. */
int shield_list_types(const struct shield *s);
/* From now on entries that are added or deleted are also done to the list that is being
 * built, when it is switched to; or no longer, if that comes to nothing. */
void shield_list_note_changes(struct shield *s, enum shield_list_id id, bool on);
/* Switches to it: a packet is judged by the old list or by the new one. Takes over the
 * descriptors, whatever it returns. -EINVAL: they are not what they are said to be. */
int shield_list_switch(struct shield *s, enum shield_list_id id, const struct list_batch *batch,
		       struct list_built *built);
void shield_list_discard(struct list_built *built);

/* "203.0.113.0/24" into buf; returns buf. */
#define SHIELD_PREFIX_TEXT_MAX 50
const char *shield_prefix_str(const struct shield_prefix *p, char buf[SHIELD_PREFIX_TEXT_MAX]);

/* ---- events -------------------------------------------------------------------- */

/* Into the list that `sluicectl event show` prints; cut at 103 bytes, not logged. */
void shield_event(struct shield *s, enum shield_event_kind kind, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Readable when the program has something to say; -1: it never will. NULL is fine. */
int shield_events_fd(const struct shield *s);
/* Logs and keeps what it has said. */
void shield_events_hear(struct shield *s);

/* ---- workers ------------------------------------------------------------------ */

/* Worker i lives on CPU cpu[i]; all are DOWN until marked. At most SHIELD_WORKERS_MAX. Also
 * decides how each interface is steered, and logs it. */
int shield_workers_set(struct shield *s, const uint32_t *cpu, size_t n);

/* From now on new connections avoid (DOWN, FULL) or may choose (UP) this worker. If
 * nobody is UP the kernel chooses among all listeners: nothing is refused. */
int shield_worker_mark(struct shield *s, unsigned worker, enum shield_worker_state state);

/* Puts our program in charge of one listen address. fds[i] is worker i's socket:
 * bound with SO_REUSEPORT, listening; -1 where a worker has none. Sockets that
 * still live from an earlier keeper are no longer chosen. Descriptors stay
 * the caller's. A worker's successor that inherits the descriptor needs nothing. */
int shield_group_attach(struct shield *s, unsigned group, const int *fds, size_t n);

/* Connections to port..last of `to` go to the listen address `group`, whoever else listens there, and to
 * nobody (they are refused) while `group` has no listener: pinned, it stays so when the keeper dies. The host must take
 * the prefix as its own (ip route add local PREFIX dev lo). */
struct shield_serve {
	struct shield_prefix to;
	uint16_t port, last; /* host order */
	unsigned group;
};

/* Exactly these from now on, in one step; n 0: none. Groups must have been attached. At most
 * SHIELD_SERVE_MAX, else -E2BIG. */
int shield_serve_set(struct shield *s, const struct shield_serve *list, size_t n);

/* ---- counters ------------------------------------------------------------------- */

struct shield_iface_stats {
	char name[IFNAMSIZ];
	unsigned ifindex;
	enum shield_mode mode;
	uint64_t passed; /* to protected destinations */
	uint64_t dropped;
};

struct shield_stats {
	uint64_t drop[DROP_REASONS];     /* by enum drop_reason; [DROP_NONE]: judged and passed */
	uint64_t observed[DROP_REASONS]; /* would have been, were the rule not on "observe" */
	struct pick_count picked;
	struct shield_iface_stats iface[SHIELD_IFACES_MAX];
	size_t n_ifaces;
};

/* Sums over all CPUs since the maps were made (they outlive keepers). */
int shield_stats_read(struct shield *s, struct shield_stats *out);

struct shield_cookie_stats {
	enum shield_cookie_how how;
	enum shield_test test;       /* of own cookies */
	char why[160];               /* why no better kind, or why untested; "" */
	unsigned cores_under_attack; /* they answer by cookie */
	uint64_t attacks, answered, returned, made, refused; /* sums of struct syn_state */
};

int shield_cookies_read(const struct shield *s, struct shield_cookie_stats *out);
const char *shield_cookie_word(enum shield_cookie_how how); /* "own", "kernel", "none" */
const char *shield_test_word(enum shield_test is); /* "none", "passed", "failed", "untested" */

/* flows.c: in a flood XDP knows by itself who has no connection. */
struct shield_flow_stats {
	enum flow_filter_is is;
	uint64_t connections; /* that the kernel listed when it was filled; 0: never */
	uint64_t
		per_s; /* packets without a connection, and SYNs answered by cookie; the last second's */
	uint64_t bytes; /* of the filter; 0: off */
};

int shield_flows_read(const struct shield *s, struct shield_flow_stats *out);
const char *shield_filter_word(enum flow_filter_is is); /* "off", "filling", "on" */
/* To be called once a second, SHIELD_FLOWS_NS; `now` is CLOCK_MONOTONIC. */
#define SHIELD_FLOWS_NS 1000000000ull
void shield_flows_tick(struct shield *s, uint64_t now);
/* Readable while the kernel lists its connections, another descriptor each time; -1: it does not. */
int shield_flows_fd(const struct shield *s);
void shield_flows_hear(struct shield *s);

/* To be called every few seconds: turns the cookies' keys, follows MTUs, logs attacks, and looks whether
 * every interface still has its programs. */
void shield_tick(struct shield *s);

/* "bad-tcp-flags", and the sentence on it; "?" beyond the list */
const char *shield_reason_word(enum drop_reason why);
const char *shield_reason_text(enum drop_reason why);
enum shield_rule shield_reason_rule(enum drop_reason why); /* RULES for DROP_NONE */
const char *shield_rule_word(enum shield_rule rule);       /* "malformed", … "?" */
const char *shield_mode_word(enum shield_mode mode);       /* "native", "generic", "off" */
const char *shield_steer_word(enum shield_steer_how how);  /* "cpumap", "rss", "off" */

#endif
