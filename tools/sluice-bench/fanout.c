/* SPDX-License-Identifier: BSD-2-Clause */
/* fanout.c - one channel, many subscribers, and what a publication to all of them costs.
 *
 *   connect ─► rest ─► a quiet second ─► publish, so many at once or so many a second ─► all heard ─► the deaf leave
 *                          probe:  ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
 *
 * The next publication leaves when the one before has reached everybody who listens (or as many before it as the
 * window allows): a server that falls behind coalesces, and looks cheaper than it is. */
#include <assert.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"

struct latency {
	uint64_t p50, p99, p999, max;
};

/* What a crowd costs that says nothing, before it is published to. */
struct rest {
	double connect_s;
	double cpu_s, empty_cpu_s;    /* of o->rest seconds, and of EMPTY_S without clients */
	double pss, slab, client_pss; /* bytes per connection, at its end */
	uint64_t pings;               /* heartbeats that were answered in it */
};
#define EMPTY_S  10
#define SETTLE_S 3 /* sluiced gives back what handshakes, or slow readers, have left */

struct outcome {
	uint64_t subscribers, hearing, got, want, missing, differs;
	uint64_t probes, probes_missing;
	double took, cpu_us, client_us; /* per delivery */
	double pss;                     /* per connection */
	struct usage empty, before, after, left;
	uint64_t pss_peak;
	double looked;
	struct latency latency, probe_quiet, probe;
	struct rest rest;
};

static struct latency latency_of(const struct crowd_stats *s, uint32_t n)
{
	return (struct latency){
		.p50 = hist_quantile(s, n, .5),
		.p99 = hist_quantile(s, n, .99),
		.p999 = hist_quantile(s, n, .999),
		.max = hist_max(s, n),
	};
}

/* ── rest ── */

/* Before there are clients. */
static void rest_begin(const struct options *o, struct outcome *r)
{
	struct usage u;
	measure(o, &u);
	hold(o, "no clients", EMPTY_S);
	measure(o, &r->empty);
	r->rest.empty_cpu_s = r->empty.cpu_s - u.cpu_s;
	r->rest.client_pss = (double)measure_self();
}

static void rest_all(const struct options *o, struct outcome *r)
{
	struct rest *s = &r->rest;
	struct usage from, to;
	uint64_t n = r->subscribers;
	hold(o, "settling", SETTLE_S);
	measure(o, &from);
	s->pings = TOTAL(pings);
	hold(o, "resting", o->rest);
	measure(o, &to);
	s->pings = TOTAL(pings) - s->pings;
	s->cpu_s = to.cpu_s - from.cpu_s;
	s->pss = each((double)to.pss - (double)r->empty.pss, n);
	s->slab = each((double)to.kernel_slab - (double)r->empty.kernel_slab, n);
	s->client_pss = each((double)measure_self() - s->client_pss, n);
}

static double cpu_per_ping(const struct options *o, const struct rest *s)
{
	return each((s->cpu_s - s->empty_cpu_s / EMPTY_S * o->rest) * 1e6, s->pings);
}

/* ── publishing ── */

static void close_all(struct publisher **pubs, uint32_t n)
{
	while (n-- > 0)
		publisher_close(pubs[n]);
}

static bool open_all(const struct options *o, struct publisher **pubs)
{
	for (uint32_t i = 0; i < o->publishers; i++)
		if ((pubs[i] = publisher_open(o, i)) == NULL) {
			close_all(pubs, i);
			return false;
		}
	return true;
}

/* What the server holds for those who do not read is to be seen while it holds it. Looking takes
 * milliseconds, in which nothing is published: seldom enough to stay out of the latencies' p99. */
static void note_peak(const struct options *o, struct outcome *r)
{
	struct usage u;
	if (o->deaf == 0 || o->n_pids == 0 || now_s() - r->looked < 1)
		return;
	measure(o, &u);
	r->pss_peak = MAX(r->pss_peak, u.pss);
	r->looked = now_s();
}

