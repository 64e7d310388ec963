userspace-src += $(wildcard userspace/listener/*.c)
