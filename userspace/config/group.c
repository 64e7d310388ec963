/* SPDX-License-Identifier: BSD-2-Clause */
/* group.c - from libconfig's settings to the structs, driven by the table.
 *
 *   group_into() walks the options of one group:
 *       option in the file?  its setting    ─► value() ─► the struct
 *       not there?           its default's
 *       at the end           finish_*(): what hangs together
 *
 * A default is text in the table, in the file's own syntax, and goes the same
 * way as what the operator wrote; so the manual cannot differ from the truth,
 * and a default out of its bounds dies in the first test.
 *
 * A mistake never stops the walk: the option gets its default instead, so that
 * the rest can be judged. */
#include <assert.h>
#include <stdlib.h>

#include "config/options.h"

/* What the operator wrote, short enough for a complaint; buf of 80. */
static const char *written(const config_setting_t *s, char *buf)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64: snprintf(buf, 80, "%lld", config_setting_get_int64(s)); break;
	case CONFIG_TYPE_FLOAT: snprintf(buf, 80, "%g", config_setting_get_float(s)); break;
	case CONFIG_TYPE_BOOL: return config_setting_get_bool(s) ? "true" : "false";
	case CONFIG_TYPE_STRING:
		snprintf(buf, 80, "\"%.60s%s", config_setting_get_string(s),
			 strlen(config_setting_get_string(s)) > 60 ? "…\"" : "\"");
		for (char *c = buf; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 0x7f)
				*c = '?';
		break;
	case CONFIG_TYPE_ARRAY: return "[ … ]";
	case CONFIG_TYPE_LIST: return "( … )";
	default: return "{ … }";
	}
	return buf;
}

/* `name = value: allowed is …` */
static void refuse(struct load *l, const config_setting_t *s, const struct option *o,
		   const char *allowed)
{
	char buf[80];

	complain(l, s, "%s = %s: allowed is %s", o->name, written(s, buf), allowed);
}

/* ---- values ---- */

static const char *choices_str(const struct option_choice *c, char *buf, size_t cap)
{
	size_t n = 0;

	for (buf[0] = '\0'; c->word && n < cap; c++)
		n += (size_t)snprintf(buf + n, cap - n, "%s\"%s\"", n ? ", " : "", c->word);
	return buf;
}

static bool number(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const char *kind = o->type == OPT_BYTES ? "a size like \"64 KiB\", " :
			   o->type == OPT_MS    ? "a time like \"30 s\" or \"500 ms\", " :
						  "a whole number, ";
	int type = config_setting_type(s);
	char buf[160], allowed[256];
	bool ok = false, spelled = false;
	uint64_t v = 0;

	if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64) {
		long long n = config_setting_get_int64(s);
		spelled = true;
		ok = n >= 0;
		v = (uint64_t)n;
	} else if (type == CONFIG_TYPE_STRING && o->type != OPT_INT) {
		const char *text = config_setting_get_string(s);
		ok = spelled = o->type == OPT_BYTES ? value_bytes(text, &v) : value_ms(text, &v);
	}
	if (ok && ((v >= o->min && v <= o->max) || (v == 0 && o->zero))) {
		value_store(obj + o->offset, o->width, v);
		return true;
	}
	snprintf(allowed, sizeof(allowed), "%s%s", spelled ? "" : kind, value_bounds_str(o, buf));
	refuse(l, s, o, allowed);
	return false;
}

/* Strings from outside are names, paths, addresses: text in one line. */
static const char *text_of(struct load *l, const struct option *o, const config_setting_t *s)
{
	const char *text, *wrong;

	if (config_setting_type(s) != CONFIG_TYPE_STRING) {
		refuse(l, s, o, "text in quotes");
		return NULL;
	}
	text = config_setting_get_string(s);
	wrong = check_text(text);
	if (!wrong && o->check)
		wrong = o->check(text);
	if (wrong) {
		refuse(l, s, o, wrong);
		return NULL;
	}
	return text;
}

static bool word(const struct option *o, const char *text, size_t n, uint32_t *v)
{
	for (const struct option_choice *c = o->choices; c->word; c++)
		if (strlen(c->word) == n && memcmp(c->word, text, n) == 0) {
			*v = c->value;
			return true;
		}
	return false;
}

static bool choice(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const char *text =
		config_setting_type(s) == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
	char allowed[256];
	uint32_t v;

	if (text && word(o, text, strlen(text), &v)) {
		value_store(obj + o->offset, o->width, v);
		return true;
	}
	refuse(l, s, o, choices_str(o->choices, allowed, sizeof(allowed)));
	return false;
}

