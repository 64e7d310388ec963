/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is in the middle of something, and who goes when there is no room for all of it. */
#include "test.h"

#include "little.h"

#define SETTINGS                                                                                         \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; max_message = \"1 MiB\"; } );" \
	"memory = { partial = \"1 MiB\"; };" LITTLE_LISTENERS

static char text[400000];

/* `n` bytes of a message that has 1,000,000. */
static void begin_message(struct far *f, size_t n)
{
	uint8_t head[WS_HEAD_MAX];
	static const uint8_t mask[4] = {0};
	size_t k = ws_frame_head(head, WS_BINARY | WS_FIN, 1000000, mask);
	memset(text, 'm', n);
	far_send(f, head, k);
	far_send(f, text, n);
}

static uint32_t partials(void)
{
	return conn_list_count(little.w->partials);
}

static int close_code(struct far *f)
{
	bool over;
	size_t n = far_recv_all(f, text, sizeof(text), &over);
	return n >= 4 && (uint8_t)text[0] == 0x88 ? load_be16((uint8_t *)text + 2) : 0;
}

TEST(partial, the_list_holds_who_is_in_the_middle_of_something)
{
	uint8_t frame[64];
	little_open(SETTINGS);
	struct far a = far_upgrade(LITTLE_PLAIN, "/echo", 0),
		   b = far_upgrade(LITTLE_TLS, "/echo", 0), c = far_open(LITTLE_PLAIN, 0);
	assert_int_equal(partials(), 0);
	far_puts(&a, "\x81"); /* a frame's head */
	assert_int_equal(partials(), 1);
	size_t n = far_frame(frame, sizeof(frame), WS_TEXT | WS_FIN, "x");
	SSL_write(b.ssl, frame, (int)n);
	far_put(&b, frame, 0);
	uint8_t record[200];
	int len = BIO_read(b.out, record, sizeof(record));
	far_put(&b, record, 4); /* a record's head */
	assert_int_equal(partials(), 2);
	far_puts(&c, "GET"); /* a request's head */
	assert_int_equal(partials(), 3);
	far_put(&a, frame + 1, n - 1);
	assert_int_equal(partials(), 2);
	far_put(&b, record + 4, (size_t)len - 4);
	assert_int_equal(partials(), 1);
	far_puts(&c, " /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1");
	assert_int_equal(partials(), 1); /* a body */
	far_puts(&c, "2");
	assert_int_equal(partials(), 0);
	far_puts(&a, "\x81");
	far_puts(&c, "GET");
	far_close(&a);
	far_close(&b);
	far_close(&c);
	little_settle();
	assert_int_equal(partials(), 0);
	assert_true(little_is_clean());
	little_close();
}

TEST(partial, the_oldest_goes_when_there_is_no_room)
{
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f[6];
		for (unsigned i = 0; i < 6; i++) {
			f[i] = far_upgrade(listener, "/echo", 0);
			begin_message(&f[i], 150000);
			little_wait(200);
		}
		unsigned left = 0;
		while (left < 6 && far_conn(&f[left])->state != CONN_OPEN)
			left++;
		assert_in_range(left, 1, 5);
		for (unsigned i = 0; i < 6; i++) {
			if (i < left)
				assert_int_equal(close_code(&f[i]), 1013);
			else
				assert_int_equal(far_conn(&f[i])->state, CONN_OPEN);
		}
		/* what was half is thrown away without a complaint, and it ends in peace */
		for (unsigned i = 0; i < left; i++) {
			memset(text, 'm', 20000);
			far_send(&f[i], text, 20000);
			assert_int_not_equal(far_conn(&f[i]), NULL);
		}
		little_wait(8000);
		for (unsigned i = 0; i < left; i++)
			assert_null(far_conn(&f[i]));
		assert_int_equal(little.w->stats.closed[CLOSE_OVERLOAD], left);
		for (unsigned i = 0; i < 6; i++)
			far_close(&f[i]);
		little_settle();
		assert_true(little_is_clean());
		little_close();
	}
}

/* Half a record is thrown away with the rest, so nothing behind it can be understood. */
TEST(partial, half_a_record_may_go_too)
{
	uint8_t record[20000], frame[17000];
	static const uint8_t mask[4] = {0};
	memset(text, 'r', 16000);
	size_t n = ws_frame_write(frame, sizeof(frame), WS_TEXT | WS_FIN, BYTES(text, 16000), mask);
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_TLS, "/echo", 0);
	SSL_write(f.ssl, frame, (int)n);
	int len = BIO_read(f.out, record, sizeof(record));
	far_put(&f, record, 10000);
	little_wait(1000);
	struct far g[8];
	for (unsigned i = 0; i < 8; i++) {
		g[i] = far_upgrade(LITTLE_PLAIN, "/echo", 0);
		begin_message(&g[i], 150000);
		little_wait(200);
	}
	assert_int_equal(far_conn(&f)->close_reason, CLOSE_OVERLOAD);
	far_put(&f, record + 10000, (size_t)len - 10000);
	far_send(&f, frame, n);
	assert_non_null(far_conn(&f)); /* a reset would take the close frame away from it */
	assert_int_equal(close_code(&f), 1013);
	little_wait(8000);
	assert_null(far_conn(&f));
	far_close(&f);
	for (unsigned i = 0; i < 8; i++)
		far_close(&g[i]);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

