/* SPDX-License-Identifier: BSD-2-Clause */
/* offence.c - a leaky bucket per source, in a table of fixed size, see offence.h.
 *
 * A bucket is kept as the moment at which it will have run empty: that is one number, and fading
 * needs no clock work. A hash names a row of four places; a newcomer takes that of the row who
 * has been quiet longest. */
#include "keeper/offence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/hash.h"

#define ROWS 1024
#define WAYS 4
#define MS   1000000ull

struct source {
	struct shield_prefix who; /* family 0: the place is free */
	uint8_t denials;          /* so far, not forgotten */
	uint64_t empty_ns;        /* when its points will have faded */
	uint64_t heard_ns;
	uint64_t denied_until_ns;
};

struct offences {
	struct offence_rules rules;
	uint8_t key[HASH_KEY_BYTES];
	struct source at[ROWS][WAYS];
};

struct offences *offences_new(const struct offence_rules *rules, const uint8_t key[16])
{
	struct offences *o = calloc(1, sizeof(*o));

	assert(rules->points && rules->first_ms <= rules->longest_ms);
	if (!o)
		return NULL;
	o->rules = *rules;
	memcpy(o->key, key, sizeof(o->key));
	return o;
}

/* An IPv6 customer has a /64 and moves in it as he likes. */
static struct shield_prefix canonical(const struct shield_prefix *source)
{
	struct shield_prefix p = {.family = source->family};

	p.bits = p.family == AF_INET ? 32 : 64;
	memcpy(p.addr, source->addr, p.bits / 8);
	return p;
}

static struct source *place_of(struct offences *o, const struct shield_prefix *who, uint64_t now_ns)
{
	uint64_t hash = hash_keyed(o->key, BYTES(who, sizeof(*who)));
	struct source *row = o->at[hash_pick(hash, ROWS)], *oldest = &row[0];

	for (unsigned i = 0; i < WAYS; i++) {
		if (memcmp(&row[i].who, who, sizeof(*who)) == 0)
			return &row[i];
		if (row[i].heard_ns < oldest->heard_ns)
			oldest = &row[i];
	}
	*oldest = (struct source){.who = *who, .heard_ns = now_ns};
	return oldest;
}

/* first, 2 first, 4 first … longest; at least a second. */
static uint32_t span_s(const struct offence_rules *r, uint8_t denials)
{
	uint64_t ms = (uint64_t)r->first_ms << MIN(denials, 31);

	ms = MIN(ms, r->longest_ms);
	return (uint32_t)MAX((ms + 999) / 1000, 1u);
}

uint32_t offences_add(struct offences *o, const struct shield_prefix *source, uint32_t points,
		      uint64_t now_ns)
{
	const struct offence_rules *r = &o->rules;
	struct shield_prefix who = canonical(source);
	struct source *s = place_of(o, &who, now_ns);
	uint64_t per_point = r->window_ms * MS / r->points;
	uint32_t seconds;

	if (now_ns < s->denied_until_ns) /* what was on its way when he was denied */
		return 0;
	if (now_ns - MAX(s->heard_ns, s->denied_until_ns) > r->longest_ms * MS)
		s->denials = 0;
	s->heard_ns = now_ns;
	s->empty_ns = MAX(s->empty_ns, now_ns) + MIN(points, r->points) * per_point;
	/* a point counts whole until all of it has faded */
	if (s->empty_ns - now_ns <= (r->points - 1) * per_point)
		return 0;
	seconds = span_s(r, s->denials);
	s->denials += s->denials < UINT8_MAX;
	s->empty_ns = 0;
	s->denied_until_ns = now_ns + seconds * 1000 * MS;
	return seconds;
}
