/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h - frames from a line of text, so that a table of packets can be read.
 *
 *     "ip4 tcp S"                         a good SYN to the protected port
 *     "qinq vlan ip6 frag mf=1 tcp"       two tags, then a first fragment
 *     "ip4 len=9000 tcp S data=10"        an IPv4 total length that lies
 *
 * Layers stand in their order, each followed by its fields; what is not said
 * is right: lengths, next-header numbers and checksums fit what follows. A field
 * set by hand is written last and stays wrong if it was meant so.
 *
 *   arp icmp icmp6 esp   8 bytes of zero under that protocol's number
 *   vlan qinq            vid
 *   ip4                  src dst ver ihl len frag (8-byte units) mf df proto opts (words)
 *   ip6                  src dst ver len next
 *   hbh dopt rt ah       n (length field) next; rt: left type
 *   frag                 off (8-byte units) mf next
 *   tcp                  sport dport seq ack win doff opts (words) o (bytes of options in hex),
 *                        and flags as letters of SAFRPUEC or -
 *   udp                  sport dport len
 *   data=N               N bytes of payload, after the last layer
 *   cut=N                the frame ends after N bytes; cut=-N: N bytes earlier
 *   pad=N                N bytes of Ethernet padding behind it all
 *   type=N               the Ethernet type, or that of the innermost tag */
#ifndef SLUICE_TESTS_BPF_PACKET_H
#define SLUICE_TESTS_BPF_PACKET_H

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define PACKET_MAX 70000

struct packet_layer {
	char kind[8];
	size_t at;    /* offset in the frame */
	size_t bytes; /* of this header */
};

struct packet_text {
	uint8_t *out;
	size_t n;
	struct packet_layer layer[24];
	size_t n_layers;
	/* fields set by hand: offset, width, value; written last */
	struct {
		size_t at;
		int width;
		unsigned long value;
	} set[32];
	size_t n_sets;
	long cut, pad;
	bool has_cut;
};

static inline struct packet_layer *packet_push(struct packet_text *t, const char *kind,
					       size_t bytes)
{
	struct packet_layer *l = &t->layer[t->n_layers++];

	assert(t->n_layers <= ARRAY_SIZE(t->layer) && t->n + bytes <= PACKET_MAX);
	snprintf(l->kind, sizeof(l->kind), "%s", kind);
	l->at = t->n;
	l->bytes = bytes;
	memset(t->out + t->n, 0, bytes);
	t->n += bytes;
	return l;
}

static inline bool packet_is(const struct packet_layer *l, const char *kind)
{
	return l && strcmp(l->kind, kind) == 0;
}

/* The header bytes of a new layer, with everything in them that needs no knowledge of the next. */
static inline bool packet_layer_add(struct packet_text *t, const char *w)
{
	uint8_t *h;

	if (!strcmp(w, "vlan") || !strcmp(w, "qinq")) {
		packet_push(t, w, 4);
	} else if (!strcmp(w, "ip4")) {
		h = t->out + packet_push(t, w, 20)->at;
		h[0] = 0x45;
		h[8] = 64;
		inet_pton(AF_INET, "198.51.100.7", h + 12);
		inet_pton(AF_INET, "192.0.2.1", h + 16);
	} else if (!strcmp(w, "ip6")) {
		h = t->out + packet_push(t, w, 40)->at;
		h[0] = 0x60;
		h[7] = 64;
		inet_pton(AF_INET6, "2001:db8:1::7", h + 8);
		inet_pton(AF_INET6, "2001:db8::1", h + 24);
	} else if (!strcmp(w, "hbh") || !strcmp(w, "dopt") || !strcmp(w, "rt") ||
		   !strcmp(w, "frag") || !strcmp(w, "ah")) {
		h = t->out + packet_push(t, w, 8)->at;
		if (!strcmp(w, "hbh") || !strcmp(w, "dopt"))
			memcpy(h + 2, "\x01\x04", 2); /* PadN */
	} else if (!strcmp(w, "tcp")) {
		h = t->out + packet_push(t, w, 20)->at;
		store_be16(h, 40000);
		store_be16(h + 2, 443);
		store_be32(h + 4, 1000);
		h[12] = 0x50;
		h[13] = 0x10;
		store_be16(h + 14, 64240);
	} else if (!strcmp(w, "udp")) {
		h = t->out + packet_push(t, w, 8)->at;
		store_be16(h, 40000);
		store_be16(h + 2, 4433);
	} else if (!strcmp(w, "icmp") || !strcmp(w, "icmp6") || !strcmp(w, "esp") ||
		   !strcmp(w, "arp")) {
		packet_push(t, w, 8);
	} else {
		return false;
	}
	return true;
}

