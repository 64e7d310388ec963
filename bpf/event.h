/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* event.h - what the program has to say to the keeper, which logs it and keeps it for
 * `sluicectl event show`. For what happens a few times a day: each wakes the keeper up. */
#ifndef SLUICE_BPF_EVENT_H
#define SLUICE_BPF_EVENT_H

#include "maps.h"

static __always_inline void event(enum shield_event_kind kind, __u64 number)
{
	struct shield_said *said = bpf_ringbuf_reserve(&events, sizeof(*said), 0);

	if (!said)
		return;
	said->ns = bpf_ktime_get_ns();
	said->number = number;
	said->kind = kind;
	said->cpu = bpf_get_smp_processor_id();
	bpf_ringbuf_submit(said, 0);
}

#endif
