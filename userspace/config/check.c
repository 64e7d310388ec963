/* SPDX-License-Identifier: BSD-2-Clause */
/* check.c - what one string must look like, named by the table of options.
 *
 * NULL if it is fine, else what is allowed, as the end of the sentence "allowed is …". */
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/name.h"
#include "base/utf8.h"
#include "config/options.h"

#define TCHAR "!#$%&'*+-.^_`|~" /* RFC 9110 section 5.6.2, beside letters and digits */
#define PCHAR "-._~!$&'()*+,;=:@/"

const char *check_text(const char *s)
{
	const uint8_t *p = (const uint8_t *)s, *end = p + strlen(s);
	uint32_t n;

	for (; p < end; p += n) {
		n = utf8_len(p, end);
		if (n == 0)
			return "text in UTF-8";
		if (*p < ' ' || *p == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
			return "text without control characters";
	}
	return strlen(s) > 1000 ? "at most 1000 bytes of text" : NULL;
}

/* All of s from letters, digits and `more`, 1..max bytes. */
static bool made_of(const char *s, const char *more, size_t max)
{
	size_t n = strlen(s);

	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(more, *p))
			return false;
	return n >= 1 && n <= max;
}

const char *check_name(const char *s)
{
	return made_of(s, "-._:[]", 64) ? NULL : "a name of 1 to 64 letters, digits and - . _ :";
}

const char *check_account(const char *s)
{
	return !*s || made_of(s, "-._", 32) ? NULL : "a name of the system's accounts, or \"\"";
}

const char *check_path(const char *s)
{
	return s[0] == '/' && made_of(s, PCHAR, 255) ?
		       NULL :
		       "a path like \"/ws\": up to 255 bytes from the / on, no query, no escapes";
}

const char *check_address(const char *s)
{
	struct sockaddr_storage addr;
	socklen_t len;

	return value_address(s, 0, &addr, &len) ?
		       NULL :
		       "an address in numbers: \"0.0.0.0\" or \"::\" for all, \"127.0.0.1\", \"::1\" …";
}

