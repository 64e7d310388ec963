/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.h - what the parts of sluice-bench share.
 *
 * The parent measures and reports; client processes hold the crowd (a process has only so
 * many descriptors) and write their counters into memory that all share. Any WebSocket server
 * can be the target: what to send and what to wait for are options. */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCS_MAX 128
#define PIDS_MAX  16

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
	double rate;    /* publications per second; 0: as the window allows */
	double seconds; /* idle, handshake: how long */
	uint32_t up_to; /* echo: sizes from 1 to this; 0: all are `size` */
	bool json, resume, cut, get;
	const char *channel, *subscribe, *expect, *publish;
	pid_t pids[PIDS_MAX];
	int n_pids;
	bool quiet;
};

/* Of one client process, in shared memory; written by it alone. */
struct crowd_stats {
	_Alignas(64) _Atomic uint64_t connected, failed, ready, closed;
	_Atomic uint64_t received, lost, doubled, reordered, bytes;
	_Atomic uint64_t handshakes, resumed;
	_Atomic uint64_t order_hash, order_differs; /* all its connections heard the same order */
	_Atomic uint64_t cpu_us;
	_Atomic uint64_t why; /* of the last failure: enum why << 32 | errno, or HTTP status */
	char tls_why[128];    /* WHY_TLS: written before `why` */
	_Atomic uint64_t hist[HIST_BUCKETS];
};

/* The last failure of a client process, so that the report can say why. */
enum why { WHY_NOTHING, WHY_ERRNO, WHY_TLS, WHY_HTTP, WHY_CLOSED };

enum phase { PHASE_CONNECT, PHASE_RUN, PHASE_STOP };

struct shared {
	_Atomic int phase;
	_Atomic uint64_t reset; /* counts up: histograms and counters of messages begin anew */
	struct crowd_stats crowd[PROCS_MAX];
};

/* crowd.c: runs `count` clients of process `me` until PHASE_STOP; exits the process. */
void crowd_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count);
/* crowd.c: opens and closes connections until PHASE_STOP; exits the process. */
void crowd_handshakes(const struct options *o, struct shared *sh, uint32_t me);

/* echo.c: `count` connections of process `me` send `messages` and compare what comes back, from
 * PHASE_RUN on; exits the process at PHASE_STOP. `failed` counts up when something is wrong, and why is said. */
void echo_run(const struct options *o, struct shared *sh, uint32_t me, uint32_t count,
	      uint32_t messages);

/* publish.c: a publisher; -1 on failure with a message printed. */
struct publisher;
struct publisher *publisher_open(const struct options *o, uint32_t number);
/* Sends message `seq`; blocks if the socket does. */
bool publisher_send(struct publisher *p, uint64_t seq);
/* Reads and drops what the server says to it. */
void publisher_read(struct publisher *p);

void publisher_close(struct publisher *p);

/* measure.c */
struct usage {
	double cpu_s;         /* user and system, of the process trees */
	uint64_t pss, uss;    /* bytes */
	uint64_t kernel_slab; /* bytes, of the whole machine */
	uint32_t processes;
};
void measure(const struct options *o, struct usage *u);
double now_s(void);
uint64_t now_ns(void);
void hist_add(struct crowd_stats *s, uint64_t ns);
/* The value below which `share` (0..1) of all samples of all processes lie, in ns. */
uint64_t hist_quantile(const struct shared *sh, uint32_t procs, double share);
uint64_t hist_max(const struct shared *sh, uint32_t procs);

/* A line that is written over itself, on a terminal only. */
void progress(const struct options *o, const char *what, uint64_t done, uint64_t all);
void progress_end(const struct options *o);

#endif
