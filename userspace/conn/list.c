/* SPDX-License-Identifier: BSD-2-Clause */
/* list.c - a doubly linked list over slab indexes, in a table beside the slab. */
#include "conn/list.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "conn/conn.h"

struct link {
	uint32_t next, prev; /* index + 1; 0: none. Fresh pages are zeros */
};

struct conn_list {
	struct link *_links; /* owned; mmap: untouched pages cost nothing */
	uint32_t _max, _count;
	uint32_t _first, _last; /* index + 1 */
};

struct conn_list *conn_list_new(uint32_t max)
{
	struct conn_list *l = calloc(1, sizeof(*l));
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

void conn_list_free(struct conn_list *l)
{
	if (l == NULL)
		return;
	munmap(l->_links, (size_t)l->_max * sizeof(struct link));
	free(l);
}

uint32_t conn_list_count(const struct conn_list *l)
{
	return l->_count;
}

void conn_list_append(struct conn_list *l, uint32_t index)
{
	assert(index < l->_max && l->_count < l->_max);
	l->_links[index] = (struct link){.next = 0, .prev = l->_last};
	if (l->_last)
		l->_links[l->_last - 1].next = index + 1;
	else
		l->_first = index + 1;
	l->_last = index + 1;
	l->_count++;
}

void conn_list_remove(struct conn_list *l, uint32_t index)
{
	assert(index < l->_max && l->_count > 0);
	struct link me = l->_links[index];
	assert(me.prev || l->_first == index + 1);
	assert(me.next || l->_last == index + 1);
	if (me.prev)
		l->_links[me.prev - 1].next = me.next;
	else
		l->_first = me.next;
	if (me.next)
		l->_links[me.next - 1].prev = me.prev;
	else
		l->_last = me.prev;
	l->_count--;
}

uint32_t conn_list_first(const struct conn_list *l, uint32_t spare)
{
	uint32_t first = l->_first;
	if (first && first - 1 == spare)
		first = l->_links[first - 1].next;
	return first ? first - 1 : CONN_NONE;
}
