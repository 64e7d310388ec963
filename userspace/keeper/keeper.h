/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper.h - the privileged parent: opens everything, forks, supervises. README.md has the
 * order of things and the table of capabilities. */
#ifndef SLUICE_KEEPER_KEEPER_H
#define SLUICE_KEEPER_KEEPER_H

#include "config/config.h"

/* Runs the daemon in the foreground until it is told to stop. Returns sluiced's exit code: 0 after an
 * orderly end, 1 if it could not start or had to give up; the reason has been logged. `cfg`
 * stays the caller's. */
int keeper_run(const struct config *cfg);

#endif
