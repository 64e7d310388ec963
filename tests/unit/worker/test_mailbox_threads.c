/* SPDX-License-Identifier: BSD-2-Clause */
/* Four members, each a thread, all to all: every message once, whole and in order, through rings
 * that are too small, queues that refuse, an arena that runs out, and naps.
 *
 * Built with SAN=thread this is the proof that nobody touches what another may be writing. */
#include "test.h"

#include "mailbox_world.h"

#include "base/clock.h"
#include "base/hash.h"

#include <poll.h>
#include <pthread.h>

#define MEMBERS 4

/* What every message begins with; the rest is bytes made from `seed`. */
struct letter {
	uint32_t from;
	uint32_t fill; /* bytes behind this */
	uint64_t seed;
	uint64_t number[MEMBERS]; /* per receiver: which one it is, from 1 */
};

struct member {
	struct world *w;
	uint32_t self;
	uint64_t goal; /* messages to each peer */
	uint64_t sent[MEMBERS], heard[MEMBERS];
	uint64_t random;
	uint32_t large; /* one of so many is a block */
	uint64_t refused, naps;
	const char *fault;
	uint8_t filling[300000];
};

static uint64_t next_random(struct member *m)
{
	return hash_mix(m->random++);
}

static void make_bytes(uint8_t *to, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i += 8) {
		uint64_t v = hash_mix(seed + i);
		memcpy(to + i, &v, n - i < 8 ? n - i : 8);
	}
}

static bool right_bytes(const uint8_t *p, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i += 8) {
		uint64_t v = hash_mix(seed + i);
		if (memcmp(p + i, &v, n - i < 8 ? n - i : 8) != 0)
			return false;
	}
	return true;
}

static void hear(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	struct member *m = ctx;
	struct letter l;

	if (data.n < sizeof(l)) {
		m->fault = "a message is too short";
		return;
	}
	memcpy(&l, data.p, sizeof(l));
	if (l.from != from || data.n != sizeof(l) + l.fill || type != 1 + l.fill % 1000 ||
	    flags != (l.seed & MAILBOX_FLAGS_MASK))
		m->fault = "a message is not what was sent";
	else if (l.number[m->self] != m->heard[from] + 1)
		m->fault = "a message is lost, doubled or out of order";
	else if (!right_bytes(data.p + sizeof(l), l.fill, l.seed))
		m->fault = "a message is damaged";
	m->heard[from]++;
}

static uint32_t pick_fill(struct member *m)
{
	uint64_t r = next_random(m);

	if (r % m->large == 0)
		return (uint32_t)(4096 + (r >> 32) % (sizeof(m->filling) - 4096));
	if (r % 16 == 0)
		return (uint32_t)((r >> 32) % 4200); /* around the limit of what the ring takes */
	return (uint32_t)((r >> 32) % 160);
}

/* Sends one message, to one peer or to several. False when refused. */
static bool say(struct member *m)
{
	struct mailbox_set to = {{0}};
	struct letter l = {.from = m->self, .fill = pick_fill(m), .seed = next_random(m)};
	enum mailbox_class class = next_random(m) % 4 ? MAILBOX_MUST : MAILBOX_MAY_REFUSE;
	uint32_t n = 0;

	for (uint32_t k = 0; k < MEMBERS; k++) {
		if (k == m->self || m->sent[k] == m->goal || (n && next_random(m) % 3))
			continue;
		mailbox_set_add(&to, k);
		l.number[k] = m->sent[k] + 1;
		n++;
	}
	make_bytes(m->filling, l.fill, l.seed);
	struct bytes parts[] = {BYTES(&l, sizeof(l)), BYTES(m->filling, l.fill)};
	enum mailbox_result r = mailbox_send_many(m->w->mb[m->self], &to,
						  (uint16_t)(1 + l.fill % 1000),
						  l.seed & MAILBOX_FLAGS_MASK, parts, 2, class);
	if (r == MAILBOX_OVERLOADED && class == MAILBOX_MAY_REFUSE) {
		m->refused++;
		return false;
	}
	if (r != MAILBOX_OK)
		m->fault = "a message was refused that must not be";
	for (uint32_t k = 0; k < MEMBERS; k++)
		m->sent[k] += mailbox_set_has(&to, k);
	return true;
}

