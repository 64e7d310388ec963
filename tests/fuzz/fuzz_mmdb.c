/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_mmdb - a MaxMind database that somebody has thought up.
 *
 * Whatever the library opens is walked to its end, which must come, and what is found must be prefixes
 * that can be put in order and handed over. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shield/list_mmdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const countries[] = {"XA", "XB"};
	static const uint32_t asns[] = {64500, 64501};
	const struct list_mmdb_want want = {countries, 2, asns, 2};
	struct list_file f = {.short_ones = true};
	int fd = memfd_create("fuzz", 0);
	struct list_mmdb *db;
	char path[64];

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (size && list_mmdb_open(path, &db) == 0) {
		int err = list_mmdb_read(db, &want, &f);

		assert((err != 0) == (f.n_errors != 0) || err == -ENOMEM || err == -E2BIG);
		list_file_finish(&f);
		struct list_batch batch = {
			.records = f.records, .n = f.n, .notes = f.notes, .n_notes = f.n_notes};
		assert(list_records_are_sound(&batch));
		list_file_free(&f);
		list_mmdb_close(db);
	}
	close(fd);
	return 0;
}
