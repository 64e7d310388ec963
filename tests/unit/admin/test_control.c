/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: lines in, lines out, whatever the client does in between. A real worker answers;
 * the keeper is played. */
#include "test.h"

#include <sys/un.h>

#include "../conn/little.h"
/* cmocka has a fail(), too */
#undef fail
#define fail control_fail
#include "admin/control.c"
#include "bpf/abi.h"
#undef fail
#define fail() _fail(__FILE__, __LINE__)

/* ── the admin worker, beside the little one ── */

static struct worker *boss;
static int boss_keeper; /* our end of its channel */
static bool silent;     /* the worker has no turns */
static struct sockaddr_un where = {.sun_family = AF_UNIX};

static void boss_turn(void)
{
	for (int i = 0; i < 4; i++) {
		turn(boss, true);
		work(boss);
		if (!silent)
			little_turn();
	}
}

static void open_all(void)
{
	static const bool up[2] = {true, true};
	int pair[2];
	silent = false;
	little_open(
		"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; },"
		"              { path = \"/ws\"; rate = 0; words = [\"channels\"]; },"
		"              { path = \"/rooms\"; rate = 0; words = [\"rooms\"]; } );" LITTLE_LISTENERS);
	int slab = memfd_create("slab", MFD_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(where.sun_path, sizeof(where.sun_path), "%s/control", little.dir);
	if (slab < 0 || ftruncate(slab, (off_t)conn_slab_bytes(16)) != 0 ||
	    bind(fd, (struct sockaddr *)&where, sizeof(where)) != 0 || listen(fd, 64) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		little_die("boss");
	boss_keeper = pair[0];
	struct worker_start start = {
		.id = 1,
		.n_workers = 1,
		.incarnation = 1,
		.cfg = little.cfg,
		.slab_fd = slab,
		.slab_max = 16,
		.keeper_fd = pair[1],
		.mailbox = little.admin,
		.control_fd = fd,
		.member_up = up,
	};
	boss = calloc(1, sizeof(*boss));
	if (!init(boss, &start))
		abort();
	close(slab);
	boss_turn();
}

static void close_all(void)
{
	struct admin *a = boss->admin;
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (a->clients[i].admin)
			client_free(&a->clients[i]);
	close(event_get_fd(a->accept));
	event_free(a->accept);
	event_free(a->again);
	free(a);
	close(boss_keeper);
	unlink(where.sun_path);
	little_free_worker(boss);
	boss = NULL;
	little.admin = NULL; /* it was the boss's */
	little_close();
}

/* ── clients ── */

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&where, sizeof(where)) != 0)
		little_die("dial");
	boss_turn();
	return fd;
}

static void say(int fd, const char *s)
{
	if (send(fd, s, strlen(s), MSG_NOSIGNAL) != (ssize_t)strlen(s))
		little_die("say");
	boss_turn();
}

static char heard[300000];

/* All that it says now, with a NUL; "" for nothing, NULL when it has hung up. */
static const char *hear(int fd)
{
	size_t n = 0;
	for (int i = 0; i < 10; i++) {
		ssize_t r = recv(fd, heard + n, sizeof(heard) - 1 - n, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN)) {
			heard[n] = '\0';
			return n ? heard : NULL;
		}
		n += r > 0 ? (size_t)r : 0;
		boss_turn();
	}
	heard[n] = '\0';
	return heard;
}

static unsigned lines(const char *s)
{
	unsigned n = 0;
	for (; s != NULL && *s; s++)
		n += *s == '\n';
	return n;
}

#define assert_begins(text, with) assert_int_equal(strncmp(text, with, strlen(with)), 0)
#define assert_hears(fd, with)                                                                     \
	do {                                                                                       \
		const char *h_ = hear(fd);                                                         \
		assert_non_null(h_);                                                               \
		assert_msg(strncmp(h_, with, strlen(with)) == 0, "heard %s", h_);                  \
		assert_int_equal(lines(h_), 1);                                                    \
	} while (0)

