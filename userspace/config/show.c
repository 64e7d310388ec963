/* SPDX-License-Identifier: BSD-2-Clause */
/* show.c - the effective values: what the daemon goes by, defaults and derived
 * values included.
 *
 * As text it is a sluice.conf again, which loads to the same config (a test
 * does); as JSON it has the same names, times in ms and sizes in bytes. Both
 * walk the table; only the ink differs. */
#include <stdlib.h>

#include "base/json.h"
#include "config/options.h"

/* How one of the two formats puts things on paper. */
struct ink {
	FILE *out;
	const struct config *cfg; /* what references are looked up in */
	bool json;
	int depth;
	bool first; /* nothing stands at this level yet */
};

static void indent(const struct ink *k)
{
	for (int i = 0; i < k->depth; i++)
		fputc('\t', k->out);
}

/* Text in quotes. The two formats escape quote and backslash alike, and a loaded
 * string holds no control characters; JSON goes by base/json all the same. */
static void put_text(const struct ink *k, const char *s)
{
	if (k->json) {
		size_t cap = JSON_STR_MAX(strlen(s));
		uint8_t *buf = malloc(cap);
		struct json_out o = JSON_OUT(buf, cap);
		json_put_str(&o, bytes_str(s));
		fwrite(buf, 1, o.n, k->out);
		free(buf);
		return;
	}
	fputc('"', k->out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', k->out);
		fputc(*s, k->out);
	}
	fputc('"', k->out);
}

static void put_name(struct ink *k, const char *name)
{
	if (k->json && !k->first)
		fputc(',', k->out);
	if (k->json || !k->first || k->depth)
		fputc('\n', k->out);
	k->first = false;
	indent(k);
	fprintf(k->out, k->json ? "\"%s\": " : "%s = ", name);
}

static void open_level(struct ink *k, const char *bracket)
{
	fputs(bracket, k->out);
	k->depth++;
	k->first = true;
}

static void close_level(struct ink *k, const char *bracket)
{
	k->depth--;
	if (!k->first) {
		fputc('\n', k->out);
		indent(k);
	}
	k->first = false;
	fputs(bracket, k->out);
}

static void put_group(struct ink *k, const struct option_group *g, const void *obj);

static const void *load_list(const struct option *o, const void *obj, uint32_t *n)
{
	const void *list;

	memcpy(&list, (const uint8_t *)obj + o->offset, sizeof(list));
	memcpy(n, (const uint8_t *)obj + o->n_offset, sizeof(*n));
	return list;
}

static void put_groups(struct ink *k, const struct option *o, const void *obj)
{
	uint32_t n;
	const uint8_t *list = load_list(o, obj, &n);

	open_level(k, k->json ? "[" : "(");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			fputc(',', k->out);
		fputc('\n', k->out);
		indent(k);
		open_level(k, "{");
		put_group(k, o->group, list + i * o->group->size);
		close_level(k, "}");
	}
	k->first = n == 0;
	close_level(k, k->json ? "]" : ")");
}

/* The name of element i of the top-level list that a reference points into. */
static const char *name_of(const struct option_group *g, const struct config *cfg, uint16_t i)
{
	const char *name = "";
	uint32_t n;

	for (uint32_t r = 0; r < option_root.n_options; r++) {
		const struct option *o = &option_root.options[r];
		const uint8_t *list;
		if (o->type != OPT_GROUPS || o->group != g)
			continue;
		list = load_list(o, cfg, &n);
		name = *(const char *const *)(list + (size_t)i * g->size);
	}
	return name;
}

/* Lists of words: strings, prefixes, references. */
static void put_words(struct ink *k, const struct option *o, const void *obj)
{
	char buf[CONFIG_PREFIX_STRLEN];
	uint32_t n;
	const void *list = load_list(o, obj, &n);

	fputc('[', k->out);
	for (uint32_t i = 0; i < n; i++) {
		const char *s =
			o->type == OPT_STRINGS ?
				((const char *const *)list)[i] :
			o->type == OPT_PREFIXES ?
				config_prefix_str((const struct config_prefix *)list + i, buf) :
				name_of(o->group, k->cfg, ((const uint16_t *)list)[i]);
		if (i)
			fputs(", ", k->out);
		put_text(k, s);
	}
	fputc(']', k->out);
}

