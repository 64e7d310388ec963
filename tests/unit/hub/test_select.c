/* SPDX-License-Identifier: BSD-2-Clause */
/* Set algebra over the hub's sets: against a model of arrays, and between workers. */
#include "test.h"

/* The names of the model's expressions are looked up here. */
#include "hub/hub.h"
#define hub_channel set_of
#define hub_group   set_of
static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name);
#include "hub/select.c"
#undef hub_channel
#undef hub_group

#include "world.h"

/* ── against a model ── */

#define N     3000u /* indexes, each 37 apart, so that there are two containers */
#define STEP  37u
#define NAMES 8u

static struct members sets[NAMES];
static int8_t in[NAMES][N]; /* the encoding; -1: not in */

/* "0" to "7", "user:0" likewise; any other has nobody. */
static struct members *set_of(const struct worker *w, uint16_t space, struct bytes name)
{
	uint8_t digit = name.p[name.n - 1];
	if (w->hub != NULL) { /* the tests of a world */
		bool group = name.n > 5 && name.p[4] == ':';
		return group ? hub_group(w, space, name) : hub_channel(w, space, name);
	}
	return digit >= '0' && digit < '0' + (int)NAMES ? &sets[digit - '0'] : NULL;
}

/* Some empty, some with a few, some with some hundreds, some with nearly all. */
static void fill(void)
{
	static const unsigned share[NAMES] = {0, 1, 4, 30, 300, 1500, 2900, 3000};
	for (unsigned k = 0; k < NAMES; k++) {
		unsigned which = (unsigned)rand() % NAMES;
		for (unsigned i = 0; i < N; i++) {
			in[k][i] = -1;
			if ((unsigned)rand() % N >= share[which])
				continue;
			uint8_t e = (uint8_t)(rand() % 4 ? ENC_CHANNEL : rand() % ENC_COUNT);
			e |= rand() % 4 == 0 ? ENC_DEFLATED : 0;
			assert_true(members_put(&sets[k], i * STEP, e));
			in[k][i] = (int8_t)e;
		}
		if (rand() % 2) { /* runs, as in sets at rest */
			members_rest(&sets[k]);
			members_rest(&sets[k]);
		}
	}
}

static void empty(void)
{
	for (unsigned k = 0; k < NAMES; k++)
		members_fini(&sets[k]);
}

/* A name of the model, or one that nobody has. */
static void any_name(struct expression *x, uint8_t list)
{
	static const uint8_t digits[] = "0123456789";
	x->item[x->n++] = (struct expression_name){
		.list = list,
		.kind = (uint8_t)(rand() % EXPRESSION_KINDS),
		.name = BYTES(digits + rand() % (NAMES + 1), 1),
	};
}

static void any_expression(struct expression *x)
{
	unsigned any = (unsigned)rand() % 4, all = (unsigned)rand() % 4 / (any ? 2 : 1),
		 except = (unsigned)rand() % 4;
	*x = (struct expression){0};
	for (unsigned i = 0; i < any; i++)
		any_name(x, EXPRESSION_ANY);
	for (unsigned i = 0; i < all + (any + all == 0); i++)
		any_name(x, EXPRESSION_ALL);
	for (unsigned i = 0; i < except; i++)
		any_name(x, EXPRESSION_EXCEPT);
}

static int8_t model_of(const struct expression_name *it, unsigned i)
{
	unsigned k = (unsigned)(it->name.p[0] - '0');
	return k < NAMES ? in[k][i] : -1;
}

/* The item by which it hears, -1: it is not meant. */
static int model(const struct expression *x, unsigned i)
{
	int by = -1;
	bool has_any = x->item[0].list == EXPRESSION_ANY;
	for (uint32_t k = 0; k < x->n; k++) {
		bool is = model_of(&x->item[k], i) >= 0;
		if (x->item[k].list == EXPRESSION_EXCEPT ? is :
		    x->item[k].list == EXPRESSION_ALL    ? !is :
							   false)
			return -1;
		if (by < 0 && is && x->item[k].list == (has_any ? EXPRESSION_ANY : EXPRESSION_ALL))
			by = (int)k;
	}
	return by;
}

/* What was chosen: by which item, in which encoding. */
static struct {
	int by[N];
	int8_t encoding[N];
	const struct expression *x;
	int last;
} got;

static void take_index(const struct publication *q, int by, uint8_t e, uint32_t index)
{
	assert_int_equal(index % STEP, 0);
	assert_true(index / STEP < N);
	assert_int_equal(got.by[index / STEP], -1); /* once */
	got.by[index / STEP] = by;
	got.encoding[index / STEP] = (int8_t)e;
}

