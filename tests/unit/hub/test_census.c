/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is in a channel, over several workers: pages, what the dead take with them, and lies. */
#include "test.h"

#define WORLD_SLAB 512
#include "world.h"

#include "hub/census.c"

enum { WORKERS = 4 };

/* ── asking ── */

static enum hub_outcome ask_from(struct client *cl, const char *channel, uint32_t limit,
				 struct census_place from)
{
	struct census_args a = {
		.channel = bytes_str(channel), .ask = BYTES_LIT("7"), .from = from, .limit = limit};
	return census_ask(cl->w, cl->c, &a);
}

static enum hub_outcome ask_who(struct client *cl, const char *channel, uint32_t limit)
{
	return ask_from(cl, channel, limit, (struct census_place){0});
}

static const char *last_of(const struct client *cl)
{
	return cl->n > 0 ? cl->log[cl->n - 1] : "";
}

/* A page as its asker has heard it. */
struct page {
	unsigned long long count;
	unsigned name[CENSUS_PAGE_MAX], n;
	struct census_place next;
	bool more, partial;
};

static struct page page_of(const char *line)
{
	struct page p = {0};
	int used;
	assert_int_equal(sscanf(line, "counted %*s %llu:%n", &p.count, &used), 1);
	for (line += used; sscanf(line, " c%u%n", &p.name[p.n], &used) == 1; p.n++)
		line += used + strcspn(line + used, " ");
	p.more = sscanf(line, " next w%u.%u", &p.next.worker, &p.next.index) == 2;
	p.partial = strstr(line, " partial ") != NULL;
	return p;
}

static struct page page(struct client *cl, const char *channel, uint32_t limit,
			struct census_place from)
{
	unsigned before = cl->n;
	assert_int_equal(ask_from(cl, channel, limit, from), HUB_OK);
	world_settle();
	assert_int_equal(cl->n, before + 1);
	return page_of(last_of(cl));
}

static struct client *member(unsigned worker, const char *channel)
{
	struct client *cl = client_open(worker);
	assert_int_equal(client_subscribe(cl, channel), HUB_OK);
	world_settle();
	return cl;
}

static void free_all(struct client **cl, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		client_close(cl[i]);
		client_free(cl[i]);
	}
}

/* ── tests ── */

TEST(census, all_pages_together_are_everybody_once)
{
	static struct client *cl[150];
	world_open(WORKERS);
	for (unsigned i = 0; i < 150; i++)
		cl[i] = member(i % 7 < 3 ? 2 : i % 2, "c"); /* nobody on worker 3 */
	for (uint32_t limit = 1; limit <= 100; limit += limit < 12 ? 1 : 22) {
		static const struct census_place begin;
		unsigned seen[150] = {0}, pages = 0, first = cl[0]->c->born_ticks;
		struct page p = {.next = begin, .more = true};
		while (p.more) {
			p = page(cl[limit % 150], "c", limit, p.next);
			assert_int_equal(p.count, 150);
			assert_false(p.partial);
			assert_int_equal(p.n, p.more ? limit : 150 - pages * limit);
			for (unsigned i = 0; i < p.n; i++)
				seen[p.name[i] - first]++;
			pages++;
		}
		for (unsigned i = 0; i < 150; i++)
			assert_int_equal(seen[i], 1);
		assert_int_equal(pages, (150 + limit - 1) / limit);
	}
	free_all(cl, 150);
	world_close();
}

TEST(census, a_count_alone_lists_nobody)
{
	struct client *cl[] = {NULL, NULL, NULL};
	world_open(3);
	for (unsigned i = 0; i < 3; i++)
		cl[i] = member(i, "c");
	assert_int_equal(ask_who(cl[1], "c", 0), HUB_OK);
	assert_int_equal(ask_who(cl[1], "other", 9), HUB_OK);
	world_settle();
	assert_int_equal(client_heard(cl[1], "counted c 3: ask 7"), 1);
	assert_int_equal(client_heard(cl[1], "counted other 0: ask 7"), 1);
	free_all(cl, 3);
	world_close();
}

