/* SPDX-License-Identifier: BSD-2-Clause */
/* bench_wheel - the timer wheel against libevent's timers (a min-heap), same deadlines.
 *
 * A worker's pattern: every connection has one deadline up to a minute away, which is moved
 * much more often than it fires. The entries lie 256 bytes apart, as links in a conn do. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/wheel.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TICKS 480 /* a minute of 128 ms */

struct entry {
	struct wheel_link link;
	char rest[244];
};

struct result {
	double add, move, fire, del;
};

static uint32_t fired;

static void on_wheel(void *ctx, uint32_t index)
{
	fired++;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	fired++;
}

static uint32_t due_of(uint32_t i, uint32_t salt)
{
	return 1 + (uint32_t)(hash_mix(i + ((uint64_t)salt << 32)) % TICKS);
}

static double per(uint64_t t0, uint32_t n)
{
	return (double)(clock_mono_ns() - t0) / n;
}

static struct result run_wheel(uint32_t n)
{
	struct result r;
	struct wheel *w = malloc(sizeof(*w));
	struct entry *e = calloc(n, sizeof(*e));
	uint64_t t0;

	for (uint32_t i = 0; i < n; i++) /* have the pages before the clock runs */
		e[i].rest[0] = 1;
	wheel_init(w, e, sizeof(*e), offsetof(struct entry, link), n, 0);
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_add(w, i, due_of(i, 1));
	r.add = per(t0, n);
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_move(w, (uint32_t)(hash_mix(i) % n), due_of(i, 2));
	r.move = per(t0, n);
	fired = 0;
	t0 = clock_mono_ns();
	for (uint32_t t = 1; t <= TICKS; t++)
		while (wheel_run(w, t, 1000, on_wheel, NULL))
			;
	r.fire = per(t0, n);
	if (fired != n)
		abort();
	for (uint32_t i = 0; i < n; i++)
		wheel_add(w, i, TICKS + due_of(i, 3));
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_del(w, i);
	r.del = per(t0, n);
	free(e);
	free(w);
	return r;
}

static struct timeval tv_of(uint32_t ticks)
{
	/* a tick of 100 us here, so that waiting for the last does not take a minute */
	return (struct timeval){.tv_sec = 0, .tv_usec = ticks * 100};
}

static struct result run_libevent(uint32_t n)
{
	struct result r;
	struct event_base *base = event_base_new();
	struct event *e = calloc(n, sizeof(*e));
	uint64_t t0;

	for (uint32_t i = 0; i < n; i++)
		evtimer_assign(&e[i], base, on_event, NULL);
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++) {
		struct timeval tv = tv_of(due_of(i, 1));
		evtimer_add(&e[i], &tv);
	}
	r.add = per(t0, n);
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++) {
		struct timeval tv = tv_of(due_of(i, 2));
		evtimer_add(&e[hash_mix(i) % n], &tv);
	}
	r.move = per(t0, n);
	usleep(TICKS * 100 + 1000); /* all due: only the firing is timed */
	fired = 0;
	t0 = clock_mono_ns();
	event_base_loop(base, EVLOOP_ONCE);
	while (fired < n)
		event_base_loop(base, EVLOOP_ONCE);
	r.fire = per(t0, n);
	for (uint32_t i = 0; i < n; i++) {
		struct timeval tv = tv_of(due_of(i, 3));
		evtimer_add(&e[i], &tv);
	}
	t0 = clock_mono_ns();
	for (uint32_t i = 0; i < n; i++)
		evtimer_del(&e[i]);
	r.del = per(t0, n);
	event_base_free(base);
	free(e);
	return r;
}

int main(void)
{
	static const uint32_t sizes[] = {10000, 100000, 1000000};

	printf("ns per operation      add    move    fire     del\n");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct result l = run_libevent(sizes[i]), w = run_wheel(sizes[i]);
		printf("%8u libevent %7.1f %7.1f %7.1f %7.1f\n", sizes[i], l.add, l.move, l.fire,
		       l.del);
		printf("%8u wheel    %7.1f %7.1f %7.1f %7.1f\n", sizes[i], w.add, w.move, w.fire,
		       w.del);
		printf("%8s ratio    %7.1f %7.1f %7.1f %7.1f\n", "", l.add / w.add, l.move / w.move,
		       l.fire / w.fire, l.del / w.del);
	}
	return 0;
}
