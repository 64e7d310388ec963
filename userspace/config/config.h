/* SPDX-License-Identifier: BSD-2-Clause */
/* config.h - what sluice.conf says, as plain structs.
 *
 * config_load() reads the file (libconfig's syntax) against the one table of
 * options in options.c, reports every mistake at once, and hands back a
 * `struct config` that is read-only from then on: it is replaced whole, never
 * edited. Everything in it is checked and resolved: no reference dangles, every
 * number is within its bounds, every list is present (n may be 0, then the
 * pointer may be NULL), every string is non-NULL unless its comment says so.
 *
 * All memory belongs to the config and goes with config_free(): strings, lists,
 * page bodies. Workers get it by fork and only read it.
 *
 * Units stand in the names here; in the file an option has no unit in its name
 * and the value may carry one (`heartbeat = "25 s"`, `max_message = "100 KiB"`).
 * A plain number in the file is in the unit of the name here (ms, bytes).
 * File names are relative to the directory of the configuration file. */
#ifndef SLUICE_CONFIG_CONFIG_H
#define SLUICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/log.h"

/* Hard ceilings of the file, whatever it says; arrays may be sized by them. */
#define CONFIG_MAX_WORKERS      255 /* one mailbox member less: the admin worker */
#define CONFIG_MAX_LISTENERS    256
#define CONFIG_MAX_CERTIFICATES 1024
#define CONFIG_MAX_ENDPOINTS    256
#define CONFIG_MAX_RELAYS       256
#define CONFIG_MAX_RELAY_FIELDS 32
#define CONFIG_MAX_PAGES        256
#define CONFIG_MAX_MESSAGE      (64u << 20)
#define CONFIG_MAX_PAGE_BYTES   (1u << 20)
#define CONFIG_MAX_PROTECT      256
#define CONFIG_MAX_SERVES       64 /* of all listeners together */
#define CONFIG_MAX_RATE_CLASSES 15
#define CONFIG_MAX_RATE_NAME    15 /* bytes */
#define CONFIG_MAX_DENY         16384
#define CONFIG_MAX_CHANNEL_NAME 100 /* bytes, as in tools/doc/protocol.md */
#define CONFIG_MAX_FIELD_NAME   64  /* bytes, of a relay's name or field */
#define CONFIG_MAX_NAMESPACES   256
#define CONFIG_MAX_HISTORY      1000000 /* messages of one channel */

#define CONFIG_MAX_PRESENCE_NAMES 64 /* of those who came, and of those who left */

/* An address prefix. IPv4 sits in the first four bytes; host bits are zero. */
struct config_prefix {
	uint8_t addr[16]; /* network order */
	uint8_t bits;     /* 0..32 or 0..128 */
	uint8_t family;   /* AF_INET or AF_INET6 */
};

struct config_certificate {
	const char *name;
	const char *cert_file;           /* absolute path, PEM chain; NULL if dev */
	const char *key_file;            /* absolute path, PEM; NULL if dev */
	const char *ocsp_file;           /* absolute path, DER; NULL: none */
	const char *const *server_names; /* lower case, "*.example.com" allowed */
	uint32_t n_server_names;         /* 0: take the names from the certificate */
	bool dev; /* self-signed, made in state_dir on first run under `name` */
	/* where it stands in the configuration, for what is found wrong with it later */
	const char *conf_file; /* as given to config_load(); NULL if not from a file or text */
	uint32_t conf_line;
};

/* first..last, both in; 1..65535 */
struct config_ports {
	uint16_t first, last;
};

/* Ports of a whole prefix that a listener serves beside its own address. */
struct config_serve {
	struct config_prefix prefix;
	struct config_ports ports;
};

enum config_client_certs {
	CONFIG_CLIENT_CERTS_OFF,
	CONFIG_CLIENT_CERTS_OPTIONAL,
	CONFIG_CLIENT_CERTS_REQUIRED
};
/* What of a client's certificate is its user id. */
enum config_client_identity {
	CONFIG_CLIENT_CN,
	CONFIG_CLIENT_SUBJECT,
	CONFIG_CLIENT_DNS,
	CONFIG_CLIENT_EMAIL,
	CONFIG_CLIENT_URI
};