static inline void packet_set(struct packet_text *t, size_t at, int width, unsigned long value)
{
	assert(t->n_sets < ARRAY_SIZE(t->set));
	t->set[t->n_sets].at = at;
	t->set[t->n_sets].width = width;
	t->set[t->n_sets++].value = value;
}

static inline void packet_grow(struct packet_text *t, struct packet_layer *l, size_t bytes,
			       int fill)
{
	assert(t->n + bytes <= PACKET_MAX && l->at + l->bytes == t->n);
	memset(t->out + t->n, fill, bytes);
	t->n += bytes;
	l->bytes += bytes;
}

static inline bool packet_field_ip(struct packet_text *t, struct packet_layer *l, const char *k,
				   const char *text)
{
	unsigned long v = strtoul(text, NULL, 0);
	bool v4 = packet_is(l, "ip4");
	uint8_t *h = t->out + l->at;

	if (!strcmp(k, "src"))
		assert(inet_pton(v4 ? AF_INET : AF_INET6, text, h + (v4 ? 12 : 8)) == 1);
	else if (!strcmp(k, "dst"))
		assert(inet_pton(v4 ? AF_INET : AF_INET6, text, h + (v4 ? 16 : 24)) == 1);
	else if (!strcmp(k, "ver"))
		h[0] = (uint8_t)(v << 4 | (h[0] & 15));
	else if (!strcmp(k, "len"))
		packet_set(t, l->at + (v4 ? 2 : 4), 2, v);
	else if (!strcmp(k, "proto") || !strcmp(k, "next"))
		packet_set(t, l->at + (v4 ? 9 : 6), 1, v);
	else if (v4 && !strcmp(k, "ihl"))
		packet_set(t, l->at, 1, (h[0] & 0xf0) | v);
	else if (v4 && !strcmp(k, "opts"))
		packet_grow(t, l, v * 4, 1);
	else if (v4 && !strcmp(k, "frag"))
		store_be16(h + 6, (uint16_t)((load_be16(h + 6) & 0xe000) | v));
	else if (v4 && (!strcmp(k, "mf") || !strcmp(k, "df")))
		h[6] |= k[0] == 'm' ? 0x20 : 0x40;
	else
		return false;
	return true;
}

static inline bool packet_field_ext(struct packet_text *t, struct packet_layer *l, const char *k,
				    unsigned long v)
{
	bool frag = packet_is(l, "frag");
	uint8_t *h = t->out + l->at;

	if (!strcmp(k, "n")) {
		h[1] = (uint8_t)v;
		packet_grow(t, l, packet_is(l, "ah") ? v * 4 : v * 8, 0);
	} else if (!strcmp(k, "next")) {
		packet_set(t, l->at, 1, v);
	} else if (!strcmp(k, "type")) {
		h[2] = (uint8_t)v;
	} else if (!strcmp(k, "left")) {
		h[3] = (uint8_t)v;
	} else if (frag && !strcmp(k, "off")) {
		store_be16(h + 2, (uint16_t)((load_be16(h + 2) & 7) | v << 3));
	} else if (frag && !strcmp(k, "mf")) {
		h[3] |= 1;
	} else {
		return false;
	}
	return true;
}

/* Whole words of them, ended by zeros. */
static inline void packet_tcp_options(struct packet_text *t, struct packet_layer *l,
				      const char *hex)
{
	size_t n = strlen(hex) / 2, at = t->n;

	packet_grow(t, l, (n + 3) / 4 * 4, 0);
	for (size_t i = 0; i < n; i++)
		assert(sscanf(hex + 2 * i, "%2hhx", &t->out[at + i]) == 1);
	t->out[l->at + 12] = (uint8_t)(l->bytes / 4 << 4);
}