#define WORKER "{\"ask\":\"worker\",\"member\":0}\n"

TEST(control, requests_cut_anywhere_are_answered_in_order)
{
	static const char two[] = WORKER "{\"ask\":\"conns\",\"member\":0}\n";
	open_all();
	int fd = dial();
	for (size_t cut = 0; cut < sizeof(two) - 1; cut += 3) {
		char first[sizeof(two)];
		memcpy(first, two, cut);
		first[cut] = '\0';
		say(fd, first);
		say(fd, two + cut);
		const char *s = hear(fd);
		if (lines(s) < 2)
			s = "";
		assert_begins(s, "{\"ok\":true,\"answer\":{\"worker\":0");
		assert_begins(strchr(s, '\n') + 1, "{\"ok\":true,\"answer\":[],\"next\":null}");
	}
	close(fd);
	close_all();
}

TEST(control, what_is_wrong_is_said_and_the_next_line_is_read)
{
	static const struct {
		const char *line, *error;
	} cases[] = {
		{"", "empty"},
		{"[]", ""},
		{"{", ""},
		{"{}", "is missing"},
		{"{\"ask\":7}", "is missing"},
		{"{\"ask\":\"dance\"}", "unknown "},
		{"{\"ask\":\"worker\"}", "member, cursor or limit"},
		{"{\"ask\":\"worker\",\"member\":-1}", "member, cursor or limit"},
		{"{\"ask\":\"worker\",\"member\":1}", "no such worker"},
		{"{\"ask\":\"worker\",\"member\":\"0\"}", "member, cursor or limit"},
		{"{\"ask\":\"conns\",\"member\":0,\"limit\":0}", "member, cursor or limit"},
		{"{\"ask\":\"conns\",\"member\":0,\"limit\":1001}", "member, cursor or limit"},
		{"{\"ask\":\"conns\",\"member\":0,\"cursor\":4294967295}",
		 "member, cursor or limit"},
		{"{\"ask\":\"conn\",\"member\":0}", "id must be"},
		{"{\"ask\":\"conn\",\"member\":0,\"id\":\"\"}", "id must be"},
		{"{\"ask\":\"conn\",\"member\":0,\"id\":\"0123456789abcdef0123456789abcdeg\"}",
		 "id must be"},
		{"{\"ask\":\"conn\",\"member\":0,\"id\":\"0123456789abcdef0123456789abcdef0\"}",
		 "id must be"},
		{"{\"ask\":\"channels\",\"member\":0,\"name\":7}", "name must be"},
		{"{\"ask\":\"channels\",\"member\":0,\"name\":\"a\\u0000b\"}", "name must be"},
		{"{\"ask\":\"deny-add\",\"addr\":\"nowhere\",\"bits\":24}", "addr and bits"},
		{"{\"ask\":\"deny-add\",\"addr\":\"192.0.2.0\"}", "addr and bits"},
		{"{\"ask\":\"deny-add\",\"addr\":\"192.0.2.0\",\"bits\":33}", "addr and bits"},
		{"{\"ask\":\"deny-add\",\"addr\":\"2001:db8::\",\"bits\":129}", "addr and bits"},
		{"{\"ask\":\"deny-add\",\"addr\":\"192.0.2.0\",\"bits\":24,\"seconds\":-1}",
		 "seconds"},
		{"{\"ask\":\"deny-add\",\"addr\":\"192.0.2.0\",\"bits\":24,\"seconds\":31622401}",
		 "seconds"},
		{"{\"ask\":\"deny-add\",\"addr\":\"192.0.2.0\",\"bits\":24,\"note\":"
		 "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
		 "note"},
	};
	open_all();
	int fd = dial();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[300];
		snprintf(line, sizeof(line), "%s\n", cases[i].line);
		say(fd, line);
		const char *s = hear(fd);
		assert_begins(s, "{\"ok\":false,\"error\":\"");
		assert_msg(strstr(s, cases[i].error) || i == 0, "%s: %s", cases[i].line, s);
		assert_int_equal(lines(s), 1);
	}
	say(fd, WORKER);
	assert_hears(fd, "{\"ok\":true,\"answer\":{\"worker\":0");
	close(fd);
	close_all();
}

