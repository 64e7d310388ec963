/* SPDX-License-Identifier: BSD-2-Clause */
/* addr.c - addresses and prefixes between text, sockets and 16 bytes.
 *
 * Reading is inet_pton(3)'s, which is strict already (four decimal parts without leading zeros, no
 * scope). Writing is done here: inet_ntop(3) shows ::1.2.3.4 for old "compatible" addresses, and
 * a canonical text must be one that two machines agree on. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool ip_is_v4(const uint8_t ip[16])
{
	return memcmp(ip, v4_prefix, 12) == 0;
}

static int ip_parse(struct bytes t, uint8_t ip[16])
{
	char z[INET6_ADDRSTRLEN];

	if (t.n == 0 || t.n >= sizeof(z) || memchr(t.p, 0, t.n))
		return -EINVAL;
	memcpy(z, t.p, t.n);
	z[t.n] = '\0';
	if (memchr(z, ':', t.n))
		return inet_pton(AF_INET6, z, ip) == 1 ? 0 : -EINVAL;
	memcpy(ip, v4_prefix, 12);
	return inet_pton(AF_INET, z, ip + 12) == 1 ? 0 : -EINVAL;
}

/* Decimal without leading zeros, at most `max`. */
static int number_parse(struct bytes t, unsigned max, unsigned *out)
{
	unsigned v = 0;

	if (t.n == 0 || t.n > 5 || (t.n > 1 && t.p[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9')
			return -EINVAL;
		v = v * 10 + (t.p[i] - '0');
	}
	if (v > max)
		return -EINVAL;
	*out = v;
	return 0;
}

static size_t number_print(unsigned v, unsigned base, char *out)
{
	char digits[12];
	size_t n = 0;

	do
		digits[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

static size_t v4_print(const uint8_t b[4], char *out)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		if (i)
			out[n++] = '.';
		n += number_print(b[i], 10, out + n);
	}
	return n;
}

/* RFC 5952 section 4: the first longest run of two or more zero groups becomes "::". */
static size_t v6_print(const uint8_t ip[16], char *out)
{
	int run_at = -1, run_len = 1;
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		int len = 0;
		while (i + len < 8 && load_be16(ip + 2 * (i + len)) == 0)
			len++;
		if (len > run_len) {
			run_at = i;
			run_len = len;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == run_at) {
			out[n++] = ':';
			out[n++] = ':';
			i += run_len - 1;
			continue;
		}
		if (i > 0 && out[n - 1] != ':')
			out[n++] = ':';
		n += number_print(load_be16(ip + 2 * i), 16, out + n);
	}
	return n;
}

static size_t ip_print(const uint8_t ip[16], char *out)
{
	return ip_is_v4(ip) ? v4_print(ip + 12, out) : v6_print(ip, out);
}

int addr_parse(struct bytes text, struct addr *out)
{
	out->port = 0;
	return ip_parse(text, out->ip);
}

int addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (len >= sizeof(in) && sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		memcpy(out->ip, v4_prefix, 12);
		memcpy(out->ip + 12, &in.sin_addr, 4);
		out->port = ntohs(in.sin_port);
		return 0;
	}
	if (len >= sizeof(in6) && sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->ip, &in6.sin6_addr, 16);
		out->port = ntohs(in6.sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}

size_t addr_print_port(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	bool v4 = addr_is_v4(a);
	size_t n = 0;

	if (!v4)
		out[n++] = '[';
	n += ip_print(a->ip, out + n);
	if (!v4)
		out[n++] = ']';
	out[n++] = ':';
	n += number_print(a->port, 10, out + n);
	out[n] = '\0';
	return n;
}

bool addr_is_v4(const struct addr *a)
{
	return ip_is_v4(a->ip);
}

/* Clears what lies beyond `bits`; true if there was something. */
static bool ip_cut(uint8_t ip[16], unsigned bits)
{
	bool had = false;

	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
		uint8_t mask = (uint8_t)(0xff00u >> keep);
		had |= (ip[i] & ~mask) != 0;
		ip[i] &= mask;
	}
	return had;
}

int cidr_parse(struct bytes text, struct cidr *out)
{
	const uint8_t *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
	struct bytes ip = BYTES(text.p, slash ? (size_t)(slash - text.p) : text.n);
	unsigned bits;

	if (ip_parse(ip, out->ip))
		return -EINVAL;
	/* what was written with dots only is counted from the dots; ::ffff:10.0.0.0/104 from the
	 * left, and below /96 it would be neither family */
	bool dotted = !memchr(ip.p, ':', ip.n);
	unsigned max = dotted ? 32 : 128;
	if (!slash)
		bits = max;
	else if (number_parse(BYTES(slash + 1, text.n - ip.n - 1), max, &bits))
		return -EINVAL;
	if (dotted)
		bits += 96;
	else if (ip_is_v4(out->ip) && bits < 96)
		return -EINVAL;
	out->bits = (uint8_t)bits;
	return ip_cut(out->ip, bits) ? -ERANGE : 0;
}

size_t cidr_print(const struct cidr *c, char out[CIDR_TEXT_MAX])
{
	size_t n = ip_print(c->ip, out);
	out[n++] = '/';
	n += number_print(cidr_text_bits(c), 10, out + n);
	out[n] = '\0';
	return n;
}

bool cidr_is_v4(const struct cidr *c)
{
	return c->bits >= 96 && ip_is_v4(c->ip);
}

unsigned cidr_text_bits(const struct cidr *c)
{
	return cidr_is_v4(c) ? c->bits - 96u : c->bits;
}

bool cidr_match(const struct cidr *c, const struct addr *a)
{
	if (cidr_is_v4(c) != addr_is_v4(a))
		return false;
	unsigned whole = c->bits / 8, rest = c->bits % 8;
	if (memcmp(c->ip, a->ip, whole) != 0)
		return false;
	return rest == 0 || ((c->ip[whole] ^ a->ip[whole]) & (uint8_t)(0xff00u >> rest)) == 0;
}
