/* SPDX-License-Identifier: BSD-2-Clause */
/* Prefixes out of MaxMind databases, made here by hand after their public specification. */
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "shield/list_mmdb.h"

/* ---- a database ---------------------------------------------------------------------------- */

#define NODES 400

static struct {
	uint32_t record[NODES][2]; /* 0: nothing; below 1 << 20 a node; else a place in data[] */
	uint32_t nodes;
	uint8_t data[1024];
	size_t n;
} db;

#define DATA (1u << 20)

static void put(const void *p, size_t n)
{
	memcpy(db.data + db.n, p, n);
	db.n += n;
}

static void put_text(const char *s)
{
	uint8_t head = (uint8_t)(2 << 5 | strlen(s));

	put(&head, 1);
	put(s, strlen(s));
}

static void put_map(unsigned n)
{
	put(&(uint8_t){(uint8_t)(7 << 5 | n)}, 1);
}

/* {WHAT: {"iso_code": CODE}} */
static uint32_t country(const char *what, const char *code)
{
	uint32_t at = (uint32_t)db.n;

	put_map(1);
	put_text(what);
	put_map(1);
	put_text("iso_code");
	put_text(code);
	return at + DATA;
}

static uint32_t asn(uint16_t number)
{
	uint32_t at = (uint32_t)db.n;

	put_map(1);
	put_text("autonomous_system_number");
	put(&(uint8_t){6 << 5 | 2}, 1);
	put(&(uint8_t[2]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
	return at + DATA;
}

static void begin(void)
{
	memset(&db, 0, sizeof(db));
	db.nodes = 1;
}

static void place(const uint8_t addr[16], unsigned bits, uint32_t what)
{
	uint32_t at = 0;

	for (unsigned i = 0; i + 1 < bits; i++) {
		uint32_t *next = &db.record[at][addr[i / 8] >> (7 - i % 8) & 1];

		if (!*next)
			*next = db.nodes++;
		assert_true(db.nodes < NODES && *next < DATA);
		at = *next;
	}
	bits--;
	db.record[at][addr[bits / 8] >> (7 - bits % 8) & 1] = what;
}

static uint32_t node_of(const uint8_t addr[16], unsigned bits)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < bits; i++)
		at = db.record[at][addr[i / 8] >> (7 - i % 8) & 1];
	return at;
}

/* Opens it under a name of its own. */
static struct list_mmdb *made(unsigned ip_version)
{
	static const char marker[] = "\xab\xcd\xefMaxMind.com";
	int fd = memfd_create("mmdb", 0);
	uint8_t zero[16] = {0};
	struct list_mmdb *out;
	char path[64];

	for (uint32_t i = 0; i < db.nodes; i++)
		for (int side = 0; side < 2; side++) {
			uint32_t r = db.record[i][side];
			uint8_t be[4];

			r = !r ? db.nodes : r >= DATA ? r - DATA + db.nodes + 16 : r;
			store_be32(be, r);
			assert_int_equal(write(fd, be + 1, 3), 3);
		}
	assert_int_equal(write(fd, zero, 16), 16);
	assert_int_equal(write(fd, db.data, db.n), db.n);
	assert_int_equal(write(fd, marker, sizeof(marker) - 1), sizeof(marker) - 1);
	db.n = 0;
	put_map(9);
	const struct {
		const char *key;
		uint8_t type;
		uint32_t value;
	} meta[] = {{"binary_format_major_version", 5, 2},
		    {"binary_format_minor_version", 5, 0},
		    {"record_size", 5, 24},
		    {"node_count", 6, db.nodes},
		    {"ip_version", 5, ip_version}};
	for (size_t i = 0; i < ARRAY_SIZE(meta); i++) {
		put_text(meta[i].key);
		put(&(uint8_t){(uint8_t)(meta[i].type << 5 | 2)}, 1);
		put(&(uint8_t[2]){(uint8_t)(meta[i].value >> 8), (uint8_t)meta[i].value}, 2);
	}
	put_text("build_epoch");
	put(&(uint8_t[3]){1, 2, 9}, 3);
	put_text("database_type");
	put_text("Test");
	put_text("description");
	put_map(0);
	put_text("languages");
	put(&(uint8_t[2]){0, 4}, 2);
	assert_int_equal(write(fd, db.data, db.n), db.n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(list_mmdb_open(path, &out), 0);
	close(fd);
	return out;
}

static const char *const xa[] = {"XA"};

/* ---- what comes of it ------------------------------------------------------------------------ */

TEST(list_mmdb, a_country_is_where_it_is_or_else_where_it_is_registered)
{
	struct list_mmdb_want want = {.countries = xa, .n_countries = 1};
	struct list_file f = {.short_ones = true};
	struct list_mmdb *m;

	begin();
	place((uint8_t[16]){10}, 8, country("country", "XA"));
	place((uint8_t[16]){11, 128}, 9, country("registered_country", "XA"));
	place((uint8_t[16]){12}, 8, country("country", "XB"));
	place((uint8_t[16]){13}, 8, country("continent", "XA"));
	m = made(4);
	assert_int_equal(list_mmdb_read(m, &want, &f), 0);
	list_file_finish(&f);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.records[0].addr[0], 10);
	assert_int_equal(f.records[0].len, 8);
	assert_int_equal(f.records[1].addr[1], 128);
	assert_int_equal(f.records[1].len, 9);
	assert_int_equal(f.records[1].family, 4);
	list_file_free(&f);
	list_mmdb_close(m);
}