struct config_listener {
	const char *name;             /* default "ADDRESS:PORT", as show prints it */
	const char *address;          /* numeric, as written */
	uint16_t port;                /* 1..65535 */
	struct sockaddr_storage addr; /* address and port; IPv6 listens to IPv6 only */
	socklen_t addr_len;
	bool tls;
	bool defer_accept; /* TCP_DEFER_ACCEPT: wake us only when data came */
	uint32_t backlog;
	const uint16_t *certificates; /* indexes, first is the default; 0 if !tls */
	uint32_t n_certificates;
	const uint16_t *endpoints; /* indexes of what is served here */
	uint32_t n_endpoints;
	/* peers whose X-Forwarded-For / X-Real-IP we believe */
	const struct config_prefix *trusted_proxies;
	uint32_t n_trusted_proxies;
	/* of the address's family; no two of any listeners overlap, and no listener lies in another's */
	const struct config_serve *serves;
	uint32_t n_serves;
	/* whether clients are asked for a certificate; off: the other three mean nothing */
	enum config_client_certs client_certificates;
	enum config_client_identity client_identity;
	const char *client_ca_file;  /* absolute path, PEM */
	const char *client_crl_file; /* likewise; NULL: none */
};

enum config_uring { CONFIG_URING_OFF, CONFIG_URING_AUTO };
enum config_ktls { CONFIG_KTLS_OFF, CONFIG_KTLS_AUTO };
enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };
/* As Mozilla's guidelines name them. */
enum config_tls_preset { CONFIG_TLS_INTERMEDIATE, CONFIG_TLS_MODERN };

enum config_protocol {
	CONFIG_PROTOCOL_NATIVE, /* tools/doc/protocol.md */
	CONFIG_PROTOCOL_ECHO,   /* every message comes back as it was */
	CONFIG_PROTOCOL_RELAY,  /* every message goes to all but the sender */
};

/* The sets of words a native endpoint speaks, beside the common ones. */
enum config_words {
	CONFIG_WORDS_CHANNELS = 1 << 0,
	CONFIG_WORDS_ROOMS = 1 << 1,
	CONFIG_WORDS_CHAT = 1 << 2,
};

struct config_endpoint {
	const char *path; /* "/ws": compared byte for byte, without the query */
	enum config_protocol protocol;
	uint32_t words;    /* enum config_words; 0 unless native */
	const char *space; /* default: the path. Same name, same channels */
	uint16_t space_id; /* dense, 0..n_spaces-1: same id, same space */
	const char *lobby; /* channel all are subscribed to; NULL without chat words */
	/* Lower case: "*" anyone, "same-host", or scheme, host and port as a
	 * browser sends them; the host may begin with "*." for any name below. A
	 * client that sends no Origin is no browser: it is let in whatever stands
	 * here. */
	const char *const *origins;
	uint32_t n_origins;
	const char *const *subprotocols; /* tokens, ours first; 0: none is answered */
	uint32_t n_subprotocols;
	uint32_t max_message_bytes;
	uint32_t max_fragments;        /* frames per message */
	bool compression;              /* permessage-deflate is agreed to */
	uint32_t heartbeat_ms;         /* ping after so much silence; 0: never */
	uint32_t heartbeat_timeout_ms; /* then dead after so much more */
	uint32_t partial_timeout_ms;   /* an incomplete frame or message, in all */
	uint32_t rate_per_s;           /* messages per connection, sustained; 0: no limit */
	uint32_t rate_burst;           /* bucket depth, at least 1 if rate_per_s */
	uint32_t max_subscriptions;    /* per connection */
	uint32_t bad_format_per_min;   /* offences a minute that end it, 1008; 0: never */
};

