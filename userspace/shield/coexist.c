/* SPDX-License-Identifier: BSD-2-Clause */
/* coexist.c - beside other XDP programs on an interface, through libxdp's dispatcher.
 *
 *   interface ─► dispatcher (libxdp's) ─► sluice_xdp ─ passed ─► the next program ─► …
 *
 * A dispatcher calls its members through BPF trampolines. Where the kernel has none, libxdp attaches
 * the one program alone and says nothing: the next one then finds the interface taken. So we look
 * at what came of it, undo it if that is not a dispatcher, and say so; attach.c then attaches in
 * its own way, which nothing can replace by accident.
 *
 * Newer kernels (6.13, and 6.12 as Debian has it) let a program that changes packets, as answering a SYN does, stand only in a
 * dispatcher that says the same of itself; libxdp 1.3's does not. There the member is refused when
 * it is loaded, which is told apart from a refused attachment.
 *
 * A member is a copy of the program, of another type, that shares the maps of the first; prog run
 * (sluicectl drop explain) goes to the first. Taking a member out again means to fetch the others by
 * their numbers, which takes CAP_SYS_ADMIN, and the keeper has given that up by then: it then leaves a
 * member that protects nothing, passes everything and is replaced by the next start.
 *
 * Nor can it ask libxdp later who is in a dispatcher. But a dispatcher's members never change: libxdp
 * puts another in its place, and pins the members of that before. So we look whether it is the same
 * dispatcher, and if not, among the pins of the other for our program. */
#include "shield/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "base/bytes.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"

#define PROGS_MAX 10 /* of a dispatcher */
#define RUN_PRIO  10 /* before programs with libxdp's default, 50: what we drop they need not see */

static void member_name(unsigned ifindex, char name[32])
{
	snprintf(name, 32, "member_%u", ifindex);
}

static int quiet(enum libxdp_print_level level, const char *fmt, va_list args)
{
	char line[256];

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	log_debug("shield: %s", line);
	return 0;
}

/* A map that holds programs, or could, belongs to programs of one type, and frags count as one: a cpumap
 * of the first would make the kernel refuse the copy. It gets an empty one of its own, and moves nothing. */
static bool is_shared(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && bpf_map__type(map) != BPF_MAP_TYPE_CPUMAP;
}

/* The same program once more, on the maps of the first. */
static struct sluice_xdp_bpf *copy_open(const struct shield *s)
{
	struct sluice_xdp_bpf *copy = sluice_xdp_bpf__open();
	struct bpf_map *map, *first;
	int err = copy ? 0 : -errno;

	if (err)
		return NULL;
	memcpy(copy->rodata, s->xdp->rodata, sizeof(*copy->rodata));
	bpf_object__for_each_map(map, copy->obj)
	{
		first = bpf_object__find_map_by_name(s->xdp->obj, bpf_map__name(map));
		if (!err && is_shared(map))
			err = first ? bpf_map__reuse_fd(map, bpf_map__fd(first)) : -ENOENT;
		else if (!err && !bpf_map__is_internal(map))
			err = bpf_map__set_max_entries(map, bpf_map__max_entries(first));
	}
	bpf_program__set_flags(copy->progs.sluice_xdp,
			       bpf_program__flags(s->xdp->progs.sluice_xdp));
	if (!err)
		return copy;
	sluice_xdp_bpf__destroy(copy);
	return NULL;
}

/* Which programs a dispatcher calls there; 0: there is none. *alone: one program, not a dispatcher. */
static int members(unsigned ifindex, bool *alone)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)ifindex);
	int n = 0;

	*alone = false;
	if (libxdp_get_error(mp))
		return 0;
	*alone = xdp_multiprog__is_legacy(mp);
	if (!*alone)
		n = xdp_multiprog__program_count(mp);
	xdp_multiprog__close(mp);
	return n;
}

static enum xdp_attach_mode libxdp_mode(enum shield_mode mode)
{
	return mode == SHIELD_NATIVE ? XDP_MODE_NATIVE : XDP_MODE_SKB;
}

/* The pinned member out of that interface's dispatcher. -ENOENT: nothing of it is there. */
static int member_out(struct shield *s, unsigned ifindex)
{
	char name[32], path[SHIELD_PATH_MAX];
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)ifindex);
	int err = (int)libxdp_get_error(mp);
	struct xdp_program *prog;
	enum xdp_attach_mode mode;

	if (err)
		return err; /* without CAP_SYS_ADMIN it cannot even be looked at */
	xdp_multiprog__close(mp);
	member_name(ifindex, name);
	pin_path(s, name, path);
	prog = xdp_program__from_pin(path);
	err = (int)libxdp_get_error(prog);
	if (err)
		return err;
	mode = xdp_program__is_attached(prog, (int)ifindex);
	err = mode ? xdp_program__detach(prog, (int)ifindex, mode, 0) : -ENOENT;
	xdp_program__close(prog);
	return err;
}

/* What an earlier keeper left there, out; the new one is in already. */
static void remove_earlier(struct shield *s, unsigned ifindex)
{
	int err = member_out(s, ifindex);

	if (err && err != -ENOENT)
		log_warn("shield: a member of an earlier keeper stays beside ours: %s",
			 strerror(-err));
}

