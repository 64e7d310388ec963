/* SPDX-License-Identifier: BSD-2-Clause */
/* The mailbox's promises one by one, several members in one thread. */
#include "test.h"

#include "mailbox_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct world w;

/* What the last drain brought. */
static struct {
	size_t n;
	uint32_t from[4096];
	uint16_t type[4096], flags[4096];
	size_t length[4096];
	uint8_t first[4096];
	bool mixed; /* some message was not one byte repeated */
} got;

static void note(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	assert_in_range(got.n, 0, 4095);
	got.from[got.n] = from;
	got.type[got.n] = type;
	got.flags[got.n] = flags;
	got.length[got.n] = data.n;
	got.first[got.n] = data.n ? data.p[0] : 0;
	for (size_t i = 1; i < data.n; i++)
		got.mixed |= data.p[i] != data.p[0];
	got.n++;
}

static size_t drain(uint32_t k)
{
	memset(&got, 0, sizeof(got));
	assert_int_equal(mailbox_drain(w.mb[k], note, NULL, SIZE_MAX), got.n);
	assert_false(got.mixed);
	return got.n;
}

static uint8_t filled[8 << 20];

static enum mailbox_result send_class(uint32_t from, uint32_t to, uint16_t type, size_t length,
				      enum mailbox_class class)
{
	memset(filled, type & 0xff, length);
	return mailbox_send(w.mb[from], to, type, 0, &BYTES(filled, length), 1, class);
}

static void send_must(uint32_t from, uint32_t to, uint16_t type, size_t length)
{
	assert_int_equal(send_class(from, to, type, length, MAILBOX_MUST), MAILBOX_OK);
}

static struct {
	unsigned bad, dropped, congested, relieved;
	uint32_t bad_peer;
	uint64_t messages, bytes;
	const char *why;
} told;

static void on_bad(void *ctx, uint32_t peer, const char *why)
{
	told.bad++;
	told.bad_peer = peer;
	told.why = why;
}

static void on_dropped(void *ctx, uint32_t peer, uint64_t messages, uint64_t bytes)
{
	told.dropped++;
	told.messages += messages;
	told.bytes += bytes;
}

static void on_congestion(void *ctx, bool congested)
{
	congested ? told.congested++ : told.relieved++;
}

static void listen_to(uint32_t k)
{
	static const struct mailbox_events events = {on_bad, on_dropped, on_congestion, NULL};

	memset(&told, 0, sizeof(told));
	mailbox_set_events(w.mb[k], &events);
}

static struct mailbox_stats stats(uint32_t k)
{
	struct mailbox_stats s;
	mailbox_stats(w.mb[k], &s);
	return s;
}

static bool kicked(uint32_t k)
{
	uint64_t count;
	return read(w.ends[k].event_fd, &count, sizeof(count)) == sizeof(count);
}

/* ---- the plan and the memory ----------------------------------------------------------- */

TEST(mailbox, the_budget_decides_the_rings)
{
	static const struct {
		uint32_t members, ring;
	} cases[] = {{2, 1 << 20}, {3, 1 << 20}, {9, 512 << 10}, {51, 16 << 10}, {64, 16 << 10}};
	struct mailbox_plan p;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(mailbox_plan(&p, cases[i].members, MAILBOX_BUDGET_BYTES,
					      MAILBOX_ARENA_BYTES),
				 0);
		assert_int_equal(p.ring_bytes, cases[i].ring);
		assert_int_equal(p.rings_at % 4096, 0);
		assert_int_equal(p.arena_at,
				 p.rings_at + (uint64_t)cases[i].members * p.ring_bytes);
		assert_int_equal(p.outbox_bytes, p.arena_at + MAILBOX_ARENA_BYTES);
	}
	assert_int_equal(mailbox_plan(&p, 65, MAILBOX_BUDGET_BYTES, MAILBOX_ARENA_BYTES), -ENOSPC);
	assert_int_equal(mailbox_plan(&p, 1, MAILBOX_BUDGET_BYTES, MAILBOX_ARENA_BYTES), -EINVAL);
	assert_int_equal(mailbox_plan(&p, 257, UINT64_MAX / 4, MAILBOX_ARENA_BYTES), -EINVAL);
	assert_int_equal(mailbox_plan(&p, 256, (uint64_t)1 << 30, MAILBOX_ARENA_BYTES), 0);
}

