/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.c - the question in front of the frame, and the answer in its place. */
#include "shield/explain.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int shield_explain(int program, struct bytes frame, unsigned ifindex, struct shield_ask *out)
{
	const struct shield_ask question = {.magic = SHIELD_ASK};
	struct xdp_md ctx = {.data = sizeof(question), .ingress_ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .repeat = 1, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));
	uint8_t *in, *back;
	int err;

	if (frame.n < EXPLAIN_FRAME_MIN)
		return -EINVAL;
	opts.data_size_in = opts.data_size_out = (__u32)(sizeof(question) + frame.n);
	in = malloc(2 * (size_t)opts.data_size_in);
	if (!in)
		return -ENOMEM;
	back = in + opts.data_size_in;
	memcpy(in, &question, sizeof(question));
	memcpy(in + sizeof(question), frame.p, frame.n);
	ctx.data_end = opts.data_size_in;
	opts.data_in = in;
	opts.data_out = back;
	err = bpf_prog_test_run_opts(program, &opts);
	if (!err) {
		memcpy(out, back, sizeof(*out));
		if (out->magic != SHIELD_ASK || !out->stage)
			err = -ENOMSG;
	}
	free(in);
	return err;
}

/* ---- a frame in words ----------------------------------------------------------------------- */

struct words {
	char *buf;
	size_t n;
};

static void say(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct words *w, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(w->buf + w->n, SHIELD_FRAME_TEXT_MAX - w->n, fmt, args);
	va_end(args);
	w->n = MIN(w->n + (size_t)MAX(n, 0), SHIELD_FRAME_TEXT_MAX - 1u);
}

static void say_end(struct words *w, bool v6, const uint8_t *addr, int port)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(v6 ? AF_INET6 : AF_INET, addr, text, sizeof(text));
	if (port < 0)
		say(w, "%s", text);
	else
		say(w, v6 ? "[%s]:%d" : "%s:%d", text, port);
}

static void say_flags(struct words *w, uint8_t flags)
{
	char text[9];
	size_t n = 0;

	for (unsigned i = 0; i < 8; i++)
		if (flags & 1u << i)
			text[n++] = "FSRPAUEC"[i];
	text[n] = '\0';
	say(w, " [%s]", n ? text : "no flags");
}

static void say_transport(struct words *w, bool v6, const uint8_t *src, const uint8_t *dst,
			  uint8_t proto, struct bytes l4)
{
	bool tcp = proto == IPPROTO_TCP, udp = proto == IPPROTO_UDP;
	bool ports = (tcp || udp) && l4.n >= 4;

	if (tcp || udp)
		say(w, "%s ", tcp ? "TCP" : "UDP");
	else
		say(w, "protocol %u ", proto);
	say_end(w, v6, src, ports ? load_be16(l4.p) : -1);
	say(w, " > ");
	say_end(w, v6, dst, ports ? load_be16(l4.p + 2) : -1);
	if (tcp && l4.n >= 14)
		say_flags(w, l4.p[13]);
}

static void say_v4(struct words *w, struct bytes ip)
{
	size_t header = (ip.p[0] & 15) * 4u;
	bool later = load_be16(ip.p + 6) & 0x1fff;

	say(w, "IPv4 %s", load_be16(ip.p + 6) & 0x3fff ? "fragment, " : "");
	say_transport(w, false, ip.p + 12, ip.p + 16, ip.p[9],
		      later || header > ip.n ? BYTES(NULL, 0) :
					       BYTES(ip.p + header, ip.n - header));
}

static void say_v6(struct words *w, struct bytes ip)
{
	uint8_t next = ip.p[6];
	size_t at = 40;
	bool later = false;

	say(w, "IPv6 ");
	while ((next == 0 || next == 43 || next == 44 || next == 51 || next == 60) &&
	       at + 8 <= ip.n && !later) {
		const uint8_t *h = ip.p + at;

		if (next == 44 && load_be16(h + 2) & 0xfff9) {
			say(w, "fragment, ");
			later = load_be16(h + 2) & 0xfff8;
		}
		at += next == 44 ? 8 : next == 51 ? (h[1] + 2u) * 4 : (h[1] + 1u) * 8;
		next = h[0];
	}
	say_transport(w, true, ip.p + 8, ip.p + 24, next,
		      later || at > ip.n ? BYTES(NULL, 0) : BYTES(ip.p + at, ip.n - at));
}

const char *shield_frame_str(struct bytes frame, char buf[SHIELD_FRAME_TEXT_MAX])
{
	struct words w = {.buf = buf};
	size_t at = 14;
	uint16_t type;

	buf[0] = '\0';
	if (frame.n < at) {
		say(&w, "less than an Ethernet header");
		return buf;
	}
	type = load_be16(frame.p + 12);
	while ((type == 0x8100 || type == 0x88a8 || type == 0x9100) && frame.n >= at + 4) {
		say(&w, "VLAN %u, ", load_be16(frame.p + at) & 0xfff);
		type = load_be16(frame.p + at + 2);
		at += 4;
	}
	frame = BYTES(frame.p + at, frame.n - at);
	if (type == 0x0800 && frame.n >= 20)
		say_v4(&w, frame);
	else if (type == 0x86dd && frame.n >= 40)
		say_v6(&w, frame);
	else if (type == 0x0806)
		say(&w, "ARP");
	else
		say(&w, "Ethernet type %04x", type);
	return buf;
}
