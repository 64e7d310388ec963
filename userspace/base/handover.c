/* SPDX-License-Identifier: BSD-2-Clause */
/* handover.c - SCM_RIGHTS and sealed memfds, see handover.h. */
#include "base/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

ssize_t handover_send(int sock, const void *data, size_t n, int fd)
{
	struct iovec part = {(void *)data, n};
	union control c = {};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		m.msg_control = &c;
		m.msg_controllen = sizeof(c);
		c.head.cmsg_level = SOL_SOCKET;
		c.head.cmsg_type = SCM_RIGHTS;
		c.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&c.head), &fd, sizeof(fd));
	}
	return sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* There is room for one descriptor; the kernel closes what does not fit. */
ssize_t handover_recv(int sock, void *buf, size_t cap, int *fd)
{
	struct iovec part = {buf, cap};
	union control c = {};
	struct msghdr m = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &c,
		.msg_controllen =
			CMSG_LEN(sizeof(int)), /* without the padding, where a second fits */
	};
	ssize_t n = recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m);

	*fd = -1;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
	    h->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(h), sizeof(*fd));
	return n;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno != EINTR)
			return -errno;
		p += w > 0 ? w : 0;
		n -= (size_t)(w > 0 ? w : 0);
	}
	return 0;
}

int handover_memfd_open(const char *name)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

int handover_memfd_seal(int fd)
{
	return lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int handover_memfd(const char *name, const void *data, size_t n)
{
	int fd = handover_memfd_open(name);
	int err;

	if (fd < 0)
		return fd;
	err = write_all(fd, data, n);
	if (!err)
		err = handover_memfd_seal(fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

ssize_t handover_sealed(int fd, size_t max)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
		return -EINVAL;
	return (size_t)st.st_size > max ? -EFBIG : (ssize_t)st.st_size;
}

int handover_read(int fd, void *buf, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = pread(fd, (char *)buf + at, n - at, (off_t)at);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0)
			return -EIO;
		at += (size_t)(r > 0 ? r : 0);
	}
	return 0;
}