TEST(mailbox, nobody_but_its_owner_can_write_an_outbox_or_shrink_it)
{
	char path[40];

	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	int ro = w.ends[0].ro_fd;
	size_t n = w.plan.rings_at;
	assert_ptr_equal(mmap(NULL, n, PROT_WRITE, MAP_SHARED, ro, 0), MAP_FAILED);
	void *mem = mmap(NULL, n, PROT_READ, MAP_SHARED, ro, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_int_equal(mprotect(mem, n, PROT_READ | PROT_WRITE), -1);
	munmap(mem, n);
	assert_int_equal(ftruncate(w.ends[0].rw_fd, 0), -1);
	assert_int_equal(ftruncate(w.ends[0].rw_fd, (off_t)w.plan.outbox_bytes + 4096), -1);
	if (geteuid() == 0) {
		int status;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", ro);
		pid_t pid = fork();
		if (pid == 0)
			_exit(setuid(65534) || open(path, O_RDWR) >= 0 ||
			      open(path, O_RDONLY) >= 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	world_close(&w);
}

TEST(mailbox, members_with_mappings_of_their_own_understand_each_other)
{
	struct mailbox_plan plan;
	struct mailbox_ends ends[2];
	static const uint32_t generation[2] = {3, 4};

	memset(&w, 0, sizeof(w));
	assert_int_equal(mailbox_plan(&plan, 2, MIB, 4 * MIB), 0);
	for (int k = 0; k < 2; k++)
		assert_int_equal(mailbox_ends_open(&plan, &ends[k]), 0);
	for (uint32_t k = 0; k < 2; k++) {
		w.mb[k] = mailbox_attach(&plan, k, generation, ends, MIB);
		assert_non_null(w.mb[k]);
		assert_int_equal(mailbox_self(w.mb[k]), k);
		assert_int_equal(mailbox_members(w.mb[k]), 2);
	}
	assert_null(mailbox_attach(&plan, 0, generation, ends, MIB)); /* not reset */
	assert_int_equal(errno, EBUSY);
	for (int k = 0; k < 2; k++) {
		close(ends[k].rw_fd);
		close(ends[k].ro_fd);
		ends[k].rw_fd = ends[k].ro_fd = -1;
	}
	send_must(0, 1, 5, 100);
	send_must(1, 0, 6, 2000000); /* a block */
	assert_int_equal(drain(1), 1);
	assert_int_equal(got.length[0], 100);
	assert_int_equal(drain(0), 1);
	assert_int_equal(got.length[0], 2000000);
	assert_int_equal(got.first[0], 6);
	for (int k = 0; k < 2; k++) {
		mailbox_detach(w.mb[k]);
		mailbox_ends_close(&ends[k]);
	}
}

/* ---- messages -------------------------------------------------------------------------- */

TEST(mailbox, a_message_arrives_whole_with_its_type_and_flags)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	struct bytes parts[] = {BYTES_LIT("one "), BYTES(NULL, 0), BYTES_LIT("two")};
	assert_int_equal(mailbox_send(w.mb[0], 1, 77, 0x7fff, parts, 3, MAILBOX_MAY_REFUSE),
			 MAILBOX_OK);
	assert_int_equal(mailbox_send(w.mb[0], 1, 78, 0, NULL, 0, MAILBOX_MUST), MAILBOX_OK);
	memset(&got, 0, sizeof(got));
	assert_int_equal(mailbox_drain(w.mb[1], note, NULL, SIZE_MAX), 2);
	assert_int_equal(got.type[0], 77);
	assert_int_equal(got.flags[0], 0x7fff);
	assert_int_equal(got.length[0], 7);
	assert_int_equal(got.type[1], 78);
	assert_int_equal(got.length[1], 0);
	assert_int_equal(drain(1), 0);
	assert_int_equal(drain(0), 0);
	world_close(&w);
}

TEST(mailbox, all_lengths_cross_the_end_of_the_ring)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	for (size_t n = 0; n <= 9000; n += n < 300 ? 1 : 7) {
		send_must(0, 1, (uint16_t)(n % 1000 + 1), n);
		assert_int_equal(drain(1), 1);
		assert_int_equal(got.length[0], n);
		assert_int_equal(got.type[0], n % 1000 + 1);
	}
	world_close(&w);
}

TEST(mailbox, too_large_is_refused_to_all)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, 64 * MIB);
	struct mailbox_set both = {{0}};
	mailbox_set_add(&both, 1);
	mailbox_set_add(&both, 2);
	assert_int_equal(mailbox_message_max(w.mb[0]), 2 * MIB);
	struct bytes b = BYTES(filled, 2 * MIB + 1);
	assert_int_equal(mailbox_send_many(w.mb[0], &both, 1, 0, &b, 1, MAILBOX_MUST),
			 MAILBOX_TOO_BIG);
	b.n--;
	memset(filled, 3, b.n);
	assert_int_equal(mailbox_send_many(w.mb[0], &both, 3, 0, &b, 1, MAILBOX_MUST), MAILBOX_OK);
	assert_int_equal(drain(1), 1);
	assert_int_equal(got.length[0], 2 * MIB);
	assert_int_equal(drain(2), 1);
	world_close(&w);
}

