userspace-src += $(wildcard userspace/worker/*.c)
