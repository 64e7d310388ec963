/* SPDX-License-Identifier: BSD-2-Clause */
/* finish.c - what one option alone cannot know.
 *
 * finish_*() run when all options of a group are in: they derive what was left out and find
 * what does not fit together. finish_root() is the last: it sees the whole. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/options.h"

/* ---- lists ---- */

/* The file and line of the list element that has `key` = `name`, to point at
 * from a duplicate. */
static const char *elsewhere(struct load *l, const config_setting_t *set, uint32_t i)
{
	const config_setting_t *list = set ? config_setting_parent(set) : NULL;
	const config_setting_t *e = list ? config_setting_get_elem(list, i) : NULL;

	const char *file;
	unsigned line;

	if (!e)
		return "before";
	file = complain_where(l, e, &line);
	return strcmp(file, l->file) == 0 ? load_printf(l, "in line %u", line) :
					    load_printf(l, "in %s:%u", file, line);
}

static void no_duplicate(struct load *l, const config_setting_t *set, const struct option_group *g,
			 const char *key, const void *list, uint32_t n, const char *mine)
{
	for (uint32_t i = 0; mine && i < n; i++) {
		const char *other;
		memcpy(&other, (const uint8_t *)list + i * g->size, sizeof(other));
		if (other && strcmp(other, mine) == 0) {
			complain(l, place(set, key), "%s = \"%.60s\" is there already, %s", key,
				 mine, elsewhere(l, set, i));
			return;
		}
	}
}

static const struct option_group *group_named(const char *name)
{
	for (uint32_t i = 0; i < option_root.n_options; i++) {
		const struct option *o = &option_root.options[i];
		if (o->type == OPT_GROUPS && strcmp(o->group->name, name) == 0)
			return o->group;
	}
	return NULL;
}

/* ---- files ---- */

/* Open for reading, a regular file; else -1 and a complaint. */
static int open_file(struct load *l, const config_setting_t *set, const char *option,
		     const char *file)
{
	struct stat st;
	int fd;

	if (l->closed)
		return -1;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		fd = -1;
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	}
	if (fd < 0)
		complain(l, place(set, option), "%s: %s cannot be read: %s", option, file,
			 errno == EINVAL ? "not a regular file" : strerror(errno));
	return fd;
}

static void readable(struct load *l, const config_setting_t *set, const char *option,
		     const char *file)
{
	int fd = file ? open_file(l, set, option, file) : -1;

	if (fd >= 0)
		close(fd);
}

/* ---- groups ---- */

void finish_certificate(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_certificate *c = obj;

	if (set) {
		unsigned line;
		const char *file = complain_where(l, set, &line);
		c->conf_file = load_strdup(l, file, strlen(file));
		c->conf_line = line;
	}
	no_duplicate(l, set, group_named("certificate"), "name", l->cfg->certificates,
		     l->cfg->n_certificates, c->name);
	if (c->dev && (c->cert_file || c->key_file || c->ocsp_file))
		complain(
			l, place(set, "dev"),
			"dev = true makes a certificate of its own: leave cert_file, key_file and ocsp_file out");
	else if (!c->dev && (!given(set, "cert_file") || !given(set, "key_file")))
		complain(l, set, "%s is missing: name a PEM file, or set dev = true",
			 given(set, "cert_file") ? "key_file" : "cert_file");
	if (c->dev)
		return;
	readable(l, set, "cert_file", c->cert_file);
	readable(l, set, "key_file", c->key_file);
	if (c->ocsp_file)
		readable(l, set, "ocsp_file", c->ocsp_file);
}

/* 0..n-1, for a reference list that was left out: all there are. */
static uint16_t *all_of(struct load *l, uint32_t n)
{
	uint16_t *list = n ? load_alloc(l, n * sizeof(*list)) : NULL;

	for (uint32_t i = 0; i < n; i++)
		list[i] = (uint16_t)i;
	return list;
}

