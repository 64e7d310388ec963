/* SPDX-License-Identifier: BSD-2-Clause */
/* capture.c - drop capture: dropped packets into a file that tcpdump and Wireshark read.
 *
 *   `sample` says what is wanted ─► AF_XDP sockets, one per queue ─┐
 *                               └─► ring buffer                    ├─► by time ─► pcap
 *
 * This is the one command that writes to a map of the shield itself: it wants the frames,
 * and they are too many to pass through the daemon. The request ends in the kernel by count and by
 * clock, however this process ends: it is good for seconds, and made good for more as long as we live.
 * What is left of it tells the keeper that it is over, and what became of it. Packets of several queues come together here: they are
 * held back for a moment and written in the order of their time. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "shield/pcap.h"
#include "shield/shield.h"
#include "tools/sluicectl/ctl.h"

#define PORTS_MAX   64 /* queues, over all interfaces */
#define FRAMES      512
#define FRAME_BYTES 4096
#define HOLD_NS     100000000ull /* before it is written, so that what is older still comes first */
#define LOOK_US     10000
#define BUSY_US     50000 /* the kernel closes an AF_XDP socket a moment after its owner has */
#define BUSY_MAX    40    /* times that we look, for all queues together */
#define COUNT_MAX   1000000
#define TIME_MAX_S  3600
#define RENEW_NS    1000000000ull
#define LEASE_NS    4000000000ull /* after that nobody asks any more */

struct caught {
	uint64_t ns;
	uint32_t wire, here;
	uint8_t *frame;
};

/* One AF_XDP socket. */
struct port {
	void *area;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons complete, rx;
};

struct capture {
	struct ctl *ctl;
	FILE *out;
	int sample; /* the map */
	struct ring_buffer *ring;
	struct port port[PORTS_MAX];
	unsigned n_ports;
	char why_ring[200];
	unsigned n_busy; /* times that a queue was still another one's */
	uint64_t wall_less_mono_ns;

	struct caught *held;
	size_t n_held, cap_held;
	uint64_t latest_ns;
	uint64_t of_reason[DROP_REASONS];
	uint64_t caught, wanted;
	uint64_t end_ns, until_ns; /* of all of it; of the request as it is */
	bool failed;
};

/* What the command line asks for. */
struct wish {
	const char *file, *via;
	uint64_t reasons;
	long long count, seconds, one_in;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

/* ── what comes in ── */

static void hold(struct capture *c, const struct shield_mark *mark, uint32_t wire,
		 struct bytes frame)
{
	struct caught *more;

	if (c->caught == c->wanted)
		return;
	if (c->n_held == c->cap_held) {
		more = realloc(c->held, (c->cap_held * 2 + 64) * sizeof(*more));
		if (!more)
			return;
		c->held = more;
		c->cap_held = c->cap_held * 2 + 64;
	}
	more = &c->held[c->n_held];
	*more = (struct caught){mark->ns, wire, (uint32_t)frame.n, malloc(frame.n + 1)};
	if (!more->frame)
		return;
	memcpy(more->frame, frame.p, frame.n);
	c->n_held++;
	c->caught++;
	c->latest_ns = MAX(c->latest_ns, mark->ns);
	c->of_reason[mark->reason < DROP_REASONS ? mark->reason : DROP_NONE]++;
}

static int from_ring(void *capture, void *data, size_t n)
{
	const struct shield_sampled *s = data;

	if (n >= sizeof(*s) && s->mark.magic == SAMPLE_MARK && s->here <= sizeof(s->frame))
		hold(capture, &s->mark, s->wire, BYTES(s->frame, s->here));
	return 0;
}

/* What the program has put before the frame, if driver and kernel have carried it here. */
static struct shield_mark mark_of(const uint8_t *frame)
{
	struct shield_mark m;

	memcpy(&m, frame - sizeof(m), sizeof(m));
	if (m.magic != SAMPLE_MARK)
		m = (struct shield_mark){.ns = clock_mono_ns(), .reason = DROP_NONE};
	return m;
}

static void from_port(struct capture *c, struct port *p)
{
	uint32_t at, back, n = xsk_ring_cons__peek(&p->rx, FRAMES, &at);

	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&p->rx, at + i);
		const uint8_t *frame = xsk_umem__get_data(p->area, d->addr);
		struct shield_mark m = mark_of(frame);

