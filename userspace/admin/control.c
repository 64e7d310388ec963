/* SPDX-License-Identifier: BSD-2-Clause */
/* control.c - the control socket.
 *
 * A Unix stream socket; who may open it may do all that is here. One JSON object per line
 * in, one per line out, in order; a client that waits for each answer needs no ids. What may be
 * asked stands in admin/request.h.
 *
 * A client that has said all may close its side and still gets its answers. One that does not take
 * an answer is dropped; where all places are taken, the one that has been idle longest.
 *
 * Every answer begins {"ok":true,… or {"ok":false,"error":"…". A member's JSON is checked
 * before it is passed on: a worker that was taken over must not speak to a root shell. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/request.h"
#include "admin/status.h"
#include "base/handover.h"
#include "base/json.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

#define CLIENTS_MAX    16
#define LINE_MAX_      16384 /* what is published, and to whom, with all its escapes */
#define ANSWER_MAX     (128u << 10)
#define ASK_TIMEOUT_S  3
#define READ_TIMEOUT_S 60 /* where the keeper has a file read first */
#define OUT_TIMEOUT_S  10

enum waiting { WAIT_NOTHING, WAIT_MEMBER, WAIT_KEEPER, WAIT_STATUS, WAIT_READING };

struct client {
	struct admin *admin; /* NULL: the place is free */
	int fd;
	int handed; /* what came beside the lines, for the next request that wants it; -1 */
	struct event *read, *write, *timer;
	uint8_t line[LINE_MAX_];
	size_t line_n;
	uint8_t *out; /* ANSWER_MAX, while an answer is being made or written */
	size_t out_n, out_at;
	enum waiting waiting;
	bool eof;  /* it will ask nothing more */
	bool last; /* no request after this answer: what follows is no line */
	uint64_t heard_ns;
	uint32_t ask;
	unsigned member;
	struct query query;         /* WAIT_MEMBER */
	struct admin_status status; /* WAIT_STATUS: how far its answer is */
};

struct admin {
	struct worker *w;
	struct event *accept;
	struct event *again; /* accept is off until then */
	uint32_t next_ask;
	struct client clients[CLIENTS_MAX];
};

/* ── answering ── */

static void client_free(struct client *c)
{
	if (c->read)
		event_free(c->read);
	if (c->write)
		event_free(c->write);
	if (c->timer)
		event_free(c->timer);
	free(c->out);
	if (c->handed >= 0)
		close(c->handed);
	close(c->fd);
	memset(c, 0, sizeof(*c));
}

static struct json_out begin(struct client *c, bool ok)
{
	struct json_out o = JSON_OUT(c->out, ANSWER_MAX - 1);
	json_put_open(&o, '{');
	json_key(&o, "ok");
	json_put_bool(&o, ok);
	return o;
}

/* Something was answered out of order of events: the next line, if there is one. */
static void go_on(struct client *c);

static void flush(struct client *c)
{
	while (c->out_at < c->out_n) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_n - c->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			c->out_at += (size_t)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && errno == EAGAIN) {
			event_add(c->write, &(struct timeval){.tv_sec = OUT_TIMEOUT_S});
			return;
		} else {
			client_free(c);
			return;
		}
	}
	c->out_n = c->out_at = 0;
	if (c->last)
		client_free(c);
}

static void finish(struct client *c, struct json_out *o)
{
	json_put_close(o, '}');
	json_put_lit(o, "\n");
	c->waiting = WAIT_NOTHING;
	c->ask = 0; /* what comes late for it finds nobody */
	event_del(c->timer);
	if (o->overflow)
		o->n = (size_t)snprintf((char *)c->out, ANSWER_MAX,
					"{\"ok\":false,\"error\":\"answer too long\"}\n");
	c->out_n = o->n;
	c->out_at = 0;
	flush(c);
}

static void fail(struct client *c, const char *why)
{
	struct json_out o = begin(c, false);
	json_key_str(&o, "error", bytes_str(why));
	finish(c, &o);
}

/* ── asking others ── */

static void wait_for(struct client *c, enum waiting what)
{
	struct timeval t = {.tv_sec = what == WAIT_READING ? READ_TIMEOUT_S : ASK_TIMEOUT_S};
	c->waiting = what;
	event_add(c->timer, &t);
}