/* Until `n` more than `base` have come; false if nothing has moved for 10 s. */
static bool wait_for(const struct options *o, struct outcome *r, uint64_t n, bool spin)
{
	uint64_t seen = TOTAL(received);
	double moved = now_s();
	while (TOTAL(received) < n) {
		if (TOTAL(received) != seen) {
			seen = TOTAL(received);
			moved = now_s();
		}
		if (now_s() - moved > 10)
			return false; /* something was lost */
		note_peak(o, r);
		if (spin)
			sched_yield();
		else
			usleep(500);
	}
	return true;
}

static void wait_until(double due)
{
	for (double left; (left = due - now_s()) > 0;)
		usleep((useconds_t)(left * 1e6 > 1 ? left * 1e6 : 1));
}

/* Publishes all; returns the seconds from the first send to the last delivery. */
static double publish_all(const struct options *o, struct outcome *r, struct publisher **pubs)
{
	uint64_t base = TOTAL(received), n = r->hearing;
	double began = now_s();
	r->looked = began;
	assert(o->publishers > 0 && o->burst > 0);
	for (uint32_t i = 0; i < o->messages; i += o->burst) {
		struct publisher *p = pubs[i / o->burst % o->publishers];
		uint32_t some = MIN(o->burst, o->messages - i);
		uint64_t after = i + some > o->window ? n * (i + some - o->window) : 0;
		if (o->rate > 0)
			wait_until(began + i / o->rate);
		else if (!wait_for(o, r, base + after, n < MANY))
			return now_s() - began;
		note_peak(o, r);
		publisher_read(p);
		if (!publisher_send(p, some)) {
			fprintf(stderr, "publisher: the connection broke at message %u\n", i);
			break;
		}
		progress(o, "publishing", i, o->messages);
	}
	wait_for(o, r, base + n * o->messages, false);
	progress_end(o);
	return now_s() - began;
}

/* ── the probe ── */

static bool probe_start(const struct options *o)
{
	if (!o->probe)
		return true;
	double began = now_s();
	fleet_start_probe(o);
	while (fleet->probe.ready == 0 && fleet->probe.failed == 0 && now_s() - began < 20)
		usleep(2000);
	if (fleet->probe.ready && fleet->probe.failed == 0)
		return true;
	fprintf(stderr, "the probe could not subscribe to a channel of its own\n");
	return false;
}

/* It sends no more, and what was under way has come or cannot come any more. */
static void probe_pause(void)
{
	double began = now_s();
	fleet->probing = false;
	do
		usleep(2 * PROBE_MS * 1000);
	while (fleet->probe.received < fleet->probe.sent && now_s() - began < 10);
}

static void probe_end(const struct options *o, struct outcome *r)
{
	if (!o->probe)
		return;
	probe_pause();
	r->probe = latency_of(&fleet->probe, 1);
	r->probes = fleet->probe.sent;
	r->probes_missing = fleet->probe.sent - fleet->probe.received;
}

/* ── the report ── */

static void json_latency(const char *name, const struct latency *l)
{
	printf(",\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name, ms(l->p50),
	       ms(l->p99), ms(l->p999), ms(l->max));
}

static void json_rest(const struct options *o, const struct rest *s)
{
	printf(",\"rest\":{\"seconds\":%.0f,\"connect_s\":%.3f,\"failed\":%" PRIu64
	       ",\"stopped_for_memory\":%s,\"asleep\":%" PRIu64
	       ",\"pss_per_connection\":%s,\"client_pss_per_connection\":%.0f,"
	       "\"kernel_slab_per_connection_both_ends\":%.0f,\"cpu_empty\":%s,"
	       "\"cpu\":%s,\"pings\":%" PRIu64 ",\"cpu_us_per_ping\":%s}",
	       o->rest, s->connect_s, TOTAL(failed), fleet->enough ? "true" : "false",
	       TOTAL(asleep), measured(o, 0, s->pss), s->client_pss, s->slab,
	       measured(o, 5, s->empty_cpu_s / EMPTY_S), measured(o, 5, s->cpu_s / o->rest),
	       s->pings, measured(o, 2, cpu_per_ping(o, s)));
}