		hold(c, &m, d->len, BYTES(frame, d->len));
		if (xsk_ring_prod__reserve(&p->fill, 1, &back) == 1) {
			*xsk_ring_prod__fill_addr(&p->fill, back) =
				d->addr / FRAME_BYTES * FRAME_BYTES;
			xsk_ring_prod__submit(&p->fill, 1);
		}
	}
	xsk_ring_cons__release(&p->rx, n);
}

/* ── what goes out ── */

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct caught *)a)->ns, y = ((const struct caught *)b)->ns;

	return x < y ? -1 : x > y;
}

/* Writes what is older than `before`. */
static void write_held(struct capture *c, uint64_t before)
{
	size_t n = 0;

	if (c->n_held == 0)
		return;
	qsort(c->held, c->n_held, sizeof(*c->held), by_time);
	for (; n < c->n_held && c->held[n].ns < before; n++) {
		const struct caught *f = &c->held[n];
		const struct pcap_frame out = {.wall_ns = f->ns + c->wall_less_mono_ns,
					       .wire = f->wire,
					       .frame = BYTES(f->frame, f->here)};

		c->failed = c->failed || !pcap_write(c->out, &out);
		free(f->frame);
	}
	c->n_held -= n;
	memmove(c->held, c->held + n, c->n_held * sizeof(*c->held));
	c->failed = c->failed || fflush(c->out);
}

/* ── AF_XDP ── */

static void port_close(struct port *p)
{
	if (p->socket)
		xsk_socket__delete(p->socket);
	if (p->umem)
		xsk_umem__delete(p->umem);
	if (p->area)
		munmap(p->area, FRAMES * FRAME_BYTES);
	memset(p, 0, sizeof(*p));
}

static int port_open(struct port *p, const char *interface, unsigned queue)
{
	static const struct xsk_socket_config config = {
		.rx_size = FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD, /* ours is there */
		.bind_flags = XDP_COPY, /* without: some drivers reset the queue */
	};
	static const struct xsk_umem_config memory = {
		.fill_size = FRAMES, .comp_size = 64, .frame_size = FRAME_BYTES};
	uint32_t at;
	int err;

	p->area = mmap(NULL, FRAMES * FRAME_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->area == MAP_FAILED) {
		p->area = NULL;
		return -errno;
	}
	err = xsk_umem__create(&p->umem, p->area, FRAMES * FRAME_BYTES, &p->fill, &p->complete,
			       &memory);
	if (!err)
		err = xsk_socket__create(&p->socket, interface, queue, p->umem, &p->rx, NULL,
					 &config);
	if (!err && xsk_ring_prod__reserve(&p->fill, FRAMES, &at) == FRAMES) {
		for (uint32_t i = 0; i < FRAMES; i++)
			*xsk_ring_prod__fill_addr(&p->fill, at + i) = (uint64_t)i * FRAME_BYTES;
		xsk_ring_prod__submit(&p->fill, FRAMES);
	}
	if (err)
		port_close(p);
	return err;
}

static unsigned queues_of(const char *interface)
{
	struct ethtool_channels ch = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq r = {.ifr_data = (void *)&ch};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned n = 1;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", interface);
	if (fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0)
		n = MAX(ch.rx_count + ch.combined_count, 1u);
	if (fd >= 0)
		close(fd);
	return n;
}

static int interface_open(struct capture *c, int xsks, uint32_t slot, unsigned ifindex)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(ifindex, name))
		return 0; /* gone, or of another network namespace */
	for (unsigned q = 0, n = queues_of(name); q < n; q++) {
		struct port *p = &c->port[c->n_ports];
		uint32_t key = slot * SAMPLE_QUEUES + q;
		int fd, err = q < SAMPLE_QUEUES && c->n_ports < PORTS_MAX ? 0 : -E2BIG;

		if (!err)
			err = port_open(p, name, q);
		while (err == -EBUSY && c->n_busy++ < BUSY_MAX) {
			usleep(BUSY_US);
			err = port_open(p, name, q);
		}
		if (!err) {
			c->n_ports++;
			fd = xsk_socket__fd(p->socket);
			if (bpf_map_update_elem(xsks, &key, &fd, BPF_ANY))
				err = -errno;
		}
		if (err) {
			snprintf(c->why_ring, sizeof(c->why_ring), "%s queue %u: %s", name, q,
				 err == -E2BIG ? "more queues than sockets" : strerror(-err));
			return err;
		}
	}
	return 0;
}

