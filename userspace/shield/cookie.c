/* SPDX-License-Identifier: BSD-2-Clause */
/* cookie.c - SYN cookies, the keeper's share: what they say, their keys, and who takes them back.
 *
 *   loopback ─► what an ordinary SYN-ACK says ─► `cookie`
 *   getrandom ─► the next window's key ─► `cookie_key`, every minute
 *   sluice_cookie ─► tc ingress of every interface that XDP is on, in a pinned link
 *
 * Three kinds, the best that can be had:
 *   own     XDP answers, tc makes the connection: every option as in an ordinary handshake
 *   kernel  XDP answers with the kernel's cookie (before 6.9): an MSS and no other option,
 *           and only while the listener's queue is full
 *   none    the kernel answers, with its own cookies if it likes
 *
 * Nothing here is fatal. What cannot be is said in one line, and the next kind tried. */
#include "shield/state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "bpf/sluice_cookie.skel.h"
#include "bpf/sluice_xdp.skel.h"

/* Of Linux 6.6; Debian 12's headers are older. */
#define TCX_INGRESS   ((enum bpf_attach_type)46)
#define TCX_LINK_TYPE 11

static const __u32 zero;

static void why(struct shield *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void why(struct shield *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->cookie_why, sizeof(s->cookie_why), fmt, args);
	va_end(args);
}

/* ---- keys ------------------------------------------------------------------------ */

static bool draw(void *to, size_t bytes)
{
	return getrandom(to, bytes, 0) == (ssize_t)bytes;
}

static uint64_t window_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t); /* the program's own clock */
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) >> COOKIE_WINDOW_SHIFT;
}

/* Draws the next window's key if that is not done, and all that were never drawn. The
 * map is pinned: what an earlier keeper's clients hold stays good. */
int cookie_keys_turn(const struct bpf_map *map)
{
	uint64_t next = window_now() + 1;
	struct cookie_keys keys;
	bool changed = false;
	int err = bpf_map__lookup_elem(map, &zero, sizeof(zero), &keys, sizeof(keys), 0);

	for (uint64_t i = 0; i < COOKIE_KEYS && !err; i++) {
		struct cookie_key *k = &keys.at[i];
		bool is_next = i == next % COOKIE_KEYS;

		if (k->window && (!is_next || k->window >= next))
			continue;
		k->window = is_next ? next : 1;
		changed = true;
		if (!draw(k->key, sizeof(k->key)))
			err = -EIO;
	}
	if (!err && changed)
		err = bpf_map__update_elem(map, &zero, sizeof(zero), &keys, sizeof(keys), BPF_ANY);
	explicit_bzero(&keys, sizeof(keys));
	return err;
}

/* ---- what an ordinary SYN-ACK says -------------------------------------------------- */

static long sysctl_read(const char *name)
{
	char path[128], text[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? strtol(text, NULL, 10) : -1;
}

/* Two sockets that have just shaken hands over loopback; 0, or -errno. */
static int shake_hands(int *client, int *listener)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_usec = 500000};
	socklen_t n = sizeof(at);

	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 || *listener < 0)
		return -errno;
	setsockopt(*client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (bind(*listener, (struct sockaddr *)&at, sizeof(at)) || listen(*listener, 1) ||
	    getsockname(*listener, (struct sockaddr *)&at, &n) ||
	    connect(*client, (struct sockaddr *)&at, sizeof(at)))
		return -errno;
	return 0;
}

int cookie_probe(struct shield_cookie *out)
{
	struct tcp_info info = {};
	socklen_t n = sizeof(info);
	int client = -1, listener = -1;
	int err = shake_hands(&client, &listener);

	if (!err && getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &n))
		err = -errno;
	if (client >= 0)
		close(client);
	if (listener >= 0)
		close(listener);
	if (err)
		return err;
	out->offer = 0;
	if (info.tcpi_options & TCPI_OPT_WSCALE)
		out->offer |= OFFER_WSCALE;
	if (info.tcpi_options & TCPI_OPT_SACK)
		out->offer |= OFFER_SACK;
	if (info.tcpi_options & TCPI_OPT_TIMESTAMPS)
		out->offer |= OFFER_TIMESTAMPS;
	if (sysctl_read("tcp_ecn") > 0)
		out->offer |= OFFER_ECN;
	out->wscale = info.tcpi_snd_wscale;
	out->window = n > offsetof(struct tcp_info, tcpi_snd_wnd) ? info.tcpi_snd_wnd : 0;
	/* what data has been acknowledged by now may have been scaled: only a first window fits */
	if (!out->window || out->window > 0xffff)
		out->window = 0xffff;
	return 0;
}

