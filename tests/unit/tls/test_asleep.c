/* SPDX-License-Identifier: BSD-2-Clause */
/* The record layer by itself: published and independent vectors, two of its own ends against each
 * other, and every record that no honest peer sends. */
#include "test.h"

#include <openssl/aead.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/asleep.h"

static size_t unhex(const char *text, uint8_t *out)
{
	size_t n = 0;
	for (; *text; text++) {
		unsigned v;
		if (*text == ' ')
			continue;
		assert_int_equal(sscanf(text, "%2x", &v), 1);
		out[n++] = (uint8_t)v;
		text++;
	}
	return n;
}

static void assert_hex(const uint8_t *have, size_t n, const char *want)
{
	uint8_t bytes[512];
	assert_int_equal(unhex(want, bytes), n);
	assert_memory_equal(have, bytes, n);
}

/* ── RFC 8448 3: simple 1-RTT handshake, its application data ── */

#define CLIENT_SECRET "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define SERVER_SECRET "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"

static const struct trace {
	const char *secret, *key, *iv;
	uint64_t seq; /* the server's first record was a ticket */
	const char *data, *goodbye;
} traces[] = {
	{CLIENT_SECRET, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9", 0,
	 "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a"
	 "20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
	 "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"},
	{SERVER_SECRET, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984", 1,
	 "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb"
	 "501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
	 "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9"},
};

TEST(asleep, the_records_of_rfc_8448_are_made_and_opened)
{
	uint8_t content[50], goodbye[2] = {1, 0}, out[128];
	for (unsigned i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_SIZE(traces); i++) {
		uint8_t secret[TLS_SECRET_MAX];
		struct tls_key k, other;
		enum tls_type type = 0;
		struct bytes got;
		unhex(traces[i].secret, secret);
		tls_key_derive(TLS_SUITE_AES_128_GCM, secret, &k);
		assert_hex(k.key, 16, traces[i].key);
		assert_hex(k.iv, 12, traces[i].iv);
		assert_int_equal(k.seq, 0);
		k.seq = traces[i].seq;
		other = k;
		assert_true(tls_record_seal(TLS_SUITE_AES_128_GCM, &k, TLS_DATA, content,
					    sizeof(content), out));
		assert_hex(out, sizeof(content) + TLS_SEAL_EXTRA, traces[i].data);
		assert_int_equal(tls_record_open(TLS_SUITE_AES_128_GCM, &other, out,
						 sizeof(content) + TLS_SEAL_EXTRA, &type, &got),
				 TLS_NO_ALERT);
		assert_true(type == TLS_DATA && bytes_eq(got, BYTES(content, sizeof(content))));
		assert_true(tls_record_seal(TLS_SUITE_AES_128_GCM, &k, TLS_ALERT, goodbye, 2, out));
		assert_hex(out, 2 + TLS_SEAL_EXTRA, traces[i].goodbye);
		assert_int_equal(tls_record_open(TLS_SUITE_AES_128_GCM, &other, out,
						 2 + TLS_SEAL_EXTRA, &type, &got),
				 TLS_NO_ALERT);
		assert_true(type == TLS_ALERT && bytes_eq(got, BYTES(goodbye, 2)));
		assert_int_equal(other.seq, traces[i].seq + 2);
	}
}

/* ── our own vectors: the secret is 00 01 02 …; computed by Python's hmac and cryptography ── */