enum config_relay_channel {
	CONFIG_RELAY_LOBBY, /* the endpoint's lobby */
	CONFIG_RELAY_NAMED, /* always the channel `channel` */
	CONFIG_RELAY_FIELD, /* the channel named by the client's field `channel` */
};

struct config_relay_field {
	const char *name;
	uint32_t max_bytes; /* of the raw JSON value, quotes and escapes included */
	bool required;      /* without it the message is refused */
};

/* A client's message type that becomes a publication. "chat" and "typing" are
 * built in, and are in the list unless the file defines its own of that name. */
struct config_relay {
	const char *name; /* the client's `type` */
	enum config_relay_channel channel_from;
	const char *channel; /* NULL for CONFIG_RELAY_LOBBY; no braces for _FIELD */
	const struct config_relay_field *fields;
	uint32_t n_fields;
	bool echo;             /* the sender hears itself */
	bool ephemeral;        /* not kept in history */
	const char *auto_stop; /* what is said for who says nothing more; NULL: nothing */
	uint32_t auto_stop_ms; /* for so long */
};

/* What becomes of who reads more slowly than its channels are written to. */
enum config_slow_consumer {
	CONFIG_SLOW_DISCONNECT, /* closed with 4008 */
	CONFIG_SLOW_DROP_OLDEST,
	CONFIG_SLOW_CONFLATE, /* only the newest message of each channel is kept for it */
};

/* How the channels are kept whose names have `name` before their first colon. */
struct config_namespace {
	const char *name;       /* "": all channels that no other is for */
	uint32_t history;       /* messages kept of each channel; 0: none, and no positions */
	uint64_t history_bytes; /* of each channel */
	uint32_t history_age_ms;
	enum config_slow_consumer slow_consumer;
};

struct config_page {
	const char *path;
	const char *file;  /* absolute */
	const char *type;  /* the Content-Type */
	struct bytes body; /* read at load time */
};

enum config_shield_mode {
	CONFIG_SHIELD_AUTO, /* native where the driver can, else generic */
	CONFIG_SHIELD_NATIVE,
	CONFIG_SHIELD_GENERIC,
	CONFIG_SHIELD_OFF,
};

/* As enum shield_steer_want of shield.h has them. */
enum config_steer {
	CONFIG_STEER_AUTO, /* cpumap where an interface has fewer receive queues than cores work */
	CONFIG_STEER_CPUMAP,
	CONFIG_STEER_RSS,
	CONFIG_STEER_OFF,
};

struct config_protect {
	struct config_prefix prefix;
	struct config_ports port;
	const char *rate; /* one of the rate classes, or "default" */
};

/* Per second and core; 0: no limit. "default" is for what names none, and there if the file
 * has none of that name. */
struct config_rate {
	const char *name;
	uint32_t packets, syns, connections;             /* of an IPv4 address or IPv6 /64 */
	uint32_t net_packets, net_syns, net_connections; /* of a /24 or /48 */
	uint32_t burst_ms;                               /* so much time's worth at once */
};

/* As enum shield_rule_mode of bpf/abi.h has them. */
enum config_rule_mode { CONFIG_RULE_OFF, CONFIG_RULE_OBSERVE, CONFIG_RULE_ENFORCE };

/* As enum shield_rule has them. */
struct config_rules {
	enum config_rule_mode malformed, allow, deny, rate, flow, syn;
};

/* As enum shield_cookies of bpf/abi.h has them. */
enum config_cookies_mode { CONFIG_COOKIES_AUTO, CONFIG_COOKIES_ALWAYS, CONFIG_COOKIES_OFF };

/* Rates are per second and core. */
struct config_cookies {
	enum config_cookies_mode mode;
	uint32_t attack, calm; /* SYNs; calm is not more than attack */
	uint32_t answers;      /* per /24 or /48; 0: no bound */
	uint32_t refusals;     /* packets of unknown connections that the kernel may refuse */
};

/* Who passes to which ports before any rule. */
struct config_manage {
	const struct config_prefix *prefixes;
	uint32_t n_prefixes; /* none: nobody */
	const struct config_ports *ports;
	uint32_t n_ports;
};

