/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_select.c - whom an expression means: what operators write, clients send and other workers pack.
 *
 * The first byte says which of the three forms follows. It is refused (a text with a place in it), or within
 * its bounds, the same when it is packed and read again, and evaluated over a few sets: nobody is chosen twice, and as
 * many are as are counted and paged. */
#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/name.h"
#include "fanout/publication.h"
#include "hub/hub.h"
#include "hub/members.h"

/* Names are looked up here. */
#define hub_channel set_of
#define hub_group   set_of
static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name);
#include "hub/select.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SETS    6u
#define INDEXES 1000u
#define STEP    131u /* two containers */

static struct members sets[SETS];

/* By the last byte, so that short names have somebody. */
static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name)
{
	uint8_t k = name.p[name.n - 1] % (SETS + 2);
	return k < SETS ? &sets[k] : NULL;
}

static void fill(void)
{
	static const unsigned every[SETS] = {1, 2, 3, 50, 200, 999};
	for (unsigned k = 0; k < SETS; k++)
		for (uint32_t i = k; i < INDEXES && sets[k].n < INDEXES / every[k]; i += every[k])
			assert(members_put(&sets[k], i * STEP,
					   (uint8_t)(i % 7 ? ENC_CHANNEL :
							     ENC_ROOM | ENC_DEFLATED)));
}

static roaring_bitmap_t *chosen;

static void choose(void *ctx, const struct publication *q, const struct fanout_part *parts,
		   unsigned n)
{
	assert(n > 0 && n <= ENC_SETS && q->to.n == 0);
	assert(name_valid(q->channel, CHANNEL_NAME_MAX));
	for (unsigned k = 0; k < n; k++) {
		for (unsigned i = 0; i < parts[k].n; i++)
			assert(roaring_bitmap_add_checked(chosen, parts[k].few[i]));
		if (parts[k].n > 0)
			continue;
		assert(!roaring_bitmap_is_empty(parts[k].set));
		assert(!roaring_bitmap_intersect(chosen, parts[k].set));
		roaring_bitmap_or_inplace(chosen, parts[k].set);
		roaring_bitmap_free(parts[k].set);
	}
}

static void evaluate(struct bytes packed)
{
	uint32_t page[64], from = 0, n, sum = 0;
	struct publication p = {.kind = PUB_MESSAGE, .to = packed};
	chosen = roaring_bitmap_create();
	select_recipients(NULL, &p, CONN_NONE, choose, NULL);
	uint32_t count = select_count(NULL, 0, packed);
	assert(roaring_bitmap_get_cardinality(chosen) == count);
	do {
		n = select_next(NULL, 0, packed, from, page, 64);
		for (uint32_t i = 0; i < n; i++)
			assert(page[i] >= from && roaring_bitmap_contains(chosen, page[i]));
		from = n ? page[n - 1] + 1 : from;
		sum += n;
	} while (n == 64);
	assert(sum == count);
	roaring_bitmap_free(chosen);
}

static void check(const struct expression *x)
{
	struct expression y;
	uint8_t packed[EXPRESSION_MAX], again[EXPRESSION_MAX], label[EXPRESSION_NAME_MAX];
	struct bytes b = expression_pack(x, packed);
	assert(x->n >= 1 && x->n <= EXPRESSION_NAMES && b.n <= EXPRESSION_MAX);
	uint8_t *copy = malloc(b.n); /* the sanitizer watches its end */
	assert(copy != NULL);
	memcpy(copy, b.p, b.n);
	assert(expression_unpack(BYTES(copy, b.n), &y) && y.n == x->n);
	assert(bytes_eq(expression_pack(&y, again), b));
	assert(name_valid(expression_label(expression_lead(&y), label), CHANNEL_NAME_MAX));
	evaluate(BYTES(copy, b.n));
	free(copy);
}

static void text(struct bytes in)
{
	struct expression x;
	struct expression_error e = {.at = SIZE_MAX};
	if (expression_from_text(in, &x, &e))
		check(&x);
	else
		assert(e.at <= in.n && *e.why && memchr(e.why, 0, sizeof(e.why)) != NULL);
}

static void json(struct bytes in)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH};
	struct expression x;
	struct json_value v;
	const char *field = NULL;
	if (json_check(in, &limits, &v) != JSON_OK || v.type != JSON_IS_OBJECT)
		return;
	if (!expression_from_json(v.raw, &x, &field)) {
		assert(strncmp(field, "to", 2) == 0);
		return;
	}
	for (uint32_t i = 0; i < x.n; i++)
		assert(x.item[i].kind == EXPRESSION_CHANNEL);
	check(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct expression x;
	if (size == 0)
		return 0;
	if (sets[0].n == 0)
		fill();
	uint8_t *in = malloc(size);
	assert(in != NULL);
	memcpy(in, data + 1, size - 1);
	struct bytes b = BYTES(in, size - 1);
	switch (data[0] % 3) {
	case 0: text(b); break;
	case 1: json(b); break;
	default:
		if (expression_unpack(b, &x))
			check(&x);
	}
	free(in);
	return 0;
}
