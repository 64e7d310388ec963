/* SPDX-License-Identifier: BSD-2-Clause */
/* Records against a TLS of its own on the other side: cut anywhere, of every size, both versions,
 * and what no honest peer sends. */
#include "test.h"

#include "../conn/little.h"
#include "tls/internal.h"

#define SETTINGS                                                                                   \
	"endpoints = ( { path = \"/echo\"; protocol = \"echo\"; rate = 0; max_message = \"1 MiB\"; } );" LITTLE_LISTENERS

static const uint16_t versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static uint8_t big[300000], back[400000];

static struct far shaken(uint16_t version)
{
	struct far f = far_open(LITTLE_TLS, 0);
	far_tls(&f, version);
	assert_true(far_shake_cut(&f, 0));
	assert_int_equal(far_conn(&f)->state, CONN_HTTP);
	return f;
}

/* An echo over TLS of that version. */
static struct far open_echo(uint16_t version)
{
	struct far f = shaken(version);
	static const char ask[] = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
				  "Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
				  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	far_send(&f, ask, sizeof(ask) - 1);
	far_recv_all(&f, (char *)back, sizeof(back), NULL);
	assert_int_equal(far_conn(&f)->state, CONN_OPEN);
	return f;
}

/* One binary message and its echo; the client's records hold up to `max` bytes, and come in
 * pieces of `cut`. */
static void echo(struct far *f, size_t n, size_t max, size_t cut)
{
	static uint8_t frame[sizeof(big) + 14];
	static const uint8_t mask[4] = {7, 7, 7, 7};
	for (size_t i = 0; i < n; i++)
		big[i] = (uint8_t)(i * 31 + n);
	size_t len = ws_frame_write(frame, sizeof(frame), WS_BINARY | WS_FIN, BYTES(big, n), mask);
	for (size_t at = 0; at < len; at += max)
		SSL_write(f->ssl, frame + at, (int)MIN(len - at, max));
	far_say(f, cut);
	little_settle();
	size_t got = far_recv_all(f, (char *)back, sizeof(back), NULL);
	size_t head = n < 126 ? 2 : n < 65536 ? 4 : 10;
	assert_int_equal(got, head + n);
	assert_memory_equal(back + head, big, n);
}

static void end(struct far *f)
{
	far_close(f);
	little_settle();
	assert_true(little_is_clean());
	assert_int_equal(little.w->slab.live, 0);
}

TEST(record, a_handshake_cut_anywhere_succeeds)
{
	static const size_t cuts[] = {1, 2, 3, 4, 5, 6, 17, 100, 1000};
	for (unsigned v = 0; v < 2; v++) {
		little_open(SETTINGS);
		for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
			struct far f = far_open(LITTLE_TLS, 0);
			far_tls(&f, versions[v]);
			assert_true(far_shake_cut(&f, cuts[i]));
			assert_int_equal(far_conn(&f)->state, CONN_HTTP);
			far_close(&f);
			little_settle();
		}
		assert_int_equal(little.w->stats.handshakes, ARRAY_SIZE(cuts));
		assert_int_equal(little.w->stats.handshakes_failed, 0);
		assert_true(little_is_clean());
		little_close();
	}
}

TEST(record, messages_of_every_size_come_back)
{
	static const size_t sizes[] = {0,     1,      125,    126,    16378,  16379, 16380,
				       16381, 16382,  16383,  16384,  16385,  32767, 65535,
				       65536, 131071, 131072, 131073, 262144, 300000};
	for (unsigned v = 0; v < 2; v++) {
		little_open(SETTINGS);
		struct far f = open_echo(versions[v]);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			echo(&f, sizes[i], 16384, 0);
		assert_in_range(little.w->tls->out.cap, 0, 512 << 10);
		end(&f);
		little_close();
	}
}

TEST(record, records_of_every_size_are_opened)
{
	for (unsigned v = 0; v < 2; v++) {
		little_open(SETTINGS);
		struct far f = open_echo(versions[v]);
		for (size_t max = 1; max < 40; max++)
			echo(&f, 200, max, 0);
		for (size_t max = 16000; max <= 16384; max += 64)
			echo(&f, 70000, max, 0);
		end(&f);
		little_close();
	}
}

TEST(record, records_cut_anywhere_are_opened)
{
	for (unsigned v = 0; v < 2; v++) {
		little_open(SETTINGS);
		struct far f = open_echo(versions[v]);
		for (size_t cut = 1; cut < 80; cut++)
			echo(&f, 100, 20, cut); /* several small records, each cut everywhere */
		static const size_t cuts[] = {4096, 16383, 16384, 16406, 20000, 65535, 65536};
		for (size_t i = 0; i < ARRAY_SIZE(cuts); i++)
			echo(&f, 250000, 16384, cuts[i]);
		end(&f);
		little_close();
	}
}

