/* SPDX-License-Identifier: BSD-2-Clause */
/* list_table.c - see list_table.h, and abi.h for the layout.
 *
 *   add, del ─► owners of the range change ─► nodes on the way are written anew ─► one store
 *                     │                                                         shows them
 *                     └─► entries inside learn who is around them now
 *
 * A change spreads a node over 256 refs, changes those, and packs them into a new node (or
 * into one ref, if all are alike now; or into a skip, if one way alone goes on). Nodes that lie
 * wholly within the range keep their shape: their refs are exchanged one by one, in place. So
 * a change needs memory only for the nodes on the way to it, however wide it is.
 *
 * Of equal prefixes in several sets the one of the highest set owns the addresses and has the
 * next one as parent: sets come and go without knowing of each other. */
#include "shield/list_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define CLASSES 4 /* the last: full */

/* Entries around one address: 129 lengths, in all sets. */
#define LIST_CHAIN_MAX (129 * LIST_SETS_MAX)

/* In LIST_HEAD_BLOCK. A free node has the place of the next in w[0]. */
struct head {
	uint32_t next_block;
	uint32_t free_node[CLASSES]; /* by size; 0: none */
	uint32_t free_skip;
	uint32_t next_entry;
	uint32_t free_entry;
	uint32_t n[2]; /* IPv4, IPv6 */
};
static_assert(sizeof(struct head) <= sizeof(struct list_block), "one block");

static const struct {
	uint32_t blocks, refs;
} sizes[CLASSES] = {{1, 6}, {2, 22}, {4, 54}, {16, 256}};

/* A /16 with more than these runs is written in full: a kilobyte, of which a packet needs one line. One with
 * fewer takes up to 256 bytes, of which it needs two lines that lie beside each other; a list of
 * a million in all /16s of IPv4 is then 17 MiB instead of 64, which caches hold better. */
#define SHORT_RUNS 54

static struct head *head(const struct list_table *t)
{
	return (struct head *)&t->heap[LIST_HEAD_BLOCK];
}

static bool is_entry(uint32_t ref)
{
	return !(ref & LIST_REF_KIND);
}

static uint32_t place_of(uint32_t ref)
{
	return ref & LIST_REF_PLACE;
}

static bool is_full(uint32_t ref)
{
	return (ref & LIST_REF_NODE) && (ref & LIST_FULL);
}

static struct list_block *node_at(const struct list_table *t, uint32_t ref)
{
	return &t->heap[place_of(ref) / 4];
}

static __u64 *skip_at(const struct list_table *t, uint32_t ref)
{
	return &t->heap[place_of(ref) / 4].w[place_of(ref) % 4 * 2];
}

static void show(uint32_t *at, uint32_t ref)
{
	__atomic_store_n(at, ref, __ATOMIC_RELEASE);
}

/* What packets are told of an entry, in one piece but for the key, which is there before anything leads to it. */
static void hot_renew(struct list_table *t, uint32_t number)
{
	const struct list_entry *e = &t->entry[number];
	uint32_t meta = e->parent;

	if (e->family == 4 && !e->expires_ns)
		meta |= (uint32_t)e->len << LIST_HOT_LEN;
	else
		meta |= LIST_HOT_COLD;
	t->hot[number].key = load_be32(e->addr);
	show(&t->hot[number].meta, meta);
}

static void parent_set(struct list_table *t, uint32_t number, uint32_t parent)
{
	show(&t->entry[number].parent, parent);
	show(&t->hot[number].meta, (t->hot[number].meta & ~LIST_HOT_PARENT) | parent);
}

void list_table_renewed(struct list_table *t, uint32_t entry)
{
	hot_renew(t, entry);
}

/* ---- memory ------------------------------------------------------------------ */

