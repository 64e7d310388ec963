/* SPDX-License-Identifier: BSD-2-Clause */
/* list_file.c - see list_file.h. Nothing of a file is believed and all of it is bounded; a million
 * lines take about half a second. */
#include "shield/list_file.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/handover.h"
#include "base/hash.h"
#include "base/json.h"

#define PROGRESS_EVERY 65536 /* entries */
#define SHORTEST_V4    8
#define SHORTEST_V6    16

void list_file_error(struct list_file *f, uint32_t line, const char *fmt, ...)
{
	va_list args;

	if (f->n_errors < LIST_FILE_ERRORS) {
		struct list_file_error *e = &f->errors[f->n_errors];

		e->line = line;
		va_start(args, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, args);
		va_end(args);
		for (char *c = e->text; *c; c++)
			if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
				*c = '?';
	}
	f->n_errors++;
}

/* ---- what was read ------------------------------------------------------------------ */

static uint64_t hash_note(const struct list_note *note)
{
	uint64_t h = 0, w;

	for (size_t i = 0; i < sizeof(note->text); i += sizeof(w)) {
		memcpy(&w, note->text + i, sizeof(w));
		h = hash_mix(h ^ w);
	}
	return h;
}

static int grow_notes(struct list_file *f)
{
	size_t cap = f->_cap_notes ? f->_cap_notes * 2 : 64, slots = cap * 4;
	struct list_note *notes = realloc(f->notes, cap * sizeof(*notes));

	if (!notes)
		return -ENOMEM;
	f->notes = notes;
	free(f->_note_slots);
	f->_note_slots = calloc(slots, sizeof(*f->_note_slots));
	f->_n_slots = f->_note_slots ? slots : 0;
	if (!f->_note_slots)
		return -ENOMEM;
	f->_cap_notes = cap;
	if (!f->n_notes)
		memset(&notes[f->n_notes++], 0, sizeof(*notes));
	for (size_t i = 1; i < f->n_notes; i++) {
		size_t at = hash_note(&notes[i]) % slots;

		while (f->_note_slots[at])
			at = (at + 1) % slots;
		f->_note_slots[at] = (uint32_t)i;
	}
	return 0;
}

static int intern(struct list_file *f, struct bytes text, uint32_t *number)
{
	struct list_note note = {};
	size_t at;

	*number = 0;
	if (text.n == 0)
		return 0;
	assert(text.n < sizeof(note.text));
	memcpy(note.text, text.p, text.n);
	if (f->n_notes == f->_cap_notes && grow_notes(f))
		return -ENOMEM;
	for (at = hash_note(&note) % f->_n_slots; f->_note_slots[at]; at = (at + 1) % f->_n_slots)
		if (memcmp(&f->notes[f->_note_slots[at]], &note, sizeof(note)) == 0) {
			*number = f->_note_slots[at];
			return 0;
		}
	if (f->n_notes >= LIST_NOTES_MAX)
		return -ENOSPC;
	*number = (uint32_t)f->n_notes;
	f->_note_slots[at] = *number;
	f->notes[f->n_notes++] = note;
	return 0;
}

int list_file_add(struct list_file *f, const struct list_record *r, struct bytes note)
{
	struct list_record *at;
	uint32_t number;
	int err = intern(f, note, &number);

	if (err)
		return err;
	if (f->n >= LIST_ENTRIES_MAX)
		return -E2BIG;
	if (f->n == f->_cap) {
		size_t cap = f->_cap ? f->_cap * 2 : 1024;

		at = realloc(f->records, cap * sizeof(*at));
		if (!at)
			return -ENOMEM;
		f->records = at;
		f->_cap = cap;
	}
	at = &f->records[f->n++];
	*at = *r;
	at->note = number;
	return 0;
}

/* ---- words ---------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* The next word of *rest, "" at its end or at a comment. */
static struct bytes word(struct bytes *rest)
{
	struct bytes w;
	size_t n = 0;

