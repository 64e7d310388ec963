/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_pcap.c - any bytes as a capture file: every frame lies within the file, in order and
 * without overlap, what is read and written again is read the same, and the line that
 * shows a frame to people stays within its bounds whatever the frame holds. */
#include <assert.h>
#include <stdlib.h>

#include "shield/explain.h"
#include "shield/pcap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct pcap_frame *f, const struct pcap *again)
{
	struct pcap copy = *again;
	struct pcap_frame g;

	assert(pcap_next(&copy, &g));
	assert(bytes_eq(f->frame, g.frame) && f->wall_ns == g.wall_ns && f->wire == g.wire);
}

static void shown(struct bytes frame)
{
	char text[SHIELD_FRAME_TEXT_MAX];
	uint8_t *exact = malloc(frame.n + 1); /* so that a sanitizer sees one byte too many */

	if (frame.n)
		memcpy(exact, frame.p, frame.n);
	shield_frame_str(BYTES(exact, frame.n), text);
	assert(memchr(text, '\0', sizeof(text)));
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data;
	struct pcap_frame f;
	struct pcap p, again;
	char *copy = NULL;
	size_t n = 0;

	shown(BYTES(data, size));
	if (!pcap_open(&p, BYTES(data, size))) {
		assert(p.bad);
		return 0;
	}
	assert(pcap_is_one(BYTES(data, size)));
	while (pcap_next(&p, &f)) {
		FILE *out = open_memstream(&copy, &n);

		assert(f.frame.p >= end && f.frame.p + f.frame.n <= data + size);
		assert(f.wire >= f.frame.n);
		end = f.frame.p + f.frame.n;
		shown(f.frame);
		assert(pcap_write_head(out) && pcap_write(out, &f) && fclose(out) == 0);
		assert(pcap_open(&again, BYTES(copy, n)));
		same(&f, &again);
		free(copy);
	}
	assert(!pcap_next(&p, &f));
	return 0;
}
