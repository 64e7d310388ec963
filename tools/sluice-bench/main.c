/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - sluice-bench: idle crowds, fan-out, handshakes; what was measured, in JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/version.h"
#include "tools/sluice-bench/bench.h"

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
		"      --burst N          fanout: publications that leave in one write, 1 to 64 (1); -w is\n"
		"                         at least as many\n"
		"      --deaf PERCENT     fanout: so many of the subscribers stop reading once they have\n"
		"                         subscribed; what the others hear is counted, and the server's\n"
		"                         memory before, at its height, after, and when they have left\n"
		"      --probe            fanout: beside it one publisher and one subscriber in a channel\n"
		"                         of their own, a message every 10 ms, and its latency\n"
		"  -s, --size BYTES       of a message's data (128)\n"
		"      --up-to BYTES      echo: sizes from 1 byte to this, small and large alike\n"
		"                         (uniform in their logarithm)\n"
		"      --cut              echo: what is sent is cut at random places, and so is\n"
		"                         what is read\n"
		"  -t, --seconds N        idle, handshake: how long (10)\n"
		"  -f, --in-flight N      idle, fanout, handshake: handshakes at once per process (64)\n"
		"      --resume           handshake: resume sessions\n"
		"      --get              handshake: a GET that is answered 200 in place of the upgrade\n"
		"      --asleep           idle, fanout: once a client's TLS 1.3 handshake is over its SSL\n"
		"                         object is freed and it keeps the keys: 336 bytes in all.\n"
		"                         For servers that send all session tickets at once\n"
		"      --deflate          fanout: subscribers offer permessage-deflate\n"
		"      --rest SECONDS     fanout: before it, 10 s without clients and so many of\n"
		"                         silence with them: memory, CPU at rest and per heartbeat (0)\n"
		"      --keep-free MIB    idle, fanout: connect no more when less memory is free (0)\n"
		"  -p, --pid PID          the server: its whole process tree is measured; repeatable\n"
		"      --channel NAME     what is subscribed and published to (bench)\n"
		"      --dialect NAME     how the server is spoken to: native (the words below), socketio\n"
		"                         (Socket.IO over a WebSocket from the start, whose application\n"
		"                         knows subscribe and publish), or mqtt (3.1.1, QoS 0)\n"
		"      --subscribe TEXT   sent after the upgrade; '' for nothing, %%c stands for the channel\n"
		"      --expect TEXT      part of the message that acknowledges it; '' for none\n"
		"      --publish TEXT     fanout: what publishes; %%s stands for the data, %%c as above\n"
		"      --publish-url URL  publish by HTTP POST to http://… instead\n"
		"  -j, --json             the result as one JSON object\n"
		"  -q, --quiet            no progress line\n"
		"  -V, --version\n"
		"  -h, --help\n\n"
		"Examples:\n"
		"  sluice-bench idle -n 10000 -p $(pidof -s sluiced)\n"
		"  sluice-bench fanout -n 5000 -P 2 -m 1000 -w 4 -j\n"
		"  sluice-bench fanout -n 5000 -w 4 --probe --deaf 5\n"
		"  sluice-bench fanout --dialect socketio -u 'wss://127.0.0.1:3000/socket.io/?EIO=4&transport=websocket'\n"
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

/* ── modes ── */

static int run_idle(const struct options *o)
{
	struct usage before, after, later;
	measure(o, &before);
	fleet_start(o, false);
	double took = fleet_connect(o);
	sleep(2); /* tickets, acknowledgements, freed handshake state */
	measure(o, &after);
	uint64_t n = TOTAL(ready);
	hold(o, "holding", o->seconds);
	measure(o, &later);
	uint64_t still = n - TOTAL(closed);
	fleet_stop(o);
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
	fleet_say_why(o);
	return n == o->count && still == n ? 0 : 1;
}

static int run_handshake(const struct options *o)
{
	struct usage before, after;
	fleet_start(o, true);
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
	fleet_stop(o);
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
	fleet_say_why(o);
	return n > 0 && failed == 0 && (!o->resume || resumed > 0) ? 0 : 1;
}

