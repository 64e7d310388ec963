/* SPDX-License-Identifier: BSD-2-Clause */
/* attach.c - one pinned link per interface.
 *
 *   pinned link of this interface? ─► put our program into it, in one step
 *        │ no, or another mode is wanted
 *        └─► native ─► refused? ─► generic ─► refused? ─► off, and say why
 *
 * Native means in the driver, before an skb exists; generic runs behind the
 * driver and costs the skb first. Both judge alike. A link, unlike the older
 * netlink way, cannot be removed or replaced by accident, and its program is
 * exchanged while packets flow.
 *
 * An ifindex names an interface only within its network namespace, a pin
 * directory does not: a pinned link is ours only if the interface here runs the
 * very program that the link holds. */
#include "shield/state.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"

#define PAGE_MTU 3498 /* what all drivers take with a page per frame; veth takes 3506 */

static void link_name(unsigned ifindex, char name[32])
{
	snprintf(name, 32, "link_%u", ifindex);
}

static void why(struct shield_attachment *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void why(struct shield_attachment *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(a->why, sizeof(a->why), fmt, args);
	va_end(args);
}

/* What an errno of attaching means to an operator. */
static const char *refusal(int err, unsigned mtu)
{
	if (err == -EINVAL && mtu > PAGE_MTU)
		return "frames of this size do not fit into a page, and the driver (or a kernel before "
		       "5.18) takes none in pieces: set the MTU to 3498 or less, or mode = \"generic\"";
	switch (-err) {
	case EOPNOTSUPP: return "the driver has none, or not with its present features (LRO)";
	case EINVAL: return "the driver refuses (MTU, ring or channel settings)";
	case EBUSY: return "another program holds a link on it; see: bpftool net";
	case EEXIST: return "another program is attached; see: bpftool net";
	case ENOMEM: return "out of memory, or too few free queues";
	case ENOSPC: return "too few free queues";
	case EPERM: return "not permitted";
	case ENODEV: return "the interface is gone";
	default: return strerror(-err);
	}
}

/* ---- the interface --------------------------------------------------------- */

struct device {
	bool ethernet; /* frames begin with an Ethernet header */
	bool loopback;
	bool veth;
	unsigned mtu;
};

static int device_read(const char *name, struct device *out)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {};
	int err = 0;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return -errno;
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &r))
		err = -errno;
	out->loopback = r.ifr_flags & IFF_LOOPBACK;
	if (!err && ioctl(fd, SIOCGIFHWADDR, &r))
		err = -errno;
	out->ethernet = r.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
			r.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
	if (!err && ioctl(fd, SIOCGIFMTU, &r))
		err = -errno;
	out->mtu = (unsigned)r.ifr_mtu;
	out->veth = steer_is_veth(name);
	close(fd);
	return err;
}

/* ---- slots of the map `iface` ------------------------------------------------ */

static int slot_read(struct shield *s, __u32 slot, struct shield_iface *all)
{
	return bpf_map_lookup_elem(bpf_map__fd(s->xdp->maps.iface), &slot, all);
}

/* Keeps the counters if the slot was this interface's before. */
static int slot_write(struct shield *s, size_t i, const struct device *dev)
{
	const struct shield_attachment *a = &s->iface[i];
	struct shield_iface *all = calloc(s->cpus, sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	err = slot_read(s, s->slot[i], all);
	if (!err && all[0].ifindex != a->ifindex)
		memset(all, 0, s->cpus * sizeof(*all));
	for (unsigned c = 0; c < s->cpus; c++) {
		all[c].ifindex = a->ifindex;
		all[c].mode = a->mode;
		all[c].loopback = dev->loopback;
		all[c].mtu = dev->mtu;
		all[c].deaf = dev->veth && a->mode == SHIELD_NATIVE;
	}
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(s->xdp->maps.iface), &s->slot[i], all,
					  BPF_ANY);
	free(all);
	return err;
}

static bool is_configured(const struct shield *s, unsigned ifindex)
{
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].ifindex == ifindex)
			return true;
	return false;
}

