/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_words.c - the native protocol hears any messages, one per line of the input; a line that
 * begins with byte 1 is a binary message, any other one a text if it is UTF-8 (nothing
 * else climbs through ws/).
 *
 * The doubles of the unit tests stand around it and check everything that leaves: answers are
 * JSON objects with a type, names and ids are within their bounds, what is published
 * is JSON where it must be. And: no message is met with silence. */
#include <stdlib.h>

#include "proto/doubles.h"
#include "ws/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(struct bytes line)
{
	bool binary = line.n && line.p[0] == 1;
	uint64_t before = world.events;

	if (!binary && !utf8_valid(line))
		return;
	world.c->state = CONN_OPEN;
	world_hear(line.p, line.n, binary);
	assert(world.events > before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;

	world_begin(CONFIG_PROTOCOL_NATIVE, WORDS_ALL);
	world.muted = true;
	world.ep.bad_format_per_min = 3;
	if (size) { /* what the hub and the rate say is part of the input */
		world.member = size & 1;
		world.subscribe = size % 5;
		world.unsubscribe = size / 2 % 5;
		world.publish = size / 3 % 2 ? HUB_OK : HUB_OVERLOADED;
		world.ep.rate_per_s = size % 7 ? 0 : 20;
		world.ep.rate_burst = 3;
	}
	while (data < end) {
		const uint8_t *nl = memchr(data, '\n', (size_t)(end - data));
		const uint8_t *stop = nl ? nl : end;

		one(BYTES(data, (size_t)(stop - data)));
		data = stop + (nl != NULL);
	}
	return 0;
}
