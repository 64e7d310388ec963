/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes in and out of conns: what is cut anywhere, what is not taken, and who ends when. */
#include "test.h"

#include "little.h"

#define SETTINGS                                                                                          \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; max_message = \"8 MiB\"; },"    \
	"              { path = \"/small\"; protocol = \"echo\"; rate = 0; max_message = \"4 KiB\"; } );" \
	"memory = { connection_queue = \"16 KiB\"; queue = \"16 MiB\"; partial = \"16 MiB\"; };" LITTLE_LISTENERS

#define ASK "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"

static char text[1 << 20];

/* The frames of a server's stream: opcode and length of each, the last close code. */
struct heard {
	unsigned n, texts;
	size_t payload;
	int close;      /* code; 0: none came */
	unsigned after; /* frames behind the close frame */
	size_t left;    /* bytes of a frame that is not whole */
};

static struct heard frames_of(const uint8_t *p, size_t n)
{
	struct heard h = {0};
	while (n > 0) {
		size_t head = 2, len = n > 1 ? p[1] & 0x7f : 0;
		if (len == 126 && n >= 4)
			head = 4, len = load_be16(p + 2);
		else if (len == 127 && n >= 10)
			head = 10, len = (size_t)load_be64(p + 2);
		if (n < head + len) {
			h.left = n;
			break;
		}
		assert_in_range(p[0], 0x81, 0x8a);
		h.after += h.close != 0;
		if (p[0] == 0x88)
			h.close = len >= 2 ? load_be16(p + head) : 1005;
		else
			h.texts++;
		h.n++;
		h.payload += len;
		p += head + len;
		n -= head + len;
	}
	return h;
}

/* ── time ── */

/* A client that streams always has begun the next record and frame when we read. */
TEST(io, a_client_that_is_always_in_the_middle_of_the_next_message_lives)
{
	uint8_t stream[16384], wire[20000];
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f = far_upgrade(listener, "/echo", 0);
		size_t frame = far_frame(stream, sizeof(stream), WS_TEXT | WS_FIN, "a message");
		size_t begun = 0, one = frame;
		if (f.ssl) {
			SSL_write(f.ssl, stream, (int)frame);
			one = (size_t)BIO_read(f.out, wire, sizeof(wire));
		} else {
			memcpy(wire, stream, frame);
		}
		for (unsigned i = 0; i < 120; i++) { /* a minute */
			size_t n = one - begun; /* the end of one and the beginning of the next */
			memmove(wire, wire + begun, n);
			if (f.ssl) {
				SSL_write(f.ssl, stream, (int)frame);
				one = (size_t)BIO_read(f.out, wire + n, (int)(sizeof(wire) - n));
			} else {
				memcpy(wire + n, stream, frame);
			}
			begun = f.ssl ? one / 2 : 3;
			far_put(&f, wire, n + begun);
			memmove(wire, wire + n, one);
			little_wait(500);
			assert_non_null(far_conn(&f));
			assert_int_equal(far_conn(&f)->state, CONN_OPEN);
			while (far_recv(&f, text, sizeof(text)) > 0)
				;
		}
		little_wait(31000); /* but half a message is not for ever */
		assert_true(far_conn(&f) == NULL || far_conn(&f)->state != CONN_OPEN);
		far_close(&f);
		little_turn();
		assert_true(little_is_clean());
		little_close();
	}
}

TEST(io, a_client_that_is_always_in_the_middle_of_the_next_request_lives)
{
	uint8_t wire[2000];
	little_open(SETTINGS
		    "http = { keepalive_requests = 1000000; handshake_timeout = \"5 s\"; };");
	struct far f = far_open(LITTLE_TLS, 0);
	far_tls(&f, 0);
	assert_true(far_shake_cut(&f, 0));
	size_t begun = 0, one;
	for (unsigned i = 0; i < 60; i++) {
		SSL_write(f.ssl, ASK, sizeof(ASK) - 1);
		one = (size_t)BIO_read(f.out, wire + begun, (int)(sizeof(wire) - begun));
		far_put(&f, wire, begun + one / 2);
		memmove(wire, wire + begun + one / 2, one - one / 2);
		begun = one - one / 2;
		little_wait(200);
		assert_non_null(far_conn(&f));
		assert_int_equal(far_conn(&f)->state, CONN_HTTP);
		while (far_recv(&f, text, sizeof(text)) > 0)
			;
	}
	for (unsigned i = 0; i < 60 && far_conn(&f); i++) { /* a record that drips has an end */
		if (begun > 1)
			far_put(&f, wire, 1);
		begun--;
		memmove(wire, wire + 1, begun);
		little_wait(200);
	}
	assert_null(far_conn(&f));
	far_close(&f);
	little_close();
}

