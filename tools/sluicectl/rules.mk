sluicectl-src += $(wildcard tools/sluicectl/*.c)
