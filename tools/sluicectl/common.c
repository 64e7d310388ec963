/* SPDX-License-Identifier: BSD-2-Clause */
/* common.c - words on the command line, and how things are shown. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tools/sluicectl/ctl.h"

int ctl_fail(const struct ctl *ctl, int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_t *said = json_string(text);
	if (said == NULL) /* an argument that is no UTF-8 */
		said = json_string(ctl_clean(text));
	json_t *error = json_pack("{s:o}", "error", said);
	if (ctl->json && !ctl->parts) {
		ctl_print_json(ctl, error);
		return code;
	}
	json_decref(error);
	fprintf(stderr, "Error: %s\n", ctl_clean(text));
	return code;
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s\n", ctl_clean(text));
}

const char *ctl_arg(const char *arg)
{
	enum { WHOLE = 100, BEGIN = 60 };
	static char buf[4][WHOLE + 32];
	static unsigned turn;
	char *out = buf[turn++ % 4];
	size_t n = strlen(arg), keep = BEGIN;
	if (n <= WHOLE)
		return arg;
	while (keep && ((unsigned char)arg[keep] & 0xc0) == 0x80)
		keep--; /* whole characters only */
	snprintf(out, sizeof(buf[0]), "%.*s… (%zu bytes)", (int)keep, arg, n);
	return out;
}

bool ctl_prefix(const char *word, const char *name)
{
	return *word && strncmp(word, name, strlen(word)) == 0;
}

/* Which one `name` means; NULL: none, or several. */
static const struct keyword *keyword_find(const char *name, const struct keyword *words, size_t n,
					  bool *several)
{
	const struct keyword *found = NULL;
	*several = false;
	for (size_t k = 0; k < n; k++) {
		if (strcmp(name, words[k].name) == 0) {
			*several = false;
			return &words[k];
		}
		if (!ctl_prefix(name, words[k].name))
			continue;
		*several = found != NULL;
		found = &words[k];
	}
	return *several ? NULL : found;
}

static void keyword_unknown(const struct ctl *ctl, const char *word, bool several,
			    const struct keyword *words, size_t n)
{
	char known[256] = "";
	for (size_t k = 0; k < n; k++) {
		strncat(known, k ? ", " : "", sizeof(known) - strlen(known) - 1);
		strncat(known, words[k].name, sizeof(known) - strlen(known) - 1);
	}
	ctl_fail(ctl, CTL_USAGE, "%s keyword '%s': %s%s%s", several ? "ambiguous" : "unknown",
		 ctl_arg(word), n ? "known here: " : "none is known here", known,
		 word[0] == '-' ? " (options stand before the object)" : "");
}

bool ctl_keywords(const struct ctl *ctl, int argc, char **argv, const struct keyword *words,
		  size_t n)
{
	for (int i = 0; i < argc; i++) {
		bool dashed = strncmp(argv[i], "--", 2) == 0, several;
		char name[64];
		const char *equals = dashed ? strchr(argv[i], '=') : NULL, *value;
		const char *from = argv[i] + (dashed ? 2 : 0);
		snprintf(name, sizeof(name), "%.*s",
			 equals ? (int)(equals - from) : (int)strlen(from), from);
		const struct keyword *found = keyword_find(name, words, n, &several);
		if (found == NULL) {
			keyword_unknown(ctl, argv[i], several, words, n);
			return false;
		}
		value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
		if (value == NULL) {
			ctl_fail(ctl, CTL_USAGE, "keyword '%s' wants a value", found->name);
			return false;
		}
		if (*found->value != NULL) {
			ctl_fail(ctl, CTL_USAGE, "keyword '%s' stands there twice", found->name);
			return false;
		}
		*found->value = value;
	}
	return true;
}

bool ctl_number(const char *text, long long max, long long *value)
{
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || v > max)
		return false;
	*value = v;
	return true;
}

bool ctl_duration(const char *text, long long *seconds)
{
	static const struct {
		const char *unit;
		long long s;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)*text) || errno || v > 1000000000)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0) {
			*seconds = v * units[i].s;
			return true;
		}
	return false;
}

bool ctl_print_json(const struct ctl *ctl, json_t *value)
{
	if (!ctl->json)
		return false;
	if (ctl->off && json_is_object(value))
		json_object_set_new(value, "shield",
				    json_pack("{s:b,s:s}", "on", 0, "text", ctl_clean(ctl->off)));
	json_dumpf(value, stdout, JSON_ENCODE_ANY | (ctl->pretty ? JSON_INDENT(2) : JSON_COMPACT));
	putchar('\n');
	json_decref(value);
	return true;
}

/* C0, DEL and C1 steer a terminal; U+202A..202E and U+2066..2069 turn the direction, so that a
 * row would read as another. */
