# SPDX-License-Identifier: BSD-2-Clause
sluicectl-src += $(wildcard tools/sluicectl/*.c)