/* Who is denied for what his connections ended by. */
/* A set of the deny or allow list that a file gives. */
struct config_list {
	const char *name; /* of the set: a-z 0-9 . _ - */
	const char *file; /* absolute; a MaxMind database if one of the two below is given */
	enum config_list_action { CONFIG_LIST_DENY, CONFIG_LIST_ALLOW } action;
	const char *const *countries; /* two capitals each */
	uint32_t n_countries;
	const char *const *asns; /* "AS64500" or "64500" */
	uint32_t n_asns;
};

struct config_offences {
	uint32_t points; /* 0: nobody is */
	uint32_t window_ms;
	uint32_t first_ms, longest_ms;
};

struct config {
	const char *file; /* absolute path of what was read; "" for defaults */

	enum config_uring io_uring;
	uint32_t workers; /* 0: one per core this process may use */
	bool pin_cores;
	const char *user;  /* "" : stay who we are (workers then keep the keeper's) */
	const char *group; /* "" : the user's own group */
	const char *runtime_dir;
	const char *state_dir; /* survives reboots: development certificate */
	const char *pin_dir;   /* on a bpffs */
	enum log_level log_level;
	bool log_json;
	uint32_t max_connections; /* per worker; 0: RLIMIT_NOFILE minus 512 */
	uint32_t shutdown_timeout_ms;
	/* text of a frame that compression begins with. Not the endpoint's: a channel may be heard
	 * through several, and all of them hear the same frame. */
	uint32_t compression_threshold;

	uint32_t dedupe_window_ms; /* 0: a messageId means nothing */

	struct {
		uint32_t coalesce_above; /* so many subscribers: who comes is told together */
		uint32_t interval_ms;
		uint32_t names; /* in each update, of those who came and of those who left */
	} presence;

	struct {
		uint64_t partial_bytes; /* per worker: incomplete frames, messages, bodies */
		uint64_t queue_bytes;   /* per worker: unsent tails */
		uint32_t connection_queue_bytes; /* per connection; beyond: close 4008 */
		uint64_t mailbox_bytes;          /* all rings of all workers together */
		uint64_t mailbox_overflow_bytes; /* per worker: waiting for a full ring */
		uint64_t history_bytes;          /* per worker: all channels at home there */
		uint32_t message_ids; /* per worker: remembered, of channels at home there */
		uint32_t message_ids_of_sender;
	} memory;

	struct {
		enum config_tls_version min_version;
		bool watch;                    /* the files of certificates */
		enum config_tls_preset preset; /* what min_version is unless given */
		const char *const *groups;
		uint32_t n_groups;
		const char *const *suites; /* of TLS 1.2 */
		uint32_t n_suites;
		uint32_t session_lifetime_ms; /* 0: no session is resumed */
		enum config_ktls ktls;
		const char *ticket_key_file;   /* NULL: the keeper makes keys */
		const char *debug_keylog_file; /* NULL: secrets go nowhere */
		const char *const *deny_fingerprints;
		uint32_t n_deny_fingerprints;
		uint32_t handshakes;  /* of one worker at a time */
		uint32_t key_records; /* sealed under one key before KeyUpdate */
	} tls;

	struct {
		uint32_t request_line_bytes;
		uint32_t head_bytes; /* request line and headers together */
		uint32_t header_count;
		uint32_t header_bytes; /* one header line */
		uint32_t body_bytes;
		uint32_t handshake_timeout_ms; /* accept to the end of the first head */
		uint32_t keepalive_timeout_ms; /* idle between requests */
		uint32_t keepalive_requests;   /* per connection, then close */
	} http;

