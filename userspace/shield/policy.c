/* SPDX-License-Identifier: BSD-2-Clause */
/* policy.c - the policy: which destinations are ours and how they are judged, from a
 * plan to a bank of maps.
 *
 *   list ─► distinct prefixes    ─► protect_addr[bank]     bit i names prefix i
 *       └─► [proto][port]: bits ─┬─► protect_class[bank, …] ports with equal bits are one class
 *                                ├─► port_class[bank, …]    a byte per port
 *                                └─► protect_port           runs of equal ports, for people
 *   rules                                         ─► rules[bank]
 *                                   policy.bank = bank    the switch
 *
 * Every packet reads the bank first, so it sees the old set or the new one and
 * never a mixture. Port 0 of a protocol collects the bits of all its ports, and
 * CLASS_UNION those of both protocols: by them the packets are judged that show
 * no port. */
#include "shield/state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"
#include "shield/rate.h"

struct bank {
	__u32 number;
	struct protect_addr addr;
	unsigned n_addr;
	struct protect_class any;            /* the union over both protocols */
	struct protect_class port[2][65536]; /* TCP, UDP; at 0 the union over the ports */
	struct protect_class class[CLASSES_MAX];
	unsigned n_class;
	struct port_class port_class[2];
	unsigned n_run; /* runs of ports that are protected alike */
};

static void mask_make(__u8 mask[16], unsigned bits)
{
	memset(mask, 0, 16);
	memset(mask, 0xff, bits / 8);
	if (bits % 8)
		mask[bits / 8] = (__u8)(0xff00 >> bits % 8);
}

static void prefix_make(struct protect_prefix *out, const struct shield_prefix *p)
{
	*out = (struct protect_prefix){.family = p->family == AF_INET ? 4 : 6, .len = p->bits};
	mask_make(out->mask, p->bits);
	for (int i = 0; i < 16; i++)
		out->addr[i] = p->addr[i] & out->mask[i];
}

/* Index of the prefix in the bank, added if new; -1: no room. */
static int bank_prefix(struct bank *b, const struct shield_prefix *p)
{
	struct protect_prefix want;

	prefix_make(&want, p);
	for (unsigned i = 0; i < b->n_addr; i++)
		if (memcmp(&b->addr.at[i], &want, sizeof(want)) == 0)
			return (int)i;
	if (b->n_addr == SHIELD_PROTECT_MAX)
		return -1;
	b->addr.at[b->n_addr] = want;
	return (int)b->n_addr++;
}

static void cover(struct protect_class *c, const struct shield_prefix *to, int prefix)
{
	if (to->bits)
		c->prefixes |= 1ull << prefix;
	else if (to->family == AF_INET)
		c->any_v4 = 1;
	else
		c->any_v6 = 1;
}

static bool is_covered(const struct protect_class *c)
{
	return c->any_v4 || c->any_v6 || c->prefixes;
}

static int bank_add(struct bank *b, const struct shield_protect *p)
{
	struct protect_class *port = b->port[p->proto == L4_UDP];
	int prefix = p->to.bits ? bank_prefix(b, &p->to) : 0;

	if (prefix < 0)
		return -E2BIG;
	for (unsigned i = p->port; i <= MAX(p->port, p->last); i++) {
		if (is_covered(&port[i]) && port[i].rate != p->rate)
			return -EEXIST;
		port[i].rate = p->rate;
	}
	cover(&b->any, &p->to, prefix);
	cover(&port[0], &p->to, prefix);
	for (unsigned i = p->port; i <= MAX(p->port, p->last); i++)
		cover(&port[i], &p->to, prefix);
	return 0;
}

/* The class of this value, added if new; CLASS_NONE: no room. */
static unsigned bank_class(struct bank *b, const struct protect_class *value)
{
	for (unsigned i = CLASS_UNION; i < b->n_class; i++)
		if (memcmp(&b->class[i], value, sizeof(*value)) == 0)
			return i;
	if (b->n_class == CLASSES_MAX)
		return CLASS_NONE;
	b->class[b->n_class] = *value;
	return b->n_class++;
}

static int bank_classify(struct bank *b)
{
	static const struct protect_class nowhere;

	b->n_class = CLASS_UNION;
	bank_class(b, &b->any);
	for (unsigned udp = 0; udp < 2; udp++)
		for (__u32 port = 0; port < 65536; port++) {
			const struct protect_class *value = &b->port[udp][port];
			__u8 *class = &b->port_class[udp].of[port];

			if (memcmp(value, &nowhere, sizeof(nowhere)) == 0)
				continue;
			*class = (__u8)bank_class(b, value);
			if (*class == CLASS_NONE)
				return -E2BIG;
			b->n_run += port <= 1 || class[-1] != *class;
		}
	return b->n_run < SHIELD_PORTS_MAX ? 0 : -E2BIG;
}

static bool is_sound(const struct shield_protect *p)
{
	return (p->to.family == AF_INET ? p->to.bits <= 32 :
					  p->to.family == AF_INET6 && p->to.bits <= 128) &&
	       p->port && (!p->last || p->last >= p->port) &&
	       (p->proto == L4_TCP || p->proto == L4_UDP);
}

