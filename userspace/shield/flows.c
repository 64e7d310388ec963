/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.c - the keeper's share of bpf/flow_filter.h: when it is wanted, and that it is complete.
 *
 *   OFF ─► a flood? the bits empty, FILLING ─► the kernel's connections ─► ON ─► calm: OFF
 *                                                    └── now and then ◄──┘ └► too full: anew
 *
 * One step a second, which is time enough for every packet to be done with that was judged by the step before:
 * a filter is never emptied while somebody may believe it, and a SYN that nobody added has become a
 * socket that the list shows. The list is read by netlink (sock_diag), in pieces, between other work: a
 * million connections are a second of it.
 *
 * Two floods want it: packets of nobody, and SYNs that are answered by cookie, whose first question is also
 * whether there is a connection. */
#include "shield/state.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "bpf/flow_filter.h"
#include "bpf/sluice_xdp.skel.h"

#define FLOOD_PER_S                                                                                \
	20000 /* from here on; to ask the kernel for so many is half a percent of a core */
#define CALM_PER_S    10000 /* and below here, for CALM_TICKS in a row, it is over */
#define CALM_TICKS    10
#define BITS_PER_FLOW 2
#define FULL_ONE_IN   8     /* bits: with more of them set the filter is too small, or too old */
#define LIST_TICKS    10    /* it is completed, and counted, so often; but */
#define LIST_PER_TICK 10000 /* connections a tick and no more: a hundredth of a core */
#define PIECES        64    /* of the list, before other work has its turn */
#define PIECE_BYTES   32768

static const __u32 zero;

/* ---- the map -------------------------------------------------------------------------- */

static int tell(struct shield *s, enum flow_filter_is is)
{
	struct flows *f = &s->flows;

	f->filter.is = is;
	return bpf_map__update_elem(s->xdp->maps.flow_filter, &zero, sizeof(zero), &f->filter,
				    sizeof(f->filter), BPF_ANY);
}

static void list_end(struct flows *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static void bits_end(struct flows *f)
{
	if (f->bits)
		munmap(f->bits, sizeof(*f->bits));
	f->bits = NULL;
}

void flows_off(struct shield *s)
{
	struct flows *f = &s->flows;

	list_end(f);
	if (tell(s, FILTER_OFF))
		log_error("shield: the filter of connections cannot be written");
}

void flows_close(struct shield *s)
{
	list_end(&s->flows);
	bits_end(&s->flows);
}

void flows_open(struct shield *s)
{
	s->flows = (struct flows){.fd = -1};
	flows_off(s);
}

/* ---- the list of connections ---------------------------------------------------------------- */

static int list_ask(struct flows *f, int family)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 want;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			 .nlmsg_seq = ++f->asked},
		.want = {.sdiag_family = (__u8)family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = ~(1u << TCP_LISTEN | 1u << TCP_CLOSE)},
	};

	f->family = family;
	return send(f->fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask) ? 0 : -errno;
}

static int list_begin(struct flows *f)
{
	int room = 8 * PIECE_BYTES;

	f->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (f->fd < 0)
		return -errno;
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	f->listed = 0;
	return list_ask(f, AF_INET);
}

static void add(struct flows *f, uint64_t hash)
{
	__atomic_fetch_or(&f->bits->word[flow_word(&f->filter, hash)], flow_mask(hash),
			  __ATOMIC_RELAXED);
}

/* As XDP will see its packets: the other end is their source. A socket for both families holds IPv4
 * addresses as ::ffff:a.b.c.d. */
static void add_socket(struct flows *f, const struct inet_diag_msg *m)
{
	const __be32 *theirs = m->id.idiag_dst, *ours = m->id.idiag_src;
	__u32 ports = (__u32)ntohs(m->id.idiag_dport) << 16 | ntohs(m->id.idiag_sport);
	uint64_t a[2], b[2];

	f->listed++;
	if (m->idiag_family == AF_INET) {
		add(f, flow_hash_v4(&f->filter, theirs[0], ours[0], ports));
	} else if (!(theirs[0] | theirs[1]) && theirs[2] == htonl(0xffff)) {
		add(f, flow_hash_v4(&f->filter, theirs[3], ours[3], ports));
	} else {
		memcpy(a, theirs, sizeof(a));
		memcpy(b, ours, sizeof(b));
		add(f, flow_hash_v6(&f->filter, (const __u64 *)a, (const __u64 *)b, ports));
	}
}