static inline bool packet_field_l4(struct packet_text *t, struct packet_layer *l, const char *k,
				   const char *text)
{
	unsigned long v = strtoul(text, NULL, 0);
	bool tcp = packet_is(l, "tcp");
	uint8_t *h = t->out + l->at;

	if (!strcmp(k, "sport"))
		store_be16(h, (uint16_t)v);
	else if (!strcmp(k, "dport"))
		store_be16(h + 2, (uint16_t)v);
	else if (!tcp && !strcmp(k, "len"))
		packet_set(t, l->at + 4, 2, v);
	else if (tcp && !strcmp(k, "doff"))
		h[12] = (uint8_t)(v << 4 | (h[12] & 15));
	else if (tcp && !strcmp(k, "seq"))
		store_be32(h + 4, (uint32_t)v);
	else if (tcp && !strcmp(k, "ack"))
		store_be32(h + 8, (uint32_t)v);
	else if (tcp && !strcmp(k, "win"))
		store_be16(h + 14, (uint16_t)v);
	else if (tcp && !strcmp(k, "o"))
		packet_tcp_options(t, l, text);
	else if (tcp && !strcmp(k, "res"))
		h[12] = (uint8_t)((h[12] & 0xf0) | v);
	else if (tcp && !strcmp(k, "opts")) {
		packet_grow(t, l, v * 4, 1);
		h[12] = (uint8_t)((5 + v) << 4);
	} else
		return false;
	return true;
}

static inline bool packet_field(struct packet_text *t, const char *k, const char *text)
{
	struct packet_layer *l = t->n_layers ? &t->layer[t->n_layers - 1] : NULL;
	unsigned long v = strtoul(text, NULL, 0);

	if (!strcmp(k, "data")) {
		assert(t->n + v <= PACKET_MAX);
		memset(t->out + t->n, 'A', v);
		t->n += v;
	} else if (!strcmp(k, "cut")) {
		t->cut = strtol(text, NULL, 0);
		t->has_cut = true;
	} else if (!strcmp(k, "pad")) {
		t->pad = (long)v;
	} else if (!strcmp(k, "type") &&
		   (l->kind[0] == 'e' || l->kind[1] == 'l' || l->kind[0] == 'q')) {
		packet_set(t, l->at + l->bytes - 2, 2, v);
	} else if (!strcmp(k, "vid")) {
		store_be16(t->out + l->at, (uint16_t)v);
	} else if (packet_is(l, "ip4") || packet_is(l, "ip6")) {
		return packet_field_ip(t, l, k, text);
	} else if (packet_is(l, "tcp") || packet_is(l, "udp")) {
		return packet_field_l4(t, l, k, text);
	} else {
		return packet_field_ext(t, l, k, v);
	}
	return true;
}

static inline bool packet_flags(struct packet_text *t, const char *w)
{
	static const char letters[] = "FSRPAUEC";
	uint8_t flags = 0;

	if (!packet_is(&t->layer[t->n_layers - 1], "tcp"))
		return false;
	for (; *w; w++) {
		const char *at = strchr(letters, *w);

		if (*w == '-')
			continue;
		if (!at)
			return false;
		flags |= (uint8_t)(1 << (at - letters));
	}
	t->out[t->layer[t->n_layers - 1].at + 13] = flags;
	return true;
}

/* ---- what follows from what follows --------------------------------------- */

static inline uint16_t packet_type_of(const struct packet_layer *l)
{
	return packet_is(l, "ip4")  ? 0x0800 :
	       packet_is(l, "ip6")  ? 0x86dd :
	       packet_is(l, "arp")  ? 0x0806 :
	       packet_is(l, "qinq") ? 0x88a8 :
	       packet_is(l, "vlan") ? 0x8100 :
				      0;
}

static inline uint8_t packet_proto_of(const struct packet_layer *l)
{
	static const struct {
		const char *kind;
		uint8_t proto;
	} list[] = {{"hbh", 0},    {"icmp", 1},  {"tcp", 6},  {"udp", 17},
		    {"rt", 43},    {"frag", 44}, {"esp", 50}, {"ah", 51},
		    {"icmp6", 58}, {"dopt", 60}, {"ip6", 41}, {"ip4", 4}};

	for (size_t i = 0; l && i < ARRAY_SIZE(list); i++)
		if (packet_is(l, list[i].kind))
			return list[i].proto;
	return 59; /* nothing follows */
}

