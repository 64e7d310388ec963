/* SPDX-License-Identifier: BSD-2-Clause */
/* open.c - the shield goes up, and comes down.
 *
 *   may we? ─► pin directory ─► maps: pinned ones, else new ─► programs ─► policy ─► attach
 *
 * The order is what makes a restart unnoticeable: everything that the new
 * program reads is in place before attach.c swaps it in, and until then the old
 * one goes on with the maps that both share. Whatever goes wrong on the way
 * leaves the shield off, or as an earlier keeper left it, and the edge serving. */
#include "shield/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/version.h"
#include "bpf/sluice_reuseport.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "shield/rate.h"

#define NEED_CAPS (1ull << CAP_BPF | 1ull << CAP_NET_ADMIN | 1ull << CAP_PERFMON)

static char said[160]; /* libbpf's last warning, for the one line that says why */

static int listen_to_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];
	size_t n;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	n = strcspn(line, "\n");
	line[n] = '\0';
	if (level == LIBBPF_WARN && strncmp(line, "libbpf: ", 8) == 0)
		snprintf(said, sizeof(said), "%.*s", (int)sizeof(said) - 1, line + 8);
	log_debug("shield: %s", line);
	return 0;
}

static void off(struct shield *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void off(struct shield *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->why_off, sizeof(s->why_off), fmt, args);
	va_end(args);
}

/* ---- may we? --------------------------------------------------------------- */

static uint64_t caps_held(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &head, data))
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static bool may_load(struct shield *s)
{
	uint64_t held = caps_held();

	if ((held & NEED_CAPS) == NEED_CAPS)
		return true;
	off(s,
	    "missing%s%s%s (start as root, or grant "
	    "cap_bpf,cap_net_admin,cap_perfmon)",
	    held & 1ull << CAP_BPF ? "" : " CAP_BPF",
	    held & 1ull << CAP_NET_ADMIN ? "" : " CAP_NET_ADMIN",
	    held & 1ull << CAP_PERFMON ? "" : " CAP_PERFMON");
	return false;
}

/* ---- policy ------------------------------------------------------------------ */

static const __u32 zero;

int policy_read(const struct shield *s, struct shield_policy *out)
{
	return bpf_map__lookup_elem(s->policy, &zero, sizeof(zero), out, sizeof(*out), 0);
}

int policy_write(const struct shield *s, const struct shield_policy *now)
{
	return bpf_map__update_elem(s->policy, &zero, sizeof(zero), now, sizeof(*now), 0);
}

/* Maps of another ABI must not be taken over, however alike they look. */
static void drop_foreign_maps(struct shield *s)
{
	struct shield_policy theirs = {};
	char path[SHIELD_PATH_MAX];
	int fd;

	pin_path(s, "policy", path);
	fd = bpf_obj_get(path);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || bpf_map_lookup_elem(fd, &zero, &theirs) || theirs.abi != SHIELD_ABI) {
		log_warn("shield: the maps in %s are of version %u, this sluiced's of %u: made "
			 "anew; deny entries and counters start empty",
			 s->pin_dir, theirs.abi, SHIELD_ABI);
		pin_remove_maps(s);
	}
	if (fd >= 0)
		close(fd);
}

/* ---- programs ------------------------------------------------------------------ */

/* The maps of the pick program; its code is loaded per listen address in group.c. */
static int load_pick(struct shield *s, bool serves)
{
	struct sluice_reuseport_bpf *pick = sluice_reuseport_bpf__open();
	bool missing;
	int err;

	if (!pick)
		return -errno;
	s->pick = pick;
	bpf_program__set_autoload(pick->progs.sluice_reuseport, false);
	bpf_map__set_max_entries(pick->maps.core_worker, s->cpus + 1);
	bpf_map__set_max_entries(pick->maps.core_nth, s->cpus);
	if (serves)
		bpf_map__set_type(pick->maps.listener, BPF_MAP_TYPE_SOCKMAP);
	err = pin_maps_adopt(s, pick->obj, &missing);
	if (!err)
		err = sluice_reuseport_bpf__load(pick);
	if (!err)
		err = pin_maps_store(s, pick->obj);
	pin_each(s, "reuseport_", pin_remove); /* of listen addresses that may be gone */
	if (!err)
		s->policy = pick->maps.policy;
	return err;
}

/* With `frags` the program takes frames in pieces: MTU 9000, header split, and
 * big segments in generic mode without copying them together. */
