userspace-src += $(wildcard userspace/engine/*.c)
