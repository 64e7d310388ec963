/* SPDX-License-Identifier: BSD-2-Clause */
/* control.c - the control socket.
 *
 * A Unix stream socket; who may open it may do all that is here. One JSON object per line
 * in, one per line out, in order; a client that waits for each answer needs no ids.
 *
 *   {"ask":"keeper"}                                   → "keeper", "members", "interfaces"
 *   {"ask":"worker","member":0}                        → "answer": counters and memory
 *   {"ask":"conns","member":0,"cursor":0,"limit":200}  → "answer": rows, "next": n or null
 *   {"ask":"conn","member":0,"id":"<client id>"}       → "answer": the row, or none
 *   {"ask":"close","member":0,"id":"<client id>"}      → likewise, and it is closed
 *   {"ask":"channels","member":0,"cursor":0,"limit":200,"name":"lobby"?} → like conns
 *   {"ask":"homes",…}                                  → likewise: those at home there
 *   {"ask":"deny-add","family":4,"addr":"203.0.113.0","bits":24,"seconds":600,"note":"…",
 *    "force":true?}                                    → "text"; force: a very short prefix too
 *   {"ask":"deny-del","family":4,"addr":"203.0.113.0","bits":24}
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
#include <unistd.h>

#include "admin/admin.h"
#include "admin/query.h"
#include "base/addr.h"
#include "base/json.h"
#include "base/log.h"
#include "keeper/channel.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

#define CLIENTS_MAX   16
#define LINE_MAX_     1024
#define ANSWER_MAX    (128u << 10)
#define ASK_TIMEOUT_S 3
#define OUT_TIMEOUT_S 10

/* A denial of a shorter prefix is more likely a slip than a wish. */
#define DENY_BITS_V4 8
#define DENY_BITS_V6 16

enum waiting { WAIT_NOTHING, WAIT_MEMBER, WAIT_KEEPER, WAIT_STATUS };

struct client {
	struct admin *admin; /* NULL: the place is free */
	int fd;
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
	struct query query; /* WAIT_MEMBER */
	unsigned pieces;    /* WAIT_STATUS: which list the last piece belonged to */
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
	struct timeval t = {.tv_sec = ASK_TIMEOUT_S};
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

static void send_query(struct client *c)
{
	struct bytes part = BYTES(&c->query, sizeof(c->query));
	mailbox_send(c->admin->w->mailbox, c->member, MSG_QUERY, 0, &part, 1, MAILBOX_MUST);
}

static void ask_member(struct client *c)
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
	send_query(c);
}

static void ask_status(struct client *c)
{
	struct json_out o = begin(c, true);
	c->out_n = o.n;
	c->pieces = 0;
	ask_keeper(c, &(struct keeper_msg){.kind = KEEPER_STATUS}, WAIT_STATUS);
}

/* ── requests ── */

enum {
	F_ASK,
	F_MEMBER,
	F_CURSOR,
	F_LIMIT,
	F_ID,
	F_NAME,
	F_FAMILY,
	F_ADDR,
	F_BITS,
	F_SECONDS,
	F_NOTE,
	F_FORCE,
	F_COUNT
};

static const struct json_field wanted[F_COUNT] = {
	[F_ASK] = JSON_FIELD("ask"),       [F_MEMBER] = JSON_FIELD("member"),
	[F_CURSOR] = JSON_FIELD("cursor"), [F_LIMIT] = JSON_FIELD("limit"),
	[F_ID] = JSON_FIELD("id"),         [F_NAME] = JSON_FIELD("name"),
	[F_FAMILY] = JSON_FIELD("family"), [F_ADDR] = JSON_FIELD("addr"),
	[F_BITS] = JSON_FIELD("bits"),     [F_SECONDS] = JSON_FIELD("seconds"),
	[F_NOTE] = JSON_FIELD("note"),     [F_FORCE] = JSON_FIELD("force"),
};

/* A number field within bounds, or `absent` if it is not there; -1: it is wrong. */
static int64_t number(const struct json_field *f, int64_t max, int64_t absent)
{
	int64_t v;
	if (f->value.type == JSON_IS_ABSENT)
		return absent;
	if (f->value.type != JSON_IS_NUMBER || !json_int64(f->value.raw, 0, max, &v))
		return -1;
	return v;
}

/* A string field into buf with its NUL; false if it is there but wrong. */
static bool text(const struct json_field *f, char *buf, size_t cap)
{
	size_t n = 0;
	buf[0] = 0;
	if (f->value.type == JSON_IS_ABSENT)
		return true;
	if (f->value.type != JSON_IS_STRING ||
	    !json_string_unescape(f->value.raw, (uint8_t *)buf, cap - 1, &n))
		return false;
	buf[n] = 0;
	return strlen(buf) == n;
}

static bool parse_uuid(const char *s, uint8_t id[16])
{
	unsigned n = 0;
	for (; *s; s++) {
		if (*s == '-')
			continue;
		uint8_t ch = byte_lower((uint8_t)*s);
		unsigned v = ch >= '0' && ch <= '9' ? ch - '0' :
			     ch >= 'a' && ch <= 'f' ? ch - 'a' + 10u :
						      16;
		if (v == 16 || n >= 32)
			return false;
		id[n / 2] = (uint8_t)(n % 2 ? id[n / 2] | v : v << 4);
		n++;
	}
	return n == 32;
}

