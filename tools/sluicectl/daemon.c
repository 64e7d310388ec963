/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon.c - one question and one answer over the control socket (admin/request.h has the
 * protocol), and bpftool for what lies in the kernel. */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/handover.h"
#include "tools/sluicectl/ctl.h"
#include "tools/sluicectl/net.h"

#define ANSWER_MAX  (1u << 20)
#define BPFTOOL_MAX (256u << 20) /* a bpftool that runs wild is cut off */
#define TIMEOUT_S   70           /* longer than the daemon waits for whom it asks */

/* Who made the socket on which we are heard; a number that is good in our PID namespace. */
static pid_t listens;

static int connect_daemon(const struct ctl *ctl, int *code)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (strlen(ctl->control) >= sizeof(a.sun_path)) {
		*code = ctl_fail(ctl, CTL_USAGE, "control socket path is too long: %s",
				 ctl->control);
		return -1;
	}
	strcpy(a.sun_path, ctl->control);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval t = {.tv_sec = TIMEOUT_S};
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		struct ucred peer = {0};
		socklen_t n = sizeof(peer);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0)
			listens = peer.pid;
		return fd;
	}
	int err = errno;
	if (fd >= 0)
		close(fd);
	bool down = err == ENOENT || err == ECONNREFUSED;
	*code = ctl_fail(
		ctl, CTL_UNREACHABLE, "%s: %s%s%s", ctl_arg(ctl->control), strerror(err),
		down          ? ": is sluiced running? (-c names another control socket)" :
		err == EACCES ? ": run as root or as a member of admin.control_group" :
				"",
		down && ctl->reads_pins ?
			"; --pin-dir PATH shows without it what a dead one has left pinned" :
			"");
	return -1;
}

/* One line; NULL if the daemon went away or talks too much. */
static char *read_line(int fd)
{
	size_t n = 0, cap = 65536;
	char *buf = malloc(cap);
	while (buf) {
		if (n == cap) {
			if (cap >= ANSWER_MAX)
				break;
			char *more = realloc(buf, cap *= 2);
			if (more == NULL)
				break;
			buf = more;
		}
		ssize_t r = recv(fd, buf + n, cap - n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		char *end = memchr(buf + n, '\n', (size_t)r);
		n += (size_t)r;
		if (end != NULL) {
			*end = 0;
			return buf;
		}
	}
	free(buf);
	return NULL;
}

static char *talk(const struct ctl *ctl, json_t *request, int beside, int *code)
{
	char *line = json_dumps(request, JSON_COMPACT), *answer = NULL;
	json_decref(request);
	int fd = line ? connect_daemon(ctl, code) : -1;
	if (fd < 0) {
		free(line);
		return NULL;
	}
	if (handover_send(fd, line, strlen(line), beside) == (ssize_t)strlen(line) &&
	    send(fd, "\n", 1, MSG_NOSIGNAL) == 1)
		answer = read_line(fd);
	close(fd);
	free(line);
	if (answer == NULL)
		*code = ctl_fail(ctl, CTL_UNREACHABLE, "%s: the daemon did not answer",
				 ctl->control);
	return answer;
}

json_t *ctl_exchange(const struct ctl *ctl, json_t *request, int fd, int *code)
{
	char *text = talk(ctl, request, fd, code);
	if (fd >= 0)
		close(fd);
	if (text == NULL)
		return NULL;
	json_error_t e;
	json_t *answer = json_loads(text, 0, &e);
	free(text);
	if (answer == NULL)
		*code = ctl_fail(ctl, CTL_REFUSED, "the daemon's answer is not JSON: %s", e.text);
	return answer;
}

json_t *ctl_ask(const struct ctl *ctl, json_t *request, int *code)
{
	json_t *answer = ctl_exchange(ctl, request, -1, code);
	if (answer == NULL)
		return NULL;
	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	*code = ctl_fail(ctl, CTL_REFUSED, "%s", ctl_str(answer, "error"));
	json_decref(answer);
	return NULL;
}

/* By errno: it is not there, or may not be seen and the daemon says why it is not there. */
static bool is_missing(const json_t *shield)
{
	return errno == ENOENT || (errno == EACCES && *ctl_str(shield, "text"));
}

static bool has_program(const char *dir)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/xdp", dir);
	return access(path, F_OK) == 0;
}

