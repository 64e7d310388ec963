/* SPDX-License-Identifier: BSD-2-Clause */
/* list.c - the maps that a list lives in: building a whole one, switching to it, finding it again.
 *
 *   entries in force ─┬► merged by address ─► table in plain memory ─► maps of just that size
 *   a batch ──────────┘                                                    │ bank = 1 - bank
 *   an earlier keeper's pins ─► mapped again                               ▼
 *                                                                     packets see it
 *
 * The maps can be mapped into memory, so what packets read is written here without a system
 * call for each entry, and read back by reading it. They have the size that their list needs,
 * and a quarter more for what comes one by one; when that is used up, a larger one is built.
 *
 * While a new list is built the old one is in force, and it goes only when no packet reads it
 * any more: putting a map into an array of maps waits for that (XDP.md 3.8), so putting
 * one where it is already is how we wait. */
#include "shield/state.h"

#include <assert.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"
#include "shield/list_file.h"

#define ENTRIES_SPARE 1024
#define BLOCKS_SPARE  16384
#define NOTES_SPARE   64

static const char *const map_words[LIST_MAPS] = {
	[LIST_MAP_TOP] = "top", [LIST_MAP_HEAP] = "heap", [LIST_MAP_ENTRY] = "entry",
	[LIST_MAP_HOT] = "hot", [LIST_MAP_NOTE] = "note",
};

const char *list_word(enum shield_list_id id)
{
	return id == LIST_DENY ? "deny" : "allow";
}

/* ---- maps in memory --------------------------------------------------------------- */

static size_t map_bytes(size_t n, size_t each)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n * each + page - 1) / page * page;
}

static void *map_memory(int fd, size_t n, size_t each)
{
	void *p = mmap(NULL, map_bytes(n, each), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap_memory(void *p, size_t n, size_t each)
{
	if (p)
		munmap(p, map_bytes(n, each));
}

static uint32_t hot_pages(uint32_t entries)
{
	return (entries + LIST_HOTS - 1) / LIST_HOTS;
}

/* `any_size`: it goes into an array whose maps need not be of one size. `type`: NULL for none. */
static int map_new(const struct shield *s, const char *name, const char *type, uint32_t each,
		   uint32_t n, bool any_size)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts,
		    .map_flags = BPF_F_MMAPABLE | (any_size ? BPF_F_INNER_MAP : 0));
	const struct btf *btf = bpf_object__btf(s->xdp->obj);
	int key = btf__find_by_name_kind(btf, "__u32", BTF_KIND_TYPEDEF);
	int value = type ? btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT) : 0;
	int fd;

	if (key > 0 && value > 0 && bpf_object__btf_fd(s->xdp->obj) >= 0) {
		opts.btf_fd = (__u32)bpf_object__btf_fd(s->xdp->obj);
		opts.btf_key_type_id = (__u32)key;
		opts.btf_value_type_id = (__u32)value;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(__u32), each, n, &opts);
	return fd < 0 ? -errno : fd;
}

static uint32_t map_size(int fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.max_entries;
}

static bool map_is(int fd, size_t each, uint32_t n)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.key_size == sizeof(__u32) && info.value_size == each && info.max_entries == n &&
	       (info.map_flags & BPF_F_MMAPABLE);
}

int shield_list_types(const struct shield *s)
{
	return s->xdp ? bpf_object__btf_fd(s->xdp->obj) : -1;
}

