/* SPDX-License-Identifier: BSD-2-Clause */
/* test_shield.c - the shield on real interfaces: up, down, over a crash, and in
 * the way of real connections. net.h has the two hosts and the wire. */
#include <linux/capability.h>
#include <linux/if_link.h>
#include <sys/syscall.h>

#include "test.h"

#include "net.h"
#include "run.h"

static char pin_dir[128];

static struct shield_protect protect[4];

static struct shield_plan plan(void)
{
	return (struct shield_plan){.protect = protect,
				    .n_protect = ARRAY_SIZE(protect),
				    .rules = shield_rules_default()};
}

static struct shield_config config(struct net *n, enum shield_want mode, const char *const *ifaces,
				   size_t n_ifaces)
{
	static const char *const to[] = {"192.0.2.1", "2001:db8::1", "127.0.0.0/8", "::1"};

	for (size_t i = 0; i < ARRAY_SIZE(protect); i++)
		protect[i] = (struct shield_protect){
			.to = run_prefix(to[i]), .port = 443, .proto = L4_TCP};
	snprintf(pin_dir, sizeof(pin_dir), "%s/bpf", n->dir);
	return (struct shield_config){.pin_dir = pin_dir,
				      .mode = mode,
				      .ifaces = ifaces,
				      .n_ifaces = n_ifaces,
				      .plan = plan()};
}

static int set_plan(struct shield *s)
{
	struct shield_plan it = plan();

	return shield_policy_set(s, &it, 0);
}

static const char *const edge0[] = {"edge0"};
static const char *const lo[] = {"lo"};

static struct shield *up(struct net *n, enum shield_want mode, const char *const *ifaces,
			 size_t count)
{
	struct shield_config cfg = config(n, mode, ifaces, count);
	struct shield *s;

	check(shield_open(&cfg, &s) == 0 && s != NULL);
	return s;
}

static struct shield_attachment first(const struct shield *s)
{
	size_t n;
	const struct shield_attachment *a = shield_attachments(s, &n);

	check(n > 0);
	return a[0];
}

static uint64_t counted(struct shield *s, enum drop_reason why)
{
	struct shield_stats stats;

	check(shield_stats_read(s, &stats) == 0);
	return stats.drop[why];
}

static uint64_t dropped(struct shield *s)
{
	struct shield_stats stats;
	uint64_t sum = 0;

	check(shield_stats_read(s, &stats) == 0);
	for (int i = DROP_NONE + 1; i < DROP_REASONS; i++)
		sum += stats.drop[i];
	return sum;
}

/* The counter is raised on the other side of a wire: wait for it, but not for ever. */
static bool counts_to(struct shield *s, enum drop_reason why, uint64_t want)
{
	for (int i = 0; i < 300 && counted(s, why) < want; i++)
		usleep(10000);
	return counted(s, why) == want;
}

static bool exists(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s%s", pin_dir, *name ? "/" : "", name);
	return access(path, F_OK) == 0;
}

/* The bpffs that shield_open() mounted stays, with the two files the kernel puts there. */
static bool nothing_is_pinned(void)
{
	return net_sh("test -z \"$(ls -A %s | grep -v '\\.debug$')\"", pin_dir) == 0;
}

static __u32 prog_on(const char *iface)
{
	__u32 id = 0;

	bpf_xdp_query_id((int)if_nametoindex(iface), 0, &id);
	return id;
}

static void deny(struct shield *s, const char *prefix)
{
	struct shield_prefix p = run_prefix(prefix);

	check(shield_deny_add(s, &p, 0, SHIELD_DENY_OPERATOR, "a test") == 0);
}

/* ---- in the way of packets ------------------------------------------------------ */

