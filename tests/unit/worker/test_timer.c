/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines, each from its beginning to its end, by a clock that the test moves. */
#include "test.h"

#include "../conn/little.h"

#define SETTINGS                                                                                         \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; partial_timeout = \"5 s\"; }," \
	"              { path = \"/mute\"; protocol = \"echo\"; heartbeat = 0; } );"                     \
	"http = { handshake_timeout = \"2 s\"; keepalive_timeout = \"4 s\"; };" LITTLE_LISTENERS

#define ASK "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"

static char text[70000];

static enum close_reason reason_of(uint64_t before[CLOSE_REASONS])
{
	for (int r = 0; r < CLOSE_REASONS; r++)
		if (little.w->stats.closed[r] != before[r])
			return r;
	return CLOSE_NONE;
}

/* Why the next conn ends, and after how long at most `ms`. */
static enum close_reason ends(const struct far *f, uint64_t ms, uint64_t *after)
{
	uint64_t before[CLOSE_REASONS], began = little_ns;
	memcpy(before, little.w->stats.closed, sizeof(before));
	while (far_conn(f) != NULL && little_ns - began < ms * 1000000)
		little_wait(WORKER_TICK_MS);
	*after = (little_ns - began) / 1000000;
	return reason_of(before);
}

#define assert_ends(f, why, from_ms, to_ms)                                                        \
	do {                                                                                       \
		uint64_t after_;                                                                   \
		assert_int_equal(ends(f, 200000, &after_), why);                                   \
		assert_in_range(after_, from_ms, to_ms);                                           \
	} while (0)

TEST(timer, whoever_says_nothing_is_ended)
{
	little_open(SETTINGS);
	for (unsigned listener = 0; listener < 2; listener++) {
		struct far f = far_open(listener, 0);
		assert_ends(&f, CLOSE_HANDSHAKE_TIMEOUT, 1900, 2400);
		far_close(&f);
	}
	little_close();
}

/* Whatever fraction of a second it came in. */
TEST(timer, the_first_deadline_is_exact)
{
	little_open(SETTINGS);
	for (unsigned i = 0; i < 10; i++) {
		little_wait(130);
		struct far f = far_open(LITTLE_PLAIN, 0);
		little_wait(1500);
		far_puts(&f, "G");
		assert_non_null(far_conn(&f));
		little_wait(400);
		assert_non_null(far_conn(&f));
		far_close(&f);
		little_turn();
	}
	little_close();
}

/* TLS and the first head have one deadline together. */
TEST(timer, a_late_head_gets_no_time_of_its_own)
{
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 0);
	little_wait(1500);
	far_puts(&f, "GET / HT");
	little_wait(800);
	far_recv_all(&f, text, sizeof(text), NULL);
	assert_int_equal(strncmp(text, "HTTP/1.1 408 ", 13), 0);
	far_close(&f);
	f = far_open(LITTLE_TLS, 0);
	far_tls(&f, 0);
	little_wait(1000);
	assert_true(far_shake_cut(&f, 0));
	assert_ends(&f, CLOSE_HANDSHAKE_TIMEOUT, 900, 1400);
	far_close(&f);
	little_close();
}

TEST(timer, dripping_does_not_help)
{
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 0);
	for (unsigned i = 0; i < 20 && far_conn(&f) && far_conn(&f)->state == CONN_HTTP; i++) {
		far_put(&f, &ASK[i], 1);
		little_wait(200);
	}
	far_recv_all(&f, text, sizeof(text), NULL);
	assert_int_equal(strncmp(text, "HTTP/1.1 408 ", 13), 0);
	far_close(&f);
	f = far_open(LITTLE_PLAIN, 0); /* a body, whose request was answered at once */
	far_puts(&f, "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n");
	for (unsigned i = 0; i < 12; i++) {
		far_puts(&f, "x");
		little_wait(200);
	}
	assert_true(far_conn(&f) == NULL || far_conn(&f)->state == CONN_LINGER);
	far_close(&f);
	little_close();
}

TEST(timer, keep_alive_ends_after_silence)
{
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 0);
	for (unsigned i = 0; i < 3; i++) {
		far_put(&f, ASK, strlen(ASK));
		little_wait(3000);
		assert_non_null(far_conn(&f));
	}
	assert_ends(&f, CLOSE_HTTP_IDLE, 900, 1400);
	far_close(&f);
	little_close();
}

TEST(timer, silence_brings_a_ping_and_more_silence_the_end)
{
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	uint64_t began = little_ns;
	while (far_recv(&f, text, sizeof(text)) == 0)
		little_wait(WORKER_TICK_MS);
	assert_memory_equal(text, "\x89\0", 2);
	assert_in_range((little_ns - began) / 1000000, 18000,
			25500); /* 25 s less up to a quarter */
	assert_ends(&f, CLOSE_DEAD_PEER, 9800, 10500);
	far_close(&f);
	little_close();
}

