/* SPDX-License-Identifier: BSD-2-Clause */
/* upgrade.c - see upgrade.h. The head parser has done the hard part: fields that
 * must be single are single, lists are to be walked, lines hold no controls. */
#include <assert.h>
#include <openssl/sha.h>

#include "http/answer.h"
#include "http/chars.h"
#include "ws/deflate.h"
#include "ws/upgrade.h"

static const struct {
	const char *word, *help;
	unsigned status;
} reasons[] = {
	[WS_UPGRADE_BAD_NONE] = {"none", "nothing was wrong", 101},
#define REASON(name, word, status, help) [WS_UPGRADE_BAD_##name] = {word, help, status},
#include "ws/upgrade_reason.def"
#undef REASON
};

const char *ws_upgrade_bad_word(enum ws_upgrade_bad b)
{
	assert(b < WS_UPGRADE_BAD_COUNT);
	return reasons[b].word;
}

const char *ws_upgrade_bad_help(enum ws_upgrade_bad b)
{
	assert(b < WS_UPGRADE_BAD_COUNT);
	return reasons[b].help;
}

unsigned ws_upgrade_bad_status(enum ws_upgrade_bad b)
{
	assert(b < WS_UPGRADE_BAD_COUNT);
	return reasons[b].status;
}

/* ---- the key ------------------------------------------------------------------------------- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Sixteen bytes are 21 characters, one that carries two bits, and "==". Those two
 * bits leave four that must be 0, so the 22nd is one of four letters; else two
 * keys would mean the same bytes. */
static bool key_valid(struct bytes key)
{
	if (key.n != WS_KEY_BYTES || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 21; i++)
		if (!char_is(key.p[i], CHAR_ALNUM) && key.p[i] != '+' && key.p[i] != '/')
			return false;
	return key.p[21] == 'A' || key.p[21] == 'Q' || key.p[21] == 'g' || key.p[21] == 'w';
}

/* 20 bytes: six groups of three and one of two. */
static void base64_of_sha1(char out[WS_ACCEPT_BYTES], const uint8_t sum[SHA_DIGEST_LENGTH])
{
	for (size_t i = 0, o = 0; i < SHA_DIGEST_LENGTH; i += 3, o += 4) {
		uint32_t third = i + 2 < SHA_DIGEST_LENGTH ? sum[i + 2] : 0;
		uint32_t v = (uint32_t)sum[i] << 16 | (uint32_t)sum[i + 1] << 8 | third;
		out[o] = base64[v >> 18];
		out[o + 1] = base64[v >> 12 & 63];
		out[o + 2] = base64[v >> 6 & 63];
		out[o + 3] = base64[v & 63];
	}
	out[WS_ACCEPT_BYTES - 1] = '=';
}

void ws_accept(char out[WS_ACCEPT_BYTES], struct bytes key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
	uint8_t text[WS_KEY_BYTES + sizeof(guid) - 1], sum[SHA_DIGEST_LENGTH];

	assert(key.n == WS_KEY_BYTES);
	memcpy(text, key.p, WS_KEY_BYTES);
	memcpy(text + WS_KEY_BYTES, guid, sizeof(guid) - 1);
	SHA1(text, sizeof(text), sum);
	base64_of_sha1(out, sum);
}

/* ---- subprotocols -------------------------------------------------------------------------- */

static bool offered_already(const struct ws_upgrade *u, struct bytes name)
{
	for (uint32_t i = 0; i < u->protocols_n; i++)
		if (bytes_eq(u->protocols[i], name))
			return true;
	return false;
}

/* RFC 6455 4.1: tokens, all different. */
static bool read_protocols(struct ws_upgrade *u, const struct http_head *h)
{
	struct bytes list, name;
	for (uint32_t i = 0; http_head_next(h, HTTP_WS_PROTOCOL, &i, &list);) {
		while (http_list_next(&list, &name)) {
			if (u->protocols_n == WS_PROTOCOLS_MAX || !http_is_token(name) ||
			    offered_already(u, name))
				return false;
			u->protocols[u->protocols_n++] = name;
		}
	}
	return true;
}

const char *ws_upgrade_protocol(const struct ws_upgrade *u, const char *const *ours)
{
	for (; *ours; ours++)
		if (offered_already(u, bytes_str(*ours)))
			return *ours;
	return NULL;
}