/* What follows an endless line is its end, and no request. */
TEST(control, a_line_without_end_ends_the_client)
{
	static char line[LINE_MAX_ + 500];
	open_all();
	memset(line, 'x', sizeof(line));
	memcpy(line + LINE_MAX_ + 100, "\n" WORKER, sizeof("\n" WORKER));
	int fd = dial();
	say(fd, line);
	assert_hears(fd, "{\"ok\":false,\"error\":\"a request is at most 16384 bytes\"}");
	assert_null(hear(fd));
	close(fd);
	close_all();
}

TEST(control, who_has_said_all_still_gets_its_answers)
{
	open_all();
	int fd = dial();
	if (send(fd, WORKER WORKER, strlen(WORKER WORKER), 0) < 0)
		little_die("send");
	shutdown(fd, SHUT_WR);
	boss_turn();
	assert_int_equal(lines(hear(fd)), 2);
	assert_null(hear(fd));
	close(fd);
	fd = dial();
	say(fd, "{\"ask\":\"wor"); /* and half a line is none */
	shutdown(fd, SHUT_WR);
	boss_turn();
	assert_null(hear(fd));
	close(fd);
	close_all();
}

TEST(control, idle_clients_do_not_lock_anybody_out)
{
	int fd[CLIENTS_MAX + 3];
	open_all();
	for (unsigned i = 0; i < CLIENTS_MAX + 3; i++) {
		fd[i] = dial();
		little_ns += 1000000;
		say(fd[i], WORKER);
		assert_hears(fd[i], "{\"ok\":true");
	}
	for (unsigned i = 0; i < 3; i++) { /* those who were silent longest */
		assert_null(hear(fd[i]));
		close(fd[i]);
	}
	for (unsigned i = 3; i < CLIENTS_MAX + 3; i++) {
		say(fd[i], WORKER);
		assert_hears(fd[i], "{\"ok\":true");
		close(fd[i]);
	}
	close_all();
}

TEST(control, who_does_not_read_is_let_go_and_holds_up_nobody)
{
	open_all();
	int lazy = dial(), keen = dial(), small = 2048;
	struct client *c = &boss->admin->clients[0];
	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (unsigned i = 0; i < 30 && c->out_n == 0; i++)
		say(lazy, WORKER);
	assert_int_not_equal(c->out_n, 0);
	say(keen, WORKER);
	assert_hears(keen, "{\"ok\":true");
	assert_true(event_pending(c->write, EV_TIMEOUT, NULL));
	on_write(c->fd, EV_TIMEOUT, c);
	assert_null(c->admin);
	close(lazy);
	close(keen);
	close_all();
}

/* ── workers ── */

