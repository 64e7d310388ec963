# SPDX-License-Identifier: BSD-2-Clause
# ws/: from an upgrade request to frames and back. No sockets here.
userspace-src += \
	userspace/ws/upgrade.c \
	userspace/ws/frame.c \
	userspace/ws/mask.c \
	userspace/ws/utf8.c \
	userspace/ws/close_code.c