/* Records and control frames that are finished do not extend what is not. */
TEST(io, a_message_that_drips_ends_though_pings_are_finished)
{
	uint8_t frame[64];
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f = far_upgrade(listener, "/echo", 0);
		far_send(&f, frame, far_frame(frame, sizeof(frame), WS_TEXT, "a"));
		for (unsigned i = 0; i < 29; i++) {
			little_wait(1000);
			assert_int_equal(far_conn(&f)->state, CONN_OPEN);
			far_send(&f, frame, far_frame(frame, sizeof(frame), WS_PING | WS_FIN, "p"));
			far_send(&f, frame, far_frame(frame, sizeof(frame), WS_CONTINUATION, "b"));
		}
		little_wait(1500);
		assert_int_equal(far_conn(&f)->state, CONN_CLOSING);
		assert_int_equal(far_conn(&f)->close_reason, CLOSE_PARTIAL_TIMEOUT);
		far_close(&f);
		little_close();
	}
}

/* ── slow readers ── */

/* Messages of this size fit, one or many. */
static void echo_to_slow_reader(unsigned listener, size_t bytes)
{
	struct far f = far_upgrade(listener, "/echo", 4096);
	uint8_t *frame = malloc(bytes + 14), *body = calloc(1, bytes);
	static const uint8_t mask[4] = {0};
	size_t n = ws_frame_write(frame, bytes + 14, WS_BINARY | WS_FIN, BYTES(body, bytes), mask);
	far_send(&f, frame, n);
	assert_non_null(far_conn(&f));
	size_t got = 0;
	ssize_t r;
	for (unsigned i = 0; i < 200000 && got < bytes + 4; i++) {
		r = far_recv(&f, text, 20000);
		assert_msg(r >= 0, "%zu of %zu bytes came", got, bytes);
		got += (size_t)r;
		little_turn();
	}
	assert_in_range(got, bytes + 2, bytes + 10);
	assert_int_equal(far_conn(&f)->state, CONN_OPEN);
	assert_true(little_is_clean());
	free(frame);
	free(body);
	far_close(&f);
	little_turn();
}

TEST(io, one_message_as_long_as_allowed_always_fits)
{
	little_open(SETTINGS);
	for (unsigned listener = 0; listener < 2; listener++) {
		echo_to_slow_reader(listener, 8 << 20);
		echo_to_slow_reader(listener, 1000000);
		echo_to_slow_reader(listener, 16384);
	}
	little_close();
}

/* What is sealed leaves in whole frames, and then it is told why: what waits behind it is let go. */
TEST(io, a_slow_reader_hears_whole_frames_and_4008)
{
	uint8_t frame[3000];
	memset(text, 'x', 2500);
	text[2500] = '\0';
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f = far_upgrade(listener, "/small", 4096);
		size_t n = far_frame(frame, sizeof(frame), WS_TEXT | WS_FIN, text), sent = 0;
		while (far_conn(&f)->state == CONN_OPEN && sent++ < 100)
			far_send(&f, frame, n);
		assert_in_range(sent, 6, 60);
		size_t got = far_recv_all(&f, text, sizeof(text), NULL);
		struct heard h = frames_of((uint8_t *)text, got);
		assert_int_equal(h.left, 0);
		assert_int_equal(h.close, 4008);
		assert_in_range(h.texts, 1, sent - 1);
		far_close(&f);
		little_turn();
		assert_true(little_is_clean());
		memset(text, 'x', 2500);
		text[2500] = '\0';
		little_close();
	}
}

