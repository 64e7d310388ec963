/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/tally.h"

#include <string.h>

#include "base/hash.h"

/* Its slot, or the empty one where it would stand. */
static uint32_t find(const struct tally *t, uint32_t key)
{
	uint32_t at = (uint32_t)hash_mix(key) % TALLY_SLOTS;
	while (t->slot[at].n > 0 && t->slot[at].key != key)
		at = (at + 1) % TALLY_SLOTS;
	return at;
}

bool tally_add(struct tally *t, uint32_t key, uint32_t n)
{
	struct tally_slot *s = &t->slot[find(t, key)];
	if (n == 0)
		return true;
	if (s->n == 0) {
		if (t->keys == TALLY_KEYS)
			return false;
		t->keys++;
		s->key = key;
	}
	s->n = n > UINT32_MAX - s->n ? UINT32_MAX : s->n + n;
	return true;
}

uint32_t tally_get(const struct tally *t, uint32_t key)
{
	return t->keys > 0 ? t->slot[find(t, key)].n : 0;
}

void tally_clear(struct tally *t)
{
	if (t->keys > 0)
		memset(t, 0, sizeof(*t));
}
