/* SPDX-License-Identifier: BSD-2-Clause */
/* test_flows.c - a flood of packets that belong to no connection, met by heart: two hosts and a wire, the daemon's own
 * code, its seconds in quick motion. Whoever had a connection before, makes one meanwhile or brings a
 * cookie back must not notice. */
#include "test.h"

#include <sys/mman.h>

#include "base/clock.h"
#include "bpf/flow_filter.h"
#include "net.h"
#include "run.h"
#include "shield/state.h"

static uint64_t now;

static struct shield *up(struct net *n, enum shield_cookies cookies)
{
	struct shield_protect list[] = {
		{.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP},
		{.to = run_prefix("::/0"), .port = 443, .proto = L4_TCP},
	};
	const char *edge0 = "edge0";
	char pin[128];
	struct shield_config cfg = {
		.mode = SHIELD_WANT_NATIVE,
		.ifaces = &edge0,
		.n_ifaces = 1,
		.plan = {.protect = list,
			 .n_protect = ARRAY_SIZE(list),
			 .rules = shield_rules_default()},
		.pin_dir = pin,
	};
	struct shield *s;

	cfg.plan.rules.cookies = cookies;
	cfg.plan.rules.stale_limit = 0;
	snprintf(pin, sizeof(pin), "%s/sluice", n->dir);
	check(shield_open(&cfg, &s) == 0);
	check(shield_is_on(s));
	now = clock_mono_ns();
	return s;
}

static struct shield_flow_stats flows(const struct shield *s)
{
	struct shield_flow_stats f;

	check(shield_flows_read(s, &f) == 0);
	return f;
}

/* So many packets of nobody, within this second. */
static void flood(struct shield *s, const char *text, int packets)
{
	static uint8_t frame[PACKET_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = packets);

	opts.data_size_in = (__u32)packet_make(text, frame);
	check(bpf_prog_test_run_opts(bpf_program__fd(s->xdp->progs.sluice_xdp), &opts) == 0);
}

static void second(struct shield *s)
{
	struct pollfd p;

	now += SHIELD_FLOWS_NS;
	shield_flows_tick(s, now);
	while ((p.fd = shield_flows_fd(s)) >= 0) {
		p.events = POLLIN;
		check(poll(&p, 1, 5000) == 1);
		shield_flows_hear(s);
	}
}

#define NOBODY "ip4 tcp A sport=7777"

static void flooded(struct shield *s)
{
	second(s);
	for (int i = 0; i < 4 && flows(s).is != FILTER_ON; i++) {
		flood(s, NOBODY, 30000);
		second(s);
	}
	check(flows(s).is == FILTER_ON);
}

static bool both_ways(const struct pair *p)
{
	return net_hears(p->client, p->server) && net_hears(p->server, p->client);
}

static uint64_t dropped(struct shield *s)
{
	struct shield_stats now_;

	check(shield_stats_read(s, &now_) == 0);
	return now_.drop[DROP_NO_FLOW];
}

/* All its bits: what they say of nobody can be seen then. */
static void forget(struct shield *s)
{
	struct flow_bits *bits = mmap(NULL, sizeof(*bits), PROT_READ | PROT_WRITE, MAP_SHARED,
				      bpf_map__fd(s->xdp->maps.flow_bits), 0);

	check(bits != MAP_FAILED);
	memset(bits, 0, sizeof(*bits));
	munmap(bits, sizeof(*bits));
}

NET_TEST(flows, who_is_connected_notices_nothing, 1500)
{
	struct pair before[3], meanwhile, later[2];
	struct shield *s = up(n, COOKIES_OFF);
	uint64_t fell;

	before[0] = net_pair(n, "192.0.2.1", 443);
	before[1] = net_pair(n, "2001:db8::1", 443);
	close(before[0].listener);
	close(before[1].listener);
	/* IPv4 at a socket for both */
	before[2].listener = net_listen("::", 443);
	net_enter(n->client);
	before[2].client = net_connect("192.0.2.1", 443, NET_PATIENCE_MS);
	net_enter(n->edge);
	before[2].server = accept(before[2].listener, NULL, NULL);
	check(before[2].server >= 0);
	second(s);
	check(flows(s).is == FILTER_OFF);
	flood(s, NOBODY, 30000);
	second(s);
	check(flows(s).is == FILTER_FILLING && flows(s).per_s >= 29000);
	close(before[2].listener);
	meanwhile = net_pair(n, "192.0.2.1", 443);
	close(meanwhile.listener);
	flood(s, NOBODY, 30000);
	second(s);
	check(flows(s).is == FILTER_ON);
	check(flows(s).connections >= 4);
	for (int i = 0; i < 3; i++)
		check(both_ways(&before[i]));
	check(both_ways(&meanwhile));
	later[0] = net_pair(n, "192.0.2.1", 443);
	check(both_ways(&later[0]));
	close(later[0].listener);
	later[1] = net_pair(n, "2001:db8::1", 443);
	check(both_ways(&later[1]));
	fell = dropped(s);
	flood(s, NOBODY, 1000);
	flood(s, "ip4 tcp R sport=7777", 1000);
	flood(s, "ip6 tcp FA sport=7777", 1000);
	check(dropped(s) == fell + 3000);
	shield_close(s, true);
}