/* The same when all of it is answered in one turn: nothing is queued yet when it begins. */
TEST(io, a_burst_beyond_the_bound_is_cut_between_frames)
{
	static uint8_t burst[200000];
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f = far_upgrade(listener, "/small", 4096);
		struct conn *c = far_conn(&f);
		memset(text, 'x', 1000);
		text[1000] = '\0';
		for (unsigned i = 0; i < 100; i++)
			ws_send_text(little.w, c, BYTES(text, 1000));
		batch_flush(little.w);
		assert_int_equal(far_conn(&f)->state, CONN_CLOSING);
		assert_in_range(conn_queued(little.w, c), 1, 16 << 10);
		size_t got = far_recv_all(&f, (char *)burst, sizeof(burst), NULL);
		struct heard h = frames_of(burst, got);
		assert_int_equal(h.left, 0);
		assert_int_equal(h.close, 4008);
		far_close(&f);
		little_turn();
		assert_true(little_is_clean());
		little_close();
	}
}

/* More than one system call takes: what did not fit is behind the first of them. */
TEST(io, nothing_is_said_behind_the_close_frame_of_a_slow_reader)
{
	static uint8_t burst[200000];
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f = far_upgrade(listener, "/small", 4096);
		struct conn *c = far_conn(&f);
		for (unsigned i = 0; i < 1020; i++)
			ws_send_text(little.w, c, BYTES_LIT("x"));
		memset(text, 'x', 11000);
		for (unsigned i = 0; i < 4; i++)
			ws_send_text(little.w, c, BYTES(text, 11000));
		for (unsigned i = 0; i < 100; i++)
			ws_send_text(little.w, c, BYTES_LIT("y"));
		batch_flush(little.w);
		assert_int_equal(far_conn(&f)->state, CONN_CLOSING);
		size_t got = far_recv_all(&f, (char *)burst, sizeof(burst), NULL);
		struct heard h = frames_of(burst, got);
		assert_int_equal(h.left, 0);
		assert_int_equal(h.close, 4008);
		assert_int_equal(h.after, 0);
		far_close(&f);
		little_turn();
		assert_true(little_is_clean());
		little_close();
	}
}

/* The largest bound that the configuration allows is one. */
TEST(io, a_connection_may_queue_as_much_as_can_be_configured)
{
	uint8_t *body = calloc(1, 1 << 20);
	little_open(
		"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; } ); "
		"memory = { connection_queue = \"1 GiB\"; queue = \"2 GiB\"; };" LITTLE_LISTENERS);
	struct far f = far_upgrade(LITTLE_PLAIN, "/echo", 4096);
	for (unsigned i = 0; i < 4; i++)
		ws_send_binary(little.w, far_conn(&f), BYTES(body, 1 << 20));
	batch_flush(little.w);
	assert_int_equal(far_conn(&f)->state, CONN_OPEN);
	assert_in_range(conn_queued(little.w, far_conn(&f)), 3 << 20, 5 << 20);
	far_close(&f);
	little_settle();
	assert_true(little_is_clean());
	little_close();
	free(body);
}

/* The pool of all tails is full: who wants more ends, and nobody reads half a frame as a whole. */
TEST(io, when_all_tails_are_full_who_wants_more_ends)
{
	uint8_t *body = calloc(1, 6 << 20);
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far f[6];
		for (unsigned i = 0; i < 6; i++)
			f[i] = far_upgrade(listener, "/echo", 4096);
		for (unsigned i = 0; i < 6; i++)
			ws_send_binary(little.w, far_conn(&f[i]), BYTES(body, 6 << 20));
		batch_flush(little.w);
		unsigned alive = 0;
		for (unsigned i = 0; i < 6; i++)
			alive += far_conn(&f[i]) != NULL;
		assert_int_equal(alive, 2);
		assert_int_equal(little.w->stats.closed[CLOSE_SLOW_CONSUMER], 4);
		for (unsigned i = 0; i < 6; i++)
			far_close(&f[i]);
		little_turn();
		assert_true(little_is_clean());
		little_close();
	}
	free(body);
}

