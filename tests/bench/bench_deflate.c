/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_deflate - what compressing a publication once costs, beside once per receiver; what other windows
 * would give; and what unpacking a client's message costs. JSON rows: ids, names, prices. */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/clock.h"
#include "ws/deflate.h"

static char text[80 << 10];

/* Rows that are alike in shape and not in content. */
static struct bytes json(size_t n)
{
	static const char *const words[] = {"alpha", "bravo", "charlie",
					    "delta", "echo",  "foxtrot"};
	uint64_t seed = 88172645463325252u;
	size_t k = (size_t)sprintf(text, "{\"type\":\"message\",\"channel\":\"prices\",\"data\":[");
	while (k < n) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		k += (size_t)sprintf(text + k,
				     "{\"id\":\"%016llx\",\"name\":\"%s %s\",\"price\":%u.%02u},",
				     (unsigned long long)seed, words[seed % 6], words[seed / 7 % 6],
				     (unsigned)(seed >> 20) % 1000, (unsigned)(seed >> 40) % 100);
	}
	return BYTES(text, n);
}

/* The best of several passes, in ns a round. */
#define NS(rounds, body)                                                                           \
	({                                                                                         \
		double best_ = 1e12;                                                               \
		for (int pass_ = 0; pass_ < 9; pass_++) {                                          \
			uint64_t t0_ = clock_mono_ns();                                            \
			for (int r_ = 0; r_ < (rounds); r_++) {                                    \
				body;                                                              \
			}                                                                          \
			best_ = MIN(best_, (double)(clock_mono_ns() - t0_) / (rounds));            \
		}                                                                                  \
		best_;                                                                             \
	})

static void once_or_each(struct ws_deflate *d, size_t n)
{
	struct bytes t = json(n), packed = {0};
	double us = NS(100, packed = ws_deflate(d, t)) / 1e3;
	if (packed.p == NULL)
		abort();
	printf("%5zu bytes become %4zu: %6.1f us; each for 1,000 receivers %7.1f ms, for 100,000 %6.0f ms\n",
	       n, packed.n, us, us, us * 100);
}

static void windows(size_t n)
{
	static uint8_t out[80 << 10];
	struct bytes t = json(n);
	printf("%5zu bytes by window:", n);
	for (int bits = 9; bits <= 15; bits += 3) {
		z_stream z = {0};
		if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -bits, 8,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			abort();
		double us = NS(50, ({
				       deflateReset(&z);
				       z.next_in = (Bytef *)t.p;
				       z.avail_in = (uInt)t.n;
				       z.next_out = out;
				       z.avail_out = sizeof(out);
				       deflate(&z, Z_SYNC_FLUSH);
			       })) /
			    1e3;
		printf("  %2d bits %5lu in %6.1f us", bits, z.total_out, us);
		deflateEnd(&z);
	}
	putchar('\n');
}

static void unpacked(struct ws_deflate *d, size_t n)
{
	struct bytes packed = ws_deflate(d, json(n));
	uint8_t *p;
	size_t got = 0;
	double us = NS(100, ws_inflate(d, packed, 1 << 20, &p, &got)) / 1e3;
	if (got != n)
		abort();
	printf("%5zu bytes unpacked in %5.1f us\n", n, us);
}

int main(void)
{
	static const size_t sizes[] = {1 << 10, 4 << 10, 16 << 10, 64 << 10};
	struct ws_deflate *d = ws_deflate_new();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		once_or_each(d, sizes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		windows(sizes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		unpacked(d, sizes[i]);
	ws_deflate_free(d);
	return 0;
}