static void take_parts(void *ctx, const struct publication *q, const struct fanout_part *parts,
		       unsigned n)
{
	uint8_t label[EXPRESSION_NAME_MAX];
	int by = got.last + 1;
	assert_true(n > 0 && n <= ENC_SETS && q->to.n == 0);
	while (!bytes_eq(expression_label(&got.x->item[by], label), q->channel))
		assert_true(++by < (int)got.x->n); /* in order */
	got.last = by;
	for (unsigned k = 0; k < n; k++) {
		if (parts[k].n > 0) {
			for (unsigned i = 0; i < parts[k].n; i++) {
				assert_true(i == 0 || parts[k].few[i] > parts[k].few[i - 1]);
				take_index(q, by, parts[k].encoding, parts[k].few[i]);
			}
			continue;
		}
		assert_false(roaring_bitmap_is_empty(parts[k].set));
		roaring_uint32_iterator_t it;
		roaring_init_iterator(parts[k].set, &it);
		for (; it.has_value; roaring_advance_uint32_iterator(&it))
			take_index(q, by, parts[k].encoding, it.current_value);
		roaring_bitmap_free(parts[k].set);
	}
}

static void compare(struct worker *w, const struct expression *x)
{
	uint8_t packed[EXPRESSION_MAX];
	uint32_t page[N], except = rand() % 2 ? (uint32_t)rand() % N * STEP : CONN_NONE;
	struct publication p = {.kind = PUB_MESSAGE, .to = expression_pack(x, packed)};
	unsigned n = 0, at = 0, k = 1 + (unsigned)rand() % 700, left = 0;
	got.x = x;
	got.last = -1;
	memset(got.by, -1, sizeof(got.by));
	select_recipients(w, &p, except, take_parts, NULL);
	for (unsigned i = 0; i < N; i++) {
		int by = model(x, i);
		n += by >= 0;
		if (i * STEP == except)
			by = -1;
		/* a name that comes twice is told by its first */
		assert_int_equal(got.by[i] >= 0, by >= 0);
		if (by < 0)
			continue;
		assert_int_equal(model_of(&x->item[got.by[i]], i), got.encoding[i]);
		assert_true(bytes_eq(x->item[got.by[i]].name, x->item[by].name));
	}
	assert_int_equal(select_count(w, 0, p.to), n);
	for (unsigned i = 0; i < N; i++) {
		if (model(x, i) < 0)
			continue;
		if (left == 0) {
			left = select_next(w, 0, p.to, at, page, k);
			assert_true(left > 0 && left <= k);
			memmove(page + N - left, page, left * sizeof(*page));
		}
		assert_int_equal(page[N - left], i * STEP);
		at = page[N - left--] + 1;
	}
	assert_int_equal(left, 0);
	assert_int_equal(select_next(w, 0, p.to, at, page, k), 0);
}

TEST(select, random_expressions_against_a_model)
{
	struct worker w = {0};
	srand(7);
	for (unsigned round = 0; round < 60; round++) {
		fill();
		for (unsigned i = 0; i < 40; i++) {
			struct expression x;
			any_expression(&x);
			compare(&w, &x);
		}
		/* nothing of that has changed what the sets say */
		for (unsigned k = 0; k < NAMES; k++)
			for (unsigned i = 0; i < N; i++)
				assert_int_equal(members_has(&sets[k], i * STEP), in[k][i] >= 0);
		empty();
	}
}

/* ── between workers ── */

TEST(select, each_hears_once_by_the_first_name_that_it_is_in)
{
	world_open(3);
	struct client *a[9];
	for (unsigned i = 0; i < 9; i++) {
		a[i] = client_open(i % 3);
		if (i < 6)
			client_subscribe(a[i], "lobby");
		if (i >= 3)
			client_subscribe(a[i], "news");
		if (i % 2)
			client_subscribe(a[i], "muted");
	}
	world_settle();
	for (unsigned i = 0; i < 9; i++)
		client_forget(a[i]);
	assert_int_equal(world_publish_to(1, "any(lobby,news) except(muted)", "\"x\""), HUB_OK);
	world_settle();
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(a[i]->n, i % 2 ? 0 : 1);
		if (i % 2 == 0)
			assert_int_equal(client_heard(a[i], i < 6 ? "\"channel\":\"lobby\"" :
								    "\"channel\":\"news\""),
					 1);
		client_forget(a[i]);
	}
	assert_int_equal(world_publish_to(2, "all(lobby,news)", "\"y\""), HUB_OK);
	world_settle();
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(client_heard(a[i], "\"channel\":\"lobby\""), i >= 3 && i < 6);
		assert_int_equal(client_heard(a[i], "offset"), 0); /* it is not kept */
		client_free(a[i]);
	}
	world_close();
}

