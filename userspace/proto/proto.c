/* SPDX-License-Identifier: BSD-2-Clause */
/* proto.c - which protocol an endpoint speaks. A new one is a row here. */
#include "proto/proto.h"

#include "worker/worker.h"

static const struct proto_ops *const table[] = {
	[CONFIG_PROTOCOL_NATIVE] = &proto_native,
	[CONFIG_PROTOCOL_ECHO] = &proto_echo,
	[CONFIG_PROTOCOL_RELAY] = &proto_relay,
};

const struct proto_ops *proto_of(const struct worker *w, const struct conn *c)
{
	enum config_protocol p = w->cfg->endpoints[c->endpoint].protocol;

	assert(c->endpoint < w->cfg->n_endpoints && p < ARRAY_SIZE(table));
	return table[p];
}

uint8_t proto_encoding(const struct conn *c, enum encoding e)
{
	return c->flags & CONN_F_DEFLATE ? (uint8_t)(e | ENC_DEFLATED) : (uint8_t)e;
}

uint8_t proto_own_encoding(const struct worker *w, const struct conn *c)
{
	const struct config_endpoint *ep = &w->cfg->endpoints[c->endpoint];
	if (ep->protocol != CONFIG_PROTOCOL_NATIVE) /* who has no words gets the bare data */
		return proto_encoding(c, ENC_RAW);
	return proto_encoding(c, ep->words & CONFIG_WORDS_CHANNELS ? ENC_CHANNEL :
				 ep->words & CONFIG_WORDS_ROOMS    ? ENC_ROOM :
								     ENC_CHAT);
}

void proto_close_nothing(struct worker *w, struct conn *c)
{
}
