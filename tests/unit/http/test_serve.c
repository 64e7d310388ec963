/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests on a real connection: one behind the other, in pieces, with bodies, and what is behind
 * an upgrade. */
#include "test.h"

#include "../conn/little.h"
#include "tls/internal.h"

#define SETTINGS                                                                                   \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; } );"                    \
	"http = { keepalive_requests = 1000000; body = 100; };" LITTLE_LISTENERS

#define GET  "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED                                                                                    \
	"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"                   \
	"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: t\r\n\r\n"
#define UPGRADE                                                                                    \
	"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"           \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

static char text[1 << 20];

/* The statuses in an answer, one behind the other. */
static const char *statuses(const char *s, char out[200])
{
	out[0] = '\0';
	while ((s = strstr(s, "HTTP/1.1 ")) != NULL && strlen(out) < 190) {
		strncat(out, s + 9, 3);
		strcat(out, " ");
		s += 9;
	}
	return out;
}

static struct far fresh(unsigned listener)
{
	struct far f = far_open(listener, 0);
	if (listener == LITTLE_TLS) {
		far_tls(&f, 0);
		assert_true(far_shake_cut(&f, 0));
	}
	return f;
}

/* Sent in two pieces, cut everywhere. */
static void assert_answers(const char *request, size_t n, const char *want, bool closes)
{
	char seen[200];
	bool over;
	for (size_t cut = 0; cut < n; cut++) {
		struct far f = fresh(LITTLE_PLAIN);
		far_put(&f, request, cut);
		far_put(&f, request + cut, n - cut);
		far_recv_all(&f, text, sizeof(text), &over);
		assert_msg(strcmp(statuses(text, seen), want) == 0, "cut at %zu: %s", cut, seen);
		assert_int_equal(over, closes);
		far_close(&f);
		little_settle();
		assert_true(little_is_clean());
	}
}

#define ASSERT_ANSWERS(request, want, closes)                                                      \
	assert_answers(request, sizeof(request) - 1, want, closes)

TEST(serve, requests_are_answered_in_order_wherever_they_are_cut)
{
	little_open(SETTINGS);
	ASSERT_ANSWERS(GET POST GET CHUNKED GET, "200 405 200 405 200 ", false);
	ASSERT_ANSWERS(GET "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET,
		       "200 200 ", true);
	ASSERT_ANSWERS(GET "GET / HTTP/1.0\r\n\r\n" GET, "200 404 ", true);
	little_close();
}

TEST(serve, a_bad_body_ends_it_without_a_second_answer)
{
	little_open(SETTINGS);
	ASSERT_ANSWERS(
		"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" GET,
		"405 ", true);
	ASSERT_ANSWERS(
		"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" GET,
		"405 ", true); /* 101 bytes: one too many */
	ASSERT_ANSWERS("POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n" GET,
		       "413 ", true);
	little_close();
}

/* Who expects 100 has not sent the body: it gets the final answer and need not send it. */
TEST(serve, an_expectation_gets_the_final_answer)
{
	little_open(SETTINGS);
	ASSERT_ANSWERS(
		"POST /health HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
		"405 ", true);
	ASSERT_ANSWERS(
		"POST /health HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
		"hello" GET,
		"405 ", true);
	little_close();
}

TEST(serve, frames_behind_an_upgrade_are_heard)
{
	uint8_t all[1024];
	size_t head = sizeof(UPGRADE) - 1, n = head;
	memcpy(all, UPGRADE, head);
	n += far_frame(all + n, sizeof(all) - n, WS_TEXT | WS_FIN, "one");
	n += far_frame(all + n, sizeof(all) - n, WS_TEXT | WS_FIN, "two");
	little_open(SETTINGS);
	for (unsigned listener = 0; listener < 2; listener++)
		for (size_t cut = 0; cut < n; cut += listener ? 13 : 1) {
			struct far f = fresh(listener);
			far_send(&f, all, cut);
			far_send(&f, all + cut, n - cut);
			size_t got = far_recv_all(&f, text, sizeof(text), NULL);
			const char *end = strstr(text, "\r\n\r\n");
			assert_non_null(end);
			assert_int_equal(got - (size_t)(end + 4 - text), 10);
			assert_memory_equal(end + 4, "\x81\x03one\x81\x03two", 10);
			far_close(&f);
			little_turn();
		}
	assert_true(little_is_clean());
	little_close();
}

