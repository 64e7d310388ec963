/* SPDX-License-Identifier: BSD-2-Clause */
/* slab.h - all conns of one worker: an array in a memfd that the keeper made,
 * mapped by its worker alone (it holds keys), named by dense indexes.
 *
 * Indexes are handed out lowest first, so that the bitmaps stay dense and the
 * pages of a worker that was once full can go back to the system from the top.
 *
 * A freed slot is not reused at once: conn_slab_free() takes a *stamp* (the number
 * of the newest fan-out cursor in existence) and the slot comes back only when
 * conn_slab_release(oldest living cursor) says that every cursor that could name
 * it has passed. Otherwise a stranger would read another's message. */
#ifndef SLUICE_CONN_SLAB_H
#define SLUICE_CONN_SLAB_H

#include "conn/conn.h"

struct conn_slab {
	struct conn *conns;   /* the mapping; owned by the slab */
	uint32_t max;         /* slots in the mapping */
	uint32_t high;        /* slots ever used: all at and above are untouched pages */
	uint32_t live;        /* conns neither FREE nor HELD */
	uint32_t incarnation; /* lives of the worker so far, from 1 */
	uint32_t _gen;        /* the generation given out last, to whatever slot */
	uint32_t _paged; /* slots that may own pages: high, or more until they are given back */
	uint32_t _hint;  /* no word of _free_sum below this one has a bit */
	uint32_t _held_n, _held_head;
	uint64_t *_free_map;     /* one bit per slot below high; owned */
	uint64_t *_free_sum;     /* one bit per word of it */
	struct conn_held *_held; /* ring of max entries, oldest first; owned */
};

/* A slot that waits until the cursors up to `stamp` have passed. */
struct conn_held {
	uint32_t index;
	uint32_t _zero;
	uint64_t stamp;
};

/* Bytes of memfd that `max` conns need. */
size_t conn_slab_bytes(uint32_t max);

/* Maps the descriptor, which the caller may close afterwards; it must hold zeros. Private tables
 * are allocated (16 bytes a slot, untouched pages until they are used). `incarnation`
 * counts this worker's lives and decides where generations begin. They are given
 * out one after the other to whatever slot, so that one comes back to its slot
 * only after 2^32 conns; lives begin far apart. 0 or -errno. */
int conn_slab_init(struct conn_slab *s, int memfd, uint32_t max, uint32_t incarnation);
void conn_slab_fini(struct conn_slab *s);

/* A zeroed conn with a fresh generation, state FREE still (the caller sets it);
 * NULL when full. */
struct conn *conn_slab_alloc(struct conn_slab *s);
/* Wipes the conn (keys included) and holds the slot until the stamp has passed. Stamps never
 * go back. */
void conn_slab_free(struct conn_slab *s, struct conn *c, uint64_t stamp);
/* Slots whose stamp is below `oldest` may be used again. Where many at the top are free,
 * their pages go back to the system. */
void conn_slab_release(struct conn_slab *s, uint64_t oldest);

/* How many conns could be allocated now; held slots are not free. */
static inline uint32_t conn_slab_room(const struct conn_slab *s)
{
	return s->max - s->live - s->_held_n;
}

static inline uint32_t conn_index(const struct conn_slab *s, const struct conn *c)
{
	return (uint32_t)(c - s->conns);
}
static inline struct conn *conn_at(const struct conn_slab *s, uint32_t index)
{
	assert(index < s->max);
	return &s->conns[index];
}
/* The live conn with that index and generation, or NULL. */
static inline struct conn *conn_deref(const struct conn_slab *s, uint32_t index, uint32_t gen)
{
	if (index >= s->high || s->conns[index].gen != gen || s->conns[index].state == CONN_FREE ||
	    s->conns[index].state == CONN_HELD)
		return NULL;
	return &s->conns[index];
}

#endif
