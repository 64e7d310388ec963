/* SPDX-License-Identifier: BSD-2-Clause */
/* query.c - a worker tells of itself: counters, a page of conns, a page of channels. */
#include "admin/query.h"

#include "base/addr.h"
#include "base/json.h"
#include "base/random.h"
#include "conn/identity.h"
#include "conn/io.h"
#include "conn/door.h"
#include "conn/list.h"
#include "engine/engine.h"
#include "fanout/backlog.h"
#include "fanout/batch.h"
#include "fanout/fanout.h"
#include "hub/members.h"
#include "hub/select.h"
#include "tls/tls.h"
#include "worker/mailbox.h"
#include "worker/msg.h"
#include "worker/worker.h"

/* A row never takes more: a page ends while there is room for one. */
#define ROW_MAX    2560
#define PURGE_SCAN 16384u /* messages, and entries of the table, looked at for one page */
#define SLOTS_SCAN 65536u /* slots of slab or channel table looked at for one page */

static void put_closed(struct json_out *o, const struct worker *w)
{
	json_key(o, "closed");
	json_put_open(o, '{');
	for (int r = 0; r < CLOSE_REASONS; r++)
		if (w->stats.closed[r]) {
			json_put_key(o, bytes_str(close_reason_info(r)->word));
			json_put_u64(o, w->stats.closed[r]);
		}
	json_put_close(o, '}');
}

static void put_pool(struct json_out *o, struct bytes key, const struct pool *p)
{
	struct pool_stats s;
	pool_stats(p, &s);
	json_put_key(o, key);
	json_put_open(o, '{');
	json_key_u64(o, "lent_bytes", s.lent_bytes);
	json_key_u64(o, "lent", s.lent_count);
	json_key_u64(o, "peak_bytes", s.peak_bytes);
	json_key_u64(o, "mapped_bytes", s.mapped_bytes);
	json_key_u64(o, "refused", s.refused);
	json_put_close(o, '}');
}

static void put_mailbox(struct json_out *o, const struct worker *w)
{
	struct mailbox_stats s;
	mailbox_stats(w->mailbox, &s);
	json_key(o, "mailbox");
	json_put_open(o, '{');
	json_key_u64(o, "sent", s.sent);
	json_key_u64(o, "received", s.received);
	json_key_u64(o, "queued_bytes", s.queue_bytes);
	json_key_u64(o, "queued_ever", s.queued_ever);
	json_key_u64(o, "blocks_ever", s.blocks_ever);
	json_key_u64(o, "refused", s.refused);
	json_key_u64(o, "dropped", s.dropped);
	json_key_u64(o, "kicks", s.kicks);
	json_put_close(o, '}');
}

static void put_memory(struct json_out *o, const struct worker *w)
{
	json_key(o, "memory");
	json_put_open(o, '{');
	json_key_u64(o, "conn_bytes", sizeof(struct conn));
	json_key_u64(o, "slab_touched_bytes", (uint64_t)w->slab.high * sizeof(struct conn));
	json_key_u64(o, "hub_bytes", hub_memory(w->hub));
	json_key_u64(o, "fanout_bytes", fanout_memory(w->fanout));
	json_key_u64(o, "backlog_bytes", backlogs_memory(w->backlogs));
	put_pool(o, BYTES_LIT("partials"), w->pool);
	put_pool(o, BYTES_LIT("tails"), w->tails);
	put_pool(o, BYTES_LIT("subscriptions"), w->subs);
	put_pool(o, BYTES_LIT("identities"), w->identities);
	json_put_close(o, '}');
}

