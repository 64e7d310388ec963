/* SPDX-License-Identifier: BSD-2-Clause */
#include "test.h"

#include "base/addr.c"
#include "base/random.h"

static const char *round_trip(const char *text)
{
	static char out[ADDR_TEXT_MAX];
	struct addr a;

	if (addr_parse(bytes_str(text), &a))
		return "refused";
	out[ip_print(a.ip, out)] = '\0';
	return out;
}

TEST(addr, text_comes_out_canonical)
{
	assert_string_equal(round_trip("192.0.2.1"), "192.0.2.1");
	assert_string_equal(round_trip("0.0.0.0"), "0.0.0.0");
	assert_string_equal(round_trip("255.255.255.255"), "255.255.255.255");
	assert_string_equal(round_trip("::"), "::");
	assert_string_equal(round_trip("::1"), "::1");
	assert_string_equal(round_trip("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
	assert_string_equal(round_trip("2001:db8:0000:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");
	assert_string_equal(round_trip("2001:0:0:1:0:0:0:1"), "2001:0:0:1::1");
	assert_string_equal(round_trip("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
	assert_string_equal(round_trip("fe80::"), "fe80::");
	assert_string_equal(round_trip("1:2:3:4:5:6:7:8"), "1:2:3:4:5:6:7:8");
	assert_string_equal(round_trip("::1.2.3.4"), "::102:304");
}

TEST(addr, a_mapped_address_is_the_ipv4_one)
{
	struct addr a, b;

	assert_string_equal(round_trip("::ffff:192.0.2.1"), "192.0.2.1");
	assert_int_equal(addr_parse(BYTES_LIT("::ffff:c000:201"), &a), 0);
	assert_int_equal(addr_parse(BYTES_LIT("192.0.2.1"), &b), 0);
	assert_true(addr_is_v4(&a) && memcmp(a.ip, b.ip, 16) == 0);
}

TEST(addr, what_is_no_address_is_refused)
{
	static const char *bad[] = {
		"",
		" ",
		"1.2.3",
		"1.2.3.4.5",
		"01.2.3.4",
		"1.2.3.256",
		"1.2.3.4 ",
		" 1.2.3.4",
		"0x1.2.3.4",
		"1",
		":",
		":::",
		"1::2::3",
		"12345::",
		"fe80::1%eth0",
		"[::1]",
		"1:2:3:4:5:6:7:8:9",
		"::ffff:1.2.3.4.5",
		"localhost",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
	};
	struct addr a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_msg(addr_parse(bytes_str(bad[i]), &a) == -EINVAL, "%s", bad[i]);
	assert_int_equal(addr_parse(BYTES("1.2.3.4\0x", 9), &a), -EINVAL);
}

TEST(addr, the_longest_texts_fit)
{
	struct addr a;
	struct cidr c = {.bits = 128};
	char out[ADDR_TEXT_MAX], net[CIDR_TEXT_MAX];

	memset(a.ip, 0xff, 16);
	memset(c.ip, 0xff, 16);
	a.port = 65535;
	assert_int_equal(addr_print_port(&a, out), ADDR_TEXT_MAX - 1);
	assert_int_equal(cidr_print(&c, net), CIDR_TEXT_MAX - 1);
}

TEST(addr, a_sockets_address_is_read_in_both_families)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(8443)};
	struct sockaddr_storage ss = {.ss_family = AF_UNIX};
	struct addr a;
	char out[ADDR_TEXT_MAX];

	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	inet_pton(AF_INET6, "2001:db8::7", &in6.sin6_addr);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in, sizeof(in), &a), 0);
	assert_int_equal(addr_print_port(&a, out), strlen(out));
	assert_string_equal(out, "127.0.0.1:443");
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &a), 0);
	addr_print_port(&a, out);
	assert_string_equal(out, "[2001:db8::7]:8443");
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in, 8, &a), -EAFNOSUPPORT);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in6, sizeof(in), &a),
			 -EAFNOSUPPORT);
	assert_int_equal(addr_from_sockaddr((struct sockaddr *)&ss, sizeof(ss), &a), -EAFNOSUPPORT);
}

