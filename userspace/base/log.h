/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - one line per event on standard error (journald and container
 * runtimes take it from there).
 *
 * A line names the thing and the reason: log_warn("worker %u: ...", id). The
 * process sets its own name once with log_init(). A burst of one call site is
 * folded: after LOG_BURST lines a second from the same place, further lines are
 * counted and one line with the count follows. Not async-signal-safe. Any
 * thread of one process may call; lines are written whole by one write(2). */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define LOG_BURST 10

/* State of one call site; LOG_AT makes it. Touched by log.c only. */
struct log_site {
	uint64_t _second;
	uint32_t _lines;
	uint32_t _folded;
};

/* `who` is copied ("keeper", "worker 3"); lines below `level` are dropped;
 * `json` writes one JSON object per line instead of text. */
void log_init(const char *who, enum log_level level, bool json);
void log_write(struct log_site *site, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whoever forwards what is said here to a person hears each line that is written, without its time:
 * escaped by him, in whose words it goes on. NULL: nobody any more. */
void log_also(void (*hear)(void *arg, enum log_level level, const char *text), void *arg);

#define LOG_AT(level, ...)                                                                         \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		log_write(&log_site_, level, __VA_ARGS__);                                         \
	} while (0)
#define log_debug(...) LOG_AT(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_ERROR, __VA_ARGS__)

#endif
