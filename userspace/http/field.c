/* SPDX-License-Identifier: BSD-2-Clause */
/* field.c - see field.h. */
#include <arpa/inet.h>

#include "http/chars.h"
#include "http/field.h"

bool http_list_next(struct bytes *list, struct bytes *element)
{
	while (list->n) {
		bool quoted = false;
		size_t i = 0;
		for (; i < list->n && (quoted || list->p[i] != ','); i++) {
			if (list->p[i] == '"')
				quoted = !quoted;
			else if (quoted && list->p[i] == '\\' && i + 1 < list->n)
				i++;
		}
		*element = bytes_trim(BYTES(list->p, i));
		i += i < list->n; /* the comma */
		list->p += i;
		list->n -= i;
		if (element->n)
			return true;
	}
	return false;
}

bool http_is_token(struct bytes b)
{
	return b.n && chars_run(b.p, 0, (uint32_t)b.n, CHAR_TOKEN) == b.n;
}

static bool ipv6_valid(struct bytes b)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (b.n >= sizeof(text) || memchr(b.p, 0, b.n))
		return false;
	memcpy(text, b.p, b.n);
	text[b.n] = 0;
	return inet_pton(AF_INET6, text, &addr) == 1;
}

/* Labels between single dots; one dot at the end is the root. */
static bool name_valid(struct bytes b)
{
	if (b.n == 0 || b.n > 255 || b.p[0] == '.')
		return false;
	for (size_t i = 0; i < b.n; i++)
		if (!char_is(b.p[i], CHAR_HOST) || (i && b.p[i] == '.' && b.p[i - 1] == '.'))
			return false;
	return true;
}

static bool port_parse(struct bytes b, uint32_t *port)
{
	if (b.n == 0 || b.n > 5)
		return false;
	*port = 0;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] < '0' || b.p[i] > '9')
			return false;
		*port = *port * 10 + (b.p[i] - '0');
	}
	return *port >= 1 && *port <= 65535;
}

bool http_host_parse(struct bytes text, struct bytes *host, uint32_t *port)
{
	size_t n = 0;
	if (text.n && text.p[0] == '[') {
		const uint8_t *close = memchr(text.p, ']', text.n);
		if (!close || !ipv6_valid(BYTES(text.p + 1, close - text.p - 1)))
			return false;
		n = (size_t)(close - text.p) + 1;
	} else {
		while (n < text.n && text.p[n] != ':')
			n++;
		if (!name_valid(BYTES(text.p, n)))
			return false;
	}
	*host = BYTES(text.p, n);
	*port = 0;
	if (n == text.n)
		return true;
	return text.p[n] == ':' && port_parse(BYTES(text.p + n + 1, text.n - n - 1), port);
}
