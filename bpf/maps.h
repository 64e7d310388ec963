/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* maps.h - every map in one place. abi.h has the keys and values, shield.h says
 * how they read in bpftool's JSON. Each is pinned under its own name in the
 * pin directory, so that it outlives the keeper and anybody with the right can
 * look. BPF only counts and marks; userspace writes everything else.
 *
 * Each object defines MAPS_XDP, MAPS_COOKIE or MAPS_REUSEPORT for its part; what is
 * in two of them the daemon makes them share. */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#include <bpf/bpf_helpers.h>

#include "abi.h"
#ifdef MAPS_XDP
#include "tcp.h"
#endif

#if defined(MAPS_XDP) || defined(MAPS_REUSEPORT)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_policy);
} policy SEC(".maps");

#endif

#ifdef MAPS_XDP

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* by bank */
	__type(key, __u32);
	__type(value, struct shield_rules);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_manage);
} manage SEC(".maps");

/* A byte per port: one load where a hash costs thirty nanoseconds, for every
 * TCP packet that the machine receives. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct port_class);
} port_class SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * CLASSES_MAX);
	__type(key, __u32);
	__type(value, struct protect_class);
} protect_class SEC(".maps");

/* one entry per bank */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct protect_addr);
} protect_addr SEC(".maps");

/* for people only */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIELD_PORTS_MAX);
	__type(key, struct protect_key);
	__type(value, struct protect_class);
} protect_port SEC(".maps");

/* by enum shield_list_id */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LISTS);
	__type(key, __u32);
	__type(value, struct shield_list);
} lists SEC(".maps");

/* So that their types are in the object's BTF, for userspace to give to the inner maps: clang
 * leaves out what only an inner map names. A section that libbpf does not load. */
const volatile struct {
	struct list_block heap;
	struct list_entry entry;
	struct list_hots hots;
	struct list_note note;
} list_types SEC("types") = {};

/* What a list is searched in, at [id * 2 + bank]. Userspace makes the inner maps, of the
 * size that the list needs, and pins those in force as deny_heap, deny_entry, deny_hot, allow_heap, …
 * Types and not sizes: 6.1 takes no inner map with types in the place of one without. The first is of
 * one size for all (an element per family), so that looking into it is no call; nobody wants to
 * see its four megabytes, and it has no type. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LISTS * 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(max_entries, 2);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct list_top));
		});
} list_top SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LISTS * 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct list_block);
		});
} list_heap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LISTS * 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct list_entry);
		});
} list_entry SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, LISTS * 2);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(map_flags, BPF_F_INNER_MAP | BPF_F_MMAPABLE);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, struct list_hots);
		});
} list_hot SEC(".maps");

/* for people only */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LISTS_SETS); /* [list * LIST_SETS_MAX + set] */
	__type(key, __u32);
	__type(value, struct shield_set);
} list_set SEC(".maps");

/* One struct with a named field per reason: an array indexed by an enum loses
 * its BTF in bpftool and prints as hex. Key 0: dropped; key 1: would have been. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct drop_count);
} drop_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SHIELD_RATES_MAX); /* [bank * SHIELD_RATES_MAX + class] */
	__type(key, __u32);
	__type(value, struct shield_rate);
} rates SEC(".maps");

/* see shield_bucket.h; the daemon sets max_entries to hold twice `cells` */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * SHIELD_CELLS / CELLS_PER_PAGE);
	__type(key, __u32);
	__type(value, struct shield_cells);
} cell SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SHIELD_VALIDATED);
	__type(key, struct shield_source);
	__type(value, struct shield_validated);
} validated SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct appeal_count);
} appeal_count SEC(".maps");

/* flow_filter.h */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_filter);
} flow_filter SEC(".maps");

/* megabytes of bits: nobody wants to see them in a dump, and they have no type */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct flow_bits));
} flow_bits SEC(".maps");

/* ---- seeing: sample.h, talker.h, event.h ---- */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_sample);
} sample SEC(".maps");

/* struct shield_sampled */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} samples SEC(".maps");

/* [slot of `iface` * SAMPLE_QUEUES + queue]; the kernel empties it when its socket closes */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, SAMPLE_SOCKETS);
	__type(key, __u32);
	__type(value, __u32);
} sample_xsk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TALKER_ROWS);
	__type(key, __u32);
	__type(value, struct talker_row);
} talker_row SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * TALKERS);
	__type(key, __u32);
	__type(value, struct shield_talker);
} talker SEC(".maps");

/* struct shield_said */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIELD_EVENTS);
	__type(key, __u32);
	__type(value, struct shield_event);
} event_log SEC(".maps");

/* by slot: see iface_find() */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIELD_IFACES_MAX);
	__type(key, __u32);
	__type(value, struct shield_iface);
} iface SEC(".maps");

/* A stack of 512 bytes does not hold a SYN, its answer and the judge above them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syn_scratch);
} syn_scratch SEC(".maps");

#endif

/* What XDP gives out and tc takes back. */
#if defined(MAPS_XDP) || defined(MAPS_COOKIE)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_cookie);
} cookie SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cookie_keys);
} cookie_key SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cookie_last);
} cookie_last SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syn_state);
} syn_state SEC(".maps");

#endif

#ifdef MAPS_XDP

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_table);
} steer_to SEC(".maps");

/* by CPU; those that have workers, if any interface needs it. The daemon sets max_entries */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bpf_cpumap_val));
} steer_cpu SEC(".maps");

#endif

#if defined(MAPS_REUSEPORT) || defined(MAPS_LOOKUP)

/* [group * SHIELD_WORKERS_MAX + worker]; the kernel empties a slot when its socket closes. A
 * socket is in an array of this kind or in a SOCKMAP, never in both, and sluice_lookup can read
 * SOCKMAPs only: where listeners serve prefixes the daemon makes it one. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SHIELD_LISTENERS);
	__type(key, __u32);
	__type(value, __u64);
} listener SEC(".maps");

#endif

#ifdef MAPS_REUSEPORT

/* by worker number; read by people only, see core_worker */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHIELD_WORKERS_MAX);
	__type(key, __u32);
	__type(value, struct shield_worker);
} worker SEC(".maps");

/* by CPU, and one more for everybody; the daemon sets max_entries to CPUs + 1 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct core_worker);
} core_worker SEC(".maps");

/* the CPUs that have a ready worker, densely: policy.cores of them count */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} core_nth SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pick_count);
} pick_count SEC(".maps");

#endif

#endif