TEST(control, conns_come_in_pages_and_close_by_their_id)
{
	char line[200], id[40];
	struct far f[30];
	open_all();
	for (unsigned i = 0; i < 30; i++)
		f[i] = i % 3 ? far_upgrade(i % 2, "/echo", 0) : far_open(LITTLE_PLAIN, 0);
	int fd = dial();
	unsigned rows = 0, pages = 0;
	for (uint64_t cursor = 0; pages < 100;) {
		snprintf(line, sizeof(line),
			 "{\"ask\":\"conns\",\"member\":0,\"cursor\":%llu,\"limit\":7}\n",
			 (unsigned long long)cursor);
		say(fd, line);
		const char *s = hear(fd);
		for (const char *at = s; (at = strstr(at, "\"id\":")) != NULL; at++)
			rows++;
		pages++;
		const char *next = strstr(s, "\"next\":");
		if (strncmp(next + 7, "null", 4) == 0)
			break;
		cursor = strtoull(next + 7, NULL, 10);
	}
	assert_int_equal(rows, 30);
	assert_in_range(pages, 5, 6);
	random_uuid_print(far_conn(&f[4])->client_id, id);
	snprintf(line, sizeof(line), "{\"ask\":\"conn\",\"member\":0,\"id\":\"%s\"}\n", id);
	say(fd, line);
	assert_non_null(strstr(hear(fd), "\"endpoint\":\"/echo\""));
	snprintf(line, sizeof(line), "{\"ask\":\"close\",\"member\":0,\"id\":\"%s\"}\n", id);
	say(fd, line);
	assert_hears(fd, "{\"ok\":true,\"answer\":[{");
	assert_int_equal(far_conn(&f[4])->state, CONN_CLOSING);
	say(fd, line); /* once more: at once */
	assert_hears(fd, "{\"ok\":true,\"answer\":[{");
	assert_null(far_conn(&f[4]));
	say(fd, line);
	assert_hears(fd, "{\"ok\":true,\"answer\":[],\"next\":null}");
	for (unsigned i = 0; i < 30; i++)
		far_close(&f[i]);
	close(fd);
	boss_turn();
	close_all();
}

TEST(control, channels_come_in_pages_and_by_their_name)
{
	char line[300];
	open_all();
	struct far f = far_upgrade(LITTLE_PLAIN, "/ws", 0);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(line, sizeof(line), "{\"type\":\"subscribe\",\"channel\":\"%s%u\"}",
			 i % 2 ? "\\\"\xc3\xa4" : "room:", i);
		far_text(&f, line);
	}
	int fd = dial();
	unsigned rows = 0, pages = 0;
	for (uint64_t cursor = 0; pages < 100;) {
		snprintf(line, sizeof(line),
			 "{\"ask\":\"channels\",\"member\":0,\"cursor\":%llu,\"limit\":7}\n",
			 (unsigned long long)cursor);
		say(fd, line);
		const char *text = hear(fd), *next = strstr(text, "\"next\":");
		for (const char *at = text; (at = strstr(at, "\"set_bytes\":")) != NULL; at++)
			rows++;
		pages++;
		if (strncmp(next + 7, "null", 4) == 0)
			break;
		cursor = strtoull(next + 7, NULL, 10);
	}
	assert_int_equal(rows, 60);
	assert_int_equal(pages, 9);
	/* the one that is asked for stands in the first page, wherever it is in the table */
	say(fd, "{\"ask\":\"channels\",\"member\":0,\"limit\":1,\"name\":\"\\\"\xc3\xa4"
		"59\"}\n");
	const char *text = hear(fd);
	assert_begins(text, "{\"ok\":true,\"answer\":[{\"name\":\"\\\"\xc3\xa4"
			    "59\",\"space\":\"/ws\"");
	say(fd, "{\"ask\":\"channels\",\"member\":0,\"name\":\"nobody\"}\n");
	assert_hears(fd, "{\"ok\":true,\"answer\":[],\"next\":null}");
	far_close(&f);
	close(fd);
	boss_turn();
	close_all();
}

