/* SPDX-License-Identifier: BSD-2-Clause */
/* listener.c - from a listening socket to a conn.
 *
 * A full worker does not accept and close: it leaves newcomers in the kernel's queue
 * and tells the keeper, whose reuseport program then sends new ones to others. */
#include "listener/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/clock.h"
#include "conn/door.h"
#include "conn/io.h"
#include "keeper/channel.h"
#include "worker/worker.h"

/* At most so many, and so long: to accept one takes as long as some messages do. */
#define ACCEPTS_PER_EVENT 64
#define ACCEPT_NS         500000u
/* Marked full this many slots before the end, or an eighth of a small slab: SYNs on their way still
 * find room. With twice as many it has room again. */
#define ROOM_LOW          200u

struct listener {
	struct worker *w;
	uint32_t n;
	bool paused;   /* no slot or no descriptor: events are off */
	bool shut;     /* those of TLS listeners are: no room at the door */
	bool starving; /* no descriptor: it was said, and nobody was accepted since */
	bool full;     /* the keeper was told so */
	struct listener_one {
		struct listener *all;
		struct event *event;
		uint16_t index;
		int fd;
	} one[];
};

static int set_one(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* Bound, and not listening yet. */
static int open_one(const struct config_listener *l, int share)
{
	int fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (set_one(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0 ||
	    set_one(fd, SOL_SOCKET, SO_REUSEPORT, share) != 0 ||
	    (l->addr.ss_family == AF_INET6 && set_one(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) != 0) ||
	    /* Inherited by every accepted socket: one system call less for each. */
	    set_one(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
	    (l->defer_accept && set_one(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5) != 0) ||
	    bind(fd, (const struct sockaddr *)&l->addr, l->addr_len) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int cannot_open(const struct config_listener *l, int err)
{
	log_error("listener %s: %s port %u: %s%s", l->name, l->address, l->port, strerror(-err),
		  err == -EADDRINUSE    ? ": another program has it; stop that one or "
					  "change the port in sluice.conf" :
		  err == -EACCES        ? ": ports below 1024 need root or "
					  "CAP_NET_BIND_SERVICE" :
		  err == -EADDRNOTAVAIL ? ": no interface has this address" :
					  "");
	return err;
}

int listener_check_free(const struct config_listener *l)
{
	int fd = open_one(l, 0);
	if (fd < 0)
		return cannot_open(l, fd);
	close(fd);
	return 0;
}

int listener_open_group(const struct config_listener *l, int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int err = fds[i] = open_one(l, 1);
		if (err >= 0 && listen(fds[i], (int)l->backlog) == 0)
			continue;
		if (err >= 0) {
			err = -errno;
			close(fds[i]);
		}
		cannot_open(l, err);
		while (i-- > 0)
			close(fds[i]);
		return err;
	}
	return 0;
}

/* An address is local if a socket can be bound to it; a whole prefix by its first one. */
void listener_check_local(const struct config_listener *l, const struct config_serve *s)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool is_v4 = s->prefix.family == AF_INET;
	char text[CONFIG_PREFIX_STRLEN];
	int fd = socket(s->prefix.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(&v4.sin_addr, s->prefix.addr, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, s->prefix.addr, sizeof(v6.sin6_addr));
	if (fd >= 0 &&
	    bind(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		 is_v4 ? sizeof(v4) : sizeof(v6)) != 0 &&
	    errno == EADDRNOTAVAIL) {
		config_prefix_str(&s->prefix, text);
		log_warn(
			"listener %s: serves %s, which this host does not take as its own: ip route add "
			"local %s dev lo",
			l->name, text, text);
	}
	if (fd >= 0)
		close(fd);
}

/* Tells the keeper when room has become scarce, and when there is some again. If it cannot be told
 * now it is at the next tick. */
static void tell_keeper(struct listener *l)
{
	const struct conn_slab *s = &l->w->slab;
	uint32_t low = MIN(ROOM_LOW, s->max / 8), room = conn_slab_room(s);
	bool full = l->full ? room <= 2 * low : room < low;
	if (full == l->full)
		return;
	if (worker_tell_keeper(l->w, &(struct keeper_msg){.kind = KEEPER_FULL, .value = full}))
		l->full = full;
}

static void pause_all(struct listener *l)
{
	if (l->paused)
		return;
	l->paused = true;
	for (uint32_t i = 0; i < l->n; i++)
		event_del(l->one[i].event);
}

static bool speaks_tls(const struct listener *l, uint32_t i)
{
	return l->w->cfg->listeners[i].tls;
}

static void resume_all(struct listener *l)
{
	if (!l->paused)
		return;
	l->paused = false;
	for (uint32_t i = 0; i < l->n; i++)
		if (!(l->shut && speaks_tls(l, i)))
			event_add(l->one[i].event, NULL);
}

static void shut(struct listener *l)
{
	if (l->shut)
		return;
	l->shut = true;
	for (uint32_t i = 0; i < l->n; i++)
		if (speaks_tls(l, i))
			event_del(l->one[i].event);
}

static void unshut(struct listener *l)
{
	if (!l->shut)
		return;
	l->shut = false;
	for (uint32_t i = 0; i < l->n && !l->paused; i++)
		if (speaks_tls(l, i))
			event_add(l->one[i].event, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct listener_one *one = ctx;
	struct worker *w = one->all->w;
	uint64_t end = clock_mono_ns() + ACCEPT_NS;
	for (int i = 0; i < ACCEPTS_PER_EVENT && clock_mono_ns() < end; i++) {
		if (conn_slab_room(&w->slab) == 0) {
			pause_all(one->all);
			break;
		}
		if (speaks_tls(one->all, one->index) && !door_admits(w)) {
			shut(one->all);
			break;
		}
		struct sockaddr_in6 peer;
		socklen_t len = sizeof(peer);
		int s = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s >= 0) {
			one->all->starving = false;
			conn_open(w, s, one->index, (struct sockaddr *)&peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (!one->all->starving)
				log_warn("accept: %s: waiting for room", strerror(errno));
			one->all->starving = true;
			pause_all(one->all);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	tell_keeper(one->all);
}

struct listener *listener_start(struct worker *w, const int *fds)
{
	uint32_t n = w->cfg->n_listeners;
	struct listener *l = calloc(1, sizeof(*l) + n * sizeof(l->one[0]));
	if (l == NULL)
		return NULL;
	l->w = w;
	l->n = n;
	for (uint32_t i = 0; i < n; i++) {
		struct listener_one *one = &l->one[i];
		*one = (struct listener_one){.all = l, .index = (uint16_t)i, .fd = fds[i]};
		one->event = event_new(w->base, fds[i], EV_READ | EV_PERSIST, on_accept, one);
		if (one->event == NULL || event_add(one->event, NULL) != 0)
			return NULL; /* the process ends: nothing to unwind */
	}
	return l;
}

void listener_take(struct worker *w)
{
	struct listener *l = w->listeners;
	for (uint32_t i = 0; l != NULL && i < l->n; i++)
		for (uint32_t n = 0, before; n < w->cfg->listeners[i].backlog;
		     n += w->slab.live - before) {
			before = w->slab.live;
			on_accept(l->one[i].fd, EV_READ, &l->one[i]);
			if (w->slab.live <= before)
				break;
		}
}

void listener_stop(struct worker *w)
{
	struct listener *l = w->listeners;
	if (l == NULL)
		return;
	w->listeners = NULL;
	for (uint32_t i = 0; i < l->n; i++) {
		event_free(l->one[i].event);
		close(l->one[i].fd);
	}
	free(l);
}

bool listener_full(const struct worker *w)
{
	return w->listeners == NULL || w->listeners->full || w->listeners->paused;
}

void listener_room(struct worker *w)
{
	if (w->listeners != NULL)
		tell_keeper(w->listeners);
}

void listener_tick(struct worker *w)
{
	struct listener *l = w->listeners;
	if (l == NULL)
		return;
	tell_keeper(l);
	if (conn_slab_room(&w->slab) > 0)
		resume_all(l);
}

void listener_door(struct worker *w)
{
	if (w->listeners != NULL && w->listeners->shut && door_room(w))
		unshut(w->listeners);
}
