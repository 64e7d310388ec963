/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* abi.h - what the kernel's side and the daemon's side of the shield both see:
 * the keys and values of every map, with their sizes asserted.
 *
 * The same words are read a third time, by people: `bpftool map dump` prints
 * them from BTF. Hence enums where a number would say nothing, host byte order
 * for ports, single bytes for addresses, and no bare arrays of counters.
 *
 * BPF programs include vmlinux.h first; everybody else gets linux/types.h. */
#ifndef SLUICE_BPF_ABI_H
#define SLUICE_BPF_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

/* Raised by hand whenever the meaning of a map changes and its size may not.
 * Pinned maps of another number are rebuilt at start, and a line says so. */
#define SHIELD_ABI 4

#define SHIELD_GROUPS_MAX  256  /* listen addresses */
#define SHIELD_WORKERS_MAX 1024 /* workers of one keeper; a power of two */
#define SHIELD_LISTENERS   (SHIELD_GROUPS_MAX * SHIELD_WORKERS_MAX)
#define SHIELD_PROTECT_MAX 64   /* distinct protected prefixes */
#define SHIELD_PORTS_MAX   1024 /* runs of ports that are protected alike */
#define SHIELD_IFACES_MAX  64
#define SHIELD_MANAGE_MAX  16 /* management prefixes */

/* ---- drops ---------------------------------------------------------------- */

enum drop_reason {
	DROP_NONE,
#define REASON(name, word, rule, text) DROP_##name,
#include "drop_reason.def"
#undef REASON
	DROP_REASONS, /* one more than the last */
};

_Static_assert(DROP_REASONS <= 64, "a bit per reason in shield_ask.observed");

/* drop_count, per CPU: packets dropped for each reason at key 0, and at key 1 those that
 * a rule in observe mode would have dropped. Field i is enum drop_reason i; BPF adds to it
 * by index, people read it by name. */
struct drop_count {
	__u64 NONE; /* judged and passed */
#define REASON(name, word, rule, text) __u64 name;
#include "drop_reason.def"
#undef REASON
};
_Static_assert(sizeof(struct drop_count) == DROP_REASONS * sizeof(__u64), "a field per reason");

/* ---- explain: what would become of a packet? --------------------------------- */

/* How far a packet comes. */
enum shield_stage {
	SHIELD_STAGE_FOREIGN =
		1, /* neither TCP nor UDP over IP, or too short to tell for whom it is */
	SHIELD_STAGE_UNPROTECTED, /* to an address or port that is not protected */
	SHIELD_STAGE_MANAGES,     /* by the management door */
	SHIELD_STAGE_JUDGED,      /* by the rules */
};

#define SHIELD_ASK 0x3f6563696c756c73ull /* "sluice?" */

/* A test run that puts this in front of the frame as its metadata asks the live program: it
 * is answered in the same place, nothing is counted, no token spent, no state made. The
 * run's result is XDP_ABORTED, always: if a frame off some wire should ever carry this, it goes
 * nowhere. 32 bytes are what every kernel allows. */
struct shield_ask {
	__u64 magic;    /* SHIELD_ASK */
	__u64 observed; /* bit i: a rule that observes would have dropped it for enum drop_reason i */
	__u32 entry;    /* of the list that decided: its number and 1; 0: none, or not known */
	__u8 stage;     /* enum shield_stage */
	__u8 reason;    /* enum drop_reason */
	__u8 action;    /* enum xdp_action that it would have been */
	__u8 bank;      /* of the policy that judged */
	__u8 rate;      /* class of rule 4 */
	__u8 _zero[7];
};
_Static_assert(sizeof(struct shield_ask) == 32, "shield_ask");

/* ---- seeing --------------------------------------------------------------------- */

#define SAMPLE_BYTES_MAX 2016 /* of a frame, in the ring buffer */
#define SAMPLE_QUEUES    64   /* receive queues per interface that sockets are bound to */
#define SAMPLE_SOCKETS   (SHIELD_IFACES_MAX * SAMPLE_QUEUES)
#define SAMPLE_MARK      0x70696c73u