static void ask_keeper(struct client *c, struct keeper_msg *m, enum waiting what)
{
	m->ask = c->ask;
	wait_for(c, what);
	if (!worker_tell_keeper(c->admin->w, m)) {
		c->out_n = 0;
		fail(c, "the keeper cannot be asked now");
	}
}

/* What came beside the line goes along, once. */
static void hand_keeper(struct client *c, struct keeper_msg *m)
{
	m->ask = c->ask;
	if (c->handed < 0) {
		fail(c, "the file is missing: a sealed memfd goes beside this request");
		return;
	}
	wait_for(c, WAIT_READING);
	bool sent = worker_hand_keeper(c->admin->w, m, c->handed);
	close(c->handed);
	c->handed = -1;
	if (!sent)
		fail(c, "the keeper cannot be asked now");
}

static bool reads_first(const struct keeper_msg *m)
{
	/* it compares with the file in use; it builds a list */
	return m->kind == KEEPER_POLICY_CONFIRM || m->kind == KEEPER_LIST_DROP;
}

static void send_query(struct client *c, struct bytes to, struct bytes data)
{
	struct bytes parts[] = {BYTES(&c->query, sizeof(c->query)), to, data};
	mailbox_send(c->admin->w->mailbox, c->member, MSG_QUERY, 0, parts, ARRAY_SIZE(parts),
		     MAILBOX_MUST);
}

static void ask_member(struct client *c, const struct admin_request *r)
{
	struct worker *w = c->admin->w;
	if (c->member >= w->n_workers) {
		fail(c, "no such worker");
		return;
	}
	if (!w->member_up[c->member]) {
		fail(c, "this worker is down: it is being restarted");
		return;
	}
	c->query.ask = c->ask;
	wait_for(c, WAIT_MEMBER);
	send_query(c, r->to, r->data);
}

static void ask_status(struct client *c)
{
	struct json_out o = begin(c, true);
	c->out_n = o.n;
	c->status = (struct admin_status){0};
	ask_keeper(c, &(struct keeper_msg){.kind = KEEPER_STATUS}, WAIT_STATUS);
}

/* ── requests ── */

static void request(struct client *c, struct bytes line)
{
	struct admin_request r;
	c->ask = ++c->admin->next_ask;
	if (!admin_request_parse(line, &r)) {
		fail(c, r.why);
		return;
	}
	switch (r.whom) {
	case ADMIN_ASK_STATUS: ask_status(c); break;
	case ADMIN_ASK_MEMBER:
		c->member = r.member;
		c->query = r.query;
		ask_member(c, &r);
		break;
	case ADMIN_ASK_KEEPER:
		if (r.hands)
			hand_keeper(c, &r.msg);
		else
			ask_keeper(c, &r.msg, reads_first(&r.msg) ? WAIT_READING : WAIT_KEEPER);
		break;
	}
}

/* ── the answers of others ── */

static struct client *asked(struct admin *a, uint32_t ask, enum waiting what)
{
	for (int i = 0; i < CLIENTS_MAX; i++)
		if (a->clients[i].admin && a->clients[i].waiting == what &&
		    a->clients[i].ask == ask)
			return &a->clients[i];
	return NULL;
}

static bool member_answer(struct worker *w, unsigned from, struct bytes payload)
{
	struct query_answer a;
	if (payload.n < sizeof(a))
		return false;
	memcpy(&a, payload.p, sizeof(a));
	struct bytes json = BYTES(payload.p + sizeof(a), payload.n - sizeof(a));
	struct client *c = asked(w->admin, a.ask, WAIT_MEMBER);
	if (c == NULL || c->member != from)
		return true; /* too late: its client has gone */
	struct json_value v;
	struct json_limits lim = {.max_bytes = QUERY_ANSWER_MAX};
	if (json_check(json, &lim, &v) != JSON_OK) {
		fail(c, "the worker's answer is not JSON");
		go_on(c);
		return false;
	}
	bool one = c->query.kind == QUERY_CONN || c->query.kind == QUERY_CLOSE;
	if (one && bytes_eq(v.raw, BYTES_LIT("[]")) && a.next > c->query.cursor &&
	    a.next != QUERY_NO_NEXT) { /* it looks at some at a time: go on, in the same time */
		c->query.cursor = a.next;
		send_query(c, BYTES(NULL, 0), BYTES(NULL, 0));
		return true;
	}
	struct json_out o = begin(c, true);
	json_key_json(&o, "answer", v.raw);
	json_key(&o, "next");
	if (a.next == QUERY_NO_NEXT)
		json_put_null(&o);
	else
		json_put_u64(&o, a.next);
	finish(c, &o);
	go_on(c);
	return true;
}

