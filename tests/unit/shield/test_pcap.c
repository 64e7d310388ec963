/* SPDX-License-Identifier: BSD-2-Clause */
#include "shield/pcap.h"

#include "test.h"

static uint8_t buf[4096];

/* Writes these frames to buf; the number of bytes. */
static size_t written(const struct pcap_frame *f, size_t n)
{
	FILE *out = fmemopen(buf, sizeof(buf), "wb");
	long at;

	setvbuf(out, NULL, _IONBF, 0);
	assert_true(pcap_write_head(out));
	for (size_t i = 0; i < n; i++)
		assert_true(pcap_write(out, &f[i]));
	at = ftell(out);
	fclose(out);
	return (size_t)at;
}

static const struct pcap_frame two[] = {
	{.wall_ns = 1700000000123456789, .wire = 4, .frame = BYTES_LIT("abcd")},
	{.wall_ns = 1700000001000000001, .wire = 1500, .frame = BYTES_LIT("x")},
};

TEST(pcap, what_was_written_is_read_to_the_nanosecond)
{
	struct pcap_frame f;
	struct pcap p;

	assert_true(pcap_open(&p, BYTES(buf, written(two, 2))));
	for (size_t i = 0; i < 2; i++) {
		assert_true(pcap_next(&p, &f));
		assert_true(bytes_eq(f.frame, two[i].frame));
		assert_int_equal(f.wall_ns, two[i].wall_ns);
		assert_int_equal(f.wire, two[i].wire);
	}
	assert_false(pcap_next(&p, &f));
	assert_null(p.bad);
}

TEST(pcap, the_other_byte_order_and_microseconds_are_read_too)
{
	static const uint8_t big[] = {0xa1, 0xb2, 0xc3, 0xd4, 0,   2,   0, 4, 0, 0, 0, 0, 0,   0,
				      0,    0,    0,    0,    255, 255, 0, 0, 0, 1, 0, 0, 0,   7,
				      0,    0,    0,    5,    0,   0,   0, 2, 0, 0, 0, 9, 'h', 'i'};
	struct pcap_frame f;
	struct pcap p;

	assert_true(pcap_open(&p, BYTES(big, sizeof(big))));
	assert_true(pcap_next(&p, &f));
	assert_int_equal(f.wall_ns, 7000005000);
	assert_int_equal(f.wire, 9);
	assert_true(bytes_eq(f.frame, BYTES_LIT("hi")));
	assert_false(pcap_next(&p, &f));
	assert_null(p.bad);
}

TEST(pcap, a_file_cut_anywhere_says_so_and_gives_what_came_before)
{
	size_t n = written(two, 2);
	struct pcap_frame f;
	struct pcap p;

	for (size_t cut = 0; cut < n; cut++) {
		unsigned frames = 0;
		bool open = pcap_open(&p, BYTES(buf, cut));

		assert_int_equal(open, cut >= 24);
		while (open && pcap_next(&p, &f))
			frames++;
		assert_int_equal(frames, cut >= 24 + 20);
		if (cut != 24 && cut != 24 + 20)
			assert_non_null(p.bad);
	}
}

/* Puts a value over the file and expects a complaint. */
static void spoilt(size_t at, uint32_t value)
{
	size_t n = written(two, 2);
	struct pcap_frame f;
	struct pcap p;

	memcpy(buf + at, &value, sizeof(value));
	if (pcap_open(&p, BYTES(buf, n)))
		while (pcap_next(&p, &f))
			;
	assert_msg(p.bad, "%u at %zu was taken", value, at);
	assert_false(pcap_next(&p, &f)); /* and once refused stays so */
}

TEST(pcap, lengths_and_times_that_cannot_be_are_refused)
{
	spoilt(0, 0);           /* no magic number */
	spoilt(0, 0x0a0d0d0a);  /* pcapng */
	spoilt(4, 3);           /* version */
	spoilt(20, 113);        /* Linux cooked frames */
	spoilt(28, 1000000000); /* a fraction of a second */
	spoilt(32, 5);          /* more than the wire had */
	spoilt(32, 0xffffffff);
	spoilt(36, 3);
	spoilt(24 + 20 + 8, 2); /* beyond the end */
}

TEST_MAIN()
