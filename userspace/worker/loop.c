/* SPDX-License-Identifier: BSD-2-Clause */
/* loop.c - the turn of a worker, from its first to its last.
 *
 * libevent waits; everything else happens here in a fixed order (worker.h draws it). The
 * order matters: what conns say and what other workers say is heard first, then fan-out
 * gets its share of the turn, then all that is to go out goes out in one batch, and last
 * the other workers are woken once each. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "base/random.h"
#include "conn/door.h"
#include "conn/io.h"
#include "conn/list.h"
#include "conn/step.h"
#include "engine/engine.h"
#include "fanout/backlog.h"
#include "fanout/batch.h"
#include "fanout/fanout.h"
#include "http/serve.h"
#include "hub/census.h"
#include "hub/hub.h"
#include "keeper/channel.h"
#include "listener/listener.h"
#include "proto/stop.h"
#include "tls/tls.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/offence.h"
#include "worker/timer.h"
#include "worker/worker.h"
#include "ws/deflate.h"
#include "ws/serve.h"

#define SET_EVENTS     32
#define SET_ROUNDS     16           /* of so many events at most per turn, and not beyond ... */
#define SET_NS         4000000u     /* ... this time: the others wait for their heartbeats */
#define MAILBOX_BUDGET (256u << 10) /* bytes drained per turn */
#define REST_TICKS     16           /* about two seconds */
#define DRAIN_PER_TURN 256          /* clients told to go per turn at shutdown */
#define RESUME_SLOTS   16384u       /* looked at per turn for conns to be read again ... */
#define RESUME_CONNS   1024u        /* ... and so many of them are */

/* ── what libevent calls ── */

static void update_clock(struct worker *w)
{
	w->now_ns = clock_mono_ns();
	w->wall_ms = clock_wall_ms();
	w->tick = 1 + (uint32_t)((w->now_ns - w->_born_ns) / (WORKER_TICK_MS * 1000000u));
}

static void on_conn(struct worker *w, const struct epoll_event *e)
{
	uint32_t index = (uint32_t)e->data.u64, gen = (uint32_t)(e->data.u64 >> 32);
	struct conn *c = conn_deref(&w->slab, index, gen);
	if (c != NULL && e->events & EPOLLOUT)
		conn_writable(w, c);
	c = conn_deref(&w->slab, index, gen);
	if (c == NULL)
		return;
	if (!(e->events & EPOLLIN)) {
		if (e->events & (EPOLLERR | EPOLLHUP))
			conn_end(w, c, CLOSE_PEER_RESET);
	} else if (w->read_stopped && c->state == CONN_OPEN) {
		conn_read_stop(w, c, true);
	} else if (!fanout_congested(w)) { /* else whoever could publish waits */
		conn_readable(w, c);
	}
	batch_relieve(w);
}

/* What 64 KiB of a client cost is the client's choice: handshakes, thousands of pings. So the clock is
 * looked at after a few of them. No more than those are fetched, for the kernel puts all that it has
 * given out behind the others: who is not served now is the first of the next turn. */
static void on_set(evutil_socket_t fd, short what, void *ctx)
{
	struct worker *w = ctx;
	struct epoll_event e[SET_EVENTS];
	update_clock(w);
	for (unsigned round = 0; round < SET_ROUNDS; round++) {
		int n = epoll_wait(w->set_fd, e, SET_EVENTS, 0);
		for (int i = 0; i < n; i++)
			on_conn(w, &e[i]);
		if (n < SET_EVENTS || clock_mono_ns() - w->now_ns >= SET_NS)
			break;
	}
}

static void on_mailbox(evutil_socket_t fd, short what, void *ctx)
{
	struct worker *w = ctx;
	mailbox_woken(w->mailbox);
}

