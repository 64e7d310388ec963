/* SPDX-License-Identifier: BSD-2-Clause */
/* namespace.c - which of the configured namespaces a channel is of. */
#include <assert.h>
#include <string.h>

#include "config/config.h"

uint16_t config_namespace_of(const struct config *cfg, struct bytes channel)
{
	const uint8_t *colon = memchr(channel.p, ':', channel.n);
	struct bytes first = BYTES(channel.p, colon ? (size_t)(colon - channel.p) : channel.n);
	uint32_t other = 0;

	assert(cfg->n_namespaces > 0);
	for (uint32_t i = 0; i < cfg->n_namespaces; i++) {
		const char *name = cfg->namespaces[i].name;
		if (bytes_eq(bytes_str(name), first))
			return (uint16_t)i;
		if (!*name)
			other = i;
	}
	return (uint16_t)other;
}
