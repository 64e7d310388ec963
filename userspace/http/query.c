/* SPDX-License-Identifier: BSD-2-Clause */
/* query.c - see query.h. Everything here runs over slices that the head's limits
 * have bounded already, so nothing counts again. */
#include "http/chars.h"
#include "http/query.h"

#define NAME_MAX_BYTES 64 /* longest query name of ours */

long http_percent_decode(uint8_t *out, size_t cap, struct bytes in, bool plus)
{
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		if (c == '%') {
			if (in.n - i < 3 || !char_is(in.p[i + 1], CHAR_HEX) ||
			    !char_is(in.p[i + 2], CHAR_HEX))
				return -1;
			c = (uint8_t)(char_hex(in.p[i + 1]) << 4 | char_hex(in.p[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (c == 0 || n == cap)
			return -1;
		out[n++] = c;
	}
	return (long)n;
}

/* Cuts `all` at the first `at`: `*head` before it, `*all` behind it (empty if there is none). */
static bool cut(struct bytes *all, uint8_t at, struct bytes *head)
{
	const uint8_t *hit = all->n ? memchr(all->p, at, all->n) : NULL;
	*head = hit ? BYTES(all->p, hit - all->p) : *all;
	size_t used = head->n + (hit != NULL);
	all->p += used;
	all->n -= used;
	return hit;
}

bool http_query_next(struct bytes *query, struct bytes *name, struct bytes *value)
{
	while (query->n) {
		struct bytes pair;
		cut(query, '&', &pair);
		if (pair.n == 0)
			continue;
		*value = cut(&pair, '=', name) ? pair : BYTES(NULL, 0);
		return true;
	}
	return false;
}

long http_query_get(struct bytes query, const char *name, uint8_t *out, size_t cap)
{
	struct bytes key, value;
	while (http_query_next(&query, &key, &value)) {
		uint8_t decoded[NAME_MAX_BYTES];
		long n = http_percent_decode(decoded, sizeof(decoded), key, true);
		if (n >= 0 && bytes_eq(BYTES(decoded, n), bytes_str(name)))
			return http_percent_decode(out, cap, value, true);
	}
	return -1;
}

static struct bytes unquote(struct bytes v)
{
	if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
		return BYTES(v.p + 1, v.n - 2);
	return v;
}

bool http_cookie_get(const struct http_head *h, struct bytes name, struct bytes *value)
{
	bool found = false;
	struct bytes line, pair, key;
	for (uint32_t i = 0; http_head_next(h, HTTP_COOKIE, &i, &line);) {
		while (line.n) {
			cut(&line, ';', &pair);
			pair = bytes_trim(pair);
			if (!cut(&pair, '=', &key) || !bytes_eq(key, name))
				continue;
			pair = unquote(pair);
			if (found && !bytes_eq(pair, *value))
				return false;
			*value = pair;
			found = true;
		}
	}
	return found;
}

/* One byte of a path with %2e, %2f and %5c seen through; *n is how many it took. An
 * encoded slash is as bad as a backslash and comes out as one. */
static uint8_t seen_through(struct bytes path, size_t i, size_t *n)
{
	*n = 1;
	if (path.p[i] != '%' || path.n - i < 3)
		return path.p[i];
	*n = 3;
	switch (path.p[i + 1] << 8 | byte_lower(path.p[i + 2])) {
	case '2' << 8 | 'e': return '.';
	case '2' << 8 | 'f':
	case '5' << 8 | 'c': return '\\';
	}
	*n = 1;
	return '%';
}

bool http_path_is_tricky(struct bytes path)
{
	size_t dots = 0, others = 0, n;
	for (size_t i = 0; i <= path.n; i += n) {
		uint8_t c = '/'; /* the end closes the last segment */
		n = 1;
		if (i < path.n)
			c = seen_through(path, i, &n);
		if (c == '\\')
			return true;
		if (c == '/') {
			if (others == 0 && (dots == 1 || dots == 2))
				return true;
			dots = others = 0;
		} else if (c == '.') {
			dots++;
		} else {
			others++;
		}
	}
	return false;
}
