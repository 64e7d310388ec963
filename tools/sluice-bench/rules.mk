bench-src += $(wildcard tools/sluice-bench/*.c)
