/* SPDX-License-Identifier: BSD-2-Clause */
/* The ids of messages that are remembered: against a list that forgets by the same rules. */
#include "test.h"

#include <stdlib.h>

#include "../hub/world.h"
#include "engine/memory.h"

enum { MAX = 50, OF_SENDER = 8, WINDOW = 1000 };

static struct dedupe_id id_of(unsigned sender, unsigned id)
{
	return (struct dedupe_id){.hash = id * 64 + sender, .sender = sender};
}

TEST(dedupe, remembers_as_many_and_as_long_as_it_should)
{
	struct known {
		unsigned sender, id;
		uint64_t at, offset;
	} list[MAX + 1];
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct dedupe d;
		unsigned n = 0;
		uint64_t now = 1000000;
		srand(seed);
		dedupe_init(&d, MAX, OF_SENDER, WINDOW);
		for (unsigned step = 1; step <= 1000; step++) {
			unsigned sender = (unsigned)rand() % (seed % 2 ? 4 : 20),
				 id = (unsigned)rand() % 20;
			now += (unsigned)rand() % (step % 100 ? 30 : 2000);
			while (n > 0 && now - list[0].at > WINDOW)
				memmove(list, list + 1, --n * sizeof(list[0]));
			if (rand() % 8 == 0)
				dedupe_sweep(&d, now);
			unsigned i = 0;
			while (i < n && (list[i].sender != sender || list[i].id != id))
				i++;
			const struct dedupe_place *p = dedupe_find(&d, id_of(sender, id), now);
			assert_int_equal(p != NULL, i < n);
			if (i < n) {
				assert_int_equal(p->offset, list[i].offset);
				continue;
			}
			dedupe_add(&d, id_of(sender, id),
				   (struct dedupe_place){.epoch = 1, .offset = step}, now);
			if (n == MAX)
				memmove(list, list + 1, --n * sizeof(list[0]));
			unsigned of_sender = 0;
			for (unsigned k = n; k-- > 0;)
				if (list[k].sender == sender && ++of_sender == OF_SENDER) {
					memmove(list + k, list + k + 1,
						(--n - k) * sizeof(list[0]));
					break;
				}
			list[n++] = (struct known){sender, id, now, step};
			assert_true(d.n <= MAX);
		}
		dedupe_sweep(&d, now + WINDOW + 1);
		assert_int_equal(d.n, 0);
		dedupe_fini(&d);
	}
}

static char name[32];

static enum hub_outcome say(struct client *c, const char *ch, const char *id, const char *data)
{
	struct session_name who;
	session_name(c->w, c->c, &who);
	struct publication p = {
		.kind = PUB_MESSAGE,
		.flags = PUB_F_ACK,
		.channel = bytes_str(ch),
		.from = who.id,
		.data = bytes_str(data),
		.ask = BYTES_LIT("9"),
		.id = bytes_str(id),
		.sender = {.worker = (uint16_t)c->w->id,
			   .index = conn_index(&c->w->slab, c->c),
			   .gen = c->c->gen},
	};
	return hub_publish(c->w, &p);
}

TEST(dedupe, what_is_sent_again_is_answered_again_and_not_delivered_again)
{
	for (unsigned home = 0; home < 2; home++) {
		world_open(2);
		const char *ch = channel_at_home(home, 0, name);
		struct client *a = client_open(0), *b = client_open(0), *c = client_open(1);
		client_subscribe(c, ch);
		world_settle();
		say(a, ch, "m1", "1");
		say(a, ch, "m1", "1");
		say(a, ch, "m2", "2");
		say(b, ch, "m1", "3");          /* another's id */
		say(a, "elsewhere", "m1", "4"); /* another channel's */
		world_settle();
		world_wait(59000);
		say(a, ch, "m1", "1");
		world_settle();
		assert_int_equal(client_heard(c, "\"data\":1,"), 1);
		assert_int_equal(client_heard(c, "\"data\":2,"), 1);
		assert_int_equal(client_heard(c, "\"data\":3,"), 1);
		assert_int_equal(client_heard(a, "offset 1 outcome 0 ask 9"), 4);
		assert_int_equal(client_heard(a, "offset 2 outcome 0 ask 9"), 1);
		assert_int_equal(client_heard(b, "offset 3 outcome 0 ask 9"), 1);
		assert_int_equal(client_heard(c, "m1"), 0);
		world_wait(1001);
		say(a, ch, "m1", "1");
		world_settle();
		assert_int_equal(client_heard(c, "\"data\":1,"), 2);
		client_free(a);
		client_free(b);
		client_free(c);
		world_close();
	}
}

TEST(dedupe, what_was_held_for_a_home_that_was_down_keeps_its_id)
{
	world_open(2);
	const char *ch = channel_at_home(0, 0, name);
	struct client *a = client_open(1), *c = client_open(1);
	client_subscribe(c, ch);
	world_settle();
	world_crash(0);
	assert_int_equal(say(a, ch, "m1", "1"), HUB_OK);
	assert_int_equal(say(a, ch, "m1", "1"), HUB_OK);
	world_revive(0);
	world_settle();
	assert_int_equal(client_heard(c, "\"data\":1,"), 1);
	assert_int_equal(client_heard(a, "outcome 0 ask 9"), 2);
	client_free(a);
	client_free(c);
	world_close();
}

TEST(dedupe, without_a_window_an_id_means_nothing)
{
	world_open(1);
	struct client *a = client_open(0);
	world.w[0].engine->taken.window_ns = 0;
	client_subscribe(a, "x");
	say(a, "x", "m1", "1");
	say(a, "x", "m1", "1");
	world_settle();
	assert_int_equal(client_heard(a, "\"data\":1,"), 2);
	client_free(a);
	world_close();
}

TEST_MAIN()