/* ---- the program at tc ------------------------------------------------------------- */

struct sluice_cookie_bpf *cookie_load(const struct sluice_xdp_bpf *xdp, int *err)
{
	struct sluice_cookie_bpf *c = sluice_cookie_bpf__open();
	const struct {
		struct bpf_map *ours, *theirs;
	} shared[] = {
		{c ? c->maps.cookie : NULL, xdp->maps.cookie},
		{c ? c->maps.cookie_key : NULL, xdp->maps.cookie_key},
		{c ? c->maps.cookie_last : NULL, xdp->maps.cookie_last},
		{c ? c->maps.syn_state : NULL, xdp->maps.syn_state},
	};

	*err = c ? 0 : -errno;
	for (size_t i = 0; i < ARRAY_SIZE(shared) && !*err; i++)
		*err = bpf_map__reuse_fd(shared[i].ours, bpf_map__fd(shared[i].theirs));
	if (!*err)
		*err = sluice_cookie_bpf__load(c);
	if (*err) {
		sluice_cookie_bpf__destroy(c);
		return NULL;
	}
	return c;
}

int cookie_link(const struct sluice_cookie_bpf *c, unsigned ifindex)
{
	return bpf_link_create(bpf_program__fd(c->progs.sluice_cookie), (int)ifindex, TCX_INGRESS,
			       NULL);
}

static void tcx_name(unsigned ifindex, char name[32])
{
	snprintf(name, 32, "tcx_%u", ifindex);
}

/* Is the link's program really on this interface of ours? As for XDP, a number says
 * nothing about the network namespace. */
static bool link_is_here(int fd, unsigned ifindex)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info), flags, ids[64], n = ARRAY_SIZE(ids);

	/* as in an XDP link, an ifindex comes first */
	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != TCX_LINK_TYPE ||
	    info.xdp.ifindex != ifindex ||
	    bpf_prog_query((int)ifindex, TCX_INGRESS, 0, &flags, ids, &n))
		return false;
	for (__u32 i = 0; i < n && i < ARRAY_SIZE(ids); i++)
		if (ids[i] == info.prog_id)
			return true;
	return false;
}

static void tcx_release(struct shield *s, const char *pin)
{
	char path[SHIELD_PATH_MAX];
	int fd;

	pin_path(s, pin, path);
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	pin_remove(s, pin);
}

static int tcx_take_over(struct shield *s, size_t i, const char *pin)
{
	char path[SHIELD_PATH_MAX];
	int fd, err;

	pin_path(s, pin, path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = link_is_here(fd, s->iface[i].ifindex) ?
		      bpf_link_update(fd, bpf_program__fd(s->cookie->progs.sluice_cookie), NULL) :
		      -ENOLINK;
	if (err) {
		close(fd);
		tcx_release(s, pin);
		return err;
	}
	s->tcx_fd[i] = fd;
	return 0;
}

static int tcx_attach(struct shield *s, size_t i)
{
	char pin[32];
	int fd, err;

	tcx_name(s->iface[i].ifindex, pin);
	if (tcx_take_over(s, i, pin) == 0)
		return 0;
	fd = cookie_link(s->cookie, s->iface[i].ifindex);
	if (fd < 0)
		return fd;
	err = pin_store(s, pin, fd);
	if (err) {
		close(fd);
		return err;
	}
	s->tcx_fd[i] = fd;
	return 0;
}

static void tcx_forget(struct shield *s, const char *name)
{
	unsigned long ifindex = strtoul(name + strlen("tcx_"), NULL, 10);

	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->iface[i].ifindex == ifindex && s->tcx_fd[i] >= 0)
			return;
	tcx_release(s, name);
}