/* Several parts become as few records as they fit in, and read as what they were. */
TEST(record, parts_are_sealed_together_whatever_their_sizes)
{
	static const size_t sizes[] = {0, 1, 2, 100, 16383, 16384, 16385, 40000};
	little_open(SETTINGS);
	for (unsigned v = 0; v < 2; v++) {
		struct far f = open_echo(versions[v]);
		struct conn *c = far_conn(&f);
		for (size_t i = 0; i < sizeof(big); i++)
			big[i] = (uint8_t)(i * 7 + i / 251);
		for (size_t a = 0; a < ARRAY_SIZE(sizes); a++)
			for (size_t b = 0; b < ARRAY_SIZE(sizes); b++)
				for (size_t d = 0; d < ARRAY_SIZE(sizes); d++) {
					struct iovec parts[3] = {{big, sizes[a]},
								 {big + sizes[a], sizes[b]},
								 {big + sizes[a] + sizes[b],
								  sizes[d]}};
					size_t n = sizes[a] + sizes[b] + sizes[d];
					assert_true(tls_seal(little.w, c, parts, 3));
					struct bytes out = tls_output(little.w);
					assert_in_range(out.n, n, n + (n / 16384 + 3) * 40);
					BIO_write(f.in, out.p, (int)out.n);
					tls_output_clear(little.w);
					for (size_t got = 0; got < n;) {
						int r = SSL_read(f.ssl, back, sizeof(back));
						assert_true(r > 0);
						assert_memory_equal(back, big + got, r);
						got += (size_t)r;
					}
				}
		far_close(&f);
	}
	little_close();
}

TEST(record, key_updates_are_followed_and_answered)
{
	little_open(SETTINGS);
	struct far f = open_echo(TLS1_3_VERSION);
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(SSL_key_update(f.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED :
							       SSL_KEY_UPDATE_NOT_REQUESTED),
				 1);
		echo(&f, 100 + i, 50, i % 3);
	}
	end(&f);
	little_close();
}

/* ── what nobody honest sends ── */

/* The conn ends, and for this reason. */
static void assert_refused(struct far *f, enum close_reason why)
{
	little_settle();
	assert_null(far_conn(f));
	assert_int_equal(little.w->stats.closed[why], 1);
	little.w->stats.closed[why] = 0;
	end(f);
}