/* Who never reads does not take the place from those who are slow for a moment. */
TEST(io, when_all_tails_are_full_who_has_read_nothing_for_longest_goes)
{
	uint8_t *body = calloc(1, 3 << 20);
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far slow = far_upgrade(listener, "/echo", 4096), hog[8];
		ws_send_binary(little.w, far_conn(&slow), BYTES(body, 1 << 20));
		little_turn();
		for (unsigned i = 0; i < 8; i++) {
			hog[i] = far_upgrade(listener, "/echo", 4096);
			ws_send_binary(little.w, far_conn(&hog[i]), BYTES(body, 3 << 20));
			little_wait(1000);
			assert_true(far_recv(&slow, text, 20000) > 0);
			little_turn();
		}
		struct far late = far_upgrade(listener, "/echo", 4096);
		ws_send_binary(little.w, far_conn(&late), BYTES(body, 2 << 20));
		little_turn();
		assert_non_null(far_conn(&late));
		assert_non_null(far_conn(&slow)); /* it was the first, but it reads */
		assert_non_null(far_conn(&hog[7]));
		assert_null(far_conn(&hog[0]));
		size_t got = 0;
		ssize_t r;
		for (unsigned i = 0; i < 200000 && got < (2u << 20) + 10; i++) {
			r = far_recv(&late, text, sizeof(text));
			assert_true(r >= 0);
			got += (size_t)r;
			little_turn();
		}
		assert_int_equal(got, (2u << 20) + 10); /* nothing of it is another's */
		for (unsigned i = 0; i < 8; i++)
			far_close(&hog[i]);
		far_close(&slow);
		far_close(&late);
		little_settle();
		assert_true(little_is_clean());
		little_close();
	}
	free(body);
}

/* One that is larger than its share does not end everybody for nothing. */
TEST(io, who_wants_more_than_half_of_all_tails_ends_nobody_else)
{
	uint8_t *body = calloc(1, 8 << 20);
	little_open("endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; "
		    "max_message = \"8 MiB\"; } ); memory = { connection_queue = \"16 KiB\"; "
		    "queue = \"4 MiB\"; partial = \"16 MiB\"; };" LITTLE_LISTENERS);
	for (unsigned listener = 0; listener < 2; listener++) {
		struct far small = far_upgrade(listener, "/echo", 4096),
			   big = far_upgrade(listener, "/echo", 4096);
		ws_send_binary(little.w, far_conn(&small), BYTES(body, 1 << 20));
		little_turn();
		ws_send_binary(little.w, far_conn(&big), BYTES(body, 8 << 20));
		little_turn();
		assert_null(far_conn(&big));
		assert_non_null(far_conn(&small));
		far_close(&small);
		far_close(&big);
		little_settle();
		assert_true(little_is_clean());
	}
	little_close();
	free(body);
}

/* It talks, so it is not dead; but what waits for it would wait for ever. */
TEST(io, who_talks_and_never_reads_is_a_slow_consumer)
{
	uint8_t frame[64];
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(SETTINGS);
		struct far lazy = far_upgrade(listener, "/echo", 4096),
			   slow = far_upgrade(listener, "/echo", 4096);
		size_t n = far_frame(frame, sizeof(frame), WS_PONG | WS_FIN, "");
		memset(text, 'x', 100000);
		for (unsigned i = 0; i < 2; i++)
			ws_send_text(little.w, far_conn(i ? &slow : &lazy), BYTES(text, 100000));
		little_turn();
		for (unsigned i = 0; i < 29; i++) {
			little_wait(1000);
			far_send(&lazy, frame, n);
			if (i % 10 == 0)
				assert_true(far_recv(&slow, text, 8000) > 0);
		}
		assert_int_equal(far_conn(&lazy)->state, CONN_OPEN);
		little_wait(2200);
		assert_int_equal(far_conn(&lazy)->state, CONN_CLOSING);
		assert_int_equal(far_conn(&lazy)->close_reason, CLOSE_SLOW_CONSUMER);
		for (unsigned i = 0; i < 120; i++) { /* another minute: slow, but it goes on */
			far_send(&slow, frame, n);
			little_wait(500);
			if (i % 40 == 0)
				assert_true(far_recv(&slow, text, 8000) > 0);
		}
		assert_int_equal(far_conn(&slow)->state, CONN_OPEN);
		assert_null(far_conn(&lazy));
		far_close(&lazy);
		far_close(&slow);
		little_settle();
		assert_true(little_is_clean());
		little_close();
	}
}

