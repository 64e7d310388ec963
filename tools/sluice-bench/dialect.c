/* SPDX-License-Identifier: BSD-2-Clause */
/* dialect.c - how one speaks to a kind of server, for those that text in options cannot describe.
 *
 *              greet        is answered         subscribe           is answered            hears
 *   native     -            -                   --subscribe         --expect               any message
 *   socketio   -            0{…}, then we say   42["subscribe",c]   42["subscribed",c]     42["message",data]
 *                           40, then 40{…}
 *   mqtt       CONNECT      CONNACK             SUBSCRIBE           SUBACK                 PUBLISH
 *
 * Socket.IO is Engine.IO 4 over a WebSocket from the first byte on; who may join which room is its application's
 * affair, so the words above are those of the one in tests/bench/servers.py. MQTT is 3.1.1, QoS 0, without
 * a keep-alive: nobody's absence is to be measured here. */
#include <stdio.h>

#include "tools/sluice-bench/bench.h"
#include "ws/frame.h"

static bool starts(struct bytes m, const char *with)
{
	size_t n = strlen(with);
	return m.n >= n && memcmp(m.p, with, n) == 0;
}

static void say(struct answer *a, const void *p, size_t n)
{
	memcpy(a->b, p, n);
	a->n = n;
}

/* ── native: what to say stands in options ── */

/* `text` with the channel in place of %c and the data in place of %s. */
static size_t fill(const struct options *o, const char *text, struct bytes data, uint8_t *out,
		   size_t cap)
{
	size_t n = 0;
	while (*text) {
		struct bytes piece = BYTES(text, 1);
		if (text[0] == '%' && (text[1] == 'c' || text[1] == 's'))
			piece = *++text == 'c' ? bytes_str(o->channel) : data;
		if (piece.n > cap - n)
			return 0;
		memcpy(out + n, piece.p, piece.n);
		n += piece.n;
		text++;
	}
	return n;
}

static enum heard native_greet(struct answer *a)
{
	return HEARD_WELCOME;
}

static enum heard native_hear(const struct options *o, struct bytes *m, struct bytes *data,
			      struct answer *a)
{
	size_t n = strlen(o->expect);
	*data = *m;
	m->n = 0;
	return n > 0 && memmem(data->p, data->n, o->expect, n) ? HEARD_SUBSCRIBED : HEARD_DATA;
}

static size_t native_subscribe(const struct options *o, uint8_t *out, size_t cap)
{
	return fill(o, o->subscribe, BYTES("", 0), out, cap);
}

static size_t native_publish(const struct options *o, struct bytes data, uint8_t *out, size_t cap)
{
	return fill(o, o->publish, data, out, cap);
}

/* ── Socket.IO ── */

static enum heard socketio_greet(struct answer *a)
{
	return HEARD_NOTHING; /* the server speaks first */
}

/* The first digit is Engine.IO's: open, close, ping, pong, message; the second Socket.IO's: connect, disconnect,
 * event, ack, refused. */
static enum heard socketio_hear(const struct options *o, struct bytes *message, struct bytes *data,
				struct answer *a)
{
	struct bytes m = *message;
	message->n = 0;
	if (starts(m, "42[\"message\",")) {
		*data = m;
		return HEARD_DATA;
	}
	if (starts(m, "2")) {
		say(a, "3", 1);
		return HEARD_PING;
	}
	if (starts(m, "0"))
		say(a, "40", 2);
	else if (starts(m, "40"))
		return HEARD_WELCOME;
	else if (starts(m, "42[\"subscribed\","))
		return HEARD_SUBSCRIBED;
	else if (starts(m, "1") || starts(m, "41") || starts(m, "44"))
		return HEARD_REFUSED;
	return HEARD_NOTHING;
}

static size_t socketio_subscribe(const struct options *o, uint8_t *out, size_t cap)
{
	return fill(o, "42[\"subscribe\",\"%c\"]", BYTES("", 0), out, cap);
}

static size_t socketio_publish(const struct options *o, struct bytes data, uint8_t *out, size_t cap)
{
	return fill(o, "42[\"publish\",\"%c\",%s]", data, out, cap);
}

/* ── MQTT ── */

enum {
	MQTT_CONNECT = 0x10,
	MQTT_CONNACK = 0x20,
	MQTT_PUBLISH = 0x30, /* QoS 0: without flags, without a packet's number */
	MQTT_SUBSCRIBE = 0x82,
	MQTT_SUBACK = 0x90,
};

