/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes out in a turn goes out in order, once per connection, and never to anybody else. */
#include "test.h"

#include "../hub/world.h"

static struct frame_ref *frame(const char *text)
{
	return frame_ref_new(WS_TEXT, bytes_str(text));
}

static void bytes(struct client *cl, const char *text)
{
	world_say(cl->w, cl->c, text);
}

TEST(batch, answers_and_frames_keep_their_order_in_one_write)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0), *b = client_open(0);
	struct frame_ref *f = frame("shared");
	bytes(a, "1");
	batch_frame(w, a->c, f);
	bytes(b, "x");
	bytes(a, "2");
	batch_frame(w, b->c, f);
	assert_int_equal(f->refs, 3);
	frame_ref_put(f);
	assert_int_equal(a->n, 0);
	batch_flush(w);
	assert_int_equal(a->n, 3);
	assert_string_equal(a->log[0], "1");
	assert_string_equal(a->log[1], "shared");
	assert_string_equal(a->log[2], "2");
	assert_int_equal(a->sends, 1);
	assert_int_equal(b->n, 2);
	batch_flush(w);
	assert_int_equal(a->sends, 1);
	assert_int_equal(a->c->flags & CONN_F_TOUCHED, 0);
	client_free(a);
	client_free(b);
	world_close();
}

/* Whoever adds has a conn in hand, and often this one. */
TEST(batch, adding_sends_nothing_and_ends_nobody)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0);
	char *big = malloc(100001);
	memset(big, 'b', 100000);
	big[100000] = '\0';
	a->deaf = true;
	for (unsigned i = 0; i < 5000; i++)
		bytes(a, "0123456789012345678901234567890123456789");
	for (unsigned i = 0; i < 20; i++)
		bytes(a, big);
	assert_non_null(a->c);
	assert_int_equal(a->sends, 0);
	batch_relieve(w);
	assert_null(a->c);
	free(big);
	client_free(a);
	world_close();
}

/* How many such answers make it full. */
static unsigned until_relieved(struct client *cl, const char *text)
{
	unsigned n = 0;
	client_forget(cl);
	while (cl->n == 0) {
		bytes(cl, text);
		batch_relieve(cl->w);
		n++;
	}
	assert_int_equal(cl->n, n);
	return n;
}

TEST(batch, only_a_full_one_is_relieved)
{
	world_open(1);
	struct client *a = client_open(0);
	char *text = malloc(100001);
	memset(text, 'b', 100000);
	text[100000] = '\0';
	unsigned n = until_relieved(a, "1"); /* many entries */
	assert_true(n > 500 && n < 5000);
	n = until_relieved(a, text); /* or many bytes, in blocks of their own */
	assert_true(n > 2 && n < 50);
	text[10000] = '\0';
	n = until_relieved(a, text); /* or copied into the arena */
	assert_true(n > 2 && n < 50);
	free(text);
	client_free(a);
	world_close();
}

TEST(batch, lent_bytes_stay_in_order_with_copied_ones)
{
	static const uint8_t page[] = "\x81\x04page";
	world_open(1);
	struct client *a = client_open(0);
	bytes(a, "1");
	batch_lent(&world.w[0], a->c, BYTES(page, 6));
	batch_lent(&world.w[0], a->c, BYTES(NULL, 0));
	bytes(a, "2");
	batch_flush(&world.w[0]);
	assert_int_equal(a->n, 3);
	assert_string_equal(a->log[0], "1");
	assert_string_equal(a->log[1], "page");
	assert_string_equal(a->log[2], "2");
	client_free(a);
	world_close();
}

TEST(batch, one_grows_as_far_as_it_must)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0);
	struct frame_ref *f = frame("shared");
	char text[32];
	for (unsigned turn = 0; turn < 3; turn++) {
		unsigned some = turn == 1 ? 20 : 20000; /* it shrinks again */
		client_forget(a);
		for (unsigned i = 0; i < some; i++) {
			snprintf(text, sizeof(text), "%u", i);
			bytes(a, text);
			batch_frame(w, a->c, f);
		}
		batch_flush(w);
		assert_int_equal(a->n, 2 * some);
		for (unsigned i = 0; i < 2 * some; i++) {
			snprintf(text, sizeof(text), "%u", i / 2);
			assert_string_equal(a->log[i], i % 2 ? "shared" : text);
		}
	}
	assert_int_equal(f->refs, 1);
	frame_ref_put(f);
	client_free(a);
	world_close();
}

