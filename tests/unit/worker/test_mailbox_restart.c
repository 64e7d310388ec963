/* SPDX-License-Identifier: BSD-2-Clause */
/* Real processes that are killed while they write, and their successors.
 *
 * The test is the keeper. Each member sends to all others all the time; a message says which
 * lives it is from and to and its number within that pair of lives. Whoever hears a message of
 * another life, a gap, a double or damage, says so and exits; only SIGKILL may end a member
 * otherwise. At last all must still be able to talk to all. */
#include "test.h"

#include "mailbox_world.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS 4
#define KILLS   120

enum { NEWS_DOWN, NEWS_UP, NEWS_FINISH };

struct news {
	uint32_t kind, peer, generation;
};

struct letter {
	uint32_t from_generation, to_generation;
	uint64_t number;
	uint64_t seed;
	uint32_t fill;
	uint32_t final;
};

struct member {
	uint32_t self, generation;
	struct mailbox *mb;
	int news_fd;
	uint64_t random;
	bool finishing;
	struct {
		uint64_t sent, heard; /* of this pair of lives */
		bool said_final, heard_final;
	} peer[MEMBERS];
};

static void fail_member(const struct member *m, const char *what, uint32_t peer)
{
	fprintf(stderr, "member %u of life %u, about %u: %s\n", m->self, m->generation, peer, what);
	_exit(1);
}

static void hear(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	struct member *m = ctx;
	struct letter l;

	if (data.n < sizeof(l))
		fail_member(m, "too short", from);
	memcpy(&l, data.p, sizeof(l));
	if (l.to_generation != m->generation)
		fail_member(m, "meant for another life of mine", from);
	if (l.from_generation != mailbox_peer_generation(m->mb, from))
		fail_member(m, "from another life", from);
	if (l.number != ++m->peer[from].heard)
		fail_member(m, "a gap or a double", from);
	if (data.n != sizeof(l) + l.fill)
		fail_member(m, "wrong length", from);
	for (uint32_t i = 0; i < l.fill; i++)
		if (data.p[sizeof(l) + i] != (uint8_t)hash_mix(l.seed + i / 64))
			fail_member(m, "damaged", from);
	if (m->peer[from].heard_final)
		fail_member(m, "more after the last", from);
	m->peer[from].heard_final = l.final;
}

static void on_bad(void *ctx, uint32_t peer, const char *why)
{
	fail_member(ctx, why, peer);
}

static void say(struct member *m, uint32_t to, bool final)
{
	static uint8_t fill[60000];
	uint64_t r = hash_mix(m->random++);
	struct letter l = {.from_generation = m->generation, .seed = r, .final = final};

	l.to_generation = mailbox_peer_generation(m->mb, to);
	l.number = m->peer[to].sent + 1;
	l.fill = (uint32_t)(r % 50 == 0 ? (r >> 32) % sizeof(fill) : (r >> 32) % 300);
	for (uint32_t i = 0; i < l.fill; i++)
		fill[i] = (uint8_t)hash_mix(l.seed + i / 64);
	struct bytes parts[] = {BYTES(&l, sizeof(l)), BYTES(fill, l.fill)};
	enum mailbox_class class = final ? MAILBOX_MUST : MAILBOX_MAY_REFUSE;
	enum mailbox_result result = mailbox_send(m->mb, to, 1, 0, parts, 2, class);
	if (result == MAILBOX_OK)
		m->peer[to].sent++;
	else if (result != MAILBOX_OVERLOADED)
		fail_member(m, "not sent", to);
	m->peer[to].said_final |= final;
}

static void read_news(struct member *m)
{
	struct news n;
	ssize_t got;

	while ((got = recv(m->news_fd, &n, sizeof(n), MSG_DONTWAIT)) == sizeof(n)) {
		if (n.kind == NEWS_FINISH) {
			m->finishing = true;
			continue;
		}
		if (n.kind == NEWS_DOWN)
			mailbox_peer_down(m->mb, n.peer);
		else
			mailbox_peer_restarted(m->mb, n.peer, n.generation);
		memset(&m->peer[n.peer], 0, sizeof(m->peer[n.peer]));
	}
	if (got == 0)
		_exit(2); /* the keeper is gone */
}

static bool finished(const struct member *m)
{
	for (uint32_t k = 0; k < MEMBERS; k++)
		if (k != m->self && !(m->peer[k].said_final && m->peer[k].heard_final &&
				      mailbox_queued(m->mb, k) == 0))
			return false;
	return true;
}

