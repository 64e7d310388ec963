/* SPDX-License-Identifier: BSD-2-Clause */
/* handover.h - bytes over a Unix socket with one descriptor beside them, and text that nobody changes
 * any more.
 *
 * What is too long for a message travels as a memfd: whoever makes it fills and seals it, so
 * that whoever gets it may check its size once and read it without the fear that it changes
 * meanwhile. */
#ifndef SLUICE_BASE_HANDOVER_H
#define SLUICE_BASE_HANDOVER_H

#include <stddef.h>
#include <sys/types.h>

/* send(2) and recv(2), neither of which waits. fd -1: none goes along, or came. More than one that
 * comes is closed; what came is the caller's, also if the bytes are of no use to him. */
ssize_t handover_send(int sock, const void *data, size_t n, int fd);
ssize_t handover_recv(int sock, void *buf, size_t cap, int *fd);

/* A sealed memfd with these bytes, close-on-exec, to be read from its begin; or -errno. */
int handover_memfd(const char *name, const void *data, size_t n);
/* The same in steps, for what is not in one piece. 0 or -errno from the latter. */
int handover_memfd_open(const char *name);
int handover_memfd_seal(int fd);
/* Is it one? Its size, at most `max`; -EINVAL for anything whose bytes or size could still change, -EFBIG. */
ssize_t handover_sealed(int fd, size_t max);
/* All n bytes from the begin, whatever its offset. 0 or -errno. */
int handover_read(int fd, void *buf, size_t n);

#endif
