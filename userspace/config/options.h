/* SPDX-License-Identifier: BSD-2-Clause */
/* options.h - inside of config/: the one table, and the steps that read it.
 *
 *   options.c   the table: every option's name, type, bounds, default, help
 *   load.c      the doors: a file or a text in, a config or its mistakes out
 *   bundle.c    a file and its includes as one text, for who may open none
 *   group.c     libconfig's settings + table → structs
 *   complain.c  mistakes, and the memory of a config
 *   value.c     one value: text ↔ number, prefix, duration …
 *   check.c     one string: is it a name, a path, an origin …
 *   finish.c    what one option alone cannot know: references, conflicts, files
 *   namespace.c which namespace a channel is of
 *   show.c      structs + table → effective values, as sluice.conf or JSON
 *   manual.c    table → the sample sluice.conf and sluice.conf(5)
 *
 * Nobody outside of config/ includes this. */
#ifndef SLUICE_CONFIG_OPTIONS_H
#define SLUICE_CONFIG_OPTIONS_H

#include <libconfig.h>

#include "config/config.h"

enum option_type {
	OPT_BOOL,     /* bool */
	OPT_INT,      /* uint16_t or uint32_t, by width */
	OPT_BYTES,    /* uint32_t or uint64_t; "64 MiB" */
	OPT_MS,       /* uint32_t; "25 s" */
	OPT_ENUM,     /* an enum of four bytes; one of `choices` */
	OPT_FLAGS,    /* uint32_t; a list of `choices`, or'ed */
	OPT_MODE,     /* uint32_t; permission bits, "0660" */
	OPT_STRING,   /* const char * */
	OPT_PATH,     /* const char *; made absolute */
	OPT_STRINGS,  /* const char *const *, count at n_offset */
	OPT_PREFIX,   /* struct config_prefix */
	OPT_PREFIXES, /* const struct config_prefix *, count at n_offset */
	OPT_PORT,     /* struct config_ports; 443, or "8000-8099" */
	OPT_PORTS,    /* const struct config_ports *, count at n_offset */
	OPT_REFS,     /* const uint16_t * into the list `group`, count at n_offset */
	OPT_GROUP,    /* a struct within the struct: `group` */
	OPT_GROUPS,   /* const struct * of `group`, count at n_offset; at most max */
};

struct option_choice {
	const char *word;
	uint32_t value;
	const char *help;
};

struct option {
	const char *name;
	enum option_type type;
	uint16_t offset, n_offset; /* in the group's struct */
	uint8_t width;             /* of a number, in bytes */
	bool required;
	uint64_t min, max;
	const char *zero;  /* 0 is allowed beside min..max and means this */
	const char *def;   /* default, in sluice.conf's syntax */
	const char *unset; /* or: what it is when absent, in words; finish.c makes it so */
	const struct option_choice *choices; /* ends with {NULL} */
	/* Is this string fine? NULL, or what is allowed. */
	const char *(*check)(const char *s);
	/* What config show prints, where the struct holds something else; NULL for
	 * none. May use buf[256]. */
	const char *(*shown)(const void *obj, char *buf);
	const struct option_group *group;
	const char *sample; /* the manual's sample line has this, not the default */
	bool in_sample;     /* and it is not commented out there */
	bool reloadable;    /* a running daemon takes a change: SIGHUP, sluicectl policy */
	const char *help;
	const char *price; /* what more of it costs, what turning it costs */
};

struct load;

struct option_group {
	const char *name; /* "endpoint"; "" for the top level */
	const char *key;  /* the option that names one of a list; NULL otherwise */
	bool bare_key;    /* in a list, "x" may stand for { key = "x"; } */
	size_t size;      /* of the struct */
	const struct option *options;
	uint32_t n_options;
	/* Called when all options of one group are in: fills what is derived and
	 * complains about what does not fit together. `set` NULL if the group is not
	 * in the file. */
	void (*finish)(struct load *l, const config_setting_t *set, void *obj);
	const char *help; /* the manual's paragraph on it */
};

extern const struct option_group option_root;
extern const struct option_choice option_protocols[];

/* ---- one load, in progress ---- */

struct arena; /* frees all at once */

/* A bundle's lines: from line `flat` of the text on they are those of `file`, from `line` on. */
struct config_place {
	uint32_t flat, line;
	const char *file;
};
/* How a line of a bundle begins that says where the next one comes from: "42 /etc/x.conf". A
 * comment, with what nobody types in it. */
#define CONFIG_PLACE "#\1"

struct load {
	struct config *cfg;
	struct config_errors *errs;
	const char *file;                  /* as given; "<text>" if from a string */
	const char *dir;                   /* absolute: file names are relative to it */
	const char *where;                 /* "endpoint /ws": what the next complaint is about */
	bool builtin;                      /* parsing our own defaults: mistakes are ours */
	bool closed;                       /* a bundle: no file is opened, no account looked up */
	const struct config_place *places; /* of a bundle, by `flat` */
	uint32_t n_places;
	struct {
		const struct option_group *group;
		config_t conf;
	} defaults[32];
	uint32_t n_defaults;
};