static void put_worker(struct json_out *o, const struct worker *w)
{
	const struct worker_stats *s = &w->stats;
	json_put_open(o, '{');
	json_key_u64(o, "worker", w->id);
	json_key_u64(o, "uptime_ms", (w->now_ns - w->_born_ns) / 1000000u);
	json_key_u64(o, "connections", w->slab.live);
	json_key_u64(o, "connections_max", w->slab.max);
	json_key_u64(o, "unfinished", conn_list_count(w->partials));
	json_key_u64(o, "channels", hub_channel_count(w->hub));
	json_key_u64(o, "accepted", s->accepted);
	json_key_u64(o, "refused", s->refused);
	json_key_u64(o, "handshakes", s->handshakes);
	json_key_u64(o, "handshakes_now", w->door ? door_count(w) : 0);
	json_key_u64(o, "handshakes_failed", s->handshakes_failed);
	json_key_u64(o, "handshakes_resumed", s->handshakes_resumed);
	json_key_u64(o, "client_certificates_refused", s->client_certificates_refused);
	json_key_u64(o, "key_updates", s->key_updates);
	json_key_bool(o, "io_uring", w->ring != NULL);
	json_key_u64(o, "alerts_in", s->alerts_in);
	json_key_u64(o, "alerts_out", s->alerts_out);
	json_key_u64(o, "http_requests", s->http_requests);
	json_key_u64(o, "upgrades", s->upgrades);
	json_key_u64(o, "frames_in", s->frames_in);
	json_key_u64(o, "messages_in", s->messages_in);
	json_key_u64(o, "bytes_in", s->bytes_in);
	json_key_u64(o, "publications", s->publications);
	json_key_u64(o, "overloaded", s->overloaded);
	json_key_u64(o, "deliveries", s->deliveries);
	json_key_u64(o, "dropped", s->dropped);
	json_key_u64(o, "conflated", s->conflated);
	json_key_u64(o, "deflated", s->deflated);
	json_key_u64(o, "deflated_from_bytes", s->deflated_from_bytes);
	json_key_u64(o, "deflated_to_bytes", s->deflated_to_bytes);
	json_key_u64(o, "inflated", s->inflated);
	json_key_u64(o, "inflations_refused", s->inflations_refused);
	json_key_u64(o, "writes", s->writes);
	json_key_u64(o, "bytes_out", s->bytes_out);
	json_key_u64(o, "turns", s->turns);
	put_closed(o, w);
	put_memory(o, w);
	put_mailbox(o, w);
	json_put_close(o, '}');
}

