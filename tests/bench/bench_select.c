/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_select - what it costs to find out whom any(A,B) except(C) means, before anything is delivered.
 *
 *   A and B have 160,000 members each, C has 80,000: 400,000 in all, of one worker's 2^20 indexes.
 *   dense    they came one after the other: runs of indexes
 *   rested   the same, after the hub has made its sets small (run containers)
 *   random   they lie anywhere: bitset containers, no two alike
 *   spread   random, with a fifth of each deflated: two sets for each channel
 *
 * Each is evaluated for recipients, as a publication has it (two names: two parts and a filter), and for a
 * count. A delivery (seal and write) is taken as 2 µs, to tell the share of it that this is. Then the
 * same by hand: for each index of the slab three look-ups, as who asks each connection does. All are the best of
 * fifty rounds, with warm caches. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "hub/hub.h"
#include "hub/members.h"

/* Names are looked up here. */
#define hub_channel set_of
#define hub_group   set_of
static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name);
#include "hub/select.c"

#define INDEXES     (1u << 20)
#define ROUNDS      50u
#define DELIVERY_NS 2000.0

enum { A, B, C, SETS };
static const uint32_t size[SETS] = {160000, 160000, 80000};
static struct members sets[SETS];

static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name)
{
	return &sets[name.p[0] - 'a'];
}

static uint32_t place[INDEXES];

static void shuffle(void)
{
	for (uint32_t i = 0; i < INDEXES; i++)
		place[i] = i;
	for (uint32_t i = INDEXES - 1; i > 0; i--) {
		uint32_t k = (uint32_t)rand() % (i + 1), was = place[i];
		place[i] = place[k];
		place[k] = was;
	}
}

/* The sets overlap by a quarter of the smaller one. */
static void fill(bool random, unsigned deflated)
{
	uint32_t at = 0;
	for (unsigned k = 0; k < SETS; k++) {
		members_fini(&sets[k]);
		for (uint32_t i = 0; i < size[k]; i++) {
			uint32_t index = random ? place[at + i] : at + i;
			uint8_t e = ENC_CHANNEL;
			e |= deflated && i % deflated == 0 ? ENC_DEFLATED : 0;
			if (!members_put(&sets[k], index, e))
				abort();
		}
		at += size[k] - size[C] / 4;
	}
}

static uint64_t chosen;

static void choose(void *ctx, const struct publication *q, const struct fanout_part *parts,
		   unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (ctx != NULL) /* counted once, outside of what is measured */
			chosen += parts[i].n ? parts[i].n :
					       roaring_bitmap_get_cardinality(parts[i].set);
		if (parts[i].n == 0)
			roaring_bitmap_free(parts[i].set);
	}
}

static double best_us(struct bytes packed, bool count)
{
	uint64_t best = UINT64_MAX;
	struct publication p = {.kind = PUB_MESSAGE, .to = packed};
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t t = clock_mono_ns();
		if (count)
			chosen += select_count(NULL, 0, packed);
		else
			select_recipients(NULL, &p, CONN_NONE, choose, NULL);
		best = MIN(best, clock_mono_ns() - t);
	}
	return (double)best / 1000;
}

/* The best of as many rounds: a first one, with cold caches, would flatter us. */
static double naive_us(void)
{
	uint64_t best = UINT64_MAX;
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t t = clock_mono_ns(), n = 0;
		for (uint32_t i = 0; i < INDEXES; i++)
			n += (members_has(&sets[A], i) || members_has(&sets[B], i)) &&
			     !members_has(&sets[C], i);
		chosen += n;
		best = MIN(best, clock_mono_ns() - t);
	}
	return (double)best / 1000;
}

static void measure(const char *name, struct bytes packed)
{
	struct publication p = {.kind = PUB_MESSAGE, .to = packed};
	chosen = 0;
	select_recipients(NULL, &p, CONN_NONE, choose, &chosen);
	uint64_t recipients = chosen, members = size[A] + size[B] + size[C];
	double us = best_us(packed, false), count = best_us(packed, true), naive = naive_us();
	printf("  %-7s %8.1f µs   %6.3f ns a member   %7llu recipients: %.3f %% of their "
	       "deliveries   count %8.1f µs   asking each %8.0f µs\n",
	       name, us, us * 1000 / (double)members, (unsigned long long)recipients,
	       us * 1000 / ((double)recipients * DELIVERY_NS) * 100, count, naive);
}

int main(void)
{
	static const char expression[] = "any(a,b) except(c)";
	struct expression x;
	struct expression_error e;
	uint8_t packed[EXPRESSION_MAX];
	if (!expression_from_text(bytes_str(expression), &x, &e))
		return 1;
	struct bytes to = expression_pack(&x, packed);
	srand(1);
	shuffle();
	printf("%s, 400,000 members in all\n", expression);
	fill(false, 0);
	measure("dense", to);
	for (unsigned k = 0; k < SETS; k++)
		while (members_rest(&sets[k]) || members_rest(&sets[k]))
			;
	measure("rested", to);
	fill(true, 0);
	measure("random", to);
	fill(true, 5);
	measure("spread", to);
	for (unsigned k = 0; k < SETS; k++)
		members_fini(&sets[k]);
	return chosen == 1; /* so that nothing is taken away */
}