static void speak(struct member *m)
{
	for (uint32_t k = 0; k < MEMBERS; k++) {
		if (k == m->self || !mailbox_peer_is_up(m->mb, k) || m->peer[k].said_final)
			continue;
		if (m->finishing)
			say(m, k, true);
		else if (!mailbox_congested(m->mb))
			for (uint64_t n = hash_mix(m->random++) % 40; n; n--)
				say(m, k, false);
	}
}

static _Noreturn void live(struct member *m)
{
	static const size_t plenty = 1 << 20;

	for (;;) {
		read_news(m);
		mailbox_drain(m->mb, hear, m, plenty);
		speak(m);
		mailbox_flush(m->mb);
		mailbox_kick_all(m->mb);
		if (finished(m))
			_exit(0);
		if (mailbox_sleep_begin(m->mb))
			continue;
		struct pollfd p[] = {{.fd = mailbox_event_fd(m->mb), .events = POLLIN},
				     {.fd = m->news_fd, .events = POLLIN}};
		/* while it may speak it does so again soon; at the end only messages wake it */
		if (poll(p, 2, m->finishing ? 20000 : 1) == 0 && m->finishing)
			fail_member(m, "a wake-up was lost", m->self);
		mailbox_woken(m->mb);
	}
}

/* ---- the keeper ------------------------------------------------------------------------ */

static struct mailbox_plan plan;
static struct mailbox_ends ends[MEMBERS];
static uint32_t generation[MEMBERS];
static pid_t pids[MEMBERS];
static int news_fds[MEMBERS];

static void start(uint32_t k)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	news_fds[k] = pair[0];
	pids[k] = fork();
	assert_true(pids[k] >= 0);
	if (pids[k])
		goto parent;

	struct member m = {.self = k, .generation = generation[k], .news_fd = pair[1]};
	struct mailbox_events events = {.on_bad = on_bad, .ctx = &m};
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	random_reseed();
	m.random = random_u64();
	m.mb = mailbox_attach(&plan, k, generation, ends, 256 * KIB);
	if (!m.mb)
		fail_member(&m, strerror(errno), k);
	mailbox_set_events(m.mb, &events);
	for (uint32_t i = 0; i < MEMBERS; i++) {
		close(ends[i].rw_fd);
		close(ends[i].ro_fd);
		close(news_fds[i]);
	}
	live(&m);
parent:
	close(pair[1]);
}

static void tell_others(uint32_t about, uint32_t kind)
{
	struct news n = {kind, about, generation[about]};

	for (uint32_t k = 0; k < MEMBERS; k++)
		if (k != about && pids[k])
			send(news_fds[k], &n, sizeof(n), MSG_NOSIGNAL);
}

static void kill_and_replace(uint32_t k)
{
	int status;

	kill(pids[k], SIGKILL);
	assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(news_fds[k]);
	pids[k] = 0;
	assert_int_equal(mailbox_outbox_reset(&plan, &ends[k]), 0);
	generation[k]++;
	if (random_below(2))
		tell_others(k, NEWS_DOWN);
	if (random_below(2))
		usleep(random_below(3000));
	bool tell_first = random_below(2);
	if (tell_first)
		tell_others(k, NEWS_UP);
	start(k);
	if (!tell_first)
		tell_others(k, NEWS_UP);
}

TEST(mailbox_restart, members_killed_in_mid_sentence)
{
	assert_int_equal(mailbox_plan(&plan, MEMBERS, MEMBERS * (MEMBERS - 1) * 32 * KIB, 4 * MIB),
			 0);
	for (uint32_t k = 0; k < MEMBERS; k++) {
		assert_int_equal(mailbox_ends_open(&plan, &ends[k]), 0);
		generation[k] = 1;
		news_fds[k] = -1;
	}
	for (uint32_t k = 0; k < MEMBERS; k++)
		start(k);
	for (int i = 0; i < KILLS; i++) {
		usleep(random_below(20000));
		kill_and_replace(random_below(MEMBERS));
		if (random_below(8) == 0) /* a second one before the dust has settled */
			kill_and_replace(random_below(MEMBERS));
	}
	struct news finish = {.kind = NEWS_FINISH};
	for (uint32_t k = 0; k < MEMBERS; k++)
		send(news_fds[k], &finish, sizeof(finish), MSG_NOSIGNAL);
	for (uint32_t k = 0; k < MEMBERS; k++) {
		int status;
		assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
		assert_int_equal(status, 0);
		close(news_fds[k]);
	}
	for (uint32_t k = 0; k < MEMBERS; k++)
		mailbox_ends_close(&ends[k]);
}

TEST_MAIN()