/* The same name in two spaces, and who has it by other words. */
TEST(control, members_come_in_pages_out_of_all_spaces)
{
	enum { N = 23 };
	struct far f[N];
	char line[300], seen[N] = {0};
	open_all();
	for (unsigned i = 0; i < N; i++) {
		f[i] = far_upgrade(LITTLE_PLAIN, i % 3 ? "/ws" : "/rooms", 0);
		far_text(&f[i], i % 3 ? "{\"type\":\"subscribe\",\"channel\":\"c\"}" :
					"{\"type\":\"join_room\",\"room\":\"c\"}");
	}
	int fd = dial();
	unsigned pages = 0;
	for (uint64_t cursor = 0; pages < 100;) {
		snprintf(line, sizeof(line),
			 "{\"ask\":\"members\",\"member\":0,\"cursor\":%llu,\"limit\":7,"
			 "\"name\":\"c\"}\n",
			 (unsigned long long)cursor);
		say(fd, line);
		const char *text = hear(fd), *next = strstr(text, "\"next\":");
		for (const char *at = text; (at = strstr(at, "{\"id\":")) != NULL; at++) {
			unsigned index = (unsigned)strtoul(strstr(at, "\"index\":") + 8, NULL, 10);
			assert_true(index < N);
			seen[index]++;
			const char *end = strchr(at, '}');
			const char *space = strstr(at, "\"space\":\"/rooms\"");
			const char *words = strstr(at, "\"encoding\":\"room\"");
			assert_int_equal(space && space < end, words && words < end);
		}
		pages++;
		if (strncmp(next + 7, "null", 4) == 0)
			break;
		cursor = strtoull(next + 7, NULL, 10);
	}
	assert_int_equal(pages, 4);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(seen[i], 1);
	say(fd, "{\"ask\":\"members\",\"member\":0,\"name\":\"nobody\"}\n");
	assert_hears(fd, "{\"ok\":true,\"answer\":[],\"next\":null}");
	say(fd, "{\"ask\":\"members\",\"member\":0}\n");
	assert_hears(fd, "{\"ok\":true,\"answer\":[],\"next\":null}");
	say(fd, "{\"ask\":\"members\",\"member\":0,\"cursor\":4294967294,\"name\":\"c\"}\n");
	assert_hears(fd, "{\"ok\":true,\"answer\":[],\"next\":null}");
	for (unsigned i = 0; i < N; i++)
		far_close(&f[i]);
	close(fd);
	boss_turn();
	close_all();
}

static void answer(uint32_t ask, uint32_t next, const char *json)
{
	struct query_answer a = {.ask = ask, .next = next};
	struct bytes parts[2] = {BYTES(&a, sizeof(a)), bytes_str(json)};
	mailbox_send(little.w->mailbox, 1, MSG_ANSWER, 0, parts, 2, MAILBOX_MUST);
	mailbox_kick_all(little.w->mailbox);
	boss_turn();
}

/* What it is asked goes unheard; then somebody who has taken it over speaks. */
static int ask_silent_worker(const char *line)
{
	silent = true;
	int fd = dial();
	say(fd, line);
	return fd;
}

static void swallow(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	++*(unsigned *)ctx;
}

TEST(control, a_worker_that_lies_speaks_to_nobody)
{
	unsigned asked = 0;
	open_all();
	int fd = ask_silent_worker(WORKER);
	mailbox_drain(little.w->mailbox, swallow, &asked, 1 << 20);
	assert_int_equal(asked, 1);
	uint32_t ask = boss->admin->clients[0].ask;
	answer(ask + 1, QUERY_NO_NEXT, "{\"for\":\"somebody else\"}");
	assert_string_equal(hear(fd), "");
	answer(ask, QUERY_NO_NEXT, "{\"x\":1}\n{\"ok\":true}");
	assert_hears(fd, "{\"ok\":false,\"error\":\"the worker's answer is not JSON\"}");
	answer(ask, QUERY_NO_NEXT, "{\"late\":1}");
	assert_string_equal(hear(fd), "");
	close(fd);
	close_all();
}

/* A worker looks at some slots at a time; who asks for one conn need not know. */
TEST(control, a_search_goes_on_where_it_stopped)
{
	static const char line[] =
		"{\"ask\":\"conn\",\"member\":0,\"id\":\"00000000000000000000000000000000\"}\n";
	unsigned asked = 0;
	open_all();
	int fd = ask_silent_worker(line);
	mailbox_drain(little.w->mailbox, swallow, &asked, 1 << 20);
	uint32_t ask = boss->admin->clients[0].ask;
	answer(ask, 65536, "[]");
	assert_string_equal(hear(fd), "");
	mailbox_drain(little.w->mailbox, swallow, &asked, 1 << 20);
	assert_int_equal(boss->admin->clients[0].query.cursor, 65536);
	answer(ask, 65536, "[]"); /* no further: it is answered, not asked for ever */
	assert_hears(fd, "{\"ok\":true,\"answer\":[]");
	close(fd);
	close_all();
}

