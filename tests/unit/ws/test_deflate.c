/* SPDX-License-Identifier: BSD-2-Clause */
/* test_deflate.c - messages packed and unpacked, and what is refused of what peers pack. */
#include "test.h"

#include "ws/deflate.c"

static struct ws_deflate *d;

static struct bytes hex(const char *s)
{
	static uint8_t out[4096];
	size_t n = 0;
	for (; *s; s += *s == ' ' ? 1 : 2) {
		unsigned v;
		if (*s != ' ' && sscanf(s, "%2x", &v) == 1)
			out[n++] = (uint8_t)v;
	}
	return BYTES(out, n);
}

static enum ws_bad inflated(struct bytes packed, uint32_t max, struct bytes *out)
{
	uint8_t *p = NULL;
	size_t n = 0;
	enum ws_bad bad = ws_inflate(d, packed, max, &p, &n);
	*out = BYTES(p, n);
	return bad;
}

/* RFC 7692 7.2.3: the examples, and shapes that they do not show. */
TEST(deflate, blocks_of_every_kind_are_unpacked)
{
	static const struct {
		const char *packed, *text;
	} rows[] = {
		{"f248cdc9c90700", "Hello"},             /* one fixed block */
		{"000500faff48656c6c6f00", "Hello"},     /* a stored one */
		{"f348cdc9c9070000", "Hello"},           /* BFINAL is set */
		{"f24805000000ffffcac9c90700", "Hello"}, /* two, with a flush between */
		{"f348cdc9c90700f348cdc9c9070000",
		 "HelloHello"},                   /* two streams, both with an end */
		{"00", ""},                       /* the empty message */
		{"0200", ""},                     /* as Chromium packs it */
		{"0300 00", ""},                  /* and with an end */
		{"", ""},                         /* and as nothing at all */
		{"000000ffff 000000ffff 00", ""}, /* flushes that nobody asked for */
	};
	d = ws_deflate_new();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes out;
		assert_msg(inflated(hex(rows[i].packed), 10, &out) == WS_BAD_NONE, "%s",
			   rows[i].packed);
		assert_msg(bytes_eq(out, bytes_str(rows[i].text)), "%s: %.*s", rows[i].packed,
			   BYTES_FMT(out));
		ws_inflate_end(d);
	}
	ws_deflate_free(d);
}

TEST(deflate, what_is_no_whole_stream_is_refused)
{
	static const char *const rows[] = {
		"07",                      /* a block of the reserved kind */
		"f248cdc9c9",              /* cut within a block */
		"f248cdc9c907",            /* without the flush's block */
		"f348cdc9c90700",          /* an end, and no block behind it */
		"f348cdc9c9070000 ff",     /* rubbish behind the end */
		"f248cdc9c90700 00",       /* and behind the flush */
		"f248cdc9c90700 0000ffff", /* the octets that were to be cut off */
		"000500f0ff48656c6c6f00",  /* a stored block whose lengths differ */
		"000400fbff",              /* a stored block that would swallow our octets */
		"000900f6ff 48656c6c6f",   /* and more */
		"f24805000000ffffcac9c9",  /* cut in the second block */
		"02020000",                /* a reference to what was before the message */
		"f348cdc9c90700 02020000", /* and to the stream before */
		"05e0810000000000",        /* a dynamic block that describes itself wrongly */
	};
	d = ws_deflate_new();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes out;
		assert_msg(inflated(hex(rows[i]), 1000, &out) == WS_BAD_DEFLATE, "%s", rows[i]);
		assert_int_equal(inflated(hex("f248cdc9c90700"), 5, &out), WS_BAD_NONE);
		assert_true(bytes_eq(out, BYTES_LIT("Hello")));
		ws_inflate_end(d);
	}
	ws_deflate_free(d);
}

/* `n` zeros in a thousandth of it, by zlib with its largest window. */
static struct bytes bomb(size_t n)
{
	static uint8_t out[1 << 16];
	static uint8_t zeros[1 << 16];
	z_stream z = {.next_out = out, .avail_out = sizeof(out)};
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	while (n > 0) {
		z.next_in = zeros;
		z.avail_in = (uInt)MIN(n, sizeof(zeros));
		n -= z.avail_in;
		assert_int_equal(deflate(&z, n > 0 ? Z_NO_FLUSH : Z_SYNC_FLUSH), Z_OK);
	}
	size_t packed = sizeof(out) - z.avail_out - FLUSHED;
	deflateEnd(&z);
	return BYTES(out, packed);
}

