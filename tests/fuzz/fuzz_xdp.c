/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_xdp.c - the XDP program against a parser that was written without it.
 *
 *   input ─► byte 0: from loopback?   ─► prog run ─► verdict, counter ─┐
 *         └► the rest: a frame        ─► expect() ─► verdict, reason ──┴─► the same?
 *
 * libFuzzer sees no coverage inside the kernel; what it learns from is expect(),
 * whose branches are those of the packet formats. So that mutants get past the
 * first length check, every second one has its lengths put right again. */
#include <sys/resource.h>

#include "tests/bpf/run.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static struct run run;

/* ---- what should come of it ---------------------------------------------------- */

/* A frame as this side sees it: bytes with a place, and questions to them. */
struct view {
	const uint8_t *f;
	size_t n;   /* of the frame */
	size_t end; /* of the packet in it */
	bool lo;
};

static unsigned u8(const struct view *v, size_t at)
{
	assert(at < v->n); /* expect() must never look beyond the frame */
	return v->f[at];
}

static unsigned u16(const struct view *v, size_t at)
{
	return u8(v, at) << 8 | u8(v, at + 1);
}

static bool starts(const struct view *v, size_t at, const void *prefix, unsigned bits)
{
	const uint8_t *p = prefix;

	for (unsigned i = 0; i < bits; i++)
		if ((u8(v, at + i / 8) ^ p[i / 8]) & 0x80 >> i % 8)
			return false;
	return true;
}

/* The policy that LLVMFuzzerInitialize() sets, said once more. */
static bool is_ours(const struct view *v, size_t dst, bool v6, int proto, long port)
{
	bool web = proto != 17 && (port < 0 || port == 443);
	bool alt = proto != 17 && (port < 0 || port == 8443);
	bool quic = proto != 6 && (port < 0 || port == 4433);

	if (!v6)
		return (web && starts(v, dst, "\xc0\0\2\1", 32)) ||
		       (alt && starts(v, dst, "\xcb\0\x71", 24)) ||
		       (quic && starts(v, dst, "\xc0\0\2\0", 28));
	return (web && starts(v, dst, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 128)) ||
	       (alt && starts(v, dst, "\x20\1\xd\xb8\x40", 36)) ||
	       (quic && starts(v, dst, "\x20\1\xd\xb8\0\0", 48));
}

static bool is_denied(const struct view *v, size_t src, bool v6)
{
	return v6 ? starts(v, src, "\x20\1\xd\xb8\xde\xad\0\0", 64) :
		    starts(v, src, "\x64\x42", 16);
}

static bool source_is_bogus(const struct view *v, size_t src, bool v6)
{
	static const uint8_t zero[16], one[16] = {[15] = 1},
				       mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!v6)
		return u8(v, src) == 0 || (u8(v, src) == 127 && !v->lo) ||
		       (u8(v, src) >= 224 && u8(v, src) <= 239) ||
		       starts(v, src, "\xff\xff\xff\xff", 32);
	return u8(v, src) == 255 || starts(v, src, zero, 128) || starts(v, src, mapped, 96) ||
	       (starts(v, src, one, 128) && !v->lo);
}

static bool flags_are_possible(unsigned flags)
{
	bool fin = flags & 1, syn = flags & 2, rst = flags & 4, ack = flags & 16, urg = flags & 32;

	if (syn)
		return !fin && !rst && !(ack && urg);
	if (rst)
		return !fin && !urg;
	return ack;
}

/* From the transport header on, all being well so far but for `why`. */
static int expect_l4(const struct view *v, size_t src, size_t dst, bool v6, int proto, size_t l4,
		     bool piece, int why)
{
	size_t alen = v6 ? 16 : 4, need = proto == 6 ? 20 : 8, have = v->end > l4 ? v->end - l4 : 0;
	bool self = memcmp(v->f + src, v->f + dst, alen) == 0;
	long sport = -1, dport = -1;

	if (piece && proto == 6 && why == DROP_NONE)
		why = DROP_TCP_FRAGMENT;
	if (!piece && have < need && why == DROP_NONE)
		why = DROP_TRUNCATED;
	if (!piece && have >= need) {
		sport = u16(v, l4);
		dport = u16(v, l4 + 2);
	}
	if (!is_ours(v, dst, v6, proto, dport))
		return UNJUDGED;
	if (proto == 17 && dport >= 0 && why == DROP_NONE) {
		unsigned len = u16(v, l4 + 4);

		if (len > have || (len < 8 && !(v6 && len == 0)))
			why = DROP_BAD_LENGTH;
	}
	if (why != DROP_NONE)
		return why;
	if (source_is_bogus(v, src, v6))
		return DROP_BOGUS_SOURCE;
	if (self && (!v->lo || (dport >= 0 && sport == dport)))
		return DROP_LAND;
	if (proto == 6) {
		size_t header = (u8(v, l4 + 12) >> 4) * 4;

		if (sport == 0)
			return DROP_PORT_ZERO;
		if (header < 20 || header > have)
			return DROP_BAD_TCP_OFFSET;
		if (!flags_are_possible(u8(v, l4 + 13)))
			return DROP_BAD_TCP_FLAGS;
	}
	if (is_denied(v, src, v6))
		return DROP_DENIED;
	/* the class of port 8443 gives out no SYN at all */
	if (proto == 6 && dport == 8443 && (u8(v, l4 + 13) & 0x12) == 2)
		return DROP_RATE_SYNS;
	return DROP_NONE;
}

