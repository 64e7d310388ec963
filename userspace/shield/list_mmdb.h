/* SPDX-License-Identifier: BSD-2-Clause */
/* list_mmdb.h - prefixes out of a MaxMind database: those of countries, or of autonomous systems.
 *
 * A prefix counts if its record's country.iso_code (or, where that is missing,
 * registered_country.iso_code) is one of the countries, or its autonomous_system_number one of the
 * numbers. IPv4 comes from where the database keeps it, ::/96, and from no alias of it. */
#ifndef SLUICE_SHIELD_LIST_MMDB_H
#define SLUICE_SHIELD_LIST_MMDB_H

#include "shield/list_file.h"

struct list_mmdb; /* opaque */

struct list_mmdb_want {
	const char *const *countries; /* two letters each */
	size_t n_countries;
	const uint32_t *asns;
	size_t n_asns;
};

/* Opens and maps it. 0; -EINVAL: no such database, or one that is broken; -errno. */
int list_mmdb_open(const char *path, struct list_mmdb **out);
/* Adds what is wanted; needs no system call but for memory. As list_file_read(); each mistake has line
 * 0. A broken tree is one. */
int list_mmdb_read(struct list_mmdb *db, const struct list_mmdb_want *want, struct list_file *f);
void list_mmdb_close(struct list_mmdb *db);

#endif