TEST(batch, big_answers_stay_in_order_with_small_ones)
{
	world_open(1);
	struct client *a = client_open(0);
	char *big = malloc(300001);
	memset(big, 'b', 300000);
	big[300000] = '\0';
	for (unsigned i = 0; i < 20; i++) {
		bytes(a, "small");
		bytes(a, big);
		big[15000] = '\0'; /* the arena's, but many of them */
		bytes(a, big);
		big[15000] = 'b';
	}
	batch_flush(&world.w[0]);
	assert_int_equal(a->n, 60);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(strlen(a->log[i]), i % 3 == 0 ? 5 : i % 3 == 1 ? 300000 : 15000);
	free(big);
	client_free(a);
	world_close();
}

TEST(batch, what_was_queued_for_an_ended_conn_reaches_nobody)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0), *b = client_open(0);
	struct frame_ref *f = frame("secret");
	bytes(a, "1");
	batch_frame(w, a->c, f);
	bytes(b, "2");
	client_close(a);
	assert_int_equal(f->refs, 1);
	conn_slab_release(&w->slab, UINT64_MAX);
	struct client *stranger = client_open(0); /* takes the slot within the turn */
	assert_int_equal(conn_index(&w->slab, stranger->c), 0);
	bytes(stranger, "3");
	batch_flush(w);
	assert_int_equal(a->n, 0);
	assert_int_equal(b->n, 1);
	assert_int_equal(stranger->n, 1);
	assert_string_equal(stranger->log[0], "3");
	assert_int_equal(stranger->sends, 1);
	frame_ref_put(f);
	client_free(a);
	client_free(b);
	client_free(stranger);
	world_close();
}

TEST(batch, a_conn_that_ends_while_it_is_written_takes_nothing_with_it)
{
	world_open(1);
	struct worker *w = &world.w[0];
	struct client *a = client_open(0), *b = client_open(0);
	struct frame_ref *f = frame("x");
	a->deaf = true;
	for (unsigned i = 0; i < 3000; i++) {
		if (a->c != NULL)
			batch_frame(w, a->c, f);
		batch_frame(w, b->c, f);
		batch_relieve(w);
	}
	batch_flush(w);
	assert_null(a->c);
	assert_int_equal(b->n, 3000);
	assert_int_equal(f->refs, 1);
	frame_ref_put(f);
	client_free(a);
	client_free(b);
	world_close();
}

TEST(batch, leaving_during_a_flush_is_heard_by_the_others)
{
	enum { N = 60 };
	world_open(1);
	struct client *cl[N];
	for (unsigned i = 0; i < N; i++) {
		cl[i] = client_open(0);
		client_subscribe_as(cl[i], "room", ENC_ROOM, HUB_SUB_EVENTS);
	}
	world_settle();
	for (unsigned i = 0; i < N; i++) {
		client_forget(cl[i]);
		cl[i]->deaf = i % 2;
	}
	client_publish(cl[0], "room", "1");
	world_settle();
	for (unsigned i = 0; i < N; i++) {
		assert_true((cl[i]->c == NULL) == (i % 2));
		assert_int_equal(client_heard(cl[i], "room_message"), i % 2 ? 0 : 1);
		assert_int_equal(client_heard(cl[i], "user_left"), i % 2 ? 0 : N / 2);
	}
	for (unsigned i = 0; i < N; i++)
		client_free(cl[i]);
	world_close();
}

TEST(batch, free_lets_go_of_what_was_never_flushed)
{
	world_open(1);
	struct client *a = client_open(0);
	struct frame_ref *f = frame("x");
	batch_frame(&world.w[0], a->c, f);
	bytes(a, "1");
	world_close(); /* the sanitizer would say so */
	assert_int_equal(f->refs, 1);
	frame_ref_put(f);
	client_free(a);
}

TEST_MAIN()