static bool harmless(const uint8_t *p, uint32_t len)
{
	if (len == 1)
		return *p >= 0x20 && *p != 0x7f;
	if (len == 2)
		return p[0] != 0xc2 || p[1] >= 0xa0;
	if (len == 3 && p[0] == 0xe2)
		return !(p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) &&
		       !(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
	return true;
}

const char *ctl_clean(const char *s)
{
	static char buf[16][1024]; /* as many as one printf() may want */
	static unsigned turn;
	char *out = buf[turn++ % 16];
	size_t n = 0;
	const uint8_t *p = (const uint8_t *)s, *end = p + strlen(s);
	while (p < end) {
		uint32_t len = utf8_len(p, end);
		bool shown = len > 0 && harmless(p, len);
		if (n + (shown ? len : 1) >= sizeof(buf[0]))
			break;
		if (shown)
			memcpy(out + n, p, len);
		else
			out[n] = '?';
		n += shown ? len : 1;
		p += len ? len : 1;
	}
	out[n] = 0;
	return out;
}

const char *ctl_pad(const char *clean, unsigned width)
{
	static char buf[16][1024 + 64];
	static unsigned turn;
	char *out = buf[turn++ % 16];
	unsigned shown = 0;
	for (const char *p = clean; *p; p++)
		shown += ((unsigned char)*p & 0xc0) != 0x80;
	snprintf(out, sizeof(buf[0]), "%s%*s", clean, shown < width ? (int)(width - shown) : 0, "");
	return out;
}

const char *ctl_count(unsigned long long n)
{
	static char buf[8][32];
	static unsigned turn;
	char plain[24], *out = buf[turn++ % 8];
	int len = snprintf(plain, sizeof(plain), "%llu", n), o = 0;
	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = plain[i];
	}
	out[o] = 0;
	return out;
}

const char *ctl_bytes(unsigned long long n)
{
	static char buf[8][32];
	static unsigned turn;
	char *out = buf[turn++ % 8];
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)n;
	unsigned u = 0;
	while (v >= 1024 && u < 4) {
		v /= 1024;
		u++;
	}
	snprintf(out, sizeof(buf[0]), u ? "%.1f %s" : "%.0f %s", v, units[u]);
	return out;
}

const char *ctl_span(unsigned long long s)
{
	static char buf[8][32];
	static unsigned turn;
	char *out = buf[turn++ % 8];
	if (s < 60)
		snprintf(out, sizeof(buf[0]), "%llus", s);
	else if (s < 3600)
		snprintf(out, sizeof(buf[0]), "%llum %llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, sizeof(buf[0]), "%lluh %llum", s / 3600, s / 60 % 60);
	else
		snprintf(out, sizeof(buf[0]), "%llud %lluh", s / 86400, s / 3600 % 24);
	return out;
}

unsigned long long ctl_u64(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return json_is_integer(v) && json_integer_value(v) > 0 ?
		       (unsigned long long)json_integer_value(v) :
		       0;
}

const char *ctl_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return ctl_clean(s ? s : "");
}

static void print_lines(const json_t *answer, const char *key, FILE *out)
{
	const json_t *line;
	size_t i;
	json_array_foreach(json_object_get(answer, key), i, line) fprintf(
		out, "%s\n", ctl_clean(json_string_value(line) ? json_string_value(line) : ""));
}

int ctl_say_report(struct ctl *ctl, json_t *answer, int code)
{
	if (answer == NULL)
		return code;
	bool ok = json_is_true(json_object_get(answer, "ok"));
	if (ctl->json) {
		json_object_del(answer, "ok");
		ctl_print_json(ctl, answer);
		return ok ? CTL_OK : CTL_REFUSED;
	}
	print_lines(answer, "mistakes", stderr);
	print_lines(answer, "notes", stdout);
	if (ok)
		printf("%s\n", ctl_str(answer, "text"));
	else
		ctl_fail(ctl, CTL_REFUSED, "%s", ctl_str(answer, "error"));
	json_decref(answer);
	return ok ? CTL_OK : CTL_REFUSED;
}

const char *ctl_raw_text(const json_t *entry, size_t at, size_t max)
{
	const json_t *bytes = json_object_get(entry, "value"), *b;
	char raw[256] = "";
	size_t n = 0;
	if (!json_is_array(bytes))
		return NULL;
	while (n < max && n + 1 < sizeof(raw)) {
		b = json_array_get(bytes, at + n);
		raw[n] = (char)(json_is_string(b) ? strtoul(json_string_value(b), NULL, 16) : 0);
		if (raw[n] == 0)
			break;
		n++;
	}
	raw[n] = 0;
	return ctl_clean(raw);
}