TEST(mailbox, what_finds_no_room_waits_and_keeps_its_order)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, 64 * MIB);
	for (uint16_t i = 1; i <= 1000; i++)
		send_must(0, 1, i, i % 7 == 0 ? 5000 : 100);
	assert_true(stats(0).queued_ever > 500);
	assert_true(mailbox_queued(w.mb[0], 1) > 0);
	uint16_t next = 1;
	while (next <= 1000) {
		assert_true(drain(1) > 0);
		for (size_t i = 0; i < got.n; i++, next++) {
			assert_int_equal(got.type[i], next);
			assert_int_equal(got.length[i], next % 7 == 0 ? 5000 : 100);
		}
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(drain(1), 0);
	mailbox_flush(w.mb[0]);
	assert_int_equal(stats(0).queue_bytes, 0);
	assert_int_equal(stats(0).arena_bytes, 0);
	world_close(&w);
}

TEST(mailbox, a_small_message_does_not_overtake_a_queued_one)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, 64 * MIB);
	for (uint16_t i = 1; i <= 6; i++)
		send_must(0, 1, i, 3000); /* five fit */
	send_must(0, 1, 7, 8);            /* would fit, but must wait */
	assert_int_equal(drain(1), 5);
	mailbox_flush(w.mb[0]);
	assert_int_equal(drain(1), 2);
	assert_int_equal(got.type[0], 6);
	assert_int_equal(got.type[1], 7);
	world_close(&w);
}

TEST(mailbox, beyond_the_bound_publications_are_refused_and_the_rest_is_not)
{
	unsigned taken = 0;

	world_open(&w, 2, 16 * KIB, 4 * MIB, 100000);
	listen_to(0);
	while (send_class(0, 1, 9, 1000, MAILBOX_MAY_REFUSE) == MAILBOX_OK)
		taken++;
	assert_in_range(taken, 16 + 80, 16 + 100);
	assert_true(stats(0).queue_bytes <= 100000);
	assert_int_equal(stats(0).refused, 1);
	assert_true(mailbox_congested(w.mb[0]));
	assert_int_equal(told.congested, 1);
	send_must(0, 1, 9, 1000);
	taken++;
	while (taken) {
		taken -= drain(1);
		mailbox_flush(w.mb[0]);
	}
	assert_false(mailbox_congested(w.mb[0]));
	assert_int_equal(told.relieved, 1);
	assert_int_equal(told.congested, 1);
	assert_int_equal(send_class(0, 1, 9, 1000, MAILBOX_MAY_REFUSE), MAILBOX_OK);
	world_close(&w);
}

TEST(mailbox, a_message_to_many_is_refused_to_all_or_to_none)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, 20000);
	struct mailbox_set both = {{0}};
	mailbox_set_add(&both, 1);
	mailbox_set_add(&both, 2);
	while (send_class(0, 1, 1, 2000, MAILBOX_MAY_REFUSE) == MAILBOX_OK)
		;
	struct bytes b = BYTES(filled, 2000);
	assert_int_equal(mailbox_send_many(w.mb[0], &both, 2, 0, &b, 1, MAILBOX_MAY_REFUSE),
			 MAILBOX_OVERLOADED);
	assert_int_equal(drain(2), 0); /* though its ring had room */
	memset(filled, 2, 2000);
	assert_int_equal(mailbox_send_many(w.mb[0], &both, 2, 0, &b, 1, MAILBOX_MUST), MAILBOX_OK);
	assert_int_equal(drain(2), 1);
	unsigned twos = 0;
	for (int i = 0; i < 10; i++) {
		drain(1);
		for (size_t k = 0; k < got.n; k++)
			twos += got.type[k] == 2;
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(twos, 1);
	world_close(&w);
}

