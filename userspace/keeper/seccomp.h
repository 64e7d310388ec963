/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp.h - the system calls that a worker may still make.
 *
 * A worker reads what strangers send. Whoever should ever take one over finds a process that can
 * use the descriptors it has and the memory it has, and nothing else: no file, no new
 * socket, no program, no executable page, no signal to anybody. */
#ifndef SLUICE_KEEPER_SECCOMP_H
#define SLUICE_KEEPER_SECCOMP_H

/* Installs the filter for the calling process; needs no_new_privs. Final. 0 or -errno. A call
 * outside the list ends the process with SIGSYS; the kernel logs its number. */
int seccomp_confine(void);

/* A sanitizer's build needs far more: true if this one does. */
_Bool seccomp_is_wide(void);

#endif
