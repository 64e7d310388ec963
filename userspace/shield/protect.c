/* SPDX-License-Identifier: BSD-2-Clause */
/* protect.c - which destinations are ours, from a list to a bank of maps.
 *
 *   list ─► distinct prefixes   ─► protect_addr[bank]     bit i names prefix i
 *       └─► {proto, port}: bits ─► protect_class[bank, …] ports with equal bits are one class
 *                               └► port_class[bank, …]    a byte per port
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
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"

struct port {
	struct protect_key key;
	struct protect_class value;
};

struct bank {
	__u32 number;
	struct protect_addr addr;
	unsigned n_addr;
	struct port port[SHIELD_PORTS_MAX];
	unsigned n_port;
	struct protect_class class[CLASSES_MAX];
	unsigned n_class;
	struct port_class port_class[2]; /* TCP, UDP */
};

static void mask_make(__u8 mask[16], unsigned bits)
{
	memset(mask, 0, 16);
	memset(mask, 0xff, bits / 8);
	if (bits % 8)
		mask[bits / 8] = (__u8)(0xff00 >> bits % 8);
}

/* Index of the prefix in the bank, added if new; -1: no room. */
static int bank_prefix(struct bank *b, const struct shield_prefix *p)
{
	struct protect_prefix want = {.family = p->family == AF_INET ? 4 : 6, .len = p->bits};

	mask_make(want.mask, p->bits);
	for (int i = 0; i < 16; i++)
		want.addr[i] = p->addr[i] & want.mask[i];
	for (unsigned i = 0; i < b->n_addr; i++)
		if (memcmp(&b->addr.at[i], &want, sizeof(want)) == 0)
			return (int)i;
	if (b->n_addr == SHIELD_PROTECT_MAX)
		return -1;
	b->addr.at[b->n_addr] = want;
	return (int)b->n_addr++;
}

static struct protect_class *bank_port(struct bank *b, enum l4_proto proto, __u32 port)
{
	struct protect_key key = {.proto = proto, .port = port};

	for (unsigned i = 0; i < b->n_port; i++)
		if (memcmp(&b->port[i].key, &key, sizeof(key)) == 0)
			return &b->port[i].value;
	if (b->n_port == ARRAY_SIZE(b->port))
		return NULL;
	b->port[b->n_port].key = key;
	return &b->port[b->n_port++].value;
}

static int bank_add(struct bank *b, const struct shield_protect *p)
{
	struct protect_class *at[] = {
		bank_port(b, L4_ANY, 0),
		bank_port(b, p->proto, 0),
		bank_port(b, p->proto, p->port),
	};
	int prefix = p->to.bits ? bank_prefix(b, &p->to) : 0;

	if (prefix < 0)
		return -E2BIG;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		if (!at[i])
			return -E2BIG;
		if (p->to.bits)
			at[i]->prefixes |= 1ull << prefix;
		else if (p->to.family == AF_INET)
			at[i]->any_v4 = 1;
		else
			at[i]->any_v6 = 1;
	}
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
	b->n_class = CLASS_UNION;
	if (b->n_port) /* the first that bank_add() makes is L4_ANY's */
		bank_class(b, &b->port[0].value);
	for (unsigned i = 1; i < b->n_port; i++) {
		unsigned class = bank_class(b, &b->port[i].value);

		if (class == CLASS_NONE)
			return -E2BIG;
		b->port_class[b->port[i].key.proto == L4_UDP].of[b->port[i].key.port] =
			(__u8) class;
	}
	return 0;
}

static bool is_sound(const struct shield_protect *p)
{
	return (p->to.family == AF_INET ? p->to.bits <= 32 :
					  p->to.family == AF_INET6 && p->to.bits <= 128) &&
	       p->port && (p->proto == L4_TCP || p->proto == L4_UDP);
}

static int bank_fill(struct bank *b, const struct shield_protect *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[SHIELD_PREFIX_TEXT_MAX];
		int err = is_sound(&list[i]) ? bank_add(b, &list[i]) : -EINVAL;

		if (err) {
			log_error("shield: cannot protect %s port %u: %s",
				  shield_prefix_str(&list[i].to, text), list[i].port,
				  err == -E2BIG ? "too many; use shorter prefixes or fewer ports" :
						  "no such prefix, port or protocol");
			return err;
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

/* What bpftool shows; packets do not see it. */
static int list_for_people(struct shield *s, const struct bank *b)
{
	struct bpf_map *map = s->xdp->maps.protect_port;
	struct protect_key key;
	int err = 0;

	while (bpf_map__get_next_key(map, NULL, &key, sizeof(key)) == 0)
		bpf_map__delete_elem(map, &key, sizeof(key), 0);
	for (unsigned i = 0; i < b->n_port && !err; i++)
		err = put(map, &b->port[i].key, sizeof(b->port[i].key), &b->port[i].value,
			  sizeof(b->port[i].value));
	return err;
}

int shield_protect_set(struct shield *s, const struct shield_protect *list, size_t n)
{
	struct shield_policy now;
	struct bank *b;
	int err;

	if (!s->xdp)
		return -EOPNOTSUPP;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	err = policy_read(s, &now);
	if (!err) {
		now.bank = !now.bank;
		b->number = now.bank;
		err = bank_fill(b, list, n);
	}
	if (!err) {
		err = bank_classify(b);
		if (err)
			log_error("shield: ports with more than %d different sets of protected "
				  "addresses; make them alike",
				  CLASSES_MAX - CLASS_UNION);
	}
	if (!err)
		err = bank_store(s, b);
	if (!err)
		err = policy_write(s, &now);
	if (!err)
		err = list_for_people(s, b);
	if (err && err != -E2BIG && err != -EINVAL)
		log_error("shield: what is protected could not be changed: %s", strerror(-err));
	free(b);
	return err;
}
