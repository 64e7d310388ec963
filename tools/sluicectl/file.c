/* SPDX-License-Identifier: BSD-2-Clause */
/* file.c - files that the command line names. Nothing blocks without a word: everything is opened so
 * that it cannot (a FIFO's other end may never come), and only then read in the ordinary way. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/sluicectl/ctl.h"

#define PATIENCE_MS 1000 /* then it is said that we wait */

static void let_block(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* A FIFO that nobody has opened to write reads as empty: wait until somebody has. */
static void wait_for_writer(const struct ctl *ctl, int fd, const char *path)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (poll(&p, 1, PATIENCE_MS) != 0)
		return;
	ctl_note(ctl, "%s: waiting for somebody to write into it", ctl_arg(path));
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

int ctl_open_in(const struct ctl *ctl, const char *path, int *code)
{
	struct stat st;
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) :
			    open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) {
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", ctl_arg(path), strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		*code = ctl_fail(ctl, CTL_REFUSED, "%s is a directory: a file is wanted",
				 is_stdin ? "standard input" : ctl_arg(path));
	} else {
		if (S_ISFIFO(st.st_mode) && !is_stdin)
			wait_for_writer(ctl, fd, path);
		if (!is_stdin)
			let_block(fd);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

uint8_t *ctl_slurp(int fd, size_t max, size_t *n)
{
	size_t cap = 65536;
	uint8_t *buf = malloc(cap), *more;
	ssize_t r = 0;
	for (*n = 0; buf && (r = read(fd, buf + *n, cap - *n)) > 0;) {
		*n += (size_t)r;
		if (*n < cap)
			continue;
		more = cap < max ? realloc(buf, cap *= 2) : NULL;
		if (more == NULL) {
			free(buf);
			errno = EFBIG;
			return NULL;
		}
		buf = more;
	}
	if (buf && r < 0) {
		free(buf);
		return NULL;
	}
	return buf;
}

FILE *ctl_open_out(const struct ctl *ctl, const char *path, int *code)
{
	if (strcmp(path, "-") == 0)
		return stdout;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
	if (fd >= 0)
		let_block(fd);
	FILE *out = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (out == NULL)
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s", ctl_arg(path),
				 errno == ENXIO ? "nobody reads from this FIFO" : strerror(errno));
	if (out == NULL && fd >= 0)
		close(fd);
	return out;
}
