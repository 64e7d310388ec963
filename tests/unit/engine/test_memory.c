/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory engine where workers die, are late, are full, or lie. */
#include "test.h"

#include "../hub/world.h"
#include "engine/wire.h"
#include "worker/msg.h"

static char name[32];

static uint32_t count_at(unsigned k, const char *ch)
{
	struct hub_position at = {0};
	engine_memory.info(&world.w[k], 0, bytes_str(ch), &at);
	return at.count;
}

static uint64_t epoch_at(unsigned k, const char *ch)
{
	struct hub_position at = {0};
	engine_memory.info(&world.w[k], 0, bytes_str(ch), &at);
	return at.epoch;
}

/* ── homes that die ── */

TEST(memory, what_is_asked_of_a_home_that_is_down_waits_for_its_successor)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *a = client_open(0), *b = client_open(1), *c = client_open(0);
	client_subscribe(a, ch);
	client_subscribe(c, ch);
	world_settle();
	uint64_t before = epoch_at(2, ch);
	world_crash(2);
	assert_int_equal(client_publish(a, ch, "1"), HUB_OK);
	assert_int_equal(client_subscribe(b, ch), HUB_OK);
	assert_int_equal(client_unsubscribe(c, ch), HUB_OK);
	assert_int_equal(client_publish_as(b, ch, "2", PUB_F_ACK), HUB_OK);
	world_settle();
	assert_int_equal(a->n + b->n + c->n, 2); /* the two `subscribed` of before */
	world_revive(2);
	world_settle();
	assert_int_equal(client_heard(a, "\"data\":1,"), 1);
	assert_int_equal(client_heard(a, "\"data\":2,"), 1);
	assert_int_equal(client_heard(b, "subscribed"), 1);
	assert_int_equal(client_heard(b, "\"data\":2,"), 1); /* it asked in that order */
	assert_int_equal(client_heard(b, "outcome 0 ask 9"), 1);
	assert_int_equal(client_heard(c, "unsubscribed c"), 1);
	assert_int_equal(client_heard(c, "ask 8"), 1);
	assert_int_equal(count_at(2, ch), 2);
	assert_true(before != 0 && epoch_at(2, ch) != 0 && epoch_at(2, ch) != before);
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(memory, what_a_home_had_not_answered_is_asked_of_its_successor)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0), *b = client_open(0);
	client_subscribe(b, ch);
	world_settle();
	client_subscribe_as(a, ch, ENC_ROOM, HUB_SUB_EVENTS);
	client_unsubscribe(b, ch);
	client_publish_as(a, ch, "1", PUB_F_ACK);
	mailbox_flush(world.w[0].mailbox);
	world_crash(1); /* before it has read any of it */
	batch_flush(&world.w[0]);
	/* whether it was delivered only the dead could say */
	assert_int_equal(client_heard(a, "published"), 1);
	assert_int_equal(client_heard(a, "outcome 4 ask 9"), 1);
	assert_int_equal(HUB_UNAVAILABLE, 4);
	assert_int_equal(client_heard(a, "subscribed"), 0);
	world_revive(1);
	world_settle();
	assert_int_equal(client_heard(a, "subscribed"), 1);
	assert_int_equal(client_heard(b, "unsubscribed"), 1);
	assert_int_equal(client_heard(a, "room_message"),
			 0); /* not delivered twice, so not at all */
	assert_int_equal(count_at(1, ch), 1);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(memory, a_successor_serves_nobody_before_all_have_announced)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *a = client_open(0), *b = client_open(1);
	client_subscribe(a, ch);
	world_settle();
	world_crash(2);
	world_start_again(2);
	struct client *own = client_open(2);
	client_subscribe(own, ch);
	client_publish(own, ch, "1");
	world_tell_up(1, 2); /* worker 0 has not heard of it yet, and a is there */
	client_publish(b, ch, "2");
	client_publish_as(b, ch, "3", PUB_F_ACK);
	client_subscribe(b, ch);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 1; k < 3; k++)
			worker_turn(&world.w[k], true);
	assert_int_equal(b->n + own->n, 0);
	world_tell_up(0, 2);
	world_settle();
	for (unsigned i = 1; i <= 3; i++) {
		char data[16];
		snprintf(data, sizeof(data), "\"data\":%u,", i);
		assert_int_equal(client_heard(a, data), 1);
	}
	assert_int_equal(client_heard(b, "outcome 0 ask 9"), 1);
	assert_int_equal(client_heard(b, "count 2"), 1);
	assert_int_equal(client_heard(own, "count 3"), 1);
	assert_int_equal(count_at(2, ch), 3);
	client_free(a);
	client_free(b);
	client_free(own);
	world_close();
}

