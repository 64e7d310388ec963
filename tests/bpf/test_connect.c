/* SPDX-License-Identifier: BSD-2-Clause */
/* test_connect.c - whole connections by cookie: two hosts and a wire, native XDP, the daemon's own
 * code. Port 443 is protected and answered by cookie always, port 80 is ordinary: both must
 * come to the same terms, at both ends, under whatever sysctls there are. */
#include "test.h"

#include <linux/capability.h>
#include <linux/tcp.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "net.h"
#include "run.h"
#include "shield/state.h"

static struct shield *up_with(struct net *n, struct shield_rules rules, enum shield_want want)
{
	struct shield_protect list[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP},
	};
	const char *edge0 = "edge0";
	char pin[128];
	struct shield_config cfg = {
		.mode = want,
		.ifaces = &edge0,
		.n_ifaces = 1,
		.plan = {.protect = list, .n_protect = ARRAY_SIZE(list), .rules = rules},
		.pin_dir = pin,
	};
	struct shield *s;

	snprintf(pin, sizeof(pin), "%s/sluice", n->dir);
	check(shield_open(&cfg, &s) == 0);
	check(shield_is_on(s));
	return s;
}

static struct shield_rules always(void)
{
	struct shield_rules r = shield_rules_default();

	r.cookies = COOKIES_ALWAYS;
	return r;
}

static struct shield *up(struct net *n)
{
	return up_with(n, always(), SHIELD_WANT_NATIVE);
}

/* What XDP_TX into a veth needs at its other end: a program that lets pass. */
static void let_pass(struct net *n)
{
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, frags, .prog_flags = BPF_F_XDP_HAS_FRAGS);
	int prog = bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", code, ARRAY_SIZE(code), &frags);

	net_enter(n->client);
	check(prog >= 0);
	check(bpf_link_create(prog, (int)if_nametoindex("cli0"), BPF_XDP, NULL) >= 0);
	net_enter(n->edge);
}

static struct shield_cookie_stats stats(struct shield *s)
{
	struct shield_cookie_stats c;

	check(shield_cookies_read(s, &c) == 0);
	return c;
}

static struct tcp_info info(int fd)
{
	struct tcp_info i = {};
	socklen_t n = sizeof(i);

	check(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &n) == 0);
	return i;
}

static bool same(const char *what, unsigned a, unsigned b)
{
	if (a != b)
		fprintf(stderr, "%s: %u in order, %u by cookie\n", what, a, b);
	return a == b;
}

static void alike(const char *end, struct tcp_info a, struct tcp_info b)
{
	const __u8 agreed = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE | TCPI_OPT_ECN;
	bool ok = same("options", a.tcpi_options & agreed, b.tcpi_options & agreed);

	ok &= same("our window scale", a.tcpi_snd_wscale, b.tcpi_snd_wscale);
	ok &= same("their window scale", a.tcpi_rcv_wscale, b.tcpi_rcv_wscale);
	ok &= same("MSS out", a.tcpi_snd_mss, b.tcpi_snd_mss);
	ok &= same("MSS in", a.tcpi_rcv_mss, b.tcpi_rcv_mss);
	ok &= same("MSS told", a.tcpi_advmss, b.tcpi_advmss);
	ok &= same("path MTU", a.tcpi_pmtu, b.tcpi_pmtu);
	if (!ok)
		fprintf(stderr, "at the %s\n", end);
	check(ok);
}

/* An ordinary connection and one by cookie, to `ip`, are the same to both ends; both work. */
static void compare(struct net *n, struct shield *s, const char *ip)
{
	struct shield_cookie_stats before = stats(s), after;
	struct pair a = net_pair(n, ip, 80), b = net_pair(n, ip, 443);

	after = stats(s);
	check(after.answered > before.answered && after.made == before.made + 1);
	check(after.refused == 0);
	alike("client", info(a.client), info(b.client));
	alike("server", info(a.server), info(b.server));
	check(net_pair_lives(&a) && net_pair_lives(&b));
	check(net_bulk(b.client, b.server, 3 << 20));
	check(net_bulk(b.server, b.client, 3 << 20));
	net_pair_close(&a);
	net_pair_close(&b);
}