static int bank_fill(struct bank *b, const struct shield_plan *plan)
{
	const struct shield_protect *list = plan->protect;

	for (size_t i = 0; i < plan->n_protect; i++) {
		char text[SHIELD_PREFIX_TEXT_MAX];
		int err = is_sound(&list[i]) && list[i].rate < MAX(plan->n_rates, 1) ?
				  bank_add(b, &list[i]) :
				  -EINVAL;

		if (err) {
			log_error("shield: cannot protect %s port %u: %s",
				  shield_prefix_str(&list[i].to, text), list[i].port,
				  err == -E2BIG  ? "too many; use shorter prefixes or fewer ports" :
				  err == -EEXIST ? "the port has another rate class elsewhere" :
						   "no such prefix, port, protocol or rate class");
			return err == -EEXIST ? -EINVAL : err;
		}
	}
	return 0;
}

static int put(struct bpf_map *map, const void *key, size_t key_bytes, const void *value,
	       size_t bytes)
{
	return bpf_map__update_elem(map, key, key_bytes, value, bytes, BPF_ANY);
}

static int bank_store(struct shield *s, const struct bank *b)
{
	int err = put(s->xdp->maps.protect_addr, &b->number, sizeof(b->number), &b->addr,
		      sizeof(b->addr));

	for (__u32 i = 0; i < CLASSES_MAX && !err; i++) {
		__u32 at = b->number * CLASSES_MAX + i;

		err = put(s->xdp->maps.protect_class, &at, sizeof(at), &b->class[i],
			  sizeof(b->class[i]));
	}
	for (__u32 i = 0; i < ARRAY_SIZE(b->port_class) && !err; i++) {
		__u32 at = b->number * 2 + i;

		err = put(s->xdp->maps.port_class, &at, sizeof(at), &b->port_class[i],
			  sizeof(b->port_class[i]));
	}
	return err;
}

/* ---- for people: protect_port, out of what the program reads -------------------------- */

static int show_run(struct bpf_map *map, enum l4_proto proto, __u32 port, __u32 last,
		    const struct protect_class *value)
{
	struct protect_key key = {.proto = proto, .port = port, .last = last};

	return put(map, &key, sizeof(key), value, sizeof(*value));
}

/* Runs of ports with one class; port 0, the union, is a run of its own. */
static int show_runs(struct bpf_map *map, enum l4_proto proto, const struct port_class *of,
		     const struct protect_class class[CLASSES_MAX])
{
	int err = 0;

	for (__u32 port = 0, last; port < 65536 && !err; port = last + 1) {
		__u8 c = of->of[port];

		for (last = port; port && last < 65535 && of->of[last + 1] == c;)
			last++;
		if (c != CLASS_NONE && c < CLASSES_MAX)
			err = show_run(map, proto, port, last, &class[c]);
	}
	return err;
}

/* What bpftool shows; packets do not see it. */
static int list_for_people(struct shield *s, __u32 bank)
{
	struct bpf_map *map = s->xdp->maps.protect_port;
	struct protect_class class[CLASSES_MAX];
	struct port_class *of = malloc(sizeof(*of));
	struct protect_key key;
	int err = of ? 0 : -ENOMEM;

	while (bpf_map__get_next_key(map, NULL, &key, sizeof(key)) == 0)
		bpf_map__delete_elem(map, &key, sizeof(key), 0);
	for (__u32 i = 0; i < CLASSES_MAX && !err; i++) {
		__u32 at = bank * CLASSES_MAX + i;

		err = bpf_map__lookup_elem(s->xdp->maps.protect_class, &at, sizeof(at), &class[i],
					   sizeof(class[i]), 0);
	}
	if (!err)
		err = show_run(map, L4_ANY, 0, 0, &class[CLASS_UNION]);
	for (__u32 i = 0; i < 2 && !err; i++) {
		__u32 at = bank * 2 + i;

		err = bpf_map__lookup_elem(s->xdp->maps.port_class, &at, sizeof(at), of,
					   sizeof(*of), 0);
		if (!err)
			err = show_runs(map, i ? L4_UDP : L4_TCP, of, class);
	}
	free(of);
	return err;
}

/* 0: the entry is there as it was written. */
static int same_there(struct bpf_map *map, __u32 at, const void *value, size_t bytes)
{
	void *back = malloc(bytes);
	int err = back ? bpf_map__lookup_elem(map, &at, sizeof(at), back, bytes, 0) : -ENOMEM;

	if (!err && memcmp(back, value, bytes))
		err = -EIO;
	free(back);
	return err;
}

/* Written is not yet there: all that the program will read is read back before it is switched to. Rate
 * classes are by rate_store(). */