static void tcx_close(struct shield *s)
{
	for (size_t i = 0; i < s->n_ifaces; i++) {
		if (s->tcx_fd[i] >= 0)
			close(s->tcx_fd[i]);
		s->tcx_fd[i] = -1;
	}
}

/* Everywhere or nowhere: a cookie given out on one interface must not be unknown there. */
static int tcx_attach_all(struct shield *s)
{
	int err = 0;

	for (size_t i = 0; i < s->n_ifaces && !err; i++) {
		if (s->iface[i].mode == SHIELD_OFF)
			continue;
		err = tcx_attach(s, i);
		if (err)
			why(s, "%s: no tc program: %s", s->iface[i].name, strerror(-err));
	}
	if (err)
		tcx_close(s);
	pin_each(s, "tcx_", tcx_forget);
	return err;
}

void cookies_detach(struct shield *s)
{
	pin_each(s, "tcx_", tcx_release);
	tcx_close(s);
}

/* ---- up, and while it runs ------------------------------------------------------------ */

static int tell(struct shield *s)
{
	return bpf_map__update_elem(s->xdp->maps.cookie, &zero, sizeof(zero), &s->cookies,
				    sizeof(s->cookies), BPF_ANY);
}

/* How cookies could be, before any interface has its say. */
static enum shield_cookie_how choose(struct shield *s)
{
	int err = cookie_probe(&s->cookies);

	if (err) {
		why(s, "no connection over loopback to learn TCP's settings from: %s",
		    strerror(-err));
		return COOKIE_NONE;
	}
	if (sysctl_read("tcp_syncookies") == 0) {
		why(s, "net.ipv4.tcp_syncookies is 0: the kernel would take none back");
		return COOKIE_NONE;
	}
	s->cookie = cookie_load(s->xdp, &err);
	if (!s->cookie) {
		why(s, "this kernel makes no connections of foreign cookies (Linux 6.9 does)");
		return COOKIE_KERNEL;
	}
	s->cookie_test = rehearsal_hear(&s->rehearsal, s->rehearsal.waits_ns, s->cookie_why,
					sizeof(s->cookie_why));
	return s->cookie_test == SHIELD_TEST_FAILED ? COOKIE_KERNEL : COOKIE_OWN;
}

const char *shield_test_word(enum shield_test is)
{
	switch (is) {
	case SHIELD_TEST_PASSED: return "passed";
	case SHIELD_TEST_FAILED: return "failed";
	case SHIELD_TEST_UNTESTED: return "untested";
	case SHIELD_TEST_NONE: break;
	}
	return "none";
}

const char *shield_cookie_word(enum shield_cookie_how how)
{
	switch (how) {
	case COOKIE_OWN: return "own";
	case COOKIE_KERNEL: return "kernel";
	case COOKIE_NONE: break;
	}
	return "none";
}

static void unload(struct shield *s)
{
	sluice_cookie_bpf__destroy(s->cookie);
	s->cookie = NULL;
}

/* What packets are told from now on; if they cannot be, there are none. */
static void become(struct shield *s, enum shield_cookie_how how)
{
	int err;

	s->cookies.how = how;
	err = tell(s);
	if (!err)
		return;
	s->cookies.how = COOKIE_NONE;
	why(s, "its map could not be written: %s", strerror(-err));
}

/* Not before XDP has stopped giving out ours. */
static void give_up_own(struct shield *s)
{
	cookies_detach(s);
	unload(s);
}

/* Late news of the rehearsal, for who went on without. Trying again would take CAP_SYS_ADMIN, which a keeper
 * has given up by then. */