TEST(timer, any_byte_is_a_sign_of_life)
{
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	for (unsigned i = 0; i < 10; i++) {
		little_wait(28000); /* beyond the ping */
		far_text(&f, "x");
		assert_non_null(far_conn(&f));
		assert_int_equal(far_conn(&f)->flags & CONN_F_PINGED, 0);
	}
	far_close(&f);
	little_close();
}

/* A worker that was stopped for a while finds many dead at once, and their pongs unread. */
TEST(timer, what_lies_unread_is_a_sign_of_life_too)
{
	little_open(SETTINGS);
	struct worker *w = little.w;
	struct far dead = far_upgrade(LITTLE_PLAIN, "/echo", 0),
		   f = far_upgrade(LITTLE_TLS, "/echo", 0);
	little_wait(26000);
	assert_int_not_equal(far_conn(&f)->flags & CONN_F_PINGED, 0);
	uint8_t pong[64];
	SSL_write(f.ssl, pong, (int)far_frame(pong, sizeof(pong), WS_PONG | WS_FIN, ""));
	int n = BIO_read(f.out, pong, sizeof(pong));
	assert_int_equal(send(f.fd, pong, (size_t)n, 0), n);
	little_ns += 60000000000u;
	update_clock(w);
	timer_run(w); /* before anybody is read */
	assert_null(far_conn(&dead));
	assert_non_null(far_conn(&f));
	little_settle();
	assert_int_equal(far_conn(&f)->flags & CONN_F_PINGED, 0);
	far_close(&f);
	far_close(&dead);
	little_settle();
	little_close();
}

TEST(timer, without_a_heartbeat_only_unfinished_things_end)
{
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/mute", 0);
	little_wait(4000000);
	assert_non_null(far_conn(&f));
	far_puts(&f, "\x81");
	little_wait(29000);
	assert_int_equal(far_conn(&f)->state, CONN_OPEN);
	little_wait(2000);
	assert_int_equal(far_conn(&f)->state, CONN_CLOSING);
	assert_int_equal(far_conn(&f)->close_reason, CLOSE_PARTIAL_TIMEOUT);
	assert_ends(&f, CLOSE_PARTIAL_TIMEOUT, 3500, 5500);
	far_close(&f);
	little_close();
}

TEST(timer, a_close_that_nobody_answers_ends)
{
	little_open(SETTINGS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	conn_close(little.w, far_conn(&f), CLOSE_ADMIN);
	assert_ends(&f, CLOSE_ADMIN, 4900, 5500);
	far_close(&f);
	little_close();
}

TEST(timer, who_does_not_hang_up_after_the_last_answer_is_ended)
{
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 0);
	far_put(&f, "\0", 1);
	assert_int_equal(far_conn(&f)->state, CONN_LINGER);
	assert_ends(&f, CLOSE_HTTP_BAD, 1900, 2500);
	far_close(&f);
	little_close();
}

/* The tick wraps every seventeen years; a worker may have been up so long. */
TEST(timer, deadlines_survive_the_wrap_of_the_tick)
{
	little_open(SETTINGS);
	struct worker *w = little.w;
	for (unsigned i = 0; i < 2; i++) {
		little_ns += (uint64_t)(INT32_MAX - 60) * WORKER_TICK_MS * 1000000;
		little_turn();
	}
	assert_true(w->tick > UINT32_MAX - 200);
	for (unsigned i = 0; i < 200; i++) {
		struct far f = far_open(LITTLE_PLAIN, 0);
		if (i % 8 == 0)
			assert_ends(&f, CLOSE_HANDSHAKE_TIMEOUT, 1900, 2400);
		far_close(&f);
		struct far e = far_upgrade(LITTLE_PLAIN, "/echo", 0);
		far_puts(&e, "\x81");
		if (i % 8 == 1) {
			little_wait(4500);
			assert_int_equal(far_conn(&e)->state, CONN_OPEN);
			little_wait(1000);
			assert_int_equal(far_conn(&e)->state, CONN_CLOSING);
		}
		if (w->tick == 0 || w->tick == UINT32_MAX) { /* begun at the wrap itself */
			struct far z = far_upgrade(LITTLE_PLAIN, "/mute", 0);
			far_puts(&z, "\x81");
			little_wait(31000);
			assert_int_equal(far_conn(&z)->state, CONN_CLOSING);
			far_close(&z);
		}
		far_close(&e);
		little_wait(w->tick > UINT32_MAX - 4 || w->tick < 4 ? WORKER_TICK_MS : 300);
	}
	assert_true(w->tick < 100000);
	little_close();
}

TEST_MAIN()