TEST(serve, an_upgrade_may_follow_other_requests_but_has_no_body)
{
	little_open(SETTINGS);
	ASSERT_ANSWERS(GET POST UPGRADE, "200 405 101 ", false);
	ASSERT_ANSWERS(
		"GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		"Content-Length: 5\r\n\r\n\x81\x80"
		"abc" GET,
		"400 ", true);
	little_close();
}

/* The counter has sixteen bits, the option more. */
TEST(serve, the_count_of_requests_reaches_its_bound_and_ends)
{
	little_open(SETTINGS);
	struct far f = fresh(LITTLE_PLAIN);
	far_puts(&f, GET);
	far_conn(&f)->requests = UINT16_MAX - 1;
	far_puts(&f, GET GET GET);
	assert_int_equal(far_conn(&f)->state, CONN_LINGER);
	assert_int_equal(little.w->stats.http_requests, 2);
	far_close(&f);
	little_close();
}

/* A page is not copied for each request, nor sealed ahead of a reader who does not read. */
TEST(serve, many_requests_for_a_long_page_cost_no_more_than_the_queue)
{
	char path[] = "/tmp/sluice-page-XXXXXX", settings[4096];
	memset(text, 'p', 1000000);
	int fd = mkstemp(path);
	if (fd < 0 || write(fd, text, 1000000) != 1000000)
		little_die(path);
	close(fd);
	snprintf(settings, sizeof(settings),
		 SETTINGS "pages = ( { path = \"/p\"; file = \"%s\"; type = \"text/plain\"; } );",
		 path);
	static const char ask[] = "GET /p HTTP/1.1\r\nHost: a\r\n\r\n";
	for (unsigned listener = 0; listener < 2; listener++) {
		struct pool_stats s;
		little_open(settings);
		struct far f = fresh(listener);
		for (unsigned i = 0; i < 500; i++)
			memcpy(text + i * (sizeof(ask) - 1), ask, sizeof(ask) - 1);
		far_send(&f, text, 500 * (sizeof(ask) - 1));
		little_settle();
		assert_int_equal(little.w->stats.http_requests, 500);
		pool_stats(little.w->tails, &s);
		assert_in_range(s.peak_bytes, 1, 3 << 20);
		assert_in_range(little.w->tls->out.cap, 0, 512 << 10);
		assert_null(far_conn(&f)); /* a slow reader */
		far_close(&f);
		little_settle();
		assert_true(little_is_clean());
		little_close();
	}
	unlink(path);
}

TEST(serve, a_shutdown_lets_answers_leave)
{
	bool over;
	char seen[200];
	little_open(SETTINGS);
	struct far idle = fresh(LITTLE_PLAIN), half = fresh(LITTLE_PLAIN),
		   slow = far_open(LITTLE_PLAIN, 4096);
	far_puts(&idle, GET);
	far_puts(&half, "GET / HT");
	for (unsigned i = 0; i < 40; i++)
		far_puts(&slow, GET);
	assert_int_not_equal(far_conn(&slow)->tail, 0);
	worker_drain(little.w, CLOSE_SHUTDOWN);
	far_recv_all(&idle, text, sizeof(text), &over);
	assert_string_equal(statuses(text, seen), "200 ");
	assert_true(over);
	far_recv_all(&half, text, sizeof(text), &over);
	assert_string_equal(statuses(text, seen), "503 ");
	assert_true(over);
	size_t n = far_recv_all(&slow, text, sizeof(text), &over);
	assert_true(over);
	unsigned answers = 0;
	for (const char *s = text; (s = memmem(s, n - (size_t)(s - text), "HTTP/1.1 200", 12)); s++)
		answers++;
	assert_int_equal(answers, 40);
	far_close(&idle);
	far_close(&half);
	far_close(&slow);
	little_settle();
	assert_int_equal(little.w->phase, WORKER_DONE);
	little_close();
}

TEST_MAIN()
