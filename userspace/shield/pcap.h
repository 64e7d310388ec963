/* SPDX-License-Identifier: BSD-2-Clause */
/* pcap.h - capture files: the small old format that every tool reads and writes.
 *
 * Only what we need of it: frames that begin with an Ethernet header. Both byte
 * orders and both resolutions are read, the machine's order and nanoseconds are written. */
#ifndef SLUICE_SHIELD_PCAP_H
#define SLUICE_SHIELD_PCAP_H

#include <stdbool.h>
#include <stdio.h>

#include "base/bytes.h"

#define PCAP_FRAME_MAX (256u << 10) /* what tcpdump takes for the longest there is */

struct pcap_frame {
	uint64_t wall_ns; /* since 1970 */
	uint32_t wire;    /* bytes that it had on the wire; frame.n or more */
	struct bytes frame;
};

/* ---- reading: a file that lies in memory, which stays the caller's ---- */

struct pcap {
	struct bytes file;
	size_t at;       /* of the next record */
	const char *bad; /* what is wrong with the file, for people; NULL: nothing so far */
	bool swapped, nanoseconds;
};

/* Is this a capture file of any kind, however bad? */
bool pcap_is_one(struct bytes file);
/* False: p->bad says why. */
bool pcap_open(struct pcap *p, struct bytes file);
/* The next frame, pointing into the file. False at the end, or if p->bad. */
bool pcap_next(struct pcap *p, struct pcap_frame *out);

/* ---- writing: false once the file has failed, errno says why ---- */

bool pcap_write_head(FILE *out);
bool pcap_write(FILE *out, const struct pcap_frame *f);

#endif
