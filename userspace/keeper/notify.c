/* SPDX-License-Identifier: BSD-2-Clause */
/* notify.c - what systemd's Type=notify waits for. */
#include "keeper/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

void notify_supervisor(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!path || !*path)
		return;
	size_t n = strlen(path);
	if ((*path != '/' && *path != '@') || n >= sizeof(sa.sun_path)) {
		log_warn("NOTIFY_SOCKET=%s is no name of a socket", path);
		return;
	}
	memcpy(sa.sun_path, path, n);
	if (*path == '@') /* an abstract name: its first byte is NUL */
		sa.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warn("cannot tell the supervisor \"%s\": %s", state, strerror(errno));
	close(fd);
}