static const struct vector {
	enum tls_suite suite;
	const char *key, *iv, *first;
	const char *next; /* the secret after a KeyUpdate */
	const char *far;  /* under that, number 0x0102030405060708, three bytes of padding */
} vectors[] = {
	{TLS_SUITE_AES_128_GCM, "9c9783cf77ea32d44f369da41f19f3cc", "2f41c846a431a163814bcd71",
	 "170303001776649257c85378457eec4b66cb63e9769d82ac26c717c1",
	 "2cecd0a17506ef5fa73edc062d6e7b5397cf074ec1b4d8f99a120772932f0b45",
	 "170303001a234c3ef2dcb1d17f71ba0b2df5510a4cece7cb4c4b64c482a03f"},
	{TLS_SUITE_AES_256_GCM, "6877d022f1c61d24ebb7487c16752d9a4798e40431c75b39320e537c90e23225",
	 "42822531a0fe88648fc09e9f", "17030300171b5b0a557668a11bc9270404ef02a492ec2981bb584337",
	 "401331b63e9d59f202e8f041042d9516f4cd7fa2e2ee14631d3b49fc340d7af37fc2c0c9f252d8036f81ec5b"
	 "85cbe5db",
	 "170303001aa6a7a55956daaaeaed3739be47e7a7683e5e09cea253e45bdc00"},
	{TLS_SUITE_CHACHA20, "2ffbc449e87844051c7768f61ffd8ad070830f01ec2c520ef65f08e8296dffa0",
	 "2f41c846a431a163814bcd71", "1703030017e1c21e976410ad3d2b7f90541d86d93452e0e897901edd",
	 "2cecd0a17506ef5fa73edc062d6e7b5397cf074ec1b4d8f99a120772932f0b45",
	 "170303001a92af2a6e7159aac8e3fec6fec0eb88a0d086e62832b1497cbac6"},
};

TEST(asleep, all_suites_agree_with_an_independent_implementation)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		size_t n = tls_suite_secret_bytes(v->suite);
		uint8_t secret[TLS_SECRET_MAX], out[64];
		enum tls_type type = 0;
		struct bytes got;
		struct tls_key k;
		for (unsigned b = 0; b < sizeof(secret); b++)
			secret[b] = (uint8_t)b;
		tls_key_derive(v->suite, secret, &k);
		assert_hex(k.key, strlen(v->key) / 2, v->key);
		assert_hex(k.iv, 12, v->iv);
		assert_true(
			tls_record_seal(v->suite, &k, TLS_DATA, (const uint8_t *)"Sluice", 6, out));
		assert_hex(out, 6 + TLS_SEAL_EXTRA, v->first);
		tls_key_update(v->suite, secret, &k);
		assert_hex(secret, n, v->next);
		assert_int_equal(k.seq, 0);
		k.seq = 0x0102030405060708;
		n = unhex(v->far, out);
		assert_int_equal(tls_record_open(v->suite, &k, out, n, &type, &got), TLS_NO_ALERT);
		assert_true(type == TLS_DATA && bytes_eq(got, BYTES_LIT("Sluice")));
		assert_int_equal(k.seq, 0x0102030405060709);
	}
}

/* ── two ends ── */

struct end {
	struct tls_asleep a;
	struct tls_key rx, tx;
	struct tls_secrets secrets;
	struct tls_out out;
};

static struct end near_end, far_end;

static void end_begin(struct end *e, enum tls_suite suite, uint8_t hears, uint8_t says)
{
	free(e->out.p);
	memset(e, 0, sizeof(*e));
	memset(e->secrets.rx, hears, sizeof(e->secrets.rx));
	memset(e->secrets.tx, says, sizeof(e->secrets.tx));
	e->a = (struct tls_asleep){.suite = suite,
				   .rx = &e->rx,
				   .tx = &e->tx,
				   .secrets = &e->secrets,
				   .key_records = TLS_KEY_RECORDS,
				   .out = &e->out};
	tls_asleep_begin(&e->a);
}

static void begin(enum tls_suite suite)
{
	end_begin(&near_end, suite, 1, 2);
	end_begin(&far_end, suite, 2, 1);
}

static enum tls_alert why;
static struct bytes content;

/* What one end has in its output, heard by the other: all of it, or up to the first thing that is no
 * content. Returns the last; *got collects content. */
static enum tls_heard hear(struct end *e, struct end *from, struct tls_out *got)
{
	struct bytes in = BYTES(from->out.p, from->out.n);
	enum tls_heard h = TLS_HEARD_MORE;
	do {
		h = tls_asleep_open(&e->a, &in, &content, &why);
		if (h == TLS_HEARD_CONTENT && content.n > 0 && got) {
			assert_true(tls_out_room(got, content.n));
			memcpy(got->p + got->n, content.p, content.n);
			got->n += content.n;
		}
	} while (h == TLS_HEARD_CONTENT);
	assert_true(h != TLS_HEARD_MORE || in.n == 0);
	from->out.n = 0;
	return h;
}