/* One item of a list of words: `text` is a piece of the setting `s`. */
struct item {
	const config_setting_t *s;
	const char *text;
};

/* A list of words is ["a", "b"], ("a", "b"), or "a b". Returns how many there
 * are and where they stand in *items (the arena's), or -1 after complaining. */
static int words(struct load *l, const struct option *o, const config_setting_t *s,
		 struct item **items)
{
	int type = config_setting_type(s), n = 0;

	if (type == CONFIG_TYPE_STRING) {
		char *copy = load_strdup(l, config_setting_get_string(s),
					 strlen(config_setting_get_string(s)));
		*items = load_alloc(l, (strlen(copy) / 2 + 1) * sizeof(**items));
		for (char *save, *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
			(*items)[n++] = (struct item){s, w};
		return n;
	}
	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST) {
		refuse(l, s, o, "a list like [\"a\", \"b\"]");
		return -1;
	}
	*items = load_alloc(l, ((size_t)config_setting_length(s) + 1) * sizeof(**items));
	for (; n < config_setting_length(s); n++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)n);
		if (config_setting_type(e) != CONFIG_TYPE_STRING) {
			refuse(l, e, o, "a list of texts like [\"a\", \"b\"]");
			return -1;
		}
		(*items)[n] = (struct item){e, config_setting_get_string(e)};
	}
	return n;
}

static void refuse_item(struct load *l, const struct item *it, const struct option *o,
			const char *allowed)
{
	complain(l, it->s, "%s: \"%.60s\": allowed is %s", o->name, it->text, allowed);
}

static bool too_many(struct load *l, const struct option *o, const config_setting_t *s, int n)
{
	if ((uint64_t)n <= o->max)
		return false;
	complain(l, s, "%s: %d of them: allowed are at most %llu", o->name, n,
		 (unsigned long long)o->max);
	return true;
}

static void store_list(const struct option *o, uint8_t *obj, void *list, uint32_t n)
{
	memcpy(obj + o->offset, &list, sizeof(list));
	memcpy(obj + o->n_offset, &n, sizeof(n));
}

static bool flags(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	struct item *items;
	int n = words(l, o, s, &items);
	uint32_t all = 0, v;
	bool ok = n >= 0;

	for (int i = 0; i < n; i++) {
		if (word(o, items[i].text, strlen(items[i].text), &v)) {
			all |= v;
		} else {
			char allowed[256];
			refuse_item(l, &items[i], o,
				    choices_str(o->choices, allowed, sizeof(allowed)));
			ok = false;
		}
	}
	if (ok)
		value_store(obj + o->offset, o->width, all);
	return ok;
}

static bool strings(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	struct item *items;
	int n = words(l, o, s, &items);
	const char **list = n > 0 ? load_alloc(l, (size_t)n * sizeof(*list)) : NULL;
	bool ok = n >= 0;

	for (int i = 0; i < n; i++) {
		const char *text = items[i].text, *wrong = check_text(text);
		if (!wrong && o->check)
			wrong = o->check(text);
		for (int k = 0; k < i && !wrong; k++)
			if (list[k] && strcmp(list[k], text) == 0)
				wrong = "each one once";
		if (wrong) {
			refuse_item(l, &items[i], o, wrong);
			ok = false;
			continue;
		}
		list[i] = load_strdup(l, text, strlen(text));
	}
	ok = ok && !too_many(l, o, s, n);
	if (ok)
		store_list(o, obj, list, (uint32_t)n);
	return ok;
}

static const char prefix_allowed[] =
	"an address or a prefix without host bits, like \"203.0.113.0/24\" or \"2001:db8::/32\"";

static bool prefix(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	if (config_setting_type(s) == CONFIG_TYPE_STRING &&
	    config_prefix_parse(config_setting_get_string(s), (void *)(obj + o->offset)))
		return true;
	refuse(l, s, o, prefix_allowed);
	return false;
}

static bool prefixes(struct load *l, const struct option *o, const config_setting_t *s,
		     uint8_t *obj)
{
	struct item *items;
	int n = words(l, o, s, &items);
	struct config_prefix *list = n > 0 ? load_alloc(l, (size_t)n * sizeof(*list)) : NULL;
	bool ok = n >= 0;

	for (int i = 0; i < n; i++)
		if (!config_prefix_parse(items[i].text, &list[i])) {
			refuse_item(l, &items[i], o, prefix_allowed);
			ok = false;
		}
	ok = ok && !too_many(l, o, s, n);
	if (ok)
		store_list(o, obj, list, (uint32_t)n);
	return ok;
}