enum shield_sample_via {
	SAMPLE_RING, /* a copy, into `samples` */
	SAMPLE_XSK, /* the frame itself, to an AF_XDP socket in `sample_xsk`; frames in pieces as above */
};

#define SAMPLE_OVER 2 /* shield_sample.told */

/* sample, one entry: what drops somebody wants to see. His to write, while until_ns lies in the
 * past or is what he wrote there: he lets it run for seconds only, and writes a later one as long as he
 * lives. `left`, `lost` and `told` are the program's. When he has done he writes until_ns 0, and then told
 * SAMPLE_OVER with the packets he got in `left`; the keeper tells of that, or of one who is gone, and
 * writes zeros. */
struct shield_sample {
	__u64 until_ns; /* CLOCK_MONOTONIC; 0: nothing is wanted */
	__u64 reasons;  /* bit i: enum drop_reason i */
	__s64 left;     /* packets wanted still; below 1: enough */
	__u64 lost;     /* for which the ring buffer had no room */
	__u64 told;     /* 1: the keeper knows that it has begun */
	__u32 one_in;   /* of so many, chosen at random */
	enum shield_sample_via via;
};
_Static_assert(sizeof(struct shield_sample) == 48, "shield_sample");

/* Before a sampled frame: in the ring buffer, or as its metadata where the driver can. */
struct shield_mark {
	__u32 magic; /* SAMPLE_MARK */
	__u64 ns;    /* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 reason; /* enum drop_reason */
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct shield_mark) == 20, "shield_mark");

struct shield_sampled {
	struct shield_mark mark;
	__u32 wire; /* bytes of the frame, and how many of them are here */
	__u32 here;
	__u8 frame[SAMPLE_BYTES_MAX];
};
_Static_assert(sizeof(struct shield_sampled) == 2044, "shield_sampled");

#define TALKER_ROWS         4
#define TALKER_COLUMNS      4096
#define TALKERS             256 /* per window, of which a source has TALKER_WAYS to choose from */
#define TALKER_WAYS         4
#define TALKER_ONE_IN       32 /* packets, in the mean */
#define TALKER_WINDOW_SHIFT 33 /* 2^33 ns: 8.6 s */

struct talker_row {
	__u32 at[TALKER_COLUMNS];
};

/* talker, per CPU: the list of even windows, then that of odd ones. Counts are of sampled
 * packets: TALKER_ONE_IN times as many were sent. */
struct shield_talker {
	__u8 addr[8] __attribute__((aligned(8))); /* as in struct shield_source */
	__u32 window;                             /* CLOCK_MONOTONIC >> TALKER_WINDOW_SHIFT */
	__u32 packets;
	__u32 dropped;
	__u32 _zero;
};
_Static_assert(sizeof(struct shield_talker) == 24, "shield_talker");

enum shield_event_kind {
	EVENT_NONE,
	EVENT_ATTACK_BEGINS, /* a core answers SYNs by cookie; number: how many SYNs it saw in a window */
	EVENT_ATTACK_ENDS, /* number: the SYNs that it answered so far */
	EVENT_CAPTURE,     /* somebody gets dropped packets to see; number: at most so many */
	/* the keeper's own */
	EVENT_START,
	EVENT_POLICY,       /* set, tried, confirmed, reverted */
	EVENT_LIST,         /* a set of a list is another one now */
	EVENT_INTERFACE,    /* one is not protected any more */
	EVENT_FLOOD_BEGINS, /* so many packets without a connection that XDP knows them by itself */
	EVENT_FLOOD_ENDS,
};

/* events: from the program */
struct shield_said {
	__u64 ns; /* CLOCK_MONOTONIC */
	__u64 number;
	enum shield_event_kind kind;
	__u32 cpu;
};
_Static_assert(sizeof(struct shield_said) == 24, "shield_said");

#define SHIELD_EVENTS 256

