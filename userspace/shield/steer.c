/* SPDX-License-Identifier: BSD-2-Clause */
/* steer.c - the user half of bpf/steer.h: which interfaces need it, and which core gets which flows.
 *
 *   steer = "auto", for each interface that the shield is attached to:
 *     all workers on one core?         off: there is nothing to choose
 *     loopback?                        off: a packet is worked on where its sender runs
 *     a receive queue per core?        rss: the NIC spreads flows, each core keeps what it gets
 *     fewer, in generic mode?          off: RPS does the same there, before us and for less
 *     fewer, on native XDP of a veth?  off: its peer may leave checksums to a NIC that is not there
 *     fewer                            cpumap
 *
 * The program that picks workers goes by the CPU only if every interface (loopback does not vote) brings
 * flows to cores; else one interface with a single queue would fill a single worker.
 *
 * Generic XDP never gets a cpumap, asked for or not: on Linux 6.18 the segments that it moves reach IP
 * and not TCP.
 *
 * Slot i of the table belongs to core i % cores for good. While that core has no living worker another one stands in;
 * a worker that is full lives, and has the packets of its connections. */
#include "shield/state.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"
#include "bpf/sluice_xdp.skel.h"

/* Frames that may wait for a core: a burst of all that a NIC's ring holds. */
#define STEER_QUEUE 2048

static const __u32 zero;

/* ---- cores ----------------------------------------------------------------- */

static bool cpu_before(const struct shield *s, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (s->worker[j].cpu == s->worker[i].cpu)
			return true;
	return false;
}

/* The CPUs that have workers, living or not, in `cpu`; their number. */
static unsigned cores_of(const struct shield *s, __u16 cpu[SHIELD_WORKERS_MAX])
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n_workers; i++)
		if (!cpu_before(s, i))
			cpu[n++] = (__u16)s->worker[i].cpu;
	return n;
}

static bool core_lives(const struct shield *s, unsigned cpu)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (s->worker[i].cpu == cpu && s->worker[i].state != SHIELD_WORKER_DOWN)
			return true;
	return false;
}

static void table_fill(const struct shield *s, struct steer_table *t)
{
	__u16 all[SHIELD_WORKERS_MAX], living[SHIELD_WORKERS_MAX];
	unsigned n = cores_of(s, all), n_living = 0;

	for (unsigned i = 0; i < n; i++)
		if (core_lives(s, all[i]))
			living[n_living++] = all[i];
	for (unsigned i = 0; i < STEER_SLOTS; i++) {
		if (n_living == 0)
			t->cpu[i] = STEER_HERE;
		else if (core_lives(s, all[i % n]))
			t->cpu[i] = all[i % n];
		else
			t->cpu[i] = living[i / n % n_living];
	}
}

static int table_read(const struct shield *s, struct steer_table *t)
{
	return bpf_map__lookup_elem(s->xdp->maps.steer_to, &zero, sizeof(zero), t, sizeof(*t), 0);
}

static int table_write(const struct shield *s, const struct steer_table *t)
{
	return bpf_map__update_elem(s->xdp->maps.steer_to, &zero, sizeof(zero), t, sizeof(*t),
				    BPF_ANY);
}

int steer_follow(struct shield *s)
{
	struct steer_table now;
	int err;

	if (!s->xdp)
		return 0;
	err = table_read(s, &now);
	if (err || !now.ifaces)
		return err;
	table_fill(s, &now);
	return table_write(s, &now);
}

/* ---- the cpumap --------------------------------------------------------------- */

static bool has_worker(const struct shield *s, unsigned cpu)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (s->worker[i].cpu == cpu)
			return true;
	return false;
}

/* A kernel thread per entry. One that is right already is left alone: a new one would
 * drop what waits in the old one's queue. */
static int entry_write(const struct shield *s, __u32 cpu, bool wanted)
{
	struct bpf_cpumap_val now = {}, want = {.qsize = STEER_QUEUE};
	int fd = bpf_map__fd(s->xdp->maps.steer_cpu);
	bool there = bpf_map_lookup_elem(fd, &cpu, &now) == 0 && now.qsize;

	if (there == wanted && (!there || now.qsize == want.qsize))
		return 0;
	return wanted ? bpf_map_update_elem(fd, &cpu, &want, BPF_ANY) :
			bpf_map_delete_elem(fd, &cpu);
}

static int entries_write(const struct shield *s, bool wanted)
{
	int err = 0;

	for (__u32 cpu = 0; cpu < s->cpus && !err; cpu++)
		err = entry_write(s, cpu, wanted && has_worker(s, cpu));
	return err;
}

/* ---- an interface ------------------------------------------------------------- */

static int ethtool_ask(const char *name, void *request)
{
	struct ifreq r = {.ifr_data = request};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	err = ioctl(fd, SIOCETHTOOL, &r) ? -errno : 0;
	close(fd);
	return err;
}

/* /sys/class/net shows the interfaces of the namespace that mounted it, which need not be ours. */
static unsigned queues_in_sysfs(const char *name)
{
	char path[64];
	unsigned n = 0;

	do
		snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-%u", name, n);
	while (access(path, F_OK) == 0 && ++n < 4096);
	return n ? n : 1;
}

/* Receive queues that are in use. */
static unsigned queues_of(const char *name)
{
	struct ethtool_channels c = {.cmd = ETHTOOL_GCHANNELS};

	if (ethtool_ask(name, &c) || c.rx_count + c.combined_count == 0)
		return queues_in_sysfs(name);
	return c.rx_count + c.combined_count;
}

