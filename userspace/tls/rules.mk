userspace-src += $(wildcard userspace/tls/*.c)
