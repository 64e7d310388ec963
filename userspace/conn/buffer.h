/* SPDX-License-Identifier: BSD-2-Clause */
/* buffer.h - a growing run of bytes in a pool buffer, named by a handle.
 *
 * c->tail, c->record and c->message are such handles: 0 is the empty one. The first
 * eight bytes of the pool buffer say where the bytes begin and how many there are. */
#ifndef SLUICE_CONN_BUFFER_H
#define SLUICE_CONN_BUFFER_H

#include "base/bytes.h"
#include "base/pool.h"

/* Appends; *handle may be 0 and may change. `bound` is the most it may hold (POOL_SIZE_MAX is one
 * in any case). False: the bound or the pool's memory is reached, nothing was appended. */
bool buffer_append(struct pool *p, uint32_t *handle, struct bytes b, size_t bound);
/* What it holds; writable. Good until the next call for this handle. */
struct bytes buffer_bytes(const struct pool *p, uint32_t handle);
size_t buffer_size(const struct pool *p, uint32_t handle);
/* Drops n bytes from the front; the buffer goes back to the pool when it is empty. */
void buffer_consume(struct pool *p, uint32_t *handle, size_t n);
/* Drops what is behind the first n bytes; likewise. */
void buffer_truncate(struct pool *p, uint32_t *handle, size_t n);
void buffer_free(struct pool *p, uint32_t *handle);

#endif
