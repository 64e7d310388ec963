/* SPDX-License-Identifier: BSD-2-Clause */
/* guard.c - see guard.h. The addresses are asked of the kernel each time: they come and go. */
#include "keeper/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define WARNINGS_MAX 10

static unsigned full_bits(const struct shield_prefix *p)
{
	return p->family == AF_INET ? 32 : 128;
}

static void add(struct guards *g, const struct shield_prefix *p, enum guard_why why)
{
	struct guard *more = realloc(g->list, (g->n + 1) * sizeof(*more));

	if (!more) {
		log_error("no memory to see whom a denial would lock out");
		return;
	}
	g->list = more;
	g->list[g->n++] = (struct guard){.p = *p, .why = why};
}

static void add_config(struct guards *g, const struct config_prefix *c, enum guard_why why)
{
	struct shield_prefix p = {.bits = c->bits, .family = c->family};

	memcpy(p.addr, c->addr, sizeof(p.addr));
	add(g, &p, why);
}

static void add_local(struct guards *g)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all)) {
		log_error("cannot tell the addresses of this host: %s", strerror(errno));
		return;
	}
	for (i = all; i; i = i->ifa_next) {
		struct shield_prefix p = {0};

		if (!i->ifa_addr)
			continue;
		p.family = (uint8_t)i->ifa_addr->sa_family;
		if (p.family == AF_INET)
			memcpy(p.addr, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
		else if (p.family == AF_INET6)
			memcpy(p.addr, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
		else
			continue;
		p.bits = (uint8_t)full_bits(&p);
		add(g, &p, GUARD_LOCAL);
	}
	freeifaddrs(all);
}

void guards_of(const struct config *cfg, struct guards *out)
{
	static const struct shield_prefix loopback[] = {
		{.family = AF_INET, .bits = 8, .addr = {127}},
		{.family = AF_INET6, .bits = 128, .addr = {[15] = 1}},
	};

	*out = (struct guards){0};
	for (size_t i = 0; i < ARRAY_SIZE(loopback); i++)
		add(out, &loopback[i], GUARD_LOOPBACK);
	add_local(out);
	for (uint32_t i = 0; i < cfg->shield.manage.n_prefixes; i++)
		add_config(out, &cfg->shield.manage.prefixes[i], GUARD_MANAGE);
	for (uint32_t l = 0; l < cfg->n_listeners; l++)
		for (uint32_t i = 0; i < cfg->listeners[l].n_trusted_proxies; i++)
			add_config(out, &cfg->listeners[l].trusted_proxies[i], GUARD_PROXY);
}

void guards_manage(struct guards *g, const struct plan_manage *now)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		if (g->list[i].why != GUARD_MANAGE)
			g->list[n++] = g->list[i];
	g->n = n;
	for (uint32_t i = 0; i < now->n_who; i++)
		add(g, &now->who[i], GUARD_MANAGE);
}

void guards_free(struct guards *g)
{
	free(g->list);
	*g = (struct guards){0};
}

/* ---- one prefix ---------------------------------------------------------------------------- */

static bool covers(const struct shield_prefix *outer, const struct shield_prefix *p)
{
	unsigned whole = outer->bits / 8, rest = outer->bits % 8;

	return outer->family == p->family && outer->bits <= p->bits &&
	       memcmp(outer->addr, p->addr, whole) == 0 &&
	       (!rest || !((outer->addr[whole] ^ p->addr[whole]) >> (8 - rest)));
}

const struct guard *guards_hit(const struct guards *g, const struct shield_prefix *p)
{
	for (size_t i = 0; i < g->n; i++)
		if (covers(p, &g->list[i].p) ||
		    (g->list[i].why == GUARD_LOOPBACK && covers(&g->list[i].p, p)))
			return &g->list[i];
	return NULL;
}

/* ---- a set ------------------------------------------------------------------------------------ */

static int compare(const struct list_record *r, const struct list_record *key)
{
	int c = (r->family > key->family) - (r->family < key->family);

	if (c == 0)
		c = memcmp(r->addr, key->addr, sizeof(r->addr));
	return c ? c : (r->len > key->len) - (r->len < key->len);
}

