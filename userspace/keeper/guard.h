/* SPDX-License-Identifier: BSD-2-Clause */
/* guard.h - whom a denial must not hit by a slip: this host itself, who manages it, and proxies that
 * speak for many. Whoever means it says so; there is no address that cannot be denied. */
#ifndef SLUICE_KEEPER_GUARD_H
#define SLUICE_KEEPER_GUARD_H

#include "config/config.h"
#include "keeper/plan.h"
#include "shield/shield.h"

enum guard_why {
	GUARD_LOOPBACK, /* hit by what lies inside it, too */
	GUARD_LOCAL,    /* an address of this host, in our network namespace */
	GUARD_MANAGE,   /* of shield.manage.prefixes */
	GUARD_PROXY,    /* of some trusted_proxies */
};

struct guard {
	struct shield_prefix p; /* host bits are 0 */
	enum guard_why why;
};

struct guards {
	struct guard *list; /* owned */
	size_t n;
};

/* As they are now. Without memory or an answer of the kernel's there are fewer, which is logged. */
void guards_of(const struct config *cfg, struct guards *out);
void guards_free(struct guards *g);
/* Who manages now, if it is not as that config says. */
void guards_manage(struct guards *g, const struct plan_manage *now);

/* The first that this prefix would hit; NULL: none. */
const struct guard *guards_hit(const struct guards *g, const struct shield_prefix *p);
/* Likewise by a set, whose records are sound (list_records_are_sound()); *by is the one that does. */
const struct guard *guards_hit_by_set(const struct guards *g, const struct list_batch *set,
				      struct shield_prefix *by);

/* What shield.deny does to them, which no file is refused for: a line for each kind that a prefix of it
 * hits, and for what of a management prefix is denied in vain; a few lines at most. */
void guards_warn(const struct guards *g, const struct config *cfg,
		 void (*say)(void *arg, const char *line), void *arg);
/* Into the log. */
void guards_log(const struct config *cfg);

/* "192.0.2.7, an address of this host" */
#define GUARD_TEXT_MAX (SHIELD_PREFIX_TEXT_MAX + 40)
const char *guard_str(const struct guard *g, char buf[GUARD_TEXT_MAX]);

#endif