NET_TEST(shield, native_on_veth_drops_each_bad_kind_with_its_reason, 1500)
{
	static const struct {
		enum drop_reason why;
		const char *packet;
	} bad[] = {
		{DROP_BAD_IP_HEADER, "ip4 ihl=4 tcp S"},
		{DROP_BAD_IP_HEADER, "ip6 ver=4 tcp S"},
		{DROP_BAD_LENGTH, "ip4 len=1000 tcp S"},
		{DROP_BAD_LENGTH, "ip6 len=1000 tcp S"},
		{DROP_VLAN_TAGS, "vlan vlan vlan ip4 tcp S"},
		{DROP_VLAN_TAGS, "qinq qinq vlan ip6 tcp A"},
		{DROP_IPV6_EXT, "ip6 rt left=1 tcp S"},
		{DROP_TRUNCATED, "ip4 proto=6 data=8"},
		{DROP_TRUNCATED, "ip6 next=60"},
		{DROP_TCP_FRAGMENT, "ip4 mf=1 tcp S data=64"},
		{DROP_TCP_FRAGMENT, "ip6 frag off=9 next=6 data=64"},
		{DROP_IPV4_OPTIONS, "ip4 opts=2 tcp S"},
		{DROP_BOGUS_SOURCE, "ip4 src=127.0.0.1 tcp S"},
		{DROP_BOGUS_SOURCE, "ip6 src=ff02::1 tcp S"},
		{DROP_LAND, "ip4 src=192.0.2.1 tcp S"},
		{DROP_LAND, "ip6 src=2001:db8::1 tcp S"},
		{DROP_PORT_ZERO, "ip4 tcp S sport=0"},
		{DROP_BAD_TCP_OFFSET, "ip4 tcp S doff=4"},
		{DROP_BAD_TCP_OFFSET, "ip6 tcp S doff=15"},
		{DROP_BAD_TCP_FLAGS, "ip4 tcp -"},
		{DROP_BAD_TCP_FLAGS, "ip6 tcp FPU"},
		{DROP_BAD_TCP_FLAGS, "vlan ip4 tcp SF"},
		{DROP_DENIED, "ip4 src=203.0.113.0 tcp S"},
		{DROP_DENIED, "ip4 src=203.0.113.255 tcp A data=10"},
		{DROP_DENIED, "ip6 src=2001:db8:dead::1 tcp S"},
		{DROP_DENIED, "ip6 src=2001:db8:dead:0:9::1 tcp S"},
	};
	uint64_t want[DROP_REASONS] = {};
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	struct pair web = net_pair(n, "192.0.2.1", 443), web6 = net_pair(n, "2001:db8::1", 443);
	struct pair ssh = net_pair(n, "192.0.2.1", 22);
	struct shield_stats stats;

	check(first(s).mode == SHIELD_NATIVE);
	deny(s, "203.0.113.0/24");
	deny(s, "2001:db8:dead::/64");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		net_send(n, bad[i].packet);
		want[bad[i].why]++;
		if (!counts_to(s, bad[i].why, want[bad[i].why])) {
			fprintf(stderr, "\"%s\" did not count as %s\n", bad[i].packet,
				shield_reason_word(bad[i].why));
			_exit(1);
		}
		check(net_pair_lives(&web) && net_pair_lives(&web6) && net_pair_lives(&ssh));
	}
	for (int i = DROP_NONE + 1; i < DROP_REASONS; i++)
		check((want[i] > 0 || shield_reason_rule((enum drop_reason)i) >= RULE_RATE) &&
		      counted(s, (enum drop_reason)i) == want[i]);
	check(shield_stats_read(s, &stats) == 0 && stats.n_ifaces == 1);
	check(stats.iface[0].dropped == ARRAY_SIZE(bad));
	check(stats.iface[0].passed == stats.drop[DROP_NONE] && stats.iface[0].passed > 0);
	shield_close(s, true);
}

NET_TEST(shield, other_ports_and_pings_are_untouched_for_a_denied_host, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	struct pair ssh;
	uint64_t before;

	deny(s, "198.51.100.0/24");
	deny(s, "2001:db8:1::/64");
	ssh = net_pair(n, "192.0.2.1", 22);
	check(net_pair_lives(&ssh));
	before = dropped(s);
	check(before == 0);
	int web = net_listen("192.0.2.1", 443);
	net_enter(n->client);
	check(net_connect("192.0.2.1", 443, 500) < 0);
	check(net_ping("192.0.2.1") && net_ping("2001:db8::1"));
	net_enter(n->edge);
	check(dropped(s) > 0 && dropped(s) == counted(s, DROP_DENIED));
	check(net_pair_lives(&ssh));
	close(web);
	shield_close(s, true);
}

