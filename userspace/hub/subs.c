/* SPDX-License-Identifier: BSD-2-Clause */
/* subs.c - see subs.h. */
#include "hub/subs.h"

#include "worker/worker.h"

uint32_t *subs_at(struct worker *w, const struct conn *c, uint32_t i)
{
	assert(i < c->sub_count);
	if (i < CONN_SUBS_INLINE)
		return (uint32_t *)&c->subs[i];
	return (uint32_t *)pool_ptr(w->subs, c->subs_more) + (i - CONN_SUBS_INLINE);
}

uint32_t *subs_find(struct worker *w, const struct conn *c, uint32_t channel)
{
	uint32_t n = MIN(c->sub_count, CONN_SUBS_INLINE);
	for (uint32_t i = 0; i < n; i++)
		if (sub_channel(c->subs[i]) == channel)
			return (uint32_t *)&c->subs[i];
	if (c->sub_count <= CONN_SUBS_INLINE)
		return NULL;
	uint32_t *more = pool_ptr(w->subs, c->subs_more);
	for (uint32_t i = 0; i < c->sub_count - CONN_SUBS_INLINE; i++)
		if (sub_channel(more[i]) == channel)
			return &more[i];
	return NULL;
}

uint32_t *subs_add(struct worker *w, struct conn *c, uint32_t channel)
{
	assert(channel < CHANNEL_MAX);
	if (c->sub_count == UINT16_MAX)
		return NULL;
	if (c->sub_count >= CONN_SUBS_INLINE) {
		size_t bytes = (c->sub_count + 1u - CONN_SUBS_INLINE) * sizeof(uint32_t);
		uint32_t more = c->subs_more == POOL_NONE ? pool_borrow(w->subs, bytes) :
							    pool_grow(w->subs, c->subs_more, bytes);
		if (more == POOL_NONE)
			return NULL;
		c->subs_more = more;
	}
	c->sub_count++;
	uint32_t *word = subs_at(w, c, c->sub_count - 1u);
	*word = channel;
	return word;
}

void subs_remove(struct worker *w, struct conn *c, uint32_t channel)
{
	uint32_t *word = subs_find(w, c, channel);
	assert(word != NULL);
	*word = *subs_at(w, c, c->sub_count - 1u);
	c->sub_count--;
	if (c->sub_count <= CONN_SUBS_INLINE) {
		pool_return(w->subs, c->subs_more);
		c->subs_more = POOL_NONE;
	}
}
