/* SPDX-License-Identifier: BSD-2-Clause */
/* net.c - sluiced may run in another network namespace than we do (ip netns, a container).
 *
 * What is pinned knows interfaces by their numbers only, and a number means another interface, or none,
 * in another namespace; AF_XDP sockets and test runs that name an interface must be made where the
 * interface is. So whoever may goes there, once it is known where the daemon is and before anything is
 * looked at. To translate the numbers by the daemon's list would mend the names alone, and to refuse
 * would mend nothing. Files, the control socket and the BPF file system are found by path and stay what
 * they were. With --pin-dir no daemon is asked, and we stay where we are. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/sluicectl/net.h"

/* A number may belong to somebody else: it was told in another PID namespace, or its owner is dead. */
static bool is_sluiced(long long pid)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/%lld/comm", pid);
	FILE *f = pid > 0 ? fopen(path, "re") : NULL;
	bool is = f && fgets(name, sizeof(name), f) && strcmp(name, "sluiced\n") == 0;
	if (f)
		fclose(f);
	return is;
}

void ctl_net_enter(struct ctl *ctl, long long pid)
{
	char path[64];
	struct stat ours, its;
	if (!is_sluiced(pid))
		return;
	snprintf(path, sizeof(path), "/proc/%lld/ns/net", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &its) == 0 && stat("/proc/self/ns/net", &ours) == 0 &&
	    (its.st_ino != ours.st_ino || its.st_dev != ours.st_dev) &&
	    setns(fd, CLONE_NEWNET) != 0) {
		ctl->net_apart = true;
		ctl_note(ctl,
			 "sluiced (pid %lld) runs in another network namespace, which cannot be "
			 "entered: %s: interfaces are shown as numbers",
			 pid, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
}

const char *ctl_ifname(const struct ctl *ctl, unsigned ifindex, char buf[IF_NAMESIZE])
{
	if (ctl->net_apart || !if_indextoname(ifindex, buf))
		snprintf(buf, IF_NAMESIZE, "#%u", ifindex);
	return buf;
}