TEST(memory, a_successor_does_not_wait_for_a_stuck_worker_for_ever)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *b = client_open(1);
	world_crash(2);
	world_start_again(2);
	world_tell_up(1, 2); /* and 0 never */
	client_subscribe(b, ch);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 1; k < 3; k++)
			worker_turn(&world.w[k], true);
	assert_int_equal(b->n, 0);
	engine_memory.tick(&world.w[2]);
	world_settle();
	assert_int_equal(b->n, 0); /* not yet */
	world.w[2].now_ns += 10000000000u;
	engine_memory.tick(&world.w[2]);
	world_settle();
	assert_int_equal(client_heard(b, "subscribed"), 1);
	client_free(b);
	world_close();
}

TEST(memory, a_successor_does_not_wait_for_one_that_dies_meanwhile)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *b = client_open(1);
	world_crash(2);
	world_start_again(2);
	world_tell_up(1, 2);
	client_subscribe(b, ch);
	world_settle();
	assert_int_equal(b->n, 0);
	world_crash(0);
	world_settle();
	assert_int_equal(client_heard(b, "subscribed"), 1);
	client_free(b);
	world_close();
}

TEST(memory, what_a_dead_worker_asked_of_a_gathering_home_is_forgotten)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *b = client_open(1), *c = client_open(0);
	world_crash(2);
	world_start_again(2);
	world_tell_up(1, 2); /* 0 has not announced yet */
	client_subscribe(b, ch);
	client_publish(b, ch, "1");
	world_settle();
	world_crash(1);
	world_tell_up(0, 2);
	client_subscribe(c, ch);
	world_settle();
	assert_int_equal(client_heard(c, "count 1"), 1);
	assert_int_equal(count_at(2, ch), 1);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(memory, what_can_be_held_for_a_home_is_bounded)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0);
	char *big = malloc(10001);
	memset(big, '1', 10000);
	big[10000] = '\0';
	world_crash(1);
	unsigned taken = 0;
	while (taken < 10000 && client_publish(a, ch, big) == HUB_OK)
		taken++;
	assert_true(taken > 50 && taken < 200); /* a quarter of 4 MiB */
	assert_int_equal(client_publish(a, ch, big), HUB_UNAVAILABLE);
	assert_true(engine_memory.memory(world.w[0].engine) > taken * 10000);
	unsigned i = 0;
	for (; i < 100000; i++) { /* small ones fit a while longer, and subscribers too */
		struct client *c = client_open(0);
		enum hub_outcome o = client_subscribe(c, ch);
		if (o != HUB_OK) { /* a refusal leaves nothing */
			assert_int_equal(c->c->sub_count, 0);
			assert_int_equal(client_unsubscribe(c, ch), HUB_NOT_SUBSCRIBED);
		}
		client_close(c);
		client_free(c);
		conn_slab_release(&world.w[0].slab, UINT64_MAX);
		if (o == HUB_UNAVAILABLE)
			break;
	}
	assert_true(i < 100000);
	assert_int_equal(hub_channel_count(world.w[0].hub), 0); /* a refusal leaves nothing */
	world_revive(1);
	assert_int_equal(client_publish(a, ch, "1"), HUB_OK);
	world_settle();
	assert_int_equal(engine_memory.memory(world.w[0].engine) < 1 << 20, 1);
	free(big);
	client_free(a);
	world_close();
}