TEST(deflate, the_limit_holds_to_the_byte_and_for_memory)
{
	static const size_t sizes[] = {1, 16383, 16384, 16385, 100000, 262144, 1000000};
	struct bytes out;
	d = ws_deflate_new();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t n = (uint32_t)sizes[i];
		assert_int_equal(inflated(bomb(n), n, &out), WS_BAD_NONE);
		assert_int_equal(out.n, n);
		ws_inflate_end(d);
		assert_int_equal(inflated(bomb(n), n - 1, &out), WS_BAD_INFLATED_TOO_LONG);
		assert_true(d->message_cap <= ROOM_KEEP);
	}
	/* 50 MB in 50 KB: nothing beyond the limit is ever made */
	ws_deflate_rest(d);
	struct bytes b = bomb(50000000);
	assert_true(b.n < 50000);
	assert_int_equal(inflated(b, 100000, &out), WS_BAD_INFLATED_TOO_LONG);
	assert_int_equal(d->message_cap, 100001);
	assert_true(d->in.total_out <= 100001);
	ws_deflate_free(d);
}

static const char *json(size_t n)
{
	static char text[400000];
	size_t k = 1;
	text[0] = '[';
	for (unsigned i = 0; k + 1 < n; i++)
		k += (size_t)snprintf(text + k, n - k, "{\"id\":%u,\"name\":\"n%u\"},", i * 7919u,
				      i % 13);
	memset(text + n - 1, ']', 1);
	text[n] = '\0';
	return text;
}

TEST(deflate, what_we_pack_is_unpacked_by_a_client_that_has_only_the_window_it_was_told)
{
	d = ws_deflate_new();
	for (size_t n = 100; n < WS_DEFLATE_MAX; n = n * 3 + 7) {
		struct bytes text = BYTES(json(n), n), packed = ws_deflate(d, text);
		assert_non_null(packed.p);
		assert_true(packed.n < n);
		uint8_t *back = malloc(n + 1);
		z_stream z = {.next_in = (Bytef *)packed.p,
			      .avail_in = (uInt)packed.n,
			      .next_out = back,
			      .avail_out = (uInt)n + 1};
		assert_int_equal(inflateInit2(&z, -WS_DEFLATE_BITS), Z_OK);
		assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
		z.next_in = (Bytef *)"\0\0\xff\xff";
		z.avail_in = 4;
		assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
		assert_int_equal(z.total_out, n);
		assert_memory_equal(back, text.p, n);
		inflateEnd(&z);
		free(back);
	}
	ws_deflate_free(d);
}

TEST(deflate, a_message_knows_nothing_of_the_one_before_and_rest_gives_all_back)
{
	uint8_t first[2000];
	d = ws_deflate_new();
	struct bytes a = ws_deflate(d, BYTES(json(4000), 4000));
	assert_true(a.n > 0 && a.n < sizeof(first));
	memcpy(first, a.p, a.n);
	for (unsigned i = 0; i < 4; i++) {
		struct bytes b = ws_deflate(d, BYTES(json(4000), 4000)), out;
		assert_int_equal(b.n, a.n);
		assert_memory_equal(b.p, first, b.n);
		assert_int_equal(inflated(b, 4000, &out), WS_BAD_NONE);
		assert_memory_equal(out.p, json(4000), 4000);
		ws_inflate_end(d);
		if (i % 2) {
			ws_deflate_rest(d);
			assert_true(d->packed == NULL && d->message == NULL && !d->in_made &&
				    !d->out_made);
		}
	}
	ws_deflate_free(d);
	ws_deflate_free(NULL);
}

TEST(deflate, what_would_not_become_shorter_is_not_packed)
{
	static uint8_t noise[WS_DEFLATE_MAX + 1];
	d = ws_deflate_new();
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)rand();
	assert_null(ws_deflate(d, BYTES(noise, 10000)).p);
	assert_null(ws_deflate(d, BYTES(noise, 1)).p);
	assert_null(ws_deflate(d, BYTES(noise, 0)).p);
	memset(noise, 'a', sizeof(noise));
	assert_non_null(ws_deflate(d, BYTES(noise, WS_DEFLATE_MAX)).p);
	assert_null(ws_deflate(d, BYTES(noise, WS_DEFLATE_MAX + 1)).p);
	ws_deflate_free(d);
}

TEST_MAIN()