static void put_flags(struct ink *k, const struct option *o, uint32_t v)
{
	bool first = true;

	fputc('[', k->out);
	for (const struct option_choice *c = o->choices; c->word; c++) {
		if (!(v & c->value))
			continue;
		if (!first)
			fputs(", ", k->out);
		first = false;
		put_text(k, c->word);
	}
	fputc(']', k->out);
}

static void put_number(struct ink *k, const struct option *o, uint64_t v)
{
	char buf[VALUE_STRLEN];
	const char *s = value_number_str(o, v, buf);

	if (k->json || !strchr(s, ' '))
		fprintf(k->out, "%llu", (unsigned long long)v);
	else
		put_text(k, s);
}

static void put_port(const struct ink *k, const struct config_ports *p)
{
	char buf[16];

	snprintf(buf, sizeof(buf), "%u-%u", p->first, p->last);
	if (p->first == p->last)
		fprintf(k->out, "%u", p->first);
	else
		put_text(k, buf);
}

static void put_ports(struct ink *k, const struct option *o, const void *obj)
{
	uint32_t n;
	const struct config_ports *list = load_list(o, obj, &n);

	fputc(k->json ? '[' : '(', k->out); /* an array of the file holds one type only */
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			fputs(", ", k->out);
		put_port(k, &list[i]);
	}
	fputc(k->json ? ']' : ')', k->out);
}

/* The string that stands for the option, NULL if there is none to show. */
static const char *string_of(const struct option *o, const void *obj, char *buf)
{
	const char *s;

	if (o->shown)
		return o->shown(obj, buf);
	memcpy(&s, (const uint8_t *)obj + o->offset, sizeof(s));
	return s;
}

static void put_value(struct ink *k, const struct option *o, const void *obj, const char *text)
{
	const uint8_t *at = (const uint8_t *)obj + o->offset;
	char buf[CONFIG_PREFIX_STRLEN];

	switch (o->type) {
	case OPT_BOOL: fputs(*at ? "true" : "false", k->out); break;
	case OPT_INT:
	case OPT_BYTES:
	case OPT_MS: put_number(k, o, value_load(at, o->width)); break;
	case OPT_ENUM: put_text(k, value_word(o->choices, (uint32_t)value_load(at, 4))); break;
	case OPT_FLAGS: put_flags(k, o, (uint32_t)value_load(at, o->width)); break;
	case OPT_MODE:
		snprintf(buf, sizeof(buf), "%04o", (unsigned)value_load(at, o->width));
		put_text(k, buf);
		break;
	case OPT_STRING:
	case OPT_PATH: put_text(k, text); break;
	case OPT_PREFIX: put_text(k, config_prefix_str((const void *)at, buf)); break;
	case OPT_PORT: put_port(k, (const void *)at); break;
	case OPT_PORTS: put_ports(k, o, obj); break;
	case OPT_STRINGS:
	case OPT_PREFIXES:
	case OPT_REFS: put_words(k, o, obj); break;
	case OPT_GROUP:
		open_level(k, "{");
		put_group(k, o->group, at);
		close_level(k, "}");
		break;
	case OPT_GROUPS: put_groups(k, o, obj); break;
	}
	if (!k->json)
		fputc(';', k->out);
}

static void put_group(struct ink *k, const struct option_group *g, const void *obj)
{
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];
		const char *text = NULL;
		char buf[256];

		if (o->type == OPT_STRING || o->type == OPT_PATH)
			if (!(text = string_of(o, obj, buf)))
				continue;
		put_name(k, o->name);
		put_value(k, o, obj, text);
	}
}

static void show(const struct config *cfg, FILE *out, bool json)
{
	struct ink k = {.out = out, .cfg = cfg, .json = json, .first = true};

	if (json)
		open_level(&k, "{");
	put_group(&k, &option_root, cfg);
	if (json)
		close_level(&k, "}");
	fputc('\n', out);
}

void config_show(const struct config *cfg, FILE *out)
{
	show(cfg, out, false);
}

void config_show_json(const struct config *cfg, FILE *out)
{
	show(cfg, out, true);
}