static void report_json(const struct options *o, const struct outcome *r)
{
	printf("{\"mode\":\"fanout\",\"subscribers\":%" PRIu64 ",\"messages\":%u,\"size\":%u,"
	       "\"window\":%u,\"burst\":%u,\"rate\":%.1f,\"publishers\":%u,\"dialect\":\"%s\","
	       "\"deliveries\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"doubled\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"order_differs\":%" PRIu64
	       ",\"seconds\":%.3f,\"deliveries_per_s\":%.0f,\"server_cpu_us_per_delivery\":%s,"
	       "\"client_cpu_us_per_delivery\":%.3f,\"pss_per_connection\":%s",
	       r->subscribers, o->messages, o->size, o->window, o->burst, o->rate, o->publishers,
	       o->dialect->name, r->got, r->missing, TOTAL(lost), TOTAL(doubled), TOTAL(reordered),
	       r->differs, r->took, (double)r->got / r->took, measured(o, 3, r->cpu_us),
	       r->client_us, measured(o, 0, r->pss));
	json_latency("latency_ms", &r->latency);
	if (o->deflate)
		printf(",\"packed\":%" PRIu64, TOTAL(packed));
	if (o->rest > 0)
		json_rest(o, &r->rest);
	if (o->deaf)
		printf(",\"deaf\":{\"subscribers\":%" PRIu64
		       ",\"pss_before\":%s,\"pss_peak\":%s,\"pss_after\":%s,\"pss_left\":%s}",
		       TOTAL(deaf), measured(o, 0, (double)r->before.pss),
		       measured(o, 0, (double)r->pss_peak), measured(o, 0, (double)r->after.pss),
		       measured(o, 0, (double)r->left.pss));
	if (o->probe) {
		printf(",\"probe\":{\"messages\":%" PRIu64 ",\"missing\":%" PRIu64
		       ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64,
		       r->probes, r->probes_missing, fleet->probe.lost, fleet->probe.doubled);
		json_latency("quiet_ms", &r->probe_quiet);
		json_latency("latency_ms", &r->probe);
		printf("}");
	}
	printf("}\n");
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static void text_rest(const struct options *o, const struct rest *s)
{
	printf("connected in %.1f s; then %.0f s of silence with %" PRIu64 " heartbeats answered\n"
	       "bytes per connection: kernel slab, both ends %.0f; client %.0f (PSS)\n",
	       s->connect_s, o->rest, s->pings, s->slab, s->client_pss);
	if (o->n_pids)
		printf("server at rest: %.0f bytes per connection, %.2f %% of a core (%.2f %% without "
		       "clients), %.2f us per heartbeat\n",
		       s->pss, 100 * s->cpu_s / o->rest, 100 * s->empty_cpu_s / EMPTY_S,
		       cpu_per_ping(o, s));
}

static void report_text(const struct options *o, const struct outcome *r)
{
	const struct latency *l = &r->latency;
	printf("%" PRIu64 " subscribers, %u messages: %" PRIu64 " of %" PRIu64
	       " deliveries in %.2f s (%.0f/s)\n"
	       "lost %" PRIu64 ", doubled %" PRIu64 ", out of order %" PRIu64
	       ", clients with another order %" PRIu64 "\n"
	       "latency: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n",
	       r->subscribers, o->messages, r->got, r->want, r->took, (double)r->got / r->took,
	       r->missing + TOTAL(lost), TOTAL(doubled), TOTAL(reordered), r->differs, ms(l->p50),
	       ms(l->p99), ms(l->p999), ms(l->max));
	if (o->probe)
		printf("probe, one to one: %" PRIu64 " messages, %" PRIu64
		       " missing; p50 %.2f ms, p99 %.2f ms, max %.2f ms; before the fan-out p50 %.2f ms, "
		       "p99 %.2f ms\n",
		       r->probes, r->probes_missing, ms(r->probe.p50), ms(r->probe.p99),
		       ms(r->probe.max), ms(r->probe_quiet.p50), ms(r->probe_quiet.p99));
	if (o->rest > 0)
		text_rest(o, &r->rest);
	if (o->deflate)
		printf("came compressed: %" PRIu64 "\n", TOTAL(packed));
	if (o->deaf)
		printf("deaf: %" PRIu64 " of the subscribers\n", TOTAL(deaf));
	if (o->n_pids == 0) {
		printf(NOT_MEASURED);
		return;
	}
	printf("server CPU per delivery: %.2f us; memory per connection: %.0f bytes (PSS)\n",
	       r->cpu_us, r->pss);
	if (o->deaf)
		printf("server memory (PSS): %.1f MiB before, %.1f at its height, %.1f after the last "
		       "message, %.1f when the deaf had left\n",
		       mib(r->before.pss), mib(r->pss_peak), mib(r->after.pss), mib(r->left.pss));
}

/* ── the mode ── */

/* Tickets, acknowledgements, freed handshake state; and the probe's latency while nothing else goes on. */
static void quiet_second(const struct options *o, struct outcome *r)
{
	fleet->probing = o->probe;
	sleep(1);
	probe_pause(); /* or what comes late is counted as an answer to what is sent next */
	r->probe_quiet = latency_of(&fleet->probe, 1);
	fleet->reset++;
	usleep(100000);
}

static void fan_out(const struct options *o, struct outcome *r, struct publisher **pubs)
{
	fleet_ask(o);
	uint64_t client_us = TOTAL(cpu_us), base = TOTAL(received);
	measure(o, &r->before);
	fleet->probing = o->probe;
	r->took = publish_all(o, r, pubs);
	fleet->probing = false;
	usleep(100000);
	measure(o, &r->after);
	fleet_ask(o);
	r->got = TOTAL(received) - base;
	r->want = r->hearing * o->messages;
	r->missing = r->want > r->got ? r->want - r->got : 0;
	r->cpu_us = each((r->after.cpu_s - r->before.cpu_s) * 1e6, r->got);
	r->client_us = each((double)(TOTAL(cpu_us) - client_us), r->got);
	r->pss = each((double)r->before.pss - (double)r->empty.pss, r->subscribers);
	r->pss_peak = MAX(r->pss_peak, r->after.pss);
	r->differs = TOTAL(order_differs);
	for (uint32_t i = 1; i < o->procs; i++)
		r->differs += fleet->crowd[i].ready > 0 &&
			      fleet->crowd[i].order_hash != fleet->crowd[0].order_hash;
}

int fanout_mode(const struct options *o)
{
	struct outcome r = {0};
	struct publisher *pubs[PUBLISHERS_MAX];
	if (o->rest > 0)
		rest_begin(o, &r);
	else
		measure(o, &r.empty);
	fleet_start(o, false);
	r.rest.connect_s = fleet_connect(o);
	r.subscribers = TOTAL(ready);
	r.hearing = r.subscribers - TOTAL(deaf);
	if (o->rest > 0)
		rest_all(o, &r);
	if (!probe_start(o) || !open_all(o, pubs)) {
		fleet_stop(o);
		fleet_say_why(o);
		return 1;
	}
	quiet_second(o, &r);
	fan_out(o, &r, pubs);
	probe_end(o, &r);
	if (o->deaf) {
		fleet->deaf_leave = true;
		sleep(SETTLE_S + 2);
		measure(o, &r.left);
	}
	close_all(pubs, o->publishers);
	fleet_stop(o);
	r.latency = latency_of(fleet->crowd, o->procs);
	(o->json ? report_json : report_text)(o, &r);
	fleet_say_why(o);
	bool well = r.subscribers == o->count && r.missing == 0 && TOTAL(lost) == 0 &&
		    TOTAL(doubled) == 0 && TOTAL(reordered) == 0 && r.differs == 0;
	bool probed = r.probes_missing == 0 && fleet->probe.lost == 0 && fleet->probe.doubled == 0;
	return well && probed ? 0 : 1;
}
