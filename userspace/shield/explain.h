/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.h - what the shield would do with a packet, and why: asked of the program that
 * runs, without a trace left in it (bpf/explain.h). For sluicectl and the tests: what it needs is
 * a descriptor of the program, and CAP_BPF with CAP_NET_ADMIN. */
#ifndef SLUICE_SHIELD_EXPLAIN_H
#define SLUICE_SHIELD_EXPLAIN_H

#include "base/bytes.h"
#include "bpf/abi.h"

#define EXPLAIN_FRAME_MIN 14 /* less than an Ethernet header cannot be asked about */

/* `ifindex`: as if it came in there, in this network namespace; 0: from nowhere in
 * particular. 0, or -errno: -EINVAL for a frame that no test run takes (too short, too long) or an
 * interface that has no queue to offer, -ENOMSG if the program is none that can be asked. */
int shield_explain(int program, struct bytes frame, unsigned ifindex, struct shield_ask *out);

/* "IPv4 TCP 192.0.2.1:40000 > 198.51.100.1:443 [S]", as far as the frame tells. For people: it
 * judges nothing, and the program may see it otherwise. */
#define SHIELD_FRAME_TEXT_MAX 160
const char *shield_frame_str(struct bytes frame, char buf[SHIELD_FRAME_TEXT_MAX]);

#endif