/* Memory of a burst goes back to the system once nobody has said anything for a while. */
static void rest(struct worker *w)
{
	uint64_t busy = w->stats.frames_in + w->stats.accepted + w->stats.deliveries;
	if (busy != w->_busy_then) {
		w->_busy_then = busy;
		w->_quiet_ticks = 0;
	} else if (++w->_quiet_ticks == REST_TICKS) {
		pool_trim(w->pool);
		pool_trim(w->tails);
		pool_trim(w->subs);
		mailbox_trim(w->mailbox);
		ws_deflate_rest(w->deflate);
		malloc_trim(0); /* handshakes leave holes */
	}
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct worker *w = ctx;
	update_clock(w); /* it may have slept since the last turn */
	listener_tick(w);
	offence_tick(w);
	rest(w);
	hub_rest(w->hub);
	proto_stop_tick(w);
	if (w->engine != NULL)
		w->engine_ops->tick(w);
	if (w->census != NULL)
		census_tick(w);
}

static void message_from(void *ctx, uint32_t from, uint16_t type, uint16_t flags, struct bytes data)
{
	struct worker *w = ctx;
	bool ok;
	if (type == MSG_QUERY || type == MSG_ANSWER)
		ok = admin_message(w, from, type, data);
	else if (type == MSG_CENSUS || type == MSG_COUNTED)
		ok = !w->is_admin && census_message(w, from, type, data);
	else
		ok = !w->is_admin && w->engine_ops->message(w, from, type, data);
	if (!ok)
		log_warn("message %u from member %u is malformed: dropped", type, from);
	batch_relieve(w);
}

/* A congested mailbox: whoever could publish is not read until it has drained. That may come and go
 * many times a second, and there may be a million of them: only who speaks meanwhile is
 * stopped, when it does (on_conn(), ws/serve.c). */
static void on_congestion(void *ctx, bool congested)
{
	struct worker *w = ctx;
	w->read_stopped = congested;
	w->_resume_at = 0;
}

/* Those are read again, some per turn. True: there are more. */
static bool resume_some(struct worker *w)
{
	if (w->read_stopped || w->n_read_stopped == 0)
		return false;
	uint32_t resumed = 0, looked = 0;
	while (w->n_read_stopped > 0 && resumed < RESUME_CONNS && looked++ < RESUME_SLOTS) {
		if (w->_resume_at >= w->slab.high)
			w->_resume_at = 0;
		struct conn *c = conn_at(&w->slab, w->_resume_at++);
		if (!(c->flags & CONN_F_READ_STOP))
			continue;
		conn_read_stop(w, c, false);
		resumed++;
	}
	return w->n_read_stopped > 0;
}

/* It is not read any more; whether it is to be ended as well is for the keeper to judge. */
static void on_bad_peer(void *ctx, uint32_t peer, const char *why)
{
	struct worker *w = ctx;
	log_error("member %u does what no honest one does (%s): not read any more", peer, why);
	worker_tell_keeper(w, &(struct keeper_msg){
				      .kind = KEEPER_BAD_PEER,
				      .member = (uint16_t)peer,
				      .incarnation = mailbox_peer_generation(w->mailbox, peer),
			      });
}

/* ── the keeper ── */

bool worker_tell_keeper(struct worker *w, const struct keeper_msg *m)
{
	return w->_keeper_fd >= 0 && send(w->_keeper_fd, m, sizeof(*m),
					  MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*m);
}

bool worker_hand_keeper(struct worker *w, const struct keeper_msg *m, int fd)
{
	return w->_keeper_fd >= 0 &&
	       handover_send(w->_keeper_fd, m, sizeof(*m), fd) == (ssize_t)sizeof(*m);
}

static void member_down(struct worker *w, unsigned k)
{
	if (!w->member_up[k])
		return;
	w->member_up[k] = false;
	mailbox_peer_down(w->mailbox, k);
	if (w->is_admin) {
		admin_member_down(w, k);
	} else if (k < w->n_workers) {
		w->engine_ops->worker_down(w, k);
		census_worker_down(w, k);
	}
}

static void member_up(struct worker *w, unsigned k, uint32_t incarnation)
{
	member_down(w, k); /* a death and a rebirth may come as one */
	mailbox_peer_restarted(w->mailbox, k, incarnation);
	w->member_up[k] = true;
	if (!w->is_admin && k < w->n_workers)
		w->engine_ops->worker_up(w, k);
}

