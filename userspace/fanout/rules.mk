userspace-src += $(wildcard userspace/fanout/*.c)