/* `why`: what was wrong before the IP header. */
static int expect_v4(struct view *v, size_t at, int why)
{
	size_t room = v->n - at, header, total;
	int wrong = DROP_NONE;
	unsigned proto;

	if (room < 20)
		return UNJUDGED;
	proto = u8(v, at + 9);
	if (proto != 6 && proto != 17)
		return UNJUDGED;
	header = (u8(v, at) & 15) * 4;
	total = u16(v, at + 2);
	if (total == 0 && room > 65535)
		total = room;
	v->end = at + MIN(total, room);
	if (u8(v, at) >> 4 != 4 || header < 20) {
		wrong = DROP_BAD_IP_HEADER;
		v->end = at;
	} else if (total < header || total > room) {
		wrong = DROP_BAD_LENGTH;
	} else if (header > 20) {
		wrong = DROP_IPV4_OPTIONS;
	}
	if (why == DROP_NONE)
		why = wrong;
	return expect_l4(v, at + 12, at + 16, false, (int)proto, at + header,
			 (u16(v, at + 6) & 0x3fff) != 0, why);
}

static bool is_extension(unsigned next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

static int expect_v6(struct view *v, size_t at, int why)
{
	size_t room, payload, l4 = at + 40;
	int wrong = DROP_NONE, seen = 0;
	bool piece = false, lost = false;
	unsigned next;

	if (v->n < l4)
		return UNJUDGED;
	room = v->n - l4;
	next = u8(v, at + 6);
	payload = u16(v, at + 4);
	if (payload == 0 && room > 65535)
		payload = room;
	v->end = l4 + MIN(payload, room);
	if (u8(v, at) >> 4 != 6) {
		wrong = DROP_BAD_IP_HEADER;
		v->end = at;
		lost = true; /* no header behind this one can be believed */
	} else if (payload > room) {
		wrong = DROP_BAD_LENGTH;
	}
	if (why == DROP_NONE)
		why = wrong;
	while (is_extension(next) && !lost) {
		size_t bytes;
		int fault = DROP_NONE;

		if (seen == 8) {
			fault = DROP_IPV6_EXT;
			lost = true;
		} else if (l4 + 8 > v->end) {
			fault = DROP_TRUNCATED;
			lost = true;
		} else {
			bytes = next == 44 ? 8 :
				next == 51 ? (u8(v, l4 + 1) + 2) * 4 :
					     (u8(v, l4 + 1) + 1) * 8;
			if ((next == 0 && seen > 0) || (next == 43 && u8(v, l4 + 3) > 0))
				fault = DROP_IPV6_EXT;
			if (next == 44 && (u16(v, l4 + 2) & 0xfff9))
				piece = true;
			if (next == 44 && (u16(v, l4 + 2) & 0xfff8)) {
				next = u8(v, l4);
				if (is_extension(next))
					fault = DROP_TCP_FRAGMENT;
				if (why == DROP_NONE)
					why = fault;
				break;
			}
			if (l4 + bytes > v->end) {
				if (fault == DROP_NONE)
					fault = DROP_TRUNCATED;
				lost = true;
			} else {
				next = u8(v, l4);
				l4 += bytes;
				seen++;
			}
		}
		if (why == DROP_NONE)
			why = fault;
	}
	if (is_extension(next)) /* what it carries stays unknown */
		return is_ours(v, at + 24, true, 0, -1) ? why : UNJUDGED;
	if (next != 6 && next != 17)
		return UNJUDGED;
	return expect_l4(v, at + 8, at + 24, true, (int)next, l4, piece, why);
}

static int expect(const uint8_t *frame, size_t n, bool lo)
{
	struct view v = {.f = frame, .n = n, .lo = lo};
	size_t at = 14;
	unsigned type = u16(&v, 12);

	int tags = 0, why;

	for (; type == 0x8100 || type == 0x88a8 || type == 0x9100; tags++) {
		if (tags == 8) /* beyond, nobody's address is looked for: it is everybody's */
			return DROP_VLAN_TAGS;
		if (n < at + 4)
			return UNJUDGED;
		type = u16(&v, at + 2);
		at += 4;
	}
	why = tags > 2 ? DROP_VLAN_TAGS : DROP_NONE;
	return type == 0x0800 ? expect_v4(&v, at, why) :
	       type == 0x86dd ? expect_v6(&v, at, why) :
				UNJUDGED;
}

/* ---- the two beside each other ------------------------------------------------------ */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct {
		const char *to;
		uint16_t port;
		enum l4_proto proto;
	} list[] = {
		{"192.0.2.1", 443, L4_TCP},       {"2001:db8::1", 443, L4_TCP},
		{"203.0.113.0/24", 8443, L4_TCP}, {"2001:db8:4000::/36", 8443, L4_TCP},
		{"192.0.2.0/28", 4433, L4_UDP},   {"2001:db8::/48", 4433, L4_UDP},
	};
	struct shield_protect protect[ARRAY_SIZE(list)];
	struct shield_rate rates[2] = {{.name = "open"}, {.name = "no SYNs"}};
	struct shield_plan plan = {.protect = protect,
				   .n_protect = ARRAY_SIZE(protect),
				   .rules = run_rules(),
				   .rates = rates,
				   .n_rates = ARRAY_SIZE(rates)};
	struct shield_prefix deny[] = {run_prefix("100.66.0.0/16"),
				       run_prefix("2001:db8:dead::/64")};

	(void)argc, (void)argv;
	if (!run_may()) {
		puts("skipped: needs root to load BPF\n[  SKIPPED ] fuzz_xdp");
		exit(0);
	}
	run_open(&run);
	run_loopback(&run, false);
	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		protect[i] = (struct shield_protect){.to = run_prefix(list[i].to),
						     .port = list[i].port,
						     .proto = list[i].proto,
						     .rate = list[i].port == 8443};
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		for (struct shield_limit *l = &rates[i].packets; l <= &rates[i].net_connections;
		     l++)
			l->ahead_ns = SHIELD_AHEAD_MAX;
	rates[1].syns.ahead_ns = 1ull << 63; /* never */
	assert(shield_policy_set(&run.shield, &plan, 0) == 0);
	assert(shield_deny_config(&run.shield, deny, ARRAY_SIZE(deny), 0) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool lo;
	const uint8_t *frame = data + 1;
	int want, got;

	if (size < 1 + 14 || size > PACKET_MAX - 2000)
		return 0; /* no Ethernet header, or more than a test run takes */
	if ((data[0] & 1) != lo) {
		lo = data[0] & 1;
		run_loopback(&run, lo);
	}
	want = expect(frame, size - 1, lo);
	got = run_frame(&run, frame, size - 1);
	if (want != got) {
		fprintf(stderr, "%zu bytes%s: the program says %s, the other parser %s\n", size - 1,
			lo ? " from loopback" : "", run_word(got), run_word(want));
		abort();
	}
	return 0;
}

/* Ethernet type, IP lengths: what a blind mutation breaks first. */
static void mend(uint8_t *f, size_t n)
{
	size_t at = 14;
	unsigned type = load_be16(f + 12);

	while ((type == 0x8100 || type == 0x88a8 || type == 0x9100) && n >= at + 4) {
		type = load_be16(f + at + 2);
		at += 4;
	}
	if (n >= at + 20 && f[at] >> 4 == 4) {
		store_be16(f + at - 2, 0x0800);
		store_be16(f + at + 2, (uint16_t)(n - at));
	} else if (n >= at + 40 && f[at] >> 4 == 6) {
		store_be16(f + at - 2, 0x86dd);
		store_be16(f + at + 4, (uint16_t)(n - at - 40));
	}
}

/* libFuzzer's alone; the replay in `make test` has no mutator to call */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max)
{
	(void)data, (void)max;
	return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	size = LLVMFuzzerMutate(data, size, max);
	if (seed & 1 && size > 15)
		mend(data + 1, size - 1);
	return size;
}