/* event_log, by number % SHIELD_EVENTS: the keeper writes, people read */
struct shield_event {
	__u64 number;  /* from 1; 0: none yet */
	__u64 wall_ms; /* since 1970 */
	enum shield_event_kind kind;
	__u32 _zero;
	char text[104];
};
_Static_assert(sizeof(struct shield_event) == 128, "shield_event");

/* ---- policy: what is protected -------------------------------------------- */

/* The rules, by number; sluice_xdp.bpf.c has the order of judgement, which is this one but for 5 before 4.
 * Protection and the management door stand before them and are no rules: nothing switches those off. */
enum shield_rule {
	RULE_MALFORMED, /* 1: what no honest stack sends */
	RULE_ALLOW,     /* 2: skips 3 and 4 */
	RULE_DENY,      /* 3: the deny list */
	RULE_RATE,      /* 4: token buckets per source and per net */
	RULE_FLOW,      /* 5: neither SYN, nor known socket, nor valid cookie */
	RULE_SYN,       /* 6: SYN cookies and their bounds */
	RULES,
};

enum shield_rule_mode {
	RULE_OFF,     /* not even looked at */
	RULE_OBSERVE, /* counted as what would be dropped, and passed on to the next rule */
	RULE_ENFORCE,
};

enum shield_cookies {
	COOKIES_AUTO,   /* answer SYNs by cookie while a core sees more than syn_attack */
	COOKIES_ALWAYS, /* every SYN to a listener */
	COOKIES_OFF,    /* the kernel answers them all */
};

/* rules, one entry per bank: how each rule is applied. First the modes, in the order of
 * enum shield_rule. Rates are per second and core: cores do not wait for each other. */
struct shield_rules {
	enum shield_rule_mode malformed, allow, deny, rate, flow, syn;
	enum shield_cookies cookies;
	__u32 syn_attack;   /* SYNs from which on cookies are answered */
	__u32 syn_calm;     /* and below which, for SYN_CALM_S seconds, they no longer are */
	__u32 synack_limit; /* SYNs let through or answered per /24 or /48 of theirs; 0: no bound */
	__u32 stale_limit;  /* packets of unknown connections that the kernel may still refuse */
};
_Static_assert(sizeof(struct shield_rules) == (RULES + 5) * sizeof(__u32), "shield_rules");

enum shield_steer {
	SHIELD_STEER_BY_HASH, /* core by flow hash: nothing spreads for us */
	SHIELD_STEER_BY_CPU,  /* core = the CPU the packet came in on: RSS or cpumap spreads */
};

/* steer_to, one entry: whither the cpumap steer_cpu takes the packets of a flow. Not in a bank: it
 * follows workers and interfaces, not the policy. */
#define STEER_SLOTS 1024 /* a power of two; flows by hash */
#define STEER_HERE  0xffff
struct steer_table {
	__u64 seed;   /* of the hash; drawn once, or flows would move */
	__u64 ifaces; /* bit i: packets of slot i of the map iface are spread */
	__u16 cpu[STEER_SLOTS];
};
_Static_assert(sizeof(struct steer_table) == 16 + 2 * STEER_SLOTS, "steer_table");

/* policy, one entry: the switch that everything else is read through. What is
 * protected and how lies in two banks; the other one is filled and read back, then `bank`
 * is set: a packet is judged by the old policy or by the new one, never by a mixture.
 *
 * A policy on trial ends by itself, even if the keeper has died: once `trial_ends_ns`
 * has passed, the program reads the other bank, which still holds what was before. */
struct shield_policy {
	__u32 abi;           /* SHIELD_ABI of whoever wrote the maps */
	__u32 bank;          /* 0 or 1 */
	__u64 trial_ends_ns; /* CLOCK_MONOTONIC; 0: no trial */
	enum shield_steer steer;
	__u32 cores; /* entries of core_nth that count; 0: no worker is ready */
};
_Static_assert(sizeof(struct shield_policy) == 24, "shield_policy");

enum l4_proto {
	L4_ANY = 0, /* the protocol cannot be known */
	L4_TCP = 6,
	L4_UDP = 17,
};

