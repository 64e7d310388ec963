/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_control.c - what may come through the control socket: any bytes, in pieces of any size.
 *
 * Byte 0 says how many bytes a read brings, and its top bit whether the worker that is asked
 * answers nonsense. What is asked of a worker or of the keeper must be within the bounds that they
 * check; each line has one answer, and an answer is one line of JSON that says whether it is ok. */
#include <arpa/inet.h>
#include <assert.h>
#include <sys/socket.h>

#include "admin/admin.h"
#include "base/json.h"
#include "keeper/channel.h"
#include "worker/mailbox.h"
#include "worker/worker.h"

/* The two doors out of control.c lead here. */
#define mailbox_send       to_worker
#define worker_tell_keeper to_keeper
#define worker_hand_keeper hand_to_keeper
static enum mailbox_result to_worker(struct mailbox *mb, uint32_t peer, uint16_t type,
				     uint16_t flags, const struct bytes *parts, size_t n_parts,
				     enum mailbox_class class);
static bool to_keeper(struct worker *w, const struct keeper_msg *m);
static bool hand_to_keeper(struct worker *w, const struct keeper_msg *m, int fd);
#include "admin/control.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct worker w;
static struct config cfg;
static struct admin admin;
static struct query for_worker;
static struct keeper_msg for_keeper;
static bool worker_asked, keeper_asked;

static enum mailbox_result to_worker(struct mailbox *mb, uint32_t peer, uint16_t type,
				     uint16_t flags, const struct bytes *parts, size_t n_parts,
				     enum mailbox_class class)
{
	struct query *q = &for_worker;
	assert(!worker_asked && peer == 0 && type == MSG_QUERY && class == MAILBOX_MUST);
	assert(n_parts == 3 && parts->n == sizeof(*q));
	memcpy(q, parts->p, sizeof(*q));
	struct expression x;
	assert(parts[1].n == q->to_n && parts[2].n == q->data_n);
	assert((q->to_n > 0) == query_has_expression(q));
	assert(q->to_n == 0 || expression_unpack(parts[1], &x));
	assert((q->data_n > 0) == (q->kind == QUERY_PUBLISH));
	assert(q->data_n == 0 ||
	       (json_check(parts[2], &(struct json_limits){.max_depth = JSON_MAX_DEPTH}, NULL) ==
			JSON_OK &&
		q->name_n > 0));
	assert(q->kind > 0 && q->kind < QUERY_KINDS && q->name_n <= QUERY_NAME_MAX);
	assert(q->limit >= 1 && q->limit <= QUERY_LIMIT_MAX);
	worker_asked = true;
	return MAILBOX_OK;
}

static bool to_keeper(struct worker *worker, const struct keeper_msg *m)
{
	assert(!keeper_asked);
	for_keeper = *m;
	keeper_asked = true;
	if (m->kind == KEEPER_STATUS || m->kind == KEEPER_POLICY_CONFIRM ||
	    m->kind == KEEPER_POLICY_REVERT)
		return true;
	assert(m->kind == KEEPER_DENY_ADD || m->kind == KEEPER_DENY_DEL);
	assert(m->family == AF_INET ? m->bits <= 32 : m->family == AF_INET6 && m->bits <= 128);
	assert(m->value <= KEEPER_DENY_MAX_S);
	assert(strnlen(m->text, sizeof(m->text)) <= KEEPER_NOTE_MAX);
	return true;
}

static bool hand_to_keeper(struct worker *worker, const struct keeper_msg *m, int fd)
{
	assert(!keeper_asked && fd >= 0);
	for_keeper = *m;
	keeper_asked = true;
	assert(m->kind == KEEPER_POLICY_CHECK ||
	       (m->kind == KEEPER_POLICY_TRY && m->value >= 1 && m->value <= KEEPER_TRY_MAX_S));
	assert(strnlen(m->text, sizeof(m->text)) <= KEEPER_NOTE_MAX);
	return true;
}

static void worker_answers(bool badly)
{
	static const char good[] = "[{\"peer\":\"127.0.0.1:1\"}]", bad[] = "[\"\x1b[2J\"";
	uint8_t p[sizeof(struct query_answer) + sizeof(good)];
	struct query_answer a = {.ask = for_worker.ask, .next = for_worker.cursor + 1};
	struct bytes text = badly ? bytes_str(bad) : bytes_str(good);
	worker_asked = false;
	memcpy(p, &a, sizeof(a));
	memcpy(p + sizeof(a), text.p, text.n);
	assert(admin_message(&w, 0, MSG_ANSWER, BYTES(p, sizeof(a) + text.n)) == !badly);
}