TEST(mailbox, the_peers_take_turns)
{
	world_open(&w, 4, 16 * KIB, 4 * MIB, 64 * MIB);
	for (int i = 0; i < 100; i++)
		for (uint32_t from = 1; from < 4; from++)
			send_must(from, 0, (uint16_t)(i + 1), 100);
	unsigned seen[4] = {0};
	while (seen[1] + seen[2] + seen[3] < 300) {
		memset(&got, 0, sizeof(got));
		assert_true(mailbox_drain(w.mb[0], note, NULL, 1000) > 0);
		assert_in_range(got.n, 1, 20); /* the budget ends it */
		for (size_t i = 0; i < got.n; i++)
			assert_int_equal(got.type[i], ++seen[got.from[i]]);
		for (uint32_t a = 1; a < 4; a++)
			for (uint32_t b = 1; b < 4; b++)
				assert_true(seen[a] <= seen[b] + 20);
	}
	world_close(&w);
}

static void echo(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	struct mailbox *mb = ctx;
	if (type < 50)
		assert_int_equal(mailbox_send(mb, from, (uint16_t)(type + 1), flags, &data, 1,
					      MAILBOX_MUST),
				 MAILBOX_OK);
	got.n = type;
}

TEST(mailbox, a_receiver_may_answer_from_its_callback)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, 64 * MIB);
	for (size_t n = 10; n < 40000; n *= 10) {
		send_must(0, 1, 1, n);
		for (int i = 0; i < 50; i++)
			mailbox_drain(w.mb[i % 2 ? 0 : 1], echo, w.mb[i % 2 ? 0 : 1], SIZE_MAX);
		assert_int_equal(got.n, 50);
	}
	world_close(&w);
}

/* ---- blocks ---------------------------------------------------------------------------- */