static const char ports_allowed[] = "a port, 1 to 65535, or a range in quotes like \"8000-8099\"";

static bool port_of(const config_setting_t *s, struct config_ports *out)
{
	int type = config_setting_type(s);
	long long n = config_setting_get_int64(s);

	if (type == CONFIG_TYPE_STRING)
		return value_ports(config_setting_get_string(s), out);
	if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || n < 1 || n > 65535)
		return false;
	*out = (struct config_ports){(uint16_t)n, (uint16_t)n};
	return true;
}

static bool one_port(struct load *l, const struct option *o, const config_setting_t *s,
		     uint8_t *obj)
{
	if (port_of(s, (void *)(obj + o->offset)))
		return true;
	refuse(l, s, o, ports_allowed);
	return false;
}

/* [22, 443], (22, "8000-8099"), "22 8000-8099", or 22. */
static bool ports(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	bool list_like = config_setting_is_aggregate(s) && !config_setting_is_group(s), ok = true;
	struct config_ports *list;
	struct item *items = NULL;
	int n = 1;

	if (config_setting_type(s) == CONFIG_TYPE_STRING)
		n = words(l, o, s, &items);
	else if (list_like)
		n = config_setting_length(s);
	list = n ? load_alloc(l, (size_t)n * sizeof(*list)) : NULL;
	for (int i = 0; i < n; i++) {
		const config_setting_t *e = list_like ? config_setting_get_elem(s, (unsigned)i) : s;

		if (items ? value_ports(items[i].text, &list[i]) : port_of(e, &list[i]))
			continue;
		if (items)
			refuse_item(l, &items[i], o, ports_allowed);
		else
			refuse(l, e, o, ports_allowed);
		ok = false;
	}
	ok = ok && !too_many(l, o, s, n);
	if (ok)
		store_list(o, obj, list, (uint32_t)n);
	return ok;
}

/* The list of the top level whose elements are of this group: where the
 * references of a listener point to. */
static const struct option *list_of(const struct option_group *g)
{
	for (uint32_t i = 0; i < option_root.n_options; i++)
		if (option_root.options[i].type == OPT_GROUPS && option_root.options[i].group == g)
			return &option_root.options[i];
	assert(!"a reference to a list that is not at the top level");
	return NULL;
}

/* The key options of all groups that can be referred to come first in their
 * struct, so that one look finds the name. */
static const char *key_of(const struct option_group *g, const uint8_t *obj)
{
	const char *key;

	assert(g->options[0].offset == 0 && strcmp(g->options[0].name, g->key) == 0);
	memcpy(&key, obj, sizeof(key));
	return key;
}

static bool refs(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const struct option *to = list_of(o->group);
	const uint8_t *cfg = (const uint8_t *)l->cfg, *list;
	struct item *items;
	int n = words(l, o, s, &items);
	uint16_t *out = n > 0 ? load_alloc(l, (size_t)n * sizeof(*out)) : NULL;
	uint32_t len;
	bool ok = n >= 0;

	memcpy(&list, cfg + to->offset, sizeof(list));
	memcpy(&len, cfg + to->n_offset, sizeof(len));
	for (int i = 0; i < n; i++) {
		uint32_t k = 0;
		while (k < len) {
			const char *key = key_of(o->group, list + k * o->group->size);
			if (key && strcmp(key, items[i].text) == 0)
				break;
			k++;
		}
		if (k == len) {
			complain(l, items[i].s, "%s: there is no %s \"%.60s\"", o->name,
				 o->group->name, items[i].text);
			ok = false;
			continue;
		}
		out[i] = (uint16_t)k;
	}
	if (ok)
		store_list(o, obj, out, (uint32_t)n);
	return ok;
}

static bool mode(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	uint32_t v;

	if (config_setting_type(s) == CONFIG_TYPE_STRING &&
	    value_mode(config_setting_get_string(s), &v)) {
		value_store(obj + o->offset, o->width, v);
		return true;
	}
	refuse(l, s, o, "octal permission bits in quotes, like \"0660\"");
	return false;
}

static bool path(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const char *text = text_of(l, o, s), *full;

	if (!text)
		return false;
	if (!*text) {
		refuse(l, s, o, "the name of a file or directory");
		return false;
	}
	full = text[0] == '/' ? load_strdup(l, text, strlen(text)) :
				load_printf(l, "%s/%s", l->dir, text);
	memcpy(obj + o->offset, &full, sizeof(full));
	return true;
}

static bool string(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const char *text = text_of(l, o, s);

	if (!text)
		return false;
	text = load_strdup(l, text, strlen(text));
	memcpy(obj + o->offset, &text, sizeof(text));
	return true;
}

