/* SPDX-License-Identifier: BSD-2-Clause */
/* net.h - where the daemon's interfaces are. */
#ifndef SLUICE_SLUICECTL_NET_H
#define SLUICE_SLUICECTL_NET_H

#include "tools/sluicectl/ctl.h"

/* Into the network namespace of the sluiced that has this number here, unless we are there. Cannot it be
 * entered: ctl->net_apart, and a note. Is it no sluiced, or may we not look: nothing. */
void ctl_net_enter(struct ctl *ctl, long long pid);

#endif
