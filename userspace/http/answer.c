/* SPDX-License-Identifier: BSD-2-Clause */
/* answer.c - answers of our own. One append function knows the end of the
 * buffer; whatever does not fit voids the answer, and the end says so once. */
#include <assert.h>
#include <stdio.h>

#include "http/answer.h"
#include "http/chars.h"

static const struct {
	unsigned status;
	const char *phrase;
} phrases[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
};

const char *http_status_phrase(unsigned status)
{
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Unknown";
}

/* ---- the date ------------------------------------------------------------------------------ */

static char *two_digits(char *p, uint32_t v)
{
	p[0] = (char)('0' + v / 10);
	p[1] = (char)('0' + v % 10);
	return p + 2;
}

/* By arithmetic, because gmtime() wants locks and strftime() a locale. Days are
 * counted from 1 March of year 0, so that the leap day is the last of its year. */
void http_date(char out[HTTP_DATE_BYTES], uint64_t wall_ms)
{
	static const char week[] = "ThuFriSatSunMonTueWed"; /* 1 January 1970 was a Thursday */
	static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
	uint64_t s = MIN(wall_ms / 1000, 253402300799u); /* the end of 9999 */
	uint32_t days = (uint32_t)(s / 86400), of_day = (uint32_t)(s % 86400);

	uint32_t d = days + 719468; /* since 0000-03-01 */
	uint32_t era = d / 146097, doe = d % 146097;
	uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint32_t month = (5 * doy + 2) / 153; /* 0 is March */
	uint32_t day = doy - (153 * month + 2) / 5 + 1;
	uint32_t year = era * 400 + yoe + (month >= 10);

	char *p = out;
	memcpy(p, week + 3 * (days % 7), 3);
	memcpy(p + 3, ", ", 2);
	p = two_digits(p + 5, day);
	*p++ = ' ';
	memcpy(p, months + 3 * month, 3);
	p[3] = ' ';
	p = two_digits(p + 4, year / 100);
	p = two_digits(p, year % 100);
	*p++ = ' ';
	p = two_digits(p, of_day / 3600);
	*p++ = ':';
	p = two_digits(p, of_day / 60 % 60);
	*p++ = ':';
	p = two_digits(p, of_day % 60);
	memcpy(p, " GMT", 4);
	assert(p + 4 == out + HTTP_DATE_BYTES);
}

/* ---- the builder --------------------------------------------------------------------------- */

static void append(struct http_answer *a, struct bytes b)
{
	if (a->_void || a->_cap - a->_n < b.n) {
		a->_void = true;
		return;
	}
	if (b.n)
		memcpy(a->_p + a->_n, b.p, b.n);
	a->_n += b.n;
}

static void append_str(struct http_answer *a, const char *s)
{
	append(a, bytes_str(s));
}

/* Is there a body, or could there be one? RFC 9110 6.4.1 */
static bool bodiless(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

void http_answer_start(struct http_answer *a, void *buf, size_t cap, unsigned status,
		       uint64_t wall_ms, unsigned flags)
{
	char line[64], date[HTTP_DATE_BYTES];

	assert(status >= 100 && status <= 599);
	*a = (struct http_answer){
		._p = buf, ._cap = cap, ._status = (uint16_t)status, ._flags = (uint8_t)flags};
	snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", status, http_status_phrase(status));
	append_str(a, line);
	if (status == 100)
		return;
	http_date(date, wall_ms);
	http_answer_field(a, "Date", BYTES(date, sizeof(date)));
	if (status == 101)
		return;
	if (!(flags & HTTP_A_KEEP_ALIVE))
		append_str(a, "Connection: close\r\n");
	else if (flags & HTTP_A_OLD)
		append_str(a, "Connection: keep-alive\r\n");
	append_str(a, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
	if (!(flags & HTTP_A_PAGE))
		append_str(a, "Content-Security-Policy: default-src 'none'; "
			      "frame-ancestors 'none'\r\n");
}

void http_answer_field(struct http_answer *a, const char *name, struct bytes value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!char_is(value.p[i], CHAR_VALUE))
			a->_void = true;
	append_str(a, name);
	append_str(a, ": ");
	append(a, value);
	append_str(a, "\r\n");
}

void http_answer_number(struct http_answer *a, const char *name, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	http_answer_field(a, name, bytes_str(text));
}

size_t http_answer_end_head(struct http_answer *a)
{
	append_str(a, "\r\n");
	return a->_void ? 0 : a->_n;
}

size_t http_answer_end(struct http_answer *a, struct bytes body)
{
	if (bodiless(a->_status))
		return http_answer_end_head(a);
	http_answer_number(a, "Content-Length", body.n);
	append_str(a, "\r\n");
	if (!(a->_flags & HTTP_A_NO_BODY))
		append(a, body);
	return a->_void ? 0 : a->_n;
}

/* ---- errors -------------------------------------------------------------------------------- */

/* At most six bytes: \u00XX */
static size_t escape(char out[6], uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c >= ' ' && c != 0x7f) {
		out[0] = (char)c;
		return 1;
	}
	memcpy(out, "\\u00", 4);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

size_t http_error_json(char *out, size_t cap, const char *message)
{
	static const char head[] = "{\"error\":\"", tail[] = "\"}";
	size_t n = sizeof(head) - 1;
	char e[6];

	if (cap < n)
		return 0;
	memcpy(out, head, n);
	for (; *message; message++) {
		size_t k = escape(e, (uint8_t)*message);
		if (cap - n < k)
			return 0;
		memcpy(out + n, e, k);
		n += k;
	}
	if (cap - n < sizeof(tail) - 1)
		return 0;
	memcpy(out + n, tail, sizeof(tail) - 1);
	return n + sizeof(tail) - 1;
}

size_t http_answer_error(void *buf, size_t cap, unsigned status, const char *message,
			 uint64_t wall_ms, unsigned flags)
{
	struct http_answer a;
	char body[512];
	size_t n =
		http_error_json(body, sizeof(body), message ? message : http_status_phrase(status));

	if (n == 0)
		return 0;
	http_answer_start(&a, buf, cap, status, wall_ms, flags);
	http_answer_field(&a, "Content-Type", BYTES_LIT("application/json"));
	http_answer_field(&a, "Cache-Control", BYTES_LIT("no-store"));
	return http_answer_end(&a, BYTES(body, n));
}
