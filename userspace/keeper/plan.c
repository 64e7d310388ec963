/* SPDX-License-Identifier: BSD-2-Clause */
/* plan.c - a config's policy, flattened; see plan.h. */
#include "keeper/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static_assert((int)CONFIG_RULE_OFF == RULE_OFF && (int)CONFIG_RULE_OBSERVE == RULE_OBSERVE &&
		      (int)CONFIG_RULE_ENFORCE == RULE_ENFORCE,
	      "config.h has the modes as abi.h has them");
static_assert((int)CONFIG_STEER_CPUMAP == SHIELD_STEER_WANT_CPUMAP &&
		      (int)CONFIG_STEER_RSS == SHIELD_STEER_WANT_RSS &&
		      (int)CONFIG_STEER_OFF == SHIELD_STEER_WANT_OFF,
	      "config.h has the ways to steer as shield.h has them");

struct shield_prefix plan_prefix(const struct config_prefix *p)
{
	struct shield_prefix out = {.bits = p->bits, .family = p->family};

	memcpy(out.addr, p->addr, sizeof(out.addr));
	return out;
}

static_assert((int)CONFIG_COOKIES_AUTO == COOKIES_AUTO &&
		      (int)CONFIG_COOKIES_ALWAYS == COOKIES_ALWAYS &&
		      (int)CONFIG_COOKIES_OFF == COOKIES_OFF,
	      "config.h has the modes of cookies as abi.h has them");

static struct shield_rules rules_of(const struct config_rules *r, const struct config_cookies *c)
{
	struct shield_rules out = {
		.cookies = (enum shield_cookies)c->mode,
		.syn_attack = c->attack,
		.syn_calm = c->calm,
		.synack_limit = c->answers,
		.stale_limit = c->refusals,
	};

	out.malformed = (enum shield_rule_mode)r->malformed;
	out.allow = (enum shield_rule_mode)r->allow;
	out.deny = (enum shield_rule_mode)r->deny;
	out.rate = (enum shield_rule_mode)r->rate;
	out.flow = (enum shield_rule_mode)r->flow;
	out.syn = (enum shield_rule_mode)r->syn;
	return out;
}

static struct shield_rate rate_of(const struct config_rate *r)
{
	struct shield_rate out = {
		.packets = shield_limit_of(r->packets, r->burst_ms),
		.syns = shield_limit_of(r->syns, r->burst_ms),
		.connections = shield_limit_of(r->connections, r->burst_ms),
		.net_packets = shield_limit_of(r->net_packets, r->burst_ms),
		.net_syns = shield_limit_of(r->net_syns, r->burst_ms),
		.net_connections = shield_limit_of(r->net_connections, r->burst_ms),
	};

	snprintf(out.name, sizeof(out.name), "%s", r->name);
	return out;
}

static void rates_of(struct plan *out, const struct config *cfg)
{
	out->rates[0] = shield_rate_default();
	out->n_rates = 1;
	for (uint32_t i = 0; i < cfg->shield.n_rate_classes; i++) {
		struct shield_rate r = rate_of(&cfg->shield.rate_classes[i]);

		if (strcmp(r.name, out->rates[0].name) == 0)
			out->rates[0] = r;
		else
			out->rates[out->n_rates++] = r;
	}
}

static uint8_t rate_index(const struct plan *p, const char *name)
{
	for (uint32_t i = 0; i < p->n_rates; i++)
		if (strcmp(p->rates[i].name, name) == 0)
			return (uint8_t)i;
	return 0; /* cannot be: finish_protect() knows them all */
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct shield_prefix));
}

/* In order and each once, so that equal lists are equal bytes. */
static void sort_denials(struct plan *p)
{
	uint32_t n = 0;

	qsort(p->deny, p->n_deny, sizeof(p->deny[0]), by_bytes);
	for (uint32_t i = 0; i < p->n_deny; i++)
		if (n == 0 || by_bytes(&p->deny[n - 1], &p->deny[i]) != 0)
			p->deny[n++] = p->deny[i];
	memset(&p->deny[n], 0, (p->n_deny - n) * sizeof(p->deny[0]));
	p->n_deny = n;
}

static void manage_of(struct plan_manage *out, const struct config_manage *m)
{
	assert(m->n_prefixes <= SHIELD_MANAGE_MAX && m->n_ports <= PLAN_MANAGE_PORTS_MAX);
	for (uint32_t i = 0; i < m->n_prefixes; i++)
		out->who[out->n_who++] = plan_prefix(&m->prefixes[i]);
	for (uint32_t i = 0; i < m->n_ports; i++) {
		out->ports[i].first = m->ports[i].first;
		out->ports[i].last = m->ports[i].last;
	}
	out->n_ports = m->n_ports;
}

