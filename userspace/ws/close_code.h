/* SPDX-License-Identifier: BSD-2-Clause */
/* close_code.h - the close codes of RFC 6455 7.4, the later ones of IANA's
 * registry, and our own (tools/doc/protocol.md). */
#ifndef SLUICE_WS_CLOSE_CODE_H
#define SLUICE_WS_CLOSE_CODE_H

#include <stdbool.h>
#include <stdint.h>

enum ws_close {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NO_CODE = 1005,  /* never on the wire: the close frame was empty */
	WS_CLOSE_ABNORMAL = 1006, /* never on the wire: no close frame came */
	WS_CLOSE_BAD_DATA = 1007,
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_EXTENSION = 1010,
	WS_CLOSE_INTERNAL = 1011,
	WS_CLOSE_RESTART = 1012,
	WS_CLOSE_TRY_LATER = 1013,
	WS_CLOSE_BAD_GATEWAY = 1014,
	WS_CLOSE_TLS = 1015, /* never on the wire */
	WS_CLOSE_NO_TOKEN = 4001,
	WS_CLOSE_BAD_TOKEN = 4002,
	WS_CLOSE_USER_CONNECTIONS = 4003,
	WS_CLOSE_SLOW = 4008,
	WS_CLOSE_DRAINED = 4009,
};

/* May a peer put this code into a close frame? */
static inline bool ws_close_valid(uint16_t code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/* "normal", "going-away" ...; "registered" for other 3000-3999, "private" for
 * other 4000-4999, "invalid" for the rest. Static; for logs and the CLI. */
const char *ws_close_name(uint16_t code);

#endif
