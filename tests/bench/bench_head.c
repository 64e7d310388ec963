/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_head - what a request head costs: whole, dripping, and the answer to an upgrade.
 *
 * The baseline is the least that any parser must do: look at each byte once, in C,
 * a table lookup per byte and a count of lines. */
#include <stdio.h>

#include "base/clock.h"
#include "http/chars.h"
#include "http/head.h"
#include "ws/upgrade.h"

static const char small[] = "GET /health HTTP/1.1\r\nHost: localhost:8443\r\n"
			    "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

static const char browser[] =
	"GET /ws?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1MSJ9.7kq0sG1d7wGhpD2p4WvGqGgGq0sG1d7w HTTP/1.1\r\n"
	"Host: edge.example.com:8443\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
	"Cache-Control: no-cache\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/124.0.0.0 Safari/537.36\r\n"
	"Upgrade: websocket\r\nOrigin: https://edge.example.com:8443\r\nSec-WebSocket-Version: 13\r\n"
	"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

static const struct http_limits limits = {
	.line_bytes = 8192, .header_bytes = 8192, .head_bytes = 16384, .headers = HTTP_HEADERS_MAX};
static volatile uint64_t sink;

static void whole(struct bytes in)
{
	struct http_head h;
	http_head_init(&h);
	sink += http_head_parse(&h, in, &limits) + h.headers_n;
}

static void dripping(struct bytes in)
{
	struct http_head h;
	http_head_init(&h);
	for (size_t n = 1; n <= in.n; n++)
		sink += http_head_parse(&h, BYTES(in.p, n), &limits);
}

static void every_byte_once(struct bytes in)
{
	uint32_t lines = 0;
	for (size_t i = 0; i < in.n; i++)
		lines += !char_is(in.p[i], CHAR_VALUE);
	sink += lines;
}

static void upgrade(struct bytes in)
{
	struct http_head h;
	struct ws_upgrade u;
	char answer[WS_UPGRADE_ANSWER_BYTES];
	http_head_init(&h);
	sink += http_head_parse(&h, in, &limits) + ws_upgrade_check(&u, &h);
	sink += ws_upgrade_answer(answer, sizeof(answer), &u, NULL, NULL, 784111777000u);
}

static double measure(void (*f)(struct bytes), struct bytes in, unsigned rounds)
{
	double best = 1e18;
	for (int pass = 0; pass < 15; pass++) {
		uint64_t t0 = clock_mono_ns();
		for (unsigned i = 0; i < rounds; i++)
			f(in);
		best = MIN(best, (double)(clock_mono_ns() - t0) / rounds);
	}
	return best;
}

static void report(const char *name, struct bytes in)
{
	double base = measure(every_byte_once, in, 100000), all = measure(whole, in, 100000);
	double drip = measure(dripping, in, 2000);
	printf("%-8s %4zu bytes: parse %6.0f ns (%.2f GB/s), each byte once %5.0f ns, ratio %.2f; "
	       "byte by byte %.0f ns\n",
	       name, in.n, all, (double)in.n / all, base, all / base, drip);
}

int main(void)
{
	report("small", BYTES(small, sizeof(small) - 1));
	report("browser", BYTES(browser, sizeof(browser) - 1));
	printf("browser, parse + check + 101 answer: %.0f ns\n",
	       measure(upgrade, BYTES(browser, sizeof(browser) - 1), 50000));
	return 0;
}
