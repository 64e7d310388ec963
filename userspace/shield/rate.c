/* SPDX-License-Identifier: BSD-2-Clause */
/* rate.c - rate classes into maps, and how full rule 4 is.
 *
 * The default class is so wide that nobody honest meets it: a whole office behind one address
 * that loses its connections comes back at once, some thousand browsers each with a few SYNs. It is
 * there against the one host that does nothing else. */
#include "shield/rate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "bpf/sluice_xdp.skel.h"
#include "shield/state.h"

#define CELLS_BYTES_MAX (256ull << 20)
#define TICKS_MAX       (1u << 26)

struct shield_limit shield_limit_of(uint64_t per_s, uint64_t burst_ms)
{
	struct shield_limit l = {.ahead_ns = SHIELD_AHEAD_MAX};
	uint64_t depth_ns = burst_ms * 1000000u;

	if (per_s == 0)
		return l;
	l.interval_ns = MAX(1000000000u / per_s, 1u);
	l.ahead_ns = depth_ns > l.interval_ns ? depth_ns - l.interval_ns :
						0; /* one token always fits */
	return l;
}

/* As the program counts it: see struct shield_limit. */
static void count_in_ticks(struct shield_limit *l)
{
	l->step = l->ahead = l->shift = l->never = 0;
	if (l->ahead_ns > SHIELD_AHEAD_MAX) {
		l->never = 1;
	} else if (l->interval_ns && l->ahead_ns < SHIELD_AHEAD_MAX) {
		while ((l->ahead_ns + l->interval_ns) >> l->shift > TICKS_MAX)
			l->shift++;
		l->step = MAX((l->interval_ns + ((1ull << l->shift) >> 1)) >> l->shift, 1u);
		l->ahead = l->ahead_ns >> l->shift;
	}
}

struct shield_rate shield_rate_default(void)
{
	return (struct shield_rate){
		.name = "default",
		.packets = shield_limit_of(200000, 5000),
		.syns = shield_limit_of(2000, 5000),
		.connections = shield_limit_of(1000, 5000),
		.net_packets = shield_limit_of(1000000, 5000),
		.net_syns = shield_limit_of(10000, 5000),
		.net_connections = shield_limit_of(5000, 5000),
	};
}

void rate_prepare(struct shield *s)
{
	unsigned cells = SHIELD_CELLS;

	while (cells > 1024 &&
	       2ull * cells * sizeof(struct shield_cell) * s->cpus > CELLS_BYTES_MAX)
		cells /= 2;
	s->xdp->rodata->cells = cells;
	bpf_map__set_max_entries(s->xdp->maps.cell, 2 * cells / CELLS_PER_PAGE);
	random_bytes(&s->xdp->rodata->cell_seed, sizeof(s->xdp->rodata->cell_seed));
}

/* See struct shield_rate. No key: nobody but the operator writes rates. */
static __u32 units_of(const struct shield_rate *r)
{
	static const uint8_t key[HASH_KEY_BYTES];

	return (__u32)hash_keyed(key, (struct bytes){(const uint8_t *)r,
						     offsetof(struct shield_rate, units)}) |
	       1;
}

int rate_store(struct shield *s, __u32 bank, const struct shield_plan *plan)
{
	int err = 0;

	if (plan->n_rates > SHIELD_RATES_MAX)
		return -E2BIG;
	for (__u32 i = 0; i < SHIELD_RATES_MAX && !err; i++) {
		struct shield_rate r = {}, back;
		__u32 at = bank * SHIELD_RATES_MAX + i;

		if (i < plan->n_rates)
			r = plan->rates[i];
		else if (i == 0)
			r = shield_rate_default();
		for (struct shield_limit *l = &r.packets; l <= &r.net_connections; l++)
			count_in_ticks(l);
		r.units = units_of(&r);
		r._zero = 0;
		err = bpf_map__update_elem(s->xdp->maps.rates, &at, sizeof(at), &r, sizeof(r),
					   BPF_ANY);
		if (!err)
			err = bpf_map__lookup_elem(s->xdp->maps.rates, &at, sizeof(at), &back,
						   sizeof(back), 0);
		if (!err && memcmp(&r, &back, sizeof(r)))
			err = -EIO;
	}
	return err;
}

