/* SPDX-License-Identifier: BSD-2-Clause */
/* offence.c - a small book of sources and their points, see offence.h.
 *
 * What does not fit is forgotten: whoever offends enough will offend again. XDP sees the peer of the
 * TCP connection, so that is who is noted: never the client that a proxy names, and never a
 * proxy that we trust, who stands for many. */
#include "worker/offence.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "keeper/channel.h"
#include "worker/worker.h"

#define SOURCES 256

struct offence_book {
	uint32_t n;
	struct {
		uint8_t ip[16];
		uint32_t points;
	} at[SOURCES];
};

struct offence_book *offence_open(const struct worker *w)
{
	if (w->is_admin || w->cfg->shield.offences.points == 0)
		return NULL;
	return calloc(1, sizeof(struct offence_book));
}

static bool is_proxy(const struct config_listener *l, const struct addr *a)
{
	for (uint32_t i = 0; i < l->n_trusted_proxies; i++)
		if (config_prefix_has(&l->trusted_proxies[i], a))
			return true;
	return false;
}

/* The peer of the connection itself; false: it is one of our proxies, or cannot be told any more. */
static bool source_of(const struct worker *w, const struct conn *c, uint8_t ip[16])
{
	const struct config_listener *l = &w->cfg->listeners[c->listener];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr a;

	if (l->n_trusted_proxies == 0) {
		memcpy(ip, c->peer_ip, 16);
		return true;
	}
	if (getpeername(conn_fd(c), (struct sockaddr *)&ss, &len) != 0 ||
	    addr_from_sockaddr((struct sockaddr *)&ss, len, &a) != 0 || is_proxy(l, &a))
		return false;
	memcpy(ip, a.ip, 16);
	return true;
}

void offence_note(struct worker *w, const struct conn *c, enum close_reason reason)
{
	struct offence_book *b = w->offences;
	unsigned points = close_reason_info(reason)->points;
	uint8_t ip[16];
	uint32_t i = 0;

	if (b == NULL || points == 0 || !source_of(w, c, ip))
		return;
	while (i < b->n && memcmp(b->at[i].ip, ip, sizeof(ip)) != 0)
		i++;
	if (i == SOURCES)
		return;
	if (i == b->n) {
		memcpy(b->at[i].ip, ip, sizeof(ip));
		b->at[i].points = 0;
		b->n++;
	}
	b->at[i].points = MIN(b->at[i].points + points, KEEPER_OFFENCE_MAX);
}

void offence_tick(struct worker *w)
{
	struct offence_book *b = w->offences;
	struct keeper_msg m = {.kind = KEEPER_OFFENCE};
	struct addr a = {.port = 0};

	if (b == NULL || b->n == 0)
		return;
	memcpy(a.ip, b->at[0].ip, sizeof(a.ip));
	m.value = b->at[0].points;
	m.family = addr_is_v4(&a) ? AF_INET : AF_INET6;
	m.bits = addr_is_v4(&a) ? 32 : 128;
	memcpy(m.addr, addr_is_v4(&a) ? a.ip + 12 : a.ip, m.bits / 8);
	if (!worker_tell_keeper(w, &m))
		return;
	b->n--;
	memmove(&b->at[0], &b->at[1], b->n * sizeof(b->at[0])); /* in the order they came */
}
