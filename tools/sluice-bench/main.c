/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - sluice-bench: idle crowds, fan-out, handshakes; what was measured, in JSON. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/version.h"
#include "tools/sluice-bench/bench.h"

static struct shared *sh;
static pid_t children[PROCS_MAX];

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: sluice-bench MODE [OPTIONS]\n\n"
		"Modes:\n"
		"  idle       connect, subscribe, hold; bytes per connection and CPU at rest\n"
		"  fanout     publish to all; deliveries per second, CPU per delivery, latency, and\n"
		"             whether every message came exactly once and in one order\n"
		"  handshake  connect and close; handshakes per second and CPU per handshake\n"
		"  echo       random messages to an endpoint that says them again; every byte compared\n\n"
		"Options:\n"
		"  -u, --url URL          wss://127.0.0.1:8443/ws (numeric IPv4 only)\n"
		"  -n, --count N          idle, fanout, echo: clients (1000)\n"
		"  -P, --procs N          client processes (1; one holds at most ~19,000)\n"
		"  -m, --messages N       fanout: publications; echo: messages of all clients (1000)\n"
		"  -w, --window N         fanout: publications under way at once; echo: messages of\n"
		"                         each client (1)\n"
		"  -r, --rate N           fanout: publications per second instead of a window\n"
		"  -b, --publishers N     fanout: 1 to 8, taking turns (1)\n"
		"  -s, --size BYTES       of a message's data (128)\n"
		"      --up-to BYTES      echo: sizes from 1 byte to this, small and large alike\n"
		"                         (uniform in their logarithm)\n"
		"      --cut              echo: what is sent is cut at random places, and so is\n"
		"                         what is read\n"
		"  -t, --seconds N        idle, handshake: how long (10)\n"
		"  -f, --in-flight N      idle, fanout, handshake: handshakes at once per process (64)\n"
		"      --resume           handshake: resume sessions\n"
		"      --get              handshake: a GET that is answered 200 in place of the upgrade\n"
		"  -p, --pid PID          the server: its whole process tree is measured; repeatable\n"
		"      --subscribe TEXT   sent after the upgrade; '' for nothing\n"
		"      --expect TEXT      part of the message that acknowledges it; '' for none\n"
		"      --publish TEXT     fanout: what publishes; %%s stands for the data\n"
		"      --publish-url URL  publish by HTTP POST to http://… instead\n"
		"  -j, --json             the result as one JSON object\n"
		"  -q, --quiet            no progress line\n"
		"  -V, --version\n"
		"  -h, --help\n\n"
		"Examples:\n"
		"  sluice-bench idle -n 10000 -p $(pidof -s sluiced)\n"
		"  sluice-bench fanout -n 5000 -P 2 -m 1000 -w 4 -j\n"
		"  sluice-bench handshake -t 5 --resume\n"
		"  sluice-bench echo -u wss://127.0.0.1:8443/echo -n 10 -m 100000 --up-to 16384 --cut\n\n"
		"On loopback the kernel does the receiver's TCP work inside the sender's send():\n"
		"CPU per delivery holds both. Compare ratios within one run.\n"
		"Exit codes: 0 all well, 1 something was lost, doubled, out of order, another byte\n"
		"than was sent or not connected, 2 wrong command line.\n");
}

static bool parse_url(const char *text, struct url *u)
{
	static const struct {
		const char *scheme;
		bool tls;
		uint16_t port;
	} schemes[] = {{"wss://", true, 443},
		       {"ws://", false, 80},
		       {"https://", true, 443},
		       {"http://", false, 80}};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t n = strlen(schemes[i].scheme);
		if (strncmp(text, schemes[i].scheme, n) != 0)
			continue;
		unsigned port = schemes[i].port;
		u->tls = schemes[i].tls;
		u->host[0] = 0; /* it may hold the default's */
		strcpy(u->path, "/");
		int got = sscanf(text + n, "%63[0-9.]:%5u%255s", u->host, &port, u->path);
		if (got < 2)
			sscanf(text + n, "%63[0-9.]%255s", u->host, u->path);
		u->port = (uint16_t)port;
		u->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(u->port)};
		return port > 0 && port < 65536 && u->path[0] == '/' &&
		       inet_pton(AF_INET, u->host, &u->addr.sin_addr) == 1;
	}
	return false;
}