NET_TEST(shield, attaching_and_detaching_break_no_connection, 1500)
{
	static const enum shield_want modes[] = {SHIELD_WANT_NATIVE, SHIELD_WANT_GENERIC};
	struct pair p = net_pair(n, "192.0.2.1", 443), p6 = net_pair(n, "2001:db8::1", 443);

	for (int i = 0; i < 6; i++) {
		struct shield *s = up(n, modes[i % 2], edge0, 1);

		check(first(s).mode == (i % 2 ? SHIELD_GENERIC : SHIELD_NATIVE));
		check(net_pair_lives(&p) && net_pair_lives(&p6));
		check(net_bulk(p.client, p.server, 1 << 20));
		shield_close(s, true);
		check(prog_on("edge0") == 0);
		check(net_pair_lives(&p) && net_pair_lives(&p6));
	}
}

/* Not one good packet may fall, however it was put together. */
static void bulk_both_ways(struct net *n, struct shield *s, const char *ip, size_t bytes)
{
	struct pair p = net_pair(n, ip, 443);

	check(net_bulk(p.client, p.server, bytes));
	check(net_bulk(p.server, p.client, bytes));
	check(dropped(s) == 0);
	check(counted(s, DROP_NONE) > 0);
	net_pair_close(&p);
}

NET_TEST(shield, bulk_over_a_native_veth_loses_nothing, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_NATIVE, edge0, 1);

	bulk_both_ways(n, s, "192.0.2.1", 64 << 20);
	bulk_both_ways(n, s, "2001:db8::1", 64 << 20);
	shield_close(s, true);
}

NET_TEST(shield, jumbo_frames_pass_a_native_veth_in_pieces, 9000)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);

	check(first(s).mode == SHIELD_NATIVE);
	bulk_both_ways(n, s, "192.0.2.1", 64 << 20);
	bulk_both_ways(n, s, "2001:db8::1", 64 << 20);
	shield_close(s, true);
}

NET_TEST(shield, bulk_over_a_generic_veth_loses_nothing, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_GENERIC, edge0, 1);

	bulk_both_ways(n, s, "192.0.2.1", 64 << 20);
	bulk_both_ways(n, s, "2001:db8::1", 64 << 20);
	shield_close(s, true);
}

/* On lo client and server are the same host, and segments are 64 KiB. */
static void bulk_on_lo(struct net *n)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, lo, 1);
	static const char *const ips[] = {"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"};

	check(first(s).mode == SHIELD_GENERIC && first(s).why[0]);
	n->client = n->edge;
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		bulk_both_ways(n, s, ips[i], 64 << 20);
	shield_close(s, true);
}

NET_TEST(shield, bulk_over_generic_lo_loses_nothing, 1500)
{
	bulk_on_lo(n);
}

NET_TEST(shield, big_tcp_over_generic_lo_loses_nothing, 1500)
{
	if (net_sh("ip link set lo gso_max_size 190000 gro_max_size 190000 2>/dev/null"))
		return; /* neither this kernel nor this ip(8) knows it: nothing to lose */
	bulk_on_lo(n);
}

NET_TEST(shield, loopback_sources_are_bogus_on_a_wire_and_at_home_on_lo, 1500)
{
	static const char *const both[] = {"edge0", "lo"};
	struct shield *s = up(n, SHIELD_WANT_AUTO, both, 2);
	struct pair p;

	net_send(n, "ip4 src=127.0.0.1 tcp S");
	net_send(n, "ip6 src=::1 tcp S");
	check(counts_to(s, DROP_BOGUS_SOURCE, 2));
	n->client = n->edge;
	p = net_pair(n, "127.0.0.1", 443);
	check(net_pair_lives(&p));
	net_pair_close(&p);
	p = net_pair(n, "::1", 443);
	check(net_pair_lives(&p) && counted(s, DROP_BOGUS_SOURCE) == 2);
	shield_close(s, true);
}

/* ---- up, down, and over a crash --------------------------------------------------- */