static void test_hear(struct shield *s, uint64_t until_ns)
{
	char because[sizeof(s->cookie_why)];
	enum shield_test is;

	if (s->cookie_test != SHIELD_TEST_NONE || !s->cookie)
		return;
	is = rehearsal_hear(&s->rehearsal, until_ns, because, sizeof(because));
	if (is == SHIELD_TEST_NONE)
		return;
	rehearsal_end(&s->rehearsal);
	s->cookie_test = is;
	memcpy(s->cookie_why, because, sizeof(because));
	if (is == SHIELD_TEST_FAILED) {
		s->tcx_why[0] = '\0';
		become(s, COOKIE_KERNEL);
		give_up_own(s);
		log_error("shield: SYN cookies: %s from now on: %s",
			  shield_cookie_word(s->cookies.how), s->cookie_why);
	} else if (is == SHIELD_TEST_UNTESTED) {
		log_warn("shield: SYN cookies: own, %s", s->cookie_why);
	} else {
		log_info("shield: SYN cookies: own, and now tested");
	}
}

void cookies_open(struct shield *s, struct rehearsal *r)
{
	enum shield_cookie_how how = COOKIE_NONE;
	int err;

	s->rehearsal = *r;
	s->cookie_why[0] = s->tcx_why[0] = '\0';
	s->cookie_test = SHIELD_TEST_NONE;
	err = cookie_keys_turn(s->xdp->maps.cookie_key);
	if (err)
		why(s, "no keys: %s", strerror(-err));
	else
		how = choose(s);
	if (how == COOKIE_OWN && tcx_attach_all(s))
		how = COOKIE_KERNEL;
	become(s, how);
	s->rehearsal.again = 0;
	if (s->cookies.how != COOKIE_OWN || s->cookie_test != SHIELD_TEST_NONE)
		rehearsal_end(&s->rehearsal);
	if (s->cookies.how != COOKIE_OWN) {
		give_up_own(s);
		log_warn("shield: SYN cookies: %s: %s", shield_cookie_word(s->cookies.how),
			 s->cookie_why);
	} else if (s->cookie_test == SHIELD_TEST_PASSED) {
		log_info("shield: SYN cookies: own; window scale %u", s->cookies.wscale);
	} else if (s->cookie_test == SHIELD_TEST_NONE) {
		why(s, "untested so far (the test goes on)");
		log_info("shield: SYN cookies: own, %s; window scale %u", s->cookie_why,
			 s->cookies.wscale);
	} else {
		log_warn("shield: SYN cookies: own, %s; window scale %u", s->cookie_why,
			 s->cookies.wscale);
	}
}

void cookies_close(struct shield *s)
{
	if (s->rehearsal.fd >= 0)
		close(s->rehearsal.fd);
	if (s->rehearsal.pid_fd >= 0)
		close(s->rehearsal.pid_fd);
	s->rehearsal.fd = s->rehearsal.pid_fd = -1;
	tcx_close(s);
	unload(s);
}

static unsigned under_attack(const struct shield *s, struct shield_cookie_stats *out)
{
	struct syn_state *all = calloc(s->cpus, sizeof(*all));
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (!all || bpf_map__lookup_elem(s->xdp->maps.syn_state, &zero, sizeof(zero), all,
					 s->cpus * sizeof(*all), 0)) {
		free(all);
		return 0;
	}
	for (unsigned c = 0; c < s->cpus; c++) {
		/* a core to which no SYN comes any more does not notice that it is over */
		bool silent = now > all[c].window_ends_ns + SYN_CALM_S * 1000000000ull;

		out->cores_under_attack += all[c].attack && !silent;
		out->attacks += all[c].attacks;
		out->answered += all[c].answered;
		out->returned += all[c].returned;
		out->made += all[c].made;
		out->refused += all[c].refused;
	}
	free(all);
	return out->cores_under_attack;
}

int shield_cookies_read(const struct shield *s, struct shield_cookie_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (!s->xdp)
		return -EOPNOTSUPP;
	out->how = s->cookies.how;
	out->test = s->cookie_test;
	snprintf(out->why, sizeof(out->why), "%s", *s->tcx_why ? s->tcx_why : s->cookie_why);
	under_attack(s, out);
	return 0;
}

/* ---- now and then ---------------------------------------------------------------------- */

/* Is our program still at tc of interface i? The kernel takes a link's interface away when somebody
 * detaches it. */