static void set(struct net *n, bool client, const char *name, const char *value)
{
	net_enter(client ? n->client : n->edge);
	check(net_sh("echo %s > /proc/sys/net/ipv4/%s", value, name) == 0);
	net_enter(n->edge);
}

/* Before 6.9 no kernel made a connection of a cookie that is not its own. */
static bool own_cookies(void)
{
	return net_sh("grep -q ' bpf_sk_assign_tcp_reqsk$' /proc/kallsyms") == 0;
}

#define OWN_TEST(name, mtu)                                                                        \
	static void body_##name(struct net *n);                                                    \
	TEST(connect, name)                                                                        \
	{                                                                                          \
		if (!run_may())                                                                    \
			test_skip("needs root for namespaces and BPF");                            \
		if (!own_cookies())                                                                \
			test_skip("this kernel knows only cookies of its own");                    \
		assert_true(net_fork(body_##name, mtu));                                           \
	}                                                                                          \
	static void body_##name(struct net *n)

OWN_TEST(the_rehearsal_finds_both_kinds_alike, 1500)
{
	struct rehearsal r;
	char why[160] = "";
	uint64_t began = clock_mono_ns();

	enum shield_test is;

	rehearsal_begin(&r, NULL);
	/* the machine may be busy, the test not hurried */
	is = rehearsal_hear(&r, began + 20000000000, why, sizeof(why));
	rehearsal_end(&r);
	check(is == SHIELD_TEST_PASSED);
	print_message("%.0f ms\n", (double)(clock_mono_ns() - began) / 1e6);
	if (*why)
		fprintf(stderr, "%s\n", why);
	check(!*why);
}

OWN_TEST(under_default_sysctls_by_cookie_is_as_by_the_kernel, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	check(stats(s).how == COOKIE_OWN);
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(a_client_without_timestamps_keeps_its_window_scale_and_sack, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	set(n, true, "tcp_timestamps", "0");
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	set(n, true, "tcp_sack", "0");
	compare(n, s, "192.0.2.1");
	set(n, true, "tcp_window_scaling", "0");
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(ecn_and_odd_windows_come_through, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	set(n, true, "tcp_ecn", "1");
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	set(n, true, "tcp_rmem", "'4096 300000 60000000'");
	compare(n, s, "192.0.2.1");
	set(n, true, "tcp_sack", "0");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(any_mss_is_kept_to_the_byte, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	net_enter(n->client);
	check(net_sh("ip link set cli0 mtu 1397") == 0);
	net_enter(n->edge);
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(what_the_edges_sysctls_forbid_is_not_agreed_to, 1500)
{
	struct shield *s;

	set(n, false, "tcp_timestamps", "0");
	set(n, false, "tcp_sack", "0");
	s = up(n);
	let_pass(n);
	compare(n, s, "192.0.2.1");
	shield_close(s, true);
	set(n, false, "tcp_window_scaling", "0");
	s = up(n);
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(an_mtu_that_changes_while_it_runs_is_followed, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	compare(n, s, "192.0.2.1");
	check(net_sh("ip link set edge0 mtu 1400") == 0);
	shield_tick(s);
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	check(net_sh("ip link set edge0 mtu 1500") == 0);
	shield_tick(s);
	compare(n, s, "192.0.2.1");
	shield_close(s, true);
}

OWN_TEST(a_jumbo_frame_is_offered_where_there_are_such, 9000)
{
	struct shield *s = up(n);

	let_pass(n);
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

static void body_vlan(struct net *n)
{
	struct shield *s;

	check(net_sh("ip link add link edge0 name edge0.5 type vlan id 5 && ip addr add 10.5.0.1/24 dev "
		     "edge0.5 && ip addr add fd05::1/64 dev edge0.5 nodad && ip link set edge0.5 up") ==
	      0);
	net_enter(n->client);
	check(net_sh("ip link add link cli0 name cli0.5 type vlan id 5 && ip addr add 10.5.0.9/24 dev "
		     "cli0.5 && ip addr add fd05::9/64 dev cli0.5 nodad && ip link set cli0.5 up") ==
	      0);
	net_enter(n->edge);
	s = up(n);
	let_pass(n);
	compare(n, s, "10.5.0.1");
	compare(n, s, "fd05::1");
	shield_close(s, true);
}

TEST(connect, in_a_vlan_it_is_the_same)
{
	if (!run_may())
		test_skip("needs root for namespaces and BPF");
	if (!own_cookies())
		test_skip("this kernel knows only cookies of its own");
	/* not on lo, which takes none anywhere */
	if (net_sh("unshare -n sh -c 'ip link add v0 type veth peer name v1 && "
		   "ip link add link v0 name v5 type vlan id 5' 2>/dev/null"))
		test_skip("this kernel has no VLANs");
	assert_true(net_fork(body_vlan, 1500));
}

OWN_TEST(generic_xdp_answers_too, 1500)
{
	struct shield *s = up_with(n, always(), SHIELD_WANT_GENERIC);

	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

OWN_TEST(a_wildcard_ipv6_listener_takes_ipv4_too, 1500)
{
	struct shield *s = up(n);
	int listener, client, server;

	let_pass(n);
	listener = net_listen("::", 443);
	net_enter(n->client);
	client = net_connect("192.0.2.1", 443, NET_PATIENCE_MS);
	net_enter(n->edge);
	check(client >= 0);
	server = accept(listener, NULL, NULL);
	check(server >= 0 && net_hears(client, server) && net_hears(server, client));
	check(stats(s).made == 1);
	shield_close(s, true);
}

OWN_TEST(cookies_go_on_while_nobody_keeps_the_shield, 1500)
{
	struct shield *s = up(n);
	struct shield_cookie_stats was;
	struct pair p, q;

	let_pass(n);
	p = net_pair(n, "192.0.2.1", 443);
	was = stats(s);
	check(was.made == 1);
	shield_close(s, false); /* as by SIGKILL */
	q = net_pair(n, "2001:db8::1", 443);
	check(net_pair_lives(&p) && net_pair_lives(&q));
	s = up(n);
	check(stats(s).made == 2); /* the maps, and with them the keys, are the same */
	net_pair_close(&q);
	q = net_pair(n, "2001:db8::1", 443);
	check(net_pair_lives(&p) && net_pair_lives(&q));
	check(stats(s).made == 3);
	shield_close(s, true);
	check(net_pair_lives(&p) && net_pair_lives(&q));
}

/* ---- what takes them back goes ----------------------------------------------------- */

static void tcx_detach(struct net *n)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/sluice/tcx_%u", n->dir, if_nametoindex("edge0"));
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_link_detach(fd) == 0);
	close(fd);
}

static bool told(struct net *n, const char *words)
{
	struct shield_event e;
	bool found = false;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/sluice/event_log", n->dir);
	fd = bpf_obj_get(path);
	check(fd >= 0);
	for (__u32 i = 0; i < SHIELD_EVENTS; i++)
		found = found || (bpf_map_lookup_elem(fd, &i, &e) == 0 &&
				  e.kind == EVENT_INTERFACE && strstr(e.text, words));
	close(fd);
	return found;
}

/* Takes a capability out of what counts now, or puts it back. */
static void may(unsigned cap, bool yes)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	check(syscall(SYS_capget, &head, data) == 0);
	if (yes)
		data[cap / 32].effective |= 1u << cap % 32;
	else
		data[cap / 32].effective &= ~(1u << cap % 32);
	check(syscall(SYS_capset, &head, data) == 0);
}

OWN_TEST(a_tc_program_that_somebody_detaches_is_attached_again_and_told, 1500)
{
	struct shield *s = up(n);

	let_pass(n);
	compare(n, s, "192.0.2.1");
	tcx_detach(n);
	shield_tick(s);
	check(stats(s).how == COOKIE_OWN && told(n, "detached: attached again"));
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, false);
	s = up(n); /* what is pinned now is the link that counts */
	compare(n, s, "192.0.2.1");
	shield_close(s, true);
}

OWN_TEST(while_nothing_can_take_cookies_back_none_of_ours_is_given, 1500)
{
	struct shield *s = up(n);
	struct shield_cookie_stats was;
	struct pair p;
	int other;

	let_pass(n);
	tcx_detach(n);
	other = cookie_link(s->cookie, if_nametoindex("edge0")); /* it can stand there but once */
	check(other >= 0);
	shield_tick(s);
	check(stats(s).how == COOKIE_KERNEL && strstr(stats(s).why, "edge0: the tc program"));
	check(told(n, "is gone; cookies: kernel"));
	was = stats(s);
	p = net_pair(n, "192.0.2.1", 443); /* by the kernel: its queue is empty */
	check(net_pair_lives(&p) && stats(s).answered == was.answered);
	net_pair_close(&p);
	shield_tick(s);
	check(stats(s).how == COOKIE_KERNEL);
	check(bpf_link_detach(other) == 0);
	shield_tick(s);
	check(stats(s).how == COOKIE_OWN && !strstr(stats(s).why, "tc program"));
	check(told(n, "is there again; cookies: own"));
	compare(n, s, "192.0.2.1");
	compare(n, s, "2001:db8::1");
	shield_close(s, true);
}

/* ---- the rehearsal ------------------------------------------------------------------- */

OWN_TEST(who_may_not_rehearse_has_own_cookies_and_says_that_they_are_untested, 1500)
{
	struct shield *s;

	check(net_sh("mount -t bpf bpf %s", n->dir) == 0);
	may(CAP_SYS_ADMIN, false);
	s = up(n);
	may(CAP_SYS_ADMIN, true);
	let_pass(n);
	check(stats(s).how == COOKIE_OWN && stats(s).test == SHIELD_TEST_UNTESTED);
	check(strstr(stats(s).why, "untested (no network namespace"));
	compare(n, s, "192.0.2.1");
	shield_close(s, true);
}

/* As a child of the rehearsal's that says so, now or later. */
static struct rehearsal says(const char *word)
{
	struct rehearsal r = {.pid_fd = -1};
	int ends[2];

	check(pipe(ends) == 0 && write(ends[1], word, strlen(word)) == (ssize_t)strlen(word));
	close(ends[1]);
	r.fd = ends[0];
	return r;
}

OWN_TEST(what_the_rehearsal_finds_behind_the_start_counts_as_well, 1500)
{
	struct shield *s = up(n);
	struct pair p;

	let_pass(n);
	s->cookie_test = SHIELD_TEST_NONE; /* as if the start had not waited for it */
	s->rehearsal = says("=");
	shield_tick(s);
	check(stats(s).test == SHIELD_TEST_PASSED && stats(s).how == COOKIE_OWN);
	compare(n, s, "192.0.2.1");

	s->cookie_test = SHIELD_TEST_NONE;
	s->rehearsal = says(""); /* killed by its own alarm */
	shield_tick(s);
	check(stats(s).test == SHIELD_TEST_UNTESTED && stats(s).how == COOKIE_OWN);
	check(strstr(stats(s).why, "did not end in time"));

	s->cookie_test = SHIELD_TEST_NONE;
	s->rehearsal = says("!another MSS over IPv4");
	shield_tick(s);
	check(stats(s).test == SHIELD_TEST_FAILED && stats(s).how == COOKIE_KERNEL);
	check(strstr(stats(s).why, "another MSS over IPv4"));
	check(net_sh("! ls %s/sluice/tcx_* >/dev/null 2>&1", n->dir) == 0);
	p = net_pair(n, "192.0.2.1", 443);
	check(net_pair_lives(&p));
	shield_close(s, true);
}

OWN_TEST(a_rehearsal_that_could_not_be_tried_is_tried_once_more, 1500)
{
	struct rehearsal r = says("?no listener to try them on");
	uint64_t until = clock_mono_ns() + 20000000000;
	char why[160];

	r.again = 1;
	check(rehearsal_hear(&r, until, why, sizeof(why)) == SHIELD_TEST_PASSED && !*why);
	rehearsal_end(&r);
	r = says("?no listener to try them on");
	check(rehearsal_hear(&r, until, why, sizeof(why)) == SHIELD_TEST_UNTESTED);
	check(strcmp(why, "untested (no listener to try them on)") == 0);
	rehearsal_end(&r);
}

static struct cookie_keys keys_of(struct net *n)
{
	struct cookie_keys keys;
	char path[128];
	__u32 zero = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/sluice/cookie_key", n->dir);
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_map_lookup_elem(fd, &zero, &keys) == 0);
	close(fd);
	return keys;
}

OWN_TEST(a_cookie_from_before_a_restart_is_good_after_it, 1500)
{
	struct shield *s = up(n);
	struct cookie_keys before = keys_of(n), after;
	uint64_t window = clock_mono_ns() >> COOKIE_WINDOW_SHIFT;

	for (int i = 0; i < COOKIE_KEYS; i++)
		check(before.at[i].window && (before.at[i].key[0] | before.at[i].key[1]));
	check(memcmp(&before.at[0], &before.at[1], sizeof(before.at[0])) != 0);
	shield_close(s, false);
	s = up(n);
	after = keys_of(n);
	for (uint64_t w = window - 1; w <= window; w++) /* what is given out and taken back now */
		check(memcmp(&before.at[w % COOKIE_KEYS], &after.at[w % COOKIE_KEYS],
			     sizeof(before.at[0])) == 0);
	shield_close(s, true);
}

OWN_TEST(the_next_windows_key_is_drawn_and_the_others_stay, 1500)
{
	struct shield *s = up(n);
	struct cookie_keys k = keys_of(n), turned;
	uint64_t window = clock_mono_ns() >> COOKIE_WINDOW_SHIFT, next;
	__u32 zero = 0;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/sluice/cookie_key", n->dir);
	fd = bpf_obj_get(path);
	for (int i = 0; i < COOKIE_KEYS; i++)
		k.at[i].window = 1; /* of long ago: their keeper died */
	check(fd >= 0 && bpf_map_update_elem(fd, &zero, &k, BPF_ANY) == 0);
	shield_tick(s);
	shield_tick(s);
	turned = keys_of(n);
	next = clock_mono_ns() >> COOKIE_WINDOW_SHIFT;
	if (next != window) { /* the clock has stepped between: once in a minute */
		shield_close(s, true);
		return;
	}
	next++;
	for (uint64_t i = 0; i < COOKIE_KEYS; i++)
		check((memcmp(k.at[i].key, turned.at[i].key, 16) != 0) ==
		      (i == next % COOKIE_KEYS));
	check(turned.at[next % COOKIE_KEYS].window == next);
	shield_close(s, true);
}

/* The limits of kernels that have nothing better: the MSS is kept, the rest is not offered. */
static void by_the_kernels(struct net *n, struct shield *s, struct pair *ordinary, const char *ip)
{
	const __u8 none = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE | TCPI_OPT_ECN;
	struct pair p = net_pair(n, ip, 443);
	struct tcp_info was = info(ordinary->server), is = info(p.server);
	/* of each segment, for timestamps */
	unsigned less = was.tcpi_options & TCPI_OPT_TIMESTAMPS ? 12 : 0;

	check((info(p.client).tcpi_options & none) == 0 && (is.tcpi_options & none) == 0);
	check(same("MSS out", was.tcpi_snd_mss + less, is.tcpi_snd_mss));
	check(same("MSS told", was.tcpi_advmss + less, is.tcpi_advmss));
	check(stats(s).answered > 0 && stats(s).refused == 0);
	check(net_pair_lives(&p) && net_bulk(p.client, p.server, 1 << 20));
	net_pair_close(&p);
	net_pair_close(ordinary);
}

static void body_kernels(struct net *n)
{
	struct pair v4 = net_pair(n, "192.0.2.1", 80), v6 = net_pair(n, "2001:db8::1", 80);
	struct shield *s;

	set(n, false, "tcp_syncookies", "2"); /* or it waits for a full queue */
	s = up(n);
	let_pass(n);
	check(stats(s).how == COOKIE_KERNEL);
	by_the_kernels(n, s, &v4, "192.0.2.1");
	by_the_kernels(n, s, &v6, "2001:db8::1");
	shield_close(s, true);
}

/* The same, on a kernel that has better ones and is made not to use them. */
static void kernels_kind(struct shield *s)
{
	__u32 zero = 0;

	s->cookies.how = COOKIE_KERNEL;
	check(bpf_map__update_elem(s->xdp->maps.cookie, &zero, sizeof(zero), &s->cookies,
				   sizeof(s->cookies), BPF_ANY) == 0);
}

/* Whatever the edge does with timestamps: they are not offered, so nothing is to be read out of them. */
NET_TEST(connect, the_kernels_kind_keeps_the_mss_and_offers_no_more_whatever_timestamps_are, 1500)
{
	static const char *const timestamps[] = {"1", "2", "0"};
	struct shield *s;

	set(n, false, "tcp_syncookies", "2"); /* or it waits for a full queue */
	s = up(n);
	let_pass(n);
	kernels_kind(s);
	for (size_t i = 0; i < ARRAY_SIZE(timestamps); i++) {
		struct pair v4, v6;

		set(n, false, "tcp_timestamps", timestamps[i]);
		v4 = net_pair(n, "192.0.2.1", 80);
		v6 = net_pair(n, "2001:db8::1", 80);
		by_the_kernels(n, s, &v4, "192.0.2.1");
		by_the_kernels(n, s, &v6, "2001:db8::1");
	}
	shield_close(s, true);
}

/* As it is by default: the kernel gives a cookie only for a listener whose queue is full. */
NET_TEST(connect, the_kernels_kind_answers_when_the_listeners_queue_is_full, 1500)
{
	const __u8 none = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE | TCPI_OPT_ECN;
	struct pair p;
	struct shield *s;
	bool full = false;

	set(n, false, "tcp_syncookies", "1");
	s = up(n);
	let_pass(n);
	kernels_kind(s);
	p = net_pair(n, "192.0.2.1", 443);
	check(stats(s).answered == 0 && (info(p.client).tcpi_options & TCPI_OPT_WSCALE));
	close(p.client);
	close(p.server);
	check(listen(p.listener, 4) == 0);
	for (int i = 0; i < 2000 && !full; i++) { /* nobody is there to answer the answers */
		char syn[128];

		snprintf(syn, sizeof(syn), "ip4 src=203.0.113.%d tcp S sport=%d dport=443",
			 1 + i % 200, 1024 + i);
		net_send(n, syn);
		full = stats(s).answered > 0;
		usleep(1000);
	}
	check(full);
	net_enter(n->client);
	p.client = net_connect("192.0.2.1", 443, NET_PATIENCE_MS);
	net_enter(n->edge);
	check(p.client >= 0 && (info(p.client).tcpi_options & none) == 0);
	p.server = accept(p.listener, NULL, NULL);
	check(p.server >= 0 && net_pair_lives(&p) && net_bulk(p.client, p.server, 1 << 20));
	check(stats(s).refused == 0);
	shield_close(s, true);
}

TEST(connect, an_old_kernels_cookies_keep_the_mss_and_offer_no_more)
{
	if (!run_may())
		test_skip("needs root for namespaces and BPF");
	if (own_cookies())
		test_skip("this kernel has better ones");
	assert_true(net_fork(body_kernels, 1500));
}

NET_TEST(connect, without_syncookies_in_the_kernel_there_are_none_here, 1500)
{
	struct shield *s;
	struct pair p;

	set(n, false, "tcp_syncookies", "0");
	s = up(n);
	let_pass(n);
	check(stats(s).how == COOKIE_NONE && strstr(stats(s).why, "tcp_syncookies"));
	p = net_pair(n, "192.0.2.1", 443);
	check(net_pair_lives(&p) && stats(s).answered == 0);
	shield_close(s, true);
}

NET_TEST(connect, an_ordinary_peace_is_not_disturbed, 1500)
{
	struct shield *s = up_with(n, shield_rules_default(), SHIELD_WANT_NATIVE);
	struct pair p = net_pair(n, "192.0.2.1", 443), q = net_pair(n, "2001:db8::1", 443);

	check(net_bulk(p.client, p.server, 3 << 20) && net_bulk(q.server, q.client, 3 << 20));
	check(stats(s).answered == 0 && stats(s).made == 0);
	/* a listener that is not there refuses at once, not by silence */
	net_pair_close(&p);
	net_enter(n->client);
	check(net_connect("192.0.2.1", 443, NET_PATIENCE_MS) < 0 && errno != ETIMEDOUT);
	net_enter(n->edge);
	shield_close(s, true);
}

TEST_MAIN()