bool admin_message(struct worker *w, unsigned from, uint16_t type, struct bytes payload)
{
	if (type == MSG_QUERY)
		return query_serve(w, from, payload);
	return w->is_admin && member_answer(w, from, payload);
}

static void status_piece(struct client *c, const struct keeper_msg *m)
{
	struct json_out o = JSON_OUT(c->out, ANSWER_MAX - 1);
	o.n = c->out_n;
	admin_status_piece(&o, &c->status, c->admin->w, m);
	c->out_n = o.n;
}

static void status_reply(struct client *c, const struct keeper_msg *m)
{
	if (m->status == 0 && m->value != 0) {
		ask_keeper(c, &(struct keeper_msg){.kind = KEEPER_STATUS, .value = m->value},
			   WAIT_STATUS);
		go_on(c);
		return;
	}
	if (m->status != 0) {
		c->out_n = 0;
		fail(c, m->text);
		go_on(c);
		return;
	}
	struct json_out o = JSON_OUT(c->out, ANSWER_MAX - 1);
	o.n = c->out_n;
	admin_status_end(&o, &c->status);
	finish(c, &o);
	go_on(c);
}

/* The report's lines that begin with `kind` as an array; nothing if there are none. */
static void put_lines(struct json_out *o, const char *key, struct bytes report, uint8_t kind)
{
	bool any = false;
	for (size_t at = 0, n; at < report.n; at += n + 1) {
		const uint8_t *end = memchr(report.p + at, '\n', report.n - at);
		n = end ? (size_t)(end - (report.p + at)) : report.n - at;
		if (n < 2 || report.p[at] != kind)
			continue;
		if (!any) {
			json_put_key(o, bytes_str(key));
			json_put_open(o, '[');
		}
		any = true;
		json_put_str(o, BYTES(report.p + at + 1, n - 1));
	}
	if (any)
		json_put_close(o, ']');
}

/* All of it, in memory of its own; empty if it cannot be read. */
static struct bytes read_report(int handed)
{
	struct stat st;
	if (handed < 0 || fstat(handed, &st) != 0 || st.st_size <= 0 ||
	    st.st_size > KEEPER_REPORT_MAX)
		return BYTES(NULL, 0);
	uint8_t *p = malloc((size_t)st.st_size);
	if (p == NULL || handover_read(handed, p, (size_t)st.st_size) != 0) {
		free(p);
		return BYTES(NULL, 0);
	}
	return BYTES(p, (size_t)st.st_size);
}

void admin_keeper_message(struct worker *w, const struct keeper_msg *m, int handed)
{
	struct client *c = asked(w->admin, m->ask, WAIT_STATUS);
	if (c != NULL && m->kind == KEEPER_REPLY)
		status_reply(c, m);
	else if (c != NULL)
		status_piece(c, m);
	c = asked(w->admin, m->ask, WAIT_KEEPER);
	if (c == NULL)
		c = asked(w->admin, m->ask, WAIT_READING);
	if (c == NULL || m->kind != KEEPER_REPLY)
		return;
	struct json_out o = begin(c, m->status == 0);
	json_put_key(&o, bytes_str(m->status == 0 ? "text" : "error"));
	json_put_str(&o, BYTES(m->text, strnlen(m->text, sizeof(m->text))));
	if (m->status == -EBUSY)
		json_key_bool(&o, "busy", true); /* the same may be taken later */
	struct bytes report = read_report(handed);
	put_lines(&o, "mistakes", report, 'E');
	put_lines(&o, "notes", report, 'N');
	free((void *)report.p);
	finish(c, &o);
	go_on(c);
}

void admin_member_down(struct worker *w, unsigned member)
{
	for (int i = 0; w->admin && i < CLIENTS_MAX; i++) {
		struct client *c = &w->admin->clients[i];
		if (c->admin && c->waiting == WAIT_MEMBER && c->member == member) {
			fail(c, "the worker died before it answered");
			go_on(c);
		}
	}
}

/* ── clients ── */