static void close_maps(int fd[LIST_MAPS])
{
	for (int i = 0; i < LIST_MAPS; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}

/* ---- the list in force ------------------------------------------------------------- */

static __u32 slot_of(const struct shield *s, enum shield_list_id id)
{
	return id * 2 + (s->lists[id].bank & 1);
}

static void list_unmap(struct list *l)
{
	if (!l->table.heap)
		return;
	unmap_memory(l->table.top, 2, sizeof(*l->table.top));
	unmap_memory(l->table.heap, l->table.blocks, sizeof(*l->table.heap));
	unmap_memory(l->table.entry, l->table.entries, sizeof(*l->table.entry));
	unmap_memory(l->table.hot, hot_pages(l->table.entries), sizeof(struct list_hots));
	unmap_memory(l->note, l->notes_max, sizeof(*l->note));
	list_table_fini(&l->table);
	close_maps(l->fd);
	l->note = NULL;
}

static uint64_t expiry_of(const struct list_table *t)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 1, end = list_table_end(t); i < end; i++)
		if (t->entry[i].family && t->entry[i].expires_ns)
			next = MIN(next, t->entry[i].expires_ns);
	return next;
}

/* Maps what was built; takes the descriptors, whatever comes of it. */
static int list_map(struct list *l, struct list_built *b)
{
	memset(l, 0, sizeof(*l));
	memcpy(l->fd, b->fd, sizeof(l->fd));
	memset(b->fd, -1, sizeof(b->fd));
	l->notes_max = b->notes;
	l->table.blocks = b->blocks;
	l->table.entries = b->entries;
	l->table.live = true;
	if (!map_is(l->fd[LIST_MAP_TOP], sizeof(*l->table.top), 2) ||
	    !map_is(l->fd[LIST_MAP_HEAP], sizeof(*l->table.heap), b->blocks) ||
	    !map_is(l->fd[LIST_MAP_ENTRY], sizeof(*l->table.entry), b->entries) ||
	    !map_is(l->fd[LIST_MAP_HOT], sizeof(struct list_hots), hot_pages(b->entries)) ||
	    !map_is(l->fd[LIST_MAP_NOTE], sizeof(*l->note), b->notes) ||
	    b->blocks <= LIST_POOL_BLOCK) {
		close_maps(l->fd);
		memset(l, 0, sizeof(*l));
		return -EINVAL;
	}
	l->table.top = map_memory(l->fd[LIST_MAP_TOP], 2, sizeof(*l->table.top));
	l->table.heap = map_memory(l->fd[LIST_MAP_HEAP], b->blocks, sizeof(*l->table.heap));
	l->table.entry = map_memory(l->fd[LIST_MAP_ENTRY], b->entries, sizeof(*l->table.entry));
	l->table.hot =
		map_memory(l->fd[LIST_MAP_HOT], hot_pages(b->entries), sizeof(struct list_hots));
	l->note = map_memory(l->fd[LIST_MAP_NOTE], b->notes, sizeof(*l->note));
	if (l->table.top && l->table.heap && l->table.entry && l->table.hot && l->note) {
		l->next_expiry_ns = expiry_of(&l->table);
		return 0;
	}
	unmap_memory(l->table.top, 2, sizeof(*l->table.top));
	unmap_memory(l->table.heap, b->blocks, sizeof(*l->table.heap));
	unmap_memory(l->table.entry, b->entries, sizeof(*l->table.entry));
	unmap_memory(l->table.hot, hot_pages(b->entries), sizeof(struct list_hots));
	unmap_memory(l->note, b->notes, sizeof(*l->note));
	close_maps(l->fd);
	memset(l, 0, sizeof(*l));
	return -ENOMEM;
}

void list_publish(struct shield *s, enum shield_list_id id)
{
	struct shield_list *now = &s->lists[id];
	const struct list *l = &s->list[id];
	unsigned bank = now->bank & 1;

	now->entries_max = l->table.entries - 1;
	now->blocks = list_table_blocks(&l->table);
	now->blocks_max = l->table.blocks;
	__atomic_store_n(&now->n[bank].v4, list_table_count(&l->table, 4), __ATOMIC_RELEASE);
	__atomic_store_n(&now->n[bank].v6, list_table_count(&l->table, 6), __ATOMIC_RELEASE);
}

/* Returns when no packet reads any more what was there before. */
static int wait_unseen(struct shield *s, enum shield_list_id id)
{
	__u32 slot = slot_of(s, id);

	return bpf_map_update_elem(bpf_map__fd(s->xdp->maps.list_heap), &slot,
				   &s->list[id].fd[LIST_MAP_HEAP], BPF_ANY) ?
		       -errno :
		       0;
}

