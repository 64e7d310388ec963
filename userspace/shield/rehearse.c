/* SPDX-License-Identifier: BSD-2-Clause */
/* rehearse.c - does a cookie of ours become the connection that it should? Tried out before it counts.
 *
 *   child ─► network namespace of its own ─► copies of both programs on its lo, MTU 1500
 *         ─► connect: ordinary, and by cookie; IPv4, IPv6 ─► TCP_INFO of all four ends alike?
 *
 * It runs beside the start, and the start waits for it no longer than REHEARSAL_MS; what comes later is
 * heard later, up to REHEARSAL_S. What could not be tried is tried once more. Who is told that the two
 * differ goes on without. Who may make no namespace, or never hears an end, goes on with own cookies,
 * and is warned that they are untested: that says nothing against them, while a flood without
 * cookies is certain harm. */
#include "shield/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "bpf/sluice_cookie.skel.h"
#include "bpf/sluice_xdp.skel.h"

#define REHEARSAL_MS 1000
#define UNHURRIED_MS 5000 /* where another sluiced serves meanwhile */
#define REHEARSAL_S  30   /* then the child ends, whatever it is at */
#define AGAIN        1
#define LO           1 /* the first interface of every namespace */
#define MTU          1500

static const char *const copied[] = {"tcp_syncookies", "tcp_timestamps",     "tcp_sack",
				     "tcp_ecn",        "tcp_window_scaling", "tcp_rmem"};

struct sysctls {
	char text[ARRAY_SIZE(copied)][64];
};

/* ---- the child's stage ---------------------------------------------------------------- */

/* Says the word to the parent, and ends. */
static void quit(int to, const char *word) __attribute__((noreturn));
static void quit(int to, const char *word)
{
	ssize_t n = write(to, word, strlen(word));

	_exit(n < 0);
}

static void sysctls_get(struct sysctls *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", copied[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, s->text[i], sizeof(s->text[i]) - 1) < 0)
			s->text[i][0] = '\0';
		close(fd);
	}
}

/* A new namespace begins with the first one's settings, not with ours. */
static void sysctls_put(const struct sysctls *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", copied[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = write(fd, s->text[i], strlen(s->text[i]));
		(void)n; /* if it cannot be: both kinds are compared under what there is */
		close(fd);
	}
}

static bool lo_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {.ifr_name = "lo"};
	bool ok;

	r.ifr_mtu = MTU;
	ok = fd >= 0 && ioctl(fd, SIOCSIFMTU, &r) == 0;
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	ok = ok && ioctl(fd, SIOCSIFFLAGS, &r) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* A listener on a port of the kernel's choice. */
static int listen_at(int family, uint16_t *port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr *at = family == AF_INET ? (void *)&v4 : (void *)&v6;
	socklen_t n = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, at, n) || listen(fd, 8) || getsockname(fd, at, &n))
		return -1;
	*port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	return fd;
}

static struct shield_protect loopback(int family, uint16_t port)
{
	struct shield_protect p = {
		.to.family = (uint8_t)family, .port = port, .last = port, .proto = L4_TCP};

	if (family == AF_INET)
		memcpy(p.to.addr, (uint8_t[]){127, 0, 0, 1}, 4);
	else
		p.to.addr[15] = 1;
	p.to.bits = family == AF_INET ? 32 : 128;
	return p;
}

static bool set_up(struct shield *s, const struct shield_protect *list, size_t n)
{
	struct shield_policy now = {.abi = SHIELD_ABI};
	struct shield_plan plan = {
		.protect = list, .n_protect = n, .rules = shield_rules_default()};
	struct shield_cookie cookies = {.how = COOKIE_OWN};
	struct shield_iface *all;
	__u32 zero = 0;
	int err;

	s->xdp = sluice_xdp_bpf__open();
	if (!s->xdp)
		return false;
	s->xdp->rodata->iface_index[0] = LO;
	s->xdp->rodata->ifaces = 1;
	s->cpus = (unsigned)libbpf_num_possible_cpus();
	bpf_map__set_max_entries(s->xdp->maps.steer_cpu, s->cpus);
	err = sluice_xdp_bpf__load(s->xdp);
	s->policy = s->xdp->maps.policy;
	if (!err)
		s->cookie = cookie_load(s->xdp, &err);
	if (!err)
		err = policy_write(s, &now);
	flows_open(s);
	plan.rules.cookies = COOKIES_ALWAYS;
	plan.rules.allow = plan.rules.deny = plan.rules.rate = RULE_OFF; /* not what is tried */
	if (!err)
		err = shield_policy_set(s, &plan, 0);
	if (!err)
		err = cookie_keys_turn(s->xdp->maps.cookie_key);
	if (!err)
		err = cookie_probe(&cookies); /* before XDP is there: an ordinary one */
	if (!err)
		err = bpf_map__update_elem(s->xdp->maps.cookie, &zero, sizeof(zero), &cookies,
					   sizeof(cookies), BPF_ANY);
	all = calloc(s->cpus, sizeof(*all));
	for (unsigned c = 0; all && c < s->cpus; c++)
		all[c] = (struct shield_iface){.ifindex = LO, .loopback = 1, .mtu = MTU};
	if (!err && all)
		err = bpf_map__update_elem(s->xdp->maps.iface, &zero, sizeof(zero), all,
					   s->cpus * sizeof(*all), BPF_ANY);
	free(all);
	return !err;
}