static void keeper_answers(void)
{
	struct keeper_msg m = {.ask = for_keeper.ask};
	keeper_asked = false;
	if (for_keeper.kind == KEEPER_STATUS) {
		m.kind = KEEPER_PIECE_SELF;
		m.self.n_members = 3;
		admin_keeper_message(&w, &m, -1);
		for (m.member = 0; m.member < 3; m.member++) {
			m.kind = KEEPER_PIECE_MEMBER;
			memset(&m.life, 0, sizeof(m.life));
			admin_keeper_message(&w, &m, -1);
		}
		m = (struct keeper_msg){.kind = KEEPER_PIECE_PRESSURE, .ask = for_keeper.ask};
		memset(&m.pressure, '"', sizeof(m.pressure));
		admin_keeper_message(&w, &m, -1);
	}
	m = (struct keeper_msg){.kind = KEEPER_REPLY, .ask = for_keeper.ask, .text = "told"};
	int report = for_keeper.kind == KEEPER_POLICY_CHECK ?
			     handover_memfd("report", "Ea:1: x\nNy\n\nZ\nE", 17) :
			     -1;
	admin_keeper_message(&w, &m, report);
	if (report >= 0)
		close(report);
}

/* Takes in what has been answered; returns how many lines were completed by that. */
static struct {
	uint8_t bytes[2 * ANSWER_MAX];
	size_t n;
} got;

static size_t read_answers(int fd)
{
	size_t lines = 0;
	ssize_t r = recv(fd, got.bytes + got.n, sizeof(got.bytes) - got.n, MSG_DONTWAIT);
	got.n += r > 0 ? (size_t)r : 0;
	struct bytes rest = BYTES(got.bytes, got.n);
	const uint8_t *end;
	while (rest.n > 0 && (end = memchr(rest.p, '\n', rest.n)) != NULL) {
		struct json_field ok = JSON_FIELD("ok");
		struct bytes line = BYTES(rest.p, (size_t)(end - rest.p));
		assert(json_object_scan(line, NULL, &ok, 1) == JSON_OK);
		assert(ok.value.type == JSON_IS_TRUE || ok.value.type == JSON_IS_FALSE);
		rest = BYTES(end + 1, rest.n - line.n - 1);
		lines++;
	}
	memmove(got.bytes, rest.p, rest.n);
	got.n = rest.n;
	return lines;
}

static void start(void)
{
	if (w.base != NULL)
		return;
	w.base = event_base_new();
	assert(w.base != NULL);
	w.id = w.n_workers = 2;
	w.is_admin = true;
	w.member_up[0] = true; /* worker 1 is down */
	w.cfg = &cfg;
	cfg.pin_dir = (char *)"/sys/fs/bpf/sluice";
	w.admin = &admin;
	admin.w = &w;
}

static struct client *meet(int *far)
{
	struct client *c = &admin.clients[0];
	int pair[2];
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	*far = pair[1];
	*c = (struct client){
		.admin = &admin, .fd = pair[0], .handed = -1, .out = malloc(ANSWER_MAX)};
	c->read = event_new(w.base, c->fd, EV_READ | EV_PERSIST, on_read, c);
	c->write = event_new(w.base, c->fd, EV_WRITE, on_write, c);
	c->timer = event_new(w.base, -1, 0, on_timeout, c);
	assert(c->out && c->read && c->write && c->timer && event_add(c->read, NULL) == 0);
	return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int far;
	size_t lines = 0, answers = 0, run = 0;
	if (size < 1)
		return 0;
	start();
	struct client *c = meet(&far);
	size_t step = 1 + (data[0] & 0x7f) * 8;
	bool too_long = false;
	for (size_t at = 1; at < size; at += step) {
		size_t n = MIN(step, size - at);
		for (size_t i = at; i < at + n; i++) {
			run = data[i] == '\n' ? 0 : run + 1;
			lines += data[i] == '\n';
			too_long |= run >= LINE_MAX_;
		}
		if (c->admin == NULL)
			break;
		/* something beside the first line, which only some requests want */
		assert(handover_send(far, data + at, n, at == 1 ? STDERR_FILENO : -1) ==
		       (ssize_t)n);
		while (c->admin != NULL && event_base_loop(w.base, EVLOOP_NONBLOCK) == 0) {
			if (c->admin == NULL)
				break;
			bool idle = !worker_asked && !keeper_asked && c->out_n == 0;
			if (worker_asked)
				worker_answers(data[0] & 0x80);
			if (keeper_asked)
				keeper_answers();
			answers += read_answers(far);
			if (idle && (c->line_n == sizeof(c->line) ||
				     recv(c->fd, &(char){0}, 1, MSG_PEEK) < 0))
				break;
		}
	}
	if (c->admin == NULL || too_long) { /* a line that is too long ends its client */
		assert(too_long);
		got.n = 0;
		close(far);
		if (c->admin != NULL)
			client_free(c);
		return 0;
	}
	assert(c->admin != NULL && c->waiting == WAIT_NOTHING && c->out_n == 0);
	answers += read_answers(far);
	assert(answers == lines && got.n == 0);
	close(far);
	client_free(c);
	return 0;
}