void plan_of_config(struct plan *out, const struct config *cfg)
{
	memset(out, 0, sizeof(*out));
	out->rules = rules_of(&cfg->shield.rules, &cfg->shield.cookies);
	rates_of(out, cfg);
	assert(cfg->shield.n_protect <= PLAN_PROTECT_MAX);
	for (uint32_t i = 0; i < cfg->shield.n_protect; i++) {
		struct shield_protect *p = &out->protect[out->n_protect++];

		p->to = plan_prefix(&cfg->shield.protect[i].prefix);
		p->port = cfg->shield.protect[i].port.first;
		p->last = cfg->shield.protect[i].port.last;
		p->proto = L4_TCP;
		p->rate = rate_index(out, cfg->shield.protect[i].rate);
	}
	assert(cfg->shield.n_deny <= CONFIG_MAX_DENY);
	for (uint32_t i = 0; i < cfg->shield.n_deny; i++)
		out->deny[out->n_deny++] = plan_prefix(&cfg->shield.deny[i]);
	sort_denials(out);
	manage_of(&out->manage, &cfg->shield.manage);
}

static bool prefix_is_sound(const struct shield_prefix *p)
{
	return p->family == AF_INET ? p->bits <= 32 : p->family == AF_INET6 && p->bits <= 128;
}

static bool rates_are_sound(const struct plan *p)
{
	if (p->n_rates < 1 || p->n_rates > SHIELD_RATES_MAX)
		return false;
	for (uint32_t i = 0; i < p->n_rates; i++) {
		const struct shield_rate *r = &p->rates[i];

		if (strnlen(r->name, sizeof(r->name)) == sizeof(r->name))
			return false;
		for (const struct shield_limit *l = &r->packets; l <= &r->net_connections; l++)
			if (l->interval_ns > 1000000000u || l->ahead_ns > SHIELD_AHEAD_MAX)
				return false;
	}
	return true;
}

static bool manage_is_sound(const struct plan_manage *m)
{
	if (m->n_who > SHIELD_MANAGE_MAX || m->n_ports > PLAN_MANAGE_PORTS_MAX)
		return false;
	for (uint32_t i = 0; i < m->n_who; i++)
		if (!prefix_is_sound(&m->who[i]))
			return false;
	for (uint32_t i = 0; i < m->n_ports; i++)
		if (!m->ports[i].first || m->ports[i].last < m->ports[i].first)
			return false;
	return true;
}

bool plan_is_sound(const struct plan *p)
{
	const enum shield_rule_mode *mode = &p->rules.malformed;

	if (p->n_protect > PLAN_PROTECT_MAX || p->n_deny > CONFIG_MAX_DENY)
		return false;
	if (!rates_are_sound(p) || !manage_is_sound(&p->manage))
		return false;
	for (int i = 0; i < RULES; i++)
		if ((unsigned)mode[i] > RULE_ENFORCE)
			return false;
	if ((unsigned)p->rules.cookies > COOKIES_OFF || p->rules.syn_calm > p->rules.syn_attack)
		return false;
	for (uint32_t i = 0; i < p->n_protect; i++)
		if (!prefix_is_sound(&p->protect[i].to) || !p->protect[i].port ||
		    p->protect[i].last < p->protect[i].port || p->protect[i].proto != L4_TCP ||
		    p->protect[i].rate >= p->n_rates)
			return false;
	for (uint32_t i = 0; i < p->n_deny; i++)
		if (!prefix_is_sound(&p->deny[i]))
			return false;
	return true;
}

bool plan_equal(const struct plan *a, const struct plan *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool plan_manage_equal(const struct plan_manage *a, const struct plan_manage *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int plan_manage_set(struct shield *s, const struct plan_manage *m)
{
	uint16_t *port;
	size_t n = 0;
	int err;

	for (uint32_t i = 0; i < m->n_ports; i++)
		n += m->ports[i].last - m->ports[i].first + 1u;
	port = calloc(n + 1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < m->n_ports; i++)
		for (uint32_t p = m->ports[i].first; p <= m->ports[i].last; p++)
			port[n++] = (uint16_t)p;
	err = shield_manage_set(s, m->who, m->n_who, port, n);
	free(port);
	return err;
}

struct shield_plan plan_for_shield(const struct plan *p)
{
	return (struct shield_plan){.protect = p->protect,
				    .n_protect = p->n_protect,
				    .rules = p->rules,
				    .rates = p->rates,
				    .n_rates = p->n_rates};
}