/* Who has proved who he is, and by what. */
static void put_user(struct json_out *o, const struct worker *w, const struct conn *c)
{
	char hex[65];
	struct identity who;
	if (!identity_get(w, c, &who))
		return;
	for (size_t i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", who.certificate[i]);
	json_key_str(o, "user", who.user);
	json_key_str(o, "client_certificate", bytes_str(hex));
	json_key(o, "roles");
	json_put_open(o, '[');
	for (uint32_t i = 0; i < who.n_roles; i++)
		json_put_str(o, who.role[i]);
	json_put_close(o, ']');
}

static void put_conn(struct json_out *o, const struct worker *w, const struct conn *c)
{
	char text[128];
	struct addr a = {.port = c->peer_port};
	memcpy(a.ip, c->peer_ip, 16);
	json_put_open(o, '{');
	random_uuid_print(c->client_id, text);
	json_key_str(o, "id", bytes_str(text));
	json_key_u64(o, "worker", w->id);
	json_key_u64(o, "index", conn_index(&w->slab, c));
	addr_print_port(&a, text);
	json_key_str(o, "peer", bytes_str(text));
	json_key_str(o, "state", bytes_str(conn_state_str(c->state)));
	json_key_str(o, "flags", bytes_str(conn_flags_str(c->flags, text, sizeof(text))));
	json_key_str(o, "listener", bytes_str(w->cfg->listeners[c->listener].name));
	if (c->state == CONN_OPEN || c->state == CONN_CLOSING)
		json_key_str(o, "endpoint", bytes_str(w->cfg->endpoints[c->endpoint].path));
	if (c->flags & CONN_F_TLS) {
		json_key_str(o, "tls", bytes_str(tls_version(w, c)));
		json_key_str(o, "cipher", bytes_str(tls_cipher(w, c)));
		json_key_str(o, "ja4", bytes_str(tls_fingerprint(w, c, text)));
	}
	put_user(o, w, c);
	json_key_u64(o, "age_s", (uint64_t)(w->tick - c->born_ticks) * WORKER_TICK_MS / 1000);
	json_key_u64(o, "silent_ms", (uint64_t)(w->tick - c->heard_ticks) * WORKER_TICK_MS);
	json_key_u64(o, "subscriptions", c->sub_count);
	json_key_u64(o, "queued_bytes", conn_queued(w, c));
	json_put_close(o, '}');
}

static bool listed(const struct conn *c)
{
	return c->state != CONN_FREE && c->state != CONN_HELD;
}

static uint32_t scan_end(const struct worker *w, uint32_t from)
{
	uint32_t high = w->slab.high;
	return from < high ? from + MIN(SLOTS_SCAN, high - from) : from;
}

static uint32_t put_conns(struct json_out *o, const struct worker *w, const struct query *q)
{
	uint32_t i = q->cursor, n = 0, end = scan_end(w, i);
	for (; i < end && n < q->limit && o->n + ROW_MAX < o->cap; i++) {
		const struct conn *c = conn_at(&w->slab, i);
		if (listed(c)) {
			put_conn(o, w, c);
			n++;
		}
	}
	return i < w->slab.high ? i : QUERY_NO_NEXT;
}

/* From the cursor on; *next is where to go on if it was not among those. */
static struct conn *find(struct worker *w, const struct query *q, uint32_t *next)
{
	uint32_t end = scan_end(w, q->cursor);
	for (uint32_t i = q->cursor; i < end; i++) {
		struct conn *c = conn_at(&w->slab, i);
		if (listed(c) && memcmp(c->client_id, q->id, 16) == 0)
			return c;
	}
	if (end < w->slab.high)
		*next = end;
	return NULL;
}

static uint32_t put_found(struct json_out *o, struct worker *w, const struct query *q)
{
	uint32_t next = QUERY_NO_NEXT;
	struct conn *c = find(w, q, &next);
	if (c == NULL)
		return next;
	put_conn(o, w, c);
	if (q->kind == QUERY_CLOSE && c->state == CONN_OPEN)
		conn_close(w, c, CLOSE_ADMIN);
	else if (q->kind == QUERY_CLOSE)
		conn_end(w, c, CLOSE_ADMIN);
	return next;
}

struct channel_rows {
	struct json_out *o;
	struct worker *w;
	const struct query *q;
	uint32_t n;
};

static void put_channel_head(struct json_out *o, const struct worker *w, uint16_t space,
			     struct bytes name)
{
	json_put_open(o, '{');
	json_key_str(o, "name", name);
	json_key_str(o, "space", bytes_str(w->cfg->spaces[space]));
	json_key_u64(o, "worker", w->id);
}

static void put_members(struct json_out *o, const char *encoding, const char *twin, uint32_t n)
{
	char key[32];
	snprintf(key, sizeof(key), "%s%s", encoding, twin);
	if (n > 0) {
		json_put_key(o, bytes_str(key));
		json_put_u64(o, n);
	}
}

static void put_channel(void *ctx, const struct hub_channel_info *info)
{
	struct channel_rows *r = ctx;
	struct bytes only = BYTES(r->q->name, r->q->name_n);
	if (only.n > 0 && !bytes_eq(only, info->name))
		return;
	r->n++;
	struct json_out *o = r->o;
	put_channel_head(o, r->w, info->space, info->name);
	json_key(o, "members");
	json_put_open(o, '{');
	for (int e = 0; e < ENC_COUNT; e++) {
		put_members(o, encoding_table[e].name, "", info->members[e]);
		put_members(o, encoding_table[e].name, "+deflate", info->deflated[e]);
	}
	json_put_close(o, '}');
	json_key_u64(o, "set_bytes", info->set_bytes);
	json_put_close(o, '}');
}

static uint32_t put_channels(struct json_out *o, struct worker *w, const struct query *q)
{
	struct channel_rows r = {.o = o, .w = w, .q = q};
	uint32_t cursor = q->cursor;
	bool more = true;
	/* One at a time: a page ends where the buffer does, not in the middle of a batch. */
	while (more && r.n < q->limit && o->n + ROW_MAX < o->cap && cursor - q->cursor < SLOTS_SCAN)
		more = hub_channels(w->hub, &cursor, 1, put_channel, &r);
	return more ? cursor : QUERY_NO_NEXT;
}

/* Those spaces in which this worker has members of the channel; the least of whom is next. */
struct member_rows {
	const struct query *q;
	uint16_t spaces[CONFIG_MAX_ENDPOINTS];
	uint32_t n;
};

static void find_spaces(struct worker *w, struct member_rows *r)
{
	struct bytes name = BYTES(r->q->name, r->q->name_n);
	uint32_t none;
	for (uint32_t i = 0; name.n > 0 && i < w->cfg->n_spaces; i++)
		if (hub_members(w, (uint16_t)i, name, 0, NULL, 0, &none) > 0)
			r->spaces[r->n++] = (uint16_t)i;
}

/* A conn is in one space, so that its index alone says how far we are. False: there is nobody. */
static bool next_member(struct worker *w, const struct member_rows *r, uint32_t from,
			uint16_t *space, struct member *m)
{
	struct bytes name = BYTES(r->q->name, r->q->name_n);
	bool any = false;
	for (uint32_t i = 0; i < r->n; i++) {
		struct member at;
		uint32_t n;
		hub_members(w, r->spaces[i], name, from, &at, 1, &n);
		if (n == 0 || (any && m->index <= at.index))
			continue;
		*m = at;
		*space = r->spaces[i];
		any = true;
	}
	return any;
}

static void put_member(struct json_out *o, const struct worker *w, uint16_t space,
		       const struct member *m)
{
	const struct conn *c = conn_at(&w->slab, m->index);
	struct addr a = {.port = c->peer_port};
	struct identity who;
	char text[128];
	json_put_open(o, '{');
	random_uuid_print(c->client_id, text);
	json_key_str(o, "id", bytes_str(text));
	if (identity_get(w, c, &who))
		json_key_str(o, "user", who.user);
	json_key_u64(o, "worker", w->id);
	json_key_u64(o, "index", m->index);
	memcpy(a.ip, c->peer_ip, 16);
	addr_print_port(&a, text);
	json_key_str(o, "peer", bytes_str(text));
	snprintf(text, sizeof(text), "%s%s", encoding_table[encoding_plain(m->encoding)].name,
		 m->encoding & ENC_DEFLATED ? "+deflate" : "");
	json_key_str(o, "encoding", bytes_str(text));
	json_key_str(o, "space", bytes_str(w->cfg->spaces[space]));
	json_put_close(o, '}');
}

static uint32_t put_member_rows(struct json_out *o, struct worker *w, const struct query *q)
{
	struct member_rows r = {.q = q};
	struct member m;
	uint32_t from = q->cursor;
	uint16_t space;
	find_spaces(w, &r);
	for (uint32_t n = 0; next_member(w, &r, from, &space, &m); n++, from = m.index + 1) {
		if (n == q->limit || o->n + ROW_MAX >= o->cap)
			return m.index;
		put_member(o, w, space, &m);
	}
	return QUERY_NO_NEXT;
}

static void put_home(struct json_out *o, const struct worker *w, uint16_t space, struct bytes name,
		     const struct hub_position *at)
{
	put_channel_head(o, w, space, name);
	json_key(o, "home");
	json_put_open(o, '{');
	json_key_u64(o, "subscribers", at->count);
	json_key_u64(o, "offset", at->offset);
	json_key_u64(o, "messages", at->kept);
	json_key_u64(o, "history_bytes", at->kept_bytes);
	json_put_close(o, '}');
	json_put_close(o, '}');
}

/* A home need not have a subscriber of its own: its table is another than the hub's. */
static uint32_t put_homes(struct json_out *o, struct worker *w, const struct query *q)
{
	struct bytes name = BYTES(q->name, q->name_n);
	struct hub_position at;
	uint32_t cursor = q->cursor, n = 0;
	uint16_t space;
	if (name.n > 0) { /* the cursor counts spaces */
		for (; cursor < w->cfg->n_spaces && o->n + ROW_MAX < o->cap; cursor++)
			if (w->engine_ops->info(w, (uint16_t)cursor, name, &at))
				put_home(o, w, (uint16_t)cursor, name, &at);
		return cursor < w->cfg->n_spaces ? cursor : QUERY_NO_NEXT;
	}
	while (n++ < q->limit && o->n + ROW_MAX < o->cap) {
		if (!w->engine_ops->next_home(w, &cursor, &space, &name, &at))
			return QUERY_NO_NEXT;
		put_home(o, w, space, name, &at);
	}
	return cursor;
}

static void put_purged(struct json_out *o, const struct worker *w, uint16_t space,
		       struct bytes name, uint32_t n)
{
	put_channel_head(o, w, space, name);
	json_key_u64(o, "purged", n);
	json_put_close(o, '}');
}

/* One channel, in each space: the cursor counts them. */
static uint32_t purge(struct json_out *o, struct worker *w, const struct query *q)
{
	struct bytes name = BYTES(q->name, q->name_n);
	uint32_t cursor = q->cursor;
	for (; cursor < w->cfg->n_spaces && o->n + ROW_MAX < o->cap; cursor++) {
		uint32_t n = w->engine_ops->purge(w, (uint16_t)cursor, name, BYTES(NULL, 0));
		if (n > 0)
			put_purged(o, w, (uint16_t)cursor, name, n);
	}
	return cursor < w->cfg->n_spaces ? cursor : QUERY_NO_NEXT;
}

/* All channels at home here, some messages at a time. */
static uint32_t purge_from(struct json_out *o, struct worker *w, const struct query *q)
{
	struct bytes from = BYTES(q->name, q->name_n), name;
	struct hub_position at;
	uint32_t cursor = q->cursor;
	uint64_t seen = 0;
	uint16_t space;
	while (seen < PURGE_SCAN && cursor - q->cursor < PURGE_SCAN && o->n + ROW_MAX < o->cap) {
		if (!w->engine_ops->next_home(w, &cursor, &space, &name, &at))
			return QUERY_NO_NEXT;
		seen += at.kept;
		uint32_t n = at.kept > 0 ? w->engine_ops->purge(w, space, name, from) : 0;
		if (n > 0)
			put_purged(o, w, space, name, n);
	}
	return cursor;
}

static void put_cert(struct json_out *o, const struct worker *w, uint32_t i)
{
	const struct tls_cert_info *c = tls_cert_info(w, i);
	json_put_open(o, '{');
	json_key_str(o, "name", bytes_str(w->cfg->certificates[i].name));
	json_key_u64(o, "worker", w->id);
	json_key_u64(o, "read_anew", w->tls_generation);
	json_key_str(o, "subject", bytes_str(c->subject));
	json_key_str(o, "issuer", bytes_str(c->issuer));
	json_key_bool(o, "self_signed", c->self_signed);
	json_key_str(o, "key", bytes_str(c->key));
	json_key_str(o, "serial", bytes_str(c->serial));
	json_key_str(o, "sha256", bytes_str(c->sha256));
	json_key_u64(o, "not_before", (uint64_t)MAX(c->not_before, 0));
	json_key_u64(o, "not_after", (uint64_t)MAX(c->not_after, 0));
	if (c->ocsp_this) {
		json_key_u64(o, "ocsp_this_update", (uint64_t)c->ocsp_this);
		json_key_u64(o, "ocsp_next_update", (uint64_t)c->ocsp_next);
	}
	json_key_u64(o, "handshakes", c->picked);
	json_put_key(o, BYTES_LIT("names"));
	json_put_open(o, '[');
	for (uint32_t k = 0; k < c->n_names && o->n + ROW_MAX / 2 < o->cap; k++)
		json_put_str(o, bytes_str(c->names[k]));
	json_put_close(o, ']');
	json_put_close(o, '}');
}

static uint32_t put_certs(struct json_out *o, const struct worker *w, const struct query *q)
{
	uint32_t i = q->cursor;
	for (uint32_t n = 0; i < w->cfg->n_certificates && n < q->limit && o->n + ROW_MAX < o->cap;
	     i++, n++)
		put_cert(o, w, i);
	return i < w->cfg->n_certificates ? i : QUERY_NO_NEXT;
}

static void put_counted(struct json_out *o, const struct tls_count *c)
{
	char text[TLS_JA4_TEXT];
	json_put_open(o, '{');
	json_key_str(o, "ja4", bytes_str(tls_ja4_print(&c->ja4, text)));
	json_key_u64(o, "handshakes", c->seen);
	json_key_u64(o, "at_most_over", c->over);
	json_put_close(o, '}');
}

static void put_denied(struct json_out *o, const struct tls_denial *d, uint64_t now_ns)
{
	char text[TLS_JA4_TEXT];
	if (d->until_ns <= now_ns)
		return;
	json_put_open(o, '{');
	json_key_str(o, "ja4", bytes_str(tls_ja4_print(&d->ja4, text)));
	json_key_bool(o, "denied", true);
	json_key_u64(o, "refused", d->refused);
	if (d->until_ns != UINT64_MAX)
		json_key_u64(o, "left_s", (d->until_ns - now_ns) / 1000000000u);
	json_put_close(o, '}');
}

static uint32_t put_fingerprints(struct json_out *o, const struct worker *w, const struct query *q)
{
	const struct tls_counted *c = tls_fingerprints(w);
	const struct tls_denied *d = tls_denials(w);
	uint32_t i = q->cursor, end = c->n + d->n;
	for (uint32_t n = 0; i < end && n < q->limit && o->n + ROW_MAX < o->cap; i++, n++) {
		if (i < c->n)
			put_counted(o, &c->entry[i]);
		else
			put_denied(o, &d->entry[i - c->n], w->now_ns);
	}
	return i < end ? i : QUERY_NO_NEXT;
}

/* ── whom an expression means ── */

static bool in_space(const struct worker *w, const struct query *q, uint32_t space)
{
	return q->name_n == 0 ||
	       bytes_eq(BYTES(q->name, q->name_n), bytes_str(w->cfg->spaces[space]));
}

static void put_space(struct json_out *o, const struct worker *w, uint32_t space)
{
	json_put_open(o, '{');
	json_key_str(o, "space", bytes_str(w->cfg->spaces[space]));
	json_key_u64(o, "worker", w->id);
}

static uint32_t put_counts(struct json_out *o, struct worker *w, const struct query *q,
			   struct bytes to)
{
	uint32_t cursor = q->cursor;
	for (; cursor < w->cfg->n_spaces && o->n + ROW_MAX < o->cap; cursor++) {
		if (!in_space(w, q, cursor))
			continue;
		put_space(o, w, cursor);
		json_key_u64(o, "connections", select_count(w, (uint16_t)cursor, to));
		json_put_close(o, '}');
	}
	return cursor < w->cfg->n_spaces ? cursor : QUERY_NO_NEXT;
}

/* In all spaces that are asked for: no conn is of two. NULL: no memory. */
static roaring_bitmap_t *meant(struct worker *w, const struct query *q, struct bytes to)
{
	roaring_bitmap_t *all = roaring_bitmap_create();
	for (uint32_t space = 0; all != NULL && space < w->cfg->n_spaces; space++) {
		if (!in_space(w, q, space))
			continue;
		roaring_bitmap_t *some = select_set(w, (uint16_t)space, to);
		roaring_bitmap_or_inplace(all, some);
		roaring_bitmap_free(some);
	}
	return all;
}

static uint32_t put_meant(struct json_out *o, struct worker *w, const struct query *q,
			  struct bytes to)
{
	roaring_bitmap_t *all = meant(w, q, to);
	roaring_uint32_iterator_t it;
	uint32_t n = 0, next = QUERY_NO_NEXT;
	if (all == NULL)
		return next;
	roaring_init_iterator(all, &it);
	roaring_move_uint32_iterator_equalorlarger(&it, q->cursor);
	for (; it.has_value && n < q->limit && o->n + ROW_MAX < o->cap; n++) {
		put_conn(o, w, conn_at(&w->slab, it.current_value));
		roaring_advance_uint32_iterator(&it);
	}
	if (it.has_value)
		next = it.current_value;
	roaring_bitmap_free(all);
	return next;
}

/* Each of them leaves its sets at once, so that the page is read before the first goes; and another may be gone
 * by the time its turn comes. */
static uint32_t kick(struct json_out *o, struct worker *w, const struct query *q, struct bytes to)
{
	uint32_t page[QUERY_KICK_MAX], n = 0, max = MIN(q->limit, QUERY_KICK_MAX), closed = 0;
	roaring_uint32_iterator_t it;
	roaring_bitmap_t *all = meant(w, q, to);
	if (all == NULL)
		return QUERY_NO_NEXT;
	roaring_init_iterator(all, &it);
	if (roaring_move_uint32_iterator_equalorlarger(&it, q->cursor))
		n = roaring_read_uint32_iterator(&it, page, max);
	uint32_t next = it.has_value ? it.current_value : QUERY_NO_NEXT;
	roaring_bitmap_free(all);
	for (uint32_t i = 0; i < n; i++) {
		struct conn *c = conn_at(&w->slab, page[i]);
		if (c->state != CONN_OPEN)
			continue;
		conn_close(w, c, CLOSE_ADMIN);
		batch_relieve(w);
		closed++;
	}
	json_put_open(o, '{');
	json_key_u64(o, "closed", closed);
	json_put_close(o, '}');
	return next;
}

/* What the server itself says. */
static enum hub_outcome publish_in(struct worker *w, uint32_t space, struct bytes to,
				   struct bytes data)
{
	uint8_t label[EXPRESSION_NAME_MAX];
	struct expression x;
	struct publication p = {.space = (uint16_t)space, .kind = PUB_MESSAGE, .data = data};
	if (!expression_unpack(to, &x))
		return HUB_UNAVAILABLE; /* query_serve() has looked */
	p.channel = expression_label(expression_lead(&x), label);
	if (!expression_is_channel(&x))
		p.to = to;
	return hub_publish(w, &p);
}

static void publish(struct json_out *o, struct worker *w, const struct query *q, struct bytes to,
		    struct bytes data)
{
	for (uint32_t space = 0; space < w->cfg->n_spaces; space++) {
		if (q->name_n == 0 || !in_space(w, q, space))
			continue;
		put_space(o, w, space);
		json_key_bool(o, "taken", publish_in(w, space, to, data) == HUB_OK);
		json_put_close(o, '}');
	}
}

/* Payload: the query, the expression, the data. */
static bool query_read(struct bytes payload, struct query *q, struct bytes *to, struct bytes *data)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH};
	struct json_value v;
	struct expression x;
	if (payload.n < sizeof(*q))
		return false;
	memcpy(q, payload.p, sizeof(*q));
	if (q->kind == 0 || q->kind >= QUERY_KINDS || q->limit > QUERY_LIMIT_MAX ||
	    q->name_n > QUERY_NAME_MAX || q->data_n > QUERY_DATA_MAX || q->_zero != 0 ||
	    payload.n != sizeof(*q) + q->to_n + q->data_n)
		return false;
	*to = BYTES(payload.p + sizeof(*q), q->to_n);
	*data = BYTES(to->p + to->n, q->data_n);
	if (!query_has_expression(q))
		return to->n == 0 && data->n == 0;
	if (!expression_unpack(*to, &x))
		return false;
	if (q->kind != QUERY_PUBLISH)
		return data->n == 0;
	if (json_check(*data, &limits, &v) != JSON_OK)
		return false;
	*data = v.raw;
	return true;
}

