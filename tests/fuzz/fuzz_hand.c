/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_hand - a list handed over by somebody who lies.
 *
 * The bytes are a memfd's, sealed but for some inputs. Whatever is believed must build a table in which
 * each prefix is found again; whatever is not must be refused before. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/handover.h"
#include "shield/list_file.h"
#include "shield/list_table.h"

static void build(const struct list_hand *h)
{
	size_t blocks = LIST_POOL_BLOCK + LIST_CHANGE_BLOCKS + h->n * 32;
	struct list_fill *fill = calloc(1, sizeof(*fill));
	struct list_table t = {
		.top = calloc(2, sizeof(*t.top)),
		.heap = calloc(blocks, sizeof(*t.heap)),
		.entry = calloc(h->n + 1, sizeof(*t.entry)),
		.hot = calloc(h->n + 1, sizeof(*t.hot)),
		.blocks = (uint32_t)blocks,
		.entries = (uint32_t)h->n + 1,
	};

	fill->table = &t;
	list_table_format(&t);
	for (size_t i = 0; i < h->n; i++) {
		struct list_entry e = {.family = h->records[i].family, .len = h->records[i].len};

		memcpy(e.addr, h->records[i].addr, 16);
		assert(list_fill_add(fill, &e));
	}
	list_fill_end(fill);
	for (uint32_t i = 1; i <= h->n; i++)
		assert(list_table_find(&t, &t.entry[i]) == i);
	for (uint32_t i = 1; i <= h->n; i += 3) /* and it can be taken apart */
		list_table_del(&t, i);
	free(t.top);
	free(t.heap);
	free(t.entry);
	free(t.hot);
	free(fill);
	list_table_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct list_hand h;
	bool sealed = size == 0 || data[size - 1] != 0xff;
	int fd = handover_memfd_open("fuzz");

	assert(fd >= 0);
	if (size && write(fd, data, size) != (ssize_t)size)
		abort();
	if (sealed)
		assert(handover_memfd_seal(fd) == 0);
	if (list_hand_open(fd, &h) == 0) {
		struct list_batch batch = {
			.records = h.records, .n = h.n, .notes = h.notes, .n_notes = h.n_notes};

		assert(sealed);
		if (list_records_are_sound(&batch) && h.n < 1000)
			build(&h);
		list_hand_close(&h);
	}
	close(fd);
	return 0;
}