TEST(select, users_and_roles_hear_without_having_subscribed)
{
	world_open(2);
	struct client *a = client_open(0), *b = client_open(1), *other = client_open(1);
	client_login(a, "alice", "ops");
	client_login(b, "bob", "ops");
	client_login(other, "carol", NULL);
	assert_int_equal(world_publish_to(0, "user:bob", "1"), HUB_OK);
	assert_int_equal(world_publish_to(1, "any(role:ops,user:carol) except(user:alice)", "2"),
			 HUB_OK);
	world_settle();
	assert_int_equal(a->n, 0);
	assert_int_equal(b->n, 2);
	assert_int_equal(other->n, 1);
	assert_non_null(strstr(b->log[0], "\"room\":\"user:bob\"")); /* see proto_own_encoding() */
	assert_non_null(strstr(b->log[1], "\"room\":\"role:ops\""));
	assert_non_null(strstr(other->log[0], "\"room\":\"user:carol\""));
	client_close(b); /* and out of its groups */
	assert_null(hub_group(&world.w[1], 0, BYTES_LIT("user:bob")));
	assert_null(hub_group(&world.w[1], 0, BYTES_LIT("role:ops")));
	assert_non_null(hub_group(&world.w[0], 0, BYTES_LIT("role:ops")));
	client_free(a);
	client_free(b);
	client_free(other);
	world_close();
}

TEST(select, an_id_is_taken_once_and_the_answer_comes)
{
	world_open(2);
	struct client *a = client_open(0), *b = client_open(1);
	uint8_t packed[EXPRESSION_MAX];
	struct expression x;
	struct expression_error e;
	client_subscribe(a, "c1");
	client_subscribe(b, "c2");
	world_settle();
	client_forget(a);
	assert_true(expression_from_text(BYTES_LIT("any(c1,c2,c3)"), &x, &e));
	struct publication p = {
		.kind = PUB_MESSAGE,
		.flags = PUB_F_ACK | PUB_F_NO_ECHO,
		.channel = BYTES_LIT("c1"),
		.to = expression_pack(&x, packed),
		.from = BYTES_LIT("me"),
		.data = BYTES_LIT("[1]"),
		.ask = BYTES_LIT("9"),
		.id = BYTES_LIT("m"),
		.sender = {.worker = 0, .index = conn_index(&a->w->slab, a->c), .gen = a->c->gen},
	};
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(hub_publish(&world.w[0], &p), HUB_OK);
		world_settle();
	}
	assert_int_equal(client_heard(a, "published c1 offset 0 outcome 0"), 3);
	assert_int_equal(client_heard(a, "[1]"), 0);
	assert_int_equal(client_heard(b, "[1]"), 1);
	client_free(a);
	client_free(b);
	world_close();
}

/* What its home could not take while it was down still knows whom it is for. */
TEST(select, a_publication_that_waits_for_its_home_keeps_its_expression)
{
	char home[32], text[64];
	world_open(3);
	struct client *a = client_open(0), *b = client_open(2), *muted = client_open(2);
	channel_at_home(1, 0, home);
	client_subscribe(a, home);
	client_subscribe(b, "news");
	client_subscribe(muted, "news");
	client_subscribe(muted, "muted");
	world_settle();
	world_crash(1);
	snprintf(text, sizeof(text), "any(%s,news) except(muted)", home);
	assert_int_equal(world_publish_to(0, text, "\"late\""), HUB_OK);
	world_settle();
	assert_int_equal(client_heard(a, "late") + client_heard(b, "late"), 0);
	world_revive(1);
	world_settle();
	assert_int_equal(client_heard(a, "late"), 1);
	assert_int_equal(client_heard(b, "\"channel\":\"news\",\"data\":\"late\""), 1);
	assert_int_equal(client_heard(muted, "late"), 0);
	client_free(a);
	client_free(b);
	client_free(muted);
	world_close();
}

/* It goes in the lane of the name that it is heard by. */
TEST(select, nothing_comes_behind_the_answer_that_one_has_left)
{
	world_open(1);
	struct client *crowd[200];
	for (unsigned i = 0; i < 200; i++) {
		crowd[i] = client_open(0);
		client_subscribe(crowd[i], i < 100 ? "lobby" : "news");
	}
	world_settle();
	assert_int_equal(world_publish_to(0, "any(lobby,news)", "\"x\""), HUB_OK);
	for (unsigned i = 0; i < 200; i++)
		client_unsubscribe(crowd[i], i < 100 ? "lobby" : "news");
	world_settle();
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(client_heard(crowd[i], "\"x\""), 1);
		assert_true(client_line(crowd[i], "\"x\"") < client_line(crowd[i], "unsubscribed"));
		client_free(crowd[i]);
	}
	world_close();
}

TEST_MAIN()