TEST(control, silence_and_death_are_answered_too)
{
	open_all();
	int fd = ask_silent_worker(WORKER WORKER);
	struct client *c = &boss->admin->clients[0];
	assert_true(event_pending(c->timer, EV_TIMEOUT, NULL));
	on_timeout(-1, EV_TIMEOUT, c);
	assert_hears(fd, "{\"ok\":false,\"error\":\"the worker did not answer in time\"}");
	assert_int_equal(c->waiting, WAIT_MEMBER); /* the second line */
	admin_member_down(boss, 0);
	assert_hears(fd, "{\"ok\":false,\"error\":\"the worker died before it answered\"}");
	boss->member_up[0] = false;
	say(fd, WORKER);
	assert_hears(fd, "{\"ok\":false,\"error\":\"this worker is down");
	close(fd);
	close_all();
}

/* ── the keeper ── */

static struct keeper_msg told(void)
{
	struct keeper_msg m = {0};
	do {
		if (recv(boss_keeper, &m, sizeof(m), 0) != sizeof(m))
			little_die("told");
	} while (m.kind == KEEPER_READY);
	return m;
}

static void tell(const struct keeper_msg *m)
{
	if (send(boss_keeper, m, sizeof(*m), 0) != sizeof(*m))
		little_die("tell");
	boss_turn();
}

static void say_beside(int fd, const char *line, int beside)
{
	if (handover_send(fd, line, strlen(line), beside) != (ssize_t)strlen(line))
		little_die("say");
	boss_turn();
}

TEST(control, a_file_beside_the_line_goes_to_the_keeper_and_its_report_comes_back)
{
	static const char report[] = "Ea.conf:1: \"x\"\nNthat too\nEb\n\nE";
	open_all();
	int fd = dial(), file = handover_memfd("x", "some text", 9), got;
	say_beside(fd, "{\"ask\":\"policy-try\",\"seconds\":60,\"note\":\"next.conf\"}\n", file);
	struct keeper_msg m = {0};
	do
		assert_int_equal(handover_recv(boss_keeper, &m, sizeof(m), &got), sizeof(m));
	while (m.kind == KEEPER_READY);
	assert_int_equal(m.kind, KEEPER_POLICY_TRY);
	assert_int_equal(m.value, 60);
	assert_string_equal(m.text, "next.conf");
	assert_true(got >= 0);
	assert_int_equal(handover_sealed(got, 9), 9);
	close(got);
	close(file);
	file = handover_memfd("x", report, strlen(report));
	struct keeper_msg no = {
		.kind = KEEPER_REPLY, .ask = m.ask, .status = -EINVAL, .text = "2 mistakes"};
	assert_int_equal(handover_send(boss_keeper, &no, sizeof(no), file), sizeof(no));
	close(file);
	boss_turn();
	assert_string_equal(hear(fd),
			    "{\"ok\":false,\"error\":\"2 mistakes\",\"mistakes\":[\"a.conf:1: "
			    "\\\"x\\\"\",\"b\"],\"notes\":[\"that too\"]}\n");
	close(fd);
	close_all();
}

TEST(control, a_request_for_a_file_without_one_is_told_so)
{
	open_all();
	int fd = dial();
	say(fd, "{\"ask\":\"policy-check\"}\n");
	assert_non_null(strstr(hear(fd), "the file is missing"));
	/* one that came with another line counts for the next that wants it, and once */
	say_beside(fd, "{\"ask\":\"policy-try\",\"seconds\":0}\n", STDERR_FILENO);
	assert_non_null(strstr(hear(fd), "seconds must be 1 to 86400"));
	say(fd, "{\"ask\":\"policy-check\"}\n");
	struct keeper_msg m = told();
	assert_int_equal(m.kind, KEEPER_POLICY_CHECK);
	m = (struct keeper_msg){.kind = KEEPER_REPLY, .ask = m.ask, .text = "fine"};
	tell(&m);
	assert_string_equal(hear(fd), "{\"ok\":true,\"text\":\"fine\"}\n");
	say(fd, "{\"ask\":\"policy-check\"}\n");
	assert_non_null(strstr(hear(fd), "the file is missing"));
	close(fd);
	close_all();
}