const char *ctl_pin_dir(struct ctl *ctl, const char *wanted, int *code)
{
	char path[600];
	static char dir[512], why[256];
	if (ctl->pin_dir != NULL)
		return ctl->pin_dir;
	json_t *a = ctl_ask(ctl, json_pack("{s:s}", "ask", "keeper"), code);
	if (a == NULL)
		return NULL;
	const json_t *s = json_object_get(a, "shield");
	snprintf(dir, sizeof(dir), "%s", ctl_str(s, "pin_dir"));
	snprintf(path, sizeof(path), "%s/%s", dir, wanted);
	bool off = !json_is_true(json_object_get(s, "on"));
	/* Attached to no interface it judges nothing and still has its maps, which may be seen; without a
	 * program they were never filled (the picks of listeners have some of them). Who may not look
	 * into the BPF file system hears why it is off rather than that. */
	if (off && ((access(path, F_OK) != 0 && is_missing(s)) ||
		    (*wanted && !has_program(dir) && is_missing(s)))) {
		*code = ctl_fail(ctl, CTL_REFUSED, "the shield is off%s%s",
				 *ctl_str(s, "text") ? ": " : "", ctl_str(s, "text"));
		json_decref(a);
		return NULL;
	}
	ctl_net_enter(ctl, listens);
	if (off && !ctl->show_command) {
		snprintf(why, sizeof(why), "%s", ctl_str(s, "text"));
		ctl->off = why;
		ctl_note(ctl, "the shield is off%s%s%s", *why ? ": " : "", why,
			 *wanted ? ": no packet is judged by what is shown here" : "");
	}
	json_decref(a);
	return ctl->pin_dir = dir;
}

int ctl_pinned(struct ctl *ctl, const char *name, int *code)
{
	char path[600];
	const char *dir = ctl_pin_dir(ctl, name, code);
	if (dir == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = bpf_obj_get(path);
	if (fd < 0)
		*code = ctl_fail(ctl, CTL_REFUSED, "%s: %s%s", path, strerror(errno),
				 errno == ENOENT                   ? ": the shield is off" :
				 errno == EPERM || errno == EACCES ? " (this needs root)" :
								     "");
	return fd;
}

int ctl_workers(const struct ctl *ctl, int *code)
{
	json_t *a = ctl_ask(ctl, json_pack("{s:s}", "ask", "keeper"), code);
	if (a == NULL)
		return -1;
	int n = (int)ctl_u64(json_object_get(a, "keeper"), "workers");
	json_decref(a);
	return n;
}

/* ── bpftool ── */

static int spawn(const char *const *argv, pid_t *pid)
{
	int out[2];
	if (pipe(out) != 0)
		return -1;
	*pid = fork();
	if (*pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	if (*pid < 0) {
		close(out[0]);
		return -1;
	}
	return out[0];
}

static char *slurp(int fd)
{
	size_t n = 0, cap = 1u << 16;
	char *buf = malloc(cap);
	ssize_t r = 0;
	while (buf && (r = read(fd, buf + n, cap - n - 1)) > 0) {
		n += (size_t)r;
		if (n + 1 < cap)
			continue;
		char *more = cap < BPFTOOL_MAX ? realloc(buf, cap *= 2) : NULL;
		if (more == NULL) {
			free(buf);
			return NULL;
		}
		buf = more;
	}
	if (buf)
		buf[n] = 0;
	return buf;
}

static const char *bpftool_error(const json_t *v)
{
	const json_t *e = json_is_object(v) ? json_object_get(v, "error") : NULL;
	return json_string_value(e);
}

json_t *ctl_bpftool(const struct ctl *ctl, const char *const *args, int *code)
{
	const char *argv[24] = {"bpftool", "-j"};
	size_t n = 2;
	while (*args && n + 1 < sizeof(argv) / sizeof(argv[0]))
		argv[n++] = *args++;
	if (ctl->show_command) {
		for (size_t i = 0; i < n; i++)
			printf("%s%s", i ? " " : "", argv[i]);
		putchar('\n');
		return json_array();
	}
	pid_t pid;
	fflush(stdout);
	int fd = spawn(argv, &pid);
	char *text = fd >= 0 ? slurp(fd) : NULL;
	int status = -1;
	if (fd >= 0) {
		close(fd);
		if (text == NULL)
			kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	json_error_t e;
	json_t *v = text ? json_loads(text, JSON_DECODE_ANY, &e) : NULL;
	free(text);
	if (v != NULL && bpftool_error(v) == NULL)
		return v;
	const char *why = WIFEXITED(status) && WEXITSTATUS(status) == 127 ?
				  "bpftool is not installed" :
			  v ? bpftool_error(v) :
			      "no JSON came from bpftool";
	*code = ctl_fail(ctl, CTL_REFUSED, "%s%s", why,
			 geteuid() ? " (reading the shield needs root)" : "");
	json_decref(v);
	return NULL;
}

json_t *ctl_dump(struct ctl *ctl, const char *map, int *code)
{
	char path[600];
	const char *dir = ctl_pin_dir(ctl, map, code);
	if (dir == NULL)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", dir, map);
	const char *args[] = {"map", "dump", "pinned", path, NULL};
	return ctl_bpftool(ctl, args, code);
}

const json_t *ctl_formatted(const json_t *entry)
{
	const json_t *f = json_object_get(entry, "formatted");
	return f ? f : entry;
}