static void say(struct end *e, const char *text)
{
	struct iovec v = {(void *)text, strlen(text)};
	assert_true(tls_asleep_seal(&e->a, &v, 1));
}

static void assert_heard(struct end *e, struct end *from, const char *text)
{
	struct tls_out got = {};
	assert_int_equal(hear(e, from, &got), TLS_HEARD_MORE);
	assert_int_equal(got.n, strlen(text));
	assert_memory_equal(got.p, text, got.n);
	free(got.p);
}

TEST(asleep, both_ends_talk_and_exchange_keys_whenever_they_like)
{
	for (enum tls_suite s = 1; s < TLS_SUITES; s++) {
		uint8_t was[32];
		begin(s);
		for (unsigned round = 0; round < 20; round++) {
			say(&near_end, "from here");
			assert_heard(&far_end, &near_end, "from here");
			memcpy(was, near_end.tx.key, sizeof(was));
			assert_true(tls_asleep_update(&near_end.a, round % 2));
			assert_memory_not_equal(was, near_end.tx.key, 16);
			say(&near_end, "and again");
			assert_heard(&far_end, &near_end, "and again");
			assert_int_equal(far_end.a.owes, round % 2);
			memcpy(was, far_end.tx.key, sizeof(was));
			say(&far_end, "from there");
			assert_heard(&near_end, &far_end, "from there");
			assert_int_equal(memcmp(was, far_end.tx.key, 16) != 0, round % 2);
			assert_false(far_end.a.owes || near_end.a.owes);
		}
		tls_asleep_alert(&near_end.a, TLS_ALERT_CLOSE_NOTIFY);
		assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_CLOSE);
	}
}

TEST(asleep, many_requests_for_an_update_are_answered_once)
{
	begin(TLS_SUITE_AES_128_GCM);
	for (unsigned i = 0; i < 10; i++)
		assert_true(tls_asleep_update(&near_end.a, true));
	assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_MORE);
	assert_int_equal(far_end.out.n, 0); /* and not before there is something to say */
	say(&far_end, "x");
	assert_int_equal(far_end.out.n, 5 + TLS_SEAL_EXTRA + 1 + TLS_SEAL_EXTRA);
	assert_heard(&near_end, &far_end, "x");
}

TEST(asleep, a_key_is_exchanged_when_it_has_sealed_enough)
{
	begin(TLS_SUITE_AES_256_GCM);
	near_end.a.key_records = 3;
	for (unsigned i = 0; i < 30; i++) {
		say(&near_end, "abc");
		assert_heard(&far_end, &near_end, "abc");
		assert_in_range(near_end.tx.seq, 1, 3);
	}
	assert_false(far_end.a.owes); /* she has said nothing: her key is as new */
	far_end.tx.seq = near_end.rx.seq = 3;
	for (unsigned i = 0; i < 3; i++)
		say(&near_end, "abc");
	assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_MORE);
	assert_true(far_end.a.owes); /* now we have asked for hers too */
}

TEST(asleep, no_counter_wraps)
{
	struct iovec v = {(void *)"x", 1};
	begin(TLS_SUITE_AES_128_GCM);
	near_end.a.key_records = UINT64_MAX;
	near_end.tx.seq = far_end.rx.seq = UINT64_MAX - 1;
	say(&near_end, "x");
	near_end.a.key_records = UINT64_MAX;
	near_end.a.owes = false;
	assert_heard(&far_end, &near_end, "x");
	assert_int_equal(near_end.tx.seq, UINT64_MAX);
	assert_false(tls_record_seal(TLS_SUITE_AES_128_GCM, &near_end.tx, TLS_DATA, v.iov_base, 1,
				     near_end.out.p));
	near_end.tx.seq--;
	say(&near_end, "x");
	assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_BAD);
	assert_int_equal(why, TLS_ALERT_INTERNAL_ERROR);
}

