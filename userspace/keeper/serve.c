/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - what members ask of the keeper, done.
 *
 * Everything here has passed request_check(): fields are in range, and only the admin
 * worker gets as far as denials and status. A sender that asks too fast is left unread until its
 * bucket has filled; the channel's own bound then holds it back. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "keeper/guard.h"
#include "keeper/internal.h"
#include "keeper/notify.h"
#include "shield/rate.h"

static void reply(struct keeper *k, uint32_t id, const struct keeper_msg *asked, int status,
		  const char *text)
{
	struct keeper_msg m = {.kind = KEEPER_REPLY, .ask = asked->ask, .status = status};
	snprintf(m.text, sizeof(m.text), "%s", text);
	member_tell(k, id, &m);
}

/* ---- denials ------------------------------------------------------------------------------------ */

#define SPAN_MAX 64

/* "10m", "1h 30m": exactly, so that a slip of the unit shows. */
static const char *span_str(uint64_t seconds, char buf[SPAN_MAX])
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (seconds >= units[i].s)
			n += (size_t)snprintf(buf + n, SPAN_MAX - n, "%s%llu%c", n ? " " : "",
					      (unsigned long long)(seconds / units[i].s),
					      units[i].unit);
		seconds %= units[i].s;
	}
	return buf;
}

/* A denial that is more likely a slip than a wish. */
static bool is_guarded(const struct keeper *k, const struct keeper_msg *m,
		       const struct shield_prefix *p, char *text, size_t cap)
{
	char prefix[SHIELD_PREFIX_TEXT_MAX], who[GUARD_TEXT_MAX];
	const struct guard *hit;
	struct guards g;
	if (m->kind != KEEPER_DENY_ADD || m->list != LIST_DENY || m->force)
		return false;
	guards_of(k->cfg, &g);
	guards_manage(&g, &k->policy.in_force->manage);
	hit = guards_hit(&g, p);
	if (hit)
		snprintf(text, cap, "%s would lock out %s; `force yes` if that is meant",
			 shield_prefix_str(p, prefix), guard_str(hit, who));
	guards_free(&g);
	return hit != NULL;
}

static void describe_deny(const struct keeper_msg *m, const struct shield_prefix *p, int err,
			  char *text, size_t cap)
{
	const char *done = m->list == LIST_ALLOW ? "allowed" : "denied";
	char prefix[SHIELD_PREFIX_TEXT_MAX], span[SPAN_MAX];
	shield_prefix_str(p, prefix);
	if (err == -ENOENT)
		snprintf(text, cap, "%s is not on the list", prefix);
	else if (err == -ENOSPC)
		snprintf(text, cap, "the list is full: it holds %u entries made one by one",
			 LIST_OWN_MAX);
	else if (err)
		snprintf(text, cap, "%s", strerror(-err));
	else if (m->kind == KEEPER_DENY_DEL)
		snprintf(text, cap, "%s taken away", prefix);
	else if (m->value)
		snprintf(text, cap, "%s %s for %s", prefix, done, span_str(m->value, span));
	else
		snprintf(text, cap, "%s %s until taken away", prefix, done);
}

static void serve_deny(struct keeper *k, uint32_t id, const struct keeper_msg *m)
{
	struct shield_prefix p = {.bits = m->bits, .family = m->family};
	char text[sizeof(m->text)];
	int err;
	memcpy(p.addr, m->addr, sizeof(p.addr));
	if (!shield_is_on(k->shield)) {
		snprintf(text, sizeof(text), "the shield is off: %.120s",
			 shield_why_off(k->shield));
		reply(k, id, m, -EOPNOTSUPP, text);
		return;
	}
	if (is_guarded(k, m, &p, text, sizeof(text))) {
		reply(k, id, m, -EPERM, text);
		return;
	}
	if (m->kind == KEEPER_DENY_ADD)
		err = shield_list_add(k->shield, m->list, &p, m->value, SHIELD_DENY_OPERATOR,
				      m->text);
	else
		err = shield_list_del(k->shield, m->list, &p);
	describe_deny(m, &p, err, text, sizeof(text));
	if (!err)
		log_info("%s list: %s%s%s", m->list == LIST_ALLOW ? "allow" : "deny", text,
			 *m->text ? ": " : "", m->text);
	reply(k, id, m, err, text);
}