/* Ports are sorted into classes: all ports of a class are protected at the same
 * addresses. Most hosts have one class. port_class holds the number for each
 * port, at [bank * 2 + (0 TCP, 1 UDP)]; at port 0 stands the union over all ports,
 * for fragments and cut headers, which show none. */
enum {
	CLASS_NONE = 0,  /* not protected */
	CLASS_UNION = 1, /* of every port of both protocols */
	CLASSES_MAX = 64,
};

struct port_class {
	__u8 of[65536];
};
_Static_assert(sizeof(struct port_class) == 65536, "port_class");

/* protect_class, at [bank * CLASSES_MAX + class] */
struct protect_class {
	__u32 any_v4; /* 1: every IPv4 destination */
	__u32 any_v6;
	__u64 prefixes; /* else bit i: protect_addr[bank].at[i] */
	__u32 rate;     /* class of rule 4: rates[bank * SHIELD_RATES_MAX + rate] */
	__u32 _zero;
};
_Static_assert(sizeof(struct protect_class) == 24, "protect_class");

/* protect_port: the same once more, for people; the program reads port_class */
struct protect_key {
	enum l4_proto proto;
	__u32 port; /* host byte order; 0: without a port */
	__u32 last; /* of a run of ports that are protected alike; else `port` again */
};
_Static_assert(sizeof(struct protect_key) == 12, "protect_key");

struct protect_prefix {
	__u8 addr[16] __attribute__((aligned(8))); /* IPv4 in the first four, the rest 0 */
	__u8 mask[16];                             /* IPv4: the last twelve bytes 0 */
	__u32 family;                              /* 4 or 6; 0: an unused slot */
	__u32 len;
};
_Static_assert(sizeof(struct protect_prefix) == 40, "protect_prefix");

/* protect_addr: one entry per bank */
struct protect_addr {
	struct protect_prefix at[SHIELD_PROTECT_MAX];
};
_Static_assert(sizeof(struct protect_addr) == 40 * SHIELD_PROTECT_MAX, "protect_addr");

/* manage, one entry: sources that pass to these ports whatever the policy says, so that
 * a mistake in it cuts off nobody who could mend it. Not in a bank: no policy changes it. */
struct shield_manage {
	__u32 n; /* of at[]; 0: nobody */
	__u32 _zero;
	struct protect_prefix at[SHIELD_MANAGE_MAX];
	__u64 port[1024]; /* bit port % 64 of [port / 64]; TCP and UDP alike */
};
_Static_assert(sizeof(struct shield_manage) == 8 + 40 * SHIELD_MANAGE_MAX + 8192, "manage");

/* ---- rates ------------------------------------------------------------------ */

#define SHIELD_RATES_MAX 16         /* classes; 0 is for what names none */
#define SHIELD_CELLS     (1u << 13) /* of each kind and core; fewer where there are many cores */
#define SHIELD_VALIDATED 65536      /* sources and nets that are known to be real */

/* A token bucket: a token per interval. It gives one while it will be full again within
 * ahead_ns, which is the burst in time, less one interval. */
struct shield_limit {
	__u64 interval_ns; /* 0: no limit */
	__u64 ahead_ns;    /* at most SHIELD_AHEAD_MAX, which is also "no limit" */
	/* The same as it is counted, in ticks of 2^shift ns; the map's copy alone has it. Ticks are such that
	 * the whole burst is at most 2^26 of them. */
	__u32 step, ahead;
	__u32 shift;
	__u32 never; /* 1: no token ever */
};
#define SHIELD_AHEAD_MAX (1ull << 62)

/* rates: per source (IPv4 address, IPv6 /64) and per net (/24, /48), and for each core. */
struct shield_rate {
	char name[16];
	struct shield_limit packets, syns, connections;
	struct shield_limit net_packets, net_syns, net_connections;
	/* A number made of all the above, never 0, the map's copy alone has it: where it is another, times that
	 * were counted mean nothing. The same rates in another policy have the same. */
	__u32 units;
	__u32 _zero;
};
_Static_assert(sizeof(struct shield_rate) == 216, "shield_rate");