TEST(census, users_are_told_by_name_and_connections_one_by_one)
{
	static const uint8_t digest[32];
	world_open(2);
	struct client *cl[] = {client_open(0), client_open(1), client_open(1)};
	char want[128];
	for (unsigned i = 0; i < 2; i++)
		assert_true(identity_set(cl[i]->w, cl[i]->c,
					 &(struct identity){.user = BYTES_LIT("alice"),
							    .certificate = digest}));
	for (unsigned i = 0; i < 3; i++)
		client_subscribe_as(cl[i], "c", i == 2 ? ENC_ROOM : ENC_CHANNEL, 0);
	world_settle();
	ask_who(cl[2], "c", 10);
	world_settle();
	snprintf(want, sizeof(want), "counted c 3: c%u=alice c%u=alice c%u ask 7",
		 cl[0]->c->born_ticks, cl[1]->c->born_ticks, cl[2]->c->born_ticks);
	assert_string_equal(last_of(cl[2]), want);
	free_all(cl, 3);
	world_close();
}

/* The one who is asked for members dies before it answers, or after. */
TEST(census, what_a_dead_worker_had_is_nobody_and_the_answer_says_so)
{
	for (unsigned turns = 0; turns < 2; turns++) {
		world_open(3);
		struct client *cl[] = {member(0, "c"), member(1, "c"), member(2, "c")};
		unsigned a = cl[0]->c->born_ticks, b = cl[2]->c->born_ticks;
		char want[128];
		ask_who(cl[2], "c", 10);
		for (unsigned k = 0; turns && k < 3; k++) /* all counts, and the first list */
			worker_turn(&world.w[k], true);
		for (unsigned k = 2; turns && k < 3; k++)
			worker_turn(&world.w[k], true);
		world_crash(1);
		world_settle();
		snprintf(want, sizeof(want), "counted c 2: c%u c%u partial ask 7", a, b);
		assert_string_equal(last_of(cl[2]), want);
		assert_int_equal(cl[2]->n, 2);
		/* and who asks later asks the living only */
		ask_who(cl[2], "c", 10);
		world_settle();
		snprintf(want, sizeof(want), "counted c 2: c%u c%u ask 7", a, b);
		assert_string_equal(last_of(cl[2]), want);
		world_revive(1);
		world_settle();
		struct page p =
			page(cl[2], "c", 10, (struct census_place){.worker = 1, .index = 5});
		assert_int_equal(p.count, 2);
		assert_int_equal(p.n, 1);
		free_all(cl, 3);
		world_close();
	}
}

TEST(census, after_two_seconds_the_answer_is_what_has_come)
{
	world_open(3);
	struct client *cl[] = {member(0, "c"), member(1, "c"), member(2, "c")};
	char want[128];
	ask_who(cl[0], "c", 10);
	ask_who(cl[0], "c", 0);
	worker_turn(&world.w[1], true); /* worker 2 sleeps */
	worker_turn(&world.w[0], true);
	world_wait(CENSUS_WAIT_MS - 1);
	worker_turn(&world.w[0], true);
	assert_int_equal(cl[0]->n, 1);
	world_wait(1);
	worker_turn(&world.w[0], true);
	snprintf(want, sizeof(want), "counted c 2: c%u next w1.0 partial ask 7",
		 cl[0]->c->born_ticks);
	assert_string_equal(cl[0]->log[1], want);
	assert_string_equal(cl[0]->log[2], "counted c 2: partial ask 7");
	world_settle(); /* what comes now is for nobody */
	assert_int_equal(cl[0]->n, 3);
	assert_int_equal(world.w[0].census->n, 0);
	free_all(cl, 3);
	world_close();
}