/* ---- fingerprints --------------------------------------------------------------------------------- */

static void serve_fingerprint(struct keeper *k, uint32_t id, const struct keeper_msg *m,
			      uint64_t now)
{
	struct keeper_msg tell = {.kind = KEEPER_DENY_HELLO};
	char text[sizeof(m->text)], span[SPAN_MAX];
	bool done, add = m->kind == KEEPER_FINGERPRINT_ADD;
	tls_ja4_parse(bytes_str(m->text), &tell.hello.ja4);
	if (add)
		tell.hello.until_ns = m->value ? now + m->value * 1000000000u : UINT64_MAX;
	done = add ? tls_denied_add(&k->denied, &tell.hello.ja4, tell.hello.until_ns, now) :
		     tls_denied_del(&k->denied, &tell.hello.ja4);
	if (!done) {
		snprintf(text, sizeof(text),
			 add ? "%u fingerprints are denied already: take one away" :
			       "this fingerprint is not denied",
			 TLS_DENIED);
		reply(k, id, m, add ? -ENOSPC : -ENOENT, text);
		return;
	}
	for (uint32_t i = 0; i < k->n_workers; i++)
		member_tell(k, i, &tell);
	snprintf(text, sizeof(text), "fingerprint %.36s %s%s", m->text,
		 !add     ? "is not denied any more" :
		 m->value ? "denied for " :
			    "denied until taken away",
		 add && m->value ? span_str(m->value, span) : "");
	log_info("tls: %s", text);
	reply(k, id, m, 0, text);
}

/* ---- offences ------------------------------------------------------------------------------------- */

/* Whom nobody but a person denies: who manages, who stands for many, and ourselves. */
static bool never_denied(const struct keeper *k, const struct addr *a)
{
	static const struct config_prefix here[] = {
		{.family = AF_INET, .bits = 8, .addr = {127}},
		{.family = AF_INET6, .bits = 128, .addr = {[15] = 1}},
	};
	const struct plan_manage *door = &k->policy.in_force->manage;
	const struct config *cfg = k->cfg;
	for (size_t i = 0; i < ARRAY_SIZE(here); i++)
		if (config_prefix_has(&here[i], a))
			return true;
	for (uint32_t i = 0; i < door->n_who; i++) {
		struct config_prefix who = {.family = door->who[i].family,
					    .bits = door->who[i].bits};
		memcpy(who.addr, door->who[i].addr, sizeof(who.addr));
		if (config_prefix_has(&who, a))
			return true;
	}
	for (uint32_t l = 0; l < cfg->n_listeners; l++)
		for (uint32_t i = 0; i < cfg->listeners[l].n_trusted_proxies; i++)
			if (config_prefix_has(&cfg->listeners[l].trusted_proxies[i], a))
				return true;
	return false;
}

static void serve_offence(struct keeper *k, const struct keeper_msg *m, uint64_t now)
{
	struct shield_prefix p = {.bits = m->bits, .family = m->family};
	struct addr a = {.ip = {[10] = 0xff, [11] = 0xff}};
	char text[SHIELD_PREFIX_TEXT_MAX], span[SPAN_MAX];
	memcpy(p.addr, m->addr, sizeof(p.addr));
	memcpy(m->family == AF_INET ? a.ip + 12 : a.ip, m->addr, m->family == AF_INET ? 4 : 16);
	if (!k->offences || !shield_is_on(k->shield) || never_denied(k, &a))
		return;
	uint32_t seconds = offences_add(k->offences, &p, (uint32_t)m->value, now);
	if (seconds &&
	    shield_deny_add(k->shield, &p, seconds, SHIELD_DENY_OFFENCE, "broke the protocol") == 0)
		log_info("offences: %s is denied for %s", shield_prefix_str(&p, text),
			 span_str(seconds, span));
}

/* ---- status --------------------------------------------------------------------------------------- */

