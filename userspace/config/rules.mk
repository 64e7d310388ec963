# SPDX-License-Identifier: BSD-2-Clause
userspace-src += userspace/config/options.c userspace/config/load.c userspace/config/group.c \
                 userspace/config/complain.c userspace/config/value.c userspace/config/check.c \
                 userspace/config/finish.c userspace/config/bundle.c userspace/config/namespace.c userspace/config/show.c userspace/config/manual.c