static void ports_close(struct capture *c)
{
	while (c->n_ports > 0)
		port_close(&c->port[--c->n_ports]);
}

/* A socket for each queue of each interface that the shield is attached to; else none. */
static bool ports_open(struct capture *c)
{
	int code, ifaces = ctl_pinned(c->ctl, "iface", &code),
		  xsks = ifaces < 0 ? -1 : ctl_pinned(c->ctl, "sample_xsk", &code);
	struct shield_iface *all = calloc((size_t)libbpf_num_possible_cpus(), sizeof(*all));
	int err = xsks < 0 || !all ? -ENOENT : 0;

	if (!err && c->ctl->net_apart) {
		snprintf(c->why_ring, sizeof(c->why_ring),
			 "sluiced's network namespace cannot be entered");
		err = -EPERM;
	}

	for (uint32_t slot = 0; !err && slot < SHIELD_IFACES_MAX; slot++)
		if (bpf_map_lookup_elem(ifaces, &slot, all) == 0 && all[0].ifindex &&
		    all[0].mode != SHIELD_OFF)
			err = interface_open(c, xsks, slot, all[0].ifindex);
	if (!err && c->n_ports == 0) {
		snprintf(c->why_ring, sizeof(c->why_ring), "no interface of the shield is here");
		err = -ENODEV;
	}
	if (err)
		ports_close(c);
	free(all);
	if (ifaces >= 0)
		close(ifaces);
	if (xsks >= 0)
		close(xsks);
	return !err;
}

/* ── the request ── */

static const uint32_t zero;

static bool sample_read(const struct capture *c, struct shield_sample *s)
{
	return bpf_map_lookup_elem(c->sample, &zero, s) == 0;
}

static int nobody_else(const struct capture *c)
{
	struct shield_sample s;

	if (!sample_read(c, &s))
		return ctl_fail(c->ctl, CTL_REFUSED, "sample: %s", strerror(errno));
	if (s.until_ns > clock_mono_ns())
		return ctl_fail(c->ctl, CTL_BUSY, "another capture is running");
	return CTL_OK;
}

static bool ask(struct capture *c, struct shield_sample *s)
{
	c->until_ns = s->until_ns = MIN(clock_mono_ns() + LEASE_NS, c->end_ns);
	return bpf_map_update_elem(c->sample, &zero, s, BPF_ANY) == 0;
}

static int begin(struct capture *c, const struct wish *w)
{
	struct shield_sample s;
	int code = nobody_else(c);

	if (code != CTL_OK)
		return code;
	c->end_ns = clock_mono_ns() + (uint64_t)w->seconds * 1000000000u;
	s = (struct shield_sample){.reasons = w->reasons,
				   .left = (int64_t)c->wanted,
				   .one_in = (uint32_t)w->one_in,
				   .via = c->n_ports ? SAMPLE_XSK : SAMPLE_RING};
	if (!ask(c, &s))
		return ctl_fail(c->ctl, CTL_REFUSED, "sample: %s", strerror(errno));
	return CTL_OK;
}

/* False: it is another one's now, who found ours run out (we may have been stopped). What the
 * program counts at this moment is lost to `left`: a packet more is offered, and not taken. */
static bool renew(struct capture *c, const struct wish *w)
{
	uint64_t now = clock_mono_ns();
	struct shield_sample s;

	if (c->until_ns == c->end_ns || now + LEASE_NS - RENEW_NS < c->until_ns ||
	    !sample_read(c, &s))
		return true;
	if (s.until_ns != c->until_ns && s.until_ns > now)
		return false;
	s.reasons = w->reasons;
	s.one_in = (uint32_t)w->one_in;
	s.via = c->n_ports ? SAMPLE_XSK : SAMPLE_RING;
	if (s.until_ns != c->until_ns) /* cleared away meanwhile */
		s.left = (int64_t)(c->wanted - c->caught);
	ask(c, &s);
	return true;
}