/* Until all have come back, something was wrong, or nothing moves any more. */
static double echo_all(const struct options *o)
{
	double began = now_s(), moved = began;
	uint64_t seen = 0;
	fleet->phase = PHASE_RUN;
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
	fleet_start_echo(o);
	while (TOTAL(ready) < o->count && TOTAL(failed) == 0) {
		progress(o, "connecting", TOTAL(ready), o->count);
		usleep(2000);
	}
	progress_end(o);
	measure(o, &before);
	double took = echo_all(o);
	measure(o, &after);
	fleet_stop(o);
	uint64_t got = TOTAL(received), bytes = TOTAL(bytes);
	if (got < o->messages && TOTAL(failed) == 0)
		fprintf(stderr, "nothing came back for 20 s: is %s an endpoint that echoes?\n",
			o->url.path);
	uint64_t p50 = hist_quantile(fleet->crowd, o->procs, .5),
		 p99 = hist_quantile(fleet->crowd, o->procs, .99),
		 max = hist_max(fleet->crowd, o->procs);
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
	OPT_GET,
	OPT_BURST,
	OPT_DEAF,
	OPT_PROBE,
	OPT_CHANNEL,
	OPT_DIALECT,
	OPT_ASLEEP,
	OPT_DEFLATE,
	OPT_REST,
	OPT_KEEP_FREE,
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

/* It stands between quotes in what is said. */
static bool channel(struct options *o, const char *name)
{
	o->channel = name;
	if (*name && strlen(name) <= 100 && strpbrk(name, "\"\\") == NULL)
		return true;
	fprintf(stderr, "--channel: 1 to 100 bytes without quotes and backslashes\n");
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
	case 'b': return whole(arg, PUBLISHERS_MAX, &o->publishers);
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
	case OPT_ASLEEP: return o->asleep = true;
	case OPT_DEFLATE: return o->deflate = true;
	case OPT_REST: return number(arg, 1, 86400, &o->rest);
	case OPT_KEEP_FREE:
		if (!whole(arg, 1u << 30, &n))
			return false;
		o->keep_free = (uint64_t)n << 20;
		return true;
	case OPT_UP_TO: return whole(arg, 64u << 20, &o->up_to);
	case OPT_GET: return o->get = true;
	case OPT_CUT: return o->cut = true;
	case OPT_BURST: return whole(arg, BURST_MAX, &o->burst);
	case OPT_DEAF: return whole(arg, 99, &o->deaf);
	case OPT_PROBE: return o->probe = true;
	case OPT_CHANNEL: return channel(o, arg);
	case OPT_DIALECT: return (o->dialect = dialect_named(arg)) != NULL;
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
	{"asleep", 0, 0, OPT_ASLEEP},
	{"deflate", 0, 0, OPT_DEFLATE},
	{"rest", 1, 0, OPT_REST},
	{"keep-free", 1, 0, OPT_KEEP_FREE},
	{"up-to", 1, 0, OPT_UP_TO},
	{"cut", 0, 0, OPT_CUT},
	{"burst", 1, 0, OPT_BURST},
	{"deaf", 1, 0, OPT_DEAF},
	{"probe", 0, 0, OPT_PROBE},
	{"channel", 1, 0, OPT_CHANNEL},
	{"dialect", 1, 0, OPT_DIALECT},
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
	{OPT_BURST, "--burst", "fanout"},
	{OPT_DEAF, "--deaf", "fanout"},
	{OPT_PROBE, "--probe", "fanout"},
	{OPT_CHANNEL, "--channel", "idle, fanout"},
	{OPT_DIALECT, "--dialect", "idle, fanout"},
	{OPT_ASLEEP, "--asleep", "idle, fanout"},
	{OPT_DEFLATE, "--deflate", "fanout"},
	{OPT_REST, "--rest", "fanout"},
	{OPT_KEEP_FREE, "--keep-free", "idle, fanout"},
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
	     {"fanout", fanout_mode},
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
	for (size_t i = 0; i < N_BOUND; i++)
		if (given[i] && !strstr(bound[i].modes, mode->name)) {
			fprintf(stderr, "%s does nothing in %s: it is for %s\n", bound[i].name,
				mode->name, bound[i].modes);
			return false;
		}
	return true;
}

static bool was_given(const bool given[N_BOUND], int opt)
{
	for (size_t i = 0; i < N_BOUND; i++)
		if (bound[i].opt == opt)
			return given[i];
	return false;
}

/* Nor do options that contradict each other. NULL: these do not. */
static const char *contradiction(struct options *o, const bool given[N_BOUND])
{
	bool worded = was_given(given, OPT_SUBSCRIBE) || was_given(given, OPT_EXPECT) ||
		      was_given(given, OPT_PUBLISH) || o->publish_url.port;
	if (o->rate > 0 && was_given(given, 'w'))
		return "-r and -w: one of the two";
	if (!was_given(given, 'w'))
		o->window = MAX(o->window, o->burst);
	if (o->window < o->burst)
		return "-w: at least as many as --burst, which leave together";
	if (o->burst > 1 && o->publish_url.port)
		return "--burst: not with --publish-url, which answers one by one";
	if (worded && o->dialect != dialect_named("native"))
		return "--subscribe, --expect, --publish and --publish-url: a --dialect has words of its own";
	if (o->probe &&
	    (o->publish_url.port || !strstr(o->subscribe, "%c") || !strstr(o->publish, "%c")))
		return "--probe has a channel of its own: --subscribe and --publish need %c in its place";
	return NULL;
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
	if (mode && optind + 1 == argc && all_belong(mode, given)) {
		const char *wrong = contradiction(o, given);
		if (wrong == NULL)
			return mode;
		fprintf(stderr, "%s\n", wrong);
	}
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
		.burst = 1,
		.seconds = 10,
		.handshakes_in_flight = 64,
		.channel = "bench",
		.dialect = dialect_named("native"),
		.subscribe = "{\"type\":\"subscribe\",\"channel\":\"%c\"}",
		.expect = "\"subscribed\"",
		.publish = "{\"type\":\"publish\",\"channel\":\"%c\",\"data\":%s}",
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
	fleet = mmap(NULL, sizeof(*fleet), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (fleet == MAP_FAILED)
		return 1;
	return mode->run(&o);
}
