/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_frame - masks and UTF-8 against the byte loops of the RFC and of textbooks,
 * and what one small frame costs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ws/frame.h"
#include "ws/mask.h"
#include "ws/utf8.h"

static volatile uint64_t sink;

/* RFC 6455 5.3 to the letter; not vectorised, or it would be no baseline. */
__attribute__((noinline)) static void mask_bytes(uint8_t *p, size_t n, const uint8_t *key)
{
#pragma clang loop vectorize(disable) unroll(disable)
	for (size_t i = 0; i < n; i++)
		p[i] ^= key[i % 4];
}

/* A table-driven automaton, one byte a step. */
static uint8_t next_state[9][256];

static void build_automaton(void)
{
	static const uint8_t lows[] = {0, 0x80, 0x80, 0x80, 0xa0, 0x80, 0x90, 0x80};
	static const uint8_t highs[] = {0, 0xbf, 0xbf, 0xbf, 0xbf, 0x9f, 0xbf, 0x8f};
	static const uint8_t then[] = {0, 0, 1, 2, 1, 1, 2, 2};
	memset(next_state, 8, sizeof(next_state));
	for (unsigned c = 0; c < 256; c++) {
		next_state[0][c] = c < 0x80  ? 0 :
				   c < 0xc2  ? 8 :
				   c < 0xe0  ? 1 :
				   c == 0xe0 ? 4 :
				   c == 0xed ? 5 :
				   c < 0xf0  ? 2 :
				   c == 0xf0 ? 6 :
				   c < 0xf4  ? 3 :
				   c == 0xf4 ? 7 :
					       8;
		for (unsigned s = 1; s < 8; s++)
			if (c >= lows[s] && c <= highs[s])
				next_state[s][c] = then[s];
	}
}

__attribute__((noinline)) static bool utf8_bytes(const uint8_t *p, size_t n)
{
	uint8_t s = 0;
	for (size_t i = 0; i < n; i++)
		s = next_state[s][p[i]];
	return s == 0;
}

#define GBPS(bytes, body)                                                                          \
	({                                                                                         \
		double best_ = 0;                                                                  \
		for (int pass_ = 0; pass_ < 15; pass_++) {                                         \
			size_t rounds_ = 1 + (16u << 20) / ((bytes) + 16);                         \
			uint64_t t0_ = clock_mono_ns();                                            \
			for (size_t r_ = 0; r_ < rounds_; r_++) {                                  \
				body;                                                              \
			}                                                                          \
			double ns_ = (double)(clock_mono_ns() - t0_);                              \
			best_ = MAX(best_, (double)(bytes) * (double)rounds_ / ns_);               \
		}                                                                                  \
		best_;                                                                             \
	})

static void bench_mask(uint8_t *buf)
{
	static const size_t sizes[] = {16, 64, 125, 1000, 16384, 1 << 20};
	uint8_t key[4] = {1, 2, 3, 4};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];
		double ours = GBPS(n, ws_mask(buf + 6, n, 0x04030201));
		double base = GBPS(n, mask_bytes(buf + 6, n, key));
		printf("mask %7zu bytes: %6.2f GB/s, byte loop %5.2f GB/s, ratio %.1f\n", n, ours,
		       base, ours / base);
	}
}

static void fill(uint8_t *buf, size_t n, const char *unit)
{
	size_t k = strlen(unit);
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i < n - n % k ? unit[i % k] : ' ');
}

static void bench_utf8(uint8_t *buf)
{
	static const struct {
		const char *name, *unit;
	} scripts[] = {
		{"ascii", "{\"type\":\"message\",\"channel\":\"lobby\"} "},
		{"latin", "Z\xc3\xbcrich, \xc3\x84rger und Gr\xc3\xbc\xc3\x9f"
			  "e "},
		{"cyrillic", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 "},
		{"chinese", "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c"},
		{"emoji", "\xf0\x9f\x98\x80\xf0\x9f\x8e\x89"},
	};
	static const size_t sizes[] = {60, 200, 16384};
	for (size_t s = 0; s < ARRAY_SIZE(scripts); s++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			size_t n = sizes[i];
			fill(buf, n, scripts[s].unit);
			if (!utf8_bytes(buf, n) || !utf8_valid(BYTES(buf, n)))
				abort();
			double ours = GBPS(n, sink += utf8_valid(BYTES(buf, n)));
			double base = GBPS(n, sink += utf8_bytes(buf, n));
			printf("utf8 %-8s %6zu bytes: %6.2f GB/s, automaton %5.2f GB/s, ratio %.1f\n",
			       scripts[s].name, n, ours, base, ours / base);
		}
	}
}

static void bench_small(uint8_t *buf)
{
	static const size_t sizes[] = {0, 20, 60, 125, 200};
	static const struct ws_limits limits = {.message_bytes = 102400, .fragments = 1000};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint8_t payload[256], wire[300], mask[4] = {0x37, 0xfa, 0x21, 0x3d};
		fill(payload, sizes[i], "{\"type\":\"ping\"} ");
		size_t n = ws_frame_write(wire, sizeof(wire), WS_TEXT | WS_FIN,
					  BYTES(payload, sizes[i]), mask);
		struct ws_rx rx;
		struct ws_frame f;
		double in = 1e9, copy = 1e9, out = 1e9;
		ws_frame_init(&rx, WS_RX_SERVER);
		for (int pass = 0; pass < 15; pass++) {
			uint64_t t0 = clock_mono_ns();
			for (int r = 0; r < 300000; r++)
				memcpy(buf, wire, n), sink += buf[n - 1];
			uint64_t t1 = clock_mono_ns();
			for (int r = 0; r < 300000; r++) {
				memcpy(buf, wire, n); /* decoding unmasks it */
				if (ws_frame_next(&rx, &limits, buf, n, &f) != WS_FRAME)
					abort();
			}
			uint64_t t2 = clock_mono_ns();
			for (int r = 0; r < 300000; r++)
				sink += ws_frame_head(buf, WS_TEXT | WS_FIN, sizes[i], NULL);
			uint64_t t3 = clock_mono_ns();
			copy = MIN(copy, (double)(t1 - t0) / 3e5);
			in = MIN(in, (double)(t2 - t1) / 3e5);
			out = MIN(out, (double)(t3 - t2) / 3e5);
		}
		printf("text frame of %3zu bytes: decoded, unmasked, checked in %4.1f ns (with a copy of "
		       "it: %.1f ns alone); header written in %.1f ns\n",
		       sizes[i], in, copy, out);
	}
}

int main(void)
{
	uint8_t *buf = aligned_alloc(64, 2u << 20);
	if (!buf)
		return 1;
	memset(buf, 'x', 2u << 20);
	build_automaton();
	bench_mask(buf);
	bench_utf8(buf);
	bench_small(buf);
	free(buf);
	return 0;
}