static void request_member(struct client *c, const struct json_field *f, enum query_kind kind)
{
	struct query q = {.kind = (uint8_t)kind};
	char buf[QUERY_NAME_MAX + 1];
	int64_t member = number(&f[F_MEMBER], CONFIG_MAX_WORKERS, -1);
	int64_t cursor = number(&f[F_CURSOR], UINT32_MAX - 1, 0);
	int64_t limit = number(&f[F_LIMIT], QUERY_LIMIT_MAX, 200);
	if (member < 0 || cursor < 0 || limit < 1) {
		fail(c, "member, cursor or limit is missing or out of bounds");
		return;
	}
	if (kind == QUERY_CONN || kind == QUERY_CLOSE) {
		if (!text(&f[F_ID], buf, sizeof(buf)) || !parse_uuid(buf, q.id)) {
			fail(c, "id must be a client id (32 hexadecimal digits, dashes are fine)");
			return;
		}
	} else if (!text(&f[F_NAME], buf, sizeof(buf))) {
		fail(c, "name must be a string of at most 100 bytes");
		return;
	} else {
		q.name_n = (uint8_t)strlen(buf);
		memcpy(q.name, buf, q.name_n);
	}
	c->member = (unsigned)member;
	q.cursor = (uint32_t)cursor;
	q.limit = (uint16_t)limit;
	c->query = q;
	ask_member(c);
}

static void request_deny(struct client *c, const struct json_field *f, bool add)
{
	struct keeper_msg m = {.kind = add ? KEEPER_DENY_ADD : KEEPER_DENY_DEL};
	char addr[ADDR_TEXT_MAX], note[KEEPER_NOTE_MAX + 1];
	struct addr a;
	int64_t bits = number(&f[F_BITS], 128, -1);
	int64_t seconds = number(&f[F_SECONDS], KEEPER_DENY_MAX_S, 0);
	if (!text(&f[F_ADDR], addr, sizeof(addr)) || addr_parse(bytes_str(addr), &a) != 0 ||
	    bits < 0 || (addr_is_v4(&a) && bits > 32)) {
		fail(c, "addr and bits must be an address and a prefix length");
		return;
	}
	if (seconds < 0) {
		fail(c, "seconds must be 0 (for ever) to 31622400 (366 days)");
		return;
	}
	if (!text(&f[F_NOTE], note, sizeof(note))) {
		fail(c, "note must be a string of at most 63 bytes");
		return;
	}
	int64_t least = addr_is_v4(&a) ? DENY_BITS_V4 : DENY_BITS_V6;
	if (add && bits < least && f[F_FORCE].value.type != JSON_IS_TRUE) {
		snprintf(
			m.text, sizeof(m.text),
			"a prefix shorter than /%d would lock out nearly everybody, perhaps you too: "
			"if that is meant, say `force yes`",
			(int)least);
		fail(c, m.text);
		return;
	}
	m.family = addr_is_v4(&a) ? AF_INET : AF_INET6;
	m.bits = (uint8_t)bits;
	memcpy(m.addr, addr_is_v4(&a) ? a.ip + 12 : a.ip, addr_is_v4(&a) ? 4 : 16);
	if (add) {
		m.value = (uint64_t)seconds;
		snprintf(m.text, sizeof(m.text), "%s", note);
	}
	ask_keeper(c, &m, WAIT_KEEPER);
}

