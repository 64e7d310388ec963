/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_upgrade.c - requests into the judgement on upgrades. The input is a head; a
 * good request line and Host are put in front, so that the fuzzer spends itself
 * on the fields. Whatever comes out must be answerable, and a yes must be one by
 * a second, slower look. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ws/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRONT "GET /ws HTTP/1.1\r\nHost: a\r\n"

static size_t count(const struct http_head *h, const char *name, const char *value)
{
	size_t n = 0;
	for (uint32_t i = 0; i < h->headers_n; i++)
		n += bytes_ieq(http_head_name(h, i), bytes_str(name)) &&
		     (!value || bytes_eq(http_head_value(h, i), bytes_str(value)));
	return n;
}

/* Does a comma-separated field hold this word? */
static bool lists(const struct http_head *h, const char *name, const char *word)
{
	for (uint32_t i = 0; i < h->headers_n; i++) {
		if (!bytes_ieq(http_head_name(h, i), bytes_str(name)))
			continue;
		struct bytes v = http_head_value(h, i);
		char *copy = strndup((const char *)v.p, v.n), *rest = copy, *part;
		bool hit = false;
		while ((part = strsep(&rest, ",")) && !hit) {
			part += strspn(part, " \t");
			part[strcspn(part, " \t")] = 0;
			hit = strcasecmp(part, word) == 0;
		}
		free(copy);
		if (hit)
			return true;
	}
	return false;
}

/* Decoding and encoding the key again must give the key: sixteen bytes, canonical. */
static bool key_canonical(struct bytes key)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	if (key.n != 24 || memcmp(key.p + 22, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < 22; i++) {
		const char *at = key.p[i] ? strchr(set, key.p[i]) : NULL;
		if (!at)
			return false;
		bits = (uint32_t)(at - set);
	}
	return (bits & 15) == 0;
}

static void second_look(const struct http_head *h, const struct ws_upgrade *u)
{
	assert(h->method == HTTP_GET && h->minor == 1);
	assert(lists(h, "Upgrade", "websocket") && lists(h, "Connection", "upgrade"));
	assert(count(h, "Sec-WebSocket-Version", "13") == 1);
	assert(count(h, "Sec-WebSocket-Version", NULL) == 1);
	assert(count(h, "Sec-WebSocket-Key", NULL) == 1 && key_canonical(u->key));
	assert(!count(h, "Transfer-Encoding", NULL));
	assert(h->content_length == 0);
	assert(u->protocols_n <= WS_PROTOCOLS_MAX);
	for (uint32_t i = 0; i < u->protocols_n; i++)
		assert(http_is_token(u->protocols[i]));
	if (u->deflate.offered)
		assert(count(h, "Sec-WebSocket-Extensions", NULL) > 0);
	assert(!u->deflate.server_bits ||
	       (u->deflate.server_bits >= 8 && u->deflate.server_bits <= 15));
	assert(u->deflate.client_bits <= 15);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head h;
	static struct ws_upgrade u;
	struct http_limits l = HTTP_LIMITS_DEFAULT;
	char answer[WS_UPGRADE_ANSWER_BYTES];
	size_t n = sizeof(FRONT) - 1 + size;
	uint8_t *text = malloc(n + 4);

	memcpy(text, FRONT, sizeof(FRONT) - 1);
	if (size)
		memcpy(text + sizeof(FRONT) - 1, data, size);
	memcpy(text + n, "\r\n\r\n", 4);
	http_head_init(&h);
	if (http_head_parse(&h, BYTES(text, n + 4), &l) == HTTP_HEAD) {
		size_t written = 1;
		switch (ws_upgrade_check(&u, &h)) {
		case WS_UPGRADE_YES:
			second_look(&h, &u);
			written = ws_upgrade_answer(answer, sizeof(answer), &u, NULL, NULL, 0);
			break;
		case WS_UPGRADE_BAD:
			assert(u.bad > WS_UPGRADE_BAD_NONE && u.bad < WS_UPGRADE_BAD_COUNT);
			written = ws_upgrade_refuse(answer, sizeof(answer), u.bad, 0);
			break;
		case WS_UPGRADE_NO: assert(!count(&h, "Sec-WebSocket-Key", NULL)); break;
		}
		assert(written);
	}
	free(text);
	return 0;
}
