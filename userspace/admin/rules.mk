userspace-src += $(wildcard userspace/admin/*.c)
