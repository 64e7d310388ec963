/* SPDX-License-Identifier: BSD-2-Clause */
/* term.c - what runs out while we run, said once when it is near and once when it is past.
 *
 * Whoever checks the material writes down from when until when each part is good. These are numbers, so that
 * the keeper, which looks again and again, need not parse what came from files. */
#include <limits.h>
#include <stdio.h>

#include "base/log.h"
#include "tls/internal.h"

#define DAY      86400
#define SOON_MAX (7 * DAY)

enum { SAID_SOON = 1, SAID_OVER = 2 };

/* What the check itself finds past, it has said. */
struct tls_term tls_term_of(int64_t from, int64_t until, int64_t now)
{
	return (struct tls_term){
		.from = from, .until = until, .said = until <= now ? SAID_SOON | SAID_OVER : 0};
}

static int64_t soon_of(const struct tls_term *t)
{
	return t->until - MIN((t->until - t->from) / 10, SOON_MAX);
}

static const char *span(int64_t s, char *out, size_t cap)
{
	long long n = s >= 2 * DAY ? s / DAY : s >= 7200 ? s / 3600 : s / 60;
	snprintf(out, cap, "%lld %s", n, s >= 2 * DAY ? "days" : s >= 7200 ? "hours" : "minutes");
	return out;
}

/* Returns when there is something to say next. */
static int64_t look_at(struct tls_term *t, const char *what, const char *file, const char *todo,
		       int64_t now)
{
	char left[32];
	if (t->until == 0 || (t->said & SAID_OVER))
		return INT64_MAX;
	if (t->until <= now) {
		log_warn("tls: %s %s has run out: %s", what, file, todo);
		t->said |= SAID_OVER;
		return INT64_MAX;
	}
	if (soon_of(t) > now)
		return soon_of(t);
	if (!(t->said & SAID_SOON))
		log_warn("tls: %s %s runs out in %s: %s", what, file,
			 span(t->until - now, left, sizeof(left)), todo);
	t->said |= SAID_SOON;
	return t->until;
}

int64_t tls_material_look(const struct config *cfg, struct tls_material *m, int64_t now)
{
	int64_t next = INT64_MAX, at;
	for (uint32_t i = 0; i < m->n; i++) {
		char cert_file[PATH_MAX], key_file[PATH_MAX];
		if (!tls_material_names(cfg, i, cert_file, key_file))
			continue;
		at = look_at(&m->pem[i].valid, "certificate", cert_file, "renew it", now);
		next = MIN(next, at);
		at = look_at(&m->pem[i].fresh, "OCSP response", cfg->certificates[i].ocsp_file,
			     "fetch a newer one, an old one is not stapled", now);
		next = MIN(next, at);
	}
	for (uint32_t i = 0; i < m->n_trust; i++) {
		const struct config_listener *l = &cfg->listeners[i];
		at = look_at(&m->trust[i].ca_valid, "client_ca_file", l->client_ca_file,
			     "clients of that authority are refused from then on", now);
		next = MIN(next, at);
		at = look_at(&m->trust[i].crl_fresh, "client_crl_file", l->client_crl_file,
			     "clients of that authority are refused until there is a newer list",
			     now);
		next = MIN(next, at);
	}
	return next;
}