/* ── the crowd from outside ── */

static uint64_t total(size_t offset, uint32_t procs)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < procs; i++)
		n += *(_Atomic uint64_t *)((char *)&sh->crowd[i] + offset);
	return n;
}
#define TOTAL(field) total(offsetof(struct crowd_stats, field), o->procs)

static void start(const struct options *o, bool handshakes)
{
	for (uint32_t i = 0; i < o->procs; i++) {
		uint32_t share = o->count / o->procs + (i < o->count % o->procs);
		children[i] = fork();
		if (children[i] != 0)
			continue;
		if (handshakes)
			crowd_handshakes(o, sh, i);
		crowd_run(o, sh, i, share);
	}
}

static void start_echo(const struct options *o)
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
			echo_run(o, sh, i, share, (uint32_t)(to - from));
	}
}

static void stop(const struct options *o)
{
	sh->phase = PHASE_STOP;
	for (uint32_t i = 0; i < o->procs; i++)
		waitpid(children[i], NULL, 0);
}

/* All connected, or given up on. */
static double connect_all(const struct options *o)
{
	double began = now_s();
	uint64_t before = 0;
	double moved = began;
	while (TOTAL(ready) + TOTAL(failed) < o->count) {
		usleep(2000);
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

/* Why connections failed, if some did: the last reason of each process that had one. */
static void say_why(const struct options *o)
{
	uint64_t said = 0;
	if (TOTAL(failed) == 0)
		return;
	for (uint32_t i = 0; i < o->procs; i++) {
		uint64_t why = sh->crowd[i].why;
		unsigned number = (unsigned)why;
		if (why == said || why == 0)
			continue;
		said = why;
		fprintf(stderr, "connections failed, the last one: ");
		switch ((enum why)(why >> 32)) {
		case WHY_ERRNO: fprintf(stderr, "%s\n", strerror((int)number)); break;
		case WHY_TLS: fprintf(stderr, "TLS: %s\n", sh->crowd[i].tls_why); break;
		case WHY_HTTP:
			fprintf(stderr, "HTTP %u instead of %s\n", number, o->get ? "200" : "101");
			break;
		default: fprintf(stderr, "closed by the server\n");
		}
	}
}

/* What was measured of the server, for JSON: null without -p, for nothing was. */
static const char *measured(const struct options *o, int decimals, double value)
{
	static char buf[8][40];
	static unsigned turn;
	char *out = buf[turn++ % 8];
	if (o->n_pids == 0)
		return "null";
	snprintf(out, sizeof(buf[0]), "%.*f", decimals, value);
	return out;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* A share of what grew; nobody's is 0. */
static double each(double grown, uint64_t n)
{
	return n ? grown / (double)n : 0;
}

/* ── modes ── */

#define NOT_MEASURED "server: not measured (-p PID)\n"

static int run_idle(const struct options *o)
{
	struct usage before, after, later;
	measure(o, &before);
	start(o, false);
	double took = connect_all(o);
	sleep(2); /* tickets, acknowledgements, freed handshake state */
	measure(o, &after);
	uint64_t n = TOTAL(ready);
	double began = now_s();
	while (now_s() - began < o->seconds) {
		progress(o, "holding", (uint64_t)(now_s() - began), (uint64_t)o->seconds);
		usleep(100000);
	}
	progress_end(o);
	measure(o, &later);
	uint64_t still = n - TOTAL(closed);
	stop(o);
	double pss = each((double)after.pss - (double)before.pss, n);
	double uss = each((double)after.uss - (double)before.uss, n);
	double slab = each((double)after.kernel_slab - (double)before.kernel_slab, n);
	double rest = (later.cpu_s - after.cpu_s) / o->seconds;
	if (o->json)
		printf("{\"mode\":\"idle\",\"connections\":%" PRIu64 ",\"failed\":%" PRIu64
		       ",\"still_there\":%" PRIu64 ",\"connect_s\":%.3f,\"pss_per_connection\":%s,"
		       "\"uss_per_connection\":%s,\"pss_before\":%s,\"pss_after\":%s"
		       ",\"kernel_slab_per_connection_both_ends\":%.0f,\"cpu_at_rest\":%s,"
		       "\"server_processes\":%s}\n",
		       n, TOTAL(failed), still, took, measured(o, 0, pss), measured(o, 0, uss),
		       measured(o, 0, (double)before.pss), measured(o, 0, (double)after.pss), slab,
		       measured(o, 5, rest), measured(o, 0, after.processes));
	else
		printf("%" PRIu64 " connections in %.1f s (%.0f/s), %" PRIu64 " failed, %" PRIu64
		       " still there\nkernel slab: %.0f bytes per connection, both ends\n",
		       n, took, (double)n / took, TOTAL(failed), still, slab);
	if (!o->json && o->n_pids)
		printf("server memory: %.0f bytes per connection (PSS of %u processes, after minus "
		       "before)\nserver CPU at rest: %.2f %% of a core\n",
		       pss, after.processes, 100 * rest);
	else if (!o->json)
		printf(NOT_MEASURED);
	say_why(o);
	return n == o->count && still == n ? 0 : 1;
}

/* Publishes all; returns the seconds from the first send to the last delivery. */
static double publish_all(const struct options *o, struct publisher **pubs, uint64_t n)
{
	uint64_t base = TOTAL(received);
	double began = now_s();
	uint64_t seen = base;
	double moved = began;
	assert(o->publishers > 0);
	for (uint32_t i = 0; i < o->messages; i++) {
		uint64_t turn = i / o->publishers + 1;
		if (o->rate > 0) {
			double due = began + i / o->rate;
			while (now_s() < due)
				usleep((useconds_t)((due - now_s()) * 1e6 > 1 ?
							    (due - now_s()) * 1e6 :
							    1));
		} else {
			while ((TOTAL(received) - base) + n * o->window < (uint64_t)(i + 1) * n) {
				if (TOTAL(received) != seen) {
					seen = TOTAL(received);
					moved = now_s();
				}
				if (now_s() - moved > 10)
					return now_s() - began; /* something was lost */
				sched_yield();
			}
		}
		publisher_read(pubs[i % o->publishers]);
		if (!publisher_send(pubs[i % o->publishers], turn)) {
			fprintf(stderr, "publisher: the connection broke at message %u\n", i);
			break;
		}
		progress(o, "publishing", i, o->messages);
	}
	uint64_t want = base + n * o->messages;
	moved = now_s();
	while (TOTAL(received) < want && now_s() - moved < 10) {
		if (TOTAL(received) != seen) {
			seen = TOTAL(received);
			moved = now_s();
		}
		usleep(500);
	}
	progress_end(o);
	return now_s() - began;
}

static int run_fanout(const struct options *o)
{
	struct usage before, after;
	struct publisher *pubs[8];
	struct usage empty;
	measure(o, &empty);
	start(o, false);
	connect_all(o);
	uint64_t n = TOTAL(ready);
	for (uint32_t i = 0; i < o->publishers; i++)
		if ((pubs[i] = publisher_open(o, i)) == NULL) {
			while (i-- > 0)
				publisher_close(pubs[i]);
			stop(o);
			return 1;
		}
	sleep(1);
	sh->reset++;
	usleep(100000);
	uint64_t client_cpu = TOTAL(cpu_us);
	measure(o, &before);
	uint64_t base = TOTAL(received);
	double took = publish_all(o, pubs, n);
	usleep(100000);
	measure(o, &after);
	client_cpu = TOTAL(cpu_us) - client_cpu;
	for (uint32_t i = 0; i < o->publishers; i++)
		publisher_close(pubs[i]);
	uint64_t got = TOTAL(received) - base, want = n * o->messages;
	uint64_t differs = TOTAL(order_differs);
	for (uint32_t i = 1; i < o->procs; i++)
		differs += sh->crowd[i].ready > 0 &&
			   sh->crowd[i].order_hash != sh->crowd[0].order_hash;
	stop(o);
	uint64_t p50 = hist_quantile(sh, o->procs, .5), p99 = hist_quantile(sh, o->procs, .99),
		 p999 = hist_quantile(sh, o->procs, .999), max = hist_max(sh, o->procs);
	double cpu = got ? (after.cpu_s - before.cpu_s) * 1e6 / (double)got : 0;
	double pss = each((double)before.pss - (double)empty.pss, n);
	uint64_t missing = want > got ? want - got : 0;
	bool well = n == o->count && missing == 0 && TOTAL(lost) == 0 && TOTAL(doubled) == 0 &&
		    TOTAL(reordered) == 0 && differs == 0;
	if (o->json)
		printf("{\"mode\":\"fanout\",\"subscribers\":%" PRIu64
		       ",\"messages\":%u,\"size\":%u,"
		       "\"window\":%u,\"rate\":%.1f,\"publishers\":%u,\"deliveries\":%" PRIu64
		       ",\"missing\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64
		       ",\"reordered\":%" PRIu64 ",\"order_differs\":%" PRIu64
		       ",\"seconds\":%.3f,\"deliveries_per_s\":%.0f,\"server_cpu_us_per_delivery\":%s,"
		       "\"client_cpu_us_per_delivery\":%.3f,\"pss_per_connection\":%s,"
		       "\"latency_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}}\n",
		       n, o->messages, o->size, o->window, o->rate, o->publishers, got, missing,
		       TOTAL(lost), TOTAL(doubled), TOTAL(reordered), differs, took,
		       (double)got / took, measured(o, 3, cpu),
		       got ? (double)client_cpu / (double)got : 0, measured(o, 0, pss), ms(p50),
		       ms(p99), ms(p999), ms(max));
	else
		printf("%" PRIu64 " subscribers, %u messages: %" PRIu64 " of %" PRIu64
		       " deliveries in %.2f s (%.0f/s)\n"
		       "lost %" PRIu64 ", doubled %" PRIu64 ", out of order %" PRIu64
		       ", clients with another order %" PRIu64 "\n"
		       "latency: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms\n",
		       n, o->messages, got, want, took, (double)got / took, missing + TOTAL(lost),
		       TOTAL(doubled), TOTAL(reordered), differs, ms(p50), ms(p99), ms(p999),
		       ms(max));
	if (!o->json && o->n_pids)
		printf("server CPU per delivery: %.2f us; memory per connection: %.0f bytes (PSS)\n",
		       cpu, pss);
	else if (!o->json)
		printf(NOT_MEASURED);
	say_why(o);
	return well ? 0 : 1;
}

static int run_handshake(const struct options *o)
{
	struct usage before, after;
	start(o, true);
	usleep(300000);
	measure(o, &before);
	uint64_t base = TOTAL(handshakes), resumed_base = TOTAL(resumed);
	double began = now_s();
	while (now_s() - began < o->seconds) {
		progress(o, "handshakes", (uint64_t)((now_s() - began) * 10),
			 (uint64_t)(o->seconds * 10));
		usleep(50000);
	}
	measure(o, &after);
	double took = now_s() - began;
	uint64_t n = TOTAL(handshakes) - base, failed = TOTAL(failed);
	uint64_t resumed = TOTAL(resumed) - resumed_base;
	progress_end(o);
	stop(o);
	double cpu = n ? (after.cpu_s - before.cpu_s) * 1e6 / (double)n : 0;
	if (o->json)
		printf("{\"mode\":\"handshake\",\"resume\":%s,\"handshakes\":%" PRIu64
		       ",\"resumed\":%" PRIu64 ",\"failed\":%" PRIu64
		       ",\"seconds\":%.3f,\"handshakes_per_s\":%.0f,"
		       "\"server_cpu_us_per_handshake\":%s}\n",
		       o->resume ? "true" : "false", n, resumed, failed, took, (double)n / took,
		       measured(o, 1, cpu));
	else
		printf("%" PRIu64 " handshakes up to the %s in %.1f s (%.0f/s), %" PRIu64
		       " of them resumed, %" PRIu64 " failed\n",
		       n, o->get ? "200" : "101", took, (double)n / took, resumed, failed);
	if (o->resume && resumed == 0)
		fprintf(stderr, "the server resumed no session\n");
	if (!o->json && o->n_pids)
		printf("server CPU per handshake: %.0f us\n", cpu);
	else if (!o->json)
		printf(NOT_MEASURED);
	say_why(o);
	return n > 0 && failed == 0 && (!o->resume || resumed > 0) ? 0 : 1;
}

/* Until all have come back, something was wrong, or nothing moves any more. */
static double echo_all(const struct options *o)
{
	double began = now_s(), moved = began;
	uint64_t seen = 0;
	sh->phase = PHASE_RUN;
	while (TOTAL(received) < o->messages && TOTAL(failed) == 0 && now_s() - moved < 20) {
		if (TOTAL(bytes) != seen) {
			seen = TOTAL(bytes);
			moved = now_s();
		}
		usleep(2000);
		progress(o, "messages", TOTAL(received), o->messages);
	}
	progress_end(o);
	return now_s() - began;
}

static int run_echo(const struct options *o)
{
	struct usage before, after;
	start_echo(o);
	while (TOTAL(ready) < o->count && TOTAL(failed) == 0) {
		progress(o, "connecting", TOTAL(ready), o->count);
		usleep(2000);
	}
	progress_end(o);
	measure(o, &before);
	double took = echo_all(o);
	measure(o, &after);
	stop(o);
	uint64_t got = TOTAL(received), bytes = TOTAL(bytes);
	if (got < o->messages && TOTAL(failed) == 0)
		fprintf(stderr, "nothing came back for 20 s: is %s an endpoint that echoes?\n",
			o->url.path);
	uint64_t p50 = hist_quantile(sh, o->procs, .5), p99 = hist_quantile(sh, o->procs, .99),
		 max = hist_max(sh, o->procs);
	double cpu = each((after.cpu_s - before.cpu_s) * 1e6, got);
	bool well = got == o->messages && TOTAL(failed) == 0;
	if (o->json)
		printf("{\"mode\":\"echo\",\"connections\":%" PRIu64 ",\"messages\":%" PRIu64
		       ",\"missing\":%" PRIu64 ",\"bytes\":%" PRIu64
		       ",\"wrong\":%s,\"seconds\":%.3f,\"messages_per_s\":%.0f,"
		       "\"server_cpu_us_per_message\":%s,"
		       "\"latency_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f}}\n",
		       TOTAL(ready), got, o->messages - got, bytes,
		       TOTAL(failed) ? "true" : "false", took, (double)got / took,
		       measured(o, 3, cpu), ms(p50), ms(p99), ms(max));
	else
		printf("%" PRIu64 " of %u messages (%.1f MB) came back byte for byte over %" PRIu64
		       " connections in %.1f s (%.0f/s)\n"
		       "latency: p50 %.2f ms, p99 %.2f ms, max %.2f ms\n",
		       got, o->messages, (double)bytes / 1e6, TOTAL(ready), took,
		       (double)got / took, ms(p50), ms(p99), ms(max));
	if (!o->json && o->n_pids)
		printf("server CPU per message: %.2f us\n", cpu);
	else if (!o->json)
		printf(NOT_MEASURED);
	return well ? 0 : 1;
}

/* ── the command line ── */

enum {
	OPT_RESUME = 256,
	OPT_SUBSCRIBE,
	OPT_EXPECT,
	OPT_PUBLISH,
	OPT_PUBLISH_URL,
	OPT_UP_TO,
	OPT_CUT,
	OPT_GET
};

static bool number(const char *text, double min, double max, double *v)
{
	char *end;
	*v = strtod(text, &end);
	if (end != text && *end == 0 && *v >= min && *v <= max)
		return true;
	fprintf(stderr, "'%s' is not a number from %g to %.0f\n", text, min, max);
	return false;
}

static bool whole(const char *text, double max, uint32_t *n)
{
	double v;
	if (!number(text, 1, max, &v))
		return false;
	*n = (uint32_t)v;
	if (*n == v)
		return true;
	fprintf(stderr, "'%s' is not a whole number\n", text);
	return false;
}

static bool option(struct options *o, int opt, const char *arg)
{
	double v = 0;
	uint32_t n = 0;
	switch (opt) {
	case 'u':
		return parse_url(arg, &o->url) ||
		       (fprintf(stderr,
				"'%s' is no URL like wss://127.0.0.1:8443/ws, with an IPv4 address in digits\n",
				arg),
			false);
	case OPT_PUBLISH_URL:
		return parse_url(arg, &o->publish_url) ||
		       (fprintf(stderr, "'%s' is no URL like http://127.0.0.1:80/pub\n", arg),
			false);
	case 'n': return whole(arg, 10000000, &o->count);
	case 'P': return whole(arg, PROCS_MAX, &o->procs);
	case 'm': return whole(arg, 100000000, &o->messages);
	case 'w': return whole(arg, 100000, &o->window);
	case 'r': return number(arg, 0.01, 1000000, &v) && (o->rate = v, true);
	case 'b': return whole(arg, 8, &o->publishers);
	case 's': return whole(arg, 60000, &o->size);
	case 't': return number(arg, 0.1, 100000, &v) && (o->seconds = v, true);
	case 'f': return whole(arg, 10000, &o->handshakes_in_flight);
	case 'p':
		if (o->n_pids == PIDS_MAX) {
			fprintf(stderr, "-p: at most %d\n", PIDS_MAX);
			return false;
		}
		if (!whole(arg, 4194304, &n))
			return false;
		if (kill((pid_t)n, 0) && errno == ESRCH) {
			fprintf(stderr, "-p: there is no process %s\n", arg);
			return false;
		}
		o->pids[o->n_pids++] = (pid_t)n;
		return true;
	case OPT_RESUME: return o->resume = true;
	case OPT_UP_TO: return whole(arg, 64u << 20, &o->up_to);
	case OPT_GET: return o->get = true;
	case OPT_CUT: return o->cut = true;
	case OPT_SUBSCRIBE: return (o->subscribe = arg) != NULL;
	case OPT_EXPECT: return (o->expect = arg) != NULL;
	case OPT_PUBLISH: return (o->publish = arg) != NULL;
	case 'j': return o->json = true;
	case 'q': return o->quiet = true;
	default: return false;
	}
}

static const struct option longs[] = {
	{"url", 1, 0, 'u'},
	{"count", 1, 0, 'n'},
	{"procs", 1, 0, 'P'},
	{"messages", 1, 0, 'm'},
	{"window", 1, 0, 'w'},
	{"rate", 1, 0, 'r'},
	{"publishers", 1, 0, 'b'},
	{"size", 1, 0, 's'},
	{"seconds", 1, 0, 't'},
	{"in-flight", 1, 0, 'f'},
	{"pid", 1, 0, 'p'},
	{"resume", 0, 0, OPT_RESUME},
	{"get", 0, 0, OPT_GET},
	{"up-to", 1, 0, OPT_UP_TO},
	{"cut", 0, 0, OPT_CUT},
	{"subscribe", 1, 0, OPT_SUBSCRIBE},
	{"expect", 1, 0, OPT_EXPECT},
	{"publish", 1, 0, OPT_PUBLISH},
	{"publish-url", 1, 0, OPT_PUBLISH_URL},
	{"json", 0, 0, 'j'},
	{"quiet", 0, 0, 'q'},
	{"version", 0, 0, 'V'},
	{"help", 0, 0, 'h'},
	{0},
};

/* The options that not every mode has. */
static const struct {
	int opt;
	const char *name, *modes;
} bound[] = {
	{'n', "-n", "idle, fanout, echo"},
	{'m', "-m", "fanout, echo"},
	{'w', "-w", "fanout, echo"},
	{'r', "-r", "fanout"},
	{'b', "-b", "fanout"},
	{'s', "-s", "fanout, echo"},
	{OPT_UP_TO, "--up-to", "echo"},
	{OPT_CUT, "--cut", "echo"},
	{'t', "-t", "idle, handshake"},
	{'f', "-f", "idle, fanout, handshake"},
	{OPT_RESUME, "--resume", "handshake"},
	{OPT_GET, "--get", "handshake"},
	{OPT_SUBSCRIBE, "--subscribe", "idle, fanout"},
	{OPT_EXPECT, "--expect", "idle, fanout"},
	{OPT_PUBLISH, "--publish", "fanout"},
	{OPT_PUBLISH_URL, "--publish-url", "fanout"},
};
#define N_BOUND (sizeof(bound) / sizeof(bound[0]))

static const struct mode {
	const char *name;
	int (*run)(const struct options *);
} modes[] = {{"idle", run_idle},
	     {"fanout", run_fanout},
	     {"handshake", run_handshake},
	     {"echo", run_echo}};

static const struct mode *mode_named(const char *name)
{
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(name, modes[i].name) == 0)
			return &modes[i];
	fprintf(stderr, "unknown mode '%s': idle, fanout, handshake, echo\n", name);
	return NULL;
}

/* An option that would do nothing here would make the figures mean something else than asked. */
static bool all_belong(const struct mode *mode, const bool given[N_BOUND])
{
	bool rate = false, window = false;
	for (size_t i = 0; i < N_BOUND; i++) {
		if (given[i] && !strstr(bound[i].modes, mode->name)) {
			fprintf(stderr, "%s does nothing in %s: it is for %s\n", bound[i].name,
				mode->name, bound[i].modes);
			return false;
		}
		rate |= given[i] && bound[i].opt == 'r';
		window |= given[i] && bound[i].opt == 'w';
	}
	if (rate && window)
		fprintf(stderr, "-r and -w: one of the two\n");
	return !(rate && window);
}

/* NULL: done, with *code to exit with. */
static const struct mode *command_line(int argc, char **argv, struct options *o, int *code)
{
	bool given[N_BOUND] = {false};
	int opt;
	*code = 0;
	while ((opt = getopt_long(argc, argv, "u:n:P:m:w:r:b:s:t:f:p:jqVh", longs, NULL)) != -1) {
		if (opt == 'h') {
			usage(stdout);
			return NULL;
		}
		if (opt == 'V') {
			printf("sluice-bench %s\n", SLUICE_VERSION);
			return NULL;
		}
		for (size_t i = 0; i < N_BOUND; i++)
			given[i] |= bound[i].opt == opt;
		*code = option(o, opt, optarg) ? 0 : 2;
		if (*code)
			break;
	}
	if (*code == 0 && optind == argc) {
		usage(stderr);
		*code = 2;
		return NULL;
	}
	const struct mode *mode = *code ? NULL : mode_named(argv[optind]);
	if (mode && optind + 1 < argc)
		fprintf(stderr, "'%s': one mode at a time, and no other words\n", argv[optind + 1]);
	if (mode && optind + 1 == argc && all_belong(mode, given))
		return mode;
	fprintf(stderr, "See 'sluice-bench --help'.\n");
	*code = 2;
	return NULL;
}

int main(int argc, char **argv)
{
	struct options o = {
		.count = 1000,
		.procs = 1,
		.messages = 1000,
		.window = 1,
		.size = 128,
		.publishers = 1,
		.seconds = 10,
		.handshakes_in_flight = 64,
		.channel = "bench",
		.subscribe = "{\"type\":\"subscribe\",\"channel\":\"bench\"}",
		.expect = "\"subscribed\"",
		.publish = "{\"type\":\"publish\",\"channel\":\"bench\",\"data\":%s}",
	};
	parse_url("wss://127.0.0.1:8443/ws", &o.url);
	int code;
	const struct mode *mode = command_line(argc, argv, &o, &code);
	if (mode == NULL)
		return code;
	signal(SIGPIPE, SIG_IGN);
	struct rlimit rl;
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
		if (o.count / o.procs + 64 > rl.rlim_cur) {
			uint64_t each = rl.rlim_cur > 64 ? rl.rlim_cur - 64 : 1;
			uint64_t procs = (o.count + each - 1) / each;

			fprintf(stderr,
				"%u clients in %u processes: one has only %llu descriptors: %s %llu\n",
				o.count, o.procs, (unsigned long long)rl.rlim_cur,
				procs > PROCS_MAX ? "raise `ulimit -n`, or at most -n" : "use -P",
				(unsigned long long)(procs > PROCS_MAX ? PROCS_MAX * each : procs));
			return 2;
		}
	}
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return 1;
	return mode->run(&o);
}
