# SPDX-License-Identifier: BSD-2-Clause
# keeper/: the privileged parent. main.c is sluiced's main and stays out of the archive.
userspace-src += $(wildcard userspace/keeper/*.c)