/* ---- how full it is -------------------------------------------------------------------------- */

/* Walks a map, so many entries at a time; calls each(value) for every entry of every chunk. -errno if the kernel
 * has no batches for it. */
static int walk(int map, __u32 chunk, size_t key_bytes, size_t value_bytes,
		void (*each)(const void *value, void *out), void *out)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	void *keys = calloc(chunk, key_bytes), *values = calloc(chunk, value_bytes);
	__u64 cursor[4]; /* an index or a bucket, whatever the kernel makes of it */
	bool first = true;
	int err = keys && values ? 0 : -ENOMEM;

	while (!err) {
		__u32 n = chunk;

		err = bpf_map_lookup_batch(map, first ? NULL : cursor, cursor, keys, values, &n,
					   &opts);
		for (__u32 i = 0; (!err || err == -ENOENT) && i < n; i++)
			each((const char *)values + i * value_bytes, out);
		first = false;
	}
	free(keys);
	free(values);
	return err == -ENOENT ? 0 : err; /* that is its word for the end */
}

struct fill {
	struct shield_rate_gauges *g;
	unsigned cpus;
	uint64_t pages; /* of sources; those of nets come behind */
	uint32_t now;   /* as in struct shield_cell */
};

static void see_cells(const void *value, void *out)
{
	const struct shield_cells *page = value;
	struct fill *f = out;

	if (f->pages == 0)
		return;
	f->pages--;
	for (unsigned i = 0; i < f->cpus * CELLS_PER_PAGE; i++) {
		uint32_t refused = page[i / CELLS_PER_PAGE].at[i % CELLS_PER_PAGE].refused;

		f->g->cells++;
		f->g->cells_full += refused && f->now - refused <= 1;
	}
}

static void see_validated(const void *value, void *out)
{
	struct fill *f = out;

	(void)value;
	f->g->validated++;
}

int shield_rate_gauges(int cell, int validated, int appeal_count, struct shield_rate_gauges *out)
{
	unsigned cpus = (unsigned)libbpf_num_possible_cpus();
	struct appeal_count *counts = calloc(cpus, sizeof(*counts));
	struct fill f = {.g = out, .cpus = cpus, .now = (uint32_t)(clock_mono_ns() >> 30)};
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	__u32 zero = 0;
	int err;

	memset(out, 0, sizeof(*out));
	if (!counts)
		return -ENOMEM;
	err = bpf_map_lookup_elem(appeal_count, &zero, counts) ? -errno : 0;
	for (unsigned c = 0; !err && c < cpus; c++) {
		out->granted += counts[c].granted;
		out->refused += counts[c].refused;
		out->strangers += counts[c].strangers;
		out->made += counts[c].validated;
	}
	free(counts);
	if (!err && cell >= 0)
		err = bpf_obj_get_info_by_fd(cell, &info, &len);
	f.pages = info.max_entries / 2;
	if (!err && cell >= 0)
		err = walk(cell, 16, sizeof(__u32), cpus * sizeof(struct shield_cells), see_cells,
			   &f);
	if (!err)
		err = walk(validated, 4096, sizeof(struct shield_source),
			   sizeof(struct shield_validated), see_validated, &f);
	out->validated_max = SHIELD_VALIDATED;
	out->evicted = out->made > out->validated ? out->made - out->validated : 0;
	return err;
}

int shield_rate_read(const struct shield *s, struct shield_rate_gauges *out)
{
	memset(out, 0, sizeof(*out));
	if (!s->xdp)
		return -EOPNOTSUPP;
	return shield_rate_gauges(-1, bpf_map__fd(s->xdp->maps.validated),
				  bpf_map__fd(s->xdp->maps.appeal_count), out);
}
