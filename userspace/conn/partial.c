/* SPDX-License-Identifier: BSD-2-Clause */
/* partial.c - a list of conns, and the rule who goes first when the pool is full. */
#include "conn/partial.h"

#include "conn/buffer.h"
#include "conn/io.h"
#include "conn/list.h"
#include "worker/timer.h"
#include "worker/worker.h"

void partial_begin(struct worker *w, struct conn *c)
{
	if (c->flags & CONN_F_PARTIAL || c->state == CONN_LINGER)
		return;
	conn_list_append(w->partials, conn_index(&w->slab, c));
	c->flags |= CONN_F_PARTIAL;
	if (c->state == CONN_CLOSING) /* a goodbye has its own deadline, in the same field */
		return;
	c->partial_ticks = w->tick;
	timer_update(w, c);
}

void partial_end(struct worker *w, struct conn *c)
{
	if (!(c->flags & CONN_F_PARTIAL))
		return;
	conn_list_remove(w->partials, conn_index(&w->slab, c));
	c->flags &= (uint16_t)~CONN_F_PARTIAL;
}

bool partial_sacrifice(struct worker *w, const struct conn *spare)
{
	uint32_t oldest = conn_list_first(w->partials, conn_index(&w->slab, spare));
	if (oldest == CONN_NONE)
		return false;
	struct conn *c = conn_at(&w->slab, oldest);
	if (c->state != CONN_OPEN) {
		conn_end(w, c, CLOSE_OVERLOAD);
		return true;
	}
	/* Half of what it says is thrown away, so the other half cannot be understood, and its
	 * answer to our close frame is not to be found in it. */
	conn_close(w, c, CLOSE_OVERLOAD);
	conn_linger(w, c, CLOSE_OVERLOAD);
	return true;
}

bool partial_append(struct worker *w, struct conn *c, uint32_t *handle, struct bytes b,
		    size_t bound)
{
	if ((*handle ? buffer_size(w->pool, *handle) : 0) + b.n > bound)
		return false;
	while (!buffer_append(w->pool, handle, b, bound))
		if (!partial_sacrifice(w, c))
			return false;
	return true;
}