static void request(struct client *c, struct bytes line)
{
	struct json_field f[F_COUNT];
	memcpy(f, wanted, sizeof(f));
	c->ask = ++c->admin->next_ask;
	enum json_result r = json_object_scan(line, NULL, f, F_COUNT);
	if (r != JSON_OK || f[F_ASK].value.type != JSON_IS_STRING) {
		fail(c, r != JSON_OK ? json_result_str(r) : "\"ask\" is missing");
		return;
	}
	static const struct {
		const char *word;
		enum query_kind kind;
	} queries[] = {{"worker", QUERY_WORKER},     {"conns", QUERY_CONNS},
		       {"conn", QUERY_CONN},         {"close", QUERY_CLOSE},
		       {"channels", QUERY_CHANNELS}, {"homes", QUERY_HOMES}};
	struct bytes ask = f[F_ASK].value.raw;
	for (size_t i = 0; i < ARRAY_SIZE(queries); i++)
		if (json_string_eq(ask, bytes_str(queries[i].word))) {
			request_member(c, f, queries[i].kind);
			return;
		}
	if (json_string_eq(ask, BYTES_LIT("keeper")))
		ask_status(c);
	else if (json_string_eq(ask, BYTES_LIT("deny-add")))
		request_deny(c, f, true);
	else if (json_string_eq(ask, BYTES_LIT("deny-del")))
		request_deny(c, f, false);
	else
		fail(c, "unknown \"ask\"");
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
		send_query(c);
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

static void put_self(struct json_out *o, const struct worker *w, const struct keeper_piece_self *s)
{
	json_key(o, "keeper");
	json_put_open(o, '{');
	json_key_u64(o, "pid", (uint64_t)s->pid);
	json_key_u64(o, "started_ms", s->started_wall_ms);
	json_key_u64(o, "workers", s->n_members - 1);
	json_key(o, "shutting_down");
	json_put_bool(o, s->shutting_down);
	json_key_str(o, "config", bytes_str(w->cfg->file));
	json_put_close(o, '}');
	json_key(o, "listeners"); /* in order: the kernel's groups are numbered so */
	json_put_open(o, '[');
	for (uint32_t i = 0; i < w->cfg->n_listeners; i++) {
		const struct config_listener *l = &w->cfg->listeners[i];
		json_put_open(o, '{');
		json_key_str(o, "name", bytes_str(l->name));
		json_key_str(o, "address", bytes_str(l->address));
		json_key_u64(o, "port", l->port);
		json_key_bool(o, "tls", l->tls);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	json_key(o, "shield");
	json_put_open(o, '{');
	json_key(o, "on");
	json_put_bool(o, s->shield_on);
	json_key_str(o, "pin_dir", bytes_str(w->cfg->pin_dir));
	json_key_str(o, "text", BYTES(s->text, strnlen(s->text, sizeof(s->text))));
	json_put_close(o, '}');
}

static void put_member(struct json_out *o, const struct worker *w, const struct keeper_msg *m)
{
	static const char *const states[] = {"down", "starting", "ready", "full"};
	const struct keeper_piece_member *l = &m->life;
	json_put_open(o, '{');
	json_key_u64(o, "member", m->member);
	json_key_str(o, "role", bytes_str(m->member == w->n_workers ? "admin" : "worker"));
	json_key_str(o, "state", bytes_str(l->state < ARRAY_SIZE(states) ? states[l->state] : "?"));
	json_key_u64(o, "pid", (uint64_t)l->pid);
	json_key_u64(o, "incarnation", m->incarnation);
	json_key_u64(o, "restarts", l->restarts);
	json_key_u64(o, "started_ms", l->started_wall_ms);
	if (l->last_exit_wall_ms) {
		json_key_u64(o, "last_exit_ms", l->last_exit_wall_ms);
		json_key(o, "last_exit");
		json_put_i64(o, l->last_exit);
	}
	json_put_close(o, '}');
}

static void put_interface(struct json_out *o, const struct keeper_piece_shield *s)
{
	json_put_open(o, '{');
	json_key_str(o, "interface",
		     BYTES(s->interface, strnlen(s->interface, sizeof(s->interface))));
	json_key_u64(o, "ifindex", s->ifindex);
	json_key_str(o, "mode", BYTES(s->mode, strnlen(s->mode, sizeof(s->mode))));
	json_key_str(o, "reason", BYTES(s->reason, strnlen(s->reason, sizeof(s->reason))));
	json_put_close(o, '}');
}

/* Pieces come in order: the keeper, the members, the interfaces. The lists open and close as
 * the kind changes. */
static void status_piece(struct client *c, const struct keeper_msg *m)
{
	struct json_out o = JSON_OUT(c->out, ANSWER_MAX - 1);
	o.n = c->out_n;
	if (m->kind == KEEPER_PIECE_SELF && c->pieces == 0) {
		put_self(&o, c->admin->w, &m->self);
		c->pieces = KEEPER_PIECE_SELF;
	}
	if (m->kind == KEEPER_PIECE_MEMBER) {
		if (c->pieces != KEEPER_PIECE_MEMBER) {
			json_key(&o, "members");
			json_put_open(&o, '[');
		}
		put_member(&o, c->admin->w, m);
	}
	if (m->kind == KEEPER_PIECE_SHIELD) {
		if (c->pieces == KEEPER_PIECE_MEMBER)
			json_put_close(&o, ']');
		if (c->pieces != KEEPER_PIECE_SHIELD) {
			json_key(&o, "interfaces");
			json_put_open(&o, '[');
		}
		put_interface(&o, &m->shield);
	}
	c->pieces = m->kind;
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
	if (c->pieces == KEEPER_PIECE_MEMBER || c->pieces == KEEPER_PIECE_SHIELD)
		json_put_close(&o, ']');
	finish(c, &o);
	go_on(c);
}

void admin_keeper_message(struct worker *w, const struct keeper_msg *m)
{
	struct client *c = asked(w->admin, m->ask, WAIT_STATUS);
	if (c != NULL && m->kind == KEEPER_REPLY)
		status_reply(c, m);
	else if (c != NULL)
		status_piece(c, m);
	c = asked(w->admin, m->ask, WAIT_KEEPER);
	if (c == NULL || m->kind != KEEPER_REPLY)
		return;
	struct json_out o = begin(c, m->status == 0);
	json_put_key(&o, bytes_str(m->status == 0 ? "text" : "error"));
	json_put_str(&o, BYTES(m->text, strnlen(m->text, sizeof(m->text))));
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
				fail(c, "a request is at most 1024 bytes");
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
	ssize_t n = recv(fd, c->line + c->line_n, sizeof(c->line) - c->line_n, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
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