/* Loaded is not on: what no interface took judges no packet. */
static bool attached(const struct shield_attachment *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].mode != SHIELD_OFF)
			return true;
	return false;
}

static void piece_self(const struct keeper *k, const struct shield_attachment *interfaces,
		       size_t n_interfaces, struct keeper_msg *out)
{
	bool on = attached(interfaces, n_interfaces);
	out->kind = KEEPER_PIECE_SELF;
	out->self = (struct keeper_piece_self){
		.started_wall_ms = k->started_wall_ms,
		.pid = getpid(),
		.n_members = k->n_members,
		.n_interfaces = (uint32_t)n_interfaces,
		.shield_on = on,
		.shutting_down = k->shutting_down,
	};
	policy_describe(k, &out->self);
	snprintf(out->self.text, sizeof(out->self.text), "%.95s",
		 shield_is_on(k->shield) && !on ? "attached to no interface" :
						  shield_why_off(k->shield));
}

static void piece_member(const struct keeper *k, uint32_t id, struct keeper_msg *out)
{
	const struct member *m = &k->members[id];
	uint64_t now = clock_mono_ns();
	out->kind = KEEPER_PIECE_MEMBER;
	out->member = (uint16_t)id;
	out->incarnation = m->incarnation;
	out->life = (struct keeper_piece_member){
		.started_wall_ms = m->pid ? m->started_wall_ms : 0,
		.last_exit_wall_ms = m->last_exit_wall_ms,
		.pid = m->pid,
		.last_exit = m->last_exit,
		.restarts = m->incarnation ? m->incarnation - 1 : 0,
		.state = (uint8_t)m->state,
	};
	if (!m->pid && m->start_at_ns != UINT64_MAX && m->start_at_ns > now)
		out->life.next_start_ms = (uint32_t)((m->start_at_ns - now) / 1000000u);
}

static void piece_shield(const struct shield_attachment *a, struct keeper_msg *out)
{
	out->kind = KEEPER_PIECE_SHIELD;
	out->shield = (struct keeper_piece_shield){.ifindex = a->ifindex};
	snprintf(out->shield.interface, sizeof(out->shield.interface), "%s", a->name);
	snprintf(out->shield.mode, sizeof(out->shield.mode), "%s", shield_mode_word(a->mode));
	snprintf(out->shield.reason, sizeof(out->shield.reason), "%s", a->why);
	snprintf(out->shield.steer, sizeof(out->shield.steer), "%s", shield_steer_word(a->steer));
	snprintf(out->shield.steer_reason, sizeof(out->shield.steer_reason), "%s", a->steer_why);
}

/* How hard the rules that remember are pressed. */
static void piece_pressure(const struct keeper *k, struct keeper_msg *out)
{
	struct shield_rate_gauges rate;
	struct shield_cookie_stats cookies;
	struct shield_flow_stats flows;
	shield_flows_read(k->shield, &flows);
	shield_rate_read(k->shield, &rate);
	shield_cookies_read(k->shield, &cookies);
	out->kind = KEEPER_PIECE_PRESSURE;
	out->pressure = (struct keeper_piece_pressure){
		.validated = rate.validated,
		.validated_max = rate.validated_max,
		.made = rate.made,
		.evicted = rate.evicted,
		.granted = rate.granted,
		.refused = rate.refused,
		.strangers = rate.strangers,
		.attacks = cookies.attacks,
		.answered = cookies.answered,
		.returned = cookies.returned,
		.connections = cookies.made,
		.untaken = cookies.refused,
		.cores_under_attack = cookies.cores_under_attack,
		.flow_connections = flows.connections,
		.flow_per_s = flows.per_s,
		.flow_bytes = flows.bytes,
	};
	snprintf(out->pressure.flow_filter, sizeof(out->pressure.flow_filter), "%s",
		 shield_filter_word(flows.is));
	snprintf(out->pressure.cookies, sizeof(out->pressure.cookies), "%s",
		 shield_cookie_word(cookies.how));
	snprintf(out->pressure.cookies_test, sizeof(out->pressure.cookies_test), "%s",
		 shield_test_word(cookies.test));
	snprintf(out->pressure.cookies_why, sizeof(out->pressure.cookies_why), "%s", cookies.why);
}