static int load_xdp_as(struct shield *s, bool frags)
{
	struct sluice_xdp_bpf *xdp = sluice_xdp_bpf__open();
	bool missing;
	int err;

	if (!xdp)
		return -errno;
	s->xdp = xdp;
	if (!frags)
		bpf_program__set_flags(xdp->progs.sluice_xdp,
				       bpf_program__flags(xdp->progs.sluice_xdp) &
					       ~BPF_F_XDP_HAS_FRAGS);
	bpf_map__set_max_entries(xdp->maps.steer_cpu, s->cpus);
	rate_prepare(s); /* before a pinned map's size is compared */
	err = pin_maps_adopt(s, xdp->obj, &missing);
	if (!err) {
		attach_prepare(s);
		err = sluice_xdp_bpf__load(xdp);
	}
	if (err) {
		sluice_xdp_bpf__destroy(xdp);
		s->xdp = NULL;
	}
	return err;
}

static int load_xdp(struct shield *s)
{
	int err = load_xdp_as(s, true);

	if (err == -EINVAL || err == -E2BIG) { /* E2BIG: a flag of a later kernel */
		err = load_xdp_as(s, false);
		if (!err)
			log_info("shield: this kernel knows no XDP fragments: MTU is limited to "
				 "one page");
	}
	if (err)
		return err;
	assert(s->xdp);
	err = pin_maps_store(s, s->xdp->obj);
	if (!err)
		err = pin_store(s, "xdp", bpf_program__fd(s->xdp->progs.sluice_xdp));
	if (!err && events_open(s))
		log_warn("shield: no events: %s", strerror(errno));
	return err;
}

static void unload(struct shield *s)
{
	events_close(s);
	shield_lists_close(s);
	cookies_close(s);
	flows_close(s);
	sluice_xdp_bpf__destroy(s->xdp);
	sluice_reuseport_bpf__destroy(s->pick);
	s->xdp = NULL;
	s->pick = NULL;
	s->policy = NULL;
}

/* ---- up ------------------------------------------------------------------------- */

static bool wants_xdp(const struct shield_config *cfg)
{
	return cfg->mode != SHIELD_WANT_OFF && cfg->n_ifaces > 0;
}

/* The pick program first: it serves with XDP and without. */
static int load_all(struct shield *s, const struct shield_config *cfg)
{
	struct shield_policy now = {};
	struct rehearsal rehearsal;
	int err;

	drop_foreign_maps(s);
	err = load_pick(s, cfg->serves);
	if (!err)
		err = policy_read(s, &now);
	if (!err) {
		now.abi = SHIELD_ABI;
		if (now.trial_ends_ns) /* an earlier keeper's, who cannot hear the confirmation */
			now.bank = !now.bank;
		now.trial_ends_ns = 0;
		now.steer = SHIELD_STEER_BY_HASH; /* shield_workers_set() knows better */
		now.cores = 0; /* nobody is ready; shield_worker_mark() says who is */
		err = policy_write(s, &now);
	}
	if (err) {
		off(s, "the kernel refused our maps: %s%s%s", strerror(-err), *said ? "; " : "",
		    said);
		return err;
	}
	if (!wants_xdp(cfg)) {
		off(s, "%s",
		    cfg->mode == SHIELD_WANT_OFF ? "mode = \"off\"" : "no interface is named");
		cookies_detach(s);
		detach_all(s); /* what a keeper with another configuration left behind */
		return 0;
	}
	rehearsal_begin(&rehearsal, cfg->rehearsed);
	err = load_xdp(s);
	if (err) {
		off(s, "the kernel refused the program: %s%s%s", strerror(-err), *said ? "; " : "",
		    said);
		rehearsal_end(&rehearsal);
		return err;
	}
	flows_open(s);
	err = shield_manage_set(s, cfg->manage, cfg->n_manage, cfg->manage_port,
				cfg->n_manage_ports);
	if (!err)
		err = shield_policy_set(s, &cfg->plan, 0);
	if (!err)
		err = shield_deny_config(s, cfg->deny, cfg->n_deny, 0);
	if (err) {
		off(s, "its maps could not be filled: %s", strerror(-err));
		rehearsal_end(&rehearsal);
		return err;
	}
	attach_all(s);
	shield_event(s, EVENT_START, "sluiced " SLUICE_VERSION " took charge of %zu interface%s",
		     s->n_ifaces, s->n_ifaces == 1 ? "" : "s");
	cookies_open(s, &rehearsal);
	return 0;
}

