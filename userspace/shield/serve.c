/* SPDX-License-Identifier: BSD-2-Clause */
/* serve.c - the user half of sluice_lookup: its rules, and its link.
 *
 * The link belongs to this network namespace and is pinned: after a keeper's death it goes on to refuse what
 * nobody serves, and the next keeper puts its own program into it in one step. Rules are the
 * program's read-only data, so a connection meets the old ones or the new ones. */
#include "shield/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "bpf/sluice_lookup.skel.h"
#include "bpf/sluice_reuseport.skel.h"

#define PIN_LINK "serve_link"
#define PIN_PROG "serve"

static void rule_of(const struct shield_serve *s, struct serve_rule *out)
{
	uint8_t mask[16] = {};

	for (unsigned i = 0; i < s->to.bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	memcpy(out->addr, s->to.addr, sizeof(out->addr));
	memcpy(out->mask, mask, sizeof(out->mask));
	out->family = s->to.family;
	out->port = s->port;
	out->last = s->last;
	out->group = s->group;
}

/* The pinned link if it is of this namespace, else -1. */
static int link_here(struct shield *s)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	char path[SHIELD_PATH_MAX];
	struct stat ns;
	int fd;

	pin_path(s, PIN_LINK, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -1;
	if (stat("/proc/thread-self/ns/net", &ns) == 0 &&
	    bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_LINK_TYPE_NETNS &&
	    info.netns.netns_ino == (__u32)ns.st_ino)
		return fd;
	close(fd);
	return -1;
}

void serve_release(struct shield *s)
{
	int fd = link_here(s);

	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	pin_remove(s, PIN_LINK);
	pin_remove(s, PIN_PROG);
}

static int link_make(struct shield *s, int prog)
{
	int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), fd, err;

	if (ns < 0)
		return -errno;
	fd = bpf_link_create(prog, ns, BPF_SK_LOOKUP, NULL);
	close(ns);
	if (fd < 0)
		return fd;
	err = pin_store(s, PIN_LINK, fd);
	close(fd); /* the pin holds it */
	return err;
}

static int link_to(struct shield *s, int prog)
{
	int fd = link_here(s), err = -ENOENT;

	if (fd >= 0) {
		err = bpf_link_update(fd, prog, NULL);
		close(fd);
	}
	if (err) {
		serve_release(s);
		err = link_make(s, prog);
	}
	return err ? err : pin_store(s, PIN_PROG, prog);
}

int shield_serve_set(struct shield *s, const struct shield_serve *list, size_t n)
{
	struct sluice_lookup_bpf *obj;
	int err;

	if (!s->pick)
		return -EOPNOTSUPP;
	if (n > SHIELD_SERVE_MAX)
		return -E2BIG;
	if (n == 0) {
		serve_release(s);
		return 0;
	}
	if (bpf_map__type(s->pick->maps.listener) != BPF_MAP_TYPE_SOCKMAP)
		return -EINVAL; /* shield_config.serves was not set */
	obj = sluice_lookup_bpf__open();
	if (!obj)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		struct serve_rule r;

		assert(list[i].group < SHIELD_GROUPS_MAX);
		rule_of(&list[i], &r);
		memcpy((void *)&obj->rodata->serve[i], &r, sizeof(r));
	}
	obj->rodata->serves = (__u32)n;
	bpf_map__set_type(obj->maps.listener, BPF_MAP_TYPE_SOCKMAP);
	err = bpf_map__reuse_fd(obj->maps.listener, bpf_map__fd(s->pick->maps.listener));
	if (!err)
		err = sluice_lookup_bpf__load(obj);
	if (!err)
		err = link_to(s, bpf_program__fd(obj->progs.sluice_lookup));
	if (err)
		log_error("shield: prefixes cannot be served: %s; listeners serve their own "
			  "addresses only",
			  strerror(-err));
	sluice_lookup_bpf__destroy(obj);
	return err;
}
