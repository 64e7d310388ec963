/* SPDX-License-Identifier: BSD-2-Clause */
/* test_coexist.c - beside another XDP program, by libxdp's dispatcher; and where there can be none, never
 * silently alone. */
#include <linux/if_link.h>
#include <stdlib.h>
#include <xdp/libxdp.h>

#include "net.h"
#include "run.h"
#include "test.h"

static const char *const edge0[] = {"edge0"};
static struct shield_protect web;

static struct shield *up(struct net *n)
{
	struct shield_config cfg = {
		.mode = SHIELD_WANT_AUTO, .coexist = true, .ifaces = edge0, .n_ifaces = 1};
	char pin_dir[96];
	struct shield *s;

	snprintf(pin_dir, sizeof(pin_dir), "%s/pins", n->dir);
	web = (struct shield_protect){.to = run_prefix("192.0.2.1"), .port = 443, .proto = L4_TCP};
	cfg.pin_dir = pin_dir;
	cfg.plan = (struct shield_plan){
		.protect = &web, .n_protect = 1, .rules = shield_rules_default()};
	check(shield_open(&cfg, &s) == 0 && s != NULL);
	return s;
}

static const struct shield_attachment *how(const struct shield *s)
{
	size_t n;

	return shield_attachments(s, &n);
}

static bool drops(struct net *n, struct shield *s)
{
	struct shield_stats before, after;

	check(shield_stats_read(s, &before) == 0);
	net_send(n, "ip4 tcp -");
	for (int i = 0; i < 200; i++) {
		check(shield_stats_read(s, &after) == 0);
		if (after.drop[DROP_BAD_TCP_FLAGS] > before.drop[DROP_BAD_TCP_FLAGS])
			return true;
		usleep(10000);
	}
	return false;
}

/* Our program once more, with maps of its own that protect nothing: somebody else's. */
static struct xdp_program *stranger(void)
{
	static struct sluice_xdp_bpf *obj;
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .prog_name = "sluice_xdp");

	obj = sluice_xdp_bpf__open();
	check(obj != NULL);
	opts.obj = obj->obj;
	struct xdp_program *p = xdp_program__create(&opts);
	check(!libxdp_get_error(p));
	return p;
}

/* How many programs the dispatcher of edge0 calls; -1: one program stands there alone. */
static int members(void)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)if_nametoindex("edge0"));
	int n;

	if (libxdp_get_error(mp))
		return 0;
	n = xdp_multiprog__is_legacy(mp) ? -1 : xdp_multiprog__program_count(mp);
	xdp_multiprog__close(mp);
	return n;
}

static void begin(void)
{
	/* libxdp's pins, too, go with this process */
	check(net_sh("mount -t bpf bpf /sys/fs/bpf") == 0);
}

/* "": it stands in a dispatcher, alone; else the reason that we expect to be told. */
static const char *why_not(struct xdp_program *p)
{
	int ifindex = (int)if_nametoindex("edge0");
	int err = xdp_program__attach(p, ifindex, XDP_MODE_NATIVE, 0);

	if (err == -EINVAL && xdp_program__fd(p) < 0 && members() == 0)
		return "libxdp's cannot carry a program that answers SYNs here";
	check(err == 0);
	if (members() == 1)
		return "";
	check(members() == -1);
	check(xdp_program__detach(p, ifindex, XDP_MODE_NATIVE, 0) == 0);
	check(!getenv("SLUICE_VM")); /* these kernels have trampolines */
	return "this kernel has no BPF trampolines";
}

static void alone(struct net *n, const char *because)
{
	struct shield *s = up(n);

	check(how(s)->mode == SHIELD_NATIVE && members() == -1);
	check(strncmp(how(s)->why, "alone, without a dispatcher: ", 29) == 0);
	check(strstr(how(s)->why, because));
	check(drops(n, s));
	shield_close(s, true);
	check(members() == 0);
}

static void beside(struct net *n)
{
	struct shield *s = up(n);

	check(how(s)->mode == SHIELD_NATIVE && members() == 2);
	check(strstr(how(s)->why, "one of 2 programs"));
	check(drops(n, s));
	/* another keeper takes over: the earlier member goes */
	shield_close(s, false);
	s = up(n);
	check(how(s)->mode == SHIELD_NATIVE && members() == 2);
	check(drops(n, s));
	shield_close(s, true);
	check(members() == 1);
	check(net_ping("192.0.2.1"));
}

NET_TEST(coexist, it_stands_beside_a_stranger_or_says_why_it_does_not, 1500)
{
	const char *because;

	begin();
	because = why_not(stranger());
	if (*because)
		alone(n, because);
	else
		beside(n);
}

NET_TEST(coexist, an_interface_that_somebody_holds_alone_is_refused_with_the_reason, 1500)
{
	struct sluice_xdp_bpf *other;
	struct shield *s;
	unsigned ifindex = if_nametoindex("edge0");

	begin();
	other = sluice_xdp_bpf__open_and_load();
	check(other != NULL);
	check(bpf_xdp_attach((int)ifindex, bpf_program__fd(other->progs.sluice_xdp),
			     XDP_FLAGS_DRV_MODE, NULL) == 0);
	s = up(n);
	check(how(s)->mode == SHIELD_OFF);
	check(strstr(how(s)->why, "another program"));
	shield_close(s, true);
	check(members() == -1); /* it is still there */
}

TEST_MAIN()