static void look(struct capture *c)
{
	ring_buffer__consume(c->ring);
	for (unsigned i = 0; i < c->n_ports; i++)
		from_port(c, &c->port[i]);
}

static void gather(struct capture *c, const struct wish *w)
{
	uint64_t quiet_since = 0;
	struct shield_sample s;

	while (!interrupted && !c->failed && c->caught < c->wanted && clock_mono_ns() < c->end_ns &&
	       renew(c, w)) {
		uint64_t before = c->caught, now;

		look(c);
		now = clock_mono_ns();
		write_held(c, now - HOLD_NS);
		if (c->caught != before || !quiet_since)
			quiet_since = now;
		/* the kernel has given as many as were wanted, some of which were lost on the way */
		if (sample_read(c, &s) && s.left <= 0 && now - quiet_since > 2 * HOLD_NS)
			break;
		usleep(LOOK_US);
	}
}

/* Stops the sampling, and says how many had no room; the keeper finds what became of it. */
static uint64_t end(struct capture *c)
{
	struct shield_sample s;
	bool ours = sample_read(c, &s) && s.until_ns == c->until_ns;
	uint64_t lost = ours ? s.lost : 0;

	s.until_ns = 0;
	s.told = 0;
	if (ours)
		bpf_map_update_elem(c->sample, &zero, &s, BPF_ANY);
	look(c);
	write_held(c, UINT64_MAX);
	s.left = (int64_t)c->caught;
	s.told = SAMPLE_OVER;
	if (ours)
		bpf_map_update_elem(c->sample, &zero, &s, BPF_ANY);
	return lost;
}

static int report(struct capture *c, const char *file, uint64_t lost)
{
	json_t *reasons = json_object();

	for (unsigned i = 0; i < DROP_REASONS; i++)
		if (c->of_reason[i])
			json_object_set_new(reasons, i ? shield_reason_word(i) : "unknown",
					    json_integer((json_int_t)c->of_reason[i]));
	if (c->ctl->json) {
		if (strcmp(file, "-") == 0) { /* the packets went there */
			json_decref(reasons);
			return CTL_OK;
		}
		ctl_print_json(c->ctl, json_pack("{s:I,s:I,s:s,s:s,s:o}", "packets",
						 (json_int_t)c->caught, "lost", (json_int_t)lost,
						 "via", c->n_ports ? "xsk" : "ring", "file", file,
						 "reasons", reasons));
		return CTL_OK;
	}
	fprintf(stderr, "%llu packet%s", (unsigned long long)c->caught, c->caught == 1 ? "" : "s");
	const char *word;
	const json_t *n;
	json_object_foreach(reasons, word, n)
		fprintf(stderr, ", %lld %s", (long long)json_integer_value(n), word);
	fprintf(stderr, "%s\n", lost ? "; more had no room in the ring buffer" : "");
	json_decref(reasons);
	return CTL_OK;
}

static int run(struct capture *c, const struct wish *w)
{
	struct sigaction stop = {.sa_handler = on_signal};
	uint64_t lost;
	int code;

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	ring_buffer__consume(c->ring); /* what an earlier one has left: none is wanted yet */
	c->wanted = (uint64_t)w->count;
	c->wall_less_mono_ns = clock_wall_ms() * 1000000u - clock_mono_ns();
	code = begin(c, w);
	if (code != CTL_OK)
		return code;
	/* not before: a file that is there is not emptied for nothing */
	c->out = ctl_open_out(c->ctl, w->file, &code);
	if (!c->out) {
		end(c);
		return code;
	}
	c->failed = !pcap_write_head(c->out) ||
		    fflush(c->out); /* a file that can be read, come what may */
	if (!c->ctl->json)
		fprintf(stderr, "up to %llu dropped packet%s within %llds, by %s%s%s\n",
			(unsigned long long)c->wanted, c->wanted == 1 ? "" : "s", w->seconds,
			c->n_ports ? "AF_XDP" : "ring buffer",
			*c->why_ring ? " because AF_XDP is not to be had: " : "", c->why_ring);
	gather(c, w);
	lost = end(c);
	if (c->failed)
		return ctl_fail(c->ctl, CTL_REFUSED, "%s: %s", ctl_arg(w->file), strerror(errno));
	return report(c, w->file, lost);
}