TEST(census, what_waits_is_bounded_for_each_conn_and_for_all)
{
	static struct client *cl[CENSUS_ASKS_MAX / CENSUS_OF_CONN + 1];
	unsigned n = ARRAY_SIZE(cl);
	world_open(2);
	for (unsigned i = 0; i < n; i++)
		cl[i] = client_open(0);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k <= CENSUS_OF_CONN; k++)
			assert_int_equal(ask_who(cl[i], "c", 1),
					 k < CENSUS_OF_CONN && i < n - 1 ? HUB_OK : HUB_OVERLOADED);
	client_close(cl[0]); /* its answers go nowhere */
	world_settle();
	assert_int_equal(world.w[0].census->n, 0);
	assert_int_equal(cl[1]->n, CENSUS_OF_CONN);
	assert_int_equal(cl[n - 1]->n, 0);
	assert_int_equal(ask_who(cl[n - 1], "c", 1), HUB_OK);
	world_settle();
	free_all(cl, n);
	world_close();
}

/* Fills worker k's queue for another one until it refuses. */
static void crowd(unsigned k, unsigned to)
{
	static uint8_t much[64 << 10];
	for (size_t n = sizeof(much); n > 0; n /= 64) {
		struct bytes part = BYTES(much, n);
		while (mailbox_send(world.w[k].mailbox, to, MSG_CENSUS, 0, &part, 1,
				    MAILBOX_MAY_REFUSE) == MAILBOX_OK)
			;
	}
}

static unsigned n_malformed;

static void any_message(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	n_malformed += !census_message(ctx, from, type, data);
}

TEST(census, a_crowded_worker_still_tells_its_count)
{
	static const struct census_place there = {.worker = 1};
	world_open(2);
	struct client *cl[] = {member(0, "c"), member(1, "c")};
	crowd(1, 0);
	ask_from(cl[0], "c", 10, there);
	for (unsigned i = 0; i < 1000 && cl[0]->n < 2; i++) {
		worker_turn(&world.w[1], true);
		mailbox_drain(world.w[0].mailbox, any_message, &world.w[0], 1 << 20);
		batch_flush(&world.w[0]);
	}
	assert_string_equal(last_of(cl[0]), "counted c 2: next w1.0 partial ask 7");
	assert_true(n_malformed > 0); /* what crowded it was nonsense */
	struct page p = page(cl[0], "c", 10, there);
	assert_int_equal(p.n, 1);
	assert_false(p.more || p.partial);
	free_all(cl, 2);
	world_close();
}

TEST(census, what_cannot_be_asked_is_refused_or_partial)
{
	world_open(2);
	struct client *cl[] = {member(0, "c"), member(1, "c")};
	char want[128];
	ask_who(cl[0], "c", 10);
	worker_turn(&world.w[1], true);
	crowd(0, 1); /* the count is there: who they are cannot be asked */
	worker_turn(&world.w[0], true);
	snprintf(want, sizeof(want), "counted c 2: c%u next w1.0 partial ask 7",
		 cl[0]->c->born_ticks);
	assert_string_equal(last_of(cl[0]), want);
	assert_int_equal(ask_who(cl[0], "c", 10), HUB_OVERLOADED);
	assert_int_equal(world.w[0].census->n, 0);
	for (unsigned i = 0; i < 1000 && mailbox_queued(world.w[0].mailbox, 1) > 0; i++) {
		mailbox_drain(world.w[1].mailbox, any_message, &world.w[1], 1 << 20);
		worker_turn(&world.w[0], true);
	}
	while (mailbox_drain(world.w[1].mailbox, any_message, &world.w[1], 1 << 20) > 0)
		;
	assert_int_equal(page(cl[0], "c", 10, (struct census_place){0}).n, 2);
	free_all(cl, 2);
	world_close();
}

/* ── lies ── */

static bool hears(unsigned from, uint16_t type, const void *p, size_t n)
{
	uint8_t *copy = malloc(n + 1);
	memcpy(copy, p, n);
	bool ok = census_message(&world.w[0], from, type, BYTES(copy, n));
	free(copy);
	return ok;
}

