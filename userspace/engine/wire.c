/* SPDX-License-Identifier: BSD-2-Clause */
/* wire.c - see wire.h. */
#include "engine/wire.h"

#include "worker/msg.h"
#include "ws/utf8.h"

/* One subscriber count is at most what one slab can hold. */
#define COUNT_MAX CONN_MAX

static bool all_zero(const uint8_t *p, size_t n)
{
	uint8_t any = 0;
	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

static bool channel_good(struct bytes name)
{
	return name.n >= 1 && name.n <= CHANNEL_NAME_MAX && utf8_valid(name);
}

size_t wire_ask_pack(const struct request *r, struct wire_ask *head,
		     struct bytes parts[WIRE_ASK_PARTS])
{
	const struct engine_who *who = &r->who;
	const struct hub_subscribe_args *a = &r->args;
	assert(who->from.n <= PUBLICATION_FROM_MAX && a->channel.n <= CHANNEL_NAME_MAX);
	*head = (struct wire_ask){
		.epoch = a->epoch,
		.offset = a->offset,
		.history = a->history,
		.max_bytes = a->max_bytes,
		.seq = r->seq,
		.index = who->conn.index,
		.gen = who->conn.gen,
		.space = a->space,
		.channel_n = (uint8_t)a->channel.n,
		.from_n = (uint8_t)who->from.n,
		.flags = (uint8_t)((who->from_user ? WIRE_FROM_USER : 0) |
				   (who->events ? WIRE_EVENTS : 0) | (who->again ? WIRE_AGAIN : 0) |
				   (a->flags & HUB_SUB_RECOVER ? WIRE_RECOVER : 0)),
	};
	parts[0] = BYTES(head, sizeof(*head));
	parts[1] = a->channel;
	parts[2] = who->from;
	return WIRE_ASK_PARTS;
}

bool wire_ask_unpack(struct bytes in, unsigned from, struct wire_request *r)
{
	const struct wire_ask *m = (const void *)in.p;
	const uint8_t known = WIRE_FROM_USER | WIRE_EVENTS | WIRE_AGAIN | WIRE_RECOVER;
	if (in.n < sizeof(*m) || in.n != sizeof(*m) + m->channel_n + m->from_n ||
	    m->flags & ~known || !all_zero(m->_zero, sizeof(m->_zero)) || m->gen == 0 ||
	    m->index >= CONN_MAX || m->from_n > PUBLICATION_FROM_MAX)
		return false;
	const uint8_t *text = in.p + sizeof(*m);
	*r = (struct wire_request){
		.seq = m->seq,
		.who = {.conn = {.worker = (uint16_t)from, .index = m->index, .gen = m->gen},
			.from = BYTES(text + m->channel_n, m->from_n),
			.from_user = m->flags & WIRE_FROM_USER,
			.events = m->flags & WIRE_EVENTS,
			.again = m->flags & WIRE_AGAIN,
			.answer = m->seq != 0},
		.a = {.space = m->space,
		      .flags = m->flags & WIRE_RECOVER ? HUB_SUB_RECOVER : 0,
		      .channel = BYTES(text, m->channel_n),
		      .epoch = m->epoch,
		      .offset = m->offset,
		      .history = m->history,
		      .max_bytes = m->max_bytes},
	};
	return channel_good(r->a.channel) && (!r->who.events || r->who.from.n > 0);
}

static bool subscribed_good(const struct wire_subscribed *m)
{
	return (m->outcome == HUB_OK || m->outcome == HUB_OVERLOADED) && m->recovered <= 1 &&
	       all_zero(m->_zero, sizeof(m->_zero)) && m->seq != 0;
}

bool wire_subscribed_unpack(struct bytes in, struct wire_subscribed *m)
{
	if (in.n != sizeof(*m))
		return false;
	memcpy(m, in.p, sizeof(*m));
	return subscribed_good(m);
}

bool wire_replay_unpack(struct bytes in, struct wire_subscribed *m, struct wire_old *it)
{
	const struct wire_replay *r = (const void *)in.p;
	if (in.n < sizeof(*r) || r->_zero != 0)
		return false;
	*m = r->answer;
	*it = (struct wire_old){
		.rest = BYTES(in.p + sizeof(*r), in.n - sizeof(*r)),
		.n = r->n,
		.last = m->offset,
	};
	return subscribed_good(m) && (r->n == 0 || (m->outcome == HUB_OK && m->epoch != 0));
}

bool wire_old_next(struct wire_old *it, struct publication *p)
{
	uint32_t head[2];
	if (it->bad || it->n == 0) {
		it->bad = it->bad || it->rest.n > 0;
		return false;
	}
	it->bad = true;
	if (it->rest.n < sizeof(head))
		return false;
	memcpy(head, it->rest.p, sizeof(head));
	struct bytes in = BYTES(it->rest.p + sizeof(head), it->rest.n - sizeof(head));
	size_t used = ((size_t)head[0] + 7) & ~(size_t)7;
	if (head[1] != 0 || used > in.n || !all_zero(in.p + head[0], used - head[0]) ||
	    !publication_unpack(BYTES(in.p, head[0]), p) || !publication_is_kept(p) ||
	    p->space != it->space || !bytes_eq(p->channel, it->channel) || p->offset <= it->after ||
	    p->offset > it->last)
		return false;
	it->after = p->offset;
	it->rest = BYTES(in.p + used, in.n - used);
	it->n--;
	it->bad = false;
	return true;
}

bool wire_unsubscribed_unpack(struct bytes in, struct wire_unsubscribed *m)
{
	if (in.n != sizeof(*m))
		return false;
	memcpy(m, in.p, sizeof(*m));
	return m->seq != 0;
}

size_t wire_skipped_unpack(struct bytes in, const struct wire_skipped **m)
{
	size_t n = in.n / sizeof(**m);
	*m = (const void *)in.p;
	if (in.n % sizeof(**m) != 0 || n > TALLY_KEYS)
		return 0;
	for (size_t i = 0; i < n; i++)
		if ((*m)[i].n == 0)
			return 0;
	return n;
}

bool wire_published_unpack(struct bytes in, struct wire_published *m, struct bytes *channel)
{
	if (in.n < sizeof(*m))
		return false;
	memcpy(m, in.p, sizeof(*m));
	if (in.n != sizeof(*m) + m->channel_n)
		return false;
	*channel = BYTES(in.p + sizeof(*m), m->channel_n);
	if (m->outcome != HUB_OK && m->outcome != HUB_OVERLOADED && m->outcome != HUB_UNAVAILABLE)
		return false;
	if (m->_zero != 0 || (m->skipped > 0 && m->outcome != HUB_OK))
		return false;
	if (m->seq != 0)
		return channel->n == 0 && m->space == 0 && m->index == 0 && m->gen == 0;
	return m->outcome != HUB_OK && channel_good(*channel) && m->gen != 0 && m->index < CONN_MAX;
}

bool wire_publish_unpack(struct bytes in, unsigned from, uint32_t *seq, struct publication *p)
{
	const struct wire_publish *m = (const void *)in.p;
	if (in.n < sizeof(*m) || m->_zero != 0 ||
	    !publication_unpack(BYTES(in.p + sizeof(*m), in.n - sizeof(*m)), p))
		return false;
	*seq = m->seq;
	return p->kind != PUB_PRESENCE && /* a home alone says that */
	       (p->sender.gen == 0 || p->sender.worker == from) && p->sender.index < CONN_MAX &&
	       (m->seq != 0) == ((p->flags & PUB_F_ACK) != 0);
}

/* ── announcements ── */

#define ITEM_HEAD 7 /* u32 count, u16 space, u8 length: not aligned */

void wire_announce_begin(struct wire_announcing *a)
{
	*(struct wire_announce *)a->bytes = (struct wire_announce){0};
	a->n = sizeof(struct wire_announce);
}

bool wire_announce_add(struct wire_announcing *a, uint32_t count, uint16_t space,
		       struct bytes channel)
{
	if (sizeof(a->bytes) - a->n < ITEM_HEAD + channel.n)
		return false;
	uint8_t *p = a->bytes + a->n;
	memcpy(p, &count, 4);
	memcpy(p + 4, &space, 2);
	p[6] = (uint8_t)channel.n;
	memcpy(p + ITEM_HEAD, channel.p, channel.n);
	a->n += ITEM_HEAD + channel.n;
	((struct wire_announce *)a->bytes)->n++;
	return true;
}

struct bytes wire_announce_end(struct wire_announcing *a, bool last)
{
	((struct wire_announce *)a->bytes)->last = last;
	return BYTES(a->bytes, a->n);
}

void wire_announced_begin(struct wire_announced *it, struct bytes in)
{
	const struct wire_announce *m = (const void *)in.p;
	*it = (struct wire_announced){.bad = true};
	if (in.n < sizeof(*m) || m->last > 1 || !all_zero(m->_zero, sizeof(m->_zero)))
		return;
	it->rest = BYTES(in.p + sizeof(*m), in.n - sizeof(*m));
	it->n = m->n;
	it->last = m->last;
	it->bad = false;
}

bool wire_announced_next(struct wire_announced *it, uint32_t *count, uint16_t *space,
			 struct bytes *channel)
{
	if (it->bad || it->n == 0) {
		it->bad = it->bad || it->rest.n > 0;
		return false;
	}
	it->bad = true;
	if (it->rest.n < ITEM_HEAD || it->rest.n - ITEM_HEAD < it->rest.p[6])
		return false;
	memcpy(count, it->rest.p, 4);
	memcpy(space, it->rest.p + 4, 2);
	*channel = BYTES(it->rest.p + ITEM_HEAD, it->rest.p[6]);
	if (*count == 0 || *count > COUNT_MAX || !channel_good(*channel))
		return false;
	size_t used = ITEM_HEAD + channel->n;
	it->rest = BYTES(it->rest.p + used, it->rest.n - used);
	it->n--;
	it->bad = false;
	return true;
}
