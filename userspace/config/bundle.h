/* SPDX-License-Identifier: BSD-2-Clause */
/* bundle.h - a configuration and all that it includes as one text, to be judged by somebody who may
 * open no files.
 *
 *    sluicectl, or the keeper ─► config_bundle() ─► text ─► config_load_bundle() in a process
 *                                                           that can do nothing else
 *
 * The text is the files' own, each @include replaced by what it names. Before each piece stands a
 * line that says which line of which file comes next, so that mistakes are told by the places
 * that the operator knows. */
#ifndef SLUICE_CONFIG_BUNDLE_H
#define SLUICE_CONFIG_BUNDLE_H

#include "config/config.h"

/* Reads `path` with its includes. The text is the caller's to free(); NULL with the mistakes in
 * `errs` (a file that cannot be read, includes that never end, more than `max` bytes). */
char *config_bundle(const char *path, size_t max, struct config_errors *errs);

/* What config_load() does, but that no file is opened: certificates, pages and accounts are taken
 * as they are named. The config's file is "". */
struct config *config_load_bundle(const char *text, struct config_errors *errs);

#endif
