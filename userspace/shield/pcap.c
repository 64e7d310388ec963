/* SPDX-License-Identifier: BSD-2-Clause */
/* pcap.c - libpcap's savefile format, version 2.4: a header of 24 bytes, then records of 16
 * bytes and the frame. A file from elsewhere may say anything: every length is held against
 * what is there before it is believed. */
#include "shield/pcap.h"

#include <string.h>

#define MAGIC_US 0xa1b2c3d4u
#define MAGIC_NS 0xa1b23c4du
#define MAGIC_NG 0x0a0d0d0au /* pcapng's section header; the same in both orders */
#define ETHERNET 1

struct head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy; /* nobody sets them */
	uint32_t frame_max;
	uint32_t link;
};

struct record {
	uint32_t s, fraction;
	uint32_t here, wire; /* bytes of the frame: in the file, and when it was seen */
};

static uint32_t u32(const struct pcap *p, uint32_t v)
{
	return p->swapped ? __builtin_bswap32(v) : v;
}

static bool refuse(struct pcap *p, const char *why)
{
	p->bad = why;
	return false;
}

static bool magic_known(uint32_t magic)
{
	return magic == MAGIC_US || magic == MAGIC_NS;
}

bool pcap_is_one(struct bytes file)
{
	uint32_t magic;

	if (file.n < sizeof(magic))
		return false;
	memcpy(&magic, file.p, sizeof(magic));
	return magic_known(magic) || magic_known(__builtin_bswap32(magic)) || magic == MAGIC_NG;
}

bool pcap_open(struct pcap *p, struct bytes file)
{
	struct head h;

	*p = (struct pcap){.file = file, .at = sizeof(h)};
	if (!pcap_is_one(file))
		return refuse(p, "not a capture file");
	memcpy(&h.magic, file.p, sizeof(h.magic));
	if (h.magic == MAGIC_NG)
		return refuse(p, "pcapng; convert it: tcpdump -r FILE -w OTHER");
	if (file.n < sizeof(h))
		return refuse(p, "the file ends inside its header");
	memcpy(&h, file.p, sizeof(h));
	p->swapped = !magic_known(h.magic);
	p->nanoseconds = u32(p, h.magic) == MAGIC_NS;
	if ((p->swapped ? __builtin_bswap16(h.major) : h.major) != 2)
		return refuse(p, "a version of the format that nobody writes");
	/* the upper half tells of checksums behind the frames, which we would take for padding */
	if (u32(p, h.link) != ETHERNET)
		return refuse(p, "its frames do not begin with an Ethernet header");
	return true;
}

bool pcap_next(struct pcap *p, struct pcap_frame *out)
{
	size_t left = p->file.n - p->at;
	struct record r;
	uint32_t fraction;

	if (p->bad || left == 0)
		return false;
	if (left < sizeof(r))
		return refuse(p, "the file ends inside a record's header");
	memcpy(&r, p->file.p + p->at, sizeof(r));
	left -= sizeof(r);
	out->frame.n = u32(p, r.here);
	out->wire = u32(p, r.wire);
	fraction = u32(p, r.fraction);
	if (out->frame.n > PCAP_FRAME_MAX || out->wire < out->frame.n)
		return refuse(p, "a length that cannot be");
	if (out->frame.n > left)
		return refuse(p, "the file ends inside a frame");
	if (fraction >= (p->nanoseconds ? 1000000000u : 1000000u))
		return refuse(p, "a time that cannot be");
	out->wall_ns = u32(p, r.s) * 1000000000ull + fraction * (p->nanoseconds ? 1u : 1000u);
	out->frame.p = p->file.p + p->at + sizeof(r);
	p->at += sizeof(r) + out->frame.n;
	return true;
}

bool pcap_write_head(FILE *out)
{
	const struct head h = {.magic = MAGIC_NS,
			       .major = 2,
			       .minor = 4,
			       .frame_max = PCAP_FRAME_MAX,
			       .link = ETHERNET};

	return fwrite(&h, sizeof(h), 1, out) == 1;
}

bool pcap_write(FILE *out, const struct pcap_frame *f)
{
	const struct record r = {.s = (uint32_t)(f->wall_ns / 1000000000u),
				 .fraction = (uint32_t)(f->wall_ns % 1000000000u),
				 .here = (uint32_t)f->frame.n,
				 .wire = f->wire};

	return fwrite(&r, sizeof(r), 1, out) == 1 &&
	       fwrite(f->frame.p, 1, f->frame.n, out) == f->frame.n;
}
