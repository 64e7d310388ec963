userspace-src += $(wildcard userspace/base/*.c)