static uint32_t take_blocks(struct list_table *t, unsigned size)
{
	struct head *h = head(t);
	uint32_t at = h->free_node[size];

	if (at) {
		h->free_node[size] = (uint32_t)t->heap[at].w[0];
		return at;
	}
	at = h->next_block;
	assert(at + sizes[size].blocks <= t->blocks); /* list_table_has_room() */
	h->next_block += sizes[size].blocks;
	return at;
}

static void free_ref(struct list_table *t, uint32_t ref)
{
	struct head *h = head(t);

	if (is_entry(ref)) {
		t->entry[ref].parent = h->free_entry;
		h->free_entry = ref;
	} else if (ref & LIST_REF_SKIP) {
		*skip_at(t, ref) = h->free_skip;
		h->free_skip = place_of(ref);
	} else {
		unsigned size = is_full(ref) ? CLASSES - 1 : node_at(t, ref)->w[0] >> 48 & 0xff;

		assert(size < CLASSES);
		node_at(t, ref)->w[0] = h->free_node[size];
		h->free_node[size] = place_of(ref) / 4;
	}
}

/* Not used again before nobody can see it. Without memory to remember it by, it is lost
 * until the list is built anew. */
static void retire(struct list_table *t, uint32_t ref)
{
	if (!t->live) {
		free_ref(t, ref);
		return;
	}
	if (t->_n_waiting == t->_cap_waiting) {
		size_t cap = t->_cap_waiting ? t->_cap_waiting * 2 : 64;
		uint32_t *more = realloc(t->_waiting, cap * sizeof(*more));

		if (!more)
			return;
		t->_waiting = more;
		t->_cap_waiting = cap;
	}
	t->_waiting[t->_n_waiting++] = ref;
}

void list_table_settle(struct list_table *t)
{
	for (size_t i = 0; i < t->_n_waiting; i++)
		free_ref(t, t->_waiting[i]);
	t->_n_waiting = 0;
}

bool list_table_is_settled(const struct list_table *t)
{
	return t->_n_waiting == 0;
}

static uint32_t skip_new(struct list_table *t, uint64_t bytes, unsigned n, uint32_t next,
			 uint32_t miss)
{
	struct head *h = head(t);
	uint32_t place = h->free_skip;
	__u64 *w;

	if (!place) {
		uint32_t at = take_blocks(t, 0) * 4;

		for (uint32_t i = 1; i < 4; i++) {
			*skip_at(t, at + i) = h->free_skip;
			h->free_skip = at + i;
		}
		place = at;
	} else {
		h->free_skip = (uint32_t)*skip_at(t, place);
	}
	w = skip_at(t, place);
	w[0] = bytes | n;
	w[1] = (uint64_t)miss << 32 | next;
	return place | LIST_REF_SKIP;
}

/* ---- nodes -------------------------------------------------------------------- */

/* Of a node of runs. The blocks lie one behind the other. */
static uint32_t *node_ref(struct list_block *node, unsigned nth)
{
	return (uint32_t *)node + 10 + nth;
}

/* All refs of any node. */
static uint32_t *node_refs(const struct list_table *t, uint32_t ref, unsigned *n)
{
	struct list_block *node = node_at(t, ref);

	*n = is_full(ref) ? 256 : node->w[0] >> 32 & 0xffff;
	return is_full(ref) ? (uint32_t *)node : node_ref(node, 0);
}

static void node_spread(struct list_block *node, uint32_t out[256])
{
	unsigned nth = 0;

	for (unsigned word = 0, byte = 0; word < 4; word++) {
		uint64_t starts = node->w[1 + word];

		/* run by run: from this start to the next */
		while (byte < (word + 1) * 64) {
			uint64_t later = byte % 64 == 63 ? 0 : starts >> (byte % 64 + 1);
			unsigned n = later ? (unsigned)__builtin_ctzll(later) + 1 : 64 - byte % 64;
			uint32_t ref;

			if (starts >> byte % 64 & 1)
				nth++;
			ref = *node_ref(node, nth - 1);
			for (unsigned i = 0; i < n; i++)
				out[byte + i] = ref;
			byte += n;
		}
	}
}

