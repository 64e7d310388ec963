/* SPDX-License-Identifier: BSD-2-Clause */
/* relay.c - `protocol = relay`: what one client sends, all others on the endpoint hear, byte for
 * byte, text as text and binary as binary. No words, no answers.
 *
 * All of them are in one channel of the endpoint's space, with an encoding of its own that
 * shows the bare data. The channel is an ordinary one: where endpoints share a space,
 * native clients can subscribe to it (text that need not be JSON reaches them as a
 * string) and publish to it. Only when a message cannot be passed on does its sender get
 * something that nobody sent: the native protocol's error. */
#include "base/json.h"
#include "conn/io.h"
#include "proto/admit.h"
#include "proto/error.h"
#include "proto/proto.h"
#include "session/session.h"
#include "worker/worker.h"

static const struct bytes relay_channel = {(const uint8_t *)"relay", 5};

static uint16_t space_of(const struct worker *w, const struct conn *c)
{
	return w->cfg->endpoints[c->endpoint].space_id;
}

static void relay_open(struct worker *w, struct conn *c)
{
	struct hub_subscribe_args a = {.space = space_of(w, c),
				       .encoding = proto_encoding(c, ENC_RAW),
				       .flags = HUB_SUB_QUIET,
				       .channel = relay_channel};

	session_open(w, c);
	if (session_may(w, c, RIGHT_SUBSCRIBE, a.space, a.channel) != SESSION_OK)
		return;
	if (hub_subscribe(w, c, &a) != HUB_OK) /* it would hear nobody: let it try again */
		conn_close(w, c, CLOSE_OVERLOAD);
}

static void relay_message(struct worker *w, struct conn *c, uint8_t *data, size_t n, bool binary)
{
	struct publication p = {
		.space = space_of(w, c),
		.kind = binary ? PUB_BINARY : PUB_TEXT,
		.flags = PUB_F_NO_ECHO | PUB_F_EPHEMERAL,
		.channel = relay_channel,
		.data = BYTES(data, n),
		.sender = {.worker = (uint16_t)w->id,
			   .index = conn_index(&w->slab, c),
			   .gen = c->gen},
	};
	struct session_name who;
	enum session_verdict verdict;
	enum hub_outcome outcome;

	if (!proto_admit(w, c, BYTES(NULL, 0)))
		return;
	verdict = session_may(w, c, RIGHT_PUBLISH, p.space, p.channel);
	if (verdict != SESSION_OK) {
		proto_error(w, c, proto_error_of_verdict(verdict), NULL);
		return;
	}
	session_name(w, c, &who);
	p.from = who.id;
	p.flags |= who.is_user ? PUB_F_FROM_USER : 0;
	outcome = hub_publish(w, &p);
	if (outcome != HUB_OK)
		proto_error(w, c, proto_error_of(outcome), NULL);
}

const struct proto_ops proto_relay = {
	.name = "relay",
	.open = relay_open,
	.message = relay_message,
	.close = proto_close_nothing,
};
