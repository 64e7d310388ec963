/* SPDX-License-Identifier: BSD-2-Clause */
/* Many short writes in one system call, into real sockets: who took all says nothing, who did not is told
 * exactly how much is left, and nothing else can be done by such a ring. */
#include "conn/ring.c" /* for its inside: the last test does with it what an intruder would */
#include "test.h"

#define PAIRS 100

static int ours[PAIRS], theirs[PAIRS];

static struct ring *begin(int buffer)
{
	struct ring *r = ring_open();
	if (r == NULL)
		test_skip("no io_uring here");
	for (int i = 0; i < PAIRS; i++) {
		int pair[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		if (buffer > 0)
			setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	return r;
}

static void end(struct ring *r)
{
	for (int i = 0; i < PAIRS; i++) {
		close(ours[i]);
		close(theirs[i]);
	}
	ring_close(r);
}

struct told {
	unsigned n;
	uint64_t who[RING_WRITES];
	ssize_t sent[RING_WRITES];
	size_t rest[RING_WRITES];
	uint8_t first[RING_WRITES];
};

static void on_short(void *ctx, uint64_t who, ssize_t sent, struct bytes rest)
{
	struct told *t = ctx;
	t->who[t->n] = who;
	t->sent[t->n] = sent;
	t->rest[t->n] = rest.n;
	t->first[t->n++] = rest.n ? rest.p[0] : 0;
}

TEST(ring, each_socket_gets_its_own_bytes)
{
	struct ring *r = begin(0);
	struct told t = {0};
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < PAIRS; i++) {
			char head[8], tail[16];
			int n = snprintf(head, sizeof(head), "%d:", round);
			int m = snprintf(tail, sizeof(tail), "for %u", i);
			struct iovec parts[2] = {{head, (size_t)n}, {tail, (size_t)m}};
			assert_true(ring_add(r, ours[i], parts, 2, i));
		}
		assert_false(ring_is_empty(r));
		ring_flush(r, on_short, &t);
		assert_true(ring_is_empty(r));
		for (unsigned i = 0; i < PAIRS; i++) {
			char want[32], got[32];
			int n = snprintf(want, sizeof(want), "%d:for %u", round, i);
			assert_int_equal(read(theirs[i], got, sizeof(got)), n);
			assert_memory_equal(got, want, (size_t)n);
		}
	}
	assert_int_equal(t.n, 0);
	end(r);
}

TEST(ring, who_does_not_take_all_is_told_how_much_is_left)
{
	struct ring *r = begin(2048);
	struct told t = {0};
	static uint8_t out[RING_WRITE_MAX], in[1 << 20];
	size_t given[PAIRS] = {0}, left[PAIRS] = {0};
	close(theirs[7]);
	for (int round = 0; round < 40 && t.n < PAIRS; round++) {
		for (unsigned i = 0; i < PAIRS && i + t.n < RING_WRITES; i++) {
			if (left[i] > 0) /* as a conn with a tail */
				continue;
			memset(out, (int)i, sizeof(out));
			struct iovec v = {out, sizeof(out)};
			if (!ring_add(r, ours[i], &v, 1, i))
				break; /* the arena is full */
			given[i] += sizeof(out);
		}
		unsigned before = t.n;
		ring_flush(r, on_short, &t);
		for (unsigned k = before; k < t.n; k++) {
			left[t.who[k]] = t.rest[k];
			assert_true(t.rest[k] > 0 && t.rest[k] <= sizeof(out));
			assert_int_equal(t.first[k], (uint8_t)t.who[k]);
			if (t.who[k] == 7)
				assert_int_equal(t.sent[k], -EPIPE);
			else if (t.sent[k] < 0)
				assert_int_equal(t.sent[k], -EAGAIN);
			else
				assert_int_equal((size_t)t.sent[k] + t.rest[k], sizeof(out));
		}
	}
	assert_true(t.n >= 30); /* each of those that the arena holds at once */
	for (unsigned i = 0; i < PAIRS; i++) {
		if (i == 7)
			continue;
		size_t got = 0;
		for (ssize_t n; (n = read(theirs[i], in, sizeof(in))) > 0; got += (size_t)n)
			;
		assert_int_equal(got + left[i], given[i]);
	}
	end(r);
}

TEST(ring, what_it_does_not_take_is_refused_and_the_rest_stays)
{
	struct ring *r = begin(0);
	struct told t = {0};
	static uint8_t out[RING_WRITE_MAX + 1];
	struct iovec v = {out, sizeof(out)};
	assert_false(ring_add(r, ours[0], &v, 1, 0)); /* too long */
	struct iovec both[2] = {{out, RING_WRITE_MAX}, {out, 1}};
	assert_false(ring_add(r, ours[0], both, 2, 0));
	v.iov_len = 10;
	assert_true(ring_add(r, ours[0], &v, 1, 0));
	assert_false(ring_add(r, ours[0], &v, 1, 0)); /* a second one for the same */
	unsigned n = 1;
	while (n < PAIRS && ring_add(r, ours[n], &v, 1, n))
		n++;
	assert_int_equal(n, PAIRS);
	for (; ring_add(r, ours[n % PAIRS], &v, 1, n); n++)
		;
	assert_int_equal(n, RING_WRITES);
	ring_flush(r, on_short, &t);
	assert_int_equal(t.n, 0);
	uint8_t in[4096];
	size_t got = 0;
	for (unsigned i = 0; i < PAIRS; i++)
		got += (size_t)read(theirs[i], in, sizeof(in));
	assert_int_equal(got, 10 * RING_WRITES);
	assert_true(ring_add(r, ours[0], &v, 1, 0)); /* and again */
	ring_flush(r, on_short, &t);
	end(r);
}

TEST(ring, none_is_one_that_is_always_empty)
{
	struct iovec v = {(void *)"x", 1};
	assert_true(ring_is_empty(NULL));
	assert_false(ring_add(NULL, 1, &v, 1, 0));
	ring_flush(NULL, on_short, NULL);
	ring_close(NULL);
}

TEST(ring, it_sends_and_does_nothing_else)
{
	struct ring *r = begin(0);
	struct io_uring_cqe *e;
	uint8_t in[16];
	io_uring_prep_socket(io_uring_get_sqe(&r->io), AF_INET, SOCK_STREAM, 0, 0);
	io_uring_prep_read(io_uring_get_sqe(&r->io), ours[0], in, sizeof(in), 0);
	io_uring_prep_openat(io_uring_get_sqe(&r->io), AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	for (int i = 0; i < 3; i++) {
		assert_true(io_uring_submit_and_get_events(&r->io) >= 0);
		assert_int_equal(io_uring_peek_cqe(&r->io, &e), 0);
		assert_int_equal(e->res, -EACCES);
		io_uring_cqe_seen(&r->io, e);
	}
	assert_true(io_uring_register_files(&r->io, ours, 1) < 0);
	end(r);
}

TEST_MAIN()