struct lie {
	struct counted head;
	uint8_t list[64];
};

TEST(census, lies_are_told_from_answers)
{
	world_open(3);
	struct client *cl = member(0, "c");
	ask_who(cl, "c", 2);
	const struct ask *a = *place_of(world.w[0].census, world.w[0].census->last);
	assert_int_equal(a->lister, NOBODY); /* its own list is there: one of two */
	assert_int_equal(a->n, 1);
	const struct lie good = {.head = {.number = a->number, .count = 5, .next = CONN_NONE}};
	struct lie m;
#define COUNTED(from, n) hears(from, MSG_COUNTED, &m, sizeof(m.head) + (n))
#define LIE(from, n, ...)                                                                          \
	do {                                                                                       \
		m = good;                                                                          \
		__VA_ARGS__;                                                                       \
		assert_false(COUNTED(from, n));                                                    \
		assert_int_equal(a->awaited, 2);                                                   \
	} while (0)
	LIE(0, 0);
	LIE(3, 0);
	LIE(1, 1);
	LIE(1, 17, m.head.n = 1); /* nobody asked it for a list */
	LIE(1, 0, m.head.next = 7);
	LIE(1, 0, m.head.next = CONN_MAX);
	LIE(1, 0, m.head.cut = 1);
	LIE(1, 0, m.head.cut = 2);
	LIE(1, 0, m.head._zero[1] = 1);
	LIE(1, 0, m.head.count = CONN_MAX + 1);
	assert_false(hears(1, MSG_COUNTED, &good, sizeof(good.head) - 1));
	m = good;
	m.head.number += CENSUS_ASKS_MAX; /* of the same place: too late, as far as we know */
	assert_true(COUNTED(1, 0));
	m = good;
	assert_true(COUNTED(1, 0));
	assert_false(COUNTED(1, 0)); /* it has answered */
	assert_true(COUNTED(2, 0));
	assert_int_equal(a->lister, 1);
	assert_int_equal(a->awaited, 1);
#undef LIE
#define LIE(n_, ...)                                                                               \
	do {                                                                                       \
		m = good;                                                                          \
		m.head.n = 1;                                                                      \
		__VA_ARGS__;                                                                       \
		assert_false(COUNTED(1, n_));                                                      \
		assert_int_equal(a->awaited, 1);                                                   \
	} while (0)
	LIE(16);
	LIE(18);
	LIE(17, m.list[16] = 1);
	LIE(18, m.list[16] = 1, m.list[17] = '\n');
	LIE(18, m.list[16] = 1, m.list[17] = 0xff);
	LIE(34, m.head.n = 2); /* there is room for one */
	LIE(17, m.head.count = 0);
	LIE(17, m.head.next = 0);
	LIE(17, m.head.cut = 1);
	LIE(0, m.head.n = 0, m.head.next = 9);
	LIE(0, m.head.n = 0, m.head.cut = 1, m.head.next = 9);
	m = good;
	m.head.n = 1;
	m.head.next = 9;
	m.list[16] = 1;
	m.list[17] = 'u';
	assert_true(COUNTED(1, 18));
	assert_int_equal(world.w[0].census->n, 0);
	batch_flush(&world.w[0]);
	assert_non_null(strstr(last_of(cl), "c0=u next w1.9 ask 7"));
	assert_non_null(strstr(last_of(cl), "counted c 11:"));
	world_settle();
	free_all(&cl, 1);
	world_close();
}

