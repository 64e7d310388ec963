/* SPDX-License-Identifier: BSD-2-Clause */
/* version.h - which Sluice this is; the daemon, the CLI and the load tool say the same. */
#ifndef SLUICE_BASE_VERSION_H
#define SLUICE_BASE_VERSION_H

#define SLUICE_VERSION "0.1.0"

#endif
