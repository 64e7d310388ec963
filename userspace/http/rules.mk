# SPDX-License-Identifier: BSD-2-Clause
# http/: request heads and bodies in, answers out. serve.c alone knows connections.
userspace-src += \
	userspace/http/chars.c \
	userspace/http/field.c \
	userspace/http/head.c \
	userspace/http/body.c \
	userspace/http/query.c \
	userspace/http/answer.c \
	userspace/http/origin.c \
	userspace/http/serve.c
