/* SPDX-License-Identifier: BSD-2-Clause */
/* deny.c - the deny list's user half: prefixes in, expired ones out.
 *
 * XDP reads the entries and adds to their hits; nobody else writes, so what is
 * read here and written back loses at most the hits of the moment between. */
#include "shield/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"

/* Both families' keys begin alike, and the kernel reads as much as the map says. */
union key {
	struct deny_key_v4 v4;
	struct deny_key_v6 v6;
};

static struct bpf_map *map_of(const struct shield *s, int family)
{
	return family == AF_INET ? s->xdp->maps.deny_v4 : s->xdp->maps.deny_v6;
}

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

/* Host bits off, IPv4 in IPv6 clothes undressed. False: no prefix at all. */
static bool canonical(struct shield_prefix *p)
{
	unsigned full = p->family == AF_INET ? 32 : 128;

	if ((p->family != AF_INET && p->family != AF_INET6) || p->bits > full)
		return false;
	if (p->family == AF_INET6 && p->bits >= 96 && memcmp(p->addr, mapped, 12) == 0) {
		p->family = AF_INET;
		p->bits -= 96;
		memmove(p->addr, p->addr + 12, 4);
	}
	for (unsigned bit = p->bits; bit < 128; bit++)
		p->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return true;
}

static size_t key_make(union key *key, const struct shield_prefix *p)
{
	memset(key, 0, sizeof(*key));
	key->v6.len = p->bits;
	if (p->family == AF_INET) {
		memcpy(key->v4.addr, p->addr, 4);
		return sizeof(key->v4);
	}
	memcpy(key->v6.addr, p->addr, 16);
	return sizeof(key->v6);
}

const char *shield_prefix_str(const struct shield_prefix *p, char buf[SHIELD_PREFIX_TEXT_MAX])
{
	char addr[INET6_ADDRSTRLEN] = "?";

	inet_ntop(p->family == AF_INET ? AF_INET : AF_INET6, p->addr, addr, sizeof(addr));
	snprintf(buf, SHIELD_PREFIX_TEXT_MAX, "%s/%u", addr, p->bits);
	return buf;
}

int shield_deny_add(struct shield *s, const struct shield_prefix *given, uint64_t ttl_s,
		    enum shield_deny_reason reason, const char *note)
{
	struct shield_deny entry = {};
	struct shield_prefix p = *given;
	char text[SHIELD_PREFIX_TEXT_MAX];
	uint64_t now = clock_mono_ns();
	struct bpf_map *map;
	union key key;
	size_t bytes;
	int err;

	if (!s->xdp)
		return -EOPNOTSUPP;
	if (reason == SHIELD_DENY_OFFENCE && p.family == AF_INET6 && p.bits > 64 &&
	    memcmp(p.addr, mapped, 12) != 0)
		p.bits = 64;
	if (!canonical(&p))
		return -EINVAL;
	bytes = key_make(&key, &p);
	map = map_of(s, p.family);

	/* A trie's lookup is by longest match: the entry is this one only if its length is. */
	entry.len = 256;
	bpf_map__lookup_elem(map, &key, bytes, &entry, sizeof(entry), 0);
	if (entry.len != p.bits) {
		memset(&entry, 0, sizeof(entry));
		entry.created_ns = now;
	}
	/* what a person has said, no automaton shortens */
	if (reason == SHIELD_DENY_OFFENCE && entry.reason && entry.reason != reason &&
	    (!entry.expires_ns || entry.expires_ns > now))
		return 0;
	entry.len = p.bits;
	entry.reason = reason;
	entry.expires_ns = 0;
	if (ttl_s)
		entry.expires_ns = now + MIN(ttl_s, UINT32_MAX) * 1000000000u;
	memset(entry.note, 0, sizeof(entry.note));
	snprintf(entry.note, sizeof(entry.note), "%s", note ? note : "");
	err = bpf_map__update_elem(map, &key, bytes, &entry, sizeof(entry), BPF_ANY);
	if (err)
		log_error("shield: cannot deny %s: %s", shield_prefix_str(&p, text),
			  err == -ENOSPC ? "the list is full; delete entries or join prefixes" :
					   strerror(-err));
	return err;
}

int shield_deny_del(struct shield *s, const struct shield_prefix *given)
{
	struct shield_prefix p = *given;
	union key key;
	size_t bytes;

	if (!s->xdp)
		return -EOPNOTSUPP;
	if (!canonical(&p))
		return -EINVAL;
	bytes = key_make(&key, &p);
	return bpf_map__delete_elem(map_of(s, p.family), &key, bytes, 0);
}

