/* SPDX-License-Identifier: BSD-2-Clause */
/* offload.h - kTLS: the kernel seals what a sleeping connection sends (Linux 5.1 and later, module "tls").
 *
 * Sending only: a record that comes is opened by us where it lies, which the kernel does no
 * cheaper. It pays where the network card seals; elsewhere each connection costs the kernel
 * a set-up cipher of its own, some kilobytes that a sleeping one of ours has not, and so the configuration
 * has it off. From tls_offload_begin() on:
 *
 *   content ─► sendmsg ─► kernel ─► records          the tail of such a conn is plaintext
 *   alerts, KeyUpdate ─► sendmsg with their type ─┘  a new key: Linux 6.14 and later */
#ifndef SLUICE_TLS_OFFLOAD_H
#define SLUICE_TLS_OFFLOAD_H

#include <sys/uio.h>

#include "base/bytes.h"

struct worker;
struct conn;
struct tls_asleep;

/* Has the kernel got it? The keeper asks, for all: it may make sockets, and load the module. */
bool tls_offload_there(void);

/* Before content is sent by c, which is asleep: does the kernel seal it? It takes over here, if that is
 * wanted and nothing of ours is on its way any more. */
bool tls_offloaded(struct worker *w, struct conn *c);
/* `bytes` of content are about to be given to the socket of an offloaded conn: exchanges the key where
 * that is due. False: it cannot be, and the conn must end. */
bool tls_offload_content(struct worker *w, struct conn *c, struct tls_asleep *a, size_t bytes);
/* One record of an offloaded conn that is no content; best effort. */
bool tls_offload_say(const struct conn *c, uint8_t type, struct bytes content);

#endif
