# SPDX-License-Identifier: BSD-2-Clause
userspace-src += userspace/shield/open.c userspace/shield/pin.c userspace/shield/attach.c userspace/shield/coexist.c
userspace-src += userspace/shield/policy.c userspace/shield/deny.c userspace/shield/group.c
userspace-src += userspace/shield/list_table.c userspace/shield/list.c userspace/shield/list_file.c userspace/shield/list_mmdb.c
userspace-src += userspace/shield/steer.c userspace/shield/stats.c userspace/shield/explain.c userspace/shield/pcap.c
userspace-src += userspace/shield/cookie.c userspace/shield/rehearse.c
userspace-src += userspace/shield/rate.c userspace/shield/event.c
userspace-src += userspace/shield/serve.c
userspace-src += userspace/shield/flows.c