TEST(asleep, parts_of_all_sizes_are_gathered_into_records_of_growing_size)
{
	static const size_t sizes[] = {0, 1, 5, 4095, 4096, 16383, 16384, 16385, 50000};
	static uint8_t bytes[200000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 253);
	begin(TLS_SUITE_CHACHA20);
	for (size_t x = 0; x < ARRAY_SIZE(sizes); x++)
		for (size_t y = 0; y < ARRAY_SIZE(sizes); y++)
			for (size_t z = 0; z < ARRAY_SIZE(sizes); z++) {
				size_t n = sizes[x] + sizes[y] + sizes[z];
				struct iovec v[] = {{bytes, sizes[x]},
						    {bytes + sizes[x], sizes[y]},
						    {bytes + sizes[x] + sizes[y], sizes[z]}};
				struct tls_out got = {};
				uint64_t seq = near_end.tx.seq;
				assert_true(tls_asleep_seal(&near_end.a, v, 3));
				seq = near_end.tx.seq - seq;
				if (n > 0 && n <= TLS_CONTENT_MAX)
					assert_int_equal(seq, 1);
				if (n > TLS_CONTENT_MAX)
					assert_int_equal(load_be16(near_end.out.p + 3),
							 4096 + 1 + TLS_TAG);
				assert_int_equal(near_end.out.n, n + seq * TLS_SEAL_EXTRA);
				assert_int_equal(hear(&far_end, &near_end, &got), TLS_HEARD_MORE);
				assert_int_equal(got.n, n);
				assert_true(n == 0 || memcmp(got.p, bytes, n) == 0);
				free(got.p);
			}
}

/* ── what is refused ── */

/* Any record, sealed by the near end's key. */
static void put_record(unsigned type, const void *bytes, size_t n)
{
	assert_true(tls_out_room(&near_end.out, n + TLS_SEAL_EXTRA));
	assert_true(tls_record_seal(near_end.a.suite, &near_end.tx, type, bytes, n,
				    near_end.out.p + near_end.out.n));
	near_end.out.n += n + TLS_SEAL_EXTRA;
}

static void assert_refused(enum tls_alert what)
{
	struct bytes none;
	enum tls_alert told;
	assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_BAD);
	assert_int_equal(why, what);
	/* and the peer can read why */
	struct bytes in = BYTES(far_end.out.p, far_end.out.n);
	assert_int_equal(tls_asleep_open(&near_end.a, &in, &none, &told), TLS_HEARD_ALERT);
	assert_int_equal(told, what);
	begin(near_end.a.suite);
}

TEST(asleep, wrong_bits_anywhere_are_a_bad_mac)
{
	begin(TLS_SUITE_AES_128_GCM);
	for (size_t bit = 0; bit < (10 + TLS_SEAL_EXTRA) * 8; bit++) {
		begin(1 + bit % 3);
		say(&near_end, "0123456789");
		near_end.out.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (bit / 8 == 0) {
			assert_refused(TLS_ALERT_UNEXPECTED_MESSAGE);
			continue;
		}
		if (bit / 8 == 3 || bit / 8 == 4) { /* the length: another test */
			near_end.out.n = 0;
			continue;
		}
		assert_refused(TLS_ALERT_BAD_RECORD_MAC);
	}
}

TEST(asleep, the_version_of_a_record_says_nothing_but_is_authenticated)
{
	uint8_t record[64] = {TLS_DATA, 3, 1, 0, 5 + TLS_TAG};
	size_t got;
	EVP_AEAD_CTX ctx;
	begin(TLS_SUITE_AES_128_GCM);
	EVP_AEAD_CTX_init(&ctx, EVP_aead_aes_128_gcm(), near_end.tx.key, 16, TLS_TAG, NULL);
	for (unsigned lie = 0; lie < 2; lie++) { /* sealed with the version that it bears, or not */
		begin(TLS_SUITE_AES_128_GCM);
		record[2] = 1;
		assert_true(EVP_AEAD_CTX_seal(&ctx, record + TLS_HEAD, &got, 5 + TLS_TAG,
					      near_end.tx.iv, 12, (const uint8_t *)"ping\x17", 5,
					      record, TLS_HEAD));
		record[2] = lie ? 3 : 1;
		assert_true(tls_out_room(&near_end.out, sizeof(record)));
		memcpy(near_end.out.p, record, TLS_HEAD + got);
		near_end.out.n = TLS_HEAD + got;
		if (lie)
			assert_refused(TLS_ALERT_BAD_RECORD_MAC);
		else
			assert_heard(&far_end, &near_end, "ping");
	}
	EVP_AEAD_CTX_cleanup(&ctx);
}