static inline uint32_t packet_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += load_be16(p + i);
	if (n & 1)
		sum += (uint32_t)p[n - 1] << 8;
	return sum;
}

static inline uint16_t packet_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline void packet_fill_l4(struct packet_text *t, const struct packet_layer *l,
				  const struct packet_layer *ip)
{
	size_t bytes = t->n - l->at, sum_at = packet_is(l, "tcp") ? 16 : 6;
	uint8_t *h = t->out + l->at;
	uint32_t sum;

	if (packet_is(l, "udp"))
		store_be16(h + 4, (uint16_t)bytes);
	if (!ip)
		return;
	sum = packet_is(ip, "ip4") ? packet_sum(0, t->out + ip->at + 12, 8) :
				     packet_sum(0, t->out + ip->at + 8, 32);
	sum += (uint32_t)bytes + packet_proto_of(l);
	store_be16(h + sum_at, packet_fold(packet_sum(sum, h, bytes)));
}

static inline void packet_fill(struct packet_text *t)
{
	const struct packet_layer *ip = NULL;

	for (size_t i = 0; i < t->n_layers; i++) {
		const struct packet_layer *l = &t->layer[i];
		const struct packet_layer *next = i + 1 < t->n_layers ? l + 1 : NULL;
		uint8_t *h = t->out + l->at;
		size_t rest = t->n - l->at;

		if (packet_is(l, "eth")) {
			store_be16(h + 12, packet_type_of(next));
		} else if (packet_is(l, "vlan") || packet_is(l, "qinq")) {
			store_be16(h + 2, packet_type_of(next));
		} else if (packet_is(l, "ip4")) {
			h[0] = (uint8_t)((h[0] & 0xf0) | l->bytes / 4);
			store_be16(h + 2, rest > 0xffff ? 0 : (uint16_t)rest);
			h[9] = packet_proto_of(next);
			ip = l;
		} else if (packet_is(l, "ip6")) {
			store_be16(h + 4, rest - 40 > 0xffff ? 0 : (uint16_t)(rest - 40));
			h[6] = packet_proto_of(next);
			ip = l;
		} else if (packet_is(l, "tcp") || packet_is(l, "udp")) {
			packet_fill_l4(t, l, ip);
		} else if (packet_proto_of(l) == 0 || packet_proto_of(l) > 40) {
			h[0] = packet_proto_of(next);
		}
	}
	for (size_t i = 0; i < t->n_sets; i++) {
		uint8_t *h = t->out + t->set[i].at;

		if (t->set[i].width == 1)
			*h = (uint8_t)t->set[i].value;
		else
			store_be16(h, (uint16_t)t->set[i].value);
	}
	if (packet_is(ip, "ip4")) { /* over what now stands there, right or wrong */
		uint8_t *h = t->out + ip->at;

		store_be16(h + 10, 0);
		store_be16(h + 10, packet_fold(packet_sum(0, h, ip->bytes)));
	}
}

/* Writes the frame that `text` describes; `out` has room for PACKET_MAX. Returns
 * its length. A text that makes no sense is a mistake in a test: it stops here. */
static inline size_t packet_make(const char *text, uint8_t *out)
{
	struct packet_text t = {.out = out};
	char line[512], *save = NULL;
	uint8_t *h;

	assert(strlen(text) < sizeof(line));
	strcpy(line, text);
	h = out + packet_push(&t, "eth", 14)->at;
	memcpy(h, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		char *eq = strchr(w, '=');
		bool known;

		if (eq)
			*eq = '\0';
		known = eq ? packet_field(&t, w, eq + 1) :
			     packet_layer_add(&t, w) || packet_flags(&t, w);
		if (!known) {
			fprintf(stderr, "packet \"%s\": what is \"%s\"?\n", text, w);
			abort();
		}
	}
	packet_fill(&t);
	memset(out + t.n, 0, (size_t)t.pad);
	t.n += (size_t)t.pad;
	if (t.has_cut)
		t.n = t.cut < 0 ? t.n - (size_t)-t.cut : (size_t)t.cut;
	return t.n;
}

#endif
