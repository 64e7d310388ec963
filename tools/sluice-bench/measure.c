/* SPDX-License-Identifier: BSD-2-Clause */
/* measure.c - what the target costs: CPU and memory of its process trees, kernel slab. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/sluice-bench/bench.h"

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double now_s(void)
{
	return (double)now_ns() / 1e9;
}

/* ── processes ── */

static pid_t parent_of(pid_t pid, double *cpu_s)
{
	char path[64], buf[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return -1;
	size_t n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	char *p = strrchr(buf, ')'); /* the name may hold anything */
	int ppid;
	unsigned long ut, st;
	if (p == NULL || sscanf(p + 2, "%*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ppid,
				&ut, &st) != 3)
		return -1;
	*cpu_s = (double)(ut + st) / (double)sysconf(_SC_CLK_TCK);
	return ppid;
}

static uint64_t field_kb(const char *text, const char *name)
{
	const char *p = strstr(text, name);
	return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

static void memory_of(pid_t pid, struct usage *u)
{
	char path[64], buf[4096];
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return;
	size_t n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	u->pss += field_kb(buf, "\nPss:");
	u->uss += field_kb(buf, "\nPrivate_Clean:") + field_kb(buf, "\nPrivate_Dirty:");
}

static bool in_tree(const struct options *o, pid_t pid)
{
	double ignored;
	for (int depth = 0; pid > 1 && depth < 16; depth++) {
		for (int i = 0; i < o->n_pids; i++)
			if (o->pids[i] == pid)
				return true;
		pid = parent_of(pid, &ignored);
	}
	return false;
}

static void meminfo(char buf[8192])
{
	FILE *f = fopen("/proc/meminfo", "r");
	size_t n = f ? fread(buf, 1, 8191, f) : 0;
	if (f)
		fclose(f);
	buf[n] = 0;
}

static uint64_t slab_bytes(void)
{
	char buf[8192];
	meminfo(buf);
	return field_kb(buf, "\nSlab:");
}

/* Not MemAvailable: that takes the inodes and names of open sockets for memory that could be had back. */
uint64_t memory_left(void)
{
	char buf[8192];
	meminfo(buf);
	return field_kb(buf, "\nMemFree:") + field_kb(buf, "\nActive(file):") +
	       field_kb(buf, "\nInactive(file):");
}

static uint64_t thread_ns(pid_t pid, const char *thread)
{
	char path[64];
	unsigned long long ns = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, thread);
	FILE *f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

/* CPU times in clock ticks are coarse; schedstat counts nanoseconds where it exists, each thread's by itself. (Those
 * of a process are its first thread's alone: Node and many a broker would look cheaper than they are.) Threads
 * that have ended are in the coarse ones only; neither says too much, so the larger one is the truth. */
static double cpu_exact(pid_t pid, double coarse)
{
	char path[64];
	double exact = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *d = opendir(path);
	struct dirent *e;
	while (d && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			exact += (double)thread_ns(pid, e->d_name) / 1e9;
	if (d)
		closedir(d);
	return MAX(coarse, exact);
}

void measure(const struct options *o, struct usage *u)
{
	memset(u, 0, sizeof(*u));
	u->kernel_slab = slab_bytes();
	DIR *d = o->n_pids ? opendir("/proc") : NULL;
	struct dirent *e;
	while (d && (e = readdir(d)) != NULL) {
		pid_t pid = atoi(e->d_name);
		double cpu = 0;
		if (pid <= 0 || !in_tree(o, pid) || parent_of(pid, &cpu) < 0)
			continue;
		u->cpu_s += cpu_exact(pid, cpu);
		u->processes++;
		memory_of(pid, u);
	}
	if (d)
		closedir(d);
}

uint64_t measure_self(void)
{
	struct options us = {.n_pids = 1, .pids = {getpid()}};
	struct usage u;
	measure(&us, &u);
	return u.pss;
}

/* ── latencies ── */

static unsigned bucket(uint64_t ns)
{
	if (ns < 32)
		return (unsigned)ns;
	unsigned top = 63u - (unsigned)__builtin_clzll(ns);
	unsigned i = (top - 4) * 32 + (unsigned)(ns >> (top - 5) & 31);
	return i < HIST_BUCKETS ? i : HIST_BUCKETS - 1;
}

static uint64_t bucket_ns(unsigned i)
{
	if (i < 32)
		return i;
	unsigned top = i / 32 + 4;
	return (uint64_t)(32 + i % 32) << (top - 5);
}

void hist_add(struct crowd_stats *s, uint64_t ns)
{
	unsigned i = bucket(ns);
	atomic_store_explicit(&s->hist[i],
			      atomic_load_explicit(&s->hist[i], memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

void hist_clear(struct crowd_stats *s)
{
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		s->hist[i] = 0;
}

uint64_t hist_quantile(const struct crowd_stats *s, uint32_t n, double share)
{
	uint64_t all = 0, seen = 0;
	for (uint32_t p = 0; p < n; p++)
		for (unsigned i = 0; i < HIST_BUCKETS; i++)
			all += s[p].hist[i];
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		for (uint32_t p = 0; p < n; p++)
			seen += s[p].hist[i];
		if (all && (double)seen >= share * (double)all)
			return bucket_ns(i);
	}
	return 0;
}

uint64_t hist_max(const struct crowd_stats *s, uint32_t n)
{
	for (unsigned i = HIST_BUCKETS; i-- > 0;)
		for (uint32_t p = 0; p < n; p++)
			if (s[p].hist[i])
				return bucket_ns(i);
	return 0;
}

/* ── progress ── */

void progress(const struct options *o, const char *what, uint64_t done, uint64_t all)
{
	static double last;
	if (o->quiet || !isatty(STDERR_FILENO) || (now_s() - last < 0.1 && done < all))
		return;
	last = now_s();
	char bar[31] = "";
	unsigned filled = all ? (unsigned)(30 * (done < all ? done : all) / all) : 0;
	memset(bar, '#', filled);
	memset(bar + filled, '.', 30 - filled);
	fprintf(stderr, "\r%-12s [%s] %llu/%llu ", what, bar, (unsigned long long)done,
		(unsigned long long)all);
}

void progress_end(const struct options *o)
{
	if (!o->quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%80s\r", "");
}

void hold(const struct options *o, const char *what, double seconds)
{
	double began = now_s();
	while (now_s() - began < seconds) {
		progress(o, what, (uint64_t)(now_s() - began), (uint64_t)seconds);
		usleep(100000);
	}
	progress_end(o);
}