NET_TEST(shield, a_clean_stop_leaves_nothing, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);

	check(exists("xdp") && exists("lists") && exists("") && prog_on("edge0") != 0);
	shield_close(s, true);
	check(prog_on("edge0") == 0);
	check(!exists("xdp") && !exists("lists"));
	check(nothing_is_pinned());
}

/* A keeper that sets up the shield and waits to be killed. */
static pid_t keeper(struct net *n, const char *const *ifaces, size_t count)
{
	int ready[2];
	char c;
	pid_t pid;

	check(pipe(ready) == 0);
	pid = fork();
	if (pid == 0) {
		struct shield *s = up(n, SHIELD_WANT_AUTO, ifaces, count);

		check(shield_is_on(s));
		deny(s, "203.0.113.0/24");
		check(write(ready[1], "", 1) == 1);
		pause();
	}
	close(ready[1]);
	check(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	config(n, SHIELD_WANT_AUTO, ifaces, count); /* for pin_dir */
	return pid;
}

static void kill_keeper(pid_t pid)
{
	kill(pid, SIGKILL);
	check(waitpid(pid, NULL, 0) == pid);
}

NET_TEST(shield, outlives_its_keeper_and_is_taken_over_by_the_next, 1500)
{
	/* here, so that the killed keeper's mount is ours too */
	check(net_sh("mkdir -p %s/bpf && mount -t bpf bpf %s/bpf", n->dir, n->dir) == 0);
	pid_t pid = keeper(n, edge0, 1);
	struct pair p = net_pair(n, "192.0.2.1", 443);
	__u32 before = prog_on("edge0");
	struct shield *s;

	check(before != 0);
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	kill_keeper(pid);
	check(prog_on("edge0") == before && exists("xdp") && exists("lists"));
	check(net_pair_lives(&p));
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	net_send(n, "ip4 tcp -");

	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(first(s).taken_over && first(s).mode == SHIELD_NATIVE);
	check(prog_on("edge0") != 0 && prog_on("edge0") != before);
	check(counts_to(s, DROP_DENIED, 2)); /* one of them while nobody was there */
	check(counts_to(s, DROP_BAD_TCP_FLAGS, 1));
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	check(counts_to(s, DROP_DENIED, 3)); /* the entry was kept */
	check(net_pair_lives(&p));
	shield_close(s, true);
	check(prog_on("edge0") == 0 && net_pair_lives(&p));
}

NET_TEST(shield, a_restart_under_load_lets_nothing_through_unjudged, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	uint64_t sent = 0;

	deny(s, "203.0.113.0/24");
	for (int i = 0; i < 20; i++) {
		for (int k = 0; k < 50; k++, sent++)
			net_send(n, "ip4 src=203.0.113.9 tcp S");
		shield_close(s, false); /* as after a crash */
		for (int k = 0; k < 50; k++, sent++)
			net_send(n, "ip4 src=203.0.113.9 tcp S");
		s = up(n, SHIELD_WANT_AUTO, edge0, 1);
		check(first(s).taken_over);
	}
	check(counts_to(s, DROP_DENIED, sent));
	shield_close(s, true);
}

NET_TEST(shield, one_keeper_at_a_time, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1), *other = NULL;
	struct shield_config cfg = config(n, SHIELD_WANT_AUTO, edge0, 1);

	check(shield_open(&cfg, &other) == -EBUSY && other == NULL);
	shield_close(s, true);
	check(shield_open(&cfg, &other) == 0);
	shield_close(other, true);
}

NET_TEST(shield, an_interface_that_left_the_configuration_is_let_go, 1500)
{
	static const char *const both[] = {"lo", "edge0"};
	struct shield *s = up(n, SHIELD_WANT_AUTO, both, 2);
	struct shield_stats stats;

	net_send(n, "ip4 tcp -");
	check(counts_to(s, DROP_BAD_TCP_FLAGS, 1));
	shield_close(s, false);
	check(prog_on("lo") && prog_on("edge0"));
	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(!prog_on("lo") && prog_on("edge0") && first(s).taken_over);
	check(shield_stats_read(s, &stats) == 0 && stats.iface[0].dropped == 1); /* its own slot */
	shield_close(s, false);
	s = up(n, SHIELD_WANT_OFF, NULL, 0);
	check(!prog_on("edge0") && !shield_is_on(s) && strstr(shield_why_off(s), "off"));
	shield_close(s, true);
	check(nothing_is_pinned());
}