/* ── the end ── */

/* A page takes as long as its reader's line does. */
TEST(io, the_last_answer_leaves_however_slowly_it_is_read)
{
	char path[80], settings[2048];
	memset(text, 'p', 300000);
	strcpy(path, "/tmp/sluice-page-XXXXXX");
	int fd = mkstemp(path);
	if (fd < 0 || write(fd, text, 300000) != 300000)
		little_die(path);
	close(fd);
	snprintf(settings, sizeof(settings),
		 LITTLE_ECHO LITTLE_LISTENERS
		 "pages = ( { path = \"/page\"; file = \"%s\"; type = \"text/plain\"; } );",
		 path);
	for (unsigned listener = 0; listener < 2; listener++) {
		little_open(settings);
		struct far f = far_open(listener, 4096);
		if (listener == LITTLE_TLS) {
			far_tls(&f, 0);
			assert_true(far_shake_cut(&f, 0));
		}
		static const char ask[] =
			"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
		far_send(&f, ask, sizeof(ask) - 1);
		size_t got = 0;
		ssize_t r = 0;
		for (unsigned i = 0; i < 100 && r >= 0; i++) { /* 25 s */
			r = far_recv(&f, text, 20000);
			got += r > 0 ? (size_t)r : 0;
			little_wait(250);
		}
		assert_int_equal(r, -1);
		assert_in_range(got, 300100, 301000);
		far_close(&f);
		little_turn();
		assert_true(little_is_clean());
		little_close();
	}
	unlink(path);
}

TEST(io, who_never_reads_the_last_answer_is_ended)
{
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 4096);
	for (unsigned i = 0; i < 40; i++)
		far_put(&f, ASK, sizeof(ASK) - 1);
	far_put(&f, "\0", 1);
	assert_int_equal(far_conn(&f)->state, CONN_LINGER);
	assert_int_not_equal(far_conn(&f)->tail, 0);
	little_wait(35000);
	assert_null(far_conn(&f));
	far_close(&f);
	assert_true(little_is_clean());
	little_close();
}

/* An end of file in each state. */
TEST(io, half_a_close_still_gets_its_answer)
{
	bool over;
	little_open(SETTINGS);
	struct far f = far_open(LITTLE_PLAIN, 0);
	if (send(f.fd, ASK, sizeof(ASK) - 1, 0) != sizeof(ASK) - 1)
		little_die("send");
	shutdown(f.fd, SHUT_WR);
	far_recv_all(&f, text, sizeof(text), &over);
	assert_non_null(strstr(text, "HTTP/1.1 200 OK"));
	assert_true(over);
	assert_null(far_conn(&f));
	far_close(&f);
	little_close();
}

TEST(io, an_end_of_file_ends_it_in_every_state)
{
	static const char half[] = "GET /echo HTTP/1.1\r\nHo";
	uint8_t frame[64];
	little_open(SETTINGS);
	for (unsigned at = 0; at < 8; at++) {
		struct far f;
		if (at < 2) {
			f = far_open(at, 0);
		} else if (at == 2) {
			f = far_open(LITTLE_PLAIN, 0);
			far_put(&f, half, sizeof(half) - 1);
		} else if (at == 3) {
			f = far_open(LITTLE_TLS, 0);
			far_put(&f, "\x16\x03\x01\x01\x00\x01", 6);
		} else {
			f = far_upgrade(at % 2, "/echo", 0);
			if (at >= 6)
				far_send(&f, frame, far_frame(frame, sizeof(frame), WS_TEXT, "x"));
			if (at == 7)
				conn_close(little.w, far_conn(&f), CLOSE_ADMIN);
		}
		little_turn();
		assert_non_null(far_conn(&f));
		shutdown(f.fd, SHUT_WR);
		little_settle();
		assert_msg(far_conn(&f) == NULL, "case %u", at);
		far_close(&f);
		assert_true(little_is_clean());
	}
	little_close();
}