TEST(mailbox, a_block_is_written_once_and_freed_by_its_last_reader)
{
	world_open(&w, 4, 16 * KIB, 4 * MIB, MIB);
	struct mailbox_set all = {{0}};
	for (uint32_t k = 1; k < 4; k++)
		mailbox_set_add(&all, k);
	memset(filled, 8, 100000);
	struct bytes b = BYTES(filled, 100000);
	assert_int_equal(mailbox_send_many(w.mb[0], &all, 8, 0, &b, 1, MAILBOX_MAY_REFUSE),
			 MAILBOX_OK);
	for (uint32_t k = 1; k < 4; k++) {
		assert_int_equal(stats(0).arena_bytes, 25 * 4096);
		assert_int_equal(drain(k), 1);
		assert_int_equal(got.length[0], 100000);
		assert_int_equal(got.first[0], 8);
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(stats(0).arena_bytes, 0);
	assert_int_equal(stats(0).queue_bytes, 0);
	world_close(&w);
}

TEST(mailbox, without_free_pages_blocks_wait_in_order)
{
	uint16_t next = 1;

	world_open(&w, 4, 16 * KIB, 4 * MIB, 64 * MIB);
	for (uint16_t i = 1; i <= 12; i++) {
		send_must(0, 1, i, 900000); /* two fit into half of the arena */
		send_must(0, 3, i, 900000);
	}
	send_must(0, 2, 1, 900000);
	assert_true(stats(0).queue_bytes > 21 * 900000);
	assert_int_equal(drain(2), 0);
	while (next <= 12) {
		assert_true(drain(1) > 0);
		for (size_t i = 0; i < got.n; i++)
			assert_int_equal(got.type[i], next++);
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(drain(2), 1);
	for (int i = 0; i < 12; i++) {
		drain(3);
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(stats(0).queue_bytes, 0);
	assert_int_equal(stats(0).arena_bytes, 0);
	world_close(&w);
}

TEST(mailbox, trimming_gives_back_pages_of_blocks)
{
	world_open(&w, 2, 16 * KIB, 8 * MIB, MIB);
	send_must(0, 1, 1, 3 * MIB);
	assert_int_equal(drain(1), 1);
	mailbox_trim(w.mb[0]);
	mailbox_trim(w.mb[1]);
	unsigned char resident[4 * MIB / 4096];
	assert_int_equal(mincore(w.maps[0].arena, 4 * MIB, resident), 0);
	for (size_t i = 0; i < sizeof(resident); i++)
		assert_int_equal(resident[i] & 1, 0);
	world_close(&w);
}

/* ---- sleeping -------------------------------------------------------------------------- */

TEST(mailbox, only_a_sleeper_is_kicked_and_once_per_nap)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	send_must(0, 1, 1, 10);
	mailbox_kick_all(w.mb[0]);
	assert_false(kicked(1));                   /* awake */
	assert_true(mailbox_sleep_begin(w.mb[1])); /* something is there */
	assert_int_equal(drain(1), 1);
	assert_false(mailbox_sleep_begin(w.mb[1]));
	send_must(0, 1, 2, 10);
	assert_false(kicked(1)); /* not before the end of the turn */
	mailbox_kick_all(w.mb[0]);
	send_must(0, 1, 3, 10);
	mailbox_kick_all(w.mb[0]);
	assert_int_equal(stats(0).kicks, 1);
	struct pollfd p = {.fd = mailbox_event_fd(w.mb[1]), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 1);
	mailbox_woken(w.mb[1]);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(drain(1), 2);
	assert_false(mailbox_sleep_begin(w.mb[1])); /* a new nap: kicked anew */
	send_must(0, 1, 4, 10);
	mailbox_kick_all(w.mb[0]);
	assert_true(kicked(1));
	mailbox_sleep_end(w.mb[1]);
	mailbox_kick_all(w.mb[1]);
	assert_int_equal(stats(1).kicks, 0); /* reading alone wakes nobody */
	world_close(&w);
}

TEST(mailbox, a_sender_that_waits_for_room_is_kicked_when_there_is_some)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	for (uint16_t i = 1; i <= 100; i++)
		send_must(0, 1, i, 1000);
	assert_false(mailbox_sleep_begin(w.mb[0]));
	assert_true(drain(1) > 0);
	assert_false(kicked(0));
	mailbox_kick_all(w.mb[1]);
	assert_true(kicked(0));
	mailbox_sleep_end(w.mb[0]);
	mailbox_flush(w.mb[0]);
	assert_true(drain(1) > 0);
	world_close(&w);
}

TEST(mailbox, a_sender_that_waits_for_pages_is_kicked_by_who_holds_them)
{
	world_open(&w, 4, 16 * KIB, 4 * MIB, 64 * MIB);
	send_must(0, 1, 1, 2 * MIB);
	send_must(0, 2, 2, 2 * MIB);
	send_must(0, 3, 3, 2 * MIB); /* for 3, but 1 or 2 has to read first */
	while (mailbox_sleep_begin(w.mb[0]))
		mailbox_flush(w.mb[0]);
	assert_int_equal(drain(3), 0);
	assert_int_equal(drain(1), 1);
	mailbox_kick_all(w.mb[1]);
	assert_true(kicked(0));
	mailbox_sleep_end(w.mb[0]);
	mailbox_flush(w.mb[0]);
	assert_int_equal(drain(3), 1);
	mailbox_flush(w.mb[0]);
	assert_false(mailbox_sleep_begin(w.mb[0]));
	for (uint32_t k = 1; k < 4; k++) /* and asks no longer */
		assert_int_equal(w.maps[0].box->lanes[k].want_room, 0);
	world_close(&w);
}

TEST(mailbox, large_messages_behind_each_other_never_hold_the_pages_they_need)
{
	struct mailbox_set both = {{0}};

	/* one that is behind another in one queue, and first in the other */
	world_open(&w, 3, 16 * KIB, 4 * MIB, 64 * MIB);
	mailbox_set_add(&both, 1);
	mailbox_set_add(&both, 2);
	for (uint16_t i = 1; i <= 30; i++) {
		memset(filled, i, 1500000);
		struct bytes b = BYTES(filled, 1500000 - i * 20000);
		mailbox_send(w.mb[0], 1 + i % 2, i, 0, &b, 1, MAILBOX_MUST);
		mailbox_send_many(w.mb[0], &both, i, 0, &b, 1, MAILBOX_MUST);
	}
	size_t n[3] = {0};
	for (int i = 0; i < 400; i++) {
		n[1] += drain(1);
		n[2] += i % 3 ? 0 : drain(2);
		mailbox_flush(w.mb[0]);
	}
	assert_int_equal(n[1], 45);
	assert_int_equal(n[2], 45);
	assert_int_equal(stats(0).queue_bytes, 0);
	assert_int_equal(stats(0).arena_bytes, 0);
	world_close(&w);
}

TEST(mailbox, one_peer_that_hangs_leaves_half_of_the_arena_to_the_others)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, 64 * MIB);
	for (uint16_t i = 1; i <= 20; i++)
		send_must(0, 1, i, 300000);
	for (uint16_t i = 1; i <= 20; i++) {
		send_must(0, 2, i, 300000);
		assert_int_equal(drain(2), 1);
	}
	world_close(&w);
}