/* Whom the slots belonged to, if the map is an earlier keeper's. */
static void slots_before(struct shield *s, unsigned ifindex[SHIELD_IFACES_MAX])
{
	struct shield_iface *all = calloc(s->cpus, sizeof(*all));

	memset(ifindex, 0, SHIELD_IFACES_MAX * sizeof(*ifindex));
	for (__u32 slot = 0; all && slot < SHIELD_IFACES_MAX; slot++)
		if (slot_read(s, slot, all) == 0 && is_configured(s, all[0].ifindex))
			ifindex[slot] = all[0].ifindex;
	free(all);
}

/* An interface keeps the slot it had, because the earlier program may still be
 * counting there; the others take what is free. */
void attach_prepare(struct shield *s)
{
	unsigned owner[SHIELD_IFACES_MAX];

	for (size_t i = 0; i < s->n_ifaces; i++)
		s->iface[i].ifindex = if_nametoindex(s->iface[i].name);
	slots_before(s, owner);
	for (size_t i = 0; i < s->n_ifaces; i++) {
		unsigned ifindex = s->iface[i].ifindex;
		__u32 slot = 0, empty = SHIELD_IFACES_MAX;

		while (slot < SHIELD_IFACES_MAX && (!ifindex || owner[slot] != ifindex)) {
			if (!owner[slot] && empty == SHIELD_IFACES_MAX)
				empty = slot;
			slot++;
		}
		if (slot == SHIELD_IFACES_MAX)
			slot = empty;
		assert(slot < SHIELD_IFACES_MAX); /* as many slots as interfaces */
		s->slot[i] = slot;
		if (!ifindex)
			continue;
		owner[slot] = ifindex;
		s->xdp->rodata->iface_index[slot] = ifindex;
		s->xdp->rodata->ifaces = MAX(s->xdp->rodata->ifaces, slot + 1);
	}
}

static void slots_forget_others(struct shield *s)
{
	struct shield_iface *none = calloc(s->cpus, sizeof(*none));

	for (__u32 slot = 0; none && slot < SHIELD_IFACES_MAX; slot++)
		if (!s->xdp->rodata->iface_index[slot])
			bpf_map_update_elem(bpf_map__fd(s->xdp->maps.iface), &slot, none, BPF_ANY);
	free(none);
}

/* ---- links ------------------------------------------------------------------ */

static enum shield_mode mode_now(unsigned ifindex, __u32 *prog_id)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);

	if (bpf_xdp_query((int)ifindex, 0, &q))
		return SHIELD_OFF;
	*prog_id = q.prog_id;
	switch (q.attach_mode) {
	case XDP_ATTACHED_DRV:
	case XDP_ATTACHED_HW: return SHIELD_NATIVE;
	case XDP_ATTACHED_SKB: return SHIELD_GENERIC;
	default: return SHIELD_OFF;
	}
}

static bool mode_suits(enum shield_want want, enum shield_mode mode)
{
	return want == SHIELD_WANT_AUTO || (want == SHIELD_WANT_NATIVE) == (mode == SHIELD_NATIVE);
}

/* The mode of a pinned link that really holds this interface, else SHIELD_OFF. */
static enum shield_mode link_mode(int fd, unsigned ifindex)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	__u32 prog_id = 0;
	enum shield_mode mode = mode_now(ifindex, &prog_id);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_LINK_TYPE_XDP ||
	    info.xdp.ifindex != ifindex || info.prog_id != prog_id)
		return SHIELD_OFF;
	return mode;
}

/* Detaches, now: when the last descriptor closes the kernel only gets round to it. */
static void link_release(struct shield *s, const char *pin)
{
	char path[SHIELD_PATH_MAX];
	int fd;

	pin_path(s, pin, path);
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	pin_remove(s, pin);
}