/* A bucket is the time at which it will be full again, in its limit's ticks. They wrap: a time that lies further
 * ahead than a burst is an old one. Small, because a flood from everywhere reads another cell for
 * each packet, and what the core's cache does not hold costs more than all that is computed. */
struct shield_cell {
	__u32 packets, syns, connections;
	union {
		__u32 refused; /* a source's: when it last cost somebody a packet, in 2^30 ns; 0: never */
		__u32 synacks; /* a net's and a validated source's, for rule 6: 12 bits of 2^30 ns, and
				* 20 of SYNs in it */
	};
};
_Static_assert(sizeof(struct shield_cell) == 16, "shield_cell");

/* cell, per core: cell [hash] for sources, [cells + hash] for nets, by the page: the kernel keeps a
 * table of pointers to a per-CPU map's elements, and one to each cell would be a miss more. */
#define CELLS_PER_PAGE 256
struct shield_cells {
	struct shield_cell at[CELLS_PER_PAGE];
};

enum shield_source_kind {
	SOURCE_HOST, /* an IPv4 address, or an IPv6 /64 */
	SOURCE_NET,  /* a /24, or a /48 */
};

/* An IPv4 address stands in the last four bytes, and the first four are zero. In each rate class somebody
 * proves himself anew: its ticks are its own. */
struct shield_source {
	__u8 addr[8];
	enum shield_source_kind kind;
	__u32 class;
};
_Static_assert(sizeof(struct shield_source) == 16, "shield_source");

/* validated, an LRU: who has proved to be where he says, with buckets of his own. Cores share
 * them without a lock, so a token may be lost now and then. Policies share the entries, for who is real
 * stays so; the buckets are emptied by whoever finds them counted in another class's units. */
struct shield_validated {
	struct shield_cell
		buckets; /* first: clang would compute its address before the null check */
	__u32 since_s;   /* CLOCK_MONOTONIC */
	__u32 units;     /* of the buckets: shield_rate.units */
};
_Static_assert(sizeof(struct shield_validated) == 24, "shield_validated");

/* appeal_count, one entry per CPU: packets that found their cell full */
struct appeal_count {
	__u64 granted;   /* a validated source's, within its own limits */
	__u64 refused;   /* a validated source's, beyond them */
	__u64 strangers; /* nobody knows whether the source is real */
	__u64 validated; /* entries made in `validated`; those that are gone were evicted */
};
_Static_assert(sizeof(struct appeal_count) == 32, "appeal_count");

/* ---- lists: deny and allow --------------------------------------------------- */

enum shield_list_id {
	LIST_DENY,
	LIST_ALLOW,
	LISTS,
};

#define LIST_ENTRIES_MAX (1u << 22) /* of one list, both families */
#define LIST_OWN_MAX     (1u << 16) /* of those, made one by one: by hand, by offence, by sluice.conf */
#define LIST_SETS_MAX    64         /* of one list; set 0 is what was made one by one */
#define LISTS_SETS       (LISTS * LIST_SETS_MAX)
#define LIST_NOTES_MAX   65536 /* distinct ones of one list */
#define LIST_NESTED_MAX  8     /* expired entries around an address, before XDP gives up */
#define LIST_BESIDE_MAX  2     /* entries beside an address that XDP may have to ask before those */

enum shield_deny_reason {
	SHIELD_DENY_CONFIG = 1, /* sluice.conf; goes when it is gone from there */
	SHIELD_DENY_OPERATOR,   /* somebody asked for it */
	SHIELD_DENY_OFFENCE,    /* a validated source collected too many points */
	SHIELD_DENY_FILE,       /* of a set that a file gave */
};

/* One prefix of one set. Entry 0 is nobody: its `hits` hold the number of the build.
 * Times are CLOCK_MONOTONIC, so that nobody's clock setting frees or condemns. `parent` is the
 * entry around this one (or the same prefix in a set of a lower number): it holds when this one
 * has expired. */