static bool boolean(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL) {
		refuse(l, s, o, "true or false, without quotes");
		return false;
	}
	obj[o->offset] = config_setting_get_bool(s) != 0;
	return true;
}

/* How complaints call the i-th element of a list: "endpoint /ws". */
static const char *element_name(struct load *l, const struct option_group *g,
				const config_setting_t *e, int i)
{
	const char *above = *l->where ? load_printf(l, "%s: ", l->where) : "";
	const char *key = NULL;

	if (config_setting_type(e) == CONFIG_TYPE_STRING)
		key = config_setting_get_string(e);
	else if (config_setting_type(e) == CONFIG_TYPE_GROUP)
		config_setting_lookup_string(e, g->key, &key);
	return key ? load_printf(l, "%s%s %.60s", above, g->name, key) :
		     load_printf(l, "%s%s #%d", above, g->name, i + 1);
}

/* An element that is only its key, as "text" in fields = ["text"]. */
static void bare_element(struct load *l, const struct option_group *g, const config_setting_t *e,
			 void *obj)
{
	string(l, &g->options[0], e, obj);
	group_into(l, g, NULL, obj);
}

/* The whole list as one text, as in fields = "text color". */
static bool bare_groups(struct load *l, const struct option *o, const config_setting_t *s,
			uint8_t *obj)
{
	const struct option_group *g = o->group;
	struct item *items;
	int n = words(l, o, s, &items);
	uint8_t *list = n > 0 ? load_alloc(l, (size_t)n * g->size) : NULL;
	bool ok = !too_many(l, o, s, n);

	for (int i = 0; ok && i < n; i++) {
		const char *wrong = check_text(items[i].text);
		if (!wrong)
			wrong = g->options[0].check(items[i].text);
		if (wrong) {
			refuse_item(l, &items[i], o, wrong);
			ok = false;
			break;
		}
		memcpy(list + (size_t)i * g->size, &items[i].text, sizeof(items[i].text));
		group_into(l, g, NULL, list + (size_t)i * g->size);
	}
	if (ok)
		store_list(o, obj, list, (uint32_t)n);
	return ok;
}

static bool groups(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	const struct option_group *g = o->group;
	int type = config_setting_type(s), n = config_setting_length(s);
	const char *where = l->where;
	uint8_t *list;

	if (type == CONFIG_TYPE_STRING && g->bare_key)
		return bare_groups(l, o, s, obj);
	if (type != CONFIG_TYPE_LIST && !(type == CONFIG_TYPE_ARRAY && (g->bare_key || n == 0))) {
		refuse(l, s, o,
		       load_printf(l, "a list of groups: %s = ( { … }, { … } );", o->name));
		return false;
	}
	if (too_many(l, o, s, n))
		return false;
	list = n ? load_alloc(l, (size_t)n * g->size) : NULL;
	for (int i = 0; i < n; i++) {
		config_setting_t *e = config_setting_get_elem(s, (unsigned)i);
		void *elem = list + (size_t)i * g->size;

		/* those before are in view of finish_*(), for duplicates */
		store_list(o, obj, list, (uint32_t)i);
		l->where = where;
		l->where = element_name(l, g, e, i);
		if (config_setting_type(e) == CONFIG_TYPE_GROUP)
			group_into(l, g, e, elem);
		else if (g->bare_key && config_setting_type(e) == CONFIG_TYPE_STRING)
			bare_element(l, g, e, elem);
		else
			refuse(l, e, o, "a group: { … }");
	}
	l->where = where;
	store_list(o, obj, list, (uint32_t)n);
	return true;
}

static bool subgroup(struct load *l, const struct option *o, const config_setting_t *s,
		     uint8_t *obj)
{
	const char *where = l->where;

	if (s && config_setting_type(s) != CONFIG_TYPE_GROUP) {
		refuse(l, s, o, load_printf(l, "a group: %s = { … };", o->name));
		s = NULL;
	}
	l->where = *where ? load_printf(l, "%s.%s", where, o->name) : o->name;
	group_into(l, o->group, s, obj + o->offset);
	l->where = where;
	return true;
}