/* complain.c */
void *load_alloc(struct load *l, size_t n); /* zeroed */
char *load_strdup(struct load *l, const char *s, size_t n);
char *load_printf(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A mistake at `set` (NULL: no place). "where: " comes before the text. */
void complain(struct load *l, const config_setting_t *set, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same without a load: `file` as the operator wrote it, `line` 0 for none. */
void complain_bare(struct config_errors *errs, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Where a setting stands, as the operator knows it; *line 0: nowhere. */
const char *complain_where(struct load *l, const config_setting_t *set, unsigned *line);
/* The member of a group that the file has, else the group itself, for its line. */
const config_setting_t *place(const config_setting_t *set, const char *name);
bool given(const config_setting_t *set, const char *name);
/* Not given, or an empty list: and not one that was refused. */
bool left_empty(const config_setting_t *set, const char *name);
/* The file's name to show: an included one comes from libconfig as written. */
const char *complain_file(struct load *l, const char *name);
void complain_sort(struct config_errors *errs); /* by file and line */

/* load.c: behind a comment or string that begins at p, or p; *ends_early: a string with \x00. */
const char *config_skip_quiet(const char *p, bool *ends_early);
/* A whole file as a string, the caller's; NULL with errno. */
char *config_slurp(const char *name);

/* group.c: everything of one group into its struct. `set` NULL: all defaults, but
 * a key that is there already stays. False if there was a mistake. */
bool group_into(struct load *l, const struct option_group *g, const config_setting_t *set,
		void *obj);

/* value.c: text to value. Each returns false if the text is not one. */
bool value_bytes(const char *s, uint64_t *out);
bool value_ms(const char *s, uint64_t *out);
bool value_mode(const char *s, uint32_t *out);
bool value_ports(const char *s, struct config_ports *out); /* "443", "8000-8099" */
/* A numeric address, whole: neither "127.1" nor a host's name. */
bool value_address(const char *s, uint16_t port, struct sockaddr_storage *out, socklen_t *len);
/* value to text that reads back the same; buf of VALUE_STRLEN */
#define VALUE_STRLEN 32
const char *value_bytes_str(uint64_t v, char *buf);
const char *value_ms_str(uint64_t v, char *buf);
/* The number at p + offset */
uint64_t value_load(const void *p, uint8_t width);
void value_store(void *p, uint8_t width, uint64_t v);
/* The word for a value of an enum; never NULL for what a load has stored. */
const char *value_word(const struct option_choice *c, uint32_t v);
/* The known name that `name` is most likely meant to be, or NULL. */
const char *value_nearest(const char *name, const struct option_group *g);
/* A number as the option's type writes it ("25 s", "64 MiB", "8443"). */
const char *value_number_str(const struct option *o, uint64_t v, char *buf);
/* What numbers the option allows: "5 s to 1 h, or 0 (never)"; buf of 160 */
const char *value_bounds_str(const struct option *o, char *buf);

/* check.c: named by the table */
const char *check_text(const char *s);
const char *check_name(const char *s);
const char *check_account(const char *s);
const char *check_path(const char *s);
const char *check_address(const char *s);
const char *check_server_name(const char *s);
const char *check_origin(const char *s);
const char *check_token(const char *s);
const char *check_channel(const char *s);
const char *check_space(const char *s);
const char *check_namespace(const char *s);
const char *check_relay_channel(const char *s);
const char *check_field(const char *s);
const char *check_type(const char *s);
const char *check_interface(const char *s);
const char *check_set_name(const char *s);
const char *check_country(const char *s);
const char *check_asn(const char *s);
const char *check_ja4(const char *s);
const char *check_group(const char *s);
const char *check_suite(const char *s);

/* finish.c: likewise */
void finish_root(struct load *l, const config_setting_t *set, void *obj);
void finish_tls(struct load *l, const config_setting_t *set, void *obj);
void finish_http(struct load *l, const config_setting_t *set, void *obj);
void finish_certificate(struct load *l, const config_setting_t *set, void *obj);
void finish_listener(struct load *l, const config_setting_t *set, void *obj);
void finish_endpoint(struct load *l, const config_setting_t *set, void *obj);
void finish_relay(struct load *l, const config_setting_t *set, void *obj);
void finish_namespace(struct load *l, const config_setting_t *set, void *obj);
void finish_list(struct load *l, const config_setting_t *set, void *obj);
void finish_offences(struct load *l, const config_setting_t *set, void *obj);
void finish_cookies(struct load *l, const config_setting_t *set, void *obj);
void finish_rate(struct load *l, const config_setting_t *set, void *obj);
void finish_protect(struct load *l, const config_setting_t *set, void *obj);
void finish_page(struct load *l, const config_setting_t *set, void *obj);
const char *shown_relay_channel(const void *obj, char *buf);

#endif
