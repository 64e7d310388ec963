/* SPDX-License-Identifier: BSD-2-Clause */
/* publication.c - a publication as the bytes that cross workers.
 *
 *   ┌ head, 48 bytes ┬ channel ┬ relay ┬ from ┬ ask ┬ id ┬ to ┬ data ┐
 *
 * Packing copies nothing: the mailbox takes parts. Unpacking believes nothing: what is
 * spliced into the text of other people's messages (data, ask) is proved to be JSON
 * again here, so that a worker that was taken over can say what it likes but cannot make its
 * peers send broken frames. That is one pass over the data per worker and publication,
 * nothing beside the fan-out that follows. */
#include "fanout/publication.h"

#include "base/json.h"
#include "fanout/presence.h"
#include "ws/utf8.h"

void publication_pack(const struct publication *p, struct publication_head *head,
		      struct bytes parts[PUBLICATION_PARTS])
{
	assert(p->channel.n >= 1 && p->channel.n <= CHANNEL_NAME_MAX);
	assert(p->relay.n <= PUBLICATION_TYPE_MAX && p->from.n <= PUBLICATION_FROM_MAX);
	assert(p->id.n <= PUBLICATION_ID_MAX);
	assert(p->to.n <= EXPRESSION_MAX && p->to.n % 8 == 0);
	assert(p->ask.n <= PUBLICATION_ASK_MAX && p->data.n <= PUBLICATION_DATA_MAX);
	assert(p->kind < PUB_KINDS && (p->flags & ~PUB_FLAGS) == 0);
	*head = (struct publication_head){
		.timestamp_ms = p->timestamp_ms,
		.offset = p->offset,
		.epoch = p->epoch,
		.sender_index = p->sender.index,
		.sender_gen = p->sender.gen,
		.sender_worker = p->sender.worker,
		.data_n = (uint32_t)p->data.n,
		.space = p->space,
		.kind = p->kind,
		.flags = p->flags,
		.channel_n = (uint8_t)p->channel.n,
		.relay_n = (uint8_t)p->relay.n,
		.from_n = (uint8_t)p->from.n,
		.ask_n = (uint8_t)p->ask.n,
		.id_n = (uint8_t)p->id.n,
		.to_8 = (uint8_t)(p->to.n / 8),
	};
	parts[0] = BYTES(head, sizeof(*head));
	parts[1] = p->channel;
	parts[2] = p->relay;
	parts[3] = p->from;
	parts[4] = p->ask;
	parts[5] = p->id;
	parts[6] = p->to;
	parts[7] = p->data;
}

size_t publication_packed_bytes(const struct publication *p)
{
	return sizeof(struct publication_head) + p->channel.n + p->relay.n + p->from.n + p->ask.n +
	       p->id.n + p->to.n + p->data.n;
}

static bool head_good(const struct publication_head *h)
{
	return h->kind < PUB_KINDS && (h->flags & ~PUB_FLAGS) == 0 && h->channel_n >= 1 &&
	       h->channel_n <= CHANNEL_NAME_MAX && h->relay_n <= PUBLICATION_TYPE_MAX &&
	       (h->relay_n > 0) == (h->kind == PUB_RELAY) && h->from_n <= PUBLICATION_FROM_MAX &&
	       h->ask_n <= PUBLICATION_ASK_MAX && h->data_n <= PUBLICATION_DATA_MAX &&
	       h->id_n <= PUBLICATION_ID_MAX && h->to_8 <= EXPRESSION_MAX / 8;
}

static bool is_json(struct bytes *text, enum json_type *type)
{
	static const struct json_limits limits = {.max_depth = JSON_MAX_DEPTH};
	struct json_value v;
	if (json_check(*text, &limits, &v) != JSON_OK)
		return false;
	*text = v.raw; /* without the space around it */
	*type = v.type;
	return true;
}

static bool is_presence(struct bytes data)
{
	struct presence_head head;
	struct bytes names;
	return presence_read(data, &head, &names);
}

static bool data_good(struct publication *p)
{
	enum json_type type;
	switch ((enum pub_kind)p->kind) {
	case PUB_MESSAGE: return is_json(&p->data, &type);
	case PUB_RELAY: return is_json(&p->data, &type) && type == JSON_IS_OBJECT;
	case PUB_BINARY: return true;
	case PUB_TEXT: return utf8_valid(p->data);
	case PUB_JOIN:
	case PUB_LEAVE: return p->data.n == 0 && p->from.n > 0 && p->offset == 0;
	case PUB_PRESENCE: return is_presence(p->data) && p->from.n == 0 && p->offset == 0;
	case PUB_KINDS: break;
	}
	return false;
}

static bool ask_good(struct publication *p)
{
	enum json_type type;
	return p->ask.n == 0 ||
	       (is_json(&p->ask, &type) && (type == JSON_IS_STRING || type == JSON_IS_NUMBER));
}

/* It is labelled by its first name, and nobody comes or goes by it. */
static bool to_good(const struct publication *p)
{
	struct expression x;
	uint8_t label[EXPRESSION_NAME_MAX];
	return p->to.n == 0 ||
	       (expression_unpack(p->to, &x) && !publication_is_event(p) && p->offset == 0 &&
		bytes_eq(expression_label(expression_lead(&x), label), p->channel));
}

void publication_read(struct bytes in, struct publication *p)
{
	const struct publication_head *h = (const void *)in.p;
	const uint8_t *at = in.p + sizeof(*h);
	*p = (struct publication){
		.space = h->space,
		.kind = h->kind,
		.flags = h->flags,
		.sender = {.worker = h->sender_worker,
			   .index = h->sender_index,
			   .gen = h->sender_gen},
		.timestamp_ms = h->timestamp_ms,
		.offset = h->offset,
		.epoch = h->epoch,
	};
	p->channel = BYTES(at, h->channel_n);
	p->relay = BYTES(at += h->channel_n, h->relay_n);
	p->from = BYTES(at += h->relay_n, h->from_n);
	p->ask = BYTES(at += h->from_n, h->ask_n);
	p->id = BYTES(at += h->ask_n, h->id_n);
	p->to = BYTES(at += h->id_n, h->to_8 * 8u);
	p->data = BYTES(at += p->to.n, h->data_n);
	assert(at + h->data_n == in.p + in.n);
}

bool publication_unpack(struct bytes in, struct publication *p)
{
	const struct publication_head *h = (const void *)in.p;
	if (in.n < sizeof(*h) || !head_good(h))
		return false;
	size_t rest = in.n - sizeof(*h);
	if (rest != (size_t)h->channel_n + h->relay_n + h->from_n + h->ask_n + h->id_n +
			    h->to_8 * 8u + h->data_n)
		return false;
	publication_read(in, p);
	return utf8_valid(p->channel) && to_good(p) && ask_good(p) && data_good(p);
}
