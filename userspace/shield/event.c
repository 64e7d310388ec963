/* SPDX-License-Identifier: BSD-2-Clause */
/* event.c - what happened to the shield, in the log and in a map of its last few hundred:
 *
 *   program ─► ring buffer `events` ─► keeper ─┬─► log
 *                        keeper's own acts ────┴─► event_log ─► `sluicectl event show`
 *
 * The map is a ring by number and outlives the keeper, so that after a crash one can
 * still see what went before.
 *
 * Each core tells of its own attack. What is said to people is said of all of them together: it
 * begins with the first core and ends with the last. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "bpf/sluice_xdp.skel.h"
#include "shield/state.h"

#define SAMPLE_GONE_NS 1000000000ull /* he has had the time to say that he has done */

void shield_event(struct shield *s, enum shield_event_kind kind, const char *fmt, ...)
{
	struct shield_event e = {.number = s->events + 1, .wall_ms = clock_wall_ms(), .kind = kind};
	__u32 at = e.number % SHIELD_EVENTS;
	va_list args;

	if (!s->xdp)
		return;
	va_start(args, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, args);
	va_end(args);
	if (bpf_map__update_elem(s->xdp->maps.event_log, &at, sizeof(at), &e, sizeof(e), BPF_ANY) ==
	    0)
		s->events++;
}

static int hear_one(void *arg, void *data, size_t n)
{
	const struct shield_said *said = data;
	struct shield *s = arg;

	if (n < sizeof(*said))
		return 0;
	switch (said->kind) {
	case EVENT_ATTACK_BEGINS:
	case EVENT_ATTACK_ENDS: cookies_look(s); break;
	case EVENT_CAPTURE:
		log_info("shield: dropped packets are captured, up to %llu",
			 (unsigned long long)said->number);
		shield_event(s, EVENT_CAPTURE, "dropped packets are captured, up to %llu",
			     (unsigned long long)said->number);
		break;
	default: break;
	}
	return 0;
}

/* A capture has run out, or its asker is gone: nobody but us can tell that it saw nothing. One that
 * begins in this very moment is asked for again by its asker. */
void sample_look(struct shield *s)
{
	static const struct shield_sample none;
	const __u32 zero = 0;
	struct shield_sample now;
	int fd = bpf_map__fd(s->xdp->maps.sample);
	char text[80];

	if (bpf_map_lookup_elem(fd, &zero, &now))
		return;
	if (now.told == SAMPLE_OVER && !now.until_ns && now.left == 0)
		snprintf(text, sizeof(text), "a capture ended: nothing was dropped that it wanted");
	else if (now.told == SAMPLE_OVER && !now.until_ns)
		snprintf(text, sizeof(text), "a capture ended with %lld packet%s",
			 (long long)now.left, now.left == 1 ? "" : "s");
	else if (now.until_ns && now.until_ns + SAMPLE_GONE_NS < clock_mono_ns())
		snprintf(text, sizeof(text), "a capture ended: who asked for it is gone%s",
			 now.told ? "" : "; nothing was dropped that it wanted");
	else
		return;
	bpf_map_update_elem(fd, &zero, &none, BPF_ANY);
	log_info("shield: %s", text);
	shield_event(s, EVENT_CAPTURE, "%s", text);
}

int events_open(struct shield *s)
{
	struct shield_event e;
	int fd = bpf_map__fd(s->xdp->maps.event_log);

	for (__u32 i = 0; i < SHIELD_EVENTS; i++)
		if (bpf_map_lookup_elem(fd, &i, &e) == 0 && e.number > s->events)
			s->events = e.number; /* an earlier keeper's: we go on counting */
	s->said = ring_buffer__new(bpf_map__fd(s->xdp->maps.events), hear_one, s, NULL);
	return s->said ? 0 : -errno;
}

void events_close(struct shield *s)
{
	ring_buffer__free(s->said);
	s->said = NULL;
}

int shield_events_fd(const struct shield *s)
{
	return s && s->said ? ring_buffer__epoll_fd(s->said) : -1;
}

void shield_events_hear(struct shield *s)
{
	if (s && s->said)
		ring_buffer__consume(s->said);
}