static bool tcx_is_on(const struct shield *s, size_t i)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);

	return s->tcx_fd[i] >= 0 && bpf_obj_get_info_by_fd(s->tcx_fd[i], &info, &len) == 0 &&
	       info.xdp.ifindex == s->iface[i].ifindex; /* as in link_is_here() */
}

/* Without the tc program a client that was answered is refused: its ACK meets a listener that knows
 * nothing of it. So it is attached again, and where that cannot be, nobody gives out own cookies until
 * it can. */
static int tcx_mend(struct shield *s, size_t i)
{
	const char *name = s->iface[i].name;
	bool was_on = s->tcx_fd[i] >= 0;
	int err;

	if (was_on)
		close(s->tcx_fd[i]);
	s->tcx_fd[i] = -1;
	err = tcx_attach(s, i);
	if (err || !was_on)
		return err;
	log_warn("shield: %s: somebody has detached the tc program that takes SYN cookies back: "
		 "attached again",
		 name);
	shield_event(s, EVENT_INTERFACE,
		     "%s: the tc program of SYN cookies was detached: attached "
		     "again",
		     name);
	return 0;
}

static void tcx_lost(struct shield *s, const char *name, int err)
{
	bool news = !*s->tcx_why;

	snprintf(
		s->tcx_why, sizeof(s->tcx_why),
		"%s: the tc program that takes own cookies back is gone, and cannot be attached: %s",
		name, strerror(-err));
	if (!news)
		return;
	become(s, COOKIE_KERNEL);
	log_error("shield: SYN cookies: %s, until it can: %s", shield_cookie_word(s->cookies.how),
		  s->tcx_why);
	shield_event(s, EVENT_INTERFACE, "%s: the tc program of SYN cookies is gone; cookies: %s",
		     name, shield_cookie_word(s->cookies.how));
}

static void tcx_look(struct shield *s)
{
	bool all = true;

	for (size_t i = 0; s->cookie && i < s->n_ifaces; i++) {
		int err;

		if (s->iface[i].mode == SHIELD_OFF || tcx_is_on(s, i))
			continue;
		err = tcx_mend(s, i);
		if (err)
			tcx_lost(s, s->iface[i].name, err);
		all = all && !err;
	}
	if (!s->cookie || !all || !*s->tcx_why)
		return;
	s->tcx_why[0] = '\0';
	become(s, COOKIE_OWN);
	log_info("shield: SYN cookies: %s again", shield_cookie_word(s->cookies.how));
	shield_event(s, EVENT_INTERFACE,
		     "the tc program of SYN cookies is there again; cookies: %s",
		     shield_cookie_word(s->cookies.how));
}

static void attack_look(struct shield *s)
{
	struct shield_cookie_stats now = {};
	unsigned cores = under_attack(s, &now);

	if (cores && !s->attacked) {
		log_warn("shield: SYN attack on %u of %u cores; cookies: %s", cores, s->cpus,
			 shield_cookie_word(s->cookies.how));
		shield_event(s, EVENT_ATTACK_BEGINS, "SYN attack on %u of %u cores; cookies: %s",
			     cores, s->cpus, shield_cookie_word(s->cookies.how));
		s->attack_answered = now.answered;
	} else if (!cores && s->attacked) {
		log_info("shield: SYN attack is over: %llu SYNs answered by cookie",
			 (unsigned long long)(now.answered - s->attack_answered));
		shield_event(s, EVENT_ATTACK_ENDS,
			     "SYN attack is over: %llu SYNs answered by cookie",
			     (unsigned long long)(now.answered - s->attack_answered));
	}
	s->attacked = cores > 0;
}

void cookies_look(struct shield *s)
{
	test_hear(s, 0);
	tcx_look(s);
	attack_look(s);
}

void shield_tick(struct shield *s)
{
	int err;

	if (!s->xdp)
		return;
	err = cookie_keys_turn(s->xdp->maps.cookie_key);
	if (err)
		log_error("shield: SYN cookies go on with old keys: %s", strerror(-err));
	attach_look(s);
	attach_refresh(s);
	cookies_look(s);
	sample_look(s);
}
