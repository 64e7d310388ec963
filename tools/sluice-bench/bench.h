/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.h - what the parts of sluice-bench share.
 *
 *   main.c      the command line, and the modes that only connect
 *   fanout.c    the mode that publishes
 *   fleet.c     the client processes from outside: start, wait, why they failed
 *   crowd.c     a client process from inside; publish.c who speaks to it; echo.c one that compares bytes
 *   nap.c       what is left of a client that is asleep
 *   dialect.c   how one speaks to a kind of server: our own words, Socket.IO's, MQTT's
 *   measure.c   CPU, memory, latencies
 *
 * The parent measures and reports; client processes hold the crowd (a process has only so
 * many descriptors) and write their counters into memory that all share. Any WebSocket server
 * can be the target: what to send and what to wait for are options. */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

#define PROCS_MAX      128
#define PIDS_MAX       16
#define PUBLISHERS_MAX 8
#define BURST_MAX      64
#define PROBE_MS       10 /* between two messages of --probe */

/* Latencies in a log-linear histogram: 32 steps per power of two, so 3 % exact. */
#define HIST_BUCKETS (40 * 32)

struct url {
	bool tls;
	char host[64]; /* numeric */
	uint16_t port;
	char path[256];
	struct sockaddr_in addr;
};

struct options {
	struct url url, publish_url; /* publish_url.port 0: publish over a WebSocket */
	uint32_t count, procs, messages, window, size, publishers, handshakes_in_flight;
	uint32_t burst;     /* fanout: publications in one write */
	uint32_t deaf;      /* fanout: percent of the subscribers that stop reading */
	double rate;        /* publications per second; 0: as the window allows */
	double seconds;     /* idle, handshake: how long */
	uint32_t up_to;     /* echo: sizes from 1 to this; 0: all are `size` */
	double rest;        /* fanout: seconds of silence that are measured before; 0: none */
	uint64_t keep_free; /* idle, fanout: bytes of memory that stay free; 0: do not look */
	bool json, resume, cut, get, probe, asleep, deflate;
	const struct dialect *dialect;
	const char *channel, *subscribe, *expect, *publish;
	pid_t pids[PIDS_MAX];
	int n_pids;
	bool quiet;
};

/* Of one client process, in shared memory; written by it alone. */
struct crowd_stats {
	_Alignas(64) _Atomic uint64_t connected, failed, ready, closed;
	_Atomic uint64_t deaf; /* of `ready` */
	_Atomic uint64_t received, lost, doubled, reordered, bytes;
	_Atomic uint64_t sent; /* the probe's */
	_Atomic uint64_t handshakes, resumed;
	_Atomic uint64_t opened, pings, asleep;
	_Atomic uint64_t packed;   /* messages that came compressed */
	_Atomic uint64_t answered; /* what was `asked` when order and CPU were noted */
	_Atomic uint64_t order_hash, order_differs; /* all its connections heard the same order */
	_Atomic uint64_t cpu_us;
	_Atomic uint64_t why; /* of the last failure: enum why << 32 | errno, or HTTP status */
	char tls_why[128];    /* WHY_TLS: written before `why` */
	_Atomic uint64_t hist[HIST_BUCKETS];
};

/* The last failure of a client process, so that the report can say why. */
enum why { WHY_NOTHING, WHY_ERRNO, WHY_TLS, WHY_HTTP, WHY_CLOSED, WHY_REFUSED };

enum phase { PHASE_CONNECT, PHASE_RUN, PHASE_STOP };

struct shared {
	_Atomic int phase;
	_Atomic uint64_t reset;  /* counts up: histograms, and what the probe counts, begin anew */
	_Atomic uint64_t asked;  /* counts up: order_hash, order_differs and cpu_us are wanted */
	_Atomic bool enough;     /* no more connections are opened */
	_Atomic bool probing;    /* the probe sends */
	_Atomic bool deaf_leave; /* those who do not read hang up */
	struct crowd_stats probe;
	struct crowd_stats crowd[PROCS_MAX];
};

/* ── dialect.c ── */

/* What a message of the server is to a client. */
enum heard {
	HEARD_NOTHING,
	HEARD_WELCOME,    /* one may subscribe, and publish */
	HEARD_SUBSCRIBED, /* what is published from now on will come */
	HEARD_DATA,
	HEARD_PING,    /* a heartbeat that is none of the WebSocket's; its pong is the answer */
	HEARD_REFUSED, /* or not understood: nothing good will come any more */
};

/* What is to be said at once, as one message; n 0: nothing. */
struct answer {
	size_t n;
	uint8_t b[64];
};

/* How one speaks to a kind of server. Whatever is written is the payload of one WebSocket message;
 * those who write return its length, 0 if it does not fit. */
