userspace-src += $(wildcard userspace/hub/*.c)