TEST(partial, a_message_that_needs_all_of_it_takes_it_from_the_others)
{
	little_open(SETTINGS);
	struct far f[4];
	for (unsigned i = 0; i < 4; i++) {
		f[i] = far_upgrade(LITTLE_PLAIN, "/echo", 0);
		begin_message(&f[i], 1000);
	}
	memset(text, 'm', 300000);
	for (unsigned i = 0; i < 3; i++)
		far_send(&f[0], text, i < 2 ? 300000 : 299000);
	assert_int_equal(far_conn(&f[0])->state, CONN_OPEN); /* the oldest, but it is in hand */
	far_send(&f[0], text, 100000);
	size_t got = 0;
	ssize_t r;
	while ((r = far_recv(&f[0], text, sizeof(text))) > 0) {
		got += (size_t)r;
		little_settle();
	}
	assert_int_equal(got, 1000010);
	for (unsigned i = 0; i < 4; i++)
		far_close(&f[i]);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

/* Who is told goodbye may still send records, and half a record holds memory like any other. */
TEST(partial, who_says_goodbye_can_be_the_oldest)
{
	uint8_t record[18000];
	little_open(SETTINGS);
	struct far f[40];
	memset(text, 'r', 16000);
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = far_upgrade(LITTLE_TLS, "/echo", 0);
		conn_close(little.w, far_conn(&f[i]), CLOSE_ADMIN);
		little_turn();
		SSL_write(f[i].ssl, text, 16384);
		int n = BIO_read(f[i].out, record, sizeof(record));
		far_put(&f[i], record, (size_t)n - 10);
	}
	struct far g = far_upgrade(LITTLE_TLS, "/echo", 0);
	begin_message(&g, 100000);
	assert_non_null(far_conn(&g));
	assert_int_equal(far_conn(&g)->state, CONN_OPEN);
	assert_null(far_conn(&f[0]));
	assert_non_null(far_conn(&f[39]));
	little_wait(6000); /* nor is its goodbye longer by it */
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
		assert_null(far_conn(&f[i]));
		far_close(&f[i]);
	}
	far_close(&g);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

/* They stay, so they cannot be what has to go when unfinished things want room. */
TEST(partial, long_lists_of_subscriptions_take_no_room_from_it)
{
	static char list[100 * 24];
	little_open("endpoints = ( { path = \"/ws\"; rate = 0; max_subscriptions = 2000; } );"
		    "memory = { partial = \"1 MiB\"; };" LITTLE_LISTENERS);
	struct far f[2];
	struct pool_stats before, after;
	pool_stats(little.w->pool, &before);
	for (unsigned i = 0; i < 2; i++) {
		f[i] = far_upgrade(LITTLE_PLAIN, "/ws", 0);
		for (unsigned k = 0; k < 10; k++) {
			int n = snprintf(list, sizeof(list),
					 "{\"type\":\"subscribe\",\"channels\":[");
			for (unsigned ch = 0; ch < 100; ch++)
				n += snprintf(list + n, sizeof(list) - (size_t)n, "%s\"c%u\"",
					      ch ? "," : "", k * 100 + ch);
			snprintf(list + n, sizeof(list) - (size_t)n, "]}");
			far_text(&f[i], list);
			far_recv_all(&f[i], text, sizeof(text), NULL);
		}
		assert_int_equal(far_conn(&f[i])->sub_count, 1001); /* and the lobby */
	}
	pool_stats(little.w->pool, &after);
	assert_int_equal(after.lent_bytes, before.lent_bytes);
	for (unsigned i = 0; i < 2; i++)
		far_close(&f[i]);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

/* A head and a body that were sacrificed just end: there is no answer to what was not asked. */
TEST(partial, a_head_can_be_the_oldest)
{
	little_open(SETTINGS);
	struct far h = far_open(LITTLE_PLAIN, 0);
	far_puts(&h, "GET / HTTP/1.1\r\n");
	little_wait(200);
	struct far g[8];
	for (unsigned i = 0; i < 8; i++) {
		g[i] = far_upgrade(LITTLE_PLAIN, "/echo", 0);
		begin_message(&g[i], 150000);
	}
	assert_null(far_conn(&h));
	far_close(&h);
	for (unsigned i = 0; i < 8; i++)
		far_close(&g[i]);
	little_settle();
	assert_true(little_is_clean());
	little_close();
}

TEST_MAIN()