TEST(list_mmdb, systems_are_found_by_their_number)
{
	const uint32_t numbers[] = {64501, 64999};
	struct list_mmdb_want want = {.asns = numbers, .n_asns = 2};
	struct list_file f = {.short_ones = true};
	struct list_mmdb *m;

	begin();
	place((uint8_t[16]){10}, 8, asn(64500));
	place((uint8_t[16]){11}, 8, asn(64501));
	m = made(4);
	assert_int_equal(list_mmdb_read(m, &want, &f), 0);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.records[0].addr[0], 11);
	list_file_free(&f);
	list_mmdb_close(m);
}

TEST(list_mmdb, ipv4_in_a_tree_of_ipv6_comes_once_whatever_points_at_it)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff}, zero[16];
	struct list_mmdb_want want = {.countries = xa, .n_countries = 1};
	struct list_file f = {.short_ones = true};
	struct list_mmdb *m;
	uint32_t x;

	begin();
	x = country("country", "XA");
	place((uint8_t[16]){[12] = 192, [13] = 0, [14] = 2}, 120, x);
	place((uint8_t[16]){0x20, 0x01, 0x0d, 0xb8}, 32, x);
	place(mapped, 96, node_of(zero, 96));                    /* ::ffff:0:0/96 */
	place((uint8_t[16]){0x20, 0x02}, 16, node_of(zero, 96)); /* 2002::/16 */
	m = made(6);
	assert_int_equal(list_mmdb_read(m, &want, &f), 0);
	list_file_finish(&f);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.records[0].family, 4);
	assert_int_equal(f.records[0].len, 24);
	assert_memory_equal(f.records[0].addr, ((uint8_t[16]){192, 0, 2}), 16);
	assert_int_equal(f.records[1].family, 6);
	assert_int_equal(f.records[1].len, 32);
	list_file_free(&f);
	list_mmdb_close(m);
}

/* A node that leads back to the root: 2^128 ways. */
TEST(list_mmdb, a_tree_that_is_none_is_a_mistake_and_ends)
{
	struct list_mmdb_want want = {.countries = xa, .n_countries = 1};
	struct list_file f = {.short_ones = true};
	struct list_mmdb *m;

	begin();
	place((uint8_t[16]){0}, 1, country("country", "XA"));
	place((uint8_t[16]){128}, 2, country("country", "XA"));
	db.record[1][1] = 1; /* itself */
	m = made(6);
	assert_int_equal(list_mmdb_read(m, &want, &f), -EINVAL);
	assert_int_equal(f.n_errors, 1);
	assert_int_equal(f.errors[0].line, 0);
	list_file_free(&f);
	list_mmdb_close(m);
}

TEST(list_mmdb, what_is_no_database_cannot_be_opened)
{
	struct list_mmdb *m;

	assert_int_equal(list_mmdb_open("/nonexistent/x.mmdb", &m), -ENOENT);
	assert_null(m);
	assert_int_equal(list_mmdb_open("/proc/self/exe", &m), -EINVAL);
	assert_null(m);
}

TEST_MAIN()
