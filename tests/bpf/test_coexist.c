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

/* As libxdp replaces a dispatcher, by which this kernel may have none: the pins of the new one's members
 * first, then the dispatcher itself. 0: nobody is pinned there. */
static void dispatcher_is(struct sluice_xdp_bpf *d, int member0, int member1)
{
	int prog = bpf_program__fd(d->progs.sluice_xdp), ifindex = (int)if_nametoindex("edge0");
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char dir[128], path[160];

	check(bpf_obj_get_info_by_fd(prog, &info, &len) == 0);
	snprintf(dir, sizeof(dir), "/sys/fs/bpf/xdp/dispatch-%d-%u", ifindex, info.id);
	check(net_sh("mkdir -p %s", dir) == 0);
	for (int i = 0; i < 2; i++) {
		int member = i ? member1 : member0;

		snprintf(path, sizeof(path), "%s/prog%d-prog", dir, i);
		check(!member || bpf_obj_pin(member, path) == 0);
	}
	check(bpf_xdp_attach(ifindex, prog, XDP_FLAGS_DRV_MODE, NULL) == 0);
}

NET_TEST(coexist, a_member_that_is_taken_out_of_its_dispatcher_is_said_to_be_out, 1500)
{
	struct sluice_xdp_bpf *d[3], *stranger = sluice_xdp_bpf__open_and_load();
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	struct shield_config cfg = {.mode = SHIELD_WANT_AUTO, .ifaces = edge0, .n_ifaces = 1};
	char pin_dir[96];
	struct shield *s;
	int ours, other;

	begin();
	for (int i = 0; i < 3; i++)
		check((d[i] = sluice_xdp_bpf__open_and_load()) != NULL);
	check(stranger != NULL);
	snprintf(pin_dir, sizeof(pin_dir), "%s/pins", n->dir);
	cfg.pin_dir = pin_dir;
	cfg.plan.rules = shield_rules_default();
	check(shield_open(&cfg, &s) == 0 && how(s)->mode == SHIELD_NATIVE);
	ours = bpf_program__fd(s->xdp->progs.sluice_xdp);
	other = bpf_program__fd(stranger->progs.sluice_xdp);

	/* as coexist_attach() leaves it */
	check(bpf_link_detach(s->link_fd[0]) == 0);
	close(s->link_fd[0]);
	s->link_fd[0] = -1;
	s->iface[0].beside = true;
	check(bpf_obj_get_info_by_fd(ours, &info, &len) == 0);
	s->member_id[0] = info.id;
	dispatcher_is(d[0], ours, 0);
	check(bpf_xdp_query_id(s->iface[0].ifindex, 0, &s->dispatcher_id[0]) == 0);

	shield_tick(s);
	check(how(s)->mode == SHIELD_NATIVE);
	dispatcher_is(d[1], other, ours); /* another program has come */
	shield_tick(s);
	check(how(s)->mode == SHIELD_NATIVE && strstr(how(s)->why, "one of 2 programs"));
	dispatcher_is(d[2], other, 0); /* ours was taken out */
	shield_tick(s);
	check(how(s)->mode == SHIELD_OFF && strstr(how(s)->why, "out of the dispatcher"));

	s->iface[0].mode = SHIELD_NATIVE;
	check(bpf_xdp_attach((int)s->iface[0].ifindex, other, XDP_FLAGS_DRV_MODE, NULL) == 0);
	shield_tick(s); /* a program alone */
	check(how(s)->mode == SHIELD_OFF && strstr(how(s)->why, "another program is there"));

	s->iface[0].mode = SHIELD_NATIVE;
	check(bpf_xdp_detach((int)s->iface[0].ifindex, XDP_FLAGS_DRV_MODE, NULL) == 0);
	shield_tick(s); /* `xdp-loader unload --all` */
	check(how(s)->mode == SHIELD_OFF && strstr(how(s)->why, "taken the dispatcher away"));
	shield_close(s, true);
}

TEST_MAIN()
