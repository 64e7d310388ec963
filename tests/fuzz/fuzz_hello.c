/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read of TLS beside the library: fields of a ClientHello, an OCSP response, a file of ticket keys. The
 * first byte says which. What is accepted must make sense. */
#include <assert.h>
#include <stdlib.h>

#include "tls/ja4.h"
#include "tls/ocsp.h"
#include "tls/ticket.h"

static void fingerprint(struct bytes in)
{
	char text[TLS_JA4_TEXT];
	struct tls_ja4 j, again;
	size_t n = in.n ? MIN(in.p[0], in.n - 1) : 0;
	if (in.n == 0 ||
	    !tls_ja4_of(0x0303, BYTES(in.p + 1, n), BYTES(in.p + 1 + n, in.n - 1 - n), &j))
		return;
	tls_ja4_print(&j, text);
	assert(strlen(text) == TLS_JA4_TEXT - 1);
	assert(tls_ja4_parse(bytes_str(text), &again) && memcmp(&j, &again, sizeof(j)) == 0);
}

static void response(struct bytes in)
{
	static const uint8_t serial[] = {1, 2, 3};
	struct tls_ocsp o = {.status = TLS_OCSP_UNKNOWN};
	if (tls_ocsp_read(in, BYTES(serial, sizeof(serial)), &o) == NULL)
		assert(o.this_update != 0 || o.next_update >= 0);
}

static void keys(struct bytes in)
{
	struct tls_tickets t;
	if (tls_tickets_parse(in, &t) == NULL)
		assert(t.n >= 1 && t.n <= TLS_TICKET_KEYS);
	else
		assert(t.n <= TLS_TICKET_KEYS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	/* a copy of its own, so that one byte too far is seen */
	uint8_t *p = malloc(n);
	memcpy(p, data, n);
	struct bytes rest = BYTES(p + 1, n - 1);
	switch (p[0] % 3) {
	case 0: fingerprint(rest); break;
	case 1: response(rest); break;
	default: keys(rest);
	}
	free(p);
	return 0;
}