TEST(memory, who_ends_while_its_home_is_down_is_counted_out_and_heard_to_leave)
{
	world_open(3);
	const char *ch = channel_at_home(2, 0, name);
	struct client *a = client_open(0), *b = client_open(0), *c = client_open(0),
		      *d = client_open(1);
	client_subscribe_as(a, ch, ENC_ROOM, HUB_SUB_EVENTS);
	client_subscribe_as(b, ch, ENC_ROOM, HUB_SUB_EVENTS);
	client_subscribe_as(d, ch, ENC_ROOM, HUB_SUB_EVENTS);
	world_settle();
	world_crash(2);
	client_subscribe_as(c, ch, ENC_ROOM, HUB_SUB_EVENTS); /* under way, and then gone */
	client_unsubscribe(b, ch);                            /* likewise */
	client_close(a);
	client_close(b);
	client_close(c);
	world_revive(2);
	world_settle();
	assert_int_equal(count_at(2, ch), 1);
	assert_true(client_heard(d, "user_left") >= 2);
	assert_int_equal(hub_channel_count(world.w[0].hub), 0);
	client_close(d);
	world_settle();
	assert_int_equal(count_at(2, ch), 0);
	client_free(a);
	client_free(b);
	client_free(c);
	client_free(d);
	world_close();
}

TEST(memory, who_leaves_everything_while_its_home_is_down_but_lives_on_is_counted_out)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0), *b = client_open(0);
	client_subscribe(b, ch);
	world_settle();
	world_crash(1);
	client_subscribe(a, ch);
	hub_leave_all(a->w, a->c); /* it is closing, its slot is still its own */
	a->c->state = CONN_CLOSING;
	hub_leave_all(b->w, b->c);
	b->c->state = CONN_CLOSING;
	world_revive(1);
	world_settle();
	assert_int_equal(count_at(1, ch), 0);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(memory, subscribers_of_a_worker_that_died_are_counted_out)
{
	world_open(3);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(0), *b = client_open(1), *c = client_open(2);
	client_subscribe(a, ch);
	client_subscribe(b, ch);
	client_subscribe(c, ch);
	world_settle();
	assert_int_equal(count_at(0, ch), 3);
	uint64_t epoch = epoch_at(0, ch);
	world_crash(1);
	assert_int_equal(count_at(0, ch), 2);
	client_publish(c, ch, "1");
	world_settle();
	assert_int_equal(client_heard(a, "\"data\":1,"), 1);
	world_revive(1);
	world_settle();
	assert_int_equal(count_at(0, ch), 2);
	assert_int_equal(epoch_at(0, ch), epoch); /* the home lived on */
	world_crash(2);
	client_close(a);
	assert_int_equal(count_at(0, ch), 0);
	client_free(a);
	client_free(b);
	client_free(c);
	world_close();
}

TEST(memory, many_channels_are_announced_in_several_messages)
{
	enum { N = 100 };
	world_open(2);
	world.endpoint.max_subscriptions = 20000;
	struct client *a = client_open(0);
	char text[100];
	unsigned there = 0;
	for (unsigned i = 0; i < 20 * N; i++) {
		snprintf(text, sizeof(text),
			 "a-rather-long-name-of-a-channel-so-that-they-do-not-fit-%u", i);
		client_subscribe(a, text);
	}
	world_settle();
	world_crash(1);
	world_revive(1);
	world_settle();
	for (unsigned i = 0; i < 20 * N; i++) {
		snprintf(text, sizeof(text),
			 "a-rather-long-name-of-a-channel-so-that-they-do-not-fit-%u", i);
		there += count_at(0, text) + count_at(1, text);
	}
	assert_int_equal(there, 20 * N);
	client_free(a);
	world_close();
}

/* ── full ── */

TEST(memory, a_publication_that_cannot_be_handed_to_all_is_given_to_nobody)
{
	world_open(3);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(0), *b = client_open(1), *c = client_open(2);
	client_subscribe(a, ch);
	client_subscribe(b, ch);
	world_settle();
	char *big = malloc(100001);
	memset(big, '1', 100000);
	big[100000] = '\0';
	unsigned taken = 0, asked = 0;
	/* worker 1 does not read its mailbox: the home's queue fills */
	for (; asked < 1000; asked++) {
		enum hub_outcome o = client_publish_as(c, ch, big, asked % 2 ? PUB_F_ACK : 0);
		if (o != HUB_OK)
			break;
		worker_turn(&world.w[2], true);
		worker_turn(&world.w[0], true);
		worker_turn(&world.w[2], true);
		if (client_heard(c, "outcome 3"))
			break;
		taken++;
	}
	assert_int_equal(HUB_OVERLOADED, 3);
	assert_true(taken > 10 && asked < 1000);
	assert_int_equal(client_heard(c, "outcome 3"), 1); /* asked for or not */
	assert_int_equal(client_heard(a, "message"), taken);
	assert_int_equal(client_publish_as(a, ch, big, PUB_F_ACK), HUB_OVERLOADED);
	struct client *late = client_open(2); /* answers and subscribes are always taken */
	client_subscribe(late, ch);
	world_settle();
	assert_int_equal(client_heard(late, "subscribed"), 1);
	assert_int_equal(client_heard(a, "message"), taken);
	assert_int_equal(client_heard(b, "message"), taken);
	client_publish(a, ch, "2");
	world_settle();
	assert_int_equal(client_heard(b, "\"data\":2,"), 1);
	free(big);
	client_free(a);
	client_free(b);
	client_free(c);
	client_free(late);
	world_close();
}

