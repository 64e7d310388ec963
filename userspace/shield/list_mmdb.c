/* SPDX-License-Identifier: BSD-2-Clause */
/* list_mmdb.c - a walk over the whole search tree of an MMDB file.
 *
 * The tree branches at each bit of an address; most of its ends point at one of few records, so
 * what a record says is looked up once. A tree that is no tree (a node that leads back to itself)
 * ends at 128 bits; one that shares its nodes too often, at a number of steps. */
#include "shield/list_mmdb.h"

#include <assert.h>
#include <errno.h>
#include <maxminddb.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define STEPS_MAX (1u << 28)
#define SEEN      65536 /* records remembered; a power of two */

struct list_mmdb {
	MMDB_s db;
};

struct walk {
	struct list_mmdb *m;
	const struct list_mmdb_want *want;
	struct list_file *f;
	uint32_t steps;
	uint32_t v4_node; /* where IPv4 begins in a tree of IPv6; UINT32_MAX: it does not */
	uint8_t addr[16];
	struct {
		uint32_t at; /* offset of the record and 1 */
		bool wanted;
	} seen[SEEN];
};

int list_mmdb_open(const char *path, struct list_mmdb **out)
{
	struct list_mmdb *m = calloc(1, sizeof(*m));
	int err;

	*out = NULL;
	if (!m)
		return -ENOMEM;
	errno = 0;
	err = MMDB_open(path, MMDB_MODE_MMAP, &m->db);
	if (err == MMDB_SUCCESS) {
		*out = m;
		return 0;
	}
	free(m);
	return err == MMDB_FILE_OPEN_ERROR || err == MMDB_IO_ERROR ? (errno ? -errno : -EIO) :
	       err == MMDB_OUT_OF_MEMORY_ERROR                     ? -ENOMEM :
								     -EINVAL;
}

void list_mmdb_close(struct list_mmdb *m)
{
	if (!m)
		return;
	MMDB_close(&m->db);
	free(m);
}

static bool is_country(const struct list_mmdb_want *want, const MMDB_entry_data_s *d)
{
	for (size_t i = 0; i < want->n_countries; i++)
		if (d->data_size == 2 && memcmp(d->utf8_string, want->countries[i], 2) == 0)
			return true;
	return false;
}

static bool says(MMDB_entry_s *e, MMDB_entry_data_s *d, uint32_t type, const char *const *path)
{
	return MMDB_aget_value(e, d, path) == MMDB_SUCCESS && d->has_data && d->type == type;
}

static bool record_wanted(struct walk *w, MMDB_entry_s *e)
{
	static const char *const country[] = {"country", "iso_code", NULL};
	static const char *const registered[] = {"registered_country", "iso_code", NULL};
	static const char *const asn[] = {"autonomous_system_number", NULL};
	MMDB_entry_data_s d;

	if (w->want->n_countries &&
	    (says(e, &d, MMDB_DATA_TYPE_UTF8_STRING, country) ||
	     says(e, &d, MMDB_DATA_TYPE_UTF8_STRING, registered)) &&
	    is_country(w->want, &d))
		return true;
	if (w->want->n_asns && says(e, &d, MMDB_DATA_TYPE_UINT32, asn))
		for (size_t i = 0; i < w->want->n_asns; i++)
			if (d.uint32 == w->want->asns[i])
				return true;
	return false;
}

static bool is_wanted(struct walk *w, MMDB_entry_s *e)
{
	size_t slot = hash_mix(e->offset) % SEEN;

	if (w->seen[slot].at != e->offset + 1) {
		w->seen[slot].at = e->offset + 1;
		w->seen[slot].wanted = record_wanted(w, e);
	}
	return w->seen[slot].wanted;
}

static int add(struct walk *w, unsigned depth)
{
	static const uint8_t zero[12];
	struct list_record r = {.family = 6, .len = (uint8_t)depth};

	if (w->m->db.metadata.ip_version == 4) {
		r.family = 4;
		memcpy(r.addr, w->addr, 4);
	} else if (depth >= 96 && memcmp(w->addr, zero, 12) == 0) {
		r.family = 4;
		r.len = (uint8_t)(depth - 96);
		memcpy(r.addr, w->addr + 12, 4);
	} else {
		memcpy(r.addr, w->addr, 16);
	}
	return list_file_add(w->f, &r, BYTES(NULL, 0));
}

static int step(struct walk *w, uint64_t record, uint8_t type, MMDB_entry_s *e, unsigned depth);

static int node(struct walk *w, uint32_t number, unsigned depth)
{
	static const uint8_t zero[12];
	MMDB_search_node_s n;
	int err;

	if (number == w->v4_node && (depth != 96 || memcmp(w->addr, zero, 12) != 0))
		return 0; /* 2002::/16 and the like: IPv4 once more */
	if (depth >= (w->m->db.metadata.ip_version == 4 ? 32 : 128) || ++w->steps > STEPS_MAX ||
	    MMDB_read_node(&w->m->db, number, &n) != MMDB_SUCCESS) {
		list_file_error(w->f, 0, "the database's tree is broken");
		return -EINVAL;
	}
	err = step(w, n.left_record, n.left_record_type, &n.left_record_entry, depth + 1);
	if (err)
		return err;
	w->addr[depth / 8] |= (uint8_t)(0x80 >> depth % 8);
	err = step(w, n.right_record, n.right_record_type, &n.right_record_entry, depth + 1);
	w->addr[depth / 8] &= (uint8_t) ~(0x80 >> depth % 8);
	return err;
}

static int step(struct walk *w, uint64_t record, uint8_t type, MMDB_entry_s *e, unsigned depth)
{
	switch (type) {
	case MMDB_RECORD_TYPE_SEARCH_NODE: return node(w, (uint32_t)record, depth);
	case MMDB_RECORD_TYPE_DATA: return is_wanted(w, e) ? add(w, depth) : 0;
	case MMDB_RECORD_TYPE_EMPTY: return 0;
	}
	list_file_error(w->f, 0, "the database's tree is broken");
	return -EINVAL;
}

int list_mmdb_read(struct list_mmdb *m, const struct list_mmdb_want *want, struct list_file *f)
{
	struct walk *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->m = m;
	w->want = want;
	w->f = f;
	w->v4_node = UINT32_MAX;
	if (m->db.metadata.ip_version == 6 && m->db.ipv4_start_node.netmask == 96)
		w->v4_node = m->db.ipv4_start_node.node_value;
	err = node(w, 0, 0);
	free(w);
	return err;
}
