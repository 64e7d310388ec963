/* SPDX-License-Identifier: BSD-2-Clause */
/* value.c - one value: from the operator's spelling to a number and back.
 *
 * Sizes and times are exact: "1.5 KiB" is 1536, "0.3 ms" is refused rather than
 * rounded. What *_str() writes reads back as the same number. */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <netdb.h>
#include <stdlib.h>
#include <strings.h>

#include "base/addr.h"
#include "config/options.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* the first that divides a number is the one to print it in */
static const struct unit byte_units[] = {
	{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"GB", 1000000000},
	{"MB", 1000000},   {"kB", 1000},      {"B", 1},
};
static const struct unit time_units[] = {
	{"h", 3600000}, {"min", 60000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

/* "12", "1.5 KiB": digits, perhaps a fraction, perhaps a unit. */
static bool with_unit(const char *s, const struct unit *units, size_t n, uint64_t *out)
{
	uint64_t whole = 0, part = 0, scale = 1, factor = 0, v;

	if (!isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, *s - '0', &whole))
			return false;
	if (*s == '.') {
		if (!isdigit((unsigned char)*++s))
			return false;
		for (; isdigit((unsigned char)*s) && scale < 1000000; s++, scale *= 10)
			part = part * 10 + (uint64_t)(*s - '0');
	}
	while (*s == ' ')
		s++;
	for (size_t i = 0; i < n && factor == 0; i++)
		if (strcasecmp(s, units[i].name) == 0)
			factor = units[i].factor;
	if (*s == '\0')
		factor = 1;
	if (factor == 0 || part * factor % scale != 0 ||
	    __builtin_mul_overflow(whole, factor, &v) ||
	    __builtin_add_overflow(v, part * factor / scale, &v))
		return false;
	*out = v;
	return true;
}

static const char *unit_str(uint64_t v, const struct unit *units, size_t n, char *buf)
{
	size_t i = 0;

	if (v == 0)
		return "0";
	while (i + 1 < n && v % units[i].factor != 0)
		i++;
	snprintf(buf, VALUE_STRLEN, "%llu %s", (unsigned long long)(v / units[i].factor),
		 units[i].name);
	return buf;
}

bool value_bytes(const char *s, uint64_t *out)
{
	return with_unit(s, byte_units, ARRAY_SIZE(byte_units), out);
}

bool value_ms(const char *s, uint64_t *out)
{
	return with_unit(s, time_units, ARRAY_SIZE(time_units), out);
}

const char *value_bytes_str(uint64_t v, char *buf)
{
	return unit_str(v, byte_units, ARRAY_SIZE(byte_units), buf);
}

const char *value_ms_str(uint64_t v, char *buf)
{
	return unit_str(v, time_units, ARRAY_SIZE(time_units), buf);
}

bool value_mode(const char *s, uint32_t *out)
{
	size_t n = strlen(s);

	if (n < 3 || n > 4 || strspn(s, "01234567") != n)
		return false;
	*out = (uint32_t)strtoul(s, NULL, 8);
	return *out <= 0777;
}

/* 1..65535 at s; behind it, or NULL. */
static const char *port(const char *s, uint16_t *out)
{
	unsigned long v = 0;
	size_t n = 0;

	for (; isdigit((unsigned char)s[n]) && n < 6; n++)
		v = v * 10 + (unsigned long)(s[n] - '0');
	if (n == 0 || *s == '0' || v > 65535)
		return NULL;
	*out = (uint16_t)v;
	return s + n;
}

bool value_ports(const char *s, struct config_ports *out)
{
	struct config_ports p = {0};

	s = port(s, &p.first);
	p.last = p.first;
	if (s && *s == '-')
		s = port(s + 1, &p.last);
	if (!s || *s || p.last < p.first)
		return false;
	*out = p;
	return true;
}

uint64_t value_load(const void *p, uint8_t width)
{
	uint64_t v = 0;

	memcpy(&v, p, width); /* little-endian, as everything Sluice runs on */
	return v;
}

void value_store(void *p, uint8_t width, uint64_t v)
{
	memcpy(p, &v, width);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "value_load() and value_store()");

const char *value_word(const struct option_choice *c, uint32_t v)
{
	for (; c->word; c++)
		if (c->value == v)
			return c->word;
	return NULL;
}

const char *value_number_str(const struct option *o, uint64_t v, char *buf)
{
	if (o->type == OPT_BYTES)
		return value_bytes_str(v, buf);
	if (o->type == OPT_MS)
		return value_ms_str(v, buf);
	snprintf(buf, VALUE_STRLEN, "%llu", (unsigned long long)v);
	return buf;
}

const char *value_bounds_str(const struct option *o, char *buf)
{
	char lo[VALUE_STRLEN], hi[VALUE_STRLEN];
	int n = snprintf(buf, 160, "%s to %s", value_number_str(o, o->min, lo),
			 value_number_str(o, o->max, hi));

	if (o->zero)
		snprintf(buf + n, 160 - (size_t)n, ", or 0 (%s)", o->zero);
	return buf;
}

/* How many letters must be put in, left out, changed or swapped with their
 * neighbour to make b of a (Damerau-Levenshtein); both at most 63 long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][64], *before = rows[0], *last = rows[1], *now = rows[2];
	size_t na = strlen(a), nb = strlen(b);

	if (na >= 64 || nb >= 64)
		return 99;
	for (unsigned j = 0; j <= nb; j++)
		last[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		unsigned *spare = before;
		now[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned same = byte_lower((uint8_t)a[i - 1]) ==
					byte_lower((uint8_t)b[j - 1]);
			unsigned d = last[j - 1] + !same;
			d = MIN(d, last[j] + 1);
			d = MIN(d, now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, before[j - 2] + 1);
			now[j] = d;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[nb];
}

/* Is it one of the words that `known` is made of, as key in key_file? */
static bool is_part(const char *name, const char *known)
{
	size_t n = strlen(name);

	for (const char *p = known;; p++) {
		size_t part = strcspn(p, "_");
		if (part == n && strncasecmp(p, name, n) == 0)
			return true;
		p += part;
		if (!*p)
			return false;
	}
}

const char *value_nearest(const char *name, const struct option_group *g)
{
	unsigned best = MAX(2u, (unsigned)strlen(name) / 3) + 1;
	const char *found = NULL;

	for (uint32_t i = 0; i < g->n_options; i++) {
		const char *known = g->options[i].name;
		unsigned d = distance(name, known);
		/* a name that goes on, as in heartbeat_ms for heartbeat */
		if (strncasecmp(name, known, strlen(known)) == 0)
			d = MIN(d, 2u);
		if (is_part(name, known))
			d = MIN(d, 1u);
		/* nothing of a short name may be left over */
		if (d < best && d < strlen(known)) {
			best = d;
			found = known;
		}
	}
	return found;
}

/* ---- prefixes: base/addr.h reads and writes them; here IPv4 has four bytes ---- */

const char *config_prefix_str(const struct config_prefix *p, char *buf)
{
	static_assert(CONFIG_PREFIX_STRLEN >= CIDR_TEXT_MAX, "room for the longest");
	struct cidr c = {.bits = p->bits};

	if (p->family == AF_INET) {
		c = (struct cidr){.ip = {[10] = 0xff, [11] = 0xff},
				  .bits = (uint8_t)(96 + p->bits)};
		memcpy(c.ip + 12, p->addr, 4);
	} else {
		memcpy(c.ip, p->addr, 16);
	}
	cidr_print(&c, buf);
	return buf;
}

bool config_prefix_parse(const char *text, struct config_prefix *p)
{
	struct cidr c;

	/* ::ffff:0:0/96 would quietly be all of IPv4: that is written with dots here */
	if (cidr_parse(bytes_str(text), &c) != 0 || (cidr_is_v4(&c) && strchr(text, ':')))
		return false;
	*p = (struct config_prefix){.family = cidr_is_v4(&c) ? AF_INET : AF_INET6,
				    .bits = (uint8_t)cidr_text_bits(&c)};
	memcpy(p->addr, cidr_is_v4(&c) ? c.ip + 12 : c.ip, cidr_is_v4(&c) ? 4 : 16);
	return true;
}

/* ---- addresses ---- */

bool config_prefix_has(const struct config_prefix *p, const struct addr *a)
{
	struct cidr net = {.bits = p->bits};

	if (p->family == AF_INET) {
		net.bits = (uint8_t)(p->bits + 96);
		memset(net.ip + 10, 0xff, 2);
		memcpy(net.ip + 12, p->addr, 4);
	} else {
		memcpy(net.ip, p->addr, 16);
	}
	return cidr_match(&net, a);
}

bool value_address(const char *s, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *ai;
	char service[8];

	/* getaddrinfo also takes "127.1" and "0x7f.1"; only the whole form is meant */
	if (!strchr(s, ':') && inet_pton(AF_INET, s, &(struct in_addr){0}) != 1)
		return false;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(s, service, &hints, &ai) != 0)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out, ai->ai_addr, ai->ai_addrlen);
	*len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return true;
}