TEST(mailbox, room_that_appeared_keeps_a_sender_awake)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	for (uint16_t i = 1; i <= 100; i++)
		send_must(0, 1, i, 1000);
	assert_true(drain(1) > 0);
	assert_true(mailbox_sleep_begin(w.mb[0])); /* moved something */
	assert_true(drain(1) > 0);
	world_close(&w);
}

/* ---- dying ----------------------------------------------------------------------------- */

TEST(mailbox, what_is_sent_to_a_peer_that_is_down_is_dropped)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, MIB);
	listen_to(0);
	for (uint16_t i = 1; i <= 40; i++)
		send_must(0, 1, i, 1000);
	send_must(0, 1, 41, 100000);
	mailbox_peer_down(w.mb[0], 1);
	assert_false(mailbox_peer_is_up(w.mb[0], 1));
	assert_int_equal(told.dropped, 1);
	assert_in_range(told.messages, 24, 27);
	assert_int_equal(stats(0).queue_bytes, 0);
	assert_int_equal(stats(0).arena_bytes, 0);
	send_must(0, 1, 42, 10);
	send_must(0, 1, 42, 100000);
	assert_int_equal(send_class(0, 1, 42, 10, MAILBOX_MAY_REFUSE), MAILBOX_OK);
	assert_int_equal(stats(0).queue_bytes + stats(0).arena_bytes, 0);
	assert_int_equal(stats(0).dropped, told.messages + 3);
	send_must(0, 2, 43, 10); /* the others are served */
	assert_int_equal(drain(2), 1);
	world_close(&w);
}

TEST(mailbox, a_successor_hears_nothing_of_its_predecessor)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	for (uint16_t i = 1; i <= 100; i++)
		send_must(0, 1, i, 500); /* the ring is full, and more is queued */
	drain(1);
	send_must(0, 1, 101, 100000);
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	assert_int_equal(drain(1), 0); /* the peer does not know yet */
	send_must(0, 1, 102, 10);
	assert_int_equal(drain(1), 0);
	mailbox_peer_restarted(w.mb[0], 1, 2);
	assert_int_equal(stats(0).queue_bytes + stats(0).arena_bytes, 0);
	assert_int_equal(drain(1), 0);
	send_must(0, 1, 103, 10);
	assert_int_equal(drain(1), 1);
	assert_int_equal(got.type[0], 103);
	for (uint16_t i = 1; i <= 100; i++) /* and the whole ring is there */
		send_must(0, 1, i, i % 10 ? 100 : 5000);
	for (unsigned n = 0; n < 100; n += (unsigned)got.n) {
		assert_true(drain(1) > 0);
		mailbox_flush(w.mb[0]);
	}
	world_close(&w);
}

TEST(mailbox, a_stale_tail_frees_nothing)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	uint64_t tail = 0;
	for (int i = 0; i < 20; i++) { /* so that both rings are far from zero */
		send_must(0, 1, 1, 3000);
		send_must(1, 0, 1, 3000);
		drain(0);
		drain(1);
		tail = w.maps[0].box->lanes[1].tail;
	}
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	/* 0 has not been told: its tail for ring 1→0 stands far beyond the successor's head */
	assert_true(tail > 16 * KIB);
	assert_int_equal(w.maps[0].box->lanes[1].tail, tail);
	for (uint16_t i = 1; i <= 40; i++)
		send_must(1, 0, i, 1000);
	mailbox_flush(w.mb[1]);
	assert_true(mailbox_peer_is_up(w.mb[1], 0));
	assert_int_equal(drain(0), 0);
	mailbox_peer_restarted(w.mb[0], 1, 2);
	uint16_t next = 1;
	while (next <= 40) {
		assert_true(drain(0) > 0);
		for (size_t i = 0; i < got.n; i++)
			assert_int_equal(got.type[i], next++);
		mailbox_flush(w.mb[1]);
	}
	world_close(&w);
}