TEST(asleep, each_thing_that_does_not_belong_here_has_its_alert)
{
	static const struct {
		unsigned type;
		size_t n;
		uint8_t bytes[12];
		enum tls_alert want;
	} rows[] = {
		{TLS_CHANGE_CIPHER_SPEC, 1, {1}, TLS_ALERT_UNEXPECTED_MESSAGE},
		{24, 1, {1}, TLS_ALERT_UNEXPECTED_MESSAGE},  /* heartbeat */
		{255, 4, {0}, TLS_ALERT_UNEXPECTED_MESSAGE}, /* nobody's */
		{TLS_HANDSHAKE, 0, {0}, TLS_ALERT_UNEXPECTED_MESSAGE},
		{TLS_HANDSHAKE, 4, {1, 0, 0, 0}, TLS_ALERT_UNEXPECTED_MESSAGE}, /* ClientHello */
		{TLS_HANDSHAKE, 4, {4, 0, 0, 0}, TLS_ALERT_UNEXPECTED_MESSAGE}, /* a ticket */
		{TLS_HANDSHAKE, 1, {20}, TLS_ALERT_UNEXPECTED_MESSAGE},         /* Finished */
		{TLS_HANDSHAKE, 5, {24, 0, 0, 1, 2}, TLS_ALERT_ILLEGAL_PARAMETER},
		{TLS_HANDSHAKE, 5, {24, 0, 0, 1, 255}, TLS_ALERT_ILLEGAL_PARAMETER},
		{TLS_HANDSHAKE, 4, {24, 0, 0, 0}, TLS_ALERT_DECODE_ERROR},
		{TLS_HANDSHAKE, 6, {24, 0, 0, 2, 0, 0}, TLS_ALERT_DECODE_ERROR},
		{TLS_HANDSHAKE, 2, {24, 1}, TLS_ALERT_DECODE_ERROR},
		{TLS_HANDSHAKE, 6, {24, 0, 0, 1, 0, 24}, TLS_ALERT_UNEXPECTED_MESSAGE},
		{TLS_HANDSHAKE, 10, {24, 0, 0, 1, 0, 24, 0, 0, 1, 0}, TLS_ALERT_UNEXPECTED_MESSAGE},
		{TLS_ALERT, 0, {0}, TLS_ALERT_DECODE_ERROR},
		{TLS_ALERT, 1, {1}, TLS_ALERT_DECODE_ERROR},
		{TLS_ALERT, 3, {1, 0, 0}, TLS_ALERT_DECODE_ERROR},
		{TLS_ALERT, 4, {1, 0, 1, 0}, TLS_ALERT_DECODE_ERROR},
		{0, 0, {0}, TLS_ALERT_UNEXPECTED_MESSAGE}, /* nothing but padding */
		{0, 9, {0}, TLS_ALERT_UNEXPECTED_MESSAGE},
	};
	for (enum tls_suite s = 1; s < TLS_SUITES; s++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			begin(s);
			put_record(rows[i].type, rows[i].bytes, rows[i].n);
			assert_refused(rows[i].want);
		}
}

TEST(asleep, a_peers_alert_ends_it_whatever_its_level_but_for_two)
{
	for (unsigned level = 0; level < 4; level++)
		for (unsigned what = 0; what < 256; what++) {
			uint8_t alert[2] = {(uint8_t)level, (uint8_t)what};
			begin(TLS_SUITE_AES_128_GCM);
			put_record(TLS_ALERT, alert, 2);
			enum tls_heard h = hear(&far_end, &near_end, NULL);
			assert_int_equal(h, what == TLS_ALERT_CLOSE_NOTIFY  ? TLS_HEARD_CLOSE :
					    what == TLS_ALERT_USER_CANCELED ? TLS_HEARD_MORE :
									      TLS_HEARD_ALERT);
			assert_int_equal(far_end.out.n, 0); /* nobody answers an alert */
		}
}

TEST(asleep, nothing_unprotected_is_listened_to)
{
	for (unsigned type = 0; type < 256; type++) {
		begin(TLS_SUITE_AES_128_GCM);
		if (type == TLS_DATA)
			continue;
		assert_true(tls_out_room(&near_end.out, 8));
		memcpy(near_end.out.p, (uint8_t[]){(uint8_t)type, 3, 3, 0, 1, 1}, 6);
		near_end.out.n = 1; /* its first byte is enough */
		assert_refused(TLS_ALERT_UNEXPECTED_MESSAGE);
	}
}

