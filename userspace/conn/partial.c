/* SPDX-License-Identifier: BSD-2-Clause */
/* partial.c - a doubly linked list over slab indexes, in a table beside the slab. */
#include "conn/partial.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "conn/buffer.h"
#include "conn/io.h"
#include "worker/timer.h"
#include "worker/worker.h"

struct link {
	uint32_t next, prev; /* index + 1; 0: none. Fresh pages are zeros */
};

struct partial_list {
	struct link *_links; /* mmap: untouched pages cost nothing */
	uint32_t _max, _count;
	uint32_t _oldest, _newest; /* index + 1 */
};

struct partial_list *partial_list_new(uint32_t max)
{
	struct partial_list *l = calloc(1, sizeof(*l));
	if (l == NULL)
		return NULL;
	l->_max = max;
	l->_links = mmap(NULL, (size_t)max * sizeof(struct link), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l->_links == MAP_FAILED) {
		free(l);
		return NULL;
	}
	return l;
}

void partial_list_free(struct partial_list *l)
{
	if (l == NULL)
		return;
	munmap(l->_links, (size_t)l->_max * sizeof(struct link));
	free(l);
}

uint32_t partial_count(const struct partial_list *l)
{
	return l->_count;
}

void partial_begin(struct worker *w, struct conn *c)
{
	struct partial_list *l = w->partials;
	/* A goodbye has its own deadline, in the same field. */
	if (c->flags & CONN_F_PARTIAL || c->state == CONN_CLOSING || c->state == CONN_LINGER)
		return;
	uint32_t me = conn_index(&w->slab, c) + 1;
	l->_links[me - 1] = (struct link){.next = 0, .prev = l->_newest};
	if (l->_newest)
		l->_links[l->_newest - 1].next = me;
	else
		l->_oldest = me;
	l->_newest = me;
	l->_count++;
	c->flags |= CONN_F_PARTIAL;
	c->partial_ticks = w->tick;
	timer_update(w, c);
}

void partial_end(struct worker *w, struct conn *c)
{
	struct partial_list *l = w->partials;
	if (!(c->flags & CONN_F_PARTIAL))
		return;
	struct link *me = &l->_links[conn_index(&w->slab, c)];
	if (me->prev)
		l->_links[me->prev - 1].next = me->next;
	else
		l->_oldest = me->next;
	if (me->next)
		l->_links[me->next - 1].prev = me->prev;
	else
		l->_newest = me->prev;
	l->_count--;
	c->flags &= (uint16_t)~CONN_F_PARTIAL;
}

bool partial_sacrifice(struct worker *w, const struct conn *spare)
{
	struct partial_list *l = w->partials;
	uint32_t oldest = l->_oldest;
	if (oldest && conn_at(&w->slab, oldest - 1) == spare)
		oldest = l->_links[oldest - 1].next;
	if (oldest == 0)
		return false;
	struct conn *c = conn_at(&w->slab, oldest - 1);
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
