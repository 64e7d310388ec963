/* SPDX-License-Identifier: BSD-2-Clause */
/* error.h - error answers of the native protocol: a row of error.def and what it is about. */
#ifndef SLUICE_PROTO_ERROR_H
#define SLUICE_PROTO_ERROR_H

#include "base/bytes.h"
#include "hub/hub.h"
#include "session/session.h"

struct worker;
struct conn;

enum proto_error {
#define ERROR(name, code, message) PROTO_##name,
#include "proto/error.def"
#undef ERROR
	PROTO_ERRORS
};

struct proto_error_info {
	const char *code, *message;
};
const struct proto_error_info *proto_error_info(enum proto_error e);

/* All may be left empty. */
struct proto_about {
	struct bytes ask;   /* the request's id, raw JSON, at most HUB_ASK_MAX */
	struct bytes field; /* name of the field, at most PROTO_FIELD_MAX bytes of ASCII or UTF-8 */
	struct bytes channel; /* where a request named several, or none */
	uint32_t retry_ms;
};
#define PROTO_FIELD_MAX 64

/* {"type":"error","message":m,"code":…,"field"?,"channel"?,"retryAfter"?,"id"?,"timestamp"?} */
void proto_error(struct worker *w, struct conn *c, enum proto_error e,
		 const struct proto_about *about);
/* The error that stands for a hub's refusal; not for HUB_OK. */
enum proto_error proto_error_of(enum hub_outcome outcome);
/* Likewise for what the one check of rights refuses; not for SESSION_OK. */
enum proto_error proto_error_of_verdict(enum session_verdict v);

#endif