/* ---- extensions ---------------------------------------------------------------------------- */

/* Takes token [ "=" ( token | <"> token <"> ) ] off an extension, up to its ';'. What is
 * left has p NULL if there was none; behind a last ';' it is empty, which is no token. */
static bool take_param(struct bytes *rest, struct bytes *name, struct bytes *value)
{
	const uint8_t *semi = rest->n ? memchr(rest->p, ';', rest->n) : NULL;
	struct bytes param = semi ? BYTES(rest->p, semi - rest->p) : *rest;
	*rest = semi ? BYTES(semi + 1, rest->n - param.n - 1) : BYTES(NULL, 0);

	param = bytes_trim(param);
	const uint8_t *equals = param.n ? memchr(param.p, '=', param.n) : NULL;
	*value = BYTES(NULL, 0);
	*name = param;
	if (equals) {
		*name = bytes_trim(BYTES(param.p, equals - param.p));
		*value = bytes_trim(BYTES(equals + 1, param.p + param.n - equals - 1));
		if (value->n >= 2 && value->p[0] == '"' && value->p[value->n - 1] == '"')
			*value = BYTES(value->p + 1, value->n - 2);
		if (!http_is_token(*value))
			return false;
	}
	return http_is_token(*name);
}

/* 8 to 15, no leading zero; 0 if it is anything else. */
static uint8_t window_bits(struct bytes v)
{
	if (v.n == 1 && (v.p[0] == '8' || v.p[0] == '9'))
		return v.p[0] - '0';
	if (v.n == 2 && v.p[0] == '1' && v.p[1] >= '0' && v.p[1] <= '5')
		return (uint8_t)(10 + v.p[1] - '0');
	return 0;
}

static bool set_once(bool *flag, struct bytes value)
{
	bool fine = !*flag && !value.p;
	*flag = true;
	return fine;
}

/* One parameter of permessage-deflate (RFC 7692 7.1). False: decline the offer. */
static bool deflate_param(struct ws_deflate_offer *d, struct bytes name, struct bytes value)
{
	uint8_t bits = window_bits(value);
	if (bytes_eq(name, BYTES_LIT("server_no_context_takeover")))
		return set_once(&d->server_no_takeover, value);
	if (bytes_eq(name, BYTES_LIT("client_no_context_takeover")))
		return set_once(&d->client_no_takeover, value);
	/* All hear the same frame, so that its window is the same for all: who wants a smaller one
	 * is not served by this offer. */
	if (bytes_eq(name, BYTES_LIT("server_max_window_bits"))) {
		bool fine = !d->server_bits && bits >= WS_DEFLATE_BITS;
		d->server_bits = bits;
		return fine;
	}
	if (bytes_eq(name, BYTES_LIT("client_max_window_bits"))) {
		bool fine = !d->client_bits && (bits || !value.p);
		d->client_bits = value.p ? bits : 1;
		return fine;
	}
	return false;
}

/* False if it is no extension at all; an offer we cannot take is just not noted. */
static bool read_extension(struct ws_upgrade *u, struct bytes rest)
{
	struct ws_deflate_offer d = {.offered = true};
	struct bytes name, key, value;
	bool usable;

	if (!take_param(&rest, &name, &value) || value.p)
		return false;
	usable = !u->deflate.offered && bytes_eq(name, BYTES_LIT("permessage-deflate"));
	for (uint32_t n = 0; rest.p; n++) {
		if (n == WS_EXTENSIONS_MAX || !take_param(&rest, &key, &value))
			return false;
		usable = usable && deflate_param(&d, key, value);
	}
	if (usable)
		u->deflate = d;
	return true;
}

static bool read_extensions(struct ws_upgrade *u, const struct http_head *h)
{
	struct bytes list, extension;
	uint32_t n = 0;
	for (uint32_t i = 0; http_head_next(h, HTTP_WS_EXTENSIONS, &i, &list);)
		while (http_list_next(&list, &extension))
			if (n++ == WS_EXTENSIONS_MAX || !read_extension(u, extension))
				return false;
	return true;
}

/* Neither side keeps its window from message to message, whatever was offered (RFC 7692 7.1.1 lets
 * us say so). A bound of our window is answered where one was asked for, and only there. */