static bool all_said(const struct member *m)
{
	for (uint32_t k = 0; k < MEMBERS; k++)
		if (k != m->self && (m->sent[k] < m->goal || mailbox_queued(m->w->mb[m->self], k)))
			return false;
	return true;
}

static bool all_heard(const struct member *m)
{
	for (uint32_t k = 0; k < MEMBERS; k++)
		if (k != m->self && m->heard[k] < m->goal)
			return false;
	return true;
}

static bool may_say(const struct member *m)
{
	bool left = false;

	for (uint32_t k = 0; k < MEMBERS; k++)
		left |= k != m->self && m->sent[k] < m->goal;
	return left && !mailbox_congested(m->w->mb[m->self]);
}

static void *live(void *arg)
{
	struct member *m = arg;
	struct mailbox *mb = m->w->mb[m->self];

	for (;;) {
		mailbox_drain(mb, hear, m, 1 + next_random(m) % 100000);
		for (uint64_t n = next_random(m) % 64; n && may_say(m); n--)
			if (!say(m))
				break;
		mailbox_flush(mb);
		mailbox_kick_all(mb);
		if (m->fault || (all_said(m) && all_heard(m)))
			return NULL;
		if (may_say(m) || mailbox_sleep_begin(mb))
			continue;
		m->naps++;
		struct pollfd p = {.fd = mailbox_event_fd(mb), .events = POLLIN};
		if (poll(&p, 1, 20000) != 1)
			m->fault = "a wake-up was lost";
		mailbox_woken(mb);
	}
}

static void run(uint64_t goal, uint32_t ring, uint64_t arena, uint64_t queue, uint32_t large)
{
	static struct world w;
	static struct member m[MEMBERS];
	pthread_t thread[MEMBERS];
	uint64_t t0 = clock_mono_ms();

	world_open(&w, MEMBERS, ring, arena, queue);
	for (uint32_t k = 0; k < MEMBERS; k++) {
		memset(&m[k], 0, sizeof(m[k]));
		m[k].w = &w;
		m[k].self = k;
		m[k].goal = goal;
		m[k].large = large;
		m[k].random = (uint64_t)k << 32;
	}
	for (uint32_t k = 0; k < MEMBERS; k++)
		assert_int_equal(pthread_create(&thread[k], NULL, live, &m[k]), 0);
	for (uint32_t k = 0; k < MEMBERS; k++)
		pthread_join(thread[k], NULL);
	for (uint32_t k = 0; k < MEMBERS; k++) {
		struct mailbox_stats s;
		mailbox_stats(w.mb[k], &s);
		assert_msg(!m[k].fault, "member %u: %s", k, m[k].fault);
		mailbox_flush(w.mb[k]);
		mailbox_stats(w.mb[k], &s);
		assert_int_equal(s.queue_bytes, 0);
		assert_int_equal(s.arena_bytes, 0);
		assert_int_equal(s.sent, (MEMBERS - 1) * goal);
		print_message("member %u: %lu sent, %lu queued, %lu refused, %lu blocks, %lu kicks,"
			      " %lu naps\n",
			      k, s.sent, s.queued_ever, m[k].refused, s.blocks_ever, s.kicks,
			      m[k].naps);
	}
	print_message("%lu ms\n", clock_mono_ms() - t0);
	world_close(&w);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SLOWER 5
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

TEST(mailbox_threads, a_million_messages_all_to_all)
{
	run(1000000 / (MEMBERS * (MEMBERS - 1)) / SLOWER + 1, 64 * KIB, 4 * MIB, 64 * MIB, 3000);
}

TEST(mailbox_threads, rings_that_are_always_full)
{
	run(20000 / SLOWER, 16 * KIB, 4 * MIB, 1 * MIB, 100);
}

TEST(mailbox_threads, an_arena_that_runs_out)
{
	run(1000 / SLOWER, 16 * KIB, 4 * MIB, 64 * MIB, 2);
}

TEST_MAIN()