static bool attach(struct shield *s)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_SKB_MODE);

	return bpf_link_create(bpf_program__fd(s->xdp->progs.sluice_xdp), LO, BPF_XDP, &opts) >=
		       0 &&
	       cookie_link(s->cookie, LO) >= 0;
}

/* ---- the play ---------------------------------------------------------------------------- */

struct handshake {
	struct tcp_info client, server;
};

static bool info(int fd, struct tcp_info *out)
{
	socklen_t n = sizeof(*out);

	memset(out, 0, sizeof(*out));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &n) == 0;
}

static bool hears(int from, int to)
{
	char c = 'x';

	return send(from, &c, 1, MSG_NOSIGNAL) == 1 && recv(to, &c, 1, 0) == 1 && c == 'x';
}

static bool shake(int listener, struct handshake *h)
{
	struct sockaddr_storage at = {0};
	socklen_t n = sizeof(at);
	int client = -1, server = -1;
	bool ok = getsockname(listener, (struct sockaddr *)&at, &n) == 0;

	client = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = ok && client >= 0 && connect(client, (struct sockaddr *)&at, n) == 0;
	if (ok)
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ok = ok && server >= 0 && info(client, &h->client) && info(server, &h->server) &&
	     hears(client, server) && hears(server, client);
	if (client >= 0)
		close(client);
	if (server >= 0)
		close(server);
	return ok;
}

/* The first that is not alike; NULL: none. */
static const char *differ(const struct tcp_info *a, const struct tcp_info *b)
{
	/* acknowledged and urgent-data bits come and go; these are agreed upon for good */
	const __u8 agreed = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE | TCPI_OPT_ECN;

	return (a->tcpi_options ^ b->tcpi_options) & agreed ? "options" :
	       a->tcpi_snd_wscale != b->tcpi_snd_wscale     ? "window scale" :
	       a->tcpi_rcv_wscale != b->tcpi_rcv_wscale     ? "window scale" :
	       a->tcpi_snd_mss != b->tcpi_snd_mss           ? "MSS" :
	       a->tcpi_advmss != b->tcpi_advmss             ? "MSS" :
							      NULL;
}

static void compare(int to, const char *family, int ordinary, int by_cookie)
{
	struct handshake a, b;
	const char *what;
	char word[64];

	if (!shake(ordinary, &a)) {
		snprintf(word, sizeof(word), "?no ordinary connection over %s", family);
		quit(to, word);
	}
	if (!shake(by_cookie, &b)) {
		snprintf(word, sizeof(word), "!no connection over %s", family);
		quit(to, word);
	}
	what = differ(&a.client, &b.client);
	if (!what)
		what = differ(&a.server, &b.server);
	if (what) {
		snprintf(word, sizeof(word), "!another %s over %s", what, family);
		quit(to, word);
	}
}

/* Words to the parent begin with what they mean: = alike, ! not, ? could not be tried. */
static void play(int to) __attribute__((noreturn));
static void play(int to)
{
	struct sysctls settings = {};
	struct shield_cookie_stats n;
	struct shield s = {.lock_fd = -1, .cookies.how = COOKIE_OWN};
	struct shield_protect list[2];
	uint16_t port[4];
	int at[4];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sysctls_get(&settings);
	if (unshare(CLONE_NEWNET) || !lo_up())
		quit(to, "?no network namespace to try them in");
	sysctls_put(&settings);
	for (int i = 0; i < 4; i++)
		at[i] = listen_at(i < 2 ? AF_INET : AF_INET6, &port[i]);
	list[0] = loopback(AF_INET, port[1]);
	list[1] = loopback(AF_INET6, port[3]);
	if (at[0] < 0 || at[1] < 0)
		quit(to, "?no listener to try them on");
	if (!set_up(&s, list, at[3] < 0 ? 1 : 2) || !attach(&s))
		quit(to, "?no copy of the programs could be attached");
	compare(to, "IPv4", at[0], at[1]);
	if (at[2] >= 0 && at[3] >= 0)
		compare(to, "IPv6", at[2], at[3]);
	if (shield_cookies_read(&s, &n) || n.made != (at[3] < 0 ? 1 : 2))
		quit(to, "!not through a cookie");
	quit(to, "=");
}