static void piece_list(struct keeper *k, enum shield_list_id id, struct keeper_msg *out)
{
	struct shield_list_gauge g;
	shield_list_gauge(k->shield, id, &g);
	out->kind = KEEPER_PIECE_LIST;
	out->gauge = (struct keeper_piece_list){
		.bytes = g.bytes,
		.v4 = g.v4,
		.v6 = g.v6,
		.own = g.own,
		.sets = g.sets,
		.room = g.room,
		.id = (uint8_t)id,
	};
	snprintf(out->gauge.loading, sizeof(out->gauge.loading), "%s", lists_loading(k, id));
}

static void piece_certs(const struct keeper *k, struct keeper_msg *out)
{
	out->kind = KEEPER_PIECE_CERTS;
	certs_describe(k, &out->certs);
}

static void serve_status(struct keeper *k, uint32_t id, const struct keeper_msg *asked)
{
	size_t n_interfaces;
	const struct shield_attachment *interfaces = shield_attachments(k->shield, &n_interfaces);
	uint64_t last_interface = (uint64_t)k->n_members + n_interfaces;
	uint64_t first_list = last_interface + 2;
	uint64_t certs = 1 + last_interface + (shield_is_on(k->shield) ? 1 + LISTS : 0);
	uint64_t total = certs + (k->cfg->n_certificates > 0);
	uint64_t next = asked->value, end = MIN(total, next + KEEPER_STATUS_PIECES);
	for (; next < end; next++) {
		struct keeper_msg m = {.ask = asked->ask};
		if (next == 0)
			piece_self(k, interfaces, n_interfaces, &m);
		else if (next == certs)
			piece_certs(k, &m);
		else if (next <= k->n_members)
			piece_member(k, (uint32_t)next - 1, &m);
		else if (next >= first_list)
			piece_list(k, (enum shield_list_id)(next - first_list), &m);
		else if (next > last_interface)
			piece_pressure(k, &m);
		else
			piece_shield(&interfaces[next - 1 - k->n_members], &m);
		member_tell(k, id, &m);
	}
	struct keeper_msg done = {
		.kind = KEEPER_REPLY, .ask = asked->ask, .value = end < total ? end : 0};
	member_tell(k, id, &done);
}

/* ---- state ------------------------------------------------------------------------------------------ */

void keeper_announce(struct keeper *k)
{
	char text[64];
	k->announced = true;
	log_info("ready: %u worker%s, %u listener%s", k->n_workers, k->n_workers == 1 ? "" : "s",
		 k->cfg->n_listeners, k->cfg->n_listeners == 1 ? "" : "s");
	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int)getpid());
	notify_supervisor(text);
	if (k->ready_fd >= 0) {
		if (write(k->ready_fd, "", 1) != 1)
			log_debug("nobody waits for us to be ready any more");
		close(k->ready_fd);
	}
	k->ready_fd = -1;
}

/* The daemon is ready when all members are, for the first time. */
static void announce(struct keeper *k)
{
	for (uint32_t i = 0; i < k->n_members; i++)
		if (k->members[i].state < KEEPER_MEMBER_READY)
			return;
	if (k->announced || k->shutting_down)
		return;
	if (replace_hands_off(k))
		replace_go_on(k); /* which announces when all is ours */
	else
		keeper_announce(k);
}

static void serve_ready(struct keeper *k, uint32_t id)
{
	struct member *m = &k->members[id];
	if (m->state != KEEPER_MEMBER_STARTING)
		return;
	m->state = KEEPER_MEMBER_READY;
	m->kill_at_ns = 0;
	member_mark(k, id, SHIELD_WORKER_UP);
	if (m->incarnation > 1)
		log_info("%s lives again as process %d", member_name(k, id), (int)m->pid);
	announce(k);
}

static void serve_full(struct keeper *k, uint32_t id, bool full)
{
	struct member *m = &k->members[id];
	if (m->state < KEEPER_MEMBER_READY)
		return;
	m->state = full ? KEEPER_MEMBER_FULL : KEEPER_MEMBER_READY;
	member_mark(k, id, full ? SHIELD_WORKER_FULL : SHIELD_WORKER_UP);
}

