/* SPDX-License-Identifier: BSD-2-Clause */
/* explain_hex.h - packets in hex: a line is one, or a dump of one goes over several lines.
 *
 * Empty lines part packets for certain. Of the lines between them: if each one by itself begins with an
 * Ethernet header of IP, ARP or VLAN, each is a packet; if only the first does, or none, all together are
 * one (what xxd -p writes), which is said; if some do, nobody can know, and it is refused. */
#ifndef SLUICE_SLUICECTL_EXPLAIN_HEX_H
#define SLUICE_SLUICECTL_EXPLAIN_HEX_H

#include "base/bytes.h"
#include "tools/sluicectl/ctl.h"

struct hex_packet {
	size_t at, n;    /* of hex.bytes */
	unsigned number; /* of its first line, from 1 */
};

struct hex {
	uint8_t *bytes; /* both owned here */
	struct hex_packet *packets;
	size_t n;
};

/* `what` names the file in messages; NULL: the text is the argument itself, and ends in a NUL. CTL_OK, or the
 * exit code after ctl_fail(); hex_free() in any case. */
int hex_read(const struct ctl *ctl, struct bytes text, const char *what, struct hex *out);
void hex_free(struct hex *h);

#endif
