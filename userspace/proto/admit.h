/* SPDX-License-Identifier: BSD-2-Clause */
/* admit.h - the door before every protocol: is this message within the endpoint's rate? */
#ifndef SLUICE_PROTO_ADMIT_H
#define SLUICE_PROTO_ADMIT_H

#include "base/json.h"

struct worker;
struct conn;

/* Takes a token. False: the message was refused, its sender was told (with the `id` of
 * `text`, if it is a JSON object that has one; empty for none) and may be closed by now. */
bool proto_admit(struct worker *w, struct conn *c, struct bytes text);

/* A request's id as it is echoed: a string or a number as it was written, at most
 * HUB_ASK_MAX bytes. *ask is empty if it is absent or null. False: anything else. */
bool proto_ask(const struct json_value *id, struct bytes *ask);

#endif
