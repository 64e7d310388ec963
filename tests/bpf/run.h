/* SPDX-License-Identifier: BSD-2-Clause */
/* run.h - the shield's XDP program without an interface: loaded, its maps filled
 * by userspace/shield's own code, its verdict asked by BPF_PROG_TEST_RUN. */
#ifndef SLUICE_TESTS_BPF_RUN_H
#define SLUICE_TESTS_BPF_RUN_H

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/sluice_xdp.skel.h"
#include "packet.h"
#include "shield/explain.h"
#include "shield/rate.h"
#include "shield/state.h"

#define UNJUDGED (-1) /* passed without having met a rule */

struct run {
	struct shield shield; /* not opened: nothing pinned, nothing attached */
	int prog;
	uint64_t before[DROP_REASONS];
	struct shield_rate rate; /* the default class; its own default if it has no name */
};

static inline bool run_may(void)
{
	return geteuid() == 0;
}

static inline struct shield_prefix run_prefix(const char *text)
{
	struct shield_prefix p = {};
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	assert(n < sizeof(addr));
	memcpy(addr, text, n);
	addr[n] = '\0';
	p.family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	assert(inet_pton(p.family, addr, p.addr) == 1);
	p.bits = slash ? (uint8_t)atoi(slash + 1) : p.family == AF_INET ? 32 : 128;
	return p;
}

/* Every rule enforced that judges a packet by itself; those that ask for sockets and cookies have
 * tests of their own. */
static inline struct shield_rules run_rules(void)
{
	struct shield_rules rules = shield_rules_default();

	rules.flow = rules.syn = RULE_OFF;
	return rules;
}

static inline int run_policy(struct run *r, const struct shield_protect *list, size_t n)
{
	struct shield_plan plan = {
		.protect = list,
		.n_protect = n,
		.rules = run_rules(),
		.rates = r->rate.name[0] ? &r->rate : NULL,
		.n_rates = r->rate.name[0] != 0,
	};

	return shield_policy_set(&r->shield, &plan, 0);
}

static inline void run_protect(struct run *r, const char *prefix, uint16_t port,
			       enum l4_proto proto)
{
	struct shield_protect one = {.to = run_prefix(prefix), .port = port, .proto = proto};

	assert(run_policy(r, &one, 1) == 0);
}

/* Which kind of interface the packets come from. */
static inline void run_loopback(struct run *r, bool loopback)
{
	__u32 slot = 0;
	struct shield_iface *all = calloc(r->shield.cpus, sizeof(*all));

	for (unsigned i = 0; i < r->shield.cpus; i++)
		all[i] = (struct shield_iface){.loopback = loopback, .mtu = 1500};
	assert(bpf_map__update_elem(r->shield.xdp->maps.iface, &slot, sizeof(slot), all,
				    r->shield.cpus * sizeof(*all), BPF_ANY) == 0);
	free(all);
}

static inline void run_counts(struct run *r, uint64_t out[DROP_REASONS])
{
	struct drop_count all[256];
	__u32 zero = 0;

	assert(r->shield.cpus <= ARRAY_SIZE(all));
	assert(bpf_map__lookup_elem(r->shield.xdp->maps.drop_count, &zero, sizeof(zero), all,
				    r->shield.cpus * sizeof(all[0]), 0) == 0);
	memset(out, 0, DROP_REASONS * sizeof(*out));
	for (unsigned c = 0; c < r->shield.cpus; c++)
		for (unsigned i = 0; i < DROP_REASONS; i++)
			out[i] += ((const __u64 *)&all[c])[i];
}

static inline void run_open(struct run *r)
{
	struct shield_policy now = {.abi = SHIELD_ABI};

	memset(r, 0, sizeof(*r));
	r->shield.lock_fd = -1;
	r->shield.cpus = (unsigned)libbpf_num_possible_cpus();
	r->shield.xdp = sluice_xdp_bpf__open();
	assert(r->shield.xdp);
	r->shield.xdp->rodata->iface_index[0] = 1; /* whence a test run's packets claim to come */
	r->shield.xdp->rodata->ifaces = 1;
	bpf_map__set_max_entries(r->shield.xdp->maps.steer_cpu, r->shield.cpus);
	rate_prepare(&r->shield);
	assert(sluice_xdp_bpf__load(r->shield.xdp) == 0);
	r->shield.policy = r->shield.xdp->maps.policy;
	flows_open(&r->shield);
	r->prog = bpf_program__fd(r->shield.xdp->progs.sluice_xdp);
	assert(policy_write(&r->shield, &now) == 0);
}

static inline void run_close(struct run *r)
{
	shield_lists_close(&r->shield);
	sluice_xdp_bpf__destroy(r->shield.xdp);
	r->shield.xdp = NULL;
}

/* The same, and the frame as it left the program. */
static inline int run_reply(struct run *r, const uint8_t *frame, size_t n, uint8_t out[PACKET_MAX],
			    size_t *out_n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .data_out = out, .data_size_out = PACKET_MAX, .repeat = 1);
	int err = bpf_prog_test_run_opts(r->prog, &opts);

	*out_n = opts.data_size_out;
	return err ? err : (int)opts.retval;
}

/* The program's answer to one frame: an enum xdp_action; below 0: not run, -errno. */
static inline int run_action(struct run *r, const uint8_t *frame, size_t n)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)n,
		    .repeat = 1);
	int err = bpf_prog_test_run_opts(r->prog, &opts);

	return err ? err : (int)opts.retval;
}

/* What the program says that it would do with it: as run_frame(). */
static inline int run_explain(struct run *r, const uint8_t *frame, size_t n, struct shield_ask *a)
{
	struct shield_ask mine;
	int err = shield_explain(r->prog, BYTES(frame, n), 0, a ? a : &mine);

	a = a ? a : &mine;
	assert(err == 0);
	assert(a->action == (a->reason ? XDP_DROP : XDP_PASS));
	assert(a->stage == SHIELD_STAGE_JUDGED || !a->reason);
	return a->stage == SHIELD_STAGE_JUDGED ? a->reason : UNJUDGED;
}

/* Runs one frame; returns the drop reason, DROP_NONE if judged and passed, or
 * UNJUDGED. Checks that verdict, counters and explanation tell the same story. */
static inline int run_frame(struct run *r, const uint8_t *frame, size_t n)
{
	uint64_t after[DROP_REASONS];
	int action, why = UNJUDGED, said;

	run_counts(r, r->before);
	said = run_explain(r, frame, n, NULL); /* which must leave no trace: it is run next */
	action = run_action(r, frame, n);
	assert(action >= 0);
	run_counts(r, after);
	for (int i = 0; i < DROP_REASONS; i++) {
		if (after[i] == r->before[i])
			continue;
		assert(why == UNJUDGED && after[i] == r->before[i] + 1); /* one reason, once */
		why = i;
	}
	assert(action == (why > DROP_NONE ? XDP_DROP : XDP_PASS));
	assert(said == why);
	return why;
}

static inline int run_text(struct run *r, const char *text)
{
	static uint8_t frame[PACKET_MAX];

	return run_frame(r, frame, packet_make(text, frame));
}

static inline const char *run_word(int why)
{
	return why == UNJUDGED ? "unjudged" : why == DROP_NONE ? "passed" : shield_reason_word(why);
}

#endif
