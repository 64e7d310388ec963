/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c - a line is made in one buffer on the stack and leaves by one write(2),
 * so that lines of several processes on one standard error never mix.
 *
 *   text   2026-01-31T12:00:00.123Z warn worker 3: conn 17: ...
 *   json   {"time":"2026-...","level":"warn","who":"worker 3","message":"..."}
 *
 * A line that is too long is cut and ends in "...". Control characters and (in
 * JSON) bytes that are not UTF-8 are escaped: what a peer sent may stand in a
 * line, and must neither forge another line nor break its reader.
 *
 * Folding is per call site and second. The first line of a new second first says
 * how many the last one swallowed. A burst that nothing follows keeps its count
 * until the next line of that site: no timer is worth the last count of a flood. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096

static struct {
	pthread_mutex_t lock;
	char who[64];
	enum log_level level;
	bool json;
	void (*hear)(void *arg, enum log_level level, const char *text);
	void *arg;
} log_ = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* A line under construction. The last bytes stay free for what closes it. */
struct line {
	size_t n;
	char text[LINE_BYTES];
};
#define LINE_TAIL 8

static void line_put(struct line *l, const char *s, size_t n)
{
	if (n > LINE_BYTES - LINE_TAIL - l->n)
		n = LINE_BYTES - LINE_TAIL - l->n;
	memcpy(l->text + l->n, s, n);
	l->n += n;
}

static void line_puts(struct line *l, const char *s)
{
	line_put(l, s, strlen(s));
}

/* The bytes of the well-formed UTF-8 character at s, or 0. NUL ends s, and no
 * continuation byte is NUL, so nothing behind the end is read. */
static unsigned utf8_len(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	unsigned n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Whole characters or escapes only, so that a cut never leaves half of one. */
static void line_put_safe(struct line *l, const char *text, bool json)
{
	const unsigned char *s = (const unsigned char *)text;
	while (*s) {
		char esc[8];
		unsigned n = utf8_len(s);
		if (json && (*s == '"' || *s == '\\'))
			snprintf(esc, sizeof(esc), "\\%c", *s);
		else if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0) /* U+0080 to U+009F */
			snprintf(esc, sizeof(esc), json ? "\\u%04x" : "\\x%02x", s[1]);
		else if (n == 0 || *s < 0x20 || *s == 0x7f)
			snprintf(esc, sizeof(esc), json ? "\\u%04x" : "\\x%02x", *s);
		else
			esc[0] = '\0';
		size_t need = esc[0] ? strlen(esc) : n;
		if (need > LINE_BYTES - LINE_TAIL - l->n)
			return;
		line_put(l, esc[0] ? esc : (const char *)s, need);
		s += n ? n : 1;
	}
}

static void line_put_time(struct line *l, const struct timespec *now)
{
	struct tm tm;
	char text[40];
	gmtime_r(&now->tv_sec, &tm);
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ", now->tv_nsec / 1000000);
	line_puts(l, text);
}

static void line_write(const struct line *l)
{
	size_t done = 0;
	while (done < l->n) {
		ssize_t n = write(STDERR_FILENO, l->text + done, l->n - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody to complain to */
		done += (size_t)n;
	}
}

static void emit(enum log_level level, const struct timespec *now, const char *message, bool cut)
{
	struct line l;
	l.n = 0;
	if (log_.json) {
		line_puts(&l, "{\"time\":\"");
		line_put_time(&l, now);
		line_puts(&l, "\",\"level\":\"");
		line_puts(&l, level_names[level]);
		line_puts(&l, "\",\"who\":\"");
		line_put_safe(&l, log_.who, true);
		line_puts(&l, "\",\"message\":\"");
	} else {
		line_put_time(&l, now);
		line_puts(&l, " ");
		line_puts(&l, level_names[level]);
		line_puts(&l, " ");
		line_put_safe(&l, log_.who, false);
		line_puts(&l, log_.who[0] ? ": " : "");
	}
	line_put_safe(&l, message, log_.json);
	/* the tail that line_put() has kept free */
	const char *end = log_.json ? "\"}\n" : "\n";
	if (cut || l.n > LINE_BYTES - LINE_TAIL - 6) {
		memcpy(l.text + l.n, "...", 3);
		l.n += 3;
	}
	memcpy(l.text + l.n, end, strlen(end));
	l.n += strlen(end);
	assert(l.n <= LINE_BYTES);
	line_write(&l);
}

/* True if this line of the site is to be written; *folded is then the number of
 * lines that were not, since the last one that was. */
static bool site_admits(struct log_site *site, uint64_t second, uint32_t *folded)
{
	*folded = 0;
	if (site->_second != second) {
		*folded = site->_folded;
		site->_second = second;
		site->_lines = 0;
		site->_folded = 0;
	}
	if (site->_lines == LOG_BURST) {
		if (site->_folded < UINT32_MAX)
			site->_folded++;
		return false;
	}
	site->_lines++;
	return true;
}

void log_init(const char *who, enum log_level level, bool json)
{
	assert(level >= LOG_DEBUG && level <= LOG_ERROR);
	pthread_mutex_lock(&log_.lock);
	snprintf(log_.who, sizeof(log_.who), "%s", who);
	log_.level = level;
	log_.json = json;
	pthread_mutex_unlock(&log_.lock);
}

void log_also(void (*hear)(void *arg, enum log_level level, const char *text), void *arg)
{
	pthread_mutex_lock(&log_.lock);
	log_.hear = hear;
	log_.arg = arg;
	pthread_mutex_unlock(&log_.lock);
}

void log_write(struct log_site *site, enum log_level level, const char *fmt, ...)
{
	assert(level >= LOG_DEBUG && level <= LOG_ERROR);
	int saved = errno; /* a log line must not change what the caller looks at next */
	struct timespec now;
	uint32_t folded;

	pthread_mutex_lock(&log_.lock);
	clock_gettime(CLOCK_REALTIME, &now);
	if (level >= log_.level && site_admits(site, (uint64_t)now.tv_sec, &folded)) {
		char message[LINE_BYTES];
		va_list args;
		errno = saved; /* for %m */
		va_start(args, fmt);
		int n = vsnprintf(message, sizeof(message), fmt, args);
		va_end(args);
		if (folded) {
			char count[96];
			snprintf(count, sizeof(count),
				 "%u more lines like the next one were folded", folded);
			emit(level, &now, count, false);
		}
		emit(level, &now, message, n >= (int)sizeof(message));
		if (log_.hear)
			log_.hear(log_.arg, level, message);
	}
	pthread_mutex_unlock(&log_.lock);
	errno = saved;
}
