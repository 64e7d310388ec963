/* SPDX-License-Identifier: BSD-2-Clause */
/* The table against a naive model: a plain array of prefixes, searched from end to end. */
#include "shield/list_table.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "test.h"

#define ENTRIES 3000
#define BLOCKS  (LIST_POOL_BLOCK + 60000)

static struct list_table table;
static struct list_entry model[ENTRIES];
static unsigned models;
static uint64_t turn;

static uint32_t chance(uint32_t below)
{
	return (uint32_t)(hash_mix(++turn) % below);
}

static void begin(uint64_t seed)
{
	turn = seed << 32;
	models = 0;
	table = (struct list_table){
		.top = calloc(2, sizeof(*table.top)),
		.heap = calloc(BLOCKS, sizeof(*table.heap)),
		.entry = calloc(ENTRIES + 1, sizeof(*table.entry)),
		.hot = calloc(ENTRIES + 1, sizeof(*table.hot)),
		.blocks = BLOCKS,
		.entries = ENTRIES + 1,
		.live = true,
	};
	assert_non_null(table.top);
	assert_non_null(table.heap);
	assert_non_null(table.entry);
	assert_non_null(table.hot);
	list_table_format(&table);
}

static void end(void)
{
	free(table.top);
	free(table.heap);
	free(table.entry);
	free(table.hot);
	list_table_fini(&table);
}

static void clear_host_bits(struct list_entry *e)
{
	for (unsigned bit = e->len; bit < 128; bit++)
		e->addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

/* Few values per byte, so that prefixes nest and meet. */
static void any_addr(unsigned family, uint8_t addr[16])
{
	static const uint8_t few[] = {0, 1, 2, 127, 128, 200, 254, 255};

	memset(addr, 0, 16);
	for (unsigned i = 0; i < (family == 4 ? 4 : 16); i++)
		addr[i] = i < 2     ? (uint8_t)(10 + chance(2)) :
			  chance(4) ? few[chance(ARRAY_SIZE(few))] :
				      (uint8_t)chance(256);
}

static struct list_entry any_prefix(void)
{
	struct list_entry e = {.family = chance(2) ? 4 : 6, .set = (uint8_t)chance(3)};

	any_addr(e.family, e.addr);
	e.len = (uint8_t)(e.family == 4 ? chance(33) : chance(129));
	if (chance(20)) /* the usual ones are the longer ones */
		e.len = (uint8_t)(e.family == 4 ? 16 + chance(17) : 20 + chance(109));
	clear_host_bits(&e);
	return e;
}

static bool around(const struct list_entry *e, unsigned family, const uint8_t addr[16])
{
	struct list_entry cut = {.len = e->len};

	if (e->family != family)
		return false;
	memcpy(cut.addr, addr, 16);
	clear_host_bits(&cut);
	return memcmp(cut.addr, e->addr, 16) == 0;
}

static unsigned rank_of(const struct list_entry *e)
{
	return (unsigned)e->len << 8 | e->set;
}

static const struct list_entry *innermost(unsigned family, const uint8_t addr[16], unsigned below)
{
	const struct list_entry *best = NULL;

	for (unsigned i = 0; i < models; i++)
		if (around(&model[i], family, addr) && rank_of(&model[i]) < below &&
		    (!best || rank_of(&model[i]) > rank_of(best)))
			best = &model[i];
	return best;
}

/* The whole chain of entries around an address is what the model says. */
/* What packets are told of it is what it is. */
static void compare_hot(uint32_t ref)
{
	const struct list_entry *e = &table.entry[ref];
	uint32_t cold = e->family == 6 || e->expires_ns ? LIST_HOT_COLD : 0;

	assert_int_equal(table.hot[ref].key, load_be32(e->addr));
	assert_int_equal(table.hot[ref].meta & LIST_HOT_COLD, cold);
	assert_int_equal(table.hot[ref].meta & LIST_HOT_PARENT, e->parent);
	if (!cold)
		assert_int_equal(table.hot[ref].meta >> LIST_HOT_LEN & 63, e->len);
}

static void compare_at(unsigned family, const uint8_t addr[16])
{
	uint32_t ref = list_table_lookup(&table, family, addr);
	const struct list_entry *want = innermost(family, addr, UINT32_MAX);

	for (; want; want = innermost(family, addr, rank_of(want))) {
		assert_int_not_equal(ref, 0);
		assert_int_equal(list_entry_compare(&table.entry[ref], want), 0);
		compare_hot(ref);
		ref = table.entry[ref].parent;
	}
	assert_int_equal(ref, 0);
}

static bool touched(unsigned family, const uint8_t addr[16])
{
	uint32_t i = load_be32(addr) >> 10;

	return table.top[family == 6].bits[i / 64] >> i % 64 & 1;
}

static void compare_around(const struct list_entry *e)
{
	uint8_t addr[16];

	memcpy(addr, e->addr, 16);
	compare_at(e->family, addr);
	for (unsigned bit = e->len; bit < (e->family == 4 ? 32 : 128); bit++)
		addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8); /* the last address */
	compare_at(e->family, addr);
	for (unsigned n = 0; n < 4; n++) {
		any_addr(e->family, addr);
		compare_at(e->family, addr);
		if (list_table_lookup(&table, e->family, addr))
			assert_true(touched(e->family, addr));
	}
}