bool steer_is_veth(const char *name)
{
	struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};

	return ethtool_ask(name, &d) == 0 && strcmp(d.driver, "veth") == 0;
}

static bool is_loopback(const char *name)
{
	struct ifreq r = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool yes;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	yes = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_LOOPBACK);
	if (fd >= 0)
		close(fd);
	return yes;
}

static void is(struct shield_attachment *a, enum shield_steer_how how, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void is(struct shield_attachment *a, enum shield_steer_how how, const char *fmt, ...)
{
	va_list args;

	a->steer = how;
	va_start(args, fmt);
	vsnprintf(a->steer_why, sizeof(a->steer_why), fmt, args);
	va_end(args);
}

#define GENERIC_WHY "generic XDP moves nothing: let RPS do it (queues/rx-*/rps_cpus)"

/* The table at the top of this file. */
static void choose(struct shield_attachment *a, unsigned cores)
{
	unsigned queues = queues_of(a->name);
	const char *s = queues == 1 ? "" : "s";

	if (cores < 2)
		is(a, STEER_NOTHING, "all workers are on one core");
	else if (is_loopback(a->name))
		is(a, STEER_NOTHING, "loopback: packets stay on their sender's core");
	else if (queues >= cores)
		is(a, STEER_RSS, "%u receive queues for %u cores", queues, cores);
	else if (a->mode == SHIELD_GENERIC)
		is(a, STEER_NOTHING, GENERIC_WHY);
	else if (steer_is_veth(a->name))
		is(a, STEER_NOTHING,
		   "a veth's peer may leave checksums open: see steer in sluice.conf");
	else
		is(a, STEER_CPUMAP, "%u receive queue%s for %u cores", queues, s, cores);
}

static void decide(const struct shield *s, struct shield_attachment *a, unsigned cores)
{
	if (a->mode == SHIELD_OFF)
		is(a, STEER_NOTHING, "the shield is not attached");
	else if (s->steer == SHIELD_STEER_WANT_OFF)
		is(a, STEER_NOTHING, "as configured");
	else if (s->steer == SHIELD_STEER_WANT_RSS)
		is(a, STEER_RSS, "as configured");
	else if (a->beside)
		is(a, STEER_NOTHING,
		   "in a dispatcher: programs behind ours would miss what it moves");
	else if (s->steer == SHIELD_STEER_WANT_CPUMAP && a->mode == SHIELD_GENERIC)
		is(a, STEER_NOTHING, GENERIC_WHY);
	else if (s->steer == SHIELD_STEER_WANT_CPUMAP && steer_is_veth(a->name))
		is(a, STEER_CPUMAP, "as configured; its peer must compute checksums (tx off)");
	else if (s->steer == SHIELD_STEER_WANT_CPUMAP)
		is(a, STEER_CPUMAP, "as configured");
	else
		choose(a, cores);
}

/* ---- all of it ----------------------------------------------------------------- */

static bool uses_cpumap(const struct shield *s)
{
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].steer == STEER_CPUMAP)
			return true;
	return false;
}

static void without_cpumap(struct shield *s, int err)
{
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].steer == STEER_CPUMAP)
			is(&s->iface[i], STEER_NOTHING, "the kernel gives us no cpumap: %s",
			   strerror(-err));
}

/* Do packets come in on the core of their worker? */
static enum shield_steer picks_by(const struct shield *s)
{
	bool any = s->steer == SHIELD_STEER_WANT_RSS;

	for (size_t i = 0; i < s->n_ifaces; i++) {
		const struct shield_attachment *a = &s->iface[i];

		if (a->mode == SHIELD_OFF || (a->steer == STEER_NOTHING && is_loopback(a->name)))
			continue;
		if (a->steer == STEER_NOTHING)
			return SHIELD_STEER_BY_HASH;
		any = true;
	}
	return any ? SHIELD_STEER_BY_CPU : SHIELD_STEER_BY_HASH;
}

static int program_told(struct shield *s)
{
	struct steer_table t;
	int err = table_read(s, &t);

	if (err)
		return err;
	if (!t.seed)
		random_bytes(&t.seed, sizeof(t.seed));
	t.ifaces = 0;
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].steer == STEER_CPUMAP)
			t.ifaces |= 1ull << s->slot[i];
	table_fill(s, &t);
	return table_write(s, &t);
}

static void say(const struct shield *s)
{
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].mode != SHIELD_OFF)
			log_info("shield: %s: steering: %s (%s)", s->iface[i].name,
				 shield_steer_word(s->iface[i].steer), s->iface[i].steer_why);
}

int steer_set(struct shield *s)
{
	__u16 cpu[SHIELD_WORKERS_MAX];
	unsigned cores = cores_of(s, cpu);
	struct shield_policy now;
	int err = 0;

	for (size_t i = 0; i < s->n_ifaces; i++)
		decide(s, &s->iface[i], cores);
	if (s->xdp) {
		err = entries_write(s, uses_cpumap(s));
		if (err)
			without_cpumap(s, err);
		err = program_told(s);
	}
	if (!err)
		err = policy_read(s, &now);
	if (!err) {
		now.steer = picks_by(s);
		err = policy_write(s, &now);
	}
	if (!err && s->xdp)
		say(s);
	return err;
}
