/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_list - files of prefixes from anywhere.
 *
 * The first byte says how the rest is to be read (bit 0 skip, 1 join, 2 short ones). Whatever is
 * read must be sorted, each prefix once and sound; joining must change no verdict; and what is
 * handed over must be what was read. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shield/list_file.h"

static bool covers(const struct list_record *outer, const struct list_record *r)
{
	if (outer->family != r->family || outer->len > r->len)
		return false;
	for (unsigned bit = 0; bit < outer->len; bit++)
		if ((outer->addr[bit / 8] ^ r->addr[bit / 8]) & (0x80 >> bit % 8))
			return false;
	return true;
}

/* For how long is this prefix held by any of them? UINT32_MAX: for ever, 0: not at all. */
static uint32_t held(const struct list_file *f, const struct list_record *r)
{
	uint32_t best = 0;

	for (size_t i = 0; i < f->n; i++)
		if (covers(&f->records[i], r)) {
			uint32_t ttl = f->records[i].ttl_s ? f->records[i].ttl_s : UINT32_MAX;

			best = MAX(best, ttl);
		}
	return best;
}

static void check_joining(struct bytes text, const struct list_file *plain)
{
	struct list_file f = {.skip = true, .short_ones = plain->short_ones, .join = true};

	if (plain->n > 500)
		return;
	assert(list_file_read(&f, text) == 0);
	list_file_finish(&f);
	assert(f.n <= plain->n);
	for (size_t i = 0; i < plain->n; i++)
		assert(held(&f, &plain->records[i]) == held(plain, &plain->records[i]));
	for (size_t i = 0; i < f.n; i++)
		if (!held(plain, &f.records[i])) { /* a whole: both halves are there */
			struct list_record half = f.records[i];

			half.len++;
			assert(held(&f, &half) == held(&f, &f.records[i]));
		}
	list_file_free(&f);
}

static void check_handing(struct list_file *f)
{
	size_t n = f->n;
	struct list_record *copy = malloc((n + 1) * sizeof(*copy));
	struct list_hand h;
	int fd;

	memcpy(copy, f->records, n * sizeof(*copy));
	fd = list_file_hand(f);
	assert(fd >= 0);
	assert(list_hand_open(fd, &h) == 0);
	assert(h.n == n && memcmp(h.records, copy, n * sizeof(*copy)) == 0);
	list_hand_close(&h);
	close(fd);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct list_file f = {0};
	struct bytes text;
	int err;

	if (size == 0)
		return 0;
	f.skip = data[0] & 1;
	f.short_ones = data[0] & 4;
	text = BYTES(data + 1, size - 1);
	err = list_file_read(&f, text);
	assert(err == 0 || (err == -EINVAL && f.n_errors && !f.skip));
	for (size_t i = 0; i < MIN(f.n_errors, (size_t)LIST_FILE_ERRORS); i++)
		assert(f.errors[i].line >= 1 && f.errors[i].text[0]);
	list_file_finish(&f);
	struct list_batch batch = {
		.records = f.records, .n = f.n, .notes = f.notes, .n_notes = f.n_notes};
	assert(list_records_are_sound(&batch));
	if ((data[0] & 2) && f.skip && f.n)
		check_joining(text, &f);
	if (f.n)
		check_handing(&f);
	list_file_free(&f);
	return 0;
}
