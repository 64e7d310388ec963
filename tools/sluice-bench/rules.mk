# SPDX-License-Identifier: BSD-2-Clause
bench-src += $(wildcard tools/sluice-bench/*.c)
