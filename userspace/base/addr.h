/* SPDX-License-Identifier: BSD-2-Clause */
/* addr.h - one shape for an IPv4 or IPv6 endpoint, and for a prefix.
 *
 * IPv4 lives inside IPv6 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so that tables have one
 * key and a dual-stack socket's peer needs no second thought. Text goes back out as people write
 * it: dotted for IPv4, RFC 5952 for IPv6. A prefix never crosses the families: ::/0 does not
 * match an IPv4 address, 0.0.0.0/0 matches every IPv4 address and nothing else.
 *
 * Parsers take exactly the whole input, no blanks, no scope ids, no names, no leading zeros. */
#ifndef SLUICE_BASE_ADDR_H
#define SLUICE_BASE_ADDR_H

#include "base/bytes.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct addr {
	uint8_t ip[16]; /* network order; IPv4 as ::ffff:a.b.c.d */
	uint16_t port;  /* host order; 0: none */
};

struct cidr {
	uint8_t ip[16]; /* bits beyond the prefix are 0 */
	uint8_t bits;   /* 0..128, in terms of the 16 bytes: 10.0.0.0/8 has 104 */
};

/* "[ffff:...:ffff]:65535" and "ffff:...:ffff/128" with their NUL */
#define ADDR_TEXT_MAX 48
#define CIDR_TEXT_MAX 44

/* "192.0.2.1", "2001:db8::1" (the port becomes 0). 0 or -EINVAL. */
int addr_parse(struct bytes text, struct addr *out);
/* AF_INET and AF_INET6; 0, or -EAFNOSUPPORT for any other family or a too short `len`. */
int addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out);

/* "192.0.2.1:80", "[2001:db8::1]:0", into the caller's buffer; returns the length without the
 * NUL. */
size_t addr_print_port(const struct addr *a, char out[ADDR_TEXT_MAX]);

bool addr_is_v4(const struct addr *a);

/* "10.0.0.0/8", "2001:db8::/32"; a bare address is a prefix of its full length. 0; -EINVAL when
 * it is no prefix; -ERANGE when bits are set beyond the prefix ("10.1.2.3/8"): then *out is
 * filled with those bits cleared, for a caller who wants to accept it with a warning. */
int cidr_parse(struct bytes text, struct cidr *out);
/* Canonical, always with its length. Returns the length without the NUL. */
size_t cidr_print(const struct cidr *c, char out[CIDR_TEXT_MAX]);
bool cidr_is_v4(const struct cidr *c);
/* The length as people write it: 0..32 or 0..128. */
unsigned cidr_text_bits(const struct cidr *c);
bool cidr_match(const struct cidr *c, const struct addr *a);

#endif