/* No build accuses itself or nobody. What was said of an earlier life is over. */
static void serve_bad_peer(struct keeper *k, uint32_t id, const struct keeper_msg *m, uint64_t now)
{
	if (m->member >= k->n_members || m->member == id) {
		member_kill(k, id, "it accuses itself, or a member that is not there");
		return;
	}
	struct member *bad = &k->members[m->member];
	if (bad->pid > 0 && bad->incarnation == m->incarnation &&
	    accuse(&bad->accused, id, k->n_members, now))
		member_kill(k, m->member, "others say that it abuses the mailbox");
}

static enum request_verdict judge(struct keeper *k, uint32_t id, const void *datagram, size_t n,
				  int fd, struct keeper_msg *m, const char **why)
{
	enum request_verdict v = request_check(datagram, n, member_is_admin(k, id), m, why);
	if (v == REQUEST_OK && (fd >= 0) != request_brings(m->kind)) {
		*why = "a descriptor where none goes along, or none where one does";
		return REQUEST_LIE;
	}
	return v;
}

static void serve_one(struct keeper *k, uint32_t id, const void *datagram, size_t n, int fd,
		      uint64_t now_ns)
{
	struct keeper_msg m;
	const char *why;
	switch (judge(k, id, datagram, n, fd, &m, &why)) {
	case REQUEST_LIE:
		member_kill(k, id, why);
		close(k->members[id].channel); /* not one word more */
		k->members[id].channel = -1;
		return;
	case REQUEST_REFUSED: reply(k, id, &m, -EINVAL, why); return;
	case REQUEST_OK: break;
	}
	if (replace_hands_off(k) && m.kind != KEEPER_READY && m.kind != KEEPER_FULL &&
	    m.kind != KEEPER_BAD_PEER) {
		if (m.kind != KEEPER_OFFENCE) /* nobody waits for an answer to that */
			reply(k, id, &m, -EAGAIN, "another sluiced is taking over: ask once more");
		return;
	}
	if (m.kind == KEEPER_READY)
		serve_ready(k, id);
	else if (m.kind == KEEPER_FULL)
		serve_full(k, id, m.value != 0);
	else if (m.kind == KEEPER_BAD_PEER)
		serve_bad_peer(k, id, &m, now_ns);
	else if (m.kind == KEEPER_OFFENCE)
		serve_offence(k, &m, now_ns);
	else if (m.kind == KEEPER_STATUS)
		serve_status(k, id, &m);
	else if (m.kind >= KEEPER_POLICY_CHECK && m.kind <= KEEPER_POLICY_REVERT)
		policy_serve(k, id, &m, fd);
	else if (m.kind == KEEPER_FINGERPRINT_ADD || m.kind == KEEPER_FINGERPRINT_DEL)
		serve_fingerprint(k, id, &m, now_ns);
	else if (m.kind == KEEPER_CERT_RELOAD)
		certs_serve(k, id, &m);
	else if (m.kind == KEEPER_LIST_LOAD || m.kind == KEEPER_LIST_DROP)
		lists_serve(k, id, &m, fd);
	else
		serve_deny(k, id, &m);
}

void serve_member(struct keeper *k, uint32_t id, uint64_t now_ns)
{
	struct member *m = &k->members[id];
	struct keeper_msg buf[2]; /* room to see that a message is too long */
	while (m->channel >= 0 && request_bucket_wait_ns(&m->bucket, now_ns) == 0) {
		int fd;
		ssize_t n = handover_recv(m->channel, buf, sizeof(buf), &fd);
		if (n > 0) {
			request_bucket_take(&m->bucket, now_ns);
			serve_one(k, id, buf, (size_t)n, fd, now_ns);
			if (fd >= 0)
				close(fd);
			continue;
		}
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Its end of the channel is closed: it is about to die, or tries to live on unseen. */
		close(m->channel);
		m->channel = -1;
		m->kill_at_ns = now_ns + KEEPER_GONE_MS * 1000000ull;
		m->kill_why = "it has closed its channel and lives on";
	}
}