void list_settle(struct shield *s, enum shield_list_id id)
{
	struct list_table *t = &s->list[id].table;

	if (!s->journal[id].on && t->heap && !list_table_is_settled(t) && wait_unseen(s, id) == 0)
		list_table_settle(t);
}

/* ---- notes ------------------------------------------------------------------------- */

static uint32_t note_find(const struct list_note *note, uint32_t n, const char *text)
{
	for (uint32_t i = 1; i < n; i++)
		if (strncmp(note[i].text, text, sizeof(note[i].text)) == 0)
			return i;
	return 0;
}

uint32_t list_note_number(struct shield *s, enum shield_list_id id, const char *text)
{
	struct list *l = &s->list[id];
	struct list_note made = {};
	uint32_t at;

	if (!text || !*text)
		return 0;
	snprintf(made.text, sizeof(made.text), "%s", text);
	at = note_find(l->note, s->lists[id].notes, made.text);
	if (at || s->lists[id].notes >= l->notes_max)
		return at;
	at = s->lists[id].notes++;
	l->note[at] = made;
	return at;
}

/* ---- building ------------------------------------------------------------------------ */

/* A builder reads the list in force while the keeper changes it. What he met stays what it was, but
 * for hits and times: an entry that goes only loses its family, and is not used again while the
 * journal is kept (list_settle()). So he notes the family when he meets an entry. */
#define KEPT_IS_V6 0x80000000u
static_assert(LIST_ENTRIES_MAX < KEPT_IS_V6, "a bit is free");

struct building {
	const struct list *old; /* table.heap NULL: none */
	const struct list_batch *batch;
	uint32_t set;           /* of the batch */
	uint32_t *keep, n_keep; /* entries of other sets, in order; KEPT_IS_V6 */
	uint32_t *was, n_was;   /* entries of this set so far, likewise */
	uint32_t *note_now;     /* old number of a note → new */
	uint32_t n_notes, notes_max;
	uint64_t now_ns;
	struct list_table
		table; /* in the new maps; but for the heap, whose size is not yet known */
	struct list_fill *fill;
	struct list_note *note;
	size_t heap_bytes;
};

static const struct list_entry *sorted_by; /* of one process, which builds one list at a time */

static struct list_entry kept_entry(const struct list_entry *entries, uint32_t kept)
{
	struct list_entry e = entries[kept & ~KEPT_IS_V6];

	e.family = kept & KEPT_IS_V6 ? 6 : 4;
	return e;
}

static int by_prefix(const void *a, const void *b)
{
	struct list_entry x = kept_entry(sorted_by, *(const uint32_t *)a);
	struct list_entry y = kept_entry(sorted_by, *(const uint32_t *)b);

	return list_entry_compare(&x, &y);
}

static int collect(struct building *b)
{
	const struct list_table *t = &b->old->table;
	uint32_t end = t->heap ? list_table_end(t) : 1;

	b->keep = malloc(end * sizeof(*b->keep));
	b->was = malloc(end * sizeof(*b->was));
	if (!b->keep || !b->was)
		return -ENOMEM;
	for (uint32_t i = 1; i < end; i++) {
		const struct list_entry *e = &t->entry[i];
		uint8_t family = __atomic_load_n(&e->family, __ATOMIC_ACQUIRE);
		uint32_t kept = i | (family == 6 ? KEPT_IS_V6 : 0);

		if (!family || (e->expires_ns && e->expires_ns <= b->now_ns))
			continue;
		if (b->batch && e->set == b->set)
			b->was[b->n_was++] = kept;
		else
			b->keep[b->n_keep++] = kept;
	}
	sorted_by = t->entry;
	qsort(b->keep, b->n_keep, sizeof(*b->keep), by_prefix);
	qsort(b->was, b->n_was, sizeof(*b->was), by_prefix);
	return 0;
}

