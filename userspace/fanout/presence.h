/* SPDX-License-Identifier: BSD-2-Clause */
/* presence.h - who came to a big channel and who left it meanwhile: the data of a PUB_PRESENCE.
 *
 *   ┌ head, 16 bytes ┬ those who came ┬ those who left ┐     each: u8 is a user · u8 length · name
 *
 * The counts are of all, the names of some of them. */
#ifndef SLUICE_FANOUT_PRESENCE_H
#define SLUICE_FANOUT_PRESENCE_H

#include <assert.h>

#include "base/bytes.h"
#include "config/config.h"
#include "conn/identity.h"

struct presence_head {
	uint32_t joined, left; /* not both 0 */
	uint32_t online;       /* subscribers now */
	uint8_t n_joined, n_left;
	uint8_t _zero[2];
};
static_assert(sizeof(struct presence_head) == 16, "no hidden bytes");

#define PRESENCE_NAME_HEAD 2
#define PRESENCE_MAX                                                                               \
	(sizeof(struct presence_head) +                                                            \
	 2 * CONFIG_MAX_PRESENCE_NAMES * (PRESENCE_NAME_HEAD + (size_t)IDENTITY_USER_MAX))

struct presence_name {
	struct bytes text; /* 1 to IDENTITY_USER_MAX bytes of UTF-8 */
	bool is_user;
};

/* A head, and then its names in order; at most PRESENCE_MAX bytes at `at`. Each returns where
 * the next one goes. */
uint8_t *presence_put_head(uint8_t *at, const struct presence_head *head);
uint8_t *presence_put_name(uint8_t *at, const struct presence_name *name);

/* False: no honest worker wrote that. *names are then for presence_next(), as many as the head
 * says; they lie in `data`. */
bool presence_read(struct bytes data, struct presence_head *head, struct bytes *names);
/* Takes the first of names that presence_read() has found good. */
struct presence_name presence_next(struct bytes *names);

#endif