enum { LIST_GOES_ON = 1 };

/* 0: that was all; LIST_GOES_ON; or -errno. */
static int list_read(struct flows *f, const char *at, size_t n)
{
	const struct nlmsghdr *h = (const void *)at;

	for (; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		if (h->nlmsg_seq != f->asked)
			continue;
		if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_flags & NLM_F_DUMP_INTR)
			return -EIO;
		if (h->nlmsg_type == NLMSG_DONE)
			return 0;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
		    h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
			add_socket(f, NLMSG_DATA(h));
	}
	return LIST_GOES_ON;
}

static int list_hear(struct flows *f)
{
	static char piece[PIECE_BYTES] __attribute__((aligned(8)));
	int err = LIST_GOES_ON;

	for (int i = 0; i < PIECES && err == LIST_GOES_ON; i++) {
		ssize_t n = recv(f->fd, piece, sizeof(piece), 0);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? LIST_GOES_ON : -errno;
		err = list_read(f, piece, (size_t)n);
		if (err == 0 && f->family == AF_INET) {
			err = list_ask(f, AF_INET6);
			err = err ? err : LIST_GOES_ON;
		}
	}
	return err;
}

/* ---- when --------------------------------------------------------------------------------- */

/* What nobody has a connection for, or has just asked for one by cookie: so far, on all cores. */
static uint64_t pressure(const struct shield *s)
{
	struct drop_count *drops = calloc(s->cpus, sizeof(*drops));
	struct syn_state *syns = calloc(s->cpus, sizeof(*syns));
	uint64_t sum = 0;

	if (drops && syns &&
	    bpf_map__lookup_elem(s->xdp->maps.drop_count, &zero, sizeof(zero), drops,
				 s->cpus * sizeof(*drops), 0) == 0 &&
	    bpf_map__lookup_elem(s->xdp->maps.syn_state, &zero, sizeof(zero), syns,
				 s->cpus * sizeof(*syns), 0) == 0)
		for (unsigned c = 0; c < s->cpus; c++)
			sum += drops[c].NO_FLOW + syns[c].answered;
	free(drops);
	free(syns);
	return sum;
}

static uint64_t bits_set(const struct flows *f)
{
	uint64_t n = 0;

	for (size_t i = 0; i < (size_t)1 << f->filter.shift; i++)
		n += (uint64_t)__builtin_popcountll(
			__atomic_load_n(&f->bits->word[i], __ATOMIC_RELAXED));
	return n;
}

static uint64_t bits_good(uint32_t shift)
{
	return (64ull << shift) / FULL_ONE_IN;
}

/* The bank that packets are judged by now: a trial may have ended without anybody having been told. */
static int bank_now(const struct shield *s, uint64_t now, __u32 *bank)
{
	struct shield_policy p;
	int err = policy_read(s, &p);

	if (!err)
		*bank = p.trial_ends_ns && p.trial_ends_ns <= now ? !p.bank : p.bank;
	return err;
}

static int fill(struct shield *s, uint64_t now)
{
	struct flows *f = &s->flows;
	int err = bank_now(s, now, &f->filter.bank);

	if (err)
		return err;
	if (!f->bits) {
		void *at = mmap(NULL, sizeof(*f->bits), PROT_READ | PROT_WRITE, MAP_SHARED,
				bpf_map__fd(s->xdp->maps.flow_bits), 0);

		if (at == MAP_FAILED)
			return -errno;
		f->bits = at;
	}
	if (f->filter.shift < FLOW_SHIFT_MIN)
		f->filter.shift = FLOW_SHIFT_MIN;
	if (getrandom(f->filter.seed, sizeof(f->filter.seed), 0) != sizeof(f->filter.seed))
		return -EIO;
	memset(f->bits, 0, sizeof(*f->bits));
	err = tell(
		s,
		FILTER_OFF); /* the rest of it first: a packet may read half of what is being written */
	return err ? err : tell(s, FILTER_FILLING);
}

