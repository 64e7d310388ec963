/* SPDX-License-Identifier: BSD-2-Clause */
/* bytes.h - a borrowed run of bytes, and the loads and stores that go with it.
 *
 * A `struct bytes` never owns: whoever hands one out says in its own contract
 * how long the bytes stay good. It may hold NUL and need not end in one. */
#ifndef SLUICE_BASE_BYTES_H
#define SLUICE_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p; /* may be NULL only if n is 0 */
	size_t n;
};

#define BYTES(ptr, len) ((struct bytes){(const uint8_t *)(ptr), (len)})
#define BYTES_LIT(s)    ((struct bytes){(const uint8_t *)("" s), sizeof(s) - 1})
/* printf("%.*s", BYTES_FMT(b)) */
#define BYTES_FMT(b)    (int)(b).n, (const char *)(b).p

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

static inline struct bytes bytes_str(const char *s)
{
	return BYTES(s, s ? strlen(s) : 0);
}

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline uint8_t byte_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Equal but for the case of ASCII letters, as HTTP compares its names. */
static inline bool bytes_ieq(struct bytes a, struct bytes b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (byte_lower(a.p[i]) != byte_lower(b.p[i]))
			return false;
	return true;
}

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

#endif
