/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_mailbox - an honest member against one that writes into its own outbox whatever it likes.
 *
 * Member 0 is the real thing, with mappings as a worker has them, made once. Member 1 is the input: a list of commands,
 * a letter each with its operands, that write words, ring bytes, entries and block references
 * into member 1's outbox, or make member 0 do its turn; `M` lets the next delivery change
 * the ring under the reader's hands. Member 2 never reads. Around rings and arenas lie pages
 * without access, so that a read past their end ends the run. */
#include "worker/mailbox_state.h"

#include <stdlib.h>

#define RING    (16u << 10)
#define ARENA   (4u << 20)
#define QUEUE   (1u << 18)
#define MEMBERS 3
#define DIRTY   (64u << 10) /* of the arena, what the input may write */

static struct mailbox_plan plan;
static struct mailbox_ends ends[MEMBERS];
static struct outbox_map maps[MEMBERS]; /* as member 0 has them */
static struct outbox_map bad;           /* member 1's outbox, writable */
static struct mailbox *mb;
static uint32_t generation;
static uint64_t seen;
static struct input {
	const uint8_t *p;
	size_t n;
} in;
static bool meddle;

static uint64_t number(unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && in.n; i++, in.n--)
		v |= (uint64_t)*in.p++ << 8 * i;
	return v;
}

static struct lane *lane(void)
{
	return &bad.box->lanes[0];
}

/* A word near something that means something, or just any. */
static uint64_t word(void)
{
	uint64_t what = number(1), v = number(what & 1 ? 8 : 2);

	switch (what >> 1 & 7) {
	case 0: return v;
	case 1: return lane()->head + v * 8;
	case 2: return lane()->head - v * 8;
	case 3: return mb->peers[1].head - v * 8; /* a tail that could be true */
	case 4: return mb->peers[1].in_tail + v * 8;
	case 5: return (uint64_t)generation << 32 | 1;
	case 6: return (uint64_t)1 << 32 | generation;
	default: return 0 - v;
	}
}

static void write_word(void)
{
	switch (number(1) % 7) {
	case 0: lane()->session = word(); break;
	case 1: lane()->start = word(); break;
	case 2: lane()->want_room = (uint32_t)word(); break;
	case 3: lane()->head = word(); break;
	case 4: lane()->in_session = word(); break;
	case 5: lane()->tail = word(); break;
	case 6: bad.box->naps = word(); break;
	}
}

static void write_bytes(uint8_t *to, size_t size)
{
	size_t at = number(4) % size, n = number(1);

	for (size_t i = 0; i < n && in.n; i++)
		to[(at + i) % size] = (uint8_t)number(1);
}

/* An entry at the head, as an honest sender would put it. */
static void write_entry(bool block)
{
	uint8_t *at = bad.ring[0] + lane()->head % RING;
	struct ring_entry e = {.length = (uint32_t)number(2), .type = (uint16_t)number(1)};

	if (block) {
		struct block_ref ref = {.at = number(4), .length = number(4)};
		e.length = sizeof(ref);
		e.flags = ENTRY_BLOCK;
		memcpy(at + sizeof(e), &ref, sizeof(ref));
	}
	memcpy(at, &e, sizeof(e));
	lane()->head += sizeof(e) + pad8(e.length);
}

static void on_message(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	assert(from == 1 && type != 0 && !(flags & ~MAILBOX_FLAGS_MASK));
	assert(data.n <= mailbox_message_max(mb) && (uintptr_t)data.p % 8 == 0);
	for (size_t i = 0; i < data.n; i++)
		seen += data.p[i];
	if (meddle) {
		meddle = false;
		if (in.n && *in.p & 1)
			write_bytes(bad.ring[0], RING);
		else
			write_word();
	}
	if (type == 2) /* an answer, as workers do */
		mailbox_send(mb, from, 3, 0, &data, 1, MAILBOX_MUST);
}