	while (rest->n && is_blank(*rest->p))
		*rest = BYTES(rest->p + 1, rest->n - 1);
	if (rest->n && (*rest->p == '#' || *rest->p == ';'))
		*rest = BYTES(rest->p, 0);
	while (n < rest->n && !is_blank(rest->p[n]) && rest->p[n] != ';')
		n++;
	w = BYTES(rest->p, n);
	*rest = BYTES(rest->p + n, rest->n - n);
	return w;
}

/* "30s", "10m" or "10min", "2h", "7d", "90". 0: it is none. */
static uint32_t seconds_of(struct bytes text)
{
	static const struct {
		struct bytes unit;
		uint32_t s;
	} units[] = {{BYTES_LIT(""), 1},     {BYTES_LIT("s"), 1},    {BYTES_LIT("m"), 60},
		     {BYTES_LIT("min"), 60}, {BYTES_LIT("h"), 3600}, {BYTES_LIT("d"), 86400}};
	uint64_t v = 0;
	size_t i = 0;

	for (; i < text.n && i < 9 && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		v = v * 10 + (text.p[i] - '0');
	for (size_t u = 0; i > 0 && u < ARRAY_SIZE(units); u++)
		if (bytes_eq(BYTES(text.p + i, text.n - i), units[u].unit) &&
		    v * units[u].s <= LIST_FILE_TTL_MAX)
			return (uint32_t)(v * units[u].s);
	return 0;
}

/* False: said what is wrong. */
static bool prefix_of(struct list_file *f, uint32_t line, struct bytes text, struct list_record *r)
{
	char meant[CIDR_TEXT_MAX];
	struct cidr c;
	bool v4;
	int err = cidr_parse(text, &c);

	if (err == -ERANGE) {
		cidr_print(&c, meant);
		list_file_error(f, line, "%.*s has bits beyond its prefix: %s?",
				(int)MIN(text.n, 50u), (const char *)text.p, meant);
		return false;
	}
	if (err) {
		list_file_error(f, line, "'%.*s' is no prefix", (int)MIN(text.n, 50u),
				(const char *)text.p);
		return false;
	}
	v4 = cidr_is_v4(&c);
	*r = (struct list_record){.family = v4 ? 4 : 6, .len = (uint8_t)cidr_text_bits(&c)};
	memcpy(r->addr, v4 ? c.ip + 12 : c.ip, v4 ? 4 : 16);
	if (!f->short_ones && r->len < (v4 ? SHORTEST_V4 : SHORTEST_V6)) {
		cidr_print(&c, meant);
		list_file_error(f, line, "%s is most of all addresses: if that is meant, force it",
				meant);
		return false;
	}
	return true;
}

static bool note_is_sound(struct list_file *f, uint32_t line, struct bytes note)
{
	if (note.n >= sizeof(struct list_note)) {
		list_file_error(f, line, "a note of more than %zu bytes",
				sizeof(struct list_note) - 1);
		return false;
	}
	for (size_t i = 0; i < note.n; i++)
		if (note.p[i] < 0x20 || note.p[i] == 0x7f) {
			list_file_error(f, line, "a control character in the note");
			return false;
		}
	return true;
}

static void tell(struct list_file *f, size_t done, size_t of)
{
	if (f->progress && f->n % PROGRESS_EVERY == 0)
		f->progress(f->progress_arg, done, of);
}

/* ---- text -------------------------------------------------------------------------------- */

/* What is left of the line, up to a comment; or what stands between quotes. */
static bool note_of(struct list_file *f, uint32_t line, struct bytes *rest, char buf[128],
		    struct bytes *note)
{
	size_t n = 0;

	while (rest->n && is_blank(*rest->p))
		*rest = BYTES(rest->p + 1, rest->n - 1);
	if (rest->n && *rest->p == '"') {
		size_t i = 1;

		for (; i < rest->n && rest->p[i] != '"' && n < 127; i++) {
			i += rest->p[i] == '\\' && i + 1 < rest->n;
			buf[n++] = (char)rest->p[i];
		}
		if (i >= rest->n || rest->p[i] != '"') {
			list_file_error(f, line, "a note whose quotes do not end, or too long");
			return false;
		}
		*rest = BYTES(rest->p + i + 1, rest->n - i - 1);
	} else {
		size_t end = 0;

		while (end < rest->n && rest->p[end] != ';' &&
		       !(rest->p[end] == '#' && (end == 0 || is_blank(rest->p[end - 1]))))
			end++;
		n = end;
		while (n && is_blank(rest->p[n - 1]))
			n--;
		if (n > 127)
			n = 127; /* too long, as will be said */
		memcpy(buf, rest->p, n);
		*rest = BYTES(rest->p + end, rest->n - end);
	}
	*note = BYTES(buf, n);
	return note_is_sound(f, line, *note);
}

static int read_line(struct list_file *f, uint32_t line, struct bytes rest)
{
	struct bytes w = word(&rest), note = {};
	struct list_record r;
	char buf[128];

	if (w.n == 0 || !prefix_of(f, line, w, &r))
		return 0;
	while ((w = word(&rest)).n) {
		if (bytes_eq(w, BYTES_LIT("for")) && !r.ttl_s) {
			w = word(&rest);
			r.ttl_s = seconds_of(w);
			if (!r.ttl_s) {
				list_file_error(f, line,
						"for: 30s, 10m, 2h, 7d or seconds, at most 366d");
				return 0;
			}
		} else if (bytes_eq(w, BYTES_LIT("note")) && !note.n) {
			if (!note_of(f, line, &rest, buf, &note))
				return 0;
		} else {
			list_file_error(f, line,
					"'%.*s': only `for TIME` and `note TEXT` may follow",
					(int)MIN(w.n, 40u), (const char *)w.p);
			return 0;
		}
	}
	return list_file_add(f, &r, note);
}

static int read_lines(struct list_file *f, struct bytes text)
{
	const uint8_t *p = text.p, *end = text.p + text.n;
	int err = 0;

	for (uint32_t line = 1; p < end && !err; line++) {
		const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));

		if (!eol)
			eol = end;
		if (memchr(p, 0, (size_t)(eol - p)))
			list_file_error(f, line, "a byte 0: this is no text");
		else
			err = read_line(f, line, BYTES(p, eol - p));
		p = eol + 1;
		tell(f, (size_t)(p - text.p), text.n);
	}
	return err;
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* A walk over a text of which nothing is known yet: pieces are cut out by their brackets and
 * quotes, and each is then checked for itself. So a mistake has a line, and ends nothing. */
