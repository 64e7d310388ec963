/* SPDX-License-Identifier: BSD-2-Clause */
/* ring.c - see ring.h.
 *
 * MSG_WAITALL beside MSG_DONTWAIT means, to io_uring, that a short write is a failure that is told;
 * who took all says nothing (IOSQE_CQE_SKIP_SUCCESS). So the usual flush reads no completion at all. */
#include "conn/ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define ARENA_BYTES (256u << 10)
#define SEEN_BITS   4096u

struct write {
	uint64_t who;
	uint32_t at, n; /* in the arena */
};

struct ring {
	struct io_uring io;
	uint32_t n, used;
	uint64_t seen[SEEN_BITS / 64]; /* low bits of `who` */
	struct write writes[RING_WRITES];
	uint8_t arena[ARENA_BYTES];
};
static_assert(RING_WRITE_MAX <= ARENA_BYTES, "each write fits an empty ring");

/* This ring sends, and does nothing else, for ever. (Debian 12's liburing declares functions for both calls
 * and does not export them.) */
static int restrict_to_sending(const struct io_uring *io)
{
	struct io_uring_restriction only[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SEND},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		 .sqe_flags = IOSQE_CQE_SKIP_SUCCESS},
	};
	if (syscall(SYS_io_uring_register, io->ring_fd, IORING_REGISTER_RESTRICTIONS, only,
		    ARRAY_SIZE(only)) < 0 ||
	    syscall(SYS_io_uring_register, io->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	return 0;
}

struct ring *ring_open(void)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
	};
	struct ring *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	int err = io_uring_queue_init_params(RING_WRITES, &r->io, &p);
	if (err == 0) {
		err = restrict_to_sending(&r->io);
		if (err < 0)
			io_uring_queue_exit(&r->io);
	}
	if (err < 0) {
		free(r);
		errno = -err;
		return NULL;
	}
	return r;
}

void ring_close(struct ring *r)
{
	if (r == NULL)
		return;
	io_uring_queue_exit(&r->io);
	free(r);
}

bool ring_is_empty(const struct ring *r)
{
	return r == NULL || r->n == 0;
}

/* Their sum, or more than RING_WRITE_MAX. */
static size_t sum(const struct iovec *parts, unsigned n)
{
	size_t bytes = 0;
	for (unsigned i = 0; i < n && bytes <= RING_WRITE_MAX; i++)
		bytes += parts[i].iov_len;
	return bytes;
}

/* Is it there, or one with the same low bits? From now on it is. */
static bool see(struct ring *r, uint64_t who)
{
	uint64_t *word = &r->seen[who % SEEN_BITS / 64], bit = (uint64_t)1 << who % 64;
	bool seen = *word & bit;
	*word |= bit;
	return seen;
}

bool ring_add(struct ring *r, int fd, const struct iovec *parts, unsigned n, uint64_t who)
{
	if (r == NULL || r->n == RING_WRITES)
		return false;
	size_t bytes = sum(parts, n);
	if (bytes > RING_WRITE_MAX || bytes > ARENA_BYTES - r->used || see(r, who))
		return false;
	uint8_t *to = r->arena + r->used;
	for (unsigned i = 0; i < n; i++)
		to = mempcpy(to, parts[i].iov_base, parts[i].iov_len);
	struct io_uring_sqe *e = io_uring_get_sqe(&r->io);
	assert(e != NULL); /* there are as many as writes */
	io_uring_prep_send(e, fd, r->arena + r->used, bytes,
			   MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL);
	e->flags = IOSQE_CQE_SKIP_SUCCESS;
	e->user_data = r->n;
	r->writes[r->n++] = (struct write){.who = who, .at = r->used, .n = (uint32_t)bytes};
	r->used += (uint32_t)bytes;
	return true;
}

/* All that was added is submitted; an interruption in the middle only delays it. */
static void submit(struct ring *r)
{
	unsigned left = r->n;
	while (left > 0) {
		int n = io_uring_submit_and_get_events(&r->io);
		if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY) {
			log_error("io_uring: %s", strerror(-n));
			abort(); /* who was served and who was not cannot be told */
		}
		left -= n > 0 ? (unsigned)n : 0;
	}
}

void ring_flush(struct ring *r, ring_short_fn *fn, void *ctx)
{
	struct io_uring_cqe *e;
	if (ring_is_empty(r))
		return;
	submit(r);
	r->n = r->used = 0;
	memset(r->seen, 0, sizeof(r->seen));
	while (io_uring_peek_cqe(&r->io, &e) == 0) {
		const struct write *w = &r->writes[e->user_data];
		ssize_t sent = e->res;
		io_uring_cqe_seen(&r->io, e);
		size_t skip = sent > 0 ? MIN((size_t)sent, w->n) : 0;
		fn(ctx, w->who, sent, BYTES(r->arena + w->at + skip, w->n - skip));
	}
}
