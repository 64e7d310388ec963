/* SPDX-License-Identifier: BSD-2-Clause */
/* proto.h - what frames mean: one row per `protocol` of an endpoint.
 *
 * Below stands ws (whole messages climb to here), above stands the hub. Messages are lent for
 * the call, whole, unmasked, in memory that the callee may change; text was checked to
 * be UTF-8. Answers go out by ws_send_text() and ws_send_binary(). A callee may close the conn
 * with conn_close(): the caller looks at c->state afterwards. */
#ifndef SLUICE_PROTO_PROTO_H
#define SLUICE_PROTO_PROTO_H

#include "base/bytes.h"
#include "hub/hub.h"

struct census_answer;
struct worker;
struct conn;

struct proto_ops {
	const char *name;
	void (*open)(struct worker *w, struct conn *c);
	void (*message)(struct worker *w, struct conn *c, uint8_t *p, size_t n, bool binary);
	/* The hub leaves everything by itself afterwards. */
	void (*close)(struct worker *w, struct conn *c);
};
extern const struct proto_ops proto_native, proto_echo, proto_relay;
/* For those who hold nothing of their own. */
void proto_close_nothing(struct worker *w, struct conn *c);
const struct proto_ops *proto_of(const struct worker *w, const struct conn *c);

/* What the hub is to know of a conn's subscription: the encoding, or its deflated twin. */
uint8_t proto_encoding(const struct conn *c, enum encoding e);

/* What the conn hears that is meant for itself, by its user id or roles: the basic words of its endpoint. */
uint8_t proto_own_encoding(const struct worker *w, const struct conn *c);

/* Answers that come back from the hub in order (hub/hub.c calls them for a living conn). */
void proto_subscribed(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		      const struct hub_position *at);
void proto_unsubscribed(struct worker *w, struct conn *c, struct bytes channel, uint8_t encoding,
			struct bytes ask);
void proto_published(struct worker *w, struct conn *c, const struct publication *p,
		     enum hub_outcome outcome);
/* The answer to hub_recall(). */
void proto_recalled(struct worker *w, struct conn *c, const struct hub_subscribe_args *a,
		    const struct hub_position *at, enum hub_outcome outcome, struct hub_old *old);
/* The answer to census_ask(). */
void proto_counted(struct worker *w, struct conn *c, const struct census_answer *a);
/* Its home had no room for it: the client must subscribe again; one that was to be there without
 * asking (HUB_SUB_QUIET) is sent away to come back. */
void proto_subscription_lost(struct worker *w, struct conn *c, const struct hub_subscribe_args *a);

#endif