struct walk {
	struct list_file *f;
	const uint8_t *p, *end, *begin;
	const uint8_t *counted; /* lines are counted up to here */
	uint32_t line;
};

static uint32_t line_at(struct walk *w, const uint8_t *at)
{
	for (; w->counted < at; w->counted++)
		w->line += *w->counted == '\n';
	return w->line;
}

static void blanks(struct walk *w)
{
	while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r'))
		w->p++;
}

/* Up to the end of what begins here: a string, something in brackets, or a plain word. */
static struct bytes piece(struct walk *w)
{
	const uint8_t *from = w->p;
	unsigned depth = 0;
	bool string = false;

	for (; w->p < w->end; w->p++) {
		uint8_t c = *w->p;

		if (string) {
			if (c == '\\' && w->p + 1 < w->end)
				w->p++;
			else if (c == '"')
				string = false;
			if (!string && depth == 0) {
				w->p++;
				break;
			}
		} else if (c == '"') {
			string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			if (depth == 0)
				break;
			if (--depth == 0) {
				w->p++;
				break;
			}
		} else if (depth == 0 && (c == ',' || c == ':')) {
			break;
		}
	}
	while (w->p > from &&
	       (w->p[-1] == ' ' || w->p[-1] == '\n' || w->p[-1] == '\r' || w->p[-1] == '\t'))
		w->p--;
	return BYTES(from, w->p - from);
}

static bool text_of(const struct json_value *v, char *buf, size_t cap, struct bytes *out)
{
	size_t n = 0;

	*out = BYTES(buf, 0);
	if (v->type == JSON_IS_ABSENT)
		return true;
	if (v->type != JSON_IS_STRING || !json_string_unescape(v->raw, (uint8_t *)buf, cap, &n))
		return false;
	out->n = n;
	return true;
}

