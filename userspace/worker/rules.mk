# SPDX-License-Identifier: BSD-2-Clause
userspace-src += $(wildcard userspace/worker/*.c)
