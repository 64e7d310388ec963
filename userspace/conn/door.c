/* SPDX-License-Identifier: BSD-2-Clause */
/* door.c - see door.h. */
#include "conn/door.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "conn/io.h"
#include "worker/worker.h"

#define DOOR_EVENTS 8 /* fetched at once: what is not served now is first in the next turn */

struct door {
	int fd;
	struct event *event;
	bool knocked;
	uint32_t n;
	uint32_t first, last; /* in the order in which they came; links are in the conns */
};

static void on_knock(evutil_socket_t fd, short what, void *ctx)
{
	struct door *d = ctx;
	d->knocked = true;
}

struct door *door_new(struct worker *w)
{
	struct door *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->first = d->last = CONN_NONE;
	d->fd = epoll_create1(EPOLL_CLOEXEC);
	d->event = d->fd < 0 ? NULL : event_new(w->base, d->fd, EV_READ | EV_PERSIST, on_knock, d);
	if (d->event != NULL && event_add(d->event, NULL) == 0)
		return d;
	door_free(d);
	return NULL;
}

void door_free(struct door *d)
{
	if (d == NULL)
		return;
	if (d->event != NULL)
		event_free(d->event);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

int door_fd(const struct worker *w)
{
	return w->door->fd;
}

uint32_t door_count(const struct worker *w)
{
	return w->door->n;
}

/* ── the row ── */

static void row_append(struct worker *w, struct conn *c)
{
	struct door *d = w->door;
	uint32_t index = conn_index(&w->slab, c);
	c->door = (struct conn_door){.before = d->last, .after = CONN_NONE};
	*(d->last == CONN_NONE ? &d->first : &conn_at(&w->slab, d->last)->door.after) = index;
	d->last = index;
	d->n++;
}

static void row_remove(struct worker *w, struct conn *c)
{
	struct door *d = w->door;
	uint32_t before = c->door.before, after = c->door.after;
	*(before == CONN_NONE ? &d->first : &conn_at(&w->slab, before)->door.after) = after;
	*(after == CONN_NONE ? &d->last : &conn_at(&w->slab, after)->door.before) = before;
	c->door = (struct conn_door){0};
	d->n--;
}

bool door_room(const struct worker *w)
{
	const struct door *d = w->door;
	if (d->n < w->cfg->tls.handshakes)
		return true;
	uint32_t ticks = w->tick - conn_at(&w->slab, d->first)->born_ticks;
	return (uint64_t)ticks * WORKER_TICK_MS >= DOOR_PATIENCE_MS;
}

bool door_admits(struct worker *w)
{
	if (!door_room(w))
		return false;
	if (w->door->n >= w->cfg->tls.handshakes)
		conn_end(w, conn_at(&w->slab, w->door->first), CLOSE_HANDSHAKE_SHED);
	return true;
}

bool door_open(struct worker *w, struct conn *c)
{
	struct epoll_event e = {
		.data.u64 = (uint64_t)c->gen << 32 | conn_index(&w->slab, c),
		.events = EPOLLIN,
	};
	row_append(w, c); /* whoever is in the state is in the row: conn_end() relies on it */
	return epoll_ctl(w->door->fd, EPOLL_CTL_ADD, conn_fd(c), &e) == 0;
}

bool door_pass(struct worker *w, struct conn *c)
{
	struct epoll_event e = {
		.data.u64 = (uint64_t)c->gen << 32 | conn_index(&w->slab, c),
		.events = EPOLLIN | (c->flags & CONN_F_TAIL_WAIT ? EPOLLOUT : 0),
	};
	row_remove(w, c);
	return epoll_ctl(w->door->fd, EPOLL_CTL_DEL, conn_fd(c), NULL) == 0 &&
	       epoll_ctl(w->set_fd, EPOLL_CTL_ADD, conn_fd(c), &e) == 0;
}

void door_leave(struct worker *w, struct conn *c)
{
	row_remove(w, c);
}

/* ── the turn ── */

static void serve(struct worker *w, const struct epoll_event *e)
{
	uint32_t index = (uint32_t)e->data.u64, gen = (uint32_t)(e->data.u64 >> 32);
	struct conn *c = conn_deref(&w->slab, index, gen);
	if (c != NULL && e->events & EPOLLOUT)
		conn_writable(w, c);
	c = conn_deref(&w->slab, index, gen);
	if (c == NULL)
		return;
	if (e->events & EPOLLIN)
		conn_readable(w, c);
	else if (e->events & (EPOLLERR | EPOLLHUP))
		conn_end(w, c, CLOSE_PEER_RESET);
}

bool door_run(struct worker *w)
{
	struct door *d = w->door;
	struct epoll_event e[DOOR_EVENTS];
	if (d == NULL || !d->knocked)
		return false;
	d->knocked = false;
	uint64_t end = clock_mono_ns() + DOOR_NS;
	int n;
	do {
		n = epoll_wait(d->fd, e, DOOR_EVENTS, 0);
		for (int i = 0; i < n; i++)
			serve(w, &e[i]);
	} while (n == DOOR_EVENTS && clock_mono_ns() < end);
	return true;
}