/* ---- the whole list ------------------------------------------------------------ */

typedef bool (*doomed_fn)(const struct shield_prefix *p, const struct shield_deny *entry,
			  const void *arg);

/* Two passes: a walk by keys loses its place when its key is deleted. */
static ssize_t remove_if(struct shield *s, int family, doomed_fn doomed, const void *arg)
{
	struct bpf_map *map = map_of(s, family);
	size_t bytes = family == AF_INET ? sizeof(struct deny_key_v4) : sizeof(struct deny_key_v6);
	union key *list = calloc(SHIELD_DENY_MAX, sizeof(*list));
	union key next, *at = NULL;
	ssize_t n = 0, removed = 0;

	if (!list)
		return -ENOMEM;
	while (n < SHIELD_DENY_MAX && bpf_map__get_next_key(map, at, &next, bytes) == 0) {
		struct shield_prefix p = {.family = (uint8_t)family, .bits = (uint8_t)next.v6.len};
		struct shield_deny entry;

		memcpy(p.addr, next.v6.addr, family == AF_INET ? 4 : 16);
		list[n] = next; /* not yet counted: the walk's place, or a candidate */
		at = &list[n];
		if (bpf_map__lookup_elem(map, &next, bytes, &entry, sizeof(entry), 0) == 0 &&
		    entry.len == p.bits && doomed(&p, &entry, arg))
			n++;
	}
	for (ssize_t i = 0; i < n; i++)
		removed += bpf_map__delete_elem(map, &list[i], bytes, 0) == 0;
	free(list);
	return removed;
}

static bool has_expired(const struct shield_prefix *p, const struct shield_deny *entry,
			const void *now)
{
	return entry->expires_ns && entry->expires_ns <= *(const uint64_t *)now;
}

ssize_t shield_reap(struct shield *s)
{
	uint64_t now = clock_mono_ns();
	ssize_t v4, v6;

	if (!s->xdp)
		return -EOPNOTSUPP;
	v4 = remove_if(s, AF_INET, has_expired, &now);
	v6 = remove_if(s, AF_INET6, has_expired, &now);
	return v4 < 0 ? v4 : v6 < 0 ? v6 : v4 + v6;
}

struct wanted {
	const struct shield_prefix *list;
	size_t n;
};

static bool left_the_file(const struct shield_prefix *p, const struct shield_deny *entry,
			  const void *arg)
{
	const struct wanted *w = arg;

	if (entry->reason != SHIELD_DENY_CONFIG)
		return false;
	for (size_t i = 0; i < w->n; i++) {
		struct shield_prefix want = w->list[i];

		if (canonical(&want) && want.family == p->family && want.bits == p->bits &&
		    memcmp(want.addr, p->addr, sizeof(want.addr)) == 0)
			return false;
	}
	return true;
}

/* The entry of exactly this prefix, all zero if there is none that lives. */
static struct shield_deny living(const struct shield *s, const struct shield_prefix *given)
{
	struct shield_deny entry = {.len = 256};
	struct shield_prefix p = *given;
	union key key;

	if (!canonical(&p))
		return (struct shield_deny){};
	bpf_map__lookup_elem(map_of(s, p.family), &key, key_make(&key, &p), &entry, sizeof(entry),
			     0);
	if (entry.len != p.bits || (entry.expires_ns && entry.expires_ns <= clock_mono_ns()))
		return (struct shield_deny){};
	return entry;
}

static int add_config(struct shield *s, const struct shield_prefix *p, uint64_t ttl_s)
{
	struct shield_deny there = living(s, p);

	if (there.reason && there.reason != SHIELD_DENY_CONFIG)
		return 0;
	if (there.reason && !there.expires_ns)
		return 0;
	return shield_deny_add(s, p, ttl_s, SHIELD_DENY_CONFIG,
			       ttl_s ? "sluice.conf, on trial" : "sluice.conf");
}

int shield_deny_config(struct shield *s, const struct shield_prefix *list, size_t n, uint64_t ttl_s)
{
	struct wanted w = {list, n};
	int err = 0;

	if (!s->xdp)
		return -EOPNOTSUPP;
	remove_if(s, AF_INET, left_the_file, &w);
	remove_if(s, AF_INET6, left_the_file, &w);
	for (size_t i = 0; i < n && !err; i++)
		err = add_config(s, &list[i], ttl_s);
	return err;
}
