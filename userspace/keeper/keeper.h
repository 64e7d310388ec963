/* SPDX-License-Identifier: BSD-2-Clause */
/* keeper.h - the privileged parent: opens everything, forks, supervises. README.md has the
 * order of things and the table of capabilities. */
#ifndef SLUICE_KEEPER_KEEPER_H
#define SLUICE_KEEPER_KEEPER_H

#include <stdbool.h>

#include "config/config.h"

/* What a table of options cannot know: are there the user and the group, can so many workers talk
 * to each other? False after a line that says what is wrong. Changes nothing. */
bool keeper_check(const struct config *cfg);

struct keeper_how {
	bool replace; /* take over from the sluiced that runs on this runtime_dir, if any does */
	int ready_fd; /* is written a byte, and closed, when all is ready; -1: none */
};

/* Runs the daemon in the foreground until it is told to stop, or replaced. Returns sluiced's exit code: 0 after an
 * orderly end, 1 if it could not start or had to give up; the reason has been logged. `cfg`
 * stays the caller's. */
int keeper_run(const struct config *cfg, const struct keeper_how *how);

#endif