static void die_meanwhile(void *ctx, uint32_t from, uint16_t type, uint16_t flags,
			  struct bytes data)
{
	note(ctx, from, type, flags, data);
	if (type == 3)
		assert_int_equal(mailbox_outbox_reset(&w.plan, &w.ends[1]), 0);
}

TEST(mailbox, a_sender_reset_while_it_is_being_read_just_falls_silent)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	listen_to(0);
	for (uint16_t i = 1; i <= 8; i++)
		send_must(1, 0, i, i == 5 ? 5000 : 100);
	memset(&got, 0, sizeof(got));
	assert_int_equal(mailbox_drain(w.mb[0], die_meanwhile, NULL, SIZE_MAX), 3);
	assert_int_equal(told.bad, 0);
	assert_int_equal(drain(0), 0);
	send_must(0, 1, 1, 100); /* its tail is void as well */
	mailbox_flush(w.mb[0]);
	assert_false(mailbox_sleep_begin(w.mb[0]));
	assert_int_equal(told.bad, 0);
	world_close(&w);
}

TEST(mailbox, two_deaths_before_the_first_news)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	listen_to(0);
	send_must(0, 1, 1, 10);
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	send_must(1, 0, 2, 10); /* generation 2 speaks, unheard */
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	send_must(1, 0, 3, 10);
	mailbox_peer_restarted(w.mb[0], 1, 2);
	assert_int_equal(drain(0), 0);
	send_must(0, 1, 4, 10);
	assert_int_equal(drain(1), 0);
	mailbox_peer_restarted(w.mb[0], 1, 3);
	mailbox_peer_restarted(w.mb[0], 1, 3); /* told twice: nothing changes */
	send_must(0, 1, 5, 10);
	assert_int_equal(drain(0), 1);
	assert_int_equal(got.type[0], 3);
	assert_int_equal(drain(1), 1);
	assert_int_equal(got.type[0], 5);
	assert_int_equal(told.bad, 0);
	world_close(&w);
}

TEST(mailbox, a_member_that_starts_while_another_is_down_hears_of_it_later)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, MIB);
	world_kill(&w, 1);
	world_kill(&w, 2);
	uint32_t two = w.generation[2];
	w.generation[2] = 0;
	world_join(&w, 1, MIB);
	assert_false(mailbox_peer_is_up(w.mb[1], 2));
	send_must(1, 2, 1, 10); /* dropped */
	w.generation[2] = two;
	world_join(&w, 2, MIB);
	mailbox_peer_restarted(w.mb[1], 2, two);
	send_must(1, 2, 2, 10);
	send_must(2, 1, 3, 10);
	assert_int_equal(drain(2), 1);
	assert_int_equal(got.type[0], 2);
	assert_int_equal(drain(1), 1);
	world_close(&w);
}

TEST(mailbox, a_sleeper_of_the_next_life_is_kicked_in_its_first_nap)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
	assert_false(mailbox_sleep_begin(w.mb[1])); /* nap 1 of the first life */
	send_must(0, 1, 1, 10);
	mailbox_kick_all(w.mb[0]);
	assert_true(kicked(1));
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	mailbox_peer_restarted(w.mb[0], 1, 2);
	assert_false(mailbox_sleep_begin(w.mb[1])); /* nap 1 again */
	send_must(0, 1, 1, 10);
	mailbox_kick_all(w.mb[0]);
	assert_true(kicked(1));
	world_close(&w);
}

/* ---- lying ----------------------------------------------------------------------------- */

static void expect_bad(uint32_t who, uint32_t liar)
{
	assert_int_equal(told.bad, 1);
	assert_int_equal(told.bad_peer, liar);
	assert_non_null(told.why);
	assert_false(mailbox_peer_is_up(w.mb[who], liar));
	send_must(who, liar, 1, 100); /* dropped */
	assert_int_equal(drain(who), 0);
	mailbox_flush(w.mb[who]);
	assert_int_equal(told.bad, 1);
	assert_int_equal(stats(who).queue_bytes, 0);
}

TEST(mailbox, a_head_too_far_ahead_shuts_the_ring)
{
	static const uint64_t lies[] = {16 * KIB + 8, UINT64_MAX - 7, 12, (uint64_t)1 << 63};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
		listen_to(0);
		w.maps[1].box->lanes[0].head = lies[i];
		assert_int_equal(drain(0), 0);
		expect_bad(0, 1);
		world_close(&w);
	}
}