	struct {
		enum config_shield_mode mode;
		bool coexist;                  /* by libxdp's dispatcher */
		const char *const *interfaces; /* none: the shield is not attached */
		uint32_t n_interfaces;
		const struct config_rate *rate_classes;
		uint32_t n_rate_classes;
		/* never empty if there is a listener: default is what we listen on */
		const struct config_protect *protect;
		uint32_t n_protect;
		const struct config_prefix *deny; /* without expiry */
		uint32_t n_deny;
		const struct config_list *lists;
		uint32_t n_lists;
		struct config_manage manage;
		struct config_rules rules;
		struct config_cookies cookies;
		enum config_steer steer;
		struct config_offences offences;
	} shield;

	struct {
		const char *control_socket; /* default runtime_dir/control.sock */
		uint32_t control_mode;      /* permission bits, 0660 */
		const char *control_group;  /* "" : the keeper's own group */
		bool health;                /* answer the two paths below on every listener */
		const char *health_path;
		const char *ready_path;
	} admin;

	const struct config_listener *listeners;
	uint32_t n_listeners;
	const struct config_certificate *certificates;
	uint32_t n_certificates;
	const struct config_endpoint *endpoints;
	uint32_t n_endpoints;
	const char *const *spaces; /* name by space_id */
	uint32_t n_spaces;
	const struct config_relay *relays;
	uint32_t n_relays;
	const struct config_namespace *namespaces; /* one of them is "" */
	uint32_t n_namespaces;
	const struct config_page *pages;
	uint32_t n_pages;

	void *_arena; /* config.c only */
};

/* The namespace of a channel, as an index: to be looked up once and kept with the channel. */
uint16_t config_namespace_of(const struct config *cfg, struct bytes channel);

/* Start from {0}. Owns its strings until config_errors_fini(). */
struct config_error {
	char *file; /* as the operator wrote it; NULL if the mistake has no place */
	int line;   /* 0 if none */
	char *text; /* names the option, the value, what is allowed */
};

struct config_errors {
	struct config_error *list; /* by file and line */
	uint32_t n;
};

/* Reads `path`. Returns a config (config_free() it), or NULL with every mistake
 * in `errs`. Touches nothing outside: it reads the file, its includes, the
 * pages, and checks that key and certificate files can be read. A file without
 * listeners is a mistake. */
struct config *config_load(const char *path, struct config_errors *errs);

/* The same from a string; `dir` is what file names are relative to. It may do
 * without listeners. */
struct config *config_load_string(const char *text, const char *dir, struct config_errors *errs);

/* What an empty file gives: no listeners, no endpoints. Never NULL. */
struct config *config_defaults(void);

void config_free(struct config *cfg); /* NULL is fine */

/* `file:line: text` a line each. */
void config_error_print(const struct config_errors *errs, FILE *out);
void config_errors_fini(struct config_errors *errs);

/* `sluiced -t`: load, complain on `out`, and say so if all is well.
 * Returns 0, or 2 as sluiced's exit code for a configuration error. */
int config_check(const char *path, FILE *out);

/* What stands in a file, or is its name, goes to a terminal: nothing of it may command that. Control
 * characters become ?, in place; returns text, NULL too. */
char *config_tame(char *text);

/* The effective values, every option, in sluice.conf's own syntax: what it
 * prints can be loaded again. The second as one JSON object. */
void config_show(const struct config *cfg, FILE *out);
void config_show_json(const struct config *cfg, FILE *out);

/* The commented sample sluice.conf and the man page sluice.conf(5), both from
 * the table of options. */
void config_manual_conf(FILE *out);
void config_manual_man(FILE *out);

/* "192.0.2.0/24", "2001:db8::/32". `buf` of CONFIG_PREFIX_STRLEN; returns it. */
#define CONFIG_PREFIX_STRLEN 50
const char *config_prefix_str(const struct config_prefix *p, char *buf);

/* Is the address in it? The families never mix. */
struct addr;
bool config_prefix_has(const struct config_prefix *p, const struct addr *a);

/* "192.0.2.0/24", "2001:db8::1" (a host) → *p. False if it is not a prefix or
 * has host bits set; nothing is written then. */
bool config_prefix_parse(const char *text, struct config_prefix *p);

#endif