static void shutdown_asked(struct worker *w, uint64_t how)
{
	if (how == KEEPER_SHUTDOWN_ALONE)
		listener_take(w);
	if (how == KEEPER_SHUTDOWN_NOW || w->is_admin)
		worker_drain(w, CLOSE_SHUTDOWN);
	else
		worker_leave(w, CLOSE_SHUTDOWN);
}

static void take_tickets(struct worker *w, struct keeper_msg *m)
{
	tls_set_tickets(w, &m->tickets);
	explicit_bzero(&m->tickets, sizeof(m->tickets));
}

static void renew_tls(struct worker *w, int fd, uint64_t generation)
{
	struct tls_material *m = tls_material_unpack(fd, w->cfg);
	if (m == NULL)
		log_error("certificates from the keeper are not in order: those in use stay");
	else if (tls_renew(w, m))
		w->tls_generation = generation;
	tls_material_free(m);
}

/* Nobody gets what waits at our listeners when they close, and another sluiced may serve the same port (the one
 * that we were to replace): who has asked already is answered. */
static void serve_who_waits(struct worker *w)
{
	listener_take(w);
	on_set(w->set_fd, EV_READ, w);
	batch_flush(w);
}

static void on_keeper(evutil_socket_t fd, short what, void *ctx)
{
	struct worker *w = ctx;
	struct keeper_msg m;
	for (;;) {
		int handed;
		ssize_t n = handover_recv(fd, &m, sizeof(m), &handed);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			event_del(w->_keeper_event);
			w->_keeper_fd = -1;
			log_error("the keeper is gone: closing every client");
			if (!w->is_admin)
				serve_who_waits(w);
			worker_drain(w, CLOSE_KEEPER_GONE);
			return;
		}
		if (n != sizeof(m) || m.member > w->n_workers)
			m.kind = 0;
		if (m.kind == KEEPER_SHUTDOWN)
			shutdown_asked(w, m.value);
		else if (m.kind == KEEPER_PEER_DOWN && m.member != w->id)
			member_down(w, m.member);
		else if (m.kind == KEEPER_TLS && handed >= 0 && !w->is_admin)
			renew_tls(w, handed, m.value);
		else if (m.kind == KEEPER_DENY_HELLO && !w->is_admin)
			tls_deny(w, &m.hello.ja4, m.hello.until_ns);
		else if (m.kind == KEEPER_TICKETS && m.tickets.n <= TLS_TICKET_KEYS && !w->is_admin)
			take_tickets(w, &m);
		else if (m.kind == KEEPER_PEER_UP && m.member != w->id)
			member_up(w, m.member, m.incarnation);
		else if (w->is_admin && m.kind)
			admin_keeper_message(w, &m, handed);
		if (handed >= 0)
			close(handed);
	}
}

/* ── going ── */

void worker_drain(struct worker *w, enum close_reason reason)
{
	if (w->phase >= WORKER_DRAINING)
		return;
	uint64_t ms = w->cfg->shutdown_timeout_ms;
	if (w->phase == WORKER_LEAVING)
		ms /= 4;
	if (reason == CLOSE_KEEPER_GONE)
		ms = MIN(ms, 4000u);
	w->phase = WORKER_DRAINING;
	w->shutdown_reason = reason;
	w->shutdown_ns = w->now_ns + ms * 1000000u;
	w->_drain_at = 0;
	listener_stop(w);
}

void worker_leave(struct worker *w, enum close_reason reason)
{
	if (w->phase != WORKER_RUNNING)
		return;
	w->phase = WORKER_LEAVING;
	w->shutdown_reason = reason;
	w->_leave_ns = w->now_ns;
	w->_left_ns = w->now_ns + w->cfg->shutdown_timeout_ms * 750000ull;
	w->_drain_at = 0;
	listener_stop(w); /* what waits there moves to the successor */
}

/* As many as their share of the time says, so that they do not all come back at once; those in the
 * middle of a handshake or of a request are left to end it. */
