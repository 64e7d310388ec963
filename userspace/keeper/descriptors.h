/* SPDX-License-Identifier: BSD-2-Clause */
/* descriptors.h - a child keeps the descriptors that are its own, and no other. */
#ifndef SLUICE_KEEPER_DESCRIPTORS_H
#define SLUICE_KEEPER_DESCRIPTORS_H

#include <stddef.h>

/* Closes everything but the n descriptors of `keep`, in any order; negative ones are skipped.
 * Sorts `keep`. 0 or -errno. */
int descriptors_close_except(int *keep, size_t n);

#endif
