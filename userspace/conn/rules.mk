userspace-src += $(wildcard userspace/conn/*.c)
