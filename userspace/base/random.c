/* SPDX-License-Identifier: BSD-2-Clause */
/* random.c - one getrandom(2) for many small draws. */
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define STOCK 512

static _Thread_local uint8_t stock[STOCK];
static _Thread_local size_t left; /* bytes at the end of stock not handed out yet */

static void from_kernel(uint8_t *out, size_t n)
{
	while (n) {
		ssize_t got = getrandom(out, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		assert(got > 0);
		out += got;
		n -= (size_t)got;
	}
}

void random_bytes(void *out, size_t n)
{
	if (n > STOCK / 4) {
		from_kernel(out, n);
		return;
	}
	if (n > left) {
		from_kernel(stock, STOCK);
		left = STOCK;
	}
	memcpy(out, stock + STOCK - left, n);
	explicit_bzero(stock + STOCK - left, n);
	left -= n;
}

void random_reseed(void)
{
	explicit_bzero(stock, sizeof(stock));
	left = 0;
}

uint32_t random_u32(void)
{
	uint32_t v;
	random_bytes(&v, sizeof(v));
	return v;
}

uint64_t random_u64(void)
{
	uint64_t v;
	random_bytes(&v, sizeof(v));
	return v;
}

/* Lemire 2018: the high half of a product is the choice; the low half tells the few draws that
 * would make some choices likelier, and those are drawn again. */
uint32_t random_below(uint32_t n)
{
	assert(n > 0);
	uint64_t m = (uint64_t)random_u32() * n;
	if ((uint32_t)m < n) {
		uint32_t unfair = -n % n;
		while ((uint32_t)m < unfair)
			m = (uint64_t)random_u32() * n;
	}
	return (uint32_t)(m >> 32);
}

void random_uuid(uint8_t uuid[16])
{
	random_bytes(uuid, 16);
	uuid[6] = (uuid[6] & 0x0f) | 0x40; /* version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80; /* the variant of RFC 9562 */
}

void random_uuid_print(const uint8_t uuid[16], char out[RANDOM_UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = out;

	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = '\0';
}

void random_uuid_text(char out[RANDOM_UUID_LEN + 1])
{
	uint8_t uuid[16];
	random_uuid(uuid);
	random_uuid_print(uuid, out);
}
