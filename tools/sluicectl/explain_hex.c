/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_hex.c - packets in hex, as people and tools write them: see explain_hex.h for the rule. */
#include <ctype.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "shield/explain.h"
#include "tools/sluicectl/explain_hex.h"

static int nibble(char c)
{
	return isdigit((unsigned char)c)  ? c - '0' :
	       isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 :
					    -1;
}

/* Digits in pairs, with blanks, colons, dots or dashes between the bytes as people write them.
 * The number of bytes, -1 if it is none. */
static ssize_t parse_hex(struct bytes s, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] && strchr(" \t\r:.-", s.p[i]))
			continue;
		int high = nibble((char)s.p[i]), low = i + 1 < s.n ? nibble((char)s.p[i + 1]) : -1;
		if (high < 0 || low < 0)
			return -1;
		out[n++] = (uint8_t)(high << 4 | low);
		i++;
	}
	return (ssize_t)n;
}

static bool begins_frame(struct bytes b)
{
	unsigned type = b.n >= EXPLAIN_FRAME_MIN ? (unsigned)b.p[12] << 8 | b.p[13] : 0;

	return type == ETH_P_IP || type == ETH_P_IPV6 || type == ETH_P_ARP || type == ETH_P_8021Q ||
	       type == ETH_P_8021AD || type == ETH_P_QINQ1;
}

/* Every line's bytes, one behind the other, into `bytes`. The number of lines; -1: `*bad` is no hex. */
static ssize_t hex_lines(struct bytes text, uint8_t *bytes, struct hex_packet *lines, unsigned *bad)
{
	size_t n = 0, at = 0;

	for (size_t p = 0; p < text.n;) {
		const uint8_t *end = memchr(text.p + p, '\n', text.n - p);
		size_t len = end ? (size_t)(end - text.p) - p : text.n - p;
		ssize_t got = parse_hex(BYTES(text.p + p, len), bytes + at);

		if (got < 0) {
			*bad = (unsigned)n + 1;
			return -1;
		}
		lines[n] = (struct hex_packet){at, (size_t)got, (unsigned)n + 1};
		at += (size_t)got;
		p += len + 1;
		n++;
	}
	return (ssize_t)n;
}

/* Lines without an empty one among them: 0 they are one packet, 1 each is one, -1 who knows. */
static int part(const uint8_t *bytes, const struct hex_packet *l, size_t n, unsigned *odd)
{
	bool first = n && begins_frame(BYTES(bytes + l[0].at, l[0].n));
	size_t begin = 0;

	for (size_t i = 0; i < n; i++) {
		bool begins = begins_frame(BYTES(bytes + l[i].at, l[i].n));

		begin += begins;
		if (!begins)
			*odd = l[i].number;
	}
	return begin == n ? 1 : begin == first ? 0 : -1;
}

/* Puts the packets in the place of the lines; their number, or -1 after ctl_fail(). */
static ssize_t packets_of(const struct ctl *ctl, const char *name, const uint8_t *bytes,
			  struct hex_packet *lines, size_t n)
{
	size_t out = 0;

	for (size_t i = 0, k; i < n; i = k + 1) {
		unsigned odd = 0;
		int how;

		for (k = i; k < n && lines[k].n; k++)
			;
		how = part(bytes, lines + i, k - i, &odd);
		if (how < 0) {
			ctl_fail(
				ctl, CTL_REFUSED,
				"%s:%u: no packet begins in this line, but in others: put an empty "
				"line between packets",
				ctl_arg(name), odd);
			return -1;
		}
		if (how == 0 && k - i > 1)
			ctl_note(ctl,
				 "%s: lines %u to %u are taken for one packet (an empty line parts "
				 "packets)",
				 ctl_arg(name), lines[i].number, lines[k - 1].number);
		for (size_t m = i + 1; how == 0 && m < k; m++)
			lines[i].n += lines[m].n;
		for (size_t m = i; m < k && (how || m == i); m++)
			lines[out++] = lines[m];
	}
	return (ssize_t)out;
}

int hex_read(const struct ctl *ctl, struct bytes text, const char *what, struct hex *out)
{
	const char *name = what ? what : "HEX";
	size_t most = 1;
	unsigned bad = 0;

	for (size_t i = 0; i < text.n; i++)
		most += text.p[i] == '\n';
	out->bytes = malloc(text.n / 2 + 1);
	out->packets = calloc(most, sizeof(*out->packets));
	if (!out->bytes || !out->packets)
		return ctl_fail(ctl, CTL_REFUSED, "no memory");
	ssize_t n = hex_lines(text, out->bytes, out->packets, &bad);
	if (n < 0 && what)
		return ctl_fail(ctl, CTL_REFUSED,
				"%s:%u: neither a capture file nor a packet in hex", ctl_arg(what),
				bad);
	if (n < 0)
		return ctl_fail(
			ctl, CTL_USAGE,
			"'%s' is no file, and no packet in hex (from the Ethernet header on)",
			ctl_arg((const char *)text.p));
	n = packets_of(ctl, name, out->bytes, out->packets, (size_t)n);
	if (n <= 0)
		return n < 0 ? CTL_REFUSED :
			       ctl_fail(ctl, CTL_REFUSED, "%s: no packet in it", ctl_arg(name));
	out->n = (size_t)n;
	return CTL_OK;
}

void hex_free(struct hex *h)
{
	free(h->bytes);
	free(h->packets);
	*h = (struct hex){NULL, NULL, 0};
}