struct list_entry {
	__u64 hits;       /* packets that it decided in earlier builds; list_hot has those since */
	__u64 expires_ns; /* 0: never */
	__u64 created_ns;
	__u32 parent;  /* 0: none; in a free entry the next free one */
	__u32 note;    /* of the map of notes; 0: none */
	__u8 addr[16]; /* IPv4 in the first four */
	__u8 len;      /* of the prefix */
	__u8 family;   /* 4, 6; 0: free */
	__u8 set;
	__u8 _zero;
	enum shield_deny_reason reason;
	__u64 _line; /* a cache line each */
};
_Static_assert(sizeof(struct list_entry) == 64, "list_entry");

/* Of the entry of the same number, what a packet of an IPv4 source needs as a rule: four to a cache line, so that
 * those of a million stay in the last-level cache, where a line of their own for each does not. */
struct list_hot {
	__u32 key;  /* the first 32 bits of the address, in host order */
	__u32 meta; /* LIST_HOT_PARENT, the length, LIST_HOT_COLD; written in one piece */
	__u64 hits; /* XDP adds to it, atomically */
};
_Static_assert(sizeof(struct list_hot) == 16, "list_hot");
/* list_hot, by number / LIST_HOTS */
#define LIST_HOTS 16
struct list_hots {
	struct list_hot at[LIST_HOTS];
};
#define LIST_HOT_PARENT 0x007fffffu
#define LIST_HOT_LEN    23          /* bits from here on: of an IPv4 prefix, 0 to 32 */
#define LIST_HOT_COLD   0x80000000u /* IPv6, or it expires: the entry itself says the rest */
_Static_assert(LIST_ENTRIES_MAX <= LIST_HOT_PARENT, "an entry's number fits");

struct list_note {
	char text[64]; /* for people; NUL-terminated */
};

/* lists, by enum shield_list_id. What is searched lies at [id * 2 + bank] of list_heap and
 * list_entry; a whole new set of it is built in the other bank and `bank` is set. */
struct shield_list {
	__u32 bank;
	__u32 build; /* its number: heap and entries of another one do not belong together */
	struct {
		__u32 v4, v6; /* entries; 0: XDP looks no further */
	} n[2];               /* by bank */
	__u32 entries_max;    /* that there is room for now; more room comes by itself */
	__u32 blocks, blocks_max;
	__u32 notes;
};
_Static_assert(sizeof(struct shield_list) == 40, "shield_list");

/* list_set, at [id * LIST_SETS_MAX + set] */
struct shield_set {
	char name[32]; /* "": unused, or set 0 */
	__u32 v4, v6;  /* entries */
	__u64 loaded_wall_s;
	char source[80]; /* the file that it came from */
	__u32 config;    /* 1: sluice.conf names it; 0: somebody loaded it */
	__u32 _zero;
};
_Static_assert(sizeof(struct shield_set) == 136, "shield_set");

/* From an address to the number of its entry, in two maps.
 *
 *   list_top   [bits: 64 for each /16, one per /22: is anything of it listed?]  } an element per family
 *              [dir: a ref for each /16]                                        }
 *              [first: the first entry of each /16, of those that were built in order]  }
 *   list_heap  nodes, by 8 bits each, and skips, over 1 to 7 bytes where one alone differs
 *
 * A ref is an entry's number, or with a kind in its two highest bits the place of a node
 * or a skip in units of 16 bytes. An entry's number says who is the innermost that can hold the
 * address: his own prefix says whether he does, and if not, the next one around him may. So a
 * part of the tree in which there is but one needs neither nodes nor skips.
 *
 * Nodes are never changed but replaced, so that a packet sees the list before or after a change;
 * single refs are stored in one piece. */
struct list_top {
	__u64 bits[1 << 16];
	__u32 dir[1 << 16];
	__u32 first[(1 << 16) + 2]; /* a hint as to what a packet will read; 0: none */
	__u64 build;                /* in the first element: as in struct shield_list */
};

struct list_block {
	__u64 w[8];
};

enum {
	LIST_HEAD_BLOCK, /* userspace's: free blocks and the like */
	LIST_POOL_BLOCK,
};