struct dialect {
	const char *name;
	const char *subprotocol; /* asked for in the upgrade; NULL: none */
	unsigned opcode;         /* of what a client says */
	/* After the upgrade, before the server has said anything. */
	enum heard (*greet)(struct answer *a);
	/* Takes one thing off the front of *message, which may hold several. HEARD_DATA: what was
	 * published lies in *data, HEARD_SUBSCRIBED: perhaps. */
	enum heard (*hear)(const struct options *o, struct bytes *message, struct bytes *data,
			   struct answer *a);
	/* To o->channel. 0 is also: nothing needs to be said. */
	size_t (*subscribe)(const struct options *o, uint8_t *out, size_t cap);
	size_t (*publish)(const struct options *o, struct bytes data, uint8_t *out, size_t cap);
};

/* NULL: not known; says so. */
const struct dialect *dialect_named(const char *name);
/* More than any dialect puts around the data of a publication. */
size_t dialect_around(const struct options *o);

/* ── crowd.c ── */

/* Runs `count` clients of process `me` until PHASE_STOP; exits the process. */
void crowd_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count);
/* Opens and closes connections until PHASE_STOP; exits the process. */
void crowd_handshakes(const struct options *o, struct shared *sh, uint32_t me);
/* One publisher and one subscriber in a channel of their own, o->channel: a message every PROBE_MS while
 * sh->probing, until PHASE_STOP; exits the process. sh->probe.failed counts up if they cannot. */
void crowd_probe(const struct options *o, struct shared *sh);

/* echo.c: `count` connections of process `me` send `messages` and compare what comes back, from
 * PHASE_RUN on; exits the process at PHASE_STOP. `failed` counts up when something is wrong, and why is said. */
void echo_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count,
	      uint32_t messages);

/* publish.c: a publisher; NULL on failure with a message printed. */
struct publisher;
struct publisher *publisher_open(const struct options *o, uint32_t number);
/* Sends its next n messages in one write (n <= o->burst), numbered from 1; blocks if the socket does. */
bool publisher_send(struct publisher *p, uint32_t n);
/* Reads what the server says to it, and answers what wants an answer. */
void publisher_read(struct publisher *p);

void publisher_close(struct publisher *p);

/* ── fleet.c ── */

#define MANY 50000 /* clients from which on the waiting parent must not be a load of its own */

extern struct shared *fleet; /* of all processes */

void fleet_start(const struct options *o, bool handshakes);
void fleet_start_echo(const struct options *o);
void fleet_start_probe(const struct options *o);
void fleet_stop(const struct options *o);
/* All connected, given up on, or no more for want of memory; returns the seconds that took. */
double fleet_connect(const struct options *o);
/* Has the crowd's order and CPU noted as they are now. */
void fleet_ask(const struct options *o);
/* Why connections failed, if some did: the last reason of each process that had one. */
void fleet_say_why(const struct options *o);

/* A counter of all processes; the probe's are not among them. */
uint64_t fleet_total(const struct options *o, size_t offset);
#define TOTAL(field) fleet_total(o, offsetof(struct crowd_stats, field))

/* What was measured of the server, for JSON: null without -p, for nothing was. */
const char *measured(const struct options *o, int decimals, double value);

/* ── the modes ── */

int fanout_mode(const struct options *o);

#define NOT_MEASURED "server: not measured (-p PID)\n"

static inline double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* A share of what grew; nobody's is 0. */
static inline double each(double grown, uint64_t n)
{
	return n ? grown / (double)n : 0;
}

/* ── measure.c ── */

struct usage {
	double cpu_s;         /* user and system, of the process trees */
	uint64_t pss, uss;    /* bytes */
	uint64_t kernel_slab; /* bytes, of the whole machine */
	uint32_t processes;
};
void measure(const struct options *o, struct usage *u);
/* Of this process and its children, the crowd: bytes. */
uint64_t measure_self(void);
/* What the machine has free, or would have at once, in bytes. */
uint64_t memory_left(void);
double now_s(void);
uint64_t now_ns(void);
void hist_add(struct crowd_stats *s, uint64_t ns);
void hist_clear(struct crowd_stats *s);
/* The value below which `share` (0..1) of all samples of s[0..n) lie, in ns. */
uint64_t hist_quantile(const struct crowd_stats *s, uint32_t n, double share);
uint64_t hist_max(const struct crowd_stats *s, uint32_t n);

/* A line that is written over itself, on a terminal only. */
void progress(const struct options *o, const char *what, uint64_t done, uint64_t all);
void progress_end(const struct options *o);
/* Waits, and says for what. */
void hold(const struct options *o, const char *what, double seconds);

#endif