/* Is it good as it is? If not, it is filled anew, in the size that it should have. */
static bool fits(struct shield *s)
{
	struct flows *f = &s->flows;
	uint32_t shift = FLOW_SHIFT_MIN;

	f->set = bits_set(f);
	if (f->set <= bits_good(f->filter.shift))
		return true;
	while (shift < FLOW_SHIFT_MAX && f->listed * BITS_PER_FLOW > bits_good(shift))
		shift++;
	if (shift == f->filter.shift && f->listed * BITS_PER_FLOW > bits_good(shift))
		return true; /* so many there are: it is worth what it is worth */
	flows_off(s);
	f->filter.shift = shift;
	return false;
}

static void in_force(struct shield *s)
{
	struct flows *f = &s->flows;
	bool again = f->told;
	char text[100];

	list_end(f);
	f->since = 0;
	if (!fits(s) || (f->filter.is == FILTER_FILLING && tell(s, FILTER_ON)))
		return;
	f->told = true;
	if (again)
		return;
	snprintf(text, sizeof(text),
		 "a flood of %llu packets/s without a connection; %llu known by heart",
		 (unsigned long long)f->rate, (unsigned long long)f->listed);
	log_warn("shield: %s", text);
	shield_event(s, EVENT_FLOOD_BEGINS, "%s", text);
}

static void over(struct shield *s)
{
	struct flows *f = &s->flows;

	if (f->filter.is != FILTER_OFF)
		flows_off(s);
	bits_end(f);
	f->filter.shift = 0;
	if (f->told) {
		log_info("shield: the flood is over");
		shield_event(s, EVENT_FLOOD_ENDS, "the flood is over");
	}
	f->told = false;
}

static void failed(struct shield *s, const char *what, int err)
{
	flows_off(s);
	if (!s->flows.complained)
		log_warn("shield: %s: %s; each packet without a connection is looked up", what,
			 strerror(-err));
	s->flows.complained = true;
}

int shield_flows_fd(const struct shield *s)
{
	return s && s->xdp ? s->flows.fd : -1;
}

void shield_flows_hear(struct shield *s)
{
	int err;

	if (shield_flows_fd(s) < 0)
		return;
	err = list_hear(&s->flows);
	if (err < 0)
		failed(s, "the kernel does not list its connections", err);
	else if (err == 0)
		in_force(s);
}

/* The flood's rate since the last tick; false: it cannot be told yet. */
static bool measure(struct shield *s, uint64_t now)
{
	struct flows *f = &s->flows;
	uint64_t sum = pressure(s), since = now - f->at_ns, before = f->sum;
	bool first = !f->at_ns;

	if (!first && since < SHIELD_FLOWS_NS / 2)
		return false;
	f->at_ns = now;
	f->sum = sum;
	if (first || sum < before)
		return false;
	f->rate = (sum - before) * 1000 / (since / 1000000);
	return true;
}

void shield_flows_tick(struct shield *s, uint64_t now)
{
	struct flows *f;
	__u32 bank;
	int err;

	if (!s || !s->xdp || !measure(s, now))
		return;
	f = &s->flows;
	f->calm = f->rate < CALM_PER_S ? f->calm + 1 : 0;
	if (f->calm >= CALM_TICKS) {
		over(s);
		return;
	}
	switch (f->filter.is) {
	case FILTER_OFF:
		err = f->rate >= FLOOD_PER_S || f->told ? fill(s, now) : 0;
		if (err)
			failed(s, "no filter of connections", err);
		break;
	case FILTER_FILLING:
		err = f->fd < 0 ? list_begin(f) : 0;
		if (err)
			failed(s, "the kernel does not list its connections", err);
		break;
	case FILTER_ON:
		if (bank_now(s, now, &bank) || bank != f->filter.bank) {
			flows_off(s);
			break;
		}
		if (f->fd >= 0 || ++f->since < MAX(LIST_TICKS, f->listed / LIST_PER_TICK))
			break;
		err = list_begin(f);
		if (err)
			failed(s, "the kernel does not list its connections", err);
		break;
	}
}

int shield_flows_read(const struct shield *s, struct shield_flow_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (!s->xdp)
		return -EOPNOTSUPP;
	out->is = s->flows.filter.is;
	out->connections = s->flows.listed;
	out->per_s = s->flows.rate;
	if (out->is != FILTER_OFF)
		out->bytes = 8ull << s->flows.filter.shift;
	return 0;
}

const char *shield_filter_word(enum flow_filter_is is)
{
	switch (is) {
	case FILTER_FILLING: return "filling";
	case FILTER_ON: return "on";
	case FILTER_OFF: break;
	}
	return "off";
}
