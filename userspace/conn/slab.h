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
	struct conn *conns;  /* the mapping; owned by the slab */
	uint32_t max;        /* slots in the mapping */
	uint32_t high;       /* slots ever used: all at and above are untouched pages */
	uint32_t live;       /* conns neither FREE nor HELD */
	uint32_t _first_gen; /* generations start here after a worker's restart */
	uint32_t _held_n, _held_head, _held_cap;
	uint64_t *_free_map;    /* one bit per slot, a summary level above it */
	uint64_t *_free_sum;
	struct { uint32_t index; uint64_t stamp; } *_held; /* ring, oldest first */
};

/* Bytes of memfd that `max` conns need. */
size_t conn_slab_bytes(uint32_t max);

/* Maps fd (private tables are allocated). `incarnation` counts this worker's lives:
 * generations of a new life never equal those of an older one. 0 or -errno. */
int conn_slab_init(struct conn_slab *s, int memfd, uint32_t max, uint32_t incarnation);
void conn_slab_fini(struct conn_slab *s);

/* A zeroed conn with a fresh generation, state FREE still (the caller sets it);
 * NULL when full. */
struct conn *conn_slab_alloc(struct conn_slab *s);
/* Wipes the conn (keys included) and holds the slot until the stamp has passed. */
void conn_slab_free(struct conn_slab *s, struct conn *c, uint64_t stamp);
/* Slots whose stamp is below `oldest` may be used again. */
void conn_slab_release(struct conn_slab *s, uint64_t oldest);

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
