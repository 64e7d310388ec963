/* SPDX-License-Identifier: BSD-2-Clause */
/* plan.h - what sluice.conf says about the shield, as the shield takes it: one flat piece of memory.
 *
 * Flat, because a policy on trial is read by a child of the keeper and handed over in shared
 * memory: no pointer in it, every count checked before it is believed. Equal policies are equal
 * bytes. What of the shield can only be had by a restart
 * (interfaces, mode, pin_dir) is not in it. */
#ifndef SLUICE_KEEPER_PLAN_H
#define SLUICE_KEEPER_PLAN_H

#include <stdbool.h>

#include "config/config.h"
#include "shield/shield.h"

#define PLAN_PROTECT_MAX                                                                           \
	(CONFIG_MAX_PROTECT > CONFIG_MAX_LISTENERS + CONFIG_MAX_SERVES ?                           \
		 CONFIG_MAX_PROTECT :                                                              \
		 CONFIG_MAX_LISTENERS + CONFIG_MAX_SERVES)

#define PLAN_MANAGE_PORTS_MAX 64

/* The management door: no part of a policy, and no trial touches it, but read with it. */
struct plan_manage {
	uint32_t n_who, n_ports;
	struct shield_prefix who[SHIELD_MANAGE_MAX];
	struct {
		uint16_t first, last;
	} ports[PLAN_MANAGE_PORTS_MAX];
};

struct plan {
	struct shield_rate rates[SHIELD_RATES_MAX]; /* the first is "default" */
	uint32_t n_protect, n_deny, n_rates;
	struct shield_protect protect[PLAN_PROTECT_MAX];
	struct shield_rules rules;
	struct shield_prefix deny[CONFIG_MAX_DENY];
	struct plan_manage manage;
};

/* Writes every byte of *out. */
void plan_of_config(struct plan *out, const struct config *cfg);

/* Is it what plan_of_config() can make? For one that another process has written. */
bool plan_is_sound(const struct plan *p);

bool plan_equal(const struct plan *a, const struct plan *b);

/* As shield_policy_set() takes it; borrows from *p. */
struct shield_plan plan_for_shield(const struct plan *p);

/* Opens the door to these, and to nobody else. 0 or -errno. */
int plan_manage_set(struct shield *s, const struct plan_manage *m);
bool plan_manage_equal(const struct plan_manage *a, const struct plan_manage *b);

struct shield_prefix plan_prefix(const struct config_prefix *p);

#endif