NET_TEST(shield, another_mode_is_another_link, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_GENERIC, edge0, 1);
	struct pair p = net_pair(n, "192.0.2.1", 443);

	shield_close(s, false);
	s = up(n, SHIELD_WANT_NATIVE, edge0, 1);
	check(!first(s).taken_over && first(s).mode == SHIELD_NATIVE && net_pair_lives(&p));
	shield_close(s, false);
	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(first(s).taken_over && first(s).mode == SHIELD_NATIVE);
	shield_close(s, true);
}

NET_TEST(shield, an_interface_made_anew_is_attached_anew, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);

	shield_close(s, false);
	check(net_sh("ip link del edge0 && ip link add edge0 type veth peer name x0") == 0);
	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(first(s).mode == SHIELD_NATIVE && !first(s).taken_over);
	check(net_sh("test $(ls %s | grep -c link_) = 1", pin_dir) == 0);
	shield_close(s, true);
}

/* Of the last event in the map. */
static bool told(const char *words)
{
	char path[256];
	struct shield_event e, last = {0};
	int fd;

	snprintf(path, sizeof(path), "%s/event_log", pin_dir);
	fd = bpf_obj_get(path);
	check(fd >= 0);
	for (__u32 i = 0; i < SHIELD_EVENTS; i++)
		if (bpf_map_lookup_elem(fd, &i, &e) == 0 && e.number > last.number)
			last = e;
	close(fd);
	return last.kind == EVENT_INTERFACE && strstr(last.text, words);
}

NET_TEST(shield, an_interface_that_goes_or_loses_its_program_is_said_to_be_open, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	char path[256];
	int fd;

	shield_tick(s);
	check(first(s).mode == SHIELD_NATIVE);
	check(net_sh("ip link del edge0") == 0);
	shield_tick(s);
	check(first(s).mode == SHIELD_OFF && strstr(first(s).why, "is gone"));
	check(told("edge0 is open: the interface is gone"));
	check(net_sh("ip link add edge0 type veth peer name x0") == 0);
	shield_tick(s);
	check(first(s).mode == SHIELD_OFF && strstr(first(s).why, "made anew"));
	check(told("made anew"));
	shield_close(s, true);

	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(first(s).mode == SHIELD_NATIVE);
	snprintf(path, sizeof(path), "%s/link_%u", pin_dir, if_nametoindex("edge0"));
	fd = bpf_obj_get(path);
	check(fd >= 0 && bpf_link_detach(fd) == 0);
	close(fd);
	shield_tick(s);
	check(first(s).mode == SHIELD_OFF && strstr(first(s).why, "somebody has detached it"));
	check(told("somebody has detached it"));
	shield_close(s, true);
}

NET_TEST(shield, maps_of_another_version_are_made_anew, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	struct shield_policy odd = {.abi = SHIELD_ABI + 1};

	deny(s, "203.0.113.0/24");
	check(policy_write(s, &odd) == 0);
	shield_close(s, false);
	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	check(shield_is_on(s) && first(s).taken_over);
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	net_send(n, "ip4 tcp -");
	check(counts_to(s, DROP_BAD_TCP_FLAGS, 1) && counted(s, DROP_DENIED) == 0);
	shield_close(s, true);
}

NET_TEST(shield, only_the_map_that_does_not_fit_is_made_anew, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	char path[256];
	int fd;

	deny(s, "203.0.113.0/24");
	shield_close(s, false);
	snprintf(path, sizeof(path), "%s/drop_count", pin_dir);
	check(unlink(path) == 0);
	fd = bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "drop_count", 4, 8, 1, NULL);
	check(fd >= 0 && bpf_obj_pin(fd, path) == 0);
	close(fd);
	s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	check(counts_to(s, DROP_DENIED, 1));
	shield_close(s, true);
}

