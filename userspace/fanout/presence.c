/* SPDX-License-Identifier: BSD-2-Clause */
/* presence.c - see presence.h. */
#include "fanout/presence.h"

#include "ws/utf8.h"

uint8_t *presence_put_head(uint8_t *at, const struct presence_head *head)
{
	memcpy(at, head, sizeof(*head));
	return at + sizeof(*head);
}

uint8_t *presence_put_name(uint8_t *at, const struct presence_name *name)
{
	assert(name->text.n >= 1 && name->text.n <= IDENTITY_USER_MAX);
	*at++ = name->is_user;
	*at++ = (uint8_t)name->text.n;
	memcpy(at, name->text.p, name->text.n);
	return at + name->text.n;
}

static bool head_good(const struct presence_head *h)
{
	return (h->joined > 0 || h->left > 0) && h->n_joined <= h->joined && h->n_left <= h->left &&
	       h->n_joined <= CONFIG_MAX_PRESENCE_NAMES && h->n_left <= CONFIG_MAX_PRESENCE_NAMES &&
	       h->_zero[0] == 0 && h->_zero[1] == 0;
}

/* Is there a whole name at the beginning, and a good one? */
static bool name_good(struct bytes in)
{
	if (in.n < PRESENCE_NAME_HEAD)
		return false;
	size_t n = in.p[1];
	return in.p[0] <= 1 && n >= 1 && n <= IDENTITY_USER_MAX && in.n - PRESENCE_NAME_HEAD >= n &&
	       utf8_valid(BYTES(in.p + PRESENCE_NAME_HEAD, n));
}

bool presence_read(struct bytes data, struct presence_head *head, struct bytes *names)
{
	if (data.n < sizeof(*head))
		return false;
	memcpy(head, data.p, sizeof(*head)); /* not aligned */
	if (!head_good(head))
		return false;
	*names = BYTES(data.p + sizeof(*head), data.n - sizeof(*head));
	struct bytes rest = *names;
	for (unsigned n = head->n_joined + head->n_left; n > 0; n--) {
		if (!name_good(rest))
			return false;
		presence_next(&rest);
	}
	return rest.n == 0;
}

struct presence_name presence_next(struct bytes *names)
{
	struct presence_name name = {
		.is_user = names->p[0],
		.text = BYTES(names->p + PRESENCE_NAME_HEAD, names->p[1]),
	};
	size_t used = PRESENCE_NAME_HEAD + name.text.n;
	*names = BYTES(names->p + used, names->n - used);
	return name;
}