static void leave_some(struct worker *w)
{
	uint64_t span = w->_left_ns - w->_leave_ns, gone = w->now_ns - w->_leave_ns;
	uint32_t to = (uint32_t)(MIN(gone, span) * w->slab.high / span);
	for (unsigned told = 0; w->_drain_at < to && told < DRAIN_PER_TURN; w->_drain_at++) {
		struct conn *c = conn_at(&w->slab, w->_drain_at);
		if (c->state != CONN_OPEN)
			continue;
		conn_close(w, c, w->shutdown_reason);
		told++;
	}
	if (w->now_ns >= w->_left_ns || w->slab.live == 0)
		worker_drain(w, w->shutdown_reason);
}

/* Some clients are told per turn, so that their close frames leave in good order. */
static void drain_some(struct worker *w)
{
	unsigned told = 0;
	for (; w->_drain_at < w->slab.high && told < DRAIN_PER_TURN; w->_drain_at++) {
		struct conn *c = conn_at(&w->slab, w->_drain_at);
		if (c->state == CONN_HTTP)
			http_drain(w, c);
		else if (c->state == CONN_OPEN || c->state == CONN_HANDSHAKE)
			conn_close(w, c, w->shutdown_reason);
		else
			continue;
		told++;
	}
	bool all_told = w->_drain_at >= w->slab.high;
	if ((all_told && w->slab.live == 0) || w->now_ns >= w->shutdown_ns)
		w->phase = WORKER_DONE;
}

/* ── the loop ── */

static void turn(struct worker *w, bool busy)
{
	w->stats.turns++;
	if (!busy && !mailbox_sleep_begin(w->mailbox))
		event_base_loop(w->base, EVLOOP_ONCE);
	else
		event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	mailbox_sleep_end(w->mailbox);
	update_clock(w);
}

static bool work(struct worker *w)
{
	bool busy = timer_run(w);
	busy |= resume_some(w);
	batch_relieve(w);
	/* What others publish waits in their rings while our fan-out cannot follow, so that they
	 * refuse in time. The fan-out waits for nobody: this ends by itself. */
	if (!fanout_congested(w))
		mailbox_drain(w->mailbox, message_from, w, MAILBOX_BUDGET);
	if (fanout_busy(w)) /* who is answered does not wait for what began before */
		batch_flush(w);
	busy |= fanout_run(w, clock_mono_ns() + WORKER_TURN_NS);
	if (w->phase == WORKER_LEAVING)
		leave_some(w);
	if (w->phase == WORKER_DRAINING) {
		drain_some(w);
		busy |= w->_drain_at < w->slab.high;
	}
	batch_flush(w);
	conn_slab_release(&w->slab, fanout_oldest(w->fanout));
	mailbox_flush(w->mailbox);
	mailbox_kick_all(w->mailbox);
	busy |= door_run(w); /* last: nobody inside waits for it */
	listener_door(w);
	return busy;
}

static struct event *watch(struct worker *w, int fd, event_callback_fn fn)
{
	struct event *e = event_new(w->base, fd, EV_READ | EV_PERSIST, fn, w);
	if (e == NULL || event_add(e, NULL) != 0)
		return NULL;
	return e;
}

static bool init_loop(struct worker *w, const struct worker_start *start)
{
	struct event_config *cfg = event_config_new();
	if (cfg == NULL)
		return false;
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	w->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	w->set_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->base == NULL || w->set_fd < 0)
		return false;
	w->_keeper_fd = start->keeper_fd;
	w->_set_event = watch(w, w->set_fd, on_set);
	w->_mailbox_event = watch(w, mailbox_event_fd(w->mailbox), on_mailbox);
	w->_keeper_event = watch(w, w->_keeper_fd, on_keeper);
	w->_tick_event = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	struct timeval every = {.tv_usec = WORKER_TICK_MS * 1000};
	return w->_set_event && w->_mailbox_event && w->_keeper_event && w->_tick_event &&
	       event_add(w->_tick_event, &every) == 0;
}