/* ---- what cannot be, and is said ---------------------------------------------------- */

NET_TEST(shield, an_interface_that_cannot_be_says_why_and_the_others_serve, 1500)
{
	static const char *const list[] = {"nosuch0", "tun9", "busy0", "lo", "edge0"};
	struct shield *s;
	const struct shield_attachment *a;
	size_t count;
	int bare, link;
	struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = XDP_PASS},
				  {.code = BPF_JMP | BPF_EXIT}};

	check(net_sh("ip tuntap add tun9 mode tun && ip link add busy0 type veth peer name x0") ==
	      0);
	bare = bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", code, 2, NULL);
	link = bpf_link_create(bare, (int)if_nametoindex("busy0"), BPF_XDP, NULL);
	check(bare >= 0 && link >= 0);
	s = up(n, SHIELD_WANT_AUTO, list, ARRAY_SIZE(list));
	a = shield_attachments(s, &count);
	check(count == 5);
	check(a[0].mode == SHIELD_OFF && a[0].ifindex == 0 && strstr(a[0].why, "no such"));
	check(a[1].mode == SHIELD_OFF && strstr(a[1].why, "Ethernet"));
	check(a[2].mode == SHIELD_OFF && strstr(a[2].why, "another program"));
	check(a[3].mode == SHIELD_GENERIC && strstr(a[3].why, "driver"));
	check(a[4].mode == SHIELD_NATIVE && a[4].why[0] == '\0');
	net_send(n, "ip4 tcp -");
	check(counts_to(s, DROP_BAD_TCP_FLAGS, 1));
	shield_close(s, true);
	s = up(n, SHIELD_WANT_NATIVE, lo, 1);
	check(shield_is_on(s) && first(s).mode == SHIELD_OFF && strstr(first(s).why, "driver"));
	shield_close(s, true);
}

static void drop_caps(uint64_t keep)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (__u32)keep, .permitted = (__u32)keep},
		{.effective = (__u32)(keep >> 32), .permitted = (__u32)(keep >> 32)}};

	check(syscall(SYS_capset, &head, data) == 0);
}

NET_TEST(shield, without_capabilities_it_is_off_and_says_which, 1500)
{
	struct shield_config cfg = config(n, SHIELD_WANT_AUTO, edge0, 1);
	struct shield_prefix p = run_prefix("203.0.113.0/24");
	uint32_t cpu = 0;
	struct shield_stats stats;
	struct shield *s;
	int fd = net_listen("192.0.2.1", 443);

	drop_caps(1ull << CAP_NET_ADMIN);
	check(shield_open(&cfg, &s) == 0 && !shield_is_on(s));
	check(strstr(shield_why_off(s), "CAP_BPF") && strstr(shield_why_off(s), "CAP_PERFMON"));
	check(!strstr(strtok(strdup(shield_why_off(s)), "("), "CAP_NET_ADMIN"));
	check(first(s).mode == SHIELD_OFF && first(s).why[0]);
	check(shield_deny_add(s, &p, 0, SHIELD_DENY_OPERATOR, "") == -EOPNOTSUPP);
	check(shield_deny_del(s, &p) == -EOPNOTSUPP && shield_reap(s) == -EOPNOTSUPP);
	check(set_plan(s) == -EOPNOTSUPP);
	check(shield_workers_set(s, &cpu, 1) == -EOPNOTSUPP);
	check(shield_worker_mark(s, 0, SHIELD_WORKER_UP) == -EOPNOTSUPP);
	check(shield_group_attach(s, 0, &fd, 1) == -EOPNOTSUPP);
	check(shield_stats_read(s, &stats) == -EOPNOTSUPP);
	shield_close(s, true);
	check(!exists(""));
}