#define LIST_REF_KIND  0xc0000000u
#define LIST_REF_NODE  0x40000000u
#define LIST_REF_SKIP  0x80000000u
#define LIST_REF_PLACE 0x3fffffffu /* in units of 16 bytes: four to a block */

/* A node is a map from 256 bytes to refs, in one of two ways.
 *
 * LIST_FULL in its place: 256 refs, in 16 blocks. One line to wait for.
 *
 * Else as runs: bit i of its bitmap says that byte i has another ref than byte i - 1 (bit 0 is always
 * set), its refs are those of the runs in order. Byte i of w[0] counts the runs before w[1 + i]
 * of the bitmap (i = 0..3), bytes 4 and 5 all runs, byte 6 is the size class; w[1..4] the bitmap;
 * from w[5] on and in the blocks behind, the refs: 6, then 16 a block.
 *
 * A skip: w[0] has its bytes, from the highest on, and in the lowest how many; w[1] the ref behind
 * them and, in its high half, the ref of whoever does not match. */
#define LIST_NODE_REFS 6
#define LIST_FULL      1u

/* ---- SYN cookies -------------------------------------------------------------- */

#define SYN_CALM_S          10
#define SYNACKS_MAX         0xfffff /* a bound of that many is none */
#define SYNACK_HOST_SHARE   8 /* what one validated source may take of its net's: 1 in so many */
#define COOKIE_KEYS         4
#define COOKIE_WINDOW_SHIFT 36 /* a window is 2^36 ns, 69 s; a cookie holds for this and the next */

enum shield_cookie_how {
	COOKIE_NONE,   /* this kernel cannot, or may not: the log says why */
	COOKIE_OWN,    /* ours: XDP answers, sluice_cookie makes the request socket */
	COOKIE_KERNEL, /* the kernel's, asked of the listener: MSS is all that they carry */
};

enum {
	OFFER_WSCALE = 1,
	OFFER_SACK = 2,
	OFFER_TIMESTAMPS = 4,
	OFFER_ECN = 8,
};

/* cookie, one entry: what an ordinary SYN-ACK of this host says, so that ours says the same.
 * Read from a connection over loopback, because it depends on half a dozen sysctls. */
struct shield_cookie {
	enum shield_cookie_how how;
	__u32 offer;  /* OFFER_* */
	__u32 wscale; /* ours */
	__u32 window; /* the first one, unscaled */
};
_Static_assert(sizeof(struct shield_cookie) == 16, "shield_cookie");

/* cookie_key, one entry. Window w is keyed by at[w % COOKIE_KEYS]; the keeper fills the
 * next one while this one and the last are in use. Without a keeper the keys come round again, but
 * the window itself goes into the cookie too: nothing that has expired comes back. */
struct cookie_key {
	__u64 window; /* for which it was drawn; 0: never */
	__u64 key[2];
};
struct cookie_keys {
	struct cookie_key at[COOKIE_KEYS];
};
_Static_assert(sizeof(struct cookie_keys) == 96, "cookie_keys");

/* cookie_last, one entry: when the last cookie was given out, give or take a second.
 * While none can come back, nobody looks for any. */
struct cookie_last {
	__u64 ns; /* CLOCK_MONOTONIC; 0: never */
};

/* syn_state, one entry per CPU: is this core under attack, and what has it done */
struct syn_state {
	__u64 window_ends_ns;
	__u32 syns;   /* in this window of an eighth of a second */
	__u32 calm;   /* windows in a row */
	__u32 attack; /* 1: cookies are answered */
	__u32 stale;  /* packets let through in stale_second */
	__u64 stale_second;
	__u64 since_ns; /* the attack's beginning */
	__u64 attacks;  /* begun so far */
	__u64 answered; /* SYNs, by cookie */
	__u64 returned; /* good cookies that came back; later packets may bring one again */
	__u64 made;     /* connections made of them; COOKIE_OWN only */
	__u64 refused;  /* good cookies that the kernel would not take */
};
_Static_assert(sizeof(struct syn_state) == 80, "syn_state");

/* ---- connections, as the program knows them by itself: flow_filter.h ----------------- */

