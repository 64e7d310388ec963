/* SPDX-License-Identifier: BSD-2-Clause */
/* buffer.c - see buffer.h. In the pool buffer:
 *
 *   ┌ at ┬ n ┬── gone ──┬── held ──┬── room ──┐
 *   └────┴───┴──────────┴──────────┴──────────┘
 *             └── at ──►│◄── n ───►│
 *
 * What was consumed is only skipped; the bytes move to the front when room is needed
 * and moving is enough. */
#include "conn/buffer.h"

#include <assert.h>

struct head {
	uint32_t at, n;
};

static uint8_t *body(struct head *h)
{
	return (uint8_t *)(h + 1);
}

/* Room for `more` bytes behind what is held; false: the pool refuses. */
static bool make_room(struct pool *p, uint32_t *handle, size_t more, size_t bound)
{
	struct head *h = pool_ptr(p, *handle);
	size_t cap = pool_size(p, *handle) - sizeof(*h);
	if (h->at + h->n + more <= cap)
		return true;
	if (h->at > 0) {
		memmove(body(h), body(h) + h->at, h->n);
		h->at = 0;
	}
	size_t need = h->n + more;
	if (need <= cap)
		return true;
	/* Big buffers are not rounded to powers of two: grow by doubling, so that appending stays
	 * linear, but not past what the bound lets in, and if need be by no more than
	 * what is needed. */
	size_t want = MAX(need, MIN(2 * cap, bound));
	uint32_t grown = pool_grow(p, *handle, sizeof(*h) + want);
	if (grown == POOL_NONE && want > need)
		grown = pool_grow(p, *handle, sizeof(*h) + need);
	if (grown == POOL_NONE)
		return false;
	*handle = grown;
	return true;
}

bool buffer_append(struct pool *p, uint32_t *handle, struct bytes b, size_t bound)
{
	bound = MIN(bound, POOL_SIZE_MAX - sizeof(struct head));
	if (b.n == 0)
		return true;
	if (b.n > bound || buffer_size(p, *handle) > bound - b.n)
		return false;
	if (*handle == POOL_NONE) {
		uint32_t fresh = pool_borrow(p, sizeof(struct head) + b.n);
		if (fresh == POOL_NONE)
			return false;
		*(struct head *)pool_ptr(p, fresh) = (struct head){0};
		*handle = fresh;
	} else if (!make_room(p, handle, b.n, bound)) {
		return false;
	}
	struct head *h = pool_ptr(p, *handle);
	memcpy(body(h) + h->at + h->n, b.p, b.n);
	h->n += (uint32_t)b.n;
	return true;
}

struct bytes buffer_bytes(const struct pool *p, uint32_t handle)
{
	if (handle == POOL_NONE)
		return BYTES(NULL, 0);
	struct head *h = pool_ptr(p, handle);
	return BYTES(body(h) + h->at, h->n);
}

size_t buffer_size(const struct pool *p, uint32_t handle)
{
	return handle == POOL_NONE ? 0 : ((struct head *)pool_ptr(p, handle))->n;
}

void buffer_consume(struct pool *p, uint32_t *handle, size_t n)
{
	assert(n <= buffer_size(p, *handle));
	if (n == 0)
		return;
	struct head *h = pool_ptr(p, *handle);
	h->at += (uint32_t)n;
	h->n -= (uint32_t)n;
	if (h->n == 0)
		buffer_free(p, handle);
}

void buffer_truncate(struct pool *p, uint32_t *handle, size_t n)
{
	assert(n <= buffer_size(p, *handle));
	if (n == 0)
		buffer_free(p, handle);
	else
		((struct head *)pool_ptr(p, *handle))->n = (uint32_t)n;
}

void buffer_free(struct pool *p, uint32_t *handle)
{
	pool_return(p, *handle);
	*handle = POOL_NONE;
}
