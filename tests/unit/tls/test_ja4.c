/* SPDX-License-Identifier: BSD-2-Clause */
/* JA4 of ClientHellos: what its description works out by hand, and what must not matter. */
#include "test.h"

#include "tls/ja4.h"

/* The description's example: suites and extensions in the order in which a browser sent them. */
static const uint16_t suites[] = {0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
				  0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
static const uint16_t extensions[] = {0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469,
				      0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
				      0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x3a3a};
static const uint16_t signatures[] = {0x0403, 0x0804, 0x0401, 0x0503,
				      0x0805, 0x0501, 0x0806, 0x0601};

static size_t put16(uint8_t *p, unsigned v)
{
	store_be16(p, (uint16_t)v);
	return 2;
}

static size_t put_extension(uint8_t *p, uint16_t type, const char *alpn, bool versions)
{
	uint8_t *start = p;
	p += put16(p, type) + 2;
	if (type == 0x0010) {
		size_t n = strlen(alpn);
		p += put16(p, (unsigned)n + 1);
		*p++ = (uint8_t)n;
		memcpy(p, alpn, n);
		p += n;
	} else if (type == 0x000d) {
		p += put16(p, sizeof(signatures));
		for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
			p += put16(p, signatures[i]);
	} else if (type == 0x002b && versions) {
		*p++ = 6;
		p += put16(p, 0x6a6a);
		p += put16(p, 0x0304);
		p += put16(p, 0x0303);
	} else if (type == 0x002b) {
		*p++ = 2;
		p += put16(p, 0x0303);
	}
	store_be16(start + 2, (uint16_t)(p - start - 4));
	return (size_t)(p - start);
}

static const char *ja4(const uint16_t *s, size_t n_s, const uint16_t *e, size_t n_e,
		       const char *alpn, bool v13)
{
	static char text[TLS_JA4_TEXT];
	uint8_t a[200], b[2000];
	size_t n = 0, m = 0;
	struct tls_ja4 j;
	for (size_t i = 0; i < n_s; i++)
		n += put16(a + n, s[i]);
	for (size_t i = 0; i < n_e; i++)
		m += put_extension(b + m, e[i], alpn, v13);
	if (!tls_ja4_of(0x0303, BYTES(a, n), BYTES(b, m), &j))
		return NULL;
	return tls_ja4_print(&j, text);
}

TEST(ja4, the_example_of_its_description)
{
	assert_string_equal(ja4(suites, ARRAY_SIZE(suites), extensions, ARRAY_SIZE(extensions),
				"h2", true),
			    "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(ja4, order_and_grease_do_not_matter)
{
	uint16_t s[ARRAY_SIZE(suites)], e[ARRAY_SIZE(extensions)];
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = suites[ARRAY_SIZE(s) - 1 - i];
	for (size_t i = 0; i < ARRAY_SIZE(e); i++)
		e[i] = extensions[ARRAY_SIZE(e) - 1 - i];
	assert_string_equal(ja4(s, ARRAY_SIZE(s) - 1, e + 1, ARRAY_SIZE(e) - 1, "h2", true),
			    "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(ja4, what_is_not_there_is_zeros)
{
	assert_string_equal(ja4(NULL, 0, NULL, 0, "", true),
			    "t12i000000_000000000000_000000000000");
	static const uint16_t name[] = {0};
	assert_string_equal(ja4(suites, 1, name, 1, "", true),
			    "t12d000100_000000000000_000000000000");
}

TEST(ja4, a_protocol_without_letters_is_its_hex_digits)
{
	static const uint16_t alpn[] = {0x10};
	assert_memory_equal(ja4(suites, 2, alpn, 1, "http/1.1", true) + 8, "h1", 2);
	assert_memory_equal(ja4(suites, 2, alpn, 1, "h", true) + 8, "hh", 2);
	assert_memory_equal(ja4(suites, 2, alpn, 1, "\xab\xcd", true) + 8, "ad", 2);
	assert_memory_equal(ja4(suites, 2, alpn, 1, "h\xcd", true) + 8, "6d", 2);
}

TEST(ja4, the_highest_version_offered_counts)
{
	static const uint16_t versions[] = {0x2b};
	assert_memory_equal(ja4(suites, 2, versions, 1, "", true), "t13", 3);
	assert_memory_equal(ja4(suites, 2, versions, 1, "", false), "t12", 3);
}

TEST(ja4, what_is_cut_short_is_none)
{
	static const uint8_t odd[] = {1}, cut[] = {0, 13, 0, 5, 0, 4, 4, 3},
			     lying[] = {0, 13, 0, 2, 0, 8};
	struct tls_ja4 j;
	assert_false(tls_ja4_of(0x0303, BYTES(odd, 1), BYTES(NULL, 0), &j));
	assert_false(tls_ja4_of(0x0303, BYTES(NULL, 0), BYTES(cut, sizeof(cut)), &j));
	assert_false(tls_ja4_of(0x0303, BYTES(NULL, 0), BYTES(lying, sizeof(lying)), &j));
	assert_false(tls_ja4_of(0x0303, BYTES(NULL, 0), BYTES(cut, 3), &j));
}

TEST(ja4, a_printed_one_can_be_read)
{
	static const char text[] = "t13d1516h2_8daaf6152771_e5627efa2ab1";
	struct tls_ja4 j;
	char back[TLS_JA4_TEXT];
	assert_true(tls_ja4_parse(bytes_str(text), &j));
	assert_string_equal(tls_ja4_print(&j, back), text);
	static const char *const bad[] = {"",
					  "t13d1516h2",
					  "x13d1516h2_8daaf6152771_e5627efa2ab1",
					  "t13d1516h2_8daaf615277g_e5627efa2ab1",
					  "t13d1516h2-8daaf6152771_e5627efa2ab1",
					  "t13d1516h2_8daaf6152771_e5627efa2ab11"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(tls_ja4_parse(bytes_str(bad[i]), &j));
}

TEST_MAIN()
