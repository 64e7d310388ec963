/* SPDX-License-Identifier: BSD-2-Clause */
/* names.c - a conn's state, flags and end in words, for logs and the CLI. */
#include "conn/conn.h"

const char *conn_state_str(enum conn_state s)
{
	static const char *const word[CONN_STATES] = {
		[CONN_FREE] = "free", [CONN_HANDSHAKE] = "handshake", [CONN_HTTP] = "http",
		[CONN_OPEN] = "open", [CONN_CLOSING] = "closing",     [CONN_LINGER] = "linger",
		[CONN_HELD] = "held",
	};
	assert((unsigned)s < CONN_STATES);
	return word[s];
}

/* in the order of enum conn_flag */
static const struct {
	uint16_t bit;
	const char *word;
} flag_words[] = {
	{CONN_F_TLS, "tls"},
	{CONN_F_SSL, "ssl"},
	{CONN_F_TAIL_WAIT, "tail-wait"},
	{CONN_F_READ_STOP, "read-stop"},
	{CONN_F_PINGED, "pinged"},
	{CONN_F_CLOSE_SENT, "close-sent"},
	{CONN_F_CLOSE_SEEN, "close-seen"},
	{CONN_F_EOF, "eof"},
	{CONN_F_TOUCHED, "touched"},
	{CONN_F_END_FLUSH, "end-flush"},
	{CONN_F_SHUT, "shut"},
	{CONN_F_HEAD, "head"},
	{CONN_F_BODY, "body"},
	{CONN_F_PARTIAL, "partial"},
	{CONN_F_KTLS, "ktls"},
	{CONN_F_DEFLATE, "deflate"},
};

const char *conn_flags_str(uint16_t flags, char *buf, size_t cap)
{
	size_t n = 0;
	assert(cap > 0);
	buf[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++) {
		const char *word = flag_words[i].word;
		size_t len = strlen(word);
		if (!(flags & flag_words[i].bit))
			continue;
		if (n + (n > 0) + len + 1 > cap)
			break;
		if (n > 0)
			buf[n++] = ',';
		memcpy(buf + n, word, len + 1);
		n += len;
	}
	return buf;
}

static const struct close_reason_info reasons[CLOSE_REASONS] = {
#define CLOSE(name, word, code, points, text) [CLOSE_##name] = {word, code, points, text},
#include "conn/close_reason.def"
#undef CLOSE
};

const struct close_reason_info *close_reason_info(enum close_reason r)
{
	assert((unsigned)r < CLOSE_REASONS);
	return &reasons[r];
}
