/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_list.h - rule 3: the deny list.
 *
 * An entry that has expired is no entry, from that moment on; userspace sweeps
 * it out when it comes round. Until then a dead /32 may lie inside a living /24
 * and be the longest match, so the walk goes on to the next shorter prefix.
 *
 * Hits are added atomically to the entry itself, where people look for them. A
 * flood from one prefix makes all cores share that one cache line, which is as
 * much as a short list deserves. */
#ifndef SLUICE_BPF_SHIELD_LIST_H
#define SLUICE_BPF_SHIELD_LIST_H

#include "maps.h"
#include "parse.h"

#define DENY_NESTED_MAX 4 /* expired entries around one address, before we give up and pass */

static __always_inline bool deny_holds(const struct packet *p, struct shield_deny *entry)
{
	if (entry->expires_ns && entry->expires_ns <= bpf_ktime_get_coarse_ns())
		return false;
	if (!p->asked)
		__sync_fetch_and_add(&entry->hits, 1);
	return true;
}

static __always_inline bool denied_v4(const struct packet *p)
{
	struct deny_key_v4 key = {.len = 32};

	__builtin_memcpy(key.addr, &p->src.word[0], sizeof(key.addr));
	for (int i = 0; i < DENY_NESTED_MAX; i++) {
		struct shield_deny *entry = bpf_map_lookup_elem(&deny_v4, &key);

		if (!entry)
			return false;
		if (deny_holds(p, entry))
			return true;
		if (entry->len == 0)
			return false;
		key.len = entry->len - 1;
	}
	return false;
}

static __always_inline bool denied_v6(const struct packet *p)
{
	struct deny_key_v6 key = {.len = 128};

	__builtin_memcpy(key.addr, &p->src, sizeof(key.addr));
	for (int i = 0; i < DENY_NESTED_MAX; i++) {
		struct shield_deny *entry = bpf_map_lookup_elem(&deny_v6, &key);

		if (!entry)
			return false;
		if (deny_holds(p, entry))
			return true;
		if (entry->len == 0)
			return false;
		key.len = entry->len - 1;
	}
	return false;
}

static __always_inline enum drop_reason shield_list(const struct packet *p)
{
	return (p->family == 4 ? denied_v4(p) : denied_v6(p)) ? DROP_DENIED : DROP_NONE;
}

#endif
