/* SPDX-License-Identifier: BSD-2-Clause */
/* notify.h - sd_notify(3) without the library: one datagram to $NOTIFY_SOCKET, if there is one. */
#ifndef SLUICE_KEEPER_NOTIFY_H
#define SLUICE_KEEPER_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=…"; several are separated by newlines. */
void notify_supervisor(const char *state);

#endif