/* From the innermost that may hold an address outwards: each has what is left of his range. */
static void entry_spread(const struct list_table *t, uint32_t ref, unsigned depth,
			 uint32_t out[256])
{
	bool done[256] = {false};

	for (; ref && t->entry[ref].len > depth * 8; ref = t->entry[ref].parent) {
		const struct list_entry *e = &t->entry[ref];
		unsigned bits = e->len - depth * 8, from = e->addr[depth];

		for (unsigned i = from; i < from + (bits < 8 ? 1u << (8 - bits) : 1); i++) {
			out[i] = done[i] ? out[i] : ref;
			done[i] = true;
		}
	}
	for (unsigned i = 0; i < 256; i++)
		out[i] = done[i] ? out[i] : ref;
}

/* What stands for each byte behind the first `depth` ones of the address. */
static void spread(struct list_table *t, uint32_t ref, unsigned depth, uint32_t out[256])
{
	__u64 *skip;
	uint32_t miss, next;
	unsigned n;

	if (is_entry(ref)) {
		entry_spread(t, ref, depth, out);
		return;
	}
	if (is_full(ref)) {
		memcpy(out, node_at(t, ref), 256 * sizeof(*out));
		return;
	}
	if (ref & LIST_REF_NODE) {
		node_spread(node_at(t, ref), out);
		return;
	}
	skip = skip_at(t, ref);
	miss = (uint32_t)(skip[1] >> 32);
	next = (uint32_t)skip[1];
	n = skip[0] & 7;
	for (unsigned i = 0; i < 256; i++)
		out[i] = miss;
	if (n > 1)
		next = skip_new(t, (skip[0] & ~0xffull) << 8, n - 1, next, miss);
	out[skip[0] >> 56] = next;
}

/* The one byte that differs, if all others are of one and the same entry; else -1. */
static int only_way(const uint32_t v[256], const uint64_t starts[4], unsigned runs)
{
	unsigned at;

	if (runs > 3 || runs < 2)
		return -1;
	if (runs == 2)
		at = starts[0] & 2 ? 0 : 255;
	else
		for (at = 1; !(starts[at / 64] >> at % 64 & 1); at++)
			;
	for (unsigned i = 0, other = at ? 0 : 255; i < 256; i++)
		if (i != at && (v[i] != v[other] || !is_entry(v[i])))
			return -1;
	return (int)at;
}

static uint32_t skip_to(struct list_table *t, unsigned byte, uint32_t ref, uint32_t miss)
{
	uint64_t bytes = (uint64_t)byte << 56;

	if (ref & LIST_REF_SKIP) {
		__u64 *skip = skip_at(t, ref);
		unsigned n = skip[0] & 7;

		if (n < 7 && skip[1] >> 32 == miss) {
			bytes |= (skip[0] & ~0xffull) >> 8;
			retire(t, ref);
			return skip_new(t, bytes, n + 1, (uint32_t)skip[1], miss);
		}
	}
	return skip_new(t, bytes, 1, ref, miss);
}

/* Two owners, of whom one lies in the other: the inner one says it all. 0: it is not so, or too
 * many sets have the inner one's prefix for a packet to ask them all in vain. */
static uint32_t only_entry(const struct list_table *t, const uint32_t v[256], unsigned runs)
{
	uint32_t inner = v[0], outer = v[255], at;
	unsigned beside = 0;

	if (runs > 3)
		return 0;
	for (unsigned i = 1; i < 255 && runs == 3; i++)
		if (v[i] != outer)
			inner = v[i];
	if (!is_entry(inner) || !is_entry(outer) || (runs == 3 && v[0] != outer))
		return 0;
	if (!inner || (outer && t->entry[outer].len > t->entry[inner].len)) {
		at = inner;
		inner = outer;
		outer = at;
	}
	for (at = inner; at != outer && at; at = t->entry[at].parent)
		if (t->entry[at].len != t->entry[inner].len || beside++ == LIST_BESIDE_MAX)
			return 0;
	return at == outer ? inner : 0;
}

