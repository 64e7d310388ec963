/* SPDX-License-Identifier: BSD-2-Clause */
/* list_caller.c - from what address does whoever types this come? sshd tells its children
 * (SSH_CONNECTION), but sudo takes that away: then our ancestors' own memory of it is asked. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/sluicectl/list.h"

#define ANCESTORS_MAX 32

/* "198.51.100.7 50022 192.0.2.1 22" */
static bool take(const char *text, struct list_caller *c)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char addr[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, " %");
	memset(c, 0, sizeof(*c));
	if (n == 0 || n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = 0;
	if (inet_pton(AF_INET, addr, c->addr) == 1)
		c->family = 4;
	else if (inet_pton(AF_INET6, addr, c->addr) == 1)
		c->family = 6;
	if (c->family == 6 && memcmp(c->addr, mapped, sizeof(mapped)) == 0) {
		memmove(c->addr, c->addr + 12, 4);
		memset(c->addr + 4, 0, 12);
		c->family = 4;
	}
	return c->family != 0;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512];
	long parent = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	const char *end = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (end && strlen(end) > 4) /* ") S 123 …" */
		parent = strtol(end + 4, NULL, 10);
	if (f)
		fclose(f);
	return parent > 0 ? (pid_t)parent : 0;
}

/* Only of processes that we may look into: as root of all, else of our own. */
static bool take_from(pid_t pid, struct list_caller *c)
{
	static const char name[] = "SSH_CONNECTION=";
	char path[64], *word = NULL;
	size_t cap = 0;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && !found && getdelim(&word, &cap, 0, f) > 0)
		found = strncmp(word, name, sizeof(name) - 1) == 0 &&
			take(word + sizeof(name) - 1, c);
	free(word);
	if (f)
		fclose(f);
	return found;
}

struct list_caller list_caller(void)
{
	struct list_caller c = {0};
	const char *own = getenv("SSH_CONNECTION");
	pid_t pid = getppid();
	if (own && take(own, &c))
		return c;
	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++, pid = parent_of(pid))
		if (take_from(pid, &c))
			return c;
	return (struct list_caller){0};
}

bool list_caller_in(const struct list_caller *c, unsigned family, const uint8_t addr[16],
		    unsigned len)
{
	if (c->family != family)
		return false;
	for (unsigned i = 0; i < len; i++)
		if ((addr[i / 8] ^ c->addr[i / 8]) & (0x80u >> i % 8))
			return false;
	return true;
}

const char *list_caller_str(const struct list_caller *c)
{
	static char text[INET6_ADDRSTRLEN + 32];
	char addr[INET6_ADDRSTRLEN];
	inet_ntop(c->family == 4 ? AF_INET : AF_INET6, c->addr, addr, sizeof(addr));
	snprintf(text, sizeof(text), "%s, where you have come from", addr);
	return text;
}
