/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade.h - from an HTTP request to a WebSocket (RFC 6455 4.2), server side.
 *
 * ws_upgrade_check() judges a complete head; the answer is 101 by
 * ws_upgrade_answer(), or an error by ws_upgrade_refuse(). Origin, login and
 * limits are judged by others between the two. Slices point into the head. */
#ifndef SLUICE_WS_UPGRADE_H
#define SLUICE_WS_UPGRADE_H

#include "http/head.h"

#define WS_KEY_BYTES            24  /* base64 of 16 bytes */
#define WS_ACCEPT_BYTES         28  /* base64 of a SHA-1 */
#define WS_PROTOCOLS_MAX        16  /* offered in one request; more is refused */
#define WS_EXTENSIONS_MAX       16  /* likewise, and as many parameters in each */
#define WS_UPGRADE_ANSWER_BYTES 512 /* enough for any answer here */

enum ws_upgrade_outcome {
	WS_UPGRADE_NO, /* not meant as an upgrade to WebSocket: an ordinary request */
	WS_UPGRADE_YES,
	WS_UPGRADE_BAD, /* u->bad says why */
};

enum ws_upgrade_bad {
	WS_UPGRADE_BAD_NONE,
#define REASON(name, word, status, help) WS_UPGRADE_BAD_##name,
#include "ws/upgrade_reason.def"
#undef REASON
	WS_UPGRADE_BAD_COUNT
};

const char *ws_upgrade_bad_word(enum ws_upgrade_bad b);
const char *ws_upgrade_bad_help(enum ws_upgrade_bad b);
unsigned ws_upgrade_bad_status(enum ws_upgrade_bad b);

/* What the client offered of permessage-deflate (RFC 7692 7.1), its first offer
 * whose parameters are all known, well-formed and such as we can keep to. */
struct ws_deflate_offer {
	bool offered;
	bool server_no_takeover;
	bool client_no_takeover;
	uint8_t server_bits; /* WS_DEFLATE_BITS to 15; 0: not named */
	uint8_t client_bits; /* 8 to 15; 1: named without a value; 0: not named */
};

struct ws_upgrade {
	enum ws_upgrade_bad bad;
	struct bytes key;     /* WS_KEY_BYTES, checked */
	uint32_t protocols_n; /* subprotocols offered */
	struct bytes protocols[WS_PROTOCOLS_MAX];
	struct ws_deflate_offer deflate;
};

enum ws_upgrade_outcome ws_upgrade_check(struct ws_upgrade *u, const struct http_head *h);

/* The first of our names (NULL-terminated array, our order of preference) that
 * the client offered; compared exactly. NULL: none, then answer without one. */
const char *ws_upgrade_protocol(const struct ws_upgrade *u, const char *const *ours);

/* What to answer in Sec-WebSocket-Extensions if we want to compress; static. NULL: there was no offer
 * that we can take. */
const char *ws_upgrade_deflate(const struct ws_upgrade *u);

/* Sec-WebSocket-Accept for a key (RFC 6455 4.2.2): no NUL behind it. For clients too. */
void ws_accept(char out[WS_ACCEPT_BYTES], struct bytes key);

/* Writes the 101. `protocol` and `extensions` may be NULL; they are ours and
 * hold no control characters. Returns its length, 0 if it did not fit. */
size_t ws_upgrade_answer(void *buf, size_t cap, const struct ws_upgrade *u, const char *protocol,
			 const char *extensions, uint64_t wall_ms);

/* Writes the refusal of a WS_UPGRADE_BAD (with Sec-WebSocket-Version: 13 on 426 and
 * Allow on 405); always ends the connection. Returns its length, 0 if it did not fit. */
size_t ws_upgrade_refuse(void *buf, size_t cap, enum ws_upgrade_bad bad, uint64_t wall_ms);

#endif