static int start(struct shield *s, const struct shield_config *cfg)
{
	int err;

	if (!may_load(s))
		return 0;
	err = pin_dir_open(s);
	if (err == -EBUSY)
		return err;
	if (err) {
		off(s, "no pin directory %s: %s", s->pin_dir, strerror(-err));
		return 0;
	}
	said[0] = '\0';
	err = load_all(s, cfg);
	if (err && s->xdp) { /* half filled: better nothing new than something wrong */
		shield_lists_close(s);
		sluice_xdp_bpf__destroy(s->xdp);
		s->xdp = NULL;
	}
	if (err && !s->policy)
		unload(s);
	return 0;
}

static int take_config(struct shield *s, const struct shield_config *cfg)
{
	const char *dir = cfg->pin_dir ? cfg->pin_dir : SHIELD_PIN_DIR;

	/* room for the longest name we pin */
	if (dir[0] != '/' || strlen(dir) > SHIELD_PATH_MAX - 64) {
		log_error("shield: pin_dir \"%s\" must be an absolute path of at most %d bytes",
			  dir, SHIELD_PATH_MAX - 64);
		return -EINVAL;
	}
	if (cfg->n_ifaces > SHIELD_IFACES_MAX) {
		log_error("shield: %zu interfaces; at most %d can be protected", cfg->n_ifaces,
			  SHIELD_IFACES_MAX);
		return -EINVAL;
	}
	strcpy(s->pin_dir, dir);
	s->want = cfg->mode;
	s->coexist = cfg->coexist;
	s->steer = cfg->steer;
	s->n_ifaces = cfg->n_ifaces;
	for (size_t i = 0; i < cfg->n_ifaces; i++)
		snprintf(s->iface[i].name, sizeof(s->iface[i].name), "%s", cfg->ifaces[i]);
	return 0;
}

int shield_open(const struct shield_config *cfg, struct shield **out)
{
	struct shield *s = calloc(1, sizeof(*s));
	int err;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->lock_fd = cfg->pin_lock > 0 ? fcntl(cfg->pin_lock, F_DUPFD_CLOEXEC, 3) : -1;
	for (size_t i = 0; i < SHIELD_IFACES_MAX; i++)
		s->link_fd[i] = s->tcx_fd[i] = -1;
	s->rehearsal.fd = s->rehearsal.pid_fd = -1;
	s->cpus = (unsigned)libbpf_num_possible_cpus();
	libbpf_set_print(listen_to_libbpf);

	err = take_config(s, cfg);
	if (!err)
		err = start(s, cfg);
	if (err) {
		shield_close(s, false);
		return err;
	}
	if (!s->xdp && wants_xdp(cfg))
		log_warn("shield: off: %s; everything else runs", s->why_off);
	else if (!s->xdp)
		log_info("shield: off: %s", s->why_off);
	for (size_t i = 0; !s->xdp && i < s->n_ifaces; i++)
		snprintf(s->iface[i].why, sizeof(s->iface[i].why), "%.*s",
			 (int)sizeof(s->iface[i].why) - 1, s->why_off);
	*out = s;
	return 0;
}

/* ---- down ----------------------------------------------------------------------- */

static void take_down(struct shield *s)
{
	static const struct shield_plan nothing; /* for a member of a dispatcher that has to stay */

	if (s->coexist && s->xdp) {
		shield_policy_revert(s);
		shield_policy_set(s, &nothing, 0);
	}
	cookies_detach(s);
	detach_all(s);
	serve_release(s);
	pin_each(s, "reuseport_", pin_remove);
	pin_remove(s, "xdp");
	pin_remove_maps(s);
	if (rmdir(s->pin_dir) && errno != EBUSY && !(s->coexist && errno == ENOTEMPTY))
		log_warn("shield: pin_dir %s stays: %s", s->pin_dir, strerror(errno));
}

void shield_close(struct shield *s, bool clean)
{
	if (!s)
		return;
	if (clean)
		rehearsal_end(&s->rehearsal);
	if (clean && s->lock_fd >= 0)
		take_down(s);
	for (size_t i = 0; i < s->n_ifaces; i++)
		if (s->link_fd[i] >= 0)
			close(s->link_fd[i]);
	unload(s);
	pin_dir_close(s);
	free(s);
}

int shield_lock_fd(const struct shield *s)
{
	return s ? s->lock_fd : -1;
}

bool shield_is_on(const struct shield *s)
{
	return s->xdp != NULL;
}

const char *shield_why_off(const struct shield *s)
{
	return s->xdp ? "" : s->why_off;
}

const struct shield_attachment *shield_attachments(const struct shield *s, size_t *n)
{
	*n = s->n_ifaces;
	return s->iface;
}
