/* SPDX-License-Identifier: BSD-2-Clause */
/* list_file.h - a file of prefixes, for a set of a list: read, put in order, handed over.
 *
 *   text or JSON ─► list_file_read ─┐
 *   MMDB         ─► list_mmdb_read ─┴► list_file_finish ─► list_file_hand ─► sealed memfd
 *                                       (sort, once each)                         │
 *                         the keeper's child: list_hand_open ◄────────────────────┘
 *
 * Text: a prefix or an address a line, then `for TIME` and `note TEXT` as on sluicectl's command
 * line, a note of several words bare or in double quotes; # or ; begin a comment.
 * JSON: an array of strings or of objects, or an object with such an array as "entries" or
 * "prefixes"; in an object "prefix", and if wanted "for" ("10m", or seconds), "left_s" (seconds, or
 * null: what an export has) and "note"; "list" beside the array is kept ("allow" or "deny": an export
 * says it, and the two are not to be confused). What else an export says is left alone; a field that
 * nobody knows is a mistake.
 *
 * Whatever is wrong has its line; the first LIST_FILE_ERRORS are told, all are counted. */
#ifndef SLUICE_SHIELD_LIST_FILE_H
#define SLUICE_SHIELD_LIST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "shield/shield.h"

#define LIST_FILE_ERRORS  20
#define LIST_FILE_TTL_MAX (366u * 86400u)

struct list_file_error {
	uint32_t line;
	char text[120];
};

struct list_file {
	/* how it is to be read; zero is a good beginning */
	bool short_ones; /* prefixes shorter than /8, or /16 of IPv6, are meant */
	bool skip;       /* what is wrong is left out; else nothing is good if anything is wrong */
	bool join;       /* what others cover goes, halves become wholes */
	void (*progress)(void *arg, size_t done, size_t of); /* every now and then; NULL: nobody */
	void *progress_arg;

	/* what was read; owned here */
	struct list_record *records;
	size_t n;
	struct list_note *notes; /* distinct; [0] is none */
	size_t n_notes;
	size_t n_duplicates, n_joined;
	char list[8]; /* "deny" or "allow", if the JSON says of which it is; "" */
	struct list_file_error errors[LIST_FILE_ERRORS];
	size_t n_errors;

	size_t _cap, _cap_notes;
	uint32_t *_note_slots; /* hash → note */
	size_t _n_slots;
};

/* Adds what the text says; may be called for several. 0; -EINVAL if there are errors and they are not
 * skipped; -E2BIG beyond LIST_ENTRIES_MAX; -ENOSPC beyond LIST_NOTES_MAX; -ENOMEM. */
int list_file_read(struct list_file *f, struct bytes text);
/* One prefix from elsewhere; host bits must be 0. As above. */
int list_file_add(struct list_file *f, const struct list_record *r, struct bytes note);
/* Says what is wrong at a line, once. */
void list_file_error(struct list_file *f, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Sorts, keeps each prefix once (the one that lasts longest, with a note if any has one), joins. */
void list_file_finish(struct list_file *f);
void list_file_free(struct list_file *f);

/* A sealed memfd, or -errno; frees the records as it goes. The second writes it into one that is to be
 * sealed by somebody else. */
int list_file_hand(struct list_file *f);
int list_file_write(struct list_file *f, int fd);

/* One that came from somebody else. */
struct list_hand {
	const struct list_record *records;
	size_t n;
	const struct list_note *notes;
	size_t n_notes;
	void *_map;
	size_t _bytes;
};
#define LIST_HAND_MAX                                                                              \
	(32 + (size_t)LIST_NOTES_MAX * sizeof(struct list_note) +                                  \
	 (size_t)LIST_ENTRIES_MAX * sizeof(struct list_record))
/* Sealed, of the right form, and its counts are true: what shield_list_build() checks further (order,
 * lengths) is left to it. 0, or -errno; then *out is all zero. */
int list_hand_open(int fd, struct list_hand *out);
void list_hand_close(struct list_hand *h);

/* Every record is a prefix and comes after the one before, every note ends. */
bool list_records_are_sound(const struct list_batch *batch);

#endif