const char *ws_upgrade_deflate(const struct ws_upgrade *u)
{
#define NO_TAKEOVER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define TEXT_OF(n)  #n
#define BITS(n)     "; server_max_window_bits=" TEXT_OF(n)
	if (!u->deflate.offered)
		return NULL;
	return u->deflate.server_bits ? NO_TAKEOVER BITS(WS_DEFLATE_BITS) : NO_TAKEOVER;
#undef BITS
#undef TEXT_OF
#undef NO_TAKEOVER
}

/* ---- the judgement ------------------------------------------------------------------------- */

static enum ws_upgrade_bad judge(struct ws_upgrade *u, const struct http_head *h)
{
	if (h->minor == 0)
		return WS_UPGRADE_BAD_VERSION_1_0;
	if (h->method != HTTP_GET)
		return WS_UPGRADE_BAD_METHOD;
	if (!(h->flags & HTTP_F_UPGRADE_WS))
		return WS_UPGRADE_BAD_UPGRADE;
	if (!(h->flags & HTTP_F_UPGRADE))
		return WS_UPGRADE_BAD_CONNECTION;
	if (h->framing != HTTP_NO_BODY && !(h->framing == HTTP_BODY_LENGTH && !h->content_length))
		return WS_UPGRADE_BAD_BODY;
	if (!bytes_eq(h->known[HTTP_WS_VERSION], BYTES_LIT("13")))
		return WS_UPGRADE_BAD_VERSION;
	if (!key_valid(h->known[HTTP_WS_KEY]))
		return WS_UPGRADE_BAD_KEY;
	if (!read_protocols(u, h))
		return WS_UPGRADE_BAD_PROTOCOL;
	if (!read_extensions(u, h))
		return WS_UPGRADE_BAD_EXTENSION;
	u->key = h->known[HTTP_WS_KEY];
	return WS_UPGRADE_BAD_NONE;
}

enum ws_upgrade_outcome ws_upgrade_check(struct ws_upgrade *u, const struct http_head *h)
{
	*u = (struct ws_upgrade){0};
	if (!(h->flags & HTTP_F_UPGRADE_WS) && !h->known[HTTP_WS_KEY].p)
		return WS_UPGRADE_NO;
	u->bad = judge(u, h);
	return u->bad ? WS_UPGRADE_BAD : WS_UPGRADE_YES;
}

/* ---- the answers --------------------------------------------------------------------------- */

size_t ws_upgrade_answer(void *buf, size_t cap, const struct ws_upgrade *u, const char *protocol,
			 const char *extensions, uint64_t wall_ms)
{
	struct http_answer a;
	char accept[WS_ACCEPT_BYTES];

	ws_accept(accept, u->key);
	http_answer_start(&a, buf, cap, 101, wall_ms, 0);
	http_answer_field(&a, "Upgrade", BYTES_LIT("websocket"));
	http_answer_field(&a, "Connection", BYTES_LIT("Upgrade"));
	http_answer_field(&a, "Sec-WebSocket-Accept", BYTES(accept, sizeof(accept)));
	if (protocol)
		http_answer_field(&a, "Sec-WebSocket-Protocol", bytes_str(protocol));
	if (extensions)
		http_answer_field(&a, "Sec-WebSocket-Extensions", bytes_str(extensions));
	return http_answer_end_head(&a);
}

size_t ws_upgrade_refuse(void *buf, size_t cap, enum ws_upgrade_bad bad, uint64_t wall_ms)
{
	struct http_answer a;
	char body[256];
	unsigned status = ws_upgrade_bad_status(bad);
	size_t n = http_error_json(body, sizeof(body), ws_upgrade_bad_help(bad));

	http_answer_start(&a, buf, cap, status, wall_ms, 0);
	if (status == 426) { /* RFC 9110 15.5.22 and 7.8, RFC 6455 4.2.2 */
		http_answer_field(&a, "Connection", BYTES_LIT("Upgrade"));
		http_answer_field(&a, "Upgrade", BYTES_LIT("websocket"));
		http_answer_field(&a, "Sec-WebSocket-Version", BYTES_LIT("13"));
	}
	if (status == 405)
		http_answer_field(&a, "Allow", BYTES_LIT("GET"));
	http_answer_field(&a, "Content-Type", BYTES_LIT("application/json"));
	return http_answer_end(&a, BYTES(body, n));
}