#define FLOW_SHIFT_MIN 15 /* 2^15 words: 256 KiB, good for some 100,000 connections */
#define FLOW_SHIFT_MAX 18 /* 2 MiB */
#define FLOW_WORDS     (1u << FLOW_SHIFT_MAX)

enum flow_filter_is {
	FILTER_OFF,
	FILTER_FILLING, /* the program adds to it and does not believe it */
	FILTER_ON,
};

/* flow_filter, one entry; the bits are the map flow_bits. The keeper's to write. */
struct flow_filter {
	enum flow_filter_is is;
	__u32 bank;  /* of the policy for which it is complete */
	__u32 shift; /* its size: 2^shift words of flow_bits */
	__u32 _zero;
	__u64 seed[2];
};
_Static_assert(sizeof(struct flow_filter) == 32, "flow_filter");

struct flow_bits {
	__u64 word[FLOW_WORDS];
};

/* ---- interfaces ------------------------------------------------------------- */

enum shield_mode {
	SHIELD_OFF, /* not attached; shield.h says why */
	SHIELD_NATIVE,
	SHIELD_GENERIC,
};

/* iface, by slot, per CPU; the slots stand in the program's read-only data.
 * Only packets to protected destinations count. */
struct shield_iface {
	__u32 ifindex; /* 0: an unused slot */
	enum shield_mode mode;
	__u32 loopback; /* 1: sources 127/8 and ::1 are at home here */
	__u32 mtu;      /* what our SYN-ACKs tell the other side */
	__u32 deaf;     /* 1: what XDP sends here may never arrive; COOKIES_AUTO sends nothing */
	__u32 unheard;  /* packets until the next one that talker.h hears */
	__u64 passed;
	__u64 dropped;
	__u64 by_malformed, by_allow, by_deny, by_rate, by_flow, by_syn; /* of those dropped */
};
_Static_assert(sizeof(struct shield_iface) == 88, "shield_iface");
_Static_assert(__builtin_offsetof(struct shield_iface, by_syn) ==
		       __builtin_offsetof(struct shield_iface, by_malformed) + RULE_SYN * 8,
	       "a counter per rule, in their order");

/* ---- which worker accepts --------------------------------------------------- */

enum shield_worker_state {
	SHIELD_WORKER_DOWN, /* no process, or not ready yet */
	SHIELD_WORKER_UP,
	SHIELD_WORKER_FULL, /* lives, but wants no more connections */
};

/* worker, by worker number: for people; the program reads core_worker */
struct shield_worker {
	enum shield_worker_state state;
	__u32 cpu;
};
_Static_assert(sizeof(struct shield_worker) == 8, "shield_worker");

/* core_worker, by CPU: the workers of that CPU that are SHIELD_WORKER_UP. The entry
 * after the last CPU holds all of them, whatever their CPU. */
struct core_worker {
	__u32 n;
	__u16 worker[SHIELD_WORKERS_MAX];
};
_Static_assert(sizeof(struct core_worker) == 4 + 2 * SHIELD_WORKERS_MAX, "core_worker");

/* pick_count, one entry per CPU: how new connections found their worker */
struct pick_count {
	__u64 by_core;   /* a worker of the wanted core */
	__u64 elsewhere; /* that core had none that was ready */
	__u64 by_kernel; /* nobody is ready: the kernel's own choice */
	__u64 migrated;  /* of them all: had waited at a listener that was closed */
};
_Static_assert(sizeof(struct pick_count) == 32, "pick_count");

/* ---- prefixes that a listener serves ----------------------------------------- */

#define SHIELD_SERVE_MAX 64

/* In sluice_lookup's read-only data. Connections to these addresses and ports go to the listen
 * address `group`, whatever else listens there. */
struct serve_rule {
	__u32 addr[4]; /* network order; IPv4 in the first */
	__u32 mask[4];
	__u32 family; /* 2 or 10, as AF_INET and AF_INET6 are here */
	__u32 port;   /* host byte order */
	__u32 last;
	__u32 group;
};
_Static_assert(sizeof(struct serve_rule) == 48, "serve_rule");

#endif
