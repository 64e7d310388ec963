/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* shield_manage.h - the door for whoever has to mend a policy.
 *
 * A management prefix to a management port passes before the first rule. It stands
 * in a map of its own that no policy and no trial writes, so that a deny list which
 * names its author still lets him in to take it back.
 *
 * A fragment shows no port, so all of a manager's pass: somewhere a tunnel or a narrow link cuts his
 * packets, and he must not depend on that. Pieces alone begin nothing; what is put together of
 * them the kernel's own bound on memory holds. */
#ifndef SLUICE_BPF_SHIELD_MANAGE_H
#define SLUICE_BPF_SHIELD_MANAGE_H

#include "maps.h"
#include "parse.h"
#include "shield_protect.h"

static __always_inline bool shield_manages(const struct packet *p)
{
	const struct shield_manage *who;
	__u32 zero = 0;

	who = bpf_map_lookup_elem(&manage, &zero);
	if (!who || !who->n || !(p->ports | p->fragment))
		return false;
	if (!p->fragment && !(who->port[p->dst_port >> 6 & 1023] >> (p->dst_port & 63) & 1))
		return false;
	for (__u32 i = 0; i < SHIELD_MANAGE_MAX && i < who->n; i++)
		if (!prefix_misses(&who->at[i], &p->src, p->family))
			return true;
	return false;
}

#endif
