/* SPDX-License-Identifier: BSD-2-Clause */
/* fingerprint.c - see fingerprint.h. A handshake costs some hundred microseconds: a look through 256
 * entries of one table is nothing beside it. */
#include "tls/fingerprint.h"

static bool same(const struct tls_ja4 *a, const struct tls_ja4 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void tls_counted_add(struct tls_counted *c, const struct tls_ja4 *j)
{
	uint32_t least = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		if (same(&c->entry[i].ja4, j)) {
			c->entry[i].seen++;
			return;
		}
		if (c->entry[i].seen < c->entry[least].seen)
			least = i;
	}
	uint64_t before = 0;
	if (c->n < TLS_COUNTED)
		least = c->n++;
	else
		before = c->entry[least].seen;
	c->entry[least] = (struct tls_count){.ja4 = *j, .seen = before + 1, .over = before};
}

bool tls_denied_add(struct tls_denied *d, const struct tls_ja4 *j, uint64_t until_ns,
		    uint64_t now_ns)
{
	uint32_t place = d->n;
	for (uint32_t i = 0; i < d->n; i++) {
		if (same(&d->entry[i].ja4, j)) {
			d->entry[i].until_ns = until_ns;
			return true;
		}
		if (d->entry[i].until_ns <= now_ns)
			place = i;
	}
	if (place == TLS_DENIED)
		return false;
	d->n += place == d->n;
	d->entry[place] = (struct tls_denial){.ja4 = *j, .until_ns = until_ns};
	return true;
}

bool tls_denied_del(struct tls_denied *d, const struct tls_ja4 *j)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (same(&d->entry[i].ja4, j)) {
			d->entry[i] = d->entry[--d->n];
			return true;
		}
	return false;
}

struct tls_denial *tls_denied_find(struct tls_denied *d, const struct tls_ja4 *j, uint64_t now_ns)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (same(&d->entry[i].ja4, j))
			return d->entry[i].until_ns > now_ns ? &d->entry[i] : NULL;
	return NULL;
}