static uint32_t pack(struct list_table *t, const uint32_t v[256], unsigned depth)
{
	struct list_block *node;
	uint64_t starts[4] = {1};
	unsigned runs = 1, size = 0, nth = 0;
	uint64_t ranks = 0;
	uint32_t at;
	int way;

	for (unsigned i = 1; i < 256; i++) {
		uint64_t starts_here = v[i] != v[i - 1];

		starts[i / 64] |= starts_here << i % 64;
		runs += (unsigned)starts_here;
	}
	if (runs == 1)
		return v[0];
	at = only_entry(t, v, runs);
	if (at)
		return at;
	way = only_way(v, starts, runs);
	if (way >= 0)
		return skip_to(t, (unsigned)way, v[way], v[way ? 0 : 255]);
	while (sizes[size].refs < runs)
		size++;
	if (depth == 2 && runs > SHORT_RUNS)
		size = CLASSES - 1;
	at = take_blocks(t, size);
	node = &t->heap[at];
	if (size == CLASSES - 1) {
		memcpy(node, v, 256 * sizeof(*v));
		return at * 4 | LIST_REF_NODE | LIST_FULL;
	}
	for (unsigned word = 0; word < 4; word++) {
		ranks |= (uint64_t)nth << 8 * word;
		node->w[1 + word] = starts[word];
		for (uint64_t left = starts[word]; left; left &= left - 1)
			*node_ref(node, nth++) = v[word * 64 + (unsigned)__builtin_ctzll(left)];
	}
	node->w[0] = ranks | (uint64_t)runs << 32 | (uint64_t)size << 48;
	return at * 4 | LIST_REF_NODE;
}

/* ---- whose is an address ---------------------------------------------------------- */

static uint32_t *dir_of(const struct list_table *t, unsigned family)
{
	return t->top[family == 6].dir;
}

static uint32_t node_get(const struct list_table *t, uint32_t ref, unsigned byte)
{
	struct list_block *node = node_at(t, ref);

	if (is_full(ref))
		return ((uint32_t *)node)[byte];
	uint64_t upto = node->w[1 + byte / 64] & ~0ull >> (63 - byte % 64);
	unsigned nth = (node->w[0] >> byte / 64 * 8 & 0xff) + (unsigned)__builtin_popcountll(upto);

	if (nth < 1 || nth > sizes[CLASSES - 2].refs ||
	    place_of(ref) / 4 * 16ull + 10 + nth > t->blocks * 16ull)
		return 0; /* of another moment: see is_inside() */
	return *node_ref(node, nth - 1);
}

static bool holds_addr(const struct list_entry *e, const uint8_t addr[16])
{
	unsigned whole = e->len / 8, rest = e->len % 8;

	return memcmp(e->addr, addr, whole) == 0 &&
	       (!rest || !((e->addr[whole] ^ addr[whole]) >> (8 - rest)));
}

/* What is read while another process writes may be of a later moment than the ref that led to it, so
 * each step is bounded by itself. The writer himself never meets such a bound. */
static bool is_inside(const struct list_table *t, uint32_t ref)
{
	uint32_t at = place_of(ref) / 4, n = is_full(ref) ? sizes[CLASSES - 1].blocks : 1;

	if (is_entry(ref))
		return ref < t->entries;
	return at < t->blocks && n <= t->blocks - at;
}