static void finish_clients(struct load *l, const config_setting_t *set,
			   const struct config_listener *s)
{
	static const char *const more[] = {"client_ca_file", "client_crl_file", "client_identity"};
	/* "cn" is what it is anyway, and what a full printout says */
	size_t n_more = ARRAY_SIZE(more) - (s->client_identity == CONFIG_CLIENT_CN);
	bool asks = s->client_certificates != CONFIG_CLIENT_CERTS_OFF;
	const char *word = "off"; /* another one was refused already */
	bool off = !asks && (!given(set, "client_certificates") ||
			     (config_setting_lookup_string(set, "client_certificates", &word) &&
			      strcmp(word, "off") == 0));

	if (asks && !s->tls)
		complain(l, place(set, "client_certificates"),
			 "client_certificates are of no use without tls = true");
	if (asks && !given(set, "client_ca_file"))
		complain(l, place(set, "client_certificates"),
			 "client_certificates need client_ca_file: whom to believe");
	for (size_t i = 0; off && i < n_more; i++)
		if (given(set, more[i]))
			complain(l, place(set, more[i]),
				 "%s is of no use while client_certificates = \"off\"", more[i]);
	if (asks && s->client_ca_file)
		readable(l, set, "client_ca_file", s->client_ca_file);
	if (asks && s->client_crl_file)
		readable(l, set, "client_crl_file", s->client_crl_file);
}

void finish_listener(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_listener *s = obj;
	const struct config *cfg = l->cfg;
	char buf[CONFIG_PREFIX_STRLEN];

	if (s->address && s->port) {
		bool v6 = strchr(s->address, ':');
		if (!s->name)
			s->name = load_printf(l, v6 ? "[%s]:%u" : "%s:%u", s->address, s->port);
		value_address(s->address, s->port, &s->addr, &s->addr_len);
		for (uint32_t i = 0; i < cfg->n_listeners; i++)
			if (cfg->listeners[i].addr_len == s->addr_len &&
			    memcmp(&cfg->listeners[i].addr, &s->addr, s->addr_len) == 0)
				complain(l, place(set, "port"),
					 "%s port %u is listened on already, %s", s->address,
					 s->port, elsewhere(l, set, i));
	}
	if (given(set, "name"))
		no_duplicate(l, set, group_named("listener"), "name", cfg->listeners,
			     cfg->n_listeners, s->name);
	for (uint32_t i = 0; s->addr_len && i < s->n_serves; i++)
		if (s->serves[i].prefix.family != s->addr.ss_family)
			complain(
				l, place(set, "serves"),
				"serves: prefix = \"%s\" is not of the family of address = \"%s\": that "
				"takes a listener of its own",
				config_prefix_str(&s->serves[i].prefix, buf), s->address);
	if (!s->tls && s->n_certificates)
		complain(l, place(set, "certificates"),
			 "certificates are of no use without tls = true");
	if (s->tls && !given(set, "certificates")) {
		s->certificates = all_of(l, cfg->n_certificates);
		s->n_certificates = cfg->n_certificates;
	}
	if (s->tls && s->n_certificates == 0 && left_empty(set, "certificates"))
		complain(l, place(set, "tls"),
			 "tls = true needs a certificate: certificates = ( { name = \"main\"; "
			 "cert_file = …; key_file = …; } ) or one with dev = true");
	finish_clients(l, set, s);
	if (!given(set, "endpoints")) {
		s->endpoints = all_of(l, cfg->n_endpoints);
		s->n_endpoints = cfg->n_endpoints;
	}
}

