/* SPDX-License-Identifier: BSD-2-Clause */
/* json.h - JSON as it passes through: checked, never rebuilt (RFC 8259).
 *
 * Sluice relays what clients send. It must look into a message (`type`,
 * `channel`) but hand on `data` byte for byte: number spellings (1e2, 0.10,
 * 9007199254740993), escapes, key order and duplicate keys of the application
 * survive. A library that builds a tree and writes it out again changes those,
 * and allocates for every message; so there is no tree here, and nothing
 * allocates. The scanner proves in one pass that the whole text is JSON and
 * notes where the wanted top-level fields lie; the writer puts answers into a
 * buffer of the caller's.
 *
 * Strictness: the grammar of RFC 8259 and nothing beside it (no comments, no
 * trailing comma, no NaN, no byte order mark, no control character in a string,
 * UTF-8 only). One liberty is the RFC's own: an escaped lone surrogate ("\ud83d",
 * what a browser writes for half an emoji) is grammatical, so it passes through
 * inside `data`; json_string_unescape() refuses it, so it never becomes a name.
 *
 * Every returned `struct bytes` is a piece of the input and lives as long. */
#ifndef SLUICE_BASE_JSON_H
#define SLUICE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define JSON_MAX_DEPTH 64 /* what limits may ask for at most */

/* Named so that jansson.h can stand beside this in tests and tools. */
enum json_type {
	JSON_IS_ABSENT = 0, /* the field is not there; no text gives this */
	JSON_IS_NULL,
	JSON_IS_FALSE,
	JSON_IS_TRUE,
	JSON_IS_NUMBER,
	JSON_IS_STRING,
	JSON_IS_ARRAY,
	JSON_IS_OBJECT,
};

/* What became of a text. Only JSON_OK means that all of it is valid. */
enum json_result {
	JSON_OK = 0,
	JSON_BAD,        /* not JSON */
	JSON_BAD_UTF8,   /* a string holds bytes that are not UTF-8 */
	JSON_TOO_LONG,   /* longer than max_bytes */
	JSON_TOO_DEEP,   /* nested deeper than max_depth */
	JSON_NOT_OBJECT, /* valid, but not an object (json_object_scan only) */
	JSON_DUPLICATE,  /* a wanted field is there twice (json_object_scan only) */
};

struct json_limits {
	size_t max_bytes;   /* of the text; 0: no bound of ours */
	uint32_t max_depth; /* arrays and objects within each other, 1..JSON_MAX_DEPTH; 0: 32 */
	bool utf8_known;    /* the caller has checked the text's UTF-8: do not again */
};

struct json_value {
	struct bytes raw; /* the value's text: quotes and escapes included, no space around */
	enum json_type type;
};

/* Is all of `in` one JSON value, with nothing but space around it? On JSON_OK
 * `*out` is that value. `lim` NULL: no size bound, depth 32, UTF-8 checked. */
enum json_result json_check(struct bytes in, const struct json_limits *lim, struct json_value *out);

/* A top-level field that the caller wants. `name` is plain (unescaped) and at
 * most 255 bytes; value.type is JSON_IS_ABSENT if the object has no such field. */
struct json_field {
	struct bytes name;
	struct json_value value;
};
#define JSON_FIELD(lit) ((struct json_field){.name = BYTES_LIT(lit)})

/* Checks the whole text like json_check(), and that it is an object, and fills
 * the `n` (at most 64) wanted fields in the same pass. Names are compared after
 * unescaping, so "ty\u0070e" is `type`: what we decide on is what every other
 * reader of the message sees. For the same reason a wanted field that is there
 * twice is refused: readers disagree on which one counts. Fields nobody wants
 * may repeat. On any other result than JSON_OK the fields' values mean nothing. */
enum json_result json_object_scan(struct bytes in, const struct json_limits *lim,
				  struct json_field *fields, size_t n);

const char *json_result_str(enum json_result r); /* "not JSON" … */

/* ---- looking into values that a scan has returned (they are known valid) ---- */

/* The string's text as UTF-8 without quotes into out[cap]; *n its length. False
 * if it is longer than cap or holds a lone surrogate. NUL and other control
 * characters can come out (from \u0000 …): the caller decides on those. */
bool json_string_unescape(struct bytes raw, uint8_t *out, size_t cap, size_t *n);

/* Is it, unescaped, exactly `plain`? */
bool json_string_eq(struct bytes raw, struct bytes plain);

/* The number if it is written as a plain integer (no fraction, no exponent) in
 * min..max. False otherwise; *out is untouched then. */
bool json_int64(struct bytes raw, int64_t min, int64_t max, int64_t *out);

/* for (struct json_iter it = json_iter_array(v.raw); json_iter_next(&it, &e);) */
struct json_iter {
	struct bytes _rest;
};
struct json_iter json_iter_array(struct bytes raw);
bool json_iter_next(struct json_iter *it, struct json_value *e);
/* for (struct json_iter it = json_iter_object(v.raw); json_iter_member(&it, &name, &e);)
 * Names as they are written, quotes and escapes included; all of them, also one that comes twice. */
struct json_iter json_iter_object(struct bytes raw);
bool json_iter_member(struct json_iter *it, struct bytes *name, struct json_value *e);

/* ---- writing ----
 *
 * Everything goes to p[0..cap). What does not fit is dropped whole and sets
 * `overflow`, which stays set: check once, at the end. Commas come by
 * themselves: an element or key that follows a finished one gets its comma from
 * looking at the last byte written, so a json_out carries no state. */
struct json_out {
	uint8_t *p; /* the caller's */
	size_t n, cap;
	bool overflow;
};

#define JSON_OUT(buf, size) ((struct json_out){.p = (uint8_t *)(buf), .cap = (size)})
/* A string of n bytes never takes more than this when written. */
#define JSON_STR_MAX(n)     (6 * (size_t)(n) + 2)
/* Nor an integer more than this. */
#define JSON_INT_MAX        20

static inline struct bytes json_out_bytes(const struct json_out *o)
{
	return BYTES(o->p, o->n);
}

void json_put_raw(struct json_out *o, struct bytes text); /* as it is, no comma */
#define json_put_lit(o, lit) json_put_raw((o), BYTES_LIT(lit))

/* Values: where an element of an array or the value of a key may stand. */
void json_put_json(struct json_out *o, struct bytes text); /* a value's text as it is */
/* Quoted and escaped. Bytes that are no UTF-8 come out as U+FFFD. */
void json_put_str(struct json_out *o, struct bytes plain);
void json_put_u64(struct json_out *o, uint64_t v);
void json_put_i64(struct json_out *o, int64_t v);
void json_put_bool(struct json_out *o, bool v);
void json_put_null(struct json_out *o);
void json_put_open(struct json_out *o, char bracket);  /* '{' or '[' */
void json_put_close(struct json_out *o, char bracket); /* '}' or ']' */

/* Keys: plain ASCII that needs no escape, as a literal. */
void json_put_key(struct json_out *o, struct bytes key);
#define json_key(o, lit)         json_put_key((o), BYTES_LIT(lit))
#define json_key_json(o, lit, v) (json_key(o, lit), json_put_json((o), (v)))
#define json_key_str(o, lit, v)  (json_key(o, lit), json_put_str((o), (v)))
#define json_key_u64(o, lit, v)  (json_key(o, lit), json_put_u64((o), (v)))
#define json_key_i64(o, lit, v)  (json_key(o, lit), json_put_i64((o), (v)))
#define json_key_bool(o, lit, v) (json_key(o, lit), json_put_bool((o), (v)))

#endif
