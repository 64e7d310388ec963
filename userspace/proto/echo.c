/* SPDX-License-Identifier: BSD-2-Clause */
/* echo.c - every message comes back as it was. For trying out clients, proxies and frames. */
#include "conn/conn.h"
#include "proto/admit.h"
#include "proto/proto.h"
#include "session/session.h"
#include "ws/serve.h"

static void echo_open(struct worker *w, struct conn *c)
{
	session_open(w, c);
}

static void echo_message(struct worker *w, struct conn *c, uint8_t *p, size_t n, bool binary)
{
	if (!proto_admit(w, c, BYTES(NULL, 0)))
		return;
	if (binary)
		ws_send_binary(w, c, BYTES(p, n));
	else
		ws_send_text(w, c, BYTES(p, n));
}

const struct proto_ops proto_echo = {
	.name = "echo",
	.open = echo_open,
	.message = echo_message,
	.close = proto_close_nothing,
};