NET_TEST(shield, the_keepers_three_capabilities_suffice_after_the_start, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	struct shield_prefix p = run_prefix("203.0.113.0/24");
	uint32_t cpu = 0;
	int fd = net_listen("192.0.2.1", 443);

	drop_caps(1ull << CAP_BPF | 1ull << CAP_NET_ADMIN | 1ull << CAP_PERFMON);
	check(shield_deny_add(s, &p, 1, SHIELD_DENY_OPERATOR, "") == 0);
	check(shield_deny_del(s, &p) == 0 && shield_reap(s) == 0);
	check(set_plan(s) == 0);
	check(shield_workers_set(s, &cpu, 1) == 0);
	check(shield_group_attach(s, 0, &fd, 1) == 0);
	check(shield_worker_mark(s, 0, SHIELD_WORKER_UP) == 0);
	shield_close(s, true);
	check(prog_on("edge0") == 0 && !exists("xdp"));
}

NET_TEST(shield, nonsense_is_refused, 1500)
{
	struct shield_config cfg = config(n, SHIELD_WANT_AUTO, edge0, 1);
	struct shield *s;

	cfg.pin_dir = "relative/path";
	check(shield_open(&cfg, &s) == -EINVAL && s == NULL);
	cfg.pin_dir = pin_dir;
	cfg.n_ifaces = SHIELD_IFACES_MAX + 1;
	check(shield_open(&cfg, &s) == -EINVAL && s == NULL);
}

/* ---- what an operator sees ------------------------------------------------------------ */

/* bpftool 7.1 was seen to grow without bound once: it gets a gigabyte, no more. */
static bool dump_shows(const char *map, const char *what)
{
	return net_sh("(ulimit -v 1048576; bpftool -j map dump pinned %s/%s) | grep -qF '%s'",
		      pin_dir, map, what) == 0;
}

NET_TEST(shield, bpftool_reads_every_map_that_can_carry_btf, 1500)
{
	struct shield *s = up(n, SHIELD_WANT_AUTO, edge0, 1);
	uint32_t cpu = 0;
	int fd = net_listen("192.0.2.1", 443);

	if (net_sh("bpftool version >/dev/null 2>&1"))
		return;
	deny(s, "203.0.113.0/24");
	deny(s, "2001:db8:dead::/64");
	check(shield_workers_set(s, &cpu, 1) == 0 && shield_group_attach(s, 0, &fd, 1) == 0);
	check(shield_worker_mark(s, 0, SHIELD_WORKER_UP) == 0);
	net_send(n, "ip4 src=203.0.113.9 tcp S");
	check(counts_to(s, DROP_DENIED, 1));
	check(dump_shows("deny_entry", "{\"hits\":0,\"expires_ns\":0,"));
	check(dump_shows("deny_hot", "{\"key\":3405803776,\"meta\":201326592,\"hits\":1}"));
	check(dump_shows("deny_entry", "\"addr\":[203,0,113,0,0,0,0,0,0,0,0,0,0,0,0,0],\"len\":24,"
				       "\"family\":4,\"set\":0,\"_zero\":0,"
				       "\"reason\":\"SHIELD_DENY_OPERATOR\",\"_line\":0}"));
	check(dump_shows("deny_entry", "\"addr\":[32,1,13,184,222,173,0,0"));
	check(dump_shows("deny_note", "\"text\":\"a test\""));
	check(dump_shows("lists", "{\"v4\":1,\"v6\":1}"));
	check(dump_shows("list_set", "\"name\":\"\""));
	check(dump_shows("drop_count", "\"BAD_TCP_FLAGS\":0"));
	check(dump_shows("drop_count", "\"DENIED\":1"));
	check(dump_shows("iface", "\"mode\":\"SHIELD_NATIVE\""));
	check(dump_shows("policy", "\"steer\":\"SHIELD_STEER_BY_HASH\""));
	check(dump_shows("protect_port", "\"key\":{\"proto\":\"L4_TCP\",\"port\":443,"));
	check(dump_shows("protect_class", "\"any_v4\":0"));
	check(dump_shows("protect_addr", "\"addr\":[192,0,2,1"));
	check(dump_shows("worker", "\"state\":\"SHIELD_WORKER_UP\",\"cpu\":0"));
	check(dump_shows("core_worker", "\"n\":1,\"worker\":[0"));
	check(dump_shows("core_nth", "\"formatted\":{\"key\":0,\"value\":0}"));
	check(dump_shows("pick_count", "\"by_kernel\":0"));
	shield_close(s, true);
}

TEST_MAIN()