/* ---- the parent ---------------------------------------------------------------------------- */

static void go(struct rehearsal *r)
{
	int ends[2];
	pid_t pid;

	r->fd = r->pid_fd = -1;
	if (pipe2(ends, O_CLOEXEC))
		return;
	pid = fork();
	if (pid == 0) {
		/* nothing of the parent's is held by who may outlast a part of it: ports, locks, links */
		if (ends[1] > STDERR_FILENO + 1)
			close_range(STDERR_FILENO + 1, (unsigned)ends[1] - 1, 0);
		close_range((unsigned)ends[1] + 1, ~0u, 0);
		alarm(REHEARSAL_S);
		play(ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return;
	}
	r->fd = ends[0];
	r->pid_fd = pidfd_open(pid, 0); /* somebody else may reap it, and a number comes again */
}

void rehearsal_begin(struct rehearsal *r, const struct shield_rehearsal *before)
{
	*r = (struct rehearsal){.fd = -1,
				.pid_fd = -1,
				.again = AGAIN,
				.waits_ns = clock_mono_ns() + REHEARSAL_MS * 1000000ull};
	r->before = before && before->is != SHIELD_TEST_NONE ? before : NULL;
	if (!r->before)
		go(r);
}

void rehearsal_end(struct rehearsal *r)
{
	if (r->pid_fd >= 0) {
		pidfd_send_signal(r->pid_fd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, (id_t)r->pid_fd, NULL, WEXITED);
		close(r->pid_fd);
	}
	if (r->fd >= 0)
		close(r->fd);
	r->fd = r->pid_fd = -1;
}

/* The child's word, of one life. */
static enum shield_test hear(struct rehearsal *r, uint64_t until_ns, char *why, size_t cap)
{
	uint64_t now = clock_mono_ns();
	struct pollfd p = {.fd = r->fd, .events = POLLIN};
	int left = now < until_ns ? (int)((until_ns - now + 999999) / 1000000) : 0;
	char word[64] = "";
	ssize_t n;

	if (r->fd < 0) {
		snprintf(why, cap, "untested (no process for the test)");
		return SHIELD_TEST_UNTESTED;
	}
	if (poll(&p, 1, left) != 1)
		return SHIELD_TEST_NONE;
	n = read(r->fd, word, sizeof(word) - 1);
	word[n > 0 ? n : 0] = '\0';
	rehearsal_end(r);
	switch (word[0]) {
	case '=': return SHIELD_TEST_PASSED;
	case '!': snprintf(why, cap, "own cookies fail their test: %s", word + 1); break;
	case '?': snprintf(why, cap, "untested (%s)", word + 1); break;
	default: snprintf(why, cap, "untested (the test did not end in time)"); break;
	}
	return word[0] == '!' ? SHIELD_TEST_FAILED : SHIELD_TEST_UNTESTED;
}

enum shield_test rehearsal_hear(struct rehearsal *r, uint64_t until_ns, char *why, size_t cap)
{
	enum shield_test is;

	why[0] = '\0';
	if (r->before) {
		snprintf(why, cap, "%s", r->before->why);
		return r->before->is;
	}
	while ((is = hear(r, until_ns, why, cap)) == SHIELD_TEST_UNTESTED && r->again > 0) {
		r->again--;
		why[0] = '\0';
		go(r);
	}
	return is;
}

void shield_rehearse(struct shield_rehearsal *out)
{
	struct rehearsal r;

	*out = (struct shield_rehearsal){0};
	libbpf_set_print(NULL); /* until shield_open(), who listens to it */
	rehearsal_begin(&r, NULL);
	for (unsigned i = 0; i <= AGAIN && out->is == SHIELD_TEST_NONE; i++) {
		out->is = rehearsal_hear(&r, clock_mono_ns() + UNHURRIED_MS * 1000000ull, out->why,
					 sizeof(out->why));
	}
	if (out->is == SHIELD_TEST_NONE) {
		out->is = SHIELD_TEST_UNTESTED;
		snprintf(out->why, sizeof(out->why), "untested (the test did not end in time)");
	}
	rehearsal_end(&r);
}