static bool is_idle(const struct client *c)
{
	return c->waiting == WAIT_NOTHING && c->out_n == 0;
}

/* One request at a time: the next line is looked at when the answer is out. */
static void take_lines(struct client *c)
{
	while (c->admin && is_idle(c)) {
		uint8_t *end = memchr(c->line, '\n', c->line_n);
		if (end == NULL) {
			if (c->line_n == sizeof(c->line)) {
				c->last = true;
				fail(c, "a request is at most 16384 bytes");
			}
			return;
		}
		size_t n = (size_t)(end - c->line);
		uint8_t one[LINE_MAX_];
		memcpy(one, c->line, n);
		c->line_n -= n + 1;
		memmove(c->line, end + 1, c->line_n);
		request(c, BYTES(one, n));
	}
}

static void go_on(struct client *c)
{
	if (c->admin == NULL)
		return;
	take_lines(c);
	if (c->admin == NULL)
		return;
	if (c->eof && is_idle(c))
		client_free(c);
	else if (!c->eof && c->line_n < sizeof(c->line))
		event_add(c->read, NULL);
}

static void on_write(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;
	if (what & EV_TIMEOUT) { /* it does not read */
		client_free(c);
		return;
	}
	flush(c);
	go_on(c);
}

static void on_read(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;
	int handed;
	ssize_t n = handover_recv(fd, c->line + c->line_n, sizeof(c->line) - c->line_n, &handed);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (handed >= 0) {
		if (c->handed >= 0)
			close(c->handed);
		c->handed = handed;
	}
	if (n < 0) {
		client_free(c);
		return;
	}
	c->heard_ns = c->admin->w->now_ns;
	if (n == 0) {
		c->eof = true;
		event_del(c->read);
		go_on(c);
		return;
	}
	c->line_n += (size_t)n;
	take_lines(c);
	/* Full: the rest is read when the answer to what is here is out. */
	if (c->admin != NULL && c->line_n == sizeof(c->line))
		event_del(c->read);
}

static void on_timeout(evutil_socket_t fd, short what, void *ctx)
{
	struct client *c = ctx;
	fail(c, c->waiting == WAIT_MEMBER ? "the worker did not answer in time" :
					    "the keeper did not answer in time");
	go_on(c);
}

/* A free place, or that of the client that has been idle longest; NULL: all are busy. */
static struct client *place(struct admin *a)
{
	struct client *idle = NULL;
	for (int i = 0; i < CLIENTS_MAX; i++) {
		struct client *c = &a->clients[i];
		if (c->admin == NULL)
			return c;
		if (is_idle(c) && (idle == NULL || c->heard_ns < idle->heard_ns))
			idle = c;
	}
	if (idle != NULL)
		client_free(idle);
	return idle;
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
	struct admin *a = ctx;
	event_add(a->accept, NULL);
}

static void on_control(evutil_socket_t fd, short what, void *ctx)
{
	struct admin *a = ctx;
	int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (s < 0) {
		/* Out of descriptors: the event would fire on and on. Look again later. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			event_del(a->accept);
			event_add(a->again, &(struct timeval){.tv_sec = 1});
		}
		return;
	}
	struct client *c = place(a);
	if (c == NULL) {
		static const char busy[] =
			"{\"ok\":false,\"error\":\"too many control clients\"}\n";
		ssize_t r = send(s, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)r;
		close(s);
		return;
	}
	c->fd = s;
	c->handed = -1;
	c->admin = a;
	c->heard_ns = a->w->now_ns;
	c->out = malloc(ANSWER_MAX);
	c->read = event_new(a->w->base, s, EV_READ | EV_PERSIST, on_read, c);
	c->write = event_new(a->w->base, s, EV_WRITE, on_write, c);
	c->timer = event_new(a->w->base, -1, 0, on_timeout, c);
	if (!c->out || !c->read || !c->write || !c->timer || event_add(c->read, NULL) != 0)
		client_free(c);
}

struct admin *admin_start(struct worker *w, int control_fd)
{
	struct admin *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->w = w;
	a->accept = event_new(w->base, control_fd, EV_READ | EV_PERSIST, on_control, a);
	a->again = event_new(w->base, -1, 0, on_again, a);
	if (a->accept == NULL || a->again == NULL || event_add(a->accept, NULL) != 0)
		return NULL;
	return a;
}
