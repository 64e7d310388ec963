/* SPDX-License-Identifier: BSD-2-Clause */
/* pin.c - the pin directory: what of the shield outlives its keeper.
 *
 *   /sys/fs/bpf (bpffs) ─► sluice/ (0700, locked by the one keeper that uses it)
 *                            ├ drop_count …        maps, under their own names
 *                            ├ xdp, reuseport_3    programs
 *                            └ link_2              links, by ifindex
 *
 * Links are named by ifindex because bpffs allows no dot in a name and eth0.100
 * has one. Pins made inside `ip netns exec` vanish with its private /sys: that is
 * the tool's doing, nsenter --net does not.
 *
 * A pinned map is taken over only if its shape is the one this program was
 * built for; SHIELD_ABI in the map `policy` covers what a shape does not show.
 * Only names that we make are ever removed: pin_dir may be set to a directory
 * that others use. */
#include "shield/state.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"

#define SYSTEM_BPFFS "/sys/fs/bpf"
#define NEW_SUFFIX   "_new"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static int make_dirs(const char *path)
{
	char part[SHIELD_PATH_MAX];

	for (size_t i = 1;; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		if (path[i] == '\0')
			return 0;
	}
}

/* What we mount in a mount namespace of somebody's own (`ip netns exec` makes one, containers have one)
 * nobody outside sees, and it ends with the last process there. */
static void say_who_sees(const char *at)
{
	char ours[64] = "", first[64] = "";

	if (readlink("/proc/self/ns/mnt", ours, sizeof(ours) - 1) < 0 ||
	    readlink("/proc/1/ns/mnt", first, sizeof(first) - 1) < 0 || strcmp(ours, first) == 0)
		return;
	log_warn(
		"shield: the bpffs on %s is mounted in a mount namespace of its own: sluicectl outside of it sees "
		"no map, and what is pinned goes with the last process in it. Mount one on the host before, or use "
		"nsenter --net=/run/netns/NAME in place of ip netns exec",
		at);
}

/* Under /sys/fs/bpf a missing bpffs is mounted there, where every tool looks for
 * it; elsewhere at the very directory that was asked for. */
static int mount_bpffs(struct shield *s)
{
	const char *at = s->pin_dir;
	int err = 0;

	if (strncmp(at, SYSTEM_BPFFS "/", sizeof(SYSTEM_BPFFS)) == 0)
		at = SYSTEM_BPFFS;
	else
		err = make_dirs(at);
	if (err == 0 && !is_bpffs(at)) {
		if (mount("bpf", at, "bpf", 0, "mode=0700"))
			err = -errno;
		else
			say_who_sees(at);
	}
	if (err == 0)
		err = make_dirs(s->pin_dir);
	if (err == 0 && !is_bpffs(s->pin_dir))
		err = -EINVAL;
	if (err)
		log_error(
			"shield: no bpffs for pin_dir %s: %s; mount one with: mount -t bpf bpf %s",
			s->pin_dir, strerror(-err), at);
	return err;
}

int pin_dir_open(struct shield *s)
{
	int err = 0;

	if (!is_bpffs(s->pin_dir))
		err = mount_bpffs(s);
	if (err)
		return err;
	if (s->lock_fd >= 0) /* handed over by the keeper that we replace */
		return 0;
	s->lock_fd = open(s->pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->lock_fd < 0) {
		err = -errno;
		log_error("shield: pin_dir %s: %s", s->pin_dir, strerror(-err));
		return err;
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB)) {
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		log_error(
			"shield: pin_dir %s is %s; stop the other sluiced or choose another pin_dir",
			s->pin_dir, err == -EBUSY ? "held by another keeper" : strerror(-err));
		pin_dir_close(s);
	}
	return err;
}

void pin_dir_close(struct shield *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}

void pin_path(const struct shield *s, const char *name, char path[SHIELD_PATH_MAX])
{
	int n = snprintf(path, SHIELD_PATH_MAX, "%s/%s", s->pin_dir, name);

	assert(n > 0 && n < SHIELD_PATH_MAX); /* shield_open() bounds pin_dir */
}