static bool value(struct load *l, const struct option *o, const config_setting_t *s, uint8_t *obj)
{
	switch (o->type) {
	case OPT_BOOL: return boolean(l, o, s, obj);
	case OPT_INT:
	case OPT_BYTES:
	case OPT_MS: return number(l, o, s, obj);
	case OPT_ENUM: return choice(l, o, s, obj);
	case OPT_FLAGS: return flags(l, o, s, obj);
	case OPT_MODE: return mode(l, o, s, obj);
	case OPT_STRING: return string(l, o, s, obj);
	case OPT_PATH: return path(l, o, s, obj);
	case OPT_STRINGS: return strings(l, o, s, obj);
	case OPT_PREFIX: return prefix(l, o, s, obj);
	case OPT_PREFIXES: return prefixes(l, o, s, obj);
	case OPT_PORT: return one_port(l, o, s, obj);
	case OPT_PORTS: return ports(l, o, s, obj);
	case OPT_REFS: return refs(l, o, s, obj);
	case OPT_GROUP: return subgroup(l, o, s, obj);
	case OPT_GROUPS: return groups(l, o, s, obj);
	}
	return false;
}

/* ---- groups ---- */

/* The defaults of a group as settings of their own, parsed once per load. */
static const config_setting_t *default_of(struct load *l, const struct option_group *g,
					  const struct option *o)
{
	uint32_t i = 0;
	char *text;
	size_t n;
	FILE *f;

	while (i < l->n_defaults && l->defaults[i].group != g)
		i++;
	if (i == l->n_defaults) {
		assert(l->n_defaults < ARRAY_SIZE(l->defaults));
		l->defaults[l->n_defaults++].group = g;
		f = open_memstream(&text, &n);
		assert(f);
		for (uint32_t k = 0; k < g->n_options; k++)
			if (g->options[k].def)
				fprintf(f, "%s = %s;\n", g->options[k].name, g->options[k].def);
		fclose(f);
		config_init(&l->defaults[i].conf);
		if (!config_read_string(&l->defaults[i].conf, text))
			assert(!"a default in options.c is not in the file's syntax");
		free(text);
	}
	return config_lookup(&l->defaults[i].conf, o->name);
}

/* The group somewhere below `g` that has an option of exactly this name. */
static const struct option_group *owner(const struct option_group *g, const char *name)
{
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];
		const struct option_group *found;
		if (strcmp(o->name, name) == 0)
			return g;
		if (o->type != OPT_GROUP && o->type != OPT_GROUPS)
			continue;
		if ((found = owner(o->group, name)))
			return found;
	}
	return NULL;
}

static void complain_unknown(struct load *l, const struct option_group *g,
			     const config_setting_t *m)
{
	const char *name = config_setting_name(m), *hint = value_nearest(name, g),
		   *where = l->where;
	const char *in = *where ? load_printf(l, " in %s", where) : "";
	const struct option_group *elsewhere = owner(&option_root, name);

	l->where = "";
	if (hint)
		complain(l, m, "unknown option '%.60s'%s: did you mean '%s'?", name, in, hint);
	else if (elsewhere)
		complain(l, m, "unknown option '%.60s'%s: it belongs %s%s", name, in,
			 elsewhere->key   ? "into each " :
			 *elsewhere->name ? "into " :
					    "to the top level",
			 elsewhere->name);
	else
		complain(l, m, "unknown option '%.60s'%s; sluice.conf(5) lists them", name, in);
	l->where = where;
}

static bool known(const struct option_group *g, const char *name)
{
	for (uint32_t i = 0; i < g->n_options; i++)
		if (strcmp(g->options[i].name, name) == 0)
			return true;
	return false;
}

static void fill(struct load *l, const struct option_group *g, const struct option *o, void *obj)
{
	bool was = l->builtin;

	if (o->type == OPT_GROUP) {
		subgroup(l, o, NULL, obj);
	} else if (o->def) {
		l->builtin = true;
		value(l, o, default_of(l, g, o), obj);
		l->builtin = was;
	}
}

bool group_into(struct load *l, const struct option_group *g, const config_setting_t *set,
		void *obj)
{
	uint32_t before = l->errs->n;

	for (int i = 0; set && i < config_setting_length(set); i++) {
		config_setting_t *m = config_setting_get_elem(set, (unsigned)i);
		if (!known(g, config_setting_name(m)))
			complain_unknown(l, g, m);
	}
	for (uint32_t i = 0; i < g->n_options; i++) {
		const struct option *o = &g->options[i];
		const config_setting_t *m = set ? config_setting_get_member(set, o->name) : NULL;

		if (m) {
			if (!value(l, o, m, obj))
				fill(l, g, o, obj);
		} else if (o->required && set) {
			complain(l, set, "%s is missing: %s", o->name, o->help);
		} else {
			fill(l, g, o, obj);
		}
	}
	if (g->finish)
		g->finish(l, set, obj);
	return l->errs->n == before;
}