uint32_t list_table_lookup(const struct list_table *t, unsigned family, const uint8_t addr[16])
{
	uint32_t ref = dir_of(t, family)[addr[0] << 8 | addr[1]];

	for (unsigned depth = 2; !is_entry(ref);) {
		if (depth >= 16 || !is_inside(t, ref))
			return 0;
		if (ref & LIST_REF_NODE) {
			ref = node_get(t, ref, addr[depth++]);
			continue;
		}
		const __u64 *skip = skip_at(t, ref);
		unsigned n = skip[0] & 7, same = 0;

		while (same < n && depth + same < 16 &&
		       addr[depth + same] == (uint8_t)(skip[0] >> (56 - 8 * same)))
			same++;
		ref = same == n ? (uint32_t)skip[1] : (uint32_t)(skip[1] >> 32);
		depth += n;
	}
	for (unsigned i = 0; i < LIST_CHAIN_MAX && ref && is_inside(t, ref); i++) {
		if (holds_addr(&t->entry[ref], addr))
			return ref;
		ref = t->entry[ref].parent;
	}
	return 0;
}

static unsigned rank(const struct list_entry *e)
{
	return (unsigned)e->len << 8 | e->set;
}

/* From `ref` outwards to the first that is not inside an entry of this rank. */
static uint32_t outwards(const struct list_table *t, uint32_t ref, unsigned to)
{
	while (ref && rank(&t->entry[ref]) > to)
		ref = t->entry[ref].parent;
	return ref;
}

uint32_t list_table_find(const struct list_table *t, const struct list_entry *p)
{
	uint32_t ref = outwards(t, list_table_lookup(t, p->family, p->addr), rank(p));

	return ref && rank(&t->entry[ref]) == rank(p) ? ref : 0;
}

uint32_t list_table_find_any(const struct list_table *t, const struct list_entry *p)
{
	uint32_t ref =
		outwards(t, list_table_lookup(t, p->family, p->addr), (unsigned)p->len << 8 | 0xff);

	return ref && t->entry[ref].len == p->len ? ref : 0;
}

/* ---- changing ---------------------------------------------------------------------- */

struct change {
	const struct list_entry *e;
	uint32_t number;
	bool add;
};

/* Whose an address is that was `ref`'s, now. */
static uint32_t owner_then(struct list_table *t, uint32_t ref, const struct change *c)
{
	unsigned to = rank(c->e);
	uint32_t inside = ref;

	if (c->add && (!ref || rank(&t->entry[ref]) < to))
		return c->number;
	if (!c->add && ref == c->number)
		return c->e->parent;
	if (!ref || rank(&t->entry[ref]) <= to)
		return ref;
	/* it lies further inside: whoever is the outermost there has a new parent */
	while (t->entry[inside].parent && rank(&t->entry[t->entry[inside].parent]) > to)
		inside = t->entry[inside].parent;
	if (c->add)
		parent_set(t, inside, c->number);
	else if (t->entry[inside].parent == c->number)
		parent_set(t, inside, c->e->parent);
	return ref;
}

/* All that is below `ref` lies within the change: shapes stay, owners change in place. */
static uint32_t change_all(struct list_table *t, uint32_t ref, const struct change *c)
{
	if (is_entry(ref))
		return owner_then(t, ref, c);
	if (ref & LIST_REF_NODE) {
		unsigned n;
		uint32_t *at = node_refs(t, ref, &n), before = 0, after = 0;

		for (unsigned i = 0; i < n; i++) {
			if (i == 0 || at[i] != before) {
				before = at[i];
				after = change_all(t, before, c);
			}
			if (after != before)
				show(&at[i], after);
		}
	} else {
		uint32_t *at = (uint32_t *)&skip_at(t, ref)[1]; /* next, miss: little endian */

		show(&at[0], change_all(t, at[0], c));
		show(&at[1], owner_then(t, at[1], c));
	}
	return ref;
}

