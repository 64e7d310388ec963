# SPDX-License-Identifier: BSD-2-Clause
# ws/: from an upgrade request to frames and back. serve.c alone knows connections.
userspace-src += \
	userspace/ws/upgrade.c \
	userspace/ws/frame.c \
	userspace/ws/mask.c \
	userspace/ws/utf8.c \
	userspace/ws/deflate.c \
	userspace/ws/close_code.c \
	userspace/ws/serve.c