TEST(census, questions_are_checked)
{
	struct {
		struct question q;
		char text[8];
	} m, good = {.q = {.number = 1, .max = 100, .channel_n = 1}, .text = "c"};
#define ASKS(from, n) hears(from, MSG_CENSUS, &m, sizeof(m.q) + (n))
	world_open(2);
	m = good;
	assert_true(ASKS(1, 1));
	assert_false(ASKS(0, 1)); /* ourselves */
	assert_false(ASKS(2, 1)); /* the admin worker */
	assert_false(ASKS(1, 0));
	assert_false(ASKS(1, 2));
	assert_false(hears(1, MSG_CENSUS, &m, sizeof(m.q) - 1));
	m.q.max = 101;
	assert_false(ASKS(1, 1));
	m = good;
	m.q._zero[0] = 1;
	assert_false(ASKS(1, 1));
	m = good;
	m.text[0] = '\n';
	assert_false(ASKS(1, 1));
	m = good;
	m.q.channel_n = 0;
	assert_false(ASKS(1, 0));
	world_close();
}

/* ── against a model ── */

/* Clients come, go, change words and ask while workers have their turns in random order: who was
 * there all the while is there once, who never was is not there at all, and nobody twice. */
TEST(census, random_life_against_a_model)
{
	enum { CLIENTS = 120, STEPS = 6000, ROUNDS = 12 };
	static struct client *cl[CLIENTS];
	static uint8_t in[CLIENTS], seen[CLIENTS]; /* in: 1 is there, 2 may be, 0 never was */
	for (unsigned round = 0; round < ROUNDS; round++) {
		srand(round);
		world_open(1 + round % WORLD_MAX);
		bool quiet = round % 3 == 0; /* nobody comes or goes while there are pages */
		for (unsigned i = 0; i < CLIENTS; i++) {
			cl[i] = client_open((unsigned)rand() % world.n);
			in[i] = 0;
			if (rand() % 3 == 0)
				continue;
			client_subscribe_as(cl[i], "c", (enum encoding)(rand() % ENC_RAW), 0);
			in[i] = 1;
		}
		world_settle();
		unsigned first = cl[0]->c->born_ticks;
		for (unsigned lists = 0; lists < STEPS / 100; lists++) {
			struct page p = {.more = true};
			unsigned total = 0;
			struct client *who = cl[(unsigned)rand() % CLIENTS];
			client_forget(who);
			memset(seen, 0, sizeof(seen));
			for (unsigned i = 0; i < CLIENTS; i++)
				total += in[i] == 1;
			while (p.more) {
				uint32_t limit = 1 + (uint32_t)rand() % 40;
				client_forget(who);
				assert_int_equal(ask_from(who, "c", limit, p.next), HUB_OK);
				while (client_heard(who, "counted") == 0) {
					worker_turn(&world.w[(unsigned)rand() % world.n],
						    rand() % 2);
					unsigned i = (unsigned)rand() % CLIENTS;
					if (quiet || rand() % 4 || cl[i] == who)
						continue;
					if (rand() % 2)
						client_subscribe_as(
							cl[i], "c",
							(enum encoding)(rand() % ENC_RAW), 0);
					else
						client_unsubscribe(cl[i], "c");
					in[i] = 2;
				}
				p = page_of(who->log[client_line(who, "counted")]);
				assert_false(p.partial);
				assert_true(p.n <= limit && (!p.more || p.n == limit || !quiet));
				if (quiet)
					assert_int_equal(p.count, total);
				for (unsigned i = 0; i < p.n; i++)
					seen[p.name[i] - first]++;
			}
			for (unsigned i = 0; i < CLIENTS; i++) {
				assert_true(in[i] != 1 || seen[i] == 1);
				assert_true(in[i] != 0 || seen[i] == 0);
				assert_true(seen[i] <= 1);
			}
			world_settle();
			for (unsigned i = 0; i < CLIENTS; i++)
				in[i] = hub_is_subscribed(cl[i]->w, cl[i]->c, 0, BYTES_LIT("c"));
		}
		free_all(cl, CLIENTS);
		world_settle();
		for (unsigned k = 0; k < world.n; k++)
			assert_int_equal(world.w[k].census->n, 0);
		world_close();
	}
}

TEST_MAIN()