TEST(control, a_denial_is_passed_to_the_keeper_and_its_word_comes_back)
{
	open_all();
	int fd = dial();
	say(fd,
	    "{\"ask\":\"deny-add\",\"addr\":\"203.0.113.0\",\"bits\":24,\"seconds\":600,\"note\":\"a \\\"b\"}\n");
	struct keeper_msg m = told();
	assert_int_equal(m.kind, KEEPER_DENY_ADD);
	assert_int_equal(m.family, AF_INET);
	assert_int_equal(m.bits, 24);
	assert_int_equal(m.value, 600);
	assert_memory_equal(m.addr, "\xcb\x00\x71\x00\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_string_equal(m.text, "a \"b");
	assert_string_equal(hear(fd), "");
	struct keeper_msg r = {.kind = KEEPER_REPLY, .ask = m.ask};
	strcpy(r.text, "done\n");
	tell(&r);
	assert_hears(fd, "{\"ok\":true,\"text\":\"done\\n\"}");
	say(fd, "{\"ask\":\"deny-del\",\"addr\":\"2001:db8::\",\"bits\":32}\n");
	m = told();
	assert_int_equal(m.kind, KEEPER_DENY_DEL);
	assert_int_equal(m.family, AF_INET6);
	r = (struct keeper_msg){.kind = KEEPER_REPLY, .ask = m.ask, .status = -ENOENT};
	strcpy(r.text, "there is none");
	tell(&r);
	assert_hears(fd, "{\"ok\":false,\"error\":\"there is none\"}");
	tell(&r); /* twice: nobody asked */
	assert_string_equal(hear(fd), "");
	close(fd);
	close_all();
}

TEST(control, a_set_beside_the_line_goes_to_the_keeper)
{
	open_all();
	int fd = dial(), file = handover_memfd("x", "a list", 6), got;
	say_beside(
		fd,
		"{\"ask\":\"deny-load\",\"set\":\"drop\",\"note\":\"/a/drop.txt\",\"force\":true}\n",
		file);
	struct keeper_msg m = {0};
	do
		assert_int_equal(handover_recv(boss_keeper, &m, sizeof(m), &got), sizeof(m));
	while (m.kind == KEEPER_READY);
	assert_int_equal(m.kind, KEEPER_LIST_LOAD);
	assert_int_equal(m.list, LIST_DENY);
	assert_int_equal(m.force, 1);
	assert_string_equal(m.text, "drop /a/drop.txt");
	assert_true(got >= 0);
	close(got);
	close(file);
	tell(&(struct keeper_msg){.kind = KEEPER_REPLY, .ask = m.ask, .text = "3 prefixes"});
	assert_string_equal(hear(fd), "{\"ok\":true,\"text\":\"3 prefixes\"}\n");
	say(fd, "{\"ask\":\"allow-load\",\"set\":\"drop\"}\n");
	assert_non_null(strstr(hear(fd), "the file is missing"));
	say(fd, "{\"ask\":\"allow-load\",\"set\":\"\"}\n");
	assert_non_null(strstr(hear(fd), "set must be"));
	say(fd, "{\"ask\":\"allow-drop\",\"set\":\"drop\",\"force\":true}\n");
	m = told();
	assert_int_equal(m.kind, KEEPER_LIST_DROP);
	assert_int_equal(m.list, LIST_ALLOW);
	assert_int_equal(m.force, 0); /* which nothing needs to be taken away */
	assert_string_equal(m.text, "drop");
	tell(&(struct keeper_msg){
		.kind = KEEPER_REPLY, .ask = m.ask, .status = -ENOENT, .text = "no"});
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":\"no\"}\n");
	say(fd, "{\"ask\":\"allow-add\",\"addr\":\"192.0.2.1\",\"bits\":32}\n");
	m = told();
	assert_int_equal(m.kind, KEEPER_DENY_ADD);
	assert_int_equal(m.list, LIST_ALLOW);
	close(fd);
	close_all();
}

