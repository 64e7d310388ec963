/* SPDX-License-Identifier: BSD-2-Clause */
/* fleet.c - the client processes from outside: started, waited for, added up, and why they failed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"

struct shared *fleet;
static pid_t children[PROCS_MAX], probe;

uint64_t fleet_total(const struct options *o, size_t offset)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < o->procs; i++)
		n += *(_Atomic uint64_t *)((char *)&fleet->crowd[i] + offset);
	return n;
}

void fleet_start(const struct options *o, bool handshakes)
{
	for (uint32_t i = 0; i < o->procs; i++) {
		uint32_t share = o->count / o->procs + (i < o->count % o->procs);
		children[i] = fork();
		if (children[i] != 0)
			continue;
		if (handshakes)
			crowd_handshakes(o, fleet, i);
		crowd_run(o, fleet, i, share);
	}
}

void fleet_start_echo(const struct options *o)
{
	for (uint32_t i = 0; i < o->procs; i++) {
		/* where a process is one connection short, so are its messages */
		uint32_t share = o->count / o->procs + (i < o->count % o->procs);
		uint64_t before = 0;
		for (uint32_t k = 0; k < i; k++)
			before += o->count / o->procs + (k < o->count % o->procs);
		uint64_t from = o->messages * before / o->count;
		uint64_t to = o->messages * (before + share) / o->count;
		children[i] = fork();
		if (children[i] == 0)
			echo_run(o, fleet, i, share, (uint32_t)(to - from));
	}
}

void fleet_start_probe(const struct options *o)
{
	struct options own = *o; /* a channel that nobody else hears */
	own.channel = "sluice-bench-probe";
	own.size = 32;
	own.burst = own.publishers = 1;
	own.deaf = 0;
	probe = fork();
	if (probe == 0)
		crowd_probe(&own, fleet);
}

void fleet_stop(const struct options *o)
{
	fleet->phase = PHASE_STOP;
	for (uint32_t i = 0; i < o->procs; i++)
		waitpid(children[i], NULL, 0);
	if (probe > 0)
		waitpid(probe, NULL, 0);
}

/* The kernel's part of a connection is the larger one, and nobody gives it back: who looks too late is ended by
 * the kernel, or somebody else is. */
static void watch_memory(const struct options *o)
{
	if (fleet->enough || o->keep_free == 0 || memory_left() >= o->keep_free)
		return;
	fleet->enough = true;
	progress_end(o);
	fprintf(stderr,
		"stopped at %" PRIu64 " of %u connections: less than %" PRIu64
		" MiB of memory are free (--keep-free)\n",
		TOTAL(opened), o->count, o->keep_free >> 20);
}

double fleet_connect(const struct options *o)
{
	double began = now_s();
	uint64_t before = 0;
	double moved = began;
	while (TOTAL(ready) + TOTAL(failed) < (fleet->enough ? TOTAL(opened) : o->count)) {
		usleep(o->count < MANY ? 2000 : 20000);
		watch_memory(o);
		uint64_t now = TOTAL(ready) + TOTAL(failed);
		if (now != before) {
			before = now;
			moved = now_s();
		}
		if (now_s() - moved > 20) {
			fprintf(stderr, "no progress for 20 s: %" PRIu64 " of %u connected\n", now,
				o->count);
			break;
		}
		progress(o, "connecting", TOTAL(ready), o->count);
	}
	progress_end(o);
	return now_s() - began;
}

void fleet_ask(const struct options *o)
{
	uint64_t asked = ++fleet->asked;
	double end = now_s() + 5;
	for (uint32_t i = 0; i < o->procs; i++)
		while (fleet->crowd[i].answered != asked && now_s() < end)
			usleep(1000);
}

static void say_why_of(const struct options *o, const struct crowd_stats *s)
{
	unsigned number = (unsigned)s->why;
	fprintf(stderr, "connections failed, the last one: ");
	switch ((enum why)(s->why >> 32)) {
	case WHY_ERRNO: fprintf(stderr, "%s\n", strerror((int)number)); break;
	case WHY_TLS: fprintf(stderr, "TLS: %s\n", s->tls_why); break;
	case WHY_HTTP:
		fprintf(stderr, "HTTP %u instead of %s\n", number, o->get ? "200" : "101");
		break;
	case WHY_REFUSED:
		fprintf(stderr, "refused, or in another dialect than %s\n", o->dialect->name);
		break;
	default: fprintf(stderr, "closed by the server\n");
	}
}

void fleet_say_why(const struct options *o)
{
	uint64_t said = 0;
	if (TOTAL(failed) == 0)
		return;
	for (uint32_t i = 0; i < o->procs; i++) {
		uint64_t why = fleet->crowd[i].why;
		if (why == said || why == 0)
			continue;
		said = why;
		say_why_of(o, &fleet->crowd[i]);
	}
}

const char *measured(const struct options *o, int decimals, double value)
{
	static char buf[16][40];
	static unsigned turn;
	char *out = buf[turn++ % 16];
	if (o->n_pids == 0)
		return "null";
	snprintf(out, sizeof(buf[0]), "%.*f", decimals, value);
	return out;
}