/* ── the words ── */

/* "denied" or "denied,land": a bit each. 0 after ctl_fail(). */
static uint64_t reasons_of(const struct ctl *ctl, const char *text)
{
	char copy[512], *save = NULL;
	uint64_t bits = 0;

	if (!text)
		return ~1ull;
	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		unsigned i = 1;

		while (i < DROP_REASONS && strcmp(w, shield_reason_word(i)) != 0)
			i++;
		if (i == DROP_REASONS) {
			ctl_fail(ctl, CTL_USAGE,
				 "reason: '%s' is none; see: sluicectl drop show all", ctl_arg(w));
			return 0;
		}
		bits |= 1ull << i;
	}
	if (!bits)
		ctl_fail(ctl, CTL_USAGE, "reason: which one? see: sluicectl drop show all");
	return bits;
}

static int with_maps(struct capture *c, const struct wish *w)
{
	int code = CTL_OK, ring = ctl_pinned(c->ctl, "samples", &code);

	if (ring < 0)
		return code;
	c->sample = ctl_pinned(c->ctl, "sample", &code);
	c->ring = c->sample < 0 ? NULL : ring_buffer__new(ring, from_ring, c, NULL);
	if (c->sample >= 0 && !c->ring)
		code = ctl_fail(c->ctl, CTL_REFUSED, "samples: %s", strerror(errno));
	if (c->ring)
		code = nobody_else(c); /* his sockets would be in our way */
	if (code == CTL_OK && strcmp(w->via, "ring") != 0 && !ports_open(c) &&
	    strcmp(w->via, "xsk") == 0)
		code = ctl_fail(c->ctl, CTL_REFUSED, "AF_XDP: %s", c->why_ring);
	if (code == CTL_OK)
		code = run(c, w);
	if (c->out && c->out != stdout && fclose(c->out) && code == CTL_OK)
		code = ctl_fail(c->ctl, CTL_REFUSED, "%s: %s", ctl_arg(w->file), strerror(errno));
	ports_close(c);
	ring_buffer__free(c->ring);
	close(ring);
	if (c->sample >= 0)
		close(c->sample);
	return code;
}

int drop_capture(struct ctl *ctl, int argc, char **argv)
{
	const char *reason = NULL, *count = NULL, *time = NULL, *every = NULL;
	struct wish w = {.count = 1000, .seconds = 60, .one_in = 1};
	const struct keyword words[] = {{"out", &w.file}, {"reason", &reason}, {"count", &count},
					{"for", &time},   {"via", &w.via},     {"one-in", &every}};
	struct capture c = {.ctl = ctl, .sample = -1};
	int code;

	if (!ctl_keywords(ctl, argc, argv, words, sizeof(words) / sizeof(words[0])))
		return CTL_USAGE;
	if (!w.file)
		return ctl_fail(ctl, CTL_USAGE, "into which file? sluicectl drop capture out FILE");
	if (count && (!ctl_number(count, COUNT_MAX, &w.count) || w.count < 1))
		return ctl_fail(ctl, CTL_USAGE, "count: 1 to %d, not '%s'", COUNT_MAX,
				ctl_arg(count));
	if (time && (!ctl_duration(time, &w.seconds) || w.seconds < 1 || w.seconds > TIME_MAX_S))
		return ctl_fail(ctl, CTL_USAGE, "for: 1s to 1h, not '%s'", ctl_arg(time));
	if (every && (!ctl_number(every, 1000000, &w.one_in) || w.one_in < 1))
		return ctl_fail(ctl, CTL_USAGE, "one-in: 1 to 1000000, not '%s'", ctl_arg(every));
	if (w.via && strcmp(w.via, "ring") != 0 && strcmp(w.via, "xsk") != 0)
		return ctl_fail(ctl, CTL_USAGE, "via: ring or xsk, not '%s'", ctl_arg(w.via));
	w.via = w.via ? w.via : "";
	w.reasons = reasons_of(ctl, reason);
	if (!w.reasons)
		return CTL_USAGE;
	code = with_maps(&c, &w);
	for (size_t i = 0; i < c.n_held; i++)
		free(c.held[i].frame);
	free(c.held);
	return code;
}
