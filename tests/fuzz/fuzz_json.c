/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_json.c - our scanner against jansson: the same texts are JSON.
 *
 * Where the two may differ, and why:
 *   we accept, jansson refuses   numbers that do not fit a double or long long,
 *                                \u0000 in a key, an escaped lone surrogate: all
 *                                grammatical, and we only pass them on
 *   we refuse, jansson accepts   nesting beyond our depth; a NUL byte after the
 *                                value, which jansson takes for the end
 * Any other difference is a bug of ours, and so is a field or string that reads
 * differently. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool explained(const json_error_t *err)
{
	enum json_error_code code = json_error_code(err);

	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
	       strncmp(err->text, "invalid Unicode", 15) == 0 ||
	       strncmp(err->text, "NUL byte in object key", 22) == 0;
}

/* A string of ours against the one that jansson has read. */
static void same_string(struct bytes raw, const json_t *theirs)
{
	uint8_t *out = malloc(raw.n);
	struct bytes want = BYTES(json_string_value(theirs), json_string_length(theirs));
	size_t n;

	assert(json_string_unescape(raw, out, raw.n, &n));
	assert(bytes_eq(BYTES(out, n), want));
	assert(json_string_eq(raw, want));
	free(out);
}

static void same_fields(struct bytes in, const json_t *theirs)
{
	struct json_limits lim = {.max_depth = JSON_MAX_DEPTH};
	struct json_field f[] = {JSON_FIELD("type"), JSON_FIELD("id"), JSON_FIELD("\xc3\xa4")};
	enum json_result r = json_object_scan(in, &lim, f, ARRAY_SIZE(f));

	assert(r == JSON_OK || r == JSON_NOT_OBJECT || r == JSON_DUPLICATE);
	assert((r == JSON_NOT_OBJECT) == !json_is_object(theirs));
	for (size_t i = 0; r == JSON_OK && i < ARRAY_SIZE(f); i++) {
		const json_t *v = json_object_get(theirs, (const char *)f[i].name.p);
		int64_t whole;

		assert((v != NULL) == (f[i].value.type != JSON_IS_ABSENT));
		if (!v)
			continue;
		assert(json_is_string(v) == (f[i].value.type == JSON_IS_STRING));
		assert(json_is_array(v) == (f[i].value.type == JSON_IS_ARRAY));
		if (json_is_string(v))
			same_string(f[i].value.raw, v);
		if (json_is_integer(v)) {
			assert(json_int64(f[i].value.raw, INT64_MIN, INT64_MAX, &whole));
			assert(whole == json_integer_value(v));
		}
	}
}

static void same_array(struct bytes raw, const json_t *theirs)
{
	struct json_iter it = json_iter_array(raw);
	struct json_value e;
	size_t n = 0;

	while (json_iter_next(&it, &e))
		n++;
	assert(n == json_array_size(theirs));
}

/* Whatever bytes come: what we write is JSON, and within the promised length. */
static void writes_json(struct bytes in)
{
	size_t cap = JSON_STR_MAX(in.n);
	uint8_t *buf = malloc(cap);
	struct json_out o = JSON_OUT(buf, cap);

	json_put_str(&o, in);
	assert(!o.overflow);
	assert(json_check(json_out_bytes(&o), NULL, NULL) == JSON_OK);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = BYTES(data, size);
	struct json_limits lim = {.max_depth = JSON_MAX_DEPTH};
	struct json_value v;
	enum json_result r = json_check(in, &lim, &v);
	json_error_t err;
	json_t *theirs =
		json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);

	writes_json(in);
	if (r == JSON_OK)
		assert(theirs || explained(&err));
	else
		assert(!theirs || r == JSON_TOO_DEEP || memchr(data, 0, size));
	if (r == JSON_OK && theirs) {
		same_fields(in, theirs);
		if (v.type == JSON_IS_STRING)
			same_string(v.raw, theirs);
		if (v.type == JSON_IS_ARRAY)
			same_array(v.raw, theirs);
	}
	json_decref(theirs);
	return 0;
}
