/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* sluice_xdp - the first program that a packet meets.
 *
 *   frame ─► parse ─► protected? ─► judge ─► count ─► steer ─► up the stack, here or on another core
 *              │          │           ├──────────────► back out, as our answer
 *              │          │           └──────────────► drop
 *              └──────────┴─► up the stack, unseen by any rule
 *
 * Three doors stand before the rules and no rule can shut them: whatever is not
 * TCP or UDP (ARP, neighbour discovery, ICMP and its path-MTU messages),
 * whatever goes to an address or port that is not protected, and the management
 * prefixes to the management ports. So no rule, list or mistake in them can cut
 * off a machine's ssh or its neighbours. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAPS_XDP
#include "maps.h"
#include "explain.h"
#include "parse.h"
#include "shield_bucket.h"
#include "shield_flow.h"
#include "shield_list.h"
#include "shield_manage.h"
#include "shield_malformed.h"
#include "shield_protect.h"
#include "sample.h"
#include "talker.h"
#include "shield_syn.h"
#include "steer.h"

/* Key 0 of drop_count is what fell, key 1 what a rule that only observes would have dropped. */
static __always_inline void count(__u32 key, enum drop_reason why)
{
	struct drop_count *at = bpf_map_lookup_elem(&drop_count, &key);
	__u32 slot = why;

	barrier_var(slot); /* a compiler that knows the reason's range would drop the check */
	if (at && slot < DROP_REASONS)
		((__u64 *)at)[slot]++;
}

/* What a rule has found, as its mode has it: a rule that observes only counts. */
static __always_inline enum drop_reason holds(struct packet *p, enum shield_rule_mode mode,
					      enum drop_reason why)
{
	if (why == DROP_NONE || mode == RULE_ENFORCE)
		return why;
	if (p->asked)
		p->observed |= 1ull << why;
	else
		count(1, why);
	return DROP_NONE;
}

/* To the verifier of 6.1 each reason, protocol, family and interface is a path of its own through all that
 * follows: 800,000 instructions walked instead of 170,000. What a helper gets as a key it takes for anything
 * afterwards, and a lookup in an array is no call: two instructions or three. */
static __always_inline void forget_constants(struct packet *p)
{
	__u32 known = p->fault | p->proto << 8 | p->family << 16 | (__u32)p->iface << 24;

	/* in one piece: read as a word after four stores of bytes it would wait for them */
	barrier_var(known);
	p->known = known;
	bpf_map_lookup_elem(&policy, &p->known);
}

/* The order of judgement, cheapest first; but rule 5 before rule 4. Who has no connection falls by rule 5
 * whatever his rate, and a flood of such from forged sources would fetch two cells for each packet, from beyond
 * the core's cache, to no end: a third of what it costs. Nor can it fill the cells of others then. During such a
 * flood most of it is cheaper than even rules 2 and 3, and speaks before them. */
static __always_inline enum drop_reason judge(struct xdp_md *ctx, const struct shield_rules *r,
					      struct packet *p)
{
	const struct flow_filter *filter = flow_filter_here();
	enum drop_reason why;
	bool allowed;

	if (r->malformed != RULE_OFF) {
		why = holds(p, r->malformed, shield_malformed(p));
		if (why)
			return why;
	}
	if (filter && filter->is == FILTER_ON && filter->bank == p->bank) {
		p->now = bpf_ktime_get_coarse_ns();
		p->absent = flow_is_absent(filter, p) ? FLOW_ABSENT : FLOW_MAY_BE;
		why = p->absent && !tcp_begins(p) && r->flow == RULE_ENFORCE ? flow_early(r, p) :
									       DROP_NONE;
		if (why)
			return why;
	}
	allowed = r->allow != RULE_OFF && shield_lists(LIST_ALLOW, p) && r->allow == RULE_ENFORCE;
	if (r->deny != RULE_OFF && !allowed && shield_lists(LIST_DENY, p)) {
		why = holds(p, r->deny, DROP_DENIED);
		if (why)
			return why;
	}
	p->now = bpf_ktime_get_coarse_ns(); /* once for all: a call costs fifteen nanoseconds */
	if (r->flow != RULE_OFF) {
		why = holds(p, r->flow, shield_flow(ctx, r, p));
		if (why)
			return why;
	}
	if (r->rate != RULE_OFF && !allowed) {
		why = holds(p, r->rate, shield_bucket(p));
		if (why)
			return why;
	}
	if (r->syn != RULE_OFF) {
		why = holds(p, r->syn, shield_syn(ctx, r, p));
		if (why)
			return why;
	}
	if (filter && filter->is != FILTER_OFF && p->ports && tcp_begins(p) && !p->answered)
		flow_add(p);
	return DROP_NONE;
}