static int bank_verify(struct shield *s, const struct bank *b, const struct shield_rules *rules)
{
	int err = same_there(s->xdp->maps.rules, b->number, rules, sizeof(*rules));

	if (!err)
		err = same_there(s->xdp->maps.protect_addr, b->number, &b->addr, sizeof(b->addr));
	for (__u32 i = 0; i < CLASSES_MAX && !err; i++)
		err = same_there(s->xdp->maps.protect_class, b->number * CLASSES_MAX + i,
				 &b->class[i], sizeof(b->class[i]));
	for (__u32 i = 0; i < ARRAY_SIZE(b->port_class) && !err; i++)
		err = same_there(s->xdp->maps.port_class, b->number * 2 + i, &b->port_class[i],
				 sizeof(b->port_class[i]));
	return err;
}

static int bank_build(struct shield *s, struct bank *b, const struct shield_plan *plan)
{
	int err = bank_fill(b, plan);

	if (err)
		return err;
	err = bank_classify(b);
	if (err) {
		log_error("shield: more than %d ports or ranges, or more than %d different sets "
			  "of addresses that they are protected at; make them alike",
			  SHIELD_PORTS_MAX, CLASSES_MAX - CLASS_UNION);
		return err;
	}
	err = bank_store(s, b);
	if (!err)
		err = rate_store(s, b->number, plan);
	if (!err)
		err = put(s->xdp->maps.rules, &b->number, sizeof(b->number), &plan->rules,
			  sizeof(plan->rules));
	if (!err)
		err = bank_verify(s, b, &plan->rules);
	return err;
}

struct shield_rules shield_rules_default(void)
{
	return (struct shield_rules){
		.malformed = RULE_ENFORCE,
		.allow = RULE_ENFORCE,
		.deny = RULE_ENFORCE,
		.rate = RULE_ENFORCE,
		.flow = RULE_ENFORCE,
		.syn = RULE_ENFORCE,
		.cookies = COOKIES_AUTO,
		.syn_attack = 1000,
		.syn_calm = 500,
		.synack_limit = 2000,
		.stale_limit = 100,
	};
}

int shield_policy_set(struct shield *s, const struct shield_plan *plan, uint64_t trial_ms)
{
	struct shield_policy now;
	struct bank *b;
	int err;

	if (!s->xdp)
		return -EOPNOTSUPP;
	err = policy_read(s, &now);
	if (err)
		return err;
	if (now.trial_ends_ns)
		return -EBUSY; /* the other bank is what we must be able to go back to */
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	now.bank = !now.bank;
	b->number = now.bank;
	err = bank_build(s, b, plan);
	if (!err && trial_ms)
		now.trial_ends_ns = clock_mono_ns() + trial_ms * 1000000;
	flows_off(s);
	if (!err)
		err = policy_write(s, &now);
	if (!err)
		err = list_for_people(s, b->number);
	if (err && err != -E2BIG && err != -EINVAL)
		log_error("shield: the policy could not be changed: %s", strerror(-err));
	if (!err && trial_ms)
		shield_event(s, EVENT_POLICY, "a policy on trial for %llu s",
			     (unsigned long long)trial_ms / 1000);
	else if (!err)
		shield_event(s, EVENT_POLICY, "a policy set");
	free(b);
	return err;
}

int shield_policy_confirm(struct shield *s)
{
	struct shield_policy now;
	int err;

	if (!s->xdp)
		return -EOPNOTSUPP;
	err = policy_read(s, &now);
	if (err)
		return err;
	if (!now.trial_ends_ns || now.trial_ends_ns <= clock_mono_ns())
		return -ENOENT;
	now.trial_ends_ns = 0;
	err = policy_write(s, &now);
	if (!err)
		shield_event(s, EVENT_POLICY, "the policy on trial confirmed");
	return err;
}

int shield_policy_revert(struct shield *s)
{
	struct shield_policy now;
	bool over;
	int err;

	if (!s->xdp)
		return -EOPNOTSUPP;
	err = policy_read(s, &now);
	if (err)
		return err;
	if (!now.trial_ends_ns)
		return -ENOENT;
	over = now.trial_ends_ns <= clock_mono_ns();
	now.bank = !now.bank;
	now.trial_ends_ns = 0;
	flows_off(s);
	err = policy_write(s, &now);
	if (!err)
		shield_event(s, EVENT_POLICY, "the policy before is back: %s",
			     over ? "the time of the trial was over" : "the trial was reverted");
	return err ? err : list_for_people(s, now.bank);
}

/* ---- the management door ---------------------------------------------------------- */

int shield_manage_set(struct shield *s, const struct shield_prefix *who, size_t n,
		      const uint16_t *port, size_t n_ports)
{
	struct shield_manage door = {.n = (__u32)n};
	__u32 zero = 0;

	if (!s->xdp)
		return -EOPNOTSUPP;
	if (n > SHIELD_MANAGE_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++)
		prefix_make(&door.at[i], &who[i]);
	for (size_t i = 0; i < n_ports; i++)
		door.port[port[i] / 64] |= 1ull << port[i] % 64;
	flows_off(s); /* who came by the old door is in nobody's filter */
	return put(s->xdp->maps.manage, &zero, sizeof(zero), &door, sizeof(door));
}