TEST(control, the_pieces_of_the_status_become_one_answer)
{
	open_all();
	int fd = dial();
	say(fd, "{\"ask\":\"keeper\"}\n");
	uint32_t ask = told().ask;
	tell(&(struct keeper_msg){
		.kind = KEEPER_PIECE_SELF, .ask = ask, .self = {.pid = 7, .n_members = 2}});
	tell(&(struct keeper_msg){.kind = KEEPER_PIECE_MEMBER, .ask = ask, .life = {.pid = 8}});
	tell(&(struct keeper_msg){.kind = KEEPER_REPLY, .ask = ask, .value = 2});
	struct keeper_msg m = told(); /* the next pieces */
	assert_int_equal(m.kind, KEEPER_STATUS);
	assert_int_equal(m.value, 2);
	tell(&(struct keeper_msg){
		.kind = KEEPER_PIECE_MEMBER, .member = 1, .ask = ask, .life = {.pid = 9}});
	tell(&(struct keeper_msg){
		.kind = KEEPER_PIECE_PRESSURE,
		.ask = ask,
		.pressure = {.evicted = 5, .cookies = "own", .cookies_test = "passed"}});
	tell(&(struct keeper_msg){
		.kind = KEEPER_PIECE_LIST, .ask = ask, .gauge = {.v4 = 5, .bytes = 640}});
	tell(&(struct keeper_msg){.kind = KEEPER_PIECE_LIST,
				  .ask = ask,
				  .gauge = {.id = LIST_ALLOW, .loading = "x"}});
	tell(&(struct keeper_msg){
		.kind = KEEPER_PIECE_CERTS, .ask = ask, .certs = {.wall_ms = 3, .why = "x"}});
	tell(&(struct keeper_msg){.kind = KEEPER_REPLY, .ask = ask});
	const char *s = hear(fd);
	assert_begins(s, "{\"ok\":true,\"keeper\":{\"pid\":7");
	assert_non_null(strstr(s, "],\"certificates\":{\"read_ms\":3,\"ok\":false,\"why\":\"x\"}"));
	assert_non_null(strstr(s, "\"lists\":[{\"list\":\"deny\",\"ipv4\":5,"));
	assert_non_null(strstr(s, "\"bytes\":640,\"loading\":\"\"},{\"list\":\"allow\","));
	assert_non_null(strstr(s, "\"members\":[{"));
	assert_non_null(strstr(s, "\"pid\":8"));
	assert_non_null(strstr(s, "\"pid\":9"));
	assert_non_null(strstr(s, "}],\"rate\":{"));
	assert_non_null(strstr(s, "\"evicted\":5"));
	assert_non_null(
		strstr(s, "\"cookies\":{\"kind\":\"own\",\"test\":\"passed\",\"reason\":\"\""));
	assert_begins(s + strlen(s) - 3, "}}\n");
	close(fd);
	close_all();
}

TEST(control, a_keeper_that_cannot_be_asked_is_said_at_once)
{
	struct keeper_msg m = {.kind = KEEPER_READY};
	open_all();
	int fd = dial();
	while (send(boss->_keeper_fd, &m, sizeof(m), MSG_DONTWAIT) > 0)
		;
	say(fd, "{\"ask\":\"keeper\"}\n" WORKER);
	const char *s = hear(fd);
	assert_begins(s, "{\"ok\":false,\"error\":\"the keeper cannot be asked now\"}\n");
	assert_int_equal(lines(s), 2);
	close(fd);
	close_all();
}

TEST_MAIN()