static uint32_t change_below(struct list_table *t, uint32_t ref, unsigned depth,
			     const struct change *c)
{
	unsigned byte, bits = c->e->len - depth * 8, n = bits < 8 ? 1u << (8 - bits) : 1;
	uint32_t v[256], before = 0, after = 0, packed;

	spread(t, ref, depth, v);
	byte = c->e->addr[depth];
	for (unsigned i = byte; i < byte + n; i++) {
		if (i == byte || v[i] != before) {
			before = v[i];
			after = bits > 8 ? change_below(t, v[i], depth + 1, c) :
					   change_all(t, v[i], c);
		}
		v[i] = after;
	}
	packed = pack(t, v, depth);
	if (!is_entry(ref))
		retire(t, ref);
	return packed;
}

/* The bits of one /16: does anything of a /22 belong to somebody? */
static void bitmap_renew(struct list_table *t, unsigned family, uint32_t net)
{
	__u64 *at = &t->top[family == 6].bits[net], bits = 0;
	uint32_t ref = dir_of(t, family)[net], v[256];

	if (ref & LIST_REF_SKIP) {
		const __u64 *skip = skip_at(t, ref);

		for (unsigned i = 0; i < 256; i++)
			v[i] = (uint32_t)(skip[1] >> 32);
		v[skip[0] >> 56] = (skip[0] & 7) > 1 ? 1 : (uint32_t)skip[1];
	} else if (ref) {
		spread(t, ref, 2, v);
	}
	for (unsigned i = 0; ref && i < 256; i++)
		bits |= (uint64_t)(v[i] != 0) << i / 4;
	if (*at != bits)
		__atomic_store_n(at, bits, __ATOMIC_RELEASE);
}

static void change(struct list_table *t, const struct change *c)
{
	uint32_t *dir = dir_of(t, c->e->family), first = load_be16(c->e->addr), n = 1;

	if (c->e->len > 16)
		show(&dir[first], change_below(t, dir[first], 2, c));
	else
		n = 1u << (16 - c->e->len);
	for (uint32_t i = first; i < first + n; i++) {
		if (c->e->len <= 16)
			show(&dir[i], change_all(t, dir[i], c));
		bitmap_renew(t, c->e->family, i);
	}
}

uint32_t list_table_add(struct list_table *t, const struct list_entry *e)
{
	struct head *h = head(t);
	uint32_t number = h->free_entry;
	struct list_entry *at, whole;

	assert(list_table_has_room(t));
	if (number)
		h->free_entry = t->entry[number].parent;
	else
		number = h->next_entry++;
	at = &t->entry[number];
	whole = *e;
	whole.family = 0;
	*at = whole;
	__atomic_store_n(&at->family, e->family, __ATOMIC_RELEASE);
	at->parent = outwards(t, list_table_lookup(t, e->family, e->addr), rank(e));
	assert(!at->parent || rank(&t->entry[at->parent]) < rank(e));
	t->hot[number].hits = 0;
	hot_renew(t, number);
	change(t, &(struct change){.e = at, .number = number, .add = true});
	h->n[e->family == 6]++;
	return number;
}

void list_table_del(struct list_table *t, uint32_t number)
{
	struct list_entry *at = &t->entry[number];

	assert(number && at->family);
	change(t, &(struct change){.e = at, .number = number});
	head(t)->n[at->family == 6]--;
	__atomic_store_n(&at->family, 0, __ATOMIC_RELAXED);
	retire(t, number);
}

/* ---- filling ------------------------------------------------------------------------ */

static void fill_close(struct list_fill *f, uint32_t depth)
{
	for (; f->_open > depth; f->_open--) {
		uint32_t ref = pack(f->table, f->_v[f->_open], f->_open);

		if (f->_open == 2)
			dir_of(f->table, f->_family)[load_be16(f->_path)] = ref;
		else
			f->_v[f->_open - 1][f->_path[f->_open - 1]] = ref;
	}
	if (f->_open < 2)
		f->_open = 0;
}

