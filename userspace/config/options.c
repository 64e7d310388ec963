/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - the one table of options.
 *
 * What stands here is all there is: the parser accepts it, `sluiced -T` shows it,
 * the sample sluice.conf and sluice.conf(5) are printed from it. A new option is
 * one row, and a field in config.h.
 *
 * Within a group the option that names an element comes first. At the top level
 * the order is the order of the manual, and what a list refers to stands before
 * that list. Names have no units; .help says what it is for, .price what more of
 * it costs. */
#include "config/options.h"

#define KiB    1024ull
#define MiB    (1024 * KiB)
#define GiB    (1024 * MiB)
#define S      1000ull
#define MIN_MS (60 * S)
#define H      (60 * MIN_MS)

#define AT(type, field)                                                                            \
	.offset = offsetof(struct type, field), .width = sizeof(((struct type *)0)->field)
#define LIST_AT(type, field)                                                                       \
	.offset = offsetof(struct type, field), .n_offset = offsetof(struct type, n_##field)
/* the n_ stands within the same inner struct */
#define INNER_LIST_AT(inner, field)                                                                \
	.offset = offsetof(struct config, inner.field) - offsetof(struct config, inner),           \
	.n_offset = offsetof(struct config, inner.n_##field) - offsetof(struct config, inner)
#define INNER_AT(inner, field)                                                                     \
	.offset = offsetof(struct config, inner.field) - offsetof(struct config, inner),           \
	.width = sizeof(((struct config *)0)->inner.field)
#define OPTIONS(a) .options = (a), .n_options = ARRAY_SIZE(a)

/* ---- memory ---- */

static const struct option memory_options[] = {
	{"partial", OPT_BYTES, INNER_AT(memory, partial_bytes), .min = 1 * MiB, .max = 1024 * GiB,
	 .def = "\"256 MiB\"",
	 .help = "Per worker: all frames, messages and request bodies that have begun and not ended. "
		 "Beyond it the oldest of them is closed with 1013.",
	 .price = "memory, only while peers are in the middle of something"},
	{"queue", OPT_BYTES, INNER_AT(memory, queue_bytes), .min = 1 * MiB, .max = 1024 * GiB,
	 .def = "\"256 MiB\"",
	 .help = "Per worker: all bytes that peers have been too slow to take. Beyond it the "
		 "one whose line has taken nothing for longest is closed with 4008.",
	 .price = "memory, only while there are slow readers"},
	{"connection_queue", OPT_BYTES, INNER_AT(memory, connection_queue_bytes), .min = 16 * KiB,
	 .max = 1 * GiB, .def = "\"1 MiB\"",
	 .help = "Bytes that one connection may have waiting. A slow reader that exceeds it, or "
		 "takes nothing of it for 30 s, is closed with 4008 (Slow consumer). One message of its "
		 "endpoint's max_message always fits.",
	 .price = "what one slow reader can hold of memory.queue"},
	{"mailbox", OPT_BYTES, INNER_AT(memory, mailbox_bytes), .min = 1 * MiB, .max = 64 * GiB,
	 .def = "\"64 MiB\"",
	 .help = "All rings between workers together, however many workers there are.",
	 .price = "shared memory, taken when first used"},
	{"mailbox_overflow", OPT_BYTES, INNER_AT(memory, mailbox_overflow_bytes), .min = 1 * MiB,
	 .max = 64 * GiB, .def = "\"64 MiB\"",
	 .help = "Per worker: publications that wait for room in another worker's ring. While any "
		 "wait, no publisher is read; beyond it publications are refused as overloaded.",
	 .price = "memory, only while a worker lags behind"},
	{"history", OPT_BYTES, INNER_AT(memory, history_bytes), .min = 1 * MiB, .max = 1024 * GiB,
	 .def = "\"256 MiB\"",
	 .help = "Per worker: what is kept of all channels at home there. Beyond it the oldest messages go "
		 "of those channels that were published to longest ago; who would recover from there is "
		 "told that it cannot.",
	 .price = "memory, as far as namespaces keep history"},
	{"message_ids", OPT_INT, INNER_AT(memory, message_ids), .min = 16, .max = 100000000,
	 .def = "100000",
	 .help = "Per worker: ids of messages (messageId) that are remembered for dedupe_window, for the "
		 "channels at home there. Beyond it the oldest are forgotten.",
	 .price = "72 to 96 bytes each, once used"},
	{"message_ids_of_sender", OPT_INT, INNER_AT(memory, message_ids_of_sender), .min = 1,
	 .max = 100000000, .def = "1000",
	 .help = "So many of them may be of one user or, where nobody has logged in, of one connection."},
};

static const struct option_group memory_group = {
	.name = "memory",
	OPTIONS(memory_options),
	.help = "The bounds that keep peers from using up the memory of the host.",
};

/* ---- presence ---- */

static const struct option presence_options[] = {
	{"coalesce_above", OPT_INT, INNER_AT(presence, coalesce_above), .max = 1000000000,
	 .def = "100",
	 .help = "In a channel with more subscribers than this, others do not hear of each one that comes "
		 "or goes, but once in every interval of all of them together (presence_update, room_update). "
		 "0 is for every channel.",
	 .price = "each one that comes is a message to all others: 1,000 of them are a million"},
	{"interval", OPT_MS, INNER_AT(presence, interval_ms), .min = 100, .max = 1 * MIN_MS,
	 .def = "\"1 s\"", .help = "So often at most, and so late."},
	{"names", OPT_INT, INNER_AT(presence, names), .max = CONFIG_MAX_PRESENCE_NAMES, .def = "20",
	 .help = "So many are named of those who came, and as many of those who left; the others are "
		 "counted.",
	 .price =
		 "some 60 bytes each in every such message; 98 at the channel's home until it is sent"},
};

static const struct option_group presence_group = {
	.name = "presence",
	OPTIONS(presence_options),
	.help = "How others hear of who comes to a big channel and who leaves it.",
};

/* ---- tls ---- */

static const struct option_choice tls_versions[] = {
	{"1.2", CONFIG_TLS_1_2, NULL}, {"1.3", CONFIG_TLS_1_3, NULL}, {NULL, 0, NULL}};

static const struct option_choice tls_presets[] = {
	{"intermediate", CONFIG_TLS_INTERMEDIATE, "TLS 1.2 and 1.3: every client since about 2014"},
	{"modern", CONFIG_TLS_MODERN, "TLS 1.3 alone: every client since about 2019"},
	{NULL, 0, NULL}};

static const struct option_choice ktls_modes[] = {{"off", CONFIG_KTLS_OFF, "we seal"},
						  {"auto", CONFIG_KTLS_AUTO,
						   "the kernel seals, where it has kTLS"},
						  {NULL, 0, NULL}};

static const struct option tls_options[] = {
	{"preset", OPT_ENUM, INNER_AT(tls, preset), .choices = tls_presets,
	 .def = "\"intermediate\"",
	 .help = "Mozilla's guideline by which TLS is spoken. Neither has anything without forward secrecy or "
		 "without authenticated encryption."},
	{"min_version", OPT_ENUM, INNER_AT(tls, min_version), .choices = tls_versions,
	 .unset = "the preset's", .sample = "\"1.2\"", .help = "The oldest TLS that is spoken.",
	 .price = "a TLS 1.2 connection keeps its SSL object, some 2.6 kB more than a TLS 1.3 one"},
	{"groups", OPT_STRINGS, INNER_LIST_AT(tls, groups), .max = 4, .check = check_group,
	 .def = "[\"X25519\", \"P-256\", \"P-384\"]",
	 .help = "Groups for the key exchange, the best first: X25519, P-256, P-384, P-521. A client that has only "
		 "guessed a worse one is asked again, which is a round trip more."},
	{"suites", OPT_STRINGS, INNER_LIST_AT(tls, suites), .max = 8, .check = check_suite,
	 .def = "[\"ECDHE-ECDSA-AES128-GCM-SHA256\", \"ECDHE-RSA-AES128-GCM-SHA256\", "
		"\"ECDHE-ECDSA-AES256-GCM-SHA384\", \"ECDHE-RSA-AES256-GCM-SHA384\", "
		"\"ECDHE-ECDSA-CHACHA20-POLY1305\", \"ECDHE-RSA-CHACHA20-POLY1305\"]",
	 .help = "Suites of TLS 1.2, the best first, by OpenSSL's names. Those of TLS 1.3 are fixed: "
		 "AES-128-GCM, AES-256-GCM, and ChaCha20 for clients that compute it faster."},
	{"session_lifetime", OPT_MS, INNER_AT(tls, session_lifetime_ms), .min = 60 * S,
	 .max = 7 * 24 * H, .zero = "none is resumed", .def = "\"8 h\"",
	 .help = "Who comes back within it resumes his session, for about half of a handshake's CPU. The keys "
		 "of session tickets are changed every half of it and forgotten after one and a half."},
	{"ticket_key_file", OPT_PATH, INNER_AT(tls, ticket_key_file),
	 .unset = "none: the keeper makes them", .sample = "\"/etc/sluice/tickets.key\"",
	 .help = "Keys of session tickets that several edges share: one to three of 80 bytes, a line of base64 "
		 "each (openssl rand -base64 80 | tr -d '\\n'). The first seals, the others open. To change "
		 "them, bring the new one as the second to all edges, then make it the first; the file is "
		 "watched like certificates."},
	{"deny_fingerprints", OPT_STRINGS, INNER_LIST_AT(tls, deny_fingerprints), .max = 128,
	 .check = check_ja4, .def = "[]", .sample = "[\"t13d1516h2_8daaf6152771_e5627efa2ab1\"]",
	 .help = "Programs that are not let in, by the JA4 fingerprint of their ClientHello, which `sluicectl "
		 "fingerprint show` counts. `sluicectl deny fingerprint` adds others while the daemon runs."},
	{"debug_keylog_file", OPT_PATH, INNER_AT(tls, debug_keylog_file), .unset = "none",
	 .sample = "\"/var/lib/sluice/keylog\"",
	 .help = "For debugging alone: the secrets of every TLS session are appended to this file, as "
		 "SSLKEYLOGFILE does it for browsers, so that Wireshark can read along. Whoever has the file reads "
		 "all traffic. It is said in the log at each start."},
	{"watch", OPT_BOOL, INNER_AT(tls, watch), .def = "true",
	 .help = "Certificates, keys and OCSP responses are read anew when their files change. What is not in "
		 "order is said in the log, and those in use stay. SIGHUP and `sluicectl cert reload` do the "
		 "same at once."},
	{"ktls", OPT_ENUM, INNER_AT(tls, ktls), .choices = ktls_modes, .def = "\"off\"",
	 .sample = "\"auto\"",
	 .help = "Who seals what is sent on connections of TLS 1.3. \"auto\" is for network cards that do it for "
		 "the kernel; `sluicectl -j conn show` has the flag \"ktls\" where it does.",
	 .price =
		 "some kB of the kernel's memory for each connection; and before Linux 6.14 one whose key "
		 "must be exchanged is ended"},
	{"handshakes", OPT_INT, INNER_AT(tls, handshakes), .min = 16, .max = 1000000, .def = "2048",
	 .help = "Connections of one worker that may be in their TLS handshake at a time. When there are as "
		 "many, the one that came first and had a second makes room; newcomers wait for it in the "
		 "kernel's queue (backlog).",
	 .price = "some 20 kB for each while it lasts"},
	{"key_records", OPT_INT, INNER_AT(tls, key_records), .min = 2, .max = 23726566,
	 .def = "8388608",
	 .help = "TLS 1.3: records that are sealed under one key before it is exchanged by a "
		 "KeyUpdate. RFC 8446 5.5 allows 2^24.5 of AES-GCM."},
};

static const struct option_group tls_group = {
	.name = "tls",
	OPTIONS(tls_options),
	.finish = finish_tls,
	.help = "TLS, for all listeners with tls = true.",
};

/* ---- http ---- */

static const struct option http_options[] = {
	{"request_line", OPT_BYTES, INNER_AT(http, request_line_bytes), .min = 256, .max = 64 * KiB,
	 .def = "\"8 KiB\"", .help = "Longest request line; a longer one is answered 414."},
	{"head", OPT_BYTES, INNER_AT(http, head_bytes), .min = 1 * KiB, .max = 63 * KiB,
	 .def = "\"16 KiB\"", .help = "Request line and headers together; more is answered 431.",
	 .price = "memory per connection that is in the middle of its head"},
	{"header_count", OPT_INT, INNER_AT(http, header_count), .min = 8, .max = 96, .def = "96",
	 .help = "Headers in a request; more are answered 431."},
	{"header", OPT_BYTES, INNER_AT(http, header_bytes), .min = 256, .max = 64 * KiB,
	 .def = "\"8 KiB\"", .help = "Longest header line; a longer one is answered 431."},
	{"body", OPT_BYTES, INNER_AT(http, body_bytes), .min = 0, .max = 64 * MiB,
	 .def = "\"64 KiB\"", .help = "Longest request body; a longer one is answered 413."},
	{"handshake_timeout", OPT_MS, INNER_AT(http, handshake_timeout_ms), .min = 100,
	 .max = 5 * MIN_MS, .def = "\"10 s\"",
	 .help = "From the accept to the end of the first request head, the TLS handshake "
		 "included. Dripping bytes do not extend it."},
	{"keepalive_timeout", OPT_MS, INNER_AT(http, keepalive_timeout_ms), .min = 100,
	 .max = 1 * H, .def = "\"60 s\"",
	 .help = "An HTTP connection may idle so long between requests."},
	{"keepalive_requests", OPT_INT, INNER_AT(http, keepalive_requests), .min = 1,
	 .max = 1000000, .def = "1000",
	 .help = "Requests on one HTTP connection; then it is closed."},
};

static const struct option_group http_group = {
	.name = "http",
	OPTIONS(http_options),
	.finish = finish_http,
	.help = "Limits of HTTP requests, the one that becomes a WebSocket among them.",
};

/* ---- certificates ---- */

static const struct option certificate_options[] = {
	{"name", OPT_STRING, AT(config_certificate, name), .required = true, .check = check_name,
	 .sample = "\"main\"", .in_sample = true, .help = "What listeners call it."},
	{"cert_file", OPT_PATH, AT(config_certificate, cert_file), .unset = "none",
	 .sample = "\"/etc/sluice/cert.pem\"",
	 .help = "The certificate and its chain, PEM, the leaf first."},
	{"key_file", OPT_PATH, AT(config_certificate, key_file), .unset = "none",
	 .sample = "\"/etc/sluice/key.pem\"",
	 .help = "The private key, PEM. Only the privileged keeper reads it."},
	{"ocsp_file", OPT_PATH, AT(config_certificate, ocsp_file), .unset = "none",
	 .sample = "\"/etc/sluice/ocsp.der\"",
	 .help = "An OCSP response for the certificate, DER, which is stapled to handshakes. Whoever "
		 "fetches it replaces the file: it is read again then."},
	{"server_names", OPT_STRINGS, LIST_AT(config_certificate, server_names), .max = 1000,
	 .check = check_server_name, .def = "[]", .unset = "the names in the certificate",
	 .sample = "[\"example.com\", \"*.example.com\"]",
	 .help = "The names (SNI) that this certificate answers to."},
	{"dev", OPT_BOOL, AT(config_certificate, dev), .def = "false", .sample = "true",
	 .in_sample = true,
	 .help = "Instead of files: a self-signed certificate for this host, made on the first "
		 "run and kept in state_dir. For trying things out."},
};

static const struct option_group certificate_group = {
	.name = "certificate",
	.key = "name",
	.size = sizeof(struct config_certificate),
	OPTIONS(certificate_options),
	.finish = finish_certificate,
	.help = "Certificates, by name. A listener with tls = true presents the one whose name the "
		"client asks for, and its first if none fits.",
};

/* ---- endpoints ---- */

const struct option_choice option_protocols[] = {
	{"native", CONFIG_PROTOCOL_NATIVE, "JSON words, those of protocol.md"},
	{"echo", CONFIG_PROTOCOL_ECHO, "every message comes back as it was"},
	{"relay", CONFIG_PROTOCOL_RELAY, "every message goes to all others on the endpoint"},
	{NULL, 0, NULL}};

static const struct option_choice words[] = {
	{"channels", CONFIG_WORDS_CHANNELS, "subscribe, unsubscribe, publish"},
	{"rooms", CONFIG_WORDS_ROOMS, "join_room, leave_room, broadcast_room"},
	{"chat", CONFIG_WORDS_CHAT, "a lobby, and the relays"},
	{NULL, 0, NULL}};

static const struct option endpoint_options[] = {
	{"path", OPT_STRING, AT(config_endpoint, path), .required = true, .check = check_path,
	 .sample = "\"/ws\"", .in_sample = true,
	 .help = "Where clients connect: wss://HOST/ws. Compared byte for byte, without the query."},
	{"protocol", OPT_ENUM, AT(config_endpoint, protocol), .choices = option_protocols,
	 .def = "\"native\"", .help = "What messages mean here."},
	{"words", OPT_FLAGS, AT(config_endpoint, words), .choices = words,
	 .def = "[\"channels\", \"rooms\", \"chat\"]",
	 .help = "The sets of words that a native endpoint speaks, beside ping and its like."},
	{"space", OPT_STRING, AT(config_endpoint, space), .check = check_space, .unset = "the path",
	 .sample = "\"main\"",
	 .help = "Endpoints that name the same space share their channels; others do not hear "
		 "of each other."},
	{"lobby", OPT_STRING, AT(config_endpoint, lobby), .check = check_channel,
	 .unset = "\"lobby\" with the chat words", .sample = "\"lobby\"",
	 .help = "The channel that everyone on this endpoint is subscribed to."},
	{"origins", OPT_STRINGS, LIST_AT(config_endpoint, origins), .max = 1000,
	 .check = check_origin, .def = "[\"*\"]",
	 .sample = "[\"same-host\", \"https://*.example.com\"]",
	 .help = "The web sites whose pages may connect, by the Origin that browsers send: \"*\" for "
		 "any, \"same-host\", \"null\" (sandboxed frames, file: pages), or scheme, host and port; "
		 "the host may begin with \"*.\". Clients that send no Origin are no browsers and may "
		 "always connect."},
	{"subprotocols", OPT_STRINGS, LIST_AT(config_endpoint, subprotocols), .max = 32,
	 .check = check_token, .def = "[]", .sample = "[\"v1.chat\"]",
	 .help = "Values of Sec-WebSocket-Protocol that are agreed to; the first of these that the "
		 "client offers."},
	{"max_message", OPT_BYTES, AT(config_endpoint, max_message_bytes), .min = 128,
	 .max = CONFIG_MAX_MESSAGE, .def = "\"100 KiB\"",
	 .help = "Largest message from a client; a larger one is closed with 1009.",
	 .price =
		 "memory.partial must not be smaller, and each receiver may queue one such message"},
	{"max_fragments", OPT_INT, AT(config_endpoint, max_fragments), .min = 1, .max = 1000000,
	 .def = "1024", .help = "Frames of one message; more are closed with 1009."},
	{"compression", OPT_BOOL, AT(config_endpoint, compression), .def = "false",
	 .sample = "true",
	 .help = "permessage-deflate is agreed to with clients that offer it, without context takeover in "
		 "either direction. max_message bounds their messages as they come and inflated.",
	 .price =
		 "publications of text are compressed once for all subscribers, some tens of microseconds for 4 KiB; "
		 "messages of clients are inflated each"},
	{"heartbeat", OPT_MS, AT(config_endpoint, heartbeat_ms), .min = 1 * S, .max = 24 * H,
	 .zero = "never", .def = "\"25 s\"",
	 .help = "After so much silence the server sends a ping, jittered. Keep it below the idle "
		 "timeout of whatever stands between (60 s is usual).",
	 .price = "a ping and a pong per connection and heartbeat; shorter finds the dead sooner"},
	{"heartbeat_timeout", OPT_MS, AT(config_endpoint, heartbeat_timeout_ms), .min = 1 * S,
	 .max = 24 * H, .def = "\"10 s\"",
	 .help = "Without any byte for so long after a ping the connection is dead and ended."},
	{"partial_timeout", OPT_MS, AT(config_endpoint, partial_timeout_ms), .min = 100,
	 .max = 1 * H, .def = "\"30 s\"",
	 .help = "A frame or message that has begun must be complete after so long, or it is closed "
		 "with 1008. Dripping bytes do not extend it."},
	{"rate", OPT_INT, AT(config_endpoint, rate_per_s), .min = 1, .max = 1000000,
	 .zero = "no limit", .def = "20",
	 .help = "Messages per second that one client may send for long. One too many is answered "
		 "with the error rate_limited and not carried out."},
	{"rate_burst", OPT_INT, AT(config_endpoint, rate_burst), .min = 1, .max = 1000000,
	 .zero = "with rate = 0", .def = "100",
	 .help = "Messages that it may send at once after a pause."},
	{"max_subscriptions", OPT_INT, AT(config_endpoint, max_subscriptions), .min = 1,
	 .max = 65535, .def = "128", .help = "Channels that one connection may be subscribed to.",
	 .price =
		 "some bytes each, in the channels' bitmaps, and from the fifth on 4 to 8 in a list "
		 "of its own"},
	{"bad_format_per_min", OPT_INT, AT(config_endpoint, bad_format_per_min), .min = 1,
	 .max = 65535, .zero = "never", .def = "30",
	 .help = "So many malformed messages within a minute end the connection with 1008."},
};

static const struct option_group endpoint_group = {
	.name = "endpoint",
	.key = "path",
	.size = sizeof(struct config_endpoint),
	OPTIONS(endpoint_options),
	.finish = finish_endpoint,
	.help = "Where WebSockets end, by path, each with its protocol and its limits.",
};

/* ---- listeners ---- */

static const struct option serve_options[] = {
	{"prefix", OPT_PREFIX, AT(config_serve, prefix), .required = true,
	 .sample = "\"203.0.113.0/24\"", .help = "Addresses of ours."},
	{"ports", OPT_PORT, AT(config_serve, ports), .required = true, .sample = "\"8000-8999\"",
	 .help = "A TCP port, or a range of them."},
};

static const struct option_group serve_group = {
	.name = "serves",
	.key = "prefix",
	.size = sizeof(struct config_serve),
	OPTIONS(serve_options),
	.help = "Each is { prefix = \"203.0.113.0/24\"; ports = \"8000-8999\"; }.",
};

static const struct option_choice client_certs[] = {
	{"off", CONFIG_CLIENT_CERTS_OFF, "nobody is asked"},
	{"optional", CONFIG_CLIENT_CERTS_OPTIONAL, "who shows none is anonymous"},
	{"required", CONFIG_CLIENT_CERTS_REQUIRED, "who shows none is refused in the handshake"},
	{NULL, 0, NULL}};

static const struct option_choice client_identities[] = {
	{"cn", CONFIG_CLIENT_CN, "the common name of its subject; there must be one only"},
	{"subject", CONFIG_CLIENT_SUBJECT,
	 "all of its subject, as RFC 2253 writes it: CN=pump 7,O=Example"},
	{"dns", CONFIG_CLIENT_DNS, "the first host name of its subjectAltName"},
	{"email", CONFIG_CLIENT_EMAIL, "the first mail address there"},
	{"uri", CONFIG_CLIENT_URI, "the first URI there, as SPIFFE has it"},
	{NULL, 0, NULL}};

static const struct option listener_options[] = {
	{"name", OPT_STRING, AT(config_listener, name), .check = check_name,
	 .unset = "ADDRESS:PORT", .sample = "\"public\"",
	 .help = "What logs and sluicectl call it."},
	{"address", OPT_STRING, AT(config_listener, address), .required = true,
	 .check = check_address, .sample = "\"0.0.0.0\"", .in_sample = true,
	 .help = "Numeric. \"0.0.0.0\" is all of IPv4; \"::\" is all of IPv6 and only of IPv6: for "
		 "both write two listeners."},
	{"port", OPT_INT, AT(config_listener, port), .required = true, .min = 1, .max = 65535,
	 .sample = "8443", .in_sample = true, .help = "TCP port."},
	{"tls", OPT_BOOL, AT(config_listener, tls), .def = "false", .sample = "true",
	 .in_sample = true,
	 .help = "wss:// and https://. Without it everything is readable on the way: for loopback, "
		 "or behind another terminator."},
	{"certificates", OPT_REFS, LIST_AT(config_listener, certificates),
	 .group = &certificate_group, .unset = "all", .sample = "[\"main\"]",
	 .help = "Names of certificates; the first is for clients that ask for no name or none of ours."},
	{"client_certificates", OPT_ENUM, AT(config_listener, client_certificates),
	 .choices = client_certs, .def = "\"off\"", .sample = "\"required\"",
	 .help = "Whether clients are asked for a certificate. One that is shown must be good in any case: "
		 "issued below client_ca_file, for client authentication, not expired, with the name that "
		 "client_identity asks for. Whoever shows one is that user from the start."},
	{"client_ca_file", OPT_PATH, AT(config_listener, client_ca_file), .unset = "none",
	 .sample = "\"/etc/sluice/clients-ca.pem\"",
	 .help = "PEM: the authorities that such certificates must come from; the file is watched like "
		 "certificates. Clients are told their names. Connections that stand are not looked at again."},
	{"client_crl_file", OPT_PATH, AT(config_listener, client_crl_file), .unset = "none",
	 .sample = "\"/etc/sluice/clients-crl.pem\"",
	 .help = "PEM: lists of certificates that were revoked, one of each authority that issues to "
		 "clients, those that the clients bring along among them; watched likewise. Without a list that is "
		 "in date nobody of that authority gets in.",
	 .price = "the signature of a list is checked in each handshake, over all of its bytes"},
	{"client_identity", OPT_ENUM, AT(config_listener, client_identity),
	 .choices = client_identities, .def = "\"cn\"", .sample = "\"uri\"",
	 .help = "What of it is the user id: 1 to 95 bytes of UTF-8 without control characters and, but "
		 "for \"subject\" and \"uri\", without a colon."},
	{"endpoints", OPT_REFS, LIST_AT(config_listener, endpoints), .group = &endpoint_group,
	 .unset = "all", .sample = "[\"/ws\"]",
	 .help = "Paths of the endpoints that are reached here."},
	{"trusted_proxies", OPT_PREFIXES, LIST_AT(config_listener, trusted_proxies), .max = 1000,
	 .def = "[]", .sample = "[\"127.0.0.1\", \"10.0.0.0/8\"]",
	 .help = "Proxies that are believed when they name the client's address in X-Forwarded-For "
		 "or X-Real-IP.",
	 .price = "whoever is trusted here can claim any address"},
	{"backlog", OPT_INT, AT(config_listener, backlog), .min = 1, .max = 1048576, .def = "4096",
	 .help = "Connections that may wait for the accept, per worker; the kernel's "
		 "net.core.somaxconn bounds it too."},
	{"defer_accept", OPT_BOOL, AT(config_listener, defer_accept), .def = "false",
	 .help = "TCP_DEFER_ACCEPT: a connection is handed over when its first bytes are there.",
	 .price = "saves a wakeup per connection; probes that only connect are not seen"},
	{"serves", OPT_GROUPS, LIST_AT(config_listener, serves), .max = CONFIG_MAX_SERVES,
	 .group = &serve_group, .def = "()",
	 .sample = "( { prefix = \"203.0.113.0/24\"; ports = \"8000-8999\"; } )",
	 .help = "Whole prefixes and ranges of ports that are served here as well, without a socket for "
		 "each, in this network namespace. The host must take them as its own (ip route add local "
		 "203.0.113.0/24 dev lo). It needs BPF, comes before any other program that listens on these "
		 "ports, and if sluiced is killed they are refused until the next one runs.",
	 .price = "some ns for each packet without a connection that this host gets"},
};

static const struct option_group listener_group = {
	.name = "listener",
	.key = "name",
	.size = sizeof(struct config_listener),
	OPTIONS(listener_options),
	.finish = finish_listener,
	.help = "Addresses and ports to listen on. Every worker listens on all of them.",
};

/* ---- relays ---- */

static const struct option field_options[] = {
	{"name", OPT_STRING, AT(config_relay_field, name), .required = true, .check = check_field,
	 .sample = "\"text\"", .help = "The field's name."},
	{"max", OPT_BYTES, AT(config_relay_field, max_bytes), .min = 1, .max = CONFIG_MAX_MESSAGE,
	 .def = "10000", .help = "Its longest value, as JSON text with quotes and escapes."},
	{"required", OPT_BOOL, AT(config_relay_field, required), .def = "true",
	 .help = "Without it the message is refused."},
};

static const struct option_group field_group = {
	.name = "field",
	.key = "name",
	.bare_key = true,
	.size = sizeof(struct config_relay_field),
	OPTIONS(field_options),
	.help = "A field is { name = \"text\"; max = 10000; required = true; } or just \"text\"; "
		"fields = \"x y\" names two.",
};

static const struct option relay_options[] = {
	{"name", OPT_STRING, AT(config_relay, name), .required = true, .check = check_field,
	 .sample = "\"cursor\"",
	 .help = "The type of the client's message, and of what others hear."},
	{"channel", OPT_STRING, AT(config_relay, channel), .check = check_relay_channel,
	 .shown = shown_relay_channel, .unset = "the endpoint's lobby", .sample = "\"{board}\"",
	 .help = "Where it goes: a channel's name, or in braces the client's field that names it."},
	{"fields", OPT_GROUPS, LIST_AT(config_relay, fields), .group = &field_group,
	 .max = CONFIG_MAX_RELAY_FIELDS, .def = "()",
	 .sample = "( \"x\", \"y\", { name = \"color\"; max = 32; required = false; } )",
	 .help = "Fields that are passed on; all others are dropped."},
	{"echo", OPT_BOOL, AT(config_relay, echo), .def = "false",
	 .help = "The sender hears it too."},
	{"ephemeral", OPT_BOOL, AT(config_relay, ephemeral), .def = "false", .sample = "true",
	 .help = "It is not kept in a channel's history."},
	{"auto_stop", OPT_STRING, AT(config_relay, auto_stop), .check = check_field,
	 .unset = "none", .sample = "\"cursor_gone\"",
	 .help = "A type without fields that others hear from the sender when auto_stop_after has passed since "
		 "the last such message, and at once when he leaves the channel or his connection ends; not if "
		 "he has said it himself, by a relay of that name. { name = \"typing\"; ephemeral = true; "
		 "auto_stop = \"stopped_typing\"; } is what a chat needs.",
	 .price =
		 "some 70 bytes while somebody types, of at most 65,536 in each worker: beyond, the one who is "
		 "due next has stopped"},
	{"auto_stop_after", OPT_MS, AT(config_relay, auto_stop_ms), .min = 100, .max = 1 * MIN_MS,
	 .def = "\"3 s\"", .help = "How long a silence has to be, to some 150 ms."},
};

static const struct option_group relay_group = {
	.name = "relay",
	.key = "name",
	.size = sizeof(struct config_relay),
	OPTIONS(relay_options),
	.finish = finish_relay,
	.help = "Message types of clients that become publications, on endpoints with the chat "
		"words. Two are built in, and one here of the same name replaces them: "
		"\"chat\" (field text, echo = true) and \"typing\" (no field, ephemeral = true).",
};

/* ---- namespaces ---- */

static const struct option_choice slow_consumers[] = {
	{"disconnect", CONFIG_SLOW_DISCONNECT, "it is closed with 4008"},
	{"drop_oldest", CONFIG_SLOW_DROP_OLDEST, "it misses the oldest of what waits for it"},
	{"conflate", CONFIG_SLOW_CONFLATE, "it gets the newest message of each channel"},
	{NULL, 0, NULL}};

static const struct option namespace_options[] = {
	{"name", OPT_STRING, AT(config_namespace, name), .required = true, .check = check_namespace,
	 .sample = "\"chat\"",
	 .help = "The part of a channel's name before its first colon, or all of one that has none: "
		 "\"chat\" is for chat:7 and for chat. \"\" is for all channels that no other is for."},
	{"history", OPT_INT, AT(config_namespace, history), .min = 1, .max = CONFIG_MAX_HISTORY,
	 .zero = "none", .def = "0", .sample = "100",
	 .help = "Messages that are kept of each channel, so that who was away for a moment gets what it has "
		 "missed (recover), and who is new the last ones (history). Channels that keep none have "
		 "no epoch and no offsets either.",
	 .price = "memory.history bounds it; some 100 bytes for each message beside its own"},
	{"history_bytes", OPT_BYTES, AT(config_namespace, history_bytes), .min = 1 * KiB,
	 .max = 1 * GiB, .def = "\"256 KiB\"", .help = "Bytes that are kept of each channel."},
	{"history_age", OPT_MS, AT(config_namespace, history_age_ms), .min = 100,
	 .max = 30 * 24 * H, .def = "\"5 min\"",
	 .help = "No message is kept for longer; nor is a channel that nobody has and nobody publishes to."},
	{"slow_consumer", OPT_ENUM, AT(config_namespace, slow_consumer), .choices = slow_consumers,
	 .def = "\"disconnect\"",
	 .help = "What happens to who reads more slowly than is published."},
};

static const struct option_group namespace_group = {
	.name = "namespace",
	.key = "name",
	.size = sizeof(struct config_namespace),
	OPTIONS(namespace_options),
	.finish = finish_namespace,
	.help = "How channels are kept, by the first part of their names, in all spaces alike.",
};

/* ---- pages ---- */

static const struct option page_options[] = {
	{"path", OPT_STRING, AT(config_page, path), .required = true, .check = check_path,
	 .sample = "\"/\"", .help = "The path of the URL."},
	{"file", OPT_PATH, AT(config_page, file), .required = true,
	 .sample = "\"/usr/share/sluice/index.html\"",
	 .help = "Read when the configuration is, at most 1 MiB.", .price = "held in memory"},
	{"type", OPT_STRING, AT(config_page, type), .check = check_type,
	 .unset = "by the file's name", .sample = "\"text/html; charset=utf-8\"",
	 .help = "The Content-Type."},
};

static const struct option_group page_group = {
	.name = "page",
	.key = "path",
	.size = sizeof(struct config_page),
	OPTIONS(page_options),
	.finish = finish_page,
	.help = "A few files to serve, on every listener: a demo, a favicon. Sluice is no web server.",
};

/* ---- shield ---- */

static const struct option_choice shield_modes[] = {
	{"auto", CONFIG_SHIELD_AUTO, "native where the driver can, else generic"},
	{"native", CONFIG_SHIELD_NATIVE, "in the driver, before the kernel allocates anything"},
	{"generic", CONFIG_SHIELD_GENERIC,
	 "in the kernel's receive path: works everywhere, slower"},
	{"off", CONFIG_SHIELD_OFF, "no XDP program"},
	{NULL, 0, NULL}};

#define PER_S(field, number)                                                                       \
	OPT_INT, AT(config_rate, field), .min = 1, .max = 1000000000, .zero = "no limit",          \
					 .def = (number)

static const struct option rate_options[] = {
	{"name", OPT_STRING, AT(config_rate, name), .required = true, .check = check_name,
	 .sample = "\"default\"", .help = "What protect calls it; at most 15 characters."},
	{"packets", PER_S(packets, "200000"),
	 .help = "Packets from one source, which is an IPv4 address or an IPv6 /64."},
	{"syns", PER_S(syns, "2000"), .help = "SYNs from one source."},
	{"connections", PER_S(connections, "1000"),
	 .help = "Handshakes that one source has ended; beyond it its SYNs fall."},
	{"net_packets", PER_S(net_packets, "1000000"), .help = "Packets from one /24 or /48."},
	{"net_syns", PER_S(net_syns, "10000"), .help = "SYNs from one /24 or /48."},
	{"net_connections", PER_S(net_connections, "5000"),
	 .help = "Handshakes that one /24 or /48 has ended."},
	{"burst", OPT_MS, AT(config_rate, burst_ms), .min = 10, .max = 60 * S, .def = "\"5 s\"",
	 .help = "So much time's worth of each may come at once.",
	 .price = "the longer, the later a flood is noticed"},
};

static const struct option_group rate_group = {
	.name = "rate class",
	.key = "name",
	.size = sizeof(struct config_rate),
	OPTIONS(rate_options),
	.finish = finish_rate,
	.help = "Limits of the rule \"rate\", per second. Each core counts for itself: what the network "
		"card spreads over four cores may be four times as much. Whole offices stand "
		"behind one address: set limits against machines, not against people. "
		"Sources share 16384 counters, so a flood with forged ones touches others "
		"when it exceeds a source's limit 16384 times; whoever has a connection is not touched "
		"even then. The class \"default\" is for all ports that name no other.",
};

static const struct option protect_options[] = {
	{"prefix", OPT_PREFIX, AT(config_protect, prefix), .required = true,
	 .sample = "\"203.0.113.0/24\"", .help = "Our addresses."},
	{"port", OPT_PORT, AT(config_protect, port), .required = true, .sample = "443",
	 .help = "Our TCP port, or a range of them."},
	{"rate", OPT_STRING, AT(config_protect, rate), .check = check_name, .def = "\"default\"",
	 .sample = "\"default\"", .help = "The rate class of this port, at all of its addresses."},
};

static const struct option_group protect_group = {
	.name = "protect",
	.key = "prefix",
	.size = sizeof(struct config_protect),
	OPTIONS(protect_options),
	.finish = finish_protect,
	.help = "Each is { prefix = \"203.0.113.0/24\"; port = 443; }, or a range: port = "
		"\"8000-8099\".",
};

static const struct option manage_options[] = {
	{"prefixes", OPT_PREFIXES, LIST_AT(config_manage, prefixes), .max = 16, .def = "[]",
	 .reloadable = true, .sample = "[\"192.0.2.0/28\", \"2001:db8:0:1::/64\"]",
	 .help = "Sources that pass to the ports below before any rule, and in IP fragments, which show no "
		 "port, to all; none: nobody does."},
	{"ports", OPT_PORTS, LIST_AT(config_manage, ports), .max = 64, .def = "[22]",
	 .reloadable = true, .help = "TCP and UDP ports that they pass to.",
	 .price = "who forges such a source reaches these ports unjudged: name ports that nothing "
		  "but management uses"},
};

static const struct option_group manage_group = {
	.name = "manage",
	OPTIONS(manage_options),
	.help = "The door for whoever has to mend a policy. No policy shuts it, none on trial "
		"either: of a file that is tried it is left out, and SIGHUP applies that of the file in use.",
};

static const struct option_choice rule_modes[] = {{"enforce", CONFIG_RULE_ENFORCE, NULL},
						  {"observe", CONFIG_RULE_OBSERVE, NULL},
						  {"off", CONFIG_RULE_OFF, NULL},
						  {NULL, 0, NULL}};

#define RULE(field)                                                                                \
	OPT_ENUM, AT(config_rules, field), .choices = rule_modes, .def = "\"enforce\"",            \
					   .reloadable = true

static const struct option rules_options[] = {
	{"malformed", RULE(malformed),
	 .help = "What no honest stack sends: lying lengths, impossible TCP flags, TCP in fragments, "
		 "sources that cannot be answered, a third VLAN tag."},
	{"allow", RULE(allow),
	 .help = "The allow list: its sources skip the rules deny and rate, and no other."},
	{"deny", RULE(deny), .help = "The deny list."},
	{"rate", RULE(rate), .help = "Token buckets per source and per net."},
	{"flow", RULE(flow),
	 .help = "What is neither a SYN nor of a known connection nor carries a valid cookie."},
	{"syn", RULE(syn), .help = "SYN cookies and their bounds."},
};

static const struct option_group rules_group = {
	.name = "rules",
	OPTIONS(rules_options),
	.help = "How each rule is applied; flow is judged before rate. \"enforce\" drops; \"observe\" "
		"counts what it would drop and passes it on to the next rule, see sluicectl drop show; "
		"\"off\" does not even look.",
};

static const struct option_choice cookies_modes[] = {
	{"auto", CONFIG_COOKIES_AUTO,
	 "while a core sees more SYNs than \"attack\"; not on a veth, where an answer may be lost"},
	{"always", CONFIG_COOKIES_ALWAYS, "every SYN to a listener"},
	{"off", CONFIG_COOKIES_OFF, "the kernel answers them all"},
	{NULL, 0, NULL}};

static const struct option cookies_options[] = {
	{"mode", OPT_ENUM, AT(config_cookies, mode), .choices = cookies_modes, .def = "\"auto\"",
	 .reloadable = true,
	 .help = "When SYNs are answered by cookie, before the kernel sees them. Such connections are "
		 "as ordinary ones from Linux 6.9 on; before, they carry neither window scale, SACK nor "
		 "timestamps, and are given out only while a listener's queue is full."},
	{"attack", OPT_INT, AT(config_cookies, attack), .min = 8, .max = 1000000000, .def = "1000",
	 .reloadable = true, .help = "SYNs per second on one core that are an attack."},
	{"calm", OPT_INT, AT(config_cookies, calm), .min = 8, .max = 1000000000, .def = "500",
	 .reloadable = true, .help = "It is over after ten seconds with fewer than this."},
	{"answers", OPT_INT, AT(config_cookies, answers), .min = 1, .max = 1000000000,
	 .zero = "no bound", .def = "2000", .reloadable = true,
	 .help = "SYNs per second and core that are answered, or left to the kernel to answer, from one "
		 "/24 or /48. Sources can be forged: this bounds what can be made to rain on somebody. Sources "
		 "there that have proved to be real get as many again, all cores together, an eighth at most each."},
	{"refusals", OPT_INT, AT(config_cookies, refusals), .min = 1, .max = 1000000000,
	 .zero = "none", .def = "100", .reloadable = true,
	 .help = "Packets per second and core that belong to no connection and pass the rule \"flow\" "
		 "nevertheless, so that the kernel refuses them: honest peers of a connection that died "
		 "here hear of it at once."},
};

static const struct option_group cookies_group = {
	.name = "cookies",
	OPTIONS(cookies_options),
	.finish = finish_cookies,
	.help = "SYN cookies, part of the rule \"syn\", and the bounds of \"syn\" and \"flow\".",
};

static const struct option_choice shield_steers[] = {
	{"auto", CONFIG_STEER_AUTO,
	 "rss on an interface with a receive queue for every core that has workers, cpumap on one "
	 "with fewer, off where neither helps (loopback, veth, generic XDP)"},
	{"cpumap", CONFIG_STEER_CPUMAP, "the XDP program moves each flow to a core"},
	{"rss", CONFIG_STEER_RSS, "the NIC has spread the flows; each core keeps what comes to it"},
	{"off", CONFIG_STEER_OFF, "workers are picked by flow hash, wherever packets come in"},
	{NULL, 0, NULL}};
static const struct option offences_options[] = {
	{"points", OPT_INT, AT(config_offences, points), .min = 1, .max = 65535, .zero = "never",
	 .def = "0", .sample = "40",
	 .help = "So many within the window, and the source is denied. A connection that ends by a failed "
		 "TLS handshake, a refused request, a broken protocol or too many bad messages is 2, one "
		 "that talks faster than its endpoint allows 3, one with a message too large 1.",
	 .price = "a network that shares one address is denied as a whole: leave room for it"},
	{"window", OPT_MS, AT(config_offences, window_ms), .min = 1 * S, .max = 24 * H,
	 .def = "\"1 min\"", .help = "Within this time points fade."},
	{"first", OPT_MS, AT(config_offences, first_ms), .min = 1 * S, .max = 24 * H,
	 .def = "\"1 min\"", .help = "The first denial; each one after is twice as long."},
	{"longest", OPT_MS, AT(config_offences, longest_ms), .min = 1 * S, .max = 30 * 24 * H,
	 .def = "\"1 h\"",
	 .help = "No denial is longer, and after as long without offence all is forgotten."},
};

static const struct option_group offences_group = {
	.name = "offences",
	OPTIONS(offences_options),
	.finish = finish_offences,
	.help = "Sources that have shaken hands (so they are not forged) and then misbehave are put on the "
		"deny list for a time, IPv6 by /64. Never: manage.prefixes, trusted proxies, and what a "
		"person has put on a list. What the shield drops does not count, whatever the reason: a packet's "
		"source can be forged, and whoever forged it would have somebody else denied. Off unless "
		"asked for, because what ends a connection is not always its client's doing: with an "
		"expired certificate or an overload here honest handshakes fail as well, and behind a "
		"carrier's NAT or a proxy that nobody named, one address is thousands of clients.",
};

static const struct option_choice list_actions[] = {
	{"deny", CONFIG_LIST_DENY, "drop packets from there (rule deny)"},
	{"allow", CONFIG_LIST_ALLOW, "skip the rules deny and rate for them (rule allow)"},
	{NULL, 0, NULL}};

static const struct option list_options[] = {
	{"name", OPT_STRING, AT(config_list, name), .required = true, .check = check_set_name,
	 .sample = "\"drop\"", .help = "Of the set, as sluicectl deny show sets has it."},
	{"file", OPT_PATH, AT(config_list, file), .required = true,
	 .sample = "\"/etc/sluice/drop.txt\"",
	 .help = "Prefixes, one a line, or JSON: see sluicectl-deny(8). With countries or asns, a "
		 "MaxMind database (.mmdb). Read at start and at SIGHUP."},
	{"action", OPT_ENUM, AT(config_list, action), .choices = list_actions, .def = "\"deny\"",
	 .help = "What the list is for."},
	{"countries", OPT_STRINGS, LIST_AT(config_list, countries), .max = 260,
	 .check = check_country, .def = "[]", .sample = "[\"AQ\"]",
	 .help = "Of the database: prefixes of these countries, by ISO 3166 code."},
	{"asns", OPT_STRINGS, LIST_AT(config_list, asns), .max = 10000, .check = check_asn,
	 .def = "[]", .sample = "[\"AS64500\"]",
	 .help = "Of the database: prefixes of these autonomous systems."},
};

static const struct option_group list_group = {
	.name = "list",
	.key = "name",
	.size = sizeof(struct config_list),
	OPTIONS(list_options),
	.finish = finish_list,
	.help = "Sets of the deny and allow lists, each from a file: { name = \"drop\"; file = "
		"\"/etc/sluice/drop.txt\"; }. A file with a mistake in it, without a prefix or of the other "
		"list (JSON that says \"list\": \"allow\") is not loaded: the set stays as it was, and the "
		"log says why, with the line. sluiced -t says it before.",
};

static const struct option shield_options[] = {
	{"mode", OPT_ENUM, INNER_AT(shield, mode), .choices = shield_modes, .def = "\"auto\"",
	 .help = "How the XDP program is attached. What cannot be had is said in the log, and "
		 "everything else runs."},
	{"interfaces", OPT_STRINGS, INNER_LIST_AT(shield, interfaces), .max = 64,
	 .check = check_interface, .def = "[]", .sample = "[\"eth0\"]",
	 .help = "Network interfaces to attach it to; none, no shield."},
	{"coexist", OPT_BOOL, INNER_AT(shield, coexist), .def = "false",
	 .help = "Attach by libxdp's dispatcher, beside other XDP programs that do so too. That needs BPF "
		 "trampolines, and more on newer kernels; where it cannot be had the shield attaches alone, and "
		 "sluicectl status says so.",
	 .price =
		 "one call more per packet; and a stopped daemon leaves a program there that passes "
		 "everything, because taking it out needs CAP_SYS_ADMIN"},
	{"rate_classes", OPT_GROUPS, INNER_LIST_AT(shield, rate_classes),
	 .max = CONFIG_MAX_RATE_CLASSES, .reloadable = true, .group = &rate_group, .def = "()",
	 .sample = "( { name = \"strict\"; syns = 200; connections = 50; } )",
	 .help = "Rate classes beside or instead of the built-in \"default\"."},
	{"protect", OPT_GROUPS, INNER_LIST_AT(shield, protect), .max = CONFIG_MAX_PROTECT,
	 .reloadable = true, .group = &protect_group, .def = "()", .unset = "what is listened on",
	 .sample = "( { prefix = \"203.0.113.7\"; port = 443; } )",
	 .help = "Only packets to these addresses and ports are judged; all others pass."},
	{"deny", OPT_PREFIXES, INNER_LIST_AT(shield, deny), .max = CONFIG_MAX_DENY, .def = "[]",
	 .reloadable = true, .sample = "[\"198.51.100.0/24\", \"2001:db8:bad::/48\"]",
	 .help = "Sources whose packets to protected ports are dropped, for good. Denials with an "
		 "end come by sluicectl deny add."},
	{"lists", OPT_GROUPS, INNER_LIST_AT(shield, lists), .max = 60, .group = &list_group,
	 .def = "()", .sample = "( { name = \"drop\"; file = \"/etc/sluice/drop.txt\"; } )",
	 .help = "Whole files of sources to deny or allow, up to some millions of prefixes.",
	 .price = "about 110 bytes of kernel memory a prefix"},
	{"manage", OPT_GROUP, INNER_AT(shield, manage), .group = &manage_group},
	{"rules", OPT_GROUP, INNER_AT(shield, rules), .group = &rules_group},
	{"cookies", OPT_GROUP, INNER_AT(shield, cookies), .group = &cookies_group},
	{"steer", OPT_ENUM, INNER_AT(shield, steer), .choices = shield_steers, .def = "\"auto\"",
	 .help = "How the packets of a connection come to the core of the worker that reads them; "
		 "sluicectl status shows what each interface got, and why. Read at start only. "
		 "Turn RPS, aRFS and irqbalance off beside it; with \"cpumap\" also rxvlan offload, and on a "
		 "veth the transmit checksums of its peer (ethtool -K PEER tx off), which would arrive "
		 "unfinished.",
	 .price =
		 "cpumap: a wakeup of the other core, no GRO before Linux 6.15, and checksums computed "
		 "in software"},
	{"offences", OPT_GROUP, INNER_AT(shield, offences), .group = &offences_group},
};

static const struct option_group shield_group = {
	.name = "shield",
	OPTIONS(shield_options),
	.help = "The XDP program that drops bad packets before the kernel spends anything on them. "
		"protect, deny, rules and cookies are its policy, which can be tried and changed while it runs: "
		"sluicectl-policy(8).",
};

/* ---- admin ---- */

static const struct option admin_options[] = {
	{"control_socket", OPT_PATH, INNER_AT(admin, control_socket),
	 .unset = "control.sock in runtime_dir", .sample = "\"/run/sluice/control.sock\"",
	 .help = "Where sluicectl finds the daemon."},
	{"control_mode", OPT_MODE, INNER_AT(admin, control_mode), .def = "\"0660\"",
	 .help = "Its permission bits."},
	{"control_group", OPT_STRING, INNER_AT(admin, control_group), .check = check_account,
	 .def = "\"\"", .sample = "\"adm\"",
	 .help = "The group that owns it, so that its members need not be root.",
	 .price = "who may write to it may close connections and deny addresses"},
	{"health", OPT_BOOL, INNER_AT(admin, health), .def = "true",
	 .help = "Answer the two paths below on every listener, for load balancers."},
	{"health_path", OPT_STRING, INNER_AT(admin, health_path), .check = check_path,
	 .def = "\"/health\"", .help = "200 while the worker runs."},
	{"ready_path", OPT_STRING, INNER_AT(admin, ready_path), .check = check_path,
	 .def = "\"/ready\"", .help = "200 while new clients are welcome, else 503."},
};

static const struct option_group admin_group = {
	.name = "admin",
	OPTIONS(admin_options),
	.help = "What is for operators.",
};

/* ---- the top level ---- */

static const struct option_choice log_levels[] = {{"debug", LOG_DEBUG, NULL},
						  {"info", LOG_INFO, NULL},
						  {"warn", LOG_WARN, NULL},
						  {"error", LOG_ERROR, NULL},
						  {NULL, 0, NULL}};

static const struct option_choice uring_modes[] = {
	{"off", CONFIG_URING_OFF, "each is written by a system call of its own"},
	{"auto", CONFIG_URING_AUTO, "where the kernel allows it"},
	{NULL, 0, NULL}};

static const struct option root_options[] = {
	{"workers", OPT_INT, AT(config, workers), .min = 1, .max = CONFIG_MAX_WORKERS,
	 .zero = "one per core", .def = "0",
	 .help = "Processes that serve connections. More than there are cores make sense where the "
		 "limit of descriptors per process is low.",
	 .price = "a process, and a smaller share of memory.mailbox for each"},
	{"pin_cores", OPT_BOOL, AT(config, pin_cores), .def = "true",
	 .help = "Worker k stays on core k (counted round if there are more workers)."},
	{"max_connections", OPT_INT, AT(config, max_connections), .min = 16, .max = 16777216,
	 .zero = "the limit of descriptors, minus 512", .def = "0",
	 .help = "Connections per worker.", .price = "a few hundred bytes each, once used"},
	{"io_uring", OPT_ENUM, AT(config, io_uring), .choices = uring_modes, .def = "\"auto\"",
	 .help = "How the short messages of a fan-out are written: through io_uring a worker hands the kernel a "
		 "thousand of them at once. Needs Linux 6.1, and kernel.io_uring_disabled not 2 (1 is enough for who "
		 "starts as root); `sluicectl worker show` says which it is. The worker's ring can send and nothing else.",
	 .price = "100 kB of the kernel's memory for each worker, and 250 kB of its own once it fans out"},
	{"user", OPT_STRING, AT(config, user), .check = check_account, .def = "\"nobody\"",
	 .help = "The account of the workers. The keeper stays root, for the shield and the ports."},
	{"group", OPT_STRING, AT(config, group), .check = check_account, .def = "\"\"",
	 .help = "Their group; \"\" is the account's own."},
	{"runtime_dir", OPT_PATH, AT(config, runtime_dir), .def = "\"/run/sluice\"",
	 .help = "Holds what ends with the daemon: the control socket and the pid file."},
	{"state_dir", OPT_PATH, AT(config, state_dir), .def = "\"/var/lib/sluice\"",
	 .help = "Holds what outlives it: the development certificate."},
	{"pin_dir", OPT_PATH, AT(config, pin_dir), .def = "\"/sys/fs/bpf/sluice\"",
	 .help = "Where the shield's maps and link are pinned; a directory of a BPF file system. "
		 "Where there is none, one is mounted (at /sys/fs/bpf if it is below that, else right here) "
		 "and is left mounted. Two "
		 "daemons on a host need one each, and a runtime_dir each."},
	{"log_level", OPT_ENUM, AT(config, log_level), .choices = log_levels, .def = "\"info\"",
	 .help = "The least that is written to standard error."},
	{"log_json", OPT_BOOL, AT(config, log_json), .def = "false",
	 .help = "One JSON object per line instead of text."},
	{"shutdown_timeout", OPT_MS, AT(config, shutdown_timeout_ms), .min = 100,
	 .max = 10 * MIN_MS, .def = "\"5 s\"",
	 .help = "On SIGTERM every client gets a close (1001) and so much time to take it."},
	{"compression_threshold", OPT_BYTES, AT(config, compression_threshold), .min = 16,
	 .max = CONFIG_MAX_MESSAGE, .def = "\"1 KiB\"",
	 .help = "Publications are compressed from so many bytes of text on, for clients of endpoints with "
		 "compression = true. One for all endpoints, because those that share a channel share the "
		 "compressed frame."},
	{"dedupe_window", OPT_MS, AT(config, dedupe_window_ms), .min = 1 * S, .max = 24 * H,
	 .zero = "every message is delivered", .def = "\"5 min\"",
	 .help = "A publication with the messageId of an earlier one, of the same sender to the same channel "
		 "and not longer ago, is acknowledged as that was and not delivered again."},
	{"memory", OPT_GROUP, .offset = offsetof(struct config, memory), .group = &memory_group},
	{"presence", OPT_GROUP, .offset = offsetof(struct config, presence),
	 .group = &presence_group},
	{"tls", OPT_GROUP, .offset = offsetof(struct config, tls), .group = &tls_group},
	{"http", OPT_GROUP, .offset = offsetof(struct config, http), .group = &http_group},
	{"certificates", OPT_GROUPS, LIST_AT(config, certificates), .max = CONFIG_MAX_CERTIFICATES,
	 .group = &certificate_group, .def = "()", .in_sample = true},
	{"endpoints", OPT_GROUPS, LIST_AT(config, endpoints), .max = CONFIG_MAX_ENDPOINTS,
	 .group = &endpoint_group, .def = "()", .in_sample = true},
	{"listeners", OPT_GROUPS, LIST_AT(config, listeners), .max = CONFIG_MAX_LISTENERS,
	 .group = &listener_group, .def = "()", .in_sample = true},
	{"relays", OPT_GROUPS, LIST_AT(config, relays), .max = CONFIG_MAX_RELAYS,
	 .group = &relay_group, .def = "()"},
	{"namespaces", OPT_GROUPS, LIST_AT(config, namespaces), .max = CONFIG_MAX_NAMESPACES,
	 .group = &namespace_group, .def = "()"},
	{"pages", OPT_GROUPS, LIST_AT(config, pages), .max = CONFIG_MAX_PAGES, .group = &page_group,
	 .def = "()"},
	{"shield", OPT_GROUP, .offset = offsetof(struct config, shield), .group = &shield_group},
	{"admin", OPT_GROUP, .offset = offsetof(struct config, admin), .group = &admin_group},
};

const struct option_group option_root = {
	.name = "",
	.size = sizeof(struct config),
	OPTIONS(root_options),
	.finish = finish_root,
	.help = "Processes, directories, logs.",
};
