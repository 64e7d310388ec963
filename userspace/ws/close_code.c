/* SPDX-License-Identifier: BSD-2-Clause */
/* close_code.c - the names of close_code.h. */
#include "ws/close_code.h"

const char *ws_close_name(uint16_t code)
{
	switch (code) {
	case WS_CLOSE_NORMAL: return "normal";
	case WS_CLOSE_GOING_AWAY: return "going-away";
	case WS_CLOSE_PROTOCOL: return "protocol-error";
	case WS_CLOSE_UNSUPPORTED: return "unsupported-data";
	case WS_CLOSE_NO_CODE: return "no-code";
	case WS_CLOSE_ABNORMAL: return "abnormal";
	case WS_CLOSE_BAD_DATA: return "bad-data";
	case WS_CLOSE_POLICY: return "policy";
	case WS_CLOSE_TOO_BIG: return "too-big";
	case WS_CLOSE_EXTENSION: return "extension-missing";
	case WS_CLOSE_INTERNAL: return "internal-error";
	case WS_CLOSE_RESTART: return "service-restart";
	case WS_CLOSE_TRY_LATER: return "try-later";
	case WS_CLOSE_BAD_GATEWAY: return "bad-gateway";
	case WS_CLOSE_TLS: return "tls-failed";
	case WS_CLOSE_NO_TOKEN: return "no-token";
	case WS_CLOSE_BAD_TOKEN: return "bad-token";
	case WS_CLOSE_USER_CONNECTIONS: return "user-connections";
	case WS_CLOSE_SLOW: return "slow-consumer";
	case WS_CLOSE_DRAINED: return "drained";
	}
	if (code < 3000 || code > 4999)
		return "invalid";
	return code < 4000 ? "registered" : "private";
}