static struct list_entry entry_of(const struct building *b, const struct list_record *r)
{
	struct list_entry e = {
		.expires_ns = r->ttl_s ? b->now_ns + r->ttl_s * 1000000000ull : 0,
		.created_ns = b->now_ns,
		.len = r->len,
		.family = r->family,
		.set = (uint8_t)b->set,
		.reason = SHIELD_DENY_FILE,
		.note = r->note,
	};

	memcpy(e.addr, r->addr, sizeof(e.addr));
	return e;
}

/* The notes that are still in use keep their text and get the first numbers; those of the batch
 * follow. The same text may be there twice then, which harms nobody. */
static int number_notes(struct building *b)
{
	uint32_t used = 1;

	b->note_now = calloc(b->old->notes_max + 1, sizeof(*b->note_now));
	if (!b->note_now)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n_keep; i++) {
		uint32_t note = b->old->table.entry[b->keep[i] & ~KEPT_IS_V6].note;

		if (note && note < b->old->notes_max && !b->note_now[note])
			b->note_now[note] = used++;
	}
	b->n_notes = used + (b->batch && b->batch->n_notes ? (uint32_t)b->batch->n_notes - 1 : 0);
	b->notes_max = b->n_notes + NOTES_SPARE;
	return b->n_notes > LIST_NOTES_MAX ? -ENOSPC : 0;
}

static void copy_notes(struct building *b)
{
	uint32_t at = 1;

	for (uint32_t i = 1; i < b->old->notes_max; i++)
		if (b->note_now[i]) {
			b->note[b->note_now[i]] = b->old->note[i];
			at++;
		}
	if (b->batch && b->batch->n_notes > 1)
		memcpy(&b->note[at], &b->batch->notes[1],
		       (b->batch->n_notes - 1) * sizeof(*b->note));
}

/* Since its build. */
static uint64_t hits_of(const struct building *b, uint32_t kept)
{
	return __atomic_load_n(&b->old->table.hot[kept & ~KEPT_IS_V6].hits, __ATOMIC_RELAXED);
}

/* What the set had of this prefix before goes on. `w`: the first of b->was[] that may be it. */
static void inherit(const struct building *b, size_t *w, struct list_entry *e)
{
	for (; *w < b->n_was; ++*w) {
		struct list_entry was = kept_entry(b->old->table.entry, b->was[*w]);
		int c = list_entry_compare(&was, e);

		if (c == 0) {
			e->hits = was.hits + hits_of(b, b->was[*w]);
			e->created_ns = was.created_ns;
		}
		if (c >= 0)
			return;
	}
}

/* Both streams are in order, so the table is filled from its beginning to its end: each part of it
 * is written while it is in the cache. */
static int merge(struct building *b)
{
	size_t n = b->batch ? b->batch->n : 0;
	uint32_t first_note =
		b->n_notes - (b->batch && b->batch->n_notes ? (uint32_t)b->batch->n_notes - 1 : 0);

	for (size_t k = 0, r = 0, w = 0; k < b->n_keep || r < n;) {
		const struct list_entry *old = b->old->table.entry;
		struct list_entry e, fresh;
		bool kept = k < b->n_keep;

		if (kept) {
			e = kept_entry(old, b->keep[k]);
			e.hits += hits_of(b, b->keep[k]);
			e.note = e.note && e.note < b->old->notes_max ? b->note_now[e.note] : 0;
		}
		if (r < n) {
			fresh = entry_of(b, &b->batch->records[r]);
			if (fresh.note)
				fresh.note += first_note - 1;
			if (!kept || list_entry_compare(&fresh, &e) < 0) {
				e = fresh;
				kept = false;
			}
		}
		if (kept) {
			k++;
		} else {
			r++;
			inherit(b, &w, &e);
		}
		if (!list_fill_add(b->fill, &e))
			return -ENOSPC;
	}
	list_fill_end(b->fill);
	return 0;
}