static bool time_of(struct list_file *f, uint32_t line, const struct json_field *word_,
		    const struct json_field *left, struct list_record *r)
{
	const struct json_value *v = &(word_->value.type != JSON_IS_ABSENT ? word_ : left)->value;
	struct bytes text;
	char buf[16];
	int64_t s = 0;

	if (v->type == JSON_IS_ABSENT || v->type == JSON_IS_NULL)
		return true;
	if (v->type == JSON_IS_NUMBER && json_int64(v->raw, 1, LIST_FILE_TTL_MAX, &s))
		r->ttl_s = (uint32_t)s;
	else if (v->type == JSON_IS_STRING && text_of(v, buf, sizeof(buf), &text))
		r->ttl_s = seconds_of(text);
	if (!r->ttl_s)
		list_file_error(f, line,
				"for: \"30s\", \"10m\", \"2h\", \"7d\" or seconds, at most 366d");
	return r->ttl_s != 0;
}

/* What an entry may have: what is read, and what an export says beside it, which is left alone. */
static bool is_of_entry(struct bytes key)
{
	static const struct bytes known[] = {BYTES_LIT("prefix"), BYTES_LIT("for"),
					     BYTES_LIT("left_s"), BYTES_LIT("note"),
					     BYTES_LIT("reason"), BYTES_LIT("hits"),
					     BYTES_LIT("age_s"),  BYTES_LIT("set")};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (json_string_eq(key, known[i]))
			return true;
	return false;
}

/* A word that nobody knows may be a mistyped "for", and a denial for ever is not what was meant. The
 * object is known to be sound. */
static bool fields_are_known(struct list_file *f, uint32_t line, struct bytes raw)
{
	struct walk w = {.f = f,
			 .p = raw.p + 1,
			 .end = raw.p + raw.n,
			 .begin = raw.p,
			 .counted = raw.p,
			 .line = line};

	for (;; w.p++) {
		struct bytes key;

		blanks(&w);
		if (w.p >= w.end || *w.p != '"')
			return true;
		key = piece(&w);
		if (!is_of_entry(key)) {
			list_file_error(
				f, line_at(&w, key.p),
				"%.*s: no such field: prefix, for, left_s and note are read",
				(int)MIN(key.n, 40u), (const char *)key.p);
			return false;
		}
		blanks(&w);
		w.p++; /* the colon */
		blanks(&w);
		piece(&w);
		blanks(&w);
		if (w.p >= w.end || *w.p != ',')
			return true;
	}
}

static int read_object(struct list_file *f, uint32_t line, struct bytes raw)
{
	struct json_field field[] = {JSON_FIELD("prefix"), JSON_FIELD("for"), JSON_FIELD("left_s"),
				     JSON_FIELD("note")};
	enum json_result result = json_object_scan(raw, NULL, field, ARRAY_SIZE(field));
	struct list_record r;
	struct bytes text, note;
	char buf[64], note_buf[256];

	if (result != JSON_OK) {
		list_file_error(f, line, "%s", json_result_str(result));
		return 0;
	}
	if (!fields_are_known(f, line, raw))
		return 0;
	if (field[0].value.type == JSON_IS_ABSENT ||
	    !text_of(&field[0].value, buf, sizeof(buf), &text)) {
		list_file_error(f, line, "no \"prefix\" that is a string");
		return 0;
	}
	if (!prefix_of(f, line, text, &r) || !time_of(f, line, &field[1], &field[2], &r))
		return 0;
	if (!text_of(&field[3].value, note_buf, sizeof(note_buf), &note)) {
		list_file_error(f, line, "\"note\" is no string of at most %zu bytes",
				sizeof(struct list_note) - 1);
		return 0;
	}
	return note_is_sound(f, line, note) ? list_file_add(f, &r, note) : 0;
}

