/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_channel.c - what a worker that was taken over can say to the keeper.
 *
 * Byte 0 tells whether the sender is the admin worker; the rest is its datagram. What is let
 * through must be what request.h promises to the privileged side. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "keeper/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prefix(const struct keeper_msg *m)
{
	unsigned most = m->family == AF_INET ? 32 : 128;
	assert(m->family == AF_INET || m->family == AF_INET6);
	assert(m->bits <= most);
	for (unsigned i = m->bits; i < 128; i++)
		assert(!(m->addr[i / 8] & (0x80 >> i % 8)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	bool admin = data[0] & 1;
	struct keeper_msg m;
	const char *why = NULL;
	memset(&m, 0xa5, sizeof(m));
	enum request_verdict v = request_check(data + 1, size - 1, admin, &m, &why);
	assert((v == REQUEST_OK) == (why == NULL));
	if (v != REQUEST_OK)
		return 0;

	assert(size - 1 == sizeof(m) && memcmp(&m, data + 1, sizeof(m)) == 0);
	assert(m.status == 0);
	assert(m.kind == KEEPER_BAD_PEER ? m.incarnation > 0 : !m.member && !m.incarnation);
	switch (m.kind) {
	case KEEPER_READY: assert(m.value == 0); break;
	case KEEPER_BAD_PEER: assert(m.value == 0); break;
	case KEEPER_FULL: assert(m.value <= 1); break;
	case KEEPER_STATUS: assert(admin && m.value <= UINT16_MAX); break;
	case KEEPER_DENY_ADD:
		assert(admin && m.value <= KEEPER_DENY_MAX_S);
		assert(strnlen(m.text, sizeof(m.text)) <= KEEPER_NOTE_MAX);
		check_prefix(&m);
		break;
	case KEEPER_DENY_DEL:
		assert(admin && m.value == 0);
		check_prefix(&m);
		break;
	default: assert(!"a kind that nobody may send");
	}
	return 0;
}