/* Written is not yet there: each prefix is looked for in what packets will read. */
static bool is_complete(const struct list_table *t, size_t n)
{
	size_t found = 0;

	for (uint32_t i = 1; i < list_table_end(t); i++)
		found += list_table_find(t, &t->entry[i]) == i;
	return found == n;
}

static int store_heap(struct shield *s, struct building *b, struct list_built *out)
{
	struct list_block *at;
	size_t used = list_table_blocks(&b->table);
	struct list_table copy = b->table;
	int err = 0;

	out->blocks = (uint32_t)(used + (used - LIST_POOL_BLOCK) / 4 + BLOCKS_SPARE);
	out->fd[LIST_MAP_HEAP] =
		map_new(s, "list_heap", "list_block", sizeof(*at), out->blocks, true);
	if (out->fd[LIST_MAP_HEAP] < 0)
		return out->fd[LIST_MAP_HEAP];
	at = map_memory(out->fd[LIST_MAP_HEAP], out->blocks, sizeof(*at));
	if (!at)
		return -ENOMEM;
	memcpy(at, b->table.heap, used * sizeof(*at));
	copy.heap = at;
	if (!is_complete(&copy, list_table_count(&copy, 4) + list_table_count(&copy, 6)))
		err = -EIO;
	unmap_memory(at, out->blocks, sizeof(*at));
	return err;
}

static int build_maps(struct shield *s, struct building *b, struct list_built *out)
{
	size_t n = b->n_keep + (b->batch ? b->batch->n : 0);
	int err;

	if (n > LIST_ENTRIES_MAX)
		return -E2BIG;
	out->entries = (uint32_t)(1 + MIN(n + n / 8 + ENTRIES_SPARE, LIST_ENTRIES_MAX));
	out->notes = b->notes_max;
	out->fd[LIST_MAP_TOP] = map_new(s, "list_top", NULL, sizeof(struct list_top), 2, false);
	out->fd[LIST_MAP_ENTRY] = map_new(s, "list_entry", "list_entry", sizeof(struct list_entry),
					  out->entries, true);
	out->fd[LIST_MAP_HOT] = map_new(s, "list_hot", "list_hots", sizeof(struct list_hots),
					hot_pages(out->entries), true);
	out->fd[LIST_MAP_NOTE] =
		map_new(s, "list_note", "list_note", sizeof(struct list_note), out->notes, false);
	for (int i = 0; i < LIST_MAPS; i++)
		if (i != LIST_MAP_HEAP && out->fd[i] < 0)
			return out->fd[i];

	/* far more addresses than it will need; memory comes as it is touched */
	b->table.blocks = (uint32_t)(LIST_POOL_BLOCK + LIST_CHANGE_BLOCKS + n * 32);
	b->heap_bytes = (size_t)b->table.blocks * sizeof(struct list_block);
	b->table.heap = mmap(NULL, b->heap_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->table.heap == MAP_FAILED)
		b->table.heap = NULL;
	b->table.entries = out->entries;
	b->table.top = map_memory(out->fd[LIST_MAP_TOP], 2, sizeof(struct list_top));
	b->table.entry =
		map_memory(out->fd[LIST_MAP_ENTRY], out->entries, sizeof(struct list_entry));
	b->table.hot = map_memory(out->fd[LIST_MAP_HOT], hot_pages(out->entries),
				  sizeof(struct list_hots));
	b->note = map_memory(out->fd[LIST_MAP_NOTE], out->notes, sizeof(struct list_note));
	err = b->table.top && b->table.heap && b->table.entry && b->table.hot && b->note ? 0 :
											   -ENOMEM;
	if (!err) {
		list_table_format(&b->table);
		copy_notes(b);
		err = merge(b);
	}
	if (!err)
		err = store_heap(s, b, out);
	if (b->table.heap)
		munmap(b->table.heap, b->heap_bytes);
	unmap_memory(b->table.top, 2, sizeof(struct list_top));
	unmap_memory(b->table.entry, out->entries, sizeof(struct list_entry));
	unmap_memory(b->table.hot, hot_pages(out->entries), sizeof(struct list_hots));
	unmap_memory(b->note, out->notes, sizeof(struct list_note));
	return err;
}