static void beside_why(struct shield_attachment *a, int n)
{
	snprintf(a->why, sizeof(a->why), "by libxdp's dispatcher, one of %d program%s", n,
		 n == 1 ? "" : "s");
}

/* 0: it cannot be told. */
static __u32 id_of(int prog)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog, &info, &len) ? 0 : info.id;
}

static int attach_as(struct shield *s, size_t i, struct xdp_program *prog, enum shield_mode mode)
{
	struct shield_attachment *a = &s->iface[i];
	int err = xdp_program__attach(prog, (int)a->ifindex, libxdp_mode(mode), 0);
	char name[32];
	bool alone;
	int n;

	if (err) /* loading is part of it */
		return err == -EINVAL && xdp_program__fd(prog) < 0 ? -ENOEXEC : err;
	n = members(a->ifindex, &alone);
	if (alone || n == 0) {
		xdp_program__detach(prog, (int)a->ifindex, libxdp_mode(mode), 0);
		return -EOPNOTSUPP;
	}
	remove_earlier(s, a->ifindex);
	n = members(a->ifindex, &alone);
	member_name(a->ifindex, name);
	pin_store(s, name, xdp_program__fd(prog));
	a->mode = mode;
	a->beside = true;
	s->member_id[i] = id_of(xdp_program__fd(prog));
	bpf_xdp_query_id((int)a->ifindex, 0, &s->dispatcher_id[i]);
	beside_why(a, n);
	return 0;
}

static int attach_copy(struct shield *s, size_t i, struct sluice_xdp_bpf *copy,
		       enum shield_mode mode)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = copy->obj, .prog_name = "sluice_xdp");
	struct xdp_program *prog = xdp_program__create(&opts);
	int err = (int)libxdp_get_error(prog);

	if (err)
		return err;
	xdp_program__set_run_prio(prog, RUN_PRIO);
	err = attach_as(s, i, prog, mode);
	xdp_program__close(prog);
	return err;
}

static int attach_mode(struct shield *s, size_t i, enum shield_mode mode)
{
	struct sluice_xdp_bpf *copy = copy_open(s);
	int err = copy ? attach_copy(s, i, copy, mode) : -ENOMEM;

	sluice_xdp_bpf__destroy(copy);
	return err;
}

int coexist_attach(struct shield *s, size_t i)
{
	int err = -EOPNOTSUPP;

	libxdp_set_print(quiet);
	if (s->want != SHIELD_WANT_GENERIC)
		err = attach_mode(s, i, SHIELD_NATIVE);
	if (s->want == SHIELD_WANT_NATIVE || !err || err == -ENOEXEC)
		return err;
	if (s->want == SHIELD_WANT_GENERIC || err != -EOPNOTSUPP)
		err = attach_mode(s, i, SHIELD_GENERIC);
	return err;
}

/* Which of its members is a program, by libxdp's pins: "xdp/dispatch-IFINDEX-ID/progN-prog". *n: how many
 * there are. */
static bool is_pinned_there(unsigned ifindex, __u32 dispatcher, __u32 member, int *n)
{
	const char *bpffs = secure_getenv("LIBXDP_BPFFS");
	bool found = false;

	for (*n = 0; *n < PROGS_MAX; ++*n) {
		char path[SHIELD_PATH_MAX];
		int fd;

		snprintf(path, sizeof(path), "%s/xdp/dispatch-%u-%u/prog%d-prog",
			 bpffs ? bpffs : "/sys/fs/bpf", ifindex, dispatcher, *n);
		fd = bpf_obj_get(path);
		if (fd < 0)
			break;
		found = found || id_of(fd) == member;
		close(fd);
	}
	return found;
}

const char *coexist_lost(struct shield *s, size_t i)
{
	struct shield_attachment *a = &s->iface[i];
	__u32 now = 0, later = 0;
	int n;

	if (bpf_xdp_query_id((int)a->ifindex, 0, &now) || now == s->dispatcher_id[i])
		return NULL;
	if (!now)
		return "somebody has taken the dispatcher away: `sluiced -r`, or a restart, attaches again";
	if (is_pinned_there(a->ifindex, now, s->member_id[i], &n)) {
		s->dispatcher_id[i] = now;
		beside_why(a, n);
		return NULL;
	}
	if (bpf_xdp_query_id((int)a->ifindex, 0, &later) == 0 && later != now)
		return NULL; /* replaced while we looked; next time */
	if (n == 0)
		return "another program is there since, and no dispatcher that is seen to have ours: "
		       "`sluiced -r`, or a restart, attaches again";
	return "somebody has taken our program out of the dispatcher: `sluiced -r`, or a restart, "
	       "attaches again";
}

void coexist_detach(struct shield *s, const char *pin)
{
	unsigned ifindex = (unsigned)strtoul(pin + strlen("member_"), NULL, 10);
	char dev[IFNAMSIZ] = "?";
	int err;

	libxdp_set_print(quiet);
	err = if_indextoname(ifindex, dev) ? member_out(s, ifindex) : -ENOENT;
	if (!err || err == -ENOENT) {
		pin_remove(s, pin);
		return;
	}
	log_warn(
		"shield: %s: our program stays in the dispatcher and passes everything, until the next "
		"start or `xdp-loader unload %s --all`: %s",
		dev, dev, strerror(-err));
}