TEST(memory, a_fan_out_that_cannot_follow_makes_homes_refuse_not_grow)
{
	enum { N = 200 };
	world_open(2);
	world.cfg.memory.queue_bytes = 128 << 10;
	world.cfg.memory.mailbox_overflow_bytes = 256 << 10;
	world_crash(1); /* so that it begins again with this bound */
	world_revive(1);
	const char *ch = channel_at_home(0, 0, name);
	struct client *cl[N], *a = client_open(0);
	for (unsigned i = 0; i < N; i++) {
		cl[i] = client_open(1);
		client_subscribe_as(cl[i], ch, ENC_CHANNEL, HUB_SUB_QUIET);
	}
	world_settle();
	char data[2001];
	memset(data, '1', 2000);
	data[2000] = '\0';
	unsigned taken = 0, i = 0;
	for (; i < 100000; i++) {
		if (client_publish(a, ch, data) != HUB_OK)
			break;
		taken++;
		worker_turn(&world.w[0], true);
		if (!fanout_congested(&world.w[1])) /* it drains, but its fan-out gets no time */
			mailbox_drain(world.w[1].mailbox, world_message, &world.w[1], 64 << 10);
		assert_true(fanout_memory(world.w[1].fanout) < 512 << 10);
	}
	assert_true(i < 100000);
	world_settle();
	for (unsigned k = 0; k < N; k++)
		assert_int_equal(cl[k]->n, taken);
	for (unsigned k = 0; k < N; k++)
		client_free(cl[k]);
	client_free(a);
	world_close();
}

/* ── homes without memory, and liars ── */

static bool told(unsigned from, uint16_t type, const void *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1); /* aligned, and of exactly its size */
	memcpy(copy, p, n);
	bool ok = engine_memory.message(&world.w[0], from, type, BYTES(copy, n));
	free(copy);
	return ok;
}