TEST(record, a_flood_of_key_updates_ends_it)
{
	little_open(SETTINGS);
	struct far f = open_echo(TLS1_3_VERSION);
	for (unsigned i = 0; i < 100 && far_conn(&f); i++) {
		SSL_key_update(f.ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		SSL_write(f.ssl, "", 0);
		far_say(&f, 0);
	}
	assert_refused(&f, CLOSE_TLS_RECORD);
	little_close();
}

/* A record of the client, with one byte changed. */
static void corrupt(struct far *f, size_t at_back)
{
	uint8_t record[2000];
	SSL_write(f->ssl, "GET / HTTP/1.1\r\n", 16);
	int n = BIO_read(f->out, record, sizeof(record));
	record[(size_t)n - 1 - at_back] ^= 1;
	far_put(f, record, (size_t)n);
}

TEST(record, one_wrong_bit_ends_it)
{
	for (unsigned v = 0; v < 2; v++)
		for (size_t at = 0; at < 24; at++) {
			little_open(SETTINGS);
			struct far f = shaken(versions[v]);
			corrupt(&f, at);
			assert_refused(&f, CLOSE_TLS_RECORD);
			little_close();
		}
}

TEST(record, a_replayed_record_ends_it)
{
	for (unsigned v = 0; v < 2; v++) {
		uint8_t record[2000];
		little_open(SETTINGS);
		struct far f = shaken(versions[v]);
		SSL_write(f.ssl, "GET / HTTP/1.1\r\n", 16);
		int n = BIO_read(f.out, record, sizeof(record));
		far_put(&f, record, (size_t)n);
		assert_non_null(far_conn(&f));
		far_put(&f, record, (size_t)n);
		assert_refused(&f, CLOSE_TLS_RECORD);
		little_close();
	}
}

static const struct junk {
	const char *name, *bytes;
	size_t n;
} junk[] = {
#define JUNK(name, bytes)                                                                          \
	{                                                                                          \
		name, bytes, sizeof(bytes) - 1                                                     \
	}
	JUNK("data before the handshake", "\x17\x03\x03\x00\x05hello"),
	JUNK("an unknown type", "\x63\x03\x03\x00\x05hello"),
	JUNK("longer than a record can be", "\x16\x03\x01\xff\xff"
					    "abcdefgh"),
	JUNK("the longest length that is one too many", "\x16\x03\x01\x48\x06"
							"abcdefgh"),
	JUNK("HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	JUNK("a fatal alert", "\x15\x03\x03\x00\x02\x02\x28"),
	JUNK("half an alert", "\x15\x03\x03\x00\x01\x02"),
	JUNK("SSL 2", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00"),
	JUNK("SSL 3", "\x16\x03\x00\x00\x2f\x01\x00\x00\x2b\x03\x00"
		      "01234567890123456789012345678901"
		      "\x00\x00\x04\x00\x05\x00\x0a\x01\x00"),
	JUNK("a hello that ends early", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
	JUNK("a server's hello", "\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
#undef JUNK
};

TEST(record, junk_in_place_of_a_hello_is_refused_or_times_out)
{
	little_open(SETTINGS);
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++)
		for (unsigned each = 0; each < 2; each++) {
			struct far f = far_open(LITTLE_TLS, 0);
			for (size_t at = 0; at < junk[i].n; at += each ? 1 : junk[i].n)
				far_put(&f, junk[i].bytes + at, each ? 1 : junk[i].n);
			little_wait(11000);
			assert_msg(far_conn(&f) == NULL, "%s", junk[i].name);
			end(&f);
		}
	assert_int_equal(little.w->stats.handshakes, 0);
	little_close();
}

TEST(record, what_does_not_belong_behind_a_handshake_ends_it)
{
	static const struct junk after[] = {
		{"a change of cipher", "\x14\x03\x03\x00\x01\x01", 6},
		{"plain data", "\x17\x03\x03\x00\x05hello", 10},
		{"a plain alert", "\x15\x03\x03\x00\x02\x01\x00", 7},
		{"a plain hello", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10},
		{"no bytes at all", "\x17\x03\x03\x00\x00", 5},
	};
	for (unsigned v = 0; v < 2; v++)
		for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
			little_open(SETTINGS);
			struct far f = shaken(versions[v]);
			far_put(&f, after[i].bytes, after[i].n);
			assert_refused(&f, CLOSE_TLS_RECORD);
			little_close();
		}
}

TEST(record, a_name_that_holds_a_zero_or_is_too_long_is_refused)
{
	uint8_t hello[4000];
	little_open(SETTINGS);
	for (unsigned way = 0; way < 2; way++) {
		struct far f = far_open(LITTLE_TLS, 0);
		far_tls(&f, 0);
		char name[256];
		memset(name, 'n', 255);
		name[255] = '\0';
		if (way == 0)
			name[20] = '\0';
		SSL_set_tlsext_host_name(f.ssl, name);
		SSL_do_handshake(f.ssl);
		int n = BIO_read(f.out, hello, sizeof(hello));
		uint8_t *at = memmem(hello, (size_t)n, name, strlen(name));
		assert_non_null(at);
		if (way == 0)
			at[7] = '\0';
		far_put(&f, hello, (size_t)n);
		if (way == 0) {
			assert_refused(&f, CLOSE_TLS_HANDSHAKE);
		} else { /* nobody's name, but a legal one: the first certificate */
			assert_non_null(far_conn(&f));
			far_hear(&f);
			assert_int_equal(SSL_do_handshake(f.ssl), 1);
			end(&f);
		}
	}
	little_close();
}

TEST(record, protocols_that_we_do_not_speak_are_refused)
{
	static const struct {
		const char *alpn;
		bool ok;
	} cases[] = {{"\x08http/1.1", true},
		     {"\x02h2\x08http/1.1", true},
		     {"\x02h2", false},
		     {"\x08http/1.0", false},
		     {"\x07http/1.\x01"
		      "1",
		      false},
		     {"\x09http/1.1x", false}};
	little_open(SETTINGS);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct far f = far_open(LITTLE_TLS, 0);
		far_tls(&f, 0);
		SSL_set_alpn_protos(f.ssl, (const uint8_t *)cases[i].alpn, strlen(cases[i].alpn));
		assert_int_equal(far_shake_cut(&f, 0), cases[i].ok);
		far_close(&f);
		little_settle();
	}
	little_close();
}

/* ── the end ── */

TEST(record, both_sides_say_goodbye)
{
	for (unsigned v = 0; v < 2; v++) {
		bool over;
		little_open(SETTINGS);
		struct far f = shaken(versions[v]);
		static const char ask[] =
			"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
		far_send(&f, ask, sizeof(ask) - 1);
		far_recv_all(&f, (char *)back, sizeof(back), &over);
		assert_true(over);
		assert_int_equal(SSL_get_shutdown(f.ssl), SSL_RECEIVED_SHUTDOWN); /* not cut off */
		SSL_shutdown(f.ssl);
		far_say(&f, 0);
		far_close(&f);
		little_settle();
		assert_true(little_is_clean());
		little_close();
	}
}

TEST(record, a_goodbye_in_the_middle_of_a_message_ends_it)
{
	little_open(SETTINGS);
	for (unsigned v = 0; v < 2; v++) {
		struct far f = open_echo(versions[v]);
		far_send(&f, "\x81\xfe", 2);
		SSL_shutdown(f.ssl);
		far_say(&f, 0);
		little_settle();
		assert_null(far_conn(&f));
		end(&f);
	}
	little_close();
}

TEST_MAIN()