static void on_bad(void *ctx, uint32_t peer, const char *why)
{
	assert(peer == 1 || strcmp(why, "it does not read what it is sent") == 0);
}

static void send_something(void)
{
	static uint8_t filling[ARENA];
	struct mailbox_set to = {{0}};
	uint64_t who = number(1), n = number(2) << (number(1) % 4);
	struct bytes b = BYTES(filling, n < sizeof(filling) ? n : sizeof(filling));

	mailbox_set_add(&to, who & 1 ? 1 : 2);
	if (who & 2)
		mailbox_set_add(&to, 1);
	enum mailbox_result r = mailbox_send_many(mb, &to, 1, 0, &b, 1,
						  who & 4 ? MAILBOX_MUST : MAILBOX_MAY_REFUSE);
	assert(r != MAILBOX_OVERLOADED || !(who & 4));
	assert(r == MAILBOX_TOO_BIG || b.n <= mailbox_message_max(mb));
}

static void command(uint8_t c)
{
	switch (c) {
	case 'W': write_word(); break;
	case 'R': write_bytes(bad.ring[0], RING); break;
	case 'A': write_bytes(bad.arena, DIRTY); break;
	case 'E': write_entry(false); break;
	case 'B': write_entry(true); break;
	case 'M': meddle = true; break;
	case 'D': mailbox_drain(mb, on_message, NULL, 1 + number(3)); break;
	case 'S': send_something(); break;
	case 'F': mailbox_flush(mb); break;
	case 'K': mailbox_kick_all(mb); break;
	case 'Z':
		mailbox_sleep_begin(mb);
		mailbox_woken(mb);
		break;
	case 'T': mailbox_trim(mb); break;
	case 'X': mailbox_peer_down(mb, 1); break;
	case 'G':
		generation++;
		mailbox_peer_restarted(mb, 1, generation);
		break;
	}
}

static void check(void)
{
	uint64_t queued = 0;

	for (uint32_t k = 1; k < MEMBERS; k++) {
		const struct peer *p = &mb->peers[k];
		assert(p->head - p->tail <= RING);
		assert(p->state == PEER_UP || (!p->queue.n && !p->flight.n && !p->queue_bytes));
		assert(p->queue_bytes <= MAILBOX_STUCK_FACTOR * QUEUE);
		queued += p->queue.n;
	}
	assert(queued || mb->queue_bytes == 0);
}

static void set_up(void)
{
	if (mailbox_plan(&plan, MEMBERS, MEMBERS * (MEMBERS - 1) * RING, ARENA))
		abort();
	for (uint32_t k = 0; k < MEMBERS; k++)
		if (mailbox_ends_open(&plan, &ends[k]) ||
		    outbox_map(&plan, k ? ends[k].ro_fd : ends[k].rw_fd, k == 0,
			       k ? 0 : OUTBOX_ALL_RINGS, &maps[k]))
			abort();
	if (outbox_map(&plan, ends[1].rw_fd, true, 0, &bad))
		abort();
}

/* The same start for every input, without the system calls of a real restart. */
static void start_over(void)
{
	static const uint32_t first[MEMBERS] = {1, 1, 1};
	static const struct mailbox_events events = {.on_bad = on_bad};

	memset(maps[0].box, 0, plan.rings_at);
	memset(bad.box, 0, plan.rings_at);
	memset(bad.ring[0], 0, RING);
	memset(bad.arena, 0, DIRTY);
	generation = 1;
	meddle = false;
	mb = mailbox_new(&plan, 0, first, ends, QUEUE, maps);
	if (!mb)
		abort();
	mailbox_set_events(mb, &events);
	lane()->session = lane()->in_session = (uint64_t)1 << 32 | 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!plan.n_members)
		set_up();
	start_over();
	in = (struct input){data, size};
	while (in.n) {
		command((uint8_t)number(1));
		check();
	}
	mailbox_detach(mb);
	return 0;
}
