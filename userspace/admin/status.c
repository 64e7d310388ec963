/* SPDX-License-Identifier: BSD-2-Clause */
/* status.c - how keeper, members, listeners and interfaces look in the answer to "keeper". */
#include "admin/status.h"

#include "keeper/channel.h"
#include "shield/shield.h"
#include "worker/worker.h"

/* "203.0.113.0/24 8000-8999" */
static void put_serves(struct json_out *o, const struct config_listener *l)
{
	if (l->n_serves == 0)
		return;
	json_key(o, "serves");
	json_put_open(o, '[');
	for (uint32_t i = 0; i < l->n_serves; i++) {
		char text[CONFIG_PREFIX_STRLEN + 16], prefix[CONFIG_PREFIX_STRLEN];
		snprintf(text, sizeof(text), "%s %u-%u",
			 config_prefix_str(&l->serves[i].prefix, prefix), l->serves[i].ports.first,
			 l->serves[i].ports.last);
		json_put_str(o, bytes_str(text));
	}
	json_put_close(o, ']');
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
		put_serves(o, l);
		json_put_close(o, '}');
	}
	json_put_close(o, ']');
	json_key(o, "shield");
	json_put_open(o, '{');
	json_key(o, "on");
	json_put_bool(o, s->shield_on);
	json_key_str(o, "pin_dir", bytes_str(w->cfg->pin_dir));
	json_key_str(o, "text", BYTES(s->text, strnlen(s->text, sizeof(s->text))));
	json_key(o, "rules");
	json_put_open(o, '{');
	for (unsigned i = 0; i < RULES; i++) {
		static const char *const modes[] = {"off", "observe", "enforce"};
		json_put_key(o, bytes_str(shield_rule_word((enum shield_rule)i)));
		json_put_str(o,
			     bytes_str(s->rule[i] < ARRAY_SIZE(modes) ? modes[s->rule[i]] : "?"));
	}
	json_put_close(o, '}');
	if (s->trial_left_ms) {
		json_key(o, "trial");
		json_put_open(o, '{');
		json_key_u64(o, "left_ms", s->trial_left_ms);
		json_key_str(o, "file",
			     BYTES(s->trial_name, strnlen(s->trial_name, sizeof(s->trial_name))));
		json_put_close(o, '}');
	}
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
		json_key_i64(o, "last_exit", l->last_exit);
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
	json_key_str(o, "steer", BYTES(s->steer, strnlen(s->steer, sizeof(s->steer))));
	json_key_str(o, "steer_reason",
		     BYTES(s->steer_reason, strnlen(s->steer_reason, sizeof(s->steer_reason))));
	json_put_close(o, '}');
}

static void put_pressure(struct json_out *o, const struct keeper_piece_pressure *p)
{
	json_key(o, "rate");
	json_put_open(o, '{');
	json_key_u64(o, "validated", p->validated);
	json_key_u64(o, "validated_max", p->validated_max);
	json_key_u64(o, "made", p->made);
	json_key_u64(o, "evicted", p->evicted);
	json_key_u64(o, "granted", p->granted);
	json_key_u64(o, "refused", p->refused);
	json_key_u64(o, "strangers", p->strangers);
	json_put_close(o, '}');
	json_key(o, "cookies");
	json_put_open(o, '{');
	json_key_str(o, "kind", BYTES(p->cookies, strnlen(p->cookies, sizeof(p->cookies))));
	json_key_str(o, "test",
		     BYTES(p->cookies_test, strnlen(p->cookies_test, sizeof(p->cookies_test))));
	json_key_str(o, "reason",
		     BYTES(p->cookies_why, strnlen(p->cookies_why, sizeof(p->cookies_why))));
	json_key_u64(o, "cores_under_attack", p->cores_under_attack);
	json_key_u64(o, "attacks", p->attacks);
	json_key_u64(o, "answered", p->answered);
	json_key_u64(o, "returned", p->returned);
	json_key_u64(o, "connections", p->connections);
	json_key_u64(o, "untaken", p->untaken);
	json_put_close(o, '}');
	json_key(o, "flow_filter");
	json_put_open(o, '{');
	json_key_str(o, "is",
		     BYTES(p->flow_filter, strnlen(p->flow_filter, sizeof(p->flow_filter))));
	json_key_u64(o, "connections", p->flow_connections);
	json_key_u64(o, "flood_per_s", p->flow_per_s);
	json_key_u64(o, "bytes", p->flow_bytes);
	json_put_close(o, '}');
}

static void put_list(struct json_out *o, const struct keeper_piece_list *l)
{
	json_put_open(o, '{');
	json_key_str(o, "list", bytes_str(l->id == LIST_DENY ? "deny" : "allow"));
	json_key_u64(o, "ipv4", l->v4);
	json_key_u64(o, "ipv6", l->v6);
	json_key_u64(o, "one_by_one", l->own);
	json_key_u64(o, "sets", l->sets);
	json_key_u64(o, "room", l->room);
	json_key_u64(o, "bytes", l->bytes);
	json_key_str(o, "loading", BYTES(l->loading, strnlen(l->loading, sizeof(l->loading))));
	json_put_close(o, '}');
}

static void put_certs(struct json_out *o, const struct keeper_piece_certs *c)
{
	size_t n = strnlen(c->why, sizeof(c->why));
	json_key(o, "certificates");
	json_put_open(o, '{');
	json_key_u64(o, "read_ms", c->wall_ms);
	json_key_bool(o, "ok", n == 0);
	if (n > 0)
		json_key_str(o, "why", BYTES(c->why, n));
	json_put_close(o, '}');
}

static void list_open(struct json_out *o, const struct admin_status *s, const char *name)
{
	admin_status_end(o, s);
	json_put_key(o, bytes_str(name));
	json_put_open(o, '[');
}

void admin_status_piece(struct json_out *o, struct admin_status *s, const struct worker *w,
			const struct keeper_msg *m)
{
	bool first = s->_kind != m->kind;

	switch (m->kind) {
	case KEEPER_PIECE_SELF:
		if (s->_kind == 0)
			put_self(o, w, &m->self);
		break;
	case KEEPER_PIECE_MEMBER:
		if (first)
			list_open(o, s, "members");
		put_member(o, w, m);
		break;
	case KEEPER_PIECE_SHIELD:
		if (first)
			list_open(o, s, "interfaces");
		put_interface(o, &m->shield);
		break;
	case KEEPER_PIECE_PRESSURE:
		if (first) {
			admin_status_end(o, s);
			put_pressure(o, &m->pressure);
		}
		break;
	case KEEPER_PIECE_LIST:
		if (first)
			list_open(o, s, "lists");
		put_list(o, &m->gauge);
		break;
	case KEEPER_PIECE_CERTS:
		if (first) {
			admin_status_end(o, s);
			put_certs(o, &m->certs);
		}
		break;
	default: return;
	}
	s->_kind = m->kind;
}

void admin_status_end(struct json_out *o, const struct admin_status *s)
{
	if (s->_kind == KEEPER_PIECE_MEMBER || s->_kind == KEEPER_PIECE_SHIELD ||
	    s->_kind == KEEPER_PIECE_LIST)
		json_put_close(o, ']');
}