/* The first record that is not before the key; set->n: there is none. */
static size_t not_before(const struct list_batch *set, const struct list_record *key)
{
	size_t from = 0, to = set->n;

	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (compare(&set->records[at], key) < 0)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static struct shield_prefix prefix_of(const struct list_record *r)
{
	struct shield_prefix p = {.bits = r->len, .family = r->family == 4 ? AF_INET : AF_INET6};

	memcpy(p.addr, r->addr, sizeof(p.addr));
	return p;
}

/* Each length is looked for: far fewer steps than records. */
static bool set_hits(const struct list_batch *set, const struct guard *g, struct shield_prefix *by)
{
	struct list_record key = {.family = g->p.family == AF_INET ? 4 : 6, .len = g->p.bits};
	size_t at;

	memcpy(key.addr, g->p.addr, sizeof(key.addr));
	for (int len = key.len; len >= 0; len--) {
		if (len < 128)
			key.addr[len / 8] &= (uint8_t) ~(0xff >> len % 8);
		key.len = (uint8_t)len;
		at = not_before(set, &key);
		if (at < set->n && compare(&set->records[at], &key) == 0) {
			*by = prefix_of(&set->records[at]);
			return true;
		}
	}
	if (g->why != GUARD_LOOPBACK)
		return false;
	memcpy(key.addr, g->p.addr, sizeof(key.addr));
	key.len = g->p.bits;
	at = not_before(set, &key);
	if (at >= set->n)
		return false;
	*by = prefix_of(&set->records[at]);
	return covers(&g->p, by);
}

const struct guard *guards_hit_by_set(const struct guards *g, const struct list_batch *set,
				      struct shield_prefix *by)
{
	for (size_t i = 0; i < g->n; i++)
		if (set_hits(set, &g->list[i], by))
			return &g->list[i];
	return NULL;
}

/* ---- words ------------------------------------------------------------------------------------ */

static void warn_of(const struct guard *g, const struct shield_prefix *p,
		    void (*say)(void *arg, const char *line), void *arg)
{
	char line[SHIELD_PREFIX_TEXT_MAX + GUARD_TEXT_MAX + 160], prefix[SHIELD_PREFIX_TEXT_MAX],
		who[GUARD_TEXT_MAX];

	shield_prefix_str(p, prefix);
	guard_str(g, who);
	if (g->why == GUARD_MANAGE)
		snprintf(line, sizeof(line),
			 "shield.deny: %s hits %s: to shield.manage.ports they pass all the same, "
			 "to all others they are denied",
			 prefix, who);
	else
		snprintf(line, sizeof(line), "shield.deny: %s locks out %s", prefix, who);
	say(arg, line);
}

void guards_warn(const struct guards *g, const struct config *cfg,
		 void (*say)(void *arg, const char *line), void *arg)
{
	char line[80];
	uint32_t n = 0;

	for (uint32_t i = 0; i < cfg->shield.n_deny; i++) {
		struct shield_prefix p = plan_prefix(&cfg->shield.deny[i]);
		unsigned said = 0; /* bit: enum guard_why */

		for (size_t k = 0; k < g->n; k++) {
			const struct guard *it = &g->list[k];
			bool inside = it->why == GUARD_LOOPBACK || it->why == GUARD_MANAGE;

			if (said >> it->why & 1 ||
			    (!covers(&p, &it->p) && !(inside && covers(&it->p, &p))))
				continue;
			said |= 1u << it->why;
			if (n++ < WARNINGS_MAX)
				warn_of(it, &p, say, arg);
		}
	}
	if (n <= WARNINGS_MAX)
		return;
	snprintf(line, sizeof(line), "shield.deny: and %u more of this kind", n - WARNINGS_MAX);
	say(arg, line);
}

static void say_log(void *arg, const char *line)
{
	log_warn("%s", line);
}

void guards_log(const struct config *cfg)
{
	struct guards g;

	if (!cfg->shield.n_deny)
		return;
	guards_of(cfg, &g);
	guards_warn(&g, cfg, say_log, NULL);
	guards_free(&g);
}

const char *guard_str(const struct guard *g, char buf[GUARD_TEXT_MAX])
{
	static const char *const why[] = {
		[GUARD_LOOPBACK] = "this host's own",
		[GUARD_LOCAL] = "an address of this host",
		[GUARD_MANAGE] = "of shield.manage.prefixes",
		[GUARD_PROXY] = "of trusted_proxies",
	};
	char prefix[SHIELD_PREFIX_TEXT_MAX];

	shield_prefix_str(&g->p, prefix);
	if (g->p.bits == full_bits(&g->p))
		*strchr(prefix, '/') = '\0';
	snprintf(buf, GUARD_TEXT_MAX, "%s, %s", prefix, why[g->why]);
	return buf;
}
