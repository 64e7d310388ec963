/* SPDX-License-Identifier: BSD-2-Clause */
/* random.h - random bytes good enough for keys, without a system call for each.
 *
 * getrandom(2) fills a small buffer; what has been handed out is wiped from it. The buffer
 * belongs to the thread, and a forked child must not hand out its parent's bytes a second time:
 * a process calls random_reseed() first thing after fork(). The kernel never fails here once
 * it is seeded; if it does, the process dies rather than go on with guessable keys. */
#ifndef SLUICE_BASE_RANDOM_H
#define SLUICE_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#define RANDOM_UUID_LEN 36

void random_bytes(void *out, size_t n);
uint32_t random_u32(void);
uint64_t random_u64(void);

/* Fair in 0 .. n-1; n > 0. */
uint32_t random_below(uint32_t n);

/* A UUID of version 4 (RFC 9562 section 5.4), as bytes; any UUID as text, 36 characters of lower
 * case and a NUL; and both in one. */
void random_uuid(uint8_t uuid[16]);
void random_uuid_print(const uint8_t uuid[16], char out[RANDOM_UUID_LEN + 1]);
void random_uuid_text(char out[RANDOM_UUID_LEN + 1]);

/* Forget what is buffered. */
void random_reseed(void);

#endif