static void step(void)
{
	if (models == 0 || (models < ENTRIES && chance(5) < 3)) {
		struct list_entry e = any_prefix();

		if (list_table_find(&table, &e))
			return;
		assert_true(list_table_has_room(&table));
		list_table_add(&table, &e);
		model[models++] = e;
		compare_around(&e);
		assert_int_not_equal(list_table_find(&table, &e), 0);
	} else {
		unsigned i = chance(models);
		struct list_entry e = model[i];
		uint32_t at = list_table_find(&table, &e);

		assert_int_not_equal(at, 0);
		list_table_del(&table, at);
		model[i] = model[--models];
		compare_around(&e);
		assert_int_equal(list_table_find(&table, &e), 0);
	}
	if (chance(20) == 0)
		list_table_settle(&table);
}

TEST(list_table, random_adds_and_deletes_agree_with_a_naive_list)
{
	for (unsigned seed = 1; seed <= 4; seed++) {
		begin(seed);
		for (unsigned i = 0; i < 3000; i++)
			step();
		assert_int_equal(list_table_count(&table, 4) + list_table_count(&table, 6), models);
		end();
	}
}

TEST(list_table, what_is_emptied_uses_its_memory_again)
{
	begin(77);
	for (unsigned round = 0; round < 30; round++) {
		uint32_t blocks = list_table_blocks(&table);

		turn = 4711; /* the same ones again */
		for (unsigned i = 0; i < 300; i++) {
			struct list_entry e = any_prefix();

			if (!list_table_find(&table, &e)) {
				list_table_add(&table, &e);
				model[models++] = e;
			}
		}
		while (models)
			list_table_del(&table, list_table_find(&table, &model[--models]));
		list_table_settle(&table);
		if (round > 3)
			assert_int_equal(list_table_blocks(&table), blocks);
	}
	for (size_t i = 0; i < 2 * sizeof(*table.top); i++)
		assert_int_equal(((const uint8_t *)table.top)[i], 0);
	assert_true(list_table_end(&table) < 700);
	end();
}

TEST(list_table, all_hosts_of_a_net_and_the_net_around_them)
{
	begin(1);
	for (unsigned i = 0; i < 256; i++) {
		struct list_entry e = {.family = 4, .len = 32, .addr = {10, 0, 0, (uint8_t)i}};

		model[models++] = e;
		list_table_add(&table, &e);
	}
	struct list_entry all = {.family = 4, .len = 0},
			  net = {.family = 4, .len = 24, .addr = {10}};
	model[models++] = all;
	list_table_add(&table, &all);
	model[models++] = net;
	list_table_add(&table, &net);
	for (unsigned i = 0; i < 256; i++)
		compare_at(4, (uint8_t[16]){10, 0, 0, (uint8_t)i});
	for (unsigned i = 0; i < 256; i += 2)
		list_table_del(&table, list_table_find(&table, &model[i]));
	for (unsigned i = 0, kept = 0; i < models; i++)
		if (i >= 256 || i % 2)
			model[kept++] = model[i];
	models -= 128;
	for (unsigned i = 0; i < 256; i++)
		compare_at(4, (uint8_t[16]){10, 0, 0, (uint8_t)i});
	compare_at(4, (uint8_t[16]){200, 1, 2, 3});
	end();
}

TEST(list_table, one_prefix_in_three_sets_falls_back_from_set_to_set)
{
	struct list_entry e = {.family = 6, .len = 64, .addr = {0x20, 1, 0xd, 0xb8}};

	begin(1);
	for (unsigned set = 0; set < 3; set++) {
		e.set = (uint8_t)((set + 1) % 3);
		model[models++] = e;
		list_table_add(&table, &e);
	}
	compare_at(6, e.addr);
	assert_int_equal(table.entry[list_table_find_any(&table, &e)].set, 2);
	e.set = 2;
	list_table_del(&table, list_table_find(&table, &e));
	assert_int_equal(table.entry[list_table_lookup(&table, 6, e.addr)].set, 1);
	e.set = 0;
	list_table_del(&table, list_table_find(&table, &e));
	assert_int_equal(table.entry[list_table_lookup(&table, 6, e.addr)].parent, 0);
	end();
}

TEST_MAIN()