/* A record around whatever inner plaintext, type and padding included, as record.c never makes it. */
static void seal_inner(const uint8_t *inner, size_t n, uint8_t *record)
{
	EVP_AEAD_CTX ctx;
	size_t got;
	memcpy(record, (uint8_t[]){TLS_DATA, 3, 3}, 3);
	store_be16(record + 3, (uint16_t)(n + TLS_TAG));
	assert_true(near_end.tx.seq == 0); /* so that the nonce is the IV */
	EVP_AEAD_CTX_init(&ctx, EVP_aead_aes_128_gcm(), near_end.tx.key, 16, TLS_TAG, NULL);
	assert_true(EVP_AEAD_CTX_seal(&ctx, record + TLS_HEAD, &got, n + TLS_TAG, near_end.tx.iv,
				      12, inner, n, record, TLS_HEAD));
	EVP_AEAD_CTX_cleanup(&ctx);
}

TEST(asleep, lengths_are_held_to_their_bounds)
{
	static uint8_t inner[TLS_SEALED_MAX + 1], record[TLS_HEAD + TLS_SEALED_MAX + 64];
	for (size_t n = 0; n < 17; n++) { /* not even a type and a tag */
		begin(TLS_SUITE_AES_128_GCM);
		assert_true(tls_out_room(&near_end.out, 64));
		memset(near_end.out.p, 0, 64);
		near_end.out.p[0] = TLS_DATA;
		near_end.out.p[4] = (uint8_t)n;
		near_end.out.n = TLS_HEAD + n;
		assert_refused(TLS_ALERT_BAD_RECORD_MAC);
	}
	for (size_t n = TLS_SEALED_MAX + 1; n <= 65535; n += 977) { /* its head is enough */
		begin(TLS_SUITE_AES_128_GCM);
		assert_true(tls_out_room(&near_end.out, 8));
		near_end.out.p[0] = TLS_DATA;
		store_be16(near_end.out.p + 3, (uint16_t)n);
		near_end.out.n = TLS_HEAD;
		assert_refused(TLS_ALERT_RECORD_OVERFLOW);
	}
	/* the largest: full content; one more, by padding or by content, is too much */
	begin(TLS_SUITE_AES_128_GCM);
	put_record(TLS_DATA, inner, TLS_CONTENT_MAX);
	assert_int_equal(hear(&far_end, &near_end, NULL), TLS_HEARD_MORE);
	for (unsigned padded = 0; padded < 2; padded++) {
		begin(TLS_SUITE_AES_128_GCM);
		memset(inner, padded ? 0 : TLS_DATA, sizeof(inner));
		inner[0] = TLS_DATA;
		seal_inner(inner, TLS_CONTENT_MAX + 2, record);
		assert_true(tls_out_room(&near_end.out, sizeof(record)));
		memcpy(near_end.out.p, record, TLS_HEAD + TLS_CONTENT_MAX + 2 + TLS_TAG);
		near_end.out.n = TLS_HEAD + TLS_CONTENT_MAX + 2 + TLS_TAG;
		assert_refused(TLS_ALERT_RECORD_OVERFLOW);
	}
}

TEST(asleep, a_key_update_may_come_in_pieces_and_nothing_between_them)
{
	static const uint8_t update[5] = {24, 0, 0, 1, 1};
	for (unsigned cut = 1; cut < 5; cut++) {
		begin(TLS_SUITE_AES_128_GCM);
		put_record(TLS_HANDSHAKE, update, cut);
		put_record(TLS_HANDSHAKE, update + cut, 5 - cut);
		tls_key_update(near_end.a.suite, near_end.secrets.tx, &near_end.tx);
		say(&near_end, "on");
		assert_heard(&far_end, &near_end, "on");
		assert_true(far_end.a.owes);

		begin(TLS_SUITE_AES_128_GCM);
		put_record(TLS_HANDSHAKE, update, cut);
		say(&near_end, "in between");
		assert_refused(TLS_ALERT_UNEXPECTED_MESSAGE);
		put_record(TLS_HANDSHAKE, update, cut);
		tls_asleep_alert(&near_end.a, TLS_ALERT_CLOSE_NOTIFY);
		assert_refused(TLS_ALERT_UNEXPECTED_MESSAGE);
	}
}