static uint8_t *scratch(size_t n)
{
	uint8_t *p = malloc(WORKER_HEADROOM + n);
	return p ? p + WORKER_HEADROOM : NULL;
}

static bool init_parts(struct worker *w, const struct worker_start *start)
{
	w->scratch_in = scratch(WORKER_SCRATCH);
	w->scratch_plain = scratch(WORKER_SCRATCH);
	w->scratch_record = scratch(WORKER_SCRATCH + TLS_RECORD_MAX);
	w->pool = pool_new(w->cfg->memory.partial_bytes);
	w->tails = pool_new(w->cfg->memory.queue_bytes);
	w->subs = pool_new(SIZE_MAX);
	w->identities = pool_new(SIZE_MAX);
	w->partials = conn_list_new(w->slab.max);
	w->waiting = conn_list_new(w->slab.max);
	w->site = http_site_new(w->cfg);
	w->fanout = fanout_new(w);
	w->batch = batch_new(w);
	w->backlogs = backlogs_new(w);
	w->deflate = ws_deflate_new();
	w->hub = hub_new(w);
	w->engine_ops = &engine_memory;
	w->offences = offence_open(w);
	if (!w->is_admin) {
		w->engine = w->engine_ops->new (w);
		w->census = census_new();
		w->tls = tls_new(w, start->tls, start->tickets, start->ktls);
		w->tls_generation = start->tls_generation;
		if (w->tls != NULL && start->denied != NULL)
			tls_deny_all(w, start->denied);
		if (w->tls != NULL)
			tls_log_keys(w, start->keylog_fd);
	}
	return w->scratch_in && w->scratch_plain && w->scratch_record && w->pool && w->tails &&
	       w->subs && w->identities && w->partials && w->waiting && w->site && w->fanout &&
	       w->batch && w->backlogs && w->deflate && w->hub &&
	       (w->is_admin || (w->engine && w->census && w->tls));
}

static bool init(struct worker *w, const struct worker_start *start)
{
	w->id = start->id;
	w->n_workers = start->n_workers;
	w->is_admin = start->id == start->n_workers;
	w->cfg = start->cfg;
	w->mailbox = start->mailbox;
	w->ring = start->ring;
	memcpy(w->hash_key, start->hash_key, sizeof(w->hash_key));
	memcpy(w->member_up, start->member_up, (start->n_workers + 1) * sizeof(bool));
	w->steps[CONN_HTTP] = &http_step;
	w->steps[CONN_OPEN] = w->steps[CONN_CLOSING] = &ws_step;
	random_reseed();
	w->_born_ns = clock_mono_ns();
	update_clock(w);
	int err = conn_slab_init(&w->slab, start->slab_fd, start->slab_max, start->incarnation);
	if (err != 0) {
		log_error("slab: %s", strerror(-err));
		return false;
	}
	wheel_init(&w->wheel, w->slab.conns, sizeof(struct conn), offsetof(struct conn, timer),
		   w->slab.max, w->tick);
	if (!init_parts(w, start) || !init_loop(w, start)) {
		log_error("cannot start: %s", strerror(errno));
		return false;
	}
	mailbox_set_events(w->mailbox, &(struct mailbox_events){
					       .on_bad = on_bad_peer,
					       .on_congestion = on_congestion,
					       .ctx = w,
				       });
	if (w->is_admin)
		return (w->admin = admin_start(w, start->control_fd)) != NULL;
	return (w->door = door_new(w)) != NULL &&
	       (w->listeners = listener_start(w, start->listener_fds)) != NULL;
}

int worker_main(const struct worker_start *start)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (w == NULL || !init(w, start))
		return 1;
	worker_tell_keeper(w, &(struct keeper_msg){.kind = KEEPER_READY});
	bool busy = false;
	while (w->phase != WORKER_DONE) {
		turn(w, busy);
		busy = work(w);
	}
	/* What could not be flushed in time is lost with its connection: say how much. */
	if (w->slab.live > 0)
		log_warn("%u connections did not close in time", w->slab.live);
	return w->shutdown_reason == CLOSE_KEEPER_GONE ? 1 : 0;
}
