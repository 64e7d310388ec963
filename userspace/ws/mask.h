/* SPDX-License-Identifier: BSD-2-Clause */
/* mask.h - the mask of RFC 6455 5.3, put on or taken off in place. */
#ifndef SLUICE_WS_MASK_H
#define SLUICE_WS_MASK_H

#include <stddef.h>
#include <stdint.h>

/* Masks p[0..n), any alignment. `key` is the four bytes as they lie in memory
 * (memcpy from the frame header). Returns the key turned so that it fits byte n:
 * feed it to the next run of the same frame. */
uint32_t ws_mask(uint8_t *p, size_t n, uint32_t key);

#endif