static struct cidr net(const char *text)
{
	struct cidr c;
	assert_int_equal(cidr_parse(bytes_str(text), &c), 0);
	return c;
}

static bool covers(const char *prefix, const char *text)
{
	struct cidr c = net(prefix);
	struct addr a;
	assert_int_equal(addr_parse(bytes_str(text), &a), 0);
	return cidr_match(&c, &a);
}

TEST(cidr, text_comes_out_canonical)
{
	static const char *pairs[][2] = {
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"1.2.3.4", "1.2.3.4/32"},
		{"::1", "::1/128"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
		{"2001:DB8::/32", "2001:db8::/32"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8"},
	};
	char out[CIDR_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct cidr c = net(pairs[i][0]);
		cidr_print(&c, out);
		assert_string_equal(out, pairs[i][1]);
	}
}

TEST(cidr, bits_beyond_the_prefix_are_told_and_cleared)
{
	struct cidr c;
	char out[CIDR_TEXT_MAX];

	assert_int_equal(cidr_parse(BYTES_LIT("10.1.2.3/8"), &c), -ERANGE);
	cidr_print(&c, out);
	assert_string_equal(out, "10.0.0.0/8");
	assert_int_equal(cidr_parse(BYTES_LIT("2001:db8::1/33"), &c), -ERANGE);
	cidr_print(&c, out);
	assert_string_equal(out, "2001:db8::/33");
}

TEST(cidr, what_is_no_prefix_is_refused)
{
	static const char *bad[] = {"",
				    "/8",
				    "10.0.0.0/",
				    "10.0.0.0/33",
				    "::/129",
				    "10.0.0.0/08",
				    "10.0.0.0/8/8",
				    "10/8",
				    "10.0.0.0/ 8",
				    "::ffff:0:0/95"};
	struct cidr c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_msg(cidr_parse(bytes_str(bad[i]), &c) == -EINVAL, "%s", bad[i]);
}

TEST(cidr, a_prefix_covers_its_own_family_only)
{
	assert_true(covers("10.0.0.0/8", "10.255.0.1"));
	assert_false(covers("10.0.0.0/8", "11.0.0.1"));
	assert_true(covers("10.128.0.0/9", "10.200.0.1"));
	assert_false(covers("10.128.0.0/9", "10.127.255.255"));
	assert_true(covers("0.0.0.0/0", "8.8.8.8"));
	assert_false(covers("0.0.0.0/0", "2001:db8::1"));
	assert_true(covers("::/0", "2001:db8::1"));
	assert_false(covers("::/0", "8.8.8.8"));
	assert_true(covers("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(covers("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(covers("1.2.3.4", "1.2.3.4"));
	assert_false(covers("1.2.3.4", "1.2.3.5"));
}

/* Our printer against the C library's reader, and the prefix match against bit by bit. */
TEST(cidr, agrees_with_the_obvious_on_random_input)
{
	for (int round = 0; round < 20000; round++) {
		struct addr a, b;
		char out[ADDR_TEXT_MAX];

		random_bytes(a.ip, 16);
		for (int i = 0; i < 16; i += 2) /* many zero groups */
			if (random_below(2))
				a.ip[i] = a.ip[i + 1] = 0;
		out[ip_print(a.ip, out)] = '\0';
		assert_int_equal(inet_pton(addr_is_v4(&a) ? AF_INET : AF_INET6, out, b.ip), 1);
		assert_true(addr_is_v4(&a) || memcmp(a.ip, b.ip, 16) == 0);

		unsigned bits = random_below(129), same = 0;
		struct cidr c = {.bits = (uint8_t)bits};
		memcpy(c.ip, a.ip, 16);
		ip_cut(c.ip, bits);
		b = a;
		b.ip[random_below(16)] ^= (uint8_t)(1u << random_below(8));
		while (same < 128 && !((a.ip[same / 8] ^ b.ip[same / 8]) & (0x80 >> same % 8)))
			same++;
		if (!addr_is_v4(&a) && !addr_is_v4(&b) && !cidr_is_v4(&c))
			assert_int_equal(cidr_match(&c, &b), same >= bits);
	}
}

TEST_MAIN()
