/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_hub - from a publication to the write of each subscriber, without TLS and socket.
 *
 *   one    a publication at a time to 100,000 subscribers of one channel: the set is copied,
 *          walked, chained into the batch and flushed, one write each
 *   burst  sixteen at a time: they are walked together, sixteen frames in one write
 *   naive  an array of pointers to conns, as a plain implementation has it: one write per
 *          message and subscriber; the excluded sender and the encoding are a branch each
 *
 * The write is a stub that touches what sealing would (line 0 of the conn). What a write of
 * its own costs beyond that (record, system call: about 3 µs) is left out, and that is what a
 * burst saves most of. Then: what a subscription costs in memory and in time. */
#include <malloc.h>
#include <stdio.h>

#define WORLD_SLAB 131072
#include "../unit/hub/world.h"

#define MEMBERS 100000u
#define ROUNDS  40u
#define BURST   16u

static struct conn *conn[MEMBERS]; /* in random order, with holes in the slab between them */

/* What sealing touches; the stub of world.h is told to write nothing down. */
static uint64_t touch_sum;

static struct conn *open_conn(struct worker *w)
{
	struct conn *c = conn_slab_alloc(&w->slab);
	if (c == NULL)
		abort();
	c->state = CONN_OPEN;
	c->batch_first = c->batch_last = CONN_NONE;
	return c;
}

static void crowd(struct worker *w)
{
	static struct conn *all[WORLD_SLAB];
	unsigned n = 0;
	while (n < WORLD_SLAB - 1)
		all[n++] = open_conn(w);
	srand(1);
	for (unsigned i = n - 1; i > 0; i--) {
		unsigned k = (unsigned)rand() % (i + 1);
		struct conn *c = all[i];
		all[i] = all[k];
		all[k] = c;
	}
	memcpy(conn, all, sizeof(conn));
}

static void subscribe(struct worker *w, struct conn *c, const char *name)
{
	struct hub_subscribe_args a = {
		.channel = bytes_str(name), .encoding = ENC_CHANNEL, .flags = HUB_SUB_QUIET};
	if (hub_subscribe(w, c, &a) != HUB_OK)
		abort();
}

static void publish(struct worker *w, const char *name)
{
	static const char data[] = "\"012345678901234567890123456789012345678901234567890123456789"
				   "0123456789012345678901234567890123456789\"";
	struct publication p = {
		.kind = PUB_MESSAGE,
		.flags = PUB_F_NO_ECHO,
		.channel = bytes_str(name),
		.from = BYTES_LIT("u1"),
		.data = bytes_str(data),
		.sender = {.index = conn_index(&w->slab, conn[0]), .gen = conn[0]->gen},
	};
	if (hub_publish(w, &p) != HUB_OK)
		abort();
}

static double per_delivery(struct worker *w, unsigned burst)
{
	uint64_t best = UINT64_MAX;
	for (unsigned r = 0; r < ROUNDS / burst + 3; r++) {
		uint64_t t = clock_mono_ns();
		for (unsigned i = 0; i < burst; i++)
			publish(w, "lobby");
		fanout_run(w, UINT64_MAX);
		batch_flush(w);
		best = MIN(best, clock_mono_ns() - t);
	}
	return (double)best / burst / (MEMBERS - 1);
}

/* ── naive ── */

struct naive_sub {
	struct conn *c;
	uint8_t encoding;
};

static void naive_send(struct conn *c, const struct iovec *v)
{
	c->tx_key.seq += v->iov_len;
	touch_sum += c->tx_key.seq;
}

static double naive_per_delivery(struct naive_sub *subs, struct frame_ref *const *frames)
{
	uint64_t best = UINT64_MAX;
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t t = clock_mono_ns();
		for (unsigned i = 0; i < MEMBERS; i++) {
			struct conn *c = subs[i].c;
			if (c == conn[0] || c->state != CONN_OPEN)
				continue;
			struct frame_ref *f = frames[subs[i].encoding];
			struct iovec v = {.iov_base = f->bytes, .iov_len = f->n};
			naive_send(c, &v);
		}
		best = MIN(best, clock_mono_ns() - t);
	}
	return (double)best / (MEMBERS - 1);
}

/* ── memory ── */

static size_t heap_now(void)
{
	struct mallinfo2 m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

/* `per` subscribers in each channel; prints bytes and ns per subscription. */
static void cost(struct worker *w, unsigned per)
{
	char name[32];
	size_t before = heap_now();
	uint64_t t = clock_mono_ns();
	for (unsigned i = 0; i < MEMBERS; i++) {
		snprintf(name, sizeof(name), "room:%u", i / per);
		subscribe(w, conn[i], name);
	}
	double ns = (double)(clock_mono_ns() - t) / MEMBERS;
	double heap = (double)(heap_now() - before) / MEMBERS;
	double sets = (double)hub_memory(w->hub) / MEMBERS;
	double home = (double)engine_memory.memory(w->engine) / MEMBERS;
	t = clock_mono_ns();
	for (unsigned i = 0; i < MEMBERS; i++)
		hub_leave_all(w, conn[i]);
	printf("  %6u a channel: %6.1f bytes (hub %.1f + home %.1f); subscribe %4.0f ns, leave "
	       "%4.0f ns\n",
	       per, heap, sets, home, ns, (double)(clock_mono_ns() - t) / MEMBERS);
}

int main(void)
{
	world_open(1);
	world.other.history = 0;
	world.mute = true;
	struct worker *w = &world.w[0];
	crowd(w);
	for (unsigned i = 0; i < MEMBERS; i++)
		subscribe(w, conn[i], "lobby");

	struct frame_ref *f = frame_ref_raw(BYTES(w, 200), BYTES(NULL, 0));
	struct frame_ref *frames[ENC_COUNT] = {f, f, f, f, f};
	struct naive_sub *subs = malloc(MEMBERS * sizeof(*subs));
	if (f == NULL || subs == NULL)
		return 1;
	for (unsigned i = 0; i < MEMBERS; i++) /* in the order in which they came */
		subs[i] = (struct naive_sub){conn[i], ENC_CHANNEL};

	double naive = naive_per_delivery(subs, frames);
	double one = per_delivery(w, 1), burst = per_delivery(w, BURST);
	printf("deliveries to %u subscribers, ns each (without TLS and socket)\n", MEMBERS);
	printf("  naive %6.1f\n  one   %6.1f   %.2f of naive\n  burst %6.1f   %.2f of naive, and "
	       "1/%u of its writes\n",
	       naive, one, one / naive, burst, burst / naive, BURST);

	for (unsigned i = 0; i < MEMBERS; i++)
		hub_leave_all(w, conn[i]);
	printf("a subscription (an array of pointers: 16 bytes and more)\n");
	cost(w, MEMBERS);
	cost(w, 1000);
	cost(w, 100);
	cost(w, 10);
	cost(w, 4);
	cost(w, 1);
	return touch_sum == 1; /* so that the loop is not taken away */
}