TEST(mailbox, a_tail_outside_of_what_was_sent_shuts_the_ring)
{
	static const uint64_t lies[] = {1 << 20, 0, 12001, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
		for (int k = 0; k < 20; k++) { /* an honest past, well beyond 0 */
			send_must(0, 1, 1, 3000);
			drain(1);
		}
		listen_to(0);
		w.maps[1].box->lanes[0].tail = lies[i];
		for (int k = 0; k < 8 && !told.bad; k++)
			send_must(0, 1, 1, 4000);
		expect_bad(0, 1);
		world_close(&w);
	}
}

/* Member 1 writes an entry by hand. */
static void forge(struct ring_entry e, uint64_t a, uint64_t b, uint64_t head)
{
	uint8_t *ring = w.maps[1].ring[0];

	memcpy(ring, &e, 8);
	memcpy(ring + 8, &a, 8);
	memcpy(ring + 16, &b, 8);
	w.maps[1].box->lanes[0].head = head;
}

TEST(mailbox, an_entry_that_makes_no_sense_shuts_the_ring)
{
	static const struct {
		struct ring_entry e;
		uint64_t a, b, head;
	} lies[] = {
		{{0, 0, 0}, 0, 0, 8},       /* type 0 */
		{{1, 1, 0}, 0, 0, 8},       /* longer than what there is */
		{{5000, 1, 0}, 0, 0, 8192}, /* longer than a ring's message may be */
		{{UINT32_MAX, 1, 0}, 0, 0, 8192},
		{{16, 1, ENTRY_BLOCK}, 0, 0, 24},    /* a block of nothing */
		{{16, 1, ENTRY_BLOCK}, 0, 4000, 24}, /* too small for a block */
		{{16, 1, ENTRY_BLOCK}, 4 * MIB, 5000, 24},
		{{16, 1, ENTRY_BLOCK}, 4 * MIB - 4999, 5000, 24},
		{{16, 1, ENTRY_BLOCK}, UINT64_MAX - 4095, 8192, 24},
		{{16, 1, ENTRY_BLOCK}, 0, UINT64_MAX, 24},
		{{16, 1, ENTRY_BLOCK}, 0, 2 * MIB + 1, 24},
		{{8, 1, ENTRY_BLOCK}, 0, 5000, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		world_open(&w, 2, 16 * KIB, 4 * MIB, MIB);
		listen_to(0);
		forge(lies[i].e, lies[i].a, lies[i].b, lies[i].head);
		assert_int_equal(drain(0), 0);
		expect_bad(0, 1);
		world_close(&w);
	}
	world_open(&w, 2, 16 * KIB, 4 * MIB, MIB); /* the helper itself makes sense */
	listen_to(0);
	forge((struct ring_entry){16, 1, ENTRY_BLOCK}, 4 * MIB - 5000, 5000, 24);
	assert_int_equal(drain(0), 1);
	assert_int_equal(told.bad, 0);
	world_close(&w);
}

TEST(mailbox, a_liar_is_heard_again_in_its_next_life)
{
	world_open(&w, 3, 16 * KIB, 4 * MIB, MIB);
	listen_to(0);
	w.maps[1].box->lanes[0].head = 7;
	assert_int_equal(drain(0), 0);
	expect_bad(0, 1);
	send_must(2, 0, 6, 10); /* the honest ones go on */
	assert_int_equal(drain(0), 1);
	mailbox_peer_restarted(w.mb[0], 1, 1); /* old news does not whitewash it */
	assert_false(mailbox_peer_is_up(w.mb[0], 1));
	world_kill(&w, 1);
	world_join(&w, 1, MIB);
	mailbox_peer_restarted(w.mb[0], 1, 2);
	send_must(1, 0, 9, 10);
	send_must(0, 1, 9, 10);
	assert_int_equal(drain(0), 1);
	assert_int_equal(drain(1), 1);
	world_close(&w);
}

TEST(mailbox, a_peer_that_never_reads_is_given_up_before_memory_is)
{
	world_open(&w, 2, 16 * KIB, 4 * MIB, 100000);
	listen_to(0);
	for (int i = 0; i < 600 && !told.bad; i++)
		send_must(0, 1, 1, 1000);
	expect_bad(0, 1);
	assert_true(told.bytes > 400000 && told.bytes < 410000);
	world_close(&w);
}

TEST_MAIN()