static const uint8_t mqtt_connect[] = {
	MQTT_CONNECT,
	12,
	0,
	4,
	'M',
	'Q',
	'T',
	'T',
	4, /* 3.1.1 */
	2, /* a clean session */
	0,
	0, /* no keep-alive */
	0,
	0, /* the server may think of a name for us */
};

/* Type and length of a packet; the length is 7 bits a byte, the lowest first. */
static size_t mqtt_head(uint8_t out[5], uint8_t type, size_t n)
{
	size_t at = 0;
	out[at++] = type;
	do {
		out[at++] = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
		n >>= 7;
	} while (n > 0);
	return at;
}

/* Takes a packet off the front: its type, 0 if it is not all there, and what follows its head. */
static uint8_t mqtt_packet(struct bytes *m, struct bytes *body)
{
	size_t n = 0, at = 1;
	for (unsigned shift = 0; at < m->n && at <= 4; shift += 7) {
		n |= (size_t)(m->p[at] & 127) << shift;
		if (m->p[at++] < 128) {
			uint8_t type = m->p[0];
			if (n > m->n - at)
				return 0;
			*body = BYTES(m->p + at, n);
			*m = BYTES(m->p + at + n, m->n - at - n);
			return type;
		}
	}
	return 0;
}

static enum heard mqtt_greet(struct answer *a)
{
	say(a, mqtt_connect, sizeof(mqtt_connect));
	return HEARD_NOTHING;
}

static enum heard mqtt_hear(const struct options *o, struct bytes *m, struct bytes *data,
			    struct answer *a)
{
	struct bytes b;
	uint8_t type = mqtt_packet(m, &b);
	if (type == MQTT_CONNACK && b.n == 2 && b.p[1] == 0)
		return HEARD_WELCOME;
	if (type == MQTT_SUBACK && b.n == 3 && b.p[2] == 0)
		return HEARD_SUBSCRIBED;
	if (type != MQTT_PUBLISH || b.n < 2 || load_be16(b.p) > b.n - 2)
		return HEARD_REFUSED;
	size_t topic = 2 + (size_t)load_be16(b.p);
	*data = BYTES(b.p + topic, b.n - topic);
	return HEARD_DATA;
}

/* What both have: a channel by its length, then more. */
static size_t mqtt_write(const struct options *o, uint8_t type, struct bytes before,
			 struct bytes after, uint8_t *out, size_t cap)
{
	size_t channel = strlen(o->channel), n = before.n + 2 + channel + after.n;
	if (n + 5 > cap)
		return 0;
	uint8_t *p = out + mqtt_head(out, type, n);
	memcpy(p, before.p, before.n);
	p += before.n;
	*p++ = (uint8_t)(channel >> 8);
	*p++ = (uint8_t)channel;
	memcpy(p, o->channel, channel);
	memcpy(p + channel, after.p, after.n);
	return (size_t)(p - out) + channel + after.n;
}

static size_t mqtt_subscribe(const struct options *o, uint8_t *out, size_t cap)
{
	static const uint8_t number[2] = {0, 1}, qos[1] = {0};
	return mqtt_write(o, MQTT_SUBSCRIBE, BYTES(number, 2), BYTES(qos, 1), out, cap);
}

static size_t mqtt_publish(const struct options *o, struct bytes data, uint8_t *out, size_t cap)
{
	return mqtt_write(o, MQTT_PUBLISH, BYTES("", 0), data, out, cap);
}

/* ── the table ── */

static const struct dialect dialects[] = {
	{"native", NULL, WS_TEXT, native_greet, native_hear, native_subscribe, native_publish},
	{"socketio", NULL, WS_TEXT, socketio_greet, socketio_hear, socketio_subscribe,
	 socketio_publish},
	{"mqtt", "mqtt", WS_BINARY, mqtt_greet, mqtt_hear, mqtt_subscribe, mqtt_publish},
};

const struct dialect *dialect_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++)
		if (strcmp(name, dialects[i].name) == 0)
			return &dialects[i];
	fprintf(stderr, "unknown dialect '%s': native, socketio, mqtt\n", name);
	return NULL;
}

size_t dialect_around(const struct options *o)
{
	return strlen(o->publish) + strlen(o->channel) + 64;
}