/* The interfaces that this copy is attached to; slot i of the map `iface` is
 * theirs. Read-only data, so the loop is as long as the list. */
const volatile __u32 ifaces = 0;
const volatile __u32 iface_index[SHIELD_IFACES_MAX] = {};

static __always_inline struct shield_iface *iface_find(struct packet *p, __u32 ifindex)
{
	p->iface = SHIELD_IFACES_MAX;
	for (__u32 i = 0; i < SHIELD_IFACES_MAX && i < ifaces; i++) {
		__u32 slot = i;

		if (iface_index[i] == ifindex) {
			p->iface = i;
			return bpf_map_lookup_elem(&iface, &slot);
		}
	}
	return NULL;
}

static const __u8 rule_of[64] = {
#define REASON(name, word, rule, text) [DROP_##name] = RULE_##rule,
#include "drop_reason.def"
#undef REASON
};

static __always_inline void iface_count(struct shield_iface *at, enum drop_reason why)
{
	__u32 rule = rule_of[why & 63];

	if (why == DROP_NONE) {
		at->passed++;
		return;
	}
	at->dropped++;
	barrier_var(rule); /* a compiler that has read the table would drop the check */
	if (rule < RULES)
		(&at->by_malformed)[rule]++;
}

/* Passed, and no rule has seen it. */
static __always_inline int wave_through(struct xdp_md *ctx, const struct packet *p,
					enum shield_stage stage)
{
	return p->asked ? explain(ctx, p, stage, DROP_NONE, XDP_PASS) : XDP_PASS;
}

static __always_inline int settle(struct xdp_md *ctx, const struct packet *p,
				  struct shield_iface *at, enum drop_reason why)
{
	int action = why ? XDP_DROP : p->answered ? XDP_TX : XDP_PASS;

	if (p->asked)
		return explain(ctx, p, SHIELD_STAGE_JUDGED, why, action);
	count(0, why);
	if (at)
		iface_count(at, why);
	if (at && at->unheard-- == 0) {
		at->unheard = talker_skips();
		talker_hears(p, why != DROP_NONE);
	}
	if (why)
		return drop(ctx, p, why);
	return action == XDP_PASS ? steer(p) : action;
}

SEC("xdp.frags")
int sluice_xdp(struct xdp_md *ctx)
{
	const struct shield_rules *r;
	struct shield_iface *at;
	struct packet p;
	__u32 bank;
	bool ours = parse_packet(ctx, &p);

	p.asked = is_asked(ctx);
	if (!ours)
		return wave_through(ctx, &p, SHIELD_STAGE_FOREIGN);
	bank = shield_bank();
	p.bank = bank;
	if (!shield_protects(&p, bank))
		return wave_through(ctx, &p, SHIELD_STAGE_UNPROTECTED);
	if (shield_manages(&p))
		return wave_through(ctx, &p, SHIELD_STAGE_MANAGES);
	r = bpf_map_lookup_elem(&rules, &bank);
	if (!r)
		return XDP_PASS;
	at = iface_find(&p, ctx->ingress_ifindex);
	p.loopback = at && at->loopback;
	p.mtu = at ? at->mtu : 0;
	p.deaf = at && at->deaf;
	forget_constants(&p);
	return settle(ctx, &p, at, judge(ctx, r, &p));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