/* ── a share of the turn ── */

/* What clients say may be dear: not all who speak are served in one turn, but each in its own. */
TEST(io, many_who_speak_at_once_are_served_by_turns)
{
	struct far f[200];
	uint8_t frame[64];
	little_open_sized(SETTINGS, 256);
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
		f[i] = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	size_t n = far_frame(frame, sizeof(frame), WS_TEXT | WS_FIN, "dear");
	for (unsigned turns = 0; turns < 8; turns++) {
		for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
			assert_int_equal(send(f[i].fd, frame, n, MSG_DONTWAIT), n);
		uint64_t before = little.w->stats.messages_in;
		little_step = 5000000; /* the clock goes on while they are read */
		little_turn();
		little_step = 0;
		assert_in_range(little.w->stats.messages_in - before, 1, (turns + 1) * 100);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++) /* though all of them always spoke */
		assert_true(far_recv(&f[i], text, sizeof(text)) > 0);
	little_settle();
	assert_int_equal(little.w->stats.messages_in, 8 * ARRAY_SIZE(f));
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
		far_close(&f[i]);
	little_settle();
	little_close();
}

/* ── congestion ── */

TEST(io, while_the_mailbox_is_congested_nobody_open_is_read)
{
	little_open(SETTINGS);
	struct worker *w = little.w;
	struct far old = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	struct far closing = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	struct far silent[4];
	for (unsigned i = 0; i < 4; i++)
		silent[i] = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	on_congestion(w, true);
	little_turn();
	assert_int_equal(w->n_read_stopped, 0); /* who says nothing costs nothing */
	/* whoever comes now is not read either, once it could publish */
	struct far fresh = far_upgrade(LITTLE_PLAIN, "/echo", 0);
	far_text(&old, "old");
	far_text(&fresh, "fresh");
	assert_int_equal(far_recv_all(&old, text, sizeof(text), NULL), 0);
	assert_int_equal(far_recv_all(&fresh, text, sizeof(text), NULL), 0);
	/* who says goodbye is heard: it publishes nothing any more */
	uint8_t frame[64];
	far_send(&closing, frame, far_frame(frame, sizeof(frame), WS_CLOSE | WS_FIN, "\x03\xe9"));
	conn_close(w, far_conn(&closing), CLOSE_ADMIN);
	little_settle();
	assert_true(far_conn(&closing) == NULL || far_conn(&closing)->state == CONN_LINGER);
	assert_int_equal(w->n_read_stopped, 2);
	/* nobody is dead because we did not listen */
	little_wait(15000);
	far_text(&silent[0], "a sign of life");
	shutdown(silent[1].fd, SHUT_WR);
	far_close(&silent[2]);
	little_wait(300000);
	assert_non_null(far_conn(&silent[0]));
	assert_null(far_conn(&silent[2]));
	assert_null(far_conn(&silent[3])); /* that one is: we have listened */
	assert_int_equal(w->n_read_stopped, 4);
	assert_non_null(far_conn(&old));
	assert_non_null(far_conn(&fresh));
	on_congestion(w, false);
	on_congestion(w, true);
	little_turn();
	assert_int_equal(w->n_read_stopped, 4);
	on_congestion(w, false);
	little_turn();
	little_turn();
	assert_int_equal(w->n_read_stopped, 0);
	assert_null(far_conn(&silent[1])); /* its end of file was waiting */
	for (unsigned i = 0; i < 4; i++)
		far_close(&silent[i]);
	assert_true(far_recv_all(&old, text, sizeof(text), NULL) > 0);
	assert_non_null(strstr(text, "old"));
	assert_true(far_recv_all(&fresh, text, sizeof(text), NULL) > 0);
	assert_non_null(strstr(text, "fresh"));
	assert_non_null(far_conn(&old));
	assert_non_null(far_conn(&fresh));
	far_close(&old);
	far_close(&fresh);
	far_close(&closing);
	little_settle();
	little_close();
}

TEST_MAIN()