/* Labels of letters, digits and inner hyphens; 1..253 bytes. */
static bool host_name(const char *s)
{
	size_t n = strlen(s), label = 0;

	for (const char *p = s; *p; p++) {
		bool edge = label == 0 || p[1] == '.' || p[1] == '\0';
		if (*p == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if (!isalnum((unsigned char)*p) && (*p != '-' || edge) && *p != '_') {
			return false;
		} else if (++label > 63) {
			return false;
		}
	}
	return n >= 1 && n <= 253 && label > 0;
}

static bool has_upper(const char *s)
{
	for (; *s; s++)
		if (isupper((unsigned char)*s))
			return true;
	return false;
}

const char *check_server_name(const char *s)
{
	return host_name(strncmp(s, "*.", 2) == 0 ? s + 2 : s) && !has_upper(s) ?
		       NULL :
		       "a host name in lower case, or \"*.\" and one";
}

/* host[:port] or [v6][:port], the host perhaps beginning with "*." */
static bool origin_host(const char *s)
{
	char host[256];
	size_t n = s[0] == '[' ? strcspn(s, "]") + 1 : strcspn(s, ":");
	const char *rest = s + MIN(n, strlen(s));

	if (n >= sizeof(host) || n > strlen(s))
		return false;
	memcpy(host, s, n);
	host[n] = '\0';
	if (*rest) {
		char *end;
		unsigned long port = strtoul(rest + 1, &end, 10);
		if (*rest != ':' || !isdigit((unsigned char)rest[1]) || *end || !port ||
		    port > 65535)
			return false;
	}
	if (host[0] == '[') {
		host[n - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, &(struct in6_addr){0}) == 1;
	}
	return host_name(strncmp(host, "*.", 2) == 0 ? host + 2 : host);
}

const char *check_origin(const char *s)
{
	const char *host = strstr(s, "://");

	if (strcmp(s, "*") == 0 || strcmp(s, "same-host") == 0 || strcmp(s, "null") == 0)
		return NULL;
	if (host && host > s && islower((unsigned char)*s) && !has_upper(s) &&
	    origin_host(host + 3)) {
		const char *p = s;
		while (islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
		       strchr("+-.", *p))
			p++;
		if (p == host)
			return NULL;
	}
	return "\"*\", \"same-host\", \"null\", or an origin in lower case without a path, like "
	       "\"https://app.example.com\" or \"https://*.example.com:8443\"";
}

const char *check_token(const char *s)
{
	return made_of(s, TCHAR, 64) ? NULL : "a token of RFC 9110, at most 64 bytes";
}

const char *check_channel(const char *s)
{
	/* As the protocol judges it; and no client may enter a channel of `user:`. */
	if (!name_valid(bytes_str(s), CONFIG_MAX_CHANNEL_NAME))
		return "a channel name of 1 to 100 bytes, UTF-8 without control characters";
	return strncmp(s, "user:", 5) != 0 ? NULL :
					     "a channel outside user:, which belongs to users";
}

const char *check_namespace(const char *s)
{
	return *s == '\0' || (name_valid(bytes_str(s), CONFIG_MAX_CHANNEL_NAME) &&
			      !strchr(s, ':')) ?
		       NULL :
		       "the part of channel names before the first colon, without it, or \"\" for all "
		       "others";
}

/* As long as a path, which is what a space is called if nobody names it. */
const char *check_space(const char *s)
{
	return *s && strlen(s) <= 255 ? NULL : "a name of 1 to 255 bytes";
}

const char *check_field(const char *s)
{
	return made_of(s, "-._:", CONFIG_MAX_FIELD_NAME) ?
		       NULL :
		       "a name of 1 to 64 letters, digits and - . _ :";
}

const char *check_relay_channel(const char *s)
{
	size_t n = strlen(s);

	if (s[0] != '{')
		return check_channel(s);
	if (n > 2 && n < 2 + CONFIG_MAX_FIELD_NAME + 1 && s[n - 1] == '}') {
		char name[CONFIG_MAX_FIELD_NAME + 1];
		memcpy(name, s + 1, n - 2);
		name[n - 2] = '\0';
		if (!check_field(name))
			return NULL;
	}
	return "a channel name, or a field's name in braces like \"{room}\"";
}

const char *check_type(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash && slash > s && slash[1] && made_of(s, TCHAR "/;= \"", 200) ?
		       NULL :
		       "a media type like \"text/html; charset=utf-8\"";
}

const char *check_interface(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n < IFNAMSIZ && !strpbrk(s, "/ :") && strcmp(s, ".") && strcmp(s, "..") ?
		       NULL :
		       "the name of a network interface, at most 15 bytes";
}

const char *check_set_name(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 31 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n &&
			       strcmp(s, "-") != 0 ?
		       NULL :
		       "1 to 31 of a-z 0-9 . _ - and not - alone";
}

const char *check_country(const char *s)
{
	return strlen(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' ?
		       NULL :
		       "a country's code of two capitals, like \"AQ\"";
}

const char *check_asn(const char *s)
{
	const char *digits = strncmp(s, "AS", 2) == 0 ? s + 2 : s;
	size_t n = strlen(digits);

	return n >= 1 && n <= 10 && strspn(digits, "0123456789") == n && digits[0] != '0' &&
			       strtoull(digits, NULL, 10) <= UINT32_MAX ?
		       NULL :
		       "the number of an autonomous system, like \"AS64500\"";
}

static bool one_of(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

const char *check_group(const char *s)
{
	static const char *const words[] = {"X25519", "P-256", "P-384", "P-521"};

	return one_of(s, words, ARRAY_SIZE(words)) ?
		       NULL :
		       "one of \"X25519\", \"P-256\", \"P-384\", \"P-521\"";
}

const char *check_suite(const char *s)
{
	static const char *const words[] = {
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"};

	return one_of(s, words, ARRAY_SIZE(words)) ?
		       NULL :
		       "a TLS 1.2 suite with ECDHE and AES-GCM or ChaCha20, like "
		       "\"ECDHE-ECDSA-AES128-GCM-SHA256\"";
}

/* As userspace/tls/ja4.h draws it; config/ is below tls/. */
const char *check_ja4(const char *s)
{
	static const char hex[] = "0123456789abcdef";

	return strlen(s) == 36 && s[0] == 't' && (s[3] == 'd' || s[3] == 'i') && s[10] == '_' &&
			       strspn(s + 11, hex) == 12 && s[23] == '_' &&
			       strspn(s + 24, hex) == 12 ?
		       NULL :
		       "a JA4 fingerprint, like \"t13d1516h2_8daaf6152771_e5627efa2ab1\"";
}