TEST(asleep, who_says_much_and_means_nothing_is_sent_away)
{
	for (unsigned kind = 0; kind < 3; kind++) {
		begin(TLS_SUITE_AES_128_GCM);
		for (unsigned round = 0; round < 3; round++) { /* content makes good for it */
			for (unsigned i = 0; i < TLS_IDLE_MAX; i++)
				if (kind == 0)
					put_record(TLS_DATA, "", 0);
				else if (kind == 1)
					put_record(TLS_ALERT, (uint8_t[]){1, 90}, 2);
				else
					assert_true(tls_asleep_update(&near_end.a, true));
			say(&near_end, "well");
			assert_heard(&far_end, &near_end, "well");
			assert_false(far_end.a.restless);
		}
		for (unsigned i = 0; i <= TLS_IDLE_MAX; i++)
			put_record(TLS_DATA, "", 0);
		far_end.a.owes = false;
		assert_refused(TLS_ALERT_UNEXPECTED_MESSAGE);
	}
}

TEST(asleep, a_stream_may_be_cut_anywhere)
{
	static uint8_t all[400];
	begin(TLS_SUITE_AES_128_GCM);
	say(&near_end, "one");
	assert_true(tls_asleep_update(&near_end.a, false));
	say(&near_end, "two");
	size_t n = near_end.out.n;
	memcpy(all, near_end.out.p, n);
	for (size_t cut = 0; cut <= n; cut++) {
		uint8_t wire[400];
		struct tls_out got = {};
		end_begin(&far_end, TLS_SUITE_AES_128_GCM, 2, 1);
		memcpy(wire, all, n);
		for (size_t have = cut, begin_at = 0;; have = n) {
			struct bytes in = BYTES(wire + begin_at, have - begin_at);
			enum tls_heard h;
			while ((h = tls_asleep_open(&far_end.a, &in, &content, &why)) ==
			       TLS_HEARD_CONTENT) {
				assert_true(tls_out_room(&got, content.n));
				if (content.n)
					memcpy(got.p + got.n, content.p, content.n);
				got.n += content.n;
			}
			assert_int_equal(h, TLS_HEARD_MORE);
			begin_at = (size_t)(in.p - wire);
			if (have == n)
				break;
		}
		assert_int_equal(got.n, 6);
		assert_memory_equal(got.p, "onetwo", 6);
		free(got.p);
	}
}

TEST(asleep, suites_are_known_by_number_and_name)
{
	for (unsigned n = 0; n < 65536; n++)
		assert_int_equal(tls_suite_of((uint16_t)n), n == 0x1301 ? TLS_SUITE_AES_128_GCM :
							    n == 0x1302 ? TLS_SUITE_AES_256_GCM :
							    n == 0x1303 ? TLS_SUITE_CHACHA20 :
									  TLS_NO_SUITE);
	assert_string_equal(tls_suite_name(TLS_SUITE_AES_256_GCM), "TLS_AES_256_GCM_SHA384");
	assert_string_equal(tls_suite_name(TLS_NO_SUITE), "");
}

TEST(asleep, a_line_of_the_key_log_gives_the_secret_of_its_label_alone)
{
	static const char line[] = "SERVER_TRAFFIC_SECRET_0 00112233 a0b1c2ff";
	static const uint8_t want[] = {0xa0, 0xb1, 0xc2, 0xff, 0};
	uint8_t secret[TLS_SECRET_MAX] = {0};
	assert_false(tls_secret_of_line(line, "CLIENT_TRAFFIC_SECRET_0", secret));
	assert_false(tls_secret_of_line(line, "SERVER_TRAFFIC_SECRET", secret));
	assert_false(tls_secret_of_line("", "SERVER_TRAFFIC_SECRET_0", secret));
	assert_int_equal(secret[0], 0);
	assert_true(tls_secret_of_line(line, "SERVER_TRAFFIC_SECRET_0", secret));
	assert_memory_equal(secret, want, sizeof(want));
}

TEST_MAIN()