void finish_endpoint(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_endpoint *e = obj;
	const char *protocol = value_word(option_protocols, e->protocol);

	no_duplicate(l, set, group_named("endpoint"), "path", l->cfg->endpoints,
		     l->cfg->n_endpoints, e->path);
	if (!e->space && e->path)
		e->space = e->path;
	if (e->protocol != CONFIG_PROTOCOL_NATIVE) {
		if (given(set, "words") && e->words)
			complain(l, place(set, "words"),
				 "words go with protocol = \"native\", not with \"%s\"", protocol);
		if (given(set, "lobby"))
			complain(l, place(set, "lobby"),
				 "a lobby goes with protocol = \"native\", not with \"%s\"",
				 protocol);
		e->words = 0;
	} else if (given(set, "lobby") && !(e->words & CONFIG_WORDS_CHAT)) {
		complain(l, place(set, "lobby"), "a lobby goes with the chat words");
	}
	if (!(e->words & CONFIG_WORDS_CHAT))
		e->lobby = NULL;
	else if (!e->lobby)
		e->lobby = "lobby";
	if (e->rate_per_s && e->rate_burst == 0)
		complain(l, place(set, "rate_burst"), "rate_burst = 0 would let no message pass");
}

#define AUTO_STOP_MS 3000 /* the default of auto_stop_after, as `config show` says of every relay */

static const char *const built_in_relays[] = {"chat", "typing"};

const char *shown_relay_channel(const void *obj, char *buf)
{
	const struct config_relay *r = obj;

	if (r->channel_from == CONFIG_RELAY_LOBBY)
		return NULL;
	snprintf(buf, 256, r->channel_from == CONFIG_RELAY_FIELD ? "{%s}" : "%s", r->channel);
	return buf;
}