/* The number of the set of this name, or a free one; 0: none is free. */
static uint32_t set_number(const struct shield *s, enum shield_list_id id, const char *name)
{
	const struct shield_set *set = &s->list_sets[id * LIST_SETS_MAX];
	uint32_t empty = 0;

	for (uint32_t i = LIST_SETS_MAX - 1; i > 0; i--) {
		if (strncmp(set[i].name, name, sizeof(set[i].name)) == 0)
			return i;
		if (!set[i].name[0])
			empty = i;
	}
	return empty;
}

void shield_list_discard(struct list_built *built)
{
	close_maps(built->fd);
}

int shield_list_build(struct shield *s, enum shield_list_id id, const struct list_batch *batch,
		      struct list_built *out)
{
	struct building b = {.batch = batch, .now_ns = clock_mono_ns()};
	int err;

	*out = (struct list_built){.entries = 0};
	memset(out->fd, -1, sizeof(out->fd));
	err = shield_lists_open(s);
	if (err)
		return err;
	b.old = &s->list[id];
	b.fill = calloc(1, sizeof(*b.fill));
	if (!b.fill)
		return -ENOMEM;
	b.fill->table = &b.table;
	if (batch) {
		b.set = set_number(s, id, batch->name);
		err = !b.set ? -ENOSPC : list_records_are_sound(batch) ? 0 : -EINVAL;
	}
	if (!err)
		err = collect(&b);
	if (!err)
		err = number_notes(&b);
	if (!err)
		err = build_maps(s, &b, out);
	out->set = b.set;
	for (size_t i = 0; !err && batch && i < batch->n; i++)
		*(batch->records[i].family == 4 ? &out->v4 : &out->v6) += 1;
	out->build_ms = (uint32_t)((clock_mono_ns() - b.now_ns) / 1000000);
	free(b.keep);
	free(b.was);
	free(b.note_now);
	free(b.fill);
	list_table_fini(&b.table);
	if (err)
		shield_list_discard(out);
	return err;
}

/* ---- switching ------------------------------------------------------------------------ */

static int put_inner(struct bpf_map *outer, __u32 slot, int fd)
{
	return bpf_map_update_elem(bpf_map__fd(outer), &slot, &fd, BPF_ANY) ? -errno : 0;
}

static int list_install(struct shield *s, __u32 slot, const struct list *l)
{
	int err = put_inner(s->xdp->maps.list_top, slot, l->fd[LIST_MAP_TOP]);

	if (!err)
		err = put_inner(s->xdp->maps.list_heap, slot, l->fd[LIST_MAP_HEAP]);
	if (!err)
		err = put_inner(s->xdp->maps.list_hot, slot, l->fd[LIST_MAP_HOT]);
	return err ? err : put_inner(s->xdp->maps.list_entry, slot, l->fd[LIST_MAP_ENTRY]);
}

static void pin_inner(struct shield *s, enum shield_list_id id, const struct list *l)
{
	char name[32];

	for (int i = 0; s->lock_fd >= 0 && i < LIST_MAPS; i++) {
		snprintf(name, sizeof(name), "%s_%s", list_word(id), map_words[i]);
		pin_store(s, name, l->fd[i]);
	}
}

void shield_lists_unpin(struct shield *s)
{
	char name[32];

	for (int id = 0; id < LISTS; id++)
		for (int i = 0; i < LIST_MAPS; i++) {
			snprintf(name, sizeof(name), "%s_%s", list_word(id), map_words[i]);
			pin_remove(s, name);
		}
}