static int read_element(struct list_file *f, uint32_t line, struct bytes raw)
{
	struct json_value v;
	enum json_result result;
	struct list_record r;
	struct bytes text;
	char buf[64];

	if (raw.n && *raw.p == '{')
		return read_object(f, line, raw);
	result = json_check(raw, NULL, &v);
	if (result != JSON_OK)
		list_file_error(f, line, "%s", json_result_str(result));
	else if (v.type != JSON_IS_STRING || !text_of(&v, buf, sizeof(buf), &text))
		list_file_error(f, line, "neither a prefix in quotes nor an object");
	else if (prefix_of(f, line, text, &r))
		return list_file_add(f, &r, BYTES(NULL, 0));
	return 0;
}

static int read_array(struct walk *w)
{
	int err = 0;

	w->p++;
	blanks(w);
	if (w->p < w->end && *w->p == ']') {
		w->p++;
		return 0;
	}
	while (!err) {
		uint32_t line;

		blanks(w);
		line = line_at(w, w->p);
		err = read_element(w->f, line, piece(w));
		tell(w->f, (size_t)(w->p - w->begin), (size_t)(w->end - w->begin));
		blanks(w);
		if (w->p < w->end && *w->p == ']') {
			w->p++;
			return err;
		}
		if (w->p >= w->end || *w->p != ',') {
			list_file_error(w->f, line_at(w, w->p),
					"the list does not go on with , or ]");
			w->p = w->end;
			return err;
		}
		w->p++;
	}
	return err;
}

static bool is_array_of_entries(struct bytes key)
{
	return json_string_eq(key, BYTES_LIT("entries")) ||
	       json_string_eq(key, BYTES_LIT("prefixes"));
}

/* The value of "list". */
static void keep_list(struct walk *w, struct bytes raw)
{
	struct list_file *f = w->f;
	struct json_value v;
	struct bytes text;
	char buf[sizeof(f->list)];

	if (json_check(raw, NULL, &v) == JSON_OK && text_of(&v, buf, sizeof(buf), &text) &&
	    (bytes_eq(text, BYTES_LIT("deny")) || bytes_eq(text, BYTES_LIT("allow")))) {
		memcpy(f->list, text.p, text.n);
		f->list[text.n] = '\0';
	} else {
		list_file_error(f, line_at(w, raw.p), "\"list\" is neither \"deny\" nor \"allow\"");
	}
}

/* What follows a key that does not begin the entries; false: nothing does. */
static bool read_beside(struct walk *w, struct bytes key, bool second)
{
	struct bytes value = piece(w);

	if (value.n == 0)
		return false;
	if (json_string_eq(key, BYTES_LIT("list")))
		keep_list(w, value);
	else if (second)
		list_file_error(w->f, line_at(w, key.p), "%.*s: there is a list already",
				(int)key.n, (const char *)key.p);
	else if (!is_array_of_entries(key))
		list_file_error(w->f, line_at(w, key.p),
				"%.*s: no such field: list and entries are read",
				(int)MIN(key.n, 40u), (const char *)key.p);
	return true;
}

/* The array that is called "entries" or "prefixes", and "list". */
static int read_members(struct walk *w)
{
	bool found = false;
	int err = 0;

	w->p++;
	while (!err) {
		struct bytes key;
		bool entries;

		blanks(w);
		key = piece(w);
		blanks(w);
		if (key.n == 0 || *key.p != '"' || w->p >= w->end || *w->p != ':' ||
		    json_check(key, NULL, NULL) != JSON_OK)
			break;
		w->p++;
		blanks(w);
		entries = is_array_of_entries(key);
		if (entries && !found && w->p < w->end && *w->p == '[') {
			found = true;
			err = read_array(w);
		} else if (!read_beside(w, key, entries && found)) {
			break;
		}
		blanks(w);
		if (w->p >= w->end || *w->p != ',')
			break;
		w->p++;
	}
	if (!err && w->p < w->end && *w->p == '}')
		w->p++;
	else if (!err && !w->f->n_errors)
		list_file_error(w->f, line_at(w, MIN(w->p, w->end)), "not JSON");
	if (!err && !found && !w->f->n_errors)
		list_file_error(w->f, 1, "an object without an array \"entries\" or \"prefixes\"");
	return err;
}

