/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_json.c - what it costs to look into a client's message: our scanner
 * against jansson, which has to build the tree to answer the same question, and
 * against jansson when `data` must be written out again as well. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"

static uint64_t sink; /* keeps the work from being optimised away */

static void ours(struct bytes in, bool utf8_known)
{
	struct json_limits lim = {.max_bytes = 1 << 20, .utf8_known = utf8_known};
	struct json_field f[] = {JSON_FIELD("type"), JSON_FIELD("id"),   JSON_FIELD("channel"),
				 JSON_FIELD("data"), JSON_FIELD("room"), JSON_FIELD("messageId")};
	enum json_result r = json_object_scan(in, &lim, f, ARRAY_SIZE(f));

	assert(r == JSON_OK);
	sink += f[3].value.raw.n;
}

static void run_ours(struct bytes in)
{
	ours(in, false);
}

static void run_ours_known(struct bytes in)
{
	ours(in, true);
}

static json_t *theirs(struct bytes in)
{
	json_t *t = json_loadb((const char *)in.p, in.n, JSON_REJECT_DUPLICATES, NULL);

	assert(t);
	sink += json_string_length(json_object_get(t, "type"));
	sink += json_string_length(json_object_get(t, "channel"));
	return t;
}

static void run_jansson(struct bytes in)
{
	json_decref(theirs(in));
}

static void run_jansson_dump(struct bytes in)
{
	json_t *t = theirs(in);
	char *data = json_dumps(json_object_get(t, "data"), JSON_COMPACT | JSON_ENCODE_ANY);

	sink += data ? (uint8_t)data[0] : 0; /* a ping has none */
	free(data);
	json_decref(t);
}

/* ns per call: the best of five rounds of about 60 ms. */
static double measure(void (*run)(struct bytes), struct bytes in)
{
	double best = 1e18;
	uint64_t rounds = 1;

	for (int i = 0; i < 5;) {
		uint64_t t0 = clock_mono_ns(), t;
		for (uint64_t k = 0; k < rounds; k++)
			run(in);
		t = clock_mono_ns() - t0;
		if (t < 60000000) {
			rounds *= 2;
			continue;
		}
		best = MIN(best, (double)t / (double)rounds);
		i++;
	}
	return best;
}

static void bench(const char *what, struct bytes in)
{
	static const struct {
		const char *name;
		void (*run)(struct bytes);
	} ways[] = {{"json_object_scan", run_ours},
		    {"the same, UTF-8 known", run_ours_known},
		    {"jansson, load and look", run_jansson},
		    {"jansson, and dump data", run_jansson_dump}};
	double base = 0;

	printf("%s, %zu bytes\n", what, in.n);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		double ns = measure(ways[i].run, in);
		if (i == 0)
			base = ns;
		printf("  %-24s %10.1f ns %8.2f GB/s %7.2fx\n", ways[i].name, ns, (double)in.n / ns,
		       ns / base);
	}
}

static struct bytes message(const char *data)
{
	static char buf[64 << 10];
	int n = snprintf(buf, sizeof(buf),
			 "{\"type\":\"publish\",\"id\":12,\"channel\":\"news:sport\",\"data\":%s}",
			 data);

	assert(n > 0 && (size_t)n < sizeof(buf));
	return BYTES(buf, (size_t)n);
}

int main(void)
{
	static char data[60 << 10];
	char *p;

	bench("ping", BYTES_LIT("{\"type\":\"ping\"}"));
	bench("short publish", message("{\"text\":\"hello, world\",\"n\":1}"));

	p = stpcpy(data, "{\"text\":\"");
	for (int i = 0; i < 20; i++)
		p = stpcpy(p, "The quick brown fox jumps over the lazy dog, twice. ");
	stpcpy(p, "\"}");
	bench("publish of English", message(data));

	p = stpcpy(data, "{\"text\":\"");
	for (int i = 0; i < 60; i++)
		p = stpcpy(p, "\u3044\u308d\u306f\u306b\u307b\u3078\u3068");
	stpcpy(p, "\"}");
	bench("publish of Japanese", message(data));

	p = stpcpy(data, "[");
	for (int i = 0; i < 400; i++)
		p += sprintf(p, "%s{\"x\":%d.%d,\"y\":-%d,\"on\":%s}", i ? "," : "", i * 7 % 100, i,
			     i, i & 1 ? "true" : "false");
	stpcpy(p, "]");
	bench("publish of small numbers", message(data));
	return sink == 42;
}
