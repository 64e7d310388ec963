/* SPDX-License-Identifier: BSD-2-Clause */
/* expression.h - who is meant: set algebra over channels, users and roles.
 *
 *   any(lobby,news) all(vip) except(muted)      (⋃ any) ∩ (⋂ all) \ (⋃ except)
 *
 * At least one name stands in any or all; without `any` it is those in all of `all`. A name is a channel, a
 * user (whose connections are logged in as that) or a role (likewise, of those that have it). It
 * is 16 names at most: each costs every worker a look-up and a pass over its sets, for one
 * publication, and together they must fit beside it in a message.
 *
 * Three forms, all of which are read into a struct expression:
 *
 *   text    for operators, as above; to(…) is any(…), and a NAME alone is any(NAME). `user:alice`,
 *           `role:ops`, `channel:NAME` whatever that begins with; any other word is a channel. An
 *           item in double quotes, with the escapes of JSON strings, may hold commas, parentheses and blanks.
 *   JSON    for clients: {"any":["lobby","news"],"all":["vip"],"except":["muted"]}, channels only
 *   packed  between workers, and for hub/select.h:
 *
 *             ┌ u8 any ┬ u8 all ┬ u8 except ┬ u8 0 ┬ items: u8 kind · u8 length · name ┬ zeros ┐
 *
 *           a multiple of eight bytes long. */
#ifndef SLUICE_HUB_EXPRESSION_H
#define SLUICE_HUB_EXPRESSION_H

#include "base/bytes.h"

#define EXPRESSION_NAMES    16
#define EXPRESSION_NAME_MAX 100  /* of a channel: CHANNEL_NAME_MAX */
#define EXPRESSION_TEXT_MAX 4096 /* that one can be given as; no bound of the reader's */
#define EXPRESSION_MAX      1640 /* packed: 4 + 16 * (2 + 100), up to the next eighth byte */

enum expression_list { EXPRESSION_ANY, EXPRESSION_ALL, EXPRESSION_EXCEPT, EXPRESSION_LISTS };
enum expression_kind { EXPRESSION_CHANNEL, EXPRESSION_USER, EXPRESSION_ROLE, EXPRESSION_KINDS };

struct expression_name {
	uint8_t list, kind;
	struct bytes name; /* without "user:" or "role:" */
};

/* Begins zeroed. */
struct expression {
	uint32_t n;
	struct expression_name item[EXPRESSION_NAMES]; /* by list, unless it is being read */
	size_t _used;
	uint8_t _text[EXPRESSION_NAMES * EXPRESSION_NAME_MAX]; /* of names that were not lent */
};

/* What is wrong with a text: at which byte, from 0 on, and what would be right. */
struct expression_error {
	size_t at;
	char why[160];
};
bool expression_from_text(struct bytes text, struct expression *x, struct expression_error *e);
/* `raw` is a value that a scan has returned. False: *field, static, is the one that is wrong, as a
 * client is told: "to", "to.any", "to.all", "to.except". */
bool expression_from_json(struct bytes raw, struct expression *x, const char **field);

/* Writes the packed form to `out` and returns it. x was read by one of the functions here. */
struct bytes expression_pack(const struct expression *x, uint8_t out[EXPRESSION_MAX]);
/* `in` is whatever another worker wrote; false: no honest worker wrote that. Names lie in `in`. */
bool expression_unpack(struct bytes in, struct expression *x);

/* The name whose home gives such a publication its place: the first positive one. */
const struct expression_name *expression_lead(const struct expression *x);
/* As a publication by that name is labelled: the channel's name, "user:alice", "role:ops". Lies in
 * `buf`, or is the name itself. */
struct bytes expression_label(const struct expression_name *name, uint8_t buf[EXPRESSION_NAME_MAX]);
/* Only one channel is meant, and no set is formed: then it is an ordinary publication to it. */
bool expression_is_channel(const struct expression *x);

#endif
