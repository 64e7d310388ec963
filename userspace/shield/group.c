/* SPDX-License-Identifier: BSD-2-Clause */
/* group.c - the user half of sluice_reuseport: who is ready, and whose socket.
 *
 *   worker states ─► core_worker[cpu]  the UP workers of each CPU
 *                 ├► core_worker[last] all of them
 *                 └► core_nth, policy.cores  the CPUs that have any
 *   listen sockets ─► listener[group * 1024 + worker]
 *
 * The lists are written so that the program needs no search. It may run while
 * we write: every number in a list names a worker that is, or just was, ready,
 * and the worst that can come of a torn read is yesterday's choice. */
#include "shield/state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "bpf/sluice_reuseport.skel.h"

/* UP workers of one CPU; cpu == s->cpus: of all. */
static int core_write(struct shield *s, unsigned cpu)
{
	struct core_worker list = {};

	for (size_t i = 0; i < s->n_workers; i++)
		if (s->worker[i].state == SHIELD_WORKER_UP &&
		    (cpu == s->cpus || s->worker[i].cpu == cpu))
			list.worker[list.n++] = (__u16)i;
	return bpf_map__update_elem(s->pick->maps.core_worker, &cpu, sizeof(cpu), &list,
				    sizeof(list), BPF_ANY);
}

static bool core_has_worker(const struct shield *s, unsigned cpu)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (s->worker[i].state == SHIELD_WORKER_UP && s->worker[i].cpu == cpu)
			return true;
	return false;
}

static int cores_write(struct shield *s)
{
	struct shield_policy now;
	__u32 n = 0;
	int err = 0;

	for (__u32 cpu = 0; cpu < s->cpus && !err; cpu++) {
		if (!core_has_worker(s, cpu))
			continue;
		err = bpf_map__update_elem(s->pick->maps.core_nth, &n, sizeof(n), &cpu, sizeof(cpu),
					   BPF_ANY);
		n++;
	}
	if (!err)
		err = policy_read(s, &now);
	if (!err && now.cores != n) {
		now.cores = n;
		err = policy_write(s, &now);
	}
	return err;
}

static int worker_write(struct shield *s, __u32 worker)
{
	return bpf_map__update_elem(s->pick->maps.worker, &worker, sizeof(worker),
				    &s->worker[worker], sizeof(s->worker[worker]), BPF_ANY);
}

int shield_workers_set(struct shield *s, const uint32_t *cpu, size_t n)
{
	int err = 0;

	if (!s->pick)
		return -EOPNOTSUPP;
	if (n > SHIELD_WORKERS_MAX)
		return -E2BIG;
	memset(s->worker, 0, sizeof(s->worker));
	s->n_workers = n;
	for (size_t i = 0; i < n; i++)
		s->worker[i].cpu = cpu[i] % s->cpus;
	for (__u32 i = 0; i < SHIELD_WORKERS_MAX && !err; i++)
		err = worker_write(s, i); /* of an earlier keeper's too */
	for (unsigned c = 0; c <= s->cpus && !err; c++)
		err = core_write(s, c);
	if (!err)
		err = cores_write(s);
	if (!err)
		err = steer_set(s);
	if (err)
		log_error("shield: workers could not be listed: %s", strerror(-err));
	return err;
}

int shield_worker_mark(struct shield *s, unsigned worker, enum shield_worker_state state)
{
	int err;

	if (!s->pick)
		return -EOPNOTSUPP;
	assert(worker < s->n_workers);
	if (s->worker[worker].state == state)
		return 0;
	s->worker[worker].state = state;
	err = worker_write(s, worker);
	if (!err)
		err = core_write(s, s->worker[worker].cpu);
	if (!err)
		err = core_write(s, s->cpus);
	if (!err)
		err = cores_write(s);
	if (!err)
		err = steer_follow(s);
	if (err)
		log_error("shield: worker %u could not be marked: %s", worker, strerror(-err));
	return err;
}

/* ---- listen sockets ----------------------------------------------------------- */

/* A socket that is in a SOCKARRAY cannot be put there again, not even into its own slot. */
static bool slot_holds(const struct shield *s, __u32 slot, int fd)
{
	__u64 there = 0, cookie = 0;
	socklen_t n = sizeof(cookie);

	return bpf_map__lookup_elem(s->pick->maps.listener, &slot, sizeof(slot), &there,
				    sizeof(there), 0) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &n) == 0 && there == cookie;
}

static int listeners_write(struct shield *s, unsigned group, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		__u32 slot = group * SHIELD_WORKERS_MAX + (__u32)i;
		__u64 fd = (__u64)fds[i];
		int err;

		if (fds[i] < 0 || slot_holds(s, slot, fds[i]))
			continue;
		err = bpf_map__update_elem(s->pick->maps.listener, &slot, sizeof(slot), &fd,
					   sizeof(fd), BPF_ANY);
		if (err)
			return err;
	}
	return 0;
}

static int share_maps(struct shield *s, struct sluice_reuseport_bpf *copy)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, copy->obj)
	{
		struct bpf_map *ours;
		int err;

		if (bpf_map__is_internal(map))
			continue;
		ours = bpf_object__find_map_by_name(s->pick->obj, bpf_map__name(map));
		bpf_map__set_type(map, bpf_map__type(ours));
		err = bpf_map__reuse_fd(map, bpf_map__fd(ours));
		if (err)
			return err;
	}
	return 0;
}

/* A copy of the program for this group, alive as long as its sockets or its pin. */
static int program_attach(struct shield *s, unsigned group, int fd)
{
	struct sluice_reuseport_bpf *copy = sluice_reuseport_bpf__open();
	char pin[32];
	int err, prog;

	if (!copy)
		return -errno;
	copy->rodata->group = group;
	copy->rodata->cpus = s->cpus;
	err = share_maps(s, copy);
	if (!err)
		err = sluice_reuseport_bpf__load(copy);
	if (!err) {
		prog = bpf_program__fd(copy->progs.sluice_reuseport);
		if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog)))
			err = -errno;
	}
	if (!err) {
		snprintf(pin, sizeof(pin), "reuseport_%u", group);
		err = pin_store(s, pin, prog);
	}
	sluice_reuseport_bpf__destroy(copy);
	return err;
}

int shield_group_attach(struct shield *s, unsigned group, const int *fds, size_t n)
{
	size_t first = 0;
	int err;

	if (!s->pick)
		return -EOPNOTSUPP;
	if (group >= SHIELD_GROUPS_MAX || n > SHIELD_WORKERS_MAX)
		return -E2BIG;
	while (first < n && fds[first] < 0)
		first++;
	if (first == n)
		return -EINVAL;
	err = listeners_write(s, group, fds, n);
	if (!err)
		err = program_attach(s, group, fds[first]);
	if (err)
		log_warn("shield: listen address %u: the kernel picks workers, by hash: %s", group,
			 strerror(-err));
	return err;
}
