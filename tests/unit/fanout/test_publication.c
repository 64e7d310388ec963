/* SPDX-License-Identifier: BSD-2-Clause */
/* What crosses workers comes out as it went in, and nothing else comes out at all. */
#include "test.h"

#include <stdlib.h>

#include "fanout/presence.h"
#include "fanout/publication.h"

static uint8_t buf[4096] __attribute__((aligned(8)));

static size_t pack(const struct publication *p)
{
	struct publication_head head;
	struct bytes parts[PUBLICATION_PARTS];
	size_t n = 0;
	publication_pack(p, &head, parts);
	for (unsigned i = 0; i < PUBLICATION_PARTS; i++) {
		if (parts[i].n > 0)
			memcpy(buf + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	assert_int_equal(n, publication_packed_bytes(p));
	return n;
}

static const struct publication sample = {
	.space = 3,
	.kind = PUB_RELAY,
	.flags = PUB_F_FROM_USER | PUB_F_ACK,
	.channel = {(const uint8_t *)"lobby", 5},
	.relay = {(const uint8_t *)"chat", 4},
	.from = {(const uint8_t *)"u1", 2},
	.data = {(const uint8_t *)"{\"text\":\"hi\"}", 13},
	.ask = {(const uint8_t *)"\"x\"", 3},
	.id = {(const uint8_t *)"m1", 2},
	.sender = {.worker = 2, .index = 77, .gen = 5},
	.timestamp_ms = 1,
	.offset = 2,
	.epoch = 3,
};

static bool unpacks(struct publication p)
{
	struct publication out;
	return publication_unpack(BYTES(buf, pack(&p)), &out);
}

TEST(publication, comes_out_as_it_went_in)
{
	struct publication out;
	assert_true(publication_unpack(BYTES(buf, pack(&sample)), &out));
	assert_int_equal(out.space, 3);
	assert_int_equal(out.kind, PUB_RELAY);
	assert_int_equal(out.flags, sample.flags);
	assert_true(bytes_eq(out.channel, sample.channel));
	assert_true(bytes_eq(out.relay, sample.relay));
	assert_true(bytes_eq(out.from, sample.from));
	assert_true(bytes_eq(out.data, sample.data));
	assert_true(bytes_eq(out.ask, sample.ask));
	assert_true(bytes_eq(out.id, sample.id));
	assert_memory_equal(&out.sender, &sample.sender, sizeof(out.sender));
	assert_int_equal(out.timestamp_ms, 1);
	assert_int_equal(out.offset, 2);
	assert_int_equal(out.epoch, 3);
}

TEST(publication, cut_short_or_too_long_is_refused)
{
	size_t n = pack(&sample);
	struct publication out;
	uint8_t *copy = malloc(n);
	memcpy(copy, buf, n);
	for (size_t i = 0; i < n; i++) {
		uint8_t *piece = malloc(i ? i : 1); /* so that a read beyond is caught */
		memcpy(piece, copy, i);
		assert_false(publication_unpack(BYTES(piece, i), &out));
		free(piece);
	}
	assert_false(publication_unpack(BYTES(buf, n + 1), &out));
	free(copy);
}

TEST(publication, a_head_that_no_honest_worker_writes_is_refused)
{
	struct publication out;
	size_t n = pack(&sample);
	struct publication_head *h = (void *)buf, good = *h;
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		*h = good;                                                                         \
		change;                                                                            \
		assert_false(publication_unpack(BYTES(buf, n), &out));                             \
	} while (0)
	REFUSED(h->kind = PUB_KINDS);
	REFUSED(h->kind = PUB_MESSAGE); /* has a relay's name */
	REFUSED(h->flags = 0x80);
	REFUSED((h->channel_n = 0, h->data_n += 5));
	REFUSED(h->channel_n = 101);
	REFUSED(h->relay_n = 65);
	REFUSED(h->from_n = 65);
	REFUSED(h->ask_n = 129);
	REFUSED(h->data_n = UINT32_MAX);
	REFUSED(h->data_n--);
	REFUSED(h->to_8 = 1);
	REFUSED((h->to_8 = 1, h->data_n -= 8));
	REFUSED(h->id_n = PUBLICATION_ID_MAX + 1);
	*h = good;
	assert_true(publication_unpack(BYTES(buf, n), &out));
}

TEST(publication, an_expression_goes_along)
{
	static const uint8_t to[] = {1, 0, 1, 0, 0, 5, 'l', 'o', 'b', 'b', 'y', 2, 1, 'r', 0, 0};
	static const uint8_t user[] = {1, 0, 0, 0, 1, 1, 'a', 0};
	struct publication p = sample, out;
	p.offset = 0;
	p.to = BYTES(to, sizeof(to));
	assert_true(publication_unpack(BYTES(buf, pack(&p)), &out));
	assert_true(bytes_eq(out.to, p.to) && bytes_eq(out.data, p.data) && bytes_eq(out.id, p.id));
	assert_false(publication_is_kept(&out));
	p.offset = 1; /* it has no place among what is kept */
	assert_false(unpacks(p));
	p.offset = 0;
	p.channel = BYTES_LIT("lobbz"); /* not its label */
	assert_false(unpacks(p));
	p.to = BYTES(user, sizeof(user));
	p.channel = BYTES_LIT("user:a");
	assert_true(unpacks(p));
	p.channel = BYTES_LIT("a");
	assert_false(unpacks(p));
	p = (struct publication){
		.kind = PUB_JOIN, .channel = BYTES_LIT("lobby"), .from = BYTES_LIT("u1")};
	assert_true(unpacks(p));
	p.to = BYTES(to, sizeof(to));
	assert_false(unpacks(p));
}

TEST(publication, what_would_break_other_peoples_json_is_refused)
{
	struct publication p = sample;
	p.data = BYTES_LIT("{\"text\":\"hi\"");
	assert_false(unpacks(p));
	p.data = BYTES_LIT("[1]"); /* a relay's data is an object */
	assert_false(unpacks(p));
	p.data = BYTES_LIT("{}");
	assert_true(unpacks(p));
	p.ask = BYTES_LIT("{}");
	assert_false(unpacks(p));
	p.ask = BYTES_LIT("1,\"type\":\"x\"");
	assert_false(unpacks(p));
	p.ask = BYTES_LIT("-1");
	assert_true(unpacks(p));
	p.channel = BYTES("\xff", 1);
	assert_false(unpacks(p));
	p = sample;
	p.kind = PUB_TEXT;
	p.relay.n = 0;
	p.data = BYTES("\xff", 1);
	assert_false(unpacks(p));
	p.data.n = 0;
	assert_true(unpacks(p));
	p.kind = PUB_BINARY;
	p.data = BYTES("\xff", 1);
	assert_true(unpacks(p));
}

TEST(publication, space_around_a_value_does_not_travel_on)
{
	struct publication p = sample, out;
	p.kind = PUB_MESSAGE;
	p.relay.n = 0;
	p.data = BYTES_LIT(" [1] \n");
	assert_true(publication_unpack(BYTES(buf, pack(&p)), &out));
	assert_true(bytes_eq(out.data, BYTES_LIT("[1]")));
}

TEST(publication, a_join_says_who_and_nothing_else)
{
	struct publication p = sample;
	p.kind = PUB_JOIN;
	p.relay.n = p.data.n = 0;
	p.offset = 0;
	assert_true(unpacks(p));
	p.offset = 1;
	assert_false(unpacks(p));
	p.offset = 0;
	p.data = BYTES_LIT("1");
	assert_false(unpacks(p));
	p.data.n = 0;
	p.from.n = 0;
	assert_false(unpacks(p));
}

/* Two came, of whom one is named, and one left, whose name is a user's. */
static struct publication of_several(uint8_t *at)
{
	struct presence_head head = {
		.joined = 2, .left = 1, .online = 7, .n_joined = 1, .n_left = 1};
	struct presence_name a = {.text = BYTES_LIT("ab")};
	struct presence_name b = {.text = BYTES_LIT("u1"), .is_user = true};
	uint8_t *end = presence_put_head(at, &head);
	end = presence_put_name(end, &a);
	end = presence_put_name(end, &b);
	struct publication p = sample;
	p.kind = PUB_PRESENCE;
	p.flags = 0;
	p.relay.n = p.from.n = p.ask.n = p.id.n = 0;
	p.offset = 0;
	p.data = BYTES(at, (size_t)(end - at));
	return p;
}

TEST(publication, of_several_comes_out_as_it_went_in)
{
	uint8_t data[64];
	struct publication p = of_several(data), out;
	struct presence_head head;
	struct bytes names;
	assert_false(publication_is_kept(&p));
	assert_true(publication_unpack(BYTES(buf, pack(&p)), &out));
	assert_true(presence_read(out.data, &head, &names));
	assert_int_equal(head.joined, 2);
	assert_int_equal(head.left, 1);
	assert_int_equal(head.online, 7);
	struct presence_name name = presence_next(&names);
	assert_true(bytes_eq(name.text, BYTES_LIT("ab")) && !name.is_user);
	name = presence_next(&names);
	assert_true(bytes_eq(name.text, BYTES_LIT("u1")) && name.is_user);
	assert_int_equal(names.n, 0);
}

TEST(publication, of_several_is_refused_where_any_byte_of_it_lies)
{
	uint8_t good[64], data[64];
	struct publication p = of_several(good);
	const size_t first = sizeof(struct presence_head), n = p.data.n;
	p.data.p = data;
	struct presence_head *h = (void *)data;
	memcpy(data, good, n);
	assert_true(unpacks(p));
#define LIES(change)                                                                               \
	do {                                                                                       \
		memcpy(data, good, n);                                                             \
		change;                                                                            \
		assert_false(unpacks(p));                                                          \
	} while (0)
	LIES(h->joined = 0); /* and yet one is named */
	LIES(h->left = 0);
	LIES(h->n_joined = 2); /* there are no three names */
	LIES((h->n_joined = 0, h->n_left = 0));
	LIES((h->left = h->n_left = 65));
	LIES(h->_zero[1] = 1);
	LIES(data[first] = 2);                         /* neither a user nor a client */
	LIES((data[first + 1] = 0));                   /* a name of no bytes */
	LIES(data[first + 1] = IDENTITY_USER_MAX + 1); /* too long, and not there */
	LIES(data[first + 2] = 0xff);                  /* no UTF-8 */
	memcpy(data, good, n);
	for (p.data.n = 0; p.data.n < n; p.data.n++)
		assert_false(unpacks(p));
	data[n] = 0;
	p.data.n = n + 1;
	assert_false(unpacks(p));
	p.data.n = n;
	p.from = BYTES_LIT("u1");
	assert_false(unpacks(p));
	p.from.n = 0;
	p.offset = 1;
	assert_false(unpacks(p));
	h->joined = h->left = h->n_joined = h->n_left = 0; /* nothing happened at all */
	p.offset = 0;
	p.data.n = first;
	assert_false(unpacks(p));
}

TEST_MAIN()