/* 0 and a descriptor in *fd if the pinned map can be this one; else -EINVAL. */
static int adoptable(const char *path, const struct bpf_map *map, int *fd)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	*fd = bpf_obj_get(path);
	if (*fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(*fd, &info, &len) == 0 && info.type == bpf_map__type(map) &&
	    info.key_size == bpf_map__key_size(map) &&
	    info.value_size == bpf_map__value_size(map) &&
	    info.max_entries == bpf_map__max_entries(map) &&
	    info.map_flags == bpf_map__map_flags(map))
		return 0;
	close(*fd);
	return -EINVAL;
}

static bool is_pinned_kind(const struct bpf_map *map)
{
	return bpf_map__name(map) && !bpf_map__is_internal(map);
}

int pin_maps_adopt(struct shield *s, struct bpf_object *obj, bool *missing)
{
	struct bpf_map *map;
	int fd, err;

	*missing = false;
	bpf_object__for_each_map(map, obj)
	{
		char path[SHIELD_PATH_MAX];

		if (!is_pinned_kind(map))
			continue;
		pin_path(s, bpf_map__name(map), path);
		err = adoptable(path, map, &fd);
		if (err) {
			*missing = true;
			if (err != -ENOENT)
				log_warn("shield: pinned map %s is of another version: made anew, "
					 "its entries are gone",
					 path);
			continue;
		}
		err = bpf_map__reuse_fd(map, fd);
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

int pin_maps_store(struct shield *s, struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		char path[SHIELD_PATH_MAX];
		int err, fd;

		if (!is_pinned_kind(map))
			continue;
		pin_path(s, bpf_map__name(map), path);
		if (adoptable(path, map, &fd) == 0) {
			close(fd); /* the one that we took over */
			continue;
		}
		err = pin_store(s, bpf_map__name(map), bpf_map__fd(map));
		if (err)
			return err;
	}
	return 0;
}

int pin_store(struct shield *s, const char *name, int fd)
{
	char path[SHIELD_PATH_MAX], next[SHIELD_PATH_MAX], next_name[64];

	snprintf(next_name, sizeof(next_name), "%s" NEW_SUFFIX, name);
	pin_path(s, name, path);
	pin_path(s, next_name, next);
	unlink(next);
	if (bpf_obj_pin(fd, next) || rename(next, path)) {
		int err = -errno;

		log_error("shield: cannot pin %s: %s", path, strerror(-err));
		unlink(next);
		return err;
	}
	return 0;
}

void pin_remove(struct shield *s, const char *name)
{
	char path[SHIELD_PATH_MAX];

	pin_path(s, name, path);
	if (unlink(path) && errno != ENOENT)
		log_warn("shield: cannot remove the pin %s: %s", path, strerror(errno));
}

void pin_remove_maps(struct shield *s)
{
	static const char *const names[] = {
		"policy",      "port_class",  "protect_class", "protect_addr", "protect_port",
		"lists",       "list_set",    "drop_count",    "iface",        "listener",
		"worker",      "core_worker", "core_nth",      "pick_count",   "rules",
		"manage",      "cookie",      "cookie_key",    "cookie_last",  "syn_state",
		"syn_scratch", "steer_to",    "steer_cpu",     "list_top",     "list_heap",
		"list_entry",  "list_hot",    "sample",        "samples",      "sample_xsk",
		"talker_row",  "talker",      "events",        "event_log",    "rates",
		"cell",        "validated",   "appeal_count",  "flow_filter",  "flow_bits",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		pin_remove(s, names[i]);
	shield_lists_unpin(s);
}

void pin_each(struct shield *s, const char *prefix,
	      void (*each)(struct shield *s, const char *name))
{
	char name[SHIELD_IFACES_MAX * 4][32];
	size_t n = 0;
	struct dirent *e;
	DIR *dir = opendir(s->pin_dir);

	if (!dir)
		return;
	while ((e = readdir(dir)) && n < ARRAY_SIZE(name))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
		    strlen(e->d_name) < sizeof(name[0]))
			strcpy(name[n++], e->d_name);
	closedir(dir);
	for (size_t i = 0; i < n; i++)
		each(s, name[i]);
}