static void fill_open(struct list_fill *f, const struct list_entry *e, uint32_t depth)
{
	uint32_t same = 0;

	while (f->_family == e->family && same < f->_open && f->_path[same] == e->addr[same])
		same++;
	fill_close(f, same);
	f->_family = e->family;
	memcpy(f->_path, e->addr, sizeof(f->_path));
	for (uint32_t d = MAX(f->_open + 1, 2); d <= depth; d++) {
		uint32_t around = d == 2 ? dir_of(f->table, e->family)[load_be16(e->addr)] :
					   f->_v[d - 1][e->addr[d - 1]];

		assert(is_entry(around)); /* what is longer comes later */
		for (unsigned i = 0; i < 256; i++)
			f->_v[d][i] = around;
		f->_open = d;
	}
}

static bool holds(const struct list_entry *outer, const struct list_entry *e)
{
	return outer->family == e->family && rank(outer) < rank(e) && holds_addr(outer, e->addr);
}

bool list_fill_add(struct list_fill *f, const struct list_entry *e)
{
	struct head *h = head(f->table);
	uint32_t depth = e->len <= 16 ? 0 : (e->len - 1u) / 8, n = 1u << (-e->len & 7);
	uint32_t number = h->next_entry, *at, *first;

	if (!list_table_has_room(f->table))
		return false;
	h->next_entry++;
	f->table->entry[number] = *e;
	while (f->_last && !holds(&f->table->entry[f->_last], e))
		f->_last = f->table->entry[f->_last].parent;
	f->table->entry[number].parent = f->_last;
	hot_renew(f->table, number);
	f->_last = number;
	first = &f->table->top[e->family == 6].first[load_be16(e->addr)];
	if (depth && !*first)
		*first = number;
	h->n[e->family == 6]++;

	fill_open(f, e, depth);
	if (depth) {
		at = &f->_v[depth][e->addr[depth]];
	} else {
		at = &dir_of(f->table, e->family)[load_be16(e->addr)];
		n = 1u << (16 - e->len);
	}
	for (uint32_t i = 0; i < n; i++)
		at[i] = number;
	return true;
}

void list_fill_end(struct list_fill *f)
{
	fill_close(f, 0);
	for (uint32_t net = 0; net < 1u << 16; net++) {
		bitmap_renew(f->table, 4, net);
		bitmap_renew(f->table, 6, net);
	}
}

/* ---- all of it ----------------------------------------------------------------------- */

void list_table_format(struct list_table *t)
{
	assert(t->blocks > LIST_POOL_BLOCK && t->entries > 0);
	head(t)->next_block = LIST_POOL_BLOCK;
	head(t)->next_entry = 1;
}

void list_table_fini(struct list_table *t)
{
	free(t->_waiting);
	memset(t, 0, sizeof(*t));
}

bool list_table_has_room(const struct list_table *t)
{
	const struct head *h = head(t);

	return h->next_block + LIST_CHANGE_BLOCKS <= t->blocks &&
	       (h->free_entry || h->next_entry < t->entries);
}

uint32_t list_table_count(const struct list_table *t, unsigned family)
{
	return head(t)->n[family == 6];
}

uint32_t list_table_blocks(const struct list_table *t)
{
	return head(t)->next_block;
}

uint64_t list_table_bytes(const struct list_table *t)
{
	return 2 * sizeof(*t->top) + (uint64_t)t->blocks * sizeof(*t->heap) +
	       (uint64_t)t->entries * (sizeof(*t->entry) + sizeof(*t->hot));
}

uint32_t list_table_end(const struct list_table *t)
{
	return head(t)->next_entry;
}

int list_entry_compare(const struct list_entry *a, const struct list_entry *b)
{
	int c = (a->family > b->family) - (a->family < b->family);

	if (c == 0)
		c = memcmp(a->addr, b->addr, sizeof(a->addr));
	if (c == 0)
		c = (a->len > b->len) - (a->len < b->len);
	return c ? c : (a->set > b->set) - (a->set < b->set);
}