static int read_json(struct list_file *f, struct bytes text, const uint8_t *at)
{
	struct walk w = {.f = f,
			 .p = at,
			 .end = text.p + text.n,
			 .begin = text.p,
			 .counted = text.p,
			 .line = 1};
	int err = *at == '[' ? read_array(&w) : read_members(&w);

	blanks(&w);
	if (!err && w.p < w.end && !f->n_errors)
		list_file_error(f, line_at(&w, w.p), "something behind the end of the JSON");
	return err;
}

int list_file_read(struct list_file *f, struct bytes text)
{
	const uint8_t *p = text.p, *end = text.p + text.n;
	int err;

	if (text.n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		p += 3; /* a byte order mark */
	text = BYTES(p, end - p);
	while (p < end && (is_blank(*p) || *p == '\n'))
		p++;
	if (p < end && (*p == '[' || *p == '{'))
		err = read_json(f, text, p);
	else
		err = read_lines(f, text);
	if (!err && f->n_errors && !f->skip)
		err = -EINVAL;
	return err;
}

/* ---- order ------------------------------------------------------------------------------- */

static int by_prefix(const void *a, const void *b)
{
	const struct list_record *x = a, *y = b;
	int c = (x->family > y->family) - (x->family < y->family);

	if (!c)
		c = memcmp(x->addr, y->addr, sizeof(x->addr));
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

static bool lasts_as_long(const struct list_record *a, const struct list_record *b)
{
	return !a->ttl_s || (b->ttl_s && a->ttl_s >= b->ttl_s);
}

static bool covers(const struct list_record *outer, const struct list_record *r)
{
	unsigned whole = outer->len / 8, rest = outer->len % 8;

	return outer->family == r->family && outer->len <= r->len &&
	       memcmp(outer->addr, r->addr, whole) == 0 &&
	       (!rest || !((outer->addr[whole] ^ r->addr[whole]) >> (8 - rest)));
}

static void keep_once(struct list_file *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct list_record *last = n ? &f->records[n - 1] : NULL, *r = &f->records[i];

		if (!last || by_prefix(last, r)) {
			f->records[n++] = *r;
			continue;
		}
		if (!last->note)
			last->note = r->note;
		if (!lasts_as_long(last, r))
			last->ttl_s = r->ttl_s;
		f->n_duplicates++;
	}
	f->n = n;
}

/* The two halves of one prefix, alike in all else. */
static bool halves(const struct list_record *a, const struct list_record *b)
{
	unsigned bit = a->len - 1u;

	if (a->family != b->family || a->len != b->len || a->ttl_s != b->ttl_s ||
	    a->note != b->note || a->len <= (a->family == 4 ? SHORTEST_V4 : SHORTEST_V6))
		return false;
	for (unsigned i = 0; i < 16; i++)
		if ((a->addr[i] ^ b->addr[i]) != (i == bit / 8 ? 0x80 >> bit % 8 : 0))
			return false;
	return true;
}

/* Only what changes no verdict at any time and loses no note. The records themselves are the stack: what
 * is on it is around the next one, or lies before it. */
static void join(struct list_file *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct list_record r = f->records[i];
		bool covered = false;

		for (size_t k = n; k-- > 0 && !covered;) {
			const struct list_record *o = &f->records[k];

			covered = covers(o, &r) && lasts_as_long(o, &r) &&
				  (!r.note || r.note == o->note);
			if (!covers(o, &r) && n - k > 8)
				break; /* a good guess is enough */
		}
		if (covered) {
			f->n_joined++;
			continue;
		}
		f->records[n++] = r;
		while (n >= 2 && halves(&f->records[n - 2], &f->records[n - 1])) {
			struct list_record *whole = &f->records[n - 2];

			if (n >= 3 && f->records[n - 3].len == whole->len - 1 &&
			    covers(&f->records[n - 3], whole))
				break; /* the whole is there already, with another time or note */
			whole->len--;
			n--;
			f->n_joined++;
		}
	}
	f->n = n;
}