static void count_sets(struct shield *s, enum shield_list_id id)
{
	struct shield_set *set = &s->list_sets[id * LIST_SETS_MAX];
	const struct list_table *t = &s->list[id].table;

	for (unsigned i = 0; i < LIST_SETS_MAX; i++)
		set[i].v4 = set[i].v6 = 0;
	for (uint32_t i = 1; i < list_table_end(t); i++) {
		const struct list_entry *e = &t->entry[i];

		if (e->family)
			*(e->family == 4 ? &set[e->set].v4 : &set[e->set].v6) += 1;
	}
}

/* That the maps are of one building. */
static void stamp(struct list *l, uint32_t build)
{
	l->table.top[0].build = build;
	l->table.entry[0].hits = build;
	l->table.hot[0].hits = build;
	l->table.heap[LIST_HEAD_BLOCK].w[7] = build;
	memcpy(l->note[0].text, &build, sizeof(build));
}

static bool has_stamp(const struct list *l, uint32_t build)
{
	uint32_t note;

	memcpy(&note, l->note[0].text, sizeof(note));
	return l->table.top[0].build == build && l->table.entry[0].hits == build &&
	       l->table.hot[0].hits == build && l->table.heap[LIST_HEAD_BLOCK].w[7] == build &&
	       note == build;
}

/* What was done to the old list while the new one was built. */
static void list_replay(struct shield *s, enum shield_list_id id)
{
	struct list_journal was = s->journal[id];
	uint64_t now = clock_mono_ns();

	memset(&s->journal[id], 0, sizeof(s->journal[id]));
	for (size_t i = 0; i < was.n; i++) {
		const struct list_op *op = &was.ops[i];

		if (op->own)
			list_del_own(s, id, &op->p);
		else if (!op->reason)
			shield_list_del(s, id, &op->p);
		else if (!op->expires_ns || op->expires_ns > now)
			shield_list_add(s, id, &op->p,
					op->expires_ns ? (op->expires_ns - now) / 1000000000u + 1 :
							 0,
					op->reason, op->note.text);
	}
	free(was.ops);
}

void shield_list_note_changes(struct shield *s, enum shield_list_id id, bool on)
{
	free(s->journal[id].ops);
	memset(&s->journal[id], 0, sizeof(s->journal[id]));
	s->journal[id].on = on;
}

int shield_list_switch(struct shield *s, enum shield_list_id id, const struct list_batch *batch,
		       struct list_built *built)
{
	struct shield_list *now;
	struct shield_set *set;
	struct list old, next;
	__u32 bank, slot, before;
	uint32_t notes = 1;
	int err = shield_lists_open(s);

	if (err)
		shield_list_discard(built);
	else
		err = list_map(&next, built);
	if (err)
		return err;
	now = &s->lists[id];
	set = &s->list_sets[id * LIST_SETS_MAX + built->set % LIST_SETS_MAX];
	old = s->list[id];
	bank = !(now->bank & 1);
	slot = id * 2 + bank;
	before = id * 2 + !bank;
	stamp(&next, now->build + 1);
	err = list_install(s, slot, &next);
	if (err) {
		list_unmap(&next);
		return err;
	}
	now->n[bank].v4 = list_table_count(&next.table, 4);
	now->n[bank].v6 = list_table_count(&next.table, 6);
	__atomic_store_n(&now->bank, bank, __ATOMIC_RELEASE);

	now->build++;
	while (notes < next.notes_max && next.note[notes].text[0])
		notes++;
	now->notes = notes;
	s->list[id] = next;
	pin_inner(s, id, &next);
	list_publish(s, id);
	if (batch) {
		memset(set, 0, sizeof(*set));
		memcpy(set->name, batch->name, batch->n ? sizeof(set->name) : 0);
		memcpy(set->source, batch->source, batch->n ? sizeof(set->source) : 0);
		set->loaded_wall_s = batch->n ? (uint64_t)time(NULL) : 0;
		set->config = batch->n && batch->config;
		shield_event(s, EVENT_LIST, "%s list: set %.31s: %zu prefix%s", list_word(id),
			     batch->name, batch->n, batch->n == 1 ? "" : "es");
	}
	count_sets(s, id);
	wait_unseen(s, id);
	bpf_map_delete_elem(bpf_map__fd(s->xdp->maps.list_top), &before);
	bpf_map_delete_elem(bpf_map__fd(s->xdp->maps.list_heap), &before);
	bpf_map_delete_elem(bpf_map__fd(s->xdp->maps.list_entry), &before);
	bpf_map_delete_elem(bpf_map__fd(s->xdp->maps.list_hot), &before);
	if (old.table.heap)
		list_unmap(&old);
	if (batch)
		list_replay(s, id);
	return 0;
}