TEST(memory, a_subscription_that_its_home_cannot_take_is_told_and_leaves_nothing)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0);
	struct wire_subscribed m = {.seq = 1, .outcome = HUB_OVERLOADED};
	char want[64];
	client_subscribe(a, ch);
	assert_true(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	snprintf(want, sizeof(want), "lost %s flags 0 ask 7", ch);
	worker_turn(&world.w[0], true); /* the home itself has no turn */
	assert_int_equal(client_heard(a, want), 1);
	assert_int_equal(a->c->sub_count, 0);
	assert_int_equal(hub_channel_count(world.w[0].hub), 0);
	/* whoever was there already stays, in the words it had */
	client_subscribe(a, ch);
	m = (struct wire_subscribed){.epoch = 1, .seq = 2, .count = 1};
	assert_true(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	client_subscribe_as(a, ch, ENC_CHAT, HUB_SUB_QUIET);
	m = (struct wire_subscribed){.seq = 3, .outcome = HUB_OVERLOADED};
	assert_true(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	snprintf(want, sizeof(want), "lost %s flags %u", ch, HUB_SUB_QUIET);
	worker_turn(&world.w[0], true);
	assert_int_equal(client_heard(a, want), 1);
	assert_true(hub_is_subscribed(&world.w[0], a->c, 0, bytes_str(ch)));
	client_free(a);
	world_close();
}

TEST(memory, nobody_is_put_into_a_channel_that_he_did_not_ask_for)
{
	world_open(2);
	const char *ch = channel_at_home(1, 0, name);
	struct client *a = client_open(0);
	struct wire_subscribed m = {.epoch = 1, .seq = 1, .count = 1};
	assert_false(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	client_subscribe(a, ch);
	m.seq = 7;
	assert_false(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	struct wire_unsubscribed u = {.seq = 1};
	assert_false(told(1, MSG_UNSUBSCRIBED, &u, sizeof(u)));
	m.seq = 1;
	assert_true(told(1, MSG_SUBSCRIBED, &m, sizeof(m)));
	assert_false(told(1, MSG_SUBSCRIBED, &m, sizeof(m))); /* once */
	client_free(a);
	world_close();
}

TEST(memory, only_a_channels_home_delivers_and_only_to_it_one_publishes)
{
	uint8_t buf[512] __attribute__((aligned(8)));
	char other[32];
	world_open(3);
	channel_at_home(1, 0, name);
	channel_at_home(0, 0, other);
	struct publication p = {.kind = PUB_MESSAGE, .data = BYTES_LIT("1")};
	const char *const channel[] = {name, other};
	for (unsigned i = 0; i < 2; i++) {
		struct publication_head head;
		struct bytes parts[PUBLICATION_PARTS];
		size_t n = sizeof(struct wire_publish);
		memset(buf, 0, n);
		p.channel = bytes_str(channel[i]);
		publication_pack(&p, &head, parts);
		for (unsigned k = 0; k < PUBLICATION_PARTS; k++) {
			if (parts[k].n > 0)
				memcpy(buf + n, parts[k].p, parts[k].n);
			n += parts[k].n;
		}
		bool ours = i == 1; /* at home in worker 0 */
		assert_int_equal(told(1, MSG_PUBLISH, buf, n), ours);
		assert_int_equal(told(1, MSG_DELIVER, buf + 8, n - 8), !ours);
		assert_false(told(2, MSG_DELIVER, buf + 8, n - 8));
		assert_false(told(0, MSG_PUBLISH, buf, n)); /* ourselves */
		assert_false(told(3, MSG_PUBLISH, buf, n)); /* the admin worker has no clients */
		assert_false(told(1, MSG_PUBLISH, buf, n - 1));
		/* in the name of another worker's client */
		((struct publication_head *)(buf + 8))->sender_worker = 2;
		((struct publication_head *)(buf + 8))->sender_gen = 1;
		assert_false(told(1, MSG_PUBLISH, buf, n));
	}
	world_close();
}

TEST(memory, an_unsubscribe_of_what_was_never_there_harms_nobody)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(0), *b = client_open(1);
	struct {
		struct wire_ask head;
		char text[40];
	} m = {.head = {.index = 1, .gen = 1, .channel_n = (uint8_t)strlen(ch)}};
	memcpy(m.text, ch, strlen(ch));
	size_t n = sizeof(m.head) + strlen(ch);
	client_subscribe(a, ch);
	assert_true(told(1, MSG_UNSUBSCRIBE, &m, n));
	assert_int_equal(count_at(0, ch), 1);
	client_publish(b, ch, "1");
	world_settle();
	assert_int_equal(client_heard(a, "\"data\":1,"), 1);
	m.head.flags = 0x80;
	assert_false(told(1, MSG_UNSUBSCRIBE, &m, n));
	m.head.flags = 0;
	m.head._zero[6] = 1;
	assert_false(told(1, MSG_UNSUBSCRIBE, &m, n));
	assert_false(told(1, MSG_SUBSCRIBE, &m, n));
	assert_false(told(1, MSG_QUERY, &m, n));
	client_free(a);
	client_free(b);
	world_close();
}

TEST(memory, an_announcement_with_a_bad_item_is_refused)
{
	static struct wire_announcing a;
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	wire_announce_begin(&a);
	wire_announce_add(&a, 3, 0, bytes_str(ch));
	struct bytes m = wire_announce_end(&a, true);
	assert_true(told(1, MSG_ANNOUNCE, m.p, m.n));
	assert_int_equal(count_at(0, ch), 3);
	for (size_t n = 0; n < m.n; n++)
		assert_false(told(1, MSG_ANNOUNCE, m.p, n));
	a.bytes[8] = a.bytes[9] = a.bytes[10] = 0; /* a count of none */
	assert_false(told(1, MSG_ANNOUNCE, m.p, m.n));
	a.bytes[11] = 0xff; /* more than a slab can hold */
	assert_false(told(1, MSG_ANNOUNCE, m.p, m.n));
	assert_int_equal(count_at(0, ch), 3);
	world_close();
}

TEST_MAIN()