void list_file_finish(struct list_file *f)
{
	qsort(f->records, f->n, sizeof(*f->records), by_prefix);
	keep_once(f);
	if (f->join)
		join(f);
}

void list_file_free(struct list_file *f)
{
	free(f->records);
	free(f->notes);
	free(f->_note_slots);
	f->records = NULL;
	f->notes = NULL;
	f->_note_slots = NULL;
	f->n = f->_cap = f->n_notes = f->_cap_notes = f->_n_slots = 0;
}

/* ---- handing over --------------------------------------------------------------------------- */

struct hand_head {
	uint64_t magic;
	uint64_t n, n_notes;
	uint64_t _zero;
};
static_assert(sizeof(struct hand_head) == 32, "as LIST_HAND_MAX has it");

#define HAND_MAGIC 0x317473696c6c7553ull

static int write_all(int fd, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int list_file_write(struct list_file *f, int fd)
{
	struct hand_head head = {.magic = HAND_MAGIC, .n = f->n, .n_notes = MAX(f->n_notes, 1u)};
	static const struct list_note none;
	int err = write_all(fd, &head, sizeof(head));
	if (!err)
		err = write_all(fd, f->notes ? f->notes : &none, head.n_notes * sizeof(none));
	if (!err)
		err = write_all(fd, f->records, f->n * sizeof(*f->records));
	list_file_free(f);
	return err;
}

int list_file_hand(struct list_file *f)
{
	int fd = handover_memfd_open("sluice-list"), err;

	if (fd < 0)
		return fd;
	err = list_file_write(f, fd);
	if (!err)
		err = handover_memfd_seal(fd);
	if (err)
		close(fd);
	return err ? err : fd;
}

int list_hand_open(int fd, struct list_hand *out)
{
	ssize_t bytes = handover_sealed(fd, LIST_HAND_MAX);
	const struct hand_head *head;

	memset(out, 0, sizeof(*out));
	if (bytes < 0)
		return (int)bytes;
	if ((size_t)bytes < sizeof(*head) + sizeof(struct list_note))
		return -EINVAL;
	head = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (head == MAP_FAILED)
		return -errno;
	out->_map = (void *)head;
	out->_bytes = (size_t)bytes;
	if (head->magic == HAND_MAGIC && !head->_zero && head->n <= LIST_ENTRIES_MAX &&
	    head->n_notes && head->n_notes <= LIST_NOTES_MAX &&
	    (size_t)bytes == sizeof(*head) + head->n_notes * sizeof(struct list_note) +
				     head->n * sizeof(struct list_record)) {
		out->n = head->n;
		out->n_notes = head->n_notes;
		out->notes = (const struct list_note *)(head + 1);
		out->records = (const struct list_record *)(out->notes + out->n_notes);
		return 0;
	}
	list_hand_close(out);
	return -EINVAL;
}

void list_hand_close(struct list_hand *h)
{
	if (h->_map)
		munmap(h->_map, h->_bytes);
	memset(h, 0, sizeof(*h));
}

static bool record_is_sound(const struct list_batch *batch, const struct list_record *r)
{
	static const uint8_t zero[16];
	unsigned full = r->family == 4 ? 32 : 128, whole = r->len / 8;

	if ((r->family != 4 && r->family != 6) || r->len > full || r->ttl_s > LIST_FILE_TTL_MAX ||
	    memcmp(r->_zero, zero, sizeof(r->_zero)) != 0 || (r->note && r->note >= batch->n_notes))
		return false;
	if (r->len % 8 && r->addr[whole++] & 0xff >> r->len % 8)
		return false;
	return memcmp(r->addr + whole, zero, 16 - whole) == 0;
}

bool list_records_are_sound(const struct list_batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		if (!record_is_sound(batch, &batch->records[i]) ||
		    (i && by_prefix(&batch->records[i - 1], &batch->records[i]) >= 0))
			return false;
	for (size_t i = 1; i < batch->n_notes; i++)
		if (!memchr(batch->notes[i].text, 0, sizeof(batch->notes[i].text)))
			return false;
	return true;
}