int list_make_room(struct shield *s, enum shield_list_id id)
{
	struct list *l = &s->list[id];
	struct list_built built;
	int err;

	if (l->table.heap && !list_table_has_room(&l->table))
		list_settle(s, id);
	if (l->table.heap && list_table_has_room(&l->table) && s->lists[id].notes < l->notes_max)
		return 0;
	err = shield_list_build(s, id, NULL, &built);
	if (!err)
		err = shield_list_switch(s, id, NULL, &built);
	if (!err && !list_table_has_room(&l->table))
		err = -ENOSPC;
	return err;
}

/* ---- an earlier keeper's -------------------------------------------------------------- */

static int pinned(const struct shield *s, enum shield_list_id id, const char *what)
{
	char name[32], path[SHIELD_PATH_MAX];

	if (s->lock_fd < 0)
		return -1;
	snprintf(name, sizeof(name), "%s_%s", list_word(id), what);
	pin_path(s, name, path);
	return bpf_obj_get(path);
}

static void list_adopt(struct shield *s, enum shield_list_id id)
{
	struct shield_list *now = &s->lists[id];
	struct list_built b = {};
	bool all = now->build;

	for (int i = 0; i < LIST_MAPS; i++) {
		b.fd[i] = pinned(s, id, map_words[i]);
		all = all && b.fd[i] >= 0;
	}
	if (all) {
		b.blocks = map_size(b.fd[LIST_MAP_HEAP]);
		b.entries = map_size(b.fd[LIST_MAP_ENTRY]);
		b.notes = map_size(b.fd[LIST_MAP_NOTE]);
		if (b.blocks > LIST_POOL_BLOCK && b.entries && b.notes &&
		    list_map(&s->list[id], &b) == 0 && has_stamp(&s->list[id], now->build) &&
		    list_install(s, slot_of(s, id), &s->list[id]) == 0)
			return;
		list_unmap(&s->list[id]);
	}
	shield_list_discard(&b);
	if (now->n[now->bank & 1].v4 || now->n[now->bank & 1].v6)
		log_warn(
			"shield: the %s list of the sluiced before cannot be taken over: it starts "
			"empty",
			list_word(id));
	memset(now, 0, sizeof(*now));
	memset(&s->list_sets[id * LIST_SETS_MAX], 0, LIST_SETS_MAX * sizeof(*s->list_sets));
}

int shield_lists_open(struct shield *s)
{
	if (!s->xdp)
		return -EOPNOTSUPP;
	if (s->lists)
		return 0;
	s->lists = map_memory(bpf_map__fd(s->xdp->maps.lists), LISTS, sizeof(*s->lists));
	s->list_sets = map_memory(bpf_map__fd(s->xdp->maps.list_set), LISTS * LIST_SETS_MAX,
				  sizeof(*s->list_sets));
	if (!s->lists || !s->list_sets) {
		shield_lists_close(s);
		return -ENOMEM;
	}
	for (int id = 0; id < LISTS; id++)
		list_adopt(s, id);
	return 0;
}

void shield_lists_close(struct shield *s)
{
	for (int id = 0; id < LISTS; id++) {
		list_unmap(&s->list[id]);
		shield_list_note_changes(s, id, false);
	}
	unmap_memory(s->lists, LISTS, sizeof(*s->lists));
	unmap_memory(s->list_sets, LISTS * LIST_SETS_MAX, sizeof(*s->list_sets));
	s->lists = NULL;
	s->list_sets = NULL;
}