NET_TEST(flows, what_is_missing_is_found_when_the_list_is_read_again, 1500)
{
	struct shield *s = up(n, COOKIES_OFF);
	struct pair p = net_pair(n, "192.0.2.1", 443);
	struct pollfd there = {.fd = p.server, .events = POLLIN};

	flooded(s);
	check(both_ways(&p));
	forget(s);
	check(write(p.client, "x", 1) == 1);
	check(poll(&there, 1, 500) == 0); /* the filter is believed: the kernel was not asked */
	for (int i = 0; i < 11; i++) {
		flood(s, NOBODY, 30000);
		second(s);
	}
	check(poll(&there, 1, NET_PATIENCE_MS) == 1);
	shield_close(s, true);
}

NET_TEST(flows, a_handshake_that_was_under_way_ends_well, 1500)
{
	struct shield *s = up(n, COOKIES_OFF);
	int listener = net_listen("192.0.2.1", 443), client, server;

	/* nobody is there for its SYN-ACK: the request waits in the kernel */
	net_send(n, "ip4 src=198.51.100.77 tcp S sport=5000");
	flooded(s);
	check(flows(s).connections >= 1);
	net_enter(n->client);
	client = net_connect("192.0.2.1", 443, NET_PATIENCE_MS);
	net_enter(n->edge);
	server = accept(listener, NULL, NULL);
	check(client >= 0 && server >= 0 && net_hears(client, server));
	shield_close(s, true);
}

NET_TEST(flows, an_end_of_the_flood_is_the_filters_end, 1500)
{
	struct shield *s = up(n, COOKIES_OFF);
	struct pair p = net_pair(n, "192.0.2.1", 443);

	flooded(s);
	for (int i = 0; i < 9; i++)
		second(s);
	check(flows(s).is == FILTER_ON);
	for (int i = 0; i < 2; i++)
		second(s);
	check(flows(s).is == FILTER_OFF);
	forget(s);
	check(both_ways(&p));
	shield_close(s, true);
}

NET_TEST(flows, another_policy_makes_it_worthless, 1500)
{
	struct shield_protect list = {.to = run_prefix("0.0.0.0/0"), .port = 443, .proto = L4_TCP};
	struct shield_plan plan = {
		.protect = &list, .n_protect = 1, .rules = shield_rules_default()};
	struct shield *s = up(n, COOKIES_OFF);
	struct pair p = net_pair(n, "192.0.2.1", 443);

	flooded(s);
	check(shield_policy_set(s, &plan, 0) == 0);
	check(flows(s).is == FILTER_OFF);
	forget(s);
	check(both_ways(&p));
	flood(s, NOBODY, 30000);
	flooded(s);
	/* one on trial that ends by itself, with nobody told */
	check(shield_policy_set(s, &plan, 300) == 0);
	flood(s, NOBODY, 30000);
	flooded(s);
	usleep(400000);
	forget(s);
	check(both_ways(&p));
	shield_close(s, true);
}

NET_TEST(flows, a_filter_that_is_too_small_grows, 1500)
{
	struct shield *s = up(n, COOKIES_OFF);
	struct pair p = net_pair(n, "192.0.2.1", 443);
	struct flow_bits *bits;

	flooded(s);
	check(flows(s).bytes == 8ull << FLOW_SHIFT_MIN);
	bits = mmap(NULL, sizeof(*bits), PROT_READ | PROT_WRITE, MAP_SHARED,
		    bpf_map__fd(s->xdp->maps.flow_bits), 0);
	check(bits != MAP_FAILED);
	memset(bits, 0x11, sizeof(*bits)); /* as forged SYNs would, in the long run */
	for (int i = 0; i < 10; i++) {
		flood(s, NOBODY, 30000);
		second(s);
	}
	check(flows(s).is == FILTER_OFF || flows(s).is == FILTER_FILLING);
	flooded(s);
	check(__builtin_popcountll(bits->word[0]) + __builtin_popcountll(bits->word[1]) <= 4);
	check(both_ways(&p));
	shield_close(s, true);
}

NET_TEST(flows, it_stays_where_the_keeper_dies, 1500)
{
	struct shield *s = up(n, COOKIES_OFF);
	struct pair p = net_pair(n, "192.0.2.1", 443), q;

	close(p.listener);
	flooded(s);
	shield_close(s, false);
	q = net_pair(n, "192.0.2.1", 443);
	check(both_ways(&p) && both_ways(&q));
	s = up(n, COOKIES_OFF); /* who comes after it begins anew */
	check(flows(s).is == FILTER_OFF);
	check(both_ways(&p) && both_ways(&q));
	shield_close(s, true);
}

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

NET_TEST(flows, cookies_come_back_as_ever, 1500)
{
	static const char *const ips[] = {"192.0.2.1", "2001:db8::1"};
	struct shield *s = up(n, COOKIES_ALWAYS);
	struct shield_cookie_stats c;

	let_pass(n);
	flooded(s);
	check(shield_cookies_read(s, &c) == 0);
	if (c.how != COOKIE_OWN) {
		shield_close(s, true);
		return;
	}
	for (int i = 0; i < 6; i++) { /* the listener is remembered from the second on */
		struct pair p = net_pair(n, ips[i % 2], 443);

		check(both_ways(&p));
		net_pair_close(&p);
	}
	check(shield_cookies_read(s, &c) == 0);
	check(c.made >= 6);
	/* nobody listens there any more: refused, now or by the kernel when the cookie comes back */
	net_enter(n->client);
	int client = net_connect(ips[0], 443, 2000);
	net_enter(n->edge);
	char byte;
	check(client < 0 || read(client, &byte, 1) <= 0);
	shield_close(s, true);
}

TEST_MAIN()
