/* SPDX-License-Identifier: BSD-2-Clause */
/* chars.h - which byte may stand where (RFC 9110 5, RFC 3986 3). One table of
 * bits, because the parsers ask it for every byte. Inside of http/ and ws/. */
#ifndef SLUICE_HTTP_CHARS_H
#define SLUICE_HTTP_CHARS_H

#include "base/bytes.h"

enum {
	CHAR_TOKEN = 1,  /* header names, list elements: RFC 9110 5.6.2 */
	CHAR_VALUE = 2,  /* header values: visible, space, tab, and bytes from 0x80 */
	CHAR_METHOD = 4, /* A-Z and '-' */
	CHAR_PATH = 8,   /* as head.h says; '%' is not in it, its digits are counted */
	CHAR_QUERY = 16, /* likewise */
	CHAR_HOST = 32,  /* letters, digits, '-', '.', '_' */
	CHAR_HEX = 64,
	CHAR_ALNUM = 128,
};

extern const uint8_t http_chars[256];

static inline bool char_is(uint8_t c, uint8_t what)
{
	return http_chars[c] & what;
}

static inline bool char_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* The first index from `at` on, at most `end`, whose byte is not `what`. */
static inline uint32_t chars_run(const uint8_t *p, uint32_t at, uint32_t end, uint8_t what)
{
	while (at < end && char_is(p[at], what))
		at++;
	return at;
}

/* 0 to 15; only for CHAR_HEX */
static inline uint8_t char_hex(uint8_t c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Without white space at both ends. */
static inline struct bytes bytes_trim(struct bytes b)
{
	while (b.n && char_is_blank(b.p[0]))
		b.p++, b.n--;
	while (b.n && char_is_blank(b.p[b.n - 1]))
		b.n--;
	return b;
}

#endif