bool query_serve(struct worker *w, unsigned from, struct bytes payload)
{
	static uint8_t text[QUERY_ANSWER_MAX];
	struct query q;
	struct bytes to, data;
	if (from != w->n_workers || w->is_admin || !query_read(payload, &q, &to, &data))
		return false;
	struct json_out o = JSON_OUT(text, sizeof(text));
	struct query_answer a = {.ask = q.ask, .next = QUERY_NO_NEXT};
	if (q.kind != QUERY_WORKER)
		json_put_open(&o, '[');
	switch (q.kind) {
	case QUERY_WORKER: put_worker(&o, w); break;
	case QUERY_CONNS: a.next = put_conns(&o, w, &q); break;
	case QUERY_CHANNELS: a.next = put_channels(&o, w, &q); break;
	case QUERY_FINGERPRINTS: a.next = put_fingerprints(&o, w, &q); break;
	case QUERY_CERTS: a.next = put_certs(&o, w, &q); break;
	case QUERY_PURGE: a.next = purge(&o, w, &q); break;
	case QUERY_PURGE_FROM: a.next = purge_from(&o, w, &q); break;
	case QUERY_HOMES: a.next = put_homes(&o, w, &q); break;
	case QUERY_MEMBERS: a.next = put_member_rows(&o, w, &q); break;
	case QUERY_COUNT: a.next = put_counts(&o, w, &q, to); break;
	case QUERY_SELECT: a.next = put_meant(&o, w, &q, to); break;
	case QUERY_KICK: a.next = kick(&o, w, &q, to); break;
	case QUERY_PUBLISH: publish(&o, w, &q, to, data); break;
	default: a.next = put_found(&o, w, &q);
	}
	if (q.kind != QUERY_WORKER)
		json_put_close(&o, ']');
	assert(!o.overflow);
	struct bytes parts[2] = {BYTES(&a, sizeof(a)), json_out_bytes(&o)};
	mailbox_send(w->mailbox, from, MSG_ANSWER, 0, parts, 2, MAILBOX_MUST);
	return true;
}
