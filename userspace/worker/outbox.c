/* SPDX-License-Identifier: BSD-2-Clause */
/* outbox.c - the shared memory of the mailboxes: its plan, its making, its mapping, its end.
 *
 * Three things keep a member that was taken over inside its own outbox:
 *   the size is sealed, so that truncating it cannot kill the readers with SIGBUS;
 *   readers get a descriptor opened read-only, whose mappings can never be made writable;
 *   the file's mode is 0, so that it cannot be opened anew through /proc/self/fd.
 * Holes may still be punched (that gives blocks back): they read as zeros and harm nobody. */
#include "worker/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/arena.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#endif

#define PAGE ((size_t)ARENA_PAGE)

int mailbox_plan(struct mailbox_plan *plan, uint32_t n_members, uint64_t budget_bytes,
		 uint64_t arena_bytes)
{
	if (sysconf(_SC_PAGESIZE) != (long)PAGE)
		return -ENOTSUP;
	if (n_members < 2 || n_members > MAILBOX_MEMBERS_MAX)
		return -EINVAL;
	if (arena_bytes < 4 * MAILBOX_RING_MAX || arena_bytes > (uint64_t)64 << 30)
		return -EINVAL;
	uint64_t pairs = (uint64_t)n_members * (n_members - 1);
	uint32_t ring = MAILBOX_RING_MAX;
	while (ring >= MAILBOX_RING_MIN && ring * pairs > budget_bytes)
		ring /= 2;
	if (ring < MAILBOX_RING_MIN)
		return -ENOSPC;

	uint64_t header = sizeof(struct outbox) + n_members * sizeof(struct lane);
	*plan = (struct mailbox_plan){.n_members = n_members, .ring_bytes = ring};
	plan->arena_bytes = arena_bytes / PAGE * PAGE;
	plan->rings_at = (header + PAGE - 1) / PAGE * PAGE;
	plan->arena_at = plan->rings_at + (uint64_t)n_members * ring;
	plan->outbox_bytes = plan->arena_at + plan->arena_bytes;
	return 0;
}

static int memory_open(uint64_t bytes)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("sluice-outbox", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("sluice-outbox", flags);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int mailbox_ends_open(const struct mailbox_plan *plan, struct mailbox_ends *ends)
{
	char path[40];
	int err;

	*ends = (struct mailbox_ends){-1, -1, -1};
	ends->rw_fd = memory_open(plan->outbox_bytes);
	if (ends->rw_fd < 0)
		return ends->rw_fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends->rw_fd);
	ends->ro_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (ends->ro_fd < 0 || fchmod(ends->rw_fd, 0))
		goto fail;
	ends->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ends->event_fd < 0)
		goto fail;
	return 0;
fail:
	err = -errno;
	mailbox_ends_close(ends);
	return err;
}

void mailbox_ends_close(struct mailbox_ends *ends)
{
	int *fds[] = {&ends->rw_fd, &ends->ro_fd, &ends->event_fd};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* Peers read at any moment, and the order is what protects them: first every session is void, and
 * only then the rest goes. Who sees a changed word or a hole sees, when he looks again, a void
 * session too. */
int mailbox_outbox_reset(const struct mailbox_plan *plan, const struct mailbox_ends *ends)
{
	struct outbox *box =
		mmap(NULL, plan->rings_at, PROT_READ | PROT_WRITE, MAP_SHARED, ends->rw_fd, 0);

	if (box == MAP_FAILED)
		return -errno;
	for (uint32_t k = 0; k < plan->n_members; k++) {
		atomic_store(&box->lanes[k].session, 0);
		atomic_store(&box->lanes[k].in_session, 0);
	}
	for (uint32_t k = 0; k < plan->n_members; k++) {
		struct lane *l = &box->lanes[k];
		atomic_store(&l->start, 0);
		atomic_store(&l->want_room, 0);
		atomic_store(&l->head, 0);
		atomic_store(&l->tail, 0);
	}
	atomic_store(&box->naps, 0);
	munmap(box, plan->rings_at);
	if (fallocate(ends->rw_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)plan->rings_at, (off_t)(plan->outbox_bytes - plan->rings_at)))
		return -errno;
	return 0;
}

/* Maps a stretch of the file `times` in a row, between two pages without access. */
static uint8_t *map_fenced(int fd, uint64_t at, size_t bytes, unsigned times, int prot)
{
	size_t whole = times * bytes + 2 * PAGE;
	uint8_t *mem =
		mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	for (unsigned i = 0; i < times; i++)
		if (mmap(mem + PAGE + i * bytes, bytes, prot, MAP_SHARED | MAP_FIXED, fd,
			 (off_t)at) == MAP_FAILED) {
			int err = errno;
			munmap(mem, whole);
			errno = err;
			return NULL;
		}
	return mem + PAGE;
}

static void unmap_fenced(uint8_t *mem, size_t bytes, unsigned times)
{
	if (mem)
		munmap(mem - PAGE, times * bytes + 2 * PAGE);
}

int outbox_map(const struct mailbox_plan *plan, int fd, bool writable, uint32_t receiver,
	       struct outbox_map *map)
{
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;

	*map = (struct outbox_map){0};
	map->box = (struct outbox *)map_fenced(fd, 0, plan->rings_at, 1, prot);
	map->arena = map_fenced(fd, plan->arena_at, plan->arena_bytes, 1, prot);
	if (!map->box || !map->arena)
		goto fail;
	for (uint32_t k = 0; k < plan->n_members; k++) {
		if (receiver != OUTBOX_ALL_RINGS && receiver != k)
			continue;
		map->ring[k] = map_fenced(fd, plan->rings_at + (uint64_t)k * plan->ring_bytes,
					  plan->ring_bytes, 2, prot);
		if (!map->ring[k])
			goto fail;
	}
	return 0;
fail:;
	int err = -errno;
	outbox_unmap(plan, map);
	return err;
}

void outbox_unmap(const struct mailbox_plan *plan, struct outbox_map *map)
{
	unmap_fenced((uint8_t *)map->box, plan->rings_at, 1);
	unmap_fenced(map->arena, plan->arena_bytes, 1);
	for (uint32_t k = 0; k < plan->n_members; k++)
		unmap_fenced(map->ring[k], plan->ring_bytes, 2);
	*map = (struct outbox_map){0};
}
