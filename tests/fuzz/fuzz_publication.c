/* SPDX-License-Identifier: BSD-2-Clause */
/* A packed publication of whatever another worker wrote: refused, or in bounds, packed again into
 * the same bytes, and shown in every encoding: as valid JSON, or as its bytes. */
#include <stdlib.h>

#include "base/json.h"
#include "fanout/encoding.h"
#include "fanout/publication.h"
#include "ws/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

static void show(const struct publication *p)
{
	size_t bound = encoding_bound(p);
	uint8_t *text = malloc(bound); /* of exactly the bound: the sanitizer watches its end */
	MUST(text != NULL);
	for (enum encoding e = 0; e < ENC_COUNT; e++) {
		if (encoding_table[e].same_as(p) != e)
			continue;
		struct json_out o = JSON_OUT(text, bound);
		struct json_limits limits = {.max_depth = JSON_MAX_DEPTH};
		struct json_value v;
		uint8_t opcode = encoding_table[e].encode(p, &o);
		MUST(!o.overflow);
		bool bytes = e == ENC_CHANNEL_BINARY || (e == ENC_RAW && p->kind == PUB_BINARY);
		MUST(opcode == (bytes ? WS_BINARY : WS_TEXT));
		if (e == ENC_CHANNEL_BINARY)
			MUST(o.n == 2 + p->channel.n + 8 + p->data.n);
		if (bytes || e == ENC_RAW)
			continue;
		enum json_result r = json_check(json_out_bytes(&o), &limits, &v);
		/* what is nested as deep as may be is one deeper in its message */
		MUST(r == JSON_TOO_DEEP || (r == JSON_OK && v.type == JSON_IS_OBJECT));
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *in = malloc(size ? size : 1);
	struct publication p, again;
	struct publication_head head;
	struct bytes parts[PUBLICATION_PARTS];

	MUST(in != NULL);
	if (size > 0)
		memcpy(in, data, size);
	if (publication_unpack(BYTES(in, size), &p)) {
		size_t n = publication_packed_bytes(&p), at = 0;
		uint8_t *out = malloc(n);
		MUST(out != NULL && n <= size); /* space around values is gone */
		publication_pack(&p, &head, parts);
		for (unsigned i = 0; i < PUBLICATION_PARTS; i++) {
			if (parts[i].n > 0)
				memcpy(out + at, parts[i].p, parts[i].n);
			at += parts[i].n;
		}
		MUST(at == n && publication_unpack(BYTES(out, n), &again));
		MUST(bytes_eq(p.to, again.to) && bytes_eq(p.data, again.data) &&
		     bytes_eq(p.channel, again.channel) && bytes_eq(p.from, again.from) &&
		     bytes_eq(p.ask, again.ask) && p.kind == again.kind &&
		     p.offset == again.offset);
		if (n == size)
			MUST(memcmp(in, out, n) == 0);
		free(out);
		show(&p);
	}
	free(in);
	return 0;
}