static bool reserved_type(const char *name)
{
	static const char *const ours[] = {
		"ping",        "authenticate", "presence",  "history",    "subscribe",
		"unsubscribe", "publish",      "join_room", "leave_room", "broadcast_room",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return true;
	return false;
}

/* What others hear from a client must not look like what we say. */
static bool said_by_us(const char *name)
{
	static const char *const ours[] = {
		"connected",    "pong",        "authenticated", "auth_error",   "token_expiring",
		"reconnect",    "error",       "subscribed",    "unsubscribed", "published",
		"message",      "join",        "leave",         "joined_room",  "left_room",
		"room_message", "user_joined", "user_left",     "room_update",  "presence_update",
	};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return true;
	return false;
}

static void check_auto_stop(struct load *l, const config_setting_t *set,
			    const struct config_relay *r)
{
	const char *stop = r->auto_stop;

	if (!given(set, "auto_stop") && r->auto_stop_ms != AUTO_STOP_MS)
		complain(l, place(set, "auto_stop_after"),
			 "auto_stop_after is of no use without auto_stop");
	if (stop && (reserved_type(stop) || said_by_us(stop)))
		complain(l, place(set, "auto_stop"),
			 "auto_stop = \"%s\" is a word of the protocol already", stop);
	if (stop && r->name && strcmp(stop, r->name) == 0)
		complain(
			l, place(set, "auto_stop"),
			"auto_stop = \"%s\" is the relay's own name: nobody could tell one from the "
			"other",
			stop);
}

void finish_relay(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_relay *r = obj;
	size_t n = r->channel ? strlen(r->channel) : 0;

	no_duplicate(l, set, group_named("relay"), "name", l->cfg->relays, l->cfg->n_relays,
		     r->name);
	if (r->name && reserved_type(r->name))
		complain(l, place(set, "name"), "\"%s\" is a word of the protocol already",
			 r->name);
	for (uint32_t i = 0; i < r->n_fields; i++)
		for (uint32_t k = 0; r->fields[i].name && k < i; k++)
			if (r->fields[k].name && strcmp(r->fields[i].name, r->fields[k].name) == 0)
				complain(l, place(set, "fields"), "field \"%s\" is there twice",
					 r->fields[i].name);
	for (uint32_t i = 0; i < r->n_fields; i++) {
		const char *f = r->fields[i].name;
		if (f && (strcmp(f, "type") == 0 || strcmp(f, "from") == 0 ||
			  strcmp(f, "timestamp") == 0 || strcmp(f, "id") == 0))
			complain(l, place(set, "fields"), "field \"%s\" is one that Sluice sets",
				 f);
	}
	check_auto_stop(l, set, r);
	r->channel_from = !r->channel          ? CONFIG_RELAY_LOBBY :
			  r->channel[0] == '{' ? CONFIG_RELAY_FIELD :
						 CONFIG_RELAY_NAMED;
	if (r->channel_from == CONFIG_RELAY_FIELD)
		r->channel = load_strdup(l, r->channel + 1, n - 2);
}

/* chat and typing stand behind the operator's own, unless those replace them. */
static void add_built_in_relays(struct load *l)
{
	static const struct config_relay_field text = {"text", 10000, true};
	struct config *cfg = l->cfg;
	uint32_t n = cfg->n_relays;
	struct config_relay *list = load_alloc(l, (n + 2) * sizeof(*list));

	if (n)
		memcpy(list, cfg->relays, n * sizeof(*list));
	for (size_t b = 0; b < ARRAY_SIZE(built_in_relays); b++) {
		uint32_t i = 0;
		while (i < cfg->n_relays &&
		       strcmp(list[i].name ? list[i].name : "", built_in_relays[b]) != 0)
			i++;
		if (i < cfg->n_relays)
			continue;
		list[n++] = b == 0 ? (struct config_relay){.name = "chat",
							   .fields = &text,
							   .n_fields = 1,
							   .echo = true} :
				     (struct config_relay){.name = "typing", .ephemeral = true};
		list[n - 1].auto_stop_ms = AUTO_STOP_MS;
	}
	cfg->relays = list;
	cfg->n_relays = n;
}

void finish_namespace(struct load *l, const config_setting_t *set, void *obj)
{
	const struct config_namespace *ns = obj;

	no_duplicate(l, set, group_named("namespace"), "name", l->cfg->namespaces,
		     l->cfg->n_namespaces, ns->name);
}

/* Every channel is of some namespace: "" stands behind the operator's own, unless it is there. */
static void add_other_namespace(struct load *l)
{
	struct config *cfg = l->cfg;
	uint32_t n = cfg->n_namespaces;
	struct config_namespace *list;

	for (uint32_t i = 0; i < n; i++)
		if (cfg->namespaces[i].name && !*cfg->namespaces[i].name)
			return;
	list = load_alloc(l, (n + 1) * sizeof(*list));
	if (n)
		memcpy(list, cfg->namespaces, n * sizeof(*list));
	list[n].name = "";
	group_into(l, group_named("namespace"), NULL, &list[n]);
	cfg->namespaces = list;
	cfg->n_namespaces = n + 1;
}

static const char *type_of(const char *file)
{
	static const char *const types[][2] = {
		{".html", "text/html; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".mjs", "text/javascript; charset=utf-8"},
		{".json", "application/json"},
		{".map", "application/json"},
		{".txt", "text/plain; charset=utf-8"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".jpg", "image/jpeg"},
		{".webp", "image/webp"},
		{".ico", "image/x-icon"},
		{".woff2", "font/woff2"},
		{".wasm", "application/wasm"},
	};
	const char *dot = strrchr(file, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++)
		if (strcmp(dot, types[i][0]) == 0)
			return types[i][1];
	return NULL;
}

/* All of an open file, at most CONFIG_MAX_PAGE_BYTES. */
static struct bytes read_page(struct load *l, const config_setting_t *set, int fd, const char *file)
{
	size_t cap = CONFIG_MAX_PAGE_BYTES + 1, n = 0;
	uint8_t *buf = malloc(cap), *body;
	ssize_t got;

	assert(buf);
	while (n < cap && (got = read(fd, buf + n, cap - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			complain(l, place(set, "file"), "file: %s: %s", file, strerror(errno));
			break;
		}
		n += (size_t)got;
	}
	if (n == cap)
		complain(l, place(set, "file"),
			 "file: %s is larger than 1 MiB: a page is held in memory", file);
	body = memcpy(load_alloc(l, n ? n : 1), buf, n);
	free(buf);
	return BYTES(body, n);
}

static bool is_endpoint(const struct config *cfg, const char *path)
{
	for (uint32_t i = 0; path && i < cfg->n_endpoints; i++)
		if (cfg->endpoints[i].path && strcmp(cfg->endpoints[i].path, path) == 0)
			return true;
	return false;
}

static bool is_page(const struct config *cfg, const char *path)
{
	for (uint32_t i = 0; path && i < cfg->n_pages; i++)
		if (cfg->pages[i].path && strcmp(cfg->pages[i].path, path) == 0)
			return true;
	return false;
}

void finish_page(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_page *p = obj;
	int fd = -1;

	no_duplicate(l, set, group_named("page"), "path", l->cfg->pages, l->cfg->n_pages, p->path);
	if (is_endpoint(l->cfg, p->path))
		complain(l, place(set, "path"), "path = \"%s\" is an endpoint", p->path);
	if (!p->file)
		return;
	if (!p->type && !given(set, "type") && !(p->type = type_of(p->file)))
		complain(l, place(set, "file"),
			 "type is missing: it cannot be told from the name %s", p->file);
	fd = open_file(l, set, "file", p->file);
	if (fd < 0)
		return;
	p->body = read_page(l, set, fd, p->file);
	close(fd);
}

static void part_of_head(struct load *l, const config_setting_t *set, const char *option,
			 uint64_t bytes)
{
	char a[VALUE_STRLEN], b[VALUE_STRLEN];

	if (bytes > l->cfg->http.head_bytes)
		complain(l, place(set, option),
			 "%s = %s is more than head = %s, which it is part of", option,
			 value_bytes_str(bytes, a), value_bytes_str(l->cfg->http.head_bytes, b));
}

void finish_http(struct load *l, const config_setting_t *set, void *obj)
{
	const struct config *cfg = l->cfg;

	part_of_head(l, set, "request_line", cfg->http.request_line_bytes);
	part_of_head(l, set, "header", cfg->http.header_bytes);
}

void finish_tls(struct load *l, const config_setting_t *set, void *obj)
{
	struct config *cfg = l->cfg;
	bool modern = cfg->tls.preset == CONFIG_TLS_MODERN;

	if (!given(set, "min_version"))
		cfg->tls.min_version = modern ? CONFIG_TLS_1_3 : CONFIG_TLS_1_2;
	else if (modern && cfg->tls.min_version != CONFIG_TLS_1_3)
		complain(
			l, place(set, "min_version"),
			"preset = \"modern\" is TLS 1.3 alone: leave min_version out, or take \"intermediate\"");
	if (cfg->tls.n_groups == 0)
		complain(l, place(set, "groups"), "groups: without one no handshake succeeds");
	if (cfg->tls.n_suites == 0)
		complain(
			l, place(set, "suites"),
			"suites: without one no client of TLS 1.2 succeeds: min_version = \"1.3\" says so");
	if (cfg->tls.ticket_key_file && cfg->tls.session_lifetime_ms == 0)
		complain(l, place(set, "ticket_key_file"),
			 "ticket_key_file is of no use while session_lifetime = 0");
	if (cfg->tls.ticket_key_file)
		readable(l, set, "ticket_key_file", cfg->tls.ticket_key_file);
}

void finish_list(struct load *l, const config_setting_t *set, void *obj)
{
	static const struct option_group size = {.size = sizeof(struct config_list)};
	const struct config_list *c = obj;

	no_duplicate(l, set, &size, "name", l->cfg->shield.lists, l->cfg->shield.n_lists, c->name);
}

void finish_offences(struct load *l, const config_setting_t *set, void *obj)
{
	const struct config_offences *o = obj;
	char a[VALUE_STRLEN], b[VALUE_STRLEN];

	if (o->first_ms > o->longest_ms)
		complain(l, place(set, "first"), "first = %s is more than longest = %s",
			 value_ms_str(o->first_ms, a), value_ms_str(o->longest_ms, b));
}

void finish_cookies(struct load *l, const config_setting_t *set, void *obj)
{
	const struct config_cookies *c = obj;

	if (c->calm > c->attack)
		complain(l, place(set, "calm"), "calm = %u is more than attack = %u", c->calm,
			 c->attack);
}

/* ---- the whole ---- */

static void number_spaces(struct load *l)
{
	struct config *cfg = l->cfg;
	const char **names = load_alloc(l, (cfg->n_endpoints + 1) * sizeof(*names));
	struct config_endpoint *list = (struct config_endpoint *)cfg->endpoints; /* still ours */

	for (uint32_t i = 0; i < cfg->n_endpoints; i++) {
		const char *space = list[i].space ? list[i].space : "";
		uint32_t k = 0;
		while (k < cfg->n_spaces && strcmp(names[k], space) != 0)
			k++;
		if (k == cfg->n_spaces)
			names[cfg->n_spaces++] = space;
		list[i].space_id = (uint16_t)k;
	}
	cfg->spaces = names;
}

void finish_rate(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_rate *r = obj;

	if (r->name && strlen(r->name) > CONFIG_MAX_RATE_NAME)
		complain(l, place(set, "name"), "\"%s\": at most %d characters", r->name,
			 CONFIG_MAX_RATE_NAME);
	for (uint32_t i = 0; r->name && i < l->cfg->shield.n_rate_classes; i++)
		if (&l->cfg->shield.rate_classes[i] != r && l->cfg->shield.rate_classes[i].name &&
		    strcmp(l->cfg->shield.rate_classes[i].name, r->name) == 0)
			complain(l, place(set, "name"), "the rate class \"%s\" is there twice",
				 r->name);
}

void finish_protect(struct load *l, const config_setting_t *set, void *obj)
{
	struct config_protect *p = obj;
	bool known = !p->rate || strcmp(p->rate, "default") == 0;

	for (uint32_t i = 0; !known && i < l->cfg->shield.n_rate_classes; i++)
		known = l->cfg->shield.rate_classes[i].name &&
			strcmp(l->cfg->shield.rate_classes[i].name, p->rate) == 0;
	if (known)
		return;
	complain(l, place(set, "rate"), "no rate class \"%s\" in rate_classes", p->rate);
	p->rate = NULL; /* that is all there is to say of it */
}

/* A port is counted by one class, whatever address it is at. */
static void check_rates(struct load *l, const config_setting_t *set)
{
	const struct config_protect *list = l->cfg->shield.protect;

	for (uint32_t i = 0; i < l->cfg->shield.n_protect; i++)
		for (uint32_t k = 0; k < i; k++)
			if (list[i].rate && list[k].rate && list[i].port.first && /* 0: was wrong */
			    list[i].port.first <= list[k].port.last &&
			    list[k].port.first <= list[i].port.last &&
			    strcmp(list[i].rate, list[k].rate) != 0) {
				complain(l, place(set, "shield"),
					 "shield.protect: port %u has the rate classes \"%s\" and "
					 "\"%s\"; a port has one, at all of its addresses",
					 MAX(list[i].port.first, list[k].port.first), list[k].rate,
					 list[i].rate);
				return;
			}
}

/* What a listener's address means to the shield: wildcards are everything. */
static struct config_protect protect_of(const struct config_listener *s)
{
	struct config_protect p = {.port = {s->port, s->port}, .rate = "default"};

	p.prefix.family = (uint8_t)s->addr.ss_family;
	if (s->addr.ss_family == AF_INET)
		memcpy(p.prefix.addr, &((const struct sockaddr_in *)&s->addr)->sin_addr, 4);
	else
		memcpy(p.prefix.addr, &((const struct sockaddr_in6 *)&s->addr)->sin6_addr, 16);
	for (int i = 0; i < 16; i++)
		if (p.prefix.addr[i])
			p.prefix.bits = s->addr.ss_family == AF_INET ? 32 : 128;
	return p;
}

static struct config_protect protect_of_serve(const struct config_serve *s)
{
	return (struct config_protect){.prefix = s->prefix, .port = s->ports, .rate = "default"};
}

static uint32_t count_serves(const struct config *cfg)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < cfg->n_listeners; i++)
		n += cfg->listeners[i].n_serves;
	return n;
}

static void protect_listeners(struct load *l)
{
	struct config *cfg = l->cfg;
	uint32_t n = 0, max = cfg->n_listeners + count_serves(cfg);
	struct config_protect *list = load_alloc(l, (max + 1) * sizeof(*list));

	for (uint32_t i = 0; i < cfg->n_listeners; i++) {
		const struct config_listener *s = &cfg->listeners[i];

		if (s->addr_len)
			list[n++] = protect_of(s);
		for (uint32_t k = 0; k < s->n_serves; k++)
			list[n++] = protect_of_serve(&s->serves[k]);
	}
	cfg->shield.protect = list;
	cfg->shield.n_protect = n;
}

static bool prefixes_meet(const struct config_prefix *a, const struct config_prefix *b)
{
	unsigned bits = MIN(a->bits, b->bits);

	if (a->family != b->family || memcmp(a->addr, b->addr, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || (a->addr[bits / 8] ^ b->addr[bits / 8]) >> (8 - bits % 8) == 0;
}

static bool protects_meet(const struct config_protect *a, const struct config_protect *b)
{
	return a->port.first <= b->port.last && b->port.first <= a->port.last &&
	       prefixes_meet(&a->prefix, &b->prefix);
}

/* What is served must be one listener's, or the order in the file would decide. */
static void check_serve(struct load *l, const config_setting_t *at, uint32_t i,
			const struct config_serve *serve)
{
	const struct config *cfg = l->cfg;
	const struct config_protect mine = protect_of_serve(serve);
	char buf[CONFIG_PREFIX_STRLEN];

	for (uint32_t k = 0; k < cfg->n_listeners; k++) {
		const struct config_listener *other = &cfg->listeners[k];
		struct config_protect its = other->addr_len ? protect_of(other) : mine;
		bool meets = k != i && other->addr_len && its.prefix.bits &&
			     protects_meet(&mine, &its);

		for (uint32_t j = 0; j < other->n_serves && !meets; j++) {
			const struct config_serve *o = &other->serves[j];

			its = protect_of_serve(o);
			meets = (k < i || (k == i && o < serve)) && protects_meet(&mine, &its);
		}
		if (meets)
			complain(
				l, at,
				"listener %s: serves: %s, ports %u to %u: some of it is listener %s's",
				cfg->listeners[i].name, config_prefix_str(&serve->prefix, buf),
				serve->ports.first, serve->ports.last, other->name);
	}
}

static void check_serves(struct load *l, const config_setting_t *set)
{
	const struct config *cfg = l->cfg;
	const config_setting_t *list =
		given(set, "listeners") ? config_setting_get_member(set, "listeners") : NULL;

	if (count_serves(cfg) > CONFIG_MAX_SERVES)
		complain(l, list, "serves: %u prefixes; all listeners together may have %d",
			 count_serves(cfg), CONFIG_MAX_SERVES);
	for (uint32_t i = 0; i < cfg->n_listeners; i++) {
		const struct config_listener *s = &cfg->listeners[i];
		const config_setting_t *e = config_setting_get_elem(list, i);

		for (uint32_t k = 0; k < s->n_serves; k++)
			if (s->serves[k].ports.first) /* 0: was wrong, which has been said */
				check_serve(l, place(e, "serves"), i, &s->serves[k]);
	}
}

static void admin_path(struct load *l, const config_setting_t *admin, const char *option,
		       const char *path)
{
	if (is_endpoint(l->cfg, path))
		complain(l, place(admin, option), "admin: %s = \"%s\" is an endpoint", option,
			 path);
	if (is_page(l->cfg, path))
		complain(l, place(admin, option), "admin: %s = \"%s\" is a page", option, path);
}

static void check_admin(struct load *l, const config_setting_t *set)
{
	struct config *cfg = l->cfg;
	const config_setting_t *admin = place(set, "admin");

	if (!cfg->admin.control_socket)
		cfg->admin.control_socket = load_printf(l, "%s/control.sock", cfg->runtime_dir);
	if (strlen(cfg->admin.control_socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		complain(l, given(set, "admin") ? admin : place(set, "runtime_dir"),
			 "control_socket: %s is longer than the 107 bytes of a socket's name",
			 cfg->admin.control_socket);
	if (!cfg->admin.health)
		return;
	if (strcmp(cfg->admin.health_path, cfg->admin.ready_path) == 0)
		complain(l, place(admin, "ready_path"),
			 "admin: ready_path = \"%s\" is health_path as well: they must differ",
			 cfg->admin.ready_path);
	admin_path(l, admin, "health_path", cfg->admin.health_path);
	admin_path(l, admin, "ready_path", cfg->admin.ready_path);
}

static void check_memory(struct load *l, const config_setting_t *set)
{
	const struct config *cfg = l->cfg;
	const config_setting_t *memory = place(set, "memory");
	const config_setting_t *list =
		given(set, "endpoints") ? config_setting_get_member(set, "endpoints") : NULL;

	char a[VALUE_STRLEN], b[VALUE_STRLEN];

	if (cfg->memory.connection_queue_bytes > cfg->memory.queue_bytes)
		complain(l, place(memory, "connection_queue"),
			 "memory: connection_queue = %s is more than queue = %s, which all "
			 "connections share",
			 value_bytes_str(cfg->memory.connection_queue_bytes, a),
			 value_bytes_str(cfg->memory.queue_bytes, b));
	for (uint32_t i = 0; i < cfg->n_endpoints; i++) {
		const config_setting_t *e = config_setting_get_elem(list, i);
		uint32_t max = cfg->endpoints[i].max_message_bytes;

		if (max > cfg->memory.partial_bytes)
			complain(
				l, place(e, "max_message"),
				"endpoint %s: max_message = %s is more than memory.partial = %s: no "
				"such message could be received",
				cfg->endpoints[i].path, value_bytes_str(max, a),
				value_bytes_str(cfg->memory.partial_bytes, b));
	}
}

static void check_accounts(struct load *l, const config_setting_t *set)
{
	const struct config *cfg = l->cfg;

	if (given(set, "user") && *cfg->user && !getpwnam(cfg->user))
		complain(l, place(set, "user"), "user = \"%s\": there is no such account",
			 cfg->user);
	if (given(set, "group") && *cfg->group && !getgrnam(cfg->group))
		complain(l, place(set, "group"), "group = \"%s\": there is no such group",
			 cfg->group);
	if (*cfg->admin.control_group && !getgrnam(cfg->admin.control_group))
		complain(l, place(place(set, "admin"), "control_group"),
			 "admin: control_group = \"%s\": there is no such group",
			 cfg->admin.control_group);
}

void finish_root(struct load *l, const config_setting_t *set, void *obj)
{
	struct config *cfg = l->cfg;

	assert(obj == cfg);
	add_built_in_relays(l);
	add_other_namespace(l);
	number_spaces(l);
	check_serves(l, set);
	if (cfg->shield.n_protect == 0)
		protect_listeners(l);
	check_rates(l, set);
	check_admin(l, set);
	check_memory(l, set);
	if (!l->closed)
		check_accounts(l, set);
}