/* 0: the pinned link now runs our program. */
static int take_over(struct shield *s, size_t i, const char *pin)
{
	struct shield_attachment *a = &s->iface[i];
	char path[SHIELD_PATH_MAX];
	enum shield_mode mode;
	int fd, err;

	pin_path(s, pin, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	mode = link_mode(fd, a->ifindex);
	err = mode == SHIELD_OFF ? -ENOLINK : mode_suits(s->want, mode) ? 0 : -EINVAL;
	if (!err)
		err = bpf_link_update(fd, bpf_program__fd(s->xdp->progs.sluice_xdp), NULL);
	if (err) {
		close(fd);
		link_release(s, pin);
		return err;
	}
	s->link_fd[i] = fd;
	a->mode = mode;
	a->taken_over = true;
	if (mode == SHIELD_GENERIC)
		why(a, "as the earlier keeper left it");
	return 0;
}

static int attach_as(struct shield *s, size_t i, const char *pin, enum shield_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = mode == SHIELD_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	struct shield_attachment *a = &s->iface[i];
	int fd, err;

	fd = bpf_link_create(bpf_program__fd(s->xdp->progs.sluice_xdp), (int)a->ifindex, BPF_XDP,
			     &opts);
	if (fd < 0)
		return fd;
	err = pin_store(s, pin, fd);
	if (err) {
		close(fd);
		return err;
	}
	s->link_fd[i] = fd;
	a->mode = mode;
	return 0;
}

static void attach_fresh(struct shield *s, size_t i, const char *pin, unsigned mtu)
{
	struct shield_attachment *a = &s->iface[i];
	int native = 0, generic = 0;

	if (s->want != SHIELD_WANT_GENERIC) {
		native = attach_as(s, i, pin, SHIELD_NATIVE);
		if (!native)
			return;
	}
	if (s->want != SHIELD_WANT_NATIVE) {
		generic = attach_as(s, i, pin, SHIELD_GENERIC);
		if (!generic && native)
			why(a, "no native XDP: %s; MTU is %u", refusal(native, mtu), mtu);
		else if (!generic)
			why(a, "as configured");
	}
	if (a->mode == SHIELD_OFF)
		why(a, "%s; MTU is %u", refusal(generic ? generic : native, mtu), mtu);
}

/* shield.coexist is wanted and not had: that is never silent. */
static void alone(const struct shield *s, struct shield_attachment *a, const char *because)
{
	char before[sizeof(a->why)];

	if (!s->coexist)
		return;
	memcpy(before, a->why, sizeof(before));
	why(a, "%s: %s%s%s",
	    a->mode == SHIELD_OFF ? "no dispatcher" : "alone, without a dispatcher", because,
	    *before ? "; " : "", before);
}

/* By the dispatcher. Where there can be none, alone if the interface is free. */
static void attach_beside(struct shield *s, size_t i, const char *pin, unsigned mtu)
{
	struct shield_attachment *a = &s->iface[i];
	int err = coexist_attach(s, i);

	if (!err)
		return;
	if (err != -EOPNOTSUPP && err != -ENOEXEC) {
		why(a, "libxdp's dispatcher: %s; MTU is %u", refusal(err, mtu), mtu);
		return;
	}
	attach_fresh(s, i, pin, mtu);
	alone(s, a,
	      err == -ENOEXEC ? "libxdp's cannot carry a program that answers SYNs here" :
				"this kernel has no BPF trampolines");
}

static void attach_one(struct shield *s, size_t i)
{
	struct shield_attachment *a = &s->iface[i];
	struct device dev;
	char pin[32];
	int err;

	if (a->ifindex == 0) {
		why(a, "no such interface");
		return;
	}
	err = device_read(a->name, &dev);
	if (err || !dev.ethernet) {
		why(a, "%s", err ? strerror(-err) : "its frames carry no Ethernet header");
		return;
	}
	/* before the first packet is judged */
	err = slot_write(s, i, &dev);
	if (err)
		log_warn("shield: %s: no counters: %s", a->name, strerror(-err));
	link_name(a->ifindex, pin);
	if (take_over(s, i, pin) == 0)
		alone(s, a, "an earlier keeper holds the interface; stop it cleanly first");
	else if (s->coexist)
		attach_beside(s, i, pin, dev.mtu);
	else
		attach_fresh(s, i, pin, dev.mtu);
	slot_write(s, i, &dev);
	s->mtu[i] = dev.mtu;
}

static void say(const struct shield_attachment *a)
{
	if (a->mode == SHIELD_OFF)
		log_error("shield: %s: not attached: %s; it is open until that is changed", a->name,
			  a->why);
	else
		log_info("shield: %s: %s XDP%s%s%s%s", a->name, shield_mode_word(a->mode),
			 a->taken_over ? ", taken over" : "", *a->why ? " (" : "", a->why,
			 *a->why ? ")" : "");
}

/* A link of an interface that is no longer named, or no longer there. */
static void forget_link(struct shield *s, const char *name)
{
	unsigned long ifindex = strtoul(name + strlen("link_"), NULL, 10);

	if (!is_configured(s, (unsigned)ifindex)) {
		log_info("shield: %s is not configured any more: detached", name);
		link_release(s, name);
	}
}

static void forget_member(struct shield *s, const char *name)
{
	unsigned long ifindex = strtoul(name + strlen("member_"), NULL, 10);

	if (!s->coexist || !is_configured(s, (unsigned)ifindex))
		coexist_detach(s, name);
}

void attach_all(struct shield *s)
{
	pin_each(s, "link_", forget_link);
	pin_each(s, "member_", forget_member);
	slots_forget_others(s);
	for (size_t i = 0; i < s->n_ifaces; i++) {
		attach_one(s, i);
		say(&s->iface[i]);
	}
}

/* Why an interface that had the program has it no more; NULL: it has. The kernel takes a link's interface away
 * when that goes, and when somebody detaches the link. */
static const char *lost(struct shield *s, size_t i)
{
	struct shield_attachment *a = &s->iface[i];
	unsigned now = if_nametoindex(a->name);
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	if (!now)
		return "the interface is gone";
	if (now != a->ifindex)
		return "the interface was made anew: `sluiced -r`, or a restart, attaches to it";
	if (s->link_fd[i] >= 0 && bpf_obj_get_info_by_fd(s->link_fd[i], &info, &len) == 0 &&
	    info.xdp.ifindex == 0)
		return "somebody has detached it: `sluiced -r`, or a restart, attaches again";
	if (a->beside && a->mode != SHIELD_OFF)
		return coexist_lost(s, i);
	return NULL;
}

/* What is said stays true: an interface that goes takes its program along, and one of its name that
 * comes later has none. The program knows its interfaces by number, so that takes another program. */
void attach_look(struct shield *s)
{
	for (size_t i = 0; i < s->n_ifaces; i++) {
		struct shield_attachment *a = &s->iface[i];
		const char *because;

		if (a->mode == SHIELD_OFF && !s->lost[i])
			continue;
		because = lost(s, i);
		if (!because || strcmp(because, a->why) == 0)
			continue;
		a->mode = SHIELD_OFF;
		s->lost[i] = true;
		why(a, "%s", because);
		log_error("shield: %s: not protected any more: %s", a->name, because);
		shield_event(s, EVENT_INTERFACE, "%s is open: %s", a->name, because);
	}
}

/* Counters may lose what the cores count while they are written: so only if it must be. */
void attach_refresh(struct shield *s)
{
	struct device dev;

	for (size_t i = 0; i < s->n_ifaces; i++) {
		if (s->iface[i].mode == SHIELD_OFF || device_read(s->iface[i].name, &dev) ||
		    dev.mtu == s->mtu[i])
			continue;
		s->mtu[i] = dev.mtu;
		slot_write(s, i, &dev);
	}
}

void detach_all(struct shield *s)
{
	pin_each(s, "link_", link_release);
	pin_each(s, "member_", coexist_detach);
	for (size_t i = 0; i < s->n_ifaces; i++) {
		if (s->link_fd[i] >= 0)
			close(s->link_fd[i]);
		s->link_fd[i] = -1;
	}
}
