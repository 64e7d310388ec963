/* SPDX-License-Identifier: BSD-2-Clause */
/* child.h - a test of what a process may do forks one and looks at how it ended. */
#ifndef SLUICE_TEST_CHILD_H
#define SLUICE_TEST_CHILD_H

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child; its wait status. The child ends with fn's answer as its exit code. */
static inline int in_child(int (*fn)(void *), void *ctx)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(ctx));
	int status = -1;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	return status;
}

/* In a child: what is not so ends it, and the exit code is the line. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);         \
			_exit(99);                                                                 \
		}                                                                                  \
	} while (0)

#endif
